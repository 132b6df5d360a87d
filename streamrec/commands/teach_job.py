"""What ``streamrec teach`` does: a stream that is recognized while it is taught, by keys, by lines and on the page."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor, wait
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from streamrec.commands.lesson import Lesson, describe_figures
from streamrec.commands.teach_keys import TeachKeys, key_help
from streamrec.commands.teach_lines import HELP, Lines
from streamrec.commands.teach_terminal import TeachTerminal
from streamrec.commands.teach_window import TeachWindow
from streamrec.commands.voice_keys import open_voice
from streamrec.commands.wording import clock, describe, describe_health
from streamrec.core import process_end
from streamrec.core.console import LineConsole
from streamrec.core.text import printable
from streamrec.errors import SettingsError, SinkError
from streamrec.outputs.plot import Plots
from streamrec.outputs.window import why_no_display
from streamrec.sources.health import LEFT, OVER
from streamrec.sources.wrappers import Limited, RealTime
from streamrec.types import Health, Result, Source, SourceState

if TYPE_CHECKING:
    from streamrec.teach.teacher import Teacher
    from streamrec.web.server import WebSettings

_LINE_WAIT = 0.2  # seconds for the next line, where no frame comes any more
_END_PATIENCE = 5.0  # seconds for a camera to let go
_POLL = 0.03  # seconds between two reads of the keys: a quick typist needs twice as long for a letter


class _Face(Protocol):
    """A place where a person or a program sees the lesson, and answers."""

    def write(self, result: Result) -> None:
        """Show a result, and take what was answered."""

    def listen(self) -> object:
        """Take what was answered."""


@dataclass(frozen=True, kw_only=True)
class TeachJob:
    """One run of ``streamrec teach``; the fields are its options."""

    source: Source
    teacher: Teacher
    out: Path  # the model
    examples: Path  # the file of the examples
    models: tuple[str, ...] = ()  # beside which it is taught
    named: str = "0"  # the source, as it was given
    seconds: float = 2.0  # of an example
    countdown: float = 3.0  # seconds
    nothing: float = 60.0  # seconds
    show: bool | None = None  # a window; None: where there is a display
    max_seconds: float | None = None  # of the stream
    web: WebSettings | None = None
    voice: str | None = None  # a microphone whose spoken digits are keys; None: none
    read_lines: bool | None = None  # of standard input; None: where that is no terminal

    def run(self) -> None:
        """Teach until the source ends, the person ends it, or no line comes; then write the model.

        Ctrl-C and a lost camera end it likewise. Raises ``StreamrecError``.
        """
        source = self.source
        source.settle()
        if self.max_seconds is not None:
            source = Limited(source, self.max_seconds)
        no_window = why_no_display() if self.show is not False else "no window was asked for"
        if self.show and no_window:
            raise SinkError(f"{no_window}; --no-window teaches in the terminal")
        with ExitStack() as stack:
            console = LineConsole()
            stack.callback(console.close)
            lesson = Lesson(
                self.teacher,
                seconds=self.seconds,
                countdown=self.countdown,
                nothing=self.nothing,
                log=console.print_line,
            )
            stack.callback(self._end, lesson, console.print_line)
            keys = TeachKeys(lesson)
            opened = _Opened(self, lesson, keys, console, stack, has_window=not no_window)
            if not source.live and opened.faces:
                source = RealTime(source)  # a person watches it
            self._watch(source, lesson, keys, opened)

    def _watch(self, source: Source, lesson: Lesson, keys: TeachKeys, opened: _Opened) -> None:
        lines, log = opened.lines, opened.log
        plots = Plots()  # of readings, which have no picture
        source.on_health = opened.on_health
        if lesson.examples:
            log(f"{printable(str(self.examples))}: {_counted(lesson)}")
        seen = False  # only then is it known that the camera is there
        with closing(polled(self.teacher.results(source), source.interrupt)) as polls:
            for result in polls:
                seen = seen or result is not None
                if result is not None:
                    for event in result.events:
                        log(f"{clock(event.timestamp)}  {describe(event)}")
                if result is not None and not result.repeated:
                    lesson.step(result)
                    shown = plots.pictured(result) if opened.faces else result
                    for face in opened.faces:
                        face.write(shown)
                else:
                    for face in opened.faces:
                        face.listen()
                opened.press_spoken(keys)
                if lines is not None:
                    lines.step()
                over = lines is not None and (lines.done or (lines.ended and not opened.faces and seen))
                if keys.done or over:
                    return
        log(f"{source.name}: that was the last picture")
        while lines is not None and not lines.done and not lines.ended:
            lines.step(wait=_LINE_WAIT, final=True)

    @property
    def _models(self) -> str:
        """The shipped models as options."""
        return " ".join(f"-m {printable(str(name))}" for name in self.models)

    def save(self, lesson: Lesson) -> None:
        """Write the model as it is now; raises ``StreamrecError``."""
        self.teacher.save(self.out)

    def _end(self, lesson: Lesson, log: Callable[[str], object]) -> None:
        """Say what was learned, and write the model. The examples are on the disk already."""
        lesson.close()
        shown = printable(str(self.out))
        if not lesson.examples:
            return
        log(f"{printable(str(self.examples))}: {_counted(lesson)}; the same command goes on with them")
        if lesson.report is None:
            log(f"{shown} is not written: nothing was learned yet, three examples of a label are a start")
            return
        for sentence in (describe_figures(lesson.report).removeprefix("; "), *lesson.report.advice):
            if sentence:
                log(printable(sentence))
        try:
            self.save(lesson)
        except OSError as error:
            raise SinkError(f"{shown} cannot be written: {error.strerror or error}") from error
        log(f"{shown} is written; watch with it: streamrec run {self.named} {self._models} -m {shown}")


def _counted(lesson: Lesson) -> str:
    """How many examples there are, by label."""
    parts = [f"{printable(label)} {count}" for label in lesson.labels if (count := lesson.count(label))]
    if lesson.nothing_taught:
        parts.append(f"{lesson.nothing_taught:.0f} s of nothing")
    return ", ".join(parts) or "no examples"


def polled(
    results: Generator[Result], interrupt: Callable[[], object], every: float = _POLL
) -> Generator[Result | None]:
    """The results, made in a thread of their own; None where ``every`` seconds have passed without one.

    So keys arrive while a frame is recognized, and also while a camera is silent.
    """
    # A camera may hang in a native call: a thread of this name keeps no process from its end.
    thread = ThreadPoolExecutor(1, thread_name_prefix=f"{process_end.READ} results")
    step = thread.submit(next, results, None)
    try:
        while True:
            try:
                result = step.result(timeout=every)
            except FutureTimeout:
                if step.done():  # the error is of the results
                    step.result()
                yield None
                continue
            if result is None:
                return
            step = thread.submit(next, results, None)
            yield result
    finally:
        interrupt()
        if wait([step], _END_PATIENCE).done:
            step.exception()
            thread.submit(results.close).result()
        thread.shutdown(wait=False)


class _Opened:
    """Window, terminal, page and lines of one run; ``stack`` closes them."""

    def __init__(
        self,
        job: TeachJob,
        lesson: Lesson,
        keys: TeachKeys,
        console: LineConsole,
        stack: ExitStack,
        *,
        has_window: bool,
    ) -> None:
        self.faces: list[_Face] = []
        self.log = console.print_line
        self._name = job.source.name
        self._was_live = False
        at_terminal = sys.stdin is not None and sys.stdin.isatty()
        reads = not at_terminal if job.read_lines is None else job.read_lines
        self.log(f"{self._name}: {printable(job.teacher.recognizer.name)}, and what you teach")
        if job.web is not None:
            self.faces.append(stack.enter_context(_Page(job, lesson, self.log)))
        if has_window:
            self.faces.append(stack.enter_context(TeachWindow(keys)))
        elif at_terminal and console.is_terminal:
            self.faces.append(stack.enter_context(TeachTerminal(keys, console)))
        if any(isinstance(face, TeachWindow | TeachTerminal) for face in self.faces):
            for key, what in key_help(lesson):
                self.log(f"  {key:6} {what}")
        self._voice = None if job.voice is None else stack.enter_context(open_voice(job.voice, self.log))
        self.lines = None
        if reads:
            self.lines = Lines(lesson, log=self.log, save=lambda: job.save(lesson))
            if not self.faces:
                self.log(f"lines of standard input teach: {HELP}")

    def press_spoken(self, keys: TeachKeys) -> None:
        """Press the keys of the digits that were spoken."""
        if self._voice is not None:
            for digit in self._voice.pressed():
                keys.speak(digit)
            keys.step()

    def on_health(self, health: Health) -> None:
        """Say how the camera is, when that changes; called in the thread that reads."""
        if health.state in (SourceState.ended, SourceState.failed):
            if health.state is SourceState.ended and health.reason not in (LEFT, OVER):
                self.log(f"{self._name}: {health.reason}")
            return
        first = health.state is SourceState.live and not self._was_live
        self._was_live = self._was_live or first
        if health.reason or (health.state is SourceState.live and not first):
            self.log(f"{self._name}: {describe_health(health)}")


class _Page:
    """The page, served in threads of its own."""

    def __init__(self, job: TeachJob, lesson: Lesson, log: Callable[[str], None]) -> None:
        from streamrec.commands.teach_page import LessonDesk
        from streamrec.web.live import LiveState, SourceCamera
        from streamrec.web.server import Server  # needs the extra web

        assert job.web is not None
        self._log = log
        self._live = LiveState()
        self._camera = SourceCamera(job.source)
        self._live.beat([self._camera])
        desk = LessonDesk(lesson, camera=job.source.name, out=job.out)
        self._server = Server(job.web, self._live, teach=desk, log=log)

    def __enter__(self) -> _Page:
        self._server.start()
        self._log(f"teach on the page at {self._server.address}")
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()

    def listen(self) -> None:
        """The page calls the lesson itself."""
        self._live.beat([self._camera])

    def write(self, result: Result) -> None:
        """Show a result."""
        self._camera.count()
        self._live.beat([self._camera])
        self._live.write(result)


def check_out(out: Path, examples: Path) -> None:
    """Raise ``SettingsError`` where the model could not be written at the end: better now than after the lesson."""
    shown = printable(str(out))
    if out.suffix != ".safetensors":
        raise SettingsError(f"--out {shown}: a model file ends in .safetensors")
    for path in (out, examples):
        folder = path.parent
        if not folder.is_dir():
            raise SettingsError(
                f"{printable(str(folder))} is no folder: make it first, or name another --out"
            )
        if not os.access(folder, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
            raise SettingsError(f"{printable(str(path))} cannot be written; name another --out")
    if out.exists() and not examples.exists():
        raise SettingsError(
            f"--out {shown} is a model already, and was not taught with {printable(str(examples))}; name another "
            "--out, or the examples that it was taught with"
        )

"""What ``run`` and ``demo`` do for who sits at a terminal: one source, its results shown, written and told."""

from __future__ import annotations

import contextlib
import errno
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from streamrec.commands.wording import clock, describe, describe_health
from streamrec.core.console import LineConsole
from streamrec.core.text import printable
from streamrec.errors import ModelError, SinkError
from streamrec.evaluation.metrics import Latency
from streamrec.notify.dispatcher import CommittedEvent, Dispatcher, DispatchSettings
from streamrec.outputs.json_lines import JsonLines, open_lines
from streamrec.outputs.overlay import draw_heat
from streamrec.outputs.sink import Background, Sink
from streamrec.outputs.video_file import VideoFile
from streamrec.outputs.window import Window, why_no_display
from streamrec.pipeline.loop import results
from streamrec.runtime.recognizer import Followed, Recognizer
from streamrec.sources.health import LEFT, OVER
from streamrec.sources.wrappers import Limited, RealTime
from streamrec.types import ActionStarted, Event, Health, Result, Source, SourceState

if TYPE_CHECKING:
    from streamrec.web.server import WebSettings


def play(
    source: Source,
    recognizer: Recognizer,
    model: str,
    *,
    save: Path | None,
    jsonl: str | None,
    show: bool | None,
    explain: bool = False,
    max_seconds: float | None = None,
    fps: float | None = None,
    still: float | None = None,
    also: Callable[[Result], None] | None = None,
    after: DispatchSettings | None = None,
    web: WebSettings | None = None,
) -> None:
    """Results to sinks, events to the terminal, a summary at the end; raises ``StreamrecError`` in words.

    What fails of the outputs is told once; the others go on, and at the end it is raised. A camera is held up neither
    by a slow reader nor by a terminal that was stopped; a file waits for who reads its lines, and loses none.
    ``model``: what the recognizer was loaded from, for ``explain``. ``show``: a window; None: where there is a display.
    ``also`` is called with each result.
    """
    source.settle()
    if max_seconds is not None:
        source = Limited(source, max_seconds)
    reason = why_no_display() if show is not False else None
    if show and reason:
        raise SinkError(reason)
    why = _Why(model)
    if explain:
        if save is None and (show is False or reason is not None):
            raise SinkError(
                "--explain draws into a window or a video, and there is neither; add --save why.mp4"
            )
        why.switch()
    with contextlib.ExitStack() as stack:
        sinks: list[Sink] = []
        failed: list[SinkError] = []
        window = None
        if show is not False and reason is None:
            window = stack.enter_context(Window())
            source = source if source.live else RealTime(source)  # a file is watched at its own speed
        aside = LineConsole(stderr=True, background=source.live)  # what is said beside the lines of events
        stack.callback(aside.close)
        terminal = _Terminal(source, recognizer, on_stdout=jsonl != "-", tell=aside.print_line)
        stack.callback(terminal.console.close)
        written: list[Any] = [terminal.console] if jsonl != "-" else []  # where no line of a file may be lost
        if save is not None:
            # Of a file every frame is written; a live stream is never held up by the disk. A video of hours takes
            # its time to close.
            sinks.append(
                stack.enter_context(Background(VideoFile(save), drop_oldest=source.live, patience=600.0))
            )
        states = _States(source.name, aside.print_line)
        lines = None
        if jsonl is not None:
            lines, file = open_lines(jsonl, append=False, background=source.live, tell=aside.print_line)
            stack.callback(file.close)
            written.append(file)
            sinks.append(stack.enter_context(lines))
            states.lines = lines
        stack.callback(states.finish)  # before the sinks are closed
        source.on_health = states.hear
        stack.enter_context(terminal)
        if show is None and reason and not sinks:
            terminal.say(f"No window: {reason}")
        announcer = stack.enter_context(Dispatcher(after or DispatchSettings(), terminal.say))
        page = None if web is None else stack.enter_context(_Page(web, source, announcer, terminal.say))
        actions = [x for x in recognizer.labels if x not in recognizer.config.events.background]
        announcer.camera(source.name, model=recognizer.name, live=source.live, actions=actions)
        if window is not None:
            terminal.say("in the window: e shows where the model looked, q ends")
        others = also is not None or page is not None or window is not None or announcer.wanted
        followed = Followed(announcer.recorded(recognizer))

        def kept(told: CommittedEvent) -> None:  # in a thread of its own, when the event is on the disk
            if page is not None:
                page.live.notify((told.entry,))
            if lines is not None:
                with contextlib.suppress(SinkError):  # nobody reads them: the next prediction's line says so
                    lines.write_event(told.source, told.event)
            terminal.write_event(told.event)

        announcer.on_event(kept)
        for result in results(source, followed, fps=fps, still=still):
            shown = announcer.write(result)  # its events are told when they are kept
            if page is not None:
                page.write(shown)
            seen = why.drawn(result, followed.before(result.frame))
            for sink in tuple(sinks):
                try:
                    sink.write(shown if sink is lines else seen)
                except SinkError as error:
                    sinks.remove(sink)
                    if not (sinks or others) and isinstance(error.__cause__, BrokenPipeError):
                        raise error.__cause__ from error  # | head
                    failed.append(error)
                    terminal.say(f"{error}; the rest goes on")
            if window is not None:
                window.write(seen)
                if window.key in ("e", "E"):
                    try:
                        why.switch()
                    except ModelError as error:
                        terminal.say(str(error))
            terminal.write(shown)
            if terminal.console.gone and not (sinks or others):
                raise BrokenPipeError(errno.EPIPE, "nobody reads what is said")
            if also is not None:
                also(result)
            announcer.tick()
            if window is not None and window.closed:
                break
    if not source.live and not all(one.complete for one in written):
        failed.append(SinkError("not everything could be written"))
    if failed:
        raise SinkError("; ".join(dict.fromkeys(map(str, failed))))


class _Why:
    """Where the model looked, drawn into what is shown while that is asked for."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._explainer: Any = None
        self._on = False

    def switch(self) -> None:
        """Begin, or stop; the model's torch weights are loaded the first time, or ModelError says why not."""
        if self._explainer is None:
            from streamrec.runtime.explain import Explainer  # needs torch

            self._explainer = Explainer.load(self._model)
        self._on = not self._on

    def drawn(self, result: Result, before: Any) -> Result:
        """The result as it is shown. ``before``: the state that its step was given."""
        if not self._on or before is None:
            return result
        frame = result.frame
        heat = self._explainer.heat(frame, before, result.prediction.label)
        return replace(result, frame=replace(frame, image=draw_heat(frame.image, heat)))


class _Page:
    """The page of ``run``: one source, and a thread that says that the loop goes on while no picture comes."""

    def __init__(
        self, settings: WebSettings, source: Source, announcer: Dispatcher, say: Callable[[str], None]
    ) -> None:
        from streamrec.web.live import LiveState, SourceCamera  # needs the extra web
        from streamrec.web.server import Server

        self.live, self.camera = LiveState(announcer.history), SourceCamera(source)
        self.live.beat([self.camera])
        self.server = Server(settings, self.live, log=say)
        self._say = say

    def __enter__(self) -> _Page:
        self.server.start()
        self._say(f"the page is at {self.server.address}")
        return self

    def __exit__(self, *_: object) -> None:
        self.server.stop()

    def write(self, result: Result) -> None:
        self.camera.count()
        self.live.beat([self.camera])
        self.live.write(result)


class _States:
    """How a source is, as it changes: lines on standard error for a person, and JSON lines."""

    def __init__(self, name: str, say: Callable[[str], None]) -> None:
        self.name = name
        self.lines: JsonLines | None = None
        self._say = say
        self._was_live = False
        self._last: Health | None = None  # what is told when all that was read has been looked at

    def hear(self, health: Health) -> None:
        """Called in the thread that reads."""
        if health.state in (SourceState.ended, SourceState.failed):
            self._last = health
            return
        first = health.state is SourceState.live and not self._was_live
        self._was_live = self._was_live or first
        if health.reason or (health.state is SourceState.live and not first):
            self._say(f"{self.name}: {describe_health(health)}")
        self._write(health)

    def finish(self) -> None:
        """Tell how it came to its end; why it failed is told as the error that it is."""
        if self._last is None:
            return
        if self._last.state is SourceState.ended and self._last.reason not in (LEFT, OVER):
            self._say(f"{self.name}: {self._last.reason}")
        self._write(self._last)

    def _write(self, health: Health) -> None:
        if self.lines is not None:
            with contextlib.suppress(SinkError):  # nobody reads them: the next prediction's line says so
                self.lines.write_health(self.name, health)


class _Terminal:
    """What a person at the terminal sees: events as lines, a line that lives, and a summary."""

    def __init__(
        self, source: Source, recognizer: Recognizer, *, on_stdout: bool, tell: Callable[[str], None]
    ) -> None:
        self.source, self.recognizer = source, recognizer
        self.console = LineConsole(
            stderr=not on_stdout, background=source.live, log=tell if on_stdout else _nothing
        )
        self.latency, self.recent = Latency(), Latency()
        self.frames = self.events = self.dropped = 0
        self.still: int | None = None  # frames left out by a gate
        self.seconds = 0.0  # of stream
        self._last: Result | None = None
        self._status: Any = None
        self._begun = self._reported = time.monotonic()
        self._reported_frames = 0

    def __enter__(self) -> _Terminal:
        self.say(f"{self.source.name}: {self.recognizer.name} model, {self.recognizer.engine} engine")
        if self.console.is_terminal:
            duration = self.source.duration
            columns = [
                TimeElapsedColumn(),
                *([BarColumn()] if duration else []),
                TextColumn("{task.description}", markup=False),
            ]
            self._status = Progress(*columns, console=self.console, transient=True)
            self._task = self._status.add_task("opening ...", total=duration)
            self._status.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._status is not None:
            self._status.stop()
        took = time.monotonic() - self._begun
        if self.frames:
            quantiles = self.latency.get()
            self.say(
                f"{self.frames} frames in {took:.1f} s ({self.frames / took:.1f} a second), "
                f"latency p50 {_ms(quantiles['p50'])} p99 {_ms(quantiles['p99'])}, "
                f"{self.dropped} dropped, {'' if self.still is None else f'{self.still} still, '}"
                f"{self.events} action{'' if self.events == 1 else 's'}"
                + (", stopped" if kind is not None and issubclass(kind, KeyboardInterrupt) else "")
            )

    def say(self, text: str) -> None:
        self.console.print_line(text)

    def write_event(self, event: Event) -> None:
        self.events += isinstance(event, ActionStarted)
        self.say(f"{clock(event.timestamp)}  {describe(event)}")

    def write(self, result: Result) -> None:
        frame, last = result.frame, self._last
        for event in result.events:
            self.write_event(event)
        if result.repeated:
            return
        self._last = result
        self.frames += 1
        self.dropped, self.still = result.dropped, result.still
        self.latency.update(result.latency)
        self.recent.update(result.latency)
        if last is not None:
            self.seconds += max(0.0, frame.timestamp - last.frame.timestamp)
        if self._status is not None:
            shown = (
                result.label
                if result.unknown
                else f"{result.label} {100 * result.prediction.confidence:.0f} %"
            )
            self._status.update(self._task, completed=self.seconds, description=printable(shown))
        if self.source.live and time.monotonic() - self._reported >= 5.0:
            self._report(frame.timestamp)

    def _report(self, timestamp: float) -> None:
        now = time.monotonic()
        quantiles = self.recent.get()
        rate = (self.frames - self._reported_frames) / (now - self._reported)
        self.say(
            f"{clock(timestamp)}  {rate:.1f} a second, latency p50 {_ms(quantiles['p50'])} "
            f"p99 {_ms(quantiles['p99'])}, {self.dropped} dropped"
        )
        self._reported, self._reported_frames = now, self.frames
        self.recent = Latency()


def _nothing(sentence: str) -> None:
    """What is to be said of the stream that would say it."""


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{1000 * seconds:.0f} ms"

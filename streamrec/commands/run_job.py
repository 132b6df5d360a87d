"""What ``run`` and ``demo`` do: one source, recognized until its end, its results shown, written and sent."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamrec.commands.correcting import open_corrections, watched
from streamrec.commands.explanations import Explanation, explanation_for
from streamrec.commands.listening import MARK
from streamrec.commands.outputs import CallbackView, LinesView, Outputs, PageView, SinkView, View
from streamrec.commands.run_terminal import RunTerminal
from streamrec.commands.wording import describe_health
from streamrec.core.console import LineConsole
from streamrec.errors import ModelError, SinkError
from streamrec.events.recurrence import RecurrenceSettings
from streamrec.notify.dispatch_settings import DispatchSettings
from streamrec.notify.dispatcher import Dispatcher
from streamrec.outputs.plot import EVERY, Plots
from streamrec.outputs.sink import Background
from streamrec.outputs.video_file import VideoFile
from streamrec.outputs.window import Window, why_no_display
from streamrec.pipeline.listening import Listener
from streamrec.pipeline.loop import results
from streamrec.pipeline.result_builder import ResultBuilder
from streamrec.pipeline.senses import fitted_to
from streamrec.runtime.joint import pace_notes
from streamrec.runtime.recognizer import Recognizer, configs_of
from streamrec.settings.resolve import actions_of
from streamrec.sources.health import LEFT, OVER
from streamrec.sources.wrappers import Limited, RealTime
from streamrec.types import Health, Result, Source, SourceState

if TYPE_CHECKING:
    from streamrec.web.server import WebSettings

_VIDEO_PATIENCE = 600.0  # seconds: the video of hours takes its time to close


@dataclass(frozen=True, kw_only=True)
class RunJob:
    """One run of ``streamrec run``; the fields are its options."""

    source: Source
    recognizer: Recognizer
    model: str | None  # what the recognizer was loaded from, for ``explain``; None: several models
    save: Path | None = None  # a video
    jsonl: str | None = None  # a file, or "-"
    show: bool | None = None  # a window; None: where there is a display
    explain: bool = False
    max_seconds: float | None = None  # of the stream
    fps: float | None = None  # None: the sampling rate that the model learned
    still: float | None = None  # seconds; None: no motion gate
    count: RecurrenceSettings | None = None  # count any motion that repeats
    also: Callable[[Result], None] | None = None  # called with each result
    after: DispatchSettings = field(default_factory=DispatchSettings)
    web: WebSettings | None = None
    listener: Listener | None = None  # what recognizes the sound beside the pictures

    def run(self) -> None:
        """Recognize until the source ends, the window is closed, or no reader is left; raises ``StreamrecError``.

        An output that fails is reported once; the others go on, and at the end it is raised. A camera is held up
        neither by a slow reader nor by a terminal that was stopped; a file waits for the reader of its lines, and
        loses none.
        """
        source = self.source
        source.settle()
        fitted_to(source, self.recognizer)  # one of another sense is refused before anything is opened
        if self.max_seconds is not None:
            source = Limited(source, self.max_seconds)
        no_window = why_no_display() if self.show is not False else None
        if self.show and no_window:
            raise SinkError(no_window)
        has_window = self.show is not False and no_window is None
        why = explanation_for(self.recognizer, self.model)
        if self.explain:
            if self.save is None and not has_window and not (why.in_lines and self.jsonl):
                lines = ", nor JSON Lines, which would have its numbers" if why.in_lines else ""
                raise SinkError(
                    f"--explain draws into a window or a video, and there is neither{lines}; add --save why.mp4"
                )
            why.switch()
        with ExitStack() as stack:
            window = stack.enter_context(Window()) if has_window else None
            paced = window is not None or self.after.stream is not None or self.after.recording is not None
            if paced and not source.live:
                source = RealTime(source)  # a file is watched at its own speed
            opened = _Opened(self, source, window, why, stack, no_window)
            played = results(
                source, opened.recognizer, fps=self.fps, still=self.still, builder=opened.builder
            )
            # Before the outputs: a signal may come between two results, and the source reports its end to them.
            stack.enter_context(closing(played))
            kept = self.save is not None or self.also is not None or self.after.keeps_pictures
            # Of readings and sound, which have no picture; a file may be read much faster than it is watched.
            plots = Plots(lambda _: source.sense, pause=0.0 if kept or paced else EVERY)
            for result in played:
                opened.outputs.write(plots.pictured(why.explained(result)))
                opened.outputs.tick()
                if window is not None and window.closed:
                    break
        failures = opened.outputs.failures
        if not source.live and not all(one.complete for one in opened.written):
            failures.append(SinkError("not everything could be written"))
        if failures:
            raise SinkError("; ".join(dict.fromkeys(map(str, failures))))


class _Opened:
    """The outputs of one run, opened in the order in which they depend on each other; ``stack`` closes them."""

    def __init__(
        self,
        job: RunJob,
        source: Source,
        window: Window | None,
        why: Explanation,
        stack: ExitStack,
        no_window: str | None,
    ) -> None:
        on_stdout = job.jsonl != "-"
        aside = LineConsole(stderr=True, background=source.live)  # what is printed beside the lines of events
        stack.callback(aside.close)
        terminal = RunTerminal(source, job.recognizer, on_stdout=on_stdout, warn=aside.print_line)
        stack.callback(terminal.console.close)
        # Where no line of a file may be lost.
        self.written: list[Any] = [terminal.console] if on_stdout else []
        files: list[View] = []
        if job.save is not None:
            # Of a file every frame is written; a live stream is never held up by the disk.
            video = Background(VideoFile(job.save), drop_oldest=source.live, patience=_VIDEO_PATIENCE)
            files.append(SinkView(stack.enter_context(video), why.drawn))
        states = _States(source.name, aside.print_line)
        every_state = [states]
        if job.jsonl is not None:
            lines = LinesView(job.jsonl, warn=aside.print_line, background=source.live)
            stack.callback(lines.close)
            self.written.append(lines.file)
            files.append(lines)
        stack.callback(states.finish)  # before the lines are closed
        source.on_health = states.on_health
        stack.enter_context(terminal)
        if job.show is None and no_window and not files:
            terminal.log(f"No window: {no_window}")
        for note in (*job.recognizer.notes, *(pace_notes(job.recognizer) if job.fps is None else ())):
            terminal.log(note)
        dispatcher = stack.enter_context(Dispatcher(job.after, terminal.log))
        views: list[View] = []
        model = dispatcher.recorded(job.recognizer)
        self.builder = ResultBuilder(job.recognizer, source.name, count=job.count)
        configs = dict(configs_of(model))
        if job.listener is not None:
            sound = _States(f"{source.name}{MARK}", aside.print_line, beside=True)
            every_state.append(sound)
            self._listen(job.listener, source, next(iter(configs)), sound, stack)
            configs[job.listener.name] = job.listener.recognizer.config
            terminal.log(f"it listens with {job.listener.name}; no sound is kept")
        corrections = open_corrections(job.after, terminal.log, page=job.web is not None)
        if corrections is not None:
            stack.enter_context(corrections)
            model = corrections.watching(model)
            self.builder.retune(watched(corrections, source.name, model, {}))
            corrections.on_thresholds = lambda camera, settings: self.builder.retune(settings)
        if job.web is not None:
            page = PageView(
                job.web,
                dispatcher,
                terminal.log,
                source=source,
                sound=job.listener,
                corrections=corrections,
            )
            views.append(stack.enter_context(page))
        views += files
        dispatcher.camera(
            source.name, models=actions_of(configs, count=job.count is not None), live=source.live
        )
        if window is not None:
            terminal.log(f"in the window: e shows {why.shows}, q ends")
            views.append(_WindowView(window, why, terminal.log))
        views.append(terminal)
        if job.also is not None:
            views.append(CallbackView(job.also))
        self.recognizer = why.following(model)
        self.outputs = Outputs(dispatcher, views, terminal=terminal, log=terminal.log)
        for one in every_state:
            one.outputs = self.outputs

    def _listen(
        self, listener: Listener, source: Source, model: str, states: _States, stack: ExitStack
    ) -> None:
        """Recognize the sound beside the pictures of this model; ``states``: of the sound."""
        self.builder.listening(listener, model)
        listener.pictures = source
        listener.on_health = states.on_health
        stack.callback(states.finish)
        stack.callback(listener.close)


class _WindowView(View):
    """The window, and its key e."""

    def __init__(self, window: Window, why: Explanation, log: Callable[[str], None]) -> None:
        self._window, self._why, self._log = window, why, log

    def write(self, result: Result, shown: Result) -> None:
        """Show the result with its events; switch the explanation where e was pressed."""
        self._window.write(self._why.drawn(result))
        if self._window.key in ("e", "E"):
            try:
                self._why.switch()
            except ModelError as error:
                self._log(str(error))


class _States:
    """The states of a source as they change: sentences on standard error, and lines in the outputs.

    ``beside``: of another one, which goes on where this one has failed.
    """

    def __init__(self, name: str, log: Callable[[str], None], *, beside: bool = False) -> None:
        self.name = name
        self._beside = beside
        self.outputs: Outputs | None = None
        self._log = log
        self._was_live = False
        self._last: Health | None = None  # the end, reported after the last result

    def on_health(self, health: Health) -> None:
        """Called in the thread that reads."""
        if health.state is SourceState.ended or (health.state is SourceState.failed and not self._beside):
            self._last = health
            return
        first = health.state is SourceState.live and not self._was_live
        self._was_live = self._was_live or first
        if health.reason or (health.state is SourceState.live and not first):
            self._log(f"{self.name}: {describe_health(health)}")
        self._write(health)

    def finish(self) -> None:
        """Report how the source ended. Why it failed is raised as an error instead."""
        if self._last is None:
            return
        if self._last.state is SourceState.ended and self._last.reason not in (LEFT, OVER):
            self._log(f"{self.name}: {self._last.reason}")
        self._write(self._last)

    def _write(self, health: Health) -> None:
        if self.outputs is not None:
            self.outputs.write_health(self.name, health)

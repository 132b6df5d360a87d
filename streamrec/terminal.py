"""What ``run`` and ``demo`` do for who sits at a terminal: one source, its results shown, written and told."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from streamrec.announce import AfterSettings, Announcer
from streamrec.errors import ModelError, SinkError
from streamrec.health import LEFT, OVER
from streamrec.metrics import Latency
from streamrec.overlay import draw_heat
from streamrec.pipeline import results
from streamrec.recognizer import Followed, Recognizer
from streamrec.sinks import Background, JsonLines, Sink, VideoFile, Window, why_no_display
from streamrec.sources import Limited, RealTime
from streamrec.types import ActionStarted, Health, Result, Source, SourceState
from streamrec.words import clock, describe, describe_health

if TYPE_CHECKING:
    from streamrec.serve.web import WebSettings


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
    after: AfterSettings | None = None,
    web: WebSettings | None = None,
) -> None:
    """Results to sinks, events to the terminal, a summary at the end; raises ``StreamrecError`` in words.

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
        window = None
        if show is not False and reason is None:
            window = stack.enter_context(Window())
            source = source if source.live else RealTime(source)  # a file is watched at its own speed
        if save is not None:
            # Of a file every frame is written; a live stream is never held up by the disk. A video of hours takes
            # its time to close.
            sinks.append(
                stack.enter_context(Background(VideoFile(save), drop_oldest=source.live, patience=600.0))
            )
        states = _States(source.name)
        if jsonl is not None:
            lines = stack.enter_context(JsonLines(jsonl))
            sinks.append(lines)
            states.lines = lines
        stack.callback(states.finish)  # before the sinks are closed
        source.on_health = states.hear
        terminal = stack.enter_context(_Terminal(source, recognizer, on_stdout=jsonl != "-"))
        if show is None and reason and not sinks:
            terminal.say(f"No window: {reason}")
        announcer = stack.enter_context(Announcer(after or AfterSettings(), terminal.say))
        page = None if web is None else stack.enter_context(_Page(web, source, announcer, terminal.say))
        actions = [x for x in recognizer.labels if x not in recognizer.config.events.background]
        announcer.camera(source.name, model=recognizer.name, live=source.live, actions=actions)
        if window is not None:
            terminal.say("in the window: e shows where the model looked, q ends")
        followed = Followed(announcer.recorded(recognizer))
        for result in results(source, followed, fps=fps, still=still):
            told = announcer.write(result)  # kept before it is told
            if page is not None:
                page.write(result, told)
            seen = why.drawn(result, followed.before(result.frame))
            for sink in sinks:
                sink.write(seen)
            if window is not None:
                window.write(seen)
                if window.key in ("e", "E"):
                    try:
                        why.switch()
                    except ModelError as error:
                        terminal.say(str(error))
            terminal.write(result)
            if also is not None:
                also(result)
            if window is not None and window.closed:
                break


class _Why:
    """Where the model looked, drawn into what is shown while that is asked for."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._explainer: Any = None
        self._on = False

    def switch(self) -> None:
        """Begin, or stop; the model's torch weights are loaded the first time, or ModelError says why not."""
        if self._explainer is None:
            from streamrec.explain import Explainer  # needs torch

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
        self, settings: WebSettings, source: Source, announcer: Announcer, say: Callable[[str], None]
    ) -> None:
        from streamrec.serve.live import Live, OneSource  # needs the extra web
        from streamrec.serve.web import Server

        self.live, self.camera = Live(), OneSource(source)
        self.live.kept = announcer.history is not None
        self.live.beat([self.camera])
        self.server = Server(settings, self.live, history=announcer.history, tell=say)
        self._say = say

    def __enter__(self) -> _Page:
        self.server.start()
        self._say(f"the page is at {self.server.address}")
        return self

    def __exit__(self, *_: object) -> None:
        self.server.stop()

    def write(self, result: Result, told: Any) -> None:
        self.camera.count()
        self.live.beat([self.camera])
        self.live.write(result)
        self.live.announce(one.entry for one in told)


class _States:
    """How a source is, as it changes: lines on standard error for a person, and JSON lines."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.lines: JsonLines | None = None
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
            print(f"{self.name}: {describe_health(health)}", file=sys.stderr, flush=True)
        if self.lines is not None:
            with contextlib.suppress(SinkError):  # nobody reads them: the next prediction's line says so
                self.lines.write_health(self.name, health)

    def finish(self) -> None:
        """Tell how it came to its end; why it failed is told as the error that it is."""
        if self._last is None:
            return
        if self._last.state is SourceState.ended and self._last.reason not in (LEFT, OVER):
            print(f"{self.name}: {self._last.reason}", file=sys.stderr, flush=True)
        if self.lines is not None:
            self.lines.write_health(self.name, self._last)


class _Terminal:
    """What a person at the terminal sees: events as lines, a line that lives, and a summary."""

    def __init__(self, source: Source, recognizer: Recognizer, *, on_stdout: bool) -> None:
        self.source, self.recognizer = source, recognizer
        self.console = Console(stderr=not on_stdout, highlight=False, soft_wrap=True)
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
                TextColumn("{task.description}"),
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
        self.console.print(text, markup=False)

    def write(self, result: Result) -> None:
        frame, last = result.frame, self._last
        for event in result.events:
            self.events += isinstance(event, ActionStarted)
            self.say(f"{clock(event.timestamp)}  {describe(event)}")
        if last is not None and (last.frame.segment, last.frame.index) == (frame.segment, frame.index):
            return  # it repeats the last frame to tell what ended
        self._last = result
        self.frames += 1
        self.dropped, self.still = result.dropped, result.still
        self.latency.update(result.latency)
        self.recent.update(result.latency)
        if last is not None:
            self.seconds += max(0.0, frame.timestamp - last.frame.timestamp)
        if self._status is not None:
            shown = (
                result.says if result.unknown else f"{result.says} {100 * result.prediction.confidence:.0f} %"
            )
            self._status.update(self._task, completed=self.seconds, description=shown)
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


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{1000 * seconds:.0f} ms"

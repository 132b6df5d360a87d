"""The terminal of ``streamrec run``: events as lines, a status line, and a summary."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Self

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from streamrec.commands.outputs import TerminalView
from streamrec.commands.wording import clock, describe, describe_label
from streamrec.core.console import LineConsole
from streamrec.evaluation.metrics import Latency
from streamrec.notify.dispatcher import CommittedEvent
from streamrec.runtime.recognizer import Recognizer, configs_of
from streamrec.types import ActionStarted, Event, Result, Source

_REPORT_SECONDS = 5.0  # between two lines about the speed of a camera


class RunTerminal(TerminalView):
    """Events as lines, a status line, and a summary. ``warn`` gets what is wrong with the console itself."""

    def __init__(
        self, source: Source, recognizer: Recognizer, *, on_stdout: bool, warn: Callable[[str], None]
    ) -> None:
        self.source, self.recognizer = source, recognizer
        self.console = LineConsole(
            stderr=not on_stdout, background=source.live, log=warn if on_stdout else _nothing
        )
        self.latency, self.recent = Latency(), Latency()
        self.frames = self.events = self.dropped = 0
        self.still: int | None = None  # frames that the motion gate left out
        self.seconds = 0.0  # of stream
        self._last: Result | None = None
        self._status: Any = None
        self._begun = self._reported = time.monotonic()
        self._reported_frames = 0

    def __enter__(self) -> Self:
        names = list(configs_of(self.recognizer))
        models = f"{' + '.join(names)} models" if len(names) > 1 else f"{self.recognizer.name} model"
        self.log(f"{self.source.name}: {models}, {self.recognizer.engine} engine")
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
            self.log(
                f"{self.frames} frames in {took:.1f} s ({self.frames / took:.1f} a second), "
                f"latency p50 {_ms(quantiles['p50'])} p99 {_ms(quantiles['p99'])}, "
                f"{self.dropped} dropped, {'' if self.still is None else f'{self.still} still, '}"
                f"{self.events} action{'' if self.events == 1 else 's'}"
                + (", stopped" if kind is not None and issubclass(kind, KeyboardInterrupt) else "")
            )

    @property
    def gone(self) -> bool:
        """Whether the console has been closed."""
        return self.console.gone

    def log(self, text: str) -> None:
        """Print a line of its own."""
        self.console.print_line(text)

    def write_event(self, event: CommittedEvent) -> None:
        """Print an event that is on the disk."""
        self._print_event(event.event)

    def _print_event(self, event: Event) -> None:
        self.events += isinstance(event, ActionStarted)
        self.log(f"{clock(event.timestamp)}  {describe(event)}")

    def write(self, result: Result, shown: Result) -> None:
        """Print the events that no history keeps, count the frame, and bring the status line up to date."""
        frame, last = result.frame, self._last
        for event in shown.events:
            self._print_event(event)
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
            text = ", ".join(map(describe_label, result.each))
            self._status.update(self._task, completed=self.seconds, description=text)
        if self.source.live and time.monotonic() - self._reported >= _REPORT_SECONDS:
            self._report(frame.timestamp)

    def _report(self, timestamp: float) -> None:
        now = time.monotonic()
        quantiles = self.recent.get()
        rate = (self.frames - self._reported_frames) / (now - self._reported)
        self.log(
            f"{clock(timestamp)}  {rate:.1f} a second, latency p50 {_ms(quantiles['p50'])} "
            f"p99 {_ms(quantiles['p99'])}, {self.dropped} dropped"
        )
        self._reported, self._reported_frames = now, self.frames
        self.recent = Latency()


def _nothing(sentence: str) -> None:
    """A console cannot report its own failure."""


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{1000 * seconds:.0f} ms"

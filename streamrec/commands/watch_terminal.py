"""The terminal of ``streamrec watch``: a table of the cameras, events and states of health as lines."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from rich.live import Live
from rich.table import Table
from rich.text import Text

from streamrec.commands.outputs import TerminalView
from streamrec.commands.wording import describe, describe_health
from streamrec.core.console import LineConsole
from streamrec.core.redact import redact
from streamrec.core.text import printable
from streamrec.notify.dispatcher import CommittedEvent
from streamrec.pipeline.watcher import Camera, Watcher
from streamrec.settings.cameras_file import WatchFile
from streamrec.types import ActionStarted, Event, Health, Result, SourceState

DRAW_SECONDS = 0.25  # between two drawings of the table
_COLORS = {
    SourceState.connecting: "yellow",
    SourceState.live: "green",
    SourceState.stalled: "yellow",
    SourceState.reconnecting: "yellow",
    SourceState.ended: "bright_black",
    SourceState.failed: "red",
}


class WatchTerminal(TerminalView):
    """Events and states as lines with the time of day, and below them a table where there is a terminal."""

    def __init__(self, file: WatchFile, *, on_stdout: bool) -> None:
        self.secrets = file.secrets
        # For what is wrong with the lines themselves.
        aside = self._aside = LineConsole(stderr=True, background=True) if on_stdout else None
        self._console = LineConsole(
            stderr=not on_stdout,
            background=True,
            log=(lambda sentence: None) if aside is None else aside.print_line,
        )
        self._live: Live | None = None
        self._drawn = 0.0
        self._latest: dict[str, Result] = {}
        self._begun = time.monotonic()
        self._actions = 0
        self._warned: set[str] = set()

    @contextlib.contextmanager
    def table_shown(self) -> Iterator[None]:
        """Show the table meanwhile, where there is a terminal."""
        if not self._console.is_terminal:
            yield
            return
        with Live(console=self._console, auto_refresh=False, transient=True) as self._live:
            yield
        self._live = None

    def log(self, text: str) -> None:
        """Print a line of its own, with the time of day and without secrets."""
        self._console.print_line(f"{time.strftime('%H:%M:%S')}  {redact(text, self.secrets)}")

    @property
    def gone(self) -> bool:
        """Whether the console has been closed."""
        return self._console.gone

    def close(self) -> None:
        """Write what waits, for a moment."""
        self._console.close()
        if self._aside is not None:
            self._aside.close()

    def warn(self, file: WatchFile) -> None:
        """Report, once, which files with secrets in them are open to others."""
        for sentence in file.too_open():
            if sentence not in self._warned:
                self._warned.add(sentence)
                self.log(sentence)

    def write(self, result: Result, shown: Result) -> None:
        """Remember a result for the table, and print the events that no history keeps."""
        self._latest[shown.frame.source] = shown
        for event in shown.events:
            self._print_event(shown.frame.source, event)

    def write_event(self, event: CommittedEvent) -> None:
        """Print an event that is on the disk."""
        self._print_event(event.source, event.event)

    def write_health(self, name: str, health: Health) -> None:
        """Print the state of a camera."""
        self._print(name, describe_health(health))

    def _print_event(self, camera: str, event: Event) -> None:
        self._actions += isinstance(event, ActionStarted)
        self._print(camera, describe(event))

    def _print(self, camera: str, text: str) -> None:
        self.log(f"{camera}  {text}")

    def refresh(self, cameras: tuple[Camera, ...]) -> None:
        """Draw the table, a few times a second."""
        now = time.monotonic()
        if self._live is None or now - self._drawn < DRAW_SECONDS:
            return
        self._drawn = now
        self._live.update(self.table(cameras), refresh=True)

    def table(self, cameras: tuple[Camera, ...]) -> Table:
        """A row for each camera."""
        table = Table("camera", "state", "label", "", "fps", "dropped", box=None, pad_edge=False)
        for column in table.columns:
            column.no_wrap = True
        table.columns[1].ratio = 1
        for right in (3, 4, 5):
            table.columns[right].justify = "right"
        for camera in cameras:
            health, result = camera.health, self._latest.get(camera.name)
            state = Text(printable(redact(describe_health(health), self.secrets)), _COLORS[health.state])
            shown = result if health.state is SourceState.live else None
            table.add_row(
                Text(printable(camera.name)),
                state,
                *_prediction_of(shown),
                f"{camera.rate:.1f}",
                str(camera.counts.dropped.get("overload", 0)),
            )
        return table

    def summary(self, watcher: Watcher) -> None:
        """Print one line at the end."""
        counts = [camera.counts for camera in watcher.cameras]
        frames = sum(count.recognized for count in counts)
        dropped, still = (
            sum(count.dropped.get(cause, 0) for count in counts) for cause in ("overload", "still")
        )
        took = time.monotonic() - self._begun
        self.log(
            f"{frames} frames of {len(counts)} camera{'' if len(counts) == 1 else 's'} in {took:.1f} s "
            f"({frames / max(took, 0.1):.1f} a second), {dropped} dropped, {f'{still} still, ' if still else ''}"
            f"{self._actions} action{'' if self._actions == 1 else 's'}"
        )


def _prediction_of(result: Result | None) -> tuple[Text | str, str]:
    """The label and its probability; of several models all labels, and no number."""
    if result is None:
        return "", ""
    if result.models:
        return Text(printable(", ".join(f"{one.model}: {one.label}" for one in result.models))), ""
    sure = "" if result.unknown else f"{100 * result.prediction.confidence:.0f} %"
    return Text(printable(result.label)), sure

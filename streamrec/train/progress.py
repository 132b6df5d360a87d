"""Progress of long work: a bar at a terminal, elsewhere a line every few seconds, printed by a thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from streamrec.core.console import LineConsole

EVERY = 10.0  # seconds
T = TypeVar("T")


class Bar:
    """Counts what is done; ``progress_bar`` makes it and shows it."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self.done = 0
        self._progress, self._task = progress, task

    def set(self, done: int, status: str = "") -> None:
        """So much is done now; ``status`` is shown behind the bar."""
        self.done = done
        self._progress.update(self._task, completed=done, description=status)

    def count(self, item: T) -> T:
        """Count one more as done, and return it."""
        self.set(self.done + 1)
        return item


@contextmanager
def progress_bar(
    what: str, total: int, console: LineConsole, *, line: Callable[[], str] | None = None
) -> Iterator[Bar]:
    """Show how much of ``total`` is done until the block is left.

    ``line``: the text where there is no terminal; by default ``what``, the count and the time that remains.
    """
    columns = (
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}", markup=False),
    )
    begun = time.monotonic()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = Bar(progress, progress.add_task("", total=total))

        def counted() -> str:
            return f"{what}: {bar.done} of {total}{remaining(bar.done, total, time.monotonic() - begun)}"

        with log_every(console.print_line, line or counted, wanted=not console.is_terminal):
            yield bar


@contextmanager
def log_every(
    log: Callable[[str], None], text: Callable[[], str], *, every: float = EVERY, wanted: bool = True
) -> Iterator[None]:
    """Log the text every so many seconds until the block is left; a block that takes less logs nothing."""
    if not wanted:
        yield
        return
    over = threading.Event()

    def run() -> None:
        while not over.wait(every):
            log(text())

    thread = threading.Thread(target=run, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def log_while(what: str, log: Callable[[str], None], *, every: float = EVERY) -> Iterator[None]:
    """Log every so many seconds that this is still running, and for how long."""
    begun = time.monotonic()
    with log_every(log, lambda: f"{what}: {duration(time.monotonic() - begun)} so far", every=every):
        yield


def duration(seconds: float) -> str:
    """A duration for people.

    >>> duration(8.2), duration(100.0), duration(4000.0)
    ('8 s', '2 min', '1 h 7 min')
    """
    if seconds < 90.0:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60.0)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def remaining(done: float, total: float, seconds: float) -> str:
    """The time that remains after ``seconds``, as a clause; "" where nothing is done yet.

    >>> remaining(10, 40, 60.0)
    ', 3 min left'
    """
    return "" if done <= 0 or total <= done else f", {duration(seconds * (total - done) / done)} left"

"""No step of training is silent for long: where it stands is said every few seconds, by a thread beside it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

EVERY = 10.0  # seconds


@contextmanager
def told_every(
    say: Callable[[str], None], text: Callable[[], str], *, every: float = EVERY, wanted: bool = True
) -> Iterator[None]:
    """Say the text every so many seconds until the block is left; nothing where it takes less than that."""
    if not wanted:
        yield
        return
    over = threading.Event()

    def tell() -> None:
        while not over.wait(every):
            say(text())

    thread = threading.Thread(target=tell, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def still(what: str, say: Callable[[str], None], *, every: float = EVERY) -> Iterator[None]:
    """Say every so many seconds that this goes on, and for how long it has."""
    begun = time.monotonic()
    with told_every(say, lambda: f"{what}: {span(time.monotonic() - begun)} so far", every=every):
        yield


def span(seconds: float) -> str:
    """A time as a person says it.

    >>> span(8.2), span(100.0), span(4000.0)
    ('8 s', '2 min', '1 h 7 min')
    """
    if seconds < 90.0:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60.0)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def left(done: float, total: float, seconds: float) -> str:
    """How long the rest will take, as a clause; "" where nothing is done yet.

    >>> left(10, 40, 60.0)
    ', 3 min left'
    """
    return "" if done <= 0 or total <= done else f", {span(seconds * (total - done) / done)} left"

"""Which time may be believed where something is deleted for its age: a clock that jumped may not decide that."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

DAY = 86_400.0
NEAR = DAY  # a clock within so many seconds of what is known is right
STEADY = 7 * DAY  # one that is not is believed when it has run so long without another jump
_WAVER = 60.0  # seconds that a clock may be set by while it is watched: time servers do that


class Believed:
    """Seconds since 1970, as far as they are certain: ``time`` never follows a jump of the clock at once.

    ``known`` and ``steady`` are what an earlier run left (None: nothing is known, the clock is believed). While the
    clock is within a day of what is known plus the time that passed since, it is right. Where it is not,
    ``time`` goes on by the seconds that this process counts itself, until the clock has run for a week without
    another jump.

    >>> now = [1_000_000.0]
    >>> believed = Believed(known=1_000_000.0, clock=lambda: now[0] + 400 * DAY, monotonic=lambda: now[0])
    >>> believed.look(), believed.jumped
    (1000000.0, 34560000.0)
    """

    def __init__(
        self,
        known: float | None,
        steady: float = 0.0,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock, self._monotonic = clock, monotonic
        self._lock = threading.Lock()
        self._wall, self._run = clock(), monotonic()
        self.time = self._wall if known is None else known
        self.steady = steady  # seconds for which a clock that jumped has run without another jump
        self.jumped = (
            0.0  # seconds by which the clock is ahead of what is believed (below 0: behind); 0: it is right
        )
        self.look()

    def look(self) -> float:
        """Look at the clock; the time that is believed."""
        with self._lock:
            return self._look()

    def _look(self) -> float:
        wall, run = self._clock(), self._monotonic()
        ran, moved = run - self._run, wall - self._wall
        self._wall, self._run = wall, run
        expected = self.time + max(0.0, ran)
        if abs(wall - expected) <= NEAR:
            self.time, self.steady, self.jumped = wall, 0.0, 0.0
            return self.time
        self.steady = self.steady + ran if abs(moved - ran) <= _WAVER else 0.0
        self.time = expected
        self.jumped = wall - expected
        if self.steady >= STEADY:
            self.time, self.steady, self.jumped = wall, 0.0, 0.0
        return self.time

    def oldest(self, days: float) -> float:
        """What is older than so many days began or was written before this moment, seconds since 1970."""
        return min(self.look(), self._wall) - days * DAY

    def in_words(self) -> str:
        """What to say of a clock that jumped; "" where it did not."""
        if not self.jumped:
            return ""
        there, known = _day(self._wall), _day(self.time)
        return (
            f"the clock says {there}, {abs(self.jumped) / DAY:.0f} days {'after' if self.jumped > 0 else 'before'} "
            f"the last time known here ({known}): what is old is counted from {known} until the clock has run "
            f"steadily for {STEADY / DAY:.0f} days, so that nothing is deleted because it was set wrong"
        )


def _day(moment: float) -> str:
    try:
        return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d")
    except (ValueError, OverflowError, OSError):  # no calendar has it
        return f"{moment:g} s since 1970"

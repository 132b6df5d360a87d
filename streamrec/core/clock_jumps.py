"""The time by which old data is deleted: it does not follow a jump of the system clock at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

DAY = 86_400.0
NEAR = DAY  # seconds; a clock that is within this of the expected time is right
STEADY = 7 * DAY  # a clock that is not is trusted after so long without another jump
_WAVER = 60.0  # seconds by which time servers set a clock while it runs


def steady() -> float:
    """Seconds of a clock that is never set, and that goes on while the machine sleeps, where the system has one.

    >>> steady() <= steady()
    True
    """
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot is None else time.clock_gettime(boot)


class TrustedClock:
    """Seconds since 1970 that can be trusted: ``time`` never follows a jump of the clock at once.

    ``known`` and ``steady`` are what an earlier run stored (None: nothing is known, the clock is trusted). While the
    clock is within a day of the expected time, the last known one plus the time that passed, it is right. Where it
    is not, ``time`` advances by the monotonic clock until the system clock has run for a week without another jump.

    >>> now = [1_000_000.0]
    >>> trusted = TrustedClock(known=1_000_000.0, clock=lambda: now[0] + 400 * DAY, monotonic=lambda: now[0])
    >>> trusted.check(), trusted.jumped
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
        self.jumped = 0.0  # seconds by which the clock is ahead of ``time`` (below 0: behind); 0: it is right
        self.check()

    def check(self) -> float:
        """Read the clock and return the trusted time."""
        with self._lock:
            return self._check()

    def _check(self) -> float:
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
        """The moment so many days ago, seconds since 1970: what is from before it is older."""
        return min(self.check(), self._wall) - days * DAY

    def warning(self) -> str:
        """A message about a clock that jumped; "" where it did not."""
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
    except (ValueError, OverflowError, OSError):  # out of range for a date
        return f"{moment:g} s since 1970"

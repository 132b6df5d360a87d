"""Whether a camera's clock keeps time: judged by when its pictures arrive, for both of them pass the same seconds."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

BACK_SECONDS = 1.0  # a clock that goes back by less stumbles; by more, it was set
JUMP_SECONDS = 3.0  # ahead by more than this and the time that passed: it was set
JUMPS, JUMPS_SECONDS = 3, 60.0  # so many times in so long: nobody sets a clock so often

SPAN_SECONDS, SPAN_PICTURES = 1.0, 4  # the least that a clock is judged by
EARLY_SECONDS = (
    0.3  # a picture may seem to come so much sooner than the first one did; more waited on the way
)
BACKLOG_SHARE, BACKLOG_SECONDS = (
    0.25,
    0.01,
)  # who waited for less of the time between two pictures reads a backlog
STOOD_SECONDS = 0.002  # ahead by no more than this a picture: it stands
FAST_SPANS, FAST_GAIN = 3, 0.1  # so many spans in a row, in each of which it gains such a part
LONG_SECONDS, LONG_GAIN = 30.0, 0.05  # or such a part of a longer while: a clock that is a little fast
IDLE_SHARE = 0.4  # of the time nothing was there to be read: what comes is no backlog
EVIDENCE_SECONDS, EVIDENCE_PICTURES = 10.0, 12  # of late, by which a slow line is told from a slow clock
FITS, CLEARLY = 0.35, 0.5  # one explanation is off by at most this, and by at most this part of the other
TELLS_APART = 0.12  # which is off by at least this: pictures of one size fit both
GOOD_SECONDS, GOOD_MOST = 30.0, 3600.0  # right for so long: believed again; twice as long each time
GOOD_DRIFT = 0.1  # seconds a second by which a span of a right clock may be wrong, and as many seconds
GOOD_TOTAL = 1.0  # seconds by which it may be wrong in all that time
SAME_RATE = 0.03  # two rates that differ by such a part are the same


class Slow(StrEnum):
    """Why pictures come later and later by the camera's clock."""

    line = "the line"  # they arrive as their bytes do
    clock = "the clock"  # they arrive as they were taken, at a steady other rate
    unknown = "unknown"


@dataclass(frozen=True, slots=True)
class Mark:
    """A picture that came."""

    told: float  # seconds on the camera's clock
    captured: float  # time.monotonic()
    read: int | None = None  # bytes of all pictures so far; None: not known
    idle: float | None = None  # seconds in all in which there was nothing to read; None: not known


def was_set(told: float, passed: float) -> bool:
    """Whether a clock that moved so far, while so many seconds passed, was set."""
    return told < -BACK_SECONDS or told > max(passed, 0.0) + JUMP_SECONDS


class Timekeeping:
    """Follows a camera's clock; ``step`` says of each picture whether its time is to be believed.

    An honest clock and the arrivals differ by what waits on the way: that is bounded, and what came late is made
    up for. A clock that lies drifts away for ever, stands, runs back, or jumps again and again. One that was a liar
    and keeps time for half a minute is believed again, after that only for longer.
    """

    def __init__(self) -> None:
        self.reason = ""  # what is wrong with the clock, in words; "": nothing
        self.trusted = True
        self.jumped = False  # the clock was set with the last picture
        self.sure = True  # that it is the clock: pictures cannot be late by it
        self._before: Mark | None = None
        self._span: Mark | None = None  # where the span that is under way began
        self._pictures = 0  # in it
        self._marks: deque[Mark] = deque()  # of late
        self._gains: deque[tuple[Mark, float]] = (
            deque()
        )  # ends of spans, and by how much it was ahead at most
        self.early = 0.0  # seconds by which its times are to be put back: no picture is taken after it came
        self._allowed = EARLY_SECONDS  # by which it may be ahead of where it began
        self._base = 0.0  # where that was
        self._ahead: float | None = None  # the most that the clock was ahead of the arrivals, at this opening
        self._fast = 0  # spans in a row in which it gained
        self._jumps: deque[float] = deque()
        self._slow_rate: float | None = None  # at the last opening that ended for pictures that came too late
        self._good: tuple[Mark, float] | None = (
            None  # since when it has been right again, and the sum of its errors
        )
        self._need = GOOD_SECONDS

    def reopened(self) -> None:
        """Another opening: the clock begins anew, what is known of the camera stays."""
        self._before = self._span = self._ahead = self._good = None
        self._pictures = self._fast = 0
        self.early, self._allowed = 0.0, EARLY_SECONDS
        self._marks.clear()
        self._gains.clear()

    def step(self, mark: Mark, *, paced: bool = False) -> bool:
        """Whether the time of the next picture is to be believed.

        ``paced``: pictures of one piece are held back until they are due by this very clock, whose rate can then
        not be seen.
        """
        before, self._before = self._before, mark
        self.jumped = False
        if before is None or self._span is None:
            self._begin(mark)
            return self.trusted
        if was_set(mark.told - before.told, mark.captured - before.captured):
            self._jumped(mark)
            return self.trusted
        self._marks.append(mark)
        while (
            len(self._marks) > 3 * EVIDENCE_PICTURES
            and mark.captured - self._marks[0].captured > EVIDENCE_SECONDS
        ):
            self._marks.popleft()
        self._pictures += 1
        self._follow(before, mark)
        if self._pictures >= SPAN_PICTURES and mark.captured - self._span.captured >= SPAN_SECONDS:
            self._judge(self._span, mark, paced=paced)
            self._span, self._pictures = mark, 0
        return self.trusted

    def _follow(self, before: Mark, mark: Mark) -> None:
        """How far the clock is ahead. What was there to be read may be: the first of it had waited on the way."""
        lead = mark.told - mark.captured
        gain = 0.0 if self._ahead is None else max(0.0, lead - self._ahead)
        self._ahead = lead if self._ahead is None else max(lead, self._ahead)
        if mark.idle is None or before.idle is None:
            return
        waited = mark.idle - before.idle
        if waited < min(BACKLOG_SHARE * max(mark.told - before.told, 0.0), BACKLOG_SECONDS):
            self._allowed += gain
        elif (excess := lead - self._base - self._allowed) > 0:
            self.early, self._allowed = self.early + excess, self._allowed + excess

    def slow(self) -> Slow:
        """Why pictures come later and later, by those of the last seconds."""
        marks = list(self._marks)[len(self._marks) // 3 :]  # not those with which an opening may have begun
        if len(marks) < EVIDENCE_PICTURES or any(mark.read is None for mark in marks):
            return Slow.unknown
        waits = [b.captured - a.captured for a, b in pairwise(marks)]
        by_clock = misfit(waits, [b.told - a.told for a, b in pairwise(marks)])
        by_bytes = misfit(waits, [float((b.read or 0) - (a.read or 0)) for a, b in pairwise(marks)])
        if max(by_clock, by_bytes) < TELLS_APART:
            return Slow.unknown
        if by_clock <= FITS and by_clock <= CLEARLY * by_bytes:
            return Slow.clock
        if by_bytes <= CLEARLY * by_clock:
            return Slow.line
        return Slow.unknown

    def lagged(self) -> Slow:
        """Pictures come too late: why; of a clock that is slow, nothing is believed from now on."""
        found, rate = self.slow(), self.rate()
        if found is Slow.clock:
            self._distrust(f"the camera's clock runs at {_times(rate)} times ours")
        elif found is Slow.unknown:
            # Another opening did not help, and it is slow by as much: true times cannot be had from it, whatever it
            # is. The line is still looked at.
            if self._slow_rate is not None and abs(rate / max(self._slow_rate, 1e-6) - 1.0) <= SAME_RATE:
                self._distrust("the camera's clock or the line to it is slow", sure=False)
            self._slow_rate = rate
        return found

    def rate(self) -> float:
        """Seconds of the camera's clock to one of ours, of late."""
        if len(self._marks) < 2:
            return 1.0
        first, last = self._marks[0], self._marks[-1]
        passed = last.captured - first.captured
        return (last.told - first.told) / passed if passed > 0 else 1.0

    def _begin(self, mark: Mark) -> None:
        self._span, self._pictures, self._fast = mark, 0, 0
        self._ahead = self._base = mark.told - mark.captured
        self._allowed = EARLY_SECONDS
        self._marks.clear()
        self._marks.append(mark)
        self._gains.clear()
        self._gains.append((mark, self._ahead))

    def _jumped(self, mark: Mark) -> None:
        self._good, self.jumped = None, True
        self._jumps.append(mark.captured)
        while mark.captured - self._jumps[0] > JUMPS_SECONDS:
            self._jumps.popleft()
        self._begin(mark)
        if len(self._jumps) >= JUMPS:
            self._distrust("the camera's clock jumps again and again")

    def _judge(self, first: Mark, last: Mark, *, paced: bool) -> None:
        moved, passed = last.told - first.told, last.captured - first.captured
        if moved <= STOOD_SECONDS * self._pictures:
            how = "runs back" if moved < -STOOD_SECONDS * self._pictures else "stands still"
            self._distrust(f"the camera's clock {how}")
        elif not paced:
            self._look_for_gains(first, last)
        if not self.trusted:
            self._redeem(last, moved - passed, passed)

    def _look_for_gains(self, first: Mark, last: Mark) -> None:
        assert self._ahead is not None
        passed = last.captured - first.captured
        backlog = _idle_share(first, last) < IDLE_SHARE
        gain = self._ahead - self._gains[-1][1]
        self._fast = self._fast + 1 if gain >= FAST_GAIN * passed and not backlog else 0
        self._gains.append((last, self._ahead))
        while len(self._gains) > 2 and last.captured - self._gains[1][0].captured >= LONG_SECONDS:
            self._gains.popleft()
        if self._fast >= FAST_SPANS:
            since = self._gains[-FAST_SPANS][0]  # the first of them may hold what came at once at an opening
        elif not backlog and self._gains_steadily():
            since = self._gains[0][0]
        else:
            return
        rate = (last.told - since.told) / max(last.captured - since.captured, 1e-6)
        self._distrust(f"the camera's clock runs at {_times(rate)} times ours")

    def _gains_steadily(self) -> bool:
        """Whether it gained in each third of a long while: a backlog that is made up for is gained at once."""
        (first, _), (last, _) = self._gains[0], self._gains[-1]
        third = (last.captured - first.captured) / 3
        if 3 * third < LONG_SECONDS:
            return False
        borders = [first.captured + number * third for number in range(4)]
        ahead = [
            max(most for mark, most in self._gains if mark.captured <= border + 1e-6) for border in borders
        ]
        return all(b - a >= LONG_GAIN * third for a, b in pairwise(ahead))

    def _distrust(self, what: str, *, sure: bool = True) -> None:
        self._good = None
        if self.trusted:
            self.trusted, self.sure = False, sure
            self.reason = f"{what}; arrival times are used"
        elif sure:
            self.sure = True

    def _redeem(self, last: Mark, error: float, passed: float) -> None:
        """A span of a clock that is not believed."""
        if abs(error) > GOOD_DRIFT * (passed + 1.0):
            self._good = None
            return
        since, total = self._good or (last, 0.0)
        total += error if self._good is not None else 0.0
        self._good = (since, total) if abs(total) <= GOOD_TOTAL else None
        if self._good is not None and last.captured - since.captured >= self._need:
            self.trusted, self.sure, self.reason, self._good = True, True, "", None
            self._need = min(2 * self._need, GOOD_MOST)
            self._slow_rate = None
            self._jumps.clear()
            self._begin(last)


def misfit(waits: Sequence[float], causes: Sequence[float]) -> float:
    """By which part of all of them ``waits`` differ from what is proportional to ``causes``.

    >>> misfit([2.0, 2.0, 2.0], [1.0, 1.0, 1.0]), misfit([2.0, 2.0, 2.0], [1.0, 4.0, 1.0])
    (0.0, 0.666...)
    """
    time, cause = sum(waits), sum(causes)
    if time <= 0 or cause <= 0:
        return 1.0
    return sum(abs(wait - time * part / cause) for wait, part in zip(waits, causes, strict=True)) / time


def _times(rate: float) -> str:
    """A rate in so many digits that it is not 1."""
    if rate < 0.1:
        return f"{max(rate, 0.0):.1g}"
    return f"{rate:.2f}" if 0.87 < rate < 1.15 else f"{rate:.1f}"


def _idle_share(first: Mark, last: Mark) -> float:
    """Of the time between two pictures the part in which there was nothing to read; 1 where that is not known."""
    passed = last.captured - first.captured
    if first.idle is None or last.idle is None or passed <= 0:
        return 1.0
    return (last.idle - first.idle) / passed

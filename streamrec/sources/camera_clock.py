"""Whether a camera's clock keeps time, judged by the arrival of its frames."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

BACK_SECONDS = 1.0  # a clock that goes back by less jitters; by more, it was set
JUMP_SECONDS = 3.0  # ahead of the time that passed by more than this: it was set
JUMPS, JUMPS_SECONDS = 3, 60.0  # so many jumps in so long are a fault of the clock

SPAN_SECONDS, SPAN_FRAMES = 1.0, 4  # the shortest span that a clock is judged by
EARLY_SECONDS = 0.3  # a frame may seem to arrive so much sooner than the first one did; more is backlog
BACKLOG_SHARE, BACKLOG_SECONDS = 0.25, 0.01  # waiting less of the time between two frames reads a backlog
STOOD_SECONDS = 0.002  # a clock that advances by no more than this a frame stands still
FAST_SPANS, FAST_GAIN = 3, 0.1  # so many spans in a row, in each of which it gains such a share
LONG_SECONDS, LONG_GAIN = 30.0, 0.05  # or such a share of a longer time: a clock that is a little fast
IDLE_SHARE = 0.4  # of the time nothing was there to be read: the frames are no backlog
EVIDENCE_SECONDS, EVIDENCE_FRAMES = 10.0, 12  # the recent frames that separate a slow line from a slow clock
FITS, CLEARLY = 0.35, 0.5  # the misfit of the chosen cause is at most this, and this share of the other's
BOTH_FIT = 0.12  # no decision where both misfits are below this, as for frames of one size
GOOD_SECONDS, GOOD_MOST = 30.0, 3600.0  # right for so long: trusted again; twice as long each time
GOOD_DRIFT = 0.1  # seconds a second by which a span of a right clock may be wrong, and as many seconds
GOOD_TOTAL = 1.0  # seconds by which it may be wrong in all that time
SAME_RATE = 0.03  # two rates that differ by at most such a share are the same


class Slow(StrEnum):
    """Why frames arrive later and later by the camera's clock."""

    line = "the line"  # they arrive in proportion to their bytes
    clock = "the clock"  # they arrive as they were taken, at a steady other rate
    unknown = "unknown"


@dataclass(frozen=True, slots=True)
class Mark:
    """The arrival of a frame."""

    camera_time: float  # seconds on the camera's clock
    captured: float  # time.monotonic()
    read: int | None = None  # bytes of all frames so far; None: not known
    idle: float | None = None  # seconds so far in which there was nothing to read; None: not known


def was_set(moved: float, passed: float) -> bool:
    """Whether a clock that moved so far, while so many seconds passed, was set."""
    return moved < -BACK_SECONDS or moved > max(passed, 0.0) + JUMP_SECONDS


class ClockMonitor:
    """Follows a camera's clock; ``step`` returns for each frame whether its time can be trusted.

    A right clock and the arrivals differ by the delay on the way, which is bounded, and which shrinks again. A wrong
    clock drifts away without a bound, stands, runs back, or jumps again and again. One that was wrong and keeps time
    for half a minute is trusted again, the next time only after longer.
    """

    def __init__(self) -> None:
        self.reason = ""  # what is wrong with the clock; "": nothing
        self.trusted = True
        self.jumped = False  # the clock was set at the last frame
        self.sure = True  # that the clock is wrong, and not the line: frames cannot be late by it
        self._before: Mark | None = None
        self._span: Mark | None = None  # where the span that is under way began
        self._frames = 0  # in it
        self._marks: deque[Mark] = deque()  # the recent ones
        self._gains: deque[tuple[Mark, float]] = deque()  # ends of spans, and the most that it was ahead
        self.early = 0.0  # seconds to subtract from its times: no frame is taken after it arrived
        self._allowed = EARLY_SECONDS  # by which it may be ahead of where it began
        self._base = 0.0  # where that was
        self._ahead: float | None = None  # the most that the clock was ahead of the arrivals, at this opening
        self._fast = 0  # spans in a row in which it gained
        self._jumps: deque[float] = deque()
        self._slow_rate: float | None = None  # at the last opening that ended for a lag
        self._good: tuple[Mark, float] | None = (
            None  # since when it is right again, and the sum of its errors
        )
        self._need = GOOD_SECONDS

    def reopened(self) -> None:
        """Another opening: the clock starts anew; what is known of the camera is kept."""
        self._before = self._span = self._ahead = self._good = None
        self._frames = self._fast = 0
        self.early, self._allowed = 0.0, EARLY_SECONDS
        self._marks.clear()
        self._gains.clear()

    def step(self, mark: Mark, *, paced: bool = False) -> bool:
        """Whether the time of the next frame can be trusted.

        ``paced``: frames of one piece are held back until they are due by this very clock, so that its rate cannot
        be measured.
        """
        before, self._before = self._before, mark
        self.jumped = False
        if before is None or self._span is None:
            self._begin(mark)
            return self.trusted
        if was_set(mark.camera_time - before.camera_time, mark.captured - before.captured):
            self._jumped(mark)
            return self.trusted
        self._marks.append(mark)
        while (
            len(self._marks) > 3 * EVIDENCE_FRAMES
            and mark.captured - self._marks[0].captured > EVIDENCE_SECONDS
        ):
            self._marks.popleft()
        self._frames += 1
        self._follow(before, mark)
        if self._frames >= SPAN_FRAMES and mark.captured - self._span.captured >= SPAN_SECONDS:
            self._judge(self._span, mark, paced=paced)
            self._span, self._frames = mark, 0
        return self.trusted

    def _follow(self, before: Mark, mark: Mark) -> None:
        """Measure how far the clock is ahead. Frames of a backlog may be: the first of them was delayed on the way."""
        lead = mark.camera_time - mark.captured
        gain = 0.0 if self._ahead is None else max(0.0, lead - self._ahead)
        self._ahead = lead if self._ahead is None else max(lead, self._ahead)
        if mark.idle is None or before.idle is None:
            return
        waited = mark.idle - before.idle
        if waited < min(BACKLOG_SHARE * max(mark.camera_time - before.camera_time, 0.0), BACKLOG_SECONDS):
            self._allowed += gain
        elif (excess := lead - self._base - self._allowed) > 0:
            self.early, self._allowed = self.early + excess, self._allowed + excess

    def slow(self) -> Slow:
        """Why frames arrive later and later, by those of the last seconds."""
        marks = list(self._marks)[len(self._marks) // 3 :]  # without those of a burst at the opening
        if len(marks) < EVIDENCE_FRAMES or any(mark.read is None for mark in marks):
            return Slow.unknown
        waits = [b.captured - a.captured for a, b in pairwise(marks)]
        by_clock = misfit(waits, [b.camera_time - a.camera_time for a, b in pairwise(marks)])
        by_bytes = misfit(waits, [float((b.read or 0) - (a.read or 0)) for a, b in pairwise(marks)])
        if max(by_clock, by_bytes) < BOTH_FIT:
            return Slow.unknown
        if by_clock <= FITS and by_clock <= CLEARLY * by_bytes:
            return Slow.clock
        if by_bytes <= CLEARLY * by_clock:
            return Slow.line
        return Slow.unknown

    def lagged(self) -> Slow:
        """Why frames arrive too late; a clock that is slow is not trusted from now on."""
        found, rate = self.slow(), self.rate()
        if found is Slow.clock:
            self._distrust(f"the camera's clock runs at {_times(rate)} times ours")
        elif found is Slow.unknown:
            # Another opening did not help, and it is slow by as much: its times are wrong, whatever the cause is.
            # The line is still monitored.
            if self._slow_rate is not None and abs(rate / max(self._slow_rate, 1e-6) - 1.0) <= SAME_RATE:
                self._distrust("the camera's clock or the line to it is slow", sure=False)
            self._slow_rate = rate
        return found

    def rate(self) -> float:
        """Recent seconds of the camera's clock to one of ours."""
        if len(self._marks) < 2:
            return 1.0
        first, last = self._marks[0], self._marks[-1]
        passed = last.captured - first.captured
        return (last.camera_time - first.camera_time) / passed if passed > 0 else 1.0

    def _begin(self, mark: Mark) -> None:
        self._span, self._frames, self._fast = mark, 0, 0
        self._ahead = self._base = mark.camera_time - mark.captured
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
        moved, passed = last.camera_time - first.camera_time, last.captured - first.captured
        if moved <= STOOD_SECONDS * self._frames:
            how = "runs back" if moved < -STOOD_SECONDS * self._frames else "stands still"
            self._distrust(f"the camera's clock {how}")
        elif not paced:
            self._check_gains(first, last)
        if not self.trusted:
            self._redeem(last, moved - passed, passed)

    def _check_gains(self, first: Mark, last: Mark) -> None:
        assert self._ahead is not None
        passed = last.captured - first.captured
        backlog = _idle_share(first, last) < IDLE_SHARE
        gain = self._ahead - self._gains[-1][1]
        self._fast = self._fast + 1 if gain >= FAST_GAIN * passed and not backlog else 0
        self._gains.append((last, self._ahead))
        while len(self._gains) > 2 and last.captured - self._gains[1][0].captured >= LONG_SECONDS:
            self._gains.popleft()
        if self._fast >= FAST_SPANS:
            since = self._gains[-FAST_SPANS][0]  # the first of them may hold a burst at the opening
        elif not backlog and self._gains_steadily():
            since = self._gains[0][0]
        else:
            return
        rate = (last.camera_time - since.camera_time) / max(last.captured - since.captured, 1e-6)
        self._distrust(f"the camera's clock runs at {_times(rate)} times ours")

    def _gains_steadily(self) -> bool:
        """Whether it gained in each third of a long time; a backlog that is read is gained at once."""
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
        """Judge a span of a clock that is not trusted."""
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
    """The share by which ``waits`` differ from values proportional to ``causes``.

    >>> misfit([2.0, 2.0, 2.0], [1.0, 1.0, 1.0]), misfit([2.0, 2.0, 2.0], [1.0, 4.0, 1.0])
    (0.0, 0.666...)
    """
    time, cause = sum(waits), sum(causes)
    if time <= 0 or cause <= 0:
        return 1.0
    return sum(abs(wait - time * part / cause) for wait, part in zip(waits, causes, strict=True)) / time


def _times(rate: float) -> str:
    """A rate with enough digits to differ from 1."""
    if rate < 0.1:
        return f"{max(rate, 0.0):.1g}"
    return f"{rate:.2f}" if 0.87 < rate < 1.15 else f"{rate:.1f}"


def _idle_share(first: Mark, last: Mark) -> float:
    """The share of the time between two frames in which there was nothing to read; 1 where that is not known."""
    passed = last.captured - first.captured
    if first.idle is None or last.idle is None or passed <= 0:
        return 1.0
    return (last.idle - first.idle) / passed

"""What can be told of pictures by how and when they come: the rhythm, a lag, a standstill, a clock that was set."""

from __future__ import annotations

import math
import time
import zlib
from collections import deque

import numpy as np

from streamrec.sources.camera_clock import JUMP_SECONDS, was_set
from streamrec.sources.reader_thread import TRUSTED, TRUSTED_SECONDS, Shot

STEADY_SECONDS = 2.0  # live for so long: what comes then is a fault of its own

FROZEN_SECONDS = 30.0  # the same picture for so long is a frozen one
STILL_LEVELS = 40  # grey levels that an encoder may be off between two key frames of the same picture
STILL_KEYS = 16  # so many different key frames it may make of it
STILL_AGAIN, STILL_SHARE = 4, 2 / 3  # of those of late so many, and such a part, had been there before
LAG_SECONDS = (
    2.0  # so much later than they could, and no sooner: the line is too slow, what waits on it is old
)
LAG_STAYS = 0.5  # after so long it is sure that they come no sooner
LAG_DRIFT = 0.01  # seconds a second that a camera's clock may be wrong


class Rhythm:
    """How often good pictures come."""

    def __init__(self) -> None:
        self.last: float | None = None  # time.monotonic() of the last one that is trusted
        self.interval = 0.0  # seconds; the longest of late, for a rate may vary
        self.whole = 0.0  # the same without those in which torn pictures came: damage makes no camera slow
        self._before: float | None = None
        self._told: float | None = None

    def beat(self, shot: Shot, *, trusted: bool, follows: bool) -> None:
        """A picture came; ``follows``: no torn one was between it and the one before."""
        if self._before is not None:
            gap = shot.captured - self._before
            if shot.told is not None and self._told is not None:
                told = shot.told - self._told
                gap = told if 0.0 <= told <= gap + JUMP_SECONDS else gap  # a line that stops is no rhythm
            self.interval = min(max(gap, 0.95 * self.interval), 15.0)
            if follows:
                self.whole = min(max(gap, 0.95 * self.whole), 15.0)
        self._before, self._told = shot.captured, shot.told
        if trusted:
            self.last = shot.captured

    def silence(self) -> float:
        """Seconds since the last one; 0 before the first."""
        return 0.0 if self.last is None else time.monotonic() - self.last


class Trust:
    """Whether good pictures may be believed, after torn ones."""

    def __init__(self, *, wary: bool = False) -> None:
        self.is_lost = wary  # torn ones came, and what came since does not bear it out yet that they are over
        self.good = 0  # in a row
        self._torn_at = time.monotonic()
        self._regained: float | None = None  # when, after a while without, though damage may go unmarked

    def lost_again(self, now: float) -> bool:
        """A torn one came; whether the few before it were believed too early."""
        early = self._regained is not None and now - self._regained < STEADY_SECONDS
        self.good, self.is_lost, self._torn_at, self._regained = 0, True, now, None
        return early

    def bear_out(self, shot: Shot, *, late: bool) -> None:
        """A good one came; ``late``: none that was believed has come for a while."""
        self.good += 1
        calm = shot.alone or shot.captured - self._torn_at >= TRUSTED_SECONDS
        if self.is_lost and (shot.sure or (self.good >= TRUSTED and calm)):
            self.is_lost = False
            self._regained = shot.captured if late and not shot.sure else None


class Lag:
    """How much later pictures come than they could, by the camera's clock.

    >>> lag = Lag()
    >>> moments = ((0.0, 9.0), (1.0, 9.5), (2.0, 11.0), (3.0, 14.5))
    >>> [round(lag.step(told, captured, 2.0), 1) for told, captured in moments]
    [0.0, 0.0, 0.5, 2.9]
    """

    def __init__(self) -> None:
        self._least: float | None = None  # the shortest way from the camera's clock to ours
        self._before: float | None = None
        self._late: deque[tuple[float, float]] = deque()  # when, and by how much, since it has been too much

    def step(self, told: float, captured: float, limit: float) -> float:
        """Seconds that the next picture is late; more than ``limit`` is too much."""
        way = captured - told
        if self._least is None or self._before is None:
            self._least, self._before = way, captured
        self._least = min(way, self._least + LAG_DRIFT * (captured - self._before))
        self._before = captured
        late = way - self._least
        if late < limit:
            self._late.clear()
        else:
            self._late.append((captured, late))
        while len(self._late) > 1 and captured - self._late[1][0] >= LAG_STAYS:
            self._late.popleft()
        return late

    def lasts(self, now: float) -> bool:
        """Whether it has been too much for a while, and does not become less."""
        return (
            bool(self._late) and now - self._late[0][0] >= LAG_STAYS and self._late[-1][1] >= self._late[0][1]
        )


class Stillness:
    """Whether the very same picture comes again and again.

    What tells is the key frames: each encodes the whole picture anew. Of a live scene each is another one, at night
    and at a low bit rate too, for a sensor has noise; of one picture an encoder makes only a few, one for each
    quality that it comes to. Between two of them it refines what it has: those may be off by a little, what moves
    is off by more. A picture that was drawn may stand still and be live: hence the long wait, and hence a frozen
    picture is told and held back, and is no reason to open the camera again.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._sample: np.ndarray | None = None  # of the picture with which it came to rest
        self._since = 0.0  # when that was
        self._keys: set[int] = set()  # checksums of the key frames since
        self._came: deque[tuple[float, bool]] = deque()  # those of late: when, and whether it had been there
        self._new = 0  # how many of the last had not, in a row
        self._is_frozen = False

    def frozen(self, shot: Shot) -> bool:
        """Whether the next picture is one of those that stand still."""
        if self._seconds == math.inf:
            return False
        sample = shot.image[2::4, 2::4, 1]  # green: most of what is bright or dark
        if self._sample is None or _moved(self._sample, sample):
            self._sample = sample.copy()
            self._begin(shot)
        if shot.key:
            self._look(shot)
        return self._is_frozen

    def _look(self, shot: Shot) -> None:
        key = zlib.crc32(np.ascontiguousarray(shot.image).data)
        known = key in self._keys
        self._new = 0 if known else self._new + 1
        # One new one of a picture that is frozen may be of a quality that is rare.
        if not known and (self._new > 1 if self._is_frozen else len(self._keys) >= STILL_KEYS):
            self._begin(shot)
        self._keys.add(key)
        self._came.append((shot.captured, known))
        while len(self._came) > 2 * STILL_AGAIN and shot.captured - self._came[0][0] > self._seconds:
            self._came.popleft()
        again = sum(known for _, known in self._came)
        enough = max(STILL_AGAIN, 2 * len(self._keys), STILL_SHARE * len(self._came))
        if shot.captured - self._since >= self._seconds and again >= enough:
            self._is_frozen = True

    def _begin(self, shot: Shot) -> None:
        self._since, self._new, self._is_frozen = shot.captured, 0, False
        self._keys.clear()
        self._came.clear()


def _moved(one: np.ndarray, other: np.ndarray) -> bool:
    if one.shape != other.shape:
        return True
    return bool((np.maximum(one, other) - np.minimum(one, other)).max() > STILL_LEVELS)


class Clock:
    """Times (s) on the source's clock: monotone, by the camera's own clock where it tells one that is believed."""

    def __init__(self, started: float) -> None:
        self._started = started  # time.monotonic() that counts as 0
        self._last: float | None = None
        self._offset: float | None = None
        self._ahead = 0.0  # seconds that the times by the camera's clock were ahead of the arrivals
        self._told = self._passed = 0.0

    def restart(self) -> None:
        """Another opening: its clock has nothing to do with the one before."""
        self._offset, self._ahead = None, 0.0

    def step(self, told: float | None, captured: float) -> tuple[float, bool]:
        """The next picture's time, and whether the camera's clock was set; ``told`` None: by its arrival."""
        now = captured - self._started
        at_least = -math.inf if self._last is None else self._last + 0.001
        jumped = False
        if told is None:
            if self._offset is not None and self._last is not None:  # its clock is believed no more
                self._ahead, self._offset = max(0.0, self._last - self._passed), None
            self._last = max(now + self._ahead, at_least)
            return self._last, False
        if self._offset is not None:
            moved, passed = told - self._told, now - self._passed
            if was_set(moved, passed):
                jumped = True
                self._offset = max((self._last or 0.0) + passed, at_least) - told
        else:
            self._offset = max(now + self._ahead, at_least) - told
        self._told, self._passed = told, now
        self._last = max(told + self._offset, at_least)
        return self._last, jumped

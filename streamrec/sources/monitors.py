"""Monitors of a stream of frames: their timing, damage, lag, a frozen image, and the clock of their timestamps."""

from __future__ import annotations

import math
import time
import zlib
from collections import deque

import numpy as np

from streamrec.sources.camera_clock import JUMP_SECONDS, was_set
from streamrec.sources.reader_thread import TRUSTED, TRUSTED_SECONDS, DecodedFrame

STEADY_SECONDS = 2.0  # live for so long: a fault after that is a new one

FROZEN_SECONDS = 30.0  # the same image for so long is a frozen one
STILL_LEVELS = 40  # grey levels by which an encoder may be off between two key frames of the same image
STILL_KEYS = 16  # so many different key frames it may make of it
STILL_AGAIN, STILL_SHARE = 4, 2 / 3  # so many recent key frames, and such a share, had been there before
LAG_SECONDS = 2.0  # frames that stay so much later than they could be: the line is too slow for them
LAG_STAYS = 0.5  # seconds after which it is certain that the lag does not shrink
LAG_DRIFT = 0.01  # seconds a second that a camera's clock may be wrong


class FrameTiming:
    """The interval between good frames, and the time since the last one."""

    def __init__(self) -> None:
        self.last: float | None = None  # time.monotonic() of the last trusted frame
        self.interval = 0.0  # seconds; the longest recent one, for a rate may vary
        self.undamaged = 0.0  # the same without intervals with torn frames: damage makes no camera slow
        self._captured: float | None = None  # of the frame before
        self._camera_time: float | None = None

    def add(self, frame: DecodedFrame, *, trusted: bool, follows: bool) -> None:
        """Measure the next good frame; ``follows``: no torn one was between it and the one before."""
        if self._captured is not None:
            gap = frame.captured - self._captured
            if frame.camera_time is not None and self._camera_time is not None:
                by_camera = frame.camera_time - self._camera_time
                gap = (
                    by_camera if 0.0 <= by_camera <= gap + JUMP_SECONDS else gap
                )  # not the pauses of the line
            self.interval = min(max(gap, 0.95 * self.interval), 15.0)
            if follows:
                self.undamaged = min(max(gap, 0.95 * self.undamaged), 15.0)
        self._captured, self._camera_time = frame.captured, frame.camera_time
        if trusted:
            self.last = frame.captured

    def silence(self) -> float:
        """Seconds since the last trusted frame; 0 before the first."""
        return 0.0 if self.last is None else time.monotonic() - self.last


class DamageMonitor:
    """Whether frames are suspect after torn ones."""

    def __init__(self, *, wary: bool = False) -> None:
        self.suspect = wary  # torn frames came, and the good ones since do not yet prove that they are over
        self.good = 0  # in a row
        self._torn_at = time.monotonic()
        self._trusted_at: float | None = None  # when trust came back, though damage may go unmarked

    def torn(self, now: float) -> bool:
        """Note a torn frame; whether the few before it were trusted too early."""
        early = self._trusted_at is not None and now - self._trusted_at < STEADY_SECONDS
        self.good, self.suspect, self._torn_at, self._trusted_at = 0, True, now, None
        return early

    def good_frame(self, frame: DecodedFrame, *, late: bool) -> None:
        """Note a good frame; ``late``: no trusted one has come for a while."""
        self.good += 1
        calm = frame.alone or frame.captured - self._torn_at >= TRUSTED_SECONDS
        if self.suspect and (frame.sure or (self.good >= TRUSTED and calm)):
            self.suspect = False
            self._trusted_at = frame.captured if late and not frame.sure else None


class LagMonitor:
    """How much later frames arrive than they could, by the camera's clock.

    >>> lag = LagMonitor()
    >>> moments = ((0.0, 9.0), (1.0, 9.5), (2.0, 11.0), (3.0, 14.5))
    >>> [round(lag.step(camera_time, captured, 2.0), 1) for camera_time, captured in moments]
    [0.0, 0.0, 0.5, 2.9]
    """

    def __init__(self) -> None:
        self._least: float | None = None  # the smallest difference between the camera's clock and ours
        self._before: float | None = None
        self._late: deque[tuple[float, float]] = deque()  # when, and by how much, since it exceeds the limit

    def step(self, camera_time: float, captured: float, limit: float) -> float:
        """Seconds that the next frame is late; more than ``limit`` is too much."""
        difference = captured - camera_time
        if self._least is None or self._before is None:
            self._least, self._before = difference, captured
        self._least = min(difference, self._least + LAG_DRIFT * (captured - self._before))
        self._before = captured
        late = difference - self._least
        if late < limit:
            self._late.clear()
        else:
            self._late.append((captured, late))
        while len(self._late) > 1 and captured - self._late[1][0] >= LAG_STAYS:
            self._late.popleft()
        return late

    def lasts(self, now: float) -> bool:
        """Whether it has exceeded the limit for a while, and does not shrink."""
        return (
            bool(self._late) and now - self._late[0][0] >= LAG_STAYS and self._late[-1][1] >= self._late[0][1]
        )


class FreezeDetector:
    """Whether the very same image arrives again and again.

    The sign is the key frames: each encodes the whole image anew. Those of a live scene all differ, at night and at a
    low bit rate too, for a sensor has noise; of one frozen image an encoder makes only a few, one for each quality
    that it chooses. Between two key frames it refines the image: small differences are allowed there, motion makes
    larger ones. A drawn image may be static and live: hence the long wait, and hence a frozen image is reported and
    held back, and is no reason to open the camera again.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._sample: np.ndarray | None = None  # of the image that it compares with
        self._since = 0.0  # when that one arrived
        self._keys: set[int] = set()  # checksums of the key frames since
        self._recent: deque[tuple[float, bool]] = deque()  # recent key frames: when, and whether it was known
        self._new = 0  # unknown ones in a row
        self._is_frozen = False

    def frozen(self, frame: DecodedFrame) -> bool:
        """Whether the next frame belongs to a frozen image."""
        if self._seconds == math.inf:
            return False
        sample = frame.image[2::4, 2::4, 1]  # green: most of the brightness
        if self._sample is None or _moved(self._sample, sample):
            self._sample = sample.copy()
            self._begin(frame)
        if frame.key:
            self._check_key_frame(frame)
        return self._is_frozen

    def _check_key_frame(self, frame: DecodedFrame) -> None:
        key = zlib.crc32(np.ascontiguousarray(frame.image).data)
        known = key in self._keys
        self._new = 0 if known else self._new + 1
        # One unknown key frame of a frozen image may be of a quality that is rare.
        if not known and (self._new > 1 if self._is_frozen else len(self._keys) >= STILL_KEYS):
            self._begin(frame)
        self._keys.add(key)
        self._recent.append((frame.captured, known))
        while len(self._recent) > 2 * STILL_AGAIN and frame.captured - self._recent[0][0] > self._seconds:
            self._recent.popleft()
        again = sum(known for _, known in self._recent)
        enough = max(STILL_AGAIN, 2 * len(self._keys), STILL_SHARE * len(self._recent))
        if frame.captured - self._since >= self._seconds and again >= enough:
            self._is_frozen = True

    def _begin(self, frame: DecodedFrame) -> None:
        self._since, self._new, self._is_frozen = frame.captured, 0, False
        self._keys.clear()
        self._recent.clear()


def _moved(one: np.ndarray, other: np.ndarray) -> bool:
    if one.shape != other.shape:
        return True
    return bool((np.maximum(one, other) - np.minimum(one, other)).max() > STILL_LEVELS)


class SourceClock:
    """Monotone timestamps (s) of a source: by the camera's own clock where it sends times that are trusted."""

    def __init__(self, started: float) -> None:
        self._started = started  # time.monotonic() that counts as 0
        self._last: float | None = None
        self._offset: float | None = None
        self._ahead = 0.0  # seconds by which times of the camera's clock were ahead of the arrivals
        self._camera_time = self._arrived = 0.0

    def restart(self) -> None:
        """Another opening: its camera clock is unrelated to the one before."""
        self._offset, self._ahead = None, 0.0

    def step(self, camera_time: float | None, captured: float) -> tuple[float, bool]:
        """The next frame's timestamp, and whether the camera's clock was set; ``camera_time`` None: by arrival."""
        now = captured - self._started
        at_least = -math.inf if self._last is None else self._last + 0.001
        jumped = False
        if camera_time is None:
            if self._offset is not None and self._last is not None:  # its clock is trusted no more
                self._ahead, self._offset = max(0.0, self._last - self._arrived), None
            self._last = max(now + self._ahead, at_least)
            return self._last, False
        if self._offset is not None:
            moved, passed = camera_time - self._camera_time, now - self._arrived
            if was_set(moved, passed):
                jumped = True
                self._offset = max((self._last or 0.0) + passed, at_least) - camera_time
        else:
            self._offset = max(now + self._ahead, at_least) - camera_time
        self._camera_time, self._arrived = camera_time, now
        self._last = max(camera_time + self._offset, at_least)
        return self._last, jumped

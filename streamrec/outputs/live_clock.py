"""Timestamps of a live video that only ever grow, and follow the source's clock."""

from __future__ import annotations

import math
import time
from collections.abc import Callable


class LiveClock:
    """Source timestamps -> ticks of a video that is shown or written live.

    Within a segment they follow the source's clock. Where that cannot be, because a new segment begins or the clock
    was set, they go on by the time that has passed on this machine: a camera that was away for a minute leaves a gap
    of a minute.

    >>> now = iter([10.0, 10.5, 70.0, 70.25]).__next__
    >>> clock = LiveClock(ticks=1000, monotonic=now)
    >>> [clock.next(segment, t) for segment, t in [(0, 5.0), (0, 5.5), (1, 0.0), (1, 0.25)]]
    [0, 500, 60000, 60250]
    """

    def __init__(self, *, ticks: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._ticks, self._monotonic = ticks, monotonic
        self._segment = 0
        self._offset = math.nan  # from the source's clock to the video's, in seconds
        self._last = -1
        self._at = 0.0  # monotonic() of the last frame
        self._drift = 5.0  # seconds by which the source's clock may jump within a segment

    def next(self, segment: int, timestamp: float) -> int:
        """The ticks of a frame; the first frame is at 0."""
        now = self._monotonic()
        if self._last < 0:
            seconds = 0.0
        else:
            passed = self._last / self._ticks + now - self._at  # by this machine's clock
            seconds = timestamp + self._offset
            known = segment == self._segment and math.isfinite(seconds)
            if not known or abs(seconds - passed) > self._drift:
                seconds = passed
        self._last = max(self._last + 1, round(seconds * self._ticks))
        if math.isfinite(timestamp):
            self._offset = self._last / self._ticks - timestamp
        self._segment, self._at = segment, now
        return self._last

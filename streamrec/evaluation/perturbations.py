"""Perturbed sources for evaluation: fewer frames a second, lost frames, several files as one stream."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from streamrec.errors import DataError
from streamrec.sources.wrappers import Wrapper
from streamrec.types import VIDEO, Frame, Source


class Thinned(Wrapper):
    """A source thinned to ``fps`` frames a second: the first frame of each period, as a slower camera takes it.

    A source that is slower is not changed. Frames are numbered anew, since such a camera never took the others.
    """

    def __init__(self, source: Source, fps: float) -> None:
        if not (math.isfinite(fps) and fps > 0):
            raise DataError(f"a source cannot be thinned to {fps} frames a second: give a rate above 0")
        super().__init__(source)
        self.live = False
        self.fps = fps

    def __iter__(self) -> Iterator[Frame]:
        index, begun, period, segment = 0, 0.0, -1, None
        for frame in self.source:
            if frame.segment != segment:
                begun, period, segment = frame.timestamp, -1, frame.segment
            now = math.floor((frame.timestamp - begun) * self.fps + 1e-6)
            if now != period:
                period = now
                yield replace(frame, index=index)
                index += 1


class Dropping(Wrapper):
    """A source with a random part of its frames lost, as on a bad network.

    The first frame is never lost, and the same seed loses the same frames.
    """

    def __init__(self, source: Source, part: float, *, seed: int = 0) -> None:
        if not 0.0 <= part < 1.0:
            raise DataError(f"{part} of the frames cannot be dropped: give a part from 0 up to, but not, 1")
        super().__init__(source)
        self.live = False
        self.part = part
        self.seed = seed

    def __iter__(self) -> Iterator[Frame]:
        random = np.random.default_rng(self.seed)
        for number, frame in enumerate(self.source):
            if random.random() >= self.part or number == 0:
                yield frame


class Concatenated(Source):
    """Several sources as one stream: hard cuts, one continuous clock, and no new segment.

    The first frame of a part follows the last frame of the part before it by that part's median step. ``part_at`` gives
    the part of a frame of the stream, ``time_in`` its time on that part's own clock.
    """

    live = False

    def __init__(self, parts: Sequence[Source], *, name: str = "one after the other") -> None:
        self.parts = tuple(parts)
        self.name = name
        self.sense = parts[0].sense if parts else VIDEO
        self._begun: list[float] = []  # start of each part, in seconds of the stream
        self._times: list[
            tuple[list[float], list[float]]
        ] = []  # of their frames, in seconds of the stream and of the part

    def __iter__(self) -> Iterator[Frame]:
        self._begun, self._times = [], []
        index, begin = 0, 0.0
        for part in self.parts:
            moved: list[float] = []
            own: list[float] = []
            self._begun.append(begin)
            self._times.append((moved, own))
            for frame in part:
                self.channels, self.rate = part.channels, part.rate
                own.append(frame.timestamp)
                moved.append(begin + (frame.timestamp - own[0]))  # for the first frame exactly ``begin``
                yield replace(frame, index=index, timestamp=moved[-1], segment=0, source=self.name)
                index += 1
            if own:
                step = float(np.median(np.diff(own))) if len(own) > 1 else 1.0 / 30.0
                begin += own[-1] - own[0] + step

    def part_at(self, timestamp: float) -> int:
        """Index of the part to which the frame with this timestamp belongs, among the parts played so far."""
        return bisect.bisect_right(self._begun, timestamp) - 1

    def time_in(self, part: int, timestamp: float) -> float:
        """A time of the stream on the clock of a part that was played, in seconds; before and after the part too.

        Its frames get exactly their own timestamps: adding and subtracting an offset would round, and could move a
        frame over the border of an action.
        """
        moved, own = self._times[part]
        frame = max(0, bisect.bisect_right(moved, timestamp) - 1)
        return own[frame] + (timestamp - moved[frame])

    def interrupt(self) -> None:
        """Interrupt all parts: which one is being read is unknown here."""
        for part in self.parts:
            part.interrupt()

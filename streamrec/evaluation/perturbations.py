"""Files under other conditions than they were taken: fewer frames a second, frames lost, one after the other."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from streamrec.errors import DataError
from streamrec.sources.wrappers import Wrapper
from streamrec.types import Frame, Source


class Thinned(Wrapper):
    """Another source as a camera of ``fps`` would have seen it: the first frame of each of its periods.

    A source that is slower passes whole. Frames are counted anew, since such a camera never took the others.
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
    """Another source of which a random part of the frames is lost on the way, as on a bad network.

    The first frame always comes, and the same seed loses the same frames each time.
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
    """Sources one after the other as one stream: hard cuts, a clock that runs on, and no new segment.

    The first frame of a part comes a median step of the part before it after that one's last frame. ``part_at``
    tells which part a frame of the stream is of, ``time_in`` what that part's own clock says.
    """

    live = False

    def __init__(self, parts: Sequence[Source], *, name: str = "one after the other") -> None:
        self.parts = tuple(parts)
        self.name = name
        self._begun: list[float] = []  # where the parts that were opened begin, on the stream's clock
        self._times: list[tuple[list[float], list[float]]] = []  # their frames, on the stream's and their own

    def __iter__(self) -> Iterator[Frame]:
        self._begun, self._times = [], []
        index, begin = 0, 0.0
        for part in self.parts:
            moved: list[float] = []
            own: list[float] = []
            self._begun.append(begin)
            self._times.append((moved, own))
            for frame in part:
                own.append(frame.timestamp)
                moved.append(begin + (frame.timestamp - own[0]))  # of the first exactly where it begins
                yield replace(frame, index=index, timestamp=moved[-1], segment=0, source=self.name)
                index += 1
            if own:
                step = float(np.median(np.diff(own))) if len(own) > 1 else 1.0 / 30.0
                begin += own[-1] - own[0] + step

    def part_at(self, timestamp: float) -> int:
        """The number of the part that the frame with this timestamp is of, among those played so far."""
        return bisect.bisect_right(self._begun, timestamp) - 1

    def time_in(self, part: int, timestamp: float) -> float:
        """What the clock of a part that was played says at a time of the stream, before the part and after it too.

        For its frames that is exactly what they came with: a sum and its difference would be a rounding off, and
        a frame on the border of an action on its other side.
        """
        moved, own = self._times[part]
        frame = max(0, bisect.bisect_right(moved, timestamp) - 1)
        return own[frame] + (timestamp - moved[frame])

    def interrupt(self) -> None:
        """Pass it on to all parts: which one is being read is not known here."""
        for part in self.parts:
            part.interrupt()

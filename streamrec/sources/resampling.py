"""Signals as a model takes them: its channels in its order, and a row at each tick of its own clock."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing, nullcontext
from dataclasses import replace

import numpy as np

from streamrec.core.messages import channels_described
from streamrec.errors import SourceError
from streamrec.sources.wrappers import Wrapper
from streamrec.types import Frame, Source

_NEAR = 1e-6  # of a period: a tick that is so much later than a row is at the row


class Chosen(Wrapper):
    """Another source of signals with these channels alone, in this order; by name, where its names are known.

    >>> from streamrec.sources.rows import RowSource
    >>> rows = RowSource([{"y": 2.0, "x": 1.0}], fps=10.0)
    >>> [frame.data.tolist() for frame in Chosen(rows, ("x",))]
    [[1.0]]
    """

    def __init__(self, source: Source, channels: tuple[str, ...]) -> None:
        super().__init__(source)
        self._wanted = channels

    @property
    def channels(self) -> tuple[str, ...]:  # type: ignore[override]
        """Those that were chosen."""
        return self._wanted

    def __iter__(self) -> Iterator[Frame]:
        # Started now: an interrupt may come before the first frame is asked for.
        return self._rows(iter(self.source))

    def _rows(self, frames: Iterator[Frame]) -> Generator[Frame, None, None]:
        known: tuple[str, ...] | None = None
        places: list[int] | None = None  # None: the rows are as wanted
        with closing(frames) if isinstance(frames, Generator) else nullcontext():
            for frame in frames:
                if known != self.source.channels:
                    known = self.source.channels
                    places = self._places(known)
                if not known and frame.data.shape != (len(self._wanted),):
                    raise SourceError(
                        f"{self.name} gives rows of {frame.data.size} numbers without names, and the model takes "
                        f"{channels_described(self._wanted)}: give so many, or name them"
                    )
                yield frame if places is None else replace(frame, image=frame.data[places])

    def _places(self, known: tuple[str, ...]) -> list[int] | None:
        if not known or known == self._wanted:
            return None
        missing = [name for name in self._wanted if name not in known]
        if missing:
            raise SourceError(
                f"{self.name} has {channels_described(known)}, and the model takes "
                f"{channels_described(self._wanted)}: {missing[0]} is missing; name the channels as the model does"
            )
        return [known.index(name) for name in self._wanted]


class Resampled(Wrapper):
    """Another source of signals with a row at each tick of ``fps``, interpolated between two rows of the source.

    The ticks begin with a row. A row is given once the one behind it is there: nothing is guessed. Over more than
    ``max_gap`` seconds without a row nothing is given, and the ticks begin anew behind it; so they do where the clock
    goes back or a segment begins. A faster source loses rows, of a slower one there are rows in between.

    >>> from streamrec.sources.rows import RowSource
    >>> rows = RowSource([(0.0, [0.0]), (0.3, [3.0]), (9.0, [5.0])])
    >>> [(round(f.timestamp, 3), round(float(f.data[0]), 3)) for f in Resampled(rows, 10.0, max_gap=1.0)]
    [(0.0, 0.0), (0.1, 1.0), (0.2, 2.0), (0.3, 3.0), (9.0, 5.0)]
    """

    def __init__(self, source: Source, fps: float, max_gap: float) -> None:
        super().__init__(source)
        self.fps = fps
        self.max_gap = max_gap

    def __iter__(self) -> Iterator[Frame]:
        # Started now: an interrupt may come before the first frame is asked for.
        return self._ticks(iter(self.source))

    def _ticks(self, frames: Iterator[Frame]) -> Generator[Frame, None, None]:
        last: Frame | None = None
        begun, tick, index = 0.0, 0, 0
        with closing(frames) if isinstance(frames, Generator) else nullcontext():
            for frame in frames:
                now = frame.timestamp
                if (
                    last is None
                    or frame.segment != last.segment
                    or not 0.0 <= now - last.timestamp <= self.max_gap
                ):
                    begun, tick = now, 1
                    yield replace(frame, index=index)
                    index += 1
                elif now > last.timestamp:
                    while (due := begun + tick / self.fps) <= now + _NEAR / self.fps:
                        yield _between(last, frame, due, index)
                        tick, index = tick + 1, index + 1
                last = frame


def _between(before: Frame, after: Frame, due: float, index: int) -> Frame:
    """The row at a time between two rows."""
    share = np.float32(min(1.0, (due - before.timestamp) / (after.timestamp - before.timestamp)))
    truth = (before if share < 0.5 else after).truth
    data = before.data + share * (after.data - before.data)
    return replace(after, image=data, index=index, timestamp=due, truth=truth)


def ticks(times: np.ndarray, fps: float, max_gap: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What ``Resampled`` makes of rows at these times (R,): of each tick the row before, its time and the share.

    -> (T,) index of the row before it, (T,) seconds, (T,) float32 part of the way to the row behind that one.

    >>> rows, seconds, share = ticks(np.array([0.0, 0.3, 9.0]), 10.0, 1.0)
    >>> rows.tolist(), [round(each, 2) for each in share.tolist()]
    ([0, 0, 0, 0, 2], [0.0, 0.33, 0.67, 1.0, 0.0])
    """
    rows: list[np.ndarray] = []
    found: list[np.ndarray] = []
    steps = np.diff(times)
    borders = np.flatnonzero(~((steps >= 0.0) & (steps <= max_gap))) + 1
    for first, end in zip((0, *borders), (*borders, len(times)), strict=True):
        own = times[first:end]
        count = int(np.floor((own[-1] - own[0]) * fps + _NEAR)) + 1
        due = own[0] + np.arange(count) / fps
        at = np.searchsorted(own, due - _NEAR / fps, side="left") - 1
        rows.append(first + np.maximum(at, 0))
        found.append(due)
    before, seconds = np.concatenate(rows), np.concatenate(found)
    after = np.minimum(before + 1, len(times) - 1)
    whole = np.where((after > before) & (seconds > times[before]), times[after] - times[before], np.inf)
    share = np.minimum(1.0, (seconds - times[before]) / whole)
    return before, seconds, share.astype(np.float32)

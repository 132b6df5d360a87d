"""The features of the last frames of each stream: what was just seen can still be named."""

from __future__ import annotations

import threading
import uuid
from collections import deque
from dataclasses import dataclass

import numpy as np

from streamrec.teach.examples import Example
from streamrec.types import Frame

SECONDS = 120.0  # that are kept
CONTEXT = 3.0  # seconds before an example that are kept with it: the statistics of its first frames need them
MOST = 20_000  # frames of a stream that are kept


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """One frame, as it is remembered."""

    time: float  # seconds on the source's clock
    features: np.ndarray  # (F,) float32
    picture: bytes | None = None  # JPEG, where pictures are kept
    size: float = 0.0  # of the person: the body's length in heights of the picture; 0: no person is seen


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """Consecutive frames of one segment of a stream."""

    times: np.ndarray  # (T,) seconds
    features: np.ndarray  # (T, F)
    run: str  # names the segment
    pictures: tuple[bytes | None, ...] = ()
    sizes: np.ndarray | None = None  # (T,) of the person


class FeatureRing:
    """The frames of one stream's newest segment, the last ``seconds`` of them; any thread may read it."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._moments: deque[Moment] = deque(maxlen=MOST)
        self._segment: int | None = None
        self.run = ""
        self._lock = threading.Lock()

    def put(
        self, frame: Frame, features: np.ndarray, picture: bytes | None = None, size: float = 0.0
    ) -> None:
        """The next frame. A new segment, or a clock that went back, begins anew."""
        with self._lock:
            last = self._moments[-1].time if self._moments else None
            if frame.segment != self._segment or (last is not None and frame.timestamp < last):
                self._moments.clear()
                self._segment, self.run = frame.segment, uuid.uuid4().hex[:12]
            self._moments.append(Moment(frame.timestamp, features, picture, size))
            while frame.timestamp - self._moments[0].time > self._seconds:
                self._moments.popleft()

    @property
    def newest(self) -> float | None:
        """The time of the newest frame; None: there is none."""
        with self._lock:
            return self._moments[-1].time if self._moments else None

    @property
    def oldest(self) -> float | None:
        """The time of the oldest frame that is kept."""
        with self._lock:
            return self._moments[0].time if self._moments else None

    def between(self, start: float, end: float) -> Stretch | None:
        """The frames from ``start`` to ``end``, both within; None: there are none."""
        with self._lock:
            found = [m for m in self._moments if start - 1e-6 <= m.time <= end + 1e-6]
            run = self.run
        if not found:
            return None
        return Stretch(
            np.array([m.time for m in found]),
            np.stack([m.features for m in found]),
            run,
            tuple(m.picture for m in found),
            np.array([m.size for m in found], np.float32),
        )

    def example(self, label: str, start: float, end: float, *, source: str, made: float) -> Example | None:
        """What was seen from ``start`` to ``end``, with the context before it; None: nothing was."""
        stretch = self.between(start - CONTEXT, end)
        if stretch is None or stretch.times[-1] < start:
            return None
        shown = [
            p
            for t, p in zip(stretch.times, stretch.pictures, strict=True)
            if p is not None and t >= start - 1e-6
        ]
        step = max(1, len(shown) // 5)
        return Example(
            label,
            start=max(start, float(stretch.times[0])),
            end=min(end, float(stretch.times[-1])),
            times=stretch.times,
            features=stretch.features,
            source=source,
            made=made,
            run=stretch.run,
            pictures=tuple(shown[::step][:5]),
            sizes=stretch.sizes,
        )

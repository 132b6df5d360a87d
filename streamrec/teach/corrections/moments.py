"""The seconds around an event: its scores, and what the model's last layer read.

Both are at hand when a frame has been recognized, so that keeping them costs a copy. ``MomentBuffer`` keeps the last
minutes of one camera; a ``Moment`` is cut out of it when an event ends, or when a person marks one that was missed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from streamrec.errors import DataError
from streamrec.teach.corrections.learned import shifted

BEFORE, AFTER = 3.0, 2.0  # seconds around an event that belong to its moment
SCORES_SECONDS = 600.0  # of a camera that are remembered
FEATURES_BYTES = 4 << 20  # of the features of a camera and a model that are remembered
APART = 0.2  # seconds between two features: the heads' memories change slowly
MOST_FEATURES = 40  # of a moment
LATE = 1.0  # seconds by which the first frame that is remembered may come after the start of an event
_LONGEST = 20_000  # frames of a moment that is read from a file
_MOST = 16_384  # numbers of a feature


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """Some seconds of one camera, as one model saw them."""

    times: np.ndarray  # (T,) float64 seconds on the source's clock
    scores: np.ndarray  # (T, labels) float32, of the model as it is shipped: without what was learned
    feature_times: np.ndarray  # (K,) float64; K is 0 where the model's features are not at hand
    features: np.ndarray  # (K, D) float16
    span: np.ndarray = field(default_factory=lambda: np.array([-1e9, 1e9]))  # (2,) start and end of the event
    print: np.ndarray = field(
        default_factory=lambda: np.zeros(0, np.float32)
    )  # of the model: ``fingerprint``

    def changed(self, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
        """(T, labels): the scores after a change of the last layer (labels, D), (labels,).

        Between two features the change of the logits is interpolated.
        """
        if not len(self.features) or self.features.shape[1] != weight.shape[1]:
            return self.scores
        shifts = self.features.astype(np.float32) @ weight.T + bias
        each = [np.interp(self.times, self.feature_times, one) for one in shifts.T]
        return shifted(self.scores, np.stack(each, axis=1))

    def rows(self) -> np.ndarray:
        """(K, labels): the scores at the features."""
        nearest = np.searchsorted(self.times, self.feature_times - 1e-9)
        return self.scores[np.minimum(nearest, len(self.times) - 1)]

    def to_bytes(self) -> bytes:
        """As safetensors."""
        return save(
            {
                "times": np.ascontiguousarray(self.times),
                "scores": np.ascontiguousarray(self.scores),
                "feature_times": np.ascontiguousarray(self.feature_times),
                "features": np.ascontiguousarray(self.features),
                "span": np.ascontiguousarray(self.span),
                "print": np.ascontiguousarray(self.print),
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Moment:
        """What ``to_bytes`` wrote; raises ``DataError`` for anything else."""
        try:
            moment = cls(**load(data))
        except (SafetensorError, TypeError, ValueError, KeyError) as error:
            raise DataError("these bytes are no moment of a camera") from error
        frames, kept = len(moment.times), len(moment.feature_times)
        arrays = (
            moment.times,
            moment.scores,
            moment.feature_times,
            moment.features,
            moment.span,
            moment.print,
        )
        fits = (
            0 < frames <= _LONGEST
            and moment.times.shape == (frames,)
            and moment.scores.ndim == 2
            and len(moment.scores) == frames
            and moment.feature_times.shape == (kept,)
            and moment.span.shape == (2,)
            and moment.features.ndim == 2
            and len(moment.features) == kept
            and moment.features.shape[1] <= _MOST
            and all(array.dtype.kind == "f" and np.isfinite(array).all() for array in arrays)
            and (np.diff(moment.times) >= 0).all()
            and (np.diff(moment.feature_times) >= 0).all()
        )
        if not fits:
            raise DataError("these bytes are no moment of a camera")
        return moment


class MomentBuffer:
    """The last minutes of one camera, as one model saw them. Not thread-safe: the caller holds a lock.

    >>> buffer = MomentBuffer()
    >>> for n in range(100):
    ...     _ = buffer.add(n / 10, 0, np.array([0.9, 0.1], np.float32), np.zeros((1, 8), np.float32), wall=50 + n / 10)
    >>> moment = buffer.cut(5.0, 6.0)
    >>> moment.scores.shape, moment.features.shape
    ((61, 2), (31, 8))
    """

    def __init__(self) -> None:
        self._scores: deque[tuple[float, float, int, np.ndarray]] = (
            deque()
        )  # time, wall clock, segment, scores
        self._features: deque[tuple[float, int, np.ndarray]] = deque()
        self._size = 0  # bytes of the features
        self._before: MomentBuffer | None = (
            None  # the segment before: its last event ends with the first frame of this
        )

    def add(
        self, timestamp: float, segment: int, scores: np.ndarray, features: np.ndarray | None, *, wall: float
    ) -> bool:
        """Keep a frame's scores (labels,), and its features (1, D) where it is time for them; whether it was."""
        rows, kept = self._scores, self._features
        if rows and (rows[-1][2] != segment or timestamp < rows[-1][0]):  # another stream: nothing joins them
            before = self._before = MomentBuffer()
            before._scores, before._features = rows, kept
            self._scores, self._features = deque(), deque()
            rows, kept = self._scores, self._features
            self._size = 0
        rows.append((timestamp, wall, segment, scores))
        while rows[0][0] < timestamp - SCORES_SECONDS:
            rows.popleft()
        if features is None or (kept and timestamp - kept[-1][0] < APART - 1e-6):
            return False
        kept.append((timestamp, segment, features[0].astype(np.float16)))
        self._size += kept[-1][2].nbytes
        while self._size > FEATURES_BYTES or kept[0][0] < timestamp - SCORES_SECONDS:
            self._size -= kept.popleft()[2].nbytes
        return True

    def time_of(self, wall: float) -> float | None:
        """The source's time at a moment of the wall clock; None before the first frame that is remembered."""
        if not self._scores or not self._scores[0][1] <= wall <= self._scores[-1][1] + AFTER:
            return None
        return min(self._scores, key=lambda row: abs(row[1] - wall))[0]

    def cut(self, begins: float, ends: float) -> Moment | None:
        """The seconds from a time of the source to another, and those around; None where nothing is left of them."""
        low, high = begins - BEFORE, ends + AFTER
        rows = [row for row in self._scores if low <= row[0] <= high]
        if not rows or not rows[0][0] - LATE <= begins <= rows[-1][0]:
            return None if self._before is None else self._before.cut(begins, ends)
        kept = _thinned([row for row in self._features if low <= row[0] <= high], begins, ends)
        width = len(kept[0][2]) if kept else 0
        return Moment(
            np.array([row[0] for row in rows]),
            np.stack([row[3] for row in rows]).astype(np.float32),
            np.array([row[0] for row in kept]),
            np.stack([row[2] for row in kept]) if kept else np.zeros((0, width), np.float16),
            np.array([begins, ends]),
        )


def _thinned(
    rows: Sequence[tuple[float, int, np.ndarray]], begins: float, ends: float
) -> list[tuple[float, int, np.ndarray]]:
    """At most ``MOST_FEATURES`` of them, evenly; those within the event first."""
    within = [row for row in rows if begins <= row[0] <= ends + 0.5]
    around = [row for row in rows if not begins <= row[0] <= ends + 0.5]
    share = max(MOST_FEATURES - len(around), MOST_FEATURES // 2)
    chosen = _evenly(within, share) + _evenly(around, MOST_FEATURES - min(len(within), share))
    return sorted(chosen, key=lambda row: row[0])


def _evenly(rows: Sequence[tuple[float, int, np.ndarray]], most: int) -> list[tuple[float, int, np.ndarray]]:
    if len(rows) <= most:
        return list(rows)
    return [rows[int(n)] for n in np.linspace(0, len(rows) - 1, most)] if most else []

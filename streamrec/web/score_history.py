"""The scores of a camera's last hour, from which the page previews thresholds."""

from __future__ import annotations

import numpy as np

_SCORES = 36_000  # rows: an hour at 10 per second


class ScoreHistory:
    """The probabilities of the last hour, one row per result, in arrays that grow up to a limit.

    >>> scores = ScoreHistory(("idle", "wave"), rows=3)
    >>> for n in range(5):
    ...     scores.add(n / 10, 0, np.array([0.25, 0.75], np.float32))
    >>> scores.get()[0].tolist()
    [0.2, 0.3, 0.4]
    """

    def __init__(self, labels: tuple[str, ...], rows: int = _SCORES) -> None:
        self.labels = labels
        self._rows = rows
        self._times = np.zeros(min(rows, 1024))
        self._segments = np.zeros(len(self._times), np.int64)
        self._scores = np.zeros((len(self._times), len(labels)), np.float16)
        self._next = self._count = 0

    def add(self, timestamp: float, segment: int, probabilities: np.ndarray) -> None:
        """Add a result's probabilities (labels,)."""
        if self._count == len(self._times) < self._rows:
            self._grow()
        self._times[self._next] = timestamp
        self._segments[self._next] = segment
        self._scores[self._next] = probabilities
        self._next = (self._next + 1) % len(self._times)
        self._count = min(self._count + 1, len(self._times))

    def _grow(self) -> None:
        size = min(self._rows, 2 * len(self._times))
        times, segments, scores = self.get()
        self._times, self._segments = np.resize(times, size), np.resize(segments, size)
        self._scores = np.zeros((size, len(self.labels)), np.float16)
        self._scores[: len(scores)] = scores
        self._next = self._count

    def get(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Copies: times (N,), segments (N,), probabilities (N, labels), the oldest first."""
        order = np.arange(self._next - self._count, self._next) % len(self._times)
        return self._times[order], self._segments[order], self._scores[order]

"""Phase targets: the phase of the repetition at each frame, from the times at which repetitions start."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from streamrec.errors import DataError
from streamrec.events.repetitions import _TURN


def phase_targets(
    timestamps: Sequence[float] | np.ndarray, starts: Sequence[float] | np.ndarray
) -> np.ndarray:
    """(T,) and (repetitions,) seconds -> (T, 2) float32: cosine and sine of the phase at each time.

    The phase grows evenly from the start of a repetition to the start of the next. Before the first start and
    after the last it is unknown: NaN. So one start alone gives no phase. Starts that do not grow raise
    ``DataError``.

    >>> phase_targets([0.0, 1.0, 1.5, 3.0], [1.0, 3.0]).round(3).tolist()
    [[nan, nan], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]
    """
    times, begun = np.asarray(timestamps, np.float64), np.asarray(starts, np.float64)
    if not np.isfinite(begun).all() or (np.diff(begun) <= 0).any():
        raise DataError(f"repetitions start at {begun.tolist()}: give seconds that grow")
    if len(begun) < 2:
        return np.full((len(times), 2), np.nan, np.float32)
    turns = np.interp(times, begun, np.arange(len(begun)), left=np.nan, right=np.nan)
    # The fraction first: cosine and sine of a whole number of turns are then exactly 1 and 0.
    angle = _TURN * (turns % 1.0)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)

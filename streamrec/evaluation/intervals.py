"""Confidence intervals: bootstrap over groups; those of rates and proportions are in ``core/intervals.py``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from streamrec.core.intervals import poisson_interval, wilson_interval
from streamrec.errors import DataError
from streamrec.evaluation.metrics import _listed

__all__ = ["bootstrap_interval", "poisson_interval", "wilson_interval"]


def bootstrap_interval(
    values: Sequence[float] | np.ndarray,
    groups: Sequence[Any] | np.ndarray,
    statistic: Callable[[np.ndarray], Any] = np.mean,
    *,
    level: float = 0.95,
    rounds: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """(low, high) of a statistic by the percentile bootstrap over whole groups (Efron and Tibshirani, 1993).

    Frames of one video are alike: drawing single frames gives an interval that is far too narrow. So groups
    (videos, people, cameras) are drawn with replacement, each with all of its values. Values may have more
    axes; the first goes with ``groups``. Draws for which the statistic is NaN do not count. Fewer than two groups
    raise ``DataError``.

    >>> bootstrap_interval([1.0, 1.0, 1.0, 1.0], ["a", "a", "b", "c"])
    (1.0, 1.0)
    """
    array = np.asarray(values)
    names = _listed(groups)
    if len(array) != len(names):
        raise DataError(f"{len(array)} values came with {len(names)} groups: give one for each value")
    if not 0 < level < 1 or rounds < 1:
        raise DataError(f"level is {level} and rounds is {rounds}: set 0 < level < 1 and at least 1 round")
    members: dict[Any, list[int]] = {}
    for n, name in enumerate(names):
        members.setdefault(name, []).append(n)
    if len(members) < 2:
        raise DataError(f"there are {len(members)} groups: an interval needs at least two")
    rows = [np.array(indices) for indices in members.values()]
    random = np.random.default_rng(seed)
    drawn = [
        float(statistic(array[np.concatenate([rows[k] for k in random.integers(len(rows), size=len(rows))])]))
        for _ in range(rounds)
    ]
    low, high = np.nanquantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)

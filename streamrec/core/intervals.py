"""Confidence intervals of Poisson rates and of proportions (Wilson)."""

from __future__ import annotations

import math

from streamrec.errors import DataError


def poisson_interval(count: int, *, level: float = 0.95) -> tuple[float, float]:
    """(low, high) of the expected number of events where ``count`` were seen (Garwood, Biometrika 1936).

    Divided by hours it is the interval of a rate. With no event seen, the expected number may be up to 3.7 (95 %).

    >>> [round(bound, 2) for bound in (*poisson_interval(0), *poisson_interval(10))]
    [0.0, 3.69, 4.8, 18.39]
    """
    if count < 0 or count != int(count) or not 0 < level < 1:
        raise DataError(f"count is {count} and level is {level}: give a whole number, and 0 < level < 1")
    tail = (1 - level) / 2
    low = _poisson_mean(count - 1, 1 - tail) if count else 0.0
    return low, _poisson_mean(count, tail)


def wilson_interval(count: int, of: int) -> tuple[float, float]:
    """(low, high), 95 %, of a part that was seen ``count`` times of ``of`` (Wilson, J. Am. Stat. Assoc. 1927).

    It is useful where none or all were seen too.

    >>> [round(bound, 3) for bound in (*wilson_interval(0, 10), *wilson_interval(5, 10))]
    [0.0, 0.278, 0.237, 0.763]
    """
    if not 0 <= count <= of or of < 1:
        raise DataError(f"{count} of {of} is no part: give 0 to all of at least one")
    z = 1.959964
    part, square = count / of, z * z / of
    middle, width = part + square / 2, z * math.sqrt(part * (1 - part) / of + square / of / 4)
    low, high = ((middle + sign * width) / (1 + square) for sign in (-1, 1))
    return max(0.0, low), min(1.0, high)


def _poisson_mean(count: int, chance: float) -> float:
    """The mean of which ``count`` or fewer are seen with this chance, by bisection."""
    low, high = 0.0, count + 10 * math.sqrt(count + 1) + 10
    for _ in range(100):
        mean = (low + high) / 2
        terms = (n * math.log(mean) - mean - math.lgamma(n + 1) for n in range(count + 1))
        low, high = (mean, high) if sum(map(math.exp, terms)) > chance else (low, mean)
    return (low + high) / 2

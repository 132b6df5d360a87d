"""Rates of events as a user writes them: 1/day, 2/hour, 1/week."""

from __future__ import annotations

import math

from streamrec.core.messages import shortened
from streamrec.errors import DataError

_HOURS = {"hour": 1, "h": 1, "day": 24, "d": 24, "week": 168, "w": 168}


def parse_rate(text: str) -> float:
    """Events an hour; raises ``DataError``.

    >>> parse_rate("12/day"), parse_rate("2/hour")
    (0.5, 2.0)
    """
    number, _, unit = text.partition("/")
    hours = _HOURS.get(unit.strip().lower())
    try:
        rate = float(number)
    except ValueError:
        rate = 0.0
    if hours is None or not (math.isfinite(rate) and rate > 0):
        wrong = f"{shortened(text)[1:-1]} is no rate" if text.strip() else "the rate is empty"
        raise DataError(f"{wrong}: write how many in which time, like 1/day, 2/hour or 1/week")
    return rate / hours

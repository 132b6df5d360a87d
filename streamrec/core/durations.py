"""Lengths of time as people write them: 30m, 2h, 7d."""

from __future__ import annotations

import re

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}


def seconds_of(text: str) -> float | None:
    """The seconds of a length of time; None: it is none.

    >>> seconds_of("10m"), seconds_of("1.5 h"), seconds_of("soon")
    (600.0, 5400.0, None)
    """
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)\s*([smhdw])", text.strip(), re.ASCII)
    return None if found is None else float(found[1]) * _UNITS[found[2]]

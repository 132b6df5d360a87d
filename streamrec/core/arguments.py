"""What a caller gives: checked where it comes in, so that what is wrong is said in a sentence."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from streamrec.core.reading import shortened
from streamrec.errors import StreamrecError, WrongValue


def number(
    value: Any,
    name: str,
    *,
    least: float = -math.inf,
    above: float = -math.inf,
    finite: bool = True,
    error: type[StreamrecError] = WrongValue,
) -> float:
    """The number as a float; raises ``error`` in words for what is none, or is out of range.

    >>> number(0, "fps", above=0.0)
    Traceback (most recent call last):
    ...
    streamrec.errors.WrongValue: fps is 0: give a number above 0
    """
    wish = "a number"
    if math.isfinite(above) or math.isfinite(least):
        wish = f"a number above {above:g}" if math.isfinite(above) else f"a number of at least {least:g}"
    is_number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    try:
        found = float(value) if is_number else math.nan
    except OverflowError:
        found = math.nan
    good = found > above and found >= least and (math.isfinite(found) or not finite)
    if not good:
        raise error(f"{name} is {described(value)}: give {wish}")
    return found


def whole_number(value: Any, name: str, *, least: int = 1, error: type[StreamrecError] = WrongValue) -> int:
    """The number as an int; raises ``error`` in words for what is no whole number of at least so much.

    >>> whole_number("2", "streams")
    Traceback (most recent call last):
    ...
    streamrec.errors.WrongValue: streams is '2': give a whole number of at least 1
    """
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
        raise error(f"{name} is {described(value)}: give a whole number of at least {least}")
    return int(value)


def path_to_write(value: Any, name: str, *, error: type[StreamrecError] = WrongValue) -> Path:
    """The path of a file that is to be written; raises ``error`` in words for what can be none.

    >>> path_to_write("", "a history")
    Traceback (most recent call last):
    ...
    streamrec.errors.WrongValue: a history is written to a file: give its path, not ''
    """
    text = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(text, str) or "\0" in text or not Path(text).name:
        raise error(f"{name} is written to a file: give its path, not {described(value)}")
    return Path(text)


def described(value: Any) -> str:
    """A value as a sentence can hold it: short, on one line, an array by its shape, no password in it.

    >>> described("rtsp://me:secret@cam/live"), described(np.zeros((2, 3)))
    ("'rtsp://***@cam/live'", 'an array (2, 3) of float64')
    """
    if isinstance(value, np.ndarray):
        return f"an array {value.shape} of {value.dtype}"
    if value is not None and not isinstance(value, str | bytes | int | float | complex | list | tuple | dict):
        name = value.__name__ if isinstance(value, type) else type(value).__name__
        return f"{'the class' if isinstance(value, type) else 'a'} {name}"
    return shortened(value)

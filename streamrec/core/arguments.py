"""Values that a caller or a settings file gives: checked where they come in, so that what is wrong is a sentence."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from streamrec.core.messages import described, shortened
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
    """The number as a float; raises ``error`` for another type and for a number out of range.

    >>> number(0, "fps", above=0.0)
    Traceback (most recent call last):
    ...
    streamrec.errors.WrongValue: fps is 0: give a number above 0
    """
    wish = "a number"
    if math.isfinite(above) or math.isfinite(least):
        wish = f"a number above {above:g}" if math.isfinite(above) else f"a number of at least {least:g}"
    try:
        found = float(value) if is_number(value) else math.nan
    except OverflowError:
        found = math.nan
    good = found > above and found >= least and (math.isfinite(found) or not finite)
    if not good:
        raise error(f"{name} is {described(value)}: give {wish}")
    return found


def whole_number(value: Any, name: str, *, least: int = 1, error: type[StreamrecError] = WrongValue) -> int:
    """The number as an int; raises ``error`` for another type and for a number below ``least``.

    >>> whole_number("2", "streams")
    Traceback (most recent call last):
    ...
    streamrec.errors.WrongValue: streams is '2': give a whole number of at least 1
    """
    if not is_number(value) or not isinstance(value, Integral) or value < least:
        raise error(f"{name} is {described(value)}: give a whole number of at least {least}")
    return int(value)


def is_number(value: Any) -> bool:
    """Whether a value is a real number of Python or numpy; True and False are not, nor is text.

    >>> [is_number(value) for value in (2, 0.5, True, "2")]
    [True, True, False, False]
    """
    return isinstance(value, Real) and not isinstance(value, bool)


@dataclass(frozen=True, slots=True)
class Limits:
    """The smallest and the largest value that a setting may have, both allowed."""

    low: float
    high: float
    zero: bool = False  # 0 is allowed too, and means off
    whole: bool = False
    unit: str = ""

    def __str__(self) -> str:
        """
        >>> str(Limits(0.001, 3600, zero=True, unit="seconds"))
        'seconds from 0.001 to 3,600, or 0'
        """
        what = self.unit or ("a whole number" if self.whole else "a number")
        return f"{what} from {_short(self.low)} to {_short(self.high)}{', or 0' if self.zero else ''}"

    def holds(self, value: Any) -> bool:
        """Whether the value is a number within these limits; NaN and infinity never are.

        >>> [FPS.holds(value) for value in (10, 0.1, 1e-300, float("nan"), True, "10", 10**400)]
        [True, True, False, False, False, False, False]
        """
        if not is_number(value) or (self.whole and value != value // 1):
            return False
        return bool((self.zero and value == 0) or self.low <= value <= self.high)

    def wrong(self, value: object) -> str | None:
        """What to do about a value outside of these limits; None: it is within them.

        >>> FPS.wrong(0)
        'give a number from 0.1 to 240, not 0'
        """
        return None if self.holds(value) else f"give {self}, not {shortened(value)}"


def _short(number: float) -> str:
    return f"{number:,.0f}" if number == int(number) else f"{number:g}"


FPS = Limits(0.1, 240)  # sampling rate of a camera
MODEL_FPS = Limits(0.1, 1000)  # sampling rate that a model was trained at
STILL = Limits(0.01, 3600, unit="seconds")  # between two frames that are processed while the image is static
PART = Limits(0.001, 1)  # a probability used as a threshold
PAUSE = Limits(0.001, 3600, zero=True, unit="seconds")  # smoothing, shortest, merge_gap
COOL_DOWN = Limits(0.001, 86_400, zero=True, unit="seconds")  # up to a day
STRANGENESS = Limits(0.001, 1000, zero=True)  # threshold of the out-of-distribution score
SECONDS = Limits(0, 1e9, unit="seconds")  # how long a run lasts: up to 30 years
RETRIES = Limits(-1, 1_000_000, whole=True)
THREADS = Limits(1, 1024, whole=True)
GIGABYTES = Limits(0.01, 1e6)
WEBCAM = Limits(0, 9_999, whole=True)
ANY = Limits(0.001, 1e6, zero=True)  # of a setting without narrower limits


def path_to_write(value: Any, name: str, *, error: type[StreamrecError] = WrongValue) -> Path:
    """The path of a file to be written; raises ``error`` where the value cannot be one.

    >>> path_to_write("", "a history")
    Traceback (most recent call last):
    ...
    streamrec.errors.WrongValue: a history is written to a file: give its path, not ''
    """
    text = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(text, str) or "\0" in text or not Path(text).name:
        raise error(f"{name} is written to a file: give its path, not {described(value)}")
    return Path(text)

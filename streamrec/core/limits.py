"""Between which numbers a setting must be: asked by files, options, the page and whoever takes it."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import Any

from streamrec.core.reading import shortened


@dataclass(frozen=True, slots=True)
class Limits:
    """The least and the most, both allowed."""

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
        """Whether it is such a number; True and False are none, nor are texts, NaN and infinity.

        >>> [FPS.holds(value) for value in (10, 0.1, 1e-300, float("nan"), True, "10", 10**400)]
        [True, True, False, False, False, False, False]
        """
        if isinstance(value, bool) or not isinstance(value, Real):
            return False
        if self.whole and value != value // 1:
            return False
        number: Any = value
        return bool((self.zero and number == 0) or self.low <= number <= self.high)

    def wrong(self, value: object) -> str | None:
        """What to do about a value that is none of these; None: all is well.

        >>> FPS.wrong(0)
        'give a number from 0.1 to 240, not 0'
        """
        return None if self.holds(value) else f"give {self}, not {shortened(value)}"


def _short(number: float) -> str:
    return f"{number:,.0f}" if number == int(number) else f"{number:g}"


FPS = Limits(0.1, 240)  # the rhythm in which a model looks
MODEL_FPS = Limits(0.1, 1000)  # the rhythm that it learned
STILL = Limits(0.01, 3600, unit="seconds")  # between two looks at a picture that stands still
PART = Limits(0.001, 1)  # a probability that decides something
PAUSE = Limits(0.001, 3600, zero=True, unit="seconds")  # smoothing, shortest, merge_gap
REST = Limits(0.001, 86_400, zero=True, unit="seconds")  # cool_down: up to a day
STRANGEST = Limits(0.001, 1000, zero=True)
SECONDS = Limits(0, 1e9, unit="seconds")  # how long a run lasts: up to 30 years
RETRIES = Limits(-1, 1_000_000, whole=True)
THREADS = Limits(1, 1024, whole=True)
GIGABYTES = Limits(0.01, 1e6)
WEBCAM = Limits(0, 9_999, whole=True)
ANY = Limits(0.001, 1e6, zero=True)  # a setting that says no narrower ones

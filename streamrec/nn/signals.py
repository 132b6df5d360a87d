"""From a row of readings to the model's input: motion sensors, or any series of numbers at a steady rate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from streamrec.core.arguments import Limits, is_number
from streamrec.core.messages import channels_described, described, shortened
from streamrec.core.text import printable
from streamrec.errors import PictureError, WrongValue
from streamrec.nn.transforms import InputTransform
from streamrec.types import SIGNAL

_MOST_CHANNELS, _LONGEST_NAME = 1024, 100
_MEAN, _STD = Limits(-1e9, 1e9), Limits(1e-9, 1e9)


@dataclass(frozen=True, kw_only=True)
class SignalTransform(InputTransform):
    """How a row of readings becomes the model's input; saved with the model.

    >>> transform = SignalTransform(channels=("x", "y"), mean=(0.0, 1.0), std=(1.0, 2.0))
    >>> transform.prepared({"y": 2.0, "x": 1.0}).tolist()
    [1.0, 2.0]
    """

    sense: ClassVar[str] = SIGNAL
    dtype: ClassVar[type] = np.float32
    input_name: ClassVar[str] = "readings"

    channels: tuple[str, ...]
    # Of each channel, in the training data; the model applies them inside. (): 0 and 1.
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    resample: bool = True  # a stream is put on the model's own clock: a row each ``1 / fps`` seconds

    def __post_init__(self) -> None:
        names = self.channels
        good = isinstance(names, tuple) and all(isinstance(n, str) and n.strip() == n and n for n in names)
        if not good or not 1 <= len(names) <= _MOST_CHANNELS or len(set(names)) < len(names):
            raise WrongValue(f"channels are {shortened(names)}: give the name of each, 1 to {_MOST_CHANNELS}")
        if any(len(name) > _LONGEST_NAME or printable(name) != name for name in names):
            raise WrongValue(f"channels are {shortened(names)}: a name has at most {_LONGEST_NAME} letters")
        for name, allowed in (("mean", _MEAN), ("std", _STD)):
            numbers = getattr(self, name)
            wanted = (0, len(names))
            if not (
                isinstance(numbers, tuple) and len(numbers) in wanted and all(map(allowed.holds, numbers))
            ):
                raise WrongValue(
                    f"{name} is {shortened(numbers)}: give a number for each of {len(names)} channels"
                )
        if not isinstance(self.resample, bool):
            raise WrongValue(f"resample is {shortened(self.resample)}: give true or false")

    @property
    def shape(self) -> tuple[int, ...]:
        """(C,)."""
        return (len(self.channels),)

    @property
    def described(self) -> str:
        """How many channels, and which.

        >>> SignalTransform(channels=("x", "y")).described
        '2 channels (x, y)'
        """
        return channels_described(self.channels)

    @property
    def resamples(self) -> bool:
        """``resample``."""
        return self.resample

    def normalization(self) -> tuple[np.ndarray, np.ndarray]:
        """(C,) each."""
        count = len(self.channels)
        return (
            np.array(self.mean or (0.0,) * count, np.float32),
            np.array(self.std or (1.0,) * count, np.float32),
        )

    def blank(self) -> np.ndarray:
        """The mean of the training data."""
        return self.normalization()[0]

    def read(self, given: Any) -> np.ndarray:
        """A number for each channel, in order, or by the names of the channels -> (C,) float32."""
        if isinstance(given, Mapping):
            missing = [name for name in self.channels if name not in given]
            if missing:
                raise PictureError(
                    f"a row of readings lacks {shortened(missing[0])}: the model takes {self.described}"
                )
            given = [given[name] for name in self.channels]
        return self.stored(numbers_of(given, f" for {self.described}"))

    def stored(self, data: np.ndarray) -> np.ndarray:
        """(C,) of numbers -> (C,) float32; raises ``PictureError`` for any other shape and for what is no number."""
        if not isinstance(data, np.ndarray) or data.shape != self.shape or data.dtype.kind not in "fiu":
            raise PictureError(f"the model takes {self.described}, a row at a time, not {described(data)}")
        row = np.asarray(data, np.float32)
        if not math.isfinite(float(row.sum())) and not np.isfinite(row).all():
            raise PictureError(f"a row of readings holds what is no number: {described(row.tolist())}")
        return row

    def inputs(self, stored: np.ndarray) -> np.ndarray:
        """As they are."""
        return np.ascontiguousarray(stored)


def numbers_of(given: Any, of: str = "") -> Any:
    """A list of readings -> (C,) float32, anything else as it is; raises ``PictureError`` for what is no number.

    ``of``: of what numbers are wanted, for the message.

    >>> numbers_of((1, 2.5)).tolist()
    [1.0, 2.5]
    """
    if not isinstance(given, list | tuple):
        return given
    for value in given:
        if not is_number(value):
            raise PictureError(f"a reading is {described(value)}: give numbers{of}")
    return np.array(given, np.float32)

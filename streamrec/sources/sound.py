"""Sound as blocks of samples: of an iterable of the caller's, and what blocks of decoded sound have in common."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator
from typing import Any

import numpy as np

import streamrec.sources.health as report
from streamrec.core.arguments import Limits, is_number
from streamrec.core.context import unpicklable
from streamrec.core.messages import described
from streamrec.errors import SourceError
from streamrec.types import SOUND, Frame, Source

RATE = Limits(1_000, 768_000, whole=True, unit="samples a second")
# What whole numbers of a type stand for: (zero, full scale).
_SCALES: dict[str, tuple[float, float]] = {
    "uint8": (128.0, 128.0),
    "int16": (0.0, 32_768.0),
    "int32": (0.0, 2_147_483_648.0),
    "int64": (0.0, 9_223_372_036_854_775_808.0),
}


class SoundSource(Source):
    """Blocks of samples of the caller: any iterable of arrays, as a source of sound.

    A block is (N,) or (N, channels), of any length: numbers from -1 to 1, or 16-bit, 32-bit or unsigned 8-bit ones; or
    it is ``(seconds, block)``, the time of its first sample. Blocks without a time follow each other without a gap.
    ``rate``: samples a second.

    >>> blocks = SoundSource([np.zeros(4000), np.full(4000, 16384, np.int16)], rate=8000)
    >>> [(frame.timestamp, frame.data.shape, float(frame.data[0])) for frame in blocks]
    [(0.0, (4000,), 0.0), (0.5, (4000,), 0.5)]
    """

    sense = SOUND

    def __init__(
        self, blocks: Iterable[Any], *, rate: int | None = None, name: str = "sound", live: bool = False
    ) -> None:
        if rate is not None and not RATE.holds(rate):
            raise SourceError(f"the rate of {name} is {described(rate)}: give {RATE}")
        self.blocks = blocks
        self.rate = 0 if rate is None else int(rate)
        self.name = name
        self.live = live

    def __reduce_ex__(self, protocol: Any) -> Any:
        """An iterator, such as a generator, cannot be pickled."""
        return unpicklable(self) if isinstance(self.blocks, Iterator) else super().__reduce_ex__(protocol)

    def __iter__(self) -> Iterator[Frame]:
        return report.with_health(self, self._frames())

    def _frames(self) -> Generator[Frame, None, None]:
        if not self.rate:
            raise SourceError(f"{self.name} has no rate: give SoundSource(blocks, rate=16000)")
        follows = 0.0
        for index, given in enumerate(self.blocks):
            seconds = follows
            if isinstance(given, tuple) and len(given) == 2 and is_number(given[0]):
                seconds, given = float(given[0]), given[1]
            samples = mono(given, f"{self.name}, block {index}")
            follows = seconds + len(samples) / self.rate
            yield Frame(samples, index, seconds, 0, self.name, time.monotonic())


def mono(given: Any, place: str) -> np.ndarray:
    """(N,) or (N, channels) of numbers -> (N,) float32, the mean of the channels; raises ``SourceError``.

    >>> mono(np.array([[0.5, 0.25]]), "x").tolist()
    [0.375]
    """
    block = np.asarray(given) if isinstance(given, list | np.ndarray) else None
    fits = block is not None and block.ndim in (1, 2) and block.size > 0
    if not fits or block is None or not (block.dtype.kind == "f" or block.dtype.name in _SCALES):
        raise SourceError(
            f"{place}: {described(given)} is no block of sound: give samples from -1 to 1, or 16-bit numbers"
        )
    if block.dtype.itemsize == 8 and block.dtype.kind == "i":  # what NumPy makes of a list of whole numbers
        raise SourceError(
            f"{place}: of whole numbers of 64 bits, as in a list, it is not known how loud they are: give samples "
            "from -1 to 1, or np.array(block, np.int16)"
        )
    samples = scaled(block)
    samples = samples if block.ndim == 1 else samples.mean(1, dtype=np.float32)
    if not np.isfinite(samples).all():
        raise SourceError(f"{place}: a sample is no number: give samples from -1 to 1")
    return samples


def scaled(block: np.ndarray) -> np.ndarray:
    """Samples of any type as float32 from -1 to 1."""
    if block.dtype.kind == "f":
        return block.astype(np.float32)
    zero, scale = _SCALES[block.dtype.name]
    return ((block - zero) / scale).astype(np.float32)

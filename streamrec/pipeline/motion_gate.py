"""The motion gate: while nothing moves in front of a camera, only a few of its frames are recognized."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from streamrec.core.arguments import number
from streamrec.core.image import LEVELS, block_means
from streamrec.errors import StreamrecError
from streamrec.types import Frame

SPARE = 0.8  # of the time after which a model's state begins anew: the next frame may be late


class MotionGate:
    """Passes the frames that differ from the last one that passed, or come ``seconds`` after it. One for each stream.

    ``still`` counts the frames that were left out. The model learns from the timestamps how much time has passed, so
    its state ages as it should. ``most``: seconds after which the model's state begins anew, which a gate must not
    cause.

    >>> frames = [Frame(np.full((48, 64, 3), 40 * (n > 7), np.uint8), n, n / 10) for n in range(10)]
    >>> gate = MotionGate(0.5)
    >>> [frame.index for frame in frames if gate.passes(frame)], gate.still
    ([0, 5, 8], 7)
    """

    def __init__(self, seconds: float, *, most: float = math.inf) -> None:
        seconds = number(seconds, "still, in seconds,", finite=False)
        if not 0.0 < seconds <= SPARE * most:
            limit = f", and up to {SPARE * most:g}" if most < math.inf else ""
            raise StreamrecError(
                f"a still scene cannot be recognized every {seconds:g} s: give seconds above 0{limit}"
                + (f"; after {most:g} s without a frame this model begins anew" if limit else "")
            )
        self.seconds = seconds
        self.still = 0
        self._last: Frame | None = None
        self._blocks = np.zeros((0, 0), np.float32)

    @property
    def memory(self) -> tuple[Any, ...] | None:
        """The last frame that passed, without its image, and its block means; None: there was none."""
        last = self._last
        return None if last is None else (last.index, last.timestamp, last.segment, self._blocks, self.still)

    @memory.setter
    def memory(self, memory: tuple[Any, ...] | None) -> None:
        if memory is not None:
            index, timestamp, segment, self._blocks, self.still = memory
            self._last = Frame(np.zeros((0, 0, 3), np.uint8), index, timestamp, segment)

    def passes(self, frame: Frame) -> bool:
        """Whether to recognize the next frame of the stream."""
        blocks, last = block_means(frame.image), self._last
        if (
            last is not None
            and frame.segment == last.segment
            and 0.0 <= frame.timestamp - last.timestamp < self.seconds
            and blocks.shape == self._blocks.shape
            and float(np.abs(blocks - self._blocks).max(initial=0.0)) <= LEVELS
        ):
            self.still += 1
            return False
        self._last, self._blocks = frame, blocks
        return True


Gate = MotionGate  # its former name

"""The motion gate: a camera whose picture stands still need not be looked at often."""

from __future__ import annotations

import math

import numpy as np

from streamrec.core.arguments import number
from streamrec.errors import StreamrecError
from streamrec.types import Frame

LEVELS = 6.0  # grey levels by which a part of the picture must change: more than noise and a codec's unrest
ACROSS = 160  # points across the picture that are compared,
SPARE = 0.8  # of the time after which a model begins anew: the next frame may be a while in coming
PART = 4  # in parts of so many by so many, whose means are free of noise


class Gate:
    """Tells which frames are worth a look: those that differ from the last one looked at, or come ``seconds`` after it.

    One stream's. What was left out is counted in ``still``; whoever looks again is told the time that has passed
    by the frame's own timestamp, so that a state that knows the clock ages truly. ``most``: seconds after which a
    model begins anew, which must not come to pass.

    >>> frames = [Frame(np.full((48, 64, 3), 40 * (n > 7), np.uint8), n, n / 10) for n in range(10)]
    >>> gate = Gate(0.5)
    >>> [frame.index for frame in frames if gate.passes(frame)], gate.still
    ([0, 5, 8], 7)
    """

    def __init__(self, seconds: float, *, most: float = math.inf) -> None:
        seconds = number(seconds, "still, in seconds,", finite=False)
        if not 0.0 < seconds <= SPARE * most:
            limit = f", and up to {SPARE * most:g}" if most < math.inf else ""
            raise StreamrecError(
                f"a still picture cannot be looked at every {seconds:g} s: give seconds above 0{limit}"
                + (f"; after {most:g} s without a look this model begins anew" if limit else "")
            )
        self.seconds = seconds
        self.still = 0
        self._last: Frame | None = None
        self._seen = np.zeros((0, 0), np.float32)

    def passes(self, frame: Frame) -> bool:
        """Whether to look at the next frame of the stream."""
        seen, last = glance(frame.image), self._last
        if (
            last is not None
            and frame.segment == last.segment
            and 0.0 <= frame.timestamp - last.timestamp < self.seconds
            and seen.shape == self._seen.shape
            and float(np.abs(seen - self._seen).max(initial=0.0)) <= LEVELS
        ):
            self.still += 1
            return False
        self._last, self._seen = frame, seen
        return True


def glance(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 -> the means of its parts, in green: most of what is bright or dark.

    >>> glance(np.full((720, 1280, 3), 7, np.uint8)).shape
    (22, 40)
    """
    step = max(1, image.shape[1] // ACROSS)
    points = image[step // 2 :: step, step // 2 :: step, 1]
    rows, columns = points.shape[0] // PART, points.shape[1] // PART
    parts = points[: PART * rows, : PART * columns].reshape(rows, PART, columns, PART)
    return parts.mean((1, 3), dtype=np.float32)

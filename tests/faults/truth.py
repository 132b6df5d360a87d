"""What is right of a picture that the bench's camera sent: whether it is whole, when it was taken."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass

import numpy as np

from tests.rtsp_server import CELL, ROWS, read_stamp

BLOCK = 16  # px: what a codec loses, it loses in blocks
# Grey levels that a whole block is off when it is torn. The codecs of the bench are off by up to 1; a block that a
# decoder filled in from the picture before, in which the stripes stood 3 px further back, is off by 8 and more.
DAMAGE = 4.0


@dataclass(frozen=True)
class Seen:
    """One picture as a reader handed it over."""

    at: float  # time.monotonic() when it was handed over
    number: int | None  # the camera's count; None: the stamp cannot be read
    taken: float | None  # time.monotonic() when the camera made it
    whole: bool
    size: tuple[int, int]  # (width, height) in px
    segment: int = 0
    timestamp: float = 0.0  # as the reader says, seconds

    @classmethod
    def of(cls, image: np.ndarray, segment: int = 0, timestamp: float = 0.0) -> Seen:
        at = time.monotonic()
        stamp = read_stamp(image)
        size = (image.shape[1], image.shape[0])
        if stamp is None:
            return cls(at, None, None, False, size, segment, timestamp)
        return cls(at, stamp[0], stamp[1] / 1000, is_whole(image), size, segment, timestamp)

    @property
    def age(self) -> float | None:
        """Seconds from the camera to the reader's hands."""
        return None if self.taken is None else self.at - self.taken

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


def is_whole(image: np.ndarray) -> bool:
    """(H, W, 3) uint8 with upright stripes below the stamp -> whether no block of it is damaged.

    A picture without stripes (plain grey, green) is not whole either.
    """
    grey = image[CELL * ROWS :].mean(axis=2)
    height, width = (side // BLOCK * BLOCK for side in grey.shape)
    if not height or not width:
        return False
    grey = grey[:height, :width]
    row = np.median(grey, axis=0)
    if row.std() < 10.0:
        return False
    off = np.abs(grey - row).reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK).mean(axis=(1, 3))
    return bool(off.max() < DAMAGE)

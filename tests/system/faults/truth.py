"""What is right of a picture that the bench's camera sent: whether it is whole, when it was taken."""

from __future__ import annotations

import functools
import time
from dataclasses import asdict, dataclass
from fractions import Fraction

import numpy as np

from tests.helpers.rtsp_server import BLACK, BLOCK, CELL, COLUMNS, ROWS, WHITE, Video, read_stamp, shade

# Grey levels that a whole block is off when it is torn: 13 and more where it is as it was in the picture before.
DAMAGE = 6.0


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
        return cls(at, stamp[0], stamp[1] / 1000, is_whole(image, stamp[0]), size, segment, timestamp)

    @property
    def age(self) -> float | None:
        """Seconds from the camera to the reader's hands."""
        return None if self.taken is None else self.at - self.taken

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


def is_whole(image: np.ndarray, number: int) -> bool:
    """(H, W, 3) uint8 -> whether every block below the stamp is that of the camera's picture of this number."""
    grey = image[:, :, 1].astype(np.float32)
    top, height, width = CELL * ROWS, *(side // BLOCK * BLOCK for side in grey.shape)
    if height <= top or not width:
        return False
    # What the camera's black and white have become: ranges differ from codec to codec.
    cells = grey[:top, : CELL * COLUMNS]
    dark, light = np.median(cells[cells < 128]), np.median(cells[cells >= 128])
    made = _made(number, image.shape[1], image.shape[0])
    made = (made - BLACK) * ((light - dark) / (WHITE - BLACK)) + dark
    off = np.abs(grey - made)[top:height, :width]
    off = off.reshape(-1, BLOCK, width // BLOCK, BLOCK).mean(axis=(1, 3))
    return bool(off.max() < DAMAGE)


def _made(number: int, width: int, height: int) -> np.ndarray:
    """(H, W) luma of the bench's picture of this number, without its stamp."""
    picture = bytearray(_stripes(width, height))
    shade(picture, width, height, number)
    luma = np.frombuffer(bytes(picture[: width * height]), np.uint8)
    return luma.reshape(height, width).astype(np.float32)


@functools.lru_cache(maxsize=8)
def _stripes(width: int, height: int) -> bytes:
    return bytes(next(Video(width, height, Fraction(1), pattern="stripes").pictures()))

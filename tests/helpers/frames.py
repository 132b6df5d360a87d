"""Frames that show which they are."""

import numpy as np


def numbered(count: int, height: int = 48, width: int = 64) -> list[np.ndarray]:
    """Frames whose pixel value is their number: a lost frame is visible."""
    return [np.full((height, width, 3), n % 256, np.uint8) for n in range(count)]

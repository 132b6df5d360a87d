"""Frames of any size as planar YUV of one size, as video encoders take them."""

from __future__ import annotations

import cv2
import numpy as np


def even_size(image: np.ndarray) -> tuple[int, int]:
    """Width and height of an image, where odd sides grow by one pixel.

    >>> even_size(np.zeros((9, 16, 3), np.uint8))
    (16, 10)
    """
    height, width = image.shape[:2]
    return width + width % 2, height + height % 2


def to_yuv(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) BGR of any size -> (3 H' / 2, W') planar YUV 4:2:0 of ``size``, width and height, both even.

    An image of another size is fitted into it between black bars.
    """
    width, height = size
    if even_size(image) != size:
        image = _letterbox(image, width, height)
    right, below = width - image.shape[1], height - image.shape[0]
    if right or below:
        image = cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_REPLICATE)
    return cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420)


def _letterbox(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """The image as large as it fits, black around it: (H, W, 3) -> (height, width, 3)."""
    scale = min(width / image.shape[1], height / image.shape[0])
    inner = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    canvas = np.zeros((height, width, 3), np.uint8)
    x, y = (width - inner[0]) // 2, (height - inner[1]) // 2
    canvas[y : y + inner[1], x : x + inner[0]] = cv2.resize(image, inner, interpolation=how)
    return canvas

"""Frames as they may be kept or sent: small enough, and blurred where privacy asks for it."""

from __future__ import annotations

import math

import cv2
import numpy as np

from streamrec.settings.evidence import Privacy
from streamrec.types import Result

_BLURRED = (
    4,
    8,
)  # pixels left of the short and the long side, at most; see the privacy table of docs/events.md
_AROUND = 0.15  # of a person's longer side: a box is drawn around joints, and a body is wider


def shown_image(result: Result, side: int, privacy: Privacy) -> np.ndarray:
    """A frame as it is kept or sent: blurred where people may be, or all but people, where privacy asks for it."""
    image = result.frame.image
    if privacy not in (Privacy.blur_people, Privacy.blur_others):
        return small_image(image, side, privacy)
    if result.people is None:  # people are not followed
        return small_image(image, side, Privacy.blur)
    clear = small_image(image, side, Privacy.full)
    height, width = clear.shape[:2]
    if privacy is Privacy.blur_others:
        blurred = small_image(image, side, Privacy.blur)
        for person in result.people:
            ymin, xmin, ymax, xmax = _pixels(person.box, height, width, 0.0)
            blurred[ymin:ymax, xmin:xmax] = clear[ymin:ymax, xmin:xmax]
        return blurred
    shown = clear if clear is not image else clear.copy()
    for box in (*result.prediction.possible, *(person.box for person in result.people)):
        ymin, xmin, ymax, xmax = _pixels(box, height, width, _AROUND)
        part = clear[ymin:ymax, xmin:xmax]
        if part.size:
            own = small_image(np.ascontiguousarray(part), max(part.shape[:2]), Privacy.blur)
            shown[ymin:ymax, xmin:xmax] = cv2.resize(own, (xmax - xmin, ymax - ymin))
    return shown


def _pixels(box: tuple[float, ...], height: int, width: int, around: float) -> tuple[int, int, int, int]:
    """Rows and columns of a box in parts of the picture, widened by this part of its longer side."""
    ymin, xmin, ymax, xmax = box
    more = around * max((ymax - ymin) * height, (xmax - xmin) * width)
    low = math.floor(ymin * height - more), math.floor(xmin * width - more)
    high = math.ceil(ymax * height + more), math.ceil(xmax * width + more)
    return max(0, low[0]), max(0, low[1]), min(height, high[0]), min(width, high[1])


def small_image(image: np.ndarray, side: int, privacy: Privacy) -> np.ndarray:
    """(H, W, 3) with at most ``side`` pixels on the long side, blurred where privacy asks for it."""
    height, width = image.shape[:2]
    scale = min(1.0, side / max(height, width))
    size = max(2, round(width * scale)), max(2, round(height * scale))
    if privacy is Privacy.blur:
        # By the short side: it limits the size of a face that fills the frame, or a part of it.
        least = min(_BLURRED[0] / min(height, width), _BLURRED[1] / max(height, width))
        coarse = max(1, round(width * least)), max(1, round(height * least))
        return cv2.resize(_shrunk(image, coarse), size, interpolation=cv2.INTER_CUBIC)
    return image if scale == 1.0 else _shrunk(image, size)


def _shrunk(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) -> (height, width, 3): by halving as often as possible, which is much faster than one step."""
    while image.shape[1] >= 2 * size[0] and image.shape[0] >= 2 * size[1]:
        columns, rows = image.shape[1] // 2, image.shape[0] // 2
        image = cv2.resize(image[: 2 * rows, : 2 * columns], (columns, rows), interpolation=cv2.INTER_AREA)
    if (image.shape[1], image.shape[0]) == size:
        return image
    return cv2.resize(
        image, size, interpolation=cv2.INTER_LINEAR
    )  # by less than two: every pixel still contributes

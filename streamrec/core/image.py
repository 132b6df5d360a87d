"""Conversion of an app's images to (H, W, 3) uint8 BGR."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from streamrec.errors import PictureError

_GRID = (16, 12)  # width, height
LEVELS = (
    6.0  # grey levels by which a block of the image must change: more than noise and compression artefacts
)
ACROSS = 160  # points across the image that are compared,
BLOCK = 4  # in blocks of so many by so many, whose means are free of noise
FINE = 4  # times the wanted size: from there an image is shrunk by area in one step


def as_bgr(picture: Any) -> np.ndarray:
    """Return the image as (H, W, 3) uint8, BGR, C-contiguous, without a copy where it is that already.

    Accepted: gray (H, W) or (H, W, 1), BGR (H, W, 3), BGRA (H, W, 4); as uint8, as uint16 over its full range,
    or as float from 0 to 1; contiguous or not. Everything else raises ``PictureError``.

    >>> as_bgr(np.zeros((480, 640), np.uint16)).shape
    (480, 640, 3)
    >>> as_bgr(np.zeros((3, 480, 640), np.uint8))
    Traceback (most recent call last):
    ...
    streamrec.errors.PictureError: the picture has shape (3, 480, 640): channels come last in OpenCV; \
use picture.transpose(1, 2, 0)
    """
    if not isinstance(picture, np.ndarray):
        raise PictureError(_not_an_array(picture))
    if picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3 and picture.size:
        return np.ascontiguousarray(picture)
    _check_shape(picture)
    picture = _as_uint8(picture)
    if picture.ndim == 2:
        picture = picture[:, :, None]
    if picture.shape[2] == 1:
        return np.repeat(picture, 3, axis=2)
    return np.ascontiguousarray(picture[:, :, :3])


def halvings(width: int, height: int, wanted_width: int, wanted_height: int) -> int:
    """How often an image is halved before it is shrunk: until it is at most ``FINE`` times as large as wanted.

    >>> [halvings(w, h, 80, 64) for w, h in ((456, 256), (640, 480), (1280, 720), (1920, 1080))]
    [0, 1, 2, 3]
    """
    times = 0
    while width > FINE * wanted_width and height > FINE * wanted_height:
        width, height, times = width // 2, height // 2, times + 1
    return times


def brightness(picture: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 BGR -> (192,) float32: how bright the cells of a grid of 16 x 12 are beside their mean.

    Square roots: the noise of a camera grows with the light, and that of its root does not.
    """
    height, width = picture.shape[:2]
    most = 4 * FINE  # pixels of a cell, each way: to shrink all of a large image would cost more
    step = max(1, min(width // (_GRID[0] * most), height // (_GRID[1] * most)))
    cells = cv2.resize(np.ascontiguousarray(picture[::step, ::step]), _GRID, interpolation=cv2.INTER_AREA)
    roots = np.sqrt(cv2.cvtColor(cells, cv2.COLOR_BGR2GRAY).astype(np.float32)).ravel()
    return roots - roots.mean(dtype=np.float32)


def block_means(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 -> the means of its blocks, of the green channel: it carries most of the brightness.

    >>> block_means(np.full((720, 1280, 3), 7, np.uint8)).shape
    (22, 40)
    """
    step = max(1, image.shape[1] // ACROSS)
    points = image[step // 2 :: step, step // 2 :: step, 1]
    rows, columns = points.shape[0] // BLOCK, points.shape[1] // BLOCK
    blocks = points[: BLOCK * rows, : BLOCK * columns].reshape(rows, BLOCK, columns, BLOCK)
    return blocks.mean((1, 3), dtype=np.float32)


def _not_an_array(picture: Any) -> str:
    if picture is None:
        return (
            "the picture is None: the camera or the file gave none (cv2.imread returns None for a bad path)"
        )
    kind = f"{type(picture).__module__}.{type(picture).__qualname__}"
    if kind.startswith("PIL."):
        return (
            "a PIL picture is RGB; pass cv2.cvtColor(np.asarray(picture.convert('RGB')), cv2.COLOR_RGB2BGR)"
        )
    return f"a picture is a numpy array of shape (height, width, 3), BGR as OpenCV gives it, not {kind}"


def _check_shape(picture: np.ndarray) -> None:
    shape = picture.shape
    if picture.ndim not in (2, 3):
        raise PictureError(f"the picture has shape {shape}: pass one picture, (height, width, 3), at a time")
    if picture.size == 0:
        raise PictureError(f"the picture is empty: its shape is {shape}")
    if picture.ndim == 3 and shape[2] not in (1, 3, 4):
        if shape[0] in (1, 3, 4):
            raise PictureError(
                f"the picture has shape {shape}: channels come last in OpenCV; use picture.transpose(1, 2, 0)"
            )
        raise PictureError(
            f"the picture has {shape[2]} channels; 1 (gray), 3 (BGR) or 4 (BGRA) are understood"
        )


def _as_uint8(picture: np.ndarray) -> np.ndarray:
    if picture.dtype == np.uint8:
        return picture
    if picture.dtype == np.uint16:
        return (picture >> 8).astype(np.uint8)
    if np.issubdtype(picture.dtype, np.floating):
        low, high = float(picture.min()), float(picture.max())
        if not (low >= 0.0 and high <= 1.0):  # NaN fails this too
            raise PictureError(
                f"a float picture runs from 0 to 1, this one from {low:g} to {high:g}; "
                "for 0 to 255 pass picture.astype(np.uint8)"
            )
        return np.rint(picture * 255.0).astype(np.uint8)
    raise PictureError(
        f"the picture is of {picture.dtype}; uint8, uint16, or float from 0 to 1 are understood"
    )

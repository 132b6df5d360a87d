"""From a frame's data to the model's input: one place, shared by training, serving and export. Here: images."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import cv2
import numpy as np

from streamrec.core.arguments import Limits
from streamrec.core.image import as_bgr, halvings
from streamrec.core.messages import described, shortened
from streamrec.errors import PictureError, WrongValue
from streamrec.types import VIDEO

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
LARGEST = 4096  # pixels of a side of a model's input
SIDE = Limits(1, LARGEST, whole=True)
LARGE = 250_000  # pixels: from there on shrinking by area alone would cost more than a small model
FITS = ("stretch", "crop", "pad")
_PIXELS_AT_ONCE = 3_000_000


class InputTransform(ABC):
    """How a frame's data becomes the model's input; saved with the model. Each sense has a kind of it.

    A recording for training keeps what ``stored`` gives; ``inputs`` makes model inputs of a stack of these.
    """

    sense: ClassVar[str]  # of the streams that it takes, as ``Source.sense``
    dtype: ClassVar[type]  # of the model's input
    input_name: ClassVar[str]  # of the model's input in the exported graph

    @property
    def straight(self) -> tuple[int, int] | None:
        """Width and height to which a decoder may shrink frames that only the model needs; None: it may not."""
        return None

    @property
    def resamples(self) -> bool:
        """Whether a stream is put on the model's own clock before the model sees it (``sources.resampling``)."""
        return False

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """The model's input for one frame, without axis 0."""

    @property
    @abstractmethod
    def described(self) -> str:
        """What the model takes, for messages: "video", "6 channels (x_acc, ...)"."""

    @abstractmethod
    def normalization(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of the model's input, float32, of a shape that broadcasts to ``shape``."""

    @abstractmethod
    def blank(self) -> np.ndarray:
        """The data of a frame in which there is nothing."""

    @abstractmethod
    def read(self, given: Any) -> np.ndarray:
        """What an app gives for a frame, as the data of one; raises ``PictureError``."""

    @abstractmethod
    def stored(self, data: np.ndarray) -> np.ndarray:
        """A frame's data as a recording keeps it; all of one transform have one shape."""

    @abstractmethod
    def inputs(self, stored: np.ndarray) -> np.ndarray:
        """(..., *stored) -> (..., *shape)."""

    def __call__(self, data: np.ndarray) -> np.ndarray:
        """A frame's data -> (*shape,); raises ``PictureError`` for what is none."""
        return self.inputs(self.stored(data))

    def prepared(self, data: Any) -> np.ndarray:
        """What an app gives for a frame -> (*shape,); raises ``PictureError``."""
        return self(self.read(data))


@dataclass(frozen=True, kw_only=True)
class Transform(InputTransform):
    """How an image becomes the model's input; saved with the model.

    ``fit``: "stretch" to the shape, "crop" the middle to it, or "pad" with gray to it. ``mean`` and ``std``
    are for RGB from 0 to 1; the model fills in those of its encoder's weights and applies them inside, so that
    they are part of what is exported.
    """

    sense: ClassVar[str] = VIDEO
    dtype: ClassVar[type] = np.uint8
    input_name: ClassVar[str] = "pictures"

    height: int = 96
    width: int = 128
    fit: str = "stretch"
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def __post_init__(self) -> None:
        if not isinstance(self.fit, str) or self.fit not in FITS:
            raise WrongValue(f"fit is one of {', '.join(FITS)}, not {shortened(self.fit)}")
        if not (SIDE.holds(self.height) and SIDE.holds(self.width)):
            size = f"{shortened(self.width)}x{shortened(self.height)}"
            raise WrongValue(
                f"a model takes pictures of at least 1x1 and at most {LARGEST}x{LARGEST}, not {size}"
            )
        for name, allowed in (("mean", Limits(-1000, 1000)), ("std", Limits(1e-6, 1000))):
            numbers = getattr(self, name)
            if not isinstance(numbers, tuple) or len(numbers) != 3 or not all(map(allowed.holds, numbers)):
                raise WrongValue(
                    f"{name} is {shortened(numbers)}: give three numbers, for red, green and blue"
                )

    @property
    def shape(self) -> tuple[int, ...]:
        """(3, height, width)."""
        return 3, self.height, self.width

    @property
    def described(self) -> str:
        """Video, whatever the size."""
        return VIDEO

    def normalization(self) -> tuple[np.ndarray, np.ndarray]:
        """(3, 1, 1) each, for RGB from 0 to 255."""
        mean, std = (np.array(numbers, np.float32).reshape(3, 1, 1) for numbers in (self.mean, self.std))
        return np.float32(255.0) * mean, np.float32(255.0) * std

    def blank(self) -> np.ndarray:
        """(height, width, 3) uint8, black."""
        return np.zeros((self.height, self.width, 3), np.uint8)

    def read(self, given: Any) -> np.ndarray:
        """An image as OpenCV gives it, or gray, BGRA, 16-bit, float from 0 to 1 -> (H, W, 3) uint8 BGR."""
        return as_bgr(given)

    def stored(self, data: np.ndarray) -> np.ndarray:
        """``resize``."""
        return self.resize(data)

    def inputs(self, stored: np.ndarray) -> np.ndarray:
        """``planar``."""
        return planar(stored)

    @property
    def straight(self) -> tuple[int, int] | None:
        """Width and height to which a decoder may shrink frames that only the model needs; None: it may not."""
        return (self.width, self.height) if self.fit == "stretch" else None

    def resize(self, image: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 -> (height, width, 3) uint8, colours in the same order."""
        if self.fit == "crop":
            image = _middle(image, self.width / self.height)
        elif self.fit == "pad":
            image = _padded(image, self.width / self.height)
        if image.shape[:2] == (self.height, self.width):
            return image
        image = self._nearer(image)
        shrinks = image.shape[0] > self.height or image.shape[1] > self.width
        return cv2.resize(
            image, (self.width, self.height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        )

    def _nearer(self, image: np.ndarray) -> np.ndarray:
        """Shrink a large image to twice the size in quick steps, which is nearly the same as one by area."""
        for _ in range(halvings(image.shape[1], image.shape[0], self.width, self.height)):
            rows, columns = image.shape[0] // 2, image.shape[1] // 2
            image = cv2.resize(
                image[: 2 * rows, : 2 * columns], (columns, rows), interpolation=cv2.INTER_AREA
            )
        rows, columns = image.shape[:2]
        if rows * columns >= LARGE and rows >= 2 * self.height and columns >= 2 * self.width:
            image = cv2.resize(image, (2 * self.width, 2 * self.height), interpolation=cv2.INTER_LINEAR)
        return image

    def project_back(self, values: np.ndarray, height: int, width: int) -> np.ndarray:
        """(h, w) float over the model's input -> (height, width) over the image; 0 outside of the input."""
        over = np.zeros((height, width), np.float32)
        if self.fit == "crop":
            middle = _middle(over, self.width / self.height)
            middle[:] = cv2.resize(values, (middle.shape[1], middle.shape[0]))
            return over
        above, below, left, right = (
            _margins(height, width, self.width / self.height) if self.fit == "pad" else (0, 0, 0, 0)
        )
        whole = cv2.resize(values, (left + width + right, above + height + below))
        return np.ascontiguousarray(whole[above : above + height, left : left + width])

    def picture_in_input(self, height: int, width: int) -> tuple[float, float, float, float]:
        """Top, left, height and width of an image of this size in the model's input, in parts of it.

        A padded image is smaller than the input, one that is cut is larger.

        >>> Transform(height=192, width=256, fit="pad").picture_in_input(1080, 1920)
        (0.125, 0.0, 0.75, 1.0)
        """
        if self.fit == "stretch":
            return 0.0, 0.0, 1.0, 1.0
        aspect = self.width / self.height
        if self.fit == "crop":
            shown = min(height, max(1, round(width / aspect))), min(width, max(1, round(height * aspect)))
            tall, wide = height / shown[0], width / shown[1]
            top, left = (height - shown[0]) // 2 / shown[0], (width - shown[1]) // 2 / shown[1]
            return -top, -left, tall, wide
        above, below, before, after = _margins(height, width, aspect)
        whole = height + above + below, width + before + after
        return above / whole[0], before / whole[1], height / whole[0], width / whole[1]

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 BGR -> (3, height, width) uint8 RGB; raises ``PictureError`` for what is none."""
        if not (isinstance(image, np.ndarray) and image.ndim == 3 and image.shape[2] == 3 and image.size):
            raise PictureError(f"a transform takes a BGR picture (H, W, 3) uint8, not {described(image)}")
        return planar(self.resize(image))


def frames_at_once(transform: InputTransform) -> int:
    """How many frames of a clip are encoded together: a long one goes in parts, so that it fits into memory.

    >>> frames_at_once(Transform(width=256, height=192))
    61
    """
    return max(1, min(256, _PIXELS_AT_ONCE // pixels_of(transform)))


def pixels_of(transform: InputTransform) -> int:
    """The places of a model's input: pixels of an image, 1 of a row of channels.

    >>> pixels_of(Transform(width=80, height=64))
    5120
    """
    return math.prod(transform.shape[1:])


def as_inputs(stored: np.ndarray) -> np.ndarray:
    """(..., *stored) of any transform -> (..., *shape): images are planar RGB, readings stay as they are."""
    return planar(stored) if stored.dtype == np.uint8 else np.ascontiguousarray(stored)


def planar(image: np.ndarray) -> np.ndarray:
    """(..., H, W, 3) BGR -> (..., 3, H, W) RGB, contiguous."""
    return np.ascontiguousarray(np.moveaxis(image[..., ::-1], -1, -3))


def _middle(image: np.ndarray, aspect: float) -> np.ndarray:
    height, width = image.shape[:2]
    wanted_width = min(width, max(1, round(height * aspect)))
    wanted_height = min(height, max(1, round(width / aspect)))
    top, left = (height - wanted_height) // 2, (width - wanted_width) // 2
    return image[top : top + wanted_height, left : left + wanted_width]


def _padded(image: np.ndarray, aspect: float) -> np.ndarray:
    height, width = image.shape[:2]
    margins = _margins(height, width, aspect)
    return cv2.copyMakeBorder(image, *margins, cv2.BORDER_CONSTANT, value=(114, 114, 114))


def _margins(height: int, width: int, aspect: float) -> tuple[int, int, int, int]:
    """The pixels to add above, below, left and right of an image to reach the shape."""
    rows, columns = max(0, round(width / aspect) - height), max(0, round(height * aspect) - width)
    return rows // 2, rows - rows // 2, columns // 2, columns - columns // 2

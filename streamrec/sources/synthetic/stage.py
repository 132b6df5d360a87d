"""A stage for dolls: a painted place, people and things that move in it, and the camera that records them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import cv2
import numpy as np

from streamrec.sources.synthetic.camera import Camera
from streamrec.sources.synthetic.crowd import Cast

LEAD = 0.4  # seconds by which motions begin before the scene, so that nobody starts from rest


class Lens(Protocol):
    """What a camera does to a picture."""

    def apply(self, image: np.ndarray, seconds: float) -> np.ndarray:
        """The picture (H, W, 3) as it was recorded."""
        ...


class Prop(Protocol):
    """Something in the picture that is not a person."""

    def draw(self, image: np.ndarray, camera: Camera, seconds: float) -> None:
        """Paint it."""
        ...


def fineness(height: int) -> int:
    """How many times larger a small picture is painted before it is shrunk."""
    return 2 if height <= 160 else 1


class Theatre:
    """One scene of dolls, painted."""

    def __init__(
        self,
        rng: np.random.Generator,
        size: tuple[int, int],
        camera: Camera,
        canvas: np.ndarray,
        cast: Cast,
        lens: Lens,
        *,
        shake: float = 0.0,
        behind: Sequence[Prop] = (),
        before: Sequence[Prop] = (),
    ) -> None:
        """``camera`` and ``canvas`` are ``fineness`` times as large as ``size``; ``shake``: in picture heights;
        props are painted ``behind`` and ``before`` the people."""
        self._size = size
        fine = fineness(size[1])
        self._wide, self._high = size[0] * fine, size[1] * fine
        if canvas.shape[1] != self._wide:
            canvas = np.asarray(cv2.resize(canvas, (self._wide, self._high)))
        self._camera, self._canvas, self._cast, self._lens = camera, canvas, cast, lens
        self._shake, self._phases = shake * self._high, rng.uniform(0, 2 * math.pi, 4)
        self._behind, self._before = behind, before
        self._shadow = rng.uniform(0, 0.55)

    def picture(self, seconds: float) -> np.ndarray:
        """The picture (H, W, 3) of a moment."""
        camera, image = self._camera, self._canvas
        if self._shake:
            p = self._phases
            dx = self._shake * (math.sin(5 * seconds + p[0]) + math.sin(13 * seconds + p[1]))
            dy = self._shake * (math.sin(6 * seconds + p[2]) + math.sin(11 * seconds + p[3]))
            camera = camera.zoomed(1.0, (dx, dy))
            move = np.array(((1.0, 0.0, dx), (0.0, 1.0, dy)))
            size = (self._wide, self._high)
            image = np.asarray(cv2.warpAffine(image, move, size, borderMode=cv2.BORDER_REPLICATE))
        else:
            image = image.copy()
        for prop in self._behind:
            prop.draw(image, camera, seconds)
        self._cast.draw(image, camera, self._cast.at(seconds + LEAD), self._shadow)
        for prop in self._before:
            prop.draw(image, camera, seconds)
        if (self._wide, self._high) != self._size:
            image = np.asarray(cv2.resize(image, self._size, interpolation=cv2.INTER_AREA))
        return self._lens.apply(image, seconds)

"""Renders a scene of dolls: a painted background, people and things that move, and the camera that records them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from streamrec.sources.synthetic.camera import Camera
from streamrec.sources.synthetic.crowd import Cast

LEAD = 0.4  # seconds by which motions begin before the scene, so that they are under way at its first frame


class Effects(Protocol):
    """What a camera does to an image."""

    def apply(self, image: np.ndarray, seconds: float) -> np.ndarray:
        """The image (H, W, 3) as it was recorded."""
        ...


class Prop(Protocol):
    """Something in the image that is not a person."""

    def draw(self, image: np.ndarray, camera: Camera, seconds: float) -> None:
        """Paint it."""
        ...


@dataclass(frozen=True, slots=True)
class Props:
    """Things that are painted behind the people, and before them."""

    behind: Sequence[Prop] = ()
    before: Sequence[Prop] = ()


def fineness(height: int) -> int:
    """The factor by which a small image is painted larger, before it is scaled down."""
    return 2 if height <= 160 else 1


class Theatre:
    """One painted scene of dolls."""

    def __init__(
        self,
        rng: np.random.Generator,
        size: tuple[int, int],
        camera: Camera,
        canvas: np.ndarray,
        cast: Cast,
        effects: Effects,
        *,
        shake: float = 0.0,
        props: Props | None = None,
    ) -> None:
        """``camera`` and ``canvas`` are ``fineness`` times as large as ``size``; ``shake``: in image heights."""
        self._size = size
        fine = fineness(size[1])
        self._wide, self._high = size[0] * fine, size[1] * fine
        if canvas.shape[1] != self._wide:
            canvas = np.asarray(cv2.resize(canvas, (self._wide, self._high)))
        self._camera, self._canvas, self._cast, self._effects = camera, canvas, cast, effects
        self._shake, self._phases = shake * self._high, rng.uniform(0, 2 * math.pi, 4)
        self._props = props or Props()
        self._shadow = rng.uniform(0, 0.55)

    def render(self, seconds: float) -> np.ndarray:
        """The image (H, W, 3) at a time."""
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
        for prop in self._props.behind:
            prop.draw(image, camera, seconds)
        self._cast.draw(image, camera, self._cast.at(seconds + LEAD), self._shadow)
        for prop in self._props.before:
            prop.draw(image, camera, seconds)
        if (self._wide, self._high) != self._size:
            image = np.asarray(cv2.resize(image, self._size, interpolation=cv2.INTER_AREA))
        return self._effects.apply(image, seconds)

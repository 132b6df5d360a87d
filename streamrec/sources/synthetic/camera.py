"""A pinhole camera that points at the place where a figure acts."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Camera:
    """Points at the origin from above the floor: x is right, y up, z to the camera, in metres."""

    distance: float  # to the point that it aims at
    aim: float  # height of that point
    pitch: float  # radians downwards
    roll: float = 0.0  # radians
    focal: float = 1.0  # pixels
    centre: tuple[float, float] = (0.0, 0.0)  # where the optical axis meets the image, pixels

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(N, 3) metres -> (N, 2) pixels and (N,) depths in metres."""
        q = points @ self._axes().T
        depth = self.distance - q[:, 2] + self.aim * math.sin(self.pitch)
        flat = q[:, :2] * (self.focal / depth)[:, None]
        up = self.aim * math.cos(self.pitch) * self.focal / depth
        flat[:, 1] = up - flat[:, 1]
        if self.roll:
            c, s = math.cos(self.roll), math.sin(self.roll)
            flat = flat @ np.array(((c, s), (-s, c)))
        return flat + self.centre, depth

    def zoomed(self, factor: float, shift: tuple[float, float]) -> Camera:
        """The same view, shifted by pixels, then magnified."""
        x, y = ((c + s) * factor for c, s in zip(self.centre, shift, strict=True))
        return replace(self, focal=self.focal * factor, centre=(x, y))

    def _axes(self) -> np.ndarray:
        c, s = math.cos(self.pitch), math.sin(self.pitch)
        return np.array(((1.0, 0.0, 0.0), (0.0, c, -s), (0.0, s, c)))


def draw_camera(rng: np.random.Generator, width: int, height: int, figure: float) -> Camera:
    """A random camera that shows a figure of so many metres as large as all its actions allow."""
    high = rng.random() < 0.4  # on a wall, like surveillance cameras in shops
    pitch = math.radians(rng.uniform(12, 30) if high else rng.uniform(0, 10))
    camera = Camera(
        distance=rng.uniform(3.2, 6.5),
        aim=0.5 * figure,
        pitch=pitch,
        roll=math.radians(rng.normal(0, 0.9)) if rng.random() < 0.5 else 0.0,
    )
    must_show = np.array(
        (
            (0.0, 1.26, 0.0), (0.45, 1.1, 0.1), (-0.45, 1.1, 0.1), (0.5, 0.0, 0.0), (-0.5, 0.0, 0.0),
            (0.0, 0.0, 0.5), (0.0, 0.0, 0.0), (0.0, 1.0, 0.0),
        )
    ) * figure  # fmt: skip
    flat, _ = camera.project(must_show)
    tall = flat[6, 1] - flat[7, 1]
    low, high_corner = flat.min(0), flat.max(0)
    wish = rng.uniform(0.5, 0.8) * height / tall
    focal = min(wish, 0.96 * height / (high_corner[1] - low[1]), 0.96 * width / (high_corner[0] - low[0]))
    room = height - focal * (high_corner[1] - low[1])
    top = rng.uniform(0.25, 0.75) * room
    x = width * (0.5 + rng.uniform(-0.06, 0.06))
    return replace(camera, focal=float(focal), centre=(x, float(top - focal * low[1])))

"""Random pinhole cameras: webcams before a face, and cameras of rooms from knee height to the ceiling."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

NET_HEIGHT, NET_WIDTH = 192, 256  # pixels of the detector's input
FITS = ("pad", "stretch")
_SHAPES = (4 / 3, 16 / 9, 9 / 16, 3 / 4, 5 / 4)  # width by height
_WEBCAM_SHAPES = (0.42, 0.5, 0.05, 0.02, 0.01)
_ROOM_SHAPES = (0.42, 0.42, 0.06, 0.05, 0.05)


@dataclass(frozen=True, kw_only=True, eq=False, slots=True)
class Camera:
    """A pinhole camera in a world of metres: x is right of a viewer who faces -z, y up."""

    place: np.ndarray  # (3,) metres
    axes: np.ndarray  # (3, 3): its right, down and forward in the world
    focal: float  # in heights of the picture
    aspect: float  # width by height of the picture
    fit: str = "pad"  # how the picture becomes the net's input: "pad" keeps proportions, "stretch" fills it

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where points are in the net's input, and how far ahead of the camera.

        (..., 3) metres -> (..., 2) y and x in parts of the net's input, (...) metres. What is behind the camera has
        a depth of at most 0 and a place that means nothing.
        """
        seen = (points - self.place) @ self.axes.T
        depth = seen[..., 2]
        near = np.maximum(depth, 0.05)
        x = 0.5 + self.focal / self.aspect * seen[..., 0] / near
        y = 0.5 + self.focal * seen[..., 1] / near
        tall, wide = self.part
        return np.stack((0.5 + (y - 0.5) * tall, 0.5 + (x - 0.5) * wide), -1), depth

    @property
    def part(self) -> tuple[float, float]:
        """The height and width that the picture takes of the net's input; padding lies on both sides of it."""
        if self.fit == "stretch":
            return 1.0, 1.0
        shape = NET_WIDTH / NET_HEIGHT
        return min(1.0, shape / self.aspect), min(1.0, self.aspect / shape)

    def shows(self, places: np.ndarray, depth: np.ndarray) -> np.ndarray:
        """Which of the projected points lie within the picture; (..., 2), (...) -> (...) bool."""
        tall, wide = self.part
        middle = np.abs(places - 0.5)
        return (depth > 0.05) & (middle[..., 0] <= tall / 2) & (middle[..., 1] <= wide / 2)


def aim_at(place: np.ndarray, aim: np.ndarray, roll: float = 0.0) -> np.ndarray:
    """The axes (3, 3) of a camera at a place that is aimed at a point, turned about that line by ``roll`` radians."""
    ahead = (aim - place) / np.linalg.norm(aim - place)
    up = np.array((0.0, 1.0, 0.0)) if abs(ahead[1]) < 0.999 else np.array((0.0, 0.0, -1.0))
    right = np.cross(ahead, up)
    right /= np.linalg.norm(right)
    down = np.cross(ahead, right)
    cosine, sine = math.cos(roll), math.sin(roll)
    return np.stack((cosine * right + sine * down, cosine * down - sine * right, ahead))


def focal_of(degrees: float, aspect: float) -> float:
    """Focal length in heights of the picture from the angle of view along its longer side."""
    return max(aspect, 1.0) / 2 / math.tan(math.radians(degrees) / 2)


def draw_webcam(
    rng: np.random.Generator, *, head: float, middle: float, seated: bool, whole: bool, fit: str = "pad"
) -> Camera:
    """A webcam before a person at the origin who faces it.

    ``head`` and ``middle`` are the heights of their nose and their hips in metres; ``whole``: the whole body is seen.
    """
    aspect = float(rng.choice(_SHAPES, p=_WEBCAM_SHAPES))
    focal = focal_of(rng.uniform(50, 82), aspect)
    if whole:
        tall = (head + 0.15) * rng.uniform(1.05, 1.7)  # metres that the picture is high at the person
        away = float(np.clip(tall * focal, 1.6, 5.0))
        aim = 0.5 * (head + 0.1) + rng.normal(0.06, 0.12)
        height = rng.uniform(0.5, 1.7)
    else:
        away = rng.uniform(0.5, 1.1) if seated and rng.random() < 0.6 else rng.uniform(0.8, 2.8)
        shown = away / focal  # metres of the person that the picture is high
        nose = rng.uniform(0.15, 0.56)  # where it is in the picture: 0 is its upper edge
        aim = max(head - (0.5 - nose) * shown, middle - 0.4)
        height = head + rng.normal(-0.05, 0.18) if rng.random() < 0.75 else head - rng.uniform(0.2, 0.6)
    aside = rng.normal(0, 0.12) * away
    place = np.array((aside, max(height, 0.3), away))
    target = np.array((rng.normal(0, 0.07) * away, aim, 0.0))
    return Camera(
        place=place,
        axes=aim_at(place, target, math.radians(rng.normal(0, 1.5))),
        focal=focal,
        aspect=aspect,
        fit=fit,
    )


def draw_room_camera(
    rng: np.random.Generator,
    *,
    stature: float = 1.7,
    focus: tuple[float, float] = (0.0, 0.0),
    fit: str = "pad",
) -> Camera:
    """A camera of a room, somewhere around a place on the floor: level, on a wall, or under the ceiling.

    ``focus`` is x and z of what it should show, metres; it is aimed about there.
    """
    middle = np.array((focus[0], 0.0, focus[1]))
    aspect = float(rng.choice(_SHAPES, p=_ROOM_SHAPES))
    near = rng.random() < 0.12  # so near that feet or head are out of the picture
    for _ in range(20):
        degrees = rng.uniform(50, 80) if rng.random() < 0.7 else rng.uniform(80, 110)
        focal = focal_of(degrees, aspect)
        kind = rng.random()
        if kind < 0.35:  # on a low table to chest height, level
            height, away = rng.uniform(0.3, 1.4), rng.uniform(1.8, 6.5)
        elif kind < 0.6:  # on a shelf, or held by a person
            height, away = rng.uniform(1.2, 2.0), rng.uniform(2.2, 6.5)
        elif kind < 0.9:  # high on a wall
            height, away = rng.uniform(2.0, 3.2), rng.uniform(1.8, 6.0)
        else:  # under the ceiling, aimed down
            height, away = rng.uniform(2.5, 3.4), rng.uniform(0.2, 1.6)
        around = rng.uniform(0, 2 * math.pi)
        place = np.add(middle, (away * math.sin(around), height, away * math.cos(around)))
        off = rng.normal(0, (0.4, 0.22, 0.4))
        aim = np.add(middle, (off[0], 0.42 * stature + off[1], off[2]))
        camera = Camera(
            place=place,
            axes=aim_at(place, aim, math.radians(rng.normal(0, 2.5))),
            focal=focal,
            aspect=aspect,
            fit=fit,
        )
        places, _ = camera.project(np.stack((middle, np.add(middle, (0.0, stature, 0.0)))))
        tall = float(np.hypot(*(np.ptp(places, axis=0) * (NET_HEIGHT, NET_WIDTH)))) / NET_HEIGHT
        if (0.9 < tall < 1.6) if near else (0.25 < tall < 1.0 or (kind >= 0.9 and tall < 1.0)):
            return camera
    return camera

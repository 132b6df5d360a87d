"""What a fingertip draws in the air: paths in the plane, and the position on them over time."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np

SHAPES = ("caret", "circle", "cross", "down", "left", "other", "right", "square", "star", "tick", "up")
"""What can be drawn, in label order."""

Strokes = list[np.ndarray]  # (N, 2) each, between corners; x to the right, y down, about -1 to 1


@dataclass(frozen=True, eq=False)
class Track:
    """The positions of a point over time: (N,) seconds and (N, 2) places."""

    times: np.ndarray
    places: np.ndarray

    def at(self, seconds: float) -> np.ndarray:
        """The place (2,); before the first time and after the last it stays there."""
        x = np.interp(seconds, self.times, self.places[:, 0])
        y = np.interp(seconds, self.times, self.places[:, 1])
        return np.array((x, y))


_LINES = {"left": 180.0, "right": 0.0, "up": -90.0, "down": 90.0}  # degrees, y down
_STAR = [(math.sin(math.radians(a)), -math.cos(math.radians(a))) for a in range(216, 216 + 144 * 6, 144)]
_CORNERS = {
    "caret": ((-0.8, 0.9), (0.0, -0.9), (0.8, 0.9)),
    "tick": ((-0.9, -0.05), (-0.3, 0.8), (1.0, -0.9)),
    "star": tuple(_STAR),
    "square": ((-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85), (-0.85, -0.85)),
}
_CROSSES = (  # with the way from one stroke to the other
    ((-0.85, -0.9), (0.85, 0.9), (-0.85, 0.9), (0.85, -0.9)),
    ((-0.85, -0.9), (0.85, 0.9), (0.85, -0.9), (-0.85, 0.9)),
    ((0.85, -0.9), (-0.85, 0.9), (-0.85, -0.9), (0.85, 0.9)),
)
_OTHERS = {
    "zigzag": ((-1, -0.4), (-0.5, 0.4), (0, -0.4), (0.5, 0.4), (1, -0.4)),
    "z": ((-0.8, -0.8), (0.8, -0.8), (-0.8, 0.8), (0.8, 0.8)),
    "n": ((-0.7, 0.9), (-0.7, -0.9), (0.7, 0.9), (0.7, -0.9)),
    "l": ((-0.5, -0.9), (-0.5, 0.8), (0.6, 0.8)),
    "m": ((-0.9, 0.8), (-0.5, -0.8), (0, 0.5), (0.5, -0.8), (0.9, 0.8)),
    "triangle": ((0, -0.9), (0.9, 0.7), (-0.9, 0.7), (0, -0.9)),
    "t": ((-0.8, -0.8), (0.8, -0.8), (0.0, -0.8), (0.0, 0.9)),
    "arrow": ((-1, 0), (0.9, 0), (0.4, -0.5), (0.9, 0), (0.4, 0.5)),
    "to and fro": ((-0.9, 0), (0.9, 0), (-0.9, 0), (0.9, 0), (-0.9, 0)),
    "up and down": ((0, 0.8), (0, -0.8), (0, 0.8), (0, -0.8), (0, 0.8)),
}
_CURVES = ("s", "eight", "spiral", "arc", "wave")


def draw_strokes(shape: str, rng: np.random.Generator) -> Strokes:
    """A hand-drawn shape; of ``other`` a random one that has no name."""
    if shape in _LINES:
        angle = math.radians(_LINES[shape] + rng.normal(0, 7))
        end = np.array((math.cos(angle), math.sin(angle)))
        return _hand_drawn([_line(-end, end)], rng, bow=0.07)
    if shape == "circle":
        start = rng.normal(-math.pi / 2, 0.9)
        turn = rng.uniform(0.93, 1.12) * 2 * math.pi * (1 if rng.random() < 0.6 else -1)
        angles = np.linspace(start, start + turn, 60)
        return _shaken([np.stack((np.cos(angles), np.sin(angles)), 1)], rng)
    if shape == "cross":
        corners: np.ndarray = np.array(_CROSSES[rng.choice(3, p=(0.6, 0.25, 0.15))], float)
    elif shape == "other":
        return _other(rng)
    else:
        corners = np.array(_CORNERS[shape], float)
    if shape == "square":
        first = 0 if rng.random() < 0.65 else int(rng.integers(4))
        corners = np.roll(corners[:4], -first, 0)
        corners = np.concatenate((corners, corners[:1]))
    if shape == "star" and rng.random() < 0.25:
        first = int(rng.integers(5))
        corners = np.roll(corners[:5], -first, 0)
        corners = np.concatenate((corners, corners[:1]))
    if shape in ("square", "caret", "star") and rng.random() < 0.25:  # the other way round
        corners = corners[::-1]
    return _polyline(corners, rng)


def _other(rng: np.random.Generator) -> Strokes:
    way = rng.random()
    if way < 0.2:  # at rest
        return [np.zeros((2, 2))]
    if way < 0.45:  # wanders
        points = rng.uniform(-1, 1, (int(rng.integers(4, 9)), 2))
        return [_rounded(points)]
    if way < 0.65:
        x = np.linspace(0, 1, 60)
        kind = _CURVES[rng.integers(len(_CURVES))]
        if kind == "s":
            curve = np.stack((-0.7 * np.sin(2 * np.pi * x), 1.8 * x - 0.9), 1)
        elif kind == "eight":
            curve = np.stack((0.7 * np.sin(4 * np.pi * x), -np.cos(2 * np.pi * x)), 1)
        elif kind == "spiral":
            curve = np.stack((x * np.cos(5 * np.pi * x), x * np.sin(5 * np.pi * x)), 1)
        elif kind == "arc":
            curve = np.stack((np.cos(1.2 * np.pi * x + 2.9), np.sin(1.2 * np.pi * x + 2.9)), 1)
        else:
            curve = np.stack((2 * x - 1, 0.4 * np.sin(6 * np.pi * x)), 1)
        if rng.random() < 0.4:
            curve = curve * (-1, 1)
        return _shaken([curve if rng.random() < 0.7 else curve[::-1]], rng)
    names = list(_OTHERS)
    corners = np.array(_OTHERS[names[rng.integers(len(names))]], float)
    if rng.random() < 0.4:
        corners = corners * (-1, 1)
    return _polyline(corners if rng.random() < 0.7 else corners[::-1], rng)


def _polyline(corners: np.ndarray, rng: np.random.Generator) -> Strokes:
    corners = corners + rng.normal(0, 0.07, corners.shape)
    return _hand_drawn([_line(a, b) for a, b in itertools.pairwise(corners)], rng)


def _line(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    return start + (end - start) * np.linspace(0, 1, 16)[:, None]


def _hand_drawn(strokes: Strokes, rng: np.random.Generator, bow: float = 0.05) -> Strokes:
    """Lines are never quite straight."""
    swell = np.sin(np.linspace(0, math.pi, 16))[:, None]
    bent = []
    for line in strokes:
        way = line[-1] - line[0]
        bent.append(line + swell * rng.normal(0, bow) * np.array((-way[1], way[0])))
    return _shaken(bent, rng)


def _shaken(strokes: Strokes, rng: np.random.Generator) -> Strokes:
    """Turned, stretched and sheared a little."""
    angle = rng.normal(0, math.radians(5))
    c, s = math.cos(angle), math.sin(angle)
    shape = np.array(((c, -s), (s, c))) @ np.diag(rng.uniform(0.82, 1.18, 2))
    shape[0, 1] += rng.normal(0, 0.06)
    return [line @ shape.T for line in strokes]


def _rounded(points: np.ndarray) -> np.ndarray:
    """A smooth way through points (Catmull-Rom)."""
    p = np.concatenate((points[:1], points, points[-1:]))
    x = np.linspace(0, 1, 12, endpoint=False)[:, None]
    ways = []
    for a, b, c, d in zip(p[:-3], p[1:-2], p[2:-1], p[3:], strict=True):
        ways.append(
            0.5
            * ((2 * b) + (c - a) * x + (2 * a - 5 * b + 4 * c - d) * x**2 + (3 * b - a - 3 * c + d) * x**3)
        )
    return np.concatenate(ways)


def timed(strokes: Strokes, seconds: float, rng: np.random.Generator) -> Track:
    """Draw the strokes within so many seconds: slower at the corners, long strokes faster than short ones."""
    lengths = np.array([np.hypot(*np.diff(line, axis=0).T).sum() + 0.05 for line in strokes])
    spans = lengths ** rng.uniform(0.5, 0.9) * rng.uniform(0.8, 1.25, len(strokes))
    ends = np.cumsum(spans / spans.sum() * seconds)
    slow = rng.uniform(0.35, 1.0)  # how much it slows down at a corner
    times, places = [], []
    start = 0.0
    for line, end in zip(strokes, ends.tolist(), strict=True):
        way = np.concatenate(((0.0,), np.cumsum(np.hypot(*np.diff(line, axis=0).T))))
        share = way / way[-1] if way[-1] > 0 else np.linspace(0, 1, len(line))
        x = np.linspace(0, 1, 24)
        travelled = slow * (x * x * (3 - 2 * x)) + (1 - slow) * x
        times.append(start + (end - start) * x)
        places.append(np.stack([np.interp(travelled, share, line[:, k]) for k in (0, 1)], 1))
        start = end
    return Track(np.concatenate(times), np.concatenate(places))

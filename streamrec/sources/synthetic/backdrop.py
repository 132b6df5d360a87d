"""Flat backgrounds: textures, plain walls, shelves, leaves, streets; and the automatic exposure of a camera."""

from __future__ import annotations

import itertools
import math

import cv2
import numpy as np

from streamrec.sources.synthetic import places as scene
from streamrec.sources.synthetic.camera import draw_camera
from streamrec.sources.synthetic.figure import hsv


def paint(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """A random background (height, width, 3) uint8."""
    way = rng.random()
    if way < 0.15:  # a room, street or park in perspective
        camera = draw_camera(rng, width, height, 1.7)
        canvas = scene.paint(width, height, camera, rng, clearance=rng.uniform(0.3, 2.0))
    elif way < 0.35:
        canvas = _plain(rng, width, height)
    elif way < 0.5:
        canvas = _stripes(rng, width, height)
    elif way < 0.62:
        canvas = _grid(rng, width, height)
    elif way < 0.75:
        canvas = _blobs(rng, width, height)
    elif way < 0.88:
        canvas = _layers(rng, width, height)
    else:
        canvas = _boxes(rng, width, height)
    return shaded(rng, canvas)


def noise(rng: np.random.Generator, width: int, height: int, finest: float = 1.0) -> np.ndarray:
    """Cloudy noise (height, width) float32, about -1 to 1; ``finest``: share of the fine octaves."""
    out: np.ndarray = np.zeros((height, width), np.float32)
    for cells, share in ((3, 1.0), (7, 0.6), (16, 0.4 * finest), (40, 0.25 * finest), (90, 0.15 * finest)):
        grain = rng.standard_normal((cells, cells), np.float32) * np.float32(share)
        out += cv2.resize(grain, (width, height), interpolation=cv2.INTER_CUBIC)
    return out * np.float32(0.6)


def shaded(rng: np.random.Generator, canvas: np.ndarray) -> np.ndarray:
    """Uneven light, a lamp's spot and a little texture."""
    height, width = canvas.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    far = np.hypot(x - rng.uniform(0, 1) * width, y - rng.uniform(0, 1) * height) / width
    light = 1 + rng.uniform(0, 0.35) * (0.5 - 1.4 * far) + 0.03 * noise(rng, width, height)
    if rng.random() < 0.15:  # a torch in the dark
        light *= 0.25 + 1.1 * np.exp(-((far / rng.uniform(0.25, 0.6)) ** 2))
    return np.clip(canvas * light[..., None], 0, 255).astype(np.uint8)


def _colour(rng: np.random.Generator, saturation: float = 0.6) -> np.ndarray:
    return np.array(hsv(rng.uniform(), saturation * rng.uniform() ** 1.5, rng.uniform(0.1, 0.98)))


def _plain(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """A wall, a door, a desk: few edges."""
    canvas = np.empty((height, width, 3), np.float32)
    canvas[:] = _colour(rng, 0.35)
    for _ in range(rng.integers(0, 4)):
        if rng.random() < 0.5:
            x = int(rng.uniform(0, width))
            canvas[:, x:] = _colour(rng, 0.5)
        else:
            y = int(rng.uniform(0.5, 1) * height)
            canvas[y:] = _colour(rng, 0.5)
    canvas *= 1 + rng.uniform(0, 0.06) * noise(rng, width, height)[..., None]
    return _turned(rng, canvas)


def _stripes(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Curtains, boards, blinds, shelves of books."""
    count = int(rng.integers(5, 40))
    edges = np.sort(rng.uniform(0, width, count)).astype(int)
    tone, other = _colour(rng), _colour(rng)
    books = rng.random() < 0.3
    canvas = np.empty((height, width, 3), np.float32)
    canvas[:] = tone
    for a, b in itertools.pairwise(edges.tolist()):
        share = rng.uniform()
        canvas[:, a:b] = _colour(rng, 0.8) if books else tone * share + other * (1 - share)
    if books:
        step = max(8, int(height * rng.uniform(0.15, 0.4)))
        for y in range(0, height, step):
            canvas[y : y + step // 6] = tone
            canvas[y : y + step] = np.roll(canvas[y : y + step], int(rng.integers(width)), 1)
    else:
        canvas *= 1 + 0.15 * np.sin(np.linspace(0, rng.uniform(20, 150), width))[None, :, None]
    if rng.random() < 0.3:
        canvas = np.ascontiguousarray(cv2.resize(canvas.transpose(1, 0, 2), (width, height)))
    return _turned(rng, canvas)


def _grid(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Windows of a house, tiles, a keyboard, a carpet with a pattern."""
    columns, rows = int(rng.integers(4, 22)), int(rng.integers(4, 16))
    tone = _colour(rng)
    cells = tone + rng.normal(0, rng.uniform(5, 40), (rows * 4, columns * 4, 1))
    inner = _colour(rng)
    small = rng.uniform(0, 1, (rows, columns, 1)) < rng.uniform(0.5, 1)
    for dy in (1, 2):
        for dx in (1, 2, 3)[: int(rng.integers(2, 4))]:
            cells[dy::4, dx::4] = np.where(small, inner + rng.normal(0, 15, 3), cells[dy::4, dx::4])
    canvas = cv2.resize(cells.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    return _turned(rng, canvas, most=0.4)


def _blobs(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Leaves, a crowd of things, confetti."""
    canvas = np.empty((height, width, 3), np.uint8)
    canvas[:] = _colour(rng)
    leaves = rng.random() < 0.5
    hue = rng.uniform(0.2, 0.42)
    size = rng.uniform(0.01, 0.06) * width
    for _ in range(int(rng.integers(60, 260))):
        colour = hsv(hue + rng.uniform(-0.04, 0.04), 0.6, rng.uniform(0.1, 0.7)) if leaves else _colour(rng)
        centre = (int(rng.uniform(0, width) * 16), int(rng.uniform(0, height) * 16))
        axes = (int(size * rng.uniform(0.3, 1.8) * 16), int(size * rng.uniform(0.2, 1.0) * 16))
        tone = tuple(float(c) for c in colour)
        cv2.ellipse(canvas, centre, axes, rng.uniform(0, 180), 0, 360, tone, -1, cv2.LINE_8, 4)
    return canvas


def _layers(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """A view over land: sky, hills or houses, ground, all cloudy."""
    canvas = np.empty((height, width, 3), np.float32)
    canvas[:] = _colour(rng, 0.4)
    y = np.arange(height)[:, None]
    top = 0.0
    for _ in range(int(rng.integers(2, 5))):
        top += rng.uniform(0.1, 0.4)
        ridge = (top + 0.06 * noise(rng, width, 8)[0]) * height
        canvas = np.where((y > ridge)[..., None], _colour(rng).astype(np.float32), canvas)
        clouds = 1 + rng.uniform(0.05, 0.5) * noise(rng, width, height, 1.6)
        canvas = np.where((y > ridge)[..., None], canvas * clouds[..., None], canvas)
    return np.clip(canvas, 0, 255).astype(np.uint8)


def _boxes(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Furniture, screens, posters, boxes in a heap."""
    canvas = np.empty((height, width, 3), np.uint8)
    canvas[:] = _colour(rng, 0.4)
    for _ in range(int(rng.integers(6, 40))):
        x, y = rng.uniform(-0.1, 1, 2) * (width, height)
        w, h = rng.uniform(0.03, 0.35, 2) * width
        angle = rng.normal(0, 6) if rng.random() < 0.7 else rng.uniform(0, 90)
        corners = cv2.boxPoints(((x + w / 2, y + h / 2), (w, h), angle))
        colour = tuple(float(c) for c in _colour(rng, 0.8))
        cv2.fillConvexPoly(canvas, np.rint(corners * 16).astype(np.int32), colour, cv2.LINE_AA, 4)
        if rng.random() < 0.4:
            inner = cv2.boxPoints(((x + w / 2, y + h / 2), (w * 0.8, h * 0.7), angle))
            colour = tuple(float(c) for c in _colour(rng, 0.8))
            cv2.fillConvexPoly(canvas, np.rint(inner * 16).astype(np.int32), colour, cv2.LINE_AA, 4)
    return canvas


def _turned(rng: np.random.Generator, canvas: np.ndarray, most: float = 0.25) -> np.ndarray:
    """Seen at a slant."""
    height, width = canvas.shape[:2]
    corners = np.array(((0, 0), (width, 0), (width, height), (0, height)), np.float32)
    shift = rng.uniform(-most, 0.02, (4, 2)) * ((1, 1), (-1, 1), (-1, -1), (1, -1)) * (width, height)
    move = cv2.getPerspectiveTransform(corners, (corners + shift).astype(np.float32))
    turned = cv2.warpPerspective(
        np.clip(canvas, 0, 255).astype(np.uint8), move, (width, height), borderMode=cv2.BORDER_REFLECT
    )
    return np.asarray(turned)


class Exposure:
    """Automatic exposure and white balance of a camera: gain (3,) as a function of time."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._moves = rng.random() < 0.25
        self._at, self._takes = rng.uniform(0.2, 3.0), rng.uniform(0.1, 0.8)
        self._to = 1 + rng.normal(0, 0.12) + rng.normal(0, 0.06, 3)
        self._back = self._at + self._takes + rng.uniform(0.5, 3.0)

    def at(self, seconds: float) -> np.ndarray | None:
        """The gain at a time; None: unchanged."""
        if not self._moves:
            return None
        share = _ramp((seconds - self._at) / self._takes) - _ramp((seconds - self._back) / self._takes)
        return 1 + (self._to - 1) * share


class CameraEffects:
    """What a camera does to an image over time: exposure, colours and noise."""

    def __init__(self, rng: np.random.Generator, width: int, height: int, *, gray: bool = False) -> None:
        self._size = (width, height)
        self._appearance = scene.draw_appearance(rng, width, height)
        self._exposure = Exposure(rng)
        self._grain = scene.draw_grain(rng, width + _SPARE, height + _SPARE)
        if gray:
            self._grain[:] = self._grain[..., :1]
        self._noise = int(rng.integers(1 << 30))

    def apply(self, image: np.ndarray, seconds: float) -> np.ndarray:
        """The image (H, W, 3) as this camera records it."""
        gain = self._exposure.at(seconds)
        if gain is not None:
            image = np.asarray(cv2.LUT(image, table(gain)))
        rng = np.random.Generator(np.random.PCG64((self._noise, round(seconds * 1e6))))
        left, top = (int(n) for n in rng.integers(0, _SPARE + 1, 2))
        width, height = self._size
        return self._appearance.apply(image, self._grain[top : top + height, left : left + width], seconds)


_SPARE = 61  # pixels by which the noise is larger than the image, so that it can be shifted


def table(gain: np.ndarray) -> np.ndarray:
    """A gain (3,) as a table (1, 256, 3) for cv2.LUT."""
    ramp = np.clip(np.arange(256.0)[:, None] * gain, 0, 255)
    return ramp.astype(np.uint8).reshape(1, 256, 3)


def _ramp(x: float) -> float:
    x = min(max(x, 0.0), 1.0)
    return 0.5 - 0.5 * math.cos(math.pi * x)

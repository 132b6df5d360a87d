"""Backgrounds in perspective: rooms, streets and parks, painted once a scene, and their light and colours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from streamrec.sources.synthetic.camera import Camera
from streamrec.sources.synthetic.figure import Colour, hsv

Paint = Sequence[float] | np.ndarray  # BGR, 0 to 255

_NEAR = 0.15  # metres: what is closer to the camera is clipped


class Place:
    """A canvas seen by a camera; the world is turned around the figure by ``azimuth`` radians."""

    def __init__(self, canvas: np.ndarray, camera: Camera, azimuth: float, rng: np.random.Generator) -> None:
        self.canvas, self.camera, self.rng = canvas, camera, rng
        c, s = math.cos(azimuth), math.sin(azimuth)
        self._turn = np.array(((c, 0.0, s), (0.0, 1.0, 0.0), (-s, 0.0, c)))

    def flat(self, corners: Sequence[Sequence[float]] | np.ndarray, colour: Paint) -> None:
        """Fill a polygon in space, (N, 3) metres."""
        points = np.asarray(corners, float) @ self._turn.T
        points = _cut_near(points, self.camera)
        if len(points) < 3:
            return
        pixels, _ = self.camera.project(points)
        fixed = np.rint(np.clip(pixels, -20000, 20000) * 16).astype(np.int32)
        cv2.fillPoly(self.canvas, [fixed], _colour(colour), cv2.LINE_AA, 4)

    def wall(self, x0: float, y0: float, x1: float, y1: float, z: float, colour: Paint) -> None:
        """An upright rectangle that faces the figure."""
        self.flat(((x0, y0, z), (x1, y0, z), (x1, y1, z), (x0, y1, z)), colour)

    def floor(self, x0: float, z0: float, x1: float, z1: float, colour: Paint, y: float = 0.0) -> None:
        """A level rectangle."""
        self.flat(((x0, y, z0), (x1, y, z0), (x1, y, z1), (x0, y, z1)), colour)

    def side(self, x: float, y0: float, z0: float, y1: float, z1: float, colour: Paint) -> None:
        """An upright rectangle that runs towards the camera."""
        self.flat(((x, y0, z0), (x, y1, z0), (x, y1, z1), (x, y0, z1)), colour)

    def taper(
        self, x: float, z: float, low: float, high: float, wide_low: float, wide_high: float, colour: Paint
    ) -> None:
        """An upright trapezium around x, widths from the middle."""
        self.flat(
            (
                (x - wide_low, low, z),
                (x + wide_low, low, z),
                (x + wide_high, high, z),
                (x - wide_high, high, z),
            ),
            colour,
        )

    def box(self, x0: float, x1: float, y0: float, y1: float, z0: float, z1: float, colour: Colour) -> None:
        """A box with its front at z1: top, sides and front in three shades."""
        self.flat(((x0, y1, z0), (x1, y1, z0), (x1, y1, z1), (x0, y1, z1)), _times(colour, 1.12))
        for x in sorted((x0, x1), key=lambda x: -abs(x - self._eye_x())):
            self.side(x, y0, z0, y1, z1, _times(colour, 0.72))
        self.wall(x0, y0, x1, y1, z1, colour)

    def disc(self, x: float, y: float, z: float, radius: float, colour: Paint, flatness: float = 1.0) -> None:
        """An upright ellipse."""
        angles = np.linspace(0, 2 * math.pi, 20, endpoint=False)
        rise = y + radius * flatness * np.sin(angles)
        ring = np.stack((x + radius * np.cos(angles), rise, np.full(20, z)), 1)
        self.flat(ring, colour)

    def plant(self, x: float, z: float, size: float, *, pot: bool = True) -> None:
        """A pot with leaves, or a bush."""
        rng = self.rng
        if pot:
            clay = hsv(rng.uniform(0.02, 0.1), 0.5, rng.uniform(0.4, 0.9))
            self.taper(x, z, 0.0, 0.32 * size, 0.11 * size, 0.16 * size, clay)
        hue = rng.uniform(0.24, 0.42)
        for _ in range(16):
            angle, reach = rng.uniform(0.15, math.pi - 0.15), rng.uniform(0.25, 0.75) * size
            cx, cy = x + math.cos(angle) * reach * 0.6, 0.35 * size + math.sin(angle) * reach
            green = hsv(hue + rng.uniform(-0.03, 0.03), 0.6, rng.uniform(0.25, 0.6))
            self.disc(cx, cy, z, rng.uniform(0.08, 0.16) * size, green, rng.uniform(0.7, 1.4))

    def _eye_x(self) -> float:
        return float(self._turn[2, 0] * self.camera.distance)


def _cut_near(points: np.ndarray, camera: Camera) -> np.ndarray:
    _, depth = camera.project(points)
    if depth.min() >= _NEAR:
        return points
    kept = []
    for i in range(len(points)):
        a, b, da, db = points[i - 1], points[i], depth[i - 1] - _NEAR, depth[i] - _NEAR
        if (da < 0) != (db < 0):
            kept.append(a + (b - a) * da / (da - db))
        if db >= 0:
            kept.append(b)
    return np.array(kept).reshape(-1, 3)


def paint(
    width: int,
    height: int,
    camera: Camera,
    rng: np.random.Generator,
    *,
    clearance: float,
    indoors: bool = False,
) -> np.ndarray:
    """A random background (height, width, 3) uint8; walls stay further than ``clearance`` metres.

    It is a room, a street or a park; with ``indoors`` always a room.
    """
    fine = 2 if width <= 1000 else 1
    canvas: np.ndarray = np.zeros((height * fine, width * fine, 3), np.uint8)
    azimuth = math.radians(rng.uniform(-28, 28))
    place = Place(canvas, camera.zoomed(fine, (0.0, 0.0)), azimuth, rng)
    wall = -(clearance + rng.uniform(0.2, 2.5))
    kind = rng.choice(3, p=(0.6, 0.22, 0.18))
    (_room, _street, _park)[0 if indoors else kind](place, wall, clearance)
    if fine > 1:
        canvas = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)
    return _finish(canvas, rng)


def _room(place: Place, wall: float, clearance: float) -> None:
    rng = place.rng
    tone = hsv(rng.uniform(), rng.uniform(0.02, 0.35), rng.uniform(0.55, 0.97))
    wide, ceiling = clearance + rng.uniform(0.8, 3.5), rng.uniform(2.5, 3.4)
    front = 12.0
    place.canvas[:] = _colour(_times(tone, 0.8))
    _boards_or_tiles(place, wall, front, wide)
    if rng.random() < 0.5:
        _rug(place)
    place.side(-wide, 0, wall, ceiling, front, _times(tone, 0.82))
    place.side(wide, 0, wall, ceiling, front, _times(tone, 0.9))
    place.floor(-wide, wall, wide, front, _times(tone, 1.1), ceiling)
    place.wall(-wide, 0, wide, ceiling, wall, tone)
    _wallpaper(place, wall, wide, ceiling, tone)
    board = _times(tone, rng.choice((0.6, 1.25)))
    place.wall(-wide, 0, wide, 0.11, wall, board)
    for x in (-wide, wide):
        place.side(x, 0, wall, 0.11, front, _times(board, 0.85))
    _furnish(place, wall, wide)


def _boards_or_tiles(place: Place, wall: float, front: float, wide: float) -> None:
    rng = place.rng
    style = rng.integers(3)
    if style == 0:  # planks
        hue, value = rng.uniform(0.05, 0.11), rng.uniform(0.35, 0.85)
        step = rng.uniform(0.16, 0.3)
        for k in range(math.ceil(2 * wide / step)):
            x = -wide + k * step
            plank = hsv(hue, rng.uniform(0.35, 0.5), value * rng.uniform(0.88, 1.08))
            place.floor(x, wall, x + step, front, plank)
            place.floor(x, wall, x + 0.012, front, _times(plank, 0.75))
    elif style == 1:  # tiles
        tone = hsv(rng.uniform(), rng.uniform(0, 0.25), rng.uniform(0.4, 0.95))
        other = _times(tone, rng.choice((0.55, 0.8, 0.93)))
        step = rng.uniform(0.45, 0.8)
        place.floor(-wide, wall, wide, front, tone)
        for i in range(math.ceil(2 * wide / step)):
            for j in range(math.ceil((front - wall) / step)):
                if (i + j) % 2:
                    x, z = -wide + i * step, wall + j * step
                    place.floor(x, z, x + step, z + step, other)
    else:  # carpet
        pile = hsv(rng.uniform(), rng.uniform(0.05, 0.5), rng.uniform(0.25, 0.8))
        place.floor(-wide, wall, wide, front, pile)


def _rug(place: Place) -> None:
    rng = place.rng
    x, z = rng.uniform(0.7, 1.6), rng.uniform(0.5, 1.0)
    edge = hsv(rng.uniform(), rng.uniform(0.3, 0.7), rng.uniform(0.35, 0.85))
    for k, tone in enumerate((edge, _times(edge, 1.35), _times(edge, 0.8))):
        place.floor(-x + 0.1 * k, -z + 0.1 * k, x - 0.1 * k, z - 0.1 * k, tone)


def _wallpaper(place: Place, wall: float, wide: float, ceiling: float, tone: Colour) -> None:
    rng = place.rng
    style = rng.integers(5)
    if style == 0:  # stripes
        step = rng.uniform(0.15, 0.5)
        other = _times(tone, rng.uniform(0.88, 0.96))
        for k in range(0, math.ceil(2 * wide / step), 2):
            place.wall(-wide + k * step, 0, min(-wide + (k + 1) * step, wide), ceiling, wall, other)
    elif style == 1:  # bricks
        _bricks(place, wall, wide, ceiling, tone)
    elif style == 2:  # two colours, a rail between them
        lower = hsv(rng.uniform(), rng.uniform(0.1, 0.45), rng.uniform(0.35, 0.8))
        edge = rng.uniform(0.8, 1.2)
        place.wall(-wide, 0, wide, edge, wall, lower)
        place.wall(-wide, edge, wide, edge + 0.06, wall, _times(lower, 1.3))
        for x in (-wide, wide):
            place.side(x, 0, wall, edge, 12, _times(lower, 0.85))


def _bricks(place: Place, wall: float, wide: float, top: float, tone: Colour) -> None:
    rng = place.rng
    high, long = rng.uniform(0.14, 0.22), rng.uniform(0.4, 0.6)
    place.wall(-wide, 0, wide, top, wall, _times(tone, 0.82))
    for row in range(math.ceil(top / high)):
        y = row * high
        for k in range(-1, math.ceil(2 * wide / long)):
            x = -wide + (k + 0.5 * (row % 2)) * long
            brick = _times(tone, rng.uniform(0.93, 1.05))
            place.wall(max(x, -wide), y, min(x + long - 0.02, wide), min(y + high - 0.02, top), wall, brick)


def _furnish(place: Place, wall: float, wide: float) -> None:
    rng = place.rng
    x = -wide + 0.3
    while x < wide - 0.8:
        room = wide - x
        kind = rng.integers(9)
        step = rng.uniform(0.9, 1.7)
        z = wall + 0.02
        if kind == 0 and room > 1.0:  # a door
            wood = hsv(rng.uniform(0.04, 0.12), rng.uniform(0.1, 0.6), rng.uniform(0.35, 0.9))
            place.wall(x - 0.06, 0, x + 0.91, 2.1, z, _times(wood, 0.75))
            place.wall(x, 0, x + 0.85, 2.04, z, wood)
            for y in (0.2, 1.15):
                place.wall(x + 0.13, y, x + 0.72, y + 0.75, z, _times(wood, 0.9))
            place.disc(x + 0.76, 1.02, z, 0.035, (90, 190, 220))
        elif kind == 1 and room > 1.5:
            _window(place, x, 0.95, x + rng.uniform(1.0, 1.4), 2.15, z)
            step = 1.6
        elif kind in (2, 3) and room > 1.0:
            _picture(place, x + 0.1, z)
        elif kind == 4 and room > 1.3:
            _shelf(place, x, wall)
            step = 1.4
        elif kind == 5:
            place.plant(x + 0.3, wall + 0.4, rng.uniform(0.8, 1.3))
            step = 0.8
        elif kind == 6 and room > 2.1:
            _sofa(place, x, wall)
            step = 2.2
        elif kind == 7 and room > 1.2:  # a sideboard with a lamp
            wood = hsv(rng.uniform(0.04, 0.12), 0.5, rng.uniform(0.3, 0.75))
            place.box(x, x + 1.0, 0, 0.75, wall, wall + 0.4, wood)
            place.wall(x + 0.04, 0.4, x + 0.96, 0.7, wall + 0.41, _times(wood, 1.15))
            place.wall(x + 0.04, 0.06, x + 0.96, 0.36, wall + 0.41, _times(wood, 1.15))
            place.wall(x + 0.48, 0.75, x + 0.52, 1.05, wall + 0.2, (60, 60, 70))
            place.taper(x + 0.5, wall + 0.2, 1.03, 1.3, 0.16, 0.08, (170, 225, 250))
        x += step


def _window(place: Place, x0: float, y0: float, x1: float, y1: float, z: float) -> None:
    rng = place.rng
    place.wall(x0 - 0.08, y0 - 0.08, x1 + 0.08, y1 + 0.08, z, (225, 230, 232))
    sky = np.array(hsv(rng.uniform(0.5, 0.62), rng.uniform(0.15, 0.5), rng.uniform(0.5, 1.0)))
    for k in range(6):
        y = y0 + (y1 - y0) * k / 6
        place.wall(x0, y, x1, y0 + (y1 - y0) * (k + 1) / 6, z, sky * (1 - 0.05 * k) + 10 * (6 - k))
    place.wall(x0, y0, x1, y0 + 0.25, z, hsv(rng.uniform(0.25, 0.4), 0.4, 0.5))
    place.wall((x0 + x1) / 2 - 0.03, y0, (x0 + x1) / 2 + 0.03, y1, z, (225, 230, 232))
    place.wall(x0, (y0 + y1) / 2 - 0.025, x1, (y0 + y1) / 2 + 0.025, z, (225, 230, 232))
    if rng.random() < 0.5:
        curtain = hsv(rng.uniform(), rng.uniform(0.1, 0.6), rng.uniform(0.5, 0.95))
        for k in range(6):
            tone = _times(curtain, 0.86 + 0.14 * (k % 2))
            place.wall(x0 - 0.25 + 0.06 * k, y0 - 0.3, x0 - 0.19 + 0.06 * k, y1 + 0.12, z, tone)
            place.wall(x1 + 0.19 - 0.06 * k, y0 - 0.3, x1 + 0.25 - 0.06 * k, y1 + 0.12, z, tone)


def _picture(place: Place, x: float, z: float) -> None:
    rng = place.rng
    w, h, y = rng.uniform(0.4, 0.8), rng.uniform(0.35, 0.7), rng.uniform(1.3, 1.55)
    place.wall(x - 0.04, y - 0.04, x + w + 0.04, y + h + 0.04, z, hsv(0.1, 0.4, rng.uniform(0.15, 0.8)))
    hue = rng.uniform()
    place.wall(x, y, x + w, y + h, z, hsv(hue, 0.25, 0.9))
    place.wall(x, y, x + w, y + h * rng.uniform(0.25, 0.5), z, hsv(hue + 0.4, 0.5, 0.6))
    place.disc(x + w * rng.uniform(0.3, 0.7), y + h * 0.65, z, 0.16 * h, hsv(hue + 0.6, 0.6, 0.9))


def _shelf(place: Place, x: float, wall: float) -> None:
    rng = place.rng
    wood = hsv(rng.uniform(0.04, 0.12), 0.45, rng.uniform(0.3, 0.8))
    front = wall + 0.3
    place.box(x, x + 1.1, 0, 1.9, wall, front, wood)
    for k in range(4):
        y = 0.1 + 0.45 * k
        place.wall(x + 0.05, y, x + 1.05, y + 0.39, front, _times(wood, 0.5))
        at = x + 0.07
        while at < x + 0.95:
            thick, tall = rng.uniform(0.04, 0.09), rng.uniform(0.2, 0.35)
            if rng.random() < 0.85:
                book = hsv(rng.uniform(), rng.uniform(0.3, 0.8), rng.uniform(0.4, 0.9))
                place.wall(at, y, at + thick, y + tall, front, book)
            at += thick + 0.008


def _sofa(place: Place, x: float, wall: float) -> None:
    cloth = hsv(place.rng.uniform(), place.rng.uniform(0.15, 0.6), place.rng.uniform(0.3, 0.8))
    place.box(x, x + 1.9, 0.1, 0.85, wall, wall + 0.25, cloth)
    place.box(x + 0.15, x + 1.75, 0.1, 0.45, wall + 0.25, wall + 0.8, _times(cloth, 1.08))
    place.wall(x + 0.94, 0.12, x + 0.96, 0.45, wall + 0.81, _times(cloth, 0.7))
    for side in (x, x + 1.75):
        place.box(side, side + 0.17, 0.05, 0.62, wall + 0.1, wall + 0.85, _times(cloth, 0.94))


def _street(place: Place, wall: float, clearance: float) -> None:
    rng = place.rng
    wide, top = clearance + 14.0, rng.uniform(4.0, 7.0)
    _sky(place)
    slab = hsv(rng.uniform(0.05, 0.15), rng.uniform(0.02, 0.12), rng.uniform(0.45, 0.75))
    place.floor(-40, wall, 40, 14, slab)
    for k in range(-14, 15):
        place.floor(k * 0.9, wall, k * 0.9 + 0.03, 14, _times(slab, 0.85))
    for k in range(18):
        place.floor(-14, wall + k * 0.9, 14, wall + k * 0.9 + 0.03, _times(slab, 0.85))
    plaster = hsv(rng.uniform(0, 0.15), rng.uniform(0.1, 0.6), rng.uniform(0.5, 0.9))
    place.wall(-wide, 0, wide, top, wall, plaster)
    if rng.random() < 0.6:
        _bricks(place, wall, min(wide, 8.0), min(top, 4.0), plaster)
    place.wall(-wide, 0, wide, 0.35, wall + 0.01, _times(plaster, 0.6))
    x = -7.0
    z = wall + 0.02
    while x < 7.0:
        if rng.random() < 0.3:
            place.wall(x - 0.1, 0, x + 1.1, 2.35, z, (215, 220, 222))
            place.wall(x, 0, x + 1.0, 2.25, z, hsv(rng.uniform(), 0.6, 0.5))
            place.wall(x + 0.15, 1.2, x + 0.85, 2.05, z, (120, 95, 80))
        else:
            glass = hsv(0.58, 0.35, rng.uniform(0.25, 0.6))
            place.wall(x - 0.08, 0.85, x + 1.18, 2.4, z, (220, 224, 226))
            place.wall(x, 0.93, x + 1.1, 2.32, z, glass)
            shine = ((x + 0.2, 0.93, z), (x + 0.5, 0.93, z), (x + 0.9, 2.32, z), (x + 0.6, 2.32, z))
            place.flat(shine, _times(glass, 1.25))
            place.wall(x + 0.53, 0.93, x + 0.57, 2.32, z, (220, 224, 226))
        x += rng.uniform(1.9, 2.8)
    for _ in range(rng.integers(0, 3)):
        place.plant(rng.uniform(-5, 5), wall + 0.6, rng.uniform(0.9, 1.5))


def _park(place: Place, wall: float, clearance: float) -> None:
    rng = place.rng
    _sky(place)
    hue = rng.uniform(0.2, 0.33)
    for k in range(3):  # hills, the far ones pale
        far = -60.0 + 14 * k
        green = np.array(hsv(hue + 0.05, 0.25 + 0.12 * k, 0.62 - 0.08 * k)) + (30 - 12 * k)
        along = np.linspace(-90, 90, 40)
        phase = rng.uniform(0, 6)
        rise = (2.5 - 0.6 * k) * np.sin(along * 0.09 + phase) + 0.8 * np.sin(along * 0.23 + phase)
        ridge = np.stack((along, 5.0 - 1.2 * k + rise, np.full(40, far)), 1)
        place.flat(np.concatenate((ridge, ((90, 0, far), (-90, 0, far)))), green)
    grass = hsv(hue, rng.uniform(0.35, 0.65), rng.uniform(0.4, 0.75))
    place.floor(-90, -62, 90, 14, grass)
    for k in range(0, 40, 2):
        place.floor(-30, -30 + k * 1.1, 30, -28.9 + k * 1.1, _times(grass, 0.95))
    path = hsv(0.1, rng.uniform(0.1, 0.35), rng.uniform(0.6, 0.85))
    place.floor(-40, -1.3, 40, 1.1, path)
    place.floor(-40, -1.36, 40, -1.3, _times(path, 0.7))
    for _ in range(rng.integers(3, 9)):
        x, z = rng.uniform(-12, 12), wall - rng.uniform(0.5, 9)
        _tree(place, x, z, rng.uniform(2.5, 5.0))
    if rng.random() < 0.5:
        wood = hsv(0.08, rng.uniform(0.1, 0.5), rng.uniform(0.4, 0.95))
        for rail in (0.45, 0.85):
            place.wall(-14, rail, 14, rail + 0.1, wall, wood)
        for k in range(-7, 8):
            place.wall(k * 1.6, 0, k * 1.6 + 0.12, 1.1, wall, _times(wood, 0.9))
    for _ in range(rng.integers(0, 5)):
        place.plant(rng.uniform(-5, 5), wall + 0.2, rng.uniform(0.6, 1.1), pot=False)


def _tree(place: Place, x: float, z: float, size: float) -> None:
    rng = place.rng
    bark = hsv(0.07, 0.45, rng.uniform(0.25, 0.45))
    place.taper(x, z, 0.0, 0.6 * size, 0.05 * size, 0.03 * size, bark)
    hue, value = rng.uniform(0.2, 0.4), rng.uniform(0.35, 0.65)
    for k in range(14):
        angle, reach = rng.uniform(0, 2 * math.pi), 0.24 * size * math.sqrt(rng.uniform())
        leaf = hsv(hue, rng.uniform(0.45, 0.6), value * (0.75 + 0.03 * k))
        cx, cy = x + reach * math.cos(angle) * 1.1, 0.72 * size + reach * math.sin(angle)
        place.disc(cx, cy, z, 0.13 * size, leaf)


def _sky(place: Place) -> None:
    rng = place.rng
    height = len(place.canvas)
    top = np.array(hsv(rng.uniform(0.53, 0.62), rng.uniform(0.15, 0.6), rng.uniform(0.55, 0.98)))
    low = top * 0.5 + 0.5 * np.array(hsv(rng.uniform(0.02, 0.15), 0.15, 0.98))
    share = np.linspace(0, 1, height)[:, None, None] ** 0.8
    place.canvas[:] = np.rint(top * (1 - share) + low * share).astype(np.uint8)
    for _ in range(rng.integers(0, 5)):
        x, y = rng.uniform(-30, 30), rng.uniform(9, 20)
        for _ in range(6):
            cx, cy = x + rng.uniform(-4, 4), y + rng.uniform(-0.7, 0.7)
            place.disc(cx, cy, -59, rng.uniform(1, 2), low * 0.4 + 150, 0.6)


def _finish(canvas: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Uneven light and a little texture."""
    height, width = canvas.shape[:2]
    light = np.ones((height, width), np.float32)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    cx, cy = rng.uniform(0.1, 0.9) * width, rng.uniform(-0.2, 0.5) * height
    far = np.hypot(x - cx, y - cy) / math.hypot(width, height)
    light += np.float32(rng.uniform(0.05, 0.3)) * (0.5 - far * 1.6)
    for cells, strength in ((6, 0.02), (40, 0.012)):
        grain = rng.standard_normal((cells, cells), np.float32) * strength
        light += cv2.resize(grain, (width, height), interpolation=cv2.INTER_CUBIC)
    light += rng.standard_normal((height, width), np.float32) * np.float32(rng.uniform(0.003, 0.014))
    return np.clip(canvas * light[..., None], 0, 255).astype(np.uint8)


@dataclass(frozen=True, kw_only=True, eq=False)
class Appearance:
    """The appearance of a scene: what light and camera do to its colours."""

    gain: np.ndarray  # (3,) BGR: brightness and colour temperature
    gamma: float
    lift: float  # 0 to 255, added
    drift: float  # how much the light drifts, share
    flicker: float  # how much a lamp flickers, share
    noise: float  # standard deviation, 0 to 255
    blur: float  # pixels
    jpeg: int | None  # quality
    vignette: np.ndarray  # (H, W, 3) uint8, 255 is untouched

    def apply(self, image: np.ndarray, grain: np.ndarray, seconds: float) -> np.ndarray:
        """The image as this camera would record it; ``grain``: (H, W, 3) uint8 around 128."""
        level = 1 + self.drift * math.sin(seconds * 0.37) + self.flicker * math.sin(seconds * 47.0)
        ramp = (np.arange(256) / 255.0) ** self.gamma * 255.0
        table = np.clip(ramp[:, None] * self.gain * level + self.lift, 0, 255).astype(np.uint8)
        image = cv2.LUT(image, table.reshape(1, 256, 3))
        cv2.multiply(image, self.vignette, image, 1 / 255)
        if self.blur > 0:
            image = cv2.GaussianBlur(image, (3, 3), self.blur)
        image = cv2.addWeighted(image, 1.0, grain, self.noise / 16.0, -8.0 * self.noise)
        if self.jpeg is not None:
            _, data = cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, self.jpeg))
            image = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))
        return image


def draw_appearance(rng: np.random.Generator, width: int, height: int) -> Appearance:
    """Random light: mostly good, sometimes dim, warm, cold, flickering, noisy, soft or compressed."""
    dim = rng.random() < 0.15
    warmth = rng.normal(0, 0.07)
    level = rng.uniform(0.42, 0.62) if dim else rng.uniform(0.82, 1.15)
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    shade = 1 - rng.uniform(0, 0.3) * np.clip((x * x + y * y) / 2, 0, 1)
    return Appearance(
        gain=level * np.array((1 - warmth, 1.0, 1 + warmth)),
        gamma=rng.uniform(0.85, 1.2),
        lift=rng.uniform(0, 14),
        drift=rng.uniform(0.0, 0.07),
        flicker=rng.uniform(0.01, 0.04) if rng.random() < 0.15 else 0.0,
        noise=rng.uniform(4, 9) if dim else rng.uniform(0.8, 4.5),
        blur=rng.uniform(0.4, 0.9) if rng.random() < 0.25 else 0.0,
        jpeg=int(rng.integers(45, 90)) if rng.random() < 0.2 else None,
        vignette=np.repeat(np.rint(255 * shade).astype(np.uint8)[..., None], 3, axis=2),
    )


def draw_grain(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Noise (height, width, 3) uint8 around 128 with a standard deviation of 16."""
    return np.clip(rng.normal(128, 16, (height, width, 3)), 0, 255).astype(np.uint8)


def _colour(colour: Paint) -> tuple[float, ...]:
    return tuple(min(max(float(c), 0.0), 255.0) for c in colour)


def _times(colour: Sequence[float], factor: float) -> Colour:
    b, g, r = (min(c * factor, 255.0) for c in colour)
    return (b, g, r)

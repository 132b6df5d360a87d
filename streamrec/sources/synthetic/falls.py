"""People at home: everyday activities, and falls."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from streamrec.sources.synthetic import backdrop
from streamrec.sources.synthetic import crowd_moves as moves
from streamrec.sources.synthetic import places as scene
from streamrec.sources.synthetic.camera import Camera
from streamrec.sources.synthetic.crowd import RATE, Cast, Motion, ease, stand, wander
from streamrec.sources.synthetic.figure import hsv
from streamrec.sources.synthetic.scenario import Kind, Script
from streamrec.sources.synthetic.stage import LEAD, Theatre, fineness

LABELS = ("normal", "fall")

_DAYS = {  # activity: its share of the scenes without a fall, and of those with one
    "walk": (0.2, 0.3),
    "stand": (0.13, 0.25),
    "sit": (0.17, 0.12),
    "rise": (0.1, 0.13),
    "pick up": (0.1, 0.1),
    "kneel": (0.06, 0.0),
    "exercise": (0.07, 0.1),
    "to bed": (0.2, 0.0),
    "to the floor": (0.1, 0.0),
    "sleep": (0.05, 0.0),
}


@dataclass(frozen=True)
class _Fall:
    at: float  # seconds: balance is lost
    takes: float  # seconds from there to the floor
    way: str  # back, belly, left or right; seat: backwards onto what stands behind


def write(rng: np.random.Generator, label: str) -> Script:
    """A scene of 4 to 10 seconds; in one of ``fall`` a person falls and stays on the floor."""
    spans: tuple[tuple[float, float, str], ...] = ((0.0, rng.uniform(4.0, 10.0), "normal"),)
    fall = None
    if label == "fall":
        at, takes = rng.uniform(0.3, 4.5), rng.uniform(0.6, 1.3)
        fall = _Fall(at, takes, str(rng.choice(("back", "belly", "left", "right", "seat"))))
        spans = ((0.0, at, "normal"), (at, at + takes + rng.uniform(0.8, 5.0), "fall"))
    seconds = spans[-1][1]

    def stage(width: int, height: int) -> Theatre:
        return _stage(rng, (width, height), seconds, fall)

    return Script(spans, (), stage, None if fall is None else fall.at + fall.takes)


KIND = Kind(LABELS, write)


def _stage(rng: np.random.Generator, size: tuple[int, int], seconds: float, fall: _Fall | None) -> Theatre:
    width, height = size
    fine = fineness(height)
    pitch = math.radians(rng.uniform(3, 18) if rng.random() < 0.6 else rng.uniform(15, 40))
    distance = rng.uniform(3.6, 7.0)
    tall = rng.uniform(0.33, 0.68) * height * fine
    camera = Camera(
        distance=distance,
        aim=0.7,
        pitch=pitch,
        roll=math.radians(rng.normal(0, 2)),
        focal=tall / 1.7 * distance / max(math.cos(pitch), 0.7),
        centre=(width * fine * rng.uniform(0.42, 0.58), height * fine * rng.uniform(0.4, 0.52)),
    )
    wide = 0.5 * width * fine * distance / camera.focal  # metres to the side that are seen
    chances = np.array([c[0 if fall is None else 1] for c in _DAYS.values()])
    does = str(rng.choice(list(_DAYS), p=chances / chances.sum()))
    if fall is not None and fall.way == "seat":
        does = "drop"
    home = _Home(rng, min(wide, 3.0), lies=does in ("to bed", "sleep", "drop"))
    t = np.arange(-LEAD, seconds + 0.3, 1 / RATE)
    motions = [_Person(rng, t, home, seconds, does, fall).motion()]
    if rng.random() < 0.2:
        other = str(rng.choice(("walk", "stand")))
        motions.append(_Person(rng, t, home, seconds, other, None).motion())
    cast = Cast(rng, motions, fine=True, alike=0.15)
    small = camera.zoomed(1 / fine, (0.0, 0.0))
    clear = 0.3 - home.box[2] + rng.uniform(0, 1.5)
    canvas = scene.paint(width, height, small, rng, clearance=clear, indoors=True)
    home.paint(canvas, small, rng)
    canvas = backdrop.shaded(rng, canvas)
    shake = rng.exponential(0.003) if rng.random() < 0.3 else 0.0
    return Theatre(rng, size, camera, canvas, cast, backdrop.CameraEffects(rng, width, height), shake=shake)


class _Home:
    """A seat, and the free floor around it."""

    def __init__(self, rng: np.random.Generator, wide: float, *, lies: bool) -> None:
        """``lies``: there must be room to lie on the seat."""
        self.wide = wide
        self.kind = str(
            rng.choice(("chair", "sofa", "bed"), p=(0.0 if lies else 0.4, 0.25, 0.75 if lies else 0.35))
        )
        self.high = {"chair": 0.45, "sofa": 0.42, "bed": 0.5}[self.kind]  # metres
        long = {"chair": 0.5, "sofa": 1.7, "bed": 2.1}[self.kind]
        self.x = rng.uniform(-0.6, 0.6) * wide
        self.front = rng.uniform(-1.3, -0.4)  # z of its front edge
        self.box = (self.x - long / 2, self.x + long / 2, self.front - (0.5 if long < 1 else 0.9))
        most = 0.25 if self.kind != "chair" else 0.5 if rng.random() < 0.5 else 1.8
        self.yaw = rng.uniform(-most, most)

    def seat(self) -> np.ndarray:
        """The place of the feet of a person who sits on it: x, z, yaw."""
        if self.kind != "chair":
            return np.array((self.x, self.front + 0.12, self.yaw))
        x, z = 0.37 * math.sin(self.yaw), 0.37 * math.cos(self.yaw)  # metres from its middle
        return np.array((self.x + x, self.front - 0.25 + z, self.yaw))

    def spot(self, rng: np.random.Generator) -> np.ndarray:
        """A free place on the floor: x, z, yaw."""
        x = rng.uniform(-0.75, 0.75) * self.wide
        return np.array((x, self.front + rng.uniform(0.3, 1.2), rng.uniform(-math.pi, math.pi)))

    def paint(self, canvas: np.ndarray, camera: Camera, rng: np.random.Generator) -> None:
        """Furniture on the canvas: the seat, and boxes as clutter."""
        place = scene.Place(canvas, camera, 0.0, rng)

        def tone(most: float = 0.6) -> tuple[float, float, float]:
            return hsv(rng.uniform(), most * rng.uniform(), rng.uniform(0.15, 0.9))

        x0, x1, back = self.box
        for _ in range(int(rng.integers(0, 4))):
            x, z = rng.uniform(-1, 1) * 1.2 * self.wide, back - rng.uniform(0.2, 0.8)
            place.box(x, x + rng.uniform(0.3, 1.2), 0, rng.uniform(0.4, 1.8), z - 0.4, z, tone())
        colour = tone()
        if self.kind != "chair":
            top = self.high + (0.15 if self.kind == "bed" else 0.4)
            place.box(x0, x1, 0.0, top, back - 0.1, back, tone())
            place.box(x0, x1, 0.05, self.high, back, self.front, colour)
            if self.kind == "bed":
                side = x0 if rng.random() < 0.5 else x1 - 0.35
                place.box(
                    side, side + 0.35, self.high, self.high + 0.1, back + 0.1, self.front - 0.1, tone(0.2)
                )
        else:
            place.box(x0, x1, self.high, self.high + 0.5, back, back + 0.05, colour)
            for x in (x0, x1 - 0.05):
                place.box(x, x + 0.05, 0, self.high, back, back + 0.05, colour)
                place.box(x, x + 0.05, 0, self.high, self.front - 0.05, self.front, colour)
            place.box(x0, x1, self.high - 0.05, self.high, back, self.front, colour)


def _route(t: np.ndarray, stops: list[tuple[float, np.ndarray]]) -> np.ndarray:
    """The places (T, 3) of a person who is at each stop (x, z, yaw) at its time; smooth near the stops."""
    place = np.empty((len(t), 3))
    place[:] = stops[0][1]
    for (start, a), (end, b) in itertools.pairwise(stops):
        turn = (b[2] - a[2] + math.pi) % (2 * math.pi) - math.pi
        step = np.array((b[0] - a[0], b[1] - a[1], turn))
        share = np.clip((t - start) / max(end - start, 1e-3), 0, 1)
        share = 0.4 * ease(share) + 0.6 * share
        place += step * share[:, None]
    return place


def _walk_to(
    a: np.ndarray, b: np.ndarray, start: float, speed: float
) -> tuple[list[tuple[float, np.ndarray]], float]:
    """Stops of a walk: turns to the way, walks, turns to the final yaw; and the time of arrival."""
    way = b[:2] - a[:2]
    heading = math.atan2(way[0], way[1])
    takes = math.hypot(*way) / speed
    there = start + 0.4 + takes
    first, last = np.array((*a[:2], heading)), np.array((*b[:2], heading))
    return [(start, a), (start + 0.4, first), (there, last), (there + 0.5, b)], there + 0.5


@dataclass(frozen=True, eq=False)
class _Person:
    """One person of a scene: where they go, what they do there, and whether they fall.

    The order of the random draws is part of the worlds: the same seed gives the same frames.
    """

    rng: np.random.Generator
    t: np.ndarray  # (T,) seconds
    home: _Home
    seconds: float  # how long the scene lasts
    does: str
    fall: _Fall | None

    def motion(self) -> Motion:
        """Places and poses of the whole scene."""
        rng, t, fall = self.rng, self.t, self.fall
        stops, arrives = self._stops()
        place = _route(t, stops)
        for k in (0, 1):
            place[:, k] += 0.02 * wander(rng, t, 0.15)
        if fall is not None:  # the feet stay where balance was lost, nearly
            last = place[int(np.clip((fall.at + LEAD + 0.25) * RATE, 0, len(t) - 1))].copy()
            place += (last - place) * ease((t - fall.at) / 0.3)[:, None]
        pose = stand(len(t))
        moves.breathe(rng, pose, t, rng.uniform(0.5, 1.2))
        moves.step(pose, place)
        if self.does == "sit":
            self._sit(pose, arrives)
        if self.does in ("stand", "walk", "sit", "drop"):
            _hands(rng, pose, t, self.seconds)
        if self.does in ("to bed", "sleep"):
            self._lie_in_bed(pose, place)
        else:
            self._act(pose)
        if fall is not None:
            self._go_down(pose, fall)
        return Motion(pose, place)

    @property
    def _seat_high(self) -> float:
        """Height of the seat, in body heights."""
        return self.home.high / 1.7

    def _stops(self) -> tuple[list[tuple[float, np.ndarray]], float]:
        """The places (x, z, yaw) at their times, and when the seat is reached."""
        rng, home = self.rng, self.home
        here, speed = home.spot(rng), rng.uniform(0.45, 1.3)
        stops: list[tuple[float, np.ndarray]] = [(-9.0, here)]
        arrives = -9.0
        if self.does == "walk":
            start = rng.uniform(-1.5, 1.0)
            for _ in range(3):
                there = home.spot(rng)
                there[0] = math.copysign(rng.uniform(0.2, 0.9) * home.wide, -here[0])
                more, start = _walk_to(here, there, start, speed)
                stops += more
                start += rng.exponential(0.5)
                here = there
        elif self.does in ("sit", "to bed", "rise", "sleep", "drop"):
            seat = home.seat()
            if self.does == "sit" and rng.random() < 0.5 and self.fall is None:
                begins = rng.uniform(-1.0, 1.0)
                near = seat + np.array((rng.uniform(-1.2, 1.2), rng.uniform(0.1, 0.6), 0))
                more, arrives = _walk_to(near, seat, begins, speed)
                stops = [(-9.0, near), *more]
            else:
                stops = [(-9.0, seat)]
        return stops, arrives

    def _sit(self, pose: np.ndarray, arrives: float) -> None:
        rng, t = self.rng, self.t
        moves.sit(pose, ease((t - arrives) / rng.uniform(0.5, 1.4)), self._seat_high)
        if self.fall is None and rng.random() < 0.4:  # ties a shoe
            at = max(arrives + rng.uniform(0.8, 2.0), rng.uniform(-0.3, 2.0))
            for when in _again(rng, at, self.seconds, (2.0, 5.0)):
                bent = moves.pulse(t, when, rng.uniform(0.4, 1.0), 0.8, rng.uniform(0, 1.5))
                moves.bend(pose, bent, legs=0.0)

    def _act(self, pose: np.ndarray) -> None:
        """Gets up, picks something up, kneels, exercises or lies down on the floor."""
        rng, t, fall = self.rng, self.t, self.fall
        if self.does == "rise":
            at = (fall.at + rng.uniform(-0.9, 0.1)) if fall else rng.uniform(0.3, 0.6 * self.seconds)
            moves.sit(pose, 1 - ease((t - at) / rng.uniform(0.9, 1.6)), self._seat_high)
        elif self.does == "pick up":
            at = rng.uniform(-0.3, 1.0) if fall is None else fall.at - rng.uniform(0.3, 1.2)
            legs = rng.uniform(0, 1)
            for when in _again(rng, at, self.seconds, (2.5, 5.0)):
                bent = moves.pulse(t, when, rng.uniform(0.6, 1.1), 0.9, rng.uniform(0, 1.0))
                moves.bend(pose, bent, legs=legs)
        elif self.does == "kneel":
            at = rng.uniform(-1.0, 2.0)
            moves.kneel(pose, moves.pulse(t, at, rng.uniform(0.9, 1.5), 1.2, rng.uniform(1.0, 6.0)))
            _hands(rng, pose, t, self.seconds)
        elif self.does == "exercise":
            rate = rng.uniform(0.3, 0.8)
            if rng.random() < 0.5:
                moves.squat(pose, 0.5 - 0.5 * np.cos(2 * math.pi * rate * t + rng.uniform(0, 6)))
            else:
                moves.dance(rng, pose, t)
        elif self.does == "to the floor":
            at = rng.uniform(-0.5, 1.5)
            moves.kneel(pose, ease((t - at) / 1.2))
            moves.sit(pose, ease((t - at - 1.0) / 1.2), 0.02)
            way = str(rng.choice(("back", "back", "left", "right")))
            moves.lie_down(rng, pose, ease((t - at - 1.9) / rng.uniform(1.5, 2.6)), way, 0.0)

    def _lie_in_bed(self, pose: np.ndarray, place: np.ndarray) -> None:
        """Goes to bed, sleeps or gets up."""
        rng, t = self.rng, self.t
        at = rng.uniform(0.2, 2.0)
        moves.sit(pose, ease((t - at + 2.0) / 1.2), self._seat_high)
        share = ease((t - at) / rng.uniform(1.8, 3.2)) if self.does == "to bed" else np.ones(len(t))
        if self.does == "sleep" and rng.random() < 0.5:
            share = 1 - ease((t - rng.uniform(0.5, 3.0)) / rng.uniform(1.8, 3.0))
        way = str(rng.choice(("back", "back", "left", "right")))
        turn = rng.choice((-1.0, 1.0)) * math.pi / 2 if way == "back" else 0.0  # to lie along the bed
        place[:, 2] += share * (turn - self.home.yaw)
        place[:, 1] -= 0.45 * share
        moves.lie_down(rng, pose, share, way, self._seat_high)

    def _go_down(self, pose: np.ndarray, fall: _Fall) -> None:
        """Flails, goes down, and moves on the floor until lying still."""
        rng, t = self.rng, self.t
        swing = moves.pulse(t, fall.at - 0.1, 0.25, 0.4)
        moves.flail(rng, pose, t, 0.6 * swing)
        if self.does == "drop":
            down = moves.drop_back(rng, pose, t, fall.at, fall.takes, self._seat_high)
        else:
            down = moves.go_down(rng, pose, t, fall.at, fall.takes, fall.way)
        still = 1 - ease((t - fall.at - fall.takes) / rng.uniform(0.3, 1.5))
        moves.squirm(rng, pose, t, down * still, rng.uniform(0.1, 0.5))


def _again(
    rng: np.random.Generator, at: float, seconds: float, pause: tuple[float, float]
) -> Iterator[float]:
    """The times at which an action is done: first at ``at``, then after pauses drawn from a range, until the end."""
    while at < seconds:
        yield at
        at += rng.uniform(*pause)


def _hands(rng: np.random.Generator, pose: np.ndarray, t: np.ndarray, seconds: float) -> None:
    """Drinks, reads, phones, talks or does nothing."""
    way = rng.random()
    if way < 0.2:
        k, at = int(rng.integers(2)), rng.uniform(-0.5, 1.5)
        for up in _again(rng, at, seconds, (2.0, 4.0)):
            moves.sip(pose, moves.pulse(t, up, 0.6, 0.6, rng.uniform(0.4, 1.5)), k)
    elif way < 0.4:
        moves.read(pose, np.ones(len(t)))
    elif way < 0.5:
        moves.reach(pose, np.ones(len(t)), 0, (0.09, 0.02, 0.14))
    elif way < 0.65:
        moves.gesture(rng, pose, t)

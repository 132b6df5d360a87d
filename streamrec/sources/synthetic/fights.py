"""People before a surveillance camera: in a fight, or in everyday life."""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np

from streamrec.sources.synthetic import backdrop
from streamrec.sources.synthetic import crowd as doll
from streamrec.sources.synthetic import crowd_moves as moves
from streamrec.sources.synthetic import places as scene
from streamrec.sources.synthetic.camera import Camera
from streamrec.sources.synthetic.crowd import RATE, Cast, Motion, ease, stand, wander
from streamrec.sources.synthetic.figure import hsv
from streamrec.sources.synthetic.scenario import Kind, Script
from streamrec.sources.synthetic.stage import LEAD, Prop, Props, Theatre, fineness

LABELS = ("normal", "fight")


def write(rng: np.random.Generator, label: str) -> Script:
    """A scene of 2 to 6 seconds that is a fight, or not, from its first moment on."""
    seconds = rng.uniform(2.0, 6.0)

    def stage(width: int, height: int) -> Theatre:
        return _stage(rng, (width, height), label, seconds)

    return Script(((0.0, seconds, label),), (), stage)


KIND = Kind(LABELS, write)


class _Yard:
    """The floor that the camera sees, and the moments of the scene."""

    def __init__(self, rng: np.random.Generator, reach: tuple[float, float], seconds: float) -> None:
        self.rng = rng
        self.reach = reach  # metres to the sides, and to and from the camera
        self.t = np.arange(-LEAD, seconds + 0.3, 1 / RATE)  # seconds
        self.seconds = seconds
        self.motions: list[Motion] = []
        self.carriers: list[int] = []

    def spot(self, share: float = 0.8) -> np.ndarray:
        """A random place on the floor (2,)."""
        return np.asarray(self.rng.uniform(-share, share, 2) * self.reach)

    def still(self, place: np.ndarray, yaw: float | np.ndarray) -> np.ndarray:
        """A place (T, 3) that stays, with small shifts."""
        rng, t = self.rng, self.t
        out = np.empty((len(t), 3))
        for k in (0, 1):
            out[:, k] = place[k] + 0.03 * wander(rng, t, 0.12)
        out[:, 2] = yaw + 0.1 * wander(rng, t, 0.2)
        return out

    def along(self, start: np.ndarray, end: np.ndarray, speed: float, begins: float = -1.0) -> np.ndarray:
        """A walk (T, 3) from one place to another in an almost straight line."""
        rng, t = self.rng, self.t
        way = end - start
        far = math.hypot(*way) + 1e-6
        takes = far / speed
        x = np.clip((t - begins) / takes, 0.0, 1.0)
        x = np.where(x < 1, x, 1.0)
        out = np.empty((len(t), 3))
        bow = rng.normal(0, 0.12) * far * np.sin(math.pi * x)
        out[:, 0] = start[0] + way[0] * x - way[1] / far * bow
        out[:, 1] = start[1] + way[1] * x + way[0] / far * bow
        out[:, 2] = math.atan2(way[0], way[1]) + 0.08 * wander(rng, t, 0.5)
        return out

    def add(self, pose: np.ndarray, place: np.ndarray, *, carries: bool = False) -> None:
        """One more person."""
        if carries:
            self.carriers.append(len(self.motions))
        self.motions.append(Motion(pose, place))

    def stepping(self, place: np.ndarray, *, much: float = 1.0, arms: bool = True) -> np.ndarray:
        """A pose (T, SIZE) that goes along a place."""
        pose = stand(len(self.t))
        moves.breathe(self.rng, pose, self.t, much)
        moves.step(pose, place, arms=arms)
        return pose


def _fight(yard: _Yard) -> None:
    """Two or more fight; others watch, help or flee."""
    rng, t = yard.rng, yard.t
    centre = yard.spot(0.5)
    count = int(rng.choice((2, 3, 4, 5), p=(0.5, 0.22, 0.16, 0.12)))
    way = rng.choice(("brawl", "wrestle", "down", "chase"), p=(0.35, 0.27, 0.26, 0.12))
    drift = np.stack((wander(rng, t, 0.15), wander(rng, t, 0.15)), 1) * rng.uniform(0.1, 0.9)
    middle = centre + drift
    if way == "chase":
        _chase(yard, centre, count)
    else:
        _melee(yard, middle, count, way)
    for _ in range(int(rng.integers(0, 5))):
        _bystander(yard, middle.mean(0))


def _melee(yard: _Yard, middle: np.ndarray, count: int, way: str) -> None:
    rng, t = yard.rng, yard.t
    turn = rng.uniform(0, 2 * math.pi) + 0.8 * wander(rng, t, rng.uniform(0.1, 0.35))
    wild = rng.uniform(0.4, 1.0)
    apart = rng.uniform(0.25, 0.36) if way == "wrestle" else rng.uniform(0.3, 0.5)
    surge = 0.12 * wander(rng, t, rng.uniform(0.4, 0.9)) + 0.07 * wander(rng, t, 1.4)
    falls_at = rng.uniform(-1.2, 0.75 * yard.seconds) if way == "down" or rng.random() < 0.15 else math.inf
    if way == "down" and rng.random() < 0.6:
        falls_at = -3.0  # on the floor from the start
    for k in range(count):
        angle = turn + 2 * math.pi * k / count + 0.25 * wander(rng, t, 0.5)
        far = apart * (1.0 if count == 2 else 1.25) * (1 + 0.15 * wander(rng, t, 0.8)) + surge
        victim = k == 0 and falls_at < math.inf
        if victim and count > 2:
            far = 0.3 * far
        place = np.stack(
            (middle[:, 0] + far * np.sin(angle), middle[:, 1] + far * np.cos(angle), angle + math.pi), 1
        )
        shoves = [rng.uniform(0, yard.seconds) for _ in range(rng.poisson(0.35 * yard.seconds * wild))]
        for at in shoves:  # thrown back by a blow, then back again
            back = rng.uniform(0.15, 0.5) * moves.pulse(t, at, 0.2, rng.uniform(0.5, 1.0))
            place[:, 0] += back * np.sin(angle)
            place[:, 1] += back * np.cos(angle)
        place[:, 2] += 0.5 * wander(rng, t, 0.6)
        if victim:
            lies = ease((t - falls_at) / 0.5)
            frozen = place[int(np.clip((falls_at + 0.4) * RATE, 0, len(t) - 1))]
            place += (frozen - place) * lies[:, None]
        pose = yard.stepping(place, arms=False)
        active = np.ones(len(t))
        if way == "wrestle" and k < 2:
            moves.wrestle(rng, pose, t, active)
            if rng.random() < 0.5:
                _blows(yard, pose, rng.uniform(0.3, 0.9) * wild, low=2.0)
        elif victim:
            if rng.random() < 0.5:
                moves.cower(rng, pose, t, active * ease((t + 0.4) / 0.5))
            else:
                moves.guard(pose, active)
        else:
            style = rng.random()
            if style < 0.35:
                moves.flail(rng, pose, t, active * rng.uniform(0.6, 1.0))
            elif style < 0.8:
                moves.guard(pose, active * rng.uniform(0.5, 1.0), rng.uniform(-0.08, 0.06))
            low = 1.0 if way == "down" else 0.0
            _blows(yard, pose, rng.uniform(0.8, 2.6) * (0.5 + wild), low=low, after=falls_at)
        for at in shoves:
            shaken = moves.pulse(t, at, 0.12, 0.35)
            pose[:, doll.PITCH] -= 0.35 * shaken
            pose[:, doll.TWIST] += rng.normal(0, 0.4) * shaken
        if victim:
            down = moves.go_down(rng, pose, t, falls_at, rng.uniform(0.35, 0.7))
            moves.squirm(rng, pose, t, down, rng.uniform(0.1, 1.2))
        yard.add(pose, place)


def _blows(yard: _Yard, pose: np.ndarray, rate: float, *, low: float, after: float = -9.0) -> None:
    """Strikes at irregular moments; ``low`` ones once the other is down."""
    at = yard.rng.uniform(-0.3, 0.4)
    while at < yard.seconds:
        moves.strike(yard.rng, pose, yard.t, at, low if at > after or low > 1 else 0.0)
        at += 0.16 + yard.rng.exponential(1 / rate)


def _chase(yard: _Yard, centre: np.ndarray, count: int) -> None:
    """One runs; the others follow and strike."""
    rng, t = yard.rng, yard.t
    angle = rng.uniform(0, 2 * math.pi)
    way = np.array((math.sin(angle), math.cos(angle)))
    speed = rng.uniform(1.2, 3.2)
    length = min(speed * yard.seconds, 1.6 * min(yard.reach))
    falls_at = rng.uniform(0.4, 0.7) * length / speed if rng.random() < 0.6 else math.inf
    for k in range(count):
        gap = -(0.6 + 0.45 * k) * way if k else np.zeros(2)
        side = rng.normal(0, 0.25) * np.array((way[1], -way[0])) * min(k, 1)
        start, end = centre - way * length / 2 + gap + side, centre + way * length / 2 + gap * 0.7 + side
        place = yard.along(start, end, speed * rng.uniform(0.95, 1.1), -0.3)
        if k == 0 and falls_at < math.inf:
            stop = place[int(np.clip((falls_at + 0.5) * RATE, 0, len(t) - 1))]
            place += (stop - place) * ease((t - falls_at) / 0.5)[:, None]
        pose = yard.stepping(place)
        if k:
            _blows(yard, pose, rng.uniform(0.8, 2.5), low=1.0, after=falls_at)
        elif falls_at < math.inf:
            down = moves.go_down(rng, pose, t, falls_at, 0.5)
            moves.squirm(rng, pose, t, down, rng.uniform(0.2, 1.0))
        else:
            moves.flail(rng, pose, t, pulse_often(rng, t, 0.6))
        yard.add(pose, place)


def pulse_often(rng: np.random.Generator, t: np.ndarray, share: float) -> np.ndarray:
    """On and off, on for about a share of the time (T,)."""
    return ease(2.0 * wander(rng, t, 0.4) + 2 * share - 0.5)


def _bystander(yard: _Yard, centre: np.ndarray) -> None:
    """Watches, comes closer, backs off, separates the fighters, or passes by."""
    rng, t = yard.rng, yard.t
    angle, far = rng.uniform(0, 2 * math.pi), rng.uniform(1.0, 3.0)
    spot = centre + far * np.array((math.sin(angle), math.cos(angle)))
    way = rng.random()
    if way < 0.45:
        place = yard.still(spot, angle + math.pi)
        pose = yard.stepping(place)
        if rng.random() < 0.4:
            moves.gesture(rng, pose, t, 1.5)
    elif way < 0.65:
        place = yard.along(spot + (spot - centre) * 1.2, spot, rng.uniform(1.0, 3.0), rng.uniform(-2, 1))
        pose = yard.stepping(place)
    elif way < 0.85:
        place = yard.along(spot, spot + (spot - centre) * 2, rng.uniform(1.0, 3.5), rng.uniform(-0.5, 1.5))
        if rng.random() < 0.5:
            place[:, 2] += math.pi  # backwards
        pose = yard.stepping(place)
    else:
        place = yard.still(centre + (spot - centre) / far * 0.8, angle + math.pi)
        pose = yard.stepping(place)
        moves.wrestle(rng, pose, t, 0.7 * np.ones(len(t)))
    yard.add(pose, place)


def _walkers(yard: _Yard, count: int, speeds: tuple[float, float]) -> None:
    """Cross the place, each an own way or in a stream."""
    rng = yard.rng
    stream = rng.uniform(0, 2 * math.pi) if rng.random() < 0.5 else None
    for _ in range(count):
        angle = rng.uniform(0, 2 * math.pi)
        if stream is not None:
            angle = stream + rng.choice((0, math.pi), p=(0.7, 0.3)) + rng.normal(0, 0.15)
        way = np.array((math.sin(angle), math.cos(angle)))
        speed = rng.uniform(*speeds)
        half = 0.5 * speed * (yard.seconds + 0.7)
        middle = yard.spot(0.75)
        place = yard.along(middle - way * half, middle + way * half, speed, -0.4)
        carries = rng.random() < 0.15
        pose = yard.stepping(place, arms=not carries)
        if carries:
            moves.carry(pose)
        elif rng.random() < 0.15:
            moves.reach(pose, np.ones(len(yard.t)), 0, (0.09, 0.02, 0.14))  # on the phone
        yard.add(pose, place, carries=carries)


def _groups(yard: _Yard, count: int) -> None:
    """Stand together and talk."""
    rng, t = yard.rng, yard.t
    left = count
    while left > 0:
        size = min(left, int(rng.integers(1, 5)))
        left -= size
        centre, turn = yard.spot(0.7), rng.uniform(0, 6)
        far = 0.35 + 0.1 * size + rng.uniform(0, 0.2)
        for k in range(size):
            angle = turn + 2 * math.pi * k / size + rng.normal(0, 0.15)
            spot = centre + far * np.array((math.sin(angle), math.cos(angle)))
            place = yard.still(spot, angle + math.pi)
            pose = yard.stepping(place)
            if rng.random() < 0.7:
                moves.gesture(rng, pose, t, rng.uniform(0.5, 1.6))
            yard.add(pose, place)


def _greeting(yard: _Yard) -> None:
    """Two meet, shake hands or embrace, and stay or part."""
    rng, t = yard.rng, yard.t
    centre, angle = yard.spot(0.5), rng.uniform(0, 2 * math.pi)
    hug = rng.random() < 0.5
    near, far = (0.2, 0.9) if hug else (0.36, 1.2)
    begins, lasts = rng.uniform(-0.5, 0.45 * yard.seconds), rng.uniform(0.6, 3.0)
    meets = moves.pulse(t, begins, 0.7, 0.8, lasts)
    for k in range(2):
        away = near + (far - near) * (1 - meets)
        facing = angle + math.pi * k
        place = np.stack(
            (centre[0] + away * math.sin(facing), centre[1] + away * math.cos(facing), 0 * t + facing), 1
        )
        place[:, 2] += math.pi + 0.1 * wander(rng, t, 0.3)
        pose = yard.stepping(place)
        hold = moves.pulse(t, begins + 0.4, 0.4, 0.5, lasts)
        if hug:
            moves.embrace(pose, hold)
        else:
            moves.shake_hands(pose, t, hold)
        yard.add(pose, place)


def _dancers(yard: _Yard, count: int) -> None:
    rng, t = yard.rng, yard.t
    for _ in range(count):
        place = yard.still(yard.spot(0.6), rng.uniform(0, 6) + rng.uniform(0, 1.2) * wander(rng, t, 0.3))
        pose = yard.stepping(place)
        moves.dance(rng, pose, t)
        yard.add(pose, place)


def _workers(yard: _Yard, count: int) -> None:
    """Bend, lift, reach up, wave, exercise."""
    rng, t = yard.rng, yard.t
    for _ in range(count):
        place = yard.still(yard.spot(0.7), rng.uniform(0, 6))
        pose = yard.stepping(place)
        way = rng.random()
        if way < 0.4:
            at = rng.uniform(-0.5, 0.5 * yard.seconds)
            moves.bend(pose, moves.pulse(t, at, 0.8, 0.9, rng.uniform(0, 1.5)), legs=rng.uniform(0, 1))
        elif way < 0.65:
            for _ in range(3):
                at, k = rng.uniform(-0.5, yard.seconds), int(rng.integers(2))
                high = (0.12 * (1 - 2 * k), rng.uniform(0, 0.3), rng.uniform(0.15, 0.28))
                moves.reach(pose, moves.pulse(t, at, 0.4, 0.5, rng.uniform(0.1, 1)), k, high)
        elif way < 0.85:  # waves to a person
            share = moves.pulse(t, rng.uniform(-0.5, 1), 0.4, 0.5, rng.uniform(1, 3))
            swing = 0.08 * np.sin(2 * math.pi * rng.uniform(1.2, 2.2) * t)
            moves.toward_hand(pose, share, np.stack((0.16 + swing, 0.25 + 0 * t, 0.06 + 0 * t), 1))
        else:
            rate = rng.uniform(0.4, 0.9)
            moves.squat(pose, 0.5 - 0.5 * np.cos(2 * math.pi * rate * t + rng.uniform(0, 6)))
        yard.add(pose, place)


def _seated(yard: _Yard, count: int) -> None:
    """Sit, or sit down and get up."""
    rng, t = yard.rng, yard.t
    for _ in range(count):
        place = yard.still(yard.spot(0.7), rng.uniform(0, 6))
        pose = yard.stepping(place, much=0.6)
        share = np.ones(len(t))
        if rng.random() < 0.3:
            share = ease((t - rng.uniform(0, yard.seconds)) / rng.uniform(0.8, 1.4))
            if rng.random() < 0.5:
                share = 1 - share
        moves.sit(pose, share)
        if rng.random() < 0.6:
            moves.gesture(rng, pose, t, 0.8)
        yard.add(pose, place)


def _queue(yard: _Yard, count: int) -> None:
    rng = yard.rng
    angle, gap = rng.uniform(0, 2 * math.pi), rng.uniform(0.55, 0.9)
    way, start = np.array((math.sin(angle), math.cos(angle))), yard.spot(0.4)
    steps_at = rng.uniform(0, yard.seconds) if rng.random() < 0.6 else 99.0
    for k in range(count):
        spot = start - way * gap * (k - count / 2)
        place = yard.along(spot, spot + way * gap * 0.8, rng.uniform(0.5, 0.8), steps_at + 0.15 * k)
        yard.add(yard.stepping(place), place)


def _normal(yard: _Yard) -> None:
    """Everyday life, busy or quiet, without a fight."""
    rng = yard.rng
    crowd = int(rng.integers(1, 6))
    ways: dict[str, tuple[float, Callable[[], None]]] = {
        "walkers": (0.22, lambda: _walkers(yard, crowd + 1, (0.7, 1.7))),
        "runners": (0.13, lambda: _walkers(yard, min(crowd, 4), (2.2, 4.2))),
        "groups": (0.14, lambda: _groups(yard, crowd + 1)),
        "greeting": (0.14, lambda: _greeting(yard)),
        "dancers": (0.13, lambda: _dancers(yard, crowd)),
        "workers": (0.1, lambda: _workers(yard, min(crowd, 4))),
        "seated": (0.06, lambda: _seated(yard, crowd)),
        "queue": (0.08, lambda: _queue(yard, crowd + 2)),
    }
    chances = np.array([share for share, _ in ways.values()])
    for pick in rng.choice(len(ways), int(rng.integers(1, 3)), p=chances / chances.sum(), replace=False):
        list(ways.values())[pick][1]()
    del yard.motions[8:]
    yard.carriers = [k for k in yard.carriers if k < len(yard.motions)]
    if rng.random() < 0.3 and len(yard.motions) < 7:
        _walkers(yard, 1, (0.8, 1.6))


def _stage(rng: np.random.Generator, size: tuple[int, int], label: str, seconds: float) -> Theatre:
    width, height = size
    fine = fineness(height)
    camera = _camera(rng, width * fine, height * fine)
    metre = camera.focal / camera.distance
    slant = max(math.sin(camera.pitch), 0.25)
    far = min(0.45 * height * fine / (metre * slant), 0.4 * camera.distance)
    reach = (0.5 * width * fine / metre, far)
    yard = _Yard(rng, reach, seconds)
    (_fight if label == "fight" else _normal)(yard)
    alike = float(rng.choice((0.0, 0.3, 0.9)))
    cast = Cast(rng, yard.motions, carriers=tuple(yard.carriers), alike=alike)
    canvas = _ground(rng, width, height, camera.zoomed(1 / fine, (0.0, 0.0)), max(far, 1.5))
    things = [_Thing(rng, camera, reach) for _ in range(rng.poisson(0.35))]
    front: list[Prop] = [_Front(rng, width * fine, height * fine)] if rng.random() < 0.15 else []
    return Theatre(
        rng,
        size,
        camera,
        canvas,
        cast,
        _RecorderEffects(rng, width, height),
        shake=rng.exponential(0.004) if rng.random() < 0.35 else 0.0,
        props=Props(
            behind=[thing for thing in things if thing.behind],
            before=[*(thing for thing in things if not thing.behind), *front],
        ),
    )


def _camera(rng: np.random.Generator, width: int, height: int) -> Camera:
    """High on a wall; people fill from a sixth of the image to most of it."""
    pitch = math.radians(rng.uniform(8, 35) if rng.random() < 0.6 else rng.uniform(30, 65))
    distance = rng.uniform(3.5, 14.0)
    tall = math.exp(rng.uniform(math.log(0.17), math.log(0.72))) * height
    focal = tall / 1.7 * distance / max(math.cos(pitch), 0.55)
    return Camera(
        distance=distance,
        aim=0.8,
        pitch=pitch,
        roll=math.radians(rng.normal(0, 4)),
        focal=focal,
        centre=(width * rng.uniform(0.42, 0.58), height * rng.uniform(0.42, 0.62)),
    )


def _ground(
    rng: np.random.Generator, width: int, height: int, camera: Camera, clearance: float
) -> np.ndarray:
    """A floor with walls, boxes and marks, or a room or street; the camera's own."""
    if rng.random() < 0.45:
        canvas = np.asarray(
            scene.paint(width, height, camera, rng, clearance=clearance * rng.uniform(0.5, 1))
        )
        return backdrop.shaded(rng, canvas)
    canvas = np.zeros((height, width, 3), np.uint8)
    place = scene.Place(canvas, camera, rng.uniform(-0.8, 0.8), rng)
    tone = hsv(rng.uniform(), 0.35 * rng.uniform() ** 2, rng.uniform(0.15, 0.85))
    canvas[:] = np.array(hsv(rng.uniform(), 0.3 * rng.uniform(), rng.uniform(0.05, 0.9)))
    far = -(clearance + rng.uniform(0.5, 6))
    place.floor(-40, far, 40, 14, tone)
    other = np.array(tone) * rng.uniform(0.6, 1.3)
    style = rng.integers(4)
    if style == 0:  # tiles
        size = rng.uniform(0.4, 1.2)
        for i in range(-9, 9):
            for j in range(-9, 9):
                if (i + j) % 2:
                    place.floor(i * size, j * size, (i + 1) * size, (j + 1) * size, other)
    elif style == 1:  # marks of a car park or a crossing
        gap, thick = rng.uniform(0.8, 2.6), rng.uniform(0.1, 0.5)
        for i in range(-6, 7):
            place.floor(i * gap, -4, i * gap + thick, rng.uniform(-2, 6), np.minimum(other + 60, 255))
    elif style == 2:  # a kerb, a road beyond
        z = rng.uniform(-4, 2)
        place.floor(-40, far, 40, z, other)
        place.floor(-40, z, 40, z + 0.2, np.minimum(np.array(tone) * 1.3, 255))
    wall = np.array(hsv(rng.uniform(), 0.4 * rng.uniform(), rng.uniform(0.15, 0.95)))
    if rng.random() < 0.7:
        high = rng.uniform(1.0, 5.0)
        place.wall(-40, 0, 40, high, far, wall)
        for _ in range(int(rng.integers(0, 7))):
            x, w = rng.uniform(-7, 7), rng.uniform(0.6, 2.5)
            hole = np.array(hsv(rng.uniform(), 0.4 * rng.uniform(), rng.uniform(0.05, 0.95)))
            place.wall(x, rng.choice((0.0, 0.9)), x + w, min(2.1, high), far + 0.02, hole)
    boxes = [(rng.uniform(-6, 6), rng.uniform(far, 3)) for _ in range(int(rng.integers(0, 9)))]
    for x, z in sorted(boxes, key=lambda b: b[1]):
        if abs(x) < 1.6 and z > -1.6:
            continue
        colour = hsv(rng.uniform(), 0.7 * rng.uniform(), rng.uniform(0.1, 0.9))
        w, h, d = rng.uniform(0.3, 2.2), rng.uniform(0.3, 1.5), rng.uniform(0.3, 1.2)
        place.box(x, x + w, 0, h, z, z + d, colour)
        for _ in range(int(rng.integers(0, 5))):  # goods on it
            at, size = rng.uniform(x, x + w), rng.uniform(0.05, 0.25)
            small = hsv(rng.uniform(), 0.8 * rng.uniform(), rng.uniform(0.2, 0.95))
            place.wall(at, h, at + size, h + size, z + d / 2, small)
    grain = 1 + rng.uniform(0.02, 0.2) * backdrop.noise(rng, width, height, 1.5)
    canvas = np.clip(canvas * grain[..., None], 0, 255).astype(np.uint8)
    return backdrop.shaded(rng, canvas)


class _Front:
    """Something near the camera that hides a part: a pole, a counter, a roof."""

    def __init__(self, rng: np.random.Generator, width: int, height: int) -> None:
        self._colour = hsv(rng.uniform(), 0.4 * rng.uniform(), rng.uniform(0.05, 0.8))
        way = rng.random()
        if way < 0.4:
            x, w = rng.uniform(0, 1), rng.uniform(0.02, 0.08)
            corners = [(x, 0.0), (x + w, 0.0), (x + w * 1.1, 1.0), (x, 1.0)]
        elif way < 0.75:
            y = rng.uniform(0.78, 0.92)
            corners = [(0.0, y), (1.0, y + rng.uniform(-0.1, 0.1)), (1.0, 1.0), (0.0, 1.0)]
        else:
            y = rng.uniform(0.06, 0.2)
            corners = [(0.0, 0.0), (1.0, 0.0), (1.0, y * rng.uniform(0.3, 1.5)), (0.0, y)]
        self._corners = np.rint(np.array(corners) * (width, height)).astype(np.int32)

    def draw(self, image: np.ndarray, camera: Camera, seconds: float) -> None:
        cv2.fillConvexPoly(image, self._corners, self._colour, cv2.LINE_AA)


class _Thing:
    """A car, a door or a trolley that moves."""

    def __init__(self, rng: np.random.Generator, camera: Camera, reach: tuple[float, float]) -> None:
        self.behind = bool(rng.random() < 0.75)
        z = rng.uniform(0.5, 1.0) * reach[1] * (-1 if self.behind else 1)
        self._z = max(z, -0.9 * reach[1]) if self.behind else min(z, 0.3 * camera.distance)
        long, high, wide = (rng.uniform(a, b) for a, b in ((0.7, 4.2), (0.8, 1.7), (0.5, 1.8)))
        self._box = np.array([(x, y, z) for x in (-long / 2, long / 2) for y in (0, high) for z in (0, wide)])
        self._speed = rng.uniform(0.4, 6.0) * rng.choice((-1, 1))
        self._start = rng.uniform(-1.2, 0.8) * reach[0] * np.sign(self._speed)
        self._colour = np.array(hsv(rng.uniform(), 0.7 * rng.uniform(), rng.uniform(0.05, 0.95)))

    def draw(self, image: np.ndarray, camera: Camera, seconds: float) -> None:
        corners = self._box + np.array((self._start + self._speed * seconds, 0.0, self._z))
        flat, depth = camera.project(corners)
        if depth.min() < 0.5:
            return
        fixed = np.clip(np.rint(flat * 16), -(2**20), 2**20).astype(np.int32)
        hull = cv2.convexHull(fixed.reshape(-1, 1, 2))
        cv2.fillConvexPoly(image, hull, (self._colour * 0.7).tolist(), cv2.LINE_AA, 4)
        for face, tone in (((2, 3, 7, 6), 1.0), ((1, 3, 7, 5), 0.85)):
            cv2.fillConvexPoly(image, fixed[list(face)], (self._colour * tone).tolist(), cv2.LINE_AA, 4)


class _RecorderEffects:
    """What a cheap camera and its recorder do to an image."""

    def __init__(self, rng: np.random.Generator, width: int, height: int) -> None:
        self._size = (width, height)
        self._gray = rng.random() < 0.28
        self._effects = backdrop.CameraEffects(rng, width, height, gray=self._gray)
        pale = rng.random() < 0.5
        self._pale = rng.uniform(0.2, 0.8) if pale and not self._gray else 0.0
        coarse = rng.uniform(1.15, 2.2) if rng.random() < 0.4 else 1.0
        self._coarse = (round(width / coarse), round(height / coarse))
        self._jpeg = int(rng.integers(22, 80)) if rng.random() < 0.7 else None
        self._dark = rng.uniform(0.5, 0.85) if rng.random() < 0.15 else 1.0
        self._spot = _spot(rng, width, height) if self._gray and rng.random() < 0.4 else None
        self._text = _Text(rng, width, height) if rng.random() < 0.6 else None
        self._bars = int(rng.uniform(0.05, 0.14) * width) if rng.random() < 0.08 else 0

    def apply(self, image: np.ndarray, seconds: float) -> np.ndarray:
        """The image (H, W, 3) as it was recorded."""
        if self._pale:
            image = np.asarray(cv2.addWeighted(image, 1 - self._pale, _grayed(image), self._pale, 0))
        if self._spot is not None:
            image = np.asarray(cv2.multiply(image, self._spot, scale=1 / 128))
        if self._dark < 1:
            image = np.asarray(cv2.LUT(image, backdrop.table(np.full(3, self._dark))))
        image = self._effects.apply(image, seconds)
        if self._gray:
            image = _grayed(image)
        if self._coarse != self._size:
            small = cv2.resize(image, self._coarse, interpolation=cv2.INTER_AREA)
            image = np.asarray(cv2.resize(small, self._size))
        if self._text is not None:
            self._text.draw(image, seconds)
        if self._bars:
            image[:, : self._bars] = 0
            image[:, -self._bars :] = 0
        if self._jpeg is not None:
            _, data = cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, self._jpeg))
            image = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))
        return image


def _grayed(image: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR))


def _spot(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """The lamp of a camera in the dark: bright in the middle, (H, W, 3) uint8, 128 is untouched."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    far = np.hypot(x - rng.uniform(0.3, 0.7), y - rng.uniform(0.3, 0.7))
    light = 60 + 190 * np.exp(-((far / rng.uniform(0.25, 0.5)) ** 2))
    return np.repeat(light.astype(np.uint8)[..., None], 3, axis=2)


class _Text:
    """A clock in a corner, sometimes the camera's name in another."""

    def __init__(self, rng: np.random.Generator, width: int, height: int) -> None:
        self._size = height / 96 * rng.uniform(0.2, 0.34)
        self._start = int(rng.integers(0, 86400))
        day, month, year = rng.integers(1, 29), rng.integers(1, 13), rng.integers(2008, 2026)
        self._date = str(rng.choice(("", f"{day:02d}/{month:02d}/{year} ", f"{year}-{month:02d}-{day:02d} ")))
        rows = (round(0.09 * height), round(0.97 * height))
        first = int(rng.integers(2))
        self._at = (round(rng.choice((0.02, 0.3)) * width), rows[first])
        self._name = f"CAM{rng.integers(1, 17):02d}" if rng.random() < 0.4 else ""
        self._name_at = (round(0.72 * width), rows[1 - first])
        tone = float(rng.choice((255, 230, 0)))
        self._colour = (tone, tone, tone) if rng.random() < 0.8 else (0.0, 220.0, 255.0)
        self._thick = max(1, round(height / 240))

    def draw(self, image: np.ndarray, seconds: float) -> None:
        now = self._start + int(seconds)
        clock = f"{self._date}{now // 3600 % 24:02d}:{now // 60 % 60:02d}:{now % 60:02d}"
        for text, at in ((clock, self._at), (self._name, self._name_at)):
            font = cv2.FONT_HERSHEY_PLAIN
            cv2.putText(image, text, at, font, 2.2 * self._size, self._colour, self._thick, cv2.LINE_AA)

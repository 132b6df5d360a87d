"""People who walk to and fro before a camera and cover each other, and the truth of who is who.

For trackers: what ``movenet_noise`` makes of them, less what is covered by a person nearer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from streamrec.train.joints import skeleton as sk
from streamrec.train.joints.actor import Actor
from streamrec.train.joints.camera import Camera, aim_at, focal_of
from streamrec.train.joints.movenet_noise import (
    PEOPLE,
    Conditions,
    draw_conditions,
    merge,
    seen_alone,
    unused,
)

_CAPSULES = (  # of a body that covers what is behind: two joints, or the middles of two pairs, and a radius in metres
    ((5, 6), (11, 12), 0.2), ((0,), (5, 6), 0.12), ((5,), (7,), 0.06), ((7,), (9,), 0.05), ((6,), (8,), 0.06),
    ((8,), (10,), 0.05), ((11,), (13,), 0.1), ((13,), (15,), 0.07), ((12,), (14,), 0.1), ((14,), (16,), 0.07),
)  # fmt: skip
_HIDDEN = 0.35  # a person of whom less than this share of the keypoints is seen is not found
_MARGIN = (0.11, 0.05)  # of a box above the head and elsewhere, in heights of the person


@dataclass(frozen=True, eq=False, slots=True)
class Crossing:
    """A detector's view of people who cross, and the truth; places are in parts of the net's input."""

    people: np.ndarray  # (T, 6, 56) float32, the surest first
    timestamps: np.ndarray  # (T,) seconds; frames may be missing
    boxes: np.ndarray  # (T, P, 4) float64: of the whole person, ymin, xmin, ymax, xmax, within the picture
    visible: np.ndarray  # (T, P) bool: enough of the person is in the picture, and not covered
    camera: Camera


def crossing(
    rng: np.random.Generator | int,
    people: int,
    *,
    seconds: float = 20.0,
    fps: float = 10.0,
    lost: float = 0.0,
) -> Crossing:
    """A scene of so many people, of which a share ``lost`` of the frames is missing; the same seed, the same scene."""
    rng = np.random.default_rng(rng)
    camera = _camera(rng)
    actors = [_walker(rng, seconds, side) for side in rng.permutation(people)]
    times = np.arange(int(seconds * fps)) / fps
    joints = [actor.joints(times) for actor in actors]
    conditions = [draw_conditions(rng, webcam=False) for _ in actors]
    found, covered, shown = [], [], []
    for one, own in enumerate(joints):
        hidden = _covered(own, [other for n, other in enumerate(joints) if n != one], camera)
        seen = seen_alone(own, camera, rng, fps, Conditions(quality=conditions[one].quality))
        found.append(_less(seen, hidden, rng))
        covered.append(hidden)
        shown.append(camera.shows(*camera.project(own)))
    visible = np.stack([(~h & s).mean(1) >= _HIDDEN for h, s in zip(covered, shown, strict=True)], axis=1)
    boxes = np.stack([_box(own, camera) for own in joints], axis=1)
    merge(found, rng)
    while len(found) < PEOPLE:
        found.append(unused(rng, len(times), found[0]))
    rows = np.stack(found, axis=1)
    order = np.argsort(-rows[:, :, 55], axis=1, kind="stable")[:, :PEOPLE]
    rows = np.take_along_axis(rows, order[:, :, None], 1).astype(np.float32)
    kept = rng.random(len(times)) >= lost
    kept[0] = True
    return Crossing(rows[kept], times[kept], boxes[kept], visible[kept], camera)


def _camera(rng: np.random.Generator) -> Camera:
    """At a wall of the room, from chest height to above the heads."""
    aspect = float(rng.choice((4 / 3, 16 / 9)))
    place = np.array((rng.normal(0, 0.4), rng.uniform(1.2, 2.8), rng.uniform(4.8, 6.5)))
    aim = np.array((rng.normal(0, 0.15), rng.uniform(0.8, 1.1), 0.0))
    return Camera(
        place=place, axes=aim_at(place, aim), focal=focal_of(rng.uniform(60, 75), aspect), aspect=aspect
    )


def _walker(rng: np.random.Generator, seconds: float, number: int) -> Actor:
    """A person who walks from side to side of the picture at a depth of their own, and stops at times."""
    actor = Actor.drawn(rng, yaw=float(rng.uniform(-math.pi, math.pi)))
    side = 1.0 if number % 2 else -1.0
    here = np.array((side * rng.uniform(0.8, 2.0), rng.uniform(-1.5, 1.5)))
    actor.motion.first[sk.ROOT] = actor.motion.now[sk.ROOT] = here
    t = rng.uniform(0.2, 1.5)
    while t < seconds:
        side = -side if rng.random() < 0.85 else side
        target = np.array((side * rng.uniform(0.3, 2.2), np.clip(here[1] + rng.normal(0, 0.7), -1.6, 1.6)))
        t = actor.walk(t, target, speed=float(rng.uniform(0.7, 1.6)))
        here = target
        if rng.random() < 0.4:
            t += rng.uniform(0.3, 2.0)
    actor.live(seconds)
    return actor


def _covered(own: np.ndarray, others: list[np.ndarray], camera: Camera) -> np.ndarray:
    """Which keypoints (T, 17) are behind another person's body."""
    scale = np.array((1.0, camera.aspect)) / np.array(
        camera.part
    )  # parts of the net's input -> picture heights
    places, depth = camera.project(own)
    places = places * scale
    hidden = np.zeros(places.shape[:2], bool)
    for other in others:
        nearer, away = camera.project(other)
        nearer = nearer * scale
        before = away[:, 5:13].mean(1)[:, None] < depth - 0.15
        for start, end, radius in _CAPSULES:
            first, last = nearer[:, start].mean(1)[:, None], nearer[:, end].mean(1)[:, None]
            wide = radius * camera.focal / np.maximum(away[:, start].mean(1), 0.2)[:, None]
            axis = last - first
            along = ((places - first) * axis).sum(-1) / np.maximum((axis * axis).sum(-1), 1e-9)
            off = np.linalg.norm(places - first - np.clip(along, 0, 1)[..., None] * axis, axis=-1)
            hidden |= before & (off < wide)
    return hidden


def _less(seen: np.ndarray, hidden: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(T, 56) without what is covered: unsure keypoints, a box of the rest, and no person where too little is left."""
    count = len(seen)
    triples = seen[:, :51].reshape(count, 17, 3).copy()
    tall = (seen[:, 53] - seen[:, 51])[:, None, None]
    guess = rng.normal(0, 0.05, (count, 17, 2)) * tall
    triples[..., :2] += np.where(hidden[..., None], guess, 0.0)
    triples[..., 2] *= np.where(hidden, rng.uniform(0.1, 0.5, hidden.shape), 1.0)
    rows = seen.copy()
    rows[:, :51] = triples.reshape(count, 51)
    share = 1.0 - hidden.mean(1)
    rows[:, 55] *= share
    partly = (share < 0.8) & (share > 0)
    open_ = np.where(hidden[..., None], np.nan, triples[..., :2])[partly]
    if len(open_):
        low, high = np.nanmin(open_, axis=1), np.nanmax(open_, axis=1)
        margin = 0.06 * tall[partly, 0]
        tight = np.concatenate([low - margin, high + margin], axis=1)
        rows[partly, 51:55] = np.clip(tight, 0, 1)
    gone = share < _HIDDEN
    if gone.any():
        rows[gone] = unused(rng, int(gone.sum()), rows[gone])
    return rows


def _box(joints: np.ndarray, camera: Camera) -> np.ndarray:
    """(T, 4) of the whole person, cut off at the edges of the picture."""
    places, _ = camera.project(joints)
    low, high = places.min(1), places.max(1)
    tall = high[:, :1] - low[:, :1]
    shape = np.array((1.0, camera.part[1] / camera.part[0] / camera.aspect))
    margin = np.concatenate(
        [tall * _MARGIN[0], tall * _MARGIN[1], tall * _MARGIN[1], tall * _MARGIN[1]], axis=1
    )
    grown = np.concatenate([low, high], axis=1) + margin * (-1, -shape[1], 1, shape[1])
    part = np.array(camera.part)
    edge_low, edge_high = np.tile(0.5 - part / 2, 2), np.tile(0.5 + part / 2, 2)
    return np.clip(grown, edge_low, edge_high)

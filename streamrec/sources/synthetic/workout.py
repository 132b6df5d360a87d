"""People who exercise: push-ups, pull-ups, squats and dips, and when each repetition starts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from streamrec.sources.synthetic import backdrop
from streamrec.sources.synthetic import crowd as doll
from streamrec.sources.synthetic import crowd_moves as moves
from streamrec.sources.synthetic import places as scene
from streamrec.sources.synthetic.camera import Camera
from streamrec.sources.synthetic.crowd import (
    KNEES,
    LEFT_FOOT,
    PELVIS,
    PITCH,
    RATE,
    RIGHT_FOOT,
    SPINE,
    Cast,
    Motion,
    ease,
    stand,
    wander,
)
from streamrec.sources.synthetic.scenario import Kind, Script
from streamrec.sources.synthetic.stage import LEAD, Theatre, fineness

LABELS = ("push_ups", "pull_ups", "squats", "dips", "background")


@dataclass(frozen=True, eq=False)
class _Set:
    """Repetitions of one exercise: when each starts, reaches its other end, and is over."""

    label: str
    ready: float  # seconds: it is in the starting position
    moments: np.ndarray  # (R, 4) seconds: leaves the start, there, leaves again, back
    depths: np.ndarray  # (R,) range of motion of each, 1 is full

    def depth(self, t: np.ndarray) -> np.ndarray:
        """How far from the starting position (T,), 0 to about 1."""
        out = np.zeros(len(t))
        for (a, b, c, d), deep in zip(self.moments.tolist(), self.depths.tolist(), strict=True):
            out += deep * ease((t - a) / (b - a)) * (1 - ease((t - c) / (d - c)))
        return out


def write(rng: np.random.Generator, label: str) -> Script:
    """One exercise of 4 to 16 seconds, or background without an exercise."""
    if label == "background":
        seconds = rng.uniform(3.0, 8.0)
        empty = _Set(label, -1.0, np.zeros((0, 4)), np.zeros(0))
        spans: tuple[tuple[float, float, str], ...] = ((0.0, seconds, label),)
        return Script(spans, (), lambda w, h: _stage(rng, (w, h), seconds, empty))
    late = rng.uniform(0.8, 2.2) if rng.random() < 0.25 else 0.0
    begins = late + rng.uniform(0.0, 0.6)
    wanted = rng.uniform(4.0, 14.0)
    period, hold = math.exp(rng.uniform(math.log(0.8), math.log(3.8))), rng.uniform(0, 0.2)
    share = rng.uniform(0.35, 0.6)  # of the first half of the way
    wild = rng.uniform(0.03, 0.3)
    moments, at = [], begins
    while at < wanted:
        takes = period * math.exp(rng.normal(0, wild))
        there = at + takes * share * (1 - hold)
        back = there + takes * hold
        moments.append((at, there, back, at + takes))
        at += takes + (rng.exponential(0.15) * period)
        if rng.random() < 0.07:
            at += rng.uniform(0.5, 2.0)
    seconds = moments[-1][3] + rng.uniform(0.1, 0.8)
    done = _Set(label, late, np.array(moments), np.clip(rng.normal(1, 0.08, len(moments)), 0.75, 1.1))
    spans = ((0.0, late, "background"), (late, seconds, label)) if late else ((0.0, seconds, label),)
    starts = tuple(float(m[0]) for m in moments)
    return Script(spans, starts, lambda w, h: _stage(rng, (w, h), seconds, done))


KIND = Kind(LABELS, write)


def _stage(rng: np.random.Generator, size: tuple[int, int], seconds: float, done: _Set) -> Theatre:
    width, height = size
    fine = fineness(height)
    t = np.arange(-LEAD, seconds + 0.3, 1 / RATE)
    yaw = rng.uniform(-math.pi, math.pi)
    if done.label == "push_ups" and rng.random() < 0.6:  # from the side, as most are filmed
        yaw = rng.choice((-1, 1)) * math.pi / 2 + rng.normal(0, 0.4)
    place = np.zeros((len(t), 3))
    place[:, 2] = yaw
    bars: list[np.ndarray] = []
    pose = stand(len(t))
    moves.breathe(rng, pose, t, 0.4)
    if done.label == "background":
        _background(rng, pose, place, t, seconds)
        aim, tall = 0.8, rng.uniform(0.4, 0.85)
    else:
        ready = stand(len(t))
        aim = {"push_ups": 0.3, "squats": 0.7, "pull_ups": 1.35, "dips": 1.15}[done.label]
        bars = _EXERCISES[done.label](rng, ready, t, done.depth(t))
        ready[:, 8:20] += 0.006 * np.stack([wander(rng, t, 0.5) for _ in range(12)], 1)
        pose += (ready - pose) * ease((t - done.ready + 0.9) / 0.9)[:, None]
        tall = rng.uniform(0.4, 0.95)
    pitch = math.radians(rng.normal(6, 6) if rng.random() < 0.8 else rng.uniform(10, 30))
    distance = rng.uniform(2.5, 5.5)
    camera = Camera(
        distance=distance,
        aim=aim,
        pitch=pitch,
        roll=math.radians(rng.normal(0, 1.5)),
        focal=tall * height * fine / 1.7 * distance,
        centre=(width * fine * rng.uniform(0.42, 0.58), height * fine * rng.uniform(0.42, 0.58)),
    )
    motions = [Motion(pose, place)]
    if rng.random() < 0.2:
        motions.append(_passer_by(rng, t, seconds))
    cast = Cast(rng, motions, fine=True)
    tall_body = float(cast.heights[0])
    small = camera.zoomed(1 / fine, (0.0, 0.0))
    canvas = scene.paint(width, height, small, rng, clearance=rng.uniform(1.4, 3.0))
    canvas = np.asarray(cv2.resize(canvas, (width * fine, height * fine)))
    _paint_bars(rng, canvas, camera, bars, yaw, tall_body)
    shake = rng.exponential(0.004) if rng.random() < 0.3 else 0.0
    return Theatre(rng, size, camera, canvas, cast, backdrop.CameraEffects(rng, width, height), shake=shake)


def _paint_bars(
    rng: np.random.Generator,
    canvas: np.ndarray,
    camera: Camera,
    bars: list[np.ndarray],
    yaw: float,
    tall: float,
) -> None:
    """Bars, each a line (N, 3) in body heights."""
    colour = rng.uniform(30, 230, 3).tolist()
    c, s = math.cos(yaw), math.sin(yaw)
    for bar in bars:
        points = bar * tall
        turned = np.stack(
            (c * points[:, 0] + s * points[:, 2], points[:, 1], c * points[:, 2] - s * points[:, 0]), 1
        )
        flat, depth = camera.project(turned)
        if depth.min() < 0.5:
            continue
        fixed = np.clip(np.rint(flat * 16), -(2**20), 2**20).astype(np.int32)
        wide = max(1, round(0.045 * camera.focal / float(depth.mean())))
        cv2.polylines(canvas, [fixed], False, colour, wide, cv2.LINE_AA, 4)


def _push_ups(
    rng: np.random.Generator, pose: np.ndarray, t: np.ndarray, depth: np.ndarray
) -> list[np.ndarray]:
    low = rng.uniform(0.12, 0.2)
    rise = np.arcsin((0.345 - (0.345 - low) * depth - 0.05) / (doll.LEG + SPINE))
    reach = doll.LEG * 0.99
    pose[:, 0] = 0.0
    pose[:, 1] = 0.06 + reach * np.sin(rise)
    pose[:, 2] = -0.45 + reach * np.cos(rise)
    sag = rng.normal(0.0, 0.06)  # hips too low or too high
    pose[:, 1] -= sag
    pose[:, PITCH] = math.pi / 2 - rise - sag
    pose[:, KNEES] = -1.35
    pose[:, doll.NOD] = rng.uniform(-0.7, 0.0)
    pose[:, LEFT_FOOT], pose[:, RIGHT_FOOT] = (0.06, 0.07, -0.45), (-0.06, 0.07, -0.45)
    wide, ahead = rng.uniform(0.12, 0.22), rng.uniform(-0.03, 0.06)
    shoulder = -0.45 + (reach + SPINE) * math.cos(0.38)
    for k, sign in enumerate((1, -1)):
        moves.grip(pose, k, np.array((sign * wide, 0.025, shoulder + ahead)))
    return []


def _squats(rng: np.random.Generator, pose: np.ndarray, t: np.ndarray, depth: np.ndarray) -> list[np.ndarray]:
    moves.squat(pose, rng.uniform(0.85, 1.15) * depth)
    way = rng.random()
    ones = np.ones(len(t))
    for k, sign in enumerate((1, -1)):
        if way < 0.3:  # a bar on the shoulders, hands behind the head
            moves.reach(pose, ones, k, (sign * 0.19, 0.05, -0.02))
        elif way < 0.5:
            moves.reach(pose, ones, k, (sign * 0.04, -0.06, 0.16))
        elif way < 0.65:
            moves.reach(pose, ones, k, (sign * 0.13, -0.28, 0.04))
    return []


def _pull_ups(
    rng: np.random.Generator, pose: np.ndarray, t: np.ndarray, depth: np.ndarray
) -> list[np.ndarray]:
    high, wide = rng.uniform(1.24, 1.4), rng.uniform(0.12, 0.3)
    chest = high - 0.33 + (0.33 - rng.uniform(0.02, 0.09)) * depth
    pose[:, PITCH] = -0.06 - rng.uniform(0, 0.25) * depth
    pose[:, PELVIS] = 0.0
    swing = rng.uniform(0, 0.06) * wander(rng, t, 0.4)
    pose[:, 1] = chest - SPINE
    pose[:, 2] = swing + 0.04
    _hang(rng, pose, swing)
    for k, sign in enumerate((1, -1)):
        moves.grip(pose, k, np.array((sign * wide, high, 0.0)))
    end = rng.uniform(0.45, 1.0)
    post = [np.array(((x, 0.0, 0.0), (x, high, 0.0))) for x in (-end, end)] if rng.random() < 0.6 else []
    return [np.array(((-end, high, 0.0), (end, high, 0.0))), *post]


def _dips(rng: np.random.Generator, pose: np.ndarray, t: np.ndarray, depth: np.ndarray) -> list[np.ndarray]:
    high, wide = rng.uniform(0.66, 0.8), rng.uniform(0.14, 0.19)
    chest = high + 0.325 - rng.uniform(0.14, 0.22) * depth
    pose[:, PITCH] = 0.12 + rng.uniform(0.15, 0.5) * depth
    pose[:, PELVIS] = 0.0
    pose[:, 1] = chest - SPINE * np.cos(pose[:, PITCH])
    pose[:, 2] = -SPINE * np.sin(pose[:, PITCH]) * 0.6
    _hang(rng, pose, 0.02 * wander(rng, t, 0.4))
    for k, sign in enumerate((1, -1)):
        moves.grip(pose, k, np.array((sign * wide, high, 0.0)))
    long = rng.uniform(0.3, 0.7)
    bars = []
    for x in (-wide, wide):
        ends = ((x, 0.0, -long), (x, high, -long), (x, high, long), (x, 0.0, long))
        bars.append(np.array(ends))
    return bars


def _hang(rng: np.random.Generator, pose: np.ndarray, swing: np.ndarray) -> None:
    """Legs below the pelvis, straight or bent back."""
    bent = rng.uniform(0, 1) if rng.random() < 0.6 else 0.0
    for sign, foot in ((1, LEFT_FOOT), (-1, RIGHT_FOOT)):
        pose[:, foot.start] = sign * 0.04
        pose[:, foot.start + 1] = pose[:, 1] - doll.LEG * (0.99 - 0.4 * bent)
        pose[:, foot.start + 2] = pose[:, 2] - 0.25 * bent + swing
    pose[:, KNEES] = -0.5 * bent


_EXERCISES = {"push_ups": _push_ups, "squats": _squats, "pull_ups": _pull_ups, "dips": _dips}


def _background(
    rng: np.random.Generator, pose: np.ndarray, place: np.ndarray, t: np.ndarray, seconds: float
) -> None:
    """Stands, walks, stretches, dances, sits up, holds a plank: no repetition of a counted exercise."""
    way = rng.random()
    if way < 0.2:
        moves.gesture(rng, pose, t)
    elif way < 0.4:
        turn = place[0, 2]
        along = rng.uniform(0.4, 1.4) * t + rng.uniform(-2.5, 0)
        place[:, 0], place[:, 1] = along * math.sin(turn), 0.3 * along * math.cos(turn)
        moves.step(pose, place)
    elif way < 0.55:
        at = rng.uniform(-0.5, 1)
        moves.bend(pose, moves.pulse(t, at, 1.0, 1.0, rng.uniform(0.5, 3)), legs=rng.uniform(0, 0.6))
    elif way < 0.7:
        moves.dance(rng, pose, t)
    elif way < 0.85:  # sit-ups
        lies = moves.lying(rng, "back")
        rate = rng.uniform(0.25, 0.6)
        up = 0.5 - 0.5 * np.cos(2 * math.pi * rate * t + rng.uniform(0, 6))
        pose[:] = lies
        pose[:, PITCH] = -1.5 + rng.uniform(0.6, 1.6) * up
        for sign, foot in ((1, LEFT_FOOT), (-1, RIGHT_FOOT)):
            pose[:, foot] = (sign * 0.08, 0.04, 0.02)
        for k, sign in enumerate((1, -1)):
            moves.reach(pose, np.ones(len(t)), k, (sign * 0.1, 0.12, 0.02))
        pose[:, KNEES] = 1.2
    else:  # a plank
        _push_ups(rng, pose, t, np.full(len(t), rng.uniform(0, 0.3)))


def _passer_by(rng: np.random.Generator, t: np.ndarray, seconds: float) -> Motion:
    """A person in the background who stands or passes by."""
    place = np.zeros((len(t), 3))
    place[:] = (rng.uniform(-2, 2), -rng.uniform(1.2, 3.0), rng.uniform(-3, 3))
    if rng.random() < 0.5:
        place[:, 2] = math.copysign(math.pi / 2, -place[0, 0])
        place[:, 0] += rng.uniform(0.5, 1.4) * t * np.sign(-place[0, 0])
    pose = stand(len(t))
    moves.breathe(rng, pose, t)
    moves.step(pose, place)
    return Motion(pose, place)

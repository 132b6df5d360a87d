"""Scripts of people who exercise: push-ups, pull-ups, squats and dips, repeated, and what is done between them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from streamrec.train.joints import daily as d
from streamrec.train.joints import gestures as g
from streamrec.train.joints import skeleton as sk
from streamrec.train.joints import webcam
from streamrec.train.joints.actor import Actor
from streamrec.train.joints.camera import Camera, draw_room_camera
from streamrec.train.joints.gestures import pace
from streamrec.train.joints.scene import Scene

BACKGROUND, SQUATS = "background", "squats"
LABELS = (BACKGROUND, "dips", "pull_ups", "push_ups", SQUATS)
_OTHERS = (
    d.sit_ups, d.jumping_jacks, d.warrior, d.tree, d.dog, d.stretch, d.jumps,
    g.raise_both_hands, g.arms_out, g.wave, g.clap, g.raise_one_hand,
)  # fmt: skip


@dataclass(frozen=True, eq=False, slots=True)
class Exercise:
    """One person's way to do it: how they get there, the two poses between which they go back and forth, and away."""

    label: str
    way: Sequence[tuple[float, np.ndarray]]  # seconds and pose, one after the other
    start: np.ndarray  # the pose that repetitions begin and end in
    turn: np.ndarray  # the pose half-way
    leave: Sequence[tuple[float, np.ndarray]]
    slow: tuple[float, float]  # seconds of half a repetition, from and to
    from_turn: bool = False  # a repetition is taken to start half-way


def write(rng: np.random.Generator, seconds: float, fit: str = "pad") -> Scene:
    """A scene of so many seconds: mostly sets of one exercise, with pauses and daily life between them.

    Who only stays in one of its poses, as in a plank, does none. One of five is of a person before a webcam.
    """
    if rng.random() < 0.2:
        scene = webcam.write(rng, seconds, fit)
        spans = [(start, end, SQUATS) for start, end, name in scene.spans if name == g.SQUAT]
        return replace(scene, spans=spans)
    actor = Actor.drawn(rng, children=0.05, yaw=float(rng.uniform(-math.pi, math.pi)))
    actor.motion.first[sk.ROOT] = actor.motion.now[sk.ROOT] = rng.normal(0, 0.3, 2)
    shares = d.habits(rng, without=(d.exercise, d.lie_down))
    own = EXERCISES[int(rng.integers(len(EXERCISES)))]
    # One of four only does other things, which resemble them.
    busy = rng.random() < 0.75
    starts: list[tuple[float, ...]] = []
    t = 0.0
    if rng.random() < 0.6:
        t = d.live_on(actor, 0.0, rng.uniform(0.0, 4.0), shares)
    while t < seconds:
        if actor.seated:
            t = actor.stand_up(t, pace(actor, 0.7, 1.8))
        kind = rng.random()
        if busy and kind < 0.72:
            exercise = own if rng.random() < 0.85 else EXERCISES[int(rng.integers(len(EXERCISES)))]
            t = _repeat(actor, t, exercise(actor), starts)
        elif kind < 0.82:
            t = _stay(actor, t, EXERCISES[int(rng.integers(len(EXERCISES)))](actor))
        else:
            t = _OTHERS[int(rng.integers(len(_OTHERS)))](actor, t)
        if rng.random() < 0.6:
            t = d.live_on(actor, t, t + rng.exponential(2.5), shares)
    actor.live(seconds)
    people = [actor]
    while rng.random() < 0.12 and len(people) < 4:
        people.append(_other(rng, seconds))
    spans = [span for span in actor.spans if span[2] in LABELS]  # others name what else is done
    return Scene(people, _camera(actor, seconds, fit), spans, None, repetitions=tuple(starts))


def _camera(actor: Actor, seconds: float, fit: str) -> Camera:
    """Who films an exercise stands near, mostly, and where it is seen well: push-ups from the side."""
    rng = actor.rng
    times = np.linspace(0.2 * seconds, seconds, 6)
    done = [span for span in actor.spans if span[2] in LABELS and span[0] < seconds]
    if done:
        times = np.concatenate([np.linspace(start, min(end, seconds), 5) for start, end, _ in done])
    joints = actor.joints(times)
    middle = joints.mean((0, 1))
    cameras = [
        draw_room_camera(rng, stature=actor.body.stature, focus=(float(middle[0]), float(middle[2])), fit=fit)
        for _ in range(1 if rng.random() < 0.2 else 4)
    ]
    camera = max(cameras, key=lambda one: _size(one, joints))
    nearer = [
        replace(camera, place=middle + part * (camera.place - middle)) for part in (1.0, 0.8, 0.65, 0.5, 0.4)
    ]
    fitting = [one for one in nearer if one.shows(*one.project(joints)).mean() > 0.93]
    return fitting[int(rng.integers(len(fitting)))] if fitting and rng.random() < 0.85 else camera


def _size(camera: Camera, joints: np.ndarray) -> float:
    """How large the person is in the picture, if they are in it."""
    places, depth = camera.project(joints)
    return float(np.ptp(places, axis=1).max(-1).mean() * camera.shows(places, depth).mean() ** 2)


def _other(rng: np.random.Generator, seconds: float) -> Actor:
    """Another person, who exercises nothing."""
    other = Actor.drawn(rng, yaw=float(rng.uniform(-math.pi, math.pi)))
    other.motion.first[sk.ROOT] = other.motion.now[sk.ROOT] = rng.uniform(-1.8, 1.8, 2)
    d.live_on(other, 0.0, seconds, d.habits(rng, without=(d.exercise, d.lie_down)))
    other.live(seconds)
    return other


def _through(actor: Actor, t: float, way: Sequence[tuple[float, np.ndarray]]) -> float:
    for seconds, pose in way:
        actor.motion.to(t, seconds, pose)
        t += seconds
    return t


def _repeat(actor: Actor, t: float, exercise: Exercise, starts: list[tuple[float, ...]]) -> float:
    """A set: repetitions of one person are alike, and a little slower toward the end."""
    rng = actor.rng
    t = _through(actor, t, (*exercise.way, (0.05, exercise.start)))
    if rng.random() < 0.4:
        t += rng.exponential(0.8)
    there, back = pace(actor, *exercise.slow), pace(actor, *exercise.slow)
    hold = abs(rng.normal(0, 0.25)) if rng.random() < 0.5 else 0.0
    tired, deep = rng.uniform(0.0, 0.04), rng.uniform(0.65, 1.0)
    begun, own = t, []
    for number in range(int(rng.integers(2, 14))):
        slower = (1 + tired * number) * float(np.exp(rng.normal(0, 0.06)))
        part = deep * rng.uniform(0.9, 1.05)
        own.append(t + there * slower * exercise.from_turn)
        actor.motion.to(t, there * slower, exercise.start + part * (exercise.turn - exercise.start))
        t += there * slower
        actor.motion.to(t, back * slower, exercise.start)
        t += back * slower + hold * rng.uniform(0.3, 1.7)
    if not exercise.from_turn:
        own.append(t)
    starts.append(tuple(own))
    actor.label(begun - 0.2, t + 0.2, exercise.label)
    return _leave(actor, t + 0.2, exercise)


def _stay(actor: Actor, t: float, exercise: Exercise) -> float:
    """Stays in one of the poses of an exercise, as in a plank, in the chair pose, or hanging at a bar."""
    rng = actor.rng
    t = _through(actor, t, (*exercise.way, (0.05, exercise.start)))
    if rng.random() < 0.6:
        seconds = pace(actor, 0.6, 1.8)
        actor.motion.to(t, seconds, exercise.start + rng.uniform(0.3, 1.0) * (exercise.turn - exercise.start))
        t += seconds
    t += pace(actor, 1.5, 8.0)
    actor.motion.to(t, 0.8, exercise.start)
    return _leave(actor, t + 0.8, exercise)


def _leave(actor: Actor, t: float, exercise: Exercise) -> float:
    t = _through(actor, t, exercise.leave)
    return d.stand(actor, t, pace(actor, 0.5, 1.0)) + 0.1


def push_ups(actor: Actor) -> Exercise:
    """On hands and feet, or on the knees; a repetition starts at the top."""
    rng = actor.rng
    knees = rng.random() < 0.2
    down = pace(actor, 1.0, 2.2)
    wide, ahead = rng.uniform(0.05, 0.35), rng.uniform(-0.05, 0.12)
    crouched = d.pose_of(actor, pelvis=(0, 0.4, 0.05), lean=1.2, bend=0.2, hands=(0.1, 0.1, 0.9), nod=-0.4)
    top = d.pose_of(
        actor,
        pelvis=(0, 0.36 - 0.06 * knees + rng.normal(0, 0.02), 0.32),
        feet=(rng.uniform(0.04, 0.16), 0.03, -0.55 + 0.25 * knees),
        lean=1.22 + rng.normal(0, 0.05),
        bend=rng.normal(0, 0.05),
        hands=(wide, 0.05 + ahead, 0.96),
        nod=rng.uniform(-0.5, 0.1),
    )
    low = top.copy()
    low[sk.PELVIS] = (0, 0.2, 0.34)
    low[sk.LEAN], low[sk.NOD] = 1.42, rng.uniform(-0.5, 0.1)
    for hand in sk.HANDS:
        low[hand] = (wide + 0.2, -0.08 + ahead, 0.42)
    up = d.pose_of(actor, pelvis=(0, 0.35, -0.1), feet=(0.12, 0, 0), lean=0.8, hands=d.hanging(1.0, 0.8))
    return Exercise(
        "push_ups", ((0.5 * down, crouched), (0.5 * down, top)), top, low, ((0.8, up),), (0.3, 1.2)
    )


def squats(actor: Actor) -> Exercise:
    """With free arms, hands on the chest, at the head, or a bar on the shoulders; a repetition starts at the top."""
    rng = actor.rng
    hands, elbows = (
        ((0.0, 0.25, 0.9), sk.ELBOW_DOWN),  # ahead
        ((-0.25, -0.2, 0.4), (0.6, -0.8, 0.0)),  # before the chest
        ((0.32, 0.02, -0.1), (0.5, -0.9, -0.1)),  # a bar on the shoulders
        ((-0.1, 0.28, 0.02), (1.0, 0.1, 0.1)),  # behind the head
        ((0.16, -0.94, 0.1), sk.ELBOW_DOWN),  # hanging
    )[int(rng.choice(5, p=(0.25, 0.2, 0.3, 0.1, 0.15)))]
    top = d.pose_of(
        actor,
        pelvis=(0, 0.985, 0),
        feet=(rng.uniform(0.08, 0.28), 0, 0),
        lean=rng.uniform(0.0, 0.12),
        hands=hands,
        elbows=elbows,
    )
    deep, lean = rng.uniform(0.36, 0.66), rng.uniform(0.3, 0.9)
    low = top.copy()
    low[sk.PELVIS] = (0, deep, -0.32 * (1 - deep))
    low[sk.LEAN], low[sk.BEND], low[sk.NOD] = lean, rng.uniform(0, 0.2), -0.4 * lean
    knees = rng.uniform(0.1, 0.7)
    for knee in sk.KNEES:
        low[knee] = knees
    if hands[2] > 0.8 and rng.random() < 0.6:  # arms rise with each repetition
        for hand in sk.HANDS:
            top[hand] = (0.16, -0.94, 0.1)
    return Exercise(SQUATS, ((0.8, top),), top, low, (), (0.4, 1.5))


def pull_ups(actor: Actor) -> Exercise:
    """At a bar over the head; a repetition starts where the person hangs."""
    rng, body = actor.rng, actor.body
    wide = rng.uniform(0.05, 0.45)
    reach = math.sqrt(0.97**2 - min(wide, 0.4) ** 2)
    hang = 1.02 + rng.uniform(0.0, 0.2)
    knees = rng.random() < 0.45
    foot = (
        (0.06, hang - rng.uniform(0.5, 0.75), -rng.uniform(0.2, 0.5)) if knees else (0.06, hang - 0.96, 0.05)
    )
    reached = d.pose_of(actor, hands=(wide, reach, 0.05), elbows=(1.0, -0.2, 0.1))
    low = d.pose_of(
        actor,
        pelvis=(0, hang, rng.normal(0, 0.04)),
        feet=foot,
        lean=rng.normal(0, 0.06),
        bend=rng.normal(0, 0.06),
        hands=(wide, reach, 0.05),
        elbows=(1.0, -0.3, 0.15),
        nod=rng.uniform(-0.5, 0.0),
    )
    end = rng.uniform(0.12, 0.4)
    rise = (reach - end) * body.arm / body.leg
    high = low.copy()
    high[sk.PELVIS] = (0, hang + rise, rng.normal(0.0, 0.06))
    high[sk.LEAN] = rng.normal(-0.1, 0.1)
    for hand, one in zip(sk.HANDS, sk.FEET, strict=True):
        high[hand] = (wide + 0.1, end, 0.22)
        high[one] = (foot[0], foot[1] + rise, foot[2])
    return Exercise("pull_ups", ((0.5, reached), (0.5, low)), low, high, (), (0.35, 1.3))


def dips(actor: Actor) -> Exercise:
    """Between two bars, or with the hands on a bench behind; a repetition is taken to start at its lowest."""
    rng, body = actor.rng, actor.body
    bench = rng.random() < 0.3
    wide, end = rng.uniform(0.05, 0.2), rng.uniform(-0.62, -0.4)
    drop = (0.96 + end) * body.arm / body.leg
    if bench:
        pelvis, feet = (0.0, rng.uniform(0.48, 0.62), 0.0), (0.08, 0.02, rng.uniform(0.6, 0.95))
        lean, hand, below = rng.uniform(-0.1, 0.15), (wide, -0.93, -0.2), (wide + 0.1, end, -0.4)
        lowered = feet
    else:
        pelvis = (0.0, 1.1 + rng.uniform(0.0, 0.2), 0.0)
        bent = rng.random() < 0.6
        feet = (0.06, pelvis[1] - (0.62 if bent else 0.95), -0.4 if bent else 0.02)
        lean, hand, below = rng.uniform(0.0, 0.3), (wide, -0.96, 0.0), (wide + 0.15, end, 0.1)
        lowered = (feet[0], feet[1] - drop, feet[2])
    high = d.pose_of(
        actor,
        pelvis=pelvis,
        feet=feet,
        lean=lean,
        hands=hand,
        elbows=(0.3, -0.2, -1.0),
        nod=rng.uniform(-0.1, 0.3),
    )
    low = high.copy()
    low[sk.PELVIS] = (0, pelvis[1] - drop, 0.05)
    low[sk.LEAN] = lean + (0.0 if bench else rng.uniform(0.1, 0.45))
    for one, elbow, foot in zip(sk.HANDS, sk.ELBOWS, sk.FEET, strict=True):
        low[one], low[elbow], low[foot] = below, (0.25, 0.1, -1.0), lowered
    return Exercise("dips", ((1.0, high),), high, low, (), (0.3, 1.2), from_turn=True)


EXERCISES: tuple[Callable[[Actor], Exercise], ...] = (dips, pull_ups, push_ups, squats)

"""Scripts of people who exercise: push-ups, pull-ups, squats and dips, repeated, and what is done between them."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from streamrec.train.joints import daily as d
from streamrec.train.joints import skeleton as sk
from streamrec.train.joints.actor import LEFT, RIGHT, Actor
from streamrec.train.joints.camera import draw_room_camera
from streamrec.train.joints.gestures import pace
from streamrec.train.joints.scene import Scene

BACKGROUND, SQUATS = "background", "squats"
LABELS = (BACKGROUND, "dips", "pull_ups", "push_ups", SQUATS)
_OTHERS = (d.sit_ups, d.jumping_jacks, d.warrior, d.tree, d.dog, d.stretch, d.jumps)

Starts = list[float]
"""When repetitions start, seconds; the last number is the end of the last one."""


def write(rng: np.random.Generator, seconds: float, fit: str = "pad") -> Scene:
    """A scene of so many seconds: mostly sets of one exercise, with pauses and daily life between them."""
    actor = Actor.drawn(rng, children=0.05, yaw=float(rng.uniform(-math.pi, math.pi)))
    actor.motion.first[sk.ROOT] = actor.motion.now[sk.ROOT] = rng.normal(0, 0.3, 2)
    shares = d.habits(rng, without=(d.exercise, d.lie_down))
    sets = tuple(SETS)
    own = sets[int(rng.integers(len(sets)))]
    starts: list[Starts] = []
    t = 0.0
    if rng.random() < 0.6:
        t = d.live_on(actor, 0.0, rng.uniform(0.0, 4.0), shares)
    while t < seconds:
        kind = rng.random()
        if kind < 0.72:
            if actor.seated:
                t = actor.stand_up(t, pace(actor, 0.7, 1.8))
            t = _set(actor, t, own if rng.random() < 0.85 else sets[int(rng.integers(len(sets)))], starts)
        elif kind < 0.84:
            if actor.seated:
                t = actor.stand_up(t, pace(actor, 0.7, 1.8))
            t = _OTHERS[int(rng.integers(len(_OTHERS)))](actor, t)
        t = d.live_on(actor, t, t + rng.exponential(2.5), shares)
    actor.live(seconds)
    people = [actor]
    while rng.random() < 0.2 and len(people) < 4:
        people.append(_other(rng, seconds))
    middle = actor.joints(np.linspace(0, seconds, 9))[:, 11:13].mean((0, 1))
    focus = float(middle[0]), float(middle[2])
    cameras = [
        draw_room_camera(rng, stature=actor.body.stature, focus=focus, fit=fit)
        for _ in range(1 if rng.random() < 0.3 else 3)
    ]
    # Who films an exercise stands near: the person is large.
    camera = max(cameras, key=lambda one: one.focal / float(np.linalg.norm(one.place - middle)))
    spans = [span for span in actor.spans if span[2] in LABELS]  # others tell what else is done
    return Scene(people, camera, spans, None, repetitions=tuple(map(tuple, starts)))


def _other(rng: np.random.Generator, seconds: float) -> Actor:
    """Another person, who exercises nothing."""
    other = Actor.drawn(rng, yaw=float(rng.uniform(-math.pi, math.pi)))
    other.motion.first[sk.ROOT] = other.motion.now[sk.ROOT] = rng.uniform(-1.8, 1.8, 2)
    d.live_on(other, 0.0, seconds, d.habits(rng, without=(d.exercise, d.lie_down)))
    other.live(seconds)
    return other


def _set(
    actor: Actor, t: float, exercise: Callable[[Actor, float], tuple[float, Starts, str]], starts: list[Starts]
) -> float:
    after, found, name = exercise(actor, t)
    actor.label(found[0] - 0.2, found[-1] + 0.2, name)
    starts.append(found)
    return after


class _Rhythm:
    """Repetitions of one person: alike, a little slower toward the end."""

    def __init__(self, actor: Actor, low: float, high: float, count: tuple[int, int]) -> None:
        self.rng = actor.rng
        self.down, self.up = pace(actor, low, high), pace(actor, low, high)
        self.hold = abs(self.rng.normal(0, 0.25)) if self.rng.random() < 0.5 else 0.0
        self.tired = self.rng.uniform(0.0, 0.04)
        self.count = int(self.rng.integers(*count))

    def times(self, number: int) -> tuple[float, float, float]:
        """Seconds of the first half, of the second, and of the pause after it."""
        slower = (1 + self.tired * number) * float(np.exp(self.rng.normal(0, 0.06)))
        return self.down * slower, self.up * slower, self.hold * self.rng.uniform(0.3, 1.7)


def push_ups(actor: Actor, t: float) -> tuple[float, Starts, str]:
    """On hands and feet, or on the knees; a repetition starts at the top."""
    rng = actor.rng
    rhythm = _Rhythm(actor, 0.3, 1.2, (3, 14))
    knees = rng.random() < 0.2
    down = pace(actor, 1.0, 2.2)
    wide, ahead = rng.uniform(0.05, 0.35), rng.uniform(-0.05, 0.12)
    feet = (rng.uniform(0.04, 0.16), 0.03, -0.55 + 0.25 * knees)
    low = d.pose_of(actor, pelvis=(0, 0.4, 0.05), lean=1.2, bend=0.2, hands=(0.1, 0.1, 0.9), nod=-0.4)
    actor.motion.to(t, 0.6 * down, low)
    top = d.pose_of(
        actor,
        pelvis=(0, (0.36 - 0.06 * knees) + rng.normal(0, 0.02), 0.32),
        feet=feet,
        lean=1.22 + rng.normal(0, 0.05),
        bend=rng.normal(0, 0.05),
        hands=(wide, 0.05 + ahead, 0.96),
        nod=rng.uniform(-0.5, 0.1),
    )
    actor.motion.to(t + 0.5 * down, 0.5 * down, top)
    t += down
    if rng.random() < 0.4:
        t += rng.exponential(1.0)  # stays in the plank
    starts = []
    deep = rng.uniform(0.55, 1.0)
    sunk = d.pose_of(
        actor, pelvis=(0, 0.2, 0.34), lean=1.42, hands=(wide + 0.2, -0.08 + ahead, 0.42), nod=rng.uniform(-0.5, 0.1)
    )
    for number in range(rhythm.count):
        first, second, pause = rhythm.times(number)
        starts.append(t)
        part = deep * rng.uniform(0.9, 1.05)
        actor.motion.to(t, first, top + part * (sunk - top))
        actor.motion.to(t + first, second, top)
        t += first + second + pause
    starts.append(t)
    crouched = d.pose_of(actor, pelvis=(0, 0.35, -0.1), feet=(0.12, 0, 0), lean=0.8, hands=d.hanging(1.0, 0.8))
    actor.motion.to(t + 0.3, 0.8, crouched)
    return d.stand(actor, t + 1.1, 0.9), starts, "push_ups"


def squats(actor: Actor, t: float) -> tuple[float, Starts, str]:
    """With free arms, hands on the chest, at the head, or a bar on the shoulders; a repetition starts at the top."""
    rng = actor.rng
    rhythm = _Rhythm(actor, 0.4, 1.5, (2, 12))
    wide = rng.uniform(0.08, 0.28)
    hands, elbows = (
        ((0.0, 0.25, 0.9), sk.ELBOW_DOWN),  # ahead
        ((-0.25, -0.2, 0.4), (0.6, -0.8, 0.0)),  # before the chest
        ((0.32, 0.02, -0.1), (0.5, -0.9, -0.1)),  # a bar on the shoulders
        ((-0.1, 0.28, 0.02), (1.0, 0.1, 0.1)),  # behind the head
        ((0.16, -0.94, 0.1), sk.ELBOW_DOWN),  # hanging
    )[int(rng.choice(5, p=(0.25, 0.2, 0.3, 0.1, 0.15)))]
    moving = hands[2] > 0.8 and rng.random() < 0.6  # arms rise with each repetition
    top = d.pose_of(
        actor, pelvis=(0, 0.985, 0), feet=(wide, 0, 0), lean=rng.uniform(0.0, 0.12), hands=hands, elbows=elbows
    )
    if moving:
        top = d.pose_of(actor, pelvis=(0, 0.985, 0), feet=(wide, 0, 0))
    actor.motion.to(t, 0.8, top)
    t += 0.8 + abs(rng.normal(0, 0.5))
    deep, lean = rng.uniform(0.36, 0.66), rng.uniform(0.3, 0.9)
    low = d.pose_of(
        actor,
        pelvis=(0, deep, -0.32 * (1 - deep)),
        knees=rng.uniform(0.1, 0.7),
        lean=lean,
        bend=rng.uniform(0, 0.2),
        nod=-0.4 * lean,
        hands=hands,
        elbows=elbows,
    )
    starts = []
    for number in range(rhythm.count):
        first, second, pause = rhythm.times(number)
        starts.append(t)
        actor.motion.to(t, first, top + rng.uniform(0.88, 1.05) * (low - top))
        actor.motion.to(t + first, second, top)
        t += first + second + pause
    starts.append(t)
    for side in (LEFT, RIGHT):
        actor.rest(side, t + 0.2, 0.6)
    return d.stand(actor, t + 0.2, 0.8), starts, SQUATS


def _between(
    actor: Actor, t: float, rhythm: _Rhythm, first: np.ndarray, second: np.ndarray, turning: float
) -> tuple[float, Starts]:
    """Swing between two poses; repetitions start where the way from ``first`` to ``second`` does, or in its middle."""
    starts = []
    for number in range(rhythm.count):
        there, back, pause = rhythm.times(number)
        starts.append(t + turning * there)
        actor.motion.to(t, there, first + actor.rng.uniform(0.85, 1.05) * (second - first))
        actor.motion.to(t + there, back, first)
        t += there + back + pause
    starts.append(t)
    return t, starts


def pull_ups(actor: Actor, t: float) -> tuple[float, Starts, str]:
    """At a bar over the head; a repetition starts where the person hangs."""
    rng, body = actor.rng, actor.body
    rhythm = _Rhythm(actor, 0.35, 1.3, (2, 12))
    wide = rng.uniform(0.05, 0.45)
    reach = math.sqrt(0.97**2 - min(wide, 0.4) ** 2)
    hang = 1.02 + rng.uniform(0.0, 0.2)
    knees = rng.random() < 0.45
    foot = (0.06, hang - rng.uniform(0.5, 0.75), -rng.uniform(0.2, 0.5)) if knees else (0.06, hang - 0.96, 0.05)
    actor.motion.to(t, 0.5, d.pose_of(actor, hands=(wide, reach, 0.05), elbows=(1.0, -0.2, 0.1)))
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
    actor.motion.to(t + 0.4, 0.5, low)
    t += 0.9 + abs(rng.normal(0, 0.6))
    end = rng.uniform(0.12, 0.4)
    rise = (reach - end) * body.arm / body.leg
    high = d.pose_of(
        actor,
        pelvis=(0, hang + rise, rng.normal(0.0, 0.06)),
        feet=(foot[0], foot[1] + rise, foot[2]),
        lean=rng.normal(-0.1, 0.1),
        hands=(wide + 0.1, end, 0.22),
    )
    t, starts = _between(actor, t, rhythm, low, high, 0.0)
    starts[-1] = t
    return _leave(actor, t), starts, "pull_ups"


def dips(actor: Actor, t: float) -> tuple[float, Starts, str]:
    """Between two bars, or with the hands on a bench behind; a repetition starts where the person is lowest."""
    rng, body = actor.rng, actor.body
    rhythm = _Rhythm(actor, 0.3, 1.2, (2, 14))
    bench = rng.random() < 0.3
    wide = rng.uniform(0.05, 0.2)
    end = rng.uniform(-0.62, -0.4)
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
        actor, pelvis=pelvis, feet=feet, lean=lean, hands=hand, elbows=(0.3, -0.2, -1.0), nod=rng.uniform(-0.1, 0.3)
    )
    actor.motion.to(t, 1.0, high)
    t += 1.0 + abs(rng.normal(0, 0.5))
    low = d.pose_of(
        actor,
        pelvis=(0, pelvis[1] - drop, 0.05),
        feet=lowered,
        lean=lean + (0.0 if bench else rng.uniform(0.1, 0.45)),
        hands=below,
        elbows=(0.25, 0.1, -1.0),
    )
    first, _, _ = rhythm.times(0)
    actor.motion.to(t, first, low)
    t, starts = _between(actor, t + first, rhythm, low, high, 0.1)
    actor.motion.to(t, 0.6, high)
    return _leave(actor, t + 0.6), starts, "dips"


def _leave(actor: Actor, t: float) -> float:
    """Down from a bar or up from a bench."""
    t = d.stand(actor, t + 0.2, pace(actor, 0.4, 0.9))
    return t + 0.2


SETS: dict[Callable[[Actor, float], tuple[float, Starts, str]], str] = {
    dips: "dips", pull_ups: "pull_ups", push_ups: "push_ups", squats: SQUATS,
}  # fmt: skip
"""The exercises, each with its label."""

"""Scripts of people in a room: daily life, and at times a fall."""

from __future__ import annotations

import math

import numpy as np

from streamrec.train.joints import daily, falls
from streamrec.train.joints import skeleton as sk
from streamrec.train.joints.actor import Actor
from streamrec.train.joints.camera import draw_room_camera
from streamrec.train.joints.scene import Scene

LABELS = (daily.NORMAL, daily.FALL, daily.LYING)


def write(rng: np.random.Generator, seconds: float, fit: str = "pad") -> Scene:
    """A scene of so many seconds; in two of five a person falls."""
    actor = _actor(rng)
    shares = daily.habits(rng)
    t = 0.0
    if rng.random() < 0.42:
        at = rng.uniform(0.08, 0.75) * seconds
        if rng.random() < 0.5:  # a short time before, so that the fall is in the scene
            t = daily.live_on(actor, t, max(0.0, at - 3.0), shares)
        else:
            t = daily.idle(actor, rng.uniform(0.0, 1.0))
        if not actor.seated and rng.random() < 0.35:
            t = actor.walk(t, rng.uniform(-1.2, 1.2, 2))
        t = falls.fall(actor, max(0.3, t))
    daily.live_on(actor, t, seconds, shares)
    actor.live(seconds)
    people, spans = [actor], actor.spans
    while rng.random() < 0.22 and len(people) < 4:
        people.append(_other(rng, seconds))
    camera = draw_room_camera(rng, stature=actor.body.stature, focus=_focus(actor, seconds, rng), fit=fit)
    desk = rng.uniform(0.25, 0.75) if rng.random() < 0.12 else None
    return Scene(people, camera, spans, desk)


def _focus(actor: Actor, seconds: float, rng: np.random.Generator) -> tuple[float, float]:
    """Where the actor falls, or else where they are at some time."""
    onsets = [start for start, end, name in actor.spans if name == daily.FALL and start < seconds]
    moment = onsets[0] + 0.8 if onsets else rng.uniform(0, seconds)
    hips = actor.joints(np.array((moment, 0.5 * seconds)))[:, 11:13].mean(1)
    at = hips[0] if onsets else 0.6 * hips[0] + 0.4 * hips[1]
    return float(at[0]), float(at[2])


def _actor(rng: np.random.Generator) -> Actor:
    actor = Actor.drawn(
        rng, seated=rng.random() < 0.25, children=0.08, yaw=float(rng.uniform(-math.pi, math.pi))
    )
    place = rng.normal(0, 0.5, 2)
    actor.motion.first[sk.ROOT] = actor.motion.now[sk.ROOT] = place
    return actor


def _other(rng: np.random.Generator, seconds: float) -> Actor:
    """Another person, who does what people do but does not lie down."""
    other = _actor(rng)
    other.motion.first[sk.ROOT] = other.motion.now[sk.ROOT] = rng.uniform(-1.6, 1.6, 2)
    shares = daily.habits(rng)
    acts = list(daily.ACTS)
    calm = np.array([0.0 if act in (daily.lie_down, daily.exercise) else 1.0 for act in acts]) * shares
    daily.live_on(other, 0.0, seconds, calm / calm.sum())
    other.live(seconds)
    return other

"""What people do before a camera all day, which means nothing: typing, scratching, talking with their hands."""

from __future__ import annotations

import numpy as np

from streamrec.train.joints import skeleton as sk
from streamrec.train.joints.actor import LEFT, RIGHT, Actor
from streamrec.train.joints.gestures import at_face, pace
from streamrec.train.joints.motion import along


def still(actor: Actor, t: float) -> float:
    """Hardly moves."""
    return t + pace(actor, 0.8, 4.0)


def type_away(actor: Actor, t: float) -> float:
    """Both hands on a keyboard, or one on a mouse or a phone."""
    rng = actor.rng
    hold = pace(actor, 1.5, 6.0)
    if actor.seated:
        places = [
            (rng.uniform(-0.15, 0.1), rng.uniform(-0.6, -0.45), rng.uniform(0.5, 0.7)) for _ in range(2)
        ]
    else:
        places = [(-0.15, rng.uniform(-0.5, -0.3), rng.uniform(0.4, 0.6))] * 2
    sides = (LEFT, RIGHT) if rng.random() < 0.7 else (actor.side(),)
    for side in sides:
        actor.hand(side, t, 0.7, places[side], elbow=(0.6, -0.8, -0.2))
        for _ in range(2):
            vector = along((sk.HANDS[side], rng.normal(0, (0.012, 0.005, 0.008))))
            actor.sway(t + 0.6, t + hold + 0.6, rng.uniform(1.5, 6.0), vector)
    actor.torso(t, 0.7, nod=rng.uniform(0.0, 0.4))
    return t + hold + 0.7


def shift(actor: Actor, t: float) -> float:
    """Another way to sit or stand, weight on the other leg."""
    rng = actor.rng
    seconds = pace(actor, 0.5, 1.8)
    if actor.seated:
        actor.torso(
            t, seconds, lean=rng.uniform(-0.28, 0.22), roll=rng.normal(0, 0.06), twist=rng.normal(0, 0.12)
        )
        bend = rng.uniform(0.0, 0.3)
        actor.torso(t, seconds, bend=bend, nod=-actor.now[sk.LEAN] - bend + rng.uniform(-0.05, 0.25))
        if rng.random() < 0.3:
            actor.turn(t, rng.normal(0, 0.3))
    else:
        actor.motion.to(t, seconds, rng.normal(0, 0.05), sk.PELVIS.start)
        actor.torso(
            t, seconds, roll=rng.normal(0, 0.05), side=rng.normal(0, 0.05), lean=rng.normal(0.02, 0.05)
        )
        if rng.random() < 0.3:
            actor.turn(t, rng.normal(0, 0.35))
    if rng.random() < 0.6:
        both = rng.random() < 0.6
        for side in (LEFT, RIGHT) if both else (actor.side(),):
            actor.rest(side, t, seconds)
    return t + seconds + pace(actor, 0.1, 1.5)


def glance_around(actor: Actor, t: float) -> float:
    """Turns the head, nods, shakes it, lowers it."""
    rng = actor.rng
    if rng.random() < 0.3:
        which, size = (sk.NOD, 0.12) if rng.random() < 0.6 else (sk.TURN, 0.25)
        end = t + rng.uniform(0.6, 2.0)
        actor.sway(t, end, rng.uniform(1.0, 2.5), along((which, size * rng.uniform(0.4, 1.2))), fade=0.3)
        return end + 0.2
    for _ in range(rng.integers(1, 4)):
        seconds = pace(actor, 0.25, 0.9)
        turn = float(np.clip(rng.normal(0, 0.55), -1.2, 1.2))
        actor.torso(t, seconds, turn=turn, nod=rng.normal(0.08, 0.18), twist=0.25 * turn * rng.uniform(0, 1))
        t += seconds + pace(actor, 0.2, 1.5)
    actor.torso(t, 0.5, turn=rng.normal(0, 0.1), nod=rng.normal(0.05, 0.1), twist=0.0)
    return t + 0.5


def touch_head(actor: Actor, t: float) -> float:
    """Scratches, adjusts glasses, wipes the nose, strokes the hair, coughs into a hand, props the chin."""
    rng, side = actor.rng, actor.side()
    rise, fall = pace(actor, 0.3, 0.8), pace(actor, 0.3, 0.9)
    hold, rub = pace(actor, 0.2, 1.6), 0.0
    place = np.array((0.0, 0.115, 0.14)) + rng.normal(0, (0.02, 0.015, 0.01))  # the nose
    kind = rng.choice(("scratch", "glasses", "nose", "hair", "chin", "cheek", "cough"))
    if kind == "scratch":
        place, rub = (
            np.array((rng.uniform(0.05, 0.1), rng.uniform(0.05, 0.24), rng.uniform(-0.06, 0.08))),
            0.03,
        )
    elif kind == "glasses":
        place, hold = np.array((rng.uniform(0.0, 0.08), 0.13, 0.13)), pace(actor, 0.2, 0.7)
    elif kind == "hair":
        place, rub = (
            np.array((rng.uniform(0.02, 0.1), rng.uniform(0.18, 0.26), rng.uniform(-0.08, 0.08))),
            0.02,
        )
    elif kind in ("chin", "cheek"):
        place = np.array((0.0 if kind == "chin" else 0.07, 0.0, 0.1))
        hold = pace(actor, 0.8, 6.0)
    elif rng.random() < 0.5:
        rub = 0.015
    wrist = (rng.uniform(0.01, 0.05), -rng.uniform(0.05, 0.1), rng.uniform(0.0, 0.04))  # from the fingers
    place = np.add(place, wrist)
    both = kind in ("glasses", "hair") and rng.random() < 0.25
    for one in (LEFT, RIGHT) if both else (side,):
        elbow = (rng.uniform(0.3, 1.0), -0.8, rng.uniform(-0.2, 0.5))
        actor.hand(one, t, rise, at_face(actor, one, place), elbow=elbow)
        if rub:
            vector = along((sk.HANDS[one], rng.normal(0, rub, 3)))
            actor.sway(t + rise, t + rise + hold, rng.uniform(2, 5), vector)
        actor.rest(one, t + rise + hold, fall)
    if rng.random() < 0.5:
        actor.torso(t, rise, nod=rng.normal(0.12, 0.15), tilt=rng.normal(0, 0.1))
        actor.torso(t + rise + hold, fall, nod=0.05, tilt=0.0)
    return t + rise + hold + fall


def talk(actor: Actor, t: float) -> float:
    """Speaks with small movements of the hands before the body."""
    rng = actor.rng
    end = t + pace(actor, 1.5, 7.0)
    sides = (LEFT, RIGHT) if rng.random() < 0.6 else (actor.side(),)
    size = rng.uniform(0.05, 0.22)
    middle = np.array((rng.uniform(-0.15, 0.25), rng.uniform(-0.65, -0.3), rng.uniform(0.4, 0.6)))
    while t < end:
        seconds = pace(actor, 0.25, 0.9)
        shared = rng.normal(0, size, 3) * (1, 1, 0.5)
        for side in sides:
            target = middle + shared + rng.normal(0, 0.5 * size, 3) * (1, 1, 0.5)
            actor.hand(side, t, seconds, target, elbow=(0.6, -0.8, -0.2))
        if rng.random() < 0.5:
            actor.torso(
                t, seconds, nod=rng.normal(0.05, 0.1), turn=rng.normal(0, 0.15), tilt=rng.normal(0, 0.06)
            )
        t += seconds * rng.uniform(0.8, 1.6)
    for side in sides:
        actor.rest(side, t, 0.6)
    return t + 0.6


def sign(actor: Actor, t: float) -> float:
    """Busy hands before chest and face, as of a person who signs."""
    rng = actor.rng
    end = t + pace(actor, 1.5, 7.0)
    main = actor.side()
    both = rng.random() < 0.65
    while t < end:
        seconds = pace(actor, 0.18, 0.6)
        place = np.array((rng.uniform(-0.4, 0.35), rng.uniform(-0.55, 0.2), rng.uniform(0.35, 0.65)))
        if rng.random() < 0.18:  # touches the face
            place = at_face(actor, main, np.array((rng.uniform(0, 0.08), rng.uniform(-0.04, 0.14), 0.14)))
        actor.hand(main, t, seconds, place, elbow=(0.7, -0.8, 0.0))
        if both:
            other = (
                place + rng.normal(0, 0.06, 3)
                if rng.random() < 0.5
                else (np.array((rng.uniform(-0.35, 0.2), rng.uniform(-0.6, -0.1), rng.uniform(0.4, 0.6))))
            )
            actor.hand(1 - main, t, seconds, other, elbow=(0.7, -0.8, 0.0))
        if rng.random() < 0.3:
            swung = along((sk.HANDS[main], rng.normal(0, 0.05, 3)))
            actor.sway(t + 0.5 * seconds, t + 2.2 * seconds, rng.uniform(2, 4.5), swung, fade=0.1)
            t += seconds
        t += seconds * rng.uniform(0.9, 1.7)
    for side in (LEFT, RIGHT):
        actor.rest(side, t, 0.6)
    return t + 0.6


def lean(actor: Actor, t: float) -> float:
    """Leans ahead to the screen, back, or aside, for a while."""
    rng = actor.rng
    seconds, hold = pace(actor, 0.5, 1.4), pace(actor, 0.4, 4.0)
    before = float(actor.now[sk.LEAN])
    forward = rng.uniform(0.15, 0.6) if rng.random() < 0.65 else -rng.uniform(0.1, 0.35)
    if not actor.seated:
        forward *= 0.6
    actor.torso(t, seconds, lean=forward, roll=rng.normal(0, 0.1), nod=-0.5 * forward)
    actor.torso(t + seconds + hold, seconds, lean=before, roll=0.0, nod=rng.normal(0.05, 0.1))
    return t + 2 * seconds + hold


def take(actor: Actor, t: float) -> float:
    """Reaches for something beside, in front or on a shelf, or for the camera itself, and comes back at once."""
    rng, side = actor.rng, actor.side()
    rise, hold, fall = pace(actor, 0.4, 1.0), pace(actor, 0.1, 0.6), pace(actor, 0.4, 1.0)
    way = np.array((rng.uniform(-0.4, 1.0), rng.uniform(-0.9, 0.25), rng.uniform(0.1, 1.0)))
    way *= rng.uniform(0.65, 0.98) / np.linalg.norm(way)
    actor.hand(side, t, rise, way)
    low = max(0.0, -way[1]) * rng.uniform(0.0, 0.5)
    sign_of = 1.0 if side == LEFT else -1.0
    before = actor.now[[sk.LEAN, sk.ROLL]].copy()
    actor.torso(
        t, rise, lean=before[0] + low, roll=sign_of * way[0] * rng.uniform(0, 0.3), nod=rng.normal(0.1, 0.1)
    )
    actor.torso(t + rise + hold, fall, lean=float(before[0]), roll=0.0, nod=rng.normal(0.05, 0.1))
    actor.rest(side, t + rise + hold, fall)
    return t + rise + hold + fall


def stretch(actor: Actor, t: float) -> float:
    """Hands behind the head or the neck, elbows out; or arms stretched ahead with the fingers linked."""
    rng = actor.rng
    rise, hold, fall = pace(actor, 0.5, 1.1), pace(actor, 0.5, 3.0), pace(actor, 0.5, 1.1)
    behind = rng.random() < 0.6
    for side in (LEFT, RIGHT):
        if behind:
            place = sk.face_point(actor.body, side, np.array((0.04, 0.1, -0.1)))
            actor.hand(side, t, rise, place, elbow=(1.0, 0.1, rng.uniform(-0.2, 0.5)), around=(0.5, 0.0, 0.4))
        else:
            actor.hand(side, t, rise, (-0.3, rng.uniform(-0.2, 0.1), 0.92), elbow=(0.8, -0.5, 0.0))
        actor.rest(side, t + rise + hold, fall)
    actor.torso(t, rise, bend=-0.08 if behind else 0.2)
    actor.torso(t + rise + hold, fall, bend=0.06)
    return t + rise + hold + fall


def glance_at_wrist(actor: Actor, t: float) -> float:
    """Glances at a watch or a phone in the hand."""
    rng, side = actor.rng, actor.side()
    rise, hold, fall = pace(actor, 0.4, 0.9), pace(actor, 0.5, 4.0), pace(actor, 0.4, 0.9)
    actor.hand(side, t, rise, (rng.uniform(-0.3, 0.1), rng.uniform(-0.4, -0.1), rng.uniform(0.4, 0.6)))
    actor.torso(t, rise, nod=rng.uniform(0.2, 0.5), turn=rng.normal(0, 0.15))
    actor.torso(t + rise + hold, fall, nod=rng.uniform(0.0, 0.1))
    actor.rest(side, t + rise + hold, fall)
    return t + rise + hold + fall


def step_about(actor: Actor, t: float) -> float:
    """A step or two to a side or ahead (standing only)."""
    rng = actor.rng
    if actor.seated:
        return shift(actor, t)
    place = actor.now[sk.ROOT] + rng.normal(0, 0.25, 2)
    place = np.clip(place, -0.4, 0.4)
    return actor.walk(t, place, speed=rng.uniform(0.4, 0.8), face=rng.normal(0, 0.25)) + 0.1


FIDGETS = {
    still: 0.2, type_away: 0.12, shift: 0.1, glance_around: 0.12, touch_head: 0.16, talk: 0.12, sign: 0.06, lean: 0.05,
    take: 0.08, stretch: 0.02, glance_at_wrist: 0.04, step_about: 0.03,
}  # fmt: skip
"""Each with its share."""


def fidget(actor: Actor, t: float, until: float, shares: np.ndarray | None = None) -> float:
    """One after the other, to about a time; ``shares`` replaces those of ``FIDGETS``."""
    acts = list(FIDGETS)
    weights = np.array(list(FIDGETS.values())) if shares is None else shares
    weights = weights / weights.sum()
    while t < until:
        t = acts[int(actor.rng.choice(len(acts), p=weights))](actor, t)
        t += abs(actor.rng.normal(0, 0.3))
    return t


def habits(rng: np.random.Generator) -> np.ndarray:
    """What one person does how often: shares for ``fidget``."""
    return np.array(list(FIDGETS.values())) * np.exp(rng.normal(0, 0.7, len(FIDGETS)))

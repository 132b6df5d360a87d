"""What one person does before a webcam: gestures that mean something, and all that means nothing.

A label begins when about a third of the way to a gesture is done and ends when the hands are half down again.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from streamrec.train.joints import skeleton as sk
from streamrec.train.joints.actor import LEFT, RIGHT, Actor
from streamrec.train.joints.motion import Oscillation, along

NOTHING = "nothing"
SQUAT = "squat"
LABELS = (
    NOTHING, "wave", "raise_one_hand", "raise_both_hands", "arms_out", "clap", "point", "drink", "phone", "sit_down",
    "stand_up", "walk_in", "walk_out", "jump", SQUAT,
)  # fmt: skip
ONSET, END = 0.35, 0.5  # parts of the way up and of the way back at which a label begins and ends

Act = Callable[[Actor, float], float]
"""Writes a movement that begins at a time, and returns when it is over."""


def pace(actor: Actor, low: float, high: float) -> float:
    """A random number between two, evenly on a logarithmic scale."""
    return float(np.exp(actor.rng.uniform(math.log(low), math.log(high))))


def wave(actor: Actor, t: float) -> float:
    """A hand swings from side to side: the forearm about the elbow, the whole arm, or hardly more than the hand."""
    rng = actor.rng
    sides = [LEFT, RIGHT] if rng.random() < 0.07 else [actor.side()]
    rise, fall = pace(actor, 0.3, 0.9), pace(actor, 0.3, 0.9)
    rate = pace(actor, 1.3, 4.0)
    swings = rng.uniform(2.0, 7.0)
    style = rng.choice(("forearm", "arm", "hand", "low"), p=(0.55, 0.25, 0.06, 0.14))
    if style == "forearm":
        place = (rng.uniform(-0.05, 0.45), rng.uniform(-0.15, 0.45), rng.uniform(0.1, 0.5))
        elbow, size = (rng.uniform(0.3, 0.9), -0.9, rng.uniform(-0.3, 0.4)), rng.uniform(0.09, 0.3)
    elif style == "arm":
        place = (rng.uniform(0.05, 0.55), rng.uniform(0.6, 0.9), rng.uniform(0.0, 0.35))
        elbow, size = (0.9, -0.2, 0.3), rng.uniform(0.14, 0.4)
    elif style == "hand":
        place = (rng.uniform(0.0, 0.3), rng.uniform(-0.1, 0.3), rng.uniform(0.2, 0.5))
        elbow, size = (0.5, -0.9, 0.0), rng.uniform(0.05, 0.09)
    else:  # before the chest or beside the hip
        place = (rng.uniform(0.0, 0.5), rng.uniform(-0.55, -0.15), rng.uniform(0.35, 0.65))
        elbow, size = (0.7, -0.7, -0.2), rng.uniform(0.1, 0.25)
    size = min(size, 0.6 / rate)
    hold = swings / rate
    begin = t + 0.75 * rise
    for side in sides:
        actor.hand(side, t, rise, place, elbow=elbow)
        first = sk.HANDS[side].start
        vector = along(
            (first, size), (first + 1, rng.uniform(-0.15, 0.1) * size), (first + 2, rng.normal(0, 0.2) * size)
        )
        shape = "sine" if rng.random() < 0.8 else "step"
        actor.sway(begin, begin + hold + 0.25, rate * rng.uniform(0.97, 1.03), vector, shape=shape, fade=0.25)
        up = along((first + 1, rng.uniform(0.1, 0.25) * size))
        actor.sway(begin, begin + hold + 0.25, 2 * rate, up, fade=0.25)
        if rng.random() < 0.3:  # the hand wanders while it waves
            actor.hand(side, begin, hold, np.array(place) + rng.normal(0, 0.08, 3), elbow=None)
        actor.rest(side, begin + hold, fall)
    if rng.random() < 0.4:
        actor.torso(t, rise, tilt=rng.normal(0, 0.12), side=rng.normal(0, 0.06))
        actor.torso(begin + hold, fall, tilt=0.0, side=0.0)
    actor.label(t + ONSET * rise, begin + hold + END * fall, "wave")
    return begin + hold + fall


def raise_one_hand(actor: Actor, t: float) -> float:
    """Up above the head and held."""
    rng, side = actor.rng, actor.side()
    rise, hold, fall = pace(actor, 0.4, 1.4), pace(actor, 0.5, 4.0), pace(actor, 0.4, 1.4)
    place = (rng.uniform(-0.05, 0.35), rng.uniform(0.72, 0.99), rng.uniform(-0.05, 0.35))
    elbow = (rng.uniform(0.5, 1.0), -0.2, rng.uniform(-0.2, 0.6))
    around = _way_up(rng, rng.uniform(0, 1))
    actor.hand(side, t, rise, place, elbow=elbow, around=around)
    actor.torso(t, rise, side=(1 if side == RIGHT else -1) * rng.uniform(0, 0.1), tilt=rng.normal(0, 0.05))
    if rng.random() < 0.3:
        actor.hand(side, t + rise, hold, np.array(place) + rng.normal(0, 0.05, 3), elbow=None)
    down = t + rise + hold
    actor.rest(side, down, fall, around=_way_up(rng, rng.uniform(0, 1)))
    actor.torso(down, fall, side=0.0, tilt=0.0)
    actor.label(t + ONSET * rise, down + END * fall, "raise_one_hand")
    return down + fall


def _way_up(rng: np.random.Generator, aside: float) -> tuple[float, float, float]:
    """A point on the way of a hand that is raised, from ahead (0) to the side (1), with a bent to a straight arm."""
    long = rng.uniform(0.6, 0.97)
    angle = aside * math.pi / 2
    return (long * math.sin(angle), rng.uniform(-0.15, 0.15), long * math.cos(angle))


def raise_both_hands(actor: Actor, t: float) -> float:
    """Both up above the head, mostly past the front of the body."""
    rng = actor.rng
    rise, hold, fall = pace(actor, 0.4, 1.4), pace(actor, 0.4, 3.0), pace(actor, 0.4, 1.4)
    wide, high = rng.uniform(-0.1, 0.5), rng.uniform(0.75, 0.99)
    aside = rng.uniform(0.0, 0.45)
    up, back = _way_up(rng, aside), _way_up(rng, rng.uniform(0.0, 0.45))
    down = t + rise + hold
    for side in (LEFT, RIGHT):
        lag = abs(rng.normal(0, 0.04))
        place = np.array((wide, high, rng.uniform(0.0, 0.25))) + rng.normal(0, 0.04, 3)
        actor.hand(side, t + lag, rise, place, elbow=(0.8, -0.2, rng.uniform(-0.2, 0.5)), around=up)
        actor.rest(side, down + lag, fall, around=back)
    actor.torso(t, rise, lean=actor.now[sk.LEAN] - rng.uniform(0, 0.06), nod=rng.normal(-0.05, 0.1))
    actor.label(t + ONSET * rise, down + END * fall, "raise_both_hands")
    return down + fall


def arms_out(actor: Actor, t: float) -> float:
    """Both arms stretched to the sides and held, or led on up above the head and back through the sides."""
    rng = actor.rng
    rise, fall = pace(actor, 0.5, 1.3), pace(actor, 0.5, 1.3)
    lift, ahead = rng.normal(0, 0.1), rng.uniform(-0.05, 0.25)
    up_too = rng.random() < 0.5
    middle = (0.86, -0.5, 0.12)
    out = np.array((0.97, lift, ahead))
    elbow = (0.1, -0.8, -0.6)
    hold = pace(actor, 0.5, 3.0)
    if up_too:
        hold = 0.0 if rng.random() < 0.6 else pace(actor, 0.2, 1.0)
        climb, top, sink = pace(actor, 0.5, 1.2), rng.uniform(0.0, 1.2), pace(actor, 0.5, 1.2)
    end = t
    for side in (LEFT, RIGHT):
        lag = abs(rng.normal(0, 0.03))
        place = out + rng.normal(0, 0.03, 3)
        actor.hand(side, t + lag, rise, place, elbow=elbow, around=middle)
        down = t + lag + rise + hold
        if up_too:
            over = (rng.uniform(-0.1, 0.25), rng.uniform(0.85, 0.98), ahead)
            corner = (0.72, 0.68, ahead)
            start = down - (0.35 * rise if hold == 0 else 0)  # through the sides without a stop
            actor.hand(side, start, climb, over, elbow=(0.8, -0.3, -0.2), around=corner)
            actor.hand(side, start + climb + top, sink, place, elbow=elbow, around=corner)
            down = start + climb + top + sink - 0.35 * sink
        actor.rest(side, down, fall, around=middle)
        end = down
    actor.label(t + ONSET * rise, end + END * fall, "arms_out")
    return end + fall


def clap(actor: Actor, t: float) -> float:
    """Hands meet again and again before the chest, seldom above the head."""
    rng = actor.rng
    rise, fall = pace(actor, 0.3, 0.8), pace(actor, 0.3, 0.9)
    rate = pace(actor, 1.6, 5.0)
    hold = max(0.7, rng.integers(3, 16) / rate)
    size = min(rng.uniform(0.06, 0.22), 0.45 / rate)
    half = actor.body.shoulders / actor.body.arm
    height = rng.uniform(0.5, 0.8) if rng.random() < 0.06 else rng.uniform(-0.55, 0.05)
    place = np.array((-half + 0.06 + size, height, rng.uniform(0.38, 0.65)))
    one = rng.random() < 0.25  # one hand strikes, the other stays
    for side in (LEFT, RIGHT):
        actor.hand(side, t, rise, place, elbow=(rng.uniform(0.5, 1.0), -0.7, -0.1))
        first = sk.HANDS[side].start
        much = size * (1.7 if side == RIGHT else 0.3) if one else size
        vector = along((first, much), (first + 1, rng.normal(0, 0.15) * much))
        actor.motion.swing(Oscillation(t + 0.7 * rise, t + rise + hold + 0.2, rate, vector, 1.57, 0.2, 0.2))
        actor.rest(side, t + rise + hold, fall)
    actor.label(t + 0.6 * rise, t + rise + hold + END * fall, "clap")
    return t + rise + hold + fall


def point(actor: Actor, t: float) -> float:
    """One arm stretched to the camera or to something beside, and held."""
    rng, side = actor.rng, actor.side()
    rise, hold, fall = pace(actor, 0.35, 1.0), pace(actor, 0.6, 3.0), pace(actor, 0.35, 1.0)
    kind = rng.random()
    if kind < 0.45:  # to the camera
        way = np.array((rng.normal(0, 0.2), rng.normal(-0.02, 0.15), 1.0))
    elif kind < 0.85:  # aside
        way = np.array((1.0, rng.normal(0.05, 0.2), rng.uniform(-0.1, 0.9)))
    else:  # across the body
        way = np.array((-0.6, rng.normal(0.0, 0.15), 0.8))
    place = way / np.linalg.norm(way) * rng.uniform(0.88, 0.99)
    actor.hand(side, t, rise, place, elbow=(0.5, -0.8, -0.2))
    sign = 1 if side == LEFT else -1
    actor.torso(t, rise, twist=-sign * rng.uniform(0, 0.2), turn=sign * way[0] * rng.uniform(0, 0.6))
    if rng.random() < 0.3:  # jabs at it
        jab = along((sk.HANDS[side], -0.08 * place))
        actor.sway(t + rise, t + rise + hold, rng.uniform(1, 2.5), jab)
    down = t + rise + hold
    actor.rest(side, down, fall)
    actor.torso(down, fall, twist=0.0, turn=rng.normal(0, 0.08))
    actor.label(t + ONSET * rise, down + END * fall, "point")
    return down + fall


def at_face(actor: Actor, side: int, point_of_head: np.ndarray) -> np.ndarray:
    """The target of a wrist that comes to a point of the head as it is held now."""
    turn, nod, tilt = (float(actor.now[channel]) for channel in (sk.TURN, sk.NOD, sk.TILT))
    sign = 1.0 if side == LEFT else -1.0
    x, y, z = point_of_head * (sign, 1, 1)
    y, z = y * math.cos(nod) - z * math.sin(nod), y * math.sin(nod) + z * math.cos(nod)
    x, z = x * math.cos(turn) + z * math.sin(turn), z * math.cos(turn) - x * math.sin(turn)
    x, y = x + y * math.sin(tilt), y - x * math.sin(tilt)
    return sk.face_point(actor.body, side, np.array((x * sign, y, z)))


def drink(actor: Actor, t: float) -> float:
    """Takes a cup, brings it to the mouth, tilts the head back, and puts it down."""
    rng, side = actor.rng, actor.side()
    grab, rise, hold, fall = (
        pace(actor, 0.4, 1.0), pace(actor, 0.5, 1.3), pace(actor, 1.0, 3.0), pace(actor, 0.5, 1.3),
    )  # fmt: skip
    table = np.array((rng.uniform(-0.15, 0.5), rng.uniform(-0.65, -0.35), rng.uniform(0.4, 0.7)))
    if rng.random() < 0.75:
        t = actor.hand(side, t, grab, table) + rng.uniform(0.0, 0.4)
    mouth = np.add(sk.MOUTH, (rng.uniform(0.02, 0.08), rng.uniform(-0.1, -0.03), rng.uniform(0.05, 0.11)))
    elbow = (rng.uniform(0.3, 1.0), rng.uniform(-0.9, -0.3), 0.1)
    back = rng.uniform(0.1, 0.5)
    actor.torso(t + 0.7 * rise, 0.3 * rise + 0.3 * hold, nod=actor.now[sk.NOD] - back)
    actor.hand(side, t, rise, at_face(actor, side, mouth), elbow=elbow)
    lift = np.array((0.0, rng.uniform(0.0, 0.07), 0.0))
    actor.hand(side, t + rise, 0.6 * hold, actor.now[sk.HANDS[side]] + lift, elbow=None)
    down = t + rise + hold
    actor.torso(down - 0.15 * hold, 0.6 * fall, nod=actor.now[sk.NOD] + back)
    if rng.random() < 0.75:
        end = actor.hand(side, down, fall, table + rng.normal(0, 0.05, 3))
        end = actor.rest(side, end, pace(actor, 0.4, 0.9))
    else:
        end = actor.rest(side, down, fall)
    actor.label(t + ONSET * rise, down + END * fall, "drink")
    return end


def phone(actor: Actor, t: float) -> float:
    """A hand held at the ear."""
    rng, side = actor.rng, actor.side()
    rise, hold, fall = pace(actor, 0.5, 1.4), pace(actor, 2.0, 9.0), pace(actor, 0.5, 1.2)
    sign = 1 if side == LEFT else -1
    actor.torso(
        t, rise, tilt=sign * rng.uniform(-0.02, 0.2), turn=rng.normal(0, 0.15), nod=rng.normal(0, 0.12)
    )
    ear = sk.FACE[3] + (rng.uniform(0.0, 0.04), rng.uniform(-0.11, -0.04), rng.uniform(0.0, 0.06))
    actor.hand(
        side, t, rise, at_face(actor, side, ear), elbow=(rng.uniform(0.3, 1.0), -0.8, rng.uniform(-0.2, 0.5))
    )
    now = t + rise
    while now < t + rise + hold - 1.0:
        length = rng.uniform(0.6, 2.0)
        if rng.random() < 0.4:
            actor.torso(now, length, turn=rng.normal(0, 0.25), nod=rng.normal(0, 0.12))
        elif rng.random() < 0.4:
            other = RIGHT if side == LEFT else LEFT
            actor.hand(other, now, min(length, 0.7), (rng.uniform(-0.1, 0.4), rng.uniform(-0.6, -0.2), 0.5))
            actor.rest(other, now + length, 0.6)
        now += length
    down = max(t + rise + hold, now)
    actor.rest(side, down, fall)
    actor.torso(down, fall, tilt=0.0, turn=rng.normal(0, 0.1))
    actor.label(t + ONSET * rise, down + END * fall, "phone")
    return down + fall


def sit_down(actor: Actor, t: float) -> float:
    """Onto a chair that stands behind."""
    seconds = pace(actor, 0.7, 2.0)
    end = actor.sit_down(t, seconds, plump=actor.rng.random() < 0.25)
    actor.label(t + 0.2 * seconds, t + 0.95 * seconds, "sit_down")
    return end + 0.1


def stand_up(actor: Actor, t: float) -> float:
    """From the chair."""
    seconds = pace(actor, 0.7, 2.0)
    end = actor.stand_up(t, seconds)
    actor.label(t + 0.2 * seconds, t + 0.95 * seconds, "stand_up")
    return end


def jump(actor: Actor, t: float) -> float:
    """One to five jumps, with both feet."""
    rng = actor.rng
    arms = rng.random() < 0.6
    start = t
    lean = float(actor.now[sk.LEAN])
    for _ in range(int(rng.choice((1, 2, 3, 4, 5), p=(0.45, 0.2, 0.15, 0.1, 0.1)))):
        dip = pace(actor, 0.18, 0.45)
        height = pace(actor, 0.08, 0.45)
        flight = 2 * math.sqrt(2 * height / 9.81)
        low = rng.uniform(0.7, 0.9)
        actor.motion.to(t, dip, low, sk.HIGH)
        actor.torso(t, dip, lean=rng.uniform(0.1, 0.45))
        for side in (LEFT, RIGHT):
            if arms:
                actor.hand(side, t, dip, (0.2, -0.8, -0.4))
                actor.hand(side, t + 0.8 * dip, 0.25, (0.3, rng.uniform(-0.2, 0.7), 0.5))
        push = rng.uniform(0.12, 0.22)
        up = t + dip + push
        actor.motion.to(t + dip, push, 0.99, sk.HIGH)
        actor.torso(t + dip, push, lean=lean)
        lift = height / actor.body.leg
        vector = along((sk.HIGH, lift), (sk.LEFT_FOOT.start + 1, lift), (sk.RIGHT_FOOT.start + 1, lift))
        actor.motion.swing(Oscillation(up, up + flight, 0.0, vector, shape="arc"))
        land = up + flight
        actor.motion.to(land - 0.03, 0.16, rng.uniform(0.8, 0.93), sk.HIGH)
        actor.motion.to(land + 0.14, 0.3, 0.985, sk.HIGH)
        t = land + rng.uniform(0.15, 0.5)
    for side in (LEFT, RIGHT):
        if arms:
            actor.rest(side, t - 0.2, 0.5)
    actor.label(start + 0.1, t, "jump")
    return t + 0.3


def squat(actor: Actor, t: float) -> float:
    """One to four knee bends."""
    rng = actor.rng
    start = t
    lean = float(actor.now[sk.LEAN])
    style = rng.choice(("ahead", "stay", "chest"), p=(0.5, 0.3, 0.2))
    down = up = 1.0
    for _ in range(int(rng.integers(1, 5))):
        down, up, pause = pace(actor, 0.5, 1.4), pace(actor, 0.4, 1.2), abs(rng.normal(0, 0.2))
        deep = rng.uniform(0.4, 0.68)
        place = np.array((0.0, deep, float(actor.now[sk.FEET[0]][2]) - 0.3 * (1 - deep)))
        back = actor.now[sk.PELVIS].copy()
        actor.motion.to(t, down, place, sk.PELVIS)
        actor.torso(t, down, lean=rng.uniform(0.35, 0.8), nod=-0.35)
        for knee in sk.KNEES:
            actor.motion.to(t, down, rng.uniform(0.1, 0.6), knee)
        for side in (LEFT, RIGHT):
            if style == "ahead":
                actor.hand(side, t, down, (rng.uniform(-0.1, 0.15), rng.uniform(0.2, 0.6), 0.8))
            elif style == "chest":
                actor.hand(side, t, down, (-0.2, -0.25, 0.4), elbow=(0.6, -0.8, 0.0))
        t += down + pause
        actor.motion.to(t, up, back, sk.PELVIS)
        actor.torso(t, up, lean=lean, nod=0.0)
        for side in (LEFT, RIGHT):
            if style == "ahead":
                actor.rest(side, t, up)
        t += up + abs(rng.normal(0, 0.25))
    for side in (LEFT, RIGHT):
        actor.rest(side, t - 0.2, 0.6)
    actor.label(start + 0.25 * down, t - 0.2 * up, SQUAT)
    return t + 0.3


def walk_out(actor: Actor, t: float, wide: float) -> float:
    """Out of the picture to a side; ``wide`` metres from the middle nothing is seen any more."""
    rng = actor.rng
    way = rng.choice((-1.0, 1.0)) * (wide + 0.5)
    end = actor.walk(t, (way, actor.now[1] + rng.normal(0, 0.3)))
    actor.label(t + 0.15, end, "walk_out")
    return end


def walk_in(actor: Actor, t: float) -> float:
    """From wherever the actor is to the middle, and faces the camera."""
    rng = actor.rng
    place = (rng.normal(0, 0.12), rng.normal(0, 0.1))
    end = actor.walk(t, place, face=rng.normal(0, 0.15))
    actor.label(t, end - 0.15, "walk_in")
    return end

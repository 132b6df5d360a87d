"""Falls: forwards, backwards, to a side, from walking, from a chair, and slow collapses; then lying still.

A body that topples is an inverted pendulum, and one whose legs give way drops as what falls freely does; arms are
flung out; the torso hits the floor after the hips.
"""

from __future__ import annotations

import numpy as np

from streamrec.train.joints import daily as d
from streamrec.train.joints import skeleton as sk
from streamrec.train.joints.actor import LEFT, RIGHT, Actor
from streamrec.train.joints.gestures import pace
from streamrec.train.joints.motion import (
    Ease,
    Oscillation,
    along,
    cruising,
    dropping,
    falling,
    toppling,
    toppling_along,
    toppling_down,
)

TORSO = [sk.LEAN, sk.ROLL, sk.SPIN, sk.BEND, sk.SIDE, sk.TWIST, sk.NOD, sk.TURN, sk.TILT]
ARMS = [*range(15, 27)]


def fall(actor: Actor, t: float) -> float:
    """Falls, lies for a while, and may get up; returns when the scene may go on (or never, if they stay down)."""
    rng = actor.rng
    if actor.seated:
        impact = _over_hands(actor, t) if rng.random() < 0.35 else _from_seat(actor, t)
    else:
        ways = (_forwards, _backwards, _aside, _trip, _collapse, _over_hands)
        impact = ways[int(rng.choice(6, p=(0.15, 0.25, 0.2, 0.13, 0.16, 0.11)))](actor, t)
    actor.seated = False
    lying_from = impact + rng.uniform(1.6, 2.4)
    actor.label(t, lying_from, d.FALL)
    stays = rng.random() < 0.75
    until = lying_from + (40.0 if stays else pace(actor, 0.7, 6.0))
    t = d.lie_about(actor, impact + 0.5, until, calm=rng.random() < 0.6)
    actor.label(lying_from, t, d.LYING)
    if stays:
        return t
    return d.get_up(actor, t, slow=rng.uniform(1.2, 2.0))


def _move(
    actor: Actor, t: float, seconds: float, pose: np.ndarray, where: int | list[int], ease: Ease
) -> None:
    target = actor.now.copy()
    target[where] = pose[where]
    actor.motion.to(t, seconds, target, ease=ease)


def _fling(actor: Actor, t: float, seconds: float, way: tuple[float, float, float]) -> None:
    """Arms are thrown out to catch the fall; of some, late or not at all."""
    rng = actor.rng
    if rng.random() < 0.15:
        return
    for side in (LEFT, RIGHT):
        delay = rng.uniform(0.02, 0.35) * seconds
        place = np.array(way) + rng.normal(0, 0.2, 3)
        actor.hand(side, t + delay, 0.5 * seconds, place, around=None)


def _settle(actor: Actor, impact: float, pose: np.ndarray) -> float:
    """Arms and head come to rest after the impact, with a small bounce."""
    rng = actor.rng
    _move(actor, impact - 0.12, rng.uniform(0.3, 0.7), pose, ARMS, dropping)
    bounce = along((sk.HIGH, rng.uniform(0.0, 0.03)), (sk.NOD, rng.normal(0, 0.15)))
    actor.motion.swing(Oscillation(impact, impact + rng.uniform(0.12, 0.25), 0.0, bounce, shape="arc"))
    actor.motion.to(impact + 0.1, 0.6, pose)
    return impact


def _over(actor: Actor, t: float, way: str, seconds: float) -> float:
    """Topples rigidly about the feet to "ahead", "back", "left" or "right"."""
    rng = actor.rng
    lies = {"ahead": "belly", "back": "back", "left": "left", "right": "right"}[way]
    pose = d.lying_pose(actor, lies)
    far = rng.uniform(0.6, 0.92)  # less than 1: knees give way a little
    along_x, along_z = {"ahead": (0, 1), "back": (0, -1), "left": (1, 0), "right": (-1, 0)}[way]
    pose[sk.PELVIS] = (along_x * far, pose[sk.HIGH], along_z * far)
    for side, foot in enumerate(sk.FEET):
        sign = 1 if side == LEFT else -1
        here = actor.now[foot].copy()
        high = 0.05 if way in ("ahead", "back") else pose[foot][1]
        pose[foot] = (here[0] * 0.9, high, here[2] + rng.normal(0, 0.05))
        if way in ("left", "right"):
            pose[foot][2] += rng.uniform(0, 0.25)
            pose[foot][0] = here[0] + sign * along_x * rng.uniform(0, 0.1)
        if way == "back":
            pose[foot][2] += rng.uniform(0.0, 0.25)
    for channel, ease in ((sk.HIGH, toppling_down), (3, toppling_along), (5, toppling_along)):
        _move(actor, t, seconds, pose, channel, ease)
    _move(actor, t, seconds * rng.uniform(0.96, 1.06), pose, TORSO, toppling)
    _move(actor, t + 0.5 * seconds, 0.5 * seconds, pose, [*range(27, 35)], falling)
    return _settle(actor, t + seconds, pose)


def _forwards(actor: Actor, t: float) -> float:
    if actor.rng.random() < 0.35:
        return _over_knees(actor, t, pace(actor, 0.6, 1.1))
    seconds = pace(actor, 0.75, 1.2)
    _fling(actor, t, seconds, (0.3, 0.3, 0.8))
    return _over(actor, t, "ahead", seconds)


def _over_knees(actor: Actor, t: float, seconds: float) -> float:
    """Down on the knees, then onto the face."""
    rng = actor.rng
    first = 0.6 * seconds
    feet = [(0.12, 0.05, -rng.uniform(0.2, 0.4))] * 2
    kneels = d.pose_of(actor, pelvis=(0, 0.48, 0.1), feet=feet, lean=rng.uniform(0.2, 0.6), bend=0.2)
    _move(actor, t, first, kneels, [*range(3, 10), *range(27, 35)], falling)
    _fling(actor, t, seconds, (0.3, 0.2, 0.8))
    pose = d.lying_pose(actor, "belly")
    pose[sk.PELVIS] = (rng.normal(0, 0.08), d.FLOOR, rng.uniform(0.4, 0.6))
    for foot in sk.FEET:
        pose[foot][2] += 0.5
    second = rng.uniform(0.35, 0.6)
    _move(actor, t + 0.85 * first, second, pose, [*range(3, 15), *range(27, 35)], falling)
    return _settle(actor, t + 0.85 * first + second, pose)


def _over_hands(actor: Actor, t: float) -> float:
    """Pitches forwards, also off a chair: caught by the hands, down on knees and elbows, then flat or on a side."""
    rng = actor.rng
    first, second, third = pace(actor, 0.35, 0.8), pace(actor, 0.2, 0.45), pace(actor, 0.3, 0.7)
    ahead = rng.uniform(0.15, 0.4) + (0.25 if actor.seated else 0.0)
    bent = d.pose_of(
        actor, pelvis=(0, rng.uniform(0.6, 0.75), ahead), lean=rng.uniform(1.0, 1.4), bend=0.3, nod=-0.3
    )
    _move(actor, t, first, bent, [3, 4, 5, sk.LEAN, sk.BEND, sk.NOD], falling)
    for side in (LEFT, RIGHT):
        actor.hand(
            side, t + 0.15 * first, 0.75 * first, (rng.uniform(0.0, 0.35), rng.uniform(-0.1, 0.4), 0.85)
        )
    t += 0.9 * first
    feet = [(0.12, 0.05, ahead - rng.uniform(0.3, 0.5)) for _ in range(2)]
    fours = d.pose_of(
        actor, pelvis=(0, rng.uniform(0.38, 0.48), ahead + 0.1), feet=feet, lean=1.35, bend=0.1, knees=0.1
    )
    _move(actor, t, second, fours, [*range(3, 10), *range(27, 35)], falling)
    t += 0.85 * second
    way = str(rng.choice(("belly", "left", "right"), p=(0.5, 0.25, 0.25)))
    pose = d.lying_pose(actor, way)
    pose[sk.PELVIS] += (0, 0, ahead + 0.3)
    for foot in sk.FEET:
        pose[foot][2] += ahead + 0.3
    if way != "belly":  # over on the side, with the head still ahead
        sign = 1.0 if way == "left" else -1.0
        pose[sk.LEAN], pose[sk.ROLL], pose[sk.SPIN] = 1.45, 0.0, sign * rng.uniform(1.0, 1.6)
        for foot, up in zip(sk.FEET, (0.02, 0.1) if way == "left" else (0.1, 0.02), strict=True):
            pose[foot] = (0.08, up, ahead + 0.3 - rng.uniform(0.6, 0.9))
    _move(actor, t, third, pose, [*range(3, 15), *range(27, 35)], falling)
    return _settle(actor, t + third, pose)


def _backwards(actor: Actor, t: float) -> float:
    rng = actor.rng
    seconds = pace(actor, 0.55, 1.1)
    _fling(actor, t, seconds, (rng.uniform(0.3, 0.8), rng.uniform(-0.4, 0.5), rng.uniform(-0.4, 0.6)))
    if rng.random() < 0.4:
        return _over(actor, t, "back", max(seconds, 0.75))
    # The hips hit first, then the back; feet fly up.
    pose = d.lying_pose(actor, "back")
    back = rng.uniform(0.3, 0.65)
    pose[sk.PELVIS][2] = -back
    for foot in sk.FEET:
        pose[foot][2] = rng.uniform(0.0, 0.25) + max(0.0, 0.55 - back)
    hips = 0.72 * seconds
    _move(actor, t, hips, pose, [*range(3, 6)], falling)
    sits = d.pose_of(actor, lean=-rng.uniform(0.3, 0.9), bend=rng.uniform(0.1, 0.4))
    _move(actor, t, hips, sits, [sk.LEAN, sk.BEND], falling)
    _move(actor, t + 0.9 * hips, 1.1 * seconds - 0.9 * hips, pose, TORSO, dropping)
    for foot in sk.FEET:
        kick = along((foot.start + 1, rng.uniform(0.0, 0.4)), (foot.start + 2, rng.uniform(0.0, 0.15)))
        actor.motion.swing(Oscillation(t + 0.4 * seconds, t + 1.5 * seconds, 0.0, kick, shape="arc"))
    _move(actor, t + 0.3 * seconds, 0.8 * seconds, pose, [*range(27, 35)], falling)
    return _settle(actor, t + seconds, pose)


def _aside(actor: Actor, t: float) -> float:
    seconds = pace(actor, 0.75, 1.2)
    _fling(actor, t, seconds, (0.7, 0.1, 0.2))
    return _over(actor, t, "left" if actor.rng.random() < 0.5 else "right", seconds)


def _trip(actor: Actor, t: float) -> float:
    """A foot is caught while walking; the body goes on."""
    rng = actor.rng
    speed = rng.uniform(0.5, 1.3)
    seconds = pace(actor, 0.7, 1.0)
    angle = float(actor.now[sk.YAW])
    ahead = actor.now[sk.ROOT] + 0.5 * speed * seconds * np.array((np.sin(angle), np.cos(angle)))
    actor.motion.to(t, 0.8 * seconds, ahead, sk.ROOT, cruising)
    foot = int(rng.integers(2))
    step = np.array((0.12, 0.0, rng.uniform(0.1, 0.35)))
    actor.motion.to(t, 0.35 * seconds, step, sk.FEET[foot])
    _fling(actor, t, seconds, (0.3, 0.35, 0.85))
    return _over(actor, t, "ahead", seconds)


def _collapse(actor: Actor, t: float) -> float:
    """Legs give way: down on the spot, then over to the back or a side; slow ones slide down."""
    rng = actor.rng
    slow = rng.random() < 0.5
    first = pace(actor, 0.9, 2.2) if slow else pace(actor, 0.4, 0.7)
    low = d.pose_of(
        actor,
        pelvis=(rng.normal(0, 0.08), rng.uniform(0.25, 0.4), rng.uniform(-0.2, 0.05)),
        lean=rng.uniform(0.0, 0.5),
        roll=rng.normal(0, 0.2),
        bend=rng.uniform(0.2, 0.5),
        nod=rng.uniform(0.2, 0.6),
        knees=rng.uniform(0, 0.4),
    )
    _move(actor, t, first, low, [*range(3, 15), 30, 34], falling if not slow else dropping)
    for side in (LEFT, RIGHT):
        actor.hand(side, t, first, (0.15, -0.85, 0.3))
    way = str(rng.choice(("left", "right", "back", "belly"), p=(0.35, 0.35, 0.2, 0.1)))
    pose = d.lying_pose(actor, way)
    aside = {"left": (0.35, 0), "right": (-0.35, 0), "back": (0, -0.2), "belly": (0, 0.3)}[way]
    pose[sk.PELVIS] += (aside[0], 0, aside[1])
    for number, foot in enumerate(sk.FEET):
        sign = 1 if number == 0 else -1
        pose[foot] += (sign * aside[0], 0, aside[1])
    second = rng.uniform(0.4, 0.7) * (1.4 if slow else 1.0)
    _move(actor, t + 0.8 * first, second, pose, [*range(3, 15), *range(27, 35)], falling)
    return _settle(actor, t + 0.8 * first + second, pose)


def _from_seat(actor: Actor, t: float) -> float:
    """Off a chair: to a side, forwards, or over backwards with it."""
    rng = actor.rng
    way = str(rng.choice(("left", "right", "belly", "back"), p=(0.32, 0.32, 0.2, 0.16)))
    seconds = pace(actor, 0.6, 1.3)
    pose = d.lying_pose(actor, way)
    shift = {"left": (0.45, 0.1), "right": (-0.45, 0.1), "belly": (0.0, 0.65), "back": (0.0, -0.25)}[way]
    pose[sk.PELVIS] += (shift[0], 0, shift[1])
    for number, foot in enumerate(sk.FEET):
        sign = 1 if number == 0 else -1
        if way == "back":  # the feet go up with the chair
            pose[foot] = (0.15, rng.uniform(0.1, 0.45), rng.uniform(0.1, 0.35))
        else:
            pose[foot] += (sign * shift[0], 0, shift[1])
    _fling(actor, t, seconds, (0.5, 0.2, 0.4))
    lead = d.pose_of(actor, lean=0.45 * pose[sk.LEAN] if way != "belly" else 0.9, roll=0.45 * pose[sk.ROLL])
    _move(actor, t, 0.6 * seconds, lead, [sk.LEAN, sk.ROLL], toppling)
    _move(actor, t + 0.3 * seconds, 0.7 * seconds, pose, [3, 4, 5], falling)
    _move(actor, t + 0.45 * seconds, 0.6 * seconds, pose, TORSO, falling)
    _move(actor, t + 0.3 * seconds, 0.8 * seconds, pose, [*range(27, 35)], falling)
    return _settle(actor, t + seconds, pose)

"""Daily life in a room: walking, sitting, bending, kneeling, lying down on purpose, exercise."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from streamrec.train.joints import gestures as g
from streamrec.train.joints import skeleton as sk
from streamrec.train.joints.actor import LEFT, RIGHT, SEAT, Actor
from streamrec.train.joints.fidgets import fidget
from streamrec.train.joints.gestures import pace
from streamrec.train.joints.motion import Oscillation, Where, along, dropping, falling, minimum_jerk

NORMAL, FALL, LYING = "normal", "fall", "lying"
FLOOR = 0.11  # height of the middle of the pelvis of a person who lies on the floor, leg lengths


_PAIRS: dict[str, tuple[Where, Where]] = {
    "feet": sk.FEET, "hands": sk.HANDS, "elbows": sk.ELBOWS, "knees": sk.KNEES,
}  # fmt: skip


def hanging(pitch: float, reach: float = 0.93, out: float = 0.05) -> tuple[float, float, float]:
    """The target of a hand that hangs straight down from a torso that is bent forwards by so many radians."""
    return (out, -reach * math.cos(pitch), reach * math.sin(pitch))


def pose_of(actor: Actor, **parts: Any) -> np.ndarray:
    """The pose to which the movement leads so far, with changes: ``pelvis``, ``feet``, ``hands``, ``elbows``, angles.

    ``feet``, ``hands`` and ``elbows`` are one place for both sides, or a pair.
    """
    pose = actor.now.copy()
    for name, value in parts.items():
        where = _PAIRS.get(name)
        if where is None:
            pose[getattr(sk, name.upper())] = value
            continue
        pair = np.broadcast_to(np.asarray(value, float), (2, 3) if name != "knees" else (2,))
        for channel, one in zip(where, pair, strict=True):
            pose[channel] = one
    return pose


def stand(actor: Actor, t: float, seconds: float) -> float:
    """Upright again, from a crouch, a bend or a kneel."""
    feet = [(0.12, 0, 0.0), (0.12, 0, 0.0)]
    pose = pose_of(
        actor,
        pelvis=(0, 0.985, 0),
        feet=feet,
        knees=0.0,
        lean=0.0,
        roll=0.0,
        spin=0.0,
        bend=0.04,
        side=0.0,
        nod=0.05,
    )
    actor.motion.to(t, seconds, pose)
    actor.seated = False
    for side in (LEFT, RIGHT):
        actor.rest(side, t, seconds)
    return t + seconds


def walk(actor: Actor, t: float) -> float:
    """To another place of the room, at times hurried, at times carrying something with both hands."""
    rng = actor.rng
    carries = rng.random() < 0.25
    if carries:
        for side in (LEFT, RIGHT):
            place = (rng.uniform(-0.2, 0.05), rng.uniform(-0.5, -0.25), rng.uniform(0.4, 0.6))
            actor.hand(side, t, 0.6, place)
        t += 0.4
    for _ in range(rng.integers(1, 4)):
        speed = rng.uniform(0.5, 1.3) if rng.random() < 0.8 else rng.uniform(1.3, 2.2)
        t = actor.walk(t, rng.uniform(-1.1, 1.1, 2), speed=speed, arms=not carries)
        t += abs(rng.normal(0, 0.4))
    if carries:
        for side in (LEFT, RIGHT):
            actor.rest(side, t, 0.7)
        t += 0.7
    return t


def idle(actor: Actor, t: float) -> float:
    """Stands or sits about, with what hands do."""
    return fidget(actor, t, t + pace(actor, 1.0, 5.0))


def sit(actor: Actor, t: float) -> float:
    """Sits down, slowly or plumping down, stays for a while, and gets up again."""
    rng = actor.rng
    fast = rng.random() < 0.4
    seconds = pace(actor, 0.45, 0.8) if fast else pace(actor, 0.8, 2.4)
    height = SEAT * rng.uniform(0.65, 1.1)  # from a low sofa to a chair
    t = actor.sit_down(t, seconds, height=height, plump=fast or rng.random() < 0.2)
    if rng.random() < 0.25:  # lies back in it
        actor.torso(t, 1.0, lean=-rng.uniform(0.4, 0.8), nod=0.3)
        t += 1.0
    t = fidget(actor, t, t + pace(actor, 1.5, 7.0))
    if rng.random() < 0.7:
        t = actor.stand_up(t, pace(actor, 0.7, 2.0))
    return t


def bend(actor: Actor, t: float) -> float:
    """Bends down to something: picks it up, ties a shoe, wipes the floor, searches below a table."""
    rng = actor.rng
    if actor.seated:
        return _bend_on_seat(actor, t)
    down, hold, up = pace(actor, 0.45, 1.5), pace(actor, 0.1, 3.5), pace(actor, 0.45, 1.5)
    lean, more = rng.uniform(0.4, 1.2), rng.uniform(0.2, 0.7)
    high = rng.uniform(0.55, 0.95)
    pitch = lean + more
    roll = rng.normal(0, 0.08)
    sides = (LEFT, RIGHT) if rng.random() < 0.5 else (actor.side(),)
    back = rng.uniform(0.05, 0.22)
    pose = pose_of(
        actor, pelvis=(0, high, -back), lean=lean, bend=more, roll=roll, nod=rng.uniform(-0.4, 0.2)
    )
    actor.motion.to(t, down, pose)
    for side in (LEFT, RIGHT):
        long = rng.uniform(0.75, 0.97) if side in sides else rng.uniform(0.5, 0.9)
        actor.hand(side, t, down, hanging(pitch, long, rng.uniform(-0.15, 0.15)))
        if side in sides and hold > 1.0:
            work = along((sk.HANDS[side], rng.normal(0, (0.06, 0.03, 0.03))))
            actor.sway(t + down, t + down + hold, rng.uniform(0.8, 2.5), work)
    return stand(actor, t + down + hold, up)


def _bend_on_seat(actor: Actor, t: float) -> float:
    rng = actor.rng
    down, hold, up = pace(actor, 0.5, 1.3), pace(actor, 0.5, 4.0), pace(actor, 0.5, 1.3)
    lean, more = rng.uniform(0.6, 1.0), rng.uniform(0.2, 0.5)
    before = actor.now.copy()
    actor.motion.to(t, down, pose_of(actor, lean=lean, bend=more, nod=0.0))
    for side in (LEFT, RIGHT):
        actor.hand(side, t, down, hanging(lean + more, rng.uniform(0.8, 0.97)))
        work = along((sk.HANDS[side], rng.normal(0, (0.04, 0.02, 0.02))))
        actor.sway(t + down, t + down + hold, rng.uniform(1.0, 3.0), work)
        actor.rest(side, t + down + hold, up)
    after = pose_of(actor, lean=before[sk.LEAN], bend=before[sk.BEND], nod=before[sk.NOD])
    actor.motion.to(t + down + hold, up, after)
    return t + down + hold + up


def crouch(actor: Actor, t: float) -> float:
    """Crouches or kneels on one or both knees, does something there, and gets up; some get down fast."""
    rng = actor.rng
    fast = rng.random() < 0.3
    down, up = pace(actor, 0.35, 0.7) if fast else pace(actor, 0.7, 1.8), pace(actor, 0.6, 1.8)
    hold = pace(actor, 0.3, 5.0)
    kind = rng.choice(("crouch", "half", "kneel", "fours"), p=(0.4, 0.25, 0.2, 0.15))
    lean = rng.uniform(0.2, 0.8)
    if kind == "crouch":
        pose = pose_of(
            actor, pelvis=(0, rng.uniform(0.26, 0.45), -0.12), lean=lean, bend=0.3, knees=rng.uniform(0, 0.7)
        )
    elif kind == "half":
        feet = [(0.12, 0.0, 0.2), (0.12, 0.04, -0.42)]
        pose = pose_of(
            actor, pelvis=(0, rng.uniform(0.35, 0.5), -0.05), feet=feet, lean=0.6 * lean, bend=0.2, knees=0.1
        )
    else:
        feet = [(0.12, 0.04, -0.44)] * 2
        pose = pose_of(actor, pelvis=(0, 0.5, 0.0), feet=feet, lean=0.4 * lean, bend=0.15, knees=0.1)
        if kind == "fours":
            lean = 1.3
            pose = pose_of(actor, pelvis=(0, 0.5, 0.0), feet=feet, lean=lean, bend=0.1, nod=-0.5, knees=0.1)
    if rng.random() < 0.5 and kind == "half":
        pose = np.where(np.isin(np.arange(sk.SIZE), (sk.YAW, 0, 1)), pose, sk.mirrored(pose))
    actor.motion.to(t, down, pose, ease=dropping if fast else minimum_jerk)
    pitch = float(pose[sk.LEAN] + pose[sk.BEND])
    for side in (LEFT, RIGHT):
        long = 0.97 if kind == "fours" else rng.uniform(0.5, 0.9)
        target = (0.05, 0.0, 0.95) if kind == "fours" else hanging(pitch + rng.uniform(0, 0.6), long)
        actor.hand(side, t, down, target)
        if hold > 1.0 and kind != "fours":
            work = along((sk.HANDS[side], rng.normal(0, (0.06, 0.04, 0.04))))
            actor.sway(t + down, t + down + hold, rng.uniform(0.8, 2.5), work)
    return stand(actor, t + down + hold, up)


# --- lying down and getting up -----------------------------------------------------------------------------------


def lying_pose(actor: Actor, way: str, bed: float = 0.0) -> np.ndarray:
    """A person who lies with the head ``way``: on the "back", the "belly", or on the "left" or "right" side.

    ``bed`` is the height of what they lie on, in leg lengths. The head is away from where they face for "back", ahead
    for "belly"; on a side it is at that side.
    """
    rng = actor.rng
    high = bed + FLOOR
    flat = 1.5 + rng.normal(0, 0.04)
    if way == "back":
        feet = [(rng.uniform(0.05, 0.25), bed + 0.02, rng.uniform(0.55, 0.97)) for _ in range(2)]
        hands = [_lying_hand(rng) for _ in range(2)]
        return pose_of(actor, pelvis=(0, high, 0), feet=feet, hands=hands, elbows=(1.0, -0.2, 0.15),
                       lean=-flat, roll=rng.normal(0, 0.08),
                       spin=0.0, bend=0.0, side=0.0, twist=0.0, nod=rng.uniform(0, 0.3), turn=rng.normal(0, 0.4),
                       tilt=0.0, knees=rng.uniform(0.0, 0.5))  # fmt: skip
    if way == "belly":
        feet = [(rng.uniform(0.05, 0.25), bed + 0.05, -rng.uniform(0.85, 0.98)) for _ in range(2)]
        hands = [(rng.uniform(0.2, 0.6), rng.uniform(-0.6, 0.7), rng.uniform(0.0, 0.2)) for _ in range(2)]
        return pose_of(actor, pelvis=(0, high, 0), feet=feet, hands=hands, elbows=(1.0, 0.0, 0.2), lean=flat,
                       roll=rng.normal(0, 0.08), spin=0.0, bend=0.0, side=0.0, twist=0.0, nod=-0.2,
                       turn=rng.choice((-1.0, 1.0)) * rng.uniform(0.3, 1.2), tilt=0.0, knees=0.1)  # fmt: skip
    long, ahead = rng.uniform(0.6, 0.95), rng.uniform(0.0, 0.45)
    feet = [(-long, bed + 0.02, ahead), (long + rng.normal(0, 0.05), bed + 0.14, ahead + rng.normal(0, 0.1))]
    hands = [(rng.uniform(-0.3, 0.0), rng.uniform(-0.5, 0.5), rng.uniform(0.4, 0.7)) for _ in range(2)]
    spin = rng.uniform(-0.5, 0.3)
    pose = pose_of(actor, pelvis=(0, high + 0.03, 0), feet=feet, hands=hands, elbows=(0.0, -0.4, 1.0),
                   lean=0.0, roll=flat - 0.08, spin=spin,
                   bend=rng.uniform(0, 0.3), side=0.0, twist=0.0, nod=0.1, turn=0.0, tilt=-0.2, knees=0.0)  # fmt: skip
    if way == "right":
        pose = _turned_over(pose)
    return pose


def _turned_over(pose: np.ndarray) -> np.ndarray:
    """The mirrored pose at the same place with the same heading."""
    other = sk.mirrored(pose)
    other[[0, 1, sk.YAW]] = pose[[0, 1, sk.YAW]]
    return other


def _lying_hand(rng: np.random.Generator) -> tuple[float, float, float]:
    kind = rng.random()
    if kind < 0.5:  # beside the body
        return (rng.uniform(0.15, 0.5), rng.uniform(-0.95, -0.7), rng.uniform(-0.05, 0.1))
    if kind < 0.8:  # on the belly or the chest
        return (-0.2, rng.uniform(-0.7, -0.35), 0.3)
    return (rng.uniform(0.2, 0.7), rng.uniform(0.3, 0.8), rng.uniform(-0.1, 0.15))  # beside the head


def lie_down(actor: Actor, t: float) -> float:
    """Lies down on purpose on the floor or a bed, in several ways, stays for a while and gets up."""
    rng = actor.rng
    quick = 1.0 if rng.random() < 0.6 else rng.uniform(0.5, 0.75)
    if rng.random() < 0.55:
        t, bed = _to_bed(actor, t, quick), 1.0
    else:
        t, bed = _to_floor(actor, t, quick), 0.0
    start = t - 0.2
    hold = pace(actor, 2.0, 9.0)
    t = lie_about(actor, t, t + hold)
    actor.label(start, t, LYING)
    return get_up(actor, t, on_bed=bool(bed))


def _to_bed(actor: Actor, t: float, quick: float) -> float:
    rng = actor.rng
    bed = rng.uniform(0.38, 0.56)
    seconds = quick * pace(actor, 0.7, 1.6)
    if not actor.seated:
        t = actor.sit_down(t, seconds, height=bed + 0.06, plump=quick < 1)
        t += abs(rng.normal(0, 0.6)) if quick == 1 else 0.0
    high = float(actor.now[sk.HIGH]) - FLOOR
    seconds = quick * pace(actor, 0.9, 2.0)
    side = "left" if rng.random() < 0.5 else "right"
    pose = lying_pose(actor, side, high)
    if rng.random() < 0.65:  # onto the back, lengthwise
        sign = 1.0 if side == "left" else -1.0
        pose[sk.SPIN] = -sign * (math.pi / 2 + rng.normal(0, 0.1))
        pose[sk.BEND] = 0.0
        for number, foot in enumerate(sk.FEET):
            pose[foot] = (pose[foot][0], high + 0.02, (1 if number else -1) * sign * -0.1)
            pose[sk.HANDS[number]] = _lying_hand(rng)
            pose[sk.ELBOWS[number]] = (1.0, -0.2, 0.15)
        pose[list(sk.KNEES)] = 0.0
    torso = [sk.LEAN, sk.ROLL, sk.BEND, sk.SIDE, sk.TWIST, sk.NOD, sk.TURN, sk.TILT]
    hands = [*range(15, 27)]
    feet = [*range(27, 35), *range(3, 6), sk.SPIN]
    for where, delay, part in ((torso, 0.0, 0.8), (feet, 0.25, 0.75), (hands, 0.1, 0.8)):
        target = actor.now.copy()
        target[where] = pose[where]
        actor.motion.to(t + delay * seconds, part * seconds, target)
    return t + seconds


def _to_floor(actor: Actor, t: float, quick: float) -> float:
    rng = actor.rng
    if actor.seated:
        t = actor.stand_up(t, 1.0)
    way = rng.choice(("back", "belly", "left", "right"), p=(0.5, 0.2, 0.15, 0.15))
    first, second, third = (max(quick, 0.75) * pace(actor, 0.7, 1.5) for _ in range(3))
    if way == "belly":
        feet = [(0.12, 0.04, -0.5)] * 2
        actor.motion.to(
            t, first, pose_of(actor, pelvis=(0, 0.5, 0.05), feet=feet, lean=0.4, hands=hanging(0.6, 0.8))
        )
        fours = pose_of(actor, pelvis=(0, 0.45, 0.1), lean=1.35, nod=-0.4, hands=(0.1, 0.1, 0.9))
        actor.motion.to(t + 0.9 * first, second, fours)
        pose = lying_pose(actor, way)
        pose[sk.PELVIS][2] = 0.4
        for foot in sk.FEET:
            pose[foot][2] += 0.4
    else:
        low = pose_of(actor, pelvis=(0, 0.35, -0.15), lean=0.6, bend=0.3, hands=(0.35, -0.8, -0.1), knees=0.2)
        actor.motion.to(t, first, low)
        feet = [(0.15, 0.0, 0.45)] * 2
        sits = pose_of(
            actor, pelvis=(0, FLOOR + 0.01, -0.2), feet=feet, lean=-0.2, bend=0.2, hands=(0.35, -0.75, -0.4)
        )
        actor.motion.to(t + 0.9 * first, second, sits)
        pose = lying_pose(actor, way)
        if way == "back":
            pose[sk.PELVIS][2] -= 0.15
    actor.motion.to(t + 0.9 * (first + second), third, pose)
    return t + 0.9 * (first + second) + third


def lie_about(actor: Actor, t: float, until: float, *, calm: bool = False) -> float:
    """Lies still, or moves an arm, a leg or the head at times."""
    rng = actor.rng
    while t < until:
        t += pace(actor, 1.0, 4.0)
        if calm or t > until - 1.0 or rng.random() < 0.4:
            continue
        seconds = pace(actor, 0.6, 1.8)
        kind = rng.random()
        if kind < 0.45:
            side = actor.side()
            actor.hand(side, t, seconds, actor.now[sk.HANDS[side]] + rng.normal(0, 0.2, 3), elbow=None)
        elif kind < 0.75:
            actor.torso(t, seconds, turn=rng.normal(0, 0.5))
        else:
            foot = sk.FEET[rng.integers(2)]
            place = actor.now[foot] * (1, 1, rng.uniform(0.6, 1.0)) * (rng.uniform(0.7, 1.0), 1, 1)
            actor.motion.to(t, seconds, place, foot)
        t += seconds
    return max(t, until)


def get_up(actor: Actor, t: float, *, on_bed: bool = False, slow: float = 1.0) -> float:
    """From lying to standing, over sitting or over all fours."""
    rng = actor.rng
    first, second, third = (slow * pace(actor, 0.7, 1.6) for _ in range(3))
    if on_bed:
        high = float(actor.now[sk.HIGH])
        feet = [(0.15, 0.0, 0.42)] * 2
        sits = pose_of(actor, pelvis=(0, high, 0), feet=feet, hands=(0.15, -0.75, 0.3), elbows=sk.ELBOW_DOWN, lean=0.1,
                       roll=0.0, spin=0.0, bend=0.2, side=0.0, twist=0.0, nod=0.1, turn=0.0, tilt=0.0,
                       knees=0.1)  # fmt: skip
        actor.motion.to(t, first, sits)
        actor.seated = True
        return actor.stand_up(t + first + abs(rng.normal(0, 1.0)), second)
    if actor.now[sk.LEAN] < -0.7:
        there = float(actor.now[sk.PELVIS][2])
        feet = [(0.15, 0.0, there + 0.42)] * 2
        sits = pose_of(
            actor, feet=feet, hands=(0.35, -0.75, -0.4), lean=-0.15, bend=0.3, nod=0.0, turn=0.0, knees=0.2
        )
        actor.motion.to(t, first, sits)
        place = (0, 0.3, there + 0.3)
        low = pose_of(actor, pelvis=place, lean=0.7, bend=0.3, hands=hanging(1.2, 0.7, 0.2))
        actor.motion.to(t + 0.9 * first, second, low)
    else:
        here = actor.now[sk.PELVIS].copy()
        feet = [(0.12 + sign * here[0], 0.04, here[2] - 0.44) for sign in (1, -1)]
        fours = pose_of(actor, pelvis=(here[0], 0.48, here[2]), feet=feet, hands=(0.1, 0.1, 0.9), lean=1.25, roll=0.0,
                        elbows=sk.ELBOW_DOWN, spin=0.0, bend=0.1, side=0.0, nod=-0.4, turn=0.0, tilt=0.0,
                        knees=0.1)  # fmt: skip
        actor.motion.to(t, first, fours)
        feet = [(0.12 + sign * here[0], 0.0, here[2] - 0.05) for sign in (1, -1)]
        low = pose_of(
            actor, pelvis=(here[0], 0.42, here[2] - 0.1), feet=feet, lean=0.7, hands=hanging(0.9, 0.6, 0.1)
        )
        actor.motion.to(t + 0.9 * first, second, low)
    t += 0.9 * (first + second)
    actor.rebase(t)
    return stand(actor, t, third)


# --- exercise ------------------------------------------------------------------------------------------------------


def exercise(actor: Actor, t: float) -> float:
    """A few repetitions, or a pose held."""
    if actor.seated:
        t = actor.stand_up(t, 1.0)
    ways = (_squats, _push_ups, sit_ups, jumping_jacks, warrior, tree, dog, stretch, jumps)
    return ways[int(actor.rng.integers(len(ways)))](actor, t)


def _unlabelled(actor: Actor, act: Callable[[Actor, float], float], t: float) -> float:
    kept = list(actor.spans)
    t = act(actor, t)
    actor.spans[:] = kept
    return t


def _squats(actor: Actor, t: float) -> float:
    return _unlabelled(actor, g.squat, t)


def jumps(actor: Actor, t: float) -> float:
    """A few jumps."""
    return _unlabelled(actor, g.jump, t)


def stretch(actor: Actor, t: float) -> float:
    """Arms up or out, and a bend to a side."""
    t = _unlabelled(actor, g.raise_both_hands if actor.rng.random() < 0.6 else g.arms_out, t)
    aside = actor.rng.uniform(-0.5, 0.5)
    actor.torso(t, 0.8, side=aside, roll=0.3 * aside)
    actor.torso(t + 1.4, 0.8, side=0.0, roll=0.0)
    return t + 2.2


def _push_ups(actor: Actor, t: float) -> float:
    rng = actor.rng
    down = pace(actor, 1.2, 2.2)
    feet = [(0.1, 0.03, -0.55)] * 2
    low = pose_of(actor, pelvis=(0, 0.4, 0.05), lean=1.2, bend=0.2, hands=(0.1, 0.1, 0.9), nod=-0.4)
    actor.motion.to(t, 0.6 * down, low)
    plank = pose_of(
        actor, pelvis=(0, 0.36, 0.32), feet=feet, lean=1.22, bend=0.0, hands=(0.12, 0.05, 0.96), nod=-0.3
    )
    actor.motion.to(t + 0.5 * down, 0.5 * down, plank)
    t += down
    for _ in range(rng.integers(2, 8)):
        seconds = pace(actor, 0.4, 1.0)
        sunk = pose_of(actor, pelvis=(0, 0.2, 0.34), lean=1.42, hands=(0.35, -0.05, 0.42))
        actor.motion.to(t, seconds, sunk)
        actor.motion.to(t + seconds, seconds, plank)
        t += 2 * seconds + abs(rng.normal(0, 0.15))
    crouched = pose_of(actor, pelvis=(0, 0.35, -0.1), feet=(0.12, 0, 0), lean=0.8, hands=hanging(1.0, 0.8))
    actor.motion.to(t, 0.8, crouched)
    return stand(actor, t + 0.8, 0.9)


def sit_ups(actor: Actor, t: float) -> float:
    """From lying on the back, with bent knees."""
    rng = actor.rng
    low = pose_of(actor, pelvis=(0, 0.35, -0.15), lean=0.5, bend=0.3, hands=(0.35, -0.8, -0.1))
    actor.motion.to(t, 0.9, low)
    feet = [(0.12, 0.0, 0.3)] * 2
    up = pose_of(
        actor, pelvis=(0, FLOOR, -0.2), feet=feet, lean=-0.15, bend=0.5, nod=0.2, hands=(-0.05, 0.2, 0.35)
    )
    actor.motion.to(t + 0.9, 0.9, up)
    t += 1.8
    back = pose_of(actor, lean=-1.45, bend=0.0, nod=0.1)
    start = t
    for _ in range(rng.integers(2, 7)):
        seconds = pace(actor, 0.6, 1.2)
        actor.motion.to(t, seconds, back)
        actor.motion.to(t + seconds, seconds, up)
        t += 2 * seconds
    actor.label(start, t, NORMAL)
    return get_up(actor, t)


def jumping_jacks(actor: Actor, t: float) -> float:
    """Arms and legs out and in, with jumps."""
    rng = actor.rng
    rate, count = rng.uniform(0.8, 1.6), rng.integers(3, 10)
    end = t + count / rate
    for side in (LEFT, RIGHT):
        actor.hand(side, t, 0.4, (0.55, 0.0, 0.05), elbow=(0.3, -0.6, -0.6))
        hand, foot = sk.HANDS[side].start, sk.FEET[side].start
        vector = along((hand + 1, 0.85), (foot, 0.13))
        actor.motion.swing(Oscillation(t, end, rate, vector, -1.57, 0.3))
        actor.motion.swing(Oscillation(t, end, 2 * rate, along((hand, 0.3)), -1.57, 0.3))
        actor.motion.swing(Oscillation(t, end, 2 * rate, along((foot + 1, 0.06)), 0.0, 0.2, 0.0, "half"))
        actor.motion.to(t, 0.3, actor.now[foot] + 0.1, foot)
        actor.motion.to(end, 0.3, 0.12, foot)
        actor.rest(side, end, 0.6)
    actor.motion.swing(Oscillation(t, end, 2 * rate, along((sk.HIGH, 0.04)), 0.0, 0.2))
    return end + 0.6


def warrior(actor: Actor, t: float) -> float:
    """The warrior pose of yoga."""
    rng = actor.rng
    seconds, hold = pace(actor, 0.8, 1.6), pace(actor, 1.5, 5.0)
    feet = [(rng.uniform(0.5, 0.65), 0, 0), (rng.uniform(0.5, 0.65), 0, 0)]
    pose = pose_of(actor, pelvis=(0.2, rng.uniform(0.68, 0.8), 0), feet=feet, knees=(0.9, 0.3), hands=(0.98, 0.02, 0.0),
                   turn=rng.uniform(0.3, 1.2), elbows=(0.1, -0.8, -0.6))  # fmt: skip
    if rng.random() < 0.5:
        pose = _turned_over(pose)
    actor.motion.to(t, seconds, pose)
    return stand(actor, t + seconds + hold, seconds)


def tree(actor: Actor, t: float) -> float:
    """The tree pose of yoga."""
    seconds, hold = pace(actor, 0.8, 1.6), pace(actor, 1.5, 5.0)
    feet = [(0.03, 0, 0), (0.0, 0.42, 0.02)]
    hands = (-0.28, 0.85, 0.1) if actor.rng.random() < 0.5 else (-0.28, -0.2, 0.45)
    pose = pose_of(
        actor, pelvis=(0.02, 0.985, 0), feet=feet, knees=(0.0, 3.0), hands=hands, elbows=(0.9, -0.3, 0.0)
    )
    if actor.rng.random() < 0.5:
        pose = _turned_over(pose)
    actor.motion.to(t, seconds, pose)
    return stand(actor, t + seconds + hold, seconds)


def dog(actor: Actor, t: float) -> float:
    """The downward dog of yoga."""
    seconds, hold = pace(actor, 1.0, 2.0), pace(actor, 1.5, 5.0)
    actor.motion.to(t, 0.6 * seconds, pose_of(actor, lean=1.1, bend=0.5, hands=hanging(1.5, 0.9)))
    pose = pose_of(
        actor,
        pelvis=(0, 0.72, 0.25),
        feet=(0.12, 0, -0.3),
        lean=2.1,
        bend=0.1,
        hands=(0.0, 0.9, 0.3),
        nod=-0.2,
    )
    actor.motion.to(t + 0.5 * seconds, seconds, pose)
    t += 1.5 * seconds + hold
    actor.motion.to(
        t, 0.6 * seconds, pose_of(actor, pelvis=(0, 0.8, 0), feet=(0.12, 0, 0), lean=1.0, hands=hanging(1.0))
    )
    return stand(actor, t + 0.5 * seconds, seconds)


def stumble(actor: Actor, t: float) -> float:
    """Trips or sways, catches themselves, and goes on: no fall."""
    rng = actor.rng
    if actor.seated:
        return idle(actor, t)
    lean = rng.uniform(0.3, 0.7)
    actor.motion.to(t, 0.3, pose_of(actor, pelvis=(0, rng.uniform(0.8, 0.92), 0.15), lean=lean), ease=falling)
    for side in (LEFT, RIGHT):
        fling = (rng.uniform(0.2, 0.8), rng.uniform(-0.6, 0.2), rng.uniform(0.2, 0.7))
        actor.hand(side, t + 0.08, 0.3, fling)
    foot = int(rng.integers(2))
    actor.motion.to(t + 0.12, 0.25, np.array((0.14, 0.0, rng.uniform(0.3, 0.55))), sk.FEET[foot])
    actor.motion.swing(Oscillation(t + 0.12, t + 0.37, 0, along((sk.FEET[foot].start + 1, 0.1)), shape="arc"))
    t += 0.4 + rng.uniform(0.0, 0.3)
    actor.rebase(t)
    return stand(actor, t, pace(actor, 0.5, 1.0))


ACTS: dict[Callable[[Actor, float], float], float] = {
    walk: 0.24, idle: 0.14, sit: 0.16, bend: 0.13, crouch: 0.1, lie_down: 0.12, exercise: 0.08, stumble: 0.03,
}  # fmt: skip
"""Each with its share."""


def live_on(actor: Actor, t: float, until: float, shares: np.ndarray) -> float:
    """Daily life up to about a time."""
    acts = list(ACTS)
    while t < until:
        act = acts[int(actor.rng.choice(len(acts), p=shares))]
        if actor.seated and act in (walk, crouch, stumble):
            t = actor.stand_up(t, pace(actor, 0.7, 1.8))
        t = act(actor, t) + abs(actor.rng.normal(0, 0.3))
    return t


def habits(rng: np.random.Generator, without: Sequence[Callable[[Actor, float], float]] = ()) -> np.ndarray:
    """What one person does how often: shares for ``live_on``; ``without``: what they never do."""
    shares = np.array(list(ACTS.values())) * np.exp(rng.normal(0, 0.6, len(ACTS)))
    shares *= [act not in without for act in ACTS]
    return shares / shares.sum()

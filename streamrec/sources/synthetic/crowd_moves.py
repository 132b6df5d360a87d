"""Moves of dolls: each function changes the poses (T, SIZE) of a motion, for all samples at once."""

from __future__ import annotations

import math

import numpy as np

from streamrec.sources.synthetic.crowd import (
    ANKLE,
    KNEES,
    LEFT_FOOT,
    LEFT_HAND,
    LEG,
    NOD,
    PELVIS,
    PITCH,
    RATE,
    RIGHT_FOOT,
    RIGHT_HAND,
    ROLL,
    SIZE,
    SPINE,
    TURN,
    TWIST,
    ease,
    torso,
    toward,
    wander,
)

HANDS = (LEFT_HAND, RIGHT_HAND)
FEET = (LEFT_FOOT, RIGHT_FOOT)


def breathe(rng: np.random.Generator, pose: np.ndarray, t: np.ndarray, much: float = 1.0) -> None:
    """Small irregular movements, as everybody who stands makes them."""
    pose[:, 0] += 0.012 * much * wander(rng, t, 0.25)
    pose[:, PITCH] += 0.03 * much * wander(rng, t, 0.3)
    pose[:, ROLL] += 0.02 * much * wander(rng, t, 0.3)
    pose[:, TWIST] += 0.12 * much * wander(rng, t, 0.25)
    pose[:, NOD] += 0.12 * much * wander(rng, t, 0.3)
    pose[:, TURN] += 0.4 * much * wander(rng, t, 0.25)
    for hand in HANDS:
        pose[:, hand] += 0.015 * much * np.stack([wander(rng, t, 0.4) for _ in range(3)], 1)


def step(pose: np.ndarray, place: np.ndarray, height: float = 1.7, *, arms: bool = True) -> None:
    """Legs (and arms) that go the way the doll goes, from a shuffle to a run."""
    speed = np.gradient(place[:, :2], axis=0) * RATE / height
    c, s = np.cos(place[:, 2]), np.sin(place[:, 2])
    side, ahead = c * speed[:, 0] - s * speed[:, 1], s * speed[:, 0] + c * speed[:, 1]
    pace = np.hypot(side, ahead)
    goes = ease(pace / 0.25)
    stride = np.clip(0.06 + 0.125 * pace, 0.0, 0.3)
    phase = np.cumsum(pace / (4 * stride)) / RATE
    way = np.stack((side, np.zeros_like(side), ahead), 1) / (pace[:, None] + 1e-6)
    run = ease((pace - 1.2) / 0.8)
    for k, (foot, hand) in enumerate(((LEFT_FOOT, RIGHT_HAND), (RIGHT_FOOT, LEFT_HAND))):
        cycle = (phase + 0.5 * k) % 1.0
        swing = np.clip(cycle * 2 - 1, 0, 1)
        forward = np.where(cycle < 0.5, 1 - 4 * cycle, -np.cos(math.pi * swing))
        lift = np.sin(math.pi * swing)
        pose[:, foot] += way * (stride * goes * forward)[:, None]
        pose[:, foot.start + 1] += lift * goes * stride * (0.3 + 0.6 * run)
        pose[:, foot.start + 2] -= 0.06 * run * lift
        if arms:
            swings = np.cos(2 * math.pi * cycle) * goes * (0.05 + 0.3 * stride + 0.05 * run)
            pose[:, hand.start + 2] += swings + 0.06 * run
            pose[:, hand.start + 1] += 0.13 * run + 0.2 * np.abs(swings)
    low = np.sqrt(LEG**2 - np.minimum(stride * goes, 0.25) ** 2)
    pose[:, 1] -= 0.5 * (LEG - low) * (1 + np.cos(4 * math.pi * phase)) * (1 - 0.5 * run)
    pose[:, 1] -= 0.02 * run
    pose[:, PITCH] += 0.05 * goes + 0.16 * run
    pose[:, TWIST] += 0.12 * goes * np.cos(2 * math.pi * phase)


def pulse(t: np.ndarray, at: float, rise: float, fall: float, hold: float = 0.0) -> np.ndarray:
    """0 to 1 and back, smooth: out within ``rise`` seconds, back within ``fall``."""
    return ease((t - at) / rise) * (1 - ease((t - at - rise - hold) / fall))


def gesture(rng: np.random.Generator, pose: np.ndarray, t: np.ndarray, much: float = 1.0) -> None:
    """Talks with the hands: slow, now and then."""
    for sign, hand in zip((1, -1), HANDS, strict=True):
        if rng.random() < 0.75:
            share = ease(wander(rng, t, 0.25) * 2 + rng.uniform(-0.5, 1.0))
            moves = np.stack([wander(rng, t, rng.uniform(0.5, 1.2)) for _ in range(3)], 1)
            target = np.array((sign * 0.12, -0.12, 0.2)) + 0.09 * much * moves
            toward(pose, share, hand, target)
    pose[:, NOD] += 0.15 * much * wander(rng, t, 0.8)


def strike(rng: np.random.Generator, pose: np.ndarray, t: np.ndarray, at: float, low: float = 0.0) -> None:
    """One blow at a time: a punch, a hook, a blow from above, a push or a kick; ``low``: 1 is at the floor."""
    way = rng.random()
    quick, back = rng.uniform(0.07, 0.16), rng.uniform(0.14, 0.35)
    out = pulse(t, at, quick, back, rng.uniform(0, 0.05))
    k = int(rng.integers(2))
    sign = 1 - 2 * k
    if way < 0.22 + 0.2 * low and low < 2:  # a kick
        foot, other = FEET[k], FEET[1 - k]
        high = rng.uniform(0.08, 0.2) if low else rng.uniform(0.15, 0.5)
        wind = pulse(t, at - 0.12, 0.12, 0.1)
        toward(pose, wind, foot, (sign * 0.05, 0.2, -0.2))
        toward(pose, out, foot, (sign * rng.uniform(-0.05, 0.15), high, rng.uniform(0.38, 0.52)))
        toward(pose, out, other, (-sign * 0.02, ANKLE, 0.0))
        pose[:, PITCH] -= 0.25 * out * (1 - low)
        pose[:, 2] += 0.05 * out
        for s, hand in zip((1, -1), HANDS, strict=True):
            toward(pose, 0.7 * out, hand, (s * 0.25, -0.08, 0.05))
        return
    if way < 0.42:  # a push with both hands
        for s, hand in zip((1, -1), HANDS, strict=True):
            toward(pose, pulse(t, at - 0.15, 0.14, 0.15), hand, (s * 0.1, -0.06, 0.1))
            toward(pose, out, hand, (s * 0.09, 0.02 - 0.15 * low, 0.36))
        pose[:, PITCH] += 0.35 * out
        pose[:, 2] += 0.1 * out
        return
    hand = HANDS[k]
    if way < 0.65:
        start, end = (sign * 0.14, 0.0, 0.06), (-sign * 0.02, rng.uniform(-0.05, 0.1), 0.4)
    elif way < 0.83:  # a hook
        start, end = (sign * 0.33, 0.02, 0.02), (-sign * 0.08, rng.uniform(0.0, 0.1), 0.33)
    else:  # from above
        start, end = (sign * 0.18, 0.32, -0.05), (sign * 0.02, -0.08, 0.36)
    wind = pulse(t, at - 0.16, 0.15, quick)
    toward(pose, wind, hand, start)
    toward(pose, out, hand, end)
    pose[:, TWIST] += -sign * 0.55 * out + sign * 0.3 * wind
    pose[:, PITCH] += (0.15 + 0.6 * low) * out
    pose[:, 2] += 0.06 * out


def guard(pose: np.ndarray, share: np.ndarray, high: float = 0.03) -> None:
    """Fists up, feet apart, ready."""
    toward(pose, share, LEFT_HAND, (0.09, high, 0.19))
    toward(pose, share, RIGHT_HAND, (-0.09, high - 0.02, 0.16))
    pose[:, 1] -= 0.03 * share
    pose[:, PITCH] += 0.12 * share
    pose[:, 16] += 0.08 * share
    pose[:, 19] -= 0.08 * share


def flail(rng: np.random.Generator, pose: np.ndarray, t: np.ndarray, share: np.ndarray) -> None:
    """Arms that beat about wildly."""
    for sign, hand in zip((1, -1), HANDS, strict=True):
        rate = rng.uniform(1.4, 3.0)
        moves = np.stack([wander(rng, t, rate) for _ in range(3)], 1)
        toward(pose, share, hand, np.array((sign * 0.12, 0.02, 0.2)) + moves * (0.14, 0.2, 0.17))
    pose[:, TWIST] += 0.4 * share * wander(rng, t, 1.4)
    pose[:, PITCH] += share * (0.15 + 0.25 * wander(rng, t, 1.0))
    pose[:, ROLL] += 0.18 * share * wander(rng, t, 1.1)
    pose[:, 1] -= 0.04 * share * (1 + wander(rng, t, 1.2))


def wrestle(rng: np.random.Generator, pose: np.ndarray, t: np.ndarray, share: np.ndarray) -> None:
    """Holds the other by shoulder, neck or waist, bent forward, pulling."""
    high = rng.uniform(-0.12, 0.08)
    rate = rng.uniform(0.7, 1.8)
    for sign, hand in zip((1, -1), HANDS, strict=True):
        moves = np.stack([wander(rng, t, rate) for _ in range(3)], 1)
        toward(pose, share, hand, np.array((sign * 0.11, high, 0.28)) + 0.07 * moves)
    pose[:, PITCH] += share * (rng.uniform(0.25, 0.7) + 0.2 * wander(rng, t, rate))
    pose[:, TWIST] += 0.4 * share * wander(rng, t, rate)
    pose[:, ROLL] += 0.25 * share * wander(rng, t, rate)
    pose[:, 1] -= share * (0.05 + 0.04 * wander(rng, t, rate))
    for foot in FEET:
        pose[:, foot.start + 2] += 0.07 * share * wander(rng, t, 1.2)
    pose[:, 2] -= 0.08 * share


def cower(rng: np.random.Generator, pose: np.ndarray, t: np.ndarray, share: np.ndarray) -> None:
    """Ducks with the arms around the head."""
    toward(pose, share, LEFT_HAND, (0.05, 0.12, 0.12))
    toward(pose, share, RIGHT_HAND, (-0.05, 0.12, 0.1))
    pose[:, PITCH] += share * (0.5 + 0.15 * wander(rng, t, 1.0))
    pose[:, NOD] += 0.4 * share
    pose[:, 1] -= 0.09 * share


def lying(rng: np.random.Generator, way: str | None = None) -> np.ndarray:
    """A way to lie on the floor after a fall: a target row (SIZE,); ``way``: back, belly, left or right."""
    row = np.zeros(SIZE)
    way = way or str(rng.choice(("back", "belly", "left", "right"), p=(0.3, 0.3, 0.2, 0.2)))
    bent_l, bent_r = rng.uniform(0, 0.16, 2)
    if way == "back":
        row[PELVIS], row[PITCH], row[KNEES] = (0, 0.07, -0.3), -1.5, 1.4
        row[LEFT_FOOT] = (rng.uniform(0.05, 0.16), 0.04, 0.16 - bent_l)
        row[RIGHT_FOOT] = (-rng.uniform(0.05, 0.16), 0.04, 0.16 - bent_r)
    elif way == "belly":
        row[PELVIS], row[PITCH], row[KNEES] = (0, 0.07, 0.3), 1.5, -1.4
        row[LEFT_FOOT] = (rng.uniform(0.05, 0.16), 0.05, -0.16 + bent_l * 0.5)
        row[RIGHT_FOOT] = (-rng.uniform(0.05, 0.16), 0.05, -0.16 + bent_r * 0.5)
    else:
        sign = 1.0 if way == "left" else -1.0
        row[PELVIS], row[ROLL], row[KNEES] = (sign * 0.3, 0.08, 0.0), -1.5 * sign, 0.1
        row[LEFT_FOOT] = (-sign * (0.12 - bent_l), 0.1 if sign < 0 else 0.04, bent_l)
        row[RIGHT_FOOT] = (-sign * (0.12 - bent_r), 0.04 if sign < 0 else 0.1, bent_r)
    row[LEFT_HAND] = (rng.uniform(0.1, 0.3), rng.uniform(-0.3, 0.2), rng.uniform(0.02, 0.15))
    row[RIGHT_HAND] = (-rng.uniform(0.1, 0.3), rng.uniform(-0.3, 0.2), rng.uniform(0.02, 0.15))
    return row


def go_down(
    rng: np.random.Generator,
    pose: np.ndarray,
    t: np.ndarray,
    at: float,
    takes: float,
    way: str | None = None,
) -> np.ndarray:
    """Falls from whatever it does and stays down; returns the share (T,) of being down."""
    target = lying(rng, way)
    half = target.copy()  # knees and hips give way, hands reach for support
    half[PITCH] *= rng.uniform(0.2, 0.6)
    half[ROLL] *= rng.uniform(0.3, 0.6)
    half[PELVIS] = (target[0] * 0.6, rng.uniform(0.2, 0.33), target[2] * 0.6)
    half[KNEES] = 0.3 if target[KNEES] >= 0 else -0.3
    feet = target[14:20] * 0.4
    feet[[0, 3]] += (0.06, -0.06)
    feet[[1, 4]] = ANKLE
    half[14:20] = feet
    for sign, hand in zip((1, -1), HANDS, strict=True):
        half[hand] = (sign * rng.uniform(0.15, 0.32), rng.uniform(-0.15, 0.15), rng.uniform(-0.05, 0.25))
    x = np.clip((t - at) / takes, 0, 1)
    first = ease(x / 0.65)
    second = np.clip((x - 0.35) / 0.65, 0, 1) ** 1.6
    pose += (half - pose) * first[:, None]
    pose += (target - pose) * second[:, None]
    pose[:, NOD] += 0.3 * np.sin(math.pi * x)
    return second


def drop_back(
    rng: np.random.Generator, pose: np.ndarray, t: np.ndarray, at: float, takes: float, high: float
) -> np.ndarray:
    """Falls backwards onto something so high (body heights), legs up; returns the share (T,) of being down."""
    down = np.clip((t - at) / takes, 0, 1) ** 1.6
    target = lying(rng, "back")
    forward = rng.uniform(0.0, 0.25)  # of the feet; what it falls onto is behind them
    for part, along in ((PELVIS, -0.24), *((foot, forward) for foot in FEET)):
        target[part][1] += high
        target[part][2] = along
    pose += (target - pose) * down[:, None]
    legs = pulse(t, at + rng.uniform(0.3, 0.7) * takes, 0.3, rng.uniform(0.4, 0.9), rng.uniform(0.0, 0.7))
    much = rng.uniform(0.0, 1.0)
    for sign, foot in zip((1, -1), FEET, strict=True):
        up = (sign * 0.08, high + rng.uniform(0.25, 0.45), -0.2 + rng.uniform(-0.1, 0.2))
        toward(pose, much * legs, foot, up)
    return down


def squirm(rng: np.random.Generator, pose: np.ndarray, t: np.ndarray, share: np.ndarray, much: float) -> None:
    """Moves on the floor: legs that kick, arms that shield."""
    for limb in (*HANDS, *FEET):
        moves = np.stack([wander(rng, t, rng.uniform(0.6, 1.6)) for _ in range(3)], 1)
        pose[:, limb] += (0.1 * much * share)[:, None] * moves
    pose[:, TWIST] += 0.4 * much * share * wander(rng, t, 0.9)
    pose[:, ROLL] += 0.2 * much * share * wander(rng, t, 0.8)


def dance(rng: np.random.Generator, pose: np.ndarray, t: np.ndarray) -> None:
    """Sways to a beat."""
    beat, start = rng.uniform(0.8, 2.2), rng.uniform(0, 6)
    turn = 2 * math.pi * beat * t + start
    pose[:, 0] += 0.05 * np.sin(turn / 2)
    pose[:, 1] -= 0.02 + 0.02 * np.cos(turn)
    pose[:, ROLL] += 0.1 * np.sin(turn / 2)
    pose[:, TWIST] += rng.uniform(0.1, 0.5) * np.sin(turn / 2)
    high, much = rng.uniform(-0.2, 0.25), rng.uniform(0.03, 0.14)
    for k, (sign, hand) in enumerate(zip((1, -1), HANDS, strict=True)):
        wave = np.sin(turn / 2 + k * rng.choice((0.0, math.pi)))
        away = np.stack((sign * 0.16 + 0 * t, high + much * wave, 0.17 + much * np.cos(turn)), 1)
        toward(pose, np.ones(len(t)), hand, away)
    for k, foot in enumerate(FEET):
        pose[:, foot.start + 1] += 0.03 * np.maximum(0, np.sin(turn / 2 + k * math.pi))


def embrace(pose: np.ndarray, share: np.ndarray) -> None:
    """Arms around the other, still."""
    toward(pose, share, LEFT_HAND, (0.1, -0.02, 0.26))
    toward(pose, share, RIGHT_HAND, (-0.06, -0.12, 0.26))
    pose[:, PITCH] += 0.12 * share


def shake_hands(pose: np.ndarray, t: np.ndarray, share: np.ndarray) -> None:
    """Gives the right hand."""
    shakes = 0.025 * np.sin(2 * math.pi * 2.2 * t)
    toward(pose, share, RIGHT_HAND, np.stack((0 * t - 0.04, -0.12 + shakes, 0 * t + 0.3), 1))


def reach(pose: np.ndarray, share: np.ndarray, k: int, target: tuple[float, float, float]) -> None:
    """One hand goes somewhere: to a shelf, a phone, a friend far off."""
    toward(pose, share, HANDS[k], target)


def bend(pose: np.ndarray, share: np.ndarray, *, legs: float) -> None:
    """Down to the floor with the hands; ``legs``: 0 with stiff legs, 1 with bent ones."""
    pose[:, PITCH] += (1.45 - 0.8 * legs) * share
    pose[:, 1] -= 0.26 * legs * share
    pose[:, 2] -= (0.12 - 0.02 * legs) * share
    for sign, hand in zip((1, -1), HANDS, strict=True):
        toward(pose, share, hand, (sign * 0.06, -0.27, 0.18))


def sit(pose: np.ndarray, share: np.ndarray, seat: float = 0.27) -> None:
    """On something so high (body heights), which is behind the feet."""
    pose[:, 1] += (seat + 0.05 - pose[:, 1]) * share
    pose[:, 2] -= 0.24 * share
    pose[:, PITCH] += 0.7 * np.sin(math.pi * share) + 0.06 * share  # leans forward on the way
    pose[:, KNEES] += 0.35 * share
    for sign, hand in zip((1, -1), HANDS, strict=True):
        toward(pose, share, hand, (sign * 0.09, -0.21, 0.17))


def carry(pose: np.ndarray) -> None:
    """Holds a thing with both hands."""
    for sign, hand in zip((1, -1), HANDS, strict=True):
        pose[:, hand] = (sign * 0.08, -0.17, 0.2)


def toward_hand(pose: np.ndarray, share: np.ndarray, way: np.ndarray) -> None:
    """The left hand goes along a way (T, 3)."""
    toward(pose, share, LEFT_HAND, way)


def squat(pose: np.ndarray, depth: np.ndarray) -> None:
    """Down to a depth (T,) of 0 (upright) to 1, arms ahead."""
    pose[:, 1] -= 0.24 * depth
    pose[:, 2] -= 0.12 * depth
    pose[:, PITCH] += 0.5 * depth
    pose[:, NOD] -= 0.3 * depth
    for sign, hand in zip((1, -1), HANDS, strict=True):
        toward(pose, depth, hand, (sign * 0.1, -0.05, 0.3))
        pose[:, FEET[sign < 0].start] += sign * 0.04


def kneel(pose: np.ndarray, share: np.ndarray) -> None:
    """On both knees, upright."""
    pose[:, 1] += (0.3 - pose[:, 1]) * share
    pose[:, KNEES] += -0.75 * share
    for sign, foot in zip((1, -1), FEET, strict=True):
        toward(pose, share, foot, (sign * 0.06, 0.04, -0.24))
    pose[:, PITCH] += 0.5 * np.sin(math.pi * share)


def lie_down(rng: np.random.Generator, pose: np.ndarray, share: np.ndarray, way: str, high: float) -> None:
    """From sitting on the edge to lying on something so high (body heights); ``way`` as in ``lying``."""
    row = lying(rng, way)
    off = row[PELVIS] * (1.0, 0.0, 1.0)  # the middle stays where it sat
    for part in (PELVIS, *FEET):
        row[part] -= off
    row[[1, 15, 18]] += high
    pose += (row - pose) * share[:, None]


def sip(pose: np.ndarray, share: np.ndarray, k: int) -> None:
    """A hand to the mouth."""
    toward(pose, share, HANDS[k], ((0.03, 0.09, 0.13), (-0.03, 0.09, 0.13))[k])
    pose[:, NOD] -= 0.25 * share


def read(pose: np.ndarray, share: np.ndarray) -> None:
    """Both hands hold something before the chest."""
    for sign, hand in zip((1, -1), HANDS, strict=True):
        toward(pose, share, hand, (sign * 0.07, -0.1, 0.22))
    pose[:, NOD] += 0.3 * share


def grip(pose: np.ndarray, k: int, point: np.ndarray) -> None:
    """A hand stays at a point, (3,) or (T, 3) body heights, whatever the torso does."""
    axes = torso(pose)
    chest = pose[:, PELVIS] + axes[:, :, 1] * SPINE
    pose[:, HANDS[k]] = np.einsum("tij,ti->tj", axes, point - chest)

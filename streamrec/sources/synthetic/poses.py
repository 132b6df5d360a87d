"""Actions of a figure: each is a function from time to a pose, and poses can be blended."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

ACTIONS: tuple[str, ...] = ("idle", "walk", "wave", "clap", "squat", "jump", "punch", "fall")
"""What a figure can do, in label order."""

# A pose is a flat vector, so that blending two poses is one line. Hands are measured from the middle of the
# shoulder line, in arm lengths; feet and pelvis from the floor below the figure, in leg lengths. For both
# sides the first of three numbers points outwards, the second up, the third forwards. Angles are in radians.
PELVIS = slice(0, 3)
LEAN, ROLL, TWIST, NOD, TURN = 3, 4, 5, 6, 7  # of the torso forwards, sideways, around; of the head
LEFT_HAND, RIGHT_HAND = slice(8, 11), slice(11, 14)
LEFT_FOOT, RIGHT_FOOT = slice(14, 17), slice(17, 20)
TOPPLE = slice(20, 22)  # the whole body forwards, sideways
YAW = 22  # away from the camera
LEFT_TOE, RIGHT_TOE = 23, 24  # raised (+) or pointed (-)
SIZE = 25

_MIRROR = np.arange(SIZE)
_MIRROR[LEFT_HAND], _MIRROR[RIGHT_HAND] = np.arange(11, 14), np.arange(8, 11)
_MIRROR[LEFT_FOOT], _MIRROR[RIGHT_FOOT] = np.arange(17, 20), np.arange(14, 17)
_MIRROR[[LEFT_TOE, RIGHT_TOE]] = RIGHT_TOE, LEFT_TOE
_MIRROR_SIGN = np.ones(SIZE)
_MIRROR_SIGN[[0, ROLL, TWIST, TURN, 21]] = -1.0  # yaw belongs to the camera, not to the body: it stays


@dataclass(frozen=True, kw_only=True, eq=False)
class Style:
    """The style of one action, drawn anew for every action of the schedule."""

    period: float  # seconds a cycle
    size: float  # 0 (small) to 1 (large)
    variant: float  # 0 to 1: which of the ways to do it
    mirrored: bool  # left- or right-handed
    yaw: float  # radians, where the figure faces, 0 is to the camera
    phases: np.ndarray  # (6,) radians, for small irregularities
    start: float  # cycles, where a repeated action is when it begins


_PERIODS = {
    "idle": (3.0, 5.0),
    "walk": (0.8, 1.15),
    "wave": (0.45, 0.8),
    "clap": (0.36, 0.65),
    "squat": (1.1, 1.9),
    "jump": (0.7, 1.0),
    "punch": (0.65, 1.1),
    "fall": (0.5, 0.9),
}


def draw_style(label: str, rng: np.random.Generator) -> Style:
    """A random way of doing an action."""
    yaw = math.radians(rng.uniform(-35, 35))
    if label == "punch":  # a fist that comes straight at the camera is hardly seen
        yaw = math.radians(rng.choice([-1, 1]) * rng.uniform(25, 65))
    return Style(
        period=rng.uniform(*_PERIODS[label]),
        size=rng.uniform(),
        variant=rng.uniform(),
        mirrored=bool(rng.random() < 0.5),
        yaw=yaw,
        phases=rng.uniform(0, 2 * math.pi, 6),
        start=rng.uniform() if label in ("idle", "walk", "wave") else 0.0,
    )


def pose_at(label: str, seconds: float, style: Style) -> np.ndarray:
    """The pose (25,) of an action, so many seconds after it began."""
    pose = _POSES[label](max(seconds, 0.0), style)
    if style.mirrored:
        pose = pose[_MIRROR] * _MIRROR_SIGN
    pose[YAW] += style.yaw
    # A little sway and breath in every action.
    pose[LEAN] += 0.015 * _wander(seconds * 1.3, style, 0)
    pose[ROLL] += 0.015 * _wander(seconds * 1.1, style, 1)
    pose[NOD] += 0.05 * _wander(seconds * 0.9, style, 2)
    pose[TURN] += 0.12 * _wander(seconds * 0.7, style, 3)
    return pose


def blend(before: np.ndarray, after: np.ndarray, share: float) -> np.ndarray:
    """From one pose (share 0) to another (share 1); a figure that lies on the floor gets up over a crouch."""
    share = _smooth(share)
    lying = np.abs(before[TOPPLE]).max() > 0.7
    if not lying:
        return before + (after - before) * share
    crouch = after.copy()
    crouch[1], crouch[LEAN] = 0.45, 0.7
    crouch[TOPPLE] = before[TOPPLE] * 0.25
    crouch[8:14] = (0.35, -0.7, 0.45) * 2
    first, second = before + (crouch - before) * share, crouch + (after - crouch) * share
    return first + (second - first) * share


def stand() -> np.ndarray:
    """Upright, arms hanging: what the other poses start from."""
    pose = np.zeros(SIZE)
    pose[1] = 0.985
    pose[8:14] = (0.46, -0.93, 0.08) * 2
    pose[14:20] = (0.15, 0.0, 0.0) * 2
    return pose


def _idle(t: float, style: Style) -> np.ndarray:
    pose = stand()
    breath = math.sin(2 * math.pi * t / style.period)
    sway = _wander(t * 0.8, style, 4)
    pose[0] += 0.02 * sway
    pose[ROLL] -= 0.015 * sway
    pose[[9, 12]] += 0.012 * breath
    if style.variant < 0.2:  # hands on the hips
        pose[8:14] = (0.36, -0.72, 0.1) * 2
    elif style.variant < 0.35:  # arms crossed
        pose[LEFT_HAND], pose[RIGHT_HAND] = (-0.12, -0.38, 0.33), (-0.12, -0.30, 0.36)
    elif style.variant < 0.5:  # hands held in front
        pose[8:14] = (0.05, -0.78, 0.3) * 2
    elif style.variant < 0.62:  # holds a phone
        pose[LEFT_HAND], pose[NOD] = (0.12, -0.35, 0.5), 0.3
    if style.variant > 0.75:  # weight on one leg
        pose[0] += 0.06
        pose[ROLL] -= 0.04
        pose[RIGHT_FOOT] = (0.22, 0.0, 0.06)
    return pose


STRIDE = (0.27, 0.4)  # half a step, in leg lengths


def stride(style: Style) -> float:
    """Half the length of a step, in leg lengths."""
    return _between(*STRIDE, style.size)


def _walk(t: float, style: Style) -> np.ndarray:
    pose = stand()
    phase = t / style.period + style.start
    reach = stride(style)
    for side, foot, hand, toe in ((0.0, 14, 11, LEFT_TOE), (0.5, 17, 8, RIGHT_TOE)):
        cycle = (phase + side) % 1.0
        if cycle < 0.5:  # on the floor, left behind
            forward, lift = 1 - 4 * cycle, 0.0
            pose[toe] = -0.35 * max(0.0, cycle * 4 - 1.4)
        else:
            swing = (cycle - 0.5) * 2
            forward, lift = -math.cos(math.pi * swing), math.sin(math.pi * swing)
            pose[toe] = -0.5 + 0.8 * swing
        pose[foot : foot + 3] = 0.08, 0.16 * lift, reach * forward
        # The arm of the other side goes with the leg.
        swing_arm = math.cos(2 * math.pi * cycle) * (0.28 + 0.3 * style.size)
        pose[hand : hand + 3] = 0.42, -0.9 + 0.18 * abs(swing_arm), 0.1 + swing_arm
    # Highest over the straight leg, lowest when both feet are far apart.
    high, low = 0.98, math.sqrt(1 - reach * reach)
    pose[1] = 0.5 * (high + low) - 0.5 * (high - low) * math.cos(4 * math.pi * phase)
    pose[LEAN] = 0.05 + 0.05 * style.size
    pose[TWIST] = 0.12 * math.cos(2 * math.pi * phase)
    return pose


def _wave(t: float, style: Style) -> np.ndarray:
    pose = stand()
    phase = t / style.period + style.start
    swing = math.sin(2 * math.pi * phase) * _between(0.75, 1.1, style.size)
    swing *= 1 + 0.12 * _wander(phase, style, 4)
    if style.variant < 0.5:  # from the elbow
        hand = (0.7 + 0.26 * swing, 0.46 - 0.06 * abs(swing), 0.3)
    elif style.variant < 0.75:  # with the whole arm, high up
        hand = (0.56 + 0.34 * swing, 0.74 - 0.1 * abs(swing), 0.15)
    else:  # with both
        hand = (0.7 + 0.26 * swing, 0.66 - 0.08 * abs(swing), 0.15)
        pose[RIGHT_HAND] = (0.7 - 0.26 * swing if style.size < 0.5 else hand[0], *hand[1:])
    pose[LEFT_HAND] = hand
    pose[ROLL] = 0.04 * swing
    return pose


def _clap(t: float, style: Style) -> np.ndarray:
    pose = stand()
    phase = t / style.period + style.start
    apart = (0.5 - 0.5 * math.cos(2 * math.pi * (phase + 0.5))) ** 1.3
    apart *= _between(0.4, 0.6, style.size) * (1 + 0.12 * _wander(phase, style, 4))
    height = _between(-0.4, -0.05, style.variant)
    pose[8:14] = (0.035 + apart, height + 0.05 * apart, 0.62 - 0.2 * apart) * 2
    pose[LEAN] = 0.05
    pose[1] -= 0.012 * (1 - apart)
    return pose


def _squat(t: float, style: Style) -> np.ndarray:
    pose = stand()
    phase = t / style.period + style.start
    depth = (0.5 - 0.5 * math.cos(2 * math.pi * phase)) ** 0.85
    low = _between(0.4, 0.52, style.size) * (1 + 0.06 * _wander(phase, style, 4))
    pose[1] -= low * depth
    pose[2] -= 0.24 * depth
    pose[LEAN] = 0.5 * depth
    pose[NOD] = -0.3 * depth
    pose[14:20] = (0.27, 0.0, 0.05) * 2
    if style.variant < 0.6:  # arms go forward for balance
        pose[8:14] = (0.36, -0.9 + 1.05 * depth, 0.1 + 0.8 * depth) * 2
    elif style.variant < 0.8:  # hands held before the chest
        pose[8:14] = (0.05, -0.3, 0.42) * 2
    else:  # hands on the hips
        pose[8:14] = (0.36, -0.72, 0.12) * 2
    return pose


def _jump(t: float, style: Style) -> np.ndarray:
    pose = stand()
    phase = t / style.period + style.start
    cycle = phase % 1.0
    ground, flight = 0.36, 0.64
    height = _between(0.22, 0.36, style.size) * (1 + 0.1 * _wander(phase, style, 4))
    up, crouch = 0.0, 0.0
    if cycle < ground:
        crouch = math.sin(math.pi * cycle / ground)
    else:
        share = (cycle - ground) / flight
        up = 4 * share * (1 - share)
    pose[1] += height * up - 0.2 * crouch
    pose[2] -= 0.08 * crouch
    pose[LEAN] = 0.35 * crouch
    spread = 0.0
    if style.variant < 0.35:  # a jumping jack
        spread = up
        pose[8:14] = (0.5 + 0.42 * math.sin(math.pi * up), -0.9 + 1.6 * up, 0.1) * 2
    else:
        tuck = style.variant > 0.75
        pose[8:14] = (0.5, -0.9 + (0.75 if tuck else 1.3) * up, 0.15 + 0.45 * up - 0.6 * crouch) * 2
    lift = max(0.0, height * up) * (1.45 if style.variant > 0.75 else 1.0)
    pose[14:20] = (0.16 + 0.28 * spread, lift, 0.03) * 2
    pose[[LEFT_TOE, RIGHT_TOE]] = -0.8 * up
    return pose


def _punch(t: float, style: Style) -> np.ndarray:
    pose = stand()
    phase = t / style.period + style.start
    alternate = style.variant < 0.7
    cycle = (phase * (1.0 if alternate else 1.6)) % 1.0
    pose[1] = 0.93 + 0.012 * math.sin(4 * math.pi * phase)
    pose[LEFT_FOOT], pose[RIGHT_FOOT] = (0.14, 0.0, 0.26), (0.2, 0.0, -0.24)
    pose[LEAN] = 0.1
    guard = np.array((0.2, -0.02, 0.36))
    reach = 0.98 * (1 + 0.04 * _wander(phase, style, 4))
    height = _between(-0.12, 0.14, style.size)
    out = np.array((0.02, height, reach))
    left, right = _jab(cycle if alternate else cycle * 0.5), _jab(cycle - 0.5) if alternate else 0.0
    pose[LEFT_HAND] = guard + (out - guard) * left
    pose[RIGHT_HAND] = guard + (out - guard) * right
    pose[TWIST] = 0.45 * (right - left)
    pose[2] += 0.06 * (left + right)
    pose[NOD] = 0.1
    return pose


def _jab(cycle: float) -> float:
    """Out fast, back slower, then guard: 0 to 1 within half a cycle."""
    if not 0 <= cycle < 0.5:
        return 0.0
    return _smooth(cycle / 0.17) if cycle < 0.17 else 1 - _smooth((cycle - 0.2) / 0.28)


def _fall(t: float, style: Style) -> np.ndarray:
    pose = stand()
    share = min(t / style.period, 1.0)
    down = share**1.7
    way = style.variant
    if way < 0.3:
        direction = (1.0, 0.0)  # forwards
    elif way < 0.5:
        direction = (-1.0, 0.0)
    else:
        direction = (_between(-0.4, 0.4, style.size), 1.0)
    over = down * math.radians(86) * (1 + 0.03 * _rebound(t - style.period))
    norm = math.hypot(*direction)
    pose[TOPPLE] = over * direction[0] / norm, over * direction[1] / norm
    buckle = math.sin(math.pi * share**0.8)
    pose[1] -= 0.16 * buckle
    pose[LEAN] = 0.35 * buckle
    flail = math.sin(math.pi * min(1.0, share * 1.2))
    slow = _wander(t * 0.9, style, 4) * down
    under = down if way >= 0.5 else 0.0  # the arm that the body would lie on goes to the front
    pose[LEFT_HAND] = (
        0.55 + 0.3 * flail - 0.4 * under,
        -0.6 + 0.6 * flail + 0.25 * under + 0.05 * slow,
        0.25 + 0.3 * flail + 0.6 * under,
    )
    pose[RIGHT_HAND] = (0.5 + 0.4 * flail, -0.2 * down - 0.5 * (1 - down) + 0.4 * flail, 0.3 + 0.1 * slow)
    pose[LEFT_FOOT] = (0.16, 0.18 * down * style.size, 0.04 + 0.12 * down)
    pose[RIGHT_FOOT] = (0.2, 0.02 * down, 0.0)
    pose[[LEFT_TOE, RIGHT_TOE]] = -0.5 * down
    return pose


def _rebound(t: float) -> float:
    return -math.exp(-6 * t) * math.sin(14 * t) if t > 0 else 0.0


def _between(low: float, high: float, share: float) -> float:
    return low + (high - low) * share


def _smooth(share: float) -> float:
    share = min(max(share, 0.0), 1.0)
    return share * share * (3 - 2 * share)


def _wander(x: float, style: Style, which: int) -> float:
    """A smooth, never quite repeating number from -1 to 1."""
    return 0.6 * math.sin(1.3 * x + style.phases[which]) + 0.4 * math.sin(2.9 * x + style.phases[which - 1])


_POSES: dict[str, Callable[[float, Style], np.ndarray]] = {
    "idle": _idle,
    "walk": _walk,
    "wave": _wave,
    "clap": _clap,
    "squat": _squat,
    "jump": _jump,
    "punch": _punch,
    "fall": _fall,
}

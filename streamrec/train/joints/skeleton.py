"""A body: its proportions, and its 17 joints in space for a pose of each frame.

A person stands at the origin of their own frame: x is their left, y up, z forwards. Lengths are in metres, angles in
radians. Limbs keep their lengths: hands and feet are aimed at targets, and the bend of elbow or knee follows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

KEYPOINTS = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
)  # fmt: skip
"""The joints in the order of COCO."""

LIMBS = ((5, 7), (7, 9), (6, 8), (8, 10), (11, 13), (13, 15), (12, 14), (14, 16), (5, 6), (11, 12))
"""Pairs of joints that stay equally far apart, whatever the pose; only shoulders come nearer with raised arms."""

# A pose is a flat vector, so that movements are sums of vectors. The place on the floor and the heading come first.
# Pelvis and feet are measured from that place in leg lengths, hands from their shoulder in arm lengths, in the frame
# of the chest. For hands, elbows and feet the first of three numbers points outwards, the second up, the third ahead.
ROOT = slice(0, 2)  # x and z, metres
YAW = 2  # heading; 0 faces +z, positive turns to the left
PELVIS = slice(3, 6)
HIGH = 4  # height of the pelvis; 1 is standing with straight legs
LEAN, ROLL, SPIN = 6, 7, 8  # of the pelvis: forwards, to the left, about the spine
BEND, SIDE, TWIST = 9, 10, 11  # of the upper torso over the pelvis
NOD, TURN, TILT = 12, 13, 14  # of the head over the torso
LEFT_HAND, LEFT_ELBOW = slice(15, 18), slice(18, 21)  # an elbow is a direction in which it points
RIGHT_HAND, RIGHT_ELBOW = slice(21, 24), slice(24, 27)
LEFT_FOOT, RIGHT_FOOT = slice(27, 30), slice(31, 34)
LEFT_KNEE, RIGHT_KNEE = 30, 34  # how far a knee points outwards instead of ahead
SIZE = 35

HANDS = (LEFT_HAND, RIGHT_HAND)
ELBOWS = (LEFT_ELBOW, RIGHT_ELBOW)
FEET = (LEFT_FOOT, RIGHT_FOOT)
KNEES = (LEFT_KNEE, RIGHT_KNEE)
INWARDS, UPWARDS = (
    0.2,
    0.24,
)  # how far a shoulder moves with an arm straight up, in shoulder widths to the middle
FLESH = 0.04  # metres between a joint of a limb and what it lies on
ELBOW_DOWN = (0.55, -0.8, -0.4)  # where an elbow points unless a movement sets it

_SWAP = np.arange(SIZE)
_SWAP[15:21], _SWAP[21:27] = np.arange(21, 27), np.arange(15, 21)
_SWAP[27:31], _SWAP[31:35] = np.arange(31, 35), np.arange(27, 31)
_SIGN = np.ones(SIZE)
_SIGN[[0, YAW, 3, ROLL, SPIN, SIDE, TWIST, TURN, TILT]] = -1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Body:
    """Proportions of one person, in metres."""

    stature: float
    thigh: float
    shank: float
    ankle: float  # height over the floor
    torso: float  # from the middle of the hips to the middle of the shoulders
    hips: float  # half the distance between them
    shoulders: float  # half the distance between them
    upper_arm: float
    forearm: float
    neck: float  # from the middle of the shoulders to where the head turns
    head: float  # size of the head; 1 is an adult's

    @property
    def leg(self) -> float:
        """Height of the hips when standing."""
        return self.thigh + self.shank + self.ankle

    @property
    def arm(self) -> float:
        """From the shoulder to the wrist."""
        return self.upper_arm + self.forearm


def draw_body(rng: np.random.Generator, *, children: float = 0.12) -> Body:
    """A random body; so large a share are children of 1 to 1.5 m.

    Mean proportions are those of Drillis and Contini (in Winter, Biomechanics and Motor Control of Human Movement).
    """
    child = rng.random() < children
    stature = rng.uniform(1.0, 1.5) if child else float(np.clip(rng.normal(1.71, 0.1), 1.48, 2.02))
    vary = 1 + np.clip(rng.normal(0, 0.05, 8), -0.12, 0.12)
    short = 1.0 if not child else 0.94
    return Body(
        stature=stature,
        thigh=0.245 * stature * vary[0] * short,
        shank=0.240 * stature * vary[1] * short,
        ankle=0.042 * stature,
        torso=0.285 * stature * vary[2],
        hips=0.064 * stature * vary[3],
        shoulders=0.103 * stature * vary[4] * short,
        upper_arm=0.172 * stature * vary[5] * short,
        forearm=0.148 * stature * vary[6] * short,
        neck=0.045 * stature * vary[7],
        head=float(np.sqrt(stature / 1.71)) * vary[7],
    )


def standing() -> np.ndarray:
    """The pose (35,) of a person who stands upright with hanging arms."""
    pose = np.zeros(SIZE)
    pose[HIGH] = 0.985
    for hand, elbow, foot in zip(HANDS, ELBOWS, FEET, strict=True):
        pose[hand] = (0.16, -0.96, 0.06)
        pose[elbow] = ELBOW_DOWN
        pose[foot] = (0.12, 0.0, 0.0)
    return pose


def mirrored(poses: np.ndarray) -> np.ndarray:
    """(..., 35) -> (..., 35) with left and right exchanged."""
    return poses[..., _SWAP] * _SIGN


def joints(poses: np.ndarray, body: Body) -> np.ndarray:
    """The joints of a body in the world, metres.

    (T, 35) -> (T, 17, 3). A target beyond the reach of a limb is pointed at.
    """
    count = len(poses)
    found = np.empty((count, 17, 3))
    pelvis = poses[:, PELVIS] * body.leg
    hips = _about_x(poses[:, LEAN]) @ _about_z(-poses[:, ROLL]) @ _about_y(poses[:, SPIN])
    bend = poses[:, BEND]
    chest = hips @ _about_x(bend) @ _about_z(-poses[:, SIDE]) @ _about_y(poses[:, TWIST])
    waist = pelvis + 0.42 * body.torso * hips[:, :, 1]
    neck = waist + 0.58 * body.torso * chest[:, :, 1]
    _head(found, neck, chest, poses, body)
    for side, sign in enumerate((1.0, -1.0)):
        flip = np.array((sign, 1.0, 1.0))
        hand = poses[:, HANDS[side]]
        shoulder = neck + _turned(chest, _shoulder(hand[:, 1], body) * flip)
        aim = _turned(chest, hand * flip * body.arm)
        pole = _turned(chest, poses[:, ELBOWS[side]] * flip)
        elbow, wrist = _above_floor(shoulder, aim, pole, (body.upper_arm, body.forearm))
        found[:, 5 + side] = shoulder
        found[:, 7 + side] = shoulder + elbow
        found[:, 9 + side] = shoulder + wrist
        hip = pelvis + hips[:, :, 0] * (sign * body.hips)
        foot = poses[:, FEET[side]] * flip * body.leg + (0.0, body.ankle, 0.0)
        out = poses[:, KNEES[side], None]
        pole = hips[:, :, 2] + sign * out * hips[:, :, 0]
        knee, ankle = _above_floor(hip, foot - hip, pole, (body.thigh, body.shank))
        found[:, 11 + side] = hip
        found[:, 13 + side] = hip + knee
        found[:, 15 + side] = hip + ankle
    found = _turned(_about_y(poses[:, YAW]), found)
    found[:, :, 0] += poses[:, None, 0]
    found[:, :, 2] += poses[:, None, 1]
    return found


FACE = np.array(
    ((0, 0.115, 0.115), (0.032, 0.15, 0.09), (-0.032, 0.15, 0.09), (0.075, 0.13, 0.0), (-0.075, 0.13, 0.0))
)
"""Nose, eyes and ears of an adult from where the head turns, metres."""
MOUTH = np.array((0.0, 0.075, 0.11))


def face_point(body: Body, side: int, point: np.ndarray) -> np.ndarray:
    """The target of the hand of a side (0: left) that brings its wrist to a point of the head.

    The point is in the head's frame, its first number towards that side, as in ``FACE``; (3,) -> (3,).
    """
    place = point * body.head + (0.0, body.neck, 0.0)
    target = (place - (body.shoulders, 0.0, 0.0)) / body.arm
    for _ in range(4):  # the shoulder rises with the hand
        target = (place - _shoulder(target[1:2], body)[0]) / body.arm
    return target


def _head(found: np.ndarray, neck: np.ndarray, chest: np.ndarray, poses: np.ndarray, body: Body) -> None:
    turn = _about_y(poses[:, TURN]) @ _about_x(poses[:, NOD]) @ _about_z(-poses[:, TILT])
    pivot = neck + body.neck * chest[:, :, 1]
    found[:, :5] = pivot[:, None] + _turned(
        chest @ turn, np.broadcast_to(FACE * body.head, (len(poses), 5, 3))
    )


def _shoulder(raised: np.ndarray, body: Body) -> np.ndarray:
    """A shoulder from the middle of the two, outwards, up and ahead, for a hand so high: (T,) -> (T, 3) metres."""
    share = np.clip(raised, 0.0, 1.0)
    return np.stack((1 - INWARDS * share, UPWARDS * share, np.zeros_like(share)), 1) * body.shoulders


def _above_floor(
    root: np.ndarray, aim: np.ndarray, pole: np.ndarray, bones: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Middle and end of a limb that begins at ``root``, neither of them through the floor if it can be avoided."""
    aim[:, 1] = np.maximum(aim[:, 1], FLESH - root[:, 1])
    middle, end = _bent(aim, pole, bones)
    through = root[:, 1] + middle[:, 1] < FLESH
    if through.any():
        up = pole[through] + (0.0, 3.0, 0.0)
        middle[through], end[through] = _bent(aim[through], up, bones)
    return middle, end


def _bent(target: np.ndarray, pole: np.ndarray, bones: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Middle and end of a limb of two bones, from where it is attached: (T, 3), (T, 3) -> (T, 3) twice."""
    first, second = bones
    far = np.linalg.norm(target, axis=1, keepdims=True)
    ahead = target / np.maximum(far, 1e-9)
    reach = np.clip(far, 0.25 * (first + second), 0.998 * (first + second))
    aside = pole - (pole * ahead).sum(1, keepdims=True) * ahead
    aside /= np.maximum(np.linalg.norm(aside, axis=1, keepdims=True), 1e-9)
    cosine = (first**2 + reach**2 - second**2) / (2 * first * reach)
    sine = np.sqrt(np.maximum(1 - cosine**2, 0))
    return first * (cosine * ahead + sine * aside), reach * ahead


def _turned(matrices: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """(T, 3, 3) on (T, 3) or (T, J, 3)."""
    if vectors.ndim == 2:
        return np.einsum("tij,tj->ti", matrices, vectors)
    return vectors @ matrices.transpose(0, 2, 1)


def _about_x(angles: np.ndarray) -> np.ndarray:
    return _about(angles, 1, 2)


def _about_y(angles: np.ndarray) -> np.ndarray:
    return _about(angles, 2, 0)


def _about_z(angles: np.ndarray) -> np.ndarray:
    return _about(angles, 0, 1)


def _about(angles: np.ndarray, first: int, second: int) -> np.ndarray:
    """Rotations that turn the first axis towards the second: (T,) -> (T, 3, 3)."""
    matrices = np.zeros((len(angles), 3, 3))
    cosine, sine = np.cos(angles), np.sin(angles)
    matrices[:, 0, 0] = matrices[:, 1, 1] = matrices[:, 2, 2] = 1.0
    matrices[:, first, first] = matrices[:, second, second] = cosine
    matrices[:, second, first] = sine
    matrices[:, first, second] = -sine
    return matrices

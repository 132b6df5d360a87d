"""Many simple people at once: joints are computed for whole motions in one pass, and painting a frame is cheap.

The figures of ``figure`` have more detail; these dolls are fast: eight of them cost less than one figure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from streamrec.sources.synthetic.camera import Camera
from streamrec.sources.synthetic.figure import bent, capsules, hsv

RATE = 30.0  # samples of a motion a second; between them it is linear

# A pose is a row of numbers in body heights and radians. The origin is on the floor below the doll, which
# faces along z; its left is x. Hands are measured from the middle of the shoulders, in the axes of the torso.
PELVIS = slice(0, 3)
PITCH, ROLL, TWIST, NOD, TURN = 3, 4, 5, 6, 7
LEFT_HAND, RIGHT_HAND = slice(8, 11), slice(11, 14)
LEFT_FOOT, RIGHT_FOOT = slice(14, 17), slice(17, 20)
KNEES = 20  # where the knees point: 0 ahead, pi / 2 up
SIZE = 21

LEG, ANKLE, ARM, SPINE, SHOULDER, HIP = 0.465, 0.045, 0.33, 0.29, 0.115, 0.055

# Rows of the joints.
_PELVIS, _CHEST, _HEAD, _HAIR, _SHOULDERS, _ELBOWS, _HANDS, _HIPS, _KNEES, _ANKLES, _TOES = (
    0, 1, 2, 3, 4, 6, 8, 10, 12, 14, 16,
)  # fmt: skip
JOINTS = 18
HANDS, HEAD, HIPS = _HANDS, _HEAD, _PELVIS  # rows of joints that other modules read


@dataclass(frozen=True, eq=False)
class Motion:
    """The motion of one doll, sampled at ``RATE``."""

    pose: np.ndarray  # (T, SIZE)
    place: np.ndarray  # (T, 3): x and z in metres, yaw in radians, 0 is to the camera


def stand(samples: int) -> np.ndarray:
    """Upright with hanging arms, (samples, SIZE)."""
    pose = np.zeros((samples, SIZE))
    pose[:, 1] = ANKLE + 0.99 * LEG
    pose[:, LEFT_HAND] = (0.15, -0.31, 0.03)
    pose[:, RIGHT_HAND] = (-0.15, -0.31, 0.03)
    pose[:, LEFT_FOOT] = (0.065, ANKLE, 0.0)
    pose[:, RIGHT_FOOT] = (-0.065, ANKLE, 0.0)
    return pose


def torso(pose: np.ndarray) -> np.ndarray:
    """The axes of the torso, (T, 3, 3), columns left, up, ahead."""
    cp, sp = np.cos(pose[:, PITCH]), np.sin(pose[:, PITCH])
    cr, sr = np.cos(pose[:, ROLL]), np.sin(pose[:, ROLL])
    ct, st = np.cos(pose[:, TWIST]), np.sin(pose[:, TWIST])
    # around y, then x (ahead), then z (sideways)
    left = np.stack((ct, sp * st, -cp * st), 1)
    up = np.stack((np.zeros_like(cp), cp, sp), 1)
    ahead = np.cross(left, up)
    axes = np.stack((left, up, ahead), 2)
    side = np.zeros((len(pose), 3, 3))
    side[:, 0, 0], side[:, 0, 1], side[:, 1, 0], side[:, 1, 1], side[:, 2, 2] = cr, -sr, sr, cr, 1.0
    return np.asarray(side @ axes)


def joints(motion: Motion, height: float) -> np.ndarray:
    """Positions of the joints: (T, JOINTS, 3) metres."""
    pose = motion.pose
    n = len(pose)
    axes = torso(pose)
    out = np.empty((n, JOINTS, 3))
    pelvis = pose[:, PELVIS]
    chest = pelvis + axes[:, :, 1] * SPINE
    out[:, _PELVIS], out[:, _CHEST] = pelvis, chest
    nod = pose[:, NOD, None]
    face = axes[:, :, 2] * np.cos(nod) - axes[:, :, 1] * np.sin(nod)
    up = axes[:, :, 1] * np.cos(nod) + axes[:, :, 2] * np.sin(nod)
    out[:, _HEAD] = chest + axes[:, :, 1] * 0.05 + up * 0.07 + face * 0.012
    turn = pose[:, TURN, None]
    gaze = face * np.cos(turn) + axes[:, :, 0] * np.sin(turn)
    out[:, _HAIR] = out[:, _HEAD] + up * 0.018 - gaze * 0.022
    sides = np.array((1.0, -1.0))[:, None]
    out[:, _SHOULDERS : _SHOULDERS + 2] = chest[:, None] + sides * SHOULDER * axes[:, None, :, 0]
    hips = np.stack((np.cos(pose[:, ROLL]), np.sin(pose[:, ROLL]), -np.sin(0.4 * pose[:, TWIST])), 1)
    out[:, _HIPS : _HIPS + 2] = pelvis[:, None] + sides * HIP * hips[:, None]
    hands = chest[:, None] + np.einsum("tij,tkj->tki", axes, pose[:, 8:14].reshape(n, 2, 3))
    hands[:, :, 1] = np.maximum(hands[:, :, 1], 0.025)
    feet = pose[:, 14:20].reshape(n, 2, 3)
    elbows = np.einsum("tij,kj->tki", axes, np.array(((0.75, -0.6, -0.4), (-0.75, -0.6, -0.4))))
    ahead = np.stack((np.zeros(n), np.sin(pose[:, KNEES]), np.cos(pose[:, KNEES])), 1)
    knees = ahead[:, None] + sides * np.array((0.25, 0.0, 0.0))
    middle, ends = bent(
        out[:, _SHOULDERS : _SHOULDERS + 2].reshape(-1, 3),
        hands.reshape(-1, 3),
        elbows.reshape(-1, 3),
        np.full(2 * n, 0.5 * ARM),
    )
    out[:, _ELBOWS : _ELBOWS + 2] = middle.reshape(n, 2, 3)
    out[:, _HANDS : _HANDS + 2] = ends.reshape(n, 2, 3)
    middle, ends = bent(
        out[:, _HIPS : _HIPS + 2].reshape(-1, 3),
        feet.reshape(-1, 3),
        knees.reshape(-1, 3),
        np.full(2 * n, 0.5 * LEG),
    )
    out[:, _KNEES : _KNEES + 2] = middle.reshape(n, 2, 3)
    out[:, _ANKLES : _ANKLES + 2] = ends = ends.reshape(n, 2, 3)
    out[:, _TOES : _TOES + 2] = ends + ahead[:, None] * 0.085 + sides * np.array((0.02, 0.0, 0.0))
    out[:, _TOES : _TOES + 2, 1] -= 0.02 * np.cos(pose[:, KNEES, None])
    low = (_FLESH - out[:, _TORSO, 1]).max(1)
    out[:, :, 1] += np.maximum(low, 0.0)[:, None]  # no part sinks into the floor
    out[:, :, 1] = np.maximum(out[:, :, 1], 0.02)
    out *= height
    x, z, yaw = motion.place.T
    c, s = np.cos(yaw)[:, None], np.sin(yaw)[:, None]
    px, pz = out[:, :, 0].copy(), out[:, :, 2].copy()
    out[:, :, 0] = c * px + s * pz + x[:, None]
    out[:, :, 2] = -s * px + c * pz + z[:, None]
    return out


_TORSO = np.array((_PELVIS, _CHEST, _HEAD, _HIPS, _HIPS + 1, _SHOULDERS, _SHOULDERS + 1))
_FLESH = np.array((0.06, 0.06, 0.06, 0.04, 0.04, 0.04, 0.04))  # how far they are from the skin

_SHIRT, _TROUSERS, _SKIN, _HAIR_COLOUR, _SHOES, _SLEEVE, _SHIN, _PROP = range(8)
_PARTS = (  # from, to, radii in body heights, colour, how much nearer than its middle it counts
    (_PELVIS, _CHEST, 0.066, 0.075, _SHIRT, 0.0),
    (_SHOULDERS, _SHOULDERS + 1, 0.042, 0.042, _SHIRT, 0.01),
    (_HIPS, _HIPS + 1, 0.058, 0.058, _TROUSERS, 0.0),
    (_CHEST, _HEAD, 0.035, 0.03, _SKIN, 0.0),
    (_HEAD, _HEAD, 0.064, 0.064, _SKIN, 0.02),
    (_HAIR, _HAIR, 0.066, 0.066, _HAIR_COLOUR, 0.02),
    *(
        part
        for side in (0, 1)
        for part in (
            (_HIPS + side, _KNEES + side, 0.054, 0.04, _TROUSERS, 0.0),
            (_KNEES + side, _ANKLES + side, 0.038, 0.027, _SHIN, 0.0),
            (_ANKLES + side, _TOES + side, 0.028, 0.022, _SHOES, 0.02),
            (_SHOULDERS + side, _ELBOWS + side, 0.036, 0.028, _SLEEVE, 0.04),
            (_ELBOWS + side, _HANDS + side, 0.026, 0.02, _SLEEVE, 0.05),
            (_HANDS + side, _HANDS + side, 0.026, 0.026, _SKIN, 0.06),
        )
    ),
    (_HANDS, _HANDS + 1, 0.1, 0.1, _PROP, 0.07),
)
_FROM, _TO = (np.array([part[k] for part in _PARTS]) for k in (0, 1))
_RADII = np.array([(part[2], part[3]) for part in _PARTS])
_COLOURS = np.array([part[4] for part in _PARTS])
_NEARER = np.array([part[5] for part in _PARTS])
_SKINS = ((164, 190, 228), (150, 186, 226), (120, 160, 208), (92, 130, 182), (66, 98, 146), (48, 70, 104))


class Cast:
    """Dolls with bodies, clothes and motions; paints them at a time."""

    def __init__(
        self,
        rng: np.random.Generator,
        motions: list[Motion],
        *,
        carriers: tuple[int, ...] = (),
        alike: float = 0.0,
        fine: bool = False,
    ) -> None:
        """``carriers`` hold a thing with both hands; ``alike``: share of people in dark clothes; ``fine``:
        with shading, for dolls that are large in the image."""
        count = len(motions)
        self.heights = rng.uniform(1.5, 1.92, count)
        self._joints = np.stack(
            [joints(m, h) for m, h in zip(motions, self.heights.tolist(), strict=True)]
        )  # (N, T, J, 3)
        girth = rng.uniform(0.85, 1.3, count)
        self._radii = _RADII * (self.heights * girth)[:, None, None]
        self._radii[:, 4:6] /= girth[:, None, None]
        keep = np.isin(np.arange(count), carriers)
        self._radii[:, -1] *= keep[:, None]
        palette = np.array([_clothes(rng, rng.random() < alike) for _ in range(count)])
        self._palette = palette[:, _COLOURS]  # (N, parts, 3)
        self._fine = fine
        self._light = np.array((rng.uniform(-0.7, 0.7), -0.7))

    def at(self, seconds: float) -> np.ndarray:
        """The joints at a time, (N, JOINTS, 3) metres."""
        position = min(max(seconds * RATE, 0.0), self._joints.shape[1] - 1.001)
        k = int(position)
        share = position - k
        moment = self._joints[:, k] * (1 - share) + self._joints[:, k + 1] * share
        return np.asarray(moment)

    def draw(self, image: np.ndarray, camera: Camera, points: np.ndarray, shadow: float = 0.4) -> None:
        """Paint all dolls with joints at points (N, JOINTS, 3)."""
        n = len(points)
        self._shadows(image, camera, points, shadow)
        flat, depth = camera.project(points.reshape(-1, 3))
        depth = np.maximum(depth, 0.3)
        flat, depth = flat.reshape(n, JOINTS, 2), depth.reshape(n, JOINTS)
        scale = camera.focal / depth
        tips = np.stack((flat[:, _FROM], flat[:, _TO]), 2).reshape(-1, 2, 2)
        radius = self._radii * np.stack((scale[:, _FROM], scale[:, _TO]), 2)
        radius = radius.reshape(-1, 2)
        near = 0.5 * (depth[:, _FROM] + depth[:, _TO]) - _NEARER
        outlines = np.rint(capsules(tips, radius, 9 if self._fine else 5) * 16).astype(np.int32)
        seen = radius[:, 0] > 0
        seen &= (outlines.max(1) > 0).all(1)
        height, width = image.shape[:2]
        seen &= (outlines.min(1) < (width * 16, height * 16)).all(1)
        order = np.argsort(-near.reshape(-1), kind="stable")
        order = order[seen[order]]
        away = np.clip((near - near.mean(1, keepdims=True)) * 0.8, -0.1, 0.3)
        colours = (self._palette * (1 - away)[..., None]).reshape(-1, 3)
        if self._fine:
            inner = capsules(tips + (0.18 * radius)[..., None] * self._light, radius * 0.8)
            inner = np.rint(inner * 16).astype(np.int32)
            dark, fill = (colours * 0.72).tolist(), colours.tolist()
            for i in order.tolist():
                cv2.fillConvexPoly(image, outlines[i], dark[i], cv2.LINE_AA, 4)
                cv2.fillConvexPoly(image, inner[i], fill[i], cv2.LINE_AA, 4)
            return
        fill = colours.tolist()
        for i in order.tolist():
            cv2.fillConvexPoly(image, outlines[i], fill[i], cv2.LINE_AA, 4)

    def _shadows(self, image: np.ndarray, camera: Camera, points: np.ndarray, strength: float) -> None:
        if strength <= 0:
            return
        floor = points[:, _SHADOW].copy()
        floor[:, :, 1] = 0.0
        flat, depth = camera.project(floor.reshape(-1, 3))
        thick = 0.13 * camera.focal / np.maximum(depth, 0.3)
        local = np.rint(flat.reshape(len(points), -1, 2) * 4).astype(np.int32)
        height, width = image.shape[:2]
        mask = np.full((-(-height // 4), -(-width // 4)), 255, np.uint8)
        lines = np.clip(local, -30000, 30000)
        wide = np.maximum(1, np.rint(thick.reshape(len(points), -1)[:, 0] / 2)).astype(int).tolist()
        for line, w in zip(lines, wide, strict=True):
            cv2.polylines(mask, [line], False, 255 * (1 - strength), w, cv2.LINE_8, 4)
        mask = cv2.resize(cv2.blur(mask, (3, 3)), (width, height))
        cv2.multiply(image, cv2.cvtColor(mask, cv2.COLOR_GRAY2BGR), image, 1 / 255)


_SHADOW = np.array((_HEAD, _PELVIS, _ANKLES, _PELVIS, _ANKLES + 1))


def _clothes(rng: np.random.Generator, dark: bool) -> np.ndarray:
    """Colours (8, 3) of one person."""

    def cloth(low: float, high: float) -> np.ndarray:
        if dark:
            low, high = 0.05, 0.25
        return np.array(hsv(rng.uniform(), 0.75 * rng.uniform() ** 1.3, rng.uniform(low, high)))

    skin = np.array(_SKINS[rng.integers(len(_SKINS))]) * rng.uniform(0.85, 1.05)
    shirt, trousers = cloth(0.15, 0.98), cloth(0.1, 0.7)
    hair = np.array(hsv(rng.uniform(0.03, 0.12), 0.5, rng.choice((0.1, 0.15, 0.25, 0.5, 0.7))))
    shoes, prop = cloth(0.05, 0.95), cloth(0.2, 0.9)
    sleeve = shirt if rng.random() < 0.6 else skin
    if rng.random() < 0.06:
        shirt = sleeve = skin  # bare
    shin = trousers if rng.random() < 0.75 else skin
    return np.array((shirt, trousers, skin, hair, shoes, sleeve, shin, prop))


def wander(rng: np.random.Generator, t: np.ndarray, rate: float) -> np.ndarray:
    """A smooth, never quite repeating curve (T,), about -1 to 1; ``rate``: turns a second, about."""
    out = np.zeros(len(t))
    for share, factor in ((0.55, 1.0), (0.35, 2.1), (0.2, 0.45)):
        turn = 2 * math.pi * rate * factor * rng.uniform(0.75, 1.3)
        out += share * np.sin(turn * t + rng.uniform(0, 2 * math.pi))
    return out


def ease(x: np.ndarray) -> np.ndarray:
    """0 below 0, 1 above 1, smooth between them."""
    x = np.clip(x, 0.0, 1.0)
    return np.asarray(x * x * (3 - 2 * x))


def toward(pose: np.ndarray, share: np.ndarray, columns: slice | int, target: object) -> None:
    """Move columns of a pose by a share (T,) of the way to a target, (k,) or (T, k)."""
    if isinstance(columns, slice):
        pose[:, columns] += (np.asarray(target) - pose[:, columns]) * share[:, None]
    else:
        pose[:, columns] += (np.asarray(target) - pose[:, columns]) * share

"""A person: random body and clothes, joints in space from a pose, limbs drawn as shaded capsules."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from streamrec.sources.synthetic import poses
from streamrec.sources.synthetic.camera import Camera

Colour = tuple[float, float, float]  # BGR, 0 to 255

# Rows of the joint array; those of the right side follow those of the left.
PELVIS, CHEST, NECK, HEAD, HAIR, BUN = 0, 1, 2, 3, 4, 5
SHOULDER, ELBOW, HAND, HIP, KNEE, ANKLE, TOE, WAIST, EYE, SLEEVE, FINGERS = range(6, 28, 2)
MOUTH, NOSE, BROW = 28, 29, 30
JOINTS = 31

_SKIN = ((164, 190, 228), (150, 186, 226), (120, 160, 208), (92, 130, 182), (66, 98, 146), (48, 70, 104))
_HAIR = ((30, 34, 44), (36, 52, 84), (44, 78, 128), (90, 160, 214), (150, 156, 164), (50, 70, 168))
_ARC = 9  # points of a half circle
_FILL_SHIFT = 4  # sixteenths of a pixel


@dataclass(frozen=True, kw_only=True, eq=False)
class Body:
    """Lengths in metres and colours of one person."""

    height: float
    girth: float  # 1 is average
    leg: float  # hip to ankle
    arm: float  # shoulder to wrist
    shoulder: float  # half the width
    head: float  # radius
    hair: str  # "short", "long", "bun", "bald" or "cap"
    parts: tuple[tuple[int, int, float, float, Colour, float], ...]  # from, to, radii, colour, nearness
    shirt: Colour
    trousers: Colour
    skin: Colour
    hair_colour: Colour


def draw_body(rng: np.random.Generator) -> Body:
    """A random person."""
    height = rng.uniform(1.5, 1.95)
    girth = rng.uniform(0.85, 1.25)
    skin, hair_colour = (_vary(table[rng.integers(len(table))], rng) for table in (_SKIN, _HAIR))
    shirt, trousers, shoes = _cloth(rng), _cloth(rng, value=(0.2, 0.65)), _cloth(rng, value=(0.15, 0.95))
    if np.abs(np.subtract(shirt, trousers)).max() < 60:
        trousers = (0.45 * trousers[0], 0.45 * trousers[1], 0.45 * trousers[2])
    sleeve = shirt if rng.random() < 0.45 else skin
    shin = trousers if rng.random() < 0.72 else skin
    hair = str(rng.choice(["short", "short", "long", "bun", "bald", "cap"]))
    thick = 0.5 * (girth + 1) * height
    parts: list[tuple[int, int, float, float, Colour, float]] = []
    for side in (0, 1):
        s, e, h, f = SHOULDER + side, ELBOW + side, HAND + side, FINGERS + side
        parts += [
            (HIP + side, KNEE + side, 0.052 * thick, 0.036 * thick, trousers, 0.0),
            (KNEE + side, ANKLE + side, 0.036 * thick, 0.024 * thick, shin, 0.01),
            (ANKLE + side, TOE + side, 0.026 * height, 0.021 * height, shoes, 0.03),
            (s, e, 0.030 * thick, 0.024 * thick, sleeve, 0.08),
            (s, SLEEVE + side, 0.034 * thick, 0.033 * thick, shirt, 0.09),
            (e, h, 0.024 * thick, 0.018 * thick, sleeve, 0.11),
            (h, f, 0.021 * height, 0.019 * height, skin, 0.13),
        ]
    head = 0.073 * height * rng.uniform(0.95, 1.15)
    parts.append((CHEST, NECK, 0.03 * thick, 0.028 * thick, skin, 0.03))
    parts.append((HEAD, BROW, head * 0.88, head * 0.92, skin, 0.05))
    if hair != "bald":
        parts.append((HAIR, HAIR, head * 1.06, head * 1.06, hair_colour, 0.0))
    if hair in ("long", "bun"):
        size = head * (0.8 if hair == "long" else 0.5)
        parts.append((HAIR, BUN, head * 0.95 if hair == "long" else size, size, hair_colour, -0.02))
    if hair == "cap":
        cap = _cloth(rng)
        parts[-1] = (HAIR, HAIR, head * 1.08, head * 1.08, cap, 0.02)
        parts.append((HAIR, BUN, head * 0.3, head * 0.28, cap, 0.12))
    return Body(
        height=height,
        girth=girth,
        leg=height * rng.uniform(0.45, 0.49),
        arm=height * rng.uniform(0.31, 0.345),
        shoulder=height * 0.105 * (0.6 + 0.4 * girth) * rng.uniform(0.95, 1.1),
        head=head,
        hair=hair,
        parts=tuple(parts),
        shirt=shirt,
        trousers=trousers,
        skin=skin,
        hair_colour=hair_colour,
    )


def joints(body: Body, pose: np.ndarray, x: float = 0.0, z: float = 0.0) -> np.ndarray:
    """Positions of the joints: (JOINTS, 3) metres; x to the right of the image, y up, z to the camera."""
    ankle = 0.045 * body.height
    out = np.empty((JOINTS, 3))
    pelvis = pose[poses.PELVIS] * body.leg
    pelvis[1] += ankle
    torso = _rotation(pose[poses.LEAN], pose[poses.ROLL], pose[poses.TWIST])
    spine = 0.30 * body.height
    hips = 0.055 * body.height
    out[PELVIS] = pelvis
    out[CHEST] = pelvis + torso[:, 1] * spine
    out[NECK] = out[CHEST] + torso[:, 1] * 0.046 * body.height
    out[HIP : HIP + 2] = pelvis + _SIDES * hips * _across(pose)
    waist = pelvis + torso[:, 1] * 0.3 * spine
    out[WAIST : WAIST + 2] = waist + _SIDES * torso[:, 0] * 0.05 * body.height * body.girth
    shoulders = out[SHOULDER : SHOULDER + 2] = out[CHEST] + _SIDES * torso[:, 0] * body.shoulder
    roots = np.concatenate((shoulders, out[HIP : HIP + 2]))
    ends = np.empty((4, 3))
    ends[:2] = out[CHEST] + (pose[8:14].reshape(2, 3) * _OUTWARDS * body.arm) @ torso.T
    ends[2:] = pose[14:20].reshape(2, 3) * _OUTWARDS * body.leg
    ends[2:, 1] += ankle
    bends = np.concatenate((_ELBOWS @ torso.T, _KNEES))
    middle, ends = bent(roots, ends, bends, np.array((body.arm, body.arm, body.leg, body.leg)) * 0.5)
    out[ELBOW : ELBOW + 2], out[KNEE : KNEE + 2] = middle[:2], middle[2:]
    out[HAND : HAND + 2], out[ANKLE : ANKLE + 2] = ends[:2], ends[2:]
    out[SLEEVE : SLEEVE + 2] = 0.45 * shoulders + 0.55 * middle[:2]
    along = ends[:2] - middle[:2]
    out[FINGERS : FINGERS + 2] = ends[:2] + along * (0.09 * body.height / (body.arm + 1e-9))
    toes = pose[23:25]
    out[TOE : TOE + 2] = ends[2:]
    out[TOE : TOE + 2, 0] += _SIDES[:, 0] * 0.02 * body.height
    out[TOE : TOE + 2, 1] += (np.sin(toes) * 0.085 - 0.018) * body.height
    out[TOE : TOE + 2, 2] += np.cos(toes) * 0.085 * body.height
    _place_head(body, pose, torso, out)
    # The body rotates around its feet, which slide so that its middle stays about where it was.
    topple = pose[poses.TOPPLE]
    angle = math.hypot(topple[0], topple[1])
    if angle > 1e-6:
        axis = (topple[0] / angle, -topple[1] / angle)
        turn = _around(axis[0], axis[1], angle)
        out = out @ turn.T
        give = math.sin(min(angle, math.pi / 2))
        out[:, 0] -= topple[1] / angle * give * 0.38 * body.height
        out[:, 2] -= topple[0] / angle * give * 0.38 * body.height
        out[:, 1] += max(0.0, float((_FLESH * body.height - out[:, 1]).max()))  # no part sinks into the floor
    cos, sin = math.cos(pose[poses.YAW]), math.sin(pose[poses.YAW])
    yaw = np.array(((cos, 0.0, sin), (0.0, 1.0, 0.0), (-sin, 0.0, cos)))
    out = out @ yaw.T
    out[:, 0] += x
    out[:, 2] += z
    return out


_SIDES = np.array(((1.0, 1.0, 1.0), (-1.0, -1.0, -1.0)))
_OUTWARDS = np.array(((1.0, 1.0, 1.0), (-1.0, 1.0, 1.0)))
_FLESH = np.full(JOINTS, 0.022)  # how far a joint is from the skin, in body heights
_FLESH[[PELVIS, CHEST, WAIST, WAIST + 1, HIP, HIP + 1]] = 0.05
_FLESH[[NECK, KNEE, KNEE + 1, SHOULDER, SHOULDER + 1]] = 0.035
_FLESH[HEAD] = 0.07
_ELBOWS = np.array(((0.75, -0.6, -0.4), (-0.75, -0.6, -0.4)))
_KNEES = np.array(((0.25, 0.0, 1.0), (-0.25, 0.0, 1.0)))


def _across(pose: np.ndarray) -> np.ndarray:
    roll, twist = pose[poses.ROLL] * 0.5, pose[poses.TWIST] * 0.4
    return np.array((math.cos(twist), math.sin(roll), -math.sin(twist)))


def _place_head(body: Body, pose: np.ndarray, torso: np.ndarray, out: np.ndarray) -> None:
    gaze = torso @ _rotation(pose[poses.NOD] - 0.6 * pose[poses.LEAN], 0.0, pose[poses.TURN])
    r = body.head
    points = _HEAD_LONG if body.hair == "long" else _HEAD_CAP if body.hair == "cap" else _HEAD
    centre = out[NECK] + torso[:, 1] * 0.85 * r
    placed = centre + (points * r) @ gaze.T
    out[[HEAD, BROW, HAIR, BUN, MOUTH, NOSE, EYE, EYE + 1]] = placed


# Head, brow, hair, bun, mouth, nose and eyes, seen from the middle of the head, in head radii.
_HEAD = np.array(
    (
        (0.0, -0.24, 0.12), (0.0, 0.0, 0.12), (0.0, 0.26, -0.14), (0.0, 0.95, -0.75), (0.0, -0.5, 0.85),
        (0.0, -0.12, 1.05), (0.36, 0.1, 0.88), (-0.36, 0.1, 0.88),
    )
)  # fmt: skip
_HEAD_LONG, _HEAD_CAP = _HEAD.copy(), _HEAD.copy()
_HEAD_LONG[3] = (0.0, -0.95, -0.55)
_HEAD_CAP[2], _HEAD_CAP[3] = (0.0, 0.34, -0.06), (0.0, 0.42, 1.35)


def _rotation(lean: float, roll: float, twist: float) -> np.ndarray:
    """Columns are the axes of a part that leans forwards, rolls to its left and twists around itself."""
    cl, sl, cr, sr, ct, st = (f(a) for a in (lean, -roll, twist) for f in (math.cos, math.sin))
    # Ry(twist) Rx(lean) Rz(roll), multiplied out.
    return np.array(
        (
            (ct * cr + st * sl * sr, -ct * sr + st * sl * cr, st * cl),
            (cl * sr, cl * cr, -sl),
            (-st * cr + ct * sl * sr, st * sr + ct * sl * cr, ct * cl),
        )
    )


def _around(x: float, z: float, angle: float) -> np.ndarray:
    """Rotation around the level axis (x, 0, z)."""
    c, s = math.cos(angle), math.sin(angle)
    k = 1 - c
    both = x * z * k
    return np.array(((c + x * x * k, -z * s, both), (z * s, c, -x * s), (both, x * s, c + z * z * k)))


def bent(
    roots: np.ndarray, ends: np.ndarray, bends: np.ndarray, half: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Elbows or knees of limbs with two equal halves: (N, 3) -> middle (N, 3), reachable ends (N, 3)."""
    line = ends - roots
    length = np.sqrt((line * line).sum(1)) + 1e-9
    line /= length[:, None]
    length = np.minimum(length, 1.995 * half)
    side = bends - (bends * line).sum(1)[:, None] * line
    side /= np.sqrt((side * side).sum(1))[:, None] + 1e-9
    height = np.sqrt(np.maximum(half * half - 0.25 * length * length, 0.0))
    middle = roots + line * (0.5 * length)[:, None] + side * height[:, None]
    return middle, roots + line * length[:, None]


class Painter:
    """Draws one body; what does not change from frame to frame is prepared once."""

    def __init__(self, body: Body, light: tuple[float, float]) -> None:
        """``light``: the direction of the light in the image, right and down, length up to 1."""
        self.body = body
        parts = body.parts
        self._from = np.array([p[0] for p in parts])
        self._to = np.array([p[1] for p in parts])
        self._radius = np.array([(p[2], p[3]) for p in parts])
        self._colour = np.array([p[4] for p in parts] + [body.shirt, body.trousers])
        self._nearer = np.array([p[5] for p in parts] + [0.0, -0.02])
        self._light = np.array(light)
        h, girth = body.height, 0.5 + 0.5 * body.girth
        chest, hips = (SHOULDER, SHOULDER + 1, WAIST, WAIST + 1), (WAIST, WAIST + 1, HIP, HIP + 1)
        self._hulls = (
            (np.array(chest), np.array((0.034, 0.034, 0.05, 0.05)) * h * girth),
            (np.array(hips), np.array((0.047, 0.047, 0.05, 0.05)) * h * girth),
        )

    def draw(self, image: np.ndarray, camera: Camera, points: np.ndarray) -> None:
        """Paint the body with its joints at points (JOINTS, 3) into the image."""
        flat, depth = camera.project(points)
        scale = camera.focal / depth
        tips = np.stack((flat[self._from], flat[self._to]), 1)
        radius = self._radius * np.stack((scale[self._from], scale[self._to]), 1)
        outer = _fixed(capsules(tips, radius))
        inner = _fixed(capsules(tips + (0.16 * radius)[..., None] * self._light, radius * 0.84))
        shapes = [(outer[i], inner[i]) for i in range(len(outer))]
        part_depth = np.empty(len(outer) + len(self._hulls))
        part_depth[: len(outer)] = 0.5 * (depth[self._from] + depth[self._to])
        for k, (rows, sizes) in enumerate(self._hulls):
            centres, sizes = flat[rows], sizes * scale[rows]
            hull = _hull(centres, sizes)
            shapes.append((hull, _hull(centres + 0.16 * sizes[:, None] * self._light, sizes * 0.84)))
            part_depth[len(outer) + k] = depth[rows].mean()
        far = np.clip((part_depth - depth[PELVIS]) * 0.55, -0.05, 0.25)
        base = self._colour * (1 - far)[:, None]
        shade = (base * 0.7).tolist()
        colours = base.tolist()
        for i in np.argsort(self._nearer - part_depth).tolist():
            cv2.fillConvexPoly(image, shapes[i][0], shade[i], cv2.LINE_AA, _FILL_SHIFT)
            cv2.fillConvexPoly(image, shapes[i][1], colours[i], cv2.LINE_AA, _FILL_SHIFT)
        if self.body.head * scale[HEAD] >= 3.5:
            self._face(image, flat, depth, self.body.head * scale[HEAD])

    def _face(self, image: np.ndarray, flat: np.ndarray, depth: np.ndarray, size: float) -> None:
        faces_camera = depth[HEAD] - depth[[EYE, EYE + 1, MOUTH, NOSE]] > self.body.head * 0.25
        fixed = np.rint(flat * 16).astype(int)
        for visible, row in zip(faces_camera, (EYE, EYE + 1), strict=False):
            if visible:
                centre = (int(fixed[row, 0]), int(fixed[row, 1]))
                cv2.circle(image, centre, max(8, int(size * 16 * 0.11)), (38, 30, 30), -1, cv2.LINE_AA, 4)
        skin = self.body.skin
        if faces_camera[2] and size >= 7:
            centre = (int(fixed[MOUTH, 0]), int(fixed[MOUTH, 1]))
            axes = (int(size * 16 * 0.26), int(size * 16 * 0.13))
            lips = (0.45 * skin[0], 0.42 * skin[1], 0.72 * skin[2])
            cv2.ellipse(image, centre, axes, 0, 15, 165, lips, max(1, round(size * 0.09)), cv2.LINE_AA, 4)
        if faces_camera[3] and size >= 7:
            centre = (int(fixed[NOSE, 0]), int(fixed[NOSE, 1]))
            nose = (0.8 * skin[0], 0.8 * skin[1], 0.86 * skin[2])
            cv2.circle(image, centre, int(size * 16 * 0.11), nose, -1, cv2.LINE_AA, 4)


def cast_shadow(
    image: np.ndarray,
    camera: Camera,
    points: np.ndarray,
    body: Body,
    slant: tuple[float, float],
    strength: float,
) -> None:
    """Darken the floor where the body takes the light.

    ``slant``: metres to the right and to the camera for every metre of height. ``strength``: 0 to 1.
    """
    on_floor = points.copy()
    on_floor[:, 0] += slant[0] * points[:, 1]
    on_floor[:, 2] += slant[1] * points[:, 1]
    on_floor[:, 1] = 0.0
    flat, depth = camera.project(on_floor)
    thick = 0.075 * body.height * camera.focal / float(depth[PELVIS])
    coarse = 4 if thick > 12 else 2
    height, width = image.shape[:2]
    left, top = np.floor(flat.min(0) - 2 * thick).astype(int)
    right, bottom = np.ceil(flat.max(0) + 2 * thick).astype(int)
    left, top, right, bottom = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
    if right - left < 4 or bottom - top < 4:
        return
    mask = np.full((-(-(bottom - top) // coarse), -(-(right - left) // coarse)), 255, np.uint8)
    local = np.rint((flat - (left, top)) * (16 / coarse)).astype(np.int32)
    ink = 255.0 * (1 - strength)
    for chain, share in _SHADOWS:
        cv2.polylines(mask, [local[chain]], False, ink, max(1, round(thick * share / coarse)), cv2.LINE_8, 4)
    soft_edge = (3, 3) if thick < 24 else (5, 5)
    mask = cv2.blur(cv2.blur(mask, soft_edge), soft_edge)
    region = image[top:bottom, left:right]
    soft = cv2.cvtColor(cv2.resize(mask, (right - left, bottom - top)), cv2.COLOR_GRAY2BGR)
    cv2.multiply(region, soft, region, 1 / 255)


_SHADOWS = (
    (np.array((PELVIS, CHEST, HEAD)), 1.5),
    (np.array((CHEST, SHOULDER, ELBOW, HAND)), 0.6),
    (np.array((CHEST, SHOULDER + 1, ELBOW + 1, HAND + 1)), 0.6),
    (np.array((PELVIS, KNEE, ANKLE, TOE)), 0.8),
    (np.array((PELVIS, KNEE + 1, ANKLE + 1, TOE + 1)), 0.8),
)


def _arc_angles(points: int) -> np.ndarray:
    half = math.pi / 2
    return np.concatenate((np.linspace(-half, half, points), np.linspace(half, 3 * half, points)))


_ARC_ANGLES = {points: _arc_angles(points) for points in (_ARC, 5)}
_ROUND = np.linspace(0, 2 * math.pi, 16, endpoint=False)
_CIRCLE = np.stack((np.cos(_ROUND), np.sin(_ROUND)), 1)


def capsules(tips: np.ndarray, radius: np.ndarray, points: int = _ARC) -> np.ndarray:
    """Outlines of thick lines with round ends: tips (N, 2, 2), radii (N, 2) -> (N, P, 2).

    ``points`` of each end: 9, or 5 where it must be quick.
    """
    line = tips[:, 1] - tips[:, 0]
    angles = np.arctan2(line[:, 1], line[:, 0])[:, None] + _ARC_ANGLES[points]
    centre = np.repeat(tips[:, ::-1], points, axis=1)
    size = np.repeat(radius[:, ::-1], points, axis=1)
    return centre + np.stack((np.cos(angles), np.sin(angles)), 2) * size[..., None]


def _hull(centres: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    rings = centres[:, None] + _CIRCLE * sizes[:, None, None]
    return cv2.convexHull(_fixed(rings).reshape(-1, 1, 2))


def _fixed(points: np.ndarray) -> np.ndarray:
    return np.rint(points * (1 << _FILL_SHIFT)).astype(np.int32)


def _vary(colour: Colour, rng: np.random.Generator) -> Colour:
    light = rng.uniform(0.88, 1.05)
    return (min(colour[0] * light, 250.0), min(colour[1] * light, 250.0), min(colour[2] * light, 250.0))


def _cloth(rng: np.random.Generator, value: tuple[float, float] = (0.3, 0.93)) -> Colour:
    return hsv(rng.uniform(), rng.uniform(0.05, 0.78), rng.uniform(*value))


def hsv(hue: float, saturation: float, value: float) -> Colour:
    """BGR from hue, saturation and value of 0 to 1."""
    channels = []
    for offset in (1 / 3, 2 / 3, 0.0):  # blue, green, red
        ramp = abs(((hue + offset) % 1.0) * 6 - 3) - 1
        channels.append(255 * value * (1 - saturation * (1 - min(max(ramp, 0.0), 1.0))))
    return (channels[0], channels[1], channels[2])

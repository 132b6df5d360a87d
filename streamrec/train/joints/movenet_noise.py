"""What MoveNet MultiPose makes of people: keypoints with scores, jitter, gaps, mix-ups and people who are none.

The numbers were set after its output on 942 frames of nine videos of ``falls``, seven of ``workout`` and three of
``gestures``, at 15 frames a second, padded with gray to 192x256. Measured there, of the person found first:

- median scores of nose, ears, shoulders, elbows, wrists, hips, knees, ankles: ``falls`` 0.50, 0.53, 0.66, 0.47, 0.39,
  0.71, 0.52, 0.53; before a webcam 0.70, 0.77, 0.85, 0.81, 0.74, 0.83, and 0.17 and 0.09 where legs are out of the
  picture; between frames a score changes by 0.02 to 0.07 (standard deviation of one frame), and drifts by 0.03 to 0.16;
- noise of joints that move less than a pixel a frame (second differences by the square root of 6), median and 90 %,
  pixels: 0.19 and 0.55 at scores over 0.8; 0.30 and 0.88 at 0.5 to 0.6; 0.38 and 1.4 at 0.3 to 0.4; 0.35 and 2.4 at
  less than 0.1, where 3 % jump by more than 7;
- the score of a person is 0.73 to 1.28 times the mean of their keypoints' (5 and 95 %; medians 0.88 to 1.10); it falls
  by a third to a half when they lie;
- a person was lost (below 0.25) in 2 of 165 frames of people who walk, read and sit, in none to 9 % of the frames of
  those who fall, and in a third of one dark gym; for one to seven frames at a time;
- the five other places of six score 0 in 56 % and never 0.1 in these videos of single persons; their keypoints are
  anywhere, mostly at an edge, often a copy of the head of the first;
- left and right were exchanged between 4 of 923 pairs of frames, in two of them of the whole body.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streamrec.train.joints.camera import NET_HEIGHT, NET_WIDTH, Camera

PEOPLE = 6
_NET = np.array((NET_HEIGHT, NET_WIDTH), float)
# Scores as logits, for a person in a room of middle light.
_LOGITS = np.array(
    (0.0, 0.0, 0.0, 0.15, 0.15, 0.7, 0.7, 0.05, 0.05, -0.3, -0.3, 0.9, 0.9, 0.2, 0.2, 0.2, 0.2)
)
_PAIRS = ((7, 8), (9, 10), (11, 12), (13, 14), (15, 16))
_MIRROR = np.array((0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15))


@dataclass(frozen=True, kw_only=True, slots=True)
class Conditions:
    """How well the detector sees in one sequence."""

    quality: float  # added to all scores, logits
    limbs: float = 0.0  # added to the scores of elbows and wrists, logits: before a webcam they are large
    jitter: float = 1.0  # times the measured jitter
    lost: float = 1.0  # times the measured rate of people who are lost
    ghosts: float = 0.15  # chance of something in the picture that is taken for a person at times
    desk: float | None = (
        None  # height in metres below which furniture hides things; None: nothing stands there
    )


def draw_conditions(rng: np.random.Generator, *, webcam: bool, desk: float | None = None) -> Conditions:
    """Random conditions: good light before a webcam, anything in a room."""
    return Conditions(
        quality=float(rng.normal(0.95, 0.45) if webcam else rng.normal(0.4, 0.5)),
        limbs=float(rng.normal(0.5, 0.3)) if webcam else 0.0,
        jitter=float(np.exp(rng.normal(0, 0.25))),
        lost=float(np.exp(rng.normal(-0.6 if webcam else 0.0, 0.7))),
        ghosts=0.1 if webcam else 0.25,
        desk=desk,
    )


def detect(
    people: list[np.ndarray],
    camera: Camera,
    rng: np.random.Generator,
    *,
    fps: float,
    conditions: Conditions,
) -> np.ndarray:
    """The detector's output for people in front of a camera.

    ``people`` holds the joints of each, (T, 17, 3) in metres; frames where a person is not there are NaN.
    Returns (T, 6, 56) float32: for each person 17 times y, x, score, then ymin, xmin, ymax, xmax, score of the box, in
    parts of the net's input, the surest person first. Places that are not used score about 0.
    """
    count = len(people[0])
    found = [seen_alone(joints, camera, rng, fps, conditions) for joints in people]
    if rng.random() < conditions.ghosts:
        found.append(_ghost(rng, count, fps))
    merge(found, rng)
    while len(found) < PEOPLE:
        found.append(unused(rng, count, found[0]))
    stacked = np.stack(found, 1)
    order = np.argsort(-stacked[:, :, 55], axis=1, kind="stable")[:, :PEOPLE]
    return np.take_along_axis(stacked, order[:, :, None], 1).astype(np.float32)


def merge(found: list[np.ndarray], rng: np.random.Generator) -> None:
    """Of two people at the same place of the picture only the surer one is found, mostly; in place."""
    middles = [(person[:, 51:53] + person[:, 53:55]) / 2 * _NET for person in found]
    sizes = [(person[:, 53] - person[:, 51]) * NET_HEIGHT for person in found]
    for one in range(len(found)):
        for other in range(one + 1, len(found)):
            apart = np.linalg.norm(middles[one] - middles[other], axis=1)
            near = apart < 0.16 * np.minimum(sizes[one], sizes[other])
            near &= rng.random(len(near)) < 0.85
            for person, rival in ((one, other), (other, one)):
                gone = near & (found[person][:, 55] < found[rival][:, 55])
                if gone.any():
                    found[person][gone] = unused(rng, int(gone.sum()), found[rival][gone])


def seen_alone(
    joints: np.ndarray, camera: Camera, rng: np.random.Generator, fps: float, conditions: Conditions
) -> np.ndarray:
    """One of ``detect``'s people, (T, 56), as if there were no other person."""
    count = len(joints)
    present = np.isfinite(joints[:, 0, 0])
    joints = np.where(present[:, None, None], joints, 0.0)
    parts, depth = camera.project(joints)
    shown = camera.shows(parts, depth)
    places = np.clip(parts, -2, 3) * _NET
    tall = _extent(places, shown)
    moved = np.zeros((count, 17))
    if count > 1:
        moved[1:] = np.linalg.norm(np.diff(places, axis=0), axis=-1) * (fps / 15)  # pixels a 15th of a second
        moved[0] = moved[1]
    logits = _logits(joints, places, depth, camera, rng, fps, conditions)
    logits -= 0.03 * np.minimum(moved, 40) + 1.5 * np.maximum(0, 1 - tall / 60)[:, None]
    outside = ~shown
    logits = np.where(outside, rng.normal(-3.2, 1.0, (1, 17)) + rng.normal(0, 0.7, (count, 17)), logits)
    scores = 1 / (1 + np.exp(-logits))
    scores = np.where(outside, np.minimum(scores, 0.3), scores)
    places = _misplaced(places, scores, tall, outside, camera, rng, fps, conditions.jitter)
    places += rng.normal(0, 1, places.shape) * (0.045 * np.minimum(moved, 30))[..., None]
    facing = _facing(joints, camera)
    _mix_up(places, scores, facing, rng, fps)
    return _as_person(places, scores, outside, present, tall, rng, fps, conditions.lost)


def _logits(
    joints: np.ndarray,
    places: np.ndarray,
    depth: np.ndarray,
    camera: Camera,
    rng: np.random.Generator,
    fps: float,
    conditions: Conditions,
) -> np.ndarray:
    count = len(joints)
    logits = np.broadcast_to(_LOGITS, (count, 17)) + conditions.quality
    logits = logits + rng.normal(0, 0.3, 17) + _drift(rng, count, 17, fps, 1.0) * 0.3
    logits += rng.normal(0, 0.17, (count, 17)) + _drift(rng, count, 1, fps, 0.4) * 0.12
    logits[:, 7:11] += conditions.limbs
    torso = places[:, 5:7].mean(1) - places[:, 11:13].mean(1)
    lying = np.clip(1 - np.maximum(-torso[:, 0], 0) / np.maximum(np.linalg.norm(torso, axis=1), 1e-6), 0, 1)
    logits -= (lying * rng.uniform(0.3, 1.4))[:, None]
    facing = _facing(joints, camera)
    logits[:, :3] -= 1.1 * np.maximum(0, -facing)[:, None]
    hidden = _hidden(joints, places, depth, camera)
    logits -= hidden * rng.uniform(0.7, 1.8)
    if conditions.desk is not None:
        below = np.clip((conditions.desk - joints[..., 1]) / 0.08, 0, 1)
        logits -= below * rng.uniform(1.5, 3.0)
    return logits


def _hidden(joints: np.ndarray, places: np.ndarray, depth: np.ndarray, camera: Camera) -> np.ndarray:
    """How far each joint is behind the torso, the head or the other leg: (T, 17), 0 to 1."""
    hidden = np.zeros(places.shape[:2])
    upper, lower = places[:, 5:7].mean(1, keepdims=True), places[:, 11:13].mean(1, keepdims=True)
    near = depth[:, [5, 6, 11, 12]].mean(1, keepdims=True)
    metre = camera.focal * camera.part[0] * NET_HEIGHT / np.maximum(near, 0.2)  # pixels
    axis = lower - upper
    limbs = np.arange(7, 17)
    along = ((places[:, limbs] - upper) * axis).sum(-1) / np.maximum((axis * axis).sum(-1), 1e-6)
    aside = np.linalg.norm(places[:, limbs] - upper - np.clip(along, 0, 1)[..., None] * axis, axis=-1) / metre
    behind = depth[:, limbs] - near
    hidden[:, limbs] = np.clip((0.17 - aside) / 0.05, 0, 1) * np.clip((behind - 0.05) / 0.06, 0, 1)
    for one, other in ((13, 14), (15, 16), (11, 12)):
        close = np.linalg.norm(places[:, one] - places[:, other], axis=-1) / metre[:, 0]
        gap = depth[:, one] - depth[:, other]
        for joint, behind_other in ((one, gap), (other, -gap)):
            covered = np.clip((0.09 - close) / 0.04, 0, 1) * np.clip((behind_other - 0.05) / 0.05, 0, 1)
            hidden[:, joint] = np.maximum(hidden[:, joint], covered)
    middle = joints[:, 3:5].mean(1)
    to_camera = camera.place - middle
    to_camera /= np.maximum(np.linalg.norm(to_camera, axis=1, keepdims=True), 1e-6)
    for ear in (3, 4):
        aside_of_head = joints[:, ear] - middle
        length = np.maximum(np.linalg.norm(aside_of_head, axis=1), 1e-6)
        hidden[:, ear] = np.clip(-(aside_of_head * to_camera).sum(1) / length * 1.6 - 0.3, 0, 1)
    return hidden


def _facing(joints: np.ndarray, camera: Camera) -> np.ndarray:
    """How far the face is turned to the camera: (T,), 1 straight, -1 away."""
    middle = joints[:, 3:5].mean(1)
    ahead = joints[:, 0] - middle
    to_camera = camera.place - middle
    lengths = np.linalg.norm(ahead, axis=1) * np.linalg.norm(to_camera, axis=1)
    return (ahead * to_camera).sum(1) / np.maximum(lengths, 1e-6)


def _misplaced(
    places: np.ndarray,
    scores: np.ndarray,
    tall: np.ndarray,
    outside: np.ndarray,
    camera: Camera,
    rng: np.random.Generator,
    fps: float,
    jitter: float,
) -> np.ndarray:
    """Joints where the detector has them: jitter everywhere, and somewhere else where it is unsure."""
    count = len(places)
    unsure = 1 - scores
    white = (0.1 + 0.33 * unsure**1.2) * jitter
    places = places + rng.normal(0, 1, places.shape) * white[..., None]
    slow = _drift(rng, count, 34, fps, 0.8).reshape(count, 17, 2)
    places = places + slow * (0.012 * tall[:, None] * (0.5 + unsure))[..., None]
    # Below a score of 0.3 a joint may be anywhere near the body for a while, or jump for a frame.
    doubt = np.clip((0.3 - scores) / 0.3, 0, 1)
    size = np.minimum(tall, 130)[:, None]
    wander = _drift(rng, count, 34, fps, 1.5).reshape(count, 17, 2)
    places = places + wander * (0.1 * size * doubt)[..., None]
    jumps = rng.random((count, 17)) < 0.07 * doubt + 0.002
    reach = (0.1 * size * (0.3 + doubt))[..., None]
    off = np.where(jumps[..., None], rng.normal(0, 1, places.shape) * reach, 0.0)
    if outside.any():  # put at the edge of the picture or on what is seen of the body, and rather still
        part = np.array(camera.part)
        low, high = (0.5 - part / 2 + 0.012) * _NET, (0.5 + part / 2 - 0.012) * _NET
        inner = np.clip(places, low, high)
        inner = (
            inner
            + rng.normal(0, 0.3, inner.shape)
            + np.sign(inner - places) * np.abs(wander) * 0.06 * size[..., None]
        )
        places = np.where(outside[..., None], np.clip(inner, low, high), places)
    return places + off


def _mix_up(
    places: np.ndarray, scores: np.ndarray, facing: np.ndarray, rng: np.random.Generator, fps: float
) -> None:
    """Exchange left and right for moments: seldom from ahead, often from the side or behind; in place."""
    count = len(places)
    seconds = count / fps
    doubt = float(np.clip(1 - facing, 0, 1.6).mean())
    for _ in range(rng.poisson(seconds * (0.004 + 0.03 * doubt))):
        start = rng.integers(count)
        moment = slice(start, start + 1 + rng.geometric(1 / (1 + 0.25 * fps)))
        if rng.random() < 0.4:
            places[moment], scores[moment] = places[moment][:, _MIRROR], scores[moment][:, _MIRROR]
        else:
            one, other = _PAIRS[rng.integers(len(_PAIRS))]
            for values in (places, scores):
                values[moment, one], values[moment, other] = (
                    values[moment, other].copy(),
                    values[moment, one].copy(),
                )
    if (
        doubt > 1.2 and rng.random() < 0.12
    ):  # a person seen from behind is taken for a person who faces the camera
        away = facing < -0.2
        places[away], scores[away] = places[away][:, _MIRROR], scores[away][:, _MIRROR]


def _as_person(
    places: np.ndarray,
    scores: np.ndarray,
    outside: np.ndarray,
    present: np.ndarray,
    tall: np.ndarray,
    rng: np.random.Generator,
    fps: float,
    lost: float,
) -> np.ndarray:
    count = len(places)
    rows = np.empty((count, 56))
    counted = np.where(outside, 0.35, 1.0)
    mean = (scores * counted).sum(1) / counted.sum(1)
    score = mean * np.clip(
        0.97 + 0.06 * _drift(rng, count, 1, fps, 0.7)[:, 0] + rng.normal(0, 0.02, count), 0.7, 1.3
    )
    seen = (~outside).sum(1)
    score *= np.clip((seen - 1) / 5, 0, 1)  # a hand or a leg alone is no person
    parts = places / _NET
    kept = (scores > 0.08)[..., None]
    low = np.where(kept, parts, np.inf).min(1)
    high = np.where(kept, parts, -np.inf).max(1)
    empty = ~np.isfinite(low[:, 0])
    low[empty], high[empty] = 0.45, 0.55
    size = (high - low)[:, :1] * NET_HEIGHT
    margin = (0.11, 0.05), (0.05, 0.05)
    noise = rng.normal(1, 0.12, (count, 4))
    box = np.stack(
        (
            low[:, 0] - margin[0][0] * size[:, 0] / NET_HEIGHT * noise[:, 0],
            low[:, 1] - margin[1][0] * size[:, 0] / NET_WIDTH * noise[:, 1],
            high[:, 0] + margin[0][1] * size[:, 0] / NET_HEIGHT * noise[:, 2],
            high[:, 1] + margin[1][1] * size[:, 0] / NET_WIDTH * noise[:, 3],
        ),
        1,
    )
    rows[:, 51:55] = np.clip(box, 0, 1)
    rows[:, 55] = score
    rows[:, :51] = np.concatenate((parts, scores[..., None]), 2).reshape(count, 51)
    gone = ~present | _lost(score, rng, fps, lost)
    if gone.any():
        rows[gone] = unused(rng, int(gone.sum()), rows[gone])
        rows[gone, 55] *= 4
    return rows


def _lost(score: np.ndarray, rng: np.random.Generator, fps: float, lost: float) -> np.ndarray:
    """The frames in which a person is not found: (T,) bool; the less sure, the more, for some frames at a time."""
    rate = lost * (0.025 + 1.2 * np.clip((0.32 - score) / 0.32, 0, 1) ** 1.5) / fps
    starts = np.flatnonzero(rng.random(len(score)) < rate)
    gone = np.zeros(len(score), bool)
    for start, length in zip(starts, rng.geometric(1 / (1 + 0.12 * fps), len(starts)), strict=True):
        gone[start : start + length] = True
    return gone | (score < 0.02)


def unused(rng: np.random.Generator, count: int, first: np.ndarray) -> np.ndarray:
    """A place of the output that holds no person: keypoints anywhere, a few as a copy of the first person's head."""
    rows = np.zeros((count, 56))
    blocks = max(1, count // 8)
    of_block = np.minimum(np.arange(count) * blocks // max(count, 1), blocks - 1)
    middle = rng.uniform(0, 1, (blocks, 1, 2))
    edge = rng.random((blocks, 1)) < 0.6
    side = rng.integers(2, size=(blocks, 1))
    middle[:, :, 1] = np.where(edge, np.where(side, 0.98, 0.02), middle[:, :, 1])
    spread = rng.normal(0, 1, (blocks, 17, 2)) * (0.12, 0.04)
    keypoints = (middle + spread)[of_block] + rng.normal(0, 0.006, (count, 17, 2))
    scores = rng.exponential(0.012, (count, 17))
    rows[:, :51] = np.concatenate((np.clip(keypoints, 0, 1.02), scores[..., None]), 2).reshape(count, 51)
    copy = (rng.random(blocks) < 0.12)[of_block]
    rows[copy, :15] = first[copy, :15]
    low, high = keypoints.min(1) - 0.03, keypoints.max(1) + 0.03
    rows[:, 51:55] = np.clip(np.concatenate((low, high), 1), 0, 1)
    rows[:, 55] = np.where(rng.random(count) < 0.56, 0.0, np.minimum(rng.exponential(0.006, count), 0.03))
    return rows


def _ghost(rng: np.random.Generator, count: int, fps: float) -> np.ndarray:
    """Something that stands still and is taken for a person at times: a coat, a poster, a reflection."""
    tall = rng.uniform(25, 120)
    shape = np.array(
        ((0, 0), (-0.03, 0.02), (-0.03, -0.02), (-0.02, 0.05), (-0.02, -0.05), (0.13, 0.11), (0.13, -0.11), (0.3, 0.14),
         (0.3, -0.14), (0.42, 0.14), (0.42, -0.14), (0.45, 0.07), (0.45, -0.07), (0.68, 0.07), (0.68, -0.07),
         (0.9, 0.07), (0.9, -0.07))
    )  # fmt: skip
    shape = shape * tall * (1 + rng.normal(0, 0.12, shape.shape)) + rng.normal(0, 0.03 * tall, shape.shape)
    places = rng.uniform(0, 0.8, 2) * _NET + shape + rng.normal(0, 0.02 * tall, (count, 17, 2))
    mean = rng.uniform(-2.6, -0.9) + 0.6 * _drift(rng, count, 1, fps, 1.0)
    scores = 1 / (1 + np.exp(-(mean + rng.normal(0, 0.6, 17) + rng.normal(0, 0.25, (count, 17)))))
    outside = np.zeros((count, 17), bool)
    present = np.ones(count, bool)
    return _as_person(places, scores, outside, present, np.full(count, tall), rng, fps, 6.0)


def _extent(places: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """The larger side of what is seen of a person: (T,) pixels."""
    low = np.where(shown[..., None], places, np.inf).min(1)
    high = np.where(shown[..., None], places, -np.inf).max(1)
    size = np.where(np.isfinite(low), high - low, 0).max(1)
    return np.clip(size, 10, 250)


def _drift(rng: np.random.Generator, count: int, channels: int, fps: float, seconds: float) -> np.ndarray:
    """Slow noise of unit variance: (T, channels), made of knots so far apart, smoothly joined."""
    step = max(1.0, seconds * fps)
    knots = rng.normal(0, 1.25, (int(count / step) + 3, channels))
    at = np.arange(count) / step
    before = at.astype(int)
    part = (at - before)[:, None]
    part = part * part * (3 - 2 * part)
    return knots[before] * (1 - part) + knots[before + 1] * part

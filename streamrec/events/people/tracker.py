"""Who is who: people who were found in each frame, followed from frame to frame, by the clock.

A track is a person with a number. Its box moves by a Kalman filter whose velocity is forgotten in time (an
Ornstein-Uhlenbeck process), so that a person who is covered is expected where they walk to, ever less surely. A
detection belongs to a track as much as the keypoints (COCO's object keypoint similarity) and the boxes (intersection
over union) are alike and the place is likely, all of them the more generous the less sure the prediction is; the pairs
are those of the least total cost. Surely found people are matched first, unsure ones to what is left of the tracks
afterwards, so that a person who is partly covered is not lost (ByteTrack; Zhang et al., ECCV 2022,
https://arxiv.org/abs/2110.06864). The filter is SORT's in kind (Bewley et al., ICIP 2016,
https://arxiv.org/abs/1602.00763), in seconds instead of frames. Appearance is not used.

Everything that is remembered is in ``Tracks``: arrays in, arrays out, and the same numbers for the same frames.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from streamrec.events.detector import INSTANT
from streamrec.events.people.assignment import assign
from streamrec.events.people.detections import KEYPOINTS, SPREADS, Detections, Rectangle
from streamrec.types import Person

SLOTS = 12  # tracks of a stream: six people who are seen, and as many who are waited for
_VALUE, _VELOCITY, _PP, _PV, _VV = range(5)  # of y and x, and their variances
_LEAST = 0.02  # of a body's size, in heights of the input
_LEAST_SURE = 1e-3  # of a keypoint's weight
_COVERED = 0.3  # share of a body's area that is missing where its box does not show its place any more
_NEVER = 9.0  # cost of a pair that cannot be


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackSettings:
    """How people are followed; times in seconds, lengths in sizes of the person (the longer side of the box)."""

    found: float = 0.22  # score from which on a detection is sure, and may begin a track
    unsure: float = 0.08  # score from which on it may go on with a track
    alike: float = 0.75  # keypoint similarity from which on two detections are one person
    shortest: float = 0.15  # a person gets a number after so long, and two frames
    waiting: float = 3.0  # so long a person is waited for who is not found
    outside: float = 0.5  # and so long where they have left the picture
    speed: float = 0.5  # standard deviation of the velocity, a second
    inertia: float = 1.2  # time constant of the velocity
    growth: float = 0.2  # standard deviation of the change of the sides in a second
    noise: float = 0.04  # standard deviation of the detector's places
    size_noise: float = 0.1  # and of its heights and widths
    slack: float = 0.12  # standard deviation of a predicted place at the least, where pairs are chosen
    covered: float = (
        6.0  # how much noisier the sides are of a person who is smaller than expected, all covered
    )
    keypoints_share: float = 0.4  # of the cost of a pair; the others are of the box and the place
    boxes_share: float = 0.3
    changing: float = 0.25  # how far keypoints move within the body in a second
    farthest: float = 4.0  # standard deviations from the predicted place
    dearest: float = 0.8  # cost of a pair, 0 to 1, from which on it is none


class Tracks(NamedTuple):
    """The people of one stream; axis 0 of all but ``issued`` is the slot, and a slot without hits is empty.

    Places are in heights of the model's input: y from 0 to 1, x to its aspect.
    """

    number: np.ndarray  # (S,) int64: the person's; 0: not sure to be one yet
    hits: np.ndarray  # (S,) int64: frames in which the person was found
    age: np.ndarray  # (S,) float64: seconds from the first to the last of them
    unseen: np.ndarray  # (S,) float64: seconds since the last of them
    motion: np.ndarray  # (S, 2, 5) float64: of the middle's y and x: value, velocity, and their (co)variances
    sides: np.ndarray  # (S, 2, 2) float64: height and width, and their variances
    body: (
        np.ndarray
    )  # (S, 17, 3) float64: keypoints from the middle, as they were when they were sure, and how sure
    keypoints: np.ndarray  # (S, 17, 3) float64: as they were found last; y, x and score
    box: np.ndarray  # (S, 4) float64: as it was found last
    score: np.ndarray  # (S,) float64
    issued: np.ndarray  # (1,) int64: the last number that was given


def no_tracks(issued: int = 0) -> Tracks:
    """No person is followed."""
    return Tracks(
        number=np.zeros(SLOTS, np.int64),
        hits=np.zeros(SLOTS, np.int64),
        age=np.zeros(SLOTS),
        unseen=np.zeros(SLOTS),
        motion=np.zeros((SLOTS, 2, 5)),
        sides=np.zeros((SLOTS, 2, 2)),
        body=np.zeros((SLOTS, KEYPOINTS, 3)),
        keypoints=np.zeros((SLOTS, KEYPOINTS, 3)),
        box=np.zeros((SLOTS, 4)),
        score=np.zeros(SLOTS),
        issued=np.array([issued], np.int64),
    )


def step_tracks(
    tracks: Tracks,
    found: Detections,
    elapsed: float,
    *,
    aspect: float,
    max_gap: float = 2.0,
    settings: TrackSettings = TrackSettings(),
) -> Tracks:
    """The tracks after a frame, ``elapsed`` seconds after the one before; ``aspect``: width by height of the input.

    All are forgotten where ``elapsed`` is not within 0 to ``max_gap``, as the rest of a stream's memory is; numbers
    are never given twice.
    """
    if not 0.0 <= elapsed <= max_gap:
        tracks = no_tracks(int(tracks.issued[0]))
    seen = _once(_Seen.of(found.only(found.scores >= settings.unsure), aspect), settings)
    if not len(seen.score) and not tracks.hits.any():
        return tracks
    tracks = _predicted(tracks, elapsed, settings)
    pairs = _matched(tracks, seen, settings)
    taken = {one for _, one in pairs}
    new = [one for one in range(len(seen.score)) if one not in taken and seen.score[one] >= settings.found]
    after = tracks._replace(**{name: getattr(tracks, name).copy() for name in tracks._fields})
    _update(after, seen, pairs, settings)
    _begin(after, seen, new, settings)
    _forget(after, aspect, settings)
    _number(after, settings)
    return after


def numbered(tracks: Tracks) -> list[int]:
    """The slots of the people who have a number, in its order."""
    slots = np.flatnonzero((tracks.number > 0) & (tracks.hits > 0))
    return sorted(map(int, slots), key=lambda slot: int(tracks.number[slot]))


def people_of(
    tracks: Tracks, aspect: float, picture: Rectangle = Rectangle(), slots: Sequence[int] | None = None
) -> tuple[Person, ...]:
    """The people of these slots as they were found last, in parts of the camera's picture.

    ``slots``: None for all who have a number and were found in the last frame.
    """
    if slots is None:
        slots = [slot for slot in numbered(tracks) if tracks.unseen[slot] == 0.0]
    scale = np.array((picture.tall, picture.wide * aspect))
    offset = np.array((picture.top, picture.left)) / (picture.tall, picture.wide)
    people = []
    for slot in slots:
        keypoints = tracks.keypoints[slot].copy()
        keypoints[:, :2] = keypoints[:, :2] / scale - offset
        keypoints = keypoints.astype(np.float32)
        keypoints.setflags(write=False)
        box = (tracks.box[slot] / np.tile(scale, 2) - np.tile(offset, 2)).clip(0.0, 1.0)
        ymin, xmin, ymax, xmax = (float(side) for side in box)
        people.append(
            Person(int(tracks.number[slot]), (ymin, xmin, ymax, xmax), keypoints, float(tracks.score[slot]))
        )
    return tuple(people)


class _Seen(NamedTuple):
    """Detections (P) in heights of the input."""

    keypoints: np.ndarray  # (P, 17, 3)
    box: np.ndarray  # (P, 4)
    score: np.ndarray  # (P,)
    middle: np.ndarray  # (P, 2) y and x
    sides: np.ndarray  # (P, 2) height and width

    @classmethod
    def of(cls, found: Detections, aspect: float) -> _Seen:
        box = found.boxes * (1.0, aspect, 1.0, aspect)
        low, high = box[:, :2], box[:, 2:]
        keypoints = found.keypoints * (1.0, aspect, 1.0)
        return cls(keypoints, box, found.scores, (low + high) / 2, (high - low).clip(_LEAST))


def _once(seen: _Seen, settings: TrackSettings) -> _Seen:
    """Without the less sure of two detections that are of one person."""
    count = len(seen.score)
    if count < 2:
        return seen
    places, sure = seen.keypoints[..., :2], seen.keypoints[..., 2]
    weights = np.sqrt((sure[:, None] * sure[None]).clip(_LEAST_SURE**2))
    away = np.square(places[:, None] - places[None]).sum(-1)
    area = seen.sides.prod(1)
    spread = 2.0 * np.minimum(area[:, None], area[None])[..., None] * SPREADS**2
    alike = (weights * np.exp(-away / spread)).sum(-1) / weights.sum(-1)
    if (alike >= settings.alike).sum() == count:  # each with itself alone
        return seen
    kept: list[int] = []
    for one in np.argsort(-seen.score, kind="stable"):
        if all(alike[one, other] < settings.alike for other in kept):
            kept.append(int(one))
    return _Seen(*(array[sorted(kept)] for array in seen))


def _predicted(tracks: Tracks, elapsed: float, settings: TrackSettings) -> Tracks:
    """The tracks as they are expected so many seconds later."""
    if not 0.0 < elapsed < math.inf or not tracks.hits.any():
        return tracks
    time = settings.inertia
    kept = math.exp(-elapsed / time)
    reach = time * (1.0 - kept)
    size = tracks.sides[:, :, 0].max(1)
    push = np.square(settings.speed * size)[:, None]
    p, v, pp, pv, vv = (tracks.motion[..., n] for n in range(5))
    after = np.empty_like(tracks.motion)
    after[..., _VALUE] = p + reach * v
    after[..., _VELOCITY] = kept * v
    # Exact for a velocity that is pushed at random and forgotten.
    spread = time * time * max(0.0, 2.0 * elapsed / time - 3.0 + 4.0 * kept - kept * kept)
    after[..., _PP] = pp + 2.0 * reach * pv + reach * reach * vv + spread * push
    after[..., _PV] = kept * (pv + reach * vv) + reach * (1.0 - kept) * push
    after[..., _VV] = kept * kept * vv + (1.0 - kept * kept) * push
    sides = tracks.sides.copy()
    sides[..., 1] += elapsed * np.square(settings.growth * size)[:, None]
    return tracks._replace(motion=after, sides=sides, unseen=tracks.unseen + elapsed)


def _matched(tracks: Tracks, seen: _Seen, settings: TrackSettings) -> list[tuple[int, int]]:
    """Pairs of a slot and a detection: sure detections with all tracks first, then unsure ones with the rest."""
    slots = np.flatnonzero(tracks.hits > 0)
    if not len(slots) or not len(seen.score):
        return []
    cost = _costs(tracks, slots, seen, settings)
    sure, numbered = seen.score >= settings.found, tracks.number[slots] > 0
    rows_left, columns_left = np.ones(len(slots), bool), np.ones(len(sure), bool)
    pairs: list[tuple[int, int]] = []
    for rows, columns in ((numbered, sure), (numbered, ~sure), (~numbered, sure)):
        row, column = np.flatnonzero(rows & rows_left), np.flatnonzero(columns & columns_left)
        if len(row) and len(column):
            for one, other in assign(cost[np.ix_(row, column)], settings.dearest):
                pairs.append((int(slots[row[one]]), int(column[other])))
                rows_left[row[one]] = columns_left[column[other]] = False
    return pairs


def _costs(tracks: Tracks, slots: np.ndarray, seen: _Seen, settings: TrackSettings) -> np.ndarray:
    """How unlike each of these tracks and each detection are: (T, P), 0 to 1; more where it cannot be the person."""
    at, sides, body = tracks.motion[slots, :, _VALUE], tracks.sides[slots, :, 0], tracks.body[slots]
    size = sides.max(1)
    variance = tracks.motion[slots, :, _PP] + np.square(settings.slack * size)[:, None]
    off = at[:, None] - _middles(seen, body, sides)
    far = (np.square(off) / variance[:, None]).sum(-1)
    places = body[..., :2] + at[:, None]
    away = np.square(places[:, None] - seen.keypoints[None, ..., :2]).sum(-1)
    weights = body[:, None, :, 2] * seen.keypoints[None, ..., 2]
    loose = variance.mean(1) + np.square(settings.changing * tracks.unseen[slots] * size)
    spread = 2.0 * (sides.prod(1)[:, None] * SPREADS**2 + loose[:, None])
    alike = (weights * np.exp(-away / spread[:, None])).sum(-1) / weights.sum(-1).clip(_LEAST_SURE)
    # Boxes widened by how unsure the place is.
    wider = np.sqrt(variance)
    half = sides / 2 + wider
    low = np.maximum((at - half)[:, None], seen.box[None, :, :2] - wider[:, None])
    high = np.minimum((at + half)[:, None], seen.box[None, :, 2:] + wider[:, None])
    shared = (high - low).clip(0.0).prod(-1)
    grown = (seen.sides[None] + 2.0 * wider[:, None]).prod(-1)
    overlap = shared / (4.0 * half.prod(1)[:, None] + grown - shared)
    keys, boxes = settings.keypoints_share, settings.boxes_share
    unlike = keys * (1.0 - alike) + boxes * (1.0 - overlap)
    cost = unlike + (1.0 - keys - boxes) * (1.0 - np.exp(far / -8.0))
    return np.where(far <= settings.farthest**2, cost, _NEVER)


def _middles(seen: _Seen, body: np.ndarray, sides: np.ndarray) -> np.ndarray:
    """Where the middle of each body (T) is, if it is that of each detection (P): (T, P, 2).

    That of the box; as far as box and body differ in size, because a part of the person is or was covered, as the
    keypoints have it.
    """
    weights = body[:, None, :, 2] * seen.keypoints[None, ..., 2]
    off = seen.keypoints[None, ..., :2] - body[:, None, :, :2]
    total = weights.sum(-1)
    by_keypoints = (off * weights[..., None]).sum(-2) / total.clip(_LEAST_SURE)[..., None]
    part = (_missing(seen, sides, both=True) / _COVERED).clip(0.0, 1.0) * (total > _LEAST_SURE)
    return seen.middle[None] + part[..., None] * (by_keypoints - seen.middle[None])


def _missing(seen: _Seen, sides: np.ndarray, both: bool = False) -> np.ndarray:
    """What share of the area of each body (T) is missing in each detection (P): (T, P), 0 to 1.

    ``both``: or what share of the detection's area is missing in the body.
    """
    ratio = seen.sides.prod(1)[None] / sides.prod(1).clip(_LEAST**2)[:, None]
    return 1.0 - np.minimum(ratio, 1.0 / ratio if both else 1.0)


def _update(tracks: Tracks, seen: _Seen, pairs: list[tuple[int, int]], settings: TrackSettings) -> None:
    """Put what was found of each track into it."""
    if not pairs:
        return
    slots = [slot for slot, _ in pairs]
    own = _Seen(*(array[[one for _, one in pairs]] for array in seen))
    body, sides, variance = tracks.body[slots], tracks.sides[slots, :, 0], tracks.sides[slots, :, 1]
    size = sides.max(1, keepdims=True)
    same = np.arange(len(slots))
    doubt = 1.0 + settings.covered * _missing(own, sides)[same, same, None]
    middle = _middles(own, body, sides)[same, same]
    tracks.motion[slots] = _corrected(tracks.motion[slots], middle, np.square(settings.noise * size))
    gain = variance / (variance + np.square(settings.size_noise * size * doubt))
    tracks.sides[slots, :, 0] = sides + gain * (own.sides - sides)
    tracks.sides[slots, :, 1] = (1.0 - gain) * variance
    # A keypoint that is covered stays where it was in the body.
    sure = own.keypoints[..., 2:]
    share = np.sqrt(sure / (sure + body[..., 2:]).clip(_LEAST_SURE))
    new = own.keypoints.copy()
    new[..., :2] -= tracks.motion[slots, None, :, _VALUE]
    tracks.body[slots] = body + share * (new - body)
    tracks.hits[slots] += 1
    tracks.age[slots] += tracks.unseen[slots]
    tracks.unseen[slots] = 0.0
    tracks.keypoints[slots], tracks.box[slots], tracks.score[slots] = own.keypoints, own.box, own.score


def _corrected(motion: np.ndarray, middle: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """The Kalman filter's update of (T, 2, 5) by places (T, 2) of variances (T, 1)."""
    p, v, pp, pv, vv = (motion[..., n] for n in range(5))
    gain, gain_of_velocity = pp / (pp + noise), pv / (pp + noise)
    error = middle - p
    after = np.empty_like(motion)
    after[..., _VALUE] = p + gain * error
    after[..., _VELOCITY] = v + gain_of_velocity * error
    after[..., _PP] = (1.0 - gain) * pp
    after[..., _PV] = (1.0 - gain) * pv
    after[..., _VV] = vv - gain_of_velocity * pv
    return after


def _begin(tracks: Tracks, seen: _Seen, new: list[int], settings: TrackSettings) -> None:
    """A track for each of these detections; those who are waited for longest make room."""
    places = np.lexsort((-tracks.unseen, tracks.number > 0, tracks.hits > 0))[: len(new)] if new else ()
    for slot, one in zip(places, new, strict=True):
        size = float(seen.sides[one].max())
        tracks.number[slot], tracks.hits[slot] = 0, 1
        tracks.age[slot] = tracks.unseen[slot] = 0.0
        tracks.motion[slot] = 0.0
        tracks.motion[slot, :, _VALUE] = seen.middle[one]
        tracks.motion[slot, :, _PP] = (settings.noise * size) ** 2
        tracks.motion[slot, :, _VV] = (settings.speed * size) ** 2
        tracks.sides[slot, :, 0], tracks.sides[slot, :, 1] = (
            seen.sides[one],
            (settings.size_noise * size) ** 2,
        )
        tracks.keypoints[slot], tracks.box[slot] = seen.keypoints[one], seen.box[one]
        tracks.body[slot] = seen.keypoints[one] - (*seen.middle[one], 0.0)
        tracks.score[slot] = seen.score[one]


def _forget(tracks: Tracks, aspect: float, settings: TrackSettings) -> None:
    """Drop those who were waited for long enough."""
    middle = tracks.motion[..., _VALUE]
    left = ((middle < 0.0) | (middle > (1.0, aspect))).any(1)
    patience = np.where(left, settings.outside, settings.waiting)
    gone = tracks.unseen > np.where(tracks.number > 0, patience, 2.0 * settings.shortest)
    tracks.hits[gone] = tracks.number[gone] = 0


def _number(tracks: Tracks, settings: TrackSettings) -> None:
    """Give a number to those who were there long enough."""
    ready = (tracks.number == 0) & (tracks.hits > 1) & (tracks.age >= settings.shortest - INSTANT)
    for slot in np.flatnonzero(ready):
        tracks.issued[0] += 1
        tracks.number[slot] = tracks.issued[0]

"""The keypoint encoder: one person whom MoveNet sees, followed, in units of their own body."""

from __future__ import annotations

from typing import NamedTuple

from streamrec.errors import need
from streamrec.nn.encoders import movenet
from streamrec.nn.encoders.base import Cache, Encoder
from streamrec.nn.encoders.movenet import KEYPOINTS, PEOPLE, PERSON, MoveNet

need("torch", extra="train")

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402

NAME = "person-joints"
FEATURES = 153

_NOSE, _SHOULDERS, _WRISTS, _HIPS = 0, (5, 6), (9, 10), (11, 12)
# Arms, then legs, left and right: each limb from its inner to its outer keypoint.
_LIMBS = ((5, 7), (7, 9), (6, 8), (8, 10), (11, 13), (13, 15), (12, 14), (14, 16))

# Time constants, in frame intervals of the training rate.
_FORGET_PERSON = 7.0  # how long a person is waited for who is not seen
_FORGET_KEYPOINT = 10.0  # how long a keypoint that is unsure stays where it was
_SCALE = 8.0  # of the smoothed body length
_SLOW = 15.0  # of the place and size that changes are measured against

_NEAR = 12.0  # how much more a person is worth who is where the followed person was
_WAITING = 0.4  # while the followed person is missed more than this, no other person is followed
# A score from which on a person or a keypoint counts at all, and how much more makes it count in full.
_PERSON_SEEN, _KEYPOINT_SEEN = (0.1, 0.15), (0.15, 0.25)
# Lengths of a body in lengths of its torso: from shoulder to shoulder, and from the nose to between the shoulders.
_SHOULDER_WIDTH, _NECK = 0.7, 0.53
_FAST = 4.0  # frame intervals: so far apart is what velocities are a change over
_LEAST = 0.02  # of any length, in heights of the image


class Person(NamedTuple):
    """The person who is followed in N streams of T frames."""

    features: Tensor  # (N, T, 153)
    box: Tensor  # (N, T, 4) ymin, xmin, ymax, xmax, parts of the image; of no meaning where the person is not seen
    seen: Tensor  # (N, T) bool
    waited_for: Tensor  # (N, T) bool: seen, or not long ago


class _Followed(NamedTuple):
    """Who is followed, (N,) each; lengths are in heights of the image."""

    y: Tensor  # the middle of the box
    x: Tensor
    size: Tensor  # square root of the box's area
    strength: Tensor  # 0: no person; falls from 1 while the person is not seen


class _Body(NamedTuple):
    """What is remembered of the followed person's body."""

    joints: Tensor  # (N, 17, 2) y and x in body units from the root; unsure ones fade to 0
    weights: Tensor  # (N, 17) how sure each was
    root: Tensor  # (N, 2) y and x between the shoulders, heights of the image
    slow_root: Tensor  # (N, 2) its average
    log_scale: Tensor  # (N, 1) logarithm of the smoothed body length
    slow_scale: Tensor  # (N, 1) its average
    known: Tensor  # (N, 1) 1 where all of these are of a person


class KeypointEncoder(Encoder):
    """One person's keypoints in body units, their velocities, angles and place. Nothing in it is trained here.

    Of the people that MoveNet finds it follows one: the one nearest in place and size to the one before, else the
    largest and surest. The origin of their body is between the shoulders, its unit the length of the torso, smoothed,
    as the longest of three parts shows it (the torso itself is often out of a webcam's picture, and shoulders that
    turn seem narrow). Keypoints count as much as they are sure; unsure ones stay where they were, and fade to the
    origin. Velocities are changes over four frame intervals of the training rate, by the clock. The cache: who is
    followed, (N, 4), and what is remembered of the body, (N, 58).
    """

    has_backbone = True
    mean = movenet.MEAN
    std = movenet.STD
    feature_size = FEATURES

    def __init__(self, *, height: int, width: int) -> None:
        """``height`` and ``width`` are multiples of 32."""
        super().__init__()
        self.trunk = MoveNet()  # the name is that of tensors in model files
        self.aspect = width / height

    def initial_cache(self, streams: int, height: int, width: int) -> Cache:
        """No person is followed."""
        return no_person(self.trunk.stem.weight, streams)

    def last_maps(self, height: int, width: int) -> tuple[nn.Module, ...]:
        """The last maps of the pyramid, which the keypoints are read from."""
        return (self.trunk.up[-1],)

    def backbone_features(self, images: Tensor) -> Tensor:
        """(K, 3, H, W) normalized -> (K, 6 * 56): all people, as ``MoveNet.people`` gives them."""
        return self.trunk(images).flatten(1)

    def forward(
        self,
        images: Tensor,
        log_elapsed: Tensor,
        fresh: Tensor,
        cache: Cache,
        backbone: Tensor | None = None,
    ) -> tuple[Tensor, Cache]:
        """Frame by frame the person is followed: each frame searches for whom the one before has found."""
        found = self.backbone_features(images.flatten(0, 1)) if backbone is None else backbone.flatten(0, 1)
        people = found.unflatten(-1, (PEOPLE, PERSON)).unflatten(0, fresh.shape)
        person, after = followed(people.to(cache[0].dtype), log_elapsed, fresh, cache, self.aspect)
        return person.features, after


def no_person(like: Tensor, streams: int) -> Cache:
    """The cache of ``followed`` while no person is followed, of the kind of ``like``."""
    return like.new_zeros(streams, 4), like.new_zeros(streams, 3 * KEYPOINTS + 7)


def followed(
    people: Tensor, log_elapsed: Tensor, fresh: Tensor, cache: Cache, aspect: float
) -> tuple[Person, Cache]:
    """People (N, T, 6, 56) -> the one who is followed, and the cache after the last frame.

    ``aspect``: width by height of the image.
    """
    frames = log_elapsed.exp().to(people.dtype)
    who, body = cache
    moments = []
    for t in range(people.shape[1]):
        kept = (~fresh[:, t]).to(people.dtype).unsqueeze(1)
        moments.append(_follow(people[:, t], frames[:, t], who * kept, body * kept, aspect))
        who, body = moments[-1].who, moments[-1].body
    rows = _Moment(*(torch.stack(each, dim=1).flatten(0, 1) for each in zip(*moments, strict=True)))
    found = (
        _features(rows, frames.flatten().unsqueeze(1), aspect),
        rows.box,
        rows.seen > 0.0,
        (rows.seen > 0.0) | (rows.who[:, 3] > _WAITING),
    )
    return Person(*(each.unflatten(0, fresh.shape) for each in found)), (who, body)


class _Moment(NamedTuple):
    """What one frame shows of the person."""

    box: Tensor  # (N, 4) ymin, xmin, ymax, xmax, parts of the image
    score: Tensor  # (N,)
    seen: Tensor  # (N,) 0 to 1
    others: Tensor  # (N,) the sum of the others' scores
    who: Tensor  # (N, 4) a packed _Followed, after the frame
    body: Tensor  # (N, 58) a packed _Body, after the frame
    before: Tensor  # (N, 58) and before it


def _follow(people: Tensor, frames: Tensor, who: Tensor, body: Tensor, aspect: float) -> _Moment:
    """People (N, 6, 56), frame intervals (N,), and the cache."""
    pick, score, seen, after = _chosen(people, _Followed(*who.unbind(1)), frames, aspect)
    person = people.gather(1, pick.view(-1, 1, 1).expand(-1, 1, PERSON)).squeeze(1)
    triples = person[:, : 3 * KEYPOINTS].unflatten(1, (KEYPOINTS, 3))
    places = torch.stack([triples[..., 0], triples[..., 1] * aspect], dim=-1)
    weights = _gate(triples[..., 2], _KEYPOINT_SEEN) * seen.unsqueeze(1)
    now = _moved(places, weights, seen, after, _unpacked(body), frames.unsqueeze(1))
    others = people[..., PERSON - 1].sum(1) - score
    box = person[:, 3 * KEYPOINTS : PERSON - 1]
    return _Moment(box, score, seen, others, torch.stack(after, dim=1), _packed(now), body)


def _features(rows: _Moment, frames: Tensor, aspect: float) -> Tensor:
    """Moments of K rows, frame intervals (K, 1) -> (K, F)."""
    now, was, seen = _unpacked(rows.body), _unpacked(rows.before), rows.seen
    about = torch.stack([seen, rows.who[:, 3], rows.score * seen, rows.others], dim=1)
    ymin, xmin, ymax, xmax = rows.box.unbind(1)
    shape = ((ymax - ymin).clamp(min=_LEAST) / ((xmax - xmin).clamp(min=_LEAST) * aspect)).log().unsqueeze(1)
    box = torch.cat([2.0 * rows.box - 1.0, shape], dim=1) * seen.unsqueeze(1)
    parts = [_posture(now), _motion(now, was, frames, seen), _place(now, aspect, seen), box, about]
    return torch.cat(parts, dim=1)


def _gate(score: Tensor, limits: tuple[float, float]) -> Tensor:
    """From 0 to 1: how much something of this score counts."""
    return ((score - limits[0]) / limits[1]).clamp(0.0, 1.0)


def _chosen(
    people: Tensor, before: _Followed, frames: Tensor, aspect: float
) -> tuple[Tensor, Tensor, Tensor, _Followed]:
    """Index (N,), score (N,) of the person to follow, whether they are seen (N,), 0 to 1, and who is followed then."""
    box, scores = people[..., 51:55], people[..., 55]
    y, x = (box[..., 0] + box[..., 2]) / 2, (box[..., 1] + box[..., 3]) / 2 * aspect
    area = (box[..., 2] - box[..., 0]) * (box[..., 3] - box[..., 1]) * aspect
    sizes = area.clamp(min=_LEAST**2).sqrt()
    size = before.size.clamp(min=_LEAST).unsqueeze(1)
    away = (y - before.y.unsqueeze(1)).square() + (x - before.x.unsqueeze(1)).square()
    near = torch.exp(-2.0 * away / size.square() - torch.log(sizes / size).square())
    worth = scores * sizes * (1.0 + _NEAR * before.strength.unsqueeze(1) * near)
    pick = worth.argmax(1)

    def of(values: Tensor) -> Tensor:
        return values.gather(1, pick.unsqueeze(1)).squeeze(1)

    score = of(scores)
    is_other = before.strength * (1.0 - (2.0 * of(near)).clamp(max=1.0)) > _WAITING
    seen = _gate(score, _PERSON_SEEN) * (~is_other).to(score.dtype)
    found = seen > 0.0
    missed = before.strength * torch.exp(-frames / _FORGET_PERSON)
    strength = before.strength + (1.0 - before.strength) * seen * (1.0 - torch.exp(-frames / 2.0))
    after = _Followed(
        torch.where(found, of(y), before.y),
        torch.where(found, of(x), before.x),
        torch.where(found, of(sizes), before.size),
        torch.where(found, strength, missed),
    )
    return pick, score, seen, after


def _unpacked(body: Tensor) -> _Body:
    joints, weights, root, slow_root, log_scale, slow_scale, known = body.split(
        (2 * KEYPOINTS, KEYPOINTS, 2, 2, 1, 1, 1), dim=1
    )
    return _Body(joints.unflatten(1, (KEYPOINTS, 2)), weights, root, slow_root, log_scale, slow_scale, known)


def _packed(body: _Body) -> Tensor:
    return torch.cat([body.joints.flatten(1), *body[1:]], dim=1)


def _between(places: Tensor, pair: tuple[int, int]) -> Tensor:
    return (places[:, pair[0]] + places[:, pair[1]]) / 2


def _both(weights: Tensor, *keypoints: int) -> Tensor:
    """(N, 17) -> (N, 1): how sure the least sure of these keypoints is."""
    return weights[:, list(keypoints)].amin(1, keepdim=True)


def _length(vectors: Tensor) -> Tensor:
    """(..., 2) -> (..., 1); its gradient is never asked for."""
    return vectors.square().sum(-1, keepdim=True).sqrt()


def _moved(
    places: Tensor, weights: Tensor, seen: Tensor, who: _Followed, was: _Body, frames: Tensor
) -> _Body:
    """The body with the keypoints of this frame (N, 17, 2), weights (N, 17)."""
    neck, hips = _between(places, _SHOULDERS), _between(places, _HIPS)
    has_neck = _both(weights, *_SHOULDERS)
    has_torso = torch.minimum(has_neck, _both(weights, *_HIPS))
    has_head = torch.minimum(has_neck, weights[:, _NOSE : _NOSE + 1])
    lengths = torch.cat(
        [
            _length(places[:, _SHOULDERS[0]] - places[:, _SHOULDERS[1]]) / _SHOULDER_WIDTH * has_neck,
            _length(neck - hips) * has_torso,
            _length(places[:, _NOSE] - neck) / _NECK * has_head,
        ],
        dim=1,
    )
    log_length = lengths.amax(1, keepdim=True).clamp(min=_LEAST).log()
    guess = (0.5 * who.size).clamp(min=_LEAST).log().unsqueeze(1)  # of a body without shoulders
    begun = torch.where(has_neck > 0.3, log_length, guess)
    rate = has_neck * (1.0 - torch.exp(-frames / _SCALE))
    log_scale = torch.where(was.known > 0.5, was.log_scale + rate * (log_length - was.log_scale), begun)
    scale = log_scale.exp()

    middle = torch.stack([who.y, who.x], dim=1)
    last = torch.where(was.known > 0.5, was.root, middle)
    above = torch.cat([hips[:, :1] - scale, hips[:, 1:]], dim=1)  # where the shoulders of upright hips are
    has_hips = _both(weights, *_HIPS) * (1.0 - has_neck)
    root = has_neck * neck + has_hips * above + (1.0 - has_neck - has_hips) * last

    there = ((places - root.unsqueeze(1)) / scale.unsqueeze(1)).clamp(-5.0, 5.0)
    sure = weights.unsqueeze(-1)
    faded = was.joints * torch.exp(-frames / _FORGET_KEYPOINT).unsqueeze(-1)
    slow = 1.0 - torch.exp(-frames / _SLOW)
    is_seen = (seen > 0.0).unsqueeze(1)
    # Who is waited for keeps all of it; who is forgotten begins anew.
    known = torch.where(
        is_seen, torch.ones_like(was.known), was.known * (who.strength.unsqueeze(1) > _WAITING)
    )
    return _Body(
        sure * there + (1.0 - sure) * faded,
        weights,
        root,
        torch.where(was.known > 0.5, was.slow_root + slow * (root - was.slow_root), root),
        log_scale,
        torch.where(was.known > 0.5, was.slow_scale + slow * (log_scale - was.slow_scale), log_scale),
        known,
    )


def _posture(now: _Body) -> Tensor:
    """Keypoints, their weights, limbs and angles, and where the hands are: (N, 100)."""
    joints, weights = now.joints, now.weights
    directions, lengths, sureness = [], [], []
    for inner, outer in _LIMBS:
        vector = joints[:, outer] - joints[:, inner]
        length, sure = _length(vector), _both(weights, inner, outer)
        directions.append(vector / (length + 0.1) * sure)
        lengths.append(length * sure)
        sureness.append(sure)
    torso = _between(joints, _HIPS)
    torso = torso / (_length(torso) + 0.1) * _both(weights, *_HIPS)
    angles = []
    for one, other in zip(directions[::2], directions[1::2], strict=True):
        angles += [
            (one * other).sum(1, keepdim=True),
            one[:, :1] * other[:, 1:] - one[:, 1:] * other[:, :1],
        ]
    hands = []
    apart = (joints[:, _WRISTS[0]] - joints[:, _WRISTS[1]]) * _both(weights, *_WRISTS)
    hands += [apart, _length(apart)]
    for wrist, shoulder in zip(_WRISTS, _SHOULDERS, strict=True):
        for target in (_NOSE, shoulder):
            vector = (joints[:, wrist] - joints[:, target]) * _both(weights, wrist, target)
            hands += [vector, _length(vector)]
    return torch.cat([joints.flatten(1), weights, *directions, *lengths, torso, *angles, *hands], dim=1)


def _motion(now: _Body, was: _Body, frames: Tensor, seen: Tensor) -> Tensor:
    """Velocities of the keypoints in the body and of the body, and their speed: (N, 38)."""
    both = (torch.minimum(now.weights, was.weights) * was.known).unsqueeze(-1)
    velocity = (_FAST * (now.joints - was.joints) * both / frames.unsqueeze(-1)).clamp(-4.0, 4.0)
    of_root = _FAST * (now.root - was.root) / now.log_scale.exp() / frames * was.known * seen.unsqueeze(1)
    speeds = [_length(velocity[:, wrist]) for wrist in _WRISTS]
    return torch.cat([velocity.flatten(1), of_root.clamp(-4.0, 4.0), *speeds], dim=1)


def _place(now: _Body, aspect: float, seen: Tensor) -> Tensor:
    """Where the body is, how large, and how both have changed of late: (N, 6)."""
    scale = now.log_scale.exp()
    middle = torch.stack([torch.full_like(seen, 0.5), torch.full_like(seen, 0.5 * aspect)], dim=1)
    lately = ((now.root - now.slow_root) / scale).clamp(-4.0, 4.0)
    grown = now.log_scale - now.slow_scale
    return torch.cat([2.0 * (now.root - middle), now.log_scale + 1.5, lately, grown], dim=1) * now.known

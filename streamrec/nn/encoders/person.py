"""The person encoder: features of MoveNet, a CNN that learned to see people, where something moves."""

from __future__ import annotations

from dataclasses import dataclass

from streamrec.errors import need
from streamrec.nn.encoders import movenet
from streamrec.nn.encoders.base import Cache, Encoder
from streamrec.nn.encoders.movenet import MoveNet

need("torch", extra="train")

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

GRID = 16  # pixels to a cell of the pyramid's maps: averages over 4 x 4 of their places
PYRAMID_GAIN = (
    4.0  # of the pyramid's features in a linear fit: they are few, and carry farther than the deepest ones
)
MOTION_SECONDS = 0.3  # time constant of the motion by which the maps are weighted
SHARPNESS = 4  # power of the motion in those weights: most of them go to who moves most
FAINT = 1e-6  # motion under which nothing moves


@dataclass(frozen=True, kw_only=True)
class PersonFeatures:
    """What a person encoder gives of MoveNet."""

    whole: bool = False  # the mean of the deepest maps over the image
    moving: bool = False  # their mean with weights that go to the cells that move
    pyramid: bool = False  # mean and maximum of the last maps of the pyramid


PERSONS = {
    "person": PersonFeatures(whole=True),
    "person-moving": PersonFeatures(moving=True),
    "person-both": PersonFeatures(whole=True, moving=True),
    "person-maps": PersonFeatures(pyramid=True),
    "person-scene": PersonFeatures(moving=True, pyramid=True),
}
"""The encoders' names; docs/encoders.md has what each was measured at."""


class PersonEncoder(Encoder):
    """MoveNet's maps and how they change, pooled over the image. Nothing in it is trained here.

    A change is the absolute difference to the frame before: it carries nothing of a place that stands still. Weighted
    by motion, the deepest maps themselves hardly do: the features are of the people who move, wherever they are
    (attention pooling with weights that need no learning). Of the pyramid: mean and maximum over the image of its
    cells, of their maxima, and of the changes of both. The cache is the backbone's features of the frame before
    (N, S), 1 where there was one (N, 1), and, where it weighs by motion, that of each cell (N, h * w).
    """

    has_backbone = True
    mean, std = movenet.MEAN, movenet.STD

    def __init__(self, *, height: int, width: int, fps: float = 10.0, features: PersonFeatures) -> None:
        """``height`` and ``width`` are multiples of 32; ``fps`` is the training rate."""
        super().__init__()
        self.trunk = MoveNet()  # the name is that of tensors in model files
        self.features = features
        self.cells = (height // movenet.STRIDE) * (width // movenet.STRIDE)
        self.places = (height // GRID) * (width // GRID)
        deepest = features.whole or features.moving
        self.sizes = (
            movenet.DEEPEST * self.cells * deepest,
            2 * movenet.PYRAMID * self.places * features.pyramid,
        )
        self.motion_frames = MOTION_SECONDS * fps
        pooled = 2 * movenet.DEEPEST * (features.whole + features.moving)
        self.feature_size = pooled + 6 * movenet.PYRAMID * features.pyramid
        self.gains = (1.0,) * pooled + (PYRAMID_GAIN,) * (self.feature_size - pooled)

    def initial_cache(self, streams: int, height: int, width: int) -> Cache:
        """Zeros."""
        like = self.trunk.stem.weight
        sizes = (sum(self.sizes), 1, *([self.cells] if self.features.moving else []))
        return tuple(like.new_zeros(streams, size) for size in sizes)

    def last_maps(self, height: int, width: int) -> tuple[nn.Module, ...]:
        """The deepest maps, or those of the pyramid where it has these alone."""
        return (self.trunk.blocks[-1],) if self.sizes[0] else (self.trunk.up[-1],)

    def backbone_features(self, images: Tensor) -> Tensor:
        """(K, 3, H, W) normalized -> (K, S): the deepest maps, then means and maxima of the pyramid's cells."""
        if not self.features.pyramid:
            return self.trunk.deepest(images).flatten(1)
        pyramid, deepest = self.trunk.maps(images)
        places = GRID // movenet.PYRAMID_STRIDE
        found = [deepest] if self.sizes[0] else []
        found += [F.avg_pool2d(pyramid, places), F.max_pool2d(pyramid, places)]
        return torch.cat([maps.flatten(1) for maps in found], dim=1)

    def forward(
        self,
        images: Tensor,
        log_elapsed: Tensor,
        fresh: Tensor,
        cache: Cache,
        backbone: Tensor | None = None,
    ) -> tuple[Tensor, Cache]:
        """The first image of a stream has no change, and nothing moves in it."""
        seen = self.backbone_features(images.flatten(0, 1)) if backbone is None else backbone.flatten(0, 1)
        seen = seen.unflatten(0, fresh.shape)
        change = change_of(seen, log_elapsed, fresh, cache)
        border = self.sizes[0]
        found, motion = [], cache[2:]  # a memory that stays as it is could not be exported
        if border:
            shape = (movenet.DEEPEST, self.cells)
            maps, changes = (x[..., :border].unflatten(-1, shape) for x in (seen, change))
            if self.features.whole:
                found += [maps.mean(-1), changes.mean(-1)]
            if self.features.moving:
                weights, last = self._weights(changes.mean(2), log_elapsed, fresh, motion[0])
                motion = (last,)
                found += [(x * weights.unsqueeze(2)).sum(-1) for x in (maps, changes)]
        if self.features.pyramid:
            grid = (2, movenet.PYRAMID, self.places)
            cells, changes = (x[..., border:].unflatten(-1, grid) for x in (seen, change))
            found += [cells[..., 0, :, :].mean(-1), cells[..., 1, :, :].amax(-1)]
            found += [changes.mean(-1).flatten(-2), changes.amax(-1).flatten(-2)]
        return torch.cat(found, dim=-1), (seen[:, -1], torch.ones_like(cache[1]), *motion)

    def _weights(
        self, change: Tensor, log_elapsed: Tensor, fresh: Tensor, motion: Tensor
    ) -> tuple[Tensor, Tensor]:
        """(N, T, cells) change -> the weights of the cells (N, T, cells), of sum 1 or 0, and the motion after them."""
        decays = torch.exp(-torch.exp(log_elapsed) / self.motion_frames).masked_fill(fresh, 0.0).unsqueeze(-1)
        found = []
        for t in range(change.shape[1]):
            motion = decays[:, t] * motion + change[:, t]
            found.append(motion)
        every = torch.stack(found, dim=1)
        sharp = (every / (every.amax(-1, keepdim=True) + FAINT)) ** SHARPNESS
        return sharp / (sharp.sum(-1, keepdim=True) + FAINT), motion


def change_of(seen: Tensor, log_elapsed: Tensor, fresh: Tensor, cache: Cache) -> Tensor:
    """Features (N, T, S), (N, T), (N, T) bool -> their absolute difference to the frame before; 0 where there is none.

    The cache begins with the features of the frame before (N, S), and 1 where there was one (N, 1).
    """
    before = torch.cat([cache[0].unsqueeze(1), seen[:, :-1]], dim=1)
    known = torch.cat([cache[1], torch.ones_like(log_elapsed[:, 1:])], dim=1) * (~fresh).to(seen.dtype)
    return (seen - before).abs() * known.unsqueeze(-1)

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

MOTION_SECONDS = 0.3  # time constant of the motion by which the maps are weighted
SHARPNESS = 4  # power of the motion in those weights: most of them go to who moves most
FAINT = 1e-6  # motion under which nothing moves


@dataclass(frozen=True, kw_only=True)
class PersonFeatures:
    """How a person encoder pools MoveNet's deepest maps over the image."""

    whole: bool = False  # the mean over the image
    moving: bool = False  # the mean with weights that go to the cells that move

    @property
    def poolings(self) -> int:
        """How many there are."""
        return self.whole + self.moving


PERSONS = {
    "person": PersonFeatures(whole=True),
    "person-moving": PersonFeatures(moving=True),
    "person-both": PersonFeatures(whole=True, moving=True),
}
"""The encoders' names; docs/encoders.md has what each was measured at."""


class PersonEncoder(Encoder):
    """MoveNet's deepest maps and how they change, pooled over the image. Nothing in it is trained here.

    A change is the absolute difference to the frame before: it carries nothing of a place that stands still. Weighted
    by motion, the maps themselves hardly do: the features are of whoever moves, wherever that is (attention pooling
    with weights that nobody has to learn). The cache is the maps of the frame before (N, S), 1 where there was one
    (N, 1), and the motion of each cell (N, h * w).
    """

    has_backbone = True
    mean, std = movenet.MEAN, movenet.STD

    def __init__(self, *, height: int, width: int, fps: float = 10.0, features: PersonFeatures) -> None:
        """``height`` and ``width`` are multiples of 32; ``fps`` is the training rate."""
        super().__init__()
        self.trunk = MoveNet()  # the name is that of tensors in model files
        self.features = features
        self.cells = (height // movenet.STRIDE) * (width // movenet.STRIDE)
        self.motion_frames = MOTION_SECONDS * fps
        self.feature_size = 2 * movenet.DEEPEST * features.poolings

    def initial_cache(self, streams: int, height: int, width: int) -> Cache:
        """Zeros."""
        like = self.trunk.stem.weight
        sizes = (movenet.DEEPEST * self.cells, 1, self.cells)
        return tuple(like.new_zeros(streams, size) for size in sizes)

    def last_maps(self, height: int, width: int) -> tuple[nn.Module, ...]:
        """The deepest maps."""
        return (self.trunk.blocks[-1],)

    def backbone_features(self, images: Tensor) -> Tensor:
        """(K, 3, H, W) normalized -> (K, S): the deepest maps, 480 numbers of each cell."""
        return self.trunk.deepest(images).flatten(1)

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
        before = torch.cat([cache[0].unsqueeze(1), seen[:, :-1]], dim=1)
        known = torch.cat([cache[1], torch.ones_like(log_elapsed[:, 1:])], dim=1) * (~fresh).to(seen.dtype)
        change = (seen - before).abs() * known.unsqueeze(-1)
        maps, changes = (x.unflatten(-1, (movenet.DEEPEST, self.cells)) for x in (seen, change))
        found, motion = [], cache[2]
        if self.features.whole:
            found += [maps.mean(-1), changes.mean(-1)]
        if self.features.moving:
            weights, motion = self._weights(changes.mean(2), log_elapsed, fresh, motion)
            found += [(x * weights.unsqueeze(2)).sum(-1) for x in (maps, changes)]
        return torch.cat(found, dim=-1), (seen[:, -1], torch.ones_like(cache[1]), motion)

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

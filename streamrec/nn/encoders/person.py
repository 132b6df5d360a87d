"""The person encoder: features of MoveNet, a CNN that learned to see people, and how they change."""

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


@dataclass(frozen=True, kw_only=True)
class PersonFeatures:
    """What a person encoder gives of MoveNet."""

    deepest: bool = False  # its deepest maps, averaged over the image: which postures there are
    pyramid: bool = False  # the last maps of its pyramid, averaged over cells: who moves, and how much


PERSONS = {
    "person": PersonFeatures(deepest=True),
    "person-maps": PersonFeatures(pyramid=True),
    "person-both": PersonFeatures(deepest=True, pyramid=True),
}
"""The encoders' names; docs/encoders.md has what each was measured at."""


class PersonEncoder(Encoder):
    """MoveNet's features of each image, and their changes since the frame before. Nothing in it is trained here.

    Of the deepest maps: the mean over the image and how much it changed. Of the pyramid: mean and maximum over the
    image of its cells, of their maxima, and of the changes of both. A change is an absolute difference: it carries
    nothing of a place that stands still. The cache is the backbone's features of the frame before, (N, S), and 1
    where there was one, (N, 1).
    """

    has_backbone = True
    mean, std = movenet.MEAN, movenet.STD

    def __init__(self, *, height: int, width: int, features: PersonFeatures) -> None:
        """``height`` and ``width`` are multiples of 32."""
        super().__init__()
        self.trunk = MoveNet()  # the name is that of tensors in model files
        self.features = features
        self.grid = (height // GRID, width // GRID)
        self.sizes = (
            movenet.DEEPEST * features.deepest,
            2 * movenet.PYRAMID * self.grid[0] * self.grid[1] * features.pyramid,
        )
        self.feature_size = 2 * movenet.DEEPEST * features.deepest + 6 * movenet.PYRAMID * features.pyramid

    def initial_cache(self, streams: int, height: int, width: int) -> Cache:
        """Zeros."""
        like = self.trunk.stem.weight
        return like.new_zeros(streams, sum(self.sizes)), like.new_zeros(streams, 1)

    def last_maps(self, height: int, width: int) -> tuple[nn.Module, ...]:
        """The deepest maps, or those of the pyramid."""
        return (self.trunk.blocks[-1],) if self.features.deepest else (self.trunk.up[-1],)

    def backbone_features(self, images: Tensor) -> Tensor:
        """(K, 3, H, W) normalized -> (K, S): means of the deepest maps, means and maxima of the pyramid's cells."""
        if not self.features.pyramid:
            return self.trunk.deepest(images).mean((2, 3))
        pyramid, deepest = self.trunk.maps(images)
        places = GRID // movenet.PYRAMID_STRIDE
        cells = torch.cat([F.avg_pool2d(pyramid, places), F.max_pool2d(pyramid, places)], dim=1).flatten(1)
        return torch.cat([deepest.mean((2, 3)), cells], dim=1) if self.features.deepest else cells

    def forward(
        self,
        images: Tensor,
        log_elapsed: Tensor,
        fresh: Tensor,
        cache: Cache,
        backbone: Tensor | None = None,
    ) -> tuple[Tensor, Cache]:
        """The first image of a stream has no change."""
        seen = self.backbone_features(images.flatten(0, 1)) if backbone is None else backbone.flatten(0, 1)
        seen = seen.unflatten(0, fresh.shape)
        before = torch.cat([cache[0].unsqueeze(1), seen[:, :-1]], dim=1)
        known = torch.cat([cache[1], torch.ones_like(log_elapsed[:, 1:])], dim=1) * (~fresh).to(seen.dtype)
        change = (seen - before).abs() * known.unsqueeze(-1)
        border = self.sizes[0]
        found = []
        if self.features.deepest:
            found += [seen[..., :border], change[..., :border]]
        if self.features.pyramid:
            found.append(self._pooled(seen[..., border:]))
            found.append(self._pooled(change[..., border:], both=True))
        return torch.cat(found, dim=-1), (seen[:, -1], torch.ones_like(cache[1]))

    def _pooled(self, cells: Tensor, *, both: bool = False) -> Tensor:
        """(N, T, 2 * 24 * rows * columns) -> the mean of the means and the maximum of the maxima; or both of both."""
        maps = cells.unflatten(-1, (2, movenet.PYRAMID, self.grid[0] * self.grid[1]))
        if both:
            return torch.cat([maps.mean(-1), maps.amax(-1)], dim=-1).flatten(-2)
        return torch.cat([maps[..., 0, :, :].mean(-1), maps[..., 1, :, :].amax(-1)], dim=-1)

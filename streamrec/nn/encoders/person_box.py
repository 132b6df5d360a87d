"""MoveNet's maps inside the box of one person, and the keypoints of that person, from one pass."""

from __future__ import annotations

from streamrec.errors import need
from streamrec.nn.encoders import keypoints, movenet
from streamrec.nn.encoders.base import Cache, Encoder
from streamrec.nn.encoders.keypoints import Person
from streamrec.nn.encoders.movenet import DEEPEST, PEOPLE, PERSON, STRIDE, MoveNet
from streamrec.nn.encoders.person import change_of

need("torch", extra="train")

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402

MAPS = "person-box"
NAME = "person-box-joints"
SEEN = 2 * DEEPEST  # features of the maps: what is in the box, and how it changes
MARGIN = 0.15  # of the box's sides, on each side of it: limbs reach out of it, and boxes lag behind


class PersonBoxEncoder(Encoder):
    """The mean of the deepest maps and of their changes inside the box of the person who is followed.

    Region of interest pooling (Girshick, ICCV 2015): a cell counts by how much of it the box covers. So the features
    are of the person, wherever they are and whatever else is in the picture. While no person is followed, the box is
    the whole image: people whom the detector misses are seen all the same. Who is followed, and for how long they are
    waited for, is as in ``KeypointEncoder``, whose features come second with ``joints``. The cache: the maps of the
    frame before (N, S) and 1 where there was one (N, 1); the last box (N, 4); who is followed, and their body.
    """

    has_backbone = True
    mean, std = movenet.MEAN, movenet.STD

    def __init__(self, *, height: int, width: int, joints: bool) -> None:
        """``height`` and ``width`` are multiples of 32."""
        super().__init__()
        self.trunk = MoveNet()  # the name is that of tensors in model files
        self.of_frame = (
            nn.Identity()
        )  # what each person's features are read from: ``each_person`` takes it there
        self.joints = joints
        self.rows, self.columns = height // STRIDE, width // STRIDE
        self.aspect = width / height
        self.maps_size = (
            DEEPEST * self.rows * self.columns
        )  # of the backbone's features; people come after them
        self.feature_size = SEEN + keypoints.FEATURES * joints

    def initial_cache(self, streams: int, height: int, width: int) -> Cache:
        """Zeros."""
        like = self.trunk.stem.weight
        sizes = (self.maps_size, 1)
        return *(like.new_zeros(streams, size) for size in sizes), *no_box(like, streams)

    def last_maps(self, height: int, width: int) -> tuple[nn.Module, ...]:
        """The deepest maps."""
        return (self.trunk.blocks[-1],)

    def backbone_features(self, images: Tensor) -> Tensor:
        """(K, 3, H, W) normalized -> (K, S): the deepest maps, then all people."""
        return torch.cat(self._seen(images), dim=1)

    def _seen(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(K, 3, H, W) -> the deepest maps (K, 480 * cells), people (K, 336)."""
        pyramid, deepest = self.trunk.maps(images)
        return deepest.flatten(1), self.trunk.people(pyramid).flatten(1)

    def forward(
        self,
        images: Tensor,
        log_elapsed: Tensor,
        fresh: Tensor,
        cache: Cache,
        backbone: Tensor | None = None,
    ) -> tuple[Tensor, Cache]:
        """The first image of a stream has no change."""
        if backbone is None:  # not one tensor that is split again: the maps would depend on who was found
            maps, people = (each.unflatten(0, fresh.shape) for each in self._seen(images.flatten(0, 1)))
        else:
            maps, people = backbone.split((self.maps_size, PEOPLE * PERSON), dim=-1)
        change = change_of(maps, log_elapsed, fresh, cache)
        both = torch.cat([maps, change], dim=-1).unflatten(-1, (SEEN, self.rows * self.columns))
        people = people.unflatten(-1, (PEOPLE, PERSON)).to(cache[-1].dtype)
        features, after = self.of_person(self.of_frame(both), people, log_elapsed, fresh, cache[2:])
        return features, (maps[:, -1], torch.ones_like(cache[1]), *after)

    def of_person(
        self, both: Tensor, people: Tensor, log_elapsed: Tensor, fresh: Tensor, cache: Cache
    ) -> tuple[Tensor, Cache]:
        """Maps and changes (N, T, 960, cells), people (N, T, 6, 56) -> features (N, T, F) of the one who is followed.

        ``cache``: the last box, who is followed, and their body, as ``no_box`` gives them first.
        """
        person, who = keypoints.followed(people, log_elapsed, fresh, cache[1:], self.aspect)
        region, box = _region(person, cache[0])
        seen = (both @ self._shares(region).to(both.dtype).unsqueeze(-1)).squeeze(-1)
        features = torch.cat([seen, person.features.to(seen.dtype)], dim=-1) if self.joints else seen
        return features, (box, *who)

    def _shares(self, region: Tensor) -> Tensor:
        """(N, T, 4) parts of the image -> (N, T, cells): the share of each cell in the region, of sum 1."""
        low, high = region.unflatten(-1, (2, 2)).unbind(-2)
        margin = MARGIN * (high - low)
        low, high = low - margin, high + margin
        down, across = (
            _covered(low[..., axis], high[..., axis], cells)
            for axis, cells in enumerate((self.rows, self.columns))
        )
        cells = (down.unsqueeze(-1) * across.unsqueeze(-2)).flatten(-2)
        return cells / cells.sum(-1, keepdim=True).clamp(min=1e-6)


def no_box(like: Tensor, streams: int) -> Cache:
    """The cache of ``PersonBoxEncoder.of_person`` while no person is followed, of the kind of ``like``."""
    return like.new_zeros(streams, 4), *keypoints.no_person(like, streams)


def _region(person: Person, last: Tensor) -> tuple[Tensor, Tensor]:
    """Where to read the maps (N, T, 4), and the last box (N, 4) after it: who is waited for stays where they were."""
    image = torch.cat([torch.zeros_like(last[:, :2]), torch.ones_like(last[:, 2:])], dim=1)
    found = []
    for t in range(person.seen.shape[1]):
        last = torch.where(person.seen[:, t : t + 1], person.box[:, t], last)
        found.append(torch.where(person.waited_for[:, t : t + 1], last, image))
    return torch.stack(found, dim=1), last


def _covered(low: Tensor, high: Tensor, cells: int) -> Tensor:
    """(N, T) twice, parts of a side -> (N, T, cells): how much of each cell of that side is between them."""
    edges = torch.arange(cells, dtype=low.dtype, device=low.device) / cells
    inside = torch.minimum(high.unsqueeze(-1), edges + 1.0 / cells) - torch.maximum(low.unsqueeze(-1), edges)
    return inside.clamp(min=0.0) * cells

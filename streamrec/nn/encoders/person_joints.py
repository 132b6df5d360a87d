"""Features of MoveNet's maps and of the keypoints of one person, from one pass."""

from __future__ import annotations

from streamrec.errors import need
from streamrec.nn.encoders import keypoints
from streamrec.nn.encoders.base import Cache
from streamrec.nn.encoders.movenet import DEEPEST, PEOPLE, PERSON
from streamrec.nn.encoders.person import PERSONS, PersonEncoder

need("torch", extra="train")

import torch  # noqa: E402
from torch import Tensor  # noqa: E402

NAME = "person-both-joints"
MAPS = "person-both"  # the encoder whose features come first


class PersonJointsEncoder(PersonEncoder):
    """The features of ``person-both``, then those of ``person-joints``.

    Maps see what keypoints miss (heaps, dark corners, views from above), and keypoints know nothing of the place. The
    cache is that of both encoders.
    """

    def __init__(self, *, height: int, width: int, fps: float = 10.0) -> None:
        """As of ``PersonEncoder``."""
        super().__init__(height=height, width=width, fps=fps, features=PERSONS[MAPS])
        self.maps_size = DEEPEST * self.cells  # of the backbone's features; people come after them
        self.feature_size += keypoints.FEATURES
        self.gains = None
        self.aspect = width / height

    def initial_cache(self, streams: int, height: int, width: int) -> Cache:
        """Zeros."""
        like = self.trunk.stem.weight
        return *super().initial_cache(streams, height, width), *keypoints.no_person(like, streams)

    def backbone_features(self, images: Tensor) -> Tensor:
        """(K, 3, H, W) normalized -> (K, S): the deepest maps, then all people."""
        pyramid, deepest = self.trunk.maps(images)
        return torch.cat([deepest.flatten(1), self.trunk.people(pyramid).flatten(1)], dim=1)

    def split(self, backbone: Tensor) -> tuple[Tensor, Tensor]:
        """(..., S) backbone features -> the deepest maps (..., 480 cells), people (..., 336)."""
        maps, people = backbone.split((self.maps_size, PEOPLE * PERSON), dim=-1)
        return maps, people

    def forward(
        self,
        images: Tensor,
        log_elapsed: Tensor,
        fresh: Tensor,
        cache: Cache,
        backbone: Tensor | None = None,
    ) -> tuple[Tensor, Cache]:
        """Both from the same backbone features."""
        if backbone is None:
            backbone = self.backbone_features(images.flatten(0, 1)).unflatten(0, fresh.shape)
        maps, people = self.split(backbone)
        seen, after = super().forward(images, log_elapsed, fresh, cache[:-2], maps)
        people = people.unflatten(-1, (PEOPLE, PERSON)).to(cache[-1].dtype)
        joints, who = keypoints.followed(people, log_elapsed, fresh, cache[-2:], self.aspect)
        return torch.cat([seen, joints.to(seen.dtype)], dim=-1), (*after, *who)

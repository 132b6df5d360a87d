"""An encoder on the person backbone that hands on who it found, beside its own features."""

from __future__ import annotations

from streamrec.errors import need
from streamrec.nn.encoders.base import Cache, Encoder
from streamrec.nn.encoders.movenet import PEOPLE, PERSON, MoveNet

need("torch", extra="train")

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402


class WithPeople(Encoder):
    """Another encoder, with people (N, 6, 56) of the last frame as one more cache; see ``MoveNet.people``.

    They are read from the maps of the other encoder's own pass, where it makes them; else from a pass of their own.
    """

    has_backbone = True

    def __init__(self, encoder: Encoder) -> None:
        """``encoder``: one whose ``trunk`` is a MoveNet."""
        super().__init__()
        self.encoder = encoder
        self.feature_size = encoder.feature_size
        self.gains, self.mean, self.std = encoder.gains, encoder.mean, encoder.std

    def initial_cache(self, streams: int, height: int, width: int) -> Cache:
        """That of the encoder, and no people."""
        like = self._backbone.stem.weight
        return *self.encoder.initial_cache(streams, height, width), like.new_zeros(streams, PEOPLE, PERSON)

    def last_maps(self, height: int, width: int) -> tuple[nn.Module, ...]:
        """Those of the encoder."""
        return self.encoder.last_maps(height, width)

    def backbone_features(self, images: Tensor) -> Tensor:
        """Those of the encoder."""
        return self.encoder.backbone_features(images)

    def forward(
        self,
        images: Tensor,
        log_elapsed: Tensor,
        fresh: Tensor,
        cache: Cache,
        backbone: Tensor | None = None,
    ) -> tuple[Tensor, Cache]:
        """The features of the encoder."""
        pyramids: list[Tensor] = []
        hook = self._backbone.up[-1].register_forward_hook(lambda _, given, maps: pyramids.append(maps))
        try:
            features, after = self.encoder(images, log_elapsed, fresh, cache[:-1], backbone)
        finally:
            hook.remove()
        if pyramids:
            pyramid = pyramids[0].unflatten(0, fresh.shape)[:, -1]
        else:
            pyramid = self._backbone.maps(images[:, -1])[0]
        with torch.autocast(
            pyramid.device.type, enabled=False
        ):  # places in half precision would jump by pixels
            return features, (*after, self._backbone.people(pyramid.float()))

    @property
    def _backbone(self) -> MoveNet:
        backbone = self.encoder.trunk
        assert isinstance(backbone, MoveNet)
        return backbone

"""What every encoder keeps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from streamrec.errors import ModelError, need
from streamrec.nn.transforms import IMAGENET_MEAN, IMAGENET_STD

need("torch", extra="train")

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402

Cache = tuple[Tensor, ...]


class Encoder(nn.Module, ABC):
    """A CNN that sees each frame once; what it wants to keep of earlier frames is its cache, part of the state.

    One method serves clips and frames alike: a frame is a clip of one step.
    """

    feature_size: int
    has_trunk = False  # whether a part of it, which may rest while the others learn, sees each picture alone
    mean: tuple[float, float, float] = IMAGENET_MEAN  # what the weights were trained with, RGB from 0 to 1
    std: tuple[float, float, float] = IMAGENET_STD

    def initial_cache(self, streams: int, height: int, width: int) -> Cache:
        """The cache of streams that have seen nothing, zeros; axis 0 is the stream."""
        return ()

    def trunk_features(self, pictures: Tensor) -> Tensor:
        """(K, 3, H, W) normalized -> (K, S): what its trunk says of each picture alone, if it ``has_trunk``."""
        raise ModelError(f"{type(self).__name__} has no trunk that sees a picture alone")

    @abstractmethod
    def last_maps(self, height: int, width: int) -> tuple[nn.Module, ...]:
        """The modules through whose outputs, maps of the picture, all passes that it says; each runs once a frame.

        () where there are none: it cannot be told where such an encoder looked.
        """

    @abstractmethod
    def forward(
        self, pictures: Tensor, rhythm: Tensor, fresh: Tensor, cache: Cache, trunk: Tensor | None = None
    ) -> tuple[Tensor, Cache]:
        """(N, T, 3, H, W) normalized, (N, T), (N, T) bool -> features (N, T, F) and the cache after the last frame.

        ``rhythm`` and ``fresh`` as the head is told them: how long ago the frame before was, as a logarithm in units
        of the rhythm, and the frames before which the cache is forgotten. ``trunk`` (N, T, S): the
        ``trunk_features`` of the pictures, where they are known already.
        """


def find_feature_size(cnn: nn.Module, height: int, width: int, channels: int = 3) -> int:
    """How many features a CNN gives for pictures of this size; raises ``ModelError`` where it gives none."""
    modes = [(module, module.training) for module in cnn.modules()]
    weight = next(iter(cnn.parameters()), None)
    like: dict[str, Any] = {} if weight is None else {"device": weight.device, "dtype": weight.dtype}
    cnn.eval()  # a batch norm must not learn from the probe
    try:
        with torch.no_grad():
            features = pooled(cnn(torch.zeros(1, channels, height, width, **like)))
    finally:
        for module, training in modes:
            module.training = training
    return features.shape[1]


def pooled(features: Any) -> Tensor:
    """What a CNN gave as (N, F); maps (N, F, h, w) are averaged over the picture."""
    if not isinstance(features, Tensor) or features.dim() not in (2, 4):
        shape = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
        raise ModelError(
            f"an encoder's CNN gives (N, F) or (N, F, h, w) for (N, 3, H, W); this one gave {shape}"
        )
    return features.mean((2, 3)) if features.dim() == 4 else features

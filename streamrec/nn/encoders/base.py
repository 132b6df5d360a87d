"""The interface of an encoder."""

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
    """A CNN that encodes each frame once; what it keeps of earlier frames is its cache, a part of the state.

    One method serves clips and frames alike: a frame is a clip of one step. A frame is an image (3, H, W), or of
    another sense what the shape of the model's transform says: (C,) of a signal.
    """

    feature_size: int
    has_backbone = False  # whether a part of it, which may stay frozen in training, takes each image alone
    gains: tuple[float, ...] | None = None  # of the features in a linear fit, where they are not all alike
    # What the weights were trained with, RGB from 0 to 1; None: the transform has it, as of a signal.
    mean: tuple[float, float, float] | None = IMAGENET_MEAN
    std: tuple[float, float, float] | None = IMAGENET_STD

    def initial_cache(self, streams: int, height: int, width: int) -> Cache:
        """The cache of new streams, zeros; axis 0 is the stream. Of a signal there is no height and no width."""
        return ()

    def backbone_features(self, images: Tensor) -> Tensor:
        """(K, 3, H, W) normalized -> (K, S): the backbone's features of each image alone, if it ``has_backbone``."""
        raise ModelError(f"{type(self).__name__} has no backbone that takes an image alone")

    @abstractmethod
    def last_maps(self, height: int, width: int) -> tuple[nn.Module, ...]:
        """The last modules whose outputs are maps over the image, before the features; each runs once a frame.

        () where there are none: such an encoder cannot be explained.
        """

    @abstractmethod
    def forward(
        self,
        images: Tensor,
        log_elapsed: Tensor,
        fresh: Tensor,
        cache: Cache,
        backbone: Tensor | None = None,
    ) -> tuple[Tensor, Cache]:
        """(N, T, *frame) normalized, (N, T), (N, T) bool -> features (N, T, F) and the cache after the last frame.

        ``log_elapsed`` and ``fresh`` as in ``Head``: the logarithm of the time since the last frame, in frame
        intervals of the training rate, and the frames before which the cache is reset. ``backbone`` (N, T, S): the
        ``backbone_features`` of the images, where they are known already.
        """


def find_feature_size(cnn: nn.Module, height: int, width: int, channels: int = 3) -> int:
    """How many features a CNN gives for images of this size; raises ``ModelError`` where it gives none."""
    modes = [(module, module.training) for module in cnn.modules()]
    weight = next(iter(cnn.parameters()), None)
    like: dict[str, Any] = {} if weight is None else {"device": weight.device, "dtype": weight.dtype}
    cnn.eval()  # a batch norm must not update its statistics from the probe
    try:
        with torch.no_grad():
            features = pooled(cnn(torch.zeros(1, channels, height, width, **like)))
    finally:
        for module, training in modes:
            module.training = training
    return features.shape[1]


def pooled(features: Any) -> Tensor:
    """The output of a CNN as (N, F); maps (N, F, h, w) are averaged over the image."""
    if not isinstance(features, Tensor) or features.dim() not in (2, 4):
        shape = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
        raise ModelError(
            f"an encoder's CNN gives (N, F) or (N, F, h, w) for (N, 3, H, W); this one gave {shape}"
        )
    return features.mean((2, 3)) if features.dim() == 4 else features

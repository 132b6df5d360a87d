"""The difference encoder: a small CNN on each image and its difference to the one before."""

from __future__ import annotations

from streamrec.errors import need
from streamrec.nn.encoders.base import Cache, Encoder, find_feature_size

need("torch", extra="train")

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402


class DifferenceEncoder(Encoder):
    """A small CNN on each image and its difference to the frame before, which it keeps as its cache.

    The spatial layout is kept to the end (no global pooling): where something moves matters as much as how.
    """

    mean = (0.45, 0.45, 0.45)
    std = (0.25, 0.25, 0.25)

    def __init__(
        self, *, height: int, width: int, channels: tuple[int, ...] = (24, 48, 64, 96), features: int = 192
    ) -> None:
        super().__init__()
        self.feature_size = features
        layers: list[nn.Module] = []
        before = 6
        for i, after in enumerate(channels):
            layers += [
                nn.Conv2d(before, after, 3, stride=2 if i < 3 else 1, padding=1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(inplace=True),
            ]
            before = after
        layers += [
            nn.Conv2d(before, 24, 1, bias=False),
            nn.BatchNorm2d(24),
            nn.ReLU(inplace=True),
            nn.Flatten(),
        ]
        self.cnn = nn.Sequential(*layers)
        grid = find_feature_size(self.cnn, height, width, channels=6)
        self.project = nn.Sequential(
            nn.Dropout(0.2),
            nn.Linear(grid, features, bias=False),
            nn.BatchNorm1d(features),
            nn.ReLU(inplace=True),
        )

    def initial_cache(self, streams: int, height: int, width: int) -> Cache:
        """The image before, (N, 3, H, W)."""
        return (next(self.cnn.parameters()).new_zeros(streams, 3, height, width),)

    def last_maps(self, height: int, width: int) -> tuple[nn.Module, ...]:
        """The layer before the flattening."""
        return (self.cnn[-2],)

    def forward(
        self,
        images: Tensor,
        log_elapsed: Tensor,
        fresh: Tensor,
        cache: Cache,
        backbone: Tensor | None = None,
    ) -> tuple[Tensor, Cache]:
        """Stack each image with its difference to the last one; the first of a stream has zero difference."""
        streams, steps = images.shape[:2]
        before = torch.cat([cache[0].unsqueeze(1), images[:, :-1]], dim=1)
        difference = torch.where(fresh[:, :, None, None, None], torch.zeros_like(images), images - before)
        stacked = torch.cat([images, 2.0 * difference], dim=2).flatten(0, 1)
        features = self.project(self.cnn(stacked))
        return features.unflatten(0, (streams, steps)), (images[:, -1],)

"""The joint encoder: features of an ImageNet CNN, beside those of the motion encoder."""

from __future__ import annotations

from typing import Any

from streamrec.errors import need
from streamrec.nn.encoders.base import Cache, Encoder
from streamrec.nn.encoders.motion import MotionEncoder
from streamrec.nn.encoders.running_std import MEMORY, RunningStd

need("torch", extra="train")

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

MIDDLE = 4  # the block of the CNN whose maps are used too: they respond to parts of objects
STD_FRAMES = (
    60.0  # at the training rate, the time constant of the running std: some repetitions of an exercise
)


class JointEncoder(Encoder):
    """Appearance features that ImageNet teaches (postures, places), and motion features from optical flow.

    The backbone, an EfficientNet-Lite0, takes each image alone and gives the mean of its last maps, and mean and
    maximum of its middle ones. It is meant to stay frozen: a few clips need not train it, and its features of a
    recording are computed once. With ``running_std`` their running standard deviation is a feature as well: it shows
    which of them change, so what moves. The motion encoder takes the image at half its size. The cache is the motion
    encoder's, then the memory of the running standard deviation.
    """

    has_backbone = True

    def __init__(
        self,
        cnn: nn.Module,
        *,
        height: int,
        width: int,
        running_std: bool = False,
        features: int = 96,
        dropout: float = 0.5,
    ) -> None:
        """``cnn``: a timm EfficientNet without its classifier."""
        super().__init__()
        self.trunk = _Backbone(cnn)  # the name is that of tensors in model files
        self.motion = MotionEncoder(height=height // 2, width=width // 2)
        self.appearance = _project(self.trunk.feature_size, features, dropout)
        self.change = _Change(self.trunk.feature_size, features, dropout) if running_std else None
        self.feature_size = features * (1 + running_std) + self.motion.feature_size

    def initial_cache(self, streams: int, height: int, width: int) -> Cache:
        """The motion encoder's is for images of half the size."""
        moved = self.motion.initial_cache(streams, height // 2, width // 2)
        return moved if self.change is None else (*moved, *self.change.std.initial_memory(moved[0], streams))

    def last_maps(self, height: int, width: int) -> tuple[nn.Module, ...]:
        """The backbone's middle maps, from which its last ones follow, and those of the motion encoder."""
        cnn: Any = self.trunk.cnn
        return cnn.blocks[MIDDLE], *self.motion.last_maps(height // 2, width // 2)

    def backbone_features(self, images: Tensor) -> Tensor:
        """(K, 3, H, W) normalized -> (K, 1504)."""
        return self.trunk(images)

    def forward(
        self,
        images: Tensor,
        log_elapsed: Tensor,
        fresh: Tensor,
        cache: Cache,
        backbone: Tensor | None = None,
    ) -> tuple[Tensor, Cache]:
        """Appearance and motion, one after the other."""
        seen = self.trunk(images.flatten(0, 1)) if backbone is None else backbone.flatten(0, 1)
        border = len(cache) - (0 if self.change is None else MEMORY)
        moved, after = self.motion(self._halved(images), log_elapsed, fresh, cache[:border])
        appearance = self.appearance(seen).unflatten(0, fresh.shape)
        if self.change is None:
            return torch.cat([appearance, moved], dim=-1), after
        changed, memory = self.change(seen.unflatten(0, fresh.shape), log_elapsed, fresh, cache[border:])
        return torch.cat([appearance, changed, moved], dim=-1), (*after, *memory)

    def _halved(self, images: Tensor) -> Tensor:
        """Half the size, and normalized as the motion encoder wants it."""
        mean, std = (images.new_tensor(values).view(3, 1, 1) for values in (self.mean, self.std))
        small = F.avg_pool2d(images.flatten(0, 1), 2) * std + mean
        return ((small - MotionEncoder.mean[0]) / MotionEncoder.std[0]).unflatten(0, images.shape[:2])


def _project(inputs: int, features: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Dropout(dropout),
        nn.Linear(inputs, features, bias=False),
        nn.BatchNorm1d(features),
        nn.ReLU(inplace=True),
    )


class _Change(nn.Module):
    """The running standard deviation of the backbone's features, projected: (N, T, S) -> (N, T, F)."""

    def __init__(self, inputs: int, features: int, dropout: float) -> None:
        super().__init__()
        self.std = RunningStd(inputs, frames=STD_FRAMES)
        self.judge = _project(inputs, features, dropout)  # the name is that of tensors in model files

    def forward(
        self, seen: Tensor, log_elapsed: Tensor, fresh: Tensor, memory: Cache
    ) -> tuple[Tensor, Cache]:
        deviations, memory = self.std(seen, log_elapsed, fresh, memory)
        return self.judge(deviations.flatten(0, 1)).unflatten(0, fresh.shape), memory


class _Backbone(nn.Module):
    """(K, 3, H, W) -> (K, F)."""

    def __init__(self, cnn: nn.Module) -> None:
        super().__init__()
        self.cnn = cnn
        known: Any = cnn
        self.feature_size = int(known.num_features + 2 * known.feature_info[-2]["num_chs"])

    def forward(self, images: Tensor) -> Tensor:
        cnn: Any = self.cnn
        maps = cnn.bn1(cnn.conv_stem(images.contiguous(memory_format=torch.channels_last)))
        middle = maps
        for number, block in enumerate(cnn.blocks):
            maps = block(maps)
            middle = maps if number == MIDDLE else middle
        maps = cnn.bn2(cnn.conv_head(maps))
        return torch.cat([maps.mean((2, 3)), middle.mean((2, 3)), middle.amax((2, 3))], dim=1)

"""The joint encoder: what an ImageNet CNN sees in a picture, beside what the motion encoder sees between two."""

from __future__ import annotations

from typing import Any

from streamrec.errors import need
from streamrec.nn.encoders.base import Cache, Encoder
from streamrec.nn.encoders.motion import MotionEncoder
from streamrec.nn.encoders.running_std import MEMORY, Spread

need("torch", extra="train")

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

MIDDLE = 4  # the block of the CNN whose maps are looked at too: parts of things, not things
SPREAD_FRAMES = 60.0  # of the rhythm, over which the spread fades: some repetitions of an exercise


class JointEncoder(Encoder):
    """Knows postures and places as ImageNet teaches them, and motion as flow shows it.

    The trunk, an EfficientNet-Lite0, sees each picture alone: the mean of its last maps, mean and maximum of its
    middle ones. It is made to stay frozen, so that a few clips need not teach it and what it says of a recording
    is computed once. With ``spread`` how much that has been changing is a feature as well: of what is seen, it tells
    what moves. The motion encoder sees the picture at half its size. The cache is the motion encoder's, then the memory
    of the spread.
    """

    has_trunk = True

    def __init__(
        self,
        cnn: nn.Module,
        *,
        height: int,
        width: int,
        spread: bool = False,
        features: int = 96,
        dropout: float = 0.5,
    ) -> None:
        """``cnn``: a timm EfficientNet without its classifier."""
        super().__init__()
        self.trunk = _Trunk(cnn)
        self.motion = MotionEncoder(height=height // 2, width=width // 2)
        self.appearance = _judge(self.trunk.feature_size, features, dropout)
        self.change = _Change(self.trunk.feature_size, features, dropout) if spread else None
        self.feature_size = features * (1 + spread) + self.motion.feature_size

    def initial_cache(self, streams: int, height: int, width: int) -> Cache:
        """The motion encoder's is for pictures of half the size."""
        moved = self.motion.initial_cache(streams, height // 2, width // 2)
        return (
            moved if self.change is None else (*moved, *self.change.spread.initial_memory(moved[0], streams))
        )

    def last_maps(self, height: int, width: int) -> tuple[nn.Module, ...]:
        """The trunk's middle maps, on which its last ones rest, and those of the motion encoder."""
        cnn: Any = self.trunk.cnn
        return cnn.blocks[MIDDLE], *self.motion.last_maps(height // 2, width // 2)

    def trunk_features(self, pictures: Tensor) -> Tensor:
        """(K, 3, H, W) normalized -> (K, 1504)."""
        return self.trunk(pictures)

    def forward(
        self, pictures: Tensor, rhythm: Tensor, fresh: Tensor, cache: Cache, trunk: Tensor | None = None
    ) -> tuple[Tensor, Cache]:
        """Both looks, one after the other."""
        seen = self.trunk(pictures.flatten(0, 1)) if trunk is None else trunk.flatten(0, 1)
        border = len(cache) - (0 if self.change is None else MEMORY)
        moved, after = self.motion(self._halved(pictures), rhythm, fresh, cache[:border])
        looked = self.appearance(seen).unflatten(0, fresh.shape)
        if self.change is None:
            return torch.cat([looked, moved], dim=-1), after
        changed, memory = self.change(seen.unflatten(0, fresh.shape), rhythm, fresh, cache[border:])
        return torch.cat([looked, changed, moved], dim=-1), (*after, *memory)

    def _halved(self, pictures: Tensor) -> Tensor:
        """Half the size, and normalized as the motion encoder wants it."""
        mean, std = (pictures.new_tensor(values).view(3, 1, 1) for values in (self.mean, self.std))
        small = F.avg_pool2d(pictures.flatten(0, 1), 2) * std + mean
        return ((small - MotionEncoder.mean[0]) / MotionEncoder.std[0]).unflatten(0, pictures.shape[:2])


def _judge(inputs: int, features: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Dropout(dropout),
        nn.Linear(inputs, features, bias=False),
        nn.BatchNorm1d(features),
        nn.ReLU(inplace=True),
    )


class _Change(nn.Module):
    """How much the trunk's features have been changing, (N, T, S) -> (N, T, F)."""

    def __init__(self, inputs: int, features: int, dropout: float) -> None:
        super().__init__()
        self.spread = Spread(inputs, frames=SPREAD_FRAMES)
        self.judge = _judge(inputs, features, dropout)

    def forward(self, seen: Tensor, rhythm: Tensor, fresh: Tensor, memory: Cache) -> tuple[Tensor, Cache]:
        spread, memory = self.spread(seen, rhythm, fresh, memory)
        return self.judge(spread.flatten(0, 1)).unflatten(0, fresh.shape), memory


class _Trunk(nn.Module):
    """(K, 3, H, W) -> (K, F)."""

    def __init__(self, cnn: nn.Module) -> None:
        super().__init__()
        self.cnn = cnn
        known: Any = cnn
        self.feature_size = int(known.num_features + 2 * known.feature_info[-2]["num_chs"])

    def forward(self, pictures: Tensor) -> Tensor:
        cnn: Any = self.cnn
        maps = cnn.bn1(cnn.conv_stem(pictures.contiguous(memory_format=torch.channels_last)))
        middle = maps
        for number, block in enumerate(cnn.blocks):
            maps = block(maps)
            middle = maps if number == MIDDLE else middle
        maps = cnn.bn2(cnn.conv_head(maps))
        return torch.cat([maps.mean((2, 3)), middle.mean((2, 3)), middle.amax((2, 3))], dim=1)

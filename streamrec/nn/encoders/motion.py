"""The motion encoder: a small CNN on each image, its change, and the optical flow that leads to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from streamrec.errors import need
from streamrec.nn.encoders.base import Cache, Encoder
from streamrec.nn.encoders.optical_flow import described, lucas_kanade

need("torch", extra="train")

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

FLOW_CHANNELS = 12
FLOW_SCALE = 3.0  # pixels of motion are small numbers beside the outputs of the image's layer
PICTURE_CHANNELS = 16
GRID_CHANNELS = 16
SHIFTED = 8  # one of so many channels is shifted in time


@dataclass(frozen=True, kw_only=True)
class Sight:
    """The motion inputs of a motion encoder: what it is given, and what it must learn."""

    flow: bool = True  # optical flow at three scales and its change are given
    difference: bool = True  # the image's difference to the one before is given
    volume: bool = False  # a causal 3-D convolution over three images, where the difference would be
    shift: bool = False  # a part of the maps comes from the frame before (TSM; Lin et al., ICCV 2019)
    layout: bool = True  # a coarse grid goes to the head, beside the maps' mean and maximum


SIGHTS = {
    "motion": Sight(),
    "motion-noflow": Sight(flow=False),
    "motion-pooled": Sight(layout=False),
    "motion-shift": Sight(flow=False, shift=True),
    "motion-flowshift": Sight(shift=True),
    "motion-3d": Sight(flow=False, difference=False, volume=True),
    "motion-still": Sight(flow=False, difference=False),
}
"""The encoders' names; ``motion`` is what the others were measured against (docs/encoders.md)."""


class MotionEncoder(Encoder):
    """Takes an image, its difference to the last one, optical flow at three scales, and the change of that flow.

    Flow is given, not learned (``lucas_kanade``), so a few hundred clips are enough to learn what it means; its
    change from frame to frame distinguishes a scuffle from a walk. The layout is kept: the last maps reach the head as
    a coarse grid beside their mean and maximum. What it keeps of earlier frames is its cache; by default the image in
    gray (N, 1, H, W), its flow (N, 6, H/2, W/2), and 1 where that flow was known (N, 1).
    """

    mean = (0.45, 0.45, 0.45)
    std = (0.25, 0.25, 0.25)

    def __init__(
        self,
        *,
        height: int,
        width: int,
        sight: Sight | None = None,
        channels: tuple[int, int, int] = (32, 48, 64),
        features: int = 128,
        dropout: float = 0.4,
    ) -> None:
        super().__init__()
        self.sight = sight = sight or Sight()
        self.feature_size = features
        self.picture = _layer(3 + sight.difference + 2 * sight.volume, PICTURE_CHANNELS, stride=2)
        # Beside the first layer, with nothing to learn before it: no gradient has to go back through the flow.
        self.flow = (
            nn.Conv2d(FLOW_CHANNELS, channels[0], 3, stride=2, padding=1, bias=False) if sight.flow else None
        )
        self.channels = first, second, third = channels
        self.cnn = nn.ModuleList(
            [
                _layer(PICTURE_CHANNELS, first, stride=2),
                _layer(first, second, stride=2),
                _layer(second, third),
            ]
        )
        height, width = _even(height), _even(width)
        rows, columns = -(-height // 16), -(-width // 16)  # the maps have twice as many of both
        self.grid = _layer(third, GRID_CHANNELS, kernel=1) if sight.layout else None
        self.cells = nn.AvgPool2d(2, ceil_mode=True, count_include_pad=False)
        self.project = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(
                2 * third + (GRID_CHANNELS * rows * columns if sight.layout else 0), features, bias=False
            ),
            nn.BatchNorm1d(features),
            nn.ReLU(inplace=True),
        )

    def initial_cache(self, streams: int, height: int, width: int) -> Cache:
        """Zeros, for what is needed of the frames before."""
        height, width = _even(height), _even(width)
        shapes: list[tuple[int, ...]] = [(1, height, width)]
        if self.sight.volume:
            shapes.append((1, height, width))
        if self.sight.flow:
            shapes += [(6, height // 2, width // 2), (1,)]
        if self.sight.shift:
            for number, channels in enumerate(self.channels[:2], start=2):
                rows, columns = -(-height // 2**number), -(-width // 2**number)
                shapes.append((channels // SHIFTED, rows, columns))
        like = next(self.parameters())
        return tuple(like.new_zeros(streams, *shape) for shape in shapes)

    def last_maps(self, height: int, width: int) -> tuple[nn.Module, ...]:
        """Those whose mean, maximum and grid go to the head."""
        last: Any = self.cnn[-1]
        return (last[-1],)

    def forward(
        self,
        images: Tensor,
        log_elapsed: Tensor,
        fresh: Tensor,
        cache: Cache,
        backbone: Tensor | None = None,
    ) -> tuple[Tensor, Cache]:
        """The first image of a stream has zero difference and zero flow."""
        images = images[..., : _even(images.shape[-2]), : _even(images.shape[-1])]
        kept = list(cache)
        gray = images.mean(2, keepdim=True)
        after: list[Tensor] = [gray[:, -1]]
        before = _earlier(gray, kept.pop(0), fresh, gray)
        inputs = [images]
        if self.sight.difference:
            inputs.append(2.0 * (gray - before))
        if self.sight.volume:
            # A 3-D kernel of three frames is a 2-D one over their channels; the one before the last is kept too.
            older = _earlier(before, kept.pop(0), fresh, gray)
            inputs += [before, older]
            after.append(before[:, -1])
        maps = self.picture(_flat(torch.cat(inputs, dim=2)))
        moved: Tensor | None = None
        if self.flow is not None:
            inputs_of_flow, flow, known = self._flow_of(gray, before, log_elapsed, fresh, *kept[:2])
            del kept[:2]
            after += [flow[:, -1], known[:, -1:]]
            moved = self.flow(inputs_of_flow)
        layers: list[Any] = list(self.cnn)
        for number, (convolve, normalize, activate) in enumerate(layers):
            if number and self.sight.shift:
                maps, last = _shifted(maps, kept.pop(0), fresh)
                after.append(last)
            maps = convolve(maps)
            if moved is not None and number == 0:
                maps = maps + moved
            maps = activate(normalize(maps))
        found = [maps.mean((2, 3)), maps.amax((2, 3))]
        if self.grid is not None:
            found.append(self.cells(self.grid(maps)).flatten(1))
        features = self.project(torch.cat(found, dim=1))
        return features.unflatten(0, fresh.shape), tuple(after)

    @torch.no_grad()
    def _flow_of(
        self,
        gray: Tensor,
        before: Tensor,
        log_elapsed: Tensor,
        fresh: Tensor,
        last: Tensor,
        last_known: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """(N, T, 1, H, W) -> the flow layer's input (N*T, 12, ...), the flow (N, T, 6, ...), whether it is known."""
        with torch.autocast(gray.device.type, enabled=False):  # least squares of bfloat16 would be noise
            flow = _flow_at_three_scales(before.flatten(0, 1).float(), gray.flatten(0, 1).float())
        flow = flow.unflatten(0, fresh.shape)
        # A speed: pixels in one frame interval of the training rate.
        flow = flow * torch.exp(-log_elapsed)[:, :, None, None, None]
        known = 1.0 - fresh.to(flow.dtype)
        flow_before = torch.cat([last.unsqueeze(1), flow[:, :-1]], dim=1)
        known_before = torch.cat([last_known, known[:, :-1]], dim=1) * known
        change = (flow - flow_before) * known_before[:, :, None, None, None]
        inputs = described(*(part.flatten(0, 1) for part in (flow, change, gray - before)))
        inputs = (FLOW_SCALE * inputs).contiguous(memory_format=torch.channels_last)
        return inputs, flow, known


def _flow_at_three_scales(before: Tensor, now: Tensor) -> Tensor:
    """(N, 1, H, W) normalized gray, twice -> flow of the image, its half and its quarter, (N, 6, H/2, W/2)."""
    size = (now.shape[2] // 2, now.shape[3] // 2)
    std, mean = MotionEncoder.std[0], MotionEncoder.mean[0]
    gray = [std * image + mean for image in (before, now)]
    half = [F.avg_pool2d(image, 2) for image in gray]
    quarter = [F.avg_pool2d(image, 2) for image in half]
    coarse = F.interpolate(lucas_kanade(*quarter), size=size, mode="nearest")
    return torch.cat([lucas_kanade(*gray, pool=2, window=3), lucas_kanade(*half), coarse], dim=1)


def _earlier(frames: Tensor, last: Tensor, fresh: Tensor, instead: Tensor) -> Tensor:
    """(N, T, C, H, W) -> each one's predecessor; where a stream begins, ``instead``."""
    before = torch.cat([last.unsqueeze(1), frames[:, :-1]], dim=1)
    return torch.where(fresh[:, :, None, None, None], instead, before)


def _shifted(maps: Tensor, last: Tensor, fresh: Tensor) -> tuple[Tensor, Tensor]:
    """(N*T, C, h, w) with the first channels of the frame before, zero where there is none; those of the last frame."""
    count = last.shape[1]
    own = maps[:, :count].unflatten(0, fresh.shape)
    moved = _earlier(own, last, fresh, torch.zeros_like(own))
    return torch.cat([moved.flatten(0, 1), maps[:, count:]], dim=1), own[:, -1]


def _even(size: int) -> int:
    """An odd image loses its last row or column, so that half of it is as large for flow and CNN."""
    return size - size % 2


def _flat(images: Tensor) -> Tensor:
    return images.flatten(0, 1).contiguous(memory_format=torch.channels_last)


def _layer(before: int, after: int, *, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, kernel, stride=stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
    )

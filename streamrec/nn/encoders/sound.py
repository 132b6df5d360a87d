"""The encoder of sound: a causal 2-D CNN over the log-mel spectrum, which is computed in the same graph."""

from __future__ import annotations

import math

import numpy as np

from streamrec.errors import need
from streamrec.nn.encoders.base import Cache, Encoder
from streamrec.nn.encoders.causal import CausalConv, Past, through
from streamrec.nn.sound import FLOOR, SoundTransform, fourier_kernels

need("torch", extra="train")

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

NAME = "sound-cnn"
SMALL = "sound-cnn-small"  # a quarter of its weights
SPEECH = "speech-cnn"  # as small; the bands of its features stay apart, for in which band a formant is makes a vowel
_AGAIN = math.log(1.5)  # of ``log_elapsed``: beyond it a hop does not follow the one before without a gap


class LogMel(nn.Module):
    """The log-mel spectrum of hops: a Fourier transform as a convolution, mel bands, a logarithm.

    The first windows of a hop reach into the hop before it, whose last samples are kept. Where a stream begins, and
    behind a hop that was lost, they read the hop's own start mirrored, so that there is no click that was not there.
    """

    kernels: Tensor
    hann: Tensor
    filters: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, transform: SoundTransform) -> None:
        super().__init__()
        filters = transform.filters()
        used = filters.any(axis=1)  # bins in no band are not computed
        whole = fourier_kernels(transform.window)
        kernels = whole[:, used].reshape(-1, 1, transform.window)
        arrays = (kernels, whole[0, 0], filters[used], *transform.band_normalization())
        for name, array in zip(("kernels", "hann", "filters", "mean", "std"), arrays, strict=True):
            self.register_buffer(name, torch.from_numpy(array), persistent=False)
        bins = np.flatnonzero(used)
        self.used = slice(int(bins[0]), int(bins[-1]) + 1)  # bands overlap, so that no bin between is unused
        self.window, self.stride, self.tail = transform.window, transform.stride, transform.tail

    def forward(self, hops: Tensor, follows: Tensor, tail: Tensor) -> tuple[Tensor, Tensor]:
        """(N, T, H) samples, (N, T) bool, (N, tail) -> (N, T, K, mels) normalized, and the last samples.

        Always in float32: the power of a quiet sound is below the least number of half precision.
        """
        size = self.tail
        with torch.autocast(hops.device.type, enabled=False):
            earlier = torch.cat([tail.unsqueeze(1), hops[:, :-1, -size:]], dim=1)
            mirrored = hops[:, :, 1 : size + 1].flip(-1)
            before = torch.where(follows.unsqueeze(-1), earlier, mirrored)
            whole = torch.cat([before, hops], dim=-1).flatten(0, 1).unsqueeze(1)
            bands = self._power(whole) @ self.filters
            spectrum = (torch.log(bands + FLOOR) - self.mean) / self.std
        return spectrum.unflatten(0, hops.shape[:2]), hops[:, -1, -size:]

    def _power(self, samples: Tensor) -> Tensor:
        """(N, 1, S) -> (N, K, bins)."""
        if self.training:  # a fast Fourier transform gives the same; as a convolution every engine has it
            parts = samples.squeeze(1).unfold(-1, self.window, self.stride)
            return torch.fft.rfft(parts * self.hann)[..., self.used].abs().square()
        cosines, sines = F.conv1d(samples, self.kernels, stride=self.stride).square().chunk(2, dim=1)
        return (cosines + sines).transpose(1, 2)


class HopConv(nn.Module):
    """A 2-D convolution over the maps of a step and the last ones of the step before: causal, and no step twice.

    ``frames``: maps of a step that come in. Half as many go out where that is a whole number; of half the bands.
    """

    def __init__(self, before: int, after: int, *, frames: int, bands: int) -> None:
        super().__init__()
        stride = 1 if frames % 2 else 2
        taps = min(3, frames + stride)
        self.reach = taps - stride  # maps of the step before
        self.frames, self.bands = frames // stride, (bands + 1) // 2
        self.memory_shape = (before, self.reach, bands)
        self.conv = nn.Conv2d(before, after, (taps, 3), (stride, 2), (0, 1), bias=False)
        self.norm = nn.BatchNorm2d(after)

    def forward(self, x: Tensor, memory: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
        """(N, T, C, K, B), (N, C, reach, B), (N, T) 1 where the step before is of the stream -> (N, T, C', K', B')."""
        earlier = torch.cat([memory.unsqueeze(1), x[:, :-1, :, -self.reach :]], dim=1)
        whole = torch.cat([earlier * kept[:, :, None, None, None], x], dim=3)
        found = F.relu(self.norm(self.conv(whole.flatten(0, 1))))
        return found.unflatten(0, x.shape[:2]), x[:, -1, :, -self.reach :]


class SoundEncoder(Encoder):
    """Convolutions over time and frequency within a step, then causal dilated ones from step to step.

    The first layers see the spectrum as an image, of which a step brings the next columns. Over frequency features are
    pooled by mean and maximum, or stay side by side (``pooled=False``). The layers behind see 15 steps. What each of
    them reads again is in the cache, with the last samples: a step costs as much as a hop of a clip, and a stream may
    begin anew anywhere.
    """

    mean = None  # the transform has them
    std = None

    def __init__(
        self,
        transform: SoundTransform,
        *,
        widths: tuple[int, ...] = (24, 48, 64, 96),
        width: int = 96,
        dilations: tuple[int, ...] = (1, 2, 4),
        dropout: float = 0.2,
        pooled: bool = True,
    ) -> None:
        super().__init__()
        self.spectrum = LogMel(transform)
        self.pooled = pooled
        frames, bands, before = transform.frames, transform.mels, 1
        self.maps = nn.ModuleList()
        for after in widths:
            layer = HopConv(before, after, frames=frames, bands=bands)
            frames, bands, before = layer.frames, layer.bands, after
            self.maps.append(layer)
        sizes = [(2 if pooled else bands) * before + 1, *(width for _ in dilations)]
        self.steps = nn.ModuleList(
            CausalConv(size, width, taps=3, dilation=dilation)
            for size, dilation in zip(sizes, dilations, strict=False)
        )
        self.dropout = nn.Dropout(dropout)
        self.reach = max(layer.reach for layer in self._steps)
        self.feature_size = 2 * width  # of the first step, which is of the last moment, and of the last one

    @property
    def _maps(self) -> list[HopConv]:
        return [layer for layer in self.maps if isinstance(layer, HopConv)]

    @property
    def _steps(self) -> list[CausalConv]:
        return [layer for layer in self.steps if isinstance(layer, CausalConv)]

    def initial_cache(self, streams: int, height: int = 0, width: int = 0) -> Cache:
        """(N, reach): no step of the past belongs to a new stream; (N, tail) samples; then what each layer reads."""
        like = self.spectrum.filters
        shapes = [
            (self.reach,),
            (self.spectrum.tail,),
            *(layer.memory_shape for layer in self._maps),
            *((layer.reach, layer.before) for layer in self._steps),
        ]
        return tuple(like.new_zeros(streams, *shape) for shape in shapes)

    def last_maps(self, height: int = 0, width: int = 0) -> tuple[nn.Module, ...]:
        """None: there is no image."""
        return ()

    def forward(
        self,
        images: Tensor,
        log_elapsed: Tensor,
        fresh: Tensor,
        cache: Cache,
        backbone: Tensor | None = None,
    ) -> tuple[Tensor, Cache]:
        """(N, T, H) samples -> features (N, T, F)."""
        past = Past(fresh, cache[0])
        x, tail = self.spectrum(images, ~fresh & (log_elapsed.abs() < _AGAIN), cache[1])
        x, after = x.unsqueeze(2), [past.after, tail]
        border, kept = 2 + len(self.maps), (~fresh).to(x.dtype)
        for layer, memory in zip(self._maps, cache[2:border], strict=True):
            x, remembered = layer(x, memory, kept)
            after.append(remembered)
        x = x.mean(3)  # over the maps of a step
        found = (x.mean(-1), x.amax(-1)) if self.pooled else (x.flatten(2),)
        x = torch.cat([*found, log_elapsed.unsqueeze(-1)], dim=-1)
        features, memories = through(self._steps, x, cache[border:], past)
        return self.dropout(features), (*after, *memories)

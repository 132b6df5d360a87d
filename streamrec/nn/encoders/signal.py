"""The encoder of signals: a causal 1-D CNN over the last samples of all channels."""

from __future__ import annotations

from streamrec.errors import need
from streamrec.nn.encoders.base import Cache, Encoder
from streamrec.nn.encoders.causal import CausalConv, Past, through

need("torch", extra="train")

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402

NAME = "signal-cnn"


class SignalEncoder(Encoder):
    """Causal dilated convolutions over the readings, one layer on the other: each sees more of the past.

    With three taps and dilations of 1, 2, 4 and 8 a feature is of the last 31 samples. The time since the sample before
    is one more channel, so that rows that were lost are known to be. The cache holds the last inputs of each layer, and
    which of them belong to the stream that runs: a step costs as much as a sample of a clip, and a stream may begin
    anew anywhere in the window.
    """

    mean = None  # the transform has them
    std = None

    def __init__(
        self,
        channels: int,
        *,
        width: int = 48,
        taps: int = 3,
        dilations: tuple[int, ...] = (1, 2, 4, 8),
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        sizes = [channels + 1, *(width for _ in dilations)]
        self.layers = nn.ModuleList(
            CausalConv(before, width, taps=taps, dilation=dilation)
            for before, dilation in zip(sizes, dilations, strict=False)
        )
        self.dropout = nn.Dropout(dropout)
        self.reach = max(layer.reach for layer in self._convolutions)
        self.feature_size = 2 * width  # of the first layer, which sees the last moment, and of the last one

    @property
    def _convolutions(self) -> list[CausalConv]:
        return [layer for layer in self.layers if isinstance(layer, CausalConv)]

    def initial_cache(self, streams: int, height: int = 0, width: int = 0) -> Cache:
        """(N, reach): no frame of the past belongs to a new stream; then of each layer (N, its reach, its channels)."""
        like = next(self.parameters())
        shapes = [(layer.reach, layer.before) for layer in self._convolutions]
        return like.new_zeros(streams, self.reach), *(like.new_zeros(streams, *shape) for shape in shapes)

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
        """(N, T, C) normalized readings -> features (N, T, F)."""
        past = Past(fresh, cache[0])
        x = torch.cat([images, log_elapsed.unsqueeze(-1)], dim=-1)
        features, after = through(self._convolutions, x, cache[1:], past)
        return self.dropout(features), (past.after, *after)

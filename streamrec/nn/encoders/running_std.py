"""The running standard deviation of features over the last seconds: what changes, whatever the background."""

from __future__ import annotations

from streamrec.errors import need
from streamrec.nn.encoders.base import Cache

need("torch", extra="train")

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402

MEMORY = 3  # arrays
FLOOR = 1e-3  # of the variance: the root of nothing has no slope


class RunningStd(nn.Module):
    """The standard deviation of each feature over the past, with weights that decay by the clock.

    Statistics pooling (Snyder et al., ICASSP 2018) of an endless stream: mean and variance so far, with exponentially
    decaying weights, updated with each frame (West, CACM 1979). A room stands still and a person who exercises does
    not, so the deviation carries the exercise and hardly the room. Its memory
    is ``(mean, variance, weight)``: (N, F), (N, F), (N, 1).
    """

    def __init__(self, size: int, *, frames: float) -> None:
        """``frames``: the time constant, in frames at the training rate."""
        super().__init__()
        self.size, self.frames = size, frames

    def initial_memory(self, like: Tensor, streams: int = 1) -> Cache:
        """Zeros."""
        return tuple(like.new_zeros(streams, size) for size in (self.size, self.size, 1))

    def forward(self, x: Tensor, log_elapsed: Tensor, fresh: Tensor, memory: Cache) -> tuple[Tensor, Cache]:
        """(N, T, F), (N, T), (N, T) bool -> the deviations (N, T, F), and the memory after the last frame."""
        mean, variance, weight = memory
        decays = torch.exp(-torch.exp(log_elapsed) / self.frames).masked_fill(fresh, 0.0).unsqueeze(-1)
        found = []
        for t in range(x.shape[1]):
            weight = decays[:, t] * weight + 1.0
            share = 1.0 / weight  # of this frame; all of it is the first one's
            apart = x[:, t] - mean
            mean = mean + share * apart
            variance = (1.0 - share) * (variance + share * apart.square())
            found.append(torch.sqrt(variance + FLOOR))
        return torch.stack(found, dim=1), (mean, variance, weight)

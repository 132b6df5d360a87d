"""Causal convolution over the frames of streams, which may begin anew anywhere: what came before counts as zeros."""

from __future__ import annotations

from collections.abc import Sequence

from streamrec.errors import need

need("torch", extra="train")

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402


class Past:
    """Which earlier frames belong to the stream of a frame: none from before it began anew.

    ``fresh`` (N, T) marks the frames that begin a stream, ``kept`` (N, P) is 1 for the P frames before the window that
    belong to the stream that runs when the window begins.
    """

    def __init__(self, fresh: Tensor, kept: Tensor) -> None:
        self._length = fresh.shape[1]
        begun = fresh.to(kept.dtype)
        number = begun if self._length == 1 else begun.cumsum(1)  # of the stream, counted in the window
        self._numbers = torch.cat([kept - 1.0, number], dim=1)  # -1: of a stream that is over
        self._now = number
        self._past = kept.shape[1]

    def belongs(self, ago: int) -> Tensor:
        """(N, T): 1 where the frame so many frames earlier is of the same stream, else 0."""
        start = self._past - ago
        return (self._numbers[:, start : start + self._length] == self._now).to(self._now.dtype)

    @property
    def after(self) -> Tensor:
        """(N, P) ``kept`` behind the window."""
        last = self._numbers[:, self._numbers.shape[1] - self._past :]
        return (last == self._now[:, -1:]).to(self._now.dtype)


class CausalConv(nn.Module):
    """A dilated convolution over time that reads the frame and ``taps - 1`` earlier ones.

    Its memory is the last ``reach`` frames of its input, (N, reach, before), so that a step costs as much as a frame
    of a clip (the cached convolutions of WaveNet; Paine et al., 2016). Frames of an earlier stream are read as zeros.
    """

    def __init__(self, before: int, after: int, *, taps: int, dilation: int = 1) -> None:
        super().__init__()
        self.reach = (taps - 1) * dilation
        self.offsets = tuple(dilation * n for n in range(taps))  # frames ago
        self.linear = nn.Linear(taps * before, after, bias=False)
        self.norm = nn.BatchNorm1d(after)
        self.before = before

    def forward(self, x: Tensor, memory: Tensor, past: Past) -> tuple[Tensor, Tensor]:
        """(N, T, before), (N, reach, before) -> (N, T, after) and the memory after the last frame."""
        length = x.shape[1]
        whole = torch.cat([memory, x], dim=1)
        seen = [x]
        for ago in self.offsets[1:]:
            start = self.reach - ago
            seen.append(whole[:, start : start + length] * past.belongs(ago).unsqueeze(-1))
        found = self.norm(self.linear(torch.cat(seen, dim=-1)).flatten(0, 1))
        return F.relu(found).unflatten(0, x.shape[:2]), whole[:, whole.shape[1] - self.reach :]


def through(
    layers: Sequence[CausalConv], x: Tensor, memories: Sequence[Tensor], past: Past
) -> tuple[Tensor, list[Tensor]]:
    """(N, T, before) through one layer after the other -> (N, T, F) and the memory of each after the last frame.

    The features are those of the first layer, which sees the last moment, and of the last one, side by side.
    """
    found, after = [], []
    for layer, memory in zip(layers, memories, strict=True):
        x, kept = layer(x, memory, past)
        found.append(x)
        after.append(kept)
    return torch.cat([found[0], x], dim=-1), after

"""Encoder and head joined: ``ActionModel`` for streams, ``CNNLSTM`` for the classical use on clips."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from streamrec.config import ModelConfig
from streamrec.encoders import FrameEncoder, make_encoder, strip_classifier
from streamrec.errors import ModelError
from streamrec.heads import AttentionHead, GRUHead, Head, LSTMHead
from streamrec.state import State


class ActionModel(nn.Module):
    """f_t = encoder(x_t); y_t, (h_t, c_t) = head(f_t, (h_t-1, c_t-1)): over clips and frame by frame alike.

    Pictures are uint8, or float of the same range, RGB, (3, H, W) as the transform gives them. ``elapsed`` is
    the seconds since the stream's last frame: infinite (none was seen), negative, or more than ``max_gap``
    makes the stream begin from its initial state.

    Outputs are ``config.outputs`` wide: a logit a label, then, in a model that counts, cosine and sine of the
    repetition's phase. ``split`` takes them apart.
    """

    mean: Tensor  # (3, 1, 1), for pictures from 0 to 255
    std: Tensor

    def __init__(self, config: ModelConfig, *, weights: str | None = None) -> None:
        super().__init__()
        height, width = config.transform.height, config.transform.width
        self.encoder = make_encoder(config.encoder, height=height, width=width, weights=weights)
        self.head = make_head(config, self.encoder.feature_size)
        transform = replace(config.transform, mean=self.encoder.mean, std=self.encoder.std)
        self.config = replace(config, transform=transform)
        self.register_buffer("mean", 255.0 * torch.tensor(transform.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", 255.0 * torch.tensor(transform.std).view(3, 1, 1), persistent=False)

    def initial_state(self, streams: int = 1) -> State:
        """The state of streams that have seen nothing."""
        transform, device = self.config.transform, self.mean.device
        return State(
            head=self.head.initial_memory(streams),
            cache=self.encoder.initial_cache(streams, transform.height, transform.width),
            clock=torch.full((streams,), -math.inf, dtype=torch.float64, device=device),
            segment=torch.zeros(streams, dtype=torch.int64, device=device),
            probabilities=torch.zeros(streams, len(self.config.labels), device=device),
            phase=torch.zeros(streams, 2, device=device) if self.config.counted else None,
        )

    def forward(
        self,
        clips: Tensor,
        elapsed: Tensor | None = None,
        state: State | None = None,
        trunk: Tensor | None = None,
    ) -> tuple[Tensor, State]:
        """(N, T, 3, H, W), (N, T) seconds -> outputs (N, T, C) and the state after the last frame.

        Without ``state`` the clips begin; without ``elapsed`` their frames follow each other in the rhythm.
        ``trunk`` (N, T, S): what ``trunk_features`` gave for the clips, so that it is not computed again.
        """
        streams, steps = clips.shape[:2]
        state = self.initial_state(streams) if state is None else state
        if elapsed is None:
            elapsed = torch.full((streams, steps), 1.0 / self.config.fps, device=self.mean.device)
            elapsed[:, 0] = torch.where(torch.isinf(state.clock), math.inf, elapsed[:, 0])
        fresh, rhythm = self._told(elapsed)
        features, cache = self.encoder((clips - self.mean) / self.std, rhythm, fresh, state.cache, trunk)
        outputs, memory = self.head(features, rhythm, fresh, state.head)
        return outputs, self._after(state, memory, cache, elapsed)

    def step(self, frames: Tensor, elapsed: Tensor, state: State) -> tuple[Tensor, State]:
        """(N, 3, H, W), (N,) seconds -> outputs (N, C) and the state after the frame."""
        fresh, rhythm = self._told(elapsed)
        pictures = ((frames - self.mean) / self.std).unsqueeze(1)
        features, cache = self.encoder(pictures, rhythm.unsqueeze(1), fresh.unsqueeze(1), state.cache)
        outputs, memory = self.head.step(features.squeeze(1), rhythm, fresh, state.head)
        return outputs, self._after(state, memory, cache, elapsed.unsqueeze(1))

    def trunk_features(self, pictures: Tensor) -> Tensor:
        """(K, 3, H, W) as in ``forward`` -> (K, S), what an encoder that has a trunk sees in each picture alone."""
        return self.encoder.trunk_features((pictures - self.mean) / self.std)

    def split(self, outputs: Tensor) -> tuple[Tensor, Tensor | None]:
        """(..., C) -> logits (..., labels) and phase (..., 2); None where the model counts nothing."""
        labels = len(self.config.labels)
        return outputs[..., :labels], outputs[..., labels:] if self.config.counted else None

    def _told(self, elapsed: Tensor) -> tuple[Tensor, Tensor]:
        """Seconds since the last frame -> where a stream begins anew, and the rhythm as the head is told it."""
        fresh = ~((elapsed >= 0.0) & (elapsed <= self.config.max_gap))  # NaN begins anew too
        rhythm = torch.log(torch.clamp(elapsed * self.config.fps, 0.1, 10.0))
        return fresh, torch.where(fresh, torch.zeros_like(rhythm), rhythm).to(self.mean.dtype)

    def _after(self, state: State, memory: Any, cache: Any, elapsed: Tensor) -> State:
        begun = torch.where(torch.isinf(state.clock), torch.zeros_like(state.clock), state.clock)
        seconds = torch.where(torch.isfinite(elapsed), elapsed, torch.zeros_like(elapsed)).double().sum(1)
        return replace(state, head=memory, cache=cache, clock=begun + seconds)


def make_head(config: ModelConfig, feature_size: int) -> Head:
    """The head that the config names, over features of this size; raises ``ModelError`` for an unknown one."""
    sizes = feature_size, config.hidden_size, config.outputs
    layers, dropout, norm = config.layers, config.dropout, config.feature_norm
    if config.head in ("lstm", "gru"):
        kind = LSTMHead if config.head == "lstm" else GRUHead
        return kind(
            *sizes,
            layers=layers,
            dropout=dropout,
            feature_norm=norm,
            recall=config.recall,
            recall_features=config.recall_features,
            recall_only=config.recall_only,
            recall_gate=config.recall_gate,
            recall_frames=config.recall_frames,
        )
    if config.head == "attention":
        context = config.context
        return AttentionHead(*sizes, layers=layers, dropout=dropout, feature_norm=norm, context=context)
    raise ModelError(f"there is no head {config.head!r}; the heads are attention, gru, lstm")


class CNNLSTM(nn.Module):
    """The classical recurrent convolutional network (LRCN; Donahue et al., CVPR 2015) on clips.

    Each frame of a clip goes through the CNN, the features through an LSTM, and a linear layer gives logits
    for each time step, or with ``last`` for the last one only. The CNN is taken over, not copied: a torchvision
    or timm one loses its classifier, if it has one; any other CNN gives (N, F), or maps (N, F, h, w), which are
    averaged.

    >>> import torchvision
    >>> model = CNNLSTM(torchvision.models.resnet18(), hidden_size=64, num_classes=5)
    >>> logits = model(torch.randn(2, 3, 3, 64, 64))
    >>> logits.shape
    torch.Size([2, 3, 5])
    >>> sum_of_step_losses(logits, torch.tensor([0, 4])).backward()
    """

    def __init__(
        self,
        cnn: nn.Module,
        hidden_size: int,
        num_classes: int,
        *,
        num_layers: int = 1,
        dropout: float = 0.0,
        last: bool = False,
        image_size: tuple[int, int] = (224, 224),
    ) -> None:
        super().__init__()
        self.encoder = FrameEncoder(strip_classifier(cnn), height=image_size[0], width=image_size[1])
        self.head = LSTMHead(
            self.encoder.feature_size,
            hidden_size,
            num_classes,
            layers=num_layers,
            dropout=dropout,
            recall=False,
        )
        self.last = last

    def forward(self, clips: Tensor) -> Tensor:
        """(N, T, 3, H, W) float, normalized as the CNN wants it -> logits (N, T, C), or (N, C) with ``last``."""
        fresh = torch.zeros(clips.shape[:2], dtype=torch.bool, device=clips.device)
        rhythm = clips.new_zeros(clips.shape[:2])
        features, _ = self.encoder(clips, rhythm, fresh, ())
        logits, _ = self.head(features, rhythm, fresh, self.initial_state(len(clips)))
        return logits[:, -1] if self.last else logits

    def initial_state(self, streams: int = 1) -> tuple[Tensor, ...]:
        """(h, c) of streams that have seen nothing."""
        return self.head.initial_memory(streams)

    def step(self, frames: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """(N, 3, H, W), (h, c) -> logits (N, C) and the new (h, c): the same numbers as ``forward``."""
        fresh = torch.zeros(len(frames), dtype=torch.bool, device=frames.device)
        rhythm = frames.new_zeros(len(frames))
        features, _ = self.encoder(frames.unsqueeze(1), rhythm.unsqueeze(1), fresh.unsqueeze(1), ())
        return self.head.step(features.squeeze(1), rhythm, fresh, state)


def sum_of_step_losses(logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Sum over t of the cross-entropy of each step, averaged over clips.

    ``logits`` (N, T, C); ``targets`` (N,) for a label a clip or (N, T) for a label a frame, -100 is left out;
    ``weights`` (N, T) or (T,), None for ones.
    """
    steps = logits.shape[1]
    if targets.dim() == 1:
        targets = targets.unsqueeze(1).expand(-1, steps)
    losses = F.cross_entropy(logits.transpose(1, 2), targets, reduction="none")
    if weights is not None:
        losses = losses * weights
    return losses.sum(1).mean()


def phase_loss(outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean squared error of the phase over the steps where it is known; zero where it is known nowhere.

    ``outputs`` (N, T, 2) as ``ActionModel.split`` gives them; ``targets`` (N, T, 2) cosine and sine, NaN where
    unknown; ``weights`` (N, T) or (T,), None for ones.
    """
    known = ~torch.isnan(targets).any(-1)
    errors = (outputs - torch.where(known.unsqueeze(-1), targets, outputs.detach())).square().mean(-1)
    shares = known.to(errors.dtype) if weights is None else known * weights
    return (errors * shares).sum() / shares.sum().clamp(min=1e-6)

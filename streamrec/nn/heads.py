"""The heads (LSTM, GRU, attention, statistics, an ensemble): features in, outputs out; memory and time are explicit."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast

from streamrec.errors import ModelError, need

need("torch", extra="train")

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

Memory = tuple[Tensor, ...]
SHORTEST_OF_LONGEST = 7.0 / 80.0  # of the initial time constants of the EMA pooling
FADED = 1e-3  # total weight under which a mean fades to zero
SHORT, LONG = 0.2, 1.5  # time constants of the statistics head beside its own
STILL = 0.05  # added to the deviation of a feature, so that one that hardly changes stays small
SHUT = -6.0  # initial bias of the forget gate: about a time constant of 400 frames


class Head(nn.Module, ABC):
    """What every head keeps: ``forward`` over clips and ``step`` over frames agree to rounding.

    ``fresh`` marks the frames before which the memory is reset: the first of a stream, the first after a
    cut, after a gap. ``log_elapsed`` is the logarithm of the elapsed time, in frame intervals of the training rate:
    0 is as trained, 0.7 twice as long since the last frame.
    """

    @abstractmethod
    def initial_memory(self, streams: int = 1) -> Memory:
        """The memory of new streams: zeros, axis 0 is the stream."""

    @abstractmethod
    def forward(
        self, features: Tensor, log_elapsed: Tensor, fresh: Tensor, memory: Memory
    ) -> tuple[Tensor, Memory]:
        """(N, T, F), (N, T), (N, T) bool -> outputs (N, T, C) and the memory after the last frame."""

    @abstractmethod
    def step(
        self, features: Tensor, log_elapsed: Tensor, fresh: Tensor, memory: Memory
    ) -> tuple[Tensor, Memory]:
        """(N, F), (N,), (N,) bool -> outputs (N, C) and the memory after the frame."""


class EMAPooling(nn.Module):
    """Exponential moving averages over time, with a learned weight for each frame and an optional forget gate.

    The gates of a recurrent layer respond well to the present, but their output is a noisy summary of the last
    seconds; a mean is a stable one. The weight of a frame is learned (as in attention pooling; Ilse et al., ICML
    2018), so that the stillness after a gesture does not wash the gesture out. Weights decay with time constants that
    are learned, one a channel, and by the clock, so that dropped frames count as the time that they took. It is a
    mean, not a sum: weights are divided out, and nothing grows with the age of a stream. With ``gate`` a forget gate
    lets a frame end what came before, so that all decays faster (as in a selective state space; Gu and Dao, 2023).
    Its memory is ``(sum, weight)``, each (N, hidden).
    """

    # The names ``weigh`` and ``let_go`` (the forget gate) are those of tensors in model files.

    def __init__(
        self, hidden_size: int, *, shortest: float = 7.0, longest: float = 80.0, gate: bool = False
    ) -> None:
        """``shortest`` to ``longest``: the initial time constants, one a channel, in frames at the training rate."""
        super().__init__()
        self.log_constant = nn.Parameter(torch.linspace(math.log(shortest), math.log(longest), hidden_size))
        self.weigh = nn.Linear(hidden_size, 1)
        nn.init.zeros_(self.weigh.weight)
        nn.init.zeros_(self.weigh.bias)
        self.let_go = nn.Linear(hidden_size, 1) if gate else None
        if self.let_go is not None:
            nn.init.zeros_(self.let_go.weight)
            nn.init.constant_(self.let_go.bias, SHUT)

    def initial_memory(self, streams: int = 1) -> Memory:
        """Zeros."""
        zeros = self.log_constant.new_zeros(streams, len(self.log_constant))
        return zeros, zeros.clone()

    def forward(self, x: Tensor, log_elapsed: Tensor, fresh: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """(N, T, hidden), (N, T), (N, T) bool -> the means (N, T, hidden), and the memory after the last frame."""
        means = []
        for t in range(x.shape[1]):
            mean, memory = self.step(x[:, t], log_elapsed[:, t], fresh[:, t], memory)
            means.append(mean)
        return torch.stack(means, dim=1), memory

    def step(self, x: Tensor, log_elapsed: Tensor, fresh: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """(N, hidden), (N,), (N,) bool -> the mean (N, hidden), and the memory after the frame."""
        total, weight = (_kept(m, fresh) for m in memory)
        rate = torch.exp(-self.log_constant)
        if self.let_go is not None:
            rate = rate + F.softplus(self.let_go(x))
        decay = torch.exp(-torch.exp(log_elapsed).unsqueeze(-1) * rate)
        share = torch.sigmoid(self.weigh(x))
        total, weight = decay * total + share * x, decay * weight + share
        return total / (weight + FADED), (total, weight)


@dataclass(frozen=True, kw_only=True)
class PoolingSettings:
    """How a recurrent head pools over time; the fields are those of ``ModelConfig`` that begin with ``recall``."""

    features: bool = False  # pool the features too
    only: bool = False  # classify on the long-term average only
    gate: bool = False  # with a forget gate
    frames: float = 80.0  # the longest initial time constant, in frames at the training rate


class RecurrentHead(Head):
    """The common part of the heads with a recurrent layer: optional ``EMAPooling``, and a linear classifier.

    The classifier reads the layer's output and its long-term average. With ``recall_features`` the average of the
    features is pooled as well: a linear model on averages, which a few clips can train. With ``recall_only`` the
    classifier reads the long-term average alone: the layer's output only weighs the frame in it.
    """

    layer: str  # the recurrent layer's name among the weights
    kind: type[nn.LSTM] | type[nn.GRU]
    gates: int

    def __init__(
        self,
        feature_size: int,
        hidden_size: int,
        outputs: int,
        *,
        layers: int = 1,
        dropout: float = 0.0,
        feature_norm: bool = False,
        pooling: PoolingSettings | None = PoolingSettings(),
    ) -> None:
        """``pooling``: None for none. Among the weights its name is ``recall``."""
        super().__init__()
        recurrent = self.kind(
            feature_size + 1, hidden_size, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0
        )
        self.norm = _norm(feature_size, feature_norm)
        self.add_module(self.layer, recurrent)
        self.recall: EMAPooling | None = None
        self.pools_features = pooling is not None and pooling.features
        self.pooled_only = pooling is not None and pooling.only
        pooled = 0 if pooling is None else hidden_size + feature_size * pooling.features
        if pooling is not None:
            shortest = SHORTEST_OF_LONGEST * pooling.frames
            self.recall = EMAPooling(pooled, shortest=shortest, longest=pooling.frames, gate=pooling.gate)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear((0 if self.pooled_only else hidden_size) + pooled, outputs)
        _initialize(recurrent, gates=self.gates)

    def _initial_pooling(self, streams: int) -> Memory:
        return () if self.recall is None else self.recall.initial_memory(streams)

    def _classify(
        self, x: Tensor, features: Tensor, log_elapsed: Tensor, fresh: Tensor, memory: Memory
    ) -> tuple[Tensor, Memory]:
        """The recurrent layer's output for a clip or a frame -> outputs, and the memory of the pooling."""
        if self.recall is not None:
            inputs = torch.cat([x, features], dim=-1) if self.pools_features else x
            means, memory = (self.recall if x.dim() == 3 else self.recall.step)(
                inputs, log_elapsed, fresh, memory
            )
            x = means if self.pooled_only else torch.cat([x, means], dim=-1)
        return self.classifier(self.dropout(x)), memory


class LSTMHead(RecurrentHead):
    """An LSTM, its ``EMAPooling``, and a linear layer on both. Its memory is ``(h, c, sum, weight)``.

    ``h`` and ``c`` are (N, layers, hidden), the others are the pooling's. Initialized as Jozefowicz et al. (ICML 2015)
    advise: forget-gate bias 1; orthogonal recurrent weights.
    """

    layer, kind, gates = "lstm", nn.LSTM, 4  # i, f, g, o
    lstm: nn.LSTM

    def __init__(self, feature_size: int, hidden_size: int, outputs: int, **options: Any) -> None:
        """``options``: those of ``RecurrentHead``."""
        super().__init__(feature_size, hidden_size, outputs, **options)
        for number in range(self.lstm.num_layers):
            getattr(self.lstm, f"bias_ih_l{number}").data[hidden_size : 2 * hidden_size] = 1.0

    def initial_memory(self, streams: int = 1) -> Memory:
        """Zeros."""
        zeros = self.classifier.weight.new_zeros(streams, self.lstm.num_layers, self.lstm.hidden_size)
        return zeros, zeros.clone(), *self._initial_pooling(streams)

    def forward(
        self, features: Tensor, log_elapsed: Tensor, fresh: Tensor, memory: Memory
    ) -> tuple[Tensor, Memory]:
        """The fused LSTM over each stretch in which no stream is reset."""
        features = self.norm(features)
        inputs = _with_elapsed(features, log_elapsed)
        h, c, *pooled = memory
        hidden = []
        for start, end in _stretches(fresh):
            h, c = (_kept(m, fresh[:, start]).transpose(0, 1).contiguous() for m in (h, c))
            x, (h, c) = self.lstm(inputs[:, start:end], (h, c))
            h, c = h.transpose(0, 1), c.transpose(0, 1)
            hidden.append(x)
        outputs, after = self._classify(torch.cat(hidden, dim=1), features, log_elapsed, fresh, tuple(pooled))
        return outputs, (h, c, *after)

    def step(
        self, features: Tensor, log_elapsed: Tensor, fresh: Tensor, memory: Memory
    ) -> tuple[Tensor, Memory]:
        """The cell written out, so that an export holds the weights of the LSTM unchanged and two matrix products."""
        h, c = (_kept(m, fresh) for m in memory[:2])
        features = self.norm(features)
        x = _with_elapsed(features, log_elapsed)
        hidden, cells = [], []
        for layer in range(self.lstm.num_layers):
            w_ih, w_hh, b_ih, b_hh = _weights(self.lstm, layer)
            gates = F.linear(x, w_ih, b_ih) + F.linear(h[:, layer], w_hh, b_hh)
            i, f, g, o = _slices(gates, 4)
            cell = torch.sigmoid(f) * c[:, layer] + torch.sigmoid(i) * torch.tanh(g)
            x = torch.sigmoid(o) * torch.tanh(cell)
            hidden.append(x)
            cells.append(cell)
        outputs, after = self._classify(x, features, log_elapsed, fresh, memory[2:])
        return outputs, (torch.stack(hidden, dim=1), torch.stack(cells, dim=1), *after)


class GRUHead(RecurrentHead):
    """A GRU, its ``EMAPooling``, and a linear layer on both. Its memory is ``(h, sum, weight)``, h (N, layers, hidden).

    MiniROAD (An et al., ICCV 2023) found a single GRU to be as good as far larger heads for online detection.
    """

    layer, kind, gates = "gru", nn.GRU, 3  # reset, update, new
    gru: nn.GRU

    def initial_memory(self, streams: int = 1) -> Memory:
        """Zeros."""
        zeros = self.classifier.weight.new_zeros(streams, self.gru.num_layers, self.gru.hidden_size)
        return zeros, *self._initial_pooling(streams)

    def forward(
        self, features: Tensor, log_elapsed: Tensor, fresh: Tensor, memory: Memory
    ) -> tuple[Tensor, Memory]:
        """The fused GRU over each stretch in which no stream is reset."""
        features = self.norm(features)
        inputs = _with_elapsed(features, log_elapsed)
        h, *pooled = memory
        hidden = []
        for start, end in _stretches(fresh):
            x, h = self.gru(inputs[:, start:end], _kept(h, fresh[:, start]).transpose(0, 1).contiguous())
            h = h.transpose(0, 1)
            hidden.append(x)
        outputs, after = self._classify(torch.cat(hidden, dim=1), features, log_elapsed, fresh, tuple(pooled))
        return outputs, (h, *after)

    def step(
        self, features: Tensor, log_elapsed: Tensor, fresh: Tensor, memory: Memory
    ) -> tuple[Tensor, Memory]:
        """The cell written out, so that an export holds the weights of the GRU unchanged and two matrix products."""
        h = _kept(memory[0], fresh)
        features = self.norm(features)
        x = _with_elapsed(features, log_elapsed)
        hidden = []
        for layer in range(self.gru.num_layers):
            w_ih, w_hh, b_ih, b_hh = _weights(self.gru, layer)
            reset, update, new = _slices(F.linear(x, w_ih, b_ih), 3)
            reset_h, update_h, new_h = _slices(F.linear(h[:, layer], w_hh, b_hh), 3)
            z = torch.sigmoid(update + update_h)
            n = torch.tanh(new + torch.sigmoid(reset + reset_h) * new_h)
            x = (1.0 - z) * n + z * h[:, layer]
            hidden.append(x)
        outputs, after = self._classify(x, features, log_elapsed, fresh, memory[1:])
        return outputs, (torch.stack(hidden, dim=1), *after)


class StatisticsHead(Head):
    """A linear classifier on running statistics of the features, by the clock.

    Statistics pooling (Snyder et al., ICASSP 2018) of an endless stream. With features that know people already there
    is nothing else to learn, so that a few clips are enough, and the fit has one optimum (``train/linear_fit.py``).
    Means weigh frames by ``exp(-age / seconds)``. The statistics, F numbers each: the mean and the peak (which leaks
    toward the present at the same rate) of the last second or so; the mean of the last fifth of it; and by how much
    that is above the mean of one and a half: how a posture changed, and in which direction. The memory is
    ``(mean, peak, short, long, weights)``: (N, F) each, and (N, 3). A head that does not use the last two statistics
    has ``(mean, peak, weights)``.
    """

    def __init__(self, feature_size: int, outputs: int, *, frames: float, changes: bool = True) -> None:
        """``frames``: the time constant, in frames at the training rate; ``changes``: with the last two statistics."""
        super().__init__()
        self.frames = frames
        self.feature_size = feature_size
        self.constants = (1.0, SHORT, LONG) if changes else (1.0,)
        self.kinds = 4 if changes else 2  # of statistics
        self.classifier = nn.Linear(self.kinds * feature_size, outputs)
        nn.init.zeros_(self.classifier.weight)
        nn.init.zeros_(self.classifier.bias)

    def initial_memory(self, streams: int = 1) -> Memory:
        """Zeros."""
        zeros = self.classifier.weight.new_zeros(streams, self.feature_size)
        averages = [zeros.clone() for _ in range(self.kinds)]
        return *averages, zeros.new_zeros(streams, len(self.constants))

    def forward(
        self, features: Tensor, log_elapsed: Tensor, fresh: Tensor, memory: Memory
    ) -> tuple[Tensor, Memory]:
        """The classifier on the statistics of each frame."""
        found, memory = self.statistics(features, log_elapsed, fresh, memory)
        return self.classifier(found), memory

    def statistics(
        self, features: Tensor, log_elapsed: Tensor, fresh: Tensor, memory: Memory
    ) -> tuple[Tensor, Memory]:
        """(N, T, F) -> the statistics (N, T, K F) after each frame, and the memory after the last one."""
        found = []
        for t in range(features.shape[1]):
            now, memory = self._after(features[:, t], log_elapsed[:, t], fresh[:, t], memory)
            found.append(now)
        return torch.stack(found, dim=1), memory

    def step(
        self, features: Tensor, log_elapsed: Tensor, fresh: Tensor, memory: Memory
    ) -> tuple[Tensor, Memory]:
        """The same of one frame."""
        found, memory = self._after(features, log_elapsed, fresh, memory)
        return self.classifier(found), memory

    def _after(self, x: Tensor, log_elapsed: Tensor, fresh: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        mean, peak, *averages, weights = memory
        since = torch.exp(log_elapsed).unsqueeze(-1)
        constants = since.new_tensor(self.constants) * self.frames
        decays = torch.exp(-since / constants).masked_fill(fresh.unsqueeze(-1), 0.0)
        weights = decays * weights + 1.0
        shares = 1.0 / weights
        mean = mean + shares[:, :1] * (x - mean)
        peak = torch.maximum(x, x + decays[:, :1] * (peak - x))
        if not averages:
            return torch.cat([mean, peak], dim=-1), (mean, peak, weights)
        short, long = averages
        short = short + shares[:, 1:2] * (x - short)
        long = long + shares[:, 2:] * (x - long)
        return torch.cat([mean, peak, short, short - long], dim=-1), (mean, peak, short, long, weights)


class EnsembleHead(Head):
    """Two heads on two parts of the features, which err in different ways: the weighted mean of their logits.

    The first is a ``StatisticsHead``, fitted to pictures; the second an ``LSTMHead`` on keypoints, which learns from
    drawn ones too, and follows the phase of repetitions where they are counted. The memory is that of both.
    """

    def __init__(self, statistics: StatisticsHead, recurrent: LSTMHead, *, labels: int, share: float) -> None:
        """``share``: the weight of the second head, 0 to 1."""
        super().__init__()
        self.statistics = statistics
        self.recurrent = recurrent
        self.labels = labels
        self.share = share
        self.sizes = statistics.feature_size, recurrent.lstm.input_size - 1  # beside the elapsed time
        self._own = statistics.kinds + 1  # tensors in the memory of the first head

    def initial_memory(self, streams: int = 1) -> Memory:
        """Zeros."""
        return *self.statistics.initial_memory(streams), *self.recurrent.initial_memory(streams)

    def forward(
        self, features: Tensor, log_elapsed: Tensor, fresh: Tensor, memory: Memory
    ) -> tuple[Tensor, Memory]:
        """Both heads, and the mean."""
        seen, joints = features.split(self.sizes, dim=-1)
        one, after = self.statistics(seen, log_elapsed, fresh, memory[: self._own])
        other, later = self.recurrent(joints, log_elapsed, fresh, memory[self._own :])
        return self.mean(one, other), (*after, *later)

    def step(
        self, features: Tensor, log_elapsed: Tensor, fresh: Tensor, memory: Memory
    ) -> tuple[Tensor, Memory]:
        """The same of one frame."""
        seen, joints = features.split(self.sizes, dim=-1)
        one, after = self.statistics.step(seen, log_elapsed, fresh, memory[: self._own])
        other, later = self.recurrent.step(joints, log_elapsed, fresh, memory[self._own :])
        return self.mean(one, other), (*after, *later)

    def mean(self, one: Tensor, other: Tensor) -> Tensor:
        """Outputs of both -> their weighted mean; the phase is the second one's."""
        logits = (1.0 - self.share) * one + self.share * other[..., : self.labels]
        return torch.cat([logits, other[..., self.labels :]], dim=-1)


class AttentionHead(Head):
    """Causal attention: a frame attends to itself and to the ``context`` frames before it, in each layer.

    Its memory is ``(keys, values, age)``: (N, layers, context, hidden) twice and (N, context), oldest first;
    ``age`` is 1 + how long ago the frame was, in frames at the training rate, and 0 where there is none. Frames come
    at uneven times, so queries and keys are rotated by the time (rotary embedding; Su et al., 2021): their product
    depends on the age alone. Layers are normalized before each part (Xiong et al., ICML 2020).
    """

    frequencies: Tensor  # (hidden / heads / 2,) radians a frame at the training rate

    def __init__(
        self,
        feature_size: int,
        hidden_size: int,
        outputs: int,
        *,
        layers: int = 1,
        dropout: float = 0.0,
        feature_norm: bool = False,
        context: int = 32,
        heads: int = 4,
    ) -> None:
        super().__init__()
        if hidden_size % (2 * heads):
            raise ModelError(
                f"the attention head has {heads} heads: hidden_size {hidden_size} is no multiple of {2 * heads}"
            )
        if context < 1:
            raise ModelError(f"context is {context} frames: let the attention head keep at least 1")
        self.context = context
        self.heads = heads
        self.norm = _norm(feature_size, feature_norm)
        self.enter = nn.Linear(feature_size + 1, hidden_size)
        self.layers = nn.ModuleList(_Layer(hidden_size, dropout) for _ in range(layers))
        self.leave = nn.LayerNorm(hidden_size)
        self.classifier = nn.Linear(hidden_size, outputs)
        pairs = hidden_size // heads // 2
        # From half a turn a frame to a fraction of a turn over the whole context.
        slowest = 1.0 / context
        frequencies = math.pi * (slowest / math.pi) ** (torch.arange(pairs) / max(1, pairs - 1))
        self.register_buffer("frequencies", frequencies, persistent=False)

    def initial_memory(self, streams: int = 1) -> Memory:
        """Zeros: (N, layers, context, hidden) twice, (N, context)."""
        hidden = self.classifier.in_features
        keys = self.classifier.weight.new_zeros(streams, len(self.layers), self.context, hidden)
        return keys, keys.clone(), keys.new_zeros(streams, self.context)

    def forward(
        self, features: Tensor, log_elapsed: Tensor, fresh: Tensor, memory: Memory
    ) -> tuple[Tensor, Memory]:
        """All frames of the clip at once, each with the frames that it may see."""
        age = memory[2]
        steps, device = features.shape[1], features.device
        # Double precision: a step adds up a few ages, a clip counts from its beginning, and both must agree.
        now = torch.exp(log_elapsed.double()).cumsum(1)
        times = torch.cat([1.0 - age.double(), now], dim=1)
        stretch = fresh.long().cumsum(1)  # the memory belongs to stretch 0, where it is not empty
        belongs = torch.cat([torch.where(age > 0.0, 0, -1), stretch], dim=1)
        place = torch.arange(steps + self.context, device=device)
        since = torch.arange(steps, device=device).unsqueeze(1)
        near = (place >= since) & (place <= since + self.context)
        seen = near & (belongs.unsqueeze(1) == stretch.unsqueeze(2))
        outputs, keys, values = self._attend(features, log_elapsed, memory, now, times, seen)
        last = belongs[:, steps:] == stretch[:, -1:]
        age = torch.where(last, 1.0 + now[:, -1:] - times[:, steps:], 0.0).to(age.dtype)
        forgotten = ~last[:, None, :, None]
        return outputs, (
            keys[:, :, steps:].masked_fill(forgotten, 0.0),
            values[:, :, steps:].masked_fill(forgotten, 0.0),
            age,
        )

    def step(
        self, features: Tensor, log_elapsed: Tensor, fresh: Tensor, memory: Memory
    ) -> tuple[Tensor, Memory]:
        """The frame beside the frames kept; the oldest of them makes room for it."""
        keys, values, age = (_kept(m, fresh) for m in memory)
        age = torch.where(age > 0.0, age + torch.exp(log_elapsed).unsqueeze(1), torch.zeros_like(age))
        age = torch.cat([age, torch.ones_like(age[:, :1])], dim=1)
        outputs, keys, values = self._attend(
            features.unsqueeze(1),
            log_elapsed.unsqueeze(1),
            (keys, values),
            torch.zeros_like(age[:, :1]),
            1.0 - age,
            (age > 0.0).unsqueeze(1),
        )
        return outputs.squeeze(1), (keys[:, :, 1:], values[:, :, 1:], age[:, 1:])

    def _attend(
        self, features: Tensor, log_elapsed: Tensor, memory: Memory, now: Tensor, times: Tensor, seen: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """(N, T, F), (N, T), the memory, times (N, T) and (N, context + T), (N, T, context + T) bool.

        Gives outputs (N, T, C) and keys and values (N, layers, context + T, hidden).
        """
        x = self.enter(_with_elapsed(self.norm(features), log_elapsed))
        turn_q, turn_k = self._turn(now), self._turn(times)
        all_keys, all_values = [], []
        for number, layer in enumerate(cast(Iterable[_Layer], self.layers)):
            q, k, v = layer.project(x)
            keys = torch.cat([memory[0][:, number], k], dim=1)
            values = torch.cat([memory[1][:, number], v], dim=1)
            turned_q = _turned(self._by_head(q), turn_q)
            scores = turned_q @ _turned(self._by_head(keys), turn_k).transpose(2, 3)
            scores = scores / math.sqrt(turned_q.shape[-1])
            weights = torch.softmax(scores.masked_fill(~seen.unsqueeze(1), -torch.inf), dim=-1)
            found = (weights @ self._by_head(values)).transpose(1, 2).flatten(2)
            x = layer.digest(x, found)
            all_keys.append(keys)
            all_values.append(values)
        outputs = self.classifier(self.leave(x))
        return outputs, torch.stack(all_keys, dim=1), torch.stack(all_values, dim=1)

    def _by_head(self, x: Tensor) -> Tensor:
        """(N, T, hidden) -> (N, heads, T, hidden / heads)."""
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)

    def _turn(self, times: Tensor) -> tuple[Tensor, Tensor]:
        """(N, T) in frames at the training rate -> cosine and sine, (N, 1, T, hidden / heads / 2)."""
        angle = times[:, None, :, None] * self.frequencies.to(times.dtype)
        return torch.cos(angle).to(self.frequencies.dtype), torch.sin(angle).to(self.frequencies.dtype)


class _Layer(nn.Module):
    """The weights of one layer of attention; the head decides which frames attend to which."""

    def __init__(self, hidden_size: int, dropout: float) -> None:
        super().__init__()
        self.before = nn.LayerNorm(hidden_size)
        self.qkv = nn.Linear(hidden_size, 3 * hidden_size)
        self.out = nn.Linear(hidden_size, hidden_size)
        self.between = nn.LayerNorm(hidden_size)
        self.mlp = nn.Sequential(
            nn.Linear(hidden_size, 2 * hidden_size), nn.GELU(), nn.Linear(2 * hidden_size, hidden_size)
        )
        self.dropout = nn.Dropout(dropout)

    def project(self, x: Tensor) -> list[Tensor]:
        """(N, T, hidden) -> queries, keys and values of the same shape."""
        return _slices(self.qkv(self.before(x)), 3)

    def digest(self, x: Tensor, found: Tensor) -> Tensor:
        """The layer's input and the output of attention, (N, T, hidden) each -> the same shape."""
        x = x + self.dropout(self.out(found))
        return x + self.dropout(self.mlp(self.between(x)))


def _turned(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """(N, heads, T, size) -> the same, each pair of its numbers turned by the angle of its time."""
    cos, sin = turn
    one, other = _slices(x, 2)
    return torch.cat([one * cos - other * sin, one * sin + other * cos], dim=-1)


class Standardized(nn.Module):
    """Features minus their mean, over their deviation, both of the training data: (..., F) -> (..., F)."""

    mean: Tensor
    scale: Tensor

    def __init__(self, feature_size: int) -> None:
        """Features as they are, until ``fit``."""
        super().__init__()
        self.register_buffer("mean", torch.zeros(feature_size))
        self.register_buffer("scale", torch.ones(feature_size))

    def fit(self, features: Tensor) -> None:
        """Take mean and deviation of features (K, F)."""
        self.mean.copy_(features.mean(0))
        self.scale.copy_(1.0 / (features.std(0) + STILL))

    def forward(self, x: Tensor) -> Tensor:
        """The standardized features."""
        return (x - self.mean) * self.scale


def _norm(feature_size: int, wanted: bool) -> nn.Module:
    return nn.LayerNorm(feature_size) if wanted else nn.Identity()


def _initialize(recurrent: nn.RNNBase, *, gates: int) -> None:
    for name, parameter in recurrent.named_parameters():
        if "weight_hh" in name:
            for gate in parameter.data.chunk(gates):
                nn.init.orthogonal_(gate)
        elif "weight_ih" in name:
            for gate in parameter.data.chunk(gates):
                nn.init.xavier_uniform_(gate)
        else:
            nn.init.zeros_(parameter)


def _weights(recurrent: nn.RNNBase, layer: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    w_ih, w_hh, b_ih, b_hh = (
        getattr(recurrent, f"{name}_l{layer}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    return w_ih, w_hh, b_ih, b_hh


def _with_elapsed(features: Tensor, log_elapsed: Tensor) -> Tensor:
    return torch.cat([features, log_elapsed.unsqueeze(-1)], dim=-1)


def _slices(x: Tensor, parts: int) -> list[Tensor]:
    """The last axis in equal parts, where chunk would export as a sequence."""
    size = x.shape[-1] // parts
    return [x[..., k * size : (k + 1) * size] for k in range(parts)]


def _stretches(fresh: Tensor) -> Iterator[tuple[int, int]]:
    """(N, T) bool -> (start, end) of each run of frames in which no stream begins anew."""
    steps = fresh.shape[1]
    cuts = [t for t in range(1, steps) if bool(fresh[:, t].any())]
    yield from zip([0, *cuts], [*cuts, steps], strict=True)


def _kept(memory: Tensor, fresh: Tensor) -> Tensor:
    """(N, ...), (N,) bool -> the memory, zero where a stream begins anew."""
    anew = fresh.view(-1, *(1 for _ in memory.shape[1:]))
    return torch.where(anew, torch.zeros_like(memory), memory)

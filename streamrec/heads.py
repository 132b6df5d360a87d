"""The recurrent head: features of frames in, logits out, with explicit memory and told the elapsed time."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Memory = tuple[Tensor, ...]


class Head(nn.Module, ABC):
    """What every head keeps: ``forward`` over clips and ``step`` over frames agree to rounding.

    ``fresh`` marks the frames before which the memory is forgotten: the first of a stream, the first after a
    cut, after a gap. ``rhythm`` is the elapsed time in units of what the head was trained for, as a logarithm:
    0 is as trained, 0.7 twice as long since the last frame.
    """

    @abstractmethod
    def initial_memory(self, streams: int = 1) -> Memory:
        """The memory of streams that have seen nothing; axis 0 is the stream."""

    @abstractmethod
    def forward(
        self, features: Tensor, rhythm: Tensor, fresh: Tensor, memory: Memory
    ) -> tuple[Tensor, Memory]:
        """(N, T, F), (N, T), (N, T) bool -> logits (N, T, C) and the memory after the last frame."""

    @abstractmethod
    def step(self, features: Tensor, rhythm: Tensor, fresh: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """(N, F), (N,), (N,) bool -> logits (N, C) and the memory after the frame."""


class LSTMHead(Head):
    """An LSTM and a linear layer. Its memory is ``(h, c)``, each (N, layers, hidden).

    Initialized as Jozefowicz et al. (ICML 2015) advise: forget-gate bias 1; orthogonal recurrent weights.
    """

    def __init__(
        self, feature_size: int, hidden_size: int, classes: int, *, layers: int = 1, dropout: float = 0.0
    ):
        super().__init__()
        self.lstm = nn.LSTM(
            feature_size + 1, hidden_size, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0
        )
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(hidden_size, classes)
        for name, parameter in self.lstm.named_parameters():
            if "weight_hh" in name:
                for gate in parameter.data.chunk(4):
                    nn.init.orthogonal_(gate)
            elif "weight_ih" in name:
                for gate in parameter.data.chunk(4):
                    nn.init.xavier_uniform_(gate)
            else:
                nn.init.zeros_(parameter)
                if "bias_ih" in name:
                    parameter.data[hidden_size : 2 * hidden_size] = 1.0  # gates stand as i, f, g, o

    def initial_memory(self, streams: int = 1) -> Memory:
        """Zeros, (N, layers, hidden) each."""
        zeros = self.classifier.weight.new_zeros(streams, self.lstm.num_layers, self.lstm.hidden_size)
        return zeros, zeros.clone()

    def forward(
        self, features: Tensor, rhythm: Tensor, fresh: Tensor, memory: Memory
    ) -> tuple[Tensor, Memory]:
        """The fused LSTM over each stretch in which no stream forgets."""
        inputs = torch.cat([features, rhythm.unsqueeze(-1)], dim=-1)
        steps = inputs.shape[1]
        cuts = [t for t in range(1, steps) if bool(fresh[:, t].any())]
        outputs = []
        for start, end in zip([0, *cuts], [*cuts, steps], strict=True):
            h, c = (_kept(m, fresh[:, start]).transpose(0, 1).contiguous() for m in memory)
            output, (h, c) = self.lstm(inputs[:, start:end], (h, c))
            memory = h.transpose(0, 1), c.transpose(0, 1)
            outputs.append(output)
        return self.classifier(self.dropout(torch.cat(outputs, dim=1))), memory

    def step(self, features: Tensor, rhythm: Tensor, fresh: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """The cell written out, so that an export holds the very weights of the LSTM and two matrix products."""
        h, c = (_kept(m, fresh) for m in memory)
        x = torch.cat([features, rhythm.unsqueeze(-1)], dim=-1)
        hidden, cells = [], []
        for layer in range(self.lstm.num_layers):
            w_ih, w_hh, b_ih, b_hh = (
                getattr(self.lstm, f"{name}_l{layer}")
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            gates = F.linear(x, w_ih, b_ih) + F.linear(h[:, layer], w_hh, b_hh)
            size = self.lstm.hidden_size  # slices, where chunk would export as a sequence
            i, f, g, o = (gates[:, k * size : (k + 1) * size] for k in range(4))
            cell = torch.sigmoid(f) * c[:, layer] + torch.sigmoid(i) * torch.tanh(g)
            x = torch.sigmoid(o) * torch.tanh(cell)
            hidden.append(x)
            cells.append(cell)
        return self.classifier(self.dropout(x)), (torch.stack(hidden, dim=1), torch.stack(cells, dim=1))


def _kept(memory: Tensor, fresh: Tensor) -> Tensor:
    """(N, layers, hidden), (N,) bool -> the memory, zero where a stream begins anew."""
    return torch.where(fresh[:, None, None], torch.zeros_like(memory), memory)

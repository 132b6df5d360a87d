"""Text in, text out: an ``ActionModel`` reads characters as frames, and a decoder with attention writes symbols."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice

from streamrec.errors import ModelError, need
from streamrec.nn.config import ModelConfig
from streamrec.nn.encoders.causal import CausalConv
from streamrec.nn.encoders.signal import NAME as SIGNAL_CNN
from streamrec.nn.model import ActionModel
from streamrec.nn.signals import SignalTransform

need("torch", extra="train")

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

Memory = tuple[Tensor, Tensor]
Pair = tuple[str, str]  # a sentence, its translation
SMOOTHING = 0.1  # of the labels, in the loss
LONGEST = 60  # symbols of a translation


class AttentionDecoder(nn.Module):
    """An LSTM that writes symbols and attends to the outputs of a model, one for each frame that it read.

    h_t = lstm(embedding(y_t-1)); the weights of the frames are softmax(h_t W r); symbol y_t is classified from h_t and
    the weighted mean of the outputs r (Luong et al., EMNLP 2015), with the embedding as the classifier's weights (Press
    and Wolf, EACL 2017). Its memory is (h, c), each (N, hidden), and begins from the last output. ``forward`` over
    sequences and over one symbol a call give the same numbers. Symbol 0 is the edge: it begins and ends a sequence.
    """

    def __init__(self, symbols: int, read_size: int, hidden_size: int = 256, *, dropout: float = 0.2) -> None:
        """``symbols``: how many there are, the edge among them; ``read_size``: the width of the model's outputs."""
        super().__init__()
        self.embedding = nn.Embedding(symbols, (hidden_size + 1) // 2)
        self.norm = nn.LayerNorm(read_size)
        self.begin = nn.Linear(read_size, 2 * hidden_size)
        self.lstm = nn.LSTM((hidden_size + 1) // 2, hidden_size, batch_first=True)
        self.query = nn.Linear(hidden_size, read_size, bias=False)
        self.merge = nn.Linear(hidden_size + read_size, (hidden_size + 1) // 2)
        self.bias = nn.Parameter(torch.zeros(symbols))
        self.dropout = nn.Dropout(dropout)
        nn.init.normal_(self.embedding.weight, std=((hidden_size + 1) // 2) ** -0.5)

    def initial_memory(self, read: Tensor) -> Memory:
        """(N, S, R), the model's outputs -> (h, c) before the first symbol."""
        h, c = torch.tanh(self.begin(self.norm(read[:, -1]))).chunk(2, dim=-1)
        return h, c

    def forward(self, symbols: Tensor, read: Tensor, memory: Memory) -> tuple[Tensor, Tensor, Memory]:
        """(N, T) symbols before each place, (N, S, R), (h, c) -> logits (N, T, symbols), weights (N, T, S), memory."""
        read = self.norm(read)
        x = self.dropout(self.embedding(symbols))
        h, c = (each.unsqueeze(0).contiguous() for each in memory)
        x, (h, c) = self.lstm(x, (h, c))
        weights = torch.softmax(self.query(x) @ read.transpose(1, 2), dim=-1)
        merged = torch.tanh(self.merge(self.dropout(torch.cat([x, weights @ read], dim=-1))))
        logits = F.linear(self.dropout(merged), self.embedding.weight, self.bias)
        return logits, weights, (h.squeeze(0), c.squeeze(0))

    @torch.inference_mode()
    def write(self, read: Tensor, longest: int) -> tuple[list[list[int]], Tensor]:
        """The likeliest symbol at each place, up to the edge or ``longest`` symbols: (N, S, R) -> N sequences.

        Beside them the weights (N, T, S) of the frames read, for as many places as the longest sequence has.
        """
        memory = self.initial_memory(read)
        last = torch.zeros(len(read), 1, dtype=torch.long, device=read.device)
        ended = torch.zeros(len(read), dtype=torch.bool, device=read.device)
        written, attended = [], []
        for _ in range(longest):
            logits, weights, memory = self(last, read, memory)
            last = logits.argmax(-1)
            ended = ended | (last[:, 0] == 0)
            if bool(ended.all()):
                break
            written.append(torch.where(ended, 0, last[:, 0]))
            attended.append(weights[:, 0])
        if not written:
            return [[] for _ in read], read.new_zeros(len(read), 0, read.shape[1])
        rows = torch.stack(written, dim=1).tolist()
        return [[symbol for symbol in row if symbol] for row in rows], torch.stack(attended, dim=1)


class Translator(nn.Module):
    """A model of the class reads a sentence, one character a step; an ``AttentionDecoder`` writes its translation.

    A frame is a row with a one at the place of its character, so that the first convolution is an embedding of the
    last characters; a character that was never learned is a row of zeros. The reader's outputs take the place of the
    scores of labels. Its state is that of any stream: ``reader.step`` and ``reader`` give the same outputs.
    """

    def __init__(self, pairs: Iterable[Pair], size: int = 256) -> None:
        """``pairs``: sentences and their translations, whose characters are learned; ``size`` of both LSTMs."""
        super().__init__()
        pairs = list(pairs)
        self.characters = "".join(sorted({c for sentence, _ in pairs for c in sentence}))
        self.symbols = "".join(sorted({c for _, translation in pairs for c in translation}))
        if not self.characters or not self.symbols:
            raise ModelError("there is nothing to translate: give pairs of a sentence and its translation")
        names = tuple(f"U+{ord(c):04X}" for c in self.characters)
        config = ModelConfig(
            labels=tuple(f"output {n}" for n in range(size)),
            encoder=SIGNAL_CNN,
            transform=SignalTransform(channels=names, resample=False),
            hidden_size=size,
            recall=False,
        )
        self.reader = ActionModel(config)
        for layer in [*self.reader.encoder.modules()]:
            if isinstance(layer, CausalConv):  # a batch is of one length, and so would its statistics be
                layer.add_module("norm", nn.LayerNorm(layer.linear.out_features))
        self.decoder = AttentionDecoder(1 + len(self.symbols), size, size)

    def frames(self, sentences: Sequence[str]) -> Tensor:
        """N sentences of T characters each -> (N, T, C); raises ``ModelError`` where their lengths differ."""
        if len({len(sentence) for sentence in sentences}) != 1 or not sentences[0]:
            raise ModelError("sentences of one batch are of one length, and none is empty")
        places = [[self.characters.find(c) % (len(self.characters) + 1) for c in s] for s in sentences]
        return F.one_hot(torch.tensor(places), len(self.characters) + 1)[..., :-1].float()

    def loss(self, pairs: Sequence[Pair]) -> Tensor:
        """Mean cross-entropy of each next symbol given those before it, of sentences of one length."""
        read, _ = self.reader(self.frames([sentence for sentence, _ in pairs]))
        rows = [[1 + self.symbols.index(c) for c in translation] for _, translation in pairs]
        places = 1 + max(map(len, rows))
        before = torch.tensor([[0, *row] + [0] * (places - 1 - len(row)) for row in rows])
        after = torch.tensor([[*row, 0] + [-100] * (places - 1 - len(row)) for row in rows])
        logits, _, _ = self.decoder(before, read, self.decoder.initial_memory(read))
        return F.cross_entropy(logits.transpose(1, 2), after, label_smoothing=SMOOTHING)

    @torch.inference_mode()
    def translate(self, sentence: str) -> tuple[str, Tensor]:
        """Read a sentence character by character -> its translation, and the weights (symbols, characters)."""
        state, outputs = self.reader.initial_state(), []
        elapsed = torch.full((1,), 1.0 / self.reader.config.fps)
        for frame in self.frames([sentence]).unbind(1):
            output, state = self.reader.step(frame, elapsed, state)
            outputs.append(output)
        (translation,), weights = self.write(torch.stack(outputs, dim=1))
        return translation, weights[0]

    def write(self, read: Tensor) -> tuple[list[str], Tensor]:
        """(N, S, R), the reader's outputs -> N translations, and the weights (N, T, S), T symbols in the longest."""
        rows, weights = self.decoder.write(read, LONGEST)
        return ["".join(self.symbols[symbol - 1] for symbol in row) for row in rows], weights

    @staticmethod
    def batches(pairs: Sequence[Pair], size: int, count: int, seed: int = 0) -> Iterator[list[Pair]]:
        """So many batches, pass after pass over shuffled pairs; sentences of one are of one length: none is padded."""
        return islice(_passes(pairs, size, random.Random(seed)), count)


def _passes(pairs: Sequence[Pair], size: int, order: random.Random) -> Iterator[list[Pair]]:
    while pairs:
        shuffled = sorted(order.sample(pairs, len(pairs)), key=_length)
        alike = [list(found) for _, found in groupby(shuffled, key=_length)]
        batches = [found[n : n + size] for found in alike for n in range(0, len(found), size)]
        yield from order.sample(batches, len(batches))


def _length(pair: Pair) -> int:
    return len(pair[0])

"""What was learned from corrections: a change of a model's last layer, fitted in a moment.

The last layer is linear in what it reads, so that the change is too: logits + ``weight @ features + bias``. It is
fitted with the model's own logits as an offset and a strong pull to zero, so that few corrections change little. Three
kinds of examples hold it in place: the corrections; frames of the cameras without a correction; and true events
that the model brings along. On the last two its predictions are to stay: learning without forgetting (Li and
Hoiem, ECCV 2016). There are hundreds of examples and thousands of features, so that it is fitted in the span of the
examples (the representer theorem), in about a second.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from streamrec.core.reading import read_json
from streamrec.errors import DataError

FLOOR = 1e-6  # of probabilities, before a logarithm
STEPS = 300  # of accelerated gradient descent
_META = "about"

Linear = tuple[np.ndarray, np.ndarray]  # weight (labels, D) and bias (labels,)


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Frames, and their targets."""

    features: np.ndarray  # (n, D) float32
    scores: np.ndarray  # (n, labels) float32: of the model, without a change
    targets: np.ndarray  # (n, labels) float32, of sum 1
    weights: np.ndarray  # (n,) float32

    def __len__(self) -> int:
        return len(self.features)

    @classmethod
    def joined(cls, parts: Sequence[Examples]) -> Examples:
        """All of them; there is at least one."""
        return cls(
            *(
                np.concatenate([getattr(part, name) for part in parts])
                for name in ("features", "scores", "targets", "weights")
            )
        )


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """A change of one model's last layer; immutable, so that a running recognizer may take another at any frame."""

    model: str
    labels: tuple[str, ...]
    weight: np.ndarray  # (labels, D) float32
    bias: np.ndarray  # (labels,) float32
    print: np.ndarray = field(
        default_factory=lambda: np.zeros(0, np.float32)
    )  # of the model: ``fingerprint``
    id: str = ""  # unique
    learned_from: tuple[str, ...] = ()  # ids of the corrections
    heights: dict[str, float] = field(
        default_factory=dict
    )  # of each, after a change that the others alone made
    outcome: dict[str, Any] = field(default_factory=dict)  # on the kept examples, before and after

    def applied(self, scores: np.ndarray, features: np.ndarray) -> np.ndarray:
        """(n, labels) probabilities, (n, D) -> the changed probabilities (n, labels) float32."""
        return shifted(scores, features.astype(np.float32) @ self.weight.T + self.bias)

    def to_bytes(self) -> bytes:
        """As safetensors."""
        about = {
            "model": self.model,
            "labels": self.labels,
            "id": self.id,
            "from": self.learned_from,
            "heights": self.heights,
            "outcome": self.outcome,
        }
        arrays = {"weight": self.weight, "bias": self.bias, "print": self.print}
        arrays[_META] = np.frombuffer(json.dumps(about).encode(), np.uint8)
        return save({name: np.ascontiguousarray(array) for name, array in arrays.items()})

    @classmethod
    def from_bytes(cls, data: bytes) -> Change:
        """What ``to_bytes`` wrote; raises ``DataError`` for anything else."""
        try:
            arrays = load(data)
            about = read_json(arrays.pop(_META).tobytes())
            change = cls(
                model=about["model"],
                labels=tuple(about["labels"]),
                id=str(about["id"]),
                learned_from=tuple(about["from"]),
                heights={str(id): float(height) for id, height in dict(about["heights"]).items()},
                outcome=dict(about["outcome"]),
                **arrays,
            )
            fits = (
                change.weight.ndim == 2
                and change.weight.shape[0] == len(change.labels) == len(change.bias)
                and all(np.isfinite(a).all() for a in (change.weight, change.bias, change.print))
            )
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise DataError("these bytes are no change of a model") from error
        if not fits:
            raise DataError("these bytes are no change of a model")
        return change


def shifted(scores: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """(n, labels) probabilities with (n, labels) added to their logits.

    >>> shifted(np.array([[0.5, 0.5]]), np.log([[3.0, 1.0]])).tolist()
    [[0.75, 0.25]]
    """
    logits = np.log(np.maximum(scores, FLOOR)) + shifts
    found: np.ndarray = softmax(logits).astype(np.float32)
    return found


class Fits:
    """Fits of the same examples: their inner products, which cost the most, are computed once.

    Features are standardized by the examples; the bias is pulled to zero too, since a change that helps everywhere is
    one of the threshold.

    >>> rng = np.random.default_rng(0)
    >>> features = np.concatenate([rng.normal(0, 1, (40, 8)), rng.normal(3, 1, (20, 8))]).astype(np.float32)
    >>> scores = np.tile(np.array([[0.9, 0.1]], np.float32), (60, 1))
    >>> targets = np.where(np.arange(60)[:, None] < 40, scores, [[0.1, 0.9]]).astype(np.float32)
    >>> fits = Fits(Examples(features, scores, targets, np.ones(60, np.float32)))
    >>> weight, bias = fits.with_pull(0.03)
    >>> after = shifted(scores, features @ weight.T + bias)
    >>> bool(after[:40, 0].mean() > 0.8) and bool(after[40:, 1].mean() > 0.8)
    True
    """

    def __init__(self, examples: Examples) -> None:
        self._examples = examples
        self._mean, deviation = examples.features.mean(0), examples.features.std(0)
        self._scale = (deviation + 0.01 * deviation.mean() + 1e-6) * np.sqrt(examples.features.shape[1])
        self._whitened = (examples.features - self._mean) / self._scale
        self._kernel = self._whitened @ self._whitened.T + 1.0  # of the bias
        self._steepest = 0.55 * float(examples.weights.max()) * _largest_eigenvalue(self._kernel)

    def with_pull(self, pull: float) -> Linear:
        """The weight (labels, D) and bias (labels,) with the least cross-entropy and ``pull`` times their square.

        Accelerated gradient descent (Nesterov 1983) on a factor for each example.
        """
        logits = np.log(np.maximum(self._examples.scores, FLOOR))
        at = ahead = np.zeros_like(logits)
        weights, targets = self._examples.weights[:, None], self._examples.targets
        momentum = 1.0
        for _ in range(STEPS):
            slope = weights * (softmax(logits + self._kernel @ ahead) - targets) + pull * ahead
            after = ahead - slope / (self._steepest + pull)
            grown = (1.0 + np.sqrt(1.0 + 4.0 * momentum * momentum)) / 2.0
            ahead = after + (momentum - 1.0) / grown * (after - at)
            at, momentum = after, grown
        weight = (at.T @ self._whitened) / self._scale
        return weight.astype(np.float32), (at.sum(0) - weight @ self._mean).astype(np.float32)


def _largest_eigenvalue(matrix: np.ndarray) -> float:
    """Of a symmetric matrix without negative ones, from below, nearly: by power iteration."""
    vector = np.ones(len(matrix), matrix.dtype)
    for _ in range(30):
        vector = matrix @ vector
        vector /= np.linalg.norm(vector)
    return float(vector @ (matrix @ vector))


def softmax(logits: np.ndarray) -> np.ndarray:
    """The softmax (n, labels)."""
    powers = np.exp(logits - logits.max(1, keepdims=True))
    found: np.ndarray = powers / powers.sum(1, keepdims=True)
    return found

"""The fit of a statistics head on a frozen backbone: a convex problem with one optimum, solved in seconds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from streamrec.data.clips import NO_LABEL
from streamrec.data.decode_cache import Recording
from streamrec.errors import DataError, need
from streamrec.nn.heads import StatisticsHead
from streamrec.nn.model import ActionModel
from streamrec.train.augment import in_mirror, mirror
from streamrec.train.frozen_features import FeatureCache

need("torch", extra="train")

import torch  # noqa: E402
from torch import Tensor  # noqa: E402
from torch.nn import functional as F  # noqa: E402

LEAST = 1e-4  # deviation of a statistic below which it tells nothing
ITERATIONS = 200  # of L-BFGS at most


@dataclass(frozen=True, kw_only=True)
class LinearSettings:
    """How a statistics head is fitted."""

    penalty: float = (
        0.3  # half of it times the squared weights (of standardized statistics) is added to the mean loss
    )
    onset: float = 0.0  # seconds from the start of an action that are not learned: it cannot be told yet
    longest: float = float(
        "inf"
    )  # seconds after which an action is not learned any more: its end state is another one
    background_every: int = 5  # frames of background recordings from one that is learned to the next

    def __post_init__(self) -> None:
        if not (
            self.penalty > 0 and self.onset >= 0 and self.longest > self.onset and self.background_every >= 1
        ):
            raise ValueError(
                "penalty is more than 0, onset at least 0, longest more than onset, background_every at least 1"
            )


@torch.inference_mode()
def statistics_of(model: ActionModel, timestamps: np.ndarray, backbone: np.ndarray) -> np.ndarray:
    """Seconds (T,) and backbone features (T, S) of a recording -> its statistics (T, 2 F) from the initial state."""
    head = model.head
    assert isinstance(head, StatisticsHead)
    elapsed = torch.from_numpy(np.diff(timestamps, prepend=-np.inf).astype(np.float32))[None]
    fresh, log_elapsed = model.timing(elapsed)
    transform = model.config.transform
    cache = model.encoder.initial_cache(1, transform.height, transform.width)
    seen = torch.from_numpy(np.asarray(backbone, np.float32))[None]
    features, _ = model.encoder(seen, log_elapsed, fresh, cache, seen)
    found, _ = head.statistics(features, log_elapsed, fresh, head.initial_memory())
    return np.asarray(found[0].numpy())


def fit_linear(
    model: ActionModel,
    recordings: Sequence[Recording],
    background: Sequence[Recording],
    features: FeatureCache,
    settings: LinearSettings,
) -> ActionModel:
    """Fill the classifier of a model with a statistics head; returns the model in eval mode.

    Each label weighs the same, and within a label each recording by its frames. Of every recording all cached views
    are learned.
    """
    model = model.eval().requires_grad_(False)
    rows = [
        *(row for recording in recordings for row in _learned(model, recording, features, settings)),
        *(
            (found[:: settings.background_every], targets[:: settings.background_every])
            for recording in background
            for found, targets in _learned(model, recording, features, settings)
        ),
    ]
    inputs = torch.from_numpy(np.concatenate([found for found, _ in rows]))
    targets = torch.from_numpy(np.concatenate([target for _, target in rows]))
    if len(targets) == 0:
        raise DataError("there is nothing to learn from: no frame has a label")
    weight, bias = solved(inputs, targets, len(model.config.labels), settings.penalty)
    head = model.head
    assert isinstance(head, StatisticsHead)
    with torch.no_grad():
        head.classifier.weight.copy_(weight)
        head.classifier.bias.copy_(bias)
    return model


def solved(inputs: Tensor, targets: Tensor, labels: int, penalty: float) -> tuple[Tensor, Tensor]:
    """Multinomial logistic regression: inputs (K, F), targets (K,) -> weight (labels, F), bias (labels,).

    Inputs are standardized, labels weigh the same, the squared weights are penalized. The result is for inputs as
    they are.

    >>> x = torch.tensor([[0.0, 5.0], [1.0, 5.0], [4.0, 5.0], [5.0, 5.0]])
    >>> weight, bias = solved(x, torch.tensor([0, 0, 1, 1]), 2, 0.1)
    >>> (x @ weight.T + bias).argmax(1).tolist()
    [0, 0, 1, 1]
    """
    mean, deviation = inputs.mean(0), inputs.std(0, correction=0)
    scale = torch.where(deviation > LEAST, 1.0 / deviation.clamp(min=LEAST), torch.zeros_like(deviation))
    x = (inputs - mean) * scale
    counts = torch.bincount(targets, minlength=labels).to(x.dtype)
    present = counts > 0
    balance = torch.where(present, 1.0 / counts.clamp(min=1.0), torch.zeros_like(counts)) / present.sum()
    weights = balance[targets]
    weight = torch.zeros(labels, x.shape[1], requires_grad=True)
    bias = torch.zeros(labels, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weight, bias],
        max_iter=ITERATIONS,
        history_size=20,
        tolerance_grad=1e-5,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        losses = F.cross_entropy(F.linear(x, weight, bias), targets, reduction="none")
        loss = (losses * weights).sum() + 0.5 * penalty * weight.square().sum()
        loss.backward()
        return loss

    with torch.enable_grad():
        optimizer.step(closure)
    weight, bias = weight.detach() * scale, bias.detach()
    bias = torch.where(present, bias - weight @ mean, torch.full_like(bias, -1e4))  # a label without a frame
    return weight, bias


def _learned(
    model: ActionModel, recording: Recording, features: FeatureCache, settings: LinearSettings
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each view of a recording the statistics (K, 2 F) and targets (K,) of the frames that are learned."""
    augmentation = features.augmentation
    swap = mirror(augmentation.mirrored if augmentation else (), model.config.labels)
    for number in range(features.views):
        view = features.view(recording, number)
        frames = np.unique(view.rows, return_index=True)[1]  # those that the backbone encoded
        times = recording.timestamps[frames]
        targets = recording.targets[frames]
        learned = (targets != NO_LABEL) & _within(recording, frames, model, settings)
        if view.view is not None and view.view.is_mirrored:
            targets = in_mirror(targets, swap)
        found = statistics_of(model, times, view.of(frames))
        yield found[learned], targets[learned]


def _within(
    recording: Recording, frames: np.ndarray, model: ActionModel, settings: LinearSettings
) -> np.ndarray:
    """(K,) bool: whether a frame is in the part of its action that is learned; background has no such part."""
    background = {n for n, label in enumerate(model.config.labels) if label in model.config.events.background}
    starts = np.flatnonzero(np.diff(recording.targets, prepend=-2))
    start = starts[np.searchsorted(starts, frames, side="right") - 1]
    age = recording.timestamps[frames] - recording.timestamps[start]
    quiet = np.isin(recording.targets[frames], list(background))
    return np.asarray(quiet | ((age >= settings.onset) & (age < settings.longest)))

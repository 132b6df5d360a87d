"""The fit of a statistics head on a frozen backbone: a convex problem with one optimum, solved in seconds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from streamrec.data.clips import NO_LABEL
from streamrec.data.decode_cache import Recording
from streamrec.errors import DataError, need
from streamrec.nn.config import ModelConfig
from streamrec.nn.heads import StatisticsHead
from streamrec.nn.model import ActionModel
from streamrec.train.augment import in_mirror, mirror
from streamrec.train.frozen_features import FeatureCache, ViewFeatures

need("torch", extra="train")

import torch  # noqa: E402
from torch import Tensor  # noqa: E402
from torch.nn import functional as F  # noqa: E402

USED = ("seen", "changed", "all")
LEAST = 1e-4  # deviation of a statistic below which it carries nothing
NEVER = -1e4  # the bias of a label without a frame
ITERATIONS = 200  # of L-BFGS at most


@dataclass(frozen=True, kw_only=True)
class LinearSettings:
    """How a statistics head is fitted."""

    penalty: float = (
        0.3  # half of it times the squared weights (of standardized statistics) is added to the mean loss
    )
    onset: float = 0.0  # seconds from the start of an action that are not learned: it resembles other actions
    longest: float = float(
        "inf"
    )  # seconds after which an action is not learned any more: its end state is another one
    # A frame's weight is multiplied by its action's progress (0 to 1) to this power: many actions begin alike.
    late: float = 0.0
    # Statistics that are used: mean and peak ("seen"), the last moments and those against before ("changed"), or all.
    # A head without changes has the first two alone.
    statistics: str = "seen"
    background_share: float = 0.5  # of the weight of a label that has frames of recordings and of background
    background_every: int = 5  # frames of background recordings from one that is learned to the next

    def __post_init__(self) -> None:
        if not (self.penalty > 0 and self.onset >= 0 and self.longest > self.onset):
            raise ValueError("penalty is more than 0, onset at least 0, longest more than onset")
        if self.late < 0:
            raise ValueError("late is at least 0: all frames of an action weigh the same")
        if self.background_every < 1 or self.statistics not in USED:
            raise ValueError(f"background_every is at least 1, and statistics is one of {', '.join(USED)}")

    def used(self, size: int, *, changes: bool) -> slice:
        """Of ``size`` statistics those that are used; ``changes``: the second half of them are changes."""
        half = size // 2 if changes else size
        return {"seen": slice(0, half), "changed": slice(half, size), "all": slice(0, size)}[self.statistics]


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Frames that are learned."""

    statistics: np.ndarray  # (K, S)
    targets: np.ndarray  # (K,)
    weights: np.ndarray  # (K,), relative

    def every(self, step: int) -> Samples:
        """Each ``step``-th of them."""
        return Samples(self.statistics[::step], self.targets[::step], self.weights[::step])


def encoded(
    model: ActionModel, timestamps: np.ndarray, backbone: np.ndarray
) -> tuple[Tensor, Tensor, Tensor]:
    """Seconds (T,) and backbone features (T, S) of a recording, from the initial state.

    -> features (1, T, F), the logarithm of the elapsed time (1, T), and which frames begin anew (1, T).
    """
    device, transform = model.mean.device, model.config.pictures
    elapsed = torch.from_numpy(np.diff(timestamps, prepend=-np.inf).astype(np.float32))[None].to(device)
    fresh, log_elapsed = model.timing(elapsed)
    cache = model.encoder.initial_cache(1, transform.height, transform.width)
    seen = torch.from_numpy(np.asarray(backbone, np.float32))[None].to(device)
    features, _ = model.encoder(seen, log_elapsed, fresh, cache, seen)
    return features, log_elapsed, fresh


@torch.inference_mode()
def statistics_of(model: ActionModel, timestamps: np.ndarray, backbone: np.ndarray) -> np.ndarray:
    """Seconds (T,) and backbone features (T, S) of a recording -> its statistics (T, S) from the initial state."""
    head = model.head
    assert isinstance(head, StatisticsHead)
    features, log_elapsed, fresh = encoded(model, timestamps, backbone)
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

    Labels weigh the same, and so do the frames of recordings and of background. All cached views of a recording are
    learned, and of background the first one.
    """
    model = model.eval().requires_grad_(False)
    every = settings.background_every
    learned = [each for recording in recordings for each in learned_of(model, recording, features, settings)]
    quiet = [
        each.every(every)
        for recording in background
        for each in learned_of(model, recording, features, settings, views=1)
    ]
    weight, bias = classifier_of(model, learned, quiet, settings)
    head = model.head
    assert isinstance(head, StatisticsHead)
    with torch.no_grad():
        head.classifier.weight.copy_(weight)
        head.classifier.bias.copy_(bias)
    return model


def classifier_of(
    model: ActionModel, learned: Sequence[Samples], quiet: Sequence[Samples], settings: LinearSettings
) -> tuple[Tensor, Tensor]:
    """The classifier's weight (labels, S) and bias (labels,); ``quiet`` is of background."""
    every, labels = [*learned, *quiet], len(model.config.labels)
    inputs = torch.from_numpy(np.concatenate([each.statistics for each in every]))
    targets = torch.from_numpy(np.concatenate([each.targets for each in every]))
    if len(targets) == 0:
        raise DataError("there is nothing to learn from: no frame has a label")
    shares = torch.from_numpy(np.concatenate([each.weights for each in every]).astype(np.float32))
    source = torch.arange(len(targets)) >= sum(len(each.targets) for each in learned)
    weights = balanced(targets, source, labels, settings.background_share, shares)
    used = settings.used(inputs.shape[1], changes=model.config.statistics_changes)
    gains = torch.tensor(model.encoder.gains or (1.0,) * model.encoder.feature_size)
    gains = gains.repeat(inputs.shape[1] // len(gains))[used]
    weight = torch.zeros(labels, inputs.shape[1])
    weight[:, used], bias = solved(inputs[:, used], targets, weights, labels, settings.penalty, gains)
    return weight, bias


def balanced(
    targets: Tensor, background: Tensor, labels: int, share: float, within: Tensor | None = None
) -> Tensor:
    """(K,) labels, (K,) bool -> (K,) weights of sum 1: labels weigh the same, background its share of its label.

    ``within`` (K,): how much frames of one label and source weigh against each other; None is alike.

    >>> balanced(torch.tensor([0, 0, 0, 1]), torch.tensor([False, False, True, False]), 2, 0.5).tolist()
    [0.125, 0.125, 0.25, 0.5]
    """
    within = torch.ones(len(targets)) if within is None else within
    parts = torch.zeros(2, labels)
    for quiet in (0, 1):
        own = background == bool(quiet)
        parts[quiet] = torch.bincount(targets[own], weights=within[own], minlength=labels)
    both = (parts > 0).all(0)
    of_part = torch.stack([torch.where(both, 1.0 - share, 1.0), torch.where(both, share, 1.0)])
    each = of_part / torch.where(parts > 0, parts, 1.0) / (parts.sum(0) > 0).sum()
    return each[background.long(), targets] * within


def solved(
    inputs: Tensor,
    targets: Tensor,
    weights: Tensor,
    labels: int,
    penalty: float,
    gains: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Multinomial logistic regression: inputs (K, F), targets (K,), weights (K,) -> weight (labels, F), bias (labels,).

    Inputs are standardized and multiplied by ``gains`` (F,), and the squared weights are penalized. The result is for
    inputs as they are.

    >>> x = torch.tensor([[0.0, 5.0], [1.0, 5.0], [4.0, 5.0], [5.0, 5.0]])
    >>> weight, bias = solved(x, torch.tensor([0, 0, 1, 1]), torch.full((4,), 0.25), 2, 0.1)
    >>> (x @ weight.T + bias).argmax(1).tolist()
    [0, 0, 1, 1]
    """
    mean, deviation = inputs.mean(0), inputs.std(0, correction=0)
    scale = torch.where(deviation > LEAST, 1.0 / deviation.clamp(min=LEAST), torch.zeros_like(deviation))
    scale = scale if gains is None else scale * gains
    x = (inputs - mean) * scale
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
    absent = torch.bincount(targets, minlength=labels) == 0
    return weight, torch.where(absent, torch.full_like(bias, NEVER), bias - weight @ mean)


def learned_of(
    model: ActionModel,
    recording: Recording,
    features: FeatureCache,
    settings: LinearSettings,
    *,
    views: int | None = None,
) -> Iterator[Samples]:
    """For each view of a recording the frames that are learned."""
    for view, frames, targets in views_of(recording, features, model.config, views):
        within, weights = weighed(recording, frames, model.config, settings)
        learned = (targets != NO_LABEL) & within
        found = statistics_of(model, recording.timestamps[frames], view.of(frames))
        yield Samples(found[learned], targets[learned], weights[learned])


def views_of(
    recording: Recording, features: FeatureCache, config: ModelConfig, views: int | None = None
) -> Iterator[tuple[ViewFeatures, np.ndarray, np.ndarray]]:
    """Views, all or so many, each with the K frames that the backbone encoded and their labels: (K,) indices, (K,)."""
    swap = mirror(features.augmentation.mirrored if features.augmentation else (), config.labels)
    for number in range(features.views if views is None else views):
        view = features.view(recording, number)
        frames = np.unique(view.rows, return_index=True)[1]
        targets = recording.targets[frames]
        if view.view is not None and view.view.is_mirrored:
            targets = in_mirror(targets, swap)
        yield view, frames, targets


def weighed(
    recording: Recording, frames: np.ndarray, config: ModelConfig, settings: LinearSettings
) -> tuple[np.ndarray, np.ndarray]:
    """Whether a frame is in the part of its action that is learned, (K,) bool, and its weight there, (K,).

    All of background is learned, and weighs the same.
    """
    background = {n for n, label in enumerate(config.labels) if label in config.events.background}
    starts = np.flatnonzero(np.diff(recording.targets, prepend=-2))
    ends = np.append(starts[1:], len(recording.targets))
    action = np.searchsorted(starts, frames, side="right") - 1
    start, end = starts[action], ends[action]
    age = recording.timestamps[frames] - recording.timestamps[start]
    progress = (frames - start + 1) / (end - start)
    quiet = np.isin(recording.targets[frames], list(background))
    within = quiet | ((age >= settings.onset) & (age < settings.longest))
    return within, np.where(quiet, 1.0, progress**settings.late)

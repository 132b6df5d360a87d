"""Baselines for a recurrent head, on the same features and clips: a linear classifier, a running mean, a window."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from streamrec.data.clips import NO_LABEL, Clip
from streamrec.errors import DataError, need
from streamrec.evaluation.reports import truth_of
from streamrec.nn.config import ModelConfig
from streamrec.nn.encoders import make_encoder
from streamrec.nn.model import ActionModel
from streamrec.nn.transforms import InputTransform, as_inputs, frames_at_once, planar
from streamrec.pipeline.senses import fitted
from streamrec.sources.health import amiss
from streamrec.sources.open import recording
from streamrec.sources.sampling import pace

need("torch", extra="train")

import torch  # noqa: E402
from torch import Tensor  # noqa: E402
from torch.nn import functional as F  # noqa: E402

WINDOW = 16  # frames of the sliding window
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # of the squared weights, a sample
SMOOTHINGS = (0.0, 0.25, 0.5, 1.0, 2.0)  # seconds
_FRAMES_OF_A_CLIP = 64  # at most, evenly spread: a classifier learns little from more of one clip


@dataclass(frozen=True, slots=True, eq=False)
class SampledClip:
    """The frames of one clip at a model's sampling rate and input size. T counts them."""

    pictures: np.ndarray  # (T, height, width, 3) uint8 BGR; of a signal (T, C) float32 readings
    timestamps: np.ndarray  # (T,) float64 seconds
    targets: np.ndarray  # (T,) int64; NO_LABEL where the model has no label for the truth
    group: str
    amiss: str | None = None  # message about a file that is cut off or damaged


@dataclass(frozen=True, slots=True, eq=False)
class EncodedClip:
    """A model's features and predictions for one clip, frame by frame."""

    timestamps: np.ndarray  # (T,) float64 seconds
    targets: np.ndarray  # (T,) int64; NO_LABEL where there is none
    features: np.ndarray  # (T, F) float32, of the encoder
    probabilities: np.ndarray  # (T, labels) float32, of the model
    group: str
    # (T, 2) float32 cosine and sine of the repetition's phase; None: the model counts nothing
    phases: np.ndarray | None = None


def sample_clip(clip: Clip, config: ModelConfig, transform: InputTransform | None = None) -> SampledClip:
    """Decode the frames that a recognizer processes, sampled as in ``results()``; raises ``SourceError``.

    ``transform``: another one than the model's.
    """
    stored = (transform or config.transform).stored
    source = recording(clip.path, sense=config.transform.sense)
    frames = [(stored(f.data), f.timestamp) for f in pace(fitted(source, config), config.fps)]
    truth = truth_of(clip, [time for _, time in frames], config.labels, config.events)
    index = {label: n for n, label in enumerate(config.labels)}
    return SampledClip(
        np.stack([image for image, _ in frames]),
        np.array([time for _, time in frames]),
        np.array([index.get(label, NO_LABEL) for label in truth], np.int64),
        clip.group,
        amiss(source),
    )


@torch.inference_mode()
def encode_clip(model: ActionModel, clip: SampledClip) -> EncodedClip:
    """Run a model on a clip from the initial state: faster than ``results()``, with the same numbers.

    A part at a time, the state carried, so that a long clip fits into memory.
    """
    part = frames_at_once(model.config.transform)
    features: list[Tensor] = []
    found: list[Tensor] = []
    hook = model.encoder.register_forward_hook(lambda module, given, out: features.append(_flat(out[0][0])))
    elapsed = np.diff(clip.timestamps, prepend=-np.inf).astype(np.float32)
    state = model.initial_state()
    try:
        for start in range(0, len(elapsed), part):
            pictures = torch.from_numpy(as_inputs(clip.pictures[start : start + part]))
            seconds = torch.from_numpy(elapsed[start : start + part])
            outputs, state = model(pictures[None], seconds[None], state)
            found.append(outputs[0].float())
    finally:
        hook.remove()
    logits, phases = model.split(torch.cat(found))
    return EncodedClip(
        clip.timestamps,
        clip.targets,
        torch.cat(features).float().numpy(),
        torch.softmax(logits, -1).numpy(),
        clip.group,
        None if phases is None else phases.numpy(),
    )


@torch.inference_mode()
def window_probabilities(
    model: ActionModel, clip: SampledClip, *, window: int = WINDOW, batch: int = 8
) -> np.ndarray:
    """(T, labels) probabilities of a sliding window: the last ``window`` frames, from the initial state.

    So a model for clips works on a stream; it costs ``window`` times as much as carrying the state.
    """
    pictures = torch.from_numpy(as_inputs(clip.pictures))
    elapsed = torch.from_numpy(np.diff(clip.timestamps, prepend=-np.inf).astype(np.float32))
    first, _ = model(pictures[None, :window], elapsed[None, :window])
    found = [first[0]]  # until the window is full it has all frames so far
    ends = list(range(window, len(elapsed)))
    for start in range(0, len(ends), batch):
        rows = [slice(end - window + 1, end + 1) for end in ends[start : start + batch]]
        seconds = torch.stack([elapsed[row] for row in rows])
        seconds[:, 0] = math.inf
        outputs, _ = model(torch.stack([pictures[row] for row in rows]), seconds)
        found.append(outputs[:, -1])
    logits, _ = model.split(torch.cat(found).float())
    return torch.softmax(logits, -1).numpy()


@torch.inference_mode()
def frozen_features(
    clips: Iterable[SampledClip], *, encoder: str = "efficientnet_lite0", weights: str | None = "imagenet"
) -> list[np.ndarray]:
    """(T, F) features of each clip, by a CNN that was not trained on them."""
    cnn = None
    found = []
    for clip in clips:
        height, width = clip.pictures.shape[1:3]
        if cnn is None:
            cnn = make_encoder(encoder, height=height, width=width, weights=weights).eval()
        mean, std = (255.0 * torch.tensor(value).view(3, 1, 1) for value in (cnn.mean, cnn.std))
        cache = cnn.initial_cache(1, height, width)
        fresh = torch.zeros(1, len(clip.pictures), dtype=torch.bool)
        fresh[:, 0] = True
        parts = []
        for start in range(0, len(clip.pictures), 64):
            pictures = torch.from_numpy(planar(clip.pictures[start : start + 64]))[None]
            begun = fresh[:, start : start + 64]
            features, cache = cnn((pictures - mean) / std, torch.zeros(begun.shape), begun, cache)
            parts.append(_flat(features[0]))
        found.append(torch.cat(parts).numpy())
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Linear:
    """Multinomial logistic regression on standardized features."""

    mean: np.ndarray  # (F,)
    scale: np.ndarray  # (F,)
    weight: np.ndarray  # (F, labels)
    bias: np.ndarray  # (labels,)

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """(T, F) -> probabilities (T, labels) float32."""
        logits = ((features - self.mean) / self.scale) @ self.weight + self.bias
        raised = np.exp(logits - logits.max(1, keepdims=True))
        return (raised / raised.sum(1, keepdims=True)).astype(np.float32)


def fit_linear(features: np.ndarray, targets: np.ndarray, labels: int, *, penalty: float) -> Linear:
    """(N, F), (N,) -> the classifier with least cross-entropy + penalty / 2 · squared weights; labels weigh alike.

    The problem is convex, so there is one solution, and LBFGS finds it. Labels that do not occur are never predicted.
    """
    if not len(features):
        raise DataError("there is nothing that a baseline could learn from")
    mean, scale = features.mean(0), features.std(0)
    scale = np.where(scale > 1e-6 * (np.abs(mean) + 1.0), scale, 1.0)
    inputs = torch.from_numpy(((features - mean) / scale).astype(np.float64))
    wanted = torch.from_numpy(targets.astype(np.int64))
    counts = torch.bincount(wanted, minlength=labels).double()
    balance = torch.where(counts > 0, len(wanted) / (counts.clamp(min=1) * (counts > 0).sum()), 0.0)
    weight = torch.zeros(inputs.shape[1], labels, dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(labels, dtype=torch.float64, requires_grad=True)
    never = torch.where(counts > 0, 0.0, -math.inf)
    optimizer = torch.optim.LBFGS(
        [weight, bias], max_iter=200, tolerance_grad=1e-6, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        entropy = F.cross_entropy(inputs @ weight + bias + never, wanted, reduction="none")
        value = (entropy * balance[wanted]).mean() + 0.5 * penalty * (weight**2).sum()
        value.backward()
        return value

    optimizer.step(loss)
    offset = bias.detach() + torch.where(counts > 0, 0.0, -1e9)
    return Linear(mean, scale, weight.detach().numpy(), offset.numpy())


@dataclass(frozen=True, slots=True, eq=False)
class PerFrame:
    """A linear classifier of each frame; its probabilities are smoothed over time, without later frames."""

    linear: Linear
    smoothing: float  # seconds, time constant

    def __call__(self, features: np.ndarray, timestamps: np.ndarray) -> np.ndarray:
        """(T, F), (T,) -> (T, labels)."""
        return smoothed(self.linear(features), timestamps, self.smoothing)


@dataclass(frozen=True, slots=True, eq=False)
class RunningMean:
    """A linear classifier of the mean of all features so far."""

    linear: Linear

    def __call__(self, features: np.ndarray, timestamps: np.ndarray) -> np.ndarray:
        """(T, F), (T,) -> (T, labels)."""
        return self.linear(running_mean(features))


def fit_per_frame(
    clips: Sequence[EncodedClip], labels: int, *, features: Sequence[np.ndarray] | None = None, seed: int = 0
) -> PerFrame:
    """Fit to clips; penalty and smoothing are those with the least cross-entropy on an inner split.

    ``features``: (T, F) of each clip, in place of the clips' own.
    """
    rows = [one.features for one in clips] if features is None else list(features)
    targets = [one.targets for one in clips]
    learn, check = _inner_split([one.group for one in clips], targets, seed)
    best = (math.inf, PENALTIES[-2], 0.5)
    for penalty in PENALTIES if check else ():
        linear = fit_linear(*_samples(rows, targets, learn), labels, penalty=penalty)
        raw = {n: linear(rows[n]) for n in check}
        for smoothing in SMOOTHINGS:
            scores = {n: smoothed(raw[n], clips[n].timestamps, smoothing) for n in check}
            best = min(best, (_cross_entropy(scores, targets), penalty, smoothing))
    everything = range(len(clips))
    return PerFrame(fit_linear(*_samples(rows, targets, everything), labels, penalty=best[1]), best[2])


def fit_running_mean(
    clips: Sequence[EncodedClip], labels: int, *, features: Sequence[np.ndarray] | None = None, seed: int = 0
) -> RunningMean:
    """Fit to all frames of clips; the penalty is chosen on an inner split."""
    rows = [running_mean(one) for one in ((c.features for c in clips) if features is None else features)]
    targets = [one.targets for one in clips]
    learn, check = _inner_split([one.group for one in clips], targets, seed)
    best = (math.inf, PENALTIES[-2])
    for penalty in PENALTIES if check else ():
        linear = fit_linear(*_samples(rows, targets, learn), labels, penalty=penalty)
        best = min(best, (_cross_entropy({n: linear(rows[n]) for n in check}, targets), penalty))
    return RunningMean(fit_linear(*_samples(rows, targets, range(len(clips))), labels, penalty=best[1]))


def running_mean(features: np.ndarray) -> np.ndarray:
    """(T, F) -> (T, F): the mean of all rows so far.

    >>> running_mean(np.array([[1.0], [3.0], [5.0]])).tolist()
    [[1.0], [2.0], [3.0]]
    """
    return np.cumsum(features, 0, dtype=np.float64) / np.arange(1, len(features) + 1)[:, None]


def smoothed(probabilities: np.ndarray, timestamps: np.ndarray, seconds: float) -> np.ndarray:
    """(T, labels) -> the same shape: the causal exponential average with a time constant in seconds.

    >>> smoothed(np.array([[1.0], [0.0], [0.0]]), np.array([0.0, 1.0, 2.0]), 1 / math.log(2)).tolist()
    [[1.0], [0.5], [0.25]]
    """
    after = np.array(probabilities)
    for n in range(1, len(after)) if seconds else ():
        weight = -math.expm1(-(timestamps[n] - timestamps[n - 1]) / seconds)
        after[n] = after[n - 1] + weight * (after[n] - after[n - 1])
    return after


def _flat(features: Tensor) -> Tensor:
    """(T, F) as it is; maps (T, F, h, w) -> (T, F), averaged over the frame."""
    return features if features.dim() == 2 else features.flatten(2).mean(2)


def _samples(
    rows: Sequence[np.ndarray], targets: Sequence[np.ndarray], chosen: Iterable[int]
) -> tuple[np.ndarray, np.ndarray]:
    """(N, F) and (N,): frames with a truth of the chosen clips, of each some at most, with its last one."""
    inputs, wanted = [], []
    for n in chosen:
        known = np.flatnonzero(targets[n] != NO_LABEL)
        if len(known):
            picked = known[
                np.linspace(0, len(known) - 1, min(len(known), _FRAMES_OF_A_CLIP)).round().astype(int)
            ]
            inputs.append(rows[n][picked])
            wanted.append(targets[n][picked])
    if not inputs:
        raise DataError("there is nothing that a baseline could learn from")
    return np.concatenate(inputs), np.concatenate(wanted)


def _inner_split(
    groups: Sequence[str], targets: Sequence[np.ndarray], seed: int
) -> tuple[list[int], list[int]]:
    """Clips to fit to, and a quarter of the groups to choose with; none where a label would be lost."""
    names = sorted(set(groups))
    random = np.random.default_rng(seed)

    def known(chosen: Iterable[int]) -> set[int]:
        return {int(t) for n in chosen for t in np.unique(targets[n])} - {NO_LABEL}

    for _ in range(20):
        back = set(random.permutation(names)[: max(1, len(names) // 4)].tolist())
        learn = [n for n, group in enumerate(groups) if group not in back]
        check = [n for n, group in enumerate(groups) if group in back]
        if known(learn) == known([*learn, *check]) and known(check):
            return learn, check
    return list(range(len(groups))), []


def _cross_entropy(scores: dict[int, np.ndarray], targets: Sequence[np.ndarray]) -> float:
    """Mean cross-entropy over frames; each clip weighs the same."""
    means = []
    for n, probabilities in scores.items():
        known = np.flatnonzero(targets[n] != NO_LABEL)
        if len(known):
            given = probabilities[known, targets[n][known]]
            means.append(float(-np.log(np.maximum(given, 1e-7)).mean()))
    return sum(means) / len(means)

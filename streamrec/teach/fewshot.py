"""The few-shot head: a ridge classifier on running statistics of frozen features, calibrated by leaving examples out.

A fit is one linear system of as many unknowns as there are frames. Examples are left out in turn, one of five of each
label at a time, and the other ones of the label take their weight: without that, each fold would hold fewer of the very
label that is asked for, and would speak against it. The temperature of the softmax, the thresholds of the events and
the reported accuracy all come from predictions of examples that the classifier did not see.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from streamrec.core.intervals import poisson_interval
from streamrec.errors import TeachError
from streamrec.events.detector import EventDetector, EventSettings
from streamrec.teach import statistics
from streamrec.teach.examples import NOTHING, Example
from streamrec.teach.live import FewShotHead, softmax
from streamrec.teach.statistics import Rates
from streamrec.types import ActionStarted, Prediction

BLOCK = 5.0  # seconds of nothing that are left out together
PLACE = 0.3  # of a threshold between others' scores and its own: who was never seen reaches less than who was
SMOOTHING = 0.3  # seconds, of the events' scores
BACKGROUND = -1
LEAST = 1e-3  # deviation of a statistic below which it carries nothing


@dataclass(frozen=True, kw_only=True)
class FewShotSettings:
    """How the head is fitted; docs/decisions/0024-a-few-shot-head.md has what each was measured at."""

    penalty: float = 0.01  # of the squared weights, where a frame's statistics have mean square 1
    onset: float = 0.4  # seconds from the start of an example that are not learned, where enough is left
    background_share: float = 0.3  # of the weight of nothing, of background where nothing was shown too
    folds: int = 5  # at most: of an example in each of them one is left out
    most_frames: int = 500  # that are learned; of more, only each second, third ... one is
    scale: float = 8.0  # of the scores before the softmax, where no example can be left out
    alike: float = (
        0.25  # probability of another label on examples that were left out, from which two are alike
    )


@dataclass(frozen=True, slots=True)
class TeachReport:
    """What a fit was like, honestly: each number is of examples that were left out of the fit that judges them."""

    labels: tuple[str, ...]  # that were taught, without "nothing"
    examples: Mapping[str, int]  # of each label, "nothing" too
    accuracy: float | None  # of the examples of labels that have at least two; None: there are none
    right: int
    judged: int
    by_label: Mapping[str, tuple[int, int]]  # right, judged
    alike: tuple[tuple[str, str], ...]  # pairs of labels that are alike
    false_events: int  # on what was labelled nothing
    nothing_seconds: float
    false_per_hour: float | None  # None: nothing was never shown
    false_interval: tuple[float, float] | None  # of the rate, 95 %
    # Of a label, what its examples were taken for that are not right, the most frequent first.
    mistaken: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    advice: tuple[str, ...] = ()  # sentences
    seconds: float = 0.0  # that the fit took


@dataclass(slots=True)
class StatisticsCache:
    """Statistics of examples by id: they do not change, and each fit needs them."""

    rates: Rates
    _kept: dict[int, np.ndarray] = field(default_factory=dict)

    def of(self, example: Example) -> np.ndarray:
        """(T, 4 F)."""
        if example.id not in self._kept:
            self._kept[example.id] = statistics.of_sequence(example.times, example.features, self.rates)
        return self._kept[example.id]

    def forget(self, numbers: Sequence[int]) -> None:
        """Keep only those of these examples."""
        for number in set(self._kept) - set(numbers):
            del self._kept[number]


def fit(
    examples: Sequence[Example],
    cache: StatisticsCache,
    settings: FewShotSettings | None = None,
    background: np.ndarray | None = None,
) -> tuple[FewShotHead, TeachReport]:
    """The head of these examples, and what it is like. Raises ``TeachError`` where there is none of an action.

    ``background``: statistics (M, 4 F) of frames of other places that show nothing; None: there are none.
    """
    began = time.perf_counter()
    settings = settings or FewShotSettings()
    labels = (NOTHING, *dict.fromkeys(e.label for e in examples if e.label != NOTHING))
    if len(labels) < 2:
        raise TeachError("there is no example of an action yet: show one, and say what it was")
    rows = _rows(examples, labels, cache, settings, background)
    ridge = _Ridge(rows, len(labels), settings)
    scores, judged = ridge.left_out(settings.folds)
    scale = _scale(scores, rows, judged, settings)
    probabilities = softmax(scale * scores)
    events = _events(probabilities, rows, labels)
    weight, bias = ridge.solved()
    head = FewShotHead(labels, (scale * weight).astype(np.float32), (scale * bias).astype(np.float32), events)
    report = _report(examples, probabilities, rows, head, settings, time.perf_counter() - began)
    return head, report


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """Frames that are learned, in the order of examples."""

    x: np.ndarray  # (n, 4 F) float32
    targets: np.ndarray  # (n,)
    blocks: np.ndarray  # (n,) what is left out together; of background BACKGROUND
    example: np.ndarray  # (n,) index of the example; of background BACKGROUND
    times: np.ndarray  # (n,) seconds
    counts: np.ndarray  # (labels,) blocks of each label, without background


def _rows(
    examples: Sequence[Example],
    labels: Sequence[str],
    cache: StatisticsCache,
    settings: FewShotSettings,
    background: np.ndarray | None,
) -> _Rows:
    place = {label: n for n, label in enumerate(labels)}
    total = sum(int(example.within.sum()) for example in examples)
    every = max(1, math.ceil(total / settings.most_frames))
    found: list[tuple[np.ndarray, ...]] = []
    block = 0
    for number, example in enumerate(examples):
        target = place[example.label]
        ages = example.times - example.start
        within = example.within
        if target:
            late = within & (ages >= min(settings.onset, 0.4 * example.seconds))
            at = np.flatnonzero(late if late.any() else within)[::every]
            blocks = np.full(len(at), block)
            block += 1
        else:
            at = np.flatnonzero(within)[::every]
            blocks = block + (ages[at] // BLOCK).astype(int)
            block = int(blocks.max(initial=block)) + 1
        found.append(
            (
                cache.of(example)[at],
                np.full(len(at), target),
                blocks,
                np.full(len(at), number),
                example.times[at],
            )
        )
    x, targets, blocks, example_of, times = (np.concatenate(part) for part in zip(*found, strict=True))
    pairs = np.unique(np.stack([targets, blocks]), axis=1)
    counts = np.bincount(pairs[0], minlength=len(labels))
    if background is not None:
        more = len(background)
        x, times = np.concatenate([x, background]), np.append(times, np.zeros(more))
        targets = np.append(targets, np.zeros(more, int))
        blocks, example_of = (np.append(part, np.full(more, BACKGROUND)) for part in (blocks, example_of))
    return _Rows(x, targets, blocks, example_of, times, counts)


class _Ridge:
    """Weighted ridge regression of the labels as one-hot vectors, by the inner products of the frames.

    Labels weigh the same, and so do the blocks of a label and the frames of a block. The intercept is not penalized.
    """

    def __init__(self, rows: _Rows, labels: int, settings: FewShotSettings) -> None:
        self._rows, self._penalty, self._share = rows, settings.penalty, settings.background_share
        self._targets = np.eye(labels)[rows.targets]
        weights = self._weights(np.ones(len(rows.targets), bool)).astype(np.float32)
        self._mean = weights @ rows.x
        deviation = np.sqrt(weights @ (rows.x - self._mean) ** 2)
        self._scale = np.where(deviation > LEAST, 1.0 / np.maximum(deviation, LEAST), 0.0)
        self._scale /= math.sqrt(max(1, int((self._scale > 0).sum())))
        self._z = ((rows.x - self._mean) * self._scale).astype(np.float32)
        self._products = (self._z @ self._z.T).astype(np.float64)

    def _weights(self, learned: np.ndarray) -> np.ndarray:
        """(n,) bool -> (n,) of sum 1, 0 for frames that are not learned."""
        rows = self._rows
        pairs, place, sizes = np.unique(
            np.stack([rows.targets[learned], rows.blocks[learned]]),
            axis=1,
            return_inverse=True,
            return_counts=True,
        )
        ours = pairs[1] != BACKGROUND
        blocks = np.bincount(pairs[0][ours], minlength=len(rows.counts))
        both = bool(blocks[0]) and not ours.all()
        share = np.where(pairs[0] == 0, 1.0 - self._share if both else 1.0, 1.0)
        label = np.where(
            ours, share / np.maximum(blocks[pairs[0]], 1), self._share if both else 1.0
        )  # of each block
        found = np.zeros(len(learned))
        found[learned] = (label / sizes)[place.ravel()]
        return found / found.sum()

    def _coefficients(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of each frame (n, labels), the labels' mean (labels,), and the centred products (n, n)."""
        at = np.flatnonzero(weights)
        along = self._products @ weights
        centred = self._products - along[:, None] - along + weights @ along
        root = np.sqrt(weights[at])[:, None]
        centre = weights @ self._targets
        system = root * centred[np.ix_(at, at)] * root[:, 0]
        system[np.diag_indices_from(system)] += self._penalty
        found = np.zeros_like(self._targets)
        found[at] = root * np.linalg.solve(system, root * (self._targets[at] - centre))
        return found, centre, centred

    def left_out(self, folds: int) -> tuple[np.ndarray, np.ndarray]:
        """Scores (n, labels) of each frame by a fit without its block, and where there was one, (n,) bool.

        The only block of a label cannot be left out: it has the scores of the whole fit.
        """
        rows = self._rows
        folds = max(2, min(folds, int(rows.counts[1:].max())))
        fold = np.full(len(rows.targets), -1)
        ours = rows.blocks != BACKGROUND
        for label in np.flatnonzero(rows.counts > 1):
            for number, block in enumerate(np.unique(rows.blocks[(rows.targets == label) & ours])):
                fold[rows.blocks == block] = number % folds
        scores = np.zeros_like(self._targets)
        for number in np.unique(fold):
            learned = (fold != number) if number >= 0 else np.ones(len(fold), bool)
            coefficients, centre, centred = self._coefficients(self._weights(learned))
            scores[fold == number] = centred[fold == number] @ coefficients + centre
        return scores, fold >= 0

    def solved(self) -> tuple[np.ndarray, np.ndarray]:
        """Weight (labels, 4 F) and bias (labels,) for statistics as they are."""
        weights = self._weights(np.ones(len(self._rows.targets), bool))
        coefficients, centre, _ = self._coefficients(weights)
        # Coefficients sum to 0 over the frames, so that the mean that is taken off the frames does not matter.
        weight = (coefficients.T @ self._z) * self._scale
        middle = weights @ self._z / np.where(self._scale > 0, self._scale, 1.0) + self._mean
        return weight, centre - weight @ middle


def _scale(scores: np.ndarray, rows: _Rows, judged: np.ndarray, settings: FewShotSettings) -> float:
    """The temperature's inverse: the one under which what was left out is likeliest; labels weigh the same."""
    if not (judged & (rows.targets > 0)).any():
        return settings.scale
    found, targets = scores[judged], rows.targets[judged]
    weights = 1.0 / np.bincount(targets)[targets]
    at = np.arange(len(targets)), targets
    scales = np.geomspace(1.0, 40.0, 30)
    losses = [-(weights * np.log(np.maximum(softmax(s * found)[at], 1e-6))).sum() for s in scales]
    return float(scales[int(np.argmin(losses))])


def _smoothed(scores: np.ndarray, times: np.ndarray) -> np.ndarray:
    """(T, K): as the detector smooths them, begun at the first frame's scores."""
    found = np.empty_like(scores)
    before = scores[0]
    for t, raw in enumerate(scores):
        if t:
            before = raw + math.exp(-max(0.0, times[t] - times[t - 1]) / SMOOTHING) * (before - raw)
        found[t] = before
    return found


def _events(probabilities: np.ndarray, rows: _Rows, labels: Sequence[str]) -> EventSettings:
    """Thresholds of each label: between what its own examples reach and what all others do, left out."""
    peaks: list[tuple[int, np.ndarray, np.ndarray]] = []  # label, highest and low smoothed scores of a block
    for block in np.unique(rows.blocks[rows.blocks != BACKGROUND]):
        at = np.flatnonzero(rows.blocks == block)
        smooth = _smoothed(probabilities[at], rows.times[at])
        peaks.append((int(rows.targets[at[0]]), smooth.max(0), np.quantile(smooth, 0.2, axis=0)))
    by_label = {}
    for number, label in enumerate(labels):
        if not number:
            continue
        own = np.array([high[number] for target, high, _ in peaks if target == number])
        rest = np.array([high[number] for target, high, _ in peaks if target != number])
        low = np.array([low[number] for target, _, low in peaks if target == number])
        enter = _threshold(own, rest) if rows.counts[number] > 1 else 0.6
        leave = float(np.clip(0.7 * low.min(), 0.3 * enter, 0.7 * enter))
        by_label[label] = {"enter": round(enter, 3), "leave": round(leave, 3)}
    return EventSettings(smoothing=SMOOTHING, shortest=0.3, background=(NOTHING,), by_label=by_label)


def _threshold(own: np.ndarray, rest: np.ndarray) -> float:
    """The score that parts the two best, low in the best range; from 0.3 to 0.9."""
    candidates = np.linspace(0.3, 0.9, 61)
    cost = [
        (own < c).mean() + 2.0 * ((rest >= c).mean() if len(rest) else 0.0) + 0.02 * abs(c - 0.55)
        for c in candidates
    ]
    best = np.flatnonzero(np.array(cost) <= min(cost) + 0.02)
    return float(np.quantile(candidates[best], PLACE))


def _report(
    examples: Sequence[Example],
    probabilities: np.ndarray,
    rows: _Rows,
    head: FewShotHead,
    settings: FewShotSettings,
    seconds: float,
) -> TeachReport:
    labels = head.labels
    counted = {label: sum(e.label == label for e in examples) for label in labels}
    means = np.zeros((len(labels), len(labels)))
    by_label: dict[str, tuple[int, int]] = {}
    mistaken: dict[str, tuple[str, ...]] = {}
    for number, label in enumerate(labels):
        if not number or rows.counts[number] < 2:
            continue
        found = np.array(
            [
                probabilities[rows.blocks == block].mean(0)
                for block in np.unique(rows.blocks[rows.targets == number])
            ]
        )
        means[number] = found.mean(0)
        taken = Counter(labels[at] for at in found.argmax(1))
        by_label[label] = taken.pop(label, 0), len(found)
        mistaken[label] = tuple(name for name, _ in taken.most_common())
    right, judged = (sum(pair[n] for pair in by_label.values()) for n in (0, 1))
    false, hours = _false_events(probabilities, rows, head)
    rate = false / hours if hours else None
    interval = None
    if hours:
        low, high = poisson_interval(false)
        interval = low / hours, high / hours
    alike = tuple(
        (labels[a], labels[b])
        for a in range(1, len(labels))
        for b in range(a + 1, len(labels))
        if max(means[a, b], means[b, a]) > settings.alike
    )
    return TeachReport(
        labels[1:],
        counted,
        right / judged if judged else None,
        right,
        judged,
        by_label,
        alike,
        false,
        hours * 3600,
        rate,
        interval,
        mistaken=mistaken,
        seconds=seconds,
    )


def _false_events(probabilities: np.ndarray, rows: _Rows, head: FewShotHead) -> tuple[int, float]:
    """Events on what was nothing, left out, and the hours of it."""
    detector = EventDetector(head.labels, head.events)
    events, seconds = 0, 0.0
    for number in np.unique(rows.example[(rows.targets == 0) & (rows.blocks != BACKGROUND)]):
        at = np.flatnonzero(rows.example == number)
        state = detector.initial_state()
        for row in at:
            prediction = Prediction.of(
                probabilities[row].astype(np.float32), float(rows.times[row]), head.labels
            )
            found, state = detector.step(prediction, float(rows.times[row]), state)
            events += sum(isinstance(event, ActionStarted) for event in found)
        seconds += float(rows.times[at[-1]] - rows.times[at[0]])
    return events, seconds / 3600

"""The few-shot head: a ridge classifier on running statistics of frozen features, calibrated by leaving examples out.

A fit is one linear system, and leaving an example out needs no other one: the residuals of its frames follow from the
hat matrix (block leave-one-out; Cook and Weisberg, 1982). So the temperature of the softmax, the thresholds of the
events and the reported accuracy all come from predictions of examples that the classifier did not see.
"""

from __future__ import annotations

import math
import time
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
SMOOTHING = 0.3  # seconds, of the events' scores
LEAST = 1e-3  # deviation of a statistic below which it carries nothing


@dataclass(frozen=True, kw_only=True)
class FewShotSettings:
    """How the head is fitted; docs/decisions has what each was measured at."""

    penalty: float = 0.1  # of the squared weights, relative to the mean square of a statistic
    onset: float = 0.4  # seconds from the start of an example that are not learned, where enough is left
    nothing_every: int = 2  # frames of nothing from one that is learned to the next
    nothing_share: float = 0.4  # of all weight, where there is nothing at all beside one label
    scale: float = 8.0  # of the scores before the softmax, where no example can be left out
    alike: float = (
        0.25  # probability of another label on examples that were left out, from which two look alike
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
    alike: tuple[tuple[str, str], ...]  # pairs of labels that look alike
    false_events: int  # on what was said to be nothing
    nothing_seconds: float
    false_per_hour: float | None  # None: nothing was never shown
    false_interval: tuple[float, float] | None  # of the rate, 95 %
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
) -> tuple[FewShotHead, TeachReport]:
    """The head of these examples, and what it is like. Raises ``TeachError`` where there is none of an action."""
    began = time.perf_counter()
    settings = settings or FewShotSettings()
    labels = (NOTHING, *dict.fromkeys(e.label for e in examples if e.label != NOTHING))
    if len(labels) < 2:
        raise TeachError("there is no example of an action yet: show one, and say what it was")
    rows = _rows(examples, labels, cache, settings)
    ridge = _Ridge(rows, len(labels), settings)
    outside = ridge.left_out()
    scale = _scale(outside, rows, settings)
    probabilities = softmax(scale * outside)
    events = _events(probabilities, rows, labels)
    head = FewShotHead(
        labels,
        (scale * ridge.weight).astype(np.float32),
        (scale * ridge.bias).astype(np.float32),
        events,
    )
    report = _report(examples, probabilities, rows, head, settings, time.perf_counter() - began)
    return head, report


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """Frames that are learned, in the order of examples."""

    x: np.ndarray  # (n, 4 F) float32
    targets: np.ndarray  # (n,)
    blocks: np.ndarray  # (n,) what is left out together
    example: np.ndarray  # (n,) index of the example
    times: np.ndarray  # (n,) seconds
    weights: np.ndarray  # (n,) of sum 1
    counts: np.ndarray  # (labels,) blocks of each label


def _rows(
    examples: Sequence[Example],
    labels: Sequence[str],
    cache: StatisticsCache,
    settings: FewShotSettings,
) -> _Rows:
    place = {label: n for n, label in enumerate(labels)}
    found: list[tuple[np.ndarray, ...]] = []
    block = 0
    for number, example in enumerate(examples):
        target = place[example.label]
        within = example.within
        ages = example.times - example.start
        if target:
            late = within & (ages >= min(settings.onset, 0.4 * example.seconds))
            within = late if late.any() else within
            blocks = np.full(int(within.sum()), block)
            block += 1
        else:
            within = within & (np.arange(len(within)) % settings.nothing_every == 0)
            blocks = block + (ages[within] // BLOCK).astype(int)
            block = int(blocks.max(initial=block)) + 1
        count = int(within.sum())
        if count:
            found.append(
                (
                    cache.of(example)[within],
                    np.full(count, target),
                    blocks,
                    np.full(count, number),
                    example.times[within],
                )
            )
    if not found:
        raise TeachError("no example has a frame")
    x, targets, blocks, example_of, times = (np.concatenate(part) for part in zip(*found, strict=True))
    pairs = np.unique(np.stack([targets, blocks]), axis=1)
    counts = np.bincount(pairs[0], minlength=len(labels))
    _, inverse, sizes = np.unique(blocks, return_inverse=True, return_counts=True)
    weights = 1.0 / sizes[inverse] / counts[targets]
    if counts[0]:
        share = max(settings.nothing_share, 1.0 / len(labels)) if len(labels) == 2 else 1.0 / len(labels)
        weights = np.where(targets == 0, share * weights, (1 - share) / (len(labels) - 1) * weights)
    else:
        weights = weights / (len(labels) - 1)
    return _Rows(x, targets, blocks, example_of, times, weights / weights.sum(), counts)


class _Ridge:
    """Weighted ridge regression of the labels as one-hot vectors, with an intercept that is not penalized."""

    def __init__(self, rows: _Rows, labels: int, settings: FewShotSettings) -> None:
        self._rows = rows
        w = rows.weights[:, None]
        x = rows.x.astype(np.float64)
        mean = (w * x).sum(0)
        deviation = np.sqrt((w * (x - mean) ** 2).sum(0))
        scale = np.where(deviation > LEAST, 1.0 / np.maximum(deviation, LEAST), 0.0)
        z = (x - mean) * scale / math.sqrt(max(1, int((scale > 0).sum())))  # rows of mean square 1
        root = np.sqrt(w)
        a = root * z  # (n, F)
        self._y = np.eye(labels)[rows.targets]
        centre = (w * self._y).sum(0)
        b = root * (self._y - centre)
        n, size = a.shape
        if n <= size:  # the smaller system
            gram = a @ a.T
            inverse = np.linalg.inv(gram + settings.penalty * np.eye(n) / 1.0)
            self._hat = gram @ inverse
            coefficients = a.T @ (inverse @ b)
        else:
            inverse = np.linalg.inv(a.T @ a + settings.penalty * np.eye(size))
            coefficients = inverse @ (a.T @ b)
            self._left = a @ inverse
            self._hat = None
            self._a = a
        self._root = root
        shrink = scale / math.sqrt(max(1, int((scale > 0).sum())))
        self.weight = (coefficients * shrink[:, None]).T  # (labels, 4 F)
        self.bias = centre - self.weight @ mean
        self._fitted = z @ coefficients + centre

    def left_out(self) -> np.ndarray:
        """(n, labels): the scores of each block's frames, of a fit without this block."""
        found = self._fitted.copy()
        root = self._root[:, 0]
        for block in np.unique(self._rows.blocks):
            at = np.flatnonzero(self._rows.blocks == block)
            hat = (
                self._hat[np.ix_(at, at)] if self._hat is not None else self._left[at] @ self._a[at].T
            ) + np.outer(root[at], root[at])  # the intercept's share
            residual = root[at, None] * (self._y[at] - self._fitted[at])
            outside = np.linalg.solve(np.eye(len(at)) - hat + 1e-9 * np.eye(len(at)), residual)
            found[at] = self._y[at] - outside / root[at, None]
        return found


def _scale(outside: np.ndarray, rows: _Rows, settings: FewShotSettings) -> float:
    """The temperature's inverse: the one under which what was left out is likeliest."""
    judged = rows.counts[rows.targets] > 1
    if not judged.any():
        return settings.scale
    scores, targets, weights = outside[judged], rows.targets[judged], rows.weights[judged]
    scales = np.geomspace(2.0, 40.0, 25)
    losses = [
        -(weights * np.log(np.maximum(softmax(s * scores)[np.arange(len(targets)), targets], 1e-6))).sum()
        for s in scales
    ]
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
    for block in np.unique(rows.blocks):
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
    """The score that parts the two best, in the middle of the best range; from 0.3 to 0.9."""
    candidates = np.linspace(0.3, 0.9, 61)
    cost = [
        (own < c).mean() + 2.0 * ((rest >= c).mean() if len(rest) else 0.0) + 0.02 * abs(c - 0.55)
        for c in candidates
    ]
    best = np.flatnonzero(np.array(cost) <= min(cost) + 0.02)
    return float(candidates[best].mean())


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
    for number, label in enumerate(labels):
        if not number or rows.counts[number] < 2:
            continue
        right = judged = 0
        for block in np.unique(rows.blocks[rows.targets == number]):
            mean = probabilities[rows.blocks == block].mean(0)
            means[number] += mean
            right += int(mean.argmax() == number)
            judged += 1
        means[number] /= judged
        by_label[label] = right, judged
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
        seconds=seconds,
    )


def _false_events(probabilities: np.ndarray, rows: _Rows, head: FewShotHead) -> tuple[int, float]:
    """Events on what was nothing, left out, and the hours of it."""
    detector = EventDetector(head.labels, head.events)
    events, seconds = 0, 0.0
    for number in np.unique(rows.example[rows.targets == 0]):
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

"""Metrics of a recognizer, each with ``update`` and ``get``: accuracy, delay, false alarms and latency.

Every score is from 0 to 1 (papers often print it times 100), every duration is in seconds, and ``None`` means
that nothing was counted yet. The truth is the first argument. Definitions and sources are in ``docs/metrics.md``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from streamrec.errors import DataError
from streamrec.types import ActionStarted, Event

Label: TypeAlias = Hashable  # a name, or an index
Labels: TypeAlias = Sequence[Any] | np.ndarray  # one a frame
_INSTANT = 1e-9  # seconds: tolerance against rounding at the edges of a window


class Segment(NamedTuple):
    """A stretch of one label; it equals the plain tuple (start, end, label)."""

    start: float
    end: float
    label: Label


def segments_of(
    labels: Labels,
    timestamps: Sequence[float] | np.ndarray | None = None,
    *,
    background: Collection[Label] = (),
) -> list[Segment]:
    """Run-length of per-frame labels; without timestamps, time is the frame number.

    A segment ends where the next one starts; the last one ends a median frame step after the last frame.

    >>> segments_of(["idle", "wave", "wave", "idle"], [0.0, 0.5, 1.0, 1.5], background=["idle"])
    [Segment(start=0.5, end=1.5, label='wave')]
    """
    names, background = _listed(labels), _names(background)
    if not names:
        return []
    times = np.arange(len(names), dtype=float) if timestamps is None else np.asarray(timestamps, dtype=float)
    if times.shape != (len(names),):
        raise DataError(f"{len(names)} labels came with {times.size} timestamps: give one for each frame")
    steps = np.diff(times)
    if not np.isfinite(times).all() or (steps < 0).any():
        raise DataError("the timestamps are not in order: sort the frames by time first")
    step = float(np.median(steps)) if len(steps) else (1.0 if timestamps is None else 0.0)
    firsts = [0, *(n for n in range(1, len(names)) if names[n] != names[n - 1])]
    ends = [*times[firsts[1:]].tolist(), float(times[-1]) + step]
    return [
        Segment(float(times[first]), end, names[first])
        for first, end in zip(firsts, ends, strict=True)
        if names[first] not in background
    ]


class Accuracy:
    """The fraction of frames whose predicted label is right.

    >>> accuracy = Accuracy()
    >>> accuracy.update("wave", "wave")
    >>> accuracy.update(["wave", "idle", "idle"], ["wave", "wave", "wave"])
    >>> accuracy.get()
    0.5
    """

    def __init__(self) -> None:
        self._right = 0
        self._seen = 0

    def update(self, truth: Label | Labels, predicted: Label | Labels) -> None:
        """Count one frame, or many of them."""
        for true, found in _pairs(truth, predicted):
            self._right += bool(true == found)
            self._seen += 1

    def get(self) -> float | None:
        """Right frames over all frames."""
        return self._right / self._seen if self._seen else None


class PerClassAccuracy:
    """The recall of each class: the fraction of its frames that are predicted as it.

    >>> accuracy = PerClassAccuracy()
    >>> accuracy.update(["wave", "idle", "idle"], ["wave", "wave", "idle"])
    >>> accuracy.get(), accuracy.mean()
    ({'idle': 0.5, 'wave': 1.0}, 0.75)
    """

    def __init__(self) -> None:
        self._right: Counter[Label] = Counter()
        self._seen: Counter[Label] = Counter()

    def update(self, truth: Label | Labels, predicted: Label | Labels) -> None:
        """Count one frame, or many of them."""
        for true, found in _pairs(truth, predicted):
            self._right[true] += bool(true == found)
            self._seen[true] += 1

    def get(self) -> dict[Label, float]:
        """Label -> accuracy, for the labels that occur in the truth."""
        return {label: self._right[label] / self._seen[label] for label in sorted(self._seen, key=str)}

    def mean(self) -> float | None:
        """The plain mean over classes (balanced accuracy): a rare class weighs as much as a common one."""
        return mean_of(self.get().values())


class ConfusionMatrix:
    """How often each true label (row) is predicted as each label (column).

    >>> matrix = ConfusionMatrix(["idle", "wave"])
    >>> matrix.update(["idle", "idle", "wave"], ["idle", "wave", "wave"])
    >>> matrix.get().tolist()
    [[1, 1], [0, 1]]
    """

    def __init__(self, labels: Iterable[Label]) -> None:
        self.labels = tuple(labels)
        self._index = {label: n for n, label in enumerate(self.labels)}
        self._counts = np.zeros((len(self.labels), len(self.labels)), np.int64)

    def update(self, truth: Label | Labels, predicted: Label | Labels) -> None:
        """Count one frame, or many of them; an unknown label raises ``DataError``."""
        pairs = _pairs(truth, predicted)
        for label in {label for pair in pairs for label in pair}:
            if label not in self._index:
                raise DataError(f"{label!r} is none of the labels {self.labels}: add it to them")
        for true, found in pairs:
            self._counts[self._index[true], self._index[found]] += 1

    def get(self) -> np.ndarray:
        """(labels, labels) int64: rows are the truth."""
        return self._counts.copy()


class FrameMAP:
    """Per-frame mean average precision, plain and calibrated (De Geest et al., ECCV 2016).

    For each action all frames are ranked by its score; AP is the mean, over its true frames, of the precision
    down to that rank. Background frames are negatives of every action, and background is no action itself.
    An exact ranking needs every score, so memory grows: 8 bytes a frame and label.

    >>> mean_ap = FrameMAP(["idle", "wave"], background=["idle"])
    >>> mean_ap.update(["wave", "idle", "wave"], [[0.1, 0.9], [0.2, 0.8], [0.3, 0.7]])
    >>> round(mean_ap.get(), 4), round(mean_ap.calibrated(), 4)
    (0.8333, 0.75)
    """

    def __init__(self, labels: Iterable[Label], *, background: Collection[Label] = ()) -> None:
        self.labels = tuple(labels)
        self.background = _names(background)
        self._index = {label: n for n, label in enumerate(self.labels)}
        self._truth: list[int] = []
        self._scores: list[np.ndarray] = []

    def update(self, truth: Label | Labels, probabilities: np.ndarray | Sequence[Any]) -> None:
        """Add one frame, a label and (labels,) scores, or N frames, N labels and (N, labels) scores."""
        scores = np.array(probabilities, dtype=np.float64)  # a copy: the caller may reuse the buffer
        names: list[Any] = [truth] if scores.ndim == 1 else _listed(truth)
        scores = np.atleast_2d(scores)
        if scores.shape != (len(names), len(self.labels)) or not np.isfinite(scores).all():
            raise DataError(
                f"{len(names)} frames came with scores of shape {scores.shape}, not {len(self.labels)} each: "
                "give one finite score for each frame and label"
            )
        for name in names:
            if name not in self._index and name not in self.background:
                raise DataError(
                    f"{name!r} is none of the labels {self.labels}: add it to them or to background"
                )
        self._truth += [self._index.get(name, -1) for name in names]
        self._scores.append(scores)

    def per_class(self, *, calibrated: bool = False) -> dict[Label, float]:
        """Label -> average precision, for the actions that occur in the truth."""
        if not self._truth:
            return {}
        truth, scores = np.array(self._truth), np.concatenate(self._scores)
        actions = [
            n for n, label in enumerate(self.labels) if label not in self.background and (truth == n).any()
        ]
        return {
            self.labels[n]: average_precision(truth == n, scores[:, n], calibrated=calibrated)
            for n in actions
        }

    def get(self) -> float | None:
        """The mean of AP over the actions that occur in the truth."""
        return mean_of(self.per_class().values())

    def calibrated(self) -> float | None:
        """The mean of cAP: ``get`` as if each action had as many frames as everything else together."""
        return mean_of(self.per_class(calibrated=True).values())


def average_precision(truth: np.ndarray, scores: np.ndarray, *, calibrated: bool = False) -> float:
    """(N,) bool and (N,) scores -> AP, or cAP, where true positives weigh negatives / positives.

    Equal scores share one rank, so the order of the frames does not matter.

    >>> average_precision(np.array([True, False, False, True]), np.array([0.9, 0.8, 0.7, 0.6]))
    0.75
    """
    order = np.argsort(-scores, kind="stable")
    hits, ranked = np.asarray(truth, bool)[order], scores[order]
    positives = int(hits.sum())
    if not positives:
        raise DataError("no frame is positive, so there is no average precision: leave this label out")
    last_of_rank = np.append(np.flatnonzero(ranked[1:] < ranked[:-1]), len(ranked) - 1)
    true_positives = np.cumsum(hits)[last_of_rank]
    false_positives = last_of_rank + 1 - true_positives
    weight = (len(hits) - positives) / positives if calibrated and positives < len(hits) else 1.0
    found = np.diff(true_positives, prepend=0)
    predicted = weight * true_positives + false_positives
    return float((found * (weight * true_positives / predicted)).sum() / positives)


def roc_auc(truth: np.ndarray, scores: np.ndarray) -> float | None:
    """(N,) bool and (N,) scores -> area under the ROC curve; None where all are positive, or none is.

    It is the chance that a positive has a higher score than a negative (Hanley and McNeil, Radiology 1982); of equal
    scores it is one half.

    >>> roc_auc(np.array([True, False, False, True]), np.array([0.9, 0.8, 0.7, 0.7]))
    0.625
    """
    truth = np.asarray(truth, bool)
    positives = int(truth.sum())
    negatives = len(truth) - positives
    if not positives or not negatives:
        return None
    _, rank_of, counts = np.unique(np.asarray(scores, float), return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[rank_of]  # from 1; equal scores share the middle of theirs
    return float((ranks[truth].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def mean_auc(values: np.ndarray) -> float:
    """(N, 2, labels), whether each label is true and its score -> mean of their AUC; NaN where none has one."""
    found = [roc_auc(values[:, 0, n], values[:, 1, n]) for n in range(values.shape[2])]
    known = [value for value in found if value is not None]
    return sum(known) / len(known) if known else math.nan


def edit_score(
    truth: Labels | Sequence[Segment],
    predicted: Labels | Sequence[Segment],
    *,
    background: Collection[Label] = (),
) -> float:
    """Are the right actions predicted in the right order? 1 - edits / segments (Lea et al., CVPR 2017).

    Takes the per-frame labels of one video, or its segments (start, end, label). The edits are Levenshtein's,
    divided by the longer of the two. For several videos, take the mean.

    >>> edit_score("AABBCC", "ABBBBC"), edit_score("AABBCC", "AACCAC")
    (1.0, 0.5)
    """
    left = [segment.label for segment in _segments(truth, background)]
    right = [segment.label for segment in _segments(predicted, background)]
    if not left and not right:
        return 1.0
    return 1 - edit_distance(left, right) / max(len(left), len(right))


def edit_distance(left: Sequence[Label], right: Sequence[Label]) -> int:
    """How many labels are to be added, removed or replaced to make one order of the other (Levenshtein, 1966).

    >>> edit_distance("one two two", "one too"), edit_distance((1, 2, 2), (2, 2, 3))
    (4, 2)
    """
    row = list(range(len(right) + 1))
    for i, true in enumerate(left, 1):
        above, row = row, [i]
        for j, predicted in enumerate(right, 1):
            row.append(min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (true != predicted)))
    return row[-1]


class F1AtOverlap:
    """Segmental F1: a predicted segment counts if it overlaps a true one enough (Lea et al., CVPR 2017).

    Overlap is intersection over union with the true segment of the same label that it overlaps most. A true
    segment counts once: a second prediction of it is false, so that fragments lower the score. Counts are summed
    over videos (Farha and Gall, CVPR 2019).

    >>> f1 = F1AtOverlap()
    >>> f1.update(truth="AAAABBBB", predicted="AAAAAABB")
    >>> f1.get()
    {0.1: 1.0, 0.25: 1.0, 0.5: 1.0}
    """

    def __init__(
        self, overlaps: Sequence[float] = (0.10, 0.25, 0.50), *, background: Collection[Label] = ()
    ) -> None:
        self.overlaps = tuple(overlaps)
        self.background = _names(background)
        if not self.overlaps or not all(0 < overlap <= 1 for overlap in self.overlaps):
            raise DataError(f"overlaps are {self.overlaps}: give fractions above 0 and up to 1")
        self._hits = dict.fromkeys(self.overlaps, 0)
        self._true = 0
        self._found = 0

    def update(self, truth: Labels | Sequence[Segment], predicted: Labels | Sequence[Segment]) -> None:
        """Count one video: its per-frame labels, or its segments (start, end, label)."""
        true, found = _segments(truth, self.background), _segments(predicted, self.background)
        self._true += len(true)
        self._found += len(found)
        best = [_best_overlap(segment, true) for segment in found]
        for overlap in self.overlaps:
            self._hits[overlap] += len({n for n, shared in best if shared >= overlap})

    def get(self) -> dict[float, float | None]:
        """Overlap -> F1, the harmonic mean of precision and recall over segments."""
        total = self._true + self._found
        return {overlap: 2 * hits / total if total else None for overlap, hits in self._hits.items()}


@dataclass(frozen=True, slots=True)
class Onsets:
    """The result of ``OnsetDelay``; delays are None without a match, or without ``notified`` times.

    ``told_median``, ``told_mean`` and ``told_worst`` are old names of the delays of notification.
    """

    matched: int
    recall: float | None  # matched / true actions
    precision: float | None  # matched / predicted actions
    median: float | None  # seconds from the true start to the event's timestamp; early is negative
    mean: float | None
    notified_median: float | None  # seconds from the true start to the frame that gave the event
    notified_mean: float | None
    notified_worst: float | None  # among the matched actions

    @property
    def told_median(self) -> float | None:
        """``notified_median``."""
        return self.notified_median

    @property
    def told_mean(self) -> float | None:
        """``notified_mean``."""
        return self.notified_mean

    @property
    def told_worst(self) -> float | None:
        """``notified_worst``."""
        return self.notified_worst


class OnsetDelay:
    """Delay from the true start of an action to its event, with the recall and precision of the events.

    An event may be matched to a true segment of its label if its timestamp is in [start - tolerance, end].
    Each has at most one partner; in order of time, a segment takes the earliest event that is free.

    >>> delay = OnsetDelay()
    >>> delay.update([(1.0, 3.0, "wave"), (5.0, 6.0, "wave")], [ActionStarted("wave", 1.25, 0.9)], notified=[1.5])
    >>> onsets = delay.get()
    >>> onsets.median, onsets.notified_median, onsets.recall, onsets.precision
    (0.25, 0.5, 0.5, 1.0)
    """

    def __init__(self, *, tolerance: float = 0.5) -> None:
        self.tolerance = _checked_tolerance(tolerance)
        self._delays: list[float] = []
        self._notified: list[float] = []
        self._true = 0
        self._found = 0

    def update(
        self,
        truth: Iterable[tuple[float, float, Label]],
        events: Iterable[Event],
        *,
        notified: Sequence[float] | None = None,
        told: Sequence[float] | None = None,
    ) -> None:
        """Match one stream: its true segments without background, and its events; ended ones are skipped.

        ``notified`` (old name: ``told``): for each event the timestamp in seconds of the frame that gave it. An event's
        own timestamp is an estimate of an earlier time; only ``notified`` gives the delay until the notification.
        """
        events = list(events)
        notified = told if notified is None else notified
        if notified is not None and len(notified) != len(events):
            raise DataError(
                f"{len(events)} events came with {len(notified)} times of notification: give one for each"
            )
        starts = [(event, n) for n, event in enumerate(events) if isinstance(event, ActionStarted)]
        starts.sort(key=lambda pair: pair[0].timestamp)
        segments = sorted((Segment(*segment) for segment in truth), key=lambda segment: segment[:2])
        self._true += len(segments)
        self._found += len(starts)
        for segment in segments:
            partner = next((pair for pair in starts if _within(pair[0], segment, self.tolerance)), None)
            if partner is not None:
                starts.remove(partner)
                event, n = partner
                self._delays.append(event.timestamp - segment.start)
                if notified is not None:
                    self._notified.append(float(notified[n]) - segment.start)

    @property
    def notified(self) -> tuple[float, ...]:
        """Seconds from the true start to the frame that gave the event, of each matched pair."""
        return tuple(self._notified)

    def get(self) -> Onsets:
        """Delays of the matched pairs, recall and precision."""
        matched = len(self._delays)
        return Onsets(
            matched=matched,
            recall=matched / self._true if self._true else None,
            precision=matched / self._found if self._found else None,
            median=_median(self._delays),
            mean=mean_of(self._delays),
            notified_median=_median(self._notified),
            notified_mean=mean_of(self._notified),
            notified_worst=max(self._notified, default=None),
        )


class FalseAlarmsPerHour:
    """Started events at times without a true action of their label, per hour of stream.

    An event is false if it is in no true segment's [start - tolerance, end]. A second event of one action is
    no false alarm: the action is there to be seen. It lowers the precision of ``OnsetDelay`` instead.

    >>> alarms = FalseAlarmsPerHour()
    >>> alarms.update([(1.0, 3.0, "wave")], [ActionStarted("wave", 9.0, 0.9)], seconds=1800)
    >>> alarms.get()
    2.0
    """

    def __init__(self, *, tolerance: float = 0.5) -> None:
        self.tolerance = _checked_tolerance(tolerance)
        self._false = 0
        self._seconds = 0.0

    def update(
        self, truth: Iterable[tuple[float, float, Label]], events: Iterable[Event], seconds: float
    ) -> None:
        """Count one stream of so many seconds; ended events are skipped."""
        if not (math.isfinite(seconds) and seconds >= 0):
            raise DataError(f"the stream lasted {seconds} seconds: give its length, 0 or more")
        segments = [Segment(*segment) for segment in truth]
        self._seconds += seconds
        self._false += sum(
            not any(_within(event, segment, self.tolerance) for segment in segments)
            for event in events
            if isinstance(event, ActionStarted)
        )

    def get(self) -> float | None:
        """False alarms over hours."""
        return self._false / self.hours if self.hours else None

    @property
    def count(self) -> int:
        """Number of false alarms."""
        return self._false

    @property
    def hours(self) -> float:
        """Hours of stream in which they were counted."""
        return self._seconds / 3600


@dataclass(frozen=True, slots=True)
class Repetitions:
    """The result of ``RepetitionError``; None: nothing was counted."""

    clips: int
    error: float | None  # mean of |counted - true|, in repetitions
    relative_error: float | None  # mean of |counted - true| / true, over clips that have any
    off_by_one: float | None  # part of the clips whose count is at most one off: OBO
    exact: float | None  # part of the clips whose count is right


class RepetitionError:
    """How far a count of repetitions is off (RepNet, Dwibedi et al., CVPR 2020; TransRAC, Hu et al., CVPR 2022).

    >>> error = RepetitionError()
    >>> error.update(10, 9)
    >>> error.update([4, 8], [4, 12])
    >>> found = error.get()
    >>> round(found.error, 3), round(found.relative_error, 3), round(found.off_by_one, 3), round(found.exact, 3)
    (1.667, 0.2, 0.667, 0.333)
    """

    def __init__(self) -> None:
        self._pairs: list[tuple[int, int]] = []

    def update(self, truth: int | Sequence[int], counted: int | Sequence[int]) -> None:
        """Add one clip, its true number of repetitions and the counted one, or many clips."""
        pairs: list[tuple[Any, Any]] = _pairs(truth, counted)
        for true, found in pairs:
            if isinstance(true, bool) or true < 0 or found < 0 or true != int(true) or found != int(found):
                raise DataError(f"{found} repetitions were counted of {true}: give whole numbers, 0 or more")
        self._pairs += pairs

    def get(self) -> Repetitions:
        """Errors over all clips."""
        off = [abs(found - true) for true, found in self._pairs]
        return Repetitions(
            clips=len(off),
            error=mean_of(off),
            relative_error=mean_of([abs(found - true) / true for true, found in self._pairs if true]),
            off_by_one=mean_of([error <= 1 for error in off]),
            exact=mean_of([error == 0 for error in off]),
        )


class ExpectedCalibrationError:
    """Expected calibration error: are 80 % of the frames right that have a confidence of 0.8? (Guo et al., ICML 2017).

    Frames go to ``bins`` bins of equal width by confidence, (0, 1/bins] and so on; the error is the mean over
    frames of |accuracy - mean confidence| of their bin.

    >>> error = ExpectedCalibrationError()
    >>> error.update([0.9, 0.9, 0.9, 0.9], [True, True, True, False])
    >>> round(error.get(), 6)
    0.15
    """

    def __init__(self, *, bins: int = 15) -> None:
        if bins < 1:
            raise DataError(f"bins is {bins}: give at least 1")
        self.bins = bins
        self._seen = np.zeros(bins, np.int64)
        self._right = np.zeros(bins)
        self._confidence = np.zeros(bins)

    def update(
        self, confidence: float | Sequence[float] | np.ndarray, correct: bool | Sequence[bool] | np.ndarray
    ) -> None:
        """Count one frame, its confidence and whether its label was right, or many of them."""
        scores = np.atleast_1d(np.asarray(confidence, np.float64))
        right = np.atleast_1d(np.asarray(correct, bool))
        if scores.shape != right.shape or not ((scores >= 0) & (scores <= 1 + 1e-6)).all():  # NaN fails both
            raise DataError("confidence must be from 0 to 1, and each must have its right or wrong")
        bins = np.clip(np.ceil(scores * self.bins).astype(int) - 1, 0, self.bins - 1)
        np.add.at(self._seen, bins, 1)
        np.add.at(self._right, bins, right)
        np.add.at(self._confidence, bins, scores)

    def get(self) -> float | None:
        """The error, 0 for a perfectly calibrated recognizer."""
        frames = int(self._seen.sum())
        return float(np.abs(self._right - self._confidence).sum() / frames) if frames else None


class Latency:
    """Quantiles of seconds in bounded memory, within 1 % (buckets as in DDSketch, Masson et al., VLDB 2019).

    Buckets grow by 2 % from a microsecond to 1000 seconds, so memory and cost do not grow with time. A
    quantile is the middle of its bucket, and at most the worst value.

    >>> latency = Latency()
    >>> for n in range(1, 101):
    ...     latency.update(n / 1000)
    >>> {name: round(value, 2) for name, value in latency.get().items()}
    {'p50': 0.05, 'p99': 0.1, 'max': 0.1}
    """

    _LEAST, _MOST, _GROWTH = 1e-6, 1e3, 1.02

    def __init__(self) -> None:
        self._counts = np.zeros(math.ceil(math.log(self._MOST / self._LEAST, self._GROWTH)) + 1, np.int64)
        self._worst: float | None = None
        self.count = 0

    def update(self, seconds: float) -> None:
        """Count one duration in seconds; a negative one, from a clock that was set back, counts as the least."""
        if not math.isfinite(seconds):
            raise DataError(f"a latency is {seconds}: give finite seconds")
        seconds = max(seconds, 0.0)
        bucket = math.ceil(math.log(max(seconds, self._LEAST) / self._LEAST) / math.log(self._GROWTH))
        self._counts[min(bucket, len(self._counts) - 1)] += 1
        self._worst = seconds if self._worst is None else max(self._worst, seconds)
        self.count += 1

    def quantile(self, q: float) -> float | None:
        """The duration in seconds that the fraction q of all does not exceed, within 1 %."""
        if not 0 <= q <= 1:
            raise DataError(f"the quantile is {q}: give a fraction from 0 to 1")
        if self._worst is None:
            return None
        rank = max(1, math.ceil(q * self.count - 1e-9))
        bucket = int(np.searchsorted(np.cumsum(self._counts), rank))
        upper = self._LEAST * self._GROWTH**bucket
        return min(upper * 2 / (1 + self._GROWTH), self._worst)

    def get(self) -> dict[str, float | None]:
        """The median, the 99th percentile, and the worst (which is exact), in seconds."""
        return {"p50": self.quantile(0.50), "p99": self.quantile(0.99), "max": self._worst}


def _listed(labels: Any) -> list[Any]:
    """A plain list: numpy's scalars become Python's, which print and compare plainly."""
    return labels.tolist() if isinstance(labels, np.ndarray) else list(labels)


def _names(background: Collection[Label]) -> tuple[Label, ...]:
    if isinstance(background, str):  # "idle" would be read as its letters
        raise DataError(f"background is {background!r}: give a list of labels, like [{background!r}]")
    return tuple(background)


def _pairs(truth: Any, predicted: Any) -> list[tuple[Label, Label]]:
    many = [isinstance(side, list | tuple | np.ndarray) for side in (truth, predicted)]
    if not any(many):
        return [(truth, predicted)]
    if not all(many) or len(truth) != len(predicted):
        raise DataError("truth and predicted are of different length: give one of each for every frame")
    return list(zip(_listed(truth), _listed(predicted), strict=True))


def _segments(labels: Any, background: Collection[Label]) -> list[Segment]:
    """Segments as they are, or the run-length of per-frame labels."""
    items, background = _listed(labels), _names(background)
    if items and all(isinstance(item, tuple) and len(item) == 3 for item in items):
        return [Segment(*item) for item in items if item[2] not in background]
    return segments_of(items, background=background)


def _best_overlap(segment: Segment, others: list[Segment]) -> tuple[int, float]:
    """Index of the segment of the same label that it overlaps most, and the intersection over union."""
    best = (-1, 0.0)
    for n, other in enumerate(others):
        if other.label == segment.label:
            shared = min(segment.end, other.end) - max(segment.start, other.start)
            union = max(segment.end, other.end) - min(segment.start, other.start)
            if shared > 0 and shared / union > best[1]:
                best = (n, shared / union)
    return best


def _within(event: ActionStarted, segment: Segment, tolerance: float) -> bool:
    early, late = segment.start - tolerance - _INSTANT, segment.end + _INSTANT
    return event.label == segment.label and early <= event.timestamp <= late


def _checked_tolerance(tolerance: float) -> float:
    if not (math.isfinite(tolerance) and tolerance >= 0):
        raise DataError(f"tolerance is {tolerance} seconds: set it to 0 or more")
    return tolerance


def mean_of(values: Collection[float]) -> float | None:
    """The mean; None without values."""
    return sum(values) / len(values) if values else None


def _median(values: Sequence[float]) -> float | None:
    return float(np.median(values)) if values else None

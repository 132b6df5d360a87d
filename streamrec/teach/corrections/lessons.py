"""A lesson: examples made of corrections, the strength of the fit, and what it changes on the kept examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from streamrec.errors import SettingsError
from streamrec.events.detector import EventSettings
from streamrec.events.thresholds import Starts, with_enters
from streamrec.teach.corrections.known_events import KnownEvents
from streamrec.teach.corrections.learned import Change, Examples, Fits, Linear
from streamrec.teach.corrections.moments import Moment
from streamrec.teach.corrections.records import Correction, Verdict, new_correction_id
from streamrec.teach.corrections.thresholds import Heights, height_of, logit, moved, probability

LEAST = 3  # corrections that are learned from
PULLS = (1.0, 0.1, 0.01, 0.001)  # that are tried, the strongest first
SHARES = (0.5, 1.0)  # of a fit, that are tried
SPREAD = 0.5  # logits around a threshold within which an event may come to lie on its other side
FORGOTTEN = 0.05  # of the true events may be lost by what is learned, rounded down: of fewer than 20 none
KEPT = 4.0  # how much more a part of the true events is worth than the same part of the corrections
FOLDS = 3  # of the corrections, and of the events that the model brings along
SURE = 0.97  # the probability that an example asks for
ACTIVE = 0.1  # probability from which on a frame of a wrong event is an example
HELD = 1.0  # weight of a frame that holds the model in place
LAG = 0.5  # seconds by which a score may follow what happens, or an event begin after its cause
EACH_CORRECTION = 12  # frames of a correction, at most
EACH_KNOWN = 8  # the same of an event that the model brings along


@dataclass(frozen=True, slots=True)
class CorrectedMoment:
    """A correction, and its seconds."""

    correction: Correction
    moment: Moment


@dataclass(frozen=True, slots=True)
class Counts:
    """How many of some events are reported, before and after."""

    before: int
    after: int
    of: int


@dataclass(frozen=True, slots=True)
class Lesson:
    """What was learned, on the kept examples, with the thresholds of before and after."""

    model: str
    corrections: int
    pull: float  # of the fit: the less, the more was changed
    share: float  # of the fit that is used
    false: Counts = Counts(0, 0, 0)  # events that were wrong: the fewer are reported, the better
    true: Counts = Counts(0, 0, 0)  # those that were right or missed: the more, the better
    known: Counts = Counts(0, 0, 0)  # true events that the model brings along

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    def judged(
        self,
        corrected: Sequence[CorrectedMoment],
        known: KnownEvents,
        labels: tuple[str, ...],
        was: Mapping[str, EventSettings],
        now: Mapping[str, EventSettings],
        before: Change | None,
        after: Change,
    ) -> Lesson:
        """The same with its counts; ``was`` and ``now``: settings by camera, ``before`` and ``after``: changes."""
        counts = {"false": [0, 0, 0], "true": [0, 0, 0], "known": [0, 0, 0]}
        for one in corrected:
            label, kind = one.correction.label, "false" if one.correction.is_false else "true"
            camera = one.correction.camera if one.correction.camera in now else next(iter(now))
            _count(counts[kind], one.moment, label, labels, ((before, was[camera]),))
            counts[kind][1] += after.heights.get(one.correction.id, 0.0) >= now[camera].of(label).enter
        strict = [_strictest(list(each.values()), labels) for each in (was, now)]
        for n, (label, moment) in enumerate(zip(known.labels, known.moments, strict=True)):
            _count(counts["known"], moment, label, labels, ((before, strict[0]),))
            counts["known"][1] += after.heights.get(str(n), 0.0) >= strict[1].of(label).enter
        found = {name: Counts(*numbers) for name, numbers in counts.items()}
        return Lesson(self.model, self.corrections, self.pull, self.share, **found)


def learn(
    model: str,
    labels: tuple[str, ...],
    settings: Mapping[str, EventSettings],
    *,
    corrected: Sequence[CorrectedMoment],
    quiet: Sequence[tuple[np.ndarray, np.ndarray]],
    known: KnownEvents,
) -> tuple[Change, Lesson]:
    """Fit a change to the corrections; raises ``SettingsError`` where that is too little, or means forgetting.

    Each correction and each true event is judged by a fit to the others, as alarm calibration judges its thresholds:
    results on what was learned from are better than on what comes. Of several strengths it takes the one with which
    the most corrections are followed and the fewest true events lost, by the thresholds that come of it; never one
    with which more than ``FORGOTTEN`` of the true events are no longer reported.
    """
    if len(corrected) < LEAST:
        raise SettingsError(
            f"{model}: {len(corrected)} corrections can be learned from, and it takes {LEAST}: their seconds are kept "
            "where the event was less than some minutes old, or is one of the last hundreds"
        )
    trial = _Trial(labels, settings, corrected, quiet, known)
    tried = [found for pull in PULLS for share in SHARES if (found := trial.judged(pull, share)) is not None]
    if not tried:
        raise SettingsError(
            f"{model}: the corrected events are so like the true events that it knows that it would forget some of "
            "them; the thresholds have moved as far as they may"
        )
    best = min(tried, key=lambda one: one.cost)
    weight, bias = trial.fit(best.pull, best.share)
    change = Change(
        model,
        labels,
        weight,
        bias,
        id=new_correction_id(corrected[-1].correction.made),
        learned_from=tuple(one.correction.id for one in corrected),
        heights=best.heights,
    )
    return change, Lesson(model, len(corrected), best.pull, best.share)


@dataclass(frozen=True, slots=True)
class _Tried:
    """One strength of the fit, judged on what was left out."""

    pull: float
    share: float
    cost: float  # the part of corrections that is not followed and of true events that is lost; those near in part
    heights: dict[str, float]  # of corrections by their ids, of known events by their numbers


class _Trial:
    """What a fit does to the events that are known: each is judged by fits to the others."""

    def __init__(
        self,
        labels: tuple[str, ...],
        settings: Mapping[str, EventSettings],
        corrected: Sequence[CorrectedMoment],
        quiet: Sequence[tuple[np.ndarray, np.ndarray]],
        known: KnownEvents,
    ) -> None:
        self._labels, self._settings, self._corrected, self._quiet = labels, settings, corrected, quiet
        self._common = next(iter(settings.values()))
        self._background = [n for n, label in enumerate(labels) if label in self._common.background]
        self._known = list(zip(known.labels, known.moments, strict=True))
        # What the model does not report by itself cannot be lost.
        self._kept = [reports(one, label, labels, self._common, None) for label, one in self._known]
        self._right = [
            one.correction.verdict is Verdict.right
            and reports(one.moment, one.correction.label, labels, self._of(one), None)
            for one in corrected
        ]
        self._fits: dict[int | None, Fits] = {}
        self._fitted: dict[tuple[float, int | None], Linear] = {}

    def fit(self, pull: float, share: float, fold: int | None = None) -> Linear:
        """A part of a fit to all, or to all but a fold of them."""
        if fold not in self._fits:
            corrected = [one for n, one in enumerate(self._corrected) if n % FOLDS != fold]
            moments = [one for n, (_, one) in enumerate(self._known) if n % FOLDS != fold]
            held = held_examples(self._quiet, moments, self._corrected[0].moment.features.shape[1])
            self._fits[fold] = Fits(examples_of(corrected, held, self._labels, self._background))
        if (pull, fold) not in self._fitted:
            self._fitted[pull, fold] = self._fits[fold].with_pull(pull)
        weight, bias = self._fitted[pull, fold]
        return share * weight, share * bias

    def judged(self, pull: float, share: float) -> _Tried | None:
        """How many corrections are not followed by the thresholds that come of it; None: it forgets too much."""
        changes = [self.fit(pull, share, fold) for fold in range(FOLDS)]
        if self._forgets(changes):
            return None
        heights = self._heights(changes)
        enters = self._enters(heights)
        strictest: dict[str, float] = {}
        for (_, label), enter in enters.items():
            strictest[label] = max(enter, strictest.get(label, 0.0))
        lost, gone, bad, faint = 0, 0, 0.0, 0.0
        for n, ((label, _), kept) in enumerate(zip(self._known, self._kept, strict=True)):
            enter = strictest.get(label, self._common.of(label).enter)
            lost += kept and heights[str(n)] < enter
            faint += kept * _share_below(heights[str(n)], enter)
        for one, was in zip(self._corrected, self._right, strict=True):
            about = one.correction
            enter, height = enters[about.camera, about.label], heights[about.id]
            gone += was and height < enter
            below = _share_below(height, enter)
            bad += 1.0 - below if about.is_false else below
        if lost > FORGOTTEN * sum(self._kept) or gone > FORGOTTEN * sum(self._right):
            return None
        cost = bad / len(self._corrected) + KEPT * faint / max(1, sum(self._kept))
        return _Tried(pull, share, cost, heights)

    def _forgets(self, changes: Sequence[Linear]) -> bool:
        """Whether too many known events are lost at the thresholds as they are: a quick check before the long one."""
        lost = 0
        for n, ((label, one), kept) in enumerate(zip(self._known, self._kept, strict=True)):
            lost += kept and not reports(one, label, self._labels, self._common, changes[n % FOLDS])
            if lost > FORGOTTEN * sum(self._kept):
                return True
        return False

    def _enters(self, heights: Mapping[str, float]) -> dict[tuple[str, str], float]:
        """The thresholds that come of these heights, by camera and label of the corrections."""
        found = {}
        corrections = [one.correction for one in self._corrected]
        for camera, label in dict.fromkeys((one.camera, one.label) for one in corrections):
            own = [
                (one.verdict, heights[one.id])
                for one in corrections
                if (one.camera, one.label) == (camera, label)
            ]
            known = tuple(
                heights[str(n)]
                for n, ((name, _), kept) in enumerate(zip(self._known, self._kept, strict=True))
                if kept and name == label
            )
            enter = self._settings.get(camera, self._common).of(label).enter
            found[camera, label] = moved(enter, Heights.of(own, known))
        return found

    def _heights(self, changes: Sequence[Linear]) -> dict[str, float]:
        """The highest threshold at which each is reported, with the change that did not see it."""
        found = {}
        for n, one in enumerate(self._corrected):
            scores = one.moment.changed(*changes[n % FOLDS])
            found[one.correction.id] = height_of(
                one.moment.times, scores, self._labels, self._of(one), one.correction.label
            )
        for n, (label, moment) in enumerate(self._known):
            scores = moment.changed(*changes[n % FOLDS])
            found[str(n)] = height_of(moment.times, scores, self._labels, self._common, label)
        return found

    def _of(self, one: CorrectedMoment) -> EventSettings:
        return self._settings.get(one.correction.camera, self._common)


def _share_below(height: float, enter: float) -> float:
    """How surely an event of this height is below a threshold, 0 to 1."""
    return probability((logit(enter) - logit(height)) / SPREAD)


def held_examples(
    quiet: Sequence[tuple[np.ndarray, np.ndarray]], known: Sequence[Moment], width: int
) -> Examples | None:
    """Frames on which the model is to keep its predictions; features are ``width`` wide. None: there are none."""
    held: list[tuple[np.ndarray, np.ndarray]] = []
    for moment in known:
        if moment.features.shape[1] == width:
            strongest = np.argsort(-moment.rows().max(1), kind="stable")[:EACH_KNOWN]
            held.append((moment.features[strongest].astype(np.float32), moment.rows()[strongest]))
    held += [(row[None].astype(np.float32), scores[None]) for row, scores in quiet if len(row) == width]
    if not held:
        return None
    features, scores = (np.concatenate(each) for each in zip(*held, strict=True))
    return Examples(features, scores, scores, np.full(len(scores), HELD, np.float32))


def examples_of(
    corrected: Sequence[CorrectedMoment],
    held: Examples | None,
    labels: tuple[str, ...],
    background: Sequence[int],
) -> Examples:
    """The frames of all corrections with their targets, and those that hold the model in place."""
    parts = [part for one in corrected if (part := _examples_of(one, labels, background)) is not None]
    if not parts:
        raise SettingsError("no correction can be learned from: no frame of it has a score")
    return Examples.joined([*parts, *([] if held is None else [held])])


def _examples_of(one: CorrectedMoment, labels: tuple[str, ...], background: Sequence[int]) -> Examples | None:
    """The frames of one correction that are about its label."""
    moment, correction = one.moment, one.correction
    scores, label = moment.rows(), labels.index(correction.label)
    begins, ends = moment.span
    when = moment.feature_times
    if correction.verdict is Verdict.missed:  # who marks it begins early rather than late
        within = (when >= begins + (ends - begins) / 4) & (when <= ends)
    else:
        within = (when >= begins - LAG) & (when <= ends + LAG) & (scores[:, label] >= ACTIVE)
    rows = np.flatnonzero(within)
    if not len(rows):
        return None
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), EACH_CORRECTION)).astype(int))]
    targets = scores[rows].copy()
    if correction.is_false:
        freed = targets[:, label].copy()
        targets[:, label] = np.minimum(targets[:, label], 1.0 - SURE)
        freed -= targets[:, label]
        if correction.truth in labels:
            targets[:, labels.index(correction.truth)] += freed
        else:
            others = list(background) or [n for n in range(len(labels)) if n != label]
            targets[:, others] += freed[:, None] / len(others)
    else:
        rest = np.delete(np.arange(len(labels)), label)
        missing = np.maximum(SURE - targets[:, label], 0.0)
        targets[:, rest] *= 1.0 - missing[:, None] / np.maximum(targets[:, rest].sum(1, keepdims=True), 1e-6)
        targets[:, label] += missing
    weights = np.full(len(rows), min(1.0, 5.0 / len(rows)), np.float32)
    return Examples(moment.features[rows].astype(np.float32), scores[rows], targets, weights)


def reports(
    moment: Moment,
    label: str,
    labels: tuple[str, ...],
    settings: EventSettings,
    change: Linear | None,
) -> bool:
    """Whether an event of the label is reported in these seconds."""
    if label not in labels or label in settings.background or moment.scores.shape[1] != len(labels):
        return False
    scores = moment.scores if change is None else moment.changed(*change)
    own = settings.of(label)
    return Starts(moment.times, scores[:, labels.index(label)], own).at(own.enter)


def _count(
    counts: list[int],
    moment: Moment,
    label: str,
    labels: tuple[str, ...],
    pairs: Sequence[tuple[Change | None, EventSettings]],
) -> None:
    for n, (change, settings) in enumerate(pairs):
        of = None if change is None else (change.weight, change.bias)
        counts[n] += reports(moment, label, labels, settings, of)
    counts[2] += 1


def _strictest(settings: Sequence[EventSettings], labels: tuple[str, ...]) -> EventSettings:
    """Of several cameras' settings the highest threshold of each label."""
    first = settings[0]
    highest = {label: max(one.of(label).enter for one in settings) for label in labels}
    return with_enters(
        first, {label: enter for label, enter in highest.items() if label not in first.background}
    )

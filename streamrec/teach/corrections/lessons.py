"""A lesson: examples made of corrections, the strength of the fit, and what it changes on the kept examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from streamrec.errors import SettingsError
from streamrec.events.detector import EventDetector, EventSettings
from streamrec.events.thresholds import with_enters
from streamrec.teach.corrections.known_events import KnownEvents
from streamrec.teach.corrections.learned import Change, Examples, fit
from streamrec.teach.corrections.moments import Moment
from streamrec.teach.corrections.records import Correction, Verdict, new_correction_id
from streamrec.teach.corrections.thresholds import LOST
from streamrec.types import ActionStarted

LEAST = 3  # corrections that are learned from
PULLS = (30.0, 10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01)  # that are tried, the strongest first
SURE = 0.97  # the probability that an example asks for
ACTIVE = 0.1  # probability from which on a frame of a wrong event is an example
EASY = 0.5  # of the own threshold's odds: wrong events are to be that far below it
HELD = 0.25  # weight of all frames that hold the model in place, to that of a correction, each
LAG = 0.5  # seconds by which a score may follow what happens, or an event begin after its cause
EACH_KNOWN = 6  # frames of an event that the model brings along


@dataclass(frozen=True, slots=True)
class Said:
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
    false: Counts = Counts(0, 0, 0)  # events that were wrong: the fewer are reported, the better
    true: Counts = Counts(0, 0, 0)  # those that were right or missed: the more, the better
    known: Counts = Counts(0, 0, 0)  # true events that the model brings along

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    def judged(
        self,
        said: Sequence[Said],
        known: KnownEvents,
        labels: tuple[str, ...],
        was: Mapping[str, EventSettings],
        now: Mapping[str, EventSettings],
        before: Change | None,
        after: Change,
    ) -> Lesson:
        """The same with its counts; ``was`` and ``now``: settings by camera, ``before`` and ``after``: changes."""
        counts = {"false": [0, 0, 0], "true": [0, 0, 0], "known": [0, 0, 0]}
        for one in said:
            kind = "false" if one.correction.is_false else "true"
            camera = one.correction.camera if one.correction.camera in now else next(iter(now))
            pairs = ((before, was[camera]), (after, now[camera]))
            _count(counts[kind], one.moment, one.correction.label, labels, pairs)
        strict = [_strictest(list(each.values()), labels) for each in (was, now)]
        for label, moment in zip(known.labels, known.moments, strict=True):
            _count(counts["known"], moment, label, labels, ((before, strict[0]), (after, strict[1])))
        found = {name: Counts(*numbers) for name, numbers in counts.items()}
        return Lesson(self.model, self.corrections, self.pull, **found)


def learn(
    model: str,
    labels: tuple[str, ...],
    settings: Mapping[str, EventSettings],
    *,
    said: Sequence[Said],
    quiet: Sequence[tuple[np.ndarray, np.ndarray]],
    known: KnownEvents,
) -> tuple[Change, Lesson]:
    """Fit a change to what was said; raises ``SettingsError`` where that is too little, or means forgetting.

    Of several pulls it takes the strongest with which all wrong events are well under their own thresholds; never one
    with which more than ``LOST`` of the true events are no longer reported at them.
    """
    if len(said) < LEAST:
        raise SettingsError(
            f"{model}: {len(said)} corrections can be learned from, and it takes {LEAST}: their seconds are kept where "
            "the event was less than some minutes old, or is one of the last hundreds"
        )
    settings_of = {one.correction.camera: settings.get(one.correction.camera) for one in said}
    common = next(iter(settings.values()))
    background = [n for n, label in enumerate(labels) if label in common.background]
    examples = examples_of(said, quiet, known, labels, background)
    true = [one for one in said if not one.correction.is_false]
    wrong = [one for one in said if one.correction.is_false]
    best: tuple[int, float, np.ndarray, np.ndarray] | None = None

    def reported(one: Said, weight: np.ndarray, bias: np.ndarray, *, easy: bool = False) -> bool:
        own = settings_of[one.correction.camera] or common
        return reports(
            one.moment, one.correction.label, labels, own, (weight, bias), easier=EASY if easy else 1.0
        )

    none = np.zeros((len(labels), examples.features.shape[1]), np.float32), np.zeros(len(labels), np.float32)
    kept = [(one, name) for name, one in zip(known.labels, known.moments, strict=True)]
    kept = [(one, name) for one, name in kept if reports(one, name, labels, common, none)]
    held = [one for one in true if one.correction.verdict is Verdict.right and reported(one, *none)]
    for pull in PULLS:
        weight, bias = fit(examples, pull=pull)
        lost = sum(not reports(one, name, labels, common, (weight, bias)) for one, name in kept)
        lost_here = sum(not reported(one, weight, bias) for one in held)
        if lost > LOST * len(kept) or lost_here > LOST * len(held):
            break
        left = sum(reported(one, weight, bias, easy=True) for one in wrong)
        left += sum(not reported(one, weight, bias) for one in true)
        if best is None or left < best[0]:
            best = left, pull, weight, bias
        if not left:
            break
    if best is None:
        raise SettingsError(
            f"{model}: what was said looks so much like the true events that it knows that it would forget some of "
            "them; the thresholds have moved as far as they may"
        )
    _, pull, weight, bias = best
    ids = tuple(one.correction.id for one in said)
    change = Change(
        model, labels, weight, bias, id=new_correction_id(said[-1].correction.made), learned_from=ids
    )
    return change, Lesson(model, len(said), pull)


def examples_of(
    said: Sequence[Said],
    quiet: Sequence[tuple[np.ndarray, np.ndarray]],
    known: KnownEvents,
    labels: tuple[str, ...],
    background: Sequence[int],
) -> Examples:
    """The frames of all of them, and what is to be said of each."""
    parts = [part for one in said if (part := _examples_of(one, labels, background)) is not None]
    if not parts:
        raise SettingsError("nothing of what was said can be learned from: no frame of it has a score")
    held: list[tuple[np.ndarray, np.ndarray]] = []
    for moment in known.moments:
        if moment.features.shape[1] == parts[0].features.shape[1]:
            strongest = np.argsort(-moment.rows().max(1), kind="stable")[:EACH_KNOWN]
            held.append((moment.features[strongest].astype(np.float32), moment.rows()[strongest]))
    width = parts[0].features.shape[1]
    held += [(row[None].astype(np.float32), scores[None]) for row, scores in quiet if len(row) == width]
    if held:
        features, scores = (np.concatenate(each) for each in zip(*held, strict=True))
        parts.append(Examples(features, scores, scores, np.full(len(scores), HELD, np.float32)))
    return Examples.joined(parts)


def _examples_of(one: Said, labels: tuple[str, ...], background: Sequence[int]) -> Examples | None:
    """The frames of one correction that are about its label."""
    moment, said = one.moment, one.correction
    scores, label = moment.rows(), labels.index(said.label)
    begins, ends = moment.span
    when = moment.feature_times
    if said.verdict is Verdict.missed:  # who marks it begins early rather than late
        within = (when >= begins + (ends - begins) / 4) & (when <= ends)
    else:
        within = (when >= begins - LAG) & (when <= ends + LAG) & (scores[:, label] >= ACTIVE)
    rows = np.flatnonzero(within)
    if not len(rows):
        return None
    targets = scores[rows].copy()
    if said.is_false:
        freed = targets[:, label].copy()
        targets[:, label] = np.minimum(targets[:, label], 1.0 - SURE)
        freed -= targets[:, label]
        if said.truth in labels:
            targets[:, labels.index(said.truth)] += freed
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
    change: tuple[np.ndarray, np.ndarray] | None,
    *,
    easier: float = 1.0,
) -> bool:
    """Whether an event of the label is reported in these seconds; ``easier``: with so much of the threshold's odds."""
    if label not in labels or moment.scores.shape[1] != len(labels):
        return False
    scores = moment.scores if change is None else moment.changed(*change)
    enter = settings.of(label).enter
    odds = easier * enter / max(1.0 - enter, 1e-4)
    lower = with_enters(settings, {label: odds / (1.0 + odds)}) if easier != 1.0 else settings
    found = EventDetector(labels, lower).replay(moment.times.tolist(), scores)
    return any(isinstance(event, ActionStarted) and event.label == label for _, event in found)


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

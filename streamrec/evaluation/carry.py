"""How far models carry: each is played on the data sets that it did not learn from, and scored there.

Each clip is a stream of its own that begins from the initial state. Joined into one stream, its cuts would be a clue
and the state of one clip would judge the next.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from streamrec.data.clips import Clip
from streamrec.data.splits import split_by_group
from streamrec.errors import SourceError
from streamrec.evaluation.evaluate import play
from streamrec.evaluation.intervals import poisson_interval, wilson_interval
from streamrec.evaluation.metrics import OnsetDelay, mean_auc
from streamrec.evaluation.reports import (
    Interval,
    Playback,
    alarms_of,
    background_of,
    interval_of_mean,
    label_of,
)
from streamrec.evaluation.sets import WHOLE, DataSet, clips_of
from streamrec.events.detector import EventDetector
from streamrec.nn.config import ModelConfig
from streamrec.runtime.recognizer import Recognizer
from streamrec.sources.files import FileSource
from streamrec.sources.health import amiss
from streamrec.sources.iterable import IterableSource
from streamrec.sources.sampling import is_next
from streamrec.types import ActionStarted, Frame, Prediction, Source

SOON = 1.5  # seconds after its onset in which an action is reported in time
TOTAL = "nothing of its kind"  # the row of all sets in which a model's actions never happen
SPLITS = ("all", "choose", "report")
MOST_BYTES = 300_000_000  # of a clip's frames, that are decoded once for several models


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipScore:
    """What a model reported of one clip."""

    group: str
    actions: int  # true ones
    found: int  # of them
    is_timed: bool  # it is known when its actions begin
    delays: tuple[float, ...]  # seconds from the onset to the notification of each found one
    reported: int  # events of the judged labels
    false: int  # events that are outside every action
    hours: float  # without an action
    is_right: bool  # every action was found, and nothing else was reported
    ends_right: bool  # its last prediction is its action, or of a clip without one none that is judged
    truth: tuple[bool, ...]  # of each shown action, whether the clip has it
    peaks: tuple[float, ...]  # highest smoothed score of each


@dataclass(frozen=True, slots=True, kw_only=True)
class CarryRow:
    """A model on a set that it did not learn from; shares are from 0 to 1, intervals are 95 % over groups."""

    model: str
    data: str  # name of the set, and of its part
    shown: tuple[str, ...]  # the model's actions that happen in it; empty: nothing of its kind does
    judged: tuple[str, ...]  # those of which each event is right or false
    clips: int  # played
    of: int  # clips of the set, or of the part that was asked for
    groups: int
    actions: int = 0
    found: int = 0
    recall: float | None = None
    recall_interval: Interval | None = None
    soon: int | None = None  # found within SOON of their onset; None: the set has no times
    quiet: int = 0  # clips without an action
    left_alone: int = 0  # of them, those without an event
    # Clips with an action whose last prediction is right, and clips without one; None: the set has times.
    at_end: tuple[int, int] | None = None
    right: float | None = None  # part of the clips of which all is right
    right_interval: Interval | None = None
    auc: float | None = None  # of the highest smoothed score of each clip; mean over the shown actions
    auc_interval: Interval | None = None
    false_events: int
    hours: float  # without an action
    per_hour: float | None
    per_hour_interval: Interval | None
    delay: float | None = None  # median seconds from the onset to the notification
    unreadable: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class CarrySettings:
    """Which clips are played."""

    most: int | None = None  # clips of a part of a set, spread evenly; None: all
    split: str = "all"  # "choose" and "report" are two halves of the groups


def has_learned(config: ModelConfig, one: DataSet) -> bool:
    """Whether a model learned from a set, so that it is not to be measured on it."""
    return one.name in config.learned


def actions_of_model(config: ModelConfig) -> tuple[str, ...]:
    """The labels that give events."""
    return tuple(label for label in config.labels if label not in background_of(config.labels, config.events))


def chosen_clips(folder: Path, one: DataSet, settings: CarrySettings) -> dict[str, list[Clip]]:
    """The clips of a set to play, by part, in an order in which any beginning shows all kinds."""
    parts = clips_of(folder, one)
    if settings.split != "all":
        every = list(dict.fromkeys(clip for clips in parts.values() for clip in clips))
        half = set(split_by_group(every, fold=SPLITS.index(settings.split) - 1, folds=2)[1])
        parts = {part: [clip for clip in clips if clip in half] for part, clips in parts.items()}
    for part, clips in parts.items():
        if settings.most is not None and len(clips) > settings.most:
            spread = np.linspace(0, len(clips) - 1, settings.most).round().astype(int)
            clips = [clips[n] for n in spread]
        parts[part] = [clips[n] for n in np.random.default_rng(0).permutation(len(clips))]
    return {part: clips for part, clips in parts.items() if clips}


def jobs_of(
    recognizers: Mapping[str, Recognizer],
    folder: Path,
    sets: Sequence[DataSet],
    settings: CarrySettings = CarrySettings(),
) -> list[Job]:
    """What is to be played: each set with the models that it can judge. Raises ``DataError``."""
    jobs = [Job.of(one, chosen_clips(folder, one, settings), recognizers) for one in sets]
    return [job for job in jobs if job.models]


def carry(
    jobs: Sequence[Job], *, on_progress: Callable[[int], None] = lambda done: None
) -> Iterator[CarryRow]:
    """The rows of each set, then the total of each model over sets in which nothing of its kind happens.

    ``KeyboardInterrupt`` is raised after the rows of what was played until then.
    """
    done, stopped = 0, False
    quiet: dict[str, list[tuple[CarryRow, list[ClipScore]]]] = {}
    for job in jobs:
        try:
            for clip in job.clips:
                job.play(clip)
                done += 1
                on_progress(done)
        except KeyboardInterrupt:
            stopped = True
        for row, scores in job.rows():
            yield row
            if not row.shown:
                quiet.setdefault(row.model, []).append((row, scores))
        if stopped:
            break
    for name, rows in quiet.items():
        if len(rows) > 1:
            yield row_of(
                [replace(s, group=f"{row.data}/{s.group}") for row, scores in rows for s in scores],
                model=name,
                data=TOTAL,
                shown=(),
                judged=tuple(dict.fromkeys(label for row, _ in rows for label in row.judged)),
                of=sum(row.of for row, _ in rows),
            )
    if stopped:
        raise KeyboardInterrupt


@dataclass(frozen=True, slots=True)
class Job:
    """One data set, and the models that did not learn from it; ``play`` fills ``scores`` and ``messages``."""

    data: DataSet
    parts: dict[str, list[Clip]]
    clips: list[Clip]  # of all parts
    models: dict[str, Recognizer]
    judges: dict[str, tuple[tuple[str, ...], tuple[str, ...]]]  # model -> actions that are shown, and judged
    scores: dict[tuple[str, Clip], ClipScore] = field(default_factory=dict)
    messages: dict[tuple[str, Clip], str] = field(default_factory=dict)

    @classmethod
    def of(cls, one: DataSet, parts: dict[str, list[Clip]], recognizers: Mapping[str, Recognizer]) -> Job:
        """The job of a set; it has no models where the set judges none, or all learned from it."""
        clips = list(dict.fromkeys(clip for part in parts.values() for clip in part))
        models, judges = {}, {}
        for name, recognizer in recognizers.items():
            shown, judged = one.judges(clips, actions_of_model(recognizer.config))
            if judged and clips and not has_learned(recognizer.config, one):
                models[name], judges[name] = recognizer, (shown, judged)
        return cls(one, parts, clips, models, judges)

    def play(self, clip: Clip) -> None:
        """Play a clip by each model; it is decoded once, if that fits into memory."""
        frames: list[Frame] | None = None
        try:
            file = FileSource(clip.path)
            if len(self.models) > 1:
                frames = due_for(file, [recognizer.fps for recognizer in self.models.values()])
        except SourceError as error:
            self.messages.update({(name, clip): str(error) for name in self.models})
            return
        for name, recognizer in self.models.items():
            seen = self.data.seen_by(clip, actions_of_model(recognizer.config))
            source: Source = FileSource(clip.path)
            if frames is not None:
                source = IterableSource(frames, name=source.name)
            try:
                found = play(recognizer, source, name=str(clip.path), group=clip.group, clip=seen)
            except SourceError as error:
                self.messages[name, clip] = str(error)
                continue
            self.scores[name, clip] = score_of(found, recognizer.config, *self.judges[name])
            if (why := amiss(source if frames is None else file)) is not None:
                self.messages[name, clip] = f"{source.name} in part: {why}"

    def rows(self) -> Iterator[tuple[CarryRow, list[ClipScore]]]:
        """The rows of what was played, with the scores that they are of."""
        for name, (shown, judged) in self.judges.items():
            for part, clips in self.parts.items():
                scores = [self.scores[name, clip] for clip in clips if (name, clip) in self.scores]
                if scores:
                    row = row_of(
                        scores,
                        model=name,
                        data=f"{self.data.name}/{part}" if part else self.data.name,
                        shown=shown,
                        judged=judged,
                        of=len(clips),
                        unreadable=tuple(
                            self.messages[name, clip] for clip in clips if (name, clip) in self.messages
                        ),
                    )
                    yield row, scores


def due_for(source: Source, rates: Sequence[float]) -> list[Frame] | None:
    """The frames that are due at any of these rates; None: they are too many to hold.

    From them each rate chooses the very frames that it would choose of the source.
    """
    last: list[Frame | None] = [None] * len(rates)
    kept: list[Frame] = []
    size = 0
    for frame in source:
        due = [n for n, fps in enumerate(rates) if is_next(frame, last[n], fps)]
        for n in due:
            last[n] = frame
        if due:
            kept.append(frame)
            size += frame.image.nbytes
            if size > MOST_BYTES:
                return None
    return kept


def score_of(
    playback: Playback, config: ModelConfig, shown: Sequence[str], judged: Sequence[str]
) -> ClipScore:
    """Score the playback of a clip whose actions are the model's own (``DataSet.seen_by``)."""
    judged_events = [
        (e, at) for e, at in zip(playback.events, playback.notified, strict=True) if e.label in judged
    ]
    playback = replace(
        playback, events=tuple(e for e, _ in judged_events), notified=tuple(at for _, at in judged_events)
    )
    starts = [event for event in playback.events if isinstance(event, ActionStarted)]
    onset = OnsetDelay()
    onset.update(playback.actions, playback.events, notified=playback.notified)
    found = onset.get().matched
    alarms = alarms_of([playback], background_of(config.labels, config.events))
    false = 0 if alarms is None else alarms.count
    true = {action.label for action in playback.actions}
    is_timed = bool(playback.actions) and all(action.end < WHOLE for action in playback.actions)
    last = label_of(playback.probabilities[-1], config.labels)
    detector = EventDetector(config.labels, config.events)
    state, peak = detector.initial_state(), np.zeros(len(config.labels))
    for time, scores in zip(playback.timestamps.tolist(), playback.probabilities, strict=True):
        _, state = detector.step(Prediction("", 0.0, scores, time), time, state)
        peak = np.maximum(peak, state.smoothed)
    return ClipScore(
        group=playback.group,
        actions=len(playback.actions),
        found=found,
        is_timed=is_timed,
        delays=onset.notified if is_timed else (),
        reported=len(starts),
        false=false,
        hours=0.0 if alarms is None else alarms.hours,
        is_right=found == len(playback.actions) and not false and all(e.label in true for e in starts),
        ends_right=last in true if true else last not in judged,
        truth=tuple(label in true for label in shown),
        peaks=tuple(float(peak[config.labels.index(label)]) for label in shown),
    )


def row_of(
    scores: Sequence[ClipScore],
    *,
    model: str,
    data: str,
    shown: tuple[str, ...],
    judged: tuple[str, ...],
    of: int,
    unreadable: tuple[str, ...] = (),
) -> CarryRow:
    """The row of these clips; where nothing of the model's kind happens, only its false events."""
    groups = [one.group for one in scores]
    false, hours = (sum(getattr(one, name) for one in scores) for name in ("false", "hours"))
    rates = np.array([(one.false, one.hours) for one in scores], float)
    per_hour = false / hours if hours else None
    interval = interval_of_mean(rates, groups, _rate) if false and hours else None
    if interval is None and hours:  # without events, or groups, the bootstrap would be sure of what was seen
        low, high = poisson_interval(false)
        interval = (low / hours, high / hours)
    row = CarryRow(
        model=model,
        data=data,
        shown=shown,
        judged=judged,
        clips=len(scores),
        of=of,
        groups=len(set(groups)),
        quiet=sum(not one.actions for one in scores),
        left_alone=sum(not one.actions and not one.reported for one in scores),
        false_events=false,
        hours=hours,
        per_hour=per_hour,
        per_hour_interval=interval,
        unreadable=unreadable,
    )
    if not shown:
        return row
    counts = np.array([(one.found, one.actions) for one in scores], float)
    right = [one.is_right for one in scores]
    ranked = np.array([(one.truth, one.peaks) for one in scores], float)  # (clips, 2, actions)
    auc = mean_auc(ranked)
    is_timed = any(one.is_timed for one in scores)
    delays = [delay for one in scores for delay in one.delays]
    actions, found = (sum(getattr(one, name) for one in scores) for name in ("actions", "found"))
    return replace(
        row,
        actions=actions,
        found=found,
        recall=found / actions if actions else None,
        recall_interval=_interval(found, actions, counts, groups),
        at_end=None
        if is_timed
        else (
            sum(one.ends_right and one.actions > 0 for one in scores),
            sum(one.ends_right and not one.actions for one in scores),
        ),
        soon=sum(delay <= SOON for delay in delays) if is_timed else None,
        right=sum(right) / len(right),
        right_interval=_interval(sum(right), len(right), np.array([(r, 1.0) for r in right]), groups),
        auc=None if np.isnan(auc) else auc,
        auc_interval=None if np.isnan(auc) else interval_of_mean(ranked, groups, mean_auc),
        delay=statistics.median(delays) if delays else None,
    )


def _interval(count: int, of: int, counts: np.ndarray, groups: Sequence[str]) -> Interval | None:
    """The interval of a part by bootstrap over groups; of none or all, which a bootstrap would be sure of, Wilson's."""
    if not of:
        return None
    return wilson_interval(count, of) if count in (0, of) else interval_of_mean(counts, groups, _rate)


def _rate(values: np.ndarray) -> float:
    """(clips, 2) -> sum of the first over sum of the second; NaN where that is 0."""
    first, second = values.sum(0)
    return float(first / second) if second else float("nan")

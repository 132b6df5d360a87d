"""From what was said of each frame to the numbers of a report, whoever said it: a camera's loop or a baseline."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Protocol, TypeAlias

import numpy as np

from streamrec.data.clips import Clip
from streamrec.evaluation.intervals import bootstrap_interval, poisson_interval
from streamrec.evaluation.metrics import (
    Accuracy,
    ConfusionMatrix,
    ExpectedCalibrationError,
    F1AtOverlap,
    FalseAlarmsPerHour,
    FrameMAP,
    OnsetDelay,
    PerClassAccuracy,
    RepetitionError,
    Segment,
    edit_score,
)
from streamrec.events.detector import EventDetector, EventSettings
from streamrec.types import ActionEnded, ActionStarted, Event

NOTHING = "background"  # the truth outside all segments, for a model that has no label for it
PARTS = tuple(range(10, 101, 10))  # per cent of a clip that were seen
Interval: TypeAlias = tuple[float, float]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Playback:
    """What was said of one clip, frame by frame, and the truth. T counts the frames that were looked at."""

    name: str
    group: str
    label: str | None  # of the whole clip; None: the truth changes in it
    truth: tuple[str, ...]  # (T,)
    timestamps: np.ndarray  # (T,) float64 seconds
    probabilities: np.ndarray  # (T, labels) float32
    strangeness: np.ndarray | None = None  # (T,) float32; None: the model does not know
    actions: tuple[Segment, ...] = ()  # the true ones; background is none
    events: tuple[Event, ...] = ()
    told: tuple[float, ...] = ()  # timestamp of the frame that gave each event, seconds
    repetitions: int | None = None  # the true number
    counted: int | None = None  # the number that was said at the end

    @property
    def step(self) -> float:
        """Seconds between two frames: the median."""
        return float(np.median(np.diff(self.timestamps))) if len(self.timestamps) > 1 else 0.0

    @property
    def lasts(self) -> np.ndarray:
        """(T,) seconds until the next frame, a median step for the last."""
        return np.append(np.diff(self.timestamps), self.step)


@dataclass(frozen=True, slots=True)
class Alarms:
    """Actions that were told where none was: events outside every true action, in the time without one."""

    count: int
    hours: float  # of background that it rests on
    per_hour: float
    interval: Interval  # of per_hour, 95 %, exact for a Poisson process


@dataclass(frozen=True, slots=True)
class ClipReport:
    """How clips of one label each were recognized, every clip from the initial state. Scores from 0 to 1."""

    about: ClassVar[str] = "clips"
    clips: int
    groups: int
    frames: int
    at_end: float | None  # accuracy of the last prediction of each clip
    at_end_interval: Interval | None  # 95 %, by bootstrap over groups; None: fewer than two groups
    balanced: float | None  # the mean over labels of the accuracy at the end
    clip_mean: float | None  # accuracy of the mean of a clip's probabilities: a second, offline reading
    clip_mean_interval: Interval | None
    per_frame: float | None
    per_frame_interval: Interval | None
    map: float | None  # per-frame mean average precision
    cap: float | None  # the same, calibrated
    ece_at_end: float | None
    ece_per_frame: float | None
    at_part: dict[str, float]  # per cent of the clip seen -> accuracy
    by_label: dict[str, dict[str, float | int | None]]
    confusion: dict[str, Any]  # labels, and counts of clips at their end: rows are the truth
    alarms: Alarms | None
    unreadable: tuple[str, ...] = ()
    further: dict[str, float | None] = field(default_factory=dict)  # name in METRICS -> its number

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        values = asdict(self)
        further = values.pop("further")
        return {"about": self.about} | values | further


@dataclass(frozen=True, slots=True)
class StreamReport:
    """How untrimmed videos were recognized, or streams of the synthetic world: a truth for each frame."""

    about: ClassVar[str] = "videos"
    fps: float | None  # of the source, where it is one
    videos: int
    groups: int
    seconds: float
    frames: int
    per_frame: float | None
    per_frame_interval: Interval | None  # 95 %, by bootstrap over groups; None: fewer than two groups
    balanced: float | None  # the mean over labels of the accuracy per frame
    map: float | None
    cap: float | None
    ece_per_frame: float | None
    edit: float | None  # segmental edit score of the events against the true actions, mean over videos
    f1: dict[str, float | None]  # segmental F1 at overlap 10, 25, 50 %
    recall: float | None  # of the true actions, found by an event
    precision: float | None  # of the events
    delay_told: float | None  # seconds, median, from the true onset to the frame that told the event
    delay_worst: float | None  # seconds, the longest of the former
    delay_dated: float | None  # seconds, median, from the true onset to the timestamp that the event carries
    alarms: Alarms | None
    by_label: dict[str, dict[str, float | int | None]]
    unreadable: tuple[str, ...] = ()
    further: dict[str, float | None] = field(default_factory=dict)  # name in METRICS -> its number

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        values = asdict(self)
        further = values.pop("further")
        return {"about": self.about} | values | further


@dataclass(frozen=True, slots=True)
class RepetitionReport:
    """How well repetitions were counted, in clips whose number of them is known."""

    about: ClassVar[str] = "repetitions"
    clips: int
    error: float | None  # mean, in repetitions
    error_interval: Interval | None  # 95 %, by bootstrap over groups
    relative_error: float | None
    off_by_one: float | None
    exact: float | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"about": self.about} | asdict(self)


class Metric(Protocol):
    """A number that a report shows: ``update`` with each playback, then ``get``."""

    def update(self, playback: Playback) -> None:
        """Take one clip or video in."""

    def get(self) -> float | None:
        """The score from 0 to 1; None: nothing was seen yet."""


# Metrics that reports on clips and on videos show beside their fields: name -> class.
# A new metric is a class in metrics.py, or a file of its own, and a line here.
METRICS: dict[str, Callable[[], Metric]] = {}


def background_of(labels: Sequence[str], settings: EventSettings) -> tuple[str, ...]:
    """The labels that are no actions, the one that time outside all segments has first."""
    known = tuple(label for label in settings.background if label in labels)
    return (*known, *(() if NOTHING in known else (NOTHING,)))


def truth_of(
    clip: Clip, timestamps: Iterable[float], labels: Sequence[str], settings: EventSettings
) -> tuple[str, ...]:
    """The true label of a clip at each time; its background is the model's where the model does not know it.

    >>> from pathlib import Path
    >>> clip = Clip(Path("a.mp4"), None, "anna", ((1.0, 2.0, "walk"), (2.0, 3.0, "fall")))
    >>> truth_of(clip, [0.0, 1.0, 2.5, 3.0], ["idle", "walk", "fall"], EventSettings(background=("idle",)))
    ('idle', 'walk', 'fall', 'idle')
    """
    truth = tuple(clip.label_at(time) for time in timestamps)
    if clip.label is not None or clip.background in labels:
        return truth
    quiet = background_of(labels, settings)[0]
    return tuple(quiet if label == clip.background else label for label in truth)


def actions_of(clip: Clip, background: Collection[str]) -> tuple[Segment, ...]:
    """The segments of a clip that are actions, in order of time."""
    return tuple(Segment(*segment) for segment in clip.segments if segment[2] not in background)


def true_labels(clips: Iterable[Clip]) -> set[str]:
    """The labels that the truth of clips has, the time outside of segments left out."""
    labels: set[str] = set()
    for clip in clips:
        if clip.label is not None:
            labels.add(clip.label)
        labels |= {label for _, _, label in clip.segments if label != NOTHING}
    return labels


def repetitions_of(clip: Clip) -> int | None:
    """How often the clip's action is repeated; None where nobody counted."""
    return len(clip.repetitions or ()) or None


def playback_of(
    clip: Clip,
    timestamps: np.ndarray,
    probabilities: np.ndarray,
    labels: tuple[str, ...],
    settings: EventSettings,
) -> Playback:
    """A clip of which the probabilities (T, labels) are known; events are those that ``results()`` would tell."""
    background = background_of(labels, settings)
    times = timestamps.tolist()
    told = list(EventDetector(labels, settings).replay(times, probabilities))
    return Playback(
        name=str(clip.path),
        group=clip.group,
        label=clip.label,
        truth=truth_of(clip, times, labels, settings),
        timestamps=timestamps,
        probabilities=probabilities,
        actions=actions_of(clip, background),
        events=tuple(event for _, event in told),
        told=tuple(times[frame] for frame, _ in told),
        repetitions=repetitions_of(clip),
    )


def clip_report(
    played: Sequence[Playback],
    labels: tuple[str, ...],
    background: Collection[str],
    unreadable: Sequence[str] = (),
) -> ClipReport:
    """The report on clips of one label each; those of ``played`` that have none are left out."""
    clips = [one for one in played if one.label is not None]
    truth = [str(one.label) for one in clips]
    at_end = [label_of(one.probabilities[-1], labels) for one in clips]
    clip_mean = [label_of(one.probabilities.mean(0), labels) for one in clips]
    by_label, by_mean = PerClassAccuracy(), PerClassAccuracy()
    by_label.update(truth, at_end)
    by_mean.update(truth, clip_mean)
    confusion = ConfusionMatrix(labels)
    confusion.update(truth, at_end)
    calibration = ExpectedCalibrationError()
    for one, said in zip(clips, at_end, strict=True):
        calibration.update(float(one.probabilities[-1].max()), said == one.label)
    frames = _FrameScores(clips, labels, background)
    groups = [one.group for one in clips]
    ends, means = ([float(a == b) for a, b in zip(truth, said, strict=True)] for said in (at_end, clip_mean))
    return ClipReport(
        clips=len(clips),
        groups=len(set(groups)),
        frames=sum(len(one.truth) for one in clips),
        at_end=_mean(ends),
        at_end_interval=interval_of_mean(ends, groups),
        balanced=by_label.mean(),
        clip_mean=_mean(means),
        clip_mean_interval=interval_of_mean(means, groups),
        per_frame=frames.accuracy,
        per_frame_interval=frames.interval,
        map=frames.mean_ap.get(),
        cap=frames.mean_ap.calibrated(),
        ece_at_end=calibration.get(),
        ece_per_frame=frames.calibration,
        at_part=_at_parts(clips, labels),
        by_label={
            label: {
                "clips": truth.count(label),
                "at_end": by_label.get().get(label),
                "clip_mean": by_mean.get().get(label),
                **frames.of_label(label),
            }
            for label in labels
            if label in truth
        },
        confusion={"labels": list(labels), "counts": confusion.get().tolist()},
        alarms=_alarms(clips, background),
        unreadable=tuple(unreadable),
        further=_further(clips),
    )


def stream_report(
    played: Sequence[Playback],
    labels: tuple[str, ...],
    background: Collection[str],
    unreadable: Sequence[str] = (),
    *,
    fps: float | None = None,
) -> StreamReport:
    """The report on videos in which the truth changes; those of ``played`` that are of one label are left out."""
    videos = [one for one in played if one.label is None]
    frames = _FrameScores(videos, labels, background)
    f1, onset = F1AtOverlap(background=background), OnsetDelay()
    edits = []
    for one in videos:
        found = sorted((e.started, e.timestamp, e.label) for e in one.events if isinstance(e, ActionEnded))
        f1.update(one.actions, found)
        edits.append(edit_score(one.actions, found))
        onset.update(one.actions, one.events, told=one.told)
    onsets = onset.get()
    return StreamReport(
        fps=fps,
        videos=len(videos),
        groups=len({one.group for one in videos}),
        seconds=float(sum(one.lasts.sum() for one in videos)),
        frames=sum(len(one.truth) for one in videos),
        per_frame=frames.accuracy,
        per_frame_interval=frames.interval,
        balanced=frames.by_label.mean(),
        map=frames.mean_ap.get(),
        cap=frames.mean_ap.calibrated(),
        ece_per_frame=frames.calibration,
        edit=_mean(edits),
        f1={f"{100 * overlap:.0f}": value for overlap, value in f1.get().items()},
        recall=onsets.recall,
        precision=onsets.precision,
        delay_told=onsets.told_median,
        delay_worst=onsets.told_worst,
        delay_dated=onsets.median,
        alarms=_alarms(videos, background),
        by_label={
            label: {
                "actions": sum(action.label == label for one in videos for action in one.actions),
                **frames.of_label(label),
            }
            for label in labels
            if any(label in one.truth for one in videos)
        },
        unreadable=tuple(unreadable),
        further=_further(videos),
    )


def repetition_report(played: Sequence[Playback]) -> RepetitionReport | None:
    """The report on counting; None where no clip's number is known, or nobody counted."""
    counted = [(one, one.repetitions, one.counted) for one in played]
    pairs = [(one.group, true, said) for one, true, said in counted if true is not None and said is not None]
    if not pairs:
        return None
    error = RepetitionError()
    error.update([true for _, true, _ in pairs], [said for _, _, said in pairs])
    found = error.get()
    off = [float(abs(said - true)) for _, true, said in pairs]
    return RepetitionReport(
        clips=found.clips,
        error=found.error,
        error_interval=interval_of_mean(off, [group for group, _, _ in pairs]),
        relative_error=found.relative_error,
        off_by_one=found.off_by_one,
        exact=found.exact,
    )


def label_of(probabilities: np.ndarray, labels: Sequence[str]) -> str:
    """The most probable of the labels."""
    return labels[int(probabilities.argmax())]


def hits_of(one: Playback, labels: Sequence[str]) -> list[bool]:
    """Of each frame whose truth the model can say, in order, whether it says it."""
    return [
        label_of(scores, labels) == true
        for true, scores in zip(one.truth, one.probabilities, strict=True)
        if true in labels
    ]


def interval_of_mean(
    values: Sequence[float] | np.ndarray,
    groups: Sequence[str],
    statistic: Callable[[np.ndarray], Any] = np.mean,
) -> Interval | None:
    """95 % by bootstrap over groups; None where there are fewer than two."""
    return bootstrap_interval(values, groups, statistic) if len(set(groups)) > 1 else None


class _FrameScores:
    """What both reports say of single frames.

    Where the truth is background and the model has no label for it, no answer can be right: such frames are
    negatives for average precision, and left out of the rest.
    """

    def __init__(
        self, played: Sequence[Playback], labels: tuple[str, ...], background: Collection[str]
    ) -> None:
        right, self.by_label = Accuracy(), PerClassAccuracy()
        self.mean_ap = FrameMAP(labels, background=tuple(background))
        calibration = ExpectedCalibrationError()
        counts = []
        for one in played:
            self.mean_ap.update(list(one.truth), one.probabilities)
            sayable = np.array([true in labels for true in one.truth], bool)
            truth = [true for true in one.truth if true in labels]
            shown = one.probabilities[sayable]
            said = [labels[n] for n in shown.argmax(1)]
            hits = [a == b for a, b in zip(truth, said, strict=True)]
            right.update(truth, said)
            self.by_label.update(truth, said)
            calibration.update(shown.max(1), hits)
            counts.append((sum(hits), len(hits)))
        self.accuracy = right.get()
        self.calibration = calibration.get()
        self.interval = interval_of_mean(
            np.array(counts, float).reshape(-1, 2),
            [one.group for one in played],
            lambda drawn: drawn[:, 0].sum() / max(drawn[:, 1].sum(), 1.0),
        )
        self._ap, self._cap = self.mean_ap.per_class(), self.mean_ap.per_class(calibrated=True)

    def of_label(self, label: str) -> dict[str, float | int | None]:
        return {
            "per_frame": self.by_label.get().get(label),
            "ap": self._ap.get(label),
            "cap": self._cap.get(label),
        }


def _further(played: Sequence[Playback]) -> dict[str, float | None]:
    numbers = {}
    for name, make in METRICS.items():
        metric = make()
        for one in played:
            metric.update(one)
        numbers[name] = metric.get()
    return numbers


def _at_parts(clips: Sequence[Playback], labels: tuple[str, ...]) -> dict[str, float]:
    """Accuracy when the first 10, 20, ... 100 % of the frames of each clip were seen, at least one."""
    found = {}
    for part in PARTS:
        accuracy = Accuracy()
        for one in clips:
            seen = math.ceil(len(one.truth) * part / 100)
            accuracy.update(str(one.label), label_of(one.probabilities[seen - 1], labels))
        if (value := accuracy.get()) is not None:
            found[str(part)] = value
    return found


def _alarms(played: Sequence[Playback], background: Collection[str]) -> Alarms | None:
    alarms = FalseAlarmsPerHour()
    for one in played:
        quiet = [true in background for true in one.truth]
        if one.label is not None and not any(quiet):
            continue  # an action from its first frame to its last: no time without one
        outside = [
            event
            for event in one.events
            if isinstance(event, ActionStarted)
            and not any(
                action.start - alarms.tolerance <= event.timestamp <= action.end for action in one.actions
            )
        ]
        alarms.update([], outside, float(one.lasts[quiet].sum()))
    rate = alarms.get()
    if rate is None:
        return None
    low, high = poisson_interval(alarms.count)
    return Alarms(alarms.count, alarms.hours, rate, (low / alarms.hours, high / alarms.hours))


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None

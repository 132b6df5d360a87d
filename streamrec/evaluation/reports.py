"""Reports: from the predictions for each frame, of a recognizer or a baseline, to their numbers."""

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
    mean_of,
)
from streamrec.events.detector import EventDetector, EventSettings
from streamrec.types import ActionEnded, ActionStarted, Event

NOTHING = "background"  # the truth outside all segments, for a model that has no label for it
PARTS = tuple(range(10, 101, 10))  # per cent of a clip that are played
Interval: TypeAlias = tuple[float, float]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Playback:
    """The predictions for one clip, frame by frame, and the truth. T counts the processed frames."""

    name: str
    group: str
    label: str | None  # of the whole clip; None: the truth changes in it
    truth: tuple[str, ...]  # (T,) true labels
    timestamps: np.ndarray  # (T,) float64 seconds
    probabilities: np.ndarray  # (T, labels) float32
    strangeness: np.ndarray | None = None  # (T,) float32 out-of-distribution scores; None: the model has none
    actions: tuple[Segment, ...] = ()  # true actions, without background
    events: tuple[Event, ...] = ()  # predicted
    notified: tuple[float, ...] = ()  # timestamp in seconds of the frame that gave each event
    repetitions: int | None = None  # true number
    counted: int | None = None  # number at the end, as the recognizer counted

    @property
    def step(self) -> float:
        """Median seconds between two frames."""
        return float(np.median(np.diff(self.timestamps))) if len(self.timestamps) > 1 else 0.0

    @property
    def durations(self) -> np.ndarray:
        """(T,) seconds until the next frame; the last one lasts a median step."""
        return np.append(np.diff(self.timestamps), self.step)

    def predicted(self, labels: Sequence[str]) -> list[str]:
        """(T,) the most probable label of each frame."""
        return [labels[n] for n in self.probabilities.argmax(1)]

    def hits(self, labels: Sequence[str]) -> list[bool]:
        """Whether each frame is predicted correctly, in order, without frames whose true label the model lacks."""
        pairs = zip(self.truth, self.predicted(labels), strict=True)
        return [true == predicted for true, predicted in pairs if true in labels]


@dataclass(frozen=True, slots=True)
class Alarms:
    """False alarms: events outside every true action, in the time without one."""

    count: int
    hours: float  # of background in which they were counted
    per_hour: float
    interval: Interval  # of per_hour, 95 %, exact for a Poisson process


@dataclass(frozen=True, slots=True)
class ClipReport:
    """Scores on clips of one label each, every clip from the initial state; from 0 to 1."""

    about: ClassVar[str] = "clips"
    clips: int
    groups: int
    frames: int
    at_end: float | None  # accuracy of the last prediction of each clip
    at_end_interval: Interval | None  # 95 %, by bootstrap over groups; None: fewer than two groups
    balanced: float | None  # the mean over labels of the accuracy at the end
    clip_mean: float | None  # accuracy of the mean of a clip's probabilities: an offline score
    clip_mean_interval: Interval | None
    per_frame: float | None
    per_frame_interval: Interval | None
    map: float | None  # per-frame mean average precision
    cap: float | None  # the same, calibrated
    ece_at_end: float | None
    ece_per_frame: float | None
    at_part: dict[str, float]  # per cent of the clip played -> accuracy
    by_label: dict[str, dict[str, float | int | None]]
    confusion: dict[str, Any]  # labels, and counts of clips at their end: rows are the truth
    alarms: Alarms | None
    unreadable: tuple[str, ...] = ()
    further: dict[str, float | None] = field(default_factory=dict)  # name in METRICS -> its number

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"about": self.about} | values_of(self)


@dataclass(frozen=True, slots=True)
class StreamReport:
    """Scores on untrimmed videos, or streams of the synthetic world: the truth is known for each frame."""

    about: ClassVar[str] = "videos"
    fps: float | None  # of the source; None: they differ
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
    recall: float | None  # part of the true actions that have an event
    precision: float | None  # of the events
    delay_told: float | None  # median seconds from the true onset to the frame that gave the event
    delay_worst: float | None  # seconds, the longest of them
    delay_dated: float | None  # median seconds from the true onset to the event's own timestamp
    alarms: Alarms | None
    by_label: dict[str, dict[str, float | int | None]]
    unreadable: tuple[str, ...] = ()
    further: dict[str, float | None] = field(default_factory=dict)  # name in METRICS -> its number

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"about": self.about} | values_of(self)


def values_of(report: ClipReport | StreamReport) -> dict[str, Any]:
    """The fields of a report as plain values; those of ``METRICS`` stand beside the others."""
    values = asdict(report)
    further = values.pop("further")
    return values | further


@dataclass(frozen=True, slots=True)
class RepetitionReport:
    """How well repetitions are counted, in clips whose true number is known."""

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
        """Add one clip or video."""

    def get(self) -> float | None:
        """The score from 0 to 1; None: nothing was added yet."""


# Metrics that reports on clips and on videos show beside their fields: name -> class.
# A new metric is a class in metrics.py, or a file of its own, and a line here.
METRICS: dict[str, Callable[[], Metric]] = {}


def background_of(labels: Sequence[str], settings: EventSettings) -> tuple[str, ...]:
    """The labels that are no actions; the first one is that of time outside all segments."""
    known = tuple(label for label in settings.background if label in labels)
    return (*known, *(() if NOTHING in known else (NOTHING,)))


def truth_of(
    clip: Clip, timestamps: Iterable[float], labels: Sequence[str], settings: EventSettings
) -> tuple[str, ...]:
    """The true label of a clip at each time in seconds; an unknown background label becomes the model's own.

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
    """The segments of a clip that are actions, ordered by time."""
    return tuple(Segment(*segment) for segment in clip.segments if segment[2] not in background)


def true_labels(clips: Iterable[Clip]) -> set[str]:
    """The true labels of clips, without that of time outside of segments."""
    labels: set[str] = set()
    for clip in clips:
        if clip.label is not None:
            labels.add(clip.label)
        labels |= {label for _, _, label in clip.segments if label != NOTHING}
    return labels


def repetitions_of(clip: Clip) -> int | None:
    """The true number of repetitions in a clip; None: unknown."""
    return len(clip.repetitions or ()) or None


def playback_of(
    clip: Clip,
    timestamps: np.ndarray,
    probabilities: np.ndarray,
    labels: tuple[str, ...],
    settings: EventSettings,
) -> Playback:
    """The playback of a clip from (T,) seconds and (T, labels) probabilities, with the events of ``results()``."""
    background = background_of(labels, settings)
    times = timestamps.tolist()
    found = list(EventDetector(labels, settings).replay(times, probabilities))
    return Playback(
        name=str(clip.path),
        group=clip.group,
        label=clip.label,
        truth=truth_of(clip, times, labels, settings),
        timestamps=timestamps,
        probabilities=probabilities,
        actions=actions_of(clip, background),
        events=tuple(event for _, event in found),
        notified=tuple(times[frame] for frame, _ in found),
        repetitions=repetitions_of(clip),
    )


def clip_report(
    played: Sequence[Playback],
    labels: tuple[str, ...],
    background: Collection[str],
    unreadable: Sequence[str] = (),
) -> ClipReport:
    """The report on the clips of one label among ``played``."""
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
    for one, predicted in zip(clips, at_end, strict=True):
        calibration.update(float(one.probabilities[-1].max()), predicted == one.label)
    frames = _FrameScores(clips, labels, background)
    groups = [one.group for one in clips]
    ends, means = (
        [float(a == b) for a, b in zip(truth, predicted, strict=True)] for predicted in (at_end, clip_mean)
    )
    return ClipReport(
        clips=len(clips),
        groups=len(set(groups)),
        frames=sum(len(one.truth) for one in clips),
        at_end=mean_of(ends),
        at_end_interval=interval_of_mean(ends, groups),
        balanced=by_label.mean(),
        clip_mean=mean_of(means),
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
        alarms=alarms_of(clips, background),
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
    """The report on the videos among ``played``, in which the truth changes."""
    videos = [one for one in played if one.label is None]
    frames = _FrameScores(videos, labels, background)
    f1, onset = F1AtOverlap(background=background), OnsetDelay()
    edits = []
    for one in videos:
        found = sorted((e.started, e.timestamp, e.label) for e in one.events if isinstance(e, ActionEnded))
        f1.update(one.actions, found)
        edits.append(edit_score(one.actions, found))
        onset.update(one.actions, one.events, notified=one.notified)
    onsets = onset.get()
    return StreamReport(
        fps=fps,
        videos=len(videos),
        groups=len({one.group for one in videos}),
        seconds=float(sum(one.durations.sum() for one in videos)),
        frames=sum(len(one.truth) for one in videos),
        per_frame=frames.accuracy,
        per_frame_interval=frames.interval,
        balanced=frames.by_label.mean(),
        map=frames.mean_ap.get(),
        cap=frames.mean_ap.calibrated(),
        ece_per_frame=frames.calibration,
        edit=mean_of(edits),
        f1={f"{100 * overlap:.0f}": value for overlap, value in f1.get().items()},
        recall=onsets.recall,
        precision=onsets.precision,
        delay_told=onsets.notified_median,
        delay_worst=onsets.notified_worst,
        delay_dated=onsets.median,
        alarms=alarms_of(videos, background),
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
    """The report on counting; None where no true number is known, or the model does not count."""
    counted = [(one, one.repetitions, one.counted) for one in played]
    pairs = [
        (one.group, true, found) for one, true, found in counted if true is not None and found is not None
    ]
    if not pairs:
        return None
    error = RepetitionError()
    error.update([true for _, true, _ in pairs], [number for _, _, number in pairs])
    found = error.get()
    off = [float(abs(number - true)) for _, true, number in pairs]
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


def interval_of_mean(
    values: Sequence[float] | np.ndarray,
    groups: Sequence[str],
    statistic: Callable[[np.ndarray], Any] = np.mean,
) -> Interval | None:
    """The 95 % interval by bootstrap over groups; None: there are fewer than two."""
    return bootstrap_interval(values, groups, statistic) if len(set(groups)) > 1 else None


class _FrameScores:
    """The scores of single frames, which both reports have.

    Frames of background that the model has no label for cannot be predicted correctly: they are negatives for average
    precision, and left out of the other scores.
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
            known = np.array([true in labels for true in one.truth], bool)
            truth = [true for true in one.truth if true in labels]
            predicted = [label for label, kept in zip(one.predicted(labels), known, strict=True) if kept]
            hits = one.hits(labels)
            right.update(truth, predicted)
            self.by_label.update(truth, predicted)
            calibration.update(one.probabilities[known].max(1), hits)
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
    """Accuracy after the first 10, 20, ... 100 % of the frames of each clip, at least one."""
    found = {}
    for part in PARTS:
        accuracy = Accuracy()
        for one in clips:
            frames = math.ceil(len(one.truth) * part / 100)
            accuracy.update(str(one.label), label_of(one.probabilities[frames - 1], labels))
        if (value := accuracy.get()) is not None:
            found[str(part)] = value
    return found


def alarms_of(played: Sequence[Playback], background: Collection[str]) -> Alarms | None:
    """The events of these playbacks that are outside every action, in the time of background; None: there is none."""
    alarms = FalseAlarmsPerHour()
    for one in played:
        quiet = [true in background for true in one.truth]
        if one.label is not None and not any(quiet):
            continue  # the whole clip is an action, so there is no time without one
        outside = [
            event
            for event in one.events
            if isinstance(event, ActionStarted)
            and not any(
                action.start - alarms.tolerance <= event.timestamp <= action.end for action in one.actions
            )
        ]
        alarms.update([], outside, float(one.durations[quiet].sum()))
    rate = alarms.get()
    if rate is None:
        return None
    low, high = poisson_interval(alarms.count)
    return Alarms(alarms.count, alarms.hours, rate, (low / alarms.hours, high / alarms.hours))

"""Evaluation of a recognizer on files or the synthetic world, through ``results()``: the loop that serves cameras."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, TypeAlias

import numpy as np

from streamrec.data.clips import Clip
from streamrec.errors import DataError, SourceError
from streamrec.evaluation.metrics import mean_of, segments_of
from streamrec.evaluation.perturbations import Concatenated, Dropping, Thinned
from streamrec.evaluation.reports import (
    NOTHING,
    ClipReport,
    Interval,
    Playback,
    RepetitionReport,
    StreamReport,
    actions_of,
    background_of,
    clip_report,
    interval_of_mean,
    label_of,
    repetition_report,
    repetitions_of,
    stream_report,
    true_labels,
    truth_of,
    values_of,
)
from streamrec.pipeline.loop import results
from streamrec.pipeline.senses import fitted_to, sense_of
from streamrec.runtime.recognizer import Recognizer
from streamrec.sources.health import amiss
from streamrec.sources.open import recording
from streamrec.sources.synthetic import ACTIONS, UNSEEN, World, WorldSettings
from streamrec.types import SOUND, ActionStarted, Event, Result, Source

Report: TypeAlias = ClipReport | StreamReport | RepetitionReport
OnProgress: TypeAlias = Callable[[int], None]  # called with the number of clips that are done
RELABEL = "; --relabel OLD=NEW gives them other names"


@dataclass(frozen=True, slots=True)
class CarriedReport:
    """Accuracy on clips played as one endless stream, against each clip from the initial state."""

    about: ClassVar[str] = "one endless stream"
    clips: int
    seconds: float  # how long the stream is
    from_zero: float | None  # accuracy at the end of each clip, from the initial state
    carried: float | None  # the same, the state carried over hard cuts
    difference: float | None  # carried - from_zero
    difference_interval: Interval | None  # 95 %, by bootstrap over groups, of the paired difference
    agreement: float | None  # part of the clips with the same prediction at the end

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"about": self.about} | asdict(self)


@dataclass(frozen=True, slots=True)
class CarriedVideosReport:
    """Scores on untrimmed videos played as one endless stream, against each video from the initial state."""

    about: ClassVar[str] = "one endless stream of videos"
    videos: int
    seconds: float  # how long the stream is
    from_zero: StreamReport  # each video from the initial state
    carried: StreamReport  # the same, the state and the events carried over hard cuts
    difference: float | None  # carried - from_zero, accuracy per frame
    difference_interval: Interval | None  # 95 %, by bootstrap over groups; videos are paired

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        both = {"from_zero": values_of(self.from_zero), "carried": values_of(self.carried)}
        return {"about": self.about} | asdict(self) | both


@dataclass(frozen=True, slots=True)
class PerturbedScore:
    """The accuracy of a recognizer under one perturbation of the files."""

    source_fps: float | None  # frame rate to which the files are thinned; None: as they are
    drop: float  # part of the frames that is lost, 0 to 1
    looked_at: float  # processed frames a second, over all files
    at_end: float | None  # accuracy at the end of the clips of one label
    per_frame: float | None


@dataclass(frozen=True, slots=True)
class RobustnessReport:
    """The accuracy on the same files at other frame rates, and with lost frames."""

    about: ClassVar[str] = "robustness"
    conditions: tuple[PerturbedScore, ...]
    worst_loss: float | None  # best - worst at_end; where there are no clips of one label, of per_frame
    unreadable: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"about": self.about} | asdict(self)


class _Collector:
    """The results of a source, or of a part of it, on its own clock."""

    def __init__(self) -> None:
        self.results: list[Result] = []
        self.events: list[Event] = []
        self.notified: list[float] = []
        self.counted: int | None = None

    def add(self, result: Result) -> None:
        """Add the prediction for a frame; its events are added by ``add_event``."""
        if not result.repeated:
            self.results.append(_without_image(result))
        self.counted = result.repetitions

    def add_event(self, event: Event, notified: float) -> None:
        """Add an event, and the timestamp in seconds of the frame that gave it."""
        self.events.append(event)
        self.notified.append(notified)

    def playback(self, recognizer: Recognizer, *, name: str, group: str, clip: Clip | None) -> Playback:
        """The playback with the truth: the clip's, or each frame's own where ``clip`` is None."""
        background = background_of(recognizer.labels, recognizer.config.events)
        times = np.array([result.frame.timestamp for result in self.results])
        if clip is None:
            truth = tuple(result.frame.truth or NOTHING for result in self.results)
            actions = tuple(segments_of(truth, times, background=background))
        else:
            truth = truth_of(clip, times.tolist(), recognizer.labels, recognizer.config.events)
            actions = actions_of(clip, background)
        return Playback(
            name=name,
            group=group,
            label=None if clip is None else clip.label,
            truth=truth,
            timestamps=times,
            probabilities=np.stack([result.prediction.probabilities for result in self.results]),
            strangeness=strangeness_of(self.results),
            actions=actions,
            events=tuple(self.events),
            notified=tuple(self.notified),
            repetitions=None if clip is None else repetitions_of(clip),
            counted=self.counted,
        )


def play(
    recognizer: Recognizer,
    source: Source,
    *,
    name: str,
    group: str,
    clip: Clip | None = None,
) -> Playback:
    """Play a source through ``results()``; the truth is the clip's, or each frame's own where ``clip`` is None."""
    collector = _Collector()
    for result in results(source, recognizer):
        collector.add(result)
        for event in result.events:
            collector.add_event(event, result.frame.timestamp)
    return collector.playback(recognizer, name=name, group=group, clip=clip)


def strangeness_of(found: Iterable[Result]) -> np.ndarray | None:
    """(T,) float32 out-of-distribution scores of the frames; None: the model has none."""
    scores = [result.prediction.strangeness for result in found]
    return None if None in scores else np.array(scores, np.float32)


def play_clips(
    recognizer: Recognizer,
    clips: Iterable[Clip],
    *,
    through: Callable[[Source], Source] = lambda source: source,
    on_progress: OnProgress = lambda done: None,
) -> tuple[list[Playback], tuple[str, ...]]:
    """Play each clip from the initial state; returns playbacks, and messages about unreadable clips.

    A clip that is cut off or damaged gives both. ``through`` wraps the file's source. Labels that the model does not
    know raise ``DataError``.
    """
    clips = list(clips)
    check_labels(recognizer, true_labels(clips))
    played: list[Playback] = []
    unreadable: list[str] = []
    for done, clip in enumerate(clips, start=1):
        try:
            source = through(recording(clip.path, sense=sense_of(recognizer)))
            played.append(play(recognizer, source, name=str(clip.path), group=clip.group, clip=clip))
            if (why := amiss(source)) is not None:
                unreadable.append(f"{source.name} in part: {why}")
        except SourceError as error:
            unreadable.append(str(error))
        finally:
            on_progress(done)
    return played, tuple(unreadable)


def evaluate_clips(
    recognizer: Recognizer, clips: Iterable[Clip], *, on_progress: OnProgress = lambda done: None
) -> list[Report]:
    """Play each clip; reports on clips of one label, on untrimmed ones and on repetitions, where there are any."""
    clips = list(clips)
    played, unreadable = play_clips(recognizer, clips, on_progress=on_progress)
    return reports_of(played, recognizer, unreadable)


def reports_of(
    played: Sequence[Playback], recognizer: Recognizer, unreadable: tuple[str, ...] = ()
) -> list[Report]:
    """The reports on these playbacks; the first of them lists the unreadable clips."""
    background = background_of(recognizer.labels, recognizer.config.events)
    found: list[Report] = []
    if any(one.label is not None for one in played) or not played:
        found.append(clip_report(played, recognizer.labels, background, unreadable))
    if any(one.label is None for one in played):
        left = () if found else unreadable
        found.append(stream_report(played, recognizer.labels, background, left))
    repetitions = repetition_report(played)
    return found if repetitions is None else [*found, repetitions]


def evaluate_carried(
    recognizer: Recognizer,
    clips: Iterable[Clip],
    *,
    seed: int = 0,
    on_progress: OnProgress = lambda done: None,
) -> list[CarriedReport | CarriedVideosReport]:
    """Play the clips from zero, and as one endless stream: a report on those of one label, one on the others.

    The order in the stream is drawn with ``seed``: in the order of a folder neighbours have the same label, and a state
    that only remembers would score well.
    """
    clips = list(clips)
    if not clips:
        raise DataError("there are no clips, so none can be played as one stream")
    from_zero, _ = play_clips(recognizer, clips, on_progress=on_progress)
    before = {one.name: one for one in from_zero}
    order = np.random.default_rng(seed).permutation(len(clips))
    readable = [clip for clip in (clips[n] for n in order) if str(clip.path) in before]
    carried, seconds = _play_as_one(
        recognizer, readable, on_progress=lambda begun: on_progress(len(clips) + begun)
    )
    both = [(before[one.name], one) for one in carried]
    of_one_label = [pair for pair in both if pair[0].label is not None]
    videos = [pair for pair in both if pair[0].label is None]
    found: list[CarriedReport | CarriedVideosReport] = []
    if of_one_label or not videos:
        found.append(_carried_report(of_one_label, recognizer.labels, seconds))
    if videos:
        found.append(_carried_videos_report(videos, recognizer, seconds))
    return found


def _part(clip: Clip, recognizer: Recognizer) -> Source:
    """A clip as a part of a stream; of sound in hops, whose rates may differ from clip to clip."""
    source = recording(clip.path, sense=sense_of(recognizer))
    return fitted_to(source, recognizer) if sense_of(recognizer) == SOUND else source


def _play_as_one(
    recognizer: Recognizer, clips: Sequence[Clip], *, on_progress: OnProgress
) -> tuple[list[Playback], float]:
    """Play clips as one stream; returns the playback of each clip on its own clock, and the seconds of the stream.

    An event belongs to the clip whose frame gave it, though its timestamp may be before; an action that runs over a cut
    ends there.
    """
    stream = Concatenated([_part(clip, recognizer) for clip in clips])
    parts: dict[int, _Collector] = {}
    running: dict[str, int] = {}  # label -> the clip in which its action started
    now = 0.0
    for result in results(stream, recognizer):
        now = result.frame.timestamp
        part = stream.part_at(now)
        if part not in parts:
            parts[part] = _Collector()
            on_progress(len(parts))
        local = stream.time_in(part, now)
        parts[part].add(replace(result, frame=replace(result.frame, timestamp=local)))
        for event in result.events:
            if isinstance(event, ActionStarted):
                running[event.label] = part
                own = replace(event, timestamp=stream.time_in(part, event.timestamp))
                parts[part].add_event(own, local)
            else:
                begun = running.pop(event.label)
                last = parts[begun].results[-1].frame.timestamp
                started, ended, notified = (
                    min(stream.time_in(begun, time), last) for time in (event.started, event.timestamp, now)
                )
                parts[begun].add_event(replace(event, started=started, timestamp=ended), notified)
    played = [
        parts[n].playback(recognizer, name=str(clip.path), group=clip.group, clip=clip)
        for n, clip in enumerate(clips)
        if n in parts
    ]
    return played, now


def _carried_report(
    both: Sequence[tuple[Playback, Playback]], labels: tuple[str, ...], seconds: float
) -> CarriedReport:
    predicted = [tuple(label_of(one.probabilities[-1], labels) for one in pair) for pair in both]
    right = np.array(
        [(a == one.label, b == one.label) for (a, b), (one, _) in zip(predicted, both, strict=True)], float
    ).reshape(-1, 2)
    zero, carried = (float(part.mean()) if len(right) else None for part in right.T)
    differences = right[:, 1] - right[:, 0]
    return CarriedReport(
        clips=len(both),
        seconds=seconds,
        from_zero=zero,
        carried=carried,
        difference=float(differences.mean()) if len(right) else None,
        difference_interval=interval_of_mean(differences, [one.group for one, _ in both]),
        agreement=float(np.mean([a == b for a, b in predicted])) if predicted else None,
    )


def _carried_videos_report(
    both: Sequence[tuple[Playback, Playback]], recognizer: Recognizer, seconds: float
) -> CarriedVideosReport:
    background = background_of(recognizer.labels, recognizer.config.events)
    from_zero, carried = (
        stream_report(played, recognizer.labels, background) for played in zip(*both, strict=True)
    )
    hits = [[one.hits(recognizer.labels) for one in pair] for pair in both]
    counts = np.array([[(sum(of), len(of)) for of in pair] for pair in hits], float)  # (videos, 2, 2)
    is_known = counts[:, :, 1].sum() > 0  # some frame has a label of the model
    groups = [one.group for one, _ in both]
    return CarriedVideosReport(
        videos=len(both),
        seconds=seconds,
        from_zero=from_zero,
        carried=carried,
        difference=_gain(counts) if is_known else None,
        difference_interval=interval_of_mean(counts, groups, _gain) if is_known else None,
    )


def _gain(counts: np.ndarray) -> float:
    """(videos, 2, 2): from zero and carried, right frames and all frames -> gain in accuracy when carried."""
    right, frames = counts.sum(0).T
    before, after = right / np.maximum(frames, 1.0)
    return float(after - before)


def evaluate_robustness(
    recognizer: Recognizer,
    clips: Iterable[Clip],
    *,
    source_fps: Sequence[float | None] = (None,),
    drops: Sequence[float] = (0.0,),
    seed: int = 0,
    on_progress: OnProgress = lambda done: None,
) -> RobustnessReport:
    """Play the clips at each frame rate of the source (None: as they are), with each part of the frames lost."""
    clips = list(clips)
    scores: list[PerturbedScore] = []
    unreadable: tuple[str, ...] = ()
    for rate in source_fps:
        for drop in drops:
            before = len(scores) * len(clips)

            def through(source: Source, rate: float | None = rate, drop: float = drop) -> Source:
                thinned = source if rate is None else Thinned(source, rate)
                return Dropping(thinned, drop, seed=seed) if drop else thinned

            def over_all(done: int, before: int = before) -> None:
                on_progress(before + done)

            played, unreadable = play_clips(recognizer, clips, through=through, on_progress=over_all)
            ends = [label_of(p.probabilities[-1], recognizer.labels) == p.label for p in played if p.label]
            frames = [hit for one in played for hit in one.hits(recognizer.labels)]
            seconds = sum(float(one.durations.sum()) for one in played)
            processed = sum(len(one.truth) for one in played) / seconds if seconds else 0.0
            scores.append(PerturbedScore(rate, drop, processed, mean_of(ends), mean_of(frames)))
    numbers = [score.at_end for score in scores if score.at_end is not None]
    numbers = numbers or [score.per_frame for score in scores if score.per_frame is not None]
    return RobustnessReport(tuple(scores), max(numbers) - min(numbers) if numbers else None, unreadable)


def evaluate_world(
    recognizer: Recognizer,
    *,
    fps: float = 30.0,
    streams: int = 6,
    seconds: float = 60.0,
    first_seed: int = UNSEEN,
    on_progress: OnProgress = lambda done: None,
) -> StreamReport:
    """Play streams of the synthetic world, each with bodies, cameras and rooms that no training uses."""
    check_labels(recognizer, ACTIONS, advice="")
    played = []
    for stream in range(streams):
        seed = first_seed + stream
        world = World(WorldSettings(seed=seed, fps=fps, seconds=seconds))
        name = f"world {seed}"
        played.append(play(recognizer, world, name=name, group=name))
        on_progress(stream + 1)
    background = background_of(recognizer.labels, recognizer.config.events)
    return stream_report(played, recognizer.labels, background, fps=fps)


def _without_image(result: Result) -> Result:
    """Hours of images would not fit into memory."""
    return replace(result, frame=replace(result.frame, image=np.empty((0, 0, 3), np.uint8)))


def check_labels(recognizer: Recognizer, labels: Iterable[str], advice: str = RELABEL) -> None:
    """Raise ``DataError`` for labels that the model does not have; ``advice`` ends its sentence."""
    unknown = sorted(set(labels) - set(recognizer.labels))
    if unknown:
        raise DataError(
            f"the model {recognizer.name} does not know {', '.join(unknown)}; it knows "
            f"{', '.join(recognizer.labels)}{advice}"
        )

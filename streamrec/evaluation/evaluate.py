"""Measure a recognizer on files, or the synthetic world, played through ``results()``: the loop that serves cameras."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, TypeAlias

import numpy as np

from streamrec.data.clips import Clip
from streamrec.errors import DataError, SourceError
from streamrec.evaluation.metrics import segments_of
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
    hits_of,
    interval_of_mean,
    label_of,
    repetition_report,
    repetitions_of,
    stream_report,
    true_labels,
    truth_of,
)
from streamrec.pipeline.loop import results
from streamrec.runtime.recognizer import Recognizer
from streamrec.sources.files import FileSource
from streamrec.sources.health import amiss
from streamrec.sources.synthetic import ACTIONS, UNSEEN, World, WorldSettings
from streamrec.types import ActionStarted, Event, Result, Source

Report: TypeAlias = ClipReport | StreamReport | RepetitionReport
Tell: TypeAlias = Callable[[int], None]
RELABEL = "; --relabel OLD=NEW gives them other names"


@dataclass(frozen=True, slots=True)
class CarriedReport:
    """Clips as one endless stream, against each from the initial state: what old memory costs."""

    about: ClassVar[str] = "one endless stream"
    clips: int
    seconds: float  # how long the stream is
    from_zero: float | None  # accuracy at the end of each clip, from the initial state
    carried: float | None  # the same, the state carried over hard cuts
    difference: float | None  # carried - from_zero
    difference_interval: Interval | None  # 95 %, by bootstrap over groups, of the paired difference
    agreement: float | None  # part of the clips of which both say the same at the end

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"about": self.about} | asdict(self)


@dataclass(frozen=True, slots=True)
class CarriedVideosReport:
    """Untrimmed videos as one endless stream, cut back into the videos, against each from the initial state."""

    about: ClassVar[str] = "one endless stream of videos"
    videos: int
    seconds: float  # how long the stream is
    from_zero: StreamReport  # each video from the initial state
    carried: StreamReport  # the same, the state and the events carried over hard cuts
    difference: float | None  # carried - from_zero, of the frames that are right
    difference_interval: Interval | None  # 95 %, by bootstrap over groups; videos are paired

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"about": self.about} | asdict(self)


@dataclass(frozen=True, slots=True)
class Condition:
    """How a recognizer does under one condition."""

    source_fps: float | None  # to which the files were thinned; None: as they are
    drop: float  # part of the frames that was lost
    looked_at: float  # frames a second that the recognizer saw, over all files
    at_end: float | None  # accuracy at the end of the clips of one label
    per_frame: float | None


@dataclass(frozen=True, slots=True)
class RobustnessReport:
    """The same files at other frame rates, and with frames lost."""

    about: ClassVar[str] = "robustness"
    conditions: tuple[Condition, ...]
    worst_loss: float | None  # best - worst at_end; where there are no clips of one label, of per_frame
    unreadable: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"about": self.about} | asdict(self)


class _Heard:
    """What ``results()`` said of a source, or of a part of it, on its own clock."""

    def __init__(self) -> None:
        self.seen: list[Result] = []
        self.events: list[Event] = []
        self.told: list[float] = []
        self.counted: int | None = None

    def add(self, result: Result) -> None:
        """Take in what is said of a frame; what began or ended with it is ``hear``'s."""
        if not result.repeated:
            self.seen.append(_without_picture(result))
        self.counted = result.repetitions

    def hear(self, event: Event, told: float) -> None:
        """Take in an event, and the timestamp of the frame that gave it."""
        self.events.append(event)
        self.told.append(told)

    def playback(self, recognizer: Recognizer, *, name: str, group: str, clip: Clip | None) -> Playback:
        """All of it beside the truth: the clip's, or each frame's own where there is none."""
        background = background_of(recognizer.labels, recognizer.config.events)
        times = np.array([result.frame.timestamp for result in self.seen])
        if clip is None:
            truth = tuple(result.frame.truth or NOTHING for result in self.seen)
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
            probabilities=np.stack([result.prediction.probabilities for result in self.seen]),
            strangeness=strangeness_of(self.seen),
            actions=actions,
            events=tuple(self.events),
            told=tuple(self.told),
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
    """Play a source through ``results()``. The truth is the clip's, or each frame's own where there is none."""
    heard = _Heard()
    for result in results(source, recognizer):
        heard.add(result)
        for event in result.events:
            heard.hear(event, result.frame.timestamp)
    return heard.playback(recognizer, name=name, group=group, clip=clip)


def strangeness_of(seen: Iterable[Result]) -> np.ndarray | None:
    """(T,) of the pictures, as the model says it; None where it does not know."""
    said = [result.prediction.strangeness for result in seen]
    return None if None in said else np.array(said, np.float32)


def play_clips(
    recognizer: Recognizer,
    clips: Iterable[Clip],
    *,
    through: Callable[[Source], Source] = lambda source: source,
    tell: Tell = lambda done: None,
) -> tuple[list[Playback], tuple[str, ...]]:
    """Play each clip from the initial state; a clip that cannot be read gives its error's words instead.

    One that was cut off or damaged gives both: what came of it, and words.

    ``through`` wraps the file's source. Labels that the model does not know raise ``DataError``.
    """
    clips = list(clips)
    check_labels(recognizer, true_labels(clips))
    played: list[Playback] = []
    unreadable: list[str] = []
    for done, clip in enumerate(clips, start=1):
        try:
            source = through(FileSource(clip.path))
            played.append(play(recognizer, source, name=str(clip.path), group=clip.group, clip=clip))
            if (why := amiss(source)) is not None:
                unreadable.append(f"{source.name} in part: {why}")
        except SourceError as error:
            unreadable.append(str(error))
        finally:
            tell(done)
    return played, tuple(unreadable)


def evaluate_clips(
    recognizer: Recognizer, clips: Iterable[Clip], *, tell: Tell = lambda done: None
) -> list[Report]:
    """Play each clip and report: on those of one label, on untrimmed ones, on repetitions, where there are any."""
    clips = list(clips)
    played, unreadable = play_clips(recognizer, clips, tell=tell)
    return reports_of(played, recognizer, unreadable)


def reports_of(
    played: Sequence[Playback], recognizer: Recognizer, unreadable: tuple[str, ...] = ()
) -> list[Report]:
    """The reports on what was played; the first of them names what could not be read."""
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
    recognizer: Recognizer, clips: Iterable[Clip], *, seed: int = 0, tell: Tell = lambda done: None
) -> list[CarriedReport | CarriedVideosReport]:
    """Play the clips once from zero, once as one endless stream: a report on those of one label, one on the others.

    In the stream they come in an order drawn with ``seed``: in the order of a folder neighbours have the same
    label, and a state that only remembers would look good.
    """
    clips = list(clips)
    if not clips:
        raise DataError("there are no clips, so none can be played as one stream")
    from_zero, _ = play_clips(recognizer, clips, tell=tell)
    before = {one.name: one for one in from_zero}
    order = np.random.default_rng(seed).permutation(len(clips))
    readable = [clip for clip in (clips[n] for n in order) if str(clip.path) in before]
    carried, seconds = _play_as_one(recognizer, readable, tell=lambda begun: tell(len(clips) + begun))
    both = [(before[one.name], one) for one in carried]
    of_one_label = [pair for pair in both if pair[0].label is not None]
    videos = [pair for pair in both if pair[0].label is None]
    found: list[CarriedReport | CarriedVideosReport] = []
    if of_one_label or not videos:
        found.append(_carried_report(of_one_label, recognizer.labels, seconds))
    if videos:
        found.append(_carried_videos_report(videos, recognizer, seconds))
    return found


def _play_as_one(
    recognizer: Recognizer, clips: Sequence[Clip], *, tell: Tell
) -> tuple[list[Playback], float]:
    """Play clips as one stream and cut what was said back into them, each on its own clock; and how long it is.

    An event is of the clip in which it was told, though it be dated before; what runs on over a cut ends there.
    """
    stream = Concatenated([FileSource(clip.path) for clip in clips])
    heard: dict[int, _Heard] = {}
    running: dict[str, int] = {}  # label -> the clip in which its action was told as started
    now = 0.0
    for result in results(stream, recognizer):
        now = result.frame.timestamp
        part = stream.part_at(now)
        if part not in heard:
            heard[part] = _Heard()
            tell(len(heard))
        local = stream.time_in(part, now)
        heard[part].add(replace(result, frame=replace(result.frame, timestamp=local)))
        for event in result.events:
            if isinstance(event, ActionStarted):
                running[event.label] = part
                heard[part].hear(replace(event, timestamp=stream.time_in(part, event.timestamp)), local)
            else:
                begun = running.pop(event.label)
                last = heard[begun].seen[-1].frame.timestamp
                started, ended, told = (
                    min(stream.time_in(begun, time), last) for time in (event.started, event.timestamp, now)
                )
                heard[begun].hear(replace(event, started=started, timestamp=ended), told)
    played = [
        heard[n].playback(recognizer, name=str(clip.path), group=clip.group, clip=clip)
        for n, clip in enumerate(clips)
        if n in heard
    ]
    return played, now


def _carried_report(
    both: Sequence[tuple[Playback, Playback]], labels: tuple[str, ...], seconds: float
) -> CarriedReport:
    said = [tuple(label_of(one.probabilities[-1], labels) for one in pair) for pair in both]
    right = np.array(
        [(a == one.label, b == one.label) for (a, b), (one, _) in zip(said, both, strict=True)], float
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
        agreement=float(np.mean([a == b for a, b in said])) if said else None,
    )


def _carried_videos_report(
    both: Sequence[tuple[Playback, Playback]], recognizer: Recognizer, seconds: float
) -> CarriedVideosReport:
    background = background_of(recognizer.labels, recognizer.config.events)
    from_zero, carried = (
        stream_report(played, recognizer.labels, background) for played in zip(*both, strict=True)
    )
    hits = [[hits_of(one, recognizer.labels) for one in pair] for pair in both]
    counts = np.array([[(sum(of), len(of)) for of in pair] for pair in hits], float)  # (videos, 2, 2)
    sayable = counts[:, :, 1].sum() > 0
    groups = [one.group for one, _ in both]
    return CarriedVideosReport(
        videos=len(both),
        seconds=seconds,
        from_zero=from_zero,
        carried=carried,
        difference=_gain(counts) if sayable else None,
        difference_interval=interval_of_mean(counts, groups, _gain) if sayable else None,
    )


def _gain(counts: np.ndarray) -> float:
    """(videos, 2, 2) frames right, and all, from zero and carried -> by how much more are right when carried."""
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
    tell: Tell = lambda done: None,
) -> RobustnessReport:
    """Play the clips at each frame rate of the source (None: as they are) with each part of the frames lost."""
    clips = list(clips)
    conditions: list[Condition] = []
    unreadable: tuple[str, ...] = ()
    for rate in source_fps:
        for drop in drops:
            before = len(conditions) * len(clips)

            def through(source: Source, rate: float | None = rate, drop: float = drop) -> Source:
                thinned = source if rate is None else Thinned(source, rate)
                return Dropping(thinned, drop, seed=seed) if drop else thinned

            def told(done: int, before: int = before) -> None:
                tell(before + done)

            played, unreadable = play_clips(recognizer, clips, through=through, tell=told)
            ends = [label_of(p.probabilities[-1], recognizer.labels) == p.label for p in played if p.label]
            frames = [hit for one in played for hit in hits_of(one, recognizer.labels)]
            seconds = sum(float(one.lasts.sum()) for one in played)
            looked_at = sum(len(one.truth) for one in played) / seconds if seconds else 0.0
            conditions.append(Condition(rate, drop, looked_at, _part(ends), _part(frames)))
    scores = [c.at_end for c in conditions if c.at_end is not None]
    scores = scores or [c.per_frame for c in conditions if c.per_frame is not None]
    return RobustnessReport(tuple(conditions), max(scores) - min(scores) if scores else None, unreadable)


def evaluate_world(
    recognizer: Recognizer,
    *,
    fps: float = 30.0,
    streams: int = 6,
    seconds: float = 60.0,
    first_seed: int = UNSEEN,
    tell: Tell = lambda done: None,
) -> StreamReport:
    """Play streams of the synthetic world, each with bodies, cameras and rooms that were never trained on."""
    check_labels(recognizer, ACTIONS, advice="")
    played = []
    for stream in range(streams):
        seed = first_seed + stream
        world = World(WorldSettings(seed=seed, fps=fps, seconds=seconds))
        name = f"world {seed}"
        played.append(play(recognizer, world, name=name, group=name))
        tell(stream + 1)
    background = background_of(recognizer.labels, recognizer.config.events)
    return stream_report(played, recognizer.labels, background, fps=fps)


def _without_picture(result: Result) -> Result:
    """Hours of pictures would not fit into memory."""
    return replace(result, frame=replace(result.frame, image=np.empty((0, 0, 3), np.uint8)))


def _part(right: Sequence[bool]) -> float | None:
    return sum(right) / len(right) if right else None


def check_labels(recognizer: Recognizer, labels: Iterable[str], advice: str = RELABEL) -> None:
    """Raise ``DataError`` where labels are none of the model's; ``advice`` ends its sentence."""
    unknown = sorted(set(labels) - set(recognizer.labels))
    if unknown:
        raise DataError(
            f"the model {recognizer.name} does not know {', '.join(unknown)}; it knows "
            f"{', '.join(recognizer.labels)}{advice}"
        )

"""Measure a recognizer on files, or the synthetic world, played through ``results()``: the loop that serves cameras."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from streamrec.errors import DataError, SourceError
from streamrec.metrics import Accuracy, F1AtOverlap, OnsetDelay, PerClassAccuracy, edit_score, segments_of
from streamrec.pipeline import results
from streamrec.recognizer import Recognizer
from streamrec.sources import FileSource
from streamrec.synthetic import ACTIONS, UNSEEN, World, WorldSettings
from streamrec.train.data import Clip
from streamrec.types import ActionEnded, ActionStarted, Event


@dataclass(frozen=True, slots=True)
class ClipReport:
    """How a recognizer does on clips of one label each, every clip from the initial state."""

    clips: int
    frames: int
    at_end: float | None  # accuracy of the last prediction of each clip
    per_frame: float | None
    at_end_by_label: dict[str, float] = field(default_factory=dict)
    unreadable: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class StreamReport:
    """How a recognizer does on long streams with a truth for each frame. Scores from 0 to 1, delays in seconds."""

    fps: float  # of the source
    seconds: float
    frames: int
    per_frame: float | None
    edit: float  # segmental edit score of the events against the truth's actions, mean over streams
    f1: dict[str, float | None]  # segmental F1 at overlap 10, 25, 50 %
    recall: float | None  # of the actions, found by an event
    precision: float | None  # of the events
    delay_told: float | None  # median, from the true onset to the frame that told the event
    delay_dated: float | None  # median, from the true onset to the timestamp that the event carries
    per_frame_by_label: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def evaluate_clips(
    recognizer: Recognizer, clips: Iterable[Clip], *, tell: Callable[[int], None] = lambda done: None
) -> ClipReport:
    """Play each clip; a clip that cannot be read is named in the report and passed over."""
    clips = list(clips)
    _check_labels(recognizer, {clip.label for clip in clips})
    at_end, per_frame, by_label = Accuracy(), Accuracy(), PerClassAccuracy()
    unreadable: list[str] = []
    count = frames = 0
    for done, clip in enumerate(clips, start=1):
        try:
            said = [r.prediction.label for r in results(FileSource(clip.path), recognizer)]
        except SourceError as error:
            unreadable.append(str(error))
            continue
        finally:
            tell(done)
        count, frames = count + 1, frames + len(said)
        per_frame.update([clip.label] * len(said), said)
        at_end.update(clip.label, said[-1])
        by_label.update(clip.label, said[-1])
    return ClipReport(
        clips=count,
        frames=frames,
        at_end=at_end.get(),
        per_frame=per_frame.get(),
        at_end_by_label={str(label): value for label, value in (by_label.get() or {}).items()},
        unreadable=tuple(unreadable),
    )


def evaluate_world(
    recognizer: Recognizer,
    *,
    fps: float = 30.0,
    streams: int = 6,
    seconds: float = 60.0,
    first_seed: int = UNSEEN,
    tell: Callable[[int], None] = lambda done: None,
) -> StreamReport:
    """Play streams of the synthetic world, each with bodies, cameras and rooms that were never trained on."""
    _check_labels(recognizer, set(ACTIONS))
    background = recognizer.config.events.background
    per_frame, by_label, f1, onset = (
        Accuracy(),
        PerClassAccuracy(),
        F1AtOverlap(background=background),
        OnsetDelay(),
    )
    edits, frames = [], 0
    for stream in range(streams):
        world = World(WorldSettings(seed=first_seed + stream, fps=fps, seconds=seconds))
        truth, said, times = [], [], []
        events: list[Event] = []
        told: list[float] = []
        for result in results(world, recognizer):
            truth.append(result.frame.truth)
            said.append(result.prediction.label)
            times.append(result.frame.timestamp)
            events += result.events
            told += [result.frame.timestamp] * len(result.events)
        frames += len(said)
        per_frame.update(truth, said)
        by_label.update(truth, said)
        actions = segments_of(truth, times, background=background)
        found = [(e.started, e.timestamp, e.label) for e in events if isinstance(e, ActionEnded)]
        f1.update(actions, found)
        edits.append(edit_score(actions, sorted(found)))
        starts = [(e, t) for e, t in zip(events, told, strict=True) if isinstance(e, ActionStarted)]
        onset.update(actions, [e for e, _ in starts], told=[t for _, t in starts])
        tell(stream + 1)
    onsets = onset.get()
    return StreamReport(
        fps=fps,
        seconds=streams * seconds,
        frames=frames,
        per_frame=per_frame.get(),
        edit=sum(edits) / len(edits),
        f1={f"{100 * overlap:.0f}": value for overlap, value in (f1.get() or {}).items()},
        recall=onsets.recall,
        precision=onsets.precision,
        delay_told=onsets.told_median,
        delay_dated=onsets.median,
        per_frame_by_label={str(label): value for label, value in (by_label.get() or {}).items()},
    )


def _check_labels(recognizer: Recognizer, labels: set[str]) -> None:
    unknown = sorted(labels - set(recognizer.labels))
    if unknown:
        raise DataError(
            f"the model {recognizer.name} does not know {', '.join(unknown)}; it knows {', '.join(recognizer.labels)}"
        )

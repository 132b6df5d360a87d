"""What do ten clicks do to a camera that cries wolf? `python benchmarks/corrections.py FOLDER --clips DATA/urfall`

Drawn cameras, each one place and one figure that lives there: it does nothing of what the model reports, so that every
event is false. Each event gets a click, "wrong, nothing happened", until ten are given; thresholds move at each. Then
the model learns from them. The false events an hour are counted on what the camera shows afterwards, beside those of
the model without corrections on the same frames.

Recall is counted on clips of true actions (a folder with an index.csv of clip and label, or segments) with the model
and thresholds of each camera, beside those without corrections.

What the model says, and what its last layer reads, is kept in FOLDER: the same command goes on where it was.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from streamrec import Frame, Prediction, Recognizer, World, WorldSettings
from streamrec.evaluation.intervals import poisson_interval, wilson_interval
from streamrec.events.detector import EventSettings
from streamrec.events.tracker import EventTracker
from streamrec.outputs.history.records import Entry, new_id
from streamrec.pipeline.loop import results
from streamrec.runtime.recognizer import RecognizerWrapper
from streamrec.sources.files import FileSource
from streamrec.sources.synthetic import UNSEEN
from streamrec.teach.corrections.corrector import Corrections
from streamrec.teach.corrections.lessons import Lesson
from streamrec.teach.corrections.records import Verdict
from streamrec.teach.corrections.store import CorrectionStore
from streamrec.types import ActionEnded, ActionStarted, Source

FIRST_SEED = UNSEEN + 90_000
QUIET = ("idle", "walk", "wave", "clap", "squat", "jump")  # of a figure: neither a fall nor a punch
BLANK = np.zeros((2, 2, 3), np.uint8)


def main() -> None:
    """Draw and play what is missing, click, learn, count, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="for the predictions; some may be there already")
    parser.add_argument("--model", default="fight")
    parser.add_argument("--cameras", type=int, default=8, help="that are drawn; those that cry wolf count")
    parser.add_argument("--minutes", type=float, default=6.0, help="of each camera")
    parser.add_argument("--clicks", type=int, default=10)
    parser.add_argument(
        "--least", type=float, default=60.0, help="false events an hour of one that cries wolf"
    )
    parser.add_argument("--clips", type=Path, help="a folder of true actions, with an index.csv")
    parser.add_argument("--label", help="in the index: the clips with this label; else those with segments")
    parser.add_argument("--most", type=int, default=40, help="clips, evenly")
    parser.add_argument("--json", type=Path, help="a file for the numbers")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    recognizer = Recognizer.load(options.model, threads=1)
    clips = [] if options.clips is None else list(clips_of(options, recognizer))
    rows = []
    for number in range(options.cameras):
        played = camera_of(options, recognizer, FIRST_SEED + number)
        row = judged(played, recognizer, clips, options)
        if row is None:
            print(f"camera {number}: {rate(played, recognizer):.0f} false events an hour: not often enough")
            continue
        rows.append(row)
        print(sentence_of(number, row), flush=True)
    if rows:
        print(summary_of(rows))
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


@dataclass(frozen=True, eq=False)
class Played:
    """What a model said of a source, frame by frame."""

    times: np.ndarray  # (T,)
    scores: np.ndarray  # (T, labels)
    features: np.ndarray  # (T, D) float16

    @property
    def seconds(self) -> float:
        """Its length."""
        return float(self.times[-1] - self.times[0])


class Noting(RecognizerWrapper):
    """Notes what the last layer reads."""

    def __init__(self, recognizer: Recognizer) -> None:
        super().__init__(recognizer)
        self.rows: list[tuple[float, np.ndarray, np.ndarray]] = []

    def on_step(self, frames: Sequence[Frame], states: Sequence[Any], steps: Sequence[Any]) -> None:
        """Note them."""
        for prediction, state in steps:
            features = self.head_inputs(state)[self.name][0].astype(np.float16)
            self.rows.append((prediction.timestamp, prediction.probabilities, features))


class Again(RecognizerWrapper):
    """Says again what was noted: a state is the number of a frame."""

    def __init__(self, recognizer: Recognizer, played: Played) -> None:
        super().__init__(recognizer)
        self._played = played

    def step_many(self, frames: Sequence[Frame], states: Sequence[Any]) -> Any:
        """What was said of these frames."""
        return [
            (
                Prediction.of(self._played.scores[f.index], f.timestamp, self._recognizer.labels),
                f.index,
            )
            for f in frames
        ]

    def head_inputs(self, state: Any) -> dict[str, np.ndarray]:
        """What was noted."""
        return {self.name: self._played.features[state][None].astype(np.float32)}


def played_of(path: Path, recognizer: Recognizer, source: Source) -> Played:
    """What the model says of a source, from the folder where it is there already."""
    if not path.exists():
        noting, began = Noting(recognizer), time.monotonic()
        for _ in results(source, noting):
            pass
        times, scores, features = (np.array(each) for each in zip(*noting.rows, strict=True))
        part = path.with_suffix(".part.npz")
        np.savez(part, times=times, scores=scores, features=features)
        part.replace(path)
        print(f"{path.name}: {len(times)} frames in {time.monotonic() - began:.0f} s", flush=True)
    with np.load(path) as arrays:
        return Played(arrays["times"], arrays["scores"], arrays["features"])


def camera_of(options: argparse.Namespace, recognizer: Recognizer, seed: int) -> Played:
    """One drawn camera."""
    transform = recognizer.config.transform
    world = World(
        WorldSettings(
            seed=seed,
            width=transform.width,
            height=transform.height,
            fps=10.0,
            seconds=60.0 * options.minutes,
            actions=QUIET,
        )
    )
    return played_of(options.folder / f"{recognizer.name}-{options.minutes:g}-{seed}.npz", recognizer, world)


def clips_of(options: argparse.Namespace, recognizer: Recognizer) -> Iterator[tuple[str, Played]]:
    """The clips of true actions."""
    with (options.clips / "index.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if options.label:
        rows = [row for row in rows if row["label"] == options.label]
    else:
        rows = [row for row in rows if "falling" in row.get("segments", "")]
    rows = rows[:: max(1, len(rows) // options.most)][: options.most]
    for row in rows:
        name = f"{recognizer.name}-clip-{options.clips.name}-{row['clip'].replace('/', '-')}.npz"
        yield (
            row["clip"],
            played_of(options.folder / name, recognizer, FileSource(options.clips / row["clip"])),
        )


def events_of(
    played: Played, recognizer: Recognizer, settings: EventSettings, corrections: Corrections | None
) -> int:
    """How many events start, with these settings and what was learned."""
    change = None if corrections is None else corrections.change(recognizer.name)
    scores = played.scores if change is None else change.applied(played.scores, played.features)
    tracker = EventTracker(recognizer.labels, settings)
    found = 0
    for when, row in zip(played.times.tolist(), scores, strict=True):
        events = tracker.step(Prediction.of(row, when, recognizer.labels), when)
        found += sum(isinstance(event, ActionStarted) for event in events)
    return found


def rate(played: Played, recognizer: Recognizer) -> float:
    """False events an hour, without corrections."""
    return 3600 * events_of(played, recognizer, recognizer.config.events, None) / played.seconds


def judged(
    played: Played, recognizer: Recognizer, clips: Sequence[tuple[str, Played]], options: argparse.Namespace
) -> dict[str, Any] | None:
    """Click, learn and count; None where the camera does not give enough events to click on."""
    if rate(played, recognizer) < options.least:
        return None
    name, own = recognizer.name, recognizer.config.events
    with Corrections(CorrectionStore(None)) as corrections:
        again = corrections.watching(Again(recognizer, played))
        settings = corrections.camera("door", {name: own}, {name: recognizer.labels})[name]
        tracker = EventTracker(recognizer.labels, settings)
        corrections.on_thresholds = lambda camera, moved: tracker.retune(moved[name])
        clicks, state, index = 0, again.initial_state(), 0
        while clicks < options.clicks and index < len(played.times):
            when = float(played.times[index])
            prediction, state = again.step(Frame(BLANK, index, when, 0, "door"), state)
            for event in tracker.step(prediction, when):
                if isinstance(event, ActionEnded):
                    entry = entry_of(event, name)
                    corrections.noted(entry)
                    corrections.correct(entry, Verdict.wrong)
                    clicks += 1
            index += 1
        rest = Played(played.times[index:], played.scores[index:], played.features[index:])
        if len(rest.times) < 600:
            return None
        before = events_of(rest, recognizer, own, None)
        enough = corrections.thresholds
        moved = corrections._watched["door"].now[name]
        row: dict[str, Any] = {
            "clicks": clicks,
            "minutes_of_clicks": float(played.times[index - 1]) / 60,
            "minutes": rest.seconds / 60,
            "before": before,
            "thresholds_alone": events_of(rest, recognizer, moved, None),
            "thresholds": {one.label: [one.own, one.now] for one in enough},
            "recall": {"clips": len(clips)},
        }
        row["recall"]["before"] = sum(bool(events_of(one, recognizer, own, None)) for _, one in clips)
        row["recall"]["thresholds_alone"] = sum(
            bool(events_of(one, recognizer, moved, None)) for _, one in clips
        )
        began = time.monotonic()
        lesson: Lesson | None = None
        try:
            lesson = corrections.learn(name)
        except Exception as error:
            row["not_learned"] = str(error)
        row["learn_seconds"] = time.monotonic() - began
        moved = corrections._watched["door"].now[name]
        row["thresholds_after"] = {one.label: [one.own, one.now] for one in corrections.thresholds}
        row["after"] = events_of(rest, recognizer, moved, corrections)
        row["recall"]["after"] = sum(bool(events_of(one, recognizer, moved, corrections)) for _, one in clips)
        row["lesson"] = None if lesson is None else lesson.to_dict()
        return row


def entry_of(event: ActionEnded, model: str) -> Entry:
    """The event as the history has it."""
    return Entry(
        id=new_id(event.started),
        camera="door",
        model=model,
        label=event.label,
        started=event.started,
        ended=event.timestamp,
        timestamp=event.started,
        confidence=event.confidence,
    )


def sentence_of(number: int, row: dict[str, Any]) -> str:
    """The numbers of one camera."""
    hours, recall = row["minutes"] / 60, row["recall"]
    learned = row.get("not_learned") or (
        f"learned in {row['learn_seconds']:.1f} s, pull {row['lesson']['pull']:g}, known events "
        f"{row['lesson']['known']['before']} -> {row['lesson']['known']['after']} of {row['lesson']['known']['of']}"
    )
    return (
        f"camera {number}: {row['clicks']} clicks in {row['minutes_of_clicks']:.1f} min; then false events an hour "
        f"{row['before'] / hours:.0f} -> thresholds {row['thresholds_alone'] / hours:.0f} -> learned "
        f"{row['after'] / hours:.0f} (in {row['minutes']:.1f} min); true actions {recall['before']} -> "
        f"{recall['thresholds_alone']} -> {recall['after']} of {recall['clips']}; "
        f"enter {row['thresholds']} then {row['thresholds_after']}; {learned}"
    )


def summary_of(rows: Sequence[dict[str, Any]]) -> str:
    """All cameras together."""
    hours = sum(row["minutes"] for row in rows) / 60
    lines = []
    for name in ("before", "thresholds_alone", "after"):
        count = sum(row[name] for row in rows)
        low, high = (bound / hours for bound in poisson_interval(count))
        line = f"{name}: {count / hours:.0f} false events an hour (95 %: {low:.0f} to {high:.0f})"
        told, clips = (sum(row["recall"][key] for row in rows) for key in (name, "clips"))
        if clips:
            shortest, longest = wilson_interval(told, clips)
            line += f"; {100 * told / clips:.1f} % of the true actions ({100 * shortest:.1f} to {100 * longest:.1f})"
        lines.append(line)
    return f"\n{len(rows)} cameras that cry wolf, {hours:.2f} hours after the clicks\n" + "\n".join(lines)


if __name__ == "__main__":
    main()

"""What do ten clicks do to a camera that cries wolf? `python benchmarks/corrections.py FOLDER --clips DATA/fights`

Drawn cameras on which nothing happens that the model is for, so that every event is false. Each event gets a click,
"wrong, nothing happened", until ten are given; thresholds move at each. Then the model learns from them. The false
events an hour are counted on what the camera shows afterwards, beside those of the model without corrections on the
same frames.

Recall is counted on true actions with the model and the thresholds of each camera, beside those without corrections:
on drawn ones of the same world, and on clips (a folder with an index.csv of clip and label, or segments) of each second
group: the others are among the true events that the model brings along.

The scores of the model, and what its last layer reads, are kept in FOLDER: the same command goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from index_csv import halves, rows_of
from one_place import DAYS, OnePlace

from streamrec import EventDetector, EventSettings, Frame, Prediction, Recognizer, World, WorldSettings
from streamrec.errors import StreamrecError
from streamrec.evaluation.intervals import poisson_interval, wilson_interval
from streamrec.events.tracker import EventTracker
from streamrec.outputs.history.records import Entry, new_id
from streamrec.pipeline.loop import results
from streamrec.runtime.recognizer import RecognizerWrapper
from streamrec.sources.files import FileSource
from streamrec.sources.synthetic import LABELS, UNSEEN
from streamrec.teach.corrections.corrector import Corrections
from streamrec.teach.corrections.records import Verdict
from streamrec.teach.corrections.store import CorrectionStore
from streamrec.types import ActionEnded, ActionStarted, Source

TRUE_SEED = UNSEEN + 7  # of the world with true actions
BLANK = np.zeros((2, 2, 3), np.uint8)


def main() -> None:
    """Draw and play what is missing, click, learn, count, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="for the predictions; some may be there already")
    parser.add_argument("--model", default="fight")
    parser.add_argument("--world", default="scuffle", choices=tuple(LABELS))
    parser.add_argument("--quiet", default="normal", help="what the cameras show, with commas")
    parser.add_argument("--true", default="fight", help="what the world with true actions shows")
    parser.add_argument(
        "--one-place", action="store_true", help="a camera shows one place; figures: without cuts"
    )
    parser.add_argument(
        "--does", default="all", choices=tuple(DAYS), help="falls in one place: what people do"
    )
    parser.add_argument("--cameras", default="0,1,2", help="their numbers")
    parser.add_argument("--minutes", type=float, default=4.0, help="of each camera")
    parser.add_argument("--true-minutes", type=float, default=2.0)
    parser.add_argument("--clicks", type=int, default=10)
    parser.add_argument(
        "--rights", type=int, default=0, help="drawn true events that are called right before"
    )
    parser.add_argument(
        "--least", type=float, default=60.0, help="false events an hour of one that cries wolf"
    )
    parser.add_argument("--clips", type=Path, help="a folder of true actions, with an index.csv")
    parser.add_argument("--label", help="in the index: the clips with this label; else those with a fall")
    parser.add_argument("--most", type=int, default=40, help="clips")
    parser.add_argument("--joints", help="kind of drawn keypoints with true actions")
    parser.add_argument("--scenes", type=int, default=40, help="of drawn keypoints")
    parser.add_argument(
        "--day",
        type=Path,
        help="instead of drawn cameras: the clips without a fall of an index.csv, one after the other, in an order of "
        "each camera number",
    )
    parser.add_argument("--json", type=Path, help="a file for the numbers")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    recognizer = Recognizer.load(options.model, threads=1)
    true = list(clips_of(options, recognizer)) if options.clips is not None else []
    drawn = true_of(options, recognizer) if options.true_minutes else []
    if options.joints:
        drawn += joints_of(options)
    rows = []
    for number in map(int, options.cameras.split(",")):
        if options.day is None:
            played = camera_of(options, recognizer, UNSEEN + number)
        else:
            played = day_of(options, recognizer, number)
        own = 3600 * len(started(played, recognizer, recognizer.config.events, None)) / played.seconds
        row = (
            judged(played, recognizer, {"clips": true, "drawn": drawn}, options)
            if own >= options.least
            else None
        )
        if row is None:
            print(f"camera {number}: {own:.0f} false events an hour: not often enough", flush=True)
            continue
        rows.append(row)
        print(sentence_of(number, row), flush=True)
    if rows:
        print(summary_of(rows))
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


@dataclass(frozen=True, eq=False)
class Played:
    """The predictions of a model for a source, frame by frame."""

    times: np.ndarray  # (T,)
    segments: np.ndarray  # (T,)
    scores: np.ndarray  # (T, labels)
    features: np.ndarray  # (T, D) float16
    truth: tuple[tuple[str, float, float], ...] = ()  # label, start and end of what happens in it

    @property
    def seconds(self) -> float:
        """Its length."""
        return float(self.times[-1] - self.times[0])

    def cut(self, begins: float, ends: float) -> Played:
        """The frames from a time to another."""
        low, high = np.searchsorted(self.times, [begins, ends])
        parts = (self.times, self.segments, self.scores, self.features)
        return Played(*(part[low:high] for part in parts))


class Noting(RecognizerWrapper):
    """Notes the scores of each model, and what its last layer reads."""

    def __init__(self, recognizer: Recognizer) -> None:
        super().__init__(recognizer)
        self.rows: dict[str, list[tuple[float, int, np.ndarray, np.ndarray]]] = {}

    def on_step(self, frames: Sequence[Frame], states: Sequence[Any], steps: Sequence[Any]) -> None:
        """Note them."""
        for frame, (prediction, state) in zip(frames, steps, strict=True):
            inputs = self.head_inputs(state)
            for name, one in zip(self.configs, prediction.each, strict=True):
                row = frame.timestamp, frame.segment, one.probabilities, inputs[name][0].astype(np.float16)
                self.rows.setdefault(name, []).append(row)


class Again(RecognizerWrapper):
    """Says again what was noted: a state is the number of a frame."""

    def __init__(self, recognizer: Recognizer, played: Played) -> None:
        super().__init__(recognizer)
        self._played = played

    def step_many(self, frames: Sequence[Frame], states: Sequence[Any]) -> Any:
        """The predictions of these frames."""
        labels = self._recognizer.labels
        return [
            (Prediction.of(self._played.scores[frame.index], frame.timestamp, labels), frame.index)
            for frame in frames
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
        for rows in noting.rows.values():
            write_played(path, rows)
            print(f"{path.name}: {len(rows)} frames in {time.monotonic() - began:.0f} s", flush=True)
    with np.load(path) as arrays:
        return Played(*(arrays[name] for name in ("times", "segments", "scores", "features")))


def write_played(path: Path, rows: Sequence[tuple[float, int, np.ndarray, np.ndarray]]) -> None:
    """Keep a model's predictions."""
    times, segments, scores, features = (np.array(each) for each in zip(*rows, strict=True))
    part = path.with_suffix(".part.npz")
    np.savez(part, times=times, segments=segments, scores=scores, features=features)
    part.replace(path)


def world_of(
    options: argparse.Namespace, recognizer: Recognizer, seed: int, minutes: float, actions: str
) -> World:
    """A drawn camera, at about the model's own size."""
    scene = None if options.world != "figures" or options.one_place else 30.0
    settings = WorldSettings(
        kind=options.world,
        seed=seed,
        width=max(recognizer.config.transform.width, 80),
        height=max(recognizer.config.transform.height, 60),
        fps=10.0,
        seconds=60.0 * minutes,
        scene_seconds=scene,
        actions=tuple(actions.split(",")),
    )
    return World(settings)


def name_of(options: argparse.Namespace, minutes: float, actions: str, seed: int) -> str:
    """Of a file with predictions."""
    place = f"-one-{options.does}" if options.one_place else ""
    return f"{options.model}-{options.world}{place}-{actions.replace(',', '_')}-{60 * minutes:g}-{seed}.npz"


def camera_of(options: argparse.Namespace, recognizer: Recognizer, seed: int) -> Played:
    """One drawn camera on which nothing happens."""
    world: Source = world_of(options, recognizer, seed, options.minutes, options.quiet)
    if options.one_place and options.world in ("scuffle", "falls"):
        shape = recognizer.config.transform
        world = OnePlace(
            options.world,
            seed,
            seconds=60 * options.minutes,
            size=(shape.width, shape.height),
            does=options.does,
        )
    path = options.folder / name_of(options, options.minutes, options.quiet, seed)
    return played_of(path, recognizer, world)


def true_of(options: argparse.Namespace, recognizer: Recognizer) -> list[Played]:
    """Drawn true actions, each with the seconds around it."""
    world = world_of(options, recognizer, TRUE_SEED, options.true_minutes, options.true)
    path = options.folder / name_of(options, options.true_minutes, options.true, TRUE_SEED)
    played = played_of(path, recognizer, world)
    background = recognizer.config.events.background
    found = []
    for begins, ends, label in world.schedule():
        part = played.cut(begins - 1.0, ends + 1.0)
        if label not in background and len(part.times):
            found.append(
                Played(part.times, part.segments, part.scores, part.features, ((label, begins, ends),))
            )
    return found


def joints_of(options: argparse.Namespace) -> list[Played]:
    """Scenes of drawn keypoints, with their actions."""
    from drawn_joints import drawn_scenes

    found = []
    for scene in drawn_scenes(options.model, options.joints, TRUE_SEED, options.scenes):
        truth = tuple(span for span in scene.spans if span[0] != "nothing" and span[2] - span[1] >= 0.4)
        zeros = np.zeros(len(scene.times), int)
        found.append(Played(scene.times, zeros, scene.scores, scene.features, truth))
    return found


def day_of(options: argparse.Namespace, recognizer: Recognizer, number: int) -> Played:
    """Clips of everyday life as one camera, in a drawn order."""
    rows = [
        row
        for row in rows_of(options.day)
        if "alling" not in (row.get("segments") or "") and row.get("camera", "0") == "0"
    ]
    parts, began = [], 0.0
    for segment, n in enumerate(np.random.default_rng(number).permutation(len(rows))):
        played = clip_of(options, recognizer, options.day, rows[n]["clip"])
        times = played.times - played.times[0] + began
        parts.append((times, np.full(len(times), segment), played.scores, played.features))
        began = float(times[-1]) + 0.1
    return Played(*(np.concatenate(each) for each in zip(*parts, strict=True)))


def clips_of(options: argparse.Namespace, recognizer: Recognizer) -> Iterator[Played]:
    """Clips of true actions."""
    rows = rows_of(options.clips)
    if options.label:  # the other half is among the true events that the model brings along
        rows = [row for row in halves(rows)[1] if row["label"] == options.label]
    else:
        rows = [
            row for row in rows if "alling" in (row.get("segments") or "") and row.get("camera", "0") == "0"
        ]
    label = next(one for one in recognizer.labels if one not in recognizer.config.events.background)
    for row in rows[:: max(1, len(rows) // options.most)][: options.most]:
        played = clip_of(options, recognizer, options.clips, row["clip"])
        truth = ((label, float(played.times[0]), float(played.times[-1])),)
        yield Played(played.times, played.segments, played.scores, played.features, truth)


def clip_of(options: argparse.Namespace, recognizer: Recognizer, data: Path, clip: str) -> Played:
    """One clip of a data set."""
    name = f"{recognizer.name}-clip-{data.name}-{clip.replace('/', '-')}.npz"
    return played_of(options.folder / name, recognizer, FileSource(data / clip))


def started(
    played: Played, recognizer: Recognizer, settings: EventSettings, corrections: Corrections | None
) -> list[ActionStarted]:
    """The events that start, with these settings and what was learned."""
    change = None if corrections is None else corrections.change(recognizer.name)
    scores = played.scores if change is None else change.applied(played.scores, played.features)
    detector = EventDetector(recognizer.labels, settings)
    found = detector.replay(played.times.tolist(), scores, played.segments.tolist())
    return [event for _, event in found if isinstance(event, ActionStarted)]


def reported(
    true: Sequence[Played], recognizer: Recognizer, settings: EventSettings, corrections: Corrections | None
) -> int:
    """How many of the true actions have an event of their label that begins while they last, or within a second."""
    count = 0
    for played in true:
        events = started(played, recognizer, settings, corrections)
        count += sum(
            any(event.label == label and begins - 1.0 <= event.timestamp <= ends + 1.0 for event in events)
            for label, begins, ends in played.truth
        )
    return count


def judged(
    played: Played, recognizer: Recognizer, true: dict[str, list[Played]], options: argparse.Namespace
) -> dict[str, Any] | None:
    """Click, learn and count; None where the camera does not give enough events to click on."""
    name, own = recognizer.name, recognizer.config.events
    with Corrections(CorrectionStore(None)) as corrections:
        for right in true["drawn"][: options.rights]:
            click(corrections, right, recognizer, Verdict.right, 1)
        true = {**true, "drawn": true["drawn"][options.rights :]}
        index = click(corrections, played, recognizer, Verdict.wrong, options.clicks)
        rest = played.cut(float(played.times[min(index, len(played.times) - 1)]), float("inf"))
        wrong = sum(one.verdict is Verdict.wrong for one in corrections.store.active)
        if wrong < options.clicks or rest.seconds < 60.0:
            return None
        row: dict[str, Any] = {
            "clicks": options.clicks,
            "minutes_of_clicks": (played.seconds - rest.seconds) / 60,
            "minutes": rest.seconds / 60,
            "of": {kind: sum(len(one.truth) for one in each) for kind, each in true.items()},
        }

        def count(settings: EventSettings, learned: Corrections | None) -> dict[str, int]:
            found = {"false": len(started(rest, recognizer, settings, learned))}
            return found | {
                kind: reported(each, recognizer, settings, learned) for kind, each in true.items()
            }

        row["before"] = count(own, None)
        row["thresholds"] = {one.label: [one.own, one.now] for one in corrections.thresholds}
        row["clicked"] = count(corrections.settings("door")[name], None)
        began = time.process_time()
        try:
            row["lesson"] = corrections.learn(name).to_dict()
        except StreamrecError as error:
            row["not_learned"] = str(error)
        row["learn_seconds"] = time.process_time() - began
        row["thresholds_learned"] = {one.label: [one.own, one.now] for one in corrections.thresholds}
        row["learned"] = count(corrections.settings("door")[name], corrections)
        return row


def click(
    corrections: Corrections, played: Played, recognizer: Recognizer, verdict: Verdict, clicks: int
) -> int:
    """Say this of the first events, as they come; the number of the next frame."""
    name = recognizer.name
    again = corrections.watching(Again(recognizer, played))
    settings = corrections.camera("door", {name: recognizer.config.events}, {name: recognizer.labels})
    tracker = EventTracker(recognizer.labels, settings[name])
    corrections.on_thresholds = lambda camera, moved: tracker.retune(moved[name])
    state, segment, last, clicked = again.initial_state(), -1, 0.0, 0
    true = [label for label, _, _ in played.truth]
    for index, (when, now) in enumerate(zip(played.times.tolist(), played.segments.tolist(), strict=True)):
        events = tracker.finish(last) if now != segment else ()
        prediction, state = again.step(Frame(BLANK, index, when, now, "door"), state)
        events += tracker.step(prediction, when)
        segment, last = now, when
        for event in events:
            if isinstance(event, ActionEnded) and (verdict is Verdict.wrong or event.label in true):
                entry = entry_of(event, name)
                corrections.noted(entry)
                corrections.correct(entry, verdict)
                clicked += 1
                if clicked == clicks:
                    return index + 1
    return len(played.times)


def entry_of(event: ActionEnded, model: str) -> Entry:
    """The event as the history has it."""
    make = partial(Entry, id=new_id(event.started), camera="door", model=model, label=event.label)
    return make(
        started=event.started, ended=event.timestamp, timestamp=event.started, confidence=event.confidence
    )


def sentence_of(number: int, row: dict[str, Any]) -> str:
    """The numbers of one camera."""
    hours = row["minutes"] / 60
    false = " -> ".join(f"{row[stage]['false'] / hours:.0f}" for stage in ("before", "clicked", "learned"))
    recall = "; ".join(
        f"{kind} {row['before'][kind]} -> {row['clicked'][kind]} -> {row['learned'][kind]} of {of}"
        for kind, of in row["of"].items()
        if of
    )
    learned = row.get("not_learned", "")
    if not learned:
        known = row["lesson"]["known"]
        learned = f"learned in {row['learn_seconds']:.1f} s of CPU time with pull {row['lesson']['pull']:g}"
        learned += (
            f"; events that the model brings along {known['before']} -> {known['after']} of {known['of']}"
        )
    return (
        f"camera {number}: {row['clicks']} clicks in {row['minutes_of_clicks']:.1f} min; false events an hour of the "
        f"{row['minutes']:.1f} min after: {false}; true actions: {recall}; thresholds {row['thresholds']}, then "
        f"{row['thresholds_learned']}; {learned}"
    )


def summary_of(rows: Sequence[dict[str, Any]]) -> str:
    """All cameras together."""
    hours = sum(row["minutes"] for row in rows) / 60
    lines = [f"\n{len(rows)} cameras that cry wolf, {60 * hours:.1f} minutes after the clicks"]
    for stage in ("before", "clicked", "learned"):
        count = sum(row[stage]["false"] for row in rows)
        low, high = (bound / hours for bound in poisson_interval(count))
        line = f"{stage}: {count / hours:.0f} false events an hour (95 %: {low:.0f} to {high:.0f})"
        for kind in rows[0]["of"]:
            found, of = (sum(row[part][kind] for row in rows) for part in (stage, "of"))
            if of:
                least, most = wilson_interval(found, of)
                line += f"; {kind}: {100 * found / of:.1f} % reported ({100 * least:.1f} to {100 * most:.1f})"
        lines.append(line)
    return "\n".join(lines)


if __name__ == "__main__":
    main()

"""Each person judged on their own: `python benchmarks/persons.py drawn`, `counts`, `beside DATA`, `clips DATA MODEL`,
`cost`.

`drawn`: two drawn people in one room, one waves and one squats; `counts`: how often, of each and of the whole picture.
`beside`: two real clips beside each other in one
picture, of DATA/gestures (an index.csv of clip, label and group) or, with `--fall`, of DATA/falls and DATA/gestures.
`clips`: the events of a set with and without per person, against the labels or segments (`Label:start-end; ...`) of its
index.csv. `cost`: CPU time of a step on one thread: alone, with people followed, and with each of them judged.
"""

from __future__ import annotations

import argparse
import math
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
from index_csv import rows_of

from streamrec import Recognizer, RecurrenceSettings, StreamRecognizer, open_models, open_source
from streamrec.pipeline.result_builder import ResultBuilder
from streamrec.sources.sampling import pace
from streamrec.sources.synthetic import figure, places, poses
from streamrec.sources.synthetic.camera import Camera
from streamrec.types import ActionStarted, Frame, Prediction

SECONDS = 1.5  # so long after its end an event may be reported to count
GESTURES = {"arms_out_up": "arms_out", "raise_both_hands": "raise_both_hands", "wave_right_hand": "wave"}
SIZE = 640, 480


def room_of(seed: int) -> tuple[Camera, np.ndarray, list[tuple]]:
    """A room and the two people in it: place, body, painter, styles by name, and what they do from when to when."""
    rng = np.random.default_rng(seed)
    camera = Camera(distance=4.0, aim=0.8, pitch=0.1, roll=0.0, focal=820.0, centre=(320.0, 250.0))
    canvas = places.paint(*SIZE, camera, rng, clearance=1.5)
    people = []
    for x, (label, begins, ends) in zip(
        (-0.75, 0.75), (("wave", 2.0, 6.0), ("squat", 4.0, 9.0)), strict=True
    ):
        body = figure.draw_body(rng)
        styles = {name: poses.draw_style(name, rng) for name in ("idle", label)}
        people.append((x, body, figure.Painter(body, (0.3, -0.9)), styles, label, begins, ends))
    return camera, canvas, people


def drawn_room(seed: int) -> Iterator[Frame]:
    """Two people beside each other for 12 s: the left one waves from 2 to 6 s, the right one squats, 4 to 9 s."""
    camera, canvas, people = room_of(seed)
    for index in range(120):
        t, image = index / 10, canvas.copy()
        for x, body, painter, styles, label, begins, ends in people:
            share = float(np.clip((min(t - begins, ends - t)) / 0.4, 0.0, 1.0))
            pose = poses.pose_at("idle", t, styles["idle"])
            if share:
                pose = poses.blend(pose, poses.pose_at(label, t - begins, styles[label]), share)
            painter.draw(image, camera, figure.joints(body, pose, x))
        yield Frame(image, index, t)


def crowd(count: int, frames: int) -> Iterator[Frame]:
    """So many people, one, three or six, who stand side by side: all of them are found."""
    rng = np.random.default_rng(1)
    distance, focal, reach = {1: (4.0, 820.0, 0.0), 3: (4.0, 720.0, 1.15), 6: (4.6, 600.0, 2.0)}[count]
    camera = Camera(distance=distance, aim=0.85, pitch=0.1, roll=0.0, focal=focal, centre=(320.0, 250.0))
    canvas = places.paint(*SIZE, camera, rng, clearance=1.5)
    people = []
    for x in np.linspace(-reach, reach, count):
        body = figure.draw_body(rng)
        people.append((x, body, figure.Painter(body, (0.3, -0.9)), poses.draw_style("idle", rng)))
    for index in range(frames):
        image = canvas.copy()
        for x, body, painter, style in people:
            pose = poses.pose_at("idle", index / 10, style)
            painter.draw(image, camera, figure.joints(body, pose, x))
        yield Frame(image, index, index / 10)


def events_of(recognizer: Recognizer, frames: Iterable[Frame]) -> list[tuple[float, ActionStarted]]:
    """What began, and when it was reported."""
    builder, state = ResultBuilder(recognizer, ""), recognizer.initial_state()
    found = []
    for frame in frames:
        prediction, state = recognizer.step(frame, state)
        result = builder.build(frame, prediction, asked=0.0)
        found += [(frame.timestamp, event) for event in result.events if isinstance(event, ActionStarted)]
    return found


def drawn(options: argparse.Namespace) -> None:
    """Of each room, whether each of both has events of what they do and of nothing else."""
    for per_person in (False, True):
        recognizer = Recognizer.load("webcam", per_person=per_person, threads=1)
        right, wrong = Counter(), Counter()
        for seed in range(options.seed, options.seed + options.rooms):
            frames = list(drawn_room(seed))
            if options.save:
                cv2.imwrite(f"{options.save}/room-{seed}.jpg", frames[50].image)
            score(events_of(recognizer, frames), ("wave", "squat"), right, wrong)
        report("per person" if per_person else "whole picture", options.rooms, right, wrong)


def score(events, labels: tuple[str, str], right: Counter[str], wrong: Counter[str]) -> None:
    """Count whether the left and the right one were recognized, and events of anything else or of the other side."""
    sides_found = set()
    for _, event in events:
        sides = range(2) if event.box is None else [int(event.box[1] + event.box[3] > 1.0)]
        own = [side for side in sides if event.label == labels[side]]
        if own:
            sides_found.add(own[0])
        else:
            wrong[event.label] += 1
    right["left"] += 0 in sides_found
    right["right"] += 1 in sides_found
    right["both"] += len(sides_found) == 2


def report(name: str, count: int, right: Counter[str], wrong: Counter[str]) -> None:
    """One line."""
    print(
        f"{name:14} {count} pictures: left {right['left']}, right {right['right']}, both {right['both']}; wrong events "
        f"{wrong.total()} {dict(wrong)}",
        flush=True,
    )


def frames_of(path: Path, fps: float = 10.0) -> list[Frame]:
    """A clip at the rate of the models."""
    return list(pace(iter(open_source(path)), fps=fps))


def hstacked(left: list[Frame], right: list[Frame]) -> Iterator[Frame]:
    """Both in one picture; the shorter one stands still at its end."""
    height = min(left[0].image.shape[0], right[0].image.shape[0])
    for index in range(max(len(left), len(right))):
        parts = []
        for clip in (left, right):
            image = clip[min(index, len(clip) - 1)].image
            parts.append(cv2.resize(image, (round(image.shape[1] * height / image.shape[0]), height)))
        width = max(part.shape[1] for part in parts)
        parts = [
            cv2.copyMakeBorder(part, 0, 0, 0, width - part.shape[1], cv2.BORDER_REPLICATE) for part in parts
        ]
        yield Frame(np.hstack(parts), index, index / 10)


def counts(options: argparse.Namespace) -> None:
    """How far the squats of the right one and the waves of the left one are off, and the whole picture's of each."""
    both = open_models(["webcam", "workout"], per_person=True, threads=1)
    whole = Recognizer.load("workout", threads=1)
    off: dict[str, list[int]] = {}
    true = []
    for seed in range(options.seed, options.seed + options.rooms):
        waves, squats = (
            round((ends - begins) / styles[label].period)
            for _, _, _, styles, label, begins, ends in room_of(seed)[2]
        )
        true.append((squats, waves))
        most = Counter()  # the most that each name has counted
        stream = StreamRecognizer(both, fps=math.inf, count=RecurrenceSettings())
        alone = StreamRecognizer(whole, fps=math.inf)
        for frame in drawn_room(seed):
            result = stream.recognize(frame.image, frame.timestamp)
            found = {
                "squats, whole picture, workout": alone.recognize(frame.image, frame.timestamp).repetitions
            }
            found["squats, whole picture, any motion"] = result.count
            for person in result.people or ():
                if person.box[1] + person.box[3] > 1.0:
                    found["squats, right one, workout"] = person.repetitions
                    found["squats, right one, any motion"] = person.count
                else:
                    found["waves, left one, any motion"] = person.count
                    found["squats, left one, workout: 0"] = person.repetitions
            for name, count in found.items():
                most[name] = max(most[name], count or 0)
        for name, count in most.items():
            wanted = 0 if name.endswith(": 0") else waves if name.startswith("waves") else squats
            off.setdefault(name, []).append(count - wanted)
    print(f"true squats and waves of {options.rooms} rooms: {true}")
    for name, each in off.items():
        errors = np.abs(each)
        print(
            f"{name:36} within one {np.sum(errors <= 1)} of {len(each)}, mean error {errors.mean():.1f}  {each}"
        )


def beside(options: argparse.Namespace) -> None:
    """Pairs of clips of two people who do different things."""
    gestures = rows_of(options.data / "gestures")
    if options.fall:
        falls = [row for row in rows_of(options.data / "falls") if row["clip"].startswith("Fall/")]
        pairs = [(("falls", row, "fall"), ("gestures", gestures[n % 18], "")) for n, row in enumerate(falls)]
    else:
        others = gestures[9:] + gestures[:9]
        pairs = [
            (("gestures", one, GESTURES[one["label"]]), ("gestures", other, GESTURES[other["label"]]))
            for one, other in zip(gestures, others, strict=True)
            if one["label"] != other["label"]
        ]
    for per_person in (False, True):
        recognizer = Recognizer.load("fall" if options.fall else "webcam", per_person=per_person, threads=1)
        right, wrong = Counter(), Counter()
        for number, pair in enumerate(pairs):
            clips = [frames_of(options.data / name / row["clip"]) for name, row, _ in pair]
            labels = tuple(label for _, _, label in pair)
            if number % 2:  # on each side as often
                clips, labels = clips[::-1], labels[::-1]
            score(events_of(recognizer, hstacked(*clips)), labels, right, wrong)
        report("per person" if per_person else "whole picture", len(pairs), right, wrong)


def clips(options: argparse.Namespace) -> None:
    """Events of each clip alone: by segments that are named as a label of the model begins, or by the clip's label."""
    for per_person in (False, True):
        recognizer = Recognizer.load(options.model, per_person=per_person, threads=1)
        found, false, total, seconds = Counter(), Counter(), Counter(), Counter()
        for row in rows_of(options.data):
            frames = frames_of(options.data / row["clip"])
            camera = row.get("camera", "")
            seconds[camera] += round(frames[-1].timestamp - frames[0].timestamp)
            events = events_of(recognizer, frames)
            own = truth_of(row, recognizer.labels, frames[-1].timestamp)
            total[camera] += len(own)
            used = set()
            for label, begins, ends in own:
                hits = [
                    number
                    for number, (_, event) in enumerate(events)
                    if event.label == label and begins - 0.5 <= event.timestamp <= ends + SECONDS
                ]
                found[camera] += bool(hits)
                used.update(hits[:1])
            false[camera] += len(events) - len(used)
        for camera, count in total.items():
            print(
                f"{'per person' if per_person else 'whole picture':14} {camera or 'all'}: {found[camera]} of {count}, "
                f"false {false[camera]} in {seconds[camera]} s",
                flush=True,
            )


def truth_of(row: dict[str, str], labels: tuple[str, ...], end: float) -> list[tuple[str, float, float]]:
    """What happens in a clip: label, start and end in seconds."""
    if "segments" not in row:
        label = GESTURES.get(row["label"], row["label"])
        return [(label, 0.0, end)] if label in labels else []
    found = re.findall(r"\s*([^:;]+):([\d.]+)-([\d.]+)", row["segments"])
    given = [(name.strip().lower(), float(begins), float(ends)) for name, begins, ends in found]
    return [("fall", begins, ends) for name, begins, ends in given if name.startswith("fall")]


def cost(options: argparse.Namespace) -> None:
    """CPU time of a step, taking turns; the median."""
    cv2.setNumThreads(1)
    print(f"{'model':8} {'people':>6} {'found':>6} {'alone':>9} {'people':>15} {'per person':>16}")
    for name in ("webcam", "fall", "workout"):
        kinds = ({}, {"people": True}, {"per_person": True})
        recognizers = [Recognizer.load(name, threads=1, **kind) for kind in kinds]
        for people in (1, 3, 6):
            runs = [SimpleNamespace(one=one, state=one.initial_state(), took=[]) for one in recognizers]
            builder = ResultBuilder(recognizers[-1], "")
            found = []
            for frame in crowd(people, options.frames):
                for run in runs:
                    began = time.process_time()
                    prediction, run.state = run.one.step(frame, run.state)
                    if run is runs[-1]:
                        builder.build(frame, prediction, asked=0.0)
                    run.took.append(time.process_time() - began)
                found.append(followed(prediction))
            alone, seen, each = (1000 * float(np.median(run.took)) for run in runs)
            print(
                f"{name:8} {people:6} {np.mean(found[5:]):6.1f} {alone:6.1f} ms {seen:6.1f} ms {seen / alone:5.2f} "
                f"{each:7.1f} ms {each / alone:5.2f}",
                flush=True,
            )


def followed(prediction: Prediction) -> int:
    """How many people have a number."""
    return len(prediction.people or ()) + len(prediction.missed)


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("drawn")
    one.add_argument("--rooms", type=int, default=10)
    one.add_argument("--seed", type=int, default=0)
    one.add_argument("--save", help="a folder for a picture of each room")
    one.set_defaults(run=drawn)
    one = commands.add_parser("counts")
    one.add_argument("--rooms", type=int, default=10)
    one.add_argument("--seed", type=int, default=0)
    one.set_defaults(run=counts)
    one = commands.add_parser("beside")
    one.add_argument("data", type=Path)
    one.add_argument("--fall", action="store_true")
    one.set_defaults(run=beside)
    one = commands.add_parser("clips")
    one.add_argument("data", type=Path, help="a folder with an index.csv")
    one.add_argument("model")
    one.set_defaults(run=clips)
    one = commands.add_parser("cost")
    one.add_argument("--frames", type=int, default=40)
    one.set_defaults(run=cost)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()

"""How good "more like this" is on real clips, and how long a search takes.

Each clip is one event, of a camera of its own group (a person, a source video or a scene). For each event, the five
most similar of *other* groups are found, as the page finds them: precision at 5 is the part of them with the same
label. Of all events it is also counted how many of the five are of the same group (same person or place). Chance is the
part that a random choice among the same events has.

    python benchmarks/similar.py DATA                       # DATA/gestures, yoga, interaction, fights
    python benchmarks/similar.py DATA --most 60 --sets gestures,fights
    python benchmarks/similar.py --speed 100000             # seconds of a search among so many events
    python benchmarks/similar.py --cost fight               # microseconds a frame in the recognizing thread
"""

from __future__ import annotations

import argparse
import csv
import random
import resource
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streamrec import Recognizer, open_models, results
from streamrec.outputs.history import vectors
from streamrec.outputs.history.records import Entry, new_id
from streamrec.outputs.history.store import History
from streamrec.outputs.history.vectors import EventVector, vector_of
from streamrec.runtime.feature_memory import FeatureMemory
from streamrec.types import Frame

SETS = {
    "gestures": ("webcam",),
    "yoga": ("webcam",),
    "interaction": ("webcam", "fight"),
    "fights": ("fight",),
}
TOP = 5


@dataclass(frozen=True)
class Clip:
    path: Path
    label: str
    group: str


def clips_of(folder: Path, most: int) -> list[Clip]:
    """At most so many clips of a set, chosen at random."""
    with (folder / "index.csv").open(newline="") as file:
        found = [Clip(folder / row["clip"], row["label"], row["group"]) for row in csv.DictReader(file)]
    random.Random(0).shuffle(found)
    return found[:most]


def vectors_of(clips: list[Clip], models: tuple[str, ...]) -> Iterator[tuple[Clip, dict[str, EventVector]]]:
    """Each clip with its vector of each model, made as those of events are."""
    memory = FeatureMemory()
    recognizer: Recognizer = memory.watching(open_models(list(models)))
    for clip in clips:
        frames = [result.frame for result in results(str(clip.path), recognizer)]
        source = frames[0].source
        found = {}
        for model in models:
            span = memory.span(source, model, None, frames[0].timestamp, frames[-1].timestamp)
            if span is not None and (vector := vector_of(span.kind, span.mean())) is not None:
                found[model] = vector
        memory.forget(source)
        yield clip, found


def measured(rows: list[tuple[Clip, EventVector]]) -> str:
    """Precision at 5 by label and by group, with chance, as a line."""
    entries = []
    with History(None) as history:
        for n, (clip, vector) in enumerate(rows):
            entry = Entry(
                id=new_id(float(n)), camera=clip.group, model="m", label=clip.label, started=float(n),
                ended=n + 1.0, confidence=1.0,
            )  # fmt: skip
            history.add(entry)
            history.describe(entry.id, lambda vector=vector: vector)
            entries.append(entry)
        labels, label_chance, groups, group_chance = [], [], [], []
        for entry in entries:
            others = [one for one in entries if one.camera != entry.camera]
            if len(others) >= TOP and any(one.label == entry.label for one in others):
                cameras = {one.camera for one in others}
                found = history.similar(entry, camera=cameras, limit=TOP).found
                labels.append(np.mean([one.label == entry.label for one, _ in found]))
                label_chance.append(np.mean([one.label == entry.label for one in others]))
            rest = [one for one in entries if one.id != entry.id]
            if any(one.camera == entry.camera for one in rest):
                found = history.similar(entry, limit=TOP).found
                groups.append(np.mean([one.camera == entry.camera for one, _ in found]))
                group_chance.append(np.mean([one.camera == entry.camera for one in rest]))
    return (
        f"{len(rows):4} clips  same label, other group {100 * np.mean(labels):3.0f} % (chance "
        f"{100 * np.mean(label_chance):3.0f} %)   same group {100 * np.mean(groups):3.0f} % (chance "
        f"{100 * np.mean(group_chance):3.0f} %)"
    )


def speed(count: int) -> None:
    """Seconds of a search among so many events, and of one restricted to a day."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder, History(Path(folder) / "events.db") as history:
        rows = rng.normal(size=(count, vectors.PROJECTED)).astype(np.float32)
        entries = [
            Entry(
                id=new_id(60.0 * n),
                camera=f"c{n % 8}",
                model="m",
                label=("fight", "fall")[n % 2],
                started=60.0 * n,
                ended=60.0 * n + 5,
                confidence=0.9,
            )
            for n in range(count)
        ]

        def write(connection) -> None:
            for entry, row in zip(entries, rows, strict=True):
                history._insert(connection, entry)
                made = vector_of("kind", row)
                assert made is not None
                vectors.write(connection, entry.id, made)

        history.transact(write)
        size = (Path(folder) / "events.db").stat().st_size
        for name, conditions in (
            ("all", {}),
            ("one camera", {"camera": "c3"}),
            ("one label", {"label": "fall"}),
            ("one day", {"since": 60.0 * count / 2, "until": 60.0 * count / 2 + 86_400}),
        ):
            taken = []
            for _ in range(5):
                began = time.process_time()
                found = history.similar(entries[-1], **conditions)
                taken.append(time.process_time() - began)
            print(f"{name:12} {found.compared:7} compared  {np.median(taken):.2f} s of CPU time")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"{size / 1e6:.0f} MB of file, {size / count:.0f} bytes an event; {peak:.0f} MB of memory at most"
        )


def cost(model: str) -> None:
    """Microseconds that keeping features takes of the recognizing thread, a frame."""
    recognizer = Recognizer.load(model)
    image = np.zeros((480, 640, 3), np.uint8)
    _, state = recognizer.step(Frame(image, 0, 0.0, 0, "door"), recognizer.initial_state())
    for name, apart in (("another frame", 0.0), ("a frame that is kept, four a second", 0.25)):
        memory, count = FeatureMemory(), 5000
        memory._kinds = {model: "kind"}
        memory.keep(recognizer, Frame(image, 0, 0.0, 0, "door"), state)
        frames = [Frame(image, n, n * apart, 0, "door") for n in range(1, count + 1)]
        began = time.process_time()
        for frame in frames:
            memory.keep(recognizer, frame, state)
        print(f"{model:10} {name:36} {1e6 * (time.process_time() - began) / count:6.1f} µs")
    began = time.process_time()
    for _ in range(100):
        span = memory.span("door", model, None, frames[-1].timestamp - 5, frames[-1].timestamp)
    print(f"{model:10} {'an event that ends':36} {1e4 * (time.process_time() - began):6.1f} µs")
    assert span is not None


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--most", type=int, default=10_000, help="clips of a set")
    parser.add_argument("--speed", type=int, metavar="EVENTS")
    parser.add_argument("--cost", metavar="MODEL")
    given = parser.parse_args()
    if given.cost:
        cost(given.cost)
    if given.speed:
        speed(given.speed)
    for name in given.sets.split(",") if given.data else ():
        rows = list(vectors_of(clips_of(given.data / name, given.most), SETS[name]))
        for model in SETS[name]:
            own = [(clip, found[model]) for clip, found in rows if model in found]
            print(f"{name:12} {model:8} {measured(own)}", flush=True)


if __name__ == "__main__":
    main()

"""How well and how quickly a stream is taught: `python benchmarks/teach.py [PART ...]`, of parts gestures, yoga,
interaction, seconds, swap and kill; without a part all of them.

Each clip is played through a `Teacher` as a user's camera would be, and named as a user would: the last seconds were
this. What is counted are events, of people who were not taught. Data sets are read from `--data` (a folder each, with
an `index.csv` of clip, label, group). `--background FILE` makes the file of background that is shipped instead.
"""

from __future__ import annotations

import argparse
import csv
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime

from streamrec import Teacher
from streamrec.core import threads
from streamrec.core.intervals import poisson_interval, wilson_interval
from streamrec.evaluation.bench import commit, processor
from streamrec.events.detector import EventDetector
from streamrec.teach import statistics as running
from streamrec.teach.background import write_background
from streamrec.teach.encoder import teachable_encoder
from streamrec.teach.examples import NOTHING, Example
from streamrec.teach.fewshot import StatisticsCache, fit
from streamrec.teach.live import FewShotHead
from streamrec.types import ActionEnded, Frame, Source

ROUNDS = 6  # fits of each size
PARTS = ("gestures", "yoga", "interaction", "seconds", "swap", "kill")


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """One clip, as the encoder saw it."""

    name: str
    label: str
    group: str
    times: np.ndarray  # (T,) seconds
    features: np.ndarray  # (T, F)

    @property
    def seconds(self) -> float:
        return float(self.times[-1] - self.times[0])

    def example(self, label: str, start: float, end: float) -> Example:
        """This part of it, named."""
        return Example(label, start, end, self.times, self.features, id=next(NUMBERS))


def count() -> Iterator[int]:
    number = 0
    while True:
        number += 1
        yield number


NUMBERS = count()


class Bench:
    """The data, each clip played once through the encoder."""

    def __init__(self, data: Path, quick: int) -> None:
        self.data, self.quick = data, quick
        self.teacher = Teacher(None, remember=600)
        self.cache = StatisticsCache(running.Rates.of(teachable_encoder().config))
        self._clips: dict[Path, Clip] = {}

    def rows(self, name: str) -> list[dict[str, str]]:
        with (self.data / name / "index.csv").open(newline="") as file:
            return list(csv.DictReader(file))

    def clip(self, name: str, row: dict[str, str]) -> Clip:
        path = self.data / name / row["clip"]
        if path not in self._clips:
            last = 0.0
            source = ""
            for result in self.teacher.results(str(path)):
                last, source = result.frame.timestamp, result.frame.source
            times, features = self.teacher.history(source, last + 1.0) or (np.zeros(0), np.zeros((0, 0)))
            self._clips[path] = Clip(row["clip"], row.get("label", ""), row.get("group", ""), times, features)
        return self._clips[path]

    def clips(self, name: str, rows: Iterable[dict[str, str]]) -> list[Clip]:
        return [self.clip(name, row) for row in rows]

    def fit(self, examples: Sequence[Example]) -> FewShotHead:
        head, _ = fit(examples, self.cache, background=teachable_encoder().background)
        return head

    def events(self, head: FewShotHead, clip: Clip) -> list[tuple[str, float]]:
        """Label and seconds of each event of a clip played alone."""
        found = running.of_sequence(clip.times, clip.features, self.cache.rates)
        detector = EventDetector(head.labels, head.events)
        scores = list(head.probabilities(found))
        return [
            (event.label, event.duration)
            for _, event in detector.replay(clip.times.tolist(), scores)
            if isinstance(event, ActionEnded)
        ]

    def main_label(self, head: FewShotHead, clip: Clip) -> str | None:
        """Of the events of a clip, the label that lasted longest."""
        lasted: dict[str, float] = {}
        for label, seconds in self.events(head, clip):
            lasted[label] = lasted.get(label, 0.0) + seconds
        return max(lasted, key=lambda label: lasted[label]) if lasted else None


def gestures(bench: Bench) -> None:
    """Three examples a label of one person, a minute of nothing; events of the other person, both ways."""
    rows = bench.rows("gestures")
    signing = bench.rows("signing")
    taught_signing = [row for row in signing if row["source"] == "alpyksl"]
    other_signing = [row for row in signing if row["source"] != "alpyksl"][:: bench.quick]
    right = among = false = 0
    seconds = 0.0
    for person in ("p1", "p2"):
        examples, nothing = [], 0.0
        for clip in bench.clips("gestures", (row for row in rows if row["group"] == person)):
            end = clip.times[-1] - 0.3
            examples.append(clip.example(clip.label, max(0.3, end - 2.0), end))
            examples.append(clip.example(NOTHING, 0.0, 0.3))
            examples.append(clip.example(NOTHING, clip.times[-1] - 0.2, clip.times[-1]))
            nothing += 0.5
        for row in taught_signing:
            if nothing >= 60:
                break
            clip = bench.clip("signing", row)
            examples.append(clip.example(NOTHING, 0.0, clip.times[-1]))
            nothing += clip.seconds
        head = bench.fit(examples)
        for clip in bench.clips("gestures", (row for row in rows if row["group"] != person)):
            found = [label for label, _ in bench.events(head, clip)]
            right += clip.label in found and set(found) == {clip.label}
            among += 1
        for clip in bench.clips("signing", other_signing):
            false += len(bench.events(head, clip))
            seconds += clip.seconds
    low, high = poisson_interval(false)
    minutes = seconds / 60
    print(
        f"gestures: {right} of {among} clips of the other person recognized, and nothing else in them; false events "
        f"a minute of signing {false / minutes:.2f} ({low / minutes:.2f} to {high / minutes:.2f}; "
        f"{false} in {minutes:.1f} min)"
    )


def yoga(bench: Bench) -> None:
    """Examples of five people, tested on the other people; the middle 3 s of a clip are named."""
    rows = bench.rows("yoga")[:: min(2, bench.quick)]
    clips = bench.clips("yoga", rows)
    people = sorted({clip.group for clip in clips})

    def examples_of(clip: Clip) -> list[Example]:
        middle = clip.times[-1] / 2
        return [clip.example(clip.label, middle - 1.5, middle + 1.5)]

    taught = [clip for clip in clips if clip.group in people[:5]]
    tested = [clip for clip in clips if clip.group not in people[:5]]
    table(bench, "yoga", taught, tested, examples_of, [])


def interaction(bench: Bench) -> None:
    """Taught in place 1, tested in place 2; a minute of background of place 1 is nothing."""
    rows = bench.rows("interaction")
    by_place = {
        place: bench.clips(
            "interaction", (r for r in rows if r["place"] == place and r["label"] != "background")
        )
        for place in ("1", "2")
    }
    quiet = bench.clips("interaction", [r for r in rows if r["label"] == "background"][:20])

    def examples_of(clip: Clip) -> list[Example]:
        return [clip.example(clip.label, 0.4, clip.times[-1] - 0.2)]

    table(
        bench,
        "interaction",
        by_place["1"],
        by_place["2"],
        examples_of,
        [clip.example(NOTHING, 0.0, clip.times[-1]) for clip in quiet],
    )


def table(
    bench: Bench,
    name: str,
    taught: Sequence[Clip],
    tested: Sequence[Clip],
    examples_of: Callable[[Clip], list[Example]],
    nothing: list[Example],
) -> None:
    """Accuracy by the number of examples a label; of 3 and fewer the mean of five draws."""
    labels = sorted({clip.label for clip in taught})
    for wanted in (1, 3, 5, 99):
        hits = among = 0
        for seed in range(5 if wanted <= 5 else 1):
            random = np.random.default_rng(seed)
            examples = list(nothing)
            for label in labels:
                own = [clip for clip in taught if clip.label == label]
                for n in random.permutation(len(own))[:wanted]:
                    examples += examples_of(own[n])
            head = bench.fit(examples)
            judged = [clip for clip in tested if clip.label in labels]
            hits += sum(bench.main_label(head, clip) == clip.label for clip in judged)
            among += len(judged)
        low, high = wilson_interval(round(hits * len(tested) / among), len(tested))  # draws are not clips
        of = "all" if wanted == 99 else f"{wanted}"
        print(
            f"{name}: {of} examples a label: {100 * hits / among:.0f} % of clips are recognized "
            f"({100 * low:.0f} to {100 * high:.0f}; chance {100 / len(labels):.0f}; {len(tested)} clips)"
        )


class Shown:
    """Drawn features, given to a teacher as a stream would be."""

    def __init__(self, teacher: Teacher, labels: int) -> None:
        self._teacher, self._random = teacher, np.random.default_rng(0)
        self._means = self._random.normal(size=(labels + 1, teachable_encoder().size)).astype(np.float32)
        self._means[0] = 0.0
        self._frames = 0

    def show(self, label: int, seconds: float) -> None:
        """So many seconds of this label; 0 is nothing."""
        image = np.zeros((8, 8, 3), np.uint8)
        for _ in range(int(10 * seconds)):
            noise = self._random.normal(size=self._means.shape[1]).astype(np.float32)
            frame = Frame(image, self._frames, self._frames / 10, source="drawn")
            self._teacher.observe(frame, self._means[label] + noise)
            self._frames += 1


def seconds(bench: Bench) -> None:
    """From the last example to the new head in place: of drawn features, in a file on this disk."""
    for labels in (2, 5, 20):
        for total in (3, 10, 50):
            if total < labels:
                continue
            took, worked = [], []
            with (
                tempfile.TemporaryDirectory() as folder,
                Teacher(None, file=Path(folder) / "drawn.teach") as teacher,
            ):
                shown = Shown(teacher, labels)
                shown.show(0, 60.0)
                teacher.nothing(60.0)
                for n in range(total - 1):
                    shown.show(1 + n % labels, 2.0)
                    teacher.example(f"label {n % labels}")
                for _ in range(ROUNDS):
                    shown.show(labels, 2.0)
                    began, busy = time.perf_counter(), time.process_time()
                    example = teacher.example(f"label {labels - 1}")
                    teacher.fit()
                    took.append(time.perf_counter() - began)
                    worked.append(time.process_time() - busy)
                    teacher.remove(example.id)
            print(
                f"seconds: {total:3} examples of {labels:2} labels: p50 {statistics.median(took):.2f} s, "
                f"longest of {len(took)} {max(took):.2f} s; CPU time p50 {statistics.median(worked):.2f} s, "
                f"longest {max(worked):.2f} s",
                flush=True,
            )


class Drawn(Source):
    """Noise at 10 frames a second, as a camera gives it."""

    name, live = "drawn", True

    def __init__(self, frames: int) -> None:
        self._frames = frames

    def __iter__(self) -> Iterator[Frame]:
        random = np.random.default_rng(0)
        began = time.monotonic()
        for n in range(self._frames):
            time.sleep(max(0.0, began + n / 10 - time.monotonic()))
            image = random.integers(0, 255, (192, 256, 3), dtype=np.uint8)
            yield Frame(image, n, n / 10, source=self.name, captured=time.monotonic())


def swap(bench: Bench) -> None:
    """Frames lost while a head is fitted in its own thread and swapped in; against a stream that is left alone."""
    for taught in (False, True):
        lost, late, seen = 0, [], []
        with Teacher("webcam") as teacher:
            pending = None
            for result in teacher.results(Drawn(200)):
                lost = result.dropped
                late.append(result.latency)
                seen.append(result.frame.index)
                if taught and len(seen) in (40, 60, 80, 100, 120, 140, 160):
                    teacher.example("one" if len(seen) % 40 else "two")
                    if pending is None or pending.done():
                        pending = teacher.fit_later()
            if pending is not None:
                pending.result()
        late.sort()
        what = "taught 7 times while it runs" if taught else "left alone"
        print(
            f"swap: {what}: {lost} of {seen[-1] + 1} frames lost, latency p50 {1000 * late[len(late) // 2]:.0f} ms, "
            f"p99 {1000 * late[int(len(late) * 0.99)]:.0f} ms"
        )


KILLED = """
import sys, numpy as np
from streamrec import Teacher
from streamrec.types import Frame
teacher = Teacher(None, file=sys.argv[1])
size, frame, blank = teacher._encoder.size, 0, np.zeros((8, 8, 3), np.uint8)
while True:
    for _ in range(20):
        teacher.observe(Frame(blank, frame, frame / 10, source="drawn"), np.full(size, frame % 7, np.float32))
        frame += 1
    print(teacher.example("wave").id, flush=True)
"""


def kill(bench: Bench) -> None:
    """kill -9 at random moments while examples are given: those that were confirmed are there."""
    random = np.random.default_rng(1)
    confirmed = lost = torn = 0
    rounds = 20
    with tempfile.TemporaryDirectory() as folder:
        for n in range(rounds):
            path = Path(folder) / f"{n}.teach"
            process = subprocess.Popen(
                [sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True
            )
            assert process.stdout is not None
            confirmed_now = [int(process.stdout.readline())]
            threading.Timer(
                random.uniform(0.0, 0.4), lambda p=process: os.kill(p.pid, signal.SIGKILL)
            ).start()
            confirmed_now += [int(line) for line in process.stdout if line.endswith("\n")]
            process.wait()
            with Teacher(None, file=path) as teacher:
                there = {example.id for example in teacher.examples}
                torn += bool(teacher.notes)
            confirmed += len(confirmed_now)
            lost += len(set(confirmed_now) - there)
    print(
        f"kill: {rounds} times kill -9: {lost} of {confirmed} confirmed examples lost; "
        f"{torn} times a record that was never confirmed was cut off, and dropped"
    )


def background(data: Path, path: Path, count: int = 100) -> None:
    """Statistics of one frame each of clips of daily life, exercises and streets."""
    bench = Bench(data, 1)
    random = np.random.default_rng(0)
    rows = [("falls", row) for row in bench.rows("falls") if row["clip"].startswith("ADL")] * 4
    rows += [("workout", row) for row in bench.rows("workout")][:42]
    rows += [("fights", row) for row in bench.rows("fights") if row["label"] == "normal"]
    found = []
    for name, row in rows[: 2 * count]:
        clip = bench.clip(name, row)
        if clip.seconds < 1.0:
            continue
        at = random.integers(8, len(clip.times))
        found.append(
            running.of_sequence(clip.times[: at + 1], clip.features[: at + 1], bench.cache.rates)[-1]
        )
        if len(found) == count:
            break
    write_background(
        path,
        np.stack(found),
        teachable_encoder().kind.backbone,
        "GMDCSA24, WorkoutTracker, fight-detection-surv-dataset",
    )


def main() -> None:
    """Measure what is named."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "parts", nargs="*", choices=[*PARTS, []], help="what to measure; all of it by default"
    )
    parser.add_argument("--data", type=Path, default=Path("data"), help="the folder of the data sets")
    parser.add_argument(
        "--quick", type=int, default=1, metavar="N", help="play only each N-th clip of signing"
    )
    parser.add_argument("--background", type=Path, metavar="FILE", help="make the file of background")
    options = parser.parse_args()
    threads.limit_opencv_threads()
    if options.background:
        background(options.data, options.background)
        return
    print(
        f"{processor()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"ONNX Runtime {onnxruntime.__version__}, commit {commit()}"
    )
    bench = Bench(options.data, options.quick)
    for part in options.parts or PARTS:
        globals()[part](bench)


if __name__ == "__main__":
    main()

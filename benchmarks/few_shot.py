"""How well a few examples teach, beside the full training: `python benchmarks/few_shot.py FOLDER [PART ...]`

Parts: gestures, yoga, interaction, and the same with `-full`; without one all of them. Taught are three examples a
label, named as a user would: the last two seconds were this. Tested are people, or a place, that were not taught. Which
examples are taken is drawn anew for each seed. `-full` is what `streamrec train` learns, with its own choice of recipe,
from all clips of the taught people.

Each clip is played through a `Teacher` once, as a camera would be, and its features are kept in FOLDER, and the models
of the full training with their results: the same command goes on where it was. Data sets are read from `--data` (a
folder each, with an `index.csv` of clip, label, group). `--background FILE` makes the file of background that is
shipped instead.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import itertools
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from index_csv import rows_of

from streamrec import Recognizer, Teacher
from streamrec.core import threads
from streamrec.core.intervals import poisson_interval, wilson_interval
from streamrec.evaluation.bench import commit, processor
from streamrec.events.detector import EventDetector
from streamrec.pipeline.loop import results
from streamrec.sources.files import FileSource
from streamrec.teach import statistics as running
from streamrec.teach.background import write_background
from streamrec.teach.encoder import teachable_encoder
from streamrec.teach.examples import NOTHING, Example
from streamrec.teach.fewshot import StatisticsCache, TeachReport, fit
from streamrec.teach.live import FewShotHead
from streamrec.types import ActionEnded

PARTS = ("gestures", "yoga", "interaction", "gestures-full", "yoga-full", "interaction-full")


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """One clip, as the encoder saw it."""

    set: str
    row: Mapping[str, str]  # of the index
    times: np.ndarray  # (T,) seconds
    features: np.ndarray  # (T, F)

    @property
    def label(self) -> str:
        return self.row.get("label", "")

    @property
    def seconds(self) -> float:
        return float(self.times[-1] - self.times[0])

    def example(self, label: str, start: float, end: float) -> Example:
        """This part of it, named."""
        return Example(label, start, end, self.times, self.features, id=next(NUMBERS))


NUMBERS = itertools.count(1)


@dataclass(frozen=True, slots=True)
class ClipResult:
    """The result of a model for a clip: the events, and the label with the highest mean score."""

    events: tuple[tuple[str, float], ...]  # label, seconds
    highest: str  # of the labels that are actions

    @property
    def main(self) -> str | None:
        """The label that was reported longest."""
        lasted: dict[str, float] = {}
        for label, seconds in self.events:
            lasted[label] = lasted.get(label, 0.0) + seconds
        return max(lasted, key=lambda label: lasted[label]) if lasted else None

    def is_only(self, label: str) -> bool:
        """Whether the label was reported, and nothing else."""
        return {name for name, _ in self.events} == {label}


class Bench:
    """The data, each clip played once through the encoder, and the models of the full training."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.folder, self.data, self.quick = options.folder, options.data, options.quick
        self.seeds, self.wanted = range(options.seeds), options.examples
        self.cache = StatisticsCache(running.Rates.of(teachable_encoder().config))
        self._teacher = Teacher(None, remember=600, threads=1)
        self._clips: dict[Path, Clip] = {}
        self.folder.mkdir(parents=True, exist_ok=True)

    def rows(self, name: str) -> list[dict[str, str]]:
        return rows_of(self.data / name)

    def clip(self, name: str, row: dict[str, str]) -> Clip:
        path = self.data / name / row["clip"]
        if path not in self._clips:
            self._clips[path] = Clip(name, row, *self._seen(name, path))
        return self._clips[path]

    def clips(self, name: str, rows: Iterable[dict[str, str]]) -> list[Clip]:
        return [self.clip(name, row) for row in rows]

    def _seen(self, name: str, path: Path) -> tuple[np.ndarray, np.ndarray]:
        """Times and features of a clip, of the encoder as it is now."""
        key = hashlib.blake2b(str(path).encode(), digest_size=6).hexdigest()
        kept = self.folder / f"{name}-{path.stem}-{key}-{teachable_encoder().kind.backbone[:8]}.npz"
        if not kept.exists():
            last, source = 0.0, ""
            for result in self._teacher.results(str(path)):
                last, source = result.frame.timestamp, result.frame.source
            seen = self._teacher.history(source, last + 1.0) or (np.zeros(0), np.zeros((0, 0)))
            part = kept.with_suffix(".part.npz")
            np.savez(part, times=seen[0], features=seen[1].astype(np.float16))
            part.replace(kept)
        with np.load(kept) as arrays:
            return arrays["times"], arrays["features"].astype(np.float32)

    def fit(self, examples: Sequence[Example]) -> tuple[FewShotHead, TeachReport]:
        return fit(examples, self.cache, background=teachable_encoder().background)

    def with_head(self, head: FewShotHead, clip: Clip) -> ClipResult:
        """The result of a taught head for a clip that is played alone."""
        found = running.of_sequence(clip.times, clip.features, self.cache.rates)
        detector, scores = EventDetector(head.labels, head.events), head.probabilities(found)
        events = tuple(
            (event.label, event.duration)
            for _, event in detector.replay(clip.times.tolist(), scores)
            if isinstance(event, ActionEnded)
        )
        return ClipResult(events, head.labels[1 + int(scores[:, 1:].mean(0).argmax())])

    def trained(self, name: str, taught: Sequence[Clip], nothing: Sequence[Clip], seed: int) -> Path:
        """The model that ``streamrec train`` makes of all clips of the taught."""
        model = self.folder / f"{name}-{seed}.safetensors"
        if model.exists():
            return model
        table = self.folder / f"{name}.csv"
        with table.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(("clip", "label", "group"))
            for clip in taught:
                writer.writerow((self.data / clip.set / clip.row["clip"], clip.label, clip.row["group"]))
        command = [
            sys.executable,
            "-m",
            "streamrec",
            "train",
            str(table),
            "--out",
            str(model),
            "--hold-out",
            "0",
        ]
        command += ["--seed", str(seed), "--threads", "1"]
        for clip in nothing:
            command += ["--background", str(self.data / clip.set / clip.row["clip"])]
        with (self.folder / f"{name}-{seed}.log").open("w") as log:
            subprocess.run(command, check=True, stdout=log, stderr=subprocess.STDOUT)
        return model

    def with_model(self, recognizer: Recognizer, clip: Clip) -> ClipResult:
        """The result of a trained model for a clip that is played alone."""
        events, scores = [], []
        for result in results(FileSource(self.data / clip.set / clip.row["clip"]), recognizer):
            scores.append(result.prediction.probabilities)
            events += [(e.label, e.duration) for e in result.events if isinstance(e, ActionEnded)]
        quiet = recognizer.config.events.background
        mean = {
            label: score
            for label, score in zip(recognizer.labels, np.mean(scores, axis=0), strict=True)
            if label not in quiet
        }
        return ClipResult(tuple(events), max(mean, key=lambda label: mean[label]))


# -- gestures: three examples a label of one person, and a minute of nothing; tested on the other person


def taught_gestures(bench: Bench, person: str, seed: int) -> tuple[list[Clip], list[Clip]]:
    """The clips of a person, and a minute of signing."""
    clips = bench.clips("gestures", (row for row in bench.rows("gestures") if row["group"] == person))
    signing = [row for row in bench.rows("signing") if row["source"] == "alpyksl"]
    nothing: list[Clip] = []
    for n in np.random.default_rng(seed).permutation(len(signing)):
        if sum(clip.seconds for clip in nothing) > 55:
            break
        nothing.append(bench.clip("signing", signing[n]))
    return clips, nothing


def of_gestures(bench: Bench, name: str, judge: Callable[[str, int], Callable[[Clip], ClipResult]]) -> None:
    """``judge``: of a person that is taught and a seed -> the result for a clip."""
    rows = bench.rows("gestures")
    others = [row for row in bench.rows("signing") if row["source"] != "alpyksl"][:: bench.quick]
    for seed in bench.seeds:
        right = main = among = false = 0
        seconds = 0.0
        for person in ("p1", "p2"):
            recognize = judge(person, seed)
            for clip in bench.clips("gestures", (row for row in rows if row["group"] != person)):
                found = recognize(clip)
                right, main, among = (
                    right + found.is_only(clip.label),
                    main + (found.main == clip.label),
                    among + 1,
                )
            for clip in bench.clips("signing", others):
                false += len(recognize(clip).events)
                seconds += clip.seconds
        minutes = seconds / 60
        low, high = poisson_interval(false)
        print(
            f"{name}, seed {seed}: {right} of {among} clips of the other person: their event, and nothing else in "
            f"them ({main}: the longest event is right); false events a minute of signing {false / minutes:.2f} "
            f"({low / minutes:.2f} to {high / minutes:.2f}; {false} in {minutes:.1f} min)",
            flush=True,
        )


def gestures(bench: Bench) -> None:
    def judge(person: str, seed: int) -> Callable[[Clip], ClipResult]:
        clips, nothing = taught_gestures(bench, person, seed)
        examples = []
        for clip in clips:
            end = clip.times[-1] - 0.3
            examples += [
                clip.example(clip.label, max(0.3, end - 2.0), end),
                clip.example(NOTHING, 0.0, 0.3),
                clip.example(NOTHING, clip.times[-1] - 0.2, clip.times[-1]),
            ]
        head, _ = bench.fit(examples + [clip.example(NOTHING, 0.0, clip.times[-1]) for clip in nothing])
        return lambda clip: bench.with_head(head, clip)

    of_gestures(bench, "gestures", judge)


def gestures_full(bench: Bench) -> None:
    def judge(person: str, seed: int) -> Callable[[Clip], ClipResult]:
        model = Recognizer.load(
            bench.trained(f"gestures-{person}", *taught_gestures(bench, person, seed), seed), threads=1
        )
        return lambda clip: bench.with_model(model, clip)

    of_gestures(bench, "gestures-full", judge)


# -- yoga and interaction: other people, another place


def yoga_parts(bench: Bench) -> tuple[list[Clip], list[Clip], list[Clip]]:
    """Five people are taught, the others tested; there is no nothing."""
    clips = bench.clips("yoga", bench.rows("yoga"))
    people = sorted({clip.row["group"] for clip in clips})
    taught = [clip for clip in clips if clip.row["group"] in people[:5]]
    return taught, [clip for clip in clips if clip.row["group"] not in people[:5]], []


def interaction_parts(bench: Bench) -> tuple[list[Clip], list[Clip], list[Clip]]:
    """Place 1 is taught, with a minute of its background; place 2 is tested."""
    rows = bench.rows("interaction")
    taught, tested = (
        bench.clips("interaction", (r for r in rows if r["place"] == place and r["label"] != "background"))
        for place in ("1", "2")
    )
    return taught, tested, bench.clips("interaction", [r for r in rows if r["label"] == "background"][:20])


def of_parts(
    bench: Bench,
    name: str,
    tested: Sequence[Clip],
    labels: set[str],
    seed: int,
    recognize: Callable[[Clip], ClipResult],
) -> None:
    """Print how many of the tested clips are right."""
    judged = [clip for clip in tested if clip.label in labels]
    results_of = [(clip, recognize(clip)) for clip in judged]
    among = len(judged)
    main, high, only = (
        sum(found(clip, one) for clip, one in results_of)
        for found in (
            lambda clip, one: one.main == clip.label,
            lambda clip, one: one.highest == clip.label,
            lambda clip, one: one.is_only(clip.label),
        )
    )
    low, most = wilson_interval(main, among)
    print(
        f"{name}, seed {seed}: {100 * main / among:.0f} % of {among} clips: their label is reported longest "
        f"({100 * low:.0f} to {100 * most:.0f}; chance {100 / len(labels):.0f}); {100 * high / among:.0f} %: it has "
        f"the highest mean score; {100 * only / among:.0f} %: nothing else is reported",
        flush=True,
    )


def few(
    bench: Bench,
    name: str,
    parts: tuple[list[Clip], list[Clip], list[Clip]],
    part_of: Callable[[Clip], tuple[float, float]],
) -> None:
    """``part_of``: the seconds of a clip that are named."""
    taught, tested, nothing = parts
    labels = {clip.label for clip in taught}
    for seed in bench.seeds:
        random = np.random.default_rng(seed)
        examples = [clip.example(NOTHING, 0.0, clip.times[-1]) for clip in nothing]
        for label in sorted(labels):
            own = [clip for clip in taught if clip.label == label]
            examples += [
                own[n].example(label, *part_of(own[n])) for n in random.permutation(len(own))[: bench.wanted]
            ]
        head, _ = bench.fit(examples)
        of_parts(bench, name, tested, labels, seed, lambda clip, head=head: bench.with_head(head, clip))  # type: ignore[misc]


def full(bench: Bench, name: str, parts: tuple[list[Clip], list[Clip], list[Clip]]) -> None:
    taught, tested, nothing = parts
    for seed in bench.seeds:
        model = Recognizer.load(bench.trained(name, taught, nothing, seed), threads=1)
        labels = {clip.label for clip in taught}
        of_parts(
            bench,
            f"{name}-full",
            tested,
            labels,
            seed,
            lambda clip, model=model: bench.with_model(model, clip),
        )  # type: ignore[misc]


def middle(clip: Clip) -> tuple[float, float]:
    """The middle 3 s."""
    return clip.times[-1] / 2 - 1.5, clip.times[-1] / 2 + 1.5


def background(bench: Bench, path: Path, most: int = 100) -> None:
    """Statistics of one frame each of clips of daily life, exercises and streets."""
    random = np.random.default_rng(0)
    rows = [("falls", row) for row in bench.rows("falls") if row["clip"].startswith("ADL")] * 4
    rows += [("workout", row) for row in bench.rows("workout")][:42]
    rows += [("fights", row) for row in bench.rows("fights") if row["label"] == "normal"]
    found = []
    for name, row in rows[: 2 * most]:
        clip = bench.clip(name, row)
        if clip.seconds < 1.0:
            continue
        at = random.integers(8, len(clip.times))
        found.append(
            running.of_sequence(clip.times[: at + 1], clip.features[: at + 1], bench.cache.rates)[-1]
        )
        if len(found) == most:
            break
    sources = "GMDCSA24, WorkoutTracker, fight-detection-surv-dataset"
    write_background(path, np.stack(found), teachable_encoder().kind.backbone, sources)


def main() -> None:
    """Measure what is named."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="for features and models; some may be there already")
    parser.add_argument(
        "parts", nargs="*", choices=[*PARTS, []], help="what to measure; all of it by default"
    )
    parser.add_argument("--data", type=Path, default=Path("data"), help="the folder of the data sets")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--examples", type=int, default=3, help="of a label of yoga and interaction, at most")
    parser.add_argument(
        "--quick", type=int, default=1, metavar="N", help="play only each N-th clip of signing"
    )
    parser.add_argument("--background", type=Path, metavar="FILE", help="make the file of background")
    options = parser.parse_args()
    threads.limit_opencv_threads()
    bench = Bench(options)
    if options.background:
        background(bench, options.background)
        return
    print(
        f"{processor()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"ONNX Runtime {onnxruntime.__version__}, commit {commit()}"
    )
    whole = {
        "gestures": gestures,
        "yoga": lambda bench: few(bench, "yoga", yoga_parts(bench), middle),
        "interaction": lambda bench: few(
            bench, "interaction", interaction_parts(bench), lambda clip: (0.4, clip.times[-1] - 0.2)
        ),
        "gestures-full": gestures_full,
        "yoga-full": lambda bench: full(bench, "yoga", yoga_parts(bench)),
        "interaction-full": lambda bench: full(bench, "interaction", interaction_parts(bench)),
    }
    for part in options.parts or PARTS:
        whole[part](bench)


if __name__ == "__main__":
    main()

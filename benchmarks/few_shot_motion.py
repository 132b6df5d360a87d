"""How well a few examples teach movements by readings: `python benchmarks/few_shot_motion.py FOLDER --out RUNS`

FOLDER holds tables of readings, a person each group. `turning` and `sitting_down` are taught, the other labels are
nothing: three and ten examples of each, of the people of a fold, and a minute of the rest; they are drawn anew for each
seed. Tested are the people of the other part of the fold, whom neither the taught head nor its backbone ever saw. The
backbone is one that never knew the taught labels either: for its training, which happens here where it is missing,
turning is called walking, and sitting down seated. `--backbones MODELS` takes those that `benchmarks/motion.py` left
instead: they learned the taught labels, of the other people. Their own predictions are the full training beside it.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from motion import THIN, folds_of, scores_of, train_missing

from streamrec.data.clips import Clip, find_clips
from streamrec.data.decode_cache import Recording, decode_clips
from streamrec.data.tables import on_ticks
from streamrec.evaluation.bench import commit, processor
from streamrec.evaluation.intervals import bootstrap_interval
from streamrec.evaluation.metrics import F1AtOverlap, OnsetDelay, average_precision
from streamrec.evaluation.reports import playback_of
from streamrec.events.detector import EventSettings
from streamrec.nn.model import ActionModel
from streamrec.runtime.checkpoint import load_model
from streamrec.teach import statistics as running
from streamrec.teach.encoder import SECONDS
from streamrec.teach.examples import NOTHING, Example
from streamrec.teach.fewshot import StatisticsCache, fit
from streamrec.teach.ring import CONTEXT
from streamrec.types import ActionEnded

TAUGHT = {"turning": "walking", "sitting_down": "seated"}  # and what the backbone's training calls it
MINUTE = 60.0  # seconds of nothing
NUMBERS = itertools.count(1)


@dataclass(frozen=True, eq=False)
class Stream:
    """One recording, as the frozen encoder sees it."""

    clip: Clip
    times: np.ndarray  # (T,) seconds
    features: np.ndarray  # (T, F)
    statistics: np.ndarray  # (T, 4 F)
    truth: tuple[str, ...]  # (T,)
    rows: np.ndarray  # (T, C)

    def example(self, label: str, begin: int, end: int) -> Example:
        """The rows from ``begin`` to before ``end``, named."""
        first = int(np.searchsorted(self.times, self.times[begin] - CONTEXT))
        part = slice(first, end)
        return Example(
            label,
            float(self.times[begin]),
            float(self.times[end - 1]),
            self.times[part],
            self.features[part],
            id=next(NUMBERS),
        )

    def spans(self) -> Iterator[tuple[str, int, int]]:
        """Label, first row and the row behind the last, of each action."""
        begin = 0
        for label, group in itertools.groupby(self.truth):
            count = len(tuple(group))
            yield label, begin, begin + count
            begin += count


def merged(folder: Path, out: Path) -> Path:
    """A copy of the tables in which no row has a taught label."""
    out.mkdir(parents=True, exist_ok=True)
    for path in sorted(folder.glob("*.csv.gz")):
        if not (out / path.name).exists():
            text = gzip.decompress(path.read_bytes()).decode()
            for label, called in TAUGHT.items():
                text = text.replace(f",{label}\n", f",{called}\n").replace(f",{label}\r\n", f",{called}\r\n")
            (out / path.name).write_bytes(gzip.compress(text.encode()))
    return out


@torch.inference_mode()
def streams_of(clips: Sequence[Clip], model: ActionModel, rates: running.Rates) -> list[Stream]:
    """The recordings of these clips; their labels are those of the tables, whatever the model knows."""
    labels = tuple(sorted({"seated", "standing_up", "walking", *TAUGHT}))
    found = []
    for clip, one in decode_clips(clips, model.config.transform, labels):
        if not isinstance(one, Recording):
            continue
        rows, times, nearest = on_ticks(one.pictures, one.timestamps, model.config.fps, model.config.max_gap)
        given = torch.from_numpy(rows.astype(np.float32))[None]
        elapsed = torch.from_numpy(np.diff(times, prepend=-np.inf).astype(np.float32))[None]
        fresh, log_elapsed = model.timing(elapsed)
        state = model.initial_state()
        features, _ = model.encoder((given - model.mean) / model.std, log_elapsed, fresh, state.cache)
        array = features[0].numpy().astype(np.float16).astype(np.float32)  # as a file of examples keeps them
        truth = tuple(labels[n] for n in one.targets[nearest])
        found.append(Stream(clip, times, array, running.of_sequence(times, array, rates), truth, rows))
    return found


def examples_of(streams: Sequence[Stream], wanted: int, random: np.random.Generator) -> list[Example]:
    """So many of each taught label, and a minute of the rest, each from another recording."""
    found = []
    for label in TAUGHT:
        spans = [(s, begin, end) for s in streams for name, begin, end in s.spans() if name == label]
        picked = random.permutation(len(spans))[:wanted]
        found += [spans[n][0].example(label, *spans[n][1:]) for n in picked]
    seconds = 0.0
    for n in random.permutation(len(streams)):
        for label, begin, end in streams[n].spans():
            if label not in TAUGHT and end - begin > 3 and seconds < MINUTE:
                one = streams[n].example(NOTHING, begin, end)
                found.append(one)
                seconds += one.seconds
    return found


@dataclass(frozen=True)
class Judged:
    """The result for one tested recording."""

    truth: np.ndarray  # (T, labels) bool, thinned
    scores: np.ndarray  # (T, labels)
    counts: np.ndarray  # hits at overlap 50 %, true, found; matched onsets, true
    delays: tuple[float, ...]


def judged(stream: Stream, scores: np.ndarray, labels: Sequence[str], events: EventSettings) -> Judged:
    """``scores`` (T, labels) of a model of these labels; only the taught ones count."""
    played = playback_of(stream.clip, stream.times, scores, labels, events)
    found = sorted((e.started, e.timestamp, e.label) for e in played.events if isinstance(e, ActionEnded))
    found = [one for one in found if one[2] in TAUGHT]
    actions = [one for one in played.actions if one.label in TAUGHT]
    f1, onset = F1AtOverlap((0.5,)), OnsetDelay()
    f1.update(actions, found)
    kept = [(e, at) for e, at in zip(played.events, played.notified, strict=True) if e.label in TAUGHT]
    onset.update(actions, [e for e, _ in kept], notified=[at for _, at in kept])
    total = len(actions) + len(found)
    hits = round((f1.get()[0.5] or 0.0) * total / 2)
    taught = [list(labels).index(label) for label in TAUGHT]
    truth = np.array([[name == label for label in TAUGHT] for name in stream.truth])
    counts = np.array([hits, len(actions), len(found), onset.get().matched, len(actions)])
    return Judged(truth[::THIN], scores[::THIN, taught], counts, onset.notified)


def mean_ap(results: Sequence[Judged]) -> float:
    """Per-frame average precision, mean over the taught labels, per cent."""
    truth, scores = (np.concatenate([getattr(one, name) for one in results]) for name in ("truth", "scores"))
    found = [average_precision(truth[:, n], scores[:, n]) for n in range(len(TAUGHT)) if truth[:, n].any()]
    return 100.0 * float(np.mean(found)) if found else float("nan")


MEASURES: dict[str, Callable[[Sequence[Judged]], float]] = {
    "mAP": mean_ap,
    "F1@50": lambda results: (
        100.0
        * 2
        * sum(o.counts[0] for o in results)
        / max(1, sum(o.counts[1] + o.counts[2] for o in results))
    ),
    "onsets found": lambda results: (
        100.0 * sum(o.counts[3] for o in results) / max(1, sum(o.counts[4] for o in results))
    ),
    "delay s": lambda results: float(np.median([d for o in results for d in o.delays] or [np.nan])),
}


def row(by_seed: Sequence[Sequence[Judged]], groups: Sequence[str]) -> str:
    """Each measure, the mean over seeds, with its interval over people."""
    cells = []
    numbers = np.arange(len(groups))
    for measure in MEASURES.values():

        def statistic(drawn: np.ndarray, measure: Callable[[Sequence[Judged]], float] = measure) -> float:
            return float(np.mean([measure([results[n] for n in drawn]) for results in by_seed]))

        low, high = bootstrap_interval(numbers, groups, statistic, rounds=200)
        cells.append(f"{statistic(numbers):.2f} ({low:.2f} to {high:.2f})")
    return " | ".join(cells)


def main() -> None:
    """Train what is missing, measure, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs/few-shot-motion"))
    parser.add_argument("--backbones", type=Path, help="models of benchmarks/motion.py")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folds", type=int, default=6)
    parser.add_argument("--steps", type=int, help="of the training of the backbones")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{processor()}, torch {torch.__version__}, commit {commit()}", flush=True)
    backbones = options.backbones
    if backbones is None:
        backbones = options.out / "models"
        tables = merged(options.folder, options.out / "tables")
        train_missing(tables, backbones, [0], options.folds, options.steps)
    found: dict[str, list[list[Judged]]] = {}
    groups: list[str] = []
    clips = find_clips(options.folder)
    for fold, (learned, tested) in enumerate(folds_of(clips, options.folds)):
        model = load_model(backbones / f"seed0-fold{fold}.safetensors")
        config = model.config
        frames = np.array([1.0, running.SHORT, running.LONG], np.float32) * np.float32(SECONDS * config.fps)
        rates = running.Rates(frames, config.fps, config.max_gap)
        shown, asked = (streams_of(part, model, rates) for part in (learned, tested))
        groups += [stream.clip.group for stream in asked]
        for seed in range(options.seeds):
            for wanted in (3, 10):
                random = np.random.default_rng(100 * fold + seed)
                head, _ = fit(examples_of(shown, wanted, random), StatisticsCache(rates))
                each = found.setdefault(f"{wanted} examples of each", [[] for _ in range(options.seeds)])
                each[seed] += [
                    judged(one, head.probabilities(one.statistics), head.labels, head.events) for one in asked
                ]
            if options.backbones is not None:
                full = load_model(backbones / f"seed{seed}-fold{fold}.safetensors")
                each = found.setdefault("full training", [[] for _ in range(options.seeds)])
                each[seed] += [
                    judged(one, scores_of(full, one.rows, one.times), full.config.labels, full.config.events)
                    for one in asked
                ]
    print(f"{len(set(groups))} people, {len(groups)} recordings\n")
    print("| | " + " | ".join(MEASURES) + " |\n|---|" + "---|" * len(MEASURES))
    for name, by_seed in found.items():
        print(f"| {name} | {row(by_seed, groups)} |")


if __name__ == "__main__":
    main()

"""How well the recipe ``motion`` recognizes people whom it did not learn from, at several rates and with lost rows.

    python benchmarks/motion.py FOLDER --out runs/motion        # tables of readings: data/tables.py says how they look

Folds hold out whole people; each is trained with each seed (a model file each, so that a stopped run goes on). Beside
it stands a logistic regression on statistics of the last second (mean, deviation, least, most, mean step of each
channel), with penalty and smoothing chosen on an inner split, and scores at random. Every method is given the same rows
and settings of events; the truth is the label of that moment. Intervals are of 95 %, by bootstrap over people.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from streamrec.data.clips import Clip, find_clips
from streamrec.data.decode_cache import Recording, decode_clips
from streamrec.data.splits import split_by_group
from streamrec.data.tables import on_ticks
from streamrec.evaluation.baselines import EncodedClip, PerFrame, fit_per_frame
from streamrec.evaluation.intervals import bootstrap_interval
from streamrec.evaluation.metrics import F1AtOverlap, OnsetDelay, average_precision, edit_score
from streamrec.evaluation.reports import Playback, playback_of
from streamrec.nn.model import ActionModel
from streamrec.runtime.checkpoint import Checkpoint, load_model, write_checkpoint
from streamrec.runtime.export import weights_of
from streamrec.sources.sampling import due_frames
from streamrec.train.job import TrainJob
from streamrec.train.recipes import find_recipe, put_together
from streamrec.types import ActionEnded

WINDOW = 1.0  # seconds of the baseline's statistics
ROUNDS = 200
THIN = 4  # of the frames, for average precision


@dataclass(frozen=True)
class Condition:
    """What is done to the rows of a table before they are recognized."""

    name: str
    fps: float | None = None  # None: as recorded
    drop: float = 0.0
    raw: bool = False  # not put on the model's clock

    def rows(self, times: np.ndarray, seed: int) -> np.ndarray:
        """The indices of the rows that are left."""
        kept = np.arange(len(times))
        if self.fps is not None:
            periods = np.floor((times - times[0]) * self.fps + 1e-6)
            kept = np.flatnonzero(np.diff(periods, prepend=-1) > 0)
        if self.drop:
            kept = kept[
                (np.random.default_rng(seed).random(len(kept)) >= self.drop) | (np.arange(len(kept)) == 0)
            ]
        return kept


CONDITIONS = (
    Condition("as recorded"),
    Condition("25 Hz", 25.0),
    Condition("12.5 Hz", 12.5),
    Condition("30 % of the rows lost", None, 0.3),
    Condition("12.5 Hz, not resampled", 12.5, raw=True),
    Condition("30 % lost, not resampled", None, 0.3, raw=True),
)


def stepped(
    one: Recording, condition: Condition, seed: int, fps: float, gap: float
) -> tuple[np.ndarray, np.ndarray]:
    """(T, C) rows as the model gets them, and (T,) their seconds."""
    kept = condition.rows(one.timestamps, seed)
    data, times = one.pictures[kept], one.timestamps[kept]
    if condition.raw:
        due = due_frames(times.tolist(), fps)
        return data[due], times[due]
    rows, seconds, _ = on_ticks(data, times, fps, gap)
    return rows, seconds


@torch.inference_mode()
def scores_of(model: ActionModel, rows: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """(T, labels) probabilities."""
    elapsed = torch.from_numpy(np.diff(seconds, prepend=-np.inf).astype(np.float32))
    outputs, _ = model(torch.from_numpy(rows.astype(np.float32))[None], elapsed[None])
    logits, _ = model.split(outputs[0])
    return torch.softmax(logits, -1).numpy()


def statistics(rows: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """(T, 5 C): mean, deviation, least, most and mean step of each channel over the last second."""
    found = []
    begun = np.searchsorted(seconds, seconds - WINDOW)
    for n, first in enumerate(begun):
        part = rows[first : n + 1]
        step = np.abs(np.diff(part, axis=0)).mean(0) if len(part) > 1 else np.zeros(part.shape[1])
        found.append(np.concatenate([part.mean(0), part.std(0), part.min(0), part.max(0), step]))
    return np.array(found, np.float32)


def encoded(one: Recording, fps: float, gap: float, labels: int) -> EncodedClip:
    """What the baseline is fitted to."""
    rows, seconds, nearest = on_ticks(one.pictures, one.timestamps, fps, gap)
    features = statistics(rows, seconds)
    return EncodedClip(
        seconds, one.targets[nearest], features, np.zeros((len(rows), labels), np.float32), one.group
    )


@dataclass(frozen=True)
class Scored:
    """The numbers of one stream."""

    truth: np.ndarray  # (T, labels) bool, thinned
    scores: np.ndarray  # (T, labels)
    right: float
    edit: float
    counts: np.ndarray  # (5,) hits at overlap 50 %, true and found segments; matched and true onsets
    delays: tuple[float, ...]

    @classmethod
    def of(cls, one: Playback, labels: Sequence[str]) -> Scored:
        """Of a stream's playback."""
        found = sorted((e.started, e.timestamp, e.label) for e in one.events if isinstance(e, ActionEnded))
        f1, onset = F1AtOverlap((0.5,)), OnsetDelay()
        f1.update(one.actions, found)
        onset.update(one.actions, one.events, notified=one.notified)
        total = len(one.actions) + len(found)
        hits = round((f1.get()[0.5] or 0.0) * total / 2)
        truth = np.array([[true == label for label in labels] for true in one.truth])
        return cls(
            truth[::THIN],
            one.probabilities[::THIN],
            float(np.mean(one.hits(labels))),
            edit_score(one.actions, found),
            np.array([hits, len(one.actions), len(found), onset.get().matched, len(one.actions)]),
            onset.notified,
        )


def mean_ap(streams: Sequence[Scored]) -> float:
    """Per-frame average precision, mean over labels, per cent."""
    truth, scores = (np.concatenate([getattr(one, name) for one in streams]) for name in ("truth", "scores"))
    found = [average_precision(truth[:, n], scores[:, n]) for n in range(truth.shape[1]) if truth[:, n].any()]
    return 100.0 * float(np.mean(found))


def f1(streams: Sequence[Scored]) -> float:
    """Segmental F1 at overlap 50 %, per cent."""
    hits, true, found, _, _ = sum(one.counts for one in streams)
    return 100.0 * 2 * hits / max(true + found, 1)


MEASURES: dict[str, Callable[[Sequence[Scored]], float]] = {
    "mAP": mean_ap,
    "frames": lambda streams: 100.0 * float(np.mean([one.right for one in streams])),
    "edit": lambda streams: 100.0 * float(np.mean([one.edit for one in streams])),
    "F1@50": f1,
    "onsets found": lambda streams: (
        100.0 * sum(o.counts[3] for o in streams) / sum(o.counts[4] for o in streams)
    ),
    "delay s": lambda streams: float(np.median([d for one in streams for d in one.delays] or [np.nan])),
}


def over_seeds(by_seed: Sequence[Sequence[Scored]], groups: Sequence[str]) -> dict[str, dict[str, object]]:
    """Each measure, averaged over seeds, with its interval over people."""
    table = {}
    for name, measure in MEASURES.items():

        def statistic(drawn: np.ndarray, measure: Callable[[Sequence[Scored]], float] = measure) -> float:
            return float(np.mean([measure([streams[n] for n in drawn]) for streams in by_seed]))

        numbers = np.arange(len(groups))
        low, high = bootstrap_interval(numbers, groups, statistic, rounds=ROUNDS)
        table[name] = {"value": statistic(numbers), "interval": [low, high]}
    return table


def folds_of(clips: list[Clip], folds: int) -> Iterator[tuple[list[Clip], list[Clip]]]:
    """Clips to learn from, and those of other people."""
    for fold in range(folds):
        yield split_by_group(clips, fold=fold, folds=folds, seed=0)


def train_missing(
    folder: str | Path, out: Path, seeds: Sequence[int], folds: int, steps: int | None = None
) -> list[Clip]:
    """Train the model of each fold and seed that is not in ``out`` yet; returns the clips."""
    clips = find_clips(folder)
    config, settings, _ = put_together("motion", settings={} if steps is None else {"steps": steps})
    job = TrainJob(
        data=(str(folder),),
        out=out / "x.safetensors",
        config=config,
        settings=settings,
        score=find_recipe("motion").score,
    )
    for seed in seeds:
        for fold, (learned, measured) in enumerate(folds_of(clips, folds)):
            path = out / f"seed{seed}-fold{fold}.safetensors"
            if not path.exists():
                one = replace(job, out=path, settings=replace(settings, seed=seed))
                model = one.fit(one.decode(learned, measured))
                write_checkpoint(path, Checkpoint(path.stem, model.config, weights_of(model), None))
                for resumed in one.resumes:
                    resumed.unlink(missing_ok=True)
    return clips


def main() -> None:
    """Train what is missing, measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder")
    parser.add_argument("--out", type=Path, default=Path("runs/motion"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--folds", type=int, default=6)
    parser.add_argument("--steps", type=int, default=None)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    clips = train_missing(arguments.folder, arguments.out, arguments.seeds, arguments.folds, arguments.steps)
    results = measured_table(clips, arguments)
    (arguments.out / "report.json").write_text(json.dumps(results, indent=2))
    for name, table in results.items():
        cells = [
            f"{one['value']:.2f} ({one['interval'][0]:.2f} to {one['interval'][1]:.2f})"
            for one in table.values()
        ]
        print(f"| {name} | " + " | ".join(cells) + " |")


def measured_table(
    clips: list[Clip], arguments: argparse.Namespace
) -> dict[str, dict[str, dict[str, object]]]:
    """Method and condition -> measure -> value and interval."""
    found: dict[str, list[list[Scored]]] = {}
    groups: list[str] = []
    for seed in arguments.seeds:
        rows: dict[str, list[Scored]] = {}
        groups = []
        for fold, (learned, measured) in enumerate(folds_of(clips, arguments.folds)):
            model = load_model(arguments.out / f"seed{seed}-fold{fold}.safetensors")
            config = model.config
            labels, gap = config.labels, config.max_gap
            back = [
                (c, r)
                for c, r in decode_clips(measured, config.transform, labels)
                if isinstance(r, Recording)
            ]
            groups += [clip.group for clip, _ in back]
            baseline: PerFrame | None = None
            if seed == arguments.seeds[0]:
                front = [
                    r for _, r in decode_clips(learned, config.transform, labels) if isinstance(r, Recording)
                ]
                baseline = fit_per_frame(
                    [encoded(r, config.fps, gap, len(labels)) for r in front], len(labels)
                )
            for number, (clip, one) in enumerate(back):
                for condition in CONDITIONS:
                    data, seconds = stepped(one, condition, 1000 * fold + number, config.fps, gap)
                    scores = {"motion": scores_of(model, data, seconds)}
                    if baseline is not None and not condition.raw:
                        scores["logistic regression"] = baseline(statistics(data, seconds), seconds)
                    if baseline is not None and condition is CONDITIONS[0]:
                        noise = np.random.default_rng(number).dirichlet(np.ones(len(labels)), len(seconds))
                        scores["at random"] = noise.astype(np.float32)
                    for method, probabilities in scores.items():
                        played = playback_of(clip, seconds, probabilities, labels, config.events)
                        name = f"{method}, {condition.name}"
                        rows.setdefault(name, []).append(Scored.of(played, labels))
        for name, streams in rows.items():
            found.setdefault(name, []).append(streams)
    return {name: over_seeds(by_seed, groups) for name, by_seed in sorted(found.items())}


if __name__ == "__main__":
    main()

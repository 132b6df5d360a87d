"""Whether what --explain names in readings matters to the model: `python benchmarks/explain_signals.py FOLDER MODELS`

FOLDER holds tables of readings (a person each group), MODELS the files that `benchmarks/motion.py` left: of each fold,
which did not learn from the people that it is asked about. Moments that are recognized rightly are drawn, two a stream.
The last seconds are cut into cells of a channel and 0.2 s. Deletion: cells are taken out, those first that speak most
for the label, and the fall of its log-odds is averaged over 5, 10, 20, 40 % of them (Samek et al., 2017); beside it
cells at random, and whole channels. Insertion: from nothing on they are put in, likewise. What is taken out holds the
mean of the training data, or, as a second way that the method does not know, the mean of the channel in these seconds.
Sanity: the same map of a model with random weights (Adebayo et al., NeurIPS 2018) should be another. Intervals are of
95 %, by bootstrap over people.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from motion import folds_of

from streamrec.core.state import State
from streamrec.data.clips import find_clips
from streamrec.data.decode_cache import Recording, decode_clips
from streamrec.data.tables import on_ticks
from streamrec.evaluation.bench import commit, processor
from streamrec.evaluation.intervals import bootstrap_interval
from streamrec.nn.model import ActionModel
from streamrec.runtime.checkpoint import load_model
from streamrec.runtime.explain_signals import SignalExplainer
from streamrec.runtime.recent import SECONDS
from streamrec.types import Frame

CELL = 0.2  # seconds
PARTS = (0.05, 0.1, 0.2, 0.4)
DRAWS = 8  # of cells at random

Scorer = Callable[[np.ndarray], np.ndarray]  # (N, T, C) -> (N,) log-odds of the label


class OfTheWindow(SignalExplainer):
    """Refused: integrated gradients from the mean of the channel in these seconds."""

    def _nothing(self, rows: np.ndarray) -> np.ndarray:
        return np.broadcast_to(rows.mean(0), rows.shape).astype(np.float32)


class OneSlope(SignalExplainer):
    """Refused: readings, less nothing, times the gradient where they are."""

    def _integrated(self, rows, elapsed, state, label):  # type: ignore[no-untyped-def]
        given = torch.from_numpy(rows)[None].requires_grad_()
        index = 0 if label is None else self.config.labels.index(label)
        odds = _odds(self._logits(given, elapsed, state), index)
        (slope,) = torch.autograd.grad(odds.sum(), given)
        return (rows - self._nothing(rows)) * slope[0].numpy(), 0.0, index


class Occluded(SignalExplainer):
    """Refused: the fall of the log-odds where a cell alone is taken out."""

    def _integrated(self, rows, elapsed, state, label):  # type: ignore[no-untyped-def]
        index = 0 if label is None else self.config.labels.index(label)
        cells = cells_of(rows.shape, self.config.fps)
        nothing = self._nothing(rows)
        without = np.stack([np.where(cells == n, nothing, rows) for n in range(cells.max() + 1)])
        with torch.no_grad():
            odds = _odds(self._logits(torch.from_numpy(np.stack([rows, *without])), elapsed, state), index)
        falls = (odds[0] - odds[1:]).numpy()
        return falls[cells] / np.bincount(cells.ravel())[cells], 0.0, index


def _odds(logits: torch.Tensor, index: int) -> torch.Tensor:
    others = torch.cat([logits[:, :index], logits[:, index + 1 :]], dim=1)
    return logits[:, index] - others.logsumexp(1)


def cells_of(shape: tuple[int, ...], fps: float) -> np.ndarray:
    """(T, C) -> the number of the cell of each reading."""
    rows, channels = shape
    spans = np.arange(rows)[::-1] // max(1, round(CELL * fps))
    return spans[:, None] * channels + np.arange(channels)


def moments(
    model: ActionModel, clips: list, seed: int
) -> Iterator[tuple[str, list[Frame], np.ndarray, State, str]]:
    """Group, the last frames, their seconds since the one before, the state before them, and the label."""
    config, rng = model.config, np.random.default_rng(seed)
    for clip, one in decode_clips(clips, config.transform, config.labels):
        if not isinstance(one, Recording):
            continue
        rows, seconds, nearest = on_ticks(one.pictures, one.timestamps, config.fps, config.max_gap)
        elapsed = np.diff(seconds, prepend=-np.inf).astype(np.float32)
        with torch.inference_mode():
            given = torch.from_numpy(rows.astype(np.float32))[None]
            outputs, _ = model(given, torch.from_numpy(elapsed)[None])
            found = model.split(outputs[0])[0].argmax(-1).numpy()
        truth = one.targets[nearest]
        steady = elapsed <= config.max_gap
        length = round(SECONDS * config.fps)
        good = [
            n
            for n in range(length + 1, len(rows))
            if found[n] == truth[n] and steady[n - length : n + 1].all()
        ]
        for n in rng.permutation(good)[:2]:
            begin = n - length
            with torch.inference_mode():
                _, before = model(given[:, :begin], torch.from_numpy(elapsed[:begin])[None])
            state = State(
                tuple(a.numpy() for a in before.head), tuple(a.numpy() for a in before.cache),
                seconds[begin - 1 : begin], np.zeros(1, np.int64), np.zeros((1, len(config.labels)), np.float32),
            )  # fmt: skip
            frames = [Frame(rows[m].astype(np.float32), m, float(seconds[m])) for m in range(begin, n + 1)]
            yield clip.group, frames, elapsed[begin : n + 1], state, config.labels[truth[n]]


def without(
    rows: np.ndarray, cells: np.ndarray, order: np.ndarray, nothing: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The rows without the first cells of an order, and nothing but these, of each of PARTS: (P, T, C)."""
    taken = [np.isin(cells, order[: max(1, round(part * len(order)))]) for part in PARTS]
    return (
        np.stack([np.where(one, nothing, rows) for one in taken]).astype(np.float32),
        np.stack([np.where(one, rows, nothing) for one in taken]).astype(np.float32),
    )


def measured(
    explainers: dict[str, SignalExplainer], moment: tuple, rng: np.random.Generator
) -> dict[str, list[float]]:
    """Method -> falls by deletion (nothing is the training mean, the window's mean), rises by insertion, channel."""
    _, frames, elapsed, state, label = moment
    own = explainers["integrated gradients"]
    rows = np.stack([frame.data for frame in frames])
    cells = cells_of(rows.shape, own.config.fps)
    index, count, channels = own.config.labels.index(label), cells.max() + 1, rows.shape[1]

    def scored(given: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return _odds(own._logits(torch.from_numpy(given), elapsed, state), index).numpy()

    still = np.broadcast_to(rows.mean(0), rows.shape).astype(np.float32)
    nothings = own._nothing(rows), still
    whole = float(scored(rows[None])[0])
    empty = [float(scored(one[None])[0]) for one in nothings]
    channel_out = np.stack(
        [np.where(np.arange(channels) == n, nothings[0], rows) for n in range(channels)]
    ).astype(np.float32)
    by_channel = whole - scored(channel_out)

    def of(order: np.ndarray) -> list[float]:
        found = []
        for nothing, at_first in zip(nothings, empty, strict=True):
            less, more = without(rows, cells, order, nothing)
            found += [
                float((whole - scored(less)).mean()),
                float((scored(more) - at_first).mean()),
            ]
        return found

    results: dict[str, list[float]] = {}
    maps = {}
    for name, explainer in explainers.items():
        values = explainer.relevance(frames, state, label).values
        maps[name] = values
        sums = np.bincount(cells.ravel(), values.ravel())
        most = int(values.sum(0).argmax())
        results[name] = [*of(np.argsort(-sums)), float(by_channel[most])]
        if name == "integrated gradients":
            results["- the least first"] = [*of(np.argsort(sums)), float(by_channel[values.sum(0).argmin()])]
    chance = np.mean([of(rng.permutation(count)) for _ in range(DRAWS)], axis=0)
    results["at random"] = [*chance.tolist(), float(by_channel.mean())]
    for name, values in maps.items():
        like = np.corrcoef(values.ravel(), maps["integrated gradients"].ravel())[0, 1]
        results[name].append(float(like))
    return results


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder")
    parser.add_argument("models", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--folds", type=int, default=6)
    parser.add_argument("--every", type=int, default=1, help="only each so manieth stream")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{processor()}, torch {torch.__version__}, commit {commit()}\n")
    clips = find_clips(options.folder)
    rows: dict[str, list[list[float]]] = {}
    groups: list[str] = []
    took: list[float] = []
    for seed in options.seeds:
        for fold, (_, asked) in enumerate(folds_of(clips, options.folds)):
            model = load_model(options.models / f"seed{seed}-fold{fold}.safetensors")
            torch.manual_seed(seed)
            explainers = {
                "integrated gradients": SignalExplainer(model),
                "- from the window's mean": OfTheWindow(model),
                "- with random weights": SignalExplainer(ActionModel(model.config)),
                "one gradient": OneSlope(model),
                "occlusion": Occluded(model),
            }
            rng = np.random.default_rng(fold)
            for moment in moments(model, asked[:: options.every], seed):
                began = time.perf_counter()
                explainers["integrated gradients"].relevance(moment[1], moment[3], moment[4])
                took.append(time.perf_counter() - began)
                groups.append(moment[0])
                for name, numbers in measured(explainers, moment, rng).items():
                    rows.setdefault(name, []).append(numbers)
    print(
        f"{len(groups)} moments of {len(set(groups))} people; median {1000 * np.median(took):.0f} ms a moment\n"
    )
    print(
        "| first | deletion | insertion | deletion, channel's own mean | insertion | best channel out | likeness |"
    )
    print("|---|---|---|---|---|---|---|")
    for name, found in rows.items():
        table = np.array(found)
        cells = []
        for column in range(table.shape[1]):
            values = table[:, column]
            low, high = bootstrap_interval(values, groups, lambda drawn: float(drawn.mean()), rounds=500)
            cells.append(f"{values.mean():.2f} ({low:.2f} to {high:.2f})")
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()

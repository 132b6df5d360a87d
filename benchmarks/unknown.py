"""Which score detects out-of-distribution frames: `python benchmarks/unknown.py --help`.

Takes the folder that `streamrec crossval ... --out` wrote, so that what is known are clips of groups that the model
never saw, and sets that none of the models saw. Prints, as means over the folds, the AUROC of each score, frame by
frame (50 is chance), and what the border of the strangeness does: frames called unknown, events with and without it.
Folds that stand in --json are not measured again.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from streamrec import ActionStarted, EventDetector, World, WorldSettings
from streamrec.data.clips import find_clips
from streamrec.data.decode_cache import ClipCache, Recording, decode, decode_clips
from streamrec.evaluation.text_tables import table
from streamrec.nn.config import ModelConfig
from streamrec.nn.model import ActionModel
from streamrec.nn.transforms import planar
from streamrec.runtime.checkpoint import load_model, read_checkpoint
from streamrec.sources.sampling import due_frames
from streamrec.sources.synthetic import UNSEEN
from streamrec.train.ood_fit import known_of
from streamrec.train.training_data import scenes_of

MODEL = "model.safetensors"
SCENES = 12  # of 20 s of the synthetic world
PROTOTYPES = 64
AT_ONCE = 256

Score = Callable[[np.ndarray], np.ndarray]


class Scored:
    """A model's predictions and inner features for a recording of T frames."""

    @torch.inference_mode()
    def __init__(self, model: ActionModel, recording: Recording) -> None:
        frames = due_frames(recording.timestamps.tolist(), model.config.fps)
        self.times = recording.timestamps[frames]
        self.pictures = planar(recording.pictures[frames])  # (T, 3, H, W)
        self.truth = recording.target
        self.targets = recording.targets[frames]
        elapsed = np.diff(self.times, prepend=-np.inf).astype(np.float32)
        features, hidden, outputs = [], [], []
        hooks = (
            model.head.register_forward_pre_hook(lambda _, given: features.append(given[0][0])),
            model.head.classifier.register_forward_pre_hook(lambda _, given: hidden.append(given[0][0])),
        )
        state = model.initial_state()
        for start in range(0, len(frames), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            pictures = torch.from_numpy(self.pictures[part])[None]
            found, state = model(pictures, torch.from_numpy(elapsed[part])[None], state)
            outputs.append(model.split(found[0])[0])
        for hook in hooks:
            hook.remove()
        logits = torch.cat(outputs)
        self.features = torch.cat(features).numpy()  # what the head is given
        self.hidden = torch.cat(hidden).numpy()  # what the last layer is given
        self.energy = -logits.logsumexp(-1).numpy()  # Liu et al., NeurIPS 2020
        self.probabilities = logits.softmax(-1).numpy()


def main() -> None:
    """Measure fold after fold, print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "folds", help="the folder that crossval wrote, or a model: then the appearance score alone is judged"
    )
    parser.add_argument("known", type=Path, help="the data that was cross-validated, or that the model knows")
    parser.add_argument(
        "unknown", type=Path, nargs="*", help="other data; the synthetic world is always asked"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the folds")
    parser.add_argument("--beside", type=Path, action="append", default=[], help="data that is known too")
    parser.add_argument("--world", help="a kind of synthetic world that is known too, 160 scenes of it")
    parser.add_argument("--json", type=Path, help="a file for the numbers of each fold")
    options = parser.parse_args()
    found = json.loads(options.json.read_text()) if options.json and options.json.exists() else {}
    folders = sorted(Path(options.folds).glob(f"seed{options.seed}-fold*/"))
    sets = Sets(read_checkpoint(folders[0] / MODEL if folders else options.folds).config, options)
    if folders:
        for folder in folders:
            if folder.name not in found:
                found[folder.name] = measured(folder, sets)
                if options.json:
                    options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        print(text_of(list(found.values())))
    else:
        print(text_of_appearance([appearance_scores(*split, sets) for split in sets.split()]))


class Sets:
    """All recordings, decoded once."""

    def __init__(self, config: ModelConfig, options: argparse.Namespace) -> None:
        self.config, self._cache = config, ClipCache()
        self.known = dict(self._recordings(options.known))
        self.beside = [recording for place in options.beside for _, recording in self._recordings(place)]
        if options.world:
            self.beside += scenes_of(options.world, 160, config.transform, config.labels)
        self.others = {place.name: [one for _, one in self._recordings(place)] for place in options.unknown}
        worlds = (
            WorldSettings(seed=UNSEEN + n, fps=15.0, seconds=20.0, width=160, height=120)
            for n in range(SCENES)
        )
        self.others["synthetic"] = [
            decode(World(world), config.transform, config.labels, None, str(world.seed)) for world in worlds
        ]

    def _recordings(self, place: Path) -> Iterator[tuple[Path, Recording]]:
        transform, labels = self.config.transform, self.config.labels
        for clip, recording in decode_clips(find_clips(place, least=1), transform, labels, cache=self._cache):
            if isinstance(recording, Recording):
                yield clip.path.resolve(), recording

    def split(self) -> Iterator[tuple[list[Recording], list[Recording]]]:
        """(learned, held out) for folds by group."""
        groups = sorted({recording.group for recording in self.known.values()})
        order = np.random.default_rng(0).permutation(len(groups))
        folds = min(5, len(groups))
        for fold in range(folds):
            out = {groups[place] for place in order[fold::folds]}
            held = [one for one in self.known.values() if one.group in out]
            yield [one for one in self.known.values() if one.group not in out] + self.beside, held


def appearance_scores(
    learned: list[Recording], held: list[Recording], sets: Sets
) -> dict[str, tuple[float, float]]:
    """Name -> AUROC of the strangeness, and the part of the frames that is unknown."""
    knows = known_of(learned, sets.config.fps)

    def strange(recordings: list[Recording]) -> np.ndarray:
        frames = [one.pictures[due_frames(one.timestamps.tolist(), sets.config.fps)] for one in recordings]
        return np.concatenate([knows.ood_scores(planar(pictures)) for pictures in frames])

    scores = {name: strange(each) for name, each in {"held out": held, **sets.others}.items()}
    return {
        name: (auroc(scores["held out"], each) or 0.5, float((each > 1).mean()))
        for name, each in scores.items()
    }


def text_of_appearance(folds: Sequence[dict[str, tuple[float, float]]]) -> str:
    """Means over the folds, and each fold's part that is unknown."""
    rows = []
    for name in folds[0]:
        each = [fold[name] for fold in folds]
        parts = ", ".join(f"{100 * unknown:.0f}" for _, unknown in each)
        area = "-" if name == "held out" else _mean([area for area, _ in each])
        rows.append([name, area, _mean([unknown for _, unknown in each]), parts])
    return table(["set", "auroc", "frames unknown", "by fold"], rows)


def measured(folder: Path, sets: Sets) -> dict:
    """All numbers of one fold."""
    model, config = load_model(folder / MODEL), sets.config
    with (folder / "learned.csv").open(encoding="utf-8") as file:
        names = {Path(row["clip"]).resolve() for row in csv.DictReader(file)}
    learned = [recording for path, recording in sets.known.items() if path in names]
    held = [recording for path, recording in sets.known.items() if path not in names]
    knows = known_of([*learned, *sets.beside], config.fps)
    taught = [Scored(model, recording) for recording in learned]
    scored = {
        name: [Scored(model, recording) for recording in each]
        for name, each in {"held out": held, **sets.others}.items()
    }
    actions = [n for n, label in enumerate(config.labels) if label not in config.events.background]
    enter = config.events.enter
    scores: dict[str, dict[str, np.ndarray]] = {}
    for kind, score in kinds(taught).items():
        scores[kind] = {name: np.concatenate([score(one) for one in each]) for name, each in scored.items()}
    strange = {name: [knows.ood_scores(one.pictures) for one in each] for name, each in scored.items()}
    scores["appearance of the frame"] = {name: np.concatenate(each) for name, each in strange.items()}
    called = {
        name: np.concatenate([one.probabilities[:, actions].max(1) >= enter for one in each])
        for name, each in scored.items()
    }
    detector = EventDetector(config.labels, replace(config.events, strangest=1.0))
    return {
        "auroc": {
            kind: {name: auroc(of["held out"], of[name]) for name in sets.others}
            for kind, of in scores.items()
        },
        "auroc of those called an action": {
            kind: {
                name: auroc(of["held out"][called["held out"]], of[name][called[name]])
                for name in sets.others
            }
            for kind, of in scores.items()
        },
        "border": {
            name: {
                "hours": sum(float(np.ptp(one.times)) for one in each) / 3600,
                "unknown": float((np.concatenate(strange[name]) > 1).mean()),
                "is action": [
                    bool(np.isin(one.targets, actions).any()) and name == "held out" for one in each
                ],
                "told": [
                    [started(detector, one, s) for one, s in zip(each, how, strict=True)]
                    for how in ([None] * len(each), strange[name])
                ],
            }
            for name, each in scored.items()
        },
    }


def started(detector: EventDetector, recording: Scored, strangeness: np.ndarray | None) -> int:
    """Number of actions that start in a recording."""
    strange = None if strangeness is None else strangeness.tolist()
    events = detector.replay(recording.times.tolist(), recording.probabilities, None, strange)
    return sum(isinstance(event, ActionStarted) for _, event in events)


# -- the scores: all are higher where a picture is less known


def kinds(taught: Sequence[Scored]) -> dict[str, Callable[[Scored], np.ndarray]]:
    """Each kind of score, fitted to what was learned from."""
    labels = np.concatenate([np.full(len(one.times), one.truth) for one in taught])
    features = np.concatenate([one.features for one in taught])
    hidden = np.concatenate([one.hidden for one in taught])
    found: dict[str, Callable[[Scored], np.ndarray]] = {
        "energy": lambda one: one.energy,
        "max softmax": lambda one: 1 - one.probabilities.max(1),
    }
    for name, values in (("features", features), ("hidden", hidden)):
        scores = {
            "Mahalanobis, by class": mahalanobis(values, labels),
            "Mahalanobis, by class, diagonal": mahalanobis(values, labels, diagonal=True),
            "Mahalanobis, relative": relative(values, labels),
            f"{PROTOTYPES} prototypes": prototypes(values),
            "5 nearest, cosine": nearest(values),
        }
        for how, score in scores.items():
            found[f"{name}: {how}"] = lambda one, score=score, name=name: score(getattr(one, name))
    return found


def mahalanobis(
    values: np.ndarray, labels: np.ndarray, *, diagonal: bool = False, ridge: float = 0.05
) -> Score:
    """To the nearest class mean, with one covariance for all (Lee et al., NeurIPS 2018)."""
    classes, which = np.unique(labels, return_inverse=True)
    means = np.stack([values[labels == each].mean(0) for each in classes])
    apart = values - means[which]
    covariance = apart.T @ apart / len(apart)
    if diagonal:
        covariance = np.diag(np.diag(covariance))
    covariance += ridge * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    whitening = np.linalg.cholesky(np.linalg.inv(covariance))
    return lambda x: np.min([np.square((x - mean) @ whitening).sum(1) for mean in means], axis=0)


def relative(values: np.ndarray, labels: np.ndarray) -> Score:
    """Less the distance to all of them as one class (Ren et al., 2021)."""
    by_class, as_one = mahalanobis(values, labels), mahalanobis(values, np.zeros(len(values)))
    return lambda x: by_class(x) - as_one(x)


def prototypes(values: np.ndarray) -> Score:
    """To the nearest of some means (k-means)."""
    scale = values.std(0) + 1e-3 * values.std()
    points, rng = values / scale, np.random.default_rng(0)
    centres = points[rng.choice(len(points), PROTOTYPES, replace=False)]

    def squares(x: np.ndarray) -> np.ndarray:
        return np.square(x).sum(1)[:, None] - 2 * x @ centres.T + np.square(centres).sum(1)

    for _ in range(25):
        own = squares(points).argmin(1)
        centres = np.stack(
            [points[own == n].mean(0) if (own == n).any() else centre for n, centre in enumerate(centres)]
        )
    return lambda x: squares(x / scale).min(1)


def nearest(values: np.ndarray) -> Score:
    """To the fifth nearest of every fifth frame, by cosine (Sun et al., ICML 2022)."""

    def unit(x: np.ndarray) -> np.ndarray:
        return x / np.linalg.norm(x, axis=1, keepdims=True).clip(1e-6)

    kept = unit(values)[::5]
    return lambda x: 1 - np.partition(unit(x) @ kept.T, -5, axis=1)[:, -5]


def auroc(known: np.ndarray, unknown: np.ndarray) -> float | None:
    """How often an unknown frame has a higher score than a known one; None where there is none."""
    if not (len(known) and len(unknown)):
        return None
    ordered = np.sort(known)
    below = np.searchsorted(ordered, unknown, "left") + np.searchsorted(ordered, unknown, "right")
    return float(below.mean() / 2 / len(known))


# -- the tables


def text_of(folds: Sequence[dict]) -> str:
    """Means over the folds, per cent."""
    parts = []
    for what in ("auroc", "auroc of those called an action"):
        sets = list(folds[0][what]["energy"])
        rows = [
            [kind, *(_mean([fold[what][kind][name] for fold in folds]) for name in sets)]
            for kind in folds[0][what]
        ]
        parts.append(f"{what}, {len(folds)} folds\n\n" + table(["score", *sets], rows))
    rows = []
    for name in folds[0]["border"]:
        of = [fold["border"][name] for fold in folds]
        acts = np.concatenate([one["is action"] for one in of]).astype(bool)
        before, after = (np.concatenate([one["told"][which] for one in of]) for which in (0, 1))
        missed = f"{(before[acts] == 0).sum()} -> {(after[acts] == 0).sum()} of {acts.sum()}"
        rows.append(
            [
                name,
                f"{sum(one['hours'] for one in of):.2f}",
                _mean([one["unknown"] for one in of]),
                f"{before[~acts].sum():.0f} -> {after[~acts].sum():.0f}",
                missed if acts.any() else "-",
            ]
        )
    head = ["set", "hours", "frames unknown", "false events", "actions missed"]
    parts.append("with the border, all folds together\n\n" + table(head, rows))
    return "\n\n".join(parts)


def _mean(values: Sequence[float | None]) -> str:
    there = [value for value in values if value is not None]
    return f"{100 * np.mean(there):.1f}" if there else "-"


if __name__ == "__main__":
    main()

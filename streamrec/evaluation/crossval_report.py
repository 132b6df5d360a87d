"""The report of a cross-validation: folds and seeds become tables, JSON and Markdown."""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from streamrec.data.clips import Clip
from streamrec.data.splits import split_by_group
from streamrec.errors import DataError
from streamrec.evaluation.intervals import bootstrap_interval
from streamrec.evaluation.metrics import mean_auc
from streamrec.evaluation.reports import (
    Playback,
    background_of,
    clip_report,
    interval_of_mean,
    label_of,
    playback_of,
    repetition_report,
    stream_report,
    true_labels,
)
from streamrec.evaluation.text_tables import PART, percent, table
from streamrec.events.detector import EventSettings

MODEL = "model"
SCORES_OF = "said by "  # prefix of a method's array in a fold's file; files of older versions have it too
_MOST_ROWS, _ROUNDS = 5000, 500  # of the bootstrap of an AUC, which sorts the rows in each round
METHODS = {
    MODEL: "the model, state carried",
    "frame": "its features, linear a frame, smoothed",
    "mean": "its features, mean so far, linear",
    "window": "the model from zero on the last 16 frames",
    "frozen frame": "frozen features, linear a frame, smoothed",
    "frozen mean": "frozen features, mean so far, linear",
}


@dataclass(frozen=True, kw_only=True)
class CrossValidation:
    """Settings of a cross-validation; a folder with a run of other settings is refused."""

    folds: int | None = 5  # None: one for each group
    seeds: tuple[int, ...] = (0,)  # of the training; all have the same folds
    fold_seed: int = 0
    baselines: bool = True
    frozen: str | None = (
        None  # an encoder with ImageNet weights, for baselines on features that were not trained
    )
    frozen_size: tuple[int, int] = (160, 160)  # width, height


def report_of(
    clips: Sequence[Clip],
    out: Path,
    settings: CrossValidation,
    recipe: Mapping[str, Any],
    beside: Sequence[Clip] = (),
) -> dict[str, Any]:
    """The report on the folds in ``out``; every number follows from the predictions for single frames."""
    splits = list(splits_of(clips, settings, beside))
    pooled = _Pooled(out, {key_of(clip): clip for clip in clips})
    for seed in settings.seeds:
        for number, split in enumerate(splits):
            pooled.add(seed, number, split)
    labels, methods = pooled.labels, {}
    for method, by_seed in pooled.playbacks.items():
        scores = [row[method] for row in pooled.folds if row[method] is not None]
        values, groups = _over_seeds(by_seed, labels)
        methods[method] = {
            "score": _ratio(values),
            "interval": interval_of_mean(values, groups, _ratio),
            "folds_mean": float(np.mean(scores)) if scores else None,
            "folds_deviation": float(np.std(scores, ddof=1)) if len(scores) > 1 else None,
            "seeds": {str(s): _main_score(played, labels) for s, played in by_seed.items()},
            **_auc_over_seeds(by_seed, labels),
            **_mean_of([_reports_of(played, labels, pooled.events) for played in by_seed.values()]),
        }
    differences = {
        method: _difference(pooled.playbacks[MODEL], by_seed, labels)
        for method, by_seed in pooled.playbacks.items()
        if method != MODEL
    }
    one_label = [clip.label for clip in clips if clip.label is not None]
    return {
        "about": "cross-validation",
        "score": "right at the end" if one_label else "right per frame",
        "clips": len(clips),
        "groups": len({clip.group for clip in clips}),
        "labels": list(labels),
        "chance": max((one_label.count(n) / len(one_label) for n in labels), default=None)
        if one_label
        else None,
        "folds": len(splits),
        "seeds": list(settings.seeds),
        "fold_seed": settings.fold_seed,
        "recipe": dict(recipe),
        "methods": methods,
        "model_minus": differences,
        "each_fold": pooled.folds,
        "unreadable": sorted(pooled.unreadable),
    }


class _Pooled:
    """The playbacks of all folds, by method and seed."""

    def __init__(self, out: Path, by_path: Mapping[str, Clip]) -> None:
        self._out, self._by_path = out, by_path
        self.playbacks: dict[str, dict[int, list[Playback]]] = {}  # method -> seed -> one for each clip
        self.folds: list[dict[str, Any]] = []  # rows of the report
        self.labels: tuple[str, ...] = ()
        self.events = EventSettings()
        self.unreadable: set[str] = set()

    def add(self, seed: int, number: int, split: tuple[list[Clip], list[Clip]]) -> None:
        """Read a fold's file."""
        learned, measured = split
        fold = read_fold(path_of_fold(self._out, seed, number))
        if self.labels and fold.labels != self.labels:
            raise DataError(
                f"the models of {self._out} know different labels: {self.labels} and {fold.labels}"
            )
        self.labels, self.events = fold.labels, fold.events
        self.unreadable |= set(fold.unreadable)
        row: dict[str, Any] = {
            "seed": seed, "fold": number, "learned": len(learned), "measured": len(measured),
            "groups": len({clip.group for clip in measured}),
        }  # fmt: skip
        for method, scores in fold.probabilities.items():
            here = [
                playback_of(self._by_path[name], times, probabilities, self.labels, self.events)
                for name, times, probabilities in zip(fold.names, fold.timestamps, scores, strict=True)
            ]
            if method == MODEL and fold.counts:
                here = [replace(one, counted=n) for one, n in zip(here, fold.counts, strict=True)]
            self.playbacks.setdefault(method, {}).setdefault(seed, []).extend(here)
            row[method] = _main_score(here, self.labels)
        self.folds.append(row)


def _reports_of(
    played: Sequence[Playback], labels: tuple[str, ...], events: EventSettings
) -> dict[str, dict[str, Any]]:
    """The reports on one seed, by kind, as plain values."""
    background = background_of(labels, events)
    found = {}
    if (repetitions := repetition_report(played)) is not None:
        found["repetitions"] = repetitions.to_dict()
    if any(one.label is not None for one in played):
        found["clips"] = clip_report(played, labels, background).to_dict()
    if any(one.label is None for one in played):
        found["videos"] = stream_report(played, labels, background).to_dict()
    return found


def markdown_of(report: Mapping[str, Any]) -> str:
    """The report as Markdown."""
    methods = report["methods"]
    details = "clips" if "clips" in methods[MODEL] else "videos"
    wanted = {
        "clips": ("clip_mean", "per_frame", "balanced", "map", "cap", "ece_at_end"),
        "videos": ("balanced", "map", "cap", "edit", "recall", "precision"),
    }[details]
    rows = [
        [
            METHODS[name],
            percent(one["score"], one["interval"]),
            percent(one["auc"], one["auc_interval"]),
            f"{percent(one['folds_mean'])} ± {percent(one['folds_deviation'])}",
            *(percent(one[details][key]) for key in wanted),
        ]
        for name, one in methods.items()
    ]
    parts = [
        f"# {len(report['seeds']) * report['folds']} trainings: "
        f"{report['folds']} folds, seeds {', '.join(map(str, report['seeds']))}",
        f"{report['clips']} clips, {report['groups']} groups, labels {', '.join(report['labels'])}; folds share "
        f"no group. The largest label has {percent(report['chance'])} per cent of the clips.",
        f"Per cent; {report['score']}, pooled over folds and averaged over seeds, with 95 % intervals by bootstrap "
        "over groups; then mean and standard deviation over folds and seeds.",
        table(["", report["score"], "AUC", "folds", *(key.replace("_", " ") for key in wanted)], rows),
    ]
    if report["model_minus"]:
        differences = [
            [METHODS[name], percent(one["difference"], one["interval"])]
            for name, one in report["model_minus"].items()
        ]
        parts.append(table(["the model minus ...", "difference (95 %)"], differences))
    model = methods[MODEL][details]
    if details == "clips":
        at_part = model["at_part"]
        header = [PART, *(f"{part} %" for part in at_part)]
        parts.append(
            table(
                header,
                [
                    [METHODS[name], *map(percent, one["clips"]["at_part"].values())]
                    for name, one in methods.items()
                ],
            )
        )
    if "repetitions" in methods[MODEL]:
        parts.append(_repetitions(methods[MODEL]["repetitions"]))
    first = next(iter(model["by_label"].values()))
    parts.append(
        table(
            ["the model, by label", *(key.replace("_", " ") for key in first)],
            [
                [label, *(f"{v:g}" if k in ("clips", "actions") else percent(v) for k, v in values.items())]
                for label, values in model["by_label"].items()
            ],
        )
    )
    parts.append(
        table(
            ["seed, fold", "learned", "held out", "groups", *methods],
            [
                [
                    f"{row['seed']}, {row['fold']}", str(row["learned"]), str(row["measured"]),
                    str(row["groups"]), *(percent(row[name]) for name in methods),
                ]
                for row in report["each_fold"]
            ],
        )
    )  # fmt: skip
    if "nested" in report:
        parts += _nested(report["nested"])
    if report["unreadable"]:
        parts.append("\n".join(["Could not be read:", "", *(f"- {line}" for line in report["unreadable"])]))
    return "\n\n".join(parts) + "\n"


def _repetitions(found: Mapping[str, Any]) -> str:
    """How well repetitions are counted."""
    header = ["repetitions, clips whose number is known", "mean error", "off by one at most", "exact"]
    row = [
        f"{found['clips']:g}",
        f"{found['error']:.2f}",
        percent(found["off_by_one"]),
        percent(found["exact"]),
    ]
    return table(header, [row])


def _nested(nested: Mapping[str, Any]) -> list[str]:
    """What was chosen in each fold, by which scores."""
    names = nested["candidates"]
    rows = [
        [
            f"{row['seed']}, {row['fold']}",
            row["chosen"],
            "-" if row["threshold"] is None else f"{row['threshold']:.3f}",
            *(
                f"{percent(row['scores'][name]['score'])}, {percent(row['scores'][name]['auc'])}"
                for name in names
            ),
        ]
        for row in nested["choices"]
    ]
    parts = [
        f"Each fold chose its recipe by {nested['inner_folds']} inner folds of its training groups, "
        "which hold none of the clips that it is measured on.",
        table(["seed, fold", "chosen", "threshold", *(f"{name}: score, AUC" for name in names)], rows),
    ]
    if nested["at_threshold"] is not None:
        right = percent(nested["at_threshold"], nested["at_threshold_interval"])
        parts.append(f"Right at the end, at the thresholds that the inner folds chose: {right} per cent.")
    return parts


def splits_of(
    clips: Sequence[Clip], settings: CrossValidation, beside: Sequence[Clip]
) -> Iterator[tuple[list[Clip], list[Clip]]]:
    """(clips to learn from, held-out clips) of each fold; raises ``DataError`` where that cannot be."""
    groups = sorted({clip.group for clip in clips})
    folds = len(groups) if settings.folds is None else settings.folds
    if not 2 <= folds <= len(groups):
        raise DataError(f"{len(groups)} groups cannot be split into {folds} folds: give 2 to {len(groups)}")
    if not settings.seeds:
        raise DataError("give at least one seed")
    for fold in range(folds):
        if folds == len(groups):  # each group once, in the order of their names
            learned = [clip for clip in clips if clip.group != groups[fold]]
            measured = [clip for clip in clips if clip.group == groups[fold]]
        else:
            learned, measured = split_by_group(list(clips), fold=fold, folds=folds, seed=settings.fold_seed)
        if not measured:
            raise DataError(f"fold {fold} of {folds} holds no clips: give fewer folds")
        held_out = {clip.group for clip in measured}
        learned = [*learned, *(clip for clip in beside if clip.group not in held_out)]
        lost = sorted(true_labels(clips) - true_labels(learned))
        if lost:
            raise DataError(
                f"all clips of {', '.join(lost)} are held out in fold {fold}, so that nothing is left to learn "
                "it from; give fewer folds, or clips of more groups"
            )
        yield learned, measured


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """The content of a fold's file; the lists have one entry for each clip."""

    labels: tuple[str, ...]
    events: EventSettings
    names: list[str]
    truth: list[str]  # label of each clip; "" for an untrimmed one
    timestamps: list[np.ndarray]  # (T,) seconds
    probabilities: dict[str, list[np.ndarray]]  # method -> (T, labels)
    unreadable: list[str]
    counts: list[int]  # counted repetitions; empty where the model counts nothing


def read_fold(path: Path) -> Fold:
    """Read a fold's file; raises ``DataError`` for a damaged one."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        about = json.loads(str(arrays["about"]))
        ends = np.cumsum(arrays["frames"])[:-1]
        return Fold(
            labels=tuple(about["labels"]),
            events=EventSettings.from_dict(about["events"]),
            names=arrays["names"].tolist(),
            truth=arrays["truth"].tolist(),
            timestamps=np.split(arrays["timestamps"], ends),
            probabilities={
                name.removeprefix(SCORES_OF): np.split(values, ends)
                for name, values in arrays.items()
                if name.startswith(SCORES_OF)
            },
            unreadable=about["unreadable"],
            counts=arrays.get("counts", np.zeros(0, np.int64)).tolist(),
        )
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is damaged; remove it, and its fold is done again") from error


def _over_seeds(
    by_seed: Mapping[int, Sequence[Playback]], labels: tuple[str, ...]
) -> tuple[np.ndarray, list[str]]:
    """(clips, 2): right predictions and all of them, averaged over seeds; and the groups of the clips.

    Counted at the end where clips have one label, else in frames. Every seed measures the same clips once.
    """
    rows: dict[str, list[tuple[float, float]]] = {}
    groups: dict[str, str] = {}
    clips_only = any(one.label is not None for played in by_seed.values() for one in played)
    for played in by_seed.values():
        for one in played:
            if clips_only and one.label is None:
                continue
            if clips_only:
                hits = [label_of(one.probabilities[-1], labels) == one.label]
            else:
                hits = one.hits(labels)
            right, counted = float(sum(hits)), float(len(hits))
            rows.setdefault(one.name, []).append((right, counted))
            groups[one.name] = one.group
    values = np.array([np.mean(pairs, axis=0) for pairs in rows.values()]).reshape(-1, 2)
    return values, list(groups.values())


def _auc_over_seeds(by_seed: Mapping[int, Sequence[Playback]], labels: tuple[str, ...]) -> dict[str, Any]:
    """The AUC of each label against the others, mean over labels and seeds, and its interval.

    Of clips of one label their last prediction counts, of untrimmed videos each frame, for the interval every n-th.
    """
    rows: list[np.ndarray] = []  # (frames, 2, labels + 1): truth and scores, and the seed in the last column
    groups: list[str] = []
    clips_only = any(one.label is not None for played in by_seed.values() for one in played)
    for seed, played in by_seed.items():
        for one in played:
            if clips_only and one.label is None:
                continue
            last = slice(-1, None) if clips_only else slice(None)
            scores = one.probabilities[last]
            truth = [[true == label for label in labels] for true in one.truth[last]]
            table = np.stack([np.array(truth, float), scores], 1)
            rows.append(np.pad(table, ((0, 0), (0, 0), (0, 1)), constant_values=seed))
            groups += [one.group] * len(scores)
    if not rows:
        return {"auc": None, "auc_interval": None}
    values = np.concatenate(rows)
    thin = slice(None, None, math.ceil(len(values) / _MOST_ROWS))
    auc = _mean_auc_of_seeds(values)
    several = not math.isnan(auc) and len(set(groups)) > 1
    interval = (
        bootstrap_interval(values[thin], groups[thin], _mean_auc_of_seeds, rounds=_ROUNDS)
        if several
        else None
    )
    return {"auc": None if math.isnan(auc) else auc, "auc_interval": interval}


def _mean_auc_of_seeds(values: np.ndarray) -> float:
    by_seed = [mean_auc(values[values[:, 0, -1] == seed, :, :-1]) for seed in np.unique(values[:, 0, -1])]
    return float(np.mean(by_seed))


def _ratio(values: np.ndarray) -> float:
    return float(values[:, 0].sum() / max(values[:, 1].sum(), 1e-9))


def _difference(
    model: Mapping[int, Sequence[Playback]], other: Mapping[int, Sequence[Playback]], labels: tuple[str, ...]
) -> dict[str, Any]:
    """The model's score minus another's on the same clips, with its interval."""
    (a, groups), (b, _) = _over_seeds(model, labels), _over_seeds(other, labels)
    paired = np.stack([a[:, 0] - b[:, 0], a[:, 1]], 1)
    return {"difference": _ratio(paired), "interval": interval_of_mean(paired, groups, _ratio)}


def _main_score(played: Sequence[Playback], labels: tuple[str, ...]) -> float | None:
    values, _ = _over_seeds({0: played}, labels)
    return _ratio(values) if len(values) else None


def _mean_of(values: Sequence[Any]) -> Any:
    """The mean over seeds: of numbers, of tables entry by entry; other values are the first seed's."""
    first = values[0]
    if isinstance(first, Mapping):
        return {key: _mean_of([value[key] for value in values if key in value]) for key in first}
    if isinstance(first, list | tuple):
        if all(len(value) == len(first) for value in values if value is not None):
            return [
                _mean_of(list(entries)) for entries in zip(*(v for v in values if v is not None), strict=True)
            ]
        return list(first)
    numbers = [value for value in values if isinstance(value, int | float)]
    if not numbers or isinstance(first, bool | str):
        return first
    mean = sum(numbers) / len(numbers)
    return int(mean) if isinstance(first, int) and mean == int(mean) else mean


def key_of(clip: Clip) -> str:
    """The name of a clip in a fold's file."""
    return str(clip.path)


def path_of_fold(out: Path, seed: int, fold: int) -> Path:
    """The file of a fold's predictions."""
    return out / f"seed{seed}-fold{fold}.npz"

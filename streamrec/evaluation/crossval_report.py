"""The report of a cross-validation: folds and seeds become tables, JSON and Markdown."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from streamrec.data.clips import Clip
from streamrec.data.splits import split_by_group
from streamrec.errors import DataError
from streamrec.evaluation.reports import (
    Playback,
    background_of,
    clip_report,
    hits_of,
    interval_of_mean,
    label_of,
    playback_of,
    repetition_report,
    stream_report,
    true_labels,
)
from streamrec.evaluation.text_tables import percent, table
from streamrec.events.detector import EventSettings

MODEL = "model"


METHODS = {
    MODEL: "the model, state carried",
    "frame": "its features, linear a frame, smoothed",
    "mean": "its features, mean so far, linear",
    "window": "the model anew on the last 16 frames",
    "frozen frame": "frozen features, linear a frame, smoothed",
    "frozen mean": "frozen features, mean so far, linear",
}


@dataclass(frozen=True, kw_only=True)
class CrossValidation:
    """What is compared: it is kept in the run's folder, and a run of other settings is not taken up."""

    folds: int | None = 5  # None: each group is held out once
    seeds: tuple[int, ...] = (0,)  # of the training; the folds are the same for all of them
    fold_seed: int = 0
    baselines: bool = True
    frozen: str | None = None  # an encoder with ImageNet weights, for baselines that never saw such clips
    frozen_size: tuple[int, int] = (160, 160)  # width, height


def report_of(
    clips: Sequence[Clip],
    out: Path,
    settings: CrossValidation,
    recipe: Mapping[str, Any],
    beside: Sequence[Clip] = (),
) -> dict[str, Any]:
    """The report on the folds that are kept in ``out``: every number comes from what was said of single frames."""
    splits = list(_splits(clips, settings, beside))
    by_path = {_key(clip): clip for clip in clips}
    folds = []
    pooled: dict[str, dict[int, list[Playback]]] = {}
    labels: tuple[str, ...] = ()
    events = EventSettings()
    unreadable: set[str] = set()
    for seed in settings.seeds:
        for number, (learned, measured) in enumerate(splits):
            kept = _read_fold(_path_of(out, seed, number))
            if labels and kept.labels != labels:
                raise DataError(f"the models of {out} know different labels: {labels} and {kept.labels}")
            labels, events = kept.labels, kept.events
            unreadable |= set(kept.unreadable)
            row: dict[str, Any] = {
                "seed": seed, "fold": number, "learned": len(learned), "measured": len(measured),
                "groups": len({clip.group for clip in measured}),
            }  # fmt: skip
            for method, said in kept.probabilities.items():
                here = [
                    playback_of(by_path[name], times, probabilities, labels, events)
                    for name, times, probabilities in zip(kept.names, kept.timestamps, said, strict=True)
                ]
                if method == MODEL and kept.counts:
                    here = [replace(one, counted=n) for one, n in zip(here, kept.counts, strict=True)]
                pooled.setdefault(method, {}).setdefault(seed, []).extend(here)
                row[method] = _main_score(here, labels)
            folds.append(row)
    background = background_of(labels, events)
    methods = {}
    for method, by_seed in pooled.items():
        reports = [
            {
                **({"repetitions": counted.to_dict()} if (counted := repetition_report(played)) else {}),
                **(
                    {"clips": clip_report(played, labels, background).to_dict()} if _has_clips(played) else {}
                ),
                **(
                    {"videos": stream_report(played, labels, background).to_dict()}
                    if _has_videos(played)
                    else {}
                ),
            }
            for played in by_seed.values()
        ]
        scores = [row[method] for row in folds if row[method] is not None]
        values, groups = _over_seeds(by_seed, labels)
        methods[method] = {
            "score": _ratio(values),
            "interval": interval_of_mean(values, groups, _ratio),
            "folds_mean": float(np.mean(scores)) if scores else None,
            "folds_deviation": float(np.std(scores, ddof=1)) if len(scores) > 1 else None,
            "seeds": {str(s): _main_score(played, labels) for s, played in by_seed.items()},
            **_mean_of(reports),
        }
    differences = {
        method: _difference(pooled[MODEL], by_seed, labels)
        for method, by_seed in pooled.items()
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
        "each_fold": folds,
        "unreadable": sorted(unreadable),
    }


def markdown_of(report: Mapping[str, Any]) -> str:
    """The report for people."""
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
        table(["", report["score"], "folds", *(key.replace("_", " ") for key in wanted)], rows),
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
        header = ["part of the clip seen", *(f"{part} %" for part in at_part)]
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
        found = methods[MODEL]["repetitions"]
        header = ["repetitions, clips whose number is known", "mean error", "off by one at most", "exact"]
        row = [
            f"{found['clips']:g}",
            f"{found['error']:.2f}",
            percent(found["off_by_one"]),
            percent(found["exact"]),
        ]
        parts.append(table(header, [row]))
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
    if report["unreadable"]:
        parts.append("\n".join(["Could not be read:", "", *(f"- {line}" for line in report["unreadable"])]))
    return "\n\n".join(parts) + "\n"


def _splits(
    clips: Sequence[Clip], settings: CrossValidation, beside: Sequence[Clip]
) -> Iterator[tuple[list[Clip], list[Clip]]]:
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
class _Fold:
    """What one fold's file holds; the lists run over its clips."""

    labels: tuple[str, ...]
    events: EventSettings
    names: list[str]
    timestamps: list[np.ndarray]  # (T,)
    probabilities: dict[str, list[np.ndarray]]  # method -> (T, labels)
    unreadable: list[str]
    counts: list[int]  # of repetitions; empty where the model counts nothing


def _read_fold(path: Path) -> _Fold:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        about = json.loads(str(arrays["about"]))
        ends = np.cumsum(arrays["frames"])[:-1]
        return _Fold(
            labels=tuple(about["labels"]),
            events=EventSettings.from_dict(about["events"]),
            names=arrays["names"].tolist(),
            timestamps=np.split(arrays["timestamps"], ends),
            probabilities={
                name.removeprefix("said by "): np.split(values, ends)
                for name, values in arrays.items()
                if name.startswith("said by ")
            },
            unreadable=about["unreadable"],
            counts=arrays.get("counts", np.zeros(0, np.int64)).tolist(),
        )
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is damaged; remove it, and its fold is done again") from error


def _over_seeds(
    by_seed: Mapping[int, Sequence[Playback]], labels: tuple[str, ...]
) -> tuple[np.ndarray, list[str]]:
    """(clips, 2): right and counted, each averaged over seeds, and the groups of the clips.

    At the end where clips have one label, else frames. Every seed measures the same clips once.
    """
    rows: dict[str, list[tuple[float, float]]] = {}
    groups: dict[str, str] = {}
    clips_only = any(_has_clips(played) for played in by_seed.values())
    for played in by_seed.values():
        for one in played:
            if clips_only and one.label is None:
                continue
            if clips_only:
                hits = [label_of(one.probabilities[-1], labels) == one.label]
            else:
                hits = hits_of(one, labels)
            right, counted = float(sum(hits)), float(len(hits))
            rows.setdefault(one.name, []).append((right, counted))
            groups[one.name] = one.group
    values = np.array([np.mean(pairs, axis=0) for pairs in rows.values()]).reshape(-1, 2)
    return values, list(groups.values())


def _ratio(values: np.ndarray) -> float:
    return float(values[:, 0].sum() / max(values[:, 1].sum(), 1e-9))


def _difference(
    model: Mapping[int, Sequence[Playback]], other: Mapping[int, Sequence[Playback]], labels: tuple[str, ...]
) -> dict[str, Any]:
    """The model's score minus another's on the same clips, and the interval of that."""
    (a, groups), (b, _) = _over_seeds(model, labels), _over_seeds(other, labels)
    paired = np.stack([a[:, 0] - b[:, 0], a[:, 1]], 1)
    return {"difference": _ratio(paired), "interval": interval_of_mean(paired, groups, _ratio)}


def _main_score(played: Sequence[Playback], labels: tuple[str, ...]) -> float | None:
    values, _ = _over_seeds({0: played}, labels)
    return _ratio(values) if len(values) else None


def _has_clips(played: Sequence[Playback]) -> bool:
    return any(one.label is not None for one in played)


def _has_videos(played: Sequence[Playback]) -> bool:
    return any(one.label is None for one in played)


def _mean_of(values: Sequence[Any]) -> Any:
    """Over seeds: numbers averaged, tables entry by entry; words, and what one seed lacks, as the first has it."""
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


def _key(clip: Clip) -> str:
    return str(clip.path)


def _path_of(out: Path, seed: int, fold: int) -> Path:
    return out / f"seed{seed}-fold{fold}.npz"

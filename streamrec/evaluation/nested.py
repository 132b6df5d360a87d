"""Nested cross-validation: each outer fold chooses its recipe and threshold by inner folds of its training groups.

A recipe that is chosen on the folds that then report it appears better than it is. Here no clip that a fold is measured
on has a part in its choice (Varma and Simon, BMC Bioinformatics 2006).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from streamrec.core.files import replacing
from streamrec.core.reading import read_json, read_text
from streamrec.data.clips import Clip
from streamrec.errors import DataError
from streamrec.evaluation.crossval import TrainFold, cross_validate, write_report
from streamrec.evaluation.crossval_report import (
    MODEL,
    CrossValidation,
    key_of,
    path_of_fold,
    read_fold,
    splits_of,
)
from streamrec.evaluation.reports import interval_of_mean
from streamrec.nn.model import ActionModel

CHOICE = "choice.json"  # in the folder of an outer fold


def nested_cross_validate(
    clips: Sequence[Clip],
    candidates: Mapping[str, TrainFold],
    out: Path,
    settings: CrossValidation,
    *,
    inner_folds: int,
    beside: Sequence[Clip] = (),
    recipe: Mapping[str, Any] | None = None,
    log: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """``cross_validate`` where each fold chooses among ``candidates``; what was chosen is in the report, by fold.

    The candidate with the best score in the inner folds is chosen, among equals that with the best AUC, then the first.
    For clips of one of two labels the threshold at which most inner clips are right is chosen too, and the report has
    the clips that are right at it. Inner runs are in the folder of their outer fold, and are not done again either.
    """
    inner = replace(settings, folds=inner_folds, baselines=False, frozen=None)
    others = set(beside)
    for fold, (learned, _) in enumerate(splits_of(clips, settings, beside)):  # before hours of training
        try:
            list(splits_of([clip for clip in learned if clip not in others], inner, ()))
        except DataError as error:
            raise DataError(f"inner folds of fold {fold}: {error}") from error

    def train_fold(learned: list[Clip], measured: list[Clip], seed: int, folder: Path) -> ActionModel:
        scores: dict[str, dict[str, Any]] = {}
        thresholds: dict[str, float | None] = {}
        own = [clip for clip in learned if clip not in others]
        for number, (name, train_one) in enumerate(candidates.items(), start=1):
            log(f"inner folds of {name}")
            place = folder / f"try{number}"
            report = cross_validate(
                own,
                train_one,
                place,
                replace(inner, seeds=(seed,)),
                beside=[clip for clip in learned if clip in others],
                recipe={"candidate": name, **(recipe or {})},
                log=log,
            )
            scores[name] = {key: report["methods"][MODEL][key] for key in ("score", "auc")}
            thresholds[name] = best_threshold(*_ends(place, seed, report["folds"]))
        chosen = max(scores, key=lambda name: (scores[name]["score"], scores[name]["auc"] or 0.0))
        log(f"chosen: {chosen}")
        choice = {"chosen": chosen, "threshold": thresholds[chosen], "scores": scores}
        with replacing(folder / CHOICE, "w", encoding="utf-8") as file:
            file.write(json.dumps(choice, indent=2) + "\n")
        return candidates[chosen](learned, measured, seed, folder)

    report = cross_validate(clips, train_fold, out, settings, beside=beside, recipe=recipe, log=log)
    groups = {key_of(clip): clip.group for clip in clips}
    choices: list[dict[str, Any]] = []
    by_clip: dict[str, list[float]] = {}
    for seed in settings.seeds:
        for fold in range(report["folds"]):
            choice = read_json(read_text(path_of_fold(out, seed, fold).with_suffix("") / CHOICE))
            choices.append({"seed": seed, "fold": fold, **choice})
            if choice["threshold"] is not None:
                names = read_fold(path_of_fold(out, seed, fold)).names
                truth, scores = _ends(out, seed, range(fold, fold + 1))
                hits = (scores >= choice["threshold"]) == truth
                for name, hit in zip(names, hits.tolist(), strict=True):
                    by_clip.setdefault(name, []).append(float(hit))
    right = [float(np.mean(hits)) for hits in by_clip.values()]
    report["nested"] = {
        "candidates": list(candidates),
        "inner_folds": inner_folds,
        "choices": choices,
        "at_threshold": float(np.mean(right)) if right else None,
        "at_threshold_interval": interval_of_mean(right, [groups[name] for name in by_clip])
        if right
        else None,
    }
    write_report(report, out)
    return report


def best_threshold(truth: np.ndarray, scores: np.ndarray) -> float | None:
    """The threshold at which most are right, of equals that next to one half; None without scores.

    >>> best_threshold(np.array([False, False, True, True]), np.array([0.1, 0.2, 0.3, 0.9]))
    0.25
    """
    if not len(scores):
        return None
    known = np.unique(scores)
    tried = np.concatenate([[known[0] / 2], (known[1:] + known[:-1]) / 2, [(known[-1] + 1.0) / 2]])
    right = ((scores[None, :] >= tried[:, None]) == truth[None, :]).sum(1)
    return float(min(tried[right == right.max()], key=lambda threshold: abs(threshold - 0.5)))


def _ends(out: Path, seed: int, folds: int | Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """(clips,) whether each is of the action, and its score at the end; empty where there are not two labels.

    Of two labels the action is the one that is not background.
    """
    truth: list[bool] = []
    scores: list[float] = []
    for fold in range(folds) if isinstance(folds, int) else folds:
        one = read_fold(path_of_fold(out, seed, fold))
        if len(one.labels) != 2 or not all(one.truth):  # several actions, or untrimmed videos
            return np.zeros(0, bool), np.zeros(0)
        action = next((n for n, label in enumerate(one.labels) if label not in one.events.background), 0)
        truth += [label == one.labels[action] for label in one.truth]
        scores += [float(rows[-1, action]) for rows in one.probabilities[MODEL]]
    return np.array(truth), np.array(scores)

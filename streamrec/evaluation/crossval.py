"""Cross-validation of a training recipe: folds that share no group, several seeds, baselines beside."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from streamrec.core.files import make_private_folder, replacing
from streamrec.data.clips import Clip
from streamrec.errors import DataError, SourceError
from streamrec.evaluation.baselines import (
    Shown,
    Watched,
    fit_per_frame,
    fit_running_mean,
    frozen_features,
    show,
    watch,
    window_probabilities,
)
from streamrec.evaluation.crossval_report import (
    MODEL,
    CrossValidation,
    _key,
    _path_of,
    _splits,
    markdown_of,
    report_of,
)
from streamrec.events.repetitions import RepetitionCounter
from streamrec.nn.config import ModelConfig
from streamrec.nn.model import ActionModel
from streamrec.nn.transforms import Transform
from streamrec.types import Prediction

# (clips to learn from, clips held out, seed, folder of this training) -> the model
TrainFold: TypeAlias = Callable[[list[Clip], list[Clip], int, Path], ActionModel]


def cross_validate(
    clips: Sequence[Clip],
    train_fold: TrainFold,
    out: Path,
    settings: CrossValidation,
    *,
    beside: Sequence[Clip] = (),
    recipe: Mapping[str, Any] | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Train and measure each fold with each seed; write ``report.json`` and ``report.md`` to ``out``; the report.

    What was said of each fold's clips is kept in ``out``, so that a run that was stopped goes on where it was.
    ``beside``: clips that every fold learns from and none is measured on, but for those of a
    group that it holds out. ``recipe``: what else must be the same
    then (plain values); it is part of the report. Clips that cannot be read are passed over, and named.
    """
    splits = list(_splits(clips, settings, beside))
    make_private_folder(out)
    _check_same_run(out, [*clips, *beside], settings, recipe or {})
    decoded = _Decoded()
    for seed in settings.seeds:
        for fold, (learned, measured) in enumerate(splits):
            path = _path_of(out, seed, fold)
            if path.exists():
                continue
            tell(f"seed {seed}, fold {fold}: learning from {len(learned)} clips, {len(measured)} held out")
            folder = out / path.stem
            folder.mkdir(exist_ok=True)
            model = train_fold(learned, measured, seed, folder).eval()
            said, counts = _measure(model, learned, measured, decoded, settings, seed)
            unreadable = decoded.unreadable(measured)
            _write_fold(path, model, said, learned=len(learned), unreadable=unreadable, counts=counts)
    report = report_of(clips, out, settings, recipe or {}, beside)
    _write_text(out / "report.json", json.dumps(report, indent=2) + "\n")
    _write_text(out / "report.md", markdown_of(report))
    return report


def files_in(out: Path) -> list[Path]:
    """What a cross-validation writes over in its folder."""
    known = [out / name for name in ("run.json", "report.json", "report.md")]
    return [*known, *out.glob("seed*-fold*.npz"), *out.glob("seed*-fold*/*")]


def _measure(
    model: ActionModel,
    learned: Sequence[Clip],
    measured: Sequence[Clip],
    decoded: _Decoded,
    settings: CrossValidation,
    seed: int,
) -> tuple[dict[str, list[tuple[Clip, np.ndarray, np.ndarray]]], list[int]]:
    """Method -> of each held-out clip that can be read: the clip, its timestamps, and the probabilities.

    And how many repetitions the model counted in each; empty where it counts none.
    """
    config, labels = model.config, len(model.config.labels)
    back = decoded.show(measured, config)
    if not back:
        raise DataError("of a fold no clip could be read: is the data still where it was?")
    seen = [(clip, watch(model, shown)) for clip, shown in back]
    said = {MODEL: [(clip, one.timestamps, one.probabilities) for clip, one in seen]}
    counts = [_count(config, one) for _, one in seen] if config.counted else []
    if not settings.baselines:
        return said, counts
    front = decoded.show(learned, config)
    watched = [watch(model, shown) for _, shown in front]
    said |= _linear(watched, None, seen, None, labels, seed, "")
    said["window"] = [(clip, shown.timestamps, window_probabilities(model, shown)) for clip, shown in back]
    if settings.frozen:
        rows, held = (decoded.frozen([clip for clip, _ in part], settings, config) for part in (front, back))
        said |= _linear(watched, rows, seen, held, labels, seed, "frozen ")
    return said, counts


def _count(config: ModelConfig, watched: Watched) -> int:
    """The repetitions that ``results()`` would have counted at the end of the clip."""
    counter = RepetitionCounter(config.labels, config.counted, config.counting)
    state, count = counter.initial_state(), 0
    assert watched.phases is not None
    rows = zip(watched.timestamps.tolist(), watched.probabilities, watched.phases.tolist(), strict=True)
    for time, scores, (cosine, sine) in rows:
        count, state = counter.step(Prediction.of(scores, time, config.labels, (cosine, sine)), time, state)
    return count


def _linear(
    shown: Sequence[Watched],
    shown_features: Sequence[np.ndarray] | None,
    seen: Sequence[tuple[Clip, Watched]],
    seen_features: Sequence[np.ndarray] | None,
    labels: int,
    seed: int,
    prefix: str,
) -> dict[str, list[tuple[Clip, np.ndarray, np.ndarray]]]:
    rows = [one.features for _, one in seen] if seen_features is None else seen_features
    found = {}
    for name, fit in (("frame", fit_per_frame), ("mean", fit_running_mean)):
        classify: Any = fit(shown, labels, features=shown_features, seed=seed)
        found[prefix + name] = [
            (clip, one.timestamps, classify(row, one.timestamps))
            for (clip, one), row in zip(seen, rows, strict=True)
        ]
    return found


class _Decoded:
    """The clips as the models see them, decoded once: only the frames that are looked at are kept."""

    def __init__(self) -> None:
        self._shown: dict[tuple[Any, ...], dict[str, Shown]] = {}
        self._frozen: dict[tuple[str, float], np.ndarray] = {}
        self._errors: dict[str, str] = {}

    def show(self, clips: Sequence[Clip], config: ModelConfig) -> list[tuple[Clip, Shown]]:
        """The clips that can be read, and their frames."""
        known = self._shown.setdefault((config.transform, config.fps, config.labels, config.events), {})
        for clip in clips:
            key = _key(clip)
            if key not in known and key not in self._errors:
                try:
                    known[key] = show(clip, config)
                except SourceError as error:
                    self._errors[key] = str(error)
        return [(clip, known[_key(clip)]) for clip in clips if _key(clip) in known]

    def unreadable(self, clips: Sequence[Clip]) -> list[str]:
        """What of these clips could not be read, in words: nothing of some, a part of those that are cut off."""
        cut = {key: shown.amiss for known in self._shown.values() for key, shown in known.items()}
        told = []
        for clip in clips:
            key = _key(clip)
            if key in self._errors:
                told.append(self._errors[key])
            elif (why := cut.get(key)) is not None:
                told.append(f"{clip.path} in part: {why}")
        return told

    def frozen(
        self, clips: Sequence[Clip], settings: CrossValidation, config: ModelConfig
    ) -> list[np.ndarray]:
        """(T, F) of each of these clips, all of which can be read."""
        transform = Transform(width=settings.frozen_size[0], height=settings.frozen_size[1])
        missing = [clip for clip in clips if (_key(clip), config.fps) not in self._frozen]
        pictures = (show(clip, config, transform) for clip in missing)  # one at a time: they are large
        rows = frozen_features(pictures, encoder=str(settings.frozen))
        self._frozen |= {(_key(clip), config.fps): row for clip, row in zip(missing, rows, strict=True)}
        return [self._frozen[_key(clip), config.fps] for clip in clips]


def write_index(clips: Sequence[Clip], path: Path) -> Path:
    """Write a CSV from which ``find_clips`` finds these clips again, wherever it lies."""
    timed = any(clip.label is None for clip in clips)
    counted = any(clip.repetitions for clip in clips)
    with replacing(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["clip", "label", "group", *["segments", "background"] * timed, *["repetitions"] * counted]
        )
        for clip in clips:
            segments = "; ".join(f"{label}:{start!r}-{end!r}" for start, end, label in clip.segments)
            times = " ".join(map(repr, clip.repetitions or ()))
            row = [str(clip.path.resolve()), "" if segments else clip.label, clip.group]
            writer.writerow([*row, *[segments, clip.background] * timed, *[times] * counted])
    return path


def _write_fold(
    path: Path,
    model: ActionModel,
    said: Mapping[str, Sequence[tuple[Clip, np.ndarray, np.ndarray]]],
    *,
    learned: int,
    unreadable: Sequence[str],
    counts: Sequence[int],
) -> None:
    config = model.config.to_dict()
    about = {
        "labels": config["labels"],
        "events": config["events"],
        "learned": learned,
        "unreadable": list(unreadable),
    }
    clips = said[MODEL]
    arrays: dict[str, np.ndarray] = {
        "about": np.array(json.dumps(about)),
        "names": np.array([_key(clip) for clip, _, _ in clips]),
        "groups": np.array([clip.group for clip, _, _ in clips]),
        "truth": np.array([clip.label or "" for clip, _, _ in clips]),
        "frames": np.array([len(times) for _, times, _ in clips]),
        "timestamps": np.concatenate([times for _, times, _ in clips]),
        "counts": np.array(counts, np.int64),
    }
    arrays |= {
        f"said by {method}": np.concatenate([scores for _, _, scores in rows])
        for method, rows in said.items()
    }
    with replacing(path) as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def _check_same_run(
    out: Path, clips: Sequence[Clip], settings: CrossValidation, recipe: Mapping[str, Any]
) -> None:
    """More seeds may come later; all else must be as it was."""
    data = hashlib.sha256()
    for clip in sorted(clips, key=_key):
        data.update(repr((_key(clip), clip.label, clip.group, clip.segments)).encode())
    this = {
        "folds": settings.folds,
        "fold_seed": settings.fold_seed,
        "baselines": settings.baselines,
        "frozen": [settings.frozen, *settings.frozen_size] if settings.frozen else None,
        "clips": data.hexdigest(),
        "recipe": dict(recipe),
    }
    path = out / "run.json"
    if path.exists():
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            before = None
        if before != json.loads(json.dumps(this)):
            raise DataError(
                f"{out} holds a cross-validation of other clips or settings; give the same, or another --out"
            )
    else:
        _write_text(path, json.dumps(this, indent=2) + "\n")


def _write_text(path: Path, text: str) -> None:
    with replacing(path, "w", encoding="utf-8") as file:
        file.write(text)

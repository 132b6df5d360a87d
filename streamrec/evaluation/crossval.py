"""Cross-validation of a training recipe (k folds or leave-one-group-out), with several seeds and baselines."""

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
    EncodedClip,
    SampledClip,
    encode_clip,
    fit_per_frame,
    fit_running_mean,
    frozen_features,
    sample_clip,
    window_probabilities,
)
from streamrec.evaluation.crossval_report import (
    MODEL,
    SCORES_OF,
    CrossValidation,
    key_of,
    markdown_of,
    path_of_fold,
    report_of,
    splits_of,
)
from streamrec.events.repetitions import RepetitionCounter
from streamrec.nn.config import ModelConfig
from streamrec.nn.model import ActionModel
from streamrec.nn.transforms import Transform
from streamrec.types import Prediction

# (clips to learn from, held-out clips, seed, folder of this training) -> the model
TrainFold: TypeAlias = Callable[[list[Clip], list[Clip], int, Path], ActionModel]
# Of each clip: (T,) timestamps in seconds, and (T, labels) probabilities.
Scores: TypeAlias = list[tuple[Clip, np.ndarray, np.ndarray]]


def cross_validate(
    clips: Sequence[Clip],
    train_fold: TrainFold,
    out: Path,
    settings: CrossValidation,
    *,
    beside: Sequence[Clip] = (),
    recipe: Mapping[str, Any] | None = None,
    log: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Train and measure each fold with each seed; returns the report, and writes it to ``out`` as JSON and Markdown.

    - ``beside``: clips that every fold learns from and none is measured on, without those of a held-out group.
    - ``recipe``: what else must be the same when a stopped run goes on (plain values); it is part of the report.

    The predictions of each fold are stored in ``out``, so that a run that was stopped goes on where it was. Unreadable
    clips are passed over, and listed in the report.
    """
    splits = list(splits_of(clips, settings, beside))
    make_private_folder(out)
    _check_same_run(out, [*clips, *beside], settings, recipe or {})
    decoded = _Decoded()
    for seed in settings.seeds:
        for fold, (learned, measured) in enumerate(splits):
            path = path_of_fold(out, seed, fold)
            if path.exists():
                continue
            log(f"seed {seed}, fold {fold}: learning from {len(learned)} clips, {len(measured)} held out")
            folder = out / path.stem
            folder.mkdir(exist_ok=True)
            model = train_fold(learned, measured, seed, folder).eval()
            scores, counts = _measure(model, learned, measured, decoded, settings, seed)
            unreadable = decoded.unreadable(measured)
            _write_fold(path, model, scores, learned=len(learned), unreadable=unreadable, counts=counts)
    report = report_of(clips, out, settings, recipe or {}, beside)
    write_report(report, out)
    return report


def write_report(report: Mapping[str, Any], out: Path) -> None:
    """Write a report as JSON and as Markdown."""
    _write_text(out / "report.json", json.dumps(report, indent=2) + "\n")
    _write_text(out / "report.md", markdown_of(report))


def files_in(out: Path) -> list[Path]:
    """The files that a cross-validation overwrites in its folder."""
    known = [out / name for name in ("run.json", "report.json", "report.md")]
    return [*known, *out.glob("seed*-fold*.npz"), *out.glob("seed*-fold*/*")]


def _measure(
    model: ActionModel,
    learned: Sequence[Clip],
    measured: Sequence[Clip],
    decoded: _Decoded,
    settings: CrossValidation,
    seed: int,
) -> tuple[dict[str, Scores], list[int]]:
    """Method -> the scores of readable held-out clips; and the repetitions counted in each, empty without counting."""
    config, labels = model.config, len(model.config.labels)
    back = decoded.sampled(measured, config)
    if not back:
        raise DataError("of a fold no clip could be read: is the data still where it was?")
    held_out = [(clip, encode_clip(model, sampled)) for clip, sampled in back]
    scores = {MODEL: [(clip, one.timestamps, one.probabilities) for clip, one in held_out]}
    counts = [_count(config, one) for _, one in held_out] if config.counted else []
    if not settings.baselines:
        return scores, counts
    front = decoded.sampled(learned, config)
    encoded = [encode_clip(model, sampled) for _, sampled in front]
    scores |= _linear(encoded, None, held_out, None, labels, seed, "")
    scores["window"] = [
        (clip, sampled.timestamps, window_probabilities(model, sampled)) for clip, sampled in back
    ]
    if settings.frozen:
        rows, held = (decoded.frozen([clip for clip, _ in part], settings, config) for part in (front, back))
        scores |= _linear(encoded, rows, held_out, held, labels, seed, "frozen ")
    return scores, counts


def _count(config: ModelConfig, encoded: EncodedClip) -> int:
    """The repetitions that ``results()`` counts until the end of the clip."""
    counter = RepetitionCounter(config.labels, config.counted, config.counting)
    state, count = counter.initial_state(), 0
    assert encoded.phases is not None
    rows = zip(encoded.timestamps.tolist(), encoded.probabilities, encoded.phases.tolist(), strict=True)
    for time, scores, (cosine, sine) in rows:
        count, state = counter.step(Prediction.of(scores, time, config.labels, (cosine, sine)), time, state)
    return count


def _linear(
    learned: Sequence[EncodedClip],
    learned_features: Sequence[np.ndarray] | None,
    held_out: Sequence[tuple[Clip, EncodedClip]],
    held_out_features: Sequence[np.ndarray] | None,
    labels: int,
    seed: int,
    prefix: str,
) -> dict[str, Scores]:
    """Method -> the scores of held-out clips by the linear baselines; features None: those of the clips."""
    rows = [one.features for _, one in held_out] if held_out_features is None else held_out_features
    found = {}
    for name, fit in (("frame", fit_per_frame), ("mean", fit_running_mean)):
        classify: Any = fit(learned, labels, features=learned_features, seed=seed)
        found[prefix + name] = [
            (clip, one.timestamps, classify(row, one.timestamps))
            for (clip, one), row in zip(held_out, rows, strict=True)
        ]
    return found


class _Decoded:
    """The clips at a model's sampling rate and input size, decoded once; other frames are not stored."""

    def __init__(self) -> None:
        self._sampled: dict[tuple[Any, ...], dict[str, SampledClip]] = {}
        self._frozen: dict[tuple[str, float], np.ndarray] = {}
        self._errors: dict[str, str] = {}

    def sampled(self, clips: Sequence[Clip], config: ModelConfig) -> list[tuple[Clip, SampledClip]]:
        """The readable clips, with their frames."""
        known = self._sampled.setdefault((config.transform, config.fps, config.labels, config.events), {})
        for clip in clips:
            key = key_of(clip)
            if key not in known and key not in self._errors:
                try:
                    known[key] = sample_clip(clip, config)
                except SourceError as error:
                    self._errors[key] = str(error)
        return [(clip, known[key_of(clip)]) for clip in clips if key_of(clip) in known]

    def unreadable(self, clips: Sequence[Clip]) -> list[str]:
        """Messages about clips of which nothing, or only a part, could be read."""
        cut = {key: one.amiss for known in self._sampled.values() for key, one in known.items()}
        messages = []
        for clip in clips:
            key = key_of(clip)
            if key in self._errors:
                messages.append(self._errors[key])
            elif (why := cut.get(key)) is not None:
                messages.append(f"{clip.path} in part: {why}")
        return messages

    def frozen(
        self, clips: Sequence[Clip], settings: CrossValidation, config: ModelConfig
    ) -> list[np.ndarray]:
        """(T, F) frozen features of each of these readable clips."""
        transform = Transform(width=settings.frozen_size[0], height=settings.frozen_size[1])
        missing = [clip for clip in clips if (key_of(clip), config.fps) not in self._frozen]
        sampled = (sample_clip(clip, config, transform) for clip in missing)  # one at a time: they are large
        rows = frozen_features(sampled, encoder=str(settings.frozen))
        self._frozen |= {(key_of(clip), config.fps): row for clip, row in zip(missing, rows, strict=True)}
        return [self._frozen[key_of(clip), config.fps] for clip in clips]


def write_index(clips: Sequence[Clip], path: Path) -> Path:
    """Write a CSV of these clips that ``find_clips`` can read, in any folder."""
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
    scores: Mapping[str, Scores],
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
    clips = scores[MODEL]
    arrays: dict[str, np.ndarray] = {
        "about": np.array(json.dumps(about)),
        "names": np.array([key_of(clip) for clip, _, _ in clips]),
        "groups": np.array([clip.group for clip, _, _ in clips]),
        "truth": np.array([clip.label or "" for clip, _, _ in clips]),
        "frames": np.array([len(times) for _, times, _ in clips]),
        "timestamps": np.concatenate([times for _, times, _ in clips]),
        "counts": np.array(counts, np.int64),
    }
    arrays |= {
        f"{SCORES_OF}{method}": np.concatenate([probabilities for _, _, probabilities in rows])
        for method, rows in scores.items()
    }
    with replacing(path) as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def _check_same_run(
    out: Path, clips: Sequence[Clip], settings: CrossValidation, recipe: Mapping[str, Any]
) -> None:
    """Raise ``DataError`` where ``out`` is of another run; more seeds may be added."""
    data = hashlib.sha256()
    for clip in sorted(clips, key=key_of):
        data.update(repr((key_of(clip), clip.label, clip.group, clip.segments)).encode())
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

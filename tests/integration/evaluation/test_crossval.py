"""Folds share no group, a stopped run goes on, and the report follows from what was said of each frame."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from streamrec import ActionModel, ModelConfig, Transform
from streamrec.data.clips import Clip, find_clips
from streamrec.errors import DataError, SourceError
from streamrec.evaluation import crossval
from streamrec.evaluation.baselines import SampledClip
from streamrec.evaluation.crossval import cross_validate, write_index
from streamrec.evaluation.crossval_report import CrossValidation

CONFIG = ModelConfig(labels=("left", "right"), transform=Transform(height=32, width=32), hidden_size=8)


@pytest.fixture(autouse=True)
def pictures_without_files(monkeypatch):
    """A clip's number is in its name, and is the seed of its pictures."""

    def show(clip: Clip, config: ModelConfig, transform: Transform | None = None) -> SampledClip:
        pictures = np.random.default_rng(int(clip.path.stem)).integers(0, 256, (6, 32, 32, 3), np.uint8)
        target = config.labels.index(clip.label)
        return SampledClip(pictures, np.arange(6) / 10, np.full(6, target), clip.group)

    monkeypatch.setattr(crossval, "sample_clip", show)


def clips(count: int = 12, groups: int = 4) -> list[Clip]:
    """Labels in turn; each group has both."""
    return [Clip(Path(f"{n}.mp4"), CONFIG.labels[n % 2], f"g{n // 2 % groups}") for n in range(count)]


def trained(learned: list[Clip], measured: list[Clip], seed: int, folder: Path) -> ActionModel:
    torch.manual_seed(seed)
    return ActionModel(CONFIG)


BARE = CrossValidation(folds=2, baselines=False)


def test_every_clip_is_measured_once_a_seed_by_a_model_that_never_saw_its_group(tmp_path):
    asked = []

    def spied(learned, measured, seed, folder):
        assert not {clip.group for clip in learned} & {clip.group for clip in measured}
        assert len(learned) + len(measured) == 12
        assert folder.is_dir()
        asked.append((seed, frozenset(clip.path for clip in measured)))
        return trained(learned, measured, seed, folder)

    report = cross_validate(clips(), spied, tmp_path, replace(BARE, seeds=(3, 5)))
    assert [seed for seed, _ in asked] == [3, 3, 5, 5]
    assert [part for seed, part in asked if seed == 3] == [part for seed, part in asked if seed == 5]
    assert frozenset.union(*(part for seed, part in asked if seed == 3)) == {clip.path for clip in clips()}
    assert report["methods"]["model"]["clips"]["clips"] == 12
    assert (report["folds"], report["seeds"], report["groups"], report["chance"]) == (2, [3, 5], 4, 0.5)


def test_clips_beside_are_learned_in_every_fold_but_their_own_and_never_measured(tmp_path):
    beside = [Clip(Path("street.mp4"), "left", "street"), Clip(Path("known.mp4"), "left", "g0")]
    names = []

    def spied(learned, measured, seed, folder):
        assert not {clip.group for clip in learned} & {clip.group for clip in measured}
        assert not {"street.mp4", "known.mp4"} & {clip.path.name for clip in measured}
        names.append({clip.path.name for clip in learned})
        return trained(learned, measured, seed, folder)

    report = cross_validate(clips(), spied, tmp_path, replace(BARE, folds=None), beside=beside)
    assert all("street.mp4" in learned for learned in names)
    assert [("known.mp4" in learned) for learned in names] == [False, True, True, True]
    assert report["methods"]["model"]["clips"]["clips"] == 12


def test_each_group_is_held_out_once(tmp_path):
    report = cross_validate(clips(), trained, tmp_path, replace(BARE, folds=None))
    assert [row["groups"] for row in report["each_fold"]] == [1, 1, 1, 1]
    same = cross_validate(clips(), trained, tmp_path / "same", replace(BARE, folds=4))
    assert [row["groups"] for row in same["each_fold"]] == [1, 1, 1, 1]


def test_a_stopped_run_goes_on_where_it_was(tmp_path):
    calls = []

    def stops(learned, measured, seed, folder):
        if len(calls) == 3:
            calls.append("stopped")
            raise KeyboardInterrupt
        calls.append((seed, len(measured)))
        return trained(learned, measured, seed, folder)

    settings = replace(BARE, seeds=(0, 1))
    with pytest.raises(KeyboardInterrupt):
        cross_validate(clips(), stops, tmp_path, settings)
    report = cross_validate(clips(), stops, tmp_path, settings)
    assert len(calls) == 5
    whole = cross_validate(clips(), trained, tmp_path / "whole", settings)
    assert report == whole
    kept = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert kept == json.loads(json.dumps(report))
    again = cross_validate(clips(), stops, tmp_path, replace(settings, seeds=(0, 1, 2)))
    assert len(calls) == 7  # more seeds may come later
    assert again["seeds"] == [0, 1, 2]


def test_a_clip_that_was_cut_off_is_measured_in_part_and_named(tmp_path, monkeypatch):
    whole = crossval.sample_clip

    def show(clip: Clip, config: ModelConfig, transform: Transform | None = None) -> SampledClip:
        if clip.path.name == "5.mp4":
            raise SourceError("5.mp4 is empty: 0 bytes")
        return replace(whole(clip, config), amiss="it is cut off" if clip.path.name == "3.mp4" else None)

    monkeypatch.setattr(crossval, "sample_clip", show)
    for _ in range(2):  # from what is kept, too
        report = cross_validate(clips(), trained, tmp_path, BARE)
        assert report["unreadable"] == ["3.mp4 in part: it is cut off", "5.mp4 is empty: 0 bytes"]
        assert report["methods"]["model"]["clips"]["clips"] == 11
    assert "- 3.mp4 in part: it is cut off" in crossval.markdown_of(report)


@pytest.mark.parametrize(
    ("data", "settings", "recipe"),
    [(clips(10), BARE, {}), (clips(), replace(BARE, fold_seed=1), {}), (clips(), BARE, {"steps": 2})],
)
def test_a_run_of_other_clips_or_settings_is_not_mixed_in(tmp_path, data, settings, recipe):
    cross_validate(clips(), trained, tmp_path, BARE)
    with pytest.raises(DataError, match="another --out"):
        cross_validate(data, trained, tmp_path, settings, recipe=recipe)


def test_a_damaged_fold_is_told(tmp_path):
    cross_validate(clips(), trained, tmp_path, BARE)
    (tmp_path / "seed0-fold1.npz").write_bytes(b"no archive")
    with pytest.raises(DataError, match="damaged; remove it"):
        cross_validate(clips(), trained, tmp_path, BARE)


def write_run(out: Path, right: dict[str, list[list[bool]]], *, counts: dict[str, int] | None = None) -> dict:
    """A run of two seeds and two folds in which each method is right at the end of the clips as told.

    ``counts``: how many repetitions were counted in the clips of a label; each has three.
    """
    data, settings = clips(4, 2), CrossValidation(folds=None, seeds=(0, 1))
    if counts:
        data = [replace(clip, repetitions=(0.1, 0.2, 0.3)) for clip in data]
    out.mkdir(exist_ok=True)
    model = ActionModel(CONFIG)
    for seed in (0, 1):
        for fold in (0, 1):
            part = [clip for clip in data if clip.group == f"g{fold}"]
            said = {}
            for method, hits in right.items():
                said[method] = []
                for clip in part:
                    ok = hits[seed][data.index(clip)]
                    share = 0.8 if ok == (clip.label == "left") else 0.2
                    said[method].append(
                        (clip, np.array([0.0, 0.1]), np.array([[0.5, 0.5], [share, 1 - share]]))
                    )
            counted = [counts[str(clip.label)] for clip in part] if counts else []
            path = out / f"seed{seed}-fold{fold}.npz"
            crossval._write_fold(path, model, said, learned=2, unreadable=[], counts=counted)
    return crossval.report_of(data, out, settings, {})


def test_the_report_is_the_hand_worked_one(tmp_path):
    # Clips 0 and 1 are group g0, fold 0; 2 and 3 are g1, fold 1.
    # The model: seed 0 all right but clip 3, seed 1 all right: 3/4 and 1, mean 7/8.
    # frame: always right of clips 0 and 1, wrong of 2 and 3: 1/2. Difference 3/8: 0 in g0, 3/4 in g1.
    report = write_run(
        tmp_path, {"model": [[1, 1, 1, 0], [1, 1, 1, 1]], "frame": [[1, 1, 0, 0], [1, 1, 0, 0]]}
    )
    model, frame = report["methods"]["model"], report["methods"]["frame"]
    assert model["score"] == 7 / 8
    assert model["seeds"] == {"0": 3 / 4, "1": 1.0}
    assert [row["model"] for row in report["each_fold"]] == [1.0, 0.5, 1.0, 1.0]
    assert model["folds_mean"] == 7 / 8
    assert model["folds_deviation"] == pytest.approx(math.sqrt((3 * (1 / 8) ** 2 + (3 / 8) ** 2) / 3))
    assert model["interval"] == (0.75, 1.0)  # g0 is 1, g1 is 3/4
    assert model["clips"]["at_end"] == 7 / 8
    assert model["clips"]["confusion"]["counts"] == [[2, 0], [0.5, 1.5]]
    assert (frame["score"], frame["interval"]) == (0.5, (0.0, 1.0))
    assert report["model_minus"]["frame"] == {"difference": 3 / 8, "interval": (0.0, 0.75)}
    page = crossval.markdown_of(report)
    assert "| 87.5 (75.0 to 100.0) |" in page
    assert "37.5 (0.0 to 75.0)" in page
    json.dumps(report)


def test_repetitions_that_were_counted_are_in_the_report(tmp_path):
    report = write_run(tmp_path, {"model": [[1, 1, 1, 1]] * 2}, counts={"left": 3, "right": 5})
    found = report["methods"]["model"]["repetitions"]
    assert (found["clips"], found["error"], found["off_by_one"], found["exact"]) == (4, 1.0, 0.5, 0.5)
    assert "1.00" in crossval.markdown_of(report)
    assert "repetitions" not in write_run(tmp_path / "no", {"model": [[1] * 4] * 2})["methods"]["model"]


def test_a_model_that_counts_is_measured_with_its_baselines(tmp_path):
    counting = replace(CONFIG, counted=("right",))
    data = [replace(clip, repetitions=(0.1, 0.3)) for clip in clips(8, 4)]
    report = cross_validate(data, lambda *given: ActionModel(counting), tmp_path, CrossValidation(folds=2))
    assert set(report["methods"]) == {"model", "frame", "mean", "window"}
    assert report["labels"] == ["left", "right"]
    assert report["methods"]["model"]["repetitions"]["clips"] == 8
    assert "repetitions" not in report["methods"]["window"]


def test_the_baselines_stand_beside(tmp_path):
    report = cross_validate(clips(8, 4), trained, tmp_path, CrossValidation(folds=2))
    assert set(report["methods"]) == {"model", "frame", "mean", "window"}
    assert set(report["model_minus"]) == {"frame", "mean", "window"}
    # Six frames fit into the window, so that the window is the model.
    assert report["model_minus"]["window"]["difference"] == 0.0


@pytest.mark.parametrize("folds", [1, 5])
def test_so_many_folds_cannot_be_made(tmp_path, folds):
    with pytest.raises(DataError, match="4 groups cannot be split"):
        cross_validate(clips(), trained, tmp_path, replace(BARE, folds=folds))


def test_a_label_of_one_group_only_is_told(tmp_path):
    data = [Clip(clip.path, clip.label, clip.label) for clip in clips()]
    with pytest.raises(DataError, match="all clips of left are held out"):
        cross_validate(data, trained, tmp_path, BARE)


def test_an_index_holds_the_clips_wherever_it_lies(tmp_path):
    data = [Clip((tmp_path / f"{n}.mp4").resolve(), "a, b" if n else "c", f"g{n}") for n in range(3)]
    (tmp_path / "folder").mkdir()
    found = find_clips(write_index(data, tmp_path / "folder" / "learned.csv"))
    assert [(clip.path, clip.label, clip.group) for clip in found] == [
        (c.path, c.label, c.group) for c in data
    ]

"""Nested cross-validation: what a fold is measured on has no part in its choice."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from streamrec import ActionModel, EventSettings, ModelConfig, Transform
from streamrec.data.clips import Clip
from streamrec.errors import DataError
from streamrec.evaluation import crossval
from streamrec.evaluation.baselines import EncodedClip, SampledClip
from streamrec.evaluation.crossval_report import CrossValidation, markdown_of
from streamrec.evaluation.nested import best_threshold, nested_cross_validate

CONFIG = ModelConfig(
    labels=("fight", "normal"),
    transform=Transform(height=32, width=32),
    hidden_size=8,
    events=EventSettings(background=("normal",)),
)
SETTINGS = CrossValidation(folds=3, baselines=False, seeds=(0, 1))


@pytest.fixture(autouse=True)
def models_that_know_as_much_as_they_are_told(monkeypatch):
    """A model's ``scores`` are those of a fight: of clips with one, and of clips without."""

    def sample(clip: Clip, config: ModelConfig, transform: Transform | None = None) -> SampledClip:
        target = config.labels.index(str(clip.label))
        return SampledClip(
            np.zeros((2, 32, 32, 3), np.uint8), np.arange(2) / 10, np.full(2, target), clip.group
        )

    def encode(model, sampled: SampledClip) -> EncodedClip:
        score = model.scores[int(sampled.targets[0])]
        shares = np.tile(np.array([score, 1 - score], np.float32), (2, 1))
        return EncodedClip(
            sampled.timestamps, sampled.targets, np.zeros((2, 1), np.float32), shares, sampled.group
        )

    monkeypatch.setattr(crossval, "sample_clip", sample)
    monkeypatch.setattr(crossval, "encode_clip", encode)


def clips() -> list[Clip]:
    return [Clip(Path(f"{n}.mp4"), CONFIG.labels[n % 2], f"g{n // 2}") for n in range(18)]


def trains(scores: tuple[float, float], calls: list):
    def train_fold(learned, measured, seed, folder) -> ActionModel:
        calls.append((folder, {c.group for c in learned}, {c.group for c in measured}))
        torch.manual_seed(seed)
        model = ActionModel(CONFIG)
        model.scores = scores
        return model

    return train_fold


def test_a_fold_chooses_by_groups_that_it_is_not_measured_on_and_a_stopped_run_goes_on(tmp_path):
    calls: list = []
    candidates = {"blind": trains((0.3, 0.3), calls), "seeing": trains((0.9, 0.1), calls)}
    beside = [Clip(Path("90.mp4"), "normal", "aside")]
    report = nested_cross_validate(
        clips(), candidates, tmp_path, SETTINGS, inner_folds=2, beside=beside, recipe={"steps": 3}
    )
    assert report["methods"]["model"]["score"] == 1.0
    assert report["methods"]["model"]["auc"] == 1.0
    choices = report["nested"]["choices"]
    assert [choice["chosen"] for choice in choices] == ["seeing"] * 6
    assert choices[0]["scores"]["blind"] == {"score": 0.5, "auc": 0.5}

    # Three outer folds and two seeds, of each two inner folds of two candidates, then the chosen one.
    assert len(calls) == 6 * (2 * 2 + 1)
    outer = {folder: measured for folder, _, measured in calls if folder.parent == tmp_path}
    assert len(outer) == 6
    inner = [call for call in calls if call[0].parent != tmp_path]
    assert len(inner) == 24
    for folder, learned, measured in inner:
        held_out = outer[folder.parent.parent]
        assert not held_out & (learned | measured)
        assert not learned & measured
        assert "aside" in learned

    again = nested_cross_validate(
        clips(), candidates, tmp_path, SETTINGS, inner_folds=2, beside=beside, recipe={"steps": 3}
    )
    assert len(calls) == 30
    assert again == report
    assert json.loads((tmp_path / "report.json").read_text())["nested"]["inner_folds"] == 2
    page = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert page == markdown_of(report)
    assert "| threshold | blind: score, AUC | seeing: score, AUC |" in page


def test_a_threshold_is_chosen_by_the_inner_folds_too(tmp_path):
    shy = {"shy": trains((0.4, 0.2), [])}  # it never says fight, and yet ranks all of them right
    report = nested_cross_validate(clips(), shy, tmp_path, replace(SETTINGS, seeds=(0,)), inner_folds=2)
    model, nested = report["methods"]["model"], report["nested"]
    assert (model["score"], model["auc"]) == (0.5, 1.0)
    assert nested["at_threshold"] == 1.0
    assert nested["choices"][0]["threshold"] == pytest.approx(0.3)
    assert "at the thresholds that the inner folds chose: 100.0" in markdown_of(report)


def test_of_equal_thresholds_the_one_next_to_one_half_is_chosen():
    truth, scores = np.array([False, True, True]), np.array([0.1, 0.7, 0.9])
    assert best_threshold(truth, scores) == pytest.approx(0.4)
    assert best_threshold(np.array([False, False]), np.array([0.6, 0.8])) == pytest.approx(0.9)
    assert best_threshold(np.zeros(0, bool), np.zeros(0)) is None


def test_folds_that_cannot_be_divided_again_are_refused_before_anything_is_learned(tmp_path):
    calls: list = []
    with pytest.raises(DataError, match=r"inner folds of fold 0: 1 groups cannot be split into 2 folds"):
        few = clips()[:4]
        settings = replace(SETTINGS, folds=2)
        nested_cross_validate(few, {"any": trains((0.9, 0.1), calls)}, tmp_path, settings, inner_folds=2)
    assert calls == []

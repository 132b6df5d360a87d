"""A trunk that rests is asked once about each look of a recording, by all trainings together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from streamrec import ModelConfig, Transform
from streamrec.data.decode_cache import ClipCache, Recording
from streamrec.nn.model import ActionModel
from streamrec.nn.transforms import planar
from streamrec.train.augment import Augmentation
from streamrec.train.fit import TrainSettings, fit
from streamrec.train.frozen_features import FEATURE_FPS, FeatureCache
from tests.helpers.recordings import STILL, recorded, scene, windows_of

CONFIG = ModelConfig(
    labels=("a", "b"),
    encoder="resnet18",
    transform=Transform(height=32, width=32),
    hidden_size=8,
)
RESTING = TrainSettings(steps=3, streams=2, window=4, stages="staged", unfreeze=1.0, looks=2)


def noisy(seed: int, frames: int = 12) -> Recording:
    pictures = np.random.default_rng(seed).integers(0, 256, (frames, 32, 32, 3), np.uint8)
    return Recording(pictures, np.arange(frames) / 10, np.full(frames, seed % 2), f"{seed}")


@pytest.fixture(scope="module")
def model() -> ActionModel:
    torch.manual_seed(0)
    return ActionModel(CONFIG).eval()


@pytest.fixture
def cache(tmp_path) -> ClipCache:
    return ClipCache(tmp_path / "clips")


def kept(model: ActionModel, cache: ClipCache, **changes) -> FeatureCache:
    settings = {"views": 3, "cache": cache} | changes
    return FeatureCache(model, settings.pop("augmentation", Augmentation()), **settings)


def test_the_first_look_is_the_recording_as_it_is(model, cache):
    recording = noisy(1)
    looked = kept(model, cache).view(recording, 0)
    assert looked.view is None
    with torch.inference_mode():
        features = model.backbone_features(torch.from_numpy(planar(recording.pictures)))
    torch.testing.assert_close(torch.from_numpy(looked.of(np.arange(12))), features, atol=2e-3, rtol=2e-3)


def test_a_look_has_the_features_of_the_pictures_as_it_shows_them(model, cache):
    recording = noisy(2)
    looked = kept(model, cache).view(recording, 1)
    shown = np.stack([looked.view(p, n, n / 10) for n, p in enumerate(recording.pictures)])
    with torch.inference_mode():
        features = model.backbone_features(torch.from_numpy(planar(shown)))
    torch.testing.assert_close(torch.from_numpy(looked.of(np.arange(12))), features, atol=2e-3, rtol=2e-3)


def test_a_frame_that_comes_between_has_the_features_of_the_one_before(model, cache):
    recording = replace(noisy(3), timestamps=np.arange(12) / (3 * FEATURE_FPS))
    looked = kept(model, cache).view(recording, 0)
    assert len(looked.features) == 4
    assert looked.rows.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]


def test_the_backbone_runs_once_for_all_that_share_a_cache(model, cache, monkeypatch):
    recording, again = noisy(4), noisy(4)
    first = kept(model, cache).view(recording, 1)
    monkeypatch.setattr(FeatureCache, "_computed", lambda *_: pytest.fail("asked again"))
    second = kept(model, cache).view(again, 1)
    assert np.array_equal(first.features, second.features)


def test_another_backbone_another_view_and_another_recording_have_features_of_their_own(model, cache):
    looks, recording = kept(model, cache), noisy(5)
    one = looks.view(recording, 1).features
    torch.manual_seed(1)
    for other in (
        kept(ActionModel(CONFIG).eval(), cache).view(recording, 1).features,
        looks.view(recording, 2).features,
        looks.view(noisy(6), 1).features,
        kept(model, cache, augmentation=STILL).view(recording, 1).features,
    ):
        assert not np.array_equal(one, other)


def test_where_the_cache_cannot_be_written_they_are_computed(model, tmp_path):
    (tmp_path / "clips").write_text("no folder")
    looked = kept(model, ClipCache(tmp_path / "clips")).view(noisy(7), 0)
    assert looked.features.shape == (12, model.encoder.feature_size)


def test_windows_hold_the_backbones_features_of_each_picture(model, cache):
    looks = kept(model, cache, views=1)
    recordings = [noisy(8), noisy(9)]
    batch = next(windows_of(recordings, fps=10.0, features=looks))
    with torch.inference_mode():
        features = model.backbone_features(torch.from_numpy(batch.pictures).flatten(0, 1))
    torch.testing.assert_close(torch.from_numpy(batch.backbone).flatten(0, 1), features, atol=2e-3, rtol=2e-3)


def test_windows_without_views_hold_no_features_of_a_backbone():
    assert next(windows_of([recorded(0), scene(8, 12)])).backbone is None


@pytest.mark.parametrize("encoder", ["resnet18", "joint"])
def test_a_model_with_a_frozen_backbone_learns_and_its_backbone_does_not(encoder, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    config = replace(CONFIG, encoder=encoder)
    torch.manual_seed(RESTING.seed)
    before = ActionModel(config).state_dict()
    after = fit([noisy(0), noisy(1)], config, RESTING).state_dict()
    trunk = "encoder.trunk." if encoder == "joint" else "encoder."
    for name, value in after.items():
        if name.startswith(trunk):
            torch.testing.assert_close(value, before[name])
    assert not torch.allclose(after["head.classifier.weight"], before["head.classifier.weight"])


def test_a_training_that_unfreezes_its_backbone_keeps_no_features(monkeypatch):
    monkeypatch.setattr(FeatureCache, "__init__", lambda *_, **__: pytest.fail("kept"))
    fit([noisy(0), noisy(1)], CONFIG, replace(RESTING, unfreeze=0.5))

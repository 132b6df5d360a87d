"""The fit of an ensemble head: maps of clips are solved for, keypoints of clips and drawn people trained in steps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from streamrec import ModelConfig, Transform
from streamrec.data.decode_cache import Recording
from streamrec.errors import DataError, ModelError
from streamrec.events.detector import EventSettings
from streamrec.nn.encoders import make_encoder
from streamrec.train import fit as room
from streamrec.train.fit import TrainSettings, fit
from streamrec.train.frozen_features import FeatureCache

WIDTH, HEIGHT = 96, 64
CONFIG = ModelConfig(
    labels=("bright", "dark"),
    encoder="person-box-joints",
    head="ensemble",
    hidden_size=8,
    standardize=True,
    transform=Transform(width=WIDTH, height=HEIGHT, fit="pad"),
)
SETTINGS = TrainSettings(steps=3, streams=2, window=8, augmentation=None, balance=0.0)


@pytest.fixture(autouse=True)
def by_torch(monkeypatch):
    """No export while a model is fitted, which takes longer than so few frames."""
    monkeypatch.setattr(room, "graph_of_backbone", lambda model, weights: None)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file with a random backbone with which something of the image is left after its many layers."""
    torch.manual_seed(0)
    encoder = make_encoder("person", height=HEIGHT, width=WIDTH)
    for layer in encoder.modules():
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(layer.weight)
    path = tmp_path_factory.mktemp("weights") / "person.safetensors"
    save_file({name: value.contiguous() for name, value in encoder.trunk.state_dict().items()}, path)
    return str(path)


def clips() -> list[Recording]:
    found = []
    for seed in range(6):
        target = seed % 2
        noise = np.random.default_rng(seed).integers(0, 20, (10, HEIGHT, WIDTH, 3), np.uint8)
        shown = noise + np.uint8((200, 20)[target])
        found.append(Recording(shown, np.arange(10) / 10, np.full(10, target), f"g{seed}"))
    return found


def drawn(count: int = 4) -> list[Recording]:
    people = np.random.default_rng(9).random((count, 12, 336), np.float32)
    return [
        Recording(
            np.zeros((12, 0, 0, 3), np.uint8), np.arange(12) / 10, np.full(12, n % 2), f"d{n}", backbone=each
        )
        for n, each in enumerate(people)
    ]


def test_the_maps_learn_from_clips_and_the_keypoints_from_drawn_people_too(weights):
    model = fit([*clips(), *drawn()], CONFIG, SETTINGS, weights=weights)
    with torch.inference_mode():
        for clip in clips():
            images = torch.from_numpy(clip.pictures).permute(0, 3, 1, 2)[None]
            outputs, _ = model(images)
            seen = model.head.statistics
            assert seen.classifier.weight.abs().sum() > 0
            assert outputs.shape == (1, 10, 2)
    alone = fit(clips(), CONFIG, SETTINGS, weights=weights)
    same = alone.head.statistics.classifier.weight
    assert torch.allclose(same, model.head.statistics.classifier.weight, atol=1e-4)  # of clips alone
    assert not torch.equal(alone.head.recurrent.lstm.weight_ih_l0, model.head.recurrent.lstm.weight_ih_l0)


def test_drawn_people_alone_are_not_enough(weights):
    with pytest.raises(DataError, match="drawn keypoints alone"):
        fit(drawn(), CONFIG, SETTINGS, weights=weights)


def test_a_part_of_the_cache_has_its_columns(weights):
    from streamrec.nn.model import ActionModel

    model = ActionModel(CONFIG, weights=weights).eval()
    whole = FeatureCache(model, None, views=1)
    clip = clips()[0]
    split = model.encoder.maps_size
    one, two = whole.part(slice(0, split)).view(clip, 0), whole.part(slice(split, None)).view(clip, 0)
    assert np.array_equal(np.concatenate([one.features, two.features], 1), whole.view(clip, 0).features)
    assert two.features.shape[1] == 336


def test_keypoints_are_standardized_by_what_is_learned(weights):
    model = fit([*clips(), *drawn()], CONFIG, SETTINGS, weights=weights)
    norm = model.head.recurrent.norm
    assert norm.mean.abs().sum() > 0 and not torch.equal(norm.scale, torch.ones_like(norm.scale))
    with pytest.raises(ModelError, match="standardize is for a recurrent head on keypoints"):
        fit(clips(), replace(CONFIG, head="lstm", encoder="motion"), SETTINGS)


def test_features_of_an_exported_backbone_are_those_of_torch(weights):
    from streamrec.nn.model import ActionModel
    from streamrec.train.backbone_graph import graph_of_backbone

    model = ActionModel(CONFIG, weights=weights).eval()
    encode = graph_of_backbone(model, weights)
    images = np.ascontiguousarray(clips()[0].pictures.transpose(0, 3, 1, 2))
    with torch.inference_mode():
        expected = model.backbone_features(torch.from_numpy(images)).numpy()
    found, maps = encode(images), model.encoder.maps_size
    assert found.shape == expected.shape  # random weights see no people, and the least rounding finds others
    np.testing.assert_allclose(
        found[:, :maps], expected[:, :maps], atol=1e-3 * np.abs(expected[:, :maps]).max()
    )


def test_background_may_be_held_back(weights):
    config = replace(CONFIG, events=EventSettings(background=("dark",)))
    plain = fit(clips(), config, SETTINGS, weights=weights)
    held = fit(clips(), config, replace(SETTINGS, background_penalty=1.5), weights=weights)
    images = torch.from_numpy(clips()[0].pictures).permute(0, 3, 1, 2)[None]
    with torch.inference_mode():
        change = held(images)[0] - plain(images)[0]
    assert torch.allclose(change[..., 1], torch.full((1, 10), -1.5), atol=1e-3)
    assert change[..., 0].abs().max() < 1e-3


def test_steps_of_a_clip_and_of_a_stream_agree(weights):
    model = fit([*clips(), *drawn()], replace(CONFIG, counted=("dark",)), SETTINGS, weights=weights)
    images = torch.from_numpy(clips()[0].pictures).permute(0, 3, 1, 2)[None]
    with torch.inference_mode():
        whole, _ = model(images)
        state, found = model.initial_state(1), []
        for t in range(10):
            elapsed = torch.full((1,), torch.inf if t == 0 else 0.1)
            output, state = model.step(images[:, t], elapsed, state)
            found.append(output)
    assert torch.allclose(torch.stack(found, 1), whole, atol=1e-4)

"""Few clips on the person backbone: the linear fit, what is asked of it first, and what it calls unknown.

The backbones have random weights and images of 96x64: they tell bright from dark, and nothing else.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from streamrec import Frame, ModelConfig, Recognizer, Transform
from streamrec.data.decode_cache import Recording
from streamrec.errors import ModelError
from streamrec.events.detector import EventSettings
from streamrec.nn.encoders import make_encoder
from streamrec.nn.model import ActionModel
from streamrec.nn.ood import KnownFeatures
from streamrec.runtime.checkpoint import Checkpoint
from streamrec.runtime.export import weights_of
from streamrec.runtime.torch_engine import TorchEngine
from streamrec.train import job as room
from streamrec.train.fit import TrainSettings
from streamrec.train.frozen_features import FeatureCache
from streamrec.train.job import TrainJob
from streamrec.train.linear_check import judged
from streamrec.train.linear_fit import LinearSettings, classifier_of, learned_of
from streamrec.train.ood_features import known_features_of, knows_features, unknown_features

WIDTH, HEIGHT = 96, 64
CONFIG = ModelConfig(
    labels=("bright", "dark"),
    encoder="person",
    head="statistics",
    transform=Transform(width=WIDTH, height=HEIGHT, fit="pad"),
    events=EventSettings(),
)


def random_backbone(encoder: nn.Module) -> None:
    """Weights with which something of the image is left after its many layers."""
    torch.manual_seed(0)
    for layer in encoder.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


@pytest.fixture(scope="module")
def model() -> ActionModel:
    model = ActionModel(CONFIG)
    random_backbone(model.encoder)
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def features(model) -> FeatureCache:
    return FeatureCache(model, None, views=1)


def pictures(light: int, seed: int, count: int = 10) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 20, (count, HEIGHT, WIDTH, 3), np.uint8)
    return noise + np.uint8(light)


def recording(target: int, seed: int, *, light: int | None = None, group: str = "") -> Recording:
    shown = pictures((200, 20)[target] if light is None else light, seed)
    return Recording(shown, np.arange(10) / 10, np.full(10, target), group or f"g{seed // 2 % 4}")


def test_late_frames_of_an_action_weigh_more_and_background_all_the_same(model, features):
    late = LinearSettings(late=1.0)
    (samples,) = learned_of(model, recording(0, 1), features, late)
    assert samples.weights.tolist() == pytest.approx([n / 10 for n in range(1, 11)])
    quiet = ActionModel(replace(model.config, events=EventSettings(background=("bright",)))).eval()
    (samples,) = learned_of(quiet, recording(0, 1), features, late)
    assert samples.weights.tolist() == [1.0] * 10
    (samples,) = learned_of(model, recording(0, 1), features, LinearSettings())
    assert samples.weights.tolist() == [1.0] * 10
    with pytest.raises(ValueError, match="late is at least 0"):
        LinearSettings(late=-1.0)


def test_the_classifier_follows_frames_that_weigh_more(model, features):
    """One clip turns from bright to dark: late frames decide what it is."""
    turns = recording(1, 5)
    turns.pictures[:5] = pictures(200, 6, 5)
    bright = recording(0, 7)

    def dark_at_first(late: float) -> float:
        settings = LinearSettings(late=late)
        samples = [next(learned_of(model, each, features, settings)) for each in (turns, bright)]
        weight, bias = classifier_of(model, samples, (), settings)
        logits = torch.from_numpy(samples[0].statistics[:1]) @ weight.T + bias
        return float(torch.softmax(logits, 1)[0, 1])

    assert dark_at_first(4.0) < dark_at_first(0.0)


def test_what_the_backbone_tells_apart_suits_it_and_what_it_does_not_see_does_not(model, features):
    seen = [recording(n % 2, n) for n in range(12)]
    found = judged(model, seen, features, LinearSettings())
    assert found is not None and found.suits
    twins = [replace(each, targets=1 - each.targets) for each in seen]
    found = judged(model, [*seen, *twins], features, LinearSettings())
    assert found is not None and found.right == pytest.approx(0.5)
    assert not found.suits


def test_clips_of_one_group_are_left_out_one_by_one_and_a_single_one_cannot_be(model, features):
    mine = [recording(n % 2, n, group="me") for n in range(12)]
    found = judged(model, mine, features, LinearSettings())
    assert found is not None and found.suits
    assert judged(model, mine[:1], features, LinearSettings()) is None
    assert judged(model, mine[:2], features, LinearSettings()) is None  # nobody else shows either label


def test_features_of_the_same_kind_are_known_and_others_are_not(model):
    known = known_features_of(model, [recording(1, n) for n in range(8)])
    assert unknown_features(known, model, [recording(1, 99, group="somebody else")]) == 0.0
    assert unknown_features(known, model, [recording(0, 98)]) == 1.0
    assert knows_features(CONFIG)
    assert not knows_features(replace(CONFIG, encoder="person-maps"))
    assert not knows_features(ModelConfig(labels=("a", "b")))


def test_the_recognizer_judges_the_features_that_the_step_gives(model):
    known = known_features_of(model, [recording(1, n) for n in range(8)])
    recognizer = Recognizer(TorchEngine(checkpoint_of(model, known), "cpu"), "own")
    state = recognizer.initial_state()
    for light, number in ((20, 0), (200, 1)):
        image = pictures(light, 50, 1)[0]
        prediction, state = recognizer.step(Frame(image, number, number / 10), state)
        with torch.inference_mode():
            batch = torch.from_numpy(recognizer.config.transform(image)[None])
            wanted = known.ood_scores(model.backbone_features(batch).numpy())
        assert prediction.strangeness == pytest.approx(float(wanted[0]), rel=1e-3)
        assert (prediction.strangeness > 1) is (light == 200)


def test_a_score_of_features_that_the_model_lacks_is_refused(model):
    known = KnownFeatures((0.0,) * 480, (1.0,) * 480, cells=7)  # the maps of an image of 96x64 have six
    with pytest.raises(ModelError, match="knows 480 features"):
        Recognizer(TorchEngine(checkpoint_of(model, known), "cpu"), "own")


def test_encoders_that_keep_other_maps_of_one_backbone_share_no_cached_features(model):
    maps = ActionModel(replace(CONFIG, encoder="person-maps"))
    maps.encoder.trunk.load_state_dict(model.encoder.trunk.state_dict())
    one = recording(0, 3)
    sizes = [FeatureCache(each, None, views=1).view(one, 0).features.shape[1] for each in (model, maps)]
    assert sizes == [sum(each.encoder.sizes) for each in (model, maps)]
    assert sizes[0] != sizes[1]


def checkpoint_of(model: ActionModel, known: KnownFeatures) -> Checkpoint:
    return Checkpoint(
        name="own",
        config=replace(model.config, known=known),
        weights=weights_of(model),
        graph=None,
        referred=(),
    )


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    """Bright and dark clips of two groups; and clips that are all alike."""
    root = tmp_path_factory.mktemp("clips")
    for kind in ("seen", "alike"):
        rows = ["clip,label,group"]
        for n in range(12):
            label = CONFIG.labels[n % 2]
            light = 90 if kind == "alike" else (200, 20)[n % 2]
            name = f"{kind}-{label}-{n}.avi"
            writer = cv2.VideoWriter(str(root / name), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (WIDTH, HEIGHT))
            shown = pictures(light, n // 2)  # those that are alike differ in one corner
            shown[:, :2, :2] = 10 * n
            for picture in shown:
                writer.write(picture)
            writer.release()
            rows.append(f"{name},{label},g{n // 2 % 4}")
        (root / f"{kind}.csv").write_text("\n".join(rows) + "\n")
    return root


@pytest.mark.parametrize(("kind", "encoder"), [("seen", "person"), ("alike", "motion")])
def test_another_recipe_learns_where_the_backbone_tells_nothing_apart(
    kind, encoder, clips, tmp_path, monkeypatch, capsys
):
    """Exporting the backbone takes seconds, so the model is looked at before it is written."""
    written = []
    monkeypatch.setattr(room, "save_model", lambda path, model: written.append(model) or path.touch())
    monkeypatch.setattr(room, "read_checkpoint", lambda path: Checkpoint("", CONFIG, {}, b"", ()))
    monkeypatch.setattr(TrainJob, "_draw", lambda *given: None)
    weights = tmp_path / "person.safetensors"
    backbone = make_encoder("person", height=HEIGHT, width=WIDTH)
    random_backbone(backbone)
    save_file(backbone.state_dict(), weights)
    data = (str(clips / f"{kind}.csv"),)
    steps = TrainSettings(steps=2, streams=2, window=4)
    plain = ModelConfig(labels=(), transform=Transform(width=32, height=32), hidden_size=8)
    motion = TrainJob(data=data, out=tmp_path / "m.safetensors", config=plain, settings=steps, threads=1)
    person = TrainJob(
        data=data,
        out=tmp_path / "m.safetensors",
        config=replace(CONFIG, labels=()),
        settings=TrainSettings(looks=1, linear=LinearSettings(late=1.0)),
        weights=str(weights),
        hold_out=0.25,
        threads=1,
        score="features",
        otherwise=("gesture", motion),
    )
    person.run()
    (model,) = written
    assert model.config.encoder == encoder
    said = capsys.readouterr().err
    if kind == "seen":
        assert (
            "separates these labels: left-out clips are 100 % right at the end where chance is 50 %" in said
        )
        assert isinstance(model.config.known, KnownFeatures)
    else:
        assert "does not separate these labels" in said and "recipe gesture in its place" in said

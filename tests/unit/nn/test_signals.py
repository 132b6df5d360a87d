"""Models of signals: the transform of rows, the causal encoder, and what older model files hold."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from streamrec import ActionModel, ModelConfig, Transform
from streamrec.errors import ModelError, PictureError, WrongValue
from streamrec.nn.encoders import make_encoder
from streamrec.nn.encoders.causal import Past
from streamrec.nn.encoders.signal import SignalEncoder
from streamrec.nn.signals import SignalTransform
from streamrec.nn.transforms import as_inputs
from tests.helpers.checks import assert_close, check_streaming, some_frames

ROWS = SignalTransform(channels=("x", "y", "z"), mean=(0.0, 1.0, 2.0), std=(1.0, 2.0, 3.0))
CONFIG = ModelConfig(labels=("sit", "walk"), encoder="signal-cnn", transform=ROWS, hidden_size=8, fps=10.0)


def a_model(**changes) -> ActionModel:
    torch.manual_seed(0)
    model = ActionModel(replace(CONFIG, **changes)).eval()
    for layer in model.encoder.layers:  # as training leaves it
        layer.norm.running_mean.uniform_(-0.1, 0.1)
    return model


@pytest.mark.parametrize("head", ["lstm", "gru", "attention", "statistics"])
def test_frames_and_clips_agree_with_the_encoder_of_signals(head):
    check_streaming(a_model(head=head, context=4), steps=24)


def test_what_came_before_a_stream_began_anew_changes_nothing():
    model = a_model()
    rows = some_frames(ROWS, 1, 20)
    elapsed = torch.full((1, 20), 0.1)
    elapsed[0, 8] = math.inf
    with torch.inference_mode():
        whole, _ = model(rows, elapsed)
        rest, _ = model(rows[:, 8:], elapsed[:, 8:])
        assert_close(whole[:, 8:], rest, 1e-5)
        other = rows.clone()
        other[:, :8] += 5.0
        assert_close(model(other, elapsed)[0][:, 8:], whole[:, 8:], 1e-5)


def test_a_feature_is_of_the_last_samples_and_of_no_later_one():
    encoder = SignalEncoder(3).eval()
    rows, fresh = torch.randn(1, 60, 3), torch.zeros(1, 60, dtype=torch.bool)
    fresh[:, 0] = True

    def features(data):
        with torch.inference_mode():
            return encoder(data, torch.zeros(1, 60), fresh, encoder.initial_cache(1))[0][0]

    changed = rows.clone()
    changed[0, 20] += 3.0
    differ = (features(rows) - features(changed)).abs().amax(-1) > 1e-6
    assert not differ[:20].any()
    assert differ[20]
    assert not differ[20 + 31 :].any()


def test_the_past_is_known_by_the_number_of_the_stream():
    fresh = torch.tensor([[False, True, False, False]])
    past = Past(fresh, torch.tensor([[0.0, 1.0]]))
    assert past.belongs(1).tolist() == [[1.0, 0.0, 1.0, 1.0]]
    assert past.belongs(2).tolist() == [[0.0, 0.0, 0.0, 1.0]]
    assert past.after.tolist() == [[1.0, 1.0]]


def test_a_row_is_read_by_order_or_by_name():
    for given in ([1.0, 2.0, 3.0], (1, 2, 3), np.array([1.0, 2.0, 3.0]), {"z": 3, "x": 1, "y": 2, "more": 9}):
        row = ROWS.prepared(given)
        assert row.tolist() == [1.0, 2.0, 3.0]
        assert row.dtype == np.float32
    assert as_inputs(np.zeros((2, 5, 3), np.float32)).shape == (2, 5, 3)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([1.0, 2.0], "the model takes 3 channels (x, y, z), a row at a time, not an array (2,)"),
        (np.zeros((4, 6, 3), np.uint8), "not an array (4, 6, 3) of uint8"),
        ([1.0, math.nan, 0.0], "holds what is no number"),
        ([1.0, "two", 3.0], "a reading is 'two'"),
        ({"x": 1.0, "z": 0.0}, "a row of readings lacks 'y'"),
        (None, "not None"),
    ],
)
def test_what_is_no_row_is_refused(given, said):
    with pytest.raises(PictureError) as refused:
        ROWS.prepared(given)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"channels": ()},
        {"channels": ("x", "x")},
        {"channels": ("x", " ")},
        {"channels": ("x",), "mean": (0.0, 1.0)},
        {"channels": ("x",), "std": (0.0,)},
        {"channels": ("x",), "resample": 1},
    ],
)
def test_a_transform_of_nonsense_is_refused(wrong):
    with pytest.raises(WrongValue):
        SignalTransform(**wrong)


def test_a_config_says_its_kind_unless_it_is_of_pictures():
    written = json.loads(json.dumps(CONFIG.to_dict()))
    assert written["transform"]["kind"] == "signal"
    assert ModelConfig.from_dict(written) == CONFIG
    pictures = ModelConfig(labels=("a",), transform=Transform(height=8, width=8))
    plain = json.loads(json.dumps(pictures.to_dict()))
    assert set(plain["transform"]) == {"height", "width", "fit", "mean", "std"}
    assert ModelConfig.from_dict(plain) == pictures
    written["transform"]["kind"] = "smell"
    with pytest.raises(ModelError, match="install a newer one"):
        ModelConfig.from_dict(written)


def test_images_are_normalized_to_the_bit_as_before():
    transform = Transform(height=8, width=8)
    mean, std = transform.normalization()
    assert np.array_equal(mean, (255.0 * torch.tensor(transform.mean).view(3, 1, 1)).numpy())
    assert np.array_equal(std, (255.0 * torch.tensor(transform.std).view(3, 1, 1)).numpy())


def test_encoder_and_transform_are_of_one_sense():
    with pytest.raises(ModelError, match="the encoder motion takes pictures, and this model takes signals"):
        ActionModel(replace(CONFIG, encoder="motion"))
    with pytest.raises(ModelError, match="signal-cnn takes signals, and this model takes pictures"):
        ActionModel(replace(CONFIG, transform=Transform()))
    with pytest.raises(ModelError, match="no ImageNet weights"):
        make_encoder("signal-cnn", transform=ROWS, weights="imagenet")
    with pytest.raises(
        ModelError, match=r"for models of pictures, and the model takes 3 channels \(x, y, z\)"
    ):
        _ = CONFIG.pictures

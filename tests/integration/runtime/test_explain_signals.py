"""What spoke for a label in readings: the parts sum to the log-odds, and belong to what was read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from streamrec import (
    ActionModel,
    Explainer,
    Frame,
    Recent,
    Recognizer,
    SignalExplainer,
    results,
)
from streamrec.errors import ModelError, StateError, WrongValue
from streamrec.runtime.checkpoint import load_model
from streamrec.runtime.export import export_onnx
from tests.helpers.checks import moving
from tests.helpers.models import SIGNAL

CONFIG = replace(SIGNAL, labels=("sit", "walk", "turn"))
CHANNELS = CONFIG.transform.channels


def a_model(deaf: int | None = None) -> ActionModel:
    """``deaf``: the channel that no weight reads."""
    torch.manual_seed(1)
    model = ActionModel(CONFIG).eval()
    if deaf is not None:
        first = model.encoder.layers[0].linear.weight  # (width, taps * (channels + 1))
        with torch.no_grad():
            first.view(len(first), -1, len(CHANNELS) + 1)[:, :, deaf] = 0.0
    return model


def rows(count: int, seed: int = 0) -> list[Frame]:
    swing = np.random.default_rng(seed).normal(size=(count, 3)).astype(np.float32) * 2.0
    return [Frame(row, n, n / 10, source="phone") for n, row in enumerate(swing)]


def stepped(model: ActionModel, frames: list[Frame]):
    """The last frames, the state before them, and the last prediction."""
    recent = Recent(Recognizer(model), seconds=2.0)
    state = recent.initial_state()
    for frame in frames:
        prediction, state = recent.step(frame, state)
    return *recent.until(frames[-1]), prediction


def test_the_parts_sum_to_the_log_odds_and_the_method_finds_nearly_all_of_them():
    model = a_model()
    frames, before, prediction = stepped(model, rows(50))
    explainer = SignalExplainer(model)
    found = explainer.relevance(frames, before, "walk")
    share = float(prediction.probabilities[1])
    assert found.label == "walk" and found.channels == CHANNELS and found.values.shape == (21, 3)
    assert found.log_odds == pytest.approx(np.log(share / (1 - share)), abs=1e-3)
    nothing = [replace(frame, image=np.array(CONFIG.transform.mean, np.float32)) for frame in frames]
    without = explainer.relevance(nothing, before, "walk")
    assert not without.values.any()
    assert found.values.sum() == pytest.approx(found.log_odds - without.rest, rel=0.1, abs=0.02)
    assert sum(found.by_channel.values()) == pytest.approx(sum(v for _, v in found.by_moment()), abs=1e-4)


def test_a_channel_that_no_weight_reads_speaks_for_nothing():
    model = a_model(deaf=1)
    found = SignalExplainer(model).relevance(*stepped(model, rows(40))[:2])
    assert not found.values[:, 1].any()
    assert found.values[:, 0].any() and found.values[:, 2].any()


def test_readings_of_before_the_stream_began_anew_speak_for_nothing():
    model = a_model()
    frames, before, _ = stepped(model, rows(21))
    cut = [replace(frame, segment=int(frame.index >= 12)) for frame in frames]
    values = SignalExplainer(model).relevance(cut, before).values
    assert not values[:12].any()
    assert values[12:].any()


def test_predictions_and_states_stay_as_they_are():
    model = a_model()
    recent, plain, explainer = Recent(Recognizer(model)), Recognizer(model), SignalExplainer(model)
    state, other = recent.initial_state(), plain.initial_state()
    for frame in rows(12):
        prediction, state = recent.step(frame, state)
        expected, other = plain.step(frame, other)
        first, second = (explainer.relevance(*recent.until(frame)) for _ in range(2))
        assert np.array_equal(first.values, second.values)
        assert first.label == prediction.label
        assert np.array_equal(prediction.probabilities, expected.probabilities)
        assert state.to_bytes() == other.to_bytes()


def test_the_shipped_model_explains_a_stream_of_rows():
    recent, explainer = Recent(Recognizer.load("motion")), SignalExplainer.load("motion")
    swing = np.sin(np.arange(60)[:, None] * np.array([0.9, 0.4, 0.2, 0.7, 0.3, 0.1]))
    result = list(results([(n / 25, row * 3.0) for n, row in enumerate(swing)], recent))[-1]
    found = explainer.relevance(*recent.until(result.frame))
    assert found.label == result.label
    share = float(result.prediction.confidence)
    assert found.log_odds == pytest.approx(np.log(share / (1 - share)), abs=0.01)


def test_what_cannot_be_explained_is_a_sentence(tmp_path):
    model = a_model()
    explainer = SignalExplainer(model)
    frames, before, _ = stepped(model, rows(3))
    with pytest.raises(WrongValue, match="there is no frame to explain"):
        explainer.relevance([], before)
    with pytest.raises(ModelError, match="there is no label 'swim'; the labels are sit, walk, turn"):
        explainer.relevance(frames, before, "swim")
    with pytest.raises(StateError, match="another model"):
        explainer.relevance(frames, Recognizer.load("motion").initial_state())
    with pytest.raises(ModelError, match="for models of readings, and this one takes video; for video take"):
        SignalExplainer.load("fight")
    with pytest.raises(
        ModelError, match=r"for models of video, and this one takes 3 channels.*SignalExplainer"
    ):
        Explainer(model)
    export_onnx(model, tmp_path / "bare.onnx")
    with pytest.raises(ModelError, match=r"bare\.onnx is an exported graph without torch weights"):
        SignalExplainer.load(tmp_path / "bare.onnx")


def test_with_random_weights_another_map_is_found():
    model = load_model("motion")
    torch.manual_seed(0)
    other = ActionModel(model.config).eval()
    swing = np.sin(np.arange(50)[:, None] * np.array([0.9, 0.4, 0.2, 0.7, 0.3, 0.1])).astype(np.float32)
    frames = [Frame(row, n, n / 25) for n, row in enumerate(swing)]
    begin = Recognizer.load("motion").initial_state()  # of either: it depends on the architecture
    likeness = [
        np.corrcoef(
            *(SignalExplainer(one).relevance(frames, begin, label).values.ravel() for one in (model, other))
        )[0, 1]
        for label in model.config.labels
    ]
    assert abs(np.mean(likeness)) < 0.35


def test_pictures_are_refused_in_words():
    model = a_model()
    frame = moving(1)[0]
    with pytest.raises(Exception, match="takes 3 channels"):
        SignalExplainer(model).relevance([frame], Recognizer(model).initial_state())

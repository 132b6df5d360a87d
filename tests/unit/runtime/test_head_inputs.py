"""What a model's last layer reads, out of the memory of its head."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from streamrec import Frame, Recognizer, open_models
from streamrec.nn.config import ModelConfig
from streamrec.runtime.checkpoint import read_checkpoint
from streamrec.runtime.head_inputs import head_inputs, memory_size


def played(recognizer: Recognizer):
    """The prediction and the state after some noise."""
    rng, state = np.random.default_rng(0), recognizer.initial_state()
    for n in range(4):
        image = rng.integers(0, 255, (120, 160, 3), np.uint8)
        prediction, state = recognizer.step(Frame(image, n, n / 10), state)
    return prediction, state


def says(model: str, inputs: np.ndarray) -> np.ndarray:
    """The probabilities that the model's last layer makes of them."""
    checkpoint = read_checkpoint(model)
    config, weights, labels = checkpoint.config, checkpoint.weights, len(checkpoint.config.labels)
    parts = {"head.": 1.0}
    if config.head == "ensemble":
        share = config.keypoint_share
        parts = {"head.statistics.": 1.0 - share, "head.recurrent.": share}
    logits, start = np.zeros((len(inputs), labels), np.float32), 0
    for name, part in parts.items():
        weight = weights[f"{name}classifier.weight"][:labels]
        own = inputs[:, start : start + weight.shape[1]]
        logits += part * (own @ weight.T + weights[f"{name}classifier.bias"][:labels])
        start += weight.shape[1]
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


@pytest.mark.parametrize("model", ["fight", "webcam", "synthetic", "fall", "workout"])
def test_the_last_layer_makes_the_prediction_of_them(model):
    recognizer = Recognizer.load(model, threads=1)
    prediction, state = played(recognizer)
    (found,) = recognizer.head_inputs(state).values()
    assert np.allclose(says(model, found)[0], prediction.probabilities, atol=1e-4)


def test_of_models_that_share_a_pass_and_a_part_of_their_memory_each_has_its_own():
    recognizer = open_models(["fight", "webcam", "fall", "synthetic"], threads=1)
    prediction, state = played(recognizer)
    inputs = recognizer.head_inputs(state)
    assert list(inputs) == ["fight", "webcam", "fall", "synthetic"]
    for one, (model, found) in zip(prediction.each, inputs.items(), strict=True):
        assert np.allclose(says(model, found)[0], one.probabilities, atol=1e-4), model


def test_a_head_that_does_not_keep_them_has_none():
    config = ModelConfig(labels=("a", "b"), head="attention")
    assert head_inputs(config, (np.zeros((1, 2)),) * memory_size(config)) is None
    assert head_inputs(replace(config, head="lstm"), (np.zeros((1, 2)),)) is None

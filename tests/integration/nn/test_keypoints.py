"""The keypoint encoder in a model file: the exported graph and torch agree, for one stream and for several."""

import numpy as np
import pytest
import torch

from streamrec.nn.config import ModelConfig
from streamrec.nn.model import ActionModel
from streamrec.nn.transforms import Transform
from streamrec.runtime.checkpoint import save_model
from streamrec.runtime.recognizer import Recognizer
from streamrec.types import Frame


def frames(seed: int, count: int = 6) -> list[Frame]:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 255, (48, 64, 3), np.uint8)
    times = np.cumsum(rng.uniform(0.05, 0.4, count))
    return [Frame(np.roll(image, 3 * n, 1), float(t), n) for n, t in enumerate(times)]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    torch.manual_seed(1)
    transform = Transform(width=64, height=64, fit="pad")
    config = ModelConfig(
        labels=("nothing", "wave"), encoder="person-joints", transform=transform, hidden_size=16
    )
    file = tmp_path_factory.mktemp("models") / "joints.safetensors"
    save_model(file, ActionModel(config).eval())
    return file


def test_the_engines_agree_on_one_stream_and_on_three(path):
    onnx, other = (
        Recognizer.load(path, engine="onnx"),
        Recognizer.load(path, engine="torch", device="cpu"),
    )
    streams = [frames(seed) for seed in range(3)]
    states = [[recognizer.initial_state() for _ in streams] for recognizer in (onnx, other)]
    alone = onnx.initial_state()
    for moment in zip(*streams, strict=True):
        one, two = (r.step_many(list(moment), s) for r, s in zip((onnx, other), states, strict=True))
        states = [[state for _, state in answer] for answer in (one, two)]
        prediction, alone = onnx.step(moment[0], alone)
        assert np.abs(prediction.probabilities - one[0][0].probabilities).max() < 1e-4
        for (a, _), (b, _) in zip(one, two, strict=True):
            assert np.abs(a.probabilities - b.probabilities).max() < 1e-4

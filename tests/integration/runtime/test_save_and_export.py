"""A recognizer writes itself to a file again: as a model file, and as an exported graph."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from streamrec import CNNLSTM, Recognizer, StreamRecognizer
from streamrec.errors import ModelError
from streamrec.runtime.checkpoint import export_checkpoint, read_checkpoint

RNG = np.random.default_rng(1)
IMAGES = [RNG.integers(0, 255, (90, 120, 3)).astype(np.uint8) for _ in range(4)]


def stream_of(recognizer):
    stream = StreamRecognizer(recognizer)
    return np.stack([stream(image, n / 5) for n, image in enumerate(IMAGES)][-1].probabilities[None])


@pytest.fixture(scope="module")
def own():
    torch.manual_seed(0)
    cnn = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
    return Recognizer(CNNLSTM(cnn, 8, 2, labels=("still", "wave"), image_size=(30, 44), fps=5.0))


def test_a_recognizer_of_an_own_model_is_saved_and_exported(own, tmp_path):
    own.save(tmp_path / "own.safetensors")
    own.export(tmp_path / "own.onnx")
    for name in ("own.safetensors", "own.onnx"):
        assert np.abs(stream_of(Recognizer.load(tmp_path / name)) - stream_of(own)).max() < 1e-6


def test_a_loaded_model_is_saved_to_the_same_numbers(tmp_path):
    loaded = Recognizer.load("fight")
    loaded.save(tmp_path / "again.safetensors")
    assert (stream_of(Recognizer.load(tmp_path / "again.safetensors")) == stream_of(loaded)).all()


def test_an_exported_graph_is_the_step_graph_of_the_model_file_and_is_not_traced_again(tmp_path, monkeypatch):
    def traced(*_, **__):
        raise AssertionError("the model is traced")

    monkeypatch.setattr(torch.onnx, "export", traced)
    loaded = Recognizer.load("fight", engine="onnx")
    loaded.export(tmp_path / "fight.onnx")
    stored = onnx.load_from_string(read_checkpoint("fight").graph).graph
    assert onnx.load(tmp_path / "fight.onnx").graph.node == stored.node
    exported = Recognizer.load(tmp_path / "fight.onnx")
    assert exported.config == loaded.config
    assert (stream_of(exported) == stream_of(loaded)).all()


def test_a_weight_that_does_not_fit_the_graph_is_named(tmp_path):
    checkpoint = read_checkpoint("synthetic")
    name = "head.classifier.weight"
    damaged = replace(checkpoint, weights={**checkpoint.weights, name: checkpoint.weights[name][:, :-1]})
    with pytest.raises(ModelError, match=rf"the weight {name} has the shape .*the model file is damaged"):
        export_checkpoint(damaged, tmp_path / "synthetic.onnx")
    assert not [*tmp_path.iterdir()]


def test_what_cannot_be_written_is_explained(own, tmp_path):
    with pytest.raises(ModelError, match=r"ends in \.safetensors"):
        own.save(tmp_path / "own.pt")
    with pytest.raises(ModelError, match=r"ends in \.onnx"):
        own.export(tmp_path / "own.pb")
    own.export(tmp_path / "own.onnx")
    with pytest.raises(ModelError, match="copy the file"):
        Recognizer.load(tmp_path / "own.onnx").save(tmp_path / "x.safetensors")
    with pytest.raises(ModelError, match="cannot be written"):
        recognizer = Recognizer.load("fight")
        recognizer._engine.origin = None
        recognizer.save(tmp_path / "x.safetensors")

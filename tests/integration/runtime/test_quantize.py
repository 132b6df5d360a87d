"""Convolutions in 8 bits: a file that is a model like any other, and what it loses is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from typer.testing import CliRunner

from streamrec import ActionModel, Frame, Recognizer, World, WorldSettings
from streamrec.commands.app import app
from streamrec.errors import ModelError
from streamrec.outputs.video_file import VideoFile
from streamrec.runtime.checkpoint import save_model
from streamrec.runtime.quantize import quantize
from streamrec.types import Prediction, Result
from tests.helpers.models import SMALL_MOBILENET


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("models") / "small.safetensors"
    save_model(path, ActionModel(SMALL_MOBILENET).eval())
    return path


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    for seed in range(3):
        with VideoFile(folder / f"{seed}.mp4", overlay=False) as video:
            for frame in World(WorldSettings(seed=seed, seconds=1.0, fps=10.0, width=96, height=96)):
                video.write(Result(frame, Prediction("", 0.0, np.zeros(0, np.float32), 0.0)))
    return folder


def test_a_model_in_8_bits_says_nearly_the_same_and_is_a_file_like_any_other(model, videos, tmp_path):
    out = tmp_path / "int8.onnx"
    asked = ["export", str(model), "--int8", "--calibrate", str(videos), "--out", str(out)]
    ran = CliRunner().invoke(app, asked)
    assert ran.exit_code == 0, ran.output
    assert "on 10 other frames: the same label for" in ran.stdout
    kinds = [node.op_type for node in onnx.load(out).graph.node]
    assert kinds.count("QuantizeLinear") > 20
    assert out.stat().st_size < 0.6 * model.stat().st_size
    whole, small = Recognizer.load(model, engine="onnx"), Recognizer.load(out)
    assert small.config == whole.config
    random = np.random.default_rng(0)
    states = [r.initial_state() for r in (whole, small)]
    for number in range(5):
        frame = Frame(random.integers(0, 256, (64, 64, 3), np.uint8), number, number / 10)
        said = []
        for n, recognizer in enumerate((whole, small)):
            prediction, states[n] = recognizer.step(frame, states[n])
            said.append(prediction.probabilities)
        assert np.abs(said[0] - said[1]).max() < 0.1
    batch = small.step_many([frame] * 3, [small.initial_state()] * 3)  # the number of streams stays free
    assert len(batch) == 3


def test_flow_and_head_stay_as_they_are(tiny_file, videos, tmp_path):
    out = tmp_path / "small.onnx"
    done = quantize(tiny_file, out, sorted(videos.glob("*.mp4")))
    assert done.frames == 10
    assert done.difference < 0.05
    assert min(done.before, done.after) > 0
    graph = onnx.load(out).graph
    whole = {one.name for one in graph.initializer if one.data_type == onnx.TensorProto.FLOAT}
    makers = {name: node.op_type for node in graph.node for name in node.output}
    for node in graph.node:
        if node.op_type in ("MatMul", "Gemm"):
            constants = [name for name in node.input if name not in makers]
            assert set(constants) <= whole
        if node.op_type == "QuantizeLinear":
            assert makers[node.input[0]] not in ("MatMul", "Gemm", "Sigmoid", "Tanh")


def test_one_video_cannot_both_calibrate_and_check(model, videos, tmp_path):
    with pytest.raises(ModelError, match="1 videos: one calibrates, another measures the loss"):
        quantize(model, tmp_path / "out.onnx", sorted(videos.glob("*.mp4"))[:1])


@pytest.mark.parametrize(
    "options", [["--int8"], ["--calibrate", "x"], ["--int8", "--calibrate", "x", "--out", "m.safetensors"]]
)
def test_options_that_do_not_go_together_are_refused(options):
    ran = CliRunner().invoke(app, ["export", "fight", "--out", "m.onnx", *options])
    assert isinstance(ran.exception, ModelError)
    assert "--int8 and --calibrate CLIPS go together, and --out is a .onnx file then" in str(ran.exception)

"""``streamrec run -m A -m B``: one source, several models in one pass, from the frames to the history."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from streamrec import ActionModel, EventSettings, ModelConfig, Transform, VideoFile
from streamrec.runtime.checkpoint import save_model
from streamrec.types import Frame, Prediction, Result
from tests.helpers import forked
from tests.helpers.frames import numbered
from tests.helpers.paths import ROOT


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A video of three seconds, and two models over one encoder: each is sure of its own action, whatever it sees."""
    folder = tmp_path_factory.mktemp("several")
    nothing = Prediction("", 0.0, np.zeros(0, np.float32), 0.0)
    with VideoFile(folder / "film.mp4", overlay=False) as sink:
        for n, image in enumerate(numbered(30)):
            sink.write(Result(Frame(image, n, n / 10), nothing))
    for name, biases in (("wave", [0.0, 6.0, 0.0]), ("fall", [0.0, 0.0, 6.0])):
        torch.manual_seed(0)
        config = ModelConfig(
            labels=("idle", "wave", "fall"),
            transform=Transform(height=32, width=32),
            hidden_size=16,
            events=EventSettings(background=("idle",)),
        )
        made = ActionModel(config)
        with torch.no_grad():
            made.head.classifier.weight.zero_()
            made.head.classifier.bias.copy_(torch.tensor(biases))
        save_model(folder / f"{name}.safetensors", made.eval())
    return folder


def streamrec(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "WAYLAND_DISPLAY")}
    path = os.pathsep.join(filter(None, (str(ROOT), kept.get("PYTHONPATH"))))
    return forked.run(
        [sys.executable, "-m", "streamrec", *words],
        capture_output=True,
        text=True,
        cwd=place,
        env=kept | {"OMP_NUM_THREADS": "1", "COLUMNS": "200", "PYTHONPATH": path},
        timeout=120,
    )


BOTH = ("-m", "wave.safetensors", "-m", "fall.safetensors")


def test_two_models_see_one_file_and_all_outputs_say_which(place):
    done = streamrec(
        place, "run", "film.mp4", *BOTH, "--no-show", "--jsonl", "out.jsonl", "--history", "events.db",
        "--save", "seen.mp4", "--record", "flight",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "film.mp4: wave + fall models, onnx engine" in done.stdout
    assert "in common" not in done.stdout and "no work" not in done.stdout
    assert "wave started" in done.stdout and "fall started" in done.stdout
    lines = [json.loads(line) for line in (place / "out.jsonl").read_text().splitlines()]
    said = [line for line in lines if line["type"] == "prediction"]
    assert [line["model"] for line in said] == ["wave", "fall"] * 30
    assert {(line["model"], line["label"]) for line in said} == {("wave", "wave"), ("fall", "fall")}
    events = [(line["event"], line["model"]) for line in lines if line["type"] == "event"]
    assert sorted(events) == [("ended", "fall"), ("ended", "wave"), ("started", "fall"), ("started", "wave")]
    assert (place / "seen.mp4").stat().st_size > 0
    kept = streamrec(place, "events", "events.db", "--json").stdout.splitlines()
    assert sorted(json.loads(line)["model"] for line in kept) == ["fall", "wave"]
    table = streamrec(place, "events", "events.db", "--csv").stdout
    assert "film.mp4,fall,fall," in table and "film.mp4,wave,wave," in table
    again = streamrec(place, "replay", "flight", *BOTH)
    assert again.returncode == 0 and "the same, bit for bit" in again.stdout, again.stderr


def test_one_model_says_what_it_said_before_there_could_be_several(place):
    done = streamrec(place, "run", "film.mp4", *BOTH[:2], "--no-show", "--jsonl", "-")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert not any("model" in line for line in lines)
    assert "film.mp4: wave model, onnx engine" in done.stderr


def test_models_that_share_nothing_run_too_and_that_is_said_once(place):
    done = streamrec(place, "run", "film.mp4", "-m", "workout", *BOTH, "--no-show")
    assert done.returncode == 0, done.stderr
    sentence = "workout and wave + fall share no work: they take pictures of different sizes"
    assert done.stdout.count(sentence) == 1
    assert "workout: " in done.stdout or "wave started" in done.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("-m", "fight", "-m", "fight"), "two of the models are called fight: name each once, or rename a file"),
        (("-m", "fight", "-m", "fal"), "there is no model 'fal'"),
        ((*BOTH, "--explain", "--save", "why.mp4"), "an explanation is of one model alone: give one --model"),
        ((*BOTH, "--save", "fall.safetensors"), "fall.safetensors"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence(place, words, says):
    done = streamrec(place, "run", "film.mp4", "--no-show", *words)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("streamrec: ") and says in line

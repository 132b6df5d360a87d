"""What a model says of recordings is counted in its rhythm, by frames and by ends."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from streamrec import ActionModel, ModelConfig, Transform
from streamrec.data.clips import NO_LABEL
from streamrec.data.decode_cache import Recording
from streamrec.train.quick_eval import accuracies, play

CONFIG = ModelConfig(labels=("left", "right"), transform=Transform(height=32, width=32), hidden_size=8)


@pytest.fixture
def model() -> ActionModel:
    torch.manual_seed(3)
    return ActionModel(CONFIG).eval()


@pytest.fixture
def stubborn(model) -> ActionModel:
    """Says "left", whatever it sees."""
    model.head.classifier.weight.data.zero_()
    model.head.classifier.bias.data = torch.tensor([1.0, 0.0])
    return model


def recording(target: int, frames: int = 30) -> Recording:
    pictures = np.random.default_rng(target).integers(0, 256, (frames, 32, 32, 3), np.uint8)
    return Recording(pictures, np.arange(frames) / 10, np.full(frames, target, np.int64), "")


def test_the_accuracies_count_frames_and_ends(stubborn):
    assert accuracies(play(stubborn, each) for each in [recording(0), recording(1)]) == (0.5, 0.5)
    assert accuracies(play(stubborn, each) for each in [recording(0)]) == (1.0, 1.0)
    turns = replace(recording(0), targets=np.array([0] * 20 + [1] * 10))
    assert accuracies(play(stubborn, each) for each in [turns]) == (pytest.approx(2 / 3), 0.0)
    partly = replace(recording(0), targets=np.array([0] * 10 + [1] * 5 + [NO_LABEL] * 15))
    assert accuracies(play(stubborn, each) for each in [partly]) == (pytest.approx(2 / 3), 0.0)
    assert accuracies(play(stubborn, each) for each in []) == (0.0, 0.0)


def test_frames_are_seen_in_the_models_rhythm(stubborn):
    fast = replace(recording(0), timestamps=np.arange(30) / 30, targets=np.array([0, 1, 1] * 10))
    assert accuracies(play(stubborn, each) for each in [fast]) == (1.0, 1.0)
    played = play(stubborn, fast)
    assert played.frames.tolist() == list(range(0, 30, 3))
    assert played.times == pytest.approx(np.arange(10) / 10)
    assert set(played.truth) == {0}


def test_a_long_stream_is_told_as_the_model_tells_it_frame_by_frame(model):
    long = recording(1, frames=600)
    said, state = [], model.initial_state()
    with torch.inference_mode():
        for n, picture in enumerate(long.pictures):
            frame = torch.from_numpy(picture[..., ::-1].transpose(2, 0, 1).copy())[None]
            logits, state = model.step(frame, torch.tensor([math.inf if n == 0 else 0.1]), state)
            said.append(torch.softmax(logits[0], -1).numpy())
    assert play(model, long).probabilities == pytest.approx(np.array(said), abs=1e-4)

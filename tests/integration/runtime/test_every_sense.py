"""One contract for every sense and both engines: a stream in steps is the clip at once, whatever happens to it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from streamrec import ActionModel, Frame, Recognizer, State
from streamrec.nn.config import TRANSFORMS
from streamrec.nn.transforms import InputTransform
from streamrec.runtime.checkpoint import save_model
from tests.helpers.checks import check_streaming
from tests.helpers.models import SIGNAL, SOUND, TALL
from tests.helpers.threads import one_thread_a_module  # noqa: F401

# A model of each sense; a new sense is a row here.
SENSES = {"video": TALL, "signal": SIGNAL, "sound": SOUND}
HEADS = ("lstm", "gru")
ENGINES = ("onnx", "torch")
COUNT = 72


def test_each_sense_has_a_row():
    assert set(SENSES) == {"video", *TRANSFORMS}


def troubled(transform: InputTransform, seed: int) -> list[Frame]:
    """A stream with uneven times, dropped frames, long gaps, a clock that goes back, and new segments."""
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.uniform(0.03, 0.25, COUNT)) + 1000.0
    times[COUNT // 3 :] += 10.0
    times[COUNT // 2 :] -= 20.0
    segments = (np.arange(COUNT) >= 3 * COUNT // 4) + (np.arange(COUNT) >= 5 * COUNT // 6)
    blank = transform.blank()
    if blank.dtype == np.uint8:
        data = rng.integers(0, 256, (COUNT, *blank.shape), dtype=np.uint8)
    else:
        data = (blank + rng.normal(size=(COUNT, *blank.shape))).astype(np.float32)
    frames = [
        Frame(one, n, float(time), int(segment), source="stream")
        for n, (one, time, segment) in enumerate(zip(data, times, segments, strict=True))
    ]
    return [frame for frame in frames if rng.random() > 0.25]


def at_once(model: ActionModel, frames: list[Frame]) -> np.ndarray:
    """(T, labels): the probabilities of the whole stream as one clip."""
    clip = np.stack([model.config.transform.prepared(frame.data) for frame in frames])
    elapsed = [np.inf] + [
        b.timestamp - a.timestamp if a.segment == b.segment else np.inf for a, b in pairwise(frames)
    ]
    with torch.inference_mode():
        outputs, _ = model(torch.from_numpy(clip)[None], torch.tensor([elapsed], dtype=torch.float32))
        return torch.softmax(model.split(outputs[0])[0], -1).numpy()


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Sense and head -> the model and its file."""
    folder, found = tmp_path_factory.mktemp("senses"), {}
    for sense, config in SENSES.items():
        for head in HEADS:
            torch.manual_seed(3)
            made = ActionModel(replace(config, head=head)).eval()
            found[sense, head] = made, folder / f"{sense}-{head}.safetensors"
            save_model(found[sense, head][1], made)
    return found


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("sense", SENSES)
def test_a_stream_in_steps_is_the_clip_at_once(sense, head, engine, models):
    model, path = models[sense, head]
    check_streaming(model, steps=16)  # forward is step, for clips cut anywhere
    recognizer, other = (
        Recognizer.load(path, engine=name, device="cpu") for name in (engine, *set(ENGINES) - {engine})
    )
    assert (recognizer.engine, recognizer.sense) == (engine, sense)
    recognizer.reserve(3)
    streams = [troubled(model.config.transform, seed) for seed in range(3)]
    length = min(map(len, streams))
    expected = [at_once(model, frames[:length]) for frames in streams]
    # Step by step; every few steps the state is written and read, or the other engine goes on with it.
    state = recognizer.initial_state()
    for n, frame in enumerate(streams[0][:length]):
        if n % 7 == 3:
            state = State.from_bytes(state.to_bytes())
        prediction, state = (other if n // 5 % 3 == 2 else recognizer).step(frame, state)
        assert np.abs(prediction.probabilities - expected[0][n]).max() <= 1e-4
    # Many streams at once, whose troubles do not come together.
    states = [recognizer.initial_state() for _ in streams]
    for n in range(length):
        steps = recognizer.step_many([frames[n] for frames in streams], states)
        states = [state for _, state in steps]
        for (prediction, _), wanted in zip(steps, expected, strict=True):
            assert np.abs(prediction.probabilities - wanted[n]).max() <= 1e-4

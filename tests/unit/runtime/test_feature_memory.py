"""The features of the last minutes of each camera."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from streamrec.runtime.checkpoint import read_checkpoint, write_checkpoint
from streamrec.runtime.feature_memory import APART, MOST_BYTES, FeatureMemory, kinds_of, weights_digest
from streamrec.runtime.recognizer import Recognizer
from streamrec.types import Frame


class _Scripted:
    """Gives features instead of a network's."""

    def __init__(self) -> None:
        self.features = np.zeros((1, 4), np.float32)
        self.persons: dict[int, np.ndarray] = {}

    def head_inputs(self, state):
        return {"fight": self.features}

    def person_inputs(self, state):
        return {number: {"fight": one} for number, one in self.persons.items()}


@pytest.fixture
def memory():
    made = FeatureMemory()
    made._kinds = {"fight": "abc"}
    return made


def _play(memory, recognizer, times, *, segment=0, value=None):
    for n, time in enumerate(times):
        recognizer.features = np.full((1, 4), time if value is None else value, np.float32)
        memory.keep(recognizer, Frame(np.zeros((2, 2, 3), np.uint8), n, time, segment, "door"), None)


def test_the_span_of_an_event_has_the_features_of_its_seconds(memory):
    _play(memory, _Scripted(), np.arange(0, 10, 0.1))
    span = memory.span("door", "fight", None, 2.0, 4.0)
    assert span.kind == "abc"
    assert span.mean() == pytest.approx(np.full(4, 3.0), abs=0.2)
    assert len(span.rows) == pytest.approx(2.0 / APART, abs=2)


def test_an_event_shorter_than_two_features_are_apart_has_the_nearest(memory):
    _play(memory, _Scripted(), (0.0, 0.3, 0.6))
    assert memory.span("door", "fight", None, 0.35, 0.4).mean() == pytest.approx(np.full(4, 0.3), abs=1e-3)


def test_a_person_has_features_of_their_own(memory):
    scripted = _Scripted()
    scripted.persons = {3: np.full((1, 4), 7.0, np.float32)}
    _play(memory, scripted, (0.0, 1.0), value=1.0)
    assert memory.span("door", "fight", 3, 0.0, 1.0).mean() == pytest.approx(np.full(4, 7.0))
    assert memory.span("door", "fight", 4, 0.0, 1.0) is None


def test_an_event_that_a_reconnect_ended_has_the_features_before_it(memory):
    scripted = _Scripted()
    _play(memory, scripted, (0.0, 0.5, 1.0), value=1.0)
    _play(memory, scripted, (9.0,), segment=1, value=5.0)
    assert memory.span("door", "fight", None, 0.0, 1.0).mean() == pytest.approx(np.ones(4))
    assert memory.span("door", "fight", None, 9.0, 9.0).mean() == pytest.approx(np.full(4, 5.0))


def test_what_is_kept_of_a_camera_is_limited(memory):
    scripted = _Scripted()
    for n in range(60):
        scripted.features = np.zeros((1, MOST_BYTES // 40), np.float32)
        memory.keep(scripted, Frame(np.zeros((2, 2, 3), np.uint8), n, float(n), 0, "door"), None)
    assert memory._cameras["door"].bytes <= MOST_BYTES
    assert memory.span("door", "fight", None, 0.0, 5.0) is None  # too long ago
    memory.forget("door")
    assert memory.span("door", "fight", None, 55.0, 59.0) is None


def test_features_that_are_no_numbers_do_not_spoil_a_vector(memory):
    scripted = _Scripted()
    scripted.features = np.array([[np.nan, np.inf, -np.inf, 1e9]], np.float32)
    memory.keep(scripted, Frame(np.zeros((2, 2, 3), np.uint8), 0, 0.0, 0, "door"), None)
    assert np.isfinite(memory.span("door", "fight", None, 0.0, 0.0).mean()).all()


def test_a_model_is_known_by_its_weights_not_by_its_file(tmp_path):
    checkpoint = read_checkpoint("synthetic")
    write_checkpoint(tmp_path / "copy.safetensors", checkpoint)
    weights = dict(checkpoint.weights)
    weights["head.classifier.bias"] = weights["head.classifier.bias"] + 1
    write_checkpoint(tmp_path / "other.safetensors", replace(checkpoint, weights=weights))
    own = weights_digest("synthetic")
    assert (
        weights_digest(tmp_path / "copy.safetensors") == own != weights_digest(tmp_path / "other.safetensors")
    )
    assert kinds_of(Recognizer.load("synthetic")) == {"synthetic": own}

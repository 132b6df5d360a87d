"""A stream recognizer gives whole results, frame by frame: the events of results(), and images to draw them on."""

import math
import pickle

import numpy as np
import pytest

from streamrec import EventSettings, Recognizer, Result, StreamRecognizer, World, WorldSettings, draw, results
from streamrec.nn.ood import KnownPictures, appearance_of
from streamrec.nn.transforms import planar
from streamrec.runtime.checkpoint import save_with
from streamrec.types import ActionEnded, ActionStarted

SETTINGS = WorldSettings(
    width=160, height=120, fps=10.0, seconds=8.0, actions=("wave", "idle"), action_seconds=(2.0, 2.5), seed=4
)


@pytest.fixture(scope="module")
def recognizer():
    return Recognizer.load("synthetic", threads=1)


@pytest.fixture(scope="module")
def world():
    return list(World(SETTINGS))


def test_the_events_are_those_of_the_loop(recognizer, world):
    stream = StreamRecognizer(recognizer)
    one_by_one = [stream.recognize(frame.image, frame.timestamp) for frame in world]
    ended = stream.finish()
    loop = list(results(World(SETTINGS), recognizer))

    def told(event):
        return type(event), event.label, event.timestamp, event.confidence

    events = [told(event) for result in one_by_one for event in result.events] + [told(e) for e in ended]
    assert events == [told(event) for result in loop for event in result.events]
    assert {kind for kind, *_ in events} == {ActionStarted, ActionEnded}
    assert [result.label for result in one_by_one] == [result.says for result in loop]


def test_an_image_that_comes_early_repeats_the_prediction_and_starts_nothing(recognizer, world):
    stream = StreamRecognizer(recognizer)
    first = stream.recognize(world[0].image, 0.0)
    early = stream.recognize(world[1].image, 0.01)
    assert (early.prediction.probabilities == first.prediction.probabilities).all()
    assert early.events == ()
    assert early.frame.index == 1
    assert early.frame.timestamp == 0.01


def test_a_call_gives_the_prediction_of_the_result(recognizer, world):
    called, asked = StreamRecognizer(recognizer), StreamRecognizer(recognizer)
    for frame in world[:5]:
        prediction = called(frame.image, frame.timestamp)
        result = asked.recognize(frame.image, frame.timestamp)
        assert isinstance(result, Result)
        assert (prediction.probabilities == result.prediction.probabilities).all()


def test_other_thresholds_may_be_given(recognizer, world):
    deaf = StreamRecognizer(recognizer, events=EventSettings(enter=1.0, leave=1.0))
    assert [event for f in world for event in deaf.recognize(f.image, f.timestamp).events] == []


def test_finishing_ends_what_runs_once_and_forgets(recognizer, world):
    stream = StreamRecognizer(recognizer)
    started = []
    for frame in world:
        started += stream.recognize(frame.image, frame.timestamp).events
        if started:
            break
    ended = stream.finish()
    assert [event.label for event in ended] == [started[0].label]
    assert stream.finish() == ()
    assert stream.state.clock[0] == -math.inf


def test_resetting_and_giving_a_state_back_forget_what_runs(recognizer, world):
    for forget in (StreamRecognizer.reset, lambda stream: setattr(stream, "state", stream.state)):
        stream = StreamRecognizer(recognizer)
        for frame in world[:40]:
            stream.recognize(frame.image, frame.timestamp)
        forget(stream)
        assert stream.finish() == ()


def test_a_result_can_be_drawn_and_a_stream_pickled(recognizer, world):
    stream = StreamRecognizer(recognizer)
    for frame in world[:20]:
        result = stream.recognize(frame.image, frame.timestamp)
    assert draw(world[19].image, result).shape == world[19].image.shape
    again = pickle.loads(pickle.dumps(stream))
    for frame in world[20:40]:
        here, there = (one.recognize(frame.image, frame.timestamp) for one in (stream, again))
        assert here.events == there.events


def test_an_image_that_is_out_of_distribution_is_called_unknown(world, tmp_path):
    transform = Recognizer.load("synthetic").config.transform
    learned = planar(np.stack([transform.resize(frame.image) for frame in world[:40]]))
    known = KnownPictures.of([appearance_of(learned[n : n + 4]) for n in range(0, 40, 4)], range(10))
    save_with("synthetic", tmp_path / "knows.safetensors", known=known)
    stream = StreamRecognizer(Recognizer.load(tmp_path / "knows.safetensors", threads=1))
    noise = np.random.default_rng(0).integers(0, 255, (240, 320, 3)).astype(np.uint8)
    assert not stream.recognize(world[5].image, 0.0).unknown
    result = stream.recognize(noise, 0.1)
    assert result.unknown
    assert result.label == "unknown"

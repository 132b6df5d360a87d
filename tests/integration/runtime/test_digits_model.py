"""The shipped model of spoken digits, on voices that it learned from: that it works; its card has the numbers."""

from __future__ import annotations

import time

import pytest

from streamrec import ActionEnded, ActionStarted, Recognizer, results
from streamrec.commands.voice_keys import DIGITS, open_voice
from streamrec.evaluation.metrics import edit_distance
from streamrec.runtime.checkpoint import shipped_models
from tests.helpers.spoken import write_spoken

pytestmark = pytest.mark.skipif("digits" not in shipped_models(), reason="the digits model is not there")
SPOKEN = (3, 1, 4, 1, 5, 9, 2, 6, 5, 5, 0, 7, 8)


@pytest.fixture(scope="module")
def call(shared_data, tmp_path_factory):
    """A file of spoken digits, and when each ends."""
    archive = shared_data / "senses" / "digits" / "digits.zip"
    if not archive.exists():
        pytest.skip("the recordings of digits are not there")
    path = tmp_path_factory.mktemp("call") / "call.wav"
    return path, write_spoken(archive, path, SPOKEN)


def test_digits_are_events_as_they_are_spoken(call):
    path, ends = call
    found = [
        (result.frame.timestamp, event)
        for result in results(str(path), Recognizer.load("digits"))
        for event in result.events
    ]
    started = [event for _, event in found if isinstance(event, ActionStarted)]
    assert len(started) == sum(isinstance(event, ActionEnded) for _, event in found)
    digits = [DIGITS.index(event.label) for event in started]
    assert edit_distance(digits, SPOKEN) <= 3
    for now, event in found:
        if isinstance(event, ActionStarted):
            assert 0.0 <= now - event.timestamp < 0.3  # from the rise of its probability to its event
            assert min(abs(now - end) for end in ends) < 0.6


def test_both_engines_spell_the_same(call):
    path, _ = call

    def events(engine: str) -> list[tuple[str, float]]:
        found = results(str(path), Recognizer.load("digits", engine=engine))
        return [
            (type(e).__name__ + e.label, round(e.timestamp, 3)) for result in found for e in result.events
        ]

    assert events("onnx") == events("torch")


def test_a_file_takes_the_place_of_the_microphone(call):
    path, _ = call
    log: list[str] = []
    with open_voice(str(path), log.append) as voice:
        until = time.monotonic() + 60.0
        while not voice.ended and time.monotonic() < until:
            time.sleep(0.05)
        pressed = voice.pressed()
    assert edit_distance(pressed, list(map(str, SPOKEN))) <= 3
    assert log == ["voice: call.wav has ended; the other keys go on"]

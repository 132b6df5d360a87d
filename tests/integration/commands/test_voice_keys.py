"""Spoken digits as keys, with a recording in the place of the microphone."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pytest

from streamrec import Frame, ModelConfig, Recognizer
from streamrec.commands.voice_keys import SURE, VoiceKeys
from streamrec.errors import SettingsError, SourceError
from streamrec.runtime.engine import Engine
from streamrec.train.recipes import SPEECH
from streamrec.types import SOUND, Source

HOPS = SPEECH["transform"]
LASTS = 10  # hops of each loudness


class Spelled(Engine):
    """Finds the digit whose number is the loudness of a hop, in tenths; silence is nothing, and above a half unsure."""

    name, device = "scripted", "cpu"
    head_shapes = cache_shapes = ()

    def __init__(self, *labels: str) -> None:
        self.config = ModelConfig(
            labels=("background", *labels), transform=HOPS, fps=25.0, events=SPEECH["events"]
        )

    def step(self, images, elapsed, head, cache, encoded=None):
        scores = np.full((len(images), len(self.config.labels)), 0.01, np.float32)
        loudness = np.round(10 * np.abs(images).max(1)).astype(int)
        number, unsure = loudness % 5, loudness > 5
        scores[np.arange(len(images)), number] = np.where(unsure, 0.55, 0.95)
        return scores, None, (), ()


class Microphone(Source):
    """Some hops of each loudness; then it is lost, if ``why`` says so."""

    name, live, sense, rate = "mic", False, SOUND, 8000

    def __init__(self, loudness: list[float], why: str = "") -> None:
        self._loudness, self._why = loudness, why

    def __iter__(self) -> Iterator[Frame]:
        for n, level in enumerate(np.repeat(self._loudness, LASTS)):
            yield Frame(np.full(320, level, np.float32), n, n / 25, source=self.name)
        if self._why:
            raise SourceError(self._why)


def keys_of(source: Source, *labels: str) -> tuple[list[str], list[str]]:
    """The keys, and what was reported."""
    log: list[str] = []
    with VoiceKeys(source, Recognizer(Spelled(*labels), "digits"), log=log.append) as voice:
        until = time.monotonic() + 20.0
        while not voice.ended and time.monotonic() < until:
            time.sleep(0.01)
        assert voice.ended
        pressed = voice.pressed()
        assert voice.pressed() == []
    return pressed, log


def test_each_spoken_digit_is_its_key_once():
    pressed, log = keys_of(Microphone([0, 0.1, 0.1, 0, 0.3, 0, 0.3, 0.2, 0]), "one", "zero", "seven")
    assert pressed == ["1", "7", "7", "0"]
    assert log == ["voice: mic has ended; the other keys go on"]


def test_a_word_that_is_no_digit_is_no_key():
    assert keys_of(Microphone([0, 0.1, 0, 0.2, 0]), "hello", "one")[0] == ["1"]


def test_a_digit_of_which_the_model_is_not_sure_is_no_key():
    assert SPEECH["events"].enter < 0.55 < SURE
    assert keys_of(Microphone([0, 0.6, 0, 0.2, 0]), "one", "two")[0] == ["2"]


def test_a_microphone_that_is_lost_is_reported_once():
    pressed, log = keys_of(Microphone([0, 0.1, 0], why="mic: it was unplugged"), "one")
    assert pressed == ["1"]
    assert log == ["voice: mic: it was unplugged; the other keys go on"]


def test_a_model_without_digits_is_refused():
    with pytest.raises(SettingsError, match="the model fight knows no spoken digit"):
        VoiceKeys(Microphone([]), Recognizer(Spelled("fight"), "fight"))

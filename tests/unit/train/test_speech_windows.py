"""Endless streams of speech, made of recordings of single words."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from streamrec.data.clips import NO_LABEL
from streamrec.data.decode_cache import Recording
from streamrec.errors import DataError
from streamrec.nn.sound import SoundTransform
from streamrec.train.ctc import spelled
from streamrec.train.speech_streams import (
    Scene,
    SpeechAugmentation,
    colored,
    drawn_sound,
    in_a_room,
    in_order,
    rms,
    through_microphone,
    trimmed,
    words_of,
)
from streamrec.train.speech_windows import SpeechWindows, streams_of, without_variation
from streamrec.train.stream_windows import WindowSettings

SOUND = SoundTransform(rate=8000, hop=320, window=200, stride=80, mels=32, low=60, high=3800)
RATE = SOUND.rate


def a_word(label: int, group: str, *, seconds: float = 0.4, level: float = 0.1) -> Recording:
    """A tone, with silence around it, in hops."""
    count = round(seconds * RATE)
    tone = level * np.sin(2 * np.pi * (200 + 100 * label) * np.arange(count) / RATE)
    quiet = np.zeros(1600)
    samples = np.concatenate([quiet, tone, quiet]).astype(np.float32)
    hops = samples[: len(samples) // 320 * 320].reshape(-1, 320)
    return Recording(hops, np.arange(len(hops)) / 25, np.full(len(hops), label), group)


WORDS = [a_word(label, group) for group in ("anna", "ben") for label in (1, 2, 3)]


def windows(how: SpeechAugmentation | None, **more) -> SpeechWindows:
    settings = WindowSettings(streams=4, window=100, fps=25.0, augmentation=how, **more)
    return SpeechWindows(WORDS, settings, SOUND, blank=0)


def test_a_word_is_without_the_silence_around_it():
    word = words_of(WORDS[:1], RATE, 0)[0]
    assert abs(len(word.samples) - 0.4 * RATE) <= 0.02 * RATE
    assert len(trimmed(np.zeros(800, np.float32), RATE)) == 800


def test_a_soft_sound_at_the_end_of_a_word_is_a_part_of_it_and_noise_is_not():
    rng = np.random.default_rng(0)
    quiet, vowel = np.zeros(1600), np.sin(np.arange(1600) / 5)
    soft = 0.01 * rng.normal(size=1600)
    assert len(trimmed(np.concatenate([quiet, vowel, soft, quiet]), RATE)) == 3200
    assert len(trimmed(np.concatenate([soft, vowel, soft]), RATE)) == 1600


def test_windows_hold_whole_words_and_begin_and_end_in_a_pause():
    made = windows(without_variation(SpeechAugmentation()))
    for _ in range(3):
        batch = next(made)
        assert batch.pictures.shape == (4, 100, 320)
        assert batch.pictures.dtype == np.float32
        assert (batch.targets[:, [0, 1, -1]] == 0).all()
        for samples, targets in zip(batch.pictures, batch.targets, strict=True):
            quiet = np.abs(samples).max(1) == 0.0
            assert quiet[[0, 1, -1, -2, -3, -4]].all()
            runs = np.diff(np.flatnonzero(np.diff(targets)))[::2]
            assert len(runs) == len(spelled(targets, 0, ended=True)) >= 2


def test_a_word_is_labelled_at_its_end_and_shortly_behind_it():
    batch = next(windows(replace(without_variation(SpeechAugmentation()), pauses=(0.5, 0.6))))
    for samples, targets in zip(batch.pictures, batch.targets, strict=True):
        spoken = np.abs(samples).max(1) > 0.0
        lasts = np.flatnonzero(spoken[:-1] & ~spoken[1:])
        assert len(lasts) >= 2
        for last in lasts:
            assert np.flatnonzero(targets[last - 5 : last + 9]).tolist() == list(range(4, 12))


def test_what_is_no_word_has_no_label_and_is_there():
    how = replace(without_variation(SpeechAugmentation()), not_words=1.0)
    batch = next(windows(how))
    assert (batch.targets == 0).all()
    assert (np.abs(batch.pictures).max((1, 2)) > 0).all()


def test_the_state_is_carried_between_windows_and_a_new_scene_may_begin_a_stream():
    first = [next(made := windows(SpeechAugmentation(), carry=0.0)).elapsed[:, 0], next(made).elapsed[:, 0]]
    assert np.isinf(first[0]).all()
    assert np.allclose(first[1], 0.04)
    later = [batch.elapsed for batch, _ in zip(made, range(4), strict=False)]
    assert np.isinf(np.stack(later)[:, :, 0]).any()
    assert np.allclose(np.stack(later)[:, :, 1:], 0.04)


def test_the_same_seed_and_position_give_the_same_windows():
    one, other = windows(SpeechAugmentation()), windows(SpeechAugmentation())
    for _ in range(3):
        a, b = next(one), next(other)
        assert np.array_equal(a.pictures, b.pictures)
    resumed = windows(SpeechAugmentation())
    resumed.position[:] = a.position
    assert np.array_equal(next(one).pictures, next(resumed).pictures)
    assert not np.array_equal(next(windows(SpeechAugmentation(), seed=1)).pictures, a.pictures)


def test_noise_rooms_and_microphones_keep_the_samples_in_range():
    how = SpeechAugmentation(
        level=(-3.0, 0.0), noise=1.0, noise_below=(0.0, 0.0), sounds=1.0, room=1.0, empty=0.5
    )
    batch = next(windows(how))
    assert np.isfinite(batch.pictures).all()
    assert np.abs(batch.pictures).max() <= 1.0
    empty = (batch.targets == 0).all(1)
    assert empty.any()
    assert (np.abs(batch.pictures[empty]).max((1, 2)) > 0).all()


@pytest.mark.parametrize("seed", range(12))
def test_drawn_sounds_are_finite_and_of_one_level(seed):
    rng = np.random.default_rng(seed)
    assert abs(rms(colored(rng, 5000, 1.0)) - 1.0) < 1e-3
    sound = drawn_sound(rng, 5000, RATE)
    assert np.isfinite(sound).all()
    assert 0.0 < rms(sound) <= 1.5
    assert len(in_a_room(rng, sound, RATE)) == len(through_microphone(rng, sound, RATE)) == 5000


def test_no_variation_plays_words_as_they_are():
    scene = Scene.drawn(np.random.default_rng(0), SpeechAugmentation().scaled(0.0), 1)
    assert not scene.has_room
    assert not scene.has_microphone
    assert scene.noise_below is None


def test_streams_to_measure_on_have_each_word_once_and_one_voice():
    streams = streams_of(WORDS, SOUND, 0)
    assert [one.group for one in streams] == ["anna", "ben"]
    for one in streams:
        assert sorted(spelled(one.targets, 0)) == [1, 2, 3]
        assert one.pictures.shape == (len(one.targets), 320)
        assert np.allclose(np.diff(one.timestamps), 0.04)


def test_the_place_of_each_word_is_known_to_the_sample():
    stream = in_order(np.random.default_rng(0), words_of(WORDS[:3], RATE, 0), RATE, (0.2, 0.3), 320)
    assert len(stream.samples) % 320 == 0
    for (begun, end, label), word in zip(stream.words, words_of(WORDS[:3], RATE, 0), strict=True):
        assert label == word.target
        assert np.array_equal(stream.samples[begun:end], word.samples)


def test_recordings_without_a_label_are_no_words():
    with pytest.raises(DataError, match="give recordings of one word each"):
        words_of(
            [Recording(np.zeros((3, 320), np.float32), np.zeros(3), np.full(3, NO_LABEL), "anna")], RATE, 0
        )


def test_words_that_fit_into_no_window_are_refused_with_the_least_window_that_takes_them():
    long = [a_word(1, "anna"), a_word(2, "anna", seconds=3.0)]

    def made(window: int) -> SpeechWindows:
        how = without_variation(SpeechAugmentation())
        return SpeechWindows(
            long, WindowSettings(streams=4, window=window, fps=25.0, augmentation=how), SOUND, blank=0
        )

    with pytest.raises(
        DataError, match=r"words of 3\.0 s do not fit into windows of 50 hops \(2\.0 s\)"
    ) as error:
        made(50)
    least = int(re.search(r"--window (\d+)", str(error.value))[1])
    made(least)
    with pytest.raises(DataError):
        made(least - 1)

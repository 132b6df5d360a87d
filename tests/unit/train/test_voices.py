"""Words in other voices: the pitch is another one, the word is the same."""

from __future__ import annotations

import numpy as np

from streamrec.train.voices import DRAWN_PITCHES, in_another_voice

RATE = 8000


def a_vowel(pitch: float, seconds: float = 0.6) -> np.ndarray:
    """Overtones of this pitch, loudest at 700 Hz."""
    times = np.arange(round(seconds * RATE)) / RATE
    tones = pitch * np.arange(1, int(3600 / pitch))
    gains = np.exp(-0.5 * ((tones - 700) / 250) ** 2) + 1e-3
    return (gains[:, None] * np.sin(2 * np.pi * tones[:, None] * times)).sum(0).astype(np.float32)


def formant_of(samples: np.ndarray) -> float:
    """Hz: the middle of the spectrum."""
    power = np.square(np.abs(np.fft.rfft(samples)))
    return float((power * np.fft.rfftfreq(len(samples), 1 / RATE)).sum() / power.sum())


def pitch_of(samples: np.ndarray) -> float:
    """Hz: by the autocorrelation."""
    alike = np.fft.irfft(np.square(np.abs(np.fft.rfft(samples, 1 << 14))))
    lags = slice(round(RATE / 320), round(RATE / 70))
    return RATE / (lags.start + int(alike[lags].argmax()))


def test_voices_differ_in_pitch_and_formants_stay_near():
    found = [in_another_voice(np.random.default_rng(n), a_vowel(120.0), RATE) for n in range(12)]
    middle = slice(1000, 3000)
    pitches = [pitch_of(samples[middle]) for samples in found]
    assert max(pitches) > 1.5 * min(pitches)
    assert all(0.5 * DRAWN_PITCHES[0] < pitch < 1.5 * DRAWN_PITCHES[1] for pitch in pitches)
    assert all(480 < formant_of(samples) < 1000 for samples in found)
    assert len({len(samples) for samples in found}) > 6


def test_noise_remains_noise():
    noise = np.random.default_rng(0).normal(size=4800).astype(np.float32)
    found = in_another_voice(np.random.default_rng(1), noise, RATE)[800:-800]
    alike = np.fft.irfft(np.square(np.abs(np.fft.rfft(found, 1 << 14))))
    assert alike[25:110].max() < 0.5 * alike[0]


def test_the_same_draw_gives_the_same_samples_and_nothing_breaks_them():
    rng = np.random.default_rng
    word = a_vowel(150.0)
    assert np.array_equal(in_another_voice(rng(3), word, RATE), in_another_voice(rng(3), word, RATE))
    for samples in (np.zeros(4000, np.float32), np.ones(4000, np.float32), word[:700]):
        assert np.isfinite(in_another_voice(rng(0), samples, RATE)).all()
    short = word[:300]
    assert in_another_voice(rng(0), short, RATE) is short

"""A word in another voice: its spectral envelope, moved and stretched, over an excitation of a drawn pitch."""

from __future__ import annotations

import math

import numpy as np

# Seconds; a Hann window of three strides, so that overlapped windows sum to a constant.
_STRIDE, _WINDOW = 0.01, 0.03
_SMOOTHEST = 0.0025  # seconds of the cepstrum that are the envelope: pitch up to 400 Hz is no part of it
_PITCHES = (75.0, 400.0)  # Hz that are looked for in the word
_VOICED = (0.35, 0.65)  # autocorrelation below which a moment is noise, and above which it is tone
DRAWN_PITCHES = (80.0, 280.0)  # Hz
LENGTHS, PARTS = 1.2, 1.3  # most by which a word, and each part of it, becomes longer or shorter
FORMANTS = 1.2  # most by which formants move up or down: a vocal tract that is as much shorter or longer
FORMANT = 1.1  # most by which high formants move more than low ones
_KNOTS = (0.0, 800.0, 2500.0)  # Hz: between them formants move in proportion
SHARPNESS, DYNAMICS = 0.25, 0.35  # most by which formants and changes of loudness are more or less marked


def in_another_voice(rng: np.random.Generator, samples: np.ndarray, rate: float) -> np.ndarray:
    """(K,) samples -> (L,): the same word with a drawn pitch, vocal tract, length and breath; a cepstral vocoder.

    The envelope is the liftered log spectrum (Oppenheim, 1969). It is moved along the frequencies, as vocal tracts of
    other lengths do (Jaitly and Hinton, 2013). What is too short for it is returned as it is.

    >>> tone = np.sin(np.arange(4000) / 5).astype(np.float32)
    >>> found = in_another_voice(np.random.default_rng(0), tone, 8000.0)
    >>> 3000 < len(found) < 5300, found.dtype
    (True, dtype('float32'))
    """
    stride = round(_STRIDE * rate)
    window = round(_WINDOW / _STRIDE) * stride
    if len(samples) < 2 * window:
        return samples
    size = 1 << math.ceil(math.log2(2 * window))
    envelope, voiced = _analyzed(samples, rate, stride, window, size)
    moments = _moments(rng, len(envelope))
    envelope = _formed(rng, _between(envelope, moments), rate)
    voiced = np.interp(moments, np.arange(len(voiced)), voiced).astype(np.float32)
    # Pulses and breath, a window at a time, through the envelope.
    excitation = _excitation(rng, voiced, rate, stride, window)
    hann = _hann(window)
    parts = np.lib.stride_tricks.sliding_window_view(excitation, window)[::stride][: len(moments)]
    filtered = np.fft.irfft(np.fft.rfft(parts * hann, size) * np.exp(0.5 * envelope), size)
    found = np.zeros(len(moments) * stride + size, np.float32)
    centered = np.roll(filtered.astype(np.float32), size // 4, axis=1)  # the filter reaches to both sides
    for number, part in enumerate(centered):
        found[number * stride : number * stride + size] += part
    start = size // 4 + window // 2
    return found[start : start + len(moments) * stride]


def around_one(rng: np.random.Generator, most: float, size: int | None = None) -> np.ndarray:
    """Factors of at most ``most``, and at least its inverse.

    >>> float(around_one(np.random.default_rng(0), 1.0))
    1.0
    """
    return np.exp(rng.uniform(-1.0, 1.0, size) * math.log(most))


def _analyzed(
    samples: np.ndarray, rate: float, stride: int, window: int, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """The log power of the envelope (T, bins), and how much of each moment is tone (T,), from 0 to 1."""
    hann = _hann(window)
    padded = np.pad(samples, window // 2)
    parts = np.lib.stride_tricks.sliding_window_view(padded, window)[::stride]
    power = np.square(np.abs(np.fft.rfft(parts * hann, size)))
    cepstrum = np.fft.irfft(np.log(power + 1e-7 * power.max() + 1e-12), size)
    kept = round(_SMOOTHEST * rate)
    cepstrum[:, kept : size - kept + 1] = 0.0
    alike = np.fft.irfft(power, size)
    own = np.fft.irfft(np.square(np.abs(np.fft.rfft(hann, size))))  # of the window itself
    shortest, longest = round(rate / _PITCHES[1]), round(rate / _PITCHES[0])
    lags = slice(shortest, min(longest, int(0.7 * window)) + 1)
    clear = (alike[:, lags] / np.maximum(alike[:, :1], 1e-12) * (own[0] / own[lags])).max(1)
    voiced = np.clip((clear - _VOICED[0]) / (_VOICED[1] - _VOICED[0]), 0.0, 1.0)
    return np.fft.rfft(cepstrum, size).real.astype(np.float32), voiced.astype(np.float32)


def _moments(rng: np.random.Generator, count: int) -> np.ndarray:
    """(T,) places between ``count`` moments, in order: the parts of a word become longer or shorter."""
    speeds = around_one(rng, LENGTHS) * around_one(rng, PARTS, 4)
    places = np.cumsum(np.interp(np.linspace(0.0, 3.0, 3 * count), range(4), speeds))
    return places[places < count - 1] if (places < count - 1).any() else np.zeros(1)


def _formed(rng: np.random.Generator, envelope: np.ndarray, rate: float) -> np.ndarray:
    """(T, bins) log power -> the same of another vocal tract, with other contrasts."""
    bins = np.linspace(0.0, rate / 2, envelope.shape[1])
    low = around_one(rng, FORMANTS)
    knots = np.append(np.minimum(_KNOTS, np.multiply(rate, (0.0, 0.1, 0.3125))), rate / 2)
    places = np.interp(bins, knots * (1.0, low, low * around_one(rng, FORMANT), 1.0), knots)
    envelope = _between(envelope.T, places / (rate / 2) * (len(bins) - 1)).T
    loudness = envelope.mean(1, keepdims=True)
    sharper, livelier = 1.0 + rng.uniform(-1.0, 1.0, 2).astype(np.float32) * (SHARPNESS, DYNAMICS)
    formed = sharper * (envelope - loudness) + livelier * (loudness - loudness.max())
    return np.asarray(formed, np.float32)


def _excitation(
    rng: np.random.Generator, voiced: np.ndarray, rate: float, stride: int, window: int
) -> np.ndarray:
    """(T x stride + window,) samples of power 1: pulses of a gliding pitch where there is tone, and noise elsewhere."""
    count = len(voiced) * stride + window
    places = np.linspace(0.0, 1.0, count, dtype=np.float32)
    pitch = math.exp(rng.uniform(*np.log(DRAWN_PITCHES))) * np.exp(
        np.interp(places, (0.0, 0.5, 1.0), rng.normal(0.0, 0.12, 3))
    )
    periods = np.floor(np.cumsum(pitch) / rate + rng.random())
    pulses = np.diff(periods, prepend=periods[0]) * np.sqrt(rate / pitch)
    tone = np.repeat(voiced, stride) * rng.uniform(0.75, 1.0)
    tone = np.concatenate([tone, np.full(window, tone[-1] if len(tone) else 0.0)])
    mixed = np.sqrt(tone) * pulses + np.sqrt(1.0 - tone) * rng.normal(size=count)
    return np.asarray(mixed, np.float32)


def _between(rows: np.ndarray, places: np.ndarray) -> np.ndarray:
    """(T, ...) at places between its rows, (L,) -> (L, ...), linear."""
    first = np.minimum(places.astype(np.int64), len(rows) - 2)
    part = (places - first).astype(np.float32)[:, None]
    return rows[first] * (1.0 - part) + rows[first + 1] * part


def _hann(window: int) -> np.ndarray:
    """(window,) float32."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)).astype(np.float32)

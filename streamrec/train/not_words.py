"""Sounds that resemble words and are none, for streams of speech: a model that met words alone finds words in all."""

from __future__ import annotations

import math

import numpy as np

_PIECE = (0.25, 0.5)  # of a word: how much of it a fragment is


def not_a_word(rng: np.random.Generator, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(K,) what is no word, made of two words: one backwards, its begin or its end alone, or both at once.

    >>> len(not_a_word(np.random.default_rng(0), np.ones(100, np.float32), np.ones(80, np.float32))) <= 100
    True
    """
    kind = int(rng.integers(4))
    if kind == 0:
        return one[::-1].copy()
    if kind == 1:
        both = np.zeros(max(len(one), len(other)), np.float32)
        both[: len(one)] += one
        both[len(both) - len(other) :] += other
        return both
    size = max(1, round(rng.uniform(*_PIECE) * len(one)))
    return (one[:size] if kind == 2 else one[-size:]).copy()


def voiced(rng: np.random.Generator, length: int, rate: float) -> np.ndarray:
    """(L,) float32: barks, cries, crows, chirps: bursts of a gliding tone, its overtones, resonances and breath."""
    found = np.zeros(length, np.float32)
    pitch = math.exp(rng.uniform(math.log(80.0), math.log(1000.0)))
    glide, breath = rng.normal(0.0, 0.4), rng.uniform(0.0, 0.6)
    begin, end = np.exp(rng.uniform(math.log(250.0), math.log(0.45 * rate), (2, 3, 1, 1)))
    size = max(64, round(math.exp(rng.uniform(math.log(0.05), math.log(0.7))) * rate))
    at = int(rng.integers(0, max(1, length // 3)))
    while at + 64 < length:
        count = min(size, length - at)
        part = np.linspace(0.0, 1.0, count, dtype=np.float32)
        hertz = pitch * np.exp(glide * part)
        phase = 2 * math.pi * np.cumsum(hertz) / rate
        tones = np.arange(1, max(2, min(20, int(0.45 * rate / pitch))) + 1, dtype=np.float32)[:, None]
        places = np.log(tones * hertz)[None]
        gains = np.exp(-0.5 * ((places - np.log(begin + (end - begin) * part)) / 0.25) ** 2).sum(0) + 0.02
        gains[tones * hertz > 0.48 * rate] = 0.0
        burst = (gains * np.sin(tones * phase)).sum(0)
        burst += breath * float(np.abs(burst).max()) * rng.normal(size=count) * 0.5
        rise, fall = rng.uniform(0.02, 0.4, 2)
        found[at : at + count] += burst * np.minimum(1.0, np.minimum(part / rise, (1.0 - part) / fall))
        if rng.random() < 0.3:
            break
        at += count + round(math.exp(rng.uniform(math.log(0.03), math.log(1.0))) * rate)
    return found

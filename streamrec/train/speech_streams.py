"""Endless streams of speech made of recordings of single words: pauses, noise, rooms and microphones are drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache

import numpy as np

from streamrec.data.clips import NO_LABEL
from streamrec.data.decode_cache import Recording
from streamrec.errors import DataError
from streamrec.train.not_words import not_a_word, voiced
from streamrec.train.voices import around_one, in_another_voice

# Of a word's loudest moment, as amplitude: what is softer before and behind the word is no part of it. An "s" may be
# 40 dB below a vowel, so the first one holds; up to the second one where even the softest moment is noise.
QUIET = (0.005, 0.03)
MOMENT = 0.01  # seconds over which loudness is measured
# A word is to be reported from so many seconds before its end to so many behind it: earlier it may yet become another.
REPORTED = (0.08, 0.24)
_VOICES = 4  # other voices of each word
_SOUNDS = 400  # drawn sounds that windows play parts of
_NOISE = 17  # the least length of a drawn noise, as a power of two
_LOUDEST = 0.99  # amplitude: a louder stream is clipped, as by a microphone


@dataclass(frozen=True, kw_only=True)
class SpeechAugmentation:
    """How streams of words are varied. "Of the windows": the probability that a window has it at all."""

    voices: float = 0.8  # of the words: in another voice (``train/voices.py``)
    pitch: float = 0.15  # range of pitch, formants and tempo together, around 1, of all words of a scene
    speed: float = 0.06  # the same of each word
    level: tuple[float, float] = (-46.0, -12.0)  # decibels below full scale, of a voice
    uneven: float = 4.0  # decibels: by how much the words of a voice differ
    pauses: tuple[float, float] = (0.05, 1.2)  # seconds between two words
    not_words: float = 0.15  # of the words: something that is none in its place
    empty: float = 0.2  # of the windows: without a word
    noise: float = 0.9  # of the windows: noise of a drawn color
    noise_below: tuple[float, float] = (6.0, 60.0)  # decibels below the voice
    sounds: float = (
        0.3  # of the windows: drawn sounds that are no speech; of those without a word three times as many
    )
    # Decibels below the voice; in an empty window above it, too.
    sounds_below: tuple[float, float] = (4.0, 24.0)
    room: float = 0.3  # of the windows: reverberation
    microphone: float = 0.9  # of the windows: other gains of low and high tones, and a missing band
    erased: float = 0.1  # of the words: a moment of it is silent

    def scaled(self, strength: float) -> SpeechAugmentation:
        """All probabilities and ranges times ``strength``: 0 plays words as they are, with pauses.

        >>> SpeechAugmentation().scaled(0.0).noise
        0.0
        """
        kept = {"level", "pauses", "noise_below", "sounds_below"}
        return replace(
            self,
            **{f.name: min(1.0, strength * getattr(self, f.name)) for f in fields(self) if f.name not in kept}
            | {"uneven": strength * self.uneven},
        )


@dataclass(frozen=True, slots=True, eq=False)
class Word:
    """A spoken word, without the silence around it."""

    samples: np.ndarray  # (K,) float32, -1 to 1
    target: int  # index of its label
    group: str  # the speaker

    @property
    def loudness(self) -> float:
        """Its root mean square."""
        return rms(self.samples)


@dataclass(frozen=True, slots=True, eq=False)
class Spoken:
    """A stream of words: its samples, and where the words are."""

    samples: np.ndarray  # (L,) float32
    words: tuple[tuple[int, int, int], ...]  # first sample, the one behind the last, label; in order

    def targets(self, hop: int, blank: int) -> np.ndarray:
        """(T,) int64: the label of each frame of ``hop`` samples; ``blank`` where there is no word.

        >>> Spoken(np.zeros(12, np.float32), ((3, 8, 1),)).targets(2, 0).tolist()
        [0, 1, 1, 1, 0, 0]
        """
        found = np.full(len(self.samples) // hop, blank, np.int64)
        for first, end, label in self.words:
            found[first // hop : max(first // hop + 1, -(-end // hop))] = label
        return found

    def endings(self, hop: int, blank: int, before: int, after: int) -> np.ndarray:
        """(T,) int64: the label of each frame from ``before`` frames before a word's end to ``after`` behind it.

        Between two words a frame is ``blank``.

        >>> Spoken(np.zeros(16, np.float32), ((2, 8, 1), (9, 12, 1))).endings(2, 0, 1, 1).tolist()
        [0, 0, 0, 1, 1, 0, 1, 0]
        """
        found = np.full(len(self.samples) // hop, blank, np.int64)
        free = 0
        for _, end, label in self.words:
            last = -(-end // hop)  # the frame behind the word
            first = max(free, last - before)
            found[first : last + after] = label
            free = last + after + 1
        return found


def rms(samples: np.ndarray) -> float:
    """Root mean square; 0 of nothing."""
    return float(np.sqrt(np.square(samples, dtype=np.float64).mean())) if samples.size else 0.0


def decibels(value: float) -> float:
    """Decibels as a factor of the amplitude.

    >>> decibels(20.0)
    10.0
    """
    return float(10.0 ** (value / 20.0))


def trimmed(samples: np.ndarray, rate: float) -> np.ndarray:
    """(K,) samples without the silence before and behind them; all of them where there is nothing else."""
    size = max(1, round(MOMENT * rate))
    count = len(samples) // size
    if count < 3:
        return samples
    loud = np.sqrt(np.square(samples[: count * size].reshape(count, size), dtype=np.float64).mean(1))
    least = np.clip(2.0 * loud.min(), *(part * loud.max() for part in QUIET))
    spoken = np.flatnonzero(loud >= least)
    return samples[spoken[0] * size : (spoken[-1] + 1) * size] if loud.max() else samples


def words_of(recordings: Sequence[Recording], rate: float, blank: int) -> list[Word]:
    """The words of recordings of one word each; raises ``DataError`` where there are none."""
    found = []
    for one in recordings:
        known = one.targets[(one.targets != NO_LABEL) & (one.targets != blank)]
        if len(known):
            samples = trimmed(one.pictures.reshape(-1), rate).astype(np.float32)
            found.append(Word(samples, int(np.bincount(known).argmax()), one.group))
    if not found:
        raise DataError("there are no words: give recordings of one word each, with its label")
    return found


def spoken(
    rng: np.random.Generator,
    words: Sequence[Word],
    length: int,
    rate: float,
    how: SpeechAugmentation,
    *,
    pitch: float = 1.0,
    least_pause: int = 2,
) -> Spoken:
    """A stream of ``length`` samples with some of these words; silence is exactly zero.

    ``pitch``: factor of pitch, formants and tempo. ``least_pause``: samples between two words, and before the first and
    behind the last.
    """
    samples, placed = np.zeros(length, np.float32), []
    at = _pause(rng, how, rate, least_pause)
    while words:
        word = words[int(rng.integers(len(words)))]
        played = _in_a_voice(rng, word, rate, how)
        is_word = rng.random() >= how.not_words
        if not is_word:
            played = not_a_word(rng, played, words[int(rng.integers(len(words)))].samples)
        pronounced = _pronounced(rng, played, how, pitch, rate)
        end = at + len(pronounced)
        if end + least_pause > length:
            break
        samples[at:end] = pronounced
        if is_word:
            placed.append((at, end, word.target))
        at = end + _pause(rng, how, rate, least_pause)
    return Spoken(samples, tuple(placed))


def in_order(
    rng: np.random.Generator, words: Sequence[Word], rate: float, pauses: tuple[float, float], hop: int
) -> Spoken:
    """All of these words as they are, in this order, with drawn pauses: a stream to measure on."""
    parts, placed, at = [], [], 0
    for word in words:
        quiet = round(rng.uniform(*pauses) * rate)
        parts += [np.zeros(quiet, np.float32), word.samples]
        placed.append((at + quiet, at + quiet + len(word.samples), word.target))
        at += quiet + len(word.samples)
    rest = round(rate) + -(at + round(rate)) % hop  # a second of silence, and whole frames
    return Spoken(np.concatenate([*parts, np.zeros(rest, np.float32)]), tuple(placed))


def _pause(rng: np.random.Generator, how: SpeechAugmentation, rate: float, least: int) -> int:
    """Samples of a pause: short ones are as frequent as long ones."""
    seconds = math.exp(rng.uniform(*np.log(how.pauses)))
    return max(least, round(seconds * rate))


def _in_a_voice(rng: np.random.Generator, word: Word, rate: float, how: SpeechAugmentation) -> np.ndarray:
    """The samples of a word, perhaps in another voice."""
    return _other(word, int(rng.integers(_VOICES)), rate) if rng.random() < how.voices else word.samples


@lru_cache(maxsize=8192)
def _other(word: Word, number: int, rate: float) -> np.ndarray:
    """A word in one of its other voices: to make one each time costs more than to learn from it."""
    return in_another_voice(np.random.default_rng((number, len(word.samples))), word.samples, rate)


def _pronounced(
    rng: np.random.Generator, samples: np.ndarray, how: SpeechAugmentation, pitch: float, rate: float
) -> np.ndarray:
    """The samples in a voice, louder or softer, at the level 1 of their root mean square."""
    samples = _played(samples, pitch * float(around_one(rng, 1.0 + how.speed)))
    gain = decibels(rng.uniform(-how.uneven, how.uneven)) / max(rms(samples), 1e-6)
    samples = samples * np.float32(gain)
    if rng.random() < how.erased:
        size = round(rng.uniform(0.01, 0.06) * rate)
        start = int(rng.integers(max(1, len(samples) - size)))
        samples[start : start + size] = 0.0
    return samples


def _played(samples: np.ndarray, speed: float) -> np.ndarray:
    """(K,) samples -> (K / speed,), as a tape that runs faster or slower."""
    if speed == 1.0:
        return samples
    places = np.arange(0.0, len(samples) - 1, speed)
    return np.interp(places, np.arange(len(samples)), samples).astype(np.float32)


def colored(rng: np.random.Generator, length: int, slope: float) -> np.ndarray:
    """(L,) noise whose power falls by ``slope`` powers of the frequency (0 white, 1 pink, 2 brown), of level 1.

    A part of a long noise, which is drawn once for each tenth of the slope: to draw one for each window costs more than
    to learn from it.
    """
    whole = _noise(round(10 * slope), 1 << max(_NOISE, math.ceil(math.log2(2 * length))))
    start = int(rng.integers(len(whole) - length))
    found = whole[start : start + length]
    return found / np.float32(max(rms(found), 1e-12))


@lru_cache(maxsize=64)
def _noise(slope: int, size: int) -> np.ndarray:
    """(size,) noise whose power falls by ``slope`` / 10 powers of the frequency."""
    rng = np.random.default_rng((size, slope % 256))
    tones = rng.normal(size=size // 2 + 1) + 1j * rng.normal(size=size // 2 + 1)
    tones *= np.maximum(np.arange(size // 2 + 1), size / 4096) ** (-slope / 20)
    return np.fft.irfft(tones, size).astype(np.float32)


def drawn_sound(rng: np.random.Generator, length: int, rate: float) -> np.ndarray:
    """(L,) a sound that is no speech, of level 1 at its loudest moments: hums, motors, knocks, bursts, calls."""
    seconds = np.arange(length, dtype=np.float32) / np.float32(rate)
    kind = int(rng.integers(6))
    if kind >= 4:
        found = voiced(rng, length, rate)
    elif kind == 0:  # a motor, rain: noise that swells
        found = colored(rng, length, rng.uniform(-0.5, 2.0))
        found *= 1.0 + np.sin(2 * math.pi * math.exp(rng.uniform(-0.5, 3.5)) * seconds)
    elif kind == 1:  # a call, a hum: a tone with overtones that glides
        pitch = math.exp(rng.uniform(math.log(60.0), math.log(1200.0)))
        glide = rng.uniform(-0.4, 0.4) * np.sin(2 * math.pi * rng.uniform(0.2, 4.0) * seconds)
        phase = 2 * math.pi * np.cumsum(pitch * np.exp(glide)) / rate
        count = max(1, min(12, int(0.45 * rate / (1.5 * pitch))))
        gains = rng.random(count) / np.arange(1, count + 1) ** rng.uniform(0.0, 1.5)
        found = sum(g * np.sin((n + 1) * phase) for n, g in enumerate(gains)).astype(np.float32)
    else:  # knocks, ticks; barks, sneezes: noise that fades
        found = colored(rng, length, rng.uniform(-1.0, 1.5))
        fades = math.exp(rng.uniform(math.log(0.005), math.log(0.25)))
        envelope = np.zeros(length, np.float32)
        for start in rng.integers(0, length, int(rng.integers(1, 9))):
            envelope[start:] += np.exp(-(seconds[start:] - seconds[start]) / fades)
        found *= envelope
    if kind < 4:
        found[: int(rng.integers(length // 2))] *= kind == 0 or rng.random() < 0.5
    loud = float(np.sqrt(np.maximum(1e-12, np.square(found.astype(np.float64)).reshape(-1)[: length // 64 * 64]
                                    .reshape(-1, 64).mean(1).max())))  # fmt: skip
    return (found / np.float32(loud)).astype(np.float32)


def a_sound(rng: np.random.Generator, length: int, rate: float) -> np.ndarray:
    """(L,) a part of one of ``_SOUNDS`` drawn sounds, at a drawn speed, perhaps backwards."""
    whole = _drawn(int(rng.integers(_SOUNDS)), 1 << math.ceil(math.log2(2 * length)), rate)
    speed = float(around_one(rng, 1.4))
    count = math.ceil(speed * length) + 2
    start = int(rng.integers(len(whole) - count))
    return _played(whole[start : start + count][:: rng.choice((-1, 1))], speed)[:length]


@lru_cache(maxsize=_SOUNDS)
def _drawn(number: int, length: int, rate: float) -> np.ndarray:
    """A drawn sound by its number."""
    return drawn_sound(np.random.default_rng((number, length)), length, rate)


def in_a_room(rng: np.random.Generator, samples: np.ndarray, rate: float) -> np.ndarray:
    """(L,) the same samples with drawn reverberation: echoes that fade, after the direct sound."""
    fades = rng.uniform(0.05, 0.5)  # seconds until an echo is 60 decibels softer
    count = round(fades * rate)
    echoes = rng.normal(size=count) * np.exp(-6.9 * np.arange(count) / count)
    echoes[: round(rng.uniform(0.001, 0.01) * rate)] = 0.0
    echoes *= rng.uniform(0.1, 0.8) / max(float(np.linalg.norm(echoes)), 1e-9)
    echoes[0] = 1.0
    size = 1 << math.ceil(math.log2(len(samples) + count))
    whole = np.fft.irfft(np.fft.rfft(samples, size) * np.fft.rfft(echoes, size), size)
    return whole[: len(samples)].astype(np.float32)


def through_microphone(rng: np.random.Generator, samples: np.ndarray, rate: float) -> np.ndarray:
    """(L,) the same samples with smoothly drawn gains of tones, and perhaps without a band of them."""
    size = 1 << math.ceil(math.log2(len(samples)))
    tones = np.fft.rfft(samples, size)
    places = np.linspace(0.0, 1.0, len(tones))
    gains = np.interp(places, np.linspace(0.0, 1.0, 6) ** 1.5, rng.normal(0.0, 5.0, 6))
    gains += rng.uniform(-12.0, 12.0) * places  # a dull or a bright one
    tones *= 10.0 ** (gains / 20.0)
    if rng.random() < 0.4:
        start = rng.uniform(0.0, 0.9)
        tones[(places >= start) & (places < start + rng.uniform(0.01, 0.2))] *= 0.05
    return np.fft.irfft(tones, size)[: len(samples)].astype(np.float32)


def varied(
    rng: np.random.Generator, clean: Spoken, rate: float, how: SpeechAugmentation, scene: Scene
) -> Spoken:
    """The stream as a microphone in a room with noise gives it."""
    samples = clean.samples
    if scene.has_room:
        samples = in_a_room(np.random.default_rng(scene.seed), samples, rate)
    if rng.random() < how.sounds * (1 if clean.words else 3):
        below = rng.uniform(*how.sounds_below) - (0.0 if clean.words else 20.0)
        samples = samples + decibels(-below) * a_sound(rng, len(samples), rate)
    if scene.noise_below is not None:
        samples = samples + decibels(-scene.noise_below) * colored(rng, len(samples), scene.slope)
    if scene.has_microphone:
        samples = through_microphone(np.random.default_rng(scene.seed), samples, rate)
    samples = np.clip(decibels(scene.level) * samples, -_LOUDEST, _LOUDEST)
    return Spoken(samples.astype(np.float32), clean.words)


@dataclass(frozen=True, slots=True)
class Scene:
    """Who speaks where: it stays the same for some windows of a stream."""

    group: int  # number of the speaker
    seed: int  # of the room and of the microphone
    level: float  # decibels below full scale
    has_room: bool
    has_microphone: bool
    noise_below: float | None  # decibels below the voice; None: no noise
    slope: float  # of its color
    pitch: float  # factor of pitch, formants and tempo of the voice

    @classmethod
    def drawn(cls, rng: np.random.Generator, how: SpeechAugmentation, groups: int) -> Scene:
        """Draw one."""
        return cls(
            int(rng.integers(groups)),
            int(rng.integers(1 << 31)),
            rng.uniform(*how.level),
            bool(rng.random() < how.room),
            bool(rng.random() < how.microphone),
            float(rng.uniform(*how.noise_below)) if rng.random() < how.noise else None,
            float(rng.uniform(-0.3, 2.0)),
            float(around_one(rng, 1.0 + how.pitch)),
        )

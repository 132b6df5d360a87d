"""Training streams of sound: each pass with a loudness, a filter, a speed and noise of its own; and of nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace

import numpy as np

from streamrec.data.clips import Clip
from streamrec.data.decode_cache import Recording
from streamrec.data.sounds import hops_of
from streamrec.errors import DataError, StreamrecError
from streamrec.nn.sound import SoundTransform, log_mel
from streamrec.train.signal_windows import SignalPass
from streamrec.train.speech_streams import decibels, rms

BURST_SECONDS = 0.8  # shorter than the gap after which a state is reset
_STATISTICS_ON = 400  # recordings, evenly, of which mean and deviation of the spectrum are
_LEAST_STD = 0.5
_QUIET_SECONDS = 10.0  # of a drawn recording of nothing
_COLORS = (0.0, 1.0, 2.0)  # power that falls with frequency to this power: white, pink, brown noise


@dataclass(frozen=True, kw_only=True)
class SoundAugmentation:
    """Strengths of the augmentation of sound. "Of the passes": the probability that a pass has it at all."""

    gain: float = 10.0  # dB by which a pass is louder or quieter at most
    filter: float = 3.0  # dB: standard deviation of a random filter, at points an octave apart
    tempo: float = 0.1  # range of the playing speed, around 1; the pitch goes with it
    noise: float = 0.3  # of the passes: noise beneath, from white to brown
    noise_below: tuple[float, float] = (5.0, 40.0)  # dB by which that is quieter than the recording
    mix: float = 0.3  # of the passes: another recording beneath
    mix_below: tuple[float, float] = (6.0, 20.0)  # dB by which that is quieter
    drop: float = 0.01  # mean part of the hops that are lost
    burst: float = 0.05  # of the passes: up to BURST_SECONDS without a hop

    def scaled(self, strength: float) -> SoundAugmentation:
        """All strengths times ``strength``: 0 plays recordings as they are.

        >>> SoundAugmentation().scaled(0.5).gain
        5.0
        """
        kept = {"noise_below", "mix_below"}
        return replace(
            self, **{f.name: strength * getattr(self, f.name) for f in fields(self) if f.name not in kept}
        )


@dataclass(frozen=True, kw_only=True)
class SoundSettings:
    """What a pass of sound follows from besides the recording."""

    transform: SoundTransform
    longest: float  # seconds of a pass
    ramp_seconds: float


def begin(
    rng: np.random.Generator,
    recording: Recording,
    how: SoundAugmentation | None,
    settings: SoundSettings,
    *,
    around: float | None,
    carried: bool,
    beneath: Callable[[], Recording],
) -> SignalPass:
    """Draw a pass; ``around``: a time in it; ``carried``: it follows the one before as a hard cut.

    ``beneath`` draws a recording that may be mixed in.
    """
    transform = settings.transform
    hop, fps = transform.hop, transform.fps
    first, count = _part(rng, recording.timestamps, max(1, int(settings.longest * fps)), around)
    samples = recording.pictures[first : first + count].reshape(-1)
    shift = int(rng.integers(hop)) if count > 1 else 0  # a stream's hops begin anywhere
    samples, tempo = samples[shift:], 1.0
    if how is not None and how.tempo:
        tempo = math.exp(rng.uniform(-1, 1) * math.log1p(how.tempo))
        places = np.arange(0, len(samples) - 1, tempo)
        samples = np.interp(places, np.arange(len(samples)), samples).astype(np.float32)
    length = max(1, len(samples) // hop)
    samples = np.resize(samples, hop) if len(samples) < hop else samples[: length * hop]
    middle = (shift + (np.arange(length) + 0.5) * hop * tempo) / hop
    targets = recording.targets[first + np.minimum(middle.astype(int), count - 1)]
    if how is not None:
        samples = _varied(rng, samples, how, transform, beneath)
    kept = np.arange(length) if how is None else _received(rng, length, how, fps)
    elapsed = (np.diff(kept, prepend=kept[:1] - 1) / fps).astype(np.float32)
    elapsed[0] = 1.0 / fps if carried else np.inf
    age = ((kept - kept[0]) / fps).astype(np.float32)
    ramp = settings.ramp_seconds
    weights = np.clip((age + 1.0 / fps) / ramp, 0.1, 1.0) if ramp else np.ones_like(age)
    return SignalPass(samples.reshape(length, hop)[kept], elapsed, targets[kept], weights.astype(np.float32))


def _part(rng: np.random.Generator, times: np.ndarray, longest: int, around: float | None) -> tuple[int, int]:
    """The first hop and the number of a part of at most ``longest`` hops, with the time ``around`` in it."""
    if len(times) <= longest:
        return 0, len(times)
    earliest, latest = 0, len(times) - longest
    if around is not None:
        at = int(np.searchsorted(times, around))
        earliest, latest = max(earliest, at - longest + 1), min(latest, at)
    return int(rng.integers(min(earliest, latest), latest + 1)), longest


def _varied(
    rng: np.random.Generator,
    samples: np.ndarray,
    how: SoundAugmentation,
    transform: SoundTransform,
    beneath: Callable[[], Recording],
) -> np.ndarray:
    """(S,) samples of another microphone, in another place, with other sounds."""
    level = rms(samples)
    if how.filter:
        samples = _filtered(rng, samples, how.filter, transform)
    if rng.random() < how.mix and level > 0.0:
        other = beneath().pictures.reshape(-1)
        start = int(rng.integers(max(1, len(other) - len(samples))))
        other = np.resize(other[start:], len(samples))
        if (others := rms(other)) > 0.0:
            samples = samples + other * (level / others * _quieter(rng, how.mix_below))
    if rng.random() < how.noise:
        noise = colored_noise(rng, len(samples), float(rng.uniform(*_COLORS[::2])))
        samples = samples + noise * (max(level, 1e-4) * _quieter(rng, how.noise_below))
    gain = decibels(rng.uniform(-1, 1) * how.gain)
    return np.clip(samples * np.float32(gain), -1.0, 1.0).astype(np.float32)


def _quieter(rng: np.random.Generator, below: tuple[float, float]) -> float:
    """A drawn factor of the amplitude, from decibels."""
    return decibels(-rng.uniform(*below))


def _filtered(
    rng: np.random.Generator, samples: np.ndarray, strength: float, transform: SoundTransform
) -> np.ndarray:
    """Samples through a filter that is smooth over octaves, of no delay."""
    octaves = max(2, math.ceil(math.log2(transform.rate / 2 / 50)) + 1)
    points = rng.normal(0.0, strength, octaves)
    spectrum = np.fft.rfft(samples)
    hertz = np.maximum(np.fft.rfftfreq(len(samples), 1 / transform.rate), 1.0)
    gains = 10 ** (np.interp(np.log2(hertz / 50), np.arange(octaves), points) / 20)
    return np.fft.irfft(spectrum * gains, len(samples)).astype(np.float32)


def colored_noise(rng: np.random.Generator, count: int, color: float) -> np.ndarray:
    """(S,) float32 noise of a level of 1, whose power falls with frequency to the power of ``color``."""
    white = rng.standard_normal(count, dtype=np.float32)
    if color:
        spectrum = np.fft.rfft(white)
        spectrum[1:] *= np.arange(1, len(spectrum)) ** (-color / 2)
        spectrum[0] = 0.0
        white = np.fft.irfft(spectrum, count).astype(np.float32)
    return white / np.float32(max(rms(white), 1e-12))


def _received(rng: np.random.Generator, count: int, how: SoundAugmentation, fps: float) -> np.ndarray:
    """Indices of the hops that arrive."""
    came = rng.random(count) >= rng.uniform(0, 2 * how.drop)
    if rng.random() < how.burst and count > 2:
        start = int(rng.integers(1, count))
        came[start : start + int(rng.uniform(0, BURST_SECONDS) * fps)] = False
    came[0] = True
    return np.flatnonzero(came)


def drawn_nothing(count: int, transform: SoundTransform, target: int, seed: int) -> list[Recording]:
    """``count`` recordings in which nothing happens: silence, the noise of a microphone, the hum of the mains."""
    rng = np.random.default_rng((seed, 77))
    steps = max(1, round(_QUIET_SECONDS * transform.fps))
    length = steps * transform.hop
    times = np.arange(length) / transform.rate
    found = []
    for number in range(count):
        samples = np.zeros(length, np.float32)
        if number % 4:  # the others are silence itself
            noise = colored_noise(rng, length, float(rng.choice(_COLORS)))
            samples += noise * np.float32(decibels(rng.uniform(-90, -50)))
        if number % 4 == 3:
            mains = float(rng.choice([50.0, 60.0]))
            waves = [np.sin(2 * np.pi * mains * n * times + rng.uniform(0, 6)) / n for n in (1, 2, 3, 5)]
            samples += (np.sum(waves, axis=0) * decibels(rng.uniform(-80, -50))).astype(np.float32)
        found.append(
            Recording(
                samples.reshape(steps, transform.hop),
                np.arange(steps) / transform.fps,
                np.full(steps, target, np.int64),
                f"nothing {number}",
                rate=transform.rate,
            )
        )
    return found


def transform_of(clips: Iterable[Clip], transform: SoundTransform) -> SoundTransform:
    """The same transform with mean and deviation of the log-mel spectrum of these recordings, band by band."""
    clips = list(clips)
    count, total, squares = 0, np.zeros(transform.mels), np.zeros(transform.mels)
    for clip in clips[:: 1 + len(clips) // _STATISTICS_ON]:
        try:
            hops, _, _ = hops_of(clip.path, transform)
        except StreamrecError:  # it is reported where it is decoded
            continue
        spectrum = log_mel(hops.reshape(-1), transform)
        count += len(spectrum)
        total += spectrum.sum(0)
        squares += np.square(spectrum).sum(0)
    if not count:
        raise DataError("an encoder of sound learns from sound files or sound tracks, and none can be read")
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 0.0))
    return replace(
        transform,
        mean=tuple(round(float(value), 4) for value in mean),
        std=tuple(round(float(value), 4) for value in np.maximum(std, _LEAST_STD)),
    )

"""Training streams of readings: each pass with a rate, lost rows, a speed and a mounting of its own."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np

from streamrec.data.clips import Clip
from streamrec.data.decode_cache import Recording
from streamrec.data.tables import channels_of, on_ticks, rows_of
from streamrec.errors import DataError
from streamrec.nn.config import ModelConfig
from streamrec.nn.signals import SignalTransform
from streamrec.sources.sampling import due_frames
from streamrec.sources.tables import is_table

BURST_SECONDS = 0.8  # shorter than the gap after which a state is reset
_AXIS = re.compile(
    r"(?:(?P<first>[xyz])[_ .-]?(?P<after>.*)|(?P<before>.*?)[_ .-]?(?P<last>[xyz]))", re.IGNORECASE
)


@dataclass(frozen=True, kw_only=True)
class SignalAugmentation:
    """Strengths of the augmentation of readings. "Of the passes": the probability that a pass has it at all."""

    turn: float = (
        20.0  # degrees: standard deviation of a rotation of the sensor, of channels that are x, y and z
    )
    mounting: float = 0.5  # of the passes: the sensor is put in upside down or back to front
    scale: float = 0.1  # of each channel, and of all of them
    noise: float = 0.05  # standard deviation, in those of the channel
    tempo: float = 0.2  # range of the playing speed, around 1
    warp: float = 0.1  # by how much that changes within a pass
    rates: tuple[float, float] = (
        10.0,
        60.0,
    )  # of the sensor, samples a second, where it is slower than recorded
    slower: float = 0.5  # of the passes: at such a rate
    drop: float = 0.15  # mean part of the rows that are lost
    burst: float = 0.1  # of the passes: up to BURST_SECONDS without a row
    raw: float = 0.25  # of the passes: rows as they come, and not on the model's clock

    def scaled(self, strength: float) -> SignalAugmentation:
        """All strengths times ``strength``: 0 plays recordings as they are.

        >>> SignalAugmentation().scaled(0.5).turn
        10.0
        """
        kept = {"rates"}
        return replace(
            self, **{f.name: strength * getattr(self, f.name) for f in fields(self) if f.name not in kept}
        )


@dataclass(frozen=True, slots=True, eq=False)
class SignalPass:
    """One playing of one recording of readings in one stream."""

    rows: np.ndarray  # (T, C) float32
    elapsed: np.ndarray  # (T,) float32 seconds
    targets: np.ndarray  # (T,)
    weights: np.ndarray  # (T,) float32

    def part(self, start: int, end: int) -> Self:
        """Its rows from ``start`` to before ``end``."""
        return replace(self, **{each.name: getattr(self, each.name)[start:end] for each in fields(self)})

    def render(self, rows: Iterator[np.ndarray]) -> None:
        """Write its rows into the next ones, (C,) each."""
        for row in self.rows:
            next(rows)[:] = row

    def backbone(self) -> np.ndarray:
        """None has a backbone."""
        raise DataError("an encoder of signals has no backbone")

    def phases(self) -> np.ndarray:
        """(T, 2) NaN: no phase is known."""
        return np.full((len(self.targets), 2), np.nan, np.float32)


@dataclass(frozen=True, kw_only=True)
class SignalSettings:
    """What a pass of readings follows from besides the recording."""

    transform: SignalTransform
    fps: float
    max_gap: float
    longest: float  # seconds of a pass
    ramp_seconds: float


def begin(
    rng: np.random.Generator,
    recording: Recording,
    how: SignalAugmentation | None,
    settings: SignalSettings,
    *,
    around: float | None,
    carried: bool,
) -> SignalPass:
    """Draw a pass; ``around``: a time in it; ``carried``: it follows the one before as a hard cut."""
    kept = _part(rng, recording.timestamps, settings.longest, around)
    times = recording.timestamps[kept]
    raw = not settings.transform.resamples
    if how is not None:
        times = _warped(rng, times, how)
        lost = _received(rng, times, how)
        kept, times = kept[lost], times[lost]
        raw = raw or rng.random() < how.raw
    data = recording.pictures[kept]
    if how is not None:
        data = moved(rng, data, how, settings.transform)
    if raw:
        nearest = np.array(due_frames(times.tolist(), settings.fps))
        rows, seconds = data[nearest], times[nearest]
    else:
        rows, seconds, nearest = on_ticks(data, times, settings.fps, settings.max_gap)
    elapsed = np.diff(seconds, prepend=seconds[:1]).astype(np.float32)
    elapsed[0] = 1.0 / settings.fps if carried else np.inf
    age = (seconds - seconds[0]).astype(np.float32)
    ramp = settings.ramp_seconds
    weights = np.clip((age + 1.0 / settings.fps) / ramp, 0.1, 1.0) if ramp else np.ones_like(age)
    return SignalPass(
        rows.astype(np.float32), elapsed, recording.targets[kept][nearest], weights.astype(np.float32)
    )


def _part(rng: np.random.Generator, times: np.ndarray, longest: float, around: float | None) -> np.ndarray:
    """Indices of the rows of a part of at most ``longest`` seconds, with the time ``around`` in it."""
    first, last = float(times[0]), float(times[-1])
    if last - first <= longest:
        return np.arange(len(times))
    earliest, latest = first, last - longest
    if around is not None:
        earliest, latest = max(earliest, around - longest), min(latest, around)
    start = rng.uniform(earliest, latest) if earliest < latest else earliest
    return np.flatnonzero((times >= start) & (times <= start + longest))


def _warped(rng: np.random.Generator, times: np.ndarray, how: SignalAugmentation) -> np.ndarray:
    """The times at another speed, which drifts."""
    tempo = math.exp(rng.uniform(-1, 1) * math.log1p(how.tempo))
    age = times - times[0]
    drift = how.warp * np.sin(rng.uniform(0.3, 2.0) * age + rng.uniform(0, 2 * math.pi))
    steps = np.diff(age, prepend=0.0) * np.exp(drift) / tempo
    return np.asarray(times[0] + np.cumsum(steps))


def _received(rng: np.random.Generator, times: np.ndarray, how: SignalAugmentation) -> np.ndarray:
    """Indices of the rows that a slower or a worse sensor gives."""
    kept = np.arange(len(times))
    if rng.random() < how.slower:
        kept = np.array(due_frames(times.tolist(), math.exp(rng.uniform(*np.log(how.rates)))))
    if how.drop:
        came = rng.random(len(kept)) >= rng.uniform(0, 2 * how.drop)
        kept = kept[came] if came.any() else kept[:1]
    if rng.random() < how.burst:
        start = float(rng.choice(times[kept]))
        silent = (times[kept] > start) & (times[kept] < start + rng.uniform(0.1, BURST_SECONDS))
        kept = kept[~silent]
    return kept


def moved(
    rng: np.random.Generator, data: np.ndarray, how: SignalAugmentation, transform: SignalTransform
) -> np.ndarray:
    """(R, C) readings of a sensor that is mounted and gauged otherwise, with noise."""
    turned = data.copy()
    rotation = _rotation(rng, how)
    for place in vectors_of(transform.channels):
        turned[:, place] = data[:, place] @ rotation.T
    gains = np.exp(rng.normal(0, how.scale / 2, data.shape[1]) + rng.normal(0, how.scale / 2))
    _, std = transform.normalization()
    noise = rng.normal(0, how.noise * rng.random(), data.shape) * std
    return (turned * gains + noise).astype(np.float32)


def _rotation(rng: np.random.Generator, how: SignalAugmentation) -> np.ndarray:
    """(3, 3): a turn about a random axis, and perhaps half a turn about one of the sensor's own."""
    axis = rng.normal(size=3)
    axis /= np.linalg.norm(axis)
    angle = math.radians(how.turn) * rng.normal()
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    turn = np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross
    if rng.random() < how.mounting:
        half = -np.ones(3)
        half[rng.integers(3)] = 1.0
        turn = turn @ np.diag(half)
    return turn


def vectors_of(channels: Sequence[str]) -> list[list[int]]:
    """The channels that are x, y and z of one sensor, by their names; each as three indices.

    >>> vectors_of(("x_acc", "y_acc", "z_acc", "x_gyro", "y_gyro", "z_gyro", "light"))
    [[0, 1, 2], [3, 4, 5]]
    >>> vectors_of(("acc_x", "acc_y", "acc_z"))
    [[0, 1, 2]]
    """
    axes: dict[str, dict[str, int]] = {}
    for number, name in enumerate(channels):
        found = _AXIS.fullmatch(name)
        if found is not None:
            sensor = found["after"] if found["first"] else found["before"]
            axes.setdefault(sensor.lower(), {})[(found["first"] or found["last"]).lower()] = number
    return [[own[axis] for axis in "xyz"] for own in axes.values() if len(own) == 3]


def transform_of(clips: Iterable[Clip], *, resample: bool = True) -> SignalTransform:
    """The transform for these tables: the channels of the first, and mean and deviation of all."""
    tables = [clip.path for clip in clips if is_table(clip.path)]
    if not tables:
        raise DataError(
            "an encoder of signals learns from tables of readings, and there are none: give .csv files"
        )
    channels = channels_of(tables[0])
    count, total, squares = 0, np.zeros(len(channels)), np.zeros(len(channels))
    for path in tables:
        data, _, _ = rows_of(path, channels)
        count += len(data)
        total += data.sum(0, dtype=np.float64)
        squares += np.square(data, dtype=np.float64).sum(0)
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 1e-12))
    return SignalTransform(
        channels=channels,
        mean=tuple(round(float(value), 6) for value in mean),
        std=tuple(round(float(value), 6) for value in np.maximum(std, 1e-3)),
        resample=resample,
    )


def as_stepped(recording: Recording, config: ModelConfig) -> Recording:
    """A recording as ``results()`` gives it to the model: readings on the model's clock, pictures as they are."""
    if not (recording.is_signal and config.transform.resamples):
        return recording
    rows, seconds, nearest = on_ticks(recording.pictures, recording.timestamps, config.fps, config.max_gap)
    return replace(recording, pictures=rows, timestamps=seconds, targets=recording.targets[nearest])

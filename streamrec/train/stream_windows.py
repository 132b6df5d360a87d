"""Endless training streams made of recordings, read in windows of T frames."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import cv2
import numpy as np

from streamrec.data.clips import NO_LABEL
from streamrec.data.decode_cache import Recording
from streamrec.nn.signals import SignalTransform
from streamrec.nn.sound import SoundTransform
from streamrec.nn.transforms import InputTransform, as_inputs
from streamrec.train import sound_windows
from streamrec.train.augment import BURST_SECONDS, Augmentation, View, in_mirror, mirror
from streamrec.train.frozen_features import FeatureCache, ViewFeatures
from streamrec.train.signal_windows import SignalAugmentation, SignalPass, SignalSettings, begin
from streamrec.train.sound_windows import SoundAugmentation, SoundSettings
from streamrec.train.speech_streams import SpeechAugmentation

PAUSE_SECONDS = (0.5, 4.0)  # range of the length of background between two recordings
LEAST = 0.05  # least progress of an action, so that no frame has a weight of 0
NEIGHBOURS = 4  # consecutive passes of one group, with ``same_group``


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Windows of N streams."""

    pictures: (
        np.ndarray
    )  # (N, T, 3, height, width) uint8 RGB; of signals (N, T, C) readings, of sound samples
    elapsed: np.ndarray  # (N, T) float32 seconds since the frame before; infinite where a stream begins
    targets: np.ndarray  # (N, T) int64 index of the label; NO_LABEL where there is none
    weights: np.ndarray  # (N, T) float32 weight in the loss: early frames of a pass weigh less
    phases: np.ndarray  # (N, T, 2) float32 cos, sin of the repetition's phase; NaN: unknown
    position: np.ndarray  # (N, 2) int64: position of the streams after this window
    backbone: np.ndarray | None = (
        None  # (N, T, S) float32: features of a frozen backbone, where they are cached
    )


@dataclass(frozen=True, kw_only=True)
class WindowSettings:
    """How streams are made of recordings. A pass is one playing of one recording in one stream."""

    streams: int  # N
    window: int  # T, frames
    fps: float  # sampling rate of the model, frames a second
    augmentation: (
        Augmentation | SignalAugmentation | SoundAugmentation | SpeechAugmentation | None
    )  # None: recordings as they are
    transform: InputTransform | None = None  # of recordings of another sense; None: they are of pictures
    max_gap: float = 1.0  # seconds: of readings, as in ModelConfig
    # Names of the targets; needed where ``augmentation.mirrored`` names some.
    labels: tuple[str, ...] = ()
    # From 0, every recording equally often, to 1, every label, however few recordings show it.
    balance: float = 1.0
    # Label -> how often it is drawn, where that is not 1 to each other's.
    shares: Mapping[int, float] = field(default_factory=lambda: MappingProxyType({}))
    # Probability that a pass follows the one before as a hard cut, instead of a stream that begins anew.
    carry: float = 0.25
    # Probability that some seconds of background are played between two passes.
    pause: float = 0.25
    # Probability that a pass is of the group of its neighbours, so that the same person or camera goes on.
    same_group: float = 0.0
    # Seconds over which the weights of a pass rise to 1; they do not fall when a label changes in it.
    ramp_seconds: float = 1.0
    # Power of the action's progress (0 to 1) in the weight of a frame. One action may be how another begins: half-way
    # to a star the hand has drawn a caret, and the action that is over then is the caret.
    late: float = 0.0
    longest_seconds: float = 30.0  # of a pass
    seed: int = 0


class StreamWindows:
    """N endless streams made of recordings, read a window at a time.

    Each stream plays recordings one after the other, each pass with its own augmentation, phase and frame
    rate. The state is meant to be carried from one window to the next: training then meets old states, as a camera
    does (MiniROAD, ICCV 2023: weigh the late steps).

    - ``background``: recordings in which nothing happens; they may be among ``recordings`` too.
    - Recordings may hold the features of the backbone and no pictures: all of them, or none.
    - ``features``: where given, each pass has one of its cached views, with the features of the frozen backbone,
      instead of a view of its own.

    All random draws follow from (seed, stream, pass), so ``position`` is all that is needed to go on exactly.
    """

    def __init__(
        self,
        recordings: Sequence[Recording],
        settings: WindowSettings,
        *,
        background: Sequence[Recording] = (),
        features: FeatureCache | None = None,
    ) -> None:
        self.recordings = recordings
        self.settings = settings
        self.background = background
        self.features = features
        self._has_backbone = features is not None or recordings[0].backbone is not None
        # Of each stream: passes begun, and frames of the last one that were read.
        self.position = np.zeros((settings.streams, 2), np.int64)
        self._all = _Draw(recordings, settings.shares)
        self._groups = _draws_by_group(recordings, settings.shares)
        how = settings.augmentation
        mirrored = how.mirrored if isinstance(how, Augmentation) else ()
        self._swap = mirror(mirrored, settings.labels)
        self._passes: dict[int, tuple[int, Pass | SignalPass]] = {}

    def __next__(self) -> Batch:
        rows = [self._read(stream) for stream in range(len(self.position))]
        first = self.recordings[0].pictures
        pictures = np.empty((len(rows), self.settings.window, *first.shape[1:]), first.dtype)
        for row, parts in zip(pictures, rows, strict=True):
            numbered = iter(row)
            for part in parts:
                part.render(numbered)
        return Batch(
            as_inputs(pictures),
            np.stack([np.concatenate([part.elapsed for part in parts]) for parts in rows]),
            np.stack([np.concatenate([part.targets for part in parts]) for parts in rows]),
            np.stack([np.concatenate([part.weights for part in parts]) for parts in rows]),
            np.stack([np.concatenate([part.phases() for part in parts]) for parts in rows]),
            self.position.copy(),
            np.stack([np.concatenate([part.backbone() for part in parts]) for parts in rows])
            if self._has_backbone
            else None,
        )

    def __iter__(self) -> Iterator[Batch]:
        return self

    def _read(self, stream: int) -> list[Pass | SignalPass]:
        parts: list[Pass | SignalPass] = []
        wanted = self.settings.window
        while wanted:
            played = self._pass(stream)
            start = int(self.position[stream, 1])
            part = played.part(start, start + wanted)
            parts.append(part)
            wanted -= len(part.targets)
            self.position[stream, 1] += len(part.targets)
            if self.position[stream, 1] >= len(played.targets):
                self.position[stream] += (1, 0)
                self.position[stream, 1] = 0
        return parts

    def _pass(self, stream: int) -> Pass | SignalPass:
        number = int(self.position[stream, 0])
        known = self._passes.get(stream)
        if known is None or known[0] != number:
            known = (number, self._begin(stream, number))
            self._passes[stream] = known
        return known[1]

    def _begin(self, stream: int, number: int) -> Pass | SignalPass:
        settings = self.settings
        rng = np.random.default_rng((settings.seed, stream, number))
        if isinstance(settings.transform, SignalTransform):
            return self._begin_signal(rng, stream, number, settings.transform)
        if isinstance(settings.transform, SoundTransform):
            return self._begin_sound(rng, stream, number, settings.transform)
        how = settings.augmentation
        assert how is None or isinstance(how, Augmentation)
        recording, longest, around = self._drawn(rng, stream, number)
        timing = Timing.drawn(
            rng, how, recording.timestamps, fps=settings.fps, longest=longest, around=around
        )
        elapsed = np.diff(timing.times, prepend=timing.times[:1]).astype(np.float32)
        elapsed[0] = timing.period if number and rng.random() < settings.carry else np.inf
        age = (timing.times - timing.times[0]).astype(np.float32)
        ramp = settings.ramp_seconds
        weights = np.clip((age + timing.period) / ramp, 0.1, 1.0) if ramp else np.ones_like(age)
        if settings.late:
            far = progress(recording.timestamps, recording.targets)[timing.shown]
            weights *= np.maximum(far, LEAST).astype(np.float32) ** settings.late
        view, ground, features = None, None, None
        if self.features is not None:
            features = self.features.drawn(rng, recording)
            view = features.view
        elif how is not None and recording.backbone is None:
            view = View.drawn(rng, how, recording.pictures.shape[1:3])
            if self.background and rng.random() < how.mosaic:
                scene = self.background[int(rng.integers(len(self.background)))]
                ground = Ground.drawn(rng, scene.pictures, int(timing.shown[0]))
        targets = recording.targets[timing.shown]
        if view is not None and view.is_mirrored:
            targets = in_mirror(targets, self._swap)
        # A cached view begins with its recording; any other one begins with the pass.
        first = float(recording.timestamps[timing.shown[0] if features is None else 0])
        return Pass(recording, timing.shown, first, elapsed, targets, weights, view, ground, features)

    def _begin_signal(
        self, rng: np.random.Generator, stream: int, number: int, transform: SignalTransform
    ) -> SignalPass:
        settings = self.settings
        how = settings.augmentation
        assert how is None or isinstance(how, SignalAugmentation)
        recording, longest, around = self._drawn(rng, stream, number)
        own = SignalSettings(
            transform=transform,
            fps=settings.fps,
            max_gap=settings.max_gap,
            longest=longest,
            ramp_seconds=settings.ramp_seconds,
        )
        carried = bool(number) and rng.random() < settings.carry
        return begin(rng, recording, how, own, around=around, carried=carried)

    def _begin_sound(
        self, rng: np.random.Generator, stream: int, number: int, transform: SoundTransform
    ) -> SignalPass:
        settings = self.settings
        how = settings.augmentation
        assert how is None or isinstance(how, SoundAugmentation)
        recording, longest, around = self._drawn(rng, stream, number)
        own = SoundSettings(transform=transform, longest=longest, ramp_seconds=settings.ramp_seconds)
        carried = bool(number) and rng.random() < settings.carry
        others = self.recordings
        return sound_windows.begin(
            rng,
            recording,
            how,
            own,
            around=around,
            carried=carried,
            beneath=lambda: others[int(rng.integers(len(others)))],
        )

    def _drawn(
        self, rng: np.random.Generator, stream: int, number: int
    ) -> tuple[Recording, float, float | None]:
        """What a pass plays, for how many seconds at most, and a time in it: a recording, or a pause of background."""
        longest = self.settings.longest_seconds
        if number % 2 and self.background and rng.random() < self.settings.pause:
            recording = self.background[int(rng.integers(len(self.background)))]
            return recording, min(longest, rng.uniform(*PAUSE_SECONDS)), None
        recording, around = self._choices(rng, stream, number).drawn(rng, self.settings.balance)
        return recording, longest, around

    def _choices(self, rng: np.random.Generator, stream: int, number: int) -> _Draw:
        """All recordings, or those of the group of the neighbouring passes."""
        if rng.random() >= self.settings.same_group:
            return self._all
        # One generator for all neighbours, so that they draw the same group.
        shared = np.random.default_rng((self.settings.seed, stream, number // NEIGHBOURS, 1))
        recording, _ = self._all.drawn(shared, self.settings.balance)
        return self._groups.get(recording.group, self._all)


class _Draw:
    """Recordings to draw from, evenly over labels or over recordings."""

    def __init__(self, recordings: Sequence[Recording], shares: Mapping[int, float]) -> None:
        self.recordings = recordings
        self._showing: dict[int, list[int]] = {}  # label -> the recordings that have it in some frame
        for number, recording in enumerate(recordings):
            for label in set(recording.targets.tolist()) - {NO_LABEL} or {NO_LABEL}:
                self._showing.setdefault(label, []).append(number)
        self._labels = sorted(self._showing)
        odds = np.array([shares.get(label, 1.0) for label in self._labels])
        self._odds = odds / odds.sum() if (odds != 1.0).any() else None  # None: evenly

    def drawn(self, rng: np.random.Generator, balance: float) -> tuple[Recording, float | None]:
        """A recording, and a time in it of the label that it was drawn for, in seconds; None: it was for none."""
        if rng.random() >= balance:
            return self.recordings[int(rng.integers(len(self.recordings)))], None
        count = len(self._labels)
        label = self._labels[rng.integers(count) if self._odds is None else rng.choice(count, p=self._odds)]
        recording = self.recordings[rng.choice(self._showing[label])]
        return recording, float(rng.choice(recording.timestamps[recording.targets == label]))


def _draws_by_group(recordings: Sequence[Recording], shares: Mapping[int, float]) -> dict[str, _Draw]:
    """Group -> its recordings, for the groups of more than one."""
    groups: dict[str, list[Recording]] = {}
    for recording in recordings:
        groups.setdefault(recording.group, []).append(recording)
    return {name: _Draw(group, shares) for name, group in groups.items() if len(group) > 1}


@dataclass(frozen=True, slots=True, eq=False)
class Timing:
    """The frames of a recording that a simulated camera delivers, and their times."""

    shown: np.ndarray  # (T,) indices of the frames; a frozen one is repeated
    times: np.ndarray  # (T,) seconds at which they arrive
    period: float  # nominal seconds between two frames

    @classmethod
    def drawn(
        cls,
        rng: np.random.Generator,
        how: Augmentation | None,
        timestamps: np.ndarray,
        *,
        fps: float,
        longest: float,
        around: float | None = None,
    ) -> Timing:
        """Draw a part of at most ``longest`` seconds, with the time ``around`` (seconds) in it."""
        tempo = math.exp(rng.uniform(-1, 1) * math.log1p(how.tempo)) if how else 1.0
        rate = fps * (math.exp(rng.uniform(*np.log(how.rhythm))) if how else 1.0)
        times = timestamps / tempo
        if rng.random() < 0.5:
            rate = _steady(times, rate)
        came = _due_frames(times, rate, longest, None if around is None else around / tempo, rng)
        if how is None:
            return cls(came, times[came], 1.0 / rate)
        if how.drop and len(came) > 4:
            kept = rng.random(len(came)) >= rng.uniform(0, 2 * how.drop)
            came = came[kept] if kept.any() else came[:1]
        if rng.random() < how.burst:
            lost = _stretch(rng, times[came])
            came = np.delete(came, lost[1:])
        shown = came.copy()
        if rng.random() < how.freeze:
            frozen = _stretch(rng, times[came])
            shown[frozen] = shown[frozen[0]]
        return cls(shown, times[came], 1.0 / rate)


def progress(timestamps: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """(T,) seconds and (T,) labels -> (T,) progress of each frame's action, 0 to 1; a run of one label is one action.

    >>> progress(np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0]), np.array([7, 7, 7, 2, 2, 5])).tolist()
    [0.0, 0.5, 1.0, 0.0, 1.0, 1.0]
    """
    runs = np.split(timestamps, np.flatnonzero(np.diff(targets)) + 1)
    spans = [run[-1] - run[0] for run in runs]
    return np.concatenate(
        [
            (run - run[0]) / span if span > 0 else np.ones(len(run))
            for run, span in zip(runs, spans, strict=True)
        ]
    )


def _stretch(rng: np.random.Generator, times: np.ndarray) -> np.ndarray:
    """The indices of the frames within up to BURST_SECONDS from a random one on."""
    start = float(rng.choice(times))
    return np.flatnonzero((times >= start) & (times < start + rng.uniform(0.1, BURST_SECONDS)))


def _steady(times: np.ndarray, rate: float) -> float:
    """The rate nearest to ``rate`` that takes every n-th frame: what sampling makes of a steady camera."""
    if len(times) < 2:
        return rate
    own = (len(times) - 1) / max(float(times[-1] - times[0]), 1e-6)
    return own / max(1, round(own / rate))


def _due_frames(
    times: np.ndarray, rate: float, longest: float, around: float | None, rng: np.random.Generator
) -> np.ndarray:
    """Indices of the frames of a camera of ``rate``, from a random phase, for ``longest`` seconds at most."""
    first, last = float(times[0]), float(times[-1])
    start = first + rng.uniform(0, 1.0 / rate)
    if last - first > longest:
        earliest, latest = first, last - longest
        if around is not None:
            earliest, latest = max(earliest, around - longest), min(latest, around)
        start = rng.uniform(earliest, latest) if earliest < latest else earliest
        last = start + longest
    wanted = np.arange(start, last + 1e-6, 1.0 / rate) + 1e-6
    if len(wanted) < 2:
        return np.arange(len(times))
    return np.unique(np.clip(np.searchsorted(times, wanted, side="right") - 1, 0, len(times) - 1))


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """A background recording, into a rectangle of which another recording is drawn."""

    pictures: np.ndarray  # (T, height, width, 3) uint8
    corner: tuple[int, int]  # left, top, pixels
    size: tuple[int, int]  # width, height, pixels
    first: int  # index of the other recording's frame that is drawn into the first one of the background

    @classmethod
    def drawn(cls, rng: np.random.Generator, pictures: np.ndarray, first: int) -> Ground:
        """Draw a rectangle of 0.4 to 0.8 of the sides."""
        height, width = pictures.shape[1:3]
        scale = rng.uniform(0.4, 0.8)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        corner = int(rng.integers(width - size[0] + 1)), int(rng.integers(height - size[1] + 1))
        return cls(pictures, corner, size, first)

    def around(self, picture: np.ndarray, number: int) -> np.ndarray:
        """(H, W, 3) -> the same shape, drawn into the background, which is played forwards and backwards."""
        count = len(self.pictures)
        at = (number - self.first) % (2 * count)
        whole = self.pictures[min(at, 2 * count - 1 - at)].copy()
        (left, top), (width, height) = self.corner, self.size
        whole[top : top + height, left : left + width] = cv2.resize(
            picture, self.size, interpolation=cv2.INTER_AREA
        )
        return whole


@dataclass(frozen=True, slots=True, eq=False)
class Pass:
    """One playing of one recording in one stream."""

    recording: Recording
    shown: np.ndarray  # (T,) indices of its frames
    first: float  # timestamp in seconds from which the age of its view counts
    elapsed: np.ndarray  # (T,) float32 seconds
    targets: np.ndarray  # (T,)
    weights: np.ndarray  # (T,) float32
    view: View | None  # None: the recording as it is
    ground: Ground | None
    features: ViewFeatures | None = None  # of the frozen backbone

    def part(self, start: int, end: int) -> Pass:
        """Its frames from ``start`` to before ``end``."""
        cut = slice(start, end)
        return replace(
            self,
            shown=self.shown[cut],
            elapsed=self.elapsed[cut],
            targets=self.targets[cut],
            weights=self.weights[cut],
        )

    def render(self, rows: Iterator[np.ndarray]) -> None:
        """Write the augmented images into the next rows, (height, width, 3) each."""
        ages = (self.recording.timestamps[self.shown] - self.first).tolist()
        for number, age in zip(self.shown.tolist(), ages, strict=True):
            picture = self.recording.pictures[number]
            if self.ground is not None:
                picture = self.ground.around(picture, number)
            next(rows)[:] = picture if self.view is None else self.view(picture, number, age)

    def backbone(self) -> np.ndarray:
        """(T, S) float32 features of the frozen backbone."""
        if self.features is not None:
            return self.features.of(self.shown)
        assert self.recording.backbone is not None
        return self.recording.backbone[self.shown]

    def phases(self) -> np.ndarray:
        """(T, 2) float32 cosine and sine of the repetition's phase; NaN where it is unknown."""
        if self.recording.phases is None:
            return np.full((len(self.shown), 2), np.nan, np.float32)
        return self.recording.phases[self.shown]

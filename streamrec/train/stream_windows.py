"""Endless streams made of recordings, and the windows of them that training reads."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from streamrec.data.clips import NO_LABEL
from streamrec.data.decode_cache import Recording
from streamrec.nn.transforms import planar
from streamrec.train.augment import BURST_SECONDS, Augmentation, Look, in_mirror, mirror
from streamrec.train.frozen_features import KeptLooks, Looked

PAUSE_SECONDS = (0.5, 4.0)  # range of how long background is played between two recordings
LEAST = 0.05  # an action is taken to be so far at its beginning, so that no frame weighs nothing
NEIGHBOURS = 4  # passes that play recordings of one group, where that is wanted


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Windows of N streams."""

    pictures: np.ndarray  # (N, T, 3, height, width) uint8 RGB
    elapsed: np.ndarray  # (N, T) float32 seconds; infinite where a stream begins
    targets: np.ndarray  # (N, T) int64
    weights: np.ndarray  # (N, T) float32: early frames of a pass count less
    phases: np.ndarray  # (N, T, 2) float32 cos, sin of the repetition's phase; NaN: unknown
    position: np.ndarray  # (N, 2) int64: where the streams stand after it
    trunk: np.ndarray | None = None  # (N, T, S) float32: what a frozen trunk says of the pictures


class StreamWindows:
    """N endless streams made of recordings, read a window at a time.

    Each stream plays recordings one after the other, each pass with its own augmentation, phase and frame
    rate. Between two, the stream begins anew, or with probability ``carry`` goes on as a hard cut. The state is
    meant to be carried from one window to the next: training then meets old states, as a camera does
    (MiniROAD, ICCV 2023: weigh the late steps).

    - ``balance``: from 0, every recording equally often, to 1, every label, however few recordings show it.
    - ``shares``: how often a label is drawn, where that is not 1 to each other's.
    - ``background``: recordings in which nothing happens; with probability ``pause`` one is played for some
      seconds between two others. They may stand among ``recordings`` too.
    - ``same_group``: probability that a pass is of the group of those before and after it, so that the same
      person, or the same camera, goes on.
    - ``ramp_seconds``: over which the weights of a pass rise to 1; they do not fall when a label changes in it.
    - ``late``: a frame weighs as much as it is far into its action, 1 at the end, to this power. One action may
      be how another begins: half-way to a star the hand has drawn a caret, and what is over then is the caret.
    - ``looks``: draws from these, with what a frozen trunk says, instead of a new look for each pass.
    - ``labels``: the names of the targets; needed where ``augmentation.mirrored`` names some.

    All chance comes from (seed, stream, pass), so ``position`` is all that is needed to go on exactly.
    """

    def __init__(
        self,
        recordings: Sequence[Recording],
        *,
        streams: int,
        window: int,
        fps: float,
        augmentation: Augmentation | None,
        labels: tuple[str, ...] = (),
        balance: float = 1.0,
        shares: Mapping[int, float] | None = None,
        carry: float = 0.25,
        background: Sequence[Recording] = (),
        pause: float = 0.25,
        same_group: float = 0.0,
        ramp_seconds: float = 1.0,
        late: float = 0.0,
        longest_seconds: float = 30.0,
        looks: KeptLooks | None = None,
        seed: int = 0,
    ) -> None:
        self.recordings = recordings
        self.window = window
        self.fps = fps
        self.augmentation = augmentation
        self.balance = balance
        self.carry = carry
        self.background = background
        self.pause = pause
        self.same_group = same_group
        self.ramp = ramp_seconds
        self.late = late
        self.longest = longest_seconds
        self.looks = looks
        self.seed = seed
        self.position = np.zeros((streams, 2), np.int64)  # passes begun, frames of the last one read
        self._all = _Shelf(recordings, shares or {})
        self._groups = _shelves(recordings, shares or {})
        self._swap = mirror(augmentation.mirrored if augmentation else (), labels)
        self._passes: dict[int, tuple[int, Pass]] = {}

    def __next__(self) -> Batch:
        rows = [self._read(stream) for stream in range(len(self.position))]
        height, width = rows[0][0].recording.pictures.shape[1:3]
        pictures = np.empty((len(rows), self.window, height, width, 3), np.uint8)
        for row, parts in zip(pictures, rows, strict=True):
            numbered = iter(row)
            for part in parts:
                part.render(numbered)
        return Batch(
            planar(pictures),
            np.stack([np.concatenate([part.elapsed for part in parts]) for parts in rows]),
            np.stack([np.concatenate([part.targets for part in parts]) for parts in rows]),
            np.stack([np.concatenate([part.weights for part in parts]) for parts in rows]),
            np.stack([np.concatenate([part.phases() for part in parts]) for parts in rows]),
            self.position.copy(),
            None
            if self.looks is None
            else np.stack([np.concatenate([part.trunk() for part in parts]) for parts in rows]),
        )

    def __iter__(self) -> Iterator[Batch]:
        return self

    def _read(self, stream: int) -> list[Pass]:
        parts: list[Pass] = []
        wanted = self.window
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

    def _pass(self, stream: int) -> Pass:
        number = int(self.position[stream, 0])
        known = self._passes.get(stream)
        if known is None or known[0] != number:
            known = (number, self._begin(stream, number))
            self._passes[stream] = known
        return known[1]

    def _begin(self, stream: int, number: int) -> Pass:
        rng = np.random.default_rng((self.seed, stream, number))
        how = self.augmentation
        longest, around = self.longest, None
        if number % 2 and self.background and rng.random() < self.pause:
            recording = self.background[int(rng.integers(len(self.background)))]
            longest = min(longest, rng.uniform(*PAUSE_SECONDS))
        else:
            recording, around = self._shelf(rng, stream, number).drawn(rng, self.balance)
        timing = Timing.drawn(rng, how, recording.timestamps, fps=self.fps, longest=longest, around=around)
        elapsed = np.diff(timing.times, prepend=timing.times[:1]).astype(np.float32)
        elapsed[0] = timing.period if number and rng.random() < self.carry else np.inf
        age = (timing.times - timing.times[0]).astype(np.float32)
        weights = np.clip((age + timing.period) / self.ramp, 0.1, 1.0) if self.ramp else np.ones_like(age)
        if self.late:
            far = progress(recording.timestamps, recording.targets)[timing.shown]
            weights *= np.maximum(far, LEAST).astype(np.float32) ** self.late
        look, ground, looked = None, None, None
        if self.looks is not None:
            looked = self.looks.drawn(rng, recording)
            look = looked.look
        elif how is not None:
            look = Look.drawn(rng, how, recording.pictures.shape[1:3])
            if self.background and rng.random() < how.mosaic:
                scene = self.background[int(rng.integers(len(self.background)))]
                ground = Ground.drawn(rng, scene.pictures, int(timing.shown[0]))
        targets = recording.targets[timing.shown]
        if look is not None and look.is_mirrored:
            targets = in_mirror(targets, self._swap)
        # A kept look has its own beginning; another one begins with the pass.
        first = float(recording.timestamps[timing.shown[0] if looked is None else 0])
        return Pass(recording, timing.shown, first, elapsed, targets, weights, look, ground, looked)

    def _shelf(self, rng: np.random.Generator, stream: int, number: int) -> _Shelf:
        if rng.random() >= self.same_group:
            return self._all
        stretch = np.random.default_rng(
            (self.seed, stream, number // NEIGHBOURS, 1)
        )  # the same for all of it
        recording, _ = self._all.drawn(stretch, self.balance)
        return self._groups.get(recording.group, self._all)


class _Shelf:
    """Recordings to draw from, evenly over labels or over recordings."""

    def __init__(self, recordings: Sequence[Recording], shares: Mapping[int, float]) -> None:
        self.recordings = recordings
        self._showing: dict[int, list[int]] = {}  # label: the recordings that have it in some frame
        for number, recording in enumerate(recordings):
            for label in set(recording.targets.tolist()) - {NO_LABEL} or {NO_LABEL}:
                self._showing.setdefault(label, []).append(number)
        self._labels = sorted(self._showing)
        odds = np.array([shares.get(label, 1.0) for label in self._labels])
        self._odds = odds / odds.sum() if (odds != 1.0).any() else None  # None: evenly

    def drawn(self, rng: np.random.Generator, balance: float) -> tuple[Recording, float | None]:
        """A recording, and a time in it at which the label was seen that it was drawn for, if it was for one."""
        if rng.random() >= balance:
            return self.recordings[int(rng.integers(len(self.recordings)))], None
        count = len(self._labels)
        label = self._labels[rng.integers(count) if self._odds is None else rng.choice(count, p=self._odds)]
        recording = self.recordings[rng.choice(self._showing[label])]
        return recording, float(rng.choice(recording.timestamps[recording.targets == label]))


def _shelves(recordings: Sequence[Recording], shares: Mapping[int, float]) -> dict[str, _Shelf]:
    """The groups of more than one recording."""
    groups: dict[str, list[Recording]] = {}
    for recording in recordings:
        groups.setdefault(recording.group, []).append(recording)
    return {name: _Shelf(group, shares) for name, group in groups.items() if len(group) > 1}


@dataclass(frozen=True, slots=True, eq=False)
class Timing:
    """Which frames of a recording a camera would have given, and when."""

    shown: np.ndarray  # (T,) numbers of the frames; a frozen one comes again
    times: np.ndarray  # (T,) seconds at which they came
    period: float  # seconds between two, as wished

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
        """Draw one of at most ``longest`` seconds of the recording, with the time ``around`` in it."""
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
    """How far into its action each frame is, (T,) from 0 to 1; an action goes on while the label is the same.

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
    """The numbers of the frames within up to BURST_SECONDS from a random one on."""
    start = float(rng.choice(times))
    return np.flatnonzero((times >= start) & (times < start + rng.uniform(0.1, BURST_SECONDS)))


def _steady(times: np.ndarray, rate: float) -> float:
    """The rate nearest to ``rate`` at which every n-th frame comes: what a pacer makes of a steady camera."""
    if len(times) < 2:
        return rate
    own = (len(times) - 1) / max(float(times[-1] - times[0]), 1e-6)
    return own / max(1, round(own / rate))


def _due_frames(
    times: np.ndarray, rate: float, longest: float, around: float | None, rng: np.random.Generator
) -> np.ndarray:
    """The frames that a camera of ``rate`` would give, from a random phase, for at most ``longest`` seconds."""
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
    """A background recording, in a part of whose pictures another recording is shown."""

    pictures: np.ndarray  # (T, height, width, 3) uint8
    corner: tuple[int, int]  # left, top
    size: tuple[int, int]  # width, height
    first: int  # number of the shown recording's frame that falls on the first picture

    @classmethod
    def drawn(cls, rng: np.random.Generator, pictures: np.ndarray, first: int) -> Ground:
        """Draw a place of 0.4 to 0.8 of the sides."""
        height, width = pictures.shape[1:3]
        scale = rng.uniform(0.4, 0.8)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        corner = int(rng.integers(width - size[0] + 1)), int(rng.integers(height - size[1] + 1))
        return cls(pictures, corner, size, first)

    def around(self, picture: np.ndarray, number: int) -> np.ndarray:
        """(H, W, 3) -> the same shape, with the picture in its place; the background swings to and fro."""
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
    shown: np.ndarray  # (T,) numbers of its frames
    first: float  # timestamp from which its look counts
    elapsed: np.ndarray  # (T,) float32 seconds
    targets: np.ndarray  # (T,)
    weights: np.ndarray  # (T,) float32
    look: Look | None
    ground: Ground | None
    looked: Looked | None = None

    def part(self, start: int, end: int) -> Pass:
        """Frames ``start`` to ``end`` of it."""
        cut = slice(start, end)
        return Pass(
            self.recording,
            self.shown[cut],
            self.first,
            self.elapsed[cut],
            self.targets[cut],
            self.weights[cut],
            self.look,
            self.ground,
            self.looked,
        )

    def render(self, rows: Iterator[np.ndarray]) -> None:
        """Write the pictures, augmented, into the next rows, (height, width, 3) each."""
        ages = (self.recording.timestamps[self.shown] - self.first).tolist()
        for number, age in zip(self.shown.tolist(), ages, strict=True):
            picture = self.recording.pictures[number]
            if self.ground is not None:
                picture = self.ground.around(picture, number)
            next(rows)[:] = picture if self.look is None else self.look(picture, number, age)

    def trunk(self) -> np.ndarray:
        """(T, S) float32."""
        assert self.looked is not None
        return self.looked.of(self.shown)

    def phases(self) -> np.ndarray:
        """(T, 2) float32."""
        if self.recording.phases is None:
            return np.full((len(self.shown), 2), np.nan, np.float32)
        return self.recording.phases[self.shown]

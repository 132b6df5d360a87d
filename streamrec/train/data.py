"""Clips and streams to learn from, decoded once; and the windows of endless streams that training reads."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from streamrec.errors import DataError, StreamrecError
from streamrec.sources import VIDEO_ENDINGS, FileSource
from streamrec.transforms import Transform, planar
from streamrec.types import Source

BACKGROUND = frozenset({"background", "idle", "neutral", "no_action", "none", "normal", "other"})
NO_LABEL = -100  # a frame without truth: cross-entropy leaves it out


@dataclass(frozen=True, slots=True)
class Clip:
    """A video file with one label. ``group`` is what must not stand on both sides of a split."""

    path: Path
    label: str
    group: str


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """A decoded clip or stream, small as the model sees it."""

    pictures: np.ndarray  # (T, height, width, 3) uint8 BGR
    timestamps: np.ndarray  # (T,) float64 seconds
    targets: np.ndarray  # (T,) int64 index of the label; NO_LABEL where there is none
    group: str

    @property
    def target(self) -> int:
        """The label that most frames have."""
        known = self.targets[self.targets != NO_LABEL]
        return int(np.bincount(known).argmax()) if len(known) else NO_LABEL


def find_clips(data: str | Path) -> list[Clip]:
    """The clips of a data set: a CSV file with columns clip,label[,group], a folder that holds such an
    ``index.csv``, or a folder with one folder of videos a label. Raises ``DataError`` in words.
    """
    path = Path(data).expanduser()
    if not path.exists():
        raise DataError(f"there is no data at {path}: give a folder with one folder a label, or a CSV file")
    if path.is_dir() and (path / "index.csv").is_file():
        path = path / "index.csv"
    clips = _clips_of_csv(path) if path.is_file() else _clips_of_folder(path)
    labels = {clip.label for clip in clips}
    if len(labels) < 2:
        raise DataError(
            f"{path} holds {len(clips)} clips of {len(labels)} labels; at least 2 labels are needed"
        )
    return clips


def _clips_of_folder(folder: Path) -> list[Clip]:
    clips = [
        Clip(path, label.name, f"{label.name}/{path.name}")
        for label in sorted(folder.iterdir())
        if label.is_dir()
        for path in sorted(label.rglob("*"))
        if path.suffix.lower() in VIDEO_ENDINGS
    ]
    if not clips:
        raise DataError(
            f"{folder} holds no clips: make one folder a label in it, with videos ({' '.join(VIDEO_ENDINGS)})"
        )
    return clips


def _clips_of_csv(path: Path) -> list[Clip]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns, rows = set(reader.fieldnames or ()), list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is not a CSV file with columns clip,label,group: {error}") from error
    if not {"clip", "label"} <= columns:
        raise DataError(f"{path} needs a first line that names the columns: clip,label and, if known, group")
    clips = []
    for line, row in enumerate(rows, start=2):
        if not row["clip"] or not row["label"]:
            raise DataError(f"{path}, line {line}: clip and label are both needed")
        clips.append(Clip(path.parent / row["clip"], row["label"], row.get("group") or row["clip"]))
    return clips


def split_by_group(
    clips: list[Clip], *, fold: int, folds: int, seed: int = 0
) -> tuple[list[Clip], list[Clip]]:
    """Split into training and held-out clips; the same group is never on both sides.

    Groups go, the largest first, to the fold that has the fewest clips of their labels, of those to the one
    that has the fewest clips, so that folds are alike in size and labels.
    """
    groups: dict[str, list[Clip]] = {}
    for clip in clips:
        groups.setdefault(clip.group, []).append(clip)
    order = np.random.default_rng(seed).permutation(sorted(groups))
    counts: list[dict[str, int]] = [{} for _ in range(folds)]
    fold_of = {}
    for group in sorted(order, key=lambda g: -len(groups[g])):
        here = [clip.label for clip in groups[group]]
        fold_of[group] = min(
            range(folds),
            key=lambda f: (sum(counts[f].get(n, 0) for n in here), sum(counts[f].values()), f),
        )
        for label in here:
            counts[fold_of[group]][label] = counts[fold_of[group]].get(label, 0) + 1
    return [c for c in clips if fold_of[c.group] != fold], [c for c in clips if fold_of[c.group] == fold]


def held_out(clips: list[Clip], *, part: float, seed: int = 0) -> tuple[list[Clip], list[Clip]]:
    """Keep back about ``part`` of the clips in whole groups: (to learn from, to measure on)."""
    if part <= 0.0:
        return clips, []
    kept, back = split_by_group(clips, fold=0, folds=max(2, round(1.0 / part)), seed=seed)
    if not kept or not back:
        raise DataError("all clips are of one group, so none can be held out; give --hold-out 0")
    lost = sorted({clip.label for clip in clips} - {clip.label for clip in kept})
    if lost:
        raise DataError(
            f"all clips of {', '.join(lost)} would be held out, so that nothing is left to learn it from; "
            "give clips of more groups, or --hold-out 0"
        )
    return kept, back


def decode(
    source: Source, transform: Transform, labels: tuple[str, ...], label: str | None, group: str
) -> Recording:
    """Read a source whole, at the model's size. The truth is ``label``, or each frame's own where that is None."""
    pictures, timestamps, targets = [], [], []
    for frame in source:
        pictures.append(transform.resize(frame.image))
        timestamps.append(frame.timestamp)
        truth = frame.truth if label is None else label
        targets.append(labels.index(truth) if truth in labels else NO_LABEL)
    return Recording(np.stack(pictures), np.array(timestamps), np.array(targets, np.int64), group)


def decode_clips(
    clips: Iterable[Clip], transform: Transform, labels: tuple[str, ...]
) -> Iterator[tuple[Clip, Recording | StreamrecError]]:
    """Decode clips one by one; a clip that cannot be read gives its error instead, so that the rest goes on."""
    for clip in clips:
        try:
            yield clip, decode(FileSource(clip.path), transform, labels, clip.label, clip.group)
        except StreamrecError as error:
            yield clip, error


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How recordings are varied; the same for all frames of one pass, so that motion stays motion."""

    flip: bool = True  # left and right mean the same
    zoom: float = 0.2  # part of the picture's size
    shift: float = 0.1
    rotation: float = 5.0  # degrees
    light: float = 0.25  # brightness and contrast
    colour: float = 0.1  # gain a channel
    noise: float = 6.0  # standard deviation, of 255
    tempo: float = 0.15  # of the speed at which the clip is played
    rhythm: tuple[float, float] = (0.6, 1.2)  # range of the frame rate, in units of the model's
    drop: float = 0.1  # of the frames


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Windows of N streams."""

    pictures: np.ndarray  # (N, T, 3, height, width) uint8 RGB
    elapsed: np.ndarray  # (N, T) float32 seconds; infinite where a stream begins
    targets: np.ndarray  # (N, T) int64
    weights: np.ndarray  # (N, T) float32: early frames of a stream count less
    position: np.ndarray  # (N, 2) int64: where the streams stand after it


class StreamWindows:
    """N endless streams made of recordings, read a window at a time.

    Each stream plays recordings one after the other, chosen so that labels are balanced, each pass with its own
    augmentation, phase and frame rate. Between two, the stream begins anew, or with probability
    ``carry`` goes on as a hard cut. The state is meant to be carried from one window to the next: training
    then meets old states, as a camera does (MiniROAD, ICCV 2023: weigh the late steps).

    All chance comes from (seed, stream, pass), so ``position`` is all that is needed to go on exactly.
    """

    def __init__(
        self,
        recordings: list[Recording],
        *,
        streams: int,
        window: int,
        fps: float,
        augmentation: Augmentation | None,
        carry: float = 0.25,
        ramp_seconds: float = 1.0,
        longest_seconds: float = 30.0,
        seed: int = 0,
    ) -> None:
        self.recordings = recordings
        self.window = window
        self.fps = fps
        self.augmentation = augmentation
        self.carry = carry
        self.ramp = ramp_seconds
        self.longest = longest_seconds
        self.seed = seed
        self.position = np.zeros(
            (streams, 2), np.int64
        )  # of each stream: passes begun, frames of the last one read
        self._by_target: dict[int, list[int]] = {}
        for i, recording in enumerate(recordings):
            self._by_target.setdefault(recording.target, []).append(i)
        self._passes: dict[int, tuple[int, Pass]] = {}

    def __next__(self) -> Batch:
        rows = [self._read(stream) for stream in range(len(self.position))]
        pictures, elapsed, targets, weights = (np.stack(part) for part in zip(*rows, strict=True))
        return Batch(planar(pictures), elapsed, targets, weights, self.position.copy())

    def __iter__(self) -> Iterator[Batch]:
        return self

    def _read(self, stream: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
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
        pictures = [augment for part in parts for augment in part.render()]
        return (
            np.stack(pictures),
            np.concatenate([part.elapsed for part in parts]),
            np.concatenate([part.targets for part in parts]),
            np.concatenate([part.weights for part in parts]),
        )

    def _pass(self, stream: int) -> Pass:
        number = int(self.position[stream, 0])
        known = self._passes.get(stream)
        if known is None or known[0] != number:
            known = (number, self._begin(stream, number))
            self._passes[stream] = known
        return known[1]

    def _begin(self, stream: int, number: int) -> Pass:
        rng = np.random.default_rng((self.seed, stream, number))
        target = sorted(self._by_target)[rng.integers(len(self._by_target))]
        recording = self.recordings[rng.choice(self._by_target[target])]
        how = self.augmentation
        tempo = math.exp(rng.uniform(-1, 1) * math.log1p(how.tempo)) if how else 1.0
        rate = self.fps * (math.exp(rng.uniform(*np.log(how.rhythm))) if how else 1.0)
        if rng.random() < 0.5:
            rate = _steady(recording.timestamps / tempo, rate)
        chosen = _chosen_frames(recording.timestamps / tempo, rate, self.longest, rng)
        if how and how.drop and len(chosen) > 4:
            kept = rng.random(len(chosen)) >= rng.uniform(0, 2 * how.drop)
            chosen = chosen[kept] if kept.any() else chosen[:1]
        times = recording.timestamps[chosen] / tempo
        elapsed = np.diff(times, prepend=times[:1]).astype(np.float32)
        elapsed[0] = 1.0 / rate if number and rng.random() < self.carry else np.inf
        age = (times - times[0]).astype(np.float32)
        weights = np.clip((age + 1.0 / rate) / self.ramp, 0.1, 1.0) if self.ramp else np.ones_like(age)
        look = Look.drawn(rng, how, recording.pictures.shape[1:3]) if how else None
        return Pass(recording, chosen, elapsed, recording.targets[chosen], weights, look)


def _steady(times: np.ndarray, rate: float) -> float:
    """The rate nearest to ``rate`` at which every n-th frame comes: what a pacer makes of a steady camera."""
    if len(times) < 2:
        return rate
    own = (len(times) - 1) / max(float(times[-1] - times[0]), 1e-6)
    return own / max(1, round(own / rate))


def _chosen_frames(times: np.ndarray, rate: float, longest: float, rng: np.random.Generator) -> np.ndarray:
    """The frames that a camera of ``rate`` would give, from a random phase, for at most ``longest`` seconds."""
    first, last = float(times[0]), float(times[-1])
    start = first + rng.uniform(0, 1.0 / rate)
    if last - first > longest:
        start = rng.uniform(first, last - longest)
        last = start + longest
    wanted = np.arange(start, last + 1e-6, 1.0 / rate) + 1e-6
    if len(wanted) < 2:
        return np.arange(len(times))
    return np.unique(np.clip(np.searchsorted(times, wanted, side="right") - 1, 0, len(times) - 1))


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """One drawn augmentation of the look: geometry, light, colour, noise."""

    matrix: np.ndarray  # (2, 3)
    table: np.ndarray  # (256, 1, 3) uint8: new value of each old one, a channel
    noise: np.ndarray | None  # (height, width, 3) int16, twice as large: a random part is added to each frame

    @classmethod
    def drawn(cls, rng: np.random.Generator, how: Augmentation, size: tuple[int, int]) -> Look:
        """Draw one for pictures of (height, width)."""
        height, width = size
        zoom = 1.0 + rng.uniform(-how.zoom / 2, how.zoom)
        angle = rng.normal() * how.rotation / 2
        matrix = np.asarray(cv2.getRotationMatrix2D((width / 2, height / 2), angle, zoom), np.float64)
        matrix[0, :2] *= math.exp(rng.uniform(-how.zoom, how.zoom) / 2)
        matrix[0, 2] = width / 2 - matrix[0, :2] @ (width / 2, height / 2)
        matrix[:, 2] += rng.uniform(-how.shift, how.shift, 2) * (width, height)
        if how.flip and rng.random() < 0.5:
            matrix[0] = -matrix[0]
            matrix[0, 2] += width - 1
        gamma = math.exp(rng.uniform(-how.light, how.light))
        gain = math.exp(rng.uniform(-how.light, how.light)) * np.exp(rng.uniform(-how.colour, how.colour, 3))
        shift = rng.uniform(-how.light, how.light) * 60
        values = 255 * (np.arange(256)[:, None] / 255) ** gamma
        table = np.clip((values - 128) * gain + 128 + shift, 0, 255).astype(np.uint8)[:, None, :]
        noise = None
        strength = how.noise * rng.random() ** 2
        if strength > 0.5:
            noise = (rng.standard_normal((2 * height, 2 * width, 3), np.float32) * strength).astype(np.int16)
        return cls(matrix, np.ascontiguousarray(table), noise)

    def __call__(self, picture: np.ndarray, number: int) -> np.ndarray:
        """(H, W, 3) uint8 -> the same shape; ``number`` picks the noise."""
        height, width = picture.shape[:2]
        moved = cv2.warpAffine(picture, self.matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
        lit = cv2.LUT(moved, self.table)
        if self.noise is None:
            return lit
        top, left = number * 37 % height, number * 61 % width
        return cv2.add(lit, self.noise[top : top + height, left : left + width], dtype=cv2.CV_8U)


@dataclass(frozen=True, slots=True, eq=False)
class Pass:
    """One playing of one recording in one stream."""

    recording: Recording
    chosen: np.ndarray  # (T,) indices of its frames
    elapsed: np.ndarray  # (T,) seconds
    targets: np.ndarray  # (T,)
    weights: np.ndarray  # (T,)
    look: Look | None

    def part(self, start: int, end: int) -> Pass:
        """Frames ``start`` to ``end`` of it."""
        cut = slice(start, end)
        return Pass(
            self.recording,
            self.chosen[cut],
            self.elapsed[cut],
            self.targets[cut],
            self.weights[cut],
            self.look,
        )

    def render(self) -> Iterator[np.ndarray]:
        """The pictures, augmented, (height, width, 3) each."""
        for index in self.chosen:
            picture = self.recording.pictures[index]
            yield picture if self.look is None else self.look(picture, int(index))

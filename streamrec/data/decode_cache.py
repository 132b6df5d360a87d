"""Clips and streams decoded at a model's input size, with a cache on disk that decodes each clip once."""

from __future__ import annotations

import contextlib
import math
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

import numpy as np

from streamrec.core.files import make_private_folder
from streamrec.data.clips import BACKGROUND, NO_LABEL, Clip
from streamrec.data.file_senses import sense_of
from streamrec.data.phase import phase_targets
from streamrec.data.sounds import hops_of, is_audible
from streamrec.data.tables import rows_of
from streamrec.errors import DataError, StreamrecError
from streamrec.nn.signals import SignalTransform
from streamrec.nn.sound import SoundTransform
from streamrec.nn.transforms import InputTransform, Transform
from streamrec.sources.files import FileSource
from streamrec.sources.health import amiss
from streamrec.sources.sampling import is_due
from streamrec.types import SIGNAL, SOUND, VIDEO, Frame, Source

MAPPED_BYTES = 8 << 20  # from which on frames stay on disk: each mapped file holds one of few file handles
EDITION = 2  # of the entries: to be raised when Transform.resize or the reader of files gives other frames
_ENTRY = re.compile(r"[0-9a-f]{40}(\.part-\w+)?")  # nothing else in the folder is ever touched


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """A decoded clip or stream."""

    # (T, height, width, 3) uint8 BGR; read-only where it is mapped from a file. Of a signal (T, C) float32 readings, at
    # the times at which they came; of sound (T, S) float32 samples, a hop a row.
    pictures: np.ndarray
    timestamps: np.ndarray  # (T,) float64 seconds
    targets: np.ndarray  # (T,) int64 index of the label; NO_LABEL where there is none
    group: str
    phases: np.ndarray | None = None  # (T, 2) float32 cos, sin of the repetition's phase; NaN: unknown
    amiss: str | None = None  # message about a file that is cut off or damaged
    # (T, S) float32 features of the backbone, of a recording that has no pictures: their height and width are 0.
    backbone: np.ndarray | None = None
    rate: int = 0  # of sound: samples a second

    @property
    def is_signal(self) -> bool:
        """Whether it is of readings or of sound, and not of pictures."""
        return self.pictures.ndim == 2

    @property
    def target(self) -> int:
        """The label that most frames have."""
        known = self.targets[self.targets != NO_LABEL]
        return int(np.bincount(known).argmax()) if len(known) else NO_LABEL


def decode(
    source: Source,
    transform: Transform,
    labels: tuple[str, ...],
    label: str | None,
    group: str,
    *,
    max_fps: float = 30.0,
) -> Recording:
    """Read a source whole, at the model's size and at most ``max_fps`` frames a second.

    The truth is ``label``, or each frame's own where that is None.
    """
    frames = [(transform.resize(f.image), f.timestamp, f.truth) for f in _thinned(source, max_fps)]
    pictures, timestamps, truths = zip(*frames, strict=True)
    named = [truth if label is None else label for truth in truths]
    return Recording(np.stack(pictures), np.array(timestamps), _indices(named, labels), group)


def decode_clips(
    clips: Iterable[Clip],
    transform: InputTransform,
    labels: tuple[str, ...],
    *,
    cache: ClipCache | None = None,
    max_fps: float = 30.0,
) -> Iterator[tuple[Clip, Recording | StreamrecError]]:
    """Decode clips one by one; a clip that cannot be read gives its error instead, so that the rest goes on.

    ``cache``: where decoded clips are stored; None decodes each time.
    """
    for clip in clips:
        try:
            _check_sense(clip, transform)
            if isinstance(transform, SignalTransform):
                pictures, timestamps, why = rows_of(clip.path, transform.channels)
            elif isinstance(transform, SoundTransform):
                pictures, timestamps, why = hops_of(clip.path, transform)
            elif not isinstance(transform, Transform):
                raise DataError(f"{clip.path.name}: there is no reader for {transform.described}")
            elif cache is None:
                source = FileSource(clip.path)
                pictures, timestamps = _held(_small(source, transform, max_fps))
                why = amiss(source)
            else:
                pictures, timestamps, why = cache.read(clip.path, transform, max_fps=max_fps)
            found = _recorded(clip, pictures, timestamps, labels, why)
            if isinstance(transform, SoundTransform):
                found = replace(found, rate=transform.rate)
                found = found if clip.label is None else _heard(found, labels, 1.0 / transform.fps)
            yield clip, found
        except StreamrecError as error:
            yield clip, error


def _check_sense(clip: Clip, transform: InputTransform) -> None:
    """Raise ``DataError`` for a clip that the model cannot take."""
    sense = sense_of(clip.path)
    if sense != transform.sense and (sense, transform.sense) != (
        VIDEO,
        SOUND,
    ):  # a video may have a sound track
        what = {SIGNAL: "a table of readings", SOUND: "sound", VIDEO: "video"}[sense]
        raise DataError(f"{clip.path.name} is {what}, and the model takes {transform.described}")


def _heard(recording: Recording, labels: tuple[str, ...], step: float) -> Recording:
    """The same recording of one sound, with the background for its label, or none, where nothing is audible."""
    nothing = next((number for number, label in enumerate(labels) if label in BACKGROUND), NO_LABEL)
    return replace(
        recording, targets=np.where(is_audible(recording.pictures, step), recording.targets, nothing)
    )


def _thinned(source: Source, max_fps: float) -> Iterator[Frame]:
    last = -math.inf
    for frame in source:
        if is_due(frame.timestamp, last, max_fps):
            last = frame.timestamp
            yield frame


def _small(source: Source, transform: Transform, max_fps: float) -> Iterator[tuple[np.ndarray, float]]:
    return ((transform.resize(frame.image), frame.timestamp) for frame in _thinned(source, max_fps))


def _indices(names: Iterable[str | None], labels: tuple[str, ...]) -> np.ndarray:
    index = {name: number for number, name in enumerate(labels)}
    return np.array([NO_LABEL if name is None else index.get(name, NO_LABEL) for name in names], np.int64)


def _recorded(
    clip: Clip, pictures: np.ndarray, timestamps: np.ndarray, labels: tuple[str, ...], why: str | None
) -> Recording:
    targets = _indices((clip.label_at(float(timestamp)) for timestamp in timestamps), labels)
    phases = None if clip.repetitions is None else phase_targets(timestamps, clip.repetitions)
    return Recording(pictures, timestamps, targets, clip.group, phases, why)


class ClipCache:
    """Decoded clips in a folder, so that each is decoded once.

    A clip is known by its path, size and time of change, together with the size of the frames and ``max_fps``:
    a changed file is decoded again, and so is a damaged entry. Entries are whole or not there, so several
    trainings may share a folder. Beyond ``max_bytes`` those that were not used for longest go. Where the
    folder cannot be written, clips are decoded each time.

    ``folder``: None is ``streamrec/clips`` in the user's cache folder (XDG_CACHE_HOME, or ~/.cache).
    """

    def __init__(self, folder: str | Path | None = None, *, max_bytes: int = 4 << 30) -> None:
        self.folder = _own_folder() if folder is None else Path(folder).expanduser()
        self.max_bytes = max_bytes

    def pictures_of(
        self, path: Path, transform: Transform, *, max_fps: float = 30.0
    ) -> tuple[np.ndarray, np.ndarray]:
        """A video file's frames (T, height, width, 3) uint8 BGR and timestamps (T,) in seconds.

        Raises ``SourceError`` for a file that cannot be read.
        """
        pictures, timestamps, _ = self.read(path, transform, max_fps=max_fps)
        return pictures, timestamps

    def read(
        self, path: Path, transform: Transform, *, max_fps: float = 30.0
    ) -> tuple[np.ndarray, np.ndarray, str | None]:
        """``pictures_of``, with a message where the file is cut off or damaged, else None."""
        source = FileSource(path)  # raises a clear error for a bad file
        entry = self.folder / _key(path, transform, max_fps)
        found = _read(entry)
        if found is None:
            try:
                self._add(entry, _small(source, transform, max_fps), source)
                found = _read(entry)
                self._make_room()
            except OSError:  # it cannot be written, or the disk is full
                found = None
        if found is None:
            found = _held(_small(source, transform, max_fps))
            return *found, amiss(source)
        return *found, _amiss_of(entry)

    def features_of(self, key: str, compute: Callable[[], np.ndarray]) -> np.ndarray:
        """(K, S) features, computed once and stored under a key of 40 hexadecimal digits."""
        entry = self.folder / key
        with contextlib.suppress(OSError, ValueError, EOFError):
            found = np.load(entry / "features.npy", allow_pickle=False)
            os.utime(entry)  # used now
            return np.asarray(found)
        features = compute()
        with contextlib.suppress(OSError):  # it cannot be written: they are computed each time
            self._put(entry, lambda folder: np.save(folder / "features.npy", features))
            self._make_room()
        return features

    def _add(
        self, entry: Path, frames: Iterator[tuple[np.ndarray, float]], source: Source | None = None
    ) -> None:
        def write(folder: Path) -> None:
            _write(folder, frames)
            if source is not None and (why := amiss(source)) is not None:
                (folder / "amiss.txt").write_text(why, encoding="utf-8")

        self._put(entry, write)

    def _put(self, entry: Path, write: Callable[[Path], None]) -> None:
        """Make an entry, whole or not at all."""
        make_private_folder(self.folder)
        unfinished = Path(tempfile.mkdtemp(prefix=f"{entry.name}.part-", dir=self.folder))
        try:
            write(unfinished)
            shutil.rmtree(entry, ignore_errors=True)  # what is there is damaged
            with contextlib.suppress(FileExistsError):  # another process was first, with the same
                unfinished.rename(entry)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)

    def _make_room(self) -> None:
        entries = []
        for entry in self.folder.iterdir():
            if _ENTRY.fullmatch(entry.name):
                try:
                    size = sum(file.stat().st_size for file in entry.iterdir())
                    entries.append((entry.stat().st_mtime_ns, size, entry))
                except OSError:  # another process removed it just now
                    continue
        total = sum(size for _, size, _ in entries)
        for _, size, entry in sorted(entries):
            if total <= self.max_bytes:
                return
            shutil.rmtree(entry, ignore_errors=True)
            total -= size


def _own_folder() -> Path:
    caches = os.environ.get("XDG_CACHE_HOME")
    return (Path(caches) if caches else Path.home() / ".cache") / "streamrec" / "clips"


def _key(path: Path, transform: Transform, max_fps: float) -> str:
    facts = path.stat()
    parts = (str(path.resolve()), facts.st_size, facts.st_mtime_ns)
    shape = (transform.width, transform.height, transform.fit, max_fps, EDITION)
    return sha256(repr(parts + shape).encode()).hexdigest()[:40]


def _read(entry: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """The frames and timestamps of an entry; None where it is not there or is damaged."""
    path = entry / "pictures.npy"
    try:
        is_large = path.stat().st_size >= MAPPED_BYTES
        pictures = np.asarray(np.load(path, mmap_mode="r" if is_large else None, allow_pickle=False))
        timestamps = np.load(entry / "timestamps.npy", allow_pickle=False)
        os.utime(entry)  # used now
    except (OSError, ValueError, EOFError):
        return None
    whole = (
        (pictures.dtype, timestamps.dtype) == (np.uint8, np.float64)
        and pictures.ndim == 4
        and timestamps.shape == pictures.shape[:1]
        and len(timestamps) > 0
    )
    return (pictures, timestamps) if whole else None


def _amiss_of(entry: Path) -> str | None:
    try:
        return (entry / "amiss.txt").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _write(folder: Path, frames: Iterable[tuple[np.ndarray, float]]) -> None:
    """Write frame by frame: a long video need not fit in memory."""
    timestamps: list[float] = []
    with (folder / "pictures.npy").open("wb") as file:
        for picture, timestamp in frames:
            if not timestamps:
                _write_header(file, 0, picture.shape)
            file.write(picture.tobytes())
            timestamps.append(timestamp)
        file.seek(0)
        _write_header(file, len(timestamps), picture.shape)
    np.save(folder / "timestamps.npy", np.array(timestamps, np.float64))


def _write_header(file: BinaryIO, count: int, shape: tuple[int, ...]) -> None:
    # numpy leaves room in it for a growing first axis, so it is as long for any count
    np.lib.format.write_array_header_1_0(
        file, {"descr": "|u1", "fortran_order": False, "shape": (count, *shape)}
    )


def _held(frames: Iterable[tuple[np.ndarray, float]]) -> tuple[np.ndarray, np.ndarray]:
    pictures, timestamps = zip(*frames, strict=True)
    return np.stack(pictures), np.array(timestamps, np.float64)

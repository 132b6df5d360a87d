"""Videos and recordings that several tests of training need, and their windows."""

from __future__ import annotations

from itertools import islice, pairwise
from pathlib import Path

import cv2
import numpy as np

from streamrec.data.decode_cache import Recording
from streamrec.train.augment import Augmentation
from streamrec.train.stream_windows import Batch, StreamWindows, WindowSettings

STILL = Augmentation(
    flip=False,
    zoom=0,
    shift=0,
    rotation=0,
    light=0,
    colour=0,
    gray=0,
    blur=0,
    noise=0,
    blocks=0,
    shake=0,
    occlusion=0,
    cutout=0,
    mosaic=0,
    tempo=0,
    rhythm=(1.0, 1.0),
    drop=0,
    burst=0,
    freeze=0,
)
SEQUENCES = ("pictures", "elapsed", "targets", "weights", "phases")  # of a batch


def write_video(path: Path, *, frames: int = 12, fps: float = 10.0) -> Path:
    """Pictures whose brightness is their number, ten apart."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, (48, 32))
    for number in range(frames):
        writer.write(np.full((32, 48, 3), 10 * number % 250, np.uint8))
    writer.release()
    return path


def recorded(
    target: int, *, frames: int = 40, fps: float = 20.0, value: int | None = None, group: str | None = None
) -> Recording:
    """A recording whose pictures are all of one brightness, or of their number where none is given."""
    shades = [value if value is not None else n for n in range(frames)]
    pictures = np.stack([np.full((8, 12, 3), shade, np.uint8) for shade in shades])
    return Recording(
        pictures, np.arange(frames) / fps, np.full(frames, target, np.int64), group or f"{target}"
    )


def windows_of(recordings: list[Recording], **changes) -> StreamWindows:
    data = {name: changes.pop(name) for name in ("background", "features") if name in changes}
    settings = {"streams": 3, "window": 16, "fps": 10.0, "augmentation": None, "seed": 4}
    return StreamWindows(recordings, WindowSettings(**(settings | changes)), **data)


def joined(windows: StreamWindows, batches: int) -> Batch:
    """Several windows as one long one."""
    parts = list(islice(windows, batches))
    whole = {name: np.concatenate([getattr(p, name) for p in parts], 1) for name in SEQUENCES}
    return Batch(**whole, position=parts[-1].position)


def same(one: Batch, other: Batch) -> bool:
    pairs = [(getattr(one, name), getattr(other, name)) for name in (*SEQUENCES, "position")]
    return all(np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in pairs)


def passes_of(batch: Batch, stream: int = 0) -> list[slice]:
    """The stretches between two beginnings."""
    begins = np.flatnonzero(np.isinf(batch.elapsed[stream]))
    return [slice(a, b) for a, b in pairwise([*begins, batch.elapsed.shape[1]])]


def one_pass_each(recording: Recording, augmentation: Augmentation, count: int = 24) -> list[np.ndarray]:
    """The pictures (T, 3, H, W) of passes of one recording, each with the look that was drawn for it."""
    batch = joined(windows_of([recording], augmentation=augmentation, carry=0.0, streams=1), count)
    return [batch.pictures[0, part].astype(int) for part in passes_of(batch)[:-1]]


def scene(height: int = 24, width: int = 32) -> Recording:
    """Nothing moves: bright on the left, coloured blocks."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[:, : width // 3] = 220
    picture[height // 2 :, width // 2 :] = (40, 90, 160)
    return Recording(np.stack([picture] * 20), np.arange(20) / 10, np.zeros(20, np.int64), "scene")

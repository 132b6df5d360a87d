"""What a model knows by sight, from the recordings that it learned from, as they are played."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from streamrec.core.reading import path_of
from streamrec.core.text import printable
from streamrec.data.clips import Clip, find_clips, find_footage
from streamrec.data.decode_cache import ClipCache, Recording, decode_clips
from streamrec.nn.config import ModelConfig
from streamrec.nn.ood import EACH, KnownPictures, appearance_of
from streamrec.nn.transforms import planar
from streamrec.sources.files import VIDEO_ENDINGS
from streamrec.sources.sampling import due_frames


def known_of(recordings: Iterable[Recording], fps: float) -> KnownPictures:
    """Fit to frames that come in the rhythm; the border is found by groups that were left out."""
    recordings = list(recordings)
    return KnownPictures.of([_looks(each, fps) for each in recordings], [each.group for each in recordings])


def recordings_of(places: Sequence[str], config: ModelConfig) -> tuple[list[Recording], list[str]]:
    """Clips as for training, or bare videos and folders of them, as the model sees them; then what is unreadable."""
    clips: list[Clip] = []
    for place in places:
        path = path_of(str(place))
        videos = [file for file in (path, *path.glob("*")) if file.suffix.lower() in VIDEO_ENDINGS]
        bare = videos and not (path / "index.csv").exists()
        clips += find_footage([path]) if bare else find_clips(path, least=1)
    found = list(decode_clips(clips, config.transform, config.labels, cache=ClipCache()))
    good = [recording for _, recording in found if isinstance(recording, Recording)]
    left = [str(error) for _, error in found if not isinstance(error, Recording)]
    parts = [f"{clip.path} in part: {r.amiss}" for clip, r in found if isinstance(r, Recording) and r.amiss]
    return good, [printable(line) for line in left + parts]


def unknown_part(known: KnownPictures, recordings: Iterable[Recording], fps: float) -> float:
    """Which part of the recordings' frames is unknown; each recording weighs the same."""
    parts = [float((known.distances(_looks(each, fps)) > 1.0).mean()) for each in recordings]
    return sum(parts) / len(parts)


def _looks(recording: Recording, fps: float) -> np.ndarray:
    """(T, NUMBERS) of at most EACH frames, evenly spread."""
    frames = due_frames(recording.timestamps.tolist(), fps)
    chosen = np.linspace(0, len(frames) - 1, min(len(frames), EACH)).round().astype(int)
    return appearance_of(planar(recording.pictures[np.array(frames)[chosen]]))

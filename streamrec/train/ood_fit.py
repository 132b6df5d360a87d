"""Fitting the out-of-distribution score to recordings: which frames a model knows, and which are unknown to it."""

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
from streamrec.types import VIDEO


def known_of(recordings: Iterable[Recording], fps: float) -> KnownPictures:
    """Fit to frames at the sampling rate ``fps``; groups that were left out decide the border to unknown."""
    recordings = list(recordings)
    return KnownPictures.of(
        [_appearances(each, fps) for each in recordings], [each.group for each in recordings]
    )


def recordings_of(places: Sequence[str], config: ModelConfig) -> tuple[list[Recording], list[str]]:
    """Recordings of clips as for training, or of bare videos and folders of them; and what is unreadable, as text."""
    clips: list[Clip] = []
    for place in places:
        path = path_of(str(place))
        videos = [file for file in (path, *path.glob("*")) if file.suffix.lower() in VIDEO_ENDINGS]
        bare = videos and not (path / "index.csv").exists()
        clips += find_footage([path], sense=VIDEO) if bare else find_clips(path, least=1)
    found = list(decode_clips(clips, config.transform, config.labels, cache=ClipCache()))
    good = [recording for _, recording in found if isinstance(recording, Recording)]
    left = [str(error) for _, error in found if not isinstance(error, Recording)]
    parts = [f"{clip.path} in part: {r.amiss}" for clip, r in found if isinstance(r, Recording) and r.amiss]
    return good, [printable(line) for line in left + parts]


def unknown_part(known: KnownPictures, recordings: Iterable[Recording], fps: float) -> float:
    """Part of the frames that is out of distribution, 0 to 1; each recording weighs the same."""
    parts = [float((known.distances(_appearances(each, fps)) > 1.0).mean()) for each in recordings]
    return sum(parts) / len(parts)


def _appearances(recording: Recording, fps: float) -> np.ndarray:
    """(K, NUMBERS) appearance of at most EACH frames, evenly spread."""
    frames = due_frames(recording.timestamps.tolist(), fps)
    chosen = np.linspace(0, len(frames) - 1, min(len(frames), EACH)).round().astype(int)
    return appearance_of(planar(recording.pictures[np.array(frames)[chosen]]))

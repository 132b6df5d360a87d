"""Of which sense a file is, by its name, and which of a data set's files a model takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from streamrec.core.text import printable
from streamrec.sources.files import VIDEO_ENDINGS
from streamrec.sources.sound_files import is_sound_file
from streamrec.sources.tables import is_table
from streamrec.types import SIGNAL, SOUND, VIDEO

_TAKEN = {VIDEO: (VIDEO,), SOUND: (VIDEO, SOUND), SIGNAL: (SIGNAL,)}  # a video may have a sound track


class _Filed(Protocol):
    @property
    def path(self) -> Path:
        """Of its file."""


_T = TypeVar("_T", bound=_Filed)


def sense_of(path: Path) -> str:
    """Of a file, by its name.

    >>> sense_of(Path("a.wav")), sense_of(Path("a.csv")), sense_of(Path("a.mp4"))
    ('sound', 'signal', 'video')
    """
    return SIGNAL if is_table(path) else SOUND if is_sound_file(path) else VIDEO


def of_sense(clips: list[_T], sense: str | None, log: Callable[[str], None]) -> list[_T]:
    """Those that a model of this sense takes; all of them, which are refused one by one, where it takes none."""
    if sense is None:
        count = Counter(sense_of(clip.path) for clip in clips)
        sense = max((VIDEO, SOUND, SIGNAL), key=lambda one: count[one])  # of as many, video
    kept = [clip for clip in clips if sense_of(clip.path) in _TAKEN[sense]]
    if not kept or len(kept) == len(clips):
        return clips
    left = next(clip for clip in clips if sense_of(clip.path) not in _TAKEN[sense])
    log(
        f"{len(clips) - len(kept)} of {len(clips)} files, like {printable(str(left.path))}, are no {sense}, "
        "and are passed over"
    )
    return kept


def takes(sense: str, file: Path) -> bool:
    """Whether a file in a folder is called like one that a model of this sense takes."""
    known = is_table(file) or is_sound_file(file) or file.suffix.lower() in VIDEO_ENDINGS
    return known and sense_of(file) in _TAKEN[sense]

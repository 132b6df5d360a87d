"""The files of continuous recording: their names, which of them are ours, and which one holds a moment.

``FOLDER/door-2534e2de/20261130T013000.250Z-door.mp4``: a folder for each camera, with a hash of its name, because the
name itself may be any text; and files named by the moment in UTC when they begin.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from streamrec.core.files import PRIVATE_FILE, make_private_folder
from streamrec.core.text import slug

_FILE = re.compile(r"(\d{8}T\d{6}\.\d{3})Z-\w{1,40}\.mp4")
_CAMERA = re.compile(r"\w{1,40}-[0-9a-f]{8}")
_FORM = "%Y%m%dT%H%M%S.%f"
_LATE = 3.0  # seconds for which a file may be written after its last frame


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """One file. Two compare by the moment when they begin."""

    started: float  # seconds since 1970
    path: Path
    size: int  # bytes
    written: float  # when it was written last, seconds since 1970

    @property
    def camera(self) -> str:
        """The name of its camera's folder."""
        return self.path.parent.name


@dataclass(frozen=True, slots=True)
class Found:
    """The segments around a moment."""

    segment: Segment | None  # the one that holds it
    at: float  # seconds into it
    before: Segment | None
    after: Segment | None


def folder_of(camera: str) -> str:
    """The name of a camera's folder, which no other camera has, and which leads nowhere else.

    >>> folder_of("door"), folder_of("../../etc")
    ('door-2534e2de', 'etc-74ccf3c5')
    """
    return f"{slug(camera)}-{hashlib.sha256(camera.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def name_of(started: float, camera: str) -> str:
    """The name of a file, in milliseconds of UTC.

    >>> name_of(0.25, "Hof, hinten")
    '19700101T000000.250Z-Hof_hinten.mp4'
    """
    moment = datetime.fromtimestamp(round(started * 1000) / 1000, UTC)
    return f"{moment.strftime(_FORM)[:-3]}Z-{slug(camera)}.mp4"


def started_of(name: str) -> float | None:
    """The moment in a file's name, seconds since 1970; None: it is no file of ours.

    >>> started_of("19700101T000000.250Z-door.mp4"), started_of("holiday.mp4")
    (0.25, None)
    """
    found = _FILE.fullmatch(name)
    if found is None:
        return None
    with contextlib.suppress(ValueError):  # a 13th month
        return datetime.strptime(found[1], _FORM).replace(tzinfo=UTC).timestamp()
    return None


def create(folder: Path, camera: str, started: float) -> tuple[Path, int]:
    """A new file for a segment that begins now, and its descriptor; raises ``OSError``.

    Nothing that exists is written to, and no link is followed in the camera's folder. Where the clock was set back
    and the name is taken, the next free millisecond is used.
    """
    make_private_folder(folder)
    inner = folder / folder_of(camera)
    if inner.is_symlink():
        raise NotADirectoryError(20, "its folder is a link", str(inner))
    make_private_folder(inner)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    flags |= getattr(os, "O_NOFOLLOW", 0)
    for later in range(10_000):
        path = inner / name_of(started + later / 1000, camera)
        with contextlib.suppress(FileExistsError):
            return path, os.open(path, flags, PRIVATE_FILE)
    raise FileExistsError(17, "there are too many files of this moment", str(inner))


def segments(folder: Path, camera: str | None = None) -> list[Segment]:
    """Our own files, the oldest first; of one camera or of all. Other files, and links, are left out."""
    return sorted(_segments(folder, None if camera is None else folder_of(camera)))


def _segments(folder: Path, only: str | None) -> Iterator[Segment]:
    try:
        inner = [entry for entry in os.scandir(folder) if only is None or entry.name == only]
    except OSError:  # it is not there yet, or not any more
        return
    for one in inner:
        if not _CAMERA.fullmatch(one.name) or not one.is_dir(follow_symlinks=False):
            continue
        with contextlib.suppress(OSError), os.scandir(one.path) as entries:
            for entry in entries:
                started = started_of(entry.name)
                if started is None or not entry.is_file(follow_symlinks=False):
                    continue
                with contextlib.suppress(FileNotFoundError):
                    found = entry.stat(follow_symlinks=False)
                    yield Segment(started, Path(entry.path), found.st_size, found.st_mtime)


def around(folder: Path, camera: str, moment: float) -> Found:
    """The segment of a camera that holds a moment (seconds since 1970), the one before and the one after."""
    before: Segment | None = None
    holds: Segment | None = None
    for one in segments(folder, camera):
        if one.started > moment:
            return Found(holds, 0.0 if holds is None else moment - holds.started, before, one)
        if holds is not None:
            before = holds
        holds = None
        if moment <= one.written + _LATE:
            holds = one
        else:
            before = one
    return Found(holds, 0.0 if holds is None else moment - holds.started, before, None)

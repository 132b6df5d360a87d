"""Video files and folders of images as sources."""

from __future__ import annotations

import re
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path

import streamrec.sources.health as report
from streamrec.core.image import as_bgr
from streamrec.core.text import printable
from streamrec.errors import SourceError
from streamrec.sources.decoding import opened_video
from streamrec.sources.file_bytes import UnreadableError, VideoBytes
from streamrec.sources.image_files import read_picture
from streamrec.sources.media_file import MediaFile
from streamrec.types import Frame, Source, SourceState

PICTURE_ENDINGS = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")


TOGETHER = 8  # small frames of a file are read in runs: decoder and engine return to warm caches


VIDEO_ENDINGS = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ts", ".webm", ".wmv")


class FileSource(Source):
    """A video file, on disk, in a pipe or behind an HTTP address. Timestamps are its own media time.

    ``loop`` plays it for ever, a new segment each time. ``size``: width and height where the frames are only for a
    model of that input size; larger ones are decoded straight to it. ``pipes``: a pipe may be read, and waited for;
    in a data set it is refused.

    Where a part was cut off or lost, ``health.reason`` names it when the file has ended (``health.amiss``).
    """

    live = False

    def __init__(
        self,
        path: str | Path,
        *,
        loop: bool = False,
        size: tuple[int, int] | None = None,
        pipes: bool = False,
    ) -> None:
        self.loop = loop
        self.size = size
        self.together = 1 if size is None else TOGETHER
        self._file = MediaFile(path, pipes=pipes)
        self.name, self.secrets = self._file.name, self._file.secrets

    @property
    def duration(self) -> float | None:  # type: ignore[override]
        """Seconds by the file's header; None when it has none, is looped, or cannot be read twice."""
        return None if self.loop else self._file.seconds(_length_of)

    def interrupt(self) -> None:
        """End a wait for a pipe or for a server."""
        self._file.interrupt()

    def __iter__(self) -> Iterator[Frame]:
        self._file.left = False
        return report.with_health(self, self._frames())

    def _frames(self) -> Generator[Frame, None, str | None]:
        index = segment = 0
        while True:
            first = index
            index, amiss = yield from self._play(index, segment)
            if not self.loop or self._file.left:
                return report.LEFT if self._file.left else amiss
            if index == first:
                raise SourceError(f"{self.name} holds no pictures")
            segment += 1

    def _play(self, index: int, segment: int) -> Generator[Frame, None, tuple[int, str | None]]:
        """The frames; returns the next index, and what was cut off or lost (None: nothing)."""
        first = index
        try:
            with (
                self._file.reading() as data,
                opened_video(data) as video,
                closing(video.pictures(self.size)) as pictures,
            ):
                if video.note is not None and segment == 0:
                    report.set_state(self, SourceState.connecting, video.note)
                for image, timestamp in pictures:
                    yield Frame(image, index, timestamp, segment, self.name, time.monotonic())
                    index += 1
        except UnreadableError as error:
            if self._file.left and index == first:
                return index, None
            raise SourceError(f"{self.name} is not a video that can be read: {error}") from error
        if index == first and not self._file.left:
            raise SourceError(
                f"{self.name} holds no picture that can be read: {video.amiss or 'is it cut off, or sound only?'}"
            )
        return index, video.amiss


def _length_of(data: VideoBytes) -> float | None:
    with opened_video(data) as video:
        return video.duration


class ImageFolderSource(Source):
    """The images of a folder in the order of their names (2 before 10), ``fps`` a second."""

    live = False

    def __init__(self, path: str | Path, *, fps: float = 25.0) -> None:
        self.path = Path(path)
        self.name = printable(self.path.name)
        self.fps = fps
        self.pictures = sorted(
            (p for p in self.path.iterdir() if p.suffix.lower() in PICTURE_ENDINGS), key=_natural
        )
        if not self.pictures:
            raise SourceError(
                f"the folder {printable(str(self.path))} holds no pictures ({', '.join(PICTURE_ENDINGS)})"
            )
        self.duration = len(self.pictures) / fps

    def __iter__(self) -> Iterator[Frame]:
        return report.with_health(self, self._frames())

    def _frames(self) -> Generator[Frame, None, None]:
        for index, path in enumerate(self.pictures):
            image = read_picture(path)
            yield Frame(as_bgr(image), index, index / self.fps, 0, self.name, time.monotonic())


def _natural(path: Path) -> list[tuple[int, int | str]]:
    return [(0, int(t)) if t.isdecimal() else (1, t) for t in re.split(r"(\d+)", path.name.lower()) if t]

"""Sound files, and the sound track of video files."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import av

import streamrec.sources.health as report
from streamrec.errors import SourceError
from streamrec.sources.decoding import moving_stream, opened_media
from streamrec.sources.file_bytes import UnreadableError, VideoBytes
from streamrec.sources.file_length import missing_bytes
from streamrec.sources.media_file import MediaFile
from streamrec.sources.sound_blocks import Blocks, sound_stream
from streamrec.types import SOUND, Frame, Source

SOUND_ENDINGS = (
    ".aac", ".aif", ".aiff", ".flac", ".m4a", ".mka", ".mp3", ".oga", ".ogg", ".opus", ".wav", ".weba", ".wma",
)  # fmt: skip
NO_TRACK = "it has no sound: give a file with a sound track, or the video to a model of video"


class SoundFileSource(Source):
    """A sound file, or the sound track of a video file; on disk, in a pipe or behind an HTTP address.

    Timestamps are media time, of a video file on the clock of its pictures. Several channels are mixed into one.
    """

    sense = SOUND
    live = False

    def __init__(self, path: str | Path) -> None:
        self._file = MediaFile(path, pipes=True)
        self.name, self.secrets = self._file.name, self._file.secrets

    @property
    def duration(self) -> float | None:  # type: ignore[override]
        """Seconds by the file's header; None when it has none, or cannot be read twice."""
        return self._file.seconds(_length_of)

    def interrupt(self) -> None:
        """End a wait for a pipe or for a server."""
        self._file.interrupt()

    def __iter__(self) -> Iterator[Frame]:
        self._file.left = False
        return report.with_health(self, self._frames())

    def _frames(self) -> Generator[Frame, None, str | None]:
        index = 0
        try:
            with self._file.reading() as data, opened_media(data) as container:
                stream = sound_stream(container)
                if stream is None:
                    raise UnreadableError(NO_TRACK)
                blocks = Blocks(container, stream)
                self.rate = blocks.rate
                zero = _start_of(moving_stream(container) or stream)
                for samples, seconds in blocks.read():
                    yield Frame(samples, index, seconds - zero, 0, self.name, time.monotonic())
                    index += 1
                if data.error is not None:
                    raise data.error
                amiss = _what_is_amiss(data, blocks.errors)
        except UnreadableError as error:
            if self._file.left and not index:
                return report.LEFT
            raise SourceError(f"the sound of {self.name} cannot be read: {error}") from error
        if self._file.left:
            return report.LEFT
        if not index:
            raise SourceError(f"{self.name} holds no sound that can be read: {amiss or 'it is empty'}")
        return amiss


def is_sound_file(path: str | Path) -> bool:
    """Whether a file is called like one of sound.

    >>> is_sound_file("glass.WAV"), is_sound_file("party.mp4")
    (True, False)
    """
    return str(path).lower().endswith(SOUND_ENDINGS)


def _length_of(data: VideoBytes) -> float | None:
    with opened_media(data) as container:
        return float(container.duration / av.time_base) if container.duration else None


def _start_of(stream: Any) -> float:
    return float((stream.start_time or 0) * stream.time_base) if stream.time_base else 0.0


def _what_is_amiss(data: VideoBytes, errors: int) -> str | None:
    if data.lost:
        return f"{data.lost}: {data.tell()} bytes came"
    if (missing := missing_bytes(data)) > 0:
        return f"it is cut off: {missing} bytes are missing at its end"
    if errors:
        return f"it is damaged: {errors} {'block' if errors == 1 else 'blocks'} of sound could not be decoded"
    return None

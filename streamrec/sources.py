"""Where frames come from: webcam, RTSP or HTTP address, video file, folder of pictures, any iterable."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np

from streamrec import health as report
from streamrec.cameras import RETRIES, NetworkSource, WebcamSource
from streamrec.closing import unpicklable
from streamrec.core.address import quoted
from streamrec.core.reading import path_of, shortened, why
from streamrec.core.redact import redact_address, secrets_of
from streamrec.core.text import printable
from streamrec.decoding import opened_video
from streamrec.errors import PictureError, SettingsError, SourceError
from streamrec.filebytes import STDIN, Recording, RemoteFile, UnreadableError, open_file
from streamrec.picturefiles import read_picture
from streamrec.pictures import as_bgr
from streamrec.types import Frame, Health, Source, SourceState

PICTURE_ENDINGS = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
_DIGITS = 20  # of a number that somebody typed: more are refused like these
# Of addresses: what FFmpeg reads live, and no way to anything else.
SCHEMES = frozenset(
    ("rtsp", "rtsps", "rtspt", "rtspu", "rtmp", "rtmps", "rtmpt", "rtmpe", "http", "https", "srt", "udp", "tcp", "rtp",
     "rist", "mms", "mmsh", "mmst")
)  # fmt: skip
TOGETHER = 8  # small pictures of a file are read in runs: decoder and engine come back to warm caches
VIDEO_ENDINGS = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ts", ".webm", ".wmv")


class FileSource(Source):
    """A video file, on disk, in a pipe or behind an HTTP address. Timestamps are its own media time.

    ``loop`` plays it for ever, a new segment each time. ``size``, a width and a height: nobody looks at the
    pictures but a model that wants them so, and they are decoded straight to it where they are larger.
    ``pipes``: a pipe may be read, and waited for; of a data set it is refused.

    Where something of it was cut off or lost, ``health.reason`` says so when it has ended (``health.amiss``).
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
        self._pipes = pipes
        self._data: Recording | None = None  # while it is read
        self._left = False
        self._address = str(path) if "://" in str(path) else ""
        if self._address:
            self.name = redact_address(self._address)
            self.secrets = secrets_of(self._address)
            self._address = quoted(self._address)
            return
        self._path = Path(path)
        self.name = printable("standard input" if str(path) in STDIN else self._path.name)
        if str(path) in STDIN:
            return
        if not self._path.exists():
            hint = "; an address begins with rtsp:// or http://" if "@" in str(path) else ""
            raise SourceError(f"there is no file {printable(redact_address(str(path)))}{hint}")
        self._path = self._path.absolute()
        if self._path.is_file() and self._path.stat().st_size == 0:
            raise SourceError(f"{printable(str(path))} is empty: 0 bytes")

    @property
    def duration(self) -> float | None:  # type: ignore[override]
        """Seconds, as the file's header tells; None when it does not tell, is looped, or cannot be read twice."""
        if self.loop or self._address or not self._path.is_file():
            return None
        try:
            with closing(open_file(self._path, pipes=False)) as data, opened_video(data) as video:
                return video.duration
        except SourceError:
            return None

    def interrupt(self) -> None:
        """End a wait for a pipe or for a server."""
        self._left = True
        if (data := self._data) is not None:
            data.interrupt()

    def __iter__(self) -> Iterator[Frame]:
        self._left = False
        return report.told(self, self._frames())

    def _frames(self) -> Generator[Frame, None, str | None]:
        index = segment = 0
        while True:
            first = index
            index, amiss = yield from self._play(index, segment)
            if not self.loop or self._left:
                return report.LEFT if self._left else amiss
            if index == first:
                raise SourceError(f"{self.name} holds no pictures")
            segment += 1

    def _play(self, index: int, segment: int) -> Generator[Frame, None, tuple[int, str | None]]:
        """Its frames; returns the next index, and what is amiss with the file where something is."""
        first = index
        try:
            self._data = data = RemoteFile(self._address) if self._address else self._opened()
            if self._left:
                data.interrupt()
            with closing(data), opened_video(data) as video, closing(video.pictures(self.size)) as pictures:
                if video.note is not None and segment == 0:
                    report.tell(self, SourceState.connecting, video.note)
                for image, timestamp in pictures:
                    yield Frame(image, index, timestamp, segment, self.name, time.monotonic())
                    index += 1
        except UnreadableError as error:
            if self._left and index == first:
                return index, None
            raise SourceError(f"{self.name} is not a video that can be read: {error}") from error
        finally:
            self._data = None
        if index == first and not self._left:
            raise SourceError(
                f"{self.name} holds no picture that can be read: {video.amiss or 'is it cut off, or sound only?'}"
            )
        return index, video.amiss

    def _opened(self) -> Recording:
        return open_file(self._path, pipes=self._pipes)


class ImageFolderSource(Source):
    """The pictures of a folder in the order of their names (2 before 10), ``fps`` a second."""

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
        return report.told(self, self._frames())

    def _frames(self) -> Generator[Frame, None, None]:
        for index, path in enumerate(self.pictures):
            image = read_picture(path)
            yield Frame(as_bgr(image), index, index / self.fps, 0, self.name, time.monotonic())


class IterableSource(Source):
    """Pictures that the caller hands over: any iterable of arrays, as ``as_bgr`` takes them, or of Frames.

    Arrays are taken to be ``fps`` a second. Frames are passed on as they are.

    >>> grey = [np.full((48, 64), n, np.uint8) for n in range(3)]
    >>> [(frame.index, frame.timestamp) for frame in IterableSource(grey, fps=10.0)]
    [(0, 0.0), (1, 0.1), (2, 0.2)]
    """

    def __init__(
        self, pictures: Iterable[Any], *, fps: float = 30.0, name: str = "pictures", live: bool = False
    ) -> None:
        self.pictures = pictures
        self.fps = fps
        self.name = name
        self.live = live

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pictures that come once only, as from a generator, are not pickled."""
        return unpicklable(self) if isinstance(self.pictures, Iterator) else super().__reduce_ex__(protocol)

    def __iter__(self) -> Iterator[Frame]:
        return report.told(self, self._frames())

    def _frames(self) -> Generator[Frame, None, None]:
        for index, picture in enumerate(self.pictures):
            if isinstance(picture, Frame):
                yield picture
                continue
            try:
                image = as_bgr(picture)
            except PictureError as error:
                raise PictureError(f"picture {index} of {self.name}: {error}") from error
            yield Frame(image, index, index / self.fps, 0, self.name, time.monotonic())


class Wrapper(Source):
    """Another source, its frames changed on the way; what is asked or told of it is the other's."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.name = source.name
        self._live: bool | None = None
        self.duration = source.duration
        self.together = source.together

    @property
    def live(self) -> bool:
        """Whether the other source is, which may turn out later; or what was set."""
        return self.source.live if self._live is None else self._live

    @live.setter
    def live(self, live: bool) -> None:
        self._live = live

    @property
    def health(self) -> Health:  # type: ignore[override]
        """That of the other source."""
        return self.source.health

    @property
    def on_health(self) -> Callable[[Health], None] | None:
        """That of the other source."""
        return self.source.on_health

    @on_health.setter
    def on_health(self, listener: Callable[[Health], None] | None) -> None:
        self.source.on_health = listener

    def settle(self) -> None:
        """Pass it on."""
        self.source.settle()

    def interrupt(self) -> None:
        """Pass it on."""
        self.source.interrupt()


class Region(Wrapper):
    """A part of another source's pictures; ``whole`` is the newest picture as it came.

    ``region``: left, top, width and height, as parts of the picture. Nothing is copied.

    >>> picture = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    >>> [frame.image.shape for frame in Region(IterableSource([picture]), (0.5, 0.0, 0.5, 0.75))]
    [(3, 2, 3)]
    """

    def __init__(self, source: Source, region: tuple[float, float, float, float]) -> None:
        super().__init__(source)
        self.region = region
        self.whole: np.ndarray | None = None  # (H, W, 3)

    def __iter__(self) -> Iterator[Frame]:
        # The source is told now that it is read: an interrupt may come before the first frame is asked for.
        return self._cut(iter(self.source))

    def _cut(self, frames: Iterator[Frame]) -> Generator[Frame, None, None]:
        left, top, width, height = self.region
        with closing(frames) if isinstance(frames, Generator) else nullcontext():
            for frame in frames:
                self.whole = image = frame.image
                high, wide = image.shape[:2]
                y, x = min(round(top * high), high - 1), min(round(left * wide), wide - 1)
                part = image[
                    y : max(y + 1, round((top + height) * high)), x : max(x + 1, round((left + width) * wide))
                ]
                yield replace(frame, image=part)


class RealTime(Wrapper):
    """Another source at its own speed: each frame waits for its time. For watching a file in a window."""

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self.together = 1  # each is due at its own time
        self._left = threading.Event()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_left": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _left=threading.Event())

    def interrupt(self) -> None:
        """End the wait for the next frame's time, and pass it on."""
        self._left.set()
        super().interrupt()

    def __iter__(self) -> Iterator[Frame]:
        self._left.clear()
        offset, segment = None, None
        for frame in self.source:
            now = time.monotonic()
            if offset is None or frame.segment != segment:
                offset, segment = now - frame.timestamp, frame.segment
            if self._left.wait(max(0.0, min(frame.timestamp + offset - now, 10.0))):
                return
            yield replace(frame, captured=time.monotonic())


class Limited(Wrapper):
    """Another source that ends after so many seconds of its own clock.

    A live one ends after so many seconds of ours as well, for it may have stalled.
    """

    def __init__(self, source: Source, seconds: float) -> None:
        super().__init__(source)
        self.seconds = seconds
        self.duration = seconds if source.duration is None else min(seconds, source.duration)

    def __iter__(self) -> Iterator[Frame]:
        passed, last = 0.0, None
        alarm: threading.Timer | None = None
        try:
            for frame in self.source:
                if last is not None and last.timestamp < frame.timestamp:
                    passed += frame.timestamp - last.timestamp
                if passed >= self.seconds - 1e-9:
                    return
                if self.live and alarm is None:
                    alarm = threading.Timer(self.seconds + 1.0, self.source.interrupt)
                    alarm.daemon = True
                    alarm.start()
                last = frame
                yield frame
        finally:
            if alarm is not None:
                alarm.cancel()


def open_source(what: Any, *, retries: int | None = RETRIES, size: tuple[int, int] | None = None) -> Source:
    """Tell what kind of source is meant, and return it; nothing is read before it is iterated.

    A number or ``/dev/video0`` is a webcam; ``rtsp://``, ``http://`` and the like an address; a path is a video
    file, a picture, a pipe (``-`` is standard input) or a folder of pictures; ``"synthetic"`` the synthetic world
    (``"synthetic:7"`` with seed 7); any other iterable gives pictures. ``retries``: how often a lost camera is
    opened in a row before it is given up; None: for ever. ``size``: nobody looks at the pictures but a model
    that wants them so wide and high: larger ones of a file are decoded straight to it (``Transform.straight``).
    Raises ``SourceError`` for anything else.

    >>> open_source("0")
    <WebcamSource webcam 0>
    >>> open_source("rtsp://me:secret@10.0.0.7/live")
    <NetworkSource rtsp://***@10.0.0.7/live>
    """
    if isinstance(what, Source):
        return what
    if isinstance(what, bool) or what is None:
        raise SourceError(f"{what} is no source; pass a webcam number, a path, an address or pictures")
    if isinstance(what, int):
        if what < 0:
            raise SourceError(f"there is no webcam {what}: the first is 0")
        return WebcamSource(what, retries=retries)
    if isinstance(what, Path):
        return _from_path(what, retries, size)
    if isinstance(what, str):
        return _from_text(what, retries, size)
    if isinstance(what, np.ndarray) and (what.ndim < 3 or (what.ndim == 3 and what.shape[2] in (1, 3, 4))):
        raise SourceError(f"an array of shape {what.shape} is one picture; pass an iterable of pictures")
    if isinstance(what, Iterable) and not isinstance(what, bytes | bytearray | type):
        return IterableSource(what)
    raise SourceError(
        f"{type(what).__name__} is no source; pass a webcam number, a path, an address or an iterable of pictures"
    )


def file_of(what: Any) -> Path | None:
    """The file or folder that ``open_source`` would read; None where it is none: a camera, an address.

    >>> file_of("file:///films/party.mp4"), file_of("rtsp://10.0.0.7/live"), file_of("0")
    (PosixPath('/films/party.mp4'), None, None)
    """
    if isinstance(what, Path):
        return what
    if not isinstance(what, str) or re.fullmatch(r"\s*\d*\s*|synthetic(:.*)?", what):
        return None
    if what.startswith("file://"):
        return Path(what.removeprefix("file://"))
    return None if "://" in what else Path(what)


def _from_text(text: str, retries: int | None, size: tuple[int, int] | None) -> Source:
    if not text.strip():
        raise SourceError("no source was named; pass a webcam number, a path or an address")
    if re.fullmatch(r"\d+", text.strip()):
        return WebcamSource(int(text.strip()[:_DIGITS]), retries=retries)
    if text == "synthetic" or text.startswith("synthetic:"):
        return _synthetic(text)
    if text.startswith("file://"):
        path = Path(text.removeprefix("file://"))
        return _from_path(path if path.exists() else Path(unquote(str(path))), retries, size)
    if "://" in text:
        scheme = text.partition("://")[0].lower()
        if scheme not in SCHEMES or not text.partition("://")[2].strip("/"):
            raise SourceError(
                f"{redact_address(text)} cannot be watched: give an address that begins with rtsp://, rtsps://, "
                "rtmp://, http://, https://, srt:// or udp:// and names a host"
            )
        if scheme in ("http", "https"):
            # A camera, unless its server shows that it is a file.
            film = partial(FileSource, text, size=size)
            return NetworkSource(text, retries=retries, film=film, ask=_ends_as_video(text))
        return NetworkSource(text, retries=retries)
    if text.startswith("/dev/video"):
        return WebcamSource(text, retries=retries)
    try:
        return _from_path(path_of(text), retries, size)
    except SettingsError as error:  # it can be no path
        raise SourceError(str(error)) from error
    except OSError as error:  # a name that is too long, or a folder that may not be looked into
        raise SourceError(f"{shortened(text)} cannot be opened: {why(error)}") from error


def _ends_as_video(address: str) -> bool:
    return re.split(r"[?#]", address, maxsplit=1)[0].lower().endswith(VIDEO_ENDINGS)


def _from_path(path: Path, retries: int | None, size: tuple[int, int] | None) -> Source:
    if path.is_dir():
        return ImageFolderSource(path)
    if path.is_char_device() and str(path) not in STDIN:
        return WebcamSource(str(path), retries=retries)  # a device file by another name
    return FileSource(path, size=size, pipes=True)


def _synthetic(text: str) -> Source:
    from streamrec.synthetic import World, WorldSettings

    seed = text.partition(":")[2] or "0"
    if not seed.isdecimal() or len(seed) >= _DIGITS:
        raise SourceError(
            f"{text!r}: the synthetic world is 'synthetic' or 'synthetic:SEED', SEED a whole number"
        )
    return World(WorldSettings(seed=int(seed), width=640, height=480))


def _natural(path: Path) -> list[tuple[int, int | str]]:
    return [(0, int(t)) if t.isdecimal() else (1, t) for t in re.split(r"(\d+)", path.name.lower()) if t]

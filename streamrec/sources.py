"""Where frames come from: webcam, RTSP or HTTP address, video file, folder of pictures, any iterable."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from streamrec import health as report
from streamrec.cameras import RETRIES, NetworkSource, WebcamSource
from streamrec.closing import unpicklable
from streamrec.core.redact import redact_address
from streamrec.errors import PictureError, SourceError
from streamrec.pictures import as_bgr
from streamrec.types import Frame, Health, Source
from streamrec.videos import DecodeError, opened, shrunk, why_closed

PICTURE_ENDINGS = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
# Of addresses: what FFmpeg reads live, and no way to anything else.
SCHEMES = frozenset(
    ("rtsp", "rtsps", "rtspt", "rtspu", "rtmp", "rtmps", "rtmpt", "rtmpe", "http", "https", "srt", "udp", "tcp", "rtp",
     "rist", "mms", "mmsh", "mmst")
)  # fmt: skip
TOGETHER = 8  # small pictures of a file are read in runs: decoder and engine come back to warm caches
WHOLE = 0.9  # of the pictures that a header promises: some headers only estimate
VIDEO_ENDINGS = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ts", ".webm", ".wmv")


class FileSource(Source):
    """A video file, on disk or behind an HTTP address. Timestamps are its own media time.

    ``loop`` plays it for ever, a new segment each time. ``size``, a width and a height: nobody looks at the
    pictures but a model that wants them so, and they are decoded straight to it where they are larger.
    """

    live = False

    def __init__(self, path: str | Path, *, loop: bool = False, size: tuple[int, int] | None = None) -> None:
        self._address = str(path)
        self.name = redact_address(self._address) if "://" in self._address else Path(path).name
        self.loop = loop
        self.size = size
        self.together = 1 if size is None else TOGETHER
        if "://" in self._address:
            return
        self._address = str(Path(path).absolute())  # FFmpeg takes the "12:" of "12:30.mp4" for a protocol
        if not Path(path).exists():
            hint = "; an address begins with rtsp:// or http://" if "@" in str(path) else ""
            raise SourceError(f"there is no file {redact_address(str(path))}{hint}")
        if Path(path).stat().st_size == 0:
            raise SourceError(f"{path} is empty: 0 bytes")

    @property
    def duration(self) -> float | None:  # type: ignore[override]
        """Seconds, as the file's header tells; None when it does not tell, or the file is looped."""
        if self.loop:
            return None
        with opened(self._address) as video:
            if video is None:
                return None
            rate, count = video.get(cv2.CAP_PROP_FPS), video.get(cv2.CAP_PROP_FRAME_COUNT)
            return count / rate if rate > 0 and count > 0 else None

    def __iter__(self) -> Iterator[Frame]:
        return report.told(self, self._frames())

    def _frames(self) -> Generator[Frame, None, str | None]:
        index = segment = 0
        while True:
            first = index
            index, short = yield from self._play(index, segment)
            if not self.loop:
                return short
            if index == first:
                raise SourceError(f"{self.name} holds no pictures")
            segment += 1

    def _play(self, index: int, segment: int) -> Generator[Frame, None, tuple[int, str | None]]:
        """Its frames; returns the next index, and what is amiss with the file where something is."""
        with opened(self._address) as video:
            if video is None:
                raise SourceError(f"{self.name} is not a video that can be read: {why_closed(self._address)}")
            rate = video.get(cv2.CAP_PROP_FPS)
            step = 1.0 / rate if 0.0 < rate < 1000.0 else 1.0 / 30.0
            turned = video.get(cv2.CAP_PROP_ORIENTATION_META) != 0.0  # only OpenCV turns the pictures
            pictures = _whole(video) if self.size is None or turned else shrunk(self._address, self.size)
            first, before = index, -step
            with closing(pictures), suppress(DecodeError):  # damaged from here on
                for image, timestamp in pictures:
                    if timestamp is None or not timestamp > before:  # containers without say 0 for ever
                        timestamp = before + step
                    before = timestamp
                    yield Frame(as_bgr(image), index, timestamp, segment, self.name, time.monotonic())
                    index += 1
            if index == first:
                raise SourceError(
                    f"{self.name} holds no picture that can be read: is it cut off, or sound only?"
                )
            promised, came = int(video.get(cv2.CAP_PROP_FRAME_COUNT)), index - first
            if came < WHOLE * promised:
                return index, f"it is cut off or damaged: {came} of its {promised} pictures came"
            return index, None


def _whole(video: cv2.VideoCapture) -> Generator[tuple[np.ndarray, float | None], None, None]:
    """Pictures as they are, and their times in seconds."""
    while True:
        ok, image = video.read()
        if not ok:
            return
        yield image, video.get(cv2.CAP_PROP_POS_MSEC) / 1000.0


class ImageFolderSource(Source):
    """The pictures of a folder in the order of their names (2 before 10), ``fps`` a second."""

    live = False

    def __init__(self, path: str | Path, *, fps: float = 25.0) -> None:
        self.path = Path(path)
        self.name = self.path.name
        self.fps = fps
        self.pictures = sorted(
            (p for p in self.path.iterdir() if p.suffix.lower() in PICTURE_ENDINGS), key=_natural
        )
        if not self.pictures:
            raise SourceError(f"the folder {self.path} holds no pictures ({', '.join(PICTURE_ENDINGS)})")
        self.duration = len(self.pictures) / fps

    def __iter__(self) -> Iterator[Frame]:
        return report.told(self, self._frames())

    def _frames(self) -> Generator[Frame, None, None]:
        for index, path in enumerate(self.pictures):
            # Not cv2.imread: it cannot open paths with other than ASCII letters on every system.
            try:
                data = np.fromfile(path, np.uint8)
            except OSError as error:
                raise SourceError(
                    f"{path} is not a picture that can be read: {(error.strerror or str(error)).lower()}"
                ) from error
            image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
            if image is None:
                raise SourceError(f"{path} is not a picture that can be read; remove it or mend it")
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
        self.live = source.live
        self.duration = source.duration
        self.together = source.together

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
    file, a picture or a folder of pictures; ``"synthetic"`` the synthetic world (``"synthetic:7"`` with seed 7);
    any other iterable gives pictures. ``retries``: how often a lost camera is opened in a row before it is
    given up; None: for ever. ``size``: nobody looks at the pictures but a model that wants them so wide and
    high: larger ones of a file are decoded straight to it (``Transform.straight``).
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


def _from_text(text: str, retries: int | None, size: tuple[int, int] | None) -> Source:
    if not text.strip():
        raise SourceError("no source was named; pass a webcam number, a path or an address")
    if re.fullmatch(r"\d+", text.strip()):
        return WebcamSource(int(text), retries=retries)
    if text == "synthetic" or text.startswith("synthetic:"):
        return _synthetic(text)
    if text.startswith("file://"):
        return _from_path(Path(text.removeprefix("file://")), retries, size)
    if "://" in text:
        path = text.split("?", 1)[0].lower()
        if path.startswith("http") and path.endswith(VIDEO_ENDINGS):
            return FileSource(text, size=size)
        scheme = text.partition("://")[0].lower()
        if scheme not in SCHEMES or not text.partition("://")[2].strip("/"):
            raise SourceError(
                f"{redact_address(text)} cannot be watched: give an address that begins with rtsp://, rtsps://, "
                "rtmp://, http://, https://, srt:// or udp:// and names a host"
            )
        return NetworkSource(text, retries=retries)
    if text.startswith("/dev/video"):
        return WebcamSource(text, retries=retries)
    return _from_path(Path(text).expanduser(), retries, size)


def _from_path(path: Path, retries: int | None, size: tuple[int, int] | None) -> Source:
    if path.is_dir():
        return ImageFolderSource(path)
    if path.is_char_device():
        return WebcamSource(str(path), retries=retries)  # a device file by another name
    return FileSource(path, size=size)


def _synthetic(text: str) -> Source:
    from streamrec.synthetic import World, WorldSettings

    seed = text.partition(":")[2] or "0"
    if not seed.isdecimal():
        raise SourceError(
            f"{text!r}: the synthetic world is 'synthetic' or 'synthetic:SEED', SEED a whole number"
        )
    return World(WorldSettings(seed=int(seed), width=640, height=480))


def _natural(path: Path) -> list[tuple[int, int | str]]:
    return [(0, int(t)) if t.isdecimal() else (1, t) for t in re.split(r"(\d+)", path.name.lower()) if t]

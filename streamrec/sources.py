"""Where frames come from: webcam, RTSP or HTTP address, video file, folder of pictures, any iterable."""

from __future__ import annotations

import contextlib
import math
import re
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from streamrec.errors import PictureError, SourceError, without_password
from streamrec.pictures import as_bgr
from streamrec.types import Frame, Source

PICTURE_ENDINGS = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
VIDEO_ENDINGS = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ts", ".webm", ".wmv")
OPEN_SECONDS = 5.0  # deadline for opening an address
READ_SECONDS = (
    2.5  # deadline for the next frame of an address; FFmpeg needs two of them to see that it is dead
)


class WebcamSource(Source):
    """A camera of this computer, by its number or its device file (``/dev/video0``).

    Timestamps are seconds since the camera was opened.
    """

    live = True

    def __init__(self, device: int | str = 0) -> None:
        self.device = device
        self.name = f"webcam {device}" if isinstance(device, int) else device

    def __iter__(self) -> Iterator[Frame]:
        if isinstance(self.device, str) and not Path(self.device).exists():
            raise SourceError(
                f"there is no {self.device}; `streamrec doctor` lists the cameras that are there"
            )
        with _opened(self.device) as video:
            if video is None:
                raise SourceError(
                    f"{self.name} did not open: it is not there, or another program uses it; "
                    "`streamrec doctor` lists the cameras that are there"
                )
            yield from _live_frames(video, self.name, time.monotonic())
        raise SourceError(f"{self.name} stopped giving pictures; is it still plugged in?")


class NetworkSource(Source):
    """An RTSP, RTMP, HTTP or UDP address. A lost connection is opened again, with a new segment.

    Opening and reading have deadlines. Timestamps are seconds since the first opening: by the camera's own
    clock for RTSP, by arrival for the rest, whose containers seldom tell. When the first opening fails, or
    ``retries`` in a row after that, ``SourceError`` says why.
    """

    live = True

    def __init__(self, address: str, *, retries: int = 5) -> None:
        self.name = without_password(address)
        self._address = address  # never shown: it may hold a password
        self._own_clock = address.lower().startswith("rtsp")
        self._retries = retries
        self._left = threading.Event()

    def __iter__(self) -> Iterator[Frame]:
        self._left.clear()  # now, not when the first frame is asked for: an interrupt may come before
        return self._frames()

    def _frames(self) -> Iterator[Frame]:
        started = time.monotonic()
        index = segment = failures = 0
        while True:
            with _opened(self._address) as video:
                if video is not None:
                    frames = _live_frames(
                        video, self.name, started, index, segment, READ_SECONDS, own_clock=self._own_clock
                    )
                    for frame in frames:
                        yield frame
                        index, failures = frame.index + 1, 0
                    if index and video.get(cv2.CAP_PROP_FRAME_COUNT) > 0:
                        return  # a recording, and this was its end
            if self._left.is_set():
                return
            failures += 1
            if failures > self._retries or index == 0:
                raise SourceError(f"{self.name}: {_why_closed(self._address)}")
            segment += 1
            if self._left.wait(min(2.0 ** (failures - 1) * 0.5, 8.0)):
                return

    def interrupt(self) -> None:
        """End the wait before the next opening."""
        self._left.set()


class FileSource(Source):
    """A video file, on disk or behind an HTTP address. Timestamps are its own media time.

    ``loop`` plays it for ever, a new segment each time.
    """

    live = False

    def __init__(self, path: str | Path, *, loop: bool = False) -> None:
        self._address = str(path)
        self.name = without_password(self._address) if "://" in self._address else Path(path).name
        self.loop = loop
        if "://" in self._address:
            return
        self._address = str(Path(path).absolute())  # FFmpeg takes the "12:" of "12:30.mp4" for a protocol
        if not Path(path).exists():
            hint = "; an address begins with rtsp:// or http://" if "@" in str(path) else ""
            raise SourceError(f"there is no file {without_password(str(path))}{hint}")
        if Path(path).stat().st_size == 0:
            raise SourceError(f"{path} is empty: 0 bytes")

    @property
    def duration(self) -> float | None:  # type: ignore[override]
        """Seconds, as the file's header tells; None when it does not tell, or the file is looped."""
        if self.loop:
            return None
        with _opened(self._address) as video:
            if video is None:
                return None
            rate, count = video.get(cv2.CAP_PROP_FPS), video.get(cv2.CAP_PROP_FRAME_COUNT)
            return count / rate if rate > 0 and count > 0 else None

    def __iter__(self) -> Iterator[Frame]:
        index = segment = 0
        while True:
            first = index
            for frame in self._play(index, segment):
                yield frame
                index = frame.index + 1
            if not self.loop:
                return
            if index == first:
                raise SourceError(f"{self.name} holds no pictures")
            segment += 1

    def _play(self, index: int, segment: int) -> Iterator[Frame]:
        with _opened(self._address) as video:
            if video is None:
                raise SourceError(
                    f"{self.name} is not a video that can be read: {_why_closed(self._address)}"
                )
            rate = video.get(cv2.CAP_PROP_FPS)
            step = 1.0 / rate if 0.0 < rate < 1000.0 else 1.0 / 30.0
            first, before = index, -step
            while True:
                ok, image = video.read()
                if not ok:
                    break
                timestamp = video.get(cv2.CAP_PROP_POS_MSEC) / 1000.0
                if not timestamp > before:  # containers without timestamps say 0 for ever
                    timestamp = before + step
                before = timestamp
                yield Frame(as_bgr(image), index, timestamp, segment, self.name, time.monotonic())
                index += 1
            if index == first:
                raise SourceError(
                    f"{self.name} holds no picture that can be read: is it cut off, or sound only?"
                )


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

    def __iter__(self) -> Iterator[Frame]:
        for index, picture in enumerate(self.pictures):
            if isinstance(picture, Frame):
                yield picture
                continue
            try:
                image = as_bgr(picture)
            except PictureError as error:
                raise PictureError(f"picture {index} of {self.name}: {error}") from error
            yield Frame(image, index, index / self.fps, 0, self.name, time.monotonic())


class RealTime(Source):
    """Another source at its own speed: each frame waits for its time. For watching a file in a window."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.name = source.name
        self.live = source.live
        self.duration = source.duration
        self._left = threading.Event()

    def interrupt(self) -> None:
        """End the wait for the next frame's time, and pass it on."""
        self._left.set()
        self.source.interrupt()

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


class Limited(Source):
    """Another source that ends after so many seconds of its own clock."""

    def __init__(self, source: Source, seconds: float) -> None:
        self.source = source
        self.seconds = seconds
        self.name = source.name
        self.live = source.live
        self.duration = seconds if source.duration is None else min(seconds, source.duration)

    def interrupt(self) -> None:
        """Pass it on."""
        self.source.interrupt()

    def __iter__(self) -> Iterator[Frame]:
        passed, last = 0.0, None
        for frame in self.source:
            if last is not None and last.timestamp < frame.timestamp:
                passed += frame.timestamp - last.timestamp
            if passed >= self.seconds - 1e-9:
                return
            last = frame
            yield frame


def open_source(what: Any) -> Source:
    """Tell what kind of source is meant, and return it; nothing is read before it is iterated.

    A number or ``/dev/video0`` is a webcam; ``rtsp://``, ``http://`` and the like an address; a path is a video
    file, a picture or a folder of pictures; ``"synthetic"`` the synthetic world (``"synthetic:7"`` with seed 7);
    any other iterable gives pictures. Raises ``SourceError`` for anything else.

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
        return WebcamSource(what)
    if isinstance(what, Path):
        return _from_path(what)
    if isinstance(what, str):
        return _from_text(what)
    if isinstance(what, np.ndarray) and (what.ndim < 3 or (what.ndim == 3 and what.shape[2] in (1, 3, 4))):
        raise SourceError(f"an array of shape {what.shape} is one picture; pass an iterable of pictures")
    if isinstance(what, Iterable):
        return IterableSource(what)
    raise SourceError(
        f"{type(what).__name__} is no source; pass a webcam number, a path, an address or an iterable of pictures"
    )


def _from_text(text: str) -> Source:
    if not text.strip():
        raise SourceError("no source was named; pass a webcam number, a path or an address")
    if re.fullmatch(r"\d+", text.strip()):
        return WebcamSource(int(text))
    if text == "synthetic" or text.startswith("synthetic:"):
        return _synthetic(text)
    if text.startswith("file://"):
        return _from_path(Path(text.removeprefix("file://")))
    if "://" in text:
        path = text.split("?", 1)[0].lower()
        if path.startswith("http") and path.endswith(VIDEO_ENDINGS):
            return FileSource(text)
        return NetworkSource(text)
    if text.startswith("/dev/video"):
        return WebcamSource(text)
    return _from_path(Path(text).expanduser())


def _from_path(path: Path) -> Source:
    if path.is_dir():
        return ImageFolderSource(path)
    if path.is_char_device():
        return WebcamSource(str(path))  # a device file by another name
    return FileSource(path)


def _synthetic(text: str) -> Source:
    from streamrec.synthetic import World, WorldSettings

    seed = text.partition(":")[2] or "0"
    if not seed.isdecimal():
        raise SourceError(
            f"{text!r}: the synthetic world is 'synthetic' or 'synthetic:SEED', SEED a whole number"
        )
    return World(WorldSettings(seed=int(seed), width=640, height=480))


def _live_frames(
    video: cv2.VideoCapture,
    name: str,
    started: float,
    index: int = 0,
    segment: int = 0,
    patience: float = math.inf,
    *,
    own_clock: bool = False,
) -> Iterator[Frame]:
    """Frames until the first that does not come. ``started``: the time.monotonic() that counts as 0.

    A read that takes about ``patience`` seconds (FFmpeg's time-out) is the end as well: FFmpeg then gives the
    frame that it held back, and nothing after it.
    """
    opened = time.monotonic() - started
    before = -1.0
    while True:
        asked = time.monotonic()
        ok, image = video.read()
        now = time.monotonic()
        if not ok or image is None:
            return
        if now - asked >= 0.9 * patience:
            return
        timestamp = now - started
        if own_clock:
            told = opened + video.get(cv2.CAP_PROP_POS_MSEC) / 1000.0
            if told < before - 1.0:  # the camera's clock was set back: it counts on from here
                went_on = max(timestamp, before + 0.001)
                opened, told = opened + went_on - told, went_on
            # Where the stream tells no times, those of arrival.
            timestamp = told if told > before or before < 0 else max(timestamp, before + 0.001)
            before = timestamp
        yield Frame(as_bgr(image), index, timestamp, segment, name, now)
        index += 1


def _natural(path: Path) -> list[tuple[int, int | str]]:
    return [(0, int(t)) if t.isdecimal() else (1, t) for t in re.split(r"(\d+)", path.name.lower()) if t]


@contextlib.contextmanager
def _opened(what: int | str) -> Iterator[cv2.VideoCapture | None]:
    """An open capture, released at the end; None where it did not open. OpenCV's own complaints are hushed."""
    video = None
    with _hushed():
        if isinstance(what, int) or Path(what).is_char_device():
            backend = cv2.CAP_V4L2 if sys.platform.startswith("linux") else cv2.CAP_ANY
            video = cv2.VideoCapture(what, backend)
        elif "://" in what:
            deadlines = [
                cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, int(OPEN_SECONDS * 1000),
                cv2.CAP_PROP_READ_TIMEOUT_MSEC, int(READ_SECONDS * 1000),
                cv2.CAP_PROP_N_THREADS, 1,  # more threads decode ahead: a frame of delay for each
            ]  # fmt: skip
            video = cv2.VideoCapture(what, cv2.CAP_FFMPEG, deadlines)
        else:
            video = cv2.VideoCapture(what, cv2.CAP_FFMPEG)
    try:
        yield video if video.isOpened() else None
    finally:
        video.release()


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    """OpenCV's log level is one for all threads: the first one in lowers it, the last one out restores it."""
    logging = cv2.utils.logging
    with _hush.lock:
        if _hush.count == 0:
            _hush.level = logging.getLogLevel()
            logging.setLogLevel(logging.LOG_LEVEL_SILENT)
        _hush.count += 1
    try:
        yield
    finally:
        with _hush.lock:
            _hush.count -= 1
            if _hush.count == 0:
                logging.setLogLevel(_hush.level)


class _Hush:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.count = 0
        self.level = 0


_hush = _Hush()


def _why_closed(address: str) -> str:
    """Ask FFmpeg for the reason in words, which OpenCV keeps to itself. No address in the answer."""
    import av

    asked = time.monotonic()
    try:
        with av.open(address, timeout=(OPEN_SECONDS, READ_SECONDS)) as container:
            if not container.streams.video:
                return "it holds no video, only " + (
                    ", ".join(sorted({s.type for s in container.streams})) or "nothing"
                )
            return "the connection was lost"
    except (av.HTTPUnauthorizedError, av.HTTPForbiddenError):
        return "the camera refused the user or the password"
    except (av.HTTPNotFoundError, av.FileNotFoundError):
        return "the server knows no such stream; check the path of the address"
    except av.ConnectionRefusedError:
        return "nothing listens at that address and port (connection refused)"
    except av.FFmpegError as error:
        if isinstance(error, av.TimeoutError | av.ExitError) or time.monotonic() - asked >= OPEN_SECONDS:
            return f"no answer within {OPEN_SECONDS:g} s; check the address and the network"
        if isinstance(error, av.InvalidDataError):
            return "what is there is not a video that FFmpeg knows, or it is damaged"
        return (error.strerror or "unknown error").lower()

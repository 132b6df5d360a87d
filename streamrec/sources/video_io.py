"""Opening a webcam with OpenCV, and the errors of FFmpeg in words."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import av
import cv2

OPEN_SECONDS = 5.0  # deadline for opening an address

LOST = "the connection was lost"
REFUSED = "the camera refused the user or the password"
UNKNOWN = "the server knows no such stream; check the path of the address"
DEAF = "nothing listens at that address and port (connection refused)"


@contextlib.contextmanager
def opened(what: int | str) -> Iterator[cv2.VideoCapture | None]:
    """An open webcam, released at the end; None where it did not open. OpenCV's own complaints are hushed."""
    with _hushed():
        backend = cv2.CAP_V4L2 if sys.platform.startswith("linux") else cv2.CAP_ANY
        video = cv2.VideoCapture(what, backend)
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


def seconds_in(path: Path) -> float | None:
    """From the first picture of a video to its last, also of one that was cut short; None where it has none."""
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            times = [
                float(packet.pts * packet.time_base)
                for packet in container.demux(stream)
                if packet.pts is not None
            ]
    except (av.FFmpegError, OSError, IndexError):
        return None
    return max(times) - min(times) if times else None


def no_video(container: av.container.InputContainer) -> str:
    """What is there instead."""
    kinds = ", ".join(sorted({stream.type for stream in container.streams}))
    return f"it holds no video, only {kinds}" if kinds else "it holds no video"


def ffmpeg_reason(error: av.FFmpegError, took: float, deadline: float) -> str:
    """Why an opening that ``took`` so many seconds failed. The error's own text may hold a password."""
    if isinstance(error, av.HTTPUnauthorizedError | av.HTTPForbiddenError):
        return REFUSED
    if isinstance(error, av.HTTPNotFoundError | av.FileNotFoundError):
        return UNKNOWN
    if isinstance(error, av.ConnectionRefusedError):
        return DEAF
    if isinstance(error, av.TimeoutError | av.ExitError) or took >= 0.95 * deadline:
        return no_answer(deadline)
    if isinstance(error, av.InvalidDataError):
        return "what is there is not a video that FFmpeg knows, or it is damaged"
    return (error.strerror or "unknown error").lower()


def no_answer(seconds: float) -> str:
    """Nothing came within the deadline."""
    return f"no answer within {seconds:g} s; check the address and the network"

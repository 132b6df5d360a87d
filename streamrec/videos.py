"""Opening what OpenCV and FFmpeg read, and their errors in words."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Generator, Iterator
from pathlib import Path

import av
import cv2
import numpy as np

from streamrec import threads

OPEN_SECONDS = 5.0  # deadline for opening an address
READ_SECONDS = 2.5  # deadline for a read of a file behind an address; FFmpeg needs two to see that it is dead

DecodeError = av.FFmpegError
LOST = "the connection was lost"
REFUSED = "the camera refused the user or the password"
UNKNOWN = "the server knows no such stream; check the path of the address"
DEAF = "nothing listens at that address and port (connection refused)"


@contextlib.contextmanager
def opened(what: int | str) -> Iterator[cv2.VideoCapture | None]:
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
            video = cv2.VideoCapture(what, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, threads.for_decoder()])
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


def shrunk(address: str, size: tuple[int, int]) -> Generator[tuple[np.ndarray, float | None], None, None]:
    """Pictures of a file, BGR, and their times in seconds; shrunk to ``size`` where they are larger.

    The decoder's own planes are shrunk, by area, so that the large picture is never made; raises ``DecodeError``.
    """
    with av.open(address, timeout=(OPEN_SECONDS, READ_SECONDS) if "://" in address else None) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = threads.for_decoder()
        stream.thread_type = "AUTO"
        start = float((stream.start_time or 0) * stream.time_base) if stream.time_base else 0.0
        shrink = av.video.reformatter.VideoReformatter()
        try:
            for frame in container.decode(stream):
                width, height = frame.width, frame.height
                if width >= size[0] and height >= size[1]:
                    width, height = size
                small = shrink.reformat(frame, width, height, "bgr24", interpolation="AREA", threads=1)
                yield small.to_ndarray(), None if frame.time is None else frame.time - start
        finally:
            # Ends what the decoder's threads do. Left to the closing, which holds Python's lock, one that has
            # something to say at that moment, and so wants it too, would wait for ever.
            stream.codec_context.flush_buffers()


def why_closed(address: str) -> str:
    """Ask FFmpeg for the reason in words, which OpenCV keeps to itself. No address in the answer."""
    asked = time.monotonic()
    try:
        with av.open(address, timeout=(OPEN_SECONDS, READ_SECONDS)) as container:
            return LOST if container.streams.video else no_video(container)
    except av.FFmpegError as error:
        return in_words(error, time.monotonic() - asked, OPEN_SECONDS)


def no_video(container: av.container.InputContainer) -> str:
    """What is there instead."""
    return "it holds no video, only " + (", ".join(sorted({s.type for s in container.streams})) or "nothing")


def in_words(error: av.FFmpegError, took: float, deadline: float) -> str:
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

"""Opening a webcam with OpenCV, without OpenCV's own messages."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator

import cv2


@contextlib.contextmanager
def opened_webcam(device: int | str) -> Iterator[cv2.VideoCapture | None]:
    """An open webcam, released at the end; None where it did not open."""
    with _quiet_opencv():
        backend = cv2.CAP_V4L2 if sys.platform.startswith("linux") else cv2.CAP_ANY
        video = cv2.VideoCapture(device, backend)
    try:
        yield video if video.isOpened() else None
    finally:
        video.release()


@contextlib.contextmanager
def _quiet_opencv() -> Iterator[None]:
    """OpenCV's log level is one for all threads: the first one in lowers it, the last one out restores it."""
    logging = cv2.utils.logging
    with _log_level.lock:
        if _log_level.count == 0:
            _log_level.before = logging.getLogLevel()
            logging.setLogLevel(logging.LOG_LEVEL_SILENT)
        _log_level.count += 1
    try:
        yield
    finally:
        with _log_level.lock:
            _log_level.count -= 1
            if _log_level.count == 0:
                logging.setLogLevel(_log_level.before)


class _LogLevel:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.count = 0  # threads that keep it low
        self.before = 0


_log_level = _LogLevel()

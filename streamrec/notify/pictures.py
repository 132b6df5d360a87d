"""The picture that a notification carries: one JPEG of each event that begins, encoded in a thread of its own.

The recognizing thread hands over a frame that it has already, and only of a result in which an event begins. Messages
wait for the picture, for a second at most, and go as soon as it is encoded; it is written into the history meanwhile.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

import cv2

from streamrec.core.context import Closing
from streamrec.outputs.history.pictures import HistoryPictures
from streamrec.outputs.history.records import Announcement, Entry, Kind, RemoteResult
from streamrec.outputs.privacy import shown_image, small_image
from streamrec.settings.evidence import Privacy
from streamrec.types import Result

SIDE = 640  # pixels of the long side
MOST_BYTES = 100_000  # of a picture: services refuse large ones
_QUALITIES = (80, 60, 40)  # of JPEG; the first that is small enough
_SMALLEST = 64  # pixels of the long side
_WAITING = 32  # results that wait for the thread


def encoded(result: Result, privacy: Privacy, side: int = SIDE) -> bytes | None:
    """The frame of a result as JPEG of at most ``MOST_BYTES``, as ``privacy`` allows; None where there is none."""
    if privacy is Privacy.none or isinstance(result, RemoteResult) or result.frame.image.size == 0:
        return None  # a frame that another machine recognized has no pixels here
    image = shown_image(result, side, privacy)
    while True:
        for quality in _QUALITIES:
            fine, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
            if fine and data.nbytes <= MOST_BYTES:
                return data.tobytes()
        if max(image.shape[:2]) <= _SMALLEST:
            return None
        image = small_image(image, max(image.shape[:2]) // 2, Privacy.full)


class PictureMaker(Closing):
    """Makes the pictures of events, and keeps them in the history.

    ``ready`` is called when it is decided of an event whether it has a picture, in the thread of this object; ``made``
    with each event whose picture is on the disk, in the history's thread; ``warn`` with messages.
    """

    def __init__(
        self,
        pictures: HistoryPictures,
        privacy_of: Callable[[str], Privacy],
        *,
        ready: Callable[[], object] = lambda: None,
        made: Callable[[Entry, bytes], object] = lambda entry, jpeg: None,
        warn: Callable[[str], object] = lambda sentence: None,
    ) -> None:
        self._pictures, self._privacy_of, self._made, self._warn = pictures, privacy_of, made, warn
        self._ready = ready
        self._changed = threading.Condition()
        self._waiting: deque[tuple[Result, tuple[Entry, ...]]] = deque()
        self._closed = False
        pictures.expect()
        self._thread = threading.Thread(target=self._work, name="pictures", daemon=True)
        self._thread.start()

    def write(self, result: Result, announced: tuple[Announcement, ...]) -> None:
        """Take a result with its announcements; returns at once."""
        began = tuple(one.entry for one in announced if one.kind is Kind.started)
        if not began:
            return
        with self._changed:
            full = self._closed or len(self._waiting) >= _WAITING
            if not full:
                self._waiting.append((result, began))
                self._changed.notify_all()
        if full:
            self._warn("the machine is too busy for the pictures of all events: notifications go without")
            self._decide(began)

    def close(self, patience: float = 1.0) -> None:
        """Make the pictures that wait, for at most so many seconds; a second time does nothing."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(patience)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    return
                result, began = self._waiting.popleft()
            try:
                jpeg = encoded(result, self._privacy_of(result.frame.source))
            except Exception as error:  # no error may end the thread: OpenCV, a frame of zero size
                jpeg = None
                self._warn(f"{result.frame.source}: no picture for its event: {type(error).__name__}")
            if jpeg is None:
                self._decide(began)
                continue
            for entry in began:
                self._keep(entry, jpeg)
            self._ready()

    def _keep(self, entry: Entry, jpeg: bytes) -> None:
        self._pictures.keep(entry.id, jpeg, lambda kept: self._made(kept, jpeg))

    def _decide(self, began: tuple[Entry, ...]) -> None:
        for entry in began:
            self._pictures.decide(entry.id)
        self._ready()

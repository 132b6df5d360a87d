"""One opening of a camera in a thread of its own, and the frames that it hands to the thread that waits for them."""

from __future__ import annotations

import threading
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from streamrec.core.process_end import READ
from streamrec.errors import SourceError
from streamrec.sources import health as report
from streamrec.sources.health import LOG
from streamrec.sources.open_errors import LOST, why_lost
from streamrec.types import Source, SourceState

LATE_SECONDS = 1.0  # a frame that arrives so much later than it could is old
# Where decoders leave damage unmarked, so many good frames in a row end the suspicion after a torn one, and so many
# seconds where one is predicted from the other.
TRUSTED, TRUSTED_SECONDS = 3, 1.0

# Why frames were not passed on (Health.refused).
TORN = "torn"  # damaged, or predicted from a frame that is damaged or missing
FROZEN = "frozen"  # the same as before for FROZEN_SECONDS
LATE = "late"  # decoding fell behind, and newer ones had arrived
UNREAD = "unread"  # not read in time
# Why a camera was opened again (Health.reconnects).
SILENT = "no picture came"
ONLY_TORN = "only torn pictures came"
LAGGING = "pictures came too late"
ENDED = "the camera ended the stream"
UNPLUGGED = "the camera stopped giving pictures"


@dataclass(frozen=True, slots=True, eq=False)
class DecodedFrame:
    """A frame without known damage."""

    image: np.ndarray  # (H, W, 3) uint8, BGR; of sound a block (N,) float32
    camera_time: float | None  # seconds on the camera's clock; None: it sends no time
    captured: float  # time.monotonic()
    key: bool  # a key frame: predicted from no other
    sure: bool = False  # damage would have been marked: no other frames are needed to confirm it
    alone: bool = True  # no others are predicted from it: damage does not spread
    old: bool = False  # held back until the deadline of a read: FFmpeg waits for the next frame
    read: int | None = None  # bytes of frames received so far, in this opening; None: not known
    idle: float | None = None  # seconds so far in which there was nothing to read; None: not known


class StreamEnded(Exception):
    """Why a reader ended; ``reason`` None: the end of a recording. It holds no password."""

    def __init__(
        self,
        reason: str | None,
        *,
        cause: str = "",
        silent: bool = False,
        locked: bool = False,
        whole: bool = False,
        is_file: bool = False,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.cause = cause  # of the reopening that follows; "": the reason
        self.silent = silent  # the camera did not answer: an answer will be a change
        self.locked = locked  # the password was refused: only a restarted camera may take it
        self.whole = whole  # the reason is a whole sentence, which names the camera
        self.is_file = is_file  # it is no camera but a video file, to be played as one


class IsFile(Exception):
    """What was opened as a camera is a video file."""


class ReaderThread:
    """Opens a camera once and reads it, in a thread of its own, until it ends or is ``unwanted``."""

    KEPT = 4  # images that wait; a slower consumer is given newer ones

    def __init__(
        self,
        read: Callable[[ReaderThread], None],
        changed: threading.Condition,
        *,
        name: str,
        opening: float,
        strict: bool = True,
        wary: bool = False,
        before: Callable[[ReaderThread], None] | None = None,
        kept: int | None = None,
    ) -> None:
        self.kept = self.KEPT if kept is None else kept  # images that wait, or blocks of sound
        self.opening = opening  # seconds that the opening may take
        self.strict = strict  # refuse what the decoder can only guess
        self.wary = wary  # the opening before gave nothing but damage
        self.unwanted = False
        self.started_at: float | None = None  # time.monotonic() when the opening began
        self.opened_at: float | None = None  # when it was open
        self.received = True  # video data arrived, if only a part of a frame; or that cannot be known
        self.received_at = 0.0  # time.monotonic() of the last packet
        self.keyframe_at: float | None = None  # when the first key frame arrived
        self.packets_lost = False
        self.ended: StreamEnded | None = None
        self.refused: Counter[str] = Counter()
        self.pieces = False  # video arrives in pieces of several seconds (HLS)
        self.timely = False  # frames arrive as the camera takes them, with its times
        self.endless = True  # it is no recording
        self._fresh = False  # one of these has changed
        self._frames: deque[DecodedFrame] = deque()
        self._changed = changed
        self._read = read
        self._before = before
        self.thread = threading.Thread(target=self._run, name=f"{READ} {name}", daemon=True)
        self.thread.start()

    # in the thread that reads

    def _run(self) -> None:
        end: StreamEnded
        try:
            if self._before is not None:
                self._before(self)
            self._set(started_at=time.monotonic())
            if not self.unwanted:
                self._read(self)
            end = StreamEnded(ENDED, cause=ENDED)
        except StreamEnded as ended:
            end = ended
        except Exception as error:
            # Its message may hold the address, password included: only where it was raised is logged.
            where = "".join(traceback.format_tb(error.__traceback__))
            LOG.debug("%s: %s\n%s", self.thread.name, type(error).__name__, where)
            end = StreamEnded(why_lost(error), cause=LOST)
        end.__traceback__ = end.__context__ = None
        self._set(ended=end)

    def _set(self, **values: Any) -> None:
        with self._changed:
            for name, value in values.items():
                setattr(self, name, value)
            self._fresh = True
            self._changed.notify_all()

    def opened(
        self, *, pieces: bool = False, timely: bool = False, endless: bool = True, received: bool = True
    ) -> None:
        """The camera is open; frames may arrive. ``received`` False: ``note_packet`` is called for each packet."""
        self._set(
            opened_at=time.monotonic(), pieces=pieces, timely=timely, endless=endless, received=received
        )

    def note_packet(self) -> None:
        """A packet of video arrived, whether or not it becomes a frame."""
        self.received_at = time.monotonic()
        if not self.received:
            self._set(received=True)

    def put(self, frame: DecodedFrame) -> None:
        """Hand over a frame; never waits."""
        with self._changed:
            if len(self._frames) >= self.kept:
                self._frames.popleft()
                self.refused[UNREAD] += 1
            self._frames.append(frame)
            self._changed.notify_all()

    def refuse(self, cause: str) -> None:
        """Count a frame that is not handed over."""
        with self._changed:
            self.refused[cause] += 1
            self._changed.notify_all()

    # in the thread that waits, with ``changed`` held

    def has_news(self) -> bool:
        """Whether ``take`` would return anything new."""
        return bool(self._frames or self.refused or self._fresh)

    def take(self) -> tuple[list[DecodedFrame], Counter[str], StreamEnded | None]:
        """Frames and counts since the last call, and why the reader ended; None: it has not."""
        frames, refused = list(self._frames), self.refused
        self._frames.clear()
        self.refused, self._fresh = Counter(), False
        return frames, refused, self.ended

    # in the thread that waits

    def hangs(self, now: float) -> bool:
        """Whether the opening takes longer than it may: FFmpeg ends it by itself, unless it hangs."""
        return (
            self.opened_at is None
            and self.started_at is not None
            and now - self.started_at >= self.opening + 0.5
        )

    def leave(self, patience: float) -> None:
        """End it, and give its thread so many seconds to."""
        self.unwanted = True
        self.thread.join(patience)


def given_up(source: Source, end: StreamEnded) -> SourceError:
    """The error of a source that is not opened again, which has failed from now on."""
    reason = report.redacted(source, end.reason or "")
    report.set_state(source, SourceState.failed, reason)
    return SourceError(reason if end.whole else f"{source.name}: {reason}")


def sleep(seconds: float, reader: ReaderThread) -> None:
    """Wait so long, or until the reader is not wanted any more."""
    until = time.monotonic() + seconds
    while not reader.unwanted and (left := until - time.monotonic()) > 0:
        time.sleep(min(left, 0.1))

"""One opening of a camera, in a thread of its own, and what it hands over to whoever waits for pictures."""

from __future__ import annotations

import threading
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from streamrec.sources.health import LOG
from streamrec.sources.open_errors import why_lost
from streamrec.sources.video_io import LOST

LATE_SECONDS = 1.0  # so much later than it could come: what comes is old
# Where decoders leave damage unmarked, so many good pictures in a row end the suspicion after a torn one, and so many
# seconds where one is predicted from the other.
TRUSTED, TRUSTED_SECONDS = 3, 1.0

# Why pictures were not passed on (Health.refused).
TORN = "torn"  # damaged, or predicted from one that is damaged or missing
FROZEN = "frozen"  # the same as before for FROZEN_SECONDS
LATE = "late"  # decoding fell behind, and newer ones were there
UNREAD = "unread"  # nobody asked in time
# Why a camera was opened again (Health.reconnects).
SILENT = "no picture came"
ONLY_TORN = "only torn pictures came"
LAGGING = "pictures came too late"
ENDED = "the camera ended the stream"
UNPLUGGED = "the camera stopped giving pictures"


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """A good picture."""

    image: np.ndarray
    told: float | None  # seconds on the camera's clock
    captured: float  # time.monotonic()
    key: bool  # it is predicted from no other
    sure: bool = False  # damage would have been marked: it needs no others to bear it out
    alone: bool = True  # no others are predicted from it: damage does not spread
    old: bool = False  # held back until the deadline of a read: FFmpeg waits for a picture's successor
    read: int | None = None  # bytes of pictures that came so far, at this opening; None: not known
    idle: float | None = None  # seconds so far in which there was nothing to read; None: not known


class Over(Exception):
    """What ended an attempt; ``reason`` None: the end of a recording. No password in it."""

    def __init__(
        self,
        reason: str | None,
        *,
        cause: str = "",
        silent: bool = False,
        locked: bool = False,
        whole: bool = False,
        film: bool = False,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.cause = cause  # of the reopening that follows; "": the reason
        self.silent = silent  # nobody answered: an answer will be news
        self.locked = locked  # the password was refused: only a camera that starts anew may take it
        self.whole = whole  # the reason names the camera already
        self.film = film  # it is no camera: a file, which is to be played as one


class IsFilm(Exception):
    """What was opened as a camera is a file."""


class Attempt:
    """One opening of a camera and what comes of it, in a thread of its own."""

    KEPT = 4  # pictures that wait; whoever is slower than that is given newer ones

    def __init__(
        self,
        read: Callable[[Attempt], None],
        changed: threading.Condition,
        *,
        name: str,
        opening: float,
        strict: bool = True,
        wary: bool = False,
        before: Callable[[Attempt], None] | None = None,
    ) -> None:
        self.opening = opening  # seconds that it may take to open
        self.strict = strict  # refuse what the decoder can only guess
        self.wary = wary  # the opening before gave nothing but damage
        self.unwanted = False
        self.begun: float | None = None  # time.monotonic() when the opening began
        self.ready: float | None = None  # when it was open
        self.heard = True  # something came of its pictures, if only a part of one; or nobody would know
        self.heard_at = 0.0  # time.monotonic() when that was last
        self.keyed_at: float | None = None  # when a picture first came that is predicted from no other
        self.missed = False  # something was lost on the way
        self.over: Over | None = None
        self.refused: Counter[str] = Counter()
        self.pieces = False  # what comes comes in pieces of several seconds
        self.timely = False  # pictures come as the camera takes them, with its times
        self.endless = True  # what comes is no recording
        self._fresh = False  # one of these has changed
        self._shots: deque[Shot] = deque()
        self._changed = changed
        self._read = read
        self._before = before
        self.thread = threading.Thread(target=self._run, name=f"read {name}", daemon=True)
        self.thread.start()

    # in the thread that reads

    def _run(self) -> None:
        over: Over
        try:
            if self._before is not None:
                self._before(self)
            self._set(begun=time.monotonic())
            if not self.unwanted:
                self._read(self)
            over = Over(ENDED, cause=ENDED)
        except Over as ended:
            over = ended
        except Exception as error:
            # Its own words may hold the address, password included: where it came up has to be enough.
            where = "".join(traceback.format_tb(error.__traceback__))
            LOG.debug("%s: %s\n%s", self.thread.name, type(error).__name__, where)
            over = Over(why_lost(error), cause=LOST)
        over.__traceback__ = over.__context__ = None
        self._set(over=over)

    def _set(self, **values: Any) -> None:
        with self._changed:
            for name, value in values.items():
                setattr(self, name, value)
            self._fresh = True
            self._changed.notify_all()

    def opened(
        self, *, pieces: bool = False, timely: bool = False, endless: bool = True, heard: bool = True
    ) -> None:
        """It is open; pictures may come. Not ``heard``: what comes of them will be."""
        self._set(ready=time.monotonic(), pieces=pieces, timely=timely, endless=endless, heard=heard)

    def hear(self) -> None:
        """Something came of its pictures, though it may never be one."""
        self.heard_at = time.monotonic()
        if not self.heard:
            self._set(heard=True)

    def put(self, shot: Shot) -> None:
        """Hand over a picture; never waits."""
        with self._changed:
            if len(self._shots) >= self.KEPT:
                self._shots.popleft()
                self.refused[UNREAD] += 1
            self._shots.append(shot)
            self._changed.notify_all()

    def refuse(self, cause: str) -> None:
        """A picture is not handed over."""
        with self._changed:
            self.refused[cause] += 1
            self._changed.notify_all()

    # in the thread that waits, with ``changed`` held

    def news(self) -> bool:
        """Whether anything has come that was not taken."""
        return bool(self._shots or self.refused or self._fresh)

    def take(self) -> tuple[list[Shot], Counter[str], Over | None]:
        """What came since the last time."""
        shots, refused = list(self._shots), self.refused
        self._shots.clear()
        self.refused, self._fresh = Counter(), False
        return shots, refused, self.over


def sleep(seconds: float, attempt: Attempt) -> None:
    """Wait so long, or until the opening is not wanted any more."""
    until = time.monotonic() + seconds
    while not attempt.unwanted and (left := until - time.monotonic()) > 0:
        time.sleep(min(left, 0.1))

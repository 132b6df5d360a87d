"""Places for answers that are read at their client's pace, and how a slow reader loses its place.

An answer of many megabytes holds something while it is read: an open file, or the disk. So there is a limited number
of places for such answers. A reader that takes nothing for a while loses its place. Where all places are taken, a new
reader gets the place of the slowest one, if that reads more slowly than any connection worth the name. What was sent
to a reader that lost its place ends in the middle, and its connection is closed; a video is asked for again from
there by every browser.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from streamrec.web.access_control import Message, Refused, Send

STALL_SECONDS = 30.0  # in which the next piece must be taken
LEAST_RATE = 32 * 1024  # bytes a second: a slower reader loses its place to another
_LEAST_SECONDS = 10.0  # over which the rate is measured


class LostPlace(Exception):
    """The reader was too slow."""


class Readers:
    """The places of one kind of answer. Used only in the server's event loop.

    >>> places = Readers(1, "another video is being read: try again", clock=lambda: 0.0)
    >>> first = places.enter()
    >>> places.enter()
    Traceback (most recent call last):
    ...
    streamrec.web.access_control.Refused: another video is being read: try again
    >>> first.leave()
    >>> len(places)
    0
    """

    def __init__(
        self,
        most: int,
        busy: str,
        *,
        stall_seconds: float = STALL_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``busy``: the sentence for who finds no place."""
        self.most = most
        self.stall_seconds = stall_seconds
        self._busy, self.clock = busy, clock
        self._taken: dict[Reader, None] = {}  # the oldest first

    def __len__(self) -> int:
        return len(self._taken)

    def enter(self) -> Reader:
        """Take a place; raises ``Refused`` where all are taken by readers that are quick enough."""
        if len(self._taken) >= self.most:
            slowest = min(self._taken, key=Reader.rate)
            if slowest.rate() >= LEAST_RATE:
                raise Refused(503, "busy", self._busy, [(b"retry-after", b"5")])
            slowest.lose()
        reader = Reader(self)
        self._taken[reader] = None
        return reader

    def forget(self, reader: Reader) -> None:
        """A place is free again."""
        self._taken.pop(reader, None)


class Reader:
    """One place; ``answer`` sends a response through it, and leaves it."""

    def __init__(self, places: Readers) -> None:
        self._places = places
        self._taken = 0  # bytes since ``_since``
        self._since = places.clock()
        self._rate = float("inf")  # of the stretch before; inf: it has just begun
        self._lost = False
        self._deadline: asyncio.Timeout | None = None  # of the piece that is being sent

    def rate(self) -> float:
        """Bytes a second in the last 10 to 20 seconds; inf where it has not read for so long."""
        seconds = self._places.clock() - self._since
        return self._rate if seconds < _LEAST_SECONDS else self._taken / seconds

    def lose(self) -> None:
        """Another reader gets the place."""
        self._lost = True
        self.leave()
        if self._deadline is not None:
            self._deadline.reschedule(asyncio.get_running_loop().time())

    def leave(self) -> None:
        """Give the place back; twice does nothing."""
        self._places.forget(self)

    async def answer(self, respond: Callable[[Send], Any], send: Send) -> None:
        """Let ``respond`` send its messages; its connection is closed in the middle where the place is lost."""

        async def paced(message: Message) -> None:
            if self._lost:
                raise LostPlace
            try:
                async with asyncio.timeout(self._places.stall_seconds) as self._deadline:
                    await send(message)
            except TimeoutError as error:
                self._lost = True
                raise LostPlace from error
            finally:
                self._deadline = None
            self._count(len(message.get("body", b"")))

        try:
            await respond(paced)
        except LostPlace:
            return  # half an answer: the server closes its connection
        finally:
            self.leave()

    def _count(self, size: int) -> None:
        now = self._places.clock()
        self._taken += size
        if now - self._since >= _LEAST_SECONDS:
            self._rate, self._taken, self._since = self._taken / (now - self._since), 0, now

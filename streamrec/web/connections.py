"""Connections to the page: how many there may be, who is closed where there are too many, and how they are accepted.

They are counted when they are accepted, before TLS and HTTP, and there are far fewer than the process may have open
files: cameras, videos and the history need those. Where there are too many, the address that has most of them loses
one that asks for nothing; where all are busy, the new one is told 503. Whatever happens here is told at most once a
minute.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from enum import IntEnum
from typing import Any

from streamrec.core.files import why

MOST = 256  # connections, where the process may have 1,024 files open or more
HANDSHAKE_SECONDS = 10.0  # for TLS
LINGER_SECONDS = 5.0  # for a connection that is being closed to take what was sent
STALL_SECONDS = 120.0  # for one that takes nothing of what is sent
_STALLS_AFTER = 3.0  # seconds: from here on it may be closed for another
_TOLD_EVERY = 60.0
_PAUSE_SECONDS = 0.01  # after some that are accepted while there are too many: at most 800 a second
_AT_ONCE_FULL = 8
_RETRY_SECONDS = 1.0  # after which a process without a free descriptor tries again
_AT_ONCE = 64  # accepted, before the loop does something else
_REFUSED_AT_ONCE = 32  # whose 503 is on its way
_NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_BUSY = b'{"error": {"code": "busy", "message": "too many connections: try again in a moment"}}'
_BUSY_ANSWER = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 2\r\n"
    b"content-length: %d\r\nconnection: close\r\n\r\n%s" % (len(_BUSY), _BUSY)
)


class Stage(IntEnum):
    """What a connection does, in the order in which they are closed to make room."""

    greeting = 0  # no whole request has come yet
    idle = 1  # it was answered, and asks for nothing
    sending = 2  # the body of its request is awaited
    stalled = 3  # it does not take what is sent
    busy = 4  # it is answered just now, or looks live: never closed for another


def most_connections(share: int = 4) -> int:
    """How many the page takes: 256, or a quarter of the files that the process may have open."""
    try:
        import resource
    except ImportError:  # Windows
        return MOST
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST if soft == resource.RLIM_INFINITY else max(8, min(MOST, soft // share))


def network_of(address: str) -> str:
    """Who has one IPv6 address has 2^64 of them: they count as one.

    >>> network_of("2001:db8::7") == network_of("2001:db8::8"), network_of("10.0.0.9")
    (True, '10.0.0.9')
    >>> network_of("::ffff:10.0.0.9")  # IPv4, where one socket listens for both
    '10.0.0.9'
    """
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if found.version == 6 and found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, 64), strict=False)) if found.version == 6 else address


class RateLimitedLog:
    """Passes sentences on, the same kind at most once a minute.

    >>> told, now = [], [0.0]
    >>> tell = RateLimitedLog(told.append, clock=lambda: now[0])
    >>> tell("full", "it is full"), tell("full", "it is full"), tell("other", "x")
    (True, False, True)
    >>> now[0] = 61.0
    >>> tell("full", "it is full again"), told
    (True, ['it is full', 'x', 'it is full again'])
    """

    def __init__(self, log: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._log, self._clock = log, clock
        self._last: dict[str, float] = {}

    def may(self, kind: str) -> bool:
        """Whether a sentence of this kind would be passed on now."""
        return self._clock() - self._last.get(kind, float("-inf")) >= _TOLD_EVERY

    def __call__(self, kind: str, sentence: str) -> bool:
        """Tell it, unless one of its kind was told within a minute; whether it was told."""
        if not self.may(kind):
            return False
        if len(self._last) > 100:
            self._last.clear()
        self._last[kind] = self._clock()
        self._log(sentence)
        return True


class Connection:
    """One that was accepted. Until its TLS handshake is over it has no transport."""

    def __init__(self, sock: socket.socket, address: str, now: float) -> None:
        self.sock = sock
        self.address = address
        self.accepted = now
        self.task: asyncio.Task[Any] | None = None
        self.transport: asyncio.Transport | None = None
        self._waiting = 0  # bytes that the other side has not taken
        self._moved = now  # when that was another number
        self._closing: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether it still has its descriptor."""
        return self.sock.fileno() >= 0

    def look(self, now: float) -> None:
        """Once a second: how it goes on. One that hangs is cut off."""
        transport = self.transport
        if transport is None:
            return
        waiting = transport.get_write_buffer_size()
        if waiting != self._waiting or not waiting:
            self._waiting, self._moved = waiting, now
        if transport.is_closing():
            self._closing = self._closing or now
            if now - self._closing > LINGER_SECONDS:
                self.cut()
        elif now - self._moved > STALL_SECONDS:
            self.cut()

    def stage(self, now: float) -> tuple[Stage, float]:
        """What it does, and since when."""
        transport = self.transport
        if transport is None:
            return Stage.greeting, self.accepted
        if transport.is_closing():
            return Stage.stalled, self._moved
        if self._waiting and now - self._moved > _STALLS_AFTER:
            return Stage.stalled, self._moved
        found: tuple[Stage, float] = getattr(transport.get_protocol(), "stage", (Stage.busy, now))
        return found

    def cut(self) -> None:
        """Close it now, whatever is on its way."""
        if self.transport is not None:
            self.transport.abort()
            return
        with suppress(OSError):  # its transport is being made, reads an end, and closes it
            self.sock.shutdown(socket.SHUT_RDWR)


class Connections:
    """All of them. Used in the server's loop alone.

    >>> now = [0.0]
    >>> crowd = Connections(2, print, clock=lambda: now[0])
    >>> crowd.make_room("10.0.0.9")
    True
    """

    def __init__(
        self, most: int, log: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.most = most
        self.limited_log = RateLimitedLog(log, clock)
        self._clock = clock
        self._all: set[Connection] = set()
        self._closed = self._refused = 0  # since it was last told
        self._crowded = False

    def __len__(self) -> int:
        return len(self._all)

    @property
    def is_crowded(self) -> bool:
        """Whether one has had to make room within the last second or two."""
        return self._crowded

    def add(self, connection: Connection) -> None:
        """It was accepted."""
        self._all.add(connection)

    def discard(self, connection: Connection) -> None:
        """It is gone."""
        self._all.discard(connection)

    def look(self) -> None:
        """Once a second: forget those that are gone, cut off those that hang."""
        now = self._clock()
        self._crowded = False
        self._all = {one for one in self._all if one.is_open}
        for one in tuple(self._all):
            one.look(now)
        if (self._closed or self._refused) and self.limited_log.may("full"):
            self._tell_full()

    def make_room(self, address: str) -> bool:
        """Whether one more may come in from here; where there are too many, another one is closed for it."""
        if len(self._all) >= self.most:
            self._all = {one for one in self._all if one.is_open}
        if len(self._all) < self.most:
            return True
        self._crowded = True
        # Some at once, where many come: to look at all of them for each that comes would take the core.
        made = self.close_idle(max(1, self.most // 16))
        self._closed += made
        self._refused += not made
        if self.limited_log.may("full"):
            self._tell_full()
        return made > 0

    def close_idle(self, count: int) -> int:
        """Close up to so many, those of the address that has most of them first; how many it were.

        More than one only of those that ask for nothing.
        """
        now = self._clock()
        crowds = Counter(one.address for one in self._all)
        idle = [(one, *one.stage(now)) for one in self._all]
        idle = [found for found in idle if found[1] is not Stage.busy]
        closed = 0
        while idle and closed < count:
            place = min(range(len(idle)), key=lambda n: (-crowds[idle[n][0].address], *idle[n][1:]))
            one, stage, _ = idle.pop(place)
            if closed and stage > Stage.idle:
                break
            crowds[one.address] -= 1
            one.cut()
            self._all.discard(one)
            closed += 1
        return closed

    def _tell_full(self) -> None:
        crowds = Counter(one.address for one in self._all)
        where = f"; most of them come from {crowds.most_common(1)[0][0]}" if crowds else ""
        told = self.limited_log(
            "full",
            f"the page has {self.most} connections, as many as it takes: those that ask for nothing are closed "
            f"for new ones ({self._closed} so far), and where all are busy new ones get 503 ({self._refused}){where}",
        )
        if told:
            self._closed = self._refused = 0


class Listener:
    """Accepts connections of a listening socket, in place of asyncio's own server."""

    def __init__(
        self,
        sock: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
        connections: Connections,
        *,
        secure: ssl.SSLContext | None = None,
        backlog: int = 256,
    ) -> None:
        self._sock = sock
        self._protocol = protocol
        self._connections = connections
        self._secure = secure
        self._loop = asyncio.get_running_loop()
        self._refused: set[socket.socket] = set()
        sock.setblocking(False)
        sock.listen(backlog)
        self._loop.add_reader(sock.fileno(), self._accept)
        self._retry: asyncio.TimerHandle | None = None
        self._looking = self._loop.create_task(self._look())

    def close(self) -> None:
        """Accept no more, and end what has not got so far as to be a connection of the server."""
        self._looking.cancel()
        if self._retry is not None:
            self._retry.cancel()
        if self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock.fileno())
        for sock in tuple(self._refused):
            self._end_refused(sock)
        for one in tuple(self._connections._all):
            if one.transport is None:
                one.cut()

    async def wait_closed(self) -> None:
        """Nothing is left to wait for."""

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            self._connections.look()

    def _accept(self) -> None:
        for n in range(_AT_ONCE):
            try:
                sock, address = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno in _NO_ROOM:
                    self._without_descriptors(error)
                return  # whoever it was is gone
            sock.setblocking(False)
            self._take(sock, network_of(str(address[0])))
            if (
                n + 1 >= _AT_ONCE_FULL and self._connections.is_crowded
            ):  # a crowd must not keep the loop, and the core, for itself
                self._pause(_PAUSE_SECONDS)
                return

    def _without_descriptors(self, error: OSError) -> None:
        """The socket stays readable then: to go on at once would take the whole core."""
        self._connections.close_idle(max(1, len(self._connections) // 4))
        self._connections.limited_log(
            "files",
            f"the page cannot take connections: {why(error)}; idle ones are closed, and it tries again",
        )
        self._pause(_RETRY_SECONDS)

    def _pause(self, seconds: float) -> None:
        self._loop.remove_reader(self._sock.fileno())
        self._retry = self._loop.call_later(seconds, self._go_on)

    def _go_on(self) -> None:
        if self._sock.fileno() >= 0:
            self._loop.add_reader(self._sock.fileno(), self._accept)

    def _take(self, sock: socket.socket, address: str) -> None:
        if not self._connections.make_room(address):
            self._refuse(sock)
            return
        connection = Connection(sock, address, self._connections._clock())
        self._connections.add(connection)
        connection.task = self._loop.create_task(self._begin(connection))

    async def _begin(self, connection: Connection) -> None:
        more: dict[str, Any] = {}
        if self._secure is not None:
            more = {
                "ssl": self._secure,
                "ssl_handshake_timeout": HANDSHAKE_SECONDS,
                "ssl_shutdown_timeout": LINGER_SECONDS,
            }
        try:
            made = await self._loop.connect_accepted_socket(self._protocol, connection.sock, **more)
            connection.transport = made[0]
        except (OSError, ssl.SSLError):  # it went, or speaks no TLS; its transport closes the socket
            self._connections.discard(connection)

    def _refuse(self, sock: socket.socket) -> None:
        """Say 503, as far as that goes at once."""
        if self._secure is not None or len(self._refused) >= _REFUSED_AT_ONCE:
            sock.close()
            return
        self._refused.add(sock)
        with suppress(OSError):
            sock.send(_BUSY_ANSWER)
            sock.shutdown(socket.SHUT_WR)
        # Closed at once, what it has sent meanwhile would be answered with a reset that overtakes the 503.
        self._loop.call_later(1.0, self._end_refused, sock)

    def _end_refused(self, sock: socket.socket) -> None:
        if sock in self._refused:
            self._refused.discard(sock)
            with suppress(OSError):
                sock.recv(65536)
            sock.close()

"""Connections to the page: accepting them, their limit, and which are closed when it is reached.

Connections are counted when they are accepted, before TLS and HTTP. The limit is far below the number of files that
the process may open: cameras, videos and the history need those. When it is reached, the address with the most
connections loses an idle one; where all are busy, the new one gets 503. Each kind of event is logged at most once a
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

from streamrec.core.messages import why

MOST = 256  # connections, where the process may have 1,024 files open or more
HANDSHAKE_SECONDS = 10.0  # for TLS
LINGER_SECONDS = 5.0  # for a closing connection to read what was sent
STALL_SECONDS = 120.0  # for one that reads nothing of what is sent
_STALLS_AFTER = 3.0  # seconds without progress, after which it may be closed for another
_LOG_SECONDS = 60.0  # between two messages of one kind
_PAUSE_SECONDS = 0.01  # pause in accepting while the limit is reached: at most 800 connections a second
_AT_ONCE_FULL = 8
_RETRY_SECONDS = 1.0  # after which a process without a free descriptor tries again
_AT_ONCE = 64  # accepted before the event loop continues
_REFUSED_AT_ONCE = 32  # whose 503 is on its way
_NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_BUSY = b'{"error": {"code": "busy", "message": "too many connections: try again in a moment"}}'
_BUSY_ANSWER = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 2\r\n"
    b"content-length: %d\r\nconnection: close\r\n\r\n%s" % (len(_BUSY), _BUSY)
)


class Stage(IntEnum):
    """What a connection does, in the order in which connections are closed to make room."""

    greeting = 0  # no complete request has arrived yet
    idle = 1  # its last request was answered
    sending = 2  # its request body is awaited
    stalled = 3  # it does not read what is sent
    busy = 4  # a request is being answered, or it is a WebSocket: never closed for another


def most_connections(share: int = 4) -> int:
    """The limit of connections: 256, or a quarter of the files that the process may open."""
    try:
        import resource
    except ImportError:  # Windows
        return MOST
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST if soft == resource.RLIM_INFINITY else max(8, min(MOST, soft // share))


def network_of(address: str) -> str:
    """The network of an address: a client with one IPv6 address has 2^64 of them, which count as one.

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
    """Logs messages, each kind at most once a minute.

    >>> logged, now = [], [0.0]
    >>> log = RateLimitedLog(logged.append, clock=lambda: now[0])
    >>> log("full", "it is full"), log("full", "it is full"), log("other", "x")
    (True, False, True)
    >>> now[0] = 61.0
    >>> log("full", "it is full again"), logged
    (True, ['it is full', 'x', 'it is full again'])
    """

    def __init__(self, log: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._log, self._clock = log, clock
        self._last: dict[str, float] = {}

    def may(self, kind: str) -> bool:
        """Whether a message of this kind would be logged now."""
        return self._clock() - self._last.get(kind, float("-inf")) >= _LOG_SECONDS

    def __call__(self, kind: str, message: str) -> bool:
        """Log it, unless one of its kind was logged within a minute; whether it was logged."""
        if not self.may(kind):
            return False
        if len(self._last) > 100:
            self._last.clear()
        self._last[kind] = self._clock()
        self._log(message)
        return True


class Connection:
    """An accepted connection. It has no transport until its TLS handshake is over."""

    def __init__(self, sock: socket.socket, address: str, now: float) -> None:
        self.sock = sock
        self.address = address
        self.accepted = now
        self.task: asyncio.Task[Any] | None = None
        self.transport: asyncio.Transport | None = None
        self._waiting = 0  # bytes that the client has not read
        self._moved = now  # when that number last changed
        self._closing: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether it still has its descriptor."""
        return self.sock.fileno() >= 0

    def check(self, now: float) -> None:
        """Measure its progress, once a second; a stalled connection is closed."""
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
        """What the connection does, and since when."""
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
        """Close it at once, even with data unsent."""
        if self.transport is not None:
            self.transport.abort()
            return
        with suppress(OSError):  # the transport that is being made reads the end, and closes it
            self.sock.shutdown(socket.SHUT_RDWR)


class Connections:
    """All connections. Used only in the server's event loop.

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
        self._closed = self._refused = 0  # since the last message about them
        self._crowded = False

    def __len__(self) -> int:
        return len(self._all)

    @property
    def is_crowded(self) -> bool:
        """Whether the limit was reached within the last second or two."""
        return self._crowded

    def add(self, connection: Connection) -> None:
        """Count an accepted connection."""
        self._all.add(connection)

    def discard(self, connection: Connection) -> None:
        """Forget a closed connection."""
        self._all.discard(connection)

    def check(self) -> None:
        """Forget closed connections and close stalled ones, once a second."""
        now = self._clock()
        self._crowded = False
        self._all = {one for one in self._all if one.is_open}
        for one in tuple(self._all):
            one.check(now)
        if (self._closed or self._refused) and self.limited_log.may("full"):
            self._log_full()

    def make_room(self, address: str) -> bool:
        """Whether a new connection from this address fits in; at the limit, another one is closed for it."""
        if len(self._all) >= self.most:
            self._all = {one for one in self._all if one.is_open}
        if len(self._all) < self.most:
            return True
        self._crowded = True
        # Several at once: checking all connections for each new one would take the whole core.
        made = self.close_idle(max(1, self.most // 16))
        self._closed += made
        self._refused += not made
        if self.limited_log.may("full"):
            self._log_full()
        return made > 0

    def close_idle(self, count: int) -> int:
        """Close up to so many, from the address with the most connections first; how many were closed.

        More than one only of idle connections.
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

    def _log_full(self) -> None:
        crowds = Counter(one.address for one in self._all)
        where = f"; most of them come from {crowds.most_common(1)[0][0]}" if crowds else ""
        logged = self.limited_log(
            "full",
            f"the page has {self.most} connections, as many as it takes: those that ask for nothing are closed "
            f"for new ones ({self._closed} so far), and where all are busy new ones get 503 ({self._refused}){where}",
        )
        if logged:
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
        self._checking = self._loop.create_task(self._check_on())

    def close(self) -> None:
        """Accept no more, and close connections that have no transport yet."""
        self._checking.cancel()
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
        """Nothing to wait for."""

    async def _check_on(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            self._connections.check()

    def _accept(self) -> None:
        for n in range(_AT_ONCE):
            try:
                sock, address = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno in _NO_ROOM:
                    self._without_descriptors(error)
                return  # the client is gone
            sock.setblocking(False)
            self._take(sock, network_of(str(address[0])))
            if (
                n + 1 >= _AT_ONCE_FULL and self._connections.is_crowded
            ):  # many connections at once must not take the loop, and the core, for themselves
                self._pause(_PAUSE_SECONDS)
                return

    def _without_descriptors(self, error: OSError) -> None:
        """Pause accepting: the socket stays readable, and retrying at once would take the whole core."""
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
        except (OSError, ssl.SSLError):  # it is gone, or does not speak TLS; its transport closes the socket
            self._connections.discard(connection)

    def _refuse(self, sock: socket.socket) -> None:
        """Answer 503, if that is possible without waiting."""
        if self._secure is not None or len(self._refused) >= _REFUSED_AT_ONCE:
            sock.close()
            return
        self._refused.add(sock)
        with suppress(OSError):
            sock.send(_BUSY_ANSWER)
            sock.shutdown(socket.SHUT_WR)
        # Closing at once would answer data in flight with a reset that overtakes the 503.
        self._loop.call_later(1.0, self._end_refused, sock)

    def _end_refused(self, sock: socket.socket) -> None:
        if sock in self._refused:
            self._refused.discard(sock)
            with suppress(OSError):
                sock.recv(65536)
            sock.close()

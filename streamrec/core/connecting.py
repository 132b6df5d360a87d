"""Connecting to a host within a deadline that holds for all that follows, too."""

from __future__ import annotations

import contextlib
import socket
import threading
import time


class Deadline:
    """Cuts a connection off after so many seconds, even where a byte arrives now and then."""

    def __init__(self, seconds: float) -> None:
        self._ends = time.monotonic() + seconds
        self._socket: socket.socket | None = None
        self.expired = False
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True
        self._timer.start()

    @property
    def left(self) -> float:
        """Seconds until the deadline."""
        return self._ends - time.monotonic()

    def watch(self, sock: socket.socket) -> socket.socket:
        """Cut this socket off at the deadline."""
        sock.settimeout(max(0.001, self.left))
        self._socket = sock
        if self.expired:
            raise TimeoutError
        return sock

    def _cut(self) -> None:
        self.expired = True
        if self._socket is not None:
            with contextlib.suppress(OSError):
                # Not SSLSocket.shutdown, which removes the object that the other thread reads from.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def close(self) -> None:
        """Cancel the deadline."""
        self._timer.cancel()
        self._socket = None


def connected(host: str, port: int, seconds: float) -> socket.socket:
    """A connection to the first of the host's addresses that answers, within so many seconds in all."""
    ends = time.monotonic() + seconds
    failure: OSError | None = None
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        if time.monotonic() >= ends:
            raise TimeoutError
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(max(0.001, ends - time.monotonic()))
            sock.connect(address)
            return sock
        except OSError as error:
            sock.close()
            failure = error
    raise failure or OSError("it has no address")

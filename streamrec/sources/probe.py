"""Whether a lost camera is reachable again: a request to its port that needs no password."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack
from dataclasses import dataclass

from streamrec.core.address import split_address
from streamrec.sources.reader_thread import ReaderThread, sleep

_AT_ONCE = 0.3  # seconds


@dataclass(frozen=True, slots=True)
class ReachabilityProbe:
    """Where a camera listens, and a request for it that needs no password."""

    host: str
    port: int
    request: bytes  # b"": only that the port opens can be checked

    @classmethod
    def of(cls, address: str) -> ReachabilityProbe | None:
        """The probe of an address; None where there is none: UDP, or an address that is not understood."""
        parts = split_address(address)
        kinds = {
            "rtsp": (554, b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n"),
            "http": (80, b"OPTIONS * HTTP/1.0\r\n\r\n"),
            "rtsps": (322, b""),
            "https": (443, b""),
            "rtmp": (1935, b""),
        }
        scheme = "" if parts is None else parts.scheme.partition(":")[0].lower()
        if parts is None or scheme not in kinds or not parts.is_place or not parts.host:
            return None
        port, request = kinds[scheme]
        return cls(parts.host, parts.port or port, request)

    def answers_within(self, seconds: float, reader: ReaderThread, *, wary: bool, stay: bool = False) -> bool:
        """Wait so long, or until the camera answers; ``wary``: only an answer after a silence counts.

        ``stay``: keep the connection of an answer open, to notice a restart of the camera, however quick.
        """
        until = time.monotonic() + seconds
        silent = not wary and bool(self.request)  # an open port alone is no sign of a camera that works
        quick = closes_each = False  # it closes connections at once, as HTTP servers do: no sign of a restart
        while not reader.unwanted and time.monotonic() < until:
            again = time.monotonic() + 1.0
            with ExitStack() as connections:
                answered = self._answer(until, reader, connections)
                if answered is not None and silent:
                    return True
                silent = silent or answered is None
                if answered is not None and stay and not closes_each:
                    begun = time.monotonic()
                    if _is_closed(answered, until, reader):
                        before, quick = quick, time.monotonic() - begun < _AT_ONCE
                        closes_each = before and quick
                        if not closes_each:
                            again = time.monotonic() + 0.1  # did it restart, or only close this connection?
            sleep(min(until, again) - time.monotonic(), reader)
        return False

    def _answer(self, until: float, reader: ReaderThread, connections: ExitStack) -> socket.socket | None:
        """The connection on which the camera has answered, which ``connections`` closes; None: no answer."""
        try:
            line = connections.enter_context(socket.create_connection((self.host, self.port), timeout=1.0))
            if not self.request:
                return line
            line.sendall(self.request)
            line.settimeout(0.2)
            while not reader.unwanted and time.monotonic() < until:
                try:
                    return line if line.recv(1) else None
                except TimeoutError:  # a camera that hangs answers when it works again
                    continue
        except (OSError, UnicodeError):
            pass
        return None


def _is_closed(line: socket.socket, until: float, reader: ReaderThread) -> bool:
    """Wait until the other side closes the connection; False: the time is up."""
    line.settimeout(0.2)
    while not reader.unwanted and time.monotonic() < until:
        try:
            if not line.recv(4096):
                return True
        except TimeoutError:
            continue
        except OSError:
            return True
    return False

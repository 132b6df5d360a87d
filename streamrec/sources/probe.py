"""Whether a camera that was lost is there again: asked where it answers, with a question that needs no password."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack
from dataclasses import dataclass

from streamrec.core.address import split_address
from streamrec.sources.reader_thread import Attempt, sleep

_AT_ONCE = 0.3  # seconds


@dataclass(frozen=True, slots=True)
class Door:
    """Where a camera answers, and what to say there: a question that needs no password."""

    host: str
    port: int
    question: bytes  # b"": that it opens is all that can be asked

    @classmethod
    def of(cls, address: str) -> Door | None:
        """None where there is no such door: UDP, or an address that is not understood."""
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
        port, question = kinds[scheme]
        return cls(parts.host, parts.port or port, question)

    def opens_within(self, seconds: float, attempt: Attempt, *, wary: bool, stay: bool = False) -> bool:
        """Wait so long, or until the camera answers; ``wary``: after it did not.

        ``stay``: where it answers, stay on the line, and so see that it starts anew, however quickly.
        """
        until = time.monotonic() + seconds
        silent = not wary and bool(self.question)  # that it opens says little of one that hangs
        quick = tired = False  # it hangs up on us at once, as HTTP servers do: that says nothing
        while not attempt.unwanted and time.monotonic() < until:
            again = time.monotonic() + 1.0
            with ExitStack() as held:
                answered = self._answers(until, attempt, held)
                if answered is not None and silent:
                    return True
                silent = silent or answered is None
                if answered is not None and stay and not tired:
                    begun = time.monotonic()
                    if _hangs_up(answered, until, attempt):
                        before, quick = quick, time.monotonic() - begun < _AT_ONCE
                        tired = before and quick
                        if not tired:
                            again = time.monotonic() + 0.1  # is it away, or was it tired of us?
            sleep(min(until, again) - time.monotonic(), attempt)
        return False

    def _answers(self, until: float, attempt: Attempt, held: ExitStack) -> socket.socket | None:
        """The line on which the camera has answered, open for as long as ``held``."""
        try:
            line = held.enter_context(socket.create_connection((self.host, self.port), timeout=1.0))
            if not self.question:
                return line
            line.sendall(self.question)
            line.settimeout(0.2)
            while not attempt.unwanted and time.monotonic() < until:
                try:
                    return line if line.recv(1) else None
                except TimeoutError:  # one that hangs answers when it hangs no more
                    continue
        except (OSError, UnicodeError):
            pass
        return None


def _hangs_up(line: socket.socket, until: float, attempt: Attempt) -> bool:
    """Wait so long, or until the other side closes the line; whether it has."""
    line.settimeout(0.2)
    while not attempt.unwanted and time.monotonic() < until:
        try:
            if not line.recv(4096):
                return True
        except TimeoutError:
            continue
        except OSError:
            return True
    return False

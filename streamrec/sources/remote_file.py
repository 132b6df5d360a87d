"""The bytes of a video file behind an HTTP address."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from streamrec.core.messages import why
from streamrec.core.process_end import READ
from streamrec.core.redact import redact_address
from streamrec.sources.file_bytes import UnreadableError, VideoBytes, ending_of
from streamrec.sources.open_errors import DEAF, LOST, REFUSED, UNKNOWN, no_answer

FILE_SECONDS = 30.0  # how long to wait for a server, whose disks may sleep, and how long to ask again
SAME_PLACE = 3  # answers in a row without a new byte: no more of it will come
STEP_OVER = 1 << 18  # bytes; a gap up to this is read, and not requested anew


class RemoteFile(VideoBytes):
    """A file behind an HTTP address. After a stall or a lost connection it is requested again from the same byte."""

    def __init__(self, address: str, *, patience: float = FILE_SECONDS) -> None:
        self.name = f"remote{ending_of(urlsplit(address).path)}"
        self._url, self._opener = _opener(address, self._connected)
        self._shown = redact_address(address)
        self._patience = patience
        self._at = self._wanted = 0  # position of the response, and of the reader
        self._response: Any = None
        self._socket: socket.socket | None = None
        self._left = False
        self._changed = threading.Condition()
        self._ranges = False

    def open(self) -> None:
        """Request the file; raises ``UnreadableError``."""
        try:
            self._request(0)
        except _NotYet as error:
            raise UnreadableError(str(error)) from None

    def read(self, most: int) -> bytes:
        """As ``VideoBytes``."""
        try:
            return self._read(most)
        except UnreadableError as error:
            self.lost = self.lost or str(error)
        except BaseException as error:  # PyAV would swallow it, a KeyboardInterrupt most of all
            self.error = error
            self.interrupt()
        return b""

    def seekable(self) -> bool:
        """As ``VideoBytes``."""
        return self._ranges and self.size is not None

    def seek(self, offset: int, whence: int = 0) -> int:
        """As ``VideoBytes``."""
        base = {0: 0, 1: self._wanted, 2: self.size or 0}[whence]
        self._wanted = max(0, base + offset)
        return self._wanted

    def tell(self) -> int:
        """As ``VideoBytes``."""
        return self._wanted

    def interrupt(self) -> None:
        """As ``VideoBytes``."""
        with self._changed:
            self._left = True
            line = self._socket
            self._changed.notify_all()
        if line is not None:
            _hang_up(line)

    def close(self) -> None:
        """As ``VideoBytes``."""
        self.interrupt()
        if self._response is not None:
            self._response.close()

    def _read(self, most: int) -> bytes:
        received_at, same_place, pause = time.monotonic(), 0, 0.0
        while not self._left:
            if self.size is not None and self._wanted >= self.size:
                return b""
            furthest = STEP_OVER if self._ranges else self._wanted  # a server without ranges begins anew
            if self._response is not None and not 0 <= self._wanted - self._at <= furthest:
                self._drop()
            try:
                if self._response is None:
                    self._wait(pause)
                    self._request(self._wanted)
                    same_place += 1
                if skipped := self._wanted - self._at:
                    data = self._response.read1(skipped)
                    self._at += len(data)
                    if data:
                        received_at = time.monotonic()
                        continue
                else:
                    data = self._response.read1(most)
                    self._at = self._wanted = self._wanted + len(data)
                    if data:
                        return bytes(data)
                if self.size is None:
                    return b""  # its length is not known
            except (OSError, http.client.HTTPException):
                pass  # the connection was lost, or was silent for too long
            except _NotYet as error:
                if time.monotonic() - received_at >= self._patience:
                    raise UnreadableError(str(error)) from None
            self._drop()
            if self._left:
                break
            if same_place >= SAME_PLACE or time.monotonic() - received_at >= 2 * self._patience:
                raise UnreadableError(LOST)
            pause = 2.0 * pause if pause else 0.5 if same_place else 0.01
        return b""

    def _wait(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._left, min(seconds, 8.0))

    def _drop(self) -> None:
        if self._response is not None:
            self._response.close()
        self._response = None

    def _connected(self, line: socket.socket) -> None:
        with self._changed:
            self._socket = line
            left = self._left
        if left:
            _hang_up(line)

    def _request(self, start: int) -> None:
        """Request the file from this byte on; raises ``UnreadableError``, or ``_NotYet`` if a later try may succeed."""
        request = urllib.request.Request(
            self._url, headers={"Range": f"bytes={start}-", "User-Agent": "Lavf/61"}
        )
        answer: list[Any] = []

        def ask() -> None:
            # In a thread of its own: nothing ends a DNS query, or a connection that is being made.
            try:
                answer.append(self._opener.open(request, timeout=self._patience))
            except BaseException as error:
                answer.append(error)
            with self._changed:
                self._changed.notify_all()

        thread = threading.Thread(target=ask, name=f"{READ} {self._shown}", daemon=True)
        thread.start()
        with self._changed:
            self._changed.wait_for(lambda: answer or self._left, 2 * self._patience)
        if self._left:
            raise UnreadableError(LOST)
        found = answer[0] if answer else TimeoutError()
        if isinstance(found, BaseException):
            raise _explained(found, self._patience, again=start > 0)
        self._response, self._at = found, start if found.status == 206 else 0
        total = found.headers.get("Content-Range", "").rpartition("/")[2]
        length = found.headers.get("Content-Length", "")
        if found.status == 206:
            self._ranges = True
            size = int(total) if total.isdecimal() else start + int(length) if length.isdecimal() else None
        else:
            self._ranges = found.headers.get("Accept-Ranges", "").lower() == "bytes"
            size = int(length) if length.isdecimal() else None
        if self.size is not None and size is not None and size != self.size:
            raise UnreadableError("the file was changed at the server while it was read")
        self.size = self.size if size is None else size


class _NotYet(Exception):
    """The server has no answer now, and may have one soon; the message is for the case that it has not."""


def _hang_up(line: socket.socket) -> None:
    """End a read that is under way in another thread."""
    with suppress(OSError):
        socket.socket.shutdown(line, socket.SHUT_RDWR)  # with TLS, the connection below it


def _explained(error: BaseException, seconds: float, *, again: bool) -> Exception:
    """What to raise for an answer that is none; ``again``: the file was open already."""
    kind: type[Exception] = _NotYet if again else UnreadableError
    if isinstance(error, urllib.error.HTTPError):
        error.close()
        if error.code in (401, 403):
            return UnreadableError(REFUSED)
        if error.code in (404, 410):
            return UnreadableError(UNKNOWN)
        if error.code == 416:
            return UnreadableError(LOST)
        return kind(f"the server answers {error.code} {error.reason}".strip())
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, TimeoutError):
        return kind(no_answer(seconds))
    if isinstance(reason, ConnectionRefusedError):
        return kind(LOST if again else DEAF)
    if isinstance(reason, socket.gaierror):
        return kind("the name of the server is not known; check the address and the network")
    if isinstance(reason, http.client.HTTPException):
        return kind("what answers there is not a web server")
    if isinstance(reason, OSError):
        return kind(LOST if again else why(reason))
    return kind(f"the address cannot be asked: {type(reason).__name__}")


def _opener(address: str, connected: Callable[[socket.socket], None]) -> tuple[str, Any]:
    """The address without its user, and an opener that logs in with user and password, as FFmpeg does."""
    scheme, _, rest = address.partition("://")
    place = rest.split("/", 1)[0].split("?", 1)[0]
    user, at, host = place.rpartition("@")
    url = quote(f"{scheme}://{host}{rest[len(place) :]}", safe="%/:=&?~#+!$,;'@()*[]")

    class Plain(http.client.HTTPConnection):
        def connect(self) -> None:
            super().connect()
            connected(self.sock)

    class Secure(http.client.HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            connected(self.sock)

    # As FFmpeg does by default: recorders on a local network sign their own certificates.
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE

    class ByHttp(urllib.request.HTTPHandler):
        def http_open(self, request: Any) -> Any:
            return self.do_open(Plain, request)

    class ByHttps(urllib.request.HTTPSHandler):
        def https_open(self, request: Any) -> Any:
            return self.do_open(partial(Secure, context=trusting), request)

    handlers: list[Any] = [ByHttp(), ByHttps()]
    if at:
        name, _, password = user.partition(":")
        known = urllib.request.HTTPPasswordMgrWithDefaultRealm()
        known.add_password(None, f"{scheme}://{host}/", unquote(name), unquote(password))
        handlers += [
            urllib.request.HTTPDigestAuthHandler(known),
            urllib.request.HTTPBasicAuthHandler(known),
        ]
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
        *handlers,
    ):
        opener.add_handler(handler)  # no file:, no ftp:, whatever a redirect says
    return url, opener

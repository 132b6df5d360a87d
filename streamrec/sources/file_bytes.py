"""The bytes of a recording, wherever it lies: a file of any name, a pipe, or behind an HTTP address."""

from __future__ import annotations

import http.client
import io
import os
import select
import socket
import ssl
import stat
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from streamrec.core.files import why
from streamrec.core.redact import redact_address
from streamrec.core.text import printable
from streamrec.errors import SourceError
from streamrec.sources.video_io import DEAF, LOST, REFUSED, UNKNOWN, no_answer

FILE_SECONDS = 30.0  # a store may sleep: so long a file behind an address is waited for, and asked for again
SAME_PLACE = 3  # answers in a row without one new byte: more of it will not come
STEP_OVER = 1 << 18  # bytes: what is skipped by reading on and not by asking anew
SLACK = 1024  # bytes by which writers of AVI and WMV err
STDIN = ("-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0")


class UnreadableError(SourceError):
    """A recording cannot be read; the sentence says why, and does not name it."""


class Recording:
    """Bytes as PyAV reads them: ``read``, and where they can be read in any order ``seek`` and ``tell``.

    ``lost``: why the rest did not come, in words; "" where all did. ``error``: what was raised while FFmpeg
    asked for bytes, where nothing can be raised; it is raised afterwards.
    """

    name = ""  # a hint for FFmpeg: the file's own ending, never a path
    lost = ""
    size: int | None = None
    error: BaseException | None = None

    def open(self) -> None:
        """Wait until there is something to read."""

    def read(self, most: int) -> bytes:
        """At most so many bytes; none at the end."""
        raise NotImplementedError

    def seekable(self) -> bool:
        """Whether ``seek`` works."""
        return False

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to another place."""
        raise io.UnsupportedOperation("seek")

    def tell(self) -> int:
        """Bytes before the next one that is read."""
        raise NotImplementedError

    def for_ffmpeg(self) -> Any:
        """What PyAV is given."""
        return self

    def interrupt(self) -> None:
        """End a wait that is under way; nothing more is read. Called from any thread."""

    def close(self) -> None:
        """Nobody reads any more."""


class LocalFile(Recording):
    """A regular file. It is read by C alone, so that it costs what FFmpeg's own reading does."""

    def __init__(self, file: io.FileIO) -> None:
        self.file = file
        self.size = os.fstat(file.fileno()).st_size

    def for_ffmpeg(self) -> Any:
        """The file itself."""
        return self.file

    def read(self, most: int) -> bytes:
        """As ``Recording``."""
        return self.file.read(most) or b""

    def seekable(self) -> bool:
        """As ``Recording``."""
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        """As ``Recording``."""
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        """As ``Recording``."""
        return self.file.tell()

    def close(self) -> None:
        """As ``Recording``."""
        self.file.close()


class Pipe(Recording):
    """What another program writes; it can be read once, from the beginning on."""

    def __init__(self, handle: int, ending: str = "") -> None:
        self.name = f"pipe{ending}"
        self._handle, self._at, self._left = handle, 0, False
        self._woken, self._wake = os.pipe()
        self._closing = threading.Lock()
        self._open = True

    def read(self, most: int) -> bytes:
        """As ``Recording``."""
        try:
            if hasattr(select, "poll"):  # Windows has none, and no way to end the wait
                poll = select.poll()
                poll.register(self._handle, select.POLLIN)
                poll.register(self._woken, select.POLLIN)
                poll.poll()
            if self._left:
                return b""
            data = os.read(self._handle, most)
        except BaseException as error:
            if not isinstance(error, OSError):
                self.error = error
                return b""
            self.lost = why(error)
            return b""
        self._at += len(data)
        return data

    def tell(self) -> int:
        """As ``Recording``."""
        return self._at

    def interrupt(self) -> None:
        """As ``Recording``."""
        self._left = True
        with self._closing:
            if self._open:
                os.write(self._wake, b"x")

    def close(self) -> None:
        """As ``Recording``."""
        with self._closing:
            if self._open:
                self._open = False
                for handle in (self._handle, self._woken, self._wake):
                    os.close(handle)


class RemoteFile(Recording):
    """A file behind an HTTP address. A line that falls silent or breaks is asked again from the same byte."""

    def __init__(self, address: str, *, patience: float = FILE_SECONDS) -> None:
        self.name = f"remote{ending_of(urlsplit(address).path)}"
        self._url, self._opener = _opener(address, self._connected)
        self._shown = redact_address(address)
        self._patience = patience
        self._at = self._wanted = 0  # of the stream that is open, and of whoever reads
        self._response: Any = None
        self._socket: socket.socket | None = None
        self._left = False
        self._changed = threading.Condition()
        self._ranges = False

    def open(self) -> None:
        """Ask for it; raises ``UnreadableError`` in words."""
        try:
            self._ask(0)
        except _Later as later:
            raise UnreadableError(str(later)) from None

    def read(self, most: int) -> bytes:
        """As ``Recording``."""
        try:
            return self._read(most)
        except UnreadableError as error:
            self.lost = self.lost or str(error)
        except BaseException as error:  # PyAV would swallow it, a KeyboardInterrupt most of all
            self.error = error
            self.interrupt()
        return b""

    def seekable(self) -> bool:
        """As ``Recording``."""
        return self._ranges and self.size is not None

    def seek(self, offset: int, whence: int = 0) -> int:
        """As ``Recording``."""
        base = {0: 0, 1: self._wanted, 2: self.size or 0}[whence]
        self._wanted = max(0, base + offset)
        return self._wanted

    def tell(self) -> int:
        """As ``Recording``."""
        return self._wanted

    def interrupt(self) -> None:
        """As ``Recording``."""
        with self._changed:
            self._left = True
            line = self._socket
            self._changed.notify_all()
        if line is not None:
            _hang_up(line)

    def close(self) -> None:
        """As ``Recording``."""
        self.interrupt()
        if self._response is not None:
            self._response.close()

    def _read(self, most: int) -> bytes:
        heard, same_place, pause = time.monotonic(), 0, 0.0
        while not self._left:
            if self.size is not None and self._wanted >= self.size:
                return b""
            furthest = STEP_OVER if self._ranges else self._wanted  # a server without ranges begins anew
            if self._response is not None and not 0 <= self._wanted - self._at <= furthest:
                self._drop()
            try:
                if self._response is None:
                    self._wait(pause)
                    self._ask(self._wanted)
                    same_place += 1
                if skipped := self._wanted - self._at:
                    data = self._response.read1(skipped)
                    self._at += len(data)
                    heard = time.monotonic() if data else heard
                    if data:
                        continue
                else:
                    data = self._response.read1(most)
                    self._at = self._wanted = self._wanted + len(data)
                    if data:
                        return bytes(data)
                if self.size is None:
                    return b""  # nobody told how long it is
            except (OSError, http.client.HTTPException):
                pass  # the line broke, or was silent for too long
            except _Later as later:
                if time.monotonic() - heard >= self._patience:
                    raise UnreadableError(str(later)) from None
            self._drop()
            if self._left:
                break
            if same_place >= SAME_PLACE or time.monotonic() - heard >= 2 * self._patience:
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

    def _ask(self, start: int) -> None:
        """Ask for the file from this byte on; raises ``SourceError`` in words, ``_Later`` where it may come yet."""
        request = urllib.request.Request(
            self._url, headers={"Range": f"bytes={start}-", "User-Agent": "Lavf/61"}
        )
        answer: list[Any] = []

        def ask() -> None:
            # In a thread of its own: nothing ends the look-up of a name, or a connection that is being made.
            try:
                answer.append(self._opener.open(request, timeout=self._patience))
            except BaseException as error:
                answer.append(error)
            with self._changed:
                self._changed.notify_all()

        thread = threading.Thread(target=ask, name=f"read {self._shown}", daemon=True)
        thread.start()
        with self._changed:
            self._changed.wait_for(lambda: answer or self._left, 2 * self._patience)
        if self._left:
            raise UnreadableError(LOST)
        found = answer[0] if answer else TimeoutError()
        if isinstance(found, BaseException):
            raise _in_words(found, self._patience, again=start > 0)
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


class _Later(Exception):
    """The server has no answer now, and may have one soon; its text is what to say if it has not."""


def _hang_up(line: socket.socket) -> None:
    """End a read that is under way in another thread."""
    with suppress(OSError):
        socket.socket.shutdown(line, socket.SHUT_RDWR)  # of TLS too the line itself


def _in_words(error: BaseException, seconds: float, *, again: bool) -> Exception:
    """What to raise for an answer that is none; ``again``: the file was open already."""
    kind: type[Exception] = _Later if again else UnreadableError
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
    """The address without its user, and what opens it with user and password, as FFmpeg would."""
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


def ending_of(path: str | Path) -> str:
    """The ending of a name, where FFmpeg may take it for a hint: letters and digits.

    >>> ending_of("12:30 %d.TS"), ending_of("x.m3u8|y")
    ('.ts', '')
    """
    ending = Path(path).suffix.lower()
    return ending if ending[1:].isascii() and ending[1:].isalnum() and len(ending) <= 8 else ""


def open_file(path: Path, *, pipes: bool) -> Recording:
    """The bytes at this path; ``pipes``: also those of a pipe. Never waits. Raises ``SourceError`` in words."""
    shown = printable(str(path))
    standard = str(path) in STDIN
    try:
        # A pipe that nobody writes into would hold an opening that waits.
        handle = os.dup(0) if standard else os.open(path, os.O_RDONLY | _NOT_WAITING)
    except OSError as error:
        raise SourceError(f"{shown} cannot be read: {why(error)}") from error
    try:
        mode = os.fstat(handle).st_mode
        if stat.S_ISREG(mode):
            file = io.FileIO(handle, closefd=True)
            file.name = f"file{ending_of(path)}"
            if standard:
                file.seek(0)
            return LocalFile(file)
        if (stat.S_ISFIFO(mode) or (standard and stat.S_ISSOCK(mode))) and pipes:
            return Pipe(handle, ending_of(path))
        raise SourceError(f"{shown} is {_kind(mode)}, and not a file that can be read{_advice(mode, pipes)}")
    except BaseException:
        os.close(handle)
        raise


_NOT_WAITING = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFDIR: "a folder",
        stat.S_IFBLK: "a disk",
    }
    return kinds.get(stat.S_IFMT(mode), "a device")


def _advice(mode: int, pipes: bool) -> str:
    if stat.S_ISFIFO(mode):
        return "; a pipe can be read once, by `streamrec run`"
    return "; pipe a video into it" if stat.S_ISCHR(mode) and pipes else ""


def missing_bytes(file: Recording) -> int:
    """How many bytes a local file lacks by what its own header says: 0 where all are there, or it does not say.

    Matroska and WebM, AVI, WMV, and MP4 with its relatives tell how long they are; MPEG-TS comes in whole packets.
    """
    if not isinstance(file, LocalFile):
        return 0
    place = file.tell()
    try:
        return max(0, _promised(file) - (file.size or 0))
    except (OSError, IndexError, ValueError):
        return 0
    finally:
        file.seek(place)


def _promised(file: LocalFile) -> int:
    """Bytes that the header promises; 0: it says nothing."""
    file.seek(0)
    head = file.read(64)
    if head[:4] == b"\x1a\x45\xdf\xa3":
        length, at = _vint(head, 4)
        at += length or 0
        file.seek(at)
        head = file.read(12)
        if head[:4] != b"\x18\x53\x80\x67":
            return 0
        length, after = _vint(head, 4)
        return 0 if length is None else at + after + length
    if head[:4] == b"RIFF" and head[8:12] in (b"AVI ", b"WEBP"):
        return 8 + int.from_bytes(head[4:8], "little") - SLACK
    if head[:4] == b"\x30\x26\xb2\x75":  # ASF: WMV
        file.seek(0)
        head = file.read(1 << 16)
        at = head.find(bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365"))
        return 0 if at < 0 else int.from_bytes(head[at + 40 : at + 48], "little") - SLACK
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip", b"styp"):
        return _end_of_boxes(file)
    if head[:1] == b"\x47" and all(file.size % each for each in (188, 192, 204) if file.size):
        return (file.size or 0) // 188 * 188 + 188
    return 0


def _vint(data: bytes, at: int) -> tuple[int | None, int]:
    """A length of EBML and where it ends; None: unknown, as of what was written while it was filmed."""
    width = 9 - data[at].bit_length()
    value = int.from_bytes(data[at : at + width], "big") & ((1 << 7 * width) - 1)
    return (None if value == (1 << 7 * width) - 1 else value), at + width


def _end_of_boxes(file: LocalFile) -> int:
    at = 0
    for _ in range(100_000):
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            return at
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if length < 8:
            return 0  # it goes on to the end, or is no box
        if not all(0x20 <= letter < 0x7F or letter == 0xA9 for letter in head[4:8]):
            return 0  # what follows the last box
        at += length
        if at >= (file.size or 0):
            return at
    return 0

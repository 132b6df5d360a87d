"""The bytes of a video in a local file of any name, or in a pipe."""

from __future__ import annotations

import io
import os
import select
import stat
import threading
from pathlib import Path
from typing import Any

from streamrec.core.messages import why
from streamrec.core.redact import redact_address
from streamrec.core.text import printable
from streamrec.errors import SourceError

STDIN = ("-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0")


class UnreadableError(SourceError):
    """A video cannot be read; the message is the reason, without its name."""


class VideoBytes:
    """Bytes as PyAV reads them: ``read``, and where they can be read in any order ``seek`` and ``tell``.

    ``lost``: why the rest was not received; "" where all was. ``error``: an exception while FFmpeg read, which may
    not see it; it is raised afterwards.
    """

    name = ""  # a hint for FFmpeg: the file's own ending, never a path
    lost = ""
    size: int | None = None
    error: BaseException | None = None

    def open(self) -> None:
        """Wait until there is something to read."""

    def read(self, most: int) -> bytes:
        """At most so many bytes; b"" at the end."""
        raise NotImplementedError

    def seekable(self) -> bool:
        """Whether ``seek`` works."""
        return False

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to another place."""
        raise io.UnsupportedOperation("seek")

    def tell(self) -> int:
        """The position: bytes before the next one that is read."""
        raise NotImplementedError

    def for_ffmpeg(self) -> Any:
        """The object that PyAV opens."""
        return self

    def interrupt(self) -> None:
        """End a wait that is under way; nothing more is read. Called from any thread."""

    def close(self) -> None:
        """Release the file; nothing is read afterwards."""


class LocalFile(VideoBytes):
    """A regular file. C code alone reads it, so that it costs what FFmpeg's own reading does."""

    def __init__(self, file: io.FileIO) -> None:
        self.file = file
        self.size = os.fstat(file.fileno()).st_size

    def for_ffmpeg(self) -> Any:
        """The file itself."""
        return self.file

    def read(self, most: int) -> bytes:
        """As ``VideoBytes``."""
        return self.file.read(most) or b""

    def seekable(self) -> bool:
        """As ``VideoBytes``."""
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        """As ``VideoBytes``."""
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        """As ``VideoBytes``."""
        return self.file.tell()

    def close(self) -> None:
        """As ``VideoBytes``."""
        self.file.close()


class Pipe(VideoBytes):
    """The output of another program; it can be read once, from its beginning."""

    def __init__(self, handle: int, ending: str = "") -> None:
        self.name = f"pipe{ending}"
        self._handle, self._at, self._left = handle, 0, False
        self._woken, self._wake = os.pipe()
        self._closing = threading.Lock()
        self._open = True

    def read(self, most: int) -> bytes:
        """As ``VideoBytes``."""
        try:
            if hasattr(select, "poll"):  # Windows has no poll, and no way to end the wait
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
        """As ``VideoBytes``."""
        return self._at

    def interrupt(self) -> None:
        """As ``VideoBytes``."""
        self._left = True
        with self._closing:
            if self._open:
                os.write(self._wake, b"x")

    def close(self) -> None:
        """As ``VideoBytes``."""
        with self._closing:
            if self._open:
                self._open = False
                for handle in (self._handle, self._woken, self._wake):
                    os.close(handle)


def ending_of(path: str | Path) -> str:
    """The ending of a name as a hint for FFmpeg: letters and digits only, else "".

    >>> ending_of("12:30 %d.TS"), ending_of("x.m3u8|y")
    ('.ts', '')
    """
    ending = Path(path).suffix.lower()
    return ending if ending[1:].isascii() and ending[1:].isalnum() and len(ending) <= 8 else ""


def existing(path: Path) -> Path:
    """The absolute path of a file or pipe that is there and not empty; raises ``SourceError``."""
    if not path.exists():
        hint = "; an address begins with rtsp:// or http://" if "@" in str(path) else ""
        raise SourceError(f"there is no file {printable(redact_address(str(path)))}{hint}")
    if path.is_file() and path.stat().st_size == 0:
        raise SourceError(f"{printable(str(path))} is empty: 0 bytes")
    return path.absolute()


def open_file(path: Path, *, pipes: bool) -> VideoBytes:
    """Open the file at this path; ``pipes``: a pipe too. Never waits. Raises ``SourceError``."""
    shown = printable(str(path))
    standard = str(path) in STDIN
    try:
        # Without waiting: opening a pipe that no program writes to would block.
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

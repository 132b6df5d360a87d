"""Lines to a file, pipe or terminal without an error for the caller: a full disk is logged once and waited out."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from streamrec.core.files import open_private, too_full
from streamrec.core.messages import why

ROOM = 4 << 20  # bytes buffered in memory: some hours of events, a minute of predictions
_RETRY_SECONDS = 1.0  # between two attempts to write
_QUIET_SECONDS = 60.0  # between two messages about a slow reader
_GONE = (
    errno.EPIPE,
    errno.EIO,
    errno.ECONNRESET,
    errno.EBADF,
)  # of a pipe or a terminal: it will not recover


class LineFile:
    """Lines to a file, a pipe or a terminal; lines that cannot be written are buffered and tried again.

    ``target`` is a path, which lines are appended to (only the owner may read a new file), or an open stream, which
    stays open. ``write`` blocks as long as the system does, and raises only ``BrokenPipeError``, when the reader has
    gone. Up to ``room`` bytes are buffered, then the oldest lines are lost and counted; no line is ever cut. ``log``
    receives a message when writing fails, and one when it works again. A file that was moved or deleted is created
    again. Raises ``OSError`` where a path cannot be opened, unless the disk is full.
    """

    mode = "ab"  # it takes bytes, and text

    def __init__(
        self,
        target: Path | IO[Any],
        name: str,
        *,
        log: Callable[[str], object] = lambda message: None,
        append: bool = True,
        room: int = ROOM,
    ) -> None:
        self.name = name
        self.lost = 0  # lines, since the last message about it
        self.complete = True  # no line was ever lost
        self.gone = False  # the reader has gone
        self._log = log
        self._room = room
        self._waiting: deque[bytes] = deque()
        self._size = 0  # bytes buffered
        self._half = 0  # bytes written of an incomplete line
        self._failing = False
        self._lock = threading.RLock()
        self._tried = self._checked = -_RETRY_SECONDS  # time.monotonic()
        self._path = target if isinstance(target, Path) else None
        self._stream = None if isinstance(target, Path) else target
        self._file: int | None = None
        self.encoding = getattr(target, "encoding", None) or "utf-8"
        if self._path is not None:
            try:
                if not append and self._path.is_file():
                    open_private(self._path, "wb").close()
                self._open()
            except OSError as error:
                if not too_full(error):
                    raise
                self._fail(error)
        else:
            assert self._stream is not None
            with contextlib.suppress(OSError, ValueError):
                self._stream.flush()
                self._file = self._stream.fileno()

    @property
    def failing(self) -> bool:
        """Whether lines are buffered that could not be written."""
        return self._failing

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self._stream is not None and self._stream.isatty()

    def fileno(self) -> int:
        """The file descriptor; raises ``OSError`` where there is none."""
        if self._file is None:
            raise OSError(errno.EBADF, "no file is open")
        return self._file

    def flush(self) -> None:
        """Nothing to do: ``write`` hands everything to the system."""

    def write(self, text: bytes | str) -> int:
        """Add lines, whole ones."""
        data = text.encode(self.encoding, "backslashreplace") if isinstance(text, str) else text
        if self.gone:
            raise BrokenPipeError(errno.EPIPE, "it is not read any more", self.name)
        with self._lock:
            self._add(data)
            self.go_on()
        return len(data)

    def _add(self, data: bytes) -> None:
        self._waiting.append(data)
        self._size += len(data)
        while self._size > self._room and len(self._waiting) > 1:
            # The first may be written in part: it is completed first.
            oldest = self._waiting[1]
            del self._waiting[1]
            self._size -= len(oldest)
            self.lost += max(1, oldest.count(b"\n"))
            self.complete = False

    def go_on(self) -> None:
        """Try to write what is buffered; shortly after a failure it does nothing."""
        with self._lock:
            now = time.monotonic()
            if self._failing and now - self._tried < _RETRY_SECONDS:
                return
            self._tried = now
            try:
                self._follow(now)
                while self._waiting:
                    self._step(self._waiting[0])
            except OSError as error:
                self._fail(error)
                return
            if self._failing:
                self._failing = False
                lost, self.lost = self.lost, 0
                loss = f"; meanwhile {_lines(lost)} lost" if lost else ""
                self._log(f"{self.name} is written again{loss}")

    def _step(self, first: bytes) -> None:
        done = self._put(first)
        self._size -= done
        self._waiting.popleft()
        self._half = 0
        if done < len(first):
            self._waiting.appendleft(first[done:])
            self._half = done - (first[:done].rfind(b"\n") + 1)

    def close(self) -> None:
        """Write what is buffered if possible, and log how many lines are lost. A stream stays open."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        self._tried = -_RETRY_SECONDS
        if self._waiting and not self.gone:
            self.go_on()
        self.lost += sum(max(1, data.count(b"\n")) for data in self._waiting)
        self.complete = self.complete and not self._waiting
        self._waiting.clear()
        if self.lost and not self.gone:
            self._log(f"{self.name}: {_lines(self.lost)} lost")
        self.lost = 0
        if self._path is not None and self._file is not None:
            file, self._file = self._file, None
            with contextlib.suppress(OSError):
                if self._half and self._path.is_file():  # remove the incomplete line
                    os.ftruncate(file, os.fstat(file).st_size - self._half)
            with contextlib.suppress(OSError):
                os.close(file)

    def _put(self, data: bytes) -> int:
        """Write a part of the data; returns how many bytes."""
        if self._file is None:  # a stream without a file descriptor
            assert self._stream is not None
            try:
                binary = isinstance(self._stream, io.RawIOBase | io.BufferedIOBase)
                self._stream.write(data if binary else data.decode(self.encoding, "replace"))
                self._stream.flush()
            except ValueError as error:  # it was closed
                raise OSError(errno.EBADF, str(error)) from error
            return len(data)
        while True:
            try:
                return os.write(self._file, data)
            except BlockingIOError:  # another process made the pipe non-blocking
                select.select([], [self._file], [], _RETRY_SECONDS)

    def _open(self) -> None:
        assert self._path is not None
        with open_private(self._path, "ab", buffering=0) as file:
            self._file = os.dup(file.fileno())

    def _follow(self, now: float) -> None:
        """Open the path if it is not open, or if another file has its name now (logrotate)."""
        if self._path is None:
            return
        if self._file is not None:
            if now - self._checked < _RETRY_SECONDS:
                return
            self._checked = now
            try:
                if os.path.samestat(os.fstat(self._file), self._path.stat()):
                    return
            except OSError:  # it was moved or deleted
                pass
            os.close(self._file)
            self._file = None
        self._open()

    def _fail(self, error: OSError) -> None:
        if error.errno in _GONE and self._path is None:
            self.gone = True
            self._waiting.clear()
            self._size = 0
            return
        if not self._failing:
            self._failing = True
            self._log(
                f"{self.name} cannot be written: {why(error)}; the rest goes on, and what is new waits for room"
            )


class BackgroundLineFile:
    """A ``LineFile`` that is written by a thread of its own: ``write`` never blocks.

    For callers that a stopped terminal or an unread pipe must not block. Up to ``room`` bytes are buffered; then the
    oldest lines are lost, counted, and logged. ``close`` waits up to ``patience`` seconds for what is left.
    """

    mode = "ab"

    def __init__(
        self,
        file: LineFile,
        *,
        log: Callable[[str], object] = lambda message: None,
        room: int = ROOM,
        patience: float = 2.0,
    ) -> None:
        self.name, self.encoding = file.name, file.encoding
        self.lost = 0  # lines, because the reader was slower; since the last message about it
        self._under = file
        self._log = log
        self._room, self._patience = room, patience
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._changed = threading.Condition()
        self._closed = False
        self._logged = -_QUIET_SECONDS  # time.monotonic()
        self.isatty, self.fileno = file.isatty, file.fileno
        self._thread = threading.Thread(target=self._work, name=f"write {file.name}", daemon=True)
        self._thread.start()

    @property
    def gone(self) -> bool:
        """Whether the reader has gone."""
        return self._under.gone

    @property
    def complete(self) -> bool:
        """Whether every line that reached the file was written."""
        return self._under.complete

    def flush(self) -> None:
        """Nothing to do: the thread writes as soon as it can."""

    def write(self, text: bytes | str) -> int:
        """Queue lines; raises ``BrokenPipeError`` when the reader has gone."""
        if self._under.gone:
            raise BrokenPipeError(errno.EPIPE, "it is not read any more", self.name)
        data = text.encode(self.encoding, "backslashreplace") if isinstance(text, str) else text
        with self._changed:
            self._waiting.append(data)
            self._size += len(data)
            while self._size > self._room and len(self._waiting) > 1:
                oldest = self._waiting.popleft()
                self._size -= len(oldest)
                self.lost += max(1, oldest.count(b"\n"))
            self._changed.notify_all()
        return len(data)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._waiting or self._closed, _RETRY_SECONDS if self._under.failing else None
                )
                data, closed = b"", self._closed
                if self._waiting:
                    data = self._waiting.popleft()
                    self._size -= len(data)
                lost = 0 if self._waiting else self.lost
                if lost and (closed or time.monotonic() - self._logged >= _QUIET_SECONDS):
                    self._logged, self.lost = time.monotonic(), 0
                else:
                    lost = 0
            if lost:  # before a write that may never return
                self._log(f"{self.name} was read too slowly: {_lines(lost)} lost")
            if not data and closed:
                break
            with contextlib.suppress(BrokenPipeError):
                if data:
                    self._under.write(data)
                else:
                    self._under.go_on()
        self._under.close()

    def close(self) -> None:
        """Write what is left, for up to ``patience`` seconds; a second call does nothing."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._changed.notify_all()
        self._thread.join(self._patience)
        if self._thread.is_alive():  # blocked by its reader: abandoned
            with self._changed:
                left = self.lost + sum(max(1, data.count(b"\n")) for data in self._waiting)
                self._waiting.clear()
            self._log(f"{self.name} was not read: {_lines(left)} lost")


def _lines(count: int) -> str:
    return f"{count} line{' was' if count == 1 else 's were'}"

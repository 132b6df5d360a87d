"""The SQLite database of a history: a file that one process writes and others read, or memory."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from streamrec.core.files import too_open
from streamrec.core.locks import Lock
from streamrec.core.messages import why
from streamrec.errors import HistoryError
from streamrec.outputs.history.tables import (
    alone_with,
    check_layout,
    connect,
    connect_memory,
    in_words,
    lock_of,
    open_writing,
    supply_later_tables,
    transaction,
)


@contextlib.contextmanager
def errors_as_sentences(path: Path) -> Iterator[None]:
    """Raise SQLite's errors and the file system's as ``HistoryError``."""
    try:
        yield
    except sqlite3.Error as error:
        raise HistoryError(in_words(path, error)) from error
    except OSError as error:
        raise HistoryError(f"cannot use {path}: {why(error)}; choose another place") from error


class FileDatabase:
    """Two connections to a file: one writes, locked against other processes; one reads, under a lock of its own.

    It notices that the file was deleted, moved away or replaced (``is_current``), and opens it again on request.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path, self.read_only = path, read_only
        self.closed = False
        self.writer: sqlite3.Connection | None = None
        self.reader: sqlite3.Connection | None = None
        self._reading = threading.RLock()
        self._lock: Lock | None = None
        self._identity: tuple[int, int] | None = None  # device and inode of the open file

    def open(self) -> tuple[str, ...]:
        """Open the file; warnings about it. Raises ``HistoryError``, ``OSError`` and ``sqlite3.Error``."""
        if not self.read_only:
            self._lock = alone_with(self.path)
            return self._open_writer()
        if not self.path.is_file():
            raise HistoryError(
                f"there is no history at {self.path}; `streamrec watch` and `run` write one with --history"
            )
        self._open_reader()
        return ()

    def reopen(self) -> tuple[bool, tuple[str, ...]]:
        """Open the file of this name now; whether there was one, and warnings about it."""
        with self._reading:  # the old connections first: they share files beside it with the new ones
            self._disconnect()
        existed = self.path.exists()
        if self._lock is None or not self._lock.is_of(lock_of(self.path)):
            if self._lock is not None:
                self._lock.release()
            self._lock = None
            self._lock = alone_with(self.path)
        return existed, self._open_writer()

    def _open_writer(self) -> tuple[str, ...]:
        existed = self.path.exists()
        self.writer, warnings = open_writing(self.path)
        if existed and (warning := too_open(self.path)) is not None:
            warnings = (*warnings, warning)
        self._open_reader()
        return warnings

    def _open_reader(self) -> None:
        with self._reading:
            if self.reader is not None:
                self.reader.close()
                self.reader = None
            self.reader = connect(self.path, "ro")
            check_layout(self.reader, self.path)
            supply_later_tables(self.reader)
            self._identity = _identity(self.path)

    def is_current(self) -> bool:
        """Whether the open file still has its name."""
        return self.writer is not None and _identity(self.path) == self._identity

    def read(self, statement: str, values: Iterable[Any]) -> list[Any]:
        """All rows of a SELECT."""
        with self._reading, errors_as_sentences(self.path):
            if self.closed:
                raise HistoryError(f"{self.path} is closed: open it anew to read")
            if self.read_only and _identity(self.path) != self._identity:  # its writer began a new file
                if not self.path.is_file():
                    raise HistoryError(f"{self.path} was deleted or moved away")
                self._open_reader()
            if self.reader is None:
                raise HistoryError(f"{self.path} was moved away, and cannot be begun anew yet")
            return self.reader.execute(statement, tuple(values)).fetchall()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All of it or nothing, on the disk when the block ends."""
        if self.writer is None:
            if not self.closed and not self.read_only:
                raise HistoryError(f"{self.path} was moved away, and cannot be begun anew yet")
            raise HistoryError(f"{self.path} is closed, or only read: open it to write")
        with transaction(self.writer):
            yield self.writer

    def close(self) -> None:
        """Close the connections and release the lock; a second time does nothing."""
        with self._reading:
            self.closed = True
            self._disconnect()
            if self._lock is not None:
                self._lock.release()
                self._lock = None

    def _disconnect(self) -> None:
        for connection in (self.reader, self.writer):
            if connection is not None:
                with contextlib.suppress(sqlite3.Error):
                    connection.close()
        self.reader = self.writer = None


class MemoryDatabase:
    """One connection to a database in memory, under one lock for reading and writing; gone when it is closed."""

    def __init__(self) -> None:
        self.path = Path(":memory:")
        self.read_only = False
        self.closed = False
        self.writer: sqlite3.Connection | None = None
        self._lock = threading.RLock()

    def open(self) -> tuple[str, ...]:
        """Make the tables."""
        self.writer = connect_memory()
        return ()

    def reopen(self) -> tuple[bool, tuple[str, ...]]:
        """Nothing takes its place."""
        return True, ()

    def is_current(self) -> bool:
        """Whether it is open."""
        return self.writer is not None

    def read(self, statement: str, values: Iterable[Any]) -> list[Any]:
        """All rows of a SELECT."""
        with self._lock, errors_as_sentences(self.path):
            if self.writer is None:
                raise HistoryError("the history in memory is closed")
            return self.writer.execute(statement, tuple(values)).fetchall()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All of it or nothing."""
        with self._lock:
            if self.writer is None:
                raise HistoryError("the history in memory is closed")
            with transaction(self.writer):
                yield self.writer

    def close(self) -> None:
        """Forget everything; a second time does nothing."""
        with self._lock:
            self.closed = True
            if self.writer is not None:
                self.writer.close()
                self.writer = None


def _identity(path: Path) -> tuple[int, int] | None:
    """Device and inode of the file of this name; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino

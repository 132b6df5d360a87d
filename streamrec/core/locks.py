"""A lock on a file or a folder, which the system releases when this process ends, however it ends."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from pathlib import Path

from streamrec.core.files import PRIVATE_FILE

_TAKEN = (errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK, errno.EDEADLK)


class Held(Exception):
    """Another process has the lock."""


class Lock:
    """Locks the file or folder at ``path`` until ``release``; a missing file is created, a folder has to exist.

    Raises ``Held`` where another process (or another ``Lock``) has it, ``OSError`` where it cannot be opened. On a
    file system without locks every caller gets it: ``sure`` is False then.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.sure = True
        if path.is_dir() and sys.platform == "win32":  # folders cannot be opened there
            path = path / ".lock"
        flags = os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT
        self._file: int | None = os.open(path, flags | getattr(os, "O_CLOEXEC", 0), PRIVATE_FILE)
        try:
            _lock(self._file)
        except OSError as error:
            if error.errno in _TAKEN:
                self.release()
                raise Held(str(path)) from error
            self.sure = False

    def is_of(self, path: Path) -> bool:
        """Whether the file at ``path`` now is the locked one, and not another file with its name."""
        if self._file is None:
            return False
        try:
            there, held = path.stat(), os.fstat(self._file)
        except OSError:
            return False
        return (there.st_dev, there.st_ino) == (held.st_dev, held.st_ino) or sys.platform == "win32"

    def release(self) -> None:
        """Release the lock; a second call does nothing."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                os.close(self._file)
            self._file = None


def _lock(file: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

"""A lock on a file or a folder that the system gives back when this process ends, however it ends."""

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
    """Holds what is at ``path`` until ``release``; a file is made where there is none, a folder has to be there.

    Raises ``Held`` where another process (or another ``Lock``) has it, ``OSError`` where it cannot be opened. A
    file system that knows no locks lets everybody have it: ``sure`` is False then.
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
        """Whether what is at ``path`` now is what is held, and not another file that has its name."""
        if self._file is None:
            return False
        try:
            there, held = path.stat(), os.fstat(self._file)
        except OSError:
            return False
        return (there.st_dev, there.st_ino) == (held.st_dev, held.st_ino) or sys.platform == "win32"

    def release(self) -> None:
        """Give it back; a second time does nothing."""
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

"""Writing files: whole or not at all, readable by their owner only, and never over an input."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from streamrec.core.text import printable
from streamrec.errors import SettingsError

Output = Path | str | None | Iterable[Path | str | None]  # what an option of keep_inputs writes

PRIVATE_FILE, PRIVATE_FOLDER = 0o600, 0o700  # what holds footage, events or secrets


def open_private(path: Path, mode: str = "w", **options: Any) -> IO[Any]:
    """``open`` for writing, where a new file is readable and writable by its owner only.

    An existing file keeps its mode: it may be shared with a group on purpose.
    """

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags, PRIVATE_FILE)

    return open(path, mode, opener=opener, **options)


def make_private_folder(path: Path) -> None:
    """Make the folder and its missing parents, for the owner only; existing folders keep their mode."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)


@contextlib.contextmanager
def replacing(
    path: Path,
    mode: str = "wb",
    *,
    private: bool = False,
    fresh: bool = False,
    sync: bool = True,
    **options: Any,
) -> Iterator[IO[Any]]:
    """Write a file that replaces ``path`` when the block ends, and never where the block raises.

    It is written beside ``path``, synchronized to the disk (``sync``) and renamed, so that a reader sees the old
    file or the new one, whole. ``private``: only the owner may read a new file. The mode of an existing file is
    kept and a link is followed; with ``fresh`` neither is: the mode is a new file's, and a link is replaced, so that
    another user with write access to the folder cannot lead the writer elsewhere. Raises ``OSError`` as ``open`` does.
    """
    path = Path(path) if fresh else Path(os.path.realpath(path))
    if path.exists() and not path.is_file():  # /dev/stdout, a pipe: it cannot be replaced
        with path.open(mode, **options) as file:
            yield file
        return
    part = path.with_name(f".{path.name[:50]}.{os.getpid()}-{threading.get_native_id()}.part")
    try:
        if fresh:
            part.unlink(missing_ok=True)
            mode = mode.replace("w", "x")
        with open_private(part, mode, **options) if private else part.open(mode, **options) as file:
            yield file
            file.flush()
            if sync:
                os.fsync(file.fileno())
        if not fresh:
            with contextlib.suppress(FileNotFoundError):
                part.chmod(stat.S_IMODE(path.stat().st_mode))
        part.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            part.unlink()
        if isinstance(error, OSError) and error.filename in (None, str(part)):
            error.filename = str(path)  # the caller named this one, not the temporary file
        raise


def open_regular(path: Path, *, own: int = 2) -> int:
    """A descriptor to read a regular file with, where no link leads elsewhere; raises ``OSError``.

    The last ``own`` parts of the path are opened one after the other, each in the folder before it and none
    through a link: a user who may write in that folder cannot make the server read another file. The folders above
    may be links. Devices and pipes are refused without waiting for them.
    """
    flags = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
    flags |= getattr(os, "O_BINARY", 0)
    no_link = getattr(os, "O_NOFOLLOW", 0)
    path = path.absolute()
    parts = path.parts[1:][-own:]
    if os.open in os.supports_dir_fd:
        at = os.open(Path(*path.parts[: len(path.parts) - len(parts)]), flags | os.O_DIRECTORY)
        try:
            for folder in parts[:-1]:
                inner = os.open(folder, flags | os.O_DIRECTORY | no_link, dir_fd=at)
                os.close(at)
                at = inner
            descriptor = os.open(parts[-1], flags | no_link, dir_fd=at)
        finally:
            os.close(at)
    else:  # Windows, where only administrators make links
        if path.is_symlink():
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        descriptor = os.open(path, flags)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file")
    return descriptor


def too_open(path: Path) -> str | None:
    """A warning about a file or folder that others than its owner can read or change; None: there are none.

    Windows has another system of rights and is not checked.
    """
    if os.name != "posix":
        return None
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return None
    others = mode & 0o077
    if not others:
        return None
    what = "changed" if others & 0o022 else "read"
    return f"{path} can be {what} by others than its owner; chmod {mode & 0o700:o} {path}"


def keep_inputs(outputs: Mapping[str, Output], inputs: Iterable[Path | str | None]) -> None:
    """Raise ``SettingsError`` where an output would overwrite an input, or another output.

    ``outputs`` maps options to the paths that they write: one, or several where files are written beside it;
    None or "-" where no file is written. ``inputs`` are the files and folders that are read; every file in such a
    folder counts, and the folder itself may be no output; None where nothing is read. Call it before files are
    opened.

    >>> keep_inputs({"--save": Path("party.mp4")}, [Path("party.mp4")])
    Traceback (most recent call last):
    ...
    streamrec.errors.SettingsError: --save party.mp4 would overwrite what is read, party.mp4; name another file
    """
    written = [
        _Named(option, path)
        for option, paths in outputs.items()
        for path in ([paths] if paths is None or isinstance(paths, str | os.PathLike) else paths)
        if path is not None and str(path) not in ("-", os.devnull)
    ]
    for source in [_at_home(path) for path in inputs if path is not None]:
        for output in written:
            if (found := output.meets(source)) is not None:
                raise SettingsError(
                    printable(
                        f"{output.option} {output.path} would overwrite what is read, {found}; name another file"
                    )
                )
    for number, output in enumerate(written):
        for other in written[:number]:
            if other.option != output.option and other.is_a_place and output.is_same(other.path):
                raise SettingsError(
                    printable(
                        f"{other.option} and {output.option} both name {output.path}; give each a file of its own"
                    )
                )


def _at_home(path: Path | str) -> Path:
    """The path with "~" filled in, where there is such a home."""
    with contextlib.suppress(RuntimeError):
        return Path(path).expanduser()
    return Path(path)


class _Named:
    """A path that an option names."""

    def __init__(self, option: str, path: Path | str) -> None:
        self.option, self.path = option, Path(path)
        self.key = _key(self.path)

    @property
    def is_a_place(self) -> bool:
        """Whether it is a file or folder, or may become one: devices and pipes may be named by several options."""
        return not self.path.exists() or self.path.is_file() or self.path.is_dir()

    def is_same(self, path: Path) -> bool:
        return self.key == _key(path)

    def meets(self, source: Path) -> Path | None:
        """The file or folder of what is read that it would be written over; None where it is none."""
        if self.is_same(source):
            return None if _is_terminal(source) else source
        # A file that is not there yet is none of a folder's.
        if self.key[0] == "path" or not source.is_dir():
            return None
        below = [source]
        while below:
            folder = below.pop()
            with contextlib.suppress(OSError), os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        below.append(Path(entry.path))
                    elif (entry.is_symlink() or entry.inode() == self.key[2]) and self.is_same(
                        Path(entry.path)
                    ):
                        return Path(entry.path)
        return None


def _key(path: Path) -> tuple[str, int | str, int]:
    """A key that is equal for two names of one file: device and inode, or the resolved path of a new one."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        with contextlib.suppress(ValueError):  # a zero byte in the name: opening it raises an error later
            return "path", os.path.realpath(path), 0
        return "path", str(path), 0
    return "file", found.st_dev, found.st_ino


def _is_terminal(path: Path) -> bool:
    """Whether it is a terminal: one device both for reading and for writing."""
    if not path.is_char_device():
        return False
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.isatty(file)
    finally:
        os.close(file)


def too_full(error: OSError) -> bool:
    """Whether the disk or the quota was full: writing may succeed later."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def try_room(path: Path, size: int) -> None:
    """Raise ``OSError`` where so many bytes do not fit beside ``path``: they are allocated and freed again."""
    if not hasattr(os, "posix_fallocate"):
        return
    part = path.with_name(f".{path.name[:50]}.{os.getpid()}.room")
    try:
        with open_private(part, "wb") as file:
            try:
                os.posix_fallocate(file.fileno(), 0, max(1, size))
            except OSError as error:
                if too_full(error):  # some file systems cannot allocate ahead: no sign of a full disk
                    raise
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


def other_places() -> list[Path]:
    """Folders for a file that cannot be written to its own place."""
    places = [Path.cwd(), Path.home() / ".cache"]
    with contextlib.suppress(FileNotFoundError):  # no temporary folder is writable
        places.insert(0, Path(tempfile.gettempdir()))
    return [*places, Path("/dev/shm"), Path("/var/tmp")]


def keep_elsewhere(name: str, write: Callable[[Path], object]) -> Path | None:
    """Call ``write`` with a path in the first folder where it succeeds, for the owner only; None: in none."""
    for place in other_places():
        folder = None
        try:
            folder = Path(tempfile.mkdtemp(prefix="streamrec-", dir=place))
            write(folder / name)
            return folder / name
        except Exception:  # whatever one place refuses, the next one may take
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
    return None

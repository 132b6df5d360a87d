"""Files that are written: whole or not at all, for their owner alone, and never over what is read."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from streamrec.errors import SettingsError

PRIVATE_FILE, PRIVATE_FOLDER = 0o600, 0o700  # what holds footage, events or secrets


def open_private(path: Path, mode: str = "w", **options: Any) -> IO[Any]:
    """``open`` for writing, where a new file is readable and writable by its owner alone.

    A file that is there already keeps its mode: somebody may have opened it to a group on purpose.
    """

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags, PRIVATE_FILE)

    return open(path, mode, opener=opener, **options)


def make_private_folder(path: Path) -> None:
    """The folder, and those above it that are missing, for the owner alone; one that is there is left as it is."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)


@contextlib.contextmanager
def replacing(path: Path, mode: str = "wb", *, private: bool = False, **options: Any) -> Iterator[IO[Any]]:
    """A file that takes the place of ``path`` when the block ends, and never where it ends by an error.

    It is written beside it, synchronized to the disk and renamed, so that a reader sees the old one or the
    new one, whole. The mode of a file that is there already is kept. Raises ``OSError`` as ``open`` does.
    """
    path = Path(os.path.realpath(path))  # through a link: the link stays, what it names is replaced
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open_private(part, mode, **options) if private else part.open(mode, **options) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileNotFoundError):
            part.chmod(stat.S_IMODE(path.stat().st_mode))
        part.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise


def open_regular(path: Path, *, own: int = 2) -> int:
    """A descriptor to read a regular file with, where no link leads elsewhere; raises ``OSError``.

    The last ``own`` parts of the path are opened one after the other, each in the folder before it and none
    through a link: whoever may write in that folder may not have others read what it links to. What is above
    is the owner's business, and may be a link. Devices and pipes are refused, and not waited for.
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
    else:  # Windows, where who may make links is an administrator
        if path.is_symlink():
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        descriptor = os.open(path, flags)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file")
    return descriptor


def too_open(path: Path) -> str | None:
    """What to say of a file or folder that others than its owner can read or change; None where all is well.

    Windows has other rights, and is not asked.
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


def same_file(one: Path, other: Path) -> bool:
    """Whether two paths name one file, through links too; a file that is not there is known by its folder and name."""
    try:
        return one.samefile(other)
    except (OSError, ValueError):
        return os.path.realpath(one) == os.path.realpath(other)


def keep_inputs(outputs: Mapping[str, Path | str | None], inputs: Iterable[Path | str]) -> None:
    """Raise ``SettingsError`` where an output would be written over an input, or over another output.

    ``outputs`` are options and their paths, None or "-" where nothing is written to a file; ``inputs`` are
    what is read: files, and folders, of which every file counts. Call it before anything is opened.

    >>> keep_inputs({"--save": Path("party.mp4")}, [Path("party.mp4")])
    Traceback (most recent call last):
    ...
    streamrec.errors.SettingsError: --save party.mp4 would overwrite what is read, party.mp4; name another file
    """
    written = {
        option: Path(path) for option, path in outputs.items() if path is not None and str(path) != "-"
    }
    # Devices and pipes (/dev/null, /dev/stdout) may be named as often as one likes.
    written = {
        option: path
        for option, path in written.items()
        if not path.exists() or path.is_file() or path.is_dir()
    }
    for source in map(Path, inputs):
        files = [source]
        with contextlib.suppress(OSError):
            if source.is_dir():
                files = [file for file in source.rglob("*") if not file.is_dir()]
        for option, path in written.items():
            for file in files:
                if same_file(path, file):
                    raise SettingsError(
                        f"{option} {path} would overwrite what is read, {file}; name another file"
                    )
    seen: dict[str, Path] = {}
    for option, path in written.items():
        for other, taken in seen.items():
            if same_file(path, taken):
                raise SettingsError(f"{option} and {other} both name {path}; give each a file of its own")
        seen[option] = path

"""Reading small files of the user: whole, within limits, and with an error that explains what is wrong."""

from __future__ import annotations

import json
import os
import select
import stat
import time
from pathlib import Path
from typing import Any

from streamrec.core.messages import NOT_UTF8, shortened, why
from streamrec.core.text import printable
from streamrec.errors import SettingsError

MOST = 500_000  # bytes; more than the settings of 1,000 cameras are a mistake, and would take seconds to read
MOST_SECRET = 65_536  # of a file that holds one password
_PIPE_SECONDS = 2.0  # to wait for a pipe; a shell's <(...) is one


class CannotRead(SettingsError):
    """A file cannot be read; ``why`` is the reason alone."""

    def __init__(self, path: Path, why: str) -> None:
        self.why = why
        if why == NOT_UTF8:
            super().__init__(f"{printable(path.name)} {why.removeprefix('it ')}")
        else:
            super().__init__(f"{printable(str(path))} cannot be read: {why}")


def read_data(path: Path, most: int = MOST) -> bytes:
    """The content of a file of at most so many bytes; raises ``CannotRead``.

    Folders, devices, and pipes without a writer are refused: it never waits for ever.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except (OSError, ValueError) as error:  # ValueError: a name with a zero in it
        raise CannotRead(path, why(error)) from error
    try:
        found = os.fstat(descriptor)
        pipe = stat.S_ISFIFO(found.st_mode)
        if stat.S_ISDIR(found.st_mode):
            raise CannotRead(path, "is a directory")
        if not pipe and not stat.S_ISREG(found.st_mode):
            raise CannotRead(path, "it is a device and no file")
        data = b"" if found.st_size > most else _read(descriptor, most, pipe)
        if found.st_size > most or len(data) > most:
            raise CannotRead(path, f"it is larger than {most / 1000:,.0f} kB, which no such file is")
        if pipe and not data:
            raise CannotRead(path, "it is a pipe into which no program writes")
        return data
    except OSError as error:
        raise CannotRead(path, why(error)) from error
    finally:
        os.close(descriptor)


def read_text(path: Path, most: int = MOST) -> str:
    """The content as text in UTF-8; raises ``CannotRead``."""
    try:
        text = read_data(path, most).decode("utf-8-sig")  # some editors write a mark before the text
        return text.replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise CannotRead(path, NOT_UTF8) from error


def _read(descriptor: int, most: int, pipe: bool) -> bytes:
    parts, length, ends = [], 0, time.monotonic() + _PIPE_SECONDS
    while length <= most:  # one more byte than allowed: the file may have grown
        if pipe and not select.select([descriptor], [], [], max(0.0, ends - time.monotonic()))[0]:
            break
        part = os.read(descriptor, min(most + 1 - length, 1 << 20))
        if not part:
            break
        parts.append(part)
        length += len(part)
    return b"".join(parts)


def path_of(text: str) -> Path:
    """A path of a user, ``~`` filled in; raises ``SettingsError`` where it cannot be one.

    >>> path_of("a\\0b")
    Traceback (most recent call last):
    ...
    streamrec.errors.SettingsError: 'a\\x00b' is no path: it holds a zero
    """
    if "\0" in text:
        raise SettingsError(f"{shortened(text)} is no path: it holds a zero")
    if not text.startswith("~"):  # Path drops the "./" of "./~a", and would expand it
        return Path(text)
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        user = text.partition("/")[0]
        raise SettingsError(f"{shortened(text)}: there is no user {user.removeprefix('~')!r} here") from error


def read_json(text: str | bytes, *, strict: bool = True) -> Any:
    """The value of a JSON text; raises ``ValueError``, also for NaN, deep nesting, and duplicate keys.

    ``strict`` False: NaN and duplicate keys are allowed.

    >>> read_json('{"fps": NaN}')
    Traceback (most recent call last):
    ...
    ValueError: it holds NaN, which is no number
    """

    def refuse(word: str) -> Any:
        raise ValueError(f"it holds {word}, which is no number")

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(pairs)
        if len(values) < len(pairs):
            raise ValueError("it says a key twice")
        return values

    try:
        if not strict:
            return json.loads(text)
        return json.loads(text, parse_constant=refuse, object_pairs_hook=once)
    except json.JSONDecodeError as error:
        raise ValueError("it is no JSON") from error
    except RecursionError:
        raise ValueError("it is nested too deeply") from None

"""Values and errors in messages: short, on one line, without secrets."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator, Sequence
from typing import Any

from streamrec.core.redact import redact
from streamrec.core.text import printable
from streamrec.errors import SettingsError, StreamrecError

NOT_UTF8 = "it is not written in UTF-8"
_SHOWN = 60  # letters of a value in a message
_CHANNELS = 6  # whose names are in a message


def shortened(value: object) -> str:
    """A value for a message: printable, on one line, short, an array by its shape, without secrets.

    >>> shortened(10**400)
    '100000000000000000000000000000000000000000000000000000000000...'
    """
    if shape := getattr(value, "shape", None):
        return f"an array {shape} of {getattr(value, 'dtype', 'numbers')}"
    try:
        text = printable(" ".join(redact(repr(value)).split()))
    except (ValueError, RecursionError):  # an integer of thousands of digits
        return f"a {type(value).__name__} that is too long to show"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def described(value: Any) -> str:
    """A value as a sentence can hold it: short, on one line, an array by its shape, no password in it.

    >>> described("rtsp://me:secret@cam/live"), described(dict), described(object())
    ("'rtsp://***@cam/live'", 'the class dict', 'a object')
    """
    if isinstance(value, type):
        return f"the class {value.__name__}"
    plain = str | bytes | int | float | complex | list | tuple | dict
    if value is None or isinstance(value, plain) or hasattr(value, "dtype"):
        return shortened(value)
    return f"a {type(value).__name__}"


def channels_described(channels: Sequence[str]) -> str:
    """How many channels a signal has, and which.

    >>> channels_described(("x", "y"))
    '2 channels (x, y)'
    """
    names = ", ".join(map(printable, channels[:_CHANNELS])) + (", ..." if len(channels) > _CHANNELS else "")
    return f"{len(channels)} channel{'s' if len(channels) > 1 else ''} ({names})"


def why(error: BaseException) -> str:
    """The reason of an error as a clause; of an unexpected error only its class: its message may hold a secret.

    >>> why(OSError(errno.ENOSPC, "No space left on device")), why(PermissionError(13, "Permission denied"))
    ('the disk is full', 'permission denied')
    """
    if isinstance(error, StreamrecError):
        return str(error)
    if isinstance(error, OSError):
        return "the disk is full" if error.errno == errno.ENOSPC else (error.strerror or str(error)).lower()
    if isinstance(error, UnicodeDecodeError):
        return NOT_UTF8
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, MemoryError):
        return "it needs more memory than there is"
    return f"it says what cannot be ({type(error).__name__})"


@contextlib.contextmanager
def explain_errors(name: object, kind: type[StreamrecError] = SettingsError) -> Iterator[None]:
    """Turn any exception of the block into an error of this kind whose message starts with the name.

    It is the last resort of all readers; errors that a reader expects have better messages of their own.

    >>> with explain_errors("cameras.toml"):
    ...     float(10**400)
    Traceback (most recent call last):
    ...
    streamrec.errors.SettingsError: cameras.toml cannot be read: it says what cannot be (OverflowError)
    """
    try:
        yield
    except StreamrecError:
        raise
    except Exception as error:
        # Its own message and values are left out, for one may be a password.
        raise kind(f"{printable(str(name))} cannot be read: {why(error)}") from None

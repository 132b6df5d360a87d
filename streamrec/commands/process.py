"""The process of a command: its streams, signals and exit codes, and what a person is told when it fails."""

from __future__ import annotations

import contextlib
import io
import os
import re
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import Any, NoReturn

import typer

from streamrec.core import process_end as ending

# So begin the names of the threads that read sources and settings, and of those that look at pictures.
READING = ("capture ", "read ", "look")


INTERRUPTED = 130  # exit code after Ctrl-C, as shells have it


_SLOW = ("train", "crossval")  # one step of theirs may take long, and what was learned is written at the end


_LONG_PATIENCE = 120.0  # seconds


HUNG_UP = 129  # after the terminal was closed


def _heed_signals() -> list[str]:
    """SIGTERM and SIGHUP end a command as Ctrl-C does; where somebody said not to (nohup), that holds.

    The names of those that came stand in the list.
    """
    came: list[str] = []

    def end(number: int, frame: Any) -> None:
        came.append(signal.Signals(number).name)
        _interrupt()

    with contextlib.suppress(ValueError):  # not in the main thread
        before = signal.signal(signal.SIGTERM, end)
        hang_up = getattr(signal, "SIGHUP", None)  # Windows has none
        if hang_up is not None and signal.getsignal(hang_up) is not signal.SIG_IGN:
            signal.signal(hang_up, end)
        if before is not None:  # or else it is not Python's process
            slow = sys.argv[1:2] and sys.argv[1] in _SLOW
            ending.watch_over(_interrupt, _LONG_PATIENCE if slow else ending.PATIENCE)
    return came


def _open_streams() -> None:
    """Standard streams that can be written to, whatever was closed, and whatever letters they know.

    A number that is closed is taken by /dev/null: else the next file that is opened would get it, and with it
    what some library prints.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            try:
                os.fstat(number)
            except OSError:
                os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
            mode = "r" if name == "stdin" else "w"
            nothing = Path(os.devnull).open(mode, encoding="utf-8")  # noqa: SIM115 (for all the time)
            setattr(sys, name, nothing)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # cp1252 has no letters for all names


def _tell(sentence: str) -> None:
    """The one sentence of an error; it is no matter where nobody reads it."""
    from streamrec.core.redact import redact
    from streamrec.core.text import printable

    with contextlib.suppress(OSError, ValueError):
        typer.echo(f"streamrec: {printable(redact(sentence))}", err=True)


def _tell_unforeseen(error: BaseException) -> None:
    """What nobody foresaw, in one sentence; with STREAMREC_DEBUG=1 also where."""
    if isinstance(error, SystemExit | KeyboardInterrupt):
        return
    said = " ".join(str(error).split())[:300]
    if isinstance(error, MemoryError):
        _tell("there is not enough memory for this; give it smaller pictures, or more memory")
    else:
        _tell(
            f"this is a fault of streamrec itself ({type(error).__name__}{': ' if said else ''}{said}); please report "
            "it, with what STREAMREC_DEBUG=1 in the environment shows"
        )
    _show_where(error)


def _show_where(error: BaseException) -> None:
    if os.environ.get("STREAMREC_DEBUG", "") in ("", "0"):
        return

    from streamrec.core.redact import redact

    with contextlib.suppress(OSError, ValueError):
        typer.echo(redact("".join(traceback.format_exception(error))), err=True, nl=False)


def _what_is_missing(error: ImportError) -> str:
    """What to install: a package that is not there, or what OpenCV needs of the system."""
    from streamrec.errors import missing_extra

    if (missing := missing_extra(error)) is not None:
        return str(missing)
    if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("streamrec."):
        package = error.name.partition(".")[0]
        return f"{package} is not installed; pip install {_PACKAGES.get(package, package)}"
    if re.search(r"lib(GL|gthread|glib)\b", str(error)):
        return f"{error}; on Debian: apt-get install libgl1 libglib2.0-0"
    return f"{error}; `streamrec doctor` says what works here and what to install"


# Packages that are not installed by the name that they are imported by.
_PACKAGES = {"cv2": "opencv-python", "PIL": "pillow"}


def _shown(argument: str) -> str:
    """An argument as others may see it: an address, or ``--option=address``."""
    from streamrec.core.redact import redact_address

    option, equals, value = argument.partition("=")
    if argument.startswith("-") and equals:
        return f"{option}={redact_address(value)}"
    return redact_address(argument)


def _secrets_given() -> list[str]:
    """Passwords and keys on the command line."""
    from streamrec.core.redact import secrets_of

    found: list[str] = []
    for argument in sys.argv[1:]:
        if _shown(argument) != argument:
            found += secrets_of(argument.partition("=")[2] if argument.startswith("-") else argument)
    return found


def main() -> None:
    """Run the command line; a user's mistake gets one sentence and exit code 2, Ctrl-C ends with 130.

    A closed terminal ends with 129, what nobody foresaw with 1. ``STREAMREC_DEBUG=1`` shows where the latter was.
    """
    # Read by OpenCV when it opens its first video: FFmpeg's own messages would hide ours.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    _open_streams()
    from streamrec.core.redact import RedactingStream
    from streamrec.errors import StreamrecError

    _hide_passwords()
    if secrets := _secrets_given():  # whoever echoes what was typed, down to a traceback, echoes no password
        sys.stderr = RedactingStream(sys.stderr, secrets)
    sys.excepthook = lambda kind, error, trace: _tell_unforeseen(error)
    threading.excepthook = lambda failed: _tell_unforeseen(failed.exc_value or failed.exc_type())
    ended_by = _heed_signals()
    try:
        from streamrec.commands.app import app

        app()
    except SystemExit as done:
        code = done.code if isinstance(done.code, int) else int(done.code is not None)
    except StreamrecError as error:
        _tell(str(error))
        code = 2
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:  # | head
        code = 1
    except ImportError as error:
        _tell(_what_is_missing(error))
        code = 2
    except OSError as error:
        from streamrec.core.files import why

        named = error.filename if error.filename is not None else "a file or standard output"
        _tell(f"{os.fsdecode(named) if isinstance(named, str | bytes) else named}: {why(error)}")
        _show_where(error)
        code = 2
    except Exception as error:  # the last line of defence: no traceback for a person
        _tell_unforeseen(error)
        code = 1
    if code == INTERRUPTED and "SIGHUP" in ended_by:
        code = HUNG_UP
    _leave(code)


def _interrupt() -> None:
    ending.handler_ran()
    raise KeyboardInterrupt


def _hide_passwords() -> None:
    """Take passwords out of what a list of processes shows of this one: on Linux, from now on."""
    secret = [argument for argument in sys.argv[1:] if _shown(argument) != argument]
    if not secret or not sys.platform.startswith("linux"):
        return
    import ctypes

    with contextlib.suppress(OSError, ValueError, IndexError):
        fields = Path("/proc/self/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        start, end = int(fields[45]), int(fields[46])  # where the arguments lie, each ended by a zero
        held = ctypes.string_at(start, end - start)
        for argument in secret:
            written, shown = os.fsencode(argument), os.fsencode(_shown(argument))
            at = held.find(b"\0" + written + b"\0")
            if at >= 0:
                ctypes.memmove(start + at + 1, shown.ljust(len(written), b"\0"), len(written))


def _leave(code: int) -> NoReturn:
    """End the process; not by Python's own way where a thread still waits for a silent camera, for that may crash."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # what it still holds would be tried again, and that would be told
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    if any(thread.name.startswith(READING) for thread in threading.enumerate()):
        os._exit(code)
    sys.exit(code)

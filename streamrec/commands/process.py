"""The process of a command: its streams, signals and exit code, and the sentence that explains an error."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import Any, NoReturn

import typer

from streamrec.commands.exit_codes import FAILED, HUNG_UP, INTERRUPTED, MISTAKE
from streamrec.commands.missing_package import what_is_missing
from streamrec.commands.printing import print_error
from streamrec.core import process_end as ending

_SLOW = ("train", "crossval")  # a step of theirs may take long, and the model is written at the end
_LONG_PATIENCE = 120.0  # seconds


def _handle_signals() -> list[str]:
    """SIGTERM and SIGHUP end a command as Ctrl-C does, except where the caller ignores them (nohup).

    The list will hold the names of those that came.
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
    """Make the standard streams writable, also where one was closed or its encoding lacks letters.

    A closed file descriptor is taken by /dev/null: else the next file that is opened would get its number, and with
    it what some library prints.
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


def _print_unforeseen(error: BaseException) -> None:
    """Print an error that is a fault of streamrec; with STREAMREC_DEBUG=1 also where it was raised."""
    if isinstance(error, SystemExit | KeyboardInterrupt):
        return
    text = " ".join(str(error).split())[:300]
    if isinstance(error, MemoryError):
        print_error("there is not enough memory for this; give it smaller pictures, or more memory")
    else:
        print_error(
            f"this is a fault of streamrec itself ({type(error).__name__}{': ' if text else ''}{text}); please report "
            "it, with what STREAMREC_DEBUG=1 in the environment shows"
        )
    _print_traceback(error)


def _print_traceback(error: BaseException) -> None:
    if os.environ.get("STREAMREC_DEBUG", "") in ("", "0"):
        return

    from streamrec.core.redact import redact

    with contextlib.suppress(OSError, ValueError):
        typer.echo(redact("".join(traceback.format_exception(error))), err=True, nl=False)


def _shown(argument: str) -> str:
    """An argument without passwords: an address, or ``--option=address``."""
    from streamrec.core.redact import redact_address

    option, equals, value = argument.partition("=")
    if argument.startswith("-") and equals:
        return f"{option}={redact_address(value)}"
    return redact_address(argument)


def _secrets_given() -> list[str]:
    """The passwords and keys on the command line."""
    from streamrec.core.redact import secrets_of

    found: list[str] = []
    for argument in sys.argv[1:]:
        if _shown(argument) != argument:
            found += secrets_of(argument.partition("=")[2] if argument.startswith("-") else argument)
    return found


def main() -> None:
    """Run the command line, and end the process with one of ``exit_codes``.

    A user's mistake gets one sentence. So does a fault of streamrec, and ``STREAMREC_DEBUG=1`` shows its traceback.
    """
    # Read by OpenCV when it opens its first video: FFmpeg's own messages would hide ours.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    _open_streams()
    from streamrec.core.redact import RedactingStream
    from streamrec.errors import StreamrecError

    _hide_passwords()
    if secrets := _secrets_given():  # neither a message nor a traceback repeats one
        sys.stderr = RedactingStream(sys.stderr, secrets)
    sys.excepthook = lambda kind, error, trace: _print_unforeseen(error)
    threading.excepthook = lambda failed: _print_unforeseen(failed.exc_value or failed.exc_type())
    ended_by = _handle_signals()
    try:
        from streamrec.commands.app import app

        app()
    except SystemExit as done:
        code = done.code if isinstance(done.code, int) else int(done.code is not None)
    except StreamrecError as error:
        print_error(str(error))
        code = MISTAKE
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:  # | head
        code = FAILED
    except ImportError as error:
        print_error(what_is_missing(error))
        code = MISTAKE
    except OSError as error:
        from streamrec.core.messages import why

        named = error.filename if error.filename is not None else "a file or standard output"
        print_error(f"{os.fsdecode(named) if isinstance(named, str | bytes) else named}: {why(error)}")
        _print_traceback(error)
        code = MISTAKE
    except Exception as error:  # no traceback for a user
        _print_unforeseen(error)
        code = FAILED
    if code == INTERRUPTED and "SIGHUP" in ended_by:
        code = HUNG_UP
    _leave(code)


def _interrupt() -> None:
    ending.handler_ran()
    raise KeyboardInterrupt


def _hide_passwords() -> None:
    """Overwrite passwords in the arguments that ``ps`` shows of this process, on Linux."""
    secret = [argument for argument in sys.argv[1:] if _shown(argument) != argument]
    if not secret or not sys.platform.startswith("linux"):
        return
    import ctypes

    with contextlib.suppress(OSError, ValueError, IndexError):
        fields = Path("/proc/self/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        start, end = int(fields[45]), int(fields[46])  # addresses of the arguments, each ended by a zero
        held = ctypes.string_at(start, end - start)
        for argument in secret:
            written, shown = os.fsencode(argument), os.fsencode(_shown(argument))
            at = held.find(b"\0" + written + b"\0")
            if at >= 0:
                ctypes.memmove(start + at + 1, shown.ljust(len(written), b"\0"), len(written))


def _leave(code: int) -> NoReturn:
    """End the process; where a thread waits for a silent camera by ``os._exit``, as Python's own way may crash."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # Python would flush it again, and print an error
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    may_hang = (ending.CAPTURE, ending.READ, ending.PREFETCH)
    if any(thread.name.startswith(may_hang) for thread in threading.enumerate()):
        os._exit(code)
    sys.exit(code)

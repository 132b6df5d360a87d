"""A program that is asked to end ends, also where its main thread is in a native call that does not come back.

Python runs a signal's handler between two of its own instructions. Where OpenCV, FFmpeg or ONNX Runtime hang, none
comes, and without this only SIGKILL would help.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable

PATIENCE = 5.0  # seconds that a handler has to run
_AT_ONCE = 3  # so many signals that no handler heard end it without waiting
_SLACK = 1.0  # seconds by which a handler may have run before this thread heard of its signal
_heard_at = -1e9  # time.monotonic() of the last handler that ran


def heard() -> None:
    """Called by each handler of a signal that ends: the main thread runs, and ends what is to be ended by itself."""
    global _heard_at
    _heard_at = time.monotonic()


def watch_over(interrupt: Callable[[], object], patience: float = PATIENCE) -> None:
    """Start the thread that ends the process where nobody else can; in the main thread, once.

    ``interrupt`` is what Ctrl-C does, and calls ``heard``. The exit code of a process that is ended so is 128 and
    the signal's number, as shells have it.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a shell may have it ignored
        signal.signal(signal.SIGINT, lambda *_: interrupt())
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)  # written to in C, whatever Python does
    threading.Thread(target=_watch, args=(reader, writer, patience), name="ending", daemon=True).start()


def _watch(reader: socket.socket, writer: socket.socket, patience: float) -> None:
    """``writer`` is held here alone: what writes to it, in C, knows its number only."""
    asked: list[tuple[int, float]] = []  # signals of late, and when they came
    while writer.fileno() >= 0:
        reader.settimeout(0.1 if asked else None)
        with contextlib.suppress(TimeoutError):
            asked += [
                (number, time.monotonic())
                for number in reader.recv(64)
                if number in (signal.SIGINT, signal.SIGTERM)
            ]
        if len(asked) >= _AT_ONCE and _heard_at < asked[0][1] - _SLACK:
            _end(asked[-1][0])
        for number, at in tuple(asked):
            if time.monotonic() - at >= patience:
                if _heard_at < at - _SLACK:
                    _end(number)
                asked.remove((number, at))


def _end(number: int) -> None:
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write("streamrec: ended at once: what it was waiting for does not come back\n")
        sys.stderr.flush()
    os._exit(128 + number)

"""Ending a process on SIGINT and SIGTERM, also when its main thread hangs in a native call.

Python runs a signal handler between two of its own instructions. Where OpenCV, FFmpeg or ONNX Runtime hang, it never
runs, and without this module only SIGKILL would help.
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

# How the names of threads begin that may hang in a native call: a process that still has one ends by os._exit.
CAPTURE, READ, PREFETCH = "capture", "read", "prefetch"
PATIENCE = 5.0  # seconds in which a handler has to run
_AT_ONCE = 3  # so many signals without a handler that ran end the process without waiting
_SLACK = 1.0  # seconds by which a handler may run before this thread receives its signal
_handled_at = -1e9  # time.monotonic() of the last handler that ran


def handler_ran() -> None:
    """Each handler of SIGINT and SIGTERM calls this: the main thread runs, and ends the process itself."""
    global _handled_at
    _handled_at = time.monotonic()


def watch_over(interrupt: Callable[[], object], patience: float = PATIENCE) -> None:
    """Start the thread that ends the process where the main thread cannot; call it once, in the main thread.

    ``interrupt`` is what Ctrl-C does, and calls ``handler_ran``. The exit code of a process that is ended so is 128
    plus the signal's number, as shells have it.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else a shell ignores it
        signal.signal(signal.SIGINT, lambda *_: interrupt())
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)  # written to in C, whatever Python does
    threading.Thread(target=_watch, args=(reader, writer, patience), name="ending", daemon=True).start()


def _watch(reader: socket.socket, writer: socket.socket, patience: float) -> None:
    """Wait for signals. ``writer`` is kept open by this function only: C code writes to its descriptor."""
    received: list[tuple[int, float]] = []  # recent signals, and when they came
    while writer.fileno() >= 0:
        reader.settimeout(0.1 if received else None)
        with contextlib.suppress(TimeoutError):
            received += [
                (number, time.monotonic())
                for number in reader.recv(64)
                if number in (signal.SIGINT, signal.SIGTERM)
            ]
        if len(received) >= _AT_ONCE and _handled_at < received[0][1] - _SLACK:
            _end(received[-1][0])
        for number, at in tuple(received):
            if time.monotonic() - at >= patience:
                if _handled_at < at - _SLACK:
                    _end(number)
                received.remove((number, at))


def _end(number: int) -> None:
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write("streamrec: ended at once: what it was waiting for does not come back\n")
        sys.stderr.flush()
    os._exit(128 + number)

"""`streamrec` commands as processes that begin in milliseconds: forked from one that has imported what commands need.

``Popen`` and ``run`` are used as those of ``subprocess``. A plain ``python -m streamrec ...`` is a process of its own
here too, with its own number, streams, signals and exit code; only its imports were done before. What depends on how
Python starts (its options, its locale) is started as usual. That commands start by themselves, and what ``ps`` shows of
them, is tested where ``subprocess`` starts them.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import io
import json
import os
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from tests.helpers.paths import ROOT

COMMAND = [sys.executable, "-m", "streamrec"]
IMPORTED = (
    "av",
    "cv2",
    "numpy.random",
    "onnxruntime",
    "streamrec.commands.app",
    "streamrec.commands.listening",
    "streamrec.commands.outputs",
    "streamrec.commands.process",
    "streamrec.commands.run_job",
    "streamrec.commands.watch_job",
    "streamrec.settings.default_model",
    "streamrec.web.correction_routes",
    "streamrec.web.server",
    "typer._adapters",
    "uvicorn.lifespan.on",
    "uvicorn.loops.asyncio",
)
NUMBER = struct.Struct("i")


class Popen(subprocess.Popen):  # type: ignore[type-arg]
    """A process that is forked, where it can be."""

    _status: int | None = None  # the end of a pipe: the number of the process comes, then how it ended

    def _execute_child(self, args: Any, *more: Any) -> None:
        """In place of that of ``subprocess``, with its arguments of Python 3.11 and later."""
        _, preexec, _, passed, cwd, env, _, _, shell, *pipes, _, gid, gids, uid, umask, session, group = more
        known = os.environ if env is None else env
        plain = preexec in (None, hears_ctrl_c) and group in (None, -1)
        plain = plain and not (passed or shell or gid or gids or uid)
        if not (plain and can_be_forked(args, known) and (server := _server())):
            super()._execute_child(args, *more)  # type: ignore[misc]
            return
        told = {"words": [str(word) for word in args[3:]], "cwd": os.fspath(cwd or Path.cwd())}
        told |= {"umask": umask, "env": dict(known), "session": bool(session)}
        standard = [n if one == -1 else one for n, one in enumerate((pipes[0], pipes[3], pipes[5]))]
        self._status, theirs = os.pipe()
        socket.send_fds(server, [json.dumps(told).encode()], [*standard, theirs])
        os.close(theirs)
        self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]
        (self.pid,) = NUMBER.unpack(os.read(self._status, NUMBER.size))
        self._child_created = True

    def _internal_poll(self, *given: Any, **named: Any) -> int | None:
        if self._status is None:
            return super()._internal_poll(*given, **named)  # type: ignore[misc,no-any-return]
        self._ends_within(0.0)
        return self.returncode

    def _wait(self, timeout: float | None) -> int:
        if self._status is None:
            return super()._wait(timeout)  # type: ignore[misc,no-any-return]
        if not self._ends_within(timeout):
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        return self.returncode  # type: ignore[no-any-return]

    def _ends_within(self, seconds: float | None) -> bool:
        if self.returncode is None:
            news = select.poll()
            news.register(self._status or 0, select.POLLIN)
            if news.poll(None if seconds is None else 1000.0 * max(0.0, seconds)):
                with self._waitpid_lock:  # type: ignore[attr-defined]
                    if self.returncode is None:
                        (how,) = NUMBER.unpack(os.read(self._status or 0, NUMBER.size))
                        self.returncode = os.waitstatus_to_exitcode(how)
                        os.close(self._status or 0)
        return self.returncode is not None


def run(command: Sequence[str], *, check: bool = False, **options: Any) -> subprocess.CompletedProcess[Any]:
    """``subprocess.run`` of such a process."""
    with mock.patch.object(subprocess, "Popen", Popen):
        return subprocess.run(command, check=check, **options)


def hears_ctrl_c() -> None:
    """A shell that runs tests in the background ignores Ctrl-C, and its children inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def can_be_forked(args: Any, env: Mapping[str, str]) -> bool:
    """Whether it is a plain command, in an environment in which Python starts as it does here."""
    if not sys.platform.startswith("linux") or not isinstance(args, list | tuple) or [*args[:3]] != COMMAND:
        return False
    names = {name for name in env if name.startswith(("PYTHON", "LC_", "LANG"))}
    return all(env[name] == os.environ.get(name) for name in names - {"PYTHONPATH", "PYTHONUNBUFFERED"})


@functools.cache
def _server() -> socket.socket | None:
    """The process from which commands are forked, one a test process; None where it cannot be done."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-c", f"from tests.helpers.forked import serve; serve({theirs.fileno()})"],
            pass_fds=[theirs.fileno()],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
        )

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours if ours.recv(1) == b"y" else None


def serve(number: int) -> None:
    """Import what commands need and fork a process for each message, until no other end is left."""
    for name in IMPORTED:
        importlib.import_module(name)
    alone = len(list(Path("/proc/self/task").iterdir())) == 1  # a fork has but the thread that asked for it
    gc.freeze()  # or a collection of a fork would copy all of that
    messages = socket.socket(fileno=number)
    messages.send(b"y" if alone else b"n")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        message, streams, *_ = socket.recv_fds(messages, 1 << 20, 4)
        if not message:
            os._exit(0)
        if os.fork() == 0:
            messages.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            if (pid := os.fork()) == 0:
                _become(json.loads(message), streams)
                return
            _report(pid, streams)
        for one in streams:
            os.close(one)


def _report(pid: int, streams: list[int]) -> None:
    """Tell who asked the number of the process, and how it ended. It is the one that waits for it."""
    *standard, status = streams
    for one in standard:
        os.close(one)
    with contextlib.suppress(OSError):  # who asked is gone
        os.write(status, NUMBER.pack(pid))
        os.write(status, NUMBER.pack(os.waitpid(pid, 0)[1]))
    os._exit(0)


def _become(told: dict[str, Any], streams: list[int]) -> None:
    """Be the command."""
    hears_ctrl_c()
    if told["session"]:
        os.setsid()
    if told["umask"] >= 0:
        os.umask(told["umask"])
    os.chdir(told["cwd"])
    os.environ.clear()
    os.environ.update(told["env"])
    for number, one in enumerate(streams[:3]):
        os.dup2(one, number)
    for one in streams:
        os.close(one)
    at_once = bool(told["env"].get("PYTHONUNBUFFERED"))
    sys.stdin = sys.__stdin__ = open(0, closefd=False)  # type: ignore[misc] # noqa: SIM115
    sys.stdout = sys.__stdout__ = _writes(1, at_once, "strict")  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = _writes(2, True, "backslashreplace")  # type: ignore[misc]
    sys.path[:0] = [one for one in told["env"].get("PYTHONPATH", "").split(os.pathsep) if one not in sys.path]
    sys.argv = ["streamrec", *told["words"]]
    runpy.run_module("streamrec", run_name="__main__", alter_sys=True)


def _writes(number: int, at_once: bool, errors: str) -> io.TextIOWrapper:
    raw = open(number, "wb", buffering=0 if at_once else -1, closefd=False)  # noqa: SIM115
    return io.TextIOWrapper(raw, errors=errors, write_through=at_once, line_buffering=raw.isatty())

"""Ray's worker processes, forked from one that has imported what a group needs.

A worker of Ray that starts by itself imports for most of a second, and after the death of a machine several of them do
so at once, while their cameras wait. So each machine has a *fork server*: a process that has imported it, and waits.
Ray is given this file as its worker. It asks the fork server for a process that runs Ray's own worker with the same
arguments, environment, working directory and standard streams, and ends. Without a fork server it becomes Ray's own
worker::

    ray start ---- raylet ---- this file, which asks and ends
        |
        +--------- fork server ---- worker, worker, ...

It needs Linux. As Ray's worker, this file uses nothing but the standard library.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

_ADDRESS, _OWN = "STREAMREC_FLEET_FORKS", "STREAMREC_FLEET_WORKER"
_LONGEST = 1 << 20  # bytes of the arguments and the environment
_PATH_LONGEST = 100  # bytes of the path of a socket
_START_SECONDS = 30.0  # that a worker waits for the fork server, which may still import
_MESSAGE_SECONDS = 1.0  # that the fork server waits for a message: it follows the connection at once
_OOM_SCORE = "1000"  # as Ray gives it to its workers: where memory is short, they are killed first
# What groups and the head import, and what Ray does. Not Ray itself, which reads its environment when it is imported.
_IMPORTED = (
    "streamrec.commands.fleet.group",
    "streamrec.commands.fleet.head",
    "streamrec.settings.default_model",
    "av",
    "cv2",
    "cryptography.fernet",
    "onnxruntime",
    "asyncio",
    "google.protobuf.descriptor_pb2",
    "google.protobuf.json_format",
    "jsonschema",
    "multiprocessing.pool",
    "requests",
    "yaml",
)
_OWNER = struct.Struct("iII")  # SO_PEERCRED: process, user, group


def start(own: str) -> str:
    """Start the fork server, which ends with this process; the script that Ray is to run in place of its own worker."""
    if sys.platform != "linux":
        return own
    import tempfile

    folder = tempfile.mkdtemp(prefix="streamrec-")  # for this user alone; it goes with the fork server
    address = f"{folder}/forks"
    if len(os.fsencode(address)) > _PATH_LONGEST:
        Path(folder).rmdir()
        return own
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(address)
        listener.listen(64)
        ended, _ = os.pipe()  # the other end is closed when this process ends
        numbers = listener.fileno(), ended
        subprocess.Popen(
            [sys.executable, "-c", f"from streamrec.commands.fleet.workers import serve; serve{numbers}"],
            pass_fds=numbers,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},  # a fork has only the thread that forked
        )
        os.close(ended)
    os.environ |= {_ADDRESS: address, _OWN: own}
    return str(Path(__file__).absolute())


def serve(listening: int, ended: int) -> None:
    """Be the fork server: fork one worker for each connection, until the process that started it has ended."""
    import gc
    import importlib
    import shutil

    listener = socket.socket(fileno=listening)
    folder = Path(listener.getsockname()).parent
    for name in _IMPORTED:
        importlib.import_module(name)
    gc.freeze()  # a collection of a fork would copy all of it
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    news = select.poll()
    for one in (listening, ended):
        news.register(one, select.POLLIN)
    threads = len(list(Path("/proc/self/task").iterdir()))
    if threads > 1:
        print(f"workers start by themselves: what they import has started {threads - 1} threads", flush=True)
    while threads == 1 and ended not in dict(news.poll()):
        try:
            asked = _fork(listener)
        except OSError:  # of too many processes or files: that worker starts by itself
            time.sleep(0.1)
            continue
        if asked is not None:
            listener.close()
            os.close(ended)
            _become(*asked)
            return
    shutil.rmtree(folder, ignore_errors=True)


def _fork(listener: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Fork a worker for the next connection; in the worker, what it is to be, and its standard streams."""
    streams: list[int] = []
    connection, _ = listener.accept()
    try:
        with connection:
            connection.settimeout(_MESSAGE_SECONDS)
            if not _is_ours(connection):
                return None
            message, streams, flags, _ = socket.recv_fds(connection, _LONGEST, 3)
            if not message or flags & socket.MSG_TRUNC or os.fork():
                return None
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            try:
                connection.send(b"y")
            except OSError:  # the process that asked has waited too long, and is the worker itself
                os._exit(0)
            taken, streams = streams, []
            return json.loads(message), taken
    finally:
        for one in streams:
            os.close(one)


def _become(asked: dict[str, Any], streams: list[int]) -> None:
    """Be Ray's worker, until it ends."""
    import runpy

    for number, one in enumerate(streams):
        os.dup2(one, number)
        os.close(one)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE, encoding="ascii")
    own = os.environ[_OWN]
    sys.argv = [own, *asked["arguments"]]
    sys.path[0] = str(Path(own).parent)  # as Python has it for a script
    runpy.run_path(own, run_name="__main__")


def _is_ours(connection: socket.socket) -> bool:
    """Whether the other end belongs to the same user."""
    _, user, _ = _OWNER.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _OWNER.size))
    return bool(user == os.getuid())


def _forked() -> bool:
    """Whether the fork server has made the worker that this process was to be."""
    try:
        asked = {"arguments": sys.argv[1:], "environment": dict(os.environ), "folder": str(Path.cwd())}
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
            server.settimeout(_START_SECONDS)
            server.connect(os.environ[_ADDRESS])
            if not _is_ours(server):
                return False
            socket.send_fds(server, [json.dumps(asked).encode()], [0, 1, 2])  # an error where it is too long
            try:
                return server.recv(1) == b"y"
            except TimeoutError:
                server.shutdown(socket.SHUT_RD)  # an answer is an error for the fork server from now on
                return server.recv(1) == b"y"  # or has come just before
    except OSError:
        return False


if __name__ == "__main__" and not _forked():
    os.execv(sys.executable, [sys.executable, os.environ[_OWN], *sys.argv[1:]])

"""Ray's worker processes, forked from one that has imported what a group needs.

A worker of Ray that begins by itself imports for most of a second, and after the death of a machine several of them do
so at once, while their cameras wait. So each machine has a *fork server*: a process that has imported it, and waits.
Ray is given this file as its worker. It asks the fork server for a process that runs Ray's own worker with the same
words, environment, working directory and streams, and ends. Without a fork server it becomes Ray's own worker::

    ray start ---- raylet ---- this file, which asks and ends
        |
        +--------- fork server ---- worker, worker, ...

It needs Linux. As Ray's worker, this file uses nothing but the standard library.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path

_ADDRESS, _OWN = "STREAMREC_FLEET_FORKS", "STREAMREC_FLEET_WORKER"
_LONGEST = 1 << 20  # bytes of the words and the environment: more than the system sends in one message
_SECONDS = 30.0  # for the fork server to import, and to fork
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


def begin(own: str) -> str:
    """Start the fork server, which ends with this process; the script that Ray is to run in place of its own worker."""
    if sys.platform != "linux":
        return own
    address = f"streamrec workers {os.urandom(16).hex()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind("\0" + address)  # of the abstract kind: no file is left behind
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
    """Be the fork server: a process for each connection, until the one that began it has ended."""
    import gc
    import importlib

    for name in _IMPORTED:
        importlib.import_module(name)
    if len(list(Path("/proc/self/task").iterdir())) > 1:
        return  # workers begin by themselves
    gc.freeze()  # a collection of a fork would copy all of it
    listener = socket.socket(fileno=listening)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    news = select.poll()
    for one in (listening, ended):
        news.register(one, select.POLLIN)
    while ended not in dict(news.poll()):
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(_SECONDS)
            try:
                message, streams, *_ = (
                    socket.recv_fds(connection, _LONGEST, 3) if _is_ours(connection) else (b"", [])
                )
            except OSError:
                continue
            if message and os.fork() == 0:
                listener.close()
                os.close(ended)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                try:
                    connection.send(b"y")
                except OSError:
                    return  # who asked has waited too long, and is the worker itself
                connection.close()
                _become(json.loads(message), streams)
                return
        for one in streams:
            os.close(one)


def _become(asked: dict[str, object], streams: list[int]) -> None:
    """Be Ray's worker, until it ends."""
    import runpy

    for number, one in enumerate(streams):
        os.dup2(one, number)
        os.close(one)
    environment, words, folder = asked["environment"], asked["words"], asked["folder"]
    assert isinstance(environment, dict) and isinstance(words, list) and isinstance(folder, str)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    own = os.environ[_OWN]
    sys.argv = [own, *words]
    sys.path[0] = str(Path(own).parent)  # as Python has it for a script
    runpy.run_path(own, run_name="__main__")


def _is_ours(connection: socket.socket) -> bool:
    """Whether the other end belongs to the same user: an abstract address has no permissions."""
    _, user, _ = _OWNER.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _OWNER.size))
    return bool(user == os.getuid())


def _forked() -> bool:
    """Whether the fork server has made the worker that this process was to be."""
    try:
        asked = {"words": sys.argv[1:], "environment": dict(os.environ), "folder": str(Path.cwd())}
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
            server.settimeout(_SECONDS)
            server.connect("\0" + os.environ[_ADDRESS])
            if not _is_ours(server):
                return False
            socket.send_fds(server, [json.dumps(asked).encode()], [0, 1, 2])  # an error where it is too long
            return server.recv(1) == b"y"
    except OSError:
        return False


if __name__ == "__main__" and not _forked():
    os.execv(sys.executable, [sys.executable, os.environ[_OWN], *sys.argv[1:]])

"""Ports that a process would open on all interfaces are bound to one address instead, and those of all that it starts.

Ray has no setting for it. So the kernel asks a *supervisor* about each bind(2) of Ray's processes, and about no other
call: seccomp user notification, as seccomp_unotify(2) describes it. Where the address is that of all interfaces, the
supervisor takes a copy of the socket (pidfd_getfd(2)), binds it to the host, and answers for the kernel. Everything
else goes on as if it were not there: other addresses, sockets of other kinds.

::

    streamrec fleet ---- supervisor ---- ray start ---- gcs_server, raylet, workers
          |                  |               |
          +---- listener ----+---- listener -+          a listener has the binds of a process and all below it

It needs Linux 5.8, on x86-64 or ARM, and no privilege. The supervisor is this file, run by itself with nothing but the
standard library; it is an ancestor of the processes, since Yama lets only an ancestor read another process.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import platform
import select
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

with contextlib.suppress(ImportError):  # the supervisor runs on Linux alone
    import fcntl

# Of a machine: its number in audit.h, and its numbers of seccomp(2) and bind(2).
_MACHINES = {"x86_64": (0xC000003E, 317, 49), "aarch64": (0xC00000B7, 277, 200)}
_PIDFD_GETFD = 438
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS, _PR_SET_PTRACER = 1, 38, 0x59616D61
_SET_MODE_FILTER = 1
# SPEC_ALLOW: without it an older kernel slows down every process that has a filter.
_SPEC_ALLOW, _NEW_LISTENER, _WAIT_KILLABLE_RECV = 1 << 2, 1 << 3, 1 << 5
_USER_NOTIF, _ALLOW = 0x7FC00000, 0x7FFF0000
_LOAD, _JUMP_EQUAL, _RETURN = 0x20, 0x15, 0x06  # of classic BPF
_RECEIVE, _SEND, _ID_VALID = 0xC0502100, 0xC0182101, 0x40082102  # ioctls of a listener
_CONTINUE = 1
# Id, thread, flags; of the call: number, architecture, instruction pointer, arguments.
_NOTIFICATION = struct.Struct("=QII iIQ6Q")
_RESPONSE = struct.Struct("=QqiI")  # id, value, error, flags
_STARTED = struct.Struct("=?i")  # whether ports are bound; the process of the command
_FREE = "\0streamrec binds where it wants"  # an abstract address: a bind to it is a message to the supervisor
_LONGEST = 128  # bytes of an address: struct sockaddr_storage
_START_SECONDS = 30.0


# -- for the process whose ports are to be bound


@dataclass(frozen=True, kw_only=True)
class Supervised:
    """A command whose ports are bound to one address, and its supervisor."""

    process: subprocess.Popen[bytes]  # the supervisor: it ends with the command, and the command with it
    pid: int  # of the command, which leads its process group; 0: there is none
    bound: bool  # False: it is impossible here, and the command runs as it would by itself
    line: socket.socket | None = None  # to the supervisor, which ends with it where it has no command

    def include_this_process(self) -> None:
        """Bind the ports of this thread, and of all that it starts from now on, in the same way.

        It cannot be taken back: once the supervisor has ended, bind(2) fails.
        """
        if self.bound and self.line is not None:
            # EINVAL: no Yama, which would let only an ancestor read this process.
            with contextlib.suppress(OSError):
                _prctl(_PR_SET_PTRACER, self.process.pid)
            _give(_install(), self.line)

    def wait(self, seconds: float | None = None) -> int:
        """Until the command has ended; its exit code. Raises ``subprocess.TimeoutExpired``."""
        code = self.process.wait(seconds)
        self.release()
        return code

    def release(self) -> None:
        """Let a supervisor that has no command end."""
        if self.line is not None:
            self.line.close()


def supervised(
    host: str,
    command: list[str] | tuple[str, ...] = (),
    *,
    env: Mapping[str, str] | None = None,
    stdin: int | IO[Any] | None = None,
    output: int | IO[Any] | None = None,
) -> Supervised:
    """Start a command, in a session of its own; its ports on all interfaces are bound to the host instead."""
    options: dict[str, Any] = {
        "env": env, "stdin": stdin, "stdout": output, "stderr": output, "start_new_session": True,
    }  # fmt: skip
    if not is_known():
        process = subprocess.Popen(command or [sys.executable, "-c", ""], **options)
        return Supervised(process=process, pid=process.pid, bound=False)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        program = [sys.executable, "-I", "-S", str(Path(__file__).absolute()), host, str(theirs.fileno())]
        process = subprocess.Popen([*program, *command], pass_fds=[theirs.fileno()], **options)
    ours.settimeout(_START_SECONDS)
    try:
        bound, pid = _STARTED.unpack(ours.recv(_STARTED.size))
    except (OSError, struct.error):  # it has ended, and its output says why
        bound, pid = False, process.pid
    return Supervised(process=process, pid=pid, bound=bound, line=ours)


@contextlib.contextmanager
def bound(host: str) -> Iterator[None]:
    """Bind ports that this process opens on all interfaces to the host instead; afterwards it can open none."""
    ours = supervised(host, stdin=subprocess.DEVNULL, output=subprocess.DEVNULL)
    ours.include_this_process()
    try:
        yield
    finally:
        ours.release()
        ours.process.wait()


def is_known() -> bool:
    """Whether this is a system for which the supervisor is made."""
    return sys.platform == "linux" and platform.machine() in _MACHINES


def bind_freely() -> None:
    """Let this process bind where it wants from now on. Of a worker of Ray: its own port is open by then."""
    if is_known():
        with socket.socket(socket.AF_UNIX) as one, contextlib.suppress(OSError):
            one.bind(_FREE)


# -- the filter


def _prctl(option: int, value: int) -> None:
    """Raises ``OSError``."""
    rest = (ctypes.c_ulong(one) for one in (value, 0, 0, 0))
    if ctypes.CDLL(None, use_errno=True).prctl(option, *rest):
        raise OSError(ctypes.get_errno(), "prctl")


def _call(number: int, *values: Any) -> int:
    """A system call; raises ``OSError``."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    found = libc.syscall(*(ctypes.c_long(one) if isinstance(one, int) else one for one in (number, *values)))
    if found < 0:
        raise OSError(ctypes.get_errno(), f"system call {number}")
    return int(found)


class _Program(ctypes.Structure):
    """``struct sock_fprog``."""

    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_char_p))


def _install() -> int:
    """Ask about each bind(2) of this thread, and of all that it starts; the listener. Raises ``OSError``."""
    _, _, bind = _MACHINES[platform.machine()]
    try:
        return _add_filter(bind, _USER_NOTIF, _SPEC_ALLOW | _NEW_LISTENER | _WAIT_KILLABLE_RECV)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        # Before Linux 5.19 a signal can interrupt a bind that has been asked about.
        return _add_filter(bind, _USER_NOTIF, _SPEC_ALLOW | _NEW_LISTENER)


def _add_filter(call: int, action: int, flags: int) -> int:
    """Give one system call of this architecture to an action, and allow all others."""
    architecture, seccomp, _ = _MACHINES[platform.machine()]
    steps = (
        (_LOAD, 0, 0, 4),  # the architecture
        (_JUMP_EQUAL, 0, 3, architecture),
        (_LOAD, 0, 0, 0),  # the number of the call
        (_JUMP_EQUAL, 0, 1, call),
        (_RETURN, 0, 0, action),
        (_RETURN, 0, 0, _ALLOW),
    )
    program = _Program(len(steps), b"".join(struct.pack("=HBBI", *step) for step in steps))
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    return _call(seccomp, _SET_MODE_FILTER, flags, ctypes.byref(program))


def _give(listener: int, line: socket.socket) -> None:
    socket.send_fds(line, [b"L"], [listener])
    os.close(listener)  # the supervisor's is the only one: once it has ended, bind(2) fails


# -- the supervisor


@dataclass
class _Supervisor:
    """Answers for the kernel, until a process has ended."""

    host: tuple[Any, ...]  # an address of socket.bind, with port 0
    family: int
    free: set[tuple[int, bytes]] = field(default_factory=set)  # process and the time at which it was started

    def run(self, pid: int, listeners: Sequence[int], line: socket.socket | None = None) -> int:
        """Until a child has ended; its exit code. Of no child (0): until the line is closed."""
        poll = select.poll()
        ended = os.pidfd_open(pid) if pid else -1
        more = -1 if line is None else line.fileno()
        for file in (*listeners, *(file for file in (ended, more) if file >= 0)):
            poll.register(file, select.POLLIN)
        while True:
            for file, event in poll.poll():
                if file == ended:
                    os.close(ended)
                    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                if file == more and line is not None:
                    for listener in (found := _received(line)):
                        poll.register(listener, select.POLLIN)
                    if not found:
                        poll.unregister(more)
                        if not pid:
                            return 0
                elif event & select.POLLIN:
                    self._answer(file)
                else:  # all processes of this listener have ended
                    poll.unregister(file)
                    os.close(file)

    def _answer(self, listener: int) -> None:
        notification = bytearray(_NOTIFICATION.size)
        with contextlib.suppress(OSError):  # ENOENT: the process has ended meanwhile
            fcntl.ioctl(listener, _RECEIVE, notification)
            number, thread, _, _, _, _, file, address, length, *_ = _NOTIFICATION.unpack(notification)
            try:
                handled = self._bind(listener, number, thread, (file, address, length & 0xFFFFFFFF))
                response = _RESPONSE.pack(number, 0, 0, 0 if handled else _CONTINUE)
            except OSError as error:
                response = _RESPONSE.pack(number, 0, -(error.errno or errno.EPERM), 0)
            fcntl.ioctl(listener, _SEND, response)

    def _bind(self, listener: int, number: int, thread: int, call: tuple[int, int, int]) -> bool:
        """Bind the socket of a call to the host; False where the kernel is to do as it was asked."""
        file, address, length = call
        if length > _LONGEST:
            return False
        with open(f"/proc/{thread}/mem", "rb", buffering=0) as memory:  # noqa: PTH123
            try:
                memory.seek(address)
                asked = memory.read(length)
            except (OSError, OverflowError):
                return False  # it is no address: the kernel says so
        process = _process_of(thread)
        if asked == struct.pack("=H", socket.AF_UNIX) + _FREE.encode():
            self.free.add((process, _started(process)))
            return True
        if (place := _all_interfaces(asked)) is None or (process, _started(process)) in self.free:
            return False
        with contextlib.ExitStack() as stack:
            descriptor = os.pidfd_open(process)
            stack.callback(os.close, descriptor)
            copy = _call(_PIDFD_GETFD, descriptor, file & 0xFFFFFFFF, 0)
            try:
                copied = stack.enter_context(socket.socket(fileno=copy))
            except OSError:
                os.close(copy)
                return False  # it is no socket: the kernel says so
            # Else the process may have ended, and its number be that of another one.
            fcntl.ioctl(listener, _ID_VALID, struct.pack("=Q", number))
            if copied.family != place[0]:
                return False
            copied.bind(self._wanted(copied, place[1]))
        return True

    def _wanted(self, copied: socket.socket, port: int) -> tuple[Any, ...]:
        """Where the socket is to be bound: the host, or loopback where it cannot have the host's address."""
        if copied.family == socket.AF_INET:
            return (self.host[0] if self.family == socket.AF_INET else "127.0.0.1", port)
        if self.family == socket.AF_INET6:
            return (self.host[0], port, *self.host[2:])
        if copied.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY):
            return ("::1", port)
        return (f"::ffff:{self.host[0]}", port)


def _received(line: socket.socket) -> list[int]:
    """A listener; empty where the line was closed."""
    with contextlib.suppress(OSError):
        return list(socket.recv_fds(line, 1, 1)[1])
    return []


def _all_interfaces(asked: bytes) -> tuple[int, int] | None:
    """Family and port of an address of all interfaces; None of any other.

    >>> _all_interfaces(struct.pack("=H", socket.AF_INET) + bytes.fromhex("1f90 00000000 0000000000000000"))
    (2, 8080)
    >>> _all_interfaces(struct.pack("=H", socket.AF_INET) + bytes.fromhex("1f90 7f000001 0000000000000000"))
    """
    if len(asked) < 16:
        return None
    kind = struct.unpack_from("=H", asked)[0]
    if kind in (socket.AF_INET, socket.AF_UNSPEC):  # Linux takes the second for the first
        port, address = struct.unpack_from("!2xH4s", asked)
        return None if any(address) else (int(socket.AF_INET), port)
    if kind == socket.AF_INET6 and len(asked) >= 24:
        port, address = struct.unpack_from("!2xH4x16s", asked)
        mapped = bytes(10) + b"\xff\xff" + bytes(4)  # ::ffff:0.0.0.0
        return (kind, port) if address in (bytes(16), mapped) else None
    return None


def _process_of(thread: int) -> int:
    for line in Path(f"/proc/{thread}/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("Tgid:"):
            return int(line.split()[1])
    raise ProcessLookupError(errno.ESRCH, "it has ended")


def _started(process: int) -> bytes:
    """The time at which a process was started: another one of the same number has another."""
    return Path(f"/proc/{process}/stat").read_bytes().rpartition(b")")[2].split()[19]


def _begin(work: Callable[[], int], *, asking: bool) -> tuple[int, list[int]]:
    """Do some work in a child, which ends with this process; the child, and its listener."""
    ours, theirs = socket.socketpair()
    parent = os.getpid()
    if not (child := os.fork()):
        code = 1
        try:
            _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            os.setpgid(0, 0)
            if asking:
                _give(_install(), theirs)
            if os.getppid() == parent:
                code = work()
        except OSError as error:
            print(error, file=sys.stderr, flush=True)
        finally:
            os._exit(code)
    theirs.close()
    with ours:
        return child, _received(ours)


def _try() -> int:
    """Exit code 0 where a bind is answered by the supervisor."""
    signal.alarm(10)
    with socket.socket() as one:
        one.bind(("", 0))
        return int(one.getsockname()[0] != "127.0.0.1")


def _end(child: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGTERM)


def main(host: str, line: socket.socket, command: list[str]) -> int:
    """Supervise a command, or only the process at the other end of the line; the exit code."""
    family, _, _, _, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
    child, listeners = _begin(_try, asking=True)
    bound = _Supervisor(("127.0.0.1", 0), socket.AF_INET).run(child, listeners) == 0
    if not bound:
        print(f"ports cannot be bound to {host} alone here: they are open on all interfaces", file=sys.stderr)
    child, listeners = 0, []
    if command:
        child, listeners = _begin(lambda: os.execv(command[0], command), asking=bound)
        signal.signal(signal.SIGTERM, lambda *_: _end(child))
    line.send(_STARTED.pack(bound, child))
    return _Supervisor(address, family).run(child, listeners, line)


if __name__ == "__main__":
    _line = socket.socket(fileno=int(sys.argv[2]))
    _line.set_inheritable(False)
    sys.exit(main(sys.argv[1], _line, sys.argv[3:]))

"""Ports of real processes, which are bound to one address; without Ray."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streamrec.commands.fleet import bound
from tests.helpers.fleet_processes import ports_can_be_bound
from tests.helpers.paths import ROOT

HOST = "127.0.0.2"  # an address of each Linux machine that no other process of these tests uses


@pytest.fixture(autouse=True, scope="module")
def possible() -> None:
    if not bound.is_known():
        pytest.skip("the supervisor is made for Linux on x86-64 and ARM")
    if not ports_can_be_bound():
        pytest.skip("seccomp user notification is refused here")


# What a process gets for each bind: the address, or the name of the error.
_BIND = """
import errno, json, os, socket, subprocess, sys, threading, time
sys.path.insert(0, {root!r})

def bind(family, address, *options, kind=socket.SOCK_STREAM):
    one = socket.socket(family, kind)
    for option in options:
        one.setsockopt(*option)
    try:
        one.bind(address)
    except OSError as error:
        return errno.errorcode[error.errno]
    kept.append(one)
    return one.getsockname()

kept = []
IPV4, IPV6 = socket.AF_INET, socket.AF_INET6
ONLY = (socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
"""


def answers(
    script: str, host: str = HOST, *, started: Callable[[bound.Supervised], object] | None = None
) -> Any:
    """What a script puts into `found`, in a process whose ports are bound to the host."""
    code = _BIND.format(root=str(ROOT)) + script + "\nprint(json.dumps(found), flush=True)\n"
    read, write = os.pipe()
    one = bound.supervised(host, [sys.executable, "-c", code], stdin=subprocess.DEVNULL, output=write)
    os.close(write)
    assert one.bound
    if started is not None:
        started(one)
    with os.fdopen(read) as output:
        text = output.read()
    assert one.wait(60) == 0, text
    return json.loads(text.splitlines()[-1])


def has_ipv6() -> bool:
    with socket.socket(socket.AF_INET6) as one:
        try:
            one.bind(("::1", 0))
        except OSError:
            return False
    return True


def test_a_port_on_all_interfaces_is_opened_on_the_host_and_every_other_address_is_left_alone(tmp_path):
    found = answers(f"""
os.chdir({str(tmp_path)!r})
found = dict(
    all=bind(IPV4, ("", 0)),
    datagrams=bind(IPV4, ("0.0.0.0", 0), kind=socket.SOCK_DGRAM),
    loopback=bind(IPV4, ("127.0.0.1", 0)),
    path=bind(socket.AF_UNIX, "door"),
    abstract=bind(socket.AF_UNIX, "\\0streamrec test %d" % os.getpid()).decode()[1:15],
    netlink=bind(socket.AF_NETLINK, (0, 0), kind=socket.SOCK_RAW)[1],
    elsewhere=bind(IPV4, ("192.0.2.77", 0)),
    twice=bind(IPV4, ("", kept[0].getsockname()[1])),
    of_another=bind(IPV4, ("", 1 << 15)) and bind(IPV4, ("", 1 << 15)),
)
kept[0].listen()
found["answers"] = socket.create_connection(kept[0].getsockname()).getpeername()[0]
""")
    assert found["all"][0] == found["datagrams"][0] == found["answers"] == HOST
    assert found["all"][1] > 0
    assert found["loopback"][0] == "127.0.0.1"
    assert found["path"] == "door" and (tmp_path / "door").is_socket()
    assert found["abstract"] == "streamrec test"
    assert isinstance(found["netlink"], int)
    assert found["elsewhere"] == "EADDRNOTAVAIL"
    assert found["twice"] == found["of_another"] == "EADDRINUSE"


@pytest.mark.skipif(not has_ipv6(), reason="there is no IPv6 here")
def test_sockets_of_ipv6_get_the_host_too_or_loopback_where_they_cannot():
    script = """
found = [bind(IPV6, (address, 0), *options)[0] for address, options in
         (("::", ()), ("::ffff:0.0.0.0", ()), ("::", (ONLY,)), ("::1", ()))] + [bind(IPV4, ("", 0))[0]]
"""
    assert answers(script) == [f"::ffff:{HOST}", f"::ffff:{HOST}", "::1", "::1", HOST]
    assert answers(script, "::1") == ["::1", "::1", "::1", "::1", "127.0.0.1"]


def test_processes_and_threads_below_it_are_bound_too_and_many_at_once():
    found = answers("""
code = "import socket; one = socket.socket(); one.bind(('', 0)); print(one.getsockname()[0])"
found = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip()]
hosts, threads = [], []
for _ in range(8):
    threads.append(threading.Thread(target=lambda: [hosts.append(bind(IPV4, ("", 0))[0]) for _ in range(50)]))
    threads[-1].start()
for thread in threads:
    thread.join()
found += [len(hosts), sorted(set(hosts))]
""")
    assert found == [HOST, 400, [HOST]]


def test_a_process_that_was_freed_binds_where_it_wants_and_no_other_one_does():
    found = answers("""
from streamrec.commands.fleet.bound import bind_freely
code = "import socket; one = socket.socket(); one.bind(('', 0)); print(one.getsockname()[0])"
found = [bind(IPV4, ("", 0))[0]]
bind_freely()
found.append(bind(IPV4, ("", 0))[0])
found.append(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip())
""")
    assert found == [HOST, "0.0.0.0", HOST]


def test_a_host_that_is_gone_is_an_error_of_bind():
    assert answers('found = bind(IPV4, ("", 0))', "192.0.2.77") == "EADDRNOTAVAIL"


def test_once_the_supervisor_has_ended_the_command_is_ended_and_can_open_no_port(tmp_path):
    code = (
        _BIND.format(root=str(ROOT))
        + """
import signal
signal.signal(signal.SIGTERM, lambda *_: os.write(1, b"SIGTERM "))
os.write(1, b"begun ")
while os.read(0, 1):
    pass
os.write(1, str(bind(IPV4, ("", 0))).encode())
"""
    )
    ours, theirs = socket.socketpair()
    read, write = os.pipe()
    one = bound.supervised(HOST, [sys.executable, "-c", code], stdin=theirs.fileno(), output=write)
    theirs.close()
    os.close(write)
    with os.fdopen(read) as output:
        assert output.read(6) == "begun "
        one.process.kill()
        one.wait(60)
        ours.close()
        assert output.read() == "SIGTERM ENOSYS"


def test_the_supervisor_passes_a_signal_on_and_ends_with_the_command():
    one = bound.supervised(HOST, ["/bin/sleep", "600"], stdin=subprocess.DEVNULL)
    assert os.getpgid(one.pid) == one.pid != one.process.pid
    one.process.terminate()
    one.wait(60)
    assert not Path(f"/proc/{one.pid}").exists()


def test_a_process_that_dies_while_it_is_answered_holds_up_no_other(tmp_path):
    found = answers("""
code = "import socket\\nwhile True:\\n with socket.socket() as one: one.bind(('', 0))"
children = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
for child in children:
    time.sleep(0.3)
    child.kill()
    child.wait()
found = bind(IPV4, ("", 0))[0]
""")
    assert found == HOST


def test_the_ports_of_this_very_process_are_bound_too():
    code = f"""
import socket, sys
sys.path.insert(0, {str(ROOT)!r})
from streamrec.commands.fleet.bound import bound
with bound({HOST!r}):
    with socket.socket() as one:
        one.bind(("", 0))
        print(one.getsockname()[0])
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=280)
    assert (run.stdout.strip(), run.stderr) == (HOST, "")


def test_where_it_is_refused_the_command_runs_as_it_would_by_itself():
    code = f"""
import socket, subprocess, sys
sys.path.insert(0, {str(ROOT)!r})
from streamrec.commands.fleet import bound
bound._add_filter(bound._PIDFD_GETFD, 0x00050001, 0)  # as the filter of a container: EPERM
script = "import socket; one = socket.socket(); one.bind(('', 0)); print(one.getsockname()[0], flush=True)"
one = bound.supervised({HOST!r}, [sys.executable, "-c", script], stdin=subprocess.DEVNULL)
print(one.wait(), one.bound)
with bound.bound({HOST!r}), socket.socket() as one:
    one.bind(("", 0))
    print(one.getsockname()[0])
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=280)
    assert run.stdout.split() == ["0.0.0.0", "0", "False", "0.0.0.0"], run.stderr


@pytest.mark.skipif(not has_ipv6(), reason="there is no IPv6 here")
def test_a_call_that_makes_no_sense_gets_the_error_that_it_gets_without_a_supervisor():
    script = """
import ctypes, struct
libc = ctypes.CDLL(None, use_errno=True)
kept += [socket.socket(IPV4), socket.socket(IPV6), socket.socket(socket.AF_UNIX)]
files = dict(zip(("inet", "inet6", "unix"), (one.fileno() for one in kept)), none=-1, closed=999, file=os.open("/", 0))
inet = ctypes.create_string_buffer(struct.pack("=H", IPV4) + bytes(254))
inet6 = ctypes.create_string_buffer(struct.pack("=H", IPV6) + bytes(254))
odd = ctypes.create_string_buffer(struct.pack("=H", 77) + b"x" * 254)
addresses = {"inet": ctypes.addressof(inet), "inet6": ctypes.addressof(inet6), "odd": ctypes.addressof(odd),
             "null": 0, "low": 4096, "high": (1 << 63) + 8, "top": (1 << 64) - 1}
found = {}
for name, file in files.items():
    for kind, address in addresses.items():
        for length in (0, 2, 15, -1, 129, 1 << 30) + ((16, 28) if name not in (kind, "inet6") else ()):
            ok = libc.bind(file, ctypes.c_void_p(address), length)
            found[f"{name} {kind} {length}"] = errno.errorcode[ctypes.get_errno()] if ok < 0 else 0
"""
    code = _BIND.format(root=str(ROOT)) + script + "\nprint(json.dumps(found))"
    alone = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=280)
    assert alone.returncode == 0, alone.stderr
    wanted, found = json.loads(alone.stdout), answers(script)
    assert {name: (wanted[name], found[name]) for name in wanted if wanted[name] != found[name]} == {}

"""A fleet of real processes on one host: a head, machines that join, and faults."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from streamrec.commands.fleet.bound import supervised
from tests.helpers.paths import ROOT

PATIENCE = 240.0  # seconds: another test may use the machine


def free_port() -> int:
    """A port of which the next one is free too, for Ray's client."""
    for port in range(20_000 + os.getpid() % 5_000, 60_000, 7):
        try:
            for n in (port, port + 1):
                with socket.socket() as one:
                    one.bind(("", n))
        except OSError:
            continue
        return port
    raise AssertionError("no port is free")


class Process:
    """A `streamrec fleet` command in a session of its own; its output is in a file."""

    def __init__(self, folder: Path, name: str, *words: str, env: dict[str, str] | None = None) -> None:
        self.log = folder / f"{name}.log"
        command = [
            sys.executable,
            "-c",
            "from streamrec.commands.process import main; main()",
            "fleet",
            *words,
        ]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **(env or {})},
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    @property
    def text(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def wait(self, patience: float = PATIENCE) -> int:
        return self.process.wait(patience)

    def end(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.wait()
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


def children(pid: int) -> list[int]:
    """All processes below one, on Linux."""
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, ValueError, IndexError):
                continue
            if parent == pid:
                found += [int(path.name), *children(int(path.name))]
    return found


def cpu_seconds(pids: Iterable[int]) -> float:
    """That processes have used so far."""
    total = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def listening(pids: Iterable[int]) -> list[tuple[int, str]]:
    """Of processes: the number, and host:port where one of the network can reach it, by TCP or UDP."""
    owners = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            for file in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    owners[str(file.readlink())] = pid
    found = set()
    for table, state in (
        ("tcp", "0A"),
        ("tcp6", "0A"),
        ("udp", "07"),
        ("udp6", "07"),
    ):  # listening, unconnected
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            pid = owners.get(f"socket:[{words[9]}]")
            if pid is not None and words[3] == state:
                host, port = words[1].split(":")
                parts = [bytes.fromhex(host[n : n + 8])[::-1] for n in range(0, len(host), 8)]
                address = ipaddress.ip_address(b"".join(parts))
                if address.version == 6:
                    address = address.ipv4_mapped or address
                found.add((pid, f"{address}:{int(port, 16)}"))
    return sorted(found)


def is_on_all_interfaces(place: str) -> bool:
    """Of host:port."""
    return ipaddress.ip_address(place.rpartition(":")[0]).is_unspecified


def ports_can_be_bound() -> bool:
    """Whether this system allows what ``streamrec.commands.fleet.bound`` does."""
    one = supervised("127.0.0.1", [sys.executable, "-S", "-c", ""], stdin=subprocess.DEVNULL)
    one.wait(60)
    return one.bound


def kill_machine(process: Process) -> None:
    """As if the power of the machine were cut: all of its processes at once."""
    for pid in (process.process.pid, *children(process.process.pid)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.process.wait()


class FleetOnOneHost:
    """A head and machines, each with a folder of its own."""

    def __init__(self, folder: Path, cameras: str) -> None:
        self.folder, self.port = folder, free_port()
        self.machines: dict[str, Process] = {}
        (folder / "cameras.toml").write_text(cameras)
        self.head: Process | None = None

    def begin(self, *options: str, cores: str = "0") -> None:
        self.head = Process(
            self.folder, "head", "cameras.toml", "--name", "head", "--port", str(self.port),
            "--cores", cores, "--cores-per-camera", "0.2", *options,
        )  # fmt: skip
        self.until(lambda: "the fleet is at" in self.head.text, self.head)

    def join(self, name: str, *options: str, cores: str = "2", env: dict[str, str] | None = None) -> Process:
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        key = folder / "fleet.key"
        if not key.exists():
            shutil.copy(self.folder / "fleet" / "fleet.key", key)
            key.chmod(0o600)
        address = (self.folder / "fleet" / "address").read_text().strip()
        process = self.machines[name] = Process(
            self.folder,
            name,
            "join",
            address,
            "--folder",
            name,
            "--name",
            name,
            "--cores",
            cores,
            *options,
            env=env,
        )
        return process

    def joined(self, name: str) -> None:
        self.join(name)
        self.until(lambda: "has joined" in self.machines[name].text, self.machines[name])

    def command(self, *words: str) -> str:
        process = Process(self.folder, f"command-{words[0]}-{time.monotonic_ns()}", *words)
        assert process.wait(180) == 0, process.text
        return process.text

    @property
    def pids(self) -> list[int]:
        """All processes of the head and the machines."""
        begun = [*self.machines.values(), *([self.head] if self.head else [])]
        return [pid for one in begun for pid in (one.process.pid, *children(one.process.pid))]

    def status(self) -> dict[str, Any] | None:
        done = Process(self.folder, f"status-{time.monotonic_ns()}", "status", "--json")
        if done.wait(60):
            return None
        text = done.text
        done.log.unlink()
        found: dict[str, Any] = json.loads(text[text.index("{\n") :])
        return found

    def until(self, what: Callable[[], Any], *processes: Process, patience: float = PATIENCE) -> Any:
        """Wait until it is true, for as long as these processes live."""
        ends = time.monotonic() + patience
        while not (found := what()):
            for process in processes:
                assert process.process.poll() is None, process.text
            assert time.monotonic() < ends, self.report()
            time.sleep(0.25)
        return found

    def moved_to(self, machine: str) -> Callable[[], bool]:
        """Whether the group that began last runs on this machine: the head reports each begin."""
        return lambda: re.findall(r" runs on (\S+)", self.head.text)[-1:] == [machine]

    def report(self) -> str:
        processes = {**self.machines, **({"head": self.head} if self.head else {})}
        return "\n".join(f"--- {name}\n{process.text[-3000:]}" for name, process in processes.items())

    def close(self) -> None:
        for process in (*self.machines.values(), *([self.head] if self.head else [])):
            process.end()

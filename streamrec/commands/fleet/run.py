"""What `streamrec fleet` and its commands do: begin or join a cluster, and ask its head."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from streamrec.commands.fleet.bound import bound
from streamrec.commands.fleet.cluster import (
    PORT,
    HeadClient,
    Machine,
    RayProcess,
    begin_head,
    connected,
    own_address,
)
from streamrec.commands.fleet.head import FleetJob
from streamrec.commands.fleet.interfaces import addresses, also_open
from streamrec.commands.fleet.secret import FleetKey
from streamrec.commands.printing import log, print_json, print_text
from streamrec.commands.signals import Signals
from streamrec.core.address import is_ip
from streamrec.core.hosts import host_problem, with_port
from streamrec.core.messages import why
from streamrec.core.text import printable
from streamrec.errors import SettingsError
from streamrec.outputs.fleet.records import FleetStatus, LedgerAway, SoundStatus
from streamrec.types import SourceState

_TICK = 0.5
_ASK_SECONDS = 2.0  # between two questions whether the fleet was stopped
_FAREWELL_SECONDS = 60.0  # that the head of a stopped fleet waits for its machines to end
_OVER = (SourceState.ended, SourceState.failed)


@dataclass(frozen=True, kw_only=True)
class Files:
    """The folder of a fleet on this machine."""

    folder: Path
    key_file: Path | None = None  # None: in the folder

    @property
    def key(self) -> Path:
        """The file with the secret."""
        return self.key_file or self.folder / "fleet.key"

    def remember(self, address: str, host: str) -> None:
        """Keep the cluster's address, and this machine's, for other commands."""
        (self.folder / "address").write_text(f"{address}\n", encoding="utf-8")
        (self.folder / "host").write_text(f"{host}\n", encoding="utf-8")

    @property
    def address(self) -> str:
        """The cluster's address; raises ``SettingsError``."""
        return self._kept("address")

    @property
    def host(self) -> str:
        """This machine's address; raises ``SettingsError``."""
        return self._kept("host")

    def _kept(self, name: str) -> str:
        try:
            return (self.folder / name).read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            raise SettingsError(
                f"this machine is in no fleet, as far as {self.folder} knows: begin one with `streamrec fleet "
                "cameras.toml`, join one with `streamrec fleet join HEAD`, or name its folder with --folder"
            ) from None
        except OSError as error:
            raise SettingsError(f"{self.folder} cannot be read: {why(error)}") from error


@contextlib.contextmanager
def member(files: Files) -> Iterator[HeadClient]:
    """The head, from a machine of the fleet; raises ``SettingsError`` where it does not answer."""
    key, address = FleetKey.read(files.key), files.address
    with bound(files.host), connected(address, key):  # it opens a port too
        try:
            yield HeadClient()
        except LedgerAway as error:
            raise SettingsError(f"{error}: is `streamrec fleet` running on the head?") from error


def run_head(job: FleetJob, machine: Machine, *, port: int = PORT, max_seconds: float | None = None) -> int:
    """Begin a fleet, or go on with it, until a signal or `streamrec fleet stop`; returns the exit code."""
    files = Files(folder=machine.folder, key_file=machine.key_file)
    key = FleetKey.read(files.key) if files.key.exists() else FleetKey.create(files.key)
    machine = replace(machine, host=machine.host or own_address())
    address = with_port(machine.host, port)
    job = replace(job, path=job.path.absolute())
    process = RayProcess(machine, key)
    with contextlib.ExitStack() as stack:
        stack.callback(process.stop)
        process.start_head(port)
        stack.enter_context(connected(address, key, process))
        signals = stack.enter_context(Signals())  # Ray has handlers of its own: ours come after them
        files.remember(address, machine.host)
        begin_head(job)
        client = HeadClient()
        stack.callback(client.close)
        log(f"the fleet is at {address}; on another machine, with a copy of {files.key}:")
        log(f"  streamrec fleet join {address} --key fleet.key")
        _warn(machine, process)
        code = _follow(client, process, signals, max_seconds)
        _leave(client)
    return code


def _warn(machine: Machine, process: RayProcess) -> None:
    if not process.bound and (text := also_open(machine.host, addresses())):
        log(text)


def _follow(client: HeadClient, process: RayProcess, signals: Signals, max_seconds: float | None) -> int:
    """Print what the head reports, until it is over."""
    ends = time.monotonic() + (float("inf") if max_seconds is None else max_seconds)
    printed = asked = 0
    while signals.code is None and time.monotonic() < ends:
        process.check()
        with contextlib.suppress(LedgerAway):
            printed = _print_messages(client, printed)
            if client.call("stopped", seconds=5.0):
                return 0
            asked += 1
            code = _ended(client) if asked % 4 == 0 else None
            if code is not None and not client.call("stopping", seconds=5.0):
                return code
        time.sleep(_TICK)
    return signals.code or 0


def _print_messages(client: HeadClient, after: int) -> int:
    for number, text in client.call("messages", after, seconds=5.0):
        if number > after:
            log(text)
            after = number
    return after


def _ended(client: HeadClient) -> int | None:
    """The exit code where every camera has ended, as a file does; None where one has not."""
    status: FleetStatus = client.call("status", seconds=10.0)
    wanted = sum(len(group.cameras) for group in status.groups)
    if not wanted or len(status.cameras) < wanted:
        return None
    states = [SourceState(camera.state) for camera in status.cameras]
    if not all(state in _OVER for state in states) or any(group.waiting for group in status.groups):
        return None
    return int(SourceState.failed in states)


def _leave(client: HeadClient) -> None:
    """End the groups where no other machine can go on with them."""
    with contextlib.suppress(LedgerAway, SettingsError):
        if client.call("stopped", seconds=5.0):
            ends = time.monotonic() + _FAREWELL_SECONDS
            while _others(client) and time.monotonic() < ends:  # they ask the head whether it is over
                time.sleep(_TICK)
            return
        if others := _others(client):
            log(f"{', '.join(others)} go on, and keep what happens until the head is back")
            log("`streamrec fleet stop` ends all of it")
            return
        client.call("stop", seconds=60.0)


def _others(client: HeadClient) -> list[str]:
    """The machines that are there, without the head."""
    status: FleetStatus = client.call("status", seconds=10.0)
    return [one.name for one in status.machines if not one.is_head and one.state == "alive"]


def place_of(head: str) -> str:
    """Host and port of a head; raises ``SettingsError``.

    >>> place_of("10.0.0.5"), place_of("nas.local:7000"), place_of("[fd00::5]:7000")
    ('10.0.0.5:6379', 'nas.local:7000', '[fd00::5]:7000')
    """
    host, colon, port = head.rpartition(":")
    if not colon or is_ip(head) or head.endswith("]"):
        host, port = head, str(PORT)
    if re.fullmatch(r"\[.*:.*\]", host) and is_ip(host[1:-1]):
        host = host[1:-1]
    problem = host_problem(host)
    if not problem and not (port.isascii() and port.isdecimal() and 0 < int(port[:6]) < 65_536):
        problem = "its port is none"
    if problem:
        raise SettingsError(f"join {printable(head)}: {problem}; give HOST or HOST:PORT, like 10.0.0.5")
    return with_port(host, int(port))


def run_join(machine: Machine, head: str, *, drain: bool = True) -> int:
    """Be a machine of a fleet until a signal, or until it is stopped; returns the exit code."""
    files = Files(folder=machine.folder, key_file=machine.key_file)
    key = FleetKey.read(files.key)
    address = place_of(head)
    machine = replace(machine, host=machine.host or own_address(address))
    process = RayProcess(machine, key)
    answers = True  # the head, when it was asked last
    with contextlib.ExitStack() as stack:
        # Without its head Ray would wait for half a minute: it drains the machine before it ends.
        stack.callback(lambda: process.stop() if answers else process.stop(0.0))
        process.join(address)
        stack.enter_context(connected(address, key, process))
        signals = stack.enter_context(Signals())
        client = HeadClient()
        client.welcome()
        files.remember(address, machine.host)
        log(f"{machine.name} has joined the fleet at {address} with {machine.cores:g} cores")
        _warn(machine, process)
        asked = -_ASK_SECONDS
        while signals.code is None:
            process.check()
            if time.monotonic() - asked >= _ASK_SECONDS:
                asked = time.monotonic()
                try:
                    stopped = client.call("stopped", seconds=5.0)
                    answers = True
                except LedgerAway:
                    stopped = answers = False
                if stopped:
                    log("the fleet was stopped")
                    return 0
            time.sleep(_TICK)
        if drain and answers:
            try:
                log(client.call("drain", machine.name))
                _until_moved(client)
            except LedgerAway:
                answers = False
            except SettingsError as error:
                log(str(error))
        if drain and not answers:
            log("the head does not answer: cameras that have not moved go on when it is back")
        return 0 if signals.code is None else signals.code


def _until_moved(client: HeadClient, patience: float = 300.0) -> None:
    ends = time.monotonic() + patience
    while client.call("moving", seconds=10.0) and time.monotonic() < ends:
        time.sleep(_TICK)


def run_moves(files: Files, method: str, *values: Any) -> None:
    """Ask the head to move groups, and print what it moves; returns when they have moved."""
    with member(files) as client:
        print_text(client.call(method, *values, seconds=120.0))
        _until_moved(client)


def run_stop(files: Files) -> None:
    """End the fleet, and print what was ended."""
    with member(files) as client:
        print_text(client.call("stop", seconds=120.0))


def run_status(files: Files, *, as_json: bool) -> None:
    """Print the machines, groups and cameras."""
    with member(files) as client:
        status: FleetStatus = client.call("status", seconds=20.0)
    if as_json:
        print_json(status.to_dict())
    else:
        print_text(status_text(status))


def status_text(status: FleetStatus) -> str:
    """A fleet as lines for a person.

    >>> from streamrec.outputs.fleet.records import MachineStatus
    >>> machine = MachineStatus(name="attic", state="alive", cores=8, load=1.5, cameras=6, version="1.0")
    >>> print(status_text(FleetStatus(name="site", version="1.0", machines=(machine,))))
    attic: alive, 1.5 of 8 cores, 6 cameras in 0 groups
    """
    lines = []
    for machine in status.machines:
        groups = f"{machine.cameras} cameras in {len(machine.groups)} groups"
        shed = f", {machine.shed:.0%} of frames dropped" if machine.shed > 0.005 else ""
        head = " (head)" if machine.is_head else ""
        cores = f"{machine.load:.1f} of {machine.cores:g} cores"
        other = "" if machine.version == status.version else f", streamrec {machine.version}"
        lines.append(f"{machine.name}{head}: {machine.state}, {cores}, {groups}{shed}{other}")
    cameras = {camera.name: camera for camera in status.cameras}
    for group in status.groups:
        where = group.machine or "no machine"
        waiting = f", {group.waiting} saves wait" if group.waiting else ""
        lines.append(f"{group.name}: {group.state}, on {where}{waiting}")
        for name in group.cameras:
            camera = cameras.get(name)
            state = "no state yet" if camera is None else f"{camera.state}, {camera.fps:.1f} a second"
            reason = f" ({camera.reason})" if camera is not None and camera.reason else ""
            sound = "" if camera is None or camera.sound is None else f", {_described(camera.sound)}"
            lines.append(f"  {name}: {state}{reason}{sound}")
    return "\n".join(lines)


def _described(sound: SoundStatus) -> str:
    """The sound of a camera that listens."""
    reason = f" ({sound.reason})" if sound.reason else ""
    return f"sound {sound.state}{reason}"

"""The only file that knows Ray: it starts and joins clusters, and runs the head and the groups as detached actors.

Ray places, restarts and watches over processes. What is true is decided by the ledger.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streamrec.commands.fleet.bound import Supervised, bind_freely, supervised
from streamrec.commands.fleet.group import Group, Place
from streamrec.commands.fleet.head import FleetJob, GroupAway, Head
from streamrec.commands.fleet.interfaces import has_address
from streamrec.commands.fleet.secret import FleetKey
from streamrec.commands.fleet.spec import SPECS, GroupSpec
from streamrec.core import memory
from streamrec.core.hosts import with_port
from streamrec.core.messages import why
from streamrec.core.threads import limit_opencv_threads
from streamrec.core.version import version_of
from streamrec.errors import HistoryError, SettingsError, StreamrecError, need
from streamrec.outputs.fleet.records import (
    Batch,
    Claim,
    LedgerAway,
    MachineStatus,
    PictureRequest,
    Superseded,
)
from streamrec.outputs.fleet.wire import PACKER

# Ray's own settings. A killed process is noticed in about two seconds; one that does not answer has ten, so that a busy
# machine is not taken for a dead one. Machines wait for a head that is away.
_SETTINGS = {
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "4",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "86400",
    "RAY_raylet_start_wait_time_s": "120",
    "RAY_worker_niceness": "0",  # by default groups and the head would yield to everything else on their machine
    "RAY_AUTH_MODE": "token",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
}
os.environ |= _SETTINGS  # Ray reads them when it is imported

need("ray", extra="fleet")

import ray  # noqa: E402
from ray._private import services  # noqa: E402
from ray._private import worker as ray_worker  # noqa: E402
from ray.exceptions import GetTimeoutError, RayActorError, RayError, RayTaskError  # noqa: E402

# Where --host is 127.0.0.1 Ray would take another address of this machine.
services.resolve_ip_for_localhost = lambda host: host
# Ray's thread that prints errors of workers takes a whole core while the cluster's own store is away.
ray_worker.listen_error_messages = lambda worker, threads_stopped: None

PORT = 6379
NAMESPACE = "streamrec"
HEAD = "head"
_MACHINE_LABEL = "streamrec-machine"
_MACHINE, _FOLDER, _KEY = "STREAMREC_FLEET_MACHINE", "STREAMREC_FLEET_FOLDER", "STREAMREC_FLEET_KEY"
_STORE_BYTES = 80_000_000  # of Ray's object store: no frame goes into it
_SLOT = 0.001  # of a resource of which each machine has one: so many processes fit
_CALL_SECONDS = 8.0  # for a save: longer than the ledger waits for its disk
_START_SECONDS = 180.0
_PRINTED_SECONDS = 60.0  # for Ray to print that it has started; then it is asked all the same
_KILLED_SECONDS = 10.0  # for processes that were killed to be gone
_MESSAGES = 100  # that wait for a head that is away
_TAKE_OVER_SECONDS = 20.0  # for the history of a head that ends
# As Ray prints it.
_OTHER_KEY, _STARTED = re.compile("InvalidAuthToken|Unauthenticated"), "Ray runtime started"
_TAKEN = "another cluster uses this port: end it, or give --port"
# `ray start`, which ends when its standard input is closed: however this process ends, Ray's processes end too.
_ENDS_WITH_US = """
import functools, os, signal, threading
def end():
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGTERM)
threading.Thread(target=end, daemon=True).start()
from ray.scripts import scripts
# Ray takes a machine of the same fleet on this host for a head that runs already: start_head asks the port itself.
scripts.services.find_gcs_addresses = lambda: set()
scripts.services.resolve_ip_for_localhost = lambda host: host
scripts.get_ray_client_dependency_error = lambda: "not wanted"  # no server for Ray's client: one port less
import ray._private.workers
from ray._private import parameter
from streamrec.commands.fleet import workers
worker = workers.start(os.path.join(*ray._private.workers.__path__, "default_worker.py"))
parameter.RayParams = functools.partial(parameter.RayParams, worker_path=worker)
scripts.main()
"""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """This machine, as a member of a cluster."""

    folder: Path  # of the fleet's files on this machine: outboxes, the cluster's own store
    key_file: Path
    name: str = field(default_factory=socket.gethostname)
    host: str = ""  # the address on which Ray's ports are open; "": the one that leads out
    cores: float = field(default_factory=lambda: float(os.cpu_count() or 1))  # for groups

    def environment(self, key: FleetKey, *, is_head: bool) -> dict[str, str]:
        """Of Ray's processes here. It holds the token, and the path of the key."""
        own = {
            **_SETTINGS,
            "RAY_AUTH_TOKEN": key.token,
            _MACHINE: self.name,
            _FOLDER: str(self.folder.absolute()),
            _KEY: str(self.key_file.absolute()),
            memory.VARIABLE: str(memory.HEAPS),
        }
        if is_head:
            own |= {
                "RAY_gcs_storage": "rocksdb",
                "RAY_gcs_storage_path": str(self.folder.absolute() / "cluster"),
            }
        return {**os.environ, **own}


class RayProcess:
    """Ray's processes on this machine, from ``start`` to ``stop``; they end with each other."""

    def __init__(self, machine: Machine, key: FleetKey) -> None:
        self._machine, self._key = machine, key
        self._supervised: Supervised | None = None
        self._log = machine.folder / "ray.log"

    def start_head(self, port: int) -> None:
        """Begin a cluster; raises ``SettingsError``."""
        self._need_host()
        with contextlib.suppress(OSError):
            _wait_for_port(with_port(self._machine.host, port))
            raise SettingsError(_TAKEN)
        resources = {"streamrec-head": 1.0}
        options = [
            "--head",
            f"--port={port}",
            "--include-dashboard=false",
            "--no-monitor",  # of machines that are rented as they are needed
        ]
        self._start(options, resources, is_head=True)

    def join(self, address: str) -> None:
        """Join the cluster at host:port; raises ``SettingsError``."""
        self._need_host()
        self._start([f"--address={address}"], {}, is_head=False)

    def _need_host(self) -> None:
        if not has_address(self._machine.host):
            raise SettingsError(
                f"--host {self._machine.host}: this machine has no such address; `ip address` lists those that it has"
            )

    def _start(self, options: list[str], resources: dict[str, float], *, is_head: bool) -> None:
        machine = self._machine
        machine.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        resources = {f"streamrec-{version_of()}": 1.0, **resources}
        command = [
            sys.executable, "-c", _ENDS_WITH_US, "start", "--block", *options,
            f"--num-cpus={max(1, round(machine.cores))}" if machine.cores else "--num-cpus=0",
            f"--object-store-memory={_STORE_BYTES}", "--disable-usage-stats",
            "--include-log-monitor=false",  # it would send all logs to the head
            f"--labels={_MACHINE_LABEL}={machine.name}", f"--resources={json.dumps(resources)}",
            f"--node-ip-address={machine.host}",
        ]  # fmt: skip
        with self._log.open("ab") as log:
            self._from = log.tell()
            environment = machine.environment(self._key, is_head=is_head)
            self._supervised = supervised(
                machine.host, command, env=environment, stdin=subprocess.PIPE, output=log
            )

    @property
    def bound(self) -> bool:
        """Whether their ports are open on the machine's host alone; where it is impossible, on all interfaces."""
        return self._supervised is not None and self._supervised.bound

    def include_this_process(self) -> None:
        """Bind the ports that this process opens from now on in the same way."""
        if self._supervised is not None:
            self._supervised.include_this_process()

    def check(self) -> None:
        """Raise ``SettingsError`` where they have ended, with the reason as a sentence."""
        if self._supervised is not None and self._supervised.process.poll() is not None:
            raise SettingsError(_in_words(self._printed(), self._log))

    def started(self) -> bool:
        """Whether they are up; raises ``SettingsError`` where they have ended, or will not be up."""
        self.check()
        printed = self._printed()
        if _OTHER_KEY.search(printed):  # Ray asks again for forty seconds
            raise SettingsError(_in_words(printed, self._log))
        return _STARTED in printed

    def _printed(self) -> str:
        with self._log.open("rb") as log:
            log.seek(self._from)
            return log.read().decode("utf-8", "replace")

    def stop(self, patience: float = 10.0) -> None:
        """End them; a second time does nothing."""
        ours, self._supervised = self._supervised, None
        if ours is None:
            return
        assert ours.process.stdin is not None
        ours.process.stdin.close()
        ours.process.terminate()
        try:
            over = ours.wait(patience) >= 0
        except subprocess.TimeoutExpired:
            over = False
        if not over:  # or its supervisor was killed, and Ray would take half a minute
            with contextlib.suppress(ProcessLookupError):
                os.killpg(ours.pid, signal.SIGKILL)
            ours.wait(_KILLED_SECONDS)


def _in_words(text: str, log: Path) -> str:
    """Why Ray's processes ended."""
    if "Version mismatch" in text or "version mismatch" in text:
        return (
            "this machine has another version of Ray or Python than the head: install the same there and here "
            "(`python --version`, `pip show ray`)"
        )
    if _OTHER_KEY.search(text):
        return "the head has another key: copy the key file of the head to this machine"
    if "already running" in text.lower() or "address already in use" in text.lower():
        return _TAKEN
    if _STARTED in text:
        return (
            "Ray has ended on this machine: the head had no answer from it for ten seconds and has given it up, or a "
            f"process of Ray was killed; {log} says which. Start it again and it joins anew"
        )
    return f"Ray could not start on this machine; {log} says why"


@contextlib.contextmanager
def connected(address: str, key: FleetKey, process: RayProcess | None = None) -> Iterator[None]:
    """Be a client of the cluster at host:port, whose processes run on this machine. Raises ``SettingsError``."""
    os.environ["RAY_AUTH_TOKEN"] = key.token
    if process is not None:
        process.include_this_process()
    begun = time.monotonic()
    ends = begun + _START_SECONDS
    while True:
        try:
            if process is not None and not process.started() and time.monotonic() < begun + _PRINTED_SECONDS:
                raise TimeoutError("Ray has not started on this machine")
            _wait_for_port(address)
            ray.init(
                address=address,
                namespace=NAMESPACE,
                log_to_driver=False,
                logging_level=logging.CRITICAL,
                configure_logging=True,
            )
            break
        except SettingsError:
            raise
        except Exception as error:  # Ray raises errors of many kinds
            if time.monotonic() >= ends or process is None:
                raise SettingsError(_in_words(str(error), Path("its log"))) from error
            time.sleep(0.1)
    try:
        yield
    finally:
        ray.shutdown()


def own_address(head: str = "") -> str:
    """The address of this machine from which packets to others leave; to a head at an IPv6 address those to it."""
    host, _, port = head.rpartition(":")
    if ":" not in host:
        return str(ray.util.get_node_ip_address())
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((host.strip("[]"), int(port)))  # nothing is sent
        except OSError as error:
            raise SettingsError(f"{head} cannot be reached: {why(error)}") from error
        return str(probe.getsockname()[0])


def _wait_for_port(address: str) -> None:
    host, _, port = address.rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), 5.0).close()


# -- the head's side


class RayCluster:
    """The ``Cluster`` that the head uses."""

    def __init__(self) -> None:
        self._handles: dict[str, Any] = {}
        self._version = version_of()

    def machines(self) -> list[MachineStatus]:
        """Those that Ray knows, the dead ones of the last hours too."""
        found = []
        for node in ray.nodes():
            resources = node.get("Resources") or {}
            versions = [
                name for name in resources if name.startswith("streamrec-") and name != "streamrec-head"
            ]
            labels = node.get("Labels") or {}
            found.append(
                MachineStatus(
                    name=labels.get(_MACHINE_LABEL, node["NodeManagerAddress"]),
                    id=node["NodeID"],
                    address=node["NodeManagerAddress"],
                    version=versions[0].removeprefix("streamrec-") if versions else "",
                    is_head="streamrec-head" in resources,
                    state="alive" if node["Alive"] else "dead",
                    cores=float(resources.get("CPU", 0.0)) if node["Alive"] else 0.0,
                )
            )
        return sorted(found, key=lambda one: one.state == "alive")  # of two of one name the newer one counts

    def place(self, spec: GroupSpec, cost: float, avoid: Collection[str]) -> None:
        """Run a group on a machine with room; Ray finds it, and finds another one when that dies."""
        more: dict[str, Any] = {}
        if avoid:
            more["label_selector"] = {"ray.io/node-id": f"!in({','.join(sorted(avoid))})"}
        self._handles[spec.name] = _GroupActor.options(  # type: ignore[attr-defined]
            name=_actor_name(spec.name),
            lifetime="detached",
            max_restarts=-1,
            max_task_retries=0,
            max_concurrency=8,
            num_cpus=cost,
            resources={f"streamrec-{self._version}": _SLOT},
            scheduling_strategy="SPREAD",
            **more,
        ).remote(SPECS.pack(spec))

    def placed(self, group: str) -> bool:
        """Whether there is a group of this name, running or waiting for a machine."""
        try:
            self._handles[group] = ray.get_actor(_actor_name(group), namespace=NAMESPACE)
        except ValueError:
            self._handles.pop(group, None)
            return False
        return True

    def remove(self, group: str) -> None:
        """End a group's process for good."""
        if self.placed(group):
            ray.kill(self._handles.pop(group), no_restart=True)
        ends = time.monotonic() + 10.0
        while self.placed(group) and time.monotonic() < ends:  # the name is free when Ray has noticed
            time.sleep(0.05)

    def call(self, group: str, method: str, *values: Any, seconds: float = 10.0) -> Any:
        """Call a method of a group; raises ``GroupAway``, and the errors of the method."""
        if group not in self._handles and not self.placed(group):
            raise GroupAway(f"there is no group {group}")
        packed = [SPECS.pack(one) if isinstance(one, GroupSpec) else one for one in values]
        try:
            answer = getattr(self._handles[group], method).remote(*packed)
            failed, found = ray.get(answer, timeout=seconds)
        except RayError as error:
            raise GroupAway(f"{group} does not answer") from error
        if failed:
            raise StreamrecError(failed)
        return found


def _actor_name(group: str) -> str:
    return f"group {group}"


@ray.remote
class _HeadActor:
    """The head as a process of the cluster. Every answer is a pair: a failure as a sentence, and a value."""

    def __init__(self, job: FleetJob) -> None:
        bind_freely()  # the page listens where --web says
        limit_opencv_threads()
        key = FleetKey.read(Path(os.environ[_KEY]))
        ends = time.monotonic() + _TAKE_OVER_SECONDS
        while True:
            try:
                self._head = Head(job, RayCluster(), key.seal)
                break
            except HistoryError:  # the head before this one may be about to end
                if time.monotonic() >= ends:
                    raise
                time.sleep(0.5)
        self._head.start()

    def claim(self, group: str, machine: str, cameras: tuple[str, ...]) -> tuple[str, Any]:
        try:
            claim = self._head.claim(group, machine, cameras)
        except LedgerAway as error:
            return str(error), None
        snapshots, running = dict(claim.snapshots), dict(claim.running)
        return "", (claim.epoch, claim.previous, claim.at, snapshots, running)

    def save(self, batch: bytes) -> tuple[str, Any]:
        unpacked: Batch = PACKER.unpack(batch)
        try:
            return "", (self._head.save(unpacked), None)
        except Superseded as error:
            return "", (None, error.at)
        except LedgerAway as error:
            return str(error), None

    def late(self, batch: bytes) -> tuple[str, Any]:
        try:
            return "", self._head.late(PACKER.unpack(batch))
        except LedgerAway as error:
            return str(error), None

    def superseded(self, group: str, epoch: int) -> tuple[str, Any]:
        try:
            return "", self._head.superseded(group, epoch)
        except LedgerAway as error:
            return str(error), None

    def call(self, method: str, *values: Any) -> tuple[str, Any]:
        """A command, or a question."""
        try:
            found = getattr(self._head, method)
            return "", found(*values) if callable(found) else found
        except StreamrecError as error:
            return str(error), None

    def welcome(self, version: str | None) -> tuple[str, Any]:
        """Whether a machine with this version of streamrec may join."""
        if version == version_of():
            return "", None
        return (
            f"this machine has streamrec {version}, and the head has {version_of()}: install the same version here",
            None,
        )

    def close(self) -> tuple[str, Any]:
        """Close the history, so that another head can open it."""
        self._head.close()
        return "", None


def begin_head(job: FleetJob) -> None:
    """Run the head on this machine, in place of one that runs already. Raises ``SettingsError``."""
    with contextlib.suppress(ValueError):
        old = ray.get_actor(HEAD, namespace=NAMESPACE)
        with contextlib.suppress(RayError):
            ray.get(old.close.remote(), timeout=10.0)
        ray.kill(old, no_restart=True)
        _wait_until_gone(HEAD)
    actor = _HeadActor.options(  # type: ignore[attr-defined]
        name=HEAD,
        lifetime="detached",
        max_restarts=-1,
        max_task_retries=0,
        max_concurrency=200,
        num_cpus=0,
        resources={"streamrec-head": _SLOT},
    ).remote(job)
    try:
        ray.get(actor.call.remote("messages", 0), timeout=_START_SECONDS)
    except RayActorError as error:
        ray.kill(actor, no_restart=True)
        raise SettingsError(_cause(error)) from error
    except GetTimeoutError as error:
        raise SettingsError("the head did not begin within three minutes; ray.log says why") from error


def _cause(error: BaseException) -> str:
    """The sentence of ours in an error of Ray's."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, StreamrecError):
            return str(getattr(cause, "cause", cause))
        cause = cause.__cause__
    return _last_line(error) or "the head could not begin"


def _last_line(error: BaseException) -> str:
    """The error of another process, without its traceback."""
    lines = [line.strip() for line in str(error).splitlines() if "Error:" in line]
    return lines[-1].partition("Error: ")[2] if lines else ""


def _wait_until_gone(name: str) -> None:
    ends = time.monotonic() + 10.0
    while time.monotonic() < ends:
        try:
            ray.get_actor(name, namespace=NAMESPACE)
        except ValueError:
            return
        time.sleep(0.05)


class HeadClient:
    """The head, as commands and machines of the cluster call it."""

    def __init__(self) -> None:
        self._actor: Any = None
        self._search: Future[Any] | None = None

    def call(self, method: str, *values: Any, seconds: float = 120.0) -> Any:
        """A method of ``Head``. Raises ``SettingsError`` where it fails, ``LedgerAway`` where it does not answer."""
        failed, found = self._ask("call", method, *values, seconds=seconds)
        if failed:
            raise SettingsError(failed)
        return found

    def welcome(self) -> None:
        """Raise ``SettingsError`` where this machine may not join."""
        failed, _ = self._ask("welcome", version_of(), seconds=30.0)
        if failed:
            raise SettingsError(failed)

    def close(self) -> None:
        """Close the head's history; it ends."""
        with contextlib.suppress(LedgerAway):
            self._ask("close", seconds=15.0)
        with contextlib.suppress(ValueError, RayError):
            ray.kill(ray.get_actor(HEAD, namespace=NAMESPACE), no_restart=True)

    def _ask(self, method: str, *values: Any, seconds: float) -> tuple[str, Any]:
        try:
            if self._actor is None:
                self._actor = self._found(min(seconds, _CALL_SECONDS))
            answer: tuple[str, Any] = ray.get(getattr(self._actor, method).remote(*values), timeout=seconds)
            return answer
        except RayTaskError as error:  # a fault, not a head that is away
            raise LedgerAway(f"the head could not {method}: {_last_line(error)}") from error
        except TimeoutError as error:  # Ray's own are such too: the process may answer the next time
            raise LedgerAway("the head does not answer") from error
        except (RayError, ValueError) as error:
            self._actor = None
            raise LedgerAway("the head does not answer") from error

    def _found(self, seconds: float) -> Any:
        """The head's process; raises ``TimeoutError`` and what Ray raises.

        Ray looks for it for a minute while the cluster's own store is away. A group that waited so long would write
        nothing into its outbox meanwhile: the search goes on by itself, and the next call asks for what it found.
        """
        if self._search is None:
            found = self._search = Future()
            threading.Thread(target=_search_head, args=(found,), name="head", daemon=True).start()
        try:
            return self._search.result(seconds)
        finally:
            if self._search is not None and self._search.done():
                self._search = None


def _search_head(found: Future[Any]) -> None:
    try:
        found.set_result(ray.get_actor(HEAD, namespace=NAMESPACE))
    except Exception as error:
        found.set_exception(error)


# -- a group's side


class RayLedger(HeadClient):
    """The ledger, as a group calls it."""

    def claim(self, group: str, machine: str, cameras: tuple[str, ...]) -> Claim:
        """As ``LedgerService.claim``."""
        epoch, previous, at, snapshots, running = self._called("claim", group, machine, cameras)
        return Claim(epoch=epoch, previous=previous, at=at, snapshots=snapshots, running=running)

    def save(self, batch: Batch) -> float:
        """As ``LedgerService.save``."""
        at, superseded_at = self._called("save", PACKER.pack(batch))
        if at is None:
            raise Superseded(batch.group, superseded_at)
        return float(at)

    def late(self, batch: Batch) -> int:
        """As ``LedgerService.late``."""
        return int(self._called("late", PACKER.pack(batch)))

    def superseded(self, group: str, epoch: int) -> bool:
        """As ``LedgerService.superseded``."""
        return bool(self._called("superseded", group, epoch))

    def _called(self, method: str, *values: Any) -> Any:
        """The head's answer; raises ``LedgerAway``, also where the head's own ledger is away."""
        failed, found = self._ask(method, *values, seconds=_CALL_SECONDS)
        if failed:
            raise LedgerAway(failed)
        return found


class Messages:
    """Sends messages to the head, each at least once, in a thread of its own: Ray looks for a minute for a head that
    is away. The newest ones are kept until it is back.
    """

    def __init__(self, head: HeadClient, pause: float = 1.0) -> None:
        self._head, self._pause = head, pause
        self._waiting: deque[str] = deque(maxlen=_MESSAGES)
        self._changed = threading.Condition()
        threading.Thread(target=self._send, name="messages", daemon=True).start()

    def put(self, text: str) -> None:
        """Never waits for the head."""
        with self._changed:
            self._waiting.append(text)
            self._changed.notify()

    def _send(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                text = self._waiting[0]
            try:
                self._head.call("log", text, seconds=_CALL_SECONDS)
            except Exception:  # whatever it is: it is tried again
                time.sleep(self._pause)
                continue
            with self._changed:
                if self._waiting[0] is text:  # or it was pushed out
                    self._waiting.popleft()


class _Witness:
    """Whether a group of another machine can save. Their names are asked for while the head is there."""

    def __init__(self, machine: str) -> None:
        self._machine, self._client = machine, HeadClient()
        self._peers: list[Any] = []

    def refresh(self) -> None:
        """Ask the head for groups of other machines."""
        with contextlib.suppress(StreamrecError, RayError, ValueError):
            names: Sequence[str] = self._client.call("peers", self._machine, seconds=5.0)
            self._peers = [ray.get_actor(_actor_name(name), namespace=NAMESPACE) for name in names[:5]]

    def __call__(self) -> bool:
        """Whether one of them can save."""
        asked = [peer.can_save.remote() for peer in self._peers]
        ready, _ = ray.wait(asked, num_returns=len(asked), timeout=1.0) if asked else ([], [])
        for one in ready:
            with contextlib.suppress(RayError):
                if ray.get(one, timeout=0.1)[1]:
                    return True
        return False


@ray.remote
class _GroupActor:
    """A group as a process of the cluster. Every answer is a pair: a failure as a sentence, and a value."""

    def __init__(self, spec: bytes) -> None:
        bind_freely()  # cameras may be on another network than the fleet
        limit_opencv_threads()
        self._machine = os.environ[_MACHINE]
        self._messages = Messages(HeadClient())
        self._witness = _Witness(self._machine)
        place = Place(
            machine=self._machine,
            folder=Path(os.environ[_FOLDER]),
            unseal=FleetKey.read(Path(os.environ[_KEY])).unseal,
            witness=self._witness,
        )
        self._group = Group(SPECS.unpack(spec), RayLedger(), place, self._log)
        threading.Thread(target=self._run, name="group", daemon=True).start()
        threading.Thread(target=self._refresh_peers, name="peers", daemon=True).start()

    def _run(self) -> None:
        try:
            self._group.run()
        except BaseException:
            time.sleep(1.0)  # its message is on the way
            os._exit(1)  # Ray begins it anew
        if self._group.superseded:
            os._exit(0)

    def _refresh_peers(self) -> None:
        while True:
            self._witness.refresh()
            time.sleep(10.0)

    def _log(self, text: str) -> None:
        print(text, flush=True)  # into Ray's log of this process
        self._messages.put(f"{self._machine}: {text}")

    def apply(self, spec: bytes) -> tuple[str, Any]:
        return self._answer(lambda: self._group.apply(SPECS.unpack(spec)))

    def park(self) -> tuple[str, Any]:
        return self._answer(self._group.park)

    def stop(self) -> tuple[str, Any]:
        return self._answer(self._group.stop)

    def picture(self, request: PictureRequest) -> tuple[str, Any]:
        return self._answer(lambda: self._group.picture(request))

    def can_save(self) -> tuple[str, Any]:
        return "", self._group.can_save

    def pid(self) -> tuple[str, Any]:
        """Of this process, for tests that kill it."""
        return "", os.getpid()

    def _answer(self, ask: Callable[[], Any]) -> tuple[str, Any]:
        try:
            return "", ask()
        except StreamrecError as error:
            return str(error), None

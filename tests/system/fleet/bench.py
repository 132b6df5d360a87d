"""A fleet that is measured: a head, machines on one host, cameras of files and of RTSP servers, and what was saved.

::

    with measured_fleet(files=6, live=6) as fleet:
        fleet.begin(["north", "south"])
        fleet.stop("north")          # SIGSTOP to all of its processes
        fleet.until_files_end()
        print(fleet.compared())

A process belongs to the machine whose folder its environment names, so that no process of another fleet is touched.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamrec import ActionEnded, Recognizer, results
from streamrec.evaluation.bench import make_video
from streamrec.outputs.fleet.wire import PACKER
from streamrec.outputs.history.records import Entry
from streamrec.outputs.history.store import History
from tests.helpers.cameras import Camera, rtsp_camera
from tests.helpers.cameras import free_port as free_web_port
from tests.helpers.fleet_processes import FleetOnOneHost

MODEL = "synthetic"
SIZE, FPS = (160, 120), 10.0
TICK = 0.1  # seconds between two reads of the snapshots
NEAR = 2.5  # seconds: two onsets of one label that are nearer are of one event
_MARK = "STREAMREC_BENCH_MACHINE"  # in the environment of a machine's processes
_MOST = 180.0  # seconds to wait on a busy machine

FILE = '[[camera]]\nname = "file {n}"\naddress = "{address}"\nmodels = ["synthetic", "fight"]\n'
LIVE = '[[camera]]\nname = "live {n}"\naddress = "{address}"\nmodel = "synthetic"\n'


@dataclass(frozen=True, slots=True)
class Seen:
    """A snapshot on the head's disk, as it was read there."""

    at: float  # time.time() when it was read
    camera: str
    segment: int
    index: int
    timestamp: float
    captured: float
    scores: bytes  # of all models
    size: int


class Eyes:
    """Reads the snapshots and claims of a history, ten times a second, in a thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.seen: list[Seen] = []
        self.claims: list[tuple[str, int, float, str]] = []  # group, epoch, at, machine
        self._last: dict[str, bytes] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(60.0)

    def _run(self) -> None:
        while not self._over.wait(TICK):
            with contextlib.suppress(sqlite3.Error):
                self._read()

    def _read(self) -> None:
        with contextlib.closing(sqlite3.connect(f"file:{self._path}?mode=ro", uri=True)) as connection:
            rows = connection.execute("SELECT camera, body FROM fleet_snapshot").fetchall()
            at = time.time()
            claims = "SELECT group_name, epoch, at, machine FROM fleet_claim ORDER BY epoch"
            self.claims = connection.execute(claims).fetchall()
        for camera, body in rows:
            camera = camera.decode() if isinstance(camera, bytes) else camera
            if self._last.get(camera) == body:
                continue
            self._last[camera] = body
            one = PACKER.unpack(body)
            self.seen.append(
                Seen(at, camera, one.frame.segment, one.frame.index, one.frame.timestamp, one.captured,
                     one.state.probabilities.tobytes(), len(body))
            )  # fmt: skip

    def of(self, camera: str) -> list[Seen]:
        return [one for one in self.seen if one.camera == camera]

    def newest(self, camera: str) -> Seen | None:
        return next((one for one in reversed(self.seen) if one.camera == camera), None)


def first_after(seen: Iterable[Seen], at: float) -> Seen | None:
    """The first snapshot of a frame that was captured after this time."""
    return next((one for one in seen if one.captured > at), None)


def back_steps(seen: Sequence[Seen]) -> int:
    """Snapshots of a file that know less than one before: a process with an older state has written."""
    places = [(one.segment, one.index) for one in seen]
    return sum(after < before for before, after in itertools.pairwise(places))


@dataclass(frozen=True, slots=True)
class Compared:
    """Events of a fleet beside those of a run without a fault."""

    wanted: int
    lost: int
    doubled: int
    shifts: tuple[float, ...] = ()  # seconds, of onsets, of live cameras
    missing: tuple[tuple[str, Entry], ...] = ()  # of live cameras: the camera, and the event of the reference

    def __add__(self, other: Compared) -> Compared:
        return Compared(
            self.wanted + other.wanted,
            self.lost + other.lost,
            self.doubled + other.doubled,
            self.shifts + other.shifts,
            self.missing + other.missing,
        )


NONE = Compared(0, 0, 0)


class MeasuredFleet:
    """See the module."""

    def __init__(
        self,
        folder: Path,
        addresses: dict[str, str],
        videos: dict[str, Path],
        servers: Sequence[Camera],
        text: str,
    ) -> None:
        self.folder, self.addresses, self.videos, self.servers = folder, addresses, videos, servers
        self.history = folder / "events.db"
        self.web = free_web_port()
        self.machine_env: dict[str, dict[str, str]] = {}
        self._text = text
        self.fleet = FleetOnOneHost(folder, text)
        self.eyes = Eyes(self.history)
        self.reference: subprocess.Popen[bytes] | None = None

    # -- its processes

    def begin(self, machines: Sequence[str], *options: str, cores: str = "0", wait: bool = True) -> None:
        """Start head and machines; wait until each camera has been saved."""
        self.begin_head(*options, cores=cores)
        for name in machines:  # one after the other: on a busy host Ray gives up where both start at once
            self.join(name)
        self.eyes = Eyes(self.history)
        self.eyes.start()
        if wait:
            self.until(lambda: {one.camera for one in self.eyes.seen} >= set(self.addresses), "all saved")

    def begin_head(self, *options: str, cores: str = "0") -> None:
        os.environ[_MARK] = str(self.folder / "head")
        try:
            history = ("--history", str(self.history), "--web", f"127.0.0.1:{self.web}")
            try:
                self.fleet.begin(*history, *options, cores=cores)
            except AssertionError:  # it takes longer than a test waits
                head = self.fleet.head
                if head is None or head.process.poll() is not None:
                    raise
                self.until(lambda: "the fleet is at" in head.text, "the head begins")
        finally:
            del os.environ[_MARK]

    def join(self, name: str, *options: str, cores: str = "2", wait: bool = True) -> None:
        env = {_MARK: str(self.folder / name), **self.machine_env.get(name, {})}
        self.fleet.join(name, *options, cores=cores, env=env)
        if wait:
            self.joined(name)

    def joined(self, name: str) -> None:
        """Wait until a machine has joined; on a busy host Ray may give up to start, and is begun again."""
        for _ in range(3):
            process = self.fleet.machines[name]
            self.until(
                lambda process=process: self.is_alive(name) or process.process.poll() is not None,
                f"{name} joins",
            )
            if process.process.poll() is None:
                return
            process.log.unlink()
            self.join(name, wait=False)
        raise TimeoutError(f"{name} does not join: {self.fleet.machines[name].text[-500:]}")

    def is_alive(self, name: str) -> bool:
        """Whether the head has this machine."""
        with contextlib.suppress(OSError):
            return any(one["name"] == name and one["state"] == "alive" for one in self.status()["machines"])
        return False

    def pids(self, machine: str, word: str = "") -> list[int]:
        """The processes of a machine; ``word``: those with it in their command."""
        mark = f"{_MARK}={self.folder / machine}".encode()
        sessions: dict[int, int] = {}
        marked = set()
        for path in Path("/proc").iterdir():
            if path.name.isdigit() and int(path.name) != os.getpid():
                with contextlib.suppress(OSError):
                    session = int((path / "stat").read_text().rpartition(")")[2].split()[3])
                    sessions[int(path.name)] = session
                    if mark in (path / "environ").read_bytes().split(b"\0"):
                        marked.add(session)
        found = []
        for pid, session in sessions.items():
            if session in marked:  # Ray's agents do not show the environment that they were given
                with contextlib.suppress(OSError):
                    command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
                    found += [pid] if word in command else []
        return found

    def signal(self, machine: str, number: int, word: str = "") -> int:
        """Send a signal to the processes of a machine; how many there were."""
        pids = self.pids(machine, word)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        return len(pids)

    def kill(self, machine: str, word: str = "") -> int:
        return self.signal(machine, signal.SIGKILL, word)

    def close(self) -> None:
        self.eyes.stop()
        if self.reference is not None:
            self.reference.kill()
            self.reference.wait()
        names = ["head", *self.fleet.machines]
        for name in names:
            self.signal(name, signal.SIGCONT)
        for name in names:  # a trial is over: nothing of it is needed any more
            while self.kill(name):
                time.sleep(0.1)
        self.fleet.close()

    # -- what it shows

    def until(self, what: Any, name: str, patience: float = _MOST) -> float:
        """Wait until it is true; seconds that took. Raises ``TimeoutError``."""
        began = time.monotonic()
        while not what():
            if time.monotonic() - began > patience:
                raise TimeoutError(f"{name}: not within {patience:g} s\n{self.fleet.report()[-6000:]}")
            time.sleep(TICK)
        return time.monotonic() - began

    def status(self) -> dict[str, Any]:
        """As `streamrec fleet status --json`, by the page; raises ``OSError``."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.web}/api/v1/fleet", timeout=10.0) as answer:
            found: dict[str, Any] = json.load(answer)["fleet"]
            return found

    def state(self, camera: str) -> str:
        with contextlib.suppress(OSError):
            for one in self.status()["cameras"]:
                if one["name"] == camera:
                    return str(one["state"])
        return ""

    def where(self) -> dict[str, str]:
        """The machine of each camera."""
        status = self.status()
        return {name: group["machine"] for group in status["groups"] for name in group["cameras"]}

    def on(self, machine: str) -> list[str]:
        return [camera for camera, where in self.where().items() if where == machine]

    def busiest(self) -> str:
        """The machine with most cameras."""
        where = list(self.where().values())
        return max(set(where) - {""}, key=lambda name: (where.count(name), name))

    def until_files_end(self, patience: float = 400.0) -> float:
        def ended() -> bool:
            with contextlib.suppress(OSError):
                states = {one["name"]: one["state"] for one in self.status()["cameras"]}
                return all(states.get(name) == "ended" for name in self.videos)
            return False

        return self.until(ended, "files end", patience)

    def entries(self, camera: str) -> list[Entry]:
        """Events of the model that is compared, in the order in which they began to be kept."""
        with History(self.history, read_only=True) as history:
            return [one for one in history.pages(camera=camera) if one.model == MODEL]

    def compared_files(self) -> Compared:
        """Events of files: equal to the bit in label, position, duration and confidence."""
        total = NONE
        known: dict[Path, list[tuple[Any, ...]]] = {}
        for camera, video in self.videos.items():
            wanted = known.setdefault(video, expected(video)) if video not in known else known[video]
            found = [kept(one) for one in self.entries(camera)]
            lost = sum(one not in found for one in wanted)
            total += Compared(len(wanted), lost, len(found) - (len(wanted) - lost))
        return total

    def begin_reference(self) -> None:
        """Watch the live cameras in one process of `streamrec watch` too, without a fault."""
        file = self.folder / "reference.toml"
        live = {name: address for name, address in self.addresses.items() if name not in self.videos}
        text = "".join(
            f'[[camera]]\nname = "{name}"\naddress = "{address}"\nmodel = "{MODEL}"\n'
            for name, address in live.items()
        )
        file.write_text(text)
        with (self.folder / "reference.log").open("wb") as log:
            code = "from streamrec.commands.process import main; main()"
            words = ["watch", str(file), "--history", str(self.folder / "reference.db")]
            self.reference = subprocess.Popen(
                [sys.executable, "-c", code, *words], stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )  # fmt: skip

    def compared_live(
        self, since: float, until: float, gaps: Mapping[str, Sequence[tuple[float, float]]] | None = None
    ) -> Compared:
        """Live events that began between these times, beside the reference's, and not in a gap of their camera."""
        total = NONE
        with (
            History(self.folder / "reference.db", read_only=True) as reference,
            History(self.history, read_only=True) as history,
        ):
            for camera in self.addresses.keys() - self.videos.keys():
                found = list(history.pages(camera=camera))
                wanted = [one for one in reference.pages(camera=camera) if since < one.started < until]
                for begin, end in (gaps or {}).get(camera, ()):
                    wanted = [one for one in wanted if not begin - NEAR < one.started < end + NEAR]
                doubled = 0
                shifts, missing = [], []
                for one in wanted:
                    near = [
                        other.started - one.started
                        for other in found
                        if other.label == one.label and abs(other.started - one.started) < NEAR
                    ]
                    missing += [] if near else [(camera, one)]
                    doubled += max(0, len(near) - 1)
                    shifts += [min(near, key=abs)] if near else []
                total += Compared(len(wanted), len(missing), doubled, tuple(shifts), tuple(missing))
        return total


def expected(video: Path) -> list[tuple[Any, ...]]:
    """The events of a file that is read without a fault."""
    found = [event for result in results(video, Recognizer.load(MODEL)) for event in result.events]
    ended = [one for one in found if isinstance(one, ActionEnded)]
    return [(one.label, one.started, round(one.duration, 4), one.confidence) for one in ended]


def kept(one: Entry) -> tuple[Any, ...]:
    """An event of a history as ``expected`` has it; its end is kept in seconds since 1970, which rounds."""
    return one.label, one.timestamp, None if one.duration is None else round(one.duration, 4), one.confidence


@contextlib.contextmanager
def measured_fleet(
    *, files: int = 0, live: int = 0, frames: int = 400, seed: int = 1, live_toml: str = LIVE, head: str = ""
) -> Iterator[MeasuredFleet]:
    """A fleet of so many cameras in a folder of its own; one file, or three, are played by RTSP servers."""
    with contextlib.ExitStack() as stack:
        # A short path: Ray's sockets are named in it.
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="fb", ignore_cleanup_errors=True))
        )
        videos = {
            f"file {n}": make_video(folder / f"file{n}.mp4", SIZE, frames, FPS, seed=10 * seed + n)
            for n in range(files)
        }
        servers: list[Camera] = []
        count = 3 if live > 4 else min(1, live)
        for n in range(count):
            video = make_video(folder / f"live{n}.mp4", SIZE, 600, FPS, seed=10 * seed + 100 + n)
            servers.append(stack.enter_context(rtsp_camera(video, fps=FPS, stamp=False, keys=10)))
        addresses = {name: str(path) for name, path in videos.items()}
        addresses |= {f"live {n}": str(servers[n % count]) for n in range(live)}
        text = head + "".join(
            (FILE if name in videos else live_toml).format(n=name.split()[1], address=address)
            for name, address in addresses.items()
        )
        fleet = MeasuredFleet(folder, addresses, videos, servers, text)
        stack.callback(fleet.close)
        yield fleet

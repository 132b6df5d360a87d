"""The trials of a fleet with faults: each returns what was measured, and what was asked of it."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import sqlite3
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streamrec import Recognizer, results
from tests.system.fleet.bench import (
    FPS,
    LIVE,
    MODEL,
    Compared,
    Eyes,
    MeasuredFleet,
    Seen,
    back_steps,
    first_after,
    measured_fleet,
)

RESUME_SECONDS = 6.0
_FROZEN = 30.0
MACHINES = ["north", "south", "west"]


@dataclass(slots=True)
class Report:
    """Numbers of a trial, in the order in which they were measured, and the requirements that it had."""

    numbers: dict[str, Any] = field(default_factory=dict)
    checks: list[tuple[str, bool]] = field(default_factory=list)

    def put(self, name: str, value: Any) -> None:
        self.numbers[name] = value
        print(f"  {name}: {value}", flush=True)

    def check(self, name: str, met: bool) -> None:
        self.checks.append((name, met))
        print(f"  {'met' if met else 'NOT MET'}: {name}", flush=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large a trial is."""

    files: int
    live: int
    frames: int  # of a file
    machines: int
    seed: int
    away: float  # seconds that the head, or its disk, is away
    seconds: float  # of a measurement
    cameras: int  # of the simulation
    minutes: float  # of the soak


@contextlib.contextmanager
def running(size: Size, *options: str) -> Iterator[MeasuredFleet]:
    """A fleet that has watched for a few seconds, with a reference beside it."""
    with measured_fleet(files=size.files, live=size.live, seed=size.seed, frames=size.frames) as fleet:
        if size.live:
            fleet.begin_reference()
        fleet.begin(MACHINES[: size.machines], *options)
        time.sleep(6.0)
        yield fleet


def gaps(fleet: MeasuredFleet, cameras: list[str], at: float) -> dict[str, tuple[float, float]]:
    """Of each camera, when its last frame before a time and its first one after it were captured."""
    found = {}
    for camera in cameras:
        before = [one for one in fleet.eyes.of(camera) if one.captured <= at]
        after = first_after(fleet.eyes.of(camera), at)
        if before and after:
            found[camera] = before[-1].captured, after.captured
    return found


def resumed(
    fleet: MeasuredFleet, report: Report, cameras: list[str], at: float, within: float | None = RESUME_SECONDS
) -> None:
    """Wait until all of these cameras have been saved anew by another process, and report how long that took.

    ``within``: seconds that it may take; None: as long as it takes.
    """
    epochs = {claim[:2] for claim in fleet.eyes.claims}

    def back() -> bool:
        # A file may have ended before the fault: nothing comes of it any more.
        return all(fleet.eyes.newest(one).at > claimed() for one in cameras)  # type: ignore[union-attr]

    def claimed() -> float:
        new = [claim[2] for claim in fleet.eyes.claims if claim[2] > at]
        return max(new, default=float("inf"))

    fleet.until(lambda: {claim[:2] for claim in fleet.eyes.claims} - epochs, "claimed anew")
    fleet.until(back, "saved anew")
    new = [claim for claim in fleet.eyes.claims if claim[2] > at]
    report.put("seconds to the claim", [round(claim[2] - at, 1) for claim in new])
    firsts = [next(s.at for s in fleet.eyes.of(one) if s.at > new[0][2]) - at for one in cameras]
    report.put("seconds to the first new step on the disk, median", round(statistics.median(firsts), 1))
    report.put("the slowest camera", round(max(firsts), 1))
    if within is not None:
        report.check(f"resumed within {within:g} s", max(firsts) <= within)


def compared(
    fleet: MeasuredFleet, report: Report, since: float, holes: dict[str, tuple[float, float]] | None = None
) -> None:
    """Report events of files, and of live cameras, beside those without a fault."""
    if fleet.videos:
        fleet.until_files_end()
        files = fleet.compared_files()
        report.put("files: events wanted, lost, doubled", (files.wanted, files.lost, files.doubled))
        report.check("files: no event lost or doubled", (files.lost, files.doubled) == (0, 0))
        back = sum(back_steps(fleet.eyes.of(camera)) for camera in fleet.videos)
        report.put("snapshots that went back", back)
        report.check("no write of an old epoch was accepted", back == 0)
    if fleet.reference is not None:
        time.sleep(3.0)
        own = {name: [hole] for name, hole in (holes or {}).items()}
        live = fleet.compared_live(since, time.time() - 4.0, own)
        report.put(
            "live: events wanted (outside the gap), lost, doubled", (live.wanted, live.lost, live.doubled)
        )
        not_found(fleet, report, live, own)
        if live.shifts:
            report.put(
                "live: onset beside that of `watch`, median s", round(statistics.median(live.shifts), 2)
            )
        report.check("live: no event doubled", live.doubled == 0)
        report.check("live: no event lost outside the gap", live.lost == 0)
    status = fleet.status()
    report.put("batches refused, events replayed", (status["refused"], status["replayed"]))


def not_found(
    fleet: MeasuredFleet, report: Report, live: Compared, holes: Mapping[str, Sequence[tuple[float, float]]]
) -> None:
    """Report each live event of the reference that the fleet does not have, with what is near it."""
    for camera, one in live.missing:
        near = [
            f"{other.label} {other.started - one.started:+.1f} for {other.duration} s"
            for other in fleet.entries(camera)
            if abs(other.started - one.started) < 10.0
        ]
        ends = [round(one.started - at, 1) for hole in holes.get(camera, ()) for at in hole]
        nearest = sorted(ends, key=abs)[:2]
        report.put(
            f"{camera}: not found",
            f"{one.label}, {one.duration} s, {one.confidence}; seconds after a gap's ends {nearest}; near it {near}",
        )


def unseen(report: Report, found: dict[str, tuple[float, float]]) -> None:
    """Report the frames of live cameras that no machine saw."""
    lengths = [after - before for before, after in found.values()]
    if lengths:
        report.put("live: gap in s, median and longest",
                   (round(statistics.median(lengths), 1), round(max(lengths), 1)))  # fmt: skip
        report.put("live: frames unseen a camera, median", round(statistics.median(lengths) * FPS) - 1)


def _taken(fleet: MeasuredFleet) -> tuple[str, list[str], list[str]]:
    """The machine with most cameras, those of them that go on, and the live ones."""
    victim = fleet.busiest()
    cameras = [one for one in fleet.on(victim) if fleet.state(one) == "live"]
    return victim, cameras, [one for one in cameras if one not in fleet.videos]


def node(size: Size, report: Report) -> None:
    """A machine loses its power: all of its processes are killed."""
    with running(size) as fleet:
        since = time.time()
        victim, cameras, live = _taken(fleet)
        report.put("cameras on the machine", len(cameras))
        at = time.time()
        fleet.kill(victim)
        resumed(fleet, report, cameras, at)
        holes = gaps(fleet, live, at)
        unseen(report, holes)
        compared(fleet, report, since, holes)


def raylet(size: Size, report: Report) -> None:
    """Ray's own process on a machine is killed; the group's process may live on."""
    with running(size) as fleet:
        since = time.time()
        victim, cameras, live = _taken(fleet)
        workers = fleet.pids(victim, "_GroupActor")
        at = time.time()
        fleet.kill(victim, "raylet/raylet")
        lived = threading.Event()
        beside = _time_alive(workers, lived)
        resumed(fleet, report, cameras, at)
        lived.set()
        report.put("seconds that a process of the old epoch lived on", round(max(beside(), default=0.0), 1))
        holes = gaps(fleet, live, at)
        unseen(report, holes)
        compared(fleet, report, since, holes)


def _time_alive(pids: list[int], stop: threading.Event) -> Callable[[], list[float]]:
    began, lasted = time.monotonic(), dict.fromkeys(pids, 0.0)

    def sample() -> None:
        while not stop.wait(0.1):
            for pid in pids:
                if Path(f"/proc/{pid}").exists():
                    lasted[pid] = time.monotonic() - began

    threading.Thread(target=sample, daemon=True).start()
    return lambda: list(lasted.values())


def worker(size: Size, report: Report) -> None:
    """The raylet is frozen for 30 s while the group's process works on: as in a partition of the network."""
    _freeze(size, report, "raylet/raylet")


def frozen(size: Size, report: Report) -> None:
    """A machine stands still for 30 s, and then goes on as if nothing had been."""
    _freeze(size, report, "")


def _freeze(size: Size, report: Report, word: str) -> None:
    with running(size) as fleet:
        since = time.time()
        victim, cameras, live = _taken(fleet)
        at = time.time()
        fleet.signal(victim, signal.SIGSTOP, word)
        threading.Timer(_FROZEN, fleet.signal, (victim, signal.SIGCONT, word)).start()
        with contextlib.suppress(TimeoutError):
            # A machine that stands still may be a busy one: Ray waits ten seconds for it.
            resumed(fleet, report, cameras, at, within=None)
        holes = gaps(fleet, live, at)
        unseen(report, holes)
        time.sleep(max(0.0, at + _FROZEN + 8.0 - time.time()))
        report.put("processes of its groups that are left on the machine",
                   len(fleet.pids(victim, "_GroupActor")))  # fmt: skip
        compared(fleet, report, since, holes)


def move(size: Size, report: Report) -> None:
    """A planned move: the probabilities afterwards equal those of a run that was not moved, to the bit."""
    with running(size) as fleet:
        since = time.time()
        victim, cameras, live = _taken(fleet)
        at = time.time()
        fleet.fleet.command("drain", victim)
        asked = time.time()
        report.put("seconds of `fleet drain`", round(asked - at, 1))
        fleet.until(lambda: not fleet.on(victim), "moved")
        fleet.until(lambda: all(fleet.eyes.newest(one).at > asked for one in live), "saved")  # type: ignore[union-attr]
        assert cameras
        holes = {one: _hole(fleet.eyes.of(one), at) for one in live}
        unseen(report, holes)
        compared(fleet, report, since, holes)
        wrong = total = 0
        for camera, video in list(fleet.videos.items()):
            whole = _scores(video)
            for one in fleet.eyes.of(camera):
                total += 1
                wrong += not one.scores.startswith(whole[one.index])
        report.put("snapshots of files, and those that differ from a run of `results`", (total, wrong))
        report.check("a planned move is equal to the bit", wrong == 0 and total > 0)


def _hole(seen: list[Seen], at: float) -> tuple[float, float]:
    """The longest time between two saved frames after a time."""
    times = [one.captured for one in seen if one.captured > at - 2.0]
    pairs = list(itertools.pairwise(times))
    return max(pairs, key=lambda pair: pair[1] - pair[0], default=(at, at))


def _scores(video: Path) -> dict[int, bytes]:
    found = {}
    recognizer = Recognizer.load(MODEL)
    for result in results(video, recognizer):
        found[result.frame.index] = result.prediction.probabilities.tobytes()
    return found


def ledger(size: Size, report: Report) -> None:
    """The process of the ledger is killed; Ray begins it anew."""
    with running(size) as fleet:
        since = at = time.time()
        fleet.kill("head", "_HeadActor")
        fleet.until(lambda: any(one.at > at + 1.0 for one in fleet.eyes.seen), "saved anew")
        back = next(one.at for one in fleet.eyes.seen if one.at > at + 0.3)
        report.put("seconds until something was saved again", round(back - at, 1))
        compared(fleet, report, since)
        in_order(fleet, report)


def head(size: Size, report: Report) -> None:
    """The head's machine is away for a while: all of its processes are killed, and begun anew later."""
    with running(size) as fleet:
        since = at = time.time()
        fleet.kill("head")
        time.sleep(size.away)
        again = time.time()
        fleet.begin_head()
        report.put("seconds away", round(again - at, 1))
        cameras = list(fleet.addresses)
        fleet.until(lambda: all(_saved(fleet.eyes, one, again) for one in cameras), "saved again")
        report.put("seconds from its start until each camera was saved again", round(time.time() - again, 1))
        holes = [_hole(fleet.eyes.of(one), at) for one in cameras if one not in fleet.videos]
        report.put(
            "longest time between two saved frames, s", round(max(b - a for a, b in holes), 1) if holes else 0
        )
        compared(fleet, report, since)
        in_order(fleet, report)
        report.put("what waits in outboxes now", sum(group["waiting"] for group in fleet.status()["groups"]))


def _saved(eyes: Eyes, camera: str, since: float) -> bool:
    newest = eyes.newest(camera)
    return newest is not None and (newest.at > since or newest.camera.startswith("file"))


def in_order(fleet: MeasuredFleet, report: Report) -> None:
    """Report whether the history got the events of each camera in the order in which they began.

    One that waited on a machine that died, while the group went on elsewhere, comes late: its group was claimed
    between the two events.
    """
    with contextlib.closing(sqlite3.connect(f"file:{fleet.history}?mode=ro", uri=True)) as connection:
        rows = connection.execute("SELECT camera, model, started, label FROM event ORDER BY rowid").fetchall()
        claims = connection.execute(
            "SELECT camera, at FROM fleet_snapshot JOIN fleet_claim USING (group_name)"
        ).fetchall()
    last: dict[tuple[str, str], float] = {}
    late, wrong = [], []
    for camera, model, started, label in rows:
        key = camera, model
        if started < (newest := last.get(key, 0.0)):
            moved = any(one == camera and started < at <= newest for one, at in claims)
            (late if moved else wrong).append(f"{camera} {model} {label} {newest - started:.1f} s")
        last[key] = max(started, newest)
    if late:
        report.put("kept late, since their group had moved away from a machine that died", late[:10])
    if wrong:
        report.put("kept after a later one of the same camera and model", wrong[:10])
    report.check("events are in order", not wrong)


def disk(size: Size, report: Report) -> None:
    """The head's disk is full for a while: a file system of 48 MB that is filled."""
    with (
        measured_fleet(files=size.files, live=size.live, seed=size.seed, frames=size.frames) as fleet,
        small_disk(fleet, 48) as filler,
    ):
        fleet.begin_reference()
        fleet.begin(MACHINES[: size.machines])
        time.sleep(6.0)
        since = at = time.time()
        fill(filler)
        time.sleep(size.away)
        newest = max(one.at for one in fleet.eyes.seen)
        report.put("seconds full; the last save came after", (size.away, round(newest - at, 1)))
        filler.unlink()
        again = time.time()
        fleet.until(lambda: any(one.at > again for one in fleet.eyes.seen), "saved again")
        report.put("seconds until something was saved again", round(time.time() - again, 1))
        compared(fleet, report, since)
        in_order(fleet, report)


@contextlib.contextmanager
def small_disk(fleet: MeasuredFleet, megabytes: int) -> Iterator[Path]:
    """Keep the history on a file system of this size; gives the path of a file to fill it. Closes the fleet."""
    mount = fleet.folder / "disk"
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(mount)], check=True)
    try:
        fleet.history = mount / "events.db"
        yield mount / "filler"
    finally:
        fleet.close()
        subprocess.run(["umount", "-l", str(mount)], check=True)


def fill(path: Path) -> None:
    """Write to this file until its disk is full."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0" * 4096)


def overload(size: Size, report: Report) -> None:
    """A machine joins while another one has too much to do. Each is held to one core of this host."""
    toml = LIVE.replace('"synthetic"', '"fight"')
    with measured_fleet(live=8, seed=size.seed, live_toml=toml) as fleet:
        fleet.begin(["north"])
        _hold(fleet, "north", 0)
        time.sleep(30.0)
        report.put("frames dropped before, share of the last minute", _shed(fleet))
        began = time.monotonic()
        fleet.join("south")
        _hold(fleet, "south", 1)
        moves, last = 0, fleet.where()
        while time.monotonic() - began < max(150.0, size.seconds):
            time.sleep(5.0)
            with contextlib.suppress(OSError):
                now = fleet.where()
                groups = {last[one] + now[one] for one in now if last[one] != now[one] and now[one]}
                if groups:
                    moves += 1
                    report.put(f"move {moves}, seconds after it joined", round(time.monotonic() - began))
                    _hold(fleet, "south", 1)
                    last = now
        report.put("seconds observed", round(time.monotonic() - began))
        report.put("moves", moves)
        report.put("frames dropped after, share of the last minute", _shed(fleet))
        report.check("no flapping: one move at most", moves <= 1)


def _hold(fleet: MeasuredFleet, machine: str, core: int) -> None:
    for pid in fleet.pids(machine):
        for task in Path(f"/proc/{pid}/task").glob("*"):
            with contextlib.suppress(OSError):
                os.sched_setaffinity(int(task.name), {core})


def _shed(fleet: MeasuredFleet) -> dict[str, float]:
    return {one["name"]: round(one["shed"], 3) for one in fleet.status()["machines"] if one["cameras"]}


_AHEAD = """
import time
_time = time.time
time.time = lambda: _time() + {seconds}
"""
_OTHER = """
from importlib import metadata
_version = metadata.version
metadata.version = lambda name: "9.9.9" if name == "streamrec" else _version(name)
"""


def _with_start(fleet: MeasuredFleet, machine: str, code: str) -> None:
    """Let this code run at the start of each Python process of a machine."""
    from tests.helpers.paths import ROOT

    folder = fleet.folder / f"start-{machine}"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(code)
    fleet.machine_env[machine] = {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}


def clocks(size: Size, report: Report) -> None:
    """The clock of a machine is 5 s ahead of the head's, and of another one 5 s behind."""
    with measured_fleet(live=size.live, seed=size.seed) as fleet:
        _with_start(fleet, "north", _AHEAD.format(seconds=5.0))
        _with_start(fleet, "south", _AHEAD.format(seconds=-5.0))
        fleet.begin_reference()
        fleet.begin(["north", "south"])
        since = time.time()
        time.sleep(size.seconds)
        report.put("cameras on each machine", {one: len(fleet.on(one)) for one in ("north", "south")})
        live = _settled(fleet, since)
        report.put("events wanted, lost, doubled", (live.wanted, live.lost, live.doubled))
        not_found(fleet, report, live, {})
        if live.shifts:
            report.put("onset beside that of `watch`: median and largest, s",
                       (round(statistics.median(live.shifts), 2), round(max(live.shifts, key=abs), 2)))  # fmt: skip
        report.check("times are the head's", bool(live.shifts) and max(map(abs, live.shifts)) < 1.0)
        at = time.time()
        fleet.kill("north")
        cameras = [one for one in fleet.addresses if fleet.eyes.of(one)]
        moved = [one for one in cameras if fleet.where()[one] in ("north", "")]
        with contextlib.suppress(TimeoutError):
            fleet.until(lambda: all(_saved(fleet.eyes, one, at + 2.0) for one in moved), "saved again")
        holes = gaps(fleet, moved, at)
        unseen(report, holes)
        report.check("no gap counts as longer than a minute or as negative",
                     all(0 <= after - before < 60 for before, after in holes.values()))  # fmt: skip


def _settled(fleet: MeasuredFleet, since: float) -> Compared:
    time.sleep(4.0)
    return fleet.compared_live(since, time.time() - 5.0)


def version(size: Size, report: Report) -> None:
    """A machine with another version of streamrec wants to join."""
    with measured_fleet(live=1, seed=size.seed) as fleet:
        fleet.begin(["north"])
        _with_start(fleet, "south", _OTHER)
        fleet.join("south", wait=False)
        code = fleet.fleet.machines["south"].wait(120)
        report.put("exit code", code)
        report.put("message", fleet.fleet.machines["south"].text.strip().splitlines()[-1:])
        report.check("refused in words", code == 2 and "9.9.9" in fleet.fleet.machines["south"].text)
        report.check("the camera stayed", fleet.on("north") == ["live 0"])

"""The soak of a fleet: a random fault each minute; events are compared and the memory of processes is sampled."""

from __future__ import annotations

import contextlib
import itertools
import random
import signal
import statistics
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

from streamrec.evaluation.bench import make_video
from streamrec.outputs.history.store import History
from tests.system.fleet.bench import (
    FILE,
    FPS,
    SIZE,
    MeasuredFleet,
    back_steps,
    expected,
    kept,
    measured_fleet,
)
from tests.system.fleet.price import own_memory
from tests.system.fleet.trials import MACHINES, Report, Size, fill, in_order, not_found, small_disk

_EVERY = 60.0  # seconds between two faults
_LASTS = 20.0  # seconds of a fault
_FRAMES = 900  # of the file, for each minute
_GROWTH = 1.1, 15.0  # share and MB by which a kind of process may have grown
_KINDS = ("_HeadActor", "_GroupActor", "raylet/raylet", "gcs_server")


def soak(size: Size, report: Report) -> None:
    """A random fault each minute: machine killed, raylet frozen, ledger killed, head killed, camera gone, disk full."""
    seconds = 60.0 * size.minutes
    with measured_fleet(files=0, live=10, seed=size.seed) as fleet:
        video = make_video(
            fleet.folder / "long.mp4", SIZE, round(_FRAMES * max(1.0, size.minutes)), FPS, seed=size.seed
        )
        for n in range(2):
            fleet.addresses[f"file {n}"] = str(video)
            fleet.videos[f"file {n}"] = video
            with (fleet.folder / "cameras.toml").open("a") as file:
                file.write(FILE.format(n=n, address=video))
        with small_disk(fleet, 64) as filler:
            _run(fleet, filler, seconds, size, report)


def _run(fleet: MeasuredFleet, filler: Path, seconds: float, size: Size, report: Report) -> None:
    fleet.begin_reference()
    fleet.begin(MACHINES[: size.machines])
    since = time.time()
    chance = random.Random(size.seed)
    faults: dict[str, Callable[[], None]] = {
        "machine killed": lambda: _machine(fleet, chance.choice(MACHINES[: size.machines])),
        "raylet frozen": lambda: _raylet(fleet, chance.choice(MACHINES[: size.machines])),
        "ledger killed": lambda: [fleet.kill("head", "_HeadActor"), time.sleep(_LASTS)][-1],
        "head killed": lambda: _head(fleet),
        "camera gone": lambda: _camera(fleet, chance.randrange(len(fleet.servers))),
        "disk full": lambda: _disk(filler),
    }
    memory: dict[str, list[tuple[float, float]]] = defaultdict(list)
    over = threading.Event()
    sampler = threading.Thread(target=_sample, args=(fleet, memory, over), daemon=True)
    sampler.start()
    thrown: Counter[str] = Counter()
    waiting: list[str] = []
    while time.time() - since < seconds:
        if not waiting:  # each comes as often as the others
            waiting = chance.sample(list(faults), len(faults))
        name, began = waiting.pop(), time.time()
        thrown[name] += 1
        print(f"  {time.time() - since:.0f} s: {name}", flush=True)
        try:
            faults[name]()
        except Exception as error:  # the soak goes on
            report.put(f"{name}: the trial could not do it", str(error)[-200:])
        time.sleep(max(0.0, began + _EVERY - time.time()))
    report.put("faults", dict(thrown))
    at = time.time()
    with contextlib.suppress(TimeoutError):
        live = [name for name in fleet.addresses if name not in fleet.videos]
        fleet.until(lambda: all(fleet.eyes.newest(one).at > at for one in live), "all saved", 120.0)  # type: ignore[union-attr]
    time.sleep(5.0)
    over.set()
    sampler.join(30.0)
    late = [name for name in live if fleet.eyes.newest(name).at <= at]  # type: ignore[union-attr]
    report.check(f"each camera is saved at the end {late or ''}", not late)
    _account(fleet, report, since)
    _memory_flat(memory, report)
    status = fleet.status()
    report.put("batches refused, events replayed", (status["refused"], status["replayed"]))


def _machine(fleet: MeasuredFleet, name: str) -> None:
    fleet.kill(name)
    time.sleep(_LASTS)
    fleet.join(name)


def _raylet(fleet: MeasuredFleet, name: str) -> None:
    fleet.signal(name, signal.SIGSTOP, "raylet/raylet")
    time.sleep(_LASTS)
    fleet.signal(name, signal.SIGCONT, "raylet/raylet")
    time.sleep(8.0)
    if not fleet.pids(name, "raylet/raylet"):  # Ray ended it, as it had been given up
        fleet.kill(name)
        fleet.join(name)


def _head(fleet: MeasuredFleet) -> None:
    fleet.kill("head")
    time.sleep(_LASTS)
    fleet.begin_head()


def _camera(fleet: MeasuredFleet, number: int) -> None:
    camera = fleet.servers[number]
    camera.freeze()
    time.sleep(_LASTS)
    camera.thaw()


def _disk(filler: Path) -> None:
    fill(filler)
    time.sleep(_LASTS)
    filler.unlink()


def _sample(
    fleet: MeasuredFleet, memory: dict[str, list[tuple[float, float]]], over: threading.Event
) -> None:
    while not over.wait(10.0):
        for kind in _KINDS:
            held = [own_memory(pid) for name in ("head", *MACHINES) for pid in fleet.pids(name, kind)]
            if any(held):
                memory[kind].append((time.time(), max(held)))


def _account(fleet: MeasuredFleet, report: Report, since: float) -> None:
    """Events of files up to where they are, to the bit; of live cameras, beside those of the reference."""
    lost = doubled = wanted = back = 0
    for camera, video in fleet.videos.items():
        newest = fleet.eyes.newest(camera)
        assert newest is not None
        report.put(f"{camera}: seconds of video that were watched", round(newest.timestamp))
        ended = [one for one in expected(video) if one[1] + one[2] < newest.timestamp - 3.0]
        found = [kept(one) for one in fleet.entries(camera)]
        wanted += len(ended)
        lost += sum(one not in found for one in ended)
        doubled += len(found) - len({one[:2] for one in found})
        back += back_steps(fleet.eyes.of(camera))
    report.put("files: events wanted, lost, doubled", (wanted, lost, doubled))
    report.check("accounts of files are exact", wanted > 0 and (lost, doubled) == (0, 0))
    report.put("snapshots that went back", back)
    report.check("no write of an old epoch was accepted", back == 0)
    in_order(fleet, report)
    holes, open_ones = {}, 0
    with History(fleet.history, read_only=True) as history:
        for camera in fleet.addresses.keys() - fleet.videos.keys():
            seen = [one.captured for one in fleet.eyes.of(camera)]
            holes[camera] = [(a, b) for a, b in itertools.pairwise(seen) if b - a > 2.5]
            open_ones += max(0, sum(one.ended is None for one in history.pages(camera=camera)) - 1)
    live = fleet.compared_live(since, time.time() - 8.0, holes)
    report.put("live: events of the reference outside of gaps, lost, doubled",
               (live.wanted, live.lost, live.doubled))  # fmt: skip
    not_found(fleet, report, live, holes)
    report.check("live: no event doubled", live.doubled == 0)
    report.check("live: no event lost outside of gaps", live.lost == 0)
    report.put("live: events that never ended", open_ones)


def _memory_flat(memory: dict[str, list[tuple[float, float]]], report: Report) -> None:
    share, most = _GROWTH
    for kind, samples in memory.items():
        third = max(1, len(samples) // 3)
        first, last = (
            statistics.median(one for _, one in part) for part in (samples[:third], samples[-third:])
        )
        report.put(
            f"MB of the largest {kind.rpartition('/')[2]}: first third, last third",
            (round(first), round(last)),
        )
        report.check(f"memory of {kind.rpartition('/')[2]} is flat", last <= first * share + most)

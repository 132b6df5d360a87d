"""What a fleet costs: memory, cameras a core, what the head carries, and what an unplanned move changes."""

from __future__ import annotations

import contextlib
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from streamrec import ActionStarted, Recognizer
from streamrec.core.state import State
from streamrec.events.detector import EventDetector
from streamrec.sources.synthetic.world import World, WorldSettings
from streamrec.types import Frame
from tests.helpers.fleet_processes import FleetOnOneHost, cpu_seconds
from tests.system.fleet.bench import FPS, LIVE, MODEL, SIZE, measured_fleet
from tests.system.fleet.trials import Report, Size

_STATE_AGE = 1.0  # seconds: of the snapshot, at most
_GAPS = (1.5, 2.0, 4.0)  # seconds from the last frame that the snapshot knows to the next one
_WORLDS = 10
_EVENTS_A_MINUTE = 2.0  # of a drawn camera


# -- an unplanned move


def unplanned(size: Size, report: Report) -> None:
    """After a death a live camera goes on from a state 1 s old, after a gap; beside it, one that begins anew."""
    recognizer = Recognizer.load(MODEL)
    detector = EventDetector(recognizer.labels)
    report.put("longest gap over which the model goes on, s", recognizer.config.max_gap)
    first: dict[tuple[float, str], list[float]] = defaultdict(list)
    shifts: dict[tuple[float, str], list[float | None]] = defaultdict(list)  # None: not found again
    for n in range(_WORLDS):
        settings = WorldSettings(
            width=SIZE[0], height=SIZE[1], seconds=40.0, fps=FPS, seed=1000 * size.seed + n
        )
        frames = list(World(settings))
        cut = int(20.0 * FPS)
        whole, onsets = _run(recognizer, detector, frames, recognizer.initial_state())
        state, events = recognizer.initial_state(), detector.initial_state()
        for frame in frames[: cut - int(_STATE_AGE * FPS)]:  # the death comes just before the next snapshot
            prediction, state = recognizer.step(frame, state)
            _, events = detector.step(prediction, frame.timestamp, events)
        for gap in _GAPS:
            after = frames[cut - 1 + int(gap * FPS) - int(_STATE_AGE * FPS) :]
            begin = after[0].timestamp
            for name, memory in (("resumed", (state, events)), ("anew", (recognizer.initial_state(), None))):
                scores, found = _run(recognizer, detector, after, *memory)
                first[gap, name] += [
                    float(np.abs(scores[f.index] - whole[f.index]).mean())
                    for f in after
                    if f.timestamp < begin + 1.0
                ]
                for label, at in onsets:
                    if at >= begin:
                        near = [other - at for own, other in found if own == label and abs(other - at) < 2.5]
                        shifts[gap, name].append(min(near, key=abs) if near else None)
    for key, differences in first.items():
        moved = [abs(one) for one in shifts[key] if one is not None]
        report.put(f"{key[0]:g} s after the last known frame, {key[1]}: mean difference of a probability in the "
                   "first second", round(statistics.mean(differences), 4))  # fmt: skip
        report.put("  onsets afterwards, not found again, moved by more than 0.1 s, furthest in s",
                   (len(shifts[key]), shifts[key].count(None), sum(one > 0.1 for one in moved),
                    round(max(moved, default=0.0), 2)))  # fmt: skip


def _run(
    recognizer: Recognizer, detector: EventDetector, frames: Iterable[Frame], state: State, events: Any = None
) -> tuple[dict[int, np.ndarray], list[tuple[str, float]]]:
    """Scores by frame, and label and time of each start."""
    events = detector.initial_state() if events is None else events
    scores, onsets = {}, []
    for frame in frames:
        prediction, state = recognizer.step(frame, state)
        scores[frame.index] = prediction.probabilities
        found, events = detector.step(prediction, frame.timestamp, events)
        onsets += [(one.label, one.timestamp) for one in found if isinstance(one, ActionStarted)]
    return scores, onsets


# -- memory and cores


def own_memory(pid: int) -> float:
    """MB of a process that no other process shares (USS), so that they can be summed."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    return sum(int(one) for one in re.findall(r"Private_(?:Clean|Dirty): +(\d+)", text)) / 1024


def price(size: Size, report: Report) -> None:
    """Memory of a node and of a group; CPU time a frame of a group and of `watch`, which run at the same time."""
    by_group, by_watch, own = [], [], []
    toml = LIVE.replace('"synthetic"', '"fight"')
    with measured_fleet(live=4, seed=size.seed, live_toml=toml) as fleet:
        fleet.begin(["north"])
        group, node = fleet.pids("north", "_GroupActor"), fleet.pids("north")

        def used(watch: int, watched: Callable[[], float]) -> tuple[float, ...]:
            grouped = sum(one["recognized"] for one in fleet.status()["cameras"])
            return cpu_seconds([watch]), watched(), cpu_seconds(group), grouped, cpu_seconds(node)

        for _ in range(3):
            with _watching(fleet.fleet) as watch:
                before = used(*watch)
                time.sleep(size.seconds)
                of_watch, watched, of_group, grouped, of_node = np.subtract(used(*watch), before).tolist()
            by_watch.append(of_watch / watched)
            by_group.append(of_group / grouped)
            own.append((of_node - of_group) / size.seconds)
        memory = {
            "a node without a group (raylet and agents)": sum(
                own_memory(pid) for pid in node if pid not in group
            ),
            "a group of four cameras": sum(own_memory(pid) for pid in group),
            "the ledger": sum(own_memory(pid) for pid in fleet.pids("head", "_HeadActor")),
            "all of the head, the ledger too": sum(own_memory(pid) for pid in fleet.pids("head")),
        }
        for name, held in memory.items():
            report.put(f"MB of {name}", round(held))
        report.put("processes of a node without a group", len(fleet.pids("north")) - 1)
    of_watch, of_group, ray = (statistics.median(one) for one in (by_watch, by_group, own))
    report.put("CPU ms a frame: `watch`", round(1000 * of_watch, 2))
    report.put("CPU ms a frame: the group's process", round(1000 * of_group, 2))
    report.put("cores of the node's other processes, however many cameras it has", round(ray, 4))
    cores = os.cpu_count() or 1
    by_camera = of_watch * FPS, of_group * FPS
    alone, member = cores / by_camera[0], (cores - ray) / by_camera[1]
    report.put(f"cameras that keep {cores} cores busy: `watch`, node of a fleet",
               (round(alone, 2), round(member, 2)))  # fmt: skip
    report.check("a fleet costs at most 5 % of the cameras", member >= 0.95 * alone)


@contextlib.contextmanager
def _watching(fleet: FleetOnOneHost) -> Iterator[tuple[int, Callable[[], float]]]:
    """`streamrec watch` on the cameras of a fleet: its process, and how many frames it has recognized."""
    code = "from streamrec.commands.process import main; main()"
    words = ["watch", str(fleet.folder / "cameras.toml"), "--history", str(fleet.folder / "w.db"), "--web",
             "127.0.0.1:0", "--max-seconds", "600"]  # fmt: skip
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "-c", code, *words],
            stdout=log, stderr=log, stdin=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        try:
            address = None
            while address is None:
                time.sleep(0.5)
                log.seek(0)
                address = re.search(rb"http://127\.0\.0\.1:\d+", log.read())
                assert process.poll() is None
            time.sleep(8.0)
            yield process.pid, partial(_read, address[0].decode())
        finally:
            process.kill()
            process.wait()


def _read(page: str) -> float:
    import urllib.request

    with urllib.request.urlopen(f"{page}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    found = re.findall(r"(?m)^streamrec_camera_frames_total\{.*\} (\S+)$", text)
    return sum(map(float, found))


# -- what the head carries

_SENDER = """
import sys
sys.path.insert(0, {root!r})
from tests.system.fleet.senders import main
main({folder!r}, {seconds!r}, {seed!r})
"""


def scale(size: Size, report: Report) -> None:
    """The states and events of many drawn cameras are sent to a real head, without pictures and without machines."""
    from tests.helpers.paths import ROOT

    with measured_fleet(seed=size.seed) as fleet:
        text = "".join(LIVE.format(n=n, address=f"synthetic:{n}") for n in range(size.cameras))
        (fleet.folder / "cameras.toml").write_text(text)
        fleet.begin_head()
        fleet.until(lambda: len(_groups(fleet)) * 16 >= size.cameras, "planned")
        actor, all_of = fleet.pids("head", "_HeadActor"), fleet.pids("head")
        process = subprocess.Popen(
            [sys.executable, "-c", _SENDER.format(root=str(ROOT), folder=str(fleet.folder),
                                                  seconds=size.seconds, seed=size.seed)],
            env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("BEGIN"):
                begin = time.monotonic(), cpu_seconds(actor), cpu_seconds(all_of)
            elif line.startswith("END"):
                end = time.monotonic(), cpu_seconds(actor), cpu_seconds(all_of)
                break
        answer = fleet.folder / "sent.txt"
        assert process.wait(120) == 0
        wall = end[0] - begin[0]
        report.put("cameras, groups", (size.cameras, len(_groups(fleet))))
        report.put("cores of the ledger's process", round((end[1] - begin[1]) / wall, 2))
        report.put("cores of all of the head's processes", round((end[2] - begin[2]) / wall, 2))
        report.put("MB of the ledger's process", round(sum(map(own_memory, actor))))
        for line in answer.read_text().splitlines():
            report.put(*line.split(": ", 1))
        report.put(
            "MB of the history's files",
            round(sum(p.stat().st_size for p in fleet.folder.glob("events.db*")) / 1e6),
        )


def _groups(fleet: Any) -> list[Any]:
    try:
        return list(fleet.status()["groups"])
    except OSError:
        return []

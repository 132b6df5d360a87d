"""A fleet of real processes on one host: machines that leave, die and come back lose no event and double none."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streamrec import ActionEnded, Recognizer, open_models, open_source, results
from streamrec.evaluation.bench import make_video
from streamrec.outputs.history.store import History
from tests.helpers.fleet_processes import FleetOnOneHost, Process, children, kill_machine

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("ray") is None, reason="needs ray: pip install 'streamrec[fleet]'"
    ),
    pytest.mark.skipif(sys.platform != "linux", reason="Ray runs several machines on Linux alone"),
    pytest.mark.slow,
]

# The second model makes each frame take long enough for faults to come in the middle of a file.
FILE = '[[camera]]\nname = "file {n}"\naddress = "{video}"\nmodels = ["synthetic", "fight"]\n'
LIVE = '[[camera]]\nname = "live {n}"\naddress = "synthetic:{n}"\nmodel = "synthetic"\n'


def kept(path: Path, camera: str) -> list[tuple]:
    """What the history has of a camera, without what depends on when it was read."""
    with History(path, read_only=True) as history:
        found = [one for one in history.pages(camera=camera) if one.model == "synthetic"]
    return sorted((one.label, one.timestamp, round(one.duration or -1.0, 3), one.confidence) for one in found)


def expected(video: Path) -> list[tuple]:
    """The events of a file that is read without a fault."""
    recognizers = open_models(["synthetic", "fight"])
    source = open_source(video, size=recognizers.straight)  # as cameras.toml has it
    found = [event for result in results(source, Recognizer.load("synthetic")) for event in result.events]
    return sorted(
        (one.label, one.started, round(one.duration, 3), one.confidence)
        for one in found
        if isinstance(one, ActionEnded)
    )


def process_of(fleet: FleetOnOneHost, machine: Process, actor: str) -> int:
    """A process of an actor on a machine."""
    return next(
        pid for pid in children(machine.process.pid) if actor in Path(f"/proc/{pid}/cmdline").read_text()
    )


@pytest.fixture
def fleets(tmp_path: Path) -> Iterator[Callable[[str], FleetOnOneHost]]:
    made: list[FleetOnOneHost] = []

    def make(cameras: str) -> FleetOnOneHost:
        made.append(FleetOnOneHost(tmp_path, cameras))
        return made[-1]

    yield make
    for fleet in made:
        fleet.close()


def test_files_lose_no_event_by_moves_a_machine_that_dies_and_a_ledger_that_dies(fleets, tmp_path):
    video = make_video(tmp_path / "long.mp4", (160, 120), 900, 10.0, seed=1)
    fleet = fleets("".join(FILE.format(n=n, video=video) for n in range(2)))
    fleet.begin()
    fleet.joined("north")
    fleet.until(fleet.moved_to("north"))
    fleet.joined("south")
    fleet.command("drain", "north")
    fleet.until(fleet.moved_to("south"))
    fleet.machines["north"].end()
    fleet.joined("west")
    kill_machine(fleet.machines["south"])
    fleet.until(fleet.moved_to("west"))
    os.kill(process_of(fleet, fleet.head, "HeadActor"), signal.SIGKILL)
    assert fleet.head.wait(180) == 0, fleet.report()  # all files have been read
    wanted = expected(video)
    assert len(wanted) > 10
    for n in range(2):
        assert kept(tmp_path / "events.db", f"file {n}") == wanted

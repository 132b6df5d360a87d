"""A fleet of real processes on one host: machines that leave, die and come back lose no event and double none."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from streamrec import ActionEnded, Recognizer, open_source, results
from streamrec.evaluation.bench import make_video
from streamrec.outputs.fleet.wire import PACKER
from streamrec.outputs.history.records import Entry
from streamrec.outputs.history.store import History
from streamrec.types import Result
from tests.helpers.arriving_files import ArrivingFiles, arriving
from tests.helpers.fleet_processes import (
    FleetOnOneHost,
    Process,
    children,
    cpu_seconds,
    is_on_all_interfaces,
    kill_machine,
    listening,
    ports_can_be_bound,
)
from tests.helpers.paths import ROOT
from tests.helpers.sounds import vowels, write_media
from tests.integration.commands.test_watching_readings import table

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("ray") is None, reason="needs ray: pip install 'streamrec[fleet]'"
    ),
    pytest.mark.skipif(sys.platform != "linux", reason="Ray runs several machines on Linux alone"),
    pytest.mark.slow,
    pytest.mark.timeout(900),
]

FILE = '[[camera]]\nname = "file {n}"\naddress = "{video}"\nmodel = "synthetic"\n'
LIVE = '[[camera]]\nname = "live {n}"\naddress = "synthetic:{n}"\nmodel = "synthetic"\n'


# What a fleet watches beside pictures.
LISTENS = '[[camera]]\nname = "party"\naddress = "{party}"\nmodel = "synthetic"\nlisten = "digits"\n'
READS = '[[camera]]\nname = "phone"\naddress = "{phone}"\nmodel = "motion"\n'


def kept(path: Path, camera: str, model: str = "synthetic") -> list[tuple]:
    """What the history has of a camera, without what depends on when it was read."""
    with History(path, read_only=True) as history:
        found = [one for one in history.pages(camera=camera) if one.model == model]
    return sorted((one.label, one.timestamp, round(one.duration or -1.0, 3), one.confidence) for one in found)


def expected(video: Path) -> list[tuple]:
    """The events of a file that is read without a fault."""
    recognizer = Recognizer.load("synthetic")
    source = open_source(video, size=recognizer.straight)  # as cameras.toml has it
    return ended(results(source, recognizer))


def ended(found: Iterable[Result]) -> list[tuple]:
    """What has ended in these results, as ``kept`` has it."""
    return sorted(
        (one.label, one.started, round(one.duration, 3), one.confidence)
        for result in found
        for one in result.events
        if isinstance(one, ActionEnded)
    )


def walked(phone: Path) -> list[tuple]:
    """The events of a table of readings."""
    return ended(results(open_source(phone), Recognizer.load("motion")))


def spoken(party: Path) -> list[tuple]:
    """The events of the sound of a video."""
    return ended(results(open_source(f"{party}#sound"), Recognizer.load("digits")))


def events_since(folder: Path, moment: float) -> list[Entry]:
    """What the history has from then on."""
    with History(folder / "events.db", read_only=True) as history:
        return [one for one in history.pages() if one.started >= moment]


def waiting(outbox: Path) -> int:
    """How much waits in an outbox."""
    with contextlib.closing(sqlite3.connect(f"file:{outbox}?mode=ro", uri=True)) as connection:
        return int(connection.execute("SELECT count(*) FROM waiting").fetchone()[0])


def begun_since(outbox: Path, moment: float) -> int:
    """How many of the events in an outbox began from then on: others wait there only for their end."""
    with contextlib.closing(sqlite3.connect(f"file:{outbox}?mode=ro", uri=True)) as connection:
        bodies = connection.execute("SELECT body FROM waiting").fetchall()
    entries = [entry for (body,) in bodies for result in PACKER.unpack(body) for _, entry in result.entries]
    return len({entry.id for entry in entries if entry.started >= moment})


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


@pytest.fixture
def arrived(tmp_path: Path) -> Iterator[ArrivingFiles]:
    with arriving(tmp_path) as files:
        yield files


def test_files_lose_no_event_by_moves_a_machine_that_dies_and_a_ledger_that_dies(fleets, arrived, tmp_path):
    video = make_video(tmp_path / "long.mp4", (160, 120), 600, 10.0, seed=1)
    phone = table(tmp_path / "phone.csv", 600.0)
    pictures = [frame.image for frame in open_source(video)]
    party = write_media(
        tmp_path / "party.mp4", vowels(16_000, 60), 16_000, codec="aac", pictures=pictures, fps=10
    )
    wanted = {("synthetic", f"file {n}"): expected(video) for n in range(2)}
    wanted |= {("motion", "phone"): walked(phone), ("digits", "party"): spoken(party)}
    assert all(len(events) > 5 for events in wanted.values())
    files = "".join(FILE.format(n=n, video=arrived.address(video.name)) for n in range(2))
    # With a camera that never ends the fleet does not end with its files, however soon they have been read.
    fleet = fleets(files + LISTENS.format(party=party) + READS.format(phone=phone) + LIVE.format(n=1))

    def found() -> dict[tuple[str, str], list[tuple]]:
        return {(model, camera): kept(tmp_path / "events.db", camera, model) for model, camera in wanted}

    def read_on(share: float) -> None:
        """Read so much of the videos, which ends some events."""
        before = found()
        arrived.allow(share)
        fleet.until(
            lambda: all(
                len(events) > len(before[one]) for one, events in found().items() if "file" in one[1]
            ),
            fleet.head,
        )

    fleet.begin()
    fleet.joined("north")
    fleet.until(fleet.moved_to("north"))
    read_on(0.25)
    fleet.joined("south")
    if ports_can_be_bound():
        places = [place for _, place in listening(fleet.pids)]
        assert len(places) > 8  # of Ray's processes of two machines
        assert not any(is_on_all_interfaces(place) for place in places)
    fleet.command("drain", "north")
    fleet.until(fleet.moved_to("south"))
    read_on(0.5)
    fleet.machines["north"].end()
    fleet.joined("west")
    kill_machine(fleet.machines["south"])
    fleet.until(fleet.moved_to("west"))
    read_on(0.75)
    os.kill(process_of(fleet, fleet.head, "HeadActor"), signal.SIGKILL)
    arrived.allow(1.0)
    fleet.until(lambda: found() == wanted, fleet.head)
    (tmp_path / "cameras.toml").write_text(files)
    assert fleet.head.wait() == 0, fleet.report()  # all that is left has been read
    assert found() == wanted
    fleet.machines["west"].end()
    assert "the head does not answer" in fleet.machines["west"].text


def test_while_the_head_is_away_cameras_are_watched_and_what_happens_is_in_the_history_afterwards(
    fleets, tmp_path
):
    fleet = fleets("".join(LIVE.format(n=n) for n in range(3)))
    fleet.begin()
    fleet.joined("north")
    fleet.until(fleet.moved_to("north"))
    fleet.until(lambda: events_since(tmp_path, 0.0))
    assert fleet.head.end() == 0
    assert "north go on" in fleet.head.text
    left, used = time.time(), cpu_seconds([fleet.machines["north"].process.pid])
    (outbox,) = (tmp_path / "north" / "outbox").glob("*.db")
    fleet.until(lambda: begun_since(outbox, left) > 2, fleet.machines["north"])
    back = time.time()
    # It waits, and no thread of Ray takes a core.
    assert cpu_seconds([fleet.machines["north"].process.pid]) - used < (back - left) / 4
    fleet.begin()
    fleet.until(lambda: waiting(outbox) == 0, fleet.machines["north"], fleet.head)
    assert len([one for one in events_since(tmp_path, left) if one.started < back]) > 2
    ids = [one.id for one in events_since(tmp_path, 0.0)]
    assert len(ids) == len(set(ids))
    running = [(one.camera, one.label) for one in events_since(tmp_path, 0.0) if one.ended is None]
    assert len(running) == len(set(running))  # no start was reported twice
    fleet.command("stop")
    assert fleet.machines["north"].wait() == 0
    assert fleet.head.wait() == 0
    assert not [one for one in events_since(tmp_path, 0.0) if one.ended is None]


def test_a_machine_with_another_key_or_another_version_is_refused_in_words_and_a_fleet_without_others_is_stopped(
    fleets, tmp_path
):
    from streamrec.commands.fleet.secret import FleetKey  # it needs the extra

    fleet = fleets(LIVE.format(n=1))
    fleet.begin(cores="1")
    strange = tmp_path / "strange"
    strange.mkdir()
    FleetKey.create(strange / "fleet.key")
    other = tmp_path / "other" / "streamrec-9.9.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: streamrec\nVersion: 9.9\n")
    refused = {
        fleet.join("strange"): "the head has another key: copy the key file of the head to this machine",
        fleet.join("old", env={"PYTHONPATH": f"{other.parent}{os.pathsep}{ROOT}"}): (
            "this machine has streamrec 9.9, and the head has"
        ),
        fleet.join("elsewhere", "--host", "255.255.255.1"): (
            "--host 255.255.255.1: this machine has no such address"
        ),
    }
    for process, reason in refused.items():  # they ask at the same time
        assert process.wait() == 2
        assert reason in process.text
        assert "Traceback" not in process.text
    token = FleetKey.read(tmp_path / "fleet" / "fleet.key").token
    texts = (fleet.head.text, (tmp_path / "fleet" / "ray.log").read_text(), *(one.text for one in refused))
    assert not any(token in text for text in texts)
    fleet.until(lambda: events_since(tmp_path, 0.0))
    fleet.command("stop")
    assert fleet.head.wait() == 0
    assert not [one for one in events_since(tmp_path, 0.0) if one.ended is None]

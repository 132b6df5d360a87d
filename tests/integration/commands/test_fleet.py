"""A whole fleet in one process, its groups as threads: what the head, the groups and the ledger do with each other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streamrec import ActionEnded, Recognizer, open_source, results
from streamrec.commands.fleet.head import FleetJob, Head
from streamrec.errors import SettingsError
from streamrec.evaluation.bench import make_video
from streamrec.outputs.fleet.records import PictureRequest
from streamrec.outputs.history.records import Entry, new_id
from streamrec.outputs.history.store import History
from tests.helpers.fleet import FlakyLedger
from tests.helpers.local_cluster import LocalCluster

LIVE = '[[camera]]\nname = "live {n}"\naddress = "synthetic:{n}"\nmodel = "synthetic"\n'
FILE = '[[camera]]\nname = "file {n}"\naddress = "{video}"\nmodel = "synthetic"\n'


class Site:
    """A head and its cluster, in a folder."""

    def __init__(self, folder: Path, cameras: str, *machines: str) -> None:
        self.folder, self.cluster = folder, LocalCluster(folder, *machines)
        self.file = folder / "cameras.toml"
        self.file.write_text(cameras)
        self.head = self.begin()

    def begin(self) -> Head:
        job = FleetJob(path=self.file, cores_per_camera=0.5)
        self.head = Head(job, self.cluster, lambda data: data)
        self.ledger = FlakyLedger(self.head)
        if self.cluster.ledger is None:
            self.cluster.ledger = self.ledger
        else:
            self.cluster.ledger.ledger = self.head
        self.head.start()
        return self.head

    def until(self, what: Callable[[], object], patience: float = 30.0) -> None:
        ends = time.monotonic() + patience
        while not what():
            assert time.monotonic() < ends, (self.head.messages(0), self.cluster.log, self.head.status())
            time.sleep(0.05)

    def moved_until_ended(self, camera: str, most: int) -> int:
        """Move the only group while its camera runs, so often at most; how often, once the camera has ended."""
        moves = 0
        while self.states().get(camera) != "ended" and moves < most:
            self.until(lambda: self.states().get(camera) in ("live", "ended"))
            (group,) = self.head.status().groups
            self.head._move(group.name, {f"id-{group.machine}"})
            moves += 1
        self.until(lambda: self.states().get(camera) == "ended")
        return moves

    def states(self) -> dict[str, str]:
        return {camera.name: camera.state for camera in self.head.status().cameras}

    def events(self, camera: str) -> list[tuple]:
        with History(self.folder / "events.db", read_only=True) as history:
            found = list(history.pages(camera=camera))
        return sorted(
            (one.label, one.timestamp, round(one.duration or -1.0, 3), one.confidence) for one in found
        )

    def close(self) -> None:
        self.cluster.close()
        self.head.close()


@pytest.fixture
def sites(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    made: list[Site] = []

    def make(cameras: str, *machines: str) -> Site:
        made.append(Site(tmp_path, cameras, *machines))
        return made[-1]

    yield make
    for site in made:
        site.close()


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return make_video(tmp_path / "long.mp4", (160, 120), 600, 10.0, seed=1)


def expected(video: Path) -> list[tuple]:
    """The events of a file that is read by one process."""
    recognizer = Recognizer.load("synthetic")
    source = open_source(video, size=recognizer.straight)  # as cameras.toml has it
    found = [event for result in results(source, recognizer) for event in result.events]
    return sorted(
        (one.label, one.started, round(one.duration, 3), one.confidence)
        for one in found
        if isinstance(one, ActionEnded)
    )


def test_a_file_that_is_moved_back_and_forth_has_the_events_of_one_that_is_not(sites, video):
    site = sites(FILE.format(n=0, video=video), "north", "south")
    moves = site.moved_until_ended("file 0", 4)
    assert moves > 1 and len(expected(video)) > 5
    assert site.events("file 0") == expected(video)


def test_what_happens_while_the_head_is_away_is_in_its_history_when_it_is_back(sites, video):
    site = sites(FILE.format(n=0, video=video), "north")
    site.until(lambda: site.states().get("file 0") == "live")
    site.ledger.away = True
    site.until(lambda: any("waits on this machine" in text for text in site.cluster.log))
    site.head.close()
    site.begin()
    site.cluster.ledger.away = False
    site.until(lambda: site.states().get("file 0") == "ended")
    assert site.events("file 0") == expected(video)


def test_a_process_of_which_another_has_its_group_ends_by_itself(sites):
    site = sites(LIVE.format(n=1), "north", "south")
    site.until(lambda: site.states().get("live 1") == "live")
    ((name, (_, old)),) = site.cluster.groups.items()
    spec = site.cluster.sent[-1]
    site.cluster.place(spec, 0.5, {"id-north"})
    site.until(lambda: old.superseded)
    assert site.head.status().refused == 1
    assert site.cluster.groups[name][1].superseded is False


def test_a_camera_that_joins_the_file_is_watched_and_one_that_leaves_is_not(sites):
    site = sites(LIVE.format(n=1), "north")
    site.until(lambda: site.states() == {"live 1": "live"})
    site.file.write_text(LIVE.format(n=2) + LIVE.format(n=3))
    site.until(lambda: site.states() == {"live 2": "live", "live 3": "live"})
    assert len(site.cluster.groups) == 1


def test_a_machine_that_is_drained_gets_nothing_new(sites):
    site = sites(LIVE.format(n=1), "north", "south")
    site.until(lambda: site.states().get("live 1") == "live")
    assert "1 group to be moved" in site.head.drain("north")
    site.until(lambda: not site.head.moving)
    assert [machine for machine, _ in site.cluster.groups.values()] == ["south"]
    shown = {machine.name: machine.state for machine in site.head.status().machines}
    assert shown == {"north": "draining", "south": "alive"}
    with pytest.raises(SettingsError, match="there is no machine attic; there are: north, south"):
        site.head.drain("attic")


def test_groups_are_spread_over_a_machine_that_has_joined(sites):
    site = sites("".join(LIVE.format(n=n) for n in range(8)), "north")
    site.until(lambda: len(site.states()) == 8)
    site.cluster.names.append("south")
    assert "to be moved: " in site.head.rebalance()
    site.until(lambda: not site.head.moving)
    assert sorted(machine for machine, _ in site.cluster.groups.values()) == ["north", "south"]


def test_a_stop_ends_what_runs(sites):
    site = sites(LIVE.format(n=1), "north")
    site.until(lambda: site.head._ledger._history.running)
    assert site.head.stop() == "1 group ended"
    site.head.close()
    assert all(duration > 0 for _, _, duration, _ in site.events("live 1"))
    with History(site.folder / "events.db", read_only=True) as history:
        assert not any(entry.interrupted for entry in history.query())


def test_a_password_is_filled_in_where_the_camera_is_watched_and_nowhere_else(sites, monkeypatch):
    monkeypatch.setenv("DOOR_PASSWORD", "hunter2hunter2")
    site = sites(
        '[[camera]]\nname = "door"\naddress = "rtsp://127.0.0.1:9/live"\nuser = "me"\n'
        'password = "${DOOR_PASSWORD}"\nmodel = "synthetic"\n',
        "north",
    )
    site.until(lambda: site.states().get("door") in ("reconnecting", "connecting", "stalled"))
    assert b"hunter2hunter2" not in site.cluster.sent[0].settings
    assert b"${DOOR_PASSWORD}" in site.cluster.sent[0].settings
    shown = repr((site.head.status(), site.head.messages(0), site.cluster.log))
    assert "hunter2hunter2" not in shown


def test_what_was_left_open_and_has_no_snapshot_is_ended_as_interrupted(sites, tmp_path):
    left = Entry(id=new_id(9.0), camera="live 1", model="", label="walk", started=9.0, confidence=0.9)
    with History(tmp_path / "events.db", keep_open=True) as history:
        history.start(lambda announcement: None)
        history.add(left)
        history.drain(10.0)
    site = sites(LIVE.format(n=1), "north")
    site.until(lambda: site.states().get("live 1") == "live")

    def kept() -> Entry:
        with History(tmp_path / "events.db", read_only=True) as history:
            return history.get(left.id)

    site.until(lambda: kept().interrupted)


def test_a_file_of_cameras_that_is_wrong_is_refused_with_its_name(tmp_path):
    (tmp_path / "cameras.toml").write_text('[[camera]]\nname = "door"\n')
    with pytest.raises(SettingsError, match=r"cameras\.toml: camera 'door': address: it is missing"):
        Head(FleetJob(path=tmp_path / "cameras.toml"), LocalCluster(tmp_path, "north"), lambda data: data)


def test_a_picture_is_made_on_the_machine_of_the_camera(sites):
    site = sites(LIVE.format(n=1), "north")
    site.until(lambda: site.states().get("live 1") == "live")
    site.until(lambda: site.head.picture(PictureRequest(camera="live 1", width=320)) is not None)
    picture = site.head.picture(PictureRequest(camera="live 1", width=320))
    assert picture is not None and picture.data.startswith(b"\xff\xd8")
    assert site.head.picture(PictureRequest(camera="attic", width=320)) is None

"""A fleet in which a test loses machines, moves groups and makes pictures by hand; only Ray is missing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from streamrec.errors import SettingsError
from streamrec.outputs.fleet.cameras import remote_cameras
from streamrec.outputs.fleet.machines import Machines
from streamrec.outputs.fleet.records import (
    CameraStatus,
    FleetStatus,
    GroupStatus,
    MachineStatus,
    Picture,
    PictureRequest,
)
from streamrec.types import Event, Frame, Result
from streamrec.web.fleet_pictures import GroupPictures
from streamrec.web.live import LiveState
from tests.helpers.pages import Page, prediction_of, wait_for

NOTHING = np.broadcast_to(np.uint8(0), (360, 640, 3))


class FakeFleet:
    """A ``FleetService``: its machines and groups are changed by hand, and saved states are those of now."""

    def __init__(self, live: LiveState) -> None:
        self.live = live
        self.machines: dict[str, MachineStatus] = {}
        self.groups: dict[str, GroupStatus] = {}
        self.pictures: dict[str, GroupPictures] = {}  # by group
        self.asked: list[PictureRequest] = []
        self.stuck: set[str] = set()  # machines that answer nothing
        self.freed = threading.Event()  # what is stuck fails, and what is slow goes on
        self.slow: set[str] = set()
        self.moves: list[str] = []
        self.trouble = ""
        self._over_time = Machines()
        self._lock = threading.RLock()
        self._index = 0

    # -- by hand

    def join(self, name: str, *, cores: float = 8.0, version: str = "0.1.0", is_head: bool = False) -> None:
        self.machines[name] = MachineStatus(
            name=name, id=f"{name}-{time.monotonic_ns()}", address=f"192.168.1.{10 + len(self.machines)}",
            version=version, is_head=is_head, cores=cores,
        )  # fmt: skip
        self.beat()

    def place(
        self, group: str, machine: str, *cameras: str, load: float = 0.8, shed: float = 0.0, **more
    ) -> None:
        before = self.groups.get(group)
        self.groups[group] = GroupStatus(
            name=group, machine=machine, state="running" if machine else "waiting", since=time.time(),
            epoch=1 if before is None else before.epoch + 1, cameras=cameras or (before.cameras if before else ()),
            cost=1.0, load=load, memory=180_000_000, saved=0.3, shed=shed, **more,
        )  # fmt: skip
        self.pictures[group] = GroupPictures()
        self.beat()

    def silence(self, machine: str, seconds: float = 6.0) -> None:
        for name, group in self.groups.items():
            if group.machine == machine:
                self.groups[name] = replace(group, state="silent", saved=seconds)
        self.beat()

    def lose(self, machine: str) -> None:
        self.machines[machine] = replace(self.machines[machine], state="dead")
        self.beat()

    def beat(self) -> None:
        """What the head's loop does once a second."""
        self.live.beat(remote_cameras(self.status()))

    def show(self, camera: str, *events: Event, label: str = "idle", people: tuple | None = None) -> None:
        """One more frame of a camera: the group keeps it, the head gets its result without the pixels."""
        self._index += 1
        now = self._index / 10
        image = np.full((360, 640, 3), (7 * self._index) % 256, np.uint8)
        image[40:120, 40 + self._index % 400 : 120 + self._index % 400] = (60, 160, 250)
        frame = Frame(image, self._index, now, 0, camera, time.monotonic())
        result = Result(frame, prediction_of(label, now), events, 0.012, people=people)
        (group,) = [name for name, one in self.groups.items() if camera in one.cameras]
        self.pictures[group].write(result)
        self.live.write(replace(result, frame=replace(frame, image=NOTHING)))
        if events and self.live.history.in_memory:
            self.live.history.drain(5.0)

    # -- FleetService

    def status(self) -> FleetStatus:
        with self._lock:
            groups = tuple(self.groups.values())
            cameras = tuple(
                CameraStatus(
                    name=name, state="live", since=group.since or 0.0, fps=9.7, read=310, recognized=300,
                    dropped={"overload": 4} if group.shed else {}, group=group.name, machine=group.machine,
                )
                for group in groups
                if group.machine
                for name in group.cameras
            )  # fmt: skip
            machines = self._over_time.update(self.machines.values(), groups)
            return FleetStatus(
                name="site", version="0.1.0", machines=machines, groups=groups, cameras=cameras, refused=2
            )

    def drain(self, machine: str) -> str:
        if machine not in self.machines:
            raise SettingsError(f"there is no machine {machine}")
        self.moves.append(f"drain {machine}")
        self.machines[machine] = replace(self.machines[machine], state="draining")
        others = [one for one in self.machines.values() if one.state == "alive"]
        for name, group in list(self.groups.items()):
            if group.machine == machine:
                self.place(name, others[0].name if others else "")
        self.beat()
        return f"{machine} is drained: its groups move"

    def rebalance(self) -> str:
        self.moves.append("rebalance")
        if self.trouble:
            raise SettingsError(self.trouble)
        return "one group moves"

    def picture(self, request: PictureRequest) -> Picture | None:
        self.asked.append(request)
        (group,) = [one for one in self.groups.values() if request.camera in one.cameras]
        if group.machine in self.stuck:
            assert self.freed.wait(30.0)
            raise TimeoutError(group.machine)
        if group.machine in self.slow:
            assert self.freed.wait(30.0)
        return self.pictures[group.name].picture(request)


def two_machines(fleet: FakeFleet) -> None:
    """A head and two more, five cameras."""
    fleet.join("head", cores=2.0, is_head=True)
    fleet.join("north")
    fleet.join("south", cores=4.0)
    fleet.place("site-1", "north", "door", "yard", "gate", load=2.6)
    fleet.place("site-2", "south", "hall", "stairs", load=1.7, shed=0.031)


@pytest.fixture
def open_fleet(open_page) -> Iterator[Callable[..., tuple[Page, FakeFleet]]]:
    """Starts a page of a fleet; its machines are those of ``two_machines``."""
    fleets: list[FakeFleet] = []

    def start(**settings) -> tuple[Page, FakeFleet]:
        def make(live: LiveState) -> FakeFleet:
            fleet = FakeFleet(live)
            two_machines(fleet)
            fleets.append(fleet)
            return fleet

        page = open_page(fleet=make, **settings)
        wait_for(lambda: page.live.names)
        return page, fleets[-1]

    yield start
    for fleet in fleets:
        fleet.freed.set()

"""The machines of a fleet over time, and the cameras on them."""

from __future__ import annotations

import pytest

from streamrec.events.places import PlaceSettings
from streamrec.outputs.fleet.cameras import remote_cameras
from streamrec.outputs.fleet.machines import KEPT_SECONDS, Machines
from streamrec.outputs.fleet.records import CameraStatus, FleetStatus, GroupStatus, MachineStatus
from streamrec.types import SourceState

HEAD = MachineStatus(name="head", id="0", is_head=True)
NORTH = MachineStatus(name="north", id="1", version="0.1.0", cores=4.0)


def group(name: str = "site-1", machine: str = "north", **more) -> GroupStatus:
    return GroupStatus(**{"name": name, "machine": machine, "state": "running", "cameras": ("door",), **more})


class TestMachines:
    def test_what_runs_on_a_machine_is_added_up(self):
        groups = [
            group(cameras=("door", "yard", "gate"), cost=1.0, load=0.75, memory=100, shed=0.0),
            group("site-2", cost=0.5, load=0.5, memory=50, shed=0.4),
            group("site-3", "elsewhere", load=9.0),
        ]
        head, north = Machines().update([NORTH, HEAD], groups)
        assert head.is_head and head.cameras == 0 and head.load == 0.0
        assert (north.taken, north.load, north.memory, north.cameras) == (1.5, 1.25, 150, 4)
        assert north.groups == ("site-1", "site-2")
        assert north.shed == pytest.approx(0.1)  # of one of four cameras

    def test_one_that_is_lost_stays_until_it_is_back(self):
        now = 100.0
        machines = Machines(clock=lambda: now)
        machines.update([NORTH], [group()])
        now = 160.0
        (silent,) = machines.update([NORTH], [group(state="silent", saved=6.0)])
        assert (silent.state, silent.since) == ("silent", 154.0)
        now = 162.0
        gone = MachineStatus(name="north", id="1", state="dead")
        (lost,) = machines.update([gone], [])
        assert (lost.state, lost.since, lost.cameras) == ("dead", 154.0, 0)  # since nothing came from it
        assert lost.version == "0.1.0"  # as it was
        now = 500.0
        assert machines.update([], [])[0].since == 154.0  # the cluster has forgotten it, and we have not
        back = MachineStatus(name="north", id="2")
        (again,) = machines.update([gone, back], [group()])
        assert (again.state, again.since, again.id) == ("alive", 500.0, "2")
        assert machines.update([back, gone], [group()]) == (again,)  # in whatever order they come

    def test_one_is_lost_since_something_came_from_it_last(self):
        machines = Machines(clock=lambda: 100.0)
        machines.update([NORTH], [group()])
        (lost,) = machines.update([], [group(saved=2.5)])
        assert (lost.state, lost.since) == ("dead", 97.5)

    def test_one_that_is_restarted_at_once_is_new_from_then_on(self):
        now = 100.0
        machines = Machines(clock=lambda: now)
        machines.update([NORTH], [])
        now = 200.0
        (again,) = machines.update([MachineStatus(name="north", id="2")], [])
        assert (again.state, again.since) == ("alive", 200.0)

    def test_one_that_was_drained_and_has_gone_is_not_lost(self):
        draining = MachineStatus(name="north", id="1", state="draining")
        machines = Machines()
        machines.update([draining], [group()])
        assert [one.state for one in machines.update([], [])] == ["dead"]  # it still had cameras
        machines = Machines()
        machines.update([draining], [group()])
        machines.update([draining], [])
        assert machines.update([], []) == ()

    def test_one_that_is_lost_for_a_day_is_forgotten(self):
        now = 0.0
        machines = Machines(clock=lambda: now)
        machines.update([NORTH], [])
        assert len(machines.update([], [])) == 1
        now = KEPT_SECONDS + 1.0
        assert machines.update([MachineStatus(name="north", id="1", state="dead")], []) == ()


class TestCameras:
    def of(self, one: GroupStatus, *machines: MachineStatus):
        camera = CameraStatus(
            name="door", state="live", since=90.0, fps=9.5, read=20, recognized=12, dropped={"overload": 3},
            refused=1, reconnects=2, group=one.name, machine=one.machine,
        )  # fmt: skip
        fleet = FleetStatus(name="site", version="", machines=machines, groups=(one,), cameras=(camera,))
        (found,) = remote_cameras(fleet, clock=lambda: 100.0, monotonic=lambda: 1000.0)
        return found

    def test_one_that_runs_is_as_its_machine_has_it(self):
        door = self.of(group(since=50.0), NORTH)
        assert (door.health.state, door.health.since, door.rate) == (SourceState.live, 990.0, 9.5)
        assert sum(door.health.refused.values()) == 1 and sum(door.health.reconnects.values()) == 2
        assert (door.counts.recognized, door.counts.dropped, door.counts.waiting) == (12, {"overload": 3}, 5)
        assert (door.machine, door.machine_since) == ("north", 50.0)

    @pytest.mark.parametrize(
        ("given", "state", "reason"),
        [
            ({"state": "silent"}, SourceState.stalled, "nothing comes from north"),
            ({"state": "moving"}, SourceState.reconnecting, "it moves away from north"),
            (
                {"state": "waiting", "machine": ""},
                SourceState.connecting,
                "it waits for a machine with room",
            ),
        ],
    )
    def test_what_was_saved_last_is_not_shown_as_now(self, given, state, reason):
        door = self.of(group(saved=6.0, **given), NORTH)
        assert (door.health.state, door.health.reason, door.health.since) == (state, reason, 994.0)
        assert door.rate == 0.0

    def test_on_a_lost_machine_one_is_lost_as_soon_as_it_misses_its_saves(self):
        dead = MachineStatus(name="north", state="dead")
        assert self.of(group(saved=0.8), dead).health.state is SourceState.live  # taken for dead, and is not
        door = self.of(group(saved=2.5), dead)
        assert (door.health.state, door.health.reason) == (
            SourceState.reconnecting,
            "north is lost: another machine goes on with this camera",
        )

    def test_one_that_has_never_saved_is_there_too(self):
        waiting = group(machine="", state="waiting", cameras=("door", "yard"))
        found = remote_cameras(FleetStatus(name="site", version="", groups=(waiting,)))
        assert [(one.name, one.health.state) for one in found] == [
            ("door", SourceState.connecting),
            ("yard", SourceState.connecting),
        ]

    def test_those_of_the_file_come_in_its_order_and_with_their_places(self):
        fleet = FleetStatus(name="site", version="", groups=(group(cameras=("a", "z")),))
        places = PlaceSettings()
        found = remote_cameras(fleet, {"z": places, "new": None})
        assert [one.name for one in found] == ["z", "new", "a"]
        assert found[0].places is places
        assert found[1].health.reason == "it waits for a machine with room"

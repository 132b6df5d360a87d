"""How cameras are divided into groups, and which group is to move."""

from __future__ import annotations

from dataclasses import replace

import pytest

from streamrec.commands.fleet.sizing import (
    MOST,
    PAUSE,
    REST,
    PlannedGroup,
    Wanted,
    evened,
    planned,
    to_move,
    without_room,
)
from streamrec.outputs.fleet.records import GroupStatus, MachineStatus


def cameras(
    count: int, cost: float = 0.25, models: tuple[str, ...] = ("fight",), first: int = 0
) -> list[Wanted]:
    return [Wanted(name=f"c{n}", models=models, cost=cost) for n in range(first, first + count)]


@pytest.mark.parametrize(
    ("count", "cost", "cores"), [(1, 0.3, 2), (16, 0.05, 8), (17, 0.05, 8), (100, 0.3, 16), (6, 9.0, 4)]
)
def test_every_camera_is_in_one_group_and_no_group_is_too_large(count, cost, cores):
    groups = planned(cameras(count, cost), cores=cores)
    assert sorted(name for group in groups for name in group.cameras) == sorted(f"c{n}" for n in range(count))
    assert all(len(group.cameras) <= MOST for group in groups)
    assert all(group.cost <= cores / 2 + cost or len(group.cameras) <= 4 for group in groups)
    sizes = [len(group.cameras) for group in groups]
    assert max(sizes) - min(sizes) <= 1


def test_cameras_of_different_models_are_in_different_groups():
    groups = planned([*cameras(3), *cameras(3, models=("fall",), first=3)], cores=8)
    assert {group.models: group.cameras for group in groups} == {
        ("fight",): ("c0", "c1", "c2"),
        ("fall",): ("c3", "c4", "c5"),
    }


def test_a_camera_stays_where_it_is_and_a_new_one_goes_where_there_is_room():
    before = planned(cameras(6), cores=8)
    after = planned(cameras(8, first=1), before, cores=8)
    assert [group.name for group in after] == [group.name for group in before]
    assert after[0].cameras[:5] == ("c1", "c2", "c3", "c4", "c5")
    assert set(after[0].cameras[5:]) == {"c6", "c7", "c8"}


def test_a_camera_of_another_model_now_leaves_its_group():
    before = planned(cameras(2), cores=8)
    after = planned([*cameras(1), *cameras(1, models=("fall",), first=1)], before, cores=8)
    assert [group.cameras for group in after] == [("c0",), ("c1",)]
    assert len({group.name for group in after}) == 2


def test_a_name_is_not_given_again_while_its_group_is_there():
    before = (
        PlannedGroup(
            name="fight-1", models=("fight",), cameras=tuple(f"c{n}" for n in range(MOST)), cost=1.0
        ),
    )
    names = [group.name for group in planned(cameras(MOST + 1, 0.05), before, cores=8)]
    assert names == ["fight-1", "fight-2"]


def group(name: str, machine: str, *, cost: float = 1.0, shed: float = 0.0) -> GroupStatus:
    return GroupStatus(name=name, machine=machine, state="running", cost=cost, load=cost, shed=shed)


FULL = MachineStatus(name="full", cores=4, taken=4, load=4, shed=0.3)
NEW = MachineStatus(name="new", cores=4)
GROUPS = [group("a", "full", shed=0.1), group("b", "full", shed=0.3)]


def test_of_a_machine_that_drops_frames_the_group_that_drops_most_moves():
    assert to_move([FULL, NEW], GROUPS, {}, now=0.0) == "b"


@pytest.mark.parametrize(
    "machines",
    [
        [FULL],
        [FULL, replace(NEW, state="draining")],
        [FULL, replace(NEW, taken=3.5)],
        [FULL, replace(NEW, load=3.5)],
        [FULL, replace(NEW, shed=0.2)],
        [replace(FULL, shed=0.04), NEW],
    ],
)
def test_no_group_moves_without_need_or_without_room_elsewhere(machines):
    assert to_move(machines, GROUPS, {}, now=0.0) is None


def test_there_is_at_most_one_move_a_minute_and_no_group_moves_twice_in_ten():
    assert to_move([FULL, NEW], GROUPS, {"c": 0.0}, now=PAUSE - 1) is None
    assert to_move([FULL, NEW], GROUPS, {"b": 0.0}, now=PAUSE + 1) == "a"
    assert to_move([FULL, NEW], GROUPS, {"b": 0.0}, now=REST + 1) == "b"


def test_the_only_group_of_a_machine_stays():
    assert to_move([FULL, NEW], GROUPS[1:], {}, now=0.0) is None


def test_groups_are_evened_out_and_then_left():
    groups = [group(str(n), "full") for n in range(4)]
    moves = evened([FULL, NEW], groups)
    assert [machine for _, machine in moves] == ["full", "full"]
    moved = {name for name, _ in moves}
    after = [replace(one, machine="new") if one.name in moved else one for one in groups]
    assert evened([replace(FULL, taken=2), replace(NEW, taken=2)], after) == []


def test_a_group_of_a_dead_machine_has_no_room_where_the_others_are_full():
    dead = replace(FULL, name="dead", state="dead", cores=0)
    lost = replace(group("c", "dead"), state="silent")
    assert without_room([replace(NEW, taken=3.5), dead], [lost]) == ["c"]
    assert without_room([NEW, dead], [lost]) == []
    assert without_room([dead], [lost]) == []  # there is none that could run it
    assert without_room([replace(NEW, taken=3.5, name="dead")], [lost]) == []  # it may be back in a moment

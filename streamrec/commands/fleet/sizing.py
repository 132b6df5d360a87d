"""How cameras are divided into groups, by measured costs, and which group is to move; plain functions."""

from __future__ import annotations

import math
import re
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from streamrec.evaluation.bench import CAMERA, in_turns, make_video, predictions, read_some
from streamrec.outputs.fleet.records import GroupStatus, MachineStatus
from streamrec.runtime.recognizer import Recognizer
from streamrec.sources.files import FileSource

MOST = 16  # cameras of a group
LEAST = 4  # cameras below which a group is not divided further
SHED = 0.05  # of the due frames of a minute: with more dropped, a machine has too much to do
PAUSE = 60.0  # seconds between two moves
REST = 600.0  # seconds in which a group that has moved does not move again
_FRAMES, _ROUNDS, _SIZE = 20, 3, (1280, 720)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A camera that is to be watched."""

    name: str
    models: tuple[str, ...]
    per_person: bool | None = None
    cost: float = 0.25  # cores

    @property
    def key(self) -> tuple[tuple[str, ...], bool | None]:
        """What all cameras of a group have in common."""
        return self.models, self.per_person


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedGroup:
    """A group of cameras that share a recognizer."""

    name: str
    models: tuple[str, ...]
    per_person: bool | None = None
    cameras: tuple[str, ...] = ()
    cost: float = 0.0  # cores


def measured_cost(recognizer: Recognizer, fps: float) -> float:
    """Cores that a camera of 1280 x 720 at 30 frames a second takes here: decoding, and a step at ``fps``."""
    with tempfile.TemporaryDirectory() as folder:
        video = make_video(Path(folder) / "frames.mp4", _SIZE, _FRAMES, CAMERA)
        frames = read_some(video, _FRAMES, log=lambda text: None)
        seconds = in_turns(
            {
                "decode": lambda: sum(1 for _ in FileSource(video)),
                "model": lambda: predictions(recognizer, frames),
            },
            _ROUNDS,
            clock=time.process_time,
        )
    rate = CAMERA if math.isinf(fps) else fps
    return (CAMERA * seconds["decode"] + rate * seconds["model"]) / len(frames)


def planned(
    cameras: Sequence[Wanted], before: Iterable[PlannedGroup] = (), *, cores: float
) -> tuple[PlannedGroup, ...]:
    """The groups of these cameras, none of which takes more than half of a machine with so many ``cores``.

    A camera stays in the group that it has been in; new ones go where there is room, or into new groups.

    >>> [len(group.cameras) for group in planned([Wanted(name=str(n), models=("fight",)) for n in range(20)], cores=8)]
    [10, 10]
    """
    known = {camera.name: camera for camera in cameras}
    groups: list[PlannedGroup] = []
    for group in before:
        kept = [known[name] for name in group.cameras if name in known and known[name].key == _key(group)]
        for camera in kept:
            del known[camera.name]
        if kept:
            groups.append(_of(group, kept))
    by_key: dict[tuple[tuple[str, ...], bool | None], list[Wanted]] = {}
    for camera in known.values():
        by_key.setdefault(camera.key, []).append(camera)
    taken = {group.name for group in (*groups, *before)}
    for key, new in by_key.items():
        new = _fill(groups, key, new, cores)
        if new:
            groups += _divided(new, taken, cores)
    return tuple(groups)


def _key(group: PlannedGroup) -> tuple[tuple[str, ...], bool | None]:
    return group.models, group.per_person


def _of(group: PlannedGroup, cameras: Sequence[Wanted]) -> PlannedGroup:
    cost = round(sum(camera.cost for camera in cameras), 3)
    return replace(group, cameras=tuple(camera.name for camera in cameras), cost=cost)


def _fill(
    groups: list[PlannedGroup],
    key: tuple[tuple[str, ...], bool | None],
    new: list[Wanted],
    cores: float,
) -> list[Wanted]:
    """Put cameras where there is room; those that are left."""
    left = []
    for camera in new:
        for n, group in enumerate(groups):
            fits = group.cost + camera.cost <= cores / 2 or len(group.cameras) < LEAST
            if _key(group) == key and len(group.cameras) < MOST and fits:
                cost = round(group.cost + camera.cost, 3)
                groups[n] = replace(group, cameras=(*group.cameras, camera.name), cost=cost)
                break
        else:
            left.append(camera)
    return left


def _divided(cameras: list[Wanted], taken: set[str], cores: float) -> list[PlannedGroup]:
    """New groups, as even as can be."""
    total = sum(camera.cost for camera in cameras)
    by_cost = min(math.ceil(2 * total / cores), math.ceil(len(cameras) / LEAST))
    count = max(1, by_cost, math.ceil(len(cameras) / MOST))
    made = []
    stem = re.sub(r"[^\w.-]+", "_", "+".join(Path(model).stem for model in cameras[0].models))
    number = 0
    for n in range(count):
        own = cameras[n::count]
        while (name := f"{stem}-{(number := number + 1)}") in taken:
            pass
        taken.add(name)
        made.append(
            _of(
                PlannedGroup(name=name, models=own[0].models, per_person=own[0].per_person),
                own,
            )
        )
    return made


def to_move(
    machines: Sequence[MachineStatus],
    groups: Sequence[GroupStatus],
    moved: dict[str, float],
    now: float,
) -> str | None:
    """The group that is to move, because its machine sheds frames and another one has room; None: none.

    ``moved``: when groups were moved. At most one move a minute, and no group twice in ten minutes.
    """
    if any(now - at < PAUSE for at in moved.values()):
        return None
    there = [one for one in machines if one.state == "alive" and one.cores > 0]
    for machine in sorted(there, key=lambda one: -one.shed):
        if machine.shed <= SHED:
            return None
        own = [group for group in groups if group.machine == machine.name and group.state == "running"]
        rested = [group for group in own if now - moved.get(group.name, -math.inf) >= REST]
        if len(own) < 2:  # it would only move the trouble
            continue
        for group in sorted(rested, key=lambda one: -one.shed):
            room = [other for other in there if other is not machine and other.shed <= SHED]
            if any(group.cost <= other.cores - max(other.taken, other.load) for other in room):
                return group.name
    return None


def without_room(machines: Sequence[MachineStatus], groups: Sequence[GroupStatus]) -> list[str]:
    """The groups that run nowhere, and fit into what no machine has left.

    >>> full = MachineStatus(name="a", cores=2, taken=1.5)
    >>> without_room([full], [GroupStatus(name="g1", cost=1.0), GroupStatus(name="g2", cost=0.5)])
    ['g1']
    """
    there = {one.name: one for one in machines if one.state in ("alive", "silent") and one.cores > 0}
    most = max((one.cores - one.taken for one in there.values()), default=None)
    if most is None:
        return []
    lost = [
        one
        for one in groups
        if one.state == "waiting" or (one.state == "silent" and one.machine not in there)
    ]
    return [one.name for one in lost if one.cost > most + 1e-9]


def evened(machines: Sequence[MachineStatus], groups: Sequence[GroupStatus]) -> list[tuple[str, str]]:
    """Moves that even out how much of each machine is taken: groups, and the machines that they leave.

    >>> here, new = MachineStatus(name="a", cores=4, taken=4), MachineStatus(name="b", cores=4)
    >>> evened([here, new], [GroupStatus(name=str(n), machine="a", cost=1) for n in range(4)])
    [('0', 'a'), ('1', 'a')]
    """
    taken = {one.name: one.taken for one in machines if one.state == "alive" and one.cores > 0}
    cores = {one.name: one.cores for one in machines}
    left = sorted(groups, key=lambda one: -one.cost)
    moves: list[tuple[str, str]] = []
    while len(taken) > 1:
        fullest = max(taken, key=lambda name: taken[name] / cores[name])
        emptiest = min(taken, key=lambda name: taken[name] / cores[name])
        share = taken[fullest] / cores[fullest]
        for group in left:
            after = (taken[emptiest] + group.cost) / cores[emptiest]
            if group.machine == fullest and group.cost > 0 and after < share - 1e-9:
                taken[fullest] -= group.cost
                taken[emptiest] += group.cost
                left.remove(group)
                moves.append((group.name, fullest))
                break
        else:
            break
    return moves

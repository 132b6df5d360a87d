"""The machines of a fleet as they are shown: what runs on each, and since when it is as it is."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace

from streamrec.outputs.fleet.records import GroupStatus, MachineStatus

KEPT_SECONDS = 86_400.0  # for which a lost machine stays in the list


class Machines:
    """Remembers each machine by its name, so that one that is lost stays in the list, and is known when it is back.

    A machine that was drained, and has nothing left to run, is not lost when it goes: it leaves the list.

    >>> machines = Machines(clock=lambda: 100.0)
    >>> north = MachineStatus(name="north", cores=4.0)
    >>> group = GroupStatus(name="site-1", machine="north", state="running", cameras=("door", "yard"), load=1.5)
    >>> [shown] = machines.update([north], [group])
    >>> shown.state, shown.since, shown.cameras, shown.load
    ('alive', 100.0, 2, 1.5)
    >>> [machine.state for machine in machines.update([], [])]
    ['dead']
    """

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._known: dict[str, MachineStatus] = {}
        self._lock = threading.Lock()

    def update(
        self, present: Iterable[MachineStatus], groups: Iterable[GroupStatus]
    ) -> tuple[MachineStatus, ...]:
        """The machines now, the head first, then by name; from any thread.

        ``present``: as the cluster knows them, dead ones or not; their sums are filled in here.
        """
        now = self._clock()
        running: dict[str, list[GroupStatus]] = defaultdict(list)
        for group in groups:
            running[group.machine].append(group)
        newest: dict[str, MachineStatus] = {}
        for machine in present:
            if machine.state != "dead" or machine.name not in newest:
                newest[machine.name] = machine
        with self._lock:
            for name in self._known.keys() - newest.keys():
                newest[name] = replace(self._known[name], state="dead")
            found = [self._now(given, running[name], now) for name, given in newest.items()]
            self._known = {machine.name: machine for machine in found if machine is not None}
            return tuple(
                sorted(self._known.values(), key=lambda machine: (not machine.is_head, machine.name))
            )

    def _now(self, given: MachineStatus, groups: list[GroupStatus], now: float) -> MachineStatus | None:
        """A machine with what runs on it; None: it left as it should, or is lost for long."""
        before = self._known.get(given.name)
        state, since = given.state, now
        if state == "alive" and groups and all(group.state == "silent" for group in groups):
            state = "silent"
        if state in ("silent", "dead") and groups:  # since something came from it last
            since = now - min(group.saved or 0.0 for group in groups)
        if state == "dead" and (before is None or (before.state == "draining" and not before.groups)):
            return None
        if before is not None and before.since is not None:
            if state == "dead":  # the cluster forgets what it was
                given = replace(given, version=before.version, address=before.address)
            goes_on = before.state == state and (before.id == given.id or state == "dead")
            if goes_on or (before.state == "silent" and state == "dead"):
                since = before.since
        if state == "dead" and now - since > KEPT_SECONDS:
            return None
        weights = [(group, max(1, len(group.cameras))) for group in groups]
        return replace(
            given,
            state=state,
            since=since,
            taken=sum(group.cost for group in groups),
            load=sum(group.load for group in groups),
            memory=sum(group.memory for group in groups),
            groups=tuple(sorted(group.name for group in groups)),
            cameras=sum(len(group.cameras) for group in groups),
            shed=sum(group.shed * weight for group, weight in weights) / max(1, sum(w for _, w in weights)),
        )

"""A cluster in this process: each group is a thread, and machines die when a test says so."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from streamrec.commands.fleet.group import Group, Place
from streamrec.commands.fleet.head import GroupAway
from streamrec.commands.fleet.spec import GroupSpec
from streamrec.outputs.fleet.records import LedgerService, MachineStatus


class LocalCluster:
    """A ``Cluster`` of threads. ``ledger`` is the head, or something between it and the groups."""

    def __init__(
        self, folder: Path, *machines: str, seal: Callable[[bytes], bytes] = lambda data: data
    ) -> None:
        self.folder, self.names = folder, list(machines)
        self.ledger: LedgerService | None = None
        self.groups: dict[str, tuple[str, Group]] = {}
        self.log: list[str] = []
        self.sent: list[GroupSpec] = []
        self.unseal: Callable[[bytes], bytes] = lambda data: data
        self.closed = False

    def machines(self) -> list[MachineStatus]:
        return [
            MachineStatus(name=name, id=f"id-{name}", address=name, version="1", cores=4.0)
            for name in self.names
        ]

    def place(self, spec: GroupSpec, cost: float, avoid: Collection[str]) -> None:
        if self.closed:  # the head, which goes on, would begin a group that nothing ends
            return
        taken = [machine for machine, _ in self.groups.values()]
        free = [name for name in self.names if f"id-{name}" not in avoid]
        machine = min(free, key=taken.count)
        self.sent.append(spec)
        assert self.ledger is not None
        folder = self.folder / machine
        place = Place(machine=machine, folder=folder, unseal=self.unseal)
        group = Group(spec, self.ledger, place, lambda text: self.log.append(f"{machine}: {text}"))
        self.groups[spec.name] = machine, group
        threading.Thread(target=group.run, name=f"group {spec.name}", daemon=True).start()

    def placed(self, group: str) -> bool:
        return group in self.groups

    def remove(self, group: str) -> None:
        found = self.groups.pop(group, None)
        if found is not None:
            found[1].park()

    def call(self, group: str, method: str, *values: Any, seconds: float = 10.0) -> Any:
        if group not in self.groups:
            raise GroupAway(f"there is no group {group}")
        return getattr(self.groups[group][1], method)(*values)

    def close(self) -> None:
        self.closed = True
        for name in list(self.groups):
            self.remove(name)

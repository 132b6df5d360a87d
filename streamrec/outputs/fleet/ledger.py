"""The ledger on the head: who may save what, and the one transaction in which events and snapshots are written.

It writes into the history's own file. A batch of a group is there whole or not at all, so that the snapshots know
every event that is on the disk, and no other.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from streamrec.errors import HistoryError
from streamrec.outputs.fleet.records import (
    SAVE_SECONDS,
    SILENT_SECONDS,
    Batch,
    CameraStatus,
    Claim,
    GroupStatus,
    LedgerAway,
    Superseded,
)
from streamrec.outputs.history.records import Announcement, Entry, Kind, RemoteResult
from streamrec.outputs.history.rows import as_utf8
from streamrec.outputs.history.store import History
from streamrec.types import ActionEnded, Event, Result

_T = TypeVar("_T")
_TABLES = (
    """CREATE TABLE IF NOT EXISTS fleet_claim (
    group_name TEXT NOT NULL,
    epoch INTEGER NOT NULL,     -- grows
    at REAL NOT NULL,           -- when it was claimed, seconds since 1970
    machine TEXT NOT NULL,
    saved INTEGER NOT NULL DEFAULT 0,  -- whether this epoch has saved something
    PRIMARY KEY (group_name, epoch)
)""",
    """CREATE TABLE IF NOT EXISTS fleet_snapshot (
    camera TEXT PRIMARY KEY,
    group_name TEXT NOT NULL,
    body BLOB NOT NULL          -- outputs/fleet/wire.py
)""",
    "CREATE TABLE IF NOT EXISTS fleet_plan (body BLOB NOT NULL)",
)
_KEPT_CLAIMS = 50  # of a group
_MINUTE = 60.0
_LATE_IDS = 10_000  # that are remembered


@dataclass(slots=True)
class _Group:
    """What is known of a group."""

    epoch: int = 0
    machine: str = ""
    claimed: float = 0.0
    number: int = 0  # of its newest batch
    # Held while it is written: a claim of the group waits for what is under way.
    lock: threading.RLock = field(default_factory=threading.RLock)
    saved: float | None = None  # time.monotonic() of its last save
    last: Batch | None = None
    frames: deque[tuple[float, int, int]] = field(default_factory=deque)  # time, recognized, shed

    @property
    def shed(self) -> float:
        """Of the due frames of the last minute, the share that was dropped for want of time."""
        if len(self.frames) < 2:
            return 0.0
        (_, done, lost), (_, done_now, lost_now) = self.frames[0], self.frames[-1]
        due = done_now - done + lost_now - lost
        return (lost_now - lost) / due if due > 0 else 0.0


class Ledger:
    """A ``LedgerService`` over a history; thread-safe. ``write`` is given each result, one at a time.

    ``patience``: seconds that a save waits for the disk. ``history`` must have been started.
    """

    def __init__(
        self,
        history: History,
        write: Callable[[Result], object],
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        patience: float = 5.0,
    ) -> None:
        self._history, self._write = history, write
        self._clock, self._monotonic, self._patience = clock, monotonic, patience
        self._groups: dict[str, _Group] = {}
        # Of ``_groups`` and what follows; never held while the disk is waited for.
        self._guard = threading.Lock()
        self._order = threading.Lock()  # held while results are written: one block of the history at a time
        self._unwritten: dict[str, Kind] = {}  # ids of events that are noted and not on the disk
        self._late: dict[str, None] = {}  # ids of late events
        self.refused = self.replayed = 0
        self._history.transact(_create)

    # -- LedgerService

    def claim(self, group: str, machine: str, cameras: tuple[str, ...]) -> Claim:
        """A process on this machine runs this group of cameras from now on; every other one is superseded."""
        known = self._group(group)
        with self._held(known, group):
            now = self._clock()

            def claim(connection: sqlite3.Connection) -> Claim:
                statement = (
                    "SELECT coalesce(max(epoch), 0), coalesce(max(epoch * saved), 0) "
                    "FROM fleet_claim WHERE group_name = ?"
                )
                last, previous = connection.execute(statement, (as_utf8(group),)).fetchone()
                # Also where the file was lost, it is larger than any before.
                epoch = max(last + 1, known.epoch + 1, int(now * 1000))
                connection.execute(
                    "INSERT INTO fleet_claim (group_name, epoch, at, machine) VALUES (?, ?, ?, ?)",
                    (as_utf8(group), epoch, now, as_utf8(machine)),
                )
                connection.execute(
                    "DELETE FROM fleet_claim WHERE group_name = ? AND epoch NOT IN "
                    "(SELECT epoch FROM fleet_claim WHERE group_name = ? ORDER BY epoch DESC LIMIT ?)",
                    (as_utf8(group), as_utf8(group), _KEPT_CLAIMS),
                )
                return Claim(
                    epoch=epoch,
                    previous=previous,
                    at=now,
                    snapshots=_snapshots(connection, cameras),
                    running=self._running(cameras),
                )

            made = self._on_disk(claim)
            known.epoch, known.machine, known.claimed, known.number = made.epoch, machine, now, 0
            known.frames.clear()
            known.saved = self._monotonic()
            return made

    def save(self, batch: Batch) -> float:
        """Take a batch; returns the head's time when it is on the disk.

        A batch that comes after a later one of its epoch was given up by the group, and is left out: what it holds has
        come again, or will. Raises ``Superseded`` where another process has claimed the group, and ``LedgerAway`` where
        the disk does not take it in time.
        """
        known = self._group(batch.group)
        with self._held(known, batch.group):
            if batch.epoch != known.epoch:
                with self._guard:
                    self.refused += 1
                raise Superseded(batch.group, self._after(batch.group, batch.epoch))
            if batch.number <= known.number:
                return self._clock()
            known.number = batch.number
            if self._history.stuck > self._patience:  # what it holds in memory must not grow
                raise LedgerAway(self._history.trouble or "the head's disk does not take it")
            self._commit(batch, [self._unknown(result) for result in batch.results], batch.snapshots)
            known.last, known.saved = replace(batch, results=(), snapshots={}), self._monotonic()
            self._count(known, batch.cameras)
            return self._clock()

    def late(self, batch: Batch) -> int:
        """Take the events of a superseded group that began before it was, and that are not known; returns how many."""
        known = self._group(batch.group)
        with self._held(known, batch.group):
            at = self._after(batch.group, batch.epoch)
            accepted: list[RemoteResult] = []
            for result in batch.results:
                pairs = [
                    (event, (kind, entry))
                    for event, (kind, entry) in zip(result.events, result.entries, strict=True)
                    if entry.started < at and (entry.id in self._late or not self._is_known(entry))
                ]
                for _, (_, entry) in pairs:
                    self._late[entry.id] = None
                if pairs:
                    accepted.append(_with(result, pairs))
            accepted += _ended_all(accepted, at)
            while len(self._late) > _LATE_IDS:
                del self._late[next(iter(self._late))]
            if accepted:
                self._commit(batch, [self._unknown(result) for result in accepted], {})
            return len({entry.id for result in accepted for _, entry in result.entries})

    def superseded(self, group: str, epoch: int) -> bool:
        """Whether the group was claimed again after this epoch."""
        return self._group(group).epoch > epoch

    # -- what the head asks

    def forget(self, cameras: Iterable[str]) -> None:
        """These cameras are not watched any more: their snapshots go, and what runs of them is ended."""
        gone = set(cameras)

        def forget(connection: sqlite3.Connection) -> tuple[Announcement, ...]:
            connection.executemany(
                "DELETE FROM fleet_snapshot WHERE camera = ?", [(as_utf8(name),) for name in gone]
            )
            return self._history.interrupt(connection, ids)

        ids = [entry.id for entry in self._history.running if entry.camera in gone]
        with self._order, self._history.together(forget):
            pass

    @property
    def plan(self) -> bytes | None:
        """What the head keeps of how cameras are divided into groups; None: nothing yet."""
        row = self._on_disk(lambda connection: connection.execute("SELECT body FROM fleet_plan").fetchone())
        return None if row is None else bytes(row[0])

    @plan.setter
    def plan(self, body: bytes) -> None:
        def write(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM fleet_plan")
            connection.execute("INSERT INTO fleet_plan VALUES (?)", (body,))

        self._on_disk(write)

    def cameras(self) -> list[str]:
        """Of which there is a snapshot."""
        return [name for (name,) in self._history.transact(_names)]

    def can_save(self, group: str) -> bool:
        """Whether a group has saved within the last two periods."""
        known = self._group(group)
        return known.saved is not None and self._monotonic() - known.saved < 2 * SAVE_SECONDS

    def groups(self) -> tuple[GroupStatus, ...]:
        """Of all that claimed since the ledger began."""
        with self._guard:
            known = dict(self._groups)
        return tuple(self._status(name, group) for name, group in known.items() if group.machine)

    def status_of_cameras(self) -> tuple[CameraStatus, ...]:
        """Of all groups, as they saved it last."""
        with self._guard:
            known = dict(self._groups)
        return tuple(
            replace(camera, group=name, machine=group.machine)
            for name, group in known.items()
            for camera in (group.last.cameras if group.last is not None else ())
        )

    def drop(self, group: str) -> None:
        """There is no such group any more."""
        with self._guard:
            self._groups.pop(group, None)

    # -- its own

    def _group(self, name: str) -> _Group:
        with self._guard:
            known = self._groups.get(name)
        if known is not None:
            return known
        row = self._on_disk(lambda connection: _newest_claim(connection, name))
        with self._guard:
            return self._groups.setdefault(name, _Group(*row))

    @contextlib.contextmanager
    def _held(self, known: _Group, group: str) -> Iterator[None]:
        """Hold the lock of a group; raises ``LedgerAway`` where it is not free in time."""
        if not known.lock.acquire(timeout=self._patience):
            raise LedgerAway(f"the head's disk still writes what {group} saved before")
        try:
            yield
        finally:
            known.lock.release()

    def _on_disk(self, run: Callable[[sqlite3.Connection], _T]) -> _T:
        """Run this in one transaction, at once; raises ``LedgerAway``."""

        def with_tables(connection: sqlite3.Connection) -> _T:
            _create(connection)  # the file may be another one than at the start
            return run(connection)

        try:
            return self._history.transact(with_tables)
        except HistoryError as error:
            raise LedgerAway(str(error)) from error

    def _after(self, group: str, epoch: int) -> float:
        """When the claim that followed on this epoch was made; now, where that is not known."""

        def find(connection: sqlite3.Connection) -> float:
            statement = "SELECT min(at) FROM fleet_claim WHERE group_name = ? AND epoch > ?"
            (at,) = connection.execute(statement, (as_utf8(group), epoch)).fetchone()
            return self._clock() if at is None else float(at)

        return self._on_disk(find)

    def _running(self, cameras: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """By camera: ids of the events that run, but those of rules, which the head itself ends."""
        entries = [entry for entry in self._history.running if entry.rule is None]
        return {name: tuple(one.id for one in entries if one.camera == name) for name in cameras}

    def _is_known(self, entry: Entry) -> bool:
        return entry.id in self._unwritten or self._history.get(entry.id) is not None

    def _unknown(self, result: RemoteResult) -> RemoteResult:
        """A result without the events that are known already: they come again."""
        pairs = []
        for event, (kind, entry) in zip(result.events, result.entries, strict=True):
            noted = self._unwritten.get(entry.id)
            kept = self._history.get(entry.id)
            over = noted is Kind.ended or (
                kept is not None and kept.ended is not None and not kept.interrupted
            )
            if over or (kind is Kind.started and (noted is not None or kept is not None)):
                with self._guard:
                    self.replayed += 1
            else:
                pairs.append((event, (kind, entry)))
        return result if len(pairs) == len(result.events) else _with(result, pairs)

    def _commit(self, batch: Batch, results: Iterable[RemoteResult], snapshots: Mapping[str, bytes]) -> None:
        done = threading.Event()
        noted: list[str] = []

        def write(connection: sqlite3.Connection) -> tuple[Announcement, ...]:
            _create(connection)
            connection.executemany(
                "INSERT OR REPLACE INTO fleet_snapshot VALUES (?, ?, ?)",
                [(as_utf8(camera), as_utf8(batch.group), body) for camera, body in snapshots.items()],
            )
            if snapshots:
                connection.execute(
                    "UPDATE fleet_claim SET saved = 1 WHERE group_name = ? AND epoch = ? AND NOT saved",
                    (as_utf8(batch.group), batch.epoch),
                )
            return self._history.interrupt(connection, batch.interrupted)

        def written() -> None:
            for id in noted:
                self._unwritten.pop(id, None)
            done.set()

        with self._order, self._history.together(write, written):
            for result in results:
                for kind, entry in result.entries:
                    self._unwritten[entry.id] = kind
                    noted.append(entry.id)
                self._write(result)
        if not done.wait(self._patience):
            raise LedgerAway(self._history.trouble or "the head's disk did not take it in time")

    def _count(self, known: _Group, cameras: Iterable[CameraStatus]) -> None:
        now = self._monotonic()
        recognized = sum(camera.recognized for camera in cameras)
        shed = sum(camera.dropped.get("overload", 0) for camera in cameras)
        known.frames.append((now, recognized, shed))
        while now - known.frames[0][0] > _MINUTE:
            known.frames.popleft()

    def _status(self, name: str, group: _Group) -> GroupStatus:
        last, ago = group.last, None if group.saved is None else self._monotonic() - group.saved
        return GroupStatus(
            name=name,
            machine=group.machine,
            state="running" if ago is not None and ago < SILENT_SECONDS else "silent",
            since=group.claimed or None,
            epoch=group.epoch,
            cameras=() if last is None else tuple(camera.name for camera in last.cameras),
            load=0.0 if last is None else last.load,
            memory=0 if last is None else last.memory,
            saved=None if ago is None else round(ago, 3),
            waiting=0 if last is None else last.waiting,
            shed=round(group.shed, 4),
        )


def _create(connection: sqlite3.Connection) -> None:
    for statement in _TABLES:
        connection.execute(statement)


def _snapshots(connection: sqlite3.Connection, cameras: Iterable[str]) -> dict[str, bytes]:
    found = {}
    for camera in cameras:
        statement = "SELECT body FROM fleet_snapshot WHERE camera = ?"
        row = connection.execute(statement, (as_utf8(camera),)).fetchone()
        if row is not None:
            found[camera] = row[0]
    return found


def _names(connection: sqlite3.Connection) -> list[tuple[str]]:
    return connection.execute("SELECT camera FROM fleet_snapshot ORDER BY camera").fetchall()


def _newest_claim(connection: sqlite3.Connection, group: str) -> tuple[int, str, float]:
    row = connection.execute(
        "SELECT epoch, machine, at FROM fleet_claim WHERE group_name = ? ORDER BY epoch DESC LIMIT 1",
        (as_utf8(group),),
    ).fetchone()
    return (0, "", 0.0) if row is None else (int(row[0]), str(row[1]), float(row[2]))


def _with(result: RemoteResult, pairs: Iterable[tuple[Event, tuple[Kind, Entry]]]) -> RemoteResult:
    pairs = tuple(pairs)
    return replace(
        result, events=tuple(event for event, _ in pairs), entries=tuple(entry for _, entry in pairs)
    )


def _ended_all(results: Iterable[RemoteResult], at: float) -> list[RemoteResult]:
    """Ends, as interrupted, for events that began in these results and did not end in them."""
    open_now: dict[str, tuple[RemoteResult, Event, Entry]] = {}
    seen: dict[str, float] = {}
    for result in results:
        seen[result.frame.source] = result.seen
        for event, (kind, entry) in zip(result.events, result.entries, strict=True):
            if kind is Kind.started:
                open_now[entry.id] = result, event, entry
            else:
                open_now.pop(entry.id, None)
    ended = []
    for result, event, entry in open_now.values():
        until = max(entry.started, min(seen[result.frame.source], at))
        end = ActionEnded(
            event.label, event.timestamp + until - entry.started, event.timestamp, event.confidence,
            event.source, model=event.model, person=event.person, box=event.box, zone=event.zone,
        )  # fmt: skip
        over = replace(entry, ended=until, interrupted=True)
        ended.append(replace(result, events=(end,), entries=((Kind.ended, over),), repeated=True))
    return ended

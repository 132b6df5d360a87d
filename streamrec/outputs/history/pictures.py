"""The pictures of events in a history: one small JPEG an event, for notifications, with a retention of their own."""

from __future__ import annotations

import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from streamrec.outputs.history.records import Announcement, Entry
from streamrec.outputs.history.rows import find_entry

PICTURE_DAYS = 7.0  # older ones are deleted, unless a message that waits needs them
_MOST_DECIDED = 10_000  # ids that are remembered


class HistoryPictures:
    """The pictures of one history. Thread-safe.

    A message about an event waits a moment for its picture (``is_awaited``). After a restart no picture of an earlier
    event is awaited: it is there, or it does not come.
    """

    def __init__(self, later: Callable[..., None], select: Callable[..., list[Any]]) -> None:
        """``later`` and ``select``: of its ``History``."""
        self._later, self._select = later, select
        self._lock = threading.Lock()
        self._decided: OrderedDict[str, None] | None = None  # ids of events; None: no pictures are made
        # By the event's id; no message waits until they are on the disk.
        self._unwritten: dict[str, bytes] = {}

    def expect(self) -> None:
        """Pictures are made from now on: ``decide`` is called for each event that begins."""
        self._decided = OrderedDict()

    def decide(self, id: str) -> None:
        """The picture of this event is there, or none comes."""
        if self._decided is None:
            return
        with self._lock:
            self._decided[id] = None
            while len(self._decided) > _MOST_DECIDED:
                self._decided.popitem(last=False)

    def is_awaited(self, id: str) -> bool:
        """Whether it is open if this event gets a picture."""
        return self._decided is not None and id not in self._decided

    def keep(self, id: str, jpeg: bytes, then: Callable[[Entry], object] = lambda entry: None) -> None:
        """Keep the picture of an event; returns at once, after ``History.start``, and ``get`` has it then.

        ``then`` is called with the event, as it is on the disk, when the picture is there too.
        """
        found: list[Entry] = []
        with self._lock:
            self._unwritten[id] = jpeg
        self.decide(id)

        def write(connection: sqlite3.Connection) -> tuple[Announcement, ...]:
            found.clear()
            entry = find_entry(connection, id)
            if entry is not None:  # else the event is not kept either
                statement = "INSERT OR REPLACE INTO picture (id, made, jpeg) VALUES (?, ?, ?)"
                connection.execute(statement, (id, entry.started, jpeg))
                found.append(entry)
            return ()

        def kept() -> None:
            with self._lock:
                self._unwritten.pop(id, None)
            for entry in found:
                then(entry)

        self._later(write, kept)

    def get(self, id: str) -> bytes | None:
        """The picture of an event; None where there is none."""
        with self._lock:
            unwritten = self._unwritten.get(id)
        if unwritten is not None:
            return unwritten
        rows = self._select("SELECT jpeg FROM picture WHERE id = ? AND typeof(jpeg) = 'blob'", (id,))
        return rows[0][0] if rows else None

    def has(self, id: str) -> bool:
        """Whether an event has a picture."""
        return bool(self._select("SELECT 1 FROM picture WHERE id = ?", (id,)))


def prune(connection: sqlite3.Connection, before: float) -> None:
    """Delete the pictures of events that began before this moment, and of events that are deleted.

    Those that a waiting message needs stay: its id is the event's, and more.
    """
    connection.execute(
        "DELETE FROM picture WHERE (made < ? OR id NOT IN (SELECT id FROM event)) "
        "AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.id >= picture.id || '-' "
        "AND outbox.id < picture.id || '.')",
        (before,),
    )

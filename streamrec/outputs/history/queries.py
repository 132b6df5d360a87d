"""Reading a history: queries by time, camera and label, single events, and what changed since a number."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from streamrec.events.rules import Watched
from streamrec.outputs.history import vectors
from streamrec.outputs.history.records import Entry
from streamrec.outputs.history.rows import COLUMNS, conditions_of, entry_of
from streamrec.outputs.history.tables import SOUND


class EventQueries(ABC):
    """The questions that a history answers; a subclass runs their SQL in ``_read``."""

    @abstractmethod
    def _read(self, statement: str, values: Iterable[Any]) -> list[Any]:
        """All rows of a SELECT."""

    def query(
        self,
        *,
        since: float | None = None,
        until: float | None = None,
        camera: str | Iterable[str] | None = None,
        label: str | Iterable[str] | None = None,
        after: str | None = None,
        limit: int = 100,
        ids: Sequence[str] | None = None,
        but: Sequence[str] = (),
    ) -> list[Entry]:
        """Events that overlap the time from ``since`` to ``until`` (seconds since 1970), the newest first.

        ``after``: the id of the last entry of the previous page. ``ids``: none but these; ``but``: not these.
        """
        where, values = conditions_of(since, until, camera, label)
        for wanted, word in ((ids, "IN"), (but or None, "NOT IN")):
            if wanted is not None:
                where.append(f"id {word} (SELECT value FROM json_each(?))")
                values.append(json.dumps(list(wanted)))
        if after is not None:
            where.append("id < ?")
            values.append(after)
        rows = self._read(
            f"SELECT {COLUMNS} FROM event WHERE {' AND '.join(where)} ORDER BY id DESC LIMIT ?",
            (*values, max(0, limit)),
        )
        return [entry_of(row) for row in rows]

    def pages(self, *, size: int = 500, **conditions: Any) -> Iterator[Entry]:
        """All events of a ``query``, however many, the newest first."""
        after = None
        while page := self.query(after=after, limit=size, **conditions):
            yield from page
            after = page[-1].id

    def count(
        self,
        *,
        since: float | None = None,
        until: float | None = None,
        camera: str | Iterable[str] | None = None,
        label: str | Iterable[str] | None = None,
    ) -> int:
        """How many events a ``query`` has in all."""
        where, values = conditions_of(since, until, camera, label)
        return int(self._read(f"SELECT count(*) FROM event WHERE {' AND '.join(where)}", values)[0][0])

    def get(self, id: str) -> Entry | None:
        """One event; None where there is none with this id."""
        rows = self._read(f"SELECT {COLUMNS} FROM event WHERE id = ? AND {SOUND}", (id,))
        return entry_of(rows[0]) if rows else None

    def similar(
        self,
        entry: Entry,
        *,
        since: float | None = None,
        until: float | None = None,
        camera: str | Iterable[str] | None = None,
        label: str | Iterable[str] | None = None,
        limit: int = 12,
    ) -> vectors.Similar:
        """The events that are most like this one, by the features of its model; conditions as of a ``query``."""
        return vectors.similar(
            self._read, entry, since=since, until=until, camera=camera, label=label, limit=limit
        )

    def held(self) -> list[Entry]:
        """The events of which it is not decided yet whether receivers are notified, the oldest first."""
        rows = self._read(f"SELECT {COLUMNS} FROM event WHERE decision = 'hold' AND {SOUND} ORDER BY id", ())
        return [entry_of(row) for row in rows]

    def changes(self, after: int | None = None, limit: int = 500) -> tuple[list[Entry], int]:
        """Events that are new or changed since change number ``after``, in order, and the number now.

        None: no events, only the number to begin with.
        """
        if after is None:
            # Without the counter (another program emptied its table) the events hold the newest number.
            (number,) = self._read(
                "SELECT coalesce((SELECT max(change) FROM counter), (SELECT max(change) FROM event), 0)", ()
            )[0]
            return [], int(number) if isinstance(number, int) else 0
        if self.changes()[1] < after:  # another file has taken the place of the first, with a new counter
            after = 0
        rows = self._read(
            f"SELECT {COLUMNS}, change FROM event WHERE change > ? AND {SOUND} ORDER BY change LIMIT ?",
            (after, limit),
        )
        return [entry_of(row[:-1]) for row in rows], rows[-1][-1] if rows else after

    def watched(self, *, since: float, until: float) -> list[Watched]:
        """When the cameras gave frames, between two times."""
        rows = self._read(
            "SELECT camera, began, ended FROM watched WHERE typeof(camera) = 'text' AND typeof(began) = 'real' "
            "AND typeof(ended) = 'real' AND began <= ended AND ended >= ? AND began < ? ORDER BY began",
            (since, until),
        )
        return [
            Watched(camera=camera, began=max(began, since), ended=min(ended, until))
            for camera, began, ended in rows
        ]

    def unsound(self) -> int:
        """How many rows are damaged, and left out of every answer."""
        return int(self._read(f"SELECT count(*) FROM event WHERE NOT ({SOUND})", ())[0][0])

    def cameras(self) -> list[str]:
        """The cameras that have events, sorted."""
        return [
            name
            for (name,) in self._read(f"SELECT DISTINCT camera FROM event WHERE {SOUND} ORDER BY camera", ())
        ]

    def labels(self) -> list[str]:
        """The labels that have events, sorted."""
        return [
            name
            for (name,) in self._read(f"SELECT DISTINCT label FROM event WHERE {SOUND} ORDER BY label", ())
        ]

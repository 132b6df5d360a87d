"""Second opinions on events in a history: what a model of the user's answered, and how often it was asked."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from streamrec.outputs.history.records import Announcement, Entry, Judgment, Kind
from streamrec.outputs.history.rows import find_entry, next_change

_HOUR, _DAY = 3600.0, 86_400.0


@dataclass(frozen=True, slots=True)
class Opinion:
    """A second opinion on one event."""

    judgment: Judgment
    text: str  # what the model describes; of an event that is unjudged, why
    by: str = ""  # the model, and the host that runs it


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionLimits:
    """How often the model may be asked; 0: as often as wanted."""

    hour: int = 0
    day: int = 0
    camera_hour: int = 0  # of one camera


class HistoryOpinions:
    """The second opinions of one history. Thread-safe.

    Each question is noted with its event before it is asked, so that limits count over restarts.
    """

    def __init__(
        self,
        later: Callable[..., None],
        transact: Callable[..., Any],
        enqueue: Callable[[sqlite3.Connection, Announcement], None],
    ) -> None:
        """All three are methods of its ``History``."""
        self._later, self._transact, self._enqueue = later, transact, enqueue

    def ask(self, entry: Entry, limits: QuestionLimits, now: float) -> str:
        """Note that the model is asked about an event; "", or why it must not be. Raises ``HistoryError``."""

        def note(connection: sqlite3.Connection) -> str:
            for most, seconds, camera, span in (
                (limits.camera_hour, _HOUR, entry.camera, "an hour for this camera"),
                (limits.hour, _HOUR, None, "an hour"),
                (limits.day, _DAY, None, "a day"),
            ):
                statement = "SELECT count(*) FROM event WHERE asked >= ?"
                values: tuple[Any, ...] = (now - seconds,)
                if camera is not None:
                    statement, values = f"{statement} AND camera = ?", (*values, camera)
                if 0 < most <= connection.execute(statement, values).fetchone()[0]:
                    return f"the limit of {most} questions {span} is reached"
            noted = connection.execute("UPDATE event SET asked = ? WHERE id = ?", (now, entry.id)).rowcount
            return "" if noted else "the event is not in the history yet"

        return str(self._transact(note))

    def keep(self, id: str, opinion: Opinion, then: Callable[[Entry], object] = lambda entry: None) -> None:
        """Store an opinion with its event; returns at once, after ``History.start``.

        A real judgment replaces ``unjudged``, and nothing replaces a judgment. ``then`` is called with the event when
        that is on the disk.
        """
        found: list[Entry] = []
        is_open = "judgment IS NULL"
        if opinion.judgment is not Judgment.unjudged:
            is_open += f" OR judgment = '{Judgment.unjudged}'"

        def write(connection: sqlite3.Connection) -> tuple[Announcement, ...]:
            found.clear()
            values = str(opinion.judgment), opinion.text, opinion.by or None
            changed = connection.execute(
                f"UPDATE event SET judgment = ?, opinion = ?, judged_by = ? WHERE id = ? AND ({is_open})",
                (*values, id),
            )
            entry = find_entry(connection, id) if changed.rowcount else None
            if entry is None:
                return ()
            connection.execute("UPDATE event SET change = ? WHERE id = ?", (next_change(connection), id))
            found.append(entry)
            announcement = Announcement(Kind.opinion, entry)
            self._enqueue(connection, announcement)
            return (announcement,)

        def kept() -> None:
            for entry in found:
                then(entry)

        self._later(write, kept)

"""Rows of the table ``event`` as entries, and the conditions of a query as SQL."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterable
from typing import Any

from streamrec.events.people.detections import KEYPOINTS
from streamrec.outputs.history.records import Entry, Judgment, Outcome
from streamrec.outputs.history.tables import SOUND
from streamrec.types import Forecast

COLUMNS = (
    "id, camera, model, label, started, ended, timestamp, confidence, repetitions, interrupted, "
    "clip, clip_started, thumbnail, person, box, keypoints, zone, rule, based_on, forecast, "
    "decision, decided_by, reason, held_until, judgment, opinion, judged_by"
)

_OUTCOMES = {str(outcome): outcome for outcome in Outcome}
_JUDGMENTS = tuple(map(str, Judgment))
_LISTS = ("box", "keypoints", "based_on")  # columns that hold JSON


def conditions_of(
    since: float | None,
    until: float | None,
    camera: str | Iterable[str] | None,
    label: str | Iterable[str] | None,
) -> tuple[list[str], list[Any]]:
    """The terms of a WHERE clause, to be joined by AND, and their values; damaged rows are left out."""
    where: list[str] = [SOUND]
    values: list[Any] = []
    if since is not None:
        where.append("(ended IS NULL OR ended >= ?)")
        values.append(since)
    if until is not None:
        where.append("started < ?")
        values.append(until)
    for column, wanted in (("camera", camera), ("label", label)):
        names = [wanted] if isinstance(wanted, str) else list(wanted or ())
        if names:
            where.append(f"{column} IN ({', '.join('?' * len(names))})")
            values += names
    return where, values


def row_of(entry: Entry) -> tuple[Any, ...]:
    """The values of an entry, in the order of ``COLUMNS``."""
    values = {name: as_utf8(getattr(entry, name)) for name in COLUMNS.split(", ")}
    values |= {name: json.dumps(value) if (value := getattr(entry, name)) else None for name in _LISTS}
    found = entry.forecast
    values["forecast"] = None if found is None else json.dumps([found.channel, found.reading, found.expected])
    return tuple(values.values())


def entry_of(row: tuple[Any, ...]) -> Entry:
    """The entry that a row of ``COLUMNS`` holds."""
    values = dict(zip(COLUMNS.split(", "), row, strict=True))
    keypoints = [_numbers(one, 3) for one in _listed(values["keypoints"])]
    values |= {
        "interrupted": bool(values["interrupted"]),
        "judgment": values["judgment"] if values["judgment"] in _JUDGMENTS else None,
        "decision": _OUTCOMES.get(values["decision"], Outcome.deliver),
        "based_on": tuple(id for id in _listed(values["based_on"]) if isinstance(id, str)),
        "box": _numbers(_listed(values["box"]), 4),
        "forecast": _forecast(_numbers(_listed(values["forecast"]), 3)),
        "keypoints": tuple(keypoints) if len(keypoints) == KEYPOINTS and None not in keypoints else None,
    }
    return Entry(**values)


def _listed(text: Any) -> list[Any]:
    """A list as JSON; empty for anything else, which another program wrote."""
    try:
        found = json.loads(text) if isinstance(text, str) else []
    except (ValueError, RecursionError):
        return []
    return found if isinstance(found, list) else []


def _numbers(values: Any, count: int) -> tuple[float, ...] | None:
    """So many finite numbers; None for anything else."""
    if not isinstance(values, list) or len(values) != count:
        return None
    fit = all(isinstance(one, int | float) and math.isfinite(one) for one in values)
    return tuple(map(float, values)) if fit else None


def _forecast(numbers: tuple[float, ...] | None) -> Forecast | None:
    return None if numbers is None else Forecast(int(numbers[0]), *numbers[1:])


def as_utf8(value: Any) -> Any:
    """A text with a lone surrogate (from a file name that is not UTF-8) escaped; other values unchanged."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def find_entry(connection: sqlite3.Connection, id: str) -> Entry | None:
    """The entry with this id; None where there is none."""
    row = connection.execute(f"SELECT {COLUMNS} FROM event WHERE id = ?", (id,)).fetchone()
    return None if row is None else entry_of(row)


def next_change(connection: sqlite3.Connection) -> int:
    """A new change number, within the transaction that writes the change."""
    connection.execute("UPDATE counter SET change = change + 1")
    row = connection.execute("SELECT max(change) FROM counter").fetchone()
    if row[0] is None:  # another program emptied the table
        connection.execute("INSERT INTO counter SELECT coalesce(max(change), 0) + 1 FROM event")
        row = connection.execute("SELECT max(change) FROM counter").fetchone()
    return int(row[0])

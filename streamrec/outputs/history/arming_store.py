"""What was chosen by hand about arming, kept in the history's file, and requests of other processes to choose.

The choices are a journal: each row is all that was in force from its moment on, so that an event that comes late is
decided by what was in force when it began. A request is a row that a command writes while another process has the
history open; that process takes it within a second, and writes its answer beside it.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from streamrec.errors import HistoryError
from streamrec.events.arming import ArmingState, Snooze
from streamrec.outputs.history.rows import as_utf8

_T = TypeVar("_T")
KEPT = 200  # choices
_REQUEST_SECONDS = 60.0  # for which a request and its answer are kept
_TABLES = (
    """CREATE TABLE IF NOT EXISTS arming (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,           -- from when on, seconds since 1970
    chosen_by TEXT NOT NULL,
    body TEXT NOT NULL          -- JSON: profile, until, snoozes
)""",
    """CREATE TABLE IF NOT EXISTS arming_request (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    made REAL NOT NULL,
    body TEXT NOT NULL,         -- JSON
    answer TEXT                 -- JSON; NULL: it was not taken yet
)""",
)


@dataclass(frozen=True, slots=True)
class Request:
    """What another process asks for."""

    number: int
    made: float  # seconds since 1970
    body: Any  # from JSON; None where it is none


class File(Protocol):
    """A history's file, as far as it is used here: ``History`` is one."""

    def transact(self, run: Callable[[sqlite3.Connection], _T]) -> _T:
        """Write in one transaction; raises ``HistoryError``."""

    def select(self, statement: str, values: Iterable[Any] = ()) -> list[Any]:
        """All rows of a SELECT; raises ``HistoryError``."""


class ArmingStore:
    """The tables about arming of a history that this process writes; every method raises ``HistoryError``."""

    def __init__(self, history: File) -> None:
        self._history = history
        history.transact(create)

    def load(self) -> tuple[ArmingState, ...]:
        """The newest choices, in order; rows that another program wrote or damaged are left out."""
        rows = self._history.select(
            "SELECT at, chosen_by, body FROM arming ORDER BY number DESC LIMIT ?", (KEPT,)
        )
        return tuple(state for row in reversed(rows) if (state := _state_of(*row)) is not None)

    def append(self, states: Iterable[ArmingState]) -> None:
        """Keep these choices, in order, beside those before."""
        rows = [(state.at, state.by, _body_of(state)) for state in states]

        def write(connection: sqlite3.Connection) -> None:
            create(connection)  # the file may be another one than at the start
            connection.executemany("INSERT INTO arming (at, chosen_by, body) VALUES (?, ?, ?)", rows)
            connection.execute(
                "DELETE FROM arming WHERE number <= (SELECT max(number) FROM arming) - ?", (KEPT,)
            )

        self._history.transact(write)

    def requests(self) -> list[Request]:
        """Requests that were not answered, in order."""
        rows = self._history.select(
            "SELECT number, made, body FROM arming_request WHERE answer IS NULL ORDER BY number LIMIT 100"
        )
        return [
            Request(number, made if isinstance(made, float) else 0.0, _json(body))
            for number, made, body in rows
        ]

    def answer(self, request: Request, answer: dict[str, Any], now: float) -> None:
        """Answer a request, and forget old ones."""

        def write(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE arming_request SET answer = ? WHERE number = ?", (json.dumps(answer), request.number)
            )
            connection.execute("DELETE FROM arming_request WHERE made < ?", (now - _REQUEST_SECONDS,))

        self._history.transact(write)


def create(connection: sqlite3.Connection) -> None:
    """Make the tables where they are missing."""
    for statement in _TABLES:
        connection.execute(statement)


def put_request(connection: sqlite3.Connection, body: dict[str, Any], now: float) -> int:
    """Write a request; its number."""
    found = connection.execute(
        "INSERT INTO arming_request (made, body) VALUES (?, ?)", (now, json.dumps(body))
    ).lastrowid
    if found is None:
        raise HistoryError("the request could not be written")
    return found


def answer_to(connection: sqlite3.Connection, number: int) -> Any:
    """The answer to a request; None: there is none yet."""
    row = connection.execute("SELECT answer FROM arming_request WHERE number = ?", (number,)).fetchone()
    return None if row is None or row[0] is None else _json(row[0])


def take_back(connection: sqlite3.Connection, number: int) -> None:
    """Remove a request that was not answered."""
    connection.execute("DELETE FROM arming_request WHERE number = ?", (number,))


def _body_of(state: ArmingState) -> str:
    snoozes = [[one.camera, one.label, None if math.isinf(one.until) else one.until] for one in state.snoozes]
    body = {"profile": state.profile, "until": state.until, "snoozes": snoozes}
    return str(as_utf8(json.dumps(body, ensure_ascii=False)))


def _state_of(at: Any, by: Any, text: Any) -> ArmingState | None:
    body = _json(text)
    try:
        snoozes = tuple(
            Snooze(camera=camera, label=label, until=math.inf if until is None else float(until))
            for camera, label, until in body["snoozes"]
            if isinstance(camera, str) and isinstance(label, str) and (until is None or math.isfinite(until))
        )
        until = body["until"]
        if not isinstance(body["profile"], str) or not (until is None or math.isfinite(until)):
            return None
        return ArmingState(at=float(at), by=str(by), profile=body["profile"], until=until, snoozes=snoozes)
    except (TypeError, KeyError, ValueError):
        return None


def _json(text: Any) -> Any:
    try:
        return json.loads(text) if isinstance(text, str) and len(text) < 1_000_000 else None
    except (ValueError, RecursionError):
        return None

"""The outbox: announcements that wait in the history's database until their receiver has taken them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from streamrec.outputs.history.records import Announcement, Kind, Message
from streamrec.outputs.history.rows import as_utf8

OUTBOX_DAYS = 30.0  # messages older than this are deleted: their receiver is not configured any more
_ANSWERS = " (answers)"  # behind the name of a receiver: its answers
_COLUMNS = "receiver, id, kind, made, body, attempts, due"
_ALL = f"{_COLUMNS}, held"


Wants = Callable[[dict[str, Any]], bool]  # whether a receiver wants a message, by its JSON


def enqueue(
    connection: sqlite3.Connection,
    receivers: Iterable[str],
    announcement: Announcement,
    now: float,
    wants: Mapping[str, Wants] = MappingProxyType({}),
) -> None:
    """Queue an announcement for each receiver that wants it, within the transaction that writes the event.

    What is not queued need not be taken out again, by a transaction for which the next event would wait.
    """
    given = announcement.to_dict()
    receivers = [name for name in receivers if name not in wants or wants[name](given)]
    if not receivers:
        return
    body = json.dumps(given, ensure_ascii=False, allow_nan=False)
    for receiver in receivers:
        connection.execute(
            "INSERT OR IGNORE INTO outbox (receiver, id, kind, made, body) VALUES (?, ?, ?, ?, ?)",
            (receiver, announcement.id, announcement.kind, now, as_utf8(body)),
        )


def waiting(
    read: Callable[[str, Iterable[Any]], list[Any]], receiver: str, limit: int, *, held: bool = False
) -> list[Message]:
    """The queue of a receiver, the oldest message first; or what is ``held`` back from it."""
    rows = read(
        f"SELECT number, {_COLUMNS} FROM outbox WHERE receiver = ? AND held = ? ORDER BY number LIMIT ?",
        (receiver, int(held), limit),
    )
    return [
        Message(number, receiver, id, Kind(kind), made, body, attempts, due)
        for number, receiver, id, kind, made, body, attempts, due in rows
    ]


def remove(connection: sqlite3.Connection, message: Message) -> None:
    """Take a message out of the queue."""
    connection.execute("DELETE FROM outbox WHERE receiver = ? AND id = ?", (message.receiver, message.id))


def hold_back(connection: sqlite3.Connection, message: Message) -> None:
    """Keep a message for the summary that a later one carries."""
    connection.execute(
        "UPDATE outbox SET held = 1 WHERE receiver = ? AND id = ?", (message.receiver, message.id)
    )


def postpone(connection: sqlite3.Connection, message: Message, due: float) -> None:
    """Count a failed attempt; the next one is due at ``due``, seconds since 1970."""
    connection.execute(
        "UPDATE outbox SET attempts = attempts + 1, due = ? WHERE receiver = ? AND id = ?",
        (due, message.receiver, message.id),
    )


def keep_answer(connection: sqlite3.Connection, receiver: str, id: str, text: str, now: float) -> None:
    """Keep what a receiver answered about an event, in a row that is no message: no receiver has its name."""
    connection.execute(
        "INSERT OR REPLACE INTO outbox (receiver, id, kind, made, body) VALUES (?, ?, '', ?, ?)",
        (f"{receiver}{_ANSWERS}", id, now, text),
    )


def answer(read: Callable[[str, Iterable[Any]], list[Any]], receiver: str, id: str) -> str | None:
    """What a receiver answered about an event; None: nothing is kept."""
    rows = read("SELECT body FROM outbox WHERE receiver = ? AND id = ?", (f"{receiver}{_ANSWERS}", id))
    return str(rows[0][0]) if rows else None


def drop_answer(connection: sqlite3.Connection, receiver: str, id: str) -> None:
    """What a receiver answered about an event is needed no more."""
    connection.execute("DELETE FROM outbox WHERE receiver = ? AND id = ?", (f"{receiver}{_ANSWERS}", id))


def dump(connection: sqlite3.Connection) -> list[tuple[Any, ...]]:
    """All messages, to be restored in another file."""
    return connection.execute(f"SELECT {_ALL} FROM outbox ORDER BY number").fetchall()


def restore(connection: sqlite3.Connection, rows: Iterable[tuple[Any, ...]]) -> None:
    """Queue the messages of a ``dump``."""
    for row in rows:
        connection.execute(f"INSERT OR IGNORE INTO outbox ({_ALL}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)


def prune(connection: sqlite3.Connection, before: float) -> None:
    """Delete messages written before this moment: a configured receiver has given them up earlier."""
    connection.execute("DELETE FROM outbox WHERE made < ?", (before,))

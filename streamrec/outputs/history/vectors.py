"""Vectors of events: how like two events are, by the features of the model that reported them.

A vector is the mean of what the model's last layer read over the event's seconds, of length 1. Where that is wide, it
is projected onto fewer numbers at random, which keeps angles nearly as they are (Johnson and Lindenstrauss, 1984). It
stands in a table beside the events, and the database deletes it with its event.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from streamrec.outputs.history.records import Entry
from streamrec.outputs.history.rows import COLUMNS, conditions_of, entry_of
from streamrec.outputs.history.tables import SOUND

MOST_NUMBERS = 512  # of a vector
PROJECTED = 256  # numbers of one whose features are more than that
_CENTER_FROM = 2_000  # vectors whose mean is subtracted from each, the newest
_CENTER_LEAST = 20  # with fewer nothing is subtracted

_Read = Callable[[str, Iterable[Any]], list[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class EventVector:
    """The vector of one event."""

    kind: str  # names the model's weights: only vectors of one kind are compared
    values: np.ndarray  # (D,) float32 of length 1, D at most ``MOST_NUMBERS``


@dataclass(frozen=True, slots=True, kw_only=True)
class Similar:
    """The events that are most like one, the most similar first."""

    found: tuple[tuple[Entry, float], ...] = ()  # with the cosine, from -1 to 1
    compared: int = 0  # events
    others: int = 0  # events that cannot be compared: they have no vector, or one of another model
    reason: str = ""  # why nothing could be compared, as a sentence; "": it was


def vector_of(kind: str, features: np.ndarray) -> EventVector | None:
    """The vector of these features (D,); None where they are all zero.

    >>> vector_of("a", np.array([3.0, 4.0])).values.tolist()
    [0.6000000238418579, 0.800000011920929]
    """
    values = features.astype(np.float32)
    if len(values) > MOST_NUMBERS:
        values = values @ _projection(len(values))
    length = float(np.linalg.norm(values))
    return EventVector(kind, values / length) if np.isfinite(length) and length > 0 else None


@cache
def _projection(width: int) -> np.ndarray:
    """(width, PROJECTED) float32 of plus and minus one: the same in every process and version."""
    bits = np.frombuffer(hashlib.shake_128(b"streamrec vectors").digest(width * PROJECTED // 8), np.uint8)
    return np.unpackbits(bits).reshape(width, PROJECTED).astype(np.float32) * 2 - 1


def write(connection: sqlite3.Connection, id: str, vector: EventVector) -> None:
    """Keep the vector of an event, within a transaction; nothing where there is no such event."""
    connection.execute(
        "INSERT OR REPLACE INTO vector (event, kind, data) SELECT id, ?, ? FROM event WHERE id = ?",
        (vector.kind, vector.values.astype(np.float16).tobytes(), id),
    )


def similar(
    read: _Read,
    entry: Entry,
    *,
    since: float | None = None,
    until: float | None = None,
    camera: str | Iterable[str] | None = None,
    label: str | Iterable[str] | None = None,
    limit: int = 12,
) -> Similar:
    """The events most like this one, among those that a query with the same conditions has."""
    if entry.rule is not None:
        return Similar(reason="a rule reports this event: ask for events like those that it is based on")
    own = read(
        "SELECT kind, data FROM vector WHERE event = ? AND typeof(kind) = 'text' AND typeof(data) = 'blob' "
        "AND length(data) > 0 AND length(data) % 2 = 0",
        (entry.id,),
    )
    if not own:
        return Similar(reason=_without(entry))
    kind, size = own[0][0], len(own[0][1])
    where, values = conditions_of(since, until, camera, label)
    is_restricted = (
        len(where) > 1
    )  # besides that a row is sound: of all events that is checked of what is found
    if not is_restricted:
        where = ["TRUE"]
    terms = "kind = ? AND typeof(data) = 'blob' AND length(data) = ? AND event != ?"
    if is_restricted:
        terms += f" AND event IN (SELECT id FROM event WHERE {' AND '.join(where)})"
    # Numbers of rows in place of ids: 100,000 texts would take longer than the comparison.
    rows = read(
        f"SELECT rowid, data FROM vector WHERE {terms}",
        (kind, size, entry.id, *(values if is_restricted else ())),
    )
    (number,) = read(
        f"SELECT count(*) FROM event WHERE {' AND '.join(where)} AND id != ?", (*values, entry.id)
    )[0]
    if not rows:
        return Similar(others=number)
    scores = _cosines(own[0][1], [row[1] for row in rows], _newest(read, kind, size))
    found = []
    for n in np.argsort(-scores, kind="stable")[: max(0, limit)]:
        entries = read(
            f"SELECT {COLUMNS} FROM event WHERE id = (SELECT event FROM vector WHERE rowid = ?) AND {SOUND}",
            (rows[n][0],),
        )
        found += [(entry_of(row), float(scores[n])) for row in entries]
    return Similar(found=tuple(found), compared=len(rows), others=max(0, number - len(rows)))


def _without(entry: Entry) -> str:
    """Why an event has no vector."""
    if entry.ended is None:
        return "this event still runs: ask again when it has ended"
    return (
        "nothing is kept of this event that others can be compared with: it was reported before that was kept, "
        "by a model whose features are not at hand, on another machine, or streamrec was ended before it was"
    )


def _newest(read: _Read, kind: str, size: int) -> list[bytes]:
    """The newest vectors of a kind."""
    rows = read(
        "SELECT data FROM vector WHERE kind = ? AND typeof(data) = 'blob' AND length(data) = ? "
        "ORDER BY event DESC LIMIT ?",
        (kind, size, _CENTER_FROM),
    )
    return [row[0] for row in rows]


def _cosines(own: bytes, others: list[bytes], sample: list[bytes]) -> np.ndarray:
    """(N,) cosines of vectors around the mean of a sample; of damaged ones -1."""
    target, rows = _matrix([own])[0], _matrix(others)
    center = np.zeros_like(target)
    if len(sample) >= _CENTER_LEAST:
        center = np.nan_to_num(_matrix(sample), posinf=0.0, neginf=0.0).mean(axis=0)
    target = target - center
    # (x - c)(t - c) and the length of x - c, without a copy of all vectors.
    with np.errstate(all="ignore"):
        products = rows @ np.stack([target, center], axis=1)
        squares = np.einsum("nd,nd->n", rows, rows) - 2 * products[:, 1] + center @ center
        scores = (products[:, 0] - center @ target) / np.sqrt(squares * (target @ target))
    return np.where(np.isfinite(scores), np.clip(scores, -1.0, 1.0), -1.0)


def _matrix(blobs: list[bytes]) -> np.ndarray:
    """(N, D) float32."""
    return np.frombuffer(b"".join(blobs), np.float16).reshape(len(blobs), -1).astype(np.float32)

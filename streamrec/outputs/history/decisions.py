"""Whether receivers are notified of an event: decided once, in the transaction that writes it, and kept with it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

from streamrec.outputs.history.records import DECIDED, Announcement, Decision, Entry, Kind, Outcome
from streamrec.outputs.history.rows import as_utf8, find_entry, next_change

Decide: TypeAlias = Callable[[Entry], Decision]


def decided(entry: Entry, known: Entry | None, decide: Decide) -> Entry:
    """An entry with what was decided when it was written first (``known``), or else with what is decided now."""
    if known is not None:
        return replace(entry, **{name: getattr(known, name) for name in DECIDED})
    if entry.decided_by is not None:  # an event from elsewhere, which is kept as it is
        return entry
    return _with(entry, decide(entry))


def _with(entry: Entry, decision: Decision) -> Entry:
    return replace(
        entry,
        decision=decision.outcome,
        decided_by=decision.by or None,
        reason=decision.reason or None,
        held_until=decision.until,
    )


def settle(
    connection: sqlite3.Connection, id: str, decision: Decision
) -> tuple[Entry | None, tuple[Announcement, ...]]:
    """Replace the decision of an event that is held; the event, and what may be sent of it now.

    None where it is not held any more. Of an event that is delivered late, each of its announcements so far follows.
    """
    entry = find_entry(connection, id)
    if entry is None or entry.decision is not Outcome.hold:
        return None, ()
    entry = _with(entry, decision)
    connection.execute(
        "UPDATE event SET decision = ?, decided_by = ?, reason = ?, held_until = ?, change = ? WHERE id = ?",
        (
            str(entry.decision), as_utf8(entry.decided_by), as_utf8(entry.reason), entry.held_until,
            next_change(connection), id,
        ),
    )  # fmt: skip
    if entry.decision is not Outcome.deliver:
        return entry, ()
    kinds = [Kind.started]
    kinds += [Kind.ended] if entry.ended is not None else []
    kinds += [Kind.evidence] if entry.clip is not None else []
    return entry, tuple(Announcement(kind, _as_of(kind, entry)) for kind in kinds)


def _as_of(kind: Kind, entry: Entry) -> Entry:
    """The entry as the announcement of this kind has it: the first one of an event does not know its end."""
    if kind is not Kind.started:
        return entry
    return replace(entry, ended=None, repetitions=None, interrupted=False)

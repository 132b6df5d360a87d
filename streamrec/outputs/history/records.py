"""What the history holds: one entry an event, and what is to be sent on."""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One event, as the history has it: it runs, or it is over."""

    id: str  # unique, and sorted as the events began
    camera: str
    model: str
    label: str
    started: float  # seconds since 1970
    ended: float | None = None  # None: it still runs
    timestamp: float | None = None  # started, on the source's own clock: where it is in a video
    confidence: float  # when it was told while it runs, the highest afterwards
    repetitions: int | None = None
    interrupted: bool = False  # streamrec was ended before the event was: ``ended`` is the last time known
    clip: str | None = None  # path of the evidence, when it is written
    clip_started: float | None = None  # the moment that its first picture shows, seconds since 1970
    thumbnail: str | None = None

    @property
    def duration(self) -> float | None:
        """Seconds from start to end; None while it runs."""
        return None if self.ended is None else self.ended - self.started

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it, everywhere: times in ISO 8601 (UTC), numbers rounded.

        >>> Entry(id="1", camera="door", model="fight", label="fight", started=0.5, confidence=0.9).to_dict()["started"]
        '1970-01-01T00:00:00.500+00:00'
        """
        values = asdict(self)
        for name in ("started", "ended", "clip_started"):
            values[name] = None if values[name] is None else iso(values[name])
        values["duration"] = None if self.duration is None else round(self.duration, 3)
        values["timestamp"] = None if self.timestamp is None else round(self.timestamp, 6)
        values["confidence"] = round(self.confidence, 4)
        return values


class Kind(StrEnum):
    """What is told of an event; each once."""

    started = "started"
    ended = "ended"
    evidence = "evidence"  # its clip or thumbnail is written


@dataclass(frozen=True, slots=True)
class Announcement:
    """Something that may be told now, because it is on the disk."""

    kind: Kind
    entry: Entry

    @property
    def id(self) -> str:
        """The same however often it is told."""
        return f"{self.entry.id}-{self.kind}"

    def to_dict(self) -> dict[str, Any]:
        """As webhooks and MQTT send it."""
        return {
            "type": "event", "version": 1, "id": self.id, "event": str(self.kind), "data": self.entry.to_dict()
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Message:
    """An announcement that waits to be sent to a receiver."""

    number: int  # in the order in which they are to be sent
    receiver: str
    id: str  # the announcement's: who gets it twice knows it by this
    kind: Kind
    made: float  # seconds since 1970
    body: str  # JSON
    attempts: int
    due: float  # seconds since 1970: not before


def new_id(started: float) -> str:
    """An id for an event that began then: unique, and sorted by the time.

    >>> new_id(1.0) < new_id(2.0)
    True
    """
    return f"{max(0, round(started * 1000)):012x}-{secrets.token_hex(4)}"


def iso(moment: float) -> str:
    """Seconds since 1970 in ISO 8601, to a millisecond, UTC.

    >>> iso(0.0)
    '1970-01-01T00:00:00.000+00:00'
    """
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")

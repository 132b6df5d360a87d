"""The records of a history: an event's entry, the announcement of a change to it, and a message in the outbox."""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from streamrec.types import Forecast, Result


class Outcome(StrEnum):
    """What becomes of an event that is committed."""

    deliver = "deliver"  # receivers are notified of it
    keep = "keep"  # it is in the history, and no receiver is notified
    hold = "hold"  # no receiver is notified yet: another decision follows, or a time-out passes


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether receivers are notified of an event, and why not."""

    outcome: Outcome = Outcome.deliver
    by: str = ""  # which part of the gate decided so, such as "arming"; "": nothing stood against it
    reason: str = ""  # a clause for people
    until: float | None = None  # of a hold: when its time-out passes, seconds since 1970


DELIVER = Decision()
DECIDED = (
    "decision",
    "decided_by",
    "reason",
    "held_until",
)  # the fields of an ``Entry`` that hold a decision


class Judgment(StrEnum):
    """What a second opinion answers about an event."""

    yes = "yes"  # it happened
    no = "no"
    unsure = "unsure"
    unjudged = "unjudged"  # the model did not answer, or was not asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One event of the history: running or over."""

    id: str  # unique; sorts by the start of the event
    camera: str
    model: str
    label: str
    started: float  # seconds since 1970
    ended: float | None = None  # None: still running
    timestamp: float | None = None  # of the start, on the source's own clock: its position in a video
    confidence: float  # at the start while it runs, the peak afterwards
    repetitions: int | None = None
    interrupted: bool = False  # streamrec ended before the event did: ``ended`` is the last known time
    clip: str | None = None  # path of the video, once it is written
    clip_started: float | None = None  # time of its first frame, seconds since 1970
    thumbnail: str | None = None
    # Who did it, by the camera's number, and where they were at the start, as in ``types.Person``; None: it is of the
    # whole picture.
    person: int | None = None
    box: tuple[float, ...] | None = None
    keypoints: tuple[tuple[float, ...], ...] | None = None
    zone: str | None = None  # in which it began; None: in none, or the camera has no zones
    rule: str | None = None  # the rule that reports it; None: a model, a line or the counter does
    based_on: tuple[str, ...] = ()  # of a rule's: the ids of the events that it is based on
    # Of an anomaly: the number of the channel, its reading when it began, and what was forecast; None: of no forecast.
    forecast: Forecast | None = None
    decision: Outcome = Outcome.deliver  # whether receivers are notified of it, as in ``Decision``
    decided_by: str | None = None
    reason: str | None = None
    held_until: float | None = None
    judgment: str | None = None  # of a second opinion, as in ``Judgment``; None: none was asked for
    opinion: str | None = None  # what the model describes; of an event that is unjudged, why
    judged_by: str | None = None  # the model, and the host that runs it

    @property
    def duration(self) -> float | None:
        """Seconds from start to end; None while it runs."""
        return None if self.ended is None else self.ended - self.started

    def to_dict(self) -> dict[str, Any]:
        """The event's JSON, the same everywhere: times in ISO 8601 (UTC), numbers rounded.

        >>> Entry(id="1", camera="door", model="fight", label="fight", started=0.5, confidence=0.9).to_dict()["started"]
        '1970-01-01T00:00:00.500+00:00'
        """
        values = asdict(self)
        for name in ("started", "ended", "clip_started", "held_until"):
            values[name] = None if values[name] is None else iso(values[name])
        values["duration"] = None if self.duration is None else round(self.duration, 3)
        values["timestamp"] = None if self.timestamp is None else round(self.timestamp, 6)
        values["confidence"] = round(self.confidence, 4)
        values["decision"] = str(self.decision)
        values["based_on"] = list(self.based_on)
        values["forecast"] = None if self.forecast is None else self.forecast.to_dict()
        values["box"] = None if self.box is None else list(self.box)
        values["keypoints"] = None if self.keypoints is None else [list(one) for one in self.keypoints]
        return values


class Kind(StrEnum):
    """The kinds of announcements of an event; each comes once."""

    started = "started"
    ended = "ended"
    evidence = "evidence"  # its clip or thumbnail is written
    opinion = "opinion"  # a second opinion on it is there


@dataclass(frozen=True, slots=True)
class Announcement:
    """A change of an event that may be sent, because it is committed."""

    kind: Kind
    entry: Entry

    @property
    def id(self) -> str:
        """The same however often it is sent."""
        return f"{self.entry.id}-{self.kind}"

    def to_dict(self) -> dict[str, Any]:
        """The JSON that webhooks and MQTT send."""
        return {
            "type": "event", "version": 1, "id": self.id, "event": str(self.kind), "data": self.entry.to_dict()
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Message:
    """An announcement that waits in the outbox for one receiver."""

    number: int  # the order of sending
    receiver: str
    id: str  # the announcement's: a receiver recognizes a duplicate by it
    kind: Kind
    made: float  # seconds since 1970
    body: str  # JSON
    attempts: int
    due: float  # seconds since 1970: not to be sent before

    @property
    def event(self) -> str:
        """The id of the event that it is about."""
        return self.id.removesuffix(f"-{self.kind}")


@dataclass(frozen=True, slots=True, eq=False)
class RemoteResult(Result):
    """A result that was made on another machine; its frame has the size of the picture, and no pixels.

    ``entries`` are those of its events, in order: with ids that are the same however often a stretch of a stream is
    recognized again (``event_id``), and times by the head's clock.
    """

    entries: tuple[tuple[Kind, Entry], ...] = ()
    seen: float = 0.0  # when the frame was captured, seconds since 1970 by the head's clock


def new_id(started: float) -> str:
    """A unique id for an event that began at this time; ids sort by time.

    >>> new_id(1.0) < new_id(2.0)
    True
    """
    return f"{max(0, round(started * 1000)):012x}-{secrets.token_hex(4)}"


def event_id(started: float, *key: object) -> str:
    """The id of an event that began at this time: the same wherever and however often it is recognized.

    ``key``: what it is, and its onset on the source's clock.

    >>> event_id(1.0, "door", "fight", 4.0)
    '0000000003e8-402f0c21'
    """
    digest = hashlib.blake2b(json.dumps(key).encode(), digest_size=4).hexdigest()
    return f"{max(0, round(started * 1000)):012x}-{digest}"


def iso(moment: float) -> str:
    """Seconds since 1970 in ISO 8601, to a millisecond, UTC.

    >>> iso(0.0)
    '1970-01-01T00:00:00.000+00:00'
    """
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")

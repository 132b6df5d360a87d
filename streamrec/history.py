"""The history of events: one SQLite file, one row an event, committed before anybody is told.

**What others may build on.** ``Entry`` is one event. ``History(path)`` writes, one process at a time;
``History(path, read_only=True)`` reads beside it, from any process. Both have ``query`` (newest first, page by
page: ``after=entries[-1].id``), ``get``, ``changes`` (what is new or other since a number, to follow it live),
``cameras`` and ``labels``. All methods may be called from any thread. Times are seconds since 1970 (UTC);
``Entry.to_dict`` says them in ISO 8601, the same words everywhere: JSON, CSV, webhooks, MQTT.

**What it promises.** ``record`` returns only what is on the disk: whoever tells an event after it returned never
tells one that a kill can take back. What is to be sent on (``receivers``) is queued in the same transaction and
leaves the queue when it has arrived. An event that a killed process left open is ended at the next start, at the
last moment at which it was known to run, and is marked ``interrupted``.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import secrets
import sqlite3
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import IO, Any

from streamrec.closing import Closing
from streamrec.errors import HistoryError
from streamrec.types import ActionEnded, ActionStarted, Event, Frame, Result

LAYOUT = 1  # of the tables, kept in PRAGMA user_version; a newer one is refused, an older one is brought up
_MARK = 0x73726563  # PRAGMA application_id: "srec"
_BEAT_SECONDS = 2.0  # how exactly the end of an event is known that a kill left open
_RETRY_SECONDS = 1.0  # between two tries while the disk is full
_PRUNE_SECONDS = 3600.0
_OUTBOX_DAYS = 30.0
_MOST_PENDING = 10_000  # changes kept in memory while the file cannot be written
_DAY = 86_400.0

_TABLES = """
CREATE TABLE event (
    id TEXT PRIMARY KEY,        -- grows with the start: to sort and to page by
    camera TEXT NOT NULL,
    model TEXT NOT NULL,
    label TEXT NOT NULL,
    started REAL NOT NULL,      -- seconds since 1970
    ended REAL,                 -- NULL: it still runs
    seen REAL NOT NULL,         -- when it was last known to run
    timestamp REAL,             -- started, on the source's own clock
    confidence REAL NOT NULL,
    repetitions INTEGER,
    interrupted INTEGER NOT NULL DEFAULT 0,
    clip TEXT,
    clip_started REAL,
    thumbnail TEXT,
    change INTEGER NOT NULL     -- the number of its last change
);
CREATE INDEX event_by_camera ON event (camera, id);
CREATE INDEX event_by_label ON event (label, id);
CREATE INDEX event_by_change ON event (change);
CREATE INDEX event_open ON event (id) WHERE ended IS NULL;
CREATE TABLE counter (change INTEGER NOT NULL);
INSERT INTO counter VALUES (0);
CREATE TABLE outbox (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    receiver TEXT NOT NULL,
    id TEXT NOT NULL,           -- the same however often it is sent
    kind TEXT NOT NULL,
    made REAL NOT NULL,
    body TEXT NOT NULL,         -- JSON: the event as it was then
    attempts INTEGER NOT NULL DEFAULT 0,
    due REAL NOT NULL DEFAULT 0,
    UNIQUE (receiver, id)
);
"""
_COLUMNS = (
    "id, camera, model, label, started, ended, timestamp, confidence, repetitions, interrupted, "
    "clip, clip_started, thumbnail"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HistorySettings:
    """The ``[history]`` table of cameras.toml."""

    file: str = field(default="events.db", metadata={"path": True})
    keep_days: float = 90.0  # 0: for ever


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


class History(Closing):
    """One file of events. The one that writes is alone with it; readers come and go beside it.

    ``receivers``: names for which each announcement is queued (``waiting``, ``arrived``, ``postpone``).
    Raises ``HistoryError``, in a sentence, where the file is damaged, written by a newer streamrec, in use, or
    cannot be written.

    >>> import tempfile; folder = tempfile.TemporaryDirectory()
    >>> with History(f"{folder.name}/events.db") as history:
    ...     history.add(Entry(id=new_id(1.0), camera="door", model="fight", label="fight", started=1.0, confidence=0.9))
    ...     [entry.label for entry in history.query(camera="door")]
    ['fight']
    >>> folder.cleanup()
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        read_only: bool = False,
        receivers: Iterable[str] = (),
        keep_days: float = 0.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not isinstance(path, str | os.PathLike):
            raise HistoryError(f"a history is a file: give its path, not {type(path).__name__}")
        self.path = Path(path)
        self.receivers = tuple(receivers)
        self.keep_days = keep_days
        self.recovered: tuple[Announcement, ...] = ()  # events that the last process left open
        self._clock = clock
        self._lock, self._reading = threading.RLock(), threading.RLock()
        self._pending: deque[tuple[Kind, Entry]] = deque(maxlen=_MOST_PENDING)
        self._open: dict[tuple[str, str], Entry] = {}  # (camera, label): what runs
        self._seen: dict[str, float] = {}  # camera: seconds since 1970 of its last result
        self._zeros: dict[str, tuple[int, float]] = {}  # of a film: its segment, and when its clock was at 0
        self._beaten = self._pruned = self._failed = -math.inf  # time.monotonic()
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self._guard: IO[bytes] | None = None
        try:
            with self._said():
                if not read_only:
                    self._guard = _alone_with(self.path)
                    self._writer = self._begin_writing()
                elif not self.path.is_file():
                    raise HistoryError(
                        f"there is no history at {self.path}; `streamrec watch` and `run` write one with --history"
                    )
                self._reader = _connect(self.path, "ro")
                _check_layout(self._reader, self.path)
            if not read_only:
                self._recover()
                self._prune()
        except BaseException:
            self._let_go()
            raise

    def _begin_writing(self) -> sqlite3.Connection:
        connection = _connect(self.path, "rwc")
        self._writer = connection  # closed should the rest fail
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # a power cut loses nothing either
        if _is_empty(connection):
            with _transaction(connection):
                for statement in _TABLES.split(";\n"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {_MARK}")
                connection.execute(f"PRAGMA user_version = {LAYOUT}")
        _check_layout(connection, self.path)
        return connection

    @contextlib.contextmanager
    def _said(self) -> Iterator[None]:
        """SQLite's errors as sentences."""
        try:
            yield
        except sqlite3.Error as error:
            raise HistoryError(_in_words(self.path, error)) from error

    # -- writing

    def record(self, result: Result, model: str = "", *, live: bool = True) -> tuple[Announcement, ...]:
        """Keep what began and ended with a result; what may be told now, in order.

        Of a source that is not ``live`` the times are those of a film that began with its first result and runs
        at its own speed, however fast it is read.

        Where the file cannot be written (a full disk), it raises ``HistoryError`` and keeps in memory what
        happened: a later call writes and returns it.
        """
        camera = result.frame.source
        with self._lock:
            wall = self._wall_time(result.frame, live)
            self._seen[camera] = wall
            for event in result.events:
                self._pending.append(self._change(event, event.source or camera, model, wall, result.frame))
            return self._work(urgent=bool(result.events))

    def tick(self) -> tuple[Announcement, ...]:
        """What is to be done now and then although nothing happens; call it every second or so."""
        with self._lock:
            return self._work(urgent=False)

    def add(self, entry: Entry) -> None:
        """Keep an event that came from elsewhere, as it is."""
        with self._lock:
            self._pending.append((Kind.started if entry.ended is None else Kind.ended, entry))
            self._work(urgent=True)

    def attach(
        self,
        id: str,
        *,
        clip: str | os.PathLike[str] | None = None,
        clip_started: float | None = None,
        thumbnail: str | os.PathLike[str] | None = None,
    ) -> Announcement | None:
        """Say where the evidence of an event is; None where there is no such event (any more)."""
        values = [None if path is None else os.fspath(path) for path in (clip, thumbnail)]
        with self._lock, self._said(), self._transaction() as connection:
            connection.execute(
                "UPDATE event SET clip = coalesce(?, clip), thumbnail = coalesce(?, thumbnail), "
                "clip_started = coalesce(?, clip_started), change = ? WHERE id = ?",
                (*values, clip_started, _next_change(connection), id),
            )
            entry = _entry_of(connection, id)
            if entry is None:
                return None
            announcement = Announcement(Kind.evidence, entry)
            if clip is not None:  # a thumbnail alone is no news
                self._queue(connection, announcement)
            return announcement

    def forget_files(self, paths: Iterable[str | os.PathLike[str]]) -> None:
        """These clips and thumbnails are there no more."""
        gone = [(os.fspath(path),) for path in paths]
        with self._lock, self._said(), self._transaction() as connection:
            change = _next_change(connection)
            for column in ("clip", "thumbnail"):
                statement = f"UPDATE event SET {column} = NULL, change = {change} WHERE {column} = ?"
                connection.executemany(statement, gone)

    def _wall_time(self, frame: Frame, live: bool) -> float:
        """When the picture was in hand, seconds since 1970."""
        now = self._clock()
        wall = now - max(0.0, time.monotonic() - frame.captured) if frame.captured else now
        if live or not math.isfinite(frame.timestamp):
            return wall
        segment, zero = self._zeros.get(frame.source, (None, 0.0))
        if segment != frame.segment:
            zero = wall - frame.timestamp
            self._zeros[frame.source] = frame.segment, zero
        return zero + frame.timestamp

    def _change(self, event: Event, camera: str, model: str, wall: float, frame: Frame) -> tuple[Kind, Entry]:
        key = (camera, event.label)
        began = event.timestamp if isinstance(event, ActionStarted) else event.started
        entry = self._open.pop(key, None)
        if entry is None:  # it begins; or its beginning was never told
            lag = frame.timestamp - began
            started = wall - (lag if math.isfinite(lag) and lag > 0 else 0.0)
            entry = Entry(
                id=new_id(started), camera=camera, model=model, label=event.label, started=started,
                timestamp=began if math.isfinite(began) else None, confidence=event.confidence,
            )  # fmt: skip
        if isinstance(event, ActionEnded):
            lasted = event.duration if math.isfinite(event.duration) else 0.0
            return Kind.ended, replace(
                entry,
                ended=entry.started + max(0.0, lasted),
                confidence=event.confidence,
                repetitions=event.repetitions,
            )
        self._open[key] = entry
        return Kind.started, entry

    def _work(self, *, urgent: bool) -> tuple[Announcement, ...]:
        now = time.monotonic()
        beat = bool(self._open) and now - self._beaten >= _BEAT_SECONDS
        if not (urgent or beat or self._pending) or (now - self._failed < _RETRY_SECONDS and not urgent):
            if now - self._pruned >= _PRUNE_SECONDS:
                self._prune()
            return ()
        try:
            with self._said():
                announcements = self._write()
        except HistoryError:
            self._failed = now
            raise
        self._beaten, self._failed = now, -math.inf
        self._pending.clear()
        return announcements

    def _write(self) -> tuple[Announcement, ...]:
        announcements = []
        with self._transaction() as connection:
            for kind, entry in self._pending:
                change = _next_change(connection)
                seen = max(entry.started, self._seen.get(entry.camera, entry.started))
                connection.execute(
                    f"INSERT INTO event ({_COLUMNS}, seen, change) VALUES (?{', ?' * 14}) "
                    "ON CONFLICT (id) DO UPDATE SET ended = excluded.ended, confidence = excluded.confidence, "
                    "repetitions = excluded.repetitions, interrupted = excluded.interrupted, "
                    "seen = excluded.seen, change = excluded.change",
                    (*_row_of(entry), seen, change),
                )
                announcement = Announcement(kind, _entry_of(connection, entry.id) or entry)
                self._queue(connection, announcement)
                announcements.append(announcement)
            for entry in self._open.values():
                seen = self._seen.get(entry.camera, entry.started)
                connection.execute("UPDATE event SET seen = max(seen, ?) WHERE id = ?", (seen, entry.id))
        return tuple(announcements)

    def _queue(self, connection: sqlite3.Connection, announcement: Announcement) -> None:
        body = json.dumps(announcement.to_dict(), ensure_ascii=False, allow_nan=False)
        for receiver in self.receivers:
            connection.execute(
                "INSERT OR IGNORE INTO outbox (receiver, id, kind, made, body) VALUES (?, ?, ?, ?, ?)",
                (receiver, announcement.id, announcement.kind, self._clock(), body),
            )

    def end_open(self) -> tuple[Announcement, ...]:
        """End what still runs, as interrupted, at the last moment at which it was known to run."""
        with self._lock, self._said(), self._transaction() as connection:
            self._open.clear()
            ids = [id for (id,) in connection.execute("SELECT id FROM event WHERE ended IS NULL ORDER BY id")]
            told = []
            for id in ids:
                connection.execute(
                    "UPDATE event SET ended = max(seen, started), interrupted = 1, change = ? WHERE id = ?",
                    (_next_change(connection), id),
                )
                entry = _entry_of(connection, id)
                assert entry is not None
                told.append(Announcement(Kind.ended, entry))
                self._queue(connection, told[-1])
            return tuple(told)

    def _recover(self) -> None:
        self.recovered = self.end_open()

    def _prune(self) -> None:
        self._pruned = time.monotonic()
        now = self._clock()
        with self._said(), self._transaction() as connection:
            if self.keep_days > 0:
                connection.execute("DELETE FROM event WHERE ended < ?", (now - self.keep_days * _DAY,))
            # A receiver that is configured gives up earlier; this is for one that is not any more.
            connection.execute("DELETE FROM outbox WHERE made < ?", (now - _OUTBOX_DAYS * _DAY,))

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        if self._writer is None:
            raise HistoryError(f"{self.path} is closed, or only read: open it to write")
        with _transaction(self._writer):
            yield self._writer

    # -- what waits to be sent

    def waiting(self, receiver: str, limit: int = 100) -> list[Message]:
        """What is queued for a receiver, the oldest first, whether it is due or not."""
        rows = self._read(
            "SELECT number, receiver, id, kind, made, body, attempts, due FROM outbox "
            "WHERE receiver = ? ORDER BY number LIMIT ?",
            (receiver, limit),
        )
        return [
            Message(number, receiver, id, Kind(kind), made, body, attempts, due)
            for number, receiver, id, kind, made, body, attempts, due in rows
        ]

    def arrived(self, message: Message) -> None:
        """It was taken, or nobody wants it: it leaves the queue."""
        with self._lock, self._said(), self._transaction() as connection:
            connection.execute("DELETE FROM outbox WHERE number = ?", (message.number,))

    def postpone(self, message: Message, seconds: float) -> None:
        """It was tried in vain, and is due again in so many seconds."""
        with self._lock, self._said(), self._transaction() as connection:
            connection.execute(
                "UPDATE outbox SET attempts = attempts + 1, due = ? WHERE number = ?",
                (self._clock() + seconds, message.number),
            )

    # -- reading

    def query(
        self,
        *,
        since: float | None = None,
        until: float | None = None,
        camera: str | Iterable[str] | None = None,
        label: str | Iterable[str] | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> list[Entry]:
        """Events, the newest first: those that touch the time from ``since`` to ``until`` (seconds since 1970).

        ``after``: the id of the last entry of the page before.
        """
        where, values = _conditions(since, until, camera, label)
        if after is not None:
            where.append("id < ?")
            values.append(after)
        clause = f"WHERE {' AND '.join(where)}" if where else ""
        rows = self._read(
            f"SELECT {_COLUMNS} FROM event {clause} ORDER BY id DESC LIMIT ?", (*values, max(0, limit))
        )
        return [_entry(row) for row in rows]

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
        where, values = _conditions(since, until, camera, label)
        clause = f"WHERE {' AND '.join(where)}" if where else ""
        return int(self._read(f"SELECT count(*) FROM event {clause}", values)[0][0])

    def get(self, id: str) -> Entry | None:
        """One event; None where there is none (any more)."""
        rows = self._read(f"SELECT {_COLUMNS} FROM event WHERE id = ?", (id,))
        return _entry(rows[0]) if rows else None

    def changes(self, after: int | None = None, limit: int = 500) -> tuple[list[Entry], int]:
        """What is new or other since change number ``after``, in the order of the changes, and the number now.

        None: nothing, only the number, to begin with.
        """
        if after is None:
            return [], int(self._read("SELECT change FROM counter", ())[0][0])
        rows = self._read(
            f"SELECT {_COLUMNS}, change FROM event WHERE change > ? ORDER BY change LIMIT ?", (after, limit)
        )
        return [_entry(row[:-1]) for row in rows], rows[-1][-1] if rows else after

    def cameras(self) -> list[str]:
        """The cameras that have events, sorted."""
        return [name for (name,) in self._read("SELECT DISTINCT camera FROM event ORDER BY camera", ())]

    def labels(self) -> list[str]:
        """The labels that have events, sorted."""
        return [name for (name,) in self._read("SELECT DISTINCT label FROM event ORDER BY label", ())]

    def _read(self, statement: str, values: Iterable[Any]) -> list[Any]:
        with self._reading, self._said():
            if self._reader is None:
                raise HistoryError(f"{self.path} is closed: open it anew to read")
            return self._reader.execute(statement, tuple(values)).fetchall()

    # -- the end

    def close(self) -> None:
        """End what still runs, as interrupted, and close the file; a second time does nothing."""
        with self._lock, self._reading:
            try:
                if self._writer is not None:
                    if self._pending:
                        self._work(urgent=True)
                    self.end_open()
            finally:
                self._let_go()

    def _let_go(self) -> None:
        for connection in (self._reader, self._writer):
            if connection is not None:
                connection.close()
        self._reader = self._writer = None
        if self._guard is not None:
            self._guard.close()
            self._guard = None


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


_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": _DAY, "w": 7 * _DAY}


def moment_of(text: str, now: float) -> float:
    """What a person means by a time, in seconds since 1970: ``2h`` (ago), a date, or a date and a time.

    Without a zone it is the time here. Raises ``HistoryError``.

    >>> moment_of("2h", 10_000.0)
    2800.0
    >>> moment_of("1970-01-02T00:00:00+00:00", 0.0)
    86400.0
    """
    ago = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhdw])", text.strip())
    if ago:
        return now - float(ago[1]) * _UNITS[ago[2]]
    try:
        return datetime.fromisoformat(text.strip()).timestamp()
    except (ValueError, OverflowError, OSError) as error:
        raise HistoryError(
            f"{text!r} is no time; write 30m, 2h or 7d (ago), 2026-11-26, or 2026-11-26T14:30"
        ) from error


# -- the tables


def _conditions(
    since: float | None,
    until: float | None,
    camera: str | Iterable[str] | None,
    label: str | Iterable[str] | None,
) -> tuple[list[str], list[Any]]:
    where: list[str] = []
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


def _row_of(entry: Entry) -> tuple[Any, ...]:
    return tuple(getattr(entry, name) for name in _COLUMNS.split(", "))


def _entry(row: tuple[Any, ...]) -> Entry:
    values = dict(zip(_COLUMNS.split(", "), row, strict=True))
    return Entry(**{**values, "interrupted": bool(values["interrupted"])})


def _entry_of(connection: sqlite3.Connection, id: str) -> Entry | None:
    row = connection.execute(f"SELECT {_COLUMNS} FROM event WHERE id = ?", (id,)).fetchone()
    return None if row is None else _entry(row)


def _next_change(connection: sqlite3.Connection) -> int:
    connection.execute("UPDATE counter SET change = change + 1")
    return int(connection.execute("SELECT change FROM counter").fetchone()[0])


# -- the file


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=2.0,
        isolation_level=None,  # transactions are begun here, aloud
        check_same_thread=False,  # two locks see to it
    )


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):  # a full disk has rolled it back already
            connection.execute("ROLLBACK")
        raise


def _is_empty(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0


def _check_layout(connection: sqlite3.Connection, path: Path) -> None:
    mark = connection.execute("PRAGMA application_id").fetchone()[0]
    layout = connection.execute("PRAGMA user_version").fetchone()[0]
    if mark != _MARK:
        raise HistoryError(f"{path} is no history of streamrec's; name another file")
    if layout > LAYOUT:
        raise HistoryError(
            f"{path} was written by a newer streamrec (its layout is {layout}, this one knows {LAYOUT}): "
            "upgrade streamrec, or name another file"
        )


def _in_words(path: Path, error: sqlite3.Error) -> str:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return f"{path} is damaged, or no SQLite file: move it away, and streamrec begins a new one"
    if code == sqlite3.SQLITE_FULL:
        return f"cannot write {path}: the disk is full"
    if code == sqlite3.SQLITE_CANTOPEN:
        if path.is_dir():
            return f"cannot open {path}: it is a folder; name a file"
        if not path.parent.is_dir():
            return f"cannot open {path}: the folder {path.parent} does not exist; create it first"
        return f"cannot open {path}; choose a place where you may read and write"
    if code == sqlite3.SQLITE_READONLY:
        return f"cannot write {path}: it is read-only; choose a place where you may write"
    if code == sqlite3.SQLITE_BUSY:
        return f"cannot write {path}: another program holds it"
    return f"cannot use {path}: {error}"


def _alone_with(path: Path) -> IO[bytes]:
    """A lock beside the file that the system gives back when this process ends, however it ends."""
    if not path.parent.is_dir():
        raise HistoryError(f"cannot open {path}: the folder {path.parent} does not exist; create it first")
    try:
        guard = path.with_name(f"{path.name}.lock").open("ab")
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise HistoryError(f"cannot write {path}: {why}; choose a place where you may write") from error
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(guard.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        guard.close()
        raise HistoryError(
            f"another streamrec writes to {path}; end it, or give this one a history of its own"
        ) from error
    return guard

"""The history of events: one SQLite file, one row an event, committed before anybody is told.

**What others may build on.** ``Entry`` is one event. ``History(path)`` writes, one process at a time;
``History(path, read_only=True)`` reads beside it, from any process. Both have ``query`` (newest first, page by
page: ``after=entries[-1].id``), ``get``, ``changes`` (what is new or other since a number, to follow it live),
``cameras`` and ``labels``. All methods may be called from any thread. Times are seconds since 1970 (UTC);
``Entry.to_dict`` says them in ISO 8601, the same words everywhere: JSON, CSV, webhooks, MQTT.

**Two ways to write.** ``record`` returns what it has written, and waits for the disk. After ``start`` a thread
writes, in order: ``note``, ``attach`` and ``forget_files`` return at once, and ``committed`` is called for all that
is on the disk.

**What it promises.** Whoever tells an event after ``record`` returned it, or after ``committed`` was called, never
tells one that a kill can take back. What is to be sent on (``receivers``) is queued in the same transaction and
leaves the queue when it has arrived. An event that a killed process left open is ended at the next start, at the
last moment at which it was known to run, and is marked ``interrupted``. Where the file cannot be written, what
happens waits in memory; what is too much for that is counted and told. Where the file is gone or another, it is
told and a new one is begun.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

from streamrec.core.arguments import path_to_write
from streamrec.core.clock_jumps import Believed
from streamrec.core.context import Closing
from streamrec.core.files import too_open
from streamrec.core.locks import Lock
from streamrec.errors import HistoryError
from streamrec.outputs.history.records import Announcement, Entry, Kind, Message, iso, new_id
from streamrec.outputs.history.tables import (
    SOUND,
    alone_with,
    check_layout,
    connect,
    in_words,
    lock_of,
    open_writing,
    transaction,
)
from streamrec.types import ActionEnded, ActionStarted, Event, Frame, Result

_BEAT_SECONDS = 2.0  # how exactly the end of an event is known that a kill left open
_RETRY_SECONDS = 1.0  # between two tries while the disk is full
_STUCK_SECONDS = 10.0  # for which it cannot be written before that is trouble for whoever asks
_PRUNE_SECONDS = 3600.0
_OUTBOX_DAYS = 30.0
_MOST_PENDING = 10_000  # events kept in memory while the file cannot be written; their ends come on top
_BATCH = 1000  # of them written in one transaction
_HOUR = 3600.0
_DAY = 86_400.0
_REFUSED = (
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
    sqlite3.DataError,
    ValueError,
    TypeError,
    OverflowError,
)

_MESSAGE = "receiver, id, kind, made, body, attempts, due"
_COLUMNS = (
    "id, camera, model, label, started, ended, timestamp, confidence, repetitions, interrupted, "
    "clip, clip_started, thumbnail"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HistorySettings:
    """The ``[history]`` table of cameras.toml."""

    file: str = field(default="events.db", metadata={"path": True})
    keep_days: float = 90.0  # 0: for ever


class _Deed:
    """Something else than an event that is to be written, in order with the events."""

    def __init__(
        self,
        do: Callable[[sqlite3.Connection], tuple[Announcement, ...]],
        then: Callable[[], object] = lambda: None,
    ) -> None:
        self.do = do
        self.then = then  # called when it is on the disk


_Pending: TypeAlias = tuple[Kind, Entry] | _Deed


class History(Closing):
    """One file of events. The one that writes is alone with it; readers come and go beside it.

    ``receivers``: names for which each announcement is queued (``waiting``, ``arrived``, ``postpone``). ``log``
    gets sentences: what was mended, that the file is another, that the clock jumped. Raises ``HistoryError``, in a
    sentence, where the file is damaged, written by a newer streamrec, in use, or cannot be written.

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
        log: Callable[[str], object] = lambda sentence: None,
    ) -> None:
        self.path = path_to_write(path, "a history", error=HistoryError)
        self.receivers = tuple(receivers)
        self.keep_days = keep_days
        self.recovered: tuple[Announcement, ...] = ()  # events that the last process left open
        self.lost = 0  # events that could not be kept, because too many waited
        self._clock, self._log = clock, log
        self._lock, self._reading = threading.RLock(), threading.RLock()
        # What is noted and not written yet; ``_book`` guards it and is never held while the disk is waited for.
        self._book = threading.Condition()
        self._pending: deque[_Pending] = deque()
        self._since = math.inf  # time.monotonic() since which something waits, with nothing written
        self._unkept: dict[str, Announcement] = {}  # by id: events that began when there was no room for them
        self._open: dict[tuple[str, str], Entry] = {}  # (camera, label): what runs
        self._seen: dict[str, float] = {}  # camera: seconds since 1970 of its last result
        self._zeros: dict[str, tuple[int, float]] = {}  # of a film: its segment, and when its clock was at 0
        self._beaten = self._pruned = self._failed = -math.inf  # time.monotonic()
        self._troubled = math.inf  # time.monotonic() since which every try fails
        self._thread: threading.Thread | None = None
        self._ending = False  # the thread is to end
        self._committed: Callable[[Announcement], object] = lambda announcement: None
        self._unkept_told: Callable[[Announcement], object] = lambda announcement: None
        self._read_only = read_only
        self._closed = False
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self._guard: Lock | None = None
        self._identity: tuple[int, int] | None = None  # of the file that is open
        self._carried: list[tuple[Any, ...]] = []  # messages of a file that is gone, for the next one
        self._change_number = 0  # of a file that is gone: the next one goes on from it
        self._believed: Believed | None = None
        self._clock_told = False
        self._fresh = True  # the file knew no time before
        try:
            with self._said():
                if not read_only:
                    self._guard = alone_with(self.path)
                    self._begin_writing()
                elif not self.path.is_file():
                    raise HistoryError(
                        f"there is no history at {self.path}; `streamrec watch` and `run` write one with --history"
                    )
                else:
                    self._begin_reading()
            if not read_only:
                self._recover()
                self._prune()
        except BaseException:
            self._let_go()
            raise

    def _begin_writing(self) -> None:
        there = self.path.exists()
        self._writer, mended = open_writing(self.path)
        for sentence in mended:
            self._log(sentence)
        if there and (others := too_open(self.path)) is not None:
            self._log(others)
        known, steady = _believed_in(self._writer)
        self._fresh = known is None
        self._believed = Believed(known, steady, clock=self._clock)
        self._begin_reading()

    def _begin_reading(self) -> None:
        with self._reading:
            if self._reader is not None:
                self._reader.close()
                self._reader = None
            self._reader = connect(self.path, "ro")
            check_layout(self._reader, self.path)
            self._identity = _identity(self.path)

    @contextlib.contextmanager
    def _said(self) -> Iterator[None]:
        """SQLite's errors, and the file system's, as sentences."""
        try:
            yield
        except sqlite3.Error as error:
            raise HistoryError(in_words(self.path, error)) from error
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise HistoryError(f"cannot use {self.path}: {why}; choose another place") from error

    # -- writing

    def record(self, result: Result, model: str = "", *, live: bool = True) -> tuple[Announcement, ...]:
        """Keep what began and ended with a result; what may be told now, in order.

        Of a source that is not ``live`` the times are those of a film that began with its first result and runs
        at its own speed, however fast it is read.

        Where the file cannot be written (a full disk), it raises ``HistoryError`` and keeps in memory what
        happened: a later call writes and returns it. After ``start`` it is ``note``, and returns nothing.
        """
        with self._lock if self._thread is None else contextlib.nullcontext():
            self.note(result, model, live=live)
            return () if self._thread is not None else self._work(urgent=bool(result.events))

    def note(self, result: Result, model: str = "", *, live: bool = True) -> tuple[Announcement, ...]:
        """Take down what began and ended with a result, as ``record`` does, and wait for nothing.

        What is returned is not on the disk: ``committed`` is called when it is.
        """
        camera, unkept = result.frame.source, []
        with self._book:
            wall = self._wall_time(result.frame, live)
            self._seen[camera] = wall
            if not result.events:
                return ()
            noted = []
            for event in result.events:
                change = self._change(event, event.source or camera, model, wall, result.frame)
                noted.append(Announcement(*change))
                if not self._put(change):
                    unkept.append(noted[-1])
        for announcement in unkept:
            self._unkept_told(announcement)
        return tuple(noted)

    def _put(self, change: tuple[Kind, Entry]) -> bool:
        """Queue a change; whether there was room. The oldest are kept: they are what has waited longest."""
        kind, entry = change
        full = len(self._pending) >= _MOST_PENDING
        if kind is Kind.started and full:
            # Should there be room when it ends, it is kept whole.
            self._unkept[entry.id] = Announcement(kind, entry)
            return False
        if kind is Kind.ended and self._unkept.pop(entry.id, None) is not None and full:
            self.lost += 1
            return False
        self._queue_up(change)
        return True

    def _queue_up(self, item: _Pending) -> None:
        with self._book:
            if not self._pending:
                self._since = time.monotonic()
            self._pending.append(item)
            self._book.notify_all()

    def start(
        self,
        committed: Callable[[Announcement], object],
        *,
        unkept: Callable[[Announcement], object] = lambda announcement: None,
    ) -> None:
        """Write in a thread from now on. ``committed`` is called there with all that is on the disk, in order.

        ``unkept`` is called with what cannot be kept, because it cannot be written or too much waits. Trouble is
        told once, and its end.
        """
        self._committed, self._unkept_told = committed, unkept
        self._thread = threading.Thread(target=self._write_on, name="history", daemon=True)
        self._thread.start()

    def _write_on(self) -> None:
        told, full = "", False
        while True:
            with self._book:
                self._book.wait_for(lambda: self._pending or self._ending, _RETRY_SECONDS)
                if self._ending and not self._pending:
                    return
            announcements: tuple[Announcement, ...] = ()
            trouble = ""
            try:
                with self._lock:
                    announcements = self._work(urgent=True)
            except HistoryError as error:
                trouble = str(error)
            except Exception as error:  # the thread outlives whatever it is
                trouble = f"cannot write {self.path}: {type(error).__name__}: {error}"
            for announcement in announcements:
                try:
                    self._committed(announcement)
                except Exception as error:  # of who is told: it is kept all the same
                    self._log(f"{self.path}: {type(error).__name__}: {error}")
            if trouble:
                if trouble != told:
                    told = trouble
                    self._log(
                        f"{trouble}; what happens waits in memory, and is written as soon as that is possible"
                    )
                if self._unkept and not full:
                    full = True
                    self._log(
                        f"{len(self._pending)} events wait for {self.path}: more are not kept until it can be written"
                    )
                with self._book:
                    if self._ending:
                        return  # it was tried once more; what is left is told by ``close``
                    self._book.wait_for(lambda: self._ending, _RETRY_SECONDS)
            elif told:
                lost = f"; {self.lost} events that were too many are not in it" if self.lost else ""
                self._log(f"{self.path} is written again, with what happened meanwhile{lost}")
                told, full = "", False

    @property
    def stuck(self) -> float:
        """Seconds for which the file could not be written although something is to be; 0.0: all is well."""
        with self._book:
            return max(0.0, time.monotonic() - min(self._since, self._troubled))

    @property
    def trouble(self) -> str:
        """What is wrong for long, in words for anybody; "" where nothing is."""
        stuck = self.stuck
        return f"the history could not be written for {stuck:.0f} s" if stuck > _STUCK_SECONDS else ""

    @property
    def behind(self) -> int:
        """How much waits to be written."""
        return len(self._pending)

    def drain(self, patience: float) -> bool:
        """Wait until all that was noted is on the disk, for at most so many seconds; whether it is."""
        ends = time.monotonic() + patience
        while self._thread is not None and self._pending and time.monotonic() < ends:
            time.sleep(0.005)
        return not self._pending

    def tick(self) -> tuple[Announcement, ...]:
        """What is to be done now and then although nothing happens; call it every second or so."""
        if self._thread is not None:  # it does that itself
            return ()
        with self._lock:
            return self._work(urgent=False)

    def add(self, entry: Entry) -> None:
        """Keep an event that came from elsewhere, as it is."""
        self._queue_up((Kind.started if entry.ended is None else Kind.ended, entry))
        if self._thread is None:
            with self._lock:
                self._work(urgent=True)

    def attach(
        self,
        id: str,
        *,
        clip: str | os.PathLike[str] | None = None,
        clip_started: float | None = None,
        thumbnail: str | os.PathLike[str] | None = None,
        then: Callable[[], object] = lambda: None,
    ) -> Announcement | None:
        """Say where the evidence of an event is; None where there is no such event (any more).

        ``then`` is called when that is on the disk. After ``start`` it returns None at once, and the announcement
        is given to ``committed``.
        """
        values = [None if path is None else _writable(os.fspath(path)) for path in (clip, thumbnail)]

        def do(connection: sqlite3.Connection) -> tuple[Announcement, ...]:
            connection.execute(
                "UPDATE event SET clip = coalesce(?, clip), thumbnail = coalesce(?, thumbnail), "
                "clip_started = coalesce(?, clip_started), change = ? WHERE id = ?",
                (*values, clip_started, _next_change(connection), id),
            )
            entry = _entry_of(connection, id)
            if entry is None:
                return ()
            announcement = Announcement(Kind.evidence, entry)
            if clip is not None:  # a thumbnail alone is no news
                self._queue(connection, announcement)
            return (announcement,)

        if self._thread is not None:
            deed = do if clip is not None else lambda connection: do(connection)[:0]
            self._queue_up(_Deed(deed, then))
            return None
        with self._lock, self._said(), self._transaction() as connection:
            told = do(connection)
        then()
        return told[0] if told else None

    def forget_files(self, paths: Iterable[str | os.PathLike[str]]) -> None:
        """These clips and thumbnails are there no more."""
        gone = [(_writable(os.fspath(path)),) for path in paths]

        def do(connection: sqlite3.Connection) -> tuple[Announcement, ...]:
            change = _next_change(connection)
            for column in ("clip", "thumbnail"):
                statement = f"UPDATE event SET {column} = NULL, change = {change} WHERE {column} = ?"
                connection.executemany(statement, gone)
            return ()

        if self._thread is not None:
            self._queue_up(_Deed(do))
            return
        with self._lock, self._said(), self._transaction() as connection:
            do(connection)

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
        confidence = event.confidence if math.isfinite(event.confidence) else 0.0
        entry = self._open.pop(key, None)
        if entry is None:  # it begins; or its beginning was never told
            lag = frame.timestamp - began
            started = wall - (lag if math.isfinite(lag) and lag > 0 else 0.0)
            entry = Entry(
                id=new_id(started), camera=camera, model=model, label=event.label, started=started,
                timestamp=began if math.isfinite(began) else None, confidence=confidence,
            )  # fmt: skip
        if isinstance(event, ActionEnded):
            lasted = event.duration if math.isfinite(event.duration) else 0.0
            return Kind.ended, replace(
                entry,
                ended=entry.started + max(0.0, lasted),
                confidence=confidence,
                repetitions=event.repetitions,
            )
        self._open[key] = entry
        return Kind.started, entry

    def _work(self, *, urgent: bool) -> tuple[Announcement, ...]:
        now = time.monotonic()
        with self._book:
            beat = bool(self._open) and now - self._beaten >= _BEAT_SECONDS
            # A thread notices at once that the file is gone; otherwise that is seen when there is something to write.
            waits = bool(self._pending) or (self._thread is not None and not self._is_there())
        if not (waits or beat or (urgent and self._thread is None)) or (
            now - self._failed < _RETRY_SECONDS and not urgent
        ):
            if now - self._pruned >= _PRUNE_SECONDS:
                self._prune()
            return ()
        announcements: list[Announcement] = []
        try:
            with self._said():
                while True:
                    announcements += self._write()
                    if not self._pending:
                        break
        except HistoryError:
            self._failed = now
            with self._book:
                self._troubled = min(self._troubled, now)
            if announcements:  # what was written may be told; the trouble comes again with the rest
                return tuple(announcements)
            raise
        self._beaten, self._failed = now, -math.inf
        with self._book:
            self._troubled = math.inf
        return tuple(announcements)

    def _write(self) -> list[Announcement]:
        """Write the oldest of what waits, in one transaction, and be sure that it is in the file of that name."""
        with self._book:
            batch = [self._pending[n] for n in range(min(len(self._pending), _BATCH))]
        while True:
            self._follow_file()
            try:
                announcements = self._write_batch(batch)
            except _REFUSED as error:
                if len(batch) > 1:  # one of them cannot be written: which, is found one by one
                    batch = batch[:1]
                    continue
                announcements = self._give_up(batch, error)
            if self._is_there():  # not moved away meanwhile
                break
        with self._book:
            for _ in batch:
                self._pending.popleft()
            self._since = time.monotonic() if self._pending else math.inf
        for item in batch:
            if isinstance(item, _Deed):
                item.then()
        return announcements

    def _write_batch(self, batch: list[_Pending]) -> list[Announcement]:
        announcements: list[Announcement] = []
        with self._book:
            running = [
                (entry.id, self._seen.get(entry.camera, entry.started)) for entry in self._open.values()
            ]
        with self._transaction() as connection:
            for item in batch:
                if isinstance(item, _Deed):
                    announcements += item.do(connection)
                else:
                    announcements.append(self._write_change(connection, *item))
            for id, seen in running:
                connection.execute("UPDATE event SET seen = max(seen, ?) WHERE id = ?", (seen, id))
        return announcements

    def _write_change(self, connection: sqlite3.Connection, kind: Kind, entry: Entry) -> Announcement:
        self._insert(connection, entry)
        kept = _entry_of(connection, entry.id)
        announcement = Announcement(kind, entry if kept is None else replace(kept, camera=entry.camera))
        self._queue(connection, announcement)
        return announcement

    def _insert(self, connection: sqlite3.Connection, entry: Entry) -> None:
        change = _next_change(connection)
        seen = max(entry.started, self._seen.get(entry.camera, entry.started))
        connection.execute(
            f"INSERT INTO event ({_COLUMNS}, seen, change) VALUES (?{', ?' * 14}) "
            "ON CONFLICT (id) DO UPDATE SET ended = excluded.ended, confidence = excluded.confidence, "
            "repetitions = excluded.repetitions, interrupted = excluded.interrupted, "
            "seen = excluded.seen, change = excluded.change",
            (*_row_of(entry), seen, change),
        )

    def _give_up(self, batch: list[_Pending], error: Exception) -> list[Announcement]:
        """One thing that no file takes: the rest goes on without it."""
        what = "evidence"
        for item in batch:
            if not isinstance(item, _Deed):
                self.lost += 1
                what = f"{item[1].label} of {item[1].camera}"
                self._unkept_told(Announcement(*item))
        self._log(f"{self.path}: {what} cannot be kept ({type(error).__name__}: {error})")
        return []

    def _queue(self, connection: sqlite3.Connection, announcement: Announcement) -> None:
        if not self.receivers:
            return
        body = json.dumps(announcement.to_dict(), ensure_ascii=False, allow_nan=False)
        for receiver in self.receivers:
            connection.execute(
                "INSERT OR IGNORE INTO outbox (receiver, id, kind, made, body) VALUES (?, ?, ?, ?, ?)",
                (receiver, announcement.id, announcement.kind, self._clock(), _writable(body)),
            )

    # -- the file that is gone, or another

    def _is_there(self) -> bool:
        """Whether the file that is open still has its name."""
        return self._writer is not None and _identity(self.path) == self._identity

    def _follow_file(self) -> None:
        """Where the file was deleted, moved away or replaced: begin a new one, or go on in that one.

        Messages that wait to be sent go along, and what runs; what is over is in the old file.
        """
        if self._closed or self._read_only or self._is_there():
            return
        if self._writer is not None:
            # A file that was moved is closed without what stands in the log beside its old name: that goes into it now.
            with contextlib.suppress(sqlite3.Error):
                self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            with contextlib.suppress(sqlite3.Error):
                self._carried = self._writer.execute(
                    f"SELECT {_MESSAGE} FROM outbox ORDER BY number"
                ).fetchall()
                self._change_number = _next_change(self._writer)
        with self._reading:  # the old ones first: they share files beside it with the new ones
            for connection in (self._reader, self._writer):
                if connection is not None:
                    with contextlib.suppress(sqlite3.Error):
                        connection.close()
            self._reader = self._writer = None
        there = self.path.exists()
        if self._guard is None or not self._guard.is_of(lock_of(self.path)):
            if self._guard is not None:
                self._guard.release()
            self._guard = None
            self._guard = alone_with(self.path)
        believed = self._believed
        self._begin_writing()
        self._believed = believed or self._believed
        with self._book:
            running = list(self._open.values())
            waiting = {item[1].id for item in self._pending if not isinstance(item, _Deed)}
        with self._transaction() as connection:
            connection.execute("UPDATE counter SET change = max(change, ?)", (self._change_number,))
            for row in self._carried:
                connection.execute(
                    f"INSERT OR IGNORE INTO outbox ({_MESSAGE}) VALUES (?, ?, ?, ?, ?, ?, ?)", row
                )
            for id in [
                id
                for (id,) in connection.execute("SELECT id FROM event WHERE ended IS NULL")
                if all(id != entry.id for entry in running)
            ]:  # of a copy that was made while they ran
                connection.execute(
                    "UPDATE event SET ended = max(seen, started), interrupted = 1, change = ? WHERE id = ?",
                    (_next_change(connection), id),
                )
            for entry in running:
                if entry.id not in waiting:  # else it is about to be written, and told
                    self._insert(connection, entry)
        self._carried = []
        self._log(
            f"{self.path} is another file than it was: events go into that one from now on"
            if there
            else f"{self.path} was deleted or moved away: a new history is begun there, with what happens from now on"
        )

    def end_open(self) -> tuple[Announcement, ...]:
        """End what still runs, as interrupted, at the last moment at which it was known to run.

        After ``start`` it returns nothing, and ``committed`` is called.
        """
        with self._book:
            self._open.clear()
            self.lost += len(self._unkept)
            self._unkept.clear()
        if self._thread is not None:
            self._queue_up(_Deed(self._end_all))
            return ()
        with self._lock, self._said(), self._transaction() as connection:
            return self._end_all(connection)

    def _end_all(self, connection: sqlite3.Connection) -> tuple[Announcement, ...]:
        ids = [id for (id,) in connection.execute("SELECT id FROM event WHERE ended IS NULL ORDER BY id")]
        told = []
        for id in ids:
            connection.execute(
                "UPDATE event SET ended = max(seen, started), interrupted = 1, change = ? WHERE id = ?",
                (_next_change(connection), id),
            )
            row = connection.execute(
                f"SELECT {_COLUMNS} FROM event WHERE id = ? AND {SOUND}", (id,)
            ).fetchone()
            if row is not None:
                told.append(Announcement(Kind.ended, _entry(row)))
                self._queue(connection, told[-1])
        return tuple(told)

    def _recover(self) -> None:
        self.recovered = self.end_open()

    # -- what is deleted for its age

    def oldest(self, days: float) -> float:
        """What began or was written before this moment is older than so many days, seconds since 1970.

        A clock that jumped is not believed at once (``core/believed.py``): nothing is deleted because of it.
        """
        if self._believed is None:
            return self._clock() - days * _DAY
        oldest = self._believed.oldest(days)
        if sentence := self._believed.in_words():
            if not self._clock_told:
                self._log(sentence)
            self._clock_told = True
        else:
            self._clock_told = False
        return oldest

    def suppose(self, moment: float) -> None:
        """Something that streamrec wrote at this time is there: with nothing else known, the time is taken from it."""
        if self._fresh and self._believed is not None:
            self._believed = Believed(moment, clock=self._clock)
            self._fresh = False

    def _prune(self) -> None:
        self._pruned = time.monotonic()
        events, messages = self.oldest(self.keep_days), self.oldest(_OUTBOX_DAYS)
        with self._said(), self._transaction() as connection:
            if self.keep_days > 0:
                connection.execute("DELETE FROM event WHERE ended < ?", (events,))
            # A receiver that is configured gives up earlier; this is for one that is not any more.
            connection.execute("DELETE FROM outbox WHERE made < ?", (messages,))
            if self._believed is not None:
                connection.execute("DELETE FROM believed")
                connection.execute(
                    "INSERT INTO believed VALUES (?, ?)", (self._believed.time, self._believed.steady)
                )

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        if self._writer is None:
            if not self._closed and not self._read_only:
                raise HistoryError(f"{self.path} was moved away, and cannot be begun anew yet")
            raise HistoryError(f"{self.path} is closed, or only read: open it to write")
        with transaction(self._writer):
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
            connection.execute(
                "DELETE FROM outbox WHERE receiver = ? AND id = ?", (message.receiver, message.id)
            )

    def postpone(self, message: Message, seconds: float) -> None:
        """It was tried in vain, and is due again in so many seconds."""
        with self._lock, self._said(), self._transaction() as connection:
            connection.execute(
                "UPDATE outbox SET attempts = attempts + 1, due = ? WHERE receiver = ? AND id = ?",
                (self._clock() + seconds, message.receiver, message.id),
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
        clause = f"WHERE {' AND '.join(where)}"
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
        clause = f"WHERE {' AND '.join(where)}"
        return int(self._read(f"SELECT count(*) FROM event {clause}", values)[0][0])

    def get(self, id: str) -> Entry | None:
        """One event; None where there is none (any more)."""
        rows = self._read(f"SELECT {_COLUMNS} FROM event WHERE id = ? AND {SOUND}", (id,))
        return _entry(rows[0]) if rows else None

    def changes(self, after: int | None = None, limit: int = 500) -> tuple[list[Entry], int]:
        """What is new or other since change number ``after``, in the order of the changes, and the number now.

        None: nothing, only the number, to begin with.
        """
        if after is None:
            # Without the counter (somebody emptied its table) the newest change is known from the events.
            (number,) = self._read(
                "SELECT coalesce((SELECT max(change) FROM counter), (SELECT max(change) FROM event), 0)", ()
            )[0]
            return [], int(number) if isinstance(number, int) else 0
        if self.changes()[1] < after:  # the file is another one, that began to count anew
            after = 0
        rows = self._read(
            f"SELECT {_COLUMNS}, change FROM event WHERE change > ? AND {SOUND} ORDER BY change LIMIT ?",
            (after, limit),
        )
        return [_entry(row[:-1]) for row in rows], rows[-1][-1] if rows else after

    def unsound(self) -> int:
        """How many rows are no events, and are left out of all that is read."""
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

    def _read(self, statement: str, values: Iterable[Any]) -> list[Any]:
        with self._reading, self._said():
            if self._closed:
                raise HistoryError(f"{self.path} is closed: open it anew to read")
            if self._read_only and _identity(self.path) != self._identity:  # its writer began a new one
                if not self.path.is_file():
                    raise HistoryError(f"{self.path} was deleted or moved away")
                self._begin_reading()
            if self._reader is None:
                raise HistoryError(f"{self.path} was moved away, and cannot be begun anew yet")
            return self._reader.execute(statement, tuple(values)).fetchall()

    # -- the end

    def close(self, patience: float = 2.0) -> None:
        """End what still runs, as interrupted, and close the file; a second time does nothing.

        What a thread has not written within so many seconds is told, and lost.
        """
        if self._thread is not None:
            self._end_thread(patience)
            return
        with self._lock, self._reading:
            try:
                if self._writer is not None:
                    if self._pending:
                        self._work(urgent=True)
                    self.end_open()
                    self._remember_time()
            finally:
                self._let_go()

    def _end_thread(self, patience: float) -> None:
        assert self._thread is not None
        if self._closed:
            return
        ends = time.monotonic() + patience
        if self._open or self._unkept:
            self.end_open()
        self.drain(patience)
        with self._book:
            self._ending = True
            self._book.notify_all()
        self._thread.join(max(0.5, ends - time.monotonic()))
        with self._book:
            left = [item for item in self._pending if not isinstance(item, _Deed)]
        if left or self.lost:
            names = ", ".join(
                f"{entry.label} of {entry.camera} at {iso(entry.started)}" for _, entry in left[:3]
            )
            more = f": {names}{' ...' if len(left) > 3 else ''}" if left else ""
            count = len({entry.id for _, entry in left}) + self.lost
            self._log(
                f"{self.path} could not be written: {count} event{'' if count == 1 else 's'} "
                f"{'is' if count == 1 else 'are'} lost{more}"
            )
        if self._thread.is_alive():  # the disk does not answer: its files are closed with the process
            self._closed = True
            return
        with self._lock, self._reading:
            if not left:
                with contextlib.suppress(HistoryError):
                    self._remember_time()
            self._let_go()

    def _remember_time(self) -> None:
        if self._believed is None or self._writer is None:
            return
        believed = self._believed.look()
        with self._said(), self._transaction() as connection:
            connection.execute("DELETE FROM believed")
            connection.execute("INSERT INTO believed VALUES (?, ?)", (believed, self._believed.steady))

    def _let_go(self) -> None:
        self._closed = True
        for connection in (self._reader, self._writer):
            if connection is not None:
                with contextlib.suppress(sqlite3.Error):
                    connection.close()
        self._reader = self._writer = None
        if self._guard is not None:
            self._guard.release()
            self._guard = None


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file has this name; None: none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _believed_in(connection: sqlite3.Connection) -> tuple[float | None, float]:
    """The time that is known from a file, and for how long a clock that jumped has run steadily."""
    row = connection.execute("SELECT time, steady FROM believed").fetchone()
    if row is not None and all(isinstance(value, float) and math.isfinite(value) for value in row):
        return row[0], row[1]
    (newest,) = connection.execute(
        f"SELECT max(max(started, coalesce(ended, 0), seen)) FROM event WHERE {SOUND} AND abs(seen) < 1e11"
    ).fetchone()
    return (None if newest is None else float(newest)), 0.0


# -- the tables


def _conditions(
    since: float | None,
    until: float | None,
    camera: str | Iterable[str] | None,
    label: str | Iterable[str] | None,
) -> tuple[list[str], list[Any]]:
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


def _row_of(entry: Entry) -> tuple[Any, ...]:
    return tuple(_writable(getattr(entry, name)) for name in _COLUMNS.split(", "))


def _writable(value: Any) -> Any:
    """A text with a half surrogate (a file's name that is not UTF-8) as it can be kept; the rest as it is."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def _entry(row: tuple[Any, ...]) -> Entry:
    values = dict(zip(_COLUMNS.split(", "), row, strict=True))
    return Entry(**{**values, "interrupted": bool(values["interrupted"])})


def _entry_of(connection: sqlite3.Connection, id: str) -> Entry | None:
    row = connection.execute(f"SELECT {_COLUMNS} FROM event WHERE id = ?", (id,)).fetchone()
    return None if row is None else _entry(row)


def _next_change(connection: sqlite3.Connection) -> int:
    connection.execute("UPDATE counter SET change = change + 1")
    row = connection.execute("SELECT max(change) FROM counter").fetchone()
    if row[0] is None:  # somebody emptied it
        connection.execute("INSERT INTO counter SELECT coalesce(max(change), 0) + 1 FROM event")
        row = connection.execute("SELECT max(change) FROM counter").fetchone()
    return int(row[0])

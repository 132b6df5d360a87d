"""The history of events: one SQLite file, one row an event, committed before any receiver is notified.

**The interface.** ``Entry`` is one event. ``History(path)`` writes, one process at a time;
``History(path, read_only=True)`` reads beside it, from any process; ``History(None)`` keeps the newest events in
memory. All have ``query`` (newest first, page by page: ``after=entries[-1].id``), ``get``, ``changes`` (what is new
or changed since a number, to follow it live), ``cameras`` and ``labels``. All methods are thread-safe. Times are
seconds since 1970 (UTC); ``Entry.to_dict`` gives them in ISO 8601, the same for JSON, CSV, webhooks and MQTT.

**Two ways to write.** ``record`` writes, waits for the disk and returns what it has written. After ``start`` a
thread writes, in order: ``note``, ``attach`` and ``forget_files`` return at once, and ``committed`` is called for
everything that is on the disk.

**The guarantee.** An event that is sent after ``record`` returned it, or after ``committed`` was called, is never
lost by a kill. Messages for ``receivers`` are queued in the same transaction and leave the queue when they have
arrived. An event that a killed process left open is ended at the next start, at the last moment at which it was
known to run, and is marked ``interrupted``. While the file cannot be written, events wait in memory; events that
are too many for that are counted and reported. Where the file is deleted or replaced, that is reported and a new one
is begun.
"""

from __future__ import annotations

import contextlib
import math
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from streamrec.core.arguments import path_to_write
from streamrec.core.clock_jumps import TrustedClock
from streamrec.core.context import Closing
from streamrec.errors import HistoryError
from streamrec.events.rules import Watched
from streamrec.outputs.history import coverage, decisions, opinions, outbox, pictures, vectors
from streamrec.outputs.history.coverage import Coverage
from streamrec.outputs.history.database import FileDatabase, MemoryDatabase, errors_as_sentences
from streamrec.outputs.history.entry_builder import EntryBuilder, key_of
from streamrec.outputs.history.queries import EventQueries
from streamrec.outputs.history.records import (
    DELIVER,
    Announcement,
    Decision,
    Entry,
    Kind,
    Message,
    Outcome,
    iso,
)
from streamrec.outputs.history.rows import COLUMNS, as_utf8, entry_of, find_entry, next_change, row_of
from streamrec.outputs.history.tables import SOUND
from streamrec.outputs.history.vectors import EventVector
from streamrec.types import Result

_T = TypeVar("_T")
MEMORY_EVENTS = 2_000  # the newest, kept where no file is named
_BEAT_SECONDS = 2.0  # how exactly the end of an event is known that a kill left open
_RETRY_SECONDS = 1.0  # between two attempts while the disk is full
_STUCK_SECONDS = 10.0  # after so long without a successful write, ``trouble`` reports it
_PRUNE_SECONDS = 3600.0
_MOST_PENDING = 10_000  # events kept in memory while the file cannot be written; their ends come on top
_BATCH = 1000  # of them written in one transaction
_DAY = 86_400.0
_REFUSED = (
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
    sqlite3.DataError,
    ValueError,
    TypeError,
    OverflowError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HistorySettings:
    """The ``[history]`` table of cameras.toml."""

    file: str = field(default="events.db", metadata={"path": True})
    keep_days: float = 90.0  # 0: for ever

    @classmethod
    def beside(cls, path: Path) -> HistorySettings:
        """Of a history beside a file: where its table names none."""
        return cls(file=str(path.absolute().parent / cls().file))


class _Task:
    """A write other than an event, in order with the events."""

    def __init__(
        self,
        run: Callable[[sqlite3.Connection], tuple[Announcement, ...]],
        then: Callable[[], object] = lambda: None,
    ) -> None:
        self.run = run
        self.then = then  # called when it is on the disk


@dataclass(slots=True, eq=False)
class _Whole:
    """Changes and tasks that are written in one transaction, or not at all."""

    items: list[tuple[Kind, Entry] | _Task] = field(default_factory=list)


_Pending: TypeAlias = tuple[Kind, Entry] | _Task | _Whole


def _each(items: Iterable[_Pending]) -> Iterator[tuple[Kind, Entry] | _Task]:
    for item in items:
        yield from item.items if isinstance(item, _Whole) else (item,)


class History(EventQueries, Closing):
    """A store of events. The writing process has the file to itself; readers come and go beside it.

    ``path``: None keeps the newest ``MEMORY_EVENTS`` in memory. ``receivers``: names for which each announcement is
    queued (``waiting``, ``arrived``, ``postpone``). ``log`` is called with messages: what was repaired, that the file
    was replaced, that the clock jumped. Raises ``HistoryError`` where the file is damaged, written by a newer
    streamrec, in use, or cannot be written.

    >>> with History(None) as history:
    ...     history.add(Entry(id="1", camera="door", model="fight", label="fight", started=1.0, confidence=0.9))
    ...     [entry.label for entry in history.query(camera="door")]
    ['fight']
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None,
        *,
        read_only: bool = False,
        receivers: Iterable[str] = (),
        keep_days: float = 0.0,
        keep_open: bool = False,
        clock: Callable[[], float] = time.time,
        log: Callable[[str], object] = lambda message: None,
    ) -> None:
        """``keep_open``: events that models report are known to other processes, and go on when this one ends."""
        self._database: FileDatabase | MemoryDatabase
        if path is None:
            self._database = MemoryDatabase()
        else:
            self._database = FileDatabase(
                path_to_write(path, "a history", error=HistoryError), read_only=read_only
            )
        self.path = self._database.path
        self.in_memory = path is None
        self.receivers = tuple(receivers)
        self._wants: dict[str, outbox.Wants] = {}
        self.keep_days = keep_days
        self.recovered: tuple[Announcement, ...] = ()  # events that the last process left open
        self.pictures = pictures.HistoryPictures(self.later, self._read)
        self.opinions = opinions.HistoryOpinions(self.later, self.transact, self._enqueue)
        self.lost = 0  # events that could not be kept, because too many waited
        self._clock, self._log = clock, log
        self._lock = threading.RLock()  # held while something is written
        # Guards what is noted and not written yet; never held while the disk is waited for.
        self._noted = threading.Condition()
        self._pending: deque[_Pending] = deque()
        self._whole: _Whole | None = None  # of the block of ``together`` that is under way
        self._since = math.inf  # time.monotonic() since which something waits, with nothing written
        self._unkept: dict[str, Announcement] = {}  # by id: events that began when there was no room for them
        self._builder = EntryBuilder(clock)
        self._keep_open = keep_open
        self._coverage = Coverage()
        self._beaten = self._pruned = self._failed = -math.inf  # time.monotonic()
        self._troubled = math.inf  # time.monotonic() since which every attempt fails
        self._thread: threading.Thread | None = None
        self._ending = False  # the thread is to end
        self._on_committed: Callable[[Announcement], object] = lambda announcement: None
        self._on_unkept: Callable[[Announcement], object] = lambda announcement: None
        self._decide: decisions.Decide = lambda entry: DELIVER
        self._poll: Callable[[], object] = lambda: None
        self._carried: list[tuple[Any, ...]] = []  # messages of a file that is gone, for the next one
        self._change_number = 0  # of a file that is gone: the next one goes on from it
        self._trusted: TrustedClock | None = None
        self._clock_reported = False
        self._fresh = True  # the file held no time before
        try:
            with errors_as_sentences(self.path):
                self._after_open(self._database.open())
            if not read_only:
                self.recovered = self.end_open()
                self._prune()
        except BaseException:
            self._database.close()
            raise

    def _after_open(self, warnings: Iterable[str]) -> None:
        for warning in warnings:
            self._log(warning)
        if self._database.writer is not None and self._trusted is None:
            known, steady = _believed_in(self._database.writer)
            self._fresh = known is None
            self._trusted = TrustedClock(known, steady, clock=self._clock)

    def _read(self, statement: str, values: Iterable[Any]) -> list[Any]:
        return self._database.read(statement, values)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._database.transaction() as connection:
            yield connection

    def watched(self, *, since: float, until: float) -> list[Watched]:
        """When the cameras gave frames, between two times, until now."""
        kept = {(one.camera, one.began): one for one in super().watched(since=since, until=until)}
        with self._noted:
            unwritten = self._coverage.unwritten()
        for one in unwritten:
            if one.ended >= since and one.began < until:
                one = replace(one, began=max(one.began, since), ended=min(one.ended, until))
                kept[one.camera, one.began] = one
        return sorted(kept.values(), key=lambda one: one.began)

    def seen(self, camera: str) -> float:
        """When the newest frame of a camera was taken, as far as it was noted; seconds since 1970."""
        return self._builder.last_seen[camera]

    @property
    def running(self) -> list[Entry]:
        """The events that run, on the disk or not."""
        with self._noted:
            return list(self._builder.running.values())

    # -- noting: returns at once

    def record(self, result: Result, model: str = "", *, live: bool = True) -> tuple[Announcement, ...]:
        """Write the starts and ends of a result; the announcements that may be sent now, in order.

        Times of a source that is not ``live`` are those of a recording that began with its first result and plays
        at its own speed, however fast it is read.

        Where the file cannot be written (a full disk), it raises ``HistoryError`` and keeps the events in memory:
        a later call writes and returns them. After ``start`` it is ``note``, and returns nothing.
        """
        with self._lock if self._thread is None else contextlib.nullcontext():
            self.note(result, model, live=live)
            return () if self._thread is not None else self._work(urgent=bool(result.events))

    def note(self, result: Result, model: str = "", *, live: bool = True) -> tuple[Announcement, ...]:
        """Take the starts and ends of a result, as ``record`` does, without waiting for the disk.

        What is returned is not on the disk: ``committed`` is called when it is.
        """
        unkept = []
        with self._noted:
            noted = [Announcement(*change) for change in self._builder.build(result, model, live=live)]
            if not result.repeated:
                source = result.frame.source
                self._coverage.saw(source, self._builder.last_seen[source])
            for announcement in noted:
                if not self._put((announcement.kind, announcement.entry)):
                    unkept.append(announcement)
        for announcement in unkept:
            self._on_unkept(announcement)
        return tuple(noted)

    def _put(self, change: tuple[Kind, Entry]) -> bool:
        """Queue a change; whether there was room. The oldest are kept: they have waited longest."""
        kind, entry = change
        full = len(self._pending) >= _MOST_PENDING
        if kind is Kind.started and full:
            # If there is room when it ends, it is kept whole.
            self._unkept[entry.id] = Announcement(kind, entry)
            return False
        if kind is Kind.ended and self._unkept.pop(entry.id, None) is not None and full:
            self.lost += 1
            return False
        self._queue_up(change)
        return True

    def _queue_up(self, item: _Pending) -> None:
        with self._noted:
            if self._whole is not None and not isinstance(item, _Whole):
                self._whole.items.append(item)
                return
            if not self._pending:
                self._since = time.monotonic()
            self._pending.append(item)
            self._noted.notify_all()

    @contextlib.contextmanager
    def together(
        self,
        run: Callable[[sqlite3.Connection], tuple[Announcement, ...]],
        then: Callable[[], object] = lambda: None,
    ) -> Iterator[None]:
        """What is noted in the block, and ``run``, are written in one transaction; ``then`` is called after it.

        One block at a time, after ``start``. What ``run`` returns is announced.
        """
        whole = _Whole()
        with self._noted:
            self._whole = whole
        try:
            yield
        finally:
            with self._noted:
                self._whole = None
        whole.items.append(_Task(run, then))
        self._queue_up(whole)

    def transact(self, run: Callable[[sqlite3.Connection], _T]) -> _T:
        """Write at once, beside what was noted; raises ``HistoryError``."""
        with self._lock, errors_as_sentences(self.path), self._transaction() as connection:
            return run(connection)

    def later(
        self,
        run: Callable[[sqlite3.Connection], tuple[Announcement, ...]],
        then: Callable[[], object] = lambda: None,
    ) -> None:
        """Write in order with the events, after ``start``: returns at once; ``then`` is called when it is on the disk.

        What ``run`` returns is announced.
        """
        self._queue_up(_Task(run, then))

    def select(self, statement: str, values: Iterable[Any] = ()) -> list[Any]:
        """All rows of a SELECT from tables that other modules keep in the file; raises ``HistoryError``."""
        return self._read(statement, values)

    def add(self, entry: Entry) -> None:
        """Keep an event from elsewhere, as it is."""
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
        """Store where the evidence of an event is; None where there is no such event.

        ``then`` is called when that is on the disk. After ``start`` it returns None at once, and the announcement
        is given to ``committed``.
        """
        values = [None if path is None else as_utf8(os.fspath(path)) for path in (clip, thumbnail)]

        def update(connection: sqlite3.Connection) -> tuple[Announcement, ...]:
            connection.execute(
                "UPDATE event SET clip = coalesce(?, clip), thumbnail = coalesce(?, thumbnail), "
                "clip_started = coalesce(?, clip_started), change = ? WHERE id = ?",
                (*values, clip_started, next_change(connection), id),
            )
            entry = find_entry(connection, id)
            if entry is None:
                return ()
            announcement = Announcement(Kind.evidence, entry)
            if clip is not None:  # receivers are not notified of a thumbnail alone
                self._enqueue(connection, announcement)
            return (announcement,)

        if self._thread is not None:
            run = update if clip is not None else lambda connection: update(connection)[:0]
            self._queue_up(_Task(run, then))
            return None
        announcements = self.transact(update)
        then()
        return announcements[0] if announcements else None

    def describe(self, id: str, vector: Callable[[], EventVector | None]) -> None:
        """Keep the vector of an event that was noted; after ``start`` the thread that writes makes it."""

        def update(connection: sqlite3.Connection) -> tuple[Announcement, ...]:
            made = vector()
            if made is not None:
                vectors.write(connection, id, made)
            return ()

        if self._thread is not None:
            self.later(update)
        else:
            self.transact(update)

    def settle(self, id: str, decision: Decision, then: Callable[[Entry | None], object]) -> None:
        """Decide on an event that is held, after ``start``; ``then`` is called with it when that is on the disk.

        With None where it is not held any more, and nothing is done. Where it is delivered, its announcements so far
        are queued, and given to ``committed``.
        """
        settled: list[Entry | None] = [None]

        def write(connection: sqlite3.Connection) -> tuple[Announcement, ...]:
            settled[0], announcements = decisions.settle(connection, id, decision)
            for announcement in announcements:
                self._enqueue(connection, announcement)
            return announcements

        self.later(write, lambda: then(settled[0]))

    def forget_files(self, paths: Iterable[str | os.PathLike[str]]) -> None:
        """These clips and thumbnails were deleted: no entry names them any more."""
        gone = [(as_utf8(os.fspath(path)),) for path in paths]

        def update(connection: sqlite3.Connection) -> tuple[Announcement, ...]:
            change = next_change(connection)
            for column in ("clip", "thumbnail"):
                statement = f"UPDATE event SET {column} = NULL, change = {change} WHERE {column} = ?"
                connection.executemany(statement, gone)
            return ()

        if self._thread is not None:
            self.later(update)
        else:
            self.transact(update)

    def end_open(self) -> tuple[Announcement, ...]:
        """End the running events, as interrupted, at the last moment at which they were known to run.

        After ``start`` it returns nothing, and ``committed`` is called.
        """
        with self._noted:
            kept = self._builder.running.items() if self._keep_open else ()
            self._builder.running = {key: entry for key, entry in kept if entry.rule is None}
            self.lost += len(self._unkept)
            self._unkept.clear()
        if self._thread is not None:
            self._queue_up(_Task(self._end_all))
            return ()
        return self.transact(self._end_all)

    def _end_all(self, connection: sqlite3.Connection) -> tuple[Announcement, ...]:
        kept: dict[str, Entry] = {}  # by id
        if self._keep_open:
            statement = f"SELECT {COLUMNS} FROM event WHERE ended IS NULL AND {SOUND} ORDER BY id"
            rows = connection.execute(statement).fetchall()
            kept = {one.id: one for one in map(entry_of, rows) if one.rule is None}
            with self._noted:
                self._builder.running |= {key_of(entry): entry for entry in kept.values()}
        ids = [id for (id,) in connection.execute("SELECT id FROM event WHERE ended IS NULL ORDER BY id")]
        return self.interrupt(connection, [id for id in ids if id not in kept])

    def interrupt(self, connection: sqlite3.Connection, ids: Iterable[str]) -> tuple[Announcement, ...]:
        """End those of these events that still run, as interrupted, within a transaction."""
        gone = dict.fromkeys(ids)
        with self._noted:
            running = self._builder.running.items()
            self._builder.running = {key: entry for key, entry in running if entry.id not in gone}
        ended = []
        for id in gone:
            if not _interrupt(connection, id):
                continue
            row = connection.execute(
                f"SELECT {COLUMNS} FROM event WHERE id = ? AND {SOUND}", (id,)
            ).fetchone()
            if row is not None:
                ended.append(Announcement(Kind.ended, entry_of(row)))
                self._enqueue(connection, ended[-1])
        return tuple(ended)

    # -- the writer thread

    def start(
        self,
        committed: Callable[[Announcement], object],
        *,
        unkept: Callable[[Announcement], object] = lambda announcement: None,
        decide: decisions.Decide = lambda entry: DELIVER,
        poll: Callable[[], object] = lambda: None,
    ) -> None:
        """Write in a thread from now on; it calls ``committed`` with everything that is on the disk, in order.

        ``unkept`` is called with what cannot be kept, because it cannot be written or too much waits. A failure is
        reported once, and so is its end. ``decide`` is called once for each new event, within the transaction that
        writes it, and must not wait; where that transaction fails, it is called again. ``poll`` is called every second
        or so.
        """
        self._on_committed, self._on_unkept = committed, unkept
        self._decide, self._poll = decide, poll
        self._thread = threading.Thread(target=self._write_on, name="history", daemon=True)
        self._thread.start()

    def _write_on(self) -> None:
        reported, unpolled, full = "", "", False
        while True:
            with self._noted:
                self._noted.wait_for(lambda: self._pending or self._ending, _RETRY_SECONDS)
                if self._ending and not self._pending:
                    return
            announcements: tuple[Announcement, ...] = ()
            trouble = ""
            try:
                with self._lock:
                    announcements = self._work(urgent=True, once=True)  # announced before the next is written
            except HistoryError as error:
                trouble = str(error)
            except Exception as error:  # no error may end the thread
                trouble = f"cannot write {self.path}: {type(error).__name__}: {error}"
            for announcement in announcements:
                try:
                    self._on_committed(announcement)
                except Exception as error:  # of the callback: the event is kept all the same
                    self._log(f"{self.path}: {type(error).__name__}: {error}")
            try:
                self._poll()  # after what has happened was announced
            except Exception as error:
                if str(error) not in (trouble, unpolled):
                    unpolled = str(error)
                    self._log(f"{unpolled}; it is tried again every second")
            else:
                unpolled = ""
            if trouble:
                if trouble != reported:
                    reported = trouble
                    self._log(
                        f"{trouble}; what happens waits in memory, and is written as soon as that is possible"
                    )
                if self._unkept and not full:
                    full = True
                    self._log(
                        f"{len(self._pending)} events wait for {self.path}: more are not kept until it can be written"
                    )
                with self._noted:
                    if self._ending:
                        return  # it was tried once more; ``close`` reports what is left
                    self._noted.wait_for(lambda: self._ending, _RETRY_SECONDS)
            elif reported:
                lost = f"; {self.lost} events that were too many are not in it" if self.lost else ""
                self._log(f"{self.path} is written again, with what happened meanwhile{lost}")
                reported, full = "", False

    @property
    def stuck(self) -> float:
        """Seconds for which the file could not be written although something waits; 0.0 where it can."""
        with self._noted:
            return max(0.0, time.monotonic() - min(self._since, self._troubled))

    @property
    def trouble(self) -> str:
        """A lasting failure, as a sentence without paths; "" where there is none."""
        stuck = self.stuck
        return f"the history could not be written for {stuck:.0f} s" if stuck > _STUCK_SECONDS else ""

    @property
    def behind(self) -> int:
        """How much waits to be written."""
        return len(self._pending)

    def drain(self, patience: float) -> bool:
        """Wait until everything noted is on the disk, for at most so many seconds; whether it is."""
        ends = time.monotonic() + patience
        while self._thread is not None and self._pending and time.monotonic() < ends:
            time.sleep(0.005)
        return not self._pending

    # -- writing

    def tick(self) -> tuple[Announcement, ...]:
        """Retry, prune and note the time without a new result; call it every second or so where no thread runs."""
        if self._thread is not None:
            return ()
        with self._lock:
            return self._work(urgent=False)

    def _work(self, *, urgent: bool, once: bool = False) -> tuple[Announcement, ...]:
        """Write what is pending, with ``once`` one batch of it; the announcements that may be sent now."""
        now = time.monotonic()
        with self._noted:
            beat = bool(self._builder.running) and now - self._beaten >= _BEAT_SECONDS
            # A thread notices at once that the file is gone; otherwise that is noticed at the next write.
            waits = bool(self._pending) or (self._thread is not None and not self._database.is_current())
            beat = beat or self._coverage.due
        if not (waits or beat or (urgent and self._thread is None)) or (
            now - self._failed < _RETRY_SECONDS and not urgent
        ):
            if now - self._pruned >= _PRUNE_SECONDS:
                self._prune()
            return ()
        announcements: list[Announcement] = []
        try:
            with errors_as_sentences(self.path):
                while True:
                    announcements += self._write()
                    if once or not self._pending:
                        break
        except HistoryError:
            self._failed = now
            with self._noted:
                self._troubled = min(self._troubled, now)
            if announcements:  # what was written may be sent; the failure comes again with the rest
                return tuple(announcements)
            raise
        self._beaten, self._failed = now, -math.inf
        with self._noted:
            self._troubled = math.inf
        return tuple(announcements)

    def _write(self) -> list[Announcement]:
        """Write the oldest pending items in one transaction, and check that the file still has its name."""
        with self._noted:
            batch = [self._pending[n] for n in range(min(len(self._pending), _BATCH))]
        while True:
            self._follow_file()
            try:
                announcements = self._write_batch(batch)
            except _REFUSED as error:
                if len(batch) > 1:  # one of them cannot be written: find it one by one
                    batch = batch[:1]
                    continue
                if isinstance(batch[0], _Whole):
                    self._take_apart(batch[0])
                    return []
                announcements = self._give_up(batch, error)
            if self._database.is_current():  # not moved away meanwhile
                break
        with self._noted:
            for _ in batch:
                self._pending.popleft()
            self._since = time.monotonic() if self._pending else math.inf
        for item in _each(batch):
            if isinstance(item, _Task):
                item.then()
        return announcements

    def _take_apart(self, whole: _Whole) -> None:
        """One of these cannot be written: the others are written one by one."""
        with self._noted:
            self._pending.popleft()
            self._pending.extendleft(reversed(whole.items))

    def _write_batch(self, batch: list[_Pending]) -> list[Announcement]:
        announcements: list[Announcement] = []
        with self._noted:
            seen = self._builder.last_seen
            running = [
                (entry.id, seen.get(entry.camera, entry.started)) for entry in self._builder.running.values()
            ]
            watched = self._coverage.unwritten()
        with self._transaction() as connection:
            coverage.write(connection, watched)
            for item in _each(batch):
                if isinstance(item, _Task):
                    announcements += item.run(connection)
                else:
                    announcements.append(self._write_change(connection, *item))
            for id, last in running:
                connection.execute("UPDATE event SET seen = max(seen, ?) WHERE id = ?", (last, id))
            if self.in_memory:
                connection.execute(
                    "DELETE FROM event WHERE id <= (SELECT id FROM event ORDER BY id DESC LIMIT 1 OFFSET ?)",
                    (MEMORY_EVENTS,),
                )
        with self._noted:
            self._coverage.written(watched)
        return announcements

    def _write_change(self, connection: sqlite3.Connection, kind: Kind, entry: Entry) -> Announcement:
        self._insert(connection, entry)
        kept = find_entry(connection, entry.id)
        announcement = Announcement(kind, entry if kept is None else replace(kept, camera=entry.camera))
        self._enqueue(connection, announcement)
        return announcement

    def _insert(self, connection: sqlite3.Connection, entry: Entry) -> None:
        entry = decisions.decided(entry, find_entry(connection, entry.id), self._decide)
        change = next_change(connection)
        seen = max(entry.started, self._builder.last_seen.get(entry.camera, entry.started))
        connection.execute(
            f"INSERT INTO event ({COLUMNS}, seen, change) VALUES (?{', ?' * len(COLUMNS.split(', '))}, ?) "
            "ON CONFLICT (id) DO UPDATE SET ended = excluded.ended, confidence = excluded.confidence, "
            "repetitions = excluded.repetitions, interrupted = excluded.interrupted, "
            "seen = excluded.seen, change = excluded.change",
            (*row_of(entry), seen, change),
        )

    def _give_up(self, batch: list[_Pending], error: Exception) -> list[Announcement]:
        """Leave out the one item that no file takes, so that the others can be written."""
        what = "evidence"
        for item in _each(batch):
            if not isinstance(item, _Task):
                self.lost += 1
                what = f"{item[1].label} of {item[1].camera}"
                self._on_unkept(Announcement(*item))
        self._log(f"{self.path}: {what} cannot be kept ({type(error).__name__}: {error})")
        return []

    def _enqueue(self, connection: sqlite3.Connection, announcement: Announcement) -> None:
        if announcement.entry.decision is Outcome.deliver:
            outbox.enqueue(connection, self.receivers, announcement, self._clock(), self._wants)

    # -- a file that was deleted, moved away or replaced

    def _follow_file(self) -> None:
        """Where the file is gone or another one: begin a new one, or go on in that one.

        Waiting messages and running events go along; events that are over stay in the old file.
        """
        database = self._database
        if database.closed or database.read_only or database.is_current():
            return
        if database.writer is not None:
            # A moved file is closed without the log beside its old name: write the log into it now.
            with contextlib.suppress(sqlite3.Error):
                database.writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            with contextlib.suppress(sqlite3.Error):
                self._carried = outbox.dump(database.writer)
                self._change_number = next_change(database.writer)
        existed, warnings = database.reopen()
        self._after_open(warnings)
        with self._noted:
            running = list(self._builder.running.values())
            pending = {item[1].id for item in _each(self._pending) if not isinstance(item, _Task)}
        with self._transaction() as connection:
            connection.execute("UPDATE counter SET change = max(change, ?)", (self._change_number,))
            outbox.restore(connection, self._carried)
            for id in [
                id
                for (id,) in connection.execute("SELECT id FROM event WHERE ended IS NULL")
                if all(id != entry.id for entry in running)
            ]:  # of a copy that was made while they ran
                _interrupt(connection, id)
            for entry in running:
                if entry.id not in pending:  # else it is about to be written, and sent
                    self._insert(connection, entry)
        self._carried = []
        self._log(
            f"{self.path} is another file than it was: events go into that one from now on"
            if existed
            else f"{self.path} was deleted or moved away: a new history is begun there, with what happens from now on"
        )

    # -- pruning

    def oldest(self, days: float) -> float:
        """The moment before which events and files are older than so many days, seconds since 1970.

        A clock that jumped is not believed at once (``core/clock_jumps.py``): nothing is deleted because of it.
        """
        if self._trusted is None:
            return self._clock() - days * _DAY
        oldest = self._trusted.oldest(days)
        if message := self._trusted.warning():
            if not self._clock_reported:
                self._log(message)
            self._clock_reported = True
        else:
            self._clock_reported = False
        return oldest

    def suppose(self, moment: float) -> None:
        """Something that streamrec wrote at this time exists: where no time is known, it is taken from that."""
        if self._fresh and self._trusted is not None:
            self._trusted = TrustedClock(moment, clock=self._clock)
            self._fresh = False

    def _prune(self) -> None:
        self._pruned = time.monotonic()
        events, messages = self.oldest(self.keep_days), self.oldest(outbox.OUTBOX_DAYS)
        with errors_as_sentences(self.path), self._transaction() as connection:
            if self.keep_days > 0:
                connection.execute("DELETE FROM event WHERE ended < ?", (events,))
            outbox.prune(connection, messages)
            coverage.prune(connection, self.oldest(0.0))
            pictures.prune(connection, self.oldest(pictures.PICTURE_DAYS))
            if self._trusted is not None:
                _store_time(connection, self._trusted.time, self._trusted.steady)

    def _remember_time(self) -> None:
        if self._trusted is None or self._database.writer is None:
            return
        believed = self._trusted.check()
        with self._noted:
            watched = self._coverage.unwritten()
        with errors_as_sentences(self.path), self._transaction() as connection:
            _store_time(connection, believed, self._trusted.steady)
            coverage.write(connection, watched)

    # -- the outbox

    def only(self, receiver: str, wants: outbox.Wants) -> None:
        """Queue only what this receiver wants, from now on; ``wants`` must not wait or raise."""
        self._wants = {**self._wants, receiver: wants}

    def waiting(self, receiver: str, limit: int = 100, *, held: bool = False) -> list[Message]:
        """The queue of a receiver, the oldest first, whether due or not; ``held``: what is held back instead."""
        return outbox.waiting(self._read, receiver, limit, held=held)

    def hold_back(self, message: Message) -> None:
        """It is not sent by itself: the next message sums up what was held back."""
        self.transact(lambda connection: outbox.hold_back(connection, message))

    def arrived(self, message: Message) -> None:
        """The receiver has taken it, or does not want it: it leaves the queue."""
        self.transact(lambda connection: outbox.remove(connection, message))

    def postpone(self, message: Message, seconds: float) -> None:
        """An attempt failed; the next one is due in so many seconds."""
        self.transact(lambda connection: outbox.postpone(connection, message, self._clock() + seconds))

    def keep_answer(self, receiver: str, id: str, text: str) -> None:
        """Keep what a receiver answered about the event with this id, as long as a message may wait."""
        self.transact(lambda connection: outbox.keep_answer(connection, receiver, id, text, self._clock()))

    def answer(self, receiver: str, id: str) -> str | None:
        """What a receiver answered about an event; None: nothing is kept."""
        return outbox.answer(self._read, receiver, id)

    def drop_answer(self, receiver: str, id: str) -> None:
        """What a receiver answered about an event is needed no more."""
        self.transact(lambda connection: outbox.drop_answer(connection, receiver, id))

    # -- the end

    def close(self, patience: float = 2.0) -> None:
        """End the running events, as interrupted, and close the file; a second time does nothing.

        What a thread has not written within so many seconds is reported, and lost.
        """
        if self._thread is not None:
            self._end_thread(patience)
            return
        with self._lock:
            try:
                if self._database.writer is not None:
                    if self._pending:
                        self._work(urgent=True)
                    self.end_open()
                    self._remember_time()
            finally:
                self._database.close()

    def _end_thread(self, patience: float) -> None:
        assert self._thread is not None
        if self._database.closed:
            return
        ends = time.monotonic() + patience
        if self._builder.running or self._unkept:
            self.end_open()
        self.drain(patience)
        with self._noted:
            self._ending = True
            self._noted.notify_all()
        self._thread.join(max(0.5, ends - time.monotonic()))
        with self._noted:
            left = [item for item in _each(self._pending) if not isinstance(item, _Task)]
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
            self._database.closed = True
            return
        with self._lock:
            if not left:
                with contextlib.suppress(HistoryError):
                    self._remember_time()
            self._database.close()


def _interrupt(connection: sqlite3.Connection, id: str) -> bool:
    """End an event, as interrupted; whether it ran."""
    statement = (
        "UPDATE event SET ended = max(seen, started), interrupted = 1, change = ? "
        "WHERE id = ? AND ended IS NULL"
    )
    return connection.execute(statement, (next_change(connection), id)).rowcount > 0


def _believed_in(connection: sqlite3.Connection) -> tuple[float | None, float]:
    """The time that a file knows, and for how many seconds a clock that jumped has run steadily."""
    row = connection.execute("SELECT time, steady FROM believed").fetchone()
    if row is not None and all(isinstance(value, float) and math.isfinite(value) for value in row):
        return row[0], row[1]
    (newest,) = connection.execute(
        f"SELECT max(max(started, coalesce(ended, 0), seen)) FROM event WHERE {SOUND} AND abs(seen) < 1e11"
    ).fetchone()
    return (None if newest is None else float(newest)), 0.0


def _store_time(connection: sqlite3.Connection, moment: float, steady: float) -> None:
    connection.execute("DELETE FROM believed")
    connection.execute("INSERT INTO believed VALUES (?, ?)", (moment, steady))

"""The SQLite schema of a history: tables, migration and repair of a file, and SQLite's errors as sentences."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from streamrec.core.files import open_private
from streamrec.core.locks import Held, Lock
from streamrec.core.messages import why
from streamrec.core.redact import redact
from streamrec.core.text import printable
from streamrec.errors import HistoryError

LAYOUT = 1  # of the tables, kept in PRAGMA user_version; a newer one is refused, an older one is brought up
_MARK = 0x73726563  # PRAGMA application_id: "srec"

_TABLES = {
    "event": """CREATE TABLE event (
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
    change INTEGER NOT NULL,    -- the number of its last change
    person INTEGER,             -- by the camera's number; NULL: it is of the whole picture
    box TEXT,                   -- JSON
    keypoints TEXT,             -- JSON
    zone TEXT,
    rule TEXT,                  -- the name of the rule that reports it
    based_on TEXT,              -- JSON: ids of events
    forecast TEXT,              -- JSON: channel, reading, what was forecast
    decision TEXT,              -- whether receivers are notified; NULL: they are
    decided_by TEXT,
    reason TEXT,
    held_until REAL,
    judgment TEXT,              -- of a second opinion; NULL: there is none
    opinion TEXT,
    judged_by TEXT,
    asked REAL                  -- when the model was asked, seconds since 1970
)""",
    "counter": "CREATE TABLE counter (change INTEGER NOT NULL)",
    "outbox": """CREATE TABLE outbox (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    receiver TEXT NOT NULL,
    id TEXT NOT NULL,           -- the same however often it is sent
    kind TEXT NOT NULL,
    made REAL NOT NULL,
    body TEXT NOT NULL,         -- JSON: the event as it was then
    attempts INTEGER NOT NULL DEFAULT 0,
    due REAL NOT NULL DEFAULT 0,
    held INTEGER NOT NULL DEFAULT 0,  -- 1: a later message sums it up
    UNIQUE (receiver, id)
)""",
    # The picture of an event, for notifications (pictures.py).
    "picture": """CREATE TABLE picture (
    id TEXT PRIMARY KEY,        -- the event's
    made REAL NOT NULL,         -- when the event began, seconds since 1970
    jpeg BLOB NOT NULL
)""",
    # When each camera gave frames (coverage.py).
    "watched": """CREATE TABLE watched (
    camera TEXT NOT NULL,
    began REAL NOT NULL,        -- seconds since 1970
    ended REAL NOT NULL,
    PRIMARY KEY (camera, began)
)""",
    # Of an event by a model, what it is compared with others by (vectors.py).
    "vector": """CREATE TABLE vector (
    event TEXT PRIMARY KEY,     -- its id
    kind TEXT NOT NULL,         -- names the weights of the model
    data BLOB NOT NULL          -- half precision
)""",
    # The last time that was certain (core/clock_jumps.py): ages are counted from it.
    "believed": "CREATE TABLE believed (time REAL NOT NULL, steady REAL NOT NULL)",
}
# Tables that files of earlier versions do not have; a reader takes them as empty.
_LATER_TABLES = ("watched", "picture", "vector")
_INDEXES = (
    "CREATE INDEX IF NOT EXISTS event_by_camera ON event (camera, id)",
    "CREATE INDEX IF NOT EXISTS event_by_label ON event (label, id)",
    "CREATE INDEX IF NOT EXISTS event_by_change ON event (change)",
    "CREATE INDEX IF NOT EXISTS event_open ON event (id) WHERE ended IS NULL",
    "CREATE INDEX IF NOT EXISTS event_asked ON event (asked) WHERE asked IS NOT NULL",
    # A vector goes with its event, for whatever reason that is deleted.
    "CREATE TRIGGER IF NOT EXISTS vector_with_event AFTER DELETE ON event "
    "BEGIN DELETE FROM vector WHERE event = OLD.id; END",
    "CREATE INDEX IF NOT EXISTS event_held ON event (id) WHERE decision = 'hold'",
)
# Columns that files of earlier versions do not have; a reader takes them as empty.
_LATER = {
    "person": "INTEGER",
    "box": "TEXT",
    "keypoints": "TEXT",
    "zone": "TEXT",
    "rule": "TEXT",
    "based_on": "TEXT",
    "forecast": "TEXT",
    "decision": "TEXT",
    "decided_by": "TEXT",
    "reason": "TEXT",
    "held_until": "REAL",
    "judgment": "TEXT",
    "opinion": "TEXT",
    "judged_by": "TEXT",
    "asked": "REAL",
}
# Columns that can be added where they are missing, and as what; the others make an event what it is.
_ADDED = {
    "event": {
        "model": "TEXT NOT NULL DEFAULT ''",
        "ended": "REAL",
        "seen": "REAL NOT NULL DEFAULT 0",
        "timestamp": "REAL",
        "confidence": "REAL NOT NULL DEFAULT 0",
        "repetitions": "INTEGER",
        "interrupted": "INTEGER NOT NULL DEFAULT 0",
        "clip": "TEXT",
        "clip_started": "REAL",
        "thumbnail": "TEXT",
        "change": "INTEGER NOT NULL DEFAULT 0",
        **_LATER,
    },
    "outbox": {
        "made": "REAL NOT NULL DEFAULT 0",
        "attempts": "INTEGER NOT NULL DEFAULT 0",
        "due": "REAL NOT NULL DEFAULT 0",
        "held": "INTEGER NOT NULL DEFAULT 0",
    },
}
_NEEDED = {
    "event": {"id", "camera", "label", "started"},
    "counter": {"change"},
    "outbox": {"number", "receiver", "id", "kind", "body"},
    "believed": {"time", "steady"},
    "watched": {"camera", "began", "ended"},
    "vector": {"event", "kind", "data"},
    "picture": {"id", "made", "jpeg"},
}
# A row that can be read as an event: other programs that wrote into the file may have left others.
SOUND = (
    "typeof(id) = 'text' AND typeof(camera) = 'text' AND typeof(model) = 'text' AND typeof(label) = 'text' "
    "AND typeof(confidence) IN ('real', 'integer') "
    "AND typeof(coalesce(clip, '')) = 'text' AND typeof(coalesce(thumbnail, '')) = 'text' "
    "AND typeof(coalesce(person, 0)) = 'integer' "
    "AND typeof(coalesce(zone, '')) = 'text' AND typeof(coalesce(rule, '')) = 'text' "
    "AND typeof(coalesce(timestamp, 0)) IN ('real', 'integer') "
    "AND typeof(coalesce(decided_by, '')) = 'text' AND typeof(coalesce(reason, '')) = 'text' "
    "AND typeof(coalesce(opinion, '')) = 'text' AND typeof(coalesce(judged_by, '')) = 'text' "
    + " ".join(
        # Times that a calendar has.
        f"AND typeof({time}) IN ('real', 'integer') AND {time} BETWEEN -6e10 AND 1e11"
        for time in ("started", "coalesce(ended, 0)", "coalesce(clip_started, 0)", "coalesce(held_until, 0)")
    )
)


def open_writing(path: Path) -> tuple[sqlite3.Connection, tuple[str, ...]]:
    """A connection for writing, tables created or repaired, and messages about the repairs.

    A new file and SQLite's files beside it are readable by their owner alone. Raises ``HistoryError``, ``OSError``
    and ``sqlite3.Error``.
    """
    if not path.exists() and path.parent.is_dir():
        with contextlib.suppress(FileExistsError):
            open_private(path, "xb").close()
    connection = connect(path, "rw")
    try:
        new = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
        if not new:
            check_layout(connection, path)  # before anything is written into another program's file
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # a power cut loses nothing either
        if new:
            _create_tables(connection)
            return connection, ()
        return connection, _mended(connection, path)
    except BaseException:
        connection.close()
        raise


def _create_tables(connection: sqlite3.Connection) -> None:
    with transaction(connection):
        for statement in (*_TABLES.values(), *_INDEXES, "INSERT INTO counter VALUES (0)"):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {_MARK}")
        connection.execute(f"PRAGMA user_version = {LAYOUT}")


def check_layout(connection: sqlite3.Connection, path: Path) -> None:
    """Raise ``HistoryError`` where it is another program's file, or of a newer streamrec."""
    mark = connection.execute("PRAGMA application_id").fetchone()[0]
    layout = connection.execute("PRAGMA user_version").fetchone()[0]
    # A copy that was made with .dump has the tables, and neither mark nor layout.
    if mark != _MARK and (mark or not _NEEDED["event"] <= _columns(connection, "event")):
        raise HistoryError(f"{path} is no history of streamrec's; name another file")
    if layout > LAYOUT:
        raise HistoryError(
            f"{path} was written by a newer streamrec (its layout is {layout}, this one knows {LAYOUT}): "
            "upgrade streamrec, or name another file"
        )


def supply_later_tables(connection: sqlite3.Connection) -> None:
    """Let a reader of a file of an earlier version see the tables and columns that it lacks, as empty ones."""
    for table in _LATER_TABLES:
        if not _columns(connection, table):
            connection.execute(f"CREATE TEMP TABLE {_TABLES[table].removeprefix('CREATE TABLE ')}")
    there = _columns(connection, "event")
    lacking = [column for column in _LATER if column not in there]
    if there and lacking:
        more = ", ".join(f"NULL AS {column}" for column in lacking)
        # A view of this connection alone, which goes before the table of the same name.
        connection.execute(f"CREATE TEMP VIEW event AS SELECT *, {more} FROM main.event")


def _columns(connection: sqlite3.Connection, table: str) -> set[str]:
    return {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}


def _mended(connection: sqlite3.Connection, path: Path) -> tuple[str, ...]:
    """Create missing tables, columns, indexes and the counter's row; messages about them."""
    missing: list[str] = []
    messages: list[str] = []
    with transaction(connection):
        for table, statement in _TABLES.items():
            there = _columns(connection, table)
            if not there:
                connection.execute(statement)
                if table not in ("believed", *_LATER_TABLES):  # a file of an earlier version has none
                    missing.append(f"the table {table}")
                continue
            for column, kind in _ADDED.get(table, {}).items():
                if column not in there:
                    connection.execute(f"ALTER TABLE {table} ADD COLUMN {column} {kind}")
                    if column not in (*_LATER, "held"):
                        missing.append(f"the column {column} of {table}")
            if lacking := _NEEDED[table] - there:
                raise HistoryError(
                    f"{path} cannot be used: its table {table} has no {', '.join(sorted(lacking))}; "
                    "move it away, and streamrec begins a new one"
                )
        for statement in _INDEXES:
            connection.execute(statement)
        numbers = [row[0] for row in connection.execute("SELECT change FROM counter")]
        highest = connection.execute(
            "SELECT coalesce(max(change), 0) FROM event WHERE typeof(change) = 'integer'"
        ).fetchone()[0]
        if len(numbers) != 1 or not isinstance(numbers[0], int) or numbers[0] < highest:
            connection.execute("DELETE FROM counter")
            whole = [number for number in numbers if isinstance(number, int)]
            connection.execute("INSERT INTO counter VALUES (?)", (max([highest, *whole]),))
            missing.append("the counter of its changes")
        unsound = connection.execute(f"SELECT count(*) FROM event WHERE NOT ({SOUND})").fetchone()[0]
        connection.execute(f"PRAGMA application_id = {_MARK}")
        connection.execute(f"PRAGMA user_version = {LAYOUT}")
    if missing:
        messages.append(f"{path} was mended: it lacked {', '.join(missing)}")
    if unsound:
        rows = "row is no event and is" if unsound == 1 else "rows are no events and are"
        messages.append(f"{path}: {unsound} {rows} left out; another program wrote into it, or it is damaged")
    return tuple(messages)


def connect(path: Path, mode: str) -> sqlite3.Connection:
    """A connection; ``mode`` is "ro" or "rw"."""
    return _connected(f"{path.absolute().as_uri()}?mode={mode}")


def connect_memory() -> sqlite3.Connection:
    """A connection to a new database in memory, with its tables."""
    connection = _connected(":memory:")
    _create_tables(connection)
    return connection


def _connected(address: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        address,
        uri=True,
        timeout=2.0,
        isolation_level=None,  # transactions are begun explicitly
        check_same_thread=False,  # the caller's locks see to it
    )
    connection.text_factory = _text
    return connection


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """A transaction: committed when the block ends, rolled back where it raises."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):  # a full disk has already rolled it back
            connection.execute("ROLLBACK")
        raise


def in_words(path: Path, error: sqlite3.Error) -> str:
    """SQLite's error as a sentence."""
    return redact(printable(_in_words(path, error)))


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
    if code == sqlite3.SQLITE_IOERR:
        return f"cannot use {path}: the disk does not read or write it"
    if code == sqlite3.SQLITE_ERROR and str(error).startswith("no such "):
        return (
            f"cannot read {path}: there is {error} in it; `streamrec watch` and `run` mend it when they write to it, "
            "or move it away"
        )
    return f"cannot use {path}: {error}"


def lock_of(path: Path) -> Path:
    """The lock file of a history: beside the file that a link leads to, whatever the link is called."""
    true = Path(os.path.realpath(path))
    return true.with_name(f"{true.name}.lock")


def alone_with(path: Path) -> Lock:
    """A lock file beside the history; the system releases it when this process ends, however it ends."""
    if not path.parent.is_dir():
        text = f"cannot open {path}: the folder {path.parent} does not exist; create it first"
        raise HistoryError(redact(printable(text)))
    try:
        return Lock(lock_of(path))
    except Held:
        raise HistoryError(
            f"another streamrec writes to {path}; end it, or give this one a history of its own"
        ) from None
    except OSError as error:
        raise HistoryError(
            f"cannot write {path}: {why(error)}; choose a place where you may write"
        ) from error

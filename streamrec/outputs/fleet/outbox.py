"""The outbox of a group: what it could not save, on its machine's own disk, in order, until the head is back."""

from __future__ import annotations

import contextlib
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from streamrec.core.context import Closing
from streamrec.core.files import open_private
from streamrec.errors import StateError
from streamrec.outputs.fleet.wire import PACKER
from streamrec.outputs.history.records import RemoteResult
from streamrec.outputs.history.tables import transaction

_TABLES = (
    "CREATE TABLE IF NOT EXISTS waiting (number INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, body BLOB NOT NULL)",
    # The newest of each camera: older ones are of no use.
    "CREATE TABLE IF NOT EXISTS snapshot (camera TEXT PRIMARY KEY, epoch INTEGER NOT NULL, body BLOB NOT NULL)",
)


@dataclass(frozen=True, slots=True, eq=False)
class Waiting:
    """Results that wait, as they were put in at once."""

    number: int
    epoch: int
    results: tuple[RemoteResult, ...]


class Outbox(Closing):
    """A queue on the disk. Where the disk does not take it, what happens waits in memory, behind the rest.

    For one thread. ``log`` is called when the disk fails, once.
    """

    def __init__(self, path: Path, *, log: Callable[[str], object] = lambda message: None) -> None:
        self.path = path
        self._log = log
        self._failed = False
        self._memory: list[Waiting] = []
        self._snapshots: dict[str, bytes] = {}  # newer than those on the disk
        self._number = 0
        self._connection: sqlite3.Connection | None = None
        with self._disk():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with contextlib.suppress(FileExistsError):
                open_private(path, "xb").close()
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            for statement in _TABLES:
                self._connection.execute(statement)
            (number,) = self._connection.execute("SELECT coalesce(max(number), 0) FROM waiting").fetchone()
            self._number = int(number)

    @contextlib.contextmanager
    def _disk(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            if not self._failed:
                self._log(f"{self.path} cannot be written ({error}): what happens waits in memory")
            self._failed = True

    def __len__(self) -> int:
        """How much waits."""
        return self._rows() + len(self._memory)

    def _rows(self) -> int:
        if self._connection is None:
            return 0
        with self._disk():
            return int(self._connection.execute("SELECT count(*) FROM waiting").fetchone()[0])
        return 0

    def put(self, epoch: int, results: Iterable[RemoteResult], snapshots: Mapping[str, bytes]) -> None:
        """Keep results, and the newest snapshots, behind what waits already."""
        results = tuple(results)
        self._number += 1
        if self._connection is not None and not self._memory:
            with self._disk():
                self._write(epoch, results, {**self._snapshots, **snapshots})
                self._snapshots, self._failed = {}, False
                return
        self._snapshots |= snapshots
        if results:
            self._memory.append(Waiting(self._number, epoch, results))

    def _write(self, epoch: int, results: tuple[RemoteResult, ...], snapshots: Mapping[str, bytes]) -> None:
        assert self._connection is not None
        with transaction(self._connection):
            if results:
                row = self._number, epoch, PACKER.pack(results)
                self._connection.execute("INSERT INTO waiting VALUES (?, ?, ?)", row)
            self._connection.executemany(
                "INSERT OR REPLACE INTO snapshot VALUES (?, ?, ?)",
                [(camera, epoch, body) for camera, body in snapshots.items()],
            )

    def oldest(self, limit: int = sys.maxsize) -> list[Waiting]:
        """So many of what waits, in order, the oldest first. A row that is damaged is left out, and reported."""
        found: list[Waiting] = []
        if self._connection is not None:
            with self._disk():
                statement = "SELECT number, epoch, body FROM waiting ORDER BY number LIMIT ?"
                for number, epoch, body in self._connection.execute(statement, (limit,)).fetchall():
                    try:
                        found.append(Waiting(number, epoch, PACKER.unpack(body)))
                    except StateError as error:
                        self._log(f"{self.path}: {error}; one entry is left out")
                        found.append(Waiting(number, epoch, ()))
        return [*found, *self._memory[: limit - len(found)]]

    def snapshots(self) -> dict[str, tuple[int, bytes]]:
        """The newest snapshot of each camera, with its epoch; empty once ``clear`` was called."""
        found: dict[str, tuple[int, bytes]] = {}
        if self._connection is not None:
            with self._disk():
                rows = self._connection.execute("SELECT camera, epoch, body FROM snapshot").fetchall()
                found = {camera: (epoch, body) for camera, epoch, body in rows}
        epoch = self._memory[-1].epoch if self._memory else max((one for one, _ in found.values()), default=0)
        return found | {camera: (epoch, body) for camera, body in self._snapshots.items()}

    def taken(self, waiting: Iterable[Waiting]) -> None:
        """These have arrived."""
        numbers = {one.number for one in waiting}
        self._memory = [one for one in self._memory if one.number not in numbers]
        if self._connection is not None:
            with self._disk(), transaction(self._connection):
                self._connection.executemany(
                    "DELETE FROM waiting WHERE number = ?", [(number,) for number in numbers]
                )

    def clear(self) -> None:
        """All of it has arrived, or is of no use any more."""
        self._memory, self._snapshots = [], {}
        if self._connection is not None:
            with self._disk(), transaction(self._connection):
                self._connection.execute("DELETE FROM waiting")
                self._connection.execute("DELETE FROM snapshot")

    def close(self) -> None:
        """Close the file; what waits stays in it."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

"""Corrections on disk: lines that are only ever added, and a file for the seconds of each.

A folder holds ``corrections.jsonl``, ``moments/ID.safetensors`` and ``learned/N-MODEL.safetensors``. A line says what
was corrected, taken back, learned, or unlearned; the file that it names is on the disk before it is. So a kill at
any moment loses nothing that was confirmed, and what it leaves half is not counted. Folder and files are for their
owner alone. They hold scores and features, and no pictures.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from streamrec.core.context import Closing
from streamrec.core.files import PRIVATE_FILE, make_private_folder, replacing
from streamrec.core.locks import Held, Lock
from streamrec.core.messages import why
from streamrec.core.reading import read_json
from streamrec.errors import DataError, SettingsError, WrongValue
from streamrec.teach.corrections.learned import Change
from streamrec.teach.corrections.moments import Moment
from streamrec.teach.corrections.records import Correction

ENDING = ".corrections"  # of the folder, in place of the history's own
MOST = 10_000  # corrections; more are refused
MOST_BYTES = 64 << 20  # of the lines that are read
_ID = re.compile(r"[\w-]{1,64}")
_FILE = re.compile(r"[\w.-]{1,200}\.safetensors")


def folder_beside(history: Path) -> Path:
    """The folder of the corrections that belong to a history.

    >>> folder_beside(Path("/var/lib/events.db")).as_posix()
    '/var/lib/events.corrections'
    """
    return history.with_name(f"{history.stem}{ENDING}")


class CorrectionStore(Closing):
    """All corrections, and what was learned. Thread-safe; ``folder`` None keeps it in memory.

    The folder is made with the first correction. Raises ``SettingsError`` where it cannot be used, or another process
    uses it. ``log`` gets a sentence for lines that are damaged, and passed over.

    >>> with CorrectionStore(None) as store:
    ...     store.active
    ()
    """

    def __init__(self, folder: Path | None, *, log: Callable[[str], object] = lambda message: None) -> None:
        self.folder = folder
        self._log = log
        self._mutex = threading.RLock()
        self._active: dict[str, Correction] = {}  # all that was not taken back, in order
        self._moments: dict[str, Moment] = {}
        self._learned: dict[str, list[tuple[str, Change]]] = {}  # by model: file and change, the newest last
        self._numbers = 0  # of changes that were ever learned
        self._lock: Lock | None = None
        self._lines: int | None = None  # file descriptor
        self._closed = False
        if folder is not None and folder.exists():
            self._begin(folder)

    def _begin(self, folder: Path) -> None:
        try:
            self._open(folder)
        except OSError as error:
            self.close()
            raise SettingsError(f"{folder} cannot keep corrections: {why(error)}") from error
        except BaseException:
            self.close()
            raise

    # -- reading

    @property
    def active(self) -> tuple[Correction, ...]:
        """Corrections that were not taken back, the oldest first."""
        with self._mutex:
            return tuple(self._active.values())

    def get(self, id: str) -> Correction | None:
        """One of them."""
        with self._mutex:
            return self._active.get(id)

    def of_event(self, event: str) -> Correction | None:
        """The correction of an event."""
        with self._mutex:
            return next((one for one in self._active.values() if one.event == event and event), None)

    def moment(self, id: str) -> Moment | None:
        """The seconds of a correction; None where none were kept, or their file is gone."""
        with self._mutex:
            if id not in self._moments and id in self._active and self._active[id].moment and self.folder:
                with contextlib.suppress(OSError, DataError):
                    self._moments[id] = Moment.from_bytes(self._moment_file(id).read_bytes())
            return self._moments.get(id)

    def learned(self, model: str) -> Change | None:
        """The newest change of a model that was not taken back."""
        with self._mutex:
            changes = self._learned.get(model)
            return changes[-1][1] if changes else None

    def depth(self, model: str) -> int:
        """How many changes of a model lie one over the other."""
        with self._mutex:
            return len(self._learned.get(model, ()))

    # -- writing

    def add(self, correction: Correction, moment: Moment | None = None) -> None:
        """Keep a correction; on the disk when it returns. One about the same event takes the place of the former.

        Raises ``SettingsError`` where it cannot be written.
        """
        with self._mutex:
            if len(self._active) >= MOST:
                raise SettingsError(f"there are {MOST:,} corrections: take some back first")
            former = self.of_event(correction.event)
            self._ready()
            if moment is not None and self.folder is not None:
                self._write(self._moment_file(correction.id), moment.to_bytes())
            self._append({"correction": correction.to_dict()} | ({"undone": former.id} if former else {}))
            if former is not None:
                self._drop(former.id)
            self._active[correction.id] = correction
            if moment is not None:
                self._moments[correction.id] = moment

    def undo(self, id: str) -> Correction | None:
        """Take a correction back; None where there is no such one. Its seconds are deleted."""
        with self._mutex:
            correction = self._active.get(id)
            if correction is not None:
                self._append({"undone": id})
                self._drop(id)
            return correction

    def keep_learned(self, change: Change) -> None:
        """A change of a model is in force; the one before it is kept."""
        with self._mutex:
            self._ready()
            self._numbers += 1
            model = re.sub(r"[^\w.-]", "_", change.model)[:100]
            name = f"{self._numbers}-{model}.safetensors"
            if self.folder is not None:
                self._write(self.folder / "learned" / name, change.to_bytes())
            self._append({"learned": name, "model": change.model})
            self._learned.setdefault(change.model, []).append((name, change))

    def undo_learned(self, model: str) -> bool:
        """Take the newest change of a model back; whether there was one. The one before it is in force again."""
        with self._mutex:
            changes = self._learned.get(model)
            if not changes:
                return False
            self._append({"unlearned": changes[-1][0], "model": model})
            name, _ = changes.pop()
            if self.folder is not None:
                with contextlib.suppress(OSError):
                    (self.folder / "learned" / name).unlink()
            return True

    def close(self) -> None:
        """Close the files; a second time does nothing."""
        with self._mutex:
            self._closed = True
            if self._lines is not None:
                os.close(self._lines)
                self._lines = None
            if self._lock is not None:
                self._lock.release()
                self._lock = None

    # -- the folder

    def _ready(self) -> None:
        """Make the folder with the first that is kept in it: without a correction there is none."""
        if self.folder is not None and self._lines is None and not self._closed:
            self._begin(self.folder)

    def _open(self, folder: Path) -> None:
        make_private_folder(folder)
        for name in ("moments", "learned"):
            make_private_folder(folder / name)
        try:
            self._lock = Lock(folder / "lock")
        except Held as error:
            raise SettingsError(
                f"{folder} is in use by another streamrec: give each a history of its own"
            ) from error
        path = folder / "corrections.jsonl"
        self._lines = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, PRIVATE_FILE)
        if os.fstat(self._lines).st_size > MOST_BYTES:
            raise SettingsError(f"{path} is larger than {MOST_BYTES >> 20} MB: it is not of this program")
        with path.open("rb") as file:
            data = file.read()
        whole, _, torn = data.rpartition(b"\n")
        damaged = sum(not self._take(line) for line in whole.split(b"\n") if line)
        if torn:  # a kill cut it: it was never confirmed
            os.ftruncate(self._lines, len(data) - len(torn))
        if damaged:
            self._log(f"{path}: {damaged} lines are damaged, and passed over")

    def _take(self, line: bytes) -> bool:
        """Read a line; whether it was sound."""
        try:
            value = read_json(line)
            if not isinstance(value, dict):
                raise WrongValue("no line of corrections")
            if "undone" in value:
                self._active.pop(str(value["undone"]), None)
            if "correction" in value:
                correction = Correction.from_dict(value["correction"])
                if not _ID.fullmatch(correction.id):
                    raise WrongValue("no id")
                self._active[correction.id] = correction
            if "learned" in value:
                self._take_learned(str(value["learned"]))
            if "unlearned" in value:
                changes = self._learned.get(str(value["model"]), [])
                changes[:] = [one for one in changes if one[0] != value["unlearned"]]
        except (ValueError, TypeError, KeyError, AttributeError, OSError, DataError):
            return False
        return True

    def _take_learned(self, name: str) -> None:
        self._numbers += 1
        assert self.folder is not None
        if not _FILE.fullmatch(name):
            raise WrongValue("no name of a file")
        path = self.folder / "learned" / name
        if path.exists():  # else it was taken back
            change = Change.from_bytes(path.read_bytes())
            self._learned.setdefault(change.model, []).append((name, change))

    def _moment_file(self, id: str) -> Path:
        assert self.folder is not None
        return self.folder / "moments" / f"{id}.safetensors"

    def _write(self, path: Path, data: bytes) -> None:
        try:
            with replacing(path, private=True, fresh=True) as file:
                file.write(data)
        except OSError as error:
            raise SettingsError(f"{path} cannot be written: {why(error)}") from error

    def _append(self, value: dict[str, Any]) -> None:
        if self.folder is None:
            return
        if self._lines is None:
            raise SettingsError(f"{self.folder} is closed")
        data = json.dumps(value, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"
        try:
            before = os.fstat(self._lines).st_size
            try:
                if os.write(self._lines, data) < len(data):
                    raise OSError("only a part could be written")
                os.fsync(self._lines)
            except OSError:
                with contextlib.suppress(OSError):  # what is not confirmed is not there
                    os.ftruncate(self._lines, before)
                raise
        except OSError as error:
            raise SettingsError(f"{self.folder} cannot keep corrections: {why(error)}") from error

    def _drop(self, id: str) -> None:
        self._active.pop(id, None)
        self._moments.pop(id, None)
        if self.folder is not None:
            with contextlib.suppress(OSError):
                self._moment_file(id).unlink()

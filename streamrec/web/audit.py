"""The audit log: who changed what, when and from where, one line of JSON each.

It lies beside the access file (``page.access`` -> ``page.audit.jsonl``), readable by its owner alone, and holds no
password, no token and no address of a camera: of a request only the fields are logged that its route declares
(``web/roles.py``). A file that is too large or too old is set aside as ``page.audit.1.jsonl``, in place of the one
before.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from streamrec.core.files import open_private
from streamrec.core.messages import why
from streamrec.outputs.history.records import iso

KEEP_DAYS = 180  # a line is kept at least so long, unless there are too many
MOST_BYTES = 4 << 20  # of one of the two files
_IN_MEMORY = 1_000  # lines, where there is no file
_REFUSALS = 30  # that are logged within
_REFUSAL_SECONDS = 60.0
_LONGEST = 200  # characters of a field


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """One line: a change, or an attempt that was refused."""

    what: str  # "camera changed", "log-in" ...
    who: str  # name of the user or token; "": without one
    by: str = "user"  # user, token, anyone (a page without a log-in) or command (the command line)
    address: str = ""  # of the client
    about: Mapping[str, str] = field(default_factory=dict)  # what was changed
    done: bool = True  # False: it was refused
    when: float = 0.0  # seconds since 1970

    def to_dict(self) -> dict[str, Any]:
        """The line's JSON."""
        return {
            "when": iso(self.when),
            "who": self.who,
            "by": self.by,
            "from": self.address,
            "what": self.what,
            "about": dict(self.about),
            "done": self.done,
        }


class AuditLog:
    """Adds and reads lines, from any thread. ``path`` None: in memory only.

    ``log`` gets a sentence where a line cannot be written; it is kept in memory then.
    """

    def __init__(
        self,
        path: Path | None,
        *,
        clock: Callable[[], float] = time.time,
        log: Callable[[str], object] = lambda message: None,
    ) -> None:
        self.path = path
        self._clock, self._log = clock, log
        self._lock = threading.Lock()
        self._memory: deque[dict[str, Any]] = deque(maxlen=_IN_MEMORY)
        self._refused: deque[float] = deque(maxlen=_REFUSALS)

    def add(self, deed: Deed) -> None:
        """Write a line; it is on the disk afterwards. Of refusals at most 30 a minute are kept."""
        now = self._clock()
        with self._lock:
            if not deed.done:
                if len(self._refused) == _REFUSALS and now - self._refused[0] < _REFUSAL_SECONDS:
                    return
                self._refused.append(now)
            shown = {**deed.to_dict(), "when": iso(deed.when or now)}
            shown["about"] = {key: text[:_LONGEST] for key, text in shown["about"].items()}
            if self.path is None:
                self._memory.append(shown)
                return
            try:
                self._set_aside(self.path, now)
                with open_private(self.path, "a", encoding="utf-8") as out:
                    out.write(
                        json.dumps(shown, ensure_ascii=False).encode("utf-8", "replace").decode() + "\n"
                    )
                    out.flush()
                    os.fsync(out.fileno())
            except OSError as error:
                self._memory.append(shown)
                self._log(f"{self.path} cannot be written: {why(error)}; what was changed is kept in memory")

    def read(self, limit: int = 100, *, before: float | None = None) -> list[dict[str, Any]]:
        """The newest lines, newest first; ``before``: seconds since 1970. Damaged lines are left out."""
        with self._lock:
            lines = [*self._lines(), *self._memory][::-1]
        lines.sort(key=_when, reverse=True)
        return [line for line in lines if before is None or _when(line) < before][:limit]

    def _lines(self) -> Iterator[dict[str, Any]]:
        oldest = self._clock() - 2 * KEEP_DAYS * 86_400
        for path in () if self.path is None else (_aside(self.path), self.path):
            with contextlib.suppress(OSError):
                for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                    with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):
                        found = json.loads(line)
                        if _when(found) >= oldest:
                            yield found

    def _set_aside(self, path: Path, now: float) -> None:
        """Rename the file where it is too large or too old; another process that writes it just now loses nothing."""
        aside = _aside(path)
        with contextlib.suppress(OSError):
            if now - aside.stat().st_mtime > KEEP_DAYS * 86_400:
                aside.unlink()
        with contextlib.suppress(OSError):
            if path.stat().st_size > MOST_BYTES or now - _first(path) > KEEP_DAYS * 86_400:
                path.replace(aside)


def audit_path(access_file: Path | None, history: Path | None = None) -> Path | None:
    """Where the audit log lies: beside the access file, else beside the history; None: in memory.

    >>> audit_path(Path("page.access")).name, audit_path(None, Path("events.db")).name, audit_path(None)
    ('page.audit.jsonl', 'events.audit.jsonl', None)
    """
    owner = access_file or history
    return None if owner is None else owner.with_name(f"{owner.stem}.audit.jsonl")


def _aside(path: Path) -> Path:
    return path.with_suffix(f".1{path.suffix}")


def _first(path: Path) -> float:
    """When the first line was written; infinite where that is not known."""
    try:
        with path.open(encoding="utf-8", errors="replace") as lines:
            return _when(json.loads(lines.readline()))
    except (ValueError, KeyError, TypeError):
        return float("inf")


def _when(line: dict[str, Any]) -> float:
    return datetime.fromisoformat(line["when"]).timestamp()

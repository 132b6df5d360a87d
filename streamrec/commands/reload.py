"""Reload while running: notices that ``cameras.toml`` has changed, and reads it in a thread beside recognition."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from streamrec.commands.roster import Plan
from streamrec.core.messages import why
from streamrec.core.process_end import READ
from streamrec.errors import SettingsError

_POLL_SECONDS = 1.0
_SWITCH_SECONDS = 0.0005  # that the recognizing thread waits at most for the one that reads settings


class Changes:
    """Polls files once a second. A change counts when it is whole: the file is the same twice in a row."""

    def __init__(self, files: tuple[Path, ...]) -> None:
        self._known = self._last = {path: _stamp(path) for path in files}
        self._due = time.monotonic() + _POLL_SECONDS

    def seen(self) -> bool:
        """Whether the files have changed since this was last true."""
        if time.monotonic() < self._due:
            return False
        self._due = time.monotonic() + _POLL_SECONDS
        now, before = {path: _stamp(path) for path in self._known}, self._last
        self._last = now
        if now == self._known or now != before:
            return False
        self._known = now
        return True

    def take(self) -> None:
        """Forget changes until now: the files are being read."""
        self._known = self._last = {path: _stamp(path) for path in self._known}

    def follow(self, files: tuple[Path, ...]) -> None:
        """Poll these files from now on; those that were polled before keep their last state."""
        self._known = {path: self._known[path] if path in self._known else _stamp(path) for path in files}
        self._last = {path: self._last.get(path, stamp) for path, stamp in self._known.items()}


def _stamp(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except (OSError, ValueError):  # an editor may be about to put the new one in its place
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


class Reload:
    """Reads the file and prepares what it asks for in a thread, so that recognition does not wait.

    ``asked``: by a signal or the page, so that the answer is reported even where nothing changed.
    """

    def __init__(self, work: Callable[[], Plan], *, asked: bool) -> None:
        self.asked = asked
        self._work = work
        self._answer: Plan | SettingsError | None = None
        # By this name the process does not wait for it at its end: a disk that hangs may hold it.
        self._thread = threading.Thread(target=self._run, name=f"{READ} settings", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        usual = sys.getswitchinterval()
        sys.setswitchinterval(min(usual, _SWITCH_SECONDS))
        try:
            self._answer = self._work()
        except SettingsError as error:
            self._answer = error
        except BaseException as error:
            self._answer = SettingsError(f"the settings cannot be read: {why(error)}")
        finally:
            sys.setswitchinterval(usual)

    @property
    def over(self) -> bool:
        """Whether it is done."""
        return not self._thread.is_alive()

    def get(self) -> Plan:
        """What was prepared; raises ``SettingsError``."""
        answer = self._answer
        if isinstance(answer, Plan):
            return answer
        raise answer or SettingsError("the settings cannot be read")

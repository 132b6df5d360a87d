"""A history with one receiver, and events that happen in it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from streamrec.notify.receivers import KINDS
from streamrec.outputs.history.store import History
from streamrec.types import ActionEnded, ActionStarted, Frame, Prediction, Result

_NOTHING = Prediction("", 0.0, np.zeros(0, np.float32), 0.0)


class House:
    """A history in a folder, with the receiver of one table of cameras.toml."""

    def __init__(
        self, folder: Path, table: str, settings: Any, clock: Callable[[], float] = time.time
    ) -> None:
        self.settings, self.log = settings, []
        self.history = History(folder / "events.db", receivers=(settings.receiver,), clock=clock)
        self.receiver = KINDS[table].make(settings, self.history, self.log.append)

    def happen(
        self, n: int, *, label: str = "fight", camera: str = "door", start: bool = True, end: bool = True
    ) -> None:
        """An event of half a second that begins at second ``n``, or its start or end alone."""
        events = [ActionStarted(label, float(n), 0.7)] * start
        events += [ActionEnded(label, n + 0.5, float(n), 0.9)] * end
        for event in events:
            frame = Frame(np.zeros((2, 2, 3), np.uint8), n, event.timestamp, 0, camera)
            self.history.record(Result(frame, _NOTHING, (event,)), "fight")
        self.receiver.notify(None)

    def is_empty(self, seconds: float = 60.0) -> bool:
        """Whether nothing waits any more, after so many seconds at most."""
        ends = time.monotonic() + seconds
        while self.history.waiting(self.settings.receiver) and time.monotonic() < ends:
            time.sleep(0.02)
        return not self.history.waiting(self.settings.receiver)

    def wait_for_log(self, seconds: float = 60.0) -> str:
        """The first message, when there is one."""
        ends = time.monotonic() + seconds
        while not self.log and time.monotonic() < ends:
            time.sleep(0.02)
        return self.log[0]

    def close(self) -> None:
        """End the receiver and close the history."""
        self.receiver.close()
        self.history.close()

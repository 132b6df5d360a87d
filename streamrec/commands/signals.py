"""Signals of ``streamrec watch``: SIGINT and SIGTERM end it, SIGHUP reloads ``cameras.toml``."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any, Self

from streamrec.commands.exit_codes import INTERRUPTED
from streamrec.core import process_end as ending


class Signals:
    """SIGINT, SIGTERM and SIGHUP set fields that the loop polls; a second Ctrl-C ends at once."""

    def __init__(self) -> None:
        self.code: int | None = None  # exit code that a signal asked for
        self.reload = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        wanted: dict[str, Any] = {"SIGINT": self._interrupt, "SIGTERM": self._end, "SIGHUP": self._reload}
        for name, handler in wanted.items():
            number = getattr(signal, name, None)  # Windows has no SIGHUP
            if number is not None and threading.current_thread() is threading.main_thread():
                self._before[number] = signal.signal(number, handler)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        ending.handler_ran()
        if self.code is not None:
            raise KeyboardInterrupt
        self.code = INTERRUPTED

    def _end(self, number: int, frame: FrameType | None) -> None:
        ending.handler_ran()
        self.code = 0  # how a service is asked to end: nothing went wrong

    def _reload(self, number: int, frame: FrameType | None) -> None:
        self.reload = True

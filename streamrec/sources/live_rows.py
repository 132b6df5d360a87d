"""Readings that arrive: from a sensor at a serial port, or a broker; opened again when they are lost."""

from __future__ import annotations

import json
import re
import threading
import time
from abc import abstractmethod
from collections.abc import Generator, Iterator
from typing import Any
from urllib.parse import parse_qs

import streamrec.sources.health as report
from streamrec.core.messages import shortened
from streamrec.errors import SourceError
from streamrec.sources.reconnect import backoff
from streamrec.sources.rows import Row, frames_of, row_of
from streamrec.types import SIGNAL, Frame, Source, SourceState

NOT_READ = "what came is no row of readings"  # a cause in ``Health.refused``
RETRIES = 10
_SPLIT = re.compile(r"[,;\s]+")


class LiveRowSource(Source):
    """What sources of readings that arrive have in common; ``_received`` is their own part."""

    sense = SIGNAL
    live = True

    def __init__(self, name: str, channels: tuple[str, ...], *, retries: int | None = RETRIES) -> None:
        self.name = name
        self._named = self.channels = channels
        self._retries = retries
        self._left = threading.Event()

    def interrupt(self) -> None:
        """End the wait for the next row."""
        self._left.set()

    def __iter__(self) -> Iterator[Frame]:
        self._left.clear()
        self.channels = tuple(name for name in self._named if name not in _CLOCKS)
        return report.with_health(self, self._frames())

    def _frames(self) -> Generator[Frame, None, str | None]:
        yield from frames_of(self, self._rows(), arrival=time.monotonic)
        return report.LEFT if self._left.is_set() else None

    def _rows(self) -> Generator[Row | None, None, None]:
        """Rows, and None where the connection was lost and is there again."""
        lost = 0
        while not self._left.is_set():
            try:
                for row in self._received():
                    if self._left.is_set():
                        return
                    lost = 0
                    yield row
                raise SourceError(f"{self.name} has ended")
            except SourceError as error:
                lost += 1
                if self._left.is_set():
                    return
                if self._retries is not None and lost > self._retries:
                    raise
                report.set_state(self, SourceState.reconnecting, str(error))
                report.count_reconnect(self, "lost")
            self._left.wait(backoff(lost - 1))
            yield None

    @abstractmethod
    def _received(self) -> Iterator[Row]:
        """Open it, and give rows as they come; raises ``SourceError`` where it cannot be opened, or is lost."""

    def _read(self, text: str) -> list[Row]:
        """The rows in a text: a JSON object or a list of them, or numbers in the order of the channels."""
        try:
            given = json.loads(text) if text.lstrip()[:1] in ("{", "[") else self._numbers(text)
            several = isinstance(given, list) and bool(given) and isinstance(given[0], dict | list)
            return [row_of(self._by_name(one), "a row", self) for one in (given if several else [given])]
        except (ValueError, SourceError, RecursionError):  # a part of a line, noise, another message
            report.count_refused(self, NOT_READ)
            return []

    def _numbers(self, text: str) -> list[float]:
        return [float(cell) for cell in _SPLIT.split(text.strip())]

    def _by_name(self, given: Any) -> Any:
        """Numbers by the names of the address, where one of these is the clock."""
        if isinstance(given, list) and any(name in _CLOCKS for name in self._named):
            if len(given) != len(self._named):
                raise ValueError("a row of another length")
            return dict(zip(self._named, given, strict=True))
        if isinstance(given, list) and self._named and len(given) != len(self._named):
            raise ValueError("a row of another length")
        return given


_CLOCKS = ("seconds", "time", "timestamp", "t", "milliseconds", "ms")


def options_of(query: str, known: tuple[str, ...], what: str) -> dict[str, str]:
    """The options behind the ? of an address; raises ``SourceError`` for one that there is not."""
    found = {name: values[-1] for name, values in parse_qs(query, keep_blank_values=True).items()}
    for name in found:
        if name not in known:
            raise SourceError(f"{what}: there is no option {shortened(name)}; there are {', '.join(known)}")
    return found


def channels_in(text: str) -> tuple[str, ...]:
    """The names of ``channels=x,y,z``.

    >>> channels_in("x, y")
    ('x', 'y')
    """
    return tuple(name.strip() for name in text.split(",") if name.strip())

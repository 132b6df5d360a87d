"""When each camera was watched: kept beside the events, for rules about what does not happen."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable

from streamrec.events.rules import DAY, GAP, Watched
from streamrec.outputs.history.rows import as_utf8

KEEP_SECONDS = 9 * DAY  # longer than any rule reaches back
_WRITE_SECONDS = 30.0  # what a kill forgets at most: as much of the time as was watched, not more


class Coverage:
    """The times in which cameras gave frames. Not thread-safe: the caller holds a lock.

    >>> coverage = Coverage()
    >>> for second in (0, 5, 10, 60, 65):
    ...     coverage.saw("door", float(second))
    >>> [(one.began, one.ended) for one in coverage.unwritten()]
    [(0.0, 10.0), (60.0, 65.0)]
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._now: dict[str, list[float]] = {}  # camera: began, ended
        self._over: list[Watched] = []  # that are not written yet
        self._monotonic = monotonic
        self._due = monotonic() + _WRITE_SECONDS

    def saw(self, camera: str, moment: float) -> None:
        """A camera gave a frame at this time, seconds since 1970."""
        now = self._now.get(camera)
        if now is None:
            self._now[camera] = [moment, moment]
        elif 0 <= moment - now[1] <= GAP:
            now[1] = moment
        elif not -GAP < moment - now[1] < 0:  # one result may be dated before another
            self._over.append(Watched(camera=camera, began=now[0], ended=now[1]))
            self._now[camera] = [moment, moment]

    @property
    def due(self) -> bool:
        """Whether it is time to write."""
        return bool(self._now) and self._monotonic() >= self._due

    def unwritten(self) -> list[Watched]:
        """The times that are not written, or not to their ends."""
        now = [Watched(camera=camera, began=one[0], ended=one[1]) for camera, one in self._now.items()]
        return [*self._over, *now]

    def written(self, times: list[Watched]) -> None:
        """These are on the disk."""
        done = set(times)
        self._over = [one for one in self._over if one not in done]
        self._due = self._monotonic() + _WRITE_SECONDS


def write(connection: sqlite3.Connection, times: list[Watched]) -> None:
    """Write them, within a transaction; what goes on is continued."""
    connection.executemany(
        "INSERT INTO watched (camera, began, ended) VALUES (?, ?, ?) "
        "ON CONFLICT (camera, began) DO UPDATE SET ended = max(ended, excluded.ended)",
        [(as_utf8(one.camera), one.began, one.ended) for one in times],
    )


def prune(connection: sqlite3.Connection, now: float) -> None:
    """Delete what no rule reaches back to."""
    connection.execute("DELETE FROM watched WHERE ended < ?", (now - KEEP_SECONDS,))

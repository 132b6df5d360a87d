"""The frames that a second opinion is asked about: a few of each event, made small in a thread of their own.

The recognizing thread hands over two frames a second of each camera that may be asked about, by reference.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from streamrec.core.context import Closing
from streamrec.notify.opinion_settings import OpinionSettings
from streamrec.notify.pictures import encoded
from streamrec.outputs.history.records import Announcement, Entry, Kind
from streamrec.settings.evidence import Privacy
from streamrec.types import Result

_EVERY = 0.5  # seconds between two frames that are kept
_WAITING = 8  # frames that wait for the thread: they are whole
_PATIENCE = 3.0  # seconds beyond ``after`` for which the frames of an event are waited for
_T = TypeVar("_T")


@dataclass(slots=True)
class _Kept:
    timestamp: float
    segment: int
    privacy: Privacy
    jpeg: bytes


@dataclass(slots=True)
class _Collection:
    """The frames of one event."""

    entry: Entry
    ends: float  # on the source's clock: the frames after it are not waited for
    until: float  # time.monotonic(): no frame is waited for any more
    kept: list[_Kept] = field(default_factory=list)
    over: bool = False


class FrameCollector(Closing):
    """Collects frames of events; ``ready`` is called with each event and its JPEGs, in the thread of this object.

    ``privacy_of`` says what may be kept of a camera's frames; with ``none`` an event has no JPEGs.
    """

    def __init__(
        self,
        settings: OpinionSettings,
        privacy_of: Callable[[str], Privacy],
        ready: Callable[[Entry, list[bytes]], object],
        *,
        warn: Callable[[str], object] = lambda message: None,
    ) -> None:
        self._settings, self._privacy_of, self._ready, self._warn = settings, privacy_of, ready, warn
        self._cameras = frozenset(settings.cameras)
        self._taken: dict[str, float] = {}  # of a camera: the timestamp of its last frame that was taken
        self._rings: dict[str, deque[_Kept]] = {}
        self._open: dict[str, _Collection] = {}  # by the event's id
        self._changed = threading.Condition()
        # A result whose frame is to be kept, or None; the time on the source's clock; announcements.
        self._waiting: deque[tuple[Result | None, float, tuple[Announcement, ...]]] = deque()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="opinion frames", daemon=True)
        self._thread.start()

    def write(self, result: Result, announced: tuple[Announcement, ...]) -> None:
        """Take a result with its announcements; returns at once."""
        frame = result.frame
        if self._cameras and frame.source not in self._cameras and not announced:
            return
        gone = abs(frame.timestamp - self._taken.get(frame.source, -math.inf))
        due = not result.repeated and not gone < _EVERY
        if not due and not announced:
            return
        with self._changed:
            due = due and len(self._waiting) < _WAITING
            if due or announced:
                self._waiting.append((result if due else None, frame.timestamp, announced))
                self._changed.notify_all()
        if due:
            self._taken[frame.source] = frame.timestamp

    def close(self, patience: float = 1.0) -> None:
        """Pass on what was collected; a second time does nothing."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(patience)

    def _work(self) -> None:
        over = False
        while not over:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed, 0.25 if self._open else None)
                item = self._waiting.popleft() if self._waiting else None
                over = self._closed and item is None
            try:
                if item is not None:
                    self._take(*item)
                self._pass_on(everything=over)
            except Exception as error:  # no error may end the thread: OpenCV, a frame of zero size
                self._warn(f"opinion: {type(error).__name__}: no frames for an event")

    def _take(self, result: Result | None, now: float, announced: tuple[Announcement, ...]) -> None:
        if result is not None:
            self._keep(result)
        for one in announced:
            if one.kind is Kind.started and self._settings.wants(one.entry):
                self._begin(one.entry, now)
            elif one.kind is Kind.ended and one.entry.id in self._open:
                self._open[one.entry.id].over = True

    def _keep(self, result: Result) -> None:
        frame, privacy = result.frame, self._privacy_of(result.frame.source)
        jpeg = encoded(result, privacy, self._settings.side)
        if jpeg is None:
            return
        kept = _Kept(frame.timestamp, frame.segment, privacy, jpeg)
        most = math.ceil((self._settings.before + 4.0) / _EVERY)
        ring = self._rings.setdefault(frame.source, deque(maxlen=most))
        if ring and (ring[-1].segment != kept.segment or ring[-1].timestamp > kept.timestamp):
            ring.clear()
        ring.append(kept)
        for one in self._open.values():
            if one.entry.camera == frame.source:
                one.kept.append(kept)
                one.over = one.over or frame.timestamp >= one.ends

    def _begin(self, entry: Entry, now: float) -> None:
        ring = self._rings.get(entry.camera, ())
        newest = ring[-1].timestamp if ring else now
        began = newest if entry.timestamp is None else entry.timestamp
        kept = [one for one in ring if one.timestamp >= began - self._settings.before] or list(ring)[-1:]
        until = time.monotonic() + self._settings.after + _PATIENCE
        self._open[entry.id] = _Collection(entry, newest + self._settings.after, until, kept)

    def _pass_on(self, *, everything: bool) -> None:
        now = time.monotonic()
        for id, one in list(self._open.items()):
            if one.over or everything or now >= one.until:
                del self._open[id]
                privacy = self._privacy_of(one.entry.camera)
                allowed = [kept.jpeg for kept in one.kept if kept.privacy is privacy]
                self._ready(one.entry, chosen(allowed, self._settings.frames))


def chosen(items: Sequence[_T], count: int) -> list[_T]:
    """So many of the items at most, evenly spread from the first to the last.

    >>> chosen("abcdefg", 3), chosen("abcdefg", 1), chosen("ab", 4)
    (['a', 'd', 'g'], ['d'], ['a', 'b'])
    """
    if len(items) <= count:
        return list(items)
    if count == 1:
        return [items[len(items) // 2]]
    return [items[round(n * (len(items) - 1) / (count - 1))] for n in range(count)]

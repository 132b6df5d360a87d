"""Turns the events of results into history entries: wall-clock times, ids, and which start an end belongs to."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from streamrec.outputs.history.records import Entry, Kind, RemoteResult, event_id, new_id
from streamrec.types import ActionEnded, ActionStarted, Event, Frame, Result


class EntryBuilder:
    """Remembers the running events of every camera. Not thread-safe: the caller holds a lock.

    >>> from streamrec.types import Prediction
    >>> import numpy as np
    >>> builder = EntryBuilder(lambda: 100.0)
    >>> frame = Frame(np.zeros((2, 2, 3), np.uint8), 0, 5.0, 0, "door")
    >>> result = Result(frame, Prediction("", 0.0, np.zeros(0), 0.0), (ActionStarted("fight", 4.0, 0.9),))
    >>> [(str(kind), entry.started) for kind, entry in builder.build(result, "fight")]
    [('started', 99.0)]
    """

    def __init__(self, clock: Callable[[], float], *, repeatable: bool = False) -> None:
        """``repeatable``: ids are those of ``event_id``, so that what is recognized again has the same."""
        self._clock, self._repeatable = clock, repeatable
        # (camera, model, label, rule, person)
        self.running: dict[tuple[str, str, str, str, int | None], Entry] = {}
        self.last_seen: dict[str, float] = {}  # camera: time of its last result, seconds since 1970
        self._zeros: dict[str, tuple[int, float]] = {}  # of a file: its segment, and the time of timestamp 0

    def build(self, result: Result, model: str, *, live: bool = True) -> list[tuple[Kind, Entry]]:
        """The starts and ends of a result, in order.

        Times of a source that is not ``live`` are those of a recording that began with its first result and
        plays at its own speed, however fast it is read.
        """
        frame, camera = result.frame, result.frame.source
        if isinstance(result, RemoteResult) and len(result.entries) == len(result.events):
            return self._given(result)
        wall = self._wall_time(frame, live)
        self.last_seen[camera] = wall
        return [
            self._build(
                event, event.source or camera, event.model or ("" if event.rule else model), wall, frame
            )
            for event in result.events
        ]

    def _given(self, result: RemoteResult) -> list[tuple[Kind, Entry]]:
        """The entries that another machine made."""
        self.last_seen[result.frame.source] = result.seen
        for kind, entry in result.entries:
            if kind is Kind.started:
                self.running[key_of(entry)] = entry
            else:
                self.running.pop(key_of(entry), None)
        return list(result.entries)

    def memory(self, camera: str) -> tuple[Any, ...]:
        """What is remembered of a camera: the events that run, and the time of timestamp 0."""
        running = {key: entry for key, entry in self.running.items() if entry.camera == camera}
        return running, self._zeros.get(camera)

    def resume(self, camera: str, memory: tuple[Any, ...]) -> None:
        """Go on with a camera from the ``memory`` of another builder."""
        running, zero = memory
        self.running |= running
        if zero is not None:
            self._zeros[camera] = zero

    def _wall_time(self, frame: Frame, live: bool) -> float:
        """When the frame was captured, seconds since 1970."""
        now = self._clock()
        wall = now - max(0.0, time.monotonic() - frame.captured) if frame.captured else now
        if live or not math.isfinite(frame.timestamp):
            return wall
        segment, zero = self._zeros.get(frame.source, (None, 0.0))
        if segment != frame.segment:
            zero = wall - frame.timestamp
            self._zeros[frame.source] = frame.segment, zero
        return zero + frame.timestamp

    def _build(self, event: Event, camera: str, model: str, wall: float, frame: Frame) -> tuple[Kind, Entry]:
        key = (camera, event.model, event.label, event.rule, event.person)
        began = event.timestamp if isinstance(event, ActionStarted) else event.started
        confidence = event.confidence if math.isfinite(event.confidence) else 0.0
        entry = self.running.pop(key, None)
        if entry is None:  # it starts now, or its start was never reported
            lag = frame.timestamp - began
            started = wall - (lag if math.isfinite(lag) and lag > 0 else 0.0)
            onset = frame.segment, round(began, 6), event.person, event.rule
            id = (
                event_id(started, camera, model, event.label, *onset) if self._repeatable else new_id(started)
            )
            entry = Entry(
                id=id, camera=camera, model=model, label=event.label, started=started,
                timestamp=began if math.isfinite(began) else None, confidence=confidence,
                person=event.person, box=_box(event), keypoints=_keypoints(event), zone=event.zone or None,
                rule=event.rule or None, based_on=event.based_on,
                forecast=event.forecast if isinstance(event, ActionStarted) else None,
            )  # fmt: skip
        if isinstance(event, ActionEnded):
            lasted = event.duration if math.isfinite(event.duration) else 0.0
            return Kind.ended, replace(
                entry,
                ended=entry.started + max(0.0, lasted),
                confidence=confidence,
                repetitions=event.repetitions,
            )
        self.running[key] = entry
        return Kind.started, entry


def key_of(entry: Entry) -> tuple[str, str, str, str, int | None]:
    """By what an entry that another process made is found while it runs."""
    return entry.camera, entry.model, entry.label, entry.rule or "", entry.person


def _box(event: Event) -> tuple[float, ...] | None:
    """Rounded as they are written; None where a side is no number."""
    return None if event.box is None else _rounded(event.box)


def _keypoints(event: Event) -> tuple[tuple[float, ...], ...] | None:
    if event.keypoints is None:
        return None
    found = [_rounded(one) for one in event.keypoints.tolist()]
    return tuple(one for one in found if one is not None) if None not in found else None


def _rounded(numbers: Sequence[float]) -> tuple[float, ...] | None:
    return tuple(round(n, 4) for n in numbers) if all(map(math.isfinite, numbers)) else None

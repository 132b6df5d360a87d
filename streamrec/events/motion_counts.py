"""One stream's count of any motion that repeats: its state, and a set of repetitions as an event."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from streamrec.core.image import brightness
from streamrec.events.recurrence import Recurrence, RecurrenceCounter, RecurrenceSettings
from streamrec.types import ActionEnded, ActionStarted, Event, Frame

REPEATING = "repeating"  # the label of a set


class MotionCounts:
    """Counts what repeats in the images of one stream. It remembers, so keep one a stream.

    A set is an event like any other, labelled "repeating", which ends with its number of repetitions. Actions that
    no model counts end with the number of repetitions while they lasted, where there were any.
    """

    def __init__(self, settings: RecurrenceSettings | None = None, source: str = "") -> None:
        self._counter = RecurrenceCounter(settings)
        self._source = source
        self.reset()

    def reset(self) -> None:
        """Forget everything; a set that goes on is not reported as ended."""
        self._state = self._counter.initial_state()
        self.found = Recurrence()
        self._clearest = 0.0  # correlation of the set
        self._before: dict[
            tuple[str, str], int
        ] = {}  # model and label of what runs -> the total when it began

    @property
    def memory(self) -> tuple[Any, ...]:
        """All that is remembered of the stream, as a tree of values that never change."""
        return self._state, self.found, self._clearest, dict(self._before)

    @memory.setter
    def memory(self, memory: tuple[Any, ...]) -> None:
        self._state, self.found, self._clearest, before = memory
        self._before = dict(before)

    def step(self, frame: Frame, events: Iterable[Event] = ()) -> tuple[Event, ...]:
        """The events with this frame, the ended ones first: those given, with their counts, and those of sets."""
        last = self.found
        self.found, self._state = self._counter.step(brightness(frame.image), frame.timestamp, self._state)
        own: list[Event] = []
        if last.began is not None and self.found.began != last.began:
            own.append(self._ended(last))
        self._clearest = max(self._clearest, self.found.correlation)
        if self.found.began is not None and self.found.began != last.began:
            began, correlation = self.found.began, self.found.correlation
            own.append(ActionStarted(REPEATING, began, correlation, self._source))
        return _in_order([*self._counted(events), *own])

    def finish(self, events: Iterable[Event] = ()) -> tuple[Event, ...]:
        """The events given, and the end of a set that goes on; then all is forgotten."""
        ended = [] if self.found.began is None else [self._ended(self.found)]
        events = _in_order([*self._counted(events), *ended])
        self.reset()
        return events

    def _ended(self, last: Recurrence) -> ActionEnded:
        assert last.began is not None and last.seen is not None
        clearest, self._clearest = self._clearest, 0.0
        return ActionEnded(REPEATING, last.seen, last.began, clearest, self._source, last.count)

    def _counted(self, events: Iterable[Event]) -> Iterable[Event]:
        for event in events:
            if event.person is not None:  # what repeats in the picture may be another person
                yield event
                continue
            key = event.model, event.label
            found = self.found
            if isinstance(event, ActionStarted):
                within = found.began is not None and found.began >= event.timestamp - (found.period or 0.0)
                self._before[key] = found.total - (found.count if within else 0)
            elif event.repetitions is None and (count := found.total - self._before.pop(key, found.total)):
                event = replace(event, repetitions=count)
            yield event


def _in_order(events: Iterable[Event]) -> tuple[Event, ...]:
    """The ended ones first."""
    return tuple(sorted(events, key=lambda event: isinstance(event, ActionStarted)))

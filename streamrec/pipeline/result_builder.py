"""Predictions of one stream in, its results out: with events, repetitions, and an end for every action that started."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from streamrec.events.detector import EventSettings
from streamrec.events.motion_counts import MotionCounts
from streamrec.events.places import Places, PlaceSettings
from streamrec.events.recurrence import RecurrenceSettings
from streamrec.events.tracker import EventTracker, ModelTrackers, PersonTracker, Tracker, retune
from streamrec.pipeline.listening import Listener
from streamrec.runtime.recognizer import Recognizer, tracker_for
from streamrec.types import Event, Frame, Prediction, Result


class ResultBuilder:
    """Builds the results of one stream: it holds the state of the detector and of the counter, and the last result.

    ``recognizer``: whose predictions these are; its labels may change while it runs. ``events``: other settings than
    the models' own, of all of them or by name. ``count``: count any motion that repeats.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        source: str,
        *,
        events: EventSettings | Mapping[str, EventSettings] | None = None,
        count: RecurrenceSettings | None = None,
    ) -> None:
        self.count = count
        self._events: Tracker = tracker_for(recognizer, events, source)
        # The same, also where their model is named because another one listens.
        self._of_pictures = self._events
        self._counts = None if count is None else MotionCounts(count, source)
        self._places: Places | None = None
        self._source = source
        self._result: Result | None = None
        self._left: Any = None  # memory of places that are not given yet
        self._listener: Listener | None = None

    def listening(self, listener: Listener, model: str) -> None:
        """Add what a model of sound finds from now on. Events of the pictures name their ``model`` then too."""
        if isinstance(self._events, EventTracker | PersonTracker):
            self._events = ModelTrackers({model: self._events})
        self._listener, listener.camera = listener, self._source

    def placed(self, settings: PlaceSettings) -> None:
        """Name the zones of events from now on, and report who crosses a line."""
        self._places = Places(settings, self._source)
        if self._left is not None:
            self._places.memory, self._left = self._left, None

    @property
    def memory(self) -> tuple[Any, ...]:
        """All that is remembered of the stream but the last result, as a tree of values that never change."""
        counts, places = self._counts, self._places
        return (
            self._of_pictures.memory,
            None if counts is None else counts.memory,
            None if places is None else places.memory,
        )

    def resume(self, frame: Frame, prediction: Prediction, memory: tuple[Any, ...]) -> None:
        """Go on after this frame, from the ``memory`` of another one; before ``placed`` is called."""
        self._of_pictures.memory, counts, self._left = memory
        if self._counts is not None and counts is not None:
            self._counts.memory = counts
        self._result = Result(frame, prediction)

    def build(
        self,
        frame: Frame,
        prediction: Prediction,
        *,
        asked: float,
        dropped: int = 0,
        still: int | None = None,
        last: bool = False,
    ) -> Result:
        """The result of the next frame.

        ``asked``: time.monotonic() when the step began. ``last``: no frame follows. Where a new segment begins, what
        was running ends at the last frame of the old one.
        """
        events: tuple[Event, ...] = ()
        if self._result is not None and frame.segment != self._result.frame.segment:
            events = self._finish(self._result.frame.timestamp)
        found = self._events.step(prediction, frame.timestamp)
        if self._counts is not None:
            found = self._counts.step(frame, found)
        if self._places is not None:
            found = self._places.step(frame, prediction.people, found)
        events += found
        repetitions, models = self._events.repetitions, self._events.models(prediction)
        motion = None if self._counts is None else self._counts.found
        if last:
            events += self._finish(frame.timestamp)
        latency = time.monotonic() - (frame.captured or asked)  # a caller's own frames have no capture time
        unknown = self._events.is_unknown(prediction)
        self._result = Result(
            frame,
            prediction,
            events,
            latency,
            dropped,
            repetitions,
            still,
            unknown,
            models=models,
            count=None if motion is None else motion.count,
            period=None if motion is None else motion.period,
            people=prediction.people,
        )
        if self._listener is not None:
            self._result = self._listener.joined(self._result, last=last)
        return self._result

    def late(self, now: float) -> Iterator[Result]:
        """The last result once more, with events of the sound for which no picture came; ``now``: time.monotonic()."""
        if self._listener is not None and (found := self._listener.late(self._result, now)) is not None:
            yield found

    def retune(self, events: Mapping[str, EventSettings]) -> None:
        """Go on with other event settings, by model; from any thread. What runs goes on."""
        retune(self._events, events)

    def ending(self) -> Iterator[Result]:
        """The last result once more, with an end for what still runs; nothing where nothing runs."""
        result = self._result
        if result is None:
            return
        ended = self._finish(result.frame.timestamp)
        if self._listener is not None:
            ended = (*ended, *self._listener.ending(result.frame))
        if ended:
            yield replace(result, events=ended, repeated=True)

    def _finish(self, timestamp: float) -> tuple[Event, ...]:
        """End what runs; then all is forgotten."""
        ended = self._events.finish(timestamp)
        if self._counts is not None:
            ended = self._counts.finish(ended)
        return ended if self._places is None else self._places.finish(ended)

    def release(self) -> None:
        """Drop the last result, and with it its image: no frame follows."""
        self._result = None


Teller = ResultBuilder  # its former name

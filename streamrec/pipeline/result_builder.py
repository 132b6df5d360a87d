"""Predictions of one stream -> its results: what began, what ended, how often, and that all of it ends."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

from streamrec.events.detector import EventDetector, EventSettings
from streamrec.events.repetitions import RepetitionCounter
from streamrec.nn.config import ModelConfig
from streamrec.types import Event, Frame, Prediction, Result


class Teller:
    """Makes the results of one stream: it remembers for the detector and the counter, and the last result.

    ``events``: other settings than the model's own.
    """

    def __init__(self, config: ModelConfig, source: str, *, events: EventSettings | None = None) -> None:
        self._source = source
        self._detector = EventDetector(config.labels, config.events if events is None else events)
        self._counter = RepetitionCounter(config.labels, config.counted, config.counting)
        self._detected = self._detector.initial_state()
        self._counted = self._counter.initial_state()
        self._result: Result | None = None

    def tell(
        self,
        frame: Frame,
        prediction: Prediction,
        *,
        asked: float,
        dropped: int = 0,
        still: int | None = None,
        last: bool = False,
    ) -> Result:
        """The result of the next frame. ``asked``: time.monotonic() when the model was; ``last``: nothing follows.

        What ran when a new segment begins has ended where the old one did.
        """
        events: tuple[Event, ...] = ()
        if self._result is not None and frame.segment != self._result.frame.segment:
            events = self._finish(self._result.frame.timestamp)
        repetitions: int | None = None
        if self._counter.counted:
            repetitions, self._counted = self._counter.step(prediction, frame.timestamp, self._counted)
        found, self._detected = self._detector.step(prediction, frame.timestamp, self._detected, self._source)
        events += self._told(found)
        if last:
            events += self._finish(frame.timestamp)
        latency = time.monotonic() - (frame.captured or asked)  # a caller's own frames tell no time
        unknown = self._detector.is_unknown(prediction)
        self._result = Result(frame, prediction, events, latency, dropped, repetitions, still, unknown)
        return self._result

    def ending(self) -> Iterator[Result]:
        """The last result once more, with what still runs as ended; nothing where nothing runs."""
        result = self._result
        if result is not None and (ended := self._finish(result.frame.timestamp)):
            yield replace(result, events=ended, repeated=True)

    def forget(self) -> None:
        """Let go of the last result, and of its picture: nothing follows."""
        self._result = None

    def _finish(self, timestamp: float) -> tuple[Event, ...]:
        """End what runs: the stream is over, or a new segment begins."""
        events, self._detected = self._detector.finish(timestamp, self._detected, self._source)
        events = self._told(events)
        self._counted = self._counter.initial_state()
        return events

    def _told(self, events: tuple[Event, ...]) -> tuple[Event, ...]:
        events, self._counted = self._counter.tell(events, self._counted)
        return events

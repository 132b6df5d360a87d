"""One stream's events: detector, repetition counter and their memory, one step a prediction."""

from __future__ import annotations

from collections.abc import Sequence

from streamrec.events.detector import EventDetector, EventSettings
from streamrec.events.repetitions import CountSettings, RepetitionCounter
from streamrec.types import Event, Prediction


class EventTracker:
    """Tracks one stream: what started, what ended, repetitions, and whether the image is out of distribution.

    ``counted``: the labels whose repetitions are counted; ``counting``: how. It remembers, so keep one a stream.
    """

    def __init__(
        self,
        labels: Sequence[str],
        settings: EventSettings,
        counted: Sequence[str] = (),
        counting: CountSettings | None = None,
        source: str = "",
    ) -> None:
        self._detector = EventDetector(labels, settings)
        self._counter = RepetitionCounter(labels, counted, counting)
        self._source = source
        self.reset()

    def reset(self) -> None:
        """Forget everything; what runs is not reported as ended."""
        self._detected = self._detector.initial_state()
        self._counted = self._counter.initial_state()

    def step(self, prediction: Prediction, timestamp: float) -> tuple[Event, ...]:
        """What started or ended with this prediction, the ended ones first. ``timestamp``: seconds."""
        if self._counter.counted:
            _, self._counted = self._counter.step(prediction, timestamp, self._counted)
        events, self._detected = self._detector.step(prediction, timestamp, self._detected, self._source)
        return self._with_repetitions(events)

    def finish(self, timestamp: float) -> tuple[Event, ...]:
        """End what runs, because the stream is over or another segment begins; then all is forgotten."""
        events, self._detected = self._detector.finish(timestamp, self._detected, self._source)
        events = self._with_repetitions(events)
        self._counted = self._counter.initial_state()
        return events

    @property
    def repetitions(self) -> int | None:
        """Repetitions of the set that is under way; None: nothing is counted."""
        return self._counted.count if self._counter.counted else None

    def is_unknown(self, prediction: Prediction) -> bool:
        """Whether the image of this prediction is out of distribution (``EventDetector.is_unknown``)."""
        return self._detector.is_unknown(prediction)

    def _with_repetitions(self, events: tuple[Event, ...]) -> tuple[Event, ...]:
        events, self._counted = self._counter.add_counts(events, self._counted)
        return events

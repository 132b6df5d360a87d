"""One stream's events: detector, repetition counter and their memory, one step a prediction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from streamrec.events.detector import EventDetector, EventSettings
from streamrec.events.repetitions import CountSettings, RepetitionCounter
from streamrec.types import ActionStarted, Event, ModelResult, Prediction


class Tracker(Protocol):
    """What turns one stream's predictions into events; it remembers the stream."""

    def reset(self) -> None:
        """Forget everything; what runs is not reported as ended."""

    def step(self, prediction: Prediction, timestamp: float) -> tuple[Event, ...]:
        """What started or ended with this prediction, the ended ones first. ``timestamp``: seconds."""

    def finish(self, timestamp: float) -> tuple[Event, ...]:
        """End what runs; then all is forgotten."""

    @property
    def repetitions(self) -> int | None:
        """Repetitions of the set that is under way; None: nothing is counted."""

    def is_unknown(self, prediction: Prediction) -> bool:
        """Whether the image of this prediction is out of distribution."""

    def models(self, prediction: Prediction) -> tuple[ModelResult, ...]:
        """What each model says; empty where there is one."""


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
        self._labels = tuple(labels)
        self._detector = EventDetector(labels, settings)
        self._counter = RepetitionCounter(labels, counted, counting)
        self._source = source
        self.reset()

    def retune(self, settings: EventSettings) -> None:
        """Go on with other settings; what runs goes on. From any thread: it counts from the next prediction on."""
        self._detector = EventDetector(self._labels, settings)

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

    def models(self, prediction: Prediction) -> tuple[ModelResult, ...]:
        """Nothing: there is one model, and its fields are the result's own."""
        return ()

    def _with_repetitions(self, events: tuple[Event, ...]) -> tuple[Event, ...]:
        events, self._counted = self._counter.add_counts(events, self._counted)
        return events


class ModelTrackers:
    """Tracks one stream for several models at once; their events name the model.

    ``trackers``: one for each model, by its name, in the order of ``Prediction.each``.
    """

    def __init__(self, trackers: Mapping[str, EventTracker]) -> None:
        self._trackers = dict(trackers)
        self._first = next(iter(self._trackers.values()))

    def retune(self, settings: Mapping[str, EventSettings]) -> None:
        """Go on with other settings, by model; as ``EventTracker.retune``."""
        for name, own in settings.items():
            if name in self._trackers:
                self._trackers[name].retune(own)

    def reset(self) -> None:
        """Forget everything; what runs is not reported as ended."""
        for tracker in self._trackers.values():
            tracker.reset()

    def step(self, prediction: Prediction, timestamp: float) -> tuple[Event, ...]:
        """What started or ended with these predictions, the ended ones first. ``timestamp``: seconds."""
        found = zip(self._trackers.items(), prediction.each, strict=True)
        return in_order(
            replace(event, model=name)
            for (name, tracker), one in found
            for event in tracker.step(one, timestamp)
        )

    def finish(self, timestamp: float) -> tuple[Event, ...]:
        """End what runs, of all models; then all is forgotten."""
        return in_order(
            replace(event, model=name)
            for name, tracker in self._trackers.items()
            for event in tracker.finish(timestamp)
        )

    @property
    def repetitions(self) -> int | None:
        """As of the first model."""
        return self._first.repetitions

    def is_unknown(self, prediction: Prediction) -> bool:
        """As of the first model."""
        return self._first.is_unknown(prediction)

    def models(self, prediction: Prediction) -> tuple[ModelResult, ...]:
        """What each model says."""
        return tuple(
            ModelResult(
                name, replace(one, others=(), people=None), tracker.repetitions, tracker.is_unknown(one)
            )
            for (name, tracker), one in zip(self._trackers.items(), prediction.each, strict=True)
        )


def in_order(events: Iterable[Event]) -> tuple[Event, ...]:
    """The same events, the ended ones first."""
    return tuple(sorted(events, key=lambda event: isinstance(event, ActionStarted)))

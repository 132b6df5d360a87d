"""One stream's events: detector, repetition counter and their memory, one step a prediction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

from streamrec.events.detector import EventDetector, EventSettings, EventState
from streamrec.events.repetitions import CountSettings, CountState, RepetitionCounter
from streamrec.types import ActionEnded, ActionStarted, Event, ModelResult, Person, Prediction


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
        """The prediction of each model; empty where there is one."""

    @property
    def memory(self) -> Any:
        """All that is remembered of the stream, as a tree of values that never change."""

    @memory.setter
    def memory(self, memory: Any) -> None: ...


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
        if events and prediction.forecast is not None:
            events = tuple(_with_forecast(event, prediction) for event in events)
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

    @property
    def memory(self) -> tuple[EventState, CountState]:
        """The states of the detector and of the counter."""
        return self._detected, self._counted

    @memory.setter
    def memory(self, memory: tuple[EventState, CountState]) -> None:
        self._detected, self._counted = memory

    def _with_repetitions(self, events: tuple[Event, ...]) -> tuple[Event, ...]:
        events, self._counted = self._counter.add_counts(events, self._counted)
        return events


class PersonTracker:
    """Tracks everybody in one stream for a model that judges each person; their events say who it was.

    Each person has an ``EventTracker``, from the frame in which they got their number until they are not waited for any
    more, which ends what runs. While no person is followed, an event of the whole picture is one, of no person; as long
    as it runs, the first one who is found doing it is no further event.
    ``model``: its number in ``Person.predictions``; ``given``: what an ``EventTracker`` is given.
    """

    def __init__(
        self,
        model: int,
        labels: Sequence[str],
        settings: EventSettings,
        counted: Sequence[str] = (),
        counting: CountSettings | None = None,
        source: str = "",
    ) -> None:
        self._model = model
        self._settings = settings
        self._make = partial(EventTracker, labels, counted=counted, counting=counting, source=source)
        self._whole = self._make(settings)
        self.reset()

    def retune(self, settings: EventSettings) -> None:
        """Go on with other settings; as ``EventTracker.retune``."""
        self._settings = settings
        for tracker in (self._whole, *(tracker for tracker, _ in list(self._each.values()))):
            tracker.retune(settings)

    def reset(self) -> None:
        """Forget everything; what runs is not reported as ended."""
        self._each: dict[int, tuple[EventTracker, Person]] = {}
        self._whole.reset()
        self._reported: set[str] = set()  # labels of the whole picture that run
        self._same: set[tuple[int, str]] = set()  # what people do that an event of the whole picture reports
        self._last = 0.0  # the timestamp before

    def step(self, prediction: Prediction, timestamp: float) -> tuple[Event, ...]:
        """What started or ended with the predictions of each person, the ended ones first. ``timestamp``: seconds."""
        present = {person.id: person for person in (*(prediction.people or ()), *prediction.missed)}
        events: list[Event] = []
        for number in sorted(self._each.keys() - present.keys()):
            events += self._finished(number, self._last)
        for number, person in present.items():
            judged = person.predictions[self._model] if person.predictions else None
            if judged is None:
                continue
            tracker = self._each[number][0] if number in self._each else self._make(self._settings)
            self._each[number] = tracker, person
            events += self._of_person(person, tracker.step(judged, timestamp))
        events += self._of_picture(self._whole.step(prediction, timestamp), starts=not present)
        self._last = timestamp
        return in_order(events)

    def finish(self, timestamp: float) -> tuple[Event, ...]:
        """End what runs; then all is forgotten."""
        events: list[Event] = []
        for number in list(self._each):
            events += self._finished(number, timestamp)
        events += self._of_picture(self._whole.finish(timestamp), starts=False)
        return tuple(sorted(events, key=lambda event: event.timestamp))

    def _finished(self, number: int, timestamp: float) -> Iterable[Event]:
        tracker, person = self._each.pop(number)
        return self._of_person(person, tracker.finish(timestamp))

    def _of_person(self, person: Person, events: Iterable[Event]) -> list[Event]:
        """Of a person's events those that no event of the whole picture reports already."""
        found: list[Event] = []
        for event in events:
            one = person.id, event.label
            is_same = event.label in self._reported and all(event.label != label for _, label in self._same)
            if isinstance(event, ActionStarted) and is_same:
                self._same.add(one)
            elif isinstance(event, ActionEnded) and one in self._same:
                self._same.discard(one)
            else:
                found.append(replace(event, person=person.id, box=person.box, keypoints=person.keypoints))
        return found

    def _of_picture(self, events: Iterable[Event], *, starts: bool) -> Iterable[Event]:
        """Of the events of the whole picture those that are reported: what started while there was no person."""
        for event in events:
            if isinstance(event, ActionStarted):
                if not starts:
                    continue
                self._reported.add(event.label)
            elif event.label not in self._reported:
                continue
            else:
                self._reported.discard(event.label)
            yield event

    @property
    def repetitions(self) -> int | None:
        """Of the whole picture."""
        return self._whole.repetitions

    def is_unknown(self, prediction: Prediction) -> bool:
        """Of the whole picture."""
        return self._whole.is_unknown(prediction)

    def models(self, prediction: Prediction) -> tuple[ModelResult, ...]:
        """Nothing, as of an ``EventTracker``."""
        return ()

    @property
    def memory(self) -> tuple[Any, ...]:
        """Of each person and of the whole picture, and what of both is one event."""
        each = {number: (tracker.memory, person) for number, (tracker, person) in self._each.items()}
        return each, self._whole.memory, frozenset(self._reported), frozenset(self._same), self._last

    @memory.setter
    def memory(self, memory: tuple[Any, ...]) -> None:
        each, self._whole.memory, reported, same, self._last = memory
        self._reported, self._same, self._each = set(reported), set(same), {}
        for number, (own, person) in each.items():
            tracker = self._make(self._settings)
            tracker.memory = own
            self._each[number] = tracker, person


class ModelTrackers:
    """Tracks one stream for several models at once; their events name the model.

    ``trackers``: one for each model, by its name, in the order of ``Prediction.each``.
    """

    def __init__(self, trackers: Mapping[str, EventTracker | PersonTracker]) -> None:
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
            for event in tracker.step(_with_people(one, prediction), timestamp)
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
        """The prediction of each model."""
        return tuple(
            ModelResult(
                name,
                replace(one, others=(), people=None, missed=(), possible=()),
                tracker.repetitions,
                tracker.is_unknown(one),
            )
            for (name, tracker), one in zip(self._trackers.items(), prediction.each, strict=True)
        )

    @property
    def memory(self) -> dict[str, Any]:
        """Of each model's tracker, by the model's name."""
        return {name: tracker.memory for name, tracker in self._trackers.items()}

    @memory.setter
    def memory(self, memory: Mapping[str, Any]) -> None:
        for name, tracker in self._trackers.items():
            tracker.memory = memory[name]


def _with_forecast(event: Event, prediction: Prediction) -> Event:
    return replace(event, forecast=prediction.forecast) if isinstance(event, ActionStarted) else event


def _with_people(one: Prediction, first: Prediction) -> Prediction:
    """A model's prediction with the people of the frame, which the first one has."""
    return one if one is first else replace(one, people=first.people, missed=first.missed)


def retune(tracker: Tracker, events: Mapping[str, EventSettings]) -> None:
    """Go on with other event settings, by model; what runs goes on."""
    if isinstance(tracker, ModelTrackers):
        tracker.retune(events)
    elif isinstance(tracker, EventTracker | PersonTracker):
        tracker.retune(next(iter(events.values())))


def in_order(events: Iterable[Event]) -> tuple[Event, ...]:
    """The same events, the ended ones first."""
    return tuple(sorted(events, key=lambda event: isinstance(event, ActionStarted)))

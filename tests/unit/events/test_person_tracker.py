"""Events of persons: each has a detector of their own, and while no person is followed the whole picture counts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from streamrec.events.detector import EventSettings
from streamrec.events.motion_counts import MotionCounts
from streamrec.events.recurrence import RecurrenceSettings
from streamrec.events.tracker import EventTracker, ModelTrackers, PersonTracker
from streamrec.types import ActionEnded, ActionStarted, Frame, Person, Prediction

LABELS = ("rest", "wave", "squat")
SETTINGS = EventSettings(smoothing=0.0, shortest=0.2, merge_gap=0.2, background=("rest",))


def prediction_of(label: str) -> Prediction:
    scores = np.full(3, 0.05, np.float32)
    scores[LABELS.index(label)] = 0.9
    return Prediction.of(scores, 0.0, LABELS)


def person(number: int, label: str) -> Person:
    box = (0.1, 0.1 * number, 0.9, 0.1 * number + 0.1)
    return Person(number, box, np.full((17, 3), number, np.float32), 0.8, (prediction_of(label),))


def frame(whole: str, people: dict[int, str], missed: dict[int, str] | None = None) -> Prediction:
    given = (tuple(person(*one) for one in each.items()) for each in (people, missed or {}))
    seen, waiting = given
    return replace(prediction_of(whole), people=seen, missed=waiting)


def play(tracker, *parts: tuple[int, Prediction]):
    """The events of so many frames of each prediction, a tenth of a second apart, and the time."""
    found, now = [], 0.0
    for count, prediction in parts:
        for _ in range(count):
            found += tracker.step(prediction, now)
            now = round(now + 0.1, 6)
    return found, now


def test_each_person_has_events_of_their_own_and_none_of_another():
    tracker = PersonTracker(0, LABELS, SETTINGS)
    events, now = play(
        tracker, (5, frame("wave", {1: "wave", 2: "squat"})), (5, frame("rest", {1: "rest", 2: "squat"}))
    )
    assert [(type(one), one.person, one.label) for one in events] == [
        (ActionStarted, 1, "wave"), (ActionStarted, 2, "squat"), (ActionEnded, 1, "wave"),
    ]  # fmt: skip
    for one in events:
        assert one.box == person(one.person, "rest").box and (one.keypoints == one.person).all()
    (last,) = tracker.finish(now - 0.1)
    assert last.person == 2 and last.started == 0.0 and last.timestamp == 0.9


def test_who_is_waited_for_is_judged_on_and_the_end_of_a_track_ends_what_runs():
    tracker = PersonTracker(0, LABELS, SETTINGS)
    events, _ = play(
        tracker, (5, frame("wave", {1: "wave"})), (5, frame("wave", {}, {1: "wave"})), (2, frame("rest", {}))
    )
    started, ended = events
    assert isinstance(ended, ActionEnded) and ended.person == 1 and ended.timestamp == 0.9
    assert ended.box == started.box


def test_the_whole_picture_counts_while_no_person_is_followed():
    tracker = PersonTracker(0, LABELS, SETTINGS)
    events, _ = play(
        tracker, (5, frame("wave", {})), (5, frame("wave", {1: "rest"})), (5, frame("rest", {1: "rest"}))
    )
    assert [(type(one), one.person) for one in events] == [(ActionStarted, None), (ActionEnded, None)]
    tracker.reset()
    events, now = play(tracker, (5, frame("wave", {1: "rest"})))
    assert events == [] and tracker.finish(now) == ()


def test_who_is_found_doing_what_the_picture_reports_is_no_further_event():
    tracker = PersonTracker(0, LABELS, SETTINGS)
    events, now = play(
        tracker,
        (5, frame("wave", {})),
        (5, frame("wave", {1: "wave"})),
        (5, frame("wave", {1: "wave", 2: "wave"})),  # the second one is
        (5, frame("rest", {1: "rest", 2: "rest"})),
        (5, frame("rest", {1: "wave"})),
    )
    assert [(type(one), one.person) for one in events] == [
        (ActionStarted, None), (ActionStarted, 2), (ActionEnded, 2), (ActionEnded, None), (ActionStarted, 1)
    ]  # fmt: skip
    assert [one.person for one in tracker.finish(now)] == [1]


def test_with_several_models_those_of_persons_say_who_and_the_others_none():
    trackers = ModelTrackers({"a": EventTracker(LABELS, SETTINGS), "b": PersonTracker(1, LABELS, SETTINGS)})
    one = replace(person(3, "squat"), predictions=(None, prediction_of("squat")))
    both = replace(prediction_of("wave"), others=(prediction_of("rest"),), people=(one,))
    events, _ = play(trackers, (5, both))
    assert [(one.model, one.label, one.person) for one in events] == [("a", "wave", None), ("b", "squat", 3)]
    assert [one.prediction.people for one in trackers.models(both)] == [None, None]


def test_other_settings_count_for_everybody():
    tracker = PersonTracker(0, LABELS, SETTINGS)
    play(tracker, (1, frame("rest", {1: "wave"})))
    tracker.retune(replace(SETTINGS, enter=0.95))
    events, _ = play(tracker, (9, frame("rest", {1: "wave", 2: "wave"})))
    assert events == []


def test_the_motion_of_a_picture_is_not_counted_for_a_person():
    counts = MotionCounts(RecurrenceSettings())
    given = (ActionStarted("wave", 0.0, 0.9, person=1), ActionEnded("wave", 1.0, 0.0, 0.9, person=1))
    image = np.zeros((48, 64, 3), np.uint8)
    assert set(counts.step(Frame(image, 0, 1.0), given)) == set(given)

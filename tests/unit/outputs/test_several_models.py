"""Events, history, page and overlay say which of several models spoke."""

from __future__ import annotations

import numpy as np
import pytest

from streamrec import ActionEnded, ActionStarted, EventSettings, Frame, Prediction, Result, draw
from streamrec.commands.wording import describe
from streamrec.events.tracker import EventTracker, ModelTrackers
from streamrec.outputs.history.entry_builder import EntryBuilder
from streamrec.outputs.history.records import Entry, Kind
from streamrec.outputs.overlay import Trail
from streamrec.types import Health, ModelResult, SourceState
from streamrec.web.live import LiveState
from streamrec.web.prometheus import metrics

LABELS = ("idle", "fight")


def says(fight: float, time: float, labels: tuple[str, ...] = LABELS) -> Prediction:
    return Prediction.of(np.array([1 - fight, fight], np.float32), time, labels)


def result(time: float, *fights: float, events: tuple = (), size: int = 4) -> Result:
    """Of the models "day" and "night", which know the same labels."""
    frame = Frame(np.zeros((size * 3 // 4, size, 3), np.uint8), int(10 * time), time, source="door")
    each = tuple(
        ModelResult(name, says(fight, time), repetitions=None if name == "day" else 3, unknown=fight == 0.5)
        for name, fight in zip(("day", "night"), fights, strict=True)
    )
    return Result(frame, each[0].prediction, events, models=each)


def joint(time: float, *fights: float) -> Prediction:
    first, *others = (says(fight, time) for fight in fights)
    return Prediction(first.label, first.confidence, first.probabilities, time, LABELS, others=tuple(others))


def test_models_that_share_a_label_are_tracked_apart():
    quick = EventSettings(smoothing=0.0, shortest=0.0, merge_gap=0.0, background=("idle",))
    slow = EventSettings(smoothing=0.0, shortest=0.2, merge_gap=0.0, background=("idle",))
    trackers = ModelTrackers({"day": EventTracker(LABELS, quick), "night": EventTracker(LABELS, slow)})
    found = [
        (type(event).__name__, event.model, event.label, round(n / 10, 1))
        for n in range(8)
        for event in trackers.step(joint(n / 10, 0.9 if n < 4 else 0.1, 0.9 if n > 1 else 0.1), n / 10)
    ]
    assert found == [
        ("ActionStarted", "day", "fight", 0.0),
        ("ActionEnded", "day", "fight", 0.4),
        ("ActionStarted", "night", "fight", 0.4),
    ]
    assert [(event.model, event.label) for event in trackers.finish(0.8)] == [("night", "fight")]
    said = trackers.models(joint(1.0, 0.2, 0.7))
    assert [(one.model, one.label, one.prediction.others) for one in said] == [
        ("day", "idle", ()),
        ("night", "fight", ()),
    ]


def test_a_prediction_of_other_models_than_are_tracked_is_refused():
    trackers = ModelTrackers({"day": EventTracker(LABELS, EventSettings())})
    with pytest.raises(ValueError):
        trackers.step(joint(0.0, 0.1, 0.2), 0.0)


def test_the_history_keeps_two_events_of_one_label_and_their_models():
    builder = EntryBuilder(lambda: 100.0)
    begun = (ActionStarted("fight", 0.0, 0.9, model="day"), ActionStarted("fight", 0.0, 0.8, model="night"))
    over = (ActionEnded("fight", 2.0, 0.0, 0.9, model="night"),)
    started = builder.build(result(1.0, 0.9, 0.9, events=begun), "day+night")
    (ended,) = builder.build(result(2.0, 0.9, 0.1, events=over), "day+night")
    assert [(str(kind), entry.model) for kind, entry in started] == [("started", "day"), ("started", "night")]
    assert ended[0] is Kind.ended and ended[1].id == started[1][1].id and ended[1].model == "night"
    assert [entry.model for entry in builder.running.values()] == ["day"]


class Door:
    name, health, rate = "door", Health(SourceState.live, since=1.0), 10.0


def test_the_page_shows_each_model_and_whose_action_runs():
    live = LiveState()
    live.beat([Door()])
    live.write(result(0.0, 0.9, 0.5))
    (camera,) = live.cameras()
    assert (camera["label"], camera["unknown"], camera["repetitions"]) == ("fight", False, None)
    assert [
        (one["model"], one["label"], one["unknown"], one["repetitions"], len(one["top"]))
        for one in camera["models"]
    ] == [("day", "fight", False, None, 2), ("night", "idle", True, 3, 2)]
    live.notify(
        Entry(id=str(n), camera="door", model=model, label="fight", started=1.0, confidence=0.9)
        for n, model in enumerate(("day", "night"))
    )
    assert [one["model"] for one in live.cameras()[0]["running"]] == ["day", "night"]
    text = metrics(live, {})
    for model in ("day", "night"):
        assert f'streamrec_actions_total{{camera="door",label="fight",model="{model}"}} 1' in text
    live.notify(
        [Entry(id="0", camera="door", model="day", label="fight", started=1.0, ended=2.0, confidence=0.9)]
    )
    assert [one["model"] for one in live.cameras()[0]["running"]] == ["night"]
    assert [round(float(live.scores("door", model)[3][0, 1]), 1) for model in ("", "day", "night")] == [
        0.9,
        0.9,
        0.5,
    ]
    assert live.scores("door", "dusk") is None
    live.close()


def test_the_overlay_has_a_panel_and_a_timeline_for_each_model():
    trail = Trail(clock=iter(range(100)).__next__)
    for n in range(5):
        last = result(n / 10, 0.9, 0.2, events=(), size=640)
        trail.push(last)
    assert [[moment.label for moment in one] for one in trail.each] == [["fight"] * 5, ["idle"] * 5]
    assert [moment.label for moment in trail] == ["fight"] * 5
    trail.push(result(0.5, 0.9, 0.2, events=(ActionStarted("fight", 0.1, 0.9, model="night"),), size=640))
    trail.push(result(0.6, 0.9, 0.2, events=(ActionEnded("fight", 0.5, 0.1, 0.9, model="day"),), size=640))
    assert [(action.model, action.ended) for action in trail.actions] == [("night", None)]
    image = np.full((480, 640, 3), 200, np.uint8)
    both, alone = draw(image, last, trail), draw(image, Result(last.frame, last.prediction), Trail())
    changed, less = ((one != image).any(axis=(1, 2)).sum() for one in (both, alone))
    assert changed > less
    trail.push(result(0.0, 0.9, 0.2, size=640))  # the clock went back
    assert [len(one) for one in trail.each] == [1, 1]


@pytest.mark.parametrize("size", [16, 160, 320, 1920])
def test_many_models_are_drawn_at_any_size(size):
    frame = Frame(np.zeros((size * 3 // 4, size, 3), np.uint8), 0, 0.0)
    each = tuple(ModelResult(f"model {n}", says(0.7, 0.0), repetitions=n) for n in range(12))
    trail = Trail()
    trail.push(shown := Result(frame, each[0].prediction, models=each))
    assert draw(frame.image, shown, trail).shape == frame.image.shape


def test_an_event_is_described_with_its_model():
    assert describe(ActionStarted("fight", 0.0, 0.9, model="night")) == "night: fight started (90 %)"
    assert describe(ActionStarted("fight", 0.0, 0.9, model="fight")) == "fight started (90 %)"

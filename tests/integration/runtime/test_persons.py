"""Each person is judged by the heads of shipped models, with a memory of their own, by every engine alike."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest

from streamrec import (
    ActionEnded,
    ActionStarted,
    Frame,
    Recognizer,
    RecurrenceSettings,
    State,
    StreamRecognizer,
    open_models,
    results,
)
from streamrec.errors import ModelError, StateError
from streamrec.events.detector import EventSettings
from streamrec.nn.transforms import planar
from streamrec.pipeline.result_builder import ResultBuilder
from streamrec.runtime.checkpoint import find_model, read_checkpoint
from streamrec.runtime.persons import NO_PERSON
from streamrec.teach.corrections.learned import softmax
from tests.helpers.people import frames_of, run, side_by_side, wave_and_squat
from tests.helpers.threads import one_thread_a_module  # noqa: F401


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    return frames_of(side_by_side())


@pytest.fixture(scope="module")
def webcam() -> Recognizer:
    return Recognizer.load("webcam", per_person=True)


def test_everybody_has_a_prediction_of_their_own(webcam, frames):
    assert webcam.per_person == ("webcam",) and webcam.finds_people
    predictions, _ = run(webcam, frames)
    people = predictions[-1].people
    assert [one.id for one in people] == [1, 2]
    for one in people:
        (prediction,) = one.predictions
        assert prediction.labels == webcam.labels and prediction.timestamp == frames[-1].timestamp
        assert prediction.probabilities.sum() == pytest.approx(1.0, abs=1e-5)
    one, other = (person.predictions[0].probabilities for person in people)
    assert np.abs(one - other).max() > 0.01


@pytest.mark.parametrize("name", ["webcam", "fall", "workout"])
def test_the_heads_of_a_person_say_what_the_step_says_of_all_who_were_found(frames, name):
    recognizer = Recognizer.load(name, per_person=True)
    heads, engine = recognizer._engine.persons, recognizer._engine
    state = recognizer.initial_state()
    memory = tuple(np.zeros((1, *shape), np.float32) for shape in heads.memory_shapes)
    elapsed = np.full(1, np.inf, np.float32)
    for frame in frames[:5]:
        images = planar(recognizer.config.transform.resize(frame.image)[None])
        *_, after = engine.step(images, elapsed, state.head, state.cache)
        prediction, state = recognizer.step(frame, state)
        passed = after[len(state.cache) :]
        scores, phases, memory = heads.step(engine.found(state.cache), elapsed, memory, passed)
        np.testing.assert_allclose(scores[0], prediction.probabilities, atol=1e-5)
        if prediction.phase is not None:
            np.testing.assert_allclose(phases[0], prediction.phase, atol=1e-5)
        elapsed = np.full(1, 0.1, np.float32)


@pytest.mark.parametrize("name", ["webcam", "fall", "workout"])
def test_torch_says_the_same_of_each(frames, name):
    predictions, _ = run(Recognizer.load(name, engine="torch", per_person=True), frames[:6])
    expected, _ = run(Recognizer.load(name, per_person=True), frames[:6])
    assert predictions[-1].people
    for one, other in zip(predictions[-1].people, expected[-1].people, strict=True):
        own, theirs = one.predictions[0], other.predictions[0]
        np.testing.assert_allclose(own.probabilities, theirs.probabilities, atol=2e-3)
        assert (own.phase is None) == (theirs.phase is None)


def test_the_score_of_the_picture_stays_as_it_is_without(webcam, frames):
    predictions, _ = run(webcam, frames)
    alone, state = run(Recognizer.load("webcam", people=True), frames)
    for one, other in zip(predictions, alone, strict=True):
        np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-5)
    assert state.persons == () and all(one.predictions == () for one in alone[-1].people)


def test_a_saved_state_goes_on_bit_for_bit(webcam, frames):
    _, last = run(webcam, frames)
    _, half = run(webcam, frames[:6])
    _, end = run(webcam, frames[6:], State.from_bytes(half.to_bytes()))
    assert end.to_bytes() == last.to_bytes() and end.persons[0].shape[1] == NO_PERSON + 1
    with pytest.raises(StateError, match="another model"):
        Recognizer.load("webcam", people=True).step(frames[0], last)


def test_streams_in_one_pass_and_a_gap_are_as_alone(webcam, frames):
    mirrored = [Frame(np.ascontiguousarray(f.image[:, ::-1]), f.index, f.timestamp) for f in frames]
    states = [webcam.initial_state(), webcam.initial_state()]
    for pair in zip(frames, mirrored, strict=True):
        steps = webcam.step_many(pair, states)
        states = [state for _, state in steps]
    for (prediction, _), each in zip(steps, (frames, mirrored), strict=True):
        alone, after = run(webcam, each)
        for one, other in zip(prediction.people, alone[-1].people, strict=True):
            assert one.id == other.id
            np.testing.assert_allclose(
                one.predictions[0].probabilities, other.predictions[0].probabilities, atol=1e-5
            )
    later = Frame(frames[0].image, 99, 60.0)
    prediction, _ = webcam.step(later, after)
    assert prediction.people == () and prediction.missed == ()
    fresh, _ = webcam.step(Frame(frames[0].image, 0, 0.0), webcam.initial_state())
    np.testing.assert_allclose(prediction.probabilities, fresh.probabilities, atol=1e-6)


def test_of_several_models_those_on_keypoints_judge_each_person(frames):
    both = open_models(["fight", "fall", "webcam"], per_person=True)
    assert both.per_person == ("fall", "webcam") and both.passes == 1
    predictions, state = run(both, frames[:6])
    for name, place in (("fall", 1), ("webcam", 2)):
        alone, _ = run(Recognizer.load(name, per_person=True), frames[:6])
        for one, other in zip(predictions[-1].people, alone[-1].people, strict=True):
            assert one.predictions[0] is None
            np.testing.assert_allclose(
                one.predictions[place].probabilities, other.predictions[0].probabilities, atol=1e-4
            )
    again = pickle.loads(pickle.dumps(both))
    assert again.per_person == both.per_person
    again.step(frames[6], state)


def test_a_model_of_whole_pictures_says_which_models_can():
    for name in ("fight", "synthetic"):
        with pytest.raises(ModelError, match="judges whole pictures: models on keypoints judge each person"):
            Recognizer.load(name, per_person=True)
    with pytest.raises(ModelError, match="fight and synthetic"):
        open_models(["fight", "synthetic"], per_person=True)


def test_what_the_last_layer_reads_of_each_person_is_at_hand(frames):
    """A change of the last layer is one of the scores of each person too."""
    both = open_models(["fight", "fall", "webcam"], per_person=True)
    predictions, state = run(both, frames[:6])
    inputs = both.person_inputs(state)
    assert list(inputs) == [one.id for one in predictions[-1].people] == [1, 2]
    assert all(list(own) == ["fall", "webcam"] for own in inputs.values())
    alone = Recognizer.load("webcam", per_person=True)
    _, own = run(alone, frames[:6])
    for number, features in alone.person_inputs(own).items():
        np.testing.assert_allclose(features["webcam"], inputs[number]["webcam"], atol=1e-4)
        assert np.abs(features["webcam"] - alone.head_inputs(own)["webcam"]).max() > 0
    weights = read_checkpoint(find_model("webcam")).weights
    logits = alone.person_inputs(own)[1]["webcam"] @ weights["head.classifier.weight"].T
    scores = softmax(logits + weights["head.classifier.bias"])[0]
    prediction = predictions[-1].people[0].predictions[2]
    np.testing.assert_allclose(scores, prediction.probabilities, atol=1e-4)
    torch = Recognizer.load("fall", engine="torch", per_person=True)
    _, other = run(torch, frames[:6])
    for number, features in torch.person_inputs(other).items():
        np.testing.assert_allclose(features["fall"], inputs[number]["fall"], atol=5e-3)


def test_who_may_be_there_is_known_before_they_have_a_number(webcam, frames):
    predictions, _ = run(webcam, frames)
    assert predictions[0].people == () and len(predictions[0].possible) >= 2
    for one in predictions[-1].people:
        ymin, xmin, ymax, xmax = one.box
        assert any(
            box[0] <= ymin + 1e-3
            and box[1] <= xmin + 1e-3
            and box[2] >= ymax - 1e-3
            and box[3] >= xmax - 1e-3
            for box in predictions[-1].possible
        )


def test_a_recording_is_replayed_with_each_person_bit_for_bit(frames, tmp_path):
    from streamrec.pipeline.flight_recorder import FlightRecorder, replay

    with FlightRecorder(tmp_path) as recorder:
        recognizer = recorder.recorded(Recognizer.load("webcam", per_person=True))
        assert recognizer.per_person == ("webcam",)
        run(recognizer, frames)
    found = replay(tmp_path)
    assert found.difference is None and found.frames == len(frames)


def test_results_have_events_of_persons(webcam):
    """Low thresholds, so that whatever scores at all is an event: each is of a person who is there."""
    recognizer, frames = webcam, frames_of(side_by_side(0, 1))  # both do what no event of the picture reports
    quick = EventSettings(enter=0.3, leave=0.2, smoothing=0.0, shortest=0.0)
    builder = ResultBuilder(recognizer, "room", events=quick)
    state, found = recognizer.initial_state(), []
    for frame in frames:
        prediction, state = recognizer.step(frame, state)
        if len(prediction.people) < 2:  # until both have a number, the picture is judged
            continue
        found += builder.build(frame, prediction, asked=0.0, last=frame is frames[-1]).events
    of_persons = [event for event in found if event.person is not None]
    assert {event.person for event in of_persons} == {1, 2}
    for event in of_persons:
        assert len(event.box) == 4 and event.keypoints.shape == (17, 3) and event.source == "room"
    starts = sorted(
        (e.person, e.label, e.timestamp) for e in found if isinstance(e, ActionStarted) and e.person
    )
    ends = sorted((e.person, e.label, e.started) for e in found if isinstance(e, ActionEnded) and e.person)
    assert starts == ends


@pytest.fixture(scope="module")
def exercise() -> list[Frame]:
    """Two people for nine seconds: the left one waves, the right one squats from 2 s on."""
    return frames_of(wave_and_squat(90))


@pytest.fixture(scope="module")
def workout() -> Recognizer:
    return Recognizer.load("workout", per_person=True)


def test_each_person_is_counted_live_by_a_model_and_of_any_motion(workout, exercise):
    found = list(results(exercise, workout, count=RecurrenceSettings()))
    squatting, waving = (by_place(found[-1].people)[side] for side in ("right", "left"))
    assert squatting.repetitions >= 3 and waving.repetitions == 0
    assert squatting.count >= 3 and 1.0 < squatting.period < 1.4 and waving.count < squatting.count
    counts = [by_place(one.people)["right"].repetitions for one in found if len(one.people) == 2]
    assert counts[0] == 0 and counts == sorted(counts)  # while it happens
    ended = [event for event in found[-1].events if event.label == "squats"]
    assert [(event.person, event.repetitions) for event in ended] == [(squatting.id, squatting.repetitions)]


def test_without_being_asked_for_any_motion_is_not_counted_of_people(workout, exercise):
    last = list(results(exercise[:6], workout))[-1]
    assert [(one.repetitions, one.count, one.period) for one in last.people] == [(0, None, None)] * 2
    (other, *_) = list(results(exercise[:6], Recognizer.load("webcam", people=True)))[-1].people
    assert (other.repetitions, other.count, other.period) == (None, None, None)


def test_counts_go_on_in_a_state_that_was_saved(workout, exercise):
    def stream() -> StreamRecognizer:
        return StreamRecognizer(workout, count=RecurrenceSettings())

    def played(one: StreamRecognizer, frames: list[Frame]):
        return [one.recognize(frame.image, frame.timestamp) for frame in frames][-1]

    through, first, second = stream(), stream(), stream()
    last = played(through, exercise)
    played(first, exercise[:50])
    second.state = State.from_bytes(first.state.to_bytes())
    again = played(second, exercise[50:])
    assert counts_of(again.people) == counts_of(last.people)
    assert second.state.to_bytes() == through.state.to_bytes()
    second.reset()
    assert counts_of(played(second, exercise[:5]).people) == [(1, 0, 0, None), (2, 0, 0, None)]
    other = StreamRecognizer(workout)  # it does not count any motion
    other.state = through.state
    assert [(one.repetitions, one.count) for one in other.recognize(exercise[-1].image, 8.95).people] == [
        (one.repetitions, None) for one in last.people
    ]


def test_several_models_count_each_person_by_the_first_that_counts(exercise):
    both = open_models(["webcam", "workout"], per_person=True)
    alone = list(results(exercise[:60], Recognizer.load("workout", per_person=True)))[-1]
    together = list(results(exercise[:60], both))[-1]
    assert counts_of(together.people) == counts_of(alone.people) != []


def test_a_recording_of_counts_is_replayed_bit_for_bit(workout, exercise, tmp_path):
    from streamrec.pipeline.flight_recorder import FlightRecorder, replay

    with FlightRecorder(tmp_path / "with") as recorder:
        last = list(results(exercise[:40], recorder.recorded(workout), count=RecurrenceSettings()))[-1]
    assert counts_of(last.people)
    found = replay(tmp_path / "with")
    assert found.difference is None and found.frames == 40
    (header,) = (tmp_path / "with").glob("*/flight.json")
    assert json.loads(header.read_text())["counts"] is True
    # One that was made before there were counts has checksums without them.
    header.write_text(json.dumps({**json.loads(header.read_text()), "counts": False}))
    assert "the state after it differs" in replay(tmp_path / "with").difference


def by_place(people):
    left, right = sorted(people, key=lambda one: one.box[1])
    return {"left": left, "right": right}


def counts_of(people):
    return [(one.id, one.repetitions, one.count, one.period) for one in people]

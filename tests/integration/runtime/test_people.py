"""People of the same pass: found by every engine alike, followed in the state, and free for who does not ask."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from streamrec import Frame, Recognizer, State, StreamRecognizer, open_models, results
from streamrec.errors import ModelError, StateError
from streamrec.runtime.checkpoint import load_model, read_checkpoint
from streamrec.runtime.onnx_engine import merged_step, step_of
from streamrec.runtime.people import GRAPH, SIZE, people_step
from tests.helpers.people import frames_of, run, side_by_side
from tests.helpers.threads import one_thread_a_module  # noqa: F401


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    return side_by_side()


@pytest.fixture(scope="module")
def fight() -> Recognizer:
    return Recognizer.load("fight", people=True)


def test_two_people_are_found_where_they_are_and_keep_their_numbers(fight, images):
    said, _ = run(fight, frames_of(images))
    assert [one.id for one in said[0].people] == []
    for prediction in said[3:]:
        assert [one.id for one in prediction.people] == [1, 2]
    sides = {one.id: one.box[1] < 0.5 for one in said[-1].people}
    assert sorted(sides.values()) == [False, True]
    for one in said[-1].people:
        ymin, xmin, ymax, xmax = one.box
        assert 0 <= ymin < ymax <= 1 and 0 <= xmin < xmax <= 1 and one.score > 0.2
        y, x, score = one.keypoints[0]  # the nose is in the upper part of the box
        assert ymin < y < ymin + 0.4 * (ymax - ymin) and xmin < x < xmax and score > 0.2
        assert one.keypoints.shape == (17, 3)


def test_the_letterbox_is_undone(fight, images):
    """The same picture with gray above and below, as the model would pad it, is the same input."""
    wide = [image[: image.shape[1] * 9 // 16] for image in images]
    tall = [np.pad(image, ((60, 60), (0, 0), (0, 0)), constant_values=114) for image in images]
    for given, extra in ((wide, 0), (tall, 60)):
        said, _ = run(fight, frames_of(given))
        height, plain = given[0].shape[0], given[0].shape[0] - 2 * extra
        for one in said[-1].people:
            feet = one.box[2] * height - extra
            assert 0.6 * plain < feet < 1.02 * plain


def test_scores_are_those_of_the_model_without_people(fight, images):
    plain = Recognizer.load("fight")
    said, _ = run(fight, frames_of(images))
    alone, state = run(plain, frames_of(images))
    for one, other in zip(said, alone, strict=True):
        np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-5)
        assert other.people is None
    assert state.tracks == () and not plain.finds_people and fight.finds_people


@pytest.mark.parametrize("name", ["fall", "webcam"])
def test_every_model_on_the_backbone_finds_the_same_people(fight, images, name):
    said, _ = run(Recognizer.load(name, people=True), frames_of(images[:6]))
    expected, _ = run(fight, frames_of(images[:6]))
    for one, other in zip(said[-1].people, expected[-1].people, strict=True):
        assert one.id == other.id and one.box == pytest.approx(other.box, abs=1e-4)


@pytest.mark.parametrize("name", ["fall", "fight", "webcam"])
def test_torch_finds_the_same_people(fight, images, name):
    said, _ = run(Recognizer.load(name, engine="torch", people=True), frames_of(images[:5]))
    expected, _ = run(fight, frames_of(images[:5]))
    for one, other in zip(said[-1].people, expected[-1].people, strict=True):
        assert one.id == other.id and one.box == pytest.approx(other.box, abs=1e-3)
        np.testing.assert_allclose(one.keypoints, other.keypoints, atol=2e-3)


def test_a_saved_state_goes_on_bit_for_bit(fight, images):
    frames = frames_of(images)
    whole, last = run(fight, frames)
    _, half = run(fight, frames[:6])
    rest, end = run(fight, frames[6:], State.from_bytes(half.to_bytes()))
    for one, other in zip(rest[-1].people, whole[-1].people, strict=True):
        assert one.id == other.id and one.box == other.box
        assert one.keypoints.tobytes() == other.keypoints.tobytes()
    assert end.to_bytes() == last.to_bytes()


def test_many_streams_in_one_pass_are_followed_alone(fight, images):
    frames = frames_of(images)
    mirrored = [Frame(np.ascontiguousarray(f.image[:, ::-1]), f.index, f.timestamp) for f in frames]
    states = [fight.initial_state(), fight.initial_state()]
    for pair in zip(frames, mirrored, strict=True):
        steps = fight.step_many(pair, states)
        states = [state for _, state in steps]
    for (prediction, state), each in zip(steps, (frames, mirrored), strict=True):
        alone, after = run(fight, each)
        assert [one.id for one in prediction.people] == [one.id for one in alone[-1].people]
        np.testing.assert_allclose(state.tracks[4], after.tracks[4], atol=1e-3)


def test_several_models_find_people_once(images):
    joint = open_models(["fight", "fall", "synthetic"], people=True)
    assert joint.finds_people and joint.passes == 2
    said, state = run(joint, frames_of(images[:5]))
    assert len(said[-1].people) == 2 and len(said[-1].others) == 2
    again = State.from_bytes(state.to_bytes())
    joint.step(Frame(images[5], 5, 0.5), again)
    alone, _ = run(Recognizer.load("fight", people=True), frames_of(images[:5]))
    assert said[-1].people[0].box == pytest.approx(alone[-1].people[0].box, abs=1e-4)


def test_results_have_people(fight, images, tmp_path):
    import cv2

    writer = cv2.VideoWriter(
        str(tmp_path / "two.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, images[0].shape[1::-1]
    )
    for image in images:
        writer.write(image)
    writer.release()
    found = list(results(str(tmp_path / "two.avi"), fight))
    assert [one.id for one in found[-1].people] == [1, 2]
    stream = StreamRecognizer(fight)
    for number, image in enumerate(images):
        result = stream.recognize(image, number / 10)
        early = stream.recognize(image, number / 10 + 0.01)
        assert [one.box for one in early.people] == [one.box for one in result.people]
    assert [one.id for one in result.people] == [1, 2]


def test_a_pickled_recognizer_finds_people_too(fight, images):
    said, _ = run(pickle.loads(pickle.dumps(fight)), frames_of(images[:4]))
    assert len(said[-1].people) == 2


def test_who_does_not_ask_has_another_state(fight):
    with pytest.raises(StateError, match="another model"):
        Recognizer.load("fight").step(Frame(np.zeros((9, 9, 3), np.uint8), 0, 0.0), fight.initial_state())
    with pytest.raises(StateError, match="another model"):
        fight.step(Frame(np.zeros((9, 9, 3), np.uint8), 0, 0.0), Recognizer.load("fight").initial_state())


@pytest.mark.parametrize("models", ["synthetic", ["synthetic"]])
@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_models_without_the_backbone_say_so(models, engine):
    with pytest.raises(ModelError, match="does not find people"):
        open_models(models, engine=engine, people=True)


def test_an_exported_graph_says_so(tmp_path):
    Recognizer.load("fight").export(tmp_path / "fight.onnx")
    with pytest.raises(ModelError, match="exported graph"):
        Recognizer.load(tmp_path / "fight.onnx", people=True)


def test_what_a_model_calculates_anyway_is_calculated_once():
    checkpoint = read_checkpoint("fight")
    merged, shares = merged_step([step_of(checkpoint), people_step(checkpoint)])
    assert shares and len(merged.weights) < 1.3 * len(step_of(checkpoint).weights)
    assert merged.configs == (checkpoint.config,) and merged.finds_people


def test_the_graph_that_comes_along_is_that_of_the_backbone():
    from streamrec.runtime.export import people_graph

    model = load_model("fight")
    assert (model.config.transform.height, model.config.transform.width) == SIZE
    graph, names = people_graph(model)
    assert graph == GRAPH.read_bytes() and len(names) > 100


def test_a_recording_is_replayed_with_people_bit_for_bit(images, tmp_path):
    from streamrec.pipeline.flight_recorder import FlightRecorder, replay

    with FlightRecorder(tmp_path) as recorder:
        recognizer = recorder.recorded(Recognizer.load("fight", people=True))
        run(recognizer, frames_of(images))
    found = replay(tmp_path)
    assert found.difference is None and found.frames == len(images)


def test_where_a_model_looked_is_shown_of_a_state_with_people(fight, images):
    from streamrec import Explainer

    frames = frames_of(images[:3])
    _, state = run(fight, frames[:2])
    explainer = Explainer.load("fight")
    heat = explainer.heat(frames[2], state)
    _, alone = run(Recognizer.load("fight"), frames[:2])
    np.testing.assert_allclose(heat, explainer.heat(frames[2], alone), atol=1e-3)

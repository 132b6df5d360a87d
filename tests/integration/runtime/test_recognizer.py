from __future__ import annotations

import math
import threading
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from streamrec import (
    ActionModel,
    Followed,
    Frame,
    Prediction,
    Recognizer,
    State,
    StreamRecognizer,
    World,
    WorldSettings,
    results,
)
from streamrec.errors import PictureError, StateError, StreamrecError
from streamrec.runtime.checkpoint import Checkpoint
from streamrec.runtime.export import weights_of
from streamrec.runtime.recognizer import RecognizerWrapper
from streamrec.runtime.torch_engine import TorchEngine
from tests.helpers.checks import Squats, moving, shifted
from tests.helpers.threads import one_thread_a_module  # noqa: F401


def run(recognizer: Recognizer, frames: list[Frame], state: State | None = None) -> tuple[np.ndarray, State]:
    """(T, labels) and the state after the last frame."""
    state = recognizer.initial_state() if state is None else state
    said = []
    for frame in frames:
        prediction, state = recognizer.step(frame, state)
        said.append(prediction.probabilities)
    return np.stack(said), state


def copy(state: State) -> State:
    return State.from_bytes(state.to_bytes())


def assert_same(one: State, other: State) -> None:
    assert one.to_bytes() == other.to_bytes()


def without_file(config, name: str = "other") -> Recognizer:
    model = ActionModel(config).eval()
    return Recognizer(TorchEngine(Checkpoint(name, model.config, weights_of(model), None), "cpu"), name)


@pytest.fixture
def calls(tiny, monkeypatch) -> list[int]:
    """Grows by the batch size each time the model runs."""
    seen: list[int] = []
    step = tiny._engine.step

    def counted(pictures, *rest):
        seen.append(len(pictures))
        return step(pictures, *rest)

    monkeypatch.setattr(tiny._engine, "step", counted)
    return seen


def test_frame_by_frame_it_says_what_the_model_says_of_the_clip(tiny, tiny_model):
    frames = moving(30)
    frames = [replace(frame, timestamp=frame.timestamp + 0.03 * (n % 3)) for n, frame in enumerate(frames)]
    said, _ = run(tiny, frames)
    transform = tiny.config.transform
    clip = torch.from_numpy(np.stack([transform(frame.image) for frame in frames]))[None]
    elapsed = np.diff([frame.timestamp for frame in frames], prepend=-math.inf).astype(np.float32)
    with torch.inference_mode():
        logits, _ = tiny_model(clip, torch.from_numpy(elapsed)[None])
    assert np.abs(torch.softmax(logits[0], -1).numpy() - said).max() <= 1e-5


def test_a_step_is_pure(tiny):
    frames = moving(12)
    _, state = run(tiny, frames[:10])
    kept = copy(state)
    first, after_first = tiny.step(frames[10], state)
    tiny.step(frames[11], after_first)
    second, after_second = tiny.step(frames[10], state)
    assert_same(state, kept)
    assert_same(after_first, after_second)
    assert (first.probabilities == second.probabilities).all()


def test_many_streams_in_one_pass_are_what_each_is_alone(tiny):
    streams = [moving(15, seed=seed) for seed in range(3)]
    streams[1] = [
        replace(f, timestamp=f.timestamp * 1.7 + 50, segment=int(n > 6)) for n, f in enumerate(streams[1])
    ]
    streams[2] = [replace(f, timestamp=f.timestamp + 3 * (n > 9)) for n, f in enumerate(streams[2])]
    alone = [run(tiny, frames)[0] for frames in streams]
    states = [tiny.initial_state() for _ in streams]
    for t, frames in enumerate(zip(*streams, strict=True)):
        answers = tiny.step_many(frames, states)
        states = [state for _, state in answers]
        for stream, (prediction, state) in enumerate(answers):
            assert np.abs(prediction.probabilities - alone[stream][t]).max() <= 1e-5
            assert prediction.timestamp == frames[stream].timestamp
            assert len(state) == 1


def test_a_stream_may_leave_the_batch_and_go_on_alone(tiny):
    frames = moving(10)
    alone, _ = run(tiny, frames)
    states = [tiny.initial_state()] * 3
    for frame in frames[:5]:
        states = [state for _, state in tiny.step_many([frame] * 3, states)]
    rest, _ = run(tiny, frames[5:], copy(states[1]))
    assert np.abs(rest - alone[5:]).max() <= 1e-5


def test_after_memory_was_reserved_it_says_the_same(tiny):
    frame = Frame(np.full((48, 64, 3), 90, np.uint8), 0, 0.0)
    before, _ = tiny.step(frame, tiny.initial_state())
    assert tiny.reserve(3) is None
    after, _ = tiny.step(frame, tiny.initial_state())
    assert np.array_equal(before.probabilities, after.probabilities)


def test_nothing_to_do_is_nothing_done(tiny):
    assert tiny.step_many([], []) == []


def test_frames_and_states_that_do_not_pair_are_refused(tiny):
    frames, state = moving(2), tiny.initial_state()
    for few, many in ((frames, [state]), (frames[:1], [state, state])):
        with pytest.raises(StreamrecError, match="one each"):
            tiny.step_many(few, many)


def test_what_it_says_is_a_prediction(tiny):
    prediction, state = tiny.step(moving(1)[0], tiny.initial_state())
    assert prediction.labels == tiny.labels == ("idle", "wave", "fall")
    assert prediction.label == tiny.labels[int(prediction.probabilities.argmax())]
    assert prediction.confidence == float(prediction.probabilities.max())
    assert prediction.probabilities.dtype == np.float32
    assert prediction.probabilities.sum() == pytest.approx(1.0, abs=1e-5)
    assert (state.h.shape, state.c.shape) == ((1, 1, 16), (1, 1, 16))


def test_the_likeliest_labels_come_first():
    prediction = Prediction("b", 0.5, np.array([0.25, 0.5, 0.25], np.float32), 0.0, ("a", "b", "c"))
    assert prediction.top(2) == [("b", 0.5), ("a", 0.25)]
    assert [label for label, _ in prediction.top()] == ["b", "a", "c"]
    assert prediction.top(0) == []


def test_it_shows_what_it_is(tiny):
    assert "idle, wave, fall" in repr(tiny)
    assert f"{tiny.engine} on cpu" in repr(tiny)
    assert (tiny.name, tiny.device, tiny.fps) == ("tiny", "cpu", 10.0)


@pytest.mark.parametrize(
    "change",
    [{"timestamp": 0.9 + 1.5}, {"timestamp": 0.2}, {"segment": 1}, {"segment": 1, "timestamp": 0.9}],
    ids=["a gap longer than max_gap", "time that went back", "a new segment", "a new segment at once"],
)
def test_memory_does_not_cross(tiny, change):
    frames = moving(11)
    _, old = run(tiny, frames[:10])
    after = replace(frames[10], **change)
    later, state = tiny.step(after, old)
    first, fresh = tiny.step(after, tiny.initial_state())
    assert (later.probabilities == first.probabilities).all()
    assert_same(state, replace(fresh, segment=state.segment))


def test_memory_crosses_a_gap_up_to_max_gap(tiny):
    frames = moving(11)
    _, old = run(tiny, frames[:10])
    after = replace(frames[10], timestamp=0.9 + 0.99)
    later, _ = tiny.step(after, old)
    first, _ = tiny.step(after, tiny.initial_state())
    assert np.abs(later.probabilities - first.probabilities).max() > 1e-6


def test_a_state_of_another_model_is_refused(tiny, tiny_config):
    frame = moving(1)[0]
    wider = without_file(replace(tiny_config, hidden_size=24))
    more_labels = without_file(replace(tiny_config, labels=("a", "b", "c", "d")))
    for other in (wider, more_labels):
        with pytest.raises(StateError, match="another model than 'tiny'"):
            tiny.step(frame, other.initial_state())
        with pytest.raises(StateError, match="another model"):
            StreamRecognizer(tiny).state = other.initial_state()


@pytest.mark.parametrize("state", [None, (), np.zeros(3)])
def test_what_is_no_state_is_refused(tiny, state):
    with pytest.raises(StateError, match="initial_state"):
        tiny.step(moving(1)[0], state)


def test_threads_may_share_one_recognizer(tiny):
    streams = [moving(25, seed=seed) for seed in range(4)]
    alone = [run(tiny, frames)[0] for frames in streams]
    said: dict[int, np.ndarray] = {}
    threads = [
        threading.Thread(target=lambda n=n: said.__setitem__(n, run(tiny, streams[n])[0])) for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    for n in range(4):
        assert np.abs(said[n] - alone[n]).max() <= 1e-6


class TestStreamRecognizer:
    def test_it_remembers(self, tiny):
        frames = moving(10)
        expected, _ = run(tiny, frames)
        recognize = StreamRecognizer(tiny)
        said = np.stack([recognize(f.image, f.timestamp).probabilities for f in frames])
        assert (said == expected).all()

    def test_two_of_them_do_not_mix(self, tiny):
        one, other = moving(10, seed=1), moving(10, seed=2)
        first, second = StreamRecognizer(tiny), StreamRecognizer(tiny)
        for a, b in zip(one, other, strict=True):
            said = first(a.image, a.timestamp), second(b.image, b.timestamp)
        assert (said[0].probabilities == run(tiny, one)[0][-1]).all()
        assert (said[1].probabilities == run(tiny, other)[0][-1]).all()

    def test_reset_forgets_everything(self, tiny):
        frames = moving(10)
        recognize = StreamRecognizer(tiny)
        for frame in frames:
            recognize(frame.image, frame.timestamp)
        recognize.reset()
        assert_same(recognize.state, tiny.initial_state())
        again = recognize(frames[0].image, 0.95)
        assert (again.probabilities == run(tiny, frames[:1])[0][0]).all()

    def test_a_saved_state_goes_on_bit_for_bit_amid_a_stream(self, tiny):
        frames = moving(
            60, fps=30.0
        )  # three times faster than the rhythm: two of three are answered from memory
        whole = StreamRecognizer(tiny)
        expected = [whole(f.image, f.timestamp) for f in frames]
        for cut in (30, 31, 32):
            first = StreamRecognizer(tiny)
            for frame in frames[:cut]:
                first(frame.image, frame.timestamp)
            second = StreamRecognizer(tiny)
            second.state = State.from_bytes(first.state.to_bytes())
            for frame, told in zip(frames[cut:], expected[cut:], strict=True):
                said = second(frame.image, frame.timestamp)
                assert said.label == told.label
                assert said.timestamp == told.timestamp
                assert said.probabilities.tobytes() == told.probabilities.tobytes()
            assert_same(second.state, whole.state)

    def test_a_state_that_was_kept_stays_what_it_was(self, tiny):
        frames = moving(10)
        recognize = StreamRecognizer(tiny)
        for frame in frames[:5]:
            recognize(frame.image, frame.timestamp)
        kept, written = recognize.state, recognize.state.to_bytes()
        for frame in frames[5:]:
            recognize(frame.image, frame.timestamp)
        assert kept.to_bytes() == written
        recognize.state = kept
        again = recognize(frames[5].image, frames[5].timestamp)
        assert (again.probabilities == run(tiny, frames[:6])[0][-1]).all()

    def test_frames_faster_than_the_rhythm_cost_nothing(self, tiny, calls):
        recognize = StreamRecognizer(tiny)
        said = [recognize(f.image, f.timestamp) for f in moving(30, fps=30.0)]
        assert len(calls) == 10
        for n, prediction in enumerate(said):
            assert prediction.timestamp == pytest.approx((n - n % 3) / 30)
            assert (prediction.probabilities == said[n - n % 3].probabilities).all()
            assert prediction.label == said[n - n % 3].label

    def test_another_rhythm_may_be_asked_for(self, tiny, calls):
        frames = moving(30, fps=30.0)
        for fps, expected in ((15.0, 15), (math.inf, 30), (1.0, 2)):
            calls.clear()
            recognize = StreamRecognizer(tiny, fps=fps)
            for frame in frames:
                recognize(frame.image, frame.timestamp)
            assert len(calls) == expected

    def test_no_timestamp_means_now(self, tiny, monkeypatch):
        now = SimpleNamespace(monotonic=lambda: 123.5)
        monkeypatch.setattr("streamrec.runtime.recognizer.time", now)
        recognize = StreamRecognizer(tiny)
        assert recognize(moving(1)[0].image).timestamp == 123.5
        now.monotonic = lambda: 123.6
        assert recognize(moving(1)[0].image).timestamp == 123.6

    @pytest.mark.parametrize("timestamp", [math.nan, math.inf, -math.inf])
    def test_a_timestamp_that_is_no_time_is_refused(self, tiny, timestamp):
        recognize = StreamRecognizer(tiny)
        with pytest.raises(StreamrecError, match="timestamp"):
            recognize(moving(1)[0].image, timestamp)

    def test_time_zero_is_a_time(self, tiny, calls):
        recognize = StreamRecognizer(tiny)
        assert recognize(moving(1)[0].image, 0).timestamp == 0.0
        assert recognize(moving(1)[0].image, 0.05).timestamp == 0.0
        assert len(calls) == 1

    def test_any_thread_may_call_it(self, tiny):
        frames = moving(12)
        recognize, said = StreamRecognizer(tiny), []
        for frame in frames:
            thread = threading.Thread(
                target=lambda f=frame: said.append(recognize(f.image, f.timestamp).probabilities)
            )
            thread.start()
            thread.join(60.0)
        assert (np.stack(said) == run(tiny, frames)[0]).all()

    def test_every_kind_of_picture_is_understood(self, tiny):
        image = moving(1)[0].image
        gray = image[:, :, 0]
        wide = np.zeros((60, 160, 3), np.uint8)
        wide[:, ::2] = image
        kinds = {
            "BGRA": (np.dstack([image, gray]), image),
            "16 bit": (image.astype(np.uint16) * 257, image),
            "float": (image.astype(np.float32) / 255, image),
            "a view": (wide[:, ::2], image),
            "upside down twice": (image[::-1].copy()[::-1], image),
            "gray": (gray, np.dstack([gray] * 3)),
            "gray with one channel": (gray[:, :, None], np.dstack([gray] * 3)),
        }
        for name, (picture, same) in kinds.items():
            said = StreamRecognizer(tiny)(picture, 0.0).probabilities
            assert (said == StreamRecognizer(tiny)(same, 0.0).probabilities).all(), name

    def test_the_size_may_change_amid_a_stream(self, tiny):
        recognize = StreamRecognizer(tiny)
        for n, size in enumerate([(60, 80), (480, 640), (1, 1), (32, 32), (31, 977)]):
            prediction = recognize(np.full((*size, 3), 90, np.uint8), n / 10)
            assert np.isfinite(prediction.probabilities).all()

    @pytest.mark.parametrize(
        "picture",
        [
            None,
            "picture.png",
            [[0, 0], [0, 0]],
            np.zeros((2, 4, 6, 3), np.uint8),
            np.zeros((3, 40, 60), np.uint8),
            np.zeros((0, 6, 3), np.uint8),
            np.full((4, 6, 3), 200.0),
            np.zeros((4, 6, 3), np.int64),
        ],
    )
    def test_what_is_no_picture_is_refused_and_nothing_is_forgotten(self, tiny, picture):
        recognize = StreamRecognizer(tiny)
        recognize(moving(1)[0].image, 0.0)
        before = recognize.state.to_bytes()
        for timestamp in (0.01, 1.0):  # early ones too: a mistake is told at once
            with pytest.raises(PictureError):
                recognize(picture, timestamp)
        assert recognize.state.to_bytes() == before

    def test_the_picture_is_left_as_it_was(self, tiny):
        picture = np.random.default_rng(0).random((40, 50, 3), np.float32)
        kept = picture.copy()
        StreamRecognizer(tiny)(picture, 0.0)
        assert (picture == kept).all()


@pytest.mark.parametrize("name", ["fight", "synthetic"])
def test_the_shipped_models_are_loaded_by_name(name):
    recognizer = Recognizer.load(name)
    assert recognizer.name == name
    prediction, _ = recognizer.step(moving(1)[0], recognizer.initial_state())
    assert prediction.label in recognizer.labels


def test_the_synthetic_model_knows_its_world():
    recognizer = Recognizer.load("synthetic")
    world = World(WorldSettings(seed=900_001, seconds=25.0, fps=10.0))
    right = [result.prediction.label == result.frame.truth for result in results(world, recognizer)]
    assert np.mean(right) > 0.6


def test_a_state_of_a_later_segment_is_gone_on_from(tiny):
    frames = [replace(frame, segment=3) for frame in moving(8)]
    state = tiny.initial_state()
    for frame in frames[:7]:
        _, state = tiny.step(frame, state)
    expected, _ = tiny.step(frames[7], state)
    recognize = StreamRecognizer(tiny)
    recognize.state = state
    said = recognize(frames[7].image, timestamp=frames[7].timestamp)
    assert said.probabilities.tobytes() == expected.probabilities.tobytes()


def test_a_prediction_cannot_change_the_state_that_it_came_with(tiny):
    prediction, _ = tiny.step(moving(1)[0], tiny.initial_state())
    with pytest.raises(ValueError, match="read-only"):
        prediction.probabilities[0] = 1.0


class TestCounting:
    def test_the_phase_comes_with_the_prediction_also_of_a_picture_that_came_early(self):
        recognize = StreamRecognizer(Recognizer(Squats()))
        picture = moving(1)[0].image
        for n in range(6):
            said = recognize(picture, n / 10)
        assert said.phase == pytest.approx((0.0, 1.0), abs=1e-6)  # half a second: a quarter of a squat
        assert recognize(picture, 0.51).phase == said.phase

    def test_one_object_counts_one_stream(self):
        recognize = StreamRecognizer(Recognizer(Squats()))
        counts = []
        for frame in moving(61):
            recognize(frame.image, frame.timestamp)
            counts.append(recognize.repetitions)
        assert [counts[n] for n in (0, 20, 40, 60)] == [0, 1, 2, 3]
        recognize.reset()
        assert recognize.repetitions == 0

    def test_a_model_that_does_not_count_says_none(self, tiny):
        recognize = StreamRecognizer(tiny)
        recognize(moving(1)[0].image, 0.0)
        assert recognize.repetitions is None

    def test_a_batch_gives_each_stream_its_phase(self):
        recognizer = Recognizer(Squats())
        states = [recognizer.initial_state() for _ in range(2)]
        picture = moving(1)[0]
        _, later = recognizer.step_many([picture] * 2, states)[0]
        answers = recognizer.step_many([replace(picture, timestamp=0.5)] * 2, [later, states[1]])
        assert answers[0][0].phase == pytest.approx((0.0, 1.0), abs=1e-6)
        assert answers[1][0].phase == pytest.approx((1.0, 0.0))

    def test_the_state_of_a_model_that_does_not_count_is_refused(self, tiny):
        with pytest.raises(StateError, match="another model"):
            Recognizer(Squats()).step(moving(1)[0], tiny.initial_state())


def test_a_followed_recognizer_knows_the_state_before_the_last_step_of_each_stream(tiny):
    followed = Followed(tiny)
    one, other = (shifted(frame, source=name) for frame, name in zip(moving(2), "ab", strict=True))
    states = [followed.initial_state(), followed.initial_state()]
    assert followed.before(one) is None
    (_, after), _ = followed.step_many([one, other], states)
    assert followed.before(one) is states[0] and followed.before(other) is states[1]
    later = shifted(one, timestamp=1.0, index=1)
    followed.step(later, after)
    assert followed.before(one) is None
    assert followed.before(later) is after and followed.before(other) is states[1]


def test_a_recognizer_that_wraps_another_gives_its_results_to_the_bit(tiny):
    class Counting(RecognizerWrapper):
        steps = 0

        def on_step(self, frames, states, steps):
            self.steps += len(steps)

    inner = Counting(tiny)
    outer = Followed(inner)
    frame = Frame(np.full((48, 64, 3), 90, np.uint8), 0, 0.0)
    outer.reserve(2)  # no step of a stream
    assert inner.steps == 0
    assert (outer.labels, outer.fps, outer.engine, outer.name) == (
        tiny.labels,
        tiny.fps,
        tiny.engine,
        tiny.name,
    )
    assert outer.step_many([], []) == []
    (wrapped, after), (plain, state) = (
        one.step(one.prefetch(frame), one.initial_state()) for one in (outer, tiny)
    )
    assert wrapped.probabilities.tobytes() == plain.probabilities.tobytes()
    assert after.to_bytes() == state.to_bytes()
    assert inner.steps == 1
    assert isinstance(outer, Recognizer) and StreamRecognizer(outer)(frame.image, 0.0).label == plain.label

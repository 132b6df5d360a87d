"""Several models on one stream: what each says is what it says alone, and a common backbone runs once."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from streamrec import (
    ActionModel,
    EventSettings,
    Frame,
    ModelConfig,
    Recognizer,
    State,
    StreamRecognizer,
    Transform,
    open_models,
    results,
)
from streamrec.core.model_names import MOST_MODELS
from streamrec.errors import ModelError, StateError, StreamrecError
from streamrec.nn.ood import KnownPictures, appearance_of
from streamrec.runtime.checkpoint import find_model, read_checkpoint, save_model
from streamrec.runtime.joint import pace_notes
from streamrec.runtime.onnx_engine import LARGE, merged_step, step_of
from tests.helpers.checks import moving
from tests.helpers.models import TALL
from tests.helpers.threads import one_thread_a_module  # noqa: F401

LABELS = {"hands": ("idle", "wave", "clap"), "legs": ("idle", "squat", "lunge"), "falls": ("normal", "fall")}


def known(seed: int) -> KnownPictures:
    images = np.random.default_rng(seed).integers(0, 200, (12, 3, 32, 32), np.uint8)
    return KnownPictures.of([appearance_of(images[n : n + 3]) for n in range(0, 12, 3)], range(4))


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    """Three models over one encoder, and one of their size and one of another size over encoders of their own."""
    folder = tmp_path_factory.mktemp("joint")
    torch.manual_seed(3)
    made: dict[str, Path] = {}
    encoder = None

    def keep(name: str, config: ModelConfig, encoder: dict | None = None) -> ActionModel:
        model = ActionModel(config).eval()
        if encoder is not None:
            model.encoder.load_state_dict(encoder)
        made[name] = folder / f"{name}.safetensors"
        save_model(made[name], model)
        return model

    small = Transform(height=32, width=32)
    for name, labels in LABELS.items():
        config = ModelConfig(labels=labels, transform=small, hidden_size=16)
        if name != "hands":
            config = replace(config, known=known(1))
        if name == "legs":
            config = replace(config, counted=("squat",), feature_norm=True)
        model = keep(name, config, encoder)
        encoder = model.encoder.state_dict()
    keep("alone", ModelConfig(labels=("a", "b"), transform=small, hidden_size=16))
    keep("large", TALL)
    return made


def alone(names: list[str], files: dict[str, Path], engine: str = "onnx") -> list[Recognizer]:
    return [Recognizer.load(files[name], engine=engine, device="cpu") for name in names]


def together(names: list[str], files: dict[str, Path], engine: str = "onnx") -> Recognizer:
    return open_models([files[name] for name in names], engine=engine, device="cpu")


def uneven(count: int = 12) -> list[Frame]:
    """A stream with a gap, a new segment and a step back."""
    frames = moving(count)
    times = np.cumsum([0.0, 0.1, 0.05, 0.2, 0.1, 2.5, 0.1, 0.1, -4.0, 0.1, 0.1, 0.1])
    return [
        replace(frame, timestamp=float(time), segment=int(n >= 10))
        for n, (frame, time) in enumerate(zip(frames, times, strict=True))
    ]


def assert_as_alone(one: Recognizer, others: list[Recognizer], tolerance: float = 0.0) -> State:
    state, states = one.initial_state(), [other.initial_state() for other in others]
    for frame in uneven():
        said, state = one.step(frame, state)
        assert len(said.each) == len(others)
        for n, other in enumerate(others):
            wanted, states[n] = other.step(frame, states[n])
            got = said.each[n]
            assert (got.labels, got.timestamp) == (wanted.labels, wanted.timestamp)
            assert np.abs(got.probabilities - wanted.probabilities).max() <= tolerance
            assert (got.phase is None) == (wanted.phase is None)
            if got.phase is not None:
                assert np.abs(np.subtract(got.phase, wanted.phase)).max() <= tolerance
            assert got.strangeness == wanted.strangeness
    return state


@pytest.mark.parametrize(
    "names",
    [["hands", "legs"], ["legs", "hands", "falls"], ["hands", "alone"], ["large", "legs", "alone", "falls"]],
)
def test_each_model_says_what_it_says_alone(names, files):
    one = together(names, files)
    state = assert_as_alone(one, alone(names, files), tolerance=1e-6)
    assert list(one.configs) == names
    kept = State.from_bytes(state.to_bytes())
    frame = moving(1)[0]
    said, _ = one.step(frame, kept)
    again, _ = one.step(frame, state)
    assert [list(a.probabilities) for a in said.each] == [list(a.probabilities) for a in again.each]


def test_a_common_encoder_is_calculated_once(files):
    def nodes(graph: bytes) -> tuple[int, int]:
        kinds = [node.op_type for node in onnx.load_from_string(graph).graph.node]
        return len(kinds), kinds.count("Conv")

    steps = [step_of(read_checkpoint(files[name])) for name in ("hands", "legs", "falls")]
    both, shares = merged_step(steps[:2])
    every, _ = merged_step(steps)
    counts = [nodes(step.graph) for step in (steps[0], both, every)]
    assert shares
    assert counts[0][1] == counts[1][1] == counts[2][1] > 0  # convolutions: nearly all of the work
    head = counts[2][0] - counts[1][0]
    assert counts[1][0] <= counts[0][0] + head + 10
    # Its weights are there once, too.
    assert len(both.weights) < len(steps[0].weights) + len(steps[1].weights)


def test_models_that_take_other_features_of_one_backbone_share_it():
    """One takes its maps, one the keypoints of who is found."""
    names = ["fight", "webcam"]
    steps = [step_of(read_checkpoint(find_model(name))) for name in names]
    kinds = [
        [node.op_type for node in onnx.load_from_string(step.graph).graph.node].count("Conv")
        for step in (*steps, merged_step(steps)[0])
    ]
    assert kinds[2] == max(kinds[:2]) > 50
    one = open_models(names)
    assert one.notes == ()
    assert_as_alone(one, [Recognizer.load(name) for name in names], tolerance=1e-6)


def test_what_costs_its_own_time_is_told_in_a_sentence(files):
    assert together(["hands", "legs"], files).notes == ()
    assert [note.partition(":")[0] for note in together(["hands", "alone"], files).notes] == [
        "hands and alone have no backbone in common"
    ]
    three = together(["hands", "legs", "large"], files)
    assert three.notes == ("hands + legs and large share no work: they take pictures of different sizes",)
    assert list(pace_notes(three)) == ["large learned 5 frames a second, and runs at 10, as hands does"]
    assert list(pace_notes(together(["hands", "legs"], files))) == []
    torch_notes = together(["hands", "legs"], files, "torch").notes
    assert torch_notes == ("hands and legs share no work: the torch engine runs one model after the other",)


def test_torch_runs_one_after_the_other(files):
    names = ["hands", "legs"]
    one = together(names, files, "torch")
    assert one.engine == "torch"
    assert_as_alone(one, alone(names, files, "torch"), tolerance=1e-6)


def test_an_exported_graph_shares_with_a_model_file(files, tmp_path):
    Recognizer.load(files["legs"]).export(tmp_path / "legs.onnx")
    one = open_models([files["hands"], tmp_path / "legs.onnx"])
    assert one.notes == ()
    assert_as_alone(one, alone(["hands", "legs"], files), tolerance=1e-6)
    with pytest.raises(ModelError, match="onnx engine only"):
        open_models([files["hands"], tmp_path / "legs.onnx"], engine="torch")


def test_a_batch_of_streams_and_frames_encoded_ahead_give_the_same(files, monkeypatch):
    from streamrec.runtime import onnx_engine

    monkeypatch.setattr(onnx_engine, "LARGE", 1)
    one = open_models([files["hands"], files["legs"], files["large"]], threads=2)
    assert LARGE > 1
    frames = [moving(3, seed=seed) for seed in range(4)]
    states = [one.initial_state() for _ in frames]
    single = [one.initial_state() for _ in frames]
    one.reserve(4)
    for n in range(3):
        batch = [replace(stream[n], source=str(s)) for s, stream in enumerate(frames)]
        for frame in batch[:2]:
            one.prefetch(frame)
        steps = one.step_many(batch, states)
        states = [state for _, state in steps]
        for s, frame in enumerate(batch):
            wanted, single[s] = one.step(frame, single[s])
            for got, want in zip(steps[s][0].each, wanted.each, strict=True):
                assert np.abs(got.probabilities - want.probabilities).max() <= 1e-6


def test_it_can_be_pickled_and_copied_and_its_files_are_read_again(files, tmp_path):
    one = together(["hands", "legs"], files)
    assert copy.deepcopy(one) is one
    again = pickle.loads(pickle.dumps(one))
    frame = moving(1)[0]
    a, b = (each.step(frame, each.initial_state())[0] for each in (one, again))
    assert np.array_equal(a.others[0].probabilities, b.others[0].probabilities)
    stream = StreamRecognizer(one)
    stream.recognize(frame.image, 0.0)
    there = pickle.loads(pickle.dumps(stream)).recognize(frame.image, 1.0)
    assert [said.model for said in there.models] == ["hands", "legs"]
    moved = [tmp_path / "hands.safetensors", tmp_path / "legs.safetensors"]
    moved[0].write_bytes(files["hands"].read_bytes())
    moved[1].write_bytes(files["legs"].read_bytes())
    kept = pickle.dumps(open_models(moved))
    moved[1].write_bytes(files["alone"].read_bytes())
    with pytest.raises(ModelError, match="other models"):
        pickle.loads(kept)


def test_a_state_of_other_models_is_refused(files):
    one, other = together(["hands", "legs"], files), together(["hands", "falls"], files)
    frame = moving(1)[0]
    for state in (other.initial_state(), Recognizer.load(files["hands"]).initial_state()):
        with pytest.raises(StateError, match="another model"):
            one.step(frame, state)


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ([], "give a list of names"),
        (7, "give a list of names"),
        (["fight", "fight"], "called fight"),
        (["fight", "figth"], "there is no model"),
        (["fight"] * (MOST_MODELS + 1), "at most 16"),
        (["fight", 3], "a model is named"),
    ],
)
def test_what_cannot_be_opened_is_said(models, message):
    with pytest.raises(ModelError, match=message):
        open_models(models)


def test_one_model_is_a_plain_recognizer(files):
    assert type(open_models(files["hands"])) is type(open_models([files["hands"]])) is Recognizer
    with pytest.raises(ModelError, match="open_models"):
        Recognizer.load(["fight", "fall"])  # type: ignore[arg-type]


def test_they_are_not_saved_as_one(files, tmp_path):
    with pytest.raises(ModelError, match="each alone"):
        together(["hands", "legs"], files).save(tmp_path / "both.safetensors")


# -- results and events

EASY = EventSettings(enter=0.01, leave=0.005, smoothing=0.0, shortest=0.0)
NEVER = EventSettings(enter=1.0, leave=0.9)


def test_results_and_events_name_the_model(files):
    one = together(["hands", "legs"], files)
    found = list(results(moving(10), one))
    assert [[model.model for model in result.each] for result in found] == [["hands", "legs"]] * 10
    first = found[-1]
    assert first.prediction.labels == first.models[0].prediction.labels == LABELS["hands"]
    assert first.models[0].prediction.others == ()
    assert first.models[1].repetitions is not None and first.repetitions is None
    stream = StreamRecognizer(one, events={"hands": NEVER, "legs": EASY})
    events = [event for frame in moving(5) for event in stream.recognize(frame.image, frame.timestamp).events]
    assert {event.model for event in events} == {"legs"}
    assert {event.model for event in stream.finish()} == {"legs"}
    common = StreamRecognizer(one, events=EASY)
    events = [event for frame in moving(5) for event in common.recognize(frame.image, frame.timestamp).events]
    assert {event.model for event in events} == {"hands", "legs"}
    assert {(event.model, event.label) for event in events} >= {("hands", "idle"), ("legs", "idle")}


def test_settings_of_a_model_that_does_not_watch_are_refused(files):
    with pytest.raises(
        StreamrecError, match="'falls', which does not watch here; the models are hands, legs"
    ):
        StreamRecognizer(together(["hands", "legs"], files), events={"falls": EASY})


def test_a_frame_that_is_not_due_is_answered_with_what_each_said(files):
    stream = StreamRecognizer(together(["hands", "legs"], files), fps=10.0)
    image = moving(1)[0].image
    first = stream.recognize(image, 0.0)
    second = stream.recognize(image, 0.01)
    for a, b in zip(first.each, second.each, strict=True):
        assert np.array_equal(a.prediction.probabilities, b.prediction.probabilities)
    kept = State.from_bytes(stream.state.to_bytes())
    stream.state = kept
    assert stream.recognize(image, 0.02).prediction.others[0].timestamp == 0.0


def test_one_model_alone_has_no_name_in_its_results(files):
    (result,) = results(moving(1), Recognizer.load(files["hands"]))
    assert result.models == () and [model.model for model in result.each] == [""]
    assert result.each[0].prediction is result.prediction

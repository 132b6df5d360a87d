from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from streamrec import (
    ActionModel,
    Frame,
    Recognizer,
    State,
    World,
    WorldSettings,
    open_models,
    results,
)
from streamrec.errors import ModelError, PictureError
from streamrec.runtime import onnx_engine
from streamrec.runtime.checkpoint import (
    FORMAT,
    find_model,
    load_model,
    read_checkpoint,
    save_model,
    shipped_models,
)
from streamrec.runtime.export import export_onnx
from streamrec.runtime.torch_engine import TorchEngine, record_nothing, record_on_gpu
from tests.helpers.checks import check_engines_agree, hops, moving, readings
from tests.helpers.models import SIGNAL, SMALL_MOBILENET, SOUND
from tests.helpers.paths import ROOT
from tests.helpers.threads import one_thread_a_module  # noqa: F401

STEPS = 200


def uneven(count: int = STEPS, seed: int = 0) -> list[Frame]:
    """A stream with irregular times, gaps, a step back and new segments."""
    rng = np.random.default_rng(seed)
    gaps = rng.uniform(0.02, 0.4, count)
    gaps[rng.random(count) < 0.05] = 3.0
    gaps[count // 2] = -7.0
    times = 1000.0 + np.cumsum(gaps)
    segments = np.cumsum(rng.random(count) < 0.03)
    frames = moving(count, seed=seed)
    return [
        replace(f, timestamp=float(t), segment=int(s))
        for f, t, s in zip(frames, times, segments, strict=True)
    ]


def both(path: Path) -> tuple[Recognizer, Recognizer]:
    return Recognizer.load(path, engine="onnx"), Recognizer.load(path, engine="torch", device="cpu")


@pytest.fixture(scope="module")
def exported(tiny_model, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "tiny.onnx"
    export_onnx(tiny_model, path)
    return path


@pytest.fixture(scope="module")
def mobilenet(tmp_path_factory) -> Path:
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("models") / "mobilenet.safetensors"
    save_model(path, ActionModel(SMALL_MOBILENET).eval())
    return path


@pytest.fixture(scope="module")
def exported_mobilenet(mobilenet, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "mobilenet.onnx"
    export_onnx(load_model(mobilenet), path)
    return path


def check_batches_agree(one: Recognizer, other: Recognizer, streams: list[list[Frame]]) -> None:
    states = [[r.initial_state() for _ in streams] for r in (one, other)]
    worst = 0.0
    for frames in zip(*streams, strict=True):
        answers = [r.step_many(frames, s) for r, s in zip((one, other), states, strict=True)]
        states = [[state for _, state in answer] for answer in answers]
        for (a, _), (b, _) in zip(*answers, strict=True):
            worst = max(worst, float(np.abs(a.probabilities - b.probabilities).max()))
    assert worst <= 1e-4, f"the engines differ by {worst:g}"


def test_the_engines_agree_over_an_uneven_stream(tiny_file):
    check_engines_agree(*both(tiny_file), uneven())


def test_the_engines_agree_over_a_batch(tiny_file):
    check_batches_agree(*both(tiny_file), [uneven(seed=seed) for seed in range(3)])


def test_a_state_may_go_from_one_engine_to_the_other(tiny_file):
    onnx_one, torch_one = both(tiny_file)
    frames = uneven(40)
    (state, whole), expected = (onnx_one.initial_state(),) * 2, []
    for frame in frames:
        prediction, whole = onnx_one.step(frame, whole)
        expected.append(prediction.probabilities)
    for n, frame in enumerate(frames):
        prediction, state = (torch_one if n // 7 % 2 else onnx_one).step(frame, state)
        assert np.abs(prediction.probabilities - expected[n]).max() <= 1e-4


def test_the_engines_agree_for_an_exported_graph(tiny_file, exported):
    recognizer = Recognizer.load(exported)
    assert (recognizer.engine, recognizer.name) == ("onnx", "tiny")
    assert recognizer.config == Recognizer.load(tiny_file).config
    other = Recognizer.load(tiny_file, engine="torch", device="cpu")
    check_engines_agree(recognizer, other, uneven())
    check_batches_agree(recognizer, other, [uneven(30, seed=seed) for seed in range(3)])


HEADS = {
    "lstm": {"feature_norm": True},
    "lstm whose recall alone is heard, and lets go": {
        "feature_norm": True, "recall": True, "recall_features": True, "recall_only": True, "recall_gate": True
    },
    "gru": {"head": "gru", "feature_norm": True},
    "attention": {"head": "attention", "context": 5},
}  # fmt: skip


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_the_engines_agree_for_every_head_with_a_phase(head, tiny_config, tmp_path):
    torch.manual_seed(2)
    path = tmp_path / "counts.safetensors"
    config = replace(tiny_config, encoder="difference", counted=("wave",), **head)
    save_model(path, ActionModel(config).eval())
    assert Recognizer.load(path, device="cpu").engine == "onnx"
    check_engines_agree(*both(path), uneven(60))
    check_batches_agree(*both(path), [uneven(30, seed=seed) for seed in range(3)])


def test_an_exported_graph_of_a_model_that_counts_gives_the_phase(tiny_config, tmp_path):
    model = ActionModel(replace(tiny_config, counted=("wave", "fall"), feature_norm=True)).eval()
    export_onnx(model, tmp_path / "counts.onnx")
    outputs = [output.name for output in onnx.load(tmp_path / "counts.onnx").graph.output]
    assert outputs[:2] == ["probabilities", "phase"]
    recognizer = Recognizer.load(tmp_path / "counts.onnx")
    prediction, state = recognizer.step(moving(1)[0], recognizer.initial_state())
    assert prediction.probabilities.sum() == pytest.approx(1.0, abs=1e-5)
    assert prediction.phase == tuple(state.phase[0].tolist())


@pytest.mark.slow
def test_the_engines_agree_for_a_torchvision_encoder(mobilenet):
    one, other = both(mobilenet)
    check_engines_agree(one, other, uneven())
    check_batches_agree(one, other, [uneven(60, seed=seed) for seed in range(3)])


@pytest.mark.parametrize("name", ["fight", "synthetic", "webcam"])
def test_the_engines_agree_for_the_shipped_models(name):
    one, other = Recognizer.load(name, engine="onnx"), Recognizer.load(name, engine="torch", device="cpu")
    check_engines_agree(one, other, uneven(60 if name == "synthetic" else 20))


def test_on_a_cpu_onnx_is_the_default(tiny_file):
    assert Recognizer.load(tiny_file, device="cpu").engine == "onnx"
    assert Recognizer.load(str(tiny_file), device="cpu", engine="torch").engine == "torch"


def test_a_model_file_without_a_graph_runs_in_both_engines(tiny_file, tmp_path):
    from safetensors import safe_open
    from safetensors.numpy import save_file

    with safe_open(tiny_file, framework="numpy") as file:
        weights = {name: file.get_tensor(name) for name in file.keys() if name != "step.onnx"}  # noqa: SIM118
        metadata = {name: value for name, value in file.metadata().items() if name != "referred"}
    path = tmp_path / "bare.safetensors"
    save_file(weights, path, metadata)
    assert Recognizer.load(path, device="cpu").engine == "torch"
    check_engines_agree(*both(path), uneven(20))


@pytest.mark.parametrize("suffix", [".safetensors", ".onnx"])
def test_the_onnx_engine_never_imports_torch(tiny_file, exported, suffix):
    path = tiny_file if suffix == ".safetensors" else exported
    code = f"""
import json, sys
import numpy as np
from streamrec import Recognizer, StreamRecognizer, results
recognizer = Recognizer.load({str(path)!r}, engine="onnx")
StreamRecognizer(recognizer)(np.zeros((48, 64, 3), np.uint8), 0.0)
count = len(list(results([np.full((48, 64, 3), n, np.uint8) for n in range(9)], recognizer, fps=30)))
print(json.dumps([count, sorted(sys.modules)]))
"""
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    count, loaded = json.loads(ran.stdout)
    assert count == 9
    assert "onnxruntime" in loaded
    assert not {"torch", "torchvision", "timm", "onnx", "onnxscript"} & set(loaded)


def test_the_engine_keeps_no_identity_and_tells_nobody_what_it_runs(exported, tmp_path):
    code = f"""
import numpy as np
from streamrec import Recognizer, StreamRecognizer
StreamRecognizer(Recognizer.load({str(exported)!r}))(np.zeros((48, 64, 3), np.uint8), 0.0)
"""
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache"), "PATH": os.environ["PATH"]}
    subprocess.run([sys.executable, "-c", code], env=home, check=True)
    assert [*tmp_path.rglob("*")] == []  # telemetry begins with an identity of the machine in the cache


HIDDEN = ("torch", "torchvision", "timm", "onnx", "onnx_ir", "onnxscript")


def test_an_exported_model_runs_where_torch_is_not_installed(exported, tmp_path):
    code = f"""
import sys
sys.modules.update(dict.fromkeys({HIDDEN!r}))  # None: to import it says that it is not there
import numpy as np
from streamrec import Recognizer, StreamRecognizer
StreamRecognizer(Recognizer.load({str(exported)!r}))(np.zeros((48, 64, 3), np.uint8), 0.0)
sys.argv = ["streamrec", "run", "synthetic", "--model", {str(exported)!r}, "--no-show", "--max-seconds", "1"]
from streamrec.commands.process import main
main()
"""
    ran = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert "tiny model, onnx engine" in ran.stdout + ran.stderr


def drawn(count: int) -> list[Frame]:
    """So many frames of the synthetic world with irregular times, gaps, a step back and new segments."""
    world = World(WorldSettings(seed=5, width=160, height=128, seconds=count / 10, fps=10.0))
    return [
        replace(frame, timestamp=time.timestamp, segment=time.segment)
        for frame, time in zip(world, uneven(count), strict=True)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", shipped_models())
def test_every_shipped_model_says_the_same_in_every_engine_for_many_frames(name, tmp_path):
    others = [Recognizer.load(name, engine="onnx")]
    if name in ("synthetic", "workout"):  # an export takes long; other layers have tests of their own
        export_onnx(load_model(name), tmp_path / f"{name}.onnx")
        others.append(Recognizer.load(tmp_path / f"{name}.onnx"))
    expected = Recognizer.load(name, engine="torch", device="cpu")
    states = [r.initial_state() for r in (expected, *others)]
    worst = 0.0
    large = sum(weights.size for weights in read_checkpoint(name).weights.values()) > 3_000_000
    transform = expected.config.transform
    if expected.sense == "sound":
        stream = hops(600, transform)
    elif expected.sense == "signal":
        stream = readings(600, channels=len(transform.channels))
    else:
        stream = drawn(30 if large else 600)
    for frame in stream:
        answers = [r.step(frame, s) for r, s in zip((expected, *others), states, strict=True)]
        states = [state for _, state in answers]
        said = answers[0][0]
        for prediction, _ in answers[1:]:
            worst = max(worst, float(np.abs(prediction.probabilities - said.probabilities).max()))
            if said.phase is not None:
                assert np.abs(np.subtract(prediction.phase, said.phase)).max() <= 1e-3
    assert worst <= 1e-4, f"the engines differ by {worst:g}"


class TestLookingAhead:
    """What a CNN makes of a picture alone is worked out before its turn, where the graph can be cut."""

    @pytest.fixture(autouse=True)
    def _small_models_too(self, monkeypatch):
        monkeypatch.setattr(onnx_engine, "LARGE", 0)

    @pytest.fixture(params=[".safetensors", ".onnx"])
    def cutting(self, request, mobilenet, exported_mobilenet) -> Recognizer:
        path = mobilenet if request.param == ".safetensors" else exported_mobilenet
        return Recognizer.load(path, engine="onnx", threads=2)

    def test_it_says_what_a_step_says_to_the_bit(self, cutting):
        frames, states = uneven(60), [cutting.initial_state()] * 2
        for n, frame in enumerate(frames):
            said, states[0] = cutting.step(frame, states[0])
            if n % 7:  # now and then nobody looked
                assert cutting.prefetch(frame) is frame
            again, states[1] = cutting.step(frame, states[1])
            assert again.probabilities.tobytes() == said.probabilities.tobytes()
            assert states[1].to_bytes() == states[0].to_bytes()

    def test_the_turn_decides_and_not_who_was_looked_at_first(self, cutting):
        frames = moving(12)
        for frame in reversed(frames):
            cutting.prefetch(frame)
        ahead, plain = cutting.initial_state(), cutting.initial_state()
        for frame in frames:
            said, ahead = cutting.step(frame, ahead)
            again, plain = cutting.step(frame, plain)  # a look serves once
            assert said.probabilities.tobytes() == again.probabilities.tobytes()

    def test_frames_of_several_streams_are_looked_at_at_once_and_keep_their_places(self, cutting):
        streams = [moving(4, seed=n) for n in range(5)]
        batch = [cutting.initial_state() for _ in streams]
        alone = list(batch)
        for frames in zip(*streams, strict=True):
            cutting.prefetch(frames[3])  # one of them comes from a file
            answers = cutting.step_many(frames, batch)
            batch = [state for _, state in answers]
            for n, frame in enumerate(frames):
                said, alone[n] = cutting.step(frame, alone[n])
                np.testing.assert_allclose(answers[n][0].probabilities, said.probabilities, atol=1e-6)

    def test_results_of_a_file_are_those_of_steps(self, cutting, monkeypatch):
        looked, look = [], cutting._engine.encode
        monkeypatch.setattr(
            cutting._engine, "encode", lambda pictures: looked.append(len(pictures)) or look(pictures)
        )
        frames, state = moving(30, fps=30.0), cutting.initial_state()
        for result in results(frames, cutting):
            said, state = cutting.step(frames[result.frame.index], state)
            assert result.frame is frames[result.frame.index]
            assert result.prediction.probabilities.tobytes() == said.probabilities.tobytes()
        assert looked == [1] * 10  # each that is due, once

    def test_a_bad_picture_among_them_is_told_in_its_turn(self, cutting):
        frames = moving(5)
        bad = replace(frames[2], image=np.zeros((4, 4, 7), np.uint8))
        seen = []
        with pytest.raises(PictureError):
            for result in results([*frames[:2], bad, *frames[3:]], cutting):
                seen.append(result.frame.index)
        assert seen == [0, 1][: len(seen)]

    def test_a_frame_that_is_let_go_is_not_kept(self, cutting):
        frame = moving(1)[0]
        cutting.prefetch(frame)
        begun = cutting._engine.prefetch_workers().begun
        assert len(begun) == 1
        begun[frame].result()
        del frame
        gc.collect()
        assert len(begun) == 0

    def test_room_is_made_for_a_batch_beforehand(self, cutting):
        cutting.reserve(4)
        assert cutting._engine.prefetches

    def test_one_thread_looks_at_nothing_before_its_turn(self, mobilenet):
        engine = Recognizer.load(mobilenet, engine="onnx", threads=1)._engine
        assert engine.prefetch_workers() is None

    def test_a_live_frame_alone_is_a_whole_step(self, mobilenet):
        recognizer = Recognizer.load(mobilenet, engine="onnx", threads=2)
        recognizer.step(moving(1)[0], recognizer.initial_state())
        assert not recognizer._engine.prefetches

    def test_a_cnn_that_needs_the_frame_before_cannot_look_ahead(self, tiny_file, monkeypatch):
        monkeypatch.setattr(onnx_engine, "LARGE", 1)
        recognizer = Recognizer.load(tiny_file, engine="onnx", threads=2)
        frame = moving(1)[0]
        assert recognizer._engine.prefetch_workers() is None
        assert recognizer.prefetch(frame) is frame

    def test_a_small_model_is_not_worth_it(self, mobilenet, monkeypatch):
        monkeypatch.setattr(onnx_engine, "LARGE", 1_000_000_000)
        assert Recognizer.load(mobilenet, engine="onnx", threads=2)._engine.prefetch_workers() is None

    def test_a_graph_is_split_without_the_package_onnx(self, mobilenet, monkeypatch):
        monkeypatch.setitem(sys.modules, "onnx", None)
        recognizer = Recognizer.load(mobilenet, engine="onnx", threads=2)
        assert recognizer._engine.prefetch_workers() is not None
        assert [result.frame.index for result in results(moving(6), recognizer)] == list(range(6))

    def test_where_a_graph_cannot_be_read_each_step_is_whole(self, mobilenet, monkeypatch):
        def fail(data):
            raise ValueError(data)

        monkeypatch.setattr(onnx_engine, "SplitGraph", fail)
        recognizer = Recognizer.load(mobilenet, engine="onnx", threads=2)
        assert recognizer._engine.prefetch_workers() is None
        assert [result.frame.index for result in results(moving(6), recognizer)] == list(range(6))


def test_an_unknown_engine_is_told_which_there_are(tiny_file):
    with pytest.raises(ModelError, match="'tflite'; the engines are auto, onnx, torch"):
        Recognizer.load(tiny_file, engine="tflite")


@pytest.mark.parametrize(
    ("device", "said"),
    [("tpu", "there is no device 'tpu'"), ("cuda:99", "cannot use the device"), ("gpu", "no device 'gpu'")],
)
def test_a_device_that_is_not_there_is_told(tiny_file, device, said):
    with pytest.raises(ModelError, match=said):
        Recognizer.load(tiny_file, engine="torch", device=device)


def test_onnx_runs_on_the_cpu_only(tiny_file, exported):
    for path in (tiny_file, exported):
        with pytest.raises(ModelError, match=r"for cuda take the torch engine \(--engine torch\)"):
            Recognizer.load(path, engine="onnx", device="cuda")
    with pytest.raises(ModelError, match="runs on the cpu"):
        Recognizer.load(exported, device="cuda")


def test_an_exported_graph_is_refused_by_torch(exported):
    with pytest.raises(ModelError, match="runs with the onnx engine only"):
        Recognizer.load(exported, engine="torch")


def test_a_broken_graph_is_told_in_words(exported, tmp_path):
    for name, data in (("text", b"not a graph"), ("empty", b""), ("cut", exported.read_bytes()[:3000])):
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(data)
        with pytest.raises(ModelError, match=rf"{name}\.onnx"):
            Recognizer.load(path)


def foreign(path: Path, metadata: dict[str, str]) -> Path:
    """A graph that is fine, and not ours: y = x + x."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "twice", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, metadata)
    onnx.save(model, str(path))
    return path


def test_a_graph_that_is_not_ours_is_refused(tmp_path, tiny_config):
    with pytest.raises(ModelError, match="no streamrec model"):
        Recognizer.load(foreign(tmp_path / "foreign.onnx", {}))
    with pytest.raises(ModelError, match="damaged"):
        Recognizer.load(foreign(tmp_path / "odd.onnx", {"format": f"streamrec {FORMAT}", "config": "{}"}))


def test_an_exported_file_tells_nothing_of_the_machine_that_made_it(exported):
    data = exported.read_bytes()
    assert b"/site-packages/" not in data
    assert str(ROOT).encode() not in data


def test_a_model_stays_in_training_when_it_is_exported(tiny_config, tmp_path):
    model = ActionModel(tiny_config).train()
    export_onnx(model, tmp_path / "m.onnx")
    assert model.training


# -- what torch does on a GPU, as far as a CPU can tell


def torch_engine(path: Path, **options) -> TorchEngine:
    return TorchEngine(read_checkpoint(path), "cpu", **options)


def played(engine: TorchEngine, streams: int, steps: int = 6) -> list[np.ndarray]:
    """Probabilities of some steps of streams that begin at different times; what was returned must not change."""
    random = np.random.default_rng(streams)
    transform = engine.config.transform
    head = tuple(np.zeros((streams, *shape), np.float32) for shape in engine.head_shapes)
    cache = tuple(np.zeros((streams, *shape), np.float32) for shape in engine.cache_shapes)
    said, copies = [], []
    for step in range(steps):
        pictures = random.integers(0, 256, (streams, 3, transform.height, transform.width), np.uint8)
        elapsed = np.where(np.arange(streams) == step, np.inf, 0.1).astype(np.float32)
        probabilities, phase, head, cache = engine.step(pictures, elapsed, head, cache)
        assert phase is None
        assert {array.dtype for array in (probabilities, *head, *cache)} == {np.dtype(np.float32)}
        said.append(probabilities)
        copies.append(probabilities.copy())
    assert all((a == b).all() for a, b in zip(said, copies, strict=True))
    return said


def test_a_recorded_step_says_what_an_eager_one_does_for_any_number_of_streams(tiny_file):
    recorded = torch_engine(tiny_file, record=record_nothing)
    eager = torch_engine(tiny_file)
    for streams in (1, 3, 1):
        for a, b in zip(played(recorded, streams), played(eager, streams), strict=True):
            assert np.allclose(a, b, atol=1e-6)
    assert set(recorded._recorded) == {1, 3}


def test_a_step_is_recorded_once_for_each_number_of_streams(tiny_file):
    counts = []

    def record(run):
        counts.append(1)
        return record_nothing(run)

    engine = torch_engine(tiny_file, record=record)
    played(engine, 2)
    played(engine, 2)
    assert len(counts) == 1
    played(engine, 4)
    assert len(counts) == 2


def test_a_model_that_cannot_be_recorded_runs_all_the_same(tiny_file):
    asked = []

    def record(run):
        asked.append(1)
        raise RuntimeError("operation not permitted when stream is capturing")

    engine = torch_engine(tiny_file, record=record)
    said = [*played(engine, 2), *played(engine, 3)]
    expected = [step for streams in (2, 3) for step in played(torch_engine(tiny_file), streams)]
    assert all(np.allclose(a, b, atol=1e-6) for a, b in zip(said, expected, strict=True))
    assert len(asked) == 1  # it is not tried again


def test_less_precision_changes_little_and_none_of_the_types(tiny_file):
    half = torch_engine(tiny_file, precision=torch.bfloat16, record=record_nothing)
    differences = [
        np.abs(a - b).max() for a, b in zip(played(half, 2), played(torch_engine(tiny_file), 2), strict=True)
    ]
    assert 0.0 < max(differences) < 0.05


def test_on_a_cpu_torch_is_eager_and_exact(tiny_file):
    engine = torch_engine(tiny_file)
    assert (engine._precision, engine._record) == (None, None)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("name", shipped_models())
def test_on_a_gpu_a_recorded_step_in_half_precision_says_nearly_the_same(name):
    engine = TorchEngine(read_checkpoint(name), "cuda")
    for a, b in zip(played(engine, 2), played(torch_engine(find_model(name)), 2), strict=True):
        assert np.abs(a - b).max() < 0.02
    assert engine._record is record_on_gpu


def test_an_exported_graph_of_a_signal_takes_readings(tmp_path):
    export_onnx(ActionModel(SIGNAL).eval(), tmp_path / "signal.onnx")
    graph = onnx.load(tmp_path / "signal.onnx").graph
    assert [value.name for value in graph.input][:2] == ["readings", "elapsed"]
    recognizer = Recognizer.load(tmp_path / "signal.onnx")
    assert recognizer.config.transform == SIGNAL.transform
    with pytest.raises(PictureError, match=r"takes 3 channels \(x, y, z\), a row at a time"):
        recognizer.step(moving(1)[0], recognizer.initial_state())


@pytest.mark.parametrize("head", ["lstm", "statistics"])
def test_the_engines_agree_for_a_model_of_sound(head, tmp_path):
    torch.manual_seed(3)
    config = replace(SOUND, head=head)
    transform = config.sound
    path = tmp_path / "sound.safetensors"
    save_model(path, ActionModel(config).eval())
    one, other = both(path)
    assert (one.engine, other.engine, one.sense) == ("onnx", "torch", "sound")
    assert one.config == config
    check_engines_agree(one, other, hops(64, transform))
    check_batches_agree(one, other, [hops(40, transform, seed=seed) for seed in range(3)])
    state = one.initial_state()
    for frame in hops(9, transform):
        _, state = one.step(frame, state)
    restored = State.from_bytes(state.to_bytes())
    again = hops(10, transform)[-1]
    assert np.array_equal(one.step(again, state)[0].probabilities, one.step(again, restored)[0].probabilities)
    with pytest.raises(PictureError, match="takes sound at 8000 Hz, 80 ms a step: 640 samples from -1 to 1"):
        one.step(moving(1)[0], one.initial_state())


def test_models_of_two_senses_do_not_watch_one_stream(tiny_file, tmp_path):
    save_model(tmp_path / "signal.safetensors", ActionModel(SIGNAL).eval())
    with pytest.raises(
        ModelError, match=r"tiny takes video, and signal 3 channels \(x, y, z\): run each on its own source"
    ):
        open_models([tiny_file, tmp_path / "signal.safetensors"])

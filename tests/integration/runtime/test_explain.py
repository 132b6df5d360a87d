"""Where the model looked: known places, the state of the moment, and the sanity of it."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from streamrec import (
    ActionModel,
    Explainer,
    Followed,
    Frame,
    ModelConfig,
    Recognizer,
    Transform,
    WorldSettings,
)
from streamrec.errors import ModelError, StateError
from streamrec.nn.encoders import FrameEncoder
from streamrec.nn.encoders.motion import SIGHTS
from streamrec.runtime.checkpoint import load_model
from streamrec.runtime.export import export_onnx
from streamrec.sources.synthetic import UNSEEN
from tests.helpers.boxes import with_boxes
from tests.helpers.checks import moving
from tests.helpers.paths import ROOT

LABELS = ("bright", "dark")


def looking_for_light(**changes) -> ActionModel:
    """A model of one 8x8 cell: what is brighter than gray speaks for "bright", and against "dark"."""
    model = ActionModel(
        ModelConfig(
            labels=LABELS,
            encoder="resnet18",
            transform=Transform(height=64, width=64, **changes),
            hidden_size=4,
            recall=False,
        )
    )
    cell = nn.Conv2d(3, 1, 8, stride=8, bias=False)
    nn.init.ones_(cell.weight)
    model.encoder = FrameEncoder(cell, height=64, width=64)
    model.head = _Said()
    return model.eval()


class _Said(nn.Module):
    """A head without memory: its one feature, what is brighter than gray, is half the log-odds."""

    listens = 1.0

    def initial_memory(self, streams=1):
        return ()

    def step(self, features, rhythm, fresh, memory):
        return self.listens * torch.cat([features, -features], dim=1), ()


def blank_state(model: ActionModel):
    """The state of a stream that has seen nothing, as a recognizer has it."""
    state = model.initial_state()
    return replace(
        state,
        head=tuple(array.numpy() for array in state.head),
        cache=tuple(array.numpy() for array in state.cache),
        clock=state.clock.numpy(),
        segment=state.segment.numpy(),
    )


def light_at(top: int, left: int, height: int = 64, width: int = 64) -> Frame:
    image = np.full((height, width, 3), 90, np.uint8)
    image[top : top + 8, left : left + 8] = 255
    return Frame(image, 0, 0.0)


def test_the_heat_is_where_the_evidence_is():
    model = looking_for_light()
    heat = Explainer(model).heat(light_at(16, 40), blank_state(model), "bright")
    assert heat.shape == (64, 64) and heat.dtype == np.float32
    assert heat.max() == pytest.approx(1.0, abs=0.2)
    warm = np.argwhere(heat > 0.5)
    assert warm.min(0) == pytest.approx((16, 40), abs=2) and warm.max(0) == pytest.approx((23, 47), abs=2)


def test_what_speaks_against_a_label_is_cold():
    model = looking_for_light()
    heat = Explainer(model).heat(light_at(16, 40), blank_state(model), "dark")
    assert heat[20, 44] == 0.0
    assert heat[50, 10] > 0.9  # all the rest is darker than the light


def test_the_label_is_the_likeliest_unless_it_is_said():
    model = looking_for_light()
    explainer, state = Explainer(model), blank_state(model)
    likeliest = explainer.heat(light_at(0, 0), state)
    said = [explainer.heat(light_at(0, 0), state, label) for label in LABELS]
    assert [np.array_equal(likeliest, heat) for heat in said] in ([True, False], [False, True])


def test_a_head_that_does_not_listen_to_the_picture_leaves_it_cold():
    model = looking_for_light()
    model.head.listens = 0.0
    assert not Explainer(model).heat(light_at(16, 40), blank_state(model), "bright").any()


@pytest.mark.parametrize(
    ("fit", "place", "seen"),
    [("stretch", (32, 80), (36, 84)), ("crop", (32, 80), (36, 84)), ("pad", (32, 20), (36, 24))],
)
def test_the_heat_lies_over_the_picture_however_it_was_fitted(fit, place, seen):
    model = looking_for_light(fit=fit)
    heat = Explainer(model).heat(light_at(*place, height=64, width=128), blank_state(model), "bright")
    assert heat.shape == (64, 128)
    warmest = np.unravel_index(heat.argmax(), heat.shape)
    assert warmest == pytest.approx(seen, abs=9)


def stepped(recognizer: Recognizer, frames: list[Frame]):
    state = recognizer.initial_state()
    for frame in frames:
        before = state
        _, state = recognizer.step(frame, state)
    return before


def test_it_asks_the_state_of_the_moment_and_the_time_since(tiny, tiny_file):
    frames = moving(12)
    before = stepped(tiny, frames)
    explainer = Explainer.load(tiny_file)
    heat = explainer.heat(frames[-1], before, "wave")
    fresh = explainer.heat(frames[-1], tiny.initial_state(), "wave")
    late = replace(frames[-1], timestamp=frames[-1].timestamp + 60.0)
    assert not np.array_equal(heat, fresh)
    assert np.array_equal(explainer.heat(late, before, "wave"), fresh)  # after a gap the stream begins anew
    cut = replace(frames[-1], segment=1)
    assert np.array_equal(explainer.heat(cut, before, "wave"), fresh)


def test_the_same_question_has_the_same_answer_and_the_state_stays(tiny, tiny_file):
    frames = moving(6)
    before = stepped(tiny, frames)
    kept, explainer = before.to_bytes(), Explainer.load(tiny_file)
    first = explainer.heat(frames[-1], before)
    with torch.inference_mode():
        second = explainer.heat(frames[-1], before)
    assert np.array_equal(first, second)
    assert before.to_bytes() == kept
    assert first.min() >= 0.0 and first.max() <= 1.0


def test_threads_may_share_one_explainer(tiny, tiny_file):
    explainer, frames = Explainer.load(tiny_file), moving(16)
    expected = [explainer.heat(frame, tiny.initial_state()) for frame in frames]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda frame: explainer.heat(frame, tiny.initial_state()), frames))
    assert all(np.array_equal(a, b) for a, b in zip(expected, found, strict=True))


def test_predictions_are_the_same_to_the_bit_with_and_without_explaining(tiny, tiny_file):
    explainer, followed = Explainer.load(tiny_file), Followed(tiny)
    state, plain = followed.initial_state(), tiny.initial_state()
    for frame in moving(8):
        prediction, state = followed.step(frame, state)
        expected, plain = tiny.step(frame, plain)
        explainer.heat(frame, followed.before(frame), prediction.label)
        assert np.array_equal(prediction.probabilities, expected.probabilities)
        assert state.to_bytes() == plain.to_bytes()


def test_a_model_may_go_on_learning_while_its_copy_explains(tiny_config):
    torch.manual_seed(0)
    model = ActionModel(tiny_config).train()
    explainer = Explainer(model)
    assert model.training and all(weight.requires_grad for weight in model.parameters())
    frame, state = moving(1)[0], blank_state(model)
    before = explainer.heat(frame, state, "wave")
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(1.0)
    assert np.array_equal(explainer.heat(frame, state, "wave"), before)
    assert not any(module._forward_hooks for module in explainer._model.modules())


@pytest.mark.parametrize("head", ["lstm", "gru", "attention"])
@pytest.mark.parametrize("name", ["difference", "joint", "joint-spread", *SIGHTS])
def test_every_own_encoder_tells_where_it_looked(name, head):
    torch.manual_seed(0)
    transform = Transform(height=64, width=80)
    model = ActionModel(
        ModelConfig(labels=("a", "b", "c"), encoder=name, head=head, hidden_size=16, transform=transform)
    ).eval()
    heat = Explainer(model).heat(moving(1, height=60, width=80)[0], blank_state(model))
    assert heat.shape == (60, 80)
    assert 0.9 < heat.max() <= 1.0


@pytest.mark.parametrize(
    ("name", "height", "width"),
    [
        ("resnet18", 96, 128),
        ("timm/mobilenetv3_small_100", 96, 128),
        ("vgg11", 64, 64),
        ("squeezenet1_1", 96, 128),
        ("timm/convnext_atto", 96, 128),
        ("timm/vit_tiny_patch16_224", 224, 224),  # tokens
        ("timm/swin_tiny_patch4_window7_224", 224, 224),  # channels last
    ],
)
def test_any_cnn_of_torchvision_or_timm_tells_where_it_looked(name, height, width):
    torch.manual_seed(0)
    transform = Transform(height=height, width=width)
    model = ActionModel(
        ModelConfig(labels=("a", "b", "c"), encoder=name, hidden_size=16, transform=transform)
    ).eval()
    heat = Explainer(model).heat(moving(1, height=60, width=80)[0], blank_state(model))
    assert heat.shape == (60, 80)
    assert 0.5 < heat.max() <= 1.0


def test_a_cut_is_exact_the_slopes_are_those_of_the_log_odds(tiny_model):
    explainer, frames = Explainer(tiny_model), moving(1)
    picture = torch.from_numpy(tiny_model.config.transform(frames[0].image))[None]
    ((maps, slopes),) = explainer._followed(picture, 0.1, explainer._blank, "wave")
    way = torch.randn(maps.shape, generator=torch.Generator().manual_seed(0))

    def log_odds(step: float) -> float:
        hook = explainer._maps[0].register_forward_hook(lambda *said: said[2] + step * way)
        with torch.inference_mode():
            logits = explainer._model.step(picture, torch.tensor([0.1]), explainer._blank)[0][0]
        hook.remove()
        shares = torch.softmax(logits.double(), 0)
        return float(torch.log(shares[1] / (1.0 - shares[1])))

    expected = (log_odds(1e-3) - log_odds(-1e-3)) / 2e-3
    assert float((slopes * way).sum()) == pytest.approx(expected, rel=0.05)


# -- what cannot be


@pytest.fixture(scope="module")
def bare(tiny_model, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("bare") / "tiny.onnx"
    export_onnx(tiny_model, path)
    return path


def test_a_bare_graph_has_no_weights_to_ask(bare):
    with pytest.raises(ModelError, match=r"tiny\.onnx is an exported graph without torch weights.*give the"):
        Explainer.load(bare)


def test_an_encoder_without_maps_says_so(tiny_config):
    model = ActionModel(replace(tiny_config, encoder="resnet18"))
    model.encoder = FrameEncoder(nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 8)), height=32, width=32)
    with pytest.raises(ModelError, match="has no maps of the picture"):
        Explainer(model)


def test_the_state_of_another_model_and_an_unknown_label_are_refused(tiny, tiny_file):
    explainer, frame = Explainer.load(tiny_file), moving(1)[0]
    with pytest.raises(StateError, match="another model"):
        explainer.heat(frame, Recognizer.load("fight").initial_state())
    with pytest.raises(ModelError, match="there is no label 'swim'; the labels are idle, wave, fall"):
        explainer.heat(frame, tiny.initial_state(), "swim")


# -- sanity (Adebayo et al., NeurIPS 2018)


def test_the_heat_is_on_the_figure_and_with_random_weights_it_is_not_and_looks_otherwise():
    recognizer, trained = Recognizer.load("synthetic"), load_model("synthetic")
    explainers = [Explainer(trained)]
    for seed in range(3):
        torch.manual_seed(seed)
        explainers.append(Explainer(ActionModel(trained.config)))
    shares, areas, likeness = [], [], []
    for seed in range(12):
        state = recognizer.initial_state()
        settings = WorldSettings(
            seed=UNSEEN + 500 + seed, fps=recognizer.fps, seconds=4.0, width=160, height=120
        )
        for frame, box in with_boxes(settings):
            prediction, after = recognizer.step(frame, state)
            if frame.timestamp > 1.5 and frame.index % 8 == 0:
                heats = [one.heat(frame, state, prediction.label) for one in explainers]
                shares.append([heat[box].sum() / heat.sum() for heat in heats])
                areas.append(box.mean())
                likeness.append([np.corrcoef(heats[0].ravel(), heat.ravel())[0, 1] for heat in heats[1:]])
            state = after
    with_training, *without = np.mean(shares, axis=0) / np.mean(areas)
    assert with_training > 1.6  # 1: no more than chance
    assert np.mean(without) < 1.4
    assert np.abs(np.mean(likeness, axis=0)).max() < 0.2


# -- the command


def test_the_command_draws_into_the_video_and_says_the_same(tmp_path, tiny_file, monkeypatch):
    from typer.testing import CliRunner

    from streamrec.commands.app import app
    from streamrec.sources.open import open_source

    monkeypatch.chdir(tmp_path)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    words = ["run", "synthetic", "--model", str(tiny_file), "--no-show", "--max-seconds", "1"]
    for name, more in (("plain", []), ("why", ["--explain"])):
        done = CliRunner().invoke(app, [*words, "--save", f"{name}.mp4", "--jsonl", f"{name}.jsonl", *more])
        assert done.exit_code == 0, done.output
    said = [
        [
            (line["index"], line["probabilities"])
            for line in map(json.loads, (tmp_path / f"{name}.jsonl").read_text().splitlines())
            if line["type"] == "prediction"
        ]
        for name in ("plain", "why")
    ]
    assert said[0] == said[1] and len(said[0]) >= 5
    plain, why = (list(open_source(tmp_path / f"{name}.mp4")) for name in ("plain", "why"))
    assert len(plain) == len(why)
    changed = np.abs(plain[-1].image.astype(int) - why[-1].image).max(2) > 40
    assert changed.any() and not changed.all()


class Keys:
    """A window in which somebody presses these keys, one a result."""

    def __init__(self, keys: str) -> None:
        self._keys, self.key, self.closed, self.shown = iter(keys), "", False, []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def write(self, result) -> None:
        self.shown.append(result.frame.image)
        self.key = next(self._keys, "")


@pytest.mark.parametrize(
    ("keys", "drawn"), [("....", [0, 0, 0, 0, 0]), (".e..", [0, 0, 1, 1, 1]), ("e.e.", [0, 1, 1, 0, 0])]
)
def test_a_key_in_the_window_switches_it(keys, drawn, tiny_file, monkeypatch):
    window, frames = pressing(keys, monkeypatch), moving(5)
    play(tiny_file, frames)
    changed = [int(not np.array_equal(a, b.image)) for a, b in zip(window.shown, frames, strict=False)]
    assert changed == drawn


def test_a_key_that_cannot_be_obeyed_is_answered_in_the_terminal(bare, monkeypatch, capsys):
    window, frames = pressing("e", monkeypatch), moving(3)
    play(bare, frames)
    assert "without torch weights" in capsys.readouterr().out
    assert len(window.shown) >= 3  # it goes on


def pressing(keys: str, monkeypatch) -> Keys:
    window = Keys(keys)
    monkeypatch.setattr("streamrec.commands.run_job.Window", lambda: window)
    monkeypatch.setattr("streamrec.commands.run_job.why_no_display", lambda: None)
    monkeypatch.setattr("streamrec.commands.run_job.RealTime", lambda source: source)
    return window


def play(model, frames: list[Frame]) -> None:
    from streamrec.commands.run_job import RunJob
    from streamrec.sources.open import open_source

    RunJob(source=open_source(frames), recognizer=Recognizer.load(model), model=str(model)).run()


def test_explaining_for_nobody_is_refused(tiny_file, main_here):
    ended = main_here("run", "synthetic", "--model", tiny_file, "--no-show", "--explain")
    assert ended.returncode == 2
    assert "there is neither; add --save why.mp4" in ended.stderr


def test_the_code_of_the_page_runs_as_it_is(monkeypatch, tmp_path):
    page = (ROOT / "docs" / "explain.md").read_text(encoding="utf-8")
    code, of_readings = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    told: dict[str, np.ndarray] = {}
    monkeypatch.setattr("streamrec.open_source", lambda address: moving(4, fps=15.0, height=120, width=160))
    exec(compile(code, "explain.md", "exec"), told)
    assert told["heat"].shape == (120, 160) and told["picture"].shape == (120, 160, 3)
    rows = ["seconds,x_acc,y_acc,z_acc,x_gyro,y_gyro,z_gyro"]
    rows += [f"{n / 25},{n % 3},{n % 4},9.8,0,{n % 5},0" for n in range(8)]
    (tmp_path / "readings.csv").write_text("\n".join(rows))
    monkeypatch.chdir(tmp_path)
    exec(compile(of_readings, "explain.md", "exec"), told)
    assert told["found"].label == "turning" and told["found"].values.shape[1] == 6

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from streamrec import (
    CNNLSTM,
    ActionModel,
    ModelConfig,
    Recognizer,
    StreamRecognizer,
    Transform,
    save_model,
)
from streamrec.errors import ModelError
from streamrec.nn.model import make_head, phase_loss, sum_of_step_losses
from streamrec.runtime.export import export_onnx
from tests.helpers.checks import assert_close, check_streaming


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("head", ["gru", "attention"])
def test_frames_and_clips_agree_with_every_head(head, layers, tiny_config):
    torch.manual_seed(0)
    config = replace(tiny_config, head=head, layers=layers, context=4, counted=("wave",), feature_norm=True)
    check_streaming(ActionModel(config))


def test_an_unknown_head_is_told_which_there_are(tiny_config):
    with pytest.raises(ModelError, match="no head 'rnn'; the heads are attention, ensemble, gru, lstm"):
        make_head(replace(tiny_config, head="rnn"), 8)


def test_the_phase_stands_behind_the_labels(tiny_config, tiny_model):
    model = ActionModel(replace(tiny_config, counted=("wave",))).eval()
    assert model.config.outputs == 5
    outputs, state = model(torch.zeros(2, 3, 3, 32, 32))
    logits, phase = model.split(outputs)
    assert (logits.shape, phase.shape, state.phase.shape) == ((2, 3, 3), (2, 3, 2), (2, 2))
    logits, phase = tiny_model.split(tiny_model(torch.zeros(2, 3, 3, 32, 32))[0])
    assert logits.shape == (2, 3, 3) and phase is None


def test_the_phase_loss_is_the_mean_over_the_known_steps():
    outputs = torch.zeros(1, 3, 2, requires_grad=True)
    targets = torch.tensor([[[1.0, 0.0], [math.nan, math.nan], [0.0, 2.0]]])
    # Squared errors, mean over cosine and sine: 0.5 and 2.
    assert phase_loss(outputs, targets).item() == pytest.approx(1.25)
    assert phase_loss(outputs, targets, torch.tensor([3.0, 9.0, 1.0])).item() == pytest.approx(0.875)
    phase_loss(outputs, targets).backward()
    assert torch.isfinite(outputs.grad).all() and outputs.grad[0, 1].abs().sum() == 0


def test_the_phase_loss_is_zero_where_nothing_is_known():
    outputs = torch.ones(2, 3, 2, requires_grad=True)
    loss = phase_loss(outputs, torch.full((2, 3, 2), math.nan))
    loss.backward()
    assert loss.item() == 0.0 and outputs.grad.abs().sum() == 0


@pytest.mark.parametrize("layers", [1, 2])
def test_frames_and_clips_agree_with_the_motion_encoder(layers):
    torch.manual_seed(0)
    config = ModelConfig(
        labels=("a", "b"), transform=Transform(height=32, width=40), hidden_size=16, layers=layers
    )
    check_streaming(ActionModel(config))


def test_frames_and_clips_agree_with_a_torchvision_encoder():
    torch.manual_seed(0)
    config = ModelConfig(
        labels=("a", "b"),
        encoder="mobilenet_v3_small",
        transform=Transform(height=32, width=32),
        hidden_size=16,
    )
    check_streaming(ActionModel(config), steps=6)


def test_the_encoder_runs_once_a_frame():
    config = ModelConfig(
        labels=("a", "b"), encoder="mobilenet_v3_small", transform=Transform(height=32, width=32)
    )
    model = ActionModel(config).eval()
    seen = []
    model.encoder.cnn.register_forward_hook(lambda module, inputs, output: seen.append(len(inputs[0])))
    state = model.initial_state()
    with torch.inference_mode():
        for _ in range(7):
            _, state = model.step(torch.zeros(1, 3, 32, 32), torch.tensor([0.1]), state)
    assert seen == [1] * 7


def test_a_gap_longer_than_trained_for_starts_from_the_initial_state(tiny_model):
    pictures = torch.randint(0, 256, (1, 6, 3, 32, 32), dtype=torch.uint8)
    elapsed = torch.full((1, 6), 0.1)
    elapsed[0, 3] = tiny_model.config.max_gap + 0.01
    with torch.inference_mode():
        after_gap, _ = tiny_model(pictures, elapsed)
        anew, _ = tiny_model(pictures[:, 3:])
    assert_close(after_gap[:, 3:], anew, 1e-6)


def test_the_head_is_told_the_seconds_since_its_last_frame(tiny_model):
    pictures = torch.randint(0, 256, (1, 4, 3, 32, 32), dtype=torch.uint8)
    with torch.inference_mode():
        slow, _ = tiny_model(pictures, torch.full((1, 4), 0.4))
        quick, _ = tiny_model(pictures, torch.full((1, 4), 0.05))
    assert float((slow - quick).abs().max()) > 1e-4


@pytest.mark.parametrize("unknown", [math.nan, math.inf, -1.0])
def test_elapsed_time_that_is_unknown_begins_anew(tiny_model, unknown):
    pictures = torch.randint(0, 256, (1, 2, 3, 32, 32), dtype=torch.uint8)
    with torch.inference_mode():
        _, state = tiny_model(pictures)
        later, _ = tiny_model.step(pictures[:, 0], torch.tensor([unknown]), state)
        first, _ = tiny_model.step(pictures[:, 0], torch.tensor([math.inf]), tiny_model.initial_state())
    assert torch.equal(later, first)


def test_streams_of_a_batch_do_not_mix(tiny_model):
    pictures = torch.randint(0, 256, (3, 5, 3, 32, 32), dtype=torch.uint8)
    with torch.inference_mode():
        together, _ = tiny_model(pictures)
        alone, _ = tiny_model(pictures[1:2])
    assert_close(together[1:2], alone, 1e-5)


def test_forget_gates_begin_open_and_recurrent_weights_orthogonal(tiny_config):
    head = ActionModel(tiny_config).head
    size = head.lstm.hidden_size
    assert (head.lstm.bias_ih_l0[size : 2 * size] == 1.0).all()
    gate = head.lstm.weight_hh_l0[:size].detach()
    assert_close(gate @ gate.T, torch.eye(size), 1e-5)


@pytest.fixture(scope="module")
def cnns():
    """The CNNs of torchvision: to import them takes seconds, and all workers collect these tests."""
    import torchvision

    return torchvision.models


class TestCNNLSTM:
    def test_it_gives_logits_for_each_time_step_or_the_last(self, cnns):
        cnn = cnns.resnet18()
        clips = torch.randn(2, 4, 3, 64, 64)
        model = CNNLSTM(cnn, hidden_size=32, num_classes=5).eval()
        assert model(clips).shape == (2, 4, 5)
        model.last = True
        assert model(clips).shape == (2, 5)

    @pytest.mark.parametrize("name", ["vgg11", "mobilenet_v3_small", "regnet_y_400mf"])
    def test_any_torchvision_cnn_will_do(self, cnns, name):
        model = CNNLSTM(cnns.get_model(name), 16, 3, image_size=(64, 64)).eval()
        with torch.inference_mode():
            assert model(torch.randn(1, 2, 3, 64, 64)).shape == (1, 2, 3)

    def test_its_frames_and_clips_agree(self, cnns):
        torch.manual_seed(0)
        model = CNNLSTM(cnns.mobilenet_v3_small(), 16, 3, image_size=(64, 64)).eval()
        clips = torch.randn(2, 5, 3, 64, 64)
        state, stepped = model.initial_state(2), []
        with torch.inference_mode():
            whole = model(clips)
            for t in range(5):
                logits, state = model.step(clips[:, t], state)
                stepped.append(logits)
        assert_close(torch.stack(stepped, dim=1), whole, 1e-5)

    def test_the_sum_of_the_step_losses_reaches_the_first_layer_of_the_cnn_and_learns(self):
        torch.manual_seed(0)
        cnn = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1))
        model = CNNLSTM(cnn, 8, 2, image_size=(16, 16))
        clips = torch.cat([torch.zeros(4, 3, 3, 16, 16), torch.ones(4, 3, 3, 16, 16)])
        targets = torch.tensor([0] * 4 + [1] * 4)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
        losses = []
        for _ in range(60):
            loss = sum_of_step_losses(model(clips), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert cnn[0].weight.grad.abs().sum() > 0
        assert losses[-1] < 0.1 * losses[0]

    def test_the_loss_is_the_sum_over_steps(self):
        logits = torch.zeros(2, 3, 4)
        assert sum_of_step_losses(logits, torch.tensor([0, 1])).item() == pytest.approx(3 * math.log(4))
        weights = torch.tensor([0.0, 0.0, 1.0])
        assert sum_of_step_losses(logits, torch.tensor([0, 1]), weights).item() == pytest.approx(math.log(4))


def small_cnn(channels: int = 3) -> torch.nn.Module:
    """For pictures of 32x32: it ends in Flatten and Linear."""
    return torch.nn.Sequential(
        torch.nn.Conv2d(channels, 8, 3, 2, 1),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Linear(8 * 8 * 8, 12),
    )


class TestFromACnnOfOnesOwnToACamera:
    """Own CNN, CNNLSTM, a training loop, a file, and that file at a camera."""

    LABELS = ("dark", "light", "nothing")

    def learned(self, **options) -> CNNLSTM:
        torch.manual_seed(0)
        model = CNNLSTM(small_cnn(), 16, 3, labels=self.LABELS, **options)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)  # before anybody knows the size
        clips = torch.stack([torch.full((4, 3, 32, 32), value) for value in (-1.0, 1.0, 0.0)])
        for _ in range(40):
            loss = sum_of_step_losses(model(clips), torch.tensor([0, 1, 2]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return model

    def test_the_file_says_what_the_model_says_and_needs_no_class_of_python(self, tmp_path):
        model = self.learned()
        save_model(tmp_path / "own.safetensors", model)
        export_onnx(model, tmp_path / "own.onnx")
        pictures = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), np.uint8)
        given = model.normalized(torch.from_numpy(np.stack([model.transform(p) for p in pictures])))
        with torch.inference_mode():
            wanted = torch.softmax(model.eval()(given[None])[0], -1)
        assert model.training is False
        for recognizer in (
            Recognizer(model),
            Recognizer.load(tmp_path / "own.safetensors"),
            Recognizer.load(tmp_path / "own.onnx"),
        ):
            assert recognizer.labels == self.LABELS
            recognize = StreamRecognizer(recognizer)
            # A camera is uneven: the classical form was never told the time, and does not listen to it.
            times = [0.0, 0.1, 0.25, 0.3, 0.52, 0.6]
            said = [recognize(p, t).probabilities for p, t in zip(pictures, times, strict=True) if t != 0.3]
            assert np.abs(said[:3] - wanted[:3].numpy()).max() < 1e-5
        assert recognizer.config.events.background == ("nothing",)

    def test_what_no_file_can_hold_is_refused_in_one_line_before_one_is_written(self, tmp_path, capsys):
        class Chosen(torch.nn.Module):
            """Looks at the values to decide what it does: no graph can say that."""

            def __init__(self) -> None:
                super().__init__()
                self.conv = torch.nn.Conv2d(3, 4, 3)

            def forward(self, x):
                return self.conv(x).mean((2, 3)) if x.mean() > 0 else self.conv(x).amax((2, 3))

        class Random(Chosen):
            def forward(self, x):
                return self.conv(x + torch.randn_like(x)).mean((2, 3))

        path = tmp_path / "own.safetensors"
        for cnn, says in ((Chosen(), "cannot be written as an ONNX graph"), (Random(), "'RandomNormalLike'")):
            with pytest.raises(ModelError, match=says) as told:
                save_model(path, CNNLSTM(cnn, 8, 2, image_size=32))
            assert str(told.value).isprintable() and len(str(told.value)) < 400
        assert not path.exists()
        assert capsys.readouterr() == ("", "")

    def test_the_command_line_plays_it_and_exports_it(self, tmp_path, main_here):
        from tests.system.test_cli import write_video

        save_model(tmp_path / "own.safetensors", self.learned())
        write_video(tmp_path / "clip.mp4", 20)
        done = main_here(
            "run", "clip.mp4", "--model", "own.safetensors", "--no-show", "--jsonl", "-", cwd=tmp_path
        )
        assert done.returncode == 0 and '"label"' in done.stdout, done.stderr
        done = main_here("export", "own.safetensors", "--out", "own.onnx", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert Recognizer.load(tmp_path / "own.onnx").labels == self.LABELS
        for words in (["run", "clip.mp4", "--model", "own.safetensors", "--engine", "torch", "--no-show"],
                      ["export", "own.safetensors", "--out", "again.safetensors"]):  # fmt: skip
            done = main_here(*words, cwd=tmp_path)
            assert done.returncode == 2 and "Python class" in done.stderr, done.stderr
            assert "Traceback" not in done.stderr

    def test_the_size_is_told_or_found_with_the_first_clips(self):
        assert CNNLSTM(small_cnn(), 8, 2, image_size=32).config.transform.width == 32
        model = CNNLSTM(small_cnn(), 8, 2)
        with pytest.raises(ModelError, match="size of the pictures is not known yet"):
            model.config  # noqa: B018
        model(torch.zeros(1, 2, 3, 32, 32))
        assert (model.config.transform.height, model.config.transform.width) == (32, 32)
        with pytest.raises(ModelError, match="cannot take pictures of 64x64"):
            CNNLSTM(small_cnn(), 8, 2, image_size=(64, 64))
        with pytest.raises(ModelError, match="cannot take pictures of 64x48"):
            model(torch.zeros(1, 2, 3, 48, 64))
        with pytest.raises(ModelError, match="lazy layers"):
            CNNLSTM(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(4)), 8, 2)

    def test_features_that_go_with_the_size_find_room_while_an_optimizer_holds_the_weights(self):
        torch.manual_seed(0)
        model = CNNLSTM(torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3, 4), torch.nn.Flatten()), 8, 2)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
        clips = torch.stack([torch.full((3, 3, 32, 24), value) for value in (-1.0, 1.0)])
        losses = []
        for _ in range(25):
            losses.append(sum_of_step_losses(model(clips), torch.tensor([0, 1])))
            optimizer.zero_grad()
            losses[-1].backward()
            optimizer.step()
        assert losses[-1] < 0.3 * losses[0]
        assert model.head.lstm.weight_ih_l0.shape[1] == 2 * 8 * 6 + 1
        again = CNNLSTM(torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3, 4), torch.nn.Flatten()), 8, 2)
        again.load_state_dict(model.state_dict())
        assert torch.equal(again.eval()(clips), model.eval()(clips))
        with pytest.raises(ModelError, match="gives 128 features for pictures of 32x32"):
            model(torch.zeros(1, 1, 3, 32, 32))

    @pytest.mark.parametrize("colors", ["bgr", "gray"])
    def test_a_cnn_of_other_colours_is_shown_them(self, colors):
        torch.manual_seed(0)
        cnn = small_cnn(1 if colors == "gray" else 3)
        numbers = {"mean": [0.5], "std": [0.25]} if colors == "gray" else {"mean": (0.1, 0.2, 0.3)}
        model = CNNLSTM(cnn, 8, 2, image_size=32, colors=colors, **numbers).eval()
        picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)  # BGR
        if colors == "gray":
            plain = 0.299 * picture[..., 2:] + 0.587 * picture[..., 1:2] + 0.114 * picture[..., :1]
            given = (plain / 255 - 0.5) / 0.25
        else:
            given = (picture / 255 - (0.1, 0.2, 0.3)) / (0.229, 0.224, 0.225)
        clip = torch.from_numpy(given.astype(np.float32)).permute(2, 0, 1)[None, None]
        with torch.inference_mode():
            wanted = torch.softmax(model(clip)[0, 0], -1).numpy()
        assert np.abs(StreamRecognizer(Recognizer(model))(picture, 0.0).probabilities - wanted).max() < 1e-5

"""A tiny model learns what only motion tells; a run that was stopped goes on bit for bit."""

from __future__ import annotations

import itertools
import math
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from streamrec import ModelConfig, Transform
from streamrec.errors import DataError
from streamrec.train import fit as recipe
from streamrec.train.data import NO_LABEL, Augmentation, Recording
from streamrec.train.fit import Progress, TrainSettings, fit, quick_score, step_loss

LABELS = ("left", "right")
CONFIG = ModelConfig(labels=LABELS, transform=Transform(height=32, width=32), hidden_size=16)
QUICK = TrainSettings(steps=8, streams=4, window=6)


@pytest.fixture(autouse=True)
def one_thread():
    """Pictures this small are learned fastest by one thread, and other tests' threads are left as they were."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def blob(direction: int, seed: int, frames: int = 30) -> Recording:
    """A disc that goes around to the left (-1) or to the right (+1): no single picture tells which."""
    rng = np.random.default_rng(seed)
    start, height = rng.uniform(0, 32), int(rng.integers(8, 24))
    pictures = np.full((frames, 32, 32, 3), 60, np.uint8)
    for n, picture in enumerate(pictures):
        for turn in (-32, 0, 32):
            cv2.circle(
                picture, (int((start + 2 * direction * n) % 32) + turn, height), 4, (200, 200, 200), -1
            )
    target = LABELS.index("right" if direction > 0 else "left")
    return Recording(pictures, np.arange(frames) / 10, np.full(frames, target, np.int64), f"{seed}")


@pytest.fixture(scope="module")
def blobs() -> list[Recording]:
    return [blob(direction, seed) for direction in (-1, 1) for seed in range(8)]


def weights(model) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(one, other) -> bool:
    one, other = weights(one), weights(other)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def stop_at(step: int):
    """A listener that presses Ctrl-C when so many steps are done."""

    def tell(progress: Progress) -> None:
        if progress.step == step:
            raise KeyboardInterrupt

    return tell


def stopped(recordings, settings, resume: Path, step: int, config: ModelConfig = CONFIG) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit(recordings, config, settings, resume=resume, tell=stop_at(step))
    assert resume.exists()


# -- learning


@pytest.mark.slow
def test_motion_to_the_left_is_told_from_motion_to_the_right(blobs):
    settings = TrainSettings(
        steps=120, streams=8, window=12, average=0.95, augmentation=replace(Augmentation(), flip=False)
    )
    model = fit(blobs, CONFIG, settings)
    others = [blob(direction, seed) for direction in (-1, 1) for seed in range(100, 110)]
    per_frame, at_end = quick_score(model, others)
    assert per_frame > 0.85
    assert at_end > 0.85


def test_what_is_returned_is_ready_to_run_and_of_the_config(blobs):
    model = fit(blobs, CONFIG, QUICK)
    assert not model.training
    assert model.config.labels == LABELS
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(blobs):
    one, two = fit(blobs, CONFIG, QUICK), fit(blobs, CONFIG, QUICK)
    other = fit(blobs, CONFIG, replace(QUICK, seed=1))
    assert same(one, two)
    assert not same(one, other)


def test_every_weight_learns_down_to_the_first_convolution(blobs):
    run = recipe._begin(blobs, CONFIG, QUICK, None)
    before = {name: value.detach().clone() for name, value in run.model.named_parameters()}
    recipe._learn(run, next(run.windows), QUICK)
    first = next(iter(run.model.encoder.parameters()))
    assert first.shape[1] == 6  # picture and difference
    assert (first.grad.abs().sum(dim=(0, 2, 3)) > 0).all()
    for name, value in run.model.named_parameters():
        assert not torch.equal(value, before[name]), name


def test_a_network_of_any_library_learns_too(blobs):
    config = replace(CONFIG, encoder="timm/test_resnet")
    model = fit(blobs, config, replace(QUICK, steps=2))
    assert model.config.encoder == "timm/test_resnet"


def test_the_state_is_carried_from_window_to_window(blobs):
    run = recipe._begin(blobs, CONFIG, QUICK, None)
    for _ in range(3):
        recipe._learn(run, next(run.windows), QUICK)
    assert run.state.h.abs().sum() > 0
    assert not any(array.requires_grad for array in (*run.state.head, *run.state.cache))
    assert np.array_equal(run.position, run.windows.position)


def test_progress_is_told_after_every_step(blobs):
    told: list[Progress] = []
    fit(blobs, CONFIG, QUICK, tell=told.append)
    assert [p.step for p in told] == list(range(1, 9))
    assert {p.steps for p in told} == {8}
    assert all(math.isfinite(p.loss) and 0.0 <= p.accuracy <= 1.0 for p in told)


def test_frames_without_truth_teach_nothing(blobs):
    torch.manual_seed(0)
    logits = torch.randn(2, 3, 4, requires_grad=True)
    targets = torch.tensor([[0, NO_LABEL, 2], [NO_LABEL, NO_LABEL, NO_LABEL]])
    step_loss(logits, targets, torch.ones(2, 3), 0.05).backward()
    assert (logits.grad.abs().sum(-1) > 0).tolist() == [[True, False, True], [False, False, False]]
    assert step_loss(logits, torch.full((2, 3), NO_LABEL), torch.ones(2, 3), 0.0).item() == 0.0


def test_the_loss_is_the_weighted_mean_over_steps():
    logits = torch.tensor([[[2.0, 0.0], [0.0, 0.0], [0.0, 5.0]]])
    targets = torch.tensor([[0, 1, 1]])
    each = [-torch.log_softmax(logits[0, t], -1)[targets[0, t]].item() for t in range(3)]
    for given in ([1.0, 1.0, 1.0], [0.1, 0.5, 1.0]):
        expected = sum(w * loss for w, loss in zip(given, each, strict=True)) / sum(given)
        assert step_loss(logits, targets, torch.tensor([given]), 0.0).item() == pytest.approx(expected)


def test_the_learning_rate_warms_up_and_then_falls_to_a_hundredth():
    rates = [recipe._schedule(n / 1000, 0.05) for n in range(1001)]
    top = rates.index(max(rates))
    assert rates[0] < 0.05
    assert 49 <= top <= 51
    assert rates[top] == pytest.approx(1.0, abs=0.01)
    assert all(a < b for a, b in itertools.pairwise(rates[:50]))
    assert all(a > b for a, b in itertools.pairwise(rates[51:]))
    assert rates[-1] == pytest.approx(0.01)
    assert recipe._schedule(0.0, 0.0) == pytest.approx(1.0)


def test_nothing_to_learn_from_is_said():
    with pytest.raises(DataError, match="there is nothing to learn from"):
        fit([], CONFIG, QUICK)


# -- going on


@pytest.mark.parametrize("step", [1, 3, 7])
def test_a_run_that_was_stopped_goes_on_bit_for_bit(blobs, tmp_path, step):
    resume = tmp_path / "m.resume"
    stopped(blobs, QUICK, resume, step)
    told: list[Progress] = []
    resumed = fit(blobs, CONFIG, QUICK, resume=resume, tell=told.append)
    assert told[0].step == step + 1
    whole: list[Progress] = []
    assert same(resumed, fit(blobs, CONFIG, QUICK, tell=whole.append))
    assert told == whole[step:]


def test_a_run_may_be_stopped_more_than_once(blobs, tmp_path):
    resume = tmp_path / "m.resume"
    for step in (2, 3, 6):
        stopped(blobs, QUICK, resume, step)
    assert same(fit(blobs, CONFIG, QUICK, resume=resume), fit(blobs, CONFIG, QUICK))


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("where", ["step_loss", "_detached", "_average"])
def test_a_stop_in_the_middle_of_a_step_waits_for_its_end(blobs, tmp_path, monkeypatch, where, kind):
    resume = tmp_path / "m.resume"
    known, calls = getattr(recipe, where), itertools.count(1)

    def pressed(*args):
        if next(calls) == 4:
            signal.raise_signal(kind)
        return known(*args)

    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # as the command line does
    try:
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(recipe, where, pressed)
            fit(blobs, CONFIG, QUICK, resume=resume)
    finally:
        signal.signal(signal.SIGTERM, before)
    told: list[Progress] = []
    resumed = fit(blobs, CONFIG, QUICK, resume=resume, tell=told.append)
    assert told[0].step == 5
    assert same(resumed, fit(blobs, CONFIG, QUICK))


def test_a_run_is_kept_every_hundred_steps_though_nobody_stops_it(blobs, tmp_path, monkeypatch):
    resume = tmp_path / "m.resume"
    settings = replace(QUICK, steps=102, streams=1, window=2)

    def pulled(progress: Progress) -> None:
        if progress.step == 101:
            raise RuntimeError("the plug was pulled")

    with pytest.raises(RuntimeError):
        fit(blobs, CONFIG, settings, resume=resume, tell=pulled)
    told: list[Progress] = []
    resumed = fit(blobs, CONFIG, settings, resume=resume, tell=told.append)
    assert [p.step for p in told] == [101, 102]
    assert same(resumed, fit(blobs, CONFIG, settings))


def test_a_finished_run_stays_until_its_model_is_safe(blobs, tmp_path):
    resume = tmp_path / "m.resume"
    model = fit(blobs, CONFIG, QUICK, resume=resume)
    told: list[Progress] = []
    again = fit(blobs, CONFIG, QUICK, resume=resume, tell=told.append)
    assert same(model, again)
    assert not told  # nothing was left to learn


def test_a_run_in_a_thread_needs_no_signals(blobs):
    with ThreadPoolExecutor(1) as pool:
        assert same(pool.submit(fit, blobs, CONFIG, QUICK).result(), fit(blobs, CONFIG, QUICK))


@pytest.mark.parametrize(
    ("config", "settings"),
    [
        (CONFIG, replace(QUICK, learning_rate=1e-3)),
        (CONFIG, replace(QUICK, seed=9)),
        (CONFIG, replace(QUICK, augmentation=None)),
        (replace(CONFIG, fps=12.0), QUICK),
        (replace(CONFIG, labels=("up", "down")), QUICK),
    ],
)
def test_a_run_of_other_settings_is_not_taken_up(blobs, tmp_path, config, settings):
    resume = tmp_path / "m.resume"
    stopped(blobs, QUICK, resume, 2)
    with pytest.raises(DataError, match="of a run with other settings or data"):
        fit(blobs, config, settings, resume=resume)
    assert resume.exists()


def test_a_run_on_other_data_is_not_taken_up(blobs, tmp_path):
    resume = tmp_path / "m.resume"
    stopped(blobs, QUICK, resume, 2)
    with pytest.raises(DataError, match="of a run with other settings or data"):
        fit(blobs[:-1], CONFIG, QUICK, resume=resume)


@pytest.mark.parametrize(
    "damage", [lambda data: data[:200], lambda data: b"", lambda data: b"no safetensors"]
)
def test_a_damaged_resume_file_is_refused_in_words(blobs, tmp_path, damage):
    resume = tmp_path / "m.resume"
    stopped(blobs, QUICK, resume, 2)
    resume.write_bytes(damage(resume.read_bytes()))
    with pytest.raises(DataError, match="is damaged; remove it to begin anew"):
        fit(blobs, CONFIG, QUICK, resume=resume)


def test_a_models_file_in_place_of_a_resume_file_is_refused(blobs, tiny_file):
    with pytest.raises(DataError, match="of a run with other settings or data"):
        fit(blobs, CONFIG, QUICK, resume=tiny_file)
    assert tiny_file.exists()


# -- the quick score


def test_the_quick_score_counts_frames_and_ends(blobs):
    model = recipe._begin(blobs, CONFIG, QUICK, None).averaged.eval()
    model.head.classifier.weight.data.zero_()
    model.head.classifier.bias.data = torch.tensor([1.0, 0.0])  # says "left", whatever it sees
    assert quick_score(model, blobs) == (0.5, 0.5)
    assert quick_score(model, blobs[:8]) == (1.0, 1.0)
    turns = replace(blobs[0], targets=np.array([0] * 20 + [1] * 10))
    assert quick_score(model, [turns]) == (pytest.approx(2 / 3), 0.0)
    partly = replace(blobs[0], targets=np.array([0] * 10 + [1] * 5 + [NO_LABEL] * 15))
    assert quick_score(model, [partly]) == (pytest.approx(2 / 3), 0.0)
    assert quick_score(model, []) == (0.0, 0.0)


def test_the_quick_score_sees_frames_in_the_models_rhythm(blobs):
    model = recipe._begin(blobs, CONFIG, QUICK, None).averaged.eval()
    model.head.classifier.weight.data.zero_()
    model.head.classifier.bias.data = torch.tensor([1.0, 0.0])
    fast = replace(blobs[0], timestamps=np.arange(30) / 30, targets=np.array([0, 1, 1] * 10))
    assert quick_score(model, [fast]) == (1.0, 1.0)  # every third frame


def test_the_quick_score_of_a_long_stream_is_that_of_the_model_frame_by_frame():
    torch.manual_seed(3)
    recording = blob(1, 5, frames=600)
    model = recipe._begin([recording], CONFIG, QUICK, None).averaged.eval()
    model.head.classifier.weight.data *= 20
    state, right = model.initial_state(), 0
    with torch.inference_mode():
        for n, picture in enumerate(recording.pictures):
            frame = torch.from_numpy(picture[..., ::-1].transpose(2, 0, 1).copy())[None]
            logits, state = model.step(frame, torch.tensor([math.inf if n == 0 else 0.1]), state)
            right += int(logits.argmax()) == recording.targets[n]
    assert quick_score(model, [recording])[0] == pytest.approx(right / 600, abs=0.01)

"""A tiny model learns what only motion tells; a run that was stopped goes on bit for bit."""

from __future__ import annotations

import itertools
import math
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from streamrec import ModelConfig, Transform
from streamrec.data.clips import NO_LABEL
from streamrec.data.decode_cache import Recording
from streamrec.errors import DataError, ModelError
from streamrec.runtime.checkpoint import save_model
from streamrec.train import fit as recipe
from streamrec.train import resume as keeping
from streamrec.train.augment import Augmentation
from streamrec.train.distributed import Ranks
from streamrec.train.fit import Progress, TrainSettings, step_loss
from streamrec.train.quick_eval import accuracies, play
from tests.helpers.training import fit

LABELS = ("left", "right")
CONFIG = ModelConfig(labels=LABELS, transform=Transform(height=32, width=32), hidden_size=16)
QUICK = TrainSettings(steps=8, streams=4, window=6)


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


def begin(recordings, settings: TrainSettings = QUICK, config: ModelConfig = CONFIG):
    return recipe._begin(recordings, config, settings, None, Ranks())


def stop_at(step: int):
    """A listener that presses Ctrl-C when so many steps are done."""

    def tell(progress: Progress) -> None:
        if progress.step == step:
            raise KeyboardInterrupt

    return tell


def stopped(recordings, settings, resume: Path, step: int, config: ModelConfig = CONFIG) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit(recordings, config, settings, resume=resume, on_progress=stop_at(step))
    assert resume.exists()


# -- learning


@pytest.mark.slow
def test_motion_to_the_left_is_told_from_motion_to_the_right(blobs):
    settings = TrainSettings(
        steps=60, streams=8, window=12, average=0.95, augmentation=replace(Augmentation(), flip=False)
    )
    model = fit(blobs, CONFIG, settings)
    others = [blob(direction, seed) for direction in (-1, 1) for seed in range(100, 110)]
    per_frame, at_end = accuracies(play(model, each) for each in others)
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


@pytest.mark.parametrize(("changes", "is_kept"), [({}, True), ({"labels": ("rest", "other")}, False)])
def test_a_model_that_said_the_same_labels_goes_on_with_its_head(blobs, tmp_path, changes, is_kept):
    before = fit(blobs, CONFIG, QUICK)
    save_model(tmp_path / "before.safetensors", before)
    config = replace(CONFIG, **changes)
    started = recipe._fresh(config, str(tmp_path / "before.safetensors"))
    old, new = before.state_dict(), started.state_dict()
    alike = {name for name in old if torch.equal(old[name], new[name])}
    assert {name for name in old if name.startswith("encoder.")} <= alike
    assert ("head.classifier.weight" in alike) is is_kept


def test_a_head_that_goes_on_keeps_its_labels_in_whatever_order_they_come(blobs, tmp_path):
    before = fit(blobs, CONFIG, QUICK)
    save_model(tmp_path / "before.safetensors", before)
    started = recipe._fresh(replace(CONFIG, labels=LABELS[::-1]), str(tmp_path / "before.safetensors"))
    assert torch.equal(started.head.classifier.weight, before.head.classifier.weight.flip(0))


def test_every_weight_learns_down_to_the_first_convolution(blobs):
    run = begin(blobs)
    before = {name: value.detach().clone() for name, value in run.model.named_parameters()}
    recipe._learn(run, next(run.windows), QUICK, Ranks())
    first = next(iter(run.model.encoder.parameters()))
    assert first.shape[1] == 4  # picture and difference
    assert (first.grad.abs().sum(dim=(0, 2, 3)) > 0).all()
    for name, value in run.model.named_parameters():
        assert not torch.equal(value, before[name]), name


def test_a_network_of_any_library_learns_too(blobs):
    config = replace(CONFIG, encoder="timm/test_resnet")
    model = fit(blobs, config, replace(QUICK, steps=2))
    assert model.config.encoder == "timm/test_resnet"


def test_the_state_is_carried_from_window_to_window(blobs):
    run = begin(blobs)
    for _ in range(3):
        recipe._learn(run, next(run.windows), QUICK, Ranks())
    assert run.state.h.abs().sum() > 0
    assert not any(array.requires_grad for array in (*run.state.head, *run.state.cache))
    assert np.array_equal(run.position, run.windows.position)


def test_progress_is_told_after_every_step(blobs):
    told: list[Progress] = []
    fit(blobs, CONFIG, QUICK, on_progress=told.append)
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


def test_rare_labels_weigh_more_when_they_are_balanced():
    def of(target: int, frames: int) -> Recording:
        return Recording(
            np.zeros((frames, 2, 2, 3), np.uint8), np.arange(frames) / 10, np.full(frames, target), ""
        )

    # The windows play each label equally often: 60 frames of the first for 20 of the second.
    recordings = [of(0, 60), of(0, 60), of(1, 20)]
    assert recipe.label_weights(recordings, 3, 0.0).tolist() == [1.0, 1.0, 1.0]
    whole = recipe.label_weights(recordings, 3, 1.0)
    assert whole[1] / whole[0] == pytest.approx(3.0)
    assert (whole[0] * 60 + whole[1] * 20) / 80 == pytest.approx(1.0)
    assert whole[2] == 1.0  # nobody says how rare it is
    half = recipe.label_weights(recordings, 3, 0.5)
    assert half[1] / half[0] == pytest.approx(3.0**0.5)


def test_the_loss_of_a_label_counts_as_much_as_the_label_weighs():
    logits, targets = torch.tensor([[[2.0, 0.0], [0.0, 3.0]]]), torch.tensor([[0, 0]])
    targets[0, 1] = 1
    each = [
        step_loss(logits[:, t : t + 1], targets[:, t : t + 1], torch.ones(1, 1), 0.0).item() for t in (0, 1)
    ]
    told = step_loss(logits, targets, torch.ones(1, 2), 0.0, torch.tensor([3.0, 1.0])).item()
    assert told == pytest.approx((3 * each[0] + each[1]) / 4)


# -- stages


def changed(run, before: dict[str, torch.Tensor]) -> set[str]:
    return {name for name, value in run.model.state_dict().items() if not torch.equal(value, before[name])}


def test_the_backbone_is_frozen_at_first_and_learns_later(blobs):
    settings = replace(QUICK, stages="staged", unfreeze=0.5)
    run = begin(blobs, settings)
    before = weights(run.model)
    for _ in range(4):
        recipe._learn(run, next(run.windows), settings, Ranks())
    rested = {name for name in before if name.startswith("encoder.cnn.")}
    assert changed(run, before) == set(before) - rested  # its batch norms count nothing either
    assert not run.model.encoder.cnn.training
    before = weights(run.model)
    recipe._learn(run, next(run.windows), settings, Ranks())
    assert {name for name in rested if name.endswith("weight")} <= changed(run, before)
    assert run.model.encoder.cnn.training


def test_the_head_may_learn_alone(blobs):
    settings = replace(QUICK, stages="head")
    run = begin(blobs, settings)
    before = weights(run.model)
    for _ in range(QUICK.steps):
        recipe._learn(run, next(run.windows), settings, Ranks())
    assert changed(run, before) == {name for name in before if name.startswith("head.")}
    assert not run.model.encoder.training


def test_the_backbone_learns_slower_and_warms_up_when_it_is_unfrozen():
    settings = TrainSettings(stages="staged", unfreeze=0.5, trunk_rate=0.1, warmup=0.1)
    parts = [
        recipe._rate(d, settings, backbone=True) / recipe._rate(d, settings)
        for d in (0.2, 0.5, 0.55, 0.6, 0.9)
    ]
    assert parts[0] == 0.0
    assert 0.0 < parts[1] < 0.01 < parts[2] < 0.1
    assert parts[3:] == pytest.approx([0.1, 0.1])


@pytest.mark.parametrize("stages", ["whole", "staged"])
def test_frozen_norms_keep_their_weights_and_statistics(blobs, stages):
    settings = replace(QUICK, freeze_norm=True, stages=stages, unfreeze=0.0)
    run = begin(blobs, settings)
    before = weights(run.model)
    recipe._learn(run, next(run.windows), settings, Ranks())
    kept = {name for name in before if name not in changed(run, before)}
    norms = {
        f"encoder.cnn.{name}.{kind}"
        for name, module in run.model.encoder.cnn.named_modules()
        if isinstance(module, torch.nn.BatchNorm2d)
        for kind in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    }
    assert kept == norms


def test_an_encoder_without_a_backbone_cannot_be_staged(blobs):
    run = begin(blobs)
    run.model.encoder.cnn = None
    with pytest.raises(ModelError, match="has no backbone to freeze"):
        recipe._backbone(run.model, QUICK)


# -- stopping early

PATIENT = replace(QUICK, evaluate_every=2, patience=2, watch=0.25)


def scripted(monkeypatch, scores: list[float]) -> None:
    """What is watched is right in so many of 100 frames, evaluation after evaluation."""
    told = iter(scores)
    recordings: list[Recording] = []

    def play(model, recording):
        if recordings and recording is recordings[0]:
            recordings.clear()
        if not recordings:
            play.score = next(told)
        recordings.append(recording)
        return SimpleNamespace(right=np.arange(100) < play.score)

    monkeypatch.setattr(recipe, "play", play)


def test_learning_stops_when_nothing_gets_better_and_the_best_is_returned(blobs, monkeypatch):
    scripted(monkeypatch, [50, 70, 70, 60])
    told: list[Progress] = []
    stopped_early = fit(blobs, CONFIG, replace(PATIENT, steps=20), on_progress=told.append)
    assert [p.step for p in told] == list(range(1, 9))
    assert [p.watched for p in told if p.watched is not None] == [0.5, 0.7, 0.7, 0.6]
    assert told[-1].best_at == 4
    scripted(monkeypatch, [50, 70])
    kept = {}

    def spied(progress: Progress) -> None:
        if progress.step == 4:
            raise KeyboardInterrupt

    known = keeping.keep
    monkeypatch.setattr(keeping, "keep", lambda run, *_: kept.update(weights(run.averaged)))
    with pytest.raises(KeyboardInterrupt):
        fit(blobs, CONFIG, replace(PATIENT, steps=20), resume=Path("unused"), on_progress=spied)
    monkeypatch.setattr(keeping, "keep", known)
    assert all(torch.equal(value, kept[name]) for name, value in stopped_early.state_dict().items())


def test_what_is_watched_shares_no_group_with_what_is_learned(blobs):
    learned, watched = recipe._held_back(blobs, PATIENT)
    assert watched and learned
    assert {r.group for r in learned}.isdisjoint(r.group for r in watched)
    assert len(learned) + len(watched) == len(blobs)


def test_one_group_is_too_few_to_stop_early_by(blobs):
    alike = [replace(recording, group="a") for recording in blobs]
    with pytest.raises(DataError, match="too few groups to watch"):
        fit(alike, CONFIG, PATIENT)


def test_what_is_watched_without_patience_decides_nothing(blobs):
    told: list[Progress] = []
    watched = fit(blobs, CONFIG, replace(QUICK, evaluate_every=3), watched=blobs[:2], on_progress=told.append)
    assert [p.step for p in told if p.watched is not None] == [3, 6, 8]
    assert same(watched, fit(blobs, CONFIG, replace(QUICK, evaluate_every=3)))


@pytest.mark.parametrize(
    "wrong", [{"stages": "both"}, {"precision": "int8"}, {"steps": 0}, {"patience": 0}, {"evaluate_every": 0}]
)
def test_settings_that_mean_nothing_are_refused(wrong):
    with pytest.raises(ValueError, match=r"at least 1|is one of"):
        replace(QUICK, **wrong)


def test_background_that_is_never_played_cannot_be_learned():
    with pytest.raises(ValueError, match="more than 0"):
        replace(QUICK, quiet=0.0)


def test_background_may_be_played_less_often_than_other_labels(blobs):
    config = replace(CONFIG, labels=("background", *CONFIG.labels[1:]))
    often, seldom = (fit(blobs, config, replace(QUICK, quiet=share)) for share in (1.0, 0.01))
    assert not same(often, seldom)
    assert same(
        fit(blobs, CONFIG, QUICK), fit(blobs, CONFIG, replace(QUICK, quiet=0.01))
    )  # none is background


# -- precision


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_learns_or_is_refused_in_words(blobs, precision):
    settings = replace(QUICK, steps=2, precision=precision)
    try:
        model = fit(blobs, CONFIG, settings)
    except ModelError as error:  # a processor without an LSTM of that type
        assert str(error) == f"the cpu here cannot learn in {precision}; let the precision be auto"
    else:
        assert all(value.dtype in (torch.float32, torch.int64) for value in model.state_dict().values())


def test_the_precision_is_what_the_device_is_fast_with(monkeypatch):
    gpu, cpu = torch.device("cuda"), torch.device("cpu")
    for fast, expected in ((True, torch.bfloat16), (False, torch.float16)):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, fast=fast: fast)
        assert recipe._precision("auto", gpu) is expected
    for fast, expected in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda fast=fast: fast)
        assert recipe._precision("auto", cpu) is expected
    assert recipe._precision("float32", gpu) is torch.float32


def test_a_device_that_is_not_there_is_said(blobs):
    with pytest.raises(ModelError, match="there is no device 'nonsense'"):
        fit(blobs, CONFIG, replace(QUICK, device="nonsense"))


# -- going on


@pytest.mark.parametrize("step", [1, 4, 5])
def test_a_run_with_stages_and_patience_goes_on_bit_for_bit(blobs, tmp_path, step):
    settings = replace(PATIENT, stages="staged", unfreeze=0.6, class_balance=0.5)
    resume = tmp_path / "m.resume"
    stopped(blobs, settings, resume, step)
    told: list[Progress] = []
    resumed = fit(blobs, CONFIG, settings, resume=resume, on_progress=told.append)
    whole: list[Progress] = []
    assert same(resumed, fit(blobs, CONFIG, settings, on_progress=whole.append))
    assert told == whole[step:]


def test_a_stop_while_it_is_measured_is_heard_and_the_measurement_is_made_later(blobs, tmp_path, monkeypatch):
    resume = tmp_path / "m.resume"
    known, calls = recipe.play, itertools.count(1)

    def pressed(*args):
        if next(calls) == 2:
            signal.raise_signal(signal.SIGINT)
        return known(*args)

    told: list[Progress] = []
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(recipe, "play", pressed)
        fit(blobs, CONFIG, PATIENT, resume=resume, on_progress=told.append)
    assert [(p.step, p.watched) for p in told] == [(1, None), (2, None)]
    again: list[Progress] = []
    resumed = fit(blobs, CONFIG, PATIENT, resume=resume, on_progress=again.append)
    assert again[0].step == 2
    assert again[0].watched is not None
    assert same(resumed, fit(blobs, CONFIG, PATIENT))


@pytest.mark.parametrize("step", [1, 3, 7])
def test_a_run_that_was_stopped_goes_on_bit_for_bit(blobs, tmp_path, step):
    resume = tmp_path / "m.resume"
    stopped(blobs, QUICK, resume, step)
    told: list[Progress] = []
    resumed = fit(blobs, CONFIG, QUICK, resume=resume, on_progress=told.append)
    assert told[0].step == step + 1
    whole: list[Progress] = []
    assert same(resumed, fit(blobs, CONFIG, QUICK, on_progress=whole.append))
    assert told == whole[step:]


def test_a_run_may_be_stopped_more_than_once(blobs, tmp_path):
    resume = tmp_path / "m.resume"
    for step in (2, 3, 6):
        stopped(blobs, QUICK, resume, step)
    assert same(fit(blobs, CONFIG, QUICK, resume=resume), fit(blobs, CONFIG, QUICK))


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("where", ["step_loss", "_detached", "_average"])
def test_a_stop_in_the_middle_of_a_step_waits_for_its_end(blobs, tmp_path, monkeypatch, where, kind):
    resume = tmp_path / "m.resume"
    known, calls = getattr(recipe, where), itertools.count(1)

    def pressed(*args):
        if next(calls) == 4:
            signal.raise_signal(kind)
        return known(*args)

    kinds = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(one, signal.default_int_handler) for one in kinds]  # as the command line does
    try:
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(recipe, where, pressed)
            fit(blobs, CONFIG, QUICK, resume=resume)
    finally:
        for one, handler in zip(kinds, before, strict=True):
            signal.signal(one, handler)
    told: list[Progress] = []
    resumed = fit(blobs, CONFIG, QUICK, resume=resume, on_progress=told.append)
    assert told[0].step == 5
    assert same(resumed, fit(blobs, CONFIG, QUICK))


@pytest.fixture
def kept_every_ten(monkeypatch) -> None:
    """Runs are kept every hundred steps, and here every ten."""
    assert keeping.KEPT_EVERY == 100
    monkeypatch.setattr(recipe, "KEPT_EVERY", 10)


@pytest.mark.usefixtures("kept_every_ten")
def test_a_run_is_kept_every_hundred_steps_though_nobody_stops_it(blobs, tmp_path):
    resume = tmp_path / "m.resume"
    settings = replace(QUICK, steps=12, streams=1, window=2)

    def pulled(progress: Progress) -> None:
        if progress.step == 11:
            raise RuntimeError("the plug was pulled")

    with pytest.raises(RuntimeError):
        fit(blobs, CONFIG, settings, resume=resume, on_progress=pulled)
    told: list[Progress] = []
    resumed = fit(blobs, CONFIG, settings, resume=resume, on_progress=told.append)
    assert [p.step for p in told] == [11, 12]
    assert same(resumed, fit(blobs, CONFIG, settings))


def test_a_finished_run_stays_until_its_model_is_safe(blobs, tmp_path):
    resume = tmp_path / "m.resume"
    model = fit(blobs, CONFIG, QUICK, resume=resume)
    told: list[Progress] = []
    again = fit(blobs, CONFIG, QUICK, resume=resume, on_progress=told.append)
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


@pytest.mark.usefixtures("kept_every_ten")
def test_a_run_that_cannot_be_kept_goes_on_learning_and_that_is_told_once(blobs, tmp_path):
    (tmp_path / "file").write_text("no folder")
    told: list[str] = []
    settings = replace(QUICK, steps=11, streams=2, window=2)  # tried at the tenth and at the last
    model = fit(blobs, CONFIG, settings, resume=tmp_path / "file" / "m.resume", log=told.append)
    assert same(model, fit(blobs, CONFIG, settings))
    (sentence,) = told
    assert "cannot be kept" in sentence


def test_a_run_that_is_stopped_where_it_cannot_be_kept_is_kept_elsewhere_and_goes_on_from_there(
    blobs, tmp_path, monkeypatch
):
    monkeypatch.setattr("streamrec.core.files.other_places", lambda: [tmp_path])
    (tmp_path / "file").write_text("no folder")
    told: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        fit(
            blobs, CONFIG, QUICK, resume=tmp_path / "file" / "m.resume", on_progress=stop_at(4), log=told.append
        )  # fmt: skip
    (kept,) = tmp_path.glob("streamrec-*/m.resume")
    assert str(kept) in told[0]
    assert kept.stat().st_mode & 0o777 == 0o600
    assert same(fit(blobs, CONFIG, QUICK, resume=kept), fit(blobs, CONFIG, QUICK))

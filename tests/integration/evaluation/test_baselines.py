"""The baselines see what the model sees, learn what can be learned, and look at no frame ahead."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from streamrec import ActionModel, ModelConfig, Recognizer, Transform, results
from streamrec.data.clips import NO_LABEL, Clip
from streamrec.errors import DataError, SourceError
from streamrec.evaluation import baselines
from streamrec.evaluation.baselines import (
    EncodedClip,
    SampledClip,
    encode_clip,
    fit_linear,
    fit_per_frame,
    fit_running_mean,
    frozen_features,
    running_mean,
    sample_clip,
    smoothed,
    window_probabilities,
)
from streamrec.evaluation.evaluate import play_clips
from streamrec.evaluation.reports import playback_of
from streamrec.events.detector import EventSettings
from streamrec.runtime.checkpoint import save_model
from tests.helpers.models import save_without_graph

CONFIG = ModelConfig(
    labels=("idle", "left", "right"),
    transform=Transform(height=32, width=32),
    hidden_size=16,
    events=EventSettings(enter=0.36, leave=0.3, shortest=0.0, smoothing=0.0, background=("idle",)),
)


def write_video(path: Path, frames: int, fps: int, seed: int = 0) -> Path:
    noise = np.random.default_rng(seed).integers(0, 256, (48, 64, 3), np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for n in range(frames):
            picture = np.ascontiguousarray(np.roll(noise, 3 * n, axis=1))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def model() -> ActionModel:
    torch.manual_seed(3)
    return ActionModel(CONFIG).eval()


def noise(frames: int, seed: int = 0) -> SampledClip:
    pictures = np.random.default_rng(seed).integers(0, 256, (frames, 32, 32, 3), np.uint8)
    return SampledClip(pictures, np.arange(frames) / 10, np.zeros(frames, np.int64), "g")


@pytest.mark.parametrize(("frames", "fps"), [(60, 30), (25, 25), (12, 5)])
def test_what_is_measured_quickly_is_what_the_loop_says_of_the_file(model, tmp_path, frames, fps):
    clip = Clip(write_video(tmp_path / "clip.mp4", frames, fps), "left", "g")
    save_model(tmp_path / "model.safetensors", model)
    recognizer = Recognizer.load(tmp_path / "model.safetensors", engine="torch", device="cpu")
    (played,), _ = play_clips(recognizer, [clip])
    watched = encode_clip(model, sample_clip(clip, CONFIG))
    assert watched.timestamps.tolist() == played.timestamps.tolist()
    assert np.allclose(watched.probabilities, played.probabilities, atol=1e-5)
    quick = playback_of(clip, watched.timestamps, watched.probabilities, CONFIG.labels, CONFIG.events)
    assert (quick.truth, quick.notified, quick.label) == (played.truth, played.notified, played.label)
    assert [(type(e), e.label, e.timestamp) for e in quick.events] == [
        (type(e), e.label, e.timestamp) for e in played.events
    ]


def test_the_phase_that_is_watched_is_the_one_that_the_loop_tells(tmp_path):
    torch.manual_seed(3)
    counting = ActionModel(replace(CONFIG, counted=("left",))).eval()
    path = write_video(tmp_path / "clip.mp4", 30, 10)
    file = save_without_graph(tmp_path / "model.safetensors", counting)
    recognizer = Recognizer.load(file, engine="torch", device="cpu")
    told = [result.prediction for result in results(path, recognizer)]
    watched = encode_clip(counting, sample_clip(Clip(path, "left", "g"), counting.config))
    assert np.allclose(watched.phases, [prediction.phase for prediction in told], atol=1e-5)
    assert np.allclose(watched.probabilities, [prediction.probabilities for prediction in told], atol=1e-5)
    assert window_probabilities(counting, noise(20)).sum(-1) == pytest.approx(np.ones(20))


def test_a_long_clip_is_watched_in_parts_with_the_state_carried(model, monkeypatch):
    shown = noise(23)
    whole = encode_clip(model, shown)
    monkeypatch.setattr(baselines, "frames_at_once", lambda transform: 5)
    parts = encode_clip(model, shown)
    assert np.allclose(whole.probabilities, parts.probabilities, atol=1e-5)
    assert np.allclose(whole.features, parts.features, atol=1e-5)
    assert whole.features.shape == (23, model.encoder.feature_size)
    assert not model.encoder._forward_hooks


def test_the_features_are_those_that_the_head_is_given(model):
    shown = noise(7)
    watched = encode_clip(model, shown)
    with torch.inference_mode():
        logits, _ = model.head(
            torch.from_numpy(watched.features)[None],
            torch.zeros(1, 7),
            torch.tensor([[True] + [False] * 6]),
            model.head.initial_memory(),
        )
    assert np.allclose(torch.softmax(logits[0], -1).numpy(), watched.probabilities, atol=1e-5)


def test_a_window_begins_anew_at_every_frame(model):
    shown = noise(12)
    said = window_probabilities(model, shown, window=4, batch=3)
    assert said.shape == (12, 3)
    assert np.allclose(said[:4], encode_clip(model, shown).probabilities[:4], atol=1e-5)
    for end in (4, 7, 11):
        part = slice(end - 3, end + 1)
        alone = SampledClip(shown.pictures[part], shown.timestamps[part], shown.targets[part], "g")
        assert np.allclose(said[end], encode_clip(model, alone).probabilities[-1], atol=1e-5)


def test_a_clip_shorter_than_the_window_is_seen_as_the_model_sees_it(model):
    shown = noise(3)
    assert np.allclose(window_probabilities(model, shown), encode_clip(model, shown).probabilities, atol=1e-5)


def test_the_truth_that_the_model_has_no_label_for_teaches_nothing(tmp_path):
    clip = Clip(write_video(tmp_path / "clip.mp4", 6, 10), "swim", "g")
    assert set(sample_clip(clip, CONFIG).targets.tolist()) == {NO_LABEL}
    with pytest.raises(SourceError):
        sample_clip(Clip(tmp_path / "missing.mp4", "left", "g"), CONFIG)


def test_logistic_regression_is_the_known_one_of_a_balanced_pair():
    # One feature, -1 for label 0 and +1 for label 1, all right. By symmetry the logits are -v x and v x; the
    # loss log(1 + exp(-2 v)) + penalty / 2 * 2 v^2 has its least value where 2 / (1 + exp(2 v)) = 2 penalty v.
    features, targets = np.array([[-1.0], [1.0]]), np.array([0, 1])
    linear = fit_linear(features, targets, 2, penalty=0.1)
    v = float(linear.weight[0, 1])
    assert linear.weight[0, 0] == pytest.approx(-v, abs=1e-5)
    assert 1 / (1 + math.exp(2 * v)) == pytest.approx(0.1 * v, abs=1e-5)
    assert linear(np.array([[1.0]]))[0, 1] == pytest.approx(1 / (1 + math.exp(-2 * v)), abs=1e-5)


def test_the_scale_of_a_feature_does_not_matter_and_a_constant_one_does_no_harm():
    random = np.random.default_rng(0)
    targets = np.arange(40) % 2
    features = random.normal(size=(40, 3)) + targets[:, None]
    features[:, 2] = 7.0
    one = fit_linear(features, targets, 2, penalty=0.01)
    other = fit_linear(features * (1e4, 1e-4, 1.0) + (5.0, 0.0, 0.0), targets, 2, penalty=0.01)
    assert np.allclose(one(features), other(features * (1e4, 1e-4, 1.0) + (5.0, 0.0, 0.0)), atol=1e-3)


def test_a_rare_label_weighs_as_much_as_a_common_one_and_an_unseen_one_is_never_said():
    features = np.zeros((10, 1))
    said = fit_linear(features, np.array([0] * 9 + [2]), 3, penalty=0.1)(np.zeros((1, 1)))[0]
    assert said == pytest.approx([0.5, 0.0, 0.5], abs=1e-4)
    with pytest.raises(DataError, match="nothing"):
        fit_linear(np.zeros((0, 1)), np.zeros(0, int), 2, penalty=0.1)


def test_smoothing_takes_the_elapsed_time_and_looks_at_no_frame_ahead():
    scores = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    once = smoothed(scores, np.array([0.0, 0.5, 1.0]), 1.0)
    assert once[1] == pytest.approx([math.exp(-0.5), 1 - math.exp(-0.5)])
    assert once[2] == pytest.approx([math.exp(-1.0), 1 - math.exp(-1.0)])
    assert smoothed(scores, np.array([0.0, 1.0, 2.0]), 1.0)[1] == pytest.approx(once[2])
    assert smoothed(scores, np.array([0.0, 1.0, 2.0]), 0.0).tolist() == scores.tolist()
    assert scores[1].tolist() == [0.0, 1.0]


def made(label: int, group: str, seed: int, frames: int = 20) -> EncodedClip:
    """The first feature tells the label, faintly; frames are noisy, so that time must be used."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(frames, 4)).astype(np.float32)
    features[:, 0] += 1.0 if label else -1.0
    return EncodedClip(
        np.arange(frames) / 10, np.full(frames, label), features, np.zeros((frames, 2), np.float32), group
    )


def clips(first: int, count: int = 24) -> list[EncodedClip]:
    return [made(n % 2, f"g{n // 2}", first + n) for n in range(count)]


@pytest.mark.parametrize("fit", [fit_per_frame, fit_running_mean])
def test_both_learn_what_is_in_the_features_and_use_time(fit):
    classify = fit(clips(0), 2)
    ends, starts = [], []
    for clip in clips(1000):
        said = classify(clip.features, clip.timestamps)
        assert said.shape == (20, 2)
        assert np.allclose(said.sum(1), 1.0, atol=1e-5)
        assert np.allclose(classify(clip.features[:9], clip.timestamps[:9]), said[:9], atol=1e-6)
        ends.append(said[-1].argmax() == clip.targets[-1])
        starts.append(said[0].argmax() == clip.targets[0])
    assert np.mean(ends) >= 0.95
    assert np.mean(ends) > np.mean(starts)


def test_the_smoothing_is_chosen_because_single_frames_are_noisy():
    assert fit_per_frame(clips(0), 2).smoothing > 0.0


def test_other_features_may_be_given():
    shown = clips(0)
    hidden = [EncodedClip(c.timestamps, c.targets, 0 * c.features, c.probabilities, c.group) for c in shown]
    classify = fit_running_mean(hidden, 2, features=[clip.features for clip in shown])
    other = clips(1000)
    assert np.mean([classify(c.features, c.timestamps)[-1].argmax() == c.targets[-1] for c in other]) >= 0.95


def test_one_group_only_leaves_nothing_to_choose_with_and_is_learned_all_the_same():
    shown = [made(n % 2, "same", n) for n in range(6)]
    assert fit_per_frame(shown, 2).smoothing == 0.5


def test_the_running_mean_of_long_features_does_not_drift():
    assert running_mean(np.ones((100_000, 1), np.float32))[-1, 0] == pytest.approx(1.0, abs=1e-12)


def test_frozen_features_come_of_a_network_that_keeps_its_weights():
    shown = [noise(4, 1), noise(6, 2)]
    torch.manual_seed(0)
    rows = frozen_features(iter(shown), encoder="motion", weights=None)
    assert [row.shape for row in rows] == [(4, 128), (6, 128)]

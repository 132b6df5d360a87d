"""Models of sound: the transform of hops, the log-mel spectrum in the graph, the causal encoder."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from streamrec import ActionModel, ModelConfig, SoundTransform, Transform
from streamrec.errors import ModelError, PictureError, WrongValue
from streamrec.nn.encoders import make_encoder
from streamrec.nn.encoders.sound import LogMel, SoundEncoder
from streamrec.nn.sound import FLOOR, fourier_kernels, log_mel, mel_filters
from tests.helpers.checks import assert_close, check_streaming, some_frames

HOPS = SoundTransform(rate=8000, hop=320, window=128, stride=80, mels=16, low=60, high=3800)
CONFIG = ModelConfig(labels=("bark", "rain"), encoder="sound-cnn", transform=HOPS, hidden_size=8, fps=25.0)


def a_model(**changes) -> ActionModel:
    torch.manual_seed(0)
    model = ActionModel(replace(CONFIG, **changes)).eval()
    for module in model.modules():  # as training leaves it
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
    return model


def spectrum_of(samples: np.ndarray, transform: SoundTransform) -> torch.Tensor:
    """(K, mels) of samples (S,) in one pass over all hops."""
    hops = torch.from_numpy(samples.astype(np.float32)).unflatten(0, (-1, transform.hop))[None]
    follows = torch.ones(hops.shape[:2], dtype=torch.bool)
    follows[:, 0] = False
    return LogMel(transform)(hops, follows, torch.zeros(1, transform.tail))[0][0].flatten(0, 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"head": "lstm"},
        {"head": "statistics"},
        {"encoder": "speech-cnn"},
        {"transform": replace(HOPS, hop=400)},  # an odd number of spectra in a step
        {"transform": replace(HOPS, hop=160, window=120, mels=12)},
    ],
)
def test_frames_and_clips_agree_with_the_encoder_of_sound(changes):
    config = replace(CONFIG, **changes)
    check_streaming(a_model(**changes, fps=config.transform.fps), steps=20)


def test_hops_that_were_lost_are_known_and_cuts_change_nothing():
    model = a_model()
    elapsed = torch.full((1, 16), 1 / 25)
    elapsed[0, 5] = 3 / 25  # two hops were lost
    hops = some_frames(HOPS, 1, 16)
    with torch.inference_mode():
        whole, _ = model(hops, elapsed)
        first, state = model(hops[:, :5], elapsed[:, :5])
        rest, _ = model(hops[:, 5:], elapsed[:, 5:], state)
        assert_close(torch.cat([first, rest], 1), whole, 1e-5)
        steady = elapsed.clone()
        steady[0, 5] = 1 / 25
        assert not torch.allclose(model(hops, steady)[0][:, 5:], whole[:, 5:], atol=1e-4)


def test_what_came_before_a_stream_began_anew_changes_nothing():
    model = a_model()
    hops = some_frames(HOPS, 1, 20)
    elapsed = torch.full((1, 20), 1 / 25)
    elapsed[0, 8] = math.inf
    with torch.inference_mode():
        whole, _ = model(hops, elapsed)
        rest, _ = model(hops[:, 8:], elapsed[:, 8:])
        assert_close(whole[:, 8:], rest, 1e-5)
        other = hops.clone()
        other[:, :8] += 1.0
        assert_close(model(other, elapsed)[0][:, 8:], whole[:, 8:], 1e-5)


def test_a_feature_is_of_the_last_steps_and_of_no_later_one():
    encoder = SoundEncoder(HOPS).eval()
    hops, fresh = 0.1 * torch.randn(1, 40, 320), torch.zeros(1, 40, dtype=torch.bool)
    fresh[:, 0] = True

    def features(data):
        with torch.inference_mode():
            return encoder(data, torch.zeros(1, 40), fresh, encoder.initial_cache(1))[0][0]

    changed = hops.clone()
    changed[0, 10] += 0.5 * torch.randn(320)
    differ = (features(hops) - features(changed)).abs().amax(-1) > 1e-6
    assert not differ[:10].any()
    assert differ[10:16].all()
    assert not differ[10 + 15 + 5 :].any()


def test_the_mel_filters_are_those_of_a_known_library():
    """By librosa 0.11: ``filters.mel(sr=16000, n_fft=400, n_mels=64, fmin=50, fmax=7600, htk=True, norm=None)``."""
    filters = mel_filters(16000, 400, 64, 50.0, 7600.0)
    assert filters.shape == (201, 64)
    assert filters.sum() == pytest.approx(184.7165, abs=1e-3)
    assert filters.argmax(0)[::9].tolist() == [2, 10, 20, 35, 56, 85, 126, 182]
    known = {
        2: {0: 0.940557, 1: 0.059443},
        10: {9: 0.648514, 10: 0.351486},
        50: {33: 0.369159, 34: 0.630841},
        100: {48: 0.381223, 49: 0.618777},
        180: {62: 0.33966, 63: 0.66034},
    }
    for row, bands in known.items():
        assert np.flatnonzero(filters[row]).tolist() == list(bands)
        assert filters[row][list(bands)] == pytest.approx(list(bands.values()), abs=1e-5)


def test_the_spectrum_is_that_of_a_fourier_transform():
    rng = np.random.default_rng(0)
    samples = rng.normal(size=HOPS.hop * 3) * 0.1
    found = spectrum_of(samples, HOPS).exp().numpy()[4:]  # behind the first hop, whose past is mirrored
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(128) / 128)
    starts = np.arange(4, 12) * 80 - HOPS.tail
    power = [
        np.abs(np.fft.rfft(samples[at : at + 128] * window)) ** 2 * (2 / window.sum()) ** 2 for at in starts
    ]
    assert np.allclose(found, np.array(power) @ HOPS.filters() + FLOOR, rtol=1e-3)


def test_training_computes_the_same_spectrum_by_a_fast_fourier_transform():
    samples = np.random.default_rng(1).normal(size=HOPS.hop * 4) * 0.1
    hops = torch.from_numpy(samples.astype(np.float32)).view(1, 4, HOPS.hop)
    spectrum = LogMel(replace(HOPS, mean=(-9.0,) * 16, std=(3.0,) * 16))
    given = hops, torch.zeros(1, 4, dtype=torch.bool), torch.zeros(1, HOPS.tail)
    assert_close(spectrum.train()(*given)[0], spectrum.eval()(*given)[0], 1e-4)
    first = HOPS.stride - HOPS.tail  # where the first window that is not mirrored begins
    assert np.allclose(spectrum_of(samples, HOPS)[1:].numpy(), log_mel(samples[first:], HOPS), atol=1e-3)


def test_a_sine_of_full_scale_has_a_power_of_one_in_its_bin():
    sine = np.sin(2 * np.pi * 16 * np.arange(128) / 128)
    cosines, sines = fourier_kernels(128) @ sine
    power = cosines**2 + sines**2
    assert power.argmax() == 16
    assert power[16] == pytest.approx(1.0, abs=1e-5)
    assert power[20:].max() < 1e-6


def test_the_start_of_a_stream_has_no_click_in_it():
    times = np.arange(HOPS.hop * 4) / HOPS.rate
    spectra = spectrum_of(0.5 * np.cos(2 * np.pi * 500 * times), HOPS)
    quiet = HOPS.filters()[int(3000 / 62.5)].argmax()
    assert spectra[0, quiet] < spectra[:, HOPS.filters()[8].argmax()].max() - 10.0


def test_a_hop_is_read_from_floats_and_from_whole_numbers():
    half = np.full(320, 0.5, np.float32)
    for given in (half, half.tolist(), half.astype(np.float64), np.full(320, 16384, np.int16),
                  np.full(320, 1 << 30, np.int32), np.full(320, 192, np.uint8)):  # fmt: skip
        hop = HOPS.prepared(given)
        assert hop.dtype == np.float32
        assert hop.tolist() == half.tolist()
    assert not HOPS.blank().any()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            np.zeros(319, np.float32),
            "takes sound at 8000 Hz, 40 ms a step: 320 samples from -1 to 1 at a time",
        ),
        (np.zeros((4, 6, 3), np.uint8), "not an array (4, 6, 3)"),
        (np.full(320, np.nan, np.float32), "holds what is no number"),
        (["a"] * 320, "not ['a'"),
        (None, "not None"),
    ],
)
def test_what_is_no_hop_is_refused(given, said):
    with pytest.raises(PictureError) as refused:
        HOPS.prepared(given)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"rate": 0}, "rate is 0"),
        ({"rate": 16000.5}, "rate is 16000.5"),
        ({"high": 9000.0}, "at most half the rate"),
        ({"low": 8000.0}, "low below high"),
        ({"hop": 1000}, "a multiple of the stride"),
        ({"window": 160}, "the window longer than the stride"),
        ({"window": 2000}, "no longer than the hop"),
        ({"mels": 256}, "too many for a window of 400 samples"),
        ({"mean": (0.0,)}, "a number for each of 64 bands"),
        ({"std": (0.0,) * 64}, "a number for each of 64 bands"),
    ],
)
def test_a_transform_of_nonsense_is_refused(wrong, said):
    with pytest.raises(WrongValue) as refused:
        SoundTransform(**wrong)
    assert said in str(refused.value)


def test_a_config_of_sound_survives_its_file():
    config = replace(CONFIG, transform=replace(HOPS, mean=(-9.0,) * 16, std=(3.0,) * 16))
    written = json.loads(json.dumps(config.to_dict()))
    assert written["transform"]["kind"] == "sound"
    assert ModelConfig.from_dict(written) == config


def test_encoder_and_transform_are_of_one_sense():
    with pytest.raises(ModelError, match="sound-cnn takes sound, and this model takes pictures"):
        ActionModel(replace(CONFIG, transform=Transform()))
    with pytest.raises(
        ModelError, match="signal-cnn takes signals, and this model takes sound: give one of sound"
    ):
        ActionModel(replace(CONFIG, encoder="signal-cnn"))
    with pytest.raises(ModelError, match="no ImageNet weights"):
        make_encoder("sound-cnn", transform=HOPS, weights="imagenet")

"""Windows of training streams made of sound."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from streamrec import SoundTransform
from streamrec.data.decode_cache import Recording
from streamrec.data.sounds import SILENCE
from streamrec.nn.sound import log_mel
from streamrec.train.recipes import choose_recipe, put_together
from streamrec.train.sound_windows import SoundAugmentation, colored_noise, drawn_nothing
from streamrec.train.stream_windows import StreamWindows, WindowSettings
from tests.helpers.sounds import tone

TRANSFORM = SoundTransform(rate=8000, hop=400, window=160, stride=100, mels=12, low=60, high=3800)
STILL = SoundAugmentation().scaled(0.0)


def a_recording(hertz: float, target: int, steps: int = 40) -> Recording:
    samples = tone(8000, steps / 20, hertz).reshape(steps, 400)
    times = np.arange(steps) / 20
    return Recording(samples, times, np.full(steps, target, np.int64), f"{hertz:g} Hz", rate=8000)


def windows(how: SoundAugmentation | None, background=(), **more) -> StreamWindows:
    settings = WindowSettings(
        streams=3, window=30, fps=20.0, augmentation=how, transform=TRANSFORM, **{"balance": 0.0, **more}
    )
    return StreamWindows([a_recording(500, 0), a_recording(1500, 1, 25)], settings, background=background)


def test_windows_are_hops_that_begin_anywhere_in_a_recording():
    batch = next(windows(None, carry=0.0))
    assert batch.pictures.shape == (3, 30, 400)
    assert batch.pictures.dtype == np.float32
    inside = batch.elapsed[np.isfinite(batch.elapsed)]
    assert np.allclose(inside, 0.05)
    assert np.isinf(batch.elapsed[:, 0]).all()
    assert len({float(one[0, 0]) for one in batch.pictures}) == 3
    first = batch.pictures[0, :20].reshape(-1)
    loudest = log_mel(first, TRANSFORM).mean(0).argmax()
    hertz = 500 if batch.targets[0, 0] == 0 else 1500
    assert loudest == log_mel(tone(8000, 1.0, hertz), TRANSFORM).mean(0).argmax()


def test_the_same_seed_and_position_give_the_same_windows():
    one, other = windows(SoundAugmentation()), windows(SoundAugmentation())
    for _ in range(3):
        a, b = next(one), next(other)
        assert np.array_equal(a.pictures, b.pictures)
    resumed = windows(SoundAugmentation())
    resumed.position[:] = a.position
    assert np.array_equal(next(one).pictures, next(resumed).pictures)


def test_hops_that_are_lost_are_a_longer_time_and_the_clock_stays():
    how = SoundAugmentation(drop=0.3, burst=1.0, gain=0.0, filter=0.0, tempo=0.0, noise=0.0, mix=0.0)
    stream = windows(how, carry=0.0)
    elapsed = np.concatenate([next(stream).elapsed for _ in range(4)], axis=1)
    inside = elapsed[np.isfinite(elapsed)]
    assert np.allclose(inside * 20, np.round(inside * 20), atol=1e-4)
    assert 0.1 < (inside > 0.06).mean() < 0.6
    stream = windows(replace(how, drop=0.0), carry=0.0)
    elapsed = np.concatenate([next(stream).elapsed for _ in range(4)], axis=1)
    assert 0.06 < elapsed[np.isfinite(elapsed)].max() <= 0.05 + 0.8 + 1e-4


@pytest.mark.parametrize(
    "how", [STILL.scaled(0.0), SoundAugmentation(noise=1.0, mix=1.0), SoundAugmentation().scaled(2.0)]
)
def test_what_is_varied_stays_sound(how):
    batch = next(windows(how, background=drawn_nothing(4, TRANSFORM, 1, 0), pause=1.0))
    assert np.isfinite(batch.pictures).all()
    assert np.abs(batch.pictures).max() <= 1.0


def test_a_recording_beneath_is_quieter_than_the_one_that_is_learned():
    how = SoundAugmentation(mix=1.0, gain=0.0, filter=0.0, tempo=0.0, noise=0.0, drop=0.0, burst=0.0)
    batch = next(windows(how, carry=0.0))
    bands = [log_mel(tone(8000, 1.0, hertz), TRANSFORM).mean(0).argmax() for hertz in (500, 1500)]
    for samples, target in zip(batch.pictures[:, :20], batch.targets[:, 0], strict=True):
        spectrum = log_mel(samples.reshape(-1), TRANSFORM).mean(0)
        assert spectrum[bands[target]] > spectrum[bands[1 - target]]


def test_seconds_of_nothing_are_played_between_two_sounds():
    quiet = drawn_nothing(4, TRANSFORM, 2, 0)
    stream = windows(STILL, background=quiet, pause=1.0)
    batches = [next(stream) for _ in range(6)]
    targets = np.concatenate([batch.targets for batch in batches], axis=1)
    hops = np.concatenate([batch.pictures for batch in batches], axis=1)
    level = np.sqrt(np.square(hops).mean(-1))
    assert 0.1 < (targets == 2).mean() < 0.9
    assert level[targets == 2].max() < level[targets < 2].min()


def test_drawn_nothing_is_silence_noise_and_hum_and_follows_from_its_seed():
    found = drawn_nothing(8, TRANSFORM, 3, 5)
    levels = [float(np.sqrt(np.square(one.pictures).mean())) for one in found]
    assert levels[0] == 0.0
    assert all(0.0 < level < 0.01 for number, level in enumerate(levels) if number % 4)
    assert all((one.targets == 3).all() for one in found)
    assert np.array_equal(found[3].pictures, drawn_nothing(8, TRANSFORM, 3, 5)[3].pictures)
    assert SILENCE < 0.001


def test_brown_noise_is_low_and_white_noise_is_even():
    rng = np.random.default_rng(0)
    for color, factor in ((0.0, 1.0), (2.0, 50.0)):
        power = np.abs(np.fft.rfft(colored_noise(rng, 16_000, color))) ** 2
        low, high = power[10:1000].mean(), power[-1000:].mean()
        assert low / high > factor / 2
        assert low / high < 2 or color


def test_a_folder_of_sounds_has_its_recipe():
    from pathlib import Path

    from streamrec.data.clips import Clip

    clips = [Clip(Path(f"{n}.wav"), "bark", str(n)) for n in range(5)]
    assert choose_recipe(clips) == (
        "sound",
        "5 sound files of 5 groups: recipe sound; --recipe names another",
    )
    config, settings, weights = put_together("sound", variation=0.5)
    assert config.fps == config.transform.fps
    assert isinstance(settings.augmentation, SoundAugmentation)
    assert settings.augmentation.gain == 5.0
    assert weights is None

"""Windows of training streams made of readings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from streamrec.data.decode_cache import Recording
from streamrec.nn.signals import SignalTransform
from streamrec.train.signal_windows import SignalAugmentation, moved, vectors_of
from streamrec.train.stream_windows import StreamWindows, WindowSettings

TRANSFORM = SignalTransform(channels=("x_acc", "y_acc", "z_acc", "light"))


def a_recording(group: str, count: int = 200) -> Recording:
    times = np.arange(count) / 40.0
    data = np.stack([times, 2 * times, 3 * times, 0 * times], axis=1).astype(np.float32)
    return Recording(data, times, (np.arange(count) >= count // 2).astype(np.int64), group)


def windows(how: SignalAugmentation | None, **more) -> StreamWindows:
    settings = WindowSettings(
        streams=3,
        window=30,
        fps=20.0,
        augmentation=how,
        transform=TRANSFORM,
        max_gap=1.0,
        balance=0.0,
        **more,
    )
    return StreamWindows([a_recording("a"), a_recording("b", 90)], settings)


def test_windows_are_rows_on_the_clock_of_the_model():
    batch = next(windows(None, carry=0.0))
    assert batch.pictures.shape == (3, 30, 4)
    assert batch.pictures.dtype == np.float32
    inside = batch.elapsed[np.isfinite(batch.elapsed)]
    assert np.allclose(inside, 0.05, atol=1e-5)
    assert np.isinf(batch.elapsed[:, 0]).all()
    assert np.allclose(batch.pictures[:, 1:, 1], 2 * batch.pictures[:, 1:, 0])
    assert np.allclose(batch.pictures[0, 1:, 0] - batch.pictures[0, :-1, 0], 0.05, atol=1e-4)


def test_the_same_seed_and_position_give_the_same_windows():
    one, other = windows(SignalAugmentation()), windows(SignalAugmentation())
    for _ in range(3):
        a, b = next(one), next(other)
        assert np.array_equal(a.pictures, b.pictures)
    resumed = windows(SignalAugmentation())
    resumed.position[:] = a.position
    assert np.array_equal(next(one).pictures, next(resumed).pictures)


def test_lost_rows_and_slow_sensors_keep_the_clock_and_gaps_are_told():
    how = SignalAugmentation(
        drop=0.4,
        slower=1.0,
        burst=1.0,
        raw=0.5,
        tempo=0.0,
        warp=0.0,
        turn=0.0,
        mounting=0.0,
        scale=0.0,
        noise=0.0,
    )
    made = windows(how, carry=0.0)
    for _ in range(5):
        batch = next(made)
        seconds = batch.pictures[..., 0]
        known = np.isfinite(batch.elapsed)
        steps = np.diff(seconds, axis=1)[known[:, 1:]]
        assert np.allclose(steps, batch.elapsed[:, 1:][known[:, 1:]], atol=1e-3)
        assert (batch.elapsed[known] > 0).all()


def test_a_sensor_is_turned_as_one_and_the_other_channels_stay():
    rng = np.random.default_rng(0)
    data = rng.normal(size=(50, 4)).astype(np.float32)
    how = SignalAugmentation(turn=90.0, mounting=1.0, scale=0.0, noise=0.0)
    found = moved(rng, data, how, TRANSFORM)
    assert np.allclose(np.linalg.norm(found[:, :3], axis=1), np.linalg.norm(data[:, :3], axis=1), atol=1e-5)
    assert not np.allclose(found[:, :3], data[:, :3], atol=0.1)
    assert np.array_equal(found[:, 3], data[:, 3])
    still = moved(rng, data, how.scaled(0.0), TRANSFORM)
    assert np.allclose(still, data)


@pytest.mark.parametrize(
    ("channels", "found"),
    [
        (("x", "y", "z"), [[0, 1, 2]]),
        (("gyro.z", "gyro.x", "gyro.y", "AccX", "AccY", "AccZ"), [[1, 2, 0], [3, 4, 5]]),
        (("x_acc", "y_acc"), []),
        (("temperature", "pressure"), []),
    ],
)
def test_the_axes_of_a_sensor_are_found_by_their_names(channels, found):
    assert vectors_of(channels) == found


def test_background_is_played_between_recordings_of_readings():
    settings = WindowSettings(
        streams=3, window=30, fps=20.0, augmentation=None, transform=TRANSFORM, max_gap=1.0, pause=1.0
    )
    quiet = a_recording("quiet")
    quiet = replace(quiet, targets=np.full_like(quiet.targets, 2))
    made = StreamWindows([a_recording("a")], settings, background=[quiet])
    played = np.concatenate([next(made).targets.ravel() for _ in range(20)])
    assert {0, 1, 2} <= set(played.tolist())

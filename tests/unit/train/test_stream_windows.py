"""Windows of endless streams are exactly repeatable."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from streamrec.data.decode_cache import Recording
from streamrec.train.augment import Augmentation
from tests.helpers.recordings import STILL, joined, passes_of, recorded, same, windows_of


def test_windows_have_the_shapes_and_types_that_training_reads():
    batch = next(windows_of([recorded(0), recorded(1)], augmentation=Augmentation()))
    assert (batch.pictures.shape, batch.pictures.dtype) == ((3, 16, 3, 8, 12), np.uint8)
    assert (batch.elapsed.shape, batch.elapsed.dtype) == ((3, 16), np.float32)
    assert (batch.targets.shape, batch.targets.dtype) == ((3, 16), np.int64)
    assert (batch.weights.shape, batch.weights.dtype) == ((3, 16), np.float32)
    assert (batch.position.shape, batch.position.dtype) == ((3, 2), np.int64)


def test_windows_are_rgb():
    blue = Recording(
        np.full((30, 8, 12, 3), (255, 0, 0), np.uint8), np.arange(30) / 10, np.zeros(30, int), ""
    )
    batch = next(windows_of([blue]))
    assert (batch.pictures[:, :, 2] == 255).all()
    assert (batch.pictures[:, :, :2] == 0).all()


def test_a_seed_gives_the_same_windows_and_another_seed_others():
    recordings = [recorded(0), recorded(1)]
    one, two = (joined(windows_of(recordings, augmentation=Augmentation()), 4) for _ in range(2))
    other = joined(windows_of(recordings, augmentation=Augmentation(), seed=5), 4)
    assert same(one, two)
    assert not np.array_equal(one.pictures, other.pictures)


def test_streams_of_one_batch_differ():
    batch = joined(windows_of([recorded(0), recorded(1)], augmentation=Augmentation()), 3)
    assert not np.array_equal(batch.pictures[0], batch.pictures[1])


def test_the_position_is_all_that_is_needed_to_go_on():
    recordings = [recorded(0), recorded(1, frames=7), recorded(2, frames=90)]
    whole = windows_of(recordings, augmentation=Augmentation())
    batches = list(islice(whole, 12))
    for cut in (1, 5, 8):
        again = windows_of(recordings, augmentation=Augmentation())
        again.position[:] = batches[cut - 1].position
        for expected in batches[cut:]:
            assert same(next(again), expected)


def test_a_batchs_position_does_not_change_when_the_windows_go_on():
    windows = windows_of([recorded(0), recorded(1)])
    first = next(windows)
    before = first.position.copy()
    next(windows)
    assert np.array_equal(first.position, before)


def test_the_size_of_the_window_changes_nothing_in_the_stream():
    recordings = [recorded(0), recorded(1, frames=7)]
    short = joined(windows_of(recordings, window=6, augmentation=Augmentation()), 10)
    long = joined(windows_of(recordings, window=20, augmentation=Augmentation()), 3)
    assert same(short, long)


def test_elapsed_is_infinite_where_a_stream_begins_and_nowhere_else():
    batch = joined(windows_of([recorded(0), recorded(1)], carry=0.0), 10)
    assert np.isinf(batch.elapsed[:, 0]).all()
    backwards = np.diff(batch.pictures[:, :, 0, 0, 0].astype(int), axis=1) < 0  # brightness is the number
    assert backwards.any()
    assert np.array_equal(np.isinf(batch.elapsed[:, 1:]), backwards)


def test_a_carried_cut_is_hard_and_not_a_beginning():
    batch = joined(windows_of([recorded(0), recorded(1)], carry=1.0), 10)
    assert np.isinf(batch.elapsed[:, 0]).all()
    assert np.isfinite(batch.elapsed[:, 1:]).all()
    numbers = batch.pictures[:, :, 0, 0, 0].astype(int)
    cuts = np.diff(numbers, axis=1) < 0
    assert cuts.sum() >= 9
    assert batch.elapsed[:, 1:][cuts] == pytest.approx(0.1)  # as if the camera had been turned


def test_about_so_many_cuts_are_carried_as_wished():
    batch = joined(windows_of([recorded(0, frames=6), recorded(1, frames=6)], carry=0.25, streams=8), 40)
    cuts = np.diff(batch.pictures[:, :, 0, 0, 0].astype(int), axis=1) < 0
    carried = np.isfinite(batch.elapsed[:, 1:][cuts])
    assert carried.mean() == pytest.approx(0.25, abs=0.05)


def test_labels_come_equally_often_however_rare_they_are():
    recordings = [recorded(0) for _ in range(9)] + [recorded(1)]
    batch = joined(windows_of(recordings, streams=8), 40)
    assert (batch.targets == 1).mean() == pytest.approx(0.5, abs=0.1)


def test_early_frames_of_a_pass_weigh_less():
    batch = joined(windows_of([recorded(0, frames=60), recorded(1, frames=60)], carry=0.5), 6)
    for part in passes_of(batch):
        length = min(15, part.stop - part.start)
        expected = np.clip((np.arange(length) + 1) / 10, 0.1, 1.0)
        assert batch.weights[0, part][:length] == pytest.approx(expected, abs=0.02)


def test_weights_are_even_where_no_ramp_is_wanted():
    assert (joined(windows_of([recorded(0), recorded(1)], ramp_seconds=0.0), 3).weights == 1.0).all()


def test_a_frame_may_weigh_as_much_as_it_is_far_into_its_action():
    recordings = [recorded(0, frames=60), recorded(1, frames=21)]
    batch = joined(windows_of(recordings, ramp_seconds=0.0, late=2.0, streams=1), 12)
    ends = {0: 59, 1: 20}
    for number, target, weight in zip(
        batch.pictures[0, :, 0, 0, 0].tolist(),  # brightness is the number
        batch.targets[0].tolist(),
        batch.weights[0].tolist(),
        strict=True,
    ):
        assert weight == pytest.approx(max(number / ends[target], 0.05) ** 2, abs=0.01)


def test_each_action_of_an_untrimmed_recording_weighs_most_at_its_own_end():
    whole = recorded(0, frames=30)
    untrimmed = replace(whole, targets=np.repeat((0, 1, 0), (10, 15, 5)))
    batch = joined(windows_of([untrimmed], ramp_seconds=0.0, late=1.0, streams=1), 8)
    numbers = batch.pictures[0, :, 0, 0, 0]
    weights = batch.weights[0]
    assert (weights[np.isin(numbers, (9, 24, 29))] == 1.0).all()
    assert weights[np.isin(numbers, (0, 10, 25))] == pytest.approx(0.05)


@pytest.mark.parametrize(("fps", "expected"), [(10.0, 0.1), (20.0, 0.1), (30.0, 0.1), (5.0, 0.2)])
def test_frames_come_in_the_models_rhythm_or_as_fast_as_the_recording_has_them(fps, expected):
    batch = joined(windows_of([recorded(0, fps=fps), recorded(1, fps=fps)], carry=0.0), 6)
    within = batch.elapsed[np.isfinite(batch.elapsed)]
    assert within == pytest.approx(expected, abs=1e-4)


def test_half_of_the_passes_are_as_steady_as_a_paced_camera():
    # Every 2.5th frame of a 25 fps camera would be the model's rhythm; a pacer takes every second.
    batch = joined(windows_of([recorded(0, fps=25.0), recorded(1, fps=25.0)], carry=0.0, streams=1), 40)
    steady = []
    for part in passes_of(batch)[:-1]:
        gaps = batch.elapsed[0, part][1:]
        steady.append(bool(np.ptp(gaps) < 1e-3))
        assert (
            gaps == pytest.approx(0.08, abs=1e-3)
            if steady[-1]
            else gaps.mean() == pytest.approx(0.1, abs=0.01)
        )
    assert 0.25 <= np.mean(steady) <= 0.75


def test_the_phase_of_a_pass_is_random():
    batch = joined(windows_of([recorded(0, fps=30.0), recorded(1, fps=30.0)], carry=0.0), 20)
    first = {int(batch.pictures[s, p.start, 0, 0, 0]) for s in range(3) for p in passes_of(batch, s)}
    assert first == {0, 1, 2}


def test_a_long_recording_is_played_in_parts():
    long = recorded(0, frames=200)
    batch = joined(windows_of([long, recorded(1, frames=200)], longest_seconds=2.0, carry=0.0), 20)
    lengths = [p.stop - p.start for p in passes_of(batch)[:-1]]
    assert max(lengths) <= 21
    starts = batch.pictures[0, [p.start for p in passes_of(batch)], 0, 0, 0]
    assert np.ptp(starts) > 50  # not always its beginning


def test_dropped_frames_show_in_the_elapsed_time():
    augmentation = replace(STILL, drop=0.3)
    batch = joined(windows_of([recorded(0), recorded(1)], carry=0.0, augmentation=augmentation), 20)
    within = np.isfinite(batch.elapsed[:, 1:])
    steps = np.diff(batch.pictures[:, :, 0, 0, 0].astype(int), axis=1)[within]
    assert batch.elapsed[:, 1:][within] == pytest.approx(steps / 20.0, abs=1e-4)
    dropped = 1 - 1 / (steps / 2).mean()
    assert dropped == pytest.approx(0.3, abs=0.1)


@pytest.mark.parametrize("frames", [1, 2, 3, 5, 6])
def test_the_shortest_clips_are_played_however_much_is_dropped(frames):
    augmentation = Augmentation(drop=0.5)
    recordings = [recorded(0, frames=frames, fps=10.0), recorded(1, frames=frames, fps=10.0)]
    batch = joined(windows_of(recordings, augmentation=augmentation), 40)
    assert np.isfinite(batch.weights).all()
    assert not np.isnan(batch.elapsed).any()


def test_a_burst_of_frames_is_lost_and_the_clock_tells():
    recordings = [recorded(0, frames=100), recorded(1, frames=100)]
    batch = joined(windows_of(recordings, carry=0.0, augmentation=replace(STILL, burst=1.0)), 20)
    gaps = [batch.elapsed[0, part][1:] for part in passes_of(batch)[:-1]]
    assert sum(bool(g.max() > 0.25) for g in gaps) > len(gaps) / 3
    assert max(g.max() for g in gaps) <= 0.8 + 0.2  # shorter than the gap after which a state begins anew
    assert all((g > 0.11).sum() <= 1 for g in gaps)  # one burst a pass, and nothing else is lost


def test_a_frozen_picture_comes_again_while_time_goes_on():
    recordings = [noisy(0, frames=100), noisy(1, frames=100)]
    augmentation = replace(STILL, freeze=1.0, noise=6.0)
    batch = joined(windows_of(recordings, carry=0.0, augmentation=augmentation), 20)
    within = np.isfinite(batch.elapsed[:, 1:])
    again = (batch.pictures[:, 1:] == batch.pictures[:, :-1]).all(axis=(2, 3, 4))
    assert batch.elapsed[:, 1:][within] == pytest.approx(0.1, abs=1e-4)
    assert 0.02 < again[within].mean() < 0.2


# -- the mix


def noisy(target: int, *, frames: int = 40, group: str = "") -> Recording:
    """A recording whose pictures all differ, and whose mean tells the target."""
    pictures = np.random.default_rng(target).integers(0, 40, (frames, 8, 12, 3), np.uint8) + np.uint8(
        60 * target
    )
    return Recording(pictures, np.arange(frames) / 20, np.full(frames, target, np.int64), group)


def test_without_balance_each_recording_comes_equally_often():
    recordings = [recorded(0) for _ in range(9)] + [recorded(1)]
    shares = [
        (joined(windows_of(recordings, streams=8, balance=balance), 60).targets == 1).mean()
        for balance in (0.0, 0.5, 1.0)
    ]
    assert shares == pytest.approx([0.1, 0.3, 0.5], abs=0.08)


@pytest.mark.parametrize("share", [0.25, 1.0, 4.0])
def test_a_label_may_be_drawn_less_often_than_the_others_or_more(share):
    recordings = [recorded(0), recorded(1), recorded(1), recorded(2)]
    played = joined(windows_of(recordings, streams=8, shares={1: share}), 80).targets
    assert (played == 1).mean() == pytest.approx(share / (2.0 + share), abs=0.08)
    assert (played == 0).mean() == pytest.approx((played == 2).mean(), abs=0.1)


def rare(seconds: float = 100.0) -> Recording:
    """A long stream with one second of action in it."""
    frames = round(seconds * 10)
    targets = np.zeros(frames, np.int64)
    targets[frames // 2 : frames // 2 + 10] = 1
    return Recording(np.zeros((frames, 8, 12, 3), np.uint8), np.arange(frames) / 10, targets, "rare")


def test_what_is_rare_in_a_long_stream_is_found_by_balance():
    windows = {"longest_seconds": 5.0, "streams": 4, "carry": 0.0}
    even = joined(windows_of([rare()], **windows), 60).targets.mean()
    natural = joined(windows_of([rare()], balance=0.0, **windows), 60).targets.mean()
    assert natural < 0.03
    assert 0.05 < even < 0.2  # half of the passes have it in them, for a fifth of their time


def test_weights_do_not_fall_where_a_label_changes_within_a_stream():
    batch = joined(windows_of([rare(20.0)], carry=0.0), 12)
    changes = np.flatnonzero(np.diff(batch.targets[0]) != 0)
    inside = [n for n in changes if np.isfinite(batch.elapsed[0, n + 1])]
    assert inside
    assert (batch.weights[0, np.array(inside) + 1] == 1.0).all()


def test_background_is_played_between_others_for_some_seconds():
    empty = recorded(2, frames=400, value=9)
    recordings = [recorded(0), recorded(1)]
    windows = windows_of(recordings, background=[empty], pause=1.0, carry=0.0, streams=4)
    batch = joined(windows, 40)
    played = passes_of(batch)[:-1]
    kinds = [bool(batch.targets[0, p.start] == 2) for p in played]
    assert kinds == [n % 2 == 1 for n in range(len(kinds))]
    lengths = {p.stop - p.start for p, empty in zip(played, kinds, strict=True) if empty}
    assert max(lengths) <= 41
    assert len(lengths) > 3
    never = joined(windows_of(recordings, background=[empty], pause=0.0), 20)
    assert not (never.targets == 2).any()


def test_an_action_is_shrunk_into_a_background():
    quiet = recorded(2, frames=30, value=10)
    batch = joined(
        windows_of(
            [recorded(0, value=200), recorded(1, value=200)],
            background=[quiet],
            pause=0.0,
            carry=0.0,
            augmentation=replace(STILL, mosaic=1.0),
        ),
        10,
    )
    assert not (batch.targets == 2).any()
    bright = batch.pictures[:, :, 0] > 100
    share = bright.mean(axis=(2, 3))
    assert 0.1 < share.min() <= share.max() < 0.8
    for part in passes_of(batch):
        assert (bright[0, part] == bright[0, part.start]).all()  # one place a pass


def test_a_person_goes_on_for_some_passes_where_that_is_wished():
    recordings = [recorded(n % 2, value=10 * g + n, group=f"{g}") for g in range(8) for n in range(4)]
    lonely = recorded(0, value=200, group="lonely")

    def changes(same_group: float) -> float:
        batch = joined(
            windows_of([*recordings, lonely], same_group=same_group, carry=0.0, streams=1, seed=2), 120
        )
        groups = [int(batch.pictures[0, p.start, 0, 0, 0]) // 10 for p in passes_of(batch)[:-1]]
        blocks = [groups[n : n + 4] for n in range(0, len(groups) - 3, 4)]
        return float(np.mean([len(set(block)) for block in blocks if 20 not in block]))

    assert changes(0.0) > 2.5
    assert changes(1.0) == 1.0


def test_the_position_is_enough_for_every_mix():
    recordings = [noisy(n % 3, frames=15 + n, group=f"{n // 3}") for n in range(9)]
    mix = {
        "background": [recorded(0, frames=50)],
        "same_group": 0.5,
        "balance": 0.7,
        "augmentation": Augmentation(mosaic=0.5, burst=0.5, freeze=0.5),
    }
    batches = list(islice(windows_of(recordings, **mix), 10))
    again = windows_of(recordings, **mix)
    again.position[:] = batches[4].position
    assert all(same(next(again), expected) for expected in batches[5:])


# -- phases


def test_phases_come_with_their_pictures_and_are_unknown_elsewhere():
    angles = np.arange(40) / 7
    phases = np.stack([np.cos(angles), np.sin(angles)], axis=-1).astype(np.float32)
    counted = replace(recorded(1), phases=phases)
    batch = joined(windows_of([recorded(0), counted]), 8)
    assert (batch.phases.shape, batch.phases.dtype) == ((3, 128, 2), np.float32)
    assert np.isnan(batch.phases[batch.targets == 0]).all()
    numbers = batch.pictures[:, :, 0, 0, 0]
    assert np.array_equal(batch.phases[batch.targets == 1], phases[numbers[batch.targets == 1]])

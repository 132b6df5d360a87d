"""A look is drawn once for a pass: it is the same for all its frames."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from streamrec.data.clips import NO_LABEL
from streamrec.data.decode_cache import Recording
from streamrec.errors import DataError
from streamrec.train.augment import Augmentation, Box, View, in_mirror, mirror, mirrored_by_name
from tests.helpers.recordings import STILL, joined, one_pass_each, recorded, scene, windows_of


def varied(
    recording: Recording, rng: np.random.Generator, how: Augmentation, labels: tuple[str, ...] = ()
) -> Recording:
    look = View.drawn(rng, how, recording.pictures.shape[1:3])
    pictures = [look(picture, n, n / 10) for n, picture in enumerate(recording.pictures)]
    swap = mirror(how.mirrored, labels)
    targets = in_mirror(recording.targets, swap) if look.is_mirrored else recording.targets
    return replace(recording, pictures=np.stack(pictures), targets=targets)


def test_what_does_not_move_does_not_move_in_any_pass():
    looks = one_pass_each(scene(), Augmentation(noise=0.0, shake=0.0, occlusion=0.0))
    for pictures in looks:
        assert (pictures == pictures[0]).all()
    assert len({pictures[0].tobytes() for pictures in looks}) == len(looks)  # and no two passes look alike


def test_noise_changes_from_frame_to_frame_and_is_no_stronger_than_wished():
    augmentation = replace(STILL, noise=6.0)
    clean = scene().pictures[0][..., ::-1].transpose(2, 0, 1).astype(int)
    inside = (clean > 30) & (clean < 225)  # not clipped
    strengths = []
    for pictures in one_pass_each(scene(), augmentation):
        noise = (pictures - clean)[:, inside]
        strengths.append(noise.std())
        assert abs(noise.mean()) < 1.0
        if strengths[-1] > 1.0:
            assert (pictures[1] != pictures[0]).any()
    assert 2.0 < max(strengths) < 6.6


def is_mirrored(picture: np.ndarray) -> bool:
    """(3, H, W): bright on the right."""
    third = picture.shape[-1] // 3
    return bool(picture[..., -third:].mean() > picture[..., :third].mean())


def test_pictures_are_mirrored_only_where_that_is_allowed():
    never = [is_mirrored(p[0]) for p in one_pass_each(scene(), Augmentation(flip=False))]
    often = [is_mirrored(p[0]) for p in one_pass_each(scene(), Augmentation(flip=True))]
    assert not any(never)
    assert 0.2 < np.mean(often) < 0.8


def test_a_mirrored_picture_is_exactly_the_other_way_round():
    augmentation = replace(STILL, flip=True)
    clean = scene().pictures[0][..., ::-1].transpose(2, 0, 1)
    for pictures in one_pass_each(scene(), augmentation):
        expected = clean[..., ::-1] if is_mirrored(pictures[0]) else clean
        assert np.abs(pictures[0] - expected.astype(int)).max() <= 1


def test_an_augmentation_of_nothing_changes_nothing():
    plain = joined(windows_of([recorded(0), recorded(1)]), 6)
    still = joined(windows_of([recorded(0), recorded(1)], augmentation=STILL), 6)
    assert plain.targets.shape == still.targets.shape
    for pictures in one_pass_each(scene(), STILL):
        assert (pictures[0] == scene().pictures[0][..., ::-1].transpose(2, 0, 1)).all()


def test_another_tempo_moves_the_clock_and_not_the_pictures():
    augmentation = replace(STILL, tempo=0.5)
    batch = joined(windows_of([recorded(0), recorded(1)], carry=0.0, augmentation=augmentation), 20)
    within = np.isfinite(batch.elapsed[:, 1:])
    steps = np.diff(batch.pictures[:, :, 0, 0, 0].astype(int), axis=1)[within]
    tempo = steps / 20.0 / batch.elapsed[:, 1:][within]
    assert tempo.min() >= 1 / 1.5 - 1e-3
    assert tempo.max() <= 1.5 + 1e-3
    assert tempo.max() > 1.15
    assert tempo.min() < 0.85


def test_the_recordings_themselves_are_left_as_they_were():
    recording = scene()
    before = recording.pictures.copy()
    one_pass_each(recording, Augmentation())
    assert np.array_equal(recording.pictures, before)


# -- each kind by itself


def looks(augmentation: Augmentation, count: int = 40, *, height: int = 24, width: int = 32) -> list[View]:
    return [View.drawn(np.random.default_rng(n), augmentation, (height, width)) for n in range(count)]


PLAIN = scene().pictures[0]


@pytest.mark.parametrize(
    "change",
    [
        {"zoom": 0.3},
        {"shift": 0.2},
        {"rotation": 20.0},
        {"flip": True},
        {"light": 0.4},
        {"colour": 0.2},
        {"gray": 1.0},
        {"blur": 1.0},
        {"blocks": 1.0},
        {"cutout": 1.0},
    ],
    ids=lambda change: next(iter(change)),
)
def test_it_changes_the_picture_and_is_the_same_for_all_frames(change):
    seen = [
        [look(PLAIN, number, number / 10) for number in range(5)] for look in looks(replace(STILL, **change))
    ]
    assert all(np.array_equal(picture, pictures[0]) for pictures in seen for picture in pictures)
    assert len({pictures[0].tobytes() for pictures in seen}) > 1 or "gray" in change
    assert any(not np.array_equal(pictures[0], PLAIN) for pictures in seen)


@pytest.mark.parametrize("name", ["gray", "blur", "blocks", "cutout", "occlusion"])
def test_it_comes_in_so_many_of_the_passes(name):
    often = [
        not np.array_equal(look(PLAIN, 0, 0.0), PLAIN) for look in looks(replace(STILL, **{name: 0.3}), 200)
    ]
    assert np.mean(often) == pytest.approx(0.3, abs=0.1)


def test_at_night_there_is_no_colour_not_even_in_the_noise():
    for look in looks(replace(STILL, gray=1.0, noise=8.0)):
        seen = look(PLAIN, 3, 0.0)
        assert (seen == seen[..., :1]).all()


def test_the_same_frame_looks_the_same_whenever_it_is_asked_for():
    for look in looks(Augmentation(shake=0.1, occlusion=1.0)):
        assert np.array_equal(look(PLAIN, 7, 0.7), look(PLAIN, 7, 0.7))


def test_a_shaking_camera_moves_the_picture_and_not_its_shape():
    spot = np.zeros((48, 64, 3), np.uint8)
    spot[20:26, 28:36] = 255
    moved, still = 0, 0
    for look in looks(replace(STILL, shake=0.05), height=48, width=64):
        centres = []
        for number in range(30):
            seen = look(spot, number, number / 10)[..., 0].astype(float)
            assert seen.sum() == pytest.approx(255 * 48, rel=0.03)
            centres.append(
                [(seen.sum(axis) * np.arange(seen.shape[1 - axis])).sum() / seen.sum() for axis in (0, 1)]
            )
        reach = np.ptp(centres, axis=0)
        assert (reach <= 2 * 0.05 * np.array([64, 48]) + 0.1).all()
        moved += bool(reach.max() > 0.2)
        still += bool(reach.max() < 1e-6)
    assert moved >= 5
    assert still >= 20  # most cameras stand


def test_a_box_stays_or_moves_at_one_speed():
    black = np.zeros((40, 400, 3), np.uint8)
    stays, moves = 0, 0
    for look in looks(replace(STILL, occlusion=1.0), 60, height=40, width=400):
        columns = [np.flatnonzero(look(black, n, n / 10).any(axis=(0, 2))) for n in range(4)]
        if any(len(c) == 0 or c[0] == 0 or c[-1] == 399 for c in columns):
            continue  # at the rim
        lefts = np.array([c[0] for c in columns])
        assert np.ptp([len(c) for c in columns]) == 0
        assert np.ptp(np.diff(lefts)) <= 1
        stays, moves = stays + bool(np.ptp(lefts) == 0), moves + bool(np.ptp(lefts) > 0)
    assert stays >= 10
    assert moves >= 10


def test_a_box_may_leave_the_picture():
    picture = PLAIN.copy()
    box = Box(np.array([4.0, 4.0]), np.array([-50.0, 0.0]), (8, 8), np.full(3, 7, np.uint8))
    box.paint(picture, 10.0)
    assert np.array_equal(picture, PLAIN)


def test_compression_leaves_blocks():
    ramp = np.repeat(np.linspace(0, 255, 64, dtype=np.uint8)[None, :, None], 48, axis=0).repeat(3, axis=2)
    ramp = np.add(ramp // 2, np.random.default_rng(0).integers(0, 60, ramp.shape, np.uint8))
    inside, between = [], []
    for look in looks(replace(STILL, blocks=1.0), height=48, width=64):
        steps = np.abs(np.diff(look(ramp, 0, 0.0)[..., 1].astype(int), axis=1))
        between.append(steps[:, 7::8].mean())
        inside.append(np.delete(steps, np.s_[7::8], axis=1).mean())
    assert np.mean(between) > 1.15 * np.mean(inside)


# -- mirrors


def test_labels_that_name_a_side_change_places_in_a_mirror():
    labels = ("idle", "left", "right")
    recording = replace(scene(), targets=np.array([0, 1, 2, NO_LABEL] * 5))
    augmentation = replace(STILL, flip=True, mirrored=(("left", "right"),))
    kinds = set()
    for seed in range(12):
        seen = varied(recording, np.random.default_rng(seed), augmentation, labels)
        other_way = is_mirrored(np.moveaxis(seen.pictures[0], -1, 0))
        assert seen.targets.tolist() == ([0, 2, 1, NO_LABEL] if other_way else [0, 1, 2, NO_LABEL]) * 5
        kinds.add(other_way)
    assert kinds == {True, False}


def test_streams_tell_the_mirrored_label_of_mirrored_pictures():
    augmentation = replace(STILL, flip=True, mirrored=(("left", "right"),))
    windows = windows_of([scene()], labels=("left", "right"), augmentation=augmentation, carry=0.0, streams=1)
    batch = joined(windows, 20)
    assert 0.2 < batch.targets.mean() < 0.8
    for picture, target in zip(batch.pictures[0], batch.targets[0], strict=True):
        assert is_mirrored(picture) == bool(target)


def test_a_mirrored_label_that_is_none_of_the_models_is_refused():
    augmentation = replace(STILL, flip=True, mirrored=(("left", "right"),))
    with pytest.raises(DataError, match="left and right cannot be mirrored: the labels are idle, wave"):
        windows_of([scene()], labels=("idle", "wave"), augmentation=augmentation)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (("idle", "wave"), ()),
        (("down", "left", "right"), (("left", "right"),)),
        (("Turn Left", "Turn Right", "leftover"), (("Turn Left", "Turn Right"),)),
        (("wave_left_hand", "clap"), None),
    ],
)
def test_names_tell_what_a_mirror_does(labels, expected):
    assert mirrored_by_name(labels) == expected


# -- a whole recording


def test_one_seed_varies_a_recording_in_one_way():
    recording = scene()
    one, two = (varied(recording, np.random.default_rng(3), Augmentation()) for _ in range(2))
    assert np.array_equal(one.pictures, two.pictures)
    assert not np.array_equal(one.pictures, recording.pictures)
    assert (one.pictures.shape, one.pictures.dtype) == (recording.pictures.shape, np.uint8)


def test_variation_scaled_to_nothing_plays_a_recording_as_it_is():
    recording, still = scene(), replace(Augmentation(), flip=False).scaled(0.0)
    for seed in range(20):
        one = varied(recording, np.random.default_rng(seed), still)
        assert np.array_equal(one.pictures, recording.pictures)
    assert still.rhythm == (1.0, 1.0)
    assert Augmentation().scaled(1.0) == Augmentation()
    assert Augmentation(flip=False).scaled(2.0).drop == pytest.approx(0.2)


def test_a_recording_that_may_only_be_read_is_varied_too():
    recording = scene()
    recording.pictures.flags.writeable = False
    varied(recording, np.random.default_rng(0), Augmentation(occlusion=1.0, cutout=1.0))
    joined(windows_of([recording], augmentation=Augmentation(occlusion=1.0)), 3)
    joined(windows_of([recording]), 3)

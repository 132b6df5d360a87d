"""Drawn keypoint sequences: shapes, determinism, limbs of one length, labels where they belong, measured noise."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest

from streamrec.train.joints import LABELS, sequences
from streamrec.train.joints import gestures as g
from streamrec.train.joints import skeleton as sk
from streamrec.train.joints.actor import LEFT, RIGHT, Actor
from streamrec.train.joints.camera import draw_room_camera, draw_webcam
from streamrec.train.joints.motion import Motion
from streamrec.train.joints.movenet_noise import Conditions, detect

FPS = 15.0
WRISTS, NOSE, SHOULDERS = (9, 10), 0, (5, 6)


@pytest.fixture(scope="module")
def webcam():
    return list(itertools.islice(sequences("webcam", 5), 15))


def frames_of(act, seed: int, seated: bool = False) -> tuple[Actor, np.ndarray, np.ndarray]:
    """Times and joints of one gesture."""
    actor = Actor.drawn(np.random.default_rng(seed), seated=seated)
    end = act(actor, 0.5)
    times = np.arange(0, end + 0.5, 1 / 30)
    return actor, times, actor.joints(times)


def test_sequences_have_the_detectors_shape(webcam):
    for sequence in webcam:
        count = len(sequence.timestamps)
        assert sequence.people.shape == (count, 6, 56) and sequence.people.dtype == np.float32
        assert sequence.labels.shape == (count,) and np.isfinite(sequence.people).all()
        assert sequence.names == LABELS["webcam"] and sequence.source == "drawn"
        assert 9.8 < count / (1 / np.diff(sequence.timestamps).mean()) < 30.2
        boxes = sequence.people[:, :, 51:55]
        assert boxes.min() >= 0 and boxes.max() <= 1
        assert (np.diff(sequence.people[:, :, 55], axis=1) <= 0).all()  # the surest first


def test_the_same_seed_gives_the_same_sequences():
    for one, other in zip(*(itertools.islice(sequences("webcam", 3), 3) for _ in range(2)), strict=True):
        assert np.array_equal(one.people, other.people) and np.array_equal(one.labels, other.labels)


def test_another_seed_gives_others():
    one, other = (next(sequences("webcam", seed)) for seed in (3, 4))
    assert one.people.shape != other.people.shape or not np.array_equal(one.people, other.people)


def test_most_of_the_time_nothing_happens_and_every_label_comes():
    shares = np.zeros(len(g.LABELS))
    for sequence in itertools.islice(sequences("webcam", 11, fps=(10.0, 10.0)), 150):
        shares += np.bincount(sequence.labels, minlength=len(shares)) / len(sequence.labels) / 150
    assert 0.5 < shares[0] < 0.82
    assert (shares > 0).all()


@pytest.mark.parametrize("act", [g.wave, g.raise_both_hands, g.clap, g.drink, g.jump, g.squat, g.sit_down])
def test_limbs_keep_their_lengths(act):
    _, _, joints = frames_of(act, 2)
    for one, other in sk.LIMBS[:8]:
        length = np.linalg.norm(joints[:, one] - joints[:, other], axis=1)
        assert np.ptp(length) < 1e-9, (one, other)


def test_hands_are_above_the_head_in_the_middle_of_raise():
    for seed in range(20):
        for act in (g.raise_one_hand, g.raise_both_hands):
            actor, times, joints = frames_of(act, seed)
            (start, end, _) = actor.spans[0]
            middle = int(np.searchsorted(times, (start + end) / 2))
            up = [joints[middle, wrist, 1] > joints[middle, NOSE, 1] for wrist in WRISTS]
            assert sum(up) == (1 if act is g.raise_one_hand else 2), (seed, act)


def test_labels_begin_after_the_movement_and_end_before_it_is_over():
    for seed in range(10):
        for act in (g.wave, g.raise_one_hand, g.arms_out, g.point, g.phone):
            actor, times, joints = frames_of(act, seed)
            moved = np.linalg.norm(joints - joints[0], axis=2)[:, WRISTS].max(1)
            (start, end, _) = actor.spans[0]
            assert times[np.argmax(moved > 0.01)] < start < end < times[-1]
            assert moved[np.searchsorted(times, start)] > 0.04


def test_a_wave_swings_at_least_twice():
    for seed in range(20):
        actor, times, joints = frames_of(g.wave, seed)
        start, end, _ = actor.spans[0]
        inside = (times > start + 0.2) & (times < end)
        turns = [
            (np.diff(np.sign(np.diff(joints[inside, wrist, 0]))) != 0).sum()
            for wrist in WRISTS
        ]  # fmt: skip
        assert max(turns) >= 3, seed


def test_mirrored_poses_mirror_the_joints():
    rng = np.random.default_rng(0)
    body = sk.draw_body(rng)
    poses = sk.standing() + rng.normal(0, 0.2, (5, sk.SIZE))
    swap = np.array((0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15))
    expected = sk.joints(poses, body)[:, swap] * (-1, 1, 1)
    np.testing.assert_allclose(sk.joints(sk.mirrored(poses), body), expected, atol=1e-12)


def test_a_hand_goes_to_its_target():
    body = sk.draw_body(np.random.default_rng(1))
    pose = sk.standing()
    for side in (LEFT, RIGHT):
        pose[sk.HANDS[side]] = (0.3, 0.2, 0.5)
    joints = sk.joints(pose[None], body)[0]
    for side, sign in ((LEFT, 1), (RIGHT, -1)):
        reached = (joints[WRISTS[side]] - joints[SHOULDERS[side]]) / body.arm
        np.testing.assert_allclose(reached, (sign * 0.3, 0.2, 0.5), atol=1e-9)


@pytest.mark.parametrize("fit", ["pad", "stretch"])
def test_projection_agrees_with_opencv(fit):
    rng = np.random.default_rng(4)
    for _ in range(20):
        camera = draw_room_camera(rng, fit=fit)
        points = rng.uniform((-1, 0, -1), (1, 1.8, 1), (30, 3))
        places, depth = camera.project(points)
        high, wide = 480.0, 480.0 * camera.aspect
        matrix = np.array(((camera.focal * high, 0, wide / 2), (0, camera.focal * high, high / 2), (0, 0, 1)))
        turn = cv2.Rodrigues(camera.axes)[0]
        pixels = cv2.projectPoints(points, turn, -camera.axes @ camera.place, matrix, None)[0][:, 0]
        part = np.array(camera.part)
        expected = 0.5 + (pixels[:, ::-1] / (high, wide) - 0.5) * part
        ahead = depth > 0.1
        np.testing.assert_allclose(places[ahead], expected[ahead], atol=1e-9)
        assert np.linalg.det(camera.axes) == pytest.approx(1)


def still(seconds: float, **settings: float) -> tuple[np.ndarray, np.ndarray]:
    """What is detected of people who stand still before webcams, (N, T, 17, 3) in pixels, and where they are."""
    found, true = [], []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        body = sk.draw_body(rng, children=0.0)
        poses = Motion(sk.standing()).poses(np.arange(0, seconds, 1 / FPS))
        joints = sk.joints(poses, body)
        hips = 0.985 * body.leg
        camera = draw_webcam(rng, head=hips + 0.75, middle=hips, seated=False, whole=True)
        conditions = Conditions(ghosts=0.0, **{"quality": 0.05, "lost": 0.0, **settings})
        people = detect([joints], camera, rng, fps=FPS, conditions=conditions)
        found.append(people[:, 0, :51].reshape(-1, 17, 3) * (192, 256, 1))
        true.append(camera.project(joints)[0] * (192, 256))
    return np.array(found), np.array(true)


def test_noise_is_as_measured():
    found, true = still(20)
    second = found[:, :-2, :, :2] - 2 * found[:, 1:-1, :, :2] + found[:, 2:, :, :2]
    noise = np.linalg.norm(second, axis=-1) / np.sqrt(6)
    scores = found[:, 1:-1, :, 2]
    for low, high, median in ((0.8, 1.0, 0.19), (0.5, 0.6, 0.30), (0.3, 0.4, 0.38)):
        inside = (scores >= low) & (scores < high)
        assert 0.6 * median < np.median(noise[inside]) < 1.6 * median, (low, np.median(noise[inside]))
    shoulders, wrists = (np.median(found[:, :, joints, 2]) for joints in (SHOULDERS, WRISTS))
    assert 0.55 < shoulders < 0.75 and 0.3 < wrists < 0.52
    assert np.median(np.linalg.norm(found[..., :2] - true, axis=-1)) < 5


def test_people_are_lost_at_times_and_more_so_in_bad_light():
    rates = []
    for quality in (0.9, -2.0):
        found, _ = still(20, quality=quality, lost=1.0)
        rates.append((found[:, :, 5, 2] < 0.15).mean())
    assert rates[0] < 0.02 < rates[1] < 0.8


def test_joints_out_of_the_picture_score_low():
    rng = np.random.default_rng(0)
    scores = []
    for _ in range(20):
        actor = Actor.drawn(rng, seated=True, children=0.0)
        camera = draw_webcam(rng, head=1.25, middle=0.5, seated=True, whole=False)
        joints = actor.joints(np.arange(0, 4, 1 / FPS))
        conditions = Conditions(quality=1.0, ghosts=0.0)
        people = detect([joints], camera, rng, fps=FPS, conditions=conditions)
        places, depth = camera.project(joints)
        out = ~camera.shows(places, depth)
        scores.append(people[:, 0, 2:51:3][out])
    assert np.median(np.concatenate(scores)) < 0.1
    assert (
        np.concatenate(scores).max() <= 0.9
    )  # a joint that is exchanged with the other side keeps that one's score


def test_of_two_people_at_one_place_one_is_found():
    rng = np.random.default_rng(0)
    actors = [Actor.drawn(rng, children=0.0) for _ in range(2)]
    times = np.arange(0, 4, 1 / FPS)
    camera = draw_webcam(rng, head=1.6, middle=0.9, seated=False, whole=True)
    apart, there = actors[0].joints(times), actors[1].joints(times)
    conditions = Conditions(quality=1.0, lost=0.0, ghosts=0.0)
    counts = []
    for shift in (0.0, 0.9):
        people = detect([apart, np.add(there, (shift, 0, 0))], camera, rng, fps=FPS, conditions=conditions)
        counts.append((people[:, :, 55] > 0.2).sum(1).mean())
    assert counts[0] < 1.4 and counts[1] > 1.7


def test_a_contact_sheet_is_a_picture(tmp_path):
    from streamrec.train.joints.sheet import contact_sheet

    contact_sheet(next(sequences("room", 1)), tmp_path / "sheet.png", columns=4, frames=6)
    assert cv2.imread(str(tmp_path / "sheet.png")).shape == (2 * 192, 4 * 256, 3)

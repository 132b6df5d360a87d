"""Drawn exercises: hands stay at the bar, the phase belongs to the label, and who only stays in a pose does none."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from streamrec.train.joints import LABELS, gym, sequences
from streamrec.train.joints.actor import Actor

HIPS, SHOULDERS, WRISTS = (11, 12), (5, 6), (9, 10)
RATE = 30.0


@pytest.fixture(scope="module")
def scenes():
    return list(itertools.islice(sequences("gym", 4, fps=(10.0, 12.0)), 60))


def repeated(exercise, seed: int) -> tuple[Actor, tuple[float, ...], np.ndarray]:
    """One set from half a second on: the actor, when repetitions start, and the joints at these times."""
    actor = Actor.drawn(np.random.default_rng(seed), children=0.0)
    starts: list[tuple[float, ...]] = []
    gym._repeat(actor, 0.5, exercise(actor), starts)
    (own,) = starts
    return actor, own, actor.joints(np.array(own))


def test_every_exercise_comes_and_half_of_the_time_is_none(scenes):
    words = [word for scene in scenes for word in scene.label_names()]
    shares = {label: words.count(label) / len(words) for label in LABELS["gym"]}
    assert 0.4 < shares["background"] < 0.8
    assert min(shares[label] for label in LABELS["gym"][1:]) > 0.03


def test_a_phase_is_known_within_exercises_alone(scenes):
    known = 0
    for scene in scenes:
        if scene.phases is None:
            assert {*scene.label_names()} <= {"background", "squats"}  # a person before a webcam
            continue
        phased = np.isfinite(scene.phases[:, 0])
        assert scene.labels[phased].all()
        np.testing.assert_allclose(np.linalg.norm(scene.phases[phased], axis=1), 1.0, atol=1e-5)
        known += phased.sum()
    assert known > 1000


def test_hands_stay_at_the_bar_while_the_body_rises():
    for seed in range(12):
        actor, starts, _ = repeated(gym.pull_ups, seed)
        times = np.arange(starts[0], starts[-1], 1 / RATE)
        joints = actor.joints(times)
        hands, hips = joints[:, WRISTS, 1].mean(1), joints[:, HIPS, 1].mean(1)
        assert np.ptp(hips) > 2.0 * np.ptp(hands), seed
        assert (hands > joints[:, SHOULDERS, 1].mean(1)).all()


@pytest.mark.parametrize("exercise", [gym.push_ups, gym.squats])
def test_repetitions_that_start_at_the_top_do(exercise):
    for seed in range(12):
        actor, starts, joints = repeated(exercise, seed)
        heights = actor.joints(np.arange(starts[0], starts[-1], 1 / RATE))[:, SHOULDERS, 1].mean(1)
        assert joints[:, SHOULDERS, 1].mean(1).min() > heights.min() + 0.8 * np.ptp(heights), seed


def test_who_stays_in_a_pose_does_no_exercise():
    for seed, exercise in itertools.product(range(3), gym.EXERCISES):
        actor = Actor.drawn(np.random.default_rng(seed), children=0.0)
        end = gym._stay(actor, 0.5, exercise(actor))
        assert end > 2.5 and not actor.spans

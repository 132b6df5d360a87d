"""Daily life and falls in a room: what is on the floor is labelled so, and falls are fast."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from streamrec.train.joints import LABELS, daily, falls, sequences
from streamrec.train.joints import skeleton as sk
from streamrec.train.joints.actor import Actor

HIPS, SHOULDERS = (11, 12), (5, 6)
RATE = 60.0
ONES = (falls._forwards, falls._backwards, falls._aside, falls._trip, falls._collapse, falls._over_hands)


def fallen(seed: int, *, seated: bool = False) -> tuple[Actor, np.ndarray, np.ndarray]:
    """Somebody who falls at half a second: times and joints of 8 seconds."""
    actor = Actor.drawn(np.random.default_rng(seed), seated=seated, children=0.0)
    falls.fall(actor, 0.5)
    times = np.arange(0, 8, 1 / RATE)
    return actor, times, actor.joints(times)


@pytest.mark.parametrize("seated", [False, True])
def test_who_falls_is_on_the_floor_when_the_label_ends(seated):
    for seed in range(25):
        actor, times, joints = fallen(seed, seated=seated)
        start, end, name = actor.spans[0]
        assert name == "fall" and start == 0.5 and 2.0 < end - start < 6.5
        frame = int(np.searchsorted(times, end))
        assert joints[frame, HIPS, 1].mean() < 0.35, seed
        assert joints[frame, SHOULDERS, 1].mean() < 0.62, seed
        assert joints[0, SHOULDERS, 1].mean() > (0.7 if seated else 1.1)


def test_falls_are_as_fast_as_gravity_allows():
    fastest = []
    for seed, act in itertools.product(range(12), ONES):
        actor = Actor.drawn(np.random.default_rng(seed), children=0.0)
        impact = act(actor, 0.5)
        times = np.arange(0.3, impact + 0.5, 1 / RATE)
        height = actor.joints(times)[:, HIPS, 1].mean(1)
        fastest.append(-np.diff(height).min() * RATE)
        assert np.ptp(height) > 0.5
    # What falls freely from the height of the hips ends with 4.2 m/s.
    assert np.quantile(fastest, 0.1) > 1.0 and np.quantile(fastest, 0.5) > 1.8 and max(fastest) < 4.6


def test_lying_down_on_purpose_is_slower_than_falling_and_is_no_fall():
    speeds = []
    for seed in range(25):
        actor = Actor.drawn(np.random.default_rng(seed), children=0.0)
        end = daily.lie_down(actor, 0.5)
        times = np.arange(0, end + 0.5, 1 / RATE)
        joints = actor.joints(times)
        (start, stop, name) = actor.spans[0]
        assert name == "lying" and stop - start > 2.0
        assert joints[int(np.searchsorted(times, start + 0.5)), SHOULDERS, 1].mean() < 0.85
        assert joints[-1, SHOULDERS, 1].mean() > 1.1, seed  # gets up again
        speeds.append(-np.diff(joints[:, HIPS, 1].mean(1)).min() * RATE)
    assert np.median(speeds) < 1.5


def test_limbs_keep_their_lengths_and_arms_stay_above_the_floor():
    for seed in range(15):
        _, _, joints = fallen(seed)
        for one, other in sk.LIMBS[:8]:
            assert np.ptp(np.linalg.norm(joints[:, one] - joints[:, other], axis=1)) < 1e-9
        assert joints[:, :, 1].min() > -0.12, seed


def test_every_act_of_daily_life_ends_where_the_next_can_begin():
    for number, act in enumerate(daily.ACTS):
        for seed in range(6):
            actor = Actor.drawn(np.random.default_rng(seed), children=0.0)
            end = act(actor, 0.2)
            assert end > 0.2, number
            joints = actor.joints(np.linspace(0, end + 1.5, 80))
            assert np.isfinite(joints).all()
            torso = joints[-1, SHOULDERS, 1].mean() - joints[-1, HIPS, 1].mean()
            assert torso > 0.25 * actor.body.torso, act


def test_a_new_base_moves_nothing():
    actor = Actor.drawn(np.random.default_rng(0), yaw=0.7)
    pose = daily.pose_of(actor, pelvis=(0.2, 0.8, 0.5), feet=[(0.1, 0, 0.5), (0.2, 0, 0.3)])
    actor.motion.to(0.0, 1.0, pose)
    before = actor.joints(np.array((1.5,)))
    actor.rebase(2.0)
    np.testing.assert_allclose(actor.joints(np.array((2.5,))), before, atol=1e-9)


def test_rooms_show_all_labels_and_much_normal_life():
    shares = np.zeros(3)
    for sequence in itertools.islice(sequences("room", 3, fps=(10.0, 10.0)), 80):
        assert sequence.names == LABELS["room"] and sequence.people.shape[1:] == (6, 56)
        shares += np.bincount(sequence.labels, minlength=3) / len(sequence.labels) / 80
    assert shares[0] > 0.5 and shares[1] > 0.03 and shares[2] > 0.05


def test_an_unknown_kind_is_told():
    from streamrec.errors import WrongValue

    with pytest.raises(WrongValue, match="webcam, room"):
        sequences("street")
    with pytest.raises(WrongValue, match="pad, stretch"):
        sequences("room", fit="crop")

"""Drawn people who cross: the same for a seed, with true boxes, and nobody found who is covered."""

from __future__ import annotations

import numpy as np

from streamrec.train.joints.crossing import crossing


def test_a_seed_draws_the_same_scene():
    one, other = (crossing(5, 3, seconds=3.0, lost=0.3) for _ in range(2))
    assert one.people.tobytes() == other.people.tobytes()
    assert np.array_equal(one.timestamps, other.timestamps) and len(one.timestamps) < 30


def test_as_many_are_found_as_are_to_be_seen():
    scene = crossing(7, 4, seconds=12.0, fps=10.0)
    assert scene.people.shape == (120, 6, 56) and scene.boxes.shape == (120, 4, 4)
    found = (scene.people[..., 55] > 0.15).sum(1)
    assert abs(found - scene.visible.sum(1)).mean() < 0.7
    assert not scene.visible.all() and scene.visible.mean() > 0.7


def test_the_boxes_are_of_whole_people():
    scene = crossing(8, 2, seconds=6.0)
    low, high = scene.boxes[..., :2], scene.boxes[..., 2:]
    assert (high > low).all()
    assert np.median(high - low, axis=(0, 1))[0] > 0.15

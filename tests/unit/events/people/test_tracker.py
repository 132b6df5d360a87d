"""Tracks: by the clock, through gaps and crossings, and the same to the bit from the same memory."""

from __future__ import annotations

import math

import numpy as np
import pytest

from streamrec.events.people.detections import PEOPLE, PERSON, Detections, Rectangle, read_detections
from streamrec.events.people.tracker import Tracks, no_tracks, people_of, step_tracks
from streamrec.train.joints.crossing import crossing

ASPECT = 4 / 3


def person(x: float, *, y: float = 0.5, tall: float = 0.4, score: float = 0.6) -> np.ndarray:
    """A row of the detector: somebody upright at a place, in parts of the picture."""
    down = np.array([0, 0, 0, 0, 0, 2, 2, 4, 4, 5, 5, 5, 5, 7, 7, 10, 10]) / 10 - 0.5
    aside = np.array([0, 1, -1, 2, -2, 4, -4, 5, -5, 5, -5, 3, -3, 3, -3, 3, -3]) / 40
    keypoints = np.stack([y + tall * down, x + tall * aside, np.full(17, 0.7)], axis=1)
    box = (y - tall / 2, x - tall / 6, y + tall / 2, x + tall / 6)
    return np.array([*keypoints.ravel(), *box, score], np.float32)


def detected(*rows: np.ndarray) -> Detections:
    people = np.zeros((PEOPLE, PERSON), np.float32)
    if rows:
        people[: len(rows)] = rows
    return read_detections(people)


def run(frames: list[Detections], fps: float, tracks: Tracks | None = None) -> list[tuple[int, ...]]:
    """The numbers of the people in each frame."""
    tracks = no_tracks() if tracks is None else tracks
    said = []
    for frame in frames:
        tracks = step_tracks(tracks, frame, 1 / fps, aspect=ASPECT)
        said.append(tuple(one.id for one in people_of(tracks, ASPECT)))
    return said


def walk(fps: float, seconds: float = 4.0) -> list[tuple[float, float]]:
    """Where two people are who walk through each other, and the nearer one covers the other in the middle."""
    times = np.arange(int(seconds * fps)) / fps
    return [(0.15 + 0.17 * t, 0.85 - 0.17 * t) for t in times]


@pytest.mark.parametrize("fps", [5.0, 10.0, 30.0])
def test_two_people_who_cross_keep_their_numbers_though_one_is_covered(fps):
    frames = [
        detected(person(left, tall=0.5), *([] if abs(left - right) < 0.09 else [person(right)]))
        for left, right in walk(fps)
    ]
    assert run(frames, fps)[-1] == (1, 2)
    tracks = no_tracks()
    for frame in frames:
        tracks = step_tracks(tracks, frame, 1 / fps, aspect=ASPECT)
    first, second = people_of(tracks, ASPECT)
    assert first.box[1] > second.box[3]  # 1 came from the left and is on the right now


def test_a_person_has_a_number_after_two_frames_that_are_far_enough_apart():
    assert run([detected(person(0.5))] * 4, 5.0) == [(), (1,), (1,), (1,)]
    assert run([detected(person(0.5))] * 7, 30.0) == [()] * 5 + [(1,)] * 2


def test_somebody_who_was_seen_once_gets_no_number():
    frames = [detected(person(0.5)), *[detected()] * 3, detected(person(0.5)), detected(person(0.5))]
    assert run(frames, 5.0)[-1] == (1,)
    assert [len(each) for each in run(frames[:4], 5.0)] == [0] * 4


def test_a_person_is_waited_for_three_seconds_and_then_is_another():
    here = [detected(person(0.5))] * 10
    for gap, number in ((2.5, 1), (3.5, 2)):
        said = run(here + [detected()] * int(gap * 10) + here, 10.0)
        assert said[-1] == (number,)


def test_unsure_detections_go_on_with_a_person_and_begin_none():
    sure, unsure = detected(person(0.5)), detected(person(0.5, score=0.12))
    assert run([sure] * 3 + [unsure] * 10, 10.0)[-1] == (1,)
    assert run([unsure] * 10, 10.0)[-1] == ()


def test_one_person_found_twice_is_one():
    twice = detected(person(0.5), person(0.503, score=0.4), person(0.8))
    assert run([twice] * 5, 10.0)[-1] == (1, 2)


def test_another_segment_forgets_all_and_gives_no_number_twice():
    tracks = no_tracks()
    for elapsed in (math.inf, 0.1, 0.1, math.inf, 0.1, 0.1, -1.0, 0.1, 0.1, 2.5, 0.1, 0.1):
        tracks = step_tracks(tracks, detected(person(0.5)), elapsed, aspect=ASPECT)
    assert [one.id for one in people_of(tracks, ASPECT)] == [4]


def test_more_people_than_slots_make_room_for_who_is_there():
    tracks = no_tracks()
    for y in (0.2, 0.5, 0.8):
        six = detected(*[person(x, y=y, tall=0.1) for x in np.linspace(0.1, 0.9, PEOPLE)])
        for _ in range(3):
            tracks = step_tracks(tracks, six, 0.1, aspect=ASPECT)
    assert [one.id for one in people_of(tracks, ASPECT)] == list(range(13, 19))


def test_a_step_leaves_the_memory_that_it_was_given():
    scene = crossing(3, 3, seconds=3.0)
    tracks = no_tracks()
    for people in scene.people:
        before = [array.copy() for array in tracks]
        after = step_tracks(tracks, read_detections(people), 0.1, aspect=ASPECT)
        assert all(np.array_equal(one, other) for one, other in zip(tracks, before, strict=True))
        again = step_tracks(tracks, read_detections(people), 0.1, aspect=ASPECT)
        assert all(one.tobytes() == other.tobytes() for one, other in zip(after, again, strict=True))
        tracks = after
    assert tracks.issued >= 3


@pytest.mark.parametrize(("fps", "lost"), [(5, 0.0), (10, 0.3), (15, 0.0), (30, 0.3)])
def test_three_people_who_cross_get_few_numbers(fps, lost):
    scene = crossing(11, 3, seconds=12.0, fps=fps, lost=lost)
    tracks, last = no_tracks(), -math.inf
    for people, moment in zip(scene.people, scene.timestamps, strict=True):
        tracks = step_tracks(tracks, read_detections(people), float(moment - last), aspect=ASPECT)
        last = moment
    assert 3 <= tracks.issued <= 6


def test_places_are_parts_of_the_camera_picture():
    row = person(0.5, y=0.5, tall=0.4)
    tracks = no_tracks()
    for _ in range(3):
        tracks = step_tracks(tracks, detected(row), 0.1, aspect=ASPECT)
    (one,) = people_of(tracks, ASPECT, Rectangle(0.125, 0.0, 0.75, 1.0))  # 16:9 padded to 4:3
    assert one.box == pytest.approx(
        ((0.3 - 0.125) / 0.75, 0.5 - 0.4 / 6, (0.7 - 0.125) / 0.75, 0.5 + 0.4 / 6)
    )
    places = row[:51].reshape(17, 3)
    assert one.keypoints[:, 0] == pytest.approx((places[:, 0] - 0.125) / 0.75, abs=1e-6)
    assert one.keypoints[:, 1:] == pytest.approx(places[:, 1:], abs=1e-6)
    assert one.keypoints.dtype == np.float32 and one.score == pytest.approx(0.6)


def test_a_box_ends_at_the_edge_of_the_picture():
    tracks = no_tracks()
    for _ in range(3):
        tracks = step_tracks(tracks, detected(person(0.03, y=0.2, tall=0.4)), 0.1, aspect=ASPECT)
    (one,) = people_of(tracks, ASPECT, Rectangle(0.125, 0.0, 0.75, 1.0))
    assert one.box[:2] == (0.0, 0.0) and one.keypoints[0, 0] < 0.0

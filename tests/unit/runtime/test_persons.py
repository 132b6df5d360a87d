"""Each person who is followed has a row and a memory of their own, which begins as that of no person."""

from __future__ import annotations

import numpy as np

from streamrec.events.people.detections import PERSON, Detections
from streamrec.events.people.tracker import Tracks, no_tracks, step_tracks
from streamrec.runtime.engine import Arrays, PersonHeads
from streamrec.runtime.persons import NO_PERSON, ROWS, judge, judged_by, persons_shapes, rows_of

ASPECT = 4 / 3


class Counting(PersonHeads):
    """Counts the frames of a row, and how often its person was found; its scores are these counts."""

    judged = (False, True)
    memory_shapes = ((2,),)
    labels, phases, passed = 5, 2, 1

    def step(self, people: np.ndarray, elapsed: np.ndarray, memory: Arrays, passed: Arrays):
        kept = np.where(np.isfinite(elapsed)[:, None], memory[0], 0.0)
        after = kept + np.stack([np.ones(len(people)), people[:, 0, -1] > 0], axis=1).astype(np.float32)
        scores = np.concatenate([np.zeros((len(people), 2)), after, passed[0]], axis=1).astype(np.float32)
        return scores, after[:, :2] * 0.25, (after,)


def detections(*columns: float) -> Detections:
    """People who stand at these places from left to right."""
    keypoints = np.zeros((len(columns), 17, 3))
    keypoints[..., 0] = np.linspace(0.2, 0.8, 17)
    keypoints[..., 1] = np.array(columns)[:, None] + np.linspace(-0.03, 0.03, 17)
    keypoints[..., 2] = 0.9
    boxes = np.array([(0.15, column - 0.05, 0.85, column + 0.05) for column in columns]).reshape(-1, 4)
    return Detections(keypoints, boxes, np.full(len(columns), 0.8))


def play(*frames: Detections, heads: PersonHeads | None = None):
    """The tracks and the rows' arrays after each of these frames of one stream, a tenth of a second apart."""
    heads = heads or Counting()
    tracks, persons = no_tracks(), tuple(np.zeros((1, *s), np.float32) for s in persons_shapes(heads))
    steps = []
    for number, found in enumerate(frames):
        elapsed = 0.1 if number else np.inf
        tracks = step_tracks(tracks, found, elapsed, aspect=ASPECT)
        rows = rows_of(tuple(array[None] for array in tracks), ASPECT)
        seen = np.full((1, 1), number, np.float32)
        persons = judge(heads, rows, persons, np.array([elapsed], np.float32), (np.zeros(1), seen))
        steps.append((tracks, rows, persons))
    return steps


def slot_of(tracks: Tracks, number: int) -> int:
    return int(np.flatnonzero(tracks.number == number)[0])


def test_a_row_holds_the_keypoints_that_were_found_and_no_other_person():
    found = detections(0.2, 0.7)
    (_, rows, _) = play(found)[0]
    assert rows.row.tolist() == [0, 1, NO_PERSON] and rows.people.shape == (3, 6, PERSON)
    assert (rows.people[:, 1:] == 0).all() and (rows.people[2] == 0).all()
    for row, one in ((0, 0), (1, 1)):
        given = rows.people[row, 0]
        np.testing.assert_allclose(given[:51].reshape(17, 3), found.keypoints[one], rtol=1e-6)
        np.testing.assert_allclose(given[51:55], found.boxes[one], rtol=1e-6)
        assert given[55] == np.float32(0.8)


def test_who_comes_later_begins_with_what_is_remembered_of_no_person():
    steps = play(*[detections(0.2)] * 4, *[detections(0.2, 0.7)] * 3)
    tracks, _, persons = steps[-1]
    first, second = (persons[0][0, slot_of(tracks, number)] for number in (1, 2))
    assert first.tolist() == [7, 7]  # frames of the row, and those in which the person was found
    assert second.tolist() == [7, 3]
    assert persons[0][0, NO_PERSON].tolist() == [7, 0]


def test_who_is_not_found_goes_on_without_keypoints_and_is_forgotten_when_the_track_is():
    steps = play(*[detections(0.5)] * 4, *[detections()] * 40)
    tracks, _, persons = steps[8]
    assert persons[0][0, slot_of(tracks, 1)].tolist() == [9, 4]
    tracks, rows, persons = steps[-1]
    assert rows.row.tolist() == [NO_PERSON] and (persons[0][0, :NO_PERSON] == 0).all()


def test_streams_are_rows_of_one_batch_and_stay_apart():
    heads = Counting()
    own = [play(*[detections(0.2)] * 3)[-1], play(*[detections(0.2, 0.7)] * 2)[-1]]
    tracks = tuple(np.stack(arrays) for arrays in zip(*(one[0] for one in own), strict=True))
    persons = tuple(np.concatenate(arrays) for arrays in zip(*(one[2] for one in own), strict=True))
    after = [step_tracks(one[0], detections(0.2), 0.1, aspect=ASPECT) for one in own]
    tracks = tuple(np.stack(arrays) for arrays in zip(*after, strict=True))
    rows = rows_of(tracks, ASPECT)
    assert rows.stream.tolist() == [0, 0, 1, 1, 1]
    together = judge(
        heads, rows, persons, np.full(2, 0.1, np.float32), (np.array([[7.0], [8.0]], np.float32),)
    )
    assert together[0][0, 0].tolist() == [4, 4] and together[0][1, 0].tolist() == [3, 3]
    assert together[1][:, 0, 4].tolist() == [7, 8]  # what is seen of each stream's frame
    assert together[0].shape == (2, ROWS, 2)


def test_scores_of_a_person_are_found_in_the_state():
    heads = Counting()
    tracks, _, persons = play(*[detections(0.2)] * 4)[-1]
    whole, own = judged_by(heads, [(("a", "b"), False), (("rest", "wave", "jump"), True)], 0)
    assert whole is None and own is not None
    prediction = own.prediction(tuple(array[:1] for array in persons), slot_of(tracks, 1), 0.3)
    assert prediction.label == "rest" and prediction.confidence == 4 and prediction.phase == (1.0, 1.0)

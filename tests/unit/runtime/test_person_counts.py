"""Each person who is followed has a count of their own, which is part of the stream's state."""

from __future__ import annotations

import math

import numpy as np
import pytest

from streamrec import RecurrenceSettings
from streamrec.core.state import State, stack, unstack
from streamrec.errors import StateError
from streamrec.events.people.detections import Detections
from streamrec.events.people.tracker import Tracks, no_tracks, numbered, step_tracks
from streamrec.events.repetitions import RepetitionCounter
from streamrec.runtime.people import initial_tracks
from streamrec.runtime.person_counts import SETTINGS, PersonCounter, with_motion_counts
from streamrec.runtime.persons import ROWS, Judged
from streamrec.types import Person

ASPECT = 4 / 3
LABELS = ("idle", "squat")
COUNTING = PersonCounter(Judged(LABELS, 0, slice(0, 2), slice(0, 2)), RepetitionCounter(LABELS, ["squat"]))
ANY = RecurrenceSettings()


def detections(*people: tuple[float, float]) -> Detections:
    """People who stand at these places from left to right, their wrists so high (-1 to 1)."""
    keypoints = np.zeros((len(people), 17, 3))
    keypoints[..., 0] = np.linspace(0.2, 0.8, 17)
    for body, (column, wrists) in zip(keypoints, people, strict=True):
        body[:, 1] = column + np.linspace(-0.03, 0.03, 17)
        body[9:11, 0] = 0.5 - 0.15 * wrists
    keypoints[..., 2] = 0.9
    boxes = np.array([(0.15, column - 0.05, 0.85, column + 0.05) for column, _ in people]).reshape(-1, 4)
    return Detections(keypoints, boxes, np.full(len(people), 0.8))


class Stream:
    """One stream: tracks, scores and counts, a tenth of a second a frame."""

    def __init__(self, counter: PersonCounter, count: RecurrenceSettings | None = None) -> None:
        self.counter = counter
        state = with_motion_counts(blank_state(), count)
        self.counts = state.counts[0] if state.counts else {}
        self.tracks, self.now = no_tracks(), -0.1

    def step(self, *people: tuple[float, float], turns: dict[int, float] | None = None) -> dict[int, Person]:
        """The next frame; ``turns``: how many repetitions each person has begun, by number."""
        self.now += 0.1
        self.tracks = step_tracks(self.tracks, detections(*people), 0.1, aspect=ASPECT)
        tracks = tuple(array[None] for array in self.tracks)
        self.counts = self.counter.step(self.counts, tracks, self.persons(turns or {}), self.now)
        found = {}
        for slot in numbered(self.tracks):
            number = int(self.tracks.number[slot])
            blank = Person(number, (0, 0, 1, 1), np.zeros((17, 3), np.float32), 0.5)
            found[number] = self.counter.counted(self.counts, blank)
        return found

    def persons(self, turns: dict[int, float]) -> tuple[np.ndarray, np.ndarray]:
        scores, phases = np.zeros((1, ROWS, 2), np.float32), np.zeros((1, ROWS, 2), np.float32)
        scores[..., 0] = 1.0
        for slot in numbered(self.tracks):
            turn = turns.get(int(self.tracks.number[slot]))
            if turn is not None:
                scores[0, slot] = 0.1, 0.9
                phases[0, slot] = math.cos(2 * math.pi * turn), math.sin(2 * math.pi * turn)
        return scores, phases


def blank_state() -> State:
    return State(
        (), (), np.zeros(1), np.zeros(1, np.int64), np.zeros((1, 2), np.float32), tracks=initial_tracks()
    )


def waved(t: float, seconds: float) -> float:
    return math.sin(2 * math.pi * t / seconds)


def test_a_model_that_counts_counts_for_each_person():
    stream = Stream(COUNTING)
    for n in range(81):
        people = stream.step((0.3, 0.0), (0.7, 0.0), turns={1: n / 20, 2: n / 40})
    assert {number: person.repetitions for number, person in people.items()} == {1: 4, 2: 2}
    assert all(person.count is None and person.period is None for person in people.values())


def test_any_motion_is_counted_of_the_person_who_moves_alone():
    stream = Stream(PersonCounter(), ANY)
    for n in range(121):
        people = stream.step((0.3, waved(n / 10, 1.5)), (0.7, 0.0))
    assert people[1].count == 8 and people[1].period == pytest.approx(1.5, abs=0.1)
    assert people[2].count == 0 and people[2].period is None
    assert people[1].repetitions is None


def test_two_people_repeat_at_rates_of_their_own():
    stream = Stream(PersonCounter(), ANY)
    for n in range(121):
        people = stream.step((0.3, waved(n / 10, 1.5)), (0.7, waved(n / 10, 1.0)))
    assert people[1].period == pytest.approx(1.5, abs=0.1) and people[2].period == pytest.approx(1.0, abs=0.1)
    assert people[1].count == 8 and abs(people[2].count - 12) <= 1


def test_a_count_goes_on_over_a_short_absence_and_ends_with_the_number():
    stream = Stream(COUNTING, ANY)
    for n in range(61):
        people = stream.step((0.3, waved(n / 10, 1.5)), turns={1: n / 20})
    assert people[1].repetitions == 3 and people[1].count == 4
    for n in range(61, 81):  # not found, and waited for
        people = stream.step(turns={1: n / 20})
    assert people[1].count == 4
    for n in range(81, 111):
        people = stream.step((0.3, waved(n / 10, 1.5)), turns={1: n / 20})
    assert list(people) == [1] and people[1].repetitions == 5 and people[1].count >= 5
    for _ in range(40):
        people = stream.step()
    assert people == {} and set(stream.counts) == {SETTINGS}
    for _ in range(3):
        people = stream.step((0.3, 0.0), turns={2: 0.0})
    assert list(people) == [2] and people[2].repetitions == 0 and people[2].count == 0


def test_a_saved_state_counts_on_bit_for_bit():
    def played(frames: range, stream: Stream) -> None:
        for n in frames:
            stream.step((0.3, waved(n / 10, 1.5)), (0.7, waved(n / 10, 1.0)), turns={1: n / 20})

    through, halved = Stream(COUNTING, ANY), Stream(COUNTING, ANY)
    played(range(90), through)
    played(range(50), halved)
    kept = State.from_bytes(state_of(halved).to_bytes())
    assert kept.counts[0].keys() == halved.counts.keys()
    halved.counts = kept.counts[0]
    played(range(50, 90), halved)
    assert state_of(halved).to_bytes() == state_of(through).to_bytes()


def state_of(*streams: Stream) -> State:
    return stack([replaced(blank_state(), stream) for stream in streams])


def replaced(state: State, stream: Stream) -> State:
    return State(
        (), (), state.clock, state.segment, state.probabilities, tracks=state.tracks, counts=(stream.counts,)
    )


def test_streams_keep_their_counts_when_they_are_joined_and_parted():
    counting, other = Stream(COUNTING, ANY), Stream(PersonCounter())
    for n in range(30):
        counting.step((0.3, waved(n / 10, 1.5)), turns={1: n / 20})
        other.step((0.5, 0.0))
    joined = state_of(counting, other)
    assert [one.counts for one in unstack(joined)] == [(counting.counts,), ({},)]
    again = State.from_bytes(joined.to_bytes())
    assert [sorted(counts) for counts in again.counts] == [sorted(counting.counts), []]
    assert stack([blank_state(), blank_state()]).counts == ()


def test_other_settings_begin_the_count_of_any_motion_anew_and_keep_that_of_the_model():
    stream = Stream(COUNTING, ANY)
    for n in range(61):
        stream.step((0.3, waved(n / 10, 1.5)), turns={1: n / 20})
    state = state_of(stream)
    assert with_motion_counts(state, ANY).counts[0] is stream.counts
    for settings in (None, RecurrenceSettings(shortest=0.4)):
        (counts,) = with_motion_counts(state, settings).counts
        assert {name for name in counts if name != SETTINGS} == {"1.repetitions"}
    without = blank_state()
    assert with_motion_counts(without, None).counts == ({},)
    nobody = State((), (), np.zeros(1), np.zeros(1, np.int64), np.zeros((1, 2), np.float32))
    assert with_motion_counts(nobody, ANY) is nobody


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("1.repetitions", np.zeros(3)),
        ("1.repetitions", np.full(13, np.inf)),
        ("1.repetitions", np.zeros(13, np.float32)),
        ("1.motion.numbers", np.zeros(2)),
        ("1.motion.numbers", np.full(14, np.nan)),
        ("1.motion.past", np.zeros((3, 34), np.float32)),
        ("1.motion.bands.0", np.zeros((1, 1), np.float32)),
        ("1.size", np.zeros(3)),
        ("1.size", np.zeros(1)),
        (SETTINGS, np.zeros(7)),
        (SETTINGS, np.zeros(2)),
    ],
)
def test_damaged_counts_are_refused(name, array):
    stream = Stream(COUNTING, ANY)
    for n in range(30):
        stream.step((0.3, waved(n / 10, 1.5)), turns={1: n / 20})
    assert name in stream.counts
    stream.counts = {**stream.counts, name: array}
    with pytest.raises(StateError, match=r"start from initial_state|no saved count"):
        stream.step((0.3, 0.0))


def test_moments_of_another_time_than_the_last_frame_are_refused():
    """They would be stepped through one by one."""
    stream = Stream(PersonCounter(), ANY)
    for n in range(30):
        stream.step((0.3, waved(n / 10, 1.5)))
    numbers = stream.counts["1.motion.numbers"].copy()
    numbers[1] -= 1e12  # the origin
    stream.counts = {**stream.counts, "1.motion.numbers": numbers}
    with pytest.raises(StateError, match="no saved count"):
        stream.step((0.3, 0.0))


def test_tracks_without_people_cost_nothing():
    empty = PersonCounter().step({}, tuple(array[None] for array in no_tracks()), (), 0.0)
    assert empty == {} and Tracks(*no_tracks()).hits.sum() == 0

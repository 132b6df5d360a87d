"""Counting what repeats, on features that are drawn here."""

from __future__ import annotations

import math
from dataclasses import fields

import numpy as np
import pytest

from streamrec import Frame, RecurrenceSettings
from streamrec.core.image import brightness
from streamrec.errors import StateError, StreamrecError
from streamrec.events.motion_counts import REPEATING, MotionCounts
from streamrec.events.recurrence import Recurrence, RecurrenceCounter, RecurrenceState
from streamrec.types import ActionEnded, ActionStarted


def turning(turns: float, noise: float = 0.0, seed: int = 0) -> np.ndarray:
    """Features of something that has turned so often."""
    angle = 2 * math.pi * turns
    place = [math.cos(angle), math.sin(angle), 0.3 * math.cos(2 * angle), 0.0]
    return np.array(place, np.float32) + np.random.default_rng(seed).normal(0, noise, 4).astype(np.float32)


def played(turns, *, fps: float, seconds: float, counter=None, state=None, noise=0.0, begin=0.0):
    """What is found in each frame, and the state at the end; ``turns``: seconds -> how often it has turned."""
    counter = counter or RecurrenceCounter()
    state = state or counter.initial_state()
    found = []
    for n in range(round(seconds * fps)):
        time = begin + n / fps
        one, state = counter.step(turning(turns(time), noise, n), time, state)
        found.append(one)
    return found, state


@pytest.mark.parametrize("fps", [8, 10, 15, 30])
def test_the_frame_rate_does_not_change_the_count(fps):
    found, _ = played(lambda t: t / 1.3, fps=fps, seconds=13.1, noise=0.02)
    assert found[-1].count == 10
    assert found[-1].period == pytest.approx(1.3, rel=0.03)


@pytest.mark.parametrize("period", [0.35, 0.6, 0.9, 1.7, 4.4])
def test_periods_of_all_octaves_are_found(period):
    found, _ = played(lambda t: t / period, fps=12, seconds=8 * period + 0.05, noise=0.02)
    assert abs(found[-1].count - 8) <= 1
    assert found[-1].period == pytest.approx(period, rel=0.05)


def test_it_counts_while_it_happens():
    found, _ = played(lambda t: t / 1.0, fps=10, seconds=12)
    first = next(n for n, one in enumerate(found) if one.count)
    assert first / 10 <= 3.5  # three repetitions are the least that count
    for n, one in enumerate(found[first:], first):
        assert abs(one.count - n / 10) <= 1


def test_a_tempo_that_changes_is_followed():
    found, _ = played(lambda t: t / 1.5 + t * t / 60, fps=12, seconds=20)  # from 1.5 s to 0.75 s
    assert abs(found[-1].count - (20 / 1.5 + 400 / 60)) <= 1


def test_noise_and_stillness_count_nothing():
    found, _ = played(lambda t: 0.0, fps=10, seconds=20)
    assert {one.count for one in found} == {0}
    counter, state, most = RecurrenceCounter(), RecurrenceState(), 0
    noise = np.random.default_rng(3)
    for n in range(300):
        one, state = counter.step(noise.normal(size=64).astype(np.float32), n / 10, state)
        most = max(most, one.total)
    assert most <= 3


def test_a_motion_below_the_least_change_is_none():
    counter = RecurrenceCounter(RecurrenceSettings(motion=5.0))
    found, _ = played(lambda t: t, fps=10, seconds=10, counter=counter)
    assert found[-1] == Recurrence()


def test_what_stops_is_not_counted_on_and_the_next_set_starts_anew():
    stops = 8.0
    found, state = played(lambda t: min(t, stops), fps=10, seconds=16)
    most = max(one.count for one in found)
    assert abs(most - 8) <= 1
    assert found[-1].count == 0 and found[-1].total == most
    more, _ = played(lambda t: t, fps=10, seconds=6, state=state, begin=16.0)
    assert abs(more[-1].count - 6) <= 1
    assert more[-1].total == most + more[-1].count
    assert more[-1].began >= 15


def test_a_short_pause_belongs_to_the_set():
    def turns(t):
        return min(t, 6.0) + max(t - 8.0, 0.0)

    found, _ = played(turns, fps=10, seconds=14)
    assert abs(found[-1].count - 12) <= 2
    assert found[-1].began < 2


def test_slow_light_is_no_repetition_and_does_not_hide_one():
    counter, state = RecurrenceCounter(), RecurrenceState()
    for n in range(120):
        light = np.array([0.02 * n, 0.01 * n, -0.02 * n, 3.0], np.float32)
        found, state = counter.step(light, n / 10, state)
    assert found.total == 0
    state = RecurrenceState()
    for n in range(120):
        light = np.array([0.02 * n, 0.01 * n, -0.02 * n, 3.0], np.float32)
        found, state = counter.step(turning(n / 10) + light, n / 10, state)
    assert abs(found.count - 12) <= 1


def test_a_gap_and_a_jump_back_begin_anew_and_keep_the_total():
    found, state = played(lambda t: t, fps=10, seconds=6)
    counter = RecurrenceCounter()
    for time in (9.0, 1.0):
        after, anew = counter.step(turning(0), time, state)
        assert after.count == 0 and after.total == found[-1].total
        assert anew.moments == 1
    assert counter.step(turning(0), state.clock - 0.5, state)[1] is state


def test_a_saved_state_replays_to_the_bit():
    _, state = played(lambda t: t / 0.7, fps=10, seconds=5, noise=0.1)
    again = RecurrenceState.from_bytes(state.to_bytes())
    fresh = RecurrenceState.from_bytes(RecurrenceState().to_bytes())
    assert fresh.features is None and fresh.began is None
    a, left = played(lambda t: t / 0.7, fps=10, seconds=5, state=state, begin=5.0)
    b, right = played(lambda t: t / 0.7, fps=10, seconds=5, state=again, begin=5.0)
    assert a == b
    for field in fields(RecurrenceState):
        one, other = getattr(left, field.name), getattr(right, field.name)
        if isinstance(one, tuple):
            assert all(np.array_equal(x, y) for x, y in zip(one, other, strict=True))
        else:
            assert np.array_equal(one, other), field.name


def test_a_step_changes_no_state():
    _, state = played(lambda t: t, fps=10, seconds=4)
    before = state.to_bytes()
    RecurrenceCounter().step(turning(0.2), 4.0, state)
    assert state.to_bytes() == before


@pytest.mark.parametrize("data", [b"", b"no state", RecurrenceCounter.__name__.encode()])
def test_other_bytes_are_refused(data):
    with pytest.raises(StateError, match="no saved count"):
        RecurrenceState.from_bytes(data)


def test_features_of_another_size_or_of_no_numbers_are_refused():
    counter = RecurrenceCounter()
    _, state = counter.step(turning(0), 0.0, counter.initial_state())
    with pytest.raises(StateError, match="4 features and the frame 3"):
        counter.step(np.zeros(3, np.float32), 0.1, state)
    with pytest.raises(StreamrecError, match="finite"):
        counter.step(np.full(4, np.nan, np.float32), 0.1, state)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"shortest": 0.01}, "shortest is 0.01: set it from"),
        ({"longest": 1000.0}, "longest is 1000.0: set it to at most 60"),
        ({"clear": 2.0}, "clear is 2.0: set it from 0 to 1"),
        ({"motion": -1.0}, "motion is -1.0: set it to 0 or more"),
        ({"pause": math.inf}, "pause is inf: give a finite number"),
    ],
)
def test_wrong_settings_say_what_to_do(wrong, says):
    with pytest.raises(StreamrecError, match=says):
        RecurrenceSettings(**wrong)


def image_of(turns: float) -> np.ndarray:
    """A bright square that goes round."""
    image = np.full((120, 160, 3), 40, np.uint8)
    x, y = (
        round(80 + 45 * math.cos(2 * math.pi * turns)),
        round(60 + 35 * math.sin(2 * math.pi * turns)),
    )
    image[y - 15 : y + 15, x - 15 : x + 15] = 220
    return image


def test_the_light_of_a_whole_image_changes_no_features():
    dark, light = np.full((48, 64, 3), 9, np.uint8), np.full((48, 64, 3), 200, np.uint8)
    assert brightness(dark).shape == (192,)
    assert np.abs(brightness(light) - brightness(dark)).max() < 1e-3


def test_large_and_small_images_have_much_the_same_features():
    large = np.kron(image_of(0.2), np.ones((8, 8, 1), np.uint8))
    assert np.abs(brightness(large) - brightness(image_of(0.2))).mean() < 0.1


def test_a_set_is_an_event_with_its_repetitions():
    counts = MotionCounts(source="gym")
    events = []
    for n in range(160):
        events += counts.step(Frame(image_of(min(n / 10, 9.0)), n, n / 10))
    started, ended = events
    assert isinstance(started, ActionStarted) and started.label == REPEATING and started.source == "gym"
    assert started.timestamp < 1
    assert isinstance(ended, ActionEnded) and ended.started == started.timestamp
    assert abs(ended.repetitions - 9) <= 1 and abs(ended.timestamp - 9) <= 0.7
    assert 0.15 < started.confidence <= ended.confidence <= 1


def test_an_action_ends_with_the_repetitions_while_it_lasted():
    counts = MotionCounts()
    started = ActionStarted("squat", 0.0, 0.9)
    for n in range(80):
        counts.step(Frame(image_of(n / 10), n, n / 10), [started] if n == 3 else [])
    ended = counts.step(Frame(image_of(8.0), 80, 8.0), [ActionEnded("squat", 8.0, 0.0, 0.9)])
    assert abs(ended[0].repetitions - 8) <= 1
    still = counts.step(Frame(image_of(8.1), 81, 8.1), [ActionStarted("fall", 8.1, 0.9)])
    assert still == (ActionStarted("fall", 8.1, 0.9),)
    own = counts.step(Frame(image_of(8.2), 82, 8.2), [ActionEnded("fall", 8.2, 8.1, 0.9, repetitions=4)])
    assert own[0].repetitions == 4


def test_the_end_of_the_stream_ends_the_set():
    counts = MotionCounts()
    for n in range(60):
        counts.step(Frame(image_of(n / 10), n, n / 10))
    (ended,) = counts.finish()
    assert abs(ended.repetitions - 6) <= 1
    assert counts.found == Recurrence() and counts.finish() == ()

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict

import numpy as np
import pytest

from streamrec.data.phase import phase_targets
from streamrec.errors import DataError, StateError, StreamrecError
from streamrec.events.repetitions import CountSettings, RepetitionCounter
from streamrec.types import ActionEnded, ActionStarted, Prediction

LABELS = ("idle", "squat", "curl")
COUNTER = RepetitionCounter(LABELS, ("squat", "curl"))


def says(label: str, turns: float, timestamp: float = 0.0, *, sure: float = 1.0) -> Prediction:
    """A label, 0.8 sure, and a phase after so many repetitions."""
    shares = np.full(3, 0.1, np.float32)
    shares[LABELS.index(label)] = 0.8
    angle = 2 * math.pi * turns
    phase = sure * math.cos(angle), sure * math.sin(angle)
    return Prediction(label, 0.8, shares, timestamp, LABELS, phase)


def play(
    turns: Callable[[float], float],
    seconds: float,
    *,
    label: Callable[[float], str] = lambda t: "squat",
    sure: Callable[[float], float] = lambda t: 1.0,
    fps: float = 10.0,
    noise: float = 0.0,
    counter: RepetitionCounter = COUNTER,
) -> list[int]:
    """The count at each frame, of a phase that is a function of time."""
    rng = np.random.default_rng(0)
    state, counts = counter.initial_state(), []
    for n in range(round(seconds * fps) + 1):
        t = n / fps
        said = says(label(t), turns(t), t, sure=sure(t))
        assert said.phase is not None
        x, y = np.array(said.phase) + noise * rng.normal(size=2)
        said = Prediction(said.label, said.confidence, said.probabilities, t, LABELS, (float(x), float(y)))
        count, state = counter.step(said, t, state)
        assert count == state.count
        counts.append(count)
    return counts


def done(rate: float, repetitions: int = 10, *, lead: float = 1.0) -> Callable[[float], float]:
    """Repetitions at this rate after ``lead`` seconds of rest, and rest after them."""
    return lambda t: min(max((t - lead) * rate, 0.0), float(repetitions))


@pytest.mark.parametrize("noise", [0.0, 0.2])
@pytest.mark.parametrize("rate", [0.3, 0.7, 1.0, 1.6, 2.0, 2.5])
def test_repetitions_are_counted_at_every_rate(rate, noise):
    counts = play(done(rate), 2.0 + 10 / rate, noise=noise)
    assert counts[-1] == 10
    assert counts == sorted(counts)


@pytest.mark.parametrize("fps", [5.0, 13.7, 30.0])
def test_the_frame_rate_changes_no_count(fps):
    assert play(done(1.5), 9.0, fps=fps, noise=0.1)[-1] == 10


def test_a_repetition_counts_shortly_before_it_is_round():
    counts = play(lambda t: t / 4 + 1e-9, 8.0)  # 4 s each: 7/8 of them at 3.5 and 7.5 s
    assert [counts.index(1) / 10, counts.index(2) / 10] == [3.5, 7.5]


def test_jitter_around_the_start_never_counts():
    assert max(play(lambda t: 0.2 * math.sin(40 * t), 20.0, noise=0.1)) == 0


def test_half_a_repetition_back_and_forth_never_counts():
    assert max(play(lambda t: 0.25 + 0.45 * math.sin(2 * t), 30.0)) == 0


def test_backward_wobble_is_made_good_before_anything_counts():
    assert play(lambda t: done(0.5)(t) + 0.15 * math.sin(8 * t), 23.0)[-1] == 10
    backward = play(lambda t: -0.5 * t if t < 10 else -5 + 0.5 * (t - 10), 16.0)
    assert backward[100] == 0 and backward[-1] <= 3


def test_a_pause_within_a_repetition_costs_nothing():
    assert play(lambda t: done(0.5, 4)(t if t < 4.2 else max(4.2, t - 6.0)), 16.0, noise=0.1)[-1] == 4


def test_one_wild_phase_counts_nothing_and_costs_nothing():
    wild = {23, 40, 57}
    assert play(lambda t: done(0.8, 8)(t) + 0.5 * (round(t * 10) in wild), 12.0)[-1] == 8


def test_an_unsure_phase_is_not_followed():
    assert max(play(done(1.0), 12.0, sure=lambda t: 0.2)) == 0
    assert play(done(0.5, 5), 12.0, sure=lambda t: 0.1 if 3.0 < t < 3.6 else 1.0)[-1] == 5


def test_a_flicker_of_the_label_changes_no_count():
    for other in ("idle", "curl"):
        counts = play(done(1.0), 12.0, label=lambda t, o=other: o if round(t * 10) % 7 in (0, 1) else "squat")
        assert counts[-1] == 10


def test_nothing_is_counted_while_nothing_counted_is_going_on():
    assert max(play(done(1.0), 12.0, label=lambda t: "idle")) == 0


def test_a_label_that_comes_late_costs_no_repetition():
    counts = play(done(0.5, 4), 10.0, label=lambda t: "squat" if t >= 2.2 else "idle")
    assert counts[-1] == 4


def test_a_repetition_that_was_hardly_seen_does_not_count():
    counts = play(lambda t: 0.8 + 0.5 * t, 3.0)  # begins at 0.8 of one; 0.875 of the next at 2.15 s
    assert counts[10] == 0 and counts[-1] == 1


def test_the_count_starts_anew_when_the_counted_label_changes():
    counts = play(lambda t: 0.5 * t, 16.0, label=lambda t: "squat" if t < 8.1 else "curl")
    assert counts[80] == 4 and counts[90] == 0 and counts[-1] == 4


def test_the_count_starts_anew_after_a_pause_and_not_before():
    def label(t: float) -> str:
        return "squat" if t < 4.1 or 6.0 <= t < 10.1 or t >= 16.0 else "idle"

    counts = play(lambda t: 0.5 * t, 20.0, label=label)
    assert counts[40] == 2
    assert counts[100] == 4  # two seconds of something else
    assert counts[125] == 4  # what was done stays to be read
    assert counts[150] == 0  # six seconds
    assert counts[-1] == 2


def test_a_clock_that_jumps_back_starts_anew_and_one_that_stumbles_does_not():
    state = COUNTER.initial_state()
    for n in range(31):
        count, state = COUNTER.step(says("squat", 0.1 * n), n / 10, state)
    assert count == 3
    assert COUNTER.step(says("squat", 3.1), 2.7, state)[0] == 3
    assert COUNTER.step(says("squat", 3.1), 0.0, state)[0] == 0


def test_a_kept_state_stays_what_it_was():
    state = COUNTER.initial_state()
    for n in range(8):
        _, state = COUNTER.step(says("squat", 0.1 * n), n / 10, state)
    assert COUNTER.step(says("squat", 0.9), 0.9, state)[0] == 1
    assert COUNTER.step(says("squat", 0.8), 0.8, state)[0] == 0
    assert COUNTER.step(says("squat", 0.9), 0.9, state)[0] == 1


def test_an_action_that_ended_is_told_with_the_repetitions_while_it_ran():
    state = COUNTER.initial_state()
    told: list[ActionEnded] = []
    started = {5: "squat", 45: "squat", 105: "curl"}
    ended = {40: "squat", 105: "squat", 150: "curl"}
    for n in range(151):
        t = n / 10
        _, state = COUNTER.step(says("squat" if t < 10.0 else "curl", 0.5 * t), t, state)
        events: tuple = ()
        if n in ended:
            events += (ActionEnded(ended[n], t, 0.0, 0.9),)
        if n in started:
            events += (ActionStarted(started[n], t, 0.9),)
        events, state = COUNTER.add_counts(events, state)
        told += [event for event in events if isinstance(event, ActionEnded)]
    assert [(e.label, e.repetitions) for e in told] == [("squat", 2), ("squat", 3), ("curl", 2)]


def test_an_action_that_is_not_counted_has_no_repetitions():
    event = ActionEnded("idle", 2.0, 1.0, 0.9)
    assert COUNTER.add_counts((event,), COUNTER.initial_state())[0] == (event,)
    assert event.repetitions is None


def test_what_does_not_fit_is_told_in_words():
    state = COUNTER.initial_state()
    bare = Prediction("squat", 0.8, np.full(3, 1 / 3, np.float32), 0.0, LABELS)
    with pytest.raises(StreamrecError, match="no phase"):
        COUNTER.step(bare, 0.0, state)
    with pytest.raises(StreamrecError, match="jump cannot be counted"):
        RepetitionCounter(LABELS, ("jump",))
    with pytest.raises(StreamrecError, match="labels of the model"):
        RepetitionCounter(("idle", "squat"), ("squat", "idle")).step(says("squat", 0.0), 0.0, state)
    with pytest.raises(StateError, match="initial_state"):
        RepetitionCounter(LABELS, ("squat",)).step(says("squat", 0.0), 0.0, state)
    with pytest.raises(StreamrecError, match="timestamp is nan"):
        COUNTER.step(says("squat", 0.0), math.nan, state)


@pytest.mark.parametrize(
    "settings", [{"pause": -1.0}, {"sure": math.nan}, {"done": 0.2}, {"fastest": 0}, {"smoothing": "1"}]
)
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(StreamrecError, match=next(iter(settings))):
        CountSettings(**settings)


def test_settings_survive_json():
    settings = CountSettings(pause=5.0)
    assert CountSettings(**json.loads(json.dumps(asdict(settings)))) == settings


# -- the targets of training


def test_the_phase_grows_evenly_between_two_starts():
    # Starts at 1, 2 and 4 s: a quarter of the first is 1.25 s, half of the second 3 s.
    targets = phase_targets([1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 3.5], [1.0, 2.0, 4.0])
    assert targets.dtype == np.float32
    expected = [(1, 0), (0, 1), (-1, 0), (1, 0), (0, 1), (-1, 0), (0, -1)]
    np.testing.assert_allclose(targets, expected, atol=1e-6)


def test_the_phase_is_unknown_before_the_first_start_and_after_the_last():
    targets = phase_targets([0.9, 1.0, 4.0, 4.1], [1.0, 2.0, 4.0])
    assert np.isnan(targets).tolist() == [[True] * 2, [False] * 2, [False] * 2, [True] * 2]
    assert targets[2].tolist() == [1.0, 0.0]  # the last start is one


@pytest.mark.parametrize("starts", [[], [1.0]])
def test_fewer_than_two_starts_tell_nothing(starts):
    assert np.isnan(phase_targets([0.0, 1.0, 2.0], starts)).all()


@pytest.mark.parametrize("starts", [[2.0, 1.0], [1.0, 1.0], [1.0, math.nan]])
def test_starts_that_do_not_grow_are_refused(starts):
    with pytest.raises(DataError, match="give seconds that grow"):
        phase_targets([0.0], starts)


def test_the_targets_themselves_are_counted_right():
    times = np.arange(0, 12, 0.1)
    starts = [0.0, 1.7, 2.3, 4.9, 5.6, 8.0, 8.5, 11.9]
    counter = RepetitionCounter(LABELS, ("squat",))
    state, count = counter.initial_state(), 0
    for t, (x, y) in zip(times, phase_targets(times, starts).tolist(), strict=True):
        said = says("squat", 0.0, t)
        said = Prediction("squat", 0.8, said.probabilities, t, LABELS, (x, y))
        count, state = counter.step(said, float(t), state)
    assert count == 7

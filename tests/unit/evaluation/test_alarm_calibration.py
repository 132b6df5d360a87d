"""The alarm contract, on scores whose tail is known, and on fresh hours of them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from streamrec.errors import DataError
from streamrec.evaluation.alarm_calibration import (
    ScoredRecording,
    _lowest,
    alarm_times,
    calibrate,
    text_of,
    with_enters,
)
from streamrec.evaluation.reports import Playback, Segment
from streamrec.events.detector import EventDetector, EventSettings
from streamrec.types import ActionStarted

LABELS = ("normal", "fight", "fall")
SETTINGS = EventSettings(background=("normal",), smoothing=0.3, shortest=0.3, leave=0.3)
FPS = 2.0


def quiet(hours: float, seed: int, *, bursts_an_hour: tuple[float, float] = (60.0, 0.0)) -> ScoredRecording:
    """Footage of nothing: now and then a score rises for a few seconds, high ones rarer than low ones."""
    rng = np.random.default_rng(seed)
    frames = round(hours * 3600 * FPS)
    logits = np.full((frames, 2), -4.0)
    for column, rate in enumerate(bursts_an_hour):
        for _ in range(rng.poisson(rate * hours)):
            at, lasts = rng.integers(frames), rng.integers(3 * FPS, 8 * FPS)
            logits[at : at + lasts, column] = rng.exponential(1.0)
    scores = 1 / (1 + np.exp(-logits))
    scores[:, 1] *= 1 - scores[:, 0]  # what is left
    said = np.column_stack([1 - scores.sum(1), scores]).astype(np.float32)
    return ScoredRecording(np.arange(frames) / FPS, said, np.zeros(frames, np.int64))


def fight(score: float) -> Playback:
    """A clip of 6 s that is a fight, and what was said of it: the same score throughout."""
    said = np.tile(np.array([1 - score, score, 0.0], np.float32), (12, 1))
    return Playback(
        name="clip",
        group="g",
        label="fight",  # the whole of it
        truth=("fight",) * 12,
        timestamps=np.arange(12) / FPS,
        probabilities=said,
        actions=(Segment(0.0, 6.0, "fight"),),
    )


def rate_on_fresh_hours(settings: EventSettings, **how: tuple[float, float]) -> float:
    reported = alarm_times([quiet(5.0, seed=99, **how)], LABELS, settings)
    return sum(map(len, reported.values())) / 5.0


@pytest.mark.parametrize("enter", [0.31, 0.6, 0.9, 0.99])
def test_footage_that_stays_below_the_thresholds_is_passed_over_and_no_alarm_is_lost(enter: float) -> None:
    footage = quiet(1.0, seed=8, bursts_an_hour=(60.0, 30.0))
    settings = with_enters(SETTINGS, {"fight": enter, "fall": 0.95})
    times, segments = footage.timestamps.tolist(), footage.segments.tolist()
    started = [
        (event.label, times[frame])
        for frame, event in EventDetector(LABELS, settings).replay(times, footage.probabilities, segments)
        if isinstance(event, ActionStarted)
    ]
    found = alarm_times([footage], LABELS, settings)
    assert sorted((label, when) for label, all_of in found.items() for when in all_of) == sorted(started)
    assert started


def test_a_rate_that_is_asked_for_is_kept_on_fresh_hours() -> None:
    assert rate_on_fresh_hours(SETTINGS) > 20
    contract = calibrate([quiet(6.0, seed=1)], LABELS, SETTINGS, per_hour=2.0)
    assert 0.5 <= rate_on_fresh_hours(contract.settings) <= 4.0
    low, high = contract.interval
    assert low <= 2.0 <= high
    assert contract.hours == pytest.approx(6.0, rel=0.01)
    assert not contract.labels[0].is_extrapolated


def test_where_footage_is_too_short_to_see_the_rate_its_tail_is_drawn_on_and_that_is_said() -> None:
    contract = calibrate([quiet(2.0, seed=2)], LABELS, SETTINGS, per_hour=0.25)
    assert contract.labels[0].is_extrapolated
    assert not contract.is_shown
    assert contract.hours_needed == pytest.approx(12.0, rel=0.01)
    assert rate_on_fresh_hours(contract.settings) <= 1.0


@pytest.mark.parametrize("allowed", [4.0, 1.0, 0.25])
def test_over_many_places_no_more_alarms_come_than_were_allowed(allowed: float) -> None:
    """A threshold that is chosen by the alarms that it silences looks better than it is: that is made good."""
    rng = np.random.default_rng(11)
    to_come = []
    for _ in range(400):
        heights = np.sort(rng.exponential(0.5, rng.poisson(60.0)))
        rungs = np.concatenate([[-2.0], heights - 2.0 + 1e-9])  # logits
        enter = _lowest("fight", list(rungs), np.arange(len(heights), -1, -1), allowed)
        to_come.append(60.0 * np.exp(-(np.log(enter / (1 - enter)) + 2.0) / 0.5))
    assert 0.7 * allowed <= np.mean(to_come) <= 1.25 * allowed
    assert np.mean(np.array(to_come) > 2 * allowed) < 0.2


def test_a_model_whose_scores_end_below_1_is_not_silenced_for_it() -> None:
    footage = quiet(1.0, seed=7, bursts_an_hour=(100.0, 0.0))
    footage.probabilities[:, 1] = 0.93 * footage.probabilities[:, 1]  # as label smoothing has it
    contract = calibrate([footage], LABELS, SETTINGS, per_hour=6.0)
    assert 0.8 < contract.labels[0].enter < 0.93
    assert 1 <= contract.labels[0].alarms <= 5  # of 6 that are allowed: elsewhere a burst more may come


def test_no_threshold_falls_below_the_models_own() -> None:
    contract = calibrate([quiet(1.0, seed=3)], LABELS, SETTINGS, per_hour=1e3)
    assert [one.enter for one in contract.labels] == [0.6, 0.6]
    assert contract.settings == SETTINGS


def test_what_one_label_does_not_need_of_the_rate_goes_to_the_others() -> None:
    loud = {"bursts_an_hour": (60.0, 60.0)}
    alone = calibrate([quiet(2.0, seed=4)], LABELS, SETTINGS, per_hour=4.0).labels[0]
    together = calibrate([quiet(2.0, seed=4, **loud)], LABELS, SETTINGS, per_hour=4.0)
    assert all(one.enter > 0.6 for one in together.labels)
    assert together.labels[0].enter > alone.enter
    assert rate_on_fresh_hours(together.settings, **loud) <= 8.0


def test_what_the_rate_costs_is_told_on_true_actions() -> None:
    clips = [fight(score) for score in (0.5, 0.65, 0.99, 0.999)]
    contract = calibrate([quiet(2.0, seed=5)], LABELS, SETTINGS, per_hour=2.0, actions=clips)
    told = contract.labels[0]
    assert (told.actions, told.missed_before) == (4, 1)
    assert told.missed == 2
    assert told.miss_interval == pytest.approx((0.15, 0.85), abs=0.01)
    assert told.delay == pytest.approx(1.25, abs=1.0)
    assert contract.labels[1].miss_interval is None
    assert json.loads(json.dumps(contract.to_dict()))["labels"][0]["missed"] == 2


def test_a_label_that_falls_silent_is_named() -> None:
    contract = calibrate([quiet(2.0, seed=5)], LABELS, SETTINGS, per_hour=2.0, actions=[fight(0.7)] * 3)
    assert contract.labels[0].missed == 3
    assert "All actions are missed now: fight. " in text_of(contract)
    loud = calibrate([quiet(2.0, seed=5)], LABELS, SETTINGS, per_hour=2.0, actions=[fight(0.999)] * 3)
    assert "missed now" not in text_of(loud)


def test_no_more_is_expected_than_was_asked_for() -> None:
    """Where the halves of the footage belie each other's thresholds, stricter ones are taken."""
    contract = calibrate([quiet(6.0, seed=3)], LABELS, SETTINGS, per_hour=1.0)
    assert contract.asked == 1.0
    assert contract.alarms <= 7  # the first choice gives 8 in 6 hours
    assert rate_on_fresh_hours(contract.settings) <= 1.0


def test_what_cannot_be_kept_is_refused_in_words() -> None:
    sure = quiet(1.0, seed=6)
    sure.probabilities[:] = np.where(np.arange(len(sure.timestamps))[:, None] % 40 < 20, [0, 1, 0], [1, 0, 0])
    with pytest.raises(
        DataError, match=r"fight: no threshold keeps the rate: .*still 1[78]. alarms.*background"
    ):
        calibrate([sure], LABELS, SETTINGS, per_hour=1.0)
    with pytest.raises(DataError, match="there is no footage"):
        calibrate([], LABELS, SETTINGS, per_hour=1.0)
    with pytest.raises(DataError, match="give a rate above 0"):
        calibrate([sure], LABELS, SETTINGS, per_hour=0.0)
    with pytest.raises(DataError, match="all of them are background"):
        calibrate([sure], LABELS, EventSettings(background=LABELS), per_hour=1.0)


def test_a_label_keeps_its_other_numbers() -> None:
    settings = EventSettings(by_label={"fight": {"shortest": 2.0}})
    assert with_enters(settings, {"fight": 0.9}).of("fight").shortest == 2.0

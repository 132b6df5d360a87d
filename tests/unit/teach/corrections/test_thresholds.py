"""Thresholds that follow what was said: bounded, monotone, protecting what is true."""

from __future__ import annotations

import numpy as np
import pytest

from streamrec.events.detector import EventSettings
from streamrec.teach.corrections.thresholds import DOWN, STRICTEST, Heights, height_of, moved

OWN = 0.6
LABELS = ("idle", "wave")
SETTINGS = EventSettings(background=("idle",))


def test_with_nothing_said_it_is_the_models_own():
    assert moved(OWN, Heights()) == OWN
    assert moved(OWN, Heights(right=(0.7, 0.9))) == OWN


def test_few_corrections_move_it_a_little_and_many_above_all_that_was_wrong():
    once, often = (moved(OWN, Heights(wrong=(0.8,) * n)) for n in (1, 10))
    assert OWN < once < 0.8 < often


@pytest.mark.parametrize("seed", range(20))
def test_more_of_a_kind_never_moves_it_the_other_way(seed):
    rng = np.random.default_rng(seed)
    heights = {
        kind: tuple(rng.uniform(0.2, 1.0, rng.integers(0, 6))) for kind in ("wrong", "right", "missed")
    }
    one = float(rng.uniform(0.2, 1.0))
    at = moved(OWN, Heights(**heights))
    assert moved(OWN, Heights(**{**heights, "wrong": (*heights["wrong"], one)})) >= at
    for kind in ("right", "missed"):
        assert moved(OWN, Heights(**{**heights, kind: (*heights[kind], one)})) <= at


@pytest.mark.parametrize("seed", range(20))
def test_it_stays_within_its_bounds(seed):
    rng = np.random.default_rng(seed)
    drawn = (tuple(rng.uniform(0.0, 1.0, rng.integers(0, 9))) for _ in range(3))
    at = moved(OWN, Heights(*drawn))
    lowest = 1 / (1 + np.exp(DOWN) * (1 - OWN) / OWN)
    assert lowest - 1e-3 <= at <= STRICTEST


def test_no_event_that_was_called_right_is_lost():
    for right in (0.61, 0.7, 0.95):
        assert moved(OWN, Heights(wrong=(0.99,) * 30, right=(right, 0.99))) <= right


def test_of_very_many_true_events_a_fortieth_may_be_given_up():
    heights = Heights(wrong=(0.9,) * 30, right=(0.65, *(0.99,) * 39))
    assert 0.9 < moved(OWN, heights) < 0.99


def test_a_missed_event_pulls_it_down_but_not_below_what_was_wrong():
    assert moved(OWN, Heights(missed=(0.5,))) < OWN
    assert moved(OWN, Heights(missed=(0.5,), wrong=(0.8,))) == moved(OWN, Heights(wrong=(0.8,)))
    assert moved(OWN, Heights(missed=(0.01,))) == OWN  # no threshold in reach would have told it


def test_a_height_is_the_highest_threshold_that_still_tells_it():
    times = np.arange(60) / 10
    for peak in (0.3, 0.7, 0.95):
        wave = np.where((times >= 2) & (times < 4), peak, 0.05)
        height = height_of(times, np.stack([1 - wave, wave], axis=1), LABELS, SETTINGS, "wave")
        assert peak - 0.03 < height <= peak


def test_what_is_too_short_has_no_height():
    times = np.arange(60) / 10
    wave = np.where((times >= 2) & (times < 2.15), 0.95, 0.001)
    settings = EventSettings(background=("idle",), shortest=0.5)
    assert height_of(times, np.stack([1 - wave, wave], axis=1), LABELS, settings, "wave") < 0.05

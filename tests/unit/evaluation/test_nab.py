"""The score of the Numenta Anomaly Benchmark, by its published rule."""

from __future__ import annotations

import math

import numpy as np
import pytest

from streamrec.errors import DataError
from streamrec.evaluation.nab import (
    LOW_FN,
    LOW_FP,
    PROFILES,
    STANDARD,
    Series,
    false_rate,
    gains_of,
    nab_score,
    probation_of,
    read_corpus,
    score_of,
)


def series(*windows: tuple[int, int], readings: int = 1000, name: str = "one") -> Series:
    return Series(name, np.arange(float(readings)), np.zeros(readings), windows)


def detections(one: Series, *places: int) -> np.ndarray:
    scores = np.zeros(len(one.values))
    scores[list(places)] = 1.0
    return scores


def sigmoid(position: float) -> float:
    return 2.0 / (1.0 + math.exp(5.0 * position)) - 1.0


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_a_detector_without_detections_has_0_and_a_perfect_one_100(profile):
    one = series((400, 449), (700, 749))
    assert nab_score([one], [np.full(1000, 0.5)], profile).score == 0.0
    perfect = nab_score([one], [detections(one, 400, 700)], profile)
    assert perfect.score == pytest.approx(100.0)
    assert (perfect.found, perfect.windows, perfect.false) == (2, 2, 0)


def test_of_a_window_the_best_detection_counts_and_the_later_the_less():
    one = series((400, 449))
    late = nab_score([one], [detections(one, 440, 445)], STANDARD)
    worth = sigmoid(-(449 - 440 + 1) / 50) / sigmoid(-1.0)
    assert late.score == pytest.approx(100.0 * (worth + 1.0) / 2.0)


def test_false_detections_cost_by_their_distance_from_the_window_before():
    one = series((400, 449))
    near, far = (
        nab_score([one], [detections(one, 400, place)], STANDARD, threshold=1.0) for place in (459, 900)
    )
    assert near.score == pytest.approx(100.0 * (2.0 + 0.11 * sigmoid(10 / 49)) / 2.0)
    assert far.score == pytest.approx(100.0 * (2.0 - 0.11) / 2.0)
    twice = nab_score([one], [detections(one, 400, 900)], LOW_FP, threshold=1.0)
    assert twice.score == pytest.approx(100.0 * (2.0 - 0.22) / 2.0)


def test_a_missed_window_costs_what_the_profile_says():
    one = series((400, 449), (700, 749))
    scores = detections(one, 400)
    assert nab_score([one], [scores], STANDARD).score == pytest.approx(50.0)
    assert nab_score([one], [scores], LOW_FN).score == pytest.approx(100.0 * (1.0 - 2.0 + 4.0) / 6.0)


def test_the_probationary_part_does_not_count():
    assert (probation_of(1000), probation_of(20_000)) == (150, 750)
    one = series((400, 449))
    assert nab_score([one], [detections(one, 10, 149, 400)], STANDARD).score == pytest.approx(100.0)


def test_the_threshold_is_the_best_one_over_all_series():
    both = [series((400, 449), name="a"), series((400, 449), name="b")]
    scores = [detections(one, 400) for one in both]
    scores[0][900:] = 0.6  # a hundred false detections, if the threshold were so low
    scores[1] *= 0.7
    found = nab_score(both, scores, STANDARD)
    assert (found.score, found.threshold) == (pytest.approx(100.0), 0.7)


def test_what_each_series_gains_adds_up_to_the_score():
    both = [series((400, 449), (700, 749), name="a"), series((400, 449), name="b")]
    scores = [detections(both[0], 410, 900), detections(both[1], 300)]
    whole = nab_score(both, scores, STANDARD, threshold=1.0)
    assert score_of(gains_of(both, scores, STANDARD, 1.0)) == pytest.approx(whole.score)


def test_false_detections_are_counted_by_the_day_outside_of_windows():
    one = Series("one", 3600.0 * np.arange(1000.0), np.zeros(1000), ((400, 449),))
    days = 999 / 24 * 0.95
    assert false_rate([one], [detections(one, 10, 420, 900)], 1.0) == pytest.approx(2 / days)


def test_scores_of_another_length_are_refused():
    with pytest.raises(DataError, match="1000 readings and 5 scores"):
        nab_score([series((400, 449))], [np.zeros(5)], STANDARD)


def test_a_folder_without_the_benchmark_is_refused(tmp_path):
    with pytest.raises(DataError, match="does not hold the Numenta Anomaly Benchmark"):
        read_corpus(tmp_path)


def test_a_random_detector_has_the_published_score(shared_data):
    corpus = read_corpus(shared_data / "senses" / "anomaly")
    assert (len(corpus), sum(len(one.windows) for one in corpus)) == (58, 116)
    found = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        found.append(nab_score(corpus, [rng.random(len(one.values)) for one in corpus], STANDARD).score)
    assert abs(np.mean(found) - 11.0) < 2.0  # published: 11.0, a mean over seeds too

from __future__ import annotations

import math

import numpy as np
import pytest

from streamrec.errors import DataError
from streamrec.evaluation.intervals import bootstrap_interval, poisson_interval
from streamrec.evaluation.metrics import (
    Accuracy,
    ConfusionMatrix,
    ExpectedCalibrationError,
    F1AtOverlap,
    FalseAlarmsPerHour,
    FrameMAP,
    Latency,
    OnsetDelay,
    PerClassAccuracy,
    RepetitionError,
    Repetitions,
    average_precision,
    edit_score,
    mean_auc,
    roc_auc,
    segments_of,
)
from streamrec.types import ActionEnded, ActionStarted, Event


def started(label: str, timestamp: float) -> ActionStarted:
    return ActionStarted(label, timestamp, 0.9)


def test_segments_are_runs_of_one_label() -> None:
    # A run ends where the next begins; the last one ends a frame step (0.5 s) after its frame: 1.5 + 0.5.
    assert segments_of(["a", "a", "b", "a"], [0.0, 0.5, 1.0, 1.5]) == [
        (0.0, 1.0, "a"),
        (1.0, 1.5, "b"),
        (1.5, 2.0, "a"),
    ]
    assert segments_of(np.array([0, 0, 1]), background=[0]) == [(2.0, 3.0, 1)]
    assert segments_of([]) == []
    assert segments_of(["a"], [4.0]) == [(4.0, 4.0, "a")]


def test_segments_need_a_time_for_each_frame_in_order() -> None:
    with pytest.raises(DataError, match="2 labels came with 1 timestamps"):
        segments_of(["a", "b"], [0.0])
    with pytest.raises(DataError, match="in order"):
        segments_of(["a", "b"], [1.0, 0.0])
    with pytest.raises(DataError, match="give a list of labels"):
        segments_of(["a", "b"], background="a")


def test_accuracy_is_right_frames_over_all_frames() -> None:
    accuracy = Accuracy()
    assert accuracy.get() is None
    accuracy.update("wave", "wave")
    accuracy.update(np.array([0, 1, 1]), np.array([0, 1, 0]))
    assert accuracy.get() == 3 / 4
    with pytest.raises(DataError, match="different length"):
        accuracy.update(["a", "b"], ["a"])
    with pytest.raises(DataError, match="different length"):
        accuracy.update(["a"], "a")


def test_accuracy_of_a_class_counts_only_its_true_frames() -> None:
    accuracy = PerClassAccuracy()
    assert accuracy.get() == {}
    assert accuracy.mean() is None
    # "idle": 6 of 8 frames right, 0.75; "fall": 1 of 2, 0.5. Mean 0.625 (plain accuracy would be 7/10).
    accuracy.update(["idle"] * 8 + ["fall"] * 2, ["idle"] * 6 + ["fall"] * 2 + ["fall", "idle"])
    assert accuracy.get() == {"fall": 0.5, "idle": 0.75}
    assert accuracy.mean() == 0.625


def test_rows_of_the_confusion_matrix_are_the_truth() -> None:
    matrix = ConfusionMatrix(["a", "b"])
    matrix.update("a", "b")
    matrix.update(["a", "b", "b"], ["a", "b", "b"])
    assert matrix.get().tolist() == [[1, 1], [0, 2]]
    matrix.get()[0, 0] = 99
    assert matrix.get()[0, 0] == 1
    with pytest.raises(DataError, match="'c' is none"):
        matrix.update("a", "c")


def test_average_precision_is_the_mean_precision_at_the_true_frames() -> None:
    # Ranked: true, false, true, false. Precision at the true ones: 1/1 and 2/3, mean 5/6.
    truth, scores = np.array([1, 0, 1, 0], bool), np.array([0.9, 0.8, 0.7, 0.1])
    assert average_precision(truth, scores) == pytest.approx(5 / 6)


def test_calibrated_precision_weighs_true_positives_by_the_ratio_of_negatives() -> None:
    # Ranked: false, true, false, false. AP = 1/2. Three negatives to one positive: w = 3, and at the true one
    # w TP / (w TP + FP) = 3 * 1 / (3 * 1 + 1) = 3/4.
    truth, scores = np.array([0, 1, 0, 0], bool), np.array([0.9, 0.8, 0.7, 0.1])
    assert average_precision(truth, scores) == pytest.approx(1 / 2)
    assert average_precision(truth, scores, calibrated=True) == pytest.approx(3 / 4)


def test_frames_of_equal_score_share_a_rank_in_any_order() -> None:
    # All four at one rank: precision 2/4 for both true frames.
    for truth in ([1, 1, 0, 0], [0, 0, 1, 1]):
        assert average_precision(np.array(truth, bool), np.full(4, 0.5)) == pytest.approx(1 / 2)
    assert average_precision(np.array([True, True]), np.array([0.1, 0.2]), calibrated=True) == 1.0


def test_frame_map_is_the_mean_over_actions_and_background_is_none() -> None:
    mean_ap = FrameMAP(["idle", "wave", "clap", "jump"], background=["idle"])
    assert mean_ap.get() is None
    assert mean_ap.calibrated() is None
    mean_ap.update("wave", [0.1, 0.7, 0.2, 0.0])
    mean_ap.update(
        ["idle", "clap", "idle"], [[0.0, 0.1, 0.9, 0.0], [0.2, 0.0, 0.8, 0.0], [1.0, 0.0, 0.0, 0.0]]
    )
    # "wave": its frame is ranked first, AP 1. "clap": ranked second, below an idle frame, AP 1/2. "jump" is
    # never true: left out. Mean 3/4. Calibrated: w = 3 for both, 1 and 3/(3 + 1) = 3/4, mean 7/8.
    assert mean_ap.per_class() == {"wave": 1.0, "clap": 0.5}
    assert mean_ap.get() == pytest.approx(3 / 4)
    assert mean_ap.calibrated() == pytest.approx(7 / 8)


def test_frame_map_refuses_what_does_not_fit() -> None:
    mean_ap = FrameMAP(["idle", "wave"])
    with pytest.raises(DataError, match="'jump' is none"):
        mean_ap.update("jump", [0.5, 0.5])
    with pytest.raises(DataError, match="finite score"):
        mean_ap.update("wave", [0.5, math.nan])
    with pytest.raises(DataError, match="finite score"):
        mean_ap.update(["wave"], [[0.5, 0.3, 0.2]])


def test_the_edit_score_counts_order_and_not_length() -> None:
    assert edit_score("AAAB", "ABBB") == 1.0
    # A B C against A C: one deletion over three segments.
    assert edit_score("ABC", "AC") == pytest.approx(1 - 1 / 3)
    # A against A B A B A: over-segmentation costs four insertions over five.
    assert edit_score("AAAAA", "ABABA") == pytest.approx(1 - 4 / 5)
    assert edit_score("AB", "CD") == 0.0


def test_the_edit_score_takes_segments_and_leaves_background_out() -> None:
    truth = [(0.0, 1.0, "idle"), (1.0, 2.0, "wave"), (2.0, 3.0, "clap")]
    assert edit_score(truth, [(0.0, 1.0, "wave")], background=["idle"]) == 0.5
    assert edit_score([], []) == 1.0
    assert edit_score(["idle"], ["idle"], background=["idle"]) == 1.0
    assert edit_score(["wave"], ["idle"], background=["idle"]) == 0.0


def test_f1_counts_segments_that_overlap_enough() -> None:
    f1 = F1AtOverlap()
    assert f1.get() == {0.1: None, 0.25: None, 0.5: None}
    # "a": 0-10 against 0-4, overlap 4/10. "b": 10-20 against 4-20, overlap 10/16 = 0.625.
    # At 0.10 and 0.25 both count, F1 = 1; at 0.50 only "b": 2 * 1 / (2 + 2) = 0.5.
    f1.update([(0, 10, "a"), (10, 20, "b")], [(0, 4, "a"), (4, 20, "b")])
    assert f1.get() == {0.1: 1.0, 0.25: 1.0, 0.5: 0.5}


def test_f1_punishes_pieces_and_sums_over_videos() -> None:
    f1 = F1AtOverlap([0.25], background=["idle"])
    # One true segment in three pieces of 0.3, 0.3 and 0.3 overlap: one counts, two are false.
    f1.update([(0, 10, "a")], [(0, 3, "a"), (3, 4, "idle"), (4, 7, "a"), (7, 10, "a")])
    assert f1.get() == {0.25: 2 * 1 / (1 + 3)}
    # A second video, where one of one is found: 2 * 2 / (2 + 4).
    f1.update(["a", "a"], ["a", "a"])
    assert f1.get() == {0.25: pytest.approx(2 / 3)}
    with pytest.raises(DataError, match="overlaps"):
        F1AtOverlap([50])


def test_onset_delay_matches_each_event_and_each_action_once() -> None:
    delay = OnsetDelay(tolerance=0.5)
    truth = [(1.0, 3.0, "wave"), (5.0, 7.0, "wave"), (8.0, 9.0, "clap"), (20.0, 21.0, "clap")]
    events: list[Event] = [
        started("wave", 0.75),  # 0.25 s early, within the tolerance: -0.25
        started("wave", 2.0),  # the same action again: no partner left
        started("wave", 5.75),  # +0.75
        started("clap", 9.25),  # after the end: no partner
        ActionEnded("wave", 7.0, 5.75, 0.9),  # not a start
        started("clap", 20.25),  # +0.25
    ]
    delay.update(truth, events, notified=[1.25, 2.5, 6.25, 9.75, 7.5, 20.75])
    onsets = delay.get()
    assert (onsets.matched, onsets.recall, onsets.precision) == (3, 3 / 4, 3 / 5)
    assert onsets.median == 0.25
    assert onsets.mean == pytest.approx((-0.25 + 0.75 + 0.25) / 3)
    # Told 0.25, 1.25 and 0.75 s after the true starts.
    assert onsets.notified_median == onsets.told_median == 0.75
    assert onsets.notified_mean == pytest.approx(0.75)
    assert onsets.notified_worst == 1.25


def test_onset_delay_gives_a_late_event_to_the_next_action_if_the_first_has_one() -> None:
    delay = OnsetDelay(tolerance=0.5)
    delay.update([(0.0, 10.0, "a"), (10.25, 20.0, "a")], [started("a", 10.0), started("a", 0.5)])
    assert delay.get().matched == 2
    assert delay.get().median == pytest.approx((0.5 - 0.25) / 2)


def test_onset_delay_does_not_give_one_event_to_two_actions() -> None:
    delay = OnsetDelay(tolerance=0.5)
    delay.update([(0.0, 10.0, "a"), (10.25, 20.0, "a")], [started("a", 10.0)])
    assert (delay.get().matched, delay.get().recall, delay.get().precision) == (1, 0.5, 1.0)


def test_onset_delay_says_nothing_before_it_saw_something() -> None:
    delay = OnsetDelay()
    onsets = delay.get()
    assert (onsets.matched, onsets.recall, onsets.precision, onsets.median, onsets.told_mean) == (
        0,
        None,
        None,
        None,
        None,
    )
    delay.update([(0.0, 1.0, "a")], [])
    assert delay.get().recall == 0.0
    with pytest.raises(DataError, match="times of notification"):
        delay.update([], [started("a", 1.0)], notified=[])
    with pytest.raises(DataError, match="tolerance"):
        OnsetDelay(tolerance=-1)


def test_false_alarms_are_starts_without_an_action_of_that_label() -> None:
    alarms = FalseAlarmsPerHour(tolerance=0.5)
    assert alarms.get() is None
    events: list[Event] = [
        started("wave", 0.5),  # 0.5 s early: within the tolerance
        started("wave", 2.0),  # the same action again: not false
        started("clap", 2.0),  # false: it was a wave
        started("wave", 3.5),  # false: over
        ActionEnded("wave", 9.0, 3.5, 0.9),
    ]
    alarms.update([(1.0, 3.0, "wave")], events, seconds=600)
    alarms.update([], [], seconds=1200)
    # 2 in half an hour.
    assert alarms.get() == pytest.approx(4.0)
    with pytest.raises(DataError, match="lasted"):
        alarms.update([], [], seconds=-1)


def test_calibration_error_weighs_each_bin_by_its_frames() -> None:
    error = ExpectedCalibrationError(bins=2)
    assert error.get() is None
    # Bin (0, 0.5]: 0.5 and 0.3, one of two right: |1/2 - 0.4| = 0.1. Bin (0.5, 1]: 0.9, 0.9 all right: 0.1.
    # A frame with 1.0 that is wrong: bin mean confidence 2.8/3, accuracy 2/3: 0.8/3.
    error.update([0.5, 0.3, 0.9, 0.9], [True, False, True, True])
    assert error.get() == pytest.approx((2 * 0.1 + 2 * 0.1) / 4)
    error.update(1.0, False)
    assert error.get() == pytest.approx((2 * 0.1 + 3 * 0.8 / 3) / 5)


def test_an_edge_belongs_to_the_lower_bin_and_zero_to_the_first() -> None:
    # With ten bins 0.1 and 0.0 share (0, 0.1]: mean confidence 0.05, one of two right: 0.45.
    error = ExpectedCalibrationError(bins=10)
    error.update([0.1, 0.0], [True, False])
    assert error.get() == pytest.approx(0.45)
    for wrong in (1.5, math.nan, -0.1):
        with pytest.raises(DataError, match="from 0 to 1"):
            error.update(wrong, True)


def test_latency_is_within_one_percent_of_the_exact_quantiles() -> None:
    seconds = np.random.default_rng(0).lognormal(-4, 1, size=5000)
    latency = Latency()
    for value in seconds:
        latency.update(value)
    for q in (0.0, 0.5, 0.9, 0.99, 1.0):
        exact = np.quantile(seconds, q, method="inverted_cdf")
        assert latency.quantile(q) == pytest.approx(exact, rel=0.0101)
    assert latency.get()["max"] == seconds.max()
    assert latency.count == 5000


def test_latency_bears_extremes_in_bounded_memory() -> None:
    latency = Latency()
    assert latency.get() == {"p50": None, "p99": None, "max": None}
    latency.update(-0.001)
    latency.update(0.0)
    assert latency.get() == {"p50": 0.0, "p99": 0.0, "max": 0.0}
    latency.update(1e9)
    assert latency.get()["max"] == 1e9
    assert latency._counts.nbytes < 10_000
    with pytest.raises(DataError, match="latency is nan"):
        latency.update(math.nan)
    with pytest.raises(DataError, match="fraction"):
        latency.quantile(99)


def test_the_bootstrap_draws_whole_groups() -> None:
    # Two groups, all 0 and all 1: a draw of two has mean 0, 1/2 or 1, with chances 1/4, 1/2 and 1/4, so the
    # 95 % interval is 0 to 1 however many frames there are. Drawing frames would give about 0.47 to 0.53.
    values, groups = np.repeat([0.0, 1.0], 500), np.repeat(["a", "b"], 500)
    assert bootstrap_interval(values, groups, rounds=200) == (0.0, 1.0)


def test_the_bootstrap_is_repeatable_and_takes_any_statistic() -> None:
    random = np.random.default_rng(1)
    values, groups = random.normal(size=300), np.arange(300) // 3
    low, high = bootstrap_interval(values, groups, rounds=500)
    assert bootstrap_interval(values, groups, rounds=500) == (low, high)
    assert bootstrap_interval(values, groups, rounds=500, seed=1) != (low, high)
    # The mean of 100 groups has standard error std(group means) / sqrt(100); the interval is 2 * 1.96 of it.
    assert low < values.mean() < high
    expected = 2 * 1.96 * values.reshape(100, 3).mean(axis=1).std() / 10
    assert high - low == pytest.approx(expected, rel=0.1)
    pairs = np.stack([values, values], axis=1)
    assert bootstrap_interval(pairs, groups, lambda v: (v[:, 0] == v[:, 1]).mean(), rounds=20) == (1.0, 1.0)


def test_the_bootstrap_needs_groups_to_compare() -> None:
    with pytest.raises(DataError, match="at least two"):
        bootstrap_interval([1.0, 2.0], ["a", "a"])
    with pytest.raises(DataError, match="one for each value"):
        bootstrap_interval([1.0, 2.0], ["a"])
    with pytest.raises(DataError, match="level"):
        bootstrap_interval([1.0, 2.0], ["a", "b"], level=95)


def test_repetitions_are_counted_wrongly_by_so_many() -> None:
    error = RepetitionError()
    assert error.get() == Repetitions(0, None, None, None, None)
    # 10 said of 8, 3 of 3, 4 of 5, 1 of 0: off by 2, 0, 1, 1. Relative: 2/8, 0, 1/5; of none there is no part.
    error.update(8, 10)
    error.update([3, 5, 0], [3, 4, 1])
    assert error.get() == Repetitions(4, 4 / 4, pytest.approx((0.25 + 0.0 + 0.2) / 3), 3 / 4, 1 / 4)


def test_a_count_is_a_whole_number() -> None:
    error = RepetitionError()
    for truth, said in ((-1, 0), (1, -1), (1.5, 1), (True, 1)):
        with pytest.raises(DataError, match="whole numbers"):
            error.update(truth, said)
    with pytest.raises(DataError, match="different length"):
        error.update([1, 2], [1])
    assert error.get().clips == 0


def test_none_seen_in_an_hour_may_still_be_three() -> None:
    # With 95 % on both sides: exp(-m) = 0.025 where none was seen.
    low, high = poisson_interval(0)
    assert (low, high) == (0.0, pytest.approx(-math.log(0.025)))
    # One seen: P(1 or more) = 1 - exp(-m) = 0.025, and P(0 or 1) = exp(-m) (1 + m) = 0.025.
    low, high = poisson_interval(1)
    assert low == pytest.approx(-math.log(0.975))
    assert math.exp(-high) * (1 + high) == pytest.approx(0.025)
    low, high = poisson_interval(1000)
    assert (low, high) == (
        pytest.approx(1000 - 1.96 * 31.6, rel=0.01),
        pytest.approx(1000 + 1.96 * 31.6, rel=0.01),
    )
    for count, level in ((-1, 0.95), (1, 95)):
        with pytest.raises(DataError, match="whole number"):
            poisson_interval(count, level=level)


def test_false_alarms_say_how_many_and_on_how_many_hours() -> None:
    alarms = FalseAlarmsPerHour()
    alarms.update([], [started("wave", 1.0)], seconds=900)
    assert (alarms.count, alarms.hours, alarms.get()) == (1, 0.25, 4.0)


def test_auc_is_the_chance_that_a_positive_ranks_higher():
    truth = np.array([True, True, False, False])
    assert roc_auc(truth, np.array([0.9, 0.8, 0.2, 0.1])) == 1.0
    assert roc_auc(truth, np.array([0.1, 0.2, 0.8, 0.9])) == 0.0
    assert roc_auc(truth, np.full(4, 0.5)) == 0.5
    assert roc_auc(truth, np.array([0.9, 0.3, 0.5, 0.1])) == 0.75
    assert roc_auc(np.array([True, True]), np.array([0.1, 0.2])) is None


def test_the_mean_auc_leaves_out_labels_that_all_or_none_have():
    truth = np.array([[1, 0], [0, 0], [0, 0]], float)
    scores = np.array([[0.9, 0.1], [0.2, 0.2], [0.1, 0.7]])
    assert mean_auc(np.stack([truth, scores], 1)) == 1.0
    assert math.isnan(mean_auc(np.stack([truth[1:], scores[1:]], 1)))

"""The loss of labels without times, and what its peaks become."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from streamrec.errors import ModelError
from streamrec.events.detector import EventDetector
from streamrec.train.ctc import accuracy_of, blank_of, ctc_loss, decoded, errors, spelled
from streamrec.train.recipes import SPEECH
from streamrec.types import ActionStarted

A, B, BLANK = 1, 2, 0


def test_runs_of_a_label_are_one_and_the_blank_divides_them():
    assert spelled(np.array([A, A, BLANK, A, B, B, -100, B]), BLANK) == [A, A, B, B]


def test_a_run_that_is_cut_by_the_end_of_a_window_counts_in_the_next_one():
    whole = np.array([A, A, BLANK, B, B, B, BLANK, A])
    first, second = spelled(whole[:5], BLANK, ended=True), spelled(whole[5:7], BLANK, ended=True)
    assert first + second == [A, B]


def test_the_loss_is_small_where_the_order_is_right_wherever_the_peaks_are():
    def logits(peaks: dict[int, int]) -> torch.Tensor:
        found = torch.zeros(1, 9, 3)
        found[..., BLANK] = 12.0
        for frame, label in peaks.items():
            found[0, frame, label], found[0, frame, BLANK] = 12.0, 0.0
        return found

    targets = torch.tensor([[BLANK, A, A, A, BLANK, B, B, BLANK, BLANK]])
    early, late = logits({1: A, 5: B}), logits({3: A, 7: B})
    swapped, twice = logits({1: B, 5: A}), logits({1: A, 3: A, 5: B})
    assert ctc_loss(early, targets, BLANK) < 0.01
    assert ctc_loss(late, targets, BLANK) < 0.01
    assert ctc_loss(swapped, targets, BLANK) > 1.0
    assert ctc_loss(twice, targets, BLANK) > 1.0
    assert accuracy_of(early, targets, BLANK) == 1.0
    assert accuracy_of(twice, targets, BLANK) == 0.5


def test_a_window_without_a_word_teaches_the_blank():
    targets = torch.zeros(1, 5, dtype=torch.long)
    logits = torch.zeros(1, 5, 3, requires_grad=True)
    loss = ctc_loss(logits, targets, BLANK)
    loss.backward()
    assert math.isclose(loss.item(), 5 * math.log(3), rel_tol=1e-5)
    assert (logits.grad[..., BLANK] < 0).all()


def test_errors_are_words_that_are_wrong_missing_or_too_many():
    assert errors([A, B, B], [A, B]) == 1
    assert errors([B], [A, B]) == 1
    assert errors([A, A], [A, B]) == 1


def test_the_loss_needs_a_label_of_nothing():
    assert blank_of(("one", "background", "two")) == 1
    with pytest.raises(ModelError, match="the loss ctc needs a label for what is between the others"):
        blank_of(("one", "two"))


def started(settings, best):
    """Step, label and time of each event of a stream in which these are the best labels."""
    detector = EventDetector(("background", "one", "two"), settings)
    scores = np.full((len(best), 3), 0.05, np.float32)
    scores[np.arange(len(best)), best] = 0.9
    times = (np.arange(len(best)) / 25).tolist()
    found = [(n, e) for n, e in detector.replay(times, scores) if isinstance(e, ActionStarted)]
    return [(n, e.label, round(e.timestamp * 25)) for n, e in found], scores


def test_without_smoothing_each_peak_is_an_event_and_the_same_word_again_needs_the_blank():
    greedy = replace(SPEECH["events"], background=("background",), enter=0.5, leave=0.4, smoothing=0.0)
    found, scores = started(greedy, [0, 1, 1, 0, 1, 2, 2, 0, 0, 2, 0])
    assert found == [(n, label, n) for n, label in ((1, "one"), (4, "one"), (5, "two"), (9, "two"))]
    assert decoded(scores, BLANK) == [1, 1, 2, 2]


def test_a_word_of_the_recipe_is_an_event_in_its_first_steps_and_one_step_alone_is_none():
    words = [0] * 8 + [1] * 8 + [0] * 8 + [1] * 8 + [2] * 8 + [0] * 8 + [2] + [0] * 8
    found, _ = started(replace(SPEECH["events"], background=("background",)), words)
    assert [label for _, label, _ in found] == ["one", "one", "two"]
    for (step, _, _), begin in zip(found, (8, 24, 32), strict=True):
        assert begin < step < begin + 4

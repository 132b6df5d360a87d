"""Sources of other conditions are played by the loop, with a model."""

from __future__ import annotations

import numpy as np

from streamrec.evaluation.perturbations import Concatenated, Dropping, Thinned
from streamrec.pipeline.loop import results
from tests.unit.evaluation.test_perturbations import numbers


def test_the_state_is_carried_over_the_cut(tiny):
    parts = [numbers(5, fps=10.0), numbers(5, fps=10.0, first=100)]
    carried = [result.prediction.probabilities for result in results(Concatenated(parts), tiny)]
    alone = [result.prediction.probabilities for part in parts for result in results(part, tiny)]
    assert np.allclose(carried[:5], alone[:5], atol=1e-6)
    assert not np.allclose(carried[5:], alone[5:], atol=1e-6)


def test_all_of_them_are_files_and_can_be_played_by_the_loop(tiny):
    for source in (
        Thinned(numbers(30), 15.0), Dropping(numbers(30), 0.5), Concatenated([numbers(15), numbers(15)])
    ):  # fmt: skip
        assert not source.live
        assert sum(1 for _ in results(source, tiny)) >= 5

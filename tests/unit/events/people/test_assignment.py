"""The pairs of least total cost."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from streamrec.events.people.assignment import assign


def cheapest(cost: np.ndarray, most: float) -> float:
    """The least cost of all assignments, by trying them; a row without a column costs ``most``."""
    rows, columns = cost.shape
    padded = np.concatenate([np.minimum(cost, most), np.full((rows, rows), most)], axis=1)
    orders = itertools.permutations(range(columns + rows), rows)
    return min(sum(padded[row, column] for row, column in enumerate(order)) for order in orders)


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (2, 3), (3, 2), (4, 3), (3, 4)])
def test_no_other_assignment_is_cheaper(rows, columns):
    rng = np.random.default_rng(rows * 10 + columns)
    for _ in range(20):
        cost = rng.random((rows, columns)).round(1)
        pairs = assign(cost, 0.7)
        total = sum(cost[pair] for pair in pairs) + 0.7 * (rows - len(pairs))
        assert total == pytest.approx(cheapest(cost, 0.7))
        assert len({row for row, _ in pairs}) == len({column for _, column in pairs}) == len(pairs)


def test_a_pair_that_is_too_dear_is_none():
    assert assign(np.array([[0.9, 9.0], [9.0, 0.1]]), 0.8) == [(1, 1)]


def test_nothing_is_paired_with_nothing():
    assert assign(np.zeros((0, 3)), 1.0) == assign(np.zeros((3, 0)), 1.0) == []

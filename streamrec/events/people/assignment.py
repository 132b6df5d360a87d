"""Pairs of rows and columns of the least total cost."""

from __future__ import annotations

import math

import numpy as np


def assign(cost: np.ndarray, most: float) -> list[tuple[int, int]]:
    """The pairs of a cost matrix (R, C) whose sum is least, each row and column in one pair at most, by row.

    A pair that costs more than ``most`` is none: leaving a row without a column costs as much. The Hungarian method
    with potentials (Kuhn, 1955; Jonker and Volgenant, 1987), O(R^2 C); the common case, in which every row's cheapest
    column is another one, is seen at once.

    >>> assign(np.array([[0.1, 0.4], [0.2, 0.9]]), 0.8)
    [(0, 1), (1, 0)]
    >>> assign(np.array([[0.1, 0.9]]), 0.05)
    []
    """
    rows, columns = cost.shape
    if not rows or not columns:
        return []
    capped = np.minimum(cost, most)
    best = capped.argmin(1)
    wanted = [(row, int(best[row])) for row in range(rows) if cost[row, best[row]] < most]
    if len({column for _, column in wanted}) == len(wanted):
        return wanted
    # A column of its own for each row, at the cost of staying alone, so that there are never too few.
    alone = np.full((rows, rows), most)
    pairs = _cheapest(np.concatenate([capped, alone], axis=1).tolist())
    return [(row, column) for row, column in pairs if column < columns and cost[row, column] < most]


def _cheapest(cost: list[list[float]]) -> list[tuple[int, int]]:
    """The assignment of every row to a column of its own; there are at least as many columns."""
    columns = len(cost[0])
    of_row, of_column = [0.0] * (len(cost) + 1), [0.0] * (columns + 1)  # potentials
    row_of = [0] * (columns + 1)  # counted from 1; 0: free
    for row in range(1, len(cost) + 1):
        row_of[0], column = row, 0
        least, before = [math.inf] * (columns + 1), [0] * (columns + 1)
        done = [False] * (columns + 1)
        while row_of[column]:
            done[column] = True
            here, step, following = row_of[column], math.inf, 0
            for other in range(1, columns + 1):
                if done[other]:
                    continue
                reduced = cost[here - 1][other - 1] - of_row[here] - of_column[other]
                if reduced < least[other]:
                    least[other], before[other] = reduced, column
                if least[other] < step:
                    step, following = least[other], other
            for other in range(columns + 1):
                if done[other]:
                    of_row[row_of[other]] += step
                    of_column[other] -= step
                else:
                    least[other] -= step
            column = following
        while column:
            row_of[column], column = row_of[before[column]], before[column]
    return sorted((row_of[column] - 1, column - 1) for column in range(1, columns + 1) if row_of[column])

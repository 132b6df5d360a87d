"""The rows of a data set's index.csv, as benchmarks read them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

Row = dict[str, str]


def rows_of(folder: Path) -> list[Row]:
    """The index of the set in this folder."""
    with (folder / "index.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def halves(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """The rows of each second group, from the first on, and those of the others: one half is learned, one judges."""
    groups = sorted(set(map(group_of, rows)))
    first, second = ([row for row in rows if group_of(row) in groups[n::2]] for n in (0, 1))
    return first, second


def group_of(row: Row) -> str:
    """Who or what is seen in a clip; without a group each clip is its own."""
    return row.get("group") or row["clip"]

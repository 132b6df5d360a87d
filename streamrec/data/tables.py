"""Tables of readings as labelled streams: the truth of each row is its label."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from streamrec.errors import DataError, SourceError
from streamrec.sources.resampling import Chosen, ticks
from streamrec.sources.rows import LONGEST_LINE, TIMES
from streamrec.sources.tables import CUT_OFF, TableSource, is_table
from streamrec.types import Frame

BACKGROUND = "background"  # the truth of rows without a label, as of time outside of segments


def group_of(path: Path) -> str:
    """Who, or what, a table is of: its name up to the first underscore.

    >>> group_of(Path("s01_04.csv.gz")), group_of(Path("kitchen.csv"))
    ('s01', 'kitchen')
    """
    return path.name.partition(".")[0].partition("_")[0]


@dataclass(frozen=True, slots=True)
class Labels:
    """The truth of a table of readings."""

    segments: tuple[tuple[float, float, str], ...]  # start and end in seconds, label; in order
    background: str  # of the time that no segment covers


def labels_in(path: Path) -> Labels:
    """The labels of a table's rows, runs of one label as segments; raises ``DataError`` for a table without labels."""
    try:
        rows = [(frame.timestamp, frame.truth or "") for frame in TableSource(path)]
    except SourceError as error:
        raise DataError(str(error)) from error
    if not any(truth for _, truth in rows):
        raise DataError(
            f"{path.name} has no column label, so that nothing can be learned from it: label each row"
        )
    runs = [(truth, next(times)[0]) for truth, times in groupby(rows, key=lambda row: row[1])]
    ends = [*(begun for _, begun in runs[1:]), rows[-1][0] + _step(rows)]
    segments = tuple((begun, end, truth) for (truth, begun), end in zip(runs, ends, strict=True) if truth)
    # Where each row has a label, nothing is background: what follows the last row is as that row.
    return Labels(segments, segments[-1][2] if len(segments) == len(runs) else BACKGROUND)


def _step(rows: list[tuple[float, str]]) -> float:
    """Median seconds between two rows."""
    return float(np.median(np.diff([seconds for seconds, _ in rows]))) if len(rows) > 1 else 1.0


def channels_of(path: Path) -> tuple[str, ...]:
    """The channels of a table: its columns of numbers."""
    source = TableSource(path)
    for _ in source:
        break
    return source.channels


def rows_of(path: Path, channels: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray, str | None]:
    """(R, C) float32 readings of these channels, (R,) float64 seconds, and why the rest is lost (None: nothing is)."""
    source = Chosen(TableSource(path), channels)
    frames: list[Frame] = list(source)
    lost = source.health.reason
    data = np.stack([frame.data for frame in frames])
    return data, np.array([frame.timestamp for frame in frames]), lost if lost == CUT_OFF else None


def on_ticks(
    data: np.ndarray, times: np.ndarray, fps: float, max_gap: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Readings (R, C) at (R,) seconds as a model's clock ticks: (T, C), (T,) seconds, (T,) index of the nearest row."""
    before, seconds, share = ticks(times, fps, max_gap)
    after = np.minimum(before + 1, len(times) - 1)
    rows = data[before] + share[:, None] * (data[after] - data[before])
    return rows, seconds, np.where(share < 0.5, before, after)


def is_readings(path: Path) -> bool:
    """Whether a file is a table of readings, and not one of clips: it names a column of times, and none of clips."""
    if not is_table(path):
        return False
    if path.suffix == ".gz":
        return True
    try:
        with path.open(encoding="utf-8-sig") as file:
            head = file.readline(LONGEST_LINE).lower()
    except (OSError, UnicodeDecodeError):  # it is reported where it is read as a table of clips
        return False
    names = {name.strip().strip("\"'") for separator in ",;\t|" for name in head.split(separator)}
    return "clip" not in names and bool(names & set(TIMES))

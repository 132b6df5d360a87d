"""The score of the Numenta Anomaly Benchmark (Lavin and Ahmad, ICMLA 2015): scores of series in, one number out.

A detector gives each reading of a series a score, and what reaches a threshold is a detection. The first part of a
series (15 %, 750 readings at most) is probationary and does not count. Of each labelled window the best detection
counts: nearly 1 at its left edge, less toward the right edge, by a sigmoid. A window without a detection costs, and so
does each detection outside of windows: little just behind one, the whole weight elsewhere. The weights are those of a
profile. The threshold is the best one over all series. 0 is a detector without detections, 100 a perfect one.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from streamrec.errors import DataError

PROBATION, LONGEST_PROBATION = 0.15, 750  # share of a series, and readings
_STEEP = 5.0  # of the sigmoid
_FAR = 3.0  # widths behind a window, from which on a detection costs the whole weight


@dataclass(frozen=True, slots=True)
class Profile:
    """What a detection, a false one and a missed window weigh."""

    name: str
    false_positive: float
    false_negative: float
    true_positive: float = 1.0


STANDARD = Profile("standard", 0.11, 1.0)
LOW_FP = Profile("reward low FP", 0.22, 1.0)
LOW_FN = Profile("reward low FN", 0.11, 2.0)
PROFILES = (STANDARD, LOW_FP, LOW_FN)


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """One series of the benchmark."""

    name: str
    seconds: np.ndarray  # (R,) since its first reading
    values: np.ndarray  # (R,)
    windows: tuple[tuple[int, int], ...]  # first and last reading of each labelled window


@dataclass(frozen=True, slots=True)
class NabScore:
    """The normalized score of one profile, and the threshold that gives it."""

    score: float
    threshold: float  # a detection is a score of at least so much
    found: int  # windows with a detection
    windows: int
    false: int  # detections outside of windows


def read_corpus(folder: str | Path) -> list[Series]:
    """The series of the benchmark's folder (``data/``, ``labels/combined_windows.json``); raises ``DataError``."""
    folder = Path(folder)
    labels = folder / "labels" / "combined_windows.json"
    try:
        windows = json.loads(labels.read_text("utf-8"))
        return [_read(folder / "data" / name, name, windows[name]) for name in sorted(windows)]
    except (OSError, ValueError, IndexError, AttributeError, TypeError) as error:
        raise DataError(f"{folder} does not hold the Numenta Anomaly Benchmark: {error}") from error


def nab_score(
    series: Sequence[Series],
    scores: Sequence[np.ndarray],
    profile: Profile,
    *,
    threshold: float | None = None,
) -> NabScore:
    """The score of a detector that gives (R,) scores to each of the series.

    ``threshold``: None takes the best one, as the benchmark's rule is.
    """
    total = sum(len(one.windows) for one in series)
    if not total or len(series) != len(scores):
        raise DataError("a score needs scores of each series, and a labelled window")
    heights: list[np.ndarray] = []
    gains: list[np.ndarray] = []
    hits: list[np.ndarray] = []  # 1: a window's first detection, -1: a false one
    for one, given in zip(series, scores, strict=True):
        if given.shape != one.values.shape:
            raise DataError(f"{one.name} has {len(one.values)} readings and {given.size} scores")
        for height, gain, hit in _steps(one, given, profile):
            heights.append(height)
            gains.append(gain)
            hits.append(hit)
    height, gain, hit = (np.concatenate(parts) for parts in (heights, gains, hits))
    order = np.argsort(-height, kind="stable")
    height, hit = height[order], hit[order]
    raw = np.r_[0.0, np.cumsum(gain[order])] - profile.false_negative * total
    # A threshold takes all of a height.
    ends = np.r_[0, np.flatnonzero(np.r_[height[1:] != height[:-1], True]) + 1]
    best = int(ends[raw[ends].argmax()]) if threshold is None else int((height >= threshold).sum())
    worst = -profile.false_negative * total
    score = 100.0 * (raw[best] - worst) / (profile.true_positive * total - worst)
    if threshold is None:
        threshold = float(height[best - 1]) if best else np.inf
    taken = hit[:best]
    return NabScore(float(score), threshold, int((taken > 0).sum()), total, int((taken < 0).sum()))


def gains_of(
    series: Sequence[Series], scores: Sequence[np.ndarray], profile: Profile, threshold: float
) -> np.ndarray:
    """(S, 2): what each series gains over no detection, and what it could; the score is their ratio, times 100."""
    found = [
        (
            sum(float(gain[height >= threshold].sum()) for height, gain, _ in _steps(one, given, profile)),
            len(one.windows) * (profile.true_positive + profile.false_negative),
        )
        for one, given in zip(series, scores, strict=True)
    ]
    return np.array(found).reshape(-1, 2)


def score_of(gains: np.ndarray) -> float:
    """(S, 2) from ``gains_of`` -> the score of these series together."""
    return float(100.0 * gains[:, 0].sum() / gains[:, 1].sum())


def false_rate(series: Sequence[Series], scores: Sequence[np.ndarray], threshold: float) -> float:
    """Detections outside of labelled windows a day of them, from the first reading on."""
    count, days = 0, 0.0
    for one, given in zip(series, scores, strict=True):
        outside = np.ones(len(given), bool)
        for first, last in one.windows:
            outside[first : last + 1] = False
        count += int((given[outside] >= threshold).sum())
        days += float(one.seconds[-1]) / 86_400.0 * float(outside.mean())
    return count / days if days else 0.0


def probation_of(readings: int) -> int:
    """How many readings at the begin of a series do not count."""
    return min(int(PROBATION * readings), LONGEST_PROBATION)


def _steps(one: Series, scores: np.ndarray, profile: Profile) -> Iterable[tuple[np.ndarray, ...]]:
    """What a falling threshold gains: heights (K,), gains (K,) and what they are (K,), of windows and of the rest."""
    begin = probation_of(len(one.values))
    place = np.arange(len(one.values))
    outside = place >= begin
    behind = np.full(len(place), _FAR)
    for first, last in one.windows:
        width = last - first + 1
        behind[last + 1 :] = (place[last + 1 :] - last) / max(width - 1, 1)
        outside[first : last + 1] = False
        inside = place[max(first, begin) : last + 1]
        if not len(inside):
            continue
        worth = _sigmoid((inside - last - 1) / width) / _sigmoid(-1.0) * profile.true_positive
        order = np.argsort(-scores[inside], kind="stable")
        height = scores[inside][order]
        reached = np.maximum.accumulate(np.maximum(worth[order], -profile.false_negative))
        gain = np.diff(np.r_[-profile.false_negative, reached])
        hit = np.zeros(len(inside), np.int64)
        hit[0] = 1
        yield height, gain, hit
    cost = np.where(behind >= _FAR, -1.0, _sigmoid(behind)) * profile.false_positive
    yield scores[outside], cost[outside], np.full(int(outside.sum()), -1)


def _sigmoid(position: np.ndarray | float) -> np.ndarray:
    """From nearly 1 at -1, the left edge of a window, over 0 at its right edge to -1 far behind it."""
    return np.asarray(2.0 / (1.0 + np.exp(_STEEP * np.asarray(position))) - 1.0)


def _read(path: Path, name: str, windows: Sequence[Sequence[str]]) -> Series:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))[1:]
    moments = [_moment(row[0]) for row in rows]
    values = np.array([float(row[1]) for row in rows])
    # The first of a time that comes twice.
    place = {moment: n for n, moment in reversed(list(enumerate(moments)))}
    found = [[place.get(_moment(edge)) for edge in window] for window in windows]
    if any(edge is None for window in found for edge in window):
        raise DataError(f"{name}: a window begins or ends at no reading")
    edges = tuple((int(first or 0), int(last or 0)) for first, last in found)
    return Series(name, np.array(moments) - moments[0], values, edges)


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()

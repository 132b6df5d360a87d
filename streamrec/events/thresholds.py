"""Other thresholds in event settings, and what they would report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from streamrec.events.detector import INSTANT, EventSettings


def with_enters(settings: EventSettings, enters: Mapping[str, float]) -> EventSettings:
    """The settings with these thresholds, by label; ``leave`` keeps its part of ``enter``.

    >>> with_enters(EventSettings(enter=0.6, leave=0.3), {"fight": 0.9}).of("fight").leave
    0.45
    """
    own = settings.numbers_by_label
    for label, enter in enters.items():
        of = settings.of(label)
        if enter != of.enter:
            numbers = {"enter": enter, "leave": round(enter * of.leave / of.enter, 4)}
            own[label] = {**own.get(label, {}), **numbers}
    return replace(settings, by_label=own)


class Starts:
    """Whether a label would be reported in some seconds, at any threshold: the rule of ``EventDetector.step``.

    The smoothed scores do not depend on the threshold, so that each further one costs microseconds.

    >>> times = np.arange(40) / 10
    >>> wave = np.where((times >= 1) & (times < 3), 0.9, 0.1)
    >>> starts = Starts(times, wave, EventSettings())
    >>> starts.at(0.6), starts.at(0.95)
    (True, False)
    """

    def __init__(
        self, times: Sequence[float] | np.ndarray, scores: np.ndarray, settings: EventSettings
    ) -> None:
        """Seconds (T,) and scores (T,) of one label, ``settings.of`` it. Times do not go back."""
        self._shortest, self._smoothing = settings.shortest, settings.smoothing
        self._rows: list[tuple[float, float, float, float]] = []  # time, elapsed, score, smoothed score
        smooth, last = 0.0, None
        for time, score in zip(
            np.asarray(times).tolist(), np.asarray(scores, np.float64).tolist(), strict=True
        ):
            elapsed = 0.0 if last is None else time - last
            weight = 1.0 - math.exp(-elapsed / self._smoothing) if self._smoothing else 1.0
            smooth += weight * (score - smooth)
            self._rows.append((time, elapsed, score, smooth))
            last = time

    def at(self, enter: float) -> bool:
        """Whether it is reported with this threshold."""
        onset: float | None = None
        evidence, most = 0.0, enter * self._smoothing
        for time, elapsed, score, smooth in self._rows:
            if onset is None:
                if score < enter:
                    continue
                onset, evidence = time, 0.0
            evidence = min(evidence + (score - enter) * elapsed, most)
            if evidence < 0:
                onset = None
            elif time - onset >= self._shortest - INSTANT and score >= enter and smooth >= enter:
                return True
        return False

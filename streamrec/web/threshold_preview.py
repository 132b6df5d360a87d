"""The events that other thresholds would have produced: the detector itself, on the scores of the last hour."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from streamrec.events.detector import EventDetector, EventSettings
from streamrec.types import ActionEnded

_POINTS = 720  # of the curve: one per five seconds
_YIELD = 200  # steps, after which other threads may run


def preview(
    labels: tuple[str, ...],
    times: np.ndarray,
    segments: np.ndarray,
    scores: np.ndarray,
    settings: EventSettings,
) -> dict[str, Any]:
    """Events and a curve, both in seconds before the newest score.

    ``times`` (N,), ``segments`` (N,), ``scores`` (N, labels). Running events end where a new segment
    begins; the time between segments is unknown, so the curve continues without a gap.

    >>> times = np.arange(30) / 10
    >>> wave = np.where((times >= 1) & (times < 2), 0.9, 0.1)
    >>> result = preview(("idle", "wave"), times, np.zeros(30, int), np.stack([1 - wave, wave], 1), EventSettings())
    >>> [(event["label"], event["from"], event["to"]) for event in result["events"]]
    [('idle', -2.9, -1.9), ('wave', -1.9, -0.9), ('idle', -0.9, 0.0)]
    """
    offsets = _continuous(times, segments)
    events = EventDetector(labels, settings).replay(times.tolist(), _yielding(scores), segments.tolist())
    last = float(offsets[-1]) if len(offsets) else 0.0
    ended = [(event, offsets[n] - times[n]) for n, event in events if isinstance(event, ActionEnded)]
    return {
        "seconds": round(last - float(offsets[0]), 1) if len(offsets) else 0.0,
        "events": [
            {
                "label": event.label,
                "from": round(float(event.started + by) - last, 2),
                "to": round(float(event.timestamp + by) - last, 2),
                "confidence": round(event.confidence, 4),
            }
            for event, by in ended
        ],
        "curves": _curves(labels, offsets, scores, settings, last),
    }


def _yielding(scores: np.ndarray) -> Iterator[np.ndarray]:
    """(N, labels) -> each (labels,), with pauses for other threads."""
    for n, row in enumerate(scores.astype(np.float32), start=1):
        yield row
        if n % _YIELD == 0:
            time.sleep(0.001)


def _continuous(times: np.ndarray, segments: np.ndarray) -> np.ndarray:
    """(N,) non-decreasing seconds, over all segments."""
    steps = np.diff(times, prepend=times[:1])
    fresh = np.diff(segments, prepend=segments[:1]) != 0
    steps[fresh | (steps < 0)] = 0.0
    return np.cumsum(steps)


def _curves(
    labels: tuple[str, ...], offsets: np.ndarray, scores: np.ndarray, settings: EventSettings, last: float
) -> list[dict[str, Any]]:
    """For each action, the highest score in each of a few hundred time slices."""
    if not len(offsets):
        return []
    span = max(last - float(offsets[0]), 1e-6)
    slices = np.minimum(((offsets - offsets[0]) / span * _POINTS).astype(int), _POINTS - 1)
    curves = []
    for n, label in enumerate(labels):
        if label in settings.background:
            continue
        points = np.zeros(_POINTS)
        np.maximum.at(points, slices, scores[:, n].astype(float))
        curves.append({"label": label, "points": [round(float(point), 3) for point in points]})
    return curves

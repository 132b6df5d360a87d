"""The quick look at what a threshold would report agrees with the detector, which reports it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from streamrec.events.detector import EventDetector, EventSettings
from streamrec.events.thresholds import Starts, with_enters
from streamrec.types import ActionStarted

LABELS = ("idle", "wave", "clap")


@pytest.mark.parametrize("seed", range(6))
def test_it_starts_where_the_detector_starts(seed):
    rng = np.random.default_rng(seed)
    settings = EventSettings(
        leave=0.05,
        smoothing=float(rng.choice((0.0, 0.2, 1.0))),
        shortest=float(rng.choice((0.0, 0.3, 0.8))),
        background=("idle",),
        by_label={"wave": {"smoothing": 0.5}},
    )
    outcomes = set()
    for _ in range(20):
        times = np.cumsum(rng.uniform(0.02, 0.3, 40))
        logits = np.cumsum(rng.normal(0, 0.6, (40, 3)), axis=0)  # scores that wander
        scores = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        for label in LABELS[1:]:
            starts = Starts(times, scores[:, LABELS.index(label)], settings.of(label))
            for enter in (0.1, 0.4, 0.6, 0.9):
                detector = EventDetector(LABELS, with_enters(replace(settings, enter=0.6), {label: enter}))
                found = [event for _, event in detector.replay(times.tolist(), scores)]
                reported = any(isinstance(event, ActionStarted) and event.label == label for event in found)
                assert starts.at(enter) == reported
                outcomes.add(reported)
    assert outcomes == {True, False}


def test_without_frames_nothing_starts():
    assert not Starts(np.zeros(0), np.zeros(0), EventSettings()).at(0.01)

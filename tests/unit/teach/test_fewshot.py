"""The few-shot head on drawn features: what it learns, and that what it reports is of what it did not see."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from streamrec.errors import TeachError
from streamrec.events.detector import EventDetector
from streamrec.nn.config import ModelConfig
from streamrec.teach import statistics
from streamrec.teach.examples import NOTHING, Example
from streamrec.teach.fewshot import FewShotSettings, StatisticsCache, fit
from streamrec.teach.statistics import Rates
from streamrec.types import ActionStarted

SIZE = 12
RATES = Rates.of(ModelConfig(labels=("a",), head="statistics"))


class Drawn:
    """Streams of features: each label has a mean of its own, and each showing of it another offset."""

    def __init__(self, seed: int = 0, *, offset: float = 0.5) -> None:
        self.random = np.random.default_rng(seed)
        self.means = {NOTHING: np.zeros(SIZE)}
        self.offset, self.number = offset, 0

    def mean(self, label: str) -> np.ndarray:
        return self.means.setdefault(label, 2.0 * self.random.normal(size=SIZE))

    def stream(self, *parts: tuple[str, float]) -> tuple[np.ndarray, np.ndarray]:
        """Label and seconds of each part -> times (T,), features (T, F)."""
        rows = []
        for label, seconds in parts:
            middle = self.mean(label) + self.offset * self.random.normal(size=SIZE)
            rows += [middle + 0.5 * self.random.normal(size=SIZE) for _ in range(round(10 * seconds))]
        return np.arange(len(rows)) / 10, np.array(rows, np.float32)

    def example(self, label: str, seconds: float = 2.0) -> Example:
        times, features = self.stream((NOTHING, 2.0), (label, seconds))
        self.number += 1
        return Example(label, 2.0, float(times[-1]), times, features, id=self.number)

    def examples(self, *labels: str, each: int = 3, nothing: float = 30.0) -> list[Example]:
        found = [self.example(label) for label in labels for _ in range(each)]
        return found + ([self.example(NOTHING, nothing)] if nothing else [])


def fitted(examples, **options):
    return fit(examples, StatisticsCache(RATES), **options)


def test_three_examples_of_each_are_enough_for_what_is_clearly_different():
    drawn = Drawn()
    head, report = fitted(drawn.examples("wave", "clap", "hop"))
    assert head.labels == (NOTHING, "wave", "clap", "hop")
    assert (report.right, report.judged, report.accuracy) == (9, 9, 1.0)
    assert report.false_events == 0
    assert report.examples == {NOTHING: 1, "wave": 3, "clap": 3, "hop": 3}
    for label in report.labels:
        times, features = drawn.stream((NOTHING, 3.0), (label, 3.0), (NOTHING, 3.0))
        scores = head.probabilities(statistics.of_sequence(times, features, RATES))
        np.testing.assert_allclose(scores.sum(1), 1.0, atol=1e-5)
        detector = EventDetector(head.labels, head.events)
        told = [event for _, event in detector.replay(times.tolist(), list(scores))]
        started = [event for event in told if isinstance(event, ActionStarted)]
        assert [event.label for event in started] == [label]
        assert 3.0 <= started[0].timestamp <= 4.0


def test_labels_that_mean_nothing_are_not_reported_as_learned():
    """The same thing under three names: left out, it is told by chance. A fit that judged itself would be right."""
    right = judged = 0
    for seed in range(8):
        drawn = Drawn(seed)
        examples = [
            replace(drawn.example("same"), label=label) for label in ("a", "b", "c") for _ in range(3)
        ]
        _, report = fitted(examples)
        right, judged = right + report.right, judged + report.judged
    assert judged == 72
    assert 0.1 <= right / judged <= 0.6  # chance is a third, where nothing is no rival


def test_what_looks_alike_is_named():
    drawn = Drawn()
    drawn.means["clap"] = drawn.mean("wave") + 0.1
    _, report = fitted(drawn.examples("wave", "clap", "hop"))
    assert report.alike == (("wave", "clap"),)


def test_without_a_minute_of_nothing_background_of_other_places_stands_for_it():
    drawn = Drawn()
    times, features = drawn.stream(*((NOTHING, 2.0) for _ in range(20)))
    background = statistics.of_sequence(times, features, RATES)[20::10]
    head, report = fitted(drawn.examples("wave", "clap", nothing=0.0), background=background)
    assert report.false_per_hour is None
    quiet = statistics.of_sequence(*drawn.stream((NOTHING, 5.0)), RATES)[20:]
    assert (head.probabilities(quiet).argmax(1) == 0).mean() > 0.9
    alone, _ = fitted(drawn.examples("wave", "clap", nothing=0.0))
    assert (alone.probabilities(quiet).argmax(1) == 0).mean() < 0.5


def test_false_events_of_the_minute_of_nothing_are_counted_with_their_interval():
    _, report = fitted(Drawn().examples("wave", "clap", nothing=60.0))
    assert report.nothing_seconds == pytest.approx(60.0, abs=0.5)
    assert report.false_per_hour == 0.0
    assert report.false_interval is not None
    assert report.false_interval[1] == pytest.approx(3.69 * 60, rel=0.02)


def test_one_example_of_one_label_makes_a_head_and_claims_nothing():
    head, report = fitted(Drawn().examples("wave", each=1, nothing=0.0))
    assert head.labels == (NOTHING, "wave")
    assert (report.accuracy, report.judged, report.by_label) == (None, 0, {})


def test_nothing_alone_is_no_lesson():
    with pytest.raises(TeachError, match="no example of an action"):
        fitted([Drawn().example(NOTHING)])


def test_more_examples_than_frames_may_be_learned_are_thinned_out_not_left_out():
    drawn = Drawn()
    examples = drawn.examples("wave", "clap", each=6, nothing=20.0)
    head, report = fitted(examples, settings=FewShotSettings(most_frames=120))
    assert report.accuracy == 1.0
    assert report.judged == 12
    assert np.isfinite(head.weight).all()


def test_statistics_are_kept_by_id_and_forgotten():
    cache, drawn = StatisticsCache(RATES), Drawn()
    example = drawn.example("wave")
    first = cache.of(example)
    assert cache.of(replace(example, label="clap")) is first
    cache.forget([])
    assert cache.of(example) is not first

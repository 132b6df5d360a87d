"""What is learned of corrections, beside many true events that the model brings along."""

from __future__ import annotations

import numpy as np
import pytest

from streamrec.errors import SettingsError
from streamrec.events.detector import EventSettings
from streamrec.teach.corrections.known_events import KnownEvents
from streamrec.teach.corrections.lessons import CorrectedMoment, learn, reports
from streamrec.teach.corrections.moments import Moment
from streamrec.teach.corrections.records import Correction, Verdict

LABELS = ("idle", "wave")
SETTINGS = EventSettings(enter=0.6, leave=0.4, smoothing=0.3, shortest=0.3, background=("idle",))
SIZE = 8
TRUE, WRONG = 0, 1  # the direction of the features of true events, and of wrong ones


def moment(direction: int, seed: int, height: float = 0.8) -> Moment:
    """Three seconds, in the middle of which the score rises."""
    rng = np.random.default_rng(seed)
    times = np.arange(30) / 10
    wave = np.where((times >= 1.0) & (times < 2.5), height, 0.05)
    when = times[::2]
    features = 0.3 * rng.normal(size=(len(when), SIZE))
    features[(when >= 1.0) & (when < 2.5), direction] += 3.0
    scores = np.stack([1 - wave, wave], axis=1).astype(np.float32)
    return Moment(times, scores, when, features.astype(np.float16), np.array([1.0, 2.4]))


def wrongs(count: int, direction: int = WRONG) -> list[CorrectedMoment]:
    return [
        CorrectedMoment(
            Correction(
                id=f"c{n}", made=float(n), verdict=Verdict.wrong, camera="door", model="m", label="wave",
                event=f"e{n}", started=1.0, ended=2.4, confidence=0.8, moment=True,
            ),
            moment(direction, 100 + n),
        )
        for n in range(count)
    ]  # fmt: skip


def known(count: int, *directions: int) -> KnownEvents:
    """So many true events; the last ones look as ``directions`` say."""
    all_of = [TRUE] * (count - len(directions)) + list(directions)
    return KnownEvents(("wave",) * count, tuple(moment(at, n) for n, at in enumerate(all_of)))


def learned(corrected: list[CorrectedMoment], events: KnownEvents):
    return learn("m", LABELS, {"door": SETTINGS}, corrected=corrected, quiet=[], known=events)


def reported(change, found) -> int:
    return sum(reports(one, "wave", LABELS, SETTINGS, (change.weight, change.bias)) for one in found)


def test_what_was_wrong_is_no_longer_reported_and_what_is_true_still_is():
    change, lesson = learned(wrongs(6), known(12))
    assert lesson.corrections == 6
    assert reported(change, [moment(WRONG, 500 + n) for n in range(10)]) == 0  # which were not corrected
    assert reported(change, [moment(TRUE, 600 + n) for n in range(10)]) == 10


def test_of_many_true_events_one_that_looks_like_the_wrong_ones_does_not_hold_all_back():
    change, _ = learned(wrongs(6), known(44, WRONG))
    assert reported(change, [moment(WRONG, 500 + n) for n in range(10)]) == 0
    assert reported(change, [moment(TRUE, 600 + n) for n in range(10)]) == 10


def test_of_few_true_events_none_is_given_up():
    events = known(12, WRONG)
    try:
        change, _ = learned(wrongs(6), events)
    except SettingsError as error:
        assert "would forget" in str(error)
    else:
        assert reported(change, events.moments) == 12


def test_what_the_model_does_not_report_cannot_be_lost():
    missed = tuple(moment(WRONG, 300 + n, height=0.5) for n in range(5))
    events = known(12)
    both = KnownEvents(events.labels + ("wave",) * 5, events.moments + missed)
    change, _ = learned(wrongs(6), both)
    assert reported(change, [moment(WRONG, 500 + n) for n in range(10)]) == 0


def test_what_cannot_be_told_apart_is_refused_in_a_sentence():
    with pytest.raises(SettingsError, match="would forget some of them"):
        learned(wrongs(8, TRUE), known(12))

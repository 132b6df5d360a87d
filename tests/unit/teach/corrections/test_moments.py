"""The seconds around an event."""

from __future__ import annotations

import numpy as np
import pytest

from streamrec.errors import DataError
from streamrec.teach.corrections import moments
from streamrec.teach.corrections.moments import Moment, MomentBuffer


def filled(seconds: float = 20.0, size: int = 8, segment: int = 0) -> MomentBuffer:
    buffer = MomentBuffer()
    for n in range(round(10 * seconds)):
        features = np.full((1, size), n, np.float32)
        buffer.add(n / 10, segment, np.array([0.8, 0.2], np.float32), features, wall=1000 + n / 10)
    return buffer


def test_it_is_cut_with_the_seconds_around_it():
    moment = filled().cut(10.0, 11.0)
    assert moment.times[0] == 7.0
    assert moment.times[-1] == 13.0
    assert moment.scores.shape == (61, 2)
    assert np.allclose(np.diff(moment.feature_times), 0.2)
    assert np.array_equal(moment.features[:, 0], (10 * moment.feature_times).round())


def test_of_a_long_event_features_are_taken_evenly():
    moment = filled(100).cut(10.0, 90.0)
    assert len(moment.features) == moments.MOST_FEATURES
    assert moment.feature_times[0] < 10.0
    assert np.diff(moment.feature_times).max() < 10.0


def test_what_is_forgotten_cannot_be_cut():
    buffer = filled()
    assert buffer.cut(100.0, 101.0) is None
    for segment in (1, 2):  # two reconnects
        buffer.add(0.0, segment, np.array([0.8, 0.2], np.float32), None, wall=2000.0)
    assert buffer.cut(10.0, 11.0) is None


def test_an_event_that_a_cut_ended_is_cut_out_of_the_segment_before():
    buffer = filled()
    buffer.add(20.0, 1, np.array([0.1, 0.9], np.float32), np.full((1, 8), -1.0, np.float32), wall=1020.0)
    moment = buffer.cut(18.0, 19.9)
    assert (moment.times[0], moment.times[-1]) == (15.0, 19.9)
    assert moment.scores[:, 0].min() > 0.7
    assert moment.features.min() >= 0


def test_features_have_a_budget_of_bytes(monkeypatch):
    monkeypatch.setattr(moments, "FEATURES_BYTES", 10 * 16)
    moment = filled().cut(0.0, 20.0)
    assert len(moment.features) == 10
    assert moment.feature_times[-1] > 19.0


def test_a_time_of_the_wall_clock_is_one_of_the_source():
    buffer = filled()
    assert buffer.time_of(1005.02) == 5.0
    assert buffer.time_of(900.0) is None
    assert buffer.time_of(2000.0) is None


def test_bytes_bring_it_back_and_nothing_else_does():
    moment = filled().cut(10.0, 11.0)
    again = Moment.from_bytes(moment.to_bytes())
    for name in ("times", "scores", "feature_times", "features"):
        assert np.array_equal(getattr(again, name), getattr(moment, name))
    data = moment.to_bytes()
    for broken in (b"", data[:-3], b"\x00" * 100, data.replace(b"scores", b"stores")):
        with pytest.raises(DataError):
            Moment.from_bytes(broken)


def test_a_change_of_the_last_layer_is_interpolated_between_features():
    moment = Moment(
        np.array([0.0, 0.1, 0.2]), np.full((3, 2), 0.5, np.float32), np.array([0.0, 0.2]),
        np.array([[0.0], [2.0]], np.float16),
    )  # fmt: skip
    changed = moment.changed(np.array([[1.0], [0.0]], np.float32), np.zeros(2, np.float32))
    odds = np.log(changed[:, 0] / changed[:, 1])
    assert np.allclose(odds, [0.0, 1.0, 2.0], atol=1e-3)

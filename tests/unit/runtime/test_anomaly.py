"""Anomalies of any series, as a recognizer."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest

from streamrec import Recognizer, RowSource, State, StreamRecognizer, open_models, results
from streamrec.errors import ModelError, PictureError, StateError
from streamrec.types import ActionEnded, ActionStarted, Forecast, Frame


def drawn(readings: int = 300, spike: int = 280) -> list[float]:
    rng = np.random.default_rng(0)
    values = 10.0 + np.sin(np.arange(readings) / 3.0) + rng.normal(0.0, 0.1, readings)
    values[spike] = 40.0
    return values.tolist()


def frames(values: list[float]) -> list[Frame]:
    return [Frame(np.array([value], np.float32), n, 60.0 * n) for n, value in enumerate(values)]


def test_a_reading_that_does_not_fit_is_an_event_with_its_forecast():
    rows = [(60.0 * n, [value]) for n, value in enumerate(drawn())]
    found = [event for result in results(rows, open_models("anomaly")) for event in result.events]
    started, ended = found
    assert isinstance(started, ActionStarted) and isinstance(ended, ActionEnded)
    assert (started.label, started.timestamp) == ("anomaly", 280 * 60.0)
    assert started.forecast is not None
    assert started.forecast.reading == 40.0
    assert 8.0 < started.forecast.expected < 12.0
    assert started.confidence > 0.5


def test_an_app_gives_numbers_as_they_come():
    stream = StreamRecognizer(open_models("anomaly:1/day"))
    labels = [stream.recognize(value, timestamp=60.0 * n).label for n, value in enumerate(drawn())]
    assert labels.index("anomaly") == 280


def test_several_channels_and_which_of_them_it_was():
    rows = [{"seconds": 60.0 * n, "flow": value, "pressure": 1.0 + n % 3} for n, value in enumerate(drawn())]
    source = RowSource(rows)
    found = [event for result in results(source, open_models("anomaly")) for event in result.events]
    assert found[0].forecast == Forecast(0, 40.0, found[0].forecast.expected)


def test_a_state_is_never_changed_and_goes_on_from_its_bytes_bit_for_bit():
    recognizer = open_models("anomaly")
    state, given = recognizer.initial_state(), frames(drawn(240, 220))
    for frame in given[:200]:
        _, state = recognizer.step(frame, state)
    data = state.to_bytes()
    on, other = state, State.from_bytes(data)
    for frame in given[200:]:
        one, on = recognizer.step(frame, on)
        two, other = recognizer.step(frame, other)
        assert (one.probabilities == two.probabilities).all() and one.forecast == two.forecast
    assert on.to_bytes() == other.to_bytes()
    assert state.to_bytes() == data
    assert recognizer.initial_state().to_bytes() != data


def test_a_new_segment_forgets_nothing():
    recognizer = open_models("anomaly")
    state = recognizer.initial_state()
    for frame in frames(drawn(200, 199)):
        _, state = recognizer.step(frame, state)
    later = Frame(np.array([10.0], np.float32), 200, 60.0 * 200, segment=1)
    prediction, _ = recognizer.step(later, state)
    assert prediction.forecast is not None


def test_a_pickled_one_is_the_same():
    recognizer = pickle.loads(pickle.dumps(open_models("anomaly:2/hour")))
    assert recognizer.per_day == pytest.approx(48.0)


@pytest.mark.parametrize("name", ["anomaly:", "anomaly:often", "anomaly:-1/day", "anomaly:1/month"])
def test_a_rate_that_is_none_is_refused_in_words(name):
    with pytest.raises(
        ModelError, match=r"(is no rate|the rate is empty): write how many in which time, like 1/day"
    ):
        open_models(name)


def test_it_watches_alone():
    with pytest.raises(ModelError, match="anomaly watches a stream alone"):
        open_models(["anomaly", "motion"])


def test_rows_that_are_none_are_refused_in_words():
    stream = StreamRecognizer(open_models("anomaly"))
    stream.recognize([1.0, 2.0], timestamp=0.0)
    for given, why in (
        ([1.0], "this row holds 1 readings, and the stream had 2"),
        (["a", 2.0], "a reading is 'a': give numbers"),
        ([float("nan"), 1.0], "holds what is no number"),
        ([0.0] * 65, "anomaly takes 1 to 64 channels"),
        (np.zeros((2, 2)), "anomaly takes rows of readings"),
    ):
        with pytest.raises(PictureError, match=why):
            stream.recognize(given, timestamp=1.0)


def test_a_state_of_another_model_is_refused():
    recognizer = open_models("anomaly")
    with pytest.raises(StateError, match="belongs to another model"):
        recognizer.step(frames([1.0])[0], Recognizer.load("motion").initial_state())


def test_a_saved_state_that_was_tampered_with_is_refused():
    recognizer = open_models("anomaly")
    _, state = recognizer.step(frames([1.0])[0], recognizer.initial_state())
    count = next(n for n, array in enumerate(state.head) if array.dtype == np.int64)
    for n, other in (
        (0, np.zeros((1, 1, 3), np.float32)),
        (0, state.head[0][:, :0]),
        (count, np.full((1, 1), -7)),
        (count, np.full((1, 1), 2**60)),
    ):
        head = (*state.head[:n], other, *state.head[n + 1 :])
        with pytest.raises(StateError, match="belongs to another model"):
            recognizer.step(Frame(np.ones(1, np.float32), 1, 60.0), replace(state, head=head))


def test_there_is_no_file_to_write(tmp_path):
    with pytest.raises(ModelError, match="anomaly has no file to write"):
        open_models("anomaly").save(tmp_path / "a.safetensors")


def test_what_reads_a_file_names_the_way_to_open_it():
    with pytest.raises(ModelError, match="anomaly has no file: run and watch take it"):
        Recognizer.load("anomaly:1/day")

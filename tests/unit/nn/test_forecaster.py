"""The forecaster that learns as it goes, and what is rare of its errors."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from streamrec.nn.forecaster import FEATURES, Forecaster, ForecastSettings, _loss_gradient, gradient
from streamrec.nn.surprise import LEARNING, SeriesDetector

SMALL = ForecastSettings(hidden=6, window=10, burn_in=2, kept=64)


def drawn(readings: int, seed: int, period: float = 12.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return 10.0 + 3.0 * np.sin(2.0 * np.pi * np.arange(readings) / period) + rng.normal(0.0, 0.3, readings)


def rates(values: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """(M, R) readings of streams that run side by side -> (M, R) rates, and (M, R) where an event begins."""
    detector = SeriesDetector(Forecaster(SMALL))
    state = detector.initial_state(len(values))
    steps = [detector.advance(values[:, n : n + 1], seconds[:, n], state) for n in range(values.shape[1])]
    return np.stack([step.rate for step in steps], 1), np.stack([step.begins for step in steps], 1)


def test_the_cell_and_its_gradient_are_those_of_the_lstm_of_the_model_class():
    rng = np.random.default_rng(0)
    streams, windows, length = 2, 3, 7
    weights = {
        "input": rng.normal(0, 0.4, (streams, FEATURES, 24)),
        "recurrent": rng.normal(0, 0.4, (streams, 6, 24)),
        "bias": rng.normal(0, 0.4, (streams, 1, 24)),
        "output": rng.normal(0, 0.4, (streams, FEATURES + 7, 2)),
    }
    weights = {name: array.astype(np.float32) for name, array in weights.items()}
    features = rng.normal(0, 1, (streams, windows, length, FEATURES)).astype(np.float32)
    targets = rng.normal(0, 1, (streams, windows, length)).astype(np.float32)
    found = gradient(weights, features, targets, burn_in=2)
    for n in range(streams):
        lstm = torch.nn.LSTM(FEATURES, 6, batch_first=True)
        output = torch.tensor(weights["output"][n], requires_grad=True)
        with torch.no_grad():
            lstm.weight_ih_l0.copy_(torch.tensor(weights["input"][n].T))
            lstm.weight_hh_l0.copy_(torch.tensor(weights["recurrent"][n].T))
            lstm.bias_ih_l0.copy_(torch.tensor(weights["bias"][n, 0]))
            lstm.bias_hh_l0.zero_()
        given = torch.tensor(features[n])
        hidden, _ = lstm(given)
        out = torch.cat([given, hidden, torch.ones(windows, length, 1)], -1) @ output
        plain = out.detach().numpy()[None]
        out.backward(
            torch.tensor(_loss_gradient(plain, features[n : n + 1, ..., 0], targets[n : n + 1], 2)[0])
        )
        for name, wanted in (
            ("input", lstm.weight_ih_l0.grad.T),
            ("recurrent", lstm.weight_hh_l0.grad.T),
            ("bias", lstm.bias_ih_l0.grad[None]),
            ("output", output.grad),
        ):
            assert np.allclose(found[name][n], wanted.numpy(), atol=2e-6), name


def test_streams_side_by_side_are_what_each_is_alone():
    values = np.stack([drawn(260, seed, period) for seed, period in ((0, 12.0), (1, 7.0), (2, 30.0))])
    seconds = np.stack([np.arange(260) * step for step in (60.0, 300.0, 3600.0)])
    together, begins = rates(values, seconds)
    for n in range(3):
        alone, own = rates(values[n : n + 1], seconds[n : n + 1])
        assert np.allclose(alone[0], together[n], atol=1e-6)
        assert np.array_equal(own[0], begins[n])


def test_nothing_looks_ahead():
    values, seconds = drawn(240, 0)[None], 60.0 * np.arange(240)[None]
    whole, _ = rates(values, seconds)
    other = values.copy()
    other[0, 200:] = 99.0
    changed, _ = rates(other, seconds)
    assert np.array_equal(whole[0, :200], changed[0, :200])
    assert not np.array_equal(whole[0, 200:], changed[0, 200:])


def test_a_reading_outside_of_all_that_was_seen_is_rare_and_begins_an_event():
    values = drawn(300, 0)[None]
    values[0, 280] = 40.0
    found, begins = rates(values, 60.0 * np.arange(300)[None])
    assert begins[0, 280]
    assert found[0, 280] < np.delete(found[0, LEARNING:], 280 - LEARNING).min()


def test_what_is_usual_is_learned():
    """The error of forecasts of a series that repeats becomes smaller than the step from reading to reading."""
    forecaster = Forecaster(SMALL)
    state = forecaster.initial_state(1)
    values = 10.0 + 3.0 * np.sin(2.0 * np.pi * np.arange(900) / 12.0)
    errors = []
    for n, value in enumerate(values):
        errors.append(abs(float(forecaster.expected(state)[0]) - value))
        forecaster.advance(np.array([value]), np.array([60.0 * n]), state)
    assert np.mean(errors[-120:]) < 0.5 * np.abs(np.diff(values)).mean()


def test_before_it_knows_the_series_nothing_is_an_event():
    values = drawn(LEARNING, 0)[None]
    values[0, 100] = 1000.0
    _, begins = rates(values, 60.0 * np.arange(LEARNING)[None])
    assert not begins.any()


def test_a_flat_series_has_no_event_until_it_is_flat_no_more():
    values = np.full((1, 260), 45.0)
    values[0, 250] = 45.5
    found, begins = rates(values, 300.0 * np.arange(260)[None])
    assert np.flatnonzero(begins[0] & (found[0] < 0.0)).tolist() == [250]


@pytest.mark.parametrize("step", [1e-3, 1.0, 1e7])
def test_any_interval_gives_numbers(step):
    found, _ = rates(drawn(200, 0)[None], step * np.arange(200)[None])
    assert np.isfinite(found).all()

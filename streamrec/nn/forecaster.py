"""A forecaster of series that learns as it goes: a small LSTM, trained a little at every few readings, in numpy.

The recurrent cell is that of ``LSTMHead`` (gates i, f, g, o; forget-gate bias 1). It is written out with its gradient,
so that a stream learns where torch is not installed, and so that many streams learn at once, each with weights of its
own: axis 0 of every array is the stream. What it has learned is part of the state.

The forecast is a Laplace distribution of the next reading, its location and its scale, in units of the running scale.
Truncated backpropagation through time runs over the last readings and over windows drawn from those before (replay).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Arrays = dict[str, np.ndarray]

FEATURES = 17
DAY, WEEK = 86_400.0, 604_800.0  # seconds
DAY_SLOTS, WEEK_SLOTS = 288, 168  # of the running means by time of day, and by hour of the week
_HALF = np.float32(0.5)
_FLOOR = 1e-6
_MOST_NORM = 5.0  # of the gradient of one stream
_BETAS = (0.9, 0.99)  # of Adam
_SCALES = (-4.0, 3.0)  # logarithm of the forecast's scale, least and most
_WINSOR = 4.0  # deviations: a reading further off counts as so far for the running scale
_MEANS = (5.0, 50.0, 500.0)  # readings, time constants of the running means among the features


@dataclass(frozen=True, kw_only=True)
class ForecastSettings:
    """How the forecaster learns; sizes are in readings."""

    hidden: int = 16
    window: int = 24  # of backpropagation
    burn_in: int = 6  # first readings of a window, whose errors do not count
    replays: int = 3  # windows of the past beside the present one
    kept: int = 1024  # readings that are kept for them
    every: int = 4  # readings between two steps of learning
    rate: float = 4e-3  # of learning
    memory: float = 2000.0  # readings, time constant of the running scale
    profile: float = 0.35  # weight of a new day in the means by time of day


class Forecaster:
    """Forecasts the next reading of N streams, and learns from each. It holds no state of a stream.

    >>> forecaster = Forecaster()
    >>> state = forecaster.initial_state(1)
    >>> for n in range(600):
    ...     forecaster.advance(np.array([n % 2.0]), np.array([60.0 * n]), state)
    >>> abs(float(forecaster.expected(state)[0])) < 0.2  # a one was last
    True
    """

    def __init__(self, settings: ForecastSettings = ForecastSettings(), seed: int = 0) -> None:
        self.settings = settings
        self.seed = seed

    def initial_state(self, streams: int = 1) -> Arrays:
        """All that is remembered of new streams; each begins with the same weights."""
        own, hidden = self.settings, self.settings.hidden
        rng = np.random.default_rng(self.seed)
        bound = hidden**-0.5
        weights = {
            "input": rng.uniform(-bound, bound, (FEATURES, 4 * hidden)),
            "recurrent": rng.uniform(-bound, bound, (hidden, 4 * hidden)),
            "bias": np.r_[np.zeros(hidden), np.ones(hidden), np.zeros(2 * hidden)][None],
            "output": np.zeros((FEATURES + hidden + 1, 2)),
        }
        state = {f"weight.{name}": _tiled(weights[name], streams) for name in weights}
        for name in weights:
            for moment in ("first", "second"):
                state[f"{moment}.{name}"] = np.zeros_like(state[f"weight.{name}"])
        zeros = {
            "h": (hidden,), "c": (hidden,), "means": (len(_MEANS),), "features": (FEATURES,),
            "past": (own.kept, FEATURES), "targets": (own.kept,),
        }  # fmt: skip
        state |= {name: np.zeros((streams, *shape), np.float32) for name, shape in zeros.items()}
        exact = ("last", "clock", "interval", "center", "spread", "expected", "scale")
        state |= {name: np.zeros(streams) for name in exact}
        state |= {
            name: np.zeros((streams, slots)) for name, slots in (("day", DAY_SLOTS), ("week", WEEK_SLOTS))
        }
        state |= {f"{name}.known": np.zeros(state[name].shape, bool) for name in ("day", "week")}
        state["count"] = np.zeros(streams, np.int64)
        return state

    def step(self, values: np.ndarray, seconds: np.ndarray, state: Arrays) -> Arrays:
        """(N,) readings at (N,) seconds: the state behind them. The given state stays as it was."""
        after = {name: array.copy() for name, array in state.items()}
        self.advance(values, seconds, after)
        return after

    def expected(self, state: Arrays) -> np.ndarray:
        """(N,) the next reading, as it is forecast."""
        return _back(state["expected"], state)

    def surprise(self, values: np.ndarray, state: Arrays) -> np.ndarray:
        """(N,) how far the readings are from the forecast, in units of the running scale, with their signs."""
        return _scaled(values, state) - state["expected"]

    def advance(self, values: np.ndarray, seconds: np.ndarray, state: Arrays) -> None:
        """``step`` in place: for many streams, of which no earlier state is wanted."""
        own, count = self.settings, state["count"]
        n = int(count[0])  # streams of one pass have seen as many readings
        if n:
            state["targets"][:, (n - 1) % own.kept] = _scaled(values, state)
        self._rescale(values, seconds, state, n)
        features = self._featured(values, seconds, state, n)
        state["features"][:] = features
        state["past"][:, n % own.kept] = features
        count += 1
        if n >= own.window and n % own.every == 0:
            self._learn(state, n)
        self._forecast(state)

    def _rescale(self, values: np.ndarray, seconds: np.ndarray, state: Arrays, n: int) -> None:
        """Move the running center, spread and interval toward these readings."""
        if n == 0:
            state["center"][:], state["last"][:], state["clock"][:] = values, values, seconds
            return
        elapsed = seconds - state["clock"]
        typical = state["interval"]
        good = elapsed > 0.0
        first = good & (typical == 0.0)
        typical[first] = elapsed[first]
        move = np.clip(elapsed - typical, -0.5 * typical, 0.5 * typical) * max(0.02, 1.0 / n)
        typical[good] += move[good]
        weight = max(1.0 / (n + 1), 1.0 / self.settings.memory)
        apart = values - state["center"]
        spread = state["spread"]
        limit = _WINSOR * spread if n > 20 else np.full_like(spread, np.inf)
        limit[spread <= 0.0] = np.inf
        apart = np.clip(apart, -limit, limit)
        state["center"] += weight * apart
        spread += weight * (np.abs(apart) - spread)

    def _featured(self, values: np.ndarray, seconds: np.ndarray, state: Arrays, n: int) -> np.ndarray:
        """(N, FEATURES) float32: what the network is given of these readings and of the time."""
        now = _scaled(values, state)
        change = now - _scaled(state["last"], state)
        weights = np.array([max(1.0 / each, 1.0 / (n + 1)) for each in _MEANS])
        state["means"] += (weights * (now[:, None] - state["means"])).astype(np.float32)
        ahead = seconds + state["interval"]
        columns = [now, change, *(now[:, None] - state["means"]).T]
        for name, period, slots in (("day", DAY, DAY_SLOTS), ("week", WEEK, WEEK_SLOTS)):
            usual, known = self._usual(name, period, slots, values, seconds, ahead, state)
            columns += [np.where(known, _scaled(usual, state) - now, 0.0), known.astype(float)]
            angle = 2.0 * np.pi * (ahead % period) / period
            columns += [np.sin(angle), np.cos(angle)]
            if name == "day":
                columns += [np.sin(2.0 * angle), np.cos(2.0 * angle)]
        elapsed = seconds - state["clock"]
        columns += [np.log(np.clip(elapsed / np.maximum(state["interval"], _FLOOR), 0.1, 10.0))]
        columns += [np.log(np.maximum(np.abs(change), 1e-3)) / 4.0]
        state["last"][:], state["clock"][:] = values, seconds
        return np.stack(columns, axis=1).astype(np.float32)

    def _usual(
        self, name: str, period: float, slots: int, values: np.ndarray, seconds: np.ndarray, ahead: np.ndarray,
        state: Arrays,
    ) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
        """Note the readings under their time of day or week; what is usual at the time of the next ones."""
        streams = np.arange(len(values))
        mean, known = state[name], state[f"{name}.known"]
        slot = ((seconds % period) * (slots / period)).astype(np.int64) % slots
        before = mean[streams, slot]
        mean[streams, slot] = np.where(
            known[streams, slot], before + self.settings.profile * (values - before), values
        )
        known[streams, slot] = True
        coming = ((ahead % period) * (slots / period)).astype(np.int64) % slots
        return mean[streams, coming], known[streams, coming] & (coming != slot)

    def _forecast(self, state: Arrays) -> None:
        """One step of the network: the distribution of the next readings."""
        features = state["features"][:, None]
        hidden = self.settings.hidden
        gates = features @ state["weight.input"] + state["weight.bias"]
        gates += state["h"][:, None] @ state["weight.recurrent"]
        i, f, g, o = _activated(gates[:, 0], hidden)
        state["c"][:] = f * state["c"] + i * g
        state["h"][:] = o * np.tanh(state["c"])
        read = np.concatenate([state["features"], state["h"], np.ones_like(state["h"][:, :1])], axis=1)
        out = (read[:, None] @ state["weight.output"])[:, 0]
        state["expected"][:] = state["features"][:, 0] + out[:, 0]
        state["scale"][:] = np.clip(out[:, 1], *_SCALES)

    def _learn(self, state: Arrays, n: int) -> None:
        """One step of Adam on the last window and on windows of the past; the same draws for each stream."""
        own = self.settings
        rng = np.random.default_rng((self.seed, n))
        latest = n - own.window  # the last reading has no target yet
        oldest = max(0, n - own.kept + 1)
        begins = np.r_[latest, rng.integers(oldest, latest + 1, own.replays)]
        rows = (begins[:, None] + np.arange(own.window)) % own.kept
        features, targets = state["past"][:, rows], state["targets"][:, rows]
        weights = {name: state[f"weight.{name}"] for name in ("input", "recurrent", "bias", "output")}
        grads = gradient(weights, features, targets, own.burn_in)
        norm = np.sqrt(sum(np.square(grad).sum((1, 2)) for grad in grads.values()))
        shrink = np.minimum(1.0, _MOST_NORM / np.maximum(norm, _FLOOR))[:, None, None].astype(np.float32)
        steps = n // own.every
        one, two = _BETAS
        for name, grad in grads.items():
            grad = grad * shrink
            first, second = state[f"first.{name}"], state[f"second.{name}"]
            first += np.float32(1.0 - one) * (grad - first)
            second += np.float32(1.0 - two) * (grad * grad - second)
            rate = np.float32(own.rate * np.sqrt(1.0 - two**steps) / (1.0 - one**steps))
            state[f"weight.{name}"] -= rate * first / (np.sqrt(second) + np.float32(1e-6))


def gradient(weights: Arrays, features: np.ndarray, targets: np.ndarray, burn_in: int) -> Arrays:
    """(N, B, T, F), (N, B, T) -> the gradient of the mean negative log-likelihood, by weight.

    Windows begin with zeros in the cell; the first ``burn_in`` errors of each do not count.
    """
    streams, windows, length, size = features.shape
    hidden = weights["recurrent"].shape[1]
    inputs = features.reshape(streams, -1, size) @ weights["input"] + weights["bias"]
    inputs = inputs.reshape(streams, windows, length, 4 * hidden)
    h = c = np.zeros((streams, windows, hidden), np.float32)
    hs, cs, acts = [h], [c], []
    for t in range(length):
        i, f, g, o = parts = _activated(inputs[:, :, t] + h @ weights["recurrent"], hidden)
        c = f * c + i * g
        h = o * np.tanh(c)
        hs.append(h)
        cs.append(c)
        acts.append(parts)
    after = np.stack(hs[1:], axis=2)  # (N, B, T, H)
    read = np.concatenate([features, after, np.ones_like(after[..., :1])], axis=-1)
    flat = read.reshape(streams, -1, read.shape[-1])
    out = (flat @ weights["output"]).reshape(streams, windows, length, 2)
    d_out = _loss_gradient(out, features[..., 0], targets, burn_in)
    grads = {"output": flat.swapaxes(1, 2) @ d_out.reshape(streams, -1, 2)}
    from_out = d_out @ weights["output"][:, None, size : size + hidden].swapaxes(2, 3)  # (N, B, T, H)
    d_gates = np.empty_like(inputs)
    d_h = np.zeros_like(h)
    d_c = np.zeros_like(h)
    back = weights["recurrent"].swapaxes(1, 2)
    for t in range(length - 1, -1, -1):
        i, f, g, o = acts[t]
        squashed = np.tanh(cs[t + 1])
        d_h = d_h + from_out[:, :, t]
        d_c = d_c + d_h * o * (1.0 - squashed * squashed)
        own = d_gates[:, :, t]
        own[..., :hidden] = d_c * g * i * (1.0 - i)
        own[..., hidden : 2 * hidden] = d_c * cs[t] * f * (1.0 - f)
        own[..., 2 * hidden : 3 * hidden] = d_c * i * (1.0 - g * g)
        own[..., 3 * hidden :] = d_h * squashed * o * (1.0 - o)
        d_c = d_c * f
        d_h = own @ back
    rows = d_gates.reshape(streams, -1, 4 * hidden)
    before = np.stack(hs[:-1], axis=2).reshape(streams, -1, hidden)
    grads["input"] = features.reshape(streams, -1, size).swapaxes(1, 2) @ rows
    grads["recurrent"] = before.swapaxes(1, 2) @ rows
    grads["bias"] = rows.sum(1, keepdims=True)
    return grads


def _loss_gradient(out: np.ndarray, now: np.ndarray, targets: np.ndarray, burn_in: int) -> np.ndarray:
    """Of the negative log-likelihood |error| / scale + log scale, to location and log scale: (N, B, T, 2)."""
    error = now + out[..., 0] - targets
    log_scale = np.clip(out[..., 1], *_SCALES)
    part = error * np.exp(-log_scale)
    found = np.empty_like(out)
    # Within a tenth of the scale the slope is linear, so that the location comes to rest.
    found[..., 0] = np.clip(10.0 * part, -1.0, 1.0) * np.exp(-log_scale)
    found[..., 1] = np.maximum(1.0 - np.abs(part), -3.0)
    found[:, :, :burn_in] = 0.0
    found /= np.float32(out.shape[1] * (out.shape[2] - burn_in))
    return found


def _activated(gates: np.ndarray, hidden: int) -> tuple[np.ndarray, ...]:
    """(..., 4 H) -> i, f, g and o, each (..., H)."""
    i, f, o = (_HALF * np.tanh(_HALF * gates[..., n * hidden : (n + 1) * hidden]) + _HALF for n in (0, 1, 3))
    return i, f, np.tanh(gates[..., 2 * hidden : 3 * hidden]), o


def _scaled(values: np.ndarray, state: Arrays) -> np.ndarray:
    """In units of the running scale, far readings drawn in: the inverse hyperbolic sine of the deviations."""
    return np.arcsinh((values - state["center"]) / _unit(state))


def _back(scaled: np.ndarray, state: Arrays) -> np.ndarray:
    return state["center"] + np.sinh(scaled) * _unit(state)


def _unit(state: Arrays) -> np.ndarray:
    return np.maximum(1.25 * state["spread"], _FLOOR * (1.0 + np.abs(state["center"])))


def _tiled(array: np.ndarray, streams: int) -> np.ndarray:
    return np.repeat(np.asarray(array, np.float32)[None], streams, axis=0)

"""How rare a reading is in its series: the out-of-distribution score of a forecast's error, and when it is an event.

Two things are rare. **Errors**: the negative log-likelihood of the last readings under their forecasts, averaged, lies
in the tail of what it has been; above a high quantile the tail falls off as a power (Hill, Ann. Stat. 1975), so that
what was never seen has a probability too. A short mean against the long-term distribution is the anomaly likelihood of
Lavin and Ahmad (ICMLA 2015). **Values** outside of all that was seen: of n readings one is expected to be the largest,
and the further out, the rarer.

A probability for each reading becomes a rate: false events a day, by how many readings a day there are. An event begins
with a reading that is rarer than all of the last stretch; what follows it is the same event.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streamrec.nn.forecaster import DAY, Arrays, Forecaster

SHORT = 10  # readings of the mean
KEPT = 4096  # means of the past that are kept
SHARE = 0.02  # of them that are the tail
LEAST_TAIL, LEAST_KEPT = 5, 60
LEAST_SLOPE = 0.02  # of the tail
MARGIN = 0.02  # of the range seen: a value further outside is new
STEEP, MOST_NEW = 10.0, 4.0  # powers of ten for each range that it lies outside, and at most
QUIET, SHORTEST_QUIET, LONGEST_QUIET = 1 / 20, 20, 1000  # part of the readings so far, and readings
LEARNING = 150  # readings without an event, at the begin of a series
MOST_RARE = 30.0
_CAP = 10.0  # of an error, in scales of the forecast
_SHIFT = 4.0  # makes the negative log-likelihood positive: it is at least the logarithm of the least scale
_LN10 = float(np.log(10.0))


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What one step of a ``SeriesDetector`` found, of M streams with C channels."""

    # (M,) logarithm, base 10, of the false events a day that are to be expected at this height.
    rate: np.ndarray
    rarity: np.ndarray  # (M,) negative logarithm, base 10, of how likely a reading is to be so rare
    begins: np.ndarray  # (M,) bool: rarer than all of the last stretch
    channel: np.ndarray  # (M,) which channel is the rarest
    expected: np.ndarray  # (M, C) what was forecast for these readings; NaN for the first


class SeriesDetector:
    """Finds readings that do not fit what the series has been, one step a reading; it holds no state of a stream.

    >>> detector = SeriesDetector()
    >>> state = detector.initial_state(streams=1, channels=1)
    >>> for n in range(400):
    ...     value = 90.0 if n == 390 else n % 8.0
    ...     found = detector.advance(np.array([[value]]), np.array([60.0 * n]), state)
    ...     if found.begins[0] and found.rate[0] < -1.0:
    ...         print(n)
    390
    """

    def __init__(self, forecaster: Forecaster | None = None) -> None:
        self.forecaster = forecaster or Forecaster()

    def initial_state(self, streams: int = 1, channels: int = 1) -> Arrays:
        """All that is remembered of new streams; axis 0 of each array is the stream, or the stream's channel."""
        series = streams * channels
        state = {f"net.{name}": array for name, array in self.forecaster.initial_state(series).items()}
        state["errors"] = np.zeros((series, SHORT), np.float32)
        state["tail"] = np.zeros((series, KEPT), np.float32)
        state["low"], state["high"] = np.zeros(series), np.zeros(series)
        state["recent"] = np.zeros((streams, LONGEST_QUIET), np.float32)
        return state

    def advance(self, values: np.ndarray, seconds: np.ndarray, state: Arrays) -> Found:
        """(M, C) readings at (M,) seconds: what they are, and the state is moved on in place."""
        streams, channels = values.shape
        flat = values.reshape(-1).astype(np.float64)
        net = {name[4:]: array for name, array in state.items() if name.startswith("net.")}
        n = int(net["count"][0])
        expected = self.forecaster.expected(net) if n else np.full(len(flat), np.nan)
        rare = self._rarity(flat, net, state, n).reshape(streams, channels)
        self.forecaster.advance(flat, np.repeat(seconds, channels), net)
        channel = rare.argmax(1)
        most = rare.max(1)
        quiet = min(n, int(np.clip(QUIET * n, SHORTEST_QUIET, LONGEST_QUIET)))
        before = state["recent"][:, np.arange(n - quiet, n) % LONGEST_QUIET]
        begins = (most > before.max(1, initial=0.0)) & (n >= LEARNING)
        state["recent"][:, n % LONGEST_QUIET] = most
        interval = net["interval"].reshape(streams, channels)[:, 0]
        a_day = np.log10(DAY * channels / np.where(interval > 0.0, interval, DAY))
        return Found(a_day - most, most, begins, channel, expected.reshape(streams, channels))

    def _rarity(self, values: np.ndarray, net: Arrays, state: Arrays, n: int) -> np.ndarray:
        """(N,) the negative logarithm, base 10, of how likely a reading is to be so rare."""
        if n == 0:
            state["low"][:], state["high"][:] = values, values
            return np.zeros(len(values))
        error = np.abs(self.forecaster.surprise(values, net)) * np.exp(-net["scale"])
        state["errors"][:, n % SHORT] = np.minimum(error, _CAP) + net["scale"] + _SHIFT
        mean = state["errors"].sum(1, dtype=np.float64) / min(n, SHORT)
        height = np.log(np.maximum(mean, 1e-4)).astype(np.float32)
        kept = min(n - 1, KEPT)
        rare = _tail(height, state["tail"][:, :kept]) if kept >= LEAST_KEPT else np.zeros(len(values))
        state["tail"][:, (n - 1) % KEPT] = height
        low, high = state["low"], state["high"]
        span = np.maximum(high - low, 1e-9 * (1.0 + np.abs(high)))
        outside = np.maximum(values - high, low - values) / span
        new = np.log10(n + 1.0) + np.minimum(STEEP * outside, MOST_NEW)
        state["low"][:], state["high"][:] = np.minimum(low, values), np.maximum(high, values)
        return np.minimum(np.where(outside > MARGIN, np.maximum(rare, new), rare), MOST_RARE)


def _tail(height: np.ndarray, past: np.ndarray) -> np.ndarray:
    """(N,), (N, K) logarithms -> (N,) the negative logarithm, base 10, of the tail's probability above; 0 below it."""
    kept = past.shape[1]
    size = max(LEAST_TAIL, int(SHARE * kept))
    upper = np.partition(past, kept - size - 1, axis=1)[:, kept - size - 1 :]
    border = upper[:, 0]
    slope = np.maximum(upper[:, 1:].mean(1) - border, LEAST_SLOPE)
    beyond = (np.log(kept / size) + (height - border) / slope) / _LN10
    return np.where(height > border, beyond, 0.0)

"""Counting any motion that repeats: features in, count and period out; no class and no training.

**Recurrence.** A motion repeats where the features of now resemble those of one period ago (the temporal
self-similarity of RepNet, Dwibedi et al., CVPR 2020; counted while it happens, as Levy and Wolf, ICCV 2015, did). The
periods from ``shortest`` to ``longest`` are searched by octaves. In each the features are averaged over a share of its
period, against noise, and their mean over about a period is taken off, against all that changes slowly: light, or a
camera that turns. Of what is left the correlation at each lag is taken over the last period. A peak is a candidate; of
the peaks nearly as high as the highest the shortest is the period, since each multiple of a period recurs as well
(McLeod and Wyvill, ICMC 2005).

**Counting.** A set begins when one period has been found for a while, and then its first repetitions count too. While
it lasts each moment adds its share of a period, and nothing is added after the last recurrence: what stops is not
counted on. A set goes on over a gap of up to ``pause`` seconds.

All of it runs on a grid of ``RATE`` moments a second, between the frames by the clock: the frame rate changes nothing
but what can be seen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from streamrec.core.arguments import is_number
from streamrec.core.messages import shortened
from streamrec.errors import StateError, StreamrecError

RATE = 12.0  # moments a second at which the features are compared
_SMOOTHING = 0.23  # of an octave's shortest period: over which the features are averaged
_DRIFT = 1.4  # the same: over which their mean is taken and removed
_SHARE = 0.02  # of the power of the strongest motion: weaker ones are its noise
_STOPPED = 0.1  # of the power of the window: what its newest third must have, or the motion has stopped
_DEPTH = 0.02  # how far the correlation must rise to a peak: at a steady drift it is high at all lags
_BORDER = 1.03  # a period on the border of two octaves is in both
_HELD = 0.25  # periods for which a much different, clearer period must be found before a set goes on with it
_HELD_FAINT = 1.0  # the same, for one that is not clearer
_ANEW = 4.0  # periods: a set as short as that is counted anew with a much different one
_BESIDE = 1.3  # how far beyond its octave a peak's flanks are known
_WINDOW = 1.0  # seconds: the least over which a correlation is taken; else it is one period
_NEARLY = 0.8  # of the highest peak: how high a peak of a shorter period must be
_CONFIRMED = 0.25  # of a period for which it must be found before a set begins
_BRIEFLY = 0.2  # seconds: the same, at least
_ALIKE = 1.5  # how far two periods found one after the other may differ
_MISSED = 0.5  # seconds for which a period may not be found while it is confirmed
_HOLD = 1.0  # periods and seconds without recurrence after which a set is over
_JITTER = 1.0  # seconds: a clock may step back this far; farther is a jump
_MOST = 60.0  # seconds: the longest period that may be asked for


@dataclass(frozen=True, kw_only=True)
class RecurrenceSettings:
    """Which motions count as repeated.

    >>> RecurrenceSettings(shortest=8.0)
    Traceback (most recent call last):
    ...
    streamrec.errors.StreamrecError: shortest is 8.0 and longest 6.0: set it to at most half of longest
    """

    shortest: float = 0.25  # seconds: the shortest period
    longest: float = 6.0  # seconds: the longest
    clear: float = 0.15  # correlation, 0 to 1, from which something recurs
    motion: float = 0.035  # root mean square change of the features from which anything moves
    least: int = 3  # repetitions from which they count
    pause: float = 3.0  # seconds without recurrence after which the count starts anew
    max_gap: float = 2.0  # seconds between two frames after which nothing before is compared

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self)):
            value = getattr(self, name)
            if not is_number(value) or not math.isfinite(value):
                raise StreamrecError(f"{name} is {shortened(value)}: give a finite number")
            if value < 0:
                raise StreamrecError(f"{name} is {value}: set it to 0 or more")
        if not 2 / RATE <= self.shortest <= _MOST:
            raise StreamrecError(
                f"shortest is {self.shortest}: set it from {2 / RATE:.2g} to {_MOST:g} seconds"
            )
        if self.shortest > self.longest / 2:
            raise StreamrecError(
                f"shortest is {self.shortest} and longest {self.longest}: set it to at most half of longest"
            )
        if self.longest > _MOST:
            raise StreamrecError(f"longest is {self.longest}: set it to at most {_MOST:g} seconds")
        if self.clear > 1:
            raise StreamrecError(f"clear is {self.clear}: set it from 0 to 1")


@dataclass(frozen=True, slots=True)
class Recurrence:
    """What repeats at one moment of a stream."""

    count: int = 0  # repetitions of the set; 0: there is no set
    period: float | None = None  # seconds; None: nothing repeats now
    began: float | None = None  # seconds on the stream's clock: when the set began; None: there is no set
    seen: float | None = None  # the same: when it recurred last
    total: int = 0  # repetitions since the stream began, of all sets
    correlation: float = 0.0  # of the last period with the one before, 0 to 1; 0: nothing repeats now


@dataclass(frozen=True, slots=True, eq=False)
class RecurrenceState:
    """A counter's memory of one stream; never changed in place. Rows of arrays are moments, the newest first."""

    features: np.ndarray | None = None  # (D,) float32 of the last frame; None before the first
    clock: float = -math.inf  # seconds, of that frame
    origin: float = 0.0  # seconds: of the first moment
    moments: int = 0  # compared so far
    past: np.ndarray | None = None  # (moments, D) float32: the features
    bands: tuple[np.ndarray, ...] = ()  # of each octave (moments, D) float32: smoothed, without drift
    products: np.ndarray | None = None  # (moments, lags) float32: of now and a lag ago
    energies: np.ndarray | None = None  # the same: the mean of their squares
    cycles: float = 0.0  # of the set
    period: float = 0.0  # seconds, found last; 0: none
    other: float = 0.0  # seconds: a much different one, found in a set; 0: none
    since: float = -math.inf  # seconds: since when it, or the other, has been found
    seen: float = -math.inf  # seconds: when it was found last
    counted: float = -math.inf  # seconds: up to when it is counted
    began: float | None = None  # seconds: when the set began; None: there is no set
    correlation: float = 0.0  # of it with the moments a period before
    clear: float = 0.0  # the same, of the period of the set when it was found last
    running: bool = False  # something recurs now
    before: int = 0  # repetitions of earlier sets

    def to_arrays(self) -> dict[str, np.ndarray]:
        """All of it, by name; ``from_arrays`` reads it, bit for bit."""
        named = {f"bands.{n}": band for n, band in enumerate(self.bands)}
        named |= {name: value for name in _ARRAYS if (value := getattr(self, name)) is not None}
        numbers = [math.nan if (value := getattr(self, name)) is None else float(value) for name in _NUMBERS]
        return {**named, "numbers": np.array(numbers, np.float64)}

    @classmethod
    def from_arrays(cls, named: Mapping[str, np.ndarray]) -> RecurrenceState:
        """The state that ``to_arrays`` wrote; raises ``StateError`` for anything else."""
        try:
            numbers = dict(zip(_NUMBERS, named["numbers"].tolist(), strict=True))
            began = None if math.isnan(numbers["began"]) else numbers["began"]
            finite = {name: value for name, value in numbers.items() if name not in (*_NEVER, "began")}
            if not all(map(math.isfinite, finite.values())) or any(numbers[n] == math.inf for n in _NEVER):
                raise ValueError("what is counted is no finite number")
            numbers |= {name: int(numbers[name]) for name in ("moments", "before")}
            numbers |= {"running": bool(numbers["running"]), "began": began}
            bands = tuple(
                named[f"bands.{n}"] for n in range(sum(name.startswith("bands.") for name in named))
            )
            given: dict[str, Any] = {**numbers, **{name: named.get(name) for name in _ARRAYS}}
            state = cls(bands=bands, **given)
            if state.features is not None and not abs(state.ahead) < 2.0:
                raise ValueError("its moments are of another time than its last frame")
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise StateError(
                "these bytes are no saved count; pass what RecurrenceState.to_bytes returned"
            ) from error
        return state

    @property
    def ahead(self) -> float:
        """How many moments the next one is after the last frame."""
        return (self.origin - self.clock) * RATE + self.moments

    def to_bytes(self) -> bytes:
        """The state as safetensors bytes, to keep in a file or a database."""
        from safetensors.numpy import save

        return save(self.to_arrays())

    @classmethod
    def from_bytes(cls, data: bytes) -> RecurrenceState:
        """The state that ``to_bytes`` wrote, bit for bit; raises ``StateError`` for anything else."""
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            named = load(bytes(data))
        except (SafetensorError, TypeError, ValueError) as error:
            raise StateError(
                "these bytes are no saved count; pass what RecurrenceState.to_bytes returned"
            ) from error
        return cls.from_arrays(named)


_ARRAYS = ("features", "past", "products", "energies")
_NEVER = ("clock", "since", "seen", "counted")  # -inf: it was never
_NUMBERS = tuple(field.name for field in fields(RecurrenceState) if field.name not in (*_ARRAYS, "bands"))


class RecurrenceCounter:
    """Counts what repeats in streams of features; it is stateless, so all streams may share one.

    >>> counter = RecurrenceCounter()
    >>> state = counter.initial_state()
    >>> for n in range(61):
    ...     angle = 2 * math.pi * n / 10 / 1.5  # one turn in 1.5 s
    ...     place = np.array([math.cos(angle), math.sin(angle)], np.float32)
    ...     found, state = counter.step(place, n / 10, state)
    >>> found.count, round(found.period, 1)
    (4, 1.5)
    """

    def __init__(self, settings: RecurrenceSettings | None = None) -> None:
        self.settings = settings or RecurrenceSettings()
        self._octaves: list[tuple[float, float]] = []
        shortest = self.settings.shortest
        while shortest < self.settings.longest - 1e-9:
            self._octaves.append((shortest, min(2 * shortest, self.settings.longest)))
            shortest *= 2
        starts = [low * RATE for low, _ in self._octaves]
        self._smooth = [max(round(_SMOOTHING * start), 1) for start in starts]
        self._drift = [max(round(_DRIFT * start), 2) for start in starts]
        self._lags = [
            np.arange(max(1, math.floor(low * RATE / _BESIDE)), math.ceil(high * RATE * _BESIDE) + 1)
            for low, high in self._octaves
        ]
        lags = np.concatenate(self._lags)
        self._window = np.maximum(np.round(np.maximum(lags, _WINDOW * RATE)).astype(int), 1)
        self._known_from = lags + self._window  # moments
        self._inside = np.arange(self._window.max())[:, None] < self._window
        self._lately = np.arange(self._window.max())[:, None] < np.maximum(self._window // 3, 1)
        ends = np.cumsum([len(own) for own in self._lags])
        self._peak = np.ones(len(lags), bool)  # it has a neighbour on both sides
        self._peak[[*(ends - 1), 0, *ends[:-1]]] = False
        self._all_lags = lags
        self._low = np.concatenate(
            [np.full(len(o), low) for o, (low, _) in zip(self._lags, self._octaves, strict=True)]
        )
        self._high = np.concatenate(
            [np.full(len(o), high) for o, (_, high) in zip(self._lags, self._octaves, strict=True)]
        )

    def initial_state(self) -> RecurrenceState:
        """Nothing seen, nothing counted."""
        return RecurrenceState()

    def found(self, state: RecurrenceState) -> Recurrence:
        """What repeats as of this state: what the ``step`` that made it returned."""
        count = self._whole(state.cycles)
        return Recurrence(
            count=count,
            period=state.period if state.running and count else None,
            began=state.began if count else None,
            seen=state.counted if count else None,
            total=state.before + count,
            correlation=state.correlation if state.running and count else 0.0,
        )

    def check(self, state: RecurrenceState) -> None:
        """Raise ``StateError`` for a state whose arrays are not those of this counter."""
        if state.features is None:
            return
        arrays = (state.features, state.past, *state.bands, state.products, state.energies)
        found = [None if array is None else (array.shape, array.dtype) for array in arrays]
        if found != [(shape, np.float32) for shape in self._shapes(len(state.features))]:
            raise StateError("the state is of a counter with other settings: start from initial_state()")

    def _shapes(self, size: int) -> list[tuple[int, ...]]:
        """Of the arrays of a state of so many features: the features, the past, bands, products and energies."""
        lags, longest = len(self._window), int(self._window.max())
        bands = [(int(own[-1]) + 1, size) for own in self._lags]
        return [(size,), (max(self._drift), size), *bands, (longest, lags), (longest, lags)]

    def step(
        self, features: np.ndarray, timestamp: float, state: RecurrenceState
    ) -> tuple[Recurrence, RecurrenceState]:
        """(D,) features of the next frame -> what repeats, this frame included, and the state for the next call.

        After a long gap, and where the clock jumps back, nothing before is compared. A timestamp up to a second
        before the last one adds nothing. Features of another size raise ``StateError``.
        """
        features = np.asarray(features, np.float32)
        if features.ndim != 1 or not np.isfinite(features).all() or not math.isfinite(timestamp):
            raise StreamrecError("features are one row of finite numbers, and a timestamp is a finite number")
        if state.features is not None and state.features.shape != features.shape:
            raise StateError(
                f"the state has {len(state.features)} features and the frame {len(features)}: "
                "start from this counter's initial_state()"
            )
        elapsed = timestamp - state.clock
        if state.features is None or elapsed > self.settings.max_gap or elapsed < -_JITTER:
            began = self._begin(features, timestamp, state.before + self._whole(state.cycles))
            return self.found(began), began
        if elapsed <= 0:
            return self.found(state), state
        before, last = state.features, state.clock
        while (due := state.origin + state.moments / RATE) <= timestamp:
            share = np.float32((due - last) / elapsed)
            state = self._moment(before + (features - before) * share, due, state)
        state = replace(state, features=features, clock=timestamp)
        return self.found(state), state

    def _begin(self, features: np.ndarray, timestamp: float, before: int) -> RecurrenceState:
        past, *bands, products, energies = (
            np.zeros(shape, np.float32) for shape in self._shapes(len(features))[1:]
        )
        state = RecurrenceState(
            features=features,
            clock=timestamp,
            origin=timestamp,
            past=past,
            bands=tuple(bands),
            products=products,
            energies=energies,
            before=before,
        )
        return self._moment(features, timestamp, state)

    def _moment(self, features: np.ndarray, time: float, state: RecurrenceState) -> RecurrenceState:
        """Compare one moment with those before it, and count."""
        assert state.past is not None and state.products is not None and state.energies is not None
        moments = state.moments + 1
        past = _pushed(state.past, features)
        sums = past[:moments].cumsum(0, dtype=np.float64)
        bands, products, energies = [], [], []
        for band, lags, smooth, drift in zip(state.bands, self._lags, self._smooth, self._drift, strict=True):
            near, far = min(smooth, moments), min(drift, moments)
            band = _pushed(band, sums[near - 1] / near - sums[far - 1] / far)
            bands.append(band)
            earlier = band[lags]
            products.append(earlier @ band[0])
            energies.append((np.einsum("ld,ld->l", earlier, earlier) + band[0] @ band[0]) / 2)
        state = replace(
            state,
            moments=moments,
            past=past,
            bands=tuple(bands),
            products=_pushed(state.products, np.concatenate(products)),
            energies=_pushed(state.energies, np.concatenate(energies)),
        )
        period, correlation = self._period(state)
        return self._count(period, time, replace(state, correlation=correlation))

    def _period(self, state: RecurrenceState) -> tuple[float, float]:
        """The period in seconds at which the last moments recur, and their correlation; zeros where they do not."""
        assert state.past is not None and state.products is not None and state.energies is not None
        known = state.moments >= self._known_from
        if not known.any():
            return 0.0, 0.0
        alike = np.where(self._inside, state.products, 0).sum(0)
        energy = np.where(self._inside, state.energies, 0).sum(0)
        correlation = np.where(known, alike / np.maximum(energy, 1e-9), np.nan)
        power = energy / self._window
        least = max(state.past.shape[1] * self.settings.motion**2, _SHARE * float(power[known].max()))
        lately = np.where(self._lately, state.energies, 0).sum(0) / self._lately.sum(0)
        moving = (power > least) & (lately > _STOPPED * power)
        middle, left, right = correlation, np.roll(correlation, 1), np.roll(correlation, -1)
        with np.errstate(invalid="ignore"):
            peaks = self._peak & moving & (middle > self.settings.clear) & (middle >= left) & (middle > right)
        at = np.flatnonzero(peaks)
        bend = left[at] - 2 * middle[at] + right[at]
        periods = (self._all_lags[at] + 0.5 * (left[at] - right[at]) / bend) / RATE  # the top of a parabola
        inside = (periods >= self._low[at] / _BORDER) & (periods < self._high[at] * _BORDER)
        inside &= middle[at] - self._valleys(correlation)[at] >= _DEPTH
        heights, periods = middle[at][inside], periods[inside]
        if not len(periods):
            return 0.0, 0.0
        high = np.flatnonzero(heights >= _NEARLY * heights.max())
        chosen = high[periods[high].argmin()]
        return float(periods[chosen]), float(min(heights[chosen], 1.0))

    def _valleys(self, correlation: np.ndarray) -> np.ndarray:
        """(lags,) -> (lags,) the least correlation at this or a shorter lag of the octave."""
        parts = np.split(correlation, np.cumsum([len(own) for own in self._lags])[:-1])
        return np.concatenate([np.minimum.accumulate(part) for part in parts])

    def _count(self, period: float, time: float, state: RecurrenceState) -> RecurrenceState:
        """The state with this moment counted; ``period``: 0 where nothing recurs."""
        if not period:
            lost = time - state.counted
            if state.running and lost > _HOLD * max(state.period, 1.0):
                state = replace(state, running=False, period=0.0)
            if not state.running and state.began is not None and lost > self.settings.pause:
                state = replace(
                    state, began=None, cycles=0.0, before=state.before + self._whole(state.cycles)
                )
            return state
        if state.running:
            state, same = self._change(period, time, state)
            if not same:
                return self._count(0.0, time, state)
            assert state.began is not None
            lasts = time - state.began
            if not _are_alike(period, state.period) and lasts <= _ANEW * period:
                cycles = lasts / period  # it was not known yet when the set began
            else:
                cycles = state.cycles + (time - state.counted) / period
            return replace(
                state,
                cycles=cycles,
                seen=time,
                counted=time,
                period=period,
                other=0.0,
                clear=state.correlation,
            )
        if time - max(period, _WINDOW) < state.counted:  # what recurs is what has been counted
            return self._count(0.0, time, state)
        alike = _are_alike(period, state.period)
        since = state.since if alike and time - state.seen <= _MISSED else time
        state = replace(state, since=since, seen=time, period=period)
        if time - since < max(_CONFIRMED * period, _BRIEFLY) - 1e-9:
            return state
        # When it was found first it had gone on for a period, and for the window of the correlation before.
        start = max(since - max(period, _WINDOW) - period, state.counted, state.origin)
        return replace(
            state,
            running=True,
            cycles=state.cycles + (time - start) / period,
            counted=time,
            clear=state.correlation,
            began=start if state.began is None else state.began,
        )

    def _change(self, period: float, time: float, state: RecurrenceState) -> tuple[RecurrenceState, bool]:
        """Whether the set goes on with this period: one much like the last, or another that has held for as long.

        Where a motion stops, longer and longer multiples of its period recur for a moment each.
        """
        if _are_alike(period, state.period):
            return replace(state, other=0.0), True
        if not _are_alike(period, state.other):
            return replace(state, other=period, since=time), False
        held = _HELD if state.correlation >= state.clear else _HELD_FAINT
        return replace(state, other=period), time - state.since >= held * period

    def _whole(self, cycles: float) -> int:
        """Repetitions of a set that are done, or nearly so; 0 where they are too few for a set."""
        count = math.floor(cycles + 0.5)
        return count if count >= self.settings.least else 0


def _are_alike(period: float, other: float) -> bool:
    return other > 0 and max(period / other, other / period) <= _ALIKE


def _pushed(rows: np.ndarray, row: np.ndarray) -> np.ndarray:
    """The rows with a new one before them and without the last."""
    return np.concatenate([row[None].astype(rows.dtype, copy=False), rows[:-1]])

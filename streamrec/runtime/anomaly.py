"""Anomalies of any series, as a recognizer: it has no file and has learned nothing; it learns from the stream alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NoReturn

import numpy as np

from streamrec.core.arguments import MODEL_FPS, STRANGENESS, is_number
from streamrec.core.messages import described, shortened
from streamrec.core.model_names import ANOMALY
from streamrec.core.rates import parse_rate
from streamrec.core.state import State
from streamrec.errors import ModelError, PictureError, StateError, StreamrecError
from streamrec.events.detector import EventSettings
from streamrec.nn.config import ModelConfig
from streamrec.nn.forecaster import Forecaster
from streamrec.nn.signals import numbers_of
from streamrec.nn.surprise import Found, SeriesDetector
from streamrec.nn.transforms import InputTransform
from streamrec.runtime.recognizer import Recognizer
from streamrec.types import SIGNAL, Forecast, Frame, Prediction

RATE = "1/week"  # false events, where nothing else is asked for
NORMAL = "normal"
LEAVE = 0.1  # probability under which an anomaly is over
MOST_CHANNELS = 64
_MOST_LOGIT = 30.0
_MOST_READINGS = 2**53  # of a state that can be real
_LEAST_BORDER = 0.1  # powers of ten: where nearly every reading may be an event


@dataclass(frozen=True, kw_only=True)
class SeriesTransform(InputTransform):
    """Rows of readings as they are: any number of channels, at any rate."""

    sense: ClassVar[str] = SIGNAL
    dtype: ClassVar[type] = np.float32
    input_name: ClassVar[str] = "readings"

    @property
    def shape(self) -> tuple[int, ...]:
        """(1,): of the usual series."""
        return (1,)

    @property
    def described(self) -> str:
        """Any channels."""
        return "readings of any channels"

    def normalization(self) -> tuple[np.ndarray, np.ndarray]:
        """None: the stream gives its own."""
        return np.zeros(1, np.float32), np.ones(1, np.float32)

    def blank(self) -> np.ndarray:
        """A zero."""
        return np.zeros(1, np.float32)

    def read(self, given: Any) -> np.ndarray:
        """A number, a row of numbers or a mapping of channels to numbers -> (C,) float32."""
        if is_number(given):
            given = [given]
        if isinstance(given, Mapping):
            given = list(given.values())
        return self.stored(numbers_of(given))

    def stored(self, data: np.ndarray) -> np.ndarray:
        """(C,) of numbers -> (C,) float32; raises ``PictureError`` for what is none."""
        if not isinstance(data, np.ndarray) or data.ndim != 1 or data.dtype.kind not in "fiu":
            raise PictureError(f"anomaly takes rows of readings, not {described(data)}")
        if not 1 <= data.size <= MOST_CHANNELS:
            raise PictureError(
                f"a row holds {data.size} readings: anomaly takes 1 to {MOST_CHANNELS} channels"
            )
        row = data.astype(np.float32)
        if not np.isfinite(row).all():
            raise PictureError(f"a row of readings holds what is no number: {shortened(row.tolist())}")
        return row

    def inputs(self, stored: np.ndarray) -> np.ndarray:
        """As they are."""
        return stored


class AnomalyRecognizer(Recognizer):
    """Forecasts the next reading of a stream, learns from each, and reports what does not fit: ``anomaly``.

    What it has learned, what the series has been and how rare an error is are in the state, so that all streams may
    share one recognizer. The probability of ``anomaly`` is that of an event against a false one: 0.5 where so many
    false events are to be expected as are allowed. A gap or another segment is no new stream: what was learned stays.

    >>> recognizer = AnomalyRecognizer(per_day=1.0)
    >>> state = recognizer.initial_state()
    >>> for n in range(300):
    ...     frame = Frame(np.array([80.0 if n == 280 else n % 5.0], np.float32), n, 60.0 * n)
    ...     prediction, state = recognizer.step(frame, state)
    ...     if prediction.label == "anomaly":
    ...         print(n, prediction.forecast.reading)
    280 80.0
    """

    def __init__(self, per_day: float = 1.0 / 7.0, *, seed: int = 0) -> None:
        """``per_day``: false events that are allowed."""
        if not (is_number(per_day) and math.isfinite(per_day) and per_day > 0.0):
            raise ModelError(f"per_day is {shortened(per_day)}: give the false events a day that are allowed")
        self.name = ANOMALY
        self.per_day = per_day
        self._detector = SeriesDetector(Forecaster(seed=seed))
        # The arrays of ``State.head``: names in order, and of each its shape behind the channel, and its type.
        kept = self._detector.initial_state()
        self._names = tuple(sorted(kept))
        self._forms = [(kept[name].shape[1:], kept[name].dtype) for name in self._names]
        self._config = ModelConfig(
            labels=(NORMAL, ANOMALY),
            encoder="forecaster",
            transform=SeriesTransform(),
            fps=MODEL_FPS.high,
            max_gap=3600.0,
            events=EventSettings(
                enter=0.5, leave=LEAVE, smoothing=0.0, shortest=0.0, merge_gap=0.0, background=(NORMAL,),
                strangest=STRANGENESS.high,
            ),
            about="readings that do not fit what the series has been; it learns from the stream alone",
        )  # fmt: skip

    @classmethod
    def named(cls, name: str) -> AnomalyRecognizer:
        """That of ``anomaly``, or of ``anomaly:1/week`` with a rate of false events; raises ``ModelError``."""
        _, colon, rate = name.partition(":")
        try:
            return cls(24.0 * parse_rate(rate if colon else RATE))
        except StreamrecError as error:
            raise ModelError(f"model {shortened(name.removesuffix(':'))[1:-1]}: {error}") from error

    @property
    def config(self) -> ModelConfig:
        """Labels and event settings; there are no weights to read."""
        return self._config

    @property
    def origins(self) -> Mapping[str, Any]:
        """None: it is of no file."""
        return {}

    @property
    def engine(self) -> str:
        """It runs in numpy."""
        return "numpy"

    @property
    def device(self) -> str:
        """The CPU."""
        return "cpu"

    @property
    def finds_people(self) -> bool:
        """No."""
        return False

    @property
    def per_person(self) -> tuple[str, ...]:
        """No person is judged."""
        return ()

    def initial_state(self) -> State:
        """The state of a stream that has seen nothing; its arrays come with the first row, which has the channels."""
        return State(
            head=(),
            cache=(),
            clock=np.full(1, -math.inf),
            segment=np.zeros(1, np.int64),
            probabilities=np.zeros((1, 2), np.float32),
            strangeness=np.zeros(1, np.float32),
        )

    def step_many(self, frames: Sequence[Frame], states: Sequence[State]) -> list[tuple[Prediction, State]]:
        """One reading of each stream, one after the other: each has weights of its own."""
        if len(frames) != len(states):
            raise StateError(f"{len(frames)} frames came with {len(states)} states; give one each")
        return [self._one(frame, state) for frame, state in zip(frames, states, strict=True)]

    def _one(self, frame: Frame, state: State) -> tuple[Prediction, State]:
        if not isinstance(frame, Frame):
            raise PictureError(f"{described(frame)} is no frame: give Frame(row, index, timestamp)")
        row = self._config.transform.stored(frame.data)
        self._check(state)
        if state.head:
            kept = {name: array[0].copy() for name, array in zip(self._names, state.head, strict=True)}
            channels = len(kept["low"])
            if channels != row.size:
                raise PictureError(f"this row holds {row.size} readings, and the stream had {channels}")
            held = bool(state.cache[0][0, 0])
        else:
            kept, held = self._detector.initial_state(1, row.size), False
        found = self._detector.advance(row[None], np.array([frame.timestamp], np.float64), kept)
        logit = float(
            np.clip((math.log10(self.per_day) - found.rate[0]) * math.log(10.0), -_MOST_LOGIT, _MOST_LOGIT)
        )
        likely = 1.0 / (1.0 + math.exp(-logit))
        held = bool(found.begins[0]) or (held and likely >= LEAVE)
        probability = likely if held else 0.0
        after = State(
            head=tuple(kept[name][None] for name in self._names),
            cache=(np.array([[held]], np.float32),),
            clock=np.array([frame.timestamp], np.float64),
            segment=np.array([frame.segment], np.int64),
            probabilities=np.array([[1.0 - probability, probability]], np.float32),
            strangeness=np.array([self._strangeness(found)], np.float32),
        )
        return replace(self._prediction(after), forecast=_forecast(found, row)), after

    def _strangeness(self, found: Found) -> float:
        """The out-of-distribution score: 1 is the border, where as many false events are expected as are allowed."""
        rarity = float(found.rarity[0])
        border = rarity + float(found.rate[0]) - math.log10(self.per_day)
        return rarity / max(border, _LEAST_BORDER)

    def prefetch(self, frame: Frame) -> Frame:
        """The frame: nothing can be done ahead."""
        return frame

    def reserve(self, streams: int) -> None:
        """Nothing: no memory is shared."""

    def head_inputs(self, state: State) -> dict[str, np.ndarray]:
        """Nothing: there is no last layer that is compared."""
        return {}

    def person_inputs(self, state: State) -> dict[int, dict[str, np.ndarray]]:
        """None: no person is judged."""
        return {}

    def _check(self, state: State) -> None:
        if not isinstance(state, State):
            raise StateError(
                f"a state is what initial_state() or step() returned, not {type(state).__name__}"
            )
        if state.probabilities.shape != (1, 2) or not (self._fits(state) if state.head else not state.cache):
            raise StateError("this state belongs to another model than 'anomaly'; start from initial_state()")

    def _fits(self, state: State) -> bool:
        """Whether its arrays are those of a stream of this detector, of any number of channels."""
        if len(state.head) != len(self._names) or [one.shape for one in state.cache] != [(1, 1)]:
            return False
        named = dict(zip(self._names, state.head, strict=True))
        channels, counts = named["low"].shape[-1], named["net.count"]
        return (
            1 <= channels <= MOST_CHANNELS
            and all(
                array.shape == (1, 1 if name == "recent" else channels, *shape) and array.dtype == dtype
                for (name, array), (shape, dtype) in zip(named.items(), self._forms, strict=True)
            )
            and bool((counts == counts[0, 0]).all())
            and 0 < counts[0, 0] < _MOST_READINGS
        )

    def _checkpoint(self) -> NoReturn:
        raise ModelError(
            "anomaly has no file to write: it has learned nothing but its streams; keep a stream's state, "
            "state.to_bytes()"
        )


def _forecast(found: Found, row: np.ndarray) -> Forecast | None:
    channel = int(found.channel[0])
    expected = float(found.expected[0, channel])
    return Forecast(channel, float(row[channel]), expected) if math.isfinite(expected) else None

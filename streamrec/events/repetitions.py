"""Repetition counting: phases in, repetitions out; the phase is unwrapped, so that jitter never counts twice.

A model that counts predicts with each frame its place in a repetition: an angle, 0 at the start, a full turn
at the start of the next, as a cosine and a sine whose length is the confidence.

**Unwrapping.** From frame to frame the angle moves by the turn that is nearest to a little forward; a phase of low
confidence, or faster than a person moves, is skipped. The moves are summed. A repetition counts when the sum
is nearly a full turn (``done``), and a full turn lies between one count and the next: an angle that swings back and
forth, around 0 or anywhere, adds nothing. Backward moves must be made up for first.

**Sets.** Repetitions count while a counted label is the likeliest on average over ``smoothing`` seconds, so
flicker changes nothing. The phase is unwrapped from the first frame with that label: a late average costs no
repetition. The count starts anew when another counted label takes over and after ``pause`` seconds without one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from streamrec.core.arguments import is_number
from streamrec.core.messages import shortened
from streamrec.errors import StateError, StreamrecError
from streamrec.types import ActionEnded, ActionStarted, Event, Prediction

_TURN = 2.0 * math.pi
_BACKWARD = 0.375  # of a turn: a larger move back between two frames is taken as one forward
_LOOSE = 1 / 6  # of a turn: how far from smooth motion a phase may be between two frames
_LEAST = 0.125  # of a turn: how much of a repetition must be seen before it counts
_MOST = 1e6  # of any of the settings
_JITTER = 1.0  # seconds: a clock may step back this far; farther is a jump


@dataclass(frozen=True, kw_only=True)
class CountSettings:
    """Confidence and part of a turn from which a repetition counts, and how long a set waits for the next one.

    >>> CountSettings(done=1.5)
    Traceback (most recent call last):
    ...
    streamrec.errors.StreamrecError: done is 1.5: set it from 0.5 to 1, as a share of a repetition
    """

    sure: float = 0.3  # length of the phase, 0 to 1, from which it is used
    done: float = 0.875  # share of a repetition after which it counts: many end before the full turn
    fastest: float = 2.5  # repetitions a second; faster is no motion
    smoothing: float = 0.5  # seconds, time constant of the average that chooses the label
    pause: float = 3.0  # seconds without a counted label after which the count starts anew

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self)):
            value = getattr(self, name)
            if not is_number(value) or not -_MOST < value < _MOST:
                raise StreamrecError(f"{name} is {shortened(value)}: give a finite number")
            if value < 0:
                raise StreamrecError(f"{name} is {value}: set it to 0 or more")
        if not 0.5 <= self.done <= 1:
            raise StreamrecError(f"done is {self.done}: set it from 0.5 to 1, as a share of a repetition")
        if self.fastest < 1 / _MOST:
            raise StreamrecError(f"fastest is {self.fastest:g} repetitions a second: set it to more than 0")


@dataclass(frozen=True, slots=True, eq=False)
class CountState:
    """A counter's state of one stream; never changed in place. A label is its place among the counted ones."""

    totals: tuple[int, ...]  # repetitions of each counted label since the stream began
    before: tuple[int, ...]  # the totals when the label's action began, or when its last one ended
    smoothed: np.ndarray | None = None  # (labels,) float64, read-only; None before the first frame
    timestamp: float = -math.inf  # of the last frame
    label: int | None = None  # of the set; None: there is no set
    base: int = 0  # the label's total when the set began
    active: float = -math.inf  # seconds: when a counted label was last the likeliest
    angle: float | None = None  # radians, of the last phase used; None: there is none
    moment: float = 0.0  # seconds: of that phase
    turned: float = 0.0  # radians since the start of the repetition; negative: to be made up for
    waiting: int = 0  # repetitions whose label is not settled

    @property
    def count(self) -> int:
        """Repetitions of the set."""
        return 0 if self.label is None else self.totals[self.label] - self.base

    def to_array(self, labels: int) -> np.ndarray:
        """(9 + 2 counted + labels,) float64: all of it; ``RepetitionCounter.state_of`` reads it, bit for bit."""
        smoothed = np.zeros(labels) if self.smoothed is None else self.smoothed
        label = -1 if self.label is None else self.label
        angle = math.nan if self.angle is None else self.angle
        found = np.array(
            [
                self.timestamp, label, self.base, self.active, angle, self.moment, self.turned, self.waiting,
                self.smoothed is not None, *self.totals, *self.before, *smoothed,
            ],
            np.float64,
        )  # fmt: skip
        found.setflags(write=False)
        return found


class RepetitionCounter:
    """Counts the repetitions of a stream; it is stateless, so all streams may share one.

    >>> counter = RepetitionCounter(["idle", "squat"], ["squat"])
    >>> state = counter.initial_state()
    >>> for n in range(61):
    ...     angle = 2 * math.pi * 0.5 * n / 10  # half a repetition a second
    ...     phase = math.cos(angle), math.sin(angle)
    ...     scores = np.array([0.1, 0.9], np.float32)
    ...     prediction = Prediction("squat", 0.9, scores, n / 10, ("idle", "squat"), phase)
    ...     count, state = counter.step(prediction, n / 10, state)
    ...     if n % 20 == 0:
    ...         print(f"after {n // 10} s: {count}")
    after 0 s: 0
    after 2 s: 1
    after 4 s: 2
    after 6 s: 3
    """

    def __init__(
        self, labels: Sequence[str], counted: Sequence[str], settings: CountSettings | None = None
    ) -> None:
        self.labels = tuple(labels)
        self.counted = tuple(counted)
        self.settings = settings or CountSettings()
        unknown = [label for label in self.counted if label not in self.labels]
        if unknown:
            raise StreamrecError(f"{', '.join(unknown)} cannot be counted: the labels are {self.labels}")
        self._place = {label: place for place, label in enumerate(self.counted)}

    def initial_state(self) -> CountState:
        """Nothing seen, nothing counted."""
        nothing = (0,) * len(self.counted)
        return CountState(nothing, nothing)

    def state_of(self, array: np.ndarray) -> CountState:
        """The state that ``CountState.to_array`` wrote; raises ``StateError`` for anything else."""
        counted, labels = len(self.counted), len(self.labels)
        wrong = StateError("this is no count of repetitions of this model: start from initial_state()")
        if array.shape != (9 + 2 * counted + labels,) or array.dtype != np.float64:
            raise wrong
        timestamp, label, base, active, angle, moment, turned, waiting, known = array[:9].tolist()
        finite = np.isfinite(array)
        finite[[0, 3, 4]] = True  # before the first frame; no set so far; no phase
        if not finite.all() or not -1 <= label < counted or timestamp == math.inf:
            raise wrong
        totals = tuple(map(int, array[9 : 9 + counted]))
        before = tuple(map(int, array[9 + counted : 9 + 2 * counted]))
        return CountState(
            totals,
            before,
            smoothed=array[9 + 2 * counted :] if known else None,
            timestamp=timestamp,
            label=None if label < 0 else int(label),
            base=int(base),
            active=active,
            angle=None if math.isnan(angle) else angle,
            moment=moment,
            turned=turned,
            waiting=int(waiting),
        )

    def step(self, prediction: Prediction, timestamp: float, state: CountState) -> tuple[int, CountState]:
        """The repetitions of the set that is under way, this frame included, and the state for the next call.

        A timestamp up to a second before the last one counts as the last one; one further back is a jump, and
        the count starts anew. A new segment starts from ``initial_state``. A prediction without a phase
        raises ``StreamrecError``; a state of another counter raises ``StateError``.
        """
        phase, raw = self._checked(prediction, timestamp, state)
        if timestamp < state.timestamp - _JITTER:
            state = replace(self.initial_state(), totals=state.totals, before=state.before)
        timestamp = max(timestamp, state.timestamp)
        smoothed = self._smoothed(raw, timestamp, state)
        current, settled = self._counted(raw), self._counted(smoothed)

        if current is None and settled is None:
            state = replace(state, angle=None, waiting=0)
        else:
            state = self._follow(phase, timestamp, state)

        label, base, active = state.label, state.base, state.active
        if timestamp - active > self.settings.pause:
            label = None
        totals, waiting = state.totals, state.waiting
        if settled is not None:
            if settled != label:
                label, base = settled, totals[settled]
            active = timestamp
            if current is None or current == settled:
                totals = (*totals[:settled], totals[settled] + waiting, *totals[settled + 1 :])
                waiting = 0
        state = replace(
            state,
            totals=totals,
            smoothed=smoothed,
            timestamp=timestamp,
            label=label,
            base=base,
            active=active,
            waiting=waiting,
        )
        return state.count, state

    def add_counts(
        self, events: tuple[Event, ...], state: CountState
    ) -> tuple[tuple[Event, ...], CountState]:
        """The same events, with repetitions where an action of a counted label ended; and the state after them.

        A set may hold several actions, with dips between them: each repetition belongs to one.
        """
        counted: list[Event] = []
        before = list(state.before)
        for event in events:
            place = self._place.get(event.label)
            if place is not None:
                total = state.totals[place]
                if isinstance(event, ActionStarted):
                    before[place] = max(before[place], state.base if state.label == place else total)
                elif isinstance(event, ActionEnded):
                    event = replace(event, repetitions=total - before[place])
                    before[place] = total
            counted.append(event)
        return tuple(counted), replace(state, before=tuple(before)) if counted else state

    def _follow(self, phase: tuple[float, float], timestamp: float, state: CountState) -> CountState:
        """Move with the phase, if it is confident; a repetition that is done waits for its label."""
        settings = self.settings
        length = math.hypot(*phase)
        if not math.isfinite(length) or length < settings.sure:
            return state
        angle = math.atan2(phase[1], phase[0])
        done = settings.done * _TURN
        if state.angle is None:
            latest = done - _LEAST * _TURN
            turned = latest - (latest - angle) % _TURN
        else:
            back = _BACKWARD * _TURN
            move = (angle - state.angle + back) % _TURN - back
            reach = settings.fastest * (timestamp - state.moment) + _LOOSE
            if abs(move) > reach * _TURN:
                return state
            turned = state.turned + move
        waiting = state.waiting
        if turned >= done:
            turned, waiting = turned - _TURN, waiting + 1
        elif turned < -_TURN:  # of backward moves at most one repetition must be made up for
            turned += _TURN
        return replace(state, angle=angle, moment=timestamp, turned=turned, waiting=waiting)

    def _smoothed(self, raw: np.ndarray, timestamp: float, state: CountState) -> np.ndarray:
        if state.smoothed is None or not self.settings.smoothing:
            smoothed = raw.copy()
        else:
            weight = 1.0 - math.exp((state.timestamp - timestamp) / self.settings.smoothing)
            smoothed = state.smoothed + weight * (raw - state.smoothed)
        smoothed.setflags(write=False)
        return smoothed

    def _counted(self, scores: np.ndarray) -> int | None:
        """The place of the likeliest label among the counted; None where it is not counted."""
        return self._place.get(self.labels[int(scores.argmax())])

    def _checked(
        self, prediction: Prediction, timestamp: float, state: CountState
    ) -> tuple[tuple[float, float], np.ndarray]:
        raw = np.asarray(prediction.probabilities, np.float64)
        if prediction.phase is None:
            raise StreamrecError("the prediction has no phase: take a model that counts (config.counted)")
        if raw.shape != (len(self.labels),) or prediction.labels not in ((), self.labels):
            raise StreamrecError(
                f"the prediction is about {prediction.labels} and the counter about {self.labels}: "
                "make the counter with the labels of the model"
            )
        if len(state.totals) != len(self.counted):
            raise StateError(
                f"the state counts {len(state.totals)} labels and the counter {len(self.counted)}: "
                "start from this counter's initial_state()"
            )
        if not math.isfinite(timestamp):
            raise StreamrecError(f"the timestamp is {timestamp}: give the frame's time in seconds")
        return prediction.phase, raw

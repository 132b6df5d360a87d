"""Event detection: scores in, started and ended actions out, with smoothing, hysteresis and cool-down.

A flickering score gives one event.

Each label is watched on its own, on two scores: the *raw* probability of the frame, and the *smoothed* one,
an exponential average that depends on the elapsed time, so that the frame rate does not matter.

**Start.** The smoothed score decides *that* an action began, the raw score *when*. A frame whose raw score
reaches ``enter`` opens a candidate; evidence ``(raw - enter) * elapsed`` is summed from there, and the
candidate is dropped when the sum is negative (the onset estimate of Page's CUSUM test, Biometrika 1954). The
start is notified when the smoothed score too is at ``enter`` and the candidate is ``shortest`` seconds old.
``shortest`` is counted from the raw rise, so it runs *while* the average climbs, not after it: a clean step
is notified after ``max(shortest, smoothing * ln(1 / (1 - enter)))`` seconds, 0.3 with the defaults, and its
``timestamp`` is the frame where the score rose, not the frame that gave the event.

**End.** The same in reverse: a raw score under ``leave`` opens a candidate, and the end is notified when the
smoothed score too is under ``leave`` and the candidate is ``merge_gap`` seconds old. A shorter dip is no end.

**Change.** When another action starts while this one is under ``leave``, there is no dip left to wait for:
this one ends in that same step, before the other starts. Probabilities that sum to 1 cannot have one score
over ``enter`` and another over ``leave`` when ``enter + leave >= 1``, so with such settings two actions
never run at once; with independent scores (sigmoids) they may.

**Cool-down.** After an end the same label does not start again for ``cool_down`` seconds; an action that began
meanwhile and still runs then starts then, dated to its onset.

**Unknown.** While the out-of-distribution score of the image is above ``strangest``, where that is set, no candidate
opens, and pending candidates are dropped: an action that begins there starts once the image is known again. What runs
goes on.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from streamrec.core.arguments import COOL_DOWN, PART, PAUSE, STRANGENESS, is_number
from streamrec.core.messages import shortened
from streamrec.errors import StateError, StreamrecError
from streamrec.types import ActionEnded, ActionStarted, Event, Prediction

INSTANT = 1e-6  # seconds: frame times are sums of rounded steps, and 0.7 - 0.4 is less than 0.3
_JITTER = 1.0  # seconds: a clock may step back this far; farther is a jump
_ROUNDING = 1e-3  # a softmax in float16 may give 1.0005


# The fields of EventSettings that are numbers, and their limits.
LIMITS = {
    "enter": PART,
    "leave": PART,
    "smoothing": PAUSE,
    "shortest": PAUSE,
    "merge_gap": PAUSE,
    "cool_down": COOL_DOWN,
    "strangest": STRANGENESS,
}


# Common names of labels that mean that nothing happens: no actions.
BACKGROUND = frozenset({"background", "idle", "neutral", "no_action", "none", "normal", "nothing", "other"})
NUMBERS = ("enter", "leave", "smoothing", "shortest", "merge_gap", "cool_down")  # may differ by label


def _finite(value: Any) -> bool:
    return bool(
        -math.inf < value < math.inf
    )  # and not math.isfinite, which a whole number of 400 digits breaks


def _as_pairs(labels: Any) -> tuple[tuple[str, tuple[tuple[str, float], ...]], ...]:
    """Mappings of mappings, or the lists of pairs that JSON makes of the pairs."""
    try:
        return tuple((str(label), tuple(dict(numbers).items())) for label, numbers in dict(labels).items())
    except (TypeError, ValueError) as error:
        raise StreamrecError(
            f'by_label is {shortened(labels)}: give each label its numbers, like {{"fight": {{"enter": 0.9}}}}'
        ) from error


def _are_names(names: object) -> bool:
    return isinstance(names, Collection) and all(isinstance(name, str) for name in names)


@dataclass(frozen=True, kw_only=True)
class EventSettings:
    """Thresholds, confirmation times and cool-down: when an action counts as started or ended.

    >>> EventSettings(enter=0.5, leave=0.7)
    Traceback (most recent call last):
    ...
    streamrec.errors.StreamrecError: leave is 0.7 and enter is 0.5: set 0 < leave <= enter <= 1
    """

    enter: float = 0.6  # probability at which an action begins
    leave: float = 0.4  # probability under which it is over
    smoothing: float = 0.3  # seconds, time constant of the average; 0 takes the scores as they are
    shortest: float = 0.3  # seconds that an action must last to start (confirmation time)
    merge_gap: float = 0.5  # seconds: a dip shorter than this does not end an action
    cool_down: float = 0.0  # seconds after an end in which the same label does not start again
    strangest: float = 0.0  # out-of-distribution score above which a frame starts nothing; 0: each may
    background: tuple[str, ...] = ()  # labels that are not actions; names that a model lacks are ignored
    # Label -> its own values of NUMBERS, given as mappings; kept as pairs, to be hashable.
    by_label: Mapping[str, Mapping[str, float]] | tuple[tuple[str, tuple[tuple[str, float], ...]], ...] = ()

    def __post_init__(self) -> None:
        for name in NUMBERS:
            value = getattr(self, name)
            if not is_number(value) or not _finite(value):
                raise StreamrecError(f"{name} is {shortened(value)}: give a finite number")
        if not 0 < self.leave <= self.enter <= 1:
            raise StreamrecError(
                f"leave is {self.leave} and enter is {self.enter}: set 0 < leave <= enter <= 1"
            )
        for name, allowed in LIMITS.items():
            if not allowed.holds(value := getattr(self, name)):
                raise StreamrecError(f"{name} is {shortened(value)}: set it to {allowed}")
        names = self.background
        if isinstance(names, str) or getattr(names, "ndim", 1) != 1 or not _are_names(names):
            raise StreamrecError(
                f"background is {shortened(self.background)}: give a tuple of labels, like ('idle',)"
            )
        object.__setattr__(self, "background", tuple(self.background))  # JSON gives a list
        object.__setattr__(self, "by_label", _as_pairs(self.by_label))
        for label, numbers in self.numbers_by_label.items():
            try:
                self.of(label)
            except (TypeError, StreamrecError) as error:
                unknown = [name for name in numbers if name not in NUMBERS]
                why = f"no such number: {', '.join(unknown)}; there are {', '.join(NUMBERS)}"
                raise StreamrecError(f"label {label!r}: {why if unknown else error}") from error

    def of(self, label: str) -> EventSettings:
        """The settings of one label: these, with its own numbers in place of the common ones.

        >>> settings = EventSettings(by_label={"fight": {"enter": 0.9}})
        >>> settings.of("fight").enter, settings.of("fall").enter
        (0.9, 0.6)
        """
        own: Any = self.numbers_by_label.get(label, {})
        return replace(self, by_label=(), **own)

    @property
    def numbers_by_label(self) -> dict[str, dict[str, float]]:
        """``by_label`` as mappings."""
        return {str(label): dict(numbers) for label, numbers in dict(self.by_label).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> EventSettings:
        """The settings that ``dataclasses.asdict`` wrote, as JSON gives them back.

        >>> EventSettings.from_dict({"enter": 0.7, "background": ["idle"]}).background
        ('idle',)
        """
        known = [field.name for field in fields(cls)]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise StreamrecError(f"no such event setting: {', '.join(unknown)}; there are {', '.join(known)}")
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Track:
    """One label that is rising or running: a candidate until its start is notified, an action from then on."""

    label: int
    onset: float  # seconds: the frame where the raw score rose
    notified: bool = False
    peak: float = 0.0  # highest smoothed score since onset
    fall: float | None = None  # seconds: the frame where the raw score fell; None while it is up
    evidence: float = 0.0  # score x seconds in favour of the next change: the start, or the end


@dataclass(frozen=True, slots=True, eq=False)
class EventState:
    """What a detector remembers of one stream; never changed in place."""

    smoothed: np.ndarray  # (labels,) float64, read-only
    timestamp: float | None = None  # of the last frame; None before the first
    tracks: tuple[Track, ...] = ()  # only the labels that are rising or running
    notified: float = -math.inf  # when a start was last notified
    ended: tuple[tuple[int, float], ...] = ()  # label: when its last action ended, where it has a cool-down


class EventDetector:
    """Turns the predictions of a stream into events; it is stateless, so all streams may share one.

    >>> detector = EventDetector(["idle", "wave"], EventSettings(background=("idle",)))
    >>> state = detector.initial_state()
    >>> for n in range(30):
    ...     wave = 0.9 if 10 <= n < 20 else 0.1
    ...     scores = np.array([1 - wave, wave])
    ...     events, state = detector.step(Prediction("", 0.0, scores, n / 10), n / 10, state)
    ...     for event in events:
    ...         print(f"at {n / 10}: {type(event).__name__} {event.label} {event.timestamp}")
    at 1.3: ActionStarted wave 1.0
    at 2.5: ActionEnded wave 2.0
    """

    def __init__(self, labels: Sequence[str], settings: EventSettings | None = None) -> None:
        if not isinstance(labels, Iterable):
            raise StreamrecError(f"labels are {shortened(labels)}: give a list of names")
        if settings is not None and not isinstance(settings, EventSettings):
            raise StreamrecError(f"settings are {shortened(settings)}: give EventSettings(...)")
        if isinstance(labels, str) or getattr(labels, "ndim", 1) != 1:
            raise StreamrecError(f"labels are {shortened(labels)}: give a list of names")
        self.labels = tuple(labels)
        self.settings = settings or EventSettings()
        if not self.labels or not _are_names(self.labels) or len(set(self.labels)) < len(self.labels):
            raise StreamrecError(
                f"labels are {shortened(labels)}: give at least one label, each a text, and each only once"
            )
        self._actions = np.array([label not in self.settings.background for label in self.labels])
        self._of = [self.settings.of(label) for label in self.labels]
        self._enter = np.array([own.enter for own in self._of])
        smoothing = {own.smoothing for own in self._of}
        self._smoothing = [own.smoothing for own in self._of] if len(smoothing) > 1 else [*smoothing]

    def is_unknown(self, prediction: Prediction) -> bool:
        """Whether the out-of-distribution score is above ``strangest``, or above 1 where that is 0."""
        return prediction.strangeness is not None and prediction.strangeness > (
            self.settings.strangest or 1.0
        )

    def initial_state(self) -> EventState:
        """Nothing seen, nothing running; scores begin at 0, so one confident first frame starts nothing."""
        smoothed = np.zeros(len(self.labels))
        smoothed.setflags(write=False)
        return EventState(smoothed)

    def step(
        self, prediction: Prediction, timestamp: float, state: EventState, source: str = ""
    ) -> tuple[tuple[Event, ...], EventState]:
        """The actions that started or ended with this prediction, ended ones first, and the state for the next call.

        Each ``ActionStarted`` is followed by exactly one ``ActionEnded`` of its label, if ``finish`` is
        called when the stream is over. A timestamp up to a second before the last one counts as the last one;
        one further back is a jump, which ends what runs and starts anew. Scores that are not probabilities
        (NaN, or logits) raise ``StreamrecError``; a state of other labels raises ``StateError``.
        """
        raw = self._checked(prediction, timestamp, state)
        last = state.timestamp
        if last is None:
            elapsed = 0.0
        elif timestamp < last - _JITTER:
            ended, state = self.finish(last, state, source)
            events, state = self.step(prediction, timestamp, state, source)
            return ended + events, state
        else:
            timestamp = max(timestamp, last)
            elapsed = timestamp - last

        weights = [1.0 - math.exp(-elapsed / seconds) if seconds else 1.0 for seconds in self._smoothing]
        weight = weights[0] if len(weights) == 1 else np.array(weights)
        smoothed = state.smoothed + weight * (raw - state.smoothed)
        smoothed.setflags(write=False)

        kept: list[Track] = []
        ended_now: list[ActionEnded] = []
        started_now: list[ActionStarted] = []
        for track in self._tracks(prediction, raw, timestamp, state):
            own = self._of[track.label]
            score, smooth = float(raw[track.label]), float(smoothed[track.label])
            if track.notified:
                kept.append(self._run(track, score, smooth, timestamp, elapsed))
                continue
            # At most the evidence that `smoothing` seconds of full contradiction undo: a long past
            # never outweighs the present score.
            evidence = min(track.evidence + (score - own.enter) * elapsed, own.enter * own.smoothing)
            if evidence < 0:
                continue
            confirmed = timestamp - track.onset >= own.shortest - INSTANT
            cooled = timestamp - dict(state.ended).get(track.label, -math.inf) >= own.cool_down - INSTANT
            starts = confirmed and cooled and score >= own.enter and smooth >= own.enter
            peak = max(track.peak, smooth)
            kept.append(Track(track.label, track.onset, starts, peak, None, 0.0 if starts else evidence))
            if starts:
                started_now.append(ActionStarted(self.labels[track.label], track.onset, smooth, source))
        last_start = timestamp if started_now else state.notified

        running: list[Track] = []
        last_ends = state.ended
        for track in kept:
            own = self._of[track.label]
            if (
                track.fall is not None
                and raw[track.label] < own.leave
                and smoothed[track.label] < own.leave
                and (timestamp - track.fall >= own.merge_gap - INSTANT or last_start >= track.fall)
            ):
                ended_now.append(self._ended(track, track.fall, source))
                if own.cool_down:
                    others = (pair for pair in last_ends if pair[0] != track.label)
                    last_ends = (*others, (track.label, track.fall))
            else:
                running.append(track)
        events_now: tuple[Event, ...] = ()
        if ended_now or started_now:
            ended_now.sort(key=lambda event: event.timestamp)
            started_now.sort(key=lambda event: event.timestamp)
            events_now = (*ended_now, *started_now)
        return events_now, EventState(smoothed, timestamp, tuple(running), last_start, last_ends)

    def _tracks(
        self, prediction: Prediction, raw: np.ndarray, timestamp: float, state: EventState
    ) -> tuple[Track, ...]:
        """The tracks of the state, and a candidate for each label that rises now; without candidates if unknown."""
        if self.settings.strangest and self.is_unknown(prediction):
            return tuple(track for track in state.tracks if track.notified)
        tracked = {track.label for track in state.tracks}
        rising = np.flatnonzero((raw >= self._enter) & self._actions).tolist()
        return (*state.tracks, *(Track(label, timestamp) for label in rising if label not in tracked))

    def finish(
        self, timestamp: float, state: EventState, source: str = ""
    ) -> tuple[tuple[Event, ...], EventState]:
        """End what is running, because the stream is over or a new segment begins; the initial state follows.

        An action ends where its score had begun to fall, else at ``timestamp``. A timestamp that is before
        the last frame, or more than ``merge_gap`` after it, belongs to another segment: then the action
        ends at the last frame. Candidates are dropped.
        """
        last = state.timestamp
        if last is None:
            return (), self.initial_state()
        if not last <= timestamp <= last + self.settings.merge_gap:
            timestamp = last
        ended = [
            self._ended(track, timestamp if track.fall is None else track.fall, source)
            for track in state.tracks
            if track.notified
        ]
        ended.sort(key=lambda event: event.timestamp)
        return tuple(ended), self.initial_state()

    def replay(
        self,
        timestamps: Sequence[float],
        scores: Iterable[np.ndarray],
        segments: Iterable[int] | None = None,
        strangeness: Iterable[float | None] | None = None,
    ) -> Iterator[tuple[int, Event]]:
        """The events of known scores, one array (labels,) a frame: the number of the frame that gave it, and the event.

        Where a new segment begins, or the scores end, what was running ends with the last frame before.
        """
        state = self.initial_state()
        number, last, before = -1, 0.0, None
        parts = itertools.repeat(0, len(timestamps)) if segments is None else segments
        ood = itertools.repeat(None, len(timestamps)) if strangeness is None else strangeness
        frames = zip(timestamps, scores, parts, ood, strict=True)
        for number, (time, raw, segment, ood_score) in enumerate(frames):
            if number and segment != before:
                events, state = self.finish(last, state)
                yield from ((number - 1, event) for event in events)
            prediction = Prediction("", 0.0, raw, time, strangeness=ood_score)
            events, state = self.step(prediction, time, state)
            yield from ((number, event) for event in events)
            last, before = time, segment
        events, state = self.finish(last, state)
        yield from ((number, event) for event in events)

    def _run(self, track: Track, score: float, smooth: float, timestamp: float, elapsed: float) -> Track:
        """One more frame of a running action: is it still up, falling, or back up?"""
        own = self._of[track.label]
        enter, leave = own.enter, own.leave
        peak = max(track.peak, smooth)
        if track.fall is None and score >= leave:
            return track if peak == track.peak else Track(track.label, track.onset, True, peak)
        evidence = min(track.evidence + (leave - score) * elapsed, (1 - leave) * own.smoothing)
        if evidence < 0 or (score >= enter and smooth >= enter):
            return Track(track.label, track.onset, True, peak)
        fall = timestamp if track.fall is None else track.fall
        return Track(track.label, track.onset, True, peak, fall, evidence)

    def _ended(self, track: Track, timestamp: float, source: str) -> ActionEnded:
        return ActionEnded(self.labels[track.label], timestamp, track.onset, track.peak, source)

    def _checked(self, prediction: Prediction, timestamp: float, state: EventState) -> np.ndarray:
        """(labels,) float64; raises ``StreamrecError`` or ``StateError`` for wrong input."""
        raw = np.asarray(prediction.probabilities, np.float64)
        if raw.shape != self._actions.shape:
            raise StreamrecError(
                f"the scores have shape {raw.shape} and the detector has {len(self.labels)} labels: "
                "make the detector with the labels of the model"
            )
        if prediction.labels and prediction.labels != self.labels:
            raise StreamrecError(
                f"the prediction is about {prediction.labels} and the detector about {self.labels}: "
                "make the detector with the labels of the model"
            )
        if state.smoothed.shape != raw.shape:
            raise StateError(
                f"the state is of {len(state.smoothed)} labels and the detector has {len(self.labels)}: "
                "start from this detector's initial_state()"
            )
        if not (raw.min() >= -_ROUNDING and raw.max() <= 1 + _ROUNDING):  # NaN fails both
            raise StreamrecError(
                f"the scores at {timestamp} s are not probabilities: {raw}; each must be from 0 to 1 "
                "(a softmax may be missing, or the model gives NaN)"
            )
        if not math.isfinite(timestamp):
            raise StreamrecError(f"the timestamp is {timestamp}: give the frame's time in seconds")
        return raw

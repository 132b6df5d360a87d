"""A live count for each person who is followed: repetitions of a model that counts, and of any motion.

``State.counts`` has the arrays of one stream's counts, by name: those of a person begin with their number, so that a
count lasts as long as the number does; ``SETTINGS`` is there where any motion is counted. What a model counts is its
phase for that person (``RepetitionCounter``); any motion is counted in the places of the person's keypoints
(``RecurrenceCounter``), in sizes of the body.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass, replace
from functools import lru_cache
from typing import TypeAlias

import numpy as np

from streamrec.core.state import State
from streamrec.errors import StateError, StreamrecError
from streamrec.events.people.tracker import Tracks, TrackSettings, numbered
from streamrec.events.recurrence import RecurrenceCounter, RecurrenceSettings, RecurrenceState
from streamrec.events.repetitions import CountState, RepetitionCounter
from streamrec.runtime.engine import Arrays
from streamrec.runtime.persons import Judged
from streamrec.types import Person

Counts: TypeAlias = Mapping[str, np.ndarray]

SETTINGS = "settings"
_SCALE = 3.0  # of places, so that motion of a body compares with that of an image's brightness
_SIZE_FOLLOWS = 0.02  # of the body's size, by which places are divided: how far it goes along with each frame


@dataclass(frozen=True, slots=True)
class PersonCounter:
    """Counts for each person of a stream; it is stateless, so all streams may share one.

    ``judged``: where the scores of the model that counts are; None: none of them counts.
    """

    judged: Judged | None = None
    repetitions: RepetitionCounter | None = None

    def step(self, counts: Counts, tracks: Arrays, persons: Arrays, clock: float) -> Counts:
        """One stream's counts after a frame; ``tracks`` and ``persons``: after it, each (1, ...).

        Raises ``StateError`` for counts of another model.
        """
        own = Tracks(*(array[0] for array in tracks))
        after: dict[str, np.ndarray] = {}
        counter = _motion_counter(counts)
        if counter is not None:
            after[SETTINGS] = counts[SETTINGS]
        for slot in numbered(own):
            name = f"{int(own.number[slot])}."
            if self.repetitions is not None and self.judged is not None:
                state = self._state(counts, name)
                _, state = self.repetitions.step(self.judged.prediction(persons, slot, clock), clock, state)
                after[f"{name}repetitions"] = state.to_array(len(self.repetitions.labels))
            if counter is not None:
                after |= _motion_after(counter, counts, name, own, slot, clock)
        return after

    def counted(self, counts: Counts, person: Person) -> Person:
        """The person with what is counted of them."""
        name = f"{person.id}."
        if self.repetitions is not None:
            person = replace(person, repetitions=self._state(counts, name).count)
        counter = _motion_counter(counts)
        if counter is not None:
            found = counter.found(_motion_state(counter, counts, name))
            person = replace(person, count=found.count, period=found.period)
        return person

    def _state(self, counts: Counts, name: str) -> CountState:
        assert self.repetitions is not None
        kept = counts.get(f"{name}repetitions")
        return self.repetitions.initial_state() if kept is None else self.repetitions.state_of(kept)


def with_motion_counts(state: State, settings: RecurrenceSettings | None) -> State:
    """The state of streams in which any motion of each person is counted from now on, or not (None).

    What was counted with other settings is forgotten. Where people are not followed it stays as it is.
    """
    if not isinstance(state, State) or not state.tracks:
        return state
    wanted = None if settings is None else np.array(astuple(settings), np.float64)

    def changed(counts: Counts) -> Counts:
        kept = counts.get(SETTINGS)
        if kept is not None and wanted is not None and np.array_equal(kept, wanted):
            return counts
        left = {name: array for name, array in counts.items() if name.endswith(".repetitions")}
        return left if wanted is None else {SETTINGS: wanted, **left}

    return replace(state, counts=tuple(changed(counts) for counts in state.counts or ({},) * len(state)))


def _motion_counter(counts: Counts) -> RecurrenceCounter | None:
    settings = counts.get(SETTINGS)
    return None if settings is None else _counter_of(settings.tobytes())


@lru_cache(maxsize=16)
def _counter_of(settings: bytes) -> RecurrenceCounter:
    """The counter of these settings, as they stand in the state; raises ``StateError``."""
    try:
        *numbers, least, pause, max_gap = np.frombuffer(settings, np.float64).tolist()
        # Who is not found for as long as they are waited for is counted on.
        waiting = max(max_gap, TrackSettings().waiting + 1.0)
        names = ("shortest", "longest", "clear", "motion")
        given = dict(zip(names, numbers, strict=True))
        return RecurrenceCounter(RecurrenceSettings(**given, least=int(least), pause=pause, max_gap=waiting))
    except (ValueError, OverflowError, StreamrecError) as error:
        raise StateError(
            "this state counts with settings that are none: start from initial_state()"
        ) from error


def _motion_after(
    counter: RecurrenceCounter, counts: Counts, name: str, tracks: Tracks, slot: int, clock: float
) -> dict[str, np.ndarray]:
    """The arrays of any motion of a person after a frame; who is not found in it keeps theirs."""
    size = counts.get(f"{name}size")
    if size is not None and not (size.shape == (1,) and 0.0 < size[0] < np.inf):
        raise StateError("this state counts a body that has no size: start from initial_state()")
    state = _motion_state(counter, counts, name)
    if tracks.unseen[slot] == 0.0:
        longer = tracks.sides[slot, :, 0].max()
        size = np.array([longer]) if size is None else size + _SIZE_FOLLOWS * (longer - size)
        places = tracks.body[slot, :, :2] + tracks.motion[slot, :, 0]
        features = (_SCALE * places / size).ravel().astype(np.float32)
        _, state = counter.step(features, clock, state)
    found = {f"{name}motion.{key}": array for key, array in state.to_arrays().items()}
    return found if size is None else {f"{name}size": size, **found}


def _motion_state(counter: RecurrenceCounter, counts: Counts, name: str) -> RecurrenceState:
    start = f"{name}motion."
    named = {key.removeprefix(start): array for key, array in counts.items() if key.startswith(start)}
    if not named:
        return counter.initial_state()
    state = RecurrenceState.from_arrays(named)
    counter.check(state)
    return state

"""The state of streams: the recurrent state and the clock. Axis 0 of every array is the stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from streamrec.errors import StateError


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """All that is kept of N streams between two frames; frozen, so that a stored state never changes.

    The arrays are numpy in a ``Recognizer`` and torch in an ``ActionModel``; both use this one class.
    """

    head: tuple[Any, ...]  # the head's memory; the LSTM's is (h, c), each (N, layers, hidden) float32
    cache: tuple[Any, ...]  # what the encoder keeps of earlier frames, each (N, ...)
    clock: Any  # (N,) float64: the timestamp of the last frame; -inf: there was none yet
    segment: Any  # (N,) int64: the segment of the last frame
    probabilities: Any  # (N, labels) float32: of the last prediction; zeros: none yet
    phase: Any = None  # (N, 2) float32, as Prediction.phase; None: the model counts nothing
    strangeness: Any = None  # (N,) float32, as Prediction.strangeness; None: not known
    # Who is followed: the arrays of ``events.people.tracker.Tracks``, each (N, ...); (): people were not asked for.
    tracks: tuple[Any, ...] = ()
    # Memory and predictions of each person who is followed: (N, tracks + 1, ...), no person last; (): not asked for.
    persons: tuple[Any, ...] = ()
    # What is counted of each person: of each stream its arrays by name (``runtime.person_counts``); (): nothing is.
    counts: tuple[Mapping[str, np.ndarray], ...] = ()

    @property
    def h(self) -> Any:
        """The LSTM's hidden state, (N, layers, hidden)."""
        return self.head[0]

    @property
    def c(self) -> Any:
        """The LSTM's cell state, (N, layers, hidden)."""
        return self.head[1]

    def __len__(self) -> int:
        """The number of streams."""
        return len(self.clock)

    def elapsed(self, clock: np.ndarray, segment: np.ndarray) -> np.ndarray:
        """(N,) float32 seconds from the last frames to those of this clock; infinite where a segment begins."""
        return np.where(segment == self.segment, clock - self.clock, np.inf).astype(np.float32)

    def to_bytes(self) -> bytes:
        """The state as safetensors bytes, to keep in a file or a database; numpy arrays only."""
        from safetensors.numpy import save

        arrays = (*(self.head or ()), *(self.cache or ()), self.clock, self.segment, self.probabilities)
        if not all(isinstance(array, np.ndarray) for array in arrays):
            raise StateError("only the state of a Recognizer, of numpy arrays, can be written as bytes")
        named = {"clock": self.clock, "segment": self.segment, "probabilities": self.probabilities}
        named |= {f"head.{i}": array for i, array in enumerate(self.head)}
        named |= {f"cache.{i}": array for i, array in enumerate(self.cache)}
        if self.phase is not None:
            named["phase"] = self.phase
        if self.strangeness is not None:
            named["strangeness"] = self.strangeness
        named |= {f"tracks.{i}": array for i, array in enumerate(self.tracks)}
        named |= {f"persons.{i}": array for i, array in enumerate(self.persons)}
        for i, counts in enumerate(self.counts):
            named |= {f"counts.{i}.{name}": array for name, array in counts.items()}
        return save({name: np.ascontiguousarray(array) for name, array in named.items()})

    @classmethod
    def from_bytes(cls, data: bytes) -> State:
        """The state that ``to_bytes`` wrote, bit for bit; raises ``StateError`` for anything else."""
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            named = load(bytes(data) if isinstance(data, bytearray | memoryview) else data)
            state = cls(
                head=_numbered(named, "head"),
                cache=_numbered(named, "cache"),
                clock=named["clock"],
                segment=named["segment"],
                probabilities=named["probabilities"],
                phase=named.get("phase"),
                strangeness=named.get("strangeness"),
                tracks=_numbered(named, "tracks"),
                persons=_numbered(named, "persons"),
                counts=_named_counts(named, len(named["clock"])),
            )
        except (SafetensorError, LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise StateError("these bytes are no saved state; pass what State.to_bytes returned") from error
        state._check_arrays()
        return state

    def _check_arrays(self) -> None:
        """Whether the arrays are of one number of streams, and of numbers; raises ``StateError``."""
        streams = self.clock.shape[0] if self.clock.ndim == 1 else 0
        kept = [*self.head, *self.cache, *self.tracks, *self.persons]
        outputs = [
            self.probabilities,
            *(array for array in (self.phase, self.strangeness) if array is not None),
        ]
        fits = (
            streams > 0
            and self.clock.dtype == np.float64
            and self.segment.dtype == np.int64
            and self.segment.shape == (streams,)
            and all(a.ndim > 0 and len(a) == streams and a.dtype.kind in "fiub" for a in (*kept, *outputs))
            and all(array.dtype.kind == "f" for counts in self.counts for array in counts.values())
        )
        if not fits:
            raise StateError("these bytes are no saved state; pass what State.to_bytes returned")
        if not all(np.isfinite(array).all() for array in kept):
            raise StateError("this state holds what is no number: it was damaged; start from initial_state()")


def _numbered(named: dict[str, np.ndarray], prefix: str) -> tuple[np.ndarray, ...]:
    count = sum(name.startswith(f"{prefix}.") for name in named)
    return tuple(named[f"{prefix}.{i}"] for i in range(count))


def _named_counts(named: dict[str, np.ndarray], streams: int) -> tuple[Mapping[str, np.ndarray], ...]:
    found: tuple[dict[str, np.ndarray], ...] = tuple({} for _ in range(streams))
    for name, array in named.items():
        if name.startswith("counts."):
            _, stream, own = name.split(".", 2)
            found[int(stream)][own] = array
    return found if any(found) else ()


def stack(states: Sequence[State]) -> State:
    """Join the states of several streams into one, along axis 0."""
    if len(states) == 1:
        return states[0]
    return State(
        head=tuple(np.concatenate(arrays) for arrays in zip(*(s.head for s in states), strict=True)),
        cache=tuple(np.concatenate(arrays) for arrays in zip(*(s.cache for s in states), strict=True)),
        clock=np.concatenate([s.clock for s in states]),
        segment=np.concatenate([s.segment for s in states]),
        probabilities=np.concatenate([s.probabilities for s in states]),
        phase=None if states[0].phase is None else np.concatenate([s.phase for s in states]),
        strangeness=(
            None
            if any(s.strangeness is None for s in states)  # one may be from before its model had the score
            else np.concatenate([s.strangeness for s in states])
        ),
        tracks=tuple(np.concatenate(arrays) for arrays in zip(*(s.tracks for s in states), strict=True)),
        persons=tuple(np.concatenate(arrays) for arrays in zip(*(s.persons for s in states), strict=True)),
        counts=(
            tuple(counts for s in states for counts in s.counts or ({},) * len(s))
            if any(s.counts for s in states)
            else ()
        ),
    )


def unstack(state: State) -> list[State]:
    """Split a state of N streams into N states of one stream each."""
    if len(state) == 1:
        return [state]
    return [
        replace(
            state,
            head=tuple(array[i : i + 1] for array in state.head),
            cache=tuple(array[i : i + 1] for array in state.cache),
            clock=state.clock[i : i + 1],
            segment=state.segment[i : i + 1],
            probabilities=state.probabilities[i : i + 1],
            phase=None if state.phase is None else state.phase[i : i + 1],
            strangeness=None if state.strangeness is None else state.strangeness[i : i + 1],
            tracks=tuple(array[i : i + 1] for array in state.tracks),
            persons=tuple(array[i : i + 1] for array in state.persons),
            counts=state.counts[i : i + 1],
        )
        for i in range(len(state))
    ]

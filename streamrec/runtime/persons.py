"""A state for each person: heads on keypoints run with a row for each person who is followed, of all streams at once.

``State.persons`` has ``ROWS`` rows a stream: one for each slot of the tracker, and the last one for no person. A row is
given the person's own keypoints, or none while they are not found, so that a head sees of each what it sees of the one
person in a picture. The row of a new person begins with what the head remembers of an empty picture, and
so a person who comes in is judged as the only one in the picture would be.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from streamrec.events.people.detections import KEYPOINTS, PEOPLE, PERSON
from streamrec.events.people.tracker import SLOTS, Tracks, numbered
from streamrec.runtime.engine import Arrays, PersonHeads
from streamrec.types import Prediction

ROWS = SLOTS + 1
NO_PERSON = SLOTS  # the row of no person


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Who is judged after a frame of N streams: M rows, for each stream its people and no person."""

    stream: np.ndarray  # (M,) int64
    row: np.ndarray  # (M,) int64, within the stream's ROWS
    before: np.ndarray  # (M,) int64, the row whose memory it goes on from
    people: np.ndarray  # (M, 6, 56) float32, as the detector gives them: the person, or none


def rows_of(tracks: Arrays, aspect: float) -> Rows:
    """The rows of N streams whose tracks are these after a frame; ``aspect``: width by height of the input."""
    own = Tracks(*tracks)
    found = (own.hits > 0) & (own.unseen == 0.0)
    judged = np.concatenate([own.hits > 0, np.ones((len(own.hits), 1), bool)], axis=1)
    stream, row = np.nonzero(judged)
    people = np.zeros((len(own.hits), ROWS, PEOPLE, PERSON), np.float32)
    first = people[:, :SLOTS, 0]
    first[found, : 3 * KEYPOINTS] = (own.keypoints[found] / (1.0, aspect, 1.0)).reshape(-1, 3 * KEYPOINTS)
    first[found, 3 * KEYPOINTS : PERSON - 1] = own.box[found] / (1.0, aspect, 1.0, aspect)
    first[found, PERSON - 1] = own.score[found]
    new = np.concatenate([found & (own.hits == 1), np.zeros((len(own.hits), 1), bool)], axis=1)
    return Rows(stream, row, np.where(new[stream, row], NO_PERSON, row), people[stream, row])


def persons_shapes(heads: PersonHeads) -> tuple[tuple[int, ...], ...]:
    """The shapes of one stream's part of ``State.persons``, of one engine's heads: memories, scores, phases."""
    phases = ((ROWS, heads.phases),) if heads.phases else ()
    return (*((ROWS, *shape) for shape in heads.memory_shapes), (ROWS, heads.labels), *phases)


def judge(heads: PersonHeads, rows: Rows, persons: Arrays, elapsed: np.ndarray, cache: Arrays) -> Arrays:
    """That part of ``State.persons`` after a frame.

    ``persons``: before it; ``elapsed``: (N,) seconds since the last frame; ``cache``: as the engine's step gave it.
    """
    passed = cache[len(cache) - heads.passed :]
    memories = len(heads.memory_shapes)
    scores, phases, memory = heads.step(
        rows.people,
        elapsed[rows.stream],
        tuple(array[rows.stream, rows.before] for array in persons[:memories]),
        tuple(array[rows.stream] for array in passed),
    )
    after = []
    for kept, new in zip(persons, (*memory, scores, *(() if phases is None else (phases,))), strict=True):
        array = np.zeros_like(kept)
        array[rows.stream, rows.row] = new
        array.setflags(write=False)  # predictions and the state share them
        after.append(array)
    return tuple(after)


def memory_of_persons(
    heads: PersonHeads, tracks: Arrays, persons: Arrays, head: Arrays
) -> Iterator[tuple[int, Arrays]]:
    """By number, what the heads of an engine remember of one stream as that person has it, each (1, ...).

    ``persons``: this engine's part; ``head``: its memory of the whole picture, which stays where no person has their
    own.
    """
    own = Tracks(*(array[0] for array in tracks))
    for slot in numbered(own):
        memory = list(head)
        for place, number in enumerate(heads.head_numbers):
            memory[number] = persons[place][:, slot]
        yield int(own.number[slot]), tuple(memory)


@dataclass(frozen=True, slots=True)
class Judged:
    """Where in ``State.persons`` a model's scores of each person are."""

    labels: tuple[str, ...]
    scores: int  # the number of the array
    columns: slice
    phase: slice | None  # in the array after that; None: it counts nothing

    def prediction(self, persons: Arrays, slot: int, clock: float) -> Prediction:
        """The model's prediction of the person of this slot of one stream."""
        turn = None
        if self.phase is not None:
            cosine, sine = persons[self.scores + 1][0, slot, self.phase]
            turn = float(cosine), float(sine)
        scores = persons[self.scores][0, slot, self.columns]
        return Prediction.of(scores, clock, self.labels, turn)


def judged_by(
    heads: PersonHeads, models: Sequence[tuple[tuple[str, ...], bool]], first: int
) -> list[Judged | None]:
    """Of each model of an engine (its labels, whether it counts), where its scores are; None: it judges pictures.

    ``first``: the number of the first array of these heads among all of ``State.persons``.
    """
    found: list[Judged | None] = []
    column = turn = 0
    for judged, (labels, counts) in zip(heads.judged, models, strict=True):
        phase = slice(turn, turn + 2) if counts and heads.phases else None
        columns = slice(column, column + len(labels))
        where = Judged(labels, first + len(heads.memory_shapes), columns, phase)
        found.append(where if judged else None)
        column, turn = column + len(labels), turn + 2 * counts
    return found

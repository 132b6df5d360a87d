"""What was learned from corrections is added to the prediction of the picture, and of each person in it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from streamrec.core.state import State
from streamrec.nn.config import ModelConfig
from streamrec.runtime.recognizer import Recognizer
from streamrec.teach.corrections.learned import Change
from streamrec.teach.corrections.watching import CorrectedRecognizer
from streamrec.types import Frame, Person, Prediction

LABELS = ("normal", "fall")
SURE = Prediction.of(np.array([0.1, 0.9], np.float32), 0.0, LABELS)


class Following(Recognizer):
    """Predicts that each person falls; what its last layer read of them is their number."""

    name = "fall"

    def __init__(self) -> None:
        pass

    config = ModelConfig(labels=LABELS)
    per_person = ("fall",)

    def step_many(self, frames, states):
        return [(self._with_people(SURE, None, frame), self.initial_state()) for frame in frames]

    def initial_state(self) -> State:
        return State((), (), np.zeros(1), np.zeros(1, np.int64), SURE.probabilities[None])

    def _prediction(self, state):
        return SURE

    def _with_people(self, prediction, state, frame):
        people = [
            Person(number, (0.0, 0.0, 1.0, 1.0), np.zeros((17, 3), np.float32), 0.9, (SURE,))
            for number in (1, 2, 3)
        ]
        return replace(
            prediction, people=tuple(people[:2]), missed=tuple(people[2:]), possible=((0, 0, 1, 1),)
        )

    def head_inputs(self, state):
        return {"fall": np.zeros((1, 2), np.float32)}

    def person_inputs(self, state):
        return {number: {"fall": np.full((1, 2), number, np.float32)} for number in (1, 2, 3)}


def test_each_person_is_judged_with_what_was_learned_by_their_own_features():
    change = Change("fall", LABELS, np.array([[1.0, 1.0], [-1.0, -1.0]], np.float32), np.zeros(2, np.float32))
    changes: dict[str, Change] = {}
    corrected = CorrectedRecognizer(Following(), lambda: changes, lambda *seen: None)
    frame, state = Frame(np.zeros((4, 4, 3), np.uint8), 0, 0.0), corrected.initial_state()
    plain, _ = corrected.step(frame, state)
    assert {one.predictions[0].label for one in (*plain.people, *plain.missed)} == {"fall"}
    changes["fall"] = change
    prediction, _ = corrected.step(frame, state)
    assert prediction.label == "fall" and prediction.possible == plain.possible
    scores = [one.predictions[0].probabilities[1] for one in (*prediction.people, *prediction.missed)]
    assert 0.9 > scores[0] > 0.1 > scores[1] > scores[2] and [one.id for one in prediction.people] == [1, 2]
    between = corrected._with_people(SURE, state, frame)
    assert [one.predictions[0].probabilities[1] for one in between.people] == scores[:2]

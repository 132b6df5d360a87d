"""A recognizer under correction: it remembers the last minutes of each camera, and predicts what was learned."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from streamrec.core.state import State
from streamrec.nn.transforms import InputTransform, Transform
from streamrec.runtime.recognizer import Recognizer, RecognizerWrapper
from streamrec.teach.corrections.learned import Change
from streamrec.types import Frame, Person, Prediction

Scores = Mapping[str, np.ndarray]  # model -> (labels,) probabilities, or (1, D) features
NEAR = 0.02  # two models whose fingerprints differ by more are not the same


def fingerprint(recognizer: Recognizer) -> dict[str, np.ndarray]:
    """By model, its scores of three plain frames: another model under the same name has others."""
    while isinstance(recognizer, RecognizerWrapper):  # what records its steps is not to see these pictures
        recognizer = recognizer._recognizer
    found: dict[str, list[np.ndarray]] = {name: [] for name in recognizer.configs}
    state = recognizer.initial_state()
    for n, data in enumerate(_plain(recognizer.config.transform)):
        prediction, state = recognizer.step(Frame(data, n, n / recognizer.fps), state)
        for name, one in zip(found, prediction.each, strict=True):
            found[name].append(one.probabilities)
    return {name: np.concatenate(each).astype(np.float32) for name, each in found.items()}


def _plain(transform: InputTransform) -> Iterator[np.ndarray]:
    """The data of three frames: gray and two sets of stripes; of a signal its mean, and a deviation to both sides."""
    if not isinstance(transform, Transform):
        mean, deviation = transform.normalization()
        yield from (mean + many * deviation for many in (0.0, 1.0, -1.0))
        return
    height, width = transform.height, transform.width
    rows, columns = np.mgrid[0:height, 0:width]
    stripes = np.where((columns // 16 + rows // 16) % 2, 200, 40).astype(np.uint8)
    for gray in (np.full_like(stripes, 128), stripes, stripes.T[:height, :width]):
        image = np.zeros((height, width, 3), np.uint8)
        image[: gray.shape[0], : gray.shape[1]] = gray[..., None]
        yield image


def is_same(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two fingerprints are of the same model; an empty one is of any."""
    return (
        not one.size
        or not other.size
        or (one.shape == other.shape and bool(np.abs(one - other).max() < NEAR))
    )


class CorrectedRecognizer(RecognizerWrapper):
    """Adds to another recognizer's predictions what was learned, frame by frame.

    A state stays the other recognizer's: what was learned is not part of it, so that it can be exchanged at any frame,
    and no stream begins anew.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        changes: Callable[[], Mapping[str, Change]],
        seen: Callable[[Frame, Scores, Scores], None],
    ) -> None:
        """``changes``: what was learned, by model, as it is now. ``seen`` gets each frame, with each model's scores
        and features."""
        super().__init__(recognizer)
        self._changes, self._seen = changes, seen

    def step_many(self, frames: Sequence[Frame], states: Sequence[State]) -> list[tuple[Prediction, State]]:
        """Its step, and what was learned."""
        steps = self._recognizer.step_many(frames, states)
        names = list(self.configs)
        found = []
        for frame, (prediction, state) in zip(frames, steps, strict=True):
            features = self._recognizer.head_inputs(state)
            scores = dict(zip(names, (one.probabilities for one in prediction.each), strict=True))
            self._seen(frame, scores, features)
            found.append((self._changed(prediction, features, state), state))
        return found

    def _changed(self, prediction: Prediction, features: Scores, state: State) -> Prediction:
        changes = self._changes()
        if not any(name in changes for name in features):
            return prediction
        each = self._with_changes(prediction.each, features, changes)
        others = tuple(replace(one, others=()) for one in each[1:] if one is not None)
        assert each[0] is not None
        changed = replace(
            each[0],
            others=others,
            people=prediction.people,
            missed=prediction.missed,
            possible=prediction.possible,
        )
        return self._persons_changed(changed, changes, state)

    def _persons_changed(
        self, prediction: Prediction, changes: Mapping[str, Change], state: State
    ) -> Prediction:
        """What was learned counts for each person as for the whole picture."""
        if not any(person.predictions for person in (*(prediction.people or ()), *prediction.missed)):
            return prediction
        features = self._recognizer.person_inputs(state)

        def changed(person: Person) -> Person:
            own = features.get(person.id, {})
            return replace(person, predictions=tuple(self._with_changes(person.predictions, own, changes)))

        people = prediction.people
        return replace(
            prediction,
            people=None if people is None else tuple(map(changed, people)),
            missed=tuple(map(changed, prediction.missed)),
        )

    def _with_changes(
        self, each: Sequence[Prediction | None], features: Scores, changes: Mapping[str, Change]
    ) -> list[Prediction | None]:
        """Of each model, changed where something was learned of it."""
        return [
            one
            if one is None or name not in changes or name not in features
            else _with(one, changes[name], features[name])
            for name, one in zip(self.configs, each, strict=False)
        ]

    def _prediction(self, state: State) -> Prediction:
        return self._changed(self._recognizer._prediction(state), self._recognizer.head_inputs(state), state)

    def _with_people(self, prediction: Prediction, state: State, frame: Frame) -> Prediction:
        found = self._recognizer._with_people(prediction, state, frame)
        changes = self._changes()
        return self._persons_changed(found, changes, state) if changes else found


def _with(prediction: Prediction, change: Change, features: np.ndarray) -> Prediction:
    if change.labels != prediction.labels or change.weight.shape[1] != features.shape[1]:
        return prediction  # of another model with this name
    scores = change.applied(prediction.probabilities[None], features)[0]
    scores.setflags(write=False)
    return Prediction.of(
        scores, prediction.timestamp, prediction.labels, prediction.phase, prediction.strangeness
    )

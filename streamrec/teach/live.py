"""A recognizer whose own labels may change while it runs: shipped models, and beside them a head that is swapped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from streamrec.core.model_names import check_names
from streamrec.core.state import State
from streamrec.errors import ModelError
from streamrec.events.detector import EventDetector, EventSettings
from streamrec.events.tracker import EventTracker, in_order
from streamrec.nn.config import ModelConfig
from streamrec.runtime.checkpoint import Checkpoint, find_model
from streamrec.runtime.joint import JointRecognizer, check_one_sense, read_members
from streamrec.runtime.recognizer import Layout, Recognizer
from streamrec.teach import statistics
from streamrec.teach.encoder import TeachableEncoder, encoder_beside
from streamrec.teach.examples import NOTHING
from streamrec.teach.statistics import Memory, Rates
from streamrec.types import VIDEO, ActionEnded, ActionStarted, Event, Frame, ModelResult, Prediction

REPLAYED = 15.0  # seconds that a new head is given to find out what is running
_ARRAYS = 5  # of the statistics' memory
# In what the encoder remembers (nn/encoders/keypoints.py): of whom is followed how surely they are seen, and of their
# body the logarithm of its length, and whether there is one.
_STRENGTH, _LOG_SCALE, _KNOWN = 3, 55, 57
_SEEN = 0.5  # of that strength

Observer = Callable[[Frame, np.ndarray, float], None]
# called with each frame, its features (F,), and how large the person is: the body's length in heights of the picture
History = Callable[[str, float], tuple[np.ndarray, np.ndarray] | None]
# (source, seconds) -> the times (T,) and features (T, F) of its last frames; None: unknown


@dataclass(frozen=True, slots=True, eq=False)
class FewShotHead:
    """A linear classifier on running statistics of the features, and its event settings; frozen."""

    labels: tuple[str, ...]  # "nothing" first
    weight: np.ndarray  # (labels, 4 F) float32
    bias: np.ndarray  # (labels,) float32
    events: EventSettings

    @classmethod
    def untaught(cls, size: int) -> FewShotHead:
        """Its prediction is always ``nothing``."""
        zeros = np.zeros((1, statistics.STATISTICS * size), np.float32)
        return cls((NOTHING,), zeros, np.zeros(1, np.float32), EventSettings(background=(NOTHING,)))

    def probabilities(self, found: np.ndarray) -> np.ndarray:
        """Statistics (N, 4 F) -> (N, labels) float32."""
        return softmax(found @ self.weight.T + self.bias)


def softmax(logits: np.ndarray) -> np.ndarray:
    """(N, K) -> the same, of sum 1."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    found: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
    return found


class TaughtRecognizer(Recognizer):
    """Shipped models and a taught head on the same streams, in one pass. ``swap`` gives it another head.

    The head's memory is of the features alone, so that a swap keeps it: no frame is lost, and the next one is judged by
    all that was seen before. Predictions have the head's as the last of ``others``; ``Result.models`` names it ``own``.
    """

    def __init__(
        self,
        joint: JointRecognizer,
        encoder: TeachableEncoder,
        head: FewShotHead | None = None,
        *,
        observe: Observer | None = None,
        history: History | None = None,
    ) -> None:
        """``joint``: the shipped models, then the encoder's; its last name is that of the head."""
        self.name = joint.name
        self._joint, self._encoder = joint, encoder
        self._engine = joint._engine
        self.own = list(joint.configs)[-1]
        self._rates = Rates.of(encoder.config)
        self._head = FewShotHead.untaught(encoder.size) if head is None else head
        self._observe, self.history = observe, history
        self._index = _features_index(joint)
        self._person = _person_index(joint) if joint.sense == VIDEO else None

    @classmethod
    def over(
        cls,
        models: str | Path | Sequence[str | Path] | None,
        own: str,
        *,
        observe: Observer | None = None,
        history: History | None = None,
        threads: int | None = None,
    ) -> TaughtRecognizer:
        """Beside these shipped models or model files; ``own``: the name of the taught one. None: beside none."""
        named = [] if models is None else [models] if isinstance(models, str | Path) else list(models)
        check_names([*named, own])
        paths = [find_model(name) for name in named]
        encoder = encoder_beside(paths)
        members = [*read_members(paths, "onnx", "cpu"), encoder.watching(own)]
        check_one_sense(members)
        return cls(JointRecognizer(members, threads), encoder, observe=observe, history=history)

    @property
    def head(self) -> FewShotHead:
        """The head that judges now."""
        return self._head

    def swap(self, head: FewShotHead) -> None:
        """Judge by this head from the next frame on. Any thread may call it."""
        self._head = head

    def frozen(self) -> TaughtRecognizer:
        """The same with the head of now, which stays."""
        return TaughtRecognizer(self._joint, self._encoder, self._head)

    def taught(self, name: str) -> Checkpoint:
        """The taught model alone, as a file holds it."""
        head = self._head
        return self._encoder.checkpoint(name, self.config_of(head), head.weight, head.bias)

    def config_of(self, head: FewShotHead) -> ModelConfig:
        """The config of a model with this head."""
        return replace(self._encoder.config, labels=head.labels, events=head.events)

    def features(self, state: State) -> np.ndarray:
        """(N, F): of the last frame of each stream."""
        found: np.ndarray = state.head[self._index]
        return found

    def size(self, state: State, frame: Frame) -> float:
        """Of the person in a frame, after its step: the length of their torso in heights of the image; 0: none."""
        if self._person is None:
            return 0.0
        who, body = state.cache[self._person : self._person + 2]
        if who[0, _STRENGTH] < _SEEN or not body[0, _KNOWN]:
            return 0.0
        transform = self._encoder.config.pictures
        _, _, share, _ = transform.picture_in_input(*frame.image.shape[:2])
        return float(np.exp(body[0, _LOG_SCALE])) / share

    @property
    def encoder(self) -> TeachableEncoder:
        """What is taught on."""
        return self._encoder

    @property
    def config(self) -> ModelConfig:
        """The first model's, as of several models."""
        return self._joint.config

    @property
    def configs(self) -> Mapping[str, ModelConfig]:
        """The config of each model; the taught one's as it is now."""
        return {**self._joint.configs, self.own: self.config_of(self._head)}

    @property
    def notes(self) -> tuple[str, ...]:
        """Which of the models cost their own time."""
        return self._joint.notes

    @property
    def passes(self) -> int:
        """Engines that run for a frame."""
        return self._joint.passes

    @property
    def straight(self) -> tuple[int, int] | None:
        """As of the models."""
        return self._joint.straight

    @cached_property
    def _layout(self) -> Layout:
        size, inner = self._encoder.size, self._joint._layout
        return replace(inner, head=(*inner.head, *((size,),) * 4, (3,)))

    def tracker(
        self,
        events: EventSettings | Mapping[str, EventSettings] | None = None,
        source: str = "",
    ) -> TaughtTrackers:
        """What turns predictions into events of one stream; it follows each swap."""
        return TaughtTrackers(self, events, source)

    def prefetch(self, frame: Frame) -> Frame:
        """As of the models."""
        return self._joint.prefetch(frame)

    def step_many(self, frames: Sequence[Frame], states: Sequence[State]) -> list[tuple[Prediction, State]]:
        """As of any recognizer; who observes is given the features."""
        steps = super().step_many(frames, states)
        if self._observe is not None:
            for frame, (_, state) in zip(frames, steps, strict=True):
                self._observe(frame, self.features(state)[0], self.size(state, frame))
        return steps

    def _after(self, frames: Sequence[Frame], state: State, clock: np.ndarray, segment: np.ndarray) -> State:
        inner, memory = self._parts_of(state)
        found = self._joint._after(frames, inner, clock, segment)
        _, memory = statistics.after(self.features(found), state.elapsed(clock, segment), memory, self._rates)
        return replace(found, head=(*found.head, *memory))

    def _prediction(self, state: State) -> Prediction:
        inner, memory = self._parts_of(state)
        found, head = self._joint._prediction(inner), self._head
        scores = head.probabilities(statistics.of_memory(memory))[0]
        scores.setflags(write=False)
        own = Prediction.of(scores, float(state.clock[0]), head.labels)
        return own if not found.others else replace(found, others=(*found.others[:-1], own))

    def _parts_of(self, state: State) -> tuple[State, Memory]:
        return replace(state, head=state.head[:-_ARRAYS]), state.head[-_ARRAYS:]

    def _checkpoint(self) -> Checkpoint:
        return self.taught(self.own)

    def __repr__(self) -> str:
        return f"<TaughtRecognizer {', '.join(self.configs)}: {', '.join(self._head.labels)}>"


def _features_index(joint: JointRecognizer) -> int:
    """Which of the heads' arrays is the features: the last of the pass that the encoder is in."""
    heads = 0
    for part in joint._parts:
        heads += len(part.engine.head_shapes)
        if len(joint.configs) - 1 in part.models:
            return heads - 1
    raise ModelError("the encoder is in no pass")


def _person_index(joint: JointRecognizer) -> int:
    """Which of the caches holds whom the encoder follows (N, 4); the next one is their body (N, 58)."""
    caches, number = 0, len(joint.configs) - 1
    for part in joint._parts:
        if number in part.models:
            return caches + part.features[part.models.index(number)]
        caches += len(part.engine.cache_shapes)
    raise ModelError("the encoder is in no pass")


class TaughtTrackers:
    """One stream's events of all models of a ``TaughtRecognizer``, across swaps of its head.

    A new head first sees what its predecessor saw in the last seconds. What runs by both goes on; what runs by the old
    one alone ends with the swap, and what runs by the new one alone starts, dated to its onset.
    """

    def __init__(
        self,
        recognizer: TaughtRecognizer,
        events: EventSettings | Mapping[str, EventSettings] | None = None,
        source: str = "",
    ) -> None:
        self._recognizer, self._source = recognizer, source
        given = events if isinstance(events, Mapping) else {}
        common = None if isinstance(events, Mapping) else events
        configs = dict(recognizer.configs)
        configs.pop(recognizer.own)
        self._base = {
            name: EventTracker(
                config.labels,
                given.get(name) or common or config.events,
                config.counted,
                config.counting,
                source,
            )
            for name, config in configs.items()
        }
        self._settings = given.get(recognizer.own) or common
        self._use(recognizer.head)

    def _use(self, head: FewShotHead) -> None:
        self._head = head
        self._detector = EventDetector(head.labels, self._settings or head.events)
        self._state = self._detector.initial_state()

    def reset(self) -> None:
        """Forget everything; what runs is not reported as ended."""
        for tracker in self._base.values():
            tracker.reset()
        self._state = self._detector.initial_state()

    def step(self, prediction: Prediction, timestamp: float) -> tuple[Event, ...]:
        """What started or ended with these predictions, the ended ones first."""
        *others, own = prediction.each
        found: list[Event] = [
            replace(event, model=name)
            for (name, tracker), one in zip(self._base.items(), others, strict=True)
            for event in tracker.step(one, timestamp)
        ]
        head = self._recognizer.head
        if head is not self._head and own.labels == head.labels:
            found += self._swapped(head, timestamp)
        if own.labels == self._head.labels:
            events, self._state = self._detector.step(own, timestamp, self._state, self._source)
            found += self._named(events)
        return in_order(found)

    def _swapped(self, head: FewShotHead, timestamp: float) -> list[Event]:
        before = {self._head.labels[track.label]: track for track in self._state.tracks if track.notified}
        self._use(head)
        seen = None if self._recognizer.history is None else self._recognizer.history(self._source, REPLAYED)
        if seen is not None:
            times, features = seen
            found = statistics.of_sequence(times, features, self._recognizer._rates)
            for time, scores in zip(times[:-1], head.probabilities(found)[:-1], strict=True):
                prediction = Prediction.of(scores, float(time), head.labels)
                _, self._state = self._detector.step(prediction, float(time), self._state, self._source)
        now = {head.labels[track.label]: track for track in self._state.tracks if track.notified}
        events: list[Event] = [
            ActionEnded(label, timestamp, track.onset, track.peak, self._source, model=self._recognizer.own)
            for label, track in before.items()
            if label not in now
        ]
        events += [
            ActionStarted(label, track.onset, track.peak, self._source, self._recognizer.own)
            for label, track in now.items()
            if label not in before
        ]
        return events

    def finish(self, timestamp: float) -> tuple[Event, ...]:
        """End what runs, of all models; then all is forgotten."""
        found: list[Event] = [
            replace(event, model=name)
            for name, tracker in self._base.items()
            for event in tracker.finish(timestamp)
        ]
        events, self._state = self._detector.finish(timestamp, self._state, self._source)
        return in_order([*found, *self._named(events)])

    def _named(self, events: Iterable[Event]) -> list[Event]:
        return [replace(event, model=self._recognizer.own) for event in events]

    @property
    def repetitions(self) -> int | None:
        """As of the first model."""
        return next((tracker.repetitions for tracker in self._base.values()), None)

    def is_unknown(self, prediction: Prediction) -> bool:
        """As of the first model."""
        return next((tracker.is_unknown(prediction) for tracker in self._base.values()), False)

    def models(self, prediction: Prediction) -> tuple[ModelResult, ...]:
        """The prediction of each model."""
        *others, own = prediction.each
        found = [
            ModelResult(name, replace(one, others=()), tracker.repetitions, tracker.is_unknown(one))
            for (name, tracker), one in zip(self._base.items(), others, strict=True)
        ]
        return (*found, ModelResult(self._recognizer.own, replace(own, others=())))

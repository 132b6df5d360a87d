"""The recognizer: a frame and a state in, a prediction and a state out."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from streamrec.core.arguments import number, whole_number
from streamrec.core.messages import described
from streamrec.core.state import State, stack, unstack
from streamrec.core.text import printable
from streamrec.errors import ModelError, PictureError, StateError, StreamrecError
from streamrec.events.detector import EventSettings
from streamrec.events.motion_counts import MotionCounts
from streamrec.events.recurrence import RecurrenceSettings
from streamrec.events.repetitions import RepetitionCounter
from streamrec.events.tracker import EventTracker, ModelTrackers, PersonTracker, Tracker, retune
from streamrec.nn.config import ModelConfig
from streamrec.nn.ood import KnownFeatures
from streamrec.nn.transforms import Transform
from streamrec.runtime.engine import Arrays, Engine
from streamrec.runtime.head_inputs import head_inputs
from streamrec.runtime.load import engine_of, make_engine
from streamrec.runtime.people import follow, initial_tracks, people_in, possible_in
from streamrec.runtime.person_counts import PersonCounter, with_motion_counts
from streamrec.runtime.persons import Judged, judge, judged_by, memory_of_persons, persons_shapes, rows_of
from streamrec.sources.sampling import check_fps, is_due
from streamrec.types import VIDEO, Event, Frame, Person, Prediction, Result

if TYPE_CHECKING:
    from streamrec.nn.model import CNNLSTM, ActionModel
    from streamrec.runtime.checkpoint import Checkpoint


@dataclass(frozen=True, slots=True)
class Layout:
    """The sizes of one stream's state, without axis 0."""

    head: tuple[tuple[int, ...], ...]
    cache: tuple[tuple[int, ...], ...]
    labels: int
    phase: int  # 0: nothing is counted
    known: tuple[int, ...] | None  # of the out-of-distribution score; None: there is none
    people: bool = False  # whether people are followed
    persons: tuple[tuple[int, ...], ...] = ()  # what is remembered of each of them


class Recognizer:
    """A model made ready to run. It is immutable and holds no state of a stream: all streams share one.

    It may be pickled, for the processes of a pool: they load it again from its file.
    """

    def __init__(self, engine: Engine | ActionModel | CNNLSTM, name: str = "") -> None:
        """``engine``: or a model that was just trained, as it is now. ``load`` takes names and files."""
        self.name = name
        self._engine = engine if isinstance(engine, Engine) else _engine_for(engine)
        _check_known(self._engine)

    @classmethod
    def load(
        cls,
        name_or_path: str | Path,
        *,
        device: str = "auto",
        engine: str = "auto",
        threads: int | None = None,
        people: bool = False,
        per_person: bool = False,
    ) -> Recognizer:
        """Load a shipped model by name, or a model file by path.

        ``engine``: "onnx" (the default on a CPU), "torch", or "auto"; ``device``: "cpu", "cuda", "cuda:1", ...
        or "auto"; ``threads``: of one step on a CPU, None for what suits the model. ``people``: find and follow people
        too, ``Result.people``; a model on the person backbone can (``fight``, ``fall``, ``webcam``). ``per_person``:
        find them and judge each: events are of a person; a model on keypoints can (``webcam``, ``fall``, ``workout``).
        Raises ``ModelError``. Nothing is downloaded and nothing is unpickled.
        """
        name, ready = make_engine(
            _named(name_or_path),
            engine=engine,
            device=device,
            threads=threads,
            people=people,
            per_person=per_person,
        )
        return cls(ready, name)

    def save(self, path: str | Path) -> None:
        """Write the model to a .safetensors file, which ``Recognizer.load`` and every command take.

        Raises ``ModelError``, also for a recognizer of an .onnx file, which is to be copied.
        """
        from streamrec.runtime.checkpoint import write_checkpoint

        write_checkpoint(path, self._checkpoint())

    def export(self, path: str | Path) -> None:
        """Write the model as one .onnx file: weights, labels and settings in it, the state as inputs and outputs.

        Raises ``ModelError``, also for a recognizer of an .onnx file, which is to be copied.
        """
        checkpoint = self._checkpoint()
        from streamrec.runtime.checkpoint import export_checkpoint

        export_checkpoint(checkpoint, path)

    def _checkpoint(self) -> Checkpoint:
        """What a file of this model holds."""
        from streamrec.runtime.checkpoint import read_checkpoint

        origin = self._engine.origin
        if origin is None:
            raise ModelError(
                "this recognizer was not made of a model or a file, so that it cannot be written"
            )
        if not isinstance(origin.model, str):
            return origin.model
        if origin.model.endswith(".onnx"):
            raise ModelError(f"{printable(origin.model)} is an exported graph already: copy the file")
        return read_checkpoint(origin.model)

    @property
    def config(self) -> ModelConfig:
        """The model's labels, transform, frame rate and event settings."""
        return self._engine.config

    @property
    def configs(self) -> Mapping[str, ModelConfig]:
        """The config of each model in it, by the model's name: there is one, unless ``open_models`` made it."""
        return {self.name: self.config}

    @property
    def origins(self) -> Mapping[str, str | Path | Checkpoint]:
        """By model, the file that it was read from, or what was never in one; empty where it is of neither."""
        origin = self._engine.origin
        return {} if origin is None else {self.name: origin.model}

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user may want to know of its models together, as sentences; nothing of a single model."""
        return ()

    @property
    def passes(self) -> int:
        """How many engines run for a frame: more than one only where several models cannot be merged."""
        return 1

    @property
    def finds_people(self) -> bool:
        """Whether it was asked for people, and finds them in each frame."""
        return self._layout.people

    @property
    def per_person(self) -> tuple[str, ...]:
        """The names of its models that judge each person, in order; their events are of persons."""
        return tuple(name for name, own in zip(self.configs, self._judged, strict=True) if own is not None)

    @property
    def sense(self) -> str:
        """What it takes: "video", or "signal"."""
        return self.config.transform.sense

    @property
    def straight(self) -> tuple[int, int] | None:
        """Width and height to which a decoder may shrink frames that only this needs; None: it may not."""
        return self.config.transform.straight

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the model's outputs, in order."""
        return self.config.labels

    @property
    def fps(self) -> float:
        """The frame rate that the model was trained at, in frames a second."""
        return self.config.fps

    @property
    def engine(self) -> str:
        """The name of the engine that runs it: "onnx" or "torch"."""
        return self._engine.name

    @property
    def device(self) -> str:
        """Where it runs: "cpu", "cuda", ..."""
        return self._engine.device

    def __repr__(self) -> str:
        return f"<Recognizer {self.name}: {', '.join(self.labels)} ({self.engine} on {self.device})>"

    def initial_state(self) -> State:
        """The state of a stream that has seen nothing."""
        layout = self._layout
        return State(
            head=tuple(np.zeros((1, *shape), np.float32) for shape in layout.head),
            cache=tuple(np.zeros((1, *shape), np.float32) for shape in layout.cache),
            clock=np.full(1, -math.inf),
            segment=np.zeros(1, np.int64),
            probabilities=np.zeros((1, layout.labels), np.float32),
            phase=np.zeros((1, layout.phase), np.float32) if layout.phase else None,
            strangeness=None if layout.known is None else np.zeros((1, *layout.known), np.float32),
            tracks=initial_tracks() if layout.people else (),
            persons=tuple(np.zeros((1, *shape), np.float32) for shape in layout.persons),
        )

    @cached_property
    def _layout(self) -> Layout:
        engine, config = self._engine, self.config
        known = None if config.known is None else ()
        return Layout(
            engine.head_shapes,
            engine.cache_shapes,
            len(self.labels),
            2 if config.counted else 0,
            known,
            engine.finds_people,
            () if engine.persons is None else persons_shapes(engine.persons),
        )

    @cached_property
    def _judged(self) -> tuple[Judged | None, ...]:
        """Of each model, where in ``State.persons`` its scores are; None: it judges whole pictures."""
        heads = self._engine.persons
        if heads is None:
            return (None,) * len(self.configs)
        return tuple(judged_by(heads, [(self.labels, bool(self.config.counted))], 0))

    @cached_property
    def _person_counter(self) -> PersonCounter:
        """What counts for each person: by the first of its models that judges each and counts."""
        for own, config in zip(self._judged, self.configs.values(), strict=True):
            if own is not None and own.phase is not None and config.counted:
                counter = RepetitionCounter(config.labels, config.counted, config.counting)
                return PersonCounter(own, counter)
        return PersonCounter()

    def step(self, frame: Frame, state: State) -> tuple[Prediction, State]:
        """Recognize the next frame of a stream; the given state stays as it was.

        A frame of another segment than the last, one more than ``config.max_gap`` seconds after it, or one
        before it starts from the initial state.
        """
        return self.step_many([frame], [state])[0]

    def step_many(self, frames: Sequence[Frame], states: Sequence[State]) -> list[tuple[Prediction, State]]:
        """Recognize one frame of each of several streams in one pass: a batch for the encoder, a state each.

        Raises ``StateError`` where they are not as many, or of another model, ``PictureError`` for what is no frame.
        """
        if not (isinstance(frames, Sequence) and isinstance(states, Sequence)):
            raise StreamrecError(
                f"step_many takes a list of frames and one of states, not {described(frames)} and {described(states)}"
            )
        if len(frames) == 0 == len(states):
            return []
        for state in states:
            self._check(state)
        if not states or len(state := stack(states)) != len(frames):
            streams = sum(map(len, states))
            raise StateError(f"{len(frames)} frames came with the states of {streams} streams; give one each")
        try:
            clock = np.array([frame.timestamp for frame in frames], np.float64)
            segment = np.array([frame.segment for frame in frames], np.int64)
        except (AttributeError, TypeError, ValueError) as error:
            raise _no_frame(frames) from error
        after = [self._with_counts(one) for one in unstack(self._after(frames, state, clock, segment))]
        return [
            (self._with_people(self._prediction(one), one, frame), one)
            for one, frame in zip(after, frames, strict=True)
        ]

    def _after(self, frames: Sequence[Frame], state: State, clock: np.ndarray, segment: np.ndarray) -> State:
        """The state of the streams after these frames, with what is predicted of them."""
        images, encoded = self._encoded(frames)
        elapsed = state.elapsed(clock, segment)
        probabilities, phase, head, cache = self._engine.step(
            images, elapsed, state.head, state.cache, encoded
        )
        probabilities.setflags(write=False)  # the prediction and the state share them
        known, strangeness = self.config.known, None
        if isinstance(known, KnownFeatures):
            strangeness = known.ood_scores(cache[0])  # the backbone's features of these images
        elif known is not None:
            strangeness = known.ood_scores(images)
        tracks: Arrays = ()
        persons: Arrays = ()
        if self._engine.finds_people:
            found, transform = self._engine.found(cache), self._people_transform
            tracks = follow(state.tracks, found, elapsed, transform, self.config.max_gap)
            if self._engine.persons is not None:
                rows = rows_of(tracks, transform.width / transform.height)
                persons = judge(self._engine.persons, rows, state.persons, elapsed, cache)
        kept = cache[: len(self._engine.cache_shapes)]
        return State(
            head, kept, clock, segment, probabilities, phase, strangeness, tracks, persons, state.counts
        )

    def head_inputs(self, state: State) -> dict[str, np.ndarray]:
        """By model, what its last layer read at the last frame of each stream: (N, D) float32, computed already.

        A model whose head does not keep it is left out.

        >>> recognizer = Recognizer.load("webcam")
        >>> recognizer.head_inputs(recognizer.initial_state())["webcam"].shape
        (1, 192)
        """
        inputs = head_inputs(self.config, state.head)
        return {} if inputs is None else {self.name: inputs}

    def person_inputs(self, state: State) -> dict[int, dict[str, np.ndarray]]:
        """By person, the same of each who has a number, of the models that judge them: (1, D); of one stream."""
        heads = self._engine.persons
        if heads is None:
            return {}
        return {
            number: {} if inputs is None else {self.name: inputs}
            for number, memory in memory_of_persons(heads, state.tracks, state.persons, state.head)
            for inputs in [head_inputs(self.config, memory)]
        }

    def prefetch(self, frame: Frame) -> Frame:
        """The frame; where the engine can, it begins to encode its image now, and ``step`` goes on from there.

        For frames that are read before their turn, as from a file: all cores encode then, though the state of each
        frame must wait for the one before.
        """
        if not isinstance(frame, Frame):
            raise _no_frame([frame])
        workers = self._engine.prefetch_workers()
        if workers is not None:
            workers.begun[frame] = workers.submit(self._encode, [frame])
        return frame

    def ahead(self, frame: Frame) -> Frame:
        """The former name of ``prefetch``."""
        return self.prefetch(frame)

    def _encoded(self, frames: Sequence[Frame]) -> tuple[np.ndarray, Arrays | None]:
        """The frames as model inputs (N, *frame), and their encodings where the workers make them; else None."""
        workers = self._engine.prefetch_workers() if len(frames) > 1 or self._engine.prefetches else None
        begun = [] if workers is None else [workers.begun.pop(frame, None) for frame in frames]
        prefetched = {n: work for n, work in enumerate(begun) if work is not None}
        if workers is None or (len(frames) == 1 and not prefetched):
            return self._inputs(frames), None
        others = [n for n in range(len(frames)) if n not in prefetched]
        shares = [others[n :: workers.threads] for n in range(min(workers.threads, len(others)))]
        asked = [
            *prefetched.values(),
            *(workers.submit(self._encode, [frames[n] for n in share]) for share in shares),
        ]
        images, encoded = zip(*(work.result() for work in asked), strict=True)
        order = np.argsort([*prefetched, *(n for share in shares for n in share)])
        return np.concatenate(images)[order], tuple(
            np.concatenate(a)[order] for a in zip(*encoded, strict=True)
        )

    def _encode(self, frames: Sequence[Frame]) -> tuple[np.ndarray, Arrays]:
        images = self._inputs(frames)
        return images, self._engine.encode(images)

    def _inputs(self, frames: Sequence[Frame]) -> np.ndarray:
        prepared = self.config.transform.prepared
        return np.stack([prepared(frame.image) for frame in frames])

    def reserve(self, streams: int) -> None:
        """Allocate the memory that so many streams in one pass need, so that it does not grow later.

        An engine keeps the memory of its largest pass, and how many frames arrive together is chance.
        """
        streams = whole_number(streams, "streams")
        blank = Frame(self.config.transform.blank(), 0, 0.0)
        Recognizer.step_many(self, [blank] * streams, [self.initial_state()] * streams)

    def _prediction(self, state: State) -> Prediction:
        phase = None if state.phase is None else (float(state.phase[0, 0]), float(state.phase[0, 1]))
        strangeness = None if state.strangeness is None else float(state.strangeness[0])
        return Prediction.of(state.probabilities[0], float(state.clock[0]), self.labels, phase, strangeness)

    def _with_counts(self, state: State) -> State:
        """The state of one stream after a frame, whose counts are those before it, with what is counted now."""
        before = state.counts[0] if state.counts else {}
        if not (before or (state.tracks and self._person_counter.repetitions)):
            return state
        clock = float(state.clock[0])
        counts = self._person_counter.step(before, state.tracks, state.persons, clock)
        return replace(state, counts=(counts,) if counts else ())

    def _with_people(self, prediction: Prediction, state: State, frame: Frame) -> Prediction:
        """The prediction with the people whom the last step found, in parts of this frame, where they are followed."""
        if not state.tracks:
            return prediction
        seen: list[Person] = []
        missed: list[Person] = []
        clock = float(state.clock[0])
        judging = any(self._judged)
        counts = state.counts[0] if state.counts else {}
        transform, size = self._people_transform, frame.image.shape[:2]
        for slot, found, person in people_in(state.tracks, transform, *size):
            if judging:
                predictions = tuple(
                    None if own is None else own.prediction(state.persons, slot, clock)
                    for own in self._judged
                )
                person = replace(person, predictions=predictions)
            person = self._person_counter.counted(counts, person)
            if found:
                seen.append(person)
            elif judging:
                missed.append(person)
        possible = possible_in(state.tracks, self._found(state), transform, *size)
        return replace(prediction, people=tuple(seen), missed=tuple(missed), possible=possible)

    def _found(self, state: State) -> np.ndarray:
        """Who was found by the last step of one stream, (6, 56)."""
        found: np.ndarray = self._engine.found(state.cache)[0]
        return found

    @property
    def _people_transform(self) -> Transform:
        """That of the model that finds people."""
        return self.config.pictures

    def accepts(self, state: State) -> bool:
        """Whether ``step`` goes on from this state: it is of this model, or of one with the same arrays.

        >>> recognizer = Recognizer.load("synthetic")
        >>> recognizer.accepts(recognizer.initial_state()), recognizer.accepts(Recognizer.load("fall").initial_state())
        (True, False)
        """
        try:
            self._check(state)
        except StateError:
            return False
        return True

    def _check(self, state: State) -> None:
        if not isinstance(state, State):
            raise StateError(
                f"a state is what initial_state() or step() returned, not {type(state).__name__}"
            )
        if not _is_whole(state):
            raise StateError("this state does not hold the arrays of a stream; start from initial_state()")
        layout = self._layout
        kept = tuple(a.shape[1:] for a in state.head), tuple(a.shape[1:] for a in state.cache)
        scores = state.probabilities.shape[1:], None if state.phase is None else state.phase.shape[1:]
        phase = (layout.phase,) if layout.phase else None
        tracks = [(a.shape, a.dtype) for a in (initial_tracks() if layout.people else ())]
        streams = len(state)
        followed = [((1, *a.shape[1:]), a.dtype) for a in state.tracks if len(a) == streams]
        persons = tuple(a.shape[1:] for a in state.persons if len(a) == streams)
        found = (kept, scores, followed, persons, len(state.counts) in (0, streams if layout.people else 0))
        wanted = (layout.head, layout.cache), ((layout.labels,), phase), tracks, layout.persons, True
        if found != wanted:
            raise StateError(
                f"this state belongs to another model than {self.name!r}; start from initial_state()"
            )


def _named(name_or_path: Any) -> str:
    if not isinstance(name_or_path, str | Path):
        several = "; open_models loads several" if isinstance(name_or_path, list | tuple) else ""
        raise ModelError(
            f"a model is loaded by its name or the path of its file, not by {described(name_or_path)}{several}"
        )
    return str(name_or_path)


def _is_whole(state: State) -> bool:
    arrays = (state.clock, state.segment, state.probabilities, state.phase)
    return (
        isinstance(state.head, tuple)
        and isinstance(state.cache, tuple)
        and isinstance(state.tracks, tuple)
        and isinstance(state.persons, tuple)
        and isinstance(state.counts, tuple)
        and all(
            isinstance(array, np.ndarray)
            for array in (*state.head, *state.cache, *state.tracks, *state.persons, *arrays[:3])
        )
        and (state.phase is None or isinstance(state.phase, np.ndarray))
    )


def _no_frame(frames: Sequence[Any]) -> PictureError:
    for frame in frames:
        if isinstance(frame, Frame):
            for name in ("timestamp", "segment"):
                value = getattr(frame, name)
                if not isinstance(value, int | float | np.integer | np.floating):
                    return PictureError(f"the frame's {name} is {described(value)}: give a number")
        else:
            return PictureError(
                f"{described(frame)} is no frame: give Frame(image, index, timestamp), or let a StreamRecognizer "
                "make it of the picture"
            )
    return PictureError("a frame has no time that could be read")


def _engine_for(model: Any) -> Engine:
    """The engine of a model that was never in a file."""
    if isinstance(model, str | Path):
        named = described(str(model))
        raise ModelError(f"{named} is a name or a path: Recognizer.load({named}) loads it")
    if "torch" not in sys.modules or not hasattr(model, "state_dict"):  # there is no model without torch
        raise ModelError(
            f"a Recognizer is made of a model, not of {described(model)}; Recognizer.load(name_or_path) loads one"
        )
    from streamrec.runtime.checkpoint import checkpoint_of

    return engine_of(checkpoint_of(model))


def check_recognizer(given: Any, taker: str) -> None:
    """Raise ``ModelError`` for a value that is no recognizer and has not its methods; ``taker`` names the function."""
    steps = all(hasattr(given, name) for name in ("step", "initial_state", "config", "fps"))
    if isinstance(given, type) or not steps:
        load = (
            f"Recognizer.load({described(str(given))})"
            if isinstance(given, str | Path)
            else "Recognizer.load(name)"
        )
        raise ModelError(f"{taker} takes a Recognizer, not {described(given)}: give {load}")


def configs_of(recognizer: Any) -> Mapping[str, ModelConfig]:
    """The models of a recognizer; an app's own object that steps like one may have no ``configs``."""
    configs: Mapping[str, ModelConfig] | None = getattr(recognizer, "configs", None)
    return {"": recognizer.config} if configs is None else configs


def tracker_of(
    configs: Mapping[str, ModelConfig],
    events: EventSettings | Mapping[str, EventSettings] | None = None,
    source: str = "",
    per_person: Collection[str] = (),
) -> EventTracker | PersonTracker | ModelTrackers:
    """What turns predictions into events, for one stream of these models.

    ``events``: other settings than the models' own: of all, or of those that are named. ``per_person``: the models
    whose events are of persons.
    """
    own = events if isinstance(events, Mapping) else {}
    common = None if isinstance(events, Mapping) else events
    if unknown := [name for name in own if name not in configs]:
        raise StreamrecError(
            f"there are event settings of {unknown[0]!r}, which does not watch here; "
            f"the models are {', '.join(configs)}"
        )
    trackers: dict[str, EventTracker | PersonTracker] = {}
    for place, (name, config) in enumerate(configs.items()):
        given = (
            config.labels,
            own.get(name) or common or config.events,
            config.counted,
            config.counting,
            source,
        )
        trackers[name] = PersonTracker(place, *given) if name in per_person else EventTracker(*given)
    return ModelTrackers(trackers) if len(trackers) > 1 else next(iter(trackers.values()))


def tracker_for(
    recognizer: Any, events: EventSettings | Mapping[str, EventSettings] | None = None, source: str = ""
) -> Tracker:
    """The same for a recognizer; one whose labels may change while it runs has a ``tracker`` of its own."""
    own = getattr(recognizer, "tracker", None)
    if own is not None:
        made: Tracker = own(events, source)
        return made
    return tracker_of(configs_of(recognizer), events, source, getattr(recognizer, "per_person", ()))


class RecognizerWrapper(Recognizer):
    """A recognizer that wraps another one, which does all work; subclasses observe the steps in ``on_step``."""

    def __init__(self, recognizer: Recognizer) -> None:
        self.name = recognizer.name
        self._recognizer = recognizer

    @property
    def config(self) -> ModelConfig:
        """The config of the wrapped recognizer, like all that follows."""
        return self._recognizer.config

    @property
    def configs(self) -> Mapping[str, ModelConfig]:
        """The configs of its models."""
        return self._recognizer.configs

    @property
    def origins(self) -> Mapping[str, str | Path | Checkpoint]:
        """As of the wrapped one."""
        return self._recognizer.origins

    @property
    def notes(self) -> tuple[str, ...]:
        """As of the wrapped one."""
        return self._recognizer.notes

    @property
    def passes(self) -> int:
        """As of the wrapped one."""
        return self._recognizer.passes

    @property
    def straight(self) -> tuple[int, int] | None:
        """As of the wrapped one."""
        return self._recognizer.straight

    @property
    def finds_people(self) -> bool:
        """As of the wrapped one."""
        return self._recognizer.finds_people

    @property
    def engine(self) -> str:
        """Its engine."""
        return self._recognizer.engine

    @property
    def device(self) -> str:
        """Its device."""
        return self._recognizer.device

    def initial_state(self) -> State:
        """Its state of a new stream."""
        return self._recognizer.initial_state()

    def step_many(self, frames: Sequence[Frame], states: Sequence[State]) -> list[tuple[Prediction, State]]:
        """Its step, then ``on_step``."""
        steps = self._recognizer.step_many(frames, states)
        if steps:
            self.on_step(frames, states, steps)
        return steps

    def on_step(
        self,
        frames: Sequence[Frame],
        states: Sequence[State],
        steps: Sequence[tuple[Prediction, State]],
    ) -> None:
        """Called after each step, with its frames, the states before it, and what it returned."""

    def head_inputs(self, state: State) -> dict[str, np.ndarray]:
        """Its ``head_inputs``."""
        return self._recognizer.head_inputs(state)

    def person_inputs(self, state: State) -> dict[int, dict[str, np.ndarray]]:
        """Its ``person_inputs``."""
        return self._recognizer.person_inputs(state)

    def prefetch(self, frame: Frame) -> Frame:
        """Its ``prefetch``."""
        return self._recognizer.prefetch(frame)

    def reserve(self, streams: int) -> None:
        """Its ``reserve``."""
        self._recognizer.reserve(streams)

    def _check(self, state: State) -> None:
        self._recognizer._check(state)

    def _prediction(self, state: State) -> Prediction:
        return self._recognizer._prediction(state)

    @property
    def per_person(self) -> tuple[str, ...]:
        """As of the wrapped one."""
        return self._recognizer.per_person

    def _with_people(self, prediction: Prediction, state: State, frame: Frame) -> Prediction:
        return self._recognizer._with_people(prediction, state, frame)

    def _checkpoint(self) -> Checkpoint:
        return self._recognizer._checkpoint()


class Followed(RecognizerWrapper):
    """A recognizer that remembers the state of each stream before its last step, which an ``Explainer`` needs.

    >>> followed = Followed(Recognizer.load("synthetic"))
    >>> frame, state = Frame(np.zeros((240, 320, 3), np.uint8), 0, 0.0), followed.initial_state()
    >>> _ = followed.step(frame, state)
    >>> followed.before(frame) is state
    True
    """

    def __init__(self, recognizer: Recognizer) -> None:
        check_recognizer(recognizer, "Followed")
        super().__init__(recognizer)
        self._last: dict[str, tuple[Frame, State]] = {}  # by source

    def on_step(
        self,
        frames: Sequence[Frame],
        states: Sequence[State],
        steps: Sequence[tuple[Prediction, State]],
    ) -> None:
        """Remember the states."""
        self._last.update({f.source: (f, state) for f, state in zip(frames, states, strict=True)})

    def before(self, frame: Frame) -> State | None:
        """The state that the step of this frame was given; None where the frame is not the last of its source."""
        if not isinstance(frame, Frame):
            raise _no_frame([frame])
        last, state = self._last.get(frame.source, (None, None))
        return state if last is frame else None


class StreamRecognizer:
    """One stream's recognizer, for an app: give it each image. It remembers, so keep one a stream.

    It may be called from any thread, but from one at a time. Images that come faster than the frame rate that the
    model learned are answered with the last prediction, at no cost; ``fps`` sets another rate, ``math.inf`` processes
    every image. ``events``: other settings than the model's own; of several models, by their names. ``count``: count
    any motion that repeats (``Result.count``), and that of each person where people are followed (``Person.count``).

    >>> stream = StreamRecognizer(Recognizer.load("synthetic"))
    >>> result = stream.recognize(np.zeros((240, 320, 3), np.uint8), timestamp=0.0)
    >>> result.label in stream.recognizer.labels, result.events
    (True, ())
    """

    def __init__(
        self,
        recognizer: Recognizer,
        *,
        fps: float | None = None,
        events: EventSettings | Mapping[str, EventSettings] | None = None,
        count: RecurrenceSettings | None = None,
    ) -> None:
        check_recognizer(recognizer, "StreamRecognizer")
        if count is not None and getattr(recognizer, "sense", VIDEO) != VIDEO:
            raise StreamrecError(
                "count is of the motion in pictures, and this model takes none: leave it out"
            )
        self.recognizer = recognizer
        self.fps = recognizer.fps if fps is None else check_fps(fps)
        self._count = count
        self._state = with_motion_counts(recognizer.initial_state(), count)
        self._events = tracker_for(recognizer, events)
        self._counts = None if count is None else MotionCounts(count)
        self._index = -1  # of the last image

    def recognize(self, image: Any, timestamp: float | None = None) -> Result:
        """What is happening, as of this image, and what started or ended with it: ``result.events``.

        ``image``: BGR as OpenCV gives it; gray, BGRA, 16-bit and float from 0 to 1 are understood too, anything
        else raises ``PictureError``. A model of a signal takes a row of readings: numbers in the order of its channels,
        or by their names. ``timestamp``: seconds on the stream's own clock; None means now, which is
        right for a camera; for a file give its media time. ``draw`` takes the result.
        """
        began = time.monotonic()
        timestamp = began if timestamp is None else number(timestamp, "the timestamp in seconds")
        image = self.recognizer.config.transform.read(image)
        segment = int(self._state.segment[0])  # a state that was given may be of a later one
        self._index += 1
        frame = Frame(image, self._index, timestamp, segment)
        events: tuple[Event, ...] = ()
        if is_due(timestamp, float(self._state.clock[0]), self.fps):
            prediction, self._state = self.recognizer.step(frame, self._state)
            events = self._events.step(prediction, timestamp)
            if self._counts is not None:
                events = self._counts.step(frame, events)
        else:
            prediction = self.recognizer._prediction(self._state)
            prediction = self.recognizer._with_people(prediction, self._state, frame)
        return Result(
            frame,
            prediction,
            events,
            time.monotonic() - began,
            repetitions=self._events.repetitions,
            unknown=self._events.is_unknown(prediction),
            models=self._events.models(prediction),
            count=None if self._counts is None else self._counts.found.count,
            period=None if self._counts is None else self._counts.found.period,
            people=prediction.people,
        )

    def retune(self, events: Mapping[str, EventSettings]) -> None:
        """Go on with other event settings, by model; what runs goes on."""
        retune(self._events, events)

    def __call__(self, image: Any, timestamp: float | None = None) -> Prediction:
        """The prediction alone, of ``recognize``."""
        return self.recognize(image, timestamp).prediction

    def finish(self) -> tuple[Event, ...]:
        """The stream is over: what still runs has ended. Then everything is forgotten, as by ``reset``."""
        clock = float(self._state.clock[0])
        ended = self._events.finish(clock) if math.isfinite(clock) else ()
        if self._counts is not None:
            ended = self._counts.finish(ended)
        self.reset()
        return ended

    @property
    def repetitions(self) -> int | None:
        """Repetitions of the set that is under way, as of the last image; None: the model counts nothing."""
        return self._events.repetitions

    @property
    def state(self) -> State:
        """All that the model remembers. It may be kept, saved (``state.to_bytes()``) and given back later.

        The counts of each person are part of it. Events and the counts of the whole picture are not: they start anew
        where a state is given back.
        """
        return self._state

    @state.setter
    def state(self, state: State) -> None:
        self.recognizer._check(state)
        self._state = with_motion_counts(state, self._count)
        self._forget_events()

    def reset(self) -> None:
        """Forget everything: the next image begins a stream. What runs is not reported as ended; ``finish`` does."""
        self._state = with_motion_counts(self.recognizer.initial_state(), self._count)
        self._forget_events()

    def _forget_events(self) -> None:
        self._events.reset()
        if self._counts is not None:
            self._counts.reset()


def _check_known(engine: Engine) -> None:
    """Raise ``ModelError`` for a score of features that this model does not give."""
    known, shapes = engine.config.known, engine.cache_shapes
    if isinstance(known, KnownFeatures) and not (
        shapes and len(shapes[0]) == 1 and shapes[0][0] >= len(known.mean) * known.cells
    ):
        raise ModelError(f"the model knows {len(known.mean)} features, and its encoder keeps others")

"""Several models on one stream: one state and, where they can be merged, one pass, which does once what they share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from streamrec.core.messages import described
from streamrec.core.model_names import check_names, is_anomaly
from streamrec.core.state import State
from streamrec.core.text import printable
from streamrec.errors import ModelError
from streamrec.nn.config import ModelConfig
from streamrec.nn.ood import KnownFeatures, appearance_of
from streamrec.nn.transforms import Transform
from streamrec.runtime.anomaly import AnomalyRecognizer
from streamrec.runtime.checkpoint import Checkpoint, find_model, read_checkpoint
from streamrec.runtime.engine import Arrays, Engine, EngineOptions, PersonHeads
from streamrec.runtime.head_inputs import head_inputs
from streamrec.runtime.load import check_exported, check_options, choose_engine, engine_of
from streamrec.runtime.people import follow, follows_a_person, has_people, no_people, no_persons, people_step
from streamrec.runtime.persons import Judged, judge, judged_by, memory_of_persons, persons_shapes, rows_of
from streamrec.runtime.recognizer import Layout, Recognizer
from streamrec.types import VIDEO, Frame, Prediction

if TYPE_CHECKING:
    from streamrec.runtime.onnx_engine import ModelStep


def open_models(
    models: str | Path | Sequence[str | Path],
    *,
    device: str = "auto",
    engine: str = "auto",
    threads: int | None = None,
    people: bool = False,
    per_person: bool = False,
) -> Recognizer:
    """A recognizer of one model, or of several that watch the same streams; options as in ``Recognizer.load``.

    Several models run in one pass, which does what they have in common once, a frozen backbone above all. Each keeps
    its own labels, event settings and memory. ``Result.models`` has the prediction of each, and ``event.model`` is the
    model's name. The fastest model's frame rate counts for all. ``per_person``: those that can judge each person; the
    others judge whole pictures. ``anomaly``, or ``anomaly:1/week``, has no file: it learns from a stream of readings,
    and watches it alone. Raises ``ModelError``.

    >>> recognizer = open_models(["fight", "fall"])
    >>> list(recognizer.configs)
    ['fight', 'fall']
    >>> frame = Frame(np.zeros((240, 320, 3), np.uint8), 0, 0.0)
    >>> prediction, state = recognizer.step(frame, recognizer.initial_state())
    >>> [one.labels for one in prediction.each]
    [('fight', 'normal'), ('fall', 'normal')]
    """
    if isinstance(models, str | Path):
        models = [models]
    if not isinstance(models, Sequence) or not models:
        raise ModelError(f"models are {described(models)}: give a list of names or files")
    check_options(engine, device, threads)
    if any(map(is_anomaly, models)):
        if len(models) > 1:
            raise ModelError("anomaly watches a stream alone: run the other models in a pass of their own")
        return AnomalyRecognizer.named(str(models[0]))
    if len(models) == 1:
        return Recognizer.load(
            models[0], device=device, engine=engine, threads=threads, people=people, per_person=per_person
        )
    paths = [find_model(model) for model in models]
    check_names(paths)
    members = read_members(paths, engine, device, people, per_person)
    check_one_sense(members)
    options = EngineOptions(engine, device, threads, people, per_person)
    return JointRecognizer(members, threads, _Origin(paths, options))


def check_one_sense(members: Sequence[Member]) -> None:
    """Raise ``ModelError`` for models that cannot take the same frames."""
    first = members[0]
    kind = first.config.transform
    for other in members[1:]:
        theirs = other.config.transform
        if theirs.sense != kind.sense or (kind.sense != VIDEO and theirs.described != kind.described):
            raise ModelError(
                f"{first.name} takes {kind.described}, and {other.name} {theirs.described}: run each on its own source"
            )


@dataclass(frozen=True, slots=True)
class _Origin:
    """What a recognizer was loaded from, to load it again in another process."""

    paths: list[Path]
    options: EngineOptions


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """A model that was read, and not made ready yet: by its graph (onnx), or by torch."""

    name: str
    config: ModelConfig
    step: ModelStep | None  # None: torch runs it
    make: Any = None  # () -> its engine, where torch runs it
    people: ModelStep | None = None  # the step that finds people, of one member at most
    finds_people: bool = False  # with that step, or with torch
    per_person: bool = False  # it judges each person


def read_members(
    paths: Sequence[Path], engine: str, device: str, people: bool = False, per_person: bool = False
) -> list[Member]:
    """The models of these files, read and checked; raises ``ModelError``.

    ``people``: the first one that can finds people as well; there must be one. ``per_person``: those that take
    pictures of its size and can judge each of them; there must be one, and the first of these finds people.
    """
    found: list[Member] = []
    finder: ModelConfig | None = None
    for path in paths:
        if path.suffix == ".onnx":
            check_exported(path, engine, device)
            from streamrec.runtime.onnx_engine import read_step

            step = read_step(path)
            found.append(Member(path.stem, step.configs[0], step))
        else:
            checkpoint = read_checkpoint(path)
            config = checkpoint.config
            can = follows_a_person(config) if per_person else people and has_people(checkpoint)
            judges = per_person and can and (finder is None or finder.transform == config.transform)
            found.append(_member(checkpoint, engine, device, can and finder is None, judges))
            finder = config if can and finder is None else finder
    if (people or per_person) and finder is None:
        names = " and ".join(one.name for one in found)
        raise no_persons(names) if per_person else no_people(names)
    return found


def _member(checkpoint: Checkpoint, engine: str, device: str, people: bool, per_person: bool) -> Member:
    name, config = checkpoint.name, checkpoint.config
    if choose_engine(checkpoint, engine, device) == "onnx":
        from streamrec.runtime.onnx_engine import step_of

        finder = people_step(checkpoint) if people else None
        return Member(name, config, step_of(checkpoint), None, finder, people, per_person)

    def make() -> Engine:
        return engine_of(checkpoint, engine="torch", device=device, people=people, per_person=per_person)

    return Member(name, config, None, make, None, people, per_person)


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """One engine, with one model in it or several that were merged."""

    recognizer: Recognizer  # transforms and encodes the frames
    engine: Engine
    models: tuple[int, ...]  # their numbers among all
    shares: bool  # whether any work of the models is done once
    features: tuple[
        int, ...
    ]  # of each model its first cache, which a score of features reads, among all caches
    heads: tuple[tuple[int, ...], ...] = ((),)  # of each model the arrays of its head's memory; (): all


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a model's outputs stand among those of all, along axis 1."""

    labels: slice
    phase: slice | None  # None: it counts nothing
    known: int | None  # of its out-of-distribution score


class JointRecognizer(Recognizer):
    """Several models as one recognizer; ``open_models`` makes it.

    Graphs of models on the CPU that take pictures of one size are merged and run in one pass; other models run one
    after the other. A state holds the memories of all.
    """

    def __init__(
        self, members: Sequence[Member], threads: int | None = None, origin: _Origin | None = None
    ) -> None:
        """``origin``: what to load again where it is unpickled; None: it cannot be pickled."""
        self.name = "+".join(member.name for member in members)
        self._configs = {member.name: member.config for member in members}
        self._origin = origin
        self._parts = [
            _part([members[n] for n in numbers], numbers, threads) for numbers in _grouped(members)
        ]
        self._engine = self._parts[0].engine
        self._places = _places(self._parts, [member.config for member in members])
        configs = list(self._configs.values())
        fps = max(config.fps for config in configs)
        self._config = replace(configs[0], fps=fps, max_gap=min(config.max_gap for config in configs))
        self._notes = tuple(_notes(members, self._parts))
        self._finder = next((part for part in self._parts if part.engine.finds_people), None)

    @property
    def config(self) -> ModelConfig:
        """The first model's, with the largest frame rate and the smallest ``max_gap`` of all."""
        return self._config

    @property
    def configs(self) -> Mapping[str, ModelConfig]:
        """The config of each model, by its name."""
        return dict(self._configs)

    @property
    def origins(self) -> Mapping[str, str | Path | Checkpoint]:
        """The file of each model."""
        return {} if self._origin is None else dict(zip(self._configs, self._origin.paths, strict=True))

    @property
    def notes(self) -> tuple[str, ...]:
        """Which of them cost their own time, and why."""
        return self._notes

    @property
    def passes(self) -> int:
        """One for all models that could be merged, and one for each other."""
        return len(self._parts)

    @property
    def straight(self) -> tuple[int, int] | None:
        """The size of all models' input; None where they differ."""
        sizes = {config.transform.straight for config in self._configs.values()}
        return sizes.pop() if len(sizes) == 1 else None

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as the names of its files: unpickling loads them again."""
        if self._origin is None:
            raise ModelError("these models were not loaded from files: load them in the other process")
        return _load_again, (self._origin, tuple(self._configs.values()))

    def __deepcopy__(self, memo: object) -> JointRecognizer:
        return self

    def _checkpoint(self) -> Checkpoint:
        raise ModelError(f"{self.name} are {len(self._configs)} models: save or export each alone")

    @cached_property
    def _layout(self) -> Layout:
        configs = self._configs.values()
        known = sum(config.known is not None for config in configs)
        return Layout(
            tuple(shape for part in self._parts for shape in part.engine.head_shapes),
            tuple(shape for part in self._parts for shape in part.engine.cache_shapes),
            sum(len(config.labels) for config in configs),
            2 * sum(bool(config.counted) for config in configs),
            (known,) if known else None,
            self._finder is not None,
            tuple(shape for _, heads, _ in self._judging for shape in persons_shapes(heads)),
        )

    @cached_property
    def _judging(self) -> list[tuple[int, PersonHeads, slice]]:
        """The passes that judge each person: number, heads, and which arrays of ``State.persons`` are theirs."""
        found = []
        first = 0
        for number, part in enumerate(self._parts):
            if (heads := part.engine.persons) is not None:
                end = first + len(persons_shapes(heads))
                found.append((number, heads, slice(first, end)))
                first = end
        return found

    @cached_property
    def _judged(self) -> tuple[Judged | None, ...]:
        configs = list(self._configs.values())
        found: list[Judged | None] = [None] * len(configs)
        for number, heads, own in self._judging:
            part = self._parts[number]
            models = [(configs[n].labels, bool(configs[n].counted)) for n in part.models]
            for model, judged in zip(part.models, judged_by(heads, models, own.start), strict=True):
                found[model] = judged
        return tuple(found)

    def head_inputs(self, state: State) -> dict[str, np.ndarray]:
        """As of a single model, by the model's name."""
        found = {}
        for part, memory, _ in self._memories(state):
            for number, own in zip(part.models, part.heads, strict=True):
                name, config = list(self._configs.items())[number]
                inputs = head_inputs(config, tuple(memory[n] for n in own) if own else memory)
                if inputs is not None:
                    found[name] = inputs
        return found

    def person_inputs(self, state: State) -> dict[int, dict[str, np.ndarray]]:
        """As of a single model, of those that judge each person."""
        found: dict[int, dict[str, np.ndarray]] = {}
        configs = list(self._configs.items())
        memories = list(self._memories(state))
        for n, heads, own in self._judging:
            part, head, _ = memories[n]
            for number, memory in memory_of_persons(heads, state.tracks, state.persons[own], head):
                for place, (model, arrays) in enumerate(zip(part.models, part.heads, strict=True)):
                    name, config = configs[model]
                    inputs = head_inputs(config, tuple(memory[n] for n in arrays) if arrays else memory)
                    if inputs is not None and heads.judged[place]:
                        found.setdefault(number, {})[name] = inputs
        return found

    def prefetch(self, frame: Frame) -> Frame:
        """As of a single model, for each pass."""
        for part in self._parts:
            part.recognizer.prefetch(frame)
        return frame

    def _memories(self, state: State) -> Iterator[tuple[_Part, Arrays, Arrays]]:
        """Each pass, with its part of the memory."""
        head = cache = 0
        for part in self._parts:
            heads, caches = len(part.engine.head_shapes), len(part.engine.cache_shapes)
            yield part, state.head[head : head + heads], state.cache[cache : cache + caches]
            head, cache = head + heads, cache + caches

    def _after(self, frames: Sequence[Frame], state: State, clock: np.ndarray, segment: np.ndarray) -> State:
        elapsed = state.elapsed(clock, segment)
        configs = list(self._configs.values())
        head: Arrays = ()
        cache: Arrays = ()
        scores, phases, strangeness = [], [], []
        tracks: Arrays = ()
        caches: list[Arrays] = []  # of each pass
        for part, own_head, own_cache in self._memories(state):
            images, encoded = part.recognizer._encoded(frames)
            probabilities, phase, new_head, new_cache = part.engine.step(
                images, elapsed, own_head, own_cache, encoded
            )
            head, cache = head + new_head, cache + new_cache[: len(part.engine.cache_shapes)]
            scores.append(probabilities)
            caches.append(new_cache)
            if part is self._finder:
                transform, max_gap = self._people_transform, self.config.max_gap
                tracks = follow(state.tracks, part.engine.found(new_cache), elapsed, transform, max_gap)
            phases += [] if phase is None else [phase]
            appearance = None
            for model, place in zip(part.models, part.features, strict=True):
                known = configs[model].known
                if isinstance(known, KnownFeatures):
                    strangeness.append(known.ood_scores(new_cache[place]))
                elif known is not None:  # the appearance of an image is the same for all
                    appearance = appearance_of(images) if appearance is None else appearance
                    strangeness.append(known.distances(appearance))
        joined = np.concatenate(scores, axis=1)
        joined.setflags(write=False)  # predictions and the state share them
        return State(
            head,
            cache,
            clock,
            segment,
            joined,
            np.concatenate(phases, axis=1) if phases else None,
            np.stack(strangeness, axis=1) if strangeness else None,
            tracks,
            self._persons_after(state, tracks, elapsed, caches),
            state.counts,
        )

    def _persons_after(
        self, state: State, tracks: Arrays, elapsed: np.ndarray, caches: Sequence[Arrays]
    ) -> Arrays:
        if not self._judging:
            return ()
        transform = self._people_transform
        rows = rows_of(tracks, transform.width / transform.height)
        found: Arrays = ()
        for number, heads, own in self._judging:
            found += judge(heads, rows, state.persons[own], elapsed, caches[number])
        return found

    def _found(self, state: State) -> np.ndarray:
        part, cache = next((part, cache) for part, _, cache in self._memories(state) if part is self._finder)
        found: np.ndarray = part.engine.found(cache)[0]
        return found

    @property
    def _people_transform(self) -> Transform:
        part = self._finder or self._parts[0]
        return part.recognizer.config.pictures

    def _prediction(self, state: State) -> Prediction:
        clock = float(state.clock[0])
        found = []
        for place, config in zip(self._places, self._configs.values(), strict=True):
            phase = None
            if place.phase is not None and state.phase is not None:
                cosine, sine = state.phase[0, place.phase]
                phase = float(cosine), float(sine)
            strangeness = None
            if place.known is not None and state.strangeness is not None:
                strangeness = float(state.strangeness[0, place.known])
            scores = state.probabilities[0, place.labels]
            found.append(Prediction.of(scores, clock, config.labels, phase, strangeness))
        return replace(found[0], others=tuple(found[1:]))

    def __repr__(self) -> str:
        return f"<JointRecognizer {', '.join(self._configs)} ({self.engine} on {self.device})>"


def _load_again(origin: _Origin, configs: tuple[ModelConfig, ...]) -> Recognizer:
    """Raises ``ModelError`` where a file holds another model by now."""
    found = open_models(origin.paths, **asdict(origin.options))
    if tuple(found.configs.values()) != configs:
        raise ModelError(f"the files of {found.name} hold other models than when they were pickled")
    return found


def _grouped(members: Sequence[Member]) -> list[tuple[int, ...]]:
    """The numbers of the models that can be merged: graphs in the same operators, over pictures of one size."""
    groups: dict[object, list[int]] = {}
    for number, member in enumerate(members):
        key: object = number
        transform = member.config.transform
        if member.step is not None and isinstance(transform, Transform):
            from streamrec.runtime.graph_merge import operators_of

            key = transform.height, transform.width, transform.fit, operators_of(member.step.graph)
        groups.setdefault(key, []).append(number)
    return [tuple(numbers) for numbers in groups.values()]


def _part(members: Sequence[Member], numbers: tuple[int, ...], threads: int | None) -> _Part:
    engine: Engine
    shares = True
    features: tuple[int, ...] = (0,)
    heads: tuple[tuple[int, ...], ...] = ((),)
    steps = [member.step for member in members if member.step is not None]
    if steps:
        from streamrec.runtime.onnx_engine import OnnxEngine, merged_step

        step = steps[0]
        if len(steps) > 1:
            step, shares = merged_step(steps)
        if finder := next((member.people for member in members if member.people is not None), None):
            step, _ = merged_step([*steps, finder])
        features, heads = step.features, step.heads
        per_person = step.finds_people and any(member.per_person for member in members)
        engine = OnnxEngine.of_step(step, threads, per_person)
    else:
        engine = members[0].make()
    return _Part(Recognizer(engine, members[0].name), engine, numbers, shares, features, heads)


def _places(parts: Sequence[_Part], configs: Sequence[ModelConfig]) -> list[_Place]:
    """Of each model; the outputs stand in the order of the passes."""
    found: dict[int, _Place] = {}
    labels = phases = known = 0
    for number in (number for part in parts for number in part.models):
        config = configs[number]
        count, turns, has_known = len(config.labels), 2 * bool(config.counted), config.known is not None
        found[number] = _Place(
            slice(labels, labels + count),
            slice(phases, phases + turns) if turns else None,
            known if has_known else None,
        )
        labels, phases, known = labels + count, phases + turns, known + has_known
    return [found[number] for number in range(len(configs))]


def _notes(members: Sequence[Member], parts: Sequence[_Part]) -> Iterator[str]:
    """Sentences about models that cost their full time."""
    names = [member.name for member in members]
    if len(parts) > 1:
        groups = [" + ".join(names[n] for n in part.models) for part in parts]
        if any(member.step is None for member in members):
            why = "the torch engine runs one model after the other"
        elif len({member.config.transform for member in members}) > 1:
            why = "they take pictures of different sizes"
        else:
            why = "their graphs were written by different versions"
        apart = f"{', '.join(groups[:-1])} and {groups[-1]}"
        yield f"{printable(apart)} share no work: {why}"
    for part in parts:
        if not part.shares:
            together = printable(" and ".join(names[n] for n in part.models))
            yield f"{together} have no backbone in common: they cost about as much as each alone, added up"


def pace_notes(recognizer: Recognizer) -> Iterator[str]:
    """Sentences about models that run at another frame rate than they learned, because another sets the pace."""
    configs = recognizer.configs
    for name, config in configs.items():
        if config.fps < recognizer.fps:
            fastest = next(other for other, one in configs.items() if one.fps == recognizer.fps)
            yield (
                f"{printable(name)} learned {config.fps:g} frames a second, and runs at {recognizer.fps:g}, "
                f"as {printable(fastest)} does"
            )

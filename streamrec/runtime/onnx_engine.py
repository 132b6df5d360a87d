"""Run a model's step graph with ONNX Runtime. No torch is imported here."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from streamrec.core.graph_check import check_graph
from streamrec.core.messages import explain_errors, why
from streamrec.core.text import printable
from streamrec.core.threads import for_encoding, for_engine
from streamrec.errors import ModelError
from streamrec.nn.config import ModelConfig
from streamrec.nn.transforms import pixels_of
from streamrec.runtime.checkpoint import Checkpoint, build_model, parse_config
from streamrec.runtime.engine import Arrays, Engine, PersonHeads, PrefetchWorkers
from streamrec.runtime.graph_merge import StepGraph, merge
from streamrec.runtime.graph_person import PersonGraph
from streamrec.runtime.graph_split import SplitGraph, StepParts
from streamrec.types import SIGNAL, SOUND, VIDEO

MOST_MEMORY = 8 << 30  # bytes that all graphs together may take, or half of the machine's where that is less
_LARGEST_MEMORY = 1 << 28  # bytes of the memory of one stream
_MOST_FILE = 4_000_000_000  # bytes of a .onnx file
_TRIAL_SECONDS = 120.0  # that the first step may take
_TYPES: dict[type, str] = {
    np.uint8: "tensor(uint8)",
    np.float32: "tensor(float)",
}  # of the input, by the transform's dtype
# What a model is tried on, in messages.
_NOTHING = {VIDEO: "a black picture", SIGNAL: "readings of zero", SOUND: "silence"}
LARGE = 4_000_000  # bytes of graph and weights: with less, a step is too short to be worth splitting


class OnnxEngine(Engine):
    """The step graph on the CPU."""

    name = "onnx"
    device = "cpu"

    def __init__(
        self,
        graph: _Graph,
        session: onnxruntime.InferenceSession,
        configs: Sequence[ModelConfig],
        threads: int | None = None,
        finds_people: bool = False,
        persons: PersonHeads | None = None,
    ) -> None:
        """``configs``: of the models in the graph. ``threads``: of prefetching; None: one a core."""
        self.persons = persons
        self.config = configs[0]
        self.finds_people = finds_people
        self._labels = sum(len(config.labels) for config in configs)
        self._phases = 2 * sum(bool(config.counted) for config in configs)  # width of the output
        self._name = printable(graph.name)
        self._input = self.config.transform.input_name
        self._session = session
        self._weights = graph.weights  # the sessions read them in place: they must live as long
        self._check_interface()
        inputs = self._session.get_inputs()[2:]
        self.memory_names = [i.name for i in inputs]
        self.head_shapes = tuple(tuple(i.shape[1:]) for i in inputs if i.name.startswith("head."))
        self.cache_shapes = tuple(tuple(i.shape[1:]) for i in inputs if i.name.startswith("cache."))
        self._threads = for_encoding(threads)
        self._graph: _Graph | None = graph if self._threads > 1 and graph.size >= LARGE else None
        self._halves: tuple[onnxruntime.InferenceSession, onnxruntime.InferenceSession] | None = None
        self._workers: PrefetchWorkers | None = None
        self._splitting = threading.Lock()
        self._process = os.getpid()
        self._try()

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint, threads: int | None = None) -> OnnxEngine:
        """The graph and the weights of a model file; a file without a graph is exported now, with torch."""
        return cls.of_step(step_of(checkpoint), threads)

    @classmethod
    def from_file(cls, path: Path, threads: int | None = None) -> OnnxEngine:
        """A model that ``streamrec export`` wrote: one .onnx file with all in it."""
        return cls.of_step(read_step(path), threads)

    @classmethod
    def of_step(cls, step: ModelStep, threads: int | None = None, per_person: bool = False) -> OnnxEngine:
        """The engine of a model's graph, or of several models' that were merged.

        ``per_person``: with the heads that judge each person; the step finds people.
        """
        with explain_errors(step.name, ModelError):
            weights = {
                name: onnxruntime.OrtValue.ortvalue_from_numpy(array) for name, array in step.weights.items()
            }
        whole = _Graph(step.graph, step.file, weights)
        persons = None
        if per_person:
            whole, persons = _with_persons(whole)
        session = whole.session(_of_step(step.configs[0], threads))
        return cls(whole, session, step.configs, threads, step.finds_people, persons)

    def step(
        self,
        images: np.ndarray,
        elapsed: np.ndarray,
        head: Arrays,
        cache: Arrays,
        encoded: Arrays | None = None,
    ) -> tuple[np.ndarray, np.ndarray | None, Arrays, Arrays]:
        """One run of the graph over N streams, or of its second half where the images were encoded before."""
        given = {self._input: images, "elapsed": elapsed}
        given.update(zip(self.memory_names, (*head, *cache), strict=True))
        session = self._session
        if encoded is not None:
            assert self._halves is not None
            first, session = self._halves
            given.update(zip((o.name for o in first.get_outputs()), encoded, strict=True))
            given = {i.name: given[i.name] for i in session.get_inputs()}
        probabilities, *after = self._run(session, given)
        phase = after.pop(0) if self._phases else None
        return probabilities, phase, tuple(after[: len(head)]), tuple(after[len(head) :])

    def prefetch_workers(self) -> PrefetchWorkers | None:
        """One thread a core. The first call splits the graph in two."""
        if self._process != os.getpid():
            self._after_fork()
        with self._splitting:
            if self._graph is not None:
                self._halves = self._graph.halves()
                self._workers = None if self._halves is None else PrefetchWorkers(self._threads)
                self.prefetches = self._workers is not None
                self._graph = None
            return self._workers

    def _after_fork(self) -> None:
        """The threads stayed behind in the parent process, and with them the work that they had begun."""
        self._process, self._splitting = os.getpid(), threading.Lock()
        self._workers = None if self._workers is None else PrefetchWorkers(self._threads)

    def encode(self, images: np.ndarray) -> Arrays:
        """The first half of the graph."""
        assert self._halves is not None
        return tuple(self._run(self._halves[0], {self._input: images}))

    def _run(
        self,
        session: onnxruntime.InferenceSession,
        given: Mapping[str, np.ndarray],
        options: onnxruntime.RunOptions | None = None,
    ) -> list[Any]:
        return _run(self._name, session, given, options)

    @property
    def _passed(self) -> int:
        return 0 if self.persons is None else self.persons.passed

    def _check_interface(self) -> None:
        """Check that the graph has the inputs and outputs of a step of this config."""
        transform = self.config.transform
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        names = [value.name for value in inputs]
        memory = inputs[2:]
        scores = ["probabilities", "phase"] if self._phases else ["probabilities"]
        shapes = [value.shape[1:] for value in memory]
        fits = (
            names[:2] == [transform.input_name, "elapsed"]
            and tuple(inputs[0].shape[1:]) == transform.shape
            and inputs[0].type == _TYPES[transform.dtype]
            and all(value.type == "tensor(float)" for value in inputs[1:])
            and [value.name for value in outputs[: len(outputs) - self._passed]]
            == [*scores, *(f"{value.name}.next" for value in memory)]
            and all(name.startswith(("head.", "cache.")) for name in names[2:])
            and all(isinstance(size, int) and size > 0 for shape in shapes for size in shape)
        )
        if not fits:
            raise ModelError(f"the graph of {self._name} does not fit its config: export the model again")
        size = 4 * sum(int(np.prod([*map(int, shape)], dtype=object)) for shape in shapes)
        if size > _LARGEST_MEMORY:
            raise ModelError(
                f"{self._name} would remember {size / 1e6:,.0f} MB of each stream; it may be "
                f"{_LARGEST_MEMORY / 1e6:,.0f} at most"
            )

    def _try(self) -> None:
        """One step of a new stream, on a frame of zeros: a graph that cannot run is found out now."""
        transform = self.config.transform
        shapes = (*self.head_shapes, *self.cache_shapes)
        memory = [np.zeros((1, *shape), np.float32) for shape in shapes]
        images: np.ndarray = np.zeros((1, *transform.shape), transform.dtype)
        given = dict(
            zip(
                (self._input, "elapsed", *self.memory_names),
                (images, np.full(1, np.inf, np.float32), *memory),
                strict=True,
            )
        )
        options = onnxruntime.RunOptions()
        alarm = threading.Timer(_TRIAL_SECONDS, lambda: setattr(options, "terminate", True))
        alarm.daemon = True
        alarm.start()
        try:
            probabilities, *after = self._run(self._session, given, options)
        except ModelError as error:
            if options.terminate:
                raise ModelError(
                    f"a step of {self._name} takes longer than {_TRIAL_SECONDS:g} s: it is no model for here"
                ) from error
            raise
        finally:
            alarm.cancel()
        wanted = [(1, self._labels), *([(1, self._phases)] if self._phases else [])]
        found = [probabilities, *after[: len(after) - self._passed]]
        if [array.shape for array in found] != [*wanted, *((1, *shape) for shape in shapes)]:
            raise ModelError(f"the graph of {self._name} does not fit its config: export the model again")
        if not all(np.isfinite(array).all() for array in found):
            raise ModelError(
                f"{self._name} says what is no number of {_NOTHING[transform.sense]}: its weights are damaged"
            )


@dataclass(frozen=True, slots=True, eq=False)
class ModelStep:
    """The step graph of a model, or of several that were merged, ready for ONNX Runtime; it was checked."""

    name: str
    graph: bytes
    weights: Mapping[str, np.ndarray]  # those outside of the graph
    configs: tuple[ModelConfig, ...]  # of the models in it, in the order of its probabilities
    file: str = ""  # as errors name it
    features: tuple[int, ...] = (0,)  # of each model its first cache, among all
    heads: tuple[tuple[int, ...], ...] = ((),)  # of each model the arrays of its head's memory; (): all
    finds_people: bool = False  # its last cache is who was found in the frame


def step_of(checkpoint: Checkpoint) -> ModelStep:
    """The step of a model file; where it has no graph, it is exported now, with torch. Raises ``ModelError``."""
    graph, names = checkpoint.graph, list(checkpoint.referred)
    if graph is None:
        from streamrec.runtime.export import step_graph

        graph, names = step_graph(build_model(checkpoint))
    check_graph(graph, checkpoint.name, names)
    weights = {name: checkpoint.weights[name] for name in names}
    return ModelStep(checkpoint.name, graph, weights, (checkpoint.config,), checkpoint.name)


def read_step(path: Path) -> ModelStep:
    """The step of an .onnx file that ``streamrec export`` wrote; raises ``ModelError``."""
    try:
        if path.stat().st_size > _MOST_FILE:
            raise ModelError(f"the model {printable(str(path))} is too large")
        data = path.read_bytes()
    except (OSError, MemoryError) as error:
        raise ModelError(f"the model {printable(str(path))} cannot be read: {why(error)}") from error
    metadata = check_graph(data, path.name).metadata
    config = parse_config(path, metadata.get("format"), metadata.get("config"))
    return ModelStep(path.stem, data, {}, (config,), path.name)


def merged_step(steps: Sequence[ModelStep]) -> tuple[ModelStep, bool]:
    """Several models in one graph, and whether they have a convolution in common; raises ``ModelError``.

    They take pictures of one size, and are written in the same operators. A step that finds people, which has no
    labels, comes last.
    """
    names = " + ".join(step.name for step in steps)
    parts = [
        StepGraph(step.graph, step.weights, sum(len(config.labels) for config in step.configs))
        for step in steps
    ]
    try:
        merged = merge(parts)
    except (TypeError, ValueError, IndexError, KeyError) as error:
        raise ModelError(f"{names} cannot be merged: one of the graphs is damaged") from error
    configs = tuple(config for step in steps for config in step.configs)
    own = [n for n, step in enumerate(steps) if step.configs]
    whole = ModelStep(
        names,
        merged.data,
        merged.weights,
        configs,
        names,
        tuple(merged.caches[n] for n in own),
        tuple(merged.heads[n] for n in own),
        steps[-1].finds_people,
    )
    return whole, bool(merged.shared)


@dataclass(frozen=True, eq=False)
class _Graph:
    """A graph's bytes, and the weights outside of them."""

    data: bytes
    name: str
    weights: dict[str, onnxruntime.OrtValue] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """In bytes, with its weights."""
        return len(self.data) + sum(value.tensor_size_in_bytes() for value in self.weights.values())

    def session(
        self, threads: int, part: tuple[bytes, list[str]] | None = None, *, optimized: bool = True
    ) -> onnxruntime.InferenceSession:
        """Ready to run, or a part of it, with the names of its weights. They are read in place."""
        data, names = part or (self.data, list(self.weights))
        names = [name for name in names if name in self.weights]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4  # its warnings are in the errors that follow
        if not optimized:
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        if _is_memory_limited():
            options.add_session_config_entry("session.use_env_allocators", "1")
        # A worker that spins between frames takes the core from the thread that decodes the next one.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            options.add_external_initializers(names, [self.weights[name] for name in names])
            # Without fallback: there is one provider, and a fallback is printed to standard output.
            return onnxruntime.InferenceSession(
                data, options, providers=["CPUExecutionProvider"], enable_fallback=0
            )
        except Exception as error:  # ONNX Runtime's errors share no public base class
            raise ModelError(
                f"ONNX Runtime cannot run {printable(self.name)}: {_first_line(error)}"
            ) from error

    def halves(self) -> tuple[onnxruntime.InferenceSession, onnxruntime.InferenceSession] | None:
        """The half that encodes images, and the half that needs the memory; None where the graph cannot be split."""
        try:
            split = SplitGraph(self.data)
        except (TypeError, ValueError, IndexError):  # the runtime reads it otherwise: each step is whole
            return None
        if not split.passed:
            return None
        first = self.session(1, split.first())
        second = split.second([(output.type, output.shape) for output in first.get_outputs()])
        return None if second is None else (first, self.session(1, second))


class _OnnxPersonHeads(PersonHeads):
    """The part of a step graph that depends on a person."""

    def __init__(
        self, name: str, session: onnxruntime.InferenceSession, judged: tuple[bool, ...], passed: int
    ) -> None:
        self._name, self._session = name, session
        self.judged, self.passed = judged, passed
        inputs, outputs = session.get_inputs(), session.get_outputs()
        self._names = [value.name for value in inputs]
        memory = inputs[1 : len(inputs) - 1 - passed]
        self.memory_shapes = tuple(tuple(value.shape[1:]) for value in memory)
        names = [value.name for value in memory]
        self.head_numbers = tuple(int(name[5:]) for name in names if name.startswith("head."))
        widths = {value.name: int(value.shape[1]) for value in outputs[: len(outputs) - len(memory)]}
        self.labels, self.phases = widths["probabilities"], widths.get("phase", 0)

    def step(
        self, people: np.ndarray, elapsed: np.ndarray, memory: Arrays, passed: Arrays
    ) -> tuple[np.ndarray, np.ndarray | None, Arrays]:
        given = dict(zip(self._names, (elapsed, *memory, people, *passed), strict=True))
        scores, *after = _run(self._name, self._session, given)
        phases = after.pop(0) if self.phases else None
        return scores, phases, tuple(after)


def _with_persons(graph: _Graph) -> tuple[_Graph, PersonHeads]:
    """The graph of a step that finds people, with what its heads on keypoints read besides, and these heads."""
    name = printable(graph.name)
    try:
        found = StepParts(graph.data).inputs[-1].name
        cut = PersonGraph(graph.data, found)
        asked = graph.session(1, cut.asked(), optimized=False)
        values = [(value.type, value.shape) for value in asked.get_outputs()]
        whole, _ = cut.whole(values)
        small = graph.session(1, cut.small(values))
    except (TypeError, ValueError, IndexError, KeyError) as error:
        raise ModelError(f"{name} cannot judge each person: its graph is not understood") from error
    heads = _OnnxPersonHeads(name, small, cut.judged, len(cut.passed))
    return replace(graph, data=whole), heads


def _run(
    name: str,
    session: onnxruntime.InferenceSession,
    given: Mapping[str, np.ndarray],
    options: onnxruntime.RunOptions | None = None,
) -> list[Any]:
    try:
        return session.run(None, given, options)
    except Exception as error:  # ONNX Runtime's errors share no public base class
        raise ModelError(f"the model {name} failed at a step: {_first_line(error)}") from error


@cache
def _is_memory_limited() -> bool:
    """Give all sessions of this process one allocator that refuses more than ``MOST_MEMORY``; whether there is one.

    A graph may ask for more than any machine has, and where the system promises it, the process dies of it later.
    """
    most = MOST_MEMORY
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        most = min(most, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2)
    try:
        kind = onnxruntime.OrtMemoryInfo(
            "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
        )
        onnxruntime.create_and_register_allocator(kind, onnxruntime.OrtArenaCfg({"max_mem": most}))
    except Exception:  # the app has one of its own, or this build has no allocators
        return False
    return True


def _first_line(error: BaseException) -> str:
    """ONNX Runtime's message, without its own source files and lines."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    if "BFCArena" in lines[0] or "bad_alloc" in lines[0] or isinstance(error, MemoryError):
        return "it asks for more memory than a model may have here"
    return printable(lines[0])[:300]


def _of_step(config: ModelConfig, threads: int | None) -> int:
    return threads or for_engine(pixels_of(config.transform))

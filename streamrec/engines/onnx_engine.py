"""Run a model's step graph with ONNX Runtime. No torch is imported here."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnxruntime

from streamrec.checkpoint import Checkpoint, parse_config
from streamrec.config import ModelConfig
from streamrec.engines import Arrays, Engine, Lookers
from streamrec.errors import ModelError
from streamrec.threads import for_engine, for_looks

LARGE = 4_000_000  # bytes of graph and weights: of less, a step is too short to be worth the cut


class OnnxEngine(Engine):
    """The step graph on the CPU."""

    name = "onnx"
    device = "cpu"

    def __init__(
        self,
        graph: _Graph,
        session: onnxruntime.InferenceSession,
        config: ModelConfig,
        threads: int | None = None,
    ) -> None:
        """``threads``: how many looks are worked on at once; None: one a core."""
        self.config = config
        self._session = session
        self._weights = graph.weights  # the sessions read them in place: they must live as long
        inputs = self._session.get_inputs()[2:]
        self.memory_names = [i.name for i in inputs]
        self.head_shapes = tuple(tuple(i.shape[1:]) for i in inputs if i.name.startswith("head."))
        self.cache_shapes = tuple(tuple(i.shape[1:]) for i in inputs if i.name.startswith("cache."))
        self._threads = for_looks(threads)
        self._graph: _Graph | None = graph if self._threads > 1 and graph.size >= LARGE else None
        self._halves: tuple[onnxruntime.InferenceSession, onnxruntime.InferenceSession] | None = None
        self._lookers: Lookers | None = None
        self._cutting = threading.Lock()
        self._process = os.getpid()

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint, threads: int | None = None) -> OnnxEngine:
        """The graph and the weights of a model file; a file without a graph is exported now, with torch."""
        graph, names = checkpoint.graph, list(checkpoint.referred)
        if graph is None:
            from streamrec.checkpoint import build_model
            from streamrec.export import step_graph

            graph, names = step_graph(build_model(checkpoint))
        weights = {name: onnxruntime.OrtValue.ortvalue_from_numpy(checkpoint.weights[name]) for name in names}
        whole = _Graph(graph, checkpoint.name, weights)
        return cls(whole, whole.session(_of_step(checkpoint.config, threads)), checkpoint.config, threads)

    @classmethod
    def from_file(cls, path: Path, threads: int | None = None) -> OnnxEngine:
        """A model that ``streamrec export`` wrote: one .onnx file with all in it."""
        try:
            graph = _Graph(path.read_bytes(), path.name)
        except OSError as error:
            raise ModelError(f"the model {path} cannot be read: {(error.strerror or '').lower()}") from error
        session = graph.session(threads or 1)  # most models are of one thread; the file tells of which
        metadata = session.get_modelmeta().custom_metadata_map
        config = parse_config(path, metadata.get("format"), metadata.get("config"))
        if _of_step(config, threads) != (threads or 1):
            session = graph.session(_of_step(config, threads))
        return cls(graph, session, config, threads)

    def step(
        self,
        pictures: np.ndarray,
        elapsed: np.ndarray,
        head: Arrays,
        cache: Arrays,
        seen: Arrays | None = None,
    ) -> tuple[np.ndarray, np.ndarray | None, Arrays, Arrays]:
        """One run of the graph over N streams, or of its second half where the pictures were looked at before."""
        given = {"pictures": pictures, "elapsed": elapsed}
        given.update(zip(self.memory_names, (*head, *cache), strict=True))
        session = self._session
        if seen is not None:
            assert self._halves is not None
            first, session = self._halves
            given.update(zip((o.name for o in first.get_outputs()), seen, strict=True))
            given = {i.name: given[i.name] for i in session.get_inputs()}
        probabilities, *after = session.run(None, given)
        phase = after.pop(0) if self.config.counted else None
        return probabilities, phase, tuple(after[: len(head)]), tuple(after[len(head) :])

    def lookers(self) -> Lookers | None:
        """One thread a core. The graph is cut in two when somebody asks first."""
        if self._process != os.getpid():
            self._after_fork()
        with self._cutting:
            if self._graph is not None:
                self._halves = self._graph.halves()
                self._lookers = None if self._halves is None else Lookers(self._threads)
                self.looks_ahead = self._lookers is not None
                self._graph = None
            return self._lookers

    def _after_fork(self) -> None:
        """The threads stayed behind in the process that was forked, and with them what they had begun."""
        self._process, self._cutting = os.getpid(), threading.Lock()
        self._lookers = None if self._lookers is None else Lookers(self._threads)

    def look(self, pictures: np.ndarray) -> Arrays:
        """The first half of the graph."""
        assert self._halves is not None
        return tuple(self._halves[0].run(None, {"pictures": pictures}))


@dataclass(frozen=True, eq=False)
class _Graph:
    """A graph's bytes, and the weights that lie outside of them."""

    data: bytes
    name: str
    weights: dict[str, onnxruntime.OrtValue] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """In bytes, with its weights."""
        return len(self.data) + sum(value.tensor_size_in_bytes() for value in self.weights.values())

    def session(
        self, threads: int, part: tuple[bytes, list[str]] | None = None
    ) -> onnxruntime.InferenceSession:
        """Ready to run, or a part of it, with the names of its weights. They are read in place."""
        data, names = part or (self.data, list(self.weights))
        names = [name for name in names if name in self.weights]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        # A worker that spins between frames takes the core from the thread that decodes the next one.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_external_initializers(names, [self.weights[name] for name in names])
        try:
            return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's errors share no public base class
            raise ModelError(f"ONNX Runtime cannot run {self.name}: {error}") from error

    def halves(self) -> tuple[onnxruntime.InferenceSession, onnxruntime.InferenceSession] | None:
        """What looks at pictures, and what waits for the memory; None where the graph has no such halves."""
        try:
            from streamrec.engines.cut import Cut
        except ImportError:  # a small installation that only runs models
            return None
        cut = Cut(self.data)
        if not cut.seen:
            return None
        first = self.session(1, cut.first())
        second = cut.second([(output.type, output.shape) for output in first.get_outputs()])
        return None if second is None else (first, self.session(1, second))


def _of_step(config: ModelConfig, threads: int | None) -> int:
    return threads or for_engine(config.transform.width * config.transform.height)

"""Run a model's step graph with ONNX Runtime. No torch is imported here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from streamrec.checkpoint import Checkpoint, parse_config
from streamrec.config import ModelConfig
from streamrec.engines import Arrays, Engine
from streamrec.errors import ModelError
from streamrec.threads import for_engine


class OnnxEngine(Engine):
    """The step graph on the CPU."""

    name = "onnx"
    device = "cpu"

    def __init__(
        self, session: onnxruntime.InferenceSession, config: ModelConfig, weights: Any = None
    ) -> None:
        self.config = config
        self._session = session
        self._weights = weights  # the session reads them in place: they must live as long
        inputs = session.get_inputs()[2:]
        self.memory_names = [i.name for i in inputs]
        self.head_shapes = tuple(tuple(i.shape[1:]) for i in inputs if i.name.startswith("head."))
        self.cache_shapes = tuple(tuple(i.shape[1:]) for i in inputs if i.name.startswith("cache."))

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint, threads: int | None = None) -> OnnxEngine:
        """The graph and the weights of a model file; a file without a graph is exported now, with torch."""
        graph, names = checkpoint.graph, list(checkpoint.referred)
        if graph is None:
            from streamrec.checkpoint import build_model
            from streamrec.export import step_graph

            graph, names = step_graph(build_model(checkpoint))
        transform = checkpoint.config.transform
        options = _options(threads or for_engine(transform.width * transform.height))
        weights = [onnxruntime.OrtValue.ortvalue_from_numpy(checkpoint.weights[name]) for name in names]
        options.add_external_initializers(names, weights)
        return cls(_session(graph, options, checkpoint.name), checkpoint.config, weights)

    @classmethod
    def from_file(cls, path: Path, threads: int | None = None) -> OnnxEngine:
        """A model that ``streamrec export`` wrote: one .onnx file with all in it."""
        # How large its pictures are is known when it is loaded; most models are of one thread.
        session = _session(str(path), _options(threads or 1), path.name)
        height, width = session.get_inputs()[0].shape[-2:] if session.get_inputs() else (1, 1)
        if threads is None and _is_large(height, width):
            session = _session(str(path), _options(for_engine(height * width)), path.name)
        metadata = session.get_modelmeta().custom_metadata_map
        return cls(session, parse_config(path, metadata.get("format"), metadata.get("config")))

    def step(
        self, pictures: np.ndarray, elapsed: np.ndarray, head: Arrays, cache: Arrays
    ) -> tuple[np.ndarray, np.ndarray | None, Arrays, Arrays]:
        """One run of the graph over N streams."""
        memory = dict(zip(self.memory_names, (*head, *cache), strict=True))
        probabilities, *after = self._session.run(None, {"pictures": pictures, "elapsed": elapsed, **memory})
        phase = after.pop(0) if self.config.counted else None
        return probabilities, phase, tuple(after[: len(head)]), tuple(after[len(head) :])


def _is_large(height: int | str, width: int | str) -> bool:
    return isinstance(height, int) and isinstance(width, int) and for_engine(height * width) > 1


def _options(threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # A worker that spins between frames takes the core from the thread that decodes the next one.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _session(
    graph: bytes | str, options: onnxruntime.SessionOptions, name: str
) -> onnxruntime.InferenceSession:
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors share no public base class
        raise ModelError(f"ONNX Runtime cannot run {name}: {error}") from error

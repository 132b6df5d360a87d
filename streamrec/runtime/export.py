"""One step of a model as an ONNX graph, the state as inputs and outputs."""

from __future__ import annotations

import contextlib
import logging
import re
import sys
import threading
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

import numpy as np

from streamrec.core.text import printable
from streamrec.errors import ModelError, need
from streamrec.events.people.detections import PEOPLE, PERSON
from streamrec.nn.model import ActionModel, action_model_of
from streamrec.runtime.exported_file import write_graph
from streamrec.runtime.graph_passes import tidy

need("torch", extra="train")

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402

if TYPE_CHECKING:
    import onnx

    from streamrec.nn.model import CNNLSTM

ELAPSED = "elapsed"  # the input behind that of the frames, whose name is the transform's ``input_name``
OUTPUT = "probabilities"
PHASE = "phase"  # an output of models that count
NEXT = ".next"  # "head.0" goes in, "head.0.next" comes out


class _Step(nn.Module):
    def __init__(self, model: ActionModel, head_arrays: int) -> None:
        super().__init__()
        self.model = model
        self.head_arrays = head_arrays

    # Its parameters' names are part of the graph.
    def forward(self, pictures: Tensor, elapsed: Tensor, *memory: Tensor) -> tuple[Tensor, ...]:
        state = replace(
            self.model.initial_state(), head=memory[: self.head_arrays], cache=memory[self.head_arrays :]
        )
        outputs, state = self.model.step(pictures, elapsed, state)
        logits, phase = self.model.split(outputs)
        scores = (torch.softmax(logits, dim=-1),) if phase is None else (torch.softmax(logits, dim=-1), phase)
        return *scores, *state.head, *state.cache


def step_graph(model: ActionModel) -> tuple[bytes, list[str]]:
    """The graph without its weights, and the names of the weights that it refers to.

    Inputs: ``pictures`` (N, 3, height, width) uint8 RGB, or ``readings`` (N, C) or ``samples`` (N, S) float32,
    ``elapsed`` (N,) float32 seconds, ``head.0`` ...,
    ``cache.0`` ... as in ``State``; outputs: ``probabilities`` (N, labels), in a model that counts ``phase``
    (N, 2), and each memory with ``.next`` behind its name. N is free.
    """
    return _without_weights(_traced(model), model)


def _without_weights(graph: onnx.ModelProto, model: ActionModel) -> tuple[bytes, list[str]]:
    weights = model.state_dict()
    referred = [initializer for initializer in graph.graph.initializer if initializer.name in weights]
    for initializer in referred:
        initializer.ClearField("raw_data")
        initializer.data_location = 1  # TensorProto.EXTERNAL
        initializer.external_data.add(key="location", value="weights")
    return graph.SerializeToString(), [initializer.name for initializer in referred]


class _FindPeople(nn.Module):
    """The backbone of a model, and who it finds; what comes before it is as in a step, so that the graphs merge."""

    def __init__(self, model: ActionModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, pictures: Tensor, elapsed: Tensor, *memory: Tensor) -> tuple[Tensor, ...]:
        images = ((pictures - self.model.mean) / self.model.std).unsqueeze(1).flatten(0, 1)
        return (self.model.encoder.trunk(images),)  # type: ignore[operator]


def people_graph(model: ActionModel) -> tuple[bytes, list[str]]:
    """The graph that finds people with the backbone of this model, and the names of the weights that it refers to.

    Inputs and outputs as of a step without scores: its one memory, ``cache.0`` (N, 6, 56), is who was found.
    """
    memory = (torch.zeros(2, PEOPLE, PERSON, device=model.mean.device),)
    proto = _exported(_FindPeople(model.eval()), model, memory, ["cache.0"], [])
    return _without_weights(proto, model)


def export_onnx(model: ActionModel | CNNLSTM, path: str | Path) -> None:
    """Write a model as one .onnx file that holds all: weights, labels, transform, frame rate (as metadata)."""
    model = action_model_of(model)
    write_graph(_traced(model), model.config, path)


def _traced(model: ActionModel) -> onnx.ModelProto:
    was_training = model.training
    model = model.eval()
    state = model.initial_state(2)
    memory = (*state.head, *state.cache)
    names = [f"head.{i}" for i in range(len(state.head))] + [f"cache.{i}" for i in range(len(state.cache))]
    outputs = [OUTPUT, PHASE] if model.config.counted else [OUTPUT]
    try:
        return _exported(_Step(model, len(state.head)), model, memory, names, outputs)
    finally:
        model.train(was_training)


def _exported(
    step: nn.Module, model: ActionModel, memory: tuple[Tensor, ...], names: list[str], outputs: list[str]
) -> onnx.ModelProto:
    """A step of a model, of this memory and these outputs before it, as a graph with all weights."""
    transform = model.config.transform
    weights = {f"model.{name}" for name in model.state_dict()}
    blank = torch.from_numpy(np.zeros((2, *transform.shape), transform.dtype)).to(model.mean.device)
    elapsed = torch.full((2,), 1.0 / model.config.fps, device=model.mean.device)
    streams: Any = {0: torch.export.Dim("streams")}
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(cast(Any, _ButThisThread(sys.stderr))):
            warnings.simplefilter("ignore")  # the exporter warns of its own internals
            program: Any = torch.onnx.export(
                step,
                (blank, elapsed, *memory),
                dynamo=True,
                optimize=False,  # ``tidy`` does it, and the weights keep their names
                verbose=False,
                dynamic_shapes=(streams, streams, tuple(streams for _ in memory)),
                input_names=[transform.input_name, ELAPSED, *names],
                output_names=[*outputs, *(name + NEXT for name in names)],
            )
            tidy(program.model, weights)
    except Exception as error:  # the exporter raises of many kinds
        why = (
            "this CNN cannot be written as an ONNX graph, and without one it cannot be run from a file"
            if model.config.is_own
            else f"the encoder {model.config.encoder} cannot be exported to ONNX, "
            "use the torch engine (--engine torch)"
        )
        raise ModelError(f"{why}: {_reason(error)}") from error
    finally:
        logger.setLevel(level)
    proto = program.model_proto
    _rename(proto, model)
    return proto


def _rename(proto: onnx.ModelProto, model: ActionModel) -> None:
    """Give the weights the names that they have in the model, and drop metadata with this machine's paths.

    Only the weights: other names, shortened, could meet the name of some node's output.
    """
    names = {f"model.{name}": name for name in model.state_dict()}
    for initializer in proto.graph.initializer:
        initializer.name = names.get(initializer.name, initializer.name)
    for node in proto.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        del node.metadata_props[:]
        node.doc_string = ""
    del proto.graph.value_info[:]


def weights_of(model: ActionModel) -> dict[str, np.ndarray]:
    """The weights by name, as the graph refers to them."""
    return {name: value.detach().cpu().numpy() for name, value in model.state_dict().items()}


class _ButThisThread:
    """A stream for all threads but the one that makes it: a failing exporter prints pages of its progress."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream, self._thread = stream, threading.get_ident()

    def write(self, text: str) -> int:
        """Write the text, or not; the number of its characters."""
        if self._stream is not None and threading.get_ident() != self._thread:
            self._stream.write(text)
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _reason(error: BaseException) -> str:
    """The exporter's root error in one line: its full message has pages of hints, in colours."""
    while (inner := error.__cause__) is not None:
        error = inner
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip()
    return printable(text.partition("\n")[0][:200]) or type(error).__name__

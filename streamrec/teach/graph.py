"""Step graphs over a model, as bytes: no torch and no package for ONNX are needed.

The graph of a model of video is cut before its classifier: its hidden state holds how the person moves; the maximum of
the backbone's deepest maps over the image say what else there is. That of a model of readings is cut before its
recurrent layer: the features are the encoder's. Behind them comes either nothing (they are an output, as a memory: that
is how a stream is watched while it is taught) or a statistics head (``nn/heads.py``), as in the file of a taught model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from streamrec.core.protobuf import encoded, fields, message_of, name_in, text_of
from streamrec.errors import ModelError
from streamrec.nn.config import ModelConfig
from streamrec.runtime.checkpoint import Checkpoint
from streamrec.runtime.graph_split import value_info
from streamrec.teach.statistics import LEAST_FRAMES, MOST_FRAMES, Rates
from streamrec.types import SIGNAL

CLASSIFIER = ("head.classifier.weight", "head.classifier.bias")
_RECURRENT = ".weight_ih_l0"  # of the layer that reads the encoder's features
_DEEPEST = "encoder.trunk.last.weight"  # its convolution reads the backbone's deepest maps
_FLOAT, _INT64 = 1, 7  # TensorProto.DataType
_INT = 2  # AttributeProto.AttributeType
_FEATURES = "taught.features"
_KINDS = {np.dtype(np.float32): _FLOAT, np.dtype(np.int64): _INT64}


@dataclass(frozen=True, slots=True)
class _Node:
    data: bytes
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class EncoderGraph:
    """The part of a model's step graph that leads to what can be taught on: ``size`` features a frame.

    Where the features are of the model's own head, its memory becomes a part of the encoder's: ``cache.n``.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        if checkpoint.graph is None:
            raise ModelError(f"{checkpoint.name} has no step graph, so that nothing can be taught on it")
        self._nodes: list[_Node] = []
        self._initializers: dict[str, bytes] = {}
        self._inputs: dict[str, bytes] = {}
        self._head = b""  # versions
        self._operators = b""
        graph = b""
        for number, value in fields(memoryview(checkpoint.graph)):
            if number == 1 and isinstance(value, int):
                self._head = encoded(1, value)
            elif number == 7:
                graph += message_of(value)
            elif number == 8:
                self._operators += encoded(8, message_of(value))
        for number, value in fields(memoryview(graph)):
            if number == 1:
                self._nodes.append(_read(bytes(message_of(value))))
            elif number == 5:
                self._initializers[name_in(message_of(value), 8)] = bytes(message_of(value))
            elif number == 11:
                self._inputs[name_in(message_of(value), 1)] = bytes(message_of(value))
        self._referred = checkpoint.referred
        self._given = checkpoint.config.transform.input_name
        if checkpoint.config.transform.sense == SIGNAL:
            self._cut_before_the_head(checkpoint)
        else:
            self._cut_before_the_classifier(checkpoint)
        self._keep_memory()

    def _cut_before_the_classifier(self, checkpoint: Checkpoint) -> None:
        """The features of video: the hidden state, and the maximum of the deepest maps."""
        hidden, deepest = (self._read_by(weight, checkpoint.name) for weight in (CLASSIFIER[0], _DEEPEST))
        self.moves = checkpoint.weights[CLASSIFIER[0]].shape[1]
        self.size = self.moves + checkpoint.weights[_DEEPEST].shape[1]
        self._nodes += [
            _read(data)
            for data in (
                _node("ReduceMax", [deepest, "taught.places"], ["taught.maximum"], keepdims=0),
                _node("Concat", [hidden, "taught.maximum"], [_FEATURES], axis=1),
            )
        ]
        self._initializers["taught.places"] = _tensor("taught.places", np.array([2, 3]))
        self.weights = {name: value for name, value in checkpoint.weights.items() if name not in CLASSIFIER}

    def _cut_before_the_head(self, checkpoint: Checkpoint) -> None:
        """The features of readings: what the recurrent layer reads, but for the time, which is the last of it."""
        weight = next((name for name in checkpoint.weights if name.endswith(_RECURRENT)), None)
        if weight is None:
            raise _other_structure(checkpoint.name)
        read = self._read_by(weight, checkpoint.name)
        joined = next((node for node in self._nodes if read in node.outputs), None)
        if joined is None or joined.kind != "Concat" or len(joined.inputs) != 2:
            raise _other_structure(checkpoint.name)
        self.moves = 0
        self.size = checkpoint.weights[weight].shape[1] - 1
        self._nodes.append(_read(_node("Identity", [joined.inputs[0]], [_FEATURES])))
        self._inputs = {name: data for name, data in self._inputs.items() if not name.startswith("head.")}
        self.weights = {
            name: value for name, value in checkpoint.weights.items() if not name.startswith("head.")
        }

    def _read_by(self, weight: str, name: str) -> str:
        """What the node with this weight reads."""
        for node in self._nodes:
            if weight in node.inputs:
                return node.inputs[0]
        raise _other_structure(name)

    def _keep_memory(self) -> None:
        """Call all memory ``cache.n``: a step has that of the encoder under this name."""
        memory = sorted(
            (name for name in self._inputs if name.startswith(("cache.", "head."))),
            key=lambda name: (name.startswith("head."), int(name.partition(".")[2])),
        )
        self.caches = [f"cache.{n}" for n in range(len(memory))]
        names = dict(zip(memory, self.caches, strict=True))
        names |= {f"{name}.next": f"{new}.next" for name, new in names.items()}
        self._nodes = [_renamed(node, names) for node in self._nodes]
        given = {names.get(name, name): data for name, data in self._inputs.items()}
        self._inputs = {name: data + encoded(1, name) for name, data in given.items()}

    def watching(self) -> tuple[bytes, list[str]]:
        """A step whose memory ``head.0`` is the features (N, F), and whose one probability is 1."""
        head = [
            _node("Identity", [_FEATURES], ["head.0.next"]),
            _node("ReduceMax", [_FEATURES, "taught.axis"], ["taught.any"], keepdims=1),
            _node("Sub", ["taught.any", "taught.any"], ["taught.none"]),
            _node("Softmax", ["taught.none"], ["probabilities"], axis=1),
        ]
        return self._written(head, {"taught.axis": np.array([1])}, {"head.0": (self.size,)}, 1)

    def classifying(self, config: ModelConfig) -> tuple[bytes, list[str]]:
        """A step with a statistics head, as ``runtime/export.py`` writes one; the classifier's weights are outside."""
        rates, size = Rates.of(config), self.size
        head = [
            _node("GreaterOrEqual", ["elapsed", "taught.zero"], ["taught.after"]),
            _node("LessOrEqual", ["elapsed", "taught.gap"], ["taught.soon"]),
            _node("And", ["taught.after", "taught.soon"], ["taught.goes_on"]),
            _node("Unsqueeze", ["taught.goes_on", "taught.axis"], ["taught.kept"]),
            _node("Mul", ["elapsed", "taught.fps"], ["taught.frames"]),
            _node("Clip", ["taught.frames", "taught.least", "taught.most"], ["taught.since"]),
            _node("Unsqueeze", ["taught.since", "taught.axis"], ["taught.column"]),
            _node("Mul", ["taught.column", "taught.rates"], ["taught.exponents"]),
            _node("Exp", ["taught.exponents"], ["taught.fading"]),
            _node("Where", ["taught.kept", "taught.fading", "taught.zero"], ["taught.decays"]),
            _node("Mul", ["taught.decays", "head.4"], ["taught.old"]),
            _node("Add", ["taught.old", "taught.one"], ["head.4.next"]),
            _node("Reciprocal", ["head.4.next"], ["taught.shares"]),
        ]
        for number, (memory, share) in enumerate((("head.0", 0), ("head.2", 1), ("head.3", 2))):
            head += [
                _node("Gather", ["taught.shares", f"taught.{share}"], [f"taught.share{number}"], axis=1),
                _node("Sub", [_FEATURES, memory], [f"taught.away{number}"]),
                _node("Mul", [f"taught.share{number}", f"taught.away{number}"], [f"taught.move{number}"]),
                _node("Add", [memory, f"taught.move{number}"], [f"{memory}.next"]),
            ]
        head += [
            _node("Gather", ["taught.decays", "taught.0"], ["taught.leak"], axis=1),
            _node("Sub", ["head.1", _FEATURES], ["taught.above"]),
            _node("Mul", ["taught.leak", "taught.above"], ["taught.left"]),
            _node("Add", [_FEATURES, "taught.left"], ["taught.leaked"]),
            _node("Max", [_FEATURES, "taught.leaked"], ["head.1.next"]),
            _node("Sub", ["head.2.next", "head.3.next"], ["taught.change"]),
            _node(
                "Concat",
                ["head.0.next", "head.1.next", "head.2.next", "taught.change"],
                ["taught.statistics"],
                axis=1,
            ),
            _node("Gemm", ["taught.statistics", *CLASSIFIER], ["taught.logits"], transB=1),
            _node("Softmax", ["taught.logits"], ["probabilities"], axis=1),
        ]
        constants: dict[str, np.ndarray | np.float32] = {
            "taught.zero": np.float32(0.0),
            "taught.one": np.float32(1.0),
            "taught.gap": np.float32(config.max_gap),
            "taught.fps": np.float32(config.fps),
            "taught.least": np.float32(LEAST_FRAMES),
            "taught.most": np.float32(MOST_FRAMES),
            "taught.rates": -1.0 / rates.frames[None].astype(np.float32),
            "taught.axis": np.array([1]),
            **{f"taught.{n}": np.array([n]) for n in range(3)},
        }
        labels = len(config.labels)
        outside = {CLASSIFIER[0]: (labels, 4 * size), CLASSIFIER[1]: (labels,)}
        kept = {**{f"head.{n}": (size,) for n in range(4)}, "head.4": (3,)}
        return self._written(head, constants, kept, labels, outside)

    def _written(
        self,
        head: Sequence[bytes],
        constants: Mapping[str, np.ndarray | np.float32],
        memory: Mapping[str, tuple[int, ...]],
        labels: int,
        outside: Mapping[str, tuple[int, ...]] | None = None,
    ) -> tuple[bytes, list[str]]:
        """The graph, and the names of the weights that are outside of it."""
        outside = outside or {}
        nodes = _leading_to(self._nodes, [_FEATURES, *(f"{name}.next" for name in self.caches)])
        used = {name for node in nodes for name in node.inputs}
        kept = {name: data for name, data in self._initializers.items() if name in used}
        inputs = [self._inputs[name] for name in (self._given, "elapsed")]
        inputs += [value_info(name, _FLOAT, ["streams", *shape]) for name, shape in memory.items()]
        inputs += [self._inputs[name] for name in self.caches]
        outputs = [value_info("probabilities", _FLOAT, ["streams", labels])]
        outputs += [value_info(f"{name}.next", _FLOAT, ["streams", *shape]) for name, shape in memory.items()]
        outputs += [self._inputs[name] + encoded(1, f"{name}.next") for name in self.caches]
        graph = b"".join(
            (
                *(encoded(1, node.data) for node in nodes),
                *(encoded(1, data) for data in head),
                encoded(2, "steps"),
                *(encoded(5, data) for data in kept.values()),
                *(encoded(5, _tensor(name, np.asarray(value))) for name, value in constants.items()),
                *(encoded(5, _outside(name, shape)) for name, shape in outside.items()),
                *(encoded(11, value) for value in inputs),
                *(encoded(12, value) for value in outputs),
            )
        )
        referred = [name for name in self._referred if name in kept]
        return self._head + encoded(7, graph) + self._operators, [*referred, *outside]


def _other_structure(name: str) -> ModelError:
    return ModelError(f"{name} has another structure than models that can be taught on")


def _read(data: bytes) -> _Node:
    """NodeProto: 1 input, 2 output, 4 op_type."""
    kind, inputs, outputs = "", [], []
    for number, value in fields(memoryview(data)):
        if number == 4:
            kind = text_of(value)
        elif number == 1:
            inputs.append(text_of(value))
        elif number == 2:
            outputs.append(text_of(value))
    return _Node(data, kind, tuple(inputs), tuple(outputs))


def _renamed(node: _Node, names: Mapping[str, str]) -> _Node:
    """With other names of its inputs and outputs."""
    if not any(name in names for name in (*node.inputs, *node.outputs)):
        return node
    parts = []
    for number, value in fields(memoryview(node.data)):
        if number in (1, 2):
            name = text_of(value)
            parts.append(encoded(number, names.get(name, name)))
        else:
            parts.append(encoded(number, value))
    return _read(b"".join(parts))


def _node(kind: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: int) -> bytes:
    """NodeProto: 1 input, 2 output, 4 op_type, 5 attribute {1 name, 3 i, 20 type}."""
    given = (
        encoded(5, encoded(1, name) + encoded(3, value) + encoded(20, _INT))
        for name, value in attributes.items()
    )
    return b"".join(
        (
            *(encoded(1, name) for name in inputs),
            *(encoded(2, name) for name in outputs),
            encoded(4, kind),
            *given,
        )
    )


def _tensor(name: str, value: np.ndarray) -> bytes:
    """TensorProto: 1 dims, 2 data_type, 8 name, 9 raw_data."""
    sizes = b"".join(encoded(1, size) for size in value.shape)
    return sizes + encoded(2, _KINDS[value.dtype]) + encoded(8, name) + encoded(9, value.tobytes())


def _outside(name: str, shape: Iterable[int]) -> bytes:
    """A weight of the file: 13 external_data {1 key, 2 value}, 14 data_location."""
    sizes = b"".join(encoded(1, size) for size in shape)
    place = encoded(1, "location") + encoded(2, "weights")
    return sizes + encoded(2, _FLOAT) + encoded(8, name) + encoded(13, place) + encoded(14, 1)


def _leading_to(nodes: Sequence[_Node], names: Iterable[str]) -> list[_Node]:
    needed, kept = set(names), []
    for node in reversed(nodes):
        if needed.intersection(node.outputs):
            kept.append(node)
            needed.update(node.inputs)
    return kept[::-1]

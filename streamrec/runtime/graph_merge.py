"""Merges the step graphs of several models into one: what they have in common is calculated once.

Two models that share a frozen backbone hold the same nodes over the same weights, whatever file each came in. So no
format is needed that names a backbone: common subexpression elimination finds it. An initializer is the same where its
content is, a node where operator, attributes and inputs are. Each model's own head remains, and its own memory.

A memory that two models share (the image before, from which an optical flow is calculated) would be two inputs, and
all that depends on it would be calculated twice. So memories of one name and shape are taken for one at first, and
separated where what becomes of them differs, until nothing changes: the coarsest partition that is consistent, as
automata are minimized (Hopcroft, 1971). That is exact, because all memories are zeros at the start.

The graphs stay bytes, as in ``graph_split``: no package for ONNX is needed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from streamrec.core.protobuf import encoded, fields, message_of, name_in, text_of
from streamrec.runtime.graph_split import CONVOLUTIONS, counts_streams, value_info

SCORES = ("probabilities", "phase")  # outputs of a step; what the models give is joined along the labels
_SHARED = ("pictures", "elapsed")  # inputs that are the same for all
_NEXT = ".next"  # "head.0" goes in, "head.0.next" comes out
_FLOAT = 1  # TensorProto.DataType
# TensorProto.DataType -> numpy, of weights that may be outside of the graph.
_DTYPES = {1: "<f4", 2: "|u1", 3: "|i1", 6: "<i4", 7: "<i8", 9: "|b1", 10: "<f2", 11: "<f8"}

Key: TypeAlias = tuple[Any, ...]  # equal for what is the same


@dataclass(frozen=True, slots=True, eq=False)
class StepGraph:
    """The step graph of one model, which ``check_graph`` has passed."""

    data: bytes
    weights: Mapping[str, np.ndarray]  # those outside of the graph, by their names in it
    labels: int  # width of its probabilities


@dataclass(frozen=True, slots=True, eq=False)
class MergedGraph:
    """One graph for several models; its interface is that of a step, with all probabilities in one output.

    ``probabilities`` are those of the models, one behind the other, and so is ``phase`` of those that count.
    """

    data: bytes
    weights: dict[str, np.ndarray]  # outside of it, by their names in it
    nodes: int
    shared: int  # convolutions of the models that need not be calculated again
    caches: tuple[int, ...]  # of each model its first cache, among all; 0 where it has none
    heads: tuple[
        tuple[int, ...], ...
    ]  # of each model the arrays of its head's memory, among all, in its order


def operators_of(graph: bytes) -> frozenset[bytes]:
    """The sets of operators that a graph is written in: only graphs of the same sets can be merged."""
    found = (value for number, value in fields(memoryview(graph)) if number == 8)
    return frozenset(bytes(value) for value in found if not isinstance(value, int))


def merge(graphs: Sequence[StepGraph]) -> MergedGraph:
    """Graphs of the same operators and input size, as one; raises ``TypeError``, ``ValueError`` if one is damaged."""
    parts = [_Part(graph) for graph in graphs]
    # The memory of a model -> the number of the memory in the merged graph.
    shared: list[dict[str, int]] = []
    first: dict[Key, int] = {}
    for part in parts:
        shared.append({name: first.setdefault((name, kind), len(first)) for name, kind in part.memory})
    while True:
        merged = _Merged(parts, shared)
        apart = merged.separated()
        if apart == shared:
            return merged.written()
        shared = apart


@dataclass(frozen=True, slots=True)
class _Node:
    """One operation; an optional input or output that is left out has the name ""."""

    data: memoryview
    kind: Key  # operator and attributes
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class _Part:
    """One model's graph, read."""

    def __init__(self, graph: StepGraph) -> None:
        self.labels = graph.labels
        self.ir_version = 0
        self.operators = b""
        self.nodes: list[_Node] = []
        self.initializers: dict[str, tuple[memoryview, Key]] = {}
        self.inputs: dict[str, memoryview] = {}
        self.outputs: list[str] = []
        self.weights = graph.weights
        whole = b""
        for number, value in fields(memoryview(graph.data)):
            if number == 1 and isinstance(value, int):
                self.ir_version = value
            elif number == 7:
                whole += message_of(value)  # as Protocol Buffers merge a field that comes again
            elif number == 8:
                self.operators += encoded(8, message_of(value))
        for number, value in fields(memoryview(whole)):
            if number == 1:
                self.nodes.append(_node(message_of(value)))
            elif number == 5:
                data = message_of(value)
                name = name_in(data, 8)
                self.initializers[name] = data, _tensor_key(data, graph.weights.get(name))
            elif number == 11:
                self.inputs[name_in(message_of(value), 1)] = message_of(value)
            elif number == 12:
                self.outputs.append(name_in(message_of(value), 1))
        # Names and shapes of the memory.
        self.memory = [(name, _shape_key(data)) for name, data in self.inputs.items() if name not in _SHARED]


class _Merged:
    """The parts over shared memories: each value once, with a name of its own."""

    def __init__(self, parts: Sequence[_Part], shared: Sequence[Mapping[str, int]]) -> None:
        self._parts, self._shared = parts, shared
        self._known: dict[Key, tuple[str, ...]] = {}  # what is calculated -> the names of its values
        self._nodes: list[bytes] = []
        self._initializers: list[bytes] = []
        self._weights: dict[str, np.ndarray] = {}
        self._memory = self._named_memory()
        self._saved = 0  # convolutions that were there already
        self._values = [self._add(part, own) for part, own in zip(parts, shared, strict=True)]

    def _named_memory(self) -> dict[int, tuple[str, memoryview]]:
        """The memories by number: names like those of a single model, and the first description of each."""
        found: dict[int, tuple[str, memoryview]] = {}
        counts: dict[str, int] = {}
        for part, own in zip(self._parts, self._shared, strict=True):
            for name, number in own.items():
                if number not in found:
                    kind = name.partition(".")[0]
                    found[number] = f"{kind}.{counts.get(kind, 0)}", part.inputs[name]
                    counts[kind] = counts.get(kind, 0) + 1
        # As a step has them: heads, then caches.
        return dict(sorted(found.items(), key=lambda one: not one[1][0].startswith("head.")))

    def _add(self, part: _Part, own: Mapping[str, int]) -> dict[str, str]:
        """Add a model; the names of its values in the merged graph."""
        values = {"": "", **{name: name for name in _SHARED}}
        values |= {name: self._memory[number][0] for name, number in own.items()}
        used = {name for node in part.nodes for name in node.inputs} | set(part.outputs)
        for name, (data, key) in part.initializers.items():
            if name in used and name not in values:
                values[name] = self._initializer(data, key, part.weights.get(name))
        for node in part.nodes:  # each comes after those that it needs
            inputs = tuple(values[name] for name in node.inputs)
            if part.inputs.keys() >= set(node.inputs) and counts_streams(node.data):
                inputs = (_SHARED[0],)  # that number is the same of every input
            present = tuple(bool(name) for name in node.outputs)
            found = self._known.get(key := (node.kind, inputs, present))
            if found is None:
                number = len(self._nodes)
                found = tuple(f"v{number}.{n}" if name else "" for n, name in enumerate(node.outputs))
                self._known[key] = found
                self._nodes.append(_written_node(node.data, inputs, found))
            else:
                self._saved += node.kind[1] in CONVOLUTIONS
            values.update(zip(node.outputs, found, strict=True))
        return values

    def _initializer(self, data: memoryview, key: Key, weight: np.ndarray | None) -> str:
        if key not in self._known:
            name = f"w{len(self._initializers)}"
            self._known[key] = (name,)
            # Of a field that comes again the last one counts.
            self._initializers.append(encoded(5, bytes(data) + encoded(8, name)))
            if weight is not None:
                self._weights[name] = weight
        return self._known[key][0]

    def separated(self) -> list[dict[str, int]]:
        """Which memories are one where those are separated that become different."""
        numbers: dict[Key, int] = {}
        return [
            {
                name: numbers.setdefault((number, values[name + _NEXT]), len(numbers))
                for name, number in own.items()
            }
            for own, values in zip(self._shared, self._values, strict=True)
        ]

    def written(self) -> MergedGraph:
        """The graph."""
        nodes, outputs = list(self._nodes), []
        for name in SCORES:
            given = [
                (values[name], part.labels if name == "probabilities" else 2)
                for part, values in zip(self._parts, self._values, strict=True)
                if name in part.outputs
            ]
            if given:
                nodes.append(_joined([value for value, _ in given], name))
                width = sum(size for _, size in given)
                outputs.append(value_info(name, _FLOAT, ["streams", width]))
        after: dict[int, str] = {}
        for own, values in zip(self._shared, self._values, strict=True):
            after |= {number: values[name + _NEXT] for name, number in own.items()}
        for number, (name, data) in self._memory.items():
            nodes.append(
                encoded(1, encoded(1, after[number]) + encoded(2, name + _NEXT) + encoded(4, "Identity"))
            )
            outputs.append(bytes(data) + encoded(1, name + _NEXT))
        first = self._parts[0]
        inputs = [bytes(first.inputs[name]) for name in _SHARED]
        inputs += [bytes(data) + encoded(1, name) for name, data in self._memory.values()]
        graph = b"".join(
            (
                *nodes,
                encoded(2, "steps"),
                *self._initializers,
                *(encoded(11, value) for value in inputs),
                *(encoded(12, value) for value in outputs),
            )
        )
        version = max(part.ir_version for part in self._parts)
        return MergedGraph(
            encoded(1, version) + encoded(7, graph) + first.operators,
            self._weights,
            len(self._nodes),
            self._saved,
            tuple(self._first_cache(own) for own in self._shared),
            tuple(self._heads(own) for own in self._shared),
        )

    def _heads(self, own: Mapping[str, int]) -> tuple[int, ...]:
        return tuple(
            int(self._memory[number][0].removeprefix("head."))
            for name, number in own.items()
            if name.startswith("head.")
        )

    def _first_cache(self, own: Mapping[str, int]) -> int:
        if "cache.0" not in own:
            return 0
        return int(self._memory[own["cache.0"]][0].removeprefix("cache."))


def _node(data: memoryview) -> _Node:
    """NodeProto: 1 input, 2 output, 4 op_type, 5 attribute, 7 domain."""
    kind = domain = ""
    inputs: list[str] = []
    outputs: list[str] = []
    attributes: list[Key] = []
    for number, value in fields(data):
        if number in (1, 2):
            (inputs if number == 1 else outputs).append(text_of(value))
        elif number == 4:
            kind = text_of(value)
        elif number == 5:
            attributes.append(_attribute_key(message_of(value)))
        elif number == 7:
            domain = text_of(value)
    return _Node(
        data, (domain.removeprefix("ai.onnx"), kind, *sorted(attributes)), tuple(inputs), tuple(outputs)
    )


def _attribute_key(data: memoryview) -> Key:
    """AttributeProto: 1 name, 5 tensor, 13 doc_string; the other fields are values."""
    name, values = "", []
    for number, value in fields(data):
        if number == 1:
            name = text_of(value)
        elif number == 5:
            values.append((number, repr(_tensor_key(message_of(value)))))
        elif number != 13:
            values.append((number, repr(value if isinstance(value, int) else bytes(value))))
    return name, tuple(values)


def _tensor_key(data: memoryview, weight: np.ndarray | None = None) -> Key:
    """Equal for tensors of the same type, shape and content, wherever that is stored.

    TensorProto: 1 dims, 2 data_type, 8 name, 9 raw_data, 12 doc_string, 13 and 14 external data, 16 metadata.
    """
    shape: list[int] = []
    kind = 0
    raw: bytes | None = None
    rest: list[tuple[int, str]] = []
    for number, value in fields(data):
        if number == 1:
            shape += _numbers(value)
        elif number == 2 and isinstance(value, int):
            kind = value
        elif number == 9:
            raw = bytes(message_of(value))
        elif number not in (8, 12, 13, 14, 16):
            rest.append((number, repr(value if isinstance(value, int) else bytes(value))))
    if weight is not None:
        # Two files may hold 0.0 and -0.0 of one weight, which calculate the same.
        unsigned = weight + weight.dtype.type(0) if weight.dtype.kind == "f" else weight
        raw, shape = np.ascontiguousarray(unsigned).tobytes(), list(weight.shape)
        if _DTYPES.get(kind) != weight.dtype.str:
            raise ValueError("a weight is of another type than its graph says")
    content = None if raw is None else hashlib.blake2b(raw).digest()
    return "tensor", kind, tuple(shape), content, tuple(rest)


def _numbers(value: int | memoryview) -> list[int]:
    """A repeated number: each in a field of its own, or several packed into one."""
    if isinstance(value, int):
        return [value]
    packed, found, number, shift = bytes(value), [], 0, 0
    for byte in packed:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            found.append(number)
            number = shift = 0
    return found


def _shape_key(data: memoryview) -> Key:
    """Type and sizes of a value; a size that is free has a name, which does not matter.

    ValueInfoProto: 2 type {1 tensor_type {1 elem_type, 2 shape {1 dim {1 dim_value or 2 dim_param}}}}.
    """
    element, sizes = 0, []
    for tensor in _inside(_inside([data], 2), 1):
        for number, value in fields(tensor):
            if number == 1 and isinstance(value, int):
                element = value
        for size in _inside(_inside([tensor], 2), 1):
            known = dict(fields(size)).get(1)
            sizes.append(known if isinstance(known, int) else None)
    return element, tuple(sizes)


def _inside(messages: Sequence[memoryview], field: int) -> list[memoryview]:
    return [message_of(value) for data in messages for number, value in fields(data) if number == field]


def _written_node(data: memoryview, inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
    """The node with other names; 3 name, 6 doc_string and 9 metadata are left out."""
    rest = (encoded(number, value) for number, value in fields(data) if number not in (1, 2, 3, 6, 9))
    names = (*(encoded(1, name) for name in inputs), *(encoded(2, name) for name in outputs))
    return encoded(1, b"".join((*names, *rest)))


def _joined(values: Sequence[str], output: str) -> bytes:
    """Concat along axis 1. AttributeProto: 1 name, 3 i, 20 type (2: a number)."""
    axis = encoded(1, "axis") + encoded(3, 1) + encoded(20, 2)
    inputs = b"".join(encoded(1, value) for value in values)
    return encoded(1, inputs + encoded(2, output) + encoded(4, "Concat") + encoded(5, axis))

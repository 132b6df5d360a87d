"""Splits a step graph in two: what a CNN makes of the frame alone, and what needs the state of the frame before.

The first part runs for several frames at the same time, each on a core of its own (prefetch). That gains more than a
second thread for each frame: the layers of a small CNN are too short to be divided well. The graph stays bytes:
nodes, inputs and weights are copied as they are, so that no package for ONNX is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from streamrec.core.protobuf import encoded, fields, message_of, name_in, text_of

Part = tuple[bytes, list[str]]  # a graph, and the names of its weights
CONVOLUTIONS = ("Conv", "QLinearConv", "ConvInteger")
TYPES = {"tensor(float)": 1, "tensor(uint8)": 2}  # TensorProto.DataType


@dataclass(frozen=True, slots=True)
class Node:
    """One operation. Optional inputs and outputs that are left out have no name, and are not listed."""

    data: memoryview
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Named:
    """An input, an output or a weight."""

    data: memoryview | bytes
    name: str


class StepParts:
    """The parts of a step graph that ``check_graph`` has passed, and graphs of some of them."""

    def __init__(self, model: bytes) -> None:
        """ModelProto: 1 ir_version, 7 graph, 8 opset_import. GraphProto: 1 node, 5 initializer, 11 input, 12 output."""
        self._ir_version, self._opsets, graph = 0, [], b""
        for number, value in fields(memoryview(model)):
            if number == 1 and isinstance(value, int):
                self._ir_version = value
            elif number == 7:
                graph += message_of(value)  # as Protocol Buffers merge a field that comes again
            elif number == 8:
                self._opsets.append(message_of(value))
        self.nodes: list[Node] = []
        self.weights: list[Named] = []
        self.inputs: list[Named] = []
        self.outputs: list[Named] = []
        for number, value in fields(memoryview(graph)):
            if number == 1:
                self.nodes.append(_node(message_of(value)))
            elif number == 5:
                self.weights.append(_named(message_of(value), 8))
            elif number in (11, 12):
                (self.inputs if number == 11 else self.outputs).append(_named(message_of(value), 1))

    def part(self, nodes: Sequence[Node], inputs: Sequence[Named], outputs: Sequence[Named]) -> Part:
        """A graph of these nodes, with those of its weights that they use, and their names."""
        used = {name for node in nodes for name in node.inputs}
        weights = [weight for weight in self.weights if weight.name in used]
        graph = b"".join(
            (
                *(encoded(1, node.data) for node in nodes),
                encoded(2, "part"),
                *(encoded(5, weight.data) for weight in weights),
                *(encoded(11, value.data) for value in inputs),
                *(encoded(12, value.data) for value in outputs),
            )
        )
        opsets = b"".join(encoded(8, opset) for opset in self._opsets)
        return encoded(1, self._ir_version) + encoded(7, graph) + opsets, names_of(weights)


class SplitGraph:
    """A graph that ``check_graph`` has passed, and where it is split: behind what a convolution of the frame leads to.

    ``passed``: the names of what the first part hands to the second one; empty where no convolution reads nothing
    but the first input, the frames.
    """

    def __init__(self, graph: bytes) -> None:
        self._whole = whole = StepParts(graph)
        stateful = {value.name for value in whole.inputs[1:]}  # the state, the time since the frame before
        encoded_names: set[str] = set()
        self._after: list[Node] = []
        for node in whole.nodes:  # each comes after those that it needs
            if stateful.intersection(node.inputs):
                stateful.update(node.outputs)
            elif node.kind in CONVOLUTIONS or encoded_names.intersection(node.inputs):
                encoded_names.update(node.outputs)
                continue
            self._after.append(node)
        wanted = [*(name for node in self._after for name in node.inputs), *names_of(whole.outputs)]
        self.passed = [name for name in dict.fromkeys(wanted) if name in encoded_names]

    def first(self) -> Part:
        """Frames -> what is passed on."""
        whole = self._whole
        nodes = leading_to(whole.nodes, self.passed)
        return whole.part(nodes, whole.inputs[:1], [Named(encoded(1, name), name) for name in self.passed])

    def second(self, types: Sequence[tuple[str, Sequence[int | str | None]]]) -> Part | None:
        """Inputs, and what is passed on -> outputs; None where it is of types that are not known here.

        ``types``: the type and shape of each that is passed on, as ONNX Runtime has them.
        """
        if any(kind not in TYPES for kind, _ in types):
            return None
        given = [
            Named(value_info(name, TYPES[kind], shape), name)
            for name, (kind, shape) in zip(self.passed, types, strict=True)
        ]
        whole = self._whole
        nodes = leading_to(self._after, names_of(whole.outputs))
        used = {name for node in nodes for name in node.inputs}
        inputs = [value for value in whole.inputs if value.name in used]
        return whole.part(nodes, [*inputs, *given], whole.outputs)


def _node(data: memoryview) -> Node:
    """NodeProto: 1 input, 2 output, 4 op_type."""
    kind = ""
    inputs: list[str] = []
    outputs: list[str] = []
    for number, value in fields(data):
        if number == 4:
            kind = text_of(value)
        elif number in (1, 2) and (name := text_of(value)):
            (inputs if number == 1 else outputs).append(name)
    return Node(data, kind, tuple(inputs), tuple(outputs))


def counts_streams(node: memoryview) -> bool:
    """Whether an operation on an input gives the number of streams, axis 0 of every input: Shape(start=0, end=1).

    NodeProto: 4 op_type, 5 attribute. AttributeProto: 1 name, 3 i.
    """
    kind, numbers = "", {}
    for field, value in fields(node):
        if field == 4:
            kind = text_of(value)
        elif field == 5:
            attribute = message_of(value)
            numbers[name_in(attribute, 1)] = dict(fields(attribute)).get(3, 0)
    return kind == "Shape" and numbers.get("end") == 1 and numbers.get("start", 0) == 0


def _named(data: memoryview, name_field: int) -> Named:
    return Named(data, name_in(data, name_field))


def value_info(name: str, element: int, shape: Sequence[int | str | None]) -> bytes:
    """ValueInfoProto: 1 name, 2 type {1 tensor_type {1 elem_type, 2 shape {1 dim {1 dim_value or 2 dim_param}}}}."""
    sizes = b"".join(
        encoded(1, b"" if size is None else encoded(1 if isinstance(size, int) else 2, size))
        for size in shape
    )
    return encoded(1, name) + encoded(2, encoded(1, encoded(1, element) + encoded(2, sizes)))


def names_of(values: Iterable[Named]) -> list[str]:
    """The names of inputs, outputs or weights."""
    return [value.name for value in values]


def leading_to(nodes: Iterable[Node], names: Iterable[str]) -> list[Node]:
    """Those of the nodes that are needed for what is named, in their order."""
    needed, kept = set(names), []
    for node in reversed(list(nodes)):
        if needed.intersection(node.outputs):
            kept.append(node)
            needed.update(node.inputs)
    return kept[::-1]

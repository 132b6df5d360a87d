"""A step graph in two: what a CNN makes of a picture alone, and what waits for the memory of the frame before.

The first part of several frames can be worked on at the same time, each on a core of its own. That gains more than a
second thread for each frame: the layers of a small CNN are too short to be shared out well.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import onnx
from onnx.helper import make_graph, make_model, make_tensor_value_info

Part = tuple[bytes, list[str]]  # a graph, and the names of its weights
_CONVOLUTIONS = ("Conv", "QLinearConv", "ConvInteger")
_TYPES = {"tensor(float)": onnx.TensorProto.FLOAT, "tensor(uint8)": onnx.TensorProto.UINT8}


class Cut:
    """Where a graph is cut: behind what a convolution over nothing but its first input, the pictures, leads to.

    ``seen``: the names of what is passed from the one part to the other; none where no convolution is of the
    pictures alone.
    """

    def __init__(self, graph: bytes) -> None:
        self._model = model = onnx.load_from_string(graph)
        others = model.graph.input[1:]
        waiting = {value.name for value in others}  # for the frame before, or for its time
        seen: set[str] = set()
        self._after: list[onnx.NodeProto] = []
        for node in model.graph.node:  # each comes after those that it needs
            if waiting.intersection(node.input):
                waiting.update(node.output)
            elif node.op_type in _CONVOLUTIONS or seen.intersection(node.input):
                seen.update(node.output)
                continue
            self._after.append(node)
        passed = [*(name for node in self._after for name in node.input), *_names(model.graph.output)]
        self.seen = [name for name in dict.fromkeys(passed) if name in seen]

    def first(self) -> Part:
        """Pictures -> what is seen of them."""
        nodes = _leading_to(self._model.graph.node, self.seen)
        return self._part(
            nodes, self._model.graph.input[:1], [onnx.ValueInfoProto(name=n) for n in self.seen]
        )

    def second(self, types: Sequence[tuple[str, Sequence[int | str | None]]]) -> Part | None:
        """Inputs, and what is seen -> outputs. ``types``: type and shape of what is seen, as ONNX Runtime has them."""
        if any(kind not in _TYPES for kind, _ in types):
            return None
        given = [
            make_tensor_value_info(name, _TYPES[kind], shape)
            for name, (kind, shape) in zip(self.seen, types, strict=True)
        ]
        nodes = _leading_to(self._after, _names(self._model.graph.output))
        used = {name for node in nodes for name in node.input}
        inputs = [value for value in self._model.graph.input if value.name in used]
        return self._part(nodes, [*inputs, *given], self._model.graph.output)

    def _part(
        self,
        nodes: Sequence[onnx.NodeProto],
        inputs: Sequence[onnx.ValueInfoProto],
        outputs: Sequence[onnx.ValueInfoProto],
    ) -> Part:
        used = {name for node in nodes for name in node.input}
        weights = [weight for weight in self._model.graph.initializer if weight.name in used]
        part = make_model(
            make_graph(nodes, "part", inputs, outputs, weights),
            opset_imports=self._model.opset_import,
            functions=self._model.functions,
            ir_version=self._model.ir_version,
        )
        return part.SerializeToString(), [weight.name for weight in weights]


def _names(values: Iterable[onnx.ValueInfoProto]) -> list[str]:
    return [value.name for value in values]


def _leading_to(nodes: Iterable[onnx.NodeProto], names: Iterable[str]) -> list[onnx.NodeProto]:
    """Those of the nodes that are needed for what is named, in their order."""
    needed, kept = set(names), []
    for node in reversed(list(nodes)):
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(node.input)
    return kept[::-1]

"""Cuts the small graph that judges one person out of a step graph that finds people.

A head on keypoints reads who was found, (N, 6, 56), and its own memory. What depends on these is a graph of its own:
it runs with a row for each person who is followed, their keypoints in the first of the six places and no person in the
others, and a memory for each. What it reads of the frame besides (the output of an ensemble's other half for the maps)
is handed on by the step as further memories that nothing reads. The graph stays bytes, as in ``graph_split``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from streamrec.core.protobuf import encoded, fields
from streamrec.runtime.graph_split import (
    TYPES,
    Named,
    Node,
    Part,
    StepParts,
    counts_streams,
    leading_to,
    names_of,
    value_info,
)

Shape = Sequence[int | str | None]
_ELAPSED = "elapsed"
_SCORES = "probabilities"
_NEXT = ".next"
_RESHAPING = ("Reshape", "Squeeze", "Unsqueeze")
_INT64 = 7  # TensorProto.DataType


class PersonGraph:
    """A step graph whose memory ``people`` is who was found, and what of it depends on them.

    ``memory``: the names of the memories that each person needs, heads first. ``passed``: what is read of the frame
    besides. ``judged``: of each model in the graph, whether its scores depend on the people.
    """

    def __init__(self, graph: bytes, people: str) -> None:
        self._whole = whole = StepParts(graph)
        self._makers = {name: node for node in whole.nodes for name in node.outputs}
        self._people = people
        (self._found,) = self._makers[
            people + _NEXT
        ].inputs  # what the frame's people are called in the graph
        self._inputs = {value.name: value for value in whole.inputs}
        self._ends = set(names_of(whole.outputs))
        self._depends = {self._found}
        self._parts: dict[str, str] = {}  # what joined features are split into -> what was joined there
        self._trace()
        self._outputs = [value for value in whole.outputs if value.name in self._depends]
        self.memory = tuple(name for name in self._inputs if name + _NEXT in self._depends)
        self.judged = tuple(name in self._depends for name in self._makers[_SCORES].inputs)
        self._nodes, self.passed = self._needed()

    def _trace(self) -> None:
        """Which values depend on a person, until no further memory is found to."""
        before = 0
        while len(self._depends) != before:
            before = len(self._depends)
            self._depends |= {name for name in self._inputs if name + _NEXT in self._depends}
            joined: dict[
                str, tuple[str, ...]
            ] = {}  # features of people and others -> what they were joined of
            for node in self._whole.nodes:
                if node.outputs != (self._people + _NEXT,):
                    self._trace_node(node, joined)

    def _trace_node(self, node: Node, joined: dict[str, tuple[str, ...]]) -> None:
        first, outputs = next(iter(node.inputs), ""), node.outputs
        own = [name in self._depends for name in node.inputs]
        if first in joined:
            parts = joined[first]
            if node.kind in _RESHAPING:
                joined[outputs[0]] = parts
                self._depends |= {first} if outputs[0] in self._depends else set()
                return
            if node.kind == "Split" and len(parts) == len(outputs):
                for part, output in zip(parts, outputs, strict=True):
                    if part in self._depends:
                        self._depends.add(output)
                        self._parts[output] = part
                return
        if node.kind == "Concat" and any(own) and not all(own) and self._ends.isdisjoint(outputs):
            joined[outputs[0]] = node.inputs
            return
        if any(own) or not joined.keys().isdisjoint(node.inputs):
            self._depends.update(outputs)
            self._depends.update(joined.keys() & set(node.inputs))

    def _needed(self) -> tuple[list[Node], list[str]]:
        """The operations of the small graph, and what they read of the frame."""
        of_frame = set(self._inputs) - {_ELAPSED}
        for node in self._whole.nodes:
            if not counts_streams(node.data) and not of_frame.isdisjoint(node.inputs):
                of_frame.update(node.outputs)
        own = self._depends | (self._makers.keys() - of_frame)
        needed, nodes = set(names_of(self._outputs)), []
        needed.discard(self._people + _NEXT)
        for node in reversed(self._whole.nodes):
            wanted = [name for name in node.outputs if name in needed & own and name != self._found]
            split = [Node(memoryview(b""), "", (self._parts[n],), (n,)) for n in wanted if n in self._parts]
            chosen = split or ([node] if wanted else [])
            nodes += chosen
            needed.update(name for one in chosen for name in one.inputs)
        made = {name for node in nodes for name in node.outputs}
        known = made | set(names_of(self._whole.weights)) | {*self.memory, _ELAPSED, self._found}
        read = {name for node in nodes if not counts_streams(node.data) for name in node.inputs}
        return nodes[::-1], [name for name in self._makers if name in read - known]

    @property
    def _asked(self) -> list[str]:
        parts = [name for node in self._nodes if not node.kind for name in (*node.outputs, *node.inputs)]
        return list(dict.fromkeys((self._found, *self.passed, *parts)))

    def asked(self) -> Part:
        """A graph whose outputs are those values whose types and shapes the other two need to know."""
        nodes = leading_to(self._whole.nodes, self._asked)
        used = {name for node in nodes for name in node.inputs}
        inputs = [value for value in self._whole.inputs if value.name in used]
        return self._whole.part(nodes, inputs, [Named(encoded(1, name), name) for name in self._asked])

    def whole(self, values: Sequence[tuple[str, Shape]], first: int) -> Part:
        """The step graph with what is ``passed`` as memories from ``cache.<first>`` on.

        ``values``: types and shapes of the outputs of ``asked``.
        """
        known = dict(zip(self._asked, values, strict=True))
        nodes, inputs, outputs = list(self._whole.nodes), list(self._whole.inputs), list(self._whole.outputs)
        for number, value in enumerate(self.passed, first):
            name = f"cache.{number}"
            nodes.append(_node("Identity", [value], name + _NEXT))
            described = _described(name, *known[value])
            inputs.append(described)
            outputs.append(Named(bytes(described.data) + encoded(1, name + _NEXT), name + _NEXT))
        return self._whole.part(nodes, inputs, outputs)

    def small(self, values: Sequence[tuple[str, Shape]]) -> Part:
        """The graph of a person: elapsed, memories, people, what is passed -> scores and memories, a row a person.

        ``values`` as for ``whole``. Raises ``ValueError`` where joined features are split elsewhere.
        """
        known = dict(zip(self._asked, values, strict=True))
        nodes, weights = [], []
        for node in self._nodes:
            if node.kind:
                nodes.append(_by_elapsed(node) if counts_streams(node.data) else node)
                continue
            (part,), (output,) = node.inputs, node.outputs
            shape, before = (_sizes(known[name][1]) for name in (output, part))
            if math.prod(shape) != math.prod(before):
                raise ValueError("people are mixed with other features")
            weights.append(_numbers(f"{output}.shape", [-1, *shape]))
            nodes.append(_node("Reshape", [part, weights[-1].name], output))
        inputs = [self._inputs[name] for name in (_ELAPSED, *self.memory)]
        inputs += [_described(name, *known[name]) for name in (self._found, *self.passed)]
        return self._whole.part(nodes, inputs, self._outputs, weights)


def _by_elapsed(node: Node) -> Node:
    """The number of streams, as the elapsed times have it. NodeProto: 1 input."""
    rest = b"".join(encoded(number, value) for number, value in fields(node.data) if number != 1)
    return Node(memoryview(encoded(1, _ELAPSED) + rest), node.kind, (_ELAPSED,), node.outputs)


def _node(kind: str, inputs: Sequence[str], output: str) -> Node:
    """NodeProto: 1 input, 2 output, 4 op_type."""
    data = b"".join(encoded(1, name) for name in inputs) + encoded(2, output) + encoded(4, kind)
    return Node(memoryview(data), kind, tuple(inputs), (output,))


def _described(name: str, kind: str, shape: Shape) -> Named:
    """A value with a free number of streams."""
    return Named(value_info(name, TYPES[kind], ["streams", *shape[1:]]), name)


def _sizes(shape: Shape) -> list[int]:
    """Without axis 0; raises ``ValueError`` where another one is free."""
    sizes = [size for size in shape[1:] if isinstance(size, int)]
    if len(sizes) + 1 != len(shape):
        raise ValueError("a size is free")
    return sizes


def _numbers(name: str, numbers: Sequence[int]) -> Named:
    """TensorProto: 1 dims, 2 data_type, 8 name, 9 raw_data."""
    raw = np.array(numbers, "<i8").tobytes()
    data = encoded(1, len(numbers)) + encoded(2, _INT64) + encoded(8, name) + encoded(9, raw)
    return Named(data, name)

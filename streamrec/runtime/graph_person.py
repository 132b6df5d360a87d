"""Cuts the small graph that judges one person out of a step graph that finds people.

A head on keypoints reads who was found, (N, 6, 56), and its own memory. What depends on these is a graph of its own:
it runs with a row for each person who is followed, their keypoints in the first of the six places and no person in the
others, and a memory for each. What it reads of the frame besides (the maps that are pooled inside of each one's box)
is handed on by the step as further outputs. The graph stays bytes, as in ``graph_split``.
"""

from __future__ import annotations

from collections.abc import Sequence

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
            for node in self._whole.nodes:
                if node.outputs != (self._people + _NEXT,) and not self._depends.isdisjoint(node.inputs):
                    self._depends.update(node.outputs)

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
            if any(name in needed & own and name != self._found for name in node.outputs):
                nodes.append(node)
                needed.update(node.inputs)
        made = {name for node in nodes for name in node.outputs}
        known = made | set(names_of(self._whole.weights)) | {*self.memory, _ELAPSED, self._found}
        read = {name for node in nodes if not counts_streams(node.data) for name in node.inputs}
        return nodes[::-1], [name for name in self._makers if name in read - known]

    @property
    def _asked(self) -> list[str]:
        return [self._found, *self.passed]

    def asked(self) -> Part:
        """A graph whose outputs are those values whose types and shapes the other two need to know."""
        nodes = leading_to(self._whole.nodes, self._asked)
        used = {name for node in nodes for name in node.inputs}
        inputs = [value for value in self._whole.inputs if value.name in used]
        return self._whole.part(nodes, inputs, [Named(encoded(1, name), name) for name in self._asked])

    def whole(self, values: Sequence[tuple[str, Shape]]) -> Part:
        """The step graph with what is ``passed`` as further outputs.

        ``values``: types and shapes of the outputs of ``asked``.
        """
        known = dict(zip(self._asked, values, strict=True))
        outputs = [*self._whole.outputs, *(_described(name, *known[name]) for name in self.passed)]
        return self._whole.part(self._whole.nodes, self._whole.inputs, outputs)

    def small(self, values: Sequence[tuple[str, Shape]]) -> Part:
        """The graph of a person: elapsed, memories, people, what is passed -> scores and memories, a row a person.

        ``values`` as for ``whole``.
        """
        known = dict(zip(self._asked, values, strict=True))
        nodes = [_by_elapsed(node) if counts_streams(node.data) else node for node in self._nodes]
        inputs = [self._inputs[name] for name in (_ELAPSED, *self.memory)]
        inputs += [_described(name, *known[name]) for name in self._asked]
        return self._whole.part(nodes, inputs, self._outputs)


def _by_elapsed(node: Node) -> Node:
    """The number of streams, as the elapsed times have it. NodeProto: 1 input."""
    rest = b"".join(encoded(number, value) for number, value in fields(node.data) if number != 1)
    return Node(memoryview(encoded(1, _ELAPSED) + rest), node.kind, (_ELAPSED,), node.outputs)


def _described(name: str, kind: str, shape: Shape) -> Named:
    """A value with a free number of streams."""
    return Named(value_info(name, TYPES[kind], ["streams", *shape[1:]]), name)

"""Step graphs are merged as bytes; the package onnx reads here what was written."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from onnx.numpy_helper import from_array

from streamrec.nn.config import ModelConfig
from streamrec.nn.transforms import Transform
from streamrec.runtime.graph_merge import MergedGraph, StepGraph, merge, operators_of
from streamrec.runtime.graph_split import SplitGraph
from streamrec.runtime.onnx_engine import ModelStep, OnnxEngine, merged_step

SIZE = 4
BACKBONE = 7  # the seed of the weights that models have in common


def step_graph(
    head: int,
    *,
    backbone: int = BACKBONE,
    labels: int = 2,
    name: str = "",
    pads: int = 1,
    counts: bool = False,
    keeps: str = "image",
    sees: str = "difference",
    outside: bool = False,
    opset: int = 18,
) -> StepGraph:
    """A backbone of two convolutions over the difference to the image before, and a head that adds up.

    ``name`` stands before all names of values; ``keeps``: what the encoder's memory becomes, "image" or "half" of it.
    """

    def weights(seed: int, *shape: int) -> np.ndarray:
        return np.random.default_rng(seed).normal(size=shape).astype(np.float32)

    arrays = {
        "kernel": weights(backbone, 3, 3, 3, 3),
        "wide": weights(backbone + 1, 4, 3, 1, 1),
        "out": weights(head, 4, labels),
        "half": np.array(0.5, np.float32),
        "axes": np.array([2, 3], np.int64),
        "side": np.array([1], np.int64),
    }
    if counts:
        arrays["turn"] = weights(head + 1, 4, 2)

    def node(kind: str, inputs: list[str], output: str, **attributes) -> onnx.NodeProto:
        inputs = [value if value in known or not value else name + value for value in inputs]
        return helper.make_node(kind, inputs, [name + output], name=f"{name}{output}!", **attributes)

    known = {"pictures", "elapsed", "head.0", "cache.0"}
    nodes = [
        node("Cast", ["pictures"], "image", to=TensorProto.FLOAT),
        node("Sub", ["image", "cache.0"], "difference"),
        node("Conv", [sees, "kernel"], "a", pads=[pads] * 4),
        node("Clip", ["a", "", "half"], "b"),
        node("Conv", ["b", "wide"], "c"),
        node("ReduceMean", ["c", "axes"], "features", keepdims=0),
        node("Clip", ["elapsed", "", "half"], "short"),
        node("Unsqueeze", ["short", "side"], "time"),
        node("Mul", ["features", "time"], "weighed"),
        node("Add", ["weighed", "head.0"], "sum"),
        node("MatMul", ["sum", "out"], "logits"),
        node("Softmax", ["logits"], "scores", axis=-1),
        node("Mul", ["image", "half"], "smaller"),
    ]
    outputs = {"probabilities": "scores"}
    if counts:
        nodes.append(node("MatMul", ["sum", "turn"], "angle"))
        outputs["phase"] = "angle"
    outputs |= {"head.0.next": "sum", "cache.0.next": "image" if keeps == "image" else "smaller"}
    nodes += [helper.make_node("Identity", [name + value], [output]) for output, value in outputs.items()]
    free = f"{name or 'n'}streams"
    sizes = {
        "pictures": [free, 3, SIZE, SIZE], "elapsed": [free], "head.0": [free, 4], "cache.0": [free, 3, SIZE, SIZE],
        "probabilities": [free, labels], "phase": [free, 2], "head.0.next": [free, 4],
        "cache.0.next": [free, 3, SIZE, SIZE],
    }  # fmt: skip

    def value(called: str) -> onnx.ValueInfoProto:
        kind = TensorProto.UINT8 if called == "pictures" else TensorProto.FLOAT
        return helper.make_tensor_value_info(called, kind, sizes[called])

    initializers = [from_array(array, name + called) for called, array in arrays.items()]
    trained = ("kernel", "wide", "out") if outside else ()
    for initializer in (one for one in initializers if one.name.removeprefix(name) in trained):
        initializer.ClearField("raw_data")
        initializer.data_location = TensorProto.EXTERNAL
        initializer.external_data.add(key="location", value="weights")
    made = helper.make_graph(
        nodes,
        "step",
        [value(called) for called in ("pictures", "elapsed", "head.0", "cache.0")],
        [value(called) for called in outputs],
        initializers,
    )
    data = helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    given = {name + called: arrays[called] for called in trained}
    return StepGraph(data.SerializeToString(), given, labels)


def kinds(graph: MergedGraph | StepGraph) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load_from_string(graph.data).graph.node)


def inputs(graph: MergedGraph) -> list[str]:
    return [value.name for value in onnx.load_from_string(graph.data).graph.input]


class Playing:
    """A graph over a stream, its memory carried."""

    def __init__(self, graph: MergedGraph | StepGraph) -> None:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in graph.weights.values()]
        options.add_external_initializers(list(graph.weights), values)
        self._kept = values
        self._session = onnxruntime.InferenceSession(graph.data, options, providers=["CPUExecutionProvider"])
        self._memory = {
            value.name: np.zeros((2, *value.shape[1:]), np.float32)
            for value in self._session.get_inputs()[2:]
        }

    def step(self, number: int) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(number)
        given = {
            "pictures": rng.integers(0, 256, (2, 3, SIZE, SIZE), np.uint8),
            "elapsed": np.array([0.1, 0.2], np.float32),
        }
        names = [value.name for value in self._session.get_outputs()]
        found = dict(zip(names, self._session.run(None, {**given, **self._memory}), strict=True))
        self._memory = {name: found[f"{name}.next"] for name in self._memory}
        return found


def assert_as_apart(merged: MergedGraph, graphs: list[StepGraph]) -> None:
    """The merged graph gives what each graph gives, to the bit, over a stream."""
    if not merged.weights:  # the checker looks for their file
        onnx.checker.check_model(onnx.load_from_string(merged.data))
    together, alone = Playing(merged), [Playing(graph) for graph in graphs]
    for number in range(4):
        found, wanted = together.step(number), [one.step(number) for one in alone]
        for name in ("probabilities", "phase"):
            parts = [one[name] for one in wanted if name in one]
            assert (name in found) == bool(parts)
            if parts:
                np.testing.assert_array_equal(found[name], np.concatenate(parts, axis=1))


def test_two_models_over_one_backbone_are_one_backbone_and_two_heads():
    graphs = [step_graph(1, name="a_"), step_graph(2, name="b_", labels=3)]
    merged = merge(graphs)
    assert_as_apart(merged, graphs)
    assert kinds(merged)["Conv"] == 2 and merged.shared == 2
    assert kinds(merged)["MatMul"] == kinds(merged)["Softmax"] == 2
    # The memory of the encoder is one, and each head has its own: but what a head adds up does not depend on its
    # weights here, so it is one too.
    assert inputs(merged) == ["pictures", "elapsed", "head.0", "cache.0"]
    assert merged.nodes == len(onnx.load_from_string(graphs[0].data).graph.node) + 3  # a second head


def test_three_models_and_one_of_another_backbone():
    graphs = [
        step_graph(1),
        step_graph(2, name="b_"),
        step_graph(3, backbone=50, counts=True),
        step_graph(4, counts=True),
    ]
    merged = merge(graphs)
    assert_as_apart(merged, graphs)
    assert kinds(merged)["Conv"] == 4 and merged.shared == 4


def test_unrelated_models_share_nothing_but_what_is_done_with_any_picture():
    graphs = [step_graph(1), step_graph(2, backbone=90, pads=1)]
    merged = merge(graphs)
    assert_as_apart(merged, graphs)
    assert kinds(merged)["Conv"] == 4 and merged.shared == 0
    assert kinds(merged)["Cast"] == 1
    assert inputs(merged) == ["pictures", "elapsed", "head.0", "head.1", "cache.0"]


def test_another_attribute_is_another_operation():
    graphs = [step_graph(1), step_graph(2, pads=0)]
    merged = merge(graphs)
    assert_as_apart(merged, graphs)
    assert kinds(merged)["Conv"] == 4


def test_memories_that_become_different_are_told_apart_and_so_is_all_that_depends_on_them():
    graphs = [step_graph(1), step_graph(2, keeps="half"), step_graph(3)]
    merged = merge(graphs)
    assert_as_apart(merged, graphs)
    assert inputs(merged) == ["pictures", "elapsed", "head.0", "head.1", "cache.0", "cache.1"]
    assert kinds(merged)["Conv"] == 4


def test_a_zero_of_another_sign_makes_no_other_weight():
    one, other = (step_graph(head, outside=True) for head in (1, 2))
    one.weights["kernel"][0, 0, 0, 0], other.weights["kernel"][0, 0, 0, 0] = 0.0, -0.0
    assert merge([one, other]).shared == 2


def test_the_number_of_streams_is_the_same_of_every_input():
    """Graphs may read it of another input each; what follows is calculated once."""

    def counting(read: str) -> StepGraph:
        graph = step_graph(1)
        model = onnx.load_from_string(graph.data)
        count = helper.make_node("Shape", [read], ["count"], start=0, end=1)
        cast = helper.make_node("Cast", ["count"], ["number"], to=TensorProto.FLOAT)
        scaled = helper.make_node("Mul", ["difference", "number"], ["scaled"])
        model.graph.node.insert(2, scaled)
        model.graph.node.insert(2, cast)
        model.graph.node.insert(2, count)
        model.graph.node[5].input[0] = "scaled"
        return replace(graph, data=model.SerializeToString())

    merged = merge([counting("cache.0"), counting("pictures")])
    assert merged.shared == 2 and kinds(merged)["Shape"] == 1


def test_a_weight_outside_of_its_graph_is_the_one_inside_of_another():
    graphs = [step_graph(1, outside=True, name="x_"), step_graph(2), step_graph(3, outside=True)]
    merged = merge(graphs)
    assert_as_apart(merged, graphs)
    assert kinds(merged)["Conv"] == 2
    kernels = [
        one for one in onnx.load_from_string(merged.data).graph.initializer if list(one.dims) == [3, 3, 3, 3]
    ]
    assert len(kernels) == 1 and kernels[0].name in merged.weights


def test_the_same_model_twice_is_calculated_once():
    graphs = [step_graph(1, counts=True), step_graph(1, counts=True)]
    merged = merge(graphs)
    assert_as_apart(merged, graphs)
    assert kinds(merged)["MatMul"] == 2


def test_a_merged_graph_can_be_split_for_frames_that_are_encoded_ahead():
    assert SplitGraph(merge([step_graph(1), step_graph(2)]).data).passed == []  # it needs the image before
    merged = merge([step_graph(head, sees="image", outside=True) for head in (1, 2)])
    split = SplitGraph(merged.data)
    first, names = split.first()
    second, rest = split.second([("tensor(float)", ["streams", 4])])
    assert names and set(names) | set(rest) <= {f"w{n}" for n in range(9)}

    def kinds_of(graph: bytes) -> list[str]:
        return [node.op_type for node in onnx.load_from_string(graph).graph.node]

    assert kinds_of(first).count("Conv") == 2 and "Conv" not in kinds_of(second)
    needed = [value.name for value in onnx.load_from_string(second).graph.input]
    assert needed == ["pictures", "elapsed", "head.0", *split.passed]


def test_graphs_are_of_the_same_operators_or_not():
    assert operators_of(step_graph(1).data) == operators_of(step_graph(2).data) != frozenset()
    assert operators_of(step_graph(1, opset=20).data) != operators_of(step_graph(1).data)


@pytest.mark.parametrize("cut", [0.3, 0.9])
def test_a_damaged_graph_is_refused(cut):
    whole = step_graph(1)
    data = whole.data[: int(cut * len(whole.data))]
    with pytest.raises((ValueError, IndexError, KeyError, TypeError)):
        merge([whole, StepGraph(data, {}, 2)])


def test_an_engine_of_a_merged_graph_has_the_interface_of_any():
    def step(graph: StepGraph, labels: tuple[str, ...], counted: tuple[str, ...] = ()) -> ModelStep:
        transform = Transform(height=SIZE, width=SIZE)
        return ModelStep(
            "m",
            graph.data,
            graph.weights,
            (ModelConfig(labels=labels, counted=counted, transform=transform),),
        )

    both, shares = merged_step([
        step(step_graph(1), ("idle", "wave")), step(step_graph(2, counts=True, labels=3), ("a", "b", "c"), ("b",))
    ])  # fmt: skip
    engine = OnnxEngine.of_step(both, 1)
    assert shares and engine.head_shapes == ((4,),) and engine.cache_shapes == ((3, SIZE, SIZE),)
    memory = ((np.zeros((2, 4), np.float32),), (np.zeros((2, 3, SIZE, SIZE), np.float32),))
    probabilities, phase, head, cache = engine.step(
        np.zeros((2, 3, SIZE, SIZE), np.uint8), np.ones(2, np.float32), *memory
    )
    assert probabilities.shape == (2, 5) and phase.shape == (2, 2)
    assert head[0].shape == (2, 4) and cache[0].shape == (2, 3, SIZE, SIZE)


def test_the_place_of_each_models_cache_is_told():
    alike = merge([step_graph(1), step_graph(2, name="x"), step_graph(3, name="y", keeps="half")])
    assert alike.caches == (0, 0, 1)
    assert [name for name in inputs(alike) if name.startswith("cache.")] == ["cache.0", "cache.1"]

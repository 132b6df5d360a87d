"""The graph of a person is cut out of a step graph as bytes; the package onnx reads here what was written."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper
from onnx.numpy_helper import from_array

from streamrec.runtime.graph_person import PersonGraph

MAPS, PEOPLE = 5, 8  # widths of what is seen of the frame, and of who was found (2, 4)


def graph() -> bytes:
    """Maps and people of a frame; a head that reads the maps alone, and one that reads both."""
    rng = np.random.default_rng(0)
    arrays = {
        "to_maps": rng.normal(size=(3, MAPS)).astype(np.float32),
        "to_people": rng.normal(size=(3, PEOPLE)).astype(np.float32),
        "of_maps": rng.normal(size=(MAPS, 2)).astype(np.float32),
        "of_both": rng.normal(size=(MAPS + PEOPLE, 2)).astype(np.float32),
        "two": np.array([-1, 2, 4], np.int64),
        "flat": np.array([-1, PEOPLE], np.int64),
        "one": np.array([1], np.int64),
    }
    make = helper.make_node
    nodes = [
        make("MatMul", ["pictures", "to_maps"], ["maps"]),
        make("MatMul", ["pictures", "to_people"], ["flat_people"]),
        make("Reshape", ["flat_people", "two"], ["person"]),
        make("Reshape", ["person", "flat"], ["part"]),
        make("Shape", ["pictures"], ["count"], start=0, end=1),
        make("Cast", ["count"], ["number"], to=TensorProto.FLOAT),
        make("Div", ["number", "number"], ["unit"]),
        make("Unsqueeze", ["elapsed", "one"], ["time"]),
        make("Mul", ["head.0", "time"], ["old"]),
        make("Add", ["maps", "old"], ["sum"]),
        make("MatMul", ["sum", "of_maps"], ["one_says"]),
        make("Mul", ["cache.0", "time"], ["before"]),
        make("Mul", ["before", "unit"], ["counted"]),
        make("Add", ["part", "counted"], ["body"]),
        make("Concat", ["maps", "body"], ["features"], axis=1),
        make("MatMul", ["features", "of_both"], ["other_says"]),
        make("Add", ["one_says", "other_says"], ["whole"]),
        make("Concat", ["whole"], ["probabilities"], axis=1),
        make("Identity", ["sum"], ["head.0.next"]),
        make("Identity", ["body"], ["cache.0.next"]),
        make("Identity", ["person"], ["cache.1.next"]),
    ]
    value = helper.make_tensor_value_info
    memories = {"head.0": MAPS, "cache.0": PEOPLE}
    inputs = [value("pictures", TensorProto.FLOAT, ["n", 3]), value("elapsed", TensorProto.FLOAT, ["n"])]
    inputs += [value(name, TensorProto.FLOAT, ["n", size]) for name, size in memories.items()]
    outputs = [value("probabilities", TensorProto.FLOAT, ["n", 2])]
    outputs += [value(f"{name}.next", TensorProto.FLOAT, ["n", size]) for name, size in memories.items()]
    for place, name in ((inputs, "cache.1"), (outputs, "cache.1.next")):
        place.append(value(name, TensorProto.FLOAT, ["n", 2, 4]))
    made = helper.make_graph(
        nodes, "step", inputs, outputs, [from_array(array, name) for name, array in arrays.items()]
    )
    opset = [helper.make_opsetid("", 18)]
    return helper.make_model(made, opset_imports=opset, ir_version=10).SerializeToString()


def session(data: bytes) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])


def cut(data: bytes):
    """The cut, the step graph with what it hands on, and the graph of a person."""
    found = PersonGraph(data, "cache.1")
    values = [(value.type, value.shape) for value in session(found.asked()[0]).get_outputs()]
    return found, session(found.whole(values)[0]), session(found.small(values)[0])


def test_a_person_is_judged_as_the_step_judges_who_was_found():
    found, whole, small = cut(graph())
    assert found.memory == ("cache.0",) and found.passed == ["maps", "one_says"] and found.judged == (True,)
    rng = np.random.default_rng(1)
    given = {
        "pictures": rng.normal(size=(3, 3)).astype(np.float32), "elapsed": np.array([0.1, 0.2, 0.4], np.float32),
        "head.0": rng.normal(size=(3, MAPS)).astype(np.float32),
        "cache.0": rng.normal(size=(3, PEOPLE)).astype(np.float32),
        "cache.1": np.zeros((3, 2, 4), np.float32),
    }  # fmt: skip
    names = [value.name for value in whole.get_outputs()]
    stepped = dict(zip(names, whole.run(None, given), strict=True))
    assert names[-2:] == found.passed
    assert [value.name for value in small.get_inputs()] == ["elapsed", "cache.0", "person", *found.passed]
    rows = [2, 0, 1, 1]  # any number of people of any frame
    person = {
        "elapsed": given["elapsed"][rows], "cache.0": given["cache.0"][rows],
        "person": stepped["cache.1.next"][rows], **{name: stepped[name][rows] for name in found.passed},
    }  # fmt: skip
    scores, body = small.run(None, person)
    np.testing.assert_allclose(scores, stepped["probabilities"][rows], rtol=1e-6)
    np.testing.assert_allclose(body, stepped["cache.0.next"][rows], rtol=1e-6)


def test_a_graph_whose_heads_know_no_person_judges_none():
    model = onnx.load_from_string(graph())
    names = [node.output[0] for node in model.graph.node]
    model.graph.node[names.index("whole")].input[1] = "one_says"
    assert PersonGraph(model.SerializeToString(), "cache.1").judged == (False,)

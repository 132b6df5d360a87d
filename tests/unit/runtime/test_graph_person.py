"""The graph of a person is cut out of a step graph as bytes; the package onnx reads here what was written."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from onnx.numpy_helper import from_array

from streamrec.runtime.graph_person import PersonGraph

MAPS, PEOPLE = 5, 8  # widths of what is seen of the frame, and of who was found (2, 4)


def graph(*, uneven: bool = False, mixes: bool = False) -> bytes:
    """Maps and people of a frame, joined and split again; a head on each, and the mean of both.

    ``uneven``: split elsewhere than joined; ``mixes``: a head reads what was joined.
    """
    rng = np.random.default_rng(0)
    sizes = [MAPS - 1, PEOPLE + 1] if uneven else [MAPS, PEOPLE]
    arrays = {
        "to_maps": rng.normal(size=(3, MAPS)).astype(np.float32),
        "to_people": rng.normal(size=(3, PEOPLE)).astype(np.float32),
        "of_maps": rng.normal(size=(sizes[0], 2)).astype(np.float32),
        "of_people": rng.normal(size=(sizes[1], 2)).astype(np.float32),
        "of_both": rng.normal(size=(MAPS + PEOPLE, 2)).astype(np.float32),
        "two": np.array([-1, 2, 4], np.int64),
        "flat": np.array([-1, 1, PEOPLE], np.int64),
        "row": np.array([-1, 1, MAPS], np.int64),
        "both": np.array([-1, MAPS + PEOPLE], np.int64),
        "sizes": np.array(sizes, np.int64),
        "one": np.array([1], np.int64),
        "half": np.float32(0.5),
    }
    make = helper.make_node
    nodes = [
        make("MatMul", ["pictures", "to_maps"], ["maps"]),
        make("MatMul", ["pictures", "to_people"], ["flat_people"]),
        make("Reshape", ["flat_people", "two"], ["person"]),
        make("Reshape", ["person", "flat"], ["part"]),
        make("Reshape", ["maps", "row"], ["map_part"]),
        make("Concat", ["map_part", "part"], ["joined"], axis=2),
        make("Reshape", ["joined", "both"], ["features"]),
        make("Split", ["features", "sizes"], ["seen", "joints"], axis=1),
        make("Shape", ["pictures"], ["count"], start=0, end=1),
        make("Cast", ["count"], ["number"], to=TensorProto.FLOAT),
        make("Div", ["number", "number"], ["unit"]),
        make("Unsqueeze", ["elapsed", "one"], ["time"]),
        make("Mul", ["head.0", "time"], ["old"]),
        make("Add", ["seen", "old"], ["sum"]),
        make("MatMul", ["sum", "of_maps"], ["one_says"]),
        make("Mul", ["cache.0", "time"], ["before"]),
        make("Mul", ["before", "unit"], ["counted"]),
        make("Add", ["joints", "counted"], ["body"]),
        make("MatMul", ["body", "of_people"], ["other_says"]),
        make("MatMul", ["features", "of_both"], ["both_say"]),
        make("Add", ["one_says", "other_says"], ["logits"]),
        make("Add", ["logits", "both_say" if mixes else "half"], ["whole"]),
        make("Concat", ["whole"], ["probabilities"], axis=1),
        make("Identity", ["sum"], ["head.0.next"]),
        make("Identity", ["body"], ["cache.0.next"]),
        make("Identity", ["person"], ["cache.1.next"]),
    ]
    value = helper.make_tensor_value_info
    memories = {"head.0": sizes[0], "cache.0": sizes[1]}
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
    return found, session(found.whole(values, 2)[0]), session(found.small(values)[0])


def test_a_person_is_judged_as_the_step_judges_who_was_found():
    found, whole, small = cut(graph())
    assert found.memory == ("cache.0",) and found.passed == ["one_says"] and found.judged == (True,)
    rng = np.random.default_rng(1)
    given = {
        "pictures": rng.normal(size=(3, 3)).astype(np.float32), "elapsed": np.array([0.1, 0.2, 0.4], np.float32),
        "head.0": rng.normal(size=(3, MAPS)).astype(np.float32),
        "cache.0": rng.normal(size=(3, PEOPLE)).astype(np.float32),
        "cache.1": np.zeros((3, 2, 4), np.float32), "cache.2": np.zeros((3, 2), np.float32),
    }  # fmt: skip
    names = [value.name for value in whole.get_outputs()]
    stepped = dict(zip(names, whole.run(None, given), strict=True))
    assert names[-1] == "cache.2.next" and [value.name for value in small.get_inputs()][:2] == [
        "elapsed",
        "cache.0",
    ]
    rows = [2, 0, 1, 1]  # any number of people of any frame
    person = {
        "elapsed": given["elapsed"][rows], "cache.0": given["cache.0"][rows],
        "person": stepped["cache.1.next"][rows], "one_says": stepped["cache.2.next"][rows],
    }  # fmt: skip
    scores, body = small.run(None, person)
    np.testing.assert_allclose(scores, stepped["probabilities"][rows], rtol=1e-6)
    np.testing.assert_allclose(body, stepped["cache.0.next"][rows], rtol=1e-6)


def test_what_a_head_reads_of_people_and_maps_together_is_handed_on():
    found, _, small = cut(graph(mixes=True))
    assert found.passed == ["map_part", "one_says"]
    assert {value.name for value in small.get_inputs()} == {
        "elapsed",
        "cache.0",
        "person",
        "map_part",
        "one_says",
    }


def test_features_that_are_split_elsewhere_than_joined_are_refused():
    with pytest.raises(ValueError, match="mixed with other features"):
        cut(graph(uneven=True))


def test_a_graph_whose_heads_know_no_person_judges_none():
    model = onnx.load_from_string(graph())
    names = [node.output[0] for node in model.graph.node]
    model.graph.node[names.index("logits")].input[1] = "one_says"
    assert PersonGraph(model.SerializeToString(), "cache.1").judged == (False,)

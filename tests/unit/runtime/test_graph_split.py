"""A step graph is split as bytes; the package onnx reads here what was written."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from streamrec.core.protobuf import encoded, fields, message_of, text_of
from streamrec.runtime.graph_split import SplitGraph

SIZE = (1, 2, 4, 4)


def graph() -> bytes:
    """Two convolutions of the frames, a mask of the time, and a state; one weight is used by nothing."""
    rng = np.random.default_rng(0)
    weights = {
        "kernel": rng.normal(size=(2, 2, 3, 3)).astype(np.float32),
        "wide": rng.normal(size=(2, 2, 1, 1)).astype(np.float32),
        "low": np.float32(0.0),
        "unused": np.zeros(3, np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["pictures", "kernel"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Clip", ["a", "low", ""], ["b"]),
        helper.make_node("Conv", ["b", "wide"], ["c"]),
        helper.make_node("Neg", ["elapsed"], ["d"]),
        helper.make_node("Mul", ["head.0", "d"], ["e"]),
        helper.make_node("Add", ["c", "e"], ["f"]),
        helper.make_node("Clip", ["f", "", ""], ["probabilities"]),
    ]
    value = helper.make_tensor_value_info
    made = helper.make_graph(
        nodes,
        "step",
        [
            value("pictures", TensorProto.FLOAT, ["n", *SIZE[1:]]),
            value("elapsed", TensorProto.FLOAT, [1]),
            value("head.0", TensorProto.FLOAT, ["n", *SIZE[1:]]),
        ],
        [value("probabilities", TensorProto.FLOAT, ["n", *SIZE[1:]])],
        [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return helper.make_model(
        made, opset_imports=[helper.make_opsetid("", 18)], ir_version=10
    ).SerializeToString()


def session(data: bytes) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])


def test_both_parts_in_a_row_are_the_whole_graph_to_the_bit():
    split = SplitGraph(graph())
    first, weights = split.first()
    assert split.passed == ["c"] and weights == ["kernel", "wide", "low"]
    front = session(first)
    second, weights = split.second([(value.type, value.shape) for value in front.get_outputs()])
    assert weights == []
    onnx.checker.check_model(onnx.load_from_string(second))
    rng = np.random.default_rng(1)
    pictures, head = rng.normal(size=(2, 5, *SIZE[1:])).astype(np.float32)
    state = {"elapsed": np.array([0.1], np.float32), "head.0": head}
    (whole,) = session(graph()).run(None, {"pictures": pictures, **state})
    (passed,) = front.run(None, {"pictures": pictures})
    (again,) = session(second).run(None, {"c": passed, **state})
    assert again.tobytes() == whole.tobytes()


def test_what_is_copied_is_what_stood_there():
    model = onnx.load_from_string(graph())
    first, second = (
        onnx.load_from_string(part[0])
        for part in (
            SplitGraph(graph()).first(),
            SplitGraph(graph()).second([("tensor(float)", ["n", None, 4])]),
        )
    )
    assert [first.ir_version, second.opset_import] == [model.ir_version, model.opset_import]
    assert list(first.graph.node) == list(model.graph.node[:3])
    assert list(second.graph.node) == list(model.graph.node[3:])
    assert list(first.graph.initializer) == list(model.graph.initializer[:3])
    assert list(second.graph.input[:2]) == list(model.graph.input[1:])
    passed = helper.make_tensor_value_info("c", TensorProto.FLOAT, ["n", None, 4])
    assert second.graph.input[2] == passed


def test_a_type_that_is_not_known_is_not_passed_on():
    assert SplitGraph(graph()).second([("tensor(double)", [1])]) is None


def test_a_graph_that_comes_in_several_fields_is_one_as_protocol_buffers_merge_it():
    parts = [(number, value) for number, value in fields(memoryview(graph())) if number != 7]
    (whole,) = (message_of(value) for number, value in fields(memoryview(graph())) if number == 7)
    pieces = [encoded(7, encoded(number, value)) for number, value in fields(whole)]
    rest = b"".join(encoded(number, value) for number, value in parts)
    torn = SplitGraph(rest + b"".join(pieces))
    assert (torn.passed, torn.first()) == (SplitGraph(graph()).passed, SplitGraph(graph()).first())


@pytest.mark.parametrize("value", [0, 1, 127, 128, 300, 2**63 - 1, "", "state", b"\x00" * 300])
def test_a_field_is_read_as_it_was_written(value):
    ((number, read),) = fields(memoryview(encoded(3000, value)))
    assert number == 3000
    if isinstance(value, int):
        assert read == value
        with pytest.raises(TypeError):
            text_of(read)
    else:
        assert bytes(message_of(read)) == (value.encode() if isinstance(value, str) else value)


@pytest.mark.parametrize("data", [b"\x0a\x05a", b"\x0b", b"\x08", b"\x08" + b"\xff" * 11, b"\x0d\x00"])
def test_damaged_bytes_are_refused(data):
    with pytest.raises((ValueError, IndexError)):
        list(fields(memoryview(data)))

"""Graph passes that make an exported step quick: they remove nodes that calculate nothing.

A small CNN's step is hundreds of nodes of a few microseconds each, so that what counts is how many there are.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from streamrec.errors import need

need("onnx_ir", extra="train")
need("onnxscript", extra="train")

import onnx_ir as ir  # noqa: E402
from onnx_ir.passes import common  # noqa: E402
from onnxscript.optimizer import fold_constants_ir  # noqa: E402

ROUNDS = 4  # one rule enables another
_LARGEST = 16384  # numbers in a constant that is folded


def tidy(model: ir.Model, weights: set[str]) -> None:
    """Remove the nodes of a traced step that calculate nothing, in place; the given weights keep name and value.

    Constants are folded, shapes are fixed where only the number of streams is free, concatenations with empty tensors
    and redundant broadcasts are removed. The runtime can then fold batch norms into the convolutions before them,
    whose bias is a constant now.
    """
    common.InlinePass()(model)
    for _ in range(ROUNDS):
        fold_constants_ir(
            model,
            input_size_limit=_LARGEST,
            output_size_limit=_LARGEST,
            should_fold=lambda node: False if _touches(node, weights) and node.op_type != "Shape" else None,
        )
        for node in list(model.graph):
            for rule in _RULES:
                if rule(model.graph, node):
                    break
        common.RemoveUnusedNodesPass()(model)
        common.CommonSubexpressionEliminationPass()(model)
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    common.RemoveUnusedFunctionsPass()(model)
    common.RemoveUnusedOpsetsPass()(model)


def _touches(node: ir.Node, weights: set[str]) -> bool:
    return any(value is not None and value.name in weights for value in node.inputs)


def _shape(value: ir.Value | None) -> list[int | None] | None:
    """The sizes that are known; None for one that is not, or for all of them."""
    if value is None or value.shape is None:
        return None
    return [size if isinstance(size, int) else None for size in value.shape]


def _constant(graph: ir.Graph, node: ir.Node, array: np.ndarray) -> ir.Value:
    made = ir.node("Constant", inputs=[], attributes={"value": ir.tensor(array)})
    graph.insert_before(node, made)
    made.outputs[0].shape = ir.Shape(array.shape)
    made.outputs[0].dtype = ir.DataType.from_numpy(array.dtype)
    return made.outputs[0]


def _bypass(graph: ir.Graph, node: ir.Node, value: ir.Value) -> bool:
    """Replace the output of ``node`` by ``value``, which is equal."""
    if node.outputs[0] in graph.outputs:
        return False
    ir.convenience.replace_all_uses_with(node.outputs[0], value)
    return True


def _drop_identity(graph: ir.Graph, node: ir.Node) -> bool:
    value = node.inputs[0] if node.op_type == "Identity" else None
    return value is not None and _bypass(graph, node, value)


def _drop_empty_inputs(graph: ir.Graph, node: ir.Node) -> bool:
    """A clip of one frame has no frames before its last: Concat with an empty tensor."""
    if node.op_type != "Concat":
        return False
    axis = node.attributes["axis"].as_int()
    kept = [value for value in node.inputs if (shape := _shape(value)) is None or shape[axis] != 0]
    if len(kept) == 1 and kept[0] is not None:
        return _bypass(graph, node, kept[0])
    return False


def _drop_whole_slice(graph: ir.Graph, node: ir.Node) -> bool:
    """A Slice that leaves nothing out, as its shape shows."""
    if node.op_type != "Slice" or len(node.inputs) != 5:
        return False
    steps = ir.convenience.get_const_tensor(node.inputs[4]) if node.inputs[4] is not None else None
    before, after = _shape(node.inputs[0]), _shape(node.outputs[0])
    axes = ir.convenience.get_const_tensor(node.inputs[3]) if node.inputs[3] is not None else None
    if steps is None or axes is None or before is None or after is None or (steps.numpy() != 1).any():
        return False
    if any(before[axis] is None or before[axis] != after[axis] for axis in axes.numpy().tolist()):
        return False
    assert node.inputs[0] is not None
    return _bypass(graph, node, node.inputs[0])


def _fix_shape(graph: ir.Graph, node: ir.Node) -> bool:
    """A Reshape, Squeeze or Unsqueeze of which only the first size is free, as a Reshape to a constant one."""
    if node.op_type not in ("Reshape", "Squeeze", "Unsqueeze", "Flatten"):
        return False
    before, after = _shape(node.inputs[0]), _shape(node.outputs[0])
    if before is None or after is None or not after or after[0] is not None or None in after[1:]:
        return False
    if None in before[1:] or before[0] is not None or 0 in after:
        return False
    value = node.inputs[0]
    assert value is not None
    while (  # of several in a row only the last one counts
        (maker := value.producer()) is not None
        and maker.op_type in ("Reshape", "Squeeze", "Unsqueeze", "Flatten")
        and (shape := _shape(maker.inputs[0])) is not None
        and shape[:1] == [None]
        and None not in shape[1:]
        and maker.inputs[0] is not None
    ):
        value = maker.inputs[0]
    if _shape(value) == after:
        return _bypass(graph, node, value)
    wanted = np.array([-1, *after[1:]], np.int64)
    if node.op_type == "Reshape" and value is node.inputs[0] and node.inputs[1] is not None:
        known = ir.convenience.get_const_tensor(node.inputs[1])
        if known is not None and known.numpy().tolist() == wanted.tolist():
            return False
    made = ir.node("Reshape", inputs=[value, _constant(graph, node, wanted)])
    graph.insert_before(node, made)
    made.outputs[0].shape, made.outputs[0].type = node.outputs[0].shape, node.outputs[0].type
    return _bypass(graph, node, made.outputs[0])


def _keep_constant_scalar(graph: ir.Graph, node: ir.Node) -> bool:
    """Where(condition, Expand(0), x) broadcasts to x's shape anyway."""
    if node.op_type != "Where":
        return False
    for place, other in ((1, 2), (2, 1)):
        value, wide = node.inputs[place], node.inputs[other]
        maker = None if value is None else value.producer()
        if maker is None or maker.op_type != "Expand" or maker.inputs[0] is None:
            continue
        constant = ir.convenience.get_const_tensor(maker.inputs[0])
        if constant is not None and constant.size == 1 and _shape(wide) == _shape(node.outputs[0]):
            scalar = np.asarray(constant.numpy()).reshape(())
            node.replace_input_with(place, _constant(graph, node, scalar))
            return True
    return False


def _gather_single(graph: ir.Graph, node: ir.Node) -> bool:
    """Gather from an axis of size one, with a scalar index, only removes the axis."""
    if node.op_type != "Gather" or node.inputs[1] is None:
        return False
    index = ir.convenience.get_const_tensor(node.inputs[1])
    axis = node.attributes["axis"].as_int() if "axis" in node.attributes else 0
    before, after = _shape(node.inputs[0]), _shape(node.outputs[0])
    if index is None or index.size != 1 or len(index.shape) or before is None or after is None:
        return False
    if axis < 1 or before[axis] != 1 or None in after[1:] or node.outputs[0] in graph.outputs:
        return False
    wanted = _constant(graph, node, np.array([-1, *after[1:]], np.int64))
    made = ir.node("Reshape", inputs=[node.inputs[0], wanted])
    graph.insert_before(node, made)
    made.outputs[0].shape, made.outputs[0].type = node.outputs[0].shape, node.outputs[0].type
    return _bypass(graph, node, made.outputs[0])


def _mean_by_product(graph: ir.Graph, node: ir.Node) -> bool:
    """The mean over channels, which lie far apart in memory, as a product with a row."""
    if node.op_type != "ReduceMean" or len(node.inputs) != 2 or node.inputs[1] is None:
        return False
    axes = ir.convenience.get_const_tensor(node.inputs[1])
    before, after = _shape(node.inputs[0]), _shape(node.outputs[0])
    if axes is None or axes.size != 1 or before is None or after is None or len(before) != len(after):
        return False
    axis = int(axes.numpy().reshape(())) % len(before)
    sizes = [size for size in before[1:] if size is not None]
    if (
        axis < 1
        or axis >= len(before) - 1
        or len(sizes) < len(before) - 1
        or math.prod(sizes[: axis - 1]) != 1
    ):
        return False
    channels, rest = sizes[axis - 1], math.prod(sizes[axis:])
    row = _constant(graph, node, np.full((1, channels), 1.0 / channels, np.float32))
    flat = ir.node(
        "Reshape", inputs=[node.inputs[0], _constant(graph, node, np.array([-1, channels, rest], np.int64))]
    )
    product = ir.node("MatMul", inputs=[row, flat.outputs[0]])
    shape = _constant(graph, node, np.array([-1, *after[1:]], np.int64))
    made = ir.node("Reshape", inputs=[product.outputs[0], shape])
    graph.insert_before(node, [flat, product, made])
    made.outputs[0].shape, made.outputs[0].type = node.outputs[0].shape, node.outputs[0].type
    return _bypass(graph, node, made.outputs[0])


_RULES: tuple[Callable[[ir.Graph, ir.Node], bool], ...] = (
    _drop_identity,
    _drop_empty_inputs,
    _drop_whole_slice,
    _fix_shape,
    _keep_constant_scalar,
    _gather_single,
    _mean_by_product,
)

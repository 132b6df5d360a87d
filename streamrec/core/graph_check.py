"""Checking the ONNX graph of a model file before a runtime loads it: the file may come from an untrusted source.

A graph is a program. ``Loop`` may never end, ``If`` and ``Scan`` contain graphs of their own, external data reads other
files, and custom operators run the code of a library: streamrec exports none of these. The few fields that matter are
read from the protobuf itself, in less time than the import of a library for it takes.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from streamrec.core.messages import shortened
from streamrec.core.protobuf import fields, message_of, text_of
from streamrec.errors import ModelError

MOST_NODES = 50_000
# Operators of ONNX whose time and memory follow from shapes: no control flow, sequences, random numbers, strings or
# decoders.
_NAMES = (
    "Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization BitShift BitwiseAnd "
    "BitwiseNot BitwiseOr BitwiseXor Cast CastLike Ceil Celu CenterCropPad Clip Col2Im Compress Concat Constant "
    "ConstantOfShape Conv ConvInteger ConvTranspose Cos Cosh CumSum DeformConv DepthToSpace DequantizeLinear Det "
    "Div Dropout DynamicQuantizeLinear Einsum Elu Equal Erf Exp Expand EyeLike Flatten Floor GRU Gather "
    "GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool Greater GreaterOrEqual "
    "GridSample GroupNormalization HammingWindow HannWindow HardSigmoid HardSwish Hardmax Identity "
    "InstanceNormalization IsInf IsNaN LRN LSTM LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax "
    "LpNormalization LpPool MatMul MatMulInteger Max MaxPool MaxUnpool Mean MeanVarianceNormalization Min Mish Mod "
    "Mul Neg NonZero Not OneHot Or PRelu Pad Pow QLinearConv QLinearMatMul QuantizeLinear RMSNormalization RNN "
    "Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd "
    "ReduceSum ReduceSumSquare Relu Reshape Resize ReverseSequence RoiAlign Round ScatterElements ScatterND Selu "
    "Shape Shrink Sigmoid Sign Sin Sinh Size Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub "
    "Sum Swish Tan Tanh ThresholdedRelu Tile TopK Transpose Trilu Unsqueeze Where Xor "
)
OPERATORS = frozenset(_NAMES.split())
_OWN = ("", "ai.onnx")  # the domain of ONNX's own operators


@dataclass(slots=True)
class GraphFacts:
    """Facts about a graph."""

    metadata: dict[str, str] = field(default_factory=dict)
    nodes: int = 0
    external: set[str] = field(default_factory=set)  # initializers whose data is in another file


def check_graph(data: bytes, name: str, referred: Collection[str] = ()) -> GraphFacts:
    """Raise ``ModelError`` for a graph that may not run; ``referred``: the weights that may be outside of it."""
    facts = _facts(data, name)
    if outside := sorted(facts.external - set(referred)):
        raise ModelError(f"{name}: its graph reads {shortened(outside[0])} from elsewhere, which it may not")
    return facts


def weights_outside(data: bytes, name: str) -> set[str]:
    """The weights that a graph of our own reads from elsewhere; raises ``ModelError`` for one that may not run."""
    return _facts(data, name).external


def _facts(data: bytes, name: str) -> GraphFacts:
    facts = GraphFacts()
    try:
        for number, value in fields(memoryview(data)):
            if number == 7:
                _graph(message_of(value), facts, name)
            elif number == 14:
                pair = dict(fields(message_of(value)))
                facts.metadata[text_of(pair[1])] = text_of(pair[2])
            elif number == 25:
                raise ModelError(f"{name}: its graph brings functions of its own; export the model again")
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ModelError(f"{name}: its graph is damaged") from error
    if not facts.nodes:
        raise ModelError(f"{name}: its graph is damaged")
    return facts


def _graph(graph: memoryview, facts: GraphFacts, name: str) -> None:
    for number, value in fields(graph):
        if number == 1:
            _node(message_of(value), facts, name)
        elif number == 5:
            _tensor(message_of(value), facts, name)
        elif number == 15:
            raise ModelError(f"{name}: its graph holds sparse weights, which are not read here")


def _node(node: memoryview, facts: GraphFacts, name: str) -> None:
    kind = domain = ""
    attributes = []
    for number, value in fields(node):
        if number == 4:
            kind = text_of(value)
        elif number == 7:
            domain = text_of(value)
        elif number == 5:
            attributes.append(message_of(value))
        elif number in (1, 2, 3):
            text_of(value)  # invalid names would break the runtime
    facts.nodes += 1
    if facts.nodes > MOST_NODES:
        raise ModelError(f"{name}: its graph has more than {MOST_NODES:,} operations")
    if domain not in _OWN or kind not in OPERATORS:
        called = f"{domain}:{kind}" if domain else kind
        raise ModelError(
            f"{name}: its graph holds the operation {shortened(called)}, which models here have not; "
            "leave it out of the model, and write the file again"
        )
    for attribute in attributes:
        for number, value in fields(attribute):
            if number in (6, 11):
                raise ModelError(f"{name}: its graph holds another graph, which models here have not")
            if number in (5, 10):
                _tensor(message_of(value), facts, name, inside=True)


def _tensor(tensor: memoryview, facts: GraphFacts, name: str, *, inside: bool = False) -> None:
    called, outside = "", False
    for number, value in fields(tensor):
        if number == 8:
            called = text_of(value)
        elif number == 14:
            outside |= value == 1
        elif number == 13:
            outside = True
    if outside and inside:
        raise ModelError(f"{name}: its graph reads a constant from elsewhere, which it may not")
    if outside:
        facts.external.add(called)

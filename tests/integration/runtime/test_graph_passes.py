"""A graph that is exported calculates what torch does, and little else."""

from __future__ import annotations

import onnx
import onnxruntime
import pytest

from streamrec.runtime.checkpoint import load_model
from streamrec.runtime.export import export_onnx, step_graph


@pytest.fixture(scope="module")
def fight():
    return load_model("fight")


def test_an_exported_step_has_no_bookkeeping_and_refers_to_the_weights(fight):
    data, names = step_graph(fight)
    graph = onnx.load_model_from_string(data).graph
    weights = fight.state_dict()
    assert set(names) == set(weights) - {name for name in weights if name.endswith("num_batches_tracked")}
    kinds = [node.op_type for node in graph.node]
    assert not {"Constant", "CastLike", "Expand", "Identity"} & set(kinds)
    assert len(kinds) < 250


def test_batch_norms_are_folded_when_an_exported_model_is_loaded(fight, tmp_path):
    export_onnx(fight, tmp_path / "fight.onnx")
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "loaded.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(tmp_path / "fight.onnx"), options, providers=["CPUExecutionProvider"])
    nodes = onnx.load(tmp_path / "loaded.onnx").graph.node
    # One is left: it follows a linear layer, and costs a few numbers.
    assert sum(node.op_type == "BatchNormalization" for node in nodes) <= 1
    assert len(nodes) < 200

"""A graph that is exported calculates what torch does, and little else."""

from __future__ import annotations

from dataclasses import replace

import onnx
import onnxruntime
import pytest
import torch

from streamrec import ActionModel
from streamrec.runtime import export
from streamrec.runtime.checkpoint import load_model
from streamrec.runtime.export import _traced as export_itself  # as it is while tests are collected
from streamrec.runtime.export import export_onnx, step_graph
from tests.helpers.graphs import kept_graphs, key_of


@pytest.fixture(scope="module")
def motion(tiny_file):
    return load_model(tiny_file)


def test_an_exported_step_has_no_bookkeeping_and_refers_to_the_weights(motion):
    data, names = step_graph(motion)
    graph = onnx.load_model_from_string(data).graph
    weights = motion.state_dict()
    assert set(names) == set(weights) - {name for name in weights if name.endswith("num_batches_tracked")}
    kinds = [node.op_type for node in graph.node]
    assert not {"Constant", "CastLike", "Expand", "Identity"} & set(kinds)
    assert len(kinds) < 250


def test_batch_norms_are_folded_when_an_exported_model_is_loaded(motion, tmp_path):
    export_onnx(motion, tmp_path / "motion.onnx")
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "loaded.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(tmp_path / "motion.onnx"), options, providers=["CPUExecutionProvider"])
    nodes = onnx.load(tmp_path / "loaded.onnx").graph.node
    # One is left: it follows a linear layer, and costs a few numbers.
    assert sum(node.op_type == "BatchNormalization" for node in nodes) <= 1
    assert len(nodes) < 200


def test_a_graph_that_the_tests_keep_is_what_an_export_gives(tiny_config, tmp_path):
    """Of two models of one architecture: the second is not exported, and its labels and weights are its own."""
    torch.manual_seed(1)
    cropped = replace(tiny_config.transform, fit="crop")
    other = replace(tiny_config, labels=("d", "e"), dropout=0.5, learned=("clips",), transform=cropped)
    first, second = ActionModel(tiny_config).eval(), ActionModel(other).eval()
    exports = []
    each = kept_graphs(lambda model: exports.append(model) or export._traced(model), tmp_path)
    each(first)
    kept = each(second)
    assert exports == [first]
    assert kept.SerializeToString() == export_itself(second).SerializeToString()


def test_a_graph_that_the_tests_keep_is_not_that_of_another_architecture(tiny_config):
    others = [
        {"hidden_size": 8},
        {"head": "gru"},
        {"max_gap": 2.0},
        {"counted": ("wave",)},
        {"transform": replace(tiny_config.transform, height=48)},
    ]
    keys = {key_of(ActionModel(replace(tiny_config, **other))) for other in [{}, *others]}
    assert len(keys) == len(others) + 1
    counting = [
        replace(tiny_config, labels=labels, counted=("a",)) for labels in (("a", "b"), ("a", "b", "c"))
    ]
    assert len({key_of(ActionModel(config)) for config in counting}) == 2

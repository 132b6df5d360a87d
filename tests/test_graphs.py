"""A graph that is exported calculates what torch does, and little else."""

from __future__ import annotations

import onnx
import onnxruntime
import pytest
import torch

from streamrec import graphs
from streamrec.checkpoint import load_model
from streamrec.encoders import flow, motion
from streamrec.export import export_onnx, step_graph


def pictures(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A pattern and the same a pixel further, gray from 0 to 1."""
    y, x = torch.meshgrid(torch.arange(float(height)), torch.arange(float(width)), indexing="ij")
    first, second = (
        0.5 + 0.4 * torch.sin(0.6 * (x - d)) * torch.sin(0.5 * (y - 0.5 * d)) for d in (0.0, 1.0)
    )
    return first.expand(2, 1, -1, -1), second.expand(2, 1, -1, -1)


@pytest.mark.parametrize(("pool", "window"), [(1, 5), (2, 3), (1, 3), (2, 5)])
@pytest.mark.parametrize("size", [(16, 20), (64, 80), (30, 42)])
def test_flow_by_products_is_the_same_flow(size, pool, window):
    before, now = pictures(*size)
    expected = flow.lucas_kanade(before, now, pool=pool, window=window)
    found = graphs.lucas_kanade(before, now, pool=pool, window=window)
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= 2e-4
    assert expected.abs().max() > 0.5


def test_flow_is_described_in_the_same_order():
    torch.manual_seed(0)
    parts = torch.randn(2, 6, 8, 10), torch.randn(2, 6, 8, 10), torch.randn(2, 1, 16, 20)
    assert torch.allclose(graphs.described(*parts), motion._described(*parts), atol=1e-6)


def test_only_while_a_model_is_traced_flow_is_by_products():
    eager = motion.lucas_kanade, motion._described
    with graphs.flow_for_graphs():
        assert motion.lucas_kanade is graphs.lucas_kanade
    assert (motion.lucas_kanade, motion._described) == eager


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

"""One .onnx file that holds all of a model: it is made of the step graph in a model file without torch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from streamrec.core.files import replacing
from streamrec.core.messages import why
from streamrec.core.text import printable
from streamrec.errors import ModelError, need
from streamrec.nn.config import FORMAT, ModelConfig

if TYPE_CHECKING:
    import onnx


def export_graph(
    graph: bytes | None,
    weights: Mapping[str, np.ndarray],
    referred: Sequence[str],
    config: ModelConfig,
    path: str | Path,
) -> None:
    """Write the step graph of a model file with the weights that it refers to; raises ``ModelError``."""
    need("onnx", extra="train")
    import onnx
    from onnx.numpy_helper import from_array

    if graph is None:
        raise ModelError("this model has no step graph, so that it cannot be written as .onnx")
    whole = onnx.load_from_string(graph)
    for initializer in whole.graph.initializer:
        if initializer.name in referred:
            value = weights[initializer.name]
            if tuple(initializer.dims) != value.shape:
                raise ModelError(
                    f"the weight {printable(initializer.name)} has the shape {value.shape}, and the step graph "
                    f"of its model has {tuple(initializer.dims)}: the model file is damaged"
                )
            initializer.CopyFrom(from_array(np.ascontiguousarray(value), initializer.name))
    write_graph(whole, config, path)


def write_graph(graph: onnx.ModelProto, config: ModelConfig, path: str | Path) -> None:
    """Write a graph with all weights, and the settings of its model as metadata; raises ``ModelError``."""
    graph.metadata_props.add(key="format", value=f"streamrec {FORMAT}")
    graph.metadata_props.add(key="config", value=json.dumps(config.to_dict()))
    try:
        with replacing(Path(path)) as file:
            file.write(graph.SerializeToString())
    except OSError as error:
        raise ModelError(f"the model could not be written to {path}: {why(error)}") from error

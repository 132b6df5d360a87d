"""Step graphs are exported once, not in every test and every run.

The export of even a tiny model takes seconds, and the graph depends on its architecture, not on its weights, nor on the
number of its labels, but in shapes. A graph is kept without its weights in pytest's cache, which all workers share, as
long as neither the code that makes graphs nor torch changes (``version``), and is filled with those of the model that
asks for it. Of several workers that need the same graph at the same time one exports it, and the others wait.
``site/sitecustomize.py`` does the same in processes that tests start. ``test_graph_passes.py`` shows that such a graph
is the one that an export gives.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import hashlib
import json
import os
import platform
import re
from collections.abc import Callable, Iterator
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

FOLDER = "STREAMREC_TEST_GRAPHS"  # the variable that names the folder to processes that tests start
SITE = Path(__file__).parent / "site"
PACKAGE = Path(__file__).parents[2] / "streamrec"
LIBRARIES = ("torch", "torchvision", "timm", "streamrec")  # a class of theirs is known by its name
NOT_IN_THE_GRAPH = ("labels", "counted", "counting", "events", "known", "about", "learned", "dropout")
PLAIN_HEADS = ("lstm", "gru", "attention", "statistics")  # only their last layer knows the number of labels


def kept_graphs(export: Callable[[Any], Any], folder: Path) -> Callable[[Any], Any]:
    """The export of a model to an ONNX graph, with a memory in ``folder``."""
    import onnx
    from onnx.numpy_helper import from_array

    def exported(model: Any) -> Any:
        if any(type(part).__module__.partition(".")[0] not in LIBRARIES for part in model.modules()):
            return export(model)  # of a class of the tests only an export tells what it calculates
        path = folder / f"{key_of(model)}.onnx"
        folder.mkdir(parents=True, exist_ok=True)  # a run of other code may have cleared it
        with path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # let go when it is closed
            if not path.exists():
                with without_garbage_collection():
                    graph = export(model)
                _keep(graph, set(model.state_dict()), path)
                return graph
        graph = onnx.ModelProto.FromString(path.read_bytes())
        weights = {name: value.detach().cpu().numpy() for name, value in model.state_dict().items()}
        for initializer in graph.graph.initializer:
            if initializer.name in weights:
                initializer.CopyFrom(from_array(weights[initializer.name], initializer.name))
        scores = graph.graph.output[0].type.tensor_type.shape.dim[1]
        scores.dim_value = len(model.config.labels)
        return graph

    return exported


@contextlib.contextmanager
def without_garbage_collection() -> Iterator[None]:
    """An export makes millions of objects: to look for circles among them takes a fifth of its time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _keep(graph: Any, weights: set[str], path: Path) -> None:
    """Write a graph without the weights of these names."""
    bare = type(graph).FromString(graph.SerializeToString())
    for initializer in bare.graph.initializer:
        if initializer.name in weights:
            initializer.ClearField("raw_data")
    part = path.with_suffix(f".{os.getpid()}.part")
    part.write_bytes(bare.SerializeToString())
    part.replace(path)


def version() -> str:
    """What all graphs depend on: the network's code, that of the export, and the libraries."""
    sources = sorted([*(PACKAGE / "nn").rglob("*.py"), *(PACKAGE / "runtime").glob("*.py"), Path(__file__)])
    libraries = [
        f"{name} {version_of(name)}" for name in ("torch", "torchvision", "timm", "onnx", "onnxscript")
    ]
    digest = hashlib.sha256(f"{platform.python_version()} {libraries}".encode())
    for path in sources:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def key_of(model: Any) -> str:
    """What the graph of a model depends on."""
    config = {name: value for name, value in model.config.to_dict().items() if name not in NOT_IN_THE_GRAPH}
    config["transform"].pop("fit", None)
    counted, layers = bool(model.config.counted), re.sub(r"(dropout=|Dropout\(p=)[\d.]+", "", repr(model))
    shapes = {name: (*value.shape, str(value.device)) for name, value in model.state_dict().items()}
    labels: int | None = len(model.config.labels)
    if not counted and model.config.head in PLAIN_HEADS and "head.classifier.bias" in shapes:
        labels = None
        for name in ("head.classifier.weight", "head.classifier.bias"):
            shapes[name] = shapes[name][1:]
        layers = re.sub(r"(\(classifier\): Linear\(.*out_features=)\d+", r"\1", layers)
    described = f"{json.dumps(config)} {labels} {counted} {shapes} {layers}"
    return hashlib.sha256(described.encode()).hexdigest()[:32]


def in_children(folder: Path) -> dict[str, str]:
    """What the environment needs so that the processes which tests start use these graphs too."""
    path = os.pathsep.join(filter(None, (str(SITE), os.environ.get("PYTHONPATH"))))
    return {FOLDER: str(folder), "PYTHONPATH": path}

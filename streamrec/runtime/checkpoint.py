"""Model files: weights, labels, transform, frame rate and step graph in one safetensors file. No pickle.

The kernels of a frozen backbone are stored in half precision and read as float32.

Nothing here imports torch until a torch model is asked for.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from streamrec.core.arguments import path_to_write
from streamrec.core.files import replacing
from streamrec.core.graph_check import check_graph
from streamrec.core.messages import explain_errors, shortened, why
from streamrec.core.model_names import is_anomaly
from streamrec.core.reading import path_of, read_json
from streamrec.core.redact import redact
from streamrec.core.text import printable
from streamrec.errors import ModelError, StreamrecError, need
from streamrec.nn.config import FORMAT, ModelConfig

if TYPE_CHECKING:
    from streamrec.nn.model import CNNLSTM, ActionModel

BACKBONE = "encoder.trunk."  # the names of a frozen backbone's weights begin so: most of a file, and not trained here
GRAPH = "step.onnx"  # the name of the graph's bytes among the weights
_MOST_BYTES = 8_000_000_000  # of a model file
_MOST_HEADER = 32_000_000  # bytes before its weights
_READ = ("F16", "F32", "F64", "I64", "I32", "U8", "I8", "BOOL")  # types of weights that are read
SHIPPED = Path(__file__).parent / "models"


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """The contents of a model file."""

    name: str
    config: ModelConfig
    weights: dict[str, np.ndarray]
    graph: bytes | None  # ONNX without weights; None where the encoder could not be exported
    referred: tuple[str, ...] = ()  # the names of the weights that the graph refers to


def shipped_models() -> list[str]:
    """The names of the models that come with streamrec."""
    return sorted(path.stem for path in SHIPPED.glob("*.safetensors"))


def find_model(name_or_path: str | Path) -> Path:
    """The file that a shipped model's name or a path means; raises ``ModelError``."""
    if not isinstance(name_or_path, str | Path):
        raise ModelError(f"a model is named, or its file's path is given, not {type(name_or_path).__name__}")
    try:
        path = path_of(str(name_or_path))
        if path.is_file():
            return path
        shipped = SHIPPED / f"{name_or_path}.safetensors"
        if os.sep not in str(name_or_path) and shipped.is_file():
            return shipped
        if path.is_dir() and path.name:
            raise ModelError(f"{printable(str(path))} is a folder; a model is a .safetensors or .onnx file")
    except (OSError, ValueError) as error:  # a name that is too long
        raise ModelError(f"there is no model {shortened(str(name_or_path))}: {why(error)}") from error
    except ModelError:
        raise
    except StreamrecError as error:
        raise ModelError(f"there is no model {error}") from error
    if is_anomaly(name_or_path):
        raise ModelError(
            "anomaly has no file: run and watch take it for a stream of readings, and open_models in Python"
        )
    raise ModelError(
        f"there is no model {shortened(str(name_or_path))}; the shipped ones are {', '.join(shipped_models())}, "
        "or give the path of a .safetensors or .onnx file"
    )


def model_file(name_or_path: str | Path) -> Path | None:
    """The file of a model; None where there is none: the error is raised where the file is read."""
    with suppress(ModelError, OSError, ValueError):
        return find_model(name_or_path)
    return None


def save_model(path: str | Path, model: ActionModel | CNNLSTM) -> None:
    """Write a model to one safetensors file, whole or not at all; raises ``ModelError``.

    Of a ``CNNLSTM`` the file does not hold the class of its CNN, but the graph of a step: it runs without it.
    """
    path = _model_path(path)
    write_checkpoint(path, checkpoint_of(model, path.stem))


def _model_path(path: str | Path) -> Path:
    path = path_to_write(path, "a model", error=ModelError)
    if path.suffix != ".safetensors":
        raise ModelError(f"{printable(redact(str(path)))}: a model file ends in .safetensors")
    return path


def write_checkpoint(path: str | Path, checkpoint: Checkpoint) -> None:
    """Write what a model file holds, whole or not at all; raises ``ModelError``. Needs no torch."""
    path = _model_path(path)
    tensors = {
        name: np.require(value.astype(np.float16) if _is_halved(name, value) else value, requirements="C")
        for name, value in checkpoint.weights.items()
    }
    metadata = {"format": f"streamrec {FORMAT}", "config": json.dumps(checkpoint.config.to_dict())}
    if checkpoint.graph is not None:
        tensors[GRAPH] = np.frombuffer(checkpoint.graph, np.uint8)
        metadata["referred"] = json.dumps(checkpoint.referred)
    _write(path, tensors, metadata)


def export_checkpoint(checkpoint: Checkpoint, path: str | Path) -> None:
    """Write what a model file holds as one .onnx file: the step graph that it has; raises ``ModelError``."""
    from streamrec.runtime.exported_file import export_graph

    if Path(path).suffix != ".onnx":
        raise ModelError(f"{printable(str(path))}: an exported graph ends in .onnx")
    if checkpoint.graph is None and not checkpoint.config.is_own:
        from streamrec.runtime.export import export_onnx

        export_onnx(build_model(checkpoint), path)  # or the reason why it cannot be
    else:  # of an own one only its author has the class
        export_graph(checkpoint.graph, checkpoint.weights, checkpoint.referred, checkpoint.config, path)


def checkpoint_of(model: ActionModel | CNNLSTM, name: str = "") -> Checkpoint:
    """What a model file of this model would hold; a ``CNNLSTM`` whose step has no graph raises ``ModelError``."""
    from streamrec.nn.model import action_model_of
    from streamrec.runtime.export import step_graph, weights_of

    whole = action_model_of(model)
    graph: bytes | None = None
    referred: list[str] = []
    try:
        graph, referred = step_graph(whole)
    except ModelError:
        if whole.config.is_own:  # without a graph it could not be run from a file
            raise
    if graph is not None and whole.config.is_own:  # rather than that its file is refused
        check_graph(graph, "this CNN cannot be run from a file", referred)
    return Checkpoint(name, whole.config, weights_of(whole), graph, tuple(referred))


def _write(path: str | Path, tensors: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            file.write(save(tensors, metadata))
    except OSError as error:
        raise ModelError(f"the model could not be written to {printable(str(path))}: {why(error)}") from error


def save_with(name_or_path: str | Path, path: str | Path, **changes: Any) -> None:
    """Write a model again with changes to its config; all else stays as it is, to the bit. Needs no torch.

    For fields that do not change the network: ``events`` and ``known``.
    """
    before = find_model(name_or_path)
    config = replace(read_checkpoint(before).config, **changes)
    with safe_open(before, framework="numpy") as file:
        metadata = dict(file.metadata())
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    _write(path, tensors, {**metadata, "config": json.dumps(config.to_dict())})


def _is_halved(name: str, value: np.ndarray) -> bool:
    """Whether a weight is stored in half precision: the kernels of a frozen backbone, not its norms."""
    return name.startswith(BACKBONE) and value.ndim > 1 and value.dtype == np.float32


def read_checkpoint(name_or_path: str | Path) -> Checkpoint:
    """Read a .safetensors model as numpy arrays; raises ``ModelError`` for any other file."""
    path = find_model(name_or_path)
    if path.suffix != ".safetensors":
        raise ModelError(
            f"{printable(str(path))}: a model is a .safetensors or .onnx file; pickles (.pt, .pth) are never loaded"
        )
    with explain_errors(path, ModelError):
        metadata = read_header(path)
        config = parse_config(path, metadata.get("format"), metadata.get("config"))
        try:
            with safe_open(path, framework="numpy") as file:
                weights = {name: _whole(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118 (not a dict)
        except (SafetensorError, OSError, TypeError) as error:  # TypeError: a type that numpy does not have
            raise _damaged(path) from error
        graph = weights.pop(GRAPH, None)
        if graph is not None and graph.dtype != np.uint8:
            raise ModelError(f"{printable(str(path))}: its graph is damaged")
        for name, value in weights.items():
            if value.dtype.kind == "f" and not np.isfinite(value).all():
                raise ModelError(
                    f"{printable(str(path))}: its weight {shortened(name)} holds what is no number"
                )
        return Checkpoint(
            name=path.stem,
            config=config,
            weights=weights,
            graph=None if graph is None else graph.tobytes(),
            referred=_referred(path, metadata.get("referred", "[]"), weights),
        )


def read_config(name_or_path: str | Path, *, graph_metadata: Callable[[Path], dict[str, str]]) -> ModelConfig:
    """The config of a model alone, of either kind of file, without its weights; raises ``ModelError``.

    ``graph_metadata``: reads the metadata of a .onnx file, which another module does.
    """
    path = find_model(name_or_path)
    with explain_errors(path, ModelError):
        metadata = graph_metadata(path) if path.suffix == ".onnx" else read_header(path)
        return parse_config(path, metadata.get("format"), metadata.get("config"))


def read_header(path: Path) -> dict[str, str]:
    """The metadata of a safetensors file, whose header must be whole; raises ``ModelError``."""
    try:
        size = path.stat().st_size
        if size > _MOST_BYTES:
            raise ModelError(
                f"{printable(str(path))} is of {size / 1e9:.0f} GB; a model has {_MOST_BYTES / 1e9:.0f} at most"
            )
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(_MOST_HEADER, size - 8):
                raise _damaged(path)
            header = read_json(file.read(length))
    except OSError as error:
        raise ModelError(f"the model {printable(str(path))} cannot be read: {why(error)}") from error
    except ValueError as error:
        raise _damaged(path) from error
    if not isinstance(header, dict):
        raise _damaged(path)
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise _damaged(path)
    for name, tensor in header.items():
        kind = tensor.get("dtype") if isinstance(tensor, dict) else None
        if kind not in _READ:
            raise ModelError(
                f"{printable(str(path))}: its weight {shortened(name)} is of a type that is not read here: "
                f"{shortened(kind)}"
            )
    return metadata


def _damaged(path: Path) -> ModelError:
    return ModelError(f"{printable(str(path))} is not a safetensors file of this program, or it is cut off")


def _referred(path: Path, text: str, weights: dict[str, np.ndarray]) -> tuple[str, ...]:
    """The weights that the graph refers to, of which each must be there."""
    try:
        names = read_json(text)
    except ValueError as error:
        raise ModelError(
            f"{printable(str(path))}: the list of its graph's weights is damaged: {error}"
        ) from error
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ModelError(f"{printable(str(path))}: the list of its graph's weights is damaged")
    for name in names:
        if name not in weights:
            raise ModelError(
                f"{printable(str(path))}: the weight {shortened(name)} is missing, which its graph refers to; "
                "the file is damaged"
            )
    return tuple(names)


def _whole(value: np.ndarray) -> np.ndarray:
    return value.astype(np.float32) if value.dtype == np.float16 else value


def parse_config(path: Path, written_as: str | None, config: str | None) -> ModelConfig:
    """The config in a model file's metadata; raises ``ModelError``."""
    if config is None or written_as is None or not written_as.startswith("streamrec "):
        raise ModelError(
            f"{printable(str(path))} holds weights but no streamrec model: it has no labels and no config"
        )
    version = written_as.removeprefix("streamrec ")
    if version != str(FORMAT):
        is_older = version.isdecimal() and int(version) < FORMAT
        raise ModelError(
            f"{printable(str(path))} is of format {version}, this streamrec reads {FORMAT}: "
            + ("train the model again" if is_older else "install a newer one")
        )
    try:
        config_of = ModelConfig.from_dict(read_json(config))
        if not config_of.labels:
            raise ModelError("it has no labels")
        return config_of
    except (StreamrecError, KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        reason = printable(str(error))[:300]
        raise ModelError(f"{printable(str(path))}: its config is damaged ({reason})") from error


def load_model(name_or_path: str | Path) -> ActionModel:
    """The torch model of a file, in eval mode."""
    return build_model(read_checkpoint(name_or_path))


def build_model(checkpoint: Checkpoint) -> ActionModel:
    """The torch model of a checkpoint that was read, in eval mode; raises ``ModelError`` if it does not fit."""
    need("torch", extra="train")
    import torch

    from streamrec.nn.model import ActionModel

    model = ActionModel(checkpoint.config)
    try:
        model.load_state_dict({name: torch.from_numpy(np.array(w)) for name, w in checkpoint.weights.items()})
    except (RuntimeError, TypeError) as error:
        raise ModelError(
            f"the weights of {printable(checkpoint.name)} do not fit its config: {error}"
        ) from error
    return model.eval()

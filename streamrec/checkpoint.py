"""One file is a whole model: weights, labels, transform, rhythm and step graph, in safetensors. No pickle.

The kernels of a trunk that rests are stored in half precision and read as float32.

Nothing here imports torch until a torch model is asked for.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from streamrec.config import FORMAT, ModelConfig
from streamrec.core.given import described
from streamrec.errors import ModelError

if TYPE_CHECKING:
    from streamrec.model import CNNLSTM, ActionModel

TRUNK = "encoder.trunk."  # so begin the weights of a trunk that rests: most of a file, and none of it learned here
GRAPH = "step.onnx"  # the name under which the graph's bytes lie among the weights
SHIPPED = Path(__file__).parent / "models"


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """What a model file holds."""

    name: str
    config: ModelConfig
    weights: dict[str, np.ndarray]
    graph: bytes | None  # ONNX without weights; None where the encoder could not be exported
    referred: tuple[str, ...] = ()  # the weights that the graph refers to


def shipped_models() -> list[str]:
    """The names of the models that come with streamrec."""
    return sorted(path.stem for path in SHIPPED.glob("*.safetensors"))


def find_model(name_or_path: str | Path) -> Path:
    """The file that a shipped model's name or a path means; raises ``ModelError``."""
    if not isinstance(name_or_path, str | Path):
        raise ModelError(f"a model is named, or its file's path is given, not {type(name_or_path).__name__}")
    path = Path(name_or_path)
    with suppress(
        OSError, RuntimeError, ValueError
    ):  # a user that is not there, a name too long, a zero in it
        path = path.expanduser()
        if path.is_file():
            return path
        if path.is_dir() and path.name:
            raise ModelError(f"{path} is a folder; a model is a .safetensors or .onnx file")
    shipped = SHIPPED / f"{name_or_path}.safetensors"
    with suppress(OSError, ValueError):
        if os.sep not in str(name_or_path) and shipped.is_file():
            return shipped
    raise ModelError(
        f"there is no model {described(str(name_or_path))}; the shipped ones are {', '.join(shipped_models())}, "
        "or give the path of a .safetensors or .onnx file"
    )


def save_model(path: str | Path, model: ActionModel | CNNLSTM) -> None:
    """Write a model to one safetensors file, whole or not at all; raises ``ModelError``.

    Of a ``CNNLSTM`` the file does not hold the class of its CNN, but the graph of a step: it runs without it.
    """
    if Path(path).suffix != ".safetensors":
        raise ModelError(f"{path}: a model file ends in .safetensors")
    checkpoint = checkpoint_of(model, Path(path).stem)
    tensors = {
        name: np.require(value.astype(np.float16) if _is_halved(name, value) else value, requirements="C")
        for name, value in checkpoint.weights.items()
    }
    metadata = {"format": f"streamrec {FORMAT}", "config": json.dumps(checkpoint.config.to_dict())}
    if checkpoint.graph is not None:
        tensors[GRAPH] = np.frombuffer(checkpoint.graph, np.uint8)
        metadata["referred"] = json.dumps(checkpoint.referred)
    _write(path, tensors, metadata)


def checkpoint_of(model: ActionModel | CNNLSTM, name: str = "") -> Checkpoint:
    """What a model file of this model would hold; a ``CNNLSTM`` whose step has no graph raises ``ModelError``."""
    from streamrec.export import step_graph, weights_of
    from streamrec.model import action_model_of

    whole = action_model_of(model)
    graph: bytes | None = None
    referred: list[str] = []
    try:
        graph, referred = step_graph(whole)
    except ModelError:
        if whole.config.is_own:  # nobody else could run it
            raise
    return Checkpoint(name, whole.config, weights_of(whole), graph, tuple(referred))


def _write(path: str | Path, tensors: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(path.name + ".part")
        unfinished.write_bytes(save(tensors, metadata))
        unfinished.replace(path)
    except OSError as error:
        raise ModelError(f"the model could not be written to {path}: {error.strerror}") from error


def save_with(name_or_path: str | Path, path: str | Path, **changes: Any) -> None:
    """Write a model again with changes to its config; all else stays as it is, to the bit. Needs no torch.

    For what the network is not asked about: ``events`` and ``known``.
    """
    before = find_model(name_or_path)
    config = replace(read_checkpoint(before).config, **changes)
    with safe_open(before, framework="numpy") as file:
        metadata = dict(file.metadata())
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    _write(path, tensors, {**metadata, "config": json.dumps(config.to_dict())})


def _is_halved(name: str, value: np.ndarray) -> bool:
    """Whether a weight is stored in half precision: the kernels of a resting trunk, not its norms."""
    return name.startswith(TRUNK) and value.ndim > 1 and value.dtype == np.float32


def read_checkpoint(name_or_path: str | Path) -> Checkpoint:
    """Read a .safetensors model as numpy arrays; raises ``ModelError`` for what is none."""
    path = find_model(name_or_path)
    if path.suffix != ".safetensors":
        raise ModelError(
            f"{path}: a model is a .safetensors or .onnx file; pickles (.pt, .pth) are never loaded"
        )
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            config = parse_config(path, metadata.get("format"), metadata.get("config"))
            weights = {name: _whole(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError, TypeError) as error:  # TypeError: a type that numpy does not have
        raise ModelError(f"{path} is not a safetensors file of this program, or it is cut off") from error
    graph = weights.pop(GRAPH, None)
    return Checkpoint(
        name=path.stem,
        config=config,
        weights=weights,
        graph=None if graph is None else graph.tobytes(),
        referred=tuple(json.loads(metadata.get("referred", "[]"))),
    )


def _whole(value: np.ndarray) -> np.ndarray:
    return value.astype(np.float32) if value.dtype == np.float16 else value


def parse_config(path: Path, written_as: str | None, config: str | None) -> ModelConfig:
    """The config that stands in a model file's metadata; raises ``ModelError``."""
    if config is None or written_as is None or not written_as.startswith("streamrec "):
        raise ModelError(f"{path} holds weights but no streamrec model: it has no labels and no config")
    version = written_as.removeprefix("streamrec ")
    if version != str(FORMAT):
        is_older = version.isdecimal() and int(version) < FORMAT
        raise ModelError(
            f"{path} is of format {version}, this streamrec reads {FORMAT}: "
            + ("train the model again" if is_older else "install a newer one")
        )
    try:
        return ModelConfig.from_dict(json.loads(config))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(f"{path}: its config is damaged ({error})") from error


def load_model(name_or_path: str | Path) -> ActionModel:
    """The torch model of a file, in eval mode."""
    return build_model(read_checkpoint(name_or_path))


def build_model(checkpoint: Checkpoint) -> ActionModel:
    """The torch model of a checkpoint that was read, in eval mode; raises ``ModelError`` if it does not fit."""
    import torch

    from streamrec.model import ActionModel

    model = ActionModel(checkpoint.config)
    try:
        model.load_state_dict({name: torch.from_numpy(np.array(w)) for name, w in checkpoint.weights.items()})
    except RuntimeError as error:
        raise ModelError(f"the weights of {checkpoint.name} do not fit its config: {error}") from error
    return model.eval()

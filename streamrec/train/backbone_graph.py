"""The person backbone by the step graph of the model file that its weights come from."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import numpy as np

from streamrec.errors import ModelError, need
from streamrec.nn.encoders import movenet
from streamrec.nn.encoders.person import PERSONS, PersonEncoder
from streamrec.nn.encoders.person_joints import NAME as PERSON_JOINTS
from streamrec.nn.encoders.person_joints import PersonJointsEncoder
from streamrec.nn.model import ActionModel
from streamrec.runtime.checkpoint import read_checkpoint

need("torch", extra="train")

import torch  # noqa: E402


def graph_of_backbone(model: ActionModel, weights: str | None) -> Callable[[np.ndarray], np.ndarray] | None:
    """(K, 3, H, W) uint8 RGB -> (K, S) float32, as ``ActionModel.backbone_features``; None: there is no such graph.

    ONNX Runtime takes less than half of the time that torch takes on a CPU. A step of a person encoder keeps the
    features of its image for the change to the next one, so that they can be read off the state.
    """
    if weights in (None, "imagenet") or not isinstance(model.encoder, PersonEncoder):
        return None
    if isinstance(model.encoder, PersonJointsEncoder):  # no state keeps all people
        return None
    checkpoint = None
    with suppress(ModelError):  # the weights of a bare backbone have no config and no graph
        checkpoint = read_checkpoint(str(weights))
    if (
        checkpoint is None
        or checkpoint.graph is None
        or checkpoint.config.transform != model.config.transform
    ):
        return None
    columns = _columns(checkpoint.config.encoder, model)
    if columns is None:
        return None
    from streamrec.runtime.onnx_engine import OnnxEngine, step_of

    engine = OnnxEngine.of_step(step_of(checkpoint), torch.get_num_threads())

    def encode(images: np.ndarray) -> np.ndarray:
        head, cache = (
            tuple(np.zeros((len(images), *shape), np.float32) for shape in shapes)
            for shapes in (engine.head_shapes, engine.cache_shapes)
        )
        _, _, _, after = engine.step(images, np.full(len(images), np.inf, np.float32), head, cache)
        return after[0][:, columns]

    return encode


def _columns(encoder: str, model: ActionModel) -> slice | None:
    """Where a model's backbone features are among those that another person encoder keeps; None: they are not.

    The deepest maps come first, then those of the pyramid.
    """
    kept, wanted = _maps_of(encoder), _maps_of(model.config.encoder)
    if kept is None or wanted is None or any(want and not has for want, has in zip(wanted, kept, strict=True)):
        return None
    assert isinstance(model.encoder, PersonEncoder)
    size = movenet.DEEPEST * model.encoder.cells
    start = size if kept[0] and not wanted[0] else 0
    return slice(start, size if kept[0] and not wanted[1] else None)


def _maps_of(encoder: str) -> tuple[bool, bool] | None:
    """Which maps of the backbone a person encoder keeps: the deepest ones, those of the pyramid."""
    features = PERSONS.get("person-both" if encoder == PERSON_JOINTS else encoder)
    return None if features is None else (features.whole or features.moving, features.pyramid)

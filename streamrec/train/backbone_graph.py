"""The person backbone by ONNX Runtime: by the step graph of the file its weights come from, or one that is made now."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from streamrec.errors import MissingExtra, ModelError, need
from streamrec.nn.encoders import movenet
from streamrec.nn.encoders.base import Cache, Encoder
from streamrec.nn.encoders.person import PERSONS, PersonEncoder
from streamrec.nn.encoders.person_box import PersonBoxEncoder
from streamrec.nn.heads import StatisticsHead
from streamrec.nn.model import ActionModel
from streamrec.runtime.checkpoint import read_checkpoint

need("torch", extra="train")

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402

if TYPE_CHECKING:
    from streamrec.runtime.onnx_engine import ModelStep


Encode = Callable[[np.ndarray], np.ndarray]


def graph_of_backbone(model: ActionModel, weights: str | None) -> Encode | None:
    """(K, 3, H, W) uint8 RGB -> (K, S) float32, as ``ActionModel.backbone_features``; None: there is no such graph.

    ONNX Runtime takes less than half of the time that torch takes on a CPU. A step of a person encoder keeps the
    features of its image for the change to the next one, so that they can be read off the state.
    """
    if weights in (None, "imagenet"):
        return None
    if isinstance(model.encoder, PersonBoxEncoder):  # no state keeps all people
        return _exported(model)
    if not isinstance(model.encoder, PersonEncoder):
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
    from streamrec.runtime.onnx_engine import step_of

    return _by_step(step_of(checkpoint), columns)


class _Keeper(Encoder):
    """Keeps the backbone features of an encoder's image in its cache, and does nothing else."""

    feature_size = 1

    def __init__(self, encoder: Encoder, size: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.size = size

    def initial_cache(self, streams: int, height: int, width: int) -> Cache:
        """Zeros."""
        return (next(self.parameters()).new_zeros(streams, self.size),)

    def last_maps(self, height: int, width: int) -> tuple[nn.Module, ...]:
        """There are none to explain."""
        return ()

    def forward(
        self,
        images: Tensor,
        log_elapsed: Tensor,
        fresh: Tensor,
        cache: Cache,
        backbone: Tensor | None = None,
    ) -> tuple[Tensor, Cache]:
        """One of the features, so that there is some."""
        seen = self.encoder.backbone_features(images.flatten(0, 1)).unflatten(0, fresh.shape)
        return seen[..., :1], (
            seen[:, -1] + 0.0 * cache[0],
        )  # a memory that is not read could not be exported


def _exported(model: ActionModel) -> Encode | None:
    """By a graph that is exported now; None where that cannot be."""
    from streamrec.runtime.export import step_graph, weights_of
    from streamrec.runtime.onnx_engine import ModelStep

    transform = model.config.pictures
    with torch.inference_mode():
        blank = torch.zeros(1, 3, transform.height, transform.width, dtype=torch.uint8)
        size = model.backbone_features(blank).shape[1]
    keeper = copy.deepcopy(model)
    keeper.config = replace(model.config, head="statistics", counted=())
    keeper.encoder = _Keeper(keeper.encoder, size)
    keeper.head = StatisticsHead(1, len(model.config.labels), frames=1.0)
    try:
        graph, names = step_graph(keeper)
    except (ModelError, MissingExtra):  # torch does it, in twice the time
        return None
    known = weights_of(keeper)
    weights = {name: known[name] for name in names}
    return _by_step(ModelStep("backbone", graph, weights, (keeper.config,), "backbone"), slice(None))


def _by_step(step: ModelStep, columns: slice) -> Encode:
    """By an engine's step: the first of its caches."""
    from streamrec.runtime.onnx_engine import OnnxEngine

    engine = OnnxEngine.of_step(step, torch.get_num_threads())

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
    if (
        kept is None
        or wanted is None
        or any(want and not has for want, has in zip(wanted, kept, strict=True))
    ):
        return None
    assert isinstance(model.encoder, PersonEncoder)
    size = movenet.DEEPEST * model.encoder.cells
    start = size if kept[0] and not wanted[0] else 0
    return slice(start, size if kept[0] and not wanted[1] else None)


def _maps_of(encoder: str) -> tuple[bool, bool] | None:
    """Which maps of the backbone a person encoder keeps: the deepest ones, those of the pyramid."""
    features = PERSONS.get(encoder)
    return None if features is None else (features.whole or features.moving, features.pyramid)

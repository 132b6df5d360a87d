"""The encoder that teaching stands on: that of a shipped model, frozen, cut out of its file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from streamrec.events.detector import EventSettings
from streamrec.nn.config import TAUGHT, ModelConfig
from streamrec.runtime.checkpoint import Checkpoint, read_checkpoint
from streamrec.runtime.joint import Member
from streamrec.teach.background import shipped_background
from streamrec.teach.examples import NOTHING, FeatureKind
from streamrec.teach.graph import CLASSIFIER, EncoderGraph

SHIPPED = "webcam"  # the model that is taught on: it knows how the person moves who is followed
SECONDS = 1.0  # time constant of the statistics


@dataclass(frozen=True, slots=True, eq=False)
class TeachableEncoder:
    """A frozen encoder, and how a taught model is written over it."""

    config: ModelConfig  # of a taught model; labels and events are filled in
    graph: EncoderGraph
    kind: FeatureKind

    @property
    def size(self) -> int:
        """Features a frame."""
        return self.kind.size

    @property
    def background(self) -> np.ndarray | None:
        """Statistics (M, 4 F) of frames of other places that show nothing."""
        return shipped_background(self.kind.backbone)

    def watching(self, name: str) -> Member:
        """A model that gives the features, to be run beside others."""
        from streamrec.runtime.onnx_engine import step_of

        graph, referred = self.graph.watching()
        checkpoint = Checkpoint(name, self.config, self.graph.weights, graph, tuple(referred))
        return Member(name, self.config, step_of(checkpoint))

    def checkpoint(self, name: str, config: ModelConfig, weight: np.ndarray, bias: np.ndarray) -> Checkpoint:
        """A taught model: weight (labels, 4 F), bias (labels,)."""
        graph, referred = self.graph.classifying(config)
        weights = dict(self.graph.weights) | dict(zip(CLASSIFIER, (weight, bias), strict=True))
        return Checkpoint(name, config, weights, graph, tuple(referred))


@cache
def teachable_encoder() -> TeachableEncoder:
    """That of the shipped model ``webcam``; read once."""
    checkpoint = read_checkpoint(SHIPPED)
    graph = EncoderGraph(checkpoint)
    digest = hashlib.blake2b(digest_size=16)
    for name, value in sorted(graph.weights.items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    before = checkpoint.config
    config = replace(
        before,
        labels=(NOTHING,),
        encoder=TAUGHT,
        head="statistics",
        statistics_seconds=SECONDS,
        events=EventSettings(background=(NOTHING,)),
        counted=(),
        known=None,
        about="taught live, by examples",
        learned=(),
    )
    kind = FeatureKind(TAUGHT, graph.size, digest.hexdigest())
    return TeachableEncoder(config, graph, kind)

"""The encoder that teaching stands on: frozen, cut out of a model file. For video that of a shipped model."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from streamrec.errors import ModelError
from streamrec.events.detector import EventSettings
from streamrec.nn.config import TAUGHT, TAUGHT_SIGNAL, ModelConfig
from streamrec.runtime.checkpoint import Checkpoint, find_model, read_checkpoint, read_config, read_header
from streamrec.runtime.joint import Member
from streamrec.teach.background import shipped_background
from streamrec.teach.examples import NOTHING, FeatureKind
from streamrec.teach.graph import CLASSIFIER, EncoderGraph
from streamrec.types import SIGNAL, VIDEO

SHIPPED = "webcam"  # what is taught on for video: it knows how the person moves who is followed
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


def sense_taught(models: Sequence[str | Path]) -> str:
    """What the streams are of that are taught beside these models: what the first one takes."""
    return _sense_of_first([find_model(model) for model in models])


def encoder_beside(models: Sequence[Path]) -> TeachableEncoder:
    """What is taught on beside these model files: of readings the encoder of the first, of video ``webcam``'s.

    Raises ``ModelError`` for a model of readings that cannot be taught on.
    """
    if _sense_of_first(models) == VIDEO:
        return teachable_encoder()
    checkpoint = read_checkpoint(models[0])
    if checkpoint.config.transform.sense != SIGNAL:
        raise ModelError(
            f"{checkpoint.name} takes {checkpoint.config.transform.described}: only video and readings can be taught"
        )
    if checkpoint.config.is_own:
        raise ModelError(
            f"{checkpoint.name} was taught itself: first name the model that it was taught beside"
        )
    return _encoder_of(checkpoint, TAUGHT_SIGNAL)


def _sense_of_first(models: Sequence[Path]) -> str:
    """What the first model takes, by the header of its file; video where there is none, or an exported graph."""
    if not models or models[0].suffix != ".safetensors":
        return VIDEO
    return read_config(models[0], graph_metadata=read_header).transform.sense


@cache
def teachable_encoder() -> TeachableEncoder:
    """That of the shipped model ``webcam``; read once."""
    return _encoder_of(read_checkpoint(SHIPPED), TAUGHT)


def _encoder_of(checkpoint: Checkpoint, name: str) -> TeachableEncoder:
    """``name``: of the encoder, in the files of taught models."""
    graph = EncoderGraph(checkpoint)
    digest = hashlib.blake2b(digest_size=16)
    for key, value in sorted(graph.weights.items()):
        digest.update(key.encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    before = checkpoint.config
    config = replace(
        before,
        labels=(NOTHING,),
        encoder=name,
        head="statistics",
        statistics_seconds=SECONDS,
        events=EventSettings(background=(NOTHING,)),
        counted=(),
        known=None,
        about="taught live, by examples",
        learned=(),
    )
    kind = FeatureKind(name, graph.size, digest.hexdigest())
    return TeachableEncoder(config, graph, kind)

"""Architectures that several test files share, so that their step graphs are exported once.

A row is what a graph depends on: labels, thresholds and weights are a test's own.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

from streamrec import ModelConfig, SignalTransform, SoundTransform, Transform
from streamrec.errors import ModelError

if TYPE_CHECKING:
    from streamrec import ActionModel

SMALL_MOBILENET = ModelConfig(
    labels=("a", "b"),
    encoder="mobilenet_v3_small",
    transform=Transform(height=32, width=32),
    hidden_size=16,
    layers=2,
)
TALL = ModelConfig(  # of another size and another rate than the small model of all tests
    labels=("c", "d"), transform=Transform(height=48, width=32), hidden_size=16, fps=5.0
)
SIGNAL = ModelConfig(
    labels=("sit", "walk"),
    encoder="signal-cnn",
    transform=SignalTransform(channels=("x", "y", "z"), mean=(0.1, 0.0, 1.0), std=(1.0, 0.5, 2.0)),
    hidden_size=8,
    fps=10.0,
)
SOUND = ModelConfig(
    labels=("bark", "rain"),
    encoder="sound-cnn",
    transform=SoundTransform(
        rate=8_000,
        hop=640,
        window=256,
        stride=80,
        mels=16,
        low=60,
        high=3_800,
        mean=(-9.0,) * 16,
        std=(3.0,) * 16,
    ),
    hidden_size=8,
    fps=12.5,
)


def save_without_graph(path: Path, model: ActionModel) -> Path:
    """A file that the torch engine alone runs: nothing is exported for it."""
    from streamrec.runtime import export
    from streamrec.runtime.checkpoint import save_model

    def no_graph(model: ActionModel) -> NoReturn:
        raise ModelError("this file has no graph")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "step_graph", no_graph)
        save_model(path, model)
    return path

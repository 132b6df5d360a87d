"""Architectures that several test files share, so that their step graphs are exported once."""

from __future__ import annotations

from streamrec import ModelConfig, Transform

SMALL_MOBILENET = ModelConfig(
    labels=("a", "b"),
    encoder="mobilenet_v3_small",
    transform=Transform(height=32, width=32),
    hidden_size=16,
    layers=2,
)

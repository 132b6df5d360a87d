"""What all kinds of worlds share: the script of one scene, and the stage that renders it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

Labels = tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Script:
    """What happens in one scene and when; known before anything is painted."""

    spans: tuple[tuple[float, float, str], ...]  # (start, end, label) without gaps, seconds from the cut on
    repetitions: tuple[float, ...]  # seconds from the cut on
    stage: Callable[[int, int], Stage]  # (width, height) -> the painted scene; called once
    lies_from: float | None = None  # seconds: from here on a person lies still after a fall

    @property
    def seconds(self) -> float:
        """How long the scene lasts."""
        return self.spans[-1][1]


class Stage(Protocol):
    """One scene, painted."""

    def render(self, seconds: float) -> np.ndarray:
        """The image (H, W, 3) a number of seconds after the cut."""
        ...


@dataclass(frozen=True)
class Kind:
    """One kind of world: its labels in order, and the function that writes its scenes."""

    labels: Labels
    write: Callable[[np.random.Generator, str], Script]  # a scene about a label

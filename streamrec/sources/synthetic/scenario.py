"""What the kinds of worlds have in common: a script of one scene, and a stage that shows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

Labels = tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Script:
    """What happens in one scene and when; written without painting anything."""

    spans: tuple[tuple[float, float, str], ...]  # (start, end, label) without gaps, seconds from the cut on
    repetitions: tuple[float, ...]  # seconds from the cut on
    stage: Callable[[int, int], Stage]  # (width, height) -> the scene, painted; to be called once
    lies_from: float | None = None  # seconds: from here on somebody lies still after a fall

    @property
    def seconds(self) -> float:
        """How long the scene lasts."""
        return self.spans[-1][1]


class Stage(Protocol):
    """One scene, painted."""

    def picture(self, seconds: float) -> np.ndarray:
        """The picture (H, W, 3) so many seconds after the cut."""
        ...


@dataclass(frozen=True)
class Kind:
    """One kind of world: its labels in order, and who writes its scenes."""

    labels: Labels
    write: Callable[[np.random.Generator, str], Script]  # a scene about a label

"""A scene: people who move, the camera that sees them, and the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from streamrec.train.joints.actor import Span
from streamrec.train.joints.camera import Camera


class Mover(Protocol):
    """A person whose joints are known at any time."""

    def joints(self, times: np.ndarray) -> np.ndarray:
        """(T,) seconds -> (T, 17, 3) metres."""


@dataclass(frozen=True, eq=False, slots=True)
class Scene:
    """People, of whom the first is the one that the labels are about."""

    people: Sequence[Mover]
    camera: Camera
    spans: list[Span]
    desk: float | None = None  # height in metres of what hides their lower half
    source: str = "drawn"
    credit: str = ""
    repetitions: tuple[tuple[float, ...], ...] = ()  # a set each: when they start, and when the last one ends

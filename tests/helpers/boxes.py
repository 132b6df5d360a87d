"""Where the figure of the synthetic world is, for those who look for it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from streamrec import Frame, World, WorldSettings
from streamrec.sources.synthetic import figure

MARGIN = 8  # pixels around the figure: what moves shows at its edges


def with_boxes(settings: WorldSettings) -> Iterator[tuple[Frame, np.ndarray]]:
    """The frames of a world of figures, each with the box of the figure that acts, (H, W) bool."""
    drawn: list[np.ndarray] = []
    paint = figure.Painter.draw

    def draw(self: figure.Painter, image: np.ndarray, *rest: object) -> None:
        before = image.copy()
        paint(self, image, *rest)
        drawn.append((image != before).any(2))  # the one in front is painted last

    figure.Painter.draw = draw  # type: ignore[method-assign]
    try:
        for frame in World(settings):
            rows, columns = (np.flatnonzero(drawn[-1].any(axis)) for axis in (1, 0))
            box = np.zeros(drawn[-1].shape, bool)
            if len(rows):
                top, left = max(0, rows[0] - MARGIN), max(0, columns[0] - MARGIN)
                box[top : rows[-1] + MARGIN + 1, left : columns[-1] + MARGIN + 1] = True
            yield frame, box
    finally:
        figure.Painter.draw = paint  # type: ignore[method-assign]

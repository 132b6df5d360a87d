"""Zones of a camera: named polygons of its image, which are watched or left out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

Corner = tuple[float, float]  # x and y as parts of the image, from the top left


@dataclass(frozen=True, slots=True)
class Zone:
    """A polygon of the image."""

    name: str
    corners: tuple[Corner, ...]  # in order; the last is joined to the first
    exclude: bool = False  # what is in it is not watched, whatever else it is in


def watched_pixels(zones: Iterable[Zone], height: int, width: int) -> np.ndarray:
    """(H, W) bool: what is in a zone, or in the image where all zones exclude, and in none that excludes.

    >>> left = Zone("left", ((0, 0), (0.5, 0), (0.5, 1), (0, 1)))
    >>> watched_pixels([left], 1, 4).tolist()
    [[True, True, False, False]]
    """
    zones = tuple(zones)
    fine = np.full((2 * height, 2 * width), all(zone.exclude for zone in zones), np.uint8) * 255
    for zone in sorted(zones, key=lambda zone: zone.exclude):
        corners = np.round(np.array(zone.corners) * (2 * width, 2 * height)).astype(np.int32)
        cv2.fillPoly(fine, [corners], 0 if zone.exclude else 255)
    return cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA) > 128

"""Zones and lines of a camera: named polygons of its image, watched, left out or named; lines that people cross."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import cv2
import numpy as np

Corner = tuple[float, float]  # x and y as parts of the image, from the top left
REPORTS = {"people": "occupied", "motion": "moving"}  # what a zone may report, and the word of its events


@dataclass(frozen=True, slots=True)
class Zone:
    """A polygon of the image."""

    name: str
    corners: tuple[Corner, ...]  # in order; the last is joined to the first
    exclude: bool = False  # what is in it is not watched, whatever else it is in
    mask: bool = True  # False: it names a place, and nothing is left out because of it
    report: tuple[str, ...] = ()  # what in it is an event: "people", "motion"

    def holds(self, x: float, y: float) -> bool:
        """Whether a point is in the polygon.

        >>> Zone("left", ((0, 0), (0.5, 0), (0.5, 1), (0, 1))).holds(0.25, 0.5)
        True
        """
        inside = False
        for (x1, y1), (x2, y2) in zip(self.corners, (*self.corners[1:], self.corners[0]), strict=True):
            if (y1 > y) != (y2 > y) and x < x1 + (y - y1) / (y2 - y1) * (x2 - x1):
                inside = not inside
        return inside

    @property
    def labels(self) -> tuple[str, ...]:
        """Those of the events that it reports.

        >>> Zone("till", (), report=("motion",)).labels
        ('till moving',)
        """
        return tuple(f"{self.name} {REPORTS[what]}" for what in self.report)


@dataclass(frozen=True, slots=True)
class Line:
    """A line that people cross. Seen from its first end to the second, ``forward`` is from left to right."""

    name: str
    ends: tuple[Corner, Corner]
    forward: str = "in"  # what crossing it in this direction is called; "": it is not reported
    back: str = "out"

    def side(self, x: float, y: float) -> float:
        """How far a point is from the line's straight, in parts of the image: below 0 on the left, above on the right.

        >>> Line("door", ((0.5, 1.0), (0.5, 0.0))).side(0.75, 0.5)  # upwards
        0.25
        """
        (x1, y1), (x2, y2) = self.ends
        length = ((x2 - x1) ** 2 + (y2 - y1) ** 2) ** 0.5
        return ((x2 - x1) * (y - y1) - (y2 - y1) * (x - x1)) / length

    def is_crossed(self, before: Corner, after: Corner) -> bool:
        """Whether the way between two points meets the line between its ends."""
        way = Line("", (before, after))
        one, other = self.side(*before), self.side(*after)
        return one * other < 0 and way.side(*self.ends[0]) * way.side(*self.ends[1]) <= 0

    def label(self, forward: bool) -> str:
        """The label of a crossing; "": it is not reported.

        >>> Line("door", ((0.5, 1.0), (0.5, 0.0))).label(forward=True)
        'door in'
        """
        word = self.forward if forward else self.back
        return f"{self.name} {word}" if word else ""

    @property
    def labels(self) -> tuple[str, ...]:
        """Those of both directions, as far as they are reported."""
        return tuple(label for label in (self.label(True), self.label(False)) if label)


def within(region: tuple[float, float, float, float], corner: Corner) -> Corner:
    """A point of the whole image in parts of a region (left, top, width, height) of it; it may lie outside.

    >>> within((0.5, 0.0, 0.5, 1.0), (0.75, 0.5))
    (0.5, 0.5)
    """
    left, top, width, height = region
    return (corner[0] - left) / width, (corner[1] - top) / height


def zone_within(region: tuple[float, float, float, float], zone: Zone) -> Zone:
    """A zone of the whole image, in parts of a region of it."""
    return replace(zone, corners=tuple(within(region, corner) for corner in zone.corners))


def watched_pixels(zones: Iterable[Zone], height: int, width: int) -> np.ndarray:
    """(H, W) bool: what is in a zone, or in the image where all zones exclude, and in none that excludes.

    Zones that only name a place do not count.

    >>> left = Zone("left", ((0, 0), (0.5, 0), (0.5, 1), (0, 1)))
    >>> watched_pixels([left], 1, 4).tolist()
    [[True, True, False, False]]
    """
    zones = [zone for zone in zones if zone.mask or zone.exclude]
    fine = np.full((2 * height, 2 * width), all(zone.exclude for zone in zones), np.uint8) * 255
    for zone in sorted(zones, key=lambda zone: zone.exclude):
        corners = np.round(np.array(zone.corners) * (2 * width, 2 * height)).astype(np.int32)
        cv2.fillPoly(fine, [corners], 0 if zone.exclude else 255)
    return cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA) > 128

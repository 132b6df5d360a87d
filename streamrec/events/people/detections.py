"""The output of a detector of people for one picture: keypoints and boxes, and how alike two of them are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

PEOPLE = 6  # that the detector finds at most
KEYPOINTS = 17  # in the order of COCO: nose, eyes, ears, shoulders, elbows, wrists, hips, knees, ankles
PERSON = 3 * KEYPOINTS + 5  # numbers a person: 17 x (y, x, score), then ymin, xmin, ymax, xmax and a score

# How far people who mark keypoints disagree, in parts of the square root of the body's area, twice each: COCO's.
SPREADS = 2 * np.array(
    (.026, .025, .025, .035, .035, .079, .079, .072, .072, .062, .062, 0.107, 0.107, .087, .087, .089, .089)
)  # fmt: skip


class Rectangle(NamedTuple):
    """Where the camera's picture lies in the model's input, in parts of that input; a padded one is smaller."""

    top: float = 0.0
    left: float = 0.0
    tall: float = 1.0
    wide: float = 1.0


class Detections(NamedTuple):
    """People (P) that were found in one picture, in parts of the model's input."""

    keypoints: np.ndarray  # (P, 17, 3) float64: y, x and a score from 0 to 1
    boxes: np.ndarray  # (P, 4) float64: ymin, xmin, ymax, xmax
    scores: np.ndarray  # (P,) float64

    def only(self, wanted: np.ndarray) -> Detections:
        """Those of this index or mask."""
        return Detections(*(array[wanted] for array in self))


def read_detections(people: np.ndarray, least: float = 0.0) -> Detections:
    """(6, 56) as the detector gives them -> those of at least this score."""
    rows = people[people[:, PERSON - 1] >= least].astype(np.float64)
    keypoints = rows[:, : 3 * KEYPOINTS].reshape(-1, KEYPOINTS, 3)
    return Detections(keypoints, rows[:, 3 * KEYPOINTS : PERSON - 1], rows[:, PERSON - 1])


def overlaps(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes (P, 4) with others (Q, 4): (P, Q).

    >>> overlaps(np.array([[0.0, 0.0, 1.0, 1.0]]), np.array([[0.0, 0.5, 1.0, 1.5]])).round(3)
    array([[0.333]])
    """
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = (high - low).clip(0.0).prod(2)
    areas, other_areas = ((each[:, 2:] - each[:, :2]).clip(0.0).prod(1) for each in (boxes, others))
    return shared / np.maximum(areas[:, None] + other_areas[None, :] - shared, 1e-12)

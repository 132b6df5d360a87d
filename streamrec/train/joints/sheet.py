"""A contact sheet of stick figures: sequences for checks by eye."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from streamrec.train.joints.camera import NET_HEIGHT, NET_WIDTH
from streamrec.train.joints.sequences import JointSequence

BONES = ((5, 7), (7, 9), (6, 8), (8, 10), (5, 6), (5, 11), (6, 12), (11, 12), (11, 13), (13, 15), (12, 14), (14, 16),
         (0, 1), (0, 2), (1, 3), (2, 4))  # fmt: skip
_LEFT, _RIGHT, _MIDDLE = (80, 180, 255), (255, 160, 60), (200, 200, 200)  # BGR


def contact_sheet(
    sequence: JointSequence,
    path: str | Path,
    *,
    columns: int = 8,
    frames: int = 48,
    start: float = 0.0,
    end: float = 1e9,
) -> None:
    """Write a PNG of frames evenly spread over a stretch: the left side orange, the right side blue.

    Faint limbs have low scores. Each frame is the net's input, with its time and label.
    """
    inside = np.flatnonzero((sequence.timestamps >= start) & (sequence.timestamps <= end))
    chosen = inside[np.linspace(0, len(inside) - 1, min(frames, len(inside))).astype(int)]
    words = sequence.label_names()
    tiles = [
        draw(sequence.people[number], f"{sequence.timestamps[number]:.2f} {words[number]}")
        for number in chosen
    ]
    while len(tiles) % columns:
        tiles.append(np.zeros_like(tiles[0]))
    rows = [np.hstack(tiles[row : row + columns]) for row in range(0, len(tiles), columns)]
    done, png = cv2.imencode(".png", np.vstack(rows))
    if done:
        Path(path).write_bytes(png.tobytes())


def draw(people: np.ndarray, words: str, scale: float = 1.0) -> np.ndarray:
    """People of one frame, (6, 56), as a picture (H, W, 3) uint8 BGR."""
    size = np.array((NET_WIDTH, NET_HEIGHT)) * scale
    image = np.full((int(size[1]), int(size[0]), 3), 30, np.uint8)
    cv2.rectangle(image, (0, 0), (image.shape[1] - 1, image.shape[0] - 1), (70, 70, 70), 1)
    for person in people:
        if person[55] < 0.1:
            continue
        keypoints = person[:51].reshape(17, 3)
        points = [(round(float(x * size[0])), round(float(y * size[1]))) for y, x, _ in keypoints]
        for one, other in BONES:
            score = float(min(keypoints[one, 2], keypoints[other, 2]))
            if score < 0.1:
                continue
            colour = _MIDDLE if one % 2 != other % 2 else _LEFT if one % 2 else _RIGHT
            shade = tuple(int(30 + (part - 30) * min(1.0, score + 0.2)) for part in colour)
            cv2.line(image, points[one], points[other], shade, 2, cv2.LINE_AA)
    cv2.putText(image, words, (4, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.36, (255, 255, 255), 1, cv2.LINE_AA)
    return image

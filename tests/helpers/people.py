"""Pictures of two drawn people, and a recognizer stepped over them."""

from __future__ import annotations

import itertools

import numpy as np

from streamrec import Frame, Prediction, Recognizer, State, open_source


def frames_of(images: list[np.ndarray]) -> list[Frame]:
    """Ten frames a second."""
    return [Frame(image, n, n / 10) for n, image in enumerate(images)]


def side_by_side(one: int = 0, other: int = 4) -> list[np.ndarray]:
    """Twelve wide pictures of two drawn people, who do what these seeds say."""

    def walk(seed: int) -> list[np.ndarray]:
        return [frame.image for frame in itertools.islice(open_source(f"synthetic:{seed}"), 0, 36, 3)]

    return [np.hstack(pair) for pair in zip(walk(one), walk(other), strict=True)]


def run(
    recognizer: Recognizer, frames: list[Frame], state: State | None = None
) -> tuple[list[Prediction], State]:
    """The prediction of each frame, and the state after the last."""
    state = recognizer.initial_state() if state is None else state
    predictions = []
    for frame in frames:
        prediction, state = recognizer.step(frame, state)
        predictions.append(prediction)
    return predictions, state

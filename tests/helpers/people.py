"""Pictures of two drawn people, and a recognizer stepped over them."""

from __future__ import annotations

import itertools

import numpy as np

from streamrec import Frame, Prediction, Recognizer, State, open_source
from streamrec.sources.synthetic import figure, places, poses
from streamrec.sources.synthetic.camera import Camera


def frames_of(images: list[np.ndarray]) -> list[Frame]:
    """Ten frames a second."""
    return [Frame(image, n, n / 10) for n, image in enumerate(images)]


def side_by_side(one: int = 0, other: int = 4) -> list[np.ndarray]:
    """Twelve wide pictures of two drawn people, who do what these seeds say."""

    def walk(seed: int) -> list[np.ndarray]:
        return [frame.image for frame in itertools.islice(open_source(f"synthetic:{seed}"), 0, 36, 3)]

    return [np.hstack(pair) for pair in zip(walk(one), walk(other), strict=True)]


def wave_and_squat(count: int, seed: int = 0) -> list[np.ndarray]:
    """So many pictures of two drawn people, ten a second: the left one waves, the right one squats from 2 s on."""
    rng = np.random.default_rng(seed)
    camera = Camera(distance=4.0, aim=0.8, pitch=0.1, roll=0.0, focal=820.0, centre=(320.0, 250.0))
    canvas = places.paint(640, 480, camera, rng, clearance=1.5)
    people = []
    for x, label, begins in ((-0.75, "wave", 0.0), (0.75, "squat", 2.0)):
        body = figure.draw_body(rng)
        styles = {name: poses.draw_style(name, rng) for name in ("idle", label)}
        people.append((x, body, figure.Painter(body, (0.3, -0.9)), styles, label, begins))
    images = []
    for n in range(count):
        image = canvas.copy()
        for x, body, painter, styles, label, begins in people:
            pose = poses.pose_at("idle", n / 10, styles["idle"])
            if share := min(max((n / 10 - begins) / 0.4, 0.0), 1.0):
                pose = poses.blend(pose, poses.pose_at(label, n / 10 - begins, styles[label]), share)
            painter.draw(image, camera, figure.joints(body, pose, x))
        images.append(image)
    return images


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

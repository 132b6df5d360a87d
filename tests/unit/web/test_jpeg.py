"""The images of the page."""

from __future__ import annotations

import cv2
import numpy as np

from streamrec.outputs.overlay import person_color
from streamrec.types import Person
from streamrec.web.jpeg import encode


def decoded(data: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


def test_people_are_drawn_over_the_image_at_the_size_that_is_sent():
    image = np.full((480, 640, 3), 90, np.uint8)
    keypoints = np.concatenate(
        [np.random.default_rng(1).random((17, 2)) * 0.3 + 0.4, np.ones((17, 1))], axis=1
    )
    person = Person(2, (0.4, 0.4, 0.7, 0.7), keypoints.astype(np.float32), 0.8)
    plain, drawn = decoded(encode(image, 320)), decoded(encode(image, 320, people=(person,)))
    assert plain.shape == drawn.shape == (240, 320, 3) and (image == 90).all()
    near = np.abs(drawn.astype(int) - person_color(2)).max(2) < 40
    assert near.sum() > 100 and not near[:70].any()
    doing = decoded(encode(image, 320, people=(person,), doing={2: "raise both hands"}))
    assert (np.abs(doing.astype(int) - person_color(2)).max(2) < 40).sum() > near.sum() + 200  # a longer tag
    assert encode(image, 320, people=()) == encode(image, 320) == encode(image, 320, people=None)

"""Pictures of a group: encoded where the camera runs, only when they are asked for, within a share of a core."""

from __future__ import annotations

import time

import cv2
import numpy as np

from streamrec.outputs.fleet.records import PictureRequest
from streamrec.types import ActionEnded, ActionStarted, Frame, Person, Prediction, Result
from streamrec.web.fleet_pictures import GroupPictures
from streamrec.web.jpeg import FASTEST, SHARE


def result(*events, camera: str = "door", shade: int = 90, people=None) -> Result:
    image = np.full((120, 160, 3), shade, np.uint8)
    frame = Frame(image, 0, 0.0, 0, camera, time.monotonic())
    return Result(
        frame, Prediction("idle", 1.0, np.ones(1, np.float32), 0.0, ("idle",)), events, people=people
    )


def shade_of(data: bytes) -> float:
    return float(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).mean())


class Clocks:
    """Time, and the CPU time that one picture takes."""

    def __init__(self, each: float = 0.0) -> None:
        self.now, self.each, self.used = 100.0, each, 0.0

    def monotonic(self) -> float:
        return self.now

    def cpu(self) -> float:
        self.used += self.each  # it is read before and after each picture
        return self.used


def pictures_at(clocks: Clocks) -> GroupPictures:
    return GroupPictures(clock=lambda: 5000.0, monotonic=clocks.monotonic, cpu=clocks.cpu)


def test_nothing_is_encoded_until_it_is_asked_for():
    pictures = pictures_at(Clocks())
    assert pictures.picture(PictureRequest(camera="door", width=320)) is None
    for _ in range(20):
        pictures.write(result())
    assert pictures.made == 0
    made = pictures.picture(PictureRequest(camera="door", width=320))
    assert made is not None and abs(shade_of(made.data) - 90) < 2
    assert 4995.0 < made.time <= 5000.0  # by the head's clock
    assert pictures.made == 1


def test_a_picture_that_is_known_is_not_sent_again():
    clocks = Clocks()
    pictures = pictures_at(clocks)
    pictures.write(result(shade=40))
    first = pictures.picture(PictureRequest(camera="door", width=320))
    assert pictures.picture(PictureRequest(camera="door", width=320, have=first.version)) is None
    assert pictures.picture(PictureRequest(camera="door", width=320)) == first  # for another page
    pictures.write(result(shade=200))
    assert pictures.picture(PictureRequest(camera="door", width=320, have=first.version)) is None  # too soon
    clocks.now += FASTEST
    second = pictures.picture(PictureRequest(camera="door", width=320, have=first.version))
    assert shade_of(second.data) > 190 and second.version != first.version
    assert pictures.made == 2


def test_all_cameras_together_take_their_share_of_a_core_and_none_is_left_out():
    each, cameras = 0.02, [f"camera {n}" for n in range(8)]
    clocks = Clocks(each)
    pictures = pictures_at(clocks)
    came = dict.fromkeys(cameras, 0)
    have: dict[str, int] = {}
    for _ in range(600):  # a minute of rounds of the head
        clocks.now += FASTEST
        for camera in cameras:
            pictures.write(result(camera=camera))
            made = pictures.picture(PictureRequest(camera=camera, width=320, have=have.get(camera)))
            if made is not None:
                have[camera] = made.version
                came[camera] += 1
    assert 0.6 * SHARE < pictures.made * each / 60.0 < 1.2 * SHARE
    assert max(came.values()) - min(came.values()) <= 2


def test_people_are_drawn_with_what_they_do_until_it_ends():
    clocks = Clocks()
    pictures = pictures_at(clocks)
    keypoints = np.concatenate([np.random.default_rng(1).random((17, 2)), np.ones((17, 1))], axis=1)
    person = Person(1, (0.2, 0.2, 0.8, 0.8), keypoints.astype(np.float32), 0.9)

    def now(*events) -> bytes:
        clocks.now += 1.0
        pictures.write(result(*events, people=(person,)))
        return pictures.picture(PictureRequest(camera="door", width=320)).data

    plain = now()
    assert now(ActionStarted("wave", 0.0, 0.9, person=1)) != plain
    assert now(ActionEnded("wave", 1.0, 0.0, 0.9, person=1)) == plain
    bare = pictures.picture(PictureRequest(camera="door", width=320, people=False))
    assert abs(shade_of(bare.data) - 90) < 1 < abs(shade_of(plain) - 90)


def test_a_camera_that_left_is_forgotten():
    pictures = pictures_at(Clocks())
    for camera in ("door", "yard"):
        pictures.write(result(camera=camera))
    pictures.keep(["yard"])
    assert pictures.picture(PictureRequest(camera="door", width=320)) is None
    assert pictures.picture(PictureRequest(camera="yard", width=320)) is not None

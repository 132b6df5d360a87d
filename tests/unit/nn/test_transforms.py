import cv2
import numpy as np
import pytest

from streamrec.nn.transforms import Transform, planar


def test_bgr_of_any_size_becomes_planar_rgb_of_the_models_size():
    image = np.zeros((480, 640, 3), np.uint8)
    image[:, :, 0] = 200  # blue
    out = Transform(height=72, width=96)(image)
    assert out.shape == (3, 72, 96)
    assert out.dtype == np.uint8
    assert (out[2] == 200).all()
    assert (out[:2] == 0).all()
    assert out.flags.c_contiguous


def test_cropping_keeps_the_middle_and_the_aspect():
    image = np.zeros((100, 300, 3), np.uint8)
    image[:, 100:200] = 255
    assert (Transform(height=50, width=50, fit="crop").resize(image) == 255).all()


def test_padding_keeps_everything_and_the_aspect():
    image = np.full((100, 200, 3), 255, np.uint8)
    out = Transform(height=40, width=40, fit="pad").resize(image)
    assert (out[11:29] == 255).all()
    assert (out[:9] == 114).all()


def test_a_small_picture_is_enlarged():
    assert Transform(height=72, width=96).resize(np.zeros((8, 8, 3), np.uint8)).shape == (72, 96, 3)


def test_a_picture_of_the_right_size_is_not_touched():
    image = np.zeros((72, 96, 3), np.uint8)
    assert Transform(height=72, width=96).resize(image) is image


def test_planar_serves_whole_clips():
    assert planar(np.zeros((5, 7, 8, 9, 3), np.uint8)).shape == (5, 7, 3, 8, 9)


@pytest.mark.parametrize("settings", [{"fit": "squeeze"}, {"height": 0}])
def test_a_transform_that_makes_no_sense_is_refused(settings):
    with pytest.raises(ValueError, match=r"fit is one of|of at least 1x1"):
        Transform(**settings)


def test_a_large_picture_is_halved_first_and_looks_the_same():
    rows, columns = np.mgrid[0:720, 0:1280]
    image = np.stack([rows // 3, columns // 6, (rows + columns) // 8], axis=-1).astype(np.uint8)
    exact = cv2.resize(image, (80, 64), interpolation=cv2.INTER_AREA)
    found = Transform(height=64, width=80).resize(image)
    assert np.abs(found.astype(int) - exact).max() <= 3


@pytest.mark.parametrize("size", [(1280, 720), (1920, 1080), (640, 480)])
def test_a_large_picture_for_a_model_that_sees_much_looks_the_same(size):
    noise = np.random.default_rng(0).integers(0, 256, (size[1] // 8, size[0] // 8, 3), np.uint8)
    image = cv2.resize(noise, size, interpolation=cv2.INTER_CUBIC)
    exact = cv2.resize(image, (224, 224), interpolation=cv2.INTER_AREA)
    found = Transform(height=224, width=224).resize(image)
    assert np.abs(found.astype(int) - exact).mean() <= 1.5


def test_a_picture_of_up_to_four_times_the_size_is_shrunk_exactly():
    image = np.random.default_rng(0).integers(0, 256, (256, 456, 3), np.uint8)
    exact = cv2.resize(image, (80, 64), interpolation=cv2.INTER_AREA)
    assert (Transform(height=64, width=80).resize(image) == exact).all()

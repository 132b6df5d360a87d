import numpy as np
import pytest

from streamrec.core.image import as_bgr
from streamrec.errors import PictureError

BGR = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)


def test_a_bgr_picture_is_passed_on_without_a_copy():
    assert as_bgr(BGR) is BGR


def test_gray_is_repeated_in_all_channels():
    for gray in (BGR[:, :, 0], BGR[:, :, :1]):
        assert (as_bgr(gray) == BGR[:, :, :1]).all()
        assert as_bgr(gray).shape == (4, 6, 3)


def test_the_alpha_of_bgra_is_left_out():
    bgra = np.dstack([BGR, np.zeros((4, 6), np.uint8)])
    assert (as_bgr(bgra) == BGR).all()


def test_16_bit_is_brought_to_8():
    assert (as_bgr(BGR.astype(np.uint16) * 257) == BGR).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_float_from_0_to_1_is_brought_to_8_bit(dtype):
    assert (as_bgr((BGR / 255.0).astype(dtype)) == BGR).all()


@pytest.mark.parametrize("view", [BGR[:, ::-1], BGR[::2], BGR.transpose(1, 0, 2), BGR[..., ::-1]])
def test_a_picture_need_not_be_contiguous(view):
    assert as_bgr(view).flags.c_contiguous
    assert (as_bgr(view) == view).all()


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (None, "the picture is None"),
        ([[0, 0], [0, 0]], "not builtins.list"),
        (np.zeros((2, 4, 6, 3), np.uint8), "one picture"),
        (np.zeros(7, np.uint8), "one picture"),
        (np.zeros((0, 6, 3), np.uint8), "empty"),
        (np.zeros((3, 40, 60), np.uint8), "channels come last"),
        (np.zeros((5, 6, 2), np.uint8), "2 channels"),
        (np.full((4, 6, 3), 200.0, np.float32), "runs from 0 to 1"),
        (np.full((4, 6, 3), np.nan, np.float32), "runs from 0 to 1"),
        (np.zeros((4, 6, 3), np.int32), "int32"),
        (np.zeros((4, 6, 3), bool), "bool"),
    ],
)
def test_what_is_no_picture_is_refused_with_a_sentence(picture, message):
    with pytest.raises(PictureError, match=message):
        as_bgr(picture)


def test_a_pil_picture_is_refused_with_how_to_make_it_bgr():
    from PIL import Image

    with pytest.raises(PictureError, match="RGB"):
        as_bgr(Image.new("RGB", (8, 8)))

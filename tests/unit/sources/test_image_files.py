"""Image files: the size is read from the header, and an image that would fill the memory is not decoded."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from streamrec.errors import SourceError
from streamrec.sources.image_files import MOST_BYTES, read_picture, size_of, too_large
from streamrec.sources.open import open_source

KINDS = [".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"]


@pytest.mark.parametrize("ending", KINDS)
@pytest.mark.parametrize("size", [(30, 20), (641, 479)])
def test_the_size_of_every_kind_is_read_from_its_header(tmp_path, ending, size):
    picture = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    ok, data = cv2.imencode(ending, picture[:, :, 0] if ending == ".pgm" else picture)
    assert ok
    assert size_of(io.BytesIO(data.tobytes())) == size
    path = tmp_path / f"1{ending}"
    path.write_bytes(data.tobytes())
    assert read_picture(path).shape == (*size[::-1], 3)


def test_a_jpeg_with_much_before_its_size_is_understood():
    _, data = cv2.imencode(".jpg", np.zeros((20, 30, 3), np.uint8))
    jpeg = data.tobytes()
    padded = jpeg[:2] + (b"\xff\xe1\xff\xff" + bytes(65533)) * 3 + b"\xff" + jpeg[2:]
    assert size_of(io.BytesIO(padded)) == (30, 20)


@pytest.mark.parametrize(
    "text", [b"", b"buy milk", b"\xff\xd8", b"\x89PNG", b"RIFF1234WEBPxxxx", b"II*\0", b"P5 "]
)
def test_what_is_no_picture_has_no_size(text):
    assert not size_of(io.BytesIO(text))


def png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def jpeg(width: int, height: int) -> bytes:
    _, data = cv2.imencode(".jpg", np.zeros((16, 16, 3), np.uint8))
    made = bytearray(data.tobytes())
    at = made.find(b"\xff\xc0")
    made[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(made)


def bitmap(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<IIIIiiHHIIiiII", 54, 0, 54, 40, width, -height, 1, 24, 0, 0, 0, 0, 0, 0)


@pytest.mark.parametrize("made", [png, jpeg, bitmap])
@pytest.mark.parametrize("alone", [True, False])
def test_a_picture_that_would_fill_the_memory_is_refused_by_its_header(tmp_path, monkeypatch, made, alone):
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("it was decoded"))
    path = tmp_path / "1.png"
    path.write_bytes(made(30000, 30000))
    with pytest.raises(SourceError, match="30000x30000, which is more than 134 million pixels"):
        list(open_source(path if alone else tmp_path))


def test_large_pictures_of_todays_cameras_are_read():
    assert too_large(7680, 4320) is None
    assert too_large(12000, 9000) is None


def test_a_file_of_a_terabyte_of_nothing_is_not_read(tmp_path):
    path = tmp_path / "1.jpg"
    with path.open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    with pytest.raises(SourceError, match=r"1\.jpg is not a picture that can be read: it has 1\.1 GB"):
        list(open_source(tmp_path))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_a_pipe_in_a_folder_of_pictures_is_refused_and_not_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "1.jpg")
    with pytest.raises(SourceError, match="it is a pipe or a device"):
        list(open_source(tmp_path))

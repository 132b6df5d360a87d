from __future__ import annotations

import io
import random

import av
import numpy as np
import pytest

from streamrec.sources.h264 import FrameNumbers


def packets_of(**options: str) -> tuple[bytes, list[bytes]]:
    with av.open(io.BytesIO(), "w", format="h264") as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "30", **options})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        pictures = np.random.default_rng(0).integers(0, 256, (60, 48, 64, 3), np.uint8)
        made = []
        for picture in [*pictures, None]:
            frame = None if picture is None else av.VideoFrame.from_ndarray(picture, format="bgr24")
            made += [bytes(packet) for packet in stream.encode(frame)]
    return b"", made


@pytest.mark.parametrize("options", [{"bf": "0"}, {"bf": "2"}, {"bf": "0", "profile": "baseline"}])
def test_nothing_is_missing_where_nothing_was_lost(options):
    extradata, packets = packets_of(**options)
    numbers = FrameNumbers(extradata)
    assert len(packets) == 60
    assert not any(numbers.lost(packet) for packet in packets)


@pytest.mark.parametrize("options", [{"bf": "0"}, {"bf": "2"}])
def test_a_lost_picture_is_noticed_by_the_next_unless_no_frame_needs_it(options):
    extradata, packets = packets_of(**options)
    for gone in range(1, 58):
        numbers, needed = FrameNumbers(extradata), FrameNumbers(extradata)
        for packet in packets[: gone + 1]:
            needed.lost(packet)
        lost = [numbers.lost(packet) for n, packet in enumerate(packets) if n != gone]
        next_is_key = packets[gone + 1].find(b"\0\0\1\x65") >= 0
        assert any(lost) == (not needed.disposable and not next_is_key)
        assert sum(lost) <= 1


def test_garbage_is_borne():
    chance = random.Random(1)
    numbers = FrameNumbers(chance.randbytes(50))
    for _ in range(2000):
        numbers.lost(b"\0\0\1" + chance.randbytes(chance.randrange(40)))

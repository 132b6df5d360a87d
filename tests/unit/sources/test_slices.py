"""Pictures whose slices come in packets of their own."""

from __future__ import annotations

import random
from fractions import Fraction

import av
import numpy as np
import pytest

from streamrec.sources.slices import Joiner

KEYS = 10  # one in so many is a key frame


def pictures_of(codec: str, slices: int, count: int = 40) -> list[tuple[bool, list[bytes]]]:
    """Whether each is a key frame, and the units of each."""
    encoder = av.CodecContext.create("libx264" if codec == "h264" else "libx265", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 160, 128, "yuv420p"
    encoder.framerate, encoder.time_base = Fraction(15), Fraction(1, 15)
    encoder.gop_size, encoder.thread_count = KEYS, 1
    own = {
        "x265-params": f"slices={slices}:keyint={KEYS}:min-keyint={KEYS}:log-level=none:ctu=16:min-cu-size=8"
    }
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency"} | (
        own if codec == "hevc" else {"slices": str(slices)}
    )
    noise = np.random.default_rng(0).integers(40, 220, (192, 160 + 4 * count)).astype(np.uint8)
    packets = []
    for number in range(count):
        frame = av.VideoFrame.from_ndarray(
            np.ascontiguousarray(noise[:, 4 * number : 4 * number + 160]), format="yuv420p"
        )
        frame.pts = number
        packets += encoder.encode(frame)
    packets += encoder.encode()
    return [(packet.is_keyframe, units_of(bytes(packet))) for packet in packets]


def units_of(data: bytes) -> list[bytes]:
    return [
        b"\0\0\0\1" + unit.rstrip(b"\0") for unit in data.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1")[1:]
    ]


def is_slice(codec: str, unit: bytes) -> bool:
    return unit[4] & 31 in (1, 5) if codec == "h264" else unit[4] >> 1 & 63 < 32


def cut(codec: str, is_key: bool, units: list[bytes], *, others: bool = False) -> list[bytes]:
    """As a payloader sends it that puts the parameter sets before each slice of a key frame."""
    sets = [unit for unit in units if not is_slice(codec, unit)]
    slices = [unit for unit in units if is_slice(codec, unit)]
    if not (is_key or others):
        return [b"".join(units)]
    return [b"".join([*sets, one]) for one in slices]


def packet_of(data: bytes, number: int, is_key: bool) -> av.Packet:
    packet = av.Packet(data)
    packet.pts = packet.dts = number
    packet.time_base, packet.is_keyframe = Fraction(1, 15), is_key
    return packet


def decoded(codec: str, packets: list[bytes]) -> list[np.ndarray]:
    decoder = av.CodecContext.create(codec, "r")
    decoder.thread_count = 1
    decoder.options = {"err_detect": "explode"}
    return [
        frame.to_ndarray(format="gray")
        for packet in [*packets, None]
        for frame in decoder.decode(None if packet is None else av.Packet(packet))
    ]


def fed(joiner: Joiner, pictures: list[list[bytes]], keys: list[bool]) -> tuple[list[bytes], list[int]]:
    """What comes out, and how many pictures were out after each had come in."""
    out, counts, begun = [], [], 0
    for number, (parts, is_key) in enumerate(zip(pictures, keys, strict=True)):
        for part in parts:
            for whole in joiner.feed(packet_of(part, number, is_key)):
                if whole.again:
                    out.pop()
                else:
                    begun += 1
                out.append(bytes(whole.packet))
        counts.append(len(out))
    return out + [bytes(whole.packet) for whole in joiner.flush()], counts


@pytest.mark.parametrize("codec", ["h264", "hevc"])
@pytest.mark.parametrize("slices", [2, 4])
def test_key_frames_cut_into_packets_are_whole_again_and_nothing_waits(codec, slices):
    made = pictures_of(codec, slices)
    keys = [is_key for is_key, _ in made]
    pictures = [cut(codec, is_key, units) for is_key, units in made]
    assert {len(parts) for parts, is_key in zip(pictures, keys, strict=True) if is_key} != {1}
    out, counts = fed(Joiner(codec), pictures, keys)
    assert len(out) == len(made)
    wanted = decoded(codec, [b"".join(units) for _, units in made])
    found = decoded(codec, out)
    assert len(found) == len(wanted) == len(made)
    assert all(np.array_equal(a, b) for a, b in zip(found, wanted, strict=True))
    # Only the first other one waited, for it was not known that it comes whole.
    assert [n + 1 - count for n, count in enumerate(counts)] == [0, 1, *[0] * (len(made) - 2)]


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_where_every_picture_is_cut_all_are_whole(codec):
    made = pictures_of(codec, 3)
    pictures = [cut(codec, is_key, units, others=True) for is_key, units in made]
    out, _ = fed(Joiner(codec), pictures, [is_key for is_key, _ in made])
    wanted = decoded(codec, [b"".join(units) for _, units in made])
    found = decoded(codec, out)
    assert len(found) == len(wanted)
    assert all(np.array_equal(a, b) for a, b in zip(found, wanted, strict=True))


def test_where_the_number_of_packets_varies_a_picture_waits_for_the_next_one():
    chance, made = random.Random(3), pictures_of("h264", 4, 80)
    pictures = []
    for is_key, units in made:
        parts = cut("h264", is_key, units)
        at = chance.randrange(1, len(parts) + 1) if is_key else 1
        pictures.append([b"".join(parts[:at]), *parts[at:]])
    out, counts = fed(Joiner("h264"), pictures, [is_key for is_key, _ in made])
    found, wanted = decoded("h264", out[20:]), decoded("h264", [b"".join(units) for _, units in made])[20:]
    assert len(found) == len(wanted)
    assert all(np.array_equal(a, b) for a, b in zip(found, wanted, strict=True))
    assert all(n - count <= 1 for n, count in enumerate(counts))


def test_whole_pictures_pass_as_they_are():
    made = pictures_of("h264", 3)
    joiner = Joiner("h264")
    for number, (is_key, units) in enumerate(made):
        packet = packet_of(b"".join(units), number, is_key)
        (whole,) = joiner.feed(packet)
        assert whole.packet is packet
    assert not joiner.cut
    assert joiner.flush() == []


def test_units_with_lengths_before_them_are_understood():
    made = pictures_of("h264", 2)
    joiner = Joiner("h264", bytes([1, 66, 0, 30, 0xFF, 0xE1, 0, 0]))

    def measured(units: list[bytes]) -> bytes:
        return b"".join(len(unit[4:]).to_bytes(4, "big") + unit[4:] for unit in units)

    joined = 0
    for number, (is_key, units) in enumerate(made):
        slices = [unit for unit in units if is_slice("h264", unit)]
        for unit in slices:
            joined += sum(
                len(bytes(whole.packet)) == len(measured(slices))
                for whole in joiner.feed(packet_of(measured([unit]), number, is_key))
            )
    joined += len(joiner.flush())
    assert joined >= len(made) - 2


def test_garbage_is_borne():
    chance = random.Random(1)
    for codec in ("h264", "hevc", "mjpeg", "vp9"):
        joiner = Joiner(codec, chance.randbytes(30))
        for number in range(500):
            packet = packet_of(b"\0\0\1" + chance.randbytes(chance.randrange(1, 40)), number, number % 7 == 0)
            joiner.feed(packet, incomplete=chance.random() < 0.1)
        joiner.flush()


def test_a_picture_that_lost_a_part_is_marked_as_incomplete():
    made = pictures_of("h264", 2)
    joiner = Joiner("h264")
    pictures = [cut("h264", is_key, units) for is_key, units in made]
    incomplete = []
    for number, parts in enumerate(pictures):
        for place, part in enumerate(parts):
            packet = packet_of(part, number, made[number][0])
            wholes = joiner.feed(packet, incomplete=number == 2 * KEYS and place == 0)
            incomplete += [whole.incomplete for whole in wholes]
    assert incomplete.count(True) == 1

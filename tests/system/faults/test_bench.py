"""The stream bench is itself tested, with plain OpenCV and plain PyAV: the camera's kinds, and what faults do."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import av
import numpy as np
import pytest

from tests.system.faults.bench import Bench, stream_bench
from tests.system.faults.faults import FAULTS, Fault
from tests.system.faults.proxy import is_video
from tests.system.faults.truth import Seen

DAMAGE = (av.error.InvalidDataError, av.error.ArgumentError)  # as the decoder tells it that sees it itself


def pictures(bench: Bench, transport: str = "tcp") -> Iterator[Seen]:
    with av.open(bench.address, options={"rtsp_transport": transport}, timeout=(5.0, 3.0)) as container:
        for packet in container.demux(video=0):
            with contextlib.suppress(*DAMAGE):
                for frame in packet.decode():
                    yield Seen.of(frame.to_ndarray(format="bgr24"), timestamp=frame.time or 0.0)


def some(bench: Bench, count: int, transport: str = "tcp") -> list[Seen]:
    stream = pictures(bench, transport)
    found = list(itertools.islice(stream, count))
    stream.close()  # type: ignore[attr-defined]
    return found


@pytest.mark.parametrize("name", ["H.265", "MJPEG", "UDP"])
def test_every_kind_of_camera_sends_whole_pictures_through_the_proxy(name: str) -> None:
    with stream_bench(**FAULTS[name].camera) as bench:
        seen = some(bench, 20, "udp" if name == "UDP" else "tcp")
        assert bench.proxy.packets >= 20  # they did not go past it
    assert all(one.whole for one in seen[2:])
    assert (
        np.diff([one.number for one in seen[2:]]) >= 1
    ).all()  # a camera on a busy machine leaves some out


def test_a_camera_may_send_one_picture_a_second() -> None:
    with stream_bench(fps=1) as bench:
        seen = some(bench, 3)
    assert np.diff([one.taken for one in seen]) == pytest.approx(1.0, abs=0.3)


def test_a_rate_may_vary() -> None:
    with stream_bench(vary=True) as bench:
        gaps = np.diff([one.taken for one in some(bench, 40)])
    assert np.percentile(gaps, 90) > 2.0 * np.percentile(gaps, 10)


def test_a_camera_may_have_no_pictures() -> None:
    with stream_bench(codec="none") as bench, av.open(bench.address, timeout=5.0) as container:
        assert [stream.type for stream in container.streams] == ["audio"]


def test_a_camera_comes_back_on_its_port_with_another_size() -> None:
    with stream_bench() as bench:
        address = bench.address
        assert some(bench, 3)[-1].size == (320, 240)
        bench.stop_camera()
        bench.start_camera(size=(480, 352), fps=10)
        assert bench.address == address
        seen = some(bench, 6)
    assert seen[-1].size == (480, 352)
    assert seen[-1].whole


def test_a_picture_may_stand_still() -> None:
    with stream_bench() as bench:
        stream = pictures(bench)
        next(stream)
        bench.camera.stand_still()
        numbers = [one.number for one in itertools.islice(stream, 40)]
        bench.camera.stand_still(False)
        after = [one.number for one in itertools.islice(stream, 30)]
        stream.close()  # type: ignore[attr-defined]
    assert len(set(numbers[-5:])) == 1
    assert len(set(after[-5:])) == 5


def packet(number: int, size: int = 300) -> bytes:
    return bytes([0x80, 96]) + number.to_bytes(2, "big") + (90 * number).to_bytes(4, "big") + bytes(size - 8)


@pytest.mark.parametrize("name", ["corrupted pictures", "packet loss", "reordering", "timestamps jump back"])
def test_packets_are_altered_as_the_fault_says(name: str) -> None:
    fault = FAULTS[name](None)  # type: ignore[arg-type]
    change = fault.change()  # type: ignore[attr-defined]
    sent = [packet(number) for number in range(1000)]
    # Every hundredth is of a key frame, the others are of pictures that need one.
    sent = [one[:12] + bytes([1 if n % 100 else 5]) + one[13:] for n, one in enumerate(sent)]
    got = [one for each in sent for one in change(each)]
    assert all(is_video(one) for one in got)
    order = [int.from_bytes(one[2:4], "big") for one in got]
    if name == "packet loss":
        assert 0.02 < 1 - len(got) / len(sent) < 0.1
        assert order == sorted(order)
    elif name == "reordering":
        assert len(got) >= len(sent) - 1
        assert 50 < sum(a > b for a, b in itertools.pairwise(order)) < 200
    elif name == "corrupted pictures":
        assert sum(a != b for a, b in zip(sent, got, strict=True)) == pytest.approx(333, abs=3)
        assert all(a[:28] == b[:28] and len(a) == len(b) for a, b in zip(sent, got, strict=True))
    else:
        back = [
            int.from_bytes(b[4:8], "big") - int.from_bytes(a[4:8], "big")
            for a, b in zip(sent, got, strict=True)
        ]
        assert {gap % (1 << 32) for gap in back} == {(1 << 32) - 3600 * 90_000}


def damaged_for_a_while(name: str) -> tuple[list[Seen], list[Seen], list[Seen]]:
    """Pictures before the damage, while it lasts, and after it."""
    with stream_bench(**FAULTS[name].camera) as bench:
        stream = pictures(bench)
        before = list(itertools.islice(stream, 15))
        fault: Fault = FAULTS[name](bench)
        fault.start()
        during = list(itertools.islice(stream, 45))
        fault.stop()
        after = list(itertools.islice(stream, 45))
        stream.close()  # type: ignore[attr-defined]
    return before, during, after


@pytest.mark.slow
def test_damage_is_damage_to_whoever_does_not_look() -> None:
    names = ("corrupted pictures", "corrupted pictures, H.265", "corrupted pictures, MJPEG")
    with ThreadPoolExecutor(len(names)) as pool:  # they wait for the camera
        for name, (before, during, after) in zip(names, pool.map(damaged_for_a_while, names), strict=True):
            assert all(one.whole for one in before[2:]), name
            assert sum(not one.whole for one in during) > 5, name
            assert all(one.whole for one in after[-15:]), name


@pytest.mark.slow
def test_a_slow_network_needs_twice_the_time() -> None:
    with stream_bench(codec="mjpeg") as bench:
        stream = pictures(bench)
        list(itertools.islice(stream, 30))
        fault = FAULTS["slow network"](bench)
        begun, fast = time.monotonic(), bench.proxy.bytes_a_second(1.0)
        fault.start()
        assert bench.proxy.rate is not None
        list(itertools.islice(stream, 30))
        assert time.monotonic() - begun > 30 / bench.fps
        assert bench.proxy.bytes_a_second(1.0) < 0.75 * fast
        fault.stop()
        stream.close()  # type: ignore[attr-defined]


def test_every_fault_has_a_name_and_a_sentence() -> None:
    for name, fault in FAULTS.items():
        assert fault.name == name
        assert fault.__doc__ is not None
        assert fault.__doc__.strip().endswith(".")

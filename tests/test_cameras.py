"""The cameras of the tests are themselves tested: with plain OpenCV and with plain PyAV."""

from __future__ import annotations

import itertools
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from tests import cameras
from tests.cameras import Camera, free_port, http_camera, need_rtsp, rtsp_camera, silent_camera
from tests.rtsp_server import CELL, read_stamp, stamp_rows

DEADLINES = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, 5000, cv2.CAP_PROP_READ_TIMEOUT_MSEC, 3000]
ONE_THREAD = [cv2.CAP_PROP_N_THREADS, 1]  # more of them hold pictures back


def by_opencv(address: str) -> Iterator[np.ndarray]:
    video = cv2.VideoCapture(str(address), cv2.CAP_FFMPEG, DEADLINES + ONE_THREAD)
    try:
        while (picture := video.read())[0]:
            yield picture[1]
    finally:
        video.release()


def by_pyav(address: str) -> Iterator[np.ndarray]:
    options = {"rtsp_transport": "tcp"} if address.startswith("rtsp") else {}
    with av.open(str(address), options=options, timeout=(5.0, 3.0)) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="bgr24")


def opens(address: str) -> bool:
    video = cv2.VideoCapture(address, cv2.CAP_FFMPEG, DEADLINES)
    try:
        return video.isOpened()
    finally:
        video.release()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One second of 320x240 at 20 a second; the left half is dark, then bright."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 20.0, (320, 240))
    for number in range(20):
        image = np.full((240, 320, 3), 100, np.uint8)
        image[:, :160] = 40 if number < 10 else 220
        writer.write(image)
    writer.release()
    return path


def test_the_stamp_is_read_as_it_was_written() -> None:
    image = np.full((240, 320, 3), 90, np.uint8)
    for row, bits in enumerate(stamp_rows(1234567, 987654321)):
        for column, bit in enumerate(bits):
            image[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL] = 235 * int(bit)
    assert read_stamp(image) == (1234567, 987654321)
    assert read_stamp(image[:, :, 0]) == (1234567, 987654321)


def test_a_picture_without_a_stamp_has_none() -> None:
    assert read_stamp(np.full((240, 320, 3), 90, np.uint8)) is None
    assert read_stamp(np.zeros((240, 320, 3), np.uint8)) is None
    assert read_stamp(np.full((240, 320, 3), 255, np.uint8)) is None
    assert read_stamp(np.zeros((8, 8, 3), np.uint8)) is None


@pytest.mark.slow
@pytest.mark.parametrize("read", [by_opencv, by_pyav])
def test_an_rtsp_camera_gives_every_picture_at_its_own_rate(read) -> None:
    with rtsp_camera(fps=20, size=(320, 240)) as camera:
        pictures = read(camera)
        # What the opening kept back comes in a burst; the stamps tell the rhythm all the same.
        stamps = [read_stamp(image) for image in itertools.islice(pictures, 45)]
        pictures.close()
    assert None not in stamps[1:]  # before the encoder has found its feet, one may be blurred
    numbers = [number for number, _ in stamps[1:]]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    seconds = (stamps[-1][1] - stamps[1][1]) / 1000
    assert (len(numbers) - 1) / seconds == pytest.approx(20, rel=0.15)


@pytest.mark.slow
def test_the_stamp_tells_how_old_a_picture_is() -> None:
    with rtsp_camera(size=(320, 240)) as camera:
        ages = []
        for image in itertools.islice(by_opencv(camera), 45):
            number_and_clock = read_stamp(image)
            if number_and_clock:
                ages.append(time.monotonic() * 1000 - number_and_clock[1])
    assert len(ages) > 35
    assert all(age >= -1 for age in ages)  # one clock for both processes; its ms are cut off
    assert np.median(ages[-20:]) < ages[0]  # the burst of the opening is old, what follows is not


@pytest.mark.slow
@pytest.mark.parametrize("codec", ["h265", "mjpeg"])
def test_other_codecs_carry_the_stamp_too(codec: str) -> None:
    with rtsp_camera(codec=codec, size=(320, 240)) as camera:
        stamps = [read_stamp(image) for image in itertools.islice(by_opencv(camera), 10)]
    assert None not in stamps[1:]


@pytest.mark.slow
def test_a_file_is_played_over_and_over(clip: Path) -> None:
    with rtsp_camera(clip) as camera:
        bright = [image[120:, 20:140].mean() > 128 for image in itertools.islice(by_opencv(camera), 45)]
    assert 15 <= sum(bright) <= 30
    changes = sum(before != after for before, after in itertools.pairwise(bright))
    assert changes >= 3  # two in each second of the clip


@pytest.mark.slow
def test_a_stream_with_an_end_ends() -> None:
    with rtsp_camera(loops=1, fps=20, size=(320, 240)) as camera:
        assert 15 <= sum(1 for _ in by_opencv(camera)) <= 20


@pytest.mark.parametrize("auth", ["basic", "digest"])
def test_an_rtsp_camera_refuses_a_wrong_password(auth: str) -> None:
    with rtsp_camera(user="anna", password="p@ss/w:rd", auth=auth, size=(320, 240)) as camera:
        for wrong in (camera.replace("p%40ss", "guess"), f"rtsp://127.0.0.1:{camera.port}/live"):
            assert not opens(wrong)
            with pytest.raises(av.HTTPUnauthorizedError):
                av.open(wrong, timeout=5.0)
        assert next(by_opencv(camera)).shape == (240, 320, 3)


def test_an_rtsp_camera_knows_no_other_path() -> None:
    with rtsp_camera() as camera, pytest.raises(av.HTTPNotFoundError):
        av.open(camera.replace("/live", "/other"), timeout=5.0)


def test_a_killed_camera_ends_the_stream_and_comes_back_on_its_port() -> None:
    with rtsp_camera(size=(320, 240)) as camera:
        pictures = by_opencv(camera)
        next(pictures)
        camera.kill()
        assert sum(1 for _ in pictures) < 100
        assert not opens(camera)
    with rtsp_camera(port=camera.port, size=(320, 240)) as again:
        assert again == camera
        next(by_opencv(again))


def test_a_frozen_camera_says_nothing_until_it_is_thawed() -> None:
    with http_camera(size=(320, 240)) as camera:
        pictures = by_opencv(camera)
        assert read_stamp(next(pictures)) is not None
        camera.freeze()
        frozen_ms = time.monotonic() * 1000
        time.sleep(0.5)
        camera.thaw()
        clocks = [read_stamp(image)[1] for image in itertools.islice(pictures, 20)]
        gaps = np.diff(clocks)
        assert gaps.max() > 400
        assert frozen_ms - 100 < clocks[int(gaps.argmax())] + gaps.max()
        pictures.close()


def test_the_server_is_gone_after_the_context_even_if_frozen() -> None:
    need_rtsp()
    for kind in (rtsp_camera, http_camera):
        with kind() as camera:
            process = camera.process
            assert process.poll() is None
            camera.freeze()
        assert process.poll() is not None
        assert not opens(camera)


def test_a_server_dies_with_its_parent() -> None:
    need_rtsp()
    for kind in (rtsp_camera, http_camera):
        with kind() as camera:
            assert camera.process.stdin is not None
            camera.process.stdin.close()  # as when the parent is killed
            camera.process.wait(5)


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    need_rtsp()
    with pytest.raises(RuntimeError, match="no_such"), rtsp_camera(tmp_path / "no_such.mp4"):
        pass


@pytest.mark.parametrize("read", [by_opencv, by_pyav])
def test_an_http_camera_gives_every_picture_at_its_own_rate(read) -> None:
    with http_camera(fps=20, size=(320, 240)) as camera:
        pictures = read(camera)
        stamps = [read_stamp(image) for image in itertools.islice(pictures, 20)]
        pictures.close()
    assert [number for number, _ in stamps] == list(range(20))
    assert 19 / (stamps[-1][1] - stamps[0][1]) * 1000 == pytest.approx(20, rel=0.15)


def test_an_http_camera_refuses_a_wrong_password() -> None:
    with http_camera(user="anna", password="p@ss/w:rd", size=(320, 240)) as camera:
        assert not opens(camera.replace("p%40ss", "guess"))
        assert next(by_opencv(camera)).shape == (240, 320, 3)


def test_an_http_camera_serves_a_file_whole_and_a_single_picture(clip: Path) -> None:
    with http_camera(clip=clip) as camera:
        assert sum(1 for _ in by_opencv(camera.replace("/video", "/clip.mp4"))) == 20
        assert sum(1 for _ in by_pyav(camera.replace("/video", "/clip.mp4"))) == 20
        assert sum(1 for _ in by_opencv(camera.replace("/video", "/shot.jpg"))) == 1


def test_a_silent_camera_is_given_up_at_the_deadline() -> None:
    with silent_camera() as address:
        started = time.monotonic()
        deadline = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, 500]
        assert not cv2.VideoCapture(address, cv2.CAP_FFMPEG, deadline).isOpened()
        assert time.monotonic() - started > 0.4
    assert not opens(f"rtsp://127.0.0.1:{free_port()}/live")


def test_without_a_server_tests_are_skipped_here_and_fail_on_the_build_machine(monkeypatch) -> None:
    monkeypatch.setattr(cameras, "rtsp_missing", lambda: "it is not installed")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="not installed"):
        need_rtsp()
    monkeypatch.delenv("CI")
    with pytest.raises(pytest.skip.Exception, match="not installed"):
        need_rtsp()


def test_what_is_missing_is_told_with_the_remedy(monkeypatch) -> None:
    monkeypatch.setattr(cameras, "SYSTEM_PYTHON", "/no/such/python")
    cameras.rtsp_missing.cache_clear()
    assert cameras.rtsp_missing() == "there is no /no/such/python"
    bare = subprocess.CompletedProcess([], 1, "", "ModuleNotFoundError: No module named 'gi'\n")
    monkeypatch.setattr(cameras.subprocess, "run", lambda *_, **__: bare)
    cameras.rtsp_missing.cache_clear()
    assert ".ci/system-packages" in cameras.rtsp_missing()
    cameras.rtsp_missing.cache_clear()


def test_a_camera_is_its_address() -> None:
    assert Camera("rtsp://anna:x@127.0.0.1:8554/live").port == 8554

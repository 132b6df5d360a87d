"""The annotated stream, published to a real RTSP server and read back; and servers that behave badly."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from streamrec.outputs.streaming.h264 import RtpVideo, describe, parameter_sets
from streamrec.outputs.streaming.rtsp import NotPublished, Publisher
from streamrec.outputs.streaming.stream import StreamOut
from streamrec.settings.evidence import Privacy
from streamrec.settings.stream import StreamSettings
from streamrec.types import Frame, Prediction, Result
from tests.helpers.cameras import free_port, rtsp_receiver
from tests.helpers.certificates import make_certificate
from tests.helpers.rtsp_server import read_stamp, stamp

WIDTH, HEIGHT, FPS = 320, 240, 15


def result_of(number: int, camera: str = "door", *, image: np.ndarray | None = None) -> Result:
    if image is None:
        planes = bytearray(b"\x5a" * (WIDTH * HEIGHT) + b"\x80" * (WIDTH * HEIGHT // 2))
        stamp(planes, WIDTH, HEIGHT, number, int(time.monotonic() * 1000))
        yuv = np.frombuffer(planes, np.uint8).reshape(HEIGHT * 3 // 2, WIDTH)
        image = cv2.cvtColor(yuv, cv2.COLOR_YUV2BGR_I420)
    prediction = Prediction("wave", 0.9, np.array([0.9], np.float32), number / FPS, ("wave",))
    return Result(Frame(image, number, number / FPS, source=camera), prediction)


@contextlib.contextmanager
def fed(out: StreamOut, make: Callable[[int], Result] = result_of) -> Iterator[list[float]]:
    """Results at the rate of a camera; the seconds that each ``write`` took."""
    over, took = threading.Event(), []

    def feed() -> None:
        number, due = 0, time.monotonic()
        while not over.wait(max(0.0, due - time.monotonic())):
            result = make(number)
            began = time.perf_counter()
            out.write(result)
            took.append(time.perf_counter() - began)
            number, due = number + 1, due + 1 / FPS

    thread = threading.Thread(target=feed, daemon=True)
    thread.start()
    try:
        yield took
    finally:
        over.set()
        thread.join()
        out.close()


def frames_of(address: str, count: int) -> list[av.VideoFrame]:
    """The first frames that a client of RTSP gets there, once the stream is there."""
    ends = time.monotonic() + 60
    while True:
        try:
            with av.open(address, options={"rtsp_transport": "tcp"}, timeout=20) as container:
                return [frame for frame, _ in zip(container.decode(video=0), range(count), strict=False)]
        except av.FFmpegError:
            if time.monotonic() > ends:
                raise
            time.sleep(0.2)


def until(true: Callable[[], object], seconds: float = 60.0) -> None:
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, "it did not come"
        time.sleep(0.02)


def test_a_client_reads_the_stream_from_the_server_with_a_login_that_no_message_holds():
    said: list[str] = []
    with rtsp_receiver(user="me", password="p@s/s") as server:
        out = StreamOut(StreamSettings(to=str(server), overlay=False), log=said.append)
        with fed(out):
            frames = frames_of(str(server).replace("/door", "/seen"), 20)
            numbers = [
                found[0] for frame in frames if (found := read_stamp(frame.to_ndarray(format="bgr24")))
            ]
            assert len(numbers) > 10 and numbers == sorted(set(numbers))
            assert {(frame.width, frame.height) for frame in frames} == {(WIDTH, HEIGHT)}
            assert said == []
        wrong = str(server).replace("p%40s", "n0pe")
        with fed(StreamOut(StreamSettings(to=wrong), log=said.append)):
            until(lambda: said)
    assert "the server refused the user or the password" in said[0] and "it is tried again" in said[0]
    assert "n0pe" not in said[0] and "p%40s" not in said[0]


def test_a_server_that_comes_late_and_goes_is_published_to_again_and_said_once_each():
    said: list[str] = []
    port = free_port()
    out = StreamOut(StreamSettings(to=f"rtsp://127.0.0.1:{port}/door"), log=said.append)
    with fed(out) as took:
        until(lambda: said)
        assert "it cannot be reached" in said[0]
        with rtsp_receiver(port=port) as server:
            assert frames_of(str(server).replace("/door", "/seen"), 5)
            until(lambda: len(said) > 1)
        assert "it is published again" in said[1]
        until(lambda: len(said) > 2)
    assert len(said) == 3 and max(took) < 1.0


def test_the_overlay_is_drawn_and_privacy_blurs_what_is_below_it():
    noise = np.random.default_rng(1).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    seen: dict[str, float] = {}
    with rtsp_receiver() as server:
        for name, overlay in (("plain", False), ("drawn", True)):
            out = StreamOut(StreamSettings(to=str(server), overlay=overlay))
            out.threads.set_privacy("door", Privacy.blur)
            with fed(out, lambda n: result_of(n, image=noise)):
                picture = frames_of(str(server).replace("/door", "/seen"), 4)[-1].to_ndarray(format="gray")
                seen[name] = float(np.abs(np.diff(picture.astype(int), axis=1)).max())
    assert seen["plain"] < 40 < seen["drawn"]  # of the noise itself: 250


def test_a_camera_that_may_show_nothing_is_not_streamed():
    out = StreamOut(StreamSettings(to="rtsp://127.0.0.1:9/{camera}"), privacy="none")
    out.write(result_of(0))
    assert not [thread for thread in threading.enumerate() if thread.name == "stream door"]
    out.close()


# -- servers that behave badly


@contextlib.contextmanager
def answering(
    *answers: bytes, then: Callable[[socket.socket], object] | None = None
) -> Iterator[tuple[str, list[bytes]]]:
    """A server that gives these answers, one to each request, and does ``then``; its address, and the requests."""
    got: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                connection, _ = server.accept()
                with connection:
                    for answer in answers:
                        got.append(connection.recv(65_536))
                        connection.sendall(answer)
                    if then is not None:
                        then(connection)

        threading.Thread(target=serve, daemon=True).start()
        yield f"rtsp://me:s3cret@127.0.0.1:{server.getsockname()[1]}/door", got


def answer(status: str = "200 OK", *lines: str) -> bytes:
    return "\r\n".join((f"RTSP/1.0 {status}", "CSeq: 1", *lines, "", "")).encode()


GOOD = answer(), answer("200 OK", "Session: 12;timeout=60"), answer()
SDP = describe(b"\x67\x42\xc0\x1e", b"\x68\xce\x3c\x80")


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ((), "closed the connection|cannot be reached"),
        ((b"HTTP/1.1 200 OK\r\n\r\n",), "no RTSP"),
        ((b"x" * 200_000,), "no RTSP"),
        ((answer("200 OK", "Content-Length: 99999999"),), "no RTSP"),
        ((answer("200 OK", "Content-Length: -5"),), "no RTSP"),
        ((answer("302 Found", "Location: rtsp://evil.example/x"),), "number 302"),
        ((answer("401 Unauthorized", "WWW-Authenticate: Bearer x"),), "refused the user"),
        ((answer("401 Unauthorized", 'WWW-Authenticate: Digest realm="x"'),), "refused the user"),
        ((answer("401 No", 'WWW-Authenticate: Basic realm="x"'),) * 2, "refused the user"),
        ((answer(), answer()), "begins no session"),
        ((answer(), answer("461 Unsupported transport")), "over TCP"),
        ((answer("404 Not Found"),), "no such path"),
    ],
)
def test_what_a_server_answers_wrongly_is_a_clause(answers, reason):
    with answering(*answers) as (address, got):
        with pytest.raises(NotPublished, match=reason) as refused:
            Publisher(StreamSettings(to=address).target("door"), SDP, seconds=5.0)
        assert "s3cret" not in refused.value.reason
        # Basic is sent only where it is asked for, and never in the address.
        assert all(b"s3cret" not in request and b"me:" not in request for request in got)


def test_a_server_that_never_answers_is_left_at_the_deadline():
    over = threading.Event()
    with (
        answering(then=lambda connection: over.wait(30)) as (address, _),
        pytest.raises(NotPublished, match=r"no answer within 0\.2 s"),
    ):
        Publisher(StreamSettings(to=address).target("door"), SDP, seconds=0.2)
    over.set()


@contextlib.contextmanager
def answering_by_tls(folder: Path, *, also: str) -> Iterator[tuple[int, Path]]:
    """The port of a server that takes one stream by TLS, and its certificate, which is for the names in ``also``."""
    certificate, key = make_certificate(folder, "camera.example", also=also)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def serve() -> None:
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            with context.wrap_socket(connection, server_side=True) as secure:
                for answer in GOOD:
                    secure.recv(65536)
                    secure.sendall(answer)
                secure.recv(65536)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1], certificate
    thread.join(60.0)


def test_rtsps_publishes_to_a_server_whose_certificate_is_trusted(tmp_path):
    with answering_by_tls(tmp_path, also="IP:127.0.0.1") as (port, certificate):
        target = StreamSettings(to=f"rtsps://127.0.0.1:{port}/door").target("door")
        context = ssl.create_default_context(cafile=certificate)
        with contextlib.closing(Publisher(target, SDP, context=context)) as publisher:
            publisher.send(b"\x80\x60" + b"\0" * 20)


@pytest.mark.parametrize(
    ("also", "trusted", "reason"),
    [("IP:127.0.0.1", False, "self-signed certificate"), ("DNS:other.example", True, "IP address mismatch")],
)
def test_rtsps_refuses_a_certificate_of_a_stranger_or_of_another_name(tmp_path, also, trusted, reason):
    with answering_by_tls(tmp_path, also=also) as (port, certificate):
        target = StreamSettings(to=f"rtsps://me:s3cret@127.0.0.1:{port}/door").target("door")
        context = ssl.create_default_context(cafile=certificate if trusted else None)
        with pytest.raises(NotPublished, match=f"its certificate is not trusted .*{reason}") as refused:
            Publisher(target, SDP, context=context)
        assert "s3cret" not in refused.value.reason


def test_a_server_that_stops_reading_holds_up_its_own_thread_alone(monkeypatch):
    monkeypatch.setattr("streamrec.outputs.streaming.rtsp._SEND_SECONDS", 0.3)
    said: list[str] = []
    over = threading.Event()
    noise = np.random.default_rng(1).integers(0, 255, (480, 640, 3), np.uint8)
    with answering(*GOOD, then=lambda connection: over.wait(30)) as (address, _):
        out = StreamOut(StreamSettings(to=address, kbit=100_000), log=said.append)
        with fed(out, lambda n: result_of(n, image=np.roll(noise, n * 7, axis=1))) as took:
            until(lambda: said)
        over.set()
    assert "took no data" in said[0] and "s3cret" not in said[0]
    assert sorted(took)[len(took) // 2] < 0.01


def test_packets_of_rtcp_between_the_answers_are_left_out_and_the_login_is_digest_where_both_are_offered():
    both = answer(
        "401 No", 'WWW-Authenticate: Basic realm="x"', 'WWW-Authenticate: Digest realm="x", nonce="n"'
    )
    with (
        answering(both, b"$\x01\x00\x04abcd" + GOOD[0], *GOOD[1:]) as (address, got),
        contextlib.closing(Publisher(StreamSettings(to=address).target("door"), SDP)) as publisher,
    ):
        assert b"Authorization: Digest " in got[1] and b"Session: 12\r\n" in got[3]
        publisher.send(b"\x80\x60" + b"\0" * 20)


def test_the_video_of_another_size_is_fitted_into_the_first_ones():
    video = RtpVideo(np.zeros((241, 321, 3), np.uint8), kbit=500, fps=5.0)
    packets = video.encode(np.zeros((241, 321, 3), np.uint8), 0, key=True)
    sps, pps = parameter_sets(b"".join(map(bytes, packets)))
    assert sps[1] == 66 and pps  # Baseline
    assert f"profile-level-id={sps[1:4].hex().upper()}" in describe(sps, pps)
    for number, shape in enumerate([(480, 640, 3), (10, 900, 3)], 1):
        for packet in video.encode(np.zeros(shape, np.uint8), number * 6000, key=False):
            assert all(len(piece) <= 1400 for piece in video.packets(packet))
    video.close()

"""HTTP addresses: a camera, unless the server shows that it is a file, whatever the ending says."""

from __future__ import annotations

import http.client
import io
import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from http.server import ThreadingHTTPServer
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

import streamrec.sources.cameras
from streamrec.errors import SourceError
from streamrec.pipeline.capture import capture
from streamrec.sources import reconnect as watchdog
from streamrec.sources.cameras import NetworkSource
from streamrec.sources.http_kind import MOST_BYTES, is_file
from streamrec.sources.open import open_source
from streamrec.sources.wrappers import Limited, Region
from streamrec.types import Health
from tests.helpers.cameras import http_camera
from tests.helpers.http_server import QuietHandler

FPS, PICTURES = 20, 30


def film(container: str, pictures: int = PICTURES) -> bytes:
    """Grey pictures, each brighter than the one before."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as out:
        stream = out.add_stream("libx264", rate=FPS, options={"g": "5", "tune": "zerolatency"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, FPS)
        for number in range(pictures):
            frame = av.VideoFrame.from_ndarray(
                np.full((48, 64, 3), 40 + 5 * (number % 40), np.uint8), format="bgr24"
            )
            frame.pts = number
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return file.getvalue()


@dataclass
class Place:
    """What a server has at a path."""

    data: bytes
    length: bool = True  # it says how long it is
    ranges: bool = True  # and gives parts of it
    slowly: float = 0.0  # seconds that all of it takes
    stalls: float | None = None  # after such a part it says nothing more
    endless: bool = False  # begins again and again
    kind: str = "video/mp4"
    silent: bool = False  # accepts, and never answers
    asked: list[str] = field(default_factory=list)


@contextmanager
def serving(**places: Place) -> Iterator[str]:
    over = threading.Event()

    class Handler(QuietHandler):
        def do_OPTIONS(self) -> None:
            self.send_response(200)
            self.end_headers()

        def do_GET(self) -> None:
            place = places[self.path.strip("/").replace(".", "_")]
            place.asked.append(self.headers["Range"] or "")
            if place.silent:
                over.wait(20)
                return
            data, first = place.data, 0
            asked = (self.headers["Range"] or "").removeprefix("bytes=").partition("-")
            if place.ranges and asked[0].isdecimal():
                first, last = int(asked[0]), min(int(asked[2] or len(data) - 1), len(data) - 1)
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {first}-{last}/{len(place.data)}")
                data = data[first : last + 1]
            else:
                self.send_response(200)
            self.send_header("Content-Type", place.kind)
            if place.length:
                self.send_header("Content-Length", str(len(data)))
            if place.ranges:
                self.send_header("Accept-Ranges", "bytes")
            self.end_headers()
            with suppress(OSError):
                for _ in itertools.count():
                    step = 1024
                    for at in range(0, len(data), step):
                        if place.stalls is not None and first + at >= place.stalls * len(place.data):
                            over.wait(20)
                            return
                        self.wfile.write(data[at : at + step])
                        if place.slowly and over.wait(place.slowly * step / len(place.data)):
                            return
                    if not place.endless:
                        return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        over.set()
        server.shutdown()
        server.server_close()


def answer(**fields: str) -> http.client.HTTPMessage:
    message = http.client.HTTPMessage()
    for name, value in fields.items():
        message[name.replace("_", "-")] = value
    return message


@pytest.mark.parametrize(
    ("status", "fields", "expected"),
    [
        (206, {"Content_Range": "bytes 0-0/18000", "Content_Type": "video/mp4"}, True),
        (200, {"Content_Length": "18000", "Content_Type": "application/octet-stream"}, True),
        (200, {"Content_Length": "18000"}, True),
        (206, {"Content_Range": "bytes 0-0/*", "Content_Length": "1"}, False),
        (200, {"Content_Type": "video/mp2t"}, False),
        (200, {"Transfer_Encoding": "chunked", "Content_Length": "18000"}, False),
        (200, {"Content_Length": "18000", "Content_Type": "multipart/x-mixed-replace; boundary=x"}, False),
        (206, {"Content_Range": "bytes 0-0/180", "Content_Type": "application/vnd.apple.mpegurl"}, False),
        (200, {"Content_Length": "18000", "Content_Type": "image/jpeg"}, False),
        (200, {"Content_Length": str(MOST_BYTES)}, False),
        (200, {"Content_Length": str(2**31 - 1)}, False),
        (200, {"Content_Length": "-1"}, False),
        (200, {"Content_Length": "0"}, False),
        (404, {"Content_Length": "18000"}, False),
    ],
)
def test_the_answer_of_a_server_distinguishes_a_file_from_a_camera(status, fields, expected):
    assert is_file(status, answer(**fields)) is expected


class TestFilms:
    @pytest.mark.parametrize("name", ["film_mp4", "film_ts", "film_mkv", "film"])
    @pytest.mark.parametrize("ranges", [True, False])
    def test_a_file_is_played_to_its_end_with_every_picture_whatever_its_ending(self, name, ranges):
        container = {"film_ts": "mpegts", "film_mkv": "matroska"}.get(name, "mp4")
        if container != "mpegts" and not ranges:
            container = "mpegts"  # of the others, the end has to be read first
        with serving(**{name: Place(film(container), ranges=ranges)}) as server:
            source = open_source(f"{server}/{name.replace('_', '.')}", retries=None)
            with capture(source, capacity=1) as frames:
                seen = []
                for frame in frames:
                    time.sleep(0.01)  # of a camera, some would be lost
                    seen.append(frame)
        assert len(seen) == PICTURES
        assert np.diff([frame.timestamp for frame in seen]) == pytest.approx(
            [1 / FPS] * (PICTURES - 1), abs=0.002
        )
        assert {frame.segment for frame in seen} == {0}
        assert (source.live, str(source.health.state), source.health.frames) == (False, "ended", PICTURES)

    def test_settle_finds_out_before_the_first_frame_and_asks_once(self):
        place = Place(film("mp4"))
        with serving(film_mp4=place) as server:
            source = Limited(Region(open_source(f"{server}/film.mp4"), (0, 0, 1, 1)), 10.0)
            assert source.live
            assert place.asked == []
            source.settle()
            source.settle()
            assert not source.live
            assert place.asked == ["bytes=0-0"]
            assert len(list(source)) == PICTURES

    def test_an_address_without_the_ending_of_a_video_is_not_asked_before(self):
        place = Place(film("mp4"))
        with serving(video=place) as server:
            source = open_source(f"{server}/video")
            source.settle()
            assert source.live
            assert place.asked == []

    def test_a_login_is_not_given_to_whom_the_server_leads_on(self):
        logins: list[str | None] = []

        class Handler(QuietHandler):
            def do_GET(self) -> None:
                logins.append(self.headers["Authorization"])
                self.send_response(302 if len(logins) == 1 else 404)
                self.send_header("Location", "/other.mp4")
                self.end_headers()

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            source = open_source(f"http://anna:s%40f@127.0.0.1:{server.server_address[1]}/film.mp4")
            source.settle()
            server.shutdown()
        assert source.live
        assert logins == ["Basic YW5uYTpzQGY=", None]

    def test_a_file_whose_connection_is_lost_is_played_again_with_endless_retries(self, monkeypatch):
        monkeypatch.setattr(watchdog, "BACKOFF_SECONDS", (0.01, 0.02))
        tries = itertools.count()
        good = film("mp4")
        with serving(film_mp4=Place(good)) as server:
            source = open_source(f"{server}/film.mp4", retries=None)
            make = source._video_file

            def flaky():
                one = make()
                if next(tries) == 0:
                    one._frames = lambda: (_ for _ in ()).throw(SourceError("x: the connection was lost"))
                return one

            source._video_file = flaky
            changes: list[Health] = []
            source.on_health = changes.append
            assert len(list(source)) == PICTURES
        assert [str(health.state) for health in changes] == [
            "connecting",
            "reconnecting",
            "connecting",
            "live",
            "ended",
        ]
        assert "the connection was lost" in changes[1].reason

    def test_a_film_that_fails_ends_where_retries_are_counted(self):
        with serving(film_mp4=Place(b"\0" * 5000)) as server, pytest.raises(SourceError):
            list(open_source(f"{server}/film.mp4"))


class TestCameras:
    @pytest.mark.parametrize("name", ["live_ts", "live_mp4", "live_webm"])
    def test_a_camera_is_read_for_ever_whatever_its_ending(self, name, monkeypatch):
        monkeypatch.setattr(watchdog, "BACKOFF_SECONDS", (0.01, 0.02))
        place = Place(film("mpegts"), length=False, ranges=False, slowly=1.5, kind="video/mp2t")
        with serving(**{name: place}) as server:
            source = open_source(f"{server}/{name.replace('_', '.')}", retries=None)
            changes: list[Health] = []
            source.on_health = changes.append
            with closing(iter(source)) as frames:
                again = next(frame for frame in frames if frame.segment == 2)
        assert again.segment == 2
        assert source.live
        assert [str(health.state) for health in changes][:3] == ["connecting", "live", "reconnecting"]
        assert changes[2].reason in ("the camera ended the stream", "the connection was lost")

    def test_one_that_stalls_before_it_answers_is_tried_again(self, monkeypatch):
        monkeypatch.setattr(streamrec.sources.cameras, "OPEN_SECONDS", 0.5)
        monkeypatch.setattr(watchdog, "BACKOFF_SECONDS", (0.01, 0.02))
        place = Place(film("mp4"), silent=True)
        with serving(video_mp4=place) as server:
            source = open_source(f"{server}/video.mp4", retries=None)
            reasons: list[str] = []
            source.on_health = lambda health: reasons.append(health.reason)
            with capture(source) as frames:
                until = time.monotonic() + 20.0
                while len(place.asked) < 3 and time.monotonic() < until:
                    time.sleep(0.02)
                place.silent = False
                first = next(iter(frames))
            assert first.index == 0
        assert len(place.asked) >= 3
        assert any("no answer" in reason for reason in reasons)

    def test_a_camera_by_http_is_opened_once_for_its_pictures(self):
        place = Place(film("mpegts"), length=False, ranges=False, slowly=1.5, endless=True)
        with serving(video=place) as server, closing(iter(open_source(f"{server}/video"))) as frames:
            next(frames)
        assert len(place.asked) == 1

    def test_a_playlist_and_a_picture_are_what_they_were(self, tmp_path: Path):
        with http_camera(size=(320, 240)) as camera:
            source = open_source(camera.replace("/video", "/shot.jpg"))
            assert isinstance(source, NetworkSource)
            assert next(iter(source)).image.shape == (240, 320, 3)
            assert source.live


@pytest.mark.parametrize("first", ["", "--x\r\n", "\r\n", "some words\r\n\r\n"])
def test_pictures_one_after_the_other_are_shown_whatever_comes_before_the_first(first):
    """As browsers do: a boundary before the first part is not everywhere sent."""
    shades = [np.array((40 + 10 * (n // 15), 40 + 10 * (n % 15))) for n in range(225)]  # of the two halves
    shots = [
        cv2.imencode(".jpg", np.tile(np.repeat(shade, 32), (48, 1)).astype(np.uint8))[1].tobytes()
        for shade in shades
    ]

    class Handler(QuietHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=x")
            self.end_headers()
            with suppress(OSError):
                self.wfile.write(first.encode())
                for shot in itertools.cycle(shots):
                    head = f"Content-Type: image/jpeg\r\nContent-Length: {len(shot)}\r\n\r\n"
                    self.wfile.write(head.encode() + shot + b"\r\n--x\r\n")
                    time.sleep(0.03)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        source = open_source(f"http://127.0.0.1:{server.server_address[1]}/video")
        with closing(iter(source)) as frames:
            seen = list(itertools.islice(frames, 20))
        server.shutdown()
    halves = [frame.image.reshape(48, 2, 32, 3).mean((0, 2, 3)) for frame in seen]
    away = [np.abs(np.array(shades) - half).max(1) for half in halves]
    assert max(one.min() for one in away) <= 3
    # A busy reader may miss some, and sees none twice.
    shown = [int(one.argmin()) for one in away]
    assert all((b - a) % len(shots) for a, b in itertools.pairwise(shown))
    assert not source.health.refused.get("torn")

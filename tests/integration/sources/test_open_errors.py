"""Why an address does not open: reported in a sentence that names the cause, never with the message of an error."""

from __future__ import annotations

import itertools
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import ThreadingHTTPServer

import pytest

import streamrec.sources.cameras
from streamrec.errors import SourceError
from streamrec.sources import ffmpeg, reconnect
from streamrec.sources.cameras import NetworkSource, WebcamSource
from streamrec.sources.open import open_source
from streamrec.sources.open_errors import MOST_CONNECTIONS, MOST_REDIRECTS, why_lost
from streamrec.sources.reader_thread import ReaderThread
from tests.helpers.http_server import QuietHandler
from tests.helpers.rtsp_words import Answer, talking

OK = "200 OK"
PYTHON = re.compile(
    r"Errno|Error\b|object has no|0x[0-9a-f]{4}|NoneType|Traceback|\n|invalid argument|input/output"
)


def camera_of(codec: str) -> Answer:
    """A server that describes pictures of this kind, and sends none."""
    sdp = (
        "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
        f"m=video 0 RTP/AVP 96\r\na=rtpmap:96 {codec}/90000\r\na=control:t\r\n"
    )

    def answer(method: str, address: str, port: int) -> tuple[str, dict[str, str], str]:
        if method == "DESCRIBE":
            return OK, {"Content-Type": "application/sdp", "Content-Base": address + "/"}, sdp
        if method == "SETUP":
            return OK, {"Transport": "RTP/AVP/TCP;unicast;interleaved=0-1", "Session": "1"}, ""
        return OK, {"Public": "OPTIONS, DESCRIBE, SETUP, PLAY", "Session": "1"}, ""

    return answer


def leads_to_itself(method: str, address: str, port: int) -> tuple[str, dict[str, str], str]:
    return "302 Moved Temporarily", {"Location": f"rtsp://127.0.0.1:{port}/live"}, ""


def reason_of(address: str) -> str:
    with pytest.raises(SourceError) as caught:
        list(NetworkSource(address, retries=0))
    reason = str(caught.value).partition(": ")[2]
    assert not PYTHON.search(reason), reason
    assert len(reason.split()) >= 3
    return reason


@pytest.mark.parametrize(
    ("status", "says"),
    [
        ("400 Bad Request", "does not understand"),
        ("401 Unauthorized", "refused the user or the password"),
        ("403 Forbidden", "refused the user or the password"),
        ("404 Not Found", "no such stream; check the path"),
        ("406 Not Acceptable", "check the path"),
        ("451 Parameter Not Understood", "with the number 451"),
        ("453 Not Enough Bandwidth", "not enough bandwidth"),
        ("461 Unsupported Transport", "TCP or UDP"),
        ("500 Oops", "an error of its own"),
        ("503 Service Unavailable", "as many viewers as it can serve"),
        ("999 What", "an error of its own"),
    ],
)
def test_an_answer_of_a_server_is_explained_by_its_meaning(status, says, monkeypatch):
    monkeypatch.setattr(ffmpeg, "BUSY_TRIES", 1)
    monkeypatch.setattr(ffmpeg, "BUSY_SECONDS", 0.0)
    with talking(lambda *_: (status, {}, "")) as server:
        assert says in reason_of(server.address)


@pytest.mark.parametrize("scheme", ["rtsp", "http", "rtmp"])
@pytest.mark.parametrize("name", ["no-such-camera.invalid", "a" * 70 + ".example", "käm.invalid"])
def test_an_unknown_host_name_is_reported(scheme, name, monkeypatch):
    for proxy in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy"):
        monkeypatch.delenv(proxy, raising=False)
    assert reason_of(f"{scheme}://me:s3cret@{name}/live").startswith("the name ")
    assert "is not known (DNS)" in reason_of(f"{scheme}://{name}/live")


@pytest.mark.parametrize(
    "address", ["rtsp://127.0.0.1:99999/live", "udp://nonsense", "rtsp://127.0.0.1 8/live"]
)
def test_an_address_that_is_none_is_reported_in_a_sentence(address):
    reason_of(address)


def test_pictures_of_a_kind_without_a_decoder_are_reported(monkeypatch):
    monkeypatch.setattr(streamrec.sources.cameras, "OPEN_SECONDS", 1.0)
    with talking(camera_of("X-WEIRD")) as server:
        assert "set the camera to H.264" in reason_of(server.address)


@pytest.mark.parametrize("number", [99999999999999999999, -1, 10**6, "9" * 20])
def test_a_webcam_whose_number_none_has_is_reported_in_one_line(number):
    with pytest.raises(SourceError, match=r"there is no webcam .*`streamrec doctor`") as caught:
        list(open_source(number) if isinstance(number, str) else WebcamSource(number, retries=0))
    assert "\n" not in str(caught.value)


MISTAKES = [
    AttributeError("'NoneType' object has no attribute 'name'"),
    KeyError(7),
    MemoryError(),
    OSError(24, "x"),
    OSError("x"),
]


@pytest.mark.parametrize("error", MISTAKES)
def test_an_unexpected_error_is_reported_without_its_own_message(error):
    def read(reader: ReaderThread) -> None:
        raise error

    condition = threading.Condition()
    reader = ReaderThread(read, condition, name="x", opening=1.0)
    reader.thread.join(60.0)
    assert reader.ended is not None
    assert reader.ended.reason == why_lost(error)
    assert str(error) not in reader.ended.reason or not str(error)
    assert not PYTHON.search(reader.ended.reason.replace(f"({type(error).__name__})", ""))


# -- circles


@contextmanager
def web(answer: Callable[[str, int], tuple[int, dict[str, str], str]]) -> Iterator[tuple[str, Counter[str]]]:
    """A server of HTTP, and how often each path was asked for."""
    asked: Counter[str] = Counter()

    class Handler(QuietHandler):
        def do_OPTIONS(self) -> None:
            self.send_response(200)
            self.end_headers()

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            asked[path] += 1
            status, fields, body = answer(path, self.server.server_address[1])
            with suppress(OSError):
                self.send_response(status)
                for name, value in {**fields, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body.encode())

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            pass

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", asked
        finally:
            server.shutdown()


@pytest.mark.parametrize("where", ["OPTIONS", "DESCRIBE"])
def test_redirects_of_rtsp_in_a_circle_have_a_bound_and_are_reported(where, monkeypatch):
    monkeypatch.setattr(streamrec.sources.cameras, "OPEN_SECONDS", 1.0)

    def answer(method: str, address: str, port: int) -> tuple[str, dict[str, str], str]:
        return leads_to_itself(method, address, port) if method == where else (OK, {}, "")

    with talking(answer) as server:
        assert "leads on to another address again and again" in reason_of(server.address)
        assert server.connections <= MOST_REDIRECTS + 2


def test_a_circle_is_asked_again_with_pauses(monkeypatch):
    monkeypatch.setattr(streamrec.sources.cameras, "OPEN_SECONDS", 0.3)
    monkeypatch.setattr(reconnect, "BACKOFF_SECONDS", (0.5, 0.5))
    with talking(leads_to_itself) as server:
        source = NetworkSource(server.address, retries=None)
        alarm = threading.Timer(3.0, source.interrupt)
        alarm.start()
        assert list(source) == []
        assert server.connections <= 5 * (MOST_REDIRECTS + 4)  # an opening takes 0.8 s with its pause


def test_a_redirect_that_leads_somewhere_is_followed():
    with (
        talking(camera_of("X-WEIRD")) as camera,
        talking(lambda *_: ("302 Found", {"Location": camera.address}, "")) as server,
    ):
        source = NetworkSource(server.address, retries=0)
        threading.Timer(1.5, source.interrupt).start()
        with suppress(SourceError):
            list(source)
        assert "DESCRIBE" in camera.asked


def test_redirects_of_http_in_a_circle_have_a_bound_and_are_reported(monkeypatch):
    monkeypatch.setattr(reconnect, "BACKOFF_SECONDS", (0.5, 0.5))
    with web(lambda path, port: (302, {"Location": f"http://127.0.0.1:{port}/live"}, "")) as (address, asked):
        assert "leads on to another address again and again" in reason_of(f"{address}/live")
        before = asked.total()
        assert before <= 15
        source = NetworkSource(f"{address}/live", retries=None)
        threading.Timer(2.0, source.interrupt).start()
        assert list(source) == []
        assert asked.total() <= before + 5 * 15


@pytest.mark.parametrize("deep", [False, True])
def test_playlists_in_playlists_have_a_bound_and_are_reported(deep, monkeypatch):
    monkeypatch.setattr(streamrec.sources.cameras, "OPEN_SECONDS", 1.0)
    numbers = itertools.count(1)

    def answer(path: str, port: int) -> tuple[int, dict[str, str], str]:
        name = f"more{next(numbers)}.m3u8" if deep else "live.m3u8"
        kind = {"Content-Type": "application/vnd.apple.mpegurl"}
        return 200, kind, f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1000\n{name}\n"

    with web(answer) as (address, asked):
        source = NetworkSource(f"{address}/live.m3u8", retries=None)
        reasons: list[str] = []
        source.on_health = lambda health: reasons.append(health.reason)
        begun = time.monotonic()
        threading.Timer(2.0, source.interrupt).start()
        assert list(source) == []
        openings = 1 + (time.monotonic() - begun) // 1.0
        assert asked.total() <= openings * (MOST_CONNECTIONS + 5)
    assert not any(PYTHON.search(reason) for reason in reasons)


def test_a_playlist_that_names_what_is_no_video_is_reported_and_asked_with_pauses():
    """A web service of this machine, say: nothing of its answer is shown."""

    def answer(path: str, port: int) -> tuple[int, dict[str, str], str]:
        if path == "/service":
            return 200, {"Content-Type": "application/json"}, '{"secret": 1}'
        kind = {"Content-Type": "application/vnd.apple.mpegurl"}
        return 200, kind, f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nhttp://127.0.0.1:{port}/service\n"

    with web(answer) as (address, asked):
        assert "cannot be read, or are no video" in reason_of(f"{address}/live.m3u8")
        assert asked["/service"] == 0  # FFmpeg asks for names of pieces alone

"""Bytes of recordings: behind a server that pauses, breaks off or falls silent; and what a header promises."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from streamrec.errors import SourceError
from streamrec.sources.file_bytes import UnreadableError
from streamrec.sources.files import FileSource
from streamrec.sources.health import OVER, amiss
from streamrec.sources.remote_file import RemoteFile
from tests.helpers import forked
from tests.helpers.cameras import silent_camera
from tests.helpers.http_server import QuietHandler
from tests.integration.sources.test_decoding import sliding, write


class Store(ThreadingHTTPServer):
    """A store of one film; ``answer`` is given each request's handler, its number and the first byte asked for."""

    daemon_threads = True

    def __init__(self, data: bytes, answer: Callable[[Handler, int, int], None], *, ranges: bool) -> None:
        self.data, self.answer, self.ranges = data, answer, ranges
        self.asked: list[int] = []
        self.over = threading.Event()
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(QuietHandler):
    server: Store
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "")
        start = int(asked[1]) if asked and self.server.ranges else 0
        self.server.asked.append(start)
        total = len(self.server.data)
        self.send_response(206 if self.server.ranges else 200)
        if self.server.ranges:
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        self.send_header("Content-Length", str(total - start))
        self.end_headers()
        with suppress(OSError):
            self.server.answer(self, len(self.server.asked), start)

    def send(self, start: int, end: int | None = None) -> None:
        self.wfile.write(self.server.data[start:end])
        self.wfile.flush()


@contextmanager
def store(
    data: bytes, answer: Callable[[Handler, int, int], None], *, ranges: bool = True
) -> Iterator[tuple[Store, str]]:
    with Store(data, answer, ranges=ranges) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server, f"http://127.0.0.1:{server.server_address[1]}/film.mp4"
        finally:
            server.over.set()
            server.shutdown()


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    noise = np.random.default_rng(0).integers(0, 256, (40, 80, 96, 3), np.uint8)
    return write(
        tmp_path_factory.mktemp("film") / "film.mp4",
        [*noise],
        options={"crf": "10"},
        container_options={"movflags": "+faststart"},
    )


def breaks_off(handler: Handler, number: int, start: int) -> None:
    """In the middle, the first time."""
    half = len(handler.server.data) // 2
    handler.send(start, half if number == 1 else None)
    handler.close_connection = True


def never_more_than_half(handler: Handler, number: int, start: int) -> None:
    handler.send(start, len(handler.server.data) // 2)
    handler.close_connection = True


def falls_silent(handler: Handler, number: int, start: int) -> None:
    if number == 1:
        handler.send(start, len(handler.server.data) // 2)
    handler.server.over.wait(60)


@pytest.mark.parametrize("ranges", [True, False])
def test_a_line_that_breaks_is_asked_again_from_the_same_byte(film, ranges):
    with store(film.read_bytes(), breaks_off, ranges=ranges) as (server, address):
        source = FileSource(address)
        frames = list(source)
        assert [frame.timestamp for frame in frames] == [f.timestamp for f in FileSource(film)]
        assert source.health.reason == OVER
        assert len(server.asked) >= 2
        if ranges:
            assert server.asked[1] == len(server.data) // 2


def test_a_server_that_is_silent_for_a_while_is_waited_for_and_asked_again(film):
    """It says nothing any more on the first line, and all on the second."""

    def answer(handler: Handler, number: int, start: int) -> None:
        if number == 1:
            falls_silent(handler, number, start)
        else:
            handler.send(start)

    with store(film.read_bytes(), answer) as (server, address):
        remote = RemoteFile(address, patience=2.0)
        remote.open()
        read = b""
        while data := remote.read(1 << 16):
            read += data
        assert read == server.data
        assert remote.lost == ""
        remote.close()


def test_a_film_whose_server_never_gives_the_rest_is_a_lost_connection(film):
    with store(film.read_bytes(), never_more_than_half) as (_, address):
        source = FileSource(address)
        came = len(list(source))
        assert 0 < came < 40
        assert amiss(source).startswith("the connection was lost")


def test_a_film_that_is_another_one_now_is_not_read_on(film):
    def answer(handler: Handler, number: int, start: int) -> None:
        breaks_off(handler, number, start)
        handler.server.data = handler.server.data + b"more"

    with store(film.read_bytes(), answer) as (_, address):
        source = FileSource(address)
        list(source)
        assert "was changed at the server" in amiss(source)


def test_a_silent_server_blocks_no_interrupt(film):
    with store(film.read_bytes(), falls_silent) as (_, address):
        source = FileSource(address)
        came = []
        reader = threading.Thread(target=lambda: came.extend(source), daemon=True)
        reader.start()
        until = time.monotonic() + 20.0
        while not came and time.monotonic() < until:
            time.sleep(0.01)
        source.interrupt()
        reader.join(60.0)
        assert not reader.is_alive()
        assert came
        assert amiss(source) is None  # nobody reads it any more: that is no fault of the file


def test_a_server_that_never_answers_blocks_no_interrupt():
    with silent_camera("http") as address:
        remote = RemoteFile(f"{address}.mp4")
        ended = []

        def ask() -> None:
            with pytest.raises(UnreadableError):
                remote.open()
            ended.append(True)

        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        asking.join(0.2)
        assert asking.is_alive()
        remote.interrupt()
        asking.join(60.0)
        assert ended


@pytest.mark.parametrize(
    ("status", "says"), [(401, "refused the user"), (404, "knows no such stream"), (500, "answers 500")]
)
def test_why_a_server_refuses_is_reported_in_a_sentence(film, status, says):
    class Refusing(Handler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://me:hunter2@127.0.0.1:{server.server_address[1]}/film.mp4"
        with pytest.raises(SourceError, match=says) as caught:
            list(FileSource(address))
        assert "hunter2" not in str(caught.value)
        server.shutdown()


def test_a_password_is_given_to_a_server_that_asks(film):
    logins: list[str | None] = []

    class Asking(Handler):
        def do_GET(self) -> None:
            logins.append(self.headers["Authorization"])
            if self.headers["Authorization"] is None:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="store"')
                self.send_header("Content-Length", "0")
                self.end_headers()
            else:
                super().do_GET()

    server = Store(film.read_bytes(), lambda handler, number, start: handler.send(start), ranges=True)
    server.RequestHandlerClass = Asking
    with server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://me:s3%20cret@127.0.0.1:{server.server_address[1]}/film.mp4"
        assert len(list(FileSource(address))) == 40
        server.shutdown()
    assert logins[1] == "Basic bWU6czMgY3JldA=="


def test_run_ends_with_3_where_the_rest_of_a_film_was_lost(film):
    with store(film.read_bytes(), never_more_than_half) as (_, address):
        command = [sys.executable, "-m", "streamrec", "run", address, "-m", "synthetic", "--no-show"]
        ended = forked.run(command, capture_output=True, text=True, timeout=280)
        assert ended.returncode == 3
        assert "the connection was lost" in ended.stderr
        assert "Traceback" not in ended.stderr


def test_a_film_of_moving_boxes_is_the_same_from_a_disk_and_from_a_server(tmp_path):
    path = write(tmp_path / "film.mkv", sliding(30), fps=25)
    with store(path.read_bytes(), lambda handler, number, start: handler.send(start)) as (_, address):
        remote = [frame.image.tobytes() for frame in FileSource(address)]
    assert remote == [frame.image.tobytes() for frame in FileSource(path)]

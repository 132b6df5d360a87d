"""Connections are bounded where they are accepted, and who asks for nothing makes room."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import ssl
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import httpx
import pytest

from streamrec.web import connections
from streamrec.web.connections import Connection, Connections, Stage
from tests.helpers.certificates import make_certificate
from tests.helpers.pages import wait_for
from tests.helpers.paths import ROOT

FEW = 12


class Fake(Connection):
    """A connection that does what a test says."""

    def __init__(self, address: str, stage: Stage, since: float = 0.0) -> None:
        self.address, self.told, self.gone = address, (stage, since), False

    @property
    def is_open(self) -> bool:
        return not self.gone

    def stage(self, now: float) -> tuple[Stage, float]:
        return self.told

    def check(self, now: float) -> None:
        pass

    def cut(self) -> None:
        self.gone = True


class TestWhoMakesRoom:
    def crowd(self, *members: Fake) -> tuple[Connections, list[str], list[float]]:
        told, now = [], [0.0]
        crowd = Connections(len(members), told.append, clock=lambda: now[0])
        for one in members:
            crowd.add(one)
        return crowd, told, now

    def test_what_asks_for_nothing_goes_before_what_waits_and_the_oldest_first(self):
        members = [
            Fake("a", Stage.stalled, 1.0), Fake("a", Stage.idle, 9.0), Fake("a", Stage.busy),
            Fake("a", Stage.idle, 3.0), Fake("a", Stage.sending, 1.0), Fake("a", Stage.greeting, 8.0),
            Fake("a", Stage.greeting, 7.0),
        ]  # fmt: skip
        crowd, _, _ = self.crowd(*members)
        went = []
        for _ in range(6):
            assert crowd.make_room("b")
            (new,) = [n for n, one in enumerate(members) if one.gone and n not in went]
            went.append(new)
            crowd.add(Fake("b", Stage.busy))
        assert went == [6, 5, 3, 1, 4, 0]
        assert not crowd.make_room("b")  # all are busy

    def test_the_address_that_has_most_loses_one(self):
        few = [Fake("few", Stage.greeting, 1.0) for _ in range(3)]
        many = [Fake("many", Stage.stalled, 50.0) for _ in range(5)]
        crowd, _, _ = self.crowd(*few, *many)
        assert crowd.make_room("new")
        assert not any(one.gone for one in few) and sum(one.gone for one in many) == 1

    def test_those_that_are_gone_count_no_more(self):
        members = [Fake("a", Stage.busy) for _ in range(4)]
        crowd, told, _ = self.crowd(*members)
        assert not crowd.make_room("b")
        members[0].gone = True
        assert crowd.make_room("b") and len(told) == 1

    def test_it_is_told_once_a_minute(self):
        crowd, told, now = self.crowd(*(Fake("10.0.0.9", Stage.idle) for _ in range(4)))
        for n in range(500):
            now[0] = n / 10
            crowd.make_room("10.0.0.9")
            crowd.add(Fake("10.0.0.9", Stage.idle))
            crowd.check()
        assert len(told) == 1 and "4 connections" in told[0] and "10.0.0.9" in told[0]
        now[0] = 61.0
        crowd.check()
        assert len(told) == 2 and "(499 so far)" in told[1]

    def test_there_are_far_fewer_than_files_may_be_open(self, monkeypatch):
        resource = pytest.importorskip("resource")
        for soft, most in ((64, 16), (256, 64), (1024, 256), (20_000, 256), (resource.RLIM_INFINITY, 256)):
            monkeypatch.setattr(resource, "getrlimit", lambda _, soft=soft: (soft, soft))
            assert connections.most_connections() == most


@pytest.fixture
def few(monkeypatch):
    """Pages take few connections, and look after them often."""
    monkeypatch.setattr("streamrec.web.server.most_connections", lambda: FEW)


@contextlib.contextmanager
def crowd(page, count: int, first: bytes = b""):
    """So many connections that send this, and then nothing."""
    host, _, port = page.host.rpartition(":")
    with contextlib.ExitStack() as stack:
        found = []
        for _ in range(count):
            one = stack.enter_context(socket.create_connection((host, int(port)), timeout=5))
            one.sendall(first)
            found.append(one)
        yield found


def told_by(page) -> list[str]:
    told: list[str] = []
    page.server._limited_log._log = told.append
    return told


IDLE = {
    "nothing at all": b"",
    "half a request": b"GET /healthz HTTP/1.1\r\nHost: HOST\r\n",
    "an answered request": b"GET /healthz HTTP/1.1\r\nHost: HOST\r\n\r\n",
    "half a body": b"POST /api/v1/login HTTP/1.1\r\nHost: HOST\r\nOrigin: http://HOST\r\n"
    b"Content-Type: application/json\r\nContent-Length: 40\r\n\r\n{",
    "nonsense": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}


@pytest.mark.parametrize("what", IDLE)
def test_who_asks_for_nothing_keeps_nobody_out(open_page, few, what):
    page = open_page("door", guarded=True)
    told = told_by(page)
    with crowd(page, 5 * FEW, IDLE[what].replace(b"HOST", page.host.encode())):
        for _ in range(3):
            with page.client(headers={"Authorization": f"Bearer {page.token}"}) as client:
                assert client.get("/api/v1/cameras").status_code == 200
                assert client.get("/").status_code == 200
        assert len(page.server._server._connections) <= FEW
    assert len(told) <= 1
    wait_for(lambda: not page.server._server.server_state.connections)


def test_where_all_are_busy_a_new_one_is_told_so_at_once(open_page, few):
    from websockets.sync.client import connect

    page = open_page("door")
    page.server.hub._most = FEW
    with contextlib.ExitStack() as stack:
        for _ in range(FEW):
            looking = connect(f"ws://{page.host}/api/v1/live", origin=page.url)
            stack.enter_context(looking).recv(timeout=5)
        with page.client() as client:
            answer = client.get("/healthz")  # while all are still busy
        assert answer.status_code == 503 and answer.json()["error"]["code"] == "busy"
        assert answer.headers["retry-after"]
    wait_for(lambda: not page.server.hub.count)
    with page.client() as client:
        assert client.get("/healthz").status_code == 200


def test_viewers_go_on_while_others_come_and_ask_for_nothing(open_page, few):
    from websockets.sync.client import connect

    page = open_page("door")
    with connect(f"ws://{page.host}/api/v1/live", origin=page.url) as looking:
        looking.recv(timeout=5)
        looking.send('{"want": {"door": 320}}')
        with crowd(page, 4 * FEW):
            for _ in range(3):
                page.actors["door"].show()
                while not isinstance(looking.recv(timeout=5), bytes):
                    pass
                looking.send('{"got": 1}')


def test_one_that_takes_nothing_of_what_is_sent_makes_room_and_is_cut_off(open_page, few, monkeypatch):
    monkeypatch.setattr(connections, "_STALLS_AFTER", 0.5)
    monkeypatch.setattr(connections, "STALL_SECONDS", 3.0)
    page = open_page("door")
    # Answers of 300 KB and more to requests that come together, and none is read.
    asked = b"GET /static/style.css HTTP/1.1\r\nHost: HOST\r\n\r\n".replace(b"HOST", page.host.encode())
    host, _, port = page.host.rpartition(":")
    with contextlib.ExitStack() as stack:
        for _ in range(FEW):
            one = stack.enter_context(socket.socket())
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            one.connect((host, int(port)))
            one.setblocking(False)
            for _ in range(300):  # as many as it reads
                with contextlib.suppress(BlockingIOError, ConnectionError):
                    one.send(asked)
                time.sleep(0.0005)
        state = page.server._server.server_state
        wait_for(lambda: len(state.connections) == 0, 20.0)
        with page.client() as client:
            assert client.get("/healthz").status_code == 200


def test_who_sends_pings_and_reads_nothing_makes_no_queue(open_page):
    page = open_page("door")
    host, _, port = page.host.rpartition(":")
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.connect((host, int(port)))
        one.settimeout(0.2)
        head = (
            f"GET /api/v1/live HTTP/1.1\r\nHost: {page.host}\r\nOrigin: {page.url}\r\nConnection: upgrade\r\n"
        )
        head += "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        one.sendall(head.encode())
        pings = (b"\x89\xfd" + b"\0\0\0\0" + b"a" * 125) * 500
        with contextlib.suppress(OSError):
            for _ in range(400):  # 26 MB
                one.sendall(pings)
        held = [one.transport for one in page.server._server._connections._all if one.transport]
        assert held and max(transport.get_write_buffer_size() for transport in held) < 500_000


def test_requests_in_a_row_are_bounded(open_page):
    page = open_page("door")
    host, _, port = page.host.rpartition(":")
    asked = b"GET /healthz HTTP/1.1\r\nHost: HOST\r\n\r\n".replace(b"HOST", page.host.encode())
    with socket.create_connection((host, int(port)), timeout=5) as one:
        one.sendall(10 * asked)
        got = b""
        while got.count(b'"ok"') < 10:
            got += one.recv(65536)
    with socket.create_connection((host, int(port)), timeout=5) as one:
        with contextlib.suppress(ConnectionError):
            one.sendall(5_000 * asked)
        got = b""
        with contextlib.suppress(ConnectionError):
            while part := one.recv(65536):
                got += part
    assert got.count(b"HTTP/1.1 200") < 1_000  # it was closed long before


def test_heads_and_bodies_are_bounded(open_page):
    page = open_page("door", guarded=True)
    host, _, port = page.host.rpartition(":")
    begin = f"GET / HTTP/1.1\r\nHost: {page.host}\r\n".encode()
    post = f"POST /api/v1/logout HTTP/1.1\r\nHost: {page.host}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    endless = {
        "a header line": (begin + b"X: ", b"a" * 65536),
        "header lines": (begin, b"X-%d: aaaaaaaaaaaaaaaaaaaa\r\n" % 7 * 2000),
        "an address": (b"GET /", b"a" * 65536),
        "a body that nobody waits for": (post, b"10000\r\n" + b"a" * 65536 + b"\r\n"),
        "trailers": (post + b"0\r\n", b"X-T: aaaaaaaaaaaaaaaaaaaa\r\n" * 2000),
    }
    for what, (first, more) in endless.items():
        sent = 0
        with socket.create_connection((host, int(port)), timeout=5) as one:
            one.sendall(first)
            with contextlib.suppress(ConnectionError):
                while sent < 50_000_000:
                    one.sendall(more)
                    sent += len(more)
        assert sent < 20_000_000, what  # closed meanwhile; some MB are under way
    with page.client() as client:
        assert client.get("/healthz").status_code == 200


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> Path:
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = make_certificate(folder)
    both = folder / "page.pem"
    both.write_text(certificate.read_text() + key.read_text())
    both.chmod(0o600)
    return both


@pytest.mark.parametrize(
    "first", [b"", b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n"], ids=["nothing", "half", "plain"]
)
def test_with_a_certificate_they_are_counted_before_the_handshake(open_page, few, certificate, first):
    page = open_page("door", certificate=certificate)
    told = told_by(page)
    page = type(page)(page.server, page.live, page.actors)
    host, _, port = page.host.rpartition(":")
    with contextlib.ExitStack() as stack:
        for _ in range(5 * FEW):
            one = stack.enter_context(socket.create_connection((host, int(port)), timeout=5))
            with contextlib.suppress(ConnectionError):
                one.sendall(first)
        with page.client() as client:
            assert client.get("/healthz").status_code == 200
            assert client.get("/api/v1/cameras").status_code == 200
        assert len(page.server._server._connections) <= FEW
    assert all("connections, as many as it takes" in sentence for sentence in told) and len(told) <= 1
    wait_for(lambda: not page.server._server.server_state.connections)


def test_a_handshake_that_never_ends_is_given_up(open_page, certificate, monkeypatch):
    monkeypatch.setattr(connections, "HANDSHAKE_SECONDS", 0.5)
    page = open_page("door", certificate=certificate)
    host, _, port = page.host.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as one:
        one.sendall(b"\x16\x03\x01")
        with contextlib.suppress(ConnectionError):
            assert one.recv(100) == b""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((host, int(port)), timeout=10) as one, context.wrap_socket(one) as secure:
        assert secure.version() in ("TLSv1.2", "TLSv1.3")


def test_without_descriptors_it_waits_and_does_not_spin():
    """In a process of its own, for all its descriptors are taken."""
    pytest.importorskip("resource")
    code = """
        import json, os, resource, socket, sys, time
        resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))
        from streamrec.web.live import LiveState
        from streamrec.web.server import Server, WebSettings
        live, told = LiveState(), []
        with Server(WebSettings(port=0), live, log=told.append) as server:
            live.beat([])
            port = int(server.address.rstrip("/").rpartition(":")[2])
            asking = socket.socket()
            held = []
            try:
                while True:
                    held.append(os.open(os.devnull, os.O_RDONLY))
            except OSError:
                pass
            asking.connect(("127.0.0.1", port))
            asking.sendall(f"GET /healthz HTTP/1.1\\r\\nHost: 127.0.0.1:{port}\\r\\n\\r\\n".encode())
            used = time.process_time()
            time.sleep(2.5)
            used = time.process_time() - used
            for one in held:
                os.close(one)
            asking.settimeout(10)
            answer = asking.recv(100).decode()
        print(json.dumps({"used": used, "told": told, "answer": answer}))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=280, cwd=ROOT
    )
    assert done.returncode == 0 and done.stderr == "", done.stderr
    said = json.loads(done.stdout)
    assert said["answer"].startswith("HTTP/1.1 200") and said["used"] < 1.0
    assert len(said["told"]) == 1 and "too many open files" in said["told"][0]


@pytest.mark.slow
def test_cameras_and_evidence_go_on_while_a_crowd_comes(tmp_path):
    pytest.importorskip("resource")
    from tests.helpers.cameras import free_port

    port = free_port()
    file = tmp_path / "cameras.toml"
    file.write_text('[defaults]\nmodel = "synthetic"\n[[camera]]\nname = "door"\naddress = "synthetic:1"\n')
    words = f"watch {file} --web 127.0.0.1:{port} --history {tmp_path / 'events.db'} --evidence {tmp_path / 'evidence'}"
    code = "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256)); sys.argv[0] = 'streamrec'\n"
    code += "from streamrec.commands.process import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", code, *words.split()],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
    ) as process:
        crowd_of = contextlib.ExitStack()
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:

                def frames() -> int:
                    try:
                        return client.get("/api/v1/cameras").json()["cameras"][0]["frames"]
                    except (httpx.HTTPError, IndexError):
                        return 0

                wait_for(frames, 30)
                for _ in range(500):
                    one = crowd_of.enter_context(socket.socket())
                    one.settimeout(5)
                    one.connect(("127.0.0.1", port))
                before = frames()
                wait_for(lambda: frames() > before + 20, 30)
                assert client.get("/healthz").status_code == 200
                wait_for(lambda: client.get("/api/v1/events").json()["events"], 30)
                wait_for(lambda: list((tmp_path / "evidence").rglob("*.jpg")), 30)
        finally:
            crowd_of.close()
            process.terminate()
            out = process.communicate(timeout=30)[0]
    assert out.count("\n") < 60 and "Traceback" not in out and "too many open files" not in out.lower()
    assert out.count("connections, as many as it takes") == 1

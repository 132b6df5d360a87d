"""Webhooks: signed, tried until they arrive, across restarts and kills, and silent about secrets."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import http.server
import json
import random
import re
import shutil
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from streamrec.core.failures import FailureReporter
from streamrec.errors import SettingsError, SinkError
from streamrec.notify import delivery
from streamrec.notify.dispatch_settings import DispatchSettings
from streamrec.notify.dispatcher import Dispatcher
from streamrec.notify.webhook import Webhook, WebhookSettings, key_of, sign
from streamrec.outputs.history.store import History, HistorySettings
from streamrec.settings.cameras_file import read_watchfile
from streamrec.types import ActionEnded, ActionStarted, Frame, Prediction, Result
from tests.helpers.cameras import free_port
from tests.helpers.certificates import make_certificate
from tests.helpers.http_server import QuietHandler
from tests.helpers.paths import ROOT

SECRET = "whsec_" + base64.b64encode(b"sixteen letters and more").decode()
SCHEMA = ROOT / "streamrec" / "outputs" / "schemas" / "event.json"
HIDDEN = "T0KEN-in-the-path"


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(delivery, "_FIRST_PAUSE", 0.02)
    monkeypatch.setattr(delivery, "_POLL_SECONDS", 0.05)


class Receiver:
    """A real HTTP server; ``answers`` are what it says in turn, the last one for ever: a status, or "hang", "cut"."""

    def __init__(self, *answers: object, port: int = 0, tls: Path | None = None) -> None:
        self.answers = list(answers) or [200]
        self.got: list[tuple[dict[str, str], bytes, str]] = []  # headers, body, path
        self.came = threading.Condition()
        self.let_go = threading.Event()  # ends what hangs
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls / "cert.pem", tls / "key.pem")
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
            self.server.handle_error = lambda *_: None  # a client that does not trust it
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def _handler(receiver):
        class Handler(QuietHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with receiver.came:
                    answer = receiver.answers.pop(0) if len(receiver.answers) > 1 else receiver.answers[0]
                    receiver.got.append(({k.lower(): v for k, v in self.headers.items()}, body, self.path))
                    receiver.came.notify_all()
                if answer == "hang":
                    receiver.let_go.wait()
                    return
                if answer == "cut":
                    self.connection.close()
                    return
                status, headers = answer if isinstance(answer, tuple) else (answer, {})
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

        return Handler

    def wait(self, count: int, seconds: float = 60.0) -> list[dict]:
        """The bodies, when there are so many."""
        with self.came:
            assert self.came.wait_for(lambda: len(self.got) >= count, seconds), len(self.got)
            return [json.loads(body) for _, body, _ in self.got]

    def close(self) -> None:
        self.let_go.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(60.0)


@contextlib.contextmanager
def receiving(*answers: object, port: int = 0, tls: Path | None = None) -> Iterator[Receiver]:
    receiver = Receiver(*answers, port=port, tls=tls)
    try:
        yield receiver
    finally:
        receiver.close()


class House:
    """A history with one webhook."""

    def __init__(self, folder: Path, port: int, **settings) -> None:
        self.settings = WebhookSettings(
            **({"url": f"http://127.0.0.1:{port}/{HIDDEN}?key={HIDDEN}", "secret": SECRET} | settings)
        )
        self.told: list[str] = []
        self.history = History(folder / "events.db", receivers=(self.settings.receiver,))
        self.hook = Webhook(self.settings, self.history, log=self.told.append, rng=random.Random(1))

    def happen(
        self, n: int, label: str = "fight", camera: str = "door", models: tuple[str, ...] = ("",)
    ) -> None:
        said = Prediction("", 0.0, np.zeros(0, np.float32), 0.0)
        for event in (ActionStarted(label, float(n), 0.7), ActionEnded(label, n + 0.5, float(n), 0.9)):
            frame = Frame(np.zeros((2, 2, 3), np.uint8), n, event.timestamp, 0, camera)
            self.history.record(Result(frame, said, tuple(replace(event, model=one) for one in models)))
        self.hook.wake()

    def is_empty(self, seconds: float = 60.0) -> bool:
        ends = time.monotonic() + seconds
        while self.history.waiting(self.settings.receiver) and time.monotonic() < ends:
            time.sleep(0.02)
        return not self.history.waiting(self.settings.receiver)

    def close(self) -> None:
        self.hook.close()
        self.history.close()


@pytest.fixture
def house(tmp_path):
    with contextlib.ExitStack() as stack:
        yield lambda port, **settings: stack.enter_context(
            contextlib.closing(House(tmp_path, port, **settings))
        )


def test_an_event_is_posted_when_it_starts_and_when_it_ends(house):
    with receiving() as receiver:
        one = house(receiver.port, token="a-token-of-mine")
        one.happen(1)
        started, ended = receiver.wait(2)
        assert one.is_empty()
    assert (started["event"], ended["event"]) == ("started", "ended")
    assert started["data"]["id"] == ended["data"]["id"]
    assert started["id"] != ended["id"]
    assert ended["data"] == json.loads(json.dumps(one.history.query()[0].to_dict()))
    headers, _, path = receiver.got[0]
    assert path == f"/{HIDDEN}?key={HIDDEN}"
    assert headers["content-type"] == "application/json"
    assert headers["authorization"] == "Bearer a-token-of-mine"
    assert one.told == []


def test_the_five_lines_of_the_docs_verify_it_and_nothing_else(house):
    guide = (ROOT / "docs" / "events.md").read_text(encoding="utf-8")
    code = next(block for block in re.findall(r"```python\n(.*?)```", guide, re.DOTALL) if "hmac" in block)
    there: dict = {}
    exec(compile(code, "events.md", "exec"), there)
    verify: Callable = there["is_genuine"]
    with receiving() as receiver:
        house(receiver.port).happen(1)
        receiver.wait(1)
    headers, body, _ = receiver.got[0]
    assert verify(SECRET, headers, body)
    assert not verify(SECRET, headers, body.replace(b"fight", b"quiet"))
    assert not verify("whsec_" + base64.b64encode(b"another secret").decode(), headers, body)
    assert not verify(SECRET, headers | {"webhook-timestamp": str(int(time.time()) - 3600)}, body)
    old = str(int(time.time()) - 3600)
    signed = sign(SECRET, headers["webhook-id"], int(old), body)
    assert not verify(SECRET, headers | {"webhook-timestamp": old, "webhook-signature": signed}, body)


def test_the_signature_is_that_of_standard_webhooks():
    """The example of its specification's libraries."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    expected = hmac.new(
        base64.b64decode(secret[6:]),
        b'msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{"test": 2432232314}',
        hashlib.sha256,
    )
    signed = sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signed == "v1," + base64.b64encode(expected.digest()).decode()
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_picture_comes_with_the_start_and_is_signed_with_it(tmp_path):
    with receiving() as receiver:
        settings = WebhookSettings(
            url=f"http://127.0.0.1:{receiver.port}/", secret=SECRET, picture=True,
            public_url="https://cameras.example.org/page",
        )  # fmt: skip
        after = DispatchSettings(
            history=HistorySettings(file=str(tmp_path / "events.db")), webhooks=(settings,)
        )
        said = Prediction("", 0.0, np.zeros(0, np.float32), 0.0)
        with Dispatcher(after, lambda message: None) as one:
            for event in (ActionStarted("fight", 1.0, 0.7), ActionEnded("fight", 2.0, 1.0, 0.7)):
                frame = Frame(np.zeros((480, 640, 3), np.uint8), 1, event.timestamp, 0, "door")
                one.write(Result(frame, said, (event,)))
            started, ended = receiver.wait(2)
            assert one.receivers[settings.receiver].test() == "it answered 200"
    jsonschema.validate(started, json.loads(SCHEMA.read_text(encoding="utf-8")))
    assert started["picture"]["type"] == "image/jpeg"
    assert base64.b64decode(started["picture"]["data"]).startswith(b"\xff\xd8")
    assert "picture" not in ended
    assert (
        started["link"] == ended["link"] == f"https://cameras.example.org/page/#/events/{ended['data']['id']}"
    )
    headers, body, _ = receiver.got[0]
    assert (
        sign(SECRET, headers["webhook-id"], int(headers["webhook-timestamp"]), body)
        == headers["webhook-signature"]
    )


@pytest.mark.parametrize("trouble", [500, 503, 404, 429, 301, "hang", "cut"])
def test_what_did_not_arrive_is_sent_again_as_the_same_message(house, trouble):
    with receiving(trouble, trouble, 200) as receiver:
        # A busy machine may take longer to answer than a hung receiver is waited for.
        one = house(receiver.port, timeout=0.5 if trouble == "hang" else 5.0)
        one.happen(1)
        bodies = receiver.wait(4)
        assert one.is_empty()
    assert [body["id"] for body in bodies[:3]] == [
        bodies[0]["id"]
    ] * 3  # in order: the start holds up its end
    assert bodies[3]["event"] == "ended"
    assert {headers["webhook-id"] for headers, _, _ in receiver.got[:3]} == {bodies[0]["id"]}
    assert re.search("it is tried again until it arrives", one.told[0])
    assert one.told[1:] == ["webhook 127.0.0.1: it takes messages again"]


def test_a_receiver_that_is_not_there_yet_gets_everything_later(house):
    port = free_port()
    one = house(port)
    for n in range(5):
        one.happen(n)
    time.sleep(0.2)
    with receiving(port=port) as receiver:
        bodies = receiver.wait(10)
        assert one.is_empty()
    assert [body["event"] for body in bodies] == ["started", "ended"] * 5
    assert one.told[0].startswith("webhook 127.0.0.1: it cannot be reached (connection refused)")
    assert len(one.told) == 2  # a trouble is told once, and its end


def test_it_is_slower_and_slower_and_does_what_it_is_asked(house, monkeypatch):
    pauses: list[float] = []
    with receiving(500, 500, 500, (503, {"Retry-After": "1"}), 200) as receiver:
        one = house(receiver.port)
        postpone = one.history.postpone

        def postponed(message, pause) -> None:
            pauses.append(pause)
            postpone(message, pause)

        monkeypatch.setattr(one.history, "postpone", postponed)
        one.happen(1)
        receiver.wait(5)
    assert pauses[0] < pauses[1] < pauses[2]
    assert pauses[3] >= 1.0


def test_what_is_refused_does_not_hold_up_the_rest_for_ever(house):
    with receiving(400, 400, 400, 400, 400, 200) as receiver:
        one = house(receiver.port)
        one.happen(1)
        bodies = receiver.wait(6)
        assert one.is_empty()
    assert len({body["id"] for body in bodies[:5]}) == 1
    assert bodies[5]["event"] == "ended"
    assert any("is given up after 5 attempts" in told for told in one.told)


def test_what_is_too_old_is_given_up_and_told(house):
    one = house(free_port(), give_up_hours=0.0)
    one.happen(1)
    assert one.is_empty()
    assert sum("is given up" in told for told in one.told) == 1  # of both: the reason is the same


def test_a_receiver_that_refuses_all_is_told_once_and_how_many_it_were_when_it_takes_one(house):
    with receiving(*[410] * 20, 200) as receiver:
        one = house(receiver.port)
        for n in range(11):
            one.happen(n)
        receiver.wait(22)
        assert one.is_empty()
    assert len(one.told) == 2
    assert "it answered 410, gone for good; message" in one.told[0] and "after 1 attempt," in one.told[0]
    assert one.told[1] == "webhook 127.0.0.1: 20 messages were given up"


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"", "it closed the connection without an answer"),
        (b"220 mail.example ESMTP\r\n", "what it answers is no HTTP"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", "what it answers is no HTTP"),
        (b"HTTP/1.1 99999 X\r\n\r\n", "what it answers is no HTTP"),
    ],
)
def test_what_is_no_http_is_told_in_words(house, answer, says):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    with server.accept()[0] as one:
                        one.recv(65536)
                        one.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        one = house(server.getsockname()[1])
        one.happen(1)
        ends = time.monotonic() + 60.0
        while not one.told and time.monotonic() < ends:
            time.sleep(0.02)
    assert says in one.told[0]


def test_only_what_is_wanted_is_sent(house):
    with receiving() as receiver:
        one = house(receiver.port, events=("ended",), cameras=("door",), labels=("fight",))
        one.happen(1, label="fall")
        one.happen(2, camera="yard")
        one.happen(3)
        (body,) = receiver.wait(1)
        assert one.is_empty()
        assert len(receiver.got) == 1
    assert (body["event"], body["data"]["label"], body["data"]["camera"]) == ("ended", "fight", "door")


def test_of_several_models_one_may_be_wanted_alone(house):
    with receiving() as receiver:
        one = house(receiver.port, events=("started",), models=("night",))
        one.happen(1, models=("day", "night"))
        (body,) = receiver.wait(1)
        assert one.is_empty() and len(receiver.got) == 1
    assert (body["data"]["model"], body["data"]["label"]) == ("night", "fight")


def test_the_queue_survives_a_restart(house):
    port = free_port()
    one = house(port)
    one.happen(1)
    one.close()
    with receiving(port=port) as receiver:
        two = house(port)
        assert [body["event"] for body in receiver.wait(2)] == ["started", "ended"]
        assert two.is_empty()


def test_a_receiver_that_hangs_holds_up_nobody(house):
    with receiving("hang") as receiver:
        one = house(receiver.port, timeout=600.0)
        one.happen(1)
        receiver.wait(1)
        one.happen(2)
        one.close()
        assert not receiver.let_go.is_set()  # no answer has come yet: nothing waited for it


@contextlib.contextmanager
def speaking(behave: Callable[[socket.socket], object]) -> Iterator[tuple[int, list[float]]]:
    """A server that does anything but what it should: its port, and when connections came."""
    came: list[float] = []
    open_ones: list[socket.socket] = []
    over = threading.Event()
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as server:

        def serve(connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError):
                behave(connection)
                over.wait(30)

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    came.append(time.monotonic())
                    open_ones.append(connection)
                    threading.Thread(target=serve, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1], came
        over.set()
        for one in (server, *open_ones):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


def drip(connection: socket.socket, text: bytes) -> None:
    for n in range(len(text)):
        connection.sendall(text[n : n + 1])
        time.sleep(0.05)


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize(
    "behave",
    [
        lambda connection: None,
        lambda connection: drip(connection, b"HTTP/1.1 200 OK\r\nX: " + b"x" * 4000),
        lambda connection: [connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n") for _ in range(10**6)],
        lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 10**7),
    ],
    ids=["silent", "a byte now and then", "100 for ever", "a header without end"],
)
def test_the_deadline_is_for_the_whole_answer(house, behave, tls):
    with speaking(behave) as (port, came):
        one = house(port, url=f"http{'s' if tls else ''}://127.0.0.1:{port}/", timeout=0.4)
        one.happen(1)
        ends = time.monotonic() + 20
        while len(came) < 3 and time.monotonic() < ends:
            time.sleep(0.02)
        assert len(came) >= 3  # it was tried again: the first did not hold it up
        assert len(one.told) == 1 and "it is tried again until it arrives" in one.told[0]
    assert len(one.history.waiting(one.settings.receiver)) == 2


def test_an_answer_whose_body_never_ends_is_an_answer(house):
    with speaking(lambda connection: connection.sendall(b"HTTP/1.1 204 OK\r\n\r\n" + b"x" * 10**7)) as (
        port,
        came,
    ):
        one = house(port, timeout=1.0)
        one.happen(1)
        assert one.is_empty()
    assert len(came) == 2 and one.told == []


def test_a_port_that_is_none_is_one_sentence():
    with pytest.raises(SinkError, match=r"url: its port is none"):
        WebhookSettings(url="https://example.org:70000/")


class TestTrouble:
    """What is told of a receiver that comes and goes, second by second."""

    def tell(self, steady: float, *moments: tuple[float, str]) -> list[str]:
        now, told = [0.0], []
        trouble = FailureReporter(
            "it", told.append, more="again", over="works", steady=steady, monotonic=lambda: now[0]
        )
        for moment, what in moments:
            while now[0] < moment:
                now[0] += 1.0
                trouble.poll()
            trouble.succeeded() if what == "fine" else trouble.failed(what)
        return [sentence.partition(": ")[2] for sentence in told]

    def test_once_and_its_end(self):
        assert self.tell(0, (0, "fine"), (1, "away"), (2, "away"), (9, "fine"), (10, "fine")) == [
            "away; again",
            "works",
        ]

    def test_another_reason_of_the_same_trouble_is_told_once(self):
        said = [(n, ("away", "refused")[n % 2]) for n in range(20)]
        assert self.tell(0, *said) == ["away; again", "refused; again"]

    def test_what_drops_every_two_seconds_is_told_once_until_it_is_steady(self):
        drops = [(n, ("lost", "fine")[n % 2]) for n in range(200)]
        assert self.tell(5, *drops) == ["lost; again"]
        assert self.tell(5, *drops, (1000, "fine")) == ["lost; again", "works"]

    def test_what_fails_again_soon_after_its_end_is_told_once_more_and_then_not(self):
        drops = [(n, ("lost", "fine")[n % 2]) for n in range(200)]
        assert self.tell(0, *drops) == ["lost; again", "works", "lost; again"]

    def test_what_fails_again_long_after_its_end_is_a_trouble_of_its_own(self):
        assert (
            self.tell(0, (0, "lost"), (1, "fine"), (500, "lost"), (501, "fine"))
            == ["lost; again", "works"] * 2
        )


def test_a_queue_that_cannot_be_written_is_told_once(house, monkeypatch):
    with receiving() as receiver:
        one = house(receiver.port)
        one.history._database.writer.execute("PRAGMA busy_timeout = 10")
        with contextlib.closing(sqlite3.connect(one.history.path, isolation_level=None)) as other:
            one.happen(1)
            receiver.wait(1)
            other.execute("BEGIN EXCLUSIVE")
            time.sleep(0.5)
            other.execute("ROLLBACK")
        assert one.is_empty()
    assert len(one.told) <= 1
    assert len({body["id"] for body in receiver.wait(2)}) == len(receiver.got)  # nothing came twice for it


def test_https_is_spoken_with_whom_is_trusted_alone(house, tmp_path):
    if not shutil.which("openssl"):
        pytest.skip("there is no openssl to make a certificate with")
    certificate, _ = make_certificate(tmp_path, also="DNS:localhost")
    with receiving(tls=tmp_path) as receiver:
        one = house(receiver.port, url=f"https://localhost:{receiver.port}/", ca=str(certificate))
        one.happen(1)
        assert [body["event"] for body in receiver.wait(2)] == ["started", "ended"]
        assert one.is_empty()
        one.close()
        two = house(receiver.port, url=f"https://localhost:{receiver.port}/")
        two.happen(2)
        ends = time.monotonic() + 60.0
        while not two.told and time.monotonic() < ends:
            time.sleep(0.02)
        assert len(receiver.got) == 2
    assert two.told[0].startswith("webhook localhost: its certificate is not trusted (self")
    with pytest.raises(SinkError, match=r"ca: .*nothing\.pem cannot be read as certificates"):
        Webhook(WebhookSettings(url="https://localhost/", ca=str(tmp_path / "nothing.pem")), two.history)


def test_no_secret_is_shown(house, tmp_path):
    with receiving(500, 404, 301, "cut") as receiver:
        one = house(receiver.port, token="my-secret-token", timeout=0.2)
        one.happen(1)
        receiver.wait(5)
    one.close()
    shown = "".join(one.told) + repr(one.settings) + one.settings.receiver
    shown += (tmp_path / "events.db").read_bytes().decode("latin-1")
    for secret in (SECRET, SECRET[6:], HIDDEN, "my-secret-token"):
        assert secret not in shown


WRITER = """
import sys, numpy as np
from streamrec.outputs.history.store import History, HistorySettings
from streamrec.notify import delivery
from streamrec.notify.webhook import Webhook, WebhookSettings
from streamrec.types import ActionEnded, ActionStarted, Frame, Prediction, Result
delivery._FIRST_PAUSE, delivery._POLL_SECONDS = 0.02, 0.02
settings = WebhookSettings(url=sys.argv[2])
history = History(sys.argv[1], receivers=(settings.receiver,))
hook = Webhook(settings, history)
said = Prediction("", 0.0, np.zeros(0, np.float32), 0.0)
for n in range(int(sys.argv[3])):
    for event in (ActionStarted("fight", float(n), 0.7), ActionEnded("fight", n + 0.5, float(n), 0.9)):
        frame = Frame(np.zeros((2, 2, 3), np.uint8), n, event.timestamp, 0, "door")
        for told in history.record(Result(frame, said, (event,))):
            sys.stdout.write(told.id + "\\n")
            sys.stdout.flush()
            hook.wake()
while history.waiting(settings.receiver):
    hook.wake()
"""


@pytest.mark.slow
def test_a_kill_at_any_moment_loses_no_message(tmp_path):
    announced: set[str] = set()
    chance = random.Random(3)
    with receiving(*[random.Random(n).choice([200, 200, 500]) for n in range(400)], 200) as receiver:
        url = f"http://127.0.0.1:{receiver.port}/"
        for last in (False, False, False, False, True):
            process = subprocess.Popen(
                [sys.executable, "-c", WRITER, str(tmp_path / "events.db"), url, "3" if last else "100000"],
                stdout=subprocess.PIPE,
                text=True,
                cwd=ROOT,
            )
            announced.add(process.stdout.readline().strip())
            if not last:
                time.sleep(chance.uniform(0.0, 0.3))
                process.send_signal(signal.SIGKILL)
            announced |= {line.strip() for line in process.stdout if line.endswith("\n")}
            process.stdout.close()
            process.wait(60)
        arrived = [json.loads(body)["id"] for _, body, _ in receiver.got]
    assert announced - {""} <= set(arrived)
    assert len(announced) > 20


class TestSettings:
    @pytest.mark.parametrize(
        ("table", "says"),
        [
            ('url = "ftp://host/x"', "url: write http://"),
            ('url = "https://me:hidden-secret@host/x"', "no user and password in it"),
            ('url = "https://host/x"\nsecret = "short"', "secret: 5 letters are guessed"),
            ('url = "https://host/x"\nevents = ["begun"]', "events: there is no 'begun'"),
            ('url = "https://host/x"\nsecret = "whsec_$$$$$$$$$$$$$$$$$$$$$$$$$$"', None),
            ("url = 5", r"url: give a text$"),
            ("", "url: it is missing"),
            ('url = "https://host/x"\nsecrt = "x"', "secrt: there is no such key; did you mean secret"),
            ('url = "https://host/x"\nsecret = "a"\nsecret_file = "b"', "there is a secret too"),
        ],
    )
    def test_a_mistake_is_one_sentence_without_the_secret(self, tmp_path, table, says):
        path = tmp_path / "cameras.toml"
        path.write_text(f'[[camera]]\nname = "door"\naddress = "0"\n[[webhook]]\n{table}\n')
        if says is None:
            (settings,) = read_watchfile(path, {}).settings("webhook", WebhookSettings)
            with pytest.raises(SinkError, match="what follows whsec_ is not base64"):
                key_of(settings.secret)
            return
        with pytest.raises(SettingsError, match=says) as caught:
            read_watchfile(path, {}).settings("webhook", WebhookSettings)
        assert str(caught.value).startswith("cameras.toml: [webhook]: ")
        assert "hidden-secret" not in str(caught.value)

    def test_secrets_come_from_the_environment_and_from_files(self, tmp_path):
        (tmp_path / "hook.secret").write_text(f"{SECRET}\n")
        path = tmp_path / "cameras.toml"
        path.write_text(
            '[[camera]]\nname = "door"\naddress = "0"\n'
            '[[webhook]]\nurl = "${HOOK}"\nsecret_file = "hook.secret"\ntoken = "${TOKEN}"\n'
        )
        file = read_watchfile(path, {"HOOK": f"https://host/{HIDDEN}", "TOKEN": "abcdefgh"})
        (settings,) = file.settings("webhook", WebhookSettings)
        assert (settings.url, settings.secret, settings.token) == (
            f"https://host/{HIDDEN}",
            SECRET,
            "abcdefgh",
        )
        assert {HIDDEN, SECRET, "abcdefgh"} <= set(file.secrets)
        assert tmp_path / "hook.secret" in file.read
        assert HIDDEN not in repr(file) + repr(settings)

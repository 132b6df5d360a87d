"""Motion triggers by HTTP: the user's own requests, with what an event fills in escaped where it stands."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import shutil
import ssl
import threading
import time
from urllib.parse import parse_qs, urlsplit

import pytest

from streamrec.errors import SettingsError, SinkError
from streamrec.notify import delivery
from streamrec.notify.http_trigger import HttpTriggerSettings
from streamrec.settings.cameras_file import read_watchfile
from tests.helpers.certificates import make_certificate
from tests.helpers.http_server import QuietHandler
from tests.helpers.notify_house import House


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(delivery, "_FIRST_PAUSE", 0.02)
    monkeypatch.setattr(delivery, "_POLL_SECONDS", 0.05)


class Nvr:
    """A server that notes each request, and answers with a status."""

    def __init__(self, status: int = 200, location: str = "", tls=None) -> None:
        self.got: list[tuple[str, str, dict[str, str], bytes]] = []
        nvr = self

        class Handler(QuietHandler):
            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"] or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                nvr.got.append((self.command, self.path, headers, body))
                self.send_response(status)
                if location:
                    self.send_header("Location", location)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls / "cert.pem", tls / "key.pem")
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
            self.server.handle_error = lambda *_: None
        self.place = f"127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(60.0)


@pytest.fixture
def make(tmp_path):
    with contextlib.ExitStack() as stack:

        def build(clock=time.time, **settings):
            return stack.enter_context(
                contextlib.closing(House(tmp_path, "http", HttpTriggerSettings(**settings), clock))
            )

        build.nvr = lambda *given, **options: stack.enter_context(contextlib.closing(Nvr(*given, **options)))
        yield build


def test_blue_iris_is_triggered_by_get_and_reset_at_the_end(make):
    nvr = make.nvr()
    house = make(
        start_url=f"http://{nvr.place}/admin?camera={{camera}}&trigger=1&memo={{label}}&user=nvr&pw={{secret}}",
        end_url=f"http://{nvr.place}/admin?camera={{camera}}&trigger=0&user=nvr&pw={{secret}}",
        method="GET",
        secret="p&w=1#2",
        camera_names=(("door", "CAM 1"),),
    )
    house.happen(1, label="x&admin=1\r\nHost: evil")
    assert house.is_empty()
    (method, path, headers, body), (_, second, _, _) = nvr.got
    assert (method, body) == ("GET", b"") and headers["host"] == nvr.place
    query = parse_qs(urlsplit(path).query)
    assert query["camera"] == ["CAM 1"] and query["pw"] == ["p&w=1#2"] and "admin" not in query
    assert query["memo"] == ["x&admin=1\r\nHost: evil"] and parse_qs(urlsplit(second).query)["trigger"] == [
        "0"
    ]


def test_shinobi_gets_json_in_its_query_that_no_label_breaks_out_of(make):
    nvr = make.nvr()
    house = make(
        start_url=f"http://{nvr.place}/key/motion/group/{{camera}}"
        '?data={"plug":"streamrec","name":"{camera}","reason":"{label}","confidence":{confidence}}',
        method="GET",
    )
    house.happen(1, label='a","confidence":0,"x":"', camera="..")
    assert house.is_empty()
    ((_, path, _, _),) = nvr.got
    parts = urlsplit(path)
    data = json.loads(parse_qs(parts.query)["data"][0])
    assert data == {"plug": "streamrec", "name": "..", "reason": 'a","confidence":0,"x":"', "confidence": 0.7}
    assert parts.path == "/key/motion/group/__"


def test_a_body_is_json_of_the_users_own_form_and_headers_hold_a_key(make):
    nvr = make.nvr()
    house = make(
        start_url=f"http://{nvr.place}/proxy/protect/integration/v1/alarm-manager/webhook/door",
        end_url=f"http://{nvr.place}/end/{{state}}",
        end_method="PUT",
        headers=(("X-API-KEY", "{secret}"), ("X-What", "{label}")),
        body='{"what": "{label}", "sure": {confidence}, "for": {duration}}',
        secret="key-of-unifi",
    )
    house.happen(1, label='say "x"\n', camera="door")
    assert house.is_empty()
    (method, _, headers, body), (second, path, _, ended) = nvr.got
    assert json.loads(body) == {"what": 'say "x"\n', "sure": 0.7, "for": 0}
    assert (method, second, path) == ("POST", "PUT", "/end/ended") and json.loads(ended)["for"] == 0.5
    assert headers["x-api-key"] == "key-of-unifi" and headers["x-what"] == 'say "x"'
    assert headers["content-type"] == "application/json"


def test_a_redirect_is_not_followed_and_nothing_secret_is_logged(make):
    other = make.nvr()
    nvr = make.nvr(302, f"http://{other.place}/metadata")
    house = make(start_url=f"http://{nvr.place}/hidden-path-4711?pw={{secret}}", secret="hunter22")
    house.happen(1)
    line = house.wait_for_log()
    assert "it answered 302, elsewhere" in line and other.got == []
    shown = line + repr(house.settings) + house.history.path.read_bytes().decode("latin-1")
    assert "hunter22" not in shown and "4711" not in shown


def test_a_start_that_is_too_late_is_left_out_once_its_action_is_over_and_that_is_reported(make):
    nvr = make.nvr()
    house = make(
        lambda: time.time() - 600.0,
        start_url=f"http://{nvr.place}/on",
        end_url=f"http://{nvr.place}/off",
        too_late=60.0,
    )
    house.happen(1, end=False)  # it still runs: late, but now
    ends = time.monotonic() + 60.0
    while not nvr.got and time.monotonic() < ends:
        time.sleep(0.02)
    house.happen(1, start=False)
    assert house.is_empty() and [path for _, path, *_ in nvr.got] == ["/on", "/off"]
    house.receiver.close()
    house.happen(2)
    second = type(house.receiver)(house.settings, house.history, log=house.log.append)
    assert house.is_empty()
    second.close()
    assert [path for _, path, *_ in nvr.got] == ["/on", "/off", "/off"]
    assert "it is over, and its start is older than 60 s" in house.log[-1]


def test_a_certificate_of_its_own_is_accepted_by_its_fingerprint_alone(make, tmp_path):
    if not shutil.which("openssl"):
        pytest.skip("there is no openssl to make a certificate with")
    certificate, _ = make_certificate(tmp_path, also="DNS:elsewhere")
    der = ssl.PEM_cert_to_DER_cert(certificate.read_text())
    right = hashlib.sha256(der).hexdigest()
    nvr = make.nvr(tls=tmp_path)
    house = make(
        start_url=f"https://{nvr.place}/", fingerprint=":".join(right[n : n + 2] for n in range(0, 64, 2))
    )
    house.happen(1)
    assert house.is_empty() and len(nvr.got) == 1
    house.close()
    other = make(start_url=f"https://{nvr.place}/", fingerprint="0" * 64)
    other.happen(2)
    assert "its certificate is another one than that of the fingerprint" in other.wait_for_log()
    assert len(nvr.got) == 1


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"start_url": "file:///etc/passwd"}, "start_url: write http"),
        ({"start_url": "http://{camera}/x"}, "start_url: host and port are fixed"),
        ({"start_url": "http://me:pw@nvr/"}, "start_url: no user and password in it"),
        ({"start_url": "http://nvr/{cam}"}, "start_url: there is no {cam}"),
        ({"start_url": "http://nvr/", "method": "CONNECT"}, "method: it is 'CONNECT'"),
        ({"start_url": "http://nvr/", "headers": (("Host", "x"),)}, "headers: 'Host' cannot be set"),
        ({"start_url": "http://nvr/", "headers": (("a b", "x"),)}, "headers: 'a b' cannot be set"),
        ({"start_url": "http://nvr/", "body": '{"a": {label}}'}, None),
        ({"start_url": "http://nvr/", "body": '{"a": "{label}"'}, "body: it is not JSON"),
    ],
)
def test_wrong_settings_are_one_sentence(wrong, says):
    if says is None:
        HttpTriggerSettings(**wrong)
        return
    with pytest.raises(SinkError) as error:
        HttpTriggerSettings(**wrong)
    assert str(error.value).startswith(says)


def test_the_tables_of_cameras_toml_keep_their_secrets(tmp_path):
    path = tmp_path / "cameras.toml"
    (tmp_path / "key").write_text("secret-of-a-file")
    path.write_text(
        """
        [[camera]]
        name = "door"
        address = "0"
        [[http]]
        start_url = "http://nvr/{camera}?pw={secret}"
        secret_file = "key"
        headers = { X-API-KEY = "${KEY}", Accept = "text/plain" }
        camera_names = { door = "CAM1" }
        [[frigate]]
        url = "http://nvr:5000"
        camera_names = { door = "front_door" }
        """
    )
    file = read_watchfile(path, {"KEY": "secret-of-the-environment"})
    (trigger,) = file.settings("http", HttpTriggerSettings)
    assert dict(trigger.headers) == {"X-API-KEY": "secret-of-the-environment", "Accept": "text/plain"}
    assert trigger.camera_names == (("door", "CAM1"),)
    assert {"secret-of-a-file", "secret-of-the-environment"} <= set(file.secrets)
    assert "text/plain" not in file.secrets
    path.write_text('[[camera]]\nname="door"\naddress="0"\n[[http]]\nstart_url="http://nvr/"\nheaders=["a"]')
    with pytest.raises(SettingsError, match=r"\[http\]: headers: give a table of texts"):
        read_watchfile(path, {}).settings("http", HttpTriggerSettings)


def test_a_test_sends_a_start_and_an_end_of_nothing(make):
    nvr = make.nvr()
    house = make(start_url=f"http://{nvr.place}/{{state}}/{{label}}", end_url=f"http://{nvr.place}/{{state}}")
    assert house.receiver.test() == "it took the start and the end"
    assert [path for _, path, *_ in nvr.got] == ["/started/test", "/ended"]

"""Apprise: its services get the picture, what failed goes to them alone again, and nothing of an address is shown."""

from __future__ import annotations

import base64
import contextlib
import json
import threading
import time
from http.server import ThreadingHTTPServer

import pytest

from streamrec.errors import SettingsError, SinkError
from streamrec.notify import delivery
from streamrec.notify.apprise import AppriseSettings
from streamrec.notify.delivery import Undelivered
from streamrec.notify.dispatch_settings import DispatchSettings
from streamrec.notify.dispatcher import Dispatcher
from streamrec.outputs.history.store import HistorySettings
from streamrec.settings.cameras_file import read_watchfile
from tests.helpers.http_server import QuietHandler
from tests.integration.notify.test_ntfy import CAMERA, result, start

apprise = pytest.importorskip("apprise", reason="apprise is not installed: streamrec[apprise]")
HIDDEN = "T0p5ecretTokenOfMine"
GOT: list[dict] = []  # what the plug-in below was given
FAILS: list[bool] = []  # and what it answers, while there is something


@apprise.decorators.notify(on="streamrectest", name="Stand-in")
def plug_in(body, title, notify_type, *args, **kwargs):
    """A service of Apprise's own making for tests; it has no attachments."""
    GOT.append({"body": body, "title": title})
    return not (FAILS and FAILS.pop(0))


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(delivery, "_POLL_SECONDS", 0.05)
    monkeypatch.setattr(delivery, "_FIRST_PAUSE", 0.05)
    GOT.clear()
    FAILS.clear()


class Service(ThreadingHTTPServer):
    """What json:// of Apprise posts to; ``answers``: statuses, the last for ever, or an address to go to."""

    daemon_threads = True

    def __init__(self, *answers: int | str) -> None:
        self.answers, self.got = list(answers), []
        self.came = threading.Condition()
        super().__init__(("127.0.0.1", 0), Handler)

    def wait(self, count: int) -> list[dict]:
        with self.came:
            assert self.came.wait_for(lambda: len(self.got) >= count, 30.0), self.got
            return list(self.got)


class Handler(QuietHandler):
    server: Service

    def do_POST(self) -> None:
        server, body = self.server, self.rfile.read(int(self.headers["Content-Length"]))
        answer = server.answers.pop(0) if len(server.answers) > 1 else server.answers[0]
        self.send_response(answer if isinstance(answer, int) else 307)
        if isinstance(answer, str):
            self.send_header("Location", answer)
        self.send_header("Content-Length", "0")
        self.end_headers()
        with server.came:
            server.got.append(json.loads(body))
            server.came.notify_all()


@contextlib.contextmanager
def service(*answers: int | str):
    one = Service(*answers)
    threading.Thread(target=one.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield one
    finally:
        one.shutdown()
        one.server_close()


@contextlib.contextmanager
def watching(folder, *urls: str, log=None, **more):
    settings = DispatchSettings(
        history=HistorySettings(file=str(folder / "events.db")),
        further=(AppriseSettings(urls=urls, public_url="https://cameras.example.org", **more),),
    )
    with Dispatcher(settings, log or (lambda message: None)) as one:
        one.camera("door", model="fight", actions=["fight"])
        yield one


def address(one: Service) -> str:
    return f"json://me:{HIDDEN}@127.0.0.1:{one.server_address[1]}/{HIDDEN}"


def test_a_service_gets_the_text_the_link_and_the_picture(tmp_path):
    with service(200) as one, watching(tmp_path, address(one)) as watcher:
        watcher.write(result(1, start(1)))
        (got,) = one.wait(1)
    assert got["title"] == "fight · door"
    assert "https://cameras.example.org/#/events/" in got["message"]
    (attached,) = got["attachments"]
    assert attached["mimetype"] == "image/jpeg"
    assert base64.b64decode(attached["base64"]).startswith(b"\xff\xd8")


def test_only_the_service_that_failed_gets_it_again(tmp_path):
    FAILS.append(True)
    said: list[str] = []
    with (
        service(200) as one,
        watching(tmp_path, address(one), "streamrectest://here", log=said.append) as watcher,
    ):
        watcher.write(result(1, start(1)))
        one.wait(1)
        ends = time.monotonic() + 30
        while len(GOT) < 2 and time.monotonic() < ends:
            time.sleep(0.01)
        assert len(one.got) == 1
    assert [got["title"] for got in GOT] == ["fight · door"] * 2
    assert said[0].startswith("apprise: Stand-in: it could not be reached, or refused it; it is tried again")


def test_a_redirect_is_not_followed(tmp_path):
    with service(200) as inner:
        target = f"http://127.0.0.1:{inner.server_address[1]}/{HIDDEN}"
        with service(target) as one, watching(tmp_path, address(one)) as watcher:
            (receiver,) = watcher.receivers.values()
            with pytest.raises(Undelivered, match="JSON: it answered 307"):
                receiver.test()
        assert inner.got == []


def test_nothing_of_an_address_is_shown(tmp_path, capfd):
    said: list[str] = []
    with service(401) as one, watching(tmp_path, address(one), log=said.append) as watcher:
        (receiver,) = watcher.receivers.values()
        with pytest.raises(Undelivered) as error:
            receiver.test()
        watcher.write(result(1, start(1)))
        one.wait(2)
        ends = time.monotonic() + 30
        while not said and time.monotonic() < ends:
            time.sleep(0.01)
    assert str(error.value) == "JSON: it answered 401"
    shown = (*said, str(error.value), *capfd.readouterr(), repr(watcher.settings))
    assert not any(HIDDEN in text for text in shown)


def test_a_label_is_no_template(tmp_path, monkeypatch):
    monkeypatch.setenv("STREAMREC_TEST_SECRET", HIDDEN)
    with watching(tmp_path, "streamrectest://here") as watcher:
        label = "${STREAMREC_TEST_SECRET} {{ app_id }}"
        watcher.write(result(1, start(1, label)))
        ends = time.monotonic() + 30
        while not GOT and time.monotonic() < ends:
            time.sleep(0.01)
    assert GOT[0]["title"] == f"{label} · door"


def test_tags_choose_services_of_a_config_and_what_it_includes_is_not_read(tmp_path):
    with service(200) as one, service(200) as other:
        config = tmp_path / "apprise.yml"
        config.write_text(
            f"include: http://127.0.0.1:{other.server_address[1]}/\n"
            f"urls:\n  - {address(one)}:\n      tag: family\n  - {address(other)}:\n      tag: work\n"
        )
        with watching(tmp_path, config=str(config), tags=("family",)) as watcher:
            (receiver,) = watcher.receivers.values()
            assert receiver.test() == "1 service took it"
        assert (len(one.got), len(other.got)) == (1, 0)


def test_addresses_come_from_the_environment_or_a_file_and_are_secrets(tmp_path):
    file = tmp_path / "cameras.toml"
    (tmp_path / "urls").write_text(f"streamrectest://{HIDDEN}\n\njson://localhost/{HIDDEN}\n")
    for lines in ('urls = ["${WHERE}"]', 'urls_file = "urls"'):
        file.write_text(f"{CAMERA}[[apprise]]\n{lines}\n")
        found = read_watchfile(file, {"WHERE": f"streamrectest://{HIDDEN}"})
        (one,) = DispatchSettings.of(found).further
        assert one.urls[0] == f"streamrectest://{HIDDEN}"
        assert f"streamrectest://{HIDDEN}" in found.secrets
        assert HIDDEN not in repr(one)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "urls: it is missing"),
        (f'urls = ["nothing://{HIDDEN}"]', "apprise: urls: number 1 is no address of a service"),
        (f'urls = [1, "{HIDDEN}"]', "urls: give a list of texts"),
        ('urls = ["streamrectest://x"]\ntags = ["a"]', "tags: they choose services of a config"),
        ('config = "none.yml"', "apprise: config: there is no file"),
    ],
)
def test_what_is_wrong_is_one_sentence_without_a_secret(tmp_path, line, message):
    file = tmp_path / "cameras.toml"
    file.write_text(f"{CAMERA}[[apprise]]\n{line}\n")
    with (
        pytest.raises((SettingsError, SinkError)) as error,
        Dispatcher(DispatchSettings.of(read_watchfile(file, {})), lambda text: None),
    ):
        pass
    assert message in str(error.value)
    assert HIDDEN not in str(error.value)

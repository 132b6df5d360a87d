"""ntfy: a picture at once, the video under the same id, and nothing lost or sent twice."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from streamrec.errors import SettingsError, SinkError
from streamrec.notify import delivery
from streamrec.notify.delivery import Undelivered
from streamrec.notify.dispatch_settings import DispatchSettings
from streamrec.notify.dispatcher import Dispatcher
from streamrec.notify.ntfy import NtfySettings
from streamrec.outputs.history.records import Kind
from streamrec.outputs.history.store import History, HistorySettings
from streamrec.settings.cameras_file import read_watchfile
from streamrec.settings.evidence import EvidenceSettings
from streamrec.types import ActionEnded, ActionStarted, Frame, Prediction, Result
from tests.helpers.ntfy_server import ntfy_server

CAMERA = '[[camera]]\nname = "door"\naddress = "0"\n'
SECRET = "tk_AgQdq7mVBoFD37zQVN29RhuMzNIz2"


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(delivery, "_POLL_SECONDS", 0.05)
    monkeypatch.setattr(delivery, "_FIRST_PAUSE", 0.05)


@pytest.fixture
def server():
    with ntfy_server() as one:
        yield one


def result(n: int, *events, camera: str = "door", size: tuple[int, int] = (480, 640)) -> Result:
    """A result whose frame is noise: the largest JPEG that there is."""
    image = np.random.default_rng(n).integers(0, 255, (*size, 3), np.uint8)
    prediction = Prediction("fight", 0.9, np.array([0.1, 0.9], np.float32), n / 10, ("idle", "fight"))
    return Result(Frame(image, n, n / 10, 0, camera, captured=time.monotonic()), prediction, events)


def start(n: int, label: str = "fight") -> ActionStarted:
    return ActionStarted(label, n / 10, 0.9)


def settings_of(folder: Path, server, *, evidence: bool = False, **more) -> DispatchSettings:
    own = {"server": server.url, "topic": "watch_XSPC7hR3", "public_url": "https://cameras.example.org"}
    return DispatchSettings(
        history=HistorySettings(file=str(folder / "events.db")),
        evidence=EvidenceSettings(folder=str(folder / "evidence"), before=0.5, after=0.2, leave_free_gb=0.0)
        if evidence
        else None,
        further=(NtfySettings(**own | more),),
    )


@contextlib.contextmanager
def watching(settings: DispatchSettings, log=None, privacy: str = ""):
    with Dispatcher(settings, log or (lambda message: None)) as one:
        one.camera("door", model="fight", actions=["fight"], privacy=privacy)
        yield one


def test_a_picture_comes_at_once_and_the_video_under_the_same_id(tmp_path, server):
    said: list[str] = []
    settings = settings_of(tmp_path, server, evidence=True, priority=(("fight", 5),))
    with watching(settings, said.append) as one:
        for n in range(20):
            events = {5: (start(5),), 8: (ActionEnded("fight", 0.8, 0.5, 0.9),)}.get(n, ())
            one.write(result(n, *events))
        first, second = server.wait(2)
    assert said == []
    (entry,) = History(tmp_path / "events.db", read_only=True).query()
    assert first.sequence_id == second.sequence_id == entry.id
    assert (first.title, first.priority) == ("fight · door", 5)
    assert first.click == f"https://cameras.example.org/#/events/{entry.id}"
    assert second.message.endswith("the video is there")
    assert second.actions == f"view, Video, {first.click}"
    for message in (first, second):  # what replaces the first shows its picture too
        image = cv2.imdecode(np.frombuffer(message.attachment, np.uint8), cv2.IMREAD_COLOR)
        assert len(message.attachment) <= 100_000
        assert max(image.shape[:2]) <= 640
    assert len(server.shown()) == 1


def test_the_picture_obeys_the_privacy_of_its_camera(tmp_path, server):
    stripes = np.zeros((480, 640, 3), np.uint8)
    stripes[:, ::2] = 255
    sharpness = {}
    for n, privacy in enumerate(("full", "blur", "blur-people", "none")):
        with watching(settings_of(tmp_path, server), privacy=privacy) as one:
            made = result(n, start(n))
            made.frame.image[:] = stripes
            began = time.monotonic()
            one.write(made)
            server.wait(n + 1)
        took = time.monotonic() - began
        message = server.messages[-1]
        if privacy == "none":
            assert message.attachment == b""
            assert took < 10.0  # it waits for no picture
            continue
        image = cv2.imdecode(np.frombuffer(message.attachment, np.uint8), cv2.IMREAD_COLOR)
        sharpness[privacy] = image.std()
    assert sharpness["full"] > 100 > 10 > sharpness["blur"]
    assert sharpness["blur-people"] < 10  # people are not followed: it is blurred whole


def test_a_server_without_attachments_gets_the_text(tmp_path, server):
    for refusal in ("off", "small"):
        server.attachments, server.most_attachment = refusal != "off", 1000
        with watching(settings_of(tmp_path, server)) as one:
            one.write(result(1, start(1)))
            one.write(result(2, start(2, "fall")))
            server.wait(2)
        assert [message.attachment for message in server.messages] == [b"", b""]
        assert server.requests == 3  # the second picture is not tried
        server.messages.clear()
        server.requests = 0


@pytest.mark.parametrize("login", [{"token": SECRET}, {"user": "me", "password": "p@ss:word"}])
def test_it_logs_in_and_waits_where_that_fails(tmp_path, server, login):
    server.token = login.get("token", "")
    server.login = "me:p@ss:word" if "user" in login else ""
    wrong = {key: f"{value}x" if key != "user" else value for key, value in login.items()}
    said: list[str] = []
    with watching(settings_of(tmp_path, server, **wrong), said.append) as one:
        one.write(result(1, start(1)))
        ends = time.monotonic() + 20
        while not said and time.monotonic() < ends:
            time.sleep(0.01)
    assert said[0].endswith(
        "it answered 401: check its token, or user and password, and the topic; it is tried again until it arrives"
    )
    assert not any(secret in str(said) for secret in (*login.values(), "watch_XSPC7hR3") if secret != "me")
    with watching(settings_of(tmp_path, server, **login)):  # mended: what waited arrives
        server.wait(1)
    assert server.messages[0].title == "fight · door"


def test_a_busy_server_is_asked_when_it_says_and_nothing_comes_twice(tmp_path, server):
    server.busy, server.retry_after = 2, "1"
    began = time.monotonic()
    with watching(settings_of(tmp_path, server)) as one:
        one.write(result(1, start(1)))
        server.wait(1)
        assert time.monotonic() - began >= 2.0
        with contextlib.suppress(AssertionError):
            server.wait(2, 0.3)
    assert (len(server.messages), server.requests) == (1, 3)


def test_what_is_too_much_is_held_back_and_summed_up_across_a_restart(tmp_path, server, monkeypatch):
    settings = settings_of(tmp_path, server, most_per_hour_camera=1, events=("started", "ended"))
    with watching(settings) as one:
        for n in range(4):
            one.write(result(2 * n, start(2 * n)))
            one.write(result(2 * n + 1, ActionEnded("fight", n, n, 0.9)))
        server.wait(2)
        ends = time.monotonic() + 20
        name = settings.further[0].receiver
        while one.history.waiting(name) and time.monotonic() < ends:
            time.sleep(0.01)
        assert [held.kind for held in one.history.waiting(name, held=True)] == [Kind.started] * 3
    assert [message.title for message in server.messages] == ["fight · door"] * 2  # it started, it ended
    with watching(settings) as one:  # the hour is over
        one.write(result(50, start(50)))
        server.wait(3)
        ends = time.monotonic() + 20
        while one.history.waiting(name, held=True) and time.monotonic() < ends:
            time.sleep(0.01)
        assert one.history.waiting(name, held=True) == []
    assert server.messages[2].message.endswith("\n3 events held back before: fight · door 3 ×")


def test_names_add_no_header(tmp_path, server):
    evil = "Tür\r\nX-Email: me@example.org"
    with watching(settings_of(tmp_path, server)) as one:
        one.camera(evil, model="fight", actions=["fight"])
        one.write(result(1, start(1), camera=evil))
        (message,) = server.wait(1)
    assert message.title == "fight · Tür\\r\\nX-Email: me@example.org"


def test_a_test_names_the_answer_and_no_secret(tmp_path, server):
    server.token = SECRET
    with watching(settings_of(tmp_path, server, token=SECRET)) as one:
        (receiver,) = one.receivers.values()
        assert receiver.test() == "it answered 200"
        assert server.messages[0].attachment
        server.token = "another"
        with pytest.raises(Undelivered, match="it answered 401") as error:
            receiver.test()
        assert SECRET not in str(error.value)


def test_the_table_of_the_file_is_understood(tmp_path):
    file = tmp_path / "cameras.toml"
    (tmp_path / "token").write_text(f"{SECRET}\n")
    file.write_text(
        CAMERA + '[notify]\npublic_url = "https://cameras.example.org"\n[[ntfy]]\ntopic = "watch"\n'
        'token_file = "token"\npriority = {fight = 5}\nquiet = ["22:00-07:00"]\n'
    )
    found = read_watchfile(file, {})
    (one,) = DispatchSettings.of(found).further
    assert (one.server, one.token, one.priority) == ("https://ntfy.sh", SECRET, (("fight", 5),))
    assert one.public_url == "https://cameras.example.org"
    assert SECRET in found.secrets
    assert SECRET not in repr(one)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('topic = "a/b"', "topic: give up to 64 letters"),
        ('topic = "a"\nserver = "https://ntfy.sh/a"', "server: write it without a path"),
        ('topic = "a"\nserver = "file:///etc/passwd"', "server: write http"),
        ('topic = "a"\ntoken = "abcdefgh"\nuser = "me"', "token: there is a user too"),
        ('topic = "a"\npassword = "abcdefgh"', "user: it is missing"),
        ('topic = "a"\npriority = {fight = 9}', "priority: fight has 9"),
        ('topic = "a"\npriority = {fight = "high"}', "priority: give a table of whole numbers"),
        ('topic = "a"\nquiet = ["at night"]', "quiet: 'at night' are no hours"),
        ('topic = "a"\nevents = ["begun"]', "events: there is no 'begun'"),
        ('topic = "a"\nmost_per_hour = -1', "most_per_hour: give"),
        ('topic = "a"\nca = "none.pem"\nserver = "https://localhost"', "ca: "),
        ('server = "https://localhost"', "topic: it is missing"),
    ],
)
def test_what_is_wrong_is_one_sentence(tmp_path, line, message):
    file = tmp_path / "cameras.toml"
    file.write_text(f"{CAMERA}[[ntfy]]\n{line}\n")
    with (
        pytest.raises((SettingsError, SinkError)) as error,
        Dispatcher(DispatchSettings.of(read_watchfile(file, {})), lambda text: None),
    ):
        pass
    assert message in str(error.value)
    assert "\n" not in str(error.value)

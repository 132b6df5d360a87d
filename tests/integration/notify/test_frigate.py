"""Events in Frigate: created and ended as its API asks for, once, and not lost in an outage."""

from __future__ import annotations

import contextlib
import time

import pytest

from streamrec.errors import SinkError
from streamrec.notify import delivery
from streamrec.notify.frigate import FrigateSettings
from tests.helpers.cameras import free_port
from tests.helpers.frigate_server import FrigateServer
from tests.helpers.notify_house import House


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(delivery, "_FIRST_PAUSE", 0.02)
    monkeypatch.setattr(delivery, "_POLL_SECONDS", 0.05)


@pytest.fixture
def make(tmp_path):
    with contextlib.ExitStack() as stack:

        def build(url, clock=time.time, **settings):
            house = House(tmp_path, "frigate", FrigateSettings(url=url, **settings), clock)
            return stack.enter_context(contextlib.closing(house))

        yield build


@contextlib.contextmanager
def frigate(*cameras, **options):
    with contextlib.closing(FrigateServer(*(cameras or ("door",)), **options)) as server:
        yield server


def test_an_action_is_an_event_of_frigate_from_its_start_to_its_end(make):
    with frigate() as server:
        house = make(server.url)
        house.happen(1, end=False)
        server.wait(1)
        ((id, event),) = server.events.items()
        assert event["end_time"] is None
        house.happen(1, start=False)
        server.wait(2)
        assert house.is_empty() and event["end_time"] is not None
    assert (event["camera"], event["label"], event["sub_label"]) == ("door", "fight", "fight")
    assert (event["score"], event["source_type"], event["include_recording"]) == (0.7, "api", True)
    assert [(method, body) for method, _, body, _ in server.requests[1:]] == [("PUT", {})]
    assert server.requests[1][1] == f"/api/events/{id}/end" and house.log == []
    assert house.history.answer(house.settings.receiver, house.history.query()[0].id) is None


def test_an_action_that_is_over_when_frigate_is_back_is_sent_as_a_whole(make):
    port = free_port()
    house = make(f"http://127.0.0.1:{port}")
    house.happen(1)
    assert "it cannot be reached (connection refused)" in house.wait_for_log()
    with frigate(port=port) as server:
        server.wait(1)
        assert house.is_empty()
        (event,) = server.events.values()
        assert len(server.requests) == 1  # the end needs no request
    assert event["duration"] == 1


def test_a_start_that_comes_late_says_when_it_was_and_an_end_that_comes_late_is_dated(make):
    ago = 3600.0
    with frigate() as server:
        house = make(server.url, clock=lambda: time.time() - ago)
        house.happen(1, end=False)
        server.wait(1)
        (event,) = server.events.values()
        began = time.strftime("%Y-%m-%d %H:%M", time.localtime(time.time() - ago))
        assert event["sub_label"].startswith("fight at 20") and began in event["sub_label"]
        house.happen(1, start=False)
        server.wait(2)
        assert house.is_empty()
    # Frigate dates the start by its arrival, so the end that was before it comes right after it.
    assert 0.0 < event["end_time"] - event["start_time"] < 30.0 and server.requests[1][2]["end_time"]


def test_a_clock_of_frigate_that_is_ahead_does_not_leave_the_event_open(make):
    with frigate() as server:
        server.clock_ahead = 500.0
        house = make(server.url, clock=lambda: time.time() - 60.0)
        house.happen(1, end=False)
        server.wait(1)
        house.happen(1, start=False)
        server.wait(3)
        assert house.is_empty()
        assert [status for *_, status in server.requests] == [200, 400, 200]
        assert next(iter(server.events.values()))["end_time"] is not None


def test_an_event_that_is_not_in_its_database_yet_is_ended_a_moment_later(make):
    with frigate(hidden=2, broken=1) as server:
        house = make(server.url)
        house.happen(1, end=False)
        server.wait(2)
        house.happen(1, start=False)
        server.wait(5)
        assert house.is_empty()
    assert [status for *_, status in server.requests] == [500, 200, 404, 404, 200]


def test_a_restart_between_start_and_end_ends_the_same_event(make):
    with frigate() as server:
        house = make(server.url)
        house.happen(1, end=False)
        server.wait(1)
        assert house.is_empty()
        house.close()  # as interrupted
        second = make(server.url)
        server.wait(2)
        assert second.is_empty()
        assert len(server.events) == 1 and next(iter(server.events.values()))["end_time"]


def test_cameras_and_labels_have_frigates_names(make):
    names = {"camera_names": (("Hof, hinten", "back_yard"),), "label_names": (("fight", "person"),)}
    with frigate("back_yard", "../door") as server:
        house = make(server.url, sub_label="{label} in {zone}", **names)
        house.happen(1, camera="Hof, hinten")
        house.happen(2, camera="../door", label="a/b?c#d")
        house.happen(3, camera="nowhere")
        assert house.is_empty()
    events = [(event["camera"], event["label"]) for event in server.events.values()]
    assert events == [("back_yard", "person")]
    # A name cannot leave its part of the path.
    assert "/api/events/.._door/a_b%3Fc%23d/create" in [path for _, path, *_ in server.requests]
    assert any("Frigate has no camera 'nowhere': camera_names may map it" in line for line in house.log)


def test_the_log_in_is_done_once_and_again_when_its_token_is_not_valid_any_more(make):
    with frigate(user="nvr", password="hunter22") as server:
        house = make(server.url, user="nvr", password="hunter22")
        house.happen(1)
        assert house.is_empty()
        server.tokens.clear()
        house.happen(2)
        assert house.is_empty()
    paths = [(path.rpartition("/")[2], status) for _, path, _, status in server.requests]
    assert paths.count(("login", 200)) == 2 and paths.count(("create", 401)) <= 1
    assert len(server.events) == 2 and house.log == []


@pytest.mark.parametrize(
    ("server_has", "given", "says"),
    [
        (
            {"user": "nvr", "password": "right"},
            {"user": "nvr", "password": "hunter22"},
            "it refuses user and password",
        ),
        ({"user": "nvr", "password": "right"}, {}, "it refuses a request without a log-in"),
        ({"user": "nvr", "password": "right"}, {"token": "hunter22"}, "it refuses the log-in"),
        (
            {"user": "nvr", "password": "hunter22", "role": "viewer"},
            {"user": "nvr", "password": "hunter22"},
            "creating events needs a user who is an admin",
        ),
    ],
)
def test_what_frigate_refuses_is_one_sentence_without_a_secret_and_waits(make, server_has, given, says):
    with frigate(**server_has) as server:
        house = make(server.url, **given)
        house.happen(1)
        assert says in house.wait_for_log()
        assert len(house.history.waiting(house.settings.receiver)) == 2
    house.close()
    shown = "".join(house.log) + repr(house.settings)
    kept = (house.history.path).read_bytes()
    assert "hunter22" not in shown and b"hunter22" not in kept


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"url": "ftp://nvr"}, "url: write http"),
        ({"url": "http://nvr/?camera=1"}, "url: give where Frigate's page is"),
        ({"url": "http://nvr", "user": "a"}, "user: a log-in has a user and a password"),
        ({"url": "http://nvr", "token": "a.b.c\r\nX: y"}, "token: it holds letters"),
        ({"url": "http://nvr", "sub_label": "{camera.x} {nothing}"}, "sub_label: there is no {nothing}"),
        ({"url": "http://nvr", "fingerprint": "12:34"}, "fingerprint: give the SHA-256"),
    ],
)
def test_wrong_settings_are_one_sentence(wrong, says):
    with pytest.raises(SinkError) as error:
        FrigateSettings(**wrong)
    assert str(error.value).startswith(says)


def test_a_test_logs_in_and_compares_the_names_of_cameras_and_creates_nothing(make):
    with frigate("front_door", "yard", user="nvr", password="hunter22") as server:
        house = make(server.url, user="nvr", password="hunter22", camera_names=(("door", "front_door"),))
        house.receiver.camera("door", ["fight"])
        assert house.receiver.test() == "it answers, and has 2 cameras"
        house.receiver.camera("attic", ["fight"])
        with pytest.raises(
            delivery.Undelivered, match="Frigate has no camera attic: camera_names may map it"
        ):
            house.receiver.test()
        assert server.events == {}

"""Receivers of notifications on the page: for admins, one test at a time, and no address comes from a request."""

from __future__ import annotations

import time

import pytest

from streamrec.outputs.history.records import Entry, new_id
from streamrec.outputs.history.store import History
from streamrec.web import receiver_routes as rooms
from tests.helpers.pages import PASSWORD


class Desk:
    """Two receivers, of which one does not answer well."""

    def __init__(self) -> None:
        self.tested: list[str] = []

    def names(self) -> list[str]:
        return ["ntfy phone", "mqtt"]

    def waiting(self, name: str) -> tuple[int, int]:
        return (0, 3) if name == "mqtt" else (2, 0)

    def test(self, name: str) -> tuple[bool, str]:
        self.tested.append(name)
        return (True, "it answered 200") if name == "ntfy phone" else (False, "it cannot be reached")


@pytest.fixture
def page(open_page):
    desk = Desk()
    page = open_page("door", guarded=True, receivers=desk)
    page.desk = desk
    return page


def test_what_waits_is_listed_and_a_test_says_what_it_got(page, monkeypatch):
    monkeypatch.setattr(rooms, "_AGAIN_SECONDS", 0.0)
    with page.logged_in() as client:
        assert client.get("/api/v1/session").json()["receivers"] is True
        assert client.get("/api/v1/receivers").json()["receivers"] == [
            {"name": "ntfy phone", "waiting": 2, "held": 0},
            {"name": "mqtt", "waiting": 0, "held": 3},
        ]
        for name, arrived, answer in (
            ("ntfy phone", True, "it answered 200"),
            ("mqtt", False, "it cannot be reached"),
        ):
            found = client.post("/api/v1/receivers/test", json={"name": name})
            assert found.json() == {"name": name, "arrived": arrived, "answer": answer}


def test_nothing_but_a_receiver_of_the_file_is_tested(page):
    attacks = ("http://169.254.169.254/", "ntfy phone\r\nX: y", "", "x" * 5000, "NTFY PHONE")
    with page.logged_in() as client:
        answers = [client.post("/api/v1/receivers/test", json={"name": name}).status_code for name in attacks]
        more = client.post("/api/v1/receivers/test", json={"name": "mqtt", "url": "http://169.254.169.254/"})
    assert answers == [404, 404, 404, 422, 404]
    assert more.status_code == 200  # what it does not know it does not use
    assert page.desk.tested == ["mqtt"]


def test_a_test_needs_a_log_in_and_the_token_of_the_page_and_waits_for_the_last(page):
    ask = {"json": {"name": "mqtt"}}
    with page.client() as client:
        assert client.post("/api/v1/receivers/test", **ask).status_code in (401, 403)
        assert client.get("/api/v1/receivers").status_code == 401
    with page.logged_in() as client:
        assert client.post("/api/v1/receivers/test", headers={"X-CSRF-Token": "x"}, **ask).status_code == 403
        evil = client.post("/api/v1/receivers/test", headers={"Origin": "http://evil.example"}, **ask)
        assert evil.status_code == 403
        assert page.desk.tested == []
        assert client.post("/api/v1/receivers/test", **ask).status_code == 200
        again = client.post("/api/v1/receivers/test", **ask)
        assert (again.status_code, again.headers["retry-after"]) == (429, "3")
    assert page.desk.tested == ["mqtt"]
    assert PASSWORD  # the page has a log-in


def test_without_receivers_there_is_nothing_to_test(open_page):
    with open_page("door").logged_in() as client:
        assert client.get("/api/v1/session").json()["receivers"] is False
        assert client.get("/api/v1/receivers").status_code == 404


def test_an_event_without_evidence_shows_the_picture_of_its_notification(open_page, tmp_path):
    with History(tmp_path / "events.db") as history:
        history.start(lambda announcement: None)
        now = time.time()
        old, plain = (
            Entry(id=new_id(at), camera="door", model="", label="wave", started=at, ended=at, confidence=0.9)
            for at in (now - 86_400, now)
        )
        for entry in (old, plain):
            history.add(entry)
        history.pictures.keep(old.id, b"\xff\xd8 a picture")
        assert history.drain(20)
        with open_page("door", history=history).logged_in() as client:
            shown = client.get(f"/api/v1/events/{old.id}").json()
            assert shown["thumbnail"] == f"/api/v1/events/{old.id}/thumbnail"
            picture = client.get(shown["thumbnail"])
            assert (picture.content, picture.headers["content-type"]) == (b"\xff\xd8 a picture", "image/jpeg")
            assert client.get(f"/api/v1/events/{plain.id}").json()["thumbnail"] is None
            assert client.get(f"/api/v1/events/{plain.id}/thumbnail").status_code == 404

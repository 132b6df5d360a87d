"""The API of arming: what is armed, live on the socket, and choices that need what every change needs."""

from __future__ import annotations

import json

import pytest

from streamrec.events.arming import ArmingRules, Profile
from streamrec.events.rules import Pattern
from streamrec.notify.arming import Arming
from streamrec.web.auth import Access, new_token
from streamrec.web.roles import Role
from tests.helpers.pages import open_page  # noqa: F401
from tests.integration.web.test_fuzz import ODD_TEXTS, ODD_VALUES
from tests.integration.web.test_routes import Looking

RULES = ArmingRules(usual="home", own=(Profile(name="home", armed=(Pattern(labels=("fall",)),)),))
CHOICES = [
    ("/api/v1/arming", {"profile": "disarmed"}),
    ("/api/v1/arming/snooze", {"camera": "door", "minutes": 5}),
]


@pytest.fixture
def open_armed(open_page):  # noqa: F811
    """Opens pages on which what is armed can be chosen."""

    def made(history) -> Arming:
        arming = Arming(history, RULES)
        for name in ("door", "yard"):
            arming.watched(name, {"": ["wave", "fall"]})
        return arming

    return lambda *names, **more: open_page(*names, arming=made, **more)


def test_what_is_armed_is_reported_and_every_field_is_described(open_armed):
    page = open_armed("door", "yard")
    with page.client() as client:
        assert client.get("/api/v1/session").json()["arming"] is True
        answer = client.get("/api/v1/arming").json()
        spec = client.get("/api/v1/openapi.json").json()["components"]["schemas"]
    arming = answer["arming"]
    assert (answer["version"], arming["profile"], arming["cause"]) == (1, "home", "usual")
    door = arming["cameras"][0]
    assert (door["name"], door["armed"]) == ("door", "some")
    assert door["labels"][0] == {
        "label": "wave", "armed": False, "reason": "not armed in profile home, the usual one"
    }  # fmt: skip
    assert [one["name"] for one in arming["profiles"]] == ["armed", "disarmed", "home"]
    assert set(arming) == set(spec["ArmingJson"]["properties"])
    assert set(door) == set(spec["ArmedCameraJson"]["properties"])


def test_a_choice_is_answered_and_comes_to_every_viewer(open_armed):
    page = open_armed("door", "yard")
    with page.logged_in() as client, Looking(page) as looking:
        assert looking.next("arming")["arming"]["profile"] == "home"
        chosen = client.put("/api/v1/arming", json={"profile": "disarmed", "minutes": 30}).json()["arming"]
        assert (chosen["cause"], chosen["chosen_by"]) == ("hand", "page") and chosen["until"]
        assert looking.next("arming")["arming"] == chosen
        snooze = {"camera": "door", "label": "fall", "minutes": 10}
        snoozed = client.put("/api/v1/arming/snooze", json=snooze).json()["arming"]
        assert [(one["camera"], one["label"]) for one in snoozed["snoozes"]] == [("door", "fall")]
        assert looking.next("arming")["arming"]["snoozes"] == snoozed["snoozes"]
        ended = client.put("/api/v1/arming/snooze", json=snooze | {"minutes": 0}).json()["arming"]
        assert ended["snoozes"] == []
        back = client.put("/api/v1/arming", json={"profile": None}).json()["arming"]
        assert (back["profile"], back["cause"], back["chosen_by"]) == ("home", "usual", None)


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("", {"profile": "hom"}, "hom: there is no such profile; did you mean home"),
        ("/snooze", {"camera": "dor", "minutes": 5}, "dor: there is no such camera; did you mean door"),
        ("/snooze", {"camera": "door", "label": "fal", "minutes": 5}, "fal: there is no such label"),
        ("/snooze", {"camera": "door", "minutes": 0.001}, "minutes: give a number from 0, or 1 to 10,080"),
    ],
)
def test_what_is_not_possible_is_answered_in_words(open_armed, path, body, message):
    page = open_armed("door")
    with page.logged_in() as client:
        answer = client.put(f"/api/v1/arming{path}", json=body)
    assert answer.status_code == 422 and message in answer.json()["error"]["message"]


def test_odd_bodies_are_answered_and_change_nothing(open_armed):
    page = open_armed("door")
    errors: list[str] = []
    page.server._limited_log._log = errors.append
    before = page.live.arming.status()
    even = (0, 1, 1.5, 5, "door", "yard", None)  # minutes and cameras that there are
    odd = [one for one in (*ODD_VALUES, *ODD_TEXTS) if one not in even]
    bodies = [("", one) for one in odd] + [("", {"profile": one}) for one in odd if one is not None]
    bodies += [("", {"profile": "home", "minutes": one}) for one in odd if one is not None]
    bodies += [("", {"profile": "home", "more": 1}), ("", {})]
    bodies += [("/snooze", {"camera": one, "minutes": 5}) for one in odd]
    bodies += [("/snooze", {"camera": "door", "minutes": one}) for one in odd]
    headers = {"Content-Type": "application/json"}
    with page.logged_in() as client:
        for path, body in bodies:
            content = json.dumps(body)
            answer = client.put(f"/api/v1/arming{path}", content=content, headers=headers)
            assert 400 <= answer.status_code < 500, (path, content[:80], answer.text[:200])
            assert set(answer.json()["error"]) == {"code", "message"}
    assert page.live.arming.status() == before and errors == []


@pytest.mark.parametrize(("path", "body"), CHOICES)
def test_choices_need_what_every_change_needs(open_armed, path, body):
    page = open_armed("door", guarded=True)
    before = page.live.arming.status()
    with page.client() as client:
        assert client.put(path, json=body).status_code == 401
        assert client.get("/api/v1/arming").status_code == 401
    with page.logged_in() as client:
        wrong = {**client.headers, "X-CSRF-Token": "wrong"}
        assert client.put(path, json=body, headers=wrong).json()["error"]["code"] == "wrong_csrf_token"
        foreign = {**client.headers, "Origin": "http://evil.example"}
        assert client.put(path, json=body, headers=foreign).json()["error"]["code"] == "wrong_origin"
        form = client.put(path, content="profile=disarmed", headers={"Content-Type": "text/plain"})
        assert 400 <= form.status_code < 500
    assert page.live.arming.status() == before
    with page.client(headers={"Authorization": f"Bearer {page.token}"}) as client:
        assert client.put(path, json=body).status_code == 200


def test_without_a_history_there_is_nothing_to_arm(open_page):  # noqa: F811
    page = open_page("door")
    with page.logged_in() as client:
        assert client.get("/api/v1/arming").status_code == 404
        assert client.get("/api/v1/session").json()["arming"] is False


def test_who_sees_some_cameras_sees_what_of_them_is_armed_and_chooses_nothing(open_armed):
    token, account = new_token("ben", Role.viewer, ["door"])
    page = open_armed("door", "yard", access=Access((account,)))
    page.live.arming.snooze("yard", minutes=5)
    ben = {"Authorization": f"Bearer {token}"}
    with page.client(headers=ben) as client:
        shown = client.get("/api/v1/arming")
        cameras = [one["name"] for one in shown.json()["arming"]["cameras"]]
        assert "yard" not in shown.text and cameras == ["door"]
        for path, body in CHOICES:
            assert client.put(path, json=body).status_code == 403
    with Looking(page, **ben) as looking:
        assert "yard" not in json.dumps(looking.next("arming"))
    assert page.live.arming.profile == "home"

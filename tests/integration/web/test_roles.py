"""What a viewer of one camera gets of the others on a real server: nothing, in any answer and any message."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from streamrec.web.access_file import edit, replacing_account
from streamrec.web.auth import Access, Kind
from streamrec.web.roles import Role
from tests.helpers.pages import PASSWORD, wait_for
from tests.helpers.roles import accounts
from tests.integration.web.attacks import cookie_in

HIDDEN = "yard"


@pytest.fixture
def page(open_page, tmp_path):
    """Two cameras with pictures and events; users ann (admin) and ben (viewer of door), and a token of each role."""
    access, tokens = accounts("ann", "ben")
    path = tmp_path / "page.access"
    path.write_text(access.lines(), encoding="utf-8")
    path.chmod(0o600)
    file = tmp_path / "cameras.toml"
    file.write_text(
        "".join(
            f'[[camera]]\nname = "{name}"\naddress = "rtsp://10.0.0.1/{name}"\n' for name in ("door", HIDDEN)
        )
    )
    page = open_page("door", HIDDEN, access=Access.read(path, {}), access_file=path, file=file)
    page.tokens, page.access_path = tokens, path
    for actor in page.actors.values():
        actor.start()
        actor.end()
    return page


def as_token(page, name: str):
    return page.client(headers={"Authorization": f"Bearer {page.tokens[name]}"})


def events_of(page, name: str) -> list[dict]:
    with as_token(page, name) as client:
        return client.get("/api/v1/events").json()["events"]


def test_no_answer_to_a_viewer_of_one_camera_names_another(page):
    (hidden,) = (event["id"] for event in events_of(page, "admin") if event["camera"] == HIDDEN)
    targets = [
        "cameras", "session", "events", f"events?camera={HIDDEN}", f"events?camera=door&camera={HIDDEN}",
        "events?camera=", f"events?after={hidden}&limit=500", f"events/{hidden}", f"events/{hidden}/clip",
        f"events/{hidden}/thumbnail", f"picture?camera={HIDDEN}", f"picture?camera=door&camera={HIDDEN}",
        "picture?camera=nowhere", "settings", f"settings/whole?camera={HIDDEN}", "corrections", "teach", "fleet",
        "../../metrics", "openapi.json", f"events/{hidden}/similar", f"export?event={hidden}",
        f"export/size?event={hidden}", f"events/{hidden}/recordings", f"events/{hidden}/recordings/during", "arming",
        "receivers", "discovery", "users", "audit",
    ]  # fmt: skip
    answers = {}
    with as_token(page, "door") as client:
        for target in targets:
            answer = client.get(f"/api/v1/{target}")
            answers[target] = answer.status_code
            assert HIDDEN not in answer.text and hidden not in answer.text, target
    assert (
        answers[f"events/{hidden}"]
        == answers[f"picture?camera={HIDDEN}"]
        == answers["picture?camera=nowhere"]
        == 404
    )
    assert answers["cameras"] == answers["events"] == answers["../../metrics"] == 200
    assert answers["settings"] == 403
    assert {event["camera"] for event in events_of(page, "door")} == {"door"}
    assert {event["camera"] for event in events_of(page, "viewer")} == {"door", HIDDEN}


def test_no_message_to_a_viewer_of_one_camera_is_of_another(page):
    headers = {"Authorization": f"Bearer {page.tokens['door']}"}
    seen, pictures = [], 0
    with connect(f"ws://{page.host}/api/v1/live", additional_headers=headers, max_size=None) as socket:
        socket.send(json.dumps({"want": {"door": 320, HIDDEN: 320}}))
        ends = time.monotonic() + 60.0
        while pictures < 3 and time.monotonic() < ends:
            for actor in page.actors.values():
                actor.start()
                actor.end()
            message = socket.recv(timeout=5)
            if isinstance(message, bytes):
                pictures += 1
                assert message[1:5] == b"door" and HIDDEN.encode() not in message
                socket.send('{"got": 1}')
            else:
                seen.append(json.loads(message)["type"])
                assert HIDDEN not in message
    assert pictures == 3 and {"hello", "cameras", "event"} <= set(seen)


def test_a_session_ends_when_its_role_changes(page):
    with page.logged_in("ben") as ben, page.logged_in("ann") as ann:
        assert ben.get("/api/v1/session").json()["role"] == "viewer"
        assert ben.put("/api/v1/settings/camera", json={}).status_code == 403
        cookie = cookie_in(ben)
        with connect(
            f"ws://{page.host}/api/v1/live", origin=page.url, additional_headers={"Cookie": cookie}
        ) as socket:
            socket.recv(timeout=5)
            change = replacing_account(Kind.user, "ben", lambda one: _with(one, Role.admin))
            edit(page.access_path, change)
            with pytest.raises(ConnectionClosed) as closed:
                while True:
                    socket.recv(timeout=20)
            assert closed.value.rcvd.code == 4401
        assert ben.get("/api/v1/cameras").status_code == 401
        assert ann.get("/api/v1/cameras").status_code == 200


def _with(account, role):
    return replace(account, role=role, cameras=None)


def test_names_are_asked_for_and_guesses_do_not_say_which_there_are(page):
    with page.client(headers={"Origin": page.url}) as client:
        assert client.get("/api/v1/login").json() == {"names": True}
        wrong = [
            client.post("/api/v1/login", json={"name": name, "password": "wrong password"})
            for name in ("ann", "eve", "")
        ]
        assert {(answer.status_code, answer.text) for answer in wrong} == {(401, wrong[0].text)}
        assert client.post("/api/v1/login", json={"name": " ANN ", "password": PASSWORD}).status_code == 204
        audit = wait_for(lambda: page.server.context.audit.read(10))
    assert [(one["what"], one["who"], one["about"], one["done"]) for one in audit] == [
        ("log-in", "ann", {}, True),
        ("log-in", "", {}, False),
        ("log-in", "", {}, False),
        ("log-in", "", {"name": "ann"}, False),
    ]
    assert page.access_path.with_name("page.audit.jsonl").stat().st_mode & 0o777 == 0o600


def test_an_expired_token_opens_nothing_and_closes_what_it_opened(page):
    with as_token(page, "viewer") as client:
        assert client.get("/api/v1/cameras").status_code == 200
        change = replacing_account(Kind.token, "viewer", lambda one: _until(one, time.time() + 1.0))
        edit(page.access_path, change)
        wait_for(lambda: client.get("/api/v1/cameras").status_code == 401)


def _until(account, expires):
    return replace(account, expires=expires)


class TestUsers:
    def test_an_admin_adds_changes_and_removes_users_and_what_they_have_open_ends(self, page):
        with page.logged_in("ann") as ann, page.client(headers={"Origin": page.url}) as eve:
            new = {"name": "Eve", "role": "viewer", "cameras": ["door"], "password": PASSWORD}
            assert ann.post("/api/v1/users/user", json=new).status_code == 200
            assert (
                ann.post("/api/v1/users/user", json={**new, "name": "eve"}).status_code == 422
            )  # the same name
            assert eve.post("/api/v1/login", json={"name": "eve", "password": PASSWORD}).status_code == 204
            assert [one["name"] for one in eve.get("/api/v1/cameras").json()["cameras"]] == ["door"]
            listed = ann.put("/api/v1/users/user", json={**new, "cameras": None, "password": ""}).json()[
                "accounts"
            ]
            assert ann.post("/api/v1/users/user", json={**new, "name": " "}).status_code == 422
            assert [one["cameras"] for one in listed if one["name"] == "Eve"] == [None]
            assert eve.get("/api/v1/cameras").status_code == 401  # the session was begun with other rights
            assert "scrypt" not in str(listed) and "sha256" not in str(listed)
            assert ann.request("DELETE", "/api/v1/users/user", json={"name": "Eve"}).status_code == 200
            assert eve.post("/api/v1/login", json={"name": "eve", "password": PASSWORD}).status_code == 401
            whats = [one["what"] for one in ann.get("/api/v1/audit").json()["lines"]]
        assert whats == ["log-in", "user removed", "user changed", "log-in", "user added", "log-in"]

    def test_a_token_is_shown_once_and_opens_nothing_after_its_removal(self, page):
        with page.logged_in("ann") as ann:
            new = {"name": "prom", "role": "viewer", "cameras": ["door"], "expires": "2099-01-01T00:00:00Z"}
            made = ann.post("/api/v1/users/token", json=new).json()["token"]
            assert made not in ann.get("/api/v1/users").text
            with page.client(headers={"Authorization": f"Bearer {made}"}) as program:
                assert program.get("/metrics").status_code == 200
                assert ann.request("DELETE", "/api/v1/users/token", json={"name": "prom"}).status_code == 200
                assert program.get("/metrics").status_code == 401  # the replay of a removed token
            past = ann.post("/api/v1/users/token", json={**new, "expires": "2020-01-01T00:00:00Z"})
            assert past.status_code == 422
            for far in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"):
                assert ann.post("/api/v1/users/token", json={**new, "expires": far}).status_code == 422
            text = page.access_path.with_name("page.audit.jsonl").read_text()
        assert made not in text and PASSWORD not in text

    def test_the_last_admin_stays_and_an_admin_has_no_chosen_cameras(self, page):
        with page.logged_in("ann") as ann:
            remove = lambda kind, name: ann.request("DELETE", f"/api/v1/users/{kind}", json={"name": name})  # noqa: E731
            assert remove("token", "admin").status_code == 200
            last = remove("user", "ann")
            assert last.status_code == 422 and "last admin" in last.json()["error"]["message"]
            demoted = ann.put("/api/v1/users/user", json={"name": "ann", "role": "viewer"})
            assert demoted.status_code == 422
            chosen = ann.put("/api/v1/users/user", json={"name": "ben", "role": "admin", "cameras": ["door"]})
            assert (
                chosen.status_code == 422 and "an admin sees all cameras" in chosen.json()["error"]["message"]
            )

    def test_a_viewer_gets_none_of_it(self, page):
        with page.logged_in("ben") as ben:
            assert ben.get("/api/v1/session").json()["users"] is False
            body = {"name": "ben", "role": "admin"}
            for method, path in [
                ("GET", "users"), ("POST", "users/user"), ("PUT", "users/user"), ("DELETE", "users/user"),
                ("POST", "users/token"), ("DELETE", "users/token"), ("GET", "audit"),
            ]:  # fmt: skip
                answer = ben.request(method, f"/api/v1/{path}", json=body)
                assert (answer.status_code, answer.json()["error"]["code"]) == (403, "not_allowed"), path

"""The routes that change profiles and their schedule in cameras.toml, and what attacks on them get."""

from __future__ import annotations

import json
import tomllib

import pytest

from tests.helpers.pages import open_page  # noqa: F401
from tests.helpers.roles import accounts
from tests.integration.web.test_fuzz import ODD_TEXTS, ODD_VALUES

FILE = """# the house
[[camera]]
name = "door"
address = "rtsp://192.168.1.20/stream1"
"""
PROFILE, SCHEDULE = "/api/v1/settings/arming/profile", "/api/v1/settings/arming/schedule"
NIGHT = {"name": "night", "armed": [{"label": ["fall"]}]}
TIMES = {
    "usual": "armed",
    "schedules": [{"profile": "disarmed", "days": ["mon"], "from": "22:00", "until": "06:00"}],
}


@pytest.fixture
def managed(open_page, tmp_path):  # noqa: F811
    """A page over a file, with an admin and two viewers."""
    path = tmp_path / "cameras.toml"
    path.write_text(FILE)
    access, tokens = accounts("ann")
    return open_page("door", file=path, access=access), path, tokens


def put(client, path, change, **more):
    revision = client.get("/api/v1/settings").json()["revision"]
    return client.put(path, json={"revision": revision, "change": change, **more})


def test_a_profile_and_a_schedule_are_written_read_at_once_and_logged(managed):
    page, path, _ = managed
    with page.logged_in("ann") as client:
        assert put(client, PROFILE, NIGHT).json()["arming"]["profiles"] == [
            {
                "name": "night",
                "armed": [{"label": ["fall"], "camera": [], "zone": [], "model": []}],
                "text": "fall",
            }
        ]
        assert page.live.reload.is_set()
        assert put(client, SCHEDULE, TIMES).json()["arming"]["schedules"] == TIMES["schedules"]
        assert put(client, PROFILE, NIGHT | {"armed": True}, profile="night").status_code == 200
        spec = client.get("/api/v1/openapi.json").json()
        assert set(spec["components"]["schemas"]["ScheduleJson"]["properties"]) == {
            "profile",
            "days",
            "from",
            "until",
        }
        revision = client.get("/api/v1/settings").json()["revision"]
        gone = client.request("DELETE", PROFILE, json={"revision": revision, "profile": "night"})
        assert gone.status_code == 200 and gone.json()["arming"]["profiles"] == []
        log = page.server.context.audit.read()
    found = tomllib.loads(path.read_text())["arming"]
    assert found == {
        "schedule": [{"profile": "disarmed", "days": ["mon"], "from": "22:00", "until": "06:00"}]
    }
    deeds = [
        (one["what"], one["about"]) for one in log if "profile" in one["what"] or "schedule" in one["what"]
    ]
    assert deeds[::-1] == [
        ("profile changed", {"name": "night", "settings": "new"}),
        ("schedule changed", {"usual": "armed", "settings": "schedules"}),
        ("profile changed", {"profile": "night", "name": "night", "settings": "armed"}),
        ("profile removed", {"profile": "night"}),
    ]


def test_changes_need_an_admin_and_what_every_change_needs(managed):
    page, path, tokens = managed
    asked = [
        ("PUT", PROFILE, {"revision": "x", "change": NIGHT}),
        ("DELETE", PROFILE, {"revision": "x", "profile": "night"}),
        ("PUT", SCHEDULE, {"revision": "x", "change": TIMES}),
    ]
    for method, where, body in asked:
        with page.client() as client:
            assert client.request(method, where, json=body).status_code == 401
            for viewer in ("viewer", "door"):
                headers = {"Authorization": f"Bearer {tokens[viewer]}"}
                assert client.request(method, where, json=body, headers=headers).status_code == 403
        with page.logged_in("ann") as client:
            for key, value, code in (
                ("X-CSRF-Token", "wrong", "wrong_csrf_token"),
                ("Origin", "http://evil.example", "wrong_origin"),
            ):
                answer = client.request(method, where, json=body, headers={**client.headers, key: value})
                assert (answer.status_code, answer.json()["error"]["code"]) == (403, code)
            form = client.request(
                method, where, content=json.dumps(body), headers={"Content-Type": "text/plain"}
            )
            assert form.status_code == 415
            assert client.request(method, where, json=body).status_code == 409  # an old revision
            assert (
                client.request(
                    method, where, content=b"x" * 70_000, headers={"Content-Type": "application/json"}
                ).status_code
                == 413
            )
    assert path.read_text() == FILE


def test_odd_bodies_are_answered_and_change_nothing(managed):
    page, path, _ = managed
    odd = [*ODD_VALUES, *ODD_TEXTS]
    names = [
        one
        for one in odd
        if not isinstance(one, str)
        or not one.strip()
        or not one.strip().isprintable()
        or len(one.strip()) > 60
    ]
    times = [one for one in odd if one not in ("",)]
    bodies = [(PROFILE, {"name": one, "armed": True}) for one in names]
    bodies += [
        (PROFILE, {"name": "n", "armed": one}) for one in odd if not isinstance(one, bool) and one != []
    ]
    bodies += [(PROFILE, {"name": "n", "armed": [{"camera": [one]}]}) for one in odd if one != "door"]
    bodies += [
        (PROFILE, {"name": "n", "armed": True, "more": 1}),
        (PROFILE, {"name": "n", "armed": [{}] * 51}),
    ]
    bodies += [(SCHEDULE, TIMES | {"usual": one}) for one in odd]
    bodies += [(SCHEDULE, TIMES | {"timezone": one}) for one in times]
    bodies += [
        (SCHEDULE, TIMES | {"timezone": "../../../etc/passwd"}),
        (SCHEDULE, TIMES | {"schedules": TIMES["schedules"] * 31}),
    ]
    bodies += [
        (SCHEDULE, {"usual": "armed", "schedules": [TIMES["schedules"][0] | {"from": one}]}) for one in times
    ]
    headers = {"Content-Type": "application/json"}
    with page.logged_in("ann") as client:
        revision = client.get("/api/v1/settings").json()["revision"]
        for where, change in bodies:
            content = json.dumps({"revision": revision, "change": change})
            answer = client.put(where, content=content, headers=headers)
            assert 400 <= answer.status_code < 500, (where, content[:150], answer.text[:200])
            assert "root:" not in answer.text
    assert path.read_text() == FILE and sorted(
        one.name for one in path.parent.iterdir() if "cameras" in one.name
    ) == ["cameras.toml"]


def test_a_name_that_is_toml_is_a_name(managed):
    page, path, _ = managed
    name = 'x"\\' + "]] [defaults] user='a'"
    with page.logged_in("ann") as client:
        assert (
            put(
                client, PROFILE, {"name": name, "armed": [{"label": ['"]\\u0000 = {', "${HOME}"]}]}
            ).status_code
            == 200
        )
    assert tomllib.loads(path.read_text())["arming"]["profile"] == [
        {"name": name, "armed": ['"]\\u0000 = {', "${HOME}"]}
    ]  # fmt: skip

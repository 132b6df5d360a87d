"""streamrec/web/roles.py: every route says what it needs, and each role gets what it may."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from streamrec.outputs.history.records import Entry
from streamrec.web import websocket_hub
from streamrec.web.live import LiveState
from streamrec.web.roles import Cameras, Identity, Needs, Role, declared
from tests.helpers.roles import SAFE, Door, accounts, every_route, methods_of, path_of

# Requests that change nothing, though they are no GET: they try something, and save nothing.
TRIALS = {"/api/v1/settings/rule/try", "/api/v1/settings/preview"}


@pytest.fixture(scope="module")
def routes() -> list[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("streamrec.web.cameras_editor.CamerasEditor.__init__", lambda self, *_: None)
        return every_route()


def named(routes: list[Any]) -> list[tuple[str, Any, Needs | None]]:
    return [
        (f"{method} {route.path}", route, declared(route.endpoint))
        for route in routes
        for method in methods_of(route)
    ]


def test_every_route_declares_what_it_needs(routes):
    assert [name for name, _, needs in named(routes) if needs is None] == []


def test_every_request_that_changes_something_is_for_admins_and_in_the_audit_log(routes):
    changing = [row for row in named(routes) if row[0].split()[0] not in (*SAFE, "WEBSOCKET")]
    assert len(changing) > 20
    silent = {route.path for _, route, needs in changing if not needs.audit}
    assert silent == TRIALS
    others = {route.path for _, route, needs in changing if needs.role is not Role.admin}
    assert others == {"/api/v1/login", "/api/v1/logout"}


def test_what_needs_no_log_in_is_a_short_list(routes):
    assert {route.path for _, route, needs in named(routes) if needs.role is None} == {
        "/login", "/favicon.ico", "/static/{name}", "/healthz", "/api/v1/login",
    }  # fmt: skip


def test_each_role_gets_what_its_routes_declare(routes):
    access, tokens = accounts()
    door = Door(routes, access)
    for name, route, needs in named(routes):
        method, path = name.split()[0], path_of(route)
        got = {who: door.ask(method, path, token) for who, token in {"": "", **tokens}.items()}
        reached = 101 if method == "WEBSOCKET" else 200
        assert got["admin"] == reached, name
        if needs.role is None:
            assert set(got.values()) == {200}, name
            continue
        assert got[""] in ((303,) if path in ("/", "/api") else (403 if method == "WEBSOCKET" else 401,)), (
            name
        )
        assert got["viewer"] == (reached if needs.role is Role.viewer else 403), name
        expected = {Cameras.all: 403, Cameras.named: 404}.get(needs.cameras, reached)
        assert got["door"] == (expected if needs.role is Role.viewer else 403), name


def test_a_named_camera_is_one_that_the_client_sees(routes):
    access, tokens = accounts()
    door = Door(routes, access)
    ask = lambda query: door.ask("GET", f"/api/v1/picture?{query}", tokens["door"])  # noqa: E731
    assert ask("camera=door") == 200
    for query in (
        "camera=yard",
        "camera=nowhere",
        "camera=",
        "",
        "camera=door&camera=yard",
        "Camera=door",
        "camera=door%00",
    ):
        assert ask(query) == 404, query
    assert door.ask("GET", "/api/v1/picture?camera=yard", tokens["viewer"]) == 200


def test_a_route_that_declares_nothing_is_closed_to_everyone_and_an_address_without_one_is_not_found():
    from fastapi import APIRouter

    router = APIRouter()

    @router.get("/api/v1/new")
    async def new() -> None:
        """Declares nothing."""

    access, tokens = accounts()
    door = Door(list(router.routes), access)
    assert {door.ask("GET", "/api/v1/new", token) for token in tokens.values()} == {403}
    assert door.ask("GET", "/api/v1/other", tokens["admin"]) == 200  # the application answers 404


def test_what_was_changed_or_refused_is_in_the_audit_log_with_no_secret(routes):
    access, tokens = accounts()
    door = Door(routes, access)
    body = b'{"camera": "door", "change": {"name": "yard", "password": "hunter2hunter2", "address": "rtsp://h/key"}}'
    door.ask("PUT", "/api/v1/settings/camera", tokens["admin"], body)
    door.ask("PUT", "/api/v1/settings/camera", tokens["viewer"], body)
    door.ask("GET", "/api/v1/cameras", tokens["viewer"])
    door.ask("PUT", "/api/v1/settings/camera", "wrong")
    door.ask("PUT", "/api/v1/settings/camera")
    lines = door.audit.read()[::-1]
    assert [(one["who"], one["by"], one["what"], one["done"]) for one in lines] == [
        ("admin", "token", "camera changed", True),
        ("viewer", "token", "camera changed", False),
        ("", "token", "log-in", False),
    ]
    assert lines[0]["from"] == "192.168.1.7" and lines[0]["about"] == {"camera": "door", "name": "yard"}
    assert "hunter2" not in str(lines) and "rtsp" not in str(lines)


def test_what_an_event_is_based_on_is_shown_as_far_as_the_client_sees_it():
    entry = Entry(
        id="3", camera="door", model="", label="late", started=2.0, confidence=1.0, based_on=("1", "2", "9")
    )
    others = {id: replace(entry, id=id, camera=camera) for id, camera in {"1": "door", "2": "yard"}.items()}
    live = LiveState()
    live.close()
    live.history = SimpleNamespace(get=others.get, pictures=SimpleNamespace(has=lambda id: False))
    some = Identity("ben", Role.viewer, frozenset({"door"}))
    others["3"] = entry
    assert live.entry_for(some, "3").based_on == ("1",)
    assert live.entry_for(Identity(), "3").based_on == ("1", "2", "9")
    assert live.entry_for(some, "2") is None and live.entry_for(some, "1").based_on == ("1",)


class TestMessages:
    def test_each_kind_says_what_it_needs(self):
        some, other = Identity("ben", Role.viewer, frozenset({"door"})), Identity("ann")
        for kind, needs in websocket_hub.SENT.items():
            assert needs.allows(other, "yard"), kind
            assert needs.role is Role.viewer
        may = {kind: needs.allows(some, "yard") for kind, needs in websocket_hub.SENT.items()}
        kept = (Cameras.named, Cameras.all)
        refused = {kind for kind, needs in websocket_hub.SENT.items() if needs.cameras in kept}
        assert refused == {kind for kind, allowed in may.items() if not allowed}
        assert not Needs(Role.viewer, Cameras.named).allows(some)  # a message that names no camera

    def test_one_that_says_nothing_is_not_sent(self):
        live = LiveState()
        try:
            with pytest.raises(KeyError):
                websocket_hub.WebSocketHub(live).broadcast("news", {})
        finally:
            live.close()

"""What people say of events, as a program says it: a real server, asked by httpx."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from tests.helpers.corrections import corrected_page


@pytest.fixture
def taught(open_page, tmp_path):
    with corrected_page(open_page, tmp_path) as page:
        yield page


def test_a_verdict_moves_the_threshold_is_shown_and_is_taken_back(taught):
    with taught.logged_in() as client:
        events = client.get("/api/v1/events").json()["events"]
        assert [event["correction"] for event in events] == [None] * 8
        wrong = events[-1]["id"]
        answer = client.post("/api/v1/corrections", json={"event": wrong, "verdict": "wrong"})
        assert answer.status_code == 200, answer.text
        (moved,) = answer.json()["thresholds"]
        assert (moved["camera"], moved["model"], moved["label"], moved["own"]) == ("door", "m", "wave", 0.6)
        assert moved["now"] > 0.6
        event = client.get(f"/api/v1/events/{wrong}").json()
        assert event["id"] == wrong
        assert event["correction"]["verdict"] == "wrong"
        ask = lambda verdict: client.get("/api/v1/events", params={"verdict": verdict}).json()["events"]  # noqa: E731
        assert [event["id"] for event in ask("wrong")] == [wrong]
        assert ask("right") == []
        assert len(ask("none")) == 7
        assert client.get("/api/v1/events", params={"verdict": "maybe"}).status_code == 422
        undone = client.request("DELETE", f"/api/v1/corrections/{event['correction']['id']}", json={})
        assert undone.json()["thresholds"] == []
        assert client.get(f"/api/v1/events/{wrong}").json()["correction"] is None
        again = client.request("DELETE", f"/api/v1/corrections/{event['correction']['id']}", json={})
        assert again.status_code == 404


def test_it_learns_from_corrections_and_unlearns(taught):
    with taught.logged_in() as client:
        events = client.get("/api/v1/events").json()["events"][::-1]
        for n, event in enumerate(events):
            verdict = {"verdict": "other", "truth": "a tree"} if n < 5 else {"verdict": "right"}
            assert (
                client.post("/api/v1/corrections", json={"event": event["id"], **verdict}).status_code == 200
            )
        (model,) = client.get("/api/v1/corrections").json()["models"]
        assert (model["model"], model["learnable"], model["new"], model["learned"]) == ("m", 8, 8, None)
        learned = client.post("/api/v1/corrections/learn", json={"model": "m"})
        assert learned.status_code == 200, learned.text
        (model,) = learned.json()["models"]
        assert model["learned"]["false"] == {"before": 5, "after": 0, "of": 5}
        assert model["learned"]["true"] == {"before": 3, "after": 3, "of": 3}
        assert model["new"] == 0
        (model,) = client.post("/api/v1/corrections/unlearn", json={}).json()["models"]
        assert (model["learned"], model["new"]) == (None, 8)
        assert client.post("/api/v1/corrections/unlearn", json={}).status_code == 404


def test_what_was_missed_is_kept_with_its_time(taught):
    now = time.time()
    times = {
        name: datetime.fromtimestamp(now - ago, UTC).isoformat()
        for name, ago in (("started", 3.0), ("ended", 1.0))
    }
    with taught.logged_in() as client:
        answer = client.post("/api/v1/corrections/missed", json={"camera": "door", "label": "wave", **times})
        assert answer.status_code == 200, answer.text
        (said,) = answer.json()["corrections"]
        assert (said["verdict"], said["label"], said["event"], said["model"]) == ("missed", "wave", "", "m")
        backwards = {"started": times["ended"], "ended": times["started"]}
        for wrong, status in (
            ({"camera": "yard", "label": "wave", **times}, 422),
            ({"camera": "door", "label": " ", **times}, 422),
            ({"camera": "door", "label": "wave", **backwards}, 422),
            (
                {
                    "camera": "door",
                    "label": "wave",
                    "started": "0001-01-01T00:00:00",
                    "ended": times["ended"],
                },
                422,
            ),
        ):
            assert client.post("/api/v1/corrections/missed", json=wrong).status_code == status, wrong


def test_who_may_not_change_may_not_correct(taught):
    event = {"event": "1", "verdict": "wrong"}
    changes = [
        ("POST", "/api/v1/corrections", event),
        ("POST", "/api/v1/corrections/missed", {}),
        ("POST", "/api/v1/corrections/learn", {}),
        ("POST", "/api/v1/corrections/unlearn", {}),
        ("DELETE", "/api/v1/corrections/1", {}),
    ]
    with taught.client() as stranger, taught.logged_in() as client:
        assert stranger.get("/api/v1/corrections").status_code == 401
        for method, path, body in changes:
            assert stranger.request(method, path, json=body).status_code == 401, path
        csrf = client.headers.pop("X-CSRF-Token")
        for method, path, body in changes:
            assert client.request(method, path, json=body).json()["error"]["code"] == "wrong_csrf_token", path
        client.headers["X-CSRF-Token"] = csrf
        client.headers["Origin"] = "https://evil.example"
        for method, path, body in changes:
            assert client.request(method, path, json=body).json()["error"]["code"] == "wrong_origin", path
    with taught.client(headers={"Authorization": f"Bearer {taught.token}"}) as program:
        assert program.get("/api/v1/corrections").status_code == 200
        assert program.post("/api/v1/corrections", json=event).status_code == 404  # there is no such event


def test_refusals_are_sentences(taught):
    with taught.logged_in() as client:
        event = client.get("/api/v1/events").json()["events"][0]["id"]
        for body in (
            {"event": event, "verdict": "missed"},
            {"event": event},
            {"event": "x" * 99, "verdict": "wrong"},
        ):
            assert client.post("/api/v1/corrections", json=body).status_code == 422
        answer = client.post("/api/v1/corrections", json={"event": event, "verdict": "other"})
        assert answer.json()["error"] == {
            "code": "not_possible",
            "message": "what it was has no name: give one of up to 100 letters",
        }
        few = client.post("/api/v1/corrections/learn", json={"model": "m"})
        assert "it takes 3" in few.json()["error"]["message"]
        assert client.post("/api/v1/corrections/learn", json={"model": "x"}).status_code == 404


def test_the_api_describes_them(taught):
    with taught.logged_in() as client:
        paths = client.get("/api/v1/openapi.json").json()["paths"]
    found = {path for path in paths if "correction" in path}
    assert found == {
        "/api/v1/corrections",
        "/api/v1/corrections/missed",
        "/api/v1/corrections/{id}",
        "/api/v1/corrections/learn",
        "/api/v1/corrections/unlearn",
    }
    assert all(how["description"] for path in found for how in paths[path].values())


def test_a_page_without_corrections_does_not_offer_them(open_page):
    with open_page().logged_in() as client:
        assert client.get("/api/v1/session").json()["corrections"] is False
        assert client.get("/api/v1/corrections").status_code == 404

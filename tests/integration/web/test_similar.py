"""Events like one, and the export of some, as a program meets them."""

from __future__ import annotations

import io
import json
import zipfile
from contextlib import ExitStack

import numpy as np
import pytest

from streamrec.outputs.history import archive
from streamrec.outputs.history.records import Entry, new_id
from streamrec.outputs.history.store import History
from streamrec.outputs.history.vectors import vector_of
from streamrec.web import readers
from tests.helpers.pages import wait_for
from tests.helpers.roles import accounts


def _entry(n, **more):
    return Entry(
        id=new_id(1e9 + n), camera=more.pop("camera", "door"), model="fight", label="fight", started=1e9 + n,
        ended=1e9 + n + 1, confidence=0.9, **more,
    )  # fmt: skip


@pytest.fixture
def past(open_page, tmp_path):
    """A page over four events of one model and one of another; the first has evidence."""
    (tmp_path / "a.mp4").write_bytes(b"video" * 1000)
    with History(tmp_path / "events.db") as history:
        entries = [_entry(n, camera=("door", "yard")[n % 2]) for n in range(5)]
        for n, entry in enumerate(entries):
            history.add(entry)
            kind = "other" if n == 4 else "own"
            vector = vector_of(kind, np.array([np.cos(n), np.sin(n), 0.0]))
            history.describe(entry.id, lambda vector=vector: vector)
        history.attach(entries[0].id, clip=tmp_path / "a.mp4", thumbnail=tmp_path / "gone.jpg")
        yield open_page("door", history=history), [entry.id for entry in entries]


def _export(client, *ids, size=False):
    return client.get(f"/api/v1/export{'/size' if size else ''}", params=[("event", id) for id in ids])


def test_events_like_one_are_given_the_most_similar_first(past):
    page, ids = past
    with page.client() as client:
        found = client.get(f"/api/v1/events/{ids[0]}/similar").json()
        assert [one["event"]["id"] for one in found["similar"]] == ids[1:4]
        assert (found["compared"], found["others"], found["reason"]) == (3, 1, "")
        assert found["similar"][0]["similarity"] == pytest.approx(np.cos(1), abs=1e-3)
        yard = client.get(f"/api/v1/events/{ids[0]}/similar", params={"camera": "yard", "limit": 1}).json()
        assert [one["event"]["id"] for one in yard["similar"]] == [ids[1]]
        assert client.get("/api/v1/events/nothing/similar").status_code == 404
        assert client.get(f"/api/v1/events/{ids[0]}/similar", params={"limit": 10_000}).status_code == 422


def test_an_export_is_a_zip_of_the_selected_events(past, tmp_path):
    page, ids = past
    with page.client() as client:
        size = _export(client, *ids[:2], "00000000aaaa-0", size=True).json()
        assert size == {"version": 1, "events": 2, "bytes": 5000, "missing": 2}
        answer = _export(client, *ids[:2], "00000000aaaa-0")
        assert answer.headers["content-type"] == "application/zip"
        assert answer.headers["content-disposition"].startswith('attachment; filename="events-')
        file = zipfile.ZipFile(io.BytesIO(answer.content))
        events = [json.loads(line) for line in file.read("events.jsonl").splitlines()]
        assert [event["id"] for event in events] == ids[:2]
        assert file.read(events[0]["clip"]) == b"video" * 1000 and events[0]["thumbnail"] is None
        assert "event 00000000aaaa-0: there is no such event" in file.read("list.txt").decode()
        assert str(tmp_path).encode() not in answer.content


@pytest.mark.parametrize("size", [False, True])
def test_hostile_selections_are_refused_with_a_sentence(past, monkeypatch, size):
    page, ids = past
    with page.client() as client:
        assert _export(client, size=size).status_code == 422
        assert _export(client, "../../etc/passwd", size=size).status_code == 422
        assert _export(client, "a" * 65, size=size).status_code == 422
        assert _export(client, "nothing", size=size).status_code == 404
        assert (
            _export(client, *(f"a-{n}" for n in range(archive.MOST_EVENTS + 1)), size=size).status_code == 422
        )
        monkeypatch.setattr(archive.Archive.check, "__defaults__", (100,))
        answer = _export(client, ids[0], size=size)
        assert answer.status_code == 413 and "select fewer" in answer.json()["error"]["message"]


def test_clients_that_leave_free_their_place(past, tmp_path):
    page, ids = past
    (tmp_path / "a.mp4").write_bytes(b"v" * 30_000_000)
    with page.client() as client:
        for _ in range(4):
            with client.stream("GET", "/api/v1/export", params={"event": ids[0]}) as answer:
                assert answer.status_code == 200
                next(answer.iter_bytes())
        for _ in range(200):
            if (status := _export(client, ids[1]).status_code) == 200:
                break
        assert status == 200


def test_two_readers_that_take_nothing_keep_no_third_out(past, tmp_path, monkeypatch):
    page, ids = past
    (tmp_path / "a.mp4").write_bytes(b"v" * 30_000_000)
    with ExitStack() as stack:
        for _ in range(2):
            client = stack.enter_context(page.client())
            answer = stack.enter_context(client.stream("GET", "/api/v1/export", params={"event": ids[0]}))
            assert answer.status_code == 200
        client = stack.enter_context(page.client())
        assert _export(client, ids[1]).status_code == 503
        monkeypatch.setattr(readers, "_LEAST_SECONDS", 1e-6)  # the time for which a reader is watched is over
        for _ in range(2):
            wait_for(lambda: _export(client, ids[1]).status_code == 200)


def test_without_a_log_in_nothing_is_given(open_page, tmp_path):
    with History(tmp_path / "events.db") as history:
        entry = _entry(0)
        history.add(entry)
        page = open_page("door", history=history, guarded=True)
        with page.client() as client:
            for path in (f"/api/v1/events/{entry.id}/similar", f"/api/v1/export?event={entry.id}"):
                assert client.get(path).status_code == 401


def test_a_viewer_gets_the_events_of_their_cameras_alone(open_page, tmp_path):
    access, tokens = accounts()
    with History(tmp_path / "events.db") as history:
        entries = [_entry(n, camera=("door", "yard")[n % 2]) for n in range(4)]
        for entry in entries:
            history.add(entry)
            history.describe(entry.id, lambda: vector_of("own", np.ones(3)))
        door, hidden = [entry.id for entry in entries[::2]], [entry.id for entry in entries[1::2]]
        page = open_page("door", "yard", history=history, access=access)
        with page.client(headers={"Authorization": f"Bearer {tokens['door']}"}) as client:
            found = client.get(f"/api/v1/events/{door[0]}/similar").json()
            assert [one["event"]["id"] for one in found["similar"]] == [door[1]]
            assert (found["compared"], found["others"]) == (1, 0)
            asked = client.get(f"/api/v1/events/{door[0]}/similar", params={"camera": "yard"}).json()
            assert (asked["similar"], asked["compared"], asked["others"]) == ([], 0, 0)
            assert client.get(f"/api/v1/events/{hidden[0]}/similar").status_code == 404
            for size in (False, True):
                assert _export(client, *hidden, size=size).status_code == 404
            assert _export(client, door[0], hidden[0], size=True).json()["events"] == 1
            file = zipfile.ZipFile(io.BytesIO(_export(client, door[0], hidden[0]).content))
            assert b"yard" not in file.read("events.jsonl")

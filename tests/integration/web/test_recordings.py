"""From an event to the continuous recording of its moment, as a program meets it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from streamrec.outputs.history.records import Entry, new_id
from streamrec.outputs.history.store import History
from streamrec.outputs.recording.files import create
from tests.helpers.roles import accounts

START = 1_790_000_000.0


def _recorded(folder: Path, camera: str, started: float, content: bytes) -> Path:
    path, descriptor = create(folder, camera, started)
    os.write(descriptor, content)
    os.close(descriptor)
    os.utime(path, (started + 60, started + 60))
    return path


def _entry(camera: str = "door", at: float = 70.0) -> Entry:
    return Entry(
        id=new_id(START + at), camera=camera, model="fight", label="fight", started=START + at, ended=START + at + 1,
        confidence=0.9,
    )  # fmt: skip


@pytest.fixture
def recorded(tmp_path):
    """A history with an event of each of two cameras, and a folder with three recordings of the first."""
    folder = tmp_path / "recordings"
    paths = [_recorded(folder, "door", START + 60 * n, b"video%d" % n * 100) for n in range(3)]
    with History(tmp_path / "events.db") as history:
        entries = {camera: _entry(camera) for camera in ("door", "yard")}
        for entry in entries.values():
            history.add(entry)
        yield history, folder, entries, paths


def test_an_event_leads_to_the_recording_of_its_moment_and_those_around_it(open_page, recorded):
    history, folder, entries, paths = recorded
    page = open_page("door", "yard", history=history, recordings=folder)
    with page.client() as client:
        assert client.get("/api/v1/session").json()["recordings"] is True
        found = client.get(f"/api/v1/events/{entries['door'].id}/recordings").json()
        assert found["at"] == pytest.approx(10, abs=0.01)
        for part, path in zip(("before", "during", "after"), paths, strict=True):
            answer = client.get(found[part]["url"])
            assert (answer.status_code, answer.content) == (200, path.read_bytes())
            assert answer.headers["content-type"] == "video/mp4"
        some = client.get(found["during"]["url"], headers={"Range": "bytes=5-9"})
        assert (some.status_code, some.content) == (206, paths[1].read_bytes()[5:10])
        nothing = client.get(f"/api/v1/events/{entries['yard'].id}/recordings").json()
        assert (nothing["at"], nothing["before"], nothing["during"], nothing["after"]) == (None,) * 4


def test_what_is_asked_for_otherwise_is_not_there(open_page, recorded):
    history, folder, entries, paths = recorded
    page = open_page("door", "yard", history=history, recordings=folder)
    start = f"/api/v1/events/{entries['door'].id}/recordings"
    outside = folder.parent / "secret.mp4"
    outside.write_bytes(b"secret")
    with page.client() as client:
        assert client.get(f"/api/v1/events/{entries['yard'].id}/recordings/during").status_code == 404
        assert client.get("/api/v1/events/nothing/recordings").status_code == 404
        for part in ("..%2F..%2Fsecret.mp4", "%2e%2e", "during%00", paths[0].name):
            answer = client.get(f"{start}/{part}")
            assert answer.status_code in (404, 422) and b"secret" not in answer.content
        paths[1].unlink()
        paths[1].symlink_to(outside)  # a link in its place is no recording
        answer = client.get(f"{start}/during")
        assert answer.status_code == 404 and b"secret" not in answer.content


def test_without_a_log_in_or_for_another_camera_nothing_is_given(open_page, recorded):
    history, folder, entries, _ = recorded
    paths = [f"/api/v1/events/{entries['door'].id}/recordings{part}" for part in ("", "/during")]
    page = open_page("door", history=history, recordings=folder, guarded=True)
    with page.client() as client:
        assert [client.get(path).status_code for path in paths] == [401, 401]
    access, tokens = accounts()
    page = open_page("door", "yard", history=history, recordings=folder, access=access)
    with page.client(headers={"Authorization": f"Bearer {tokens['door']}"}) as client:
        assert [client.get(path).status_code for path in paths] == [200, 200]
        hidden = f"/api/v1/events/{entries['yard'].id}/recordings"
        assert [client.get(f"{hidden}{part}").status_code for part in ("", "/during")] == [404, 404]


def test_where_nothing_is_recorded_there_are_no_such_routes(open_page, recorded):
    history, _, entries, _ = recorded
    page = open_page("door", history=history)
    with page.client() as client:
        assert client.get("/api/v1/session").json()["recordings"] is False
        assert client.get(f"/api/v1/events/{entries['door'].id}/recordings").status_code == 404

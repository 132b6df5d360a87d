"""Finding a camera on the page, as a program does it: a real server and a stand-in camera."""

from __future__ import annotations

import pytest

from streamrec.sources.discovery import ws_discovery
from streamrec.sources.discovery.local import Interface
from streamrec.web import discovery_routes
from tests.helpers.onvif_device import OnvifDevice


def videos_of(tmp_path):
    """A folder with a video, a video in a folder, a link out of it and a text."""
    folder = tmp_path / "videos"
    (folder / "more").mkdir(parents=True)
    for name in ("a.mp4", "more/b.mkv", "notes.txt"):
        (folder / name).write_bytes(b"x")
    (tmp_path / "secret.mp4").write_bytes(b"x")
    (folder / "link.mp4").symlink_to(tmp_path / "secret.mp4")
    (folder / "out").symlink_to(tmp_path)
    return folder


@pytest.fixture
def finding(open_page, tmp_path, monkeypatch):
    """A page on a machine whose only network is the loopback one, with one camera in it."""
    file = tmp_path / "cameras.toml"
    file.write_text('[[camera]]\nname = "yard"\naddress = "rtsp://10.0.0.1/yard"\n')
    with OnvifDevice(name="<b>Front door</b>").running() as device:
        make, search = discovery_routes.discovery_routes, ws_discovery.search
        networks = lambda: [Interface("lo", "127.0.0.1")]  # noqa: E731
        monkeypatch.setattr(
            discovery_routes,
            "discovery_routes",
            lambda live, local: make(live, local, networks, device.group),
        )
        monkeypatch.setattr(ws_discovery, "search", lambda interface, group: search(interface, 0.6, group))
        page = open_page("yard", file=file, local=videos_of(tmp_path))
        with page.logged_in() as client:
            yield (
                page,
                device,
                lambda what, **body: client.post(f"/api/v1/discovery/{what}", json=body),
                client,
            )


def test_a_camera_is_found_asked_for_its_streams_and_added(finding):
    page, device, post, client = finding
    places = client.get("/api/v1/discovery").json()
    assert places["interfaces"] == [{"name": "lo", "address": "127.0.0.1"}]
    (found,) = post("search", interface="127.0.0.1").json()["devices"]
    assert (found["name"], found["host"]) == ("<b>Front door</b>", "127.0.0.1")
    answer = post("streams", device=found["device"], user="admin", password="camera-pw-1")
    assert [stream["codec"] for stream in answer.json()["streams"]] == ["H264", "H264"]
    assert "camera-pw-1" not in answer.text
    settings = client.get("/api/v1/settings").json()
    change = {
        "name": "front", "address": answer.json()["streams"][0]["address"],
        "login": "new", "user": "admin", "password": "camera-pw-1",
    }  # fmt: skip
    body = {"revision": settings["revision"], "camera": None, "change": change}
    added = client.put("/api/v1/settings/camera", json=body)
    assert added.status_code == 200, added.text
    assert (
        added.json()["cameras"][1]["address"] == "rtsp://127.0.0.1:8554/main?a=***&b=***"
    )  # they may be keys
    lines = page.server.context.audit.read()
    assert [line["what"] for line in lines] == [
        "camera changed",
        "camera asked for its streams",
        "cameras searched",
    ]
    assert "camera-pw-1" not in str(lines) and device.wrong == []


def test_nothing_but_what_the_search_found_is_asked(finding):
    _, device, post, _ = finding
    assert post("streams", device="1", user="admin", password="x").status_code == 404  # before any search
    for network in ("10.0.0.1", "0.0.0.0", "239.255.255.250", "lo", ""):
        answer = post("search", interface=network)
        assert answer.status_code == 422 and "no network of this address" in answer.text, network
    post("search", interface="127.0.0.1")
    for other in ("9", "http://127.0.0.1/", "127.0.0.1", ""):
        assert post("streams", device=other).status_code == 404, other
    (again,) = post("search", interface="127.0.0.1").json()["devices"]
    assert post("streams", device="1").status_code == 404  # of the search before
    refused = post("streams", device=again["device"], user="admin", password="wrong-pw-77")
    assert refused.status_code == 422 and "refuses this user and password" in refused.text
    assert "wrong-pw-77" not in refused.text and device.asked.count("GetProfiles") == 0


def test_videos_below_the_folder_can_be_added_and_nothing_else(finding, tmp_path):
    _, _, _, client = finding
    folder = tmp_path / "videos"
    places = client.get("/api/v1/discovery").json()
    assert places["may_add"] is True
    assert places["videos"] == [str(folder / "a.mp4"), str(folder / "more" / "b.mkv")]

    def put(address: str):
        revision = client.get("/api/v1/settings").json()["revision"]
        change = {"name": "video", "address": address, "enabled": False}
        return client.put(
            "/api/v1/settings/camera", json={"revision": revision, "camera": None, "change": change}
        )

    for address in [
        "/etc/passwd", str(tmp_path / "secret.mp4"), str(folder / "link.mp4"), str(folder / "out" / "secret.mp4"),
        f"{folder}/../secret.mp4", f"{folder}/more/../a.mp4", str(folder / "notes.txt"), str(folder), "/dev/video0",
        str(folder / "none.mp4"), f"{folder}/a.mp4\x00", f"/{folder}/a.mp4", f"file://{folder}/a.mp4",
        "videos/a.mp4", "99", "concat:" + str(folder / "a.mp4"), "/proc/self/environ",
    ]:  # fmt: skip
        answer = put(address)
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "not_possible"), address
    assert put(str(folder / "a.mp4")).status_code == 200
    assert put(str(folder / "more")).status_code == 422  # the name is taken

"""The page's API as a program meets it: a real server, asked by httpx and by a WebSocket."""

from __future__ import annotations

import contextlib
import json
import os
import re
import struct
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from streamrec.errors import SettingsError
from streamrec.outputs.history.records import Entry, new_id
from streamrec.outputs.history.store import History
from streamrec.types import Person, SourceState
from streamrec.web import websocket_hub
from streamrec.web.routes import files
from streamrec.web.server import Server, WebSettings
from tests.helpers.pages import wait_for


def unpack(data: bytes) -> list[tuple[str, int, float, bytes]]:
    """The pictures of a binary message: camera, width, time, JPEG."""
    found, at = [], 0
    while at < len(data):
        length = data[at]
        at += 1
        if length == 0:  # a long one
            (length,) = struct.unpack_from(">H", data, at)
            at += 2
        name = data[at : at + length].decode()
        at += length
        width, when, size = struct.unpack_from(">HdI", data, at)
        found.append((name, width, when, data[at + 14 : at + 14 + size]))
        at += 14 + size
    return found


METRIC_LINE = re.compile(r'(# (HELP|TYPE) \w+ .+|\w+(\{(\w+="(\\.|[^"\\\n])*",?)*\})? [\d.e+-]+)')


class Looking:
    """A WebSocket whose messages are kept by their type."""

    def __init__(self, page, **headers: str) -> None:
        self._stack = contextlib.ExitStack()
        self.socket = self._stack.enter_context(
            connect(
                f"ws://{page.host}/api/v1/live", origin=page.url, additional_headers=headers, max_size=None
            )
        )

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._stack.close()

    def next(self, kind: str, seconds: float = 60.0):
        """The next message of a type; "pictures" are the binary ones."""
        ends = time.monotonic() + seconds
        while True:
            message = self.socket.recv(timeout=max(0.01, ends - time.monotonic()))
            if isinstance(message, bytes):
                if kind == "pictures":
                    return unpack(message)
                continue
            said = json.loads(message)
            assert said["version"] == 1
            if said["type"] == kind:
                return said

    def say(self, **what) -> None:
        self.socket.send(json.dumps(what))


def fall_at(started: float) -> Entry:
    """A fall of two seconds."""
    return Entry(
        id=new_id(started),
        camera="door",
        model="m",
        label="fall",
        started=started,
        ended=started + 2,
        confidence=0.7,
    )


class TestCameras:
    def test_each_is_told_with_its_state_labels_and_figures(self, open_page):
        page = open_page("door", "yard")
        page.actors["door"].show(label="wave")
        page.actors["yard"].die("nothing listens at that address")
        with page.client() as client:
            said = client.get("/api/v1/cameras").json()
        assert said["version"] == 1 and said["alive"] is True
        door, yard = said["cameras"]
        assert (door["name"], door["state"], door["label"]) == ("door", "live", "wave")
        assert door["top"][0] == ["wave", pytest.approx(0.9)]
        assert (door["fps"], door["latency"], door["dropped"]) == (10.0, 0.012, 3)
        assert (door["width"], door["height"]) == (160, 90)
        assert (yard["state"], yard["reason"]) == ("reconnecting", "nothing listens at that address")
        assert yard["label"] is None and yard["top"] == []

    def test_a_picture_that_is_unlike_what_the_model_knows_is_told_as_unknown(self, open_page):
        page = open_page("door", "yard")
        page.actors["door"].show(unknown=True)
        page.actors["yard"].show(unknown=True)
        page.actors["yard"].die()
        with page.client() as client:
            said = client.get("/api/v1/cameras").json()["cameras"]
        assert [camera["unknown"] for camera in said] == [True, False]

    def test_of_a_dead_camera_no_old_label_is_told(self, open_page):
        page = open_page("door")
        page.actors["door"].show(label="fall")
        page.actors["door"].die()
        with page.client() as client:
            (door,) = client.get("/api/v1/cameras").json()["cameras"]
        assert door["label"] is None and door["top"] == []

    def test_a_picture_is_a_jpeg_no_wider_than_asked(self, open_page):
        page = open_page("door")
        page.actors["door"].size = (720, 1280)
        page.actors["door"].show()
        with page.client() as client:
            answer = client.get("/api/v1/picture", params={"camera": "door", "width": 320})
            assert answer.headers["content-type"] == "image/jpeg"
            assert answer.headers["cache-control"] == "no-store"
            picture = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR)
            assert picture.shape == (180, 320, 3)
            assert client.get("/api/v1/picture", params={"camera": "nobody"}).status_code == 404

    def test_a_secret_in_a_reason_is_not_told(self, open_page):
        page = open_page("door")
        page.live.secrets = ("s3cret",)
        page.actors["door"].die("cannot open rtsp://me:s3cret@10.0.0.7/live")
        with page.client() as client:
            assert "s3cret" not in client.get("/api/v1/cameras").text


class TestEvents:
    def test_an_action_is_one_event_from_its_start_to_its_end(self, open_page):
        page = open_page("door")
        door = page.actors["door"]
        door.start("wave")
        with page.client() as client:
            (event,) = client.get("/api/v1/events").json()["events"]
            assert (event["camera"], event["label"], event["ended"]) == ("door", "wave", None)
            door.end("wave", 2.0)
            (event,) = client.get("/api/v1/events").json()["events"]
            assert event["duration"] == 2.0 and event["confidence"] == 0.9
            assert client.get(f"/api/v1/events/{event['id']}").json() == event
            assert client.get("/api/v1/events/nothing").status_code == 404

    def test_they_can_be_filtered_and_paged(self, open_page):
        page = open_page("door", "yard")
        for n in range(5):
            for actor in page.actors.values():
                actor.start("wave" if n % 2 else "fall")
                actor.end("wave" if n % 2 else "fall")
        with page.client() as client:
            ask = lambda **query: client.get("/api/v1/events", params=query).json()  # noqa: E731
            assert len(ask()["events"]) == 10
            assert {e["camera"] for e in ask(camera="yard")["events"]} == {"yard"}
            assert len(ask(camera="yard", label="fall")["events"]) == 3
            first = ask(limit=4)
            second = ask(limit=4, after=first["more"])
            third = ask(limit=4, after=second["more"])
            pages = [e["id"] for part in (first, second, third) for e in part["events"]]
            assert len(set(pages)) == 10 and third["more"] is None
            assert ask(until="2020-01-01T00:00:00Z")["events"] == []
            assert client.get("/api/v1/events", params={"limit": 9999}).status_code == 422

    def test_with_a_history_they_outlive_a_restart(self, open_page, tmp_path):
        with History(tmp_path / "events.db") as history:
            history.add(fall_at(1e9))
            page = open_page("door", history=history)
            with page.client() as client:
                (event,) = client.get("/api/v1/events").json()["events"]
                assert event["started"] == "2001-09-09T01:46:40.000+00:00"
                assert client.get("/api/v1/session").json()["history"] is True


class TestEvidence:
    @pytest.fixture
    def kept(self, open_page, tmp_path):
        clip, thumb, secret = tmp_path / "a.mp4", tmp_path / "a.jpg", tmp_path / "secret.txt"
        clip.write_bytes(bytes(range(256)) * 40)
        thumb.write_bytes(b"\xff\xd8picture")
        secret.write_text("secret")
        with History(tmp_path / "events.db") as history:
            ids = {}
            for name, path in (("good", clip), ("other", secret), ("gone", tmp_path / "gone.mp4")):
                fall = fall_at(1e9)
                ids[name] = fall.id
                history.add(fall)
                history.attach(ids[name], clip=path, thumbnail=thumb)
            yield open_page("door", history=history), ids

    def test_a_clip_is_given_whole_and_in_parts(self, kept):
        page, ids = kept
        with page.client() as client:
            event = client.get(f"/api/v1/events/{ids['good']}").json()
            assert event["clip"] == f"/api/v1/events/{ids['good']}/clip"
            answer = client.get(event["clip"])
            assert answer.headers["content-type"] == "video/mp4" and len(answer.content) == 10_240
            part = client.get(event["clip"], headers={"Range": "bytes=256-511"})
            assert part.status_code == 206 and part.content == bytes(range(256))
            assert client.get(event["thumbnail"]).content == b"\xff\xd8picture"

    def test_the_paths_of_this_machine_are_not_told(self, kept, tmp_path):
        page, _ = kept
        with page.client() as client:
            assert str(tmp_path) not in client.get("/api/v1/events").text

    def test_what_is_no_video_or_gone_is_not_given(self, kept):
        page, ids = kept
        with page.client() as client:
            for name in ("other", "gone"):
                assert client.get(f"/api/v1/events/{ids[name]}/clip").status_code == 404

    def test_no_link_and_no_device_is_followed(self, open_page, tmp_path):
        secret = tmp_path / "secret.txt"
        secret.write_text("secret words")
        good = tmp_path / "evidence" / "2026-01-01"
        good.mkdir(parents=True)
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        (elsewhere / "d.mp4").write_text("secret words")
        (good / "a.mp4").write_bytes(b"video")
        (good / "b.mp4").symlink_to(secret)
        (good / "b.jpg").symlink_to(secret)
        (good / "c.mp4").mkdir()
        os.mkfifo(good / "e.mp4")
        (good / "f.mp4").symlink_to("/dev/zero")
        (good / "g.mp4").symlink_to(good / "a.mp4")
        (tmp_path / "evidence" / "2026-01-02").symlink_to(elsewhere)
        (tmp_path / "by another name").symlink_to(tmp_path / "evidence")  # the owner's own: right
        clips = {
            good / "a.mp4": 200,
            tmp_path / "by another name" / "2026-01-01" / "a.mp4": 200,
            **{good / f"{name}.mp4": 404 for name in "bcefg"},
            tmp_path / "evidence" / "2026-01-02" / "d.mp4": 404,
            good / "a.mp4" / "x.mp4": 404,
            good / "no.such.mp4": 404,
        }
        with History(tmp_path / "events.db") as history:
            ids = {}
            for clip in clips:
                fall = fall_at(1e9)
                ids[clip] = fall.id
                history.add(fall)
                history.attach(fall.id, clip=clip, thumbnail=good / "b.jpg")
            page = open_page("door", history=history)
            with page.client() as client:
                for clip, status in clips.items():
                    answer = client.get(f"/api/v1/events/{ids[clip]}/clip")
                    assert (answer.status_code, "secret" in answer.text) == (status, False), clip
                    assert client.get(f"/api/v1/events/{ids[clip]}/thumbnail").status_code == 404
                    ranged = client.get(f"/api/v1/events/{ids[clip]}/clip", headers={"Range": "bytes=99-"})
                    assert ranged.status_code == (416 if status == 200 else 404)
                wait_for(lambda: not page.server.context.files)
                open_now = [str(fd.resolve()) for fd in Path("/proc/self/fd").glob("*")]
                assert not [name for name in open_now if "/evidence/" in name]


class TestLive:
    def test_it_greets_with_the_cameras_and_what_happened(self, open_page):
        page = open_page("door")
        page.actors["door"].start("wave")
        with Looking(page) as looking:
            hello = looking.next("hello")
        assert [camera["name"] for camera in hello["cameras"]] == ["door"]
        assert [event["label"] for event in hello["events"]] == ["wave"]

    def test_pictures_come_of_the_cameras_that_are_wanted(self, open_page):
        page = open_page("door", "yard")
        with Looking(page) as looking:
            looking.next("hello")
            looking.say(want={"door": 300, "nobody": 640})
            wait_for(lambda: page.server.hub.encoder._wanted)
            for _ in range(3):
                for actor in page.actors.values():
                    actor.show()
                ((name, width, when, jpeg),) = looking.next("pictures")
                assert (name, width) == ("door", 320)
                assert abs(time.time() - when) < 2.0
                assert cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR).shape == (90, 160, 3)
                looking.say(got=1)

    def test_who_does_not_say_that_it_has_drawn_gets_two_and_then_the_newest(self, open_page):
        page = open_page("door")
        door = page.actors["door"]
        with Looking(page) as looking:
            looking.next("hello")
            looking.say(want={"door": 320})
            wait_for(lambda: page.server.hub.encoder._wanted)
            for n in range(20):
                door.show(colour=10 * n)
                time.sleep(0.11)
            got = [looking.next("pictures"), looking.next("pictures")]
            with pytest.raises(TimeoutError):
                looking.next("pictures", seconds=0.5)
            looking.say(got=1)
            ((_, _, _, jpeg),) = looking.next("pictures")
            newest = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
            assert abs(float(newest.mean()) - 190) < 3  # the last one, not the third
            assert len(got) == 2

    def test_nobody_looks_and_nothing_is_encoded(self, open_page):
        page = open_page("door")
        for _ in range(5):
            page.actors["door"].show()
            time.sleep(0.05)
        assert page.server.hub.encoder.made == 0

    def test_many_viewers_share_one_jpeg(self, open_page):
        page = open_page("door")
        lookings = [Looking(page) for _ in range(5)]
        for looking in lookings:
            looking.next("hello")
            looking.say(want={"door": 320})
        wait_for(lambda: len(page.server.hub.encoder._wanted) == 5)
        page.actors["door"].show()
        pictures = [looking.next("pictures")[0] for looking in lookings]
        assert len({jpeg for *_, jpeg in pictures}) == 1
        assert page.server.hub.encoder.made == 1
        for looking in lookings:
            looking.close()
        wait_for(lambda: not page.server.hub.encoder._wanted)
        assert page.server.hub.count == 0

    def test_an_event_is_told_at_once(self, open_page, monkeypatch):
        monkeypatch.setattr(websocket_hub, "TICK", 600.0)  # it does not wait for the next states
        monkeypatch.setattr(websocket_hub, "_CHANGES_SECONDS", 600.0)
        page = open_page("door")
        with Looking(page) as looking:
            looking.next("hello")
            page.actors["door"].start("fall")
            event = looking.next("event", 30.0)["event"]
            assert (event["camera"], event["label"], event["ended"]) == ("door", "fall", None)
            page.actors["door"].end("fall")
            assert looking.next("event")["event"]["id"] == event["id"]

    def test_a_camera_that_dies_is_told(self, open_page):
        page = open_page("door")
        with Looking(page) as looking:
            looking.next("hello")
            page.actors["door"].die("the connection was lost")
            said = looking.next("cameras")
            while said["cameras"][0]["state"] != SourceState.reconnecting:  # a message that was under way
                said = looking.next("cameras")

    def test_one_who_reads_nothing_holds_up_nobody(self, open_page):
        page = open_page("door")
        with Looking(page) as stuck, Looking(page) as looking:
            looking.next("hello")
            stuck.say(want={"door": 1280})  # and never reads
            page.actors["door"].size = (720, 1280)
            for _ in range(30):
                page.actors["door"].show()
                time.sleep(0.02)
            page.actors["door"].start("wave")
            looking.next("event", 15.0)
            assert page.server.hub.count == 2  # the other one is still there, and has read nothing


class TestOddNames:
    NAMES = (
        "caf\udce9.mp4", "__proto__", 'a/"b"\\', "\u00e9", "e\u0301", "Door", "door", "x" * 255, "\u00e9" * 200,
        "\U0001f3a5" * 5_000, "long " * 20_000,
    )  # fmt: skip

    def test_none_takes_the_pictures_from_the_others(self, open_page):
        page = open_page(*self.NAMES)
        with page.client() as client, Looking(page) as looking:
            shown = [camera["name"] for camera in client.get("/api/v1/cameras").json()["cameras"]]
            assert shown == ["caf?.mp4", *self.NAMES[1:]]
            assert [camera["name"] for camera in looking.next("hello")["cameras"]] == shown
            small = [name for name in shown if len(name) < 16_000]
            looking.say(want=dict.fromkeys(small[:-1], 320))
            looking.say(want=dict.fromkeys(small, 320))
            wait_for(lambda: page.server.hub.encoder._wanted)
            for actor in page.actors.values():
                actor.show()
                actor.start("wave")
            got, ends = set(), time.monotonic() + 60.0
            while len(got) < len(small) and time.monotonic() < ends:
                got |= {name for name, *_ in looking.next("pictures")}
                looking.say(got=1)
            assert got == set(small)
            assert {event["camera"] for event in client.get("/api/v1/events").json()["events"]} == set(shown)
            for name in small[:-1]:
                assert client.get("/api/v1/picture", params={"camera": name}).status_code == 200
                found = client.get("/api/v1/events", params={"camera": name}).json()["events"]
                assert [event["camera"] for event in found] == [name]
            assert "streamrec_camera_frames_total" in client.get("/metrics").text

    def test_a_picture_that_no_jpeg_can_hold_takes_no_other(self, open_page):
        page = open_page("odd", "door")
        page.actors["odd"].size = (0, 0)
        with Looking(page) as looking:
            looking.next("hello")
            looking.say(want={"door": 320, "odd": 320})
            wait_for(lambda: page.server.hub.encoder._wanted)
            for _ in range(2):
                for actor in page.actors.values():
                    actor.show()
                assert [name for name, *_ in looking.next("pictures")] == ["door"]
                looking.say(got=1)


class TestOperation:
    def test_what_goes_wrong_is_told_once_and_answered(self, open_page, monkeypatch, capfd):
        page = open_page("door")
        told = []
        page.server._limited_log._log = told.append
        page.live.secrets = ("s3cret",)

        def broken(*_: object) -> None:
            raise RuntimeError("s3cret trouble")

        with page.client() as client:
            assert client.get("/api/v1/cameras").status_code == 200
            monkeypatch.setattr(page.live, "cameras", broken)
            wait_for(lambda: client.get("/api/v1/cameras").status_code == 500)
            for path in ("/api/v1/cameras", "/metrics"):
                answer = client.get(path)
                assert (answer.status_code, answer.json()["error"]["code"]) == (500, "broken")
            with Looking(page) as looking, pytest.raises(ConnectionClosed):
                looking.next("hello")
            monkeypatch.undo()
            wait_for(lambda: client.get("/api/v1/cameras").status_code == 200)
        assert told == ["the page: RuntimeError: *** trouble"]
        assert capfd.readouterr().err == ""

    def test_health_says_whether_the_loop_comes_round(self, open_page, monkeypatch):
        page = open_page(guarded=True)
        with page.client() as client:
            assert client.get("/healthz").json() == {"status": "ok"}  # without a log-in
            monkeypatch.setattr("streamrec.web.live._ALIVE", -1.0)
            answer = client.get("/healthz")
            assert answer.status_code == 503 and "stands still" in answer.json()["status"]

    def test_health_says_that_events_cannot_be_kept_for_long(self, open_page, tmp_path, monkeypatch):
        monkeypatch.setattr("streamrec.outputs.history.store._STUCK_SECONDS", 0.0)
        with History(tmp_path / "events.db") as history, open_page(history=history).client() as client:
            assert client.get("/healthz").json() == {"status": "ok"}
            history._troubled = time.monotonic() - 12.0
            answer = client.get("/healthz")
            assert (answer.status_code, answer.json()) == (
                503,
                {"status": "the history could not be written for 12 s"},
            )
            history._troubled = float("inf")

    def test_metrics_are_what_prometheus_reads_and_labels_are_escaped(self, open_page):
        page = open_page('the "front"\\door')
        page.actors['the "front"\\door'].start("wave")
        wait_for(lambda: page.live.counts)
        with page.client() as client:
            answer = client.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        name = r"the \"front\"\\door"
        assert f'streamrec_camera_state{{camera="{name}",state="live"}} 1\n' in answer.text
        assert f'streamrec_actions_total{{camera="{name}",label="wave"}} 1\n' in answer.text
        assert all(METRIC_LINE.fullmatch(one) for one in answer.text.splitlines())

    def test_what_is_counted_of_each_person_is_in_the_answer_while_they_are_there(self, open_page):
        page = open_page("door")
        where = (0.1, 0.2, 0.9, 0.4), np.zeros((17, 3), np.float32), 0.8
        both = Person(1, *where, repetitions=3, count=4, period=1.25), Person(2, *where, count=0)
        page.actors["door"].show(people=(*both, Person(3, *where)))
        with page.client() as client:

            def people() -> list[dict]:
                return client.get("/api/v1/cameras").json()["cameras"][0]["people"]

            assert wait_for(people) == [
                {"person": 1, "repetitions": 3, "count": 4, "period": 1.25},
                {"person": 2, "repetitions": None, "count": 0, "period": None},
            ]
            spec = client.get("/api/v1/openapi.json").json()["components"]["schemas"]
            assert set(people()[0]) == set(spec["PersonNow"]["properties"])
            page.actors["door"].die()
            wait_for(lambda: people() == [])

    def test_every_answer_of_the_api_is_described(self, open_page):
        page = open_page()
        with page.client() as client:
            spec = client.get("/api/v1/openapi.json").json()
            assert spec["openapi"].startswith("3.")
            for path in ("/healthz", "/metrics", "/api/v1/cameras", "/api/v1/events", "/api/v1/login"):
                assert path in spec["paths"]
            said = client.get("/api/v1/cameras").json()["cameras"][0]
            schemas = {
                name: set(one["properties"])
                for name, one in spec["components"]["schemas"].items()
                if "properties" in one
            }
            assert set(said) == schemas["CameraNow"] - {"models", "machine", "machine_since", "sound"}
            page.actors["yard"].show(models={"day": "idle", "night": "wave"})
            wait_for(lambda: "models" in client.get("/api/v1/cameras").json()["cameras"][1])
            several = client.get("/api/v1/cameras").json()["cameras"][1]
            assert set(several) == schemas["CameraNow"] - {"machine", "machine_since", "sound"}
            assert [set(one) for one in several["models"]] == [schemas["ModelNow"]] * 2
            assert [(one["model"], one["label"]) for one in several["models"]] == [
                ("day", "idle"),
                ("night", "wave"),
            ]
            page.actors["door"].start()
            event = client.get("/api/v1/events").json()["events"][0]
            assert set(event) <= set(spec["components"]["schemas"]["EventJson"]["properties"]) | {
                "timestamp",
                "clip_started",
            }

    def test_the_page_loads_nothing_from_elsewhere(self):
        for name, (data, kind, _) in files().items():
            text = data.decode()
            found = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+", text)) - {"http://www.w3.org"}
            assert not found, name
            assert "innerHTML" not in text and "eval(" not in text
            assert kind.startswith("text/") or kind == "image/svg+xml"

    def test_a_file_is_not_sent_again_when_it_is_the_same(self, open_page):
        page = open_page()
        with page.client() as client:
            tag = client.get("/static/app.js").headers["etag"]
            assert client.get("/static/app.js", headers={"If-None-Match": tag}).status_code == 304

    def test_a_small_answer_does_not_wait_for_an_acknowledgement(self, open_page):
        page = open_page()
        with page.client() as client:
            client.get("/api/v1/cameras")
            took = []
            for _ in range(20):
                began = time.monotonic()
                client.get("/api/v1/cameras")
                took.append(time.monotonic() - began)
        assert min(took) < 0.03  # with Nagle's algorithm each takes 40 ms

    def test_a_port_that_is_taken_is_told_in_words(self, open_page):
        page = open_page()
        port = int(page.host.rpartition(":")[2])
        with pytest.raises(SettingsError, match=r"cannot listen at 127\.0\.0\.1:.*in use"):
            Server(WebSettings(port=port), page.live).start()

    def test_it_ends_with_viewers_that_look(self, open_page):
        page = open_page()
        with Looking(page) as looking:
            looking.next("hello")
            page.server.stop()
            wait_for(lambda: not page.server._thread.is_alive())  # though the viewer has not left
        wait_for(lambda: "page pictures" not in [thread.name for thread in threading.enumerate()])

    def test_beyond_loopback_it_asks_for_a_way_in(self):
        for host in ("0.0.0.0", "192.168.1.5", "::", "example.org"):
            with pytest.raises(SettingsError, match="needs a password or a token"):
                WebSettings(host=host)
        for host in ("127.0.0.1", "127.0.0.2", "localhost", "::1"):
            assert WebSettings(host=host).is_loopback
        with pytest.raises(SettingsError, match="needs --web-access"):
            WebSettings(public=("https://cameras.example.org",))

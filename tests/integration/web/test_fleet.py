"""The API of a fleet's page, and pictures across machines: a real server before a fleet that the test moves."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import cv2
import numpy as np

from streamrec.outputs.fleet.records import FleetService
from streamrec.web import fleet_pictures
from streamrec.web.jpeg import FASTEST
from tests.helpers.fake_fleet import FakeFleet
from tests.helpers.pages import wait_for
from tests.integration.web.test_fuzz import ODD_TEXTS, ODD_VALUES
from tests.integration.web.test_routes import METRIC_LINE, Looking


def shown(looking: Looking, camera: str) -> dict:
    """The next state of a camera."""
    return next(one for one in looking.next("cameras")["cameras"] if one["name"] == camera)


class TestMachines:
    def test_each_is_reported_with_what_runs_there(self, open_fleet):
        page, fleet = open_fleet()
        with page.client() as client:
            assert client.get("/api/v1/session").json()["fleet"] is True
            answer = client.get("/api/v1/fleet").json()
            assert answer["version"] == 1
            head, north, south = answer["fleet"]["machines"]
            assert (head["name"], head["is_head"], head["cameras"]) == ("head", True, 0)
            assert (north["state"], north["cameras"], north["load"], north["cores"]) == ("alive", 3, 2.6, 8.0)
            assert north["since"].endswith("+00:00") and north["version"] == "0.1.0"
            assert (south["groups"], south["shed"]) == (["site-2"], 0.031)
            assert [group["machine"] for group in answer["fleet"]["groups"]] == ["north", "south"]
            assert answer["fleet"] == fleet.status().to_dict() | {"machines": answer["fleet"]["machines"]}

    def test_a_camera_says_where_it_runs_and_since_when(self, open_fleet):
        page, fleet = open_fleet()
        fleet.show("door", label="wave")
        with page.client() as client:
            cameras = {one["name"]: one for one in client.get("/api/v1/cameras").json()["cameras"]}
        door = cameras["door"]
        assert (door["machine"], door["state"], door["label"]) == ("north", "live", "wave")
        assert door["machine_since"].startswith(time.strftime("%Y-", time.gmtime()))
        assert (door["frames"], door["fps"], door["dropped"]) == (300, 9.7, 0)  # as counted there
        assert (cameras["hall"]["machine"], cameras["hall"]["dropped"]) == ("south", 4)

    def test_what_is_lost_and_what_moves_comes_by_itself(self, open_fleet):
        page, fleet = open_fleet()
        with Looking(page) as looking:
            looking.next("hello")
            states = lambda: {one["name"]: one["state"] for one in looking.next("fleet")["fleet"]["machines"]}  # noqa: E731
            assert states() == {"head": "alive", "north": "alive", "south": "alive"}
            fleet.silence("north")
            wait_for(lambda: states()["north"] == "silent")
            door = wait_for(lambda: (one := shown(looking, "door"))["state"] == "stalled" and one)
            assert door["reason"] == "nothing comes from north" and door["label"] is None
            fleet.lose("north")
            wait_for(lambda: states()["north"] == "dead")
            fleet.place("site-1", "south")
            door = wait_for(lambda: (one := shown(looking, "door"))["state"] == "live" and one)
            assert door["machine"] == "south"
            fleet.join("north")
            wait_for(lambda: states()["north"] == "alive")

    def test_no_reason_has_a_secret(self, open_fleet, monkeypatch):
        page, fleet = open_fleet()
        page.live.secrets = ("s3cret",)
        status = fleet.status

        def with_secret():
            now = status()
            return replace(now, cameras=tuple(replace(one, reason="rtsp://s3cret@x") for one in now.cameras))

        monkeypatch.setattr(fleet, "status", with_secret)
        with page.client() as client:
            assert "s3cret" not in client.get("/api/v1/fleet").text

    def test_every_field_is_described(self, open_fleet):
        page, _ = open_fleet()
        with page.client() as client:
            spec = client.get("/api/v1/openapi.json").json()["components"]["schemas"]
            fleet = client.get("/api/v1/fleet").json()["fleet"]
            (camera, *_) = client.get("/api/v1/cameras").json()["cameras"]
        assert set(fleet) == set(spec["FleetJson"]["properties"])
        for key, name in (
            ("machines", "MachineJson"),
            ("groups", "GroupJson"),
            ("cameras", "PlacedCameraJson"),
        ):
            assert {frozenset(one) for one in fleet[key]} == {frozenset(spec[name]["properties"])}, name
        assert set(camera) == set(spec["CameraNow"]["properties"]) - {"models", "sound"}

    def test_without_a_fleet_there_is_nothing_of_it(self, open_page):
        page = open_page("door")
        with page.logged_in() as client:
            assert client.get("/api/v1/fleet").status_code == 404
            assert client.post("/api/v1/fleet/rebalance").status_code == 404
            assert client.get("/api/v1/session").json()["fleet"] is False
            assert "machine" not in client.get("/api/v1/cameras").text
            metrics = client.get("/metrics").text
            assert "machine=" not in metrics and "streamrec_machine" not in metrics
            assert not [
                path for path in client.get("/api/v1/openapi.json").json()["paths"] if "fleet" in path
            ]


class TestMoves:
    def test_a_machine_is_drained_and_the_fleet_rebalanced(self, open_fleet):
        page, fleet = open_fleet()
        with page.logged_in() as client:
            answer = client.post("/api/v1/fleet/drain", json={"machine": "north"})
            assert answer.json() == {"version": 1, "message": "north is drained: its groups move"}
            machines = {one["name"]: one for one in client.get("/api/v1/fleet").json()["fleet"]["machines"]}
            assert (machines["north"]["state"], machines["north"]["cameras"]) == ("draining", 0)
            assert client.post("/api/v1/fleet/rebalance", json={}).json()["message"] == "one group moves"
        assert fleet.moves == ["drain north", "rebalance"]

    def test_what_is_not_possible_is_answered_in_words(self, open_fleet):
        page, fleet = open_fleet()
        with page.logged_in() as client:
            answer = client.post("/api/v1/fleet/drain", json={"machine": "west"})
            assert (answer.status_code, answer.json()["error"]["message"]) == (
                422,
                "there is no machine west",
            )
            fleet.trouble = "a group moves already"
            answer = client.post("/api/v1/fleet/rebalance", json={})
            assert (answer.status_code, answer.json()["error"]["message"]) == (422, "a group moves already")

    def test_odd_machines_and_odd_bodies_are_answered(self, open_fleet):
        page, fleet = open_fleet()
        errors: list[str] = []
        page.server._limited_log._log = errors.append
        with page.logged_in() as client:
            odd = [*ODD_VALUES, *ODD_TEXTS, {"machine": None}, {"machine": ["north"]}]
            for one in odd:
                for body in (one, {"machine": one}):
                    content = json.dumps(body)
                    headers = {"Content-Type": "application/json"}
                    answer = client.post("/api/v1/fleet/drain", content=content, headers=headers)
                    assert 400 <= answer.status_code < 500, content[:80]
                    assert set(answer.json()["error"]) == {"code", "message"}
        assert fleet.moves == [] and errors == []

    def test_they_need_what_every_change_needs(self, open_fleet):
        page, fleet = open_fleet(guarded=True)
        requests = [("/api/v1/fleet/drain", {"machine": "north"}), ("/api/v1/fleet/rebalance", {})]
        for path, body in requests:
            with page.client() as client:
                assert client.post(path, json=body).status_code == 401
            with page.logged_in() as client:
                wrong = {**client.headers, "X-CSRF-Token": "wrong"}
                assert (
                    client.post(path, json=body, headers=wrong).json()["error"]["code"] == "wrong_csrf_token"
                )
                foreign = {**client.headers, "Origin": "http://evil.example"}
                assert client.post(path, json=body, headers=foreign).json()["error"]["code"] == "wrong_origin"
        assert fleet.moves == []
        with page.client(headers={"Authorization": f"Bearer {page.token}"}) as client:
            assert client.post("/api/v1/fleet/rebalance", json={}).status_code == 200


class TestMetrics:
    def test_they_are_by_machine(self, open_fleet):
        page, fleet = open_fleet()
        fleet.show("door")
        fleet.lose("south")
        with page.client() as client:
            text = client.get("/metrics").text
        for line in (
            'streamrec_machine_state{machine="north",state="alive"} 1',
            'streamrec_machine_state{machine="south",state="dead"} 1',
            'streamrec_machine_load_cores{machine="north"} 2.6',
            'streamrec_machine_cameras{machine="north"} 3',
            'streamrec_machine_shed_ratio{machine="south"} 0.031',
            'streamrec_machine_memory_bytes{machine="north"} 180000000',
            'streamrec_machine_info{machine="north",address="192.168.1.11",version="0.1.0"} 1',
            'streamrec_camera_frames_total{camera="door",machine="north"} 300',
            'streamrec_camera_state{camera="door",machine="north",state="live"} 1',
            'streamrec_group_outbox_batches{group="site-1",machine="north"} 0',
            "streamrec_fleet_refused_total 2",
        ):
            assert line in text.splitlines(), line
        assert all(METRIC_LINE.fullmatch(line) for line in text.splitlines())


class TestPictures:
    def test_they_come_from_where_the_camera_runs(self, open_fleet):
        page, fleet = open_fleet()
        with Looking(page) as looking:
            looking.next("hello")
            looking.say(want={"door": 320, "hall": 640})
            fleet.show("door")
            fleet.show("hall")
            got: dict[str, np.ndarray] = {}
            while len(got) < 2:
                for name, width, when, jpeg in looking.next("pictures"):
                    got[name] = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
                    assert width == {"door": 320, "hall": 640}[name]
                    assert abs(time.time() - when) < 5.0
                looking.say(got=1)
        assert {name: image.shape for name, image in got.items()} == {
            "door": (180, 320, 3),
            "hall": (360, 640, 3),
        }
        assert all(image.max() > 150 for image in got.values())  # not the black one that the head was given

    def test_while_no_page_shows_a_camera_nothing_is_asked_or_encoded(self, open_fleet):
        page, fleet = open_fleet()
        with Looking(page) as looking:
            looking.next("hello")
            for _ in range(5):
                fleet.show("door")
            looking.next("fleet")
            assert not fleet.asked and not any(one.made for one in fleet.pictures.values())
            looking.say(want={"door": 320})
            looking.next("pictures")
            assert {request.camera for request in fleet.asked} == {"door"}
        wait_for(lambda: not page.server.hub.encoder._wanted)
        time.sleep(2 * FASTEST)  # a round that was under way
        asked, made = len(fleet.asked), page.server.hub.encoder.made
        for _ in range(3):
            fleet.show("door")
            time.sleep(2 * FASTEST)
        assert (len(fleet.asked), page.server.hub.encoder.made) == (asked, made)

    def test_many_pages_share_one_picture(self, open_fleet):
        page, fleet = open_fleet()
        pages = [Looking(page) for _ in range(4)]
        for looking in pages:
            looking.next("hello")
            looking.say(want={"door": 320})
        wait_for(lambda: len(page.server.hub.encoder._wanted) == 4)
        fleet.show("door")
        assert len({looking.next("pictures")[0][3] for looking in pages}) == 1
        assert fleet.pictures["site-1"].made == 1
        for looking in pages:
            looking.close()

    def test_a_machine_that_does_not_answer_holds_up_no_other(self, open_fleet):
        page, fleet = open_fleet()
        fleet.stuck.add("north")
        with Looking(page) as looking:
            looking.next("hello")
            looking.say(want=dict.fromkeys(("door", "yard", "gate", "hall"), 320))
            for _ in range(4):
                fleet.show("hall")
                ((name, *_),) = looking.next("pictures")
                assert name == "hall"
                looking.say(got=1)
            assert [one.camera for one in fleet.asked if one.camera != "hall"] == ["door"]  # one that waits
            fleet.show("yard")
            fleet.stuck.clear()
            fleet.freed.set()
            looking.say(want={"yard": 320})
            assert looking.next("pictures", 10.0)[0][0] == "yard"  # asked again after a moment

    def test_what_comes_after_the_page_has_left_is_not_shown_to_the_next_one(self, open_fleet):
        page, fleet = open_fleet()
        fleet.slow.add("north")
        names = ("door", "gate", "yard")
        for name in names:
            fleet.show(name)
        with Looking(page) as looking:
            looking.next("hello")
            looking.say(want=dict.fromkeys(names, 320))
            wait_for(lambda: fleet.asked)
        wait_for(lambda: not page.server.hub.encoder._wanted)
        time.sleep(fleet_pictures._LEFT_SECONDS + 3 * FASTEST)
        fleet.freed.set()
        fetching = page.server.hub.encoder.maker._asked["north"]
        wait_for(fetching.done)
        assert [one.camera for one in fleet.asked] == ["door"]  # the others are not asked for
        left = time.time()
        fleet.place("site-1", "north")  # a process that has made none yet
        for name in names:
            fleet.show(name)
        with Looking(page) as looking:
            looking.next("hello")
            looking.say(want=dict.fromkeys(names, 320))
            assert all(when > left - 0.5 for _, _, when, _ in looking.next("pictures"))

    def test_no_more_are_asked_for_than_so_many_a_second(self, open_fleet, monkeypatch):
        monkeypatch.setattr(fleet_pictures, "MOST_A_SECOND", 10)
        page, fleet = open_fleet()
        names = ("door", "yard", "gate", "hall", "stairs")
        with Looking(page) as looking:
            looking.next("hello")
            for name in names:
                fleet.show(name)
            began = time.monotonic()
            looking.say(want=dict.fromkeys(names, 320))
            while time.monotonic() - began < 2.0:
                for name in names:
                    fleet.show(name)
                time.sleep(0.05)
            asked, took = len(fleet.asked), time.monotonic() - began
        assert 5 <= asked <= 10 * took + 5

    def test_one_picture_can_be_had_by_itself(self, open_fleet):
        page, fleet = open_fleet()
        with page.client() as client:
            ask = lambda: client.get("/api/v1/picture", params={"camera": "door", "width": 320})  # noqa: E731
            assert ask().status_code == 404
            fleet.show("door")
            image = cv2.imdecode(np.frombuffer(ask().content, np.uint8), cv2.IMREAD_COLOR)
            assert image.shape == (180, 320, 3) and image.max() > 150
            assert not fleet.asked[0].people


def test_the_stand_in_is_a_fleet_service():
    methods = [name for name in vars(FleetService) if not name.startswith("_")]
    assert methods and all(callable(getattr(FakeFleet, name)) for name in methods)

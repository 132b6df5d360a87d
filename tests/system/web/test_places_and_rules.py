"""Zones and lines drawn by mouse and by keyboard, shown over live images; rules tried and saved."""

from __future__ import annotations

import re
import time
import tomllib

import numpy as np
import pytest
from streamrec.synthetic import World, WorldSettings

from streamrec.core.zones import Line, Zone
from streamrec.events.places import PlaceSettings
from streamrec.events.rules import Watched
from streamrec.outputs.history.records import Entry, new_id
from streamrec.types import Frame, Person, Result
from tests.helpers.pages import prediction_of, wait_for
from tests.system.web.test_browser import shot

FILE = """# the cameras
[[camera]]
name = "door"       # by the street
address = "rtsp://me:s3cret-pw@192.168.1.20/stream1"

[[camera]]
name = "yard"
address = "rtsp://192.168.1.21/stream1"
"""
HOUR = 3600.0


@pytest.fixture
def managed(open_page, tmp_path):
    path = tmp_path / "cameras.toml"
    path.write_text(FILE)
    return open_page("door", "yard", file=path), path


def picture() -> np.ndarray:
    frames = iter(World(WorldSettings(seconds=3.0, seed=5, width=640, height=480)))
    return [next(frames).image for _ in range(20)][-1]


def person_at(x: float) -> Person:
    """A person who stands there, as a backbone would find them."""
    places = [
        (0.30, 0), (0.28, 0.015), (0.28, -0.015), (0.29, 0.03), (0.29, -0.03), (0.38, 0.06), (0.38, -0.06),
        (0.48, 0.09), (0.48, -0.09), (0.57, 0.10), (0.57, -0.10), (0.60, 0.04), (0.60, -0.04), (0.72, 0.045),
        (0.72, -0.045), (0.84, 0.05), (0.84, -0.05),
    ]  # fmt: skip
    keypoints = np.array([(y, x + dx, 0.9) for y, dx in places], np.float32)
    return Person(3, (0.26, x - 0.12, 0.86, x + 0.12), keypoints, 0.9)


def show(page, name: str, image: np.ndarray, people=None) -> None:
    """One frame of a camera, with people in it."""
    actor = page.actors[name]
    frame = Frame(image, actor.index, actor.index / 10, 0, name, time.monotonic())
    page.live.write(Result(frame, prediction_of("idle", actor.index / 10), people=people))
    actor.index += 1


def falls(page, *ago: float, lasts: float = 60.0) -> list[str]:
    """Falls at the door so many seconds ago, and that both cameras were watched all day."""
    now, ids = time.time(), []
    for seconds in ago:
        entry = Entry(
            id=new_id(now - seconds), camera="door", model="", label="fall", started=now - seconds,
            ended=now - seconds + lasts, confidence=0.9, zone="floor",
        )  # fmt: skip
        page.live.history.add(entry)
        ids.append(entry.id)
    page.live.history._coverage._over += [
        Watched(camera=camera, began=now - 26 * HOUR, ended=now - 1) for camera in ("door", "yard")
    ]
    page.live.history.drain(5.0)
    return ids


class TestPlaces:
    def test_zones_are_drawn_by_mouse_and_by_keyboard_and_saved(self, managed, look):
        page, path = managed
        show(page, "door", picture())
        tab = look(f"{page.url}/#/manage/door", height=1000)
        dialog = tab.get_by_role("dialog", name="door")
        still = dialog.get_by_role("img", name="Still of the camera")
        still.wait_for()
        still.scroll_into_view_if_needed()
        frame = still.bounding_box()

        def at(x: float, y: float) -> tuple[float, float]:
            return frame["x"] + x * frame["width"], frame["y"] + y * frame["height"]

        # By mouse: four corners, the first again; one of them dragged, one added on an edge and one removed.
        dialog.get_by_role("button", name="Add a zone").click()
        for corner in ((0.1, 0.5), (0.5, 0.5), (0.5, 0.9), (0.1, 0.9), (0.1, 0.5)):
            tab.mouse.click(*at(*corner))
        dialog.get_by_label("Name of the zone").fill("floor")
        tab.mouse.move(*at(0.5, 0.5))
        tab.mouse.down()
        tab.mouse.move(*at(0.6, 0.45), steps=4)
        tab.mouse.up()
        tab.mouse.click(*at(0.1, 0.7))  # between the last and the first: one more
        assert dialog.locator(".corner").count() == 5
        shot(tab, "zone-by-mouse")
        dialog.get_by_role("button", name="floor, corner 4 of 5").dblclick()
        assert dialog.locator(".corner").count() == 4

        # By keyboard alone: a zone in the middle, its corners moved, one added, one removed.
        dialog.get_by_role("button", name="Add a zone").focus()
        tab.keyboard.press("Enter")
        corner = dialog.get_by_role("button", name="zone 1, corner 1 of 4")
        wait_for(lambda: corner.evaluate("one => one === document.activeElement"))
        for key in ("ArrowLeft", "Shift+ArrowUp", "Enter"):
            tab.keyboard.press(key)
        assert dialog.locator(".corner").count() == 5
        tab.keyboard.press("ArrowUp")
        tab.keyboard.press("Tab")
        tab.keyboard.press("Delete")
        assert dialog.locator(".corner").count() == 4
        dialog.get_by_label("What zone 1 does").select_option("exclude")

        # A line: two ends, and the other way round.
        dialog.get_by_role("button", name="Add a line").click()
        tab.mouse.click(*at(0.62, 0.9))
        tab.mouse.click(*at(0.9, 0.9))
        dialog.get_by_label("Name of the line").fill("way")
        dialog.get_by_role("button", name="Turn round").click()
        still.scroll_into_view_if_needed()
        shot(tab, "zones-and-line")
        dialog.get_by_role("button", name="Save").click()
        dialog.wait_for(state="detached")

        text = path.read_text()
        assert "# by the street" in text and "s3cret-pw" in text
        door = tomllib.loads(text)["camera"][0]
        floor, left_out = door["zone"]
        assert floor["name"] == "floor" and floor["mask"] is False
        assert len(floor["corners"]) == 4 and floor["corners"][1] == pytest.approx([0.6, 0.45], abs=0.02)
        assert left_out["exclude"] is True and left_out["corners"][0] == pytest.approx([0.34, 0.3], abs=0.001)
        (line,) = door["line"]
        assert line["name"] == "way"
        assert line["ends"][0] == pytest.approx([0.9, 0.9], abs=0.02)
        tab.get_by_text("2 zones · 1 line").wait_for()

        # They are there when it is opened again, and go one by one.
        tab.get_by_role("button", name="Edit door").click()
        dialog.get_by_role("button", name="Remove zone 1").click()
        dialog.get_by_role("button", name="Save").click()
        dialog.wait_for(state="detached")
        assert [zone["name"] for zone in tomllib.loads(path.read_text())["camera"][0]["zone"]] == ["floor"]

    def test_esc_gives_up_drawing_and_not_the_dialog(self, managed, look):
        page, _ = managed
        show(page, "door", picture())
        tab = look(f"{page.url}/#/manage/door")
        dialog = tab.get_by_role("dialog", name="door")
        still = dialog.get_by_role("img", name="Still of the camera")
        still.wait_for()
        dialog.get_by_role("button", name="Add a zone").click()
        still.scroll_into_view_if_needed()
        frame = still.bounding_box()
        tab.mouse.click(frame["x"] + 20, frame["y"] + 20)
        assert dialog.locator(".dot-open").count() == 1
        tab.keyboard.press("Escape")
        dialog.get_by_text("Events say in which zone they began").wait_for()
        assert dialog.is_visible()

    def test_zones_lines_and_people_are_shown_over_the_live_image(self, open_page, look):
        page = open_page("door")
        floor = Zone("floor", ((0.05, 0.55), (0.6, 0.5), (0.7, 0.95), (0.05, 0.95)), mask=False)
        window = Zone("window", ((0.3, 0.05), (0.6, 0.05), (0.6, 0.3), (0.3, 0.3)), exclude=True)
        line = Line("way out", ((0.72, 0.75), (0.95, 0.95)))
        page.actors["door"].places = PlaceSettings(zones=(floor, window), lines=(line,))
        image = picture()
        show(page, "door", image, (person_at(0.3),))
        (now,) = page.live.cameras()
        assert now["zones"][0] == {
            "name": "floor",
            "corners": [list(corner) for corner in floor.corners],
            "exclude": False,
            "mask": False,
        }
        tab = look(f"{page.url}/#/camera/door", height=800)
        tab.locator(".view canvas.seen").wait_for()
        assert tab.locator(".places polygon").count() == 2
        assert tab.locator(".places text").all_text_contents() == ["floor", "window", "way out"]
        for _ in range(5):
            show(page, "door", image, (person_at(0.3),))
            time.sleep(0.1)
        shot(tab, "zones-live")
        page.actors["door"].places = None
        show(page, "door", image)
        wait_for(lambda: tab.locator(".places polygon").count() == 0)


class TestRules:
    def test_a_rule_is_composed_tried_on_the_history_and_saved(self, managed, look):
        page, path = managed
        for name in ("door", "yard"):
            page.actors[name].show()
        falls(page, 600, 1500, 3000, 5 * HOUR)
        tab = look(f"{page.url}/#/manage", height=1000)
        tab.get_by_role("button", name="Add a rule").click()
        dialog = tab.get_by_role("dialog", name="New rule")
        dialog.get_by_label("Name").fill("lies too long")
        dialog.get_by_label("Action").fill("fall")
        dialog.get_by_role("group", name="When this: cameras").get_by_label("door").check()
        dialog.get_by_text("It would have fired 3 times.").wait_for()
        dialog.get_by_label("Tried on").select_option("24")
        dialog.get_by_text("It would have fired 4 times.").wait_for()
        assert dialog.locator(".trial-list li").count() == 4
        shot(tab, "rule-tried")
        dialog.get_by_label("How long", exact=True).fill("90")
        dialog.get_by_text("It would not have fired.").wait_for()
        dialog.get_by_label("What of it").select_option("absent")
        dialog.get_by_text("It would have fired once.").wait_for()  # from three hours ago on
        dialog.get_by_label("What of it").select_option("lasts")
        dialog.get_by_label("How long", exact=True).fill("30")
        assert "[[rule]]" not in path.read_text()  # nothing is written by a trial
        dialog.get_by_role("button", name="Add").click()
        dialog.wait_for(state="detached")
        (rule,) = tomllib.loads(path.read_text())["rule"]
        assert rule == {"name": "lies too long", "when": {"label": "fall", "camera": "door"}, "lasts": "30 s"}
        assert page.live.reload.is_set()
        tab.get_by_text("Fall on door lasts longer than 30 s").wait_for()
        shot(tab, "rules")
        tab.get_by_role("button", name="Disable").last.click()
        wait_for(lambda: "enabled = false" in path.read_text())
        tab.get_by_role("button", name="Remove lies too long").click()
        wait_for(lambda: "[[rule]]" not in path.read_text())

    @pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 360)])
    def test_a_rule_of_sound_and_pictures_is_shown_tried_and_changed(self, managed, look, scheme, width):
        page, path = managed
        rule = '\n[[rule]]\nname = "break-in"\nwhen = {label = "glass", camera = "yard", model = "sounds"}\n'
        path.write_text(FILE + rule + 'also = {label = "fall", camera = "door"}\nwithin = "10 s"\n')
        falls(page, 600, 1500)
        now = time.time()
        page.live.history.add(
            Entry(
                id=new_id(now - 535), camera="yard", model="sounds", label="glass", started=now - 535,
                ended=now - 534, confidence=0.9,
            )
        )  # fmt: skip
        page.live.history.drain(5.0)
        tab = look(f"{page.url}/#/manage", width=width, color_scheme=scheme)
        tab.get_by_role("button", name="Edit break-in").click()
        dialog = tab.get_by_role("dialog", name="break-in")
        assert dialog.get_by_label("What of it").input_value() == "together"
        dialog.get_by_text("It would have fired once.").wait_for()
        assert dialog.get_by_role("group", name="When this: models").get_by_label("sounds").is_checked()
        assert dialog.get_by_role("group", name="And this: models").count() == 0  # one model: none to choose
        dialog.get_by_label("What of it").scroll_into_view_if_needed()
        shot(tab, f"rule-together-{width}-{scheme}")
        assert tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        dialog.get_by_label("Within", exact=True).fill("2")
        dialog.get_by_text("It would not have fired.").wait_for()
        dialog.get_by_role("button", name="Save").click()
        dialog.wait_for(state="detached")
        (kept,) = tomllib.loads(path.read_text())["rule"]
        assert kept == {
            "name": "break-in",
            "when": {"label": "glass", "camera": "yard", "model": "sounds"},
            "also": {"label": "fall", "camera": "door"},
            "within": "2 s",
        }

    def test_after_a_change_by_hand_the_page_shows_the_file_anew_and_why(self, managed, look):
        page, path = managed
        rule = '\n[[rule]]\nname = "lies"\nwhen = "fall"\nlasts = "30 s"\n'
        path.write_text(FILE + rule)
        tab = look(f"{page.url}/#/manage", allow="409")
        tab.get_by_text("Fall lasts longer than 30 s").wait_for()
        path.write_text(FILE + rule.replace("30 s", "90 s"))
        tab.get_by_role("button", name="Disable").last.click()
        tab.get_by_text("Fall lasts longer than 90 s").wait_for()
        tab.locator("main > .wrong").filter(has_text=re.compile(r"\w")).wait_for()
        assert "enabled" not in path.read_text()

    def test_each_kind_can_be_composed_and_comes_back_as_it_was(self, managed, look):
        page, path = managed
        tab = look(f"{page.url}/#/manage", allow="422")
        for kind, fill, wanted in (
            ("daily", {"From": "22:00", "To": "06:00"}, {"since": "22:00", "by": "06:00"}),
            ("often", {"How many times": "5"}, {"count": 5, "within": "1 h"}),
            ("follows", {}, {"then": {"camera": "yard"}, "within": "1 min"}),
            ("together", {"Within": "20"}, {"also": {"camera": "yard"}, "within": "20 s"}),
        ):
            tab.get_by_role("button", name="Add a rule").click()
            dialog = tab.get_by_role("dialog", name="New rule")
            dialog.get_by_label("Name").fill(kind)
            dialog.get_by_label("What of it").select_option(kind)
            for label, value in fill.items():
                dialog.get_by_label(label, exact=True).fill(value)
            for title in {"follows": ["Then this"], "together": ["And this"]}.get(kind, ()):
                dialog.get_by_role("group", name=f"{title}: cameras").get_by_label("yard").check()
            dialog.get_by_role("button", name="Add", exact=True).click()
            dialog.wait_for(state="detached")
            rule = tomllib.loads(path.read_text())["rule"][-1]
            assert rule == {"name": kind, "when": {}, **wanted}
        before = path.read_text()
        tab.get_by_role("button", name="Edit follows").click()
        dialog = tab.get_by_role("dialog", name="follows")
        dialog.get_by_role("button", name="Save").click()
        dialog.wait_for(state="detached")
        assert tomllib.loads(path.read_text()) == tomllib.loads(before)
        tab.get_by_role("button", name="Edit often").click()
        dialog = tab.get_by_role("dialog", name="often")
        dialog.get_by_label("Name").fill("daily")
        dialog.get_by_role("button", name="Save").click()
        dialog.get_by_text("it stands there twice; name each rule once").wait_for()

    def test_a_rules_event_names_the_rule_and_leads_to_what_it_is_based_on(self, open_page, look):
        page = open_page("door")
        page.actors["door"].show()
        (fall,) = falls(page, 120)
        now = time.time()
        entry = Entry(
            id=new_id(now - 90), camera="door", model="", label="lies too long", started=now - 90,
            ended=now - 60, confidence=1.0, zone="floor", rule="lies too long", based_on=(fall,),
        )  # fmt: skip
        page.live.history.add(entry)
        page.live.history.drain(5.0)
        tab = look(f"{page.url}/#/events")
        row = tab.locator(".event", has_text="lies too long")
        assert "door · floor" in row.inner_text()
        row.click()
        dialog = tab.get_by_role("dialog")
        dialog.get_by_text("Based on").wait_for()
        assert "Rule" in dialog.inner_text() and "Zone" in dialog.inner_text()
        shot(tab, "rule-event")
        dialog.get_by_role("button", name="fall · door").click()
        dialog.get_by_role("heading", name="fall · door").wait_for()


class TestApi:
    def test_a_rule_is_tried_and_saved_by_its_routes(self, managed):
        page, path = managed
        fall, *_ = falls(page, 600, 1500, 5 * HOUR)
        rule = {"name": "lies", "when": {"label": ["fall"]}, "lasts": "30 s"}
        with page.logged_in() as client:
            tried = client.post("/api/v1/settings/rule/try", json={"change": rule}).json()
            assert (tried["count"], tried["text"]) == (2, "fall lasts longer than 30 s")
            assert tried["events"][0]["based_on"] == [fall] and tried["events"][0]["zone"] == "floor"
            assert tried["watched"] == {
                "door": pytest.approx(3600, abs=5),
                "yard": pytest.approx(3600, abs=5),
            }
            tried = client.post("/api/v1/settings/rule/try", json={"change": rule, "hours": 24}).json()
            assert tried["count"] == 3
            revision = client.get("/api/v1/settings").json()["revision"]
            answer = client.put("/api/v1/settings/rule", json={"revision": revision, "change": rule}).json()
            assert answer["rules"][0]["text"] == "fall lasts longer than 30 s"
            body = {"revision": answer["revision"], "rule": "lies"}
            answer = client.request("DELETE", "/api/v1/settings/rule", json=body).json()
            assert answer["rules"] == [] and path.read_text() == FILE

    def test_what_cannot_be_is_refused_in_words(self, managed):
        page, path = managed
        with page.logged_in() as client:
            revision = client.get("/api/v1/settings").json()["revision"]
            for change, says in (
                ({"name": "a", "when": "fall"}, "give lasts, or absent"),
                ({"name": "a", "when": "fall", "lasts": "soon"}, "lasts: give a time like"),
                ({"name": "a", "when": {"camera": ["attic"]}, "lasts": 5}, "there is no such camera"),
                ({"name": "", "when": "fall", "lasts": 5}, "name"),
                ({"name": "a", "when": "fall", "since": "8", "by": "9"}, "since: give a time of day"),
            ):
                for route, body in (
                    ("rule", {"revision": revision, "change": change}),
                    ("rule/try", {"change": change}),
                ):
                    verb = "POST" if route == "rule/try" else "PUT"
                    answer = client.request(verb, f"/api/v1/settings/{route}", json=body)
                    assert answer.status_code == 422, (change, answer.text)
                    assert says in answer.json()["error"]["message"], answer.text
        assert path.read_text() == FILE

"""A lesson on the page, in a real Chromium: labels by button, by key and held; the examples; what was learned."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

import cv2
import numpy as np
import pytest

from streamrec.commands.lesson import Lesson
from streamrec.commands.teach_page import LessonDesk
from tests.helpers.fake_teacher import FakeTeacher, result_at
from tests.helpers.pages import repeating, wait_for

JPEG = cv2.imencode(".jpg", np.full((90, 160, 3), 120, np.uint8))[1].tobytes()


class Lessons:
    """A page with a lesson whose camera is moved by a thread, ten frames a second of its own clock."""

    def __init__(self, open_page, *, pictures: tuple[bytes, ...] = (), **settings):
        self.teacher = FakeTeacher(now=100.0, pictures=pictures)
        self.lesson = Lesson(self.teacher, **{"countdown": 0.4, "nothing": 5.0, **settings})
        desk = LessonDesk(self.lesson, camera="door", out=Path("mine.safetensors"))
        self.page = open_page("door", teach=desk)

    def playing(self) -> AbstractContextManager[None]:
        return repeating(self._play)

    def _play(self) -> None:
        self.teacher.now += 0.1
        self.lesson.step(result_at(self.teacher.now))
        self.page.actors["door"].show(label="wave")

    def pass_by(self, seconds: float) -> None:
        """Wait until so many seconds have passed on its own clock, however slow the machine is."""
        until = self.teacher.now + seconds
        wait_for(lambda: self.teacher.now >= until, 60.0)

    def labels(self) -> list[str]:
        return [example.label for example in self.teacher.examples]


def taught(tab, label: str):
    return tab.get_by_role("group", name=label, exact=True)


def test_the_lesson_is_what_the_page_opens_with(open_page, look):
    lessons = Lessons(open_page)
    with lessons.playing():
        tab = look(lessons.page.url)
        tab.get_by_role("heading", level=1, name="Teach").wait_for()
        tab.get_by_text("Name what you want to teach.").wait_for()
        assert tab.title() == "Teach · streamrec"
        wait_for(lambda: int(tab.locator(".view canvas").get_attribute("data-pictures") or 0) >= 2)
        tab.get_by_role("link", name="Cameras", exact=True).click()
        tab.get_by_role("heading", name="door").wait_for()


def test_a_page_without_a_lesson_offers_none(open_page, look):
    page = open_page("door")
    tab = look(page.url)
    tab.get_by_role("heading", name="door").wait_for()
    assert tab.get_by_role("link", name="Teach").count() == 0
    with page.client() as client:
        assert client.get("/api/v1/session").json()["teaches"] is False
        assert client.get("/api/v1/teach").status_code == 404


def test_three_times_this_was_it_and_it_is_learned(open_page, look):
    lessons = Lessons(open_page)
    with lessons.playing():
        tab = look(lessons.page.url)
        tab.get_by_label("New label").fill("thumbs up")
        tab.get_by_role("button", name="Add").click()
        last = tab.get_by_role("button", name="The last 2 s were thumbs up")
        last.wait_for()
        assert last.evaluate("e => e === document.activeElement")  # the next thing to press
        for count in (1, 2, 3):
            last.click()
            wait_for(lambda count=count: len(lessons.labels()) == count)
        tab.get_by_text("3 examples", exact=True).wait_for()
        tab.get_by_text("9 of 10", exact=True).wait_for()
        tab.get_by_text("none: at most 180 an hour").wait_for()
        tab.get_by_text("show wave once more from further away").wait_for()
        tab.get_by_text("Now 5 seconds of nothing").wait_for()
        assert lessons.teacher.fits == [("thumbs up",) * 3]
        assert tab.get_by_role("status").nth(1).inner_text().startswith("learned in")


def test_a_button_and_a_key_that_are_held_label_the_time_in_which_they_are(open_page, look):
    lessons = Lessons(open_page)
    lessons.lesson.now = 100.0
    lessons.lesson.name("wave")
    with lessons.playing():
        tab = look(lessons.page.url)
        hold = tab.get_by_role("button", name="wave: hold while it happens")
        hold.hover()
        tab.mouse.down()
        assert hold.get_attribute("aria-pressed") == "true"
        lessons.pass_by(1.3)
        tab.mouse.up()
        wait_for(lambda: len(lessons.labels()) == 1)
        assert 1.2 <= lessons.teacher.examples[0].seconds < 3.0
        tab.locator("body").click(position={"x": 5, "y": 5})
        tab.keyboard.press("1")  # at once: the last seconds
        wait_for(lambda: len(lessons.labels()) == 2)
        assert lessons.teacher.examples[1].seconds == pytest.approx(2.0)
        tab.keyboard.down("1")
        lessons.pass_by(1.0)
        tab.keyboard.up("1")
        wait_for(lambda: len(lessons.labels()) == 3)
        assert 0.9 <= lessons.teacher.examples[2].seconds < 2.5
        hold.focus()
        tab.keyboard.down(" ")
        lessons.pass_by(0.8)
        tab.keyboard.up(" ")
        wait_for(lambda: len(lessons.labels()) == 4)
        hold.evaluate("e => e.click()")  # as a screen reader does: on, and off
        lessons.pass_by(0.8)
        assert hold.get_attribute("aria-pressed") == "true"
        hold.evaluate("e => e.click()")
        wait_for(lambda: len(lessons.labels()) == 5)


def test_a_countdown_is_large_said_aloud_and_ends_in_an_example(open_page, look):
    lessons = Lessons(open_page, countdown=2.0)
    lessons.lesson.name("wave")
    with lessons.playing():
        tab = look(lessons.page.url)
        tab.get_by_role("button", name="Countdown for wave").click()
        number = tab.locator(".count b")
        number.wait_for()
        assert number.bounding_box()["height"] >= 80
        assert number.inner_text() in ("1", "2")
        log = tab.get_by_role("log")
        log.get_by_text("Get ready: wave").wait_for()
        log.get_by_text("Now: wave").wait_for()
        wait_for(lambda: lessons.labels() == ["wave"])
        tab.locator(".count").wait_for(state="hidden")
        tab.get_by_role("button", name="Count down 5 s").click()
        tab.get_by_text("Stay in the picture and do anything else.").wait_for()
        lessons.pass_by(1.5)
        tab.get_by_role("button", name="Stop").click()  # what has passed is used
        wait_for(lambda: lessons.labels() == ["wave", "nothing"])


def test_examples_are_relabelled_removed_and_brought_back(open_page, look):
    lessons = Lessons(open_page, pictures=(JPEG,))
    for label in ("wave", "clap"):
        lessons.lesson.now = lessons.teacher.now
        lessons.lesson.example(label)
    with lessons.playing():
        tab = look(lessons.page.url)
        rows = tab.locator(".examples li")
        rows.nth(1).wait_for()
        assert rows.count() == 2 and tab.get_by_role("img", name="Example 1").count() == 1
        tab.get_by_label("Label of example 1").select_option("clap")
        wait_for(lambda: lessons.labels() == ["clap", "clap"])
        tab.get_by_role("button", name="Remove example 2").click()
        wait_for(lambda: lessons.labels() == ["clap"])
        wait_for(lambda: rows.count() == 1)
        undo = tab.get_by_role("button", name="Undo")
        undo.click()
        wait_for(lambda: lessons.labels() == ["clap", "clap"])
        undo.click()
        wait_for(lambda: lessons.labels() == ["wave", "clap"])
        wait_for(lambda: tab.get_by_label("Label of example 1").input_value() == "wave")


def test_a_mistake_is_a_sentence_on_the_page(open_page, look):
    lessons = Lessons(open_page)
    with lessons.playing():
        tab = look(lessons.page.url, allow="422")
        tab.get_by_label("New label").fill("quit")
        tab.get_by_role("button", name="Add").click()
        tab.get_by_role("status").get_by_text("'quit' cannot be a label").wait_for()
        assert tab.get_by_label("New label").input_value() == "quit"  # it is there to be mended


def test_a_name_is_text_whatever_it_holds_and_no_width_is_too_small(open_page, look):
    lessons = Lessons(open_page)
    lessons.lesson.now = lessons.teacher.now
    for label in ("<img src=x onerror=x>", "x" * 40, "winken mit der linken Hand", "挨拶"):
        for _ in range(2):
            lessons.lesson.example(label)
    with lessons.playing():
        for width in (360, 1280):
            tab = look(lessons.page.url, width=width, height=800)
            taught(tab, "挨拶").wait_for()
            taught(tab, "<img src=x onerror=x>").wait_for()
            wait_for(lambda tab=tab: int(tab.locator(".view canvas").get_attribute("data-pictures") or 0))
            assert tab.evaluate("document.documentElement.scrollWidth") <= width
            small = tab.locator(".taught button").evaluate_all(
                "all => Math.min(...all.map(e => e.getBoundingClientRect().height))"
            )
            assert small >= 40  # a thumb's width


def test_the_api_of_a_lesson_refuses_what_it_cannot_do(open_page):
    lessons = Lessons(open_page)
    with lessons.page.logged_in() as client:
        said = client.get("/api/v1/teach").json()
        assert said["labels"] == [] and said["report"] is None and said["out"] == "mine.safetensors"
        answer = client.post("/api/v1/teach/example", json={"label": "wave", "seconds": 2.0})
        assert answer.status_code == 422
        assert answer.json()["error"]["message"] == "the camera has shown nothing yet"
        lessons.lesson.step(result_at(100.0))
        said = client.post("/api/v1/teach/example", json={"label": "wave", "seconds": 2.0}).json()
        assert [one["label"] for one in said["examples"]] == ["wave"]
        for path, body in (
            ("example", {"label": "wave", "seconds": -1}),
            ("example", {"label": "wave", "seconds": "2"}),
            ("example", {"label": "w" * 300, "seconds": 2.0}),
            ("label", {}),
        ):
            assert client.post(f"/api/v1/teach/{path}", json=body).status_code == 422, body
        gone = client.request("DELETE", "/api/v1/teach/example", json={"id": 7})
        assert gone.json()["error"]["message"] == "there is no example 7"
        assert client.get("/api/v1/teach/picture", params={"id": 1}).status_code == 404
    with lessons.page.client() as stranger:  # no Origin, no token
        assert stranger.post("/api/v1/teach/undo", json={}).status_code == 403

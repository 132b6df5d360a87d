"""A fleet on the page, in a real Chromium: its machines, where cameras run, moves, and pictures from elsewhere."""

from __future__ import annotations

import pytest

from tests.helpers.fake_fleet import FakeFleet
from tests.helpers.pages import repeating, wait_for
from tests.system.web.test_browser import pictures, shot


def play(fleet: FakeFleet) -> None:
    """One more frame of each camera on the machines that are there."""
    for group in tuple(fleet.groups.values()):
        if group.state == "running" and group.machine not in fleet.stuck:
            for camera in group.cameras:
                fleet.show(camera)


def card(tab, machine: str):
    return tab.get_by_role("region", name=machine, exact=True)


class TestSeeing:
    def test_each_machine_has_its_load_cameras_and_shed_frames(self, open_fleet, look):
        page, _ = open_fleet()
        tab = look(page.url)
        tab.get_by_role("link", name="Machines").click()
        tab.get_by_role("heading", name="Machines", level=1).wait_for()
        assert tab.title() == "Machines · streamrec"
        tab.get_by_text("3 machines · 5 cameras").wait_for()
        north = card(tab, "north")
        assert north.get_by_text("192.168.1.11 · streamrec 0.1.0").is_visible()
        assert north.get_by_text("running", exact=True).is_visible()
        assert north.get_by_text("Runs since").is_visible()
        assert north.locator("dd").all_inner_texts() == ["2.6 of 8 cores", "3", "0 %", "180 MB"]
        assert north.get_by_role("meter").get_attribute("aria-valuetext") == "2.6 of 8 cores"
        assert card(tab, "south").locator("dd").nth(2).inner_text() == "3 %"
        north.get_by_text("Show 3 cameras").click()
        north.get_by_role("link", name="gate").click()
        tab.get_by_role("heading", name="gate", level=1).wait_for()

    def test_a_lost_one_is_shown_and_announced_without_reloading_and_so_is_its_return(self, open_fleet, look):
        page, fleet = open_fleet()
        tab = look(f"{page.url}/#/machines")
        news = tab.get_by_role("log")
        card(tab, "north").get_by_text("running", exact=True).wait_for()
        fleet.silence("north")
        card(tab, "north").get_by_text("silent", exact=True).wait_for()
        news.get_by_text("north is silent: nothing comes from it").wait_for()
        tab.get_by_role("status").first.get_by_text("2 of 5 cameras live · north is silent").wait_for()
        fleet.lose("north")
        card(tab, "north").get_by_text("lost", exact=True).wait_for()
        card(tab, "north").get_by_text("Other machines will go on with its 3 cameras.").wait_for()
        news.get_by_text("north is lost", exact=True).wait_for()
        shot(tab, "machines-lost")
        fleet.place("site-1", "")
        tab.get_by_text("3 cameras wait for a machine with room: door, yard, gate.").wait_for()
        fleet.place("site-1", "south")
        tab.get_by_role("status").first.get_by_text("All 5 cameras live · north is lost").wait_for()
        card(tab, "south").get_by_text("Show 5 cameras").wait_for()
        fleet.join("north")
        card(tab, "north").get_by_text("running", exact=True).wait_for()
        news.get_by_text("north is back").wait_for()
        fleet.join("west")
        news.get_by_text("west has joined").wait_for()
        card(tab, "west").wait_for()

    def test_a_camera_says_on_which_machine_it_runs_and_for_how_long(self, open_fleet, look):
        page, fleet = open_fleet()
        fleet.show("door")
        tab = look(page.url)
        figure = tab.locator('[data-camera="door"] .figures div', has_text="on")
        figure.get_by_text("north").wait_for()
        fleet.place("site-1", "south")
        figure.get_by_text("south").wait_for()
        tab.goto(f"{page.url}/#/camera/door")
        facts = tab.get_by_role("region", name="Health")
        facts.get_by_text("Runs there for").wait_for()
        assert "Machine\nsouth" in facts.inner_text()
        fleet.silence("south")
        tab.get_by_text("no frames: nothing comes from south").wait_for()

    def test_where_there_is_no_fleet_nothing_of_it_is_shown(self, open_page, look):
        page = open_page("door")
        tab = look(page.url)
        tab.get_by_role("heading", name="door").wait_for()
        assert tab.get_by_role("link", name="Machines").count() == 0
        assert tab.locator(".figures div").count() == 3
        tab.keyboard.press("m")
        tab.goto(f"{page.url}/#/machines")
        tab.get_by_role("heading", name="door").wait_for()
        asked = tab.evaluate("performance.getEntriesByType('resource').map(one => one.name)")
        assert asked and not [name for name in asked if "machines" in name]
        tab.goto(f"{page.url}/#/camera/door")
        tab.get_by_text("Reconnects").wait_for()
        assert tab.get_by_text("Machine").count() == 0


class TestMoving:
    def test_a_machine_is_drained_by_keyboard_alone(self, open_fleet, look):
        page, fleet = open_fleet()
        tab = look(page.url)
        tab.get_by_role("heading", name="door").wait_for()
        tab.keyboard.press("m")
        button = tab.get_by_role("button", name="Drain north")
        button.focus()
        tab.keyboard.press("Enter")
        dialog = tab.get_by_role("dialog", name="Drain north?")
        dialog.get_by_text("Its 3 cameras will move to other machines").wait_for()
        tab.keyboard.press("Escape")
        wait_for(lambda: tab.evaluate("document.activeElement.getAttribute('aria-label')") == "Drain north")
        assert fleet.moves == []
        tab.keyboard.press("Enter")
        dialog.get_by_role("button", name="Drain machine").focus()
        tab.keyboard.press("Enter")
        card(tab, "north").get_by_text("drained", exact=True).wait_for()
        card(tab, "north").get_by_text("Nothing runs on it: it can be switched off.").wait_for()
        tab.get_by_role("log").get_by_text("north is drained: its groups move").wait_for()
        assert fleet.moves == ["drain north"]
        assert not button.is_visible()

    def test_what_is_refused_is_shown_with_the_reason(self, open_fleet, look):
        page, fleet = open_fleet()
        fleet.trouble = "a group moved less than a minute ago"
        tab = look(f"{page.url}/#/machines", allow="422")
        tab.get_by_role("button", name="Rebalance").click()
        tab.get_by_role("alert").get_by_text("a group moved less than a minute ago").wait_for()
        fleet.trouble = ""
        tab.get_by_role("button", name="Rebalance").click()
        tab.get_by_role("log").get_by_text("one group moves").wait_for()
        assert tab.get_by_role("alert").get_by_text("a group moved").count() == 0

    @pytest.mark.parametrize("width", [320, 390])
    def test_on_a_phone_nothing_runs_over_the_edge(self, open_fleet, look, width):
        page, fleet = open_fleet()
        fleet.join("machine-room-of-the-second-building-in-the-north-of-the-site.example.org")
        fleet.lose("south")
        tab = look(f"{page.url}/#/machines", width=width, height=800)
        card(tab, "north").wait_for()
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        shot(tab, f"machines-{width}")
        tab.get_by_role("button", name="Drain north").click()
        tab.get_by_role("dialog").wait_for()
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        assert tab.locator("h1").count() == 1


class TestPictures:
    def test_they_move_from_whichever_machine_has_the_camera(self, open_fleet, look):
        page, fleet = open_fleet()
        tab = look(page.url)
        with repeating(lambda: play(fleet)):
            wait_for(lambda: pictures(tab, "door") >= 3 and pictures(tab, "hall") >= 3)
            fleet.stuck.add("north")
            fleet.silence("north")
            tab.locator('[data-camera="door"]').get_by_text("nothing comes from north").wait_for()
            before = pictures(tab, "hall")
            wait_for(lambda: pictures(tab, "hall") >= before + 3)
            fleet.place("site-1", "south")
            before = pictures(tab, "door")
            wait_for(lambda: pictures(tab, "door") >= before + 3)
        assert {one.camera for one in fleet.asked} <= {"door", "yard", "gate", "hall", "stairs"}
        tab.get_by_role("link", name="Machines").click()
        card(tab, "south").wait_for()
        wait_for(lambda: not page.server.hub.encoder._wanted)

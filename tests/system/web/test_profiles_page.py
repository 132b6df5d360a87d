"""Profiles and their schedule on the page, in a real Chromium: made, changed and removed, also on a phone."""

from __future__ import annotations

import tomllib

import pytest

from tests.helpers.pages import wait_for
from tests.system.web.test_browser import shot

FILE = """# the house
[[camera]]
name = "door"
address = "rtsp://192.168.1.20/stream1"
[[camera]]
name = "garden"
address = "rtsp://192.168.1.21/stream1"
[arming]
timezone = "Europe/Berlin"
[[arming.profile]]
name = "home"
armed = [{camera = "garden"}, "fall"]
"""


@pytest.fixture
def managed(open_page, tmp_path):
    path = tmp_path / "cameras.toml"
    path.write_text(FILE)
    return open_page("door", "garden", file=path), path


def test_a_profile_and_its_times_are_made_by_keyboard_and_removed(managed, look):
    page, path = managed
    arming = lambda: tomllib.loads(path.read_text())["arming"]  # noqa: E731
    page.actors["door"].show(label="wave")  # its labels are known then
    tab = look(f"{page.url}/#/manage", height=1000, allow="422")
    tab.get_by_text("Armed: action on garden; fall").wait_for()
    add = tab.get_by_role("button", name="Add a profile")
    add.focus()
    tab.keyboard.press("Enter")
    dialog = tab.get_by_role("dialog", name="New profile")
    tab.keyboard.type("away")
    dialog.get_by_label("Action", exact=True).fill("fall")
    dialog.get_by_role("button", name="Add further events").press("Enter")
    tab.keyboard.type("fight, wave")
    second = dialog.get_by_role("group", name="Events 2")
    second.get_by_text("No camera reports this now: fight", exact=True).wait_for()
    second.get_by_label("door").check()
    shot(tab, "profile")
    dialog.get_by_role("button", name="Add", exact=True).press("Enter")
    wait_for(lambda: len(arming()["profile"]) == 2)
    assert arming()["profile"][1] == {
        "name": "away", "armed": ["fall", {"label": ["fight", "wave"], "camera": "door"}],
    }  # fmt: skip
    wait_for(lambda: tab.evaluate("document.activeElement.textContent") == "Add a profile")

    tab.get_by_role("button", name="Change the schedule").press("Enter")
    dialog = tab.get_by_role("dialog", name="Schedule of the profiles")
    for profile in ("away", "disarmed"):
        dialog.get_by_role("button", name="Add a time").press("Enter")
        dialog.get_by_label("Profile", exact=True).last.select_option(profile)
    second = dialog.get_by_role("group", name="Time 2")
    for day in ("Mon", "Tue", "Wed", "Thu", "Fri"):
        second.get_by_label(day).uncheck()
    second.get_by_label("All day").check()
    dialog.get_by_role("button", name="Move time 2 up").press("Enter")
    assert tab.evaluate("document.activeElement.getAttribute('aria-label')") == "Move time 1 down"
    dialog.get_by_label("At all other times").select_option("home")
    shot(tab, "schedule")
    dialog.get_by_label("Time zone").fill("Europe/Berln")
    dialog.get_by_role("button", name="Save").press("Enter")
    dialog.get_by_role("alert").get_by_text('timezone: give a name like "Europe/Berlin"').wait_for()
    dialog.get_by_label("Time zone").fill("Europe/Berlin")
    dialog.get_by_role("button", name="Save").press("Enter")
    tab.get_by_text("away: every day, 22:00 to 06:00 of the next day").wait_for()
    assert arming()["schedule"] == [
        {"profile": "disarmed", "days": "weekend"},
        {"profile": "away", "from": "22:00", "until": "06:00"},
    ]
    assert (arming()["usual"], arming()["timezone"]) == ("home", "Europe/Berlin")

    tab.get_by_role("button", name="Remove away").click()
    tab.get_by_text("profile 'away': the schedule names it (number 2): change the schedule first").wait_for()
    tab.get_by_role("button", name="Edit home").click()
    dialog = tab.get_by_role("dialog", name="home")
    assert dialog.get_by_label("Only these events").is_checked() and dialog.locator(".pattern").count() == 2
    dialog.get_by_label("Everything").check()
    dialog.get_by_role("button", name="Save").click()
    tab.get_by_text("Armed: everything").wait_for()
    assert arming()["profile"][0] == {"name": "home", "armed": True} and "# the house" in path.read_text()


def test_nothing_is_wider_than_a_phone(managed, look):
    page, _ = managed
    tab = look(f"{page.url}/#/manage", width=360, height=740)
    for button, name in (("Edit home", "home"), ("Change the schedule", "Schedule of the profiles")):
        tab.get_by_role("button", name=button).click()
        dialog = tab.get_by_role("dialog", name=name)
        if name != "home":
            dialog.get_by_role("button", name="Add a time").click()
        shot(tab, f"phone-{name.split()[0].lower()}")
        assert tab.evaluate("document.documentElement.scrollWidth") <= 360
        assert tab.evaluate("document.querySelector('dialog').scrollWidth") <= 360
        tab.keyboard.press("Escape")
    shot(tab, "phone-manage")

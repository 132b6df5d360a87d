"""Arming on the page, in a real Chromium: profiles, snoozes, and events without a notification."""

from __future__ import annotations

import time

import pytest

from streamrec.events.arming import ArmingRules, Profile
from streamrec.events.rules import Pattern
from streamrec.notify.arming import Arming
from streamrec.outputs.history.records import Entry, Outcome
from tests.helpers.pages import wait_for

RULES = ArmingRules(usual="home", own=(Profile(name="home", armed=(Pattern(labels=("fall",)),)),))


@pytest.fixture
def armed(open_page):
    """A page on which what is armed can be chosen."""

    def made(history) -> Arming:
        arming = Arming(history, RULES)
        for name in ("door", "yard"):
            arming.watched(name, {"": ["wave", "fall"]})
        return arming

    return open_page("door", "yard", arming=made)


def test_a_profile_is_chosen_by_keyboard_and_the_page_follows_other_choices(armed, look):
    tab = look(armed.url)
    pill = tab.get_by_role("button", name="Arming: home. The usual profile.")
    pill.focus()
    tab.keyboard.press("Enter")
    dialog = tab.get_by_role("dialog", name="Arming")
    dialog.get_by_text("In force: home. The usual profile.").wait_for()
    assert dialog.get_by_text("armed: fall").count() == 2
    dialog.get_by_label("A profile that is chosen lasts").select_option("60")
    dialog.get_by_role("button", name="disarmed").focus()
    tab.keyboard.press("Enter")
    dialog.get_by_text("In force: disarmed. Chosen by hand (page), until").wait_for()
    assert dialog.get_by_role("button", name="disarmed").get_attribute("aria-pressed") == "true"
    assert tab.evaluate("document.activeElement.textContent") == "disarmed"
    assert armed.live.arming.profile == "disarmed"
    armed.live.arming.choose("armed", by="MQTT")
    dialog.get_by_text("In force: armed. Chosen by hand (MQTT), until another is chosen.").wait_for()
    dialog.get_by_role("button", name="Follow the schedule").click()
    dialog.get_by_text("In force: home. The usual profile.").wait_for()
    tab.keyboard.press("Escape")
    assert tab.evaluate("document.activeElement.className") == "armed-now"


def test_a_camera_is_snoozed_on_its_card_and_from_an_event_that_says_why_it_was_not_notified(armed, look):
    now = time.time()
    armed.live.history.add(
        Entry(
            id="1", camera="yard", model="", label="wave", started=now - 9, ended=now - 5, confidence=0.9,
            decision=Outcome.keep, decided_by="arming", reason="not armed in profile home, the usual one",
        )
    )  # fmt: skip
    armed.live.history.drain(5.0)
    tab = look(armed.url)
    tab.get_by_role("button", name="door: armed: fall. Snooze").click()
    tab.get_by_role("dialog", name="Snooze door").get_by_role("button", name="30 min").click()
    tab.get_by_role("button", name="door: snoozed until").wait_for()
    assert armed.live.arming.snoozed_until("door") == pytest.approx(time.time() + 1800, abs=60)
    event = tab.locator(".event")
    event.get_by_text("not notified").wait_for()
    event.click()
    dialog = tab.get_by_role("dialog").first
    dialog.get_by_text("no: not armed in profile home, the usual one").wait_for()
    dialog.get_by_role("button", name="Snooze").click()
    snooze = tab.get_by_role("dialog", name="Snooze yard")
    assert snooze.get_by_label("Of what").input_value() == "wave"
    snooze.get_by_role("button", name="until I end it").click()
    wait_for(lambda: [one["camera"] for one in armed.live.arming.status()["snoozes"]] == ["door", "yard"])
    assert armed.live.arming.status()["snoozes"][1] == {"camera": "yard", "label": "wave", "until": None}


def test_nothing_is_wider_than_a_phone(armed, look):
    tab = look(armed.url)
    tab.set_viewport_size({"width": 360, "height": 740})
    tab.get_by_role("button", name="Arming: home").click()
    tab.get_by_role("dialog", name="Arming").wait_for()
    assert tab.evaluate("document.documentElement.scrollWidth") <= 360
    assert tab.evaluate("document.querySelector('dialog').scrollWidth") <= 360

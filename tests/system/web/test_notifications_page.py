"""The page's part in notifications, in a real Chromium: a test of a receiver, and the event that a link opens."""

from __future__ import annotations

import time

import cv2
import numpy as np

from streamrec.outputs.history.records import Entry, new_id
from streamrec.outputs.history.store import History
from tests.helpers.pages import PASSWORD
from tests.integration.web.test_receivers import Desk
from tests.system.web.test_browser import shot


def test_a_receiver_is_tested_by_keyboard_and_its_answer_is_read_aloud(open_page, look):
    page = open_page("door", receivers=Desk())
    tab = look(f"{page.url}/#/notifications", width=360, height=740)
    tab.get_by_role("heading", name="ntfy phone").wait_for()
    row = tab.get_by_role("region", name="ntfy phone")
    assert row.get_by_text("2 messages waiting").count() == 1
    row.get_by_role("button", name="Send a test to ntfy phone").focus()
    tab.keyboard.press("Enter")
    row.get_by_role("status").get_by_text("It arrived: it answered 200.").wait_for()
    shot(tab, "notifications-phone")
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    tab.set_viewport_size({"width": 900, "height": 420})
    time.sleep(3.1)  # between two tests
    tab.get_by_role("button", name="Send a test to mqtt").click()
    tab.get_by_text("It did not arrive: it cannot be reached.").wait_for()
    shot(tab, "notifications")


def test_the_link_of_a_notification_opens_its_event_also_after_the_log_in(open_page, look, tmp_path):
    with History(tmp_path / "events.db") as history:
        history.start(lambda announcement: None)
        at = time.time() - 30 * 86_400  # not in the list that the page loads
        old = Entry(
            id=new_id(at), camera="door", model="", label="wave", started=at, ended=at + 2, confidence=0.9
        )
        history.add(old)
        jpeg = cv2.imencode(".jpg", np.full((90, 160, 3), 200, np.uint8))[1].tobytes()
        history.pictures.keep(old.id, jpeg)
        assert history.drain(20)
        page = open_page("door", guarded=True, history=history)
        tab = look(f"{page.url}/#/events/{old.id}", allow="404")
        tab.get_by_label("Password").fill(PASSWORD)
        tab.keyboard.press("Enter")
        dialog = tab.get_by_role("dialog")
        dialog.get_by_role("heading", name="wave · door").wait_for()
        image = dialog.get_by_role("img", name="wave at door")
        image.wait_for()
        assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") == 160
        tab.keyboard.press("Escape")
        tab.goto(f"{page.url}/#/events/{new_id(at - 1)}")
        tab.get_by_text("This event is not in the history any more.").first.wait_for()

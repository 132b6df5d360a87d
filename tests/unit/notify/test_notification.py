"""What people get: short, with a link to the very event, and without anything that a name smuggles in."""

from __future__ import annotations

import json
from dataclasses import replace

from streamrec.notify.notification import extended, notification_of
from streamrec.notify.ntfy import header
from streamrec.outputs.history.records import Announcement, Entry, Kind
from streamrec.types import Forecast

EVENT = Entry(
    id="01a21858f5c0-b2f2cb5b",
    camera="door",
    model="fight",
    label="fight",
    started=1.0,
    confidence=0.957,
    zone="gate",
)


def body(kind: Kind = Kind.started, **changes) -> dict:
    return Announcement(kind, replace(EVENT, **changes)).to_dict()


def test_a_notification_says_what_where_and_how_sure():
    found = notification_of(body(), public_url="https://cameras.example.org/")
    assert found.title == "fight · door"
    assert found.text.endswith(" · 96 % · gate")
    assert found.link == "https://cameras.example.org/#/events/01a21858f5c0-b2f2cb5b"
    assert found.event == EVENT.id


def test_of_an_anomaly_it_says_the_reading_and_its_forecast():
    found = notification_of(body(label="anomaly", forecast=Forecast(0, 31.0, 60.21777), zone=None))
    assert found.text.endswith(" · 96 % · 31, forecast 60.22")


def test_the_video_follows_under_the_same_id():
    found = notification_of(body(Kind.evidence, ended=6.6))
    assert found.event == EVENT.id
    assert found.text.endswith("gate · 5.6 s · the video is there")


def test_without_an_address_of_the_page_there_is_no_link():
    assert notification_of(body()).link == ""


def test_what_was_held_back_is_summed_up_in_one_line():
    held = [body(camera="yard", label="fall"), body(), body()]
    assert notification_of(body(), held=held).text.split("\n")[1] == (
        "3 events held back before: fight · door 2 ×, fall · yard 1 ×"
    )
    many = [body(camera=f"camera {n}") for n in range(9)]
    assert "and 4 more kinds" in notification_of(body(), held=many).text


def test_names_control_nothing():
    evil = "door\r\nX-Email: me@example.org\x1b[2J\u202e"
    found = notification_of(body(camera=evil, label=evil, zone=evil), held=[body(camera=evil)])
    assert found.title.isprintable()
    assert all(line.isprintable() for line in found.text.split("\n"))
    assert len(found.text.split("\n")) == 2
    assert len(notification_of(body(camera="x" * 10_000)).title) == 150
    for text in (evil, found.title, "=?utf-8?q?evil?=", "ü"):
        assert header(text).isascii()
        assert header(text).isprintable()


def test_an_announcement_is_extended_only_where_that_is_asked_for():
    text = json.dumps(body())
    assert extended(text, "", None) is text
    found = json.loads(extended(text, "https://cameras.example.org", b"\xff\xd8"))
    assert found.pop("link") == "https://cameras.example.org/#/events/01a21858f5c0-b2f2cb5b"
    assert found.pop("picture") == {"type": "image/jpeg", "data": "/9g="}
    assert found == body()


def test_a_second_opinion_is_a_line_of_its_own_and_an_unjudged_event_says_so():
    found = notification_of(body(judgment="no", opinion="Two people hug.\x1b[2J"))
    assert found.text.split("\n")[1] == "Second opinion: no. Two people hug.\\x1b[2J"
    assert notification_of(body(judgment="unjudged", opinion="it answered 500")).text.endswith(
        "Second opinion: none. it answered 500"
    )
    assert "opinion" not in notification_of(body()).text

"""What one receiver is sent: so much an hour, nothing in quiet hours, and what follows goes where the first went."""

from __future__ import annotations

from datetime import datetime

import pytest

from streamrec.errors import SinkError
from streamrec.notify.limits import Handling, SendingLimits, Span

NOON = datetime(2026, 11, 30, 12, 0).timestamp()
HOUR = 3600.0


def body(id: str, camera: str = "door", label: str = "fight") -> dict:
    return {"data": {"id": id, "camera": camera, "label": label}}


def limits(in_all: int = 0, per_camera: int = 0, **more) -> SendingLimits:
    return SendingLimits(in_all=in_all, per_camera=per_camera, **more)


def go(one: SendingLimits, what: dict, now: float) -> Handling:
    """What becomes of it, and that it is done."""
    handling = one.decide(what, now)
    if handling is Handling.send:
        one.sent(what, now)
    elif handling is Handling.hold:
        one.held(what)
    return handling


def test_a_camera_that_has_had_its_share_is_held_back_and_others_are_not():
    one = limits(in_all=5, per_camera=2)
    found = [go(one, body(f"{n}"), NOON + n) for n in range(3)]
    assert found == [Handling.send, Handling.send, Handling.hold]
    assert go(one, body("yard", "yard"), NOON + 3) is Handling.send


def test_all_cameras_together_have_a_limit_of_their_own():
    one = limits(in_all=2)
    found = [go(one, body(f"{n}", f"camera {n}"), NOON) for n in range(3)]
    assert found == [Handling.send, Handling.send, Handling.hold]


def test_after_an_hour_there_is_room_again():
    one = limits(per_camera=1)
    assert go(one, body("1"), NOON) is Handling.send
    assert go(one, body("2"), NOON + HOUR - 1) is Handling.hold
    assert go(one, body("3"), NOON + HOUR) is Handling.send


def test_a_clock_that_is_set_back_holds_nothing_back_for_ever():
    one = limits(per_camera=1)
    go(one, body("1"), NOON)
    assert go(one, body("2"), NOON - 24 * HOUR) is Handling.send


def test_what_follows_goes_where_the_first_went_and_does_not_count():
    one = limits(per_camera=2)
    for _ in range(3):  # it starts, it ends, its video is there
        assert go(one, body("1"), NOON) is Handling.send
    go(one, body("2"), NOON)
    assert go(one, body("3"), NOON) is Handling.hold
    assert go(one, body("3"), NOON + 2 * HOUR) is Handling.drop


def test_an_attempt_that_failed_does_not_count():
    one = limits(per_camera=1)
    assert one.decide(body("1"), NOON) is Handling.send  # and did not arrive
    assert go(one, body("2"), NOON) is Handling.send


def test_what_an_earlier_process_held_back_is_known():
    one = limits()
    one.resume([body("1")])
    assert one.decide(body("1"), NOON) is Handling.drop


def test_quiet_hours_hold_back_all_but_the_labels_that_may_wake_people():
    one = limits(quiet=("22:00-07:00", "11:30-12:30"), quiet_except=("fall",))
    assert go(one, body("1"), NOON) is Handling.hold
    assert go(one, body("2", label="fall"), NOON) is Handling.send
    assert go(one, body("3"), NOON + HOUR) is Handling.send
    assert go(one, body("4"), NOON + 11 * HOUR) is Handling.hold
    assert go(one, body("1"), NOON + HOUR) is Handling.drop


@pytest.mark.parametrize("text", ["22-7", "25:00-07:00", "22:00-22:00", "night", "22:00"])
def test_hours_that_are_none_are_refused(text):
    with pytest.raises(SinkError, match=r"quiet: .*22:00-07:00"):
        Span.of(text)

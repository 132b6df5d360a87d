"""Pictures of events: kept beside their event, small, for a while, and never waited for in vain."""

from __future__ import annotations

import threading
import time
from dataclasses import fields

import pytest

from streamrec.notify.pictures import MOST_BYTES, PictureMaker, encoded
from streamrec.notify.receivers import is_ready
from streamrec.outputs.history.pictures import PICTURE_DAYS, prune
from streamrec.outputs.history.records import RemoteResult
from streamrec.outputs.history.store import History
from streamrec.settings.evidence import Privacy
from tests.integration.notify.test_ntfy import result, start


@pytest.fixture
def history(tmp_path):
    with History(tmp_path / "events.db", receivers=("phone",)) as one:
        yield one


def waiting_for(history: History, count: int) -> list:
    ends = time.monotonic() + 20
    while len(history.waiting("phone")) < count and time.monotonic() < ends:
        time.sleep(0.005)
    return history.waiting("phone")


def test_a_picture_is_small_whatever_the_frame_is():
    for size in ((480, 640), (2160, 3840), (9, 4000), (1, 1)):
        jpeg = encoded(result(1, size=size), Privacy.full)
        assert jpeg is not None
        assert len(jpeg) <= MOST_BYTES
    assert encoded(result(1), Privacy.none) is None
    assert encoded(result(1, size=(0, 0)), Privacy.full) is None
    here = result(1)
    remote = RemoteResult(**{field.name: getattr(here, field.name) for field in fields(here)})
    assert encoded(remote, Privacy.full) is None  # what another machine recognized has no pixels here


def test_a_message_waits_for_its_picture_and_for_no_other(history):
    made, may = threading.Event(), threading.Event()

    def privacy_of(camera: str) -> Privacy:
        may.wait(20)  # the thread is busy
        return Privacy.none if camera == "hall" else Privacy.full

    now = [time.time()]
    ready = is_ready(history, lambda: now[0])
    with PictureMaker(history.pictures, privacy_of, made=lambda entry, jpeg: made.set()) as maker:
        history.start(lambda announcement: None)
        for camera in ("door", "hall"):
            one = result(1, start(1), camera=camera)
            maker.write(one, history.note(one, "fight"))
        door, hall = waiting_for(history, 2)
        now[0] = door.made
        assert not ready(door)
        now[0] = door.made + 1.0
        assert ready(door)  # late is worse than without
        now[0] = door.made
        may.set()
        assert made.wait(20)
    assert ready(door)
    assert ready(hall)  # none comes
    assert history.pictures.get(door.event).startswith(b"\xff\xd8")
    assert history.pictures.get(hall.event) is None


def test_a_message_goes_with_its_picture_before_that_is_on_the_disk(history):
    hurried, written = threading.Event(), []
    (one,) = history.note(result(1, start(1)))
    with PictureMaker(
        history.pictures,
        lambda camera: Privacy.full,
        ready=hurried.set,
        made=lambda entry, jpeg: written.append(entry.id),
    ) as maker:
        maker.write(result(1, start(1)), (one,))
        assert hurried.wait(20)
        assert not history.pictures.is_awaited(one.entry.id) and not history.pictures.has(one.entry.id)
        jpeg = history.pictures.get(one.entry.id)
        history.start(lambda announcement: None)
        assert history.drain(20)
    assert jpeg.startswith(b"\xff\xd8") and history.pictures.get(one.entry.id) == jpeg
    assert history.pictures._unwritten == {} and written == [one.entry.id]


def test_what_a_receiver_does_not_want_is_not_queued(history):
    history.only("phone", lambda body: body["data"]["label"] == "fall")
    history.record(result(1, start(1)))
    history.record(result(2, start(2, "fall")))
    assert [message.kind for message in history.waiting("phone")] == ["started"]
    assert "fall" in history.waiting("phone")[0].body


def test_where_no_pictures_are_made_no_message_waits(history):
    history.record(result(1, start(1)))
    (message,) = history.waiting("phone")
    assert is_ready(history, lambda: message.made)(message)


def test_pictures_go_when_they_are_old_unless_a_message_needs_them(history):
    history.start(lambda announcement: None)
    (needed,) = history.note(result(1, start(1)))
    (old,) = history.note(result(2, start(2, "fall")))
    for one in (needed, old):
        history.pictures.keep(one.entry.id, b"jpeg")
    history.pictures.keep("000000000000-00000000", b"of no event")
    assert history.drain(20)
    for message in history.waiting("phone"):
        if message.event == old.entry.id:
            history.arrived(message)
    assert not history.pictures.has("000000000000-00000000")
    history.transact(lambda connection: prune(connection, time.time() - PICTURE_DAYS * 86_400))
    assert history.pictures.has(old.entry.id)
    history.transact(lambda connection: prune(connection, time.time() + 60))
    assert history.pictures.has(needed.entry.id)
    assert not history.pictures.has(old.entry.id)


def test_a_busy_machine_goes_without_a_picture_and_says_so(history):
    may, said = threading.Event(), []

    def privacy_of(camera: str) -> Privacy:
        may.wait(20)
        return Privacy.full

    with PictureMaker(history.pictures, privacy_of, warn=said.append) as maker:
        history.start(lambda announcement: None)
        for n in range(40):
            one = result(n, start(n, f"label {n}"), size=(2, 2))
            maker.write(one, history.note(one, "fight"))
        may.set()
    assert said and "notifications go without" in said[0]
    assert history.drain(20)
    assert not any(history.pictures.is_awaited(message.event) for message in history.waiting("phone"))
    assert sum(history.pictures.has(message.event) for message in history.waiting("phone")) < 40

"""The history of events: what was announced is on the disk, whatever happens to the process that wrote it."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from streamrec.commands.event_list import moment_of
from streamrec.core.clock_jumps import DAY, TrustedClock
from streamrec.errors import HistoryError
from streamrec.outputs.history import store as rooms
from streamrec.outputs.history.records import Entry, Kind, iso, new_id
from streamrec.outputs.history.store import History
from streamrec.types import ActionEnded, ActionStarted, Frame, Prediction, Result
from tests.helpers.paths import ROOT

NOON = 1_780_000_000.0


def result_of(timestamp=0.0, *events, camera="door", segment=0) -> Result:
    frame = Frame(np.zeros((2, 2, 3), np.uint8), 0, timestamp, segment, camera)
    return Result(frame, Prediction("", 0.0, np.zeros(0, np.float32), timestamp), events)


def entry_of(started, *, camera="door", label="fight", ended=None, **more) -> Entry:
    return Entry(
        id=new_id(started),
        camera=camera,
        model="m",
        label=label,
        started=started,
        ended=ended,
        confidence=0.9,
        **more,
    )


@pytest.fixture
def history(tmp_path):
    with History(tmp_path / "events.db", receivers=("hook",), clock=lambda: NOON) as opened:
        yield opened


class TestRecord:
    def test_an_event_is_a_row_from_its_start_and_complete_at_its_end(self, history):
        (started,) = history.record(result_of(5.3, ActionStarted("fight", 5.0, 0.7)), "fight")
        assert (started.kind, started.entry.ended, started.entry.timestamp) == (Kind.started, None, 5.0)
        assert started.entry.started == pytest.approx(NOON - 0.3)
        assert history.query() == [started.entry]
        (ended,) = history.record(result_of(8.0, ActionEnded("fight", 7.5, 5.0, 0.95, repetitions=3)))
        assert ended.entry == history.get(started.entry.id)
        assert ended.entry.id == started.entry.id
        assert ended.entry.duration == pytest.approx(2.5)
        assert (ended.entry.confidence, ended.entry.repetitions) == (0.95, 3)
        assert ended.entry.model == "fight"

    def test_each_camera_and_each_label_has_its_own(self, history):
        history.record(result_of(1.0, ActionStarted("fight", 1.0, 0.7), ActionStarted("fall", 1.0, 0.6)))
        history.record(result_of(9.0, ActionStarted("fight", 9.0, 0.8), camera="yard"))
        history.record(result_of(2.0, ActionEnded("fall", 2.0, 1.0, 0.9)))
        runs = {(e.camera, e.label) for e in history.query() if e.ended is None}
        assert runs == {("door", "fight"), ("yard", "fight")}

    def test_an_end_whose_start_was_never_told_is_a_whole_event(self, history):
        history.record(result_of(8.0, ActionEnded("fight", 7.5, 5.0, 0.95)))
        (entry,) = history.query()
        assert (entry.started, entry.duration) == (pytest.approx(NOON - 3.0), pytest.approx(2.5))

    def test_the_end_in_an_older_segment_is_counted_from_its_own_start(self, history):
        history.record(result_of(100.0, ActionStarted("fight", 100.0, 0.7)))
        history.record(result_of(0.1, ActionEnded("fight", 104.0, 100.0, 0.9), segment=1))
        assert history.query()[0].duration == pytest.approx(4.0)

    def test_a_film_that_is_read_quickly_has_its_events_in_its_own_order_and_distance(self, history):
        for event in (
            ActionStarted("fight", 5.0, 0.7),
            ActionStarted("fall", 60.0, 0.7),
            ActionEnded("fight", 65.0, 5.0, 0.9),
        ):
            history.record(result_of(event.timestamp, event), live=False)
        fall, fight = history.query()
        assert (fight.label, fall.started - fight.started) == ("fight", pytest.approx(55.0))
        assert fight.started == pytest.approx(NOON)  # its first picture is at 5 s

    def test_what_is_told_is_what_a_reader_sees_at_that_moment(self, history):
        with History(history.path, read_only=True) as reader:
            for n in range(20):
                for announced in history.record(result_of(n, ActionStarted(f"label {n}", n, 0.7))):
                    assert reader.get(announced.entry.id) == announced.entry

    def test_what_still_runs_when_it_closes_has_ended_as_interrupted(self, tmp_path):
        now = [NOON]
        with History(tmp_path / "events.db", receivers=("hook",), clock=lambda: now[0]) as history:
            history.record(result_of(0.0, ActionStarted("fight", 0.0, 0.7)))
            now[0] += 4.0
            history.record(result_of(4.0))
            history._beaten = 0.0
            history.record(result_of(4.0))
        with History(tmp_path / "events.db", read_only=True) as history:
            (entry,) = history.query()
            assert (entry.interrupted, entry.duration) == (True, pytest.approx(4.0))
            assert [message.kind for message in history.waiting("hook")] == ["started", "ended"]

    def test_many_threads_write_and_read_at_once(self, history):
        errors = []

        def work(camera):
            try:
                for n in range(20):
                    history.record(result_of(n, ActionStarted("fight", n, 0.7), camera=camera))
                    history.query(camera=camera, limit=5)
                    history.record(result_of(n + 0.5, ActionEnded("fight", n + 0.5, n, 0.8), camera=camera))
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=work, args=(f"camera {n}",)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert errors == []
        assert history.count() == 120
        assert all(entry.duration == pytest.approx(0.5) for entry in history.pages())

    def test_evidence_is_attached_and_stays_when_the_event_ends(self, history):
        (started,) = history.record(result_of(0.0, ActionStarted("fight", 0.0, 0.7)))
        told = history.attach(started.entry.id, clip="a.mp4", clip_started=NOON - 5, thumbnail="a.jpg")
        assert told.kind is Kind.evidence
        (ended,) = history.record(result_of(3.0, ActionEnded("fight", 3.0, 0.0, 0.8)))
        assert (ended.entry.clip, ended.entry.clip_started, ended.entry.thumbnail) == (
            "a.mp4",
            NOON - 5,
            "a.jpg",
        )
        history.forget_files(["a.mp4"])
        assert (history.query()[0].clip, history.query()[0].thumbnail) == (None, "a.jpg")
        assert history.attach("nonsense", clip="b.mp4") is None


class TestQuery:
    @pytest.fixture
    def full(self, history):
        for n in range(10):
            for camera in ("door", "yard"):
                history.add(
                    entry_of(NOON + n, camera=camera, ended=NOON + n + 0.5, label=("fight", "fall")[n % 2])
                )
        return history

    def test_the_newest_come_first_and_pages_meet_without_gap_or_overlap(self, full):
        everything = list(full.pages(size=3))
        assert len(everything) == 20 == len({entry.id for entry in everything})
        assert [e.started for e in everything] == sorted((e.started for e in everything), reverse=True)
        assert everything == full.query()

    def test_conditions_hold_together(self, full):
        found = full.query(since=NOON + 2.2, until=NOON + 6.0, camera="door", label=["fall", "other"])
        assert [entry.started - NOON for entry in found] == [5.0, 3.0]
        assert full.count(camera="door", label="fight") == 5

    def test_what_touches_the_time_is_in_it(self, history):
        long = entry_of(NOON - 100, ended=NOON + 100)
        runs = entry_of(NOON - 200)
        history.add(long)
        history.add(runs)
        assert history.query(since=NOON, until=NOON + 1) == [long, runs]
        assert history.query(until=NOON - 150) == [runs]

    def test_cameras_and_labels_are_listed(self, full):
        assert (full.cameras(), full.labels()) == (["door", "yard"], ["fall", "fight"])

    def test_changes_are_followed_by_their_number(self, history):
        assert history.changes() == ([], 0)
        _, number = history.changes()
        (started,) = history.record(result_of(0.0, ActionStarted("fight", 0.0, 0.7)))
        entries, number = history.changes(number)
        assert entries == [started.entry]
        assert history.changes(number) == ([], number)
        history.attach(started.entry.id, thumbnail="a.jpg")
        entries, _ = history.changes(number)
        assert [entry.thumbnail for entry in entries] == ["a.jpg"]

    def test_ten_thousand_events_are_found_quickly_enough_for_a_page(self, tmp_path):
        with History(tmp_path / "events.db") as history:
            for n in range(10_000):
                history._queue_up((Kind.ended, entry_of(NOON + n, ended=NOON + n + 1)))
            history.tick()
            assert history.count() == 10_000
            steps = itertools.count()  # of a hundred instructions of SQLite
            history._database.reader.set_progress_handler(lambda: next(steps) and None, 100)
            assert len(history.query(camera="door", since=NOON + 5_000, limit=100)) == 100
            assert 0 < next(steps) < 500  # a scan of all takes more


class TestOutbox:
    def test_each_announcement_waits_for_each_receiver_until_it_has_arrived(self, history):
        history.record(result_of(0.0, ActionStarted("fight", 0.0, 0.7)))
        history.record(result_of(2.0, ActionEnded("fight", 2.0, 0.0, 0.7)))
        first, second = history.waiting("hook")
        assert [first.kind, second.kind] == ["started", "ended"]
        assert json.loads(first.body)["data"]["ended"] is None  # as it was then
        assert json.loads(second.body)["data"]["duration"] == 2.0
        assert first.id == json.loads(first.body)["id"] != second.id
        history.postpone(first, 30.0)
        again = history.waiting("hook")[0]
        assert (again.attempts, again.due, again.id) == (1, NOON + 30.0, first.id)
        history.arrived(again)
        assert [message.kind for message in history.waiting("hook")] == ["ended"]
        assert history.waiting("other") == []

    def test_it_survives_a_restart(self, tmp_path):
        with History(tmp_path / "events.db", receivers=("hook",)) as history:
            history.record(result_of(0.0, ActionStarted("fight", 0.0, 0.7)))
        with History(tmp_path / "events.db", receivers=("hook",)) as history:
            assert [message.kind for message in history.waiting("hook")] == ["started", "ended"]


class TestTrouble:
    def test_a_damaged_file_is_told_in_a_sentence(self, tmp_path):
        path = tmp_path / "events.db"
        path.write_bytes(b"no database at all" * 1000)
        for read_only in (False, True):
            with pytest.raises(HistoryError, match=r"events\.db is damaged.*move it away"):
                History(path, read_only=read_only)

    def test_damage_in_the_middle_is_told_when_it_is_met(self, tmp_path):
        path = tmp_path / "events.db"
        with History(path) as history:
            for n in range(2000):
                history._queue_up((Kind.ended, entry_of(NOON + n, ended=NOON + n)))
            history.tick()
        data = bytearray(path.read_bytes())
        data[4096 * 3 :] = os.urandom(len(data) - 4096 * 3)
        path.write_bytes(data)
        with pytest.raises(HistoryError, match="is damaged"), History(path, read_only=True) as history:
            list(history.pages())

    def test_a_newer_file_is_refused_and_left_as_it_is(self, tmp_path):
        path = tmp_path / "events.db"
        History(path).close()
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA user_version = 99")
        connection.close()
        before = path.read_bytes()
        with pytest.raises(HistoryError, match=r"written by a newer streamrec .*layout is 99.*upgrade"):
            History(path)
        assert path.read_bytes() == before

    def test_another_programs_file_is_not_written_into(self, tmp_path):
        path = tmp_path / "events.db"
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE mine (x)")
        connection.close()
        with pytest.raises(HistoryError, match="is no history of streamrec's"):
            History(path)

    @pytest.mark.parametrize(
        ("name", "says"),
        [
            ("nowhere/events.db", "nowhere does not exist; create it first"),
            (".", "it is a folder; name a file"),
        ],
    )
    def test_a_place_that_cannot_be_is_told(self, tmp_path, name, says):
        with pytest.raises(HistoryError, match=says):
            History(tmp_path / name)
        with pytest.raises(HistoryError, match="there is no history at"):
            History(tmp_path / "nothing.db", read_only=True)

    @pytest.mark.parametrize("first", ["events.db", "link.db"])
    def test_two_writers_are_one_too_many_by_whatever_name(self, tmp_path, first):
        (tmp_path / "there").mkdir()
        (tmp_path / "link.db").symlink_to(tmp_path / "events.db")
        (tmp_path / "there" / "far.db").symlink_to("../link.db")
        History(tmp_path / "events.db").close()
        with History(tmp_path / first):
            for name in ("events.db", "link.db", "there/far.db", "there/../events.db"):
                with pytest.raises(HistoryError, match="another streamrec writes to"):
                    History(tmp_path / name)

    def test_two_writers_are_one_too_many(self, tmp_path):
        path = tmp_path / "events.db"
        with History(path):
            with pytest.raises(HistoryError, match="another streamrec writes to"):
                History(path)
            History(path, read_only=True).close()
        History(path).close()

    def test_a_full_disk_is_told_and_what_happened_meanwhile_is_written_later(self, history):
        history.record(result_of(0.0, ActionStarted("fight", 0.0, 0.7)))
        history._database.writer.execute("PRAGMA max_page_count = 1")  # what a full disk looks like to SQLite
        long = "x" * 50_000
        with pytest.raises(HistoryError, match="the disk is full"):
            history.record(result_of(1.0, ActionStarted(long, 1.0, 0.7)))
        assert history.tick() == ()  # not tried again at once
        history._database.writer.execute("PRAGMA max_page_count = 1000000")
        history._failed = 0.0
        told = history.tick()
        assert [one.entry.label for one in told] == [long]
        assert {entry.label for entry in history.query()} == {"fight", long}

    def test_what_is_closed_says_so(self, tmp_path):
        history = History(tmp_path / "events.db")
        history.close()
        history.close()
        with pytest.raises(HistoryError, match="closed"):
            history.query()
        with pytest.raises(HistoryError, match="closed"):
            history.add(entry_of(NOON))

    def test_old_events_go_and_what_runs_stays(self, tmp_path):
        path = tmp_path / "events.db"
        with History(path) as history:
            history.add(entry_of(NOON - 100 * 86400, ended=NOON - 100 * 86400 + 1))
            history.add(entry_of(NOON - 80 * 86400, ended=NOON - 80 * 86400 + 1))
        with History(path, keep_days=90, clock=lambda: NOON) as history:
            assert [entry.started for entry in history.query()] == [NOON - 80 * 86400]


@contextlib.contextmanager
def locked(path: Path):
    """Another program holds the file, and lets nobody else write."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None, timeout=30.0)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


def wait_for(done, seconds: float = 60.0) -> None:
    ends = time.monotonic() + seconds
    while not done() and time.monotonic() < ends:
        time.sleep(0.01)
    assert done()


class Threaded:
    """A history that writes in its thread, and what it says."""

    def __init__(self, path: Path, **settings) -> None:
        self.told, self.committed, self.unkept = [], [], []
        self.history = History(path, receivers=("hook",), log=self.told.append, **settings)
        self.history.start(self.committed.append, unkept=self.unkept.append)

    def happen(self, n: float, label: str = "fight") -> None:
        self.history.note(result_of(n, ActionStarted(label, n, 0.7)))
        self.history.note(result_of(n + 0.5, ActionEnded(label, n + 0.5, n, 0.9)))


@pytest.fixture
def threaded(tmp_path, monkeypatch):
    monkeypatch.setattr(rooms, "_RETRY_SECONDS", 0.05)
    made = []

    def make(path: Path = tmp_path / "events.db", **settings) -> Threaded:
        made.append(Threaded(path, **settings))
        return made[-1]

    yield make
    for one in made:
        one.history.close(5.0)


class TestThread:
    def test_it_is_committed_before_it_is_said_to_be(self, threaded, tmp_path):
        one = threaded()
        kept = []
        one.history._on_committed = lambda told: kept.append(reader.get(told.entry.id) == told.entry)
        with History(tmp_path / "events.db", read_only=True) as reader:
            for n in range(20):
                one.history.note(result_of(n, ActionStarted(f"label {n}", n, 0.7)))
                wait_for(lambda n=n: len(kept) == n + 1)
            one.history._on_committed = one.committed.append
        assert kept == [True] * 20

    def test_nothing_waits_for_a_file_that_another_program_holds(self, threaded, monkeypatch):
        monkeypatch.setattr(rooms, "_STUCK_SECONDS", 0.0)
        one = threaded()
        connects = one.history._database.writer
        connects.execute("PRAGMA busy_timeout = 50")
        with locked(one.history.path):
            for n in range(50):
                one.happen(n)  # would take seconds each, if it waited
            clip = one.history.attach("nothing", clip="a.mp4")
            wait_for(lambda: one.told)
            assert one.committed == [] and clip is None
            assert one.history.behind >= 100
            assert one.history.stuck > 0.0 and "could not be written for" in one.history.trouble
        wait_for(lambda: len(one.committed) == 100)
        assert [told.kind for told in one.committed] == [Kind.started, Kind.ended] * 50
        wait_for(lambda: len(one.told) == 2)
        assert "another program holds it; what happens waits in memory" in one.told[0]
        assert "is written again" in one.told[1]
        assert one.history.trouble == "" and one.history.lost == 0
        assert one.history.count() == 50

    def test_of_too_much_the_oldest_is_kept_and_the_rest_is_counted(self, threaded, monkeypatch):
        monkeypatch.setattr(rooms, "_MOST_PENDING", 6)
        one = threaded()
        one.history._database.writer.execute("PRAGMA busy_timeout = 10")
        with locked(one.history.path):
            for n in range(10):
                one.happen(n, label=f"{n}")
            assert len(one.unkept) == 14  # those that began when there was no room, and their ends
            wait_for(lambda: one.told)
        wait_for(lambda: len(one.committed) == 6)
        wait_for(lambda: any("7 events that were too many are not in it" in told for told in one.told))
        assert one.history.lost == 7
        assert sorted(entry.label for entry in one.history.query()) == ["0", "1", "2"]

    def test_an_event_that_began_when_there_was_no_room_is_kept_whole_when_there_is(
        self, threaded, monkeypatch
    ):
        monkeypatch.setattr(rooms, "_MOST_PENDING", 1)
        one = threaded()
        one.history._database.writer.execute("PRAGMA busy_timeout = 10")
        with locked(one.history.path):
            one.history.note(result_of(0.0, ActionStarted("first", 0.0, 0.7)))
            one.history.note(result_of(1.0, ActionStarted("second", 1.0, 0.7)))
        wait_for(lambda: len(one.committed) == 1)
        one.history.note(result_of(3.0, ActionEnded("second", 3.0, 1.0, 0.9)))
        wait_for(lambda: len(one.committed) == 2)
        entry = one.history.query(label="second")[0]
        assert (entry.duration, one.history.lost) == (pytest.approx(2.0), 0)

    def test_what_cannot_be_written_before_the_end_is_told_by_name(self, threaded):
        one = threaded()
        one.history._database.writer.execute("PRAGMA busy_timeout = 10")
        with locked(one.history.path):
            one.happen(1.0)
            one.history.close(0.3)  # while it is still locked
        assert re.search(r"could not be written: 1 event is lost: fight of door at 20", one.told[-1])

    def test_what_no_file_takes_does_not_hold_up_the_rest(self, threaded):
        one = threaded()
        one.happen(1.0, label="before")
        one.history.note(result_of(2.0, ActionStarted("bad", 2.0, 0.7)))
        one.history._queue_up((Kind.ended, replace(entry_of(NOON, ended=NOON + 1), model=None)))  # NOT NULL
        one.happen(3.0, label="after")
        wait_for(lambda: len(one.committed) == 5)
        assert any("cannot be kept" in told for told in one.told)
        assert len(one.unkept) == 1

    def test_a_name_that_is_not_utf_8_is_kept_with_its_escapes(self, threaded):
        one = threaded()
        one.history.note(result_of(1.0, ActionStarted("fight", 1.0, 0.7), camera="caf\udce9.mp4"))
        wait_for(lambda: one.committed)
        assert one.history.query()[0].camera == "caf\\udce9.mp4"
        assert one.committed[0].entry.camera == "caf\udce9.mp4"  # as everybody else calls it
        assert one.history.waiting("hook")


class TestAnotherFile:
    """The file is deleted, moved away or replaced while it is written."""

    def test_a_deleted_file_is_begun_anew_and_what_happens_goes_there(self, threaded):
        one = threaded()
        one.happen(1.0)
        one.history.note(result_of(2.0, ActionStarted("runs", 2.0, 0.7)))
        wait_for(lambda: len(one.committed) == 3)
        _, number = one.history.changes()
        for path in one.history.path.parent.glob("events.db*"):
            path.unlink()
        wait_for(lambda: one.told)  # although nothing happens
        assert "was deleted or moved away: a new history is begun there" in one.told[0]
        one.happen(5.0, label="new")
        one.history.note(result_of(6.0, ActionEnded("runs", 6.0, 2.0, 0.9)))
        wait_for(lambda: len(one.committed) == 6)
        with contextlib.closing(sqlite3.connect(one.history.path)) as there:
            rows = there.execute("SELECT label, ended - started FROM event ORDER BY label").fetchall()
        assert rows == [("new", pytest.approx(0.5)), ("runs", pytest.approx(4.0))]
        assert {entry.label for entry in one.history.changes(number)[0]} == {
            "new",
            "runs",
        }  # who follows goes on
        assert len(one.history.waiting("hook")) == 6  # what had not arrived yet went along
        assert len(one.told) == 1

    @pytest.mark.parametrize("how", ["renamed", "restored", "folder"])
    def test_another_file_in_its_place_is_told_and_gone_on_with(self, threaded, tmp_path, how):
        folder = tmp_path / "kept"
        folder.mkdir()
        one = threaded(folder / "events.db")
        one.happen(1.0)
        wait_for(lambda: len(one.committed) == 2)
        one.history.drain(5.0)
        if how == "renamed":
            one.history.path.rename(folder / "old.db")
        elif how == "restored":
            backup = tmp_path / "backup.db"
            with contextlib.closing(sqlite3.connect(one.history.path)) as there:
                there.execute("VACUUM INTO ?", (str(backup),))
            backup.replace(one.history.path)
        else:
            folder.rename(tmp_path / "unmounted")
            wait_for(lambda: one.told)
            assert "kept does not exist" in one.told[0]
            one.happen(3.0, label="meanwhile")
            folder.mkdir()
        wait_for(lambda: any("from now on" in told for told in one.told))
        one.happen(5.0, label="new")
        wait_for(lambda: any(told.entry.label == "new" and told.kind is Kind.ended for told in one.committed))
        labels = {entry.label for entry in one.history.query()}
        assert (
            labels == {"renamed": {"new"}, "restored": {"new", "fight"}, "folder": {"new", "meanwhile"}}[how]
        )
        if how == "renamed":  # what SQLite had in its log alone went with the file
            with History(folder / "old.db", read_only=True) as old:
                assert [entry.label for entry in old.query()] == ["fight"]
        assert one.history.trouble == ""

    def test_a_reader_follows_to_the_new_file(self, threaded):
        one = threaded()
        one.happen(1.0)
        wait_for(lambda: len(one.committed) == 2)
        with History(one.history.path, read_only=True) as reader:
            assert reader.count() == 1
            one.history.path.unlink()
            wait_for(lambda: one.told)
            one.happen(5.0, label="new")
            wait_for(lambda: len(one.committed) == 4)
            assert [entry.label for entry in reader.query()] == ["new"]


DAMAGE = {
    "no counter": "DELETE FROM counter",
    "two counters": "INSERT INTO counter VALUES (1)",
    "a counter that is a word": "UPDATE counter SET change = 'x'",
    "no table of the counter": "DROP TABLE counter",
    "no outbox": "DROP TABLE outbox",
    "no table of the time": "DROP TABLE believed",
    "no index": "DROP INDEX event_by_change",
    "no column": "ALTER TABLE event DROP COLUMN thumbnail",
    "no mark": "PRAGMA application_id = 0; PRAGMA user_version = 0",
    "a row that is no event": "INSERT INTO event (id, camera, model, label, started, seen, confidence, change) "
    "VALUES ('x', 'door', 'm', 'fight', 'yesterday', 0, 0.5, 1)",
    "a row of another age": "UPDATE event SET ended = 1e300",
}


class TestMending:
    @pytest.mark.parametrize("damage", DAMAGE)
    def test_what_is_missing_is_made_again_and_said(self, tmp_path, damage):
        path, told = tmp_path / "events.db", []
        with History(path, receivers=("hook",)) as history:
            history.add(entry_of(NOON, ended=NOON + 1, label="kept"))
        with contextlib.closing(sqlite3.connect(path)) as there:
            there.executescript(DAMAGE[damage])
        with (
            contextlib.suppress(HistoryError),
            History(path, read_only=True) as reader,
        ):  # a sentence, or it reads
            reader.query()
            reader.changes()
        with History(path, receivers=("hook",), log=told.append) as history:
            _, number = history.changes()
            history.record(result_of(5.0, ActionStarted("fight", 5.0, 0.7)))
            entries, _ = history.changes(number)
            assert [entry.label for entry in entries] == ["fight"]
            assert {entry.label for entry in history.query()} >= {"fight"}
            assert history.waiting("hook")
        if damage not in ("no mark", "no table of the time", "no index"):
            assert len(told) == 1 and ("was mended: it lacked" in told[0] or "left out" in told[0])
        again = []
        History(path, log=again.append).close()
        assert [one for one in again if "mended" in one] == []

    def test_a_file_of_an_earlier_version_is_read_and_written_without_a_word(self, tmp_path):
        path, logged = tmp_path / "events.db", []
        with History(path) as history:
            history.add(entry_of(NOON, ended=NOON + 1, label="kept"))
        with contextlib.closing(sqlite3.connect(path)) as there:
            for column in ("person", "box", "keypoints", "zone", "rule", "based_on"):
                there.execute(f"ALTER TABLE event DROP COLUMN {column}")
        with History(path, read_only=True) as reader:
            (kept,) = reader.query()
            assert (kept.zone, kept.rule, kept.based_on) == (None, None, ())
            assert (kept.person, kept.box, kept.keypoints) == (None, None, None)
            assert reader.changes(0)[0] == [kept]
        with History(path, log=logged.append) as history:
            history.record(
                result_of(5.0, ActionStarted("long", 5.0, 0.7, zone="mat", rule="long", based_on=("a", "b")))
            )
            found = history.query()[0]
            assert (found.zone, found.rule, found.based_on) == ("mat", "long", ("a", "b"))
        assert logged == []

    def test_a_counter_that_is_emptied_while_it_runs_is_counted_anew(self, history):
        history.record(result_of(1.0, ActionStarted("fight", 1.0, 0.7)))
        with contextlib.closing(sqlite3.connect(history.path)) as there, there:
            there.execute("DELETE FROM counter")
        history.record(result_of(2.0, ActionStarted("fall", 2.0, 0.7)))
        assert history.changes()[1] == 2

    def test_tables_that_cannot_be_mended_are_one_sentence(self, tmp_path):
        path = tmp_path / "events.db"
        History(path).close()
        with contextlib.closing(sqlite3.connect(path)) as there:
            there.executescript("DROP TABLE event; CREATE TABLE event (id TEXT)")
        with pytest.raises(HistoryError, match="its table event has no camera, label, started; move it away"):
            History(path)


class TestClock:
    """Nothing is deleted because a clock jumped."""

    def fill(self, path: Path) -> None:
        with History(path, clock=lambda: NOON) as history:
            for days in (100, 80, 1):
                history.add(entry_of(NOON - days * 86400, ended=NOON - days * 86400 + 1, label=f"{days}"))

    @pytest.mark.parametrize("days", [-4000, -400, 2, 30, 400, 40_000])
    def test_a_start_with_another_clock_deletes_nothing_and_says_so(self, tmp_path, days):
        path, told = tmp_path / "events.db", []
        self.fill(path)
        with History(path, keep_days=90, clock=lambda: NOON + days * 86400, log=told.append) as history:
            assert [entry.label for entry in history.query()] == (
                ["1", "80"] if days > 0 else ["1", "80", "100"]
            )
        assert len(told) == 1 and re.search(rf"the clock says .*, {abs(days)} days (after|before)", told[0])
        with History(
            path, keep_days=90, clock=lambda: NOON + 60, log=told.append
        ) as history:  # it is right again
            assert [entry.label for entry in history.query()] == ["1", "80"]
        assert len(told) == 1

    def test_a_message_is_not_given_up_for_a_clock_that_jumped(self, tmp_path):
        path = tmp_path / "events.db"
        with History(path, receivers=("hook",), clock=lambda: NOON) as history:
            history.add(entry_of(NOON, ended=NOON + 1))
        with History(path, receivers=("hook",), clock=lambda: NOON + 400 * 86400) as history:
            (message,) = history.waiting("hook")
            assert message.made >= history.oldest(3.0)

    def test_a_clock_that_runs_steadily_for_a_week_is_believed(self):
        now, ahead, run = [NOON], [400 * DAY], [0.0]
        trusted = TrustedClock(NOON, clock=lambda: now[0] + ahead[0], monotonic=lambda: run[0])
        for hour in range(7 * 24):
            assert trusted.check() == pytest.approx(NOON + hour * 3600)
            run[0] += 3600
            now[0] += 3600
        assert trusted.check() == pytest.approx(NOON + 407 * DAY)
        assert trusted.warning() == ""

    def test_a_clock_that_jumps_again_is_not(self):
        now, ahead, run = [NOON], [400 * DAY], [0.0]
        trusted = TrustedClock(NOON, clock=lambda: now[0] + ahead[0], monotonic=lambda: run[0])
        for hour in range(30 * 24):
            if hour % 24 == 0:
                ahead[0] += 3 * DAY
            assert trusted.check() == pytest.approx(NOON + hour * 3600)
            run[0] += 3600
            now[0] += 3600

    def test_a_clock_that_is_set_by_minutes_or_sleeps_for_hours_is_right(self):
        now, run = [NOON], [0.0]
        trusted = TrustedClock(NOON, clock=lambda: now[0], monotonic=lambda: run[0])
        for step in (
            300.0,
            -300.0,
            8 * 3600.0,
            -3600.0,
            20 * 3600.0,
        ):  # a suspended machine counts no seconds
            now[0] += step
            assert trusted.check() == now[0]
            assert not trusted.jumped


@pytest.mark.skipif(os.name != "posix", reason="other systems have other rights")
def test_the_file_and_what_is_beside_it_are_the_owners_alone(tmp_path):
    path, told = tmp_path / "events.db", []
    before = os.umask(0o022)
    try:
        with History(path, log=told.append) as history:
            history.add(entry_of(NOON))
            modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
    finally:
        os.umask(before)
    assert set(modes) == {"events.db", "events.db-wal", "events.db-shm", "events.db.lock"}
    assert set(modes.values()) == {0o600}
    assert told == []
    path.chmod(0o644)
    History(path, log=told.append).close()
    assert told == [f"{path} can be read by others than its owner; chmod 600 {path}"]
    assert path.stat().st_mode & 0o777 == 0o644  # somebody may have meant it


WRITER = """
import sys, numpy as np
from streamrec.outputs.history.store import History
from streamrec.types import ActionEnded, ActionStarted, Frame, Prediction, Result
history = History(sys.argv[1], receivers=("hook",))
said = Prediction("", 0.0, np.zeros(0, np.float32), 0.0)
for n in range(100_000):
    for event in (ActionStarted("fight", float(n), 0.7), ActionEnded("fight", n + 0.5, float(n), 0.9)):
        frame = Frame(np.zeros((2, 2, 3), np.uint8), n, event.timestamp, 0, "door")
        for told in history.record(Result(frame, said, (event,))):
            sys.stdout.write(told.id + "\\n")
            sys.stdout.flush()
"""


@pytest.mark.slow
def test_a_kill_at_any_moment_loses_no_event_that_was_announced(tmp_path):
    path, announced = tmp_path / "events.db", []
    chance = random.Random(5)
    for _ in range(8):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        announced.append(process.stdout.readline().strip())  # it runs
        time.sleep(chance.uniform(0.0, 0.3))
        process.send_signal(signal.SIGKILL)
        announced += [line.strip() for line in process.stdout if line.endswith("\n")]
        process.stdout.close()
        process.wait(60.0)
    with History(path, receivers=("hook",)) as history:
        kept = {entry.id: entry for entry in history.pages()}
        waiting = {message.id for message in history.waiting("hook", limit=10**9)}
        assert len(announced) > 16
        for one in filter(None, announced):
            id, _, kind = one.rpartition("-")
            assert id in kept
            assert kind == "started" or kept[id].ended is not None
            assert one in waiting
        assert all(entry.ended is not None for entry in kept.values())
        assert sum(entry.interrupted for entry in kept.values()) <= 8
        assert {f"{id}-ended" for id in kept} <= waiting  # also of those that the kill left open


def test_an_event_that_a_kill_left_open_is_ended_at_the_last_time_known(tmp_path):
    path = tmp_path / "events.db"
    now = [NOON]
    history = History(path, clock=lambda: now[0])
    history.record(result_of(0.0, ActionStarted("fight", 0.0, 0.7)))
    for seconds in (3.0, 6.0):
        now[0] = NOON + seconds
        history._beaten = 0.0
        history.record(result_of(seconds))
    history._database.close()  # as a kill does
    with History(path, clock=lambda: NOON + 1000) as history:
        (told,) = history.recovered
        assert (told.kind, told.entry.interrupted) == (Kind.ended, True)
        assert told.entry.ended == NOON + 6.0
        assert history.query() == [told.entry]


def test_times_are_said_as_a_person_says_them():
    assert moment_of("90m", NOON) == NOON - 5400
    assert moment_of("1.5h", NOON) == NOON - 5400
    assert moment_of("2026-11-26T14:30:00+00:00", 0.0) == 1795703400.0
    assert iso(1795703400.1234) == "2026-11-26T14:30:00.123+00:00"
    for nonsense in ("yesterday", "", "2 parsecs", "2026-13-01"):
        with pytest.raises(HistoryError, match="is no time; write 30m"):
            moment_of(nonsense, NOON)

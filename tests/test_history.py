"""The history of events: what was announced is on the disk, whatever happens to the process that wrote it."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from streamrec.errors import HistoryError
from streamrec.history import Entry, History, Kind, iso, moment_of, new_id
from streamrec.types import ActionEnded, ActionStarted, Frame, Prediction, Result

ROOT = Path(__file__).parents[1]
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
            history._pending.extend(
                (Kind.ended, entry_of(NOON + n, ended=NOON + n + 1)) for n in range(10_000)
            )
            history.tick()
            assert history.count() == 10_000
            begun = time.monotonic()
            assert len(history.query(camera="door", since=NOON + 5_000, limit=100)) == 100
            assert time.monotonic() - begun < 2.0  # a scan of all would take longer, a slow machine would not


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
            history._pending.extend((Kind.ended, entry_of(NOON + n, ended=NOON + n)) for n in range(2000))
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

    def test_two_writers_are_one_too_many(self, tmp_path):
        path = tmp_path / "events.db"
        with History(path):
            with pytest.raises(HistoryError, match="another streamrec writes to"):
                History(path)
            History(path, read_only=True).close()
        History(path).close()

    def test_a_full_disk_is_told_and_what_happened_meanwhile_is_written_later(self, history):
        history.record(result_of(0.0, ActionStarted("fight", 0.0, 0.7)))
        history._writer.execute("PRAGMA max_page_count = 1")  # what a full disk looks like to SQLite
        long = "x" * 50_000
        with pytest.raises(HistoryError, match="the disk is full"):
            history.record(result_of(1.0, ActionStarted(long, 1.0, 0.7)))
        assert history.tick() == ()  # not tried again at once
        history._writer.execute("PRAGMA max_page_count = 1000000")
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


WRITER = """
import sys, numpy as np
from streamrec.history import History
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
        process.wait(10)
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
    history._let_go()  # as a kill does
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

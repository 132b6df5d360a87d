"""Several changes in one transaction, and events that go on when the writing process ends."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

from streamrec.outputs.history.records import Entry
from streamrec.outputs.history.store import History


def entry(id: str, **more) -> Entry:
    return Entry(id=id, camera="door", model="fight", label="fight", started=1.0, confidence=0.9, **more)


def test_what_is_noted_in_a_block_is_written_with_it_or_not_at_all(tmp_path: Path):
    path = tmp_path / "events.db"
    with History(path) as history:
        history.start(lambda one: None)
        done = threading.Event()

        def run(connection: sqlite3.Connection) -> tuple:
            (count,) = connection.execute("SELECT count(*) FROM event").fetchone()
            assert connection.in_transaction and count == 2
            with sqlite3.connect(path) as other:  # from outside nothing is seen yet
                assert other.execute("SELECT count(*) FROM event").fetchone() == (0,)
            return ()

        with history.together(run, done.set):
            history.add(entry("1"))
            history.add(entry("2"))
        assert done.wait(60.0)
        assert [one.id for one in history.query()] == ["2", "1"]


def test_one_event_that_no_file_takes_does_not_keep_the_others_out(tmp_path: Path):
    log: list[str] = []
    with History(tmp_path / "events.db", log=log.append) as history:
        history.start(lambda one: None)
        done = threading.Event()
        with history.together(lambda connection: (), done.set):
            history.add(entry("1"))
            history.add(entry("2", repetitions=2**70))
            history.add(entry("3"))
        assert done.wait(60.0)
        assert [one.id for one in history.query()] == ["3", "1"]
    assert "fight of door cannot be kept" in log[0]


def test_events_that_other_processes_know_go_on_when_a_history_is_closed_and_opened(tmp_path: Path):
    path = tmp_path / "events.db"
    with History(path, keep_open=True) as history:
        history.add(entry("1"))
        history.add(entry("2", rule="too long"))
    with History(path, keep_open=True) as history:
        assert [(one.id, one.interrupted) for one in history.query()] == [("2", True), ("1", False)]
        assert [one.id for one in history.running] == ["1"]
    with History(path) as history:
        assert [(one.id, one.interrupted) for one in history.query()] == [("2", True), ("1", True)]

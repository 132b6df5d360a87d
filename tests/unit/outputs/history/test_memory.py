"""A history in memory answers as one in a file does, and is bounded (streamrec/outputs/history/store.py)."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from streamrec.errors import HistoryError
from streamrec.outputs.history import store
from streamrec.outputs.history.records import Entry, Kind
from streamrec.outputs.history.store import History
from streamrec.types import ActionEnded, ActionStarted, Frame, Prediction, Result
from streamrec.web.live import LiveState

NOON = 1_795_694_400.0


def result_of(at: float, *events, camera: str = "door") -> Result:
    frame = Frame(np.zeros((2, 2, 3), np.uint8), round(10 * at), at, 0, camera)
    return Result(frame, Prediction.of(np.float32([0.4, 0.6]), at, ("idle", "wave")), events)


class Clock:
    """Seconds since 1970, as a test sets them."""

    now = NOON

    def __call__(self) -> float:
        return self.now


def fill(history: History, clock: Clock) -> None:
    for n in range(10):
        clock.now = NOON + n
        camera = ("door", "yard")[n % 2]
        start = ActionStarted(f"label {n % 3}", float(n), 0.7, camera)
        end = ActionEnded(f"label {n % 3}", n + 0.5, float(n), 0.9, camera)
        history.record(result_of(n, start, camera=camera))
        clock.now += 0.5
        history.record(result_of(n + 0.5, end, camera=camera))


def without_ids(entries: list[Entry]) -> list[dict]:
    return [{key: value for key, value in entry.to_dict().items() if key != "id"} for entry in entries]


def test_memory_and_a_file_give_the_same_answers(tmp_path):
    clock = Clock()
    with History(None, clock=clock) as memory, History(tmp_path / "events.db", clock=clock) as file:
        fill(memory, clock)
        fill(file, clock)
        for conditions in (
            {},
            {"camera": "door"},
            {"label": ["label 0", "label 2"]},
            {"since": NOON + 4.0, "until": NOON + 7.0},
            {"limit": 3},
        ):
            found = memory.query(**conditions)
            assert found and without_ids(found) == without_ids(file.query(**conditions)), conditions
        assert (memory.cameras(), memory.labels()) == (file.cameras(), file.labels())
        assert (memory.count(), memory.changes()) == (file.count(), file.changes())
        first = memory.query(limit=4)
        assert memory.query(after=first[-1].id, limit=2) == memory.query(limit=6)[4:]
        assert memory.get(first[0].id) == first[0] and memory.get("none") is None
        assert memory.in_memory and not file.in_memory


def test_memory_is_bounded_and_the_newest_stay(monkeypatch):
    monkeypatch.setattr(store, "MEMORY_EVENTS", 5)
    clock = Clock()
    with History(None, clock=clock) as history:
        fill(history, clock)
        assert [entry.started - NOON for entry in history.query()] == [9.0, 8.0, 7.0, 6.0, 5.0]


def test_what_is_closed_says_so():
    history = History(None)
    history.close()
    history.close()
    with pytest.raises(HistoryError, match="in memory is closed"):
        history.query()


def test_the_live_state_writes_its_own_history_and_waits_for_no_reader():
    live = LiveState()
    entries: list[Entry] = []
    ended = threading.Event()

    def listen(entry: Entry) -> None:
        entries.append(entry)
        if entry.ended is not None:
            ended.set()

    live.on_event = listen
    with live.history._database._lock:  # a reader that takes its time
        live.write(result_of(0.0, ActionStarted("wave", 0.0, 0.8)))
        live.write(result_of(2.0, ActionEnded("wave", 2.0, 0.0, 0.9)))
    assert ended.wait(60.0)
    assert [entry.ended is None for entry in entries] == [True, False]
    assert live.history.query()[0].id == entries[0].id
    assert live.counts == {("door", "wave"): 1}
    live.close()


def test_the_live_state_leaves_a_given_history_to_its_writer(tmp_path):
    with History(tmp_path / "events.db") as history:
        live = LiveState(history)
        live.write(result_of(0.0, ActionStarted("wave", 0.0, 0.8)))
        assert history.query() == []
        (started,) = history.record(result_of(0.0, ActionStarted("wave", 0.0, 0.8)))
        assert started.kind is Kind.started
        live.notify((started.entry,))
        assert live.counts == {("door", "wave"): 1}
        live.close()
        assert history.count() == 1  # it belongs to its writer, and stays open

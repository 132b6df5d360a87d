"""What is decided of an event stands with it in the history, and receivers are notified accordingly, once."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest

from streamrec.notify.dispatch_settings import DispatchSettings
from streamrec.notify.dispatcher import Dispatcher
from streamrec.notify.gate import Decider
from streamrec.notify.receivers import Receiver
from streamrec.outputs.history.records import DELIVER, Decision, Entry, Outcome
from streamrec.outputs.history.store import History, HistorySettings
from streamrec.types import ActionEnded, ActionStarted, Frame, Prediction, Result
from tests.integration.outputs.history.test_store import wait_for


class Bell(Receiver):
    """A receiver that keeps what it is notified of."""

    def __init__(self) -> None:
        self.rung: list[tuple[str, str]] = []

    def notify(self, announcement) -> None:
        self.rung.append((announcement.entry.label, str(announcement.kind)))

    def close(self, patience: float = 1.0) -> None:
        pass


class ByLabel(Decider):
    """Keeps, holds or delivers as the label says."""

    name = "by label"

    def __init__(self, seconds: float = 60.0) -> None:
        self.seconds = seconds
        self.resumed: list[str] = []

    def attach(self, gate) -> None:
        self.gate = gate

    def decide(self, entry: Entry) -> Decision:
        if entry.label not in ("keep", "hold"):
            return DELIVER
        until = time.time() + self.seconds if entry.label == "hold" else None
        return Decision(Outcome(entry.label), self.name, f"it is called {entry.label}", until)

    def resume(self, entry: Entry) -> None:
        self.resumed.append(entry.id)


class Watching:
    """A dispatcher with a bell, and one part of the gate."""

    def __init__(self, path, decider: Decider) -> None:
        settings = DispatchSettings(history=HistorySettings(file=str(path)))
        self.logged: list[str] = []
        self.listed: list[Entry] = []
        self.dispatcher = Dispatcher(settings, self.logged.append, deciders=[decider])
        self.history = self.dispatcher.history
        self.history.receivers = ("bell",)
        self.bell = Bell()
        self.dispatcher.receivers["bell"] = self.bell
        self.dispatcher.on_event(lambda event: self.listed.append(event.entry))
        self.dispatcher.camera("door", model="fight", actions=["keep", "hold", "fight"])
        self.now = 0.0

    def happens(self, label: str, *, over: bool = True) -> None:
        self.now += 1.0
        events = [ActionStarted(label, self.now, 0.8)]
        events += [ActionEnded(label, self.now + 0.5, self.now, 0.9)] if over else []
        frame = Frame(np.zeros((8, 8, 3), np.uint8), 0, self.now, 0, "door", captured=time.monotonic())
        said = Prediction("fight", 0.9, np.array([0.1, 0.9], np.float32), self.now, ("idle", "fight"))
        self.dispatcher.write(Result(frame, said, tuple(events)))
        self.dispatcher.settle(10.0)

    @property
    def queued(self) -> list[tuple[str, str]]:
        messages = self.history.waiting("bell")
        return [(json.loads(one.body)["data"]["label"], str(one.kind)) for one in messages]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "events.db"


@pytest.fixture
def watching(path):
    watching = Watching(path, ByLabel())
    yield watching
    watching.dispatcher.close()


BOTH = [("fight", "started"), ("fight", "ended")]


def test_a_kept_event_is_in_the_history_and_the_outputs_and_no_receiver_is_notified(watching):
    watching.happens("keep")
    watching.happens("fight")
    assert watching.bell.rung == watching.queued == BOTH
    kept = next(entry for entry in watching.history.query() if entry.label == "keep")
    assert (kept.decision, kept.decided_by, kept.reason) == (Outcome.keep, "by label", "it is called keep")
    assert kept.ended is not None
    shown = [(entry.label, entry.decision) for entry in watching.listed]
    assert shown == 2 * [("keep", Outcome.keep)] + 2 * [("fight", Outcome.deliver)]


@pytest.mark.parametrize("over", [True, False])
def test_a_held_event_that_is_delivered_brings_all_its_announcements_so_far(watching, over):
    watching.happens("hold", over=over)
    assert watching.bell.rung == watching.queued == []
    (entry,) = watching.history.query()
    assert entry.decision is Outcome.hold and entry.held_until > time.time()
    settled = []
    watching.dispatcher.on_settled(settled.append)
    watching.dispatcher.gate.settle(entry.id, DELIVER)
    expected = [("hold", "started"), *([("hold", "ended")] if over else [])]
    wait_for(lambda: watching.bell.rung == watching.queued == expected)
    assert [one.decision for one in settled] == [Outcome.deliver]
    first = json.loads(watching.history.waiting("bell")[0].body)
    assert first["event"] == "started" and first["data"]["ended"] is None
    watching.dispatcher.gate.settle(entry.id, Decision(Outcome.keep, "late"))
    watching.history.drain(10.0)
    assert watching.history.get(entry.id).decision is Outcome.deliver


def test_a_held_event_that_is_refused_is_kept_and_its_end_is_not_notified(watching):
    watching.happens("hold", over=False)
    (entry,) = watching.history.query()
    watching.dispatcher.gate.settle(entry.id, Decision(Outcome.keep, "by label", "a cat"))
    wait_for(lambda: watching.history.get(entry.id).decision is Outcome.keep)
    watching.dispatcher.write(
        Result(
            Frame(np.zeros((8, 8, 3), np.uint8), 9, 9.0, 0, "door", captured=time.monotonic()),
            Prediction("fight", 0.9, np.array([0.1, 0.9], np.float32), 9.0, ("idle", "fight")),
            (ActionEnded("hold", 9.0, 1.0, 0.9),),
        )
    )
    watching.dispatcher.settle(10.0)
    kept = watching.history.get(entry.id)
    assert kept.ended is not None and kept.reason == "a cat"
    assert watching.bell.rung == watching.queued == []


def test_a_hold_ends_by_itself_when_its_time_has_passed(path):
    watching = Watching(path, ByLabel(seconds=0.2))
    watching.happens("hold")
    wait_for(lambda: watching.bell.rung == [("hold", "started"), ("hold", "ended")])
    watching.dispatcher.close()


def test_what_is_held_survives_a_restart(path):
    first = Watching(path, ByLabel())
    first.happens("hold")
    first.dispatcher.close()
    part = ByLabel()
    second = Watching(path, part)
    (entry,) = second.history.query()
    assert part.resumed == [entry.id] and entry.decision is Outcome.hold
    second.dispatcher.gate.settle(entry.id, DELIVER)
    wait_for(lambda: second.queued == [("hold", "started"), ("hold", "ended")])
    second.dispatcher.close()


def test_a_history_of_before_is_read_as_delivered(path):
    with History(path) as history:
        history.add(
            Entry(id="1", camera="door", model="", label="fight", started=1.0, ended=2.0, confidence=1.0)
        )
        history.transact(lambda connection: connection.execute("UPDATE event SET decision = NULL"))
        assert history.get("1").decision is Outcome.deliver

"""The gate: each event is decided upon once, by the first part that has something against it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from streamrec.notify.gate import Decider, Gate
from streamrec.outputs.history.records import DELIVER, Decision, Entry, Outcome

EVENT = Entry(id="1", camera="door", model="fight", label="fight", started=1000.0, confidence=0.9)
KEEP = Decision(Outcome.keep, "arming", "not armed")


class Part(Decider):
    """Gives the same decision to each event, and counts."""

    def __init__(self, name: str, decision: Decision | Exception, late: Decision = DELIVER) -> None:
        self.name, self.decision, self.late = name, decision, late
        self.asked: list[str] = []
        self.resumed: list[str] = []

    def decide(self, entry: Entry) -> Decision:
        self.asked.append(entry.id)
        if isinstance(self.decision, Exception):
            raise self.decision
        return self.decision

    def resume(self, entry: Entry) -> None:
        self.resumed.append(entry.id)

    def timed_out(self, entry_id: str) -> Decision:
        return self.late


class Kept:
    """Of a history what the gate uses: held events, and decisions that are written at once."""

    def __init__(self, *held: Entry) -> None:
        self.entries = {entry.id: entry for entry in held}
        self.written: list[tuple[str, Decision]] = []

    def held(self) -> list[Entry]:
        return list(self.entries.values())

    def settle(self, id, decision, then) -> None:
        self.written.append((id, decision))
        entry = self.entries.pop(id, None)
        if entry is not None and decision.outcome is Outcome.hold:
            self.entries[id] = entry
        then(None if entry is None else replace(entry, decision=decision.outcome))


@pytest.fixture
def gate():
    return opened(Kept())


def opened(history: Kept, *parts: Part) -> Gate:
    gate = Gate(history, log=(logged := []).append, on_settled=(settled := []).append, clock=lambda: gate.now)
    gate.logged, gate.settled, gate.now, gate.history = logged, settled, 1000.0, history
    for part in parts:
        gate.add(part)
    gate.start()
    return gate


def test_an_event_that_no_part_is_against_is_delivered(gate):
    assert gate.decide(EVENT) == DELIVER
    gate.add(Part("arming", DELIVER))
    assert gate.decide(EVENT) == DELIVER


def test_the_first_part_that_does_not_deliver_decides_and_later_ones_are_not_asked(gate):
    opinion = Part("opinion", Decision(Outcome.hold, "opinion", until=1030.0))
    gate.add(Part("arming", KEEP))
    gate.add(opinion)
    assert gate.decide(EVENT) == KEEP and opinion.asked == []


def test_a_part_that_fails_is_left_out_with_a_message(gate):
    gate.add(Part("opinion", ValueError("no answer")))
    assert gate.decide(EVENT) == DELIVER
    assert gate.logged == ["opinion: ValueError: no answer; the event is delivered"]


@pytest.mark.parametrize("late", [DELIVER, KEEP, Decision(Outcome.hold, until=2000.0)])
def test_a_hold_ends_with_its_time_out_as_the_part_that_held_says(late):
    gate = opened(Kept(EVENT), Part("opinion", Decision(Outcome.hold, "opinion", "is asked", 1030.0), late))
    assert gate.decide(EVENT).outcome is Outcome.hold
    gate.now = 1029.9
    gate.poll()
    assert gate.history.written == []
    gate.now = 1030.0
    gate.poll()
    gate.poll()
    expected = DELIVER if late.outcome is Outcome.hold else late
    assert gate.history.written == [(EVENT.id, expected)]
    assert [entry.decision for entry in gate.settled] == [expected.outcome]


def test_a_decision_that_comes_in_time_ends_the_hold_and_a_second_changes_nothing():
    gate = opened(Kept(EVENT), Part("opinion", Decision(Outcome.hold, "opinion", until=1030.0)))
    gate.decide(EVENT)
    gate.settle(EVENT.id, KEEP)
    gate.settle(EVENT.id, DELIVER)
    gate.now = 1040.0
    gate.poll()
    assert [entry.decision for entry in gate.settled] == [Outcome.keep]
    assert len(gate.history.written) == 2


def test_a_hold_may_be_made_longer():
    gate = opened(Kept(EVENT), Part("opinion", Decision(Outcome.hold, "opinion", until=1030.0)))
    gate.decide(EVENT)
    gate.settle(EVENT.id, Decision(Outcome.hold, "opinion", until=1060.0))
    gate.now = 1050.0
    gate.poll()
    assert len(gate.history.written) == 1
    gate.now = 1060.0
    gate.poll()
    assert [decision.outcome for _, decision in gate.history.written] == [Outcome.hold, Outcome.deliver]


def test_what_was_held_before_a_restart_is_asked_again_and_without_its_part_delivered():
    held = replace(EVENT, decision=Outcome.hold, decided_by="opinion", held_until=1030.0)
    part = Part("opinion", DELIVER)
    gate = opened(Kept(held, replace(held, id="2", decided_by="gone")), part)
    assert part.resumed == ["1"]
    gate.poll()
    assert gate.history.written == [("2", DELIVER)]
    gate.now = 1030.0
    gate.poll()
    assert gate.history.written[1:] == [("1", DELIVER)]

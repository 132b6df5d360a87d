"""Arming while cameras run: receivers are not notified of what is not armed, over restarts, reloads and other files."""

from __future__ import annotations

import sqlite3
import time

import pytest

from streamrec.errors import HistoryError, SettingsError
from streamrec.events.arming import ArmingRules, Profile, Schedule
from streamrec.events.rules import Pattern
from streamrec.notify.arming import Arming
from streamrec.outputs.fleet.ledger import Ledger
from streamrec.outputs.fleet.records import Batch
from streamrec.outputs.history import arming_store
from streamrec.outputs.history.records import Entry, Outcome
from streamrec.outputs.history.store import History
from tests.helpers.fleet import Camera, ended, started
from tests.integration.notify.test_gate import ByLabel, Watching
from tests.integration.outputs.history.test_store import wait_for

HOME = ArmingRules(usual="home", own=(Profile(name="home", armed=(Pattern(labels=("fall",)),)),))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "events.db"


@pytest.fixture
def watching(path):
    watching = Watching(path, ByLabel())
    yield watching
    watching.dispatcher.close()


class Clocked:
    """Arming over a history, with a clock that is set by hand."""

    def __init__(self, history: History, rules: ArmingRules | None = HOME) -> None:
        self.now, self.warned, self.changes = 1_000_000.0, [], []
        self.arming = Arming(history, rules, warn=self.warned.append, clock=lambda: self.now)
        self.arming.on_change(lambda: self.changes.append(self.arming.profile))
        self.arming.watched("door", {"fight": ["fight", "fall"], "": ["lies too long"]})

    def decides(self, label: str = "fight", camera: str = "door") -> Outcome:
        entry = Entry(id="1", camera=camera, model="fight", label=label, started=self.now, confidence=1.0)
        return self.arming.decide(entry).outcome


@pytest.fixture
def clocked(path):
    with History(path) as history:
        yield Clocked(history)


def test_no_receiver_is_notified_of_what_is_not_armed_and_it_is_kept_with_the_reason(watching):
    arming = watching.dispatcher.arming
    arming.choose("disarmed", by="test")
    watching.happens("fight")
    arming.choose("armed", by="test")
    watching.happens("fight")
    arming.snooze("door", "fight", 10)
    watching.happens("fight")
    third, second, first = watching.history.query()
    assert first.reason == "not armed in profile disarmed, chosen by hand"
    assert (first.decision, first.decided_by) == (Outcome.keep, "arming")
    assert second.decision is Outcome.deliver and third.reason.startswith("fight of door is snoozed until ")
    assert watching.queued == watching.bell.rung == [("fight", "started"), ("fight", "ended")]


def test_an_event_that_began_while_it_was_armed_is_reported_to_its_end(watching):
    watching.happens("fight", over=False)
    watching.dispatcher.arming.choose("disarmed", by="test")
    watching.dispatcher.history.end_open()
    wait_for(lambda: watching.queued == [("fight", "started"), ("fight", "ended")])


def test_what_was_chosen_survives_a_restart(path):
    with History(path) as history:
        first = Clocked(history)
        first.arming.choose("disarmed", 60, by="page")
        first.arming.snooze("door", minutes=30)
        status = first.arming.status()
    with History(path) as history:
        second = Clocked(history)
        assert second.arming.status() == status
        assert second.decides("fall") is Outcome.keep
        second.now += 3600.0
        assert second.decides("fall") is Outcome.deliver and second.arming.profile == "home"


def test_a_profile_by_hand_may_last_until_the_schedule_changes_next(path):
    nightly = Schedule(profile="disarmed")
    with History(path) as history:
        clocked = Clocked(history, ArmingRules(own=HOME.own, usual="home", schedules=(nightly,)))
        clocked.arming.choose("armed", "schedule", by="page")
        assert clocked.arming.status()["until"] is None  # the schedule never names another
    with History(path) as history:
        weekly = Schedule(profile="disarmed", days=(0,))
        clocked = Clocked(history, ArmingRules(own=HOME.own, usual="home", schedules=(weekly,)))
        clocked.arming.choose("armed", "schedule", by="page")
        status = clocked.arming.status()
        assert status["until"] == status["scheduled"]["at"] and status["cause"] == "hand"


def test_listeners_are_notified_of_each_change_once_and_of_its_end(clocked):
    clocked.arming.poll()
    begun = len(clocked.changes)
    clocked.arming.choose("disarmed", 1, by="page")
    clocked.arming.poll()
    clocked.now += 61.0
    clocked.arming.poll()
    clocked.arming.poll()
    assert clocked.changes[begun:] == ["disarmed", "home"]
    clocked.arming.snooze("door", minutes=1)
    clocked.now += 61.0
    clocked.arming.poll()
    assert len(clocked.changes) == begun + 4 and clocked.warned == []


def test_profiles_that_change_while_it_runs_count_at_once(clocked):
    assert clocked.decides("fight") is Outcome.keep
    clocked.arming.use(ArmingRules())
    assert clocked.decides("fight") is Outcome.deliver and clocked.arming.profile == "armed"
    clocked.arming.use(None)
    assert clocked.arming.profile == "armed"


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"profile": "hom"}, "hom: there is no such profile; did you mean home"),
        ({"profile": 5}, "5: there is no such profile"),
        ({"profile": "home", "minutes": -1}, "minutes: give a number from 1 to 10,080, not -1"),
        ({"profile": "home", "minutes": True}, "minutes: give a number"),
        ({"profile": "home", "minutes": float("nan")}, "minutes: give a number"),
        ({"profile": "home", "minutes": 1e9}, "minutes: give a number"),
        ({"snooze": "dor", "minutes": 5}, "dor: there is no such camera"),
        ({"snooze": ["door"], "minutes": 5}, "there is no such camera"),
        ({"snooze": "door", "label": "fal", "minutes": 5}, "fal: there is no such label; did you mean fall"),
        ({"snooze": "door", "minutes": -5}, "minutes: give a number from 0, or 1 to"),
        ({"snooze": "door", "minutes": "5"}, "minutes: give a number"),
        ({"arm": "home"}, "give profile and minutes, or snooze, label and minutes"),
        (["home"], "give an object with profile"),
        (None, "give an object with profile"),
    ],
)
def test_a_wrong_choice_is_one_sentence_and_changes_nothing(clocked, request_, message):
    before = clocked.arming.status()
    with pytest.raises(SettingsError, match=message):
        clocked.arming.do(request_, by="test")
    assert clocked.arming.status() == before


def test_a_choice_that_cannot_be_written_does_not_count(clocked):
    clocked.arming._store._history._database.writer.execute("PRAGMA query_only = 1")
    with pytest.raises(HistoryError):
        clocked.arming.choose("disarmed", by="page")
    clocked.arming._store._history._database.writer.execute("PRAGMA query_only = 0")
    assert clocked.arming.profile == "home"


def test_rows_that_another_program_damaged_are_left_out(path):
    with History(path) as history:
        Clocked(history).arming.choose("disarmed", by="page")
        rows = [
            (1.0, "x", "no JSON"), (2.0, "x", "[]"), ("later", "x", '{"profile": "", "until": null, "snoozes": []}'),
            (3.0, "x", '{"profile": 5, "until": null, "snoozes": []}'), (4.0, "x", "[" * 100_000),
            (5.0, "x", '{"profile": "a", "until": "soon", "snoozes": [[1, 2, 3]]}'),
        ]  # fmt: skip
        history.transact(
            lambda connection: connection.executemany(
                "INSERT INTO arming (at, chosen_by, body) VALUES (?, ?, ?)", rows
            )
        )
    with History(path) as history:
        assert Clocked(history).arming.profile == "disarmed"


def test_only_the_newest_choices_are_kept(clocked, monkeypatch):
    monkeypatch.setattr(arming_store, "KEPT", 5)
    for _ in range(20):
        clocked.arming.choose("home", by="page")
    assert clocked.arming._store._history.select("SELECT count(*) FROM arming") == [(5,)]


def test_a_history_that_was_deleted_gets_the_choices_again(watching, path):
    watching.dispatcher.arming.choose("disarmed", by="page")
    path.unlink()
    wait_for(lambda: _kept(path))
    watching.happens("fight")
    assert watching.bell.rung == []


def _kept(path) -> bool:
    try:
        connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
        found = connection.execute("SELECT body FROM arming").fetchall()
        connection.close()
        return bool(found) and "disarmed" in found[-1][0]
    except sqlite3.Error:
        return False


def test_another_process_asks_through_the_history_and_gets_an_answer(watching, path):
    connection = sqlite3.connect(path)
    now = time.time()
    numbers = [
        arming_store.put_request(connection, body, made)
        for body, made in (
            ({"profile": "disarmed"}, now), ({"snooze": "gate", "minutes": 5}, now), ({"profile": "armed"}, now - 50.0)
        )
    ]  # fmt: skip
    connection.commit()
    wait_for(lambda: arming_store.answer_to(connection, numbers[-1]) is not None)
    done, wrong, old = (arming_store.answer_to(connection, number) for number in numbers)
    connection.close()
    assert done["arming"]["profile"] == "disarmed" and done["arming"]["chosen_by"] == "command line"
    assert wrong["error"].startswith("gate: there is no such camera") and "too old" in old["error"]
    assert watching.dispatcher.arming.profile == "disarmed"


def test_a_fleets_event_that_comes_late_is_decided_by_what_was_in_force_when_it_began(path):
    watching = Watching(path, ByLabel())
    arming, now = watching.dispatcher.arming, [0.0]
    arming._clock = lambda: now[0]
    ledger = Ledger(watching.history, watching.dispatcher.write, clock=lambda: 5000.0)
    claim = ledger.claim("site-1", "north", ("yard",))
    for at, profile in ((900.0, "armed"), (1003.0, "disarmed"), (1006.0, "armed")):
        now[0] = at
        arming.choose(profile, by="page")
    camera = Camera("yard")
    camera.at(0.0)  # its first frame is of 1000 s
    results = [camera.at(at, *events) for at, *events in (
        (1.0, started(1.0)), (2.0, ended(1.0, 2.0)), (4.0, started(4.0)), (7.0, ended(4.0, 7.0)), (8.0, started(8.0))
    )]  # fmt: skip
    ledger.save(Batch(group="site-1", epoch=claim.epoch, number=1, results=tuple(results)))
    found = [(entry.started, entry.decision) for entry in watching.history.query()[::-1]]
    assert found == [(1001.0, Outcome.deliver), (1004.0, Outcome.keep), (1008.0, Outcome.deliver)]
    assert [kind for _, kind in watching.queued] == ["started", "ended", "started"]
    watching.dispatcher.close()


def test_a_change_of_the_file_is_reported_once(watching):
    watching.dispatcher.use_arming(HOME)
    watching.dispatcher.use_arming(HOME)
    assert watching.logged == ["[arming] has changed: the profile home is in force"]

"""Rules while cameras run: their events are kept, sent and shown like any other, over reloads and restarts."""

from __future__ import annotations

import io
import json
import time
from dataclasses import replace
from datetime import time as clock_time

import numpy as np
import pytest

from streamrec.errors import WrongValue
from streamrec.events.rules import Pattern, Rule
from streamrec.notify.dispatch_settings import DispatchSettings
from streamrec.notify.dispatcher import CommittedEvent, Dispatcher
from streamrec.notify.receivers import Receiver
from streamrec.notify.rule_runner import RuleRunner, prepare_rules, reporting
from streamrec.outputs.history.rule_replay import fired
from streamrec.outputs.history.store import History, HistorySettings
from streamrec.outputs.json_lines import JsonLines
from streamrec.teach.corrections.corrector import Corrections
from streamrec.types import ActionEnded, ActionStarted, Frame, Prediction, Result
from tests.integration.outputs.history.test_store import wait_for

FALL = Pattern(labels=("fall",))
LIES = Rule(name="lies too long", when=FALL, lasts=30.0)
QUIET = Rule(name="nobody moved", when=Pattern(), absent=60.0)


def result_of(camera: str, at: float, *events) -> Result:
    prediction = Prediction("idle", 0.9, np.array([0.9, 0.1], np.float32), at, ("idle", "fall"))
    return Result(
        Frame(np.zeros((8, 8, 3), np.uint8), 0 if at != at else round(at), at, 0, camera), prediction, events
    )


class Watching:
    """A dispatcher and its cameras, whose frames come as quickly as they can be given, one for each second."""

    def __init__(self, path, *rules: Rule, cameras=("bath",), remember=False) -> None:
        history = None if path is None else HistorySettings(file=str(path))
        self.logged: list[str] = []
        self.events: list[CommittedEvent] = []
        self.cameras = tuple(cameras)
        self.now = dict.fromkeys(cameras, 0)
        self.dispatcher = Dispatcher(DispatchSettings(history=history), self.logged.append, remember=remember)
        self.dispatcher.on_event(self.events.append)
        self.use(*rules)
        for camera in cameras:
            self.dispatcher.camera(camera, model="fall", live=False, actions=["fall"])

    def use(self, *rules: Rule) -> None:
        self.dispatcher.use_rules(self.dispatcher.prepare_rules(rules, self.cameras))

    def run(self, seconds: int, *cameras: str) -> Watching:
        for _ in range(seconds):
            for camera in cameras or self.cameras:
                self.now[camera] += 1
                self.dispatcher.write(result_of(camera, self.now[camera]))
        return self

    def starts(self, camera: str = "bath", label: str = "fall") -> Watching:
        self.now[camera] += 1
        at = self.now[camera]
        self.dispatcher.write(result_of(camera, at, ActionStarted(label, at, 0.9, zone="floor")))
        return self

    def ends(self, lasted: float, camera: str = "bath", label: str = "fall") -> Watching:
        self.now[camera] += 1
        at = self.now[camera]
        self.dispatcher.write(result_of(camera, at, ActionEnded(label, at, at - lasted, 0.9)))
        return self

    def close(self) -> None:
        self.dispatcher.settle()
        self.dispatcher.close()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "events.db"


def of_rules(path) -> list:
    with History(path, read_only=True) as history:
        return [entry for entry in history.query()[::-1] if entry.rule is not None]


def test_a_rules_event_is_in_the_history_with_what_it_is_based_on(path):
    Watching(path, LIES).run(5).starts().run(40).ends(41).run(5).close()
    (entry,) = of_rules(path)
    with History(path, read_only=True) as history:
        (fall,) = [one for one in history.query() if one.rule is None]
    assert (entry.label, entry.rule, entry.camera, entry.model) == (
        "lies too long",
        "lies too long",
        "bath",
        "",
    )
    assert entry.based_on == (fall.id,) and entry.zone == "floor" and fall.zone == "floor"
    assert entry.started == pytest.approx(fall.started + 30, abs=0.01)
    assert entry.ended == pytest.approx(fall.ended, abs=0.01) and not entry.interrupted


def test_listeners_get_it_after_its_commit_and_a_line_says_the_same(path):
    watching = Watching(path, LIES).run(5).starts().run(40)
    watching.dispatcher.settle()
    event = watching.events[-1]
    assert (event.source, event.event.label, event.entry.rule) == ("bath", LIES.name, LIES.name)
    text = io.StringIO()
    with JsonLines(text) as lines:
        lines.write_event(event.source, event.event)
    line = json.loads(text.getvalue())
    assert (line["event"], line["rule"], line["based_on"]) == (
        "started",
        LIES.name,
        list(event.entry.based_on),
    )
    assert line["timestamp"] == 36.0 and line["zone"] == "floor"
    watching.close()


def test_a_rule_about_two_cameras_reports_on_the_first_whichever_gave_the_last_frame(path):
    both = Rule(name="nobody", when=Pattern(cameras=("bath", "hall")), absent=10.0)
    watching = Watching(path, both, cameras=("hall", "bath"))
    watching.run(20).run(1, "bath").close()
    (entry,) = of_rules(path)
    assert entry.camera == "bath" and entry.timestamp == pytest.approx(11.0, abs=0.1)


def test_with_what_follows_on_another_camera_the_event_is_there(path):
    then = Rule(name="left", when=FALL, then=Pattern(cameras=("hall",)), within=30.0)
    watching = Watching(path, then, cameras=("bath", "hall")).run(5).starts().run(3).ends(4).run(5)
    watching.starts("hall", "wave").run(2).close()
    (entry,) = of_rules(path)
    assert (entry.camera, entry.duration, len(entry.based_on)) == ("hall", 0.0, 2)


def test_rules_that_stay_go_on_over_a_reload_and_those_that_go_end(path):
    watching = Watching(path, LIES, QUIET).run(5).starts().run(20)
    watching.use(Rule(name="other", when=FALL, lasts=5.0), LIES)
    watching.run(15)
    assert watching.dispatcher.history is not None
    running = {entry.rule for entry in watching.dispatcher.history.running}
    assert running == {None, "lies too long", "other"}
    watching.use()
    assert {entry.rule for entry in watching.dispatcher.history.running} == {None}
    watching.run(5).close()
    assert {entry.rule: entry.interrupted for entry in of_rules(path)} == {
        "lies too long": False,
        "other": False,
    }


def test_after_a_restart_rules_know_the_past_and_report_nothing_of_it_again(path):
    count = Rule(name="three", when=FALL, count=3, within=3600.0)
    watching = Watching(path, count, LIES).run(5)
    for _ in range(2):
        watching.starts().run(40).ends(41).run(5)
    watching.close()
    assert [entry.rule for entry in of_rules(path)] == ["lies too long"] * 2
    watching = Watching(path, count, LIES).run(5).starts().run(3).ends(4)
    watching.close()
    # The second file is read from a time before the end of the first: a second lasts less than one here.
    assert sorted(entry.rule for entry in of_rules(path)) == ["lies too long"] * 2 + ["three"]
    (three,) = [entry for entry in of_rules(path) if entry.rule == "three"]
    assert len(three.based_on) == 3


def test_what_holds_when_streamrec_starts_is_reported_anew(path):
    Watching(path, QUIET).run(100).close()
    assert [entry.interrupted for entry in of_rules(path)] == [True]
    watching = Watching(path, QUIET).run(2).starts().run(2)
    watching.close()
    assert sorted(entry.interrupted for entry in of_rules(path)) == [False, True]
    assert {entry.rule for entry in of_rules(path)} == {"nobody moved"}


def test_what_would_have_been_reported_is_found_in_the_history(path):
    watching = Watching(path).run(5)
    for _ in range(3):
        watching.starts().run(40).ends(41).run(100)
    watching.close()
    with History(path, read_only=True) as history:
        now = history.query()[0].started + 3600
        found = fired(history, LIES, ["bath"], now - 7200, now)
        assert len(found) == 3 and all(one.ended is not None for one in found)
        quiet = fired(history, QUIET, ["bath"], now - 7200, now)
        assert len(quiet) == 3 and quiet[0].ended is None  # it would go on
        assert fired(history, LIES, ["bath"], now - 1, now) == []


def test_without_a_history_rules_wait_and_that_is_logged_or_one_in_memory_serves(tmp_path):
    alone = Watching(None, LIES)
    assert alone.logged == ["rules need a history: they count from the next start"]
    alone.run(3).close()
    watching = Watching(None, LIES, remember=True).run(5).starts().run(40)
    watching.dispatcher.settle()
    assert watching.logged == [] and watching.events[-1].entry.rule == "lies too long"
    assert not watching.dispatcher.wanted
    watching.close()


def test_a_rules_event_is_not_corrected_itself(path):
    Watching(path, LIES).run(5).starts().run(40).ends(41).close()
    with Corrections.open() as corrections, pytest.raises(WrongValue, match="correct the events"):
        corrections.correct(of_rules(path)[0], "wrong")


def test_a_system_clock_that_is_set_moves_no_rule(path):
    """A live camera, one frame a second; the clock on the wall is set an hour ahead in between."""
    now, ahead = [1000.0], [0.0]
    with History(path, clock=lambda: now[0] + ahead[0]) as history:
        rules = [LIES, Rule(name="two", when=FALL, count=2, within=60.0)]
        runner = RuleRunner(history, clock=lambda: now[0] + ahead[0], monotonic=lambda: now[0])
        runner.use(prepare_rules(history, rules, ["bath"], lambda: now[0]))
        reported = []
        for second in range(60):
            now[0] += 1.0
            events = {5: (ActionStarted("fall", 5.0, 0.9),), 50: (ActionEnded("fall", 50.0, 5.0, 0.9),)}
            events[55] = (ActionStarted("fall", 55.0, 0.9),)
            result = result_of("bath", float(second), *events.get(second, ()))
            if second == 15:
                ahead[0] = 3600.0
            noted = history.note(result, "fall")
            entries = [one.entry for one in noted]
            for further in runner.step(result, entries, history.seen("bath"), live=True):
                reported += [(second, event.label) for event in further.events]
        assert reported == [
            (35, "lies too long"),
            (50, "lies too long"),
            (55, "two"),
            (55, "two"),
        ]


def test_when_cameras_were_watched_is_kept_over_a_restart(path):
    watching = Watching(path, cameras=("bath", "hall")).run(100).run(200, "bath")
    watching.close()
    with History(path, read_only=True) as history:
        far = time.time() + 10_000
        spans = {one.camera: one.ended - one.began for one in history.watched(since=0.0, until=far)}
    assert spans == {"bath": pytest.approx(299, abs=1), "hall": pytest.approx(99, abs=1)}


def test_a_rule_names_the_cameras_on_which_it_may_report():
    cameras = ("bath", "hall", "yard")
    two = Pattern(cameras=("hall", "yard"))
    assert reporting(LIES, cameras) == cameras
    assert reporting(Rule(name="a", when=two, absent=5.0), cameras) == ("hall",)
    assert reporting(Rule(name="a", when=FALL, then=two, within=5.0), cameras) == ("hall", "yard")


def test_what_is_written_while_rules_run_waits_for_nothing(path):
    watching = Watching(path, LIES, QUIET)
    watching.run(200)
    assert watching.dispatcher.history is not None
    wait_for(lambda: watching.dispatcher.history.behind == 0)
    watching.close()


def test_receivers_know_which_rules_a_camera_may_report(path):
    actions_of = {}

    class Ear(Receiver):
        def notify(self, announcement) -> None:
            """Nothing: it is only asked about cameras."""

        def close(self, patience=1.0) -> None:
            """Nothing."""

        def camera(self, name, actions, model="") -> None:
            actions_of[name] = tuple(actions)

        def remove(self, name) -> None:
            del actions_of[name]

    watching = Watching(path, cameras=("bath", "hall"))
    watching.dispatcher.receivers["ear"] = Ear()
    for camera in watching.cameras:
        watching.dispatcher.camera(camera, model="fall", live=False, actions=["fall"])
    assert actions_of == {"bath": ("fall",), "hall": ("fall",)}
    watching.use(LIES, Rule(name="quiet", when=Pattern(cameras=("hall",)), absent=5.0))
    assert actions_of == {"bath": ("fall", "lies too long"), "hall": ("fall", "lies too long", "quiet")}
    watching.use()
    assert actions_of == {"bath": ("fall",), "hall": ("fall",)}
    watching.close()


def test_times_of_a_rules_event_are_on_the_clock_of_the_source(path):
    """A live camera whose frames come late and unevenly: what counts is when they were taken."""
    now = [1000.0]
    with History(path, clock=lambda: now[0]) as history:
        runner = RuleRunner(history, clock=lambda: now[0], monotonic=lambda: now[0])
        runner.use(prepare_rules(history, [LIES], ["bath"], lambda: now[0]))
        found = []
        for second in range(60):
            now[0] = 1000.0 + second + (0.9 if second % 3 else 0.0)
            events = {5: (ActionStarted("fall", 4.0, 0.9),), 50: (ActionEnded("fall", 49.0, 4.0, 0.9),)}
            result = result_of("bath", float(second), *events.get(second, ()))
            result = replace(result, frame=replace(result.frame, captured=time.monotonic()))
            entries = [one.entry for one in history.note(result, "fall")]
            for further in runner.step(result, entries, history.seen("bath"), live=True):
                found += further.events
        started, ended = found
        assert (started.timestamp, ended.started, ended.timestamp) == (34.0, 34.0, 49.0)


def test_neither_a_frame_without_a_time_nor_a_rule_that_fails_stops_the_recognition(path, monkeypatch):
    daily = Rule(name="daily", when=Pattern(), since=clock_time(8), by=clock_time(9))
    watching = Watching(path, LIES, daily).run(3)
    for at in (float("nan"), 9.0, float("nan")):
        watching.dispatcher.write(result_of("bath", at))
    assert watching.logged == []
    monkeypatch.setattr(RuleRunner, "step", lambda *_, **__: 1 / 0)
    watching.run(3)
    assert watching.logged == ["rules: bath: ZeroDivisionError: division by zero"]
    watching.close()

"""Late fusion: an event of sound and one of pictures together are an event of their own, in either order."""

from __future__ import annotations

from datetime import datetime

import pytest

from streamrec.errors import SettingsError
from streamrec.events.rules import Happening, Moment, Pattern, Rule, RulesState, Watched, replay, step
from streamrec.notify.rule_runner import reporting
from streamrec.settings.rules_table import sentence, table_of

BREAK_IN = Rule(
    name="break-in",
    when=Pattern(labels=("glass",), models=("sounds",)),
    also=Pattern(labels=("person",), models=("people",)),
    within=10.0,
)


def glass(id: str, started: float, ended: float | None = None, camera: str = "door") -> Happening:
    return Happening(id=id, camera=camera, label="glass", model="sounds", started=started, ended=ended)


def person(id: str, started: float, ended: float | None = None, camera: str = "door") -> Happening:
    return Happening(id=id, camera=camera, label="person", model="people", started=started, ended=ended)


def reported(*moments: tuple[float, Happening], rule: Rule = BREAK_IN) -> list[tuple[float, tuple[str, ...]]]:
    """Time and ids of what the rule reports, where each change comes with the picture of this time."""
    state, found = RulesState(), []
    for now, change in moments:
        moment = Moment(camera=change.camera, time=now, changes=(change,))
        reports, state = step([rule], ["door"], moment, state)
        found += reports
    return [(report.time, report.based_on) for report in found]


def test_either_may_come_first():
    assert reported((5.0, glass("g", 5.0)), (8.0, person("p", 8.0))) == [(8.0, ("g", "p"))]
    assert reported((5.0, person("p", 5.0)), (8.0, glass("g", 8.0))) == [(8.0, ("p", "g"))]


def test_one_that_is_reported_late_is_placed_by_when_it_began():
    assert reported((8.0, person("p", 8.0)), (9.5, glass("g", 6.0))) == [(8.0, ("g", "p"))]


def test_who_is_there_already_counts_for_as_long_as_they_stay():
    assert reported((0.0, person("p", 0.0)), (600.0, glass("g", 600.0))) == [(600.0, ("p", "g"))]
    left = [(0.0, person("p", 0.0)), (50.0, person("p", 0.0, 50.0))]
    assert reported(*left, (59.0, glass("g", 59.0))) == [(59.0, ("p", "g"))]
    assert reported(*left, (61.0, glass("g", 61.0))) == []


def test_each_of_the_first_kind_counts_once_and_a_person_for_each_of_them():
    found = reported(
        (0.0, person("p", 0.0)),
        (5.0, glass("g1", 5.0)),
        (5.5, glass("g1", 5.0, 5.5)),
        (6.0, person("q", 6.0)),
        (20.0, glass("g2", 20.0)),
    )
    assert found == [(5.0, ("p", "g1")), (20.0, ("q", "g2"))]


def test_several_before_one_are_one_report_of_the_newest():
    found = reported((1.0, glass("g1", 1.0)), (2.0, glass("g2", 2.0)), (3.0, person("p", 3.0)))
    assert found == [(3.0, ("g2", "p"))]


def test_what_is_of_another_model_or_too_late_is_not_together():
    other = Happening(id="x", camera="door", label="person", model="sounds", started=6.0)
    assert reported((5.0, glass("g", 5.0)), (6.0, other)) == []
    ended = [(5.0, glass("g", 5.0)), (5.2, glass("g", 5.0, 5.2))]
    assert reported(*ended, (15.2, person("p", 15.2))) == [(15.2, ("g", "p"))]
    assert reported(*ended, (15.3, person("p", 15.3))) == []


def test_a_rule_of_one_camera_or_of_two():
    rule = Rule(
        name="both",
        when=Pattern(labels=("glass",), cameras=("door",)),
        also=Pattern(labels=("person",), cameras=("yard",)),
        within=10.0,
    )
    assert reported((1.0, glass("g", 1.0)), (2.0, person("p", 2.0)), rule=rule) == []
    assert reported((1.0, glass("g", 1.0)), (2.0, person("p", 2.0, camera="yard")), rule=rule) == [
        (2.0, ("g", "p"))
    ]
    assert reporting(rule, ["door", "yard", "hall"]) == ("door", "yard")
    assert reporting(BREAK_IN, ["door", "yard"]) == ("door", "yard")


def test_the_past_is_replayed_to_the_same_reports():
    events = [glass("g", 100.0, 100.5), person("p", 104.0, 130.0), glass("h", 300.0, 300.5)]
    watched = [Watched(camera="door", began=0.0, ended=400.0)]
    reports, _ = replay([BREAK_IN], ["door"], events, watched)
    assert [(one.time, one.based_on) for one in reports] == [(104.0, ("g", "p"))]


def test_it_is_written_and_said_as_it_is_read():
    assert sentence(BREAK_IN) == "glass of sounds and person of people within 10 s"
    assert table_of(BREAK_IN) == {
        "name": "break-in",
        "when": {"label": "glass", "model": "sounds"},
        "also": {"label": "person", "model": "people"},
        "within": "10 s",
    }


@pytest.mark.parametrize(
    ("numbers", "wrong"),
    [
        ({"also": Pattern()}, "within: it is missing; also and within belong together"),
        (
            {"also": Pattern(), "then": Pattern(), "within": 1.0},
            "then and also and within do not go together",
        ),
        ({"also": Pattern(), "lasts": 1.0}, "lasts and also do not go together"),
    ],
)
def test_what_belongs_together(numbers, wrong):
    with pytest.raises(SettingsError, match=wrong):
        Rule(name="a", when=Pattern(), **numbers)


def test_memory_is_bounded():
    state = RulesState()
    for n in range(1000):
        now = datetime(2026, 1, 1).timestamp() + 10.0 * n
        for change in (glass(f"g{n}", now), glass(f"g{n}", now, now + 1.0)):
            moment = Moment(camera="door", time=now + 1.0, changes=(change,))
            _, state = step([BREAK_IN], ["door"], moment, state)
    assert len(state.rules["break-in"].events) <= 4

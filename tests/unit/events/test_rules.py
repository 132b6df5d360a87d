"""Rules over events, by stepping clocks: what is reported, when, based on what, and what is not reported."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, time
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from streamrec.errors import SettingsError
from streamrec.events.rules import (
    Change,
    Happening,
    Kind,
    Moment,
    Pattern,
    Report,
    Rule,
    RulesState,
    Watched,
    day_of,
    joined,
    replay,
    running,
    step,
)

BERLIN = ZoneInfo("Europe/Berlin")
FALL = Pattern(labels=("fall",))


def rule(name: str = "rule", when: Pattern = FALL, **numbers: Any) -> Rule:
    return Rule(name=name, when=when, **numbers)


def event(id: str, started: float, ended: float | None = None, **more: str) -> Happening:
    return Happening(**{"id": id, "camera": "bath", "label": "fall", **more}, started=started, ended=ended)


class Stream:
    """Cameras that give a frame each second, or are away, and rules that watch them."""

    def __init__(self, *rules: Rule, cameras: Sequence[str] = ("bath",), at: float = 0.0) -> None:
        self.rules, self.cameras, self.now, self.state = rules, cameras, at, RulesState()
        self.reports: list[Report] = []

    def step(self, *changes: Happening, cameras: Sequence[str] | None = None, shift: float = 0.0) -> None:
        for camera in self.cameras if cameras is None else cameras:
            own = tuple(one for one in changes if one.camera == camera)
            moment = Moment(camera=camera, time=self.now, changes=own, shift=shift)
            found, self.state = step(self.rules, self.cameras, moment, self.state)
            self.reports += found

    def run(self, seconds: float, *, by: float = 1.0, **more: Any) -> Stream:
        """So many seconds with a frame each, of these cameras."""
        for _ in range(round(seconds / by)):
            self.now += by
            self.step(**more)
        return self

    def away(self, seconds: float) -> Stream:
        self.now += seconds
        return self

    def starts(self, id: str, **more: str) -> Stream:
        self.step(event(id, self.now, **more))
        return self

    def ends(self, id: str, after: float, **more: str) -> Stream:
        self.step(event(id, self.now - after, self.now, **more))
        return self

    def happens(self, id: str, **more: str) -> Stream:
        """An event without a duration."""
        self.step(event(id, self.now, **more), event(id, self.now, self.now, **more))
        return self

    @property
    def reported(self) -> list[tuple[str, float]]:
        return [(report.change.value, report.time) for report in self.reports]


class TestLasting:
    def test_an_event_that_lasts_is_reported_when_it_has_lasted_until_it_ends(self):
        stream = Stream(rule(lasts=30)).run(10).starts("1", zone="floor").run(40).ends("1", 40)
        assert stream.reported == [("started", 40.0), ("ended", 50.0)]
        assert stream.reports[0].based_on == ("1",) and stream.reports[0].zone == "floor"
        assert stream.reports[0].camera == "bath"

    def test_one_that_is_shorter_is_not(self):
        assert Stream(rule(lasts=30)).run(10).starts("1").run(29).ends("1", 29).run(60).reports == []

    @pytest.mark.parametrize("other", [{"label": "wave"}, {"zone": "bed"}, {"camera": "hall"}])
    def test_only_those_that_are_meant_count(self, other):
        wanted = Pattern(labels=("fall",), zones=("floor",), cameras=("bath",))
        more = {"zone": "floor", **other}
        stream = Stream(rule(when=wanted, lasts=3), cameras=("bath", "hall")).run(2).starts("1", **more)
        assert stream.run(9).reports == []

    def test_time_that_the_camera_did_not_see_does_not_count(self):
        stream = Stream(rule(lasts=30)).run(10).starts("1").run(20).away(3600).run(1)
        assert stream.reports == []
        assert stream.run(10).reported == [("started", 10.0 + 3600 + 30 + 1)]

    def test_a_start_that_is_reported_late_counts_from_when_it_was(self):
        stream = Stream(rule(lasts=5)).run(10)
        stream.step(event("1", stream.now - 2))
        assert stream.run(5).reported == [("started", 13.0)]

    def test_two_at_once_are_one_event_of_the_rule(self):
        stream = Stream(rule(lasts=5)).run(1).starts("1").run(2).starts("2").run(10).ends("1", 12)
        assert stream.run(3).reported == [("started", 6.0)]
        assert stream.ends("2", 13).reported == [("started", 6.0), ("ended", 16.0)]

    def test_two_cameras_have_an_event_each(self):
        stream = Stream(rule(lasts=5), cameras=("bath", "hall")).run(1)
        stream.starts("1").starts("2", camera="hall").run(6)
        assert [report.camera for report in stream.reports] == ["bath", "hall"]


class TestAbsent:
    def test_what_does_not_happen_is_reported_until_it_does(self):
        stream = Stream(rule(absent=60)).run(10).happens("1").run(90).happens("2").run(30)
        assert stream.reported == [("started", 70.0), ("ended", 100.0)]
        assert stream.reports[0].based_on == ("1",)

    def test_while_an_event_runs_it_happens(self):
        stream = Stream(rule(absent=60)).run(1).starts("1").run(300)
        assert stream.reports == []
        assert stream.ends("1", 300).run(61).reported == [("started", 361.0)]

    def test_a_camera_that_was_away_is_no_reason_to_report(self):
        stream = Stream(rule(absent=60)).run(30).away(7200).run(29)
        assert stream.reports == []
        assert stream.run(5).reported == [("started", 30 + 7200 + 32)]  # the first frame came after a second

    def test_of_two_cameras_both_must_have_seen_nothing(self):
        both = Stream(rule(absent=60), cameras=("bath", "hall"))
        assert both.run(30).run(300, cameras=("bath",)).reports == []
        assert both.run(20).happens("1", camera="hall").run(59).reports == []
        assert len(both.run(2).reports) == 1

    def test_one_that_was_never_there_keeps_it_silent(self):
        assert Stream(rule(absent=60), cameras=("bath", "hall")).run(600, cameras=("hall",)).reports == []

    def test_a_clock_that_jumps_is_no_time_that_passed(self):
        stream = Stream(rule(absent=60)).run(30).away(86_400).run(10).away(-86_400 * 2).run(19)
        assert stream.reports == []


class TestDaily:
    rule = rule("nobody moved", Pattern(), since=time(8), by=time(10), timezone="Europe/Berlin")

    def at(self, day: int, hour: int, minute: int = 0, month: int = 11) -> float:
        return datetime(2026, month, day, hour, minute, tzinfo=BERLIN).timestamp()

    def stream(self, *when: int) -> Stream:
        return Stream(self.rule, at=self.at(*when))

    def test_nothing_since_then_is_reported_when_it_is_time_once_a_day(self):
        stream = self.stream(20, 7).run(48 * 3600, by=10.0)
        assert stream.reported == [
            ("started", self.at(20, 10)),
            ("ended", self.at(21, 8)),
            ("started", self.at(21, 10)),
        ]

    def test_what_happened_once_is_enough_for_the_day(self):
        stream = self.stream(20, 7).run(5400, by=10.0).happens("1").run(20 * 3600, by=10.0)
        assert stream.reports == []

    def test_what_happened_before_does_not_count_but_what_still_ran_does(self):
        before = self.stream(20, 7).run(1800, by=10.0).happens("1").run(9000, by=10.0)
        assert before.reported == [("started", self.at(20, 10))]
        still = self.stream(20, 7).run(1800, by=10.0).starts("1").run(2400, by=10.0).ends("1", 2400)
        assert still.run(9000, by=10.0).reports == []

    def test_it_ends_when_it_happens_after_all(self):
        stream = self.stream(20, 7).run(4 * 3600, by=10.0).happens("1").run(3600, by=10.0)
        assert stream.reported == [("started", self.at(20, 10)), ("ended", self.at(20, 11))]

    def test_what_was_not_watched_is_watched_later(self):
        stream = self.stream(20, 7).run(5400, by=10.0).away(1800).run(3600, by=10.0)
        assert stream.reports == []  # it is ten o'clock, and half an hour is missing
        assert stream.run(2000, by=10.0).reported == [
            ("started", self.at(20, 10, 30) + 10)
        ]  # a step of ten seconds was not seen

    def test_a_start_in_the_middle_waits_for_as_long_as_is_missing(self):
        assert self.stream(20, 9, 30).run(3600, by=10.0).reports == []
        assert self.stream(20, 9, 30).run(7300, by=10.0).reported == [("started", self.at(20, 11, 30) + 10)]

    def test_the_night_in_which_clocks_go_forward_is_an_hour_shorter(self):
        night = rule("night", Pattern(), since=time(1), by=time(4), timezone="Europe/Berlin")
        stream = Stream(night, at=self.at(29, 0, month=3)).run(6 * 3600, by=10.0)
        assert stream.reported == [("started", self.at(29, 4, month=3))]

    def test_and_the_one_in_which_they_go_back_an_hour_longer(self):
        begin, end = day_of(time(1), time(4), self.at(25, 12, month=10), BERLIN)
        assert end - begin == 4 * 3600
        begin, end = day_of(time(2, 30), time(3), self.at(25, 12, month=10), BERLIN)
        assert end - begin == 1.5 * 3600  # from the first 2:30

    def test_a_time_that_a_day_does_not_have_is_soon_after(self):
        begin, _ = day_of(time(2, 30), time(8), self.at(29, 12, month=3), BERLIN)
        assert begin == self.at(29, 3, 30, month=3)

    def test_a_span_over_midnight(self):
        begin, end = day_of(time(22), time(6), self.at(20, 3), BERLIN)
        assert (begin, end) == (self.at(19, 22), self.at(20, 6))

    def test_a_clock_that_was_set_right_is_followed(self):
        shift = 3 * 3600.0  # the times of day are three hours later than the events' clock
        stream = self.stream(20, 4).run(4 * 3600, by=10.0, shift=shift)
        assert stream.reported == [("started", self.at(20, 7))]


class TestFollows:
    rule = rule(then=Pattern(cameras=("hall",)), within=60)

    def stream(self) -> Stream:
        return Stream(self.rule, cameras=("bath", "hall")).run(10)

    def test_what_follows_in_time_on_another_camera_is_reported_there(self):
        stream = self.stream().happens("1").run(50).starts("2", camera="hall", label="wave")
        assert stream.reported == [("both", 60.0)]
        (report,) = stream.reports
        assert (report.camera, report.based_on) == ("hall", ("1", "2"))

    def test_what_follows_too_late_or_comes_before_is_not(self):
        assert self.stream().happens("1").run(61).starts("2", camera="hall").reports == []
        assert self.stream().starts("2", camera="hall").run(5).happens("1").run(90).reports == []

    def test_it_is_in_time_while_the_first_still_runs(self):
        stream = self.stream().starts("1").run(300).starts("2", camera="hall")
        assert len(stream.reports) == 1

    def test_the_time_counts_from_the_end_of_the_first(self):
        stream = self.stream().starts("1").run(300).ends("1", 300).run(59).starts("2", camera="hall")
        assert len(stream.reports) == 1

    def test_each_first_counts_once_and_the_newest_is_named(self):
        hall = {"camera": "hall", "label": "wave"}
        stream = (
            self.stream()
            .happens("1")
            .run(5)
            .happens("2")
            .run(5)
            .happens("3", **hall)
            .run(5)
            .happens("4", **hall)
        )
        assert [report.based_on for report in stream.reports] == [("2", "3")]

    def test_an_event_does_not_follow_on_itself(self):
        twice = Stream(rule(then=FALL, within=60)).run(1).happens("1").run(9)
        assert twice.reports == []
        assert [r.based_on for r in twice.happens("2").run(5).happens("3").reports] == [
            ("1", "2"),
            ("2", "3"),
        ]


class TestCount:
    def test_so_many_in_a_time_are_reported_with_the_last_of_them(self):
        stream = Stream(rule(count=3, within=3600)).run(10)
        for id in "123":
            stream.happens(id).run(600, by=10.0)
        assert [(r.change, r.time, r.based_on) for r in stream.reports] == [
            (Change.both, 1210.0, ("1", "2", "3"))
        ]

    def test_those_of_a_report_do_not_count_again(self):
        stream = Stream(rule(count=2, within=3600)).run(10)
        for id in "12345":
            stream.happens(id).run(60)
        assert [report.based_on for report in stream.reports] == [("1", "2"), ("3", "4")]

    def test_too_few_in_a_time_are_not(self):
        stream = Stream(rule(count=2, within=60)).run(10)
        for id in "123":
            stream.happens(id).run(61)
        assert stream.reports == []


class TestThePast:
    def events(self) -> list[Happening]:
        return [event("1", 100.0, 150.0), event("2", 400.0, 410.0), event("3", 1000.0, 1040.0)]

    def reported(self, one: Rule, *watched: tuple[float, float]) -> list[tuple[str, float]]:
        seen = [Watched(camera="bath", began=began, ended=ended) for began, ended in watched]
        reports, _ = replay([one], ["bath"], self.events(), seen)
        return [(report.change.value, report.time) for report in reports]

    def test_a_replay_reports_what_a_stream_would_have(self):
        for one in (rule(lasts=30), rule(absent=200), rule(count=2, within=500), rule(then=FALL, within=700)):
            stream = Stream(one)
            for second in range(2000):
                stream.now = float(second)
                changes = [event(e.id, e.started) for e in self.events() if e.started == second]
                stream.step(*changes, *(e for e in self.events() if e.ended == second))
            assert self.reported(one, (0.0, 1999.0)) == stream.reported != []

    def test_what_lasted_is_known_even_where_it_is_not_known_when_the_camera_was_watched(self):
        assert self.reported(rule(lasts=30)) == [
            ("started", 130.0),
            ("ended", 150.0),
            ("started", 1030.0),
            ("ended", 1040.0),
        ]

    def test_what_did_not_happen_is_known_only_of_what_was_watched(self):
        assert self.reported(rule(absent=200)) == []
        assert self.reported(rule(absent=200), (0.0, 500.0)) == [("started", 350.0), ("ended", 400.0)]

    def test_a_gap_between_two_times_does_not_count(self):
        assert self.reported(rule(absent=200), (411.0, 550.0), (700.0, 900.0)) == [
            ("started", 760.0),
            ("ended", 1000.0),
        ]

    def test_its_state_is_that_of_a_stream_and_goes_on(self):
        lasting = rule(lasts=30)
        seen = [Watched(camera="bath", began=0.0, ended=1000.0)]
        _, state = replay([lasting], ["bath"], [event("9", 990.0)], seen)
        reports = []
        for second in range(1001, 1030):
            found, state = step([lasting], ["bath"], Moment(camera="bath", time=float(second)), state)
            reports += found
        assert [(report.time, report.based_on) for report in reports] == [(1020.0, ("9",))]

    def test_rules_that_stay_the_same_go_on_when_others_change(self):
        one, two = rule("one", lasts=30), rule("two", lasts=60)
        stream = Stream(one, two).run(1).starts("1").run(20)
        other = rule("two", lasts=5)
        seen = [Watched(camera="bath", began=-500.0, ended=21.0)]
        _, ready = replay([other], ["bath"], [event("1", 1.0)], seen)
        assert [(one.rule, one.based_on) for one in running([other], ["bath"], ready)] == [("two", ("1",))]
        stream.state, stream.rules = joined(stream.state, [one], ready), (one, other)
        stream.run(20).ends("1", 40)
        assert [(report.rule, report.change.value, report.time) for report in stream.reports] == [
            ("one", "started", 31.0),
            ("one", "ended", 41.0),
            ("two", "ended", 41.0),
        ]

    def test_what_a_replay_left_goes_on_by_the_live_clocks(self):
        """The live clocks began later than what the history knows, and saw a gap."""
        lasting, silent = rule("lasting", lasts=30), rule("silent", Pattern(cameras=("bath",)), absent=105)
        for new, fires in ((lasting, 980.0), (silent, 956.0)):
            stream = Stream(rule("one", count=2, within=5), at=900.0).run(20).away(10).run(20)
            past = [event("9", 950.0)] if new is lasting else []
            seen = [
                Watched(camera="bath", began=700.0, ended=750.0),
                Watched(camera="bath", began=900.0, ended=950.0),
            ]
            _, ready = replay([new], ["bath"], past, seen)
            stream.state, stream.rules = joined(stream.state, stream.rules, ready), (*stream.rules, new)
            stream.run(200)
            assert [(r.rule, r.time) for r in stream.reports] == [(new.name, pytest.approx(fires, abs=2.0))]


class TestWhichRule:
    def test_the_numbers_say_of_which_kind_it_is(self):
        kinds = [
            rule(lasts=1).kind,
            rule(absent=1).kind,
            rule(since=time(8), by=time(9)).kind,
            rule(then=FALL, within=1).kind,
            rule(also=FALL, within=1).kind,
            rule(count=2, within=1).kind,
        ]
        assert kinds == list(Kind)

    @pytest.mark.parametrize(
        ("given", "why"),
        [
            ({}, "not what of them; give lasts, or absent"),
            ({"lasts": 1.0, "absent": 1.0}, "lasts and absent do not go together"),
            ({"since": time(8)}, "by: it is missing"),
            ({"within": 1.0}, "add then, also or count"),
            ({"count": 3}, "within: it is missing"),
            ({"lasts": 1.0, "timezone": "Europe/Berlin"}, "timezone: it belongs to since and by"),
            ({"since": time(8), "by": time(8)}, "by: it is the same time as since"),
        ],
        ids=str,
    )
    def test_what_is_of_none_is_refused_with_what_to_do(self, given, why):
        with pytest.raises(SettingsError, match=why):
            rule(**given)

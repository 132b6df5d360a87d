"""Arming by profile, schedule and snooze, across midnight, leap days and clocks that are set."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

import pytest

from streamrec.events.arming import (
    ARMED,
    DISARMED,
    ArmingRules,
    ArmingState,
    Profile,
    Schedule,
    Snooze,
    active,
    answer,
    choose,
    moment,
    next_change,
    overview,
    scheduled,
    snooze,
    state_at,
)
from streamrec.events.rules import Happening, Pattern

BERLIN, NEW_YORK, LORD_HOWE = map(ZoneInfo, ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe"))
HOME = Profile(name="home", armed=(Pattern(cameras=("door",)), Pattern(labels=("fall",))))
NIGHT = Profile(name="night", armed=(Pattern(),))


def at(text: str, zone: ZoneInfo = BERLIN, *, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).timestamp()


def shown(seconds: float, zone: ZoneInfo = BERLIN) -> str:
    return datetime.fromtimestamp(seconds, zone).isoformat(timespec="minutes")


def event(camera: str = "bath", label: str = "fight", **more) -> Happening:
    return Happening(id="1", camera=camera, label=label, started=0.0, **more)


def rules(*schedules: Schedule, zone: ZoneInfo = BERLIN, usual: str = "home") -> ArmingRules:
    return ArmingRules(zone=zone, usual=usual, own=(HOME, NIGHT), schedules=schedules)


def spans(table: ArmingRules, start: float, hours: float, name: str = "night") -> list[tuple[str, str]]:
    """When a profile is in force, by asking each minute."""
    found: list[list[float]] = []
    before = False
    for minute in range(round(hours * 60) + 1):
        now = start + 60.0 * minute
        inside = scheduled(table, now) == name
        if inside and not before:
            found.append([now, now])
        if before and not inside:
            found[-1][1] = now
        before = inside
    return [(shown(began, table.zone), shown(ended, table.zone)) for began, ended in found]


NIGHTLY = Schedule(profile="night", since=time(22, 30), until=time(6, 30))


class TestProfiles:
    def test_a_profile_arms_what_one_of_its_patterns_fits(self):
        table, now = rules(), at("2026-06-01T12:00")
        assert answer(table, ArmingState(), event("door"), now).armed
        assert answer(table, ArmingState(), event("bath", "fall"), now).armed
        refused = answer(table, ArmingState(), event("bath", "fight"), now)
        assert (refused.armed, refused.reason) == (False, "not armed in profile home, the usual one")

    def test_every_file_has_armed_and_disarmed(self):
        assert answer(ArmingRules(), ArmingState(), event(), 0.0).armed
        off = choose(ArmingState(), DISARMED, None, 0.0, "page")
        assert (
            answer(ArmingRules(), off, event(), 1.0).reason == "not armed in profile disarmed, chosen by hand"
        )

    def test_a_zone_and_a_model_narrow_a_profile(self):
        table = ArmingRules(
            usual="mat", own=(Profile(name="mat", armed=(Pattern(zones=("mat",), models=("fall",)),)),)
        )
        assert answer(table, ArmingState(), event(zone="mat", model="fall"), 0.0).armed
        assert not answer(table, ArmingState(), event(zone="sofa", model="fall"), 0.0).armed


class TestSchedules:
    def test_a_night_goes_over_midnight_and_its_first_second_counts(self):
        table = rules(NIGHTLY)
        assert scheduled(table, at("2026-06-01T22:30") - 0.001) == "home"
        assert scheduled(table, at("2026-06-01T22:30")) == "night"
        assert scheduled(table, at("2026-06-02T06:30") - 0.001) == "night"
        assert scheduled(table, at("2026-06-02T06:30")) == "home"

    def test_days_are_those_on_which_it_begins(self):
        friday = Schedule(profile="night", days=(4,), since=time(22), until=time(6))
        assert spans(rules(friday), at("2026-06-01T00:00"), 7 * 24) == [
            ("2026-06-05T22:00+02:00", "2026-06-06T06:00+02:00")
        ]

    def test_equal_times_are_a_whole_day(self):
        weekend = Schedule(profile="night", days=(5, 6))
        assert spans(rules(weekend), at("2026-06-01T00:00"), 8 * 24) == [
            ("2026-06-06T00:00+02:00", "2026-06-08T00:00+02:00")
        ]

    def test_a_leap_day_is_a_day_like_any_other(self):
        assert spans(rules(NIGHTLY), at("2028-02-28T12:00"), 48) == [
            ("2028-02-28T22:30+01:00", "2028-02-29T06:30+01:00"),
            ("2028-02-29T22:30+01:00", "2028-03-01T06:30+01:00"),
        ]

    def test_a_year_ends_in_the_middle_of_a_night(self):
        assert spans(rules(NIGHTLY), at("2026-12-31T12:00"), 24) == [
            ("2026-12-31T22:30+01:00", "2027-01-01T06:30+01:00")
        ]

    def test_where_several_apply_the_first_counts(self):
        table = rules(Schedule(profile=DISARMED, since=time(23), until=time(0)), NIGHTLY)
        assert scheduled(table, at("2026-06-01T23:30")) == DISARMED
        assert scheduled(table, at("2026-06-02T00:30")) == "night"

    @pytest.mark.parametrize(
        ("zone", "day", "since", "until", "span"),
        [
            # The clock goes forward from 02:00 to 03:00: a night is an hour shorter.
            (
                BERLIN,
                "2026-03-28",
                time(22, 30),
                time(6, 30),
                ("2026-03-28T22:30+01:00", "2026-03-29T06:30+02:00"),
            ),
            # A time that is skipped counts when the clock jumps.
            (
                BERLIN,
                "2026-03-29",
                time(2, 30),
                time(5),
                ("2026-03-29T03:00+02:00", "2026-03-29T05:00+02:00"),
            ),
            (
                BERLIN,
                "2026-03-29",
                time(1),
                time(2, 30),
                ("2026-03-29T01:00+01:00", "2026-03-29T03:00+02:00"),
            ),
            # The clock goes back from 03:00 to 02:00: a time that comes twice counts the first time.
            (
                BERLIN,
                "2026-10-25",
                time(2, 30),
                time(5),
                ("2026-10-25T02:30+02:00", "2026-10-25T05:00+01:00"),
            ),
            (
                BERLIN,
                "2026-10-25",
                time(1),
                time(2, 30),
                ("2026-10-25T01:00+02:00", "2026-10-25T02:30+02:00"),
            ),
            (NEW_YORK, "2026-11-01", time(0), time(0), ("2026-11-01T00:00-04:00", "2026-11-02T00:00-05:00")),
            (
                NEW_YORK,
                "2026-03-08",
                time(2),
                time(3),
                None,
            ),  # of no length: it begins and ends with the jump
            (
                LORD_HOWE,
                "2026-10-04",
                time(2, 15),
                time(4),
                ("2026-10-04T02:30+11:00", "2026-10-04T04:00+11:00"),
            ),
        ],
    )
    def test_clocks_that_are_set(self, zone, day, since, until, span):
        only = Schedule(profile="night", days=(date.fromisoformat(day).weekday(),), since=since, until=until)
        found = spans(rules(only, zone=zone), at(f"{day}T00:00", zone), 36)
        assert found == ([] if span is None else [span])

    def test_a_day_that_a_zone_leaves_out_begins_when_the_next_one_does(self):
        apia = ZoneInfo("Pacific/Apia")  # 2011-12-30 did not happen there
        jump = moment(date(2011, 12, 30), time(12), apia)
        assert jump == moment(date(2011, 12, 31), time(0), apia) == at("2011-12-30T10:00", UTC)

    def test_the_next_change_is_when_another_profile_is_named(self):
        table = rules(NIGHTLY)
        assert next_change(table, at("2026-06-01T12:00")) == (at("2026-06-01T22:30"), "night")
        assert next_change(table, at("2026-06-01T22:30")) == (at("2026-06-02T06:30"), "home")
        weekly = rules(Schedule(profile="night", days=(0,), since=time(8), until=time(9)))
        assert next_change(weekly, at("2026-06-01T09:00")) == (at("2026-06-08T08:00"), "night")
        assert next_change(rules(), 0.0) is None
        assert next_change(rules(Schedule(profile="night")), at("2026-06-01T12:00")) is None


class TestByHand:
    def test_what_is_chosen_goes_before_the_schedule_until_its_time(self):
        table, noon = rules(NIGHTLY), at("2026-06-01T12:00")
        state = choose(ArmingState(), "night", noon + 600.0, noon, "page")
        assert active(table, state, noon + 599.0).cause == "hand"
        assert (active(table, state, noon + 600.0).profile, active(table, state, noon + 600.0).cause) == (
            HOME,
            "usual",
        )
        for_good = choose(state, DISARMED, None, noon, "page")
        assert active(table, for_good, at("2027-06-01T23:00")).profile.name == DISARMED
        back = choose(for_good, "", 5.0, noon, "page")
        assert (active(table, back, at("2026-06-01T23:00")).cause, back.until) == ("schedule", None)

    def test_a_profile_that_the_file_has_no_longer_is_not_in_force(self):
        state = choose(ArmingState(), "holiday", None, 0.0, "page")
        assert active(rules(NIGHTLY), state, at("2026-06-01T23:00")).profile is NIGHT

    def test_what_was_in_force_when_an_event_began_counts(self):
        states = [ArmingState(), choose(ArmingState(), DISARMED, None, 100.0, "page")]
        states.append(choose(states[-1], ARMED, None, 200.0, "page"))
        assert [state_at(states, when).profile for when in (99.0, 100.0, 199.0, 200.0, 1e9)] == [
            "", DISARMED, DISARMED, ARMED, ARMED,
        ]  # fmt: skip

    def test_a_clock_that_was_set_back_makes_no_later_choice_void(self):
        states = [choose(ArmingState(), DISARMED, None, 1000.0, "page")]
        states.append(choose(states[-1], ARMED, None, 500.0, "page"))
        assert state_at(states, 600.0).profile == ARMED and state_at(states, 1200.0).profile == ARMED
        assert state_at(states, 100.0).profile == DISARMED and state_at([], 5.0) == ArmingState()


class TestSnooze:
    def test_a_camera_or_a_label_is_not_armed_for_a_while(self):
        noon = at("2026-06-01T12:00")
        state = snooze(ArmingState(), Snooze(camera="door", label="fight", until=noon + 1800.0), noon)
        refused = answer(rules(), state, event("door"), noon)
        assert refused.reason == "fight of door is snoozed until 12:30"
        assert answer(rules(), state, event("door", "fall"), noon).armed
        assert answer(rules(), state, event("door"), noon + 1800.0).armed
        whole = snooze(state, Snooze(camera="door", until=noon + 86_400.0), noon)
        assert answer(rules(), whole, event("door", "fall"), noon).reason == (
            "door is snoozed until 2026-06-02 12:00"
        )

    def test_a_snooze_may_last_until_it_is_ended(self):
        state = snooze(ArmingState(), Snooze(camera="door"), 0.0)
        assert answer(rules(), state, event("door"), 1e10).reason == "door is snoozed"
        assert snooze(state, Snooze(camera="door", until=5.0), 5.0).snoozes == ()

    def test_a_snooze_does_not_change_where_the_profile_was_chosen(self):
        chosen = choose(ArmingState(), DISARMED, None, 0.0, "page")
        assert snooze(chosen, Snooze(camera="door", until=60.0), 1.0).by == "page"

    def test_a_second_snooze_takes_the_place_of_the_first_and_one_in_the_past_ends_it(self):
        first = snooze(ArmingState(), Snooze(camera="door", until=1000.0), 100.0)
        longer = snooze(first, Snooze(camera="door", until=2000.0), 200.0)
        assert [one.until for one in longer.snoozes] == [2000.0]
        assert snooze(longer, Snooze(camera="door", until=0.0), 300.0).snoozes == ()
        assert choose(longer, DISARMED, None, 3000.0, "page").snoozes == ()


def test_the_overview_says_what_of_each_camera_is_armed_and_why_not():
    noon = at("2026-06-01T12:00")
    state = snooze(ArmingState(), Snooze(camera="door", label="fall", until=noon + 60.0), noon)
    cameras = {
        "door": [("", "fall"), ("", "fight")],
        "bath": [("", "fight")],
        "hall": [("", "fall")],
        "new": [],
    }
    door, bath, hall, new = overview(rules(), state, cameras, noon)
    assert [one.armed for one in (door, bath, hall, new)] == ["some", "none", "all", "none"]
    assert [(one.label, one.armed) for one in door.labels] == [("fall", False), ("fight", True)]
    assert bath.labels[0].reason == "not armed in profile home, the usual one"
    mat = ArmingRules(usual="mat", own=(Profile(name="mat", armed=(Pattern(zones=("mat",)),)),))
    assert overview(mat, ArmingState(), {"gym": [("", "wave")]}, noon)[0].armed == "all"

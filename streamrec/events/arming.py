"""Arming: whether receivers are notified of an event, by profile, schedule and snooze, as plain functions of the time.

A *profile* says of which events receivers are notified. The profile in force is the one that was chosen by hand, or
else the one of the schedule, or else the usual one. A *snooze* makes a camera, or one label of it, not armed for a
while.
Nothing here has a clock: times are seconds since 1970, and are given.

**Times of day** are those of the file's zone. Where the clock is set forward and a time is skipped, it counts when the
clock jumps; where the clock is set back and a time comes twice, it counts the first time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo

from streamrec.events.rules import Happening, Pattern

ARMED, DISARMED = "armed", "disarmed"  # profiles that every file has: all events, and none
_LOOK_AHEAD = 8  # days in which a weekly schedule repeats
SCHEDULE = "schedule"  # in place of a profile: as the schedule says; of a time: until it changes next
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Of which events receivers are notified: those that one of the patterns fits.

    >>> fall = Happening(id="1", camera="bath", label="fall", started=0.0)
    >>> Profile(name="home", armed=(Pattern(labels=("fall",)), Pattern(cameras=("door",)))).fits(fall)
    True
    """

    name: str
    armed: tuple[Pattern, ...] = ()  # empty: none

    def fits(self, event: Happening) -> bool:
        """Whether receivers are notified of this event."""
        return any(pattern.fits(event) for pattern in self.armed)


BUILT_IN = (Profile(name=ARMED, armed=(Pattern(),)), Profile(name=DISARMED))


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When a profile is in force: from a time of day on some days, until the next such time of day.

    Equal times: a whole day.
    """

    profile: str
    days: tuple[int, ...] = tuple(range(7))  # 0: Monday; on which it begins
    since: time = time(0)
    until: time = time(0)

    def spell(self, day: date, zone: tzinfo | None) -> tuple[float, float] | None:
        """When it begins and ends, of those that begin on this day; None: on this day none does."""
        if day.weekday() not in self.days:
            return None
        last = day if self.until > self.since else day + timedelta(days=1)
        return moment(day, self.since, zone), moment(last, self.until, zone)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmingRules:
    """The ``[arming]`` table of cameras.toml."""

    zone: ZoneInfo | None = None  # of the times of day; None: this machine's
    usual: str = ARMED  # the profile where the schedule names none
    own: tuple[Profile, ...] = ()
    schedules: tuple[Schedule, ...] = ()  # where several apply, the first of them counts

    @property
    def profiles(self) -> dict[str, Profile]:
        """All by name, those that every file has first."""
        return {profile.name: profile for profile in (*BUILT_IN, *self.own)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Snooze:
    """A camera, or one label of it, is not armed for a while."""

    camera: str
    label: str = ""  # "": all
    until: float = math.inf  # inf: until it is ended


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmingState:
    """What was chosen by hand, from a moment on."""

    at: float = 0.0
    by: str = ""  # where the profile was chosen, such as "page"
    profile: str = ""  # chosen by hand; "": as the schedule says
    until: float | None = None  # of that profile; None: until another is chosen
    snoozes: tuple[Snooze, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Active:
    """The profile in force at a moment."""

    profile: Profile
    cause: str  # "hand", "schedule" or "usual"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Whether receivers are notified of an event, and why not."""

    armed: bool
    reason: str = ""  # a clause; "" where it is armed


def moment(day: date, at: time, zone: tzinfo | None) -> float:
    """When a zone's clock shows a time of day, in seconds since 1970; ``zone`` None: this machine's.

    >>> berlin = ZoneInfo("Europe/Berlin")
    >>> jump = moment(date(2026, 3, 29), time(2, 30), berlin)  # the clock goes from 02:00 to 03:00
    >>> datetime.fromtimestamp(jump, berlin).strftime("%H:%M")
    '03:00'
    """
    first = _stamp(datetime.combine(day, at), zone)
    shown = datetime.fromtimestamp(first, zone).replace(tzinfo=None)
    skipped = shown - datetime.combine(day, at)
    if not skipped:
        return first
    # The clock was set forward past this time. Before the jump it was ``skipped`` behind what it is after it.
    low, high = first - skipped.total_seconds(), first
    before = _offset(low - 1.0, zone)
    while high - low > 0.5:
        middle = (low + high) / 2
        low, high = (middle, high) if _offset(middle, zone) == before else (low, middle)
    return float(round(high))


def _stamp(local: datetime, zone: tzinfo | None) -> float:
    return local.replace(tzinfo=zone, fold=0).timestamp() if zone is not None else local.timestamp()


def _offset(at: float, zone: tzinfo | None) -> timedelta | None:
    local = datetime.fromtimestamp(at, zone)
    return local.utcoffset() if zone is not None else local.astimezone().utcoffset()


def scheduled(rules: ArmingRules, at: float) -> str:
    """The profile that the schedule names at a moment, or else the usual one.

    >>> night = Schedule(profile="disarmed", since=time(22), until=time(6))
    >>> rules = ArmingRules(zone=ZoneInfo("UTC"), schedules=(night,))
    >>> scheduled(rules, 5 * 3600.0), scheduled(rules, 6 * 3600.0)
    ('disarmed', 'armed')
    """
    known = rules.profiles
    day = datetime.fromtimestamp(at, rules.zone).date()
    for schedule in rules.schedules:
        for begun in (day, day - timedelta(days=1)):
            spell = schedule.spell(begun, rules.zone)
            if spell is not None and spell[0] <= at < spell[1] and schedule.profile in known:
                return schedule.profile
    return rules.usual


def next_change(rules: ArmingRules, at: float) -> tuple[float, str] | None:
    """When the schedule next names another profile than now, and which; None: it does not."""
    if {one.profile for one in rules.schedules} <= {rules.usual}:
        return None
    now = scheduled(rules, at)
    for edge in sorted(set(_edges(rules, at))):
        if edge > at and (name := scheduled(rules, edge)) != now:
            return edge, name
    return None


def _edges(rules: ArmingRules, at: float) -> Iterator[float]:
    today = datetime.fromtimestamp(at, rules.zone).date()
    for schedule in rules.schedules:
        for days in range(-1, _LOOK_AHEAD + 1):
            yield from schedule.spell(today + timedelta(days=days), rules.zone) or ()


def renamed(before: ArmingRules, now: ArmingRules) -> tuple[str, str] | None:
    """The old and the new name, where a single profile has another name at its place; None: none has.

    >>> home, away = Profile(name="home", armed=()), Profile(name="away", armed=())
    >>> renamed(ArmingRules(own=(home,)), ArmingRules(own=(away,))), renamed(ArmingRules(own=(home,)), ArmingRules())
    (('home', 'away'), None)
    """
    if len(before.own) != len(now.own):
        return None
    changed = [
        (old.name, new.name) for old, new in zip(before.own, now.own, strict=True) if old.name != new.name
    ]
    return changed[0] if len(changed) == 1 else None


def active(rules: ArmingRules, state: ArmingState, at: float) -> Active:
    """The profile in force at a moment."""
    known = rules.profiles
    # A profile that the file no longer has is not in force any more.
    if state.profile in known and (state.until is None or at < state.until):
        return Active(profile=known[state.profile], cause="hand")
    name = scheduled(rules, at)
    return Active(profile=known[name], cause="usual" if name == rules.usual else "schedule")


def answer(
    rules: ArmingRules, state: ArmingState, event: Happening, at: float, in_force: Active | None = None
) -> Answer:
    """Whether receivers are notified of an event that began at this moment.

    ``in_force``: the profile at this moment, where it is known already.

    >>> fall = Happening(id="1", camera="bath", label="fall", started=0.0)
    >>> state = ArmingState(snoozes=(Snooze(camera="bath", until=600.0),))
    >>> answer(ArmingRules(zone=ZoneInfo("UTC")), state, fall, 0.0).reason
    'bath is snoozed until 00:10'
    """
    snooze = _snooze_of(state, event.camera, event.label, at)
    if snooze is not None:
        what = f"{snooze.label} of {snooze.camera}" if snooze.label else snooze.camera
        ends = "" if math.isinf(snooze.until) else f" until {clock(snooze.until, rules.zone, at)}"
        return Answer(armed=False, reason=f"{what} is snoozed{ends}")
    now = in_force or active(rules, state, at)
    if now.profile.fits(event):
        return Answer(armed=True)
    how = {"hand": "chosen by hand", "schedule": "by schedule", "usual": "the usual one"}[now.cause]
    return Answer(armed=False, reason=f"not armed in profile {now.profile.name}, {how}")


def clock(at: float, zone: tzinfo | None, now: float) -> str:
    """A moment as a time of day, with the date where that is not today."""
    then, today = datetime.fromtimestamp(at, zone), datetime.fromtimestamp(now, zone)
    return then.strftime("%H:%M" if then.date() == today.date() else "%Y-%m-%d %H:%M")


def state_at(states: Sequence[ArmingState], at: float) -> ArmingState:
    """The state that was in force at a moment, of states in the order in which they were chosen.

    Before the first one it is the first. A clock that was set back makes no later choice void.
    """
    for state in reversed(states):
        if state.at <= at:
            return state
    return states[0] if states else ArmingState()


def choose(state: ArmingState, profile: str, until: float | None, at: float, by: str) -> ArmingState:
    """A profile is chosen by hand; "": the schedule counts again."""
    return replace(_without_past(state, at), at=at, by=by, profile=profile, until=until if profile else None)


def snooze(state: ArmingState, new: Snooze, at: float) -> ArmingState:
    """A snooze is added, in place of another of the same camera and label; one that is over already ends that."""
    kept = [one for one in state.snoozes if (one.camera, one.label) != (new.camera, new.label)]
    return replace(_without_past(replace(state, snoozes=(*kept, new)), at), at=at)


def _without_past(state: ArmingState, at: float) -> ArmingState:
    return replace(state, snoozes=tuple(one for one in state.snoozes if one.until > at))


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmedLabel:
    """Whether one label of a camera is armed."""

    label: str
    armed: bool
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmedCamera:
    """What of a camera is armed."""

    name: str
    labels: tuple[ArmedLabel, ...] = ()
    snoozed_until: float | None = None  # the whole camera; inf: until that is ended

    @property
    def armed(self) -> str:
        """``all`` of its labels, ``some`` or ``none``."""
        states = {one.armed for one in self.labels}
        return "some" if len(states) == 2 else "all" if states == {True} else "none"


def overview(
    rules: ArmingRules, state: ArmingState, cameras: Mapping[str, Sequence[tuple[str, str]]], at: float
) -> tuple[ArmedCamera, ...]:
    """What is armed now, of cameras with their pairs of model and label; an event in any zone counts."""
    found, now = [], active(rules, state, at)
    for name, actions in cameras.items():
        labels: dict[str, ArmedLabel] = {}
        for model, label in actions:
            event = Happening(id="", camera=name, label=label, model=model, started=at)
            given = answer(rules, state, event, at, now)
            in_a_zone = any(_fits_in_a_zone(pattern, event) for pattern in now.profile.armed)
            if in_a_zone and not given.armed and _snooze_of(state, name, label, at) is None:
                given = Answer(armed=True)
            before = labels.get(label)
            if before is None or given.armed:
                labels[label] = ArmedLabel(label=label, armed=given.armed, reason=given.reason)
        until = snoozed_until(state, name, at)
        found.append(ArmedCamera(name=name, labels=tuple(labels.values()), snoozed_until=until))
    return tuple(found)


def snoozed_until(state: ArmingState, camera: str, at: float) -> float | None:
    """Until when a whole camera is snoozed; inf: until that is ended; None: it is not."""
    whole = (one.until for one in state.snoozes if one.camera == camera and not one.label and one.until > at)
    return max(whole, default=None)


def _snooze_of(state: ArmingState, camera: str, label: str, at: float) -> Snooze | None:
    """The first snooze that holds for a label of a camera at a moment."""
    return next(
        (
            one
            for one in state.snoozes
            if one.camera == camera and one.label in ("", label) and one.until > at
        ),
        None,
    )


def _fits_in_a_zone(pattern: Pattern, event: Happening) -> bool:
    return bool(pattern.zones) and pattern.fits(replace(event, zone=pattern.zones[0]))

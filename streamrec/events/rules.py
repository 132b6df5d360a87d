"""Rules over events: what lasts too long, does not happen, follows on something else, or happens too often.

A rule is a pure state machine: ``step`` takes the state, and a moment of one camera with the events that began or ended
with it, and returns what the rule reports and the next state. Times are seconds since 1970 that do not jump
(``Moment.shift`` leads back to the clock on the wall). **Only watched time counts**: the time between two moments of a
camera that are more than ``GAP`` apart passed unseen, and a rule about what does not happen stands still meanwhile.
``replay`` steps through what a history holds, and so finds what a rule would have reported, and the state to go on
from after a restart.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, time, timedelta
from enum import StrEnum
from typing import TypeAlias
from zoneinfo import ZoneInfo

from streamrec.errors import SettingsError
from streamrec.events.detector import INSTANT
from streamrec.events.fusion import step_together
from streamrec.events.rule_events import GAP, Change, Happening, Moment, Pattern, Report, Waiting

DAY = 86_400.0
_STEP = 60.0  # seconds between two moments of a replay; reports are dated exactly all the same


class Kind(StrEnum):
    """The kinds of rules."""

    lasts = "lasts"  # one event lasts longer than ``lasts``
    absent = "absent"  # none for ``absent``
    daily = "daily"  # none from ``since`` to ``by``, each day
    follows = "follows"  # ``then`` follows within ``within``
    together = "together"  # ``also`` happens within ``within`` of it, before, during or after it
    often = "often"  # ``count`` of them begin within ``within``


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule. Which numbers it has says of which kind it is; raises ``SettingsError`` where that is not clear.

    >>> Rule(name="lies too long", when=Pattern(labels=("fall",)), lasts=30.0).kind
    <Kind.lasts: 'lasts'>
    """

    name: str
    when: Pattern
    lasts: float | None = None  # seconds
    absent: float | None = None  # seconds
    since: time | None = None  # a time of day
    by: time | None = None  # the next such time of day
    then: Pattern | None = None
    also: Pattern | None = None
    count: int | None = None
    within: float | None = None  # seconds
    timezone: str = ""  # of the times of day; "": this machine's

    def __post_init__(self) -> None:
        given = self._given
        if given not in _OF_KIND.values():
            raise SettingsError(_what_is_wrong(given))
        if self.timezone and self.since is None:
            raise SettingsError("timezone: it belongs to since and by, and there are none")
        if self.since is not None and self.since == self.by:
            raise SettingsError("by: it is the same time as since; give a later one")

    @property
    def kind(self) -> Kind:
        """What it is about."""
        given = self._given
        return next(kind for kind, keys in _OF_KIND.items() if keys == given)

    @property
    def _given(self) -> set[str]:
        return {key for key in _KEYS if getattr(self, key) is not None}

    @property
    def zone(self) -> ZoneInfo | None:
        """The zone of the times of day; None: this machine's."""
        return ZoneInfo(self.timezone) if self.timezone else None

    @property
    def memory(self) -> float:
        """Seconds of the past that matter to it; longer events are known by their starts all the same."""
        spans = (self.lasts, self.absent, self.within, 2 * DAY if self.since else None)
        return max(span for span in spans if span is not None)


_KEYS = ("lasts", "absent", "since", "by", "then", "also", "count", "within")
_OF_KIND = {
    Kind.lasts: {"lasts"},
    Kind.absent: {"absent"},
    Kind.daily: {"since", "by"},
    Kind.follows: {"then", "within"},
    Kind.together: {"also", "within"},
    Kind.often: {"count", "within"},
}
_CHOICE = (
    "give lasts, or absent, or since and by, or then and within, or also and within, or count and within"
)


def _what_is_wrong(given: set[str]) -> str:
    for keys in _OF_KIND.values():
        if given and given < keys:
            (missing, *_) = sorted(keys - given)
            if given == {"within"}:
                return "within: it says in what time, and not of what; add then, also or count"
            return f"{missing}: it is missing; {' and '.join(sorted(keys, key=_KEYS.index))} belong together"
    if not given:
        return f"it says which events, and not what of them; {_CHOICE}"
    return f"{' and '.join(key for key in _KEYS if key in given)} do not go together; {_CHOICE}"


# -- the states


@dataclass(frozen=True, slots=True)
class _Clock:
    """One camera: when it was last seen, and for how many seconds in all it was watched."""

    time: float
    watched: float = 0.0
    gaps: int = 0

    def at(self, time: float, since: float) -> _Clock:
        passed = time - self.time
        if -GAP < passed < INSTANT:  # one result may be dated before another
            return self
        if 0 < passed <= GAP or since <= self.time < time:
            return _Clock(time, self.watched + passed, self.gaps)
        return _Clock(time, self.watched, self.gaps + 1)


@dataclass(frozen=True, slots=True)
class _Held:
    """An event that runs."""

    event: Happening
    since: float  # watched seconds of its camera when it began
    over: bool = False  # it has lasted long enough


@dataclass(frozen=True, slots=True)
class Lasting:
    """State of a rule about what lasts."""

    held: tuple[_Held, ...] = ()
    reported: frozenset[str] = frozenset()  # cameras on which the rule's event runs


@dataclass(frozen=True, slots=True)
class Missing:
    """State of a rule about what does not happen, for a time or on a day."""

    open: frozenset[str] = frozenset()  # ids of events that run
    last: str = ""  # id of the last event
    horizon: float | None = None  # up to when all its cameras are known; None: one was never seen
    gaps: int = 0  # of all its cameras, so far
    quiet: float = 0.0  # watched seconds without an event
    reported: bool = False
    day: float = -math.inf  # when its day began
    happened: bool = False  # on this day


RuleState: TypeAlias = Lasting | Missing | Waiting


@dataclass(frozen=True, slots=True)
class RulesState:
    """All that rules remember."""

    clocks: Mapping[str, _Clock] = field(default_factory=dict)  # by camera
    rules: Mapping[str, RuleState] = field(default_factory=dict)  # by name


def initial(rule: Rule) -> RuleState:
    """The state of a rule that knows nothing."""
    if rule.kind is Kind.lasts:
        return Lasting()
    return Missing() if rule.kind in (Kind.absent, Kind.daily) else Waiting()


def step(
    rules: Iterable[Rule], cameras: Sequence[str], moment: Moment, state: RulesState
) -> tuple[tuple[Report, ...], RulesState]:
    """One moment of one camera. ``cameras``: all that are watched, for rules that name none.

    >>> lies = Rule(name="lies too long", when=Pattern(labels=("fall",)), lasts=3.0)
    >>> fall = Happening(id="1", camera="bath", label="fall", started=0.0)
    >>> state, reports = RulesState(), ()
    >>> for second in range(5):
    ...     moment = Moment(camera="bath", time=float(second), changes=(fall,) if second == 0 else ())
    ...     found, state = step([lies], ["bath"], moment, state)
    ...     reports += found
    >>> [(report.change.value, report.time, report.based_on) for report in reports]
    [('started', 3.0, ('1',))]
    """
    before = state.clocks.get(moment.camera)
    clock = _Clock(moment.time) if before is None else before.at(moment.time, moment.since)
    clocks = state.clocks if clock is before else {**state.clocks, moment.camera: clock}
    reports: list[Report] = []
    states = dict(state.rules)
    for rule in rules:
        own = states.get(rule.name)
        own = initial(rule) if own is None else own
        if isinstance(own, Lasting):
            found, own = _step_lasting(rule, moment, clock, own)
        elif isinstance(own, Missing):
            found, own = _step_missing(rule, rule.when.cameras or tuple(cameras), moment, clocks, own)
        elif rule.then is not None:
            found, own = _step_follows(rule, rule.then, moment, own)
        elif rule.also is not None and rule.within is not None:
            found, own = step_together(rule.name, rule.when, rule.also, rule.within, moment, own)
        else:
            found, own = _step_count(rule, moment, own)
        reports += found
        states[rule.name] = own
    return tuple(reports), RulesState(clocks, states)


def _step_lasting(rule: Rule, moment: Moment, clock: _Clock, state: Lasting) -> tuple[list[Report], Lasting]:
    assert rule.lasts is not None
    reports, held, reported = [], {one.event.id: one for one in state.held}, state.reported
    for event in moment.changes:
        if not rule.when.fits(event):
            continue
        known = held.pop(event.id, None)
        if event.ended is None:
            lag = min(max(0.0, moment.time - event.started), GAP)
            held[event.id] = known or _Held(event, clock.watched - lag)
        elif (
            event.ended - event.started >= rule.lasts - INSTANT
            and not (known and known.over)  # it was over before its length was seen
            and event.camera not in reported
        ):
            reported |= {event.camera}
            reports.append(_lasts(rule, event, event.started + rule.lasts))
    for id, one in held.items():
        if one.over or one.event.camera != moment.camera:
            continue
        beyond = clock.watched - one.since - rule.lasts
        if beyond >= -INSTANT:
            held[id] = replace(one, over=True)
            if moment.camera not in reported:
                reported |= {moment.camera}
                reports.append(_lasts(rule, one.event, moment.time - beyond))
    for camera in reported - {one.event.camera for one in held.values() if one.over}:
        reported -= {camera}
        ended = [
            event.ended for event in moment.changes if event.camera == camera and event.ended is not None
        ]
        at = max(ended, default=moment.time)
        reports.append(Report(rule=rule.name, change=Change.ended, camera=camera, time=at))
    return reports, Lasting(tuple(held.values()), reported)


def _lasts(rule: Rule, event: Happening, at: float) -> Report:
    return Report(
        rule=rule.name, change=Change.started, camera=event.camera, time=at, zone=event.zone,
        based_on=(event.id,),
    )  # fmt: skip


def _step_missing(
    rule: Rule, cameras: Sequence[str], moment: Moment, clocks: Mapping[str, _Clock], state: Missing
) -> tuple[list[Report], Missing]:
    """Both kinds: without a day, the quiet begins anew after each event."""
    if moment.camera not in cameras:
        return [], state
    known = [clocks[camera].time for camera in cameras if camera in clocks]
    if len(known) < len(cameras):
        return [], _note_missing(rule, moment, state)
    horizon, gaps = min(known), sum(clocks[camera].gaps for camera in cameras)
    watched = length = 0.0  # seconds: since the last moment, and of the rule's day
    if state.horizon is not None and gaps == state.gaps:
        watched = max(0.0, horizon - state.horizon)
    reports: list[Report] = []
    camera, before = cameras[0], state
    state = replace(state, horizon=horizon, gaps=gaps, quiet=state.quiet + watched)
    if rule.since is not None and rule.by is not None:
        begin, end = day_of(rule.since, rule.by, horizon + moment.shift, rule.zone)
        length = end - begin
        begin -= moment.shift
        if abs(begin - state.day) > DAY / 4:  # a clock that is set moves the day by a little
            quiet = min(watched, max(0.0, horizon - begin))
            if state.reported:
                reports.append(Report(rule=rule.name, change=Change.ended, camera=camera, time=begin))
            state = replace(state, day=begin, quiet=quiet, happened=bool(state.open), reported=False)
    state = _note_missing(rule, moment, state)
    if state.reported and (state.open or state.last != before.last):
        at = max(min(event.started for event in moment.changes if rule.when.fits(event)), state.day)
        reports.append(Report(rule=rule.name, change=Change.ended, camera=camera, time=at))
        state = replace(state, reported=False)
    if state.reported or state.open:
        return reports, state
    if rule.absent is not None:
        beyond = state.quiet - rule.absent
    else:
        beyond = -math.inf if state.happened else state.quiet - length
    if beyond >= -INSTANT:
        begins = Report(
            rule=rule.name, change=Change.started, camera=camera, time=horizon - beyond,
            based_on=(state.last,) if state.last else (),
        )  # fmt: skip
        reports.append(begins)
        state = replace(state, reported=True)
    return reports, state


def _note_missing(rule: Rule, moment: Moment, state: Missing) -> Missing:
    """What happened after all."""
    for event in moment.changes:
        if not rule.when.fits(event):
            continue
        if event.ended is None:
            state = replace(state, open=state.open | {event.id}, last=event.id, happened=True)
        else:
            quiet = min(max(0.0, moment.time - event.ended), GAP)
            happened = state.happened or event.ended >= state.day
            state = replace(
                state, open=state.open - {event.id}, last=event.id, quiet=quiet, happened=happened
            )
    return replace(state, quiet=0.0) if state.open else state


def _step_follows(rule: Rule, then: Pattern, moment: Moment, state: Waiting) -> tuple[list[Report], Waiting]:
    """``then`` begins after the start of the first, and at most ``within`` after its end; each first counts once."""
    assert rule.within is not None
    reports, first = [], list(state.events)
    for event in moment.changes:
        if event.ended is None and then.fits(event):
            found = [
                one
                for one in first
                if one.id != event.id
                and one.started <= event.started <= (one.ended or event.started) + rule.within + INSTANT
            ]
            if found:
                one = found[-1]
                report = Report(
                    rule=rule.name, change=Change.both, camera=event.camera, time=event.started,
                    zone=event.zone, based_on=(one.id, event.id),
                )  # fmt: skip
                reports.append(report)
                first = [other for other in first if other.started > event.started]
        if rule.when.fits(event):
            known = any(one.id == event.id for one in first)
            if event.ended is None and not known:
                first.append(event)
            elif known:
                first = [event if one.id == event.id else one for one in first]
    kept = [one for one in first if one.ended is None or moment.time - one.ended <= rule.within + GAP]
    return reports, Waiting(tuple(kept))


def _step_count(rule: Rule, moment: Moment, state: Waiting) -> tuple[list[Report], Waiting]:
    """Those that were counted for a report do not count for the next one."""
    assert rule.within is not None and rule.count is not None
    reports, events = [], list(state.events)
    for event in moment.changes:
        if event.ended is not None or not rule.when.fits(event):
            continue
        events = [one for one in events if abs(event.started - one.started) <= rule.within + INSTANT]
        events.append(event)
        if len(events) >= rule.count:
            report = Report(
                rule=rule.name, change=Change.both, camera=event.camera, time=event.started, zone=event.zone,
                based_on=tuple(one.id for one in events),
            )  # fmt: skip
            reports.append(report)
            events = []
    return reports, Waiting(tuple(events))


# -- times of day


def day_of(since: time, by: time, at: float, zone: ZoneInfo | None) -> tuple[float, float]:
    """The last ``since`` that is not after ``at``, and the ``by`` that follows it; seconds since 1970.

    A time that a day does not have, because clocks go forward, is the moment at which they do or soon after; of one
    that a day has twice, the first counts. So a span has as many hours as that day gives it.

    >>> berlin = ZoneInfo("Europe/Berlin")
    >>> begin, end = day_of(time(1), time(4), datetime(2026, 3, 29, 12, tzinfo=berlin).timestamp(), berlin)
    >>> (end - begin) / 3600  # the night in which clocks go forward
    2.0
    """
    day = datetime.fromtimestamp(at, zone).date() + timedelta(days=1)
    while (begin := _moment(datetime.combine(day, since), zone)) > at + INSTANT:
        day -= timedelta(days=1)
    return begin, _moment(datetime.combine(day + timedelta(days=int(by <= since)), by), zone)


def _moment(local: datetime, zone: ZoneInfo | None) -> float:
    return (local if zone is None else local.replace(tzinfo=zone)).timestamp()


# -- the past


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A camera gave frames from then to then."""

    camera: str
    began: float
    ended: float


def moments_of(events: Iterable[Happening], watched: Sequence[Watched]) -> Iterator[Moment]:
    """The past as moments, in order."""
    moments: list[Moment] = []
    ends = {(one.camera, one.ended) for one in watched}
    for one in watched:
        steps = max(1, math.ceil((one.ended - one.began) / _STEP))
        length = (one.ended - one.began) / steps
        times = (*(one.began + n * length for n in range(steps)), one.ended)
        moments += (Moment(camera=one.camera, time=time, since=one.began) for time in times)
    for event in events:
        start = replace(event, ended=None)
        moments.append(Moment(camera=event.camera, time=event.started, changes=(start,)))
        if event.ended is not None:
            moments.append(
                Moment(camera=event.camera, time=max(event.started, event.ended), changes=(event,))
            )
    moments.sort(key=lambda moment: moment.time)  # stable: a start comes before its end
    since: dict[str, float] = {}
    for moment in moments:
        if moment.changes:
            yield replace(moment, since=since.get(moment.camera, math.inf))
            continue
        since[moment.camera] = moment.since
        yield moment
        if (moment.camera, moment.time) in ends:
            del since[moment.camera]


def replay(
    rules: Sequence[Rule], cameras: Sequence[str], events: Iterable[Happening], watched: Sequence[Watched]
) -> tuple[list[Report], RulesState]:
    """What the rules would have reported of the past, in order, and the state in which it leaves them.

    >>> twice = Rule(name="twice", when=Pattern(), count=2, within=60.0)
    >>> falls = [Happening(id=str(n), camera="bath", label="fall", started=n, ended=n + 1.0) for n in (0.0, 30.0, 99.0)]
    >>> [report.based_on for report in replay([twice], ["bath"], falls, [])[0]]
    [('0.0', '30.0')]
    """
    reports: list[Report] = []
    state = RulesState()
    for moment in moments_of(events, watched):
        found, state = step(rules, cameras, moment, state)
        reports += found
    return reports, state


def running(rules: Iterable[Rule], cameras: Sequence[str], state: RulesState) -> list[Report]:
    """The starts of the rules' events that run in a state; their times are those of their cameras' clocks."""
    found = []
    for rule in rules:
        own = state.rules.get(rule.name)
        starts: dict[str, tuple[str, tuple[str, ...]]] = {}  # camera: zone, ids
        if isinstance(own, Lasting):
            over = [one.event for one in own.held if one.over and one.event.camera in own.reported]
            starts = {event.camera: (event.zone, (event.id,)) for event in reversed(over)}
        elif isinstance(own, Missing) and own.reported:
            named = rule.when.cameras or tuple(cameras)
            starts = {named[0]: ("", (own.last,) if own.last else ())} if named else {}
        for camera, (zone, based_on) in starts.items():
            clock = state.clocks.get(camera)
            report = Report(
                rule=rule.name, change=Change.started, camera=camera, time=0.0 if clock is None else clock.time,
                zone=zone, based_on=based_on,
            )  # fmt: skip
            found.append(report)
    return found


def joined(live: RulesState, kept: Iterable[Rule], ready: RulesState) -> RulesState:
    """The state in which some rules go on as they are (``kept``), and others as a replay left them.

    The clocks are the live ones, where there are any: what the others remember is set to them.
    """
    clocks = {**ready.clocks, **live.clocks}
    rules: dict[str, RuleState] = {}
    for name, own in ready.rules.items():
        if isinstance(own, Lasting):
            held = []
            for one in own.held:
                of, now = ready.clocks.get(one.event.camera), clocks.get(one.event.camera)
                ahead = 0.0 if of is None or now is None else now.watched - of.watched
                held.append(replace(one, since=one.since + ahead))
            own = replace(own, held=tuple(held))
        elif isinstance(own, Missing) and own.horizon is not None:
            own = replace(own, horizon=None)  # it begins with the next frame
        rules[name] = own
    rules |= {rule.name: live.rules[rule.name] for rule in kept if rule.name in live.rules}
    return RulesState(clocks, rules)

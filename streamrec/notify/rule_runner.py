"""Rules while cameras run: given each result and its events, it returns the events that rules report."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from streamrec.core.clock_jumps import steady
from streamrec.events.rules import (
    DAY,
    Change,
    Happening,
    Kind,
    Moment,
    Report,
    Rule,
    RulesState,
    joined,
    running,
    step,
)
from streamrec.outputs.history.records import Entry
from streamrec.outputs.history.rule_replay import happening_of, replayed
from streamrec.outputs.history.store import History
from streamrec.types import ActionEnded, ActionStarted, Event, Result

_JUMP = 2.0  # seconds by which a clock is set at least, to count as a jump
_MOST_KNOWN = 1_000  # events whose starts are remembered
_SURE = 1.0  # a rule is not a guess: its events' confidence


@dataclass(frozen=True, kw_only=True)
class ReadyRules:
    """Rules, and what they know of the past; prepared in any thread."""

    rules: tuple[Rule, ...] = ()
    cameras: tuple[str, ...] = ()  # all that are watched
    state: RulesState = field(default_factory=RulesState)


def prepare_rules(
    history: History, rules: Sequence[Rule], cameras: Sequence[str], clock: Callable[[], float] = time.time
) -> ReadyRules:
    """What rules know of what a history holds until now. Of that only what still holds is reported."""
    if not rules:
        return ReadyRules(cameras=tuple(cameras))
    now = clock()
    _, state = replayed(history, rules, cameras, now, now + DAY)  # a file may be read faster than it lasts
    return ReadyRules(rules=tuple(rules), cameras=tuple(cameras), state=state)


def reporting(rule: Rule, cameras: Sequence[str]) -> tuple[str, ...]:
    """The cameras that may have events of a rule, among those that are watched."""
    named = rule.then.cameras if rule.then is not None else rule.when.cameras
    if rule.also is not None:  # on the camera of the second
        named = (*named, *rule.also.cameras) if named and rule.also.cameras else ()
    found = tuple(camera for camera in cameras if not named or camera in named)
    return found[:1] if rule.kind in (Kind.absent, Kind.daily) else found


@dataclass(frozen=True, slots=True)
class _Last:
    """The newest result of a camera."""

    result: Result
    time: float  # of the rules: it follows the source's own clock
    zero: float  # the time at timestamp 0 of this segment
    shift: float  # seconds by which the clock on the wall is ahead of that


class RuleRunner:
    """Applies rules to the results of running cameras. For one thread, but ``prepare_rules``.

    It remembers the newest result of each camera: a rule about what does not happen reports on its first camera,
    whichever gave the frame with which it is known.
    """

    def __init__(
        self,
        history: History,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = steady,
    ) -> None:
        self._history, self._clock, self._monotonic = history, clock, monotonic
        self._now = ReadyRules()
        self._state = RulesState()
        # Rule and camera: its event that runs, and when that began.
        self._running: dict[tuple[str, str], tuple[ActionStarted, float]] = {}
        self._last: dict[str, _Last] = {}  # by camera
        # Starts of what held when the rules came, until their camera gives a frame.
        self._due: list[Report] = []
        self._shift = 0.0  # seconds by which the system clock was set ahead
        self._clocks = (clock(), monotonic())
        self._known: dict[str, float] = {}  # ids of running events: when they began, as rules have it

    @property
    def cameras(self) -> tuple[str, ...]:
        """All that are watched."""
        return self._now.cameras

    @property
    def rules(self) -> tuple[Rule, ...]:
        """Those in force."""
        return self._now.rules

    def use(self, ready: ReadyRules) -> list[Result]:
        """These rules from now on. Those that were in force go on; the results are of the others' events, which end."""
        rules, kept = ready.rules, [rule for rule in ready.rules if rule in self._now.rules]
        self._state = joined(self._state, kept, ready.state)
        self._now = ready
        names = {rule.name for rule in kept}
        ended = []
        for name, camera in list(self._running):
            if camera in self._last and (name not in names or camera not in ready.cameras):
                at = self._last[camera].time
                ended.append(Report(rule=name, change=Change.ended, camera=camera, time=at))
        for entry in self._history.running:  # what began since the past was read
            if entry.rule is None and entry.camera in self._last:
                moment = self._moment(self._last[entry.camera], [entry])
                _, self._state = step(rules, ready.cameras, moment, self._state)
        starts = running(rules, ready.cameras, self._state)
        self._due = [one for one in starts if (one.rule, one.camera) not in self._running]
        return self._results(ended)

    def step(self, result: Result, entries: Iterable[Entry], seen: float, *, live: bool) -> list[Result]:
        """The results with the events that rules report now, one a camera; no frame is new in them.

        ``entries``: of the events of this result. ``seen``: when its frame was taken, seconds since 1970.
        """
        if live:
            self._follow_clock()
        camera = result.frame.source
        shift = self._shift if live else 0.0
        last = self._last[camera] = self._timed(replace(result, events=()), seen - shift, shift)
        if not self._now.rules:
            return []
        moment = self._moment(last, [entry for entry in entries if entry.rule is None])
        due = [replace(one, time=last.time) for one in self._due if one.camera == camera]
        self._due = [one for one in self._due if one.camera != camera]
        reports, self._state = step(self._now.rules, self._now.cameras, moment, self._state)
        return self._results([*due, *reports])

    def _follow_clock(self) -> None:
        """Where the system clock is set, the rules' clock goes on as it was."""
        wall, ran = self._clock(), self._monotonic()
        jumped = (wall - self._clocks[0]) - (ran - self._clocks[1])
        self._clocks = wall, ran
        if abs(jumped) >= _JUMP:
            self._shift += jumped

    def forget(self, camera: str) -> None:
        """A camera is no longer watched."""
        self._last.pop(camera, None)

    def _timed(self, result: Result, seen: float, shift: float) -> _Last:
        """A result with its time: by the source's clock, which is set again where it is far from ours."""
        frame, before = result.frame, self._last.get(result.frame.source)
        if not math.isfinite(frame.timestamp):
            return _Last(result, seen, seen, shift)
        zero = seen - frame.timestamp
        if (
            before is not None
            and before.result.frame.segment == frame.segment
            and abs(before.zero - zero) < _JUMP
        ):
            zero = before.zero
        return _Last(result, zero + frame.timestamp, zero, shift)

    def _moment(self, last: _Last, entries: Iterable[Entry]) -> Moment:
        changes: list[Happening] = []
        for entry in entries:
            event = happening_of(entry)
            began = event.started - last.shift if entry.timestamp is None else last.zero + entry.timestamp
            began = self._known.get(event.id, began)
            if event.ended is None:
                self._known[event.id] = began
                changes.append(replace(event, started=began))
                continue
            self._known.pop(event.id, None)
            if len(self._known) > _MOST_KNOWN:  # ends that were lost
                open_now = {one.id for one in self._history.running}
                self._known = {id: at for id, at in self._known.items() if id in open_now}
            changes.append(replace(event, started=began, ended=began + event.ended - event.started))
        camera = last.result.frame.source
        return Moment(camera=camera, time=last.time, changes=tuple(changes), shift=last.shift)

    def _results(self, reports: Iterable[Report]) -> list[Result]:
        found: dict[str, list[Event]] = {}
        for report in reports:
            if report.camera in self._last:
                found.setdefault(report.camera, []).extend(self._events(report))
        return [
            replace(self._last[camera].result, events=tuple(events), repeated=True)
            for camera, events in found.items()
        ]

    def _events(self, report: Report) -> Iterable[Event]:
        """The events of a report, on the clock of its camera's source."""
        last, key = self._last[report.camera], (report.rule, report.camera)
        now = last.result.frame.timestamp - max(0.0, last.time - report.time)
        if report.change is Change.ended:
            if key not in self._running:
                return ()
            started, began = self._running.pop(key)
            return (_ended(started, max(0.0, report.time - began)),)
        started = ActionStarted(
            report.rule, now, _SURE, report.camera, zone=report.zone, rule=report.rule,
            based_on=report.based_on,
        )  # fmt: skip
        if report.change is Change.started:
            self._running[key] = started, report.time
            return (started,)
        return started, _ended(started, 0.0)


def _ended(started: ActionStarted, lasted: float) -> ActionEnded:
    return ActionEnded(
        started.label, started.timestamp + lasted, started.timestamp, started.confidence, started.source,
        zone=started.zone, rule=started.rule, based_on=started.based_on,
    )  # fmt: skip

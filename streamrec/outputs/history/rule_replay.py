"""Rules on what a history holds: what they would have reported, and the state in which that leaves them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from streamrec.events.rules import Change, Happening, Report, Rule, RulesState, replay
from streamrec.outputs.history.queries import EventQueries
from streamrec.outputs.history.records import Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Fired:
    """An event that a rule would have had."""

    rule: str
    camera: str
    zone: str
    started: float  # seconds since 1970
    ended: float | None  # None: it would run now
    based_on: tuple[str, ...]


def happening_of(entry: Entry) -> Happening:
    """An entry of the history as rules see it."""
    return Happening(
        id=entry.id, camera=entry.camera, label=entry.label, started=entry.started, ended=entry.ended,
        model=entry.model, zone=entry.zone or "",
    )  # fmt: skip


def replayed(
    history: EventQueries, rules: Sequence[Rule], cameras: Sequence[str], since: float, until: float
) -> tuple[list[Report], RulesState]:
    """What rules would have reported from a time to another, and their state then.

    The past before ``since`` counts twice as far back as the rules reach: what held before is not reported as new.
    """
    back = since - 2 * max((rule.memory for rule in rules), default=0.0)
    events = [happening_of(one) for one in history.pages(since=back, until=until) if one.rule is None]
    watched = history.watched(since=back, until=until)
    reports, state = replay(rules, cameras, events, watched)
    return [report for report in reports if report.time >= since], state


def fired(
    history: EventQueries, rule: Rule, cameras: Sequence[str], since: float, until: float
) -> list[Fired]:
    """The events that one rule would have had, the newest first."""
    found: list[Fired] = []
    running: dict[str, int] = {}
    for report in replayed(history, [rule], cameras, since, until)[0]:
        if report.change is Change.ended:
            if (at := running.pop(report.camera, None)) is not None:
                found[at] = replace(found[at], ended=max(found[at].started, report.time))
            continue
        if report.change is Change.started:
            running[report.camera] = len(found)
        found.append(
            Fired(
                rule=report.rule, camera=report.camera, zone=report.zone, started=report.time,
                ended=report.time if report.change is Change.both else None, based_on=report.based_on,
            )
        )  # fmt: skip
    return found[::-1]

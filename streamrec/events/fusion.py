"""Two events together, in either order: one of pictures and one of sound, of two cameras, or of two models.

Late fusion: each model decides on its own, and a rule combines their events.
"""

from __future__ import annotations

import math

from streamrec.events.detector import INSTANT
from streamrec.events.rule_events import GAP, Change, Happening, Moment, Pattern, Report, Waiting


def step_together(
    rule: str, when: Pattern, also: Pattern, within: float, moment: Moment, state: Waiting
) -> tuple[list[Report], Waiting]:
    """An event of ``when`` and one of ``also`` overlap, or the later begins at most ``within`` after the earlier ended.

    Reported when the second of them is known, whichever began first; each of ``when`` counts once.
    """
    reports: list[Report] = []
    events = {one.id: one for one in state.events}
    for event in moment.changes:
        known = event.id in events
        if not known and (event.ended is not None or not (when.fits(event) or also.fits(event))):
            continue
        pairs = [] if known else [_pair(event, one, when, also) for one in events.values()]
        events[event.id] = event
        near = [pair for pair in pairs if pair is not None and _apart(*pair) <= within + INSTANT]
        if not near:
            continue
        pair = max(near, key=lambda pair: (pair[0].started, pair[1].started))
        earlier, later = sorted(pair, key=lambda one: one.started)
        report = Report(
            rule=rule, change=Change.both, camera=event.camera, time=later.started, zone=event.zone,
            based_on=(earlier.id, later.id),
        )  # fmt: skip
        reports.append(report)
        for one, _ in near:
            events.pop(one.id, None)
    kept = (one for one in events.values() if one.ended is None or moment.time - one.ended <= within + GAP)
    return reports, Waiting(tuple(kept))


def _pair(
    event: Happening, other: Happening, when: Pattern, also: Pattern
) -> tuple[Happening, Happening] | None:
    """The two as one of ``when`` and one of ``also``; None: they are not."""
    for first, second in ((event, other), (other, event)):
        if when.fits(first) and also.fits(second):
            return first, second
    return None


def _apart(one: Happening, other: Happening) -> float:
    """Seconds from the end of the earlier to the start of the later; below 0: they overlap."""
    earlier, later = sorted((one, other), key=lambda each: each.started)
    return later.started - (math.inf if earlier.ended is None else earlier.ended)

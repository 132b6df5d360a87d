"""Other thresholds in event settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from streamrec.events.detector import EventSettings


def with_enters(settings: EventSettings, enters: Mapping[str, float]) -> EventSettings:
    """The settings with these thresholds, by label; ``leave`` keeps its part of ``enter``.

    >>> with_enters(EventSettings(enter=0.6, leave=0.3), {"fight": 0.9}).of("fight").leave
    0.45
    """
    own = settings.numbers_by_label
    for label, enter in enters.items():
        of = settings.of(label)
        if enter != of.enter:
            numbers = {"enter": enter, "leave": round(enter * of.leave / of.enter, 4)}
            own[label] = {**own.get(label, {}), **numbers}
    return replace(settings, by_label=own)

"""What rules are given and what they report: patterns of events, moments of cameras, reports."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

GAP = 15.0  # seconds: a camera that gave no frame for longer was not watched meanwhile


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """Which events are meant; an empty field: any. Events that rules report are never meant."""

    labels: tuple[str, ...] = ()
    cameras: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    models: tuple[str, ...] = ()

    def fits(self, event: Happening) -> bool:
        """Whether this event is meant.

        >>> fall = Happening(id="1", camera="bath", label="fall", started=0.0)
        >>> Pattern(labels=("fall",)).fits(fall), Pattern(cameras=("hall",)).fits(fall)
        (True, False)
        """
        return (
            (not self.labels or event.label in self.labels)
            and (not self.cameras or event.camera in self.cameras)
            and (not self.zones or event.zone in self.zones)
            and (not self.models or event.model in self.models)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """An event as rules see it."""

    id: str
    camera: str
    label: str
    started: float
    ended: float | None = None  # None: it runs
    model: str = ""
    zone: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A camera gave a frame at this time; ``changes`` are the events that began or ended with it."""

    camera: str
    time: float
    changes: tuple[Happening, ...] = ()
    shift: float = 0.0  # seconds by which the clock on the wall is ahead of ``time``, because it was set
    since: float = math.inf  # it is known that the camera was watched from then on, without a gap


class Change(StrEnum):
    """What becomes of a rule's event."""

    started = "started"
    ended = "ended"
    both = "both"  # it has no duration: that something followed, or is full


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A rule's event begins or ends."""

    rule: str
    change: Change
    camera: str
    time: float
    zone: str = ""
    based_on: tuple[str, ...] = ()  # ids of events


@dataclass(frozen=True, slots=True)
class Waiting:
    """State of a rule about what follows, or is counted: the events that may still matter, the oldest first."""

    events: tuple[Happening, ...] = ()

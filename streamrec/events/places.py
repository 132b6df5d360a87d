"""Where in the image an event began, and who crosses a line: zones and lines of one stream."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from streamrec.core.image import block_means
from streamrec.core.zones import Corner, Line, Zone, within, zone_within
from streamrec.events.detector import INSTANT
from streamrec.events.occupancy import Occupancy, OccupancyState, blocks_of
from streamrec.types import ActionEnded, ActionStarted, Event, Frame, Person

_ANKLES = (15, 16)
# Score from which an ankle counts. Low: a place that jumps between two ways to find it crosses lines more often than an
# ankle that is nearly right.
_SURE = 0.1
# So that trembling does not cross a line: feet that are nearer to it are on neither side (parts of the image), and
# who crosses it has to stay on the other side for so long (seconds).
_CLEAR = 0.02
_STAYS = 0.25
_MOTION_SECONDS = 1.0  # over which motion is averaged


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceSettings:
    """The places of one camera, in parts of its whole image; ``region`` is what was cut out of it afterwards."""

    zones: tuple[Zone, ...] = ()
    lines: tuple[Line, ...] = ()
    region: tuple[float, float, float, float] | None = None

    @property
    def shown(self) -> PlaceSettings:
        """The same places in parts of the region; they may lie outside of it."""
        if self.region is None:
            return self
        region = self.region
        return PlaceSettings(
            zones=tuple(zone_within(region, zone) for zone in self.zones),
            lines=tuple(
                replace(line, ends=(within(region, line.ends[0]), within(region, line.ends[1])))
                for line in self.lines
            ),
        )


@dataclass(frozen=True, slots=True)
class Side:
    """Where a person is beside a line."""

    feet: Corner  # when they were last clear of it, on the side that counts
    since: float | None = None  # since when they are clear of it on the other side; None: they are not
    other: Corner = (0.0, 0.0)  # where they were then


class Places:
    """Names the zones of events, and reports who crosses a line. It remembers, so keep one a stream.

    An event is in the zone that holds the feet of its person; without a person of its own, in the zone with most of the
    people in the frame; where people are not followed, in the zone with most motion during the last second, if there is
    more than in the rest of the image. Of two zones that fit, the one that is named first counts. Its end names the
    same zone.
    """

    def __init__(self, settings: PlaceSettings, source: str = "") -> None:
        settings = settings.shown
        self._zones = tuple(zone for zone in settings.zones if not zone.exclude)
        self._lines, self._source = settings.lines, source
        self._occupancy = Occupancy(self._zones, source)
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._running: dict[tuple[str, str, int | None], str] = {}  # zones of events, as they began
        self._sides: dict[tuple[int, str], Side] = {}  # by person and line
        self._before: tuple[float, np.ndarray] | None = None  # time and block means of the last frame
        self._motion = np.zeros((0, 0), np.float32)  # of each block
        self._occupied = OccupancyState()

    @property
    def memory(self) -> tuple[Any, ...]:
        """All that is remembered of the stream, as a tree of values that never change."""
        return dict(self._running), dict(self._sides), self._before, self._motion, self._occupied

    @memory.setter
    def memory(self, memory: tuple[Any, ...]) -> None:
        running, sides, self._before, self._motion, self._occupied = memory
        self._running, self._sides = dict(running), dict(sides)

    def step(
        self, frame: Frame, people: Sequence[Person] | None, events: Iterable[Event]
    ) -> tuple[Event, ...]:
        """The same events with their zones, then those of zones that report, and those who cross a line.

        A crossing begins and ends at once.
        """
        blocks = self._follow_motion(frame) if people is None and self._zones else None
        standing = [(person, feet_of(person.box, person.keypoints)) for person in people or ()]
        followed = None if people is None else [feet for _, feet in standing]
        placed = [self._placed(event, followed) for event in events]
        scored = [(feet, person.score) for person, feet in standing]
        occupied, self._occupied = self._occupancy.step(frame, scored, self._occupied, blocks)
        return (*placed, *occupied, *self._crossings(frame, standing))

    def finish(self, events: Iterable[Event]) -> tuple[Event, ...]:
        """The ends of what runs, with their zones; then all is forgotten."""
        placed = tuple(self._placed(event, ()) for event in events)
        occupied = self._occupancy.finish(self._occupied)
        self.reset()
        return (*placed, *occupied)

    def _placed(self, event: Event, feet: Sequence[Corner] | None) -> Event:
        """``feet``: of the people in the frame; None: they are not followed."""
        key = event.model, event.label, event.person
        if isinstance(event, ActionEnded):
            zone = self._running.pop(key, "")
        else:
            zone = self._running[key] = self._zone_of(event, feet)
        return replace(event, zone=zone) if zone else event

    def _zone_of(self, event: ActionStarted, feet: Sequence[Corner] | None) -> str:
        if event.box is not None:
            return self._zone_at(feet_of(event.box, event.keypoints))
        if feet is None:
            return self._zone_of_motion()
        found = [self._zone_at(point) for point in feet]
        counts = {zone.name: found.count(zone.name) for zone in self._zones}
        best = max(counts, key=lambda name: counts[name], default="")
        return best if counts.get(best) else ""

    def _zone_at(self, point: Corner) -> str:
        return next((zone.name for zone in self._zones if zone.holds(*point)), "")

    def _follow_motion(self, frame: Frame) -> np.ndarray:
        """Average the motion of each block; returns the frame's block means."""
        now = block_means(frame.image)
        if self._motion.shape != now.shape:
            self._before, self._motion = None, np.zeros(now.shape, np.float32)
        if self._before is not None and frame.timestamp > self._before[0]:
            keep = math.exp((self._before[0] - frame.timestamp) / _MOTION_SECONDS)
            self._motion = keep * self._motion + (1 - keep) * np.abs(now - self._before[1])
        self._before = frame.timestamp, now
        return now

    def _zone_of_motion(self) -> str:
        usual = float(self._motion.mean()) if self._motion.size else 0.0
        if not usual:
            return ""
        shape = self._motion.shape
        means = [float(self._motion[blocks_of(zone, *shape)].mean()) for zone in self._zones]
        best = max(range(len(means)), key=lambda n: means[n], default=-1)
        return self._zones[best].name if best >= 0 and means[best] >= 0.999 * usual else ""

    def _crossings(self, frame: Frame, people: Sequence[tuple[Person, Corner]]) -> list[Event]:
        """``people``: with their feet."""
        if not self._lines:
            return []
        found: list[Event] = []
        for person, feet in people:
            for line in self._lines:
                key = person.id, line.name
                crossed, side = _step_side(line, feet, frame.timestamp, self._sides.get(key))
                if side is not None:
                    self._sides[key] = side
                if crossed is not None and (label := line.label(forward=line.side(*feet) > 0)):
                    found += self._crossed(label, crossed, person, self._zone_at(feet))
        if len(self._sides) > 64 * len(self._lines):  # of people who left
            here = {person.id for person, _ in people}
            self._sides = {key: side for key, side in self._sides.items() if key[0] in here}
        return found

    def _crossed(self, label: str, at: float, person: Person, zone: str) -> tuple[Event, Event]:
        began = ActionStarted(
            label, at, person.score, self._source, person=person.id, box=person.box,
            keypoints=person.keypoints, zone=zone,
        )  # fmt: skip
        ended = ActionEnded(
            label, at, at, person.score, self._source, person=person.id,
            box=person.box, keypoints=person.keypoints, zone=zone,
        )  # fmt: skip
        return began, ended


def _step_side(line: Line, feet: Corner, now: float, side: Side | None) -> tuple[float | None, Side | None]:
    """One more frame of a person beside a line: when it was crossed, if it was, and where they are now."""
    where = line.side(*feet)
    if abs(where) < _CLEAR:
        return None, None if side is None else Side(side.feet)
    if side is None or where * line.side(*side.feet) > 0:
        return None, Side(feet)
    if side.since is None:
        return None, Side(side.feet, now, feet)
    if now - side.since < _STAYS - INSTANT:
        return None, side
    return (side.since if line.is_crossed(side.feet, side.other) else None), Side(feet)


def feet_of(box: Sequence[float], keypoints: np.ndarray | None) -> Corner:
    """x and y of where a person stands: below the ankles, or the middle of the box's lower side where one is unseen.

    The soles are about halfway from the middle between the ankles to the box's lower side, which is that of the
    nearer foot.

    >>> feet_of((0.1, 0.4, 0.9, 0.6), None)
    (0.5, 0.9)
    """
    if keypoints is not None:
        seen = [keypoints[n] for n in _ANKLES if keypoints[n][2] >= _SURE]
        if len(seen) == len(_ANKLES):
            y, x = (float(np.mean([one[n] for one in seen])) for n in (0, 1))
            return x, (y + box[2]) / 2
    return (box[1] + box[3]) / 2, box[2]

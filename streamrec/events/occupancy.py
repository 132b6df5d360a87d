"""Zones that report by themselves: an event while a person is in one, or while something moves in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np

from streamrec.core.image import LEVELS, block_means
from streamrec.core.zones import Corner, Zone, watched_pixels
from streamrec.events.detector import INSTANT
from streamrec.types import ActionEnded, ActionStarted, Event, Frame

APPEARS = 0.5  # seconds for which it must hold before it is an event
LEAVES = 3.0  # seconds after which it is over: as long as people who are covered are waited for
_AGO = 0.5  # seconds: motion is what differs from so long ago, so that slow steps count


@dataclass(frozen=True, slots=True)
class Spell:
    """A time in which it holds, with short breaks."""

    since: float
    last: float  # when it held last
    sure: float  # the highest confidence
    reported: bool = False


@dataclass(frozen=True, slots=True)
class OccupancyState:
    """What is remembered of one stream."""

    spells: Mapping[str, Spell] = field(default_factory=dict)  # by label
    past: tuple[tuple[float, np.ndarray], ...] = ()  # time and block means of the last frames


class Occupancy:
    """Events of the zones that report, as a pure step.

    >>> zone = Zone("till", ((0, 0), (1, 0), (1, 1), (0, 1)), report=("people",))
    >>> occupancy, state = Occupancy([zone]), OccupancyState()
    >>> for n in range(20):
    ...     frame = Frame(np.zeros((8, 8, 3), np.uint8), n, n / 10)
    ...     events, state = occupancy.step(frame, [((0.5, 0.5), 0.9)] if n < 8 else [], state)
    ...     for event in events:
    ...         print(n, event.label, event.timestamp)
    5 till occupied 0.0
    """

    def __init__(self, zones: Sequence[Zone], source: str = "") -> None:
        self._zones = tuple(zone for zone in zones if zone.report)
        self._source = source
        self._moves = any("motion" in zone.report for zone in self._zones)

    def step(
        self,
        frame: Frame,
        feet: Sequence[tuple[Corner, float]],
        state: OccupancyState,
        blocks: np.ndarray | None = None,
    ) -> tuple[tuple[Event, ...], OccupancyState]:
        """What begins or ends with this frame, the ended ones first. ``feet``: of the people, with their scores.

        ``blocks``: the frame's block means, where they are known.
        """
        if not self._zones:
            return (), state
        now = frame.timestamp
        moved, past = self._moved(frame, state.past, blocks)
        ended: list[Event] = []
        started: list[Event] = []
        spells = {}
        for number, zone in enumerate(self._zones):
            inside = [score for point, score in feet if zone.holds(*point)]
            for what, label in zip(zone.report, zone.labels, strict=True):
                sure = max(inside, default=0.0) if what == "people" else moved[number]
                spell = state.spells.get(label)
                if spell is not None and now - spell.last > LEAVES + INSTANT:
                    ended += self._ended(spell, label, zone)
                    spell = None
                if sure:
                    spell = spell or Spell(now, now, sure)
                    spell = replace(spell, last=now, sure=max(sure, spell.sure))
                    if not spell.reported and now - spell.since >= APPEARS - INSTANT:
                        spell = replace(spell, reported=True)
                        started.append(ActionStarted(label, spell.since, sure, self._source, zone=zone.name))
                elif spell is not None and not spell.reported and now - spell.last > APPEARS:
                    spell = None
                if spell is not None:
                    spells[label] = spell
        return (*ended, *started), OccupancyState(spells, past)

    def finish(self, state: OccupancyState) -> tuple[Event, ...]:
        """The ends of what holds, because the stream is over or has a cut."""
        found: list[Event] = []
        for zone in self._zones:
            for label in zone.labels:
                if label in state.spells:
                    found += self._ended(state.spells[label], label, zone)
        return tuple(found)

    def _ended(self, spell: Spell, label: str, zone: Zone) -> list[Event]:
        if not spell.reported:
            return []
        return [ActionEnded(label, spell.last, spell.since, spell.sure, self._source, zone=zone.name)]

    def _moved(
        self, frame: Frame, past: tuple[tuple[float, np.ndarray], ...], blocks: np.ndarray | None
    ) -> tuple[list[float], tuple[tuple[float, np.ndarray], ...]]:
        """1.0 for each zone in which something moves, else 0.0; and the block means to be remembered."""
        if not self._moves:
            return [0.0] * len(self._zones), ()
        blocks, now = block_means(frame.image) if blocks is None else blocks, frame.timestamp
        if past and past[0][1].shape != blocks.shape:
            past = ()
        # The newest one that is old enough, and those after it.
        old = [n for n, (at, _) in enumerate(past) if now - at >= _AGO - INSTANT]
        kept = past[old[-1] if old else 0 :]
        changed = np.abs(blocks - kept[0][1]) > LEVELS if kept else np.zeros(blocks.shape, bool)
        found = [float((changed & blocks_of(zone, *blocks.shape)).any()) for zone in self._zones]
        return found, (*kept, (now, blocks))


@lru_cache(maxsize=4096)  # about 1 kB each
def blocks_of(zone: Zone, rows: int, columns: int) -> np.ndarray:
    """(rows, columns) bool: which blocks of an image are in a zone, one at least."""
    own = watched_pixels([replace(zone, mask=True)], rows, columns)
    if not own.any() and own.size:
        x, y = np.mean(zone.corners, axis=0)
        own[min(rows - 1, max(0, int(y * rows))), min(columns - 1, max(0, int(x * columns)))] = True
    own.setflags(write=False)  # all who ask share it
    return own

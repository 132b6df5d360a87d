"""Zones that report: an event while a person is in one, or while something moves in it."""

from __future__ import annotations

import numpy as np
import pytest

from streamrec.core.zones import Zone
from streamrec.events.occupancy import Occupancy, OccupancyState
from streamrec.types import ActionStarted, Event, Frame

LEFT = ((0, 0), (0.5, 0), (0.5, 1), (0, 1))
RIGHT = ((0.5, 0), (1, 0), (1, 1), (0.5, 1))


class Stream:
    """Ten frames a second of one camera."""

    def __init__(self, *zones: Zone, size: tuple[int, int] = (120, 160)) -> None:
        self.occupancy, self.state, self.n, self.size = Occupancy(zones, "door"), OccupancyState(), 0, size
        self.events: list[Event] = []

    def run(self, seconds: float, *feet: tuple[float, float], moving: float | None = None, noise=0) -> Stream:
        """So many seconds with people who stand there, and something that flickers around this part of the width."""
        for _ in range(round(10 * seconds)):
            image = np.full((*self.size, 3), 100, np.uint8)
            if noise:
                image += np.random.default_rng(self.n).integers(0, noise, image.shape, np.uint8)
            if moving is not None:
                x = int(self.size[1] * moving)
                image[20:60, x - 8 : x + 8] = 100 + 15 * (self.n % 7)
            frame = Frame(image, self.n, self.n / 10)
            found, self.state = self.occupancy.step(frame, [(one, 0.8) for one in feet], self.state)
            self.events += found
            self.n += 1
        return self

    @property
    def reported(self) -> list[tuple[str, str, float]]:
        kinds = {True: "started", False: "ended"}
        return [(kinds[isinstance(e, ActionStarted)], e.label, e.timestamp) for e in self.events]


TILL = Zone("till", LEFT, mask=False, report=("people",))
YARD = Zone("yard", RIGHT, mask=False, report=("motion",))


def test_a_person_in_a_zone_is_an_event_until_three_seconds_after_they_were_there_last():
    stream = Stream(TILL).run(1.0).run(5.0, (0.2, 0.8)).run(5.0)
    assert stream.reported == [("started", "till occupied", 1.0), ("ended", "till occupied", 5.9)]
    assert (stream.events[0].zone, stream.events[0].source, stream.events[0].confidence) == (
        "till",
        "door",
        0.8,
    )
    assert stream.events[1].started == 1.0


def test_who_is_not_found_for_a_moment_is_still_there():
    stream = Stream(TILL).run(2.0, (0.2, 0.8)).run(2.5).run(2.0, (0.3, 0.8)).run(2.0)
    assert stream.reported == [("started", "till occupied", 0.0)]


@pytest.mark.parametrize("feet", [(0.8, 0.8), (0.2, 1.2)])
def test_a_person_elsewhere_is_not(feet):
    assert Stream(TILL).run(5.0, feet).reported == []


def test_who_is_seen_for_a_blink_is_not():
    assert Stream(TILL).run(1.0).run(0.3, (0.2, 0.8)).run(5.0).reported == []


def test_what_moves_in_a_zone_is_an_event():
    stream = Stream(YARD).run(2.0).run(3.0, moving=0.75).run(5.0)
    (began, ended) = stream.reported
    assert began[:2] == ("started", "yard moving") and began[2] == pytest.approx(2.0, abs=0.2)
    assert ended[:2] == ("ended", "yard moving") and ended[2] == pytest.approx(5.4, abs=0.3)


def test_what_moves_elsewhere_is_not_and_neither_is_noise():
    assert Stream(YARD).run(2.0).run(5.0, moving=0.2).reported == []
    assert Stream(YARD).run(5.0, noise=12).reported == []


def test_a_small_zone_has_one_block_at_least():
    small = Zone("spot", ((0.74, 0.3), (0.76, 0.3), (0.75, 0.33)), mask=False, report=("motion",))
    assert len(Stream(small).run(1.0).run(3.0, moving=0.75).reported) == 1


def test_each_zone_and_kind_is_an_event_of_its_own():
    both = Zone("left", LEFT, mask=False, report=("people", "motion"))
    stream = Stream(both, YARD).run(1.0).run(3.0, (0.2, 0.8), moving=0.2)
    assert sorted(label for _, label, _ in stream.reported) == ["left moving", "left occupied"]


def test_the_end_of_a_stream_ends_what_holds():
    stream = Stream(TILL).run(2.0, (0.2, 0.8))
    (ended,) = stream.occupancy.finish(stream.state)
    assert (ended.label, ended.timestamp, ended.started) == ("till occupied", 1.9, 0.0)
    assert Stream(TILL).run(0.2, (0.2, 0.8)).occupancy.finish(stream.state) != ()
    assert stream.occupancy.finish(OccupancyState()) == ()


def test_another_size_of_image_is_no_motion():
    stream = Stream(YARD).run(2.0)
    stream.size = (60, 80)
    assert stream.run(0.4).reported == []

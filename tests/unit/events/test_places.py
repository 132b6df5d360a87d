"""In which zone an event began, and who crosses a line."""

from __future__ import annotations

import numpy as np
import pytest

from streamrec.core.image import block_means
from streamrec.core.zones import Line, Zone
from streamrec.events import occupancy as occupancy_module
from streamrec.events import places as places_module
from streamrec.events.places import Places, PlaceSettings, feet_of
from streamrec.types import ActionEnded, ActionStarted, Frame, Person

LEFT = Zone("left", ((0, 0), (0.5, 0), (0.5, 1), (0, 1)), mask=False)
RIGHT = Zone("right", ((0.5, 0), (1, 0), (1, 1), (0.5, 1)), mask=False)
MIDDLE = Zone("middle", ((0.25, 0), (0.75, 0), (0.75, 1), (0.25, 1)), mask=False)
DOOR = Line("door", ((0.5, 1.0), (0.5, 0.5)))  # upwards: forward is to the right


def frame_at(time: float, moving: float | None = None) -> Frame:
    """A grey frame; something flickers around this part of its width."""
    image = np.full((48, 64, 3), 100, np.uint8)
    if moving is not None:
        x = int(64 * moving)
        image[10:38, max(0, x - 4) : x + 4] = 100 + 100 * (round(10 * time) % 2)
    return Frame(image, round(10 * time), time, source="door")


def person(id: int, x: float, y: float = 0.9, *, ankles: float | None = None) -> Person:
    """A person whose box ends at (x, y); ``ankles``: both are seen there, in place of it."""
    keypoints = np.zeros((17, 3), np.float32)
    if ankles is not None:
        keypoints[15:] = (y, ankles, 0.9)
    return Person(id, (y - 0.4, x - 0.05, y, x + 0.05), keypoints, 0.8)


def placed(*zones: Zone, lines: tuple[Line, ...] = (), region=None) -> Places:
    return Places(PlaceSettings(zones=zones, lines=lines, region=region), "door")


STARTED, ENDED = ActionStarted("fall", 1.0, 0.9), ActionEnded("fall", 2.0, 1.0, 0.9)


def zone_of(places: Places, people=None, event: ActionStarted = STARTED) -> str:
    (event, *_) = places.step(frame_at(1.0), people, [event])
    return event.zone


class TestZones:
    def test_an_event_of_a_person_is_where_the_person_stands(self):
        own = person(1, 0.8)
        event = ActionStarted("fall", 1.0, 0.9, person=1, box=own.box, keypoints=own.keypoints)
        assert zone_of(placed(LEFT, RIGHT), [person(2, 0.2), own], event) == "right"

    def test_the_ankles_count_where_both_are_seen(self):
        stands = person(1, 0.8, ankles=0.2)
        assert zone_of(placed(LEFT, RIGHT), [stands]) == "left"
        stands.keypoints[15, 2] = 0.05
        assert zone_of(placed(LEFT, RIGHT), [stands]) == "right"

    def test_one_without_a_person_is_where_most_people_stand(self):
        people = [person(1, 0.8), person(2, 0.2), person(3, 0.9)]
        assert zone_of(placed(LEFT, RIGHT), people) == "right"
        assert zone_of(placed(LEFT, RIGHT), people[:2]) == "left"  # as many: the first zone counts
        assert zone_of(placed(LEFT), people[:1]) == ""
        assert zone_of(placed(LEFT), []) == ""

    def test_of_zones_that_overlap_the_first_counts(self):
        assert zone_of(placed(MIDDLE, LEFT), [person(1, 0.4)]) == "middle"
        assert zone_of(placed(LEFT, MIDDLE), [person(1, 0.4)]) == "left"

    def test_what_is_left_out_is_no_place(self):
        assert zone_of(placed(Zone("screen", LEFT.corners, exclude=True)), [person(1, 0.2)]) == ""

    @pytest.mark.parametrize(("moving", "zone"), [(0.2, "left"), (0.8, "right")])
    def test_where_people_are_not_followed_it_is_where_most_moves(self, moving, zone):
        places = placed(LEFT, RIGHT)
        for n in range(10):
            (event,) = places.step(frame_at(n / 10, moving), None, [STARTED])
        assert event.zone == zone

    def test_motion_outside_of_the_only_zone_is_in_none(self):
        places = placed(LEFT)
        for n in range(10):
            (event,) = places.step(frame_at(n / 10, 0.8), None, [STARTED])
        assert event.zone == ""

    def test_the_end_names_the_zone_of_the_start(self):
        places = placed(LEFT, RIGHT)
        places.step(frame_at(1.0), [person(1, 0.8)], [STARTED])
        (ended,) = places.step(frame_at(2.0), [person(1, 0.2)], [ENDED])
        assert ended.zone == "right"
        places.step(frame_at(3.0), [person(1, 0.8)], [STARTED])
        assert [event.zone for event in places.finish([ENDED])] == ["right"]
        assert [event.zone for event in places.finish([ENDED])] == [""]

    def test_zones_are_of_the_whole_image_where_a_region_is_cut_out(self):
        places = placed(LEFT, RIGHT, region=(0.5, 0.0, 0.5, 1.0))
        assert zone_of(places, [person(1, 0.1)]) == "right"


class TestLines:
    def walk(self, *xs: float, line: Line = DOOR, y: float = 0.9, **more) -> list[str]:
        places = placed(LEFT, RIGHT, lines=(line,), **more)
        found = []
        for n, x in enumerate(xs):
            found += places.step(frame_at(n / 10), [person(1, x, y)], [])
        assert [type(event) for event in found] == [ActionStarted, ActionEnded] * (len(found) // 2)
        return [event.label for event in found[::2]]

    def test_who_crosses_it_is_an_event_that_says_in_which_direction(self):
        assert self.walk(0.3, 0.4, 0.6, 0.7, 0.75, 0.8) == ["door in"]
        assert self.walk(0.7, 0.6, 0.4, 0.35, 0.3, 0.25) == ["door out"]
        assert self.walk(0.3, *[0.7] * 4, *[0.3] * 4) == ["door in", "door out"]

    def test_who_is_on_the_other_side_for_a_moment_only_does_not(self):
        """Feet that a detector sees now here, now there."""
        assert self.walk(0.3, 0.45, 0.55, 0.45, 0.53, 0.54, 0.44, 0.4) == []
        assert self.walk(0.3, 0.45, 0.55, 0.47, 0.55, 0.56, 0.57, 0.58, 0.6) == ["door in"]

    def test_who_stands_on_it_and_trembles_does_not(self):
        assert self.walk(0.45, 0.51, 0.49, 0.505, 0.495, 0.45) == []

    def test_slow_steps_over_it_count_once(self):
        assert self.walk(*np.arange(0.4, 0.6, 0.005)) == ["door in"]

    def test_who_passes_beside_its_ends_does_not_cross_it(self):
        assert self.walk(0.3, *[0.7] * 5, y=0.45) == []

    def test_a_direction_without_a_word_is_not_reported(self):
        line = Line("door", DOOR.ends, forward="")
        assert self.walk(0.3, *[0.7] * 4, *[0.3] * 4, line=line) == ["door out"]

    def test_its_event_has_the_person_and_the_zone(self):
        places = placed(LEFT, RIGHT, lines=(DOOR,))
        places.step(frame_at(1.0), [person(4, 0.3)], [])
        assert places.step(frame_at(1.5), [person(4, 0.65)], []) == ()
        began, ended = places.step(frame_at(1.8), [person(4, 0.7)], [])
        assert (began.person, began.zone, began.timestamp, began.source) == (4, "right", 1.5, "door")
        assert began.box == person(4, 0.7).box and (ended.started, ended.duration) == (1.5, 0.0)

    def test_two_people_do_not_lend_each_other_their_sides(self):
        places = placed(lines=(DOOR,))
        places.step(frame_at(1.0), [person(1, 0.3)], [])
        assert places.step(frame_at(1.1), [person(2, 0.7)], []) == ()
        assert places.step(frame_at(1.5), [person(2, 0.7)], []) == ()

    def test_who_was_there_before_a_cut_does_not_cross_it(self):
        places = placed(lines=(DOOR,))
        places.step(frame_at(1.0), [person(1, 0.3)], [])
        places.finish([])
        for time in (1.1, 1.5, 2.0):
            assert places.step(frame_at(time), [person(1, 0.7)], []) == ()


def test_the_blocks_of_a_frame_are_averaged_once(monkeypatch):
    """Where people are not followed and a zone reports motion, both need them."""
    asked = []
    for module in (places_module, occupancy_module):
        monkeypatch.setattr(module, "block_means", lambda image: asked.append(1) or block_means(image))
    zone = Zone("yard", LEFT.corners, report=("motion",))
    places = Places(PlaceSettings(zones=(zone,)), "cam")
    images = np.random.default_rng(0).integers(0, 255, (12, 64, 64, 3), np.uint8)
    found = [places.step(Frame(image, n, n / 10), None, ()) for n, image in enumerate(images)]
    assert len(asked) == 12
    assert [event.label for events in found for event in events] == ["yard moving"]


def test_the_soles_are_halfway_from_the_ankles_to_the_lower_side_of_the_box():
    one = person(1, 0.6, ankles=0.3)
    one.keypoints[15:, 0] = 0.8
    assert feet_of(one.box, one.keypoints) == pytest.approx((0.3, 0.85))
    one.keypoints[16, 2] = 0.0  # it is not seen
    assert feet_of(one.box, one.keypoints) == pytest.approx((0.6, 0.9))

"""Zones of an image."""

from __future__ import annotations

import numpy as np
import pytest

from streamrec.core.zones import Zone, watched_pixels
from streamrec.sources.iterable import IterableSource
from streamrec.sources.wrappers import Region, Zones

LEFT = Zone("left", ((0, 0), (0.5, 0), (0.5, 1), (0, 1)))
TOP = Zone("top", ((0, 0), (1, 0), (1, 0.5), (0, 0.5)))


def without(zone: Zone) -> Zone:
    return Zone(zone.name, zone.corners, exclude=True)


@pytest.mark.parametrize("size", [(24, 32), (48, 64), (480, 640)])
def test_zones_add_up_and_exclusion_wins(size):
    assert watched_pixels([LEFT], *size).mean() == pytest.approx(1 / 2, abs=0.05)
    assert watched_pixels([LEFT, TOP], *size).mean() == pytest.approx(3 / 4, abs=0.05)
    for order in ([LEFT, without(TOP)], [without(TOP), LEFT]):
        seen = watched_pixels(order, *size)
        assert seen.mean() == pytest.approx(1 / 4, abs=0.05)
        assert seen[-1, 0] and not seen[0, 0] and not seen[-1, -1]


def test_where_all_exclude_the_rest_is_watched():
    assert watched_pixels([without(LEFT), without(TOP)], 40, 40).mean() == pytest.approx(1 / 4, abs=0.05)


def test_a_polygon_may_be_concave():
    arrow = Zone("arrow", ((0, 0), (1, 0.5), (0, 1), (0.5, 0.5)))
    seen = watched_pixels([arrow], 200, 200)
    assert not seen[100, 40] and seen[100, 150] and seen[40, 40]
    assert seen.mean() == pytest.approx(0.25, abs=0.02)


def test_what_is_not_watched_is_grey_and_the_image_of_the_source_stays():
    image = np.full((40, 40, 3), 200, np.uint8)
    (frame,) = Zones(IterableSource([image]), (LEFT,))
    assert (frame.image[:, :20] == 200).all() and (frame.image[:, 20:] == 127).all()
    assert (image == 200).all()


def test_images_of_another_size_have_zones_of_their_own():
    images = [np.full((side, side, 3), 200, np.uint8) for side in (40, 20)]
    assert [int((frame.image == 200).all(-1).sum()) for frame in Zones(IterableSource(images), (LEFT,))] == [
        800,
        200,
    ]


def test_a_region_is_cut_out_of_the_zones():
    image = np.full((40, 40, 3), 200, np.uint8)
    (frame,) = Region(Zones(IterableSource([image]), (LEFT,)), (0.25, 0.0, 0.5, 1.0))
    assert frame.image.shape == (40, 20, 3)
    assert (frame.image[:, :10] == 200).all() and (frame.image[:, 10:] == 127).all()

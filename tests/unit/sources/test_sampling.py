from itertools import pairwise

import pytest

from streamrec.sources.sampling import is_due


def taken(source_fps: float, head_fps: float, seconds: float = 4.0) -> list[float]:
    times, last = [], float("-inf")
    for n in range(round(source_fps * seconds)):
        if is_due(n / source_fps, last, head_fps):
            last = n / source_fps
            times.append(last)
    return times


@pytest.mark.parametrize(
    ("source_fps", "head_fps", "expected"),
    [
        (30, 10, 10),
        (30, 15, 15),
        (25, 10, 12.5),
        (15, 15, 15),
        (10, 15, 10),
        (60, 15, 15),
        (12, 10, 12),
        (1, 10, 1),
    ],
)
def test_a_camera_is_sampled_at_the_rate_nearest_to_that_of_the_head(source_fps, head_fps, expected):
    times = taken(source_fps, head_fps)
    assert len(times) / 4.0 == pytest.approx(expected)


def test_the_spacing_is_even():
    for source_fps in (12, 15, 20, 24, 25, 29.97, 30, 50, 60):
        times = taken(source_fps, 10)
        gaps = [b - a for a, b in pairwise(times)]
        assert max(gaps) - min(gaps) < 1e-6


def test_time_that_went_back_is_due():
    assert is_due(3.0, 100.0, 10.0)


def test_a_camera_that_slows_down_at_night_is_seen_at_every_frame_then():
    times = [n / 30 for n in range(60)] + [2 + n / 5 for n in range(10)]
    last, seen = float("-inf"), []
    for time in times:
        if is_due(time, last, 10):
            seen.append(time)
            last = time
    assert [t for t in seen if t >= 2.0] == times[60:]

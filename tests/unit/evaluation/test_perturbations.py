"""Files are played under other conditions; pixel value = frame number, so a lost frame is visible."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from streamrec import Frame
from streamrec.errors import DataError
from streamrec.evaluation.perturbations import Concatenated, Dropping, Thinned
from streamrec.sources.iterable import IterableSource


def numbers(count: int, fps: float = 30.0, first: int = 0) -> IterableSource:
    return IterableSource([np.full((8, 8), (first + n) % 256, np.uint8) for n in range(count)], fps=fps)


def seen(source) -> list[int]:
    return [int(frame.image[0, 0, 0]) for frame in source]


def test_every_third_frame_of_thirty_is_what_a_camera_of_ten_sees():
    frames = list(Thinned(numbers(10), 10.0))
    assert [int(frame.image[0, 0, 0]) for frame in frames] == [0, 3, 6, 9]
    assert [frame.index for frame in frames] == [0, 1, 2, 3]
    assert [frame.timestamp for frame in frames] == pytest.approx([0.0, 0.1, 0.2, 0.3])


def test_a_rate_that_does_not_divide_is_kept_on_average():
    frames = list(Thinned(numbers(250, fps=25.0), 10.0))
    assert len(frames) == 100
    assert seen(Thinned(numbers(10, fps=25.0), 10.0)) == [0, 3, 5, 8]


def test_a_slower_source_passes_whole_and_a_new_segment_begins_a_new_period():
    assert seen(Thinned(numbers(5, fps=5.0), 30.0)) == [0, 1, 2, 3, 4]
    frames = [replace(frame, segment=int(frame.index >= 4)) for frame in numbers(8)]
    assert seen(Thinned(IterableSource(frames), 10.0)) == [0, 3, 4, 7]


def test_a_part_of_the_frames_is_lost_the_same_each_time_and_never_the_first():
    source = Dropping(numbers(1000), 0.3, seed=1)
    once = [frame.index for frame in source]
    assert once == [frame.index for frame in source]
    assert once != [frame.index for frame in Dropping(numbers(1000), 0.3, seed=2)]
    assert len(once) == pytest.approx(700, abs=45)  # three standard deviations
    assert all(seen(Dropping(numbers(3), 0.99, seed=seed))[0] == 0 for seed in range(5))
    assert seen(Dropping(numbers(4), 0.0)) == [0, 1, 2, 3]


def test_clips_follow_each_other_on_one_clock_in_one_segment():
    stream = Concatenated([numbers(3, fps=10.0), numbers(2, fps=5.0, first=3), numbers(1, first=5)])
    frames = list(stream)
    assert [int(frame.image[0, 0, 0]) for frame in frames] == [0, 1, 2, 3, 4, 5]
    assert [frame.index for frame in frames] == [0, 1, 2, 3, 4, 5]
    assert [frame.timestamp for frame in frames] == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.5, 0.7])
    assert {frame.segment for frame in frames} == {0}
    assert [stream.part_at(frame.timestamp) for frame in frames] == [0, 0, 0, 1, 1, 2]


def test_a_clock_that_does_not_begin_at_zero_is_moved():
    late = IterableSource([Frame(np.zeros((8, 8, 3), np.uint8), n, 100 + n / 10, 7) for n in range(2)])
    stream = Concatenated([late, late])
    frames = list(stream)
    assert [frame.timestamp for frame in frames] == pytest.approx([0.0, 0.1, 0.2, 0.3])
    own = [stream.time_in(stream.part_at(frame.timestamp), frame.timestamp) for frame in frames]
    assert own == [100.0, 100.1, 100.0, 100.1]
    assert stream.time_in(1, 0.1) == pytest.approx(99.9)  # before it
    assert stream.time_in(0, 0.25) == pytest.approx(100.25)  # after it


@pytest.mark.parametrize("fps", [0.0, -1.0, float("nan")])
def test_a_wrong_rate_is_refused(fps):
    with pytest.raises(DataError, match="rate above 0"):
        Thinned(numbers(1), fps)


@pytest.mark.parametrize("part", [-0.1, 1.0, float("nan")])
def test_a_wrong_part_is_refused(part):
    with pytest.raises(DataError, match="cannot be dropped"):
        Dropping(numbers(1), part)

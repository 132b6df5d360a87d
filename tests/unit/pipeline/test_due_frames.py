"""The source of due frames, which ``results`` and the ``Watcher`` share."""

from functools import partial

import numpy as np
import pytest

from streamrec.pipeline.due_frames import DueFrames
from streamrec.sources.sampling import pace
from streamrec.types import Frame, Source

IMAGE = np.zeros((2, 2, 3), np.uint8)


class Made(Source):
    name, closed, interrupted = "made", False, False

    def __init__(self, live=False):
        self.live = live

    def __iter__(self):
        try:
            yield from (Frame(IMAGE, n, n / 10) for n in range(6))
        finally:
            self.closed = True

    def interrupt(self):
        self.interrupted = True


class Prefetching:
    def __init__(self):
        self.asked = []

    def prefetch(self, frame):
        self.asked.append(frame.index)
        return frame


def test_the_due_frames_of_a_file_are_prefetched_and_no_other():
    recognizer = Prefetching()
    frames = DueFrames(Made(), recognizer, partial(pace, fps=5.0))
    assert [frame.index for frame in frames] == recognizer.asked == [0, 2, 4]


def test_a_camera_and_a_recognizer_without_prefetch_give_the_same_frames():
    recognizer = Prefetching()
    for source, chosen in ((Made(live=True), recognizer), (Made(), object())):
        frames = DueFrames(source, chosen, partial(pace, fps=5.0))
        assert [frame.index for frame in frames] == [0, 2, 4]
        assert frames.live is source.live
    assert recognizer.asked == []


@pytest.mark.parametrize("live", [False, True])
def test_leaving_closes_the_source_and_counts_the_frame_in_hand(live):
    left, source = [], Made(live)
    due = DueFrames(source, Prefetching(), iter, on_abandoned=lambda: left.append(1))
    frames = iter(due)
    next(frames)
    due.interrupt()
    frames.close()
    assert (source.closed, source.interrupted, left) == (True, True, [1])

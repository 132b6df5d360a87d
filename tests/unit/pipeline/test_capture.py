import threading
import time

import pytest

from streamrec.errors import SourceError
from streamrec.pipeline.capture import capture
from streamrec.sources.iterable import IterableSource
from streamrec.types import Frame, Source
from tests.helpers.frames import numbered


def readers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("capture")]


class Failing(Source):
    name = "failing"
    live = False

    def __iter__(self):
        for index, image in enumerate(numbered(3)):
            yield Frame(image, index, index / 10)
        raise SourceError("the camera burned down")


class Endless(Source):
    name = "endless"
    live = True

    def __init__(self):
        self.released = False

    def __iter__(self):
        try:
            index = 0
            while True:
                yield Frame(numbered(1)[0], index, index / 1000)
                index += 1
                time.sleep(0.001)
        finally:
            self.released = True


def test_a_file_is_read_whole():
    with capture(IterableSource(numbered(50)), capacity=2) as frames:
        assert [int(frame.image[0, 0, 0]) for frame in frames] == list(range(50))
        assert frames.dropped == 0


def test_an_error_of_the_source_comes_after_its_frames():
    seen = []
    with pytest.raises(SourceError, match="burned down"), capture(Failing()) as frames:
        for frame in frames:
            seen.append(frame.index)
    assert seen == [0, 1, 2]
    assert readers() == []


def test_the_thread_is_gone_and_the_camera_released_when_the_reader_leaves():
    source = Endless()
    with capture(source) as frames:
        assert next(iter(frames)).index >= 0
        assert readers() == ["capture endless"]
    assert readers() == []
    assert source.released


def test_the_thread_is_gone_when_the_reader_raises():
    source = Endless()
    with pytest.raises(ZeroDivisionError), capture(source) as frames:
        for _ in frames:
            raise ZeroDivisionError
    assert readers() == []
    assert source.released


def test_a_live_source_that_nobody_reads_keeps_the_newest_and_counts_the_rest():
    with capture(Endless(), capacity=1) as frames:
        items = iter(frames)
        next(items)
        deadline = time.monotonic() + 60.0
        while frames.dropped < 20 and time.monotonic() < deadline:
            time.sleep(0.01)
        dropped = frames.dropped
        assert dropped >= 20
        assert next(items).index >= dropped + 1  # all that were dropped came before it, and the first one

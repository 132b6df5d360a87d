from __future__ import annotations

import itertools
import threading
import time

import numpy as np
import pytest

from streamrec.capture import capture
from streamrec.errors import SourceError
from streamrec.persistent import Persistent
from streamrec.types import Frame, Health, Source, SourceState

BLANK = np.zeros((24, 32, 3), np.uint8)


class Shaky(Source):
    """Opens as its script says: a number of frames and what is raised after them; its clock starts with each."""

    name, live = "shaky", True

    def __init__(self, *script: tuple[int, Exception | None]) -> None:
        self.script = iter(script)
        self.opened: list[float] = []

    def __iter__(self):
        self.opened.append(time.monotonic())
        count, error = next(self.script, (0, None))
        for n in range(count):
            yield Frame(BLANK, n, n / 10, n // 3, self.name)
        if error is not None:
            raise error


def test_it_is_opened_again_with_a_new_segment_and_goes_on_in_time():
    source = Persistent(
        Shaky((2, SourceError("unplugged")), (0, ValueError("odd")), (5, None), (1, None)), first=0.05
    )
    frames = list(itertools.islice(source, 8))
    assert [frame.index for frame in frames] == list(range(8))
    assert [frame.segment for frame in frames] == [
        0,
        0,
        2,
        2,
        2,
        3,
        3,
        4,
    ]  # the opening without a frame counts
    times = [frame.timestamp for frame in frames]
    assert times[1] == pytest.approx(times[0] + 0.1)
    assert times[2] - times[0] >= 0.05
    assert np.diff(times)[2:6] == pytest.approx(0.1)
    assert times[7] > times[2]
    assert dict(source.health.reconnects) == {"failed": 2, "ended": 1}
    assert source.health.frames == 8


def test_the_wait_grows_while_nothing_comes_and_begins_anew_after_a_frame():
    inner = Shaky(*[(0, SourceError("dark"))] * 5, (1, SourceError("dark")), (1, None))
    list(itertools.islice(Persistent(inner, first=0.1, longest=0.4), 2))
    gaps = np.diff(inner.opened)
    for gap, most in zip(gaps, [0.1, 0.2, 0.4, 0.4, 0.4, 0.1], strict=True):
        assert gap >= 0.75 * most - 0.01
    assert gaps[5] < gaps[4]


def test_it_says_how_it_is_with_the_reason():
    told = []
    source = Persistent(Shaky((1, SourceError("unplugged")), (1, None)), first=0.01)
    assert source.health.state is SourceState.connecting
    source.on_health = told.append
    frames = list(itertools.islice(source, 2))
    assert [(h.state, h.reason) for h in told] == [
        ("live", ""),
        ("reconnecting", "unplugged"),
        ("live", ""),
    ]
    assert frames[0].source == "shaky"
    assert not source.health.reason


def test_a_source_that_tells_of_itself_is_passed_on_but_its_end_is_not():
    class Telling(Shaky):
        def say(self, state, reason=""):
            self.health = Health(state, reason, refused={"torn": 2}, reconnects={"stalled": 1})
            self.on_health(self.health)

        def __iter__(self):
            self.say(SourceState.live)
            for frame in super().__iter__():
                self.say(SourceState.stalled, "torn pictures")
                yield frame
            self.say(SourceState.failed, "given up")
            raise SourceError("given up")

    told = []
    source = Persistent(Telling((1, None), (1, None)), first=0.01)
    source.on_health = told.append
    list(itertools.islice(source, 2))
    assert [h.state for h in told] == ["live", "stalled", "reconnecting", "live", "stalled"]
    assert source.health.refused == {"torn": 2}
    assert source.health.reconnects == {"stalled": 1, "failed": 1}


def test_leaving_ends_the_wait_and_what_it_reads():
    source = Persistent(Shaky((1, SourceError("dark"))), first=60.0, longest=60.0)
    begun = time.monotonic()
    with capture(source) as frames:
        next(iter(frames))
        time.sleep(0.1)
    assert time.monotonic() - begun < 5.0
    assert not [t for t in threading.enumerate() if t.name == "capture shaky"]


def test_a_reason_holds_no_password():
    source = Persistent(Shaky((0, ValueError("rtsp://me:hunter2@host is odd")), (1, None)), first=0.01)
    told = []
    source.on_health = told.append
    next(iter(source))
    assert told[0].reason == "ValueError: rtsp://***@host is odd"
    assert told[0].state is SourceState.connecting  # it was never open

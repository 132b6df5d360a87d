"""The last seconds of each stream, from which an explanation begins."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from streamrec import Recent, Recognizer
from tests.unit.pipeline.test_senses import Leaning


def test_the_frames_of_the_last_seconds_are_kept_with_the_state_before_them(tmp_path):
    recent = Recent(Recognizer(Leaning(), "leaning"), seconds=1.0)
    states = {}
    for source in ("a", "b"):
        state = recent.initial_state()
        for n in range(30):
            frame = _row(n, source)
            states[source, n] = state
            _, state = recent.step(frame, state)
        frames, before = recent.until(frame)
        assert [one.index for one in frames] == list(range(19, 30))
        assert before is states[source, 19]
    assert recent.until(_row(29, "b")) is None  # another frame, though of the same time
    assert recent.until(_row(0, "c")) is None


def test_a_stream_that_begins_anew_forgets_what_came_before():
    recent = Recent(Recognizer(Leaning(), "leaning"))
    state = recent.initial_state()
    for change in ({"segment": 1}, {"timestamp": 0.0}):
        for frame in (_row(1, "a"), _row(2, "a"), replace(_row(3, "a"), **change)):
            _, state = recent.step(frame, state)
        assert recent.until(frame)[0] == [frame]


def _row(n: int, source: str):
    from streamrec import Frame

    return Frame(np.zeros(2, np.float32), n, n / 10, source=source)

"""The flow: frames of a source in, results out. Both are generators; whoever stops reading ends them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from streamrec.capture import capture
from streamrec.events import EventDetector, EventState
from streamrec.recognizer import Recognizer
from streamrec.rhythm import is_due
from streamrec.sources import open_source
from streamrec.types import Event, Frame, Result


def pace(frames: Iterable[Frame], fps: float) -> Iterator[Frame]:
    """Pass on the frames that come in the rhythm of ``fps``, on the source's own clock.

    A slower camera passes whole; of a faster one the frames between are left out; a new segment begins at once.
    """
    last: Frame | None = None
    for frame in frames:
        if last is None or frame.segment != last.segment or is_due(frame.timestamp, last.timestamp, fps):
            last = frame
            yield frame


def results(source: Any, recognizer: Recognizer, *, fps: float | None = None) -> Iterator[Result]:
    """Recognize a source, from ``open_source`` or anything that it takes, until it ends.

    One result a frame in the rhythm of ``fps`` (None: the one that the model learned). A camera is always seen
    at its newest frame; of a file no frame is missed. Every action that started has ended when the source
    ends or fails: in the last result of a file, in one further result that repeats the last frame of a camera.
    """
    source = open_source(source)
    detector = EventDetector(recognizer.labels, recognizer.config.events)
    state, memory = recognizer.initial_state(), detector.initial_state()
    result: Result | None = None
    try:
        with capture(source, capacity=1 if source.live else 4) as frames:
            paced = pace(frames, recognizer.fps if fps is None else fps)
            for frame, is_last in _with_last_marked(paced, look_ahead=not source.live):
                events: tuple[Event, ...] = ()
                if result is not None and frame.segment != result.frame.segment:
                    events, memory = detector.finish(result.frame.timestamp, memory, source.name)
                asked = time.monotonic()
                prediction, state = recognizer.step(frame, state)
                told, memory = detector.step(prediction, frame.timestamp, memory, source.name)
                events += told
                if is_last:
                    ended, memory = detector.finish(frame.timestamp, memory, source.name)
                    events += ended
                latency = time.monotonic() - (frame.captured or asked)  # a caller's own frames tell no time
                result = Result(frame, prediction, events, latency, frames.dropped)
                yield result
    except Exception:  # a camera that was unplugged: what started ends, then the error is raised
        yield from _ending(result, detector, memory, source.name)
        raise
    yield from _ending(result, detector, memory, source.name)


def _ending(
    result: Result | None, detector: EventDetector, memory: EventState, source: str
) -> Iterator[Result]:
    """The last result once more, with what still runs as ended; nothing where nothing runs."""
    if result is not None:
        ended, _ = detector.finish(result.frame.timestamp, memory, source)
        if ended:
            yield replace(result, events=ended)


def _with_last_marked(frames: Iterator[Frame], *, look_ahead: bool) -> Iterator[tuple[Frame, bool]]:
    """Pair each frame with whether it is the last, which only a source that waits can know in time."""
    if not look_ahead:
        for frame in frames:
            yield frame, False
        return
    held: Frame | None = None
    try:
        for frame in frames:
            if held is not None:
                yield held, False
            held = frame
    except Exception:  # the file is damaged from here on: the frame in hand is still to be seen
        if held is not None:
            yield held, True
        raise
    if held is not None:
        yield held, True

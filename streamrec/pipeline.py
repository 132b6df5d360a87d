"""The flow: frames of a source in, results out. Both are generators; whoever stops reading ends them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from streamrec.capture import capture
from streamrec.config import ModelConfig
from streamrec.counting import RepetitionCounter
from streamrec.events import EventDetector
from streamrec.recognizer import Recognizer
from streamrec.rhythm import is_due
from streamrec.sources import open_source
from streamrec.types import Event, Frame, Prediction, Result


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
    teller = _Teller(recognizer.config, source.name)
    state = recognizer.initial_state()
    result: Result | None = None
    try:
        with capture(source, capacity=1 if source.live else 4) as frames:
            paced = pace(frames, recognizer.fps if fps is None else fps)
            for frame, is_last in _with_last_marked(paced, look_ahead=not source.live):
                events: tuple[Event, ...] = ()
                if result is not None and frame.segment != result.frame.segment:
                    events = teller.finish(result.frame.timestamp)
                asked = time.monotonic()
                prediction, state = recognizer.step(frame, state)
                told, repetitions = teller.step(prediction, frame.timestamp)
                events += told
                if is_last:
                    events += teller.finish(frame.timestamp)
                latency = time.monotonic() - (frame.captured or asked)  # a caller's own frames tell no time
                result = Result(frame, prediction, events, latency, frames.dropped, repetitions)
                yield result
    except Exception:  # a camera that was unplugged: what started ends, then the error is raised
        yield from _ending(result, teller)
        raise
    yield from _ending(result, teller)


class _Teller:
    """What began, ended and was repeated in one stream: it remembers for the detector and the counter."""

    def __init__(self, config: ModelConfig, source: str) -> None:
        self._source = source
        self._detector = EventDetector(config.labels, config.events)
        self._counter = RepetitionCounter(config.labels, config.counted, config.counting)
        self._detected = self._detector.initial_state()
        self._counted = self._counter.initial_state()

    def step(self, prediction: Prediction, timestamp: float) -> tuple[tuple[Event, ...], int | None]:
        """What began or ended with this prediction, and the repetitions; None: the model counts nothing."""
        repetitions: int | None = None
        if self._counter.counted:
            repetitions, self._counted = self._counter.step(prediction, timestamp, self._counted)
        events, self._detected = self._detector.step(prediction, timestamp, self._detected, self._source)
        return self._told(events), repetitions

    def finish(self, timestamp: float) -> tuple[Event, ...]:
        """End what runs: the stream is over, or a new segment begins."""
        events, self._detected = self._detector.finish(timestamp, self._detected, self._source)
        events = self._told(events)
        self._counted = self._counter.initial_state()
        return events

    def _told(self, events: tuple[Event, ...]) -> tuple[Event, ...]:
        events, self._counted = self._counter.tell(events, self._counted)
        return events


def _ending(result: Result | None, teller: _Teller) -> Iterator[Result]:
    """The last result once more, with what still runs as ended; nothing where nothing runs."""
    if result is not None and (ended := teller.finish(result.frame.timestamp)):
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

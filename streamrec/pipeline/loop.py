"""The recognition loop of one source, as generators: frames in, results out. The caller ends it by not reading on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from streamrec.errors import SourceError
from streamrec.events.recurrence import RecurrenceSettings
from streamrec.pipeline.capture import capture
from streamrec.pipeline.due_frames import DueFrames
from streamrec.pipeline.motion_gate import MotionGate
from streamrec.pipeline.result_builder import ResultBuilder
from streamrec.pipeline.senses import check_pictures, fitted_to, sense_of, waiting_frames
from streamrec.runtime.person_counts import with_motion_counts
from streamrec.runtime.recognizer import Recognizer, check_recognizer
from streamrec.sources.open import open_source
from streamrec.sources.sampling import check_fps, pace
from streamrec.types import Frame, Result, Source


def results(
    source: Any,
    recognizer: Recognizer,
    *,
    fps: float | None = None,
    still: float | None = None,
    count: RecurrenceSettings | None = None,
    builder: ResultBuilder | None = None,
) -> Generator[Result]:
    """Recognize a source, from ``open_source`` or anything that it takes, until it ends.

    One result for each due frame, at ``fps`` (None: the rate that the model was trained at). Of a camera the newest
    frame is recognized; of a file no due frame is missed. Every action that started has ended when the source ends or
    fails: in the last result of a file, in one further result of a camera that repeats its last frame
    (``Result.repeated``). ``still``: a scene without motion is recognized every so many seconds only
    (``MotionGate``). ``count``: any motion that repeats is counted (``Result.count``, ``Person.count``). ``builder``:
    turns predictions into events, in place of one with the models' own settings; then it knows whether to count.
    """
    source, fps = _checked(source, recognizer, fps)
    source.settle()
    source = fitted_to(source, recognizer)
    builder = builder or ResultBuilder(recognizer, source.name, count=count)
    check_pictures(source, still, builder.count)
    state = with_motion_counts(recognizer.initial_state(), builder.count)
    gate = None if still is None else MotionGate(still, most=recognizer.config.max_gap)
    try:
        capacity = waiting_frames(source, fps)
        # Whether a frame passes the gate is known only in its turn, and of a camera only the newest frame is wanted.
        prefetch = not source.live and gate is None
        choose = partial(pace, fps=fps)
        read = DueFrames(source, recognizer, choose) if prefetch else source
        with capture(read, capacity=capacity, together=source.together) as frames:
            paced = iter(frames) if prefetch else choose(frames)
            if gate is not None:
                paced = filter(gate.passes, paced)
            for frame, is_last in _with_last_marked(paced, known=not source.live):
                asked = time.monotonic()
                prediction, state = recognizer.step(frame, state)
                yield builder.build(
                    frame,
                    prediction,
                    asked=asked,
                    dropped=frames.dropped,
                    still=None if gate is None else gate.still,
                    last=is_last,
                )
    except Exception:  # a camera that was unplugged: what started ends, then the error is raised
        yield from builder.ending()
        raise
    yield from builder.ending()


def _checked(source: Any, recognizer: Any, fps: float | None) -> tuple[Source, float]:
    """The source, opened, and the sampling rate; raises ``StreamrecError`` for what is none."""
    if isinstance(source, Recognizer):
        raise SourceError("results takes the source first, then the recognizer")
    check_recognizer(recognizer, "results")
    opened = open_source(source, sense=sense_of(recognizer))
    return opened, recognizer.fps if fps is None else check_fps(fps)


async def async_results(
    source: Any,
    recognizer: Recognizer,
    *,
    fps: float | None = None,
    still: float | None = None,
    count: RecurrenceSettings | None = None,
) -> AsyncGenerator[Result, None]:
    """``results`` for an event loop: ``async for result in async_results(source, recognizer)``.

    A thread of its own does the work, and only when the next result is asked for: the event loop is free meanwhile.
    Leaving the loop, or cancelling the task, ends the wait for a camera and closes the source before it goes on; with
    ``contextlib.aclosing`` that is at once, as with any asynchronous generator.
    """
    source, _ = _checked(source, recognizer, fps)
    found = results(source, recognizer, fps=fps, still=still, count=count)
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1, thread_name_prefix="async_results") as thread:
        step = None
        try:
            while True:
                step = loop.run_in_executor(thread, next, found, None)
                result = await asyncio.shield(step)  # a thread cannot be cancelled: its wait is ended below
                if result is None:
                    return
                yield result
        finally:
            source.interrupt()
            if step is not None and not step.done():
                await asyncio.wait([step])
                step.exception()  # fetched, or asyncio would log it: the step was interrupted on purpose
            await loop.run_in_executor(thread, found.close)


def _with_last_marked(frames: Iterator[Frame], *, known: bool) -> Iterator[tuple[Frame, bool]]:
    """Pair each frame with whether it is the last; ``known``: the source waits, so this can be found out in time."""
    if not known:
        for frame in frames:
            yield frame, False
        return
    held: Frame | None = None
    try:
        for frame in frames:
            if held is not None:
                yield held, False
            held = frame
    except Exception:  # the file is damaged from here on: the frame in hand is still to be recognized
        if held is not None:
            yield held, True
        raise
    if held is not None:
        yield held, True

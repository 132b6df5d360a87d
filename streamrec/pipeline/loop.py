"""The flow: frames of a source in, results out. Both are generators; whoever stops reading ends them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext
from typing import Any

from streamrec.errors import SourceError
from streamrec.pipeline.capture import capture
from streamrec.pipeline.motion_gate import Gate
from streamrec.pipeline.result_builder import Teller
from streamrec.runtime.recognizer import Recognizer, check_recognizer
from streamrec.sources.open import open_source
from streamrec.sources.sampling import check_fps, pace
from streamrec.types import Frame, Result, Source


def results(
    source: Any, recognizer: Recognizer, *, fps: float | None = None, still: float | None = None
) -> Generator[Result]:
    """Recognize a source, from ``open_source`` or anything that it takes, until it ends.

    One result a frame in the rhythm of ``fps`` (None: the one that the model learned). A camera is always seen
    at its newest frame; of a file no frame is missed. Every action that started has ended when the source
    ends or fails: in the last result of a file, in one further result that repeats the last frame of a camera.
    ``still``: a picture that stands still is looked at every so many seconds only (``Gate``).
    """
    source, rhythm = _checked(source, recognizer, fps)
    source.settle()
    teller = Teller(recognizer.config, source.name)
    state = recognizer.initial_state()
    gate = None if still is None else Gate(still, most=recognizer.config.max_gap)
    try:
        capacity = 1 if source.live else max(4, 2 * source.together)
        ahead = not source.live and gate is None  # who passes the gate is known only in its turn
        read = _Ahead(source, recognizer, rhythm) if ahead else source
        with capture(read, capacity=capacity, together=source.together) as frames:
            paced = iter(frames) if ahead else pace(frames, rhythm)
            if gate is not None:
                paced = filter(gate.passes, paced)
            for frame, is_last in _with_last_marked(paced, look_ahead=not source.live):
                asked = time.monotonic()
                prediction, state = recognizer.step(frame, state)
                yield teller.tell(
                    frame,
                    prediction,
                    asked=asked,
                    dropped=frames.dropped,
                    still=None if gate is None else gate.still,
                    last=is_last,
                )
    except Exception:  # a camera that was unplugged: what started ends, then the error is raised
        yield from teller.ending()
        raise
    yield from teller.ending()


def _checked(source: Any, recognizer: Any, fps: float | None) -> tuple[Source, float]:
    """The source, opened, and the rhythm; raises ``StreamrecError`` in words for what is none."""
    if isinstance(source, Recognizer):
        raise SourceError("results takes the source first, then the recognizer")
    check_recognizer(recognizer, "results")
    return open_source(source), recognizer.fps if fps is None else check_fps(fps)


class _Ahead(Source):
    """The frames of a file that are due: each is looked at as soon as it is read, and not when its turn comes."""

    live = False

    def __init__(self, source: Source, recognizer: Recognizer, fps: float) -> None:
        self.name = source.name
        self._source, self._recognizer, self._fps = source, recognizer, fps

    def interrupt(self) -> None:
        self._source.interrupt()

    def __iter__(self) -> Iterator[Frame]:
        return self._frames(iter(self._source))

    def _frames(self, frames: Iterator[Frame]) -> Generator[Frame]:
        with closing(frames) if isinstance(frames, Generator) else nullcontext():
            yield from map(self._recognizer.ahead, pace(frames, self._fps))


async def async_results(
    source: Any, recognizer: Recognizer, *, fps: float | None = None, still: float | None = None
) -> AsyncGenerator[Result, None]:
    """``results`` for an event loop: ``async for result in async_results(source, recognizer)``.

    The work is done in a thread of its own, one result ahead of nobody: the loop is free while it waits. Leaving the
    loop, or cancelling the task, ends the wait for a camera and closes the source before it goes on; with
    ``contextlib.aclosing`` that is at once, as with any asynchronous generator.
    """
    source, _ = _checked(source, recognizer, fps)
    told = results(source, recognizer, fps=fps, still=still)
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1, thread_name_prefix="async_results") as thread:
        step = None
        try:
            while True:
                step = loop.run_in_executor(thread, next, told, None)
                result = await asyncio.shield(step)  # a thread cannot be cancelled: its wait is ended below
                if result is None:
                    return
                yield result
        finally:
            source.interrupt()
            if step is not None and not step.done():
                await asyncio.wait([step])
                step.exception()  # it was interrupted: nobody wants to hear of it
            await loop.run_in_executor(thread, told.close)


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

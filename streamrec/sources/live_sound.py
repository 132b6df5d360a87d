"""Sound that arrives: read in a thread of its own, with deadlines, and opened again when it is lost."""

from __future__ import annotations

import threading
import time
from abc import abstractmethod
from collections.abc import Callable, Generator, Iterator
from typing import Any

import streamrec.sources.health as report
from streamrec.sources.monitors import STEADY_SECONDS, SourceClock
from streamrec.sources.open_errors import NO_SOUND, OPEN_SECONDS, no_answer
from streamrec.sources.reader_thread import DecodedFrame, ReaderThread, StreamEnded, given_up, sleep
from streamrec.sources.reconnect import backoff
from streamrec.types import SOUND, Frame, Health, Source, SourceState

FIRST_SECONDS = 10.0  # deadline for the first block after an opening
STALL_SECONDS = 3.0  # without a block: it has stalled
LOST_SECONDS = 10.0  # without a block: it is opened again
MUTE_SECONDS = 300.0  # between two openings of a camera that sends no sound: it may be switched on there
KEPT = 200  # blocks that wait: seconds of sound
SILENT = "no sound came"  # a cause in ``Health.reconnects``


class LiveSound(Source):
    """What sources of sound that arrives have in common; ``_read`` is their own part.

    Timestamps are seconds since the first opening. ``retries``: how often it is opened in a row before it is given up,
    with ``SourceError``; None: for ever, from the first opening on.
    """

    sense = SOUND
    live = True

    def __init__(self, name: str, *, retries: int | None) -> None:
        self.name = name
        self._retries = retries
        self._changed = threading.Condition()
        self._left = False
        self._opened_rate = 0  # of the opening that is read

    def __getstate__(self) -> dict[str, Any]:
        """The arguments alone: a copy in another process opens it itself."""
        return {name: value for name, value in vars(self).items() if name != "_changed"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _changed=threading.Condition(), _left=False)

    def interrupt(self) -> None:
        """End every wait."""
        with self._changed:
            self._left = True
            self._changed.notify_all()

    def __iter__(self) -> Iterator[Frame]:
        self._left = False
        return self._blocks()

    @abstractmethod
    def _read(self, reader: ReaderThread) -> None:
        """Open it and hand over blocks (``_put``) until the reader is not wanted; raises ``StreamEnded``."""

    def _put(self, reader: ReaderThread, samples: Any, seconds: float | None, rate: int) -> None:
        """Hand over a block (N,) at so many samples a second; from the reader's thread."""
        if not reader.unwanted:
            self._opened_rate = rate
            reader.put(DecodedFrame(samples, seconds, time.monotonic(), True))

    def _blocks(self) -> Generator[Frame, None, None]:
        self.health = Health()
        report.set_state(self, SourceState.connecting)
        clock = SourceClock(time.monotonic())
        index = segment = failures = 0
        reader: ReaderThread | None = None
        before: Callable[[ReaderThread], None] | None = None
        try:
            while not self._left:
                reader = ReaderThread(
                    self._read,
                    self._changed,
                    name=self.name,
                    opening=OPEN_SECONDS,
                    before=before,
                    kept=KEPT,
                )
                clock.restart()
                first, began = index, 0.0
                end: StreamEnded | None = None
                for block in self._following(reader):
                    if isinstance(block, StreamEnded):
                        end = block
                        break
                    timestamp, jumped = clock.step(block.camera_time, block.captured)
                    if jumped and index > first:
                        segment += 1
                    began = began or block.captured
                    if block.captured - began >= STEADY_SECONDS:
                        failures = 0
                    self.rate = self._opened_rate
                    report.set_state(self, SourceState.live)
                    report.count_frame(self)
                    yield Frame(block.image, index, timestamp, segment, self.name, block.captured)
                    index += 1
                reader.unwanted = True
                if end is None or end.reason is None:
                    break
                segment += 1 if index > first else 0
                before = self._next(end, failures, been_live=index > 0)
                failures += 1
            report.set_state(self, SourceState.ended, report.LEFT if self._left else report.OVER)
        except GeneratorExit:
            report.set_state(self, SourceState.ended, report.LEFT)
            raise
        finally:
            if reader is not None:
                reader.leave(0.5)

    def _following(self, reader: ReaderThread) -> Iterator[DecodedFrame | StreamEnded]:
        """The blocks of one opening, and why it ended; nothing more after ``interrupt``."""
        last: float | None = None
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._left or reader.has_news(), 0.5)
                if self._left:
                    return
                blocks, refused, end = reader.take()
            for cause, count in refused.items():
                report.count_refused(self, cause, count)
            for block in blocks:
                last = block.captured
                yield block
                if self._left:
                    return
            if end is not None:
                yield end
                return
            if not blocks and (late := self._late(reader, last, time.monotonic())) is not None:
                yield late
                return

    def _late(self, reader: ReaderThread, last: float | None, now: float) -> StreamEnded | None:
        """Report a stall, or return why the opening ends."""
        if reader.started_at is None:
            return None  # it pauses before it opens
        if reader.opened_at is None:
            return StreamEnded(no_answer(reader.opening), cause=SILENT) if reader.hangs(now) else None
        silence = now - (reader.opened_at if last is None else last)
        if silence >= (FIRST_SECONDS if last is None else LOST_SECONDS):
            return StreamEnded(f"it is open, and no sound came for {silence:.0f} s", cause=SILENT)
        if last is not None and silence >= STALL_SECONDS:
            report.set_state(self, SourceState.stalled, f"no sound for {STALL_SECONDS:g} s")
        return None

    def _next(self, end: StreamEnded, failures: int, *, been_live: bool) -> Callable[[ReaderThread], None]:
        """What the next reader does before it opens: a pause; raises ``SourceError`` after the last retry."""
        if self._retries is not None and (not been_live or failures >= self._retries):
            raise given_up(self, end)
        reason = report.redacted(self, end.reason or "")
        report.set_state(self, SourceState.reconnecting if been_live else SourceState.connecting, reason)
        if been_live:
            report.count_reconnect(self, end.cause or reason)
        seconds = MUTE_SECONDS if end.reason == NO_SOUND else backoff(failures)
        return lambda reader: sleep(seconds, reader)

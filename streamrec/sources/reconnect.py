"""The watchdog of a camera: deadlines for its frames, its health, and reconnects with backoff."""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace

from streamrec.sources import health as report
from streamrec.sources.camera_clock import ClockMonitor, Mark, Slow
from streamrec.sources.monitors import (
    LAG_SECONDS,
    STEADY_SECONDS,
    DamageMonitor,
    FrameTiming,
    FreezeDetector,
    LagMonitor,
    SourceClock,
)
from streamrec.sources.open_errors import no_answer
from streamrec.sources.probe import ReachabilityProbe
from streamrec.sources.reader_thread import (
    FROZEN,
    LAGGING,
    LATE,
    LATE_SECONDS,
    ONLY_TORN,
    SILENT,
    TORN,
    DecodedFrame,
    IsFile,
    ReaderThread,
    StreamEnded,
    given_up,
    sleep,
)
from streamrec.types import Frame, Health, Source, SourceState

# Deadline for opening a camera that opened quickly before: one that hangs now may not hang the next time.
QUICK_SECONDS, QUICK_TIMES = 2.0, 4.0  # at least so long, and so many times as long as it took
LET_GO_SECONDS = 6.0  # longer than the reader waits for data
CLEAR_SECONDS = 0.5  # between the end of a reader that received nothing and the next opening
STALL_SECONDS = 2.0  # the shortest time without a good frame that is a stall
STALL_INTERVALS = 4.0  # and that many times the camera's own frame interval
HLS_SECONDS = 20.0  # HLS arrives in pieces of several seconds
PATIENCE = 2.0  # a stall that lasts so many times its limit ends in a reopening
BACKOFF_SECONDS = (1.0, 30.0)  # seconds between openings, the first and the longest
ONLY_TORN_COME = "only torn pictures come"
WAITING = "connected; waiting for a whole picture (key frame)"
SILENT_YET = "connected; nothing has come yet"
WAITING_SECONDS = 3.0  # so long without a frame after the opening is reported
KEY_SECONDS = 600.0  # no camera has a longer key frame interval
WHOLE_ONLY = (
    ", though nothing was lost on the way: what the camera sends cannot be put together. Set it to one slice a "
    "picture, or to another codec (GStreamer: h264parse before the payloader)"
)
LAG_CALM = 300.0  # so long on time: the next lag is another one


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Deadlines of a camera, in seconds."""

    opening: float
    first: float  # from the opening to the first frame
    patience: float = PATIENCE  # a factor, not seconds
    linger: float = 0.5  # how long the end waits for the reader thread
    frozen: float = math.inf


class Watchdog:
    """Supervises one iteration of a camera: its frames and its health over all openings."""

    def __init__(
        self,
        source: Source,
        read: Callable[[ReaderThread], None],
        retries: int | None,
        timeouts: Timeouts,
        probe: ReachabilityProbe | None = None,
    ) -> None:
        self.source, self.read, self.retries = source, read, retries
        self.timeouts, self.probe = timeouts, probe
        self._changed = threading.Condition()
        self._left = False
        self._index = self._segment = 0
        self._segment_is_new = True  # none of its frames was passed on
        self._been_live = False
        self._answered = False  # it was open once: the address and the password are right
        self._failures = 0  # openings in a row without a frame, and the loss before them
        self._pauses = 0
        self._woken = False  # the last opening was made early, because the probe was answered
        self._reachable = True  # it answered at the last opening, or before it
        self._patient = False  # the next opening has the full time
        self._opens_in = timeouts.opening  # seconds that the last opening with frames took
        self._interval = 0.0  # seconds between its frames then
        self._strict = True
        self._cause = ""  # of the reopening that is under way
        self._freeze = FreezeDetector(timeouts.frozen)
        self._timing = ClockMonitor()
        self._patience_with_lag = LAG_SECONDS
        self._lagged: float | None = None  # when a lag last ended an opening

    def stop(self) -> None:
        """End the iteration; called from any thread."""
        with self._changed:
            self._left = True
            self._changed.notify_all()

    def frames(self) -> Generator[Frame, None, None]:
        """The frames of all openings; raises ``SourceError`` after the last retry, ``IsFile`` for a video file."""
        source = self.source
        source.health = Health()
        report.set_state(source, SourceState.connecting)
        clock = SourceClock(time.monotonic())
        reader: ReaderThread | None = None
        before: Callable[[ReaderThread], None] | None = None
        try:
            while not self._left:
                reader = ReaderThread(
                    self.read,
                    self._changed,
                    name=source.name,
                    opening=self._opening(),
                    strict=self._strict,
                    wary=self._cause == ONLY_TORN,
                    before=before,
                )
                clock.restart()
                self._timing.reopened()
                end = yield from self._follow(reader, clock)
                reader.unwanted = True
                if end is not None and end.is_file:
                    raise IsFile
                if end is None or end.reason is None:
                    break
                self._answered = self._answered or reader.opened_at is not None
                before = _after(reader, self._next(end))
            report.set_state(source, SourceState.ended, report.LEFT if self._left else report.OVER)
        except GeneratorExit:
            report.set_state(source, SourceState.ended, report.LEFT)
            raise
        finally:
            if reader is not None:
                reader.leave(self.timeouts.linger)
            self._freeze = FreezeDetector(self.timeouts.frozen)  # the old one holds an image

    def _next(self, end: StreamEnded) -> Callable[[ReaderThread], None] | None:
        """What the next reader does before it opens: None, or a pause; raises ``SourceError`` after the last retry."""
        source = self.source
        if self.retries is not None and (not self._answered or self._failures >= self.retries):
            raise given_up(source, end)
        reason = report.redacted(source, end.reason or "")
        self._failures += 1
        if self._been_live:
            self._cause = self._cause or end.cause or reason
        state = SourceState.reconnecting if self._been_live else SourceState.connecting
        report.set_state(source, state, reason)
        if not self._segment_is_new:
            self._segment += 1
            self._segment_is_new = True
        reachable = self._woken or not end.silent
        self._patient = end.silent and not self._patient and (self._woken or self.probe is None)
        if reachable and not self._reachable:
            self._pauses = 0  # they grew while the camera did not answer
        self._reachable = reachable
        pauses, self._pauses = self._pauses, self._pauses + 1
        self._woken = False
        if self._been_live and pauses == 0:
            return None  # it was live, or answered, just now: open it at once
        seconds = backoff(pauses - self._been_live)

        def wait(reader: ReaderThread) -> None:
            if self.probe is None:
                sleep(seconds, reader)
            # A camera that answers, and still cannot be opened, has its pauses.
            elif self.probe.answers_within(seconds, reader, wary=reachable, stay=end.locked):
                self._woken = True

        return wait

    def _opening(self) -> float:
        """Deadline (s) of the next opening: short where it took less before, unless that was too short just now."""
        if self._patient:
            return self.timeouts.opening
        return min(max(QUICK_SECONDS, QUICK_TIMES * self._opens_in), self.timeouts.opening)

    def _follow(self, reader: ReaderThread, clock: SourceClock) -> Generator[Frame, None, StreamEnded | None]:
        """The frames of one opening; returns why it ended, None after ``stop``."""
        source, timing, lag = self.source, FrameTiming(), LagMonitor()
        damage = DamageMonitor(wary=reader.wary)
        live_since: float | None = None
        size: tuple[int, ...] = ()
        while True:
            with self._changed:
                until = self._deadline(reader, timing)
                self._changed.wait_for(lambda: self._left or reader.has_news(), _seconds_until(until))
                if self._left:
                    return None
                decoded, refused, end = reader.take()
            for cause, count in refused.items():
                report.count_refused(source, cause, count)
                if cause == TORN and damage.torn(time.monotonic()):
                    report.set_state(source, SourceState.stalled, ONLY_TORN_COME)
            for frame in decoded:
                if frame.old and source.health.state is SourceState.stalled:
                    report.count_refused(source, LATE)
                    continue
                camera_time = frame.camera_time
                if not self._is_clock_trusted(frame, reader):
                    frame = replace(frame, camera_time=None)
                elif camera_time is not None and self._timing.early:
                    frame = replace(frame, camera_time=camera_time - self._timing.early)
                damage.good_frame(frame, late=timing.silence() >= self._stall(reader, timing.undamaged) / 2)
                timing.add(frame, trusted=not damage.suspect, follows=damage.good > 1)
                if damage.suspect:
                    report.count_refused(source, TORN)
                    continue
                if self._freeze.frozen(frame):
                    report.count_refused(source, FROZEN)
                    report.set_state(source, SourceState.stalled, "the picture is frozen")
                    continue
                timestamp, jumped = clock.step(frame.camera_time, frame.captured)
                trusted = self._timing.trusted or not self._timing.sure
                if reader.timely and camera_time is not None and trusted:
                    if self._timing.jumped:
                        lag = LagMonitor()
                    if (late := self._lags(lag, camera_time, frame.captured)) is not None:
                        report.count_refused(source, LATE)
                        return late
                if (jumped or (size and frame.image.shape != size)) and not self._segment_is_new:
                    self._segment += 1
                size = frame.image.shape
                live_since = live_since or frame.captured
                self._set_live(reader, timing, steady=frame.captured - live_since >= STEADY_SECONDS)
                yield Frame(frame.image, self._index, timestamp, self._segment, source.name, frame.captured)
                self._index += 1
                if self._left:
                    return None
            if end is not None:
                return end
            if not decoded and (late := self._late(reader, timing, torn=damage.suspect)) is not None:
                return late

    def _is_clock_trusted(self, frame: DecodedFrame, reader: ReaderThread) -> bool:
        """Whether a frame's camera time is trusted. That of a recording is unrelated to the arrival."""
        if frame.camera_time is None or not (reader.timely or (reader.pieces and reader.endless)):
            return True
        mark = Mark(frame.camera_time, frame.captured, frame.read, frame.idle)
        return self._timing.step(mark, paced=reader.pieces)

    def _set_live(self, reader: ReaderThread, timing: FrameTiming, *, steady: bool) -> None:
        """A frame is passed on: the trouble before is over."""
        if self._cause:
            report.count_reconnect(self.source, self._cause)
        self._been_live = self._reachable = True
        self._segment_is_new = self._woken = False
        self._failures, self._cause = 0, ""
        if reader.started_at is not None and reader.opened_at is not None:
            self._opens_in = reader.opened_at - reader.started_at
        self._interval = timing.interval
        self._pauses = 0 if steady else min(self._pauses, 1)  # a camera that sent frames is opened again soon
        report.set_state(self.source, SourceState.live, self._timing.reason)
        report.count_frame(self.source)

    def _lags(self, lag: LagMonitor, camera_time: float, captured: float) -> StreamEnded | None:
        """Why this opening ends: the line is so slow that only another one brings new frames; None: it is not.

        Where frames arrive at the camera's steady rate and not as their bytes do, its clock is the slow one. That
        cannot always be known, so the limit doubles each time that another opening does not help for long.
        """
        late = lag.step(camera_time, captured, self._patience_with_lag)
        if lag.lasts(captured):
            why = self._timing.lagged()
            if why is Slow.clock:
                return None
            self._patience_with_lag, self._lagged = 2 * self._patience_with_lag, captured
            slow = "the line is too slow for them" + (
                "" if why is Slow.line else ", or the camera's clock is slow"
            )
            return StreamEnded(f"pictures come {late:.0f} s late: {slow}", cause=LAGGING)
        if self._lagged is not None and late < LATE_SECONDS and captured - self._lagged >= LAG_CALM:
            self._patience_with_lag, self._lagged = LAG_SECONDS, None
        return None

    def _first(self, reader: ReaderThread) -> float:
        """Seconds from the opening to the first frame; a camera that was live has to send something at once."""
        if self._been_live and not reader.received:
            return min(self._stall(reader, self._interval), self.timeouts.first)
        return self.timeouts.first

    def _stall(self, reader: ReaderThread, interval: float) -> float:
        least = HLS_SECONDS if reader.pieces else STALL_SECONDS
        return max(least, STALL_INTERVALS * interval)

    def _deadline(self, reader: ReaderThread, timing: FrameTiming) -> float | None:
        """time.monotonic() at which to act when nothing arrives; None: wait for the reader."""
        if reader.started_at is None:
            return None  # it pauses, and reports the end of that
        if reader.opened_at is None:
            return reader.started_at + reader.opening + 0.5
        if timing.last is None:
            waiting, until = reader.opened_at + WAITING_SECONDS, self._first_until(reader, reader.opened_at)
            return waiting if time.monotonic() < waiting < until else until
        stall = self._stall(reader, timing.undamaged)
        if timing.silence() <= stall:
            return timing.last + stall
        return timing.last + self.timeouts.patience * self._stall(reader, timing.interval)

    def _late(self, reader: ReaderThread, timing: FrameTiming, *, torn: bool) -> StreamEnded | None:
        """Act on a deadline that has passed: report a stall, or return why the opening ends."""
        now = time.monotonic()
        if reader.started_at is None:
            return None
        if reader.opened_at is None:
            hangs = reader.hangs(now)
            return StreamEnded(no_answer(reader.opening), cause=SILENT, silent=True) if hangs else None
        if timing.last is None:
            return self._none_yet(reader, reader.opened_at, now, torn=torn)
        stall, silence = self._stall(reader, timing.undamaged), timing.silence()
        if silence >= self.timeouts.patience * self._stall(reader, timing.interval):
            reason = _only_torn(reader) if torn else f"{SILENT} for {silence:.0f} s"
            return StreamEnded(reason, cause=ONLY_TORN if torn else SILENT)
        if silence >= stall:
            reason = ONLY_TORN_COME if torn else f"no picture for {stall:.0f} s"
            report.set_state(self.source, SourceState.stalled, reason)
        return None

    def _first_until(self, reader: ReaderThread, opened_at: float) -> float:
        """time.monotonic() until which the first frame has to come; while packets arrive, a key frame may be late."""
        until = max(opened_at, reader.keyframe_at or 0.0) + self._first(reader)
        if reader.received and reader.received_at and reader.keyframe_at is None:
            waiting = max(until, reader.received_at + STALL_SECONDS + self._interval)
            until = min(waiting, opened_at + KEY_SECONDS)
        return until

    def _none_yet(
        self, reader: ReaderThread, opened_at: float, now: float, *, torn: bool
    ) -> StreamEnded | None:
        """The camera is open, and no frame has come: report what it waits for, or return why the opening ends."""
        unkeyed = reader.received and bool(reader.received_at) and reader.keyframe_at is None
        if now < self._first_until(reader, opened_at):
            if now - opened_at >= WAITING_SECONDS and (unkeyed or not reader.received):
                state = SourceState.reconnecting if self._been_live else SourceState.connecting
                report.set_state(self.source, state, WAITING if unkeyed else SILENT_YET)
            return None
        seconds = now - opened_at
        if unkeyed and (torn or seconds >= KEY_SECONDS):
            return StreamEnded(
                f"it is open, and no whole picture (key frame) came within {seconds:.0f} s; "
                "set it to send one every few seconds",
                cause=SILENT,
            )
        if torn:
            # A camera that never was whole breaks the standard: some errors are tolerated then. Of another they are
            # damage, however long it lasts.
            self._strict = self._been_live
            return StreamEnded(_only_torn(reader), cause=ONLY_TORN)
        return StreamEnded(f"it is open, and no picture came within {seconds:.0f} s", cause=SILENT)


def _only_torn(reader: ReaderThread) -> str:
    """Where no packets were lost, the camera sends damaged frames."""
    return ONLY_TORN if reader.packets_lost else ONLY_TORN + WHOLE_ONLY


def _after(
    last: ReaderThread, before: Callable[[ReaderThread], None] | None
) -> Callable[[ReaderThread], None] | None:
    """After an opening without data, let the next one wait until it has ended: a camera may be stuck until then."""
    if last.opened_at is None or last.received:
        return before

    def wait(reader: ReaderThread) -> None:
        until = time.monotonic() + LET_GO_SECONDS
        while last.thread.is_alive() and not reader.unwanted and time.monotonic() < until:
            last.thread.join(0.1)
        sleep(CLEAR_SECONDS, reader)
        if before is not None:
            before(reader)

    return wait


def backoff(number: int) -> float:
    """Seconds before the opening after this one, counted from 0; random, for one switch may have many cameras."""
    longest = min(BACKOFF_SECONDS[1], BACKOFF_SECONDS[0] * 2.0 ** min(number, 30))
    return random.uniform(max(BACKOFF_SECONDS[0], longest / 2), longest)


def _seconds_until(moment: float | None) -> float | None:
    return None if moment is None else max(0.0, moment - time.monotonic())

"""How a camera is, and when it is opened again."""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace

import streamrec.sources.health as report
from streamrec.errors import SourceError
from streamrec.sources.camera_clock import Mark, Slow, Timekeeping
from streamrec.sources.monitors import LAG_SECONDS, STEADY_SECONDS, Clock, Lag, Rhythm, Stillness, Trust
from streamrec.sources.probe import Door
from streamrec.sources.reader_thread import (
    FROZEN,
    LAGGING,
    LATE,
    LATE_SECONDS,
    ONLY_TORN,
    SILENT,
    TORN,
    Attempt,
    IsFilm,
    Over,
    Shot,
    sleep,
)
from streamrec.sources.video_io import no_answer
from streamrec.types import Frame, Health, Source, SourceState

# Deadline for opening one that opened quickly before: what hangs now may not hang the next time.
QUICK_SECONDS, QUICK_TIMES = 2.0, 4.0  # at least so long, and so many times as long as it took
LET_GO_SECONDS = 6.0  # longer than the thread that reads waits for a word
CLEAR_SECONDS = 0.5  # and so long after it has let go, where nothing came
STALL_SECONDS = 2.0  # the least time without a good picture that is a stall
STALL_INTERVALS = 4.0  # and that many times the camera's own interval
HLS_SECONDS = 20.0  # HLS comes in pieces of several seconds
PATIENCE = 2.0  # a stall of so many times its limit ends in a reopening
PAUSES = (1.0, 30.0)  # seconds between openings, the first and the longest
ONLY_TORN_COME = "only torn pictures come"
WAITING = "connected; waiting for a whole picture (key frame)"
SILENT_YET = "connected; nothing has come yet"
WAITING_SECONDS = 3.0  # so long without a picture after the opening is told
KEY_SECONDS = 600.0  # no camera waits longer with its next key frame
WHOLE_ONLY = (
    ", though nothing was lost on the way: what the camera sends cannot be put together. Set it to one slice a "
    "picture, or to another codec (GStreamer: h264parse before the payloader)"
)
LAG_CALM = 300.0  # so long on time: the next lag is another one


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds and numbers that a watch goes by."""

    opening: float
    first: float
    patience: float = PATIENCE
    linger: float = 0.5  # how long leaving waits for the thread that reads
    frozen: float = math.inf


class Watch:
    """One iteration of a camera: what came, how it is, and when it is opened again."""

    def __init__(
        self,
        source: Source,
        read: Callable[[Attempt], None],
        retries: int | None,
        limits: Limits,
        door: Door | None = None,
    ) -> None:
        self.source, self.read, self.retries, self.limits, self.door = source, read, retries, limits, door
        self._changed = threading.Condition()
        self._left = False
        self._index = self._segment = 0
        self._segment_is_new = True  # no frame of it was passed on
        self._been_live = False
        self._answered = False  # it was open once: the address and the password are right
        self._failures = 0  # openings in a row that gave no picture, and the loss before them
        self._pauses = 0
        self._woken = False  # the last opening was made early, because the camera answered
        self._heard = True  # it answered at the last opening, or before it
        self._patient = False  # the next opening may take its time
        self._opens_in = limits.opening  # seconds that the last opening took that gave pictures
        self._interval = 0.0  # seconds between its pictures then
        self._strict = True
        self._cause = ""  # of the reopening that is under way
        self._still = Stillness(limits.frozen)
        self._timing = Timekeeping()
        self._patience_with_lag = LAG_SECONDS
        self._lagged: float | None = None  # when a lag last ended an opening

    def leave(self) -> None:
        """Nobody reads any more. From any thread."""
        with self._changed:
            self._left = True
            self._changed.notify_all()

    def frames(self) -> Generator[Frame, None, None]:
        """The frames of all openings; ``SourceError`` when the camera is given up, ``IsFilm`` where it is none."""
        source = self.source
        source.health = Health()
        report.set_state(source, SourceState.connecting)
        clock = Clock(time.monotonic())
        attempt: Attempt | None = None
        before: Callable[[Attempt], None] | None = None
        try:
            while not self._left:
                attempt = Attempt(
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
                over = yield from self._follow(attempt, clock)
                attempt.unwanted = True
                if over is not None and over.film:
                    raise IsFilm
                if over is None or over.reason is None:
                    break
                self._answered = self._answered or attempt.ready is not None
                before = _after(attempt, self._next(over))
            report.set_state(source, SourceState.ended, report.LEFT if self._left else report.OVER)
        except GeneratorExit:
            report.set_state(source, SourceState.ended, report.LEFT)
            raise
        finally:
            if attempt is not None:
                attempt.unwanted = True
                attempt.thread.join(self.limits.linger)
            self._still = Stillness(self.limits.frozen)  # it holds a picture

    def _next(self, over: Over) -> Callable[[Attempt], None] | None:
        """What comes before the next opening: nothing, or a pause. Gives the camera up where that is due."""
        source, reason = self.source, report.redacted(self.source, over.reason or "")
        if self.retries is not None and (not self._answered or self._failures >= self.retries):
            report.set_state(source, SourceState.failed, reason)
            raise SourceError(reason if over.whole else f"{source.name}: {reason}")
        self._failures += 1
        if self._been_live:
            self._cause = self._cause or over.cause or reason
        state = SourceState.reconnecting if self._been_live else SourceState.connecting
        report.set_state(source, state, reason)
        if not self._segment_is_new:
            self._segment += 1
            self._segment_is_new = True
        heard = self._woken or not over.silent
        self._patient = over.silent and not self._patient and (self._woken or self.door is None)
        if heard and not self._heard:
            self._pauses = 0  # they grew while nobody answered
        self._heard = heard
        pauses, self._pauses = self._pauses, self._pauses + 1
        self._woken = False
        if self._been_live and pauses == 0:
            return None  # it was live, or answered, just now: at once
        seconds = pause(pauses - self._been_live)

        def wait(attempt: Attempt) -> None:
            if self.door is None:
                sleep(seconds, attempt)
            # One that answers, and still cannot be opened, has its pauses.
            elif self.door.opens_within(seconds, attempt, wary=heard, stay=over.locked):
                self._woken = True

        return wait

    def _opening(self) -> float:
        """Seconds that the next opening may take: few where it took less before, unless that was too few just now."""
        if self._patient:
            return self.limits.opening
        return min(max(QUICK_SECONDS, QUICK_TIMES * self._opens_in), self.limits.opening)

    def _follow(self, attempt: Attempt, clock: Clock) -> Generator[Frame, None, Over | None]:
        """The frames of one opening; returns what ended it, None when nobody reads any more."""
        source, rhythm, lag, trust = self.source, Rhythm(), Lag(), Trust(wary=attempt.wary)
        live_since: float | None = None
        size: tuple[int, ...] = ()
        while True:
            with self._changed:
                until = self._deadline(attempt, rhythm)
                self._changed.wait_for(lambda: self._left or attempt.news(), _seconds_until(until))
                if self._left:
                    return None
                shots, refused, over = attempt.take()
            for cause, pictures in refused.items():
                report.count_refused(source, cause, pictures)
                if cause == TORN and trust.lost_again(time.monotonic()):
                    report.set_state(source, SourceState.stalled, ONLY_TORN_COME)
            for shot in shots:
                if shot.old and source.health.state is SourceState.stalled:
                    report.count_refused(source, LATE)
                    continue
                said = shot.told
                if not self._believed(shot, attempt):
                    shot = replace(shot, told=None)
                elif said is not None and self._timing.early:
                    shot = replace(shot, told=said - self._timing.early)
                trust.bear_out(shot, late=rhythm.silence() >= self._stall(attempt, rhythm.whole) / 2)
                rhythm.beat(shot, trusted=not trust.is_lost, follows=trust.good > 1)
                if trust.is_lost:
                    report.count_refused(source, TORN)
                    continue
                if self._still.frozen(shot):
                    report.count_refused(source, FROZEN)
                    report.set_state(source, SourceState.stalled, "the picture is frozen")
                    continue
                timestamp, jumped = clock.step(shot.told, shot.captured)
                if attempt.timely and said is not None and (self._timing.trusted or not self._timing.sure):
                    if self._timing.jumped:
                        lag = Lag()
                    if (late := self._lags(lag, said, shot.captured)) is not None:
                        report.count_refused(source, LATE)
                        return late
                if (jumped or (size and shot.image.shape != size)) and not self._segment_is_new:
                    self._segment += 1
                size = shot.image.shape
                live_since = live_since or shot.captured
                self._tell_live(attempt, rhythm, steady=shot.captured - live_since >= STEADY_SECONDS)
                yield Frame(shot.image, self._index, timestamp, self._segment, source.name, shot.captured)
                self._index += 1
                if self._left:
                    return None
            if over is not None:
                return over
            if not shots and (ended := self._late(attempt, rhythm, torn=trust.is_lost)) is not None:
                return ended

    def _believed(self, shot: Shot, attempt: Attempt) -> bool:
        """Whether the time that a picture tells is to be believed. That of a recording says nothing of the arrival."""
        if shot.told is None or not (attempt.timely or (attempt.pieces and attempt.endless)):
            return True
        mark = Mark(shot.told, shot.captured, shot.read, shot.idle)
        return self._timing.step(mark, paced=attempt.pieces)

    def _tell_live(self, attempt: Attempt, rhythm: Rhythm, *, steady: bool) -> None:
        """A picture is passed on: what went wrong before is over."""
        if self._cause:
            report.count_reconnect(self.source, self._cause)
        self._been_live = self._heard = True
        self._segment_is_new = self._woken = False
        self._failures, self._cause = 0, ""
        if attempt.begun is not None and attempt.ready is not None:
            self._opens_in = attempt.ready - attempt.begun
        self._interval = rhythm.interval
        self._pauses = 0 if steady else min(self._pauses, 1)  # who gives pictures is worth asking soon
        report.set_state(self.source, SourceState.live, self._timing.reason)
        report.count_frame(self.source)

    def _lags(self, lag: Lag, told: float, captured: float) -> Over | None:
        """What to say where the line is so slow that only another opening brings new pictures.

        Where pictures come at the camera's steady rate and not as their bytes do, its clock is the slow one. Each
        time that another opening does not help for long, twice as much is borne: not everywhere can that be told.
        """
        late = lag.step(told, captured, self._patience_with_lag)
        if lag.lasts(captured):
            why = self._timing.lagged()
            if why is Slow.clock:
                return None
            self._patience_with_lag, self._lagged = 2 * self._patience_with_lag, captured
            slow = "the line is too slow for them" + (
                "" if why is Slow.line else ", or the camera's clock is slow"
            )
            return Over(f"pictures come {late:.0f} s late: {slow}", cause=LAGGING)
        if self._lagged is not None and late < LATE_SECONDS and captured - self._lagged >= LAG_CALM:
            self._patience_with_lag, self._lagged = LAG_SECONDS, None
        return None

    def _first(self, attempt: Attempt) -> float:
        """Seconds from the opening to the first picture; of one that was live, something has to come at once."""
        if self._been_live and not attempt.heard:
            return min(self._stall(attempt, self._interval), self.limits.first)
        return self.limits.first

    def _stall(self, attempt: Attempt, interval: float) -> float:
        least = HLS_SECONDS if attempt.pieces else STALL_SECONDS
        return max(least, STALL_INTERVALS * interval)

    def _deadline(self, attempt: Attempt, rhythm: Rhythm) -> float | None:
        """time.monotonic() of the next thing to be done when nothing comes; None: wait."""
        if attempt.begun is None:
            return None  # it pauses, and says when that is over
        if attempt.ready is None:
            return attempt.begun + attempt.opening + 0.5
        if rhythm.last is None:
            told, until = attempt.ready + WAITING_SECONDS, self._first_until(attempt, attempt.ready)
            return told if time.monotonic() < told < until else until
        stall = self._stall(attempt, rhythm.whole)
        if rhythm.silence() <= stall:
            return rhythm.last + stall
        return rhythm.last + self.limits.patience * self._stall(attempt, rhythm.interval)

    def _late(self, attempt: Attempt, rhythm: Rhythm, *, torn: bool) -> Over | None:
        """A deadline may have passed: tell a stall, or end what does not come back."""
        now = time.monotonic()
        if attempt.begun is None:
            return None
        if attempt.ready is None:
            late = now - attempt.begun >= attempt.opening + 0.5
            return Over(no_answer(attempt.opening), cause=SILENT, silent=True) if late else None
        if rhythm.last is None:
            return self._none_yet(attempt, attempt.ready, now, torn=torn)
        stall, silence = self._stall(attempt, rhythm.whole), rhythm.silence()
        if silence >= self.limits.patience * self._stall(attempt, rhythm.interval):
            reason = _only_torn(attempt) if torn else f"{SILENT} for {silence:.0f} s"
            return Over(reason, cause=ONLY_TORN if torn else SILENT)
        if silence >= stall:
            reason = ONLY_TORN_COME if torn else f"no picture for {stall:.0f} s"
            report.set_state(self.source, SourceState.stalled, reason)
        return None

    def _first_until(self, attempt: Attempt, ready: float) -> float:
        """time.monotonic() until which the first picture has to come: while packets do, a key frame is waited for."""
        until = max(ready, attempt.keyed_at or 0.0) + self._first(attempt)
        if attempt.heard and attempt.heard_at and attempt.keyed_at is None:
            until = min(max(until, attempt.heard_at + STALL_SECONDS + self._interval), ready + KEY_SECONDS)
        return until

    def _none_yet(self, attempt: Attempt, ready: float, now: float, *, torn: bool) -> Over | None:
        """It is open, and gave no picture yet: tell what is waited for, or end it."""
        unkeyed = attempt.heard and bool(attempt.heard_at) and attempt.keyed_at is None
        if now < self._first_until(attempt, ready):
            if now - ready >= WAITING_SECONDS and (unkeyed or not attempt.heard):
                state = SourceState.reconnecting if self._been_live else SourceState.connecting
                report.set_state(self.source, state, WAITING if unkeyed else SILENT_YET)
            return None
        seconds = now - ready
        if unkeyed and (torn or seconds >= KEY_SECONDS):
            return Over(
                f"it is open, and no whole picture (key frame) came within {seconds:.0f} s; "
                "set it to send one every few seconds",
                cause=SILENT,
            )
        if torn:
            # One that never was whole takes the standard lightly: some errors are to be borne. Of another
            # they are damage, however long it lasts.
            self._strict = self._been_live
            return Over(_only_torn(attempt), cause=ONLY_TORN)
        return Over(f"it is open, and no picture came within {seconds:.0f} s", cause=SILENT)


def _only_torn(attempt: Attempt) -> str:
    """Where nothing was lost, what is wrong is what the camera sends."""
    return ONLY_TORN if attempt.missed else ONLY_TORN + WHOLE_ONLY


def _after(last: Attempt, before: Callable[[Attempt], None] | None) -> Callable[[Attempt], None] | None:
    """Where nothing came of an opening, the next one waits until it has let go: a camera may be stuck until then."""
    if last.ready is None or last.heard:
        return before

    def wait(attempt: Attempt) -> None:
        until = time.monotonic() + LET_GO_SECONDS
        while last.thread.is_alive() and not attempt.unwanted and time.monotonic() < until:
            last.thread.join(0.1)
        sleep(CLEAR_SECONDS, attempt)
        if before is not None:
            before(attempt)

    return wait


def pause(number: int) -> float:
    """Seconds before the opening after this one, counted from 0; by chance, for a switch has many cameras."""
    longest = min(PAUSES[1], PAUSES[0] * 2.0 ** min(number, 30))
    return random.uniform(max(PAUSES[0], longest / 2), longest)


def _seconds_until(moment: float | None) -> float | None:
    return None if moment is None else max(0.0, moment - time.monotonic())

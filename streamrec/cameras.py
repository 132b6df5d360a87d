"""Cameras that never die: webcams and network addresses, watched, and opened again when they are lost.

A camera is read in a thread of its own, because no reader lets go of a dead line at once: OpenCV, FFmpeg and the
system's name look-up each have waits that nothing ends. Whoever iterates the source waits for that thread no longer
than the watch allows, and leaves it to its own deadlines where it hangs.
"""

from __future__ import annotations

import logging
import math
import random
import socket
import threading
import time
import zlib
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import av.logging
import numpy as np

from streamrec import health as report
from streamrec.errors import SourceError, without_password
from streamrec.h264 import FrameNumbers
from streamrec.pictures import as_bgr
from streamrec.types import Frame, Health, Source, SourceState
from streamrec.videos import LOST, OPEN_SECONDS, in_words, no_answer, no_video, opened

RETRIES = 10  # openings in a row of a lost camera before it is given up: about three minutes
READ_SECONDS = 5.0  # after so long without a word the thread that reads looks whether it is still wanted
FIRST_SECONDS = 10.0  # deadline for the first picture of what was opened: until a key frame comes
# Deadline for opening one that has just answered, and opened quickly before: what hangs now may not hang the next time.
QUICK_SECONDS, QUICK_TIMES = 2.0, 4.0  # at least so long, and so many times as long as it took
STALL_SECONDS = 2.0  # the least time without a good picture that is a stall
STALL_INTERVALS = 4.0  # and that many times the camera's own interval
# Where decoders leave damage unmarked, so many good pictures in a row end the suspicion after a torn one, and so many
# seconds where one is predicted from the other.
TRUSTED, TRUSTED_SECONDS = 3, 0.5
PATIENCE = 2.0  # a stall of so many times its limit ends in a reopening
PAUSES = (1.0, 30.0)  # seconds between openings, the first and the longest
STEADY_SECONDS = 2.0  # live for so long: the next loss begins with the first pause again
FROZEN_SECONDS = 30.0  # the same picture for so long is a frozen one
STILL_LEVELS = 40  # grey levels that an encoder may be off between two key frames of the same picture
STILL_KEYS = 16  # so many different key frames it may make of it
STILL_AGAIN, STILL_SHARE = 4, 2 / 3  # of those of late so many, and such a part, had been there before
LATE_SECONDS = 1.0  # so long without having to wait for data: what comes is old
CAUGHT_UP_SECONDS = 0.02  # it had to wait so shortly before, if only for sound: what comes is new
LAG_SECONDS = (
    2.0  # so much later than they could, and no sooner: the line is too slow, and what waits on it is old
)
LAG_STAYS = 0.5  # after so long it is sure that they come no sooner
LAG_CALM = 300.0  # so long on time: the next lag is another one
LAG_DRIFT = 0.01  # seconds a second that a camera's clock may be wrong
BACK_SECONDS = 1.0  # a clock that goes back by less stumbles; by more, it was set
JUMP_SECONDS = 3.0  # ahead by more than this and the time that passed: it was set
BUSY_TRIES, BUSY_SECONDS = (
    4,
    0.25,
)  # a server that has just let go of a viewer may be too busy for the next one
REORDERED = "16"  # packets of RTP that wait for one before them: over TCP, too, a camera may leave some out
HLS_SECONDS = 20.0  # HLS comes in pieces of several seconds

# Why pictures were not passed on (Health.refused).
TORN = "torn"  # damaged, or predicted from one that is damaged or missing
FROZEN = "frozen"  # the same as before for FROZEN_SECONDS
LATE = "late"  # decoding fell behind, and newer ones were there
UNREAD = "unread"  # nobody asked in time
# Why a camera was opened again (Health.reconnects).
SILENT = "no picture came"
ONLY_TORN = "only torn pictures came"
LAGGING = "pictures came too late"
ENDED = "the camera ended the stream"
UNPLUGGED = "the camera stopped giving pictures"


class WebcamSource(Source):
    """A camera of this computer, by its number or its device file (``/dev/video0``).

    Timestamps are seconds since the camera was opened first. One that is not there is told at once; one that
    vanishes is waited for, ``retries`` openings in a row (None: for ever, and for one that is not there too). A
    picture that has stood still for ``frozen_after`` seconds is not passed on (None: it is).
    """

    live = True

    def __init__(
        self,
        device: int | str = 0,
        *,
        retries: int | None = RETRIES,
        frozen_after: float | None = FROZEN_SECONDS,
    ) -> None:
        self.device = device
        self.name = f"webcam {device}" if isinstance(device, int) else device
        self._retries = retries
        self._frozen_after = math.inf if frozen_after is None else frozen_after
        self._watch: _Watch | None = None

    def __iter__(self) -> Iterator[Frame]:
        # A driver waits 10 s for a picture.
        limits = _Limits(opening=30.0, first=15.0, patience=6.0, linger=3.0, frozen=self._frozen_after)
        self._watch = _Watch(self, self._read, self._retries, limits)
        return self._watch.frames()

    def interrupt(self) -> None:
        """End every wait."""
        if self._watch is not None:
            self._watch.leave()

    def _read(self, attempt: _Attempt) -> None:
        if isinstance(self.device, str) and not Path(self.device).exists():
            raise _Over(
                f"there is no {self.device}; `streamrec doctor` lists the cameras that are there", whole=True
            )
        with opened(self.device) as video:
            if video is None:
                raise _Over(
                    f"{self.name} did not open: it is not there, or another program uses it; "
                    "`streamrec doctor` lists the cameras that are there",
                    whole=True,
                )
            attempt.opened()
            while not attempt.unwanted:
                ok, image = video.read()
                if not ok or image is None:
                    break
                attempt.put(_Shot(as_bgr(image), None, time.monotonic(), True))
        raise _Over(
            f"{self.name} stopped giving pictures; is it still plugged in?", cause=UNPLUGGED, whole=True
        )


class NetworkSource(Source):
    """An RTSP, RTMP, HTTP or UDP address, read by FFmpeg. A lost connection is opened again, in a new segment.

    Opening and reading have deadlines. The first opening fails at once, in words; a camera that was open and is
    lost is opened ``retries`` times in a row, with growing pauses, before ``SourceError`` says why. None: for
    ever, from the first opening on.

    Timestamps are seconds since the first opening, by the camera's own clock where the stream tells it. A clock
    that is set begins a new segment, as another size of the picture does. Torn pictures are not passed on; nor
    are those of a picture that has stood still for ``frozen_after`` seconds (None: they are).

    ``transport``: "tcp" or "udp" for RTSP; "auto" tries TCP first.
    """

    live = True

    def __init__(
        self,
        address: str,
        *,
        retries: int | None = RETRIES,
        transport: str = "auto",
        frozen_after: float | None = FROZEN_SECONDS,
    ) -> None:
        if transport not in ("auto", "tcp", "udp"):
            raise SourceError(f'transport is "auto", "tcp" or "udp", not {transport!r}')
        self.name = without_password(address)
        self._address = address  # never shown: it may hold a password
        self._retries = retries
        self._transport = transport
        self._frozen_after = math.inf if frozen_after is None else frozen_after
        self._watch: _Watch | None = None

    def __iter__(self) -> Iterator[Frame]:
        limits = _Limits(opening=OPEN_SECONDS, first=FIRST_SECONDS, frozen=self._frozen_after)
        # Now, not when the first frame is asked for: an interrupt may come before.
        self._watch = _Watch(self, self._read, self._retries, limits, _Door.of(self._address))
        return self._watch.frames()

    def interrupt(self) -> None:
        """End every wait."""
        if self._watch is not None:
            self._watch.leave()

    def _read(self, attempt: _Attempt) -> None:
        _read_stream(self._address, self._transport, attempt)


# -- between the thread that reads and the one that waits


@dataclass(frozen=True, slots=True)
class _Limits:
    """Seconds and numbers that a watch goes by."""

    opening: float
    first: float
    patience: float = PATIENCE
    linger: float = 0.5  # how long leaving waits for the thread that reads
    frozen: float = math.inf


@dataclass(frozen=True, slots=True, eq=False)
class _Shot:
    """A good picture."""

    image: np.ndarray
    told: float | None  # seconds on the camera's clock
    captured: float  # time.monotonic()
    key: bool  # it is predicted from no other
    sure: bool = False  # damage would have been marked: it needs no others to bear it out
    alone: bool = True  # no others are predicted from it: damage does not spread
    old: bool = False  # held back until the deadline of a read: FFmpeg waits for a picture's successor


class _Over(Exception):
    """What ended an attempt; ``reason`` None: the end of a recording. No password in it."""

    def __init__(
        self,
        reason: str | None,
        *,
        cause: str = "",
        silent: bool = False,
        locked: bool = False,
        whole: bool = False,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.cause = cause  # of the reopening that follows; "": the reason
        self.silent = silent  # nobody answered: an answer will be news
        self.locked = locked  # the password was refused: only a camera that starts anew may take it
        self.whole = whole  # the reason names the camera already


class _Attempt:
    """One opening of a camera and what comes of it, in a thread of its own."""

    KEPT = 4  # pictures that wait; whoever is slower than that is given newer ones

    def __init__(
        self,
        read: Callable[[_Attempt], None],
        changed: threading.Condition,
        *,
        name: str,
        opening: Callable[[], float],
        strict: bool = True,
        wary: bool = False,
        before: Callable[[_Attempt], None] | None = None,
    ) -> None:
        self.opening = 0.0  # seconds that it may take to open
        self.strict = strict  # refuse what the decoder can only guess
        self.wary = wary  # the opening before gave nothing but damage
        self.unwanted = False
        self.begun: float | None = None  # time.monotonic() when the opening began
        self.ready: float | None = None  # when it was open
        self.heard = True  # something came of its pictures, if only a part of one; or nobody would know
        self.over: _Over | None = None
        self.refused: Counter[str] = Counter()
        self.pieces = False  # what comes comes in pieces of several seconds
        self.timely = False  # pictures come as the camera takes them, with its times
        self._fresh = False  # one of these has changed
        self._shots: deque[_Shot] = deque()
        self._changed = changed
        self._read = read
        self._before, self._opening = before, opening
        self.thread = threading.Thread(target=self._run, name=f"read {name}", daemon=True)
        self.thread.start()

    # in the thread that reads

    def _run(self) -> None:
        over: _Over
        try:
            if self._before is not None:
                self._before(self)
            self._set(opening=self._opening(), begun=time.monotonic())
            if not self.unwanted:
                self._read(self)
            over = _Over(ENDED, cause=ENDED)
        except _Over as ended:
            over = ended
        except Exception as error:
            # FFmpeg's texts may hold the address, password included.
            text = error.strerror if isinstance(error, av.FFmpegError) else str(error)
            over = _Over(text or type(error).__name__, cause=LOST)
        over.__traceback__ = over.__context__ = None
        self._set(over=over)

    def _set(self, **values: Any) -> None:
        with self._changed:
            for name, value in values.items():
                setattr(self, name, value)
            self._fresh = True
            self._changed.notify_all()

    def opened(self, *, pieces: bool = False, timely: bool = False, heard: bool = True) -> None:
        """It is open; pictures may come. Not ``heard``: what comes of them will be."""
        self._set(ready=time.monotonic(), pieces=pieces, timely=timely, heard=heard)

    def hear(self) -> None:
        """Something came of its pictures, though it may never be one."""
        if not self.heard:
            self._set(heard=True)

    def put(self, shot: _Shot) -> None:
        """Hand over a picture; never waits."""
        with self._changed:
            if len(self._shots) >= self.KEPT:
                self._shots.popleft()
                self.refused[UNREAD] += 1
            self._shots.append(shot)
            self._changed.notify_all()

    def refuse(self, cause: str) -> None:
        """A picture is not handed over."""
        with self._changed:
            self.refused[cause] += 1
            self._changed.notify_all()

    # in the thread that waits, with ``changed`` held

    def news(self) -> bool:
        return bool(self._shots or self.refused or self._fresh)

    def take(self) -> tuple[list[_Shot], Counter[str], _Over | None]:
        """What came since the last time."""
        shots, refused = list(self._shots), self.refused
        self._shots.clear()
        self.refused, self._fresh = Counter(), False
        return shots, refused, self.over


class _Watch:
    """One iteration of a camera: what came, how it is, and when it is opened again."""

    def __init__(
        self,
        source: Source,
        read: Callable[[_Attempt], None],
        retries: int | None,
        limits: _Limits,
        door: _Door | None = None,
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
        self._opens_in = limits.opening  # seconds that the last opening took that gave pictures
        self._interval = 0.0  # seconds between its pictures then
        self._strict = True
        self._cause = ""  # of the reopening that is under way
        self._still = _Stillness(limits.frozen)
        self._patience_with_lag = LAG_SECONDS
        self._lagged: float | None = None  # when a lag last ended an opening

    def leave(self) -> None:
        """Nobody reads any more. From any thread."""
        with self._changed:
            self._left = True
            self._changed.notify_all()

    def frames(self) -> Generator[Frame, None, None]:
        """The frames of all openings; ``SourceError`` when the camera is given up."""
        source = self.source
        source.health = Health()
        report.tell(source, SourceState.connecting)
        clock = _Clock(time.monotonic())
        attempt: _Attempt | None = None
        before: Callable[[_Attempt], None] | None = None
        try:
            while not self._left:
                attempt = _Attempt(
                    self.read,
                    self._changed,
                    name=source.name,
                    opening=self._opening,
                    strict=self._strict,
                    wary=self._cause == ONLY_TORN,
                    before=before,
                )
                clock.restart()
                over = yield from self._follow(attempt, clock)
                attempt.unwanted = True
                if over is None or over.reason is None:
                    break
                self._answered = self._answered or attempt.ready is not None
                before = self._next(over)
            report.tell(source, SourceState.ended, report.LEFT if self._left else report.OVER)
        except GeneratorExit:
            report.tell(source, SourceState.ended, report.LEFT)
            raise
        finally:
            if attempt is not None:
                attempt.unwanted = True
                attempt.thread.join(self.limits.linger)
            self._still = _Stillness(self.limits.frozen)  # it holds a picture

    def _next(self, over: _Over) -> Callable[[_Attempt], None] | None:
        """What comes before the next opening: nothing, or a pause. Gives the camera up where that is due."""
        source, reason = self.source, over.reason or ""
        if self.retries is not None and (not self._answered or self._failures >= self.retries):
            report.tell(source, SourceState.failed, reason)
            raise SourceError(reason if over.whole else f"{source.name}: {reason}")
        self._failures += 1
        if self._been_live:
            self._cause = self._cause or over.cause or reason
        state = SourceState.reconnecting if self._been_live else SourceState.connecting
        report.tell(source, state, reason)
        if not self._segment_is_new:
            self._segment += 1
            self._segment_is_new = True
        heard = self._woken or not over.silent
        if heard and not self._heard:
            self._pauses = 0  # they grew while nobody answered
        self._heard = heard
        pauses, self._pauses = self._pauses, self._pauses + 1
        self._woken = False
        if self._been_live and pauses == 0:
            return None  # it was live, or answered, just now: at once
        seconds = _pause(pauses - self._been_live)

        def pause(attempt: _Attempt) -> None:
            if self.door is None:
                _sleep(seconds, attempt)
            # One that answers, and still cannot be opened, has its pauses.
            elif self.door.opens_within(seconds, attempt, wary=heard, stay=over.locked):
                self._woken = True

        return pause

    def _opening(self) -> float:
        """Seconds that the next opening may take."""
        quick = max(QUICK_SECONDS, QUICK_TIMES * self._opens_in)
        return min(quick, self.limits.opening) if self._woken else self.limits.opening

    def _follow(self, attempt: _Attempt, clock: _Clock) -> Generator[Frame, None, _Over | None]:
        """The frames of one opening; returns what ended it, None when nobody reads any more."""
        source, rhythm, lag = self.source, _Rhythm(), _Lag()
        live_since: float | None = None
        size: tuple[int, ...] = ()
        good, torn_at = 0, time.monotonic()  # pictures in a row; when the last torn one came
        torn = attempt.wary  # whether some came since the last one that was passed on
        while True:
            with self._changed:
                until = self._deadline(attempt, rhythm)
                self._changed.wait_for(lambda: self._left or attempt.news(), _seconds_until(until))
                if self._left:
                    return None
                shots, refused, over = attempt.take()
            for cause, pictures in refused.items():
                report.count_refused(source, cause, pictures)
                if cause == TORN:
                    good, torn, torn_at = 0, True, time.monotonic()
            for shot in shots:
                if shot.old and source.health.state is SourceState.stalled:
                    report.count_refused(source, LATE)
                    continue
                good += 1
                torn = torn and not _is_borne_out(shot, good, torn_at)
                rhythm.beat(shot, trusted=not torn, follows=good > 1)
                if torn:
                    report.count_refused(source, TORN)
                    continue
                if self._still.frozen(shot):
                    report.count_refused(source, FROZEN)
                    report.tell(source, SourceState.stalled, "the picture is frozen")
                    continue
                timestamp, jumped = clock.step(shot.told, shot.captured)
                if attempt.timely and shot.told is not None:
                    if jumped:
                        lag = _Lag()
                    if (late := self._lags(lag, shot.told, shot.captured)) is not None:
                        report.count_refused(source, LATE)
                        return late
                if (jumped or (size and shot.image.shape != size)) and not self._segment_is_new:
                    self._segment += 1
                size = shot.image.shape
                if self._cause:
                    report.count_reconnect(source, self._cause)
                self._been_live, self._failures, self._cause = True, 0, ""
                self._segment_is_new = self._woken = False
                self._heard = True
                if attempt.begun is not None and attempt.ready is not None:
                    self._opens_in = attempt.ready - attempt.begun
                self._interval = rhythm.interval
                live_since = live_since or shot.captured
                if shot.captured - live_since >= STEADY_SECONDS:
                    self._pauses = 0
                report.tell(source, SourceState.live)
                report.count_frame(source)
                yield Frame(shot.image, self._index, timestamp, self._segment, source.name, shot.captured)
                self._index += 1
                if self._left:
                    return None
            if over is not None:
                return over
            if not shots and (ended := self._late(attempt, rhythm, torn=torn)) is not None:
                return ended

    def _lags(self, lag: _Lag, told: float, captured: float) -> _Over | None:
        """What to say where the line is so slow that only another opening brings new pictures.

        Each time that it does not help for long, twice as much is borne: the camera's clock may be the slow one.
        """
        late = lag.step(told, captured, self._patience_with_lag)
        if lag.lasts(captured):
            self._patience_with_lag, self._lagged = 2 * self._patience_with_lag, captured
            return _Over(f"pictures come {late:.0f} s late: the line is too slow for them", cause=LAGGING)
        if self._lagged is not None and late < LATE_SECONDS and captured - self._lagged >= LAG_CALM:
            self._patience_with_lag, self._lagged = LAG_SECONDS, None
        return None

    def _first(self, attempt: _Attempt) -> float:
        """Seconds from the opening to the first picture; of one that was live, something has to come at once."""
        if self._been_live and not attempt.heard:
            return min(self._stall(attempt, self._interval), self.limits.first)
        return self.limits.first

    def _stall(self, attempt: _Attempt, interval: float) -> float:
        least = HLS_SECONDS if attempt.pieces else STALL_SECONDS
        return max(least, STALL_INTERVALS * interval)

    def _deadline(self, attempt: _Attempt, rhythm: _Rhythm) -> float | None:
        """time.monotonic() of the next thing to be done when nothing comes; None: wait."""
        if attempt.begun is None:
            return None  # it pauses, and says when that is over
        if attempt.ready is None:
            return attempt.begun + attempt.opening + 0.5
        if rhythm.last is None:
            return attempt.ready + self._first(attempt)
        stall = self._stall(attempt, rhythm.whole)
        if rhythm.silence() <= stall:
            return rhythm.last + stall
        return rhythm.last + self.limits.patience * self._stall(attempt, rhythm.interval)

    def _late(self, attempt: _Attempt, rhythm: _Rhythm, *, torn: bool) -> _Over | None:
        """A deadline may have passed: tell a stall, or end what does not come back."""
        now = time.monotonic()
        if attempt.begun is None:
            return None
        if attempt.ready is None:
            late = now - attempt.begun >= attempt.opening + 0.5
            return _Over(no_answer(attempt.opening), cause=SILENT, silent=True) if late else None
        if rhythm.last is None:
            first = self._first(attempt)
            if now - attempt.ready < first:
                return None
            if torn:
                # One that never was whole takes the standard lightly: some errors are to be borne. Of another
                # they are damage, however long it lasts.
                self._strict = self._been_live
                return _Over(ONLY_TORN, cause=ONLY_TORN)
            return _Over(f"it is open, and no picture came within {first:g} s", cause=SILENT)
        stall, silence = self._stall(attempt, rhythm.whole), rhythm.silence()
        if silence >= self.limits.patience * self._stall(attempt, rhythm.interval):
            reason = ONLY_TORN if torn else f"{SILENT} for {silence:.0f} s"
            return _Over(reason, cause=ONLY_TORN if torn else SILENT)
        if silence >= stall:
            reason = "only torn pictures come" if torn else f"no picture for {stall:.0f} s"
            report.tell(self.source, SourceState.stalled, reason)
        return None


def _is_borne_out(shot: _Shot, good: int, torn_at: float) -> bool:
    """Whether the last of so many good pictures in a row may be believed, after a torn one at ``torn_at``."""
    if shot.sure:
        return True
    return good >= TRUSTED and (shot.alone or shot.captured - torn_at >= TRUSTED_SECONDS)


def _pause(number: int) -> float:
    """Seconds before the opening after this one, counted from 0; by chance, for a switch has many cameras."""
    longest = min(PAUSES[1], PAUSES[0] * 2.0 ** min(number, 30))
    return random.uniform(max(PAUSES[0], longest / 2), longest)


def _seconds_until(moment: float | None) -> float | None:
    return None if moment is None else max(0.0, moment - time.monotonic())


def _sleep(seconds: float, attempt: _Attempt) -> None:
    until = time.monotonic() + seconds
    while not attempt.unwanted and (left := until - time.monotonic()) > 0:
        time.sleep(min(left, 0.1))


class _Rhythm:
    """How often good pictures come."""

    def __init__(self) -> None:
        self.last: float | None = None  # time.monotonic() of the last one that is trusted
        self.interval = 0.0  # seconds; the longest of late, for a rate may vary
        self.whole = 0.0  # the same without those in which torn pictures came: damage makes no camera slow
        self._before: float | None = None
        self._told: float | None = None

    def beat(self, shot: _Shot, *, trusted: bool, follows: bool) -> None:
        """A picture came; ``follows``: no torn one was between it and the one before."""
        if self._before is not None:
            gap = shot.captured - self._before
            if shot.told is not None and self._told is not None:
                told = shot.told - self._told
                gap = told if 0.0 <= told <= gap + JUMP_SECONDS else gap  # a line that stops is no rhythm
            self.interval = min(max(gap, 0.95 * self.interval), 15.0)
            if follows:
                self.whole = min(max(gap, 0.95 * self.whole), 15.0)
        self._before, self._told = shot.captured, shot.told
        if trusted:
            self.last = shot.captured

    def silence(self) -> float:
        """Seconds since the last one; 0 before the first."""
        return 0.0 if self.last is None else time.monotonic() - self.last


class _Lag:
    """How much later pictures come than they could, by the camera's clock.

    >>> lag = _Lag()
    >>> moments = ((0.0, 9.0), (1.0, 9.5), (2.0, 11.0), (3.0, 14.5))
    >>> [round(lag.step(told, captured, 2.0), 1) for told, captured in moments]
    [0.0, 0.0, 0.5, 2.9]
    """

    def __init__(self) -> None:
        self._least: float | None = None  # the shortest way from the camera's clock to ours
        self._before: float | None = None
        self._late: deque[tuple[float, float]] = deque()  # when, and by how much, since it has been too much

    def step(self, told: float, captured: float, limit: float) -> float:
        """Seconds that the next picture is late; more than ``limit`` is too much."""
        way = captured - told
        if self._least is None or self._before is None:
            self._least, self._before = way, captured
        self._least = min(way, self._least + LAG_DRIFT * (captured - self._before))
        self._before = captured
        late = way - self._least
        if late < limit:
            self._late.clear()
        else:
            self._late.append((captured, late))
        while len(self._late) > 1 and captured - self._late[1][0] >= LAG_STAYS:
            self._late.popleft()
        return late

    def lasts(self, now: float) -> bool:
        """Whether it has been too much for a while, and does not become less."""
        return (
            bool(self._late) and now - self._late[0][0] >= LAG_STAYS and self._late[-1][1] >= self._late[0][1]
        )


class _Stillness:
    """Whether the very same picture comes again and again.

    What tells is the key frames: each encodes the whole picture anew. Of a live scene each is another one, at night
    and at a low bit rate too, for a sensor has noise; of one picture an encoder makes only a few, one for each
    quality that it comes to. Between two of them it refines what it has: those may be off by a little, what moves
    is off by more. A picture that was drawn may stand still and be live: hence the long wait, and hence a frozen
    picture is told and held back, and is no reason to open the camera again.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._sample: np.ndarray | None = None  # of the picture with which it came to rest
        self._since = 0.0  # when that was
        self._keys: set[int] = set()  # checksums of the key frames since
        self._came: deque[tuple[float, bool]] = deque()  # those of late: when, and whether it had been there
        self._new = 0  # how many of the last had not, in a row
        self._is_frozen = False

    def frozen(self, shot: _Shot) -> bool:
        if self._seconds == math.inf:
            return False
        sample = shot.image[2::4, 2::4, 1]  # green: most of what is bright or dark
        if self._sample is None or _moved(self._sample, sample):
            self._sample = sample.copy()
            self._begin(shot)
        if shot.key:
            self._look(shot)
        return self._is_frozen

    def _look(self, shot: _Shot) -> None:
        key = zlib.crc32(np.ascontiguousarray(shot.image).data)
        known = key in self._keys
        self._new = 0 if known else self._new + 1
        # One new one of a picture that is frozen may be of a quality that is rare.
        if not known and (self._new > 1 if self._is_frozen else len(self._keys) >= STILL_KEYS):
            self._begin(shot)
        self._keys.add(key)
        self._came.append((shot.captured, known))
        while len(self._came) > 2 * STILL_AGAIN and shot.captured - self._came[0][0] > self._seconds:
            self._came.popleft()
        again = sum(known for _, known in self._came)
        enough = max(STILL_AGAIN, 2 * len(self._keys), STILL_SHARE * len(self._came))
        if shot.captured - self._since >= self._seconds and again >= enough:
            self._is_frozen = True

    def _begin(self, shot: _Shot) -> None:
        self._since, self._new, self._is_frozen = shot.captured, 0, False
        self._keys.clear()
        self._came.clear()


def _moved(one: np.ndarray, other: np.ndarray) -> bool:
    if one.shape != other.shape:
        return True
    return bool((np.maximum(one, other) - np.minimum(one, other)).max() > STILL_LEVELS)


class _Clock:
    """Times (s) on the source's clock: monotone, by the camera's own clock where it tells one."""

    def __init__(self, started: float) -> None:
        self._started = started  # time.monotonic() that counts as 0
        self._last: float | None = None
        self._offset: float | None = None
        self._told = self._passed = 0.0

    def restart(self) -> None:
        """Another opening: its clock has nothing to do with the one before."""
        self._offset = None

    def step(self, told: float | None, captured: float) -> tuple[float, bool]:
        """The next picture's time, and whether the camera's clock was set."""
        now = captured - self._started
        at_least = -math.inf if self._last is None else self._last + 0.001
        jumped = False
        if told is None:
            self._last = max(now, at_least)
            return self._last, False
        if self._offset is not None:
            moved, passed = told - self._told, now - self._passed
            if moved < -BACK_SECONDS or moved > max(passed, 0.0) + JUMP_SECONDS:
                jumped = True
                self._offset = max((self._last or 0.0) + passed, at_least) - told
        else:
            self._offset = max(now, at_least) - told
        self._told, self._passed = told, now
        self._last = max(told + self._offset, at_least)
        return self._last, jumped


# -- whether a lost camera is there again


@dataclass(frozen=True, slots=True)
class _Door:
    """Where a camera answers, and what to say there: a question that needs no password."""

    host: str
    port: int
    question: bytes  # b"": that it opens is all that can be asked

    @classmethod
    def of(cls, address: str) -> _Door | None:
        """None where there is no such door: UDP, or an address that is not understood."""
        scheme, _, rest = address.partition("://")
        kinds = {
            "rtsp": (554, b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n"),
            "http": (80, b"OPTIONS * HTTP/1.0\r\n\r\n"),
            "rtsps": (322, b""),
            "https": (443, b""),
            "rtmp": (1935, b""),
        }
        if scheme.lower() not in kinds:
            return None
        port, question = kinds[scheme.lower()]
        place = rest.rpartition("@")[2].split("/")[0].split("?")[0]  # a password may itself hold "@" or "/"
        host, colon, number = place.rpartition(":")
        if colon and number.isdecimal() and int(number) < 65536:
            port = int(number)
        else:
            host = place
        host = host.strip("[]")
        return cls(host, port, question) if host else None

    def opens_within(self, seconds: float, attempt: _Attempt, *, wary: bool, stay: bool = False) -> bool:
        """Wait so long, or until the camera answers; ``wary``: after it did not.

        ``stay``: where it answers, stay on the line, and so see that it starts anew, however quickly.
        """
        until = time.monotonic() + seconds
        silent = not wary and bool(self.question)  # that it opens says little of one that hangs
        while not attempt.unwanted and time.monotonic() < until:
            again = time.monotonic() + 1.0
            with ExitStack() as held:
                answered = self._answers(until, attempt, held)
                if answered is not None and silent:
                    return True
                silent = silent or answered is None
                if answered is not None and stay and _hangs_up(answered, until, attempt):
                    again = time.monotonic() + 0.1  # is it away, or was it tired of us?
            _sleep(min(until, again) - time.monotonic(), attempt)
        return False

    def _answers(self, until: float, attempt: _Attempt, held: ExitStack) -> socket.socket | None:
        """The line on which the camera has answered, open for as long as ``held``."""
        try:
            line = held.enter_context(socket.create_connection((self.host, self.port), timeout=1.0))
            if not self.question:
                return line
            line.sendall(self.question)
            line.settimeout(0.2)
            while not attempt.unwanted and time.monotonic() < until:
                try:
                    return line if line.recv(1) else None
                except TimeoutError:  # one that hangs answers when it hangs no more
                    continue
        except (OSError, UnicodeError):
            pass
        return None


def _hangs_up(line: socket.socket, until: float, attempt: _Attempt) -> bool:
    """Wait so long, or until the other side closes the line; whether it has."""
    line.settimeout(0.2)
    while not attempt.unwanted and time.monotonic() < until:
        try:
            if not line.recv(4096):
                return True
        except TimeoutError:
            continue
        except OSError:
            return True
    return False


# -- FFmpeg

_UNTIMED = (
    "mpjpeg",
    "mjpeg",
    "image2pipe",
    "jpeg_pipe",
    "h264",
    "hevc",
    "m4v",
)  # FFmpeg invents times for these


def _read_stream(address: str, transport: str, attempt: _Attempt) -> None:
    """Read an address until it ends or nobody wants it any more; raises ``_Over``."""
    # FFmpeg looks at five seconds of some streams, which is all the time that there is to open them. What kind of
    # pictures come is known after less, and RTSP and RTMP tell it before.
    told = address.lower().startswith(("rtsp", "rtmp"))
    options = {"analyzeduration": "200000" if told else "1000000", "fpsprobesize": "0"}
    if address.lower().startswith("rtsp"):
        options["allowed_media_types"] = "video"
        options["reorder_queue_size"] = REORDERED
        if transport == "auto":
            options["rtsp_flags"] = "prefer_tcp"
        else:
            options["rtsp_transport"] = transport
    with _overheard() as said, _opened_stream(address, options, attempt.opening) as container:
        if not container.streams.video:
            raise _Over(no_video(container), cause=LOST)
        kind = container.format.name
        recording = container.duration is not None and container.duration > 0
        pieces, timed = "hls" in kind, kind not in _UNTIMED
        attempt.opened(pieces=pieces, timely=timed and not pieces and not recording, heard=False)
        decoder = _Decoder(
            container,
            attempt,
            said=said,
            timed=timed,
            hurry=not recording and not pieces,
            pace=_Pace() if pieces else None,
        )
        decoder.run()
        if attempt.unwanted:
            return
        raise _Over(None) if recording else _Over(ENDED, cause=ENDED)


@contextmanager
def _overheard() -> Iterator[list[tuple[int, str, str]]]:
    """What FFmpeg says in this thread: how urgent, who, the text, which may hold an address.

    Its log is one for the whole program. Where nobody reads it, nobody else is to hear more of it by this.
    """
    if av.logging.get_level() is None:
        logging.getLogger("libav").setLevel(logging.CRITICAL + 1)
        av.logging.set_skip_repeated(False)
        av.logging.set_level(av.logging.WARNING)
    with av.logging.Capture(local=True) as said:
        yield said


def _opened_stream(address: str, options: dict[str, str], seconds: float) -> Any:
    asked = time.monotonic()
    try:
        return av.open(address, options=options, timeout=(seconds, READ_SECONDS))
    except av.FFmpegError as error:
        reason = in_words(error, time.monotonic() - asked, seconds)
        silent = reason == no_answer(seconds) or not isinstance(
            error, av.HTTPClientError | av.HTTPServerError | av.InvalidDataError
        )
        locked = isinstance(error, av.HTTPUnauthorizedError | av.HTTPForbiddenError)
        known = locked or isinstance(error, av.HTTPNotFoundError)
        if "allowed_media_types" in options and not silent and not known:
            reason = _without_pictures(address, reason)
    raise _Over(reason, silent=silent, locked=locked)


def _without_pictures(address: str, reason: str) -> str:
    """Whether an RTSP address that could not be opened for its pictures has sound alone."""
    for _ in range(BUSY_TRIES):
        try:
            with av.open(
                address, options={"rtsp_flags": "prefer_tcp"}, timeout=(OPEN_SECONDS, READ_SECONDS)
            ) as container:
                return reason if container.streams.video else no_video(container)
        except av.HTTPServerError:
            time.sleep(BUSY_SECONDS)
        except av.FFmpegError:
            break
    return reason


class _Pace:
    """When pictures that came in a piece of several seconds are due, by the stream's clock.

    >>> pace = _Pace()
    >>> [round(pace.wait(told, now), 1) for told, now in ((5.0, 100.0), (5.2, 100.0), (5.4, 100.5), (5.6, 100.5))]
    [0.0, 0.2, 0.0, 0.1]
    """

    def __init__(self) -> None:
        self._offset: float | None = None  # from the stream's clock to time.monotonic()

    def wait(self, told: float, now: float) -> float:
        """Seconds until the picture of this time is due."""
        if self._offset is None or not -LATE_SECONDS < told + self._offset - now < JUMP_SECONDS:
            self._offset = now - told  # the first one; a piece came late; the clock was set
        return max(0.0, told + self._offset - now)


class _Decoder:
    """Packets of one opening become pictures; what is damaged, or old, does not."""

    def __init__(
        self,
        container: Any,
        attempt: _Attempt,
        *,
        timed: bool,
        hurry: bool,
        pace: _Pace | None = None,
        said: list[tuple[int, str, str]] | None = None,
    ) -> None:
        self._container, self._attempt, self._timed, self._hurry = container, attempt, timed, hurry
        self._said = [] if said is None else said  # by FFmpeg, in this thread
        self._pace = pace
        self._stream = container.streams.video[0]
        self._context = context = self._stream.codec_context
        context.thread_count = 1  # more threads decode ahead: a frame of delay for each
        if attempt.strict:
            context.options = {**context.options, "err_detect": "explode"}  # flags alone miss most damage
        self._numbers = FrameNumbers(context.extradata) if context.name == "h264" else None
        self._broken = False  # until the next key frame, or the end of a renewal, nothing is whole
        self._broken_at: int | None = None  # the pts of what broke it
        self._unplaced = False  # what broke it is a key frame without one, as the first may be
        self._wary = attempt.wary  # the decoder met damage of which nobody had told: it may not see all of it
        self._whole = 0  # pictures since the last damage
        self._whole_from: int | None = None  # the pts of the picture with which a renewal ends
        self._waited = time.monotonic()  # when there was last nothing to read
        self._behind = False

    def run(self) -> None:
        """Until the stream ends or is not wanted any more; raises ``_Over`` when it is lost."""
        while not self._attempt.unwanted:
            asked = time.monotonic()
            try:
                self._demux()
                return
            except av.FFmpegError as error:
                # A deadline that passed: the watch decides whether that was too long.
                if not isinstance(error, av.ExitError | av.TimeoutError) and (
                    time.monotonic() - max(asked, self._asked) < 0.95 * READ_SECONDS
                ):
                    raise _Over(LOST, cause=LOST) from None

    _asked = 0.0

    def _demux(self) -> None:
        # All streams: a read of pictures alone would not return while there is sound.
        packets = self._container.demux()
        while not self._attempt.unwanted:
            self._asked = time.monotonic()
            packet = next(packets, None)
            if packet is None:
                return
            incomplete = self._is_incomplete()
            now = time.monotonic()
            if now - self._asked > 0.002:
                self._waited = now
            if (
                packet.stream is not self._stream or not packet.size
            ):  # an empty one is FFmpeg's sign of the end
                continue
            self._attempt.hear()
            if incomplete:
                self._break(packet.pts, damaged=True, missed=True)
                self._unplaced = packet.pts is None and packet.is_keyframe
            self._take(packet, now, old=now - self._asked >= 0.95 * READ_SECONDS)

    def _is_incomplete(self) -> bool:
        """Whether packets of RTP were missed while the last picture was put together."""
        missed = any(text.startswith("RTP: missed") for text in self._heard())
        return missed and self._context.name != "mjpeg"  # of that, FFmpeg leaves out the picture itself

    def _take(self, packet: Any, now: float, *, old: bool) -> None:
        lost = self._numbers.lost(bytes(packet)) if self._numbers is not None else False
        if self._hurry and self._skipped(packet, now):
            return
        if lost:
            self._break(packet.pts, missed=True)
        try:
            frames = packet.decode()
        except av.FFmpegError:
            self._break(packet.pts, damaged=True)
            self._attempt.refuse(TORN)
            return
        finally:
            said = self._heard()
        # FFmpeg says of H.265, and goes on as if nothing were: a picture that it needs was lost whole;
        if any("Could not find ref" in text for text in said):
            self._break(packet.pts, missed=True)
        # this one is damaged, where one before it comes out at the same time.
        if any("Error parsing NAL unit" in text for text in said):
            self._break(packet.pts, damaged=True)
        if self._numbers is not None and self._numbers.renewed:
            self._whole_from = packet.pts
        for frame in frames:
            renewed = frame.pts is not None and self._whole_from is not None and frame.pts >= self._whole_from
            key = bool(frame.key_frame) or renewed
            if frame.is_corrupt:
                self._break(frame.pts, damaged=True)
            elif renewed or (key and not self._is_spoiled(frame.pts)):
                self._wary = self._wary and (self._broken or self._whole < TRUSTED)
                self._broken, self._broken_at, self._whole_from = False, None, None
            if self._broken:
                self._attempt.refuse(TORN)
                continue
            self._whole += 1
            image = frame.to_ndarray(format="bgr24")
            told = frame.time if self._timed else None
            if self._pace is not None and told is not None:
                _sleep(self._pace.wait(told, time.monotonic()), self._attempt)
            alone = self._context.name == "mjpeg"
            marked = not self._wary or (self._numbers is not None and self._numbers.known)
            sure = self._attempt.strict and marked
            self._attempt.put(_Shot(image, told, time.monotonic(), key, sure, alone, old))

    def _is_spoiled(self, pts: int | None) -> bool:
        """Whether a key frame is, or comes before, what broke it."""
        if pts is None:
            unplaced, self._unplaced = self._unplaced, False
            return unplaced
        return self._broken_at is not None and pts <= self._broken_at

    def _heard(self) -> list[str]:
        """What FFmpeg has said since the last time."""
        said = [text for _, _, text in self._said]
        self._said.clear()
        return said

    def _break(self, pts: int | None, *, damaged: bool = False, missed: bool = False) -> None:
        """What comes is not whole; ``missed``: known from the line, and not by the decoder, which may see less."""
        self._wary = self._wary or not (self._broken or missed)
        self._broken, self._whole = True, 0
        self._whole_from = None
        if damaged and self._numbers is not None:
            self._numbers.damaged()
        if pts is not None:
            self._broken_at = pts if self._broken_at is None else max(pts, self._broken_at)

    def _skipped(self, packet: Any, now: float) -> bool:
        """Whether decoding is behind and this packet is left out, undecoded, to come to the newest."""
        late = now - self._waited
        if late >= LATE_SECONDS:
            self._behind = True
        elif self._behind and late < CAUGHT_UP_SECONDS and packet.is_keyframe:
            self._behind = False
            self._broken, self._whole_from = True, None  # it may be where a renewal begins, and no key frame
            if self._numbers is not None:
                self._numbers.forget()
        disposable = self._numbers is not None and self._numbers.disposable
        if self._behind or (disposable and late >= LATE_SECONDS / 2):
            self._attempt.refuse(LATE)
            return True
        return False

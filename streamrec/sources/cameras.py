"""Cameras that never die: webcams and network addresses, watched, and opened again when they are lost.

A camera is read in a thread of its own, because no reader lets go of a dead line at once: OpenCV, FFmpeg and the
system's name look-up each have waits that nothing ends. Whoever iterates the source waits for that thread no longer
than the watch allows, and leaves it to its own deadlines where it hangs.
"""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import streamrec.sources.health as report
from streamrec.core.address import quoted
from streamrec.core.arguments import WEBCAM
from streamrec.core.image import as_bgr
from streamrec.core.reading import shortened
from streamrec.core.redact import redact_address, secrets_of
from streamrec.errors import SourceError
from streamrec.sources.ffmpeg import read_stream
from streamrec.sources.http_kind import shows_file
from streamrec.sources.monitors import FROZEN_SECONDS
from streamrec.sources.probe import Door
from streamrec.sources.reader_thread import UNPLUGGED, Attempt, IsFilm, Over, Shot
from streamrec.sources.reconnect import Limits, Watch, pause
from streamrec.sources.video_io import LOST, OPEN_SECONDS, opened
from streamrec.types import Frame, Health, Source, SourceState

RETRIES = 10  # openings in a row of a lost camera before it is given up: about three minutes
FIRST_SECONDS = 10.0  # deadline for the first picture of what was opened: until a key frame comes


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
        if isinstance(device, int) and not WEBCAM.holds(device):
            raise SourceError(
                f"there is no webcam {shortened(device)}: give {WEBCAM}; `streamrec doctor` lists what is there"
            )
        self.device = device
        self.name = f"webcam {device}" if isinstance(device, int) else device
        self._retries = retries
        self._frozen_after = math.inf if frozen_after is None else frozen_after
        self._watch: Watch | None = None

    def __getstate__(self) -> dict[str, Any]:
        """To another process goes which camera it is, not what is open here."""
        return {**self.__dict__, "_watch": None}

    def __iter__(self) -> Iterator[Frame]:
        # A driver waits 10 s for a picture.
        limits = Limits(opening=30.0, first=15.0, patience=6.0, linger=3.0, frozen=self._frozen_after)
        self._watch = Watch(self, self._read, self._retries, limits)
        return self._watch.frames()

    def interrupt(self) -> None:
        """End every wait."""
        if self._watch is not None:
            self._watch.leave()

    def _read(self, attempt: Attempt) -> None:
        if isinstance(self.device, str) and not Path(self.device).exists():
            raise Over(
                f"there is no {self.device}; `streamrec doctor` lists the cameras that are there", whole=True
            )
        with opened(self.device) as video:
            if video is None:
                raise Over(
                    f"{self.name} did not open: it is not there, or another program uses it; "
                    "`streamrec doctor` lists the cameras that are there",
                    whole=True,
                )
            attempt.opened()
            while not attempt.unwanted:
                ok, image = video.read()
                if not ok or image is None:
                    break
                attempt.put(Shot(as_bgr(image), None, time.monotonic(), True))
        raise Over(
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

    ``film``: makes the source of a file at this address. Where the server shows that it is one, an HTTP address is
    played as that, ``live`` is false from then on, and it ends; with ``retries=None`` one whose line is lost is
    played again. ``ask``: ``settle`` asks the server, for the address looks like that of a file.
    """

    live = True

    def __init__(
        self,
        address: str,
        *,
        retries: int | None = RETRIES,
        transport: str = "auto",
        frozen_after: float | None = FROZEN_SECONDS,
        film: Callable[[], Source] | None = None,
        ask: bool = False,
    ) -> None:
        if transport not in ("auto", "tcp", "udp"):
            raise SourceError(f'transport is "auto", "tcp" or "udp", not {transport!r}')
        self.name, self.secrets = redact_address(address), secrets_of(address)
        self._address = quoted(address)  # never shown: it may hold a password
        self._retries = retries
        self._transport = transport
        self._frozen_after = math.inf if frozen_after is None else frozen_after
        self._watch: Watch | None = None
        self._film, self._ask = film, ask
        self._playing: Source | None = None
        self._left = threading.Event()

    def __getstate__(self) -> dict[str, Any]:
        """What it was made of: a copy, or one in another process, opens the camera itself."""
        return {
            name: value for name, value in vars(self).items() if name not in ("_left", "_watch", "_playing")
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _left=threading.Event(), _watch=None, _playing=None)

    def settle(self) -> None:
        """Ask the server whether it is a file, where its address looks like one."""
        if self._film is not None and self._ask and self.live:
            self._ask, self.live = False, not shows_file(self._address, OPEN_SECONDS)

    def __iter__(self) -> Iterator[Frame]:
        self._left.clear()
        limits = Limits(opening=OPEN_SECONDS, first=FIRST_SECONDS, frozen=self._frozen_after)
        # Now, not when the first frame is asked for: an interrupt may come before.
        self._watch = Watch(self, self._read, self._retries, limits, Door.of(self._address))
        return self._watch.frames() if self._film is None else self._frames(self._watch, self._film)

    def _frames(self, watch: Watch, film: Callable[[], Source]) -> Generator[Frame, None, None]:
        if self.live:
            try:
                yield from watch.frames()
                return
            except IsFilm:
                self.live = False
        segment = 0
        for number in itertools.count():
            if self._left.is_set():
                report.set_state(self, SourceState.ended, report.LEFT)
                return
            self._playing = playing = film()
            playing.on_health = self._hear
            index, reason = 0, ""
            try:
                with closing(iter(playing)) as frames:  # type: ignore[type-var]
                    for frame in frames:
                        index += 1
                        self.health = playing.health  # it counts
                        yield replace(frame, segment=segment + frame.segment, source=self.name)
                reason = playing.health.reason if LOST in playing.health.reason else ""
            except SourceError as error:
                if self._retries is not None:
                    raise
                reason = str(error).removeprefix(f"{self.name}: ")
            finally:
                self._playing = None
            if not reason or self._retries is not None or self._left.is_set():
                return
            segment += 1 if index else 0
            report.set_state(self, SourceState.reconnecting, reason)
            self._left.wait(pause(0 if index else number))

    def _hear(self, health: Health) -> None:
        """The film says how it is. One that is played again has not failed."""
        before = self.health
        again = health.state is SourceState.failed or LOST in health.reason
        if again and self._retries is None and not self._left.is_set():
            return  # it is told as what it is, after that
        self.health = health
        if self.on_health is not None and (before.state, before.reason) != (health.state, health.reason):
            self.on_health(health)

    def interrupt(self) -> None:
        """End every wait."""
        self._left.set()
        if self._watch is not None:
            self._watch.leave()
        if self._playing is not None:
            self._playing.interrupt()

    def _read(self, attempt: Attempt) -> None:
        read_stream(self._address, self._transport, attempt, films=self._film is not None)

"""Webcams and network cameras, which are monitored and reopened when they are lost.

A camera is read in a thread of its own, because a read of a dead connection cannot be ended: OpenCV, FFmpeg and the
resolver each have waits without a way out. The thread that iterates the source waits for the reader only until its
deadlines pass, and leaves a reader that hangs to itself.
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
from streamrec.core.messages import shortened
from streamrec.core.redact import redact_address, secrets_of
from streamrec.errors import SourceError
from streamrec.sources.ffmpeg import read_stream
from streamrec.sources.http_kind import shows_file
from streamrec.sources.monitors import FROZEN_SECONDS
from streamrec.sources.open_errors import LOST, OPEN_SECONDS
from streamrec.sources.probe import ReachabilityProbe
from streamrec.sources.reader_thread import UNPLUGGED, DecodedFrame, IsFile, ReaderThread, StreamEnded
from streamrec.sources.reconnect import Timeouts, Watchdog, backoff
from streamrec.sources.webcam import opened_webcam
from streamrec.types import Frame, Health, Source, SourceState

RETRIES = 10  # openings in a row of a lost camera before it is given up: about three minutes
FIRST_SECONDS = 10.0  # deadline for the first frame after an opening: until a key frame comes


class WebcamSource(Source):
    """A camera of this computer, by its number or its device file (``/dev/video0``).

    Timestamps are seconds since the camera was first opened. A missing one raises ``SourceError`` at once; one that
    vanishes is opened again, ``retries`` times in a row (None: for ever, and a missing one too). An image that has
    been frozen for ``frozen_after`` seconds is not passed on (None: it is).
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
        self._watchdog: Watchdog | None = None

    def __getstate__(self) -> dict[str, Any]:
        """The device alone: a copy in another process opens it itself."""
        return {**self.__dict__, "_watchdog": None}

    def __iter__(self) -> Iterator[Frame]:
        # A driver waits 10 s for a frame.
        timeouts = Timeouts(opening=30.0, first=15.0, patience=6.0, linger=3.0, frozen=self._frozen_after)
        self._watchdog = Watchdog(self, self._read, self._retries, timeouts)
        return self._watchdog.frames()

    def interrupt(self) -> None:
        """End every wait."""
        if self._watchdog is not None:
            self._watchdog.stop()

    def _read(self, reader: ReaderThread) -> None:
        if isinstance(self.device, str) and not Path(self.device).exists():
            raise StreamEnded(
                f"there is no {self.device}; `streamrec doctor` lists the cameras that are there", whole=True
            )
        with opened_webcam(self.device) as video:
            if video is None:
                raise StreamEnded(
                    f"{self.name} did not open: it is not there, or another program uses it; "
                    "`streamrec doctor` lists the cameras that are there",
                    whole=True,
                )
            reader.opened()
            while not reader.unwanted:
                ok, image = video.read()
                if not ok or image is None:
                    break
                reader.put(DecodedFrame(as_bgr(image), None, time.monotonic(), True))
        raise StreamEnded(
            f"{self.name} stopped giving pictures; is it still plugged in?", cause=UNPLUGGED, whole=True
        )


class NetworkSource(Source):
    """An RTSP, RTMP, HTTP or UDP address, read by FFmpeg. A lost connection is opened again, in a new segment.

    Opening and reading have deadlines. A failure of the first opening raises ``SourceError`` at once; a camera that
    was open and is lost is opened ``retries`` times in a row, with growing pauses, before ``SourceError`` is raised.
    None: for ever, from the first opening on.

    Timestamps are seconds since the first opening, by the camera's own clock where the stream has one. A clock that
    is set begins a new segment, as another frame size does. Torn frames are not passed on; nor are those of an image
    that has been frozen for ``frozen_after`` seconds (None: they are).

    ``transport``: "tcp" or "udp" for RTSP; "auto" tries TCP first.

    ``video_file``: makes the source of a file at this address. Where the server shows that an HTTP address is one, it
    is played as a file: ``live`` is false from then on, and it ends; with ``retries=None`` one whose connection is
    lost is played again. ``ask``: ``settle`` asks the server, because the address has the ending of a video file.
    """

    live = True

    def __init__(
        self,
        address: str,
        *,
        retries: int | None = RETRIES,
        transport: str = "auto",
        frozen_after: float | None = FROZEN_SECONDS,
        video_file: Callable[[], Source] | None = None,
        ask: bool = False,
    ) -> None:
        if transport not in ("auto", "tcp", "udp"):
            raise SourceError(f'transport is "auto", "tcp" or "udp", not {transport!r}')
        self.name, self.secrets = redact_address(address), secrets_of(address)
        self._address = quoted(address)  # never shown: it may hold a password
        self._retries = retries
        self._transport = transport
        self._frozen_after = math.inf if frozen_after is None else frozen_after
        self._watchdog: Watchdog | None = None
        self._video_file, self._ask = video_file, ask
        self._playing: Source | None = None
        self._left = threading.Event()

    def __getstate__(self) -> dict[str, Any]:
        """The arguments alone: a copy, or one in another process, opens the camera itself."""
        return {
            name: value
            for name, value in vars(self).items()
            if name not in ("_left", "_watchdog", "_playing")
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _left=threading.Event(), _watchdog=None, _playing=None)

    def settle(self) -> None:
        """Ask the server whether the address is a file, where its ending is that of a video."""
        if self._video_file is not None and self._ask and self.live:
            self._ask, self.live = False, not shows_file(self._address, OPEN_SECONDS)

    def __iter__(self) -> Iterator[Frame]:
        self._left.clear()
        timeouts = Timeouts(opening=OPEN_SECONDS, first=FIRST_SECONDS, frozen=self._frozen_after)
        # Now, not when the first frame is asked for: an interrupt may come before.
        probe = ReachabilityProbe.of(self._address)
        self._watchdog = camera = Watchdog(self, self._read, self._retries, timeouts, probe)
        return camera.frames() if self._video_file is None else self._frames(camera, self._video_file)

    def _frames(self, camera: Watchdog, video_file: Callable[[], Source]) -> Generator[Frame, None, None]:
        if self.live:
            try:
                yield from camera.frames()
                return
            except IsFile:
                self.live = False
        segment = 0
        for number in itertools.count():
            if self._left.is_set():
                report.set_state(self, SourceState.ended, report.LEFT)
                return
            self._playing = playing = video_file()
            playing.on_health = self._pass_on
            index, reason = 0, ""
            try:
                with closing(iter(playing)) as frames:  # type: ignore[type-var]
                    for frame in frames:
                        index += 1
                        self.health = playing.health  # with its counts
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
            self._left.wait(backoff(0 if index else number))

    def _pass_on(self, health: Health) -> None:
        """Take over the health of the file that is played. One that is played again has not failed."""
        before = self.health
        again = health.state is SourceState.failed or LOST in health.reason
        if again and self._retries is None and not self._left.is_set():
            return  # its real state is set after that
        self.health = health
        if self.on_health is not None and (before.state, before.reason) != (health.state, health.reason):
            self.on_health(health)

    def interrupt(self) -> None:
        """End every wait."""
        self._left.set()
        if self._watchdog is not None:
            self._watchdog.stop()
        if self._playing is not None:
            self._playing.interrupt()

    def _read(self, reader: ReaderThread) -> None:
        read_stream(self._address, self._transport, reader, refuse_files=self._video_file is not None)

"""Cameras that never die: webcams and network addresses, watched, and opened again when they are lost.

A camera is read in a thread of its own, because no reader lets go of a dead line at once: OpenCV, FFmpeg and the
system's name look-up each have waits that nothing ends. Whoever iterates the source waits for that thread no longer
than the watch allows, and leaves it to its own deadlines where it hangs.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path

from streamrec.cameras.attempt import UNPLUGGED, Attempt, Over, Shot
from streamrec.cameras.door import Door
from streamrec.cameras.ffmpeg import read_stream
from streamrec.cameras.signs import FROZEN_SECONDS
from streamrec.cameras.watchdog import Limits, Watch
from streamrec.core.limits import WEBCAM
from streamrec.core.reading import shortened
from streamrec.core.redact import redact_address
from streamrec.errors import SourceError
from streamrec.pictures import as_bgr
from streamrec.types import Frame, Source
from streamrec.videos import OPEN_SECONDS, opened

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
            raise SourceError(f"webcam {shortened(device)}: give {WEBCAM}, as 0")
        self.device = device
        self.name = f"webcam {device}" if isinstance(device, int) else device
        self._retries = retries
        self._frozen_after = math.inf if frozen_after is None else frozen_after
        self._watch: Watch | None = None

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
        self.name = redact_address(address)
        self._address = address  # never shown: it may hold a password
        self._retries = retries
        self._transport = transport
        self._frozen_after = math.inf if frozen_after is None else frozen_after
        self._watch: Watch | None = None

    def __iter__(self) -> Iterator[Frame]:
        limits = Limits(opening=OPEN_SECONDS, first=FIRST_SECONDS, frozen=self._frozen_after)
        # Now, not when the first frame is asked for: an interrupt may come before.
        self._watch = Watch(self, self._read, self._retries, limits, Door.of(self._address))
        return self._watch.frames()

    def interrupt(self) -> None:
        """End every wait."""
        if self._watch is not None:
            self._watch.leave()

    def _read(self, attempt: Attempt) -> None:
        read_stream(self._address, self._transport, attempt)

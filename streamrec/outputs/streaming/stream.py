"""The annotated stream: each camera's newest result, drawn, encoded and published in a thread of its own."""

from __future__ import annotations

import contextlib
import random
import ssl
import time
from collections.abc import Callable

from streamrec.core.failures import FailureReporter
from streamrec.core.redact import redact_address
from streamrec.errors import SinkError
from streamrec.outputs.camera_threads import CameraFeed, CameraThreads, FeedSettings
from streamrec.outputs.encoder import TICKS
from streamrec.outputs.live_clock import LiveClock
from streamrec.outputs.sink import Sink
from streamrec.outputs.streaming.h264 import RtpVideo, describe, parameter_sets
from streamrec.outputs.streaming.rtsp import NotPublished, Publisher
from streamrec.settings.stream import StreamSettings, Target
from streamrec.types import Result

_KEY_SECONDS = 1.0  # between key frames: a viewer that comes waits for one
_SILENT_SECONDS = 5.0  # without a frame the stream is ended, so that a viewer sees that the camera is away
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0  # seconds between two attempts; doubled after each
_STEADY_SECONDS = 10.0  # a stream that lasted so long begins again without a pause
_TICK = 0.25  # seconds between two checks of the connection


class StreamOut(Sink):
    """Publishes the results of cameras to an RTSP server, each camera at its own address.

    ``write`` returns at once: each camera's thread takes the newest result only. ``log`` gets failures, once, and
    their ends; no message holds a login. Raises ``SinkError`` for certificates that cannot be read.
    """

    def __init__(
        self,
        settings: StreamSettings,
        *,
        log: Callable[[str], object] = lambda message: None,
        privacy: str = "",
    ) -> None:
        """``privacy``: of cameras without their own, where the settings have none."""
        self.settings = settings
        self._log = log
        self._refused: set[str] = set()
        self._context: ssl.SSLContext | None = None
        if settings.to.lower().startswith("rtsps"):
            try:
                self._context = ssl.create_default_context(cafile=settings.ca or None)
            except OSError as error:  # ssl.SSLError is one
                raise SinkError(f"ca: {settings.ca} cannot be read as certificates") from error
        self.threads = CameraThreads("stream", FeedSettings.of(settings, privacy), self._work)

    def write(self, result: Result) -> None:
        """Offer a result."""
        name = result.frame.source
        if name not in self.threads.cameras:
            if name in self._refused or not self.threads.takes(name):
                return
            try:
                self.settings.check([*self.threads.cameras, name])
            except SinkError as error:
                self._refused.add(name)
                self._log(f"{name} is not streamed: {error}")
                return
        self.threads.write(result)

    def close(self) -> None:
        """End the streams; a second time does nothing."""
        self.threads.close()

    # -- the thread of a camera

    def _work(self, feed: CameraFeed) -> None:
        target = self.settings.target(feed.camera)
        failures = FailureReporter(
            f"{feed.camera}: the stream to {redact_address(target.url)}",
            self._log,
            more="it is tried again until it works",
            over="it is published again",
            steady=3.0,
        )
        pause = _FIRST_PAUSE
        while not feed.stopped.is_set():
            result = feed.next(_TICK)
            if result is None:
                failures.poll()
                continue
            began = time.monotonic()
            try:
                self._publish(feed, result, target, failures)
            except NotPublished as error:
                failures.failed(error.reason)
            except Exception as error:  # no error may end the thread; its text may hold the address
                reason = str(error) if isinstance(error, SinkError) else f"it failed ({type(error).__name__})"
                failures.failed(reason)
            else:
                pause = _FIRST_PAUSE
                continue
            pause = _FIRST_PAUSE if time.monotonic() - began > _STEADY_SECONDS else pause
            # Cameras that failed together come one by one.
            feed.stopped.wait(pause * random.uniform(0.5, 1.0))
            pause = min(_LONGEST_PAUSE, 2.0 * pause)

    def _publish(self, feed: CameraFeed, result: Result, target: Target, failures: FailureReporter) -> None:
        """Publish from this result on, until the camera is silent; raises ``NotPublished``."""
        image = feed.drawn(result)
        video = RtpVideo(image, kbit=self.settings.kbit, fps=self.settings.fps)
        try:
            first = video.encode(image, 0, key=True)
            sps, pps = parameter_sets(b"".join(map(bytes, first)))
            sdp = describe(sps, pps)
            with contextlib.closing(Publisher(target, sdp, context=self._context)) as publisher:
                _send(feed, video, publisher, failures)
        finally:
            video.close()


def _send(feed: CameraFeed, video: RtpVideo, publisher: Publisher, failures: FailureReporter) -> None:
    """Send the newest results; the first one was old by the time the server had answered."""
    clock, key_due = LiveClock(ticks=TICKS), 0
    feed.seen = time.monotonic()
    while not feed.stopped.is_set():
        result = feed.next(_TICK)
        publisher.tend()
        if result is None:
            failures.poll()
            if time.monotonic() - feed.seen > _SILENT_SECONDS:
                return
            continue
        frame = result.frame
        ticks = clock.next(frame.segment, frame.timestamp)
        key = ticks >= key_due
        if key:
            key_due = ticks + round(_KEY_SECONDS * TICKS)
        # One tick after the frame that was encoded for its parameter sets, and not sent.
        for packet in video.encode(feed.drawn(result), ticks + 1, key=key):
            for piece in video.packets(packet):
                publisher.send(piece)
        failures.succeeded()

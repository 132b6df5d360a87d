"""The annotated stream: each camera's newest result, drawn, encoded and published in a thread of its own."""

from __future__ import annotations

import contextlib
import random
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from streamrec.core.failures import FailureReporter
from streamrec.core.redact import redact_address
from streamrec.errors import SinkError
from streamrec.outputs.live_clock import LiveClock
from streamrec.outputs.overlay import Trail, draw
from streamrec.outputs.privacy import shown_image
from streamrec.outputs.sink import Latest, Sink
from streamrec.outputs.streaming.h264 import TICKS, RtpVideo, describe, parameter_sets
from streamrec.outputs.streaming.rtsp import NotPublished, Publisher
from streamrec.settings.evidence import Privacy
from streamrec.settings.stream import StreamSettings, Target
from streamrec.sources.sampling import is_next
from streamrec.types import Frame, Result

_KEY_SECONDS = 1.0  # between key frames: a viewer that comes waits for one
_SILENT_SECONDS = 5.0  # without a frame the stream is ended, so that a viewer sees that the camera is away
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0  # seconds between two attempts; doubled after each
_STEADY_SECONDS = 10.0  # a stream that lasted so long begins again without a pause
_TICK = 0.25  # seconds between two checks of the connection
_PATIENCE = 2.0  # seconds at the end
_NOTHING = np.empty((0, 0, 3), np.uint8)


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
        self._default = Privacy(settings.privacy or privacy or Privacy.full)
        self._privacy: dict[str, Privacy] = {}  # of cameras with a setting of their own
        self._cameras: dict[str, _Publishing] = {}
        self._refused: set[str] = set()
        self._context: ssl.SSLContext | None = None
        if settings.to.lower().startswith("rtsps"):
            try:
                self._context = ssl.create_default_context(cafile=settings.ca or None)
            except OSError as error:  # ssl.SSLError is one
                raise SinkError(f"ca: {settings.ca} cannot be read as certificates") from error

    def privacy_of(self, camera: str) -> Privacy:
        """What of a camera's frames may be streamed."""
        return self._privacy.get(camera, self._default)

    def set_privacy(self, camera: str, privacy: Privacy | None) -> None:
        """Change a camera's privacy from its next frame on. None: as the settings say."""
        if privacy is None:
            self._privacy.pop(camera, None)
        else:
            self._privacy[camera] = privacy

    def write(self, result: Result) -> None:
        """Offer a result; where the camera's thread is busy, it replaces the one that waits."""
        name = result.frame.source
        publishing = self._cameras.get(name)
        if publishing is None:
            if (
                not self.settings.takes(name)
                or name in self._refused
                or self.privacy_of(name) is Privacy.none
            ):
                return
            try:
                self.settings.check([*self._cameras, name])
            except SinkError as error:
                self._refused.add(name)
                self._log(f"{name} is not streamed: {error}")
                return
            publishing = self._cameras[name] = _Publishing(self, name, self._context, self._log)
        publishing.latest.write(result)

    def remove(self, camera: str) -> None:
        """End a camera's stream; returns at once."""
        publishing = self._cameras.pop(camera, None)
        if publishing is not None:
            publishing.stop()

    def close(self) -> None:
        """End the streams; a second time does nothing."""
        publishing, self._cameras = list(self._cameras.values()), {}
        self._refused = {one.camera for one in publishing}  # a late result begins none anew
        for one in publishing:
            one.stop()
        ends = time.monotonic() + _PATIENCE
        for one in publishing:
            one.join(max(0.0, ends - time.monotonic()))


class _Publishing:
    """The thread of one camera."""

    def __init__(
        self, out: StreamOut, camera: str, context: ssl.SSLContext | None, log: Callable[[str], object]
    ) -> None:
        self.camera = camera
        self.latest = Latest()
        self._out, self._settings, self._context = out, out.settings, context
        self._target: Target = out.settings.target(camera)
        self._failures = FailureReporter(
            f"{camera}: the stream to {redact_address(self._target.url)}",
            log,
            more="it is tried again until it works",
            over="it is published again",
            steady=3.0,
        )
        self._trail = Trail()
        self._last: Frame | None = None  # that was sent
        self._seen = 0.0  # time.monotonic() of the last result
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"stream {camera}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self.latest.close()
        self._stopped.set()

    def join(self, patience: float) -> None:
        self._thread.join(patience)

    def _work(self) -> None:
        pause = _FIRST_PAUSE
        while not self._stopped.is_set():
            result = self._next(_TICK)
            if result is None:
                self._failures.poll()
                continue
            began = time.monotonic()
            try:
                self._publish(result)
            except NotPublished as error:
                self._failures.failed(error.reason)
            except Exception as error:  # no error may end the thread; its text may hold the address
                reason = str(error) if isinstance(error, SinkError) else f"it failed ({type(error).__name__})"
                self._failures.failed(reason)
            else:
                pause = _FIRST_PAUSE
                continue
            pause = _FIRST_PAUSE if time.monotonic() - began > _STEADY_SECONDS else pause
            self._stopped.wait(
                pause * random.uniform(0.5, 1.0)
            )  # cameras that failed together come one by one
            pause = min(_LONGEST_PAUSE, 2.0 * pause)

    def _next(self, timeout: float) -> Result | None:
        """The newest result that shows a new frame, where it is due."""
        result = self.latest.get(timeout)
        if result is None:
            return None
        self._seen = time.monotonic()
        self._trail.push(result)
        frame = result.frame
        if result.repeated or not is_next(frame, self._last, self._settings.fps):
            return None
        self._last = replace(frame, image=_NOTHING)
        return None if self._out.privacy_of(self.camera) is Privacy.none else result

    def _drawn(self, result: Result) -> np.ndarray:
        image = shown_image(result, self._settings.side, self._out.privacy_of(self.camera))
        if not self._settings.overlay:
            return image
        return draw(image, replace(result, frame=replace(result.frame, image=image)), self._trail)

    def _publish(self, result: Result) -> None:
        """Publish from this result on, until the camera is silent; raises ``NotPublished``."""
        image = self._drawn(result)
        video = RtpVideo(image, kbit=self._settings.kbit, fps=self._settings.fps)
        try:
            first = video.encode(image, 0, key=True)
            sps, pps = parameter_sets(b"".join(map(bytes, first)))
            sdp = describe(sps, pps)
            with contextlib.closing(Publisher(self._target, sdp, context=self._context)) as publisher:
                self._send(video, publisher)
        finally:
            video.close()

    def _send(self, video: RtpVideo, publisher: Publisher) -> None:
        """Send the newest results; the first one was old by the time the server had answered."""
        clock, key_due = LiveClock(ticks=TICKS), 0
        self._seen = time.monotonic()
        while not self._stopped.is_set():
            result = self._next(_TICK)
            publisher.tend()
            if result is None:
                self._failures.poll()
                if time.monotonic() - self._seen > _SILENT_SECONDS:
                    return
                continue
            frame = result.frame
            ticks = clock.next(frame.segment, frame.timestamp)
            key = ticks >= key_due
            if key:
                key_due = ticks + round(_KEY_SECONDS * TICKS)
            # One tick after the frame that was encoded for its parameter sets, and not sent.
            for packet in video.encode(self._drawn(result), ticks + 1, key=key):
                for piece in video.packets(packet):
                    publisher.send(piece)
            self._failures.succeeded()

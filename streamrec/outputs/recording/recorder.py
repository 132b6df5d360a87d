"""Continuous recording: each camera's frames in segments, by a thread of its own, with retention."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path

import av

from streamrec.core.failures import FailureReporter
from streamrec.core.files import make_private_folder, too_full, too_open
from streamrec.core.locks import Held, Lock
from streamrec.core.messages import why
from streamrec.errors import SinkError
from streamrec.outputs.camera_threads import CameraFeed, CameraThreads, FeedSettings
from streamrec.outputs.encoder import TICKS
from streamrec.outputs.live_clock import LiveClock
from streamrec.outputs.recording.files import create
from streamrec.outputs.recording.retention import Retention
from streamrec.outputs.recording.segment import SegmentFile
from streamrec.outputs.sink import Sink
from streamrec.settings.recording import RecordingSettings
from streamrec.types import Result

_KEY_SECONDS = 2.0  # between key frames: how far a seek may miss, and what a kill may cost
_SILENT_SECONDS = 5.0  # without a frame a segment is ended
_JUMP_SECONDS = 2.0  # by which the clock of this machine may be set before a new segment begins
_PRUNE_SECONDS = 60.0
_PAUSE_SECONDS = 5.0  # after a failure
_TICK = 0.5
_PATIENCE = 5.0  # seconds at the end


class Recorder(Sink):
    """Records the results of cameras into a folder; ``write`` returns at once.

    Where a camera's thread is slower than its frames, frames are left out. ``log`` gets failures, once, and their ends.
    Raises ``SinkError`` where the folder cannot be written to, or another process records there.
    """

    def __init__(
        self,
        settings: RecordingSettings,
        *,
        log: Callable[[str], object] = lambda message: None,
        privacy: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``privacy``: of cameras without their own, where the settings have none."""
        self.settings = settings
        self.folder = Path(settings.folder).absolute()
        self._log, self._clock = log, clock
        self._writing: dict[str, Path] = {}  # by camera: the file that grows
        self._pruned = 0.0  # time.monotonic()
        self._changed = threading.Lock()
        try:
            make_private_folder(self.folder)
            self._lock = Lock(self.folder)
            self._retention = Retention(self.folder, settings)
            self._retention.prune()
        except Held:
            raise SinkError(
                f"another streamrec records into {self.folder}; end it, or give this one a folder of its own"
            ) from None
        except OSError as error:
            raise SinkError(
                f"cannot record into {self.folder}: {why(error)}; choose a folder where you may write"
            ) from error
        if (warning := too_open(self.folder)) is not None:
            log(warning)
        self.threads = CameraThreads(
            "record", FeedSettings.of(settings, privacy), self._work, patience=_PATIENCE
        )

    def write(self, result: Result) -> None:
        """Offer a result."""
        self.threads.write(result)

    def close(self) -> None:
        """Finish the segments; a second time does nothing."""
        self.threads.close()
        self._lock.release()

    # -- the thread of a camera

    def _work(self, feed: CameraFeed) -> None:
        failures = FailureReporter(
            f"{feed.camera}: the recording",
            self._log,
            more="it is tried again until it works",
            over="it is recorded again",
            steady=3.0,
        )
        while not feed.stopped.is_set():
            result = feed.next(_TICK)
            if result is None:
                failures.poll()
                continue
            try:
                self._record(feed, result, failures)
            except Exception as error:  # no error may end the thread: OpenCV, a frame of zero size
                self._fail(error, failures)
                feed.stopped.wait(_PAUSE_SECONDS)
            finally:
                self._writing.pop(feed.camera, None)

    def _fail(self, error: Exception, failures: FailureReporter) -> None:
        if isinstance(error, SinkError):
            failures.failed(str(error))
        elif isinstance(error, OSError | av.FFmpegError):
            full = isinstance(error, OSError) and too_full(error)
            reason = why(error) if isinstance(error, OSError) else (error.strerror or "unknown error").lower()
            gone = self._prune(at_once=True)
            done = f", and the oldest {gone} of its files were deleted" if gone else ""
            failures.failed(
                f"the disk is full{done}" if full else f"{self.folder} cannot be written to ({reason})"
            )
        else:
            failures.failed(f"it failed ({type(error).__name__})")

    def _record(self, feed: CameraFeed, result: Result, failures: FailureReporter) -> None:
        """Record segments from this result on, until the camera is silent."""
        following: Result | None = result
        while following is not None and not feed.stopped.is_set():
            following = self._record_segment(feed, following, failures)

    def _record_segment(self, feed: CameraFeed, first: Result, failures: FailureReporter) -> Result | None:
        """One segment; the result with which the next one begins, None: the camera is silent, or it is to end."""
        self._prune()
        image, started, begun = feed.drawn(first), self._clock(), time.monotonic()
        path, descriptor = create(self.folder, feed.camera, started)
        self._writing[feed.camera] = path
        segment: SegmentFile | None = None
        clock = LiveClock(ticks=TICKS)
        clock.next(first.frame.segment, first.frame.timestamp)  # it is at 0

        def is_set() -> bool:
            """Whether this machine's clock was set since the segment began: its name holds no longer."""
            return abs(self._clock() - started - (time.monotonic() - begun)) > _JUMP_SECONDS

        try:
            segment = SegmentFile(path, descriptor, image, kbit=self.settings.kbit, fps=self.settings.fps)
            following = self._fill(feed, segment, clock, failures, is_set)
        except BaseException:
            with contextlib.suppress(OSError, av.FFmpegError):
                if segment is not None:
                    segment.close(whole=False)  # what was written plays
                nothing = (
                    segment is None or segment.ticks < _KEY_SECONDS * TICKS
                )  # no fragment of it is on the disk
                if nothing:
                    path.unlink(missing_ok=True)
            raise
        segment.close()
        return following

    def _fill(
        self,
        feed: CameraFeed,
        segment: SegmentFile,
        clock: LiveClock,
        failures: FailureReporter,
        is_set: Callable[[], bool],
    ) -> Result | None:
        key_due = round(_KEY_SECONDS * TICKS)
        ends = round(self.settings.segment * TICKS)
        while not feed.stopped.is_set():
            result = feed.next(_TICK)
            if result is None:
                failures.poll()
                if time.monotonic() - feed.seen > _SILENT_SECONDS:
                    return None
                continue
            frame = result.frame
            ticks = clock.next(frame.segment, frame.timestamp)
            if ticks >= ends or is_set():
                return result
            key = ticks >= key_due
            if key:
                key_due = ticks + round(_KEY_SECONDS * TICKS)
                self._prune()
            segment.write(feed.drawn(result), ticks, key=key)
            failures.succeeded()
        return None

    def _prune(self, *, at_once: bool = False) -> int:
        """Delete what is to be deleted, once in a while; how many files."""
        with self._changed:
            now = time.monotonic()
            if not at_once and now - self._pruned < _PRUNE_SECONDS:
                return 0
            self._pruned = now
        with contextlib.suppress(OSError):  # what is wrong with the folder is reported where it is written to
            return len(self._retention.prune(self._writing.values()))
        return 0

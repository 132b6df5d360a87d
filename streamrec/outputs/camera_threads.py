"""A thread for each camera that draws, encodes and passes on its newest frames, and never holds recognition."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from streamrec.outputs.overlay import Trail, draw
from streamrec.outputs.privacy import shown_image
from streamrec.outputs.sink import Latest, Sink
from streamrec.settings.evidence import Privacy
from streamrec.settings.recording import RecordingSettings
from streamrec.settings.stream import StreamSettings
from streamrec.sources.sampling import is_next
from streamrec.types import Frame, Result

_NOTHING = np.empty((0, 0, 3), np.uint8)


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedSettings:
    """Which frames of a camera are passed on, and how they are drawn."""

    side: int  # pixels of the long side at most
    fps: float  # frames a second at most
    overlay: bool  # with label and bars drawn over it
    cameras: tuple[str, ...] = ()  # empty: all
    privacy: Privacy = Privacy.full  # of cameras without their own

    @classmethod
    def of(cls, settings: StreamSettings | RecordingSettings, privacy: str = "") -> FeedSettings:
        """From the settings of an output; ``privacy``: of cameras without their own, where these have none."""
        return cls(
            side=settings.side,
            fps=settings.fps,
            overlay=settings.overlay,
            cameras=settings.cameras,
            privacy=Privacy(settings.privacy or privacy or Privacy.full),
        )


class CameraFeed:
    """The newest frames of one camera, for its thread."""

    def __init__(self, camera: str, settings: FeedSettings, privacy: Callable[[], Privacy]) -> None:
        self.camera = camera
        self.stopped = threading.Event()
        self.seen = time.monotonic()  # of the last result
        self._latest = Latest()
        self._settings, self._privacy = settings, privacy
        self._trail = Trail()
        self._last: Frame | None = None  # that was passed on

    def write(self, result: Result) -> None:
        """Offer a result; where the thread is busy, it replaces the one that waits."""
        self._latest.write(result)

    def next(self, timeout: float) -> Result | None:
        """The newest result with a new frame that is due and may be shown; None: there was none in time."""
        result = self._latest.get(timeout)
        if result is None:
            return None
        self.seen = time.monotonic()
        self._trail.push(result)
        frame = result.frame
        if result.repeated or not is_next(frame, self._last, self._settings.fps):
            return None
        self._last = replace(frame, image=_NOTHING)
        return None if self._privacy() is Privacy.none else result

    def drawn(self, result: Result) -> np.ndarray:
        """Its frame, (H, W, 3), as it may be shown, with the overlay."""
        image = shown_image(result, self._settings.side, self._privacy())
        if not self._settings.overlay:
            return image
        return draw(image, replace(result, frame=replace(result.frame, image=image)), self._trail)

    def stop(self) -> None:
        """Let the thread end."""
        self._latest.close()
        self.stopped.set()


class CameraThreads(Sink):
    """Calls ``work`` with the feed of each camera, in a thread of its own; it returns when the feed is stopped."""

    def __init__(
        self,
        name: str,
        settings: FeedSettings,
        work: Callable[[CameraFeed], object],
        *,
        patience: float = 2.0,
    ) -> None:
        self.settings = settings
        self._name, self._work, self._patience = name, work, patience
        self._privacy: dict[str, Privacy] = {}  # of cameras with a setting of their own
        self._running: dict[str, tuple[CameraFeed, threading.Thread]] = {}
        self._ending: list[threading.Thread] = []
        self._closed = False

    @property
    def cameras(self) -> tuple[str, ...]:
        """Those that have a thread."""
        return tuple(self._running)

    def privacy_of(self, camera: str) -> Privacy:
        """What of a camera's frames may be shown."""
        return self._privacy.get(camera, self.settings.privacy)

    def set_privacy(self, camera: str, privacy: Privacy | None) -> None:
        """Change a camera's privacy from its next frame on. None: as the settings say."""
        if privacy is None:
            self._privacy.pop(camera, None)
        else:
            self._privacy[camera] = privacy

    def takes(self, camera: str) -> bool:
        """Whether frames of this camera are passed on."""
        chosen = not self.settings.cameras or camera in self.settings.cameras
        return chosen and self.privacy_of(camera) is not Privacy.none

    def write(self, result: Result) -> None:
        """Offer a result to its camera's thread; returns at once."""
        name = result.frame.source
        running = self._running.get(name)
        if running is None:
            if self._closed or not self.takes(name):
                return
            feed = CameraFeed(name, self.settings, lambda: self.privacy_of(name))
            thread = threading.Thread(
                target=self._work, args=(feed,), name=f"{self._name} {name}", daemon=True
            )
            running = self._running[name] = feed, thread
            thread.start()
        running[0].write(result)

    def remove(self, camera: str) -> None:
        """End a camera's thread; returns at once."""
        running = self._running.pop(camera, None)
        if running is not None:
            running[0].stop()
            self._ending = [*(one for one in self._ending if one.is_alive()), running[1]]

    def close(self) -> None:
        """End the threads; a second time does nothing."""
        self._closed = True
        for camera in self.cameras:
            self.remove(camera)
        ends = time.monotonic() + self._patience
        for thread in self._ending:
            thread.join(max(0.0, ends - time.monotonic()))

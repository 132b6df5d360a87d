"""Sources around another source: a region or zones of its frames, real-time pace, a time limit."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np

from streamrec.core.zones import Zone, watched_pixels
from streamrec.types import Frame, Health, Source

_UNSEEN = 127  # grey


class Wrapper(Source):
    """A source that changes the frames of another one; its health and interrupts are those of the other."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.name = source.name
        self._live: bool | None = None
        self.duration = source.duration
        self.together = source.together

    @property
    def sense(self) -> str:  # type: ignore[override]
        """That of the other source."""
        return self.source.sense

    @property
    def channels(self) -> tuple[str, ...]:  # type: ignore[override]
        """Those of the other source."""
        return self.source.channels

    @property
    def rate(self) -> int:  # type: ignore[override]
        """That of the other source."""
        return self.source.rate

    @property
    def live(self) -> bool:
        """Whether the other source is live, which may become known later; or the value that was set."""
        return self.source.live if self._live is None else self._live

    @live.setter
    def live(self, live: bool) -> None:
        self._live = live

    @property
    def health(self) -> Health:  # type: ignore[override]
        """That of the other source."""
        return self.source.health

    @property
    def on_health(self) -> Callable[[Health], None] | None:
        """That of the other source."""
        return self.source.on_health

    @on_health.setter
    def on_health(self, listener: Callable[[Health], None] | None) -> None:
        self.source.on_health = listener

    def settle(self) -> None:
        """Pass it on."""
        self.source.settle()

    def interrupt(self) -> None:
        """Pass it on."""
        self.source.interrupt()


class Region(Wrapper):
    """A region of another source's frames; ``whole`` is the newest image before the cut.

    ``region``: left, top, width and height, as parts of the image. Nothing is copied.

    >>> from streamrec.sources.iterable import IterableSource
    >>> picture = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    >>> [frame.image.shape for frame in Region(IterableSource([picture]), (0.5, 0.0, 0.5, 0.75))]
    [(3, 2, 3)]
    """

    def __init__(self, source: Source, region: tuple[float, float, float, float]) -> None:
        super().__init__(source)
        self.region = region
        self.whole: np.ndarray | None = None  # (H, W, 3)

    def __iter__(self) -> Iterator[Frame]:
        # Started now: an interrupt may come before the first frame is asked for.
        return self._cut(iter(self.source))

    def _cut(self, frames: Iterator[Frame]) -> Generator[Frame, None, None]:
        left, top, width, height = self.region
        with closing(frames) if isinstance(frames, Generator) else nullcontext():
            for frame in frames:
                self.whole = image = frame.image
                high, wide = image.shape[:2]
                y, x = min(round(top * high), high - 1), min(round(left * wide), wide - 1)
                part = image[
                    y : max(y + 1, round((top + height) * high)), x : max(x + 1, round((left + width) * wide))
                ]
                yield replace(frame, image=part)


class Zones(Wrapper):
    """Another source's frames with all grey that is in no watched zone: nothing behind sees or keeps it.

    ``whole`` is the newest image without grey, for those who draw the zones.

    >>> from streamrec.sources.iterable import IterableSource
    >>> left = Zone("left", ((0, 0), (0.5, 0), (0.5, 1), (0, 1)))
    >>> [frame.image[0, :, 0].tolist() for frame in Zones(IterableSource([np.zeros((1, 4), np.uint8)]), (left,))]
    [[0, 0, 127, 127]]
    """

    def __init__(self, source: Source, zones: tuple[Zone, ...]) -> None:
        super().__init__(source)
        self.zones = zones
        self.whole: np.ndarray | None = None  # (H, W, 3)

    def __iter__(self) -> Iterator[Frame]:
        # Started now: an interrupt may come before the first frame is asked for.
        return self._covered(iter(self.source))

    def _covered(self, frames: Iterator[Frame]) -> Generator[Frame, None, None]:
        unseen = np.zeros((0, 0), bool)
        with closing(frames) if isinstance(frames, Generator) else nullcontext():
            for frame in frames:
                if unseen.shape != frame.image.shape[:2]:
                    unseen = ~watched_pixels(self.zones, *frame.image.shape[:2])
                self.whole = frame.image
                image = frame.image.copy()
                image[unseen] = _UNSEEN
                yield replace(frame, image=image)


class RealTime(Wrapper):
    """Another source in real time: each frame waits for its timestamp. For a file in a window."""

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self.together = 1  # each frame is due at its own time
        self._left = threading.Event()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_left": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _left=threading.Event())

    def interrupt(self) -> None:
        """End the wait for the next frame's time, and pass it on."""
        self._left.set()
        super().interrupt()

    def __iter__(self) -> Iterator[Frame]:
        self._left.clear()
        offset, segment = None, None
        for frame in self.source:
            now = time.monotonic()
            if offset is None or frame.segment != segment:
                offset, segment = now - frame.timestamp, frame.segment
            if self._left.wait(max(0.0, min(frame.timestamp + offset - now, 10.0))):
                return
            yield replace(frame, captured=time.monotonic())


class Continued(Wrapper):
    """Another source that goes on after ``last``, a frame of it that was read elsewhere.

    Of a file the frames until then are left out. The clock of a live source goes on over the time that has passed
    since ``captured`` (seconds since 1970); more than ``most`` seconds are a new segment.

    >>> from streamrec.sources.iterable import IterableSource
    >>> source = IterableSource([np.zeros((1, 1, 3), np.uint8)] * 4)
    >>> [frame.index for frame in Continued(source, list(source)[1], 0.0, most=1.0)]
    [2, 3]
    """

    def __init__(
        self,
        source: Source,
        last: Frame,
        captured: float,
        *,
        most: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(source)
        self._last, self._captured, self._most, self._clock = last, captured, most, clock

    def __iter__(self) -> Iterator[Frame]:
        # Started now: an interrupt may come before the first frame is asked for.
        return self._continued(iter(self.source))

    def _continued(self, frames: Iterator[Frame]) -> Generator[Frame, None, None]:
        last, first = self._last, None
        passed = 0.0
        with closing(frames) if isinstance(frames, Generator) else nullcontext():
            for frame in frames:
                if not self.source.live:
                    if (frame.segment, frame.index) > (last.segment, last.index):
                        yield frame
                    continue
                if first is None:
                    first, passed = frame, max(0.0, self._clock() - self._captured)
                yield replace(
                    frame,
                    index=last.index + 1 + frame.index - first.index,
                    timestamp=last.timestamp + passed + frame.timestamp - first.timestamp,
                    segment=last.segment + (passed > self._most) + frame.segment - first.segment,
                )


class Limited(Wrapper):
    """Another source that ends after so many seconds of its own clock.

    A live one ends after so many seconds of ours as well, for it may have stalled.
    """

    def __init__(self, source: Source, seconds: float) -> None:
        super().__init__(source)
        self.seconds = seconds
        self.duration = seconds if source.duration is None else min(seconds, source.duration)

    def __iter__(self) -> Iterator[Frame]:
        passed, last = 0.0, None
        alarm: threading.Timer | None = None
        try:
            for frame in self.source:
                if last is not None and last.timestamp < frame.timestamp:
                    passed += frame.timestamp - last.timestamp
                if passed >= self.seconds - 1e-9:
                    return
                if self.live and alarm is None:
                    alarm = threading.Timer(self.seconds + 1.0, self.source.interrupt)
                    alarm.daemon = True
                    alarm.start()
                last = frame
                yield frame
        finally:
            if alarm is not None:
                alarm.cancel()

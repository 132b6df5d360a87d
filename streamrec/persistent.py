"""A camera that is opened again for as long as anybody watches it."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import closing, nullcontext
from dataclasses import replace

from streamrec.errors import StreamrecError, without_password
from streamrec.types import Frame, Health, Source, SourceState


class Persistent(Source):
    """Another live source, opened again whenever it ends or fails, for ever.

    The wait between two openings doubles from ``first`` to ``longest`` seconds while no frame comes, each
    shorter by chance by up to a quarter, so that the cameras of one network switch do not all knock at once.
    Each opening is a new segment; index and time go on. What the source tells of itself is passed on.
    """

    live = True

    def __init__(self, source: Source, *, first: float = 1.0, longest: float = 30.0) -> None:
        self.source = source
        self.name = source.name
        self._waits = first, longest
        self._left = threading.Event()
        self._state = Health(since=time.monotonic())
        self._frames = 0
        self._reconnects: Counter[str] = Counter()
        source.on_health = self._heard

    @property
    def health(self) -> Health:  # type: ignore[override]
        """As the source is, with the openings of both counted."""
        inner = self.source.health
        return replace(
            self._state,
            frames=self._frames,
            refused=inner.refused,
            reconnects=Counter(inner.reconnects) + self._reconnects,
        )

    def interrupt(self) -> None:
        """End the wait before the next opening, and pass it on."""
        self._left.set()
        self.source.interrupt()

    def __iter__(self) -> Iterator[Frame]:
        self._left.clear()
        return self._endless()

    def _endless(self) -> Iterator[Frame]:
        began = time.monotonic()
        segment = index = 0
        wait, longest = self._waits
        while True:
            opened, base, cause, reason = time.monotonic() - began, segment, "ended", "it ended"
            last: Frame | None = None
            try:
                frames = iter(self.source)
                with closing(frames) if isinstance(frames, Generator) else nullcontext():
                    if self._left.is_set():  # it may have been interrupted before it was opened
                        return
                    for frame in frames:
                        if last is None:
                            wait = self._waits[0]
                            if self.source.health is Source.health:  # it tells nothing of itself
                                self._become(SourceState.live)
                        last = frame
                        segment = base + frame.segment
                        self._frames += 1
                        yield replace(frame, index=index, segment=segment, timestamp=frame.timestamp + opened)
                        index += 1
            except StreamrecError as error:
                cause, reason = "failed", str(error)
            except Exception as error:  # whatever it is, the camera may come back
                cause, reason = "failed", without_password(f"{type(error).__name__}: {error}")
            if self._left.is_set():
                return
            self._reconnects[cause] += 1
            # Until a first picture came it is still being opened for the first time.
            self._become(SourceState.reconnecting if self._frames else SourceState.connecting, reason)
            segment += 1
            if self._left.wait(wait * random.uniform(0.75, 1.0)):
                return
            wait = min(2.0 * wait, longest)

    def _heard(self, health: Health) -> None:
        """What the source says of itself, but that it is over, for here it is not."""
        if health.state in (SourceState.live, SourceState.stalled, SourceState.reconnecting):
            self._become(health.state, health.reason)

    def _become(self, state: SourceState, reason: str = "") -> None:
        if (state, reason) == (self._state.state, self._state.reason):
            return
        self._state = Health(state, reason, time.monotonic())
        if self.on_health is not None:
            self.on_health(self.health)

"""A camera that listens: what a model of sound finds beside its pictures, in the results of its pictures."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from streamrec.core.process_end import CAPTURE
from streamrec.errors import SourceError, StreamrecError
from streamrec.events.detector import EventSettings
from streamrec.events.tracker import Tracker
from streamrec.pipeline.capture import Reader
from streamrec.pipeline.senses import fitted_to, waiting_frames
from streamrec.pipeline.snapshot import SoundSnapshot, bare, models_of
from streamrec.runtime.recognizer import Recognizer, tracker_for
from streamrec.sources.health import LEFT, LOG
from streamrec.sources.wrappers import Continued
from streamrec.types import ActionEnded, Event, Frame, Health, ModelResult, Result, Source, SourceState

LATE = 1.0  # seconds that an event waits for a picture, before it is reported with the last one
JOIN_SECONDS = 3.0
_WAIT = 0.5  # seconds between two checks whether the sound is wanted, where none comes
_BEHIND = 1.0  # seconds of the sound of a file behind its last picture that count


@dataclass(frozen=True, slots=True)
class _Found:
    """An event of the sound; when it was, by ``time.monotonic()``."""

    event: Event
    moment: float
    at: float  # time.monotonic() when it was found


class Listener:
    """Recognizes the sound beside one camera's pictures, and adds what it finds to their results.

    ``source``: of sound; of a live one a thread recognizes it, and the pictures wait for nothing; of a file each result
    of its pictures has the sound up to its timestamp. ``name``: of the model of sound, in events and results.
    **Pictures come first**: the sound of a live source is opened with the first picture, and closed while the pictures
    are lost, for a camera may serve few viewers. Whatever becomes of the sound is in ``health`` alone. Samples are kept
    nowhere but in the queue of the last second and in the model's state.
    """

    def __init__(
        self, source: Source, recognizer: Recognizer, *, name: str, events: EventSettings | None = None
    ) -> None:
        self.name = name
        self.camera = ""  # whose results these are
        self.source = fitted_to(source, recognizer)
        self.recognizer = recognizer
        self.on_health: Callable[[Health], None] = lambda health: None  # called in a thread of the source
        self.pictures: Source | None = None  # whose sound it is; None: it is not known when they are lost
        self.source.on_health = self._changed
        self._events = events
        self._tracker: Tracker = tracker_for(recognizer, events)
        self._state: Any = recognizer.initial_state()
        self._last: Frame | None = None
        self._latest: ModelResult | None = None
        self._held: Frame | None = None  # of a file: behind the picture's time
        self._reader: Reader | None = None
        self._hops: Iterator[Frame] = iter(())
        self._thread: threading.Thread | None = None
        self._left = False
        self._over = False  # a file has ended, or it failed
        self._lock = threading.Lock()  # held for microseconds
        self._found: deque[_Found] = deque()
        self._started: dict[str, float] = {}  # by label: when it began, on the clock of the pictures
        self._reported: Health | None = None
        self.dropped = 0  # hops that were lost because the recognizer was slower

    def __repr__(self) -> str:
        return f"<Listener {self.name}: {self.source.name}, {self.health.state}>"

    @property
    def live(self) -> bool:
        """Whether the sound arrives, or is read from a file."""
        return self.source.live

    @property
    def health(self) -> Health:
        """How the sound is now."""
        health, reported = self.source.health, self._reported
        if reported is None:
            return health
        return replace(health, state=reported.state, reason=reported.reason, since=reported.since)

    @property
    def events(self) -> EventSettings:
        """How events are found: the camera's own settings, or the model's."""
        settings: EventSettings = self._events or self.recognizer.config.events
        return settings

    @property
    def labels(self) -> tuple[str, ...]:
        """Of the model of sound."""
        labels: tuple[str, ...] = self.recognizer.config.labels
        return labels

    # -- going on elsewhere: in the thread that makes the results of the pictures

    def snapshot(self, clock: Callable[[], float] = time.time) -> SoundSnapshot:
        """What is remembered of the sound; ``clock``: seconds since 1970."""
        ahead = clock() - time.monotonic()
        with self._lock:
            last, own = self._last, not self.live
            return SoundSnapshot(
                models=models_of(self.recognizer),
                frame=None if last is None else bare(last),
                captured=0.0 if last is None else last.captured + ahead,
                state=self._state if own else None,
                latest=self._latest if own else None,
                events=self._tracker.memory,
                found=tuple((one.event, one.moment + ahead) for one in self._found),
                started=dict(self._started),
            )

    def resume(self, left: SoundSnapshot, clock: Callable[[], float] = time.time) -> None:
        """Go on from there; before the first result. What ran of a live source ends with its last hop."""
        now = time.monotonic()
        ahead = clock() - now
        self._tracker.memory, self._latest, self._started = left.events, left.latest, dict(left.started)
        self._found += (_Found(event, moment - ahead, now) for event, moment in left.found)
        if left.state is not None:
            self._state = left.state
        if left.frame is not None:
            self._last = replace(left.frame, captured=left.captured - ahead)
            if not self.live:
                most = self.recognizer.config.max_gap
                self.source = Continued(self.source, left.frame, left.captured, most=most)

    # -- called with the results of the pictures, in the thread that makes them

    def joined(self, result: Result, *, last: bool = False) -> Result:
        """The result with the sound's newest prediction, and the events that came since the one before.

        ``last``: no picture follows; what runs ends.
        """
        frame = result.frame
        if self.live:
            self._run()
        else:
            self._step_to(frame, frame.timestamp + (_BEHIND if last else 0.0))
        with self._lock:
            latest = self._latest
        models = (*result.models, latest) if latest is not None and result.models else result.models
        events = self._taken(frame, newest=True)
        if last:
            events = (*events, *self._finished(frame))
            self.close()
        return replace(result, models=models, events=(*result.events, *events))

    def late(self, result: Result | None, now: float) -> Result | None:
        """The last result once more, with the events for which no picture came in time; None: there are none."""
        with self._lock:
            waits = bool(self._found) and now - self._found[0].at > LATE
        if result is None or not waits:
            return None
        frame = result.frame
        passed = now - frame.captured if frame.captured else 0.0
        frame = replace(frame, timestamp=frame.timestamp + passed, captured=now)
        return replace(result, frame=frame, events=self._taken(frame, newest=False), repeated=True)

    def ending(self, frame: Frame) -> tuple[Event, ...]:
        """The camera is lost, or over: what waits, and the ends of what runs. A live source is closed, soon."""
        if self.live:
            self._leave()  # ``joined`` opens it again
        else:
            self._step_to(frame, frame.timestamp + _BEHIND)
            if self.pictures is None or not self.pictures.live:
                self.close()
        return (*self._taken(frame, newest=False), *self._finished(frame))

    def close(self) -> None:
        """Close the source for good, soon. Returns at once."""
        self._over = True
        self._leave()

    def _leave(self) -> None:
        self._left = True
        if (reader := self._reader) is not None:
            reader.leave()

    # -- the clock of the pictures

    def _taken(self, frame: Frame, *, newest: bool) -> tuple[Event, ...]:
        """The events that were found, on the clock of the pictures."""
        with self._lock:
            found = tuple(self._found)
            self._found.clear()
        return tuple(self._placed(one, frame, newest=newest) for one in found)

    def _placed(self, found: _Found, frame: Frame, *, newest: bool) -> Event:
        event, at = found.event, found.event.timestamp
        if self.live:
            at = frame.timestamp - ((frame.captured or time.monotonic()) - found.moment)
            at = min(at, frame.timestamp) if newest else at
        if isinstance(event, ActionEnded):
            started = self._started.pop(event.label, at - event.duration)
            return replace(
                event,
                timestamp=started + event.duration,
                started=started,
                source=self.camera,
                model=self.name,
            )
        self._started[event.label] = at
        return replace(event, timestamp=at, source=self.camera, model=self.name)

    def _finished(self, frame: Frame) -> tuple[Event, ...]:
        """The ends of what runs."""
        with self._lock:
            last = self._last
            events = () if last is None else self._tracker.finish(last.timestamp + self._length)
            found = [_Found(event, self._moment_of(event, last), 0.0) for event in events if last is not None]
            self._latest = None
        return tuple(self._placed(one, frame, newest=False) for one in found)

    @property
    def _length(self) -> float:
        """Seconds of a hop."""
        return 1.0 / self.recognizer.config.fps

    def _moment_of(self, event: Event, frame: Frame) -> float:
        """When an event was, by ``time.monotonic()``: a hop is there when its last sample is."""
        behind = frame.timestamp + self._length - event.timestamp
        return (frame.captured or time.monotonic()) - behind

    # -- recognizing

    def _step_to(self, frame: Frame, until: float) -> None:
        """Of a file: the sound that has ended by this time of its pictures."""
        if self._over or self._left:
            return
        try:
            if self._reader is None:
                self._reader = Reader(self.source, capacity=waiting_frames(self.source, self.recognizer.fps))
                self._hops = iter(self._reader.buffer)
            while True:
                hop = self._held if self._held is not None else next(self._hops, None)
                self._held = hop
                if hop is None:
                    self._over = True
                    return
                if hop.timestamp + self._length > until + 1e-6:
                    return
                self._held = None
                self._step(hop)
        except Exception as error:
            self._failed(error)

    def _run(self) -> None:
        """Of a live source: start its thread, where it does not run."""
        if self._over or (self._thread is not None and self._thread.is_alive()):
            return  # one that is about to end is started anew with a later picture
        self._left = False
        name = f"{CAPTURE} the sound of {self.source.name}"
        self._thread = threading.Thread(target=self._listen, name=name, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        changed = threading.Condition()
        with self._lock:  # its clock begins anew
            if self._last is not None:
                self._note(self._tracker.finish(self._last.timestamp + self._length), self._last)
            self._last, self._state = None, self.recognizer.initial_state()
        try:
            capacity = waiting_frames(self.source, self.recognizer.fps)
            reader = self._reader = Reader(self.source, capacity=capacity, changed=changed)
            buffer, before = reader.buffer, self.dropped
            try:
                while not self._left and not self._pictures_are_lost():
                    with changed:
                        changed.wait_for(lambda: len(buffer) or buffer.closed or self._left, _WAIT)
                    hop = buffer.take()
                    self.dropped = before + buffer.dropped
                    if hop is not None:
                        self._step(hop)
                    elif buffer.closed:
                        if buffer.error is not None:
                            raise buffer.error
                        self._over = self._over or not self._left  # a recording has ended
                        break
            finally:
                reader.leave()
                reader.join(JOIN_SECONDS)
        except Exception as error:
            self._failed(error)

    def _pictures_are_lost(self) -> bool:
        pictures = self.pictures
        return pictures is not None and pictures.health.state is SourceState.reconnecting

    def _step(self, hop: Frame) -> None:
        prediction, state = self.recognizer.step(hop, self._state)
        with self._lock:
            last = self._last
            if last is not None and hop.segment != last.segment:
                self._note(self._tracker.finish(last.timestamp + self._length), last)
            self._note(self._tracker.step(prediction, hop.timestamp), hop)
            self._state, self._last = state, replace(hop, image=hop.image[:0])
            unknown = self._tracker.is_unknown(prediction)
            self._latest = ModelResult(self.name, prediction, self._tracker.repetitions, unknown)

    def _note(self, events: Iterable[Event], hop: Frame) -> None:
        now = time.monotonic()
        self._found += (_Found(event, self._moment_of(event, hop), now) for event in events)

    # -- health

    def _failed(self, error: BaseException) -> None:
        """The sound is given up; the pictures go on."""
        self._over = True
        reason = str(error) if isinstance(error, StreamrecError) else type(error).__name__
        if not isinstance(error, SourceError):
            LOG.warning("%s: the sound is given up: %s", self.source.name, reason)
        self._changed(
            replace(self.source.health, state=SourceState.failed, reason=reason, since=time.monotonic())
        )

    def _changed(self, health: Health) -> None:
        """Report a change; that the sound was left because the pictures are lost is none of its own."""
        if health.state is SourceState.ended and health.reason == LEFT and self._pictures_are_lost():
            health = replace(health, state=SourceState.connecting, reason="it waits for the pictures")
        before, self._reported = self._reported, health
        if before is None or (before.state, before.reason) != (health.state, health.reason):
            self.on_health(health)

"""Many streams at once: one batch for the encoder, a state each, and a slow camera delays no other."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from threading import Condition
from typing import Any
from weakref import WeakKeyDictionary

from streamrec.core.arguments import whole_number
from streamrec.core.context import Closing
from streamrec.core.messages import described
from streamrec.core.redact import redact, redact_address
from streamrec.core.state import State
from streamrec.core.text import printable
from streamrec.errors import SourceError, StreamrecError, WrongValue
from streamrec.events.detector import EventSettings
from streamrec.events.places import PlaceSettings
from streamrec.events.recurrence import RecurrenceSettings
from streamrec.pipeline.capture import Reader
from streamrec.pipeline.due_frames import DueFrames
from streamrec.pipeline.listening import Listener
from streamrec.pipeline.motion_gate import MotionGate
from streamrec.pipeline.result_builder import ResultBuilder
from streamrec.pipeline.senses import check_pictures, fitted_to, sense_of, waiting_frames
from streamrec.pipeline.snapshot import CameraSnapshot, bare, models_of
from streamrec.runtime.person_counts import with_motion_counts
from streamrec.runtime.recognizer import Recognizer, check_recognizer, configs_of
from streamrec.sources.open import open_source
from streamrec.sources.sampling import check_fps, is_next
from streamrec.sources.wrappers import Continued
from streamrec.types import SIGNAL, VIDEO, Frame, Health, Prediction, Result, Source, SourceState

BATCH = 8  # frames: a larger batch gains little, and all frames in it wait for it (benchmarks/many.py)
STALL_SECONDS = 10.0  # a live source that gives no frame for so long has stalled, whatever state it reports
_TICK = 0.5  # seconds between two checks whether a source has stalled
_RECENT = 5.0  # seconds over which a rate is taken
_AHEAD = 16  # frames that may wait between the reader thread and the recognizer, and more
_OVER = (SourceState.ended, SourceState.failed)


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of the frames of one camera: ``read == recognized + sum(dropped.values()) + waiting``."""

    read: int = 0  # given by the source
    recognized: int = 0  # a result each
    # Cause: "rhythm" (not due at the sampling rate), "overload" (a newer one came before the recognizer had time),
    # "still" (nothing moved, and a motion gate was asked for), "unusable" (the recognizer refused it), "left"
    # (the camera was removed or the watcher stopped).
    dropped: Mapping[str, int] = field(default_factory=dict)
    waiting: int = 0  # in the buffer or in hand; 0 when the camera is over


class Camera:
    """One stream of a ``Watcher``: its health, and what became of its frames. ``Watcher.add`` makes it."""

    def __init__(
        self,
        name: str,
        source: Source,
        recognizer: Recognizer,
        *,
        fps: float | None,
        still: float | None,
        events: EventSettings | Mapping[str, EventSettings] | None,
        count: RecurrenceSettings | None,
        changed: Condition,
        resume: CameraSnapshot | None = None,
    ) -> None:
        self.name = name
        self._gate = None if still is None else MotionGate(still, most=recognizer.config.max_gap)
        # What the gate remembers behind each frame that passed: the reader thread asks it ahead of the recognizer.
        self._gate_memories: deque[tuple[int, Any]] = deque(maxlen=_AHEAD)
        self._gate_memory: Any = None  # behind the frame that was taken last
        if resume is not None and not resume.fits(recognizer):
            resume = None
        self.resumed = resume  # from which it went on; None: it began anew
        if resume is not None:
            source = Continued(source, resume.frame, resume.captured, most=recognizer.config.max_gap)
        self.source = source
        self.recognizer = recognizer
        self.fps = recognizer.fps if fps is None else fps
        self.places: PlaceSettings | None = None  # its zones and lines
        self.sound: Listener | None = None  # what listens beside its pictures
        self.error: BaseException | None = None  # why it failed; None: it did not
        self._is_broken = False  # its model raised an error that is none of ours: a fault, not a refusal
        self._changed = changed
        self._state: State = with_motion_counts(recognizer.initial_state(), count)
        self._builder = ResultBuilder(recognizer, name, events=events, count=count)
        self._last: Frame | None = None  # the one that was taken last for the recognizer
        self._served = 0  # the round in which that was
        self._read = self._recognized = 0
        self._dropped: Counter[str] = Counter()
        self._times: deque[float] = deque()  # of the recent results
        self._began = self._arrived = time.monotonic()  # the latter: when the last frame came
        self._over: Health | None = None
        self._segment: int | None = None  # of the last result
        self._lost = False  # the source is reconnecting, and what was running is to end
        self._reported: tuple[SourceState, str] | None = None
        self._since = self._arrived
        self._result: Result | None = None  # of the frame that was recognized last
        if resume is not None:
            self._resume(resume)
        self._health_queue: deque[Health] = deque([Health(since=self._began)])
        self._sound_health: deque[Health] = deque()  # changes that were not reported yet
        self._listener = source.on_health
        source.on_health = self._on_source_health
        due = DueFrames(source, recognizer, self._choose, on_abandoned=lambda: self._drop("left"))
        due.name = name
        capacity = 1 if source.live else 4
        if source.sense != VIDEO:
            capacity = waiting_frames(source, self.fps)
        self._reader = Reader(due, capacity=capacity, changed=changed)

    def __repr__(self) -> str:
        return f"<Camera {self.name}: {self.health.state}>"

    @property
    def health(self) -> Health:
        """How it is now: what the source reports of itself, or what can be seen from outside."""
        if self._over is not None:
            return self._over
        health, now = self.source.health, time.monotonic()
        # It reports nothing, or it has ended and some of its frames are still to be recognized.
        if health is Source.health or health.state in _OVER:
            state = SourceState.live if self._read else SourceState.connecting
            health = replace(health, state=state, reason="", since=self._since, frames=self._read)
        if self.source.live and health.state is SourceState.live and now - self._arrived > STALL_SECONDS:
            reason = f"no picture for {STALL_SECONDS:g} s"
            return replace(
                health, state=SourceState.stalled, reason=reason, since=self._arrived + STALL_SECONDS
            )
        return health

    @property
    def counts(self) -> Counts:
        """What became of its frames so far."""
        with self._changed:
            dropped = dict(+self._dropped)
            if self._reader.buffer.dropped:
                dropped["overload"] = self._reader.buffer.dropped
            waiting = self._read - self._recognized - sum(dropped.values())
            return Counts(self._read, self._recognized, dropped, waiting)

    @property
    def rate(self) -> float:
        """Results a second, over the last five seconds."""
        now = time.monotonic()
        with self._changed:
            self._forget_times(now)
            return len(self._times) / min(_RECENT, max(now - self._began, 0.1))

    def retune(self, events: Mapping[str, EventSettings]) -> None:
        """Go on with other event settings, by model; from any thread. What runs goes on, and no state is lost."""
        self._builder.retune(events)

    def placed(self, settings: PlaceSettings) -> None:
        """Name the zones of its events, and report who crosses a line; in the thread that iterates the watcher."""
        self.places = settings
        self._builder.placed(settings)

    def listening(self, listener: Listener) -> None:
        """Recognize the sound beside its pictures too; in the thread that iterates the watcher, before its results."""
        self.sound, listener.pictures = listener, self.source
        listener.on_health = self._sound_health.append
        self._builder.listening(listener, next(iter(configs_of(self.recognizer))))
        if self.resumed is not None and self.resumed.sound is not None:
            listener.resume(self.resumed.sound)

    def snapshot(self, clock: Callable[[], float] = time.time) -> CameraSnapshot | None:
        """What is remembered of it, in the thread that iterates the watcher; None: no frame was recognized yet."""
        if self._result is None:
            return self.resumed
        last = self._result.frame
        ago = time.monotonic() - last.captured if last.captured else 0.0
        return CameraSnapshot(
            models=models_of(self.recognizer),
            frame=bare(last),
            captured=clock() - max(0.0, ago),
            live=self.source.live,
            state=self._state,
            prediction=self._result.prediction,
            events=self._builder.memory,
            gate=self._gate_memory,
            sound=None if self.sound is None else self.sound.snapshot(clock),
        )

    def _resume(self, resume: CameraSnapshot) -> None:
        """Go on from there."""
        self._state, self._last = with_motion_counts(resume.state, self._builder.count), resume.frame
        self._segment = resume.frame.segment
        self._builder.resume(resume.frame, resume.prediction, resume.events)
        if self._gate is not None:
            self._gate.memory = self._gate_memory = resume.gate

    # -- what follows is between the camera, its thread and its watcher

    def _choose(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        """Count the frames of the source, and pass on those that are due; runs in the camera's reader thread."""
        # The last frame that passed, and the last that the gate was asked about.
        passed, gated = self._last, None
        for frame in frames:
            # Of a file each frame that passes is recognized; of a camera some of them are overwritten.
            last = self._last if self.source.live else passed
            with self._changed:
                self._read += 1
                self._arrived = time.monotonic()
            if gated is not None and (last is None or gated.index > last.index):
                last = gated
            if not is_next(frame, last, self.fps):
                self._drop("rhythm")
                continue
            if self._gate is not None:
                gated = frame
                if not self._gate.passes(frame):
                    self._drop("still")
                    continue
                self._gate_memories.append((frame.index, self._gate.memory))
            passed = frame
            yield frame if frame.source == self.name else replace(frame, source=self.name)

    def _on_source_health(self, health: Health) -> None:
        """Called by the source in its thread: the watcher reports it, in its own."""
        self._health_queue.append(health)
        with self._changed:
            self._lost = self._lost or health.state is SourceState.reconnecting
            self._changed.notify_all()
        if self._listener is not None:
            self._listener(health)

    def _changes(self) -> Iterator[Health]:
        """States that were not reported yet, in order."""
        while self._health_queue:
            health = self._health_queue.popleft()
            # The watcher decides itself when a camera is over.
            if health.state not in _OVER and self._over is None:
                yield from self._if_new(health)
        yield from self._if_new(self.health)

    def _if_new(self, health: Health) -> Iterator[Health]:
        if (health.state, health.reason) != self._reported:
            self._reported = health.state, health.reason
            self._since = health.since or time.monotonic()
            yield health

    def _drop(self, cause: str) -> None:
        with self._changed:
            self._dropped[cause] += 1

    def _is_ready(self) -> bool:
        """Whether a frame can be taken. Of a file only when it is known whether another one follows."""
        buffer = self._reader.buffer
        return len(buffer) > (0 if self.source.live or buffer.closed else 1)

    def _is_finished(self) -> bool:
        return self._reader.buffer.closed and not len(self._reader.buffer)

    def _take(self) -> tuple[Frame, bool] | None:
        """The next frame that is due, and whether it is known to be the last one."""
        buffer = self._reader.buffer
        frame = buffer.take()
        if frame is None:
            return None
        if self.source.live and not is_next(frame, self._last, self.fps):
            self._drop("rhythm")  # it came while the one before it was taken
            return None
        self._last = frame
        while self._gate_memories and self._gate_memories[0][0] <= frame.index:
            self._gate_memory = self._gate_memories.popleft()[1]
        return frame, not self.source.live and self._is_finished()

    def _recognized_as(
        self, frame: Frame, last: bool, step: tuple[Prediction, State], asked: float
    ) -> Result:
        prediction, state = step
        if frame.segment != self._segment:  # with which what ran before ends anyway
            self._segment, self._lost = frame.segment, False
        dropped = self._reader.buffer.dropped
        still = None if self._gate is None else self._gate.still
        result = self._builder.build(frame, prediction, asked=asked, dropped=dropped, still=still, last=last)
        self._state, self._result = state, result
        now = time.monotonic()
        with self._changed:
            self._recognized += 1
            self._times.append(now)
            self._forget_times(now)
        return result

    def _forget_times(self, now: float) -> None:
        while self._times and now - self._times[0] > _RECENT:
            self._times.popleft()

    def _end_if_lost(self) -> Iterator[Result]:
        """What runs ends when the camera is lost, not when it is back, which may be tomorrow."""
        if self._lost and not len(self._reader.buffer):
            self._lost = False
            yield from self._builder.ending()

    def _finish(self, reason: str = "", error: BaseException | None = None) -> list[Result]:
        """It is over: what still waits is counted, what runs ends."""
        if self._over is not None:
            return []
        self._reader.leave()
        while self._reader.buffer.take() is not None:
            self._drop("left")
        self.error = error
        state = SourceState.ended if error is None else SourceState.failed
        health = self.source.health
        frames = self._read if health is Source.health else health.frames
        self._over = replace(health, state=state, reason=reason, since=time.monotonic(), frames=frames)
        ending = list(self._builder.ending())
        if self.sound is not None:
            self.sound.close()
        return ending

    def _release(self) -> None:
        """Its thread has ended: free what is large now, and not when the garbage collector finds the cycle."""
        self._last, self._result, self._state = None, None, self.recognizer.initial_state()
        self._builder.release()
        self._unhook()

    def _unhook(self) -> None:
        """Its thread has ended: the source knows it no more, so that both are freed with their last user."""
        if self.source.on_health == self._on_source_health:
            self.source.on_health = self._listener


class Watcher(Closing):
    """Recognizes any number of streams with one batch for the encoder and a state each.

    ``add`` and ``remove`` streams at any time, from any thread; iterate it, or call ``step``, in one thread.
    Each source has a thread of its own, so that one that is slow, dead or broken never delays another: what has
    arrived is recognized, at most ``batch`` frames at once, and where the machine cannot keep up those come
    first that were served least recently. Of a camera the newest frame is recognized, of a file every due frame.

    ``on_health`` is called with a camera and its health at each change of state, in the thread that iterates;
    ``on_sound`` in the same way with the health of its sound, where it listens.

    >>> from streamrec.synthetic import World, WorldSettings
    >>> with Watcher(Recognizer.load("synthetic")) as watcher:
    ...     for name in ("door", "yard"):
    ...         camera = watcher.add(name, World(WorldSettings(seconds=1.0, width=64, height=48)))
    ...     sorted({result.frame.source for result in watcher})
    ['door', 'yard']
    """

    def __init__(
        self,
        recognizer: Recognizer | None = None,
        *,
        fps: float | None = None,
        batch: int = BATCH,
        on_health: Callable[[Camera, Health], None] | None = None,
        on_sound: Callable[[Camera, Health], None] | None = None,
    ) -> None:
        whole_number(batch, "batch")
        if recognizer is not None:
            check_recognizer(recognizer, "Watcher")
        self._recognizer = recognizer
        self._fps = None if fps is None else check_fps(fps)
        self._batch = batch
        self._on_health = on_health
        self._on_sound = on_sound
        self._changed = Condition()
        self._cameras: dict[str, Camera] = {}
        self._leaving: list[Camera] = []  # removed, and their end is not reported yet
        self._gone: list[Camera] = []  # reported, and their thread may still run
        self._reserved: WeakKeyDictionary[Recognizer, int] = WeakKeyDictionary()  # frames of its largest pass
        self._round = 0
        self._stopped = self._closed = False

    def add(
        self,
        name: str,
        source: Any,
        *,
        recognizer: Recognizer | None = None,
        fps: float | None = None,
        still: float | None = None,
        events: EventSettings | Mapping[str, EventSettings] | None = None,
        count: RecurrenceSettings | None = None,
        resume: CameraSnapshot | None = None,
    ) -> Camera:
        """Watch one more source, anything that ``open_source`` takes; its frames and events carry the name.

        ``recognizer``, ``fps`` and ``events`` where they differ from the others' (events of several models by their
        names); ``still``: a scene without motion is recognized every so many seconds only (``MotionGate``);
        ``count``: any motion that repeats is counted, of each person too who is followed; ``resume``: go on from there,
        where it is of the same models. A live source's clock goes on over the time between, of a file only what comes
        after is read. Raises ``StreamrecError`` when the name is taken.
        """
        recognizer = recognizer or self._recognizer
        if recognizer is None:
            raise StreamrecError(f"no recognizer for {name}: give one to add, or to the Watcher for all")
        if not isinstance(name, str):
            raise WrongValue(f"the name of a source is {described(name)}: give a text")
        check_recognizer(recognizer, "add")
        source = fitted_to(open_source(source, sense=sense_of(recognizer)), recognizer)
        check_pictures(source, still, count)
        fps = self._fps if fps is None else check_fps(fps)
        with self._changed:
            if self._stopped:
                raise StreamrecError(f"{name} cannot be added: the watcher was stopped")
            if name in self._cameras:
                raise StreamrecError(
                    f"there is a camera {name} already: remove it first, or take another name"
                )
            camera = self._cameras[name] = Camera(
                name,
                source,
                recognizer,
                fps=fps,
                still=still,
                events=events,
                count=count,
                changed=self._changed,
                resume=resume,
            )
            self._changed.notify_all()
        return camera

    def remove(self, name: str) -> Camera:
        """Stop watching a source; the next step ends its running actions. Returns at once."""
        with self._changed:
            camera = self._cameras.pop(name, None)
            if camera is None:
                known = ", ".join(self._cameras) or "none"
                raise StreamrecError(f"there is no camera {name}; there are: {known}")
            self._leaving.append(camera)
            self._changed.notify_all()
        camera._reader.leave()
        return camera

    @property
    def cameras(self) -> tuple[Camera, ...]:
        """Those that were added and not removed, in order; the ones that ended or failed too."""
        with self._changed:
            return tuple(self._cameras.values())

    def sense_of(self, name: str) -> str:
        """The sense of a camera's source; of one that is not watched any more that of readings."""
        return next((camera.source.sense for camera in self.cameras if camera.name == name), SIGNAL)

    def step(self, timeout: float | None = None) -> list[Result]:
        """Wait until something has arrived, and recognize it: at most one batch.

        No result after ``timeout`` seconds, or at once when no camera is left that could give one. A camera whose
        model fails, whatever it raises, has failed, and the others go on.
        """
        deadline = time.monotonic() + (float("inf") if timeout is None else timeout)
        while True:
            with self._changed:
                left = min(_TICK, max(0.0, deadline - time.monotonic()))
                self._changed.wait_for(self._has_work, left)
                finished = [camera for camera in self._active() if camera._is_finished()]
                removed, self._leaving = self._leaving, []
                batch = [] if self._stopped else self._next_batch()
            results = [result for camera in removed for result in camera._finish("it was removed")]
            for camera in finished:
                results += self._finished(camera)
            results += self._recognize(batch)
            for camera in self._active():
                results += camera._end_if_lost()
                if camera.sound is not None:
                    results += camera._builder.late(time.monotonic())
            if self._stopped:
                results += self._stop_all()
            gone, self._gone = (*self._gone, *removed), []
            for camera in gone:
                if camera._reader.join(0.0):
                    camera._release()
                else:
                    self._gone.append(camera)
            self._report_health(removed)
            if results or batch or self._stopped or not self._active() or time.monotonic() >= deadline:
                return results

    def __iter__(self) -> Iterator[Result]:
        """Results as they come, until every source has ended or failed, or ``stop`` is called."""
        while True:
            yield from self.step()
            if self._stopped or not self._active():
                return

    def stop(self) -> None:
        """End the iteration; its last results hold the ends of what was running. May be called from any thread."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def close(self, patience: float = 3.0) -> None:
        """Stop, and give the threads of all sources so many seconds in all to end. A second time does nothing."""
        if self._closed:
            return
        self._closed = True
        self.stop()
        self._stop_all()
        deadline = time.monotonic() + patience
        for camera in (*self._cameras.values(), *self._gone, *self._leaving):
            if camera._reader.join(max(0.0, deadline - time.monotonic())):
                camera._unhook()

    def _active(self) -> list[Camera]:
        with self._changed:
            return [camera for camera in self._cameras.values() if camera._over is None]

    def _has_work(self) -> bool:
        cameras = self._active()
        return (
            self._stopped
            or bool(self._leaving)
            or not cameras
            or any(c._health_queue or c._is_ready() or c._is_finished() for c in cameras)
        )

    def _next_batch(self) -> list[tuple[Camera, Frame, bool]]:
        """What has arrived, of cameras that share a recognizer, the least recently served first."""
        ready = sorted((c for c in self._active() if c._is_ready()), key=lambda camera: camera._served)
        batch: list[tuple[Camera, Frame, bool]] = []
        self._round += 1
        for camera in ready:
            if batch and camera.recognizer is not batch[0][0].recognizer:
                continue
            if (taken := camera._take()) is not None:
                camera._served = self._round
                batch.append((camera, *taken))
            if len(batch) == self._batch:
                break
        return batch

    def _recognize(self, batch: list[tuple[Camera, Frame, bool]]) -> list[Result]:
        results: list[Result] = []
        if batch:
            # A model that cannot reserve may still do one frame at a time; where it cannot, its cameras fail below.
            with suppress(Exception):
                self._reserve(batch[0][0].recognizer)
        asked = time.monotonic()
        steps = _steps_of([(camera, frame) for camera, frame, _ in batch])
        for (camera, frame, last), step in zip(batch, steps, strict=True):
            try:
                if isinstance(step, Exception):
                    raise step
                results.append(camera._recognized_as(frame, last, step, asked))
            except Exception as error:
                camera._drop("unusable")
                camera._is_broken = not isinstance(error, StreamrecError)
                results += camera._finish(_reason(error), error)
        return results

    def _reserve(self, recognizer: Recognizer) -> None:
        """Prepare it for all of its cameras at once, as far as they fit into a batch."""
        most = min(self._batch, sum(camera.recognizer is recognizer for camera in self._active()))
        if most > self._reserved.get(recognizer, 1):
            self._reserved[recognizer] = most  # tried once, whether it works or not
            recognizer.reserve(most)

    def _finished(self, camera: Camera) -> list[Result]:
        error = camera._reader.buffer.error
        return camera._finish("" if error is None else _reason(error), error)

    def _stop_all(self) -> list[Result]:
        cameras = self._active()
        for camera in cameras:  # all of them first: their threads end at the same time
            camera._reader.leave()
        return [result for camera in cameras for result in camera._finish("it was stopped")]

    def _report_health(self, removed: list[Camera]) -> None:
        for camera in (*removed, *self.cameras):
            for health in camera._changes():
                if self._on_health is not None:
                    self._on_health(camera, health)
            while camera._sound_health:
                health = camera._sound_health.popleft()
                if self._on_sound is not None:
                    self._on_sound(camera, health)


def _reason(error: BaseException) -> str:
    """Why a camera failed, as a message."""
    if isinstance(error, StreamrecError):
        return str(error)
    return redact(f"{type(error).__name__}: {error}")


def _steps_of(due: list[tuple[Camera, Frame]]) -> list[tuple[Prediction, State] | Exception]:
    """One step of each camera; where a batch fails, each alone, so that one bad frame fails one camera only."""
    if not due:
        return []
    recognizer = due[0][0].recognizer
    try:
        return [*recognizer.step_many([frame for _, frame in due], [camera._state for camera, _ in due])]
    except Exception as error:  # models and engines raise errors of many kinds
        if len(due) == 1:
            return [error]
        return [step for one in due for step in _steps_of([one])]


def results_of(
    sources: Mapping[str, Any] | Iterable[Any],
    recognizer: Recognizer,
    *,
    fps: float | None = None,
) -> Generator[Result]:
    """Recognize many sources at once until all of them have ended; ``frame.source`` names the stream.

    ``sources``: a mapping of names to anything that ``open_source`` takes, or only the sources, which are then
    named as they name themselves, the second of a name ``"name 2"``. A source that fails does not stop the
    others: its error is raised when all have ended.
    """
    check_recognizer(recognizer, "results_of")
    with Watcher(recognizer, fps=fps) as watcher:
        cameras = [watcher.add(name, source) for name, source in _named(sources)]
        yield from watcher
        failed = [camera for camera in cameras if camera.error is not None]
    broken = [camera for camera in failed if camera._is_broken]
    if len(failed) == 1 or broken:
        error = (broken or failed)[0].error
        assert error is not None
        raise error
    if failed:
        reasons = "; ".join(f"{camera.name}: {camera.health.reason}" for camera in failed)
        raise SourceError(f"{len(failed)} of {len(cameras)} sources failed: {reasons}") from failed[0].error


def _named(sources: Mapping[str, Any] | Iterable[Any]) -> list[tuple[str, Source]]:
    if isinstance(sources, Mapping):
        return [(name, open_source(source)) for name, source in sources.items()]
    if getattr(sources, "ndim", 1) == 0 or not isinstance(sources, str | Iterable):
        raise SourceError(
            f"results_of takes a list of sources, or names and sources, not {described(sources)}"
        )
    if isinstance(sources, str):
        raise SourceError(
            f"results_of takes several sources; put {printable(redact_address(sources))} into a list"
        )
    named: dict[str, Source] = {}
    for source in map(open_source, sources):
        name, number = source.name, 1
        while name in named:
            number += 1
            name = f"{source.name} {number}"
        named[name] = source
    return list(named.items())

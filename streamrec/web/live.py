"""What is live: written by the thread that recognizes, read by the page's threads; the first never waits.

``LiveState`` is a sink. ``write`` keeps a reference to the newest result, one row of scores and the events, and
leaves; whatever costs time (JPEG, JSON, sockets) happens in other threads, when somebody looks.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from streamrec.core.redact import redact
from streamrec.outputs.history.records import Entry, iso, new_id
from streamrec.outputs.sink import Sink
from streamrec.types import ActionEnded, ActionStarted, Health, Result, SourceState
from streamrec.web.score_history import Scores

SCORE_SECONDS = 3600.0  # how far back the scores reach that thresholds are tried on
_EVENTS = 2_000  # remembered where no history is kept
_ALIVE = 10.0  # seconds: a loop that has not come round for so long does not run
_RECENT = 5.0  # seconds over which rate and latency are taken


class Watched(Protocol):
    """A camera as it is shown: ``batching.Camera`` is one."""

    name: str

    @property
    def health(self) -> Health:
        """How it is now."""

    @property
    def rate(self) -> float:
        """Results a second."""


def as_json(said: object) -> bytes:
    r"""JSON in UTF-8. Half a letter (of a file name that is no UTF-8, say) becomes a question mark: one name must
    not take the answer from all.

    >>> as_json({"camera": "T\xfcr caf\udce9"}).decode()
    '{"camera":"Tür caf?"}'
    """
    return json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _shown(name: str) -> str:
    """A camera's name as the page has it."""
    return name.encode("utf-8", "replace").decode()


def entry_as_json(entry: Entry) -> dict[str, Any]:
    """An event as the API has it: in place of paths on this machine, addresses of the page."""
    shown = entry.to_dict()
    shown["clip"] = f"/api/v1/events/{entry.id}/clip" if entry.clip else None
    shown["thumbnail"] = f"/api/v1/events/{entry.id}/thumbnail" if entry.thumbnail else None
    return shown


class _Seen:
    """What is remembered of one camera."""

    def __init__(self) -> None:
        self.result: Result | None = None
        self.version = 0  # of the picture: grows with each
        self.scores: Scores | None = None
        self.latencies: deque[tuple[float, float]] = deque(maxlen=200)  # when, seconds
        self.running: dict[str, Entry] = {}


class LiveState(Sink):
    """The newest result of every camera, what happened, and how the cameras are."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self.kept = False  # True: a history keeps the events, and ``notify`` tells them
        self.reload = threading.Event()  # set when the file of cameras was written by the page
        self.secrets: tuple[str, ...] = ()  # never to be shown
        self.on_change: Callable[[], None] = lambda: None  # called after each picture; must not wait
        self.on_event: Callable[[Entry], None] = lambda told: None  # called at each start and end
        self._clock = clock
        self._lock = threading.Lock()  # held for microseconds
        self._seen: dict[str, _Seen] = {}
        self._cameras: tuple[Watched, ...] = ()
        self._events: deque[Entry] = deque(maxlen=_EVENTS)
        self._began = time.monotonic()
        self._beat = self._began
        self.counts: dict[tuple[str, str], int] = {}  # camera and label: actions that started

    # -- the thread that recognizes

    def beat(self, cameras: Iterable[Watched]) -> None:
        """The loop has come round; these are the cameras now."""
        self._beat = time.monotonic()
        cameras = tuple(cameras)
        if cameras == self._cameras:
            return
        self._cameras = cameras
        names = {_shown(camera.name) for camera in cameras}
        with self._lock:
            for name in [name for name in self._seen if name not in names]:
                del self._seen[name]

    def write(self, result: Result) -> None:
        """Take a result."""
        name, frame, said = _shown(result.frame.source), result.frame, result.prediction
        late = max(0.0, time.monotonic() - frame.captured) if frame.captured else 0.0
        now = self._clock() - late  # when the picture was in hand
        told: list[Entry] = []
        with self._lock:
            seen = self._seen.get(name)
            if seen is None:
                seen = self._seen[name] = _Seen()
            seen.result = result
            if not result.repeated:
                seen.version += 1
                if seen.scores is None or seen.scores.labels != said.labels:
                    seen.scores = Scores(said.labels)
                seen.scores.add(frame.timestamp, frame.segment, said.probabilities)
                seen.latencies.append((time.monotonic(), result.latency))
            for event in result.events:
                if isinstance(event, ActionStarted):
                    began = now - max(0.0, frame.timestamp - event.timestamp)
                    started = Entry(
                        id=new_id(began),
                        camera=name,
                        model="",
                        label=event.label,
                        started=began,
                        confidence=event.confidence,
                    )
                    seen.running[event.label] = started
                    if not self.kept:
                        self._events.append(started)
                        told.append(started)
                    key = (name, event.label)
                    self.counts[key] = self.counts.get(key, 0) + 1
                elif (begun := seen.running.pop(event.label, None)) is not None and not self.kept:
                    told.append(self._ended(begun, event))
        for one in told:
            self.on_event(one)
        self.on_change()

    def notify(self, entries: Iterable[Entry]) -> None:
        """What the history has kept, to be told now."""
        for entry in entries:
            with self._lock:
                seen = self._seen.get(_shown(entry.camera))
                if seen is not None and entry.ended is None:
                    if entry.label not in seen.running:  # else ``write`` has seen it begin
                        key = (entry.camera, entry.label)
                        self.counts[key] = self.counts.get(key, 0) + 1
                    seen.running[entry.label] = entry
                elif seen is not None:
                    seen.running.pop(entry.label, None)
            self.on_event(entry)

    def _ended(self, begun: Entry, event: ActionEnded) -> Entry:
        ended = replace(
            begun,
            ended=begun.started + max(0.0, event.duration),
            confidence=event.confidence,
            repetitions=event.repetitions,
        )
        for n in range(len(self._events) - 1, -1, -1):
            if self._events[n].id == begun.id:
                self._events[n] = ended
                break
        return ended

    def close(self) -> None:
        """Nothing is left to do."""

    # -- everybody else

    @property
    def alive(self) -> bool:
        """Whether the loop has come round of late."""
        return time.monotonic() - self._beat < _ALIVE

    @property
    def uptime(self) -> float:
        """Seconds since it was made."""
        return time.monotonic() - self._began

    @property
    def names(self) -> tuple[str, ...]:
        """The cameras, in the order of the file."""
        return tuple(_shown(camera.name) for camera in self._cameras)

    @property
    def events(self) -> list[Entry]:
        """What happened since the start, the newest first."""
        with self._lock:
            return list(reversed(self._events))

    def newest(self, name: str) -> tuple[int, Result] | None:
        """The newest result of a camera, and its number; None before the first."""
        with self._lock:
            seen = self._seen.get(name)
            return None if seen is None or seen.result is None else (seen.version, seen.result)

    def whole(self, name: str) -> np.ndarray | None:
        """The newest picture (H, W, 3) of a camera, with what lies outside its region."""
        camera = next((one for one in self._cameras if _shown(one.name) == name), None)
        found: np.ndarray | None = getattr(getattr(camera, "source", None), "whole", None)
        newest = self.newest(name)
        return found if found is not None or newest is None else newest[1].frame.image

    def scores(self, name: str) -> tuple[tuple[str, ...], np.ndarray, np.ndarray, np.ndarray] | None:
        """Labels, times (N,), segments (N,) and probabilities (N, labels) of the last hour; None without any."""
        with self._lock:
            seen = self._seen.get(name)
            if seen is None or seen.scores is None:
                return None
            times, segments, scores = seen.scores.get()
            return seen.scores.labels, times, segments, scores

    def cameras(self) -> list[dict[str, Any]]:
        """How every camera is, as the API says it."""
        return [self._camera(camera) for camera in self._cameras]

    def _camera(self, camera: Watched) -> dict[str, Any]:
        health, now = camera.health, time.monotonic()
        with self._lock:
            seen = self._seen.get(_shown(camera.name))
            result = None if seen is None else seen.result
            late = [] if seen is None else [took for when, took in seen.latencies if now - when < _RECENT]
            running = [] if seen is None else [(told.label, told.started) for told in seen.running.values()]
        shown: dict[str, Any] = {
            "name": _shown(camera.name),
            "state": str(health.state),
            "reason": self.hide(health.reason),
            "seconds": round(max(0.0, now - health.since), 1) if health.since else None,
            "frames": 0 if seen is None else seen.version,
            "fps": round(camera.rate, 1),
            "latency": round(sorted(late)[len(late) // 2], 4) if late else None,
            "dropped": 0 if result is None else result.dropped,
            "refused": sum(health.refused.values()),
            "reconnects": sum(health.reconnects.values()),
            "running": [{"label": label, "started": iso(started)} for label, started in running],
            "labels": [] if result is None else list(result.prediction.labels),
            "label": None,
            "confidence": None,
            "top": [],
            "unknown": False,
            "repetitions": None,
            "width": None,
            "height": None,
        }
        if result is not None:
            shown["height"], shown["width"] = result.frame.image.shape[:2]
            if health.state is SourceState.live:  # of a camera that says nothing, nothing is known
                top = [(label, _finite(score)) for label, score in result.prediction.top(5)]
                shown |= {"label": top[0][0], "confidence": top[0][1], "top": top} if top else {}
                shown["unknown"] = result.unknown
                shown["repetitions"] = result.repetitions
        return shown

    def hide(self, text: str) -> str:
        """The text without the secrets, should one have found its way there."""
        return redact(text, self.secrets)


class SourceCamera:
    """The source of ``streamrec run`` as a camera; it counts its own rate."""

    def __init__(self, source: Any) -> None:
        self.name: str = source.name
        self._source = source
        self._times: deque[float] = deque(maxlen=1000)

    def count(self) -> None:
        """One more result."""
        self._times.append(time.monotonic())

    @property
    def health(self) -> Health:
        """As the source says it."""
        health: Health = self._source.health
        if not health.since and self._times:  # it says nothing, and pictures come
            return replace(health, state=SourceState.live)
        return health

    @property
    def rate(self) -> float:
        """Results a second, over the last five seconds."""
        now = time.monotonic()
        times = [when for when in tuple(self._times) if now - when < _RECENT]
        return len(times) / max(min(_RECENT, now - times[0]), 0.1) if times else 0.0


def _finite(value: float) -> float | None:
    return round(float(value), 4) if math.isfinite(value) else None

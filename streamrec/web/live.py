"""The live state: written by the recognizing thread, read by the page's threads; the writer waits for no reader.

``LiveState`` is a sink. ``write`` keeps a reference to the newest result and one row of scores, and returns; JPEG,
JSON and sockets are the work of other threads, on demand.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from streamrec.core.redact import redact
from streamrec.core.zones import Corner
from streamrec.errors import HistoryError
from streamrec.events.places import PlaceSettings
from streamrec.outputs.arming import ArmingService
from streamrec.outputs.fleet.cameras import RemoteCamera
from streamrec.outputs.history.records import Entry, iso
from streamrec.outputs.history.store import History
from streamrec.outputs.history.vectors import Similar
from streamrec.outputs.overlay import doing_of
from streamrec.outputs.sink import Sink
from streamrec.teach.corrections.corrector import Corrections
from streamrec.teach.corrections.records import Correction
from streamrec.types import Frame, Health, ModelResult, Person, Result, SourceState
from streamrec.web.roles import Identity
from streamrec.web.score_history import ScoreHistory

EVENTS_PER_PAGE = 100
_ALIVE = 10.0  # seconds: a recognition loop silent for longer is reported as not running
_RECENT = 5.0  # seconds over which frame rate and latency are measured


class WatchedCamera(Protocol):
    """A camera as the page shows it: ``pipeline.watcher.Camera`` is one."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def health(self) -> Health:
        """Its health now."""

    @property
    def rate(self) -> float:
        """Results per second."""


def json_bytes(value: object) -> bytes:
    r"""JSON in UTF-8. A lone surrogate (from a file name that is not UTF-8) becomes a question mark, so that one
    camera's name cannot break the answer for all.

    >>> json_bytes({"camera": "T\xfcr caf\udce9"}).decode()
    '{"camera":"Tür caf?"}'
    """
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _shown(name: str) -> str:
    """A camera's name as the page has it."""
    return name.encode("utf-8", "replace").decode()


def event_json(
    entry: Entry, correction: Correction | None = None, *, has_picture: bool = False
) -> dict[str, Any]:
    """An event as the API returns it: ``Entry.to_dict`` with URLs of the page in place of paths on this machine, and
    its correction. ``has_picture``: that of its notification."""
    event = entry.to_dict()
    event["clip"] = f"/api/v1/events/{entry.id}/clip" if entry.clip else None
    event["thumbnail"] = f"/api/v1/events/{entry.id}/thumbnail" if entry.thumbnail or has_picture else None
    event["correction"] = None if correction is None else _correction_json(correction)
    return event


def _correction_json(one: Correction) -> dict[str, Any]:
    return {"id": one.id, "verdict": str(one.verdict), "truth": one.truth, "made": iso(one.made)}


class _CameraState:
    """What is kept of one camera."""

    def __init__(self) -> None:
        self.result: Result | None = None
        self.version = 0  # of the frame: grows with each
        self.scores: dict[str, ScoreHistory] = {}  # by model; "" where there is one
        self.latencies: deque[tuple[float, float]] = deque(maxlen=200)  # time.monotonic(), seconds
        self.running: dict[str, Entry] = {}  # by id


class LiveState(Sink):
    """The newest result of every camera, its scores of the last hour, the cameras' health, and the history.

    ``history``: the one that the dispatcher writes, which then calls ``notify`` after each commit. None: a history in
    memory, written here from the events of results.
    """

    def __init__(
        self,
        history: History | None = None,
        *,
        clock: Callable[[], float] = time.time,
        corrections: Corrections | None = None,
    ) -> None:
        self.corrections = corrections  # None: events cannot be corrected
        self.arming: ArmingService | None = None  # None: there is no history, and nothing is armed or not
        self.reload = threading.Event()  # set when the page has written cameras.toml
        self.recordings: Path | None = None  # the folder of the continuous recordings; None: there are none
        self.secrets: tuple[str, ...] = ()  # never shown
        self.leaves = ""  # what leaves the machine for second opinions, in words
        self.on_change: Callable[[], None] = lambda: None  # called after each frame; must not wait
        self.on_event: Callable[[Entry], None] = lambda entry: None  # called at each start and end
        # Camera, label, and the model where it has several: actions that started.
        self.counts: dict[tuple[str, ...], int] = {}
        self._lock = threading.Lock()  # held for microseconds
        self._states: dict[str, _CameraState] = {}
        self._cameras: tuple[WatchedCamera, ...] = ()
        self._by_name: dict[str, WatchedCamera] = {}
        self._began = self._last_beat = time.monotonic()
        self._own_history: History | None = None
        if history is None:
            history = self._own_history = History(None, clock=clock)
            history.start(lambda announcement: self.notify((announcement.entry,)))
        self.history = history

    # -- called by the recognizing thread

    def beat(self, cameras: Iterable[WatchedCamera]) -> None:
        """The recognition loop runs; these are its cameras now."""
        self._last_beat = time.monotonic()
        cameras = tuple(cameras)
        if cameras == self._cameras:
            return
        self._cameras = cameras
        names = self._by_name = {_shown(camera.name): camera for camera in cameras}
        with self._lock:
            for name in [name for name in self._states if name not in names]:
                del self._states[name]

    def write(self, result: Result) -> None:
        """Take a result."""
        frame = result.frame
        name = _shown(frame.source)
        with self._lock:
            state = self._states.get(name)
            if state is None:
                state = self._states[name] = _CameraState()
            state.result = result
            if not result.repeated:
                state.version += 1
                each = result.each
                if [(one.model, one.prediction.labels) for one in each] != [
                    (model, scores.labels) for model, scores in state.scores.items()
                ]:
                    state.scores = {one.model: ScoreHistory(one.prediction.labels) for one in each}
                for one in each:
                    scores = state.scores[one.model]
                    scores.add(frame.timestamp, frame.segment, one.prediction.probabilities)
                state.latencies.append((time.monotonic(), result.latency))
        if self._own_history is not None and result.events:
            if name != frame.source:
                result = _renamed(result, name)
            self._own_history.note(result)
        self.on_change()

    # -- called by any thread

    def notify(self, entries: Iterable[Entry]) -> None:
        """These entries of the history are new or changed, and committed."""
        for entry in entries:
            with self._lock:
                state = self._states.get(_shown(entry.camera))
                if state is not None and entry.ended is None:
                    if entry.id not in state.running:
                        several = state.result is not None and bool(state.result.models)
                        key = (_shown(entry.camera), entry.label, *([entry.model] if several else []))
                        self.counts[key] = self.counts.get(key, 0) + 1
                    state.running[entry.id] = entry
                elif state is not None:
                    state.running.pop(entry.id, None)
            if self.corrections is not None:
                self.corrections.noted(entry)
            self.on_event(entry)

    def close(self) -> None:
        """End a history in memory."""
        if self._own_history is not None:
            self._own_history.close()

    @property
    def alive(self) -> bool:
        """Whether the recognition loop runs."""
        return time.monotonic() - self._last_beat < _ALIVE

    @property
    def uptime(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._began

    @property
    def names(self) -> tuple[str, ...]:
        """The cameras, in the order of the file."""
        return tuple(_shown(camera.name) for camera in self._cameras)

    def camera(self, name: str) -> WatchedCamera | None:
        """The camera of this name."""
        return self._by_name.get(name)

    def newest(self, name: str) -> tuple[int, Result] | None:
        """The version of a camera's newest frame, and its result; None before the first."""
        with self._lock:
            state = self._states.get(name)
            return None if state is None or state.result is None else (state.version, state.result)

    def doing(self, name: str) -> dict[int, str]:
        """What each person before a camera does, by number."""
        with self._lock:
            state = self._states.get(name)
            running = [] if state is None else list(state.running.values())
        return doing_of((one.person, one.label) for one in running)

    def whole(self, name: str) -> np.ndarray | None:
        """The newest frame (H, W, 3) of a camera, not cropped to its region, without grey."""
        found: np.ndarray | None = None
        source = getattr(self.camera(name), "source", None)
        while source is not None:  # from the outermost wrapper to what it wraps
            whole = getattr(source, "whole", None)
            found = found if whole is None else whole
            source = getattr(source, "source", None)
        newest = self.newest(name)
        return found if found is not None or newest is None else newest[1].frame.image

    def scores(
        self, name: str, model: str = ""
    ) -> tuple[tuple[str, ...], np.ndarray, np.ndarray, np.ndarray] | None:
        """Labels, timestamps (N,), segments (N,), probabilities (N, labels) of the last hour; None without any.

        ``model``: one of several; "": the first, or the only one.
        """
        with self._lock:
            state = self._states.get(name)
            if state is None or not state.scores:
                return None
            found = state.scores.get(model) if model else next(iter(state.scores.values()))
            if found is None:
                return None
            times, segments, scores = found.get()
            return found.labels, times, segments, scores

    def events_with(self, verdict: str | None) -> tuple[list[str] | None, list[str]]:
        """The events with this verdict, None for all; and those that are left out."""
        if verdict is None:
            return None, []
        active = () if self.corrections is None else self.corrections.store.active
        ids = [one.event for one in active if one.event and verdict in (one.verdict, "any", "none")]
        return (None, ids) if verdict == "none" else (ids, [])

    def changed(self, entry: Entry) -> None:
        """An event was corrected, or it is decided whether receivers are notified of it: the page shows it."""
        self.on_event(entry)

    def events_for(
        self, who: Identity, *, camera: str | Iterable[str] | None = None, **conditions: Any
    ) -> list[Entry]:
        """Events as of ``History.query``, of the cameras that a client may see."""
        seen = _seen_by(who, camera)
        found = [] if seen == [] else self.history.query(camera=seen, **conditions)
        return [self._as_seen(who, entry) for entry in found]

    def similar_for(
        self, who: Identity, entry: Entry, *, camera: Iterable[str] | None = None, **conditions: Any
    ) -> Similar:
        """As of ``History.similar``, of the cameras that a client may see."""
        seen = _seen_by(who, camera)
        found = Similar() if seen == [] else self.history.similar(entry, camera=seen, **conditions)
        return replace(found, found=tuple((self._as_seen(who, one), score) for one, score in found.found))

    def entry_for(self, who: Identity, id: str) -> Entry | None:
        """One event; None where there is none, or of a camera that a client may not see."""
        entry = self.history.get(id)
        return self._as_seen(who, entry) if entry is not None and who.sees(entry.camera) else None

    def _as_seen(self, who: Identity, entry: Entry) -> Entry:
        """An event without the ids of events of cameras that a client may not see."""
        if who.cameras is None or not entry.based_on:
            return entry
        found = ((id, self.history.get(id)) for id in entry.based_on)
        return replace(
            entry, based_on=tuple(id for id, one in found if one is not None and who.sees(one.camera))
        )

    def event(self, entry: Entry) -> dict[str, Any]:
        """An event as the API returns it, with its correction. Reads the history, and does without it."""
        correction = None if self.corrections is None else self.corrections.store.of_event(entry.id)
        has_picture = False
        if not entry.thumbnail:
            with suppress(HistoryError):  # what happens now is shown all the same
                has_picture = self.history.pictures.has(entry.id)
        return event_json(entry, correction, has_picture=has_picture)

    def cameras(self) -> list[dict[str, Any]]:
        """Every camera's state, as the API returns it."""
        return [self._camera(camera) for camera in self._cameras]

    def _camera(self, camera: WatchedCamera) -> dict[str, Any]:
        health, now = camera.health, time.monotonic()
        with self._lock:
            state = self._states.get(_shown(camera.name))
            result = None if state is None else state.result
            recent = [] if state is None else [took for at, took in state.latencies if now - at < _RECENT]
            running = [] if state is None else list(state.running.values())
        several = () if result is None else result.models
        live = (
            health.state is SourceState.live
        )  # the last prediction of a camera without frames is not current
        shown: dict[str, Any] = {
            "name": _shown(camera.name),
            "state": str(health.state),
            "reason": self.hide(health.reason),
            "seconds": round(max(0.0, now - health.since), 1) if health.since else None,
            "frames": 0 if state is None else state.version,
            "fps": round(camera.rate, 1),
            "latency": round(sorted(recent)[len(recent) // 2], 4) if recent else None,
            "dropped": 0 if result is None else result.dropped,
            "refused": sum(health.refused.values()),
            "reconnects": sum(health.reconnects.values()),
            "running": [
                {
                    "label": one.label,
                    "started": iso(one.started),
                    **({"model": one.model} if several else {}),
                    **({} if one.person is None else {"person": one.person}),
                }
                for one in running
            ],
            **_prediction_json(None if result is None else result.each[0], live=live),
            "count": result.count if result is not None and live else None,
            "period": _finite(result.period) if result is not None and live and result.period else None,
            "people": _counted_people(result.people or ()) if result is not None and live else [],
            "width": None,
            "height": None,
        }
        if isinstance(camera, RemoteCamera):
            # It is counted where it runs: not each of its results comes here.
            shown["frames"] = camera.counts.recognized
            shown["dropped"] = camera.counts.dropped.get("overload", 0)
            shown["machine"] = camera.machine
            shown["machine_since"] = iso(camera.machine_since) if camera.machine_since else None
        if result is not None:
            shown["height"], shown["width"] = result.frame.image.shape[:2]
        shown |= places_json(getattr(camera, "places", None) or PlaceSettings())
        if (sound := getattr(camera, "sound", None)) is not None:
            shown["sound"] = {
                "model": sound.name,
                "state": str(sound.health.state),
                "reason": self.hide(sound.health.reason),
                "dropped": sound.dropped,
            }
        if several:
            shown["models"] = [{"model": one.model, **_prediction_json(one, live=live)} for one in several]
        return shown

    def hide(self, text: str) -> str:
        """The text with the secrets redacted."""
        return redact(text, self.secrets)


def places_json(places: PlaceSettings) -> dict[str, Any]:
    """Zones and lines in parts of the image that is shown, as the API returns them."""
    places = places.shown
    return {
        "zones": [
            {
                "name": zone.name,
                "corners": _rounded(zone.corners),
                "exclude": zone.exclude,
                "mask": zone.mask,
            }
            for zone in places.zones
        ],
        "lines": [
            {
                "name": line.name,
                "ends": _rounded(line.ends),
                "forward": line.forward,
                "back": line.back,
            }
            for line in places.lines
        ],
    }


def _counted_people(people: Iterable[Person]) -> list[dict[str, Any]]:
    """The counts of each person in the frame of whom something is counted, as the API returns them."""
    return [
        {
            "person": person.id,
            "repetitions": person.repetitions,
            "count": person.count,
            "period": _finite(person.period) if person.period else None,
        }
        for person in people
        if person.repetitions is not None or person.count is not None
    ]


def _rounded(points: Iterable[Corner]) -> list[list[float]]:
    return [[round(x, 4), round(y, 4)] for x, y in points]


def _prediction_json(one: ModelResult | None, *, live: bool) -> dict[str, Any]:
    """A model's newest prediction, as the API returns it; None: there is none yet."""
    shown: dict[str, Any] = {
        "labels": [] if one is None else list(one.prediction.labels),
        "label": None,
        "confidence": None,
        "top": [],
        "unknown": False,
        "repetitions": None,
    }
    if one is not None and live:
        top = [(label, _finite(score)) for label, score in one.prediction.top(5)]
        shown |= {"label": top[0][0], "confidence": top[0][1], "top": top} if top else {}
        shown |= {"unknown": one.unknown, "repetitions": one.repetitions}
    return shown


def _seen_by(who: Identity, camera: str | Iterable[str] | None) -> list[str] | None:
    """The cameras of a query that a client may see; None: all there are. No camera would mean all to the history."""
    asked = None if camera is None else [camera] if isinstance(camera, str) else list(camera)
    if who.cameras is None:
        return asked or None
    return who.seen(who.cameras if asked is None else asked)


def _renamed(result: Result, name: str) -> Result:
    """The same result, of a camera of this name."""
    frame: Frame = replace(result.frame, source=name)
    return replace(result, frame=frame, events=tuple(replace(event, source="") for event in result.events))


class SourceCamera:
    """The source of ``streamrec run`` as a camera; it measures its own rate."""

    def __init__(self, source: Any, sound: Any = None) -> None:
        self.name: str = source.name
        self.sound = sound
        self._source = source
        self._times: deque[float] = deque(maxlen=1000)

    def count(self) -> None:
        """Count a result."""
        self._times.append(time.monotonic())

    @property
    def health(self) -> Health:
        """The source's health; live where the source reports none and results arrive."""
        health: Health = self._source.health
        if not health.since and self._times:
            return replace(health, state=SourceState.live)
        return health

    @property
    def rate(self) -> float:
        """Results per second, over the last five seconds."""
        now = time.monotonic()
        times = [when for when in tuple(self._times) if now - when < _RECENT]
        return len(times) / max(min(_RECENT, now - times[0]), 0.1) if times else 0.0


def _finite(value: float) -> float | None:
    return round(float(value), 4) if math.isfinite(value) else None

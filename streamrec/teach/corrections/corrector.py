"""Corrections of running cameras: each moves thresholds at once, and can be learned from."""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from streamrec.core.context import Closing
from streamrec.core.messages import shortened
from streamrec.errors import SettingsError, WrongValue
from streamrec.events.detector import EventSettings
from streamrec.events.thresholds import with_enters
from streamrec.outputs.history.records import Entry, new_id
from streamrec.runtime.recognizer import Recognizer
from streamrec.teach.corrections.known_events import KnownEvents, known_events
from streamrec.teach.corrections.learned import Change
from streamrec.teach.corrections.lessons import CorrectedMoment, Lesson, learn
from streamrec.teach.corrections.moments import Moment, MomentBuffer
from streamrec.teach.corrections.records import (
    LONGEST_LABEL,
    LONGEST_MISSED,
    Correction,
    Verdict,
    new_correction_id,
)
from streamrec.teach.corrections.store import CorrectionStore
from streamrec.teach.corrections.thresholds import Heights, height_of, moved
from streamrec.teach.corrections.watching import CorrectedRecognizer, Scores, fingerprint, is_same
from streamrec.types import ActionEnded, Frame

MOMENTS_BYTES = 64 << 20  # of events that are not corrected yet
QUIET = 150  # frames of a model without a correction, kept by chance
QUIET_SECONDS = 2.0  # between two of them from one camera
_LONGEST_EVENT = 120.0  # seconds of a moment

Settings = Mapping[str, EventSettings]  # by model


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """The threshold of one label on one camera."""

    camera: str
    model: str
    label: str
    own: float  # as the camera's settings have it
    now: float


@dataclass(slots=True)
class _Watched:
    """One camera."""

    own: dict[str, EventSettings]  # by model, as its settings have them
    labels: dict[str, tuple[str, ...]]
    now: dict[str, EventSettings]
    buffers: dict[str, MomentBuffer] = field(default_factory=dict)
    sampled: float = -1e9  # source time of the last frame that was kept as quiet


class Corrections(Closing):
    """What people say of the events of running cameras, and what follows from it. Thread-safe.

    ``watching`` wraps the recognizer of the cameras, ``camera`` names a camera and its settings, and ``noted`` is given
    each event of the history. ``on_thresholds`` is called with a camera and its settings when they have moved.
    """

    def __init__(
        self,
        store: CorrectionStore,
        *,
        known: Callable[[str], KnownEvents] = known_events,
        clock: Callable[[], float] = time.time,
        seed: int = 0,
    ) -> None:
        """``known``: the true events that a model brings along, by its name."""
        self.store = store
        self.on_thresholds: Callable[[str, Settings], object] = lambda camera, settings: None
        self._known, self._clock = known, clock
        self._lock = threading.Lock()  # held for microseconds
        self._working = threading.RLock()  # held while something is corrected or learned
        self._watched: dict[str, _Watched] = {}
        self._prints: dict[str, np.ndarray] = {}
        self._changes: dict[str, Change] = {}  # replaced whole, never changed
        self._moments: OrderedDict[str, tuple[str, Moment]] = OrderedDict()  # by event: model, moment
        self._moments_bytes = 0
        self._quiet: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}  # by model: features, scores
        self._quiet_seen: dict[str, int] = {}
        self._heights: dict[tuple[Any, ...], float] = {}
        self._rng = np.random.default_rng(seed)

    @classmethod
    def open(cls, folder: str | os.PathLike[str] | None = None, **options: Any) -> Corrections:
        """Corrections that are kept in a folder; None: in memory. ``options``: those of the class."""
        return cls(CorrectionStore(None if folder is None else Path(folder)), **options)

    def close(self) -> None:
        """Close the store; a second time does nothing."""
        self.store.close()

    # -- the recognizing thread

    def watching(self, recognizer: Recognizer) -> Recognizer:
        """The recognizer to use: one that remembers, and predicts what was learned."""
        prints = fingerprint(recognizer)
        changes = {}
        for name, own in prints.items():
            change = self.store.learned(name)
            if change is not None and is_same(change.print, own):
                changes[name] = change
        with self._lock:
            self._prints |= prints
            kept = {name: one for name, one in self._changes.items() if name not in prints}
            self._changes = {**kept, **changes}
        return CorrectedRecognizer(recognizer, lambda: self._changes, self._seen)

    def camera(
        self, name: str, settings: Settings, labels: Mapping[str, tuple[str, ...]]
    ) -> dict[str, EventSettings]:
        """A camera is watched with these settings of each model; they are returned as corrections moved them."""
        with self._working:
            watched = _Watched(dict(settings), dict(labels), dict(settings))
            with self._lock:
                before = self._watched.get(name)
                if before is not None and before.labels == watched.labels:
                    watched.buffers = before.buffers
                self._watched[name] = watched
            watched.now = self._settings(name, watched, self._changes)
            return dict(watched.now)

    def remove(self, name: str) -> None:
        """A camera is no longer watched. Its corrections stay."""
        with self._lock:
            self._watched.pop(name, None)

    def _seen(self, frame: Frame, scores: Scores, features: Scores) -> None:
        wall = self._clock() - (max(0.0, time.monotonic() - frame.captured) if frame.captured else 0.0)
        with self._lock:
            watched = self._watched.get(frame.source)
            if watched is None:
                return
            for model, row in scores.items():
                buffer = watched.buffers.get(model)
                if buffer is None:
                    buffer = watched.buffers[model] = MomentBuffer()
                of = features.get(model)
                kept = buffer.add(frame.timestamp, frame.segment, row, of, wall=wall)
                if kept and abs(frame.timestamp - watched.sampled) >= QUIET_SECONDS and of is not None:
                    self._sample(watched, model, row, of)
            if abs(frame.timestamp - watched.sampled) >= QUIET_SECONDS:
                watched.sampled = frame.timestamp

    def _sample(self, watched: _Watched, model: str, scores: np.ndarray, features: np.ndarray) -> None:
        """Keep a frame in which nothing happens by chance: each has the same (Vitter 1985)."""
        settings = watched.own.get(model)
        labels = watched.labels.get(model, ())
        if settings is None or any(
            score >= settings.of(label).leave
            for label, score in zip(labels, scores, strict=False)
            if label not in settings.background
        ):
            return
        kept = self._quiet.setdefault(model, [])
        seen = self._quiet_seen[model] = self._quiet_seen.get(model, 0) + 1
        row = features[0].astype(np.float16), scores
        if len(kept) < QUIET:
            kept.append(row)
        elif (place := int(self._rng.integers(seen))) < QUIET:
            kept[place] = row

    # -- the history

    def noted(self, entry: Entry) -> None:
        """An event has ended: its seconds are kept, for a later correction."""
        if entry.ended is None or entry.rule is not None:
            return
        with self._lock:
            found = self._cut(entry)
            if found is None:
                return
            self._moments[entry.id] = found
            self._moments_bytes += _bytes(found[1])
            while self._moments_bytes > MOMENTS_BYTES and len(self._moments) > 1:
                _, (_, oldest) = self._moments.popitem(last=False)
                self._moments_bytes -= _bytes(oldest)

    def about(self, event: ActionEnded, camera: str = "") -> Entry:
        """The entry of an event of an app's own stream, to be corrected; its seconds are kept."""
        now = self._clock()
        entry = Entry(
            id=new_id(now), camera=camera, model=event.model, label=event.label, started=now - event.duration,
            ended=now, timestamp=event.started, confidence=event.confidence, repetitions=event.repetitions,
        )  # fmt: skip
        self.noted(entry)
        return entry

    def _cut(self, entry: Entry) -> tuple[str, Moment] | None:
        """The model of an event and its seconds, out of the camera's last minutes."""
        watched = self._watched.get(entry.camera)
        if watched is None or entry.timestamp is None:
            return None
        model = self._model_of(watched, entry.model, entry.label)
        buffer = watched.buffers.get(model)
        if buffer is None:
            return None
        ends = entry.timestamp + min(
            entry.duration if entry.duration is not None else _LONGEST_EVENT, _LONGEST_EVENT
        )
        moment = buffer.cut(entry.timestamp, ends)
        if moment is None:
            return None
        return model, replace(moment, print=self._prints.get(model, moment.print))

    @staticmethod
    def _model_of(watched: _Watched, model: str, label: str) -> str:
        """The model that an event is of; an event of the only model may not name it."""
        if model in watched.labels:
            return model
        return next((name for name, labels in watched.labels.items() if label in labels), model)

    # -- corrections

    def correct(self, entry: Entry, verdict: Verdict | str, truth: str = "") -> Correction:
        """Keep a person's verdict on an event, and move the thresholds of its camera; raises ``StreamrecError``.

        ``truth``: what it was, where the verdict is ``other``. An earlier correction of it is replaced.
        """
        verdict = _verdict(verdict)
        if entry.rule is not None:
            raise WrongValue("a rule reports it: correct the events that it is based on, or change the rule")
        if verdict is Verdict.missed:
            raise WrongValue("an event that is there was not missed: say right, wrong or other")
        truth = _label(truth, "what it was") if verdict is Verdict.other else ""
        with self._working:
            with self._lock:
                found = self._moments.get(entry.id) or self._cut(entry)
                watched = self._watched.get(entry.camera)
            former = self.store.of_event(entry.id)
            if found is None and former is not None and (moment := self.store.moment(former.id)) is not None:
                found = former.model, moment
            model = entry.model if watched is None else self._model_of(watched, entry.model, entry.label)
            now = self._clock()
            correction = Correction(
                id=new_correction_id(now), made=now, verdict=verdict, camera=entry.camera, model=model,
                label=entry.label, truth=truth, event=entry.id, started=entry.started,
                ended=entry.started if entry.ended is None else entry.ended, confidence=entry.confidence,
                moment=found is not None,
            )  # fmt: skip
            self.store.add(correction, None if found is None else found[1])
            self._move(entry.camera)
            return correction

    def missed(self, camera: str, label: str, started: float, ended: float, model: str = "") -> Correction:
        """Keep that there was an action from a time to another (seconds since 1970) and no event of it.

        Raises ``StreamrecError`` for a camera, a model or a label that is not known.
        """
        label = _label(label, "what was missed")
        if not (0 < ended - started <= LONGEST_MISSED):
            raise WrongValue(
                f"from {started} to {ended}: give up to {LONGEST_MISSED:g} seconds, the start first"
            )
        with self._working:
            with self._lock:
                watched = self._watched.get(camera)
                if watched is None:
                    raise SettingsError(f"there is no camera {shortened(camera)} here")
                if model and model not in watched.labels:
                    raise SettingsError(f"{shortened(model)} does not watch {shortened(camera)}")
                model = model or self._model_of(watched, "", label)
                if not model:
                    model = next(iter(watched.labels))
                buffer = watched.buffers.get(model)
                times = None if buffer is None else (buffer.time_of(started), buffer.time_of(ended))
                moment = None
                if buffer is not None and times is not None and None not in times:
                    moment = buffer.cut(*times)  # type: ignore[arg-type]
                if moment is not None:
                    moment = replace(moment, print=self._prints.get(model, moment.print))
            now = self._clock()
            correction = Correction(
                id=new_correction_id(now), made=now, verdict=Verdict.missed, camera=camera, model=model,
                label=label, started=started, ended=ended, moment=moment is not None,
            )  # fmt: skip
            self.store.add(correction, moment)
            self._move(camera)
            return correction

    def undo(self, id: str) -> Correction | None:
        """Take a correction back; None where there is no such one. The thresholds move back."""
        with self._working:
            correction = self.store.undo(id)
            if correction is not None:
                self._move(correction.camera)
            return correction

    # -- thresholds

    @property
    def thresholds(self) -> list[Moved]:
        """Those that have moved."""
        with self._lock:
            cameras = dict(self._watched)
        return [
            Moved(
                camera=name, model=model, label=label, own=own.of(label).enter,
                now=watched.now[model].of(label).enter,
            )
            for name, watched in cameras.items()
            for model, own in watched.own.items()
            for label in watched.labels.get(model, ())
            if watched.now[model].of(label).enter != own.of(label).enter
        ]  # fmt: skip

    def settings(self, camera: str) -> dict[str, EventSettings]:
        """The event settings in force of a camera, by model."""
        with self._lock:
            watched = self._watched.get(camera)
        if watched is None:
            raise SettingsError(f"there is no camera {shortened(camera)} here")
        return dict(watched.now)

    def _move(self, camera: str) -> None:
        """Move the thresholds of a camera to the corrections by now."""
        watched = self._watched.get(camera)
        if watched is None:
            return
        settings = self._settings(camera, watched, self._changes)
        if settings != watched.now:
            watched.now = settings
            self.on_thresholds(camera, dict(settings))

    def _settings(
        self, camera: str, watched: _Watched, changes: Mapping[str, Change]
    ) -> dict[str, EventSettings]:
        corrections = [one for one in self.store.active if one.camera == camera]
        found = {}
        for model, own in watched.own.items():
            labels = watched.labels.get(model, ())
            enters = {}
            for label in dict.fromkeys(one.label for one in corrections if one.model == model):
                if label in labels and label not in own.background:
                    about = [one for one in corrections if (one.model, one.label) == (model, label)]
                    heights = self._heights_of(about, model, label, labels, own, changes.get(model))
                    enters[label] = moved(own.of(label).enter, heights)
            found[model] = with_enters(own, enters)
        return found

    def _heights_of(
        self,
        corrections: Sequence[Correction],
        model: str,
        label: str,
        labels: tuple[str, ...],
        settings: EventSettings,
        change: Change | None,
    ) -> Heights:
        """The heights of the corrections of a label, and of the true events that the model brings along."""
        found = []
        for one in corrections:
            moment = self.store.moment(one.id)
            if change is not None and one.id in change.heights:
                found.append((one.verdict, change.heights[one.id]))
            elif moment is not None and moment.scores.shape[1] == len(labels):
                found.append((one.verdict, self._height(one.id, moment, labels, settings, label, change)))
            elif one.verdict is not Verdict.missed:
                found.append((one.verdict, one.confidence))
        known: tuple[float, ...] = ()
        if any(one.is_false for one in corrections):
            known = self._known_heights(model, label, labels, settings, change)
        return Heights.of(found, known)

    def _known_heights(
        self,
        model: str,
        label: str,
        labels: tuple[str, ...],
        settings: EventSettings,
        change: Change | None,
    ) -> tuple[float, ...]:
        """The heights of the true events that the model brings along, and reports without a change."""
        known, own = self._known(model), settings.of(label).enter
        found = []
        for n, (name, moment) in enumerate(zip(known.labels, known.moments, strict=True)):
            if name != label or not is_same(moment.print, self._prints.get(model, moment.print)):
                continue
            height = self._height(f"{model} {n}", moment, labels, settings, label, None)
            if height < own:
                continue
            if change is not None:
                height = change.heights.get(str(n), height)
            found.append(height)
        return tuple(found)

    def _height(
        self,
        id: str,
        moment: Moment,
        labels: tuple[str, ...],
        settings: EventSettings,
        label: str,
        change: Change | None,
    ) -> float:
        key = (id, label, settings, "" if change is None else change.id)
        if key not in self._heights:
            if len(self._heights) > 20_000:
                self._heights.clear()
            scores = moment.scores if change is None else moment.changed(change.weight, change.bias)
            self._heights[key] = height_of(moment.times, scores, labels, settings, label)
        return self._heights[key]

    # -- learning

    def learnable(self, model: str) -> list[CorrectedMoment]:
        """The corrections of a model that can be learned from: with the features of their seconds."""
        with self._lock:
            own = self._prints.get(model)
            labels = next((w.labels[model] for w in self._watched.values() if model in w.labels), ())
        found = []
        for one in self.store.active:
            moment = self.store.moment(one.id) if one.model == model and one.label in labels else None
            if (
                moment is not None
                and len(moment.features)
                and moment.scores.shape[1] == len(labels)
                and (own is None or is_same(moment.print, own))
            ):
                found.append(CorrectedMoment(one, moment))
        return found

    @property
    def models(self) -> tuple[str, ...]:
        """The models that watch."""
        with self._lock:
            return tuple(dict.fromkeys(model for one in self._watched.values() for model in one.labels))

    def actions(self, model: str) -> list[str]:
        """The labels of a model that are actions on some camera."""
        with self._lock:
            each = [one for one in self._watched.values() if model in one.labels]
        return list(
            dict.fromkeys(
                label for one in each for label in one.labels[model] if label not in one.own[model].background
            )
        )

    def change(self, model: str) -> Change | None:
        """What was learned and is in force."""
        return self._changes.get(model)

    def learn(self, model: str) -> Lesson:
        """Learn from the corrections of a model's events, and put it in force; raises ``StreamrecError``.

        The lesson has what is reported before and after, on the kept examples. ``unlearn`` takes it back.
        """
        with self._working:
            corrected = self.learnable(model)
            with self._lock:
                watched = {n: w for n, w in self._watched.items() if model in w.labels}
                quiet = list(self._quiet.get(model, ()))
            if not watched:
                raise SettingsError(f"{shortened(model)} watches no camera here")
            labels = next(iter(watched.values())).labels[model]
            settings = {name: one.own[model] for name, one in watched.items()}
            known = self._known(model)
            own = self._prints.get(model)
            if own is not None and any(not is_same(one.print, own) for one in known.moments[:1]):
                known = KnownEvents((), ())
            change, lesson = learn(model, labels, settings, corrected=corrected, quiet=quiet, known=known)
            change = replace(change, print=np.zeros(0, np.float32) if own is None else own)
            now = {
                n: self._settings(n, one, {**self._changes, model: change})[model]
                for n, one in watched.items()
            }
            was = {n: one.now[model] for n, one in watched.items()}
            lesson = lesson.judged(corrected, known, labels, was, now, self._changes.get(model), change)
            change = replace(change, outcome=lesson.to_dict())
            self.store.keep_learned(change)
            self._put(model, change)
            return lesson

    def unlearn(self, model: str) -> bool:
        """Take back what was learned last; what was learned before is in force again. Whether there was any."""
        with self._working:
            if not self.store.undo_learned(model):
                return False
            self._put(model, self.store.learned(model))
            return True

    def _put(self, model: str, change: Change | None) -> None:
        with self._lock:
            others = {name: one for name, one in self._changes.items() if name != model}
            self._changes = others if change is None else {**others, model: change}
        for camera in list(self._watched):
            self._move(camera)


def _bytes(moment: Moment) -> int:
    return moment.scores.nbytes + moment.features.nbytes + moment.times.nbytes


def _verdict(verdict: Verdict | str) -> Verdict:
    try:
        return Verdict(verdict)
    except ValueError as error:
        raise WrongValue(f"{shortened(verdict)} is no verdict: say right, wrong or other") from error


def _label(label: str, what: str) -> str:
    label = label.strip() if isinstance(label, str) else ""
    if not 0 < len(label) <= LONGEST_LABEL or not label.isprintable():
        raise WrongValue(f"{what} has no name: give one of up to {LONGEST_LABEL} letters")
    return label

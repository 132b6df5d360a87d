"""Applies ``cameras.toml`` to a running watcher: adds, changes and removes its cameras, and touches no other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias

from streamrec.commands.correcting import watched
from streamrec.commands.listening import listener_for, listens, load_sound
from streamrec.core.files import Output, keep_inputs
from streamrec.core.memory import give_back
from streamrec.core.messages import shortened, why
from streamrec.core.model_names import names_of
from streamrec.errors import SettingsError
from streamrec.events.detector import EventSettings
from streamrec.events.motion_counts import REPEATING
from streamrec.events.places import PlaceSettings
from streamrec.events.recurrence import RecurrenceSettings
from streamrec.nn.config import ModelConfig
from streamrec.notify.dispatch_settings import DispatchSettings
from streamrec.notify.dispatcher import Dispatcher
from streamrec.notify.rule_runner import ReadyRules
from streamrec.pipeline.listening import Listener
from streamrec.pipeline.senses import fitted_to
from streamrec.pipeline.snapshot import CameraSnapshot
from streamrec.pipeline.watcher import Watcher
from streamrec.runtime.checkpoint import model_file
from streamrec.runtime.joint import pace_notes
from streamrec.runtime.recognizer import Recognizer, configs_of
from streamrec.settings.cameras_file import CameraSettings, WatchFile
from streamrec.settings.resolve import (
    actions_of,
    check_defaults,
    events_by_model,
    notes_on,
    sound_config,
    sound_events,
    source_of,
)
from streamrec.settings.toml import no_such_key
from streamrec.sources.open import file_of
from streamrec.teach.corrections.corrector import Corrections
from streamrec.types import Source

Models: TypeAlias = tuple[str, ...]  # of one camera, as it names them
Watching: TypeAlias = tuple[Models, bool | None]  # and whether each person is judged, as the camera has it


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A camera that can be added at once."""

    settings: CameraSettings
    source: Source
    recognizer: Recognizer
    events: dict[str, EventSettings]  # of each model, by its name
    listener: Listener | None = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a file asks for, prepared beside what runs."""

    file: WatchFile
    after: DispatchSettings
    cameras: tuple[Prepared, ...]  # those that are new or changed
    recognizers: dict[Watching, Recognizer]  # of all that are to run
    notes: list[str]  # probable mistakes
    rules: ReadyRules = field(default_factory=ReadyRules)


class Roster:
    """The cameras of one watcher. ``load`` makes the recognizer of one or several models, which judges each person or
    not; no camera may read what is in ``outputs``."""

    def __init__(
        self,
        watcher: Watcher,
        load: Callable[[Models, bool | None], Recognizer],
        dispatcher: Dispatcher | None = None,
        outputs: Mapping[str, Output] = MappingProxyType({}),
        corrections: Corrections | None = None,
        resume: Callable[[str], CameraSnapshot | None] = lambda name: None,
        load_sound: Callable[[str], Recognizer] = load_sound,
    ) -> None:
        """``resume``: from where a camera goes on; None: it begins anew. ``load_sound``: makes the recognizer of a
        model of sound."""
        self._load_sound = load_sound
        self._watcher = watcher
        self._resume = resume
        self._outputs = outputs
        self._dispatcher = dispatcher
        self._load = load
        self._corrections = corrections
        if corrections is not None:
            corrections.on_thresholds = self._retune
        self._running: dict[str, CameraSettings] = {}
        self._recognizers: dict[Watching, Recognizer] = {}

    def prepare(self, file: WatchFile, after: DispatchSettings) -> Plan:
        """Load and open what the file asks for, and change nothing yet; any thread. Raises ``SettingsError``.

        Every error becomes one, so that no file can end what runs.
        """
        wanted = [camera for camera in file.cameras if camera.enabled]
        recognizers = dict(self._recognizers)
        changed = [camera for camera in wanted if self._running.get(camera.name) != camera]
        cameras = tuple(self._prepare(camera, file, recognizers) for camera in changed)
        kept = {(camera.models, camera.per_person) for camera in wanted}
        recognizers = {key: one for key, one in recognizers.items() if key in kept}
        configs = {
            name: config
            for (names, _), one in recognizers.items()
            for name, config in zip(names, configs_of(one).values(), strict=True)
        }
        check_defaults(file, configs)
        configs |= {
            camera.listen.model: sound_config(camera, file) for camera in wanted if camera.listen is not None
        }
        rules = ReadyRules()
        if self._dispatcher is not None:
            rules = self._dispatcher.prepare_rules(file.rules, [camera.name for camera in wanted])
        return Plan(
            file=file,
            after=after,
            cameras=cameras,
            recognizers=recognizers,
            rules=rules,
            notes=[
                *notes_on(file, configs),
                *_unknown_names(after, file, configs),
                *_vain_places(file, cameras),
                *_that_listen(cameras),
                *self._of_several(cameras, recognizers),
            ],
        )

    def _of_several(
        self, cameras: Iterable[Prepared], recognizers: Mapping[Watching, Recognizer]
    ) -> Iterator[str]:
        """What is to know of models that watch together: once, when they begin to."""
        for key, recognizer in recognizers.items():
            if key not in self._recognizers:
                yield from recognizer.notes
            if any(one.recognizer is recognizer and one.settings.fps is None for one in cameras):
                yield from pace_notes(recognizer)

    def _prepare(
        self, settings: CameraSettings, file: WatchFile, recognizers: dict[Watching, Recognizer]
    ) -> Prepared:
        key = "models" if settings.further else "model"
        models = settings.models
        try:
            keep_inputs(self._outputs, [model_file(model) for model in models])
            watching = models, settings.per_person
            if watching not in recognizers:
                recognizers[watching] = self._load(*watching)
            recognizer = recognizers[watching]
            configs = dict(zip(settings.names, configs_of(recognizer).values(), strict=True))
            events = events_by_model(settings, configs, file)
            key = "address"
            keep_inputs(self._outputs, [file_of(settings.address)])
            source = source_of(settings, recognizer.straight, recognizer.sense)
            fitted_to(source, recognizer)
            key = "listen"
            listener = self._listener(settings, source, file)
        except SettingsError:
            raise
        except Exception as error:
            raise file.error(settings.name, key, why(error)) from error
        return Prepared(
            settings=settings, source=source, recognizer=recognizer, events=events, listener=listener
        )

    def _listener(self, settings: CameraSettings, source: Source, file: WatchFile) -> Listener | None:
        """What listens beside the pictures of a camera; None: nothing does."""
        listen = settings.listen
        if listen is None:
            return None
        keep_inputs(self._outputs, [model_file(listen.model), file_of(listen.address)])
        recognizer = self._load_sound(listen.model)
        return listener_for(
            recognizer,
            listen.name,
            source,
            settings.address,
            own=listen.address,
            events=sound_events(settings, recognizer.config, file),
        )

    def apply(self, plan: Plan) -> str:
        """Add, remove and change cameras; returns what was done as a sentence, "" for nothing.

        A camera that cannot begin is named there, and the others run all the same.
        """
        wanted = {camera.name for camera in plan.file.cameras if camera.enabled}
        gone = [name for name in self._running if name not in wanted]
        changed = [one.settings.name for one in plan.cameras if one.settings.name in self._running]
        if self._dispatcher is not None:
            self._dispatcher.use_rules(plan.rules)
            self._dispatcher.use_arming(plan.file.arming)
        for name in (*gone, *changed):
            self._watcher.remove(name)
            if name in gone and self._dispatcher is not None:
                self._dispatcher.remove(name)
            if name in gone and self._corrections is not None:
                self._corrections.remove(name)
            del self._running[name]
        failed = []
        for one in plan.cameras:
            try:
                self._add(one)
            except Exception as error:
                failed.append(str(plan.file.error(one.settings.name, "it cannot be watched", why(error))))
        self._recognizers = plan.recognizers
        if gone or plan.cameras:
            give_back()
        if failed and not self._running:
            raise SettingsError("; ".join(failed))
        new = [one.settings.name for one in plan.cameras if one.settings.name not in changed]
        parts = (("added", new), ("removed", gone), ("changed", changed))
        done = [f"{what} {', '.join(names)}" for what, names in parts if names]
        return "; ".join([*done, *failed])

    def _retune(self, name: str, events: Mapping[str, EventSettings]) -> None:
        """Thresholds of a camera have moved; called in any thread."""
        for camera in self._watcher.cameras:
            if camera.name == name:
                camera.retune(events)

    def _resumed(self, camera: Prepared) -> CameraSnapshot | None:
        """From where a camera goes on; None: it begins anew, as it does where another model listens now."""
        resume, listener = self._resume(camera.settings.name), camera.listener
        if resume is None or (resume.sound is None) != (listener is None):
            return None
        if resume.sound is not None and listener is not None and not resume.sound.fits(listener.recognizer):
            return None
        return resume

    def _add(self, camera: Prepared) -> None:
        settings = camera.settings
        events = camera.events
        if self._corrections is not None:
            events = watched(self._corrections, settings.name, camera.recognizer, events)
        added = self._watcher.add(
            settings.name,
            camera.source,
            recognizer=camera.recognizer,
            fps=settings.fps,
            still=settings.still,
            count=RecurrenceSettings() if settings.count else None,
            events=events if settings.further or camera.listener else next(iter(events.values())),
            resume=self._resumed(camera),
        )
        if settings.zones or settings.lines:
            added.placed(PlaceSettings(zones=settings.zones, lines=settings.lines, region=settings.region))
        configs = dict(configs_of(camera.recognizer))
        if camera.listener is not None:
            added.listening(camera.listener)
            configs[camera.listener.name] = camera.listener.recognizer.config
            events = {**events, camera.listener.name: camera.listener.events}
        self._running[settings.name] = settings
        if self._dispatcher is not None:
            self._dispatcher.camera(
                settings.name,
                models=actions_of(
                    configs,
                    events,
                    count=settings.count,
                    more=settings.place_labels,
                ),
                live=camera.source.live,
                privacy=settings.privacy,
            )


def _unknown_names(
    after: DispatchSettings, file: WatchFile, configs: Mapping[str, ModelConfig]
) -> Iterator[str]:
    """Cameras, labels and models of webhooks and rules that do not exist: they would wait in vain."""
    labels = [
        *(label for config in configs.values() for label in config.labels),
        *([REPEATING] if any(camera.count for camera in file.cameras) else []),
        *(label for camera in file.cameras for label in camera.place_labels),
    ]
    known = {
        "cameras": [camera.name for camera in file.cameras],
        "labels": [*labels, *(rule.name for rule in file.rules)],
        "models": names_of(tuple(configs)),
    }
    yield from _unknown_in_profiles(file, known["labels"], known["models"])
    for webhook in after.webhooks:
        for key, names in known.items():
            for hint in _hints(getattr(webhook, key), names, key.removesuffix("s")):
                yield f"{file.path.name}: [webhook]: {key}: {hint}"
    for rule in file.rules:
        where = f"{file.path.name}: rule {rule.name!r}: "
        if rule.name in labels:
            yield f"{where}name: an action is called so too; another name keeps them apart"
        for key, pattern in (("when", rule.when), ("then", rule.then), ("also", rule.also)):
            for what, wanted, names in (
                ("label", () if pattern is None else pattern.labels, labels),
                ("model", () if pattern is None else pattern.models, known["models"]),
            ):
                for hint in _hints(wanted, names, what):
                    yield f"{where}{key}: {what}: {hint}"


def _unknown_in_profiles(file: WatchFile, labels: Sequence[str], models: Sequence[str]) -> Iterator[str]:
    """Labels and models of profiles that do not exist: they would notify of nothing."""
    for profile in () if file.arming is None else file.arming.own:
        for pattern in profile.armed:
            for what, wanted, names in (("label", pattern.labels, labels), ("model", pattern.models, models)):
                for hint in _hints(wanted, names, what):
                    yield f"{file.path.name}: arming.profile {profile.name!r}: armed: {what}: {hint}"


def _hints(wanted: Iterable[str], names: Sequence[str], what: str) -> Iterator[str]:
    """A hint for each name that does not exist."""
    for name in wanted:
        if name not in names:
            yield f"{shortened(name)[1:-1]}: {no_such_key(name, tuple(dict.fromkeys(names)), what=what)}"


def _that_listen(cameras: Iterable[Prepared]) -> Iterator[str]:
    """What is to know of cameras that begin to listen."""
    for camera in cameras:
        if camera.listener is not None:
            yield listens(camera.settings.name, camera.listener.name)


def _vain_places(file: WatchFile, cameras: Iterable[Prepared]) -> Iterator[str]:
    """Lines, and zones that report people, of cameras on which people are not followed."""
    for camera in cameras:
        places = [
            *(["line"] if camera.settings.lines else []),
            *(["zone"] if any("people" in zone.report for zone in camera.settings.zones) else []),
        ]
        if places and not camera.recognizer.finds_people:
            where = f"{file.path.name}: camera {camera.settings.name!r}: {' and '.join(places)}"
            yield f"{where}: people are not followed on this camera, so there are no events of it: give --people"

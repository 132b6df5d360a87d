"""Applies ``cameras.toml`` to a running watcher: adds, changes and removes its cameras, and touches no other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from streamrec.core.files import Output, keep_inputs
from streamrec.core.messages import shortened, why
from streamrec.errors import SettingsError
from streamrec.events.detector import EventSettings
from streamrec.nn.config import ModelConfig
from streamrec.notify.dispatcher import Dispatcher, DispatchSettings
from streamrec.pipeline.watcher import Watcher
from streamrec.runtime.checkpoint import model_file
from streamrec.runtime.recognizer import Recognizer
from streamrec.settings.cameras_file import CameraSettings, WatchFile
from streamrec.settings.resolve import check_defaults, events_of, notes_on, source_of
from streamrec.settings.toml import no_such_key
from streamrec.sources.open import file_of
from streamrec.types import Source


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A camera that can be added at once."""

    settings: CameraSettings
    source: Source
    recognizer: Recognizer
    events: EventSettings


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a file asks for, prepared beside what runs."""

    file: WatchFile
    after: DispatchSettings
    cameras: tuple[Prepared, ...]  # those that are new or changed
    recognizers: dict[str, Recognizer]  # of all that are to run
    notes: list[str]  # probable mistakes


class Roster:
    """The cameras of one watcher. ``load`` makes a model's recognizer; no camera may read what is in ``outputs``."""

    def __init__(
        self,
        watcher: Watcher,
        load: Callable[[str], Recognizer],
        dispatcher: Dispatcher | None = None,
        outputs: Mapping[str, Output] = MappingProxyType({}),
    ) -> None:
        self._watcher = watcher
        self._outputs = outputs
        self._dispatcher = dispatcher
        self._load = load
        self._running: dict[str, CameraSettings] = {}
        self._recognizers: dict[str, Recognizer] = {}

    def prepare(self, file: WatchFile, after: DispatchSettings) -> Plan:
        """Load and open what the file asks for, and change nothing yet; any thread. Raises ``SettingsError``.

        Every error becomes one, so that no file can end what runs.
        """
        wanted = [camera for camera in file.cameras if camera.enabled]
        recognizers = dict(self._recognizers)
        changed = [camera for camera in wanted if self._running.get(camera.name) != camera]
        cameras = tuple(self._prepare(camera, file, recognizers) for camera in changed)
        models = {camera.model for camera in wanted}
        recognizers = {name: one for name, one in recognizers.items() if name in models}
        configs = {name: recognizer.config for name, recognizer in recognizers.items()}
        check_defaults(file, configs)
        return Plan(
            file=file,
            after=after,
            cameras=cameras,
            recognizers=recognizers,
            notes=[*notes_on(file, configs), *_unknown_names(after, file, configs)],
        )

    def _prepare(
        self, settings: CameraSettings, file: WatchFile, recognizers: dict[str, Recognizer]
    ) -> Prepared:
        key = "model"
        try:
            keep_inputs(self._outputs, [model_file(settings.model)])
            if settings.model not in recognizers:
                recognizers[settings.model] = self._load(settings.model)
            recognizer = recognizers[settings.model]
            events = events_of(settings, recognizer.config, file)
            key = "address"
            keep_inputs(self._outputs, [file_of(settings.address)])
            source = source_of(settings, recognizer.config.transform.straight)
        except SettingsError:
            raise
        except Exception as error:
            raise file.error(settings.name, key, why(error)) from error
        return Prepared(settings=settings, source=source, recognizer=recognizer, events=events)

    def apply(self, plan: Plan) -> str:
        """Add, remove and change cameras; returns what was done as a sentence, "" for nothing.

        A camera that cannot begin is named there, and the others run all the same.
        """
        wanted = {camera.name for camera in plan.file.cameras if camera.enabled}
        gone = [name for name in self._running if name not in wanted]
        changed = [one.settings.name for one in plan.cameras if one.settings.name in self._running]
        for name in (*gone, *changed):
            self._watcher.remove(name)
            if name in gone and self._dispatcher is not None:
                self._dispatcher.remove(name)
            del self._running[name]
        failed = []
        for one in plan.cameras:
            try:
                self._add(one)
            except Exception as error:
                failed.append(str(plan.file.error(one.settings.name, "it cannot be watched", why(error))))
        self._recognizers = plan.recognizers
        if failed and not self._running:
            raise SettingsError("; ".join(failed))
        new = [one.settings.name for one in plan.cameras if one.settings.name not in changed]
        parts = (("added", new), ("removed", gone), ("changed", changed))
        done = [f"{what} {', '.join(names)}" for what, names in parts if names]
        return "; ".join([*done, *failed])

    def _add(self, camera: Prepared) -> None:
        settings = camera.settings
        self._watcher.add(
            settings.name,
            camera.source,
            recognizer=camera.recognizer,
            fps=settings.fps,
            still=settings.still,
            events=camera.events,
        )
        self._running[settings.name] = settings
        if self._dispatcher is not None:
            self._dispatcher.camera(
                settings.name,
                model=camera.recognizer.name,
                live=camera.source.live,
                actions=[r for r in camera.recognizer.labels if r not in camera.events.background],
                privacy=settings.privacy,
            )


def _unknown_names(
    after: DispatchSettings, file: WatchFile, configs: Mapping[str, ModelConfig]
) -> Iterator[str]:
    """Cameras and labels of webhooks that do not exist: their receiver would wait in vain."""
    known = {
        "cameras": [camera.name for camera in file.cameras],
        "labels": [label for config in configs.values() for label in config.labels],
    }
    for webhook in after.webhooks:
        for key, names in known.items():
            for name in getattr(webhook, key):
                if name not in names:
                    hint = no_such_key(name, tuple(dict.fromkeys(names)), what=key.removesuffix("s"))
                    yield f"{file.path.name}: [webhook]: {key}: {shortened(name)[1:-1]}: {hint}"

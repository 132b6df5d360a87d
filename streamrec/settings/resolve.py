"""Which settings are in force, decided in one place: the watcher, the page, its previews and its edits all ask here.

An option of the command line overrides the tuned file, which is about one model alone. In ``cameras.toml`` a camera's
own table overrides ``[defaults]``, that overrides the tuned file, and that overrides the model's own settings. A
setting that is refused here is refused at the start, when the file changes, and on the page, with the same sentence.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from streamrec.core.messages import shortened, why
from streamrec.errors import SettingsError, StreamrecError
from streamrec.events.detector import EventSettings
from streamrec.events.motion_counts import REPEATING
from streamrec.nn.config import ModelConfig
from streamrec.pipeline.motion_gate import MotionGate
from streamrec.runtime.checkpoint import find_model, read_config
from streamrec.runtime.people import find_people_anyway, judge_better_per_person
from streamrec.settings.cameras_file import CameraSettings, WatchFile, read_watchfile
from streamrec.settings.toml import no_such_key
from streamrec.settings.tuned_file import Tuned
from streamrec.sources.open import open_source
from streamrec.sources.synthetic import World
from streamrec.sources.wrappers import Region, Zones
from streamrec.types import SOUND, VIDEO, Source


@dataclass(frozen=True, kw_only=True)
class Running:
    """Settings with which one model runs."""

    model: str
    engine: str = "auto"
    device: str = "auto"
    threads: int | None = None
    fps: float | None = None  # None: the sampling rate that the model learned


def resolve(given: Running, tuned: Tuned) -> Running:
    """How ``streamrec run`` runs its model; ``tuned`` holds no key that an option gives.

    >>> resolve(Running(model="fight", engine="onnx"), Tuned(model="fall", fps=5.0)).model
    'fall'
    """
    return Running(
        model=tuned.model or given.model,
        engine=tuned.engine or given.engine,
        device=tuned.device or given.device,
        threads=tuned.threads or given.threads,
        fps=tuned.fps or given.fps,
    )


@dataclass(frozen=True, kw_only=True)
class Following:
    """Whether people are followed, and judged each on their own."""

    people: bool = False
    per_person: bool = False


def follows(models: Sequence[str], people: bool | None, per_person: bool | None) -> Following:
    """What is done about people where these models watch one source; None: as is best with these models.

    Each person can be judged only where people are followed; to judge them they are followed.

    >>> follows(["webcam"], None, None), follows(["webcam"], False, None)
    (Following(people=True, per_person=True), Following(people=False, per_person=False))
    """
    if per_person is None:
        per_person = people is not False and judge_better_per_person(models)
    if people is None:
        people = per_person or find_people_anyway(models)
    return Following(people=people or per_person, per_person=per_person)


@dataclass(frozen=True, kw_only=True)
class InForce:
    """The settings of the cameras of one file: from the file, the environment, the tuned file and the options."""

    path: Path
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    tuned: Tuned = field(default_factory=Tuned)
    engine: str = "auto"
    device: str = "auto"
    threads: int | None = None

    @property
    def default_model(self) -> str:
        """The model of a camera that names none, where the defaults name none either."""
        return self.tuned.default_model

    def read(self, text: str | None = None, path: Path | None = None) -> WatchFile:
        """The file, or what it would be with this text; raises ``SettingsError``."""
        return read_watchfile(path or self.path, self.environment, self.tuned, text)

    def running(self, model: str) -> Running:
        """How a model runs that watches alone; the tuned file counts for its own model alone."""
        given = Running(model=model, engine=self.engine, device=self.device, threads=self.threads)
        return resolve(given, self.tuned) if model == self.default_model else given


def events_of(camera: CameraSettings, config: ModelConfig, file: WatchFile) -> EventSettings:
    """The event settings of a camera with one model, of this config; raises ``SettingsError``."""
    return events_by_model(camera, {camera.names[0]: config}, file)[camera.names[0]]


def events_by_model(
    camera: CameraSettings, configs: Mapping[str, ModelConfig], file: WatchFile
) -> dict[str, EventSettings]:
    """The event settings of each of a camera's models, by the model's name; raises ``SettingsError``."""
    labels = tuple(dict.fromkeys(label for config in configs.values() for label in config.labels))
    own = dict(camera.events)
    if "by_label" not in camera.inherited:
        _check_labels(own, labels, "", camera, file)
    for name, table in () if "by_model" in camera.inherited else camera.by_model:
        key = f"by_model: {shortened(name)[1:-1]}"
        if camera.listen is not None and name == camera.listen.name:
            continue  # ``sound_events`` checks it
        if name not in configs:
            raise file.error(camera.name, key, no_such_key(name, tuple(configs), what="model of this camera"))
        _check_labels(dict(table), configs[name].labels, f"{key}: ", camera, file)
    found = {}
    for name, config in configs.items():
        key = f"by_model: {name}" if name in dict(camera.by_model) else "thresholds"
        try:
            found[name] = camera.event_settings(config.events, name)
            key = "still"
            if camera.still is not None:
                MotionGate(camera.still, most=config.max_gap)  # it may be too long for the model
        except StreamrecError as error:
            raise file.error(camera.name, key, error) from error
    return found


def sound_events(camera: CameraSettings, config: ModelConfig, file: WatchFile) -> EventSettings:
    """The event settings of the model of sound, of this config, that listens beside a camera's pictures.

    The camera's own settings are of its pictures; of the sound are those below ``by_model`` and its name. Raises
    ``SettingsError``, also for a model that takes no sound.
    """
    assert camera.listen is not None
    name = camera.listen.name
    if config.transform.sense != SOUND:
        raise file.error(camera.name, "listen", f"{name} takes {config.transform.described}, and not sound")
    own = dict(dict(camera.by_model).get(name, ()))
    key = f"by_model: {shortened(name)[1:-1]}"
    _check_labels(own, config.labels, f"{key}: ", camera, file)
    try:
        return replace(config.events, **own)
    except StreamrecError as error:
        raise file.error(camera.name, key, error) from error


def sound_config(camera: CameraSettings, file: WatchFile) -> ModelConfig:
    """The config of the model of sound of a camera that listens; raises ``SettingsError``."""
    assert camera.listen is not None
    try:
        return model_config(camera.listen.model)
    except StreamrecError as error:
        raise file.error(camera.name, "listen", error) from error


def actions_of(
    configs: Mapping[str, ModelConfig],
    events: Mapping[str, EventSettings] = MappingProxyType({}),
    *,
    count: bool = False,
    more: Sequence[str] = (),
) -> dict[str, list[str]]:
    """The labels of each model that are actions, by the model's name; ``events``: in place of the models' own.

    With ``count`` sets of repetitions too, and ``more``, of zones and lines: of the only model, or of none.
    """
    found = {
        name: [label for label in config.labels if label not in events.get(name, config.events).background]
        for name, config in configs.items()
    }
    further = [*([REPEATING] if count else []), *more]
    if further:
        found.setdefault(next(iter(found)) if len(found) == 1 else "", []).extend(further)
    return found


def source_of(camera: CameraSettings, size: tuple[int, int] | None, sense: str = VIDEO) -> Source:
    """A camera's source, of which nothing is read yet; raises ``StreamrecError``.

    ``size``: of a model that may be the only reader of the frames, so that they can be decoded at its size. ``sense``:
    of its model.
    """
    source = open_source(camera.address, retries=None, size=size, sense=sense)
    needs_pictures = (camera.region, camera.still, *camera.zones, *camera.lines)
    if source.sense != VIDEO and (camera.count or any(one is not None for one in needs_pictures)):
        raise SettingsError(
            "it has no pictures: region, zones, lines, still and count are for video; leave them out"
        )
    if isinstance(source, World):  # it stands for a camera
        source = World(replace(source.settings, live=True))
    if any(zone.mask for zone in camera.zones):  # they are parts of the whole frame
        source = Zones(source, camera.zones)
    return source if camera.region is None else Region(source, camera.region)


def check_defaults(file: WatchFile, configs: Mapping[str, ModelConfig]) -> None:
    """Raise ``SettingsError`` for a label or a model of ``[defaults]`` that no camera has.

    The model of a camera that is switched off may not have been read: then nothing is refused. ``configs``: by the
    models as the cameras name them.
    """
    if not all(camera.enabled and set(camera.models) <= set(configs) for camera in file.cameras):
        return
    known = dict.fromkeys(label for config in configs.values() for label in config.labels)
    sounds = [camera.listen.name for camera in file.cameras if camera.listen is not None]
    models = tuple(dict.fromkeys([*(name for camera in file.cameras for name in camera.names), *sounds]))
    for camera in file.cameras:
        for name, _ in camera.by_model if "by_model" in camera.inherited else ():
            if name not in models:
                where = f"{file.path.name}: [defaults]: by_model: {shortened(name)[1:-1]}"
                raise SettingsError(f"{where}: {no_such_key(name, models, what='model of the cameras')}")
        for label, _ in dict(camera.events).get("by_label", ()) if "by_label" in camera.inherited else ():
            if label not in known:
                where = f"{file.path.name}: [defaults]: by_label: {shortened(label)[1:-1]}"
                raise SettingsError(f"{where}: {_no_label(label, known)}")


def notes_on(file: WatchFile, configs: Mapping[str, ModelConfig]) -> list[str]:
    """Warnings about probable typing errors: background labels that a camera's model does not have."""
    notes = []
    for camera in file.cameras:
        if not set(camera.models) <= set(configs) or "background" in camera.inherited:
            continue
        labels = tuple(label for model in camera.models for label in configs[model].labels)
        for label in dict(camera.events).get("background", ()):
            if label not in labels:
                where = f"{file.path.name}: camera {camera.name!r}: background: {shortened(label)[1:-1]}"
                notes.append(f"{where}: {_no_label(label, labels)}; it is passed over")
    return notes


def check(file: WatchFile, cameras: Iterable[CameraSettings] | None = None) -> None:
    """Raise ``SettingsError`` for the settings of a camera that is switched on and could not start."""
    configs: dict[str, ModelConfig] = {}
    for camera in file.cameras if cameras is None else cameras:
        if camera.enabled:
            found = configs_of(camera, file)
            configs |= dict(zip(camera.models, found.values(), strict=True))
            events_by_model(camera, found, file)
            if camera.listen is not None:
                sound_events(camera, sound_config(camera, file), file)
    check_defaults(file, configs)


def config_of(camera: CameraSettings, file: WatchFile) -> ModelConfig:
    """The config of a camera's first model, read without its weights; raises ``SettingsError``."""
    return next(iter(configs_of(camera, file).values()))


def configs_of(camera: CameraSettings, file: WatchFile) -> dict[str, ModelConfig]:
    """The config of each of a camera's models, by its name; raises ``SettingsError``."""
    key = "models" if camera.further else "model"
    found = {}
    for name, model in zip(camera.names, camera.models, strict=True):
        try:
            found[name] = model_config(model)
        except StreamrecError as error:
            raise file.error(camera.name, key, error) from error
    return found


def model_config(model: str) -> ModelConfig:
    """The config of a model, read once for as long as its file stays as it is; raises ``StreamrecError``."""
    path = find_model(model)
    try:
        found = path.stat()
    except OSError as error:
        raise SettingsError(f"the model {path} cannot be read: {why(error)}") from error
    return _read(path, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=32)
def _read(path: Path, changed: int, size: int) -> ModelConfig:
    from streamrec.core.graph_check import check_graph

    return read_config(path, graph_metadata=lambda at: check_graph(at.read_bytes(), at.name).metadata)


def _check_labels(
    table: Mapping[str, Any], labels: Sequence[str], where: str, camera: CameraSettings, file: WatchFile
) -> None:
    """Raise ``SettingsError`` for a label below ``by_label`` of a table that is not among these."""
    for label, _ in table.get("by_label", ()):
        if label not in labels:
            raise file.error(
                camera.name, f"{where}by_label: {shortened(label)[1:-1]}", _no_label(label, labels)
            )


def _no_label(label: str, labels: Iterable[str]) -> str:
    return no_such_key(label, tuple(labels), what="label of the model")

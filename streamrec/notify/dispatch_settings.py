"""What happens after an event: the tables of cameras.toml about it, with the options of the command over them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from streamrec.core.reading import path_of
from streamrec.core.redact import redact, secrets_of
from streamrec.errors import SettingsError, StreamrecError
from streamrec.events.arming import ArmingRules
from streamrec.notify import apprise, frigate, http_trigger, ntfy, receivers  # noqa: F401 (they register tables)
from streamrec.notify.http_client import check_url
from streamrec.notify.mqtt import MqttSettings
from streamrec.notify.opinion_settings import OpinionSettings
from streamrec.notify.webhook import WebhookSettings
from streamrec.outputs.history.store import HistorySettings
from streamrec.outputs.plugins import SinkSettings, settings_of
from streamrec.settings.cameras_file import WatchFile
from streamrec.settings.evidence import EvidenceSettings
from streamrec.settings.recording import RecordingSettings
from streamrec.settings.stream import StreamSettings
from streamrec.teach.corrections.store import folder_beside


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifySettings:
    """The ``[notify]`` table of cameras.toml: what holds for all receivers that have no key of their own."""

    public_url: str = ""  # at which the page is reached, for links in notifications

    def __post_init__(self) -> None:
        if self.public_url:
            check_url(self.public_url, "public_url")


@dataclass(frozen=True, kw_only=True)
class DispatchSettings:
    """What happens after an event; None and empty: nothing of that kind."""

    history: HistorySettings | None = None
    evidence: EvidenceSettings | None = None
    webhooks: tuple[WebhookSettings, ...] = ()
    mqtt: MqttSettings | None = None
    further: tuple[Any, ...] = ()  # settings of other receivers, as ``receivers.KINDS`` has them
    opinion: OpinionSettings | None = None
    sinks: tuple[SinkSettings, ...] = ()
    stream: StreamSettings | None = None
    recording: RecordingSettings | None = None  # continuous
    # A change of it counts at once (``Dispatcher.use_arming``), and makes no other settings.
    arming: ArmingRules | None = field(default=None, compare=False)
    record: Path | None = None  # the folder of the flight recorder
    record_pictures: str = "input"
    record_gb: float = 1.0
    keep_open: bool = False  # what runs is known to other processes, and goes on when this one ends
    # Never logged. Camera passwords are among them, but do not make other settings.
    secrets: tuple[str, ...] = field(default=(), repr=False, compare=False)

    @property
    def keeps_pictures(self) -> bool:
        """Whether each picture goes on, and not only the newest one where it is shown."""
        return bool(self.evidence or self.stream or self.recording or self.sinks)

    @classmethod
    def of(cls, file: WatchFile) -> DispatchSettings:
        """From the tables of cameras.toml; raises ``SettingsError``."""
        history = file.settings("history", HistorySettings)
        evidence = file.settings("evidence", EvidenceSettings)
        mqtt = file.settings("mqtt", MqttSettings)
        opinion = file.settings("opinion", OpinionSettings)
        stream = file.settings("stream", StreamSettings)
        recording = file.settings("recording", RecordingSettings)
        settings = cls(
            history=history[0] if history else None,
            evidence=evidence[0] if evidence else None,
            webhooks=tuple(file.settings("webhook", WebhookSettings)),
            mqtt=mqtt[0] if mqtt else None,
            further=tuple(
                one for table, kind in receivers.KINDS.items() for one in file.settings(table, kind.settings)
            ),
            opinion=opinion[0] if opinion else None,
            sinks=tuple(_sinks(file)),
            stream=stream[0] if stream else None,
            recording=recording[0] if recording else None,
            arming=file.arming,
            secrets=file.secrets,
        )
        for notify in file.settings("notify", NotifySettings):
            settings = settings._with_links(notify.public_url)
        return settings.with_history_beside(file.path) if settings.needs_history else settings

    def _with_links(self, public_url: str) -> DispatchSettings:
        """The same settings, with links to this address by all receivers that have none of their own."""

        def linked(one: Any) -> Any:
            return replace(one, public_url=public_url) if getattr(one, "public_url", None) == "" else one

        return replace(
            self,
            webhooks=tuple(map(linked, self.webhooks)),
            mqtt=linked(self.mqtt),
            further=tuple(map(linked, self.further)),
        )

    @property
    def sends_pictures(self) -> bool:
        """Whether a receiver wants the pictures of events."""
        return bool(self.mqtt and self.mqtt.pictures) or any(
            getattr(one, "picture", False) for one in (*self.webhooks, *self.further)
        )

    @property
    def needs_history(self) -> bool:
        """Whether an output is configured that needs a history."""
        return bool(
            self.evidence
            or self.webhooks
            or self.mqtt
            or self.further
            or self.opinion
            or self.arming is not None
        )

    @property
    def needs_pictures(self) -> bool:
        """Whether an output is configured that needs full-size frames."""
        full = self.record and self.record_pictures == "full"
        drawn = self.evidence or self.stream or self.recording
        return bool(drawn or self.opinion or self.sends_pictures or self.sinks or full)

    def with_history_beside(self, path: Path) -> DispatchSettings:
        """The same settings with a history, where there is none: beside this file."""
        if self.history is not None:
            return self
        return replace(self, history=HistorySettings.beside(path))

    @property
    def corrections(self) -> Path | None:
        """The folder of the corrections; None: there is no history, and they are kept in memory."""
        return None if self.history is None else folder_beside(path_of(str(self.history.file)))

    @property
    def outputs(self) -> dict[str, list[Path]]:
        """The files that are written, by their option or table, for ``keep_inputs``."""
        found: dict[str, list[Path]] = {}
        if self.history is not None:
            file = path_of(str(self.history.file))
            found["the history"] = [file, *(file.with_name(f"{file.name}{end}") for end in ("-wal", "-shm"))]
            found["the corrections"] = [folder_beside(file)]
        if self.evidence is not None:
            found["the evidence"] = [path_of(str(self.evidence.folder))]
        if self.recording is not None:
            found["the recording"] = [path_of(str(self.recording.folder))]
        if self.record is not None:
            found["--record"] = [path_of(str(self.record))]
        return found

    def with_options(
        self,
        *,
        history: Path | None = None,
        evidence: Path | None = None,
        privacy: str | None = None,
        sinks: Iterable[str] = (),
        stream: str | None = None,
        recording: Mapping[str, Any] = MappingProxyType({}),
        record: Path | None = None,
        record_pictures: str = "input",
        record_gb: float = 1.0,
    ) -> DispatchSettings:
        """The same settings, with the options of the command call over them."""
        settings = self
        if evidence is not None:
            own = settings.evidence or EvidenceSettings()
            settings = replace(settings, evidence=replace(own, folder=str(evidence)))
        if stream is not None:
            shown = replace(settings.stream, to=stream) if settings.stream else StreamSettings(to=stream)
            settings = replace(settings, stream=shown, secrets=(*settings.secrets, *secrets_of(stream)))
        if recording:
            kept = settings.recording or RecordingSettings()
            settings = replace(settings, recording=replace(kept, **recording))
        if privacy is not None:
            settings = settings.with_privacy(privacy)
        folder = str(Path.cwd())
        settings = replace(
            settings,
            record=record,
            record_pictures=record_pictures,
            record_gb=record_gb,
            sinks=(*settings.sinks, *(SinkSettings(use=use, folder=folder) for use in sinks)),
        )
        if history is not None or (settings.history is None and settings.needs_history):
            file = str(history or HistorySettings().file)
            settings = replace(settings, history=replace(settings.history or HistorySettings(), file=file))
        return settings

    def with_privacy(self, privacy: str) -> DispatchSettings:
        """The same settings, with this privacy of all frames that are kept or sent; raises ``SettingsError``."""
        if self.evidence is None and self.stream is None and self.recording is None:
            raise SettingsError(
                "--privacy is about the evidence, the stream and the recording: give --evidence FOLDER, "
                "--stream ADDRESS or --save FOLDER --segment 10m too"
            )
        return replace(
            self,
            evidence=None if self.evidence is None else replace(self.evidence, privacy=privacy),
            stream=None if self.stream is None else replace(self.stream, privacy=privacy),
            recording=None if self.recording is None else replace(self.recording, privacy=privacy),
        )


def _sinks(file: WatchFile) -> Iterator[SinkSettings]:
    for key, table in file.tables:
        if key == "sink":
            try:
                yield settings_of(table, file.path.absolute().parent)
            except StreamrecError as error:
                raise SettingsError(redact(f"{file.path.name}: [sink]: {error}", file.secrets)) from error

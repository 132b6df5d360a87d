"""What happens after an event: it is kept, and only then told, to everybody who wants to know.

An ``Announcer`` stands between the results and all that is said of them. It is given each result before anybody
else, and nothing that goes wrong in it stops the recognition: it is told in a sentence, once a minute at most.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from streamrec.closing import Closing
from streamrec.core.redact import redact
from streamrec.errors import SettingsError, StreamrecError
from streamrec.evidence import Evidence, EvidenceSettings, Privacy
from streamrec.flight import FlightRecorder
from streamrec.history import Announcement, History, HistorySettings
from streamrec.plugins import SinkSettings, load_sink, settings_of
from streamrec.recognizer import Recognizer
from streamrec.serve.mqtt import RECEIVER, Mqtt, MqttSettings
from streamrec.serve.webhook import Webhook, WebhookSettings
from streamrec.sinks import Sink
from streamrec.types import Health, Result
from streamrec.watchfile import WatchFile

_AGAIN_SECONDS = 60.0  # before the same trouble is told again
_PATIENCE = 1.5  # seconds for what was begun to be written, when it ends
_LAST_SECONDS = 1.0  # for what is due to be sent then


@dataclass(frozen=True, kw_only=True)
class AfterSettings:
    """What is to happen after an event; None and empty: nothing of the kind."""

    history: HistorySettings | None = None
    evidence: EvidenceSettings | None = None
    webhooks: tuple[WebhookSettings, ...] = ()
    mqtt: MqttSettings | None = None
    sinks: tuple[SinkSettings, ...] = ()
    record: Path | None = None  # the folder of the flight recorder
    record_pictures: str = "input"
    record_gb: float = 1.0
    # Never to be told. A camera's password is one too, and changes nothing of what happens after an event.
    secrets: tuple[str, ...] = field(default=(), repr=False, compare=False)

    @classmethod
    def of(cls, file: WatchFile) -> AfterSettings:
        """What the tables of cameras.toml say; raises ``SettingsError``."""
        history = file.settings("history", HistorySettings)
        evidence = file.settings("evidence", EvidenceSettings)
        mqtt = file.settings("mqtt", MqttSettings)
        settings = cls(
            history=history[0] if history else None,
            evidence=evidence[0] if evidence else None,
            webhooks=tuple(file.settings("webhook", WebhookSettings)),
            mqtt=mqtt[0] if mqtt else None,
            sinks=tuple(_sinks(file)),
            secrets=file.secrets,
        )
        if settings.history is None and settings.needs_history:
            beside = file.path.absolute().parent / HistorySettings().file
            settings = replace(settings, history=HistorySettings(file=str(beside)))
        return settings

    @property
    def needs_history(self) -> bool:
        """Whether something is wanted that stands on it."""
        return bool(self.evidence or self.webhooks or self.mqtt)

    @property
    def needs_pictures(self) -> bool:
        """Whether something is wanted that is given whole pictures."""
        return bool(self.evidence or self.sinks or (self.record and self.record_pictures == "full"))

    @property
    def outputs(self) -> dict[str, list[Path]]:
        """What is written, by the option or table that says so, for ``keep_inputs``."""
        found: dict[str, list[Path]] = {}
        if self.history is not None:
            file = Path(self.history.file).expanduser()
            found["the history"] = [file, *(file.with_name(f"{file.name}{end}") for end in ("-wal", "-shm"))]
        if self.evidence is not None:
            found["the evidence"] = [Path(self.evidence.folder).expanduser()]
        if self.record is not None:
            found["--record"] = [self.record.expanduser()]
        return found

    def with_options(
        self,
        *,
        history: Path | None = None,
        evidence: Path | None = None,
        privacy: str | None = None,
        sinks: Iterable[str] = (),
        record: Path | None = None,
        record_pictures: str = "input",
        record_gb: float = 1.0,
    ) -> AfterSettings:
        """The same, with what the command line says in its place."""
        settings = self
        if evidence is not None:
            own = settings.evidence or EvidenceSettings()
            settings = replace(settings, evidence=replace(own, folder=str(evidence)))
        if privacy is not None:
            if settings.evidence is None:
                raise SettingsError("--privacy is about the evidence: give --evidence FOLDER too")
            settings = replace(settings, evidence=replace(settings.evidence, privacy=privacy))
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


def _sinks(file: WatchFile) -> Iterator[SinkSettings]:
    for key, table in file.tables:
        if key == "sink":
            try:
                yield settings_of(table, file.path.absolute().parent)
            except StreamrecError as error:
                raise SettingsError(redact(f"{file.path.name}: [sink]: {error}", file.secrets)) from error


class Announcer(Closing):
    """Keeps and tells what happens, as its settings say. ``tell`` gets sentences for a person, from any thread.

    Raises ``StreamrecError`` where what is wanted cannot be: a damaged history, a folder that is not there.
    """

    def __init__(self, settings: AfterSettings, tell: Callable[[str], None]) -> None:
        self.settings = settings
        self._tell = lambda text: tell(redact(text, settings.secrets))
        self._told: dict[str, float] = {}  # sentence: time.monotonic()
        self._models: dict[str, tuple[str, bool]] = {}  # camera: its model, and whether it is live
        self.history: History | None = None
        self.evidence: Evidence | None = None
        self._couriers: list[Webhook] = []
        self._mqtt: Mqtt | None = None
        self._closed = False
        self._sinks: list[Sink] = []
        self._recorder: FlightRecorder | None = None
        try:
            if settings.record is not None:
                self._recorder = FlightRecorder(
                    settings.record,
                    pictures=settings.record_pictures,
                    max_gb=settings.record_gb,
                    complain=self._tell,
                )
            self._sinks += [load_sink(sink, self.complain) for sink in settings.sinks]
            self._open_history(settings)
        except BaseException:
            self.close()
            raise

    def _open_history(self, settings: AfterSettings) -> None:
        if settings.history is None:
            return
        names = [webhook.receiver for webhook in settings.webhooks]
        for name in names:
            if names.count(name) > 1:
                raise SettingsError(f"there are two of {name}: give each [[webhook]] a name of its own")
        names += [RECEIVER] if settings.mqtt is not None else []
        self.history = History(settings.history.file, keep_days=settings.history.keep_days, receivers=names)
        for webhook in settings.webhooks:
            self._couriers.append(Webhook(webhook, self.history, tell=self._tell))
        if settings.mqtt is not None:
            self._mqtt = Mqtt(settings.mqtt, self.history, tell=self._tell)
        if settings.evidence is not None:
            self.evidence = Evidence(settings.evidence, self.history, told=self._hear, complain=self.complain)
        for one in self.history.recovered:
            self._tell(
                f"{one.entry.camera}: {one.entry.label} ended when streamrec was killed, "
                f"after {one.entry.duration or 0.0:.1f} s or a little more"
            )

    @property
    def wanted(self) -> bool:
        """Whether something is kept or sent on."""
        return bool(self.history or self._sinks or self._recorder)

    def camera(
        self,
        name: str,
        *,
        model: str = "",
        live: bool = True,
        actions: Iterable[str] = (),
        privacy: str = "",
    ) -> None:
        """A camera is watched: what by, for what, and what may be kept of it where that differs from the others'."""
        self._models[name] = model, live
        if self.evidence is not None:
            self.evidence.set_privacy(name, Privacy(privacy) if privacy else None)
        if self._recorder is not None:
            wanted = privacy or (self.settings.evidence.privacy if self.settings.evidence else "full")
            (self._recorder.unseen.discard if wanted == "full" else self._recorder.unseen.add)(name)
        if self._mqtt is not None:
            self._mqtt.camera(name, actions, model)

    def recorded(self, recognizer: Recognizer) -> Recognizer:
        """The recognizer to use in its place: the flight recorder writes down what it does."""
        return recognizer if self._recorder is None else self._recorder.recorded(recognizer)

    def remove(self, name: str) -> None:
        """A camera is watched no more."""
        if self._mqtt is not None:
            self._mqtt.remove(name)

    def health(self, name: str, health: Health) -> None:
        """How a camera is now."""
        if self._mqtt is not None:
            self._mqtt.state(name, health.state)
        if self._recorder is not None:
            self._recorder.health(name, health)

    def write(self, result: Result) -> tuple[Announcement, ...]:
        """Keep what the result says, and pass it on; call it before anybody else is told."""
        told: tuple[Announcement, ...] = ()
        if self.history is not None:
            model, live = self._models.get(result.frame.source, ("", True))
            try:
                told = self.history.record(result, model, live=live)
            except StreamrecError as error:
                self.complain(str(error))
        if self._recorder is not None:
            self._recorder.write(result)
        if self.evidence is not None:
            self.evidence.write(result, told)
        for announcement in told:
            self._hear(announcement)
        for sink in self._sinks:
            sink.write(result)
        return told

    def _hear(self, announcement: Announcement) -> None:
        """Something is on the disk, and waits for its receivers."""
        for courier in self._couriers:
            courier.wake()
        if self._mqtt is not None:
            self._mqtt.hear(announcement)

    def tick(self) -> None:
        """What is to be done although no result comes; call it now and then."""
        if self.history is not None:
            try:
                for announcement in self.history.tick():
                    self._hear(announcement)
            except StreamrecError as error:
                self.complain(str(error))

    def _end_open(self) -> None:
        assert self.history is not None
        for announcement in self.history.end_open():
            self._hear(announcement)

    def _close_couriers(self) -> None:
        """All of them at the same time: whoever is away holds up nobody."""
        ends = time.monotonic() + _LAST_SECONDS
        for courier in self._couriers:
            courier.close(0.0)
        if self._mqtt is not None:
            self._mqtt.close(_LAST_SECONDS)
        for courier in self._couriers:
            courier.close(max(0.0, ends - time.monotonic()))

    def complain(self, sentence: str) -> None:
        """Tell what is wrong, once a minute at most."""
        now = time.monotonic()
        if now - self._told.get(sentence, -_AGAIN_SECONDS) >= _AGAIN_SECONDS:
            self._told[sentence] = now
            self._tell(sentence)

    def close(self) -> None:
        """End what runs, and finish what was begun; a second time does nothing."""
        steps: list[Callable[[], object]] = [sink.close for sink in self._sinks]
        if self._recorder is not None:
            steps.append(self._recorder.close)
        if self.evidence is not None:
            steps.append(partial(self.evidence.close, _PATIENCE))
        if self.history is not None:
            if not self._closed:
                steps.append(self._end_open)  # told before the couriers go
            steps += [self._close_couriers, self.history.close]
        self._closed = True
        for step in steps:
            try:
                step()
            except StreamrecError as error:
                self._tell(str(error))

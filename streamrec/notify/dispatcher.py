"""What happens after an event: it is kept, and only then told, to everybody who wants to know.

An ``Dispatcher`` stands between the results and all that is said of them. It is given each result before anybody
else, and nothing that goes wrong in it stops the recognition: it is told in a sentence, once a minute at most.
The thread that recognizes waits for nothing here: the history writes in a thread of its own, and another one tells
what is written, in order.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from streamrec.core.context import Closing
from streamrec.core.reading import path_of
from streamrec.core.redact import redact
from streamrec.errors import SettingsError, StreamrecError
from streamrec.notify.mqtt import RECEIVER, Mqtt, MqttSettings
from streamrec.notify.receivers import KINDS, Receiver
from streamrec.notify.webhook import Webhook, WebhookSettings
from streamrec.outputs.history.evidence import Evidence
from streamrec.outputs.history.records import Announcement, Entry
from streamrec.outputs.history.store import History, HistorySettings
from streamrec.outputs.plugins import SinkSettings, load_sink, settings_of
from streamrec.outputs.sink import Sink
from streamrec.pipeline.flight_recorder import FlightRecorder
from streamrec.runtime.recognizer import Recognizer
from streamrec.settings.cameras_file import WatchFile
from streamrec.settings.outputs import EvidenceSettings, Privacy
from streamrec.types import Event, Health, Result

_AGAIN_SECONDS = 60.0  # before the same trouble is told again
_SHOWN = "shown"  # what an event needs besides its commit: the result that it came with was passed on
_PATIENCE = 1.5  # seconds for what was begun to be written, when it ends
_LAST_SECONDS = 1.0  # for what is due to be sent then
_WRITE_SECONDS = 2.0  # for what waits to be written then
_HOLD_SECONDS = (
    30.0  # a history that cannot be written for longer holds back nothing: an alarm is told without it
)
_HELD_RESULTS = 16  # results that wait for an event to be kept, for somebody's own sinks


@dataclass(frozen=True, kw_only=True)
class DispatchSettings:
    """What is to happen after an event; None and empty: nothing of the kind."""

    history: HistorySettings | None = None
    evidence: EvidenceSettings | None = None
    webhooks: tuple[WebhookSettings, ...] = ()
    mqtt: MqttSettings | None = None
    further: tuple[Any, ...] = ()  # settings of other receivers, as ``receivers.KINDS`` has them
    sinks: tuple[SinkSettings, ...] = ()
    record: Path | None = None  # the folder of the flight recorder
    record_pictures: str = "input"
    record_gb: float = 1.0
    # Never to be told. A camera's password is one too, and changes nothing of what happens after an event.
    secrets: tuple[str, ...] = field(default=(), repr=False, compare=False)

    @classmethod
    def of(cls, file: WatchFile) -> DispatchSettings:
        """What the tables of cameras.toml say; raises ``SettingsError``."""
        history = file.settings("history", HistorySettings)
        evidence = file.settings("evidence", EvidenceSettings)
        mqtt = file.settings("mqtt", MqttSettings)
        settings = cls(
            history=history[0] if history else None,
            evidence=evidence[0] if evidence else None,
            webhooks=tuple(file.settings("webhook", WebhookSettings)),
            mqtt=mqtt[0] if mqtt else None,
            further=tuple(
                one for table, kind in KINDS.items() for one in file.settings(table, kind.settings)
            ),
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
        return bool(self.evidence or self.webhooks or self.mqtt or self.further)

    @property
    def needs_pictures(self) -> bool:
        """Whether something is wanted that is given whole pictures."""
        return bool(self.evidence or self.sinks or (self.record and self.record_pictures == "full"))

    @property
    def outputs(self) -> dict[str, list[Path]]:
        """What is written, by the option or table that says so, for ``keep_inputs``."""
        found: dict[str, list[Path]] = {}
        if self.history is not None:
            file = path_of(str(self.history.file))
            found["the history"] = [file, *(file.with_name(f"{file.name}{end}") for end in ("-wal", "-shm"))]
        if self.evidence is not None:
            found["the evidence"] = [path_of(str(self.evidence.folder))]
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
        record: Path | None = None,
        record_pictures: str = "input",
        record_gb: float = 1.0,
    ) -> DispatchSettings:
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


@dataclass(frozen=True, slots=True)
class CommittedEvent:
    """An event that may be told now, because it is on the disk."""

    source: str
    event: Event
    entry: Entry  # as the history has it


@dataclass(slots=True, eq=False)
class _Line:
    """What waits in the line of what is to be told: an event, a result for the sinks, or anything to be called."""

    needs: set[str]  # ids of announcements that are not on the disk yet
    tell: Callable[[], object]
    result: Result | None = None  # for the sinks
    camera: str = ""


class Dispatcher(Closing):
    """Keeps and tells what happens, as its settings say. ``log`` gets sentences for a person, from any thread.

    ``write`` is given each result and waits for nothing. With a history, those who asked by ``on_event`` are called
    with each event after its commit, in a thread that does nothing else. Raises ``StreamrecError`` where what is
    wanted cannot be: a damaged history, a folder that is not there.
    """

    def __init__(self, settings: DispatchSettings, log: Callable[[str], None]) -> None:
        self.settings = settings
        self._log = lambda text: log(redact(text, settings.secrets))
        self._told: dict[str, float] = {}  # sentence: time.monotonic()
        self._models: dict[str, tuple[str, bool]] = {}  # camera: its model, and whether it is live
        self.history: History | None = None
        self.evidence: Evidence | None = None
        self._receivers: list[Receiver] = []
        self._closed = False
        self._sinks: list[Sink] = []
        self._recorder: FlightRecorder | None = None
        self._hearers: list[Callable[[CommittedEvent], object]] = []
        # What waits to be told, in order; the first is told when nothing it needs is missing.
        self._line: deque[_Line] = deque()
        self._needing: dict[
            str, list[_Line]
        ] = {}  # id of an announcement that is not on the disk: who needs it
        self._held: deque[_Line] = deque()  # those with results for the sinks
        self._giving = False  # such a one is being passed on
        self._moved = threading.Condition()
        self._teller: threading.Thread | None = None
        self._over = False  # nothing more comes
        self._unkept = False  # events are told that are not kept
        self._not_to_come: set[str] = set()  # ids of what is in the line next, and cannot be kept
        self._error: BaseException | None = None  # of who hears: raised where results are written
        try:
            if settings.record is not None:
                self._recorder = FlightRecorder(
                    settings.record,
                    pictures=settings.record_pictures,
                    max_gb=settings.record_gb,
                    complain=self._log,
                )
            self._sinks += [load_sink(sink, self.warn) for sink in settings.sinks]
            self._open_history(settings)
        except BaseException:
            self.close()
            raise

    def _open_history(self, settings: DispatchSettings) -> None:
        if settings.history is None:
            return
        names = [webhook.receiver for webhook in settings.webhooks]
        for name in names:
            if names.count(name) > 1:
                raise SettingsError(f"there are two of {name}: give each [[webhook]] a name of its own")
        names += [one.receiver for one in settings.further]
        names += [RECEIVER] if settings.mqtt is not None else []
        self.history = History(
            settings.history.file, keep_days=settings.history.keep_days, receivers=names, log=self._log
        )
        for webhook in settings.webhooks:
            self._receivers.append(Webhook(webhook, self.history, log=self._log))
        kinds = {kind.settings: kind for kind in KINDS.values()}
        for one in settings.further:
            self._receivers.append(kinds[type(one)].make(one, self.history, self._log))
        if settings.mqtt is not None:
            self._receivers.append(Mqtt(settings.mqtt, self.history, log=self._log))
        if settings.evidence is not None:
            self.evidence = Evidence(settings.evidence, self.history, on_evidence=self._hear, warn=self.warn)
        for left in self.history.recovered:
            self._log(
                f"{left.entry.camera}: {left.entry.label} ended when streamrec was killed, "
                f"after {left.entry.duration or 0.0:.1f} s or a little more"
            )
        self.history.start(self._kept, unkept=self._not_kept)
        self._teller = threading.Thread(target=self._tell_on, name="announcer", daemon=True)
        self._teller.start()

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
        actions = tuple(actions)
        for receiver in self._receivers:
            receiver.camera(name, actions, model)

    def recorded(self, recognizer: Recognizer) -> Recognizer:
        """The recognizer to use in its place: the flight recorder writes down what it does."""
        return recognizer if self._recorder is None else self._recorder.recorded(recognizer)

    def remove(self, name: str) -> None:
        """A camera is watched no more."""
        for receiver in self._receivers:
            receiver.remove(name)

    def health(self, name: str, health: Health) -> None:
        """How a camera is now."""
        for receiver in self._receivers:
            receiver.state(name, health.state)
        if self._recorder is not None:
            self._recorder.health(name, health)

    def on_event(self, hear: Callable[[CommittedEvent], object]) -> None:
        """With a history: from now on, call this with each event that is kept."""
        self._hearers.append(hear)

    def write(self, result: Result) -> Result:
        """Keep what the result says, and pass it on; the result as it may be shown at once.

        With a history that is the result without its events: these are told when they are on the disk, and when
        the next is written or ``tick`` called, so that they never come before the result itself.
        """
        self.tick()
        noted: tuple[Announcement, ...] = ()
        if self.history is not None:
            noted = self._note(self.history, result)
        if self._recorder is not None:
            self._recorder.write(result)
        if self.evidence is not None:
            self.evidence.write(result, noted)
        self._to_sinks(result, noted)
        return replace(result, events=()) if self.history is not None and result.events else result

    def _note(self, history: History, result: Result) -> tuple[Announcement, ...]:
        source = result.frame.source
        model, live = self._models.get(source, ("", True))
        if not result.events:
            return history.note(result, model, live=live)
        with self._moved:  # in the line before anybody can say that it is kept
            noted = history.note(result, model, live=live)
            for event, one in zip(result.events, noted, strict=True):
                told = CommittedEvent(event.source or source, event, one.entry)
                needs = {_SHOWN} if one.id in self._not_to_come else {one.id, _SHOWN}
                self._append(_Line(needs, partial(self._call, told), camera=source))
            self._not_to_come.clear()
            self._moved.notify_all()
        return noted

    def _append(self, line: _Line) -> None:
        self._line.append(line)
        for id in line.needs:
            self._needing.setdefault(id, []).append(line)

    def _to_sinks(self, result: Result, noted: tuple[Announcement, ...]) -> None:
        """Somebody's own sinks get results in order, each when its events are on the disk."""
        if not self._sinks:
            return
        if self.history is None:
            self._give(result)
            return
        with self._moved:
            if not self._held and not self._giving and not noted:
                self._give(result)
                return
            line = _Line({one.id for one in noted if one.id in self._needing}, lambda: None, result)
            self._append(line)
            self._held.append(line)
            if len(self._held) > _HELD_RESULTS:  # the oldest is left out; its events go on to the next
                oldest, following = self._held.popleft(), self._held[0]
                assert oldest.result is not None and following.result is not None
                events = (*oldest.result.events, *following.result.events)
                following.result = replace(following.result, events=events)
                for id in oldest.needs:
                    following.needs.add(id)
                    self._needing[id].append(following)
                oldest.result = None  # it tells nothing when its turn comes
            self._moved.notify_all()

    def _give(self, result: Result) -> None:
        for sink in self._sinks:
            sink.write(result)

    def in_order(self, camera: str, tell: Callable[[], object], *, last: bool) -> None:
        """Call this after the events of a camera that wait to be told, where it is its ``last`` word for now.

        Anything else is called at once, unless it would overtake such a word.
        """
        with self._moved:
            waits = any(line.camera == camera and (last or not line.needs) for line in self._line)
            if waits:
                self._line.append(_Line(set(), tell, camera=camera))
                self._moved.notify_all()
        if not waits:
            tell()

    # -- the thread that tells

    def _kept(self, announcement: Announcement) -> None:
        """Called by the history's thread: this is on the disk."""
        self._hear(announcement)
        self._free(announcement.id)

    def _not_kept(self, announcement: Announcement) -> None:
        """This cannot be kept; it is told all the same."""
        with self._moved:
            if announcement.id in self._needing:
                self._free(announcement.id)
            else:  # it is about to come into the line
                self._not_to_come.add(announcement.id)

    def _free(self, id: str) -> None:
        with self._moved:
            for line in self._needing.pop(id, ()):
                line.needs.discard(id)
            self._moved.notify_all()

    def _tell_on(self) -> None:
        while True:
            self._look_at_history()
            with self._moved:
                self._moved.wait_for(self._is_something_due, 1.0)
                if not self._line:
                    if self._over:
                        return
                    continue
                if not self._is_something_due():
                    continue
                line = self._line[0]
                if line.needs and line.result is None and not self._unkept:  # it is lost, and that is told
                    self._line.popleft()
                    self._moved.notify_all()
                    continue
                given = line.result
                if given is not None:
                    self._held.popleft()  # it is not left out any more
                    self._giving = True
            try:
                if given is not None:
                    self._give(given)
                else:
                    line.tell()
            except BaseException as error:  # raised where results are written
                self._error = self._error or error
            with self._moved:
                self._line.popleft()
                self._giving = False
                self._moved.notify_all()

    def _is_something_due(self) -> bool:
        return self._over or (bool(self._line) and (self._unkept or not self._line[0].needs))

    def _look_at_history(self) -> None:
        """One that cannot be written for long holds back nothing more."""
        assert self.history is not None
        stuck = self.history.stuck > _HOLD_SECONDS
        if stuck and not self._unkept:
            self._log(
                f"{self.history.path} could not be written for {_HOLD_SECONDS:g} s: "
                "events are told before they are kept, until it can be"
            )
        self._unkept = stuck

    def _call(self, told: CommittedEvent) -> None:
        for hear in self._hearers:
            try:
                hear(told)
            except StreamrecError as error:  # the others hear it all the same
                self._error = self._error or error

    def _raise_error(self) -> None:
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def settle(self, patience: float = _WRITE_SECONDS) -> None:
        """Wait until all that happened is told, for at most so many seconds."""
        self._free(_SHOWN)
        with self._moved:
            self._moved.wait_for(lambda: not self._line, patience)

    def _hear(self, announcement: Announcement) -> None:
        """Something is on the disk, and waits for its receivers."""
        for receiver in self._receivers:
            receiver.notify(announcement)

    def tick(self) -> None:
        """What was written is shown: its events may be told. Call it after each; raises what went wrong in telling."""
        if _SHOWN in self._needing:
            self._free(_SHOWN)
        self._raise_error()

    def _end_open(self) -> None:
        assert self.history is not None
        self.history.end_open()
        self.history.drain(_WRITE_SECONDS)

    def _end_teller(self) -> None:
        """After the history's thread: what is on the disk by now is told, the rest is not."""
        if self._teller is None:
            return
        self._free(_SHOWN)
        with self._moved:
            self._over = True
            self._moved.notify_all()
        self._teller.join(_WRITE_SECONDS)

    def _close_receivers(self) -> None:
        """All of them at the same time: whoever is away holds up nobody."""
        ends = time.monotonic() + _LAST_SECONDS
        for receiver in self._receivers:
            receiver.stop()
        for receiver in reversed(self._receivers):  # MQTT first: it has a last word to send
            receiver.close(max(0.0, ends - time.monotonic()))

    def warn(self, sentence: str) -> None:
        """Tell what is wrong, once a minute at most."""
        now = time.monotonic()
        if now - self._told.get(sentence, -_AGAIN_SECONDS) >= _AGAIN_SECONDS:
            self._told[sentence] = now
            self._log(sentence)

    def close(self) -> None:
        """End what runs, and finish what was begun; a second time does nothing."""
        steps: list[Callable[[], object]] = []
        if self._recorder is not None:
            steps.append(self._recorder.close)
        if self.evidence is not None:
            steps.append(partial(self.evidence.close, _PATIENCE))
        if self.history is not None:
            if not self._closed:
                steps.append(self._end_open)  # told before the couriers go
            steps += [self._close_receivers, partial(self.history.close, _PATIENCE / 3), self._end_teller]
        steps += [sink.close for sink in self._sinks]
        self._closed = True
        for step in steps:
            try:
                step()
            except StreamrecError as error:
                self._log(str(error))

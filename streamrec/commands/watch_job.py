"""What ``streamrec watch`` does: the cameras of a file, recognized for as long as it runs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamrec.commands.correcting import open_corrections
from streamrec.commands.listening import MARK, load_sound
from streamrec.commands.outputs import LinesView, Outputs, PageView, View
from streamrec.commands.reload import Changes, Reload
from streamrec.commands.roster import Plan, Roster
from streamrec.commands.signals import Signals
from streamrec.commands.watch_terminal import DRAW_SECONDS, WatchTerminal
from streamrec.core.files import Output, keep_inputs
from streamrec.core.model_names import is_anomaly
from streamrec.core.redact import redact
from streamrec.errors import SettingsError
from streamrec.notify.dispatch_settings import DispatchSettings
from streamrec.notify.dispatcher import Dispatcher
from streamrec.outputs.plot import EVERY, Plots
from streamrec.pipeline.watcher import Camera, Watcher
from streamrec.runtime.checkpoint import model_file
from streamrec.runtime.joint import open_models
from streamrec.runtime.people import can_find_people, find_people_anyway
from streamrec.runtime.recognizer import Recognizer
from streamrec.settings.cameras_file import WatchFile
from streamrec.settings.resolve import Following, InForce, follows
from streamrec.settings.tuned_file import Tuned
from streamrec.sources.open import file_of
from streamrec.teach.corrections.corrector import Corrections
from streamrec.types import Health, Result, SourceState

if TYPE_CHECKING:
    from streamrec.web.server import WebSettings

_TICK = DRAW_SECONDS  # how often signals are polled when no frame comes
_PATIENCE = 2.0  # seconds that the cameras' threads have to end
_OVER = (SourceState.ended, SourceState.failed)


@dataclass(frozen=True, kw_only=True)
class WatchJob:
    """One run of ``streamrec watch``; the fields are its options."""

    path: Path
    jsonl: str | None = None  # a file that is appended to, or "-"
    after: Mapping[str, Any] = field(default_factory=dict)  # options in place of what the file says
    predictions: bool = False  # into the JSON Lines
    web: WebSettings | None = None  # the page
    max_seconds: float | None = None
    engine: str = "auto"
    device: str = "auto"
    threads: int | None = None  # of one step; None: what suits the model
    people: bool | None = None  # follow them where a camera's models can; None: where they find them anyway
    per_person: bool | None = None  # judge each where a camera's models can; None: where they are as good so
    tuned: Tuned = field(default_factory=Tuned)  # what ``streamrec tune`` found, for cameras of its model
    inputs: tuple[Path, ...] = ()  # files that other options read

    def run(self) -> int:
        """Watch until a signal, ``max_seconds``, or the end of every source that can end; returns the exit code.

        Raises ``SettingsError`` for a file that is wrong at the start. Later on, what is wrong is reported and the
        cameras go on as they were.
        """
        with ExitStack() as stack:
            signals = stack.enter_context(Signals())
            changes = Changes((self.path,))  # before it is read: a change while it is read counts
            file = self.in_force.read()
            changes.follow(file.read)
            after = self.after_events(file)
            if file.rules:
                after = after.with_history_beside(file.path)
            written = {"--jsonl": self.jsonl, **after.outputs}
            cameras = [camera for camera in file.cameras if camera.enabled]
            if after.stream is not None:
                after.stream.check([camera.name for camera in cameras])
            keep_inputs(
                written,
                [
                    self.path,
                    *file.read,
                    *self.inputs,
                    *(file_of(camera.address) for camera in cameras),
                    *(model_file(model) for camera in cameras for model in camera.models),
                    *(model_file(camera.listen.model) for camera in cameras if camera.listen is not None),
                ],
            )
            watching = _Watching(self, file, after, written, stack)
            code = watching.loop(signals, changes)
            watching.finish()
            return code

    @property
    def in_force(self) -> InForce:
        """Which settings the cameras are watched with."""
        return InForce(
            path=self.path,
            tuned=self.tuned,
            engine=self.engine,
            device=self.device,
            threads=self.threads,
        )

    def after_events(self, file: WatchFile) -> DispatchSettings:
        """What happens after an event: as the options say, or else the file."""
        return DispatchSettings.of(file).with_options(**self.after)

    def load(self, *models: str, per_person: bool | None = None) -> Recognizer:
        """The recognizer of one model, or of several that watch together: what was tuned is about one alone.

        ``per_person``: as a camera has it; None: as the option says.
        """
        following = self.follows(models, per_person)
        if len(models) > 1 or is_anomaly(models[0]):  # of which nothing is tuned
            return open_models(
                models,
                engine=self.engine,
                device=self.device,
                threads=self.threads,
                people=following.people,
                per_person=following.per_person,
            )
        running = self.in_force.running(models[0])
        return Recognizer.load(
            models[0],
            engine=running.engine,
            device=running.device,
            threads=running.threads,
            people=following.people,
            per_person=following.per_person,
        )

    def follows(self, models: Sequence[str], per_person: bool | None = None) -> Following:
        """Whether people are followed and judged on cameras with these models: as was asked, where one of them can."""
        people = self.people and can_find_people(models)
        if per_person is None:
            per_person = self.per_person and find_people_anyway(models)
        return follows(models, people, per_person)


class _Watching:
    """The cameras and outputs of one run; opened in the order in which they depend on each other."""

    def __init__(
        self,
        job: WatchJob,
        file: WatchFile,
        after: DispatchSettings,
        written: Mapping[str, Output],
        stack: ExitStack,
    ) -> None:
        self._job = job
        self._over: list[
            tuple[Camera, Health]
        ] = []  # cameras that ended, until their last results are written
        self._reload: Reload | None = None
        terminal = self._terminal = WatchTerminal(file, on_stdout=job.jsonl != "-")
        stack.callback(terminal.close)
        views: list[View] = [terminal]
        if job.jsonl is not None:
            lines = LinesView(
                job.jsonl,
                warn=terminal.log,
                log=terminal.log,
                append=True,
                predictions=job.predictions,
                dated=True,
            )
            stack.callback(lines.close)
            views.append(lines)
        terminal.warn(file)
        self._ruled = bool(file.rules)  # and so there is a history
        self._dispatcher = stack.enter_context(Dispatcher(after, terminal.log, remember=job.web is not None))
        self._live = None
        corrections = open_corrections(after, terminal.log, page=job.web is not None)
        if corrections is not None:
            stack.enter_context(corrections)
        if job.web is not None:
            page = PageView(
                job.web,
                self._dispatcher,
                terminal.log,
                file=job.in_force,
                secrets=terminal.secrets,
                corrections=corrections,
            )
            views.insert(0, stack.enter_context(page))
            self._live = page.live
        self._outputs = Outputs(self._dispatcher, views, terminal=terminal, log=terminal.log)
        self._watcher = Watcher(on_health=self._on_health, on_sound=self._on_sound)
        stack.callback(self._watcher.close, _PATIENCE)  # also after an error
        # Of readings and sound, which have no picture; a file may be read much faster than it is watched.
        self._plots = Plots(self._watcher.sense_of, pause=0.0 if after.keeps_pictures else EVERY)
        self._roster = Roster(
            self._watcher,
            lambda models, per_person: self._loaded(models, per_person, corrections),
            self._dispatcher,
            written,
            corrections,
            load_sound=lambda model: load_sound(model, job.engine, job.device),
        )
        plan = self._roster.prepare(file, after)
        self._report(self._roster.apply(plan) or "no camera is enabled")
        for note in plan.notes:
            terminal.log(note)
        stack.enter_context(terminal.table_shown())

    def _loaded(
        self, models: tuple[str, ...], per_person: bool | None, corrections: Corrections | None
    ) -> Recognizer:
        # What a flight recorder keeps is the model's own: a replay does not know what was learned.
        recognizer = self._dispatcher.recorded(self._job.load(*models, per_person=per_person))
        return recognizer if corrections is None else corrections.watching(recognizer)

    def _report(self, text: str) -> None:
        self._terminal.log(f"{self._job.path.name}: {text}")

    def _on_health(self, camera: Camera, health: Health) -> None:
        # An end is reported after what ended with it; the state of a camera that takes its place, after that.
        if health.state in _OVER or any(one.name == camera.name for one, _ in self._over):
            self._over.append((camera, health))
        else:
            report = partial(self._report_health, camera, health)
            self._dispatcher.in_order(camera.name, report, last=False)

    def _on_sound(self, camera: Camera, health: Health) -> None:
        health = replace(health, reason=redact(health.reason, self._terminal.secrets))
        self._outputs.write_health(f"{camera.name}{MARK}", health)

    def _report_health(self, camera: Camera, health: Health) -> None:
        health = replace(health, reason=redact(health.reason, self._terminal.secrets))
        self._dispatcher.health(camera.name, health)
        self._outputs.write_health(camera.name, health)

    def _write(self, results: list[Result]) -> None:
        for result in results:
            self._outputs.write(self._plots.pictured(result))
        for camera, health in self._over:
            report = partial(self._report_health, camera, health)
            self._dispatcher.in_order(camera.name, report, last=True)
        self._over.clear()
        self._outputs.tick()

    def loop(self, signals: Signals, changes: Changes) -> int:
        """Watch until a signal, ``max_seconds``, or the end of all sources; returns the exit code."""
        limit = self._job.max_seconds
        ends = time.monotonic() + (float("inf") if limit is None else limit)
        while signals.code is None:
            if time.monotonic() >= ends:
                return 0
            began = time.monotonic()
            self._write(self._watcher.step(_TICK))
            cameras = self._watcher.cameras
            self._terminal.refresh(cameras)
            if self._live is not None:
                self._live.secrets = self._terminal.secrets
                self._live.beat(cameras)
                if self._live.reload.is_set():
                    self._live.reload.clear()
                    signals.reload = True
            if cameras and all(camera.health.state in _OVER and not camera.source.live for camera in cameras):
                return int(any(camera.error is not None for camera in cameras))
            self._follow(signals, changes)
            if not cameras:  # all are switched off: nothing takes time
                time.sleep(max(0.0, began + _TICK - time.monotonic()))
        return signals.code

    def _follow(self, signals: Signals, changes: Changes) -> None:
        """Begin to read the file where it has changed, and apply what was read."""
        if self._reload is None and (changes.seen() or signals.reload):
            if signals.reload:
                changes.take()
            self._reload = Reload(self._prepare, asked=signals.reload)
            signals.reload = False
        if self._reload is not None and self._reload.over:
            try:
                self._apply(self._reload.get(), changes, asked=self._reload.asked)
            except SettingsError as error:
                self._terminal.log(f"{error}; the cameras go on as they were")
            self._reload = None

    def _prepare(self) -> Plan:
        file = self._job.in_force.read()
        # The old secrets may still be printed, the new ones already.
        self._terminal.secrets = tuple({*self._terminal.secrets, *file.secrets})
        after = self._job.after_events(file)
        return self._roster.prepare(file, after.with_history_beside(file.path) if self._ruled else after)

    def _apply(self, plan: Plan, changes: Changes, *, asked: bool) -> None:
        done = self._roster.apply(plan)
        changes.follow(plan.file.read)
        self._terminal.warn(plan.file)
        if plan.after != self._dispatcher.settings:
            self._terminal.log("what happens after an event is other now: that counts from the next start")
        for note in plan.notes:
            self._terminal.log(note)
        if done or asked:
            self._report(done or "nothing changed")

    def finish(self) -> None:
        """End the cameras, write what still comes from them, and print the summary."""
        self._watcher.stop()
        self._write(self._watcher.step(0.0))
        self._watcher.close(_PATIENCE)
        self._dispatcher.settle()
        self._terminal.summary(self._watcher)

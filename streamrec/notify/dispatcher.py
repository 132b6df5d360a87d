"""The dispatcher: commits each event to the history, and only then notifies its receivers.

It is given each result before any other output. No failure in it stops the recognition: it is logged, at most once a
minute. The recognizing thread waits for nothing here: the history writes in a thread of its own, and another thread
notifies about what is written, in order.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from streamrec.core.context import Closing
from streamrec.core.redact import redact
from streamrec.errors import StreamrecError
from streamrec.events.arming import ArmingRules
from streamrec.events.rules import Rule
from streamrec.notify.arming import Arming
from streamrec.notify.configured import names_of_receivers, receivers_of
from streamrec.notify.dispatch_settings import DispatchSettings
from streamrec.notify.gate import Decider, Gate
from streamrec.notify.pictures import PictureMaker
from streamrec.notify.receivers import Receiver
from streamrec.notify.rule_runner import ReadyRules, RuleRunner, prepare_rules, reporting
from streamrec.outputs.history.evidence import Evidence
from streamrec.outputs.history.records import Announcement, Entry, Outcome
from streamrec.outputs.history.store import History
from streamrec.outputs.history.vectors import EventVector, vector_of
from streamrec.outputs.plugins import load_sink
from streamrec.outputs.sink import Sink
from streamrec.pipeline.flight_recorder import FlightRecorder
from streamrec.runtime.feature_memory import FeatureMemory, Span
from streamrec.runtime.recognizer import Recognizer
from streamrec.settings.evidence import Privacy
from streamrec.types import ActionEnded, Event, Health, Result

if TYPE_CHECKING:
    from streamrec.notify.opinion import SecondOpinion
    from streamrec.outputs.recording.recorder import Recorder
    from streamrec.outputs.streaming.stream import StreamOut

_AGAIN_SECONDS = 60.0  # between two logs of the same failure
_SHOWN = "shown"  # an event also waits until the result that it came with was shown
_PATIENCE = 1.5  # seconds at the end for writing what was begun
_LAST_SECONDS = 1.0  # at the end for sending what is due
_WRITE_SECONDS = 2.0  # at the end for what waits to be written
# A history that cannot be written for longer holds back nothing: an alarm is sent without it.
_HOLD_SECONDS = 30.0
_MOST_VECTORS = 100  # where more waits to be written, no further vectors are made: their features are large
_HELD_RESULTS = 16  # results for plug-in sinks that wait for the commit of an event


def _vector(span: Span) -> EventVector | None:
    return vector_of(span.kind, span.mean())


@dataclass(frozen=True, slots=True)
class CommittedEvent:
    """An event that is on the disk."""

    source: str
    event: Event
    entry: Entry  # of the history


@dataclass(slots=True, eq=False)
class _Call:
    """An entry of the queue of notifications: an event, a result for the sinks, or anything else to call."""

    needs: set[str]  # ids of announcements that are not on the disk yet
    run: Callable[[], object]
    result: Result | None = None  # for the sinks
    camera: str = ""


class Dispatcher(Closing):
    """Keeps and sends events, as its settings say. ``log`` gets messages, from any thread.

    ``write`` is given each result and waits for nothing. With a history, the listeners of ``on_event`` are called with
    each event after its commit, in a thread of their own. Raises ``StreamrecError`` where the settings cannot work: a
    damaged history, a missing folder.
    """

    def __init__(
        self,
        settings: DispatchSettings,
        log: Callable[[str], None],
        *,
        remember: bool = False,
        deciders: Sequence[Decider] = (),
    ) -> None:
        """``remember``: where no history is configured, one in memory, for rules and the page.

        ``deciders``: further parts of the gate that decides whether receivers are notified of an event.
        """
        self.settings = settings
        self._remember, self._deciders = remember, deciders
        self._rules: RuleRunner | None = None  # where there is a history
        self.gate: Gate | None = None  # where there is a history
        self.arming: Arming | None = None  # where there is a history
        # By camera: its models with the actions of each.
        self._actions: dict[str, dict[str, tuple[str, ...]]] = {}
        self._log = lambda message: log(redact(message, settings.secrets))
        self._logged: dict[str, float] = {}  # message: time.monotonic()
        self._models: dict[str, tuple[str, bool]] = {}  # camera: its model, and whether it is live
        self.history: History | None = None
        self.evidence: Evidence | None = None
        self._pictures: PictureMaker | None = None  # where a receiver wants them
        self._opinion: SecondOpinion | None = None
        self._privacy: dict[str, str] = {}  # of cameras with a setting of their own
        self.receivers: dict[str, Receiver] = {}  # by name
        self._closed = False
        self._sinks: list[Sink] = []
        self._live: list[StreamOut | Recorder] = []  # of frames that are drawn anew for them
        self._recorder: FlightRecorder | None = None
        self._features = FeatureMemory()  # nothing is in it where there is no history
        self._listeners: list[Callable[[CommittedEvent], object]] = []
        self._settled_listeners: list[Callable[[Entry], object]] = []
        self._opinion_listeners: list[Callable[[Entry], object]] = []
        # The queue of notifications; the first is run when everything that it needs is committed.
        self._queue: deque[_Call] = deque()
        # By the announcement's id: the entry as it is on the disk, until the listeners get it.
        self._written: dict[str, Entry] = {}
        # Id of an announcement that is not on the disk: the calls that need it.
        self._blocked: dict[str, list[_Call]] = {}
        self._held: deque[_Call] = deque()  # the calls with results for the sinks
        self._giving = False  # one of them is running
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._over = False  # nothing more is queued
        self._unkept = False  # events are reported before their commit, because the history is stuck
        self._lost_next: set[str] = set()  # ids that cannot be kept, and are about to be queued
        self._error: BaseException | None = None  # of a listener or sink: raised where results are written
        try:
            if settings.record is not None:
                self._recorder = FlightRecorder(
                    settings.record,
                    pictures=settings.record_pictures,
                    max_gb=settings.record_gb,
                    warn=self._log,
                )
            self._sinks += [load_sink(sink, self.warn) for sink in settings.sinks]
            kept = settings.evidence.privacy if settings.evidence else ""
            if settings.stream is not None:
                from streamrec.outputs.streaming.stream import StreamOut

                self._live.append(StreamOut(settings.stream, log=self._log, privacy=kept))
            if settings.recording is not None:
                from streamrec.outputs.recording.recorder import Recorder

                self._live.append(Recorder(settings.recording, log=self._log, privacy=kept))
            self._open_history(settings)
        except BaseException:
            self.close()
            raise

    def _open_history(self, settings: DispatchSettings) -> None:
        if settings.history is None:
            if self._remember:
                self.history = History(None, log=self._log)
                self._begin_history(self.history)
            return
        self.history = History(
            settings.history.file,
            keep_days=settings.history.keep_days,
            keep_open=settings.keep_open,
            receivers=names_of_receivers(settings),
            log=self._log,
        )
        if settings.sends_pictures:
            self._pictures = PictureMaker(
                self.history.pictures,
                self._privacy_of,
                ready=self._picture_ready,
                made=self._picture_made,
                warn=self.warn,
            )
        self.receivers |= receivers_of(settings, self.history, self._log)
        if settings.opinion is not None:
            from streamrec.notify.opinion import SecondOpinion

            self._opinion = SecondOpinion(
                settings.opinion,
                self.history,
                self._privacy_of,
                judged=self._has_opinion,
                log=self._log,
            )
        if settings.evidence is not None:
            self.evidence = Evidence(
                settings.evidence, self.history, on_evidence=self._notify_receivers, warn=self.warn
            )
        for left in self.history.recovered:
            self._log(
                f"{left.entry.camera}: {left.entry.label} ended when streamrec was killed, "
                f"after {left.entry.duration or 0.0:.1f} s or a little more"
            )
        self._begin_history(self.history)

    def _begin_history(self, history: History) -> None:
        self._rules = RuleRunner(history)
        self.gate = Gate(history, log=self.warn, on_settled=self._settled)
        self.arming = Arming(history, self.settings.arming, warn=self.warn)
        for receiver in self.receivers.values():
            receiver.arming(self.arming)
        for decider in (self.arming, *self._deciders):
            self.gate.add(decider)
        if self._opinion is not None:  # the last: what is kept anyway costs no question
            self.gate.add(self._opinion)
        self.gate.start()
        history.start(self._kept, unkept=self._not_kept, decide=self.gate.decide, poll=self.gate.poll)
        self._thread = threading.Thread(target=self._run, name="dispatcher", daemon=True)
        self._thread.start()

    @property
    def recordings(self) -> Path | None:
        """The folder of the continuous recordings; None: there are none."""
        recording = self.settings.recording
        return None if recording is None else Path(recording.folder).absolute()

    @property
    def wanted(self) -> bool:
        """Whether an output is configured."""
        kept = self.history is not None and not self.history.in_memory
        return bool(kept or self._sinks or self._live or self._recorder)

    def camera(
        self,
        name: str,
        *,
        model: str = "",
        live: bool = True,
        actions: Iterable[str] = (),
        models: Mapping[str, Iterable[str]] = MappingProxyType({}),
        privacy: str = "",
    ) -> None:
        """A camera is watched, by this model, for these actions; ``privacy`` where it has its own.

        ``models``: in place of both, the models by name with the actions of each.
        """
        if len(models) == 1:
            ((model, actions),) = models.items()
        self._models[name] = model, live
        self._privacy[name] = privacy
        if self.evidence is not None:
            self.evidence.set_privacy(name, Privacy(privacy) if privacy else None)
        for one in self._live:
            one.threads.set_privacy(name, Privacy(privacy) if privacy else None)
        if self._recorder is not None:
            is_seen = self._privacy_of(name) is Privacy.full
            (self._recorder.unseen.discard if is_seen else self._recorder.unseen.add)(name)
        self._actions[name] = {one: tuple(own) for one, own in (models or {model: actions}).items()}
        self._register(name)

    def _privacy_of(self, camera: str) -> Privacy:
        """What may be kept of a camera's frames."""
        default = self.settings.evidence.privacy if self.settings.evidence else Privacy.full
        return Privacy(self._privacy.get(camera) or default)

    def _register(self, name: str) -> None:
        """Announce to the receivers what a camera may report."""
        actions = self._actions[name]
        cameras = () if self._rules is None else self._rules.cameras
        rules = () if self._rules is None else self._rules.rules
        own = tuple(rule.name for rule in rules if name in reporting(rule, cameras))
        if self.arming is not None:
            self.arming.watched(name, {**actions, "": (*actions.get("", ()), *own)})
        for receiver in self.receivers.values():
            if len(actions) > 1:
                receiver.models(name, {**actions, "": (*actions.get("", ()), *own)} if own else actions)
            else:
                ((model, labels),) = actions.items()
                receiver.camera(name, (*labels, *own), model)

    def prepare_rules(self, rules: Sequence[Rule], cameras: Sequence[str]) -> ReadyRules:
        """Rules with what the history knows of the past, for ``use_rules``; any thread."""
        if self.history is None or self._rules is None:
            return ReadyRules(rules=tuple(rules), cameras=tuple(cameras))
        before = self._rules.rules
        new = prepare_rules(self.history, [rule for rule in rules if rule not in before], cameras)
        return replace(new, rules=tuple(rules))

    def use_rules(self, ready: ReadyRules) -> None:
        """Apply these rules from now on; without a history they are left, with a message."""
        if self._rules is None:
            if ready.rules:
                self._log("rules need a history: they count from the next start")
            return
        before = self._rules.rules
        for result in self._rules.use(ready):
            self._emit(result)
        for name in self._actions if self._rules.rules != before else ():
            self._register(name)

    def use_arming(self, rules: ArmingRules | None) -> None:
        """These profiles and schedules from now on; without a history nothing is armed or not."""
        if self.arming is None:
            return
        before = self.arming.rules
        self.arming.use(rules)
        if self.arming.rules != before:
            self._log(f"[arming] has changed: the profile {self.arming.profile} is in force")

    def recorded(self, recognizer: Recognizer) -> Recognizer:
        """The recognizer to use: where a flight recorder runs, one that records its steps; where there is a history,
        one whose features are kept, for the vectors of events."""
        if self._recorder is not None:
            recognizer = self._recorder.recorded(recognizer)
        return recognizer if self.history is None else self._features.watching(recognizer)

    def remove(self, name: str) -> None:
        """A camera is no longer watched."""
        self._actions.pop(name, None)
        self._features.forget(name)
        for one in self._live:
            one.threads.remove(name)
        if self.arming is not None:
            self.arming.forget(name)
        if self._rules is not None:
            self._rules.forget(name)
        for receiver in self.receivers.values():
            receiver.remove(name)

    def health(self, name: str, health: Health) -> None:
        """A camera's health has changed."""
        for receiver in self.receivers.values():
            receiver.state(name, health.state)
        if self._recorder is not None:
            self._recorder.health(name, health)

    def on_event(self, listener: Callable[[CommittedEvent], object]) -> None:
        """With a history: call ``listener`` with each event, after its commit."""
        self._listeners.append(listener)

    def on_settled(self, listener: Callable[[Entry], object]) -> None:
        """With a history: call ``listener`` with each event that was held, when it is decided on; it must not wait."""
        self._settled_listeners.append(listener)

    @property
    def leaves(self) -> str:
        """What leaves the machine for second opinions, in words; "": nothing does."""
        return "" if self._opinion is None else self._opinion.statement

    def on_opinion(self, listener: Callable[[Entry], object]) -> None:
        """With a history: call ``listener`` with each event that has a second opinion now, as on the disk."""
        self._opinion_listeners.append(listener)

    def write(self, result: Result) -> Result:
        """Pass a result to all outputs; the result as it may be shown at once.

        With a history that is the result without its events: listeners get them when they are on the disk, and after
        the next ``write`` or ``tick``, so that they never come before the result itself.
        """
        self.tick()
        noted: tuple[Announcement, ...] = ()
        if self._recorder is not None:
            self._recorder.write(result)
        if self.history is not None:
            noted = self._note(self.history, result)
            for further in self._ruled(self.history, result, noted):
                if further.frame.source == result.frame.source:
                    noted = (*noted, *self._note(self.history, further))
                    result = replace(result, events=(*result.events, *further.events))
                else:
                    self._emit(further)
        self._to_pictures(result, noted)
        for one in self._live:
            one.write(result)
        self._to_sinks(result, noted)
        return replace(result, events=()) if self.history is not None and result.events else result

    def _ruled(self, history: History, result: Result, noted: tuple[Announcement, ...]) -> list[Result]:
        """The results with the events that rules report because of this one."""
        if self._rules is None or not self._rules.rules:
            return []
        source = result.frame.source
        _, live = self._models.get(source, ("", True))
        try:
            return self._rules.step(result, [one.entry for one in noted], history.seen(source), live=live)
        except Exception as error:  # no rule may stop the recognition
            self.warn(f"rules: {source}: {type(error).__name__}: {error}")
            return []

    def _emit(self, result: Result) -> None:
        """Keep and notify of the events of a result that shows nothing new."""
        assert self.history is not None
        noted = self._note(self.history, result)
        self._to_pictures(result, noted)
        self._to_sinks(result, noted)

    def _to_pictures(self, result: Result, noted: tuple[Announcement, ...]) -> None:
        """What needs frames: the pictures of notifications, and the evidence."""
        if self._pictures is not None and noted:
            self._pictures.write(result, noted)
        if self._opinion is not None:
            self._opinion.write(result, noted)
        if self.evidence is not None:
            self.evidence.write(result, noted)

    def _note(self, history: History, result: Result) -> tuple[Announcement, ...]:
        source = result.frame.source
        model, live = self._models.get(source, ("", True))
        if not result.events:
            return history.note(result, model, live=live)
        with self._changed:  # queued before its commit can be announced
            noted = history.note(result, model, live=live)
            for event, one in zip(result.events, noted, strict=True):
                committed = CommittedEvent(event.source or source, event, one.entry)
                needs = {_SHOWN} if one.id in self._lost_next else {one.id, _SHOWN}
                self._append(_Call(needs, partial(self._call, committed, one.id), camera=source))
            self._lost_next.clear()
            self._changed.notify_all()
        for event, one in zip(result.events, noted, strict=True):
            self._describe(history, event, one.entry)
        return noted

    def _describe(self, history: History, event: Event, entry: Entry) -> None:
        """Keep the vector of an event that has ended; it is made in the history's thread."""
        if not isinstance(event, ActionEnded) or entry.rule is not None or history.behind > _MOST_VECTORS:
            return
        span = self._features.span(entry.camera, entry.model, entry.person, event.started, event.timestamp)
        if span is not None:
            history.describe(entry.id, partial(_vector, span))

    def _append(self, call: _Call) -> None:
        self._queue.append(call)
        for id in call.needs:
            self._blocked.setdefault(id, []).append(call)

    def _to_sinks(self, result: Result, noted: tuple[Announcement, ...]) -> None:
        """Plug-in sinks get results in order, each when its events are on the disk."""
        if not self._sinks:
            return
        if self.history is None:
            self._give(result)
            return
        with self._changed:
            if not self._held and not self._giving and not noted:
                self._give(result)
                return
            call = _Call({one.id for one in noted if one.id in self._blocked}, lambda: None, result)
            self._append(call)
            self._held.append(call)
            if len(self._held) > _HELD_RESULTS:  # the oldest is dropped; its events go to the next
                oldest, following = self._held.popleft(), self._held[0]
                assert oldest.result is not None and following.result is not None
                events = (*oldest.result.events, *following.result.events)
                following.result = replace(following.result, events=events)
                for id in oldest.needs:
                    following.needs.add(id)
                    self._blocked[id].append(following)
                oldest.result = None  # nothing is done in its turn
            self._changed.notify_all()

    def _give(self, result: Result) -> None:
        for sink in self._sinks:
            sink.write(result)

    def in_order(self, camera: str, report: Callable[[], object], *, last: bool) -> None:
        """Call ``report`` after the camera's events that wait for their commit, where it is its ``last`` report.

        Other reports are called at once, unless they would overtake a last one.
        """
        with self._changed:
            waits = any(call.camera == camera and (last or not call.needs) for call in self._queue)
            if waits:
                self._queue.append(_Call(set(), report, camera=camera))
                self._changed.notify_all()
        if not waits:
            report()

    # -- the notifying thread

    def _kept(self, announcement: Announcement) -> None:
        """Called by the history's thread: an announcement is on the disk."""
        self._notify_receivers(announcement)
        with self._changed:
            if announcement.id in self._blocked:
                self._written[announcement.id] = announcement.entry
        self._free(announcement.id)

    def _picture_ready(self) -> None:
        """Called by the thread of the pictures: a message that waited for one can go."""
        for receiver in self.receivers.values():
            receiver.hurry()

    def _picture_made(self, entry: Entry, jpeg: bytes) -> None:
        """Called by the history's thread: the picture of an event is on the disk."""
        if entry.decision is Outcome.deliver:
            for receiver in self.receivers.values():
                receiver.picture(entry, jpeg)

    def _has_opinion(self, entry: Entry) -> None:
        """Called by the history's thread: a second opinion on an event is on the disk."""
        with self._changed:
            for listener in self._opinion_listeners:
                self._queue.append(_Call(set(), partial(listener, entry), camera=entry.camera))
            self._changed.notify_all()

    def _settled(self, entry: Entry) -> None:
        """Called by the history's thread: it is decided on an event that was held."""
        for listener in self._settled_listeners:
            listener(entry)

    def _not_kept(self, announcement: Announcement) -> None:
        """An event cannot be kept; listeners get it all the same."""
        with self._changed:
            if announcement.id in self._blocked:
                self._free(announcement.id)
            else:  # it is about to be queued
                self._lost_next.add(announcement.id)

    def _free(self, id: str) -> None:
        with self._changed:
            for call in self._blocked.pop(id, ()):
                call.needs.discard(id)
            self._changed.notify_all()

    def _run(self) -> None:
        while True:
            self._check_history()
            with self._changed:
                self._changed.wait_for(self._is_something_due, 1.0)
                if not self._queue:
                    if self._over:
                        return
                    continue
                if not self._is_something_due():
                    continue
                call = self._queue[0]
                if call.needs and call.result is None and not self._unkept:  # lost: the history reports it
                    self._queue.popleft()
                    self._changed.notify_all()
                    continue
                given = call.result
                if given is not None:
                    self._held.popleft()  # it can no longer be dropped
                    self._giving = True
            try:
                if given is not None:
                    self._give(given)
                else:
                    call.run()
            except BaseException as error:  # raised where results are written
                self._error = self._error or error
            with self._changed:
                self._queue.popleft()
                self._giving = False
                self._changed.notify_all()

    def _is_something_due(self) -> bool:
        return self._over or (bool(self._queue) and (self._unkept or not self._queue[0].needs))

    def _check_history(self) -> None:
        """A history that cannot be written for long no longer holds back events."""
        assert self.history is not None
        stuck = self.history.stuck > _HOLD_SECONDS
        if stuck and not self._unkept:
            self._log(
                f"{self.history.path} could not be written for {_HOLD_SECONDS:g} s: "
                "events are sent before they are kept, until it can be"
            )
        self._unkept = stuck

    def _call(self, committed: CommittedEvent, id: str) -> None:
        with self._changed:
            entry = self._written.pop(id, committed.entry)
        committed = replace(committed, entry=entry)
        for listener in self._listeners:
            try:
                listener(committed)
            except StreamrecError as error:  # the other listeners get it all the same
                self._error = self._error or error

    def _raise_error(self) -> None:
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def settle(self, patience: float = _WRITE_SECONDS) -> None:
        """Wait until the queue is empty, for at most so many seconds."""
        self._free(_SHOWN)
        with self._changed:
            self._changed.wait_for(lambda: not self._queue, patience)

    def _notify_receivers(self, announcement: Announcement) -> None:
        """An announcement is on the disk, and in the outbox unless it was decided otherwise."""
        if announcement.entry.decision is not Outcome.deliver:
            return
        for receiver in self.receivers.values():
            receiver.notify(announcement)

    def tick(self) -> None:
        """The last result was shown, so its events may follow; call it after each. Raises the errors of listeners."""
        if _SHOWN in self._blocked:
            self._free(_SHOWN)
        self._raise_error()

    def _end_open(self) -> None:
        assert self.history is not None
        self.history.end_open()
        self.history.drain(_WRITE_SECONDS)

    def _end_thread(self) -> None:
        """Report what is on the disk by now, and end. Called after the history's thread has ended."""
        if self._thread is None:
            return
        self._free(_SHOWN)
        with self._changed:
            self._over = True
            self._changed.notify_all()
        self._thread.join(_WRITE_SECONDS)

    def _close_receivers(self) -> None:
        """Close all receivers at the same time, so that one that does not answer delays no other."""
        ends = time.monotonic() + _LAST_SECONDS
        for receiver in self.receivers.values():
            receiver.stop()
        for receiver in reversed(self.receivers.values()):  # MQTT first: it has a last message to send
            receiver.close(max(0.0, ends - time.monotonic()))

    def warn(self, message: str) -> None:
        """Log a failure, the same at most once a minute."""
        now = time.monotonic()
        if now - self._logged.get(message, -_AGAIN_SECONDS) >= _AGAIN_SECONDS:
            self._logged[message] = now
            self._log(message)

    def close(self) -> None:
        """End the running events and finish what was begun; a second time does nothing."""
        steps: list[Callable[[], object]] = []
        if self._recorder is not None:
            steps.append(self._recorder.close)
        if self._pictures is not None:
            steps.append(self._pictures.close)
        if self._opinion is not None:
            steps.append(partial(self._opinion.close, _PATIENCE))
        if self.evidence is not None:
            steps.append(partial(self.evidence.close, _PATIENCE))
        if self.history is not None:
            if not self._closed:
                steps.append(self._end_open)  # sent before the receivers are closed
                if self._opinion is not None:
                    steps.append(self._opinion.finish)
            steps += [self._close_receivers, partial(self.history.close, _PATIENCE / 3), self._end_thread]
        steps += [sink.close for sink in self._sinks]
        steps += [one.close for one in self._live]
        self._closed = True
        for step in steps:
            try:
                step()
            except StreamrecError as error:
                self._log(str(error))

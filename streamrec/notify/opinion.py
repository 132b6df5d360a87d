"""A second opinion: a model of the user's is asked about each event, and its judgment is stored with the event.

As a part of the gate it may hold an event back until the model has answered, and keep it where the model says no. It
never loses one: where no answer comes in time, the event is delivered, and marked as unjudged. Questions are asked in
a thread of their own, one at a time.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from streamrec.core.context import Closing
from streamrec.core.failures import FailureReporter
from streamrec.errors import HistoryError
from streamrec.notify.delivery import Undelivered
from streamrec.notify.gate import Decider, Gate
from streamrec.notify.http_client import HttpClient
from streamrec.notify.opinion_client import ask
from streamrec.notify.opinion_frames import FrameCollector
from streamrec.notify.opinion_settings import OpinionSettings
from streamrec.outputs.history.opinions import Opinion
from streamrec.outputs.history.records import DELIVER, Announcement, Decision, Entry, Judgment, Outcome
from streamrec.outputs.history.store import History
from streamrec.settings.evidence import Privacy
from streamrec.types import Result

NAME = "opinion"
_FIRST_PAUSE = 5.0  # seconds without questions after a failure; doubled with each further one
_LONGEST_PAUSE = 300.0
_MOST_JOBS = 64  # events that wait for their answer
_FORGET_SECONDS = 60.0  # an event that did not pass the gate until then is not asked about


@dataclass(slots=True)
class _Job:
    """An event that may be asked about: when it has passed the gate, and has its frames."""

    made: float  # time.monotonic()
    entry: Entry | None = None  # None: the gate was not passed yet
    frames: list[bytes] | None = None  # None: they are not collected yet


@dataclass(slots=True)
class _Pause:
    """No question is asked for a while: the model failed, or a limit is reached."""

    until: float = 0.0  # time.monotonic()
    why: str = ""
    failures: int = 0


class SecondOpinion(Decider, Closing):
    """Asks about the events of a history; give it each result, and to the gate. ``log`` gets messages without secrets.

    ``privacy_of`` says what may leave of a camera's frames. ``judged`` is called with each event that has an opinion
    now, in the history's thread. Raises ``SinkError`` where the settings cannot work.
    """

    name = NAME

    def __init__(
        self,
        settings: OpinionSettings,
        history: History,
        privacy_of: Callable[[str], Privacy],
        *,
        judged: Callable[[Entry], object] = lambda entry: None,
        log: Callable[[str], object] = lambda message: None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings, self._history, self._privacy_of = settings, history, privacy_of
        self._judged, self._log, self._clock, self._monotonic = judged, log, clock, monotonic
        self._client = HttpClient(
            settings.url, timeout=settings.timeout, ca=settings.ca, fingerprint=settings.fingerprint
        )
        self._failures = FailureReporter(
            f"opinion {settings.place}",
            log,
            more="events are delivered without a second opinion until it answers",
            over="it answers again",
            monotonic=monotonic,
        )
        self._gate: Gate | None = None
        self._changed = threading.Condition()
        self._jobs: dict[str, _Job] = {}  # by the event's id
        self._unjudged: deque[tuple[str, str]] = deque()  # ids of events that are not asked about, and why
        self._pause = _Pause()
        self._limit = ""  # the limit that was reported
        self._closed = False
        self._frames = FrameCollector(settings, privacy_of, self._collected, warn=log)
        self._thread = threading.Thread(target=self._work, name=NAME, daemon=True)
        self._thread.start()
        log(f"[opinion]: {settings.statement}")

    @property
    def statement(self) -> str:
        """What leaves the machine, in words."""
        return self._settings.statement

    # -- the recognizing thread

    def write(self, result: Result, announced: tuple[Announcement, ...]) -> None:
        """Take a result with its announcements; returns at once."""
        self._frames.write(result, announced)

    # -- the gate: the history's thread

    def attach(self, gate: Gate) -> None:
        """The gate that asks this part."""
        self._gate = gate

    def decide(self, entry: Entry) -> Decision:
        """Hold the event until the model has answered, where notifications wait for it; deliver it otherwise."""
        if not self._settings.wants(entry):
            return DELIVER
        with self._changed:
            why = self._why_not()
            if why:
                self._unjudged.append((entry.id, why))
            else:
                self._job(entry.id).entry = entry
            self._changed.notify_all()
        if why or not self._settings.holds:
            return DELIVER
        until = self._clock() + self._settings.longest
        return Decision(Outcome.hold, self.name, "it waits for a second opinion", until)

    def resume(self, entry: Entry) -> None:
        """An event of the last process: its frames are gone, so that it is delivered unjudged."""
        with self._changed:
            self._unjudged.append((entry.id, "streamrec was ended before the model answered"))
            self._changed.notify_all()

    def timed_out(self, entry_id: str) -> Decision:
        """No answer came in time: the event is delivered, and marked."""
        with self._changed:
            self._jobs.pop(entry_id, None)
        self._keep(entry_id, Opinion(Judgment.unjudged, "no answer came in time", self._settings.judge))
        return DELIVER

    def _job(self, id: str) -> _Job:
        return self._jobs.setdefault(id, _Job(self._monotonic()))

    def _why_not(self) -> str:
        """Why no further event is asked about now; "": one is. The lock is held."""
        if sum(job.entry is not None for job in self._jobs.values()) >= _MOST_JOBS:
            return self._why_silent() or "too many events waited for an answer"
        return self._why_silent()

    def _why_silent(self) -> str:
        """Why no question is asked now; "": one is. The lock is held."""
        if self._closed:
            return "streamrec was about to end"
        return self._pause.why if self._monotonic() < self._pause.until else ""

    # -- the thread of the frames

    def _collected(self, entry: Entry, frames: list[bytes]) -> None:
        with self._changed:
            self._job(entry.id).frames = frames
            self._changed.notify_all()

    # -- the thread that asks

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._unjudged or self._ready() or self._closed, 1.0)
                unjudged = self._unjudged.popleft() if self._unjudged else None
                ready = None if unjudged else self._ready()
                job = self._jobs[ready] if ready else None
                self._forget()
                if self._closed and unjudged is None and job is None:
                    return
            self._failures.poll()
            try:
                if unjudged is not None:
                    self._settle(unjudged[0], Opinion(Judgment.unjudged, unjudged[1], self._settings.judge))
                elif ready is not None and job is not None and job.entry is not None:
                    self._judge(job.entry, job.frames or [])
            except Exception as error:  # no error may end the thread; its text may hold a secret
                self._log(f"opinion {self._settings.place}: it failed ({type(error).__name__})")
                if ready is not None:
                    self._settle(ready, Opinion(Judgment.unjudged, "it failed", self._settings.judge))
            finally:
                if ready is not None:
                    with self._changed:
                        self._jobs.pop(ready, None)
                        self._changed.notify_all()

    def _ready(self) -> str | None:
        """The id of the oldest event that has passed the gate and has its frames."""
        for id, job in self._jobs.items():
            if job.entry is not None and job.frames is not None:
                return id
        return None

    def _waits(self) -> bool:
        return any(job.entry is not None for job in self._jobs.values())

    def _forget(self) -> None:
        """Events that did not pass the gate are not asked about. The lock is held."""
        oldest = self._monotonic() - _FORGET_SECONDS
        for id in [
            id for id, job in self._jobs.items() if job.made < oldest and None in (job.entry, job.frames)
        ]:
            if self._jobs.pop(id).entry is not None:
                self._unjudged.append((id, "there are no frames of it"))

    def _judge(self, entry: Entry, frames: list[bytes]) -> None:
        """Ask about one event, and settle it."""
        opinion = self._asked(entry, frames)
        self._settle(entry.id, opinion)

    def _asked(self, entry: Entry, frames: list[bytes]) -> Opinion:
        with self._changed:
            why = self._why_silent()
        why = why or self._forbidden(entry, frames)
        if why:
            return Opinion(Judgment.unjudged, why, self._settings.judge)
        try:
            opinion = ask(self._client, self._settings, self._settings.question_of(entry), frames)
        except Undelivered as failure:
            self._failures.failed(failure.reason)
            with self._changed:
                self._pause.failures += 1
                pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** (self._pause.failures - 1))
                self._pause.until = self._monotonic() + max(
                    pause, min(failure.again_in or 0.0, _LONGEST_PAUSE)
                )
                self._pause.why = failure.reason
            return Opinion(Judgment.unjudged, failure.reason, self._settings.judge)
        self._failures.succeeded()
        with self._changed:
            self._pause = _Pause()
        return opinion

    def _forbidden(self, entry: Entry, frames: list[bytes]) -> str:
        """Why the model is not asked about this event; "": it is."""
        if self._privacy_of(entry.camera) is Privacy.none:
            return "privacy keeps the frames of this camera here"
        if not frames:
            return "there are no frames of it"
        try:
            limit = self._history.opinions.ask(entry, self._settings.limits, self._clock())
        except HistoryError:
            return "the history cannot be written"
        if limit and limit != self._limit:
            self._log(f"[opinion]: {limit}: events are delivered without a second opinion until then")
        self._limit = limit
        return limit

    def _settle(self, id: str, opinion: Opinion) -> None:
        self._keep(id, opinion)
        if self._gate is not None and self._settings.holds:
            decision = DELIVER
            if opinion.judgment is Judgment.no and self._settings.role == "veto":
                decision = Decision(Outcome.keep, self.name, "the second opinion is no")
            self._gate.settle(id, decision)

    def _keep(self, id: str, opinion: Opinion) -> None:
        self._history.opinions.keep(id, opinion, self._judged)

    def close(self, patience: float = 1.5) -> None:
        """Deliver what is held, unjudged where the model has not answered in so many seconds; twice does nothing.

        Events may pass the gate until the history has written all: ``finish`` marks those.
        """
        if self._closed:
            return
        self._frames.close(patience / 2)
        ends = time.monotonic() + patience
        with self._changed:
            self._changed.wait_for(lambda: not self._waits(), max(0.0, ends - time.monotonic()))
            self._closed = True
            left = [id for id, job in self._jobs.items() if job.entry is not None]
            self._unjudged.extend((id, "streamrec was ended before the model answered") for id in left)
            for id in left:
                self._jobs.pop(id)
            self._changed.notify_all()
        self._thread.join(patience)
        self.finish()  # the thread may still wait for an answer

    def finish(self) -> None:
        """Mark what passed the gate after ``close``; call it when the history has written all events."""
        while True:
            with self._changed:
                if not self._unjudged:
                    return
                id, why = self._unjudged.popleft()
            self._settle(id, Opinion(Judgment.unjudged, why, self._settings.judge))

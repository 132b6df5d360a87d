"""A lesson: what ``streamrec teach`` does between a person and a ``Teacher``, whatever keys, lines or page they use."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from streamrec.core.text import printable
from streamrec.errors import StreamrecError, WrongValue

if TYPE_CHECKING:
    from streamrec.teach.examples import Example
    from streamrec.teach.fewshot import TeachReport
    from streamrec.teach.teacher import Teacher
    from streamrec.types import Result

NOTHING = "nothing"  # the label of the times in which nothing of what is taught happened
ENOUGH = 3  # examples of a label: from then on each change is learned at once
LONGEST_LABEL = 40  # characters
_SHORTEST = 0.3  # seconds of an example
# Words that begin a line of standard input: a label of that name could not be taught there.
COMMANDS = ("nothing", "remove", "relabel", "fit", "undo", "list", "save", "help", "quit")


@dataclass(frozen=True, slots=True)
class Cue:
    """What the person is asked to do now, and for how long."""

    kind: str  # "ready": it begins in a moment; "go": do it now; "nothing": do nothing of what is taught
    label: str
    left: float  # seconds
    lasts: float  # seconds in all


@dataclass(slots=True)
class _Running:
    """A cue that runs on the clock of the stream."""

    kind: str
    label: str
    begins: float | None  # seconds on the source's clock; None: with the next frame
    lasts: float


@dataclass(frozen=True, slots=True)
class _Undo:
    """The last change, and what takes it back."""

    what: str
    take_back: Callable[[], object]


class Lesson:
    """Examples, countdowns and fits of one teacher. Any thread may call it; ``step`` is called with each result.

    ``log`` gets each sentence for the person; the newest is ``message``. Every mistake is such a sentence, and is
    raised as well. Times are those of the source.
    """

    def __init__(
        self,
        teacher: Teacher,
        *,
        seconds: float = 2.0,
        countdown: float = 3.0,
        nothing: float = 60.0,
        log: Callable[[str], object] = lambda sentence: None,
    ) -> None:
        self.teacher = teacher
        self.seconds, self.countdown, self.nothing_seconds = seconds, countdown, nothing
        self.label = ""  # the one that a countdown is for: the last that was named or shown
        self.message = ""
        self.report: TeachReport | None = teacher.report
        self.now: float | None = None  # seconds on the source's clock, of the newest frame
        self.version = 0  # grows with each change
        self._log = log
        self._lock = threading.RLock()
        self._named: list[str] = []  # labels, in the order in which they were named
        self._running: _Running | None = None
        self._segment: int | None = None
        self._undo: list[_Undo] = []
        self._fitting: threading.Thread | None = None
        self._again = False  # something changed while a fit ran
        self._closed = False
        for example in teacher.examples:
            if example.label != NOTHING:
                self._note_label(example.label)
        if self.labels:
            self.label = self.labels[-1]

    # -- what is there

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that are taught, in the order in which they were named."""
        return tuple(self._named)

    @property
    def examples(self) -> tuple[Example, ...]:
        """All examples, the oldest first."""
        return tuple(self.teacher.examples)

    def count(self, label: str) -> int:
        """How many examples a label has."""
        return sum(example.label == label for example in self.teacher.examples)

    @property
    def nothing_taught(self) -> float:
        """Seconds in which nothing happened, as the teacher knows them."""
        return sum(one.end - one.start for one in self.teacher.examples if one.label == NOTHING)

    @property
    def wants_nothing(self) -> bool:
        """Whether it is time to ask for a minute of nothing."""
        return not self.nothing_taught and any(self.count(label) >= ENOUGH for label in self.labels)

    @property
    def fitting(self) -> bool:
        """Whether a fit runs."""
        return self._fitting is not None

    @property
    def advice(self) -> str:
        """What would help most, as the last fit saw it; empty: nothing."""
        report = self.report
        return report.advice[0] if report is not None and report.advice and not self.fitting else ""

    @property
    def undoes(self) -> str | None:
        """What ``undo`` would take back; None: nothing."""
        return self._undo[-1].what if self._undo else None

    @property
    def cue(self) -> Cue | None:
        """What the person is asked to do now."""
        with self._lock:
            running = self._running
            if running is None:
                return None
            passed = (
                0.0 if self.now is None or running.begins is None else max(0.0, self.now - running.begins)
            )
            return Cue(running.kind, running.label, max(0.0, running.lasts - passed), running.lasts)

    # -- what a person does

    def name(self, label: str) -> str:
        """Name a label, new or not: the next countdown is for it. Returns it as it is kept."""
        with self._reporting():
            label = check_label(label)
            self._note_label(label)
            self.label = label
            self._changed()
            return label

    def next_label(self) -> None:
        """Choose the label after the chosen one."""
        with self._reporting():
            if not self.labels:
                raise WrongValue("name a label first")
            at = self.labels.index(self.label) if self.label in self.labels else -1
            self.label = self.labels[(at + 1) % len(self.labels)]
            self._changed()

    def example(self, label: str, seconds: float | None = None, at: float | None = None) -> Example:
        """The last ``seconds`` (or those before ``at``) were the label; afterwards the example is on the disk."""
        with self._reporting():
            label = check_label(label)
            seconds = self.seconds if seconds is None else seconds
            if not _SHORTEST <= seconds <= 3600:
                raise WrongValue(f"{label}: an example lasts at least {_SHORTEST:g} s")
            self._need_pictures()
            made = self.teacher.example(label, seconds=seconds, at=at)
            self._note_label(label)
            self.label = label
            self._undo.append(_Undo(f"example {made.id} ({label})", lambda: self.teacher.remove(made.id)))
            count = self.count(label)
            more = "" if count >= ENOUGH else f"; {ENOUGH - count} more and it is learned"
            self._say(f"{label}: example {count}, {made.end - made.start:.1f} s{more}")
            self._changed(taught=True)
            return made

    def begin_countdown(self, label: str = "") -> None:
        """Count down, then take the next seconds as an example of the label (or of the chosen one)."""
        with self._reporting():
            label = check_label(label or self.label) if label or self.label else ""
            if not label:
                raise WrongValue("name a label first")
            self._note_label(label)
            self.label = label
            self._need_pictures()
            self._running = _Running("ready", label, self.now, self.countdown)
            self._changed()

    def begin_nothing(self, seconds: float | None = None) -> None:
        """Count down a time in which nothing of what is taught is done."""
        with self._reporting():
            self._need_pictures()
            self._running = _Running(
                "nothing", "", self.now, self.nothing_seconds if seconds is None else seconds
            )
            self._changed()

    def stop(self) -> None:
        """End what is counted down; of a time of nothing what has passed is used."""
        with self._reporting():
            running, self._running = self._running, None
            if running is not None and running.kind == "nothing":
                assert self.now is not None
                passed = self.now - (self.now if running.begins is None else running.begins)
                if passed >= 1.0:
                    self.nothing(passed)
                    return
            if running is not None:
                self._say("stopped")
            self._changed()

    def nothing(self, seconds: float | None = None, at: float | None = None) -> None:
        """In the last ``seconds`` nothing of what is taught happened."""
        with self._reporting():
            seconds = self.nothing_seconds if seconds is None else seconds
            if not 1.0 <= seconds <= 3600:
                raise WrongValue("a time of nothing lasts from 1 s to an hour")
            self._need_pictures()
            before = {one.id for one in self.teacher.examples}
            self.teacher.nothing(seconds=seconds, at=at)
            made = [one for one in self.teacher.examples if one.id not in before]
            self._undo.append(_Undo("the time of nothing", lambda: self._take_out(made)))
            self._say(f"nothing: {sum(one.end - one.start for one in made):.0f} s are learned from")
            self._changed(taught=True)

    def remove(self, id: int) -> None:
        """Remove an example."""
        with self._reporting():
            example = self._example(id)
            self.teacher.remove(id)
            self._undo.append(_Undo(f"removal of example {id}", lambda: self.teacher.restore(id)))
            self._say(f"example {id} ({example.label}) is removed")
            self._changed(taught=True)

    def relabel(self, id: int, label: str) -> None:
        """Give an example another label."""
        with self._reporting():
            example, label = self._example(id), check_label(label)
            self.teacher.relabel(id, label)
            self._note_label(label)
            before = example.label
            self._undo.append(_Undo(f"new label of example {id}", lambda: self.teacher.relabel(id, before)))
            self._say(f"example {id} is {label} now, no longer {before}")
            self._changed(taught=True)

    def undo(self) -> None:
        """Take back the last change."""
        with self._reporting():
            if not self._undo:
                raise WrongValue("there is nothing to undo")
            last = self._undo.pop()
            last.take_back()
            self._say(f"undone: {last.what}")
            self._changed(taught=True)

    # -- frames

    def step(self, result: Result) -> None:
        """Take the next result: the clock goes on, and with it what is counted down."""
        frame = result.frame
        with self._lock:
            again = self._segment is not None and (
                frame.segment != self._segment or frame.timestamp < (self.now or 0.0)
            )
            self._segment, self.now = frame.segment, frame.timestamp
            running = self._running
            if running is None:
                return
            if again and running.kind != "ready":
                self._running = None
                self._say("the camera broke off: once more, please")
                return
            if running.begins is None or again:
                running.begins = self.now
            if self.now - running.begins < running.lasts - 1e-6:
                return
            self._finish(running)

    def _finish(self, running: _Running) -> None:
        self._running = None
        try:
            if running.kind == "ready":
                self._running = _Running("go", running.label, self.now, self.seconds)
            elif running.kind == "go":
                self.example(running.label, running.lasts)
            else:
                self.nothing(running.lasts)
        except StreamrecError:  # shown already
            pass
        self._changed()

    # -- fits

    def fit(self) -> None:
        """Learn from the examples, in a thread of its own; a fit that runs is followed by another."""
        with self._lock:
            if self._closed:
                return
            if self._fitting is not None:
                self._again = True
                return
            self._fitting = threading.Thread(target=self._fit, name="fit", daemon=True)
            self._fitting.start()
        self._changed()

    def _fit(self) -> None:
        while True:
            try:
                report = self.teacher.fit()
            except StreamrecError as error:
                with self._lock:
                    self._say(str(error))
            except BaseException:
                self._fitting = None
                raise
            else:
                with self._lock:
                    known = () if self.report is None else self.report.advice
                    self.report = report
                    for sentence in report.advice:
                        if sentence not in known:
                            self._log(printable(sentence))
                    self._say(f"learned in {report.seconds:.1f} s" + describe_figures(report))
            with self._lock:
                self.version += 1
                if self._again and not self._closed:
                    self._again = False
                    continue
                self._fitting = None
                return

    def wait(self, seconds: float = 60.0) -> bool:
        """Wait until no fit runs; False where it takes longer."""
        fitting = self._fitting
        if fitting is not None:
            fitting.join(seconds)
        return self._fitting is None

    def close(self) -> None:
        """Let a running fit end, and start no other."""
        with self._lock:
            self._running = None
        self.wait()
        self._closed = True

    # -- parts

    def _changed(self, *, taught: bool = False) -> None:
        self.version += 1
        enough = any(self.count(label) >= ENOUGH for label in self.labels)
        if taught and (enough or self.report is not None):
            self.fit()

    def _note_label(self, label: str) -> None:
        if label not in self._named:
            self._named.append(label)

    def _need_pictures(self) -> None:
        if self.now is None:
            raise WrongValue("the camera has shown nothing yet")

    def _take_out(self, examples: list[Example]) -> None:
        for example in examples:
            self.teacher.remove(example.id)

    def _example(self, id: int) -> Example:
        for example in self.teacher.examples:
            if example.id == id:
                return example
        raise WrongValue(f"there is no example {id}")

    def _say(self, sentence: str) -> None:
        self.message = printable(sentence)
        self._log(self.message)

    def _reporting(self) -> _Reporting:
        return _Reporting(self)


class _Reporting:
    """The lesson's lock; a mistake within it is shown before it is raised."""

    def __init__(self, lesson: Lesson) -> None:
        self._lesson = lesson

    def __enter__(self) -> None:
        self._lesson._lock.acquire()

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        lesson = self._lesson
        try:
            if isinstance(error, StreamrecError) and not getattr(error, "shown", False):
                error.shown = True  # type: ignore[attr-defined]
                lesson._say(str(error))
                lesson.version += 1
        finally:
            lesson._lock.release()


def check_label(label: str) -> str:
    """The label without spaces around it; raises ``WrongValue`` for one that cannot be kept.

    >>> check_label("  thumbs up ")
    'thumbs up'
    """
    label = " ".join(label.split())
    if not label:
        raise WrongValue("a label has a name: say what it is, like wave")
    if len(label) > LONGEST_LABEL:
        raise WrongValue(f"{label[:20]}... has {len(label)} letters; {LONGEST_LABEL} are allowed")
    if not label.isprintable() or not any(letter.isalpha() for letter in label):
        raise WrongValue(f"{label!r} cannot be a label: use a word like wave")
    if label.split()[0].casefold() in COMMANDS:
        raise WrongValue(f"{label!r} cannot be a label: {', '.join(COMMANDS)} mean something else here")
    return label


def describe_figures(report: TeachReport) -> str:
    """The measures of a report, each after a semicolon; empty where nothing could be measured."""
    text = ""
    if report.accuracy is not None:
        text += f"; {report.right} of {report.judged} examples right, each judged by the others"
    if report.false_per_hour is not None and report.false_interval is not None:
        low, high = report.false_interval
        count, seconds = report.false_events, f"{report.nothing_seconds:.0f} s of nothing"
        if count:
            alarms = "false alarm" if count == 1 else "false alarms"
            text += f"; {count} {alarms} in {seconds}, {report.false_per_hour:.0f} an hour ({low:.0f} to {high:.0f})"
        else:
            text += f"; no false alarm in {seconds}, at most {high:.0f} an hour"
    return text

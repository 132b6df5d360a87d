"""Lines on standard input that teach: ``wave 2``, ``nothing 60``, ``remove 3``; for programs, and for no terminal."""

from __future__ import annotations

import contextlib
import difflib
import queue
import re
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from streamrec.commands.lesson import COMMANDS, Lesson, check_label
from streamrec.core.text import printable
from streamrec.errors import StreamrecError, WrongValue

HELP = (
    "wave 2: the last 2 s were a wave (wave 2 at 14.5: those before second 14.5 of the stream); nothing 60; "
    "remove 3; relabel 3 wave; undo; list; fit; save; quit"
)
_LEAVING = ("exit", "end", "stop", "bye", "q")  # what people type who want to quit
_ALIKE = 0.8  # of difflib's ratio: from here on a word is a command that was mistyped
_AT = re.compile(r"(.*?)\s+at\s+(\d+(?:\.\d+)?)")
_SECONDS = re.compile(r"(.*?)\s+(\d+(?:\.\d+)?)")


def _meant(text: str) -> str:
    """The command that a mistyped word resembles; empty: none.

    >>> _meant("quitt"), _meant("exit"), _meant("wave")
    ('quit', 'quit', '')
    """
    word = text.casefold()
    if word in COMMANDS:
        return ""
    if word in _LEAVING:
        return "quit"
    return next(iter(difflib.get_close_matches(word, COMMANDS, 1, _ALIKE)), "")


@dataclass(frozen=True, slots=True)
class Line:
    """A line as a command: its word, and what it is about."""

    what: str  # "example", or one of COMMANDS
    label: str = ""
    seconds: float | None = None
    id: int = 0
    at: float | None = None  # seconds of the stream; None: now


def parse_line(text: str) -> Line:
    """A line of standard input; raises ``WrongValue`` that says what it should be.

    >>> parse_line("thumbs up 2.5 at 14")
    Line(what='example', label='thumbs up', seconds=2.5, id=0, at=14.0)
    >>> parse_line("relabel 3 wave")
    Line(what='relabel', label='wave', seconds=None, id=3, at=None)
    """
    text = " ".join(text.split())
    at = None
    if found := _AT.fullmatch(text):
        text, at = found[1], float(found[2])
    word, _, rest = text.partition(" ")
    word = word.casefold()
    if word in ("fit", "undo", "list", "save", "help", "quit"):
        if rest:
            raise WrongValue(f"{word} stands alone; {HELP}")
        return Line(word, at=at)
    if word in ("remove", "relabel"):
        number, _, label = rest.partition(" ")
        if not number.isdecimal() or (word == "relabel") != bool(label):
            raise WrongValue(
                f"{printable(text)}: give the number of an example, like remove 3 or relabel 3 wave"
            )
        return Line(word, check_label(label) if label else "", id=int(number[:9]), at=at)
    seconds = None
    if found := _SECONDS.fullmatch(text):
        text, seconds = found[1], float(found[2])
    if word == "nothing" and text.casefold() == word:
        return Line(word, seconds=seconds, at=at)
    if seconds is None and at is None and (meant := _meant(text)):
        raise WrongValue(f"{printable(text)}: do you mean {meant}? To teach a label of that name: {text} 2")
    if word in COMMANDS or not text:
        raise WrongValue(f"{printable(text)[:60]}: not understood; {HELP}")
    return Line("example", check_label(text), seconds, at=at)


class Lines:
    """Lines of a stream, read by a thread, and what they do to a lesson when their time comes.

    They are taken in their order. One with ``at`` waits until the stream has come so far.
    """

    def __init__(
        self,
        lesson: Lesson,
        *,
        stream: Iterable[str] | None = None,
        log: Callable[[str], object],
        save: Callable[[], object],
    ) -> None:
        self.done = False  # quit was read
        self.ended = False  # there is no further line, and all were taken
        self._lesson, self._log, self._save = lesson, log, save
        self._lines: queue.Queue[str | None] = queue.Queue(1000)
        self._next: Line | None = None
        self._waits = False  # for a fit that a line asked for
        self._over = threading.Event()
        stream = sys.stdin if stream is None else stream
        threading.Thread(target=self._read, args=(stream,), name="lines", daemon=True).start()

    def _read(self, stream: Iterable[str]) -> None:
        with contextlib.suppress(OSError, ValueError):  # closed, or no text
            for line in stream:
                self._lines.put(line)
        self._lines.put(None)

    def step(self, *, wait: float = 0.0, final: bool = False) -> None:
        """Take the lines whose time has come; ``wait``: for the next, in seconds; ``final``: no frame will come."""
        while not self.done and not self.ended:
            if self._waits and self._lesson.fitting:
                if not final:
                    return
                self._lesson.wait()
            self._waits = False
            if self._next is None:
                try:
                    text = self._lines.get(timeout=wait) if wait else self._lines.get_nowait()
                except queue.Empty:
                    return
                if text is None:
                    self.ended = True
                    return
                try:
                    self._next = parse_line(text) if text.strip() else None
                except StreamrecError as error:
                    self._log(str(error))
                continue
            line, now = self._next, self._lesson.now
            if not final and (now is None or (line.at is not None and now < line.at)) and line.what != "quit":
                return
            self._next = None
            with contextlib.suppress(StreamrecError):  # the lesson has shown it
                self._take(line)

    def _take(self, line: Line) -> None:
        lesson = self._lesson
        if line.what == "example":
            lesson.example(line.label, line.seconds, at=line.at)
        elif line.what == "nothing":
            lesson.nothing(line.seconds, at=line.at)
        elif line.what == "remove":
            lesson.remove(line.id)
        elif line.what == "relabel":
            lesson.relabel(line.id, line.label)
        elif line.what == "fit":
            lesson.fit()
            self._waits = True
        elif line.what == "undo":
            lesson.undo()
        elif line.what == "save":
            self._save()
        elif line.what == "quit":
            self.done = True
        elif line.what == "help":
            self._log(HELP)
        else:
            self._list()

    def _list(self) -> None:
        for example in self._lesson.examples:
            self._log(f"{example.id}  {example.label}  {example.end - example.start:.1f} s")
        count = len(self._lesson.examples)
        self._log(
            f"{count} example{'' if count == 1 else 's'}, {self._lesson.nothing_taught:.0f} s of nothing"
        )

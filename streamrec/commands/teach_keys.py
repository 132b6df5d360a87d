"""The keys of ``streamrec teach``, in a window and in a terminal alike: neither reports when a key is let go."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from streamrec.commands.lesson import LONGEST_LABEL, Lesson
from streamrec.errors import StreamrecError

# A key that is held is sent again and again: the first time after about half a second, then 25 times a second.
_FIRST_PAUSE, _PAUSE = 0.8, 0.4  # seconds without the key, after which it was let go
KEYS = (
    ("1-9", "the last {seconds:g} s were this label; held down: while you hold it"),
    ("space", "countdown, then {seconds:g} s of the chosen label"),
    ("tab", "choose the next label"),
    ("n", "name a new label"),
    ("0", "{nothing:g} s of nothing"),
    ("l", "list: remove, relabel"),
    ("u", "undo"),
    ("f", "learn now"),
    ("q", "end and save"),
)
LIST_KEYS = (("up, down", "choose"), ("x", "remove"), ("1-9", "relabel"), ("l", "back"))


class Mode(StrEnum):
    """What the keys mean now."""

    TEACH = "teach"
    NAME = "name"  # letters of a new label
    LIST = "list"  # the examples


@dataclass(slots=True)
class _Held:
    """A label's key that may be held down."""

    key: str
    label: str
    began: float  # seconds on the source's clock
    last: float  # the same, when the key was sent last
    arrived: float  # time.monotonic() of that
    again: bool = False  # it was sent more than once: it is held


class TeachKeys:
    """Keys in, calls of the lesson out. ``step`` is called with each frame, after its keys.

    A label's key that is pressed once labels the last seconds. One that is held down labels the time in which
    it is held.
    """

    def __init__(self, lesson: Lesson, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.lesson = lesson
        self.mode = Mode.TEACH
        self.typed = ""  # of a new label
        self.chosen = 0  # row of the list, the newest example is 0
        self.done = False
        self._clock = clock
        self._held: _Held | None = None

    @property
    def held(self) -> tuple[str, float] | None:
        """The label whose key is held down, and for how many seconds."""
        held = self._held
        return None if held is None else (held.label, (self.lesson.now or 0.0) - held.began)

    def press(self, key: str) -> None:
        """Take a key: a letter, or the name of a key such as "enter"."""
        with contextlib.suppress(StreamrecError):  # the lesson has shown it
            if self.mode is Mode.NAME:
                self._type(key)
            elif self.mode is Mode.LIST:
                self._list(key)
            else:
                self._teach(key)

    def speak(self, digit: str) -> None:
        """Take a digit that was spoken, as its key; of no label it does nothing, nor while a name is typed."""
        if self.mode is Mode.TEACH and int(digit) <= len(self.lesson.labels):
            self.press(digit)

    def step(self) -> None:
        """Find out whether a key that was held was let go."""
        held = self._held
        if held is None:
            return
        if self._clock() - held.arrived >= (_PAUSE if held.again else _FIRST_PAUSE):
            self._let_go()

    def _let_go(self) -> None:
        held, self._held = self._held, None
        if held is None:
            return
        with contextlib.suppress(StreamrecError):
            length = held.last - held.began
            self.lesson.example(held.label, length if held.again and length >= 0.5 else None, at=held.last)

    def _teach(self, key: str) -> None:
        lesson, now = self.lesson, self.lesson.now
        held = self._held
        if held is not None and key == held.key:
            held.again, held.arrived, held.last = True, self._clock(), now or 0.0
            return
        self._let_go()
        key = key.casefold()
        if key in "123456789" and len(key) == 1:
            place = int(key) - 1
            if place >= len(lesson.labels):
                self._ask_name()
            elif now is not None:
                lesson.name(lesson.labels[place])
                self._held = _Held(key, lesson.labels[place], now, now, self._clock())
        elif key == "n":
            self._ask_name()
        elif key in (" ", "enter"):
            self._count_down()
        elif key == "0":
            lesson.stop() if lesson.cue is not None else lesson.begin_nothing()
        elif key == "esc":  # never the end: the countdown may have ended a moment before
            if lesson.cue is not None:
                lesson.stop()
        elif key == "l":
            self.mode, self.chosen = Mode.LIST, 0
        elif key == "q":
            self.done = True
        else:
            self._call(key)

    def _call(self, key: str) -> None:
        calls = {"tab": self.lesson.next_label, "u": self.lesson.undo, "f": self.lesson.fit}
        if key in calls:
            calls[key]()

    def _count_down(self) -> None:
        if self.lesson.cue is not None:
            self.lesson.stop()
        elif self.lesson.label:
            self.lesson.begin_countdown()
        else:
            self._ask_name()

    def _ask_name(self) -> None:
        self.mode, self.typed = Mode.NAME, ""

    def _type(self, key: str) -> None:
        if key == "esc":
            self.mode = Mode.TEACH
        elif key == "backspace":
            self.typed = self.typed[:-1]
        elif key == "enter":
            if self.typed.strip():
                self.lesson.name(self.typed)  # a mistake leaves the letters there
            self.mode = Mode.TEACH
        elif len(key) == 1 and key.isprintable() and len(self.typed) < LONGEST_LABEL:
            self.typed += key

    def _list(self, key: str) -> None:
        rows = self.rows
        if key in ("up", "k"):
            self.chosen = max(0, self.chosen - 1)
        elif key in ("down", "j"):
            self.chosen = min(len(rows) - 1, self.chosen + 1) if rows else 0
        elif key in ("l", "L", "esc", "q", "enter"):
            self.mode = Mode.TEACH
        elif key == "u":
            self.lesson.undo()
        elif rows and key in ("x", "X", "backspace"):
            self.lesson.remove(rows[self.chosen].id)
            self.chosen = min(self.chosen, max(0, len(rows) - 2))
        elif rows and key in "123456789" and len(key) == 1 and int(key) <= len(self.lesson.labels):
            self.lesson.relabel(rows[self.chosen].id, self.lesson.labels[int(key) - 1])

    @property
    def rows(self):  # type: ignore[no-untyped-def]  # examples of ``streamrec.teach``
        """The examples of the list, the newest first."""
        return tuple(reversed(self.lesson.examples))


def key_help(lesson: Lesson) -> list[tuple[str, str]]:
    """The keys and what they do, with the lesson's numbers."""
    return [(key, text.format(seconds=lesson.seconds, nothing=lesson.nothing_seconds)) for key, text in KEYS]

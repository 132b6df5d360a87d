"""The window of ``streamrec teach``: the stream with its overlay, the countdown, the labels and the keys."""

from __future__ import annotations

from typing import Self

from streamrec.commands.lesson import Cue
from streamrec.commands.teach_keys import LIST_KEYS, Mode, TeachKeys, key_help
from streamrec.commands.teach_terminal import asked, seconds_left, words_of
from streamrec.outputs.overlay import AMBER, QUIET, WHITE, Color, Trail, draw
from streamrec.outputs.teach_overlay import (
    BigCue,
    LabelChip,
    LessonPicture,
    ListedExamples,
    draw_lesson,
    enlarged,
)
from streamrec.outputs.window import Window
from streamrec.types import Result

_RED: Color = (60, 60, 235)
_COLORS: dict[str, Color] = {"yellow": AMBER, "red": _RED, "white": WHITE, "bright_black": QUIET}


class TeachWindow:
    """The window; its close button ends the lesson as q does."""

    def __init__(self, keys: TeachKeys) -> None:
        self._keys = keys
        self._window = Window("streamrec teach")
        self._trail = Trail()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._window.close()

    def write(self, result: Result) -> None:
        """Show the result, and take the keys."""
        self._trail.push(result)
        image = draw(enlarged(result.frame.image), result, self._trail)
        self._window.show_for_keys(draw_lesson(image, picture_of(self._keys)))
        self.listen()

    def listen(self) -> None:
        """Take the keys."""
        for key in self._window.pressed():
            self._keys.press(key)
        self._keys.step()
        self._keys.done = self._keys.done or self._window.closed


def picture_of(keys: TeachKeys) -> LessonPicture:
    """What is drawn of a lesson now."""
    lesson, held = keys.lesson, keys.held
    chips = [
        LabelChip(
            str(number) if number < 10 else "",
            label,
            str(lesson.count(label)),
            chosen=label == lesson.label,
            held=held is not None and held[0] == label,
        )
        for number, label in enumerate(lesson.labels, 1)
    ]
    chips.append(LabelChip("0", "nothing", f"{lesson.nothing_taught:.0f} s"))
    pairs = (
        LIST_KEYS
        if keys.mode is Mode.LIST
        else [(key, _SHORT.get(key, what)) for key, what in key_help(lesson)]
    )
    return LessonPicture(
        chips=tuple(chips),
        message=lesson.message,
        asks=asked(keys),
        keys=" · ".join(f"{key} {what}" for key, what in pairs),
        typed=keys.typed if keys.mode is Mode.NAME else None,
        cue=_big(lesson.cue, lesson.label),
        examples=_listed(keys) if keys.mode is Mode.LIST else None,
    )


_SHORT = {
    "1-9": "it was this (hold: it is)",
    "space": "countdown",
    "tab": "next label",
    "n": "new label",
    "0": "nothing",
    "l": "list",
    "f": "learn",
    "q": "end",
}


def _big(cue: Cue | None, label: str) -> BigCue | None:
    if cue is None:
        return None
    title, detail, style = words_of(cue, label)
    share = 1.0 - cue.left / cue.lasts if cue.lasts else 1.0
    return BigCue(str(seconds_left(cue)), title, detail, share, _COLORS[style])


def _listed(keys: TeachKeys) -> ListedExamples:
    rows = tuple((f"{row.id}  {row.label}", f"{row.end - row.start:.1f} s") for row in keys.rows)
    return ListedExamples("examples, the newest first", rows, keys.chosen, "x remove · 1-9 relabel · l back")

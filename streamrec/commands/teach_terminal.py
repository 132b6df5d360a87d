"""The terminal of ``streamrec teach`` where there is no window: what is seen, what is asked, and the keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from streamrec.commands.lesson import ENOUGH, Cue
from streamrec.commands.teach_keys import LIST_KEYS, Mode, TeachKeys, key_help
from streamrec.commands.terminal_keys import TerminalKeys
from streamrec.commands.wording import describe_label
from streamrec.core.console import LineConsole
from streamrec.core.text import printable
from streamrec.types import Result

# Digits of five rows, to be read from across the room.
_DIGITS = (
    ("███", " █ ", "███", "███", "█ █", "███", "███", "███", "███", "███"),
    ("█ █", "██ ", "  █", "  █", "█ █", "█  ", "█  ", "  █", "█ █", "█ █"),
    ("█ █", " █ ", "███", " ██", "███", "███", "███", "  █", "███", "███"),
    ("█ █", " █ ", "█  ", "  █", "  █", "  █", "█ █", "  █", "█ █", "  █"),
    ("███", "███", "███", "███", "  █", "███", "███", "  █", "███", "███"),
)
_LISTED = 9  # rows of the list


def big(number: int) -> str:
    """A number in letters of five rows, each block as wide as it is high.

    >>> print(big(1).splitlines()[4])
    ██████
    """
    rows = ("  ".join(row[int(digit)] for digit in str(number)) for row in _DIGITS)
    return "\n".join("".join(2 * block for block in row).rstrip() for row in rows)


class TeachTerminal:
    """A view that is drawn anew with each frame, below the lines that were printed."""

    def __init__(self, keys: TeachKeys, console: LineConsole) -> None:
        self._keys, self._console = keys, console
        self._pressed = TerminalKeys()
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._kind = ""  # of the cue that was shown last
        self._last: Result | None = None

    def __enter__(self) -> Self:
        self._pressed.__enter__()
        self._live.__enter__()
        self._live.update(Text("waiting for the first picture ..."), refresh=True)
        return self

    def __exit__(self, *end: object) -> None:
        self._live.__exit__(None, None, None)
        self._pressed.__exit__(*end)

    def write(self, result: Result) -> None:
        """Take the keys, and show the result."""
        self._last = result
        if not self.listen():
            self._draw(result)

    def listen(self) -> bool:
        """Take the keys; whether there were any, and what they changed is shown."""
        pressed = self._pressed.named()
        for key in pressed:
            self._keys.press(key)
        self._keys.step()
        if pressed and self._last is not None:
            self._draw(self._last)
        return bool(pressed) and self._last is not None

    def _draw(self, result: Result) -> None:
        cue = self._keys.lesson.cue
        kind = "" if cue is None else cue.kind
        if kind != self._kind and kind != "ready":
            self._console.bell()  # it begins, or is over
        self._kind = kind
        self._live.update(Group(*self._parts(result, cue)), refresh=True)

    def _parts(self, result: Result, cue: Cue | None) -> Sequence[Text | Table]:
        keys, lesson = self._keys, self._keys.lesson
        parts: list[Text | Table] = [
            Text(
                "   ".join(map(describe_label, result.each)), style="bold", no_wrap=True, overflow="ellipsis"
            )
        ]
        if keys.mode is Mode.NAME:
            parts.append(Text(f"name of the label: {printable(keys.typed)}_   (Enter, Esc)", style="yellow"))
        elif keys.mode is Mode.LIST:
            parts.append(self._list())
        elif cue is not None:
            title, detail, style = words_of(cue, lesson.label)
            parts += [
                Text(big(seconds_left(cue)), style=style),
                Text.assemble((f" {printable(title)} ", f"bold {style} reverse"), f"  {detail}"),
            ]
        held = keys.held
        parts.append(self._labels("" if held is None else held[0]))
        asks = asked(keys)
        if asks:
            parts.append(Text(asks, style="yellow"))
        pairs = LIST_KEYS if keys.mode is Mode.LIST else key_help(lesson)
        parts.append(Text("   ".join(f"{key}: {what}" for key, what in pairs), style="bright_black"))
        return parts

    def _labels(self, held: str) -> Text:
        lesson = self._keys.lesson
        text = Text(no_wrap=True, overflow="ellipsis")
        for number, label in enumerate(lesson.labels, 1):
            style = "bold reverse" if label == held else "bold" if label == lesson.label else ""
            key = str(number) if number < 10 else " "
            text.append(f"{key} {printable(label)} ({lesson.count(label)})", style=style).append("   ")
        return text.append(f"0 nothing ({lesson.nothing_taught:.0f} s)")

    def _list(self) -> Table:
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        rows, chosen = self._keys.rows, self._keys.chosen
        first = max(0, min(chosen - _LISTED // 2, len(rows) - _LISTED))
        for number, row in enumerate(rows[first : first + _LISTED], first):
            style = "reverse" if number == chosen else ""
            table.add_row(str(row.id), printable(row.label), f"{row.end - row.start:.1f} s", style=style)
        if not rows:
            table.add_row("no example yet")
        return table


def seconds_left(cue: Cue) -> int:
    """Whole seconds that are left, as a countdown says them: never 0."""
    return max(1, int(np.ceil(cue.left - 1e-6)))


def words_of(cue: Cue, label: str) -> tuple[str, str, str]:
    """Title, detail and colour of a cue."""
    if cue.kind == "ready":
        return cue.label, f"get ready, then {cue.label}", "yellow"
    if cue.kind == "go":
        return cue.label, "now!", "red"
    return "nothing", "stay in the picture and do anything else", "white"


def asked(keys: TeachKeys) -> str:
    """What is wanted next; empty: nothing."""
    lesson = keys.lesson
    held = keys.held
    if held is not None:
        return f"{printable(held[0])} ... let go when it is over"
    if lesson.cue is not None:
        return "Esc stops it"
    if not lesson.labels:
        return "name what you want to teach: n"
    if lesson.wants_nothing:
        return (
            f"now {lesson.nothing_seconds:.0f} s of nothing: 0, then stay in the picture and do anything else"
        )
    lacking = [label for label in lesson.labels if lesson.count(label) < ENOUGH]
    if lacking:
        label = lacking[0]
        return (
            f"{printable(label)}: {ENOUGH - lesson.count(label)} more; do it, then press its number, or space"
        )
    return "learning ..." if lesson.fitting else printable(lesson.advice)

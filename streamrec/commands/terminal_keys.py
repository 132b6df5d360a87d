"""Single keys from the terminal, without Enter."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from typing import Self

# What a terminal sends -> the name of the key; everything else that begins with Esc is left out.
_NAMED = {
    "\x1b[A": "up",
    "\x1b[B": "down",
    "\x1bOA": "up",
    "\x1bOB": "down",
    "\x1b": "esc",
    "\r": "enter",
    "\n": "enter",
    "\t": "tab",
    "\x7f": "backspace",
    "\x08": "backspace",
}


class TerminalKeys:
    """Single keys from the terminal, without Enter; none where standard input is no terminal."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._file: int | None = None

    def __enter__(self) -> Self:
        if sys.platform != "win32" and sys.stdin is not None and sys.stdin.isatty():
            import termios
            import tty

            file = sys.stdin.fileno()
            if os.tcgetpgrp(file) == os.getpgrp():  # a process in the background would be stopped
                self._stack.callback(termios.tcsetattr, file, termios.TCSADRAIN, termios.tcgetattr(file))
                tty.setcbreak(file)
                self._file = file
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def pressed(self) -> str:
        """All keys since the last call that are letters; of F2 and the like nothing."""
        keys = self._read()
        return "" if keys.startswith("\x1b") else keys

    def named(self) -> list[str]:
        """All keys since the last call: a letter, or the name of a key such as "enter"."""
        return name_keys(self._read())

    def _read(self) -> str:
        if sys.platform == "win32":
            import msvcrt

            keys = ""
            while sys.stdin is not None and sys.stdin.isatty() and msvcrt.kbhit():
                keys += msvcrt.getwch()
            return keys
        import select

        if self._file is None or not select.select([self._file], [], [], 0.0)[0]:
            return ""
        keys = os.read(self._file, 64).decode("utf-8", "ignore")
        if not keys:  # the terminal is gone
            self._file = None
        return keys


def name_keys(text: str) -> list[str]:
    r"""What a terminal sent, key by key.

    >>> name_keys("w1\x1b[A\x1bOQ\r"), name_keys("\x1b")
    (['w', '1', 'up', 'enter'], ['esc'])
    """
    keys = []
    while text:
        if text.startswith(("\x1b[", "\x1bO")):
            length = 3
            while text[1] == "[" and length < len(text) and not "@" <= text[length - 1] <= "~":
                length += 1
            name = _NAMED.get(text[:length])
            text = text[length:]
        else:
            name, text = _NAMED.get(text[0], text[0] if text[0].isprintable() else None), text[1:]
        if name is not None:
            keys.append(name)
    return keys

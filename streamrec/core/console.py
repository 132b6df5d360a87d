"""Lines for a person at a terminal or in a journal: nothing but text, and whose trouble stops nobody."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from typing import Any

from rich.console import Console

from streamrec.core.redact import redact
from streamrec.core.steady import BackgroundFile, SteadyFile
from streamrec.core.text import printable


class Lines(Console):
    """A console for whole sentences: ``say`` masks secrets, escapes what a terminal would obey, and raises nothing.

    ``background``: in a thread of its own, so that a terminal that was stopped (Ctrl-S) holds up nobody; then
    ``close`` writes what waits. ``tell`` gets what is to be said of the stream itself.
    """

    def __init__(
        self,
        *,
        stderr: bool = False,
        quiet: bool = False,
        background: bool = False,
        tell: Callable[[str], object] = lambda sentence: None,
    ) -> None:
        stream = sys.stderr if stderr else sys.stdout
        name = "standard error" if stderr else "standard output"
        self._secrets = tuple(getattr(stream, "secrets", ()))  # what a stream that masks them would mask
        self._steady: SteadyFile | BackgroundFile | None = None
        if _is_real(stream):
            self._steady = SteadyFile(stream, name, tell=tell)
            if background:
                self._steady = BackgroundFile(self._steady, tell=tell)
        file: Any = self._steady
        super().__init__(
            file=file, stderr=stderr, quiet=quiet, highlight=False, markup=False, soft_wrap=True, emoji=False
        )

    @property
    def gone(self) -> bool:
        """Whether nobody reads it any more."""
        return self._steady is not None and self._steady.gone

    @property
    def complete(self) -> bool:
        """Whether no line was lost on the way there."""
        return self._steady is None or self._steady.complete

    def say(self, text: object, style: str | None = None) -> None:
        """A line of its own."""
        with contextlib.suppress(BrokenPipeError):  # of a rich that does not ask ``on_broken_pipe``
            self.print(printable(redact(str(text), self._secrets)), style=style)

    def on_broken_pipe(self) -> None:
        """Nobody reads any more: ``gone`` says so, and who wants to end ends."""
        self.quiet = True

    def close(self) -> None:
        """Write what waits; nothing is said afterwards."""
        if self._steady is not None:
            self._steady.close()


def _is_real(stream: Any) -> bool:
    """Whether the system knows it by a number: not what a test or a notebook puts in its place."""
    try:
        return stream is not None and stream.fileno() >= 0
    except (OSError, ValueError, AttributeError):
        return False

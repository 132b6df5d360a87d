"""Whole lines for a terminal or a journal: printable, without secrets, and without an error for the caller."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from typing import Any

from rich.console import Console

from streamrec.core.line_files import BackgroundLineFile, LineFile
from streamrec.core.redact import redact
from streamrec.core.text import printable


class LineConsole(Console):
    """A console for whole lines: ``print_line`` masks secrets, escapes control characters, and never raises.

    ``background``: lines are written by a thread of their own, so that a stopped terminal (Ctrl-S) blocks no
    caller; ``close`` writes what is left. ``log`` receives messages about the stream itself.
    """

    def __init__(
        self,
        *,
        stderr: bool = False,
        quiet: bool = False,
        background: bool = False,
        log: Callable[[str], object] = lambda message: None,
    ) -> None:
        stream = sys.stderr if stderr else sys.stdout
        name = "standard error" if stderr else "standard output"
        self._secrets = tuple(getattr(stream, "secrets", ()))  # that the replaced stream would mask
        self._lines: LineFile | BackgroundLineFile | None = None
        if _is_real(stream):
            self._lines = LineFile(stream, name, log=log)
            if background:
                self._lines = BackgroundLineFile(self._lines, log=log)
        file: Any = self._lines
        super().__init__(
            file=file, stderr=stderr, quiet=quiet, highlight=False, markup=False, soft_wrap=True, emoji=False
        )

    @property
    def gone(self) -> bool:
        """Whether the reader of the stream has gone."""
        return self._lines is not None and self._lines.gone

    @property
    def complete(self) -> bool:
        """Whether every line was written."""
        return self._lines is None or self._lines.complete

    def print_line(self, text: object, style: str | None = None) -> None:
        """Print one line."""
        with contextlib.suppress(BrokenPipeError):  # versions of rich without ``on_broken_pipe``
            self.print(printable(redact(str(text), self._secrets)), style=style)

    def on_broken_pipe(self) -> None:
        """The reader has gone: print nothing more; ``gone`` is True, and the caller decides whether to end."""
        self.quiet = True

    def close(self) -> None:
        """Write what is left; nothing is printed afterwards."""
        if self._lines is not None:
            self._lines.close()


def _is_real(stream: Any) -> bool:
    """Whether the stream has a file descriptor; one that a test or a notebook puts in its place has none."""
    try:
        return stream is not None and stream.fileno() >= 0
    except (OSError, ValueError, AttributeError):
        return False

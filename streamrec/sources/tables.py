"""Files of readings: CSV, plain or compressed, and pipes of lines."""

from __future__ import annotations

import gzip
import io
import os
import sys
import time
import zlib
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import IO

import streamrec.sources.health as report
from streamrec.core.messages import NOT_UTF8, why
from streamrec.core.text import printable
from streamrec.errors import SourceError
from streamrec.sources.file_bytes import STDIN, existing
from streamrec.sources.rows import LONGEST_LINE, frames_of, rows_of_lines
from streamrec.types import SIGNAL, Frame, Source

CUT_OFF = "it is cut off"  # why the rest of a file was not read
TABLE_ENDINGS = (".csv", ".csv.gz", ".tsv", ".tsv.gz")


def is_table(path: str | Path) -> bool:
    """Whether a file is called like a table of readings.

    >>> is_table("s01.csv.gz"), is_table("party.mp4")
    (True, False)
    """
    return str(path).lower().endswith(TABLE_ENDINGS)


class TableSource(Source):
    """A table of readings, a row a moment: a CSV file, plain or gzip, or lines from a pipe (``-``: standard input).

    The first line names the columns: ``seconds`` (or time, timestamp) is the clock, ``label`` the truth of each row,
    the columns of numbers are the channels. Rows of a pipe may have no time: they are stamped as they come. A pipe may
    bring a JSON object a line instead. ``tail -f readings.csv | streamrec run - -m motion`` follows a growing file.
    """

    sense = SIGNAL
    live = False

    def __init__(self, path: str | Path) -> None:
        self._piped = str(path) in STDIN
        self._path = Path(path)
        self._left = False
        self.name = "standard input" if self._piped else printable(self._path.name)
        if self._piped:
            return
        if self._path.is_dir():
            raise SourceError(f"{printable(str(path))} is a folder; a table of readings is a file")
        self._path = existing(self._path)
        self._piped = not self._path.is_file()

    def interrupt(self) -> None:
        """End after the row that is awaited."""
        self._left = True

    def __iter__(self) -> Iterator[Frame]:
        self._left = False
        self.channels = ()
        return report.with_health(self, self._frames())

    def _frames(self) -> Generator[Frame, None, str | None]:
        lines = _Lines(self)
        rows = rows_of_lines(self, lines, timed=not self._piped)
        empty = True
        for frame in frames_of(
            self, rows, strict=not self._piped, arrival=time.monotonic if self._piped else None
        ):
            if self._left:
                return report.LEFT
            empty = False
            yield frame
        if empty and not self._piped:
            raise SourceError(
                f"{self.name} holds no row of readings{': ' + lines.lost if lines.lost else ''}"
            )
        return lines.lost or None

    def _open(self) -> IO[str]:
        if str(self._path) in STDIN:
            return io.TextIOWrapper(os.fdopen(os.dup(sys.stdin.fileno()), "rb"), "utf-8-sig")
        if self._path.name.lower().endswith(".gz"):
            return gzip.open(self._path, "rt", encoding="utf-8-sig")
        return self._path.open(encoding="utf-8-sig")


class _Lines:
    """The lines of the file; ``lost``: why the rest could not be read."""

    def __init__(self, source: TableSource) -> None:
        self._source = source
        self.lost = ""

    def __iter__(self) -> Iterator[str]:
        name = self._source.name
        try:
            with self._source._open() as file:
                number = 0
                while line := file.readline(LONGEST_LINE):
                    number += 1
                    if len(line) >= LONGEST_LINE:
                        raise SourceError(
                            f"{name}, line {number}: it is longer than {LONGEST_LINE:,} letters"
                        )
                    yield line
        except UnicodeDecodeError as error:
            raise SourceError(f"{name}: {NOT_UTF8}; save it as CSV UTF-8") from error
        except (EOFError, zlib.error):  # the gzip stream stops in the middle
            self.lost = CUT_OFF
        except OSError as error:  # gzip's BadGzipFile is one
            raise SourceError(f"{name} cannot be read: {why(error)}") from error

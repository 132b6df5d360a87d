"""Rows of readings: of an iterable, and of lines of text (CSV with a head, or a JSON object a line)."""

from __future__ import annotations

import csv
import json
import math
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NoReturn

import numpy as np

import streamrec.sources.health as report
from streamrec.core.arguments import is_number, number
from streamrec.core.context import unpicklable
from streamrec.core.csv_tables import decimal
from streamrec.core.messages import described, shortened
from streamrec.core.text import printable
from streamrec.errors import SourceError
from streamrec.types import SIGNAL, Frame, Source

TIMES = (
    "seconds",
    "time",
    "timestamp",
    "t",
    "datetime",
    "date",
    "milliseconds",
    "ms",
)  # columns of the clock
TRUTH = "label"  # column of the true label
_MILLI = ("milliseconds", "ms")
_SEPARATORS = (",", ";", "\t")
_MOST_CHANNELS = 1024
LONGEST_LINE = 65_536  # letters
_LOOK_AHEAD = 100  # rows in which a channel may be missing before it is passed over
NO_READING = "a reading is missing"  # a cause in ``Health.refused``


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One row, as it was read."""

    values: np.ndarray | None  # (C,) float32; None: one of the readings is missing
    time: float | None  # seconds on the source's clock; None: it has none of its own
    truth: str | None
    place: str  # for messages: "line 17"


class RowSource(Source):
    """Rows of readings of the caller: any iterable of rows, as a source of a signal.

    A row is an array or a list of numbers; ``(seconds, row)``; or a mapping of channels to numbers, in which
    ``seconds`` (or time, timestamp, t) is the time and ``label`` the truth. Rows without a time come at ``fps``; of a
    live source they are stamped as they come.

    >>> rows = RowSource([{"seconds": 0.5, "x": 1.0, "label": "walking"}])
    >>> [(frame.timestamp, frame.data.tolist(), frame.truth) for frame in rows], rows.channels
    ([(0.5, [1.0], 'walking')], ('x',))
    """

    sense = SIGNAL

    def __init__(
        self,
        rows: Iterable[Any],
        *,
        channels: tuple[str, ...] = (),
        fps: float | None = None,
        name: str = "rows",
        live: bool = False,
    ) -> None:
        self.rows = rows
        self.channels = channels
        self.fps = None if fps is None else number(fps, "fps", above=0.0)
        self.name = name
        self.live = live

    def __reduce_ex__(self, protocol: Any) -> Any:
        """An iterator, such as a generator, cannot be pickled."""
        return unpicklable(self) if isinstance(self.rows, Iterator) else super().__reduce_ex__(protocol)

    def __iter__(self) -> Iterator[Frame]:
        return report.with_health(self, self._frames())

    def _frames(self) -> Generator[Frame, None, None]:
        timed = (row_of(given, f"row {index}", self) for index, given in enumerate(self.rows))
        yield from frames_of(self, timed, fps=self.fps)


def row_of(given: Any, place: str, source: Source) -> Row:
    """A row that an app or a sensor gave; its names become the source's channels.

    Which are channels shows in the first row without a missing reading; what is missing in a hundred rows is none.
    """
    seconds: float | None = None
    if isinstance(given, tuple) and len(given) == 2 and not is_number(given[1]):
        seconds, given = _clock(given[0], place, source), given[1]
    truth = None
    if isinstance(given, Mapping):
        own = {key: value for key, value in given.items() if key not in (*TIMES, TRUTH)}
        for name in TIMES:
            if name in given and seconds is None:
                seconds = _clock(given[name], place, source, milli=name in _MILLI)
        truth = None if given.get(TRUTH) in (None, "") else str(given[TRUTH])
        if not source.channels:
            undecided = any(value is None for value in own.values())
            if undecided and source.health.refused.get(NO_READING, 0) < _LOOK_AHEAD:
                return Row(None, seconds, truth, place)
            source.channels = tuple(key for key, value in own.items() if is_number(value))
        missing = [name for name in source.channels if own.get(name) is None]
        if missing:
            return Row(None, seconds, truth, place)
        given = [own[name] for name in source.channels]
    values = np.asarray(given) if isinstance(given, list | tuple | np.ndarray) else None
    if (
        values is None
        or values.ndim != 1
        or values.dtype.kind not in "fiu"
        or not 0 < values.size <= _MOST_CHANNELS
    ):
        raise SourceError(f"{source.name}, {place}: {described(given)} is no row of readings: give numbers")
    values = values.astype(np.float32)
    return Row(values if np.isfinite(values).all() else None, seconds, truth, place)


def frames_of(
    source: Source,
    rows: Iterable[Row | None],
    *,
    fps: float | None = None,
    arrival: Callable[[], float] | None = None,
    strict: bool = False,
) -> Generator[Frame, None, None]:
    """The rows as frames; those in which a reading is missing are counted, and left out. None begins a segment.

    ``fps``, ``arrival``: what gives a time to a row that has none. A clock that goes back begins a segment; ``strict``:
    it raises ``SourceError``, for a file is to be in order.
    """
    if arrival is None and fps is None and source.live:
        arrival = time.monotonic
    last, segment, begun = -math.inf, 0, None
    for index, row in enumerate(rows):
        if row is None:
            segment, last = segment + 1, -math.inf
            continue
        seconds = row.time
        if seconds is None and arrival is not None:
            now = arrival()
            begun = now if begun is None else begun
            seconds = now - begun
        elif seconds is None and fps is not None:
            seconds = index / fps
        if seconds is None:
            raise SourceError(
                f"{source.name}, {row.place}: the row has no time; give (seconds, row), a key or column 'seconds', or "
                "RowSource(rows, fps=50)"
            )
        if row.values is None:
            report.count_refused(source, NO_READING)
            continue
        if seconds < last:
            if strict:
                raise SourceError(
                    f"{source.name}, {row.place}: its time {seconds:g} is before that of the row above, {last:g}: "
                    "sort the rows by time"
                )
            segment += 1
        last = seconds
        yield Frame(row.values, index, seconds, segment, source.name, time.monotonic(), row.truth)


def rows_of_lines(source: Source, lines: Iterable[str], *, timed: bool) -> Iterator[Row]:
    """The rows of a text, line by line: CSV whose first line names the columns, or JSON objects.

    ``timed``: a column of times is needed. Columns whose first reading is no number are passed over; the others
    become the source's channels. Raises ``SourceError``, which names the line.
    """
    numbered = ((n, line.strip("\r\n\ufeff")) for n, line in enumerate(lines, start=1))
    numbered = ((n, line) for n, line in numbered if line.strip())
    first = next(numbered, None)
    if first is None:
        return
    if first[1].lstrip().startswith("{"):
        for n, line in ((first), *numbered):
            yield row_of(_object(line, n, source), f"line {n}", source)
        return
    yield from _Table(source, *first, timed=timed).rows(numbered)


class _Table:
    """A CSV table that is read line by line."""

    def __init__(self, source: Source, line: int, head: str, *, timed: bool) -> None:
        self._source = source
        self._separator = max(_SEPARATORS, key=head.count)
        self._names = [cell.strip() for cell in self._cells(line, head)]
        twice = [name for name in self._names if name and self._names.count(name) > 1]
        if twice:
            self._fail(line, f"it names the column {printable(twice[0])} more than once")
        if all(_is_number(name) for name in self._names):
            self._fail(line, "it names no columns: let the first line be like seconds,x,y,z")
        lower = [name.lower() for name in self._names]
        self._time = next((lower.index(name) for name in TIMES if name in lower), None)
        self._milli = self._time is not None and lower[self._time] in _MILLI
        self._truth = lower.index(TRUTH) if TRUTH in lower else None
        others = (self._time, self._truth)
        self._candidates = [n for n, name in enumerate(self._names) if name and n not in others]
        self._columns: list[int] | None = None  # of the channels
        self._timed = timed
        self._began: float | None = None  # of a clock of dates
        if self._time is None and timed:
            self._fail(line, "it names no column of times: call one seconds (or timestamp)")

    def rows(self, lines: Iterable[tuple[int, str]]) -> Iterator[Row]:
        """The rows below the head."""
        held: list[tuple[int, list[str]]] = []  # of a file, until it shows which columns are channels
        seen: dict[int, str] = {}  # column -> its first reading
        begun = 0
        for line, text in lines:
            cells = self._cells(line, text)
            if len(cells) != len(self._names):
                self._fail(
                    line, f"it has {len(cells)} cells, and the first line names {len(self._names)} columns"
                )
            if self._columns is not None:
                yield self._row(line, cells)
                continue
            begun += 1
            for column, cell in enumerate(cells):
                if not _is_missing(cell):
                    seen.setdefault(column, cell)
            held.append((line, cells))
            if begun < _LOOK_AHEAD and not all(n in seen for n in self._candidates):
                if not self._timed:  # a row of now: it lacks a reading, and is refused at once
                    held.clear()
                    yield self._row(line, cells)
                continue
            self._choose(line, seen)
            yield from (self._row(*one) for one in held)
            held.clear()
        if held:
            self._choose(held[0][0], seen)
            yield from (self._row(*one) for one in held)

    def _row(self, line: int, cells: list[str]) -> Row:
        return Row(
            None if self._columns is None else self._values(line, cells, self._columns),
            None if self._time is None else self._seconds(line, cells[self._time]),
            (cells[self._truth].strip() or None) if self._truth is not None else None,
            f"line {line}",
        )

    def _choose(self, line: int, seen: Mapping[int, str]) -> None:
        """The columns of numbers, by the first reading of each; one without any is passed over."""
        found = [n for n in self._candidates if n in seen and _is_number(seen[n])]
        wanted = self._source.channels
        if not found:
            self._fail(line, "it holds no readings: no column but that of times has a number in it")
        if len(found) > _MOST_CHANNELS:
            self._fail(line, f"it holds {len(found)} readings; {_MOST_CHANNELS} are the most")
        self._columns = found
        if not wanted:
            self._source.channels = tuple(self._names[n] for n in found)

    def _values(self, line: int, cells: list[str], columns: list[int]) -> np.ndarray | None:
        found = []
        for column in columns:
            cell = cells[column]
            try:
                value = float(cell)
            except ValueError:
                value = self._slow(line, column, cell)
            found.append(value)
        values = np.array(found, np.float32)
        return values if np.isfinite(values).all() else None

    def _slow(self, line: int, column: int, cell: str) -> float:
        if _is_missing(cell):
            return math.nan
        try:
            return decimal(cell)
        except ValueError:
            self._fail(
                line, f"{printable(self._names[column])} is {shortened(cell.strip())}, which is no number"
            )

    def _seconds(self, line: int, cell: str) -> float:
        try:
            seconds = decimal(cell)
        except ValueError:
            return self._date(line, cell)
        if not math.isfinite(seconds):
            self._fail(line, f"its time is {shortened(cell.strip())}: give seconds, or a date and time")
        return seconds / 1000.0 if self._milli else seconds

    def _date(self, line: int, cell: str) -> float:
        """Seconds since the first row, of a date with a time."""
        try:
            seconds = _date_seconds(cell)
        except ValueError:
            self._fail(line, f"its time is {shortened(cell.strip())}: give seconds, or a date and time")
        self._began = seconds if self._began is None else self._began
        return seconds - self._began

    def _cells(self, line: int, text: str) -> list[str]:
        if '"' not in text:
            return text.split(self._separator)
        try:
            return next(csv.reader([text], delimiter=self._separator, skipinitialspace=True), [])
        except csv.Error as error:
            self._fail(line, str(error))

    def _fail(self, line: int, why: str) -> NoReturn:
        raise SourceError(f"{self._source.name}, line {line}: {why}")


def _object(text: str, line: int, source: Source) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise SourceError(
            f"{source.name}, line {line}: {shortened(text)} is no JSON object; the first line is one"
        )
    return found


def _date_seconds(text: str) -> float:
    """Seconds since 1970 of a date with a time; without a zone it is UTC. Raises ``ValueError``."""
    moment = datetime.fromisoformat(text.strip())
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _clock(value: Any, place: str, source: Source, *, milli: bool = False) -> float:
    if is_number(value) and math.isfinite(float(value)):
        return float(value) / (1000.0 if milli else 1.0)
    if isinstance(value, str):
        try:
            return _date_seconds(value)
        except ValueError:
            pass
    raise SourceError(f"{source.name}, {place}: its time is {described(value)}: give seconds")


def _is_missing(text: str) -> bool:
    return text.strip().lower() in ("", "na", "null", "none")


def _is_number(text: str) -> bool:
    try:
        decimal(text.strip())
    except ValueError:
        return False
    return True

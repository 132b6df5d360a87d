"""Reading CSV tables, whatever wrote them: commas, semicolons or tabs, from a spreadsheet, an editor or a program."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Collection
from pathlib import Path

from streamrec.core.messages import why
from streamrec.errors import DataError

SEPARATORS = (",", ";", "\t", "|")
_MARKED = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SAVE = "save it as CSV UTF-8"

Row = tuple[int, dict[str, str]]  # the line where it ends, and the cells by column


def read_table(path: Path, known: Collection[str]) -> tuple[list[str], list[Row]]:
    """The names of the columns, in lower case, and the rows that are not empty; every cell is stripped.

    The separator (comma, semicolon, tab or bar) is the one that gives most of the ``known`` names in the first line.
    The encoding is UTF-8, or UTF-16 and UTF-32 with a byte order mark. Raises ``DataError``.
    """
    text = _text(path)
    first, _, rest = text.lstrip("\r\n").partition("\n")
    if first.strip().lower().startswith("sep="):  # Excel's own first line
        skipped, text = text.count("\n", 0, len(text) - len(rest)), rest
    else:
        skipped = 0
    head = next((line for line in text.splitlines() if line.strip()), "")
    separator = max(SEPARATORS, key=lambda each: _found(head, each, known))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
    columns: list[str] = []
    rows: list[Row] = []
    try:
        for cells in reader:
            cells = [cell.strip() for cell in cells]
            line = reader.line_num + skipped
            if not any(cells):
                continue
            if not columns:
                columns = _columns(path, cells)
                continue
            if any(cells[len(columns) :]):
                raise DataError(
                    f"{path}, line {line}: {len(cells)} cells, and the first line names {len(columns)} columns; put a "
                    f'cell that holds {separator!r} between "quotes"'
                )
            several = [name for name, cell in zip(columns, cells, strict=False) if len(cell.splitlines()) > 1]
            if several and _is_open(text, separator):
                raise DataError(
                    f"{path}, the row that ends at line {line}: its {several[0]} goes over several lines; close its "
                    '"quote"'
                )
            rows.append((line, dict(zip(columns, cells + [""] * (len(columns) - len(cells)), strict=False))))
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num + skipped}: {error}; {_SAVE}") from error
    return [name for name in columns if name], [
        (line, {name: cell for name, cell in row.items() if name}) for line, row in rows
    ]


def _is_open(text: str, separator: str) -> bool:
    """Whether the quote of the last cell is never closed, so that it contains all text after it."""
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True
    )
    try:
        for _ in reader:
            pass
    except csv.Error as error:
        return "unexpected end" in str(error)
    return False


def decimal(text: str) -> float:
    """A number with a decimal point or a decimal comma; raises ``ValueError``.

    >>> decimal("2,5"), decimal("2.5"), decimal("12")
    (2.5, 2.5, 12.0)
    """
    return float(text.replace(",", ".") if text.count(",") == 1 and "." not in text else text)


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {why(error)}") from error
    if data.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise DataError(f"{path} is a workbook of a spreadsheet, not a table of text; {_SAVE}")
    encoding = next((name for mark, name in _MARKED if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        if b"\0" in data:
            raise DataError(f"{path} is not a table of text, a CSV file; {_SAVE}") from error
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}, line {line}: its letters are not UTF-8 (a spreadsheet wrote it in an older way); {_SAVE}"
        ) from error
    if "\0" in text:
        raise DataError(f"{path} is not a table of text, a CSV file, or is UTF-16 without its mark; {_SAVE}")
    return text


def _found(head: str, separator: str, known: Collection[str]) -> tuple[int, int]:
    names = [_name(cell) for cell in next(csv.reader([head], delimiter=separator, skipinitialspace=True), [])]
    return sum(name in known for name in names), len(names)


def _columns(path: Path, cells: list[str]) -> list[str]:
    names = [_name(cell) for cell in cells]
    twice = [name for name in dict.fromkeys(names) if name and names.count(name) > 1]
    if twice:
        raise DataError(f"{path}: the first line names the column {twice[0]} more than once")
    return names


def _name(cell: str) -> str:
    return " ".join(cell.strip().strip("\ufeff").strip("\"'").lower().split())

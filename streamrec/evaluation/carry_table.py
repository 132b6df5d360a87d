"""The table of ``streamrec carry``, as text that is valid Markdown too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from streamrec.core.text import printable
from streamrec.evaluation.carry import SOON, CarryRow
from streamrec.evaluation.reports import Interval
from streamrec.evaluation.sets import DataSet
from streamrec.evaluation.text_tables import percent, table

HEADER = (
    "model",
    "set",
    "clips",
    "found",
    "% (95 %)",
    f"in {SOON:g} s",
    "left alone",
    "at the end",
    "right % (95 %)",
    "AUC (95 %)",
    "false",
    "hours",
    "an hour (95 %)",
    "delay s",
)


def carry_text(
    rows: Sequence[CarryRow],
    sets: Sequence[DataSet],
    *,
    looks: Mapping[tuple[str, str], int] | None = None,
    notes: Sequence[str] = (),
) -> str:
    """The table, then what it needs to be read.

    ``looks``: (model, set) -> how many looks at the set there were so far; None: no log was kept.
    """
    header = [*HEADER, *(["looks"] if looks is not None else [])]
    cells = []
    for row in rows:
        shown = bool(row.shown)
        line = [
            row.model,
            row.data,
            str(row.clips) if row.clips == row.of else f"{row.clips} of {row.of}",
            f"{row.found} of {row.actions}" if shown else "-",
            percent(row.recall, row.recall_interval),
            "-" if row.soon is None else str(row.soon),
            f"{row.left_alone} of {row.quiet}" if row.quiet else "-",
            "-" if row.at_end is None else " and ".join(map(str, row.at_end)),
            percent(row.right, row.right_interval),
            _number(row.auc, row.auc_interval, 2),
            str(row.false_events),
            f"{row.hours:.3f}",
            _number(row.per_hour, row.per_hour_interval, 0),
            "-" if row.delay is None else f"{row.delay:.2f}",
        ]
        if looks is not None:
            count = looks.get((row.model, row.data))
            line.append("-" if count is None else str(count))
        cells.append(line)
    lines = [*notes, *_partly_judged(rows), *_licences(rows, sets), *_unreadable(rows)]
    return table(header, cells) + ("\n\n" + "\n".join(f"- {line}" for line in lines) if lines else "")


def _number(value: float | None, interval: Interval | None, digits: int) -> str:
    if value is None:
        return "-"
    more = f" ({interval[0]:.{digits}f} to {interval[1]:.{digits}f})" if interval else ""
    return f"{value:.{digits}f}{more}"


def _partly_judged(rows: Sequence[CarryRow]) -> list[str]:
    """Which actions are judged where a set has no rule for others."""
    by_labels: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    every: dict[str, set[str]] = {}
    for row in rows:
        every.setdefault(row.model, set()).update(row.judged)
        by_labels.setdefault((row.model, row.judged), []).append(row.data)
    return [
        f"{model} on {', '.join(places)}: only {', '.join(judged)} is judged"
        for (model, judged), places in by_labels.items()
        if set(judged) < every[model]
    ]


def _licences(rows: Sequence[CarryRow], sets: Sequence[DataSet]) -> list[str]:
    there = {row.data.partition("/")[0] for row in rows}
    return [
        f"{one.name}: {one.about or 'a set of your own'}; licence: {one.licence}"
        + ("" if one.may_ship else "; weights that learned from it do not ship")
        for one in sets
        if one.name in there
    ]


def _unreadable(rows: Sequence[CarryRow]) -> list[str]:
    messages = dict.fromkeys(message for row in rows for message in row.unreadable)
    return [f"could not be read: {printable(message)}" for message in messages]

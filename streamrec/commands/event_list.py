"""What ``streamrec events`` does: prints the history as text, JSON or CSV, and follows it."""

from __future__ import annotations

import csv
import io
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from streamrec.commands.printing import print_error
from streamrec.core.durations import seconds_of
from streamrec.core.files import replacing
from streamrec.core.messages import why
from streamrec.core.text import printable
from streamrec.errors import HistoryError
from streamrec.outputs.history.archive import Archive
from streamrec.outputs.history.records import Entry, Outcome
from streamrec.outputs.history.store import History, HistorySettings
from streamrec.settings.cameras_file import read_settings

_SIMILAR = 12  # events that are listed with --like and without --limit
_SOME = 50  # events that are listed without --limit and times
_POLL_SECONDS = 0.5
_CSV = (
    "id", "camera", "model", "label", "started", "ended", "duration", "confidence", "repetitions", "interrupted",
    "clip", "thumbnail", "zone", "rule", "based_on", "person", "decision", "reason", "judgment", "opinion", "judged_by",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class EventList:
    """One run of ``streamrec events``; the fields are its options."""

    file: Path
    since: str | None = None
    until: str | None = None
    cameras: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    limit: int | None = None
    form: str = "text"  # or "json" or "csv"
    follow: bool = False
    like: str | None = None  # an event's id: the events that are most like it, the most similar first
    export: Path | None = None  # the zip to write

    def run(self, print_line: Callable[[str], object]) -> None:
        """Print a line for each event, the oldest first; with ``follow`` until Ctrl-C."""
        now = time.time()
        since = None if self.since is None else moment_of(self.since, now)
        until = None if self.until is None else moment_of(self.until, now)
        if since is not None and until is not None and since >= until:
            raise HistoryError(f"--since {self.since} is not before --until {self.until}")
        with History(history_of(self.file), read_only=True) as history:
            limit = self.limit
            if limit is None:
                limit = -1 if self.since or self.until else _SOME
            if self.like is not None:
                self._print_similar(history, since, until, print_line)
                return
            if self.export is not None:
                write_archive(self._found(history, since, until, limit), self.export, print_line)
                return
            _, number = history.changes()  # read first: an event between the two is printed twice, not never
            if self.form == "csv":
                print_line(_csv_line(_CSV))
            printed = {entry.id: entry for entry in self._found(history, since, until, limit)}
            for entry in printed.values():
                print_line(self._line(entry))
            if left_out := history.unsound():
                print_error(f"{history.path}: {left_out} of its rows are no events and are left out")
            trouble = ""
            while self.follow:
                entries: list[Entry] = []
                try:
                    entries, number = history.changes(number)
                    trouble = ""
                except HistoryError as error:  # it may be there again, or begun anew
                    if str(error) != trouble:
                        print_error(trouble := str(error))
                for entry in entries:
                    if self._is_wanted(entry, since, until) and printed.get(entry.id) != entry:
                        print_line(self._line(entry))
                        printed[entry.id] = entry
                time.sleep(_POLL_SECONDS)

    def _found(self, history: History, since: float | None, until: float | None, limit: int) -> list[Entry]:
        found: list[Entry] = []
        for entry in history.pages(since=since, until=until, camera=self.cameras, label=self.labels):
            if len(found) == limit:
                break
            found.append(entry)
        return found[::-1]

    def _print_similar(
        self,
        history: History,
        since: float | None,
        until: float | None,
        print_line: Callable[[str], object],
    ) -> None:
        assert self.like is not None
        entry = history.get(self.like)
        if entry is None:
            raise HistoryError(
                f"there is no event {self.like!r} in {history.path}; `streamrec events --json` has the ids"
            )
        found = history.similar(
            entry,
            since=since,
            until=until,
            camera=self.cameras,
            label=self.labels,
            limit=self.limit or _SIMILAR,
        )
        if found.reason:
            raise HistoryError(f"{self.like}: {found.reason}")
        for one, score in found.found:
            if self.form == "json":
                print_line(json.dumps(one.to_dict() | {"similarity": round(score, 4)}, ensure_ascii=False))
            else:
                print_line(f"{score:5.2f}  {line_of(one)}")
        if found.others:
            print_error(
                f"{found.compared} events were compared; {found.others} have nothing to compare, or are of "
                "another model"
            )

    def _is_wanted(self, entry: Entry, since: float | None, until: float | None) -> bool:
        return (
            (not self.cameras or entry.camera in self.cameras)
            and (not self.labels or entry.label in self.labels)
            and (since is None or entry.ended is None or entry.ended >= since)
            and (until is None or entry.started < until)
        )

    def _line(self, entry: Entry) -> str:
        if self.form == "json":
            return json.dumps(entry.to_dict(), ensure_ascii=False)
        if self.form == "csv":
            values = entry.to_dict()
            values["interrupted"] = "yes" if entry.interrupted else "no"
            values["based_on"] = " ".join(entry.based_on)
            return _csv_line(tuple("" if values[name] is None else str(values[name]) for name in _CSV))
        return line_of(entry)


def line_of(entry: Entry) -> str:
    """An event as a line of text, in local time."""
    moment = datetime.fromtimestamp(entry.started).strftime("%Y-%m-%d %H:%M:%S")
    if entry.duration is None:
        lasted = "it still runs"
    elif entry.interrupted:
        lasted = f"{entry.duration:.1f} s or more (streamrec was ended)"
    else:
        lasted = f"{entry.duration:.1f} s"
    counted = "" if entry.repetitions is None else f", {entry.repetitions} repetitions"
    where = entry.camera if entry.zone is None else f"{entry.camera}, {entry.zone}"
    what = entry.label if entry.person is None else f"{entry.label}, person {entry.person}"
    clip = "" if entry.clip is None else f"  {entry.clip}"
    sure = "rule" if entry.rule is not None else f"{100 * entry.confidence:.0f} %"
    opinion = "" if entry.judgment is None else f"  second opinion: {entry.judgment}"
    unsent = "" if entry.decision is Outcome.deliver else f"  ({entry.reason or entry.decision})"
    return printable(f"{moment}  {where}  {what}  {sure}  {lasted}{counted}{unsent}{opinion}{clip}")


def write_archive(entries: list[Entry], out: Path, print_line: Callable[[str], object]) -> None:
    """Write a zip of events with their evidence, whole or not at all, readable by its owner alone."""
    if not entries:
        raise HistoryError("there are no such events: nothing is written")
    archive = Archive(entries)
    try:
        with replacing(out, private=True) as file:
            for data in archive:
                file.write(data)
    except OSError as error:
        raise HistoryError(f"cannot write {out}: {why(error)}; choose another place") from error
    missing = len(archive.missing)
    left_out = f"; {missing} of the evidence is missing, as its list.txt says" if missing else ""
    number = f"{len(entries)} event{'' if len(entries) == 1 else 's'}"
    print_line(printable(f"{out}: {number}, {out.stat().st_size / 1e6:.1f} MB{left_out}"))


def _csv_line(values: tuple[str, ...]) -> str:
    line = io.StringIO()
    # A spreadsheet takes a text that begins so for a formula; a quote before it prevents that.
    safe = [f"'{value}" if value[:1] in ("=", "+", "-", "@", "\t") else value for value in values]
    csv.writer(line, lineterminator="").writerow(safe)
    return line.getvalue()


def history_of(file: Path) -> Path:
    """The file of the history: this one, or the one that a file of cameras names."""
    if file.suffix != ".toml":
        return file
    if not file.exists():
        raise HistoryError(
            f"there is no {file}; name the history: streamrec events events.db, or the cameras.toml that has [history]"
        )
    found = read_settings(file, "history", HistorySettings, os.environ)
    if found:
        return Path(found[0].file)
    beside = Path(HistorySettings.beside(file).file)  # kept for rules, evidence or a notifier
    if not beside.exists():
        raise HistoryError(f"{file} has no [history] table; add one, or name the history itself")
    return beside


def moment_of(text: str, now: float) -> float:
    """A time in seconds since 1970: ``2h`` (ago), a date, or a date and a time.

    Without a zone it is local time. Raises ``HistoryError``.

    >>> moment_of("2h", 10_000.0)
    2800.0
    >>> moment_of("1970-01-02T00:00:00+00:00", 0.0)
    86400.0
    """
    ago = seconds_of(text)
    if ago is not None:
        return now - ago
    try:
        return datetime.fromisoformat(text.strip()).timestamp()
    except (ValueError, OverflowError, OSError) as error:
        raise HistoryError(
            f"{text!r} is no time; write 30m, 2h or 7d (ago), 2026-11-26, or 2026-11-26T14:30"
        ) from error

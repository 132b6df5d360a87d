"""``streamrec events``: what happened, as a person, a script and a sheet want it."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from streamrec import ActionEnded, ActionStarted, Frame, History, Prediction, Result
from streamrec.commands.event_list import EventList
from streamrec.errors import HistoryError
from streamrec.outputs.history.records import Entry, new_id
from tests.helpers import forked
from tests.helpers.frames import numbered
from tests.helpers.paths import ROOT


def add(history: History, ago: float, **more) -> Entry:
    started = time.time() - ago
    values = {"camera": "door", "model": "m", "label": "fight", "confidence": 0.9, "ended": started + 2.0}
    entry = Entry(id=new_id(started), started=started, **(values | more))
    history.add(entry)
    return entry


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "cameras.toml").write_text(
        '[history]\nfile = "kept.db"\n[[camera]]\nname = "door"\naddress = "${NOT_SET_HERE}"\n'
    )
    with History(tmp_path / "kept.db") as history:
        add(history, 30 * 3600.0)
        add(history, 3000.0, camera="yard", label="fall", repetitions=4)
        add(history, 60.0, camera="=yard", interrupted=True)
    return tmp_path


def listed(folder, **options) -> list[str]:
    lines: list[str] = []
    EventList(file=folder / "cameras.toml", **options).run(lines.append)
    return lines


def test_a_line_an_event_the_newest_last(folder):
    lines = listed(folder)
    assert len(lines) == 3
    assert lines[1].endswith("  yard  fall  90 %  2.0 s, 4 repetitions")
    assert lines[2].endswith("=yard  fight  90 %  2.0 s or more (streamrec was ended)")
    assert len(listed(folder, since="2h")) == 2
    assert len(listed(folder, since="2h", cameras=("yard",))) == 1
    assert listed(folder, since="2h", labels=("wave",)) == []
    assert listed(folder, limit=1) == lines[2:]


def test_json_and_csv_say_the_same(folder):
    objects = [json.loads(line) for line in listed(folder, form="json")]
    rows = list(csv.DictReader(io.StringIO("\n".join(listed(folder, form="csv")))))
    assert [row["id"] for row in rows] == [one["id"] for one in objects]
    assert [row["started"] for row in rows] == [one["started"] for one in objects]
    assert [row["interrupted"] for row in rows] == ["no", "no", "yes"]
    assert rows[2]["camera"] == "'=yard"  # no formula in a sheet


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"since": "soon"}, "'soon' is no time"),
        ({"since": "1h", "until": "2h"}, "--since 1h is not before --until 2h"),
    ],
)
def test_what_cannot_be_asked_is_told(folder, options, says):
    with pytest.raises(HistoryError, match=says):
        listed(folder, **options)


def test_a_place_without_a_history_is_told(tmp_path):
    with pytest.raises(HistoryError, match=r"there is no .*cameras\.toml; name the history"):
        listed(tmp_path)
    (tmp_path / "cameras.toml").write_text('[[camera]]\nname = "door"\naddress = "0"\n')
    with pytest.raises(HistoryError, match=r"has no \[history\] table"):
        listed(tmp_path)


def test_what_happens_is_followed(folder):
    process = forked.Popen(
        [sys.executable, "-m", "streamrec", "events", "--follow", "--json", "--since", "50s"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "PATH": ""},
    )
    try:
        with History(folder / "kept.db") as history:
            image = numbered(1)[0]
            said = Prediction("", 0.0, image[:0], 0.0)
            time.sleep(1.0)  # it is looking by now, or will find it
            for event in (ActionStarted("wave", 0.0, 0.8), ActionEnded("wave", 1.0, 0.0, 0.9)):
                history.record(Result(Frame(image, 0, event.timestamp, source="door"), said, (event,)))
                line = json.loads(process.stdout.readline())
                assert (line["camera"], line["label"]) == ("door", "wave")
                assert (line["ended"] is None) == isinstance(event, ActionStarted)
    finally:
        process.kill()
        process.wait(60.0)
        process.stdout.close()


def test_what_is_followed_is_followed_into_a_new_file(folder, capsys, monkeypatch):
    """The history is deleted and begun anew while somebody follows it."""
    lines: list[str] = []

    def look(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 1:
            (folder / "kept.db").unlink()
        elif len(looks) == 3:
            with History(folder / "kept.db") as history:
                add(history, 1.0, label="new")  # its counter begins anew
        elif len(looks) == 5:
            raise KeyboardInterrupt

    looks: list[float] = []
    monkeypatch.setattr(time, "sleep", look)
    with pytest.raises(KeyboardInterrupt):
        EventList(file=folder / "kept.db", follow=True).run(lines.append)
    assert sum("  new  " in line for line in lines) == 1
    assert capsys.readouterr().err.count("kept.db was deleted or moved away") == 1


def test_a_name_is_printed_without_what_a_terminal_obeys(folder):
    with History(folder / "kept.db") as history:
        add(history, 1.0, camera="door\x1b]0;owned\x07", label="fight\n2026")
    (line,) = listed(folder, limit=1)
    assert "\x1b" not in line and "\n" not in line


def test_rows_that_are_no_events_are_left_out_and_said(folder, capsys):
    with contextlib.closing(sqlite3.connect(folder / "kept.db")) as there, there:
        there.execute("UPDATE event SET started = 'yesterday' WHERE camera = 'yard'")
    assert len(listed(folder)) == 2
    assert "1 of its rows are no events and are left out" in capsys.readouterr().err

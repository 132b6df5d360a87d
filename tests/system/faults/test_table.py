"""The command that prints the fault table."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import faults as table
from tests.helpers.cameras import need_rtsp
from tests.system.faults.child import ROOT


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "benchmarks" / "faults.py"), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=200, cwd=ROOT)


def test_the_command_prints_a_row_for_each_reader_and_writes_the_numbers(tmp_path: Path) -> None:
    done = run(
        "--faults", "empty file", "--readers", "streamrec", "OpenCV loop", "--json", str(tmp_path / "t.json")
    )
    assert done.returncode == 0, done.stderr
    assert "| empty file | streamrec |" in done.stdout
    assert "| empty file | OpenCV loop |" in done.stdout
    rows = json.loads((tmp_path / "t.json").read_text())["rows"]
    assert [row["outcome"] for row in rows] == ["ends in words", "ends in silence"]
    assert "0 bytes" in rows[0]["says"]


@pytest.mark.slow
def test_the_command_lets_a_fault_happen_to_a_reader() -> None:
    need_rtsp()
    done = run("--faults", "freeze", "--readers", "OpenCV loop", "--json", "-")
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)["rows"]
    assert row["outcome"] == "recovered"
    assert row["wrong_live"] > 1.0  # it waits in read(), and nobody is told
    assert row["notice"] is None
    assert "| freeze | OpenCV loop |" in done.stderr


def row(reader: str, **changes: Any) -> dict[str, Any]:
    plain = {"fault": "f", "reader": reader, "outcome": "recovered", "curable": True, "says": "", "notice": 1.0,
             "recover": 2.0, "lost": 20, "late": 10, "lag": 1.0, "wrong_live": 0.0, "bad": 0}  # fmt: skip
    return {**plain, **changes}


def test_where_another_reader_is_better_is_told() -> None:
    mine = row("streamrec")
    assert table.behind([mine, row("other")], "streamrec") == []
    assert (
        table.behind([mine, row("other", recover=None, outcome="hang", lost=None, late=None)], "streamrec")
        == []
    )
    assert table.behind([mine, row("other", lost=0, late=30)], "streamrec") == []
    (sentence,) = table.behind([mine, row("other", lost=5, late=0)], "streamrec")
    assert "lost" in sentence
    (sentence,) = table.behind([row("streamrec", outcome="hang", recover=None), row("other")], "streamrec")
    assert "comes back" in sentence

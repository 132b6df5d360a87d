"""Somebody's own sink: ten lines, and whatever is wrong with it stops nobody."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from streamrec.errors import SinkError
from streamrec.outputs.plugins import SinkSettings, load_sink, settings_of
from streamrec.types import ActionStarted, Frame, Prediction, Result
from tests.helpers.paths import ROOT

GUIDE = (ROOT / "docs" / "events.md").read_text(encoding="utf-8")
DOORBELL = next(code for code in re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL) if "Doorbell" in code)


def result_of(n: int, *events) -> Result:
    said = Prediction("", 0.0, np.zeros(0, np.float32), n / 10)
    return Result(Frame(np.zeros((2, 2, 3), np.uint8), n, n / 10, source="door"), said, events)


def load(folder: Path, code: str, name: str = "Mine", complaints=None, **options):
    (folder / "mine.py").write_text(code)
    settings = SinkSettings(use=f"mine.py:{name}", options=tuple(options.items()), folder=str(folder))
    return load_sink(settings, (complaints if complaints is not None else []).append)


def test_the_example_of_the_docs_does_what_it_says(tmp_path):
    with load(tmp_path, DOORBELL, "Doorbell", path=str(tmp_path / "rings.txt")) as sink:
        sink.write(result_of(1))
        sink.write(result_of(2, ActionStarted("fight", 0.2, 0.9, "door")))
    assert (tmp_path / "rings.txt").read_text() == "door fight\n"
    assert len([line for line in DOORBELL.splitlines() if line.strip()]) <= 11


def test_it_runs_from_the_command_line(tmp_path):
    (tmp_path / "doorbell.py").write_text(DOORBELL)
    run = subprocess.run(
        [
            sys.executable, "-m", "streamrec", "run", "synthetic:3", "--model", "synthetic", "--no-show",
            "--max-seconds", "3", "--sink", "doorbell.py:Doorbell",
        ],
        cwd=tmp_path, capture_output=True, text=True, timeout=280, env={"PYTHONPATH": str(ROOT), "PATH": ""},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    started = len(re.findall("started", run.stdout))
    assert started and len((tmp_path / "rings.txt").read_text().splitlines()) == started


def test_a_function_will_do(tmp_path):
    seen = "seen = []\n\ndef mine(result):\n    seen.append(result.frame.index)\n"
    with load(tmp_path, seen, "mine") as sink:
        for n in range(5):
            sink.write(result_of(n))
    assert sys.modules["streamrec_sink_mine"].seen == list(range(5))


def test_what_it_raises_is_told_and_the_next_result_is_another_chance(tmp_path):
    code = """
from streamrec import Sink
class Mine(Sink):
    def write(self, result):
        if result.frame.index == 1: 1 / 0
        open(__file__ + f".{result.frame.index}", "w").close()
    def close(self): raise RuntimeError("no")
"""
    complaints: list[str] = []
    with load(tmp_path, code, complaints=complaints) as sink:
        for n in range(3):
            sink.write(result_of(n))
    assert complaints == [
        "mine.py:Mine: ZeroDivisionError: division by zero",
        "mine.py:Mine: RuntimeError: no",
    ]
    assert sorted(path.suffix for path in tmp_path.glob("mine.py.*")) == [".0", ".2"]


def test_one_that_hangs_delays_nobody_and_loses_no_event(tmp_path):
    code = """
import threading
from streamrec import Sink
class Mine(Sink):
    events, let_go, done = [], threading.Event(), threading.Event()
    def write(self, result):
        self.let_go.wait()
        self.events += result.events
        if result.frame.index == 59: self.done.set()
    def close(self): pass
"""
    sink = load(tmp_path, code)
    mine = sys.modules["streamrec_sink_mine"].Mine
    for n in range(60):  # none of them waits for the sink, which has not written the first
        sink.write(result_of(n, ActionStarted("fight", n / 10, 0.9)))
    assert mine.events == []
    mine.let_go.set()
    assert mine.done.wait(60.0)
    sink.close()
    assert [event.timestamp for event in mine.events] == [n / 10 for n in range(60)]


@pytest.mark.parametrize(
    ("use", "says"),
    [
        ("doorbell", "'doorbell' names no sink; write module:Class, or file.py:Class"),
        (
            "no.such.module:Mine",
            r"there is no module no; install it, or name a file: \./no\.such\.module\.py:Class",
        ),
        ("nothing.py:Mine", r"there is no file .*nothing\.py"),
        ("bad.py:Mine", r"bad\.py cannot be imported: SyntaxError"),
        ("good.py:Nothing", r"good\.py has no Nothing"),
        ("good.py:number", "int is no place for results"),
        ("good.py:Picky", r"good\.py:Picky cannot be made: TypeError"),
    ],
)
def test_what_is_not_there_is_told(tmp_path, use, says):
    (tmp_path / "bad.py").write_text("def")
    (tmp_path / "good.py").write_text("number = 5\nclass Picky:\n    def __init__(self, must): pass\n")
    with pytest.raises(SinkError, match=says):
        load_sink(SinkSettings(use=use, folder=str(tmp_path)))


def test_a_table_gives_the_rest_of_it_to_the_sink():
    settings = settings_of({"use": "a.py:B", "path": "x", "times": 3}, Path("/somewhere"))
    assert settings == SinkSettings(use="a.py:B", options=(("path", "x"), ("times", 3)), folder="/somewhere")
    with pytest.raises(SinkError, match="use: it is missing"):
        settings_of({"path": "x"}, Path())

"""Rules, from a file of cameras to the line, the history and what is printed of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from streamrec.synthetic import World, WorldSettings

from streamrec import VideoFile
from streamrec.outputs.history.store import History
from streamrec.types import Prediction, Result
from tests.helpers import forked

CAMERAS = """
[[camera]]
name = "room"
address = "room.mp4"
model = "synthetic"
[[camera.zone]]
name = "all of it"
corners = [[0, 0], [1, 0], [1, 1], [0, 1]]
mask = false
report = ["motion"]
[[camera.line]]
name = "way"
ends = [[0.5, 1], [0.5, 0]]
[[rule]]
name = "moves for long"
when = {label = "all of it moving", camera = "room"}
lasts = "2 s"
[[rule]]
name = "misspelt"
when = "fal"
lasts = 5
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "cameras.toml").write_text(CAMERAS)
    with VideoFile(tmp_path / "room.mp4", overlay=False) as video:
        for frame in World(WorldSettings(seconds=8.0, seed=7, width=160, height=120)):
            video.write(Result(frame, Prediction("", 0.0, np.zeros(0, np.float32), frame.timestamp)))
    return tmp_path


def streamrec(*words: str, at) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    return forked.run(
        [sys.executable, "-m", "streamrec", *words],
        cwd=at,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_watch_applies_rules_and_says_what_is_in_vain(folder):
    done = streamrec("watch", "cameras.toml", "--jsonl", "out.jsonl", at=folder)
    assert done.returncode == 0, done.stderr
    output = done.stdout + done.stderr
    assert "rule 'misspelt': when: label: fal: there is no such label; did you mean fall?" in output
    assert "camera 'room': line: people are not followed on this camera" in output
    assert "room  moves for long started\n" in output
    lines = [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]
    events = [line for line in lines if line["type"] == "event" and line.get("rule")]
    assert [line["event"] for line in events] == ["started", "ended"]
    started, ended = events
    assert started["rule"] == started["label"] == "moves for long" and started["zone"] == "all of it"
    assert ended["started"] == started["timestamp"] and ended["duration"] > 1.0
    with History(folder / "events.db", read_only=True) as history:
        (rule,) = history.query(label="moves for long")
        (moving,) = history.query(label="all of it moving")
        assert rule.based_on == (moving.id,) == tuple(started["based_on"])
        assert rule.started - moving.started == pytest.approx(2.0, abs=0.05)
    printed = streamrec("events", "cameras.toml", at=folder).stdout
    assert "room, all of it  moves for long  rule  " in printed

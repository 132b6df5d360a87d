"""``anomaly`` on the command line: run, watched, in lines and in the history, refused in words."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest


@pytest.fixture
def plant(tmp_path) -> Path:
    """A day of a boiler, a reading each five minutes; once it is cold."""
    rows = [
        f"{300 * n},{31.0 if n == 270 else 60.0 + math.sin(n / 9.0) + 0.1 * (n % 3)}\n" for n in range(290)
    ]
    (tmp_path / "plant.csv").write_text("seconds,celsius\n" + "".join(rows))
    return tmp_path


def test_an_anomaly_is_in_the_lines_and_in_the_history_with_its_forecast(plant, main_here):
    words = ("run", "plant.csv", "-m", "anomaly", "--no-show", "--jsonl", "a.jsonl", "--history", "a.sqlite")
    done = main_here(*words, cwd=plant)
    assert done.returncode == 0, done.stderr
    assert "anomaly started (100 %): 31, forecast " in done.stdout
    lines = [json.loads(line) for line in (plant / "a.jsonl").read_text().splitlines()]
    started, ended = (line for line in lines if line["type"] == "event")
    assert (started["timestamp"], started["forecast"]["reading"]) == (81_000.0, 31.0)
    assert 55.0 < started["forecast"]["expected"] < 65.0
    assert ended["duration"] > 0 and "forecast" not in ended
    kept = json.loads(main_here("events", "a.sqlite", "--json", cwd=plant).stdout)
    assert kept["label"] == "anomaly"
    assert kept["forecast"] == started["forecast"]


def test_cameras_toml_names_it_with_its_rate(plant, main_here):
    (plant / "cameras.toml").write_text(
        '[[camera]]\nname = "boiler"\naddress = "plant.csv"\nmodel = "anomaly:1/day"\n'
    )
    done = main_here("watch", "cameras.toml", "--jsonl", "-", cwd=plant)
    assert done.returncode == 0, done.stderr
    events = [line for line in map(json.loads, done.stdout.splitlines()) if line["type"] == "event"]
    assert [(line["source"], line["event"], line["label"]) for line in events] == [
        ("boiler", "started", "anomaly"),
        ("boiler", "ended", "anomaly"),
    ]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["run", "synthetic", "-m", "anomaly"], "anomaly takes readings of any channels, and"),
        (["run", "plant.csv", "-m", "anomaly:often"], "often is no rate: write how many in which time"),
        (["run", "plant.csv", "-m", "anomaly", "-m", "motion"], "anomaly watches a stream alone"),
        (["run", "plant.csv", "-m", "anomaly", "--count"], "plant.csv has no pictures"),
        (["run", "plant.csv", "-m", "anomaly", "--record", "kept"], "--record keeps pictures"),
        (["run", "plant.csv", "-m", "anomaly", "--explain", "--save", "a.mp4"], "anomaly has no file"),
        (["export", "anomaly", "--out", "a.onnx"], "anomaly has no file: run and watch take it"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_a_sentence(words, why, plant, main_here):
    ended = main_here(*words, *(["--no-show"] if words[0] == "run" else []), cwd=plant)
    assert ended.returncode == 2, ended.stderr
    assert why in ended.stderr.replace("\n", " ")
    assert "Traceback" not in ended.stderr

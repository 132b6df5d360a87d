"""``streamrec carry`` on tiny sets: one table of the sets that a model did not learn from."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from streamrec import ActionModel, EventSettings, ModelConfig, Transform
from streamrec.runtime.checkpoint import save_model
from tests.helpers.recordings import write_video

EAGER = EventSettings(enter=0.01, leave=0.01, smoothing=0.0, shortest=0.1, background=("normal",))
CONFIG = ModelConfig(
    labels=("fall", "normal"),
    transform=Transform(height=32, width=32),
    hidden_size=16,
    events=EAGER,
    learned=("falls",),
)


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, Path]:
    """One that tells a fall in every clip, and one that never does."""
    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    made = {}
    for name, enter in (("eager", 0.01), ("silent", 1.0)):
        events = replace(EAGER, enter=enter)
        save_model(folder / f"{name}.safetensors", ActionModel(replace(CONFIG, events=events)).eval())
        made[name] = folder / f"{name}.safetensors"
    return made


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """A set with falls of two cameras, one in which nobody falls, and one that the models learned from."""
    folder = tmp_path_factory.mktemp("data")
    tables = {
        "urfall": "clip,group,camera,segments\na.mp4,A,0,falling:0.1-0.4; lying:0.4-1.2\nb.mp4,B,1,falling:0.1-0.4\n"
        "c.mp4,B,0,\n",
        "yoga": "clip,label,group\na.mp4,tree,p1\nb.mp4,tree,p2\ngone.mp4,tree,p3\n",
        "falls": "clip,group,segments\na.mp4,s1,Falling:0-1\n",
        "mine": "clip,label\na.mp4,jump\n",
    }
    for name, table in tables.items():
        for clip in ("a", "b", "c"):
            write_video(folder / name / f"{clip}.mp4")
        (folder / name / "index.csv").write_text(table, encoding="utf-8")
    return folder


def test_models_are_played_on_the_sets_that_they_did_not_learn_from(models, data, tmp_path, main_here):
    out, page, log = tmp_path / "carry.json", tmp_path / "carry.md", tmp_path / "looks.jsonl"
    words = ("carry", data, "-m", models["eager"], "-m", models["silent"])
    run = main_here(*words, "--json", out, "--markdown", page, "--log", log, "--note", "seed 0")
    assert run.returncode == 0, run.stderr
    report = json.loads(out.read_text(encoding="utf-8"))
    rows = {(row["model"], row["data"]): row for row in report["rows"]}
    assert [*rows] == [(m, d) for m in ("eager", "silent") for d in ("urfall/0", "urfall/1", "yoga")]
    assert rows["eager", "urfall/0"]["found"] == rows["eager", "urfall/0"]["soon"] == 1
    assert rows["eager", "urfall/0"]["left_alone"] == 0
    assert rows["silent", "urfall/0"]["found"] == 0
    assert rows["silent", "urfall/0"]["left_alone"] == 1
    assert rows["silent", "urfall/0"]["right"] == 0.5
    assert rows["eager", "urfall/1"]["quiet"] == 1  # the level camera's clip of daily life
    assert rows["eager", "yoga"]["false_events"] == 2
    assert rows["eager", "yoga"]["hours"] == pytest.approx(2.4 / 3600, rel=0.1)
    assert (rows["silent", "yoga"]["false_events"], rows["silent", "yoga"]["recall"]) == (0, None)
    assert rows["eager", "yoga"]["looks"] == 2  # of this and of the other model
    assert "gone.mp4" in run.stdout
    assert "eager learned from falls, and was not played there" in run.stdout
    assert "not in" in run.stderr
    assert "gestures" in run.stderr
    assert page.read_text(encoding="utf-8").splitlines() == run.stdout.splitlines()
    assert len(log.read_text(encoding="utf-8").splitlines()) == 6

    again = main_here("carry", data, "-m", models["eager"], "--sets", "yoga", "--log", log, "--clips", "1")
    assert "| eager | yoga |     1 |" in again.stdout.replace("  yoga", " yoga")
    assert again.stdout.splitlines()[2].endswith("|     3 |")
    assert "at most 1 clips of each set" in again.stdout


def test_ctrl_c_prints_what_was_played_until_then(models, data, monkeypatch, main_here):
    from streamrec.evaluation import carry

    played = []
    whole = carry.play

    def play(*given, **named):
        if len(played) == 4:
            raise KeyboardInterrupt
        played.append(named["name"])
        return whole(*given, **named)

    monkeypatch.setattr(carry, "play", play)
    run = main_here("carry", data, "-m", models["eager"])
    assert run.returncode == 130
    assert "| eager | urfall/0 |" in run.stdout
    assert "1 of 3" in run.stdout
    assert "stopped before the end" in run.stdout


def test_what_cannot_be_measured_is_said_in_a_sentence(models, data, tmp_path, main_here):
    eager = models["eager"]
    for words, says in (
        ((data, "-m", eager, "--sets", "falls"), "none of the sets in"),
        ((data, "-m", eager, "--sets", "nothing"), "has no set nothing"),
        ((tmp_path, "-m", eager), "holds no data set"),
        ((data / "nowhere", "-m", eager), "is no folder"),
        ((data, "-m", eager, "--json", data / "yoga" / "index.csv"), "--json"),
    ):
        run = main_here("carry", *words)
        assert run.returncode == 2
        assert says in run.stderr
        assert run.stdout == ""

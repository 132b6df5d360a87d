"""The tutorial leads from nothing to a model that runs: its commands are typed here, in order."""

from __future__ import annotations

import csv
import json
import re
import shlex
from collections import Counter
from pathlib import Path

import pytest

from tests.helpers.commands import MainHere
from tests.helpers.paths import ROOT
from tests.system.test_cli import write_video

TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
WITH, WITHOUT = TUTORIAL.split("\n## Without a camera\n")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def commands(text: str) -> list[list[str]]:
    lines = [line for block in blocks(text, "sh") for line in block.splitlines()]
    return [shlex.split(line) for line in lines if line.startswith("streamrec ")]


def typed(main: MainHere, words: list[str], folder: Path) -> str:
    """Run a command; what it said."""
    done = main(*words[1:], cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_the_way_without_a_camera_is_its_commands_alone_and_ends_with_a_model_that_is_right(
    tmp_path, main_here
):
    said = {words[1]: typed(main_here, words, tmp_path) for words in commands(WITHOUT)}
    assert list(said) == ["record", "train", "eval", "run"]
    with (tmp_path / "figures" / "index.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert Counter(row["label"] for row in rows) == {"wave": 10, "squat": 10, "idle": 10}
    assert len({row["group"] for row in rows}) == 10
    at_end = re.search(r"right at the end \(95 %\) +\| +(\d+\.\d)", said["eval"])
    assert at_end is not None, said["eval"]
    assert float(at_end[1]) >= 60.0  # chance is 33
    assert (tmp_path / "seen.mp4").stat().st_size > 0
    lines = [json.loads(line) for line in (tmp_path / "seen.jsonl").read_text().splitlines()]
    said = {line["label"] for line in lines if line["type"] != "state"}
    assert said <= {"wave", "squat", "idle"}


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """The folder of somebody whose camera shows a video, and who is not patient with recording and training."""
    folder = tmp_path_factory.mktemp("learner")
    write_video(folder / "camera.mp4", 361)  # 36 clips of a second
    write_video(folder / "another.mp4", 361, drift=5)  # of who comes after: no two recordings are the same
    write_video(folder / "party.mp4", 40)
    return folder


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_the_way_with_a_camera_runs_from_end_to_end(place, monkeypatch, capsys, main_here):
    for words in commands(WITH):
        if words[1] == "doctor":
            continue  # it finds no camera here; its own tests run it
        if words[1] == "record":
            words = [*words, "--source", "another.mp4" if "--person" in words else "camera.mp4"]
            words = [*words, "--seconds", "1"]
        if words[1] in ("train", "crossval"):
            words = [*words, "--steps", "3", "--streams", "2", "--window", "4"]
        if words[1] == "run":
            words = ["party.mp4" if word == "0" else word for word in words]
            words = [*words, "--no-show"] if "--no-show" not in words else words
        typed(main_here, words, place)
    with (place / "my_clips" / "index.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    told = list(csv.DictReader(blocks(WITH, "csv")[0].splitlines()))
    assert all(row in rows for row in told)
    assert Counter((row["label"], row["group"]) for row in rows) == {
        (label, group): 12 for label in ("wave", "clap", "nothing") for group in ("me-1", "anna-1")
    }
    monkeypatch.chdir(place)
    for code in blocks(WITH, "python"):
        exec(compile(code.replace("open_source(0)", 'open_source("party.mp4")'), "tutorial.md", "exec"), {})
    assert "Error" not in capsys.readouterr().err
    assert (place / "actions.csv").read_text().startswith("label,start,end")


def test_every_link_of_the_tutorial_leads_somewhere():
    for target in re.findall(r"\]\(([^)]+)\)", TUTORIAL):
        path, _, part = target.partition("#")
        text = (ROOT / "docs" / path).read_text(encoding="utf-8") if path else TUTORIAL
        headings = {
            re.sub(r"[^\w-]", "", h.lower().replace(" ", "-")) for h in re.findall(r"^#+ (.+)$", text, re.M)
        }
        assert not part or part in headings, target


def test_every_option_that_the_tutorial_names_is_there():
    from typer.testing import CliRunner

    from streamrec.commands.app import app

    there = "".join(
        CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "200"}).output
        for name in ("record", "train", "eval", "crossval", "run")
    )
    for option in set(re.findall(r"--[a-z][a-z-]+", TUTORIAL)):
        assert option in there, option

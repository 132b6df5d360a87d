"""What the README says to type is typed here: its commands with a camera's place taken by a file, its code as it is."""

from __future__ import annotations

import re
import shlex
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from streamrec import VideoFile, World, WorldSettings, results
from streamrec.sources.synthetic import clip
from tests.helpers.paths import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands() -> list[str]:
    lines = [line.split("  #")[0].strip() for block in blocks("sh") for line in block.splitlines()]
    return [line for line in lines if line.startswith("streamrec ")]


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder as the reader of the README has it: a video, and clips of two actions."""
    folder = tmp_path_factory.mktemp("reader")
    write_video(folder / "party.mp4", clip("wave", seed=1, seconds=1.5))
    (folder / "cameras.toml").write_text('[[camera]]\nname = "party"\naddress = "party.mp4"\n')
    for label in ("wave", "squat"):
        (folder / "my_clips" / label).mkdir(parents=True)
        for seed in range(3):
            write_video(folder / "my_clips" / label / f"{seed}.mp4", clip(label, seed=seed, seconds=1.0))
    return folder


def write_video(path: Path, frames) -> None:
    from streamrec import Prediction, Result

    nothing = Prediction("", 0.0, np.zeros(0, np.float32), 0.0)
    with VideoFile(path, overlay=False) as sink:
        for frame in frames:
            sink.write(Result(frame, nothing))


@pytest.mark.slow
@pytest.mark.parametrize("line", commands())
def test_every_command_of_the_readme_runs(line, place, main_here):
    words = shlex.split(line)
    words = ["party.mp4" if word == "0" or "://" in word else word for word in words]
    if words[1] == "record":
        words += ["--source", "party.mp4"]
    if words[1] == "bench":
        words += ["--rounds", "1", "--frames", "16", "--seconds", "0.5"]
    if words[1] == "train":
        words += ["--steps", "3", "--streams", "2", "--window", "4"]
    if "mine.safetensors" in words and words[1] != "train" and not (place / "mine.safetensors").exists():
        short = ["--steps", "3", "--streams", "2", "--window", "4"]
        main_here("train", "my_clips/", "--out", "mine.safetensors", *short, cwd=place)
    if words[1] == "events" and not (place / "events.db").exists():
        main_here("watch", "cameras.toml", "--history", "events.db", cwd=place)
    if words[1] == "run" and "--no-show" not in words:
        words.append("--no-show")
    done = main_here(*words[1:], cwd=place)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


class Camera:
    """A camera before which a drawn figure waves, in its own time."""

    def __init__(self, device: int) -> None:
        self.frames = iter(clip("wave", seed=1, seconds=2.5))

    def read(self):
        time.sleep(1 / 15)
        frame = next(self.frames, None)
        return frame is not None, None if frame is None else frame.image


def test_the_app_of_the_readme_prints_what_starts(monkeypatch, capsys):
    code = next(block for block in blocks("python") if "VideoCapture" in block)
    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    exec(compile(code.replace('"webcam"', '"synthetic"'), "README.md", "exec"), {})
    assert "ActionStarted" in capsys.readouterr().out


def test_the_loop_of_the_readme_reads_a_source(place, monkeypatch, capsys):
    code = next(block for block in blocks("python") if "open_source" in block)
    address = re.search(r'"(rtsp://[^"]+)"', code)
    assert address is not None
    exec(compile(code.replace(address[1], str(place / "party.mp4")), "README.md", "exec"), {})
    assert "Error" not in capsys.readouterr().err


def test_every_link_of_the_readme_leads_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_figures_of_the_synthetic_world_are_what_the_model_knows():
    world = World(WorldSettings(seed=2, seconds=1.0, fps=10.0, width=160, height=120))
    from streamrec import Recognizer

    recognizer = Recognizer.load("synthetic")
    assert all(r.frame.truth in recognizer.labels for r in results(world, recognizer))

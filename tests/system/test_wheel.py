"""The wheel holds what runs, and nothing else."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT


@pytest.fixture(scope="module")
def wheel(once_a_run, tmp_path_factory) -> zipfile.ZipFile:
    return zipfile.ZipFile(once_a_run("wheel", lambda: built(tmp_path_factory.mktemp("source"))))


def built(place: Path) -> Path:
    """A wheel of what the container file copies, by setuptools alone: nothing is fetched."""
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, place)
    shutil.copytree(ROOT / "streamrec", place / "streamrec", ignore=shutil.ignore_patterns("__pycache__"))
    build = "from setuptools import build_meta; print(build_meta.build_wheel('.'))"
    done = subprocess.run(
        [sys.executable, "-c", build], cwd=place, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return place / done.stdout.split()[-1]


def test_every_file_of_the_package_is_in_it(wheel):
    ours = {path for path in (ROOT / "streamrec").rglob("*") if path.is_file()}
    wanted = {
        path.relative_to(ROOT).as_posix()
        for path in ours
        if "__pycache__" not in path.parts and path.suffix not in (".resume", ".part")
    }
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert packed == wanted
    for kind in (
        "py.typed",
        "runtime/models/fight.safetensors",
        "web/page/index.html",
        "outputs/schemas/jsonl.json",
    ):
        assert f"streamrec/{kind}" in packed


def test_it_has_the_licence_the_command_and_the_readme(wheel):
    told = {
        name.split(".dist-info/")[1]: wheel.read(name).decode()
        for name in wheel.namelist()
        if ".dist-info/" in name
    }
    assert "Apache License" in told["licenses/LICENSE"]
    assert "MoveNet MultiPose Lightning, by Google" in told["licenses/NOTICE"]
    assert "streamrec = streamrec.commands.process:main" in told["entry_points.txt"]
    assert "License-Expression: Apache-2.0" in told["METADATA"]
    assert "# streamrec\n" in told["METADATA"]
    needed = [line for line in told["METADATA"].splitlines() if line.startswith("Requires-Dist")]
    assert not [line for line in needed if "pytest" in line and "extra ==" not in line]


def test_it_is_small_enough_to_download(wheel):
    assert sum(info.compress_size for info in wheel.infolist()) < 45e6


# -- installed alone, without any extra, in an environment of its own


@dataclass(frozen=True)
class Light:
    """A virtual environment with the wheel and what it requires."""

    folder: Path

    def run(self, *words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
        """A program of it, as somebody who has installed it starts it."""
        environment = {
            k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "DISPLAY", "WAYLAND_DISPLAY")
        }
        return subprocess.run(
            [self.folder / "bin" / words[0], *map(str, words[1:])],
            capture_output=True, text=True, cwd=cwd, env=environment, timeout=120,
        )  # fmt: skip

    def streamrec(self, *words: str | Path, cwd: Path, code: int = 0) -> str:
        """What a command prints."""
        done = self.run("streamrec", *words, cwd=cwd)
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def light(wheel, once_a_run, tmp_path_factory) -> Light:
    return once_a_run("light", lambda: installed(wheel, tmp_path_factory.mktemp("light") / "venv"))


def installed(wheel: zipfile.ZipFile, folder: Path) -> Light:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True, timeout=120)
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(folder / "bin" / "python"),
        "--disable-pip-version-check",
    ]
    install = [*pip, "install", "--quiet", "--no-compile", "-c", str(ROOT / "constraints.txt")]
    done = subprocess.run([*install, wheel.filename], capture_output=True, text=True, timeout=280)
    if done.returncode and re.search(r"No matching distribution|Could not find|[Cc]onnection", done.stderr):
        pytest.skip(f"no package index is reachable: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    made = Light(folder)
    if made.run("python", "-c", "import cv2", cwd=folder).returncode:  # a machine without a desktop
        subprocess.run([*pip, "uninstall", "--quiet", "--yes", "opencv-python"], check=True, timeout=60)
        subprocess.run([*install, "--no-deps", "opencv-python-headless"], check=True, timeout=280)
    return made


def test_alone_it_is_light(light):
    """Under 600 MB, without what only training needs."""
    (there,) = light.folder.glob("lib/python*/site-packages")
    assert not [
        name for name in ("torch", "torchvision", "timm", "onnx", "onnxscript") if (there / name).exists()
    ]
    files = [
        path for path in light.folder.rglob("*") if "__pycache__" not in path.parts and not path.is_dir()
    ]
    used = sum(path.lstat().st_blocks * 512 for path in files)
    assert used < 600e6, f"{used / 1e6:.0f} MB"


def test_alone_it_recognizes_watches_measures_and_lists_events(light, tmp_path):
    told = light.streamrec("demo", "--seconds", "4", "--no-show", cwd=tmp_path)
    assert (
        "were given their true label" in told and (tmp_path / "demo-output/demo.mp4").stat().st_size > 10_000
    )
    drawn = tmp_path / "demo-output" / "demo.mp4"
    told = light.streamrec("run", drawn, "--no-show", "--jsonl", "seen.jsonl", cwd=tmp_path)
    assert "frames in" in told and (tmp_path / "seen.jsonl").stat().st_size > 1_000
    (tmp_path / "cameras.toml").write_text(
        f'[[camera]]\nname = "door"\naddress = "{drawn}"\nmodel = "workout"\n'
        f'[[camera]]\nname = "yard"\naddress = "{drawn}"\nmodel = "synthetic"\n'
    )
    told = light.streamrec("watch", "cameras.toml", "--history", "events.db", cwd=tmp_path)
    assert "of 2 cameras" in told
    assert "yard" in light.streamrec("events", "events.db", cwd=tmp_path)
    length = ("--streams", "1", "--seconds", "2", "--source-fps", "10")
    (report,) = json.loads(light.streamrec("eval", "synthetic", "synthetic", *length, "--json", cwd=tmp_path))
    assert report["seconds"] == 2.0


def test_alone_it_recognizes_a_real_clip(light, tmp_path, shared_data):
    (tmp_path / "clip.mp4").symlink_to(sorted(shared_data.glob("workout/squats/*"))[0])
    told = light.streamrec("run", "clip.mp4", "--model", "workout", "--no-show", cwd=tmp_path)
    assert "frames in" in told


def test_alone_it_shows_what_ships_and_what_works_here(light, tmp_path):
    assert {"fall", "fight", "synthetic", "workout"} <= set(light.streamrec("models", cwd=tmp_path).split())
    told = light.streamrec("doctor", cwd=tmp_path)
    for extra in ("train", "web", "mqtt"):
        (line,) = re.findall(rf"-- extra {extra} .*", told)
        assert f"pip install 'streamrec[{extra}]'" in line
    assert re.search(r"ok engine onnx +\d", told)


def test_alone_every_command_has_its_help_and_the_door_opens(light, tmp_path):
    code = """
from typer.testing import CliRunner
from streamrec import Recognizer, Watcher, draw, save_model
from streamrec.commands.app import app
for command in (None, *(info.name or info.callback.__name__ for info in app.registered_commands)):
    shown = CliRunner().invoke(app, [*([command] if command else []), "--help"])
    assert shown.exit_code == 0, (command, shown.output)
    print(command)
"""
    done = light.run("python", "-c", code, cwd=tmp_path)
    assert done.returncode == 0 and len(done.stdout.split()) > 15, done.stderr
    done = light.run("python", "-c", "from streamrec import CNNLSTM", cwd=tmp_path)
    assert "torch is not installed; run: pip install 'streamrec[train]'" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("line", "extra"),
    [
        ("train clips", "train"),
        ("run synthetic:1 --no-show --save why.mp4 --explain --max-seconds 1", "train"),
        ("watch cameras.toml --web", "web"),
    ],
)
def test_alone_what_needs_an_extra_says_which(light, tmp_path, line, extra):
    (tmp_path / "cameras.toml").write_text('[[camera]]\nname = "a"\naddress = "synthetic:1"\n')
    told = light.streamrec(*line.split(), cwd=tmp_path, code=2)
    assert told.count("\n") == 1 and f"is not installed; run: pip install 'streamrec[{extra}]'" in told

"""The wheel holds what runs, and nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile

import pytest

from tests.helpers.paths import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    """Built from what the container file copies, by setuptools alone: nothing is fetched."""
    place = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, place)
    shutil.copytree(ROOT / "streamrec", place / "streamrec", ignore=shutil.ignore_patterns("__pycache__"))
    build = "from setuptools import build_meta; print(build_meta.build_wheel('.'))"
    done = subprocess.run(
        [sys.executable, "-c", build], cwd=place, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return zipfile.ZipFile(place / done.stdout.split()[-1])


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
    assert "streamrec = streamrec.commands.process:main" in told["entry_points.txt"]
    assert "License-Expression: Apache-2.0" in told["METADATA"]
    assert "## Quick start" in told["METADATA"]
    needed = [line for line in told["METADATA"].splitlines() if line.startswith("Requires-Dist")]
    assert not [line for line in needed if "pytest" in line and "extra ==" not in line]


def test_it_is_small_enough_to_download(wheel):
    assert sum(info.compress_size for info in wheel.infolist()) < 25e6

"""An app that uses the public names is checked by mypy as strictly as it can, with the documented install."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT

pytestmark = pytest.mark.slow
pytest.importorskip("mypy", reason="needs streamrec[dev]")

# What only extras bring, and takes mypy the longest to read.
EXTRAS = ("torch", "timm", "onnx_ir", "onnxscript", "sympy", "scipy", "matplotlib", "pandas", "tensorboard")

APP = """
import asyncio
from contextlib import aclosing, closing
from pathlib import Path
from typing import assert_type

import numpy as np

import streamrec
from streamrec import (
    ActionEnded, ActionStarted, Background, Callback, Event, EventDetector, EventSettings, Frame, History, JsonLines,
    Latest, Prediction, Recognizer, Result, RingBuffer, Sink, Source, State, StreamRecognizer, StreamrecError,
    VideoFile, Watcher, World, WorldSettings, async_results, draw, open_source, pace, results, results_of,
)


class Counting(Sink):
    count = 0

    def write(self, result: Result) -> None:
        self.count += len(result.events)

    def close(self) -> None:
        print(self.count)


def main() -> None:
    recognizer = Recognizer.load("synthetic")
    with closing(results(open_source("synthetic"), recognizer, fps=10)) as told:
        for result in told:
            assert_type(result, Result)
            for event in result.events:
                assert_type(event, ActionStarted | ActionEnded)
                if isinstance(event, ActionEnded):
                    assert_type(event.duration, float)
            print(draw(result.frame.image, result).shape, result.prediction.label, result.label)
    with closing(results_of({"door": 0, "yard": "yard.mp4"}, recognizer)) as many:
        for result in many:
            assert_type(result.frame.source, str)
    with closing(pace(World(), 10.0)) as frames:
        for frame in frames:
            assert_type(frame, Frame)
    recognize = StreamRecognizer(recognizer)
    assert_type(recognize(np.zeros((90, 160, 3), np.uint8)), Prediction)
    prediction, state = recognizer.step(frame, recognizer.initial_state())
    assert_type(state, State)
    assert_type(State.from_bytes(state.to_bytes()), State)
    with JsonLines("x.jsonl") as lines, VideoFile(Path("x.mp4")) as video, Background(Counting()) as counting:
        sinks: list[Sink] = [lines, video, counting]
        for sink in sinks:
            sink.write(result)
    with History(Path("events.db")) as history:
        for entry in history.query(limit=3):
            assert_type(entry.label, str)


async def told_later() -> None:
    async with aclosing(async_results("party.mp4", Recognizer.load("fight"))) as stream:
        async for result in stream:
            assert_type(result, Result)
    async for result in async_results(0, Recognizer.load("fight")):
        print(result.label)


try:
    main()
    asyncio.run(told_later())
except StreamrecError as error:
    print(error)
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> Path:
    """A Python of its own in which `pip install -e .` was done, as far as setuptools has to do with it."""
    source, place = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("env")
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, source)
    ignored = shutil.ignore_patterns("__pycache__", "*.safetensors")
    shutil.copytree(ROOT / "streamrec", source / "streamrec", ignore=ignored)
    for name in ("tests", "demos", "benchmarks"):  # what stands beside the package in the repository
        (source / name).mkdir()
        (source / name / "x.py").write_text("x = 1\n")
    build = "from setuptools import build_meta; print(build_meta.build_editable('.'))"
    done = subprocess.run(
        [sys.executable, "-c", build], cwd=source, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    venv.create(place, with_pip=False)
    python = place / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    words = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = Path(subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip())
    with zipfile.ZipFile(source / done.stdout.split()[-1]) as wheel:
        wheel.extractall(packages)
    numpy = importlib.util.find_spec("numpy")
    assert numpy is not None and numpy.origin is not None
    others = tmp_path_factory.mktemp("others")
    for folder in {Path(numpy.origin).parents[1], Path(sysconfig.get_path("purelib"))}:
        for path in folder.iterdir():
            if not path.name.startswith(EXTRAS) and not (others / path.name).exists():
                (others / path.name).symlink_to(path)
    (packages / "others.pth").write_text(f"{others}\n")
    return python


def test_an_app_passes_mypy_with_strict(python, tmp_path):
    """It is read, and not taken for Any: what is wrong in another app is found."""
    (tmp_path / "app.py").write_text(APP)
    wrong = APP.replace("self.count += len(result.events)", "self.count += result.nothing")
    (tmp_path / "wrong.py").write_text(wrong)
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--python-executable",
        str(python),
        "app.py",
        "wrong.py",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240)
    told = done.stdout.splitlines()
    assert done.returncode == 1 and len(told) == 2, done.stdout + done.stderr
    assert told[0].startswith("wrong.py:") and '"Result" has no attribute "nothing"' in told[0]
    assert told[1] == "Found 1 error in 1 file (checked 2 source files)"

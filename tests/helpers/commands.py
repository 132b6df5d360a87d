"""Commands as a person types them, run in the tests' own process: it need not import everything again."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

MainHere = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def main_here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[MainHere]:
    """``main_here("run", "a.mp4", cwd=folder)``: what the command printed and its exit code."""
    from streamrec.commands.process import main
    from tests.helpers.threads import one_torch_thread

    def call(*words: object, cwd: str | Path = ".") -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "argv", ["streamrec", *map(str, words)])
        with contextlib.chdir(cwd), pytest.raises(SystemExit) as left:
            main()
        told = capsys.readouterr()
        return subprocess.CompletedProcess(list(words), left.value.code or 0, told.out, told.err)

    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENCV_FFMPEG_LOGLEVEL", "-8")
    monkeypatch.setattr(
        "streamrec.commands.process.signal", SimpleNamespace(signal=lambda *_: None, SIGTERM=signal.SIGTERM)
    )
    # Idle threads of prefetching would make it leave by os._exit, and this process with it.
    monkeypatch.setattr("streamrec.commands.process._leave", sys.exit)
    with one_torch_thread():
        yield call

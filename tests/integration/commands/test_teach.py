"""``streamrec teach``: by lines with a clip as the camera, at a terminal, in a window, and to its end."""

from __future__ import annotations

import contextlib
import io
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import pytest

from streamrec import Recognizer
from streamrec.commands.teach_lines import Lines
from streamrec.runtime.checkpoint import shipped_models
from streamrec.sources import cameras
from streamrec.sources.synthetic import World, WorldSettings
from tests.helpers import forked
from tests.helpers.commands import main_here
from tests.helpers.paths import ROOT
from tests.system.test_cli import assert_refused, environment, streamrec

__all__ = ["main_here"]  # a fixture

needs_webcam = pytest.mark.skipif("webcam" not in shipped_models(), reason="the webcam model is not there")

# A live drawn camera, and a teacher that learns nothing, in the place of the real ones.
PRELUDE = """
import sys
import streamrec.sources.open as sources
import streamrec.teach.teacher as core
from streamrec.commands.process import main
from streamrec.sources.iterable import IterableSource
from streamrec.sources.synthetic import World, WorldSettings
from tests.helpers.fake_teacher import FakeTeacher

world = World(WorldSettings(width=320, height=240, fps=20.0, live=True))
sources.open_source = lambda what, **more: IterableSource(world, name="webcam 0", live=True)
core.Teacher = lambda models, *, file, pictures: FakeTeacher()
"""


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    """Nine seconds of a drawn person, ten frames a second."""
    path = tmp_path_factory.mktemp("clip") / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (160, 120))
    for frame in World(WorldSettings(width=160, height=120, fps=10.0, seconds=9.0)):
        writer.write(frame.image)
    writer.release()
    return path


# -- by lines


@needs_webcam
@pytest.mark.slow
def test_lines_teach_a_clip_and_the_model_is_one_like_any_other(tmp_path, clip):
    lines = "wave at 3\nwave at 5\nwave at 7\nnothing 1 at 8.5\nclap 1 at 8.7\nlist\nfit\nquit\n"
    out = tmp_path / "mine.safetensors"
    done = streamrec("teach", clip, "--no-window", "--out", out, input=lines, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    told = done.stdout
    assert "wave: example 3, 2.0 s" in told and "5 examples, 1 s of nothing" in told
    assert re.search(r"learned in [\d.]+ s", told)
    assert f"{out} is written; watch with it: streamrec run {clip} -m webcam -m {out}" in told
    assert set(Recognizer.load(out).labels) == {"nothing", "wave", "clap"}
    again = streamrec("teach", clip, "--no-window", "--out", out, input="list\nquit\n", cwd=ROOT)
    assert "mine.teach: wave 3, clap 1, 1 s of nothing" in again.stdout.splitlines()[2]
    assert again.returncode == 0, again.stderr


@needs_webcam
@pytest.mark.slow
def test_a_confirmed_example_outlives_kill_9(tmp_path, clip):
    command = [sys.executable, "-m", "streamrec", "teach", str(clip), "--no-window"]
    command += ["--out", str(tmp_path / "mine.safetensors")]
    with forked.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment(), cwd=ROOT
    ) as run:
        try:
            run.stdin.write("wave at 3\nclap at 5\n")
            run.stdin.flush()
            for line in run.stdout:
                if "clap: example 1" in line:
                    break
        finally:
            run.kill()
    again = streamrec(*command[3:], input="list\nquit\n", cwd=ROOT)
    assert again.returncode == 0, again.stderr
    assert "1  wave  2.0 s" in again.stdout and "2  clap  2.0 s" in again.stdout


# -- mistakes


def test_input_that_ends_before_the_camera_answers_does_not_hide_that_it_is_not_there(
    tmp_path, main_here, monkeypatch
):
    ended, step, opened = threading.Event(), Lines.step, cameras.opened_webcam

    def stepped(self, **more):
        step(self, **more)
        if self.ended:
            ended.set()

    @contextlib.contextmanager
    def opened_late(device):
        assert ended.wait(60.0)
        with opened(device) as camera:
            yield camera

    monkeypatch.setattr(Lines, "step", stepped)
    monkeypatch.setattr(cameras, "opened_webcam", opened_late)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert_refused(main_here("teach", "99", "--no-window", cwd=tmp_path), "webcam 99 did not open")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nowhere.mp4"], "there is no file nowhere.mp4"),
        (["99"], "webcam 99 did not open"),
        (["0", "--out", "mine.onnx"], "a model file ends in .safetensors"),
        (["0", "--out", "nowhere/mine.safetensors"], "is no folder: make it first"),
        (["0", "--out", "other.safetensors"], "is a model already, and was not taught with"),
        (
            ["0", "--examples", "other.safetensors", "--out", "other.safetensors"],
            "both name other.safetensors",
        ),
        (["0", "-m", "nonsense"], "there is no model 'nonsense'"),
        (["0", "--examples", "notes.teach"], "is no file of examples"),
        (["0", "--web-access", "x"], "belong to --web"),
        (["0", "--window"], "no display.*--no-window teaches in the terminal"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path, main_here, monkeypatch, words, says):
    (tmp_path / "other.safetensors").write_bytes(b"somebody's")
    (tmp_path / "notes.teach").write_bytes(b"milk, bread")
    monkeypatch.setattr("sys.stdin", io.StringIO())
    if "--window" not in words:
        words = [*words, "--no-window"]
    assert_refused(main_here("teach", *words, cwd=tmp_path), says)
    assert (tmp_path / "other.safetensors").read_bytes() == b"somebody's"
    assert not (tmp_path / "mine.safetensors").exists()


def taught_by(words: list[str], prelude: str = PRELUDE, **more) -> subprocess.Popen[str]:
    code = f"{prelude}\nsys.argv = ['streamrec', 'teach', *{words!r}]\nmain()"
    return subprocess.Popen([sys.executable, "-c", code], text=True, env=environment(), cwd=ROOT, **more)


@pytest.mark.slow
def test_ctrl_c_writes_the_model(tmp_path):
    out = tmp_path / "mine.safetensors"
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with taught_by(["0", "--no-window", "--out", str(out)], **pipes) as run:
        try:
            run.stdin.write("wave 0.3 at 1\n" * 3)
            run.stdin.flush()
            for line in run.stdout:
                if "learned in" in line:
                    break
            run.send_signal(signal.SIGINT)
            told, complaints = run.communicate(timeout=30)
        finally:
            run.kill()
    assert run.returncode == 130, complaints
    assert out.read_text() == "wave wave wave" and "is written; watch with it" in told
    assert "Traceback" not in complaints


# -- at a terminal


@pytest.mark.slow
def test_at_a_terminal_the_keys_teach_and_the_terminal_is_as_before_at_the_end(tmp_path):
    import termios

    own, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)

    def take_terminal() -> None:
        import fcntl

        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    out = tmp_path / "mine.safetensors"
    words = ["0", "--no-window", "--out", str(out), "--seconds", "0.5", "--countdown", "1", "--nothing", "5"]
    told = ""
    with taught_by(
        words, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, preexec_fn=take_terminal
    ) as run:

        def wait_for(what: str) -> None:
            nonlocal told
            ends, seen = time.monotonic() + 25, len(told)
            while not re.search(what, told[seen:]):
                assert time.monotonic() < ends and run.poll() is None, told
                if select.select([own], [], [], 0.1)[0]:
                    told += os.read(own, 65536).decode("utf-8", "replace")

        try:
            wait_for("name what you want to teach: n")
            time.sleep(1.0)  # what is not seen yet cannot be named
            for keys, what in (
                ("n", "name of the label"),
                ("wave\r", "1 wave .0."),
                ("1", "example 1"),
                (" ", "get ready, then wave"),
                ("", "now!"),
                ("", "example 2"),
                ("1", "learned in 0"),
                ("", "5 s of nothing: 0"),
                ("0", "██████"),
                ("\x1b", "nothing: [1-4] s are learned from"),
                ("l", "x: remove"),
                ("x", "is removed"),
                ("l", "space: countdown"),
                ("q", "is written"),
            ):
                if keys == "\x1b":
                    time.sleep(1.5)  # of a countdown that is stopped what has passed is used
                os.write(own, keys.encode())
                wait_for(what)
            run.wait(20)
        finally:
            run.kill()
    assert run.returncode == 0
    assert termios.tcgetattr(theirs) == before
    assert out.exists()


# -- in a window

WINDOW = (
    PRELUDE
    + """
import cv2
import streamrec.outputs.window as window
from streamrec.core.console import LineConsole

shown, real_show, real_wait = [], cv2.imshow, cv2.waitKeyEx
# Each key, how many frames after the one before it, and what was told by then.
keys = [("n", 4, ""), *((key, 2, "") for key in "wave"), (chr(13), 2, ""), ("1", 16, ""), ("1", 15, "example 1"),
        ("1", 15, "example 2"), (" ", 15, "example 3"), ("l", 3, "example 4"), ("u", 3, ""), ("l", 3, "undone"),
        ("q", 3, "")]
told, last, print_line = [], [0], LineConsole.print_line


def waited(delay):
    code = real_wait(delay)
    if not keys:
        return code
    key, frames, what = keys[0]
    if len(shown) - last[0] < frames or what not in "".join(told):
        return code
    keys.pop(0)
    last[0] = len(shown)
    return ord(key)


LineConsole.print_line = lambda self, text, *more: (told.append(str(text)), print_line(self, text, *more))[1]
cv2.imshow = lambda title, image: (shown.append(image.shape), real_show(title, image))
cv2.waitKeyEx = waited
"""
)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("xvfb-run") is None, reason="needs xvfb-run")
def test_in_a_window_the_keys_teach(tmp_path):
    out = tmp_path / "mine.safetensors"
    words = ["0", "--window", "--out", str(out), "--seconds", "0.5", "--countdown", "0.5"]
    code = f"{WINDOW}\nsys.argv = ['streamrec', 'teach', *{words!r}]\nmain()"
    done = subprocess.run(
        # -noreset: a server that its last client has left begins anew, and the next one may wait for it for ever
        ["xvfb-run", "-a", "-s", "-noreset -screen 0 1280x1024x24", sys.executable, "-c", code],
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for line in ("wave: example 3", "wave: example 4", "undone: example 4 (wave)"):
        assert line in done.stdout, done.stdout[-2000:]
    assert out.read_text() == "wave wave wave"

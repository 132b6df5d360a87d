"""``streamrec watch``: as a person, a service manager and a script meet it."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import queue
import re
import select
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import save_file

from streamrec import ActionModel, EventSettings, History, ModelConfig, Transform, VideoFile
from streamrec.commands import watch_job as watch
from streamrec.commands.watch_job import WatchJob
from streamrec.runtime.checkpoint import read_checkpoint, save_model
from streamrec.settings.cameras_file import read_watchfile
from streamrec.settings.tuned_file import Tuned
from streamrec.types import Frame, Prediction, Result
from tests.helpers import forked
from tests.helpers.cameras import free_port, rtsp_camera, silent_camera
from tests.helpers.frames import numbered
from tests.helpers.paths import ROOT

SECRET = "p@ss/w:rd"
STOP_SECONDS = 5.0


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    """A folder with two small models: one is sure to see a wave, the other a fall, whatever they see."""
    folder = tmp_path_factory.mktemp("models")
    for name, biases in (("wave", [0.0, 6.0, 0.0]), ("fall", [0.0, 0.0, 6.0])):
        torch.manual_seed(0)
        made = ActionModel(
            ModelConfig(
                labels=("idle", "wave", "fall"),
                transform=Transform(height=32, width=32),
                hidden_size=16,
                events=EventSettings(background=("idle",)),
            )
        )
        with torch.no_grad():
            made.head.classifier.weight.zero_()
            made.head.classifier.bias.copy_(torch.tensor(biases))
        save_model(folder / f"{name}.safetensors", made.eval())
    return folder


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> Path:
    """Three seconds at 10 a second."""
    path = tmp_path_factory.mktemp("video") / "film.mp4"
    nothing = Prediction("", 0.0, np.zeros(0, np.float32), 0.0)
    with VideoFile(path, overlay=False) as sink:
        for n, image in enumerate(numbered(30)):
            sink.write(Result(Frame(image, n, n / 10), nothing))
    return path


def write(folder: Path, models: Path, **cameras: str) -> Path:
    """A file of cameras that see waves; each value is the rest of its table."""
    text = f'[defaults]\nmodel = "{models}/wave.safetensors"\n'
    for name, table in cameras.items():
        text += f'[[camera]]\nname = "{name}"\n{table}\n'
    path = folder / "cameras.toml"
    part = folder / "cameras.toml.new"
    part.write_text(text, encoding="utf-8")
    part.replace(path)
    return path


def damage(
    model: Path | str,
    out: Path,
    *,
    tensors: Callable[[dict], object] = lambda held: None,
    metadata: Callable[[dict], object] = lambda held: None,
) -> None:
    """The same model file with something else in it."""
    with safe_open(model, framework="numpy") as file:
        told, held = dict(file.metadata()), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    tensors(held)
    metadata(told)
    save_file(held, out, told)


class Watching:
    """A running ``streamrec watch`` whose lines are read as they come."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []  # of both streams
        self._new: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=lambda pipe=pipe: [self._new.put(line) for line in pipe], daemon=True)
            for pipe in (process.stdout, process.stderr)
        ]
        for thread in self._threads:
            thread.start()

    def wait_for(self, pattern: str, seconds: float = 60.0) -> str:
        """The next line that matches."""
        ends = time.monotonic() + seconds
        while True:
            try:
                line = self._new.get(timeout=max(0.0, ends - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no {pattern!r} in:\n{''.join(self.lines)}") from None
            self.lines.append(line)
            if re.search(pattern, line):
                return line

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, float]:
        """The exit code, and the seconds that it took."""
        begun = time.monotonic()
        self.process.send_signal(number)
        code = self.process.wait(60)
        took = time.monotonic() - begun
        self.finish()
        return code, took

    def finish(self) -> None:
        self.process.wait(60)
        for thread in self._threads:
            thread.join(60.0)
        while not self._new.empty():
            self.lines.append(self._new.get())

    @property
    def text(self) -> str:
        return "".join(self.lines)


def environment(**more: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "WAYLAND_DISPLAY")}
    return kept | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", "COLUMNS": "200"} | more


@contextlib.contextmanager
def watching(path: Path, *words: object, **more: str) -> Iterator[Watching]:
    command = [sys.executable, "-m", "streamrec", "watch", str(path), *map(str, words)]
    process = forked.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(**more),
        cwd=ROOT,
        preexec_fn=forked.hears_ctrl_c,
    )
    watch = Watching(process)
    try:
        yield watch
    finally:
        process.kill()
        watch.finish()
        for pipe in (process.stdout, process.stderr):
            pipe.close()


def told(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


class TestFiles:
    def test_files_are_watched_to_their_ends(self, tmp_path, models, video):
        path = write(
            tmp_path,
            models,
            one=f'address = "{video}"',
            other=f'address = "{video}"\nmodel = "{models}/fall.safetensors"\nfps = 5',
            strict=f'address = "{video}"\nenter = 0.9999\nleave = 0.5',
            off='address = "nowhere.mp4"\nenabled = false',
        )
        lines = tmp_path / "out.jsonl"
        for _ in range(2):  # it goes on with the file that is there
            with watching(path, "--jsonl", lines) as watch:
                watch.finish()
            assert watch.process.returncode == 0, watch.text
        events = [line for line in told(lines) if line["type"] == "event"]
        assert len(events) == 8
        assert {(e["source"], e["label"]) for e in events} == {("one", "wave"), ("other", "fall")}
        states = [(line["source"], line["state"]) for line in told(lines) if line["type"] == "state"]
        assert states.count(("strict", "ended")) == 2
        assert {line["type"] for line in told(lines)} == {"event", "state"}
        assert all(re.fullmatch(r"20\d\d-.*T.*\+00:00", line["time"]) for line in told(lines))
        assert re.search(r"\d\d:\d\d:\d\d  one  wave started \(\d+ %\)", watch.text)
        assert re.search(r"75 frames of 3 cameras in .* 0 dropped, 2 actions", watch.text)
        ends = [n for n, line in enumerate(told(lines)) if line.get("event") == "ended"]
        over = [n for n, line in enumerate(told(lines)) if line.get("state") == "ended"]
        assert min(over) < max(ends)
        for n in ends:  # an action ends before its camera does
            later = [told(lines)[m] for m in over if m > n]
            assert any(line["source"] == told(lines)[n]["source"] for line in later)

    def test_two_models_watch_one_camera_in_one_pass(self, tmp_path, models, video):
        both = f'models = ["{models}/wave.safetensors", "{models}/fall.safetensors"]'
        path = write(
            tmp_path,
            models,
            both=f'address = "{video}"\n{both}\n[camera.by_model.fall]\nshortest = 1.0',
            one=f'address = "{video}"',
        )
        lines, history = tmp_path / "out.jsonl", tmp_path / "events.db"
        with watching(path, "--jsonl", lines, "--predictions", "--history", history) as watch:
            watch.finish()
        assert watch.process.returncode == 0, watch.text
        assert "no work" not in watch.text and "in common" not in watch.text  # they share their encoder
        assert re.search(r"both  fall started", watch.text) and re.search(r"both  wave started", watch.text)
        said = [line for line in told(lines) if line["type"] == "prediction" and line["source"] == "both"]
        assert [line["model"] for line in said] == ["wave", "fall"] * 30
        assert [line["index"] for line in said[::2]] == list(range(30))
        assert not any("model" in line for line in told(lines) if line["source"] == "one")
        events = [line for line in told(lines) if line["type"] == "event" and line["source"] == "both"]
        assert {(line["model"], line["label"]) for line in events} == {("wave", "wave"), ("fall", "fall")}
        kept = list(History(history, read_only=True).query())
        assert sorted((one.camera, one.model, one.label) for one in kept) == [
            ("both", "fall", "fall"),
            ("both", "wave", "wave"),
            ("one", "wave", "wave"),
        ]

    def test_predictions_are_written_where_they_are_wanted(self, tmp_path, models, video):
        path = write(tmp_path, models, one=f'address = "{video}"')
        with watching(path, "--jsonl", "-", "--predictions") as watch:
            watch.finish()
        lines = [json.loads(line) for line in watch.lines if line.startswith("{")]
        assert [line["index"] for line in lines if line["type"] == "prediction"] == list(range(30))
        assert {line["label"] for line in lines if line["type"] == "prediction"} == {"wave"}
        assert "30 frames of 1 camera" in watch.text  # on standard error

    def test_a_file_that_breaks_is_failed_and_the_exit_code_says_so(self, tmp_path, models, video):
        broken = tmp_path / "broken.mp4"
        broken.write_bytes(b"no video" * 100)
        path = write(tmp_path, models, good=f'address = "{video}"', bad=f'address = "{broken}"')
        with watching(path) as watch:
            watch.finish()
        assert watch.process.returncode == 1
        assert re.search(r"bad  failed: broken\.mp4 is not a video that can be read", watch.text)
        assert "good  wave ended" in watch.text
        assert "Traceback" not in watch.text


class TestMistakes:
    @pytest.mark.parametrize(
        ("table", "says"),
        [
            ('address = "nowhere.mp4"', "camera 'door': address: there is no file"),
            ('address = "0"\nmodel = "nonsense"', "camera 'door': model: there is no model 'nonsense'"),
            (
                'address = "0"\nenter = 0.5\nleave = 0.6',
                "camera 'door': thresholds: leave is 0.6 and enter is 0.5",
            ),
            ('address = "0"\nenter = 3', "camera 'door': enter: give a number from 0.001 to 1, not 3"),
            ('address = "0"\nadress = "1"', "camera 'door': adress: there is no such key"),
        ],
    )
    def test_what_is_wrong_at_the_start_is_one_sentence(self, tmp_path, models, table, says):
        with watching(write(tmp_path, models, door=table)) as watch:
            watch.finish()
        assert watch.process.returncode == 2
        (line,) = watch.lines
        assert line.startswith("streamrec: cameras.toml: camera 'door': ")
        assert says in line


class TestStopping:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_it_stops_in_time_whatever_state_the_cameras_are_in(self, tmp_path, models, number):
        with silent_camera() as silent, silent_camera("http") as other, _black_hole() as full:
            path = write(
                tmp_path,
                models,
                alive='address = "synthetic:1"',
                silent=f'address = "{silent}"',
                mute=f'address = "{other}"',
                full=f'address = "{full}"',
                dead=f'address = "rtsp://127.0.0.1:{free_port()}/live"',
                far='address = "rtsp://192.0.2.1/live"',  # an address that nobody has
                webcam='address = "/dev/video97"',
            )
            lines = tmp_path / "out.jsonl"
            with watching(path, "--jsonl", lines) as watch:
                watch.wait_for("alive  wave started")
                if not re.search("dead  (re)?connecting: ", watch.text):
                    watch.wait_for("dead  (re)?connecting: .*refused")
                code, took = watch.stop(number)
        assert code == (0 if number == signal.SIGTERM else 130)
        assert took < STOP_SECONDS
        assert "Traceback" not in watch.text and "terminate" not in watch.text
        assert re.search(r"alive  wave ended", watch.text)
        states = {line["source"]: line["state"] for line in told(lines) if line["type"] == "state"}
        assert set(states.values()) == {"ended"} and len(states) == 7

    def test_it_stops_by_itself_after_so_many_seconds(self, tmp_path, models):
        path = write(tmp_path, models, alive='address = "synthetic:1"')
        with watching(path, "--max-seconds", "1.5") as watch:
            watch.finish()
        assert watch.process.returncode == 0
        assert re.search(r"\d+ frames of 1 camera in [1-9]", watch.text)


@contextlib.contextmanager
def _black_hole() -> Iterator[str]:
    """A server that nobody tends: its queue is full, so that a connection is never made."""
    with socket.socket() as server, contextlib.ExitStack() as stack:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(3):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                client.connect(server.getsockname())
        yield f"rtsp://127.0.0.1:{server.getsockname()[1]}/live"


class TestChanges:
    def test_a_change_of_the_models_begins_that_camera_anew(self, tmp_path, models):
        one, kept = 'address = "synthetic:1"', 'address = "synthetic:2"'
        path = write(tmp_path, models, door=one, kept=kept)
        both = f'{one}\nmodels = ["{models}/wave.safetensors", "{models}/fall.safetensors"]'
        with watching(path) as watch:
            watch.wait_for("door  wave started")
            write(tmp_path, models, door=both, kept=kept)
            watch.wait_for(r"cameras\.toml: changed door")
            watch.wait_for("door  fall started")
            write(tmp_path, models, door=f"{both}\n[camera.by_model.fal]\nenter = 0.9", kept=kept)
            watch.wait_for(
                r"by_model: fal: there is no such model of this camera; did you mean fall\?.*go on"
            )
            write(tmp_path, models, door=one, kept=kept)
            watch.wait_for(r"cameras\.toml: changed door")
            code, _ = watch.stop()
        assert code == 0 and "kept  wave ended" in watch.text and "Traceback" not in watch.text

    @pytest.mark.parametrize("by_signal", [False, True])
    def test_the_file_is_read_again_and_only_what_changed_is_touched(self, tmp_path, models, by_signal):
        kept = 'address = "synthetic:1"'
        path = write(
            tmp_path, models, kept=kept, gone='address = "synthetic:2"', new='address = "synthetic:3"'
        )
        lines = tmp_path / "out.jsonl"
        with watching(path, "--jsonl", lines, "--predictions") as watch:
            watch.wait_for("kept  wave started")
            changed = f'address = "synthetic:3"\nmodel = "{models}/fall.safetensors"'
            write(tmp_path, models, kept=kept, new=changed, more='address = "synthetic:4"')
            if by_signal:
                watch.process.send_signal(signal.SIGHUP)
            watch.wait_for(r"cameras\.toml: added more; removed gone; changed new")
            watch.wait_for("new  fall started")
            (tmp_path / "cameras.toml").write_text("[[camera", encoding="utf-8")
            watch.wait_for(r"cameras\.toml is not TOML: .*; the cameras go on as they were")
            write(tmp_path, models, kept=kept, bad='address = "0"\nmodel = "nonsense"')
            watch.wait_for(r"camera 'bad': model: there is no model 'nonsense'.*go on as they were")
            write(tmp_path, models, kept=kept)
            watch.wait_for(r"cameras\.toml: removed new, more")
            code, took = watch.stop()
        assert code == 0
        assert took < STOP_SECONDS
        states = [(line["source"], line["state"]) for line in told(lines) if line["type"] == "state"]
        assert [state for name, state in states if name == "kept"] == ["connecting", "live", "ended"]
        # The old one is over before the new one of its name begins.
        both = [state for name, state in states if name == "new"]
        assert both.count("ended") == 2
        assert both[both.index("ended") + 1] == "connecting"
        indexes = [
            line["index"] for line in told(lines) if line["type"] == "prediction" and line["source"] == "kept"
        ]
        assert indexes == sorted(set(indexes))  # it never began anew
        events = [line for line in told(lines) if line["type"] == "event"]
        assert {(e["source"], e["label"]) for e in events if e["event"] == "ended"} == {
            (e["source"], e["label"]) for e in events if e["event"] == "started"
        }

    def test_nothing_that_the_file_says_ends_it(self, tmp_path, models):
        """Whatever it is: a sentence, and the camera that runs loses nothing."""
        kept = 'address = "synthetic:1"'
        path = write(tmp_path, models, kept=kept)
        good, table = path.read_text(), '\n[[camera]]\nname = "bad"\naddress = "0"\n'
        model = str(models / "wave.safetensors")
        weights = read_checkpoint(model).weights
        broken = {name: tmp_path / f"{name}.safetensors" for name in ("missing", "deep", "nan", "unknown")}
        first = read_checkpoint(model).referred[0]
        damage(model, broken["missing"], tensors=lambda held: held.pop(first))
        damage(model, broken["deep"], metadata=lambda held: held.update(config="[" * 50_000))
        damage(model, broken["nan"], tensors=lambda held: held.update({first: weights[first] * np.nan}))
        damage(model, broken["unknown"], metadata=lambda held: held.update(referred='["nobody"]'))
        texts: dict[str, str | bytes] = {
            "nested too deeply": good + "x = " + "[" * 20_000 + "]" * 20_000,
            "nested too deeply, from line": good + "x = " + "{a = " * 5_000 + "1" + "}" * 5_000,
            "a number that is too large": good + table + "enter = " + "9" * 400,
            "thousands of digits": good + table + "enter = " + "9" * 5_000,
            "more than 16 parts": good + ".".join(f"a{n}" for n in range(20_000)) + " = 1",
            "there is no user 'nobodyhere' here": good + table.replace('"0"', '"~nobodyhere/x.mp4"'),
            "is no path: it holds a zero": good
            + table.replace('"0"', '"rtsp://h/1"')
            + 'user = "me"\npassword_file = "a\\u0000b"',
            "it holds a control character": good + table.replace('"0"', '"a\\u0000b"'),
            "is not written in UTF-8": good.encode() + b"# \xff\xfe",
            "larger than 500 kB": good + "#" * 2_000_000,
            "name: it stands there twice": good + table + table,
            "fps: give a number from 0.1 to 240, not 1e-300": good + table + "fps = 1e-300",
            "still: give seconds from 0.01": good + table + "still = 1e-300",
            "smoothing: give seconds from 0.001": good + table + "smoothing = 1e300",
            "merge_gap: give seconds from 0.001": good + table + "merge_gap = inf",
            "webcams have numbers from 0": good + table.replace('"0"', "99999999"),
            "did you mean wave": good + table + "by_label.wav.enter = 0.5",
            "which its graph refers to": good + table + f'model = "{broken["missing"]}"',
            "its config is damaged": good + table + f'model = "{broken["deep"]}"',
            "holds what is no number": good + table + f'model = "{broken["nan"]}"',
            "the weight 'nobody' is missing": good + table + f'model = "{broken["unknown"]}"',
            "there is no such key": good + "[history]\nfiles = 3",
            "keep_days: give a number": good + "[history]\nkeep_days = 1e300",
        }
        with watching(path, "--jsonl", tmp_path / "out.jsonl", "--predictions") as watch:
            watch.wait_for("kept  wave started")
            for says, text in texts.items():
                path.write_bytes(text if isinstance(text, bytes) else text.encode())
                watch.process.send_signal(signal.SIGHUP)
                assert len(watch.wait_for(f"{re.escape(says)}.*go on as they were")) < 600
            path.unlink()
            for says, make in {
                "is a directory": path.mkdir,
                "it is a pipe into which no program writes": lambda: os.mkfifo(path),
                "it is a device": lambda: path.symlink_to("/dev/zero"),
                "too many levels of symbolic links": lambda: path.symlink_to(path),
                "larger than": lambda: os.truncate(os.open(path, os.O_CREAT | os.O_WRONLY), 2**30),
                "no such file": lambda: None,
            }.items():
                make()
                watch.process.send_signal(signal.SIGHUP)
                watch.wait_for(f"{says}.*go on as they were")
                if path.is_dir():
                    path.rmdir()
                path.unlink(missing_ok=True)
            path.write_text(good + table.replace("0", "synthetic:2"))
            watch.wait_for("added bad")
            code, _ = watch.stop()
        assert code == 0 and "Traceback" not in watch.text
        lines = [line for line in told(tmp_path / "out.jsonl") if line.get("source") == "kept"]
        assert [line["state"] for line in lines if line["type"] == "state"] == ["connecting", "live", "ended"]

    def test_a_change_that_is_asked_for_at_once_is_told_once(self, tmp_path, models):
        path = write(tmp_path, models, door='address = "synthetic:1"')
        with watching(path) as watch:
            watch.wait_for("door  live")
            write(tmp_path, models, door='address = "synthetic:1"\nfps = "ten"')
            watch.process.send_signal(signal.SIGHUP)
            watch.wait_for("the cameras go on as they were")
            time.sleep(2.5)  # it looks at the file twice meanwhile
            write(tmp_path, models, door='address = "synthetic:1"\nfps = 10')
            watch.wait_for("changed door")
        assert watch.text.count("the cameras go on as they were") == 1

    def test_a_file_that_holds_a_password_is_followed_too(self, tmp_path, models):
        password = tmp_path / "door.txt"
        password.write_text("first-secret")
        path = write(
            tmp_path,
            models,
            door='address = "rtsp://127.0.0.1:9/live"\nuser = "me"\npassword_file = "door.txt"',
        )
        with watching(path) as watch:
            watch.wait_for("door  (re)?connecting: .*refused")
            password.write_text("second-secret")
            watch.wait_for("cameras.toml: changed door")
            assert watch.stop()[0] == 0
        assert "secret" not in watch.text

    def test_all_cameras_may_be_switched_off_for_a_while(self, tmp_path, models):
        path = write(tmp_path, models, door='address = "synthetic:1"\nenabled = false')
        with watching(path) as watch:
            watch.wait_for("no camera is enabled")
            write(tmp_path, models, door='address = "synthetic:1"')
            watch.wait_for("door  wave started")
            assert watch.stop()[0] == 0


class TestCameras:
    def test_a_dead_camera_delays_neither_the_start_nor_the_others(self, tmp_path, models):
        with silent_camera() as silent:
            dead = {f"dead{n}": f'address = "{silent}"' for n in range(4)}
            path = write(tmp_path, models, **dead, alive='address = "synthetic:1"')
            with watching(path) as watch:
                watch.wait_for("added dead0")
                watch.wait_for("alive  live")
                assert "no answer" not in watch.text  # before the first dead one is given up
                watch.wait_for("dead3  (re)?connecting: .*no answer", 60)
                assert watch.stop()[1] < STOP_SECONDS
        assert not re.search(r"dead\d  live", watch.text)

    @pytest.mark.slow
    def test_two_real_cameras_by_rtsp_and_one_comes_back(self, tmp_path, models):
        with (
            rtsp_camera(fps=15, size=(160, 120), user="me", password=SECRET) as one,
            rtsp_camera(fps=15, size=(160, 120)) as two,
        ):
            bare = f"rtsp://127.0.0.1:{one.port}/live"
            login = 'user = "me"\npassword = "${DOOR_PASSWORD}"'
            path = write(
                tmp_path,
                models,
                door=f'address = "{bare}"\n{login}',
                yard=f'address = "{two}"',
                guest=f'address = "{bare}"\nuser = "me"\npassword = "a wrong one"',
            )
            lines = tmp_path / "out.jsonl"
            with watching(path, "--jsonl", lines, DOOR_PASSWORD=SECRET) as watch:
                for name in ("door", "yard"):
                    if f"{name}  wave started" not in watch.text:
                        watch.wait_for(f"{name}  wave started")
                one.kill()
                watch.wait_for("door  (reconnecting|stalled)", 30)
                with rtsp_camera(fps=15, size=(320, 240), port=one.port, user="me", password=SECRET):
                    watch.wait_for("door  live", 60)
                    watch.wait_for("door  wave started")
                    code, took = watch.stop()
        assert code == 0
        assert took < STOP_SECONDS
        assert re.search("guest  (re)?connecting: .*", watch.text)
        assert "refused the user or the password" in watch.text
        shown = watch.text + lines.read_text()
        for secret in (SECRET, "p%40ss%2Fw%3Ard", "a wrong one", "a%20wrong%20one"):
            assert secret not in shown
        yard = [line["state"] for line in told(lines) if line["type"] == "state" and line["source"] == "yard"]
        assert yard == ["connecting", "live", "ended"]


class TestAfter:
    def test_it_stops_in_time_with_everything_that_may_come_after_an_event_in_the_way(self, tmp_path, models):
        """A broker that nobody has, a receiver that never answers, a video that is being written."""
        with silent_camera("http") as mute:
            path = write(tmp_path, models, alive='address = "synthetic:1"', other='address = "synthetic:2"')
            with path.open("a") as file:
                file.write(
                    f'[history]\n[evidence]\nleave_free_gb = 0\n[[webhook]]\nurl = "{mute}"\n'
                    '[mqtt]\nhost = "192.0.2.1"\n'
                )
            with watching(path, "--record", tmp_path / "flight") as watch:
                watch.wait_for("alive  wave started")
                time.sleep(1.0)
                code, took = watch.stop()
        assert code == 0, watch.text
        assert took < STOP_SECONDS, watch.text
        assert "Traceback" not in watch.text
        with History(tmp_path / "events.db", read_only=True) as history:
            entries = history.query()
        assert {entry.camera for entry in entries} == {"alive", "other"}
        assert all(entry.ended is not None and not entry.interrupted for entry in entries)
        assert all(entry.clip is None or Path(entry.clip).exists() for entry in entries)
        if "the evidence was not written within" not in watch.text:  # it is on a machine that has no time
            assert all(entry.clip is not None for entry in entries)
            assert not list(tmp_path.rglob("*.part*"))

    def test_a_change_of_what_comes_after_is_told_to_wait(self, tmp_path, models):
        path = write(tmp_path, models, alive='address = "synthetic:1"')
        with watching(path) as watch:
            watch.wait_for("alive  wave started")
            with path.open("a") as file:
                file.write("[history]\n")
            watch.wait_for("what happens after an event is other now: that counts from the next start")
            assert watch.stop()[0] == 0

    def test_a_history_that_another_program_holds_stops_no_prediction_and_takes_no_event(
        self, tmp_path, models
    ):
        path = write(tmp_path, models, one='address = "synthetic:1"', two='address = "synthetic:2"')
        lines = tmp_path / "out.jsonl"

        def count(kind: str) -> int:
            return lines.read_text(encoding="utf-8").count(f'"type": "{kind}"')

        with watching(path, "--history", tmp_path / "events.db", "--jsonl", lines, "--predictions") as watch:
            watch.wait_for("wave started")
            with contextlib.closing(sqlite3.connect(tmp_path / "events.db", isolation_level=None)) as other:
                other.execute("BEGIN EXCLUSIVE")
                watch.wait_for("another program holds it; what happens waits in memory", 120)
                predictions, events = count("prediction"), count("event")
                ends = time.monotonic() + 60
                while count("prediction") < predictions + 20 and time.monotonic() < ends:
                    time.sleep(0.05)
                assert count("prediction") >= predictions + 20
                assert count("event") == events
                other.execute("ROLLBACK")
            watch.wait_for("is written again, with what happened meanwhile")
            assert watch.stop()[0] == 0
        with History(tmp_path / "events.db", read_only=True) as history:
            kept = {(entry.camera, entry.label, round(entry.timestamp, 6)) for entry in history.query()}
        events = [line for line in told(lines) if line["type"] == "event"]
        assert {
            (line["source"], line["label"], line["timestamp" if line["event"] == "started" else "started"])
            for line in events
        } == kept

    def test_a_history_in_use_is_one_sentence(self, tmp_path, models):
        path = write(tmp_path, models, alive='address = "synthetic:1"')
        with History(tmp_path / "events.db"), watching(path, "--history", tmp_path / "events.db") as watch:
            watch.finish()
        assert watch.process.returncode == 2
        (line,) = watch.lines
        assert re.fullmatch(r"streamrec: another streamrec writes to .*events\.db; end it, or .*\n", line)


class TestTerminal:
    def test_a_table_lives_on_a_terminal(self, tmp_path, models):
        with silent_camera() as silent:
            path = write(tmp_path, models, door='address = "synthetic:1"', yard=f'address = "{silent}"')
            screen, terminal = pty.openpty()
            process = subprocess.Popen(
                [sys.executable, "-m", "streamrec", "watch", str(path), "--max-seconds", "3"],
                stdin=terminal, stdout=terminal, stderr=terminal, env=environment(TERM="xterm-256color"), cwd=ROOT,
            )  # fmt: skip
            os.close(terminal)
            shown = b""
            try:
                ends = time.monotonic() + 60
                while time.monotonic() < ends:
                    if not select.select([screen], [], [], 1.0)[0]:
                        continue
                    try:
                        piece = os.read(screen, 65536)
                    except OSError:  # the other end is closed
                        break
                    if not piece:
                        break
                    shown += piece
            finally:
                process.kill()
                os.close(screen)
            assert process.wait(60.0) == 0
        text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode())
        assert re.search(r"camera +state +label +fps +dropped", text)
        assert re.search(r"door +live +wave +\d+ % +\d+\.\d +\d+", text)
        assert re.search(r"yard +connecting", text)
        assert re.search(r"door  wave started", text)


def test_nothing_that_an_extra_brings_is_needed_to_serve(tmp_path, models, video):
    code = f"""
import sys
from streamrec.errors import EXTRAS
for name in EXTRAS:
    sys.modules[name] = None
sys.argv = ["streamrec", "watch", {str(write(tmp_path, models, one=f'address = "{video}"'))!r}]
from streamrec.commands.process import main
main()
"""
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment(), cwd=ROOT, timeout=120
    )
    assert run.returncode == 0, run.stderr
    assert "30 frames of 1 camera" in run.stdout


def test_the_example_is_what_it_says(tmp_path):
    deploy = ROOT / "deploy"
    given = dict(
        line.split("=", 1)
        for line in (deploy / "cameras.env").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    )
    file = read_watchfile(deploy / "cameras.toml", given)
    assert len(file.cameras) >= 3
    assert [camera.name for camera in file.cameras if camera.enabled]
    for camera in file.cameras:
        camera.event_settings(EventSettings())
    text = (deploy / "cameras.toml").read_text(encoding="utf-8")
    assert all(secret not in text for secret in file.secrets)


def test_the_systemd_unit_is_valid(tmp_path):
    unit = (ROOT / "deploy" / "streamrec.service").read_text(encoding="utf-8")
    for line in ("Restart=always", "EnvironmentFile=", "NoNewPrivileges=yes", "ProtectSystem=strict"):
        assert line in unit
    if not shutil.which("systemd-analyze"):
        pytest.skip("there is no systemd-analyze")
    # It looks for the program and the user of the unit, which are not there yet.
    copy = tmp_path / "streamrec.service"
    copy.write_text(re.sub(r"(?m)^ExecStart=\S+", f"ExecStart={sys.executable}", unit), encoding="utf-8")
    run = subprocess.run(["systemd-analyze", "verify", "--man=no", str(copy)], capture_output=True, text=True)
    complaints = [line for line in run.stderr.splitlines() if "streamrec.service" in line]
    assert complaints == []


def test_what_was_tuned_is_for_cameras_of_its_model(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(watch.Recognizer, "load", lambda model, **options: asked.append((model, options)))
    job = WatchJob(path=tmp_path, engine="torch", tuned=Tuned(model="fall", engine="onnx", threads=2))
    monkeypatch.setattr(watch, "open_models", lambda models, **options: asked.append((models, options)))
    job.load("fall")
    job.load("workout")
    job.load("fall", "workout")
    judged, followed = {"people": True, "per_person": True}, {"people": True, "per_person": False}
    assert asked == [
        ("fall", {"engine": "onnx", "device": "auto", "threads": 2, **judged}),
        ("workout", {"engine": "torch", "device": "auto", "threads": None, **followed}),
        (("fall", "workout"), {"engine": "torch", "device": "auto", "threads": None, **judged}),
    ]

"""The command line, as a person or a script meets it."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from streamrec import Recognizer
from streamrec.commands.app import app
from streamrec.commands.wording import clock
from streamrec.runtime.checkpoint import read_checkpoint, save_model
from tests.helpers import forked
from tests.helpers.cameras import free_port, rtsp_camera, silent_camera
from tests.integration.notify.test_webhook import SECRET as WEBHOOK_SECRET
from tests.integration.notify.test_webhook import receiving
from tests.system.faults.proxy import Line

COMMANDS = (
    "run",
    "watch",
    "demo",
    "record",
    "train",
    "backbone",
    "eval",
    "calibrate",
    "familiar",
    "crossval",
    "carry",
    "export",
    "webpage",
    "bench",
    "models",
    "schema",
    "doctor",
)
SECRET = "hunter2"


def environment() -> dict[str, str]:
    """No screen, one thread for torch, nothing that Python buffers."""
    kept = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "WAYLAND_DISPLAY")}
    return kept | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", "COLUMNS": "100"}


def streamrec(*words: object, timeout: float = 120, **options) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "streamrec", *map(str, words)]
    return forked.run(
        command, capture_output=True, text=True, timeout=timeout, env=environment(), check=False, **options
    )


@contextlib.contextmanager
def running(*words: object) -> Iterator[subprocess.Popen[str]]:
    """A command that goes on by itself; it is ended with the block at the latest."""
    command = [sys.executable, "-m", "streamrec", *map(str, words)]
    process = forked.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        preexec_fn=forked.hears_ctrl_c,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def assert_refused(run: subprocess.CompletedProcess[str], says: str) -> None:
    """A user's mistake: exit code 2, and one sentence."""
    assert run.returncode == 2, run.stderr
    (line,) = run.stderr.strip().splitlines()
    assert line.startswith("streamrec: ")
    assert re.search(says, line), line


def pictures_in(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def write_video(path: Path, count: int = 30, *, fps: int = 10, drift: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(abs(drift)).integers(0, 256, (48, 64, 3), np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for n in range(count):
            moved = (n * drift // 64, n * drift)  # after a turn one row down: no two seconds are the same
            picture = np.ascontiguousarray(np.roll(noise, moved, axis=(0, 1)))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return write_video(tmp_path_factory.mktemp("clip") / "clip.mp4")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Two clips of each of two labels."""
    folder = tmp_path_factory.mktemp("data")
    for label, drift in (("wave", 3), ("fall", -3)):
        for n in range(2):
            write_video(folder / label / f"{n}.mp4", 12, drift=drift * (n + 1))
    return folder


class TestHelp:
    @pytest.mark.parametrize("command", COMMANDS)
    def test_every_command_shows_an_example(self, command):
        shown = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"})
        assert shown.exit_code == 0
        examples = re.findall(rf"^ +streamrec {command}.*$", shown.output, re.MULTILINE)
        if command != "doctor":  # there is nothing to say beside its name
            assert len(examples) >= 1, shown.output
        assert "\b" not in shown.output

    def test_the_examples_name_options_that_there_are(self):
        for command in COMMANDS:
            shown = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"}).output
            options = "\n".join(re.findall(r"^  -.*$", shown, re.MULTILINE))
            examples = [line for line in shown.splitlines() if line.strip().startswith("streamrec ")]
            for option in re.findall(r" (--?[a-z][a-z-]*)", "\n".join(examples)):
                assert option in options, f"{command}: {option}"

    def test_options_stand_under_headings(self):
        shown = CliRunner().invoke(app, ["run", "--help"]).output
        headings = re.findall(r"^(\S.*):$", shown, re.MULTILINE)
        assert headings == [
            "Arguments", "Source and model", "Output", "History and evidence", "Page", "Speed", "Other"
        ]  # fmt: skip

    def test_commands_stand_under_headings(self):
        shown = CliRunner().invoke(app, ["--help"]).output
        assert re.findall(r"^(\S.*):$", shown, re.MULTILINE) == [
            "Options", "Watch", "Teach", "Measure", "Look after"
        ]  # fmt: skip

    def test_the_commands_are_listed_in_a_moment_without_torch(self):
        code = (
            "import sys\nsys.argv = ['streamrec', '--help']\nfrom streamrec.commands.process import main\n"
            "try: main()\nexcept SystemExit as left: assert not left.code\n"
            "heavy = {'torch', 'torchvision', 'timm', 'cv2', 'av', 'onnxruntime', 'numpy'} & set(sys.modules)\n"
            "print('loaded:', sorted(heavy))"
        )
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert "loaded: []" in run.stdout
        for command in COMMANDS:
            assert re.search(rf"\b{command}\b", run.stdout)

    def test_a_bare_command_shows_help(self):
        assert "Usage" in CliRunner().invoke(app, []).output

    def test_the_version_is_said(self):
        assert re.fullmatch(r"streamrec \d+\.\d+\.\d+\n", CliRunner().invoke(app, ["--version"]).output)

    def test_python_m_streamrec_is_the_same_command(self):
        command = [sys.executable, "-m", "streamrec", "--version"]
        done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=True)
        assert done.stdout.startswith("streamrec ")


class TestRun:
    def test_a_file_becomes_a_video_and_lines(self, clip, tiny_file, tmp_path):
        video, lines = tmp_path / "seen.mp4", tmp_path / "seen.jsonl"
        run = streamrec("run", clip, "-m", tiny_file, "--save", video, "--jsonl", lines, "--no-show")
        assert run.returncode == 0, run.stderr
        assert run.stderr == ""
        assert "clip.mp4: tiny model, onnx engine" in run.stdout
        assert re.search(r"30 frames in .* latency p50 \d+ ms p99 \d+ ms, 0 dropped", run.stdout)
        assert pictures_in(video) == 30
        told = [json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()]
        predictions = [line for line in told if line["type"] == "prediction"]
        assert [line["index"] for line in predictions] == list(range(30))
        assert {line["label"] for line in predictions} <= {"idle", "wave", "fall"}
        assert sorted(path.name for path in tmp_path.iterdir()) == ["seen.jsonl", "seen.mp4"]

    def test_standard_output_holds_json_and_nothing_else_and_each_event_that_starts_ends(
        self, clip, tiny_file
    ):
        run = streamrec("run", clip, "-m", tiny_file, "--jsonl", "-", "--no-show")
        assert run.returncode == 0
        lines = [json.loads(line) for line in run.stdout.splitlines()]
        assert len(lines) >= 30
        assert "30 frames" in run.stderr
        events = [line for line in lines if line["type"] == "event"]
        assert len([e for e in events if e["event"] == "started"]) * 2 == len(events)

    def test_what_is_to_happen_after_an_event_may_stand_in_a_file(
        self, main_here, clip, tiny_model, tmp_path, monkeypatch
    ):
        sure, file = copy.deepcopy(tiny_model), tmp_path / "after.toml"
        sure.head.classifier.bias.data = torch.tensor([0.0, 9.0, 0.0])
        save_model(tmp_path / "sure.safetensors", sure)
        monkeypatch.setenv("HOOK", WEBHOOK_SECRET)
        with receiving() as receiver:
            url = f"http://127.0.0.1:{receiver.port}/hook"
            file.write_text(f'[[webhook]]\nurl = "{url}"\nsecret = "${{HOOK}}"\n')
            run = main_here("run", clip, "-m", tmp_path / "sure.safetensors", "--no-show", "--settings", file)
            assert run.returncode == 0, run.stderr
            sent = receiver.wait(2)
        assert [(body["event"], body["data"]["label"]) for body in sent] == [
            ("started", "wave"),
            ("ended", "wave"),
        ]
        assert {body["data"]["camera"] for body in sent} == {"clip.mp4"}
        assert (tmp_path / "events.db").is_file()  # beside the file
        assert WEBHOOK_SECRET not in run.stdout + run.stderr

    def test_without_a_screen_it_says_so_and_goes_on(self, main_here, clip, tiny_file):
        run = main_here("run", clip, "-m", tiny_file)
        assert run.returncode == 0
        assert re.search("No window: .*(display|headless)", run.stdout)

    @pytest.mark.parametrize(("seconds", "frames"), [("1.0", "10 frames"), ("0", "")])  # zero is a value
    def test_it_stops_after_so_many_seconds_of_stream(self, main_here, tiny_file, seconds, frames):
        run = main_here("run", "synthetic", "-m", tiny_file, "--no-show", "--max-seconds", seconds)
        assert run.returncode == 0
        assert frames in run.stdout
        assert (" frames in " in run.stdout) == bool(frames)

    def test_another_rhythm_and_engine_may_be_asked_for(self, main_here, clip, tiny_file):
        run = main_here("run", clip, "-m", tiny_file, "--no-show", "--fps", "5", "--engine", "torch")
        assert run.returncode == 0, run.stderr
        assert "torch engine" in run.stdout
        assert "15 frames" in run.stdout

    def test_a_reader_that_leaves_ends_it_without_a_traceback(self, tiny_file):
        with running("run", "synthetic", "-m", tiny_file, "--no-show", "--jsonl", "-") as process:
            json.loads(process.stdout.readline())
            process.stdout.close()
            assert process.wait(20) in (1, 2)
            told = process.stderr.read()
        assert "Traceback" not in told
        assert "Exception ignored" not in told


class TestMistakes:
    def test_a_missing_file(self, main_here, tiny_file, tmp_path):
        assert_refused(main_here("run", tmp_path / "nowhere.mp4", "-m", tiny_file), "there is no file")

    def test_a_text_named_as_a_video(self, tiny_file, tmp_path):
        (tmp_path / "notes.mp4").write_text("buy milk\n" * 50)
        save = tmp_path / "seen.mp4"
        run = streamrec("run", tmp_path / "notes.mp4", "-m", tiny_file, "--no-show", "--save", save)
        assert_refused(run, "not a video that can be read")
        assert not list(tmp_path.glob("seen*"))

    def test_a_wrong_model(self, main_here, clip, tmp_path):
        assert_refused(main_here("run", clip, "-m", "nonsense"), "there is no model 'nonsense'")
        (tmp_path / "m.safetensors").write_bytes(b"no model")
        assert_refused(main_here("run", clip, "-m", tmp_path / "m.safetensors"), "not a safetensors file")

    @pytest.mark.parametrize("save", ["/no/such/folder/out.mp4", "out.gif", "{clip}/out.mp4", "{folder}"])
    def test_a_video_that_cannot_be_written(self, main_here, clip, tiny_file, tmp_path, save):
        save = save.format(clip=clip, folder=tmp_path)
        assert_refused(main_here("run", clip, "-m", tiny_file, "--no-show", "--save", save), "cannot write")

    def test_a_wrong_key_in_what_is_to_happen(self, main_here, clip, tiny_file, tmp_path):
        (tmp_path / "after.toml").write_text('[[webhok]]\nurl = "https://example.org"\n')
        run = main_here("run", clip, "-m", tiny_file, "--settings", tmp_path / "after.toml")
        assert_refused(run, "after.toml: webhok: there is no such key; did you mean webhook")

    def test_lines_that_cannot_be_written(self, main_here, clip, tiny_file):
        run = main_here("run", clip, "-m", tiny_file, "--no-show", "--jsonl", "/no/such/folder/out.jsonl")
        assert_refused(run, "create it first")

    def test_a_window_where_there_is_no_screen(self, main_here, clip, tiny_file):
        assert_refused(main_here("run", clip, "-m", tiny_file, "--show"), "display|headless")

    @pytest.mark.parametrize("fps", ["0", "-3", "fast"])
    def test_a_wrong_rhythm(self, main_here, clip, tiny_file, fps):
        run = main_here("run", clip, "-m", tiny_file, "--no-show", "--fps", fps)
        assert run.returncode == 2
        assert "--fps" in run.stderr
        assert "Traceback" not in run.stderr

    def test_a_camera_that_is_not_there(self, main_here, tiny_file):
        assert_refused(main_here("run", "97", "-m", tiny_file, "--no-show"), "streamrec doctor")

    def test_a_camera_that_refuses_keeps_its_password(self, tiny_file):
        address = f"rtsp://admin:{SECRET}@127.0.0.1:{free_port()}/live"
        run = streamrec("run", address, "-m", tiny_file, "--no-show")
        assert_refused(run, r"rtsp://\*\*\*@127\.0\.0\.1")
        assert SECRET not in run.stdout + run.stderr

    @pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux lets us")
    def test_a_password_is_not_in_the_list_of_processes(self, tiny_file):
        with silent_camera() as camera:
            address = camera.replace("://", f"://admin:{SECRET}@") + f"?channel=1&token={SECRET}"
            command = [sys.executable, "-m", "streamrec", "run", address, "-m", str(tiny_file), "--no-show"]
            with subprocess.Popen(
                command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            ) as process:
                listed = Path(f"/proc/{process.pid}/cmdline")
                until = time.monotonic() + 30.0
                while SECRET in (shown := listed.read_text()) or "***@" not in shown:
                    assert time.monotonic() < until, shown
                    time.sleep(0.05)
                process.kill()
        assert "run\0" in shown
        assert "channel=1" in shown
        assert "--no-show" in shown

    def test_an_unknown_engine_or_device(self, main_here, clip, tiny_file):
        run = main_here("run", clip, "-m", tiny_file, "--no-show", "--engine", "tflite")
        assert (run.returncode, "Traceback" in run.stderr) == (2, False)
        assert_refused(
            main_here("run", clip, "-m", tiny_file, "--no-show", "--engine", "onnx", "--device", "cuda"),
            "runs on the cpu",
        )

    def test_a_place_that_is_no_folder(self, main_here, clip):
        assert_refused(main_here("demo", "--out", clip, "--seconds", "1"), "clip.mp4")

    def test_data_that_is_not_there(self, main_here, tiny_file, tmp_path):
        out = tmp_path / "m.safetensors"
        assert_refused(main_here("train", tmp_path / "nowhere", "--out", out), "there is no data")
        assert_refused(main_here("eval", tiny_file, tmp_path / "nowhere"), "there is no data")
        assert_refused(main_here("train", tmp_path, "--out", out), "holds no clips")

    @pytest.mark.parametrize("words", [["--size", "big"], ["--size", "8x8"], ["--size", "²x²"]])
    def test_a_wrong_size(self, main_here, data, tmp_path, words):
        assert_refused(main_here("train", data, "--out", tmp_path / "m.safetensors", *words), "WIDTHxHEIGHT")

    def test_a_recipe_or_a_model_to_start_from_that_there_is_not(self, main_here, data):
        assert_refused(
            main_here("train", data, "--recipe", "figth"), "there is no recipe 'figth'; there are: "
        )
        assert_refused(main_here("train", data, "--weights", "figth"), "there is no model 'figth'")

    def test_a_model_without_a_place_of_its_own_replaces_none(self, main_here, data, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / f"{data.stem}.safetensors").write_text("a model that took a day")
        assert_refused(main_here("train", data), "is there already; say with --out")

    @pytest.mark.parametrize("fps", ["fast", "30,,x", "0", "²", ","])
    def test_wrong_rates(self, main_here, tiny_file, fps):
        assert_refused(
            main_here("eval", tiny_file, "synthetic", "--source-fps", fps), "frame rates with commas"
        )


def wait_for_frames(path: Path, process: subprocess.Popen[str], seconds: float = 30.0) -> None:
    """Until some results stand in a file of JSON lines."""
    deadline = time.monotonic() + seconds
    while not path.exists() or path.read_bytes().count(b"\n") < 12:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


class TestEnding:
    @pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
    @pytest.mark.slow
    def test_an_endless_stream_is_ended_with_a_summary_and_a_whole_video(self, tiny_file, tmp_path, kind):
        video, lines = tmp_path / "seen.mp4", tmp_path / "seen.jsonl"
        words = ("run", "synthetic", "-m", tiny_file, "--no-show", "--save", video, "--jsonl", lines)
        with running(*words) as process:
            wait_for_frames(lines, process)
            process.send_signal(kind)
            told, complaints = process.communicate(timeout=60)
        assert process.returncode == 130
        assert re.search(r"\d+ frames in .*, stopped", told)
        assert complaints == ""
        assert pictures_in(video) >= 10
        for line in lines.read_text(encoding="utf-8").splitlines():
            json.loads(line)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["seen.jsonl", "seen.mp4"]

    @pytest.mark.slow
    def test_a_camera_is_left_when_asked_to(self, tiny_file, tmp_path):
        video, lines = tmp_path / "seen.mp4", tmp_path / "seen.jsonl"
        with (
            rtsp_camera(size=(320, 240), fps=20) as camera,
            running(
                "run", camera, "-m", tiny_file, "--no-show", "--save", video, "--jsonl", lines
            ) as process,
        ):
            wait_for_frames(lines, process)
            process.send_signal(signal.SIGINT)
            told, complaints = process.communicate(timeout=60)
        assert process.returncode == 130
        assert "stopped" in told
        assert "Traceback" not in complaints
        assert pictures_in(video) >= 10

    @pytest.mark.slow
    def test_a_camera_that_was_frozen_is_left_all_the_same(self, tiny_file, tmp_path):
        lines = tmp_path / "seen.jsonl"
        with (
            rtsp_camera(size=(320, 240), fps=20) as camera,
            running("run", camera, "-m", tiny_file, "--no-show", "--jsonl", lines) as process,
        ):
            wait_for_frames(lines, process)
            camera.freeze()
            process.send_signal(signal.SIGINT)
            told, _ = process.communicate(timeout=20)
        assert process.returncode == 130
        assert "stopped" in told


class TestModels:
    def test_the_shipped_models_are_listed_with_their_labels(self, main_here):
        run = main_here("models")
        assert run.returncode == 0
        for name in ("fight", "synthetic"):
            labels = ", ".join(Recognizer.load(name).labels)
            assert re.search(rf"^{name}\s.*MB.*\n.*\n.*{labels}", run.stdout, re.MULTILINE)

    @pytest.mark.slow
    def test_the_encoders_are_listed_and_searched(self, main_here):
        names = main_here("models", "--encoders", "--search", "mobilenet_v3").stdout.split()
        assert "mobilenet_v3_small" in names
        assert all("mobilenet_v3" in name for name in names)

    def test_an_export_is_one_file_that_runs(self, main_here, tiny_file, clip, tmp_path):
        out = tmp_path / "tiny.onnx"
        run = main_here("export", tiny_file, "--out", out)
        assert run.returncode == 0, run.stderr
        assert "MB" in run.stdout
        assert list(tmp_path.iterdir()) == [out]
        assert main_here("run", clip, "-m", out, "--no-show").returncode == 0

    def test_a_model_exported_as_safetensors_is_the_same_model(self, main_here, tiny_file, tmp_path):
        from safetensors.numpy import load_file

        out = tmp_path / "again.safetensors"
        assert main_here("export", tiny_file, "--out", out).returncode == 0
        one, other = load_file(tiny_file), load_file(out)
        assert set(one) == set(other)
        assert all((one[name] == other[name]).all() for name in one if name != "step.onnx")
        assert Recognizer.load(out).config == Recognizer.load(tiny_file).config

    def test_calibrating_tells_what_to_expect_and_writes_a_model_with_the_thresholds(
        self, main_here, tiny_file, clip, data, tmp_path
    ):
        out = tmp_path / "yard.safetensors"
        words = ("calibrate", tiny_file, "--background", clip, "--max-false-alarms", "2/day")
        told = main_here(*words, "--out", out, "--json")
        assert told.returncode == 0, told.stderr
        contract = json.loads(told.stdout)
        assert contract["asked"] == pytest.approx(2 / 24)
        assert contract["hours_needed"] == pytest.approx(36, rel=0.01)
        assert {one["label"] for one in contract["labels"]} <= set(Recognizer.load(tiny_file).labels)
        assert Recognizer.load(out).config.events.enter == Recognizer.load(tiny_file).config.events.enter
        assert "This footage does not prove that: it takes 36 hours" in main_here(*words).stdout

    def test_familiar_tells_a_model_which_pictures_it_knows(self, main_here, tiny_file, clip, tmp_path):
        out = tmp_path / "knowing.safetensors"
        done = main_here("familiar", tiny_file, clip, "--strangest", "1", "--out", out)
        assert done.returncode == 0, done.stderr
        assert "it knows the pictures of 1 recordings, 1 groups" in done.stdout
        assert "give several places or days" in done.stderr
        config = read_checkpoint(out).config
        assert config.known is not None and config.events.strangest == 1.0
        assert read_checkpoint(out).graph == read_checkpoint(tiny_file).graph

    def test_what_cannot_be_familiar_is_told(self, main_here, tiny_file, clip, tmp_path):
        assert_refused(main_here("familiar", tiny_file, clip, "--out", "m.onnx"), r"ends in \.safetensors")
        assert_refused(
            main_here("familiar", tiny_file, tmp_path / "gone.mp4", "--out", tmp_path / "m.safetensors"),
            "gone.mp4",
        )

    def test_what_cannot_be_calibrated_is_told(self, main_here, tiny_file, clip, tmp_path):
        def calibrate(*words: object) -> subprocess.CompletedProcess[str]:
            return main_here("calibrate", tiny_file, *words)

        assert_refused(
            calibrate("--background", clip, "--max-false-alarms", "few"), "few is no rate: .* 1/day"
        )
        assert_refused(calibrate("--background", tmp_path), "holds no video")
        assert_refused(calibrate("--background", tmp_path / "gone.mp4"), "gone.mp4")
        assert_refused(calibrate("--background", clip, "--out", "m.onnx"), r"ends in \.safetensors")

    def test_an_export_that_cannot_be_written_is_told(self, main_here, tiny_file, tmp_path):
        assert_refused(main_here("export", tiny_file, "--out", "/no/such/folder/m.onnx"), "(?i)no such file")
        assert_refused(
            main_here("export", tiny_file, "--out", tmp_path / "m.pt"), r"ends in \.onnx or \.safetensors"
        )
        assert_refused(main_here("export", "nonsense", "--out", tmp_path / "m.onnx"), "no model 'nonsense'")

    @pytest.mark.slow
    def test_the_doctor_has_a_line_for_each_finding_and_nothing_is_broken_here(self):
        run = streamrec("doctor")
        assert run.returncode == 0, run.stdout
        assert all(re.match(r"(ok|--) +\S", line) for line in run.stdout.splitlines())
        assert len(run.stdout.splitlines()) >= 12

    @pytest.mark.slow
    def test_the_demo_needs_no_camera(self, tmp_path):
        run = streamrec("demo", "--out", tmp_path / "demo", "--seconds", "4")
        assert run.returncode == 0, run.stderr
        assert "% of the frames were given their true label" in run.stdout
        assert pictures_in(tmp_path / "demo" / "demo.mp4") >= 30
        assert (tmp_path / "demo" / "demo.jsonl").read_text(encoding="utf-8").count("\n") >= 30


class TestEval:
    def test_clips_are_played_through_the_loop_that_serves_cameras(self, main_here, tiny_file, data):
        run = main_here("eval", tiny_file, data, "--json")
        assert run.returncode == 0, run.stderr
        (report,) = json.loads(run.stdout)
        assert (report["clips"], report["frames"]) == (4, 48)
        assert report["at_end"] in (0.0, 0.25, 0.5, 0.75, 1.0)
        assert report["unreadable"] == []

    def test_a_clip_that_cannot_be_read_is_named_and_the_rest_measured(
        self, main_here, tiny_file, data, tmp_path
    ):
        folder = Path(shutil.copytree(data, tmp_path / "data"))
        (folder / "wave" / "bad.mp4").write_text("no video")
        (report,) = json.loads(main_here("eval", tiny_file, folder, "--json").stdout)
        assert report["clips"] == 4
        assert "bad.mp4" in report["unreadable"][0]

    def test_labels_that_the_model_does_not_know_are_told(self, main_here, data):
        assert_refused(
            main_here("eval", "fight", data), "does not know fall, wave; it knows fight, normal; --relabel"
        )

    def test_people_get_words(self, main_here, tiny_file, data):
        run = main_here("eval", tiny_file, data)
        assert run.returncode == 0
        assert re.search(r"right at the end \(95 %\) +\| +\d+\.\d", run.stdout)
        assert "could not be read" not in run.stdout

    def test_other_conditions_are_asked_for_by_options(self, main_here, tiny_file, data):
        run = main_here("eval", tiny_file, data, "--stream", "--source-fps", "5", "--drop", "0.3", "--json")
        assert run.returncode == 0, run.stderr
        clips, carried, robustness = json.loads(run.stdout)
        assert (clips["about"], carried["clips"]) == ("clips", 4)
        assert carried["from_zero"] == clips["at_end"]
        assert [(c["source_fps"], c["drop"]) for c in robustness["conditions"]] == [
            (None, 0.0), (None, 0.3), (5.0, 0.0), (5.0, 0.3)
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("words", "says"),
        [
            (("--drop", "1.5"), "under 1"),
            (("--drop", "much"), "parts with commas"),
            (("--relabel", "sit"), "OLD=NEW"),
        ],
    )
    def test_wrong_conditions_are_told(self, main_here, tiny_file, data, words, says):
        assert_refused(main_here("eval", tiny_file, data, *words), says)
        assert_refused(main_here("eval", tiny_file, "synthetic", "--stream"), "are for files")

    @pytest.mark.slow
    def test_the_synthetic_world_is_measured_at_several_rates(self, main_here):
        run = main_here(
            "eval",
            "synthetic",
            "synthetic",
            "--source-fps",
            "10,5",
            "--streams",
            "1",
            "--seconds",
            "3",
            "--json",
        )
        assert run.returncode == 0, run.stderr
        assert [report["fps"] for report in json.loads(run.stdout)] == [10.0, 5.0]


class TestCrossval:
    @pytest.mark.slow
    def test_each_group_is_held_out_and_a_report_is_written(self, main_here, data, tmp_path):
        out = tmp_path / "folds"
        words = ("crossval", data, "--out", out, "--folds", "2", "--seeds", "0,1", "--steps", "2")
        run = main_here(*words, *SMALL, "--threads", "1")
        assert run.returncode == 0, run.stderr
        report = json.loads((out / "report.json").read_text(encoding="utf-8"))
        assert (report["clips"], report["folds"], report["seeds"]) == (4, 2, [0, 1])
        assert report["recipe"]["steps"] == 2
        assert (out / "report.md").read_text(encoding="utf-8").strip() == run.stdout.strip()
        again = main_here(*words, *SMALL, "--threads", "1")
        assert again.stdout == run.stdout
        assert "learning from" not in again.stderr

    @pytest.mark.slow
    def test_each_fold_chooses_its_recipe_by_inner_folds(self, main_here, tmp_path):
        data, out = tmp_path / "clips", tmp_path / "nested"
        for number in range(8):
            write_video(data / ("fall", "wave")[number % 2] / f"{number}.mp4", 8 + number)
        tries = ("--try", "few --steps 2", "--try", "handful --steps 1")
        folds = ("--folds", "2", "--seeds", "0", "--nested", "--inner-folds", "2")
        words = ("crossval", data, "--out", out, *folds)
        run = main_here(*words, *tries, *SMALL, "--threads", "1", "--no-baselines")
        assert run.returncode == 0, run.stderr
        report = json.loads((out / "report.json").read_text(encoding="utf-8"))
        assert report["nested"]["candidates"] == ["few --steps 2", "handful --steps 1"]
        assert report["recipe"]["try"]["handful --steps 1"]["steps"] == 1
        assert len(report["nested"]["choices"]) == 2
        assert "inner folds of its training groups" in run.stdout

    @pytest.mark.parametrize(
        ("words", "says"),
        [
            (("--folds", "few"), "a number, or group"),
            (("--folds", "9"), "4 groups cannot be split into 9"),
            (("--seeds", "one"), "whole numbers"),
            (("--hold-out", "0.2"), "in place of --seed and --hold-out"),
            (("--try", "few"), "--try needs --nested"),
            (("--nested", "--try", "few 'x"), "No closing quotation"),
            (("--nested", "--try", "no-such"), "there is no recipe 'no-such'"),
            (("--nested", "--try", "few", "--try", "fall"), "rename labels differently"),
        ],
    )
    def test_wrong_wishes_are_told_before_anything_is_learned(self, main_here, data, tmp_path, words, says):
        assert_refused(main_here("crossval", data, "--out", tmp_path / "x", *words), says)
        assert not (tmp_path / "x").exists()

    def test_the_data_comes_first_and_is_real(self, main_here, tmp_path):
        assert_refused(main_here("crossval", "synthetic", "--out", tmp_path), "first give a folder")

    def test_an_option_that_train_lacks_is_told(self, main_here, data, tmp_path):
        run = main_here("crossval", data, "--out", tmp_path, "--stepps", "3")
        assert run.returncode == 2
        assert "No such option: --stepps" in run.stderr


SMALL = ("--size", "32x32", "--hidden", "16", "--streams", "2", "--window", "4")
TRAIN = (*SMALL, "--threads", "1", "--hold-out", "0.5")


@pytest.mark.slow
class TestTrain:
    def test_a_folder_of_clips_becomes_a_model_that_runs(self, main_here, data, clip, tmp_path):
        out = tmp_path / "new" / "mine.safetensors"
        run = main_here("train", data, "--out", out, "--steps", "3", "--about", "Waves and falls.", *TRAIN)
        assert run.returncode == 0, run.stderr
        assert "wrote" in run.stderr
        assert "held-out clips" in run.stderr
        assert sorted(path.name for path in out.parent.iterdir()) == ["mine.run", "mine.safetensors"]
        recognizer = Recognizer.load(out, device="cpu")
        assert recognizer.labels == ("fall", "wave")
        assert recognizer.engine == "onnx"
        assert recognizer.config.about == "Waves and falls."
        assert main_here("run", clip, "-m", out, "--no-show").returncode == 0

    def test_a_run_that_was_stopped_goes_on_where_it_was(self, main_here, data, tmp_path):
        out = tmp_path / "mine.safetensors"
        resume = tmp_path / "mine.safetensors.resume"
        words = ("train", data, "--out", out, "--steps", "120", *TRAIN)
        with running(*words) as process:
            deadline = time.monotonic() + 60
            while not resume.exists():  # it is written at the hundredth step
                assert process.poll() is None, process.communicate()
                assert time.monotonic() < deadline
                time.sleep(0.002)
            process.send_signal(signal.SIGINT)
            _, told = process.communicate(timeout=30)
        assert process.returncode == 130, told
        assert "stopped; the same command goes on from" in told
        assert not out.exists()
        assert resume.exists()
        other = main_here(*words, "--learning-rate", "0.5")
        assert other.returncode == 2
        assert "other settings or data" in other.stderr.splitlines()[-1]
        again = main_here(*words)
        assert again.returncode == 0, again.stderr
        assert "going on with the run in" in again.stderr
        assert out.exists()
        assert not resume.exists()
        straight = tmp_path / "straight.safetensors"
        assert main_here("train", data, "--out", straight, "--steps", "120", *TRAIN).returncode == 0
        one, other = read_checkpoint(straight).weights, read_checkpoint(out).weights
        assert {name: value.tobytes() for name, value in one.items()} == {
            name: value.tobytes() for name, value in other.items()
        }


def test_a_clock_reads_as_minutes_and_seconds():
    assert clock(125.3).strip() == "2:05.3"
    assert clock(59.96).strip() == "1:00.0"


def test_a_lost_camera_is_told_on_standard_error_and_in_the_lines(tiny_file, tmp_path):
    lines = tmp_path / "seen.jsonl"

    def states() -> list[dict]:
        text = lines.read_text(encoding="utf-8") if lines.exists() else ""
        told = [json.loads(line) for line in text.splitlines()]
        return [line for line in told if line["type"] == "state"]

    with (
        rtsp_camera(user="anna", password=SECRET, size=(320, 240)) as camera,
        Line(camera) as line,
        running("run", line.address, "-m", tiny_file, "--no-show", "--jsonl", lines) as process,
    ):
        for wanted in (2, 4):
            deadline = time.monotonic() + 60
            while len(states()) < wanted and time.monotonic() < deadline:
                time.sleep(0.05)
            if wanted == 2:
                line.close()
        process.send_signal(signal.SIGTERM)
        out, told = process.communicate(timeout=60)
    name = f"rtsp://***@127.0.0.1:{line.address.rpartition(':')[2]}"
    assert [state["state"] for state in states()] == ["connecting", "live", "reconnecting", "live", "ended"]
    reason = states()[2]["reason"]
    assert sum(states()[-1]["reconnects"].values()) == 1
    assert [line for line in told.splitlines() if line.startswith(name)] == [
        f"{name}: reconnecting: {reason}",
        f"{name}: live",
    ]
    assert SECRET not in out + told + lines.read_text(encoding="utf-8")

"""Outputs: they destroy nothing that is read, are for their owner alone, and one that fails stops no other."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import av
import pytest

from streamrec import JsonLines, VideoFile
from streamrec.commands.event_list import line_of
from streamrec.commands.process import main
from streamrec.commands.wording import describe, describe_health
from streamrec.core.console import LineConsole
from streamrec.core.files import keep_elsewhere, keep_inputs, replacing, try_room
from streamrec.core.text import printable
from streamrec.errors import SettingsError, SinkError
from streamrec.evaluation.text_tables import table
from streamrec.outputs.history.records import Entry
from streamrec.outputs.overlay import plain
from streamrec.types import ActionEnded, ActionStarted, Frame, Health, Prediction, Result, SourceState
from tests.helpers import forked
from tests.helpers.frames import numbered
from tests.system.test_cli import environment, streamrec, write_video

COMMAND = [sys.executable, "-m", "streamrec"]


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    """A command in this process and in a folder of its own: exit code, standard output, standard error."""
    kept = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    monkeypatch.chdir(tmp_path)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    # A thread that another test left would make it leave by os._exit, and this process with it.
    monkeypatch.setattr("streamrec.commands.process._leave", sys.exit)

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["streamrec", *map(str, words)])
        with pytest.raises(SystemExit) as left:
            main()
        return left.value.code or 0, *capsys.readouterr()

    yield run
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.fixture
def place(tmp_path, tiny_file) -> Path:
    """What somebody has: a film and other names for it, pictures, a model, clips, a file of cameras."""
    write_video(tmp_path / "film.mp4", 12)
    (tmp_path / "link.mp4").symlink_to("film.mp4")
    (tmp_path / "hard.mp4").hardlink_to(tmp_path / "film.mp4")
    shutil.copy(tmp_path / "film.mp4", tmp_path / "seen.part.mp4")
    shutil.copy(tiny_file, tmp_path / "tiny.safetensors")
    (tmp_path / "same.safetensors").symlink_to("tiny.safetensors")
    for label in ("wave", "fall"):
        for n in range(2):
            (tmp_path / "clips" / label).mkdir(parents=True, exist_ok=True)
            write_video(tmp_path / "clips" / label / f"{n}.mp4", 12, drift=n + (3 if label == "wave" else 5))
    (tmp_path / "clip.safetensors").symlink_to("clips/wave/0.mp4")
    rows = [f"clips/{label}/{n}.mp4,{label},{n}" for label in ("wave", "fall") for n in range(2)]
    (tmp_path / "metrics.csv").write_text("\n".join(["clip,label,group", *rows]) + "\n")
    (tmp_path / "cameras.toml").write_text(
        '[[camera]]\nname = "door"\naddress = "film.mp4"\nmodel = "tiny.safetensors"\n'
    )
    (tmp_path / "after.toml").write_text("[history]\n")
    return tmp_path


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize(
    "words",
    [
        "run film.mp4 --save film.mp4",
        "run film.mp4 --save link.mp4",
        "run film.mp4 --save hard.mp4",
        "run link.mp4 --save ./clips/../film.mp4",
        "run film.mp4 --jsonl film.mp4",
        "run film.mp4 --jsonl hard.mp4",
        "run film.mp4 --history link.mp4",
        "run file://{folder}/film.mp4 --jsonl film.mp4",
        "run seen.part.mp4 --save seen.mp4",
        "run missing.mp4 --jsonl missing.mp4",
        "run clips/wave --jsonl clips/wave/0.mp4",
        "run clips/wave --evidence clips/wave",
        "run film.mp4 --model tiny.safetensors --jsonl same.safetensors",
        "run film.mp4 --settings after.toml --jsonl after.toml",
        "watch cameras.toml --jsonl cameras.toml",
        "watch cameras.toml --jsonl link.mp4",
        "watch cameras.toml --history film.mp4",
        "record clips --labels wave --source clips",
        "train clips --weights tiny.safetensors --out same.safetensors",
        "train clips --out clip.safetensors",
        "train metrics.csv --out new.safetensors --run .",
        "train clips --out new.safetensors --run clips",
        "crossval clips --out clips",
        "export tiny.safetensors --out same.safetensors",
        "webpage tiny.safetensors --out tiny.safetensors",
        "calibrate tiny.safetensors --background film.mp4 --out same.safetensors",
        "familiar tiny.safetensors film.mp4 --out tiny.safetensors",
        "tune metrics.csv --model tiny.safetensors --out metrics.csv",
    ],
)
def test_no_output_takes_the_place_of_what_is_read(words, call, place):
    before = contents(place)
    code, _, told = call(*words.format(folder=place).split(), *(["--no-show"] if words[:3] == "run" else []))
    assert code == 2, told
    assert "would overwrite what is read" in told
    assert told.count("\n") == 1
    assert contents(place) == before


def test_two_outputs_do_not_share_a_file(call, place):
    code, _, told = call("run", "film.mp4", "--no-show", "--save", "out.mp4", "--jsonl", "./out.mp4")
    assert code == 2
    assert "--save and --jsonl both name" in told


def test_devices_may_be_named_often_and_what_is_not_there_yet_is_no_input(tmp_path):
    keep_inputs({"--a": os.devnull, "--b": os.devnull, "--c": "-", "--d": None}, [os.devnull, None])
    keep_inputs({"--save": tmp_path / "new.mp4"}, [tmp_path])
    with pytest.raises(SettingsError, match=r"both name"):
        keep_inputs({"--a": tmp_path / "x", "--b": [tmp_path / "y", tmp_path / "x"]}, [])


def test_json_lines_leave_alone_what_holds_no_text(tmp_path):
    film = write_video(tmp_path / "film.mp4", 3)
    before = film.read_bytes()
    for append in (False, True):
        with pytest.raises(SinkError, match="holds no text"):
            JsonLines(film, append=append)
    assert film.read_bytes() == before


def test_a_file_is_replaced_whole_or_not_at_all_and_keeps_its_rights(tmp_path):
    path = tmp_path / "report.txt"
    path.write_text("old")
    path.chmod(0o640)
    link = tmp_path / "link.txt"
    link.symlink_to("report.txt")
    with pytest.raises(RuntimeError), replacing(link, "w") as file:
        file.write("half of it")
        raise RuntimeError
    assert path.read_text() == "old"
    with replacing(link, "w", private=True) as file:
        file.write("new")
    assert (path.read_text(), path.stat().st_mode & 0o777, link.is_symlink()) == ("new", 0o640, True)
    with replacing(Path(os.devnull), "w") as file:  # nothing can take its place
        file.write("gone")
    assert Path(os.devnull).is_char_device()
    assert sorted(tmp_path.iterdir()) == [link, path]


class Small:
    """No file of this process may be larger than so many bytes: what a full disk is like, without being root."""

    def __init__(self, size: int) -> None:
        self._size = size

    def __enter__(self) -> None:
        self._before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self._size, self._before[1]))

    def __exit__(self, *_: object) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self._before)


def test_room_is_tried_and_given_back(tmp_path):
    try_room(tmp_path / "model", 100_000)
    with Small(1000), pytest.raises(OSError):
        try_room(tmp_path / "model", 100_000)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_kept_in_its_place_is_kept_in_another(tmp_path, monkeypatch):
    monkeypatch.setattr("streamrec.core.files.other_places", lambda: [tmp_path / "nowhere", tmp_path])
    kept = keep_elsewhere("model.bin", lambda path: path.write_bytes(b"weights"))
    assert kept is not None
    assert (kept.read_bytes(), kept.parent.stat().st_mode & 0o777) == (b"weights", 0o700)


def test_a_model_that_cannot_be_written_to_its_place_is_kept_elsewhere(tmp_path, tiny_model, monkeypatch):
    from streamrec.train.job import TrainJob

    monkeypatch.setattr("streamrec.core.files.other_places", lambda: [tmp_path])
    (tmp_path / "out.safetensors").mkdir()  # no file can take its place
    job = TrainJob(data=("clips",), out=tmp_path / "out.safetensors")
    kept = job._written(tiny_model)
    assert kept.parent.parent == tmp_path
    assert kept.stat().st_size > 10_000


@pytest.mark.slow
def test_a_full_disk_under_the_lines_is_told_once_and_the_video_is_whole(tmp_path, tiny_file):
    write_video(tmp_path / "film.mp4", 60)

    def small() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (8_000, 8_000))

    done = streamrec(
        "run", "film.mp4", "--model", tiny_file, "--no-show", "--jsonl", "out.jsonl", cwd=tmp_path, preexec_fn=small
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.count("out.jsonl cannot be written") == 1
    assert "lines were lost" in done.stderr
    assert "Traceback" not in done.stderr
    assert "60 frames in" in done.stdout
    assert all(json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines())
    assert (tmp_path / "out.jsonl").stat().st_mode & 0o777 == 0o600


@pytest.mark.slow
def test_a_video_that_fails_is_told_and_the_lines_go_on(tmp_path, tiny_file):
    def small() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    done = streamrec(
        "run", "synthetic", "--model", tiny_file, "--no-show", "--save", "out.mp4", "--jsonl", "out.jsonl",
        "--max-seconds", "20", cwd=tmp_path, preexec_fn=small,
    )  # fmt: skip
    assert done.returncode == 2
    assert "cannot write out.mp4" in done.stderr
    assert "Traceback" not in done.stderr
    assert "200 frames in" in done.stdout
    kinds = [json.loads(line)["type"] for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert kinds.count("prediction") == 200


@pytest.mark.slow
def test_a_closed_terminal_ends_a_run_with_its_files_and_its_summary(tmp_path, tiny_file):
    process = subprocess.Popen(
        [*COMMAND, "run", "synthetic", "--model", str(tiny_file), "--no-show", "--save", "seen.mp4"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=tmp_path,
        env=environment(),
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()
        while not any(path.stat().st_size > 20_000 for path in tmp_path.glob("seen.part.mp4")):
            assert process.poll() is None
        process.send_signal(signal.SIGHUP)
        told, _ = process.communicate(timeout=280)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 129, told
    assert told.rstrip().endswith(", stopped")
    with av.open(str(tmp_path / "seen.mp4")) as video:
        assert sum(1 for _ in video.decode(video=0)) > 1
    assert not list(tmp_path.glob("*.part.*"))


ODD = "x\x1b[31m\x07\n\u202e.mp4"


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_odd_names_are_escaped_whatever_letters_the_terminal_knows(tmp_path, tiny_file, encoding):
    for name in (ODD, "玄関 é.mp4"):
        write_video(tmp_path / name, 3)
        done = subprocess.run(
            [*COMMAND, "run", name, "--model", str(tiny_file), "--no-show", "--jsonl", "-"],
            capture_output=True,
            cwd=tmp_path,
            env=environment() | {"PYTHONIOENCODING": encoding},
            timeout=280,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert b"\x1b" not in done.stderr
        assert {json.loads(line)["source"] for line in done.stdout.decode("utf-8").splitlines()} == {
            printable(name)
        }
        told = done.stderr.decode(encoding)
        assert "3 frames in" in told
        if name is ODD:
            assert r"x\x1b[31m\x07\n\u202e.mp4: " in told


@pytest.mark.slow
@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_a_command_does_without_its_standard_streams(tmp_path, tiny_file, closed):
    write_video(tmp_path / "film.mp4", 3)
    done = subprocess.run(
        [*COMMAND, "run", "film.mp4", "--model", str(tiny_file), "--no-show", "--jsonl", "out.jsonl"],
        capture_output=True,
        cwd=tmp_path,
        env=environment(),
        timeout=280,
        check=False,
        preexec_fn=lambda: [os.close(number) for number in closed] and None,
    )
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    assert len((tmp_path / "out.jsonl").read_bytes().splitlines()) >= 3


def test_a_fault_of_ours_is_one_sentence_and_the_traceback_is_for_who_asks(call, monkeypatch):
    def broken() -> None:
        raise KeyError("rtsp://me:hunter2@10.0.0.7/live\nmore")

    monkeypatch.setattr("streamrec.commands.app.app", broken)
    code, _, told = call("models")
    assert code == 1
    assert told.count("\n") == 1
    assert "KeyError" in told and "STREAMREC_DEBUG=1" in told and "hunter2" not in told
    monkeypatch.setenv("STREAMREC_DEBUG", "1")
    _, _, told = call("models")
    assert "Traceback" in told and "in broken" in told and "hunter2" not in told


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ModuleNotFoundError("No module named 'torch'", name="torch"), "run: pip install 'streamrec[train]'"),
        (ModuleNotFoundError("No module named 'cv2'", name="cv2"), "pip install opencv-python"),
        (ImportError("libGL.so.1: cannot open shared object file"), "apt-get install libgl1"),
        (MemoryError(), "not enough memory"),
        (RecursionError("maximum recursion depth exceeded"), "fault of streamrec itself (RecursionError"),
        (OSError(28, "No space left on device"), "the disk is full"),
        (PermissionError(13, "Permission denied", "x\x1b.mp4"), r"x\x1b.mp4: permission denied"),
    ],
)  # fmt: skip
def test_what_is_raised_is_told_in_a_sentence_that_says_what_to_do(call, monkeypatch, error, says):
    def broken() -> None:
        raise error

    monkeypatch.setattr("streamrec.commands.app.app", broken)
    code, _, told = call("models")
    assert code in (1, 2)
    assert told.count("\n") == 1
    assert says in told


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--device gpu", "there is no device 'gpu'; the devices are auto, cpu, cuda"),
        ("--engine onnx --device cuda", "take the torch engine (--engine torch)"),
    ],
)
def test_devices_are_named_in_the_words_of_the_options(call, place, words, says):
    code, _, told = call(
        "run", "film.mp4", "--no-show", "--model", "tiny.safetensors", *words.split()
    )  # fmt: skip
    assert code == 2
    assert says in told
    assert told.count("\n") == 1


def test_a_video_is_for_its_owner_unless_an_older_one_was_for_others(tmp_path):
    nothing = Prediction("", 0.0, [], 0.0)  # type: ignore[arg-type]
    for before, after in ((None, 0o600), (0o644, 0o644)):
        path = tmp_path / f"{before}.mp4"
        if before is not None:
            path.write_bytes(b"older")
            path.chmod(before)
        with VideoFile(path, overlay=False) as video:
            part = path.with_name(f"{path.stem}.part.mp4")
            assert part.stat().st_mode & 0o777 == after
            for n, image in enumerate(numbered(3)):
                video.write(Result(Frame(image, n, n / 10), nothing))
        assert path.stat().st_mode & 0o777 == after


@pytest.mark.slow
def test_neither_a_full_disk_nor_a_reader_that_stopped_ends_or_holds_up_a_watch(tmp_path, place):
    words = [*COMMAND, "watch", "cameras.toml", "--predictions", "--jsonl"]
    options = {"cwd": place, "env": environment(), "text": True, "stderr": subprocess.PIPE}
    (place / "full.jsonl").write_text("{}\n" * 2000)

    def small() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (6_000, 6_000))

    full = subprocess.run(
        [*words, "full.jsonl"], preexec_fn=small, stdout=subprocess.PIPE, timeout=280, **options
    )
    assert full.returncode == 0, full.stderr
    assert full.stdout.count("full.jsonl cannot be written") == 1
    assert "lines were lost" in full.stdout
    assert "12 frames of 1 camera" in full.stdout
    assert (place / "full.jsonl").read_text() == "{}\n" * 2000

    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    os.write(writing, b" " * 4096)
    try:  # nobody ever reads it
        unread = forked.run([*words, "-"], stdout=writing, timeout=280, **options)
    finally:
        os.close(reading)
        os.close(writing)
    assert unread.returncode == 0, unread.stderr
    assert "12 frames of 1 camera" in unread.stderr
    assert "lines were lost" in unread.stderr


@pytest.mark.slow
def test_a_watch_ends_with_its_only_reader_and_goes_on_where_there_are_others(place):
    (place / "cameras.toml").write_text(
        '[[camera]]\nname = "door"\naddress = "synthetic"\nmodel = "tiny.safetensors"\n'
    )
    for more, ends in ((["--predictions", "--jsonl", "-"], True), (["--history", "events.db"], False)):
        process = forked.Popen(
            [*COMMAND, "watch", "cameras.toml", *more],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=place,
            env=environment(),
        )
        try:
            assert process.stdout is not None
            assert process.stdout.readline()
            process.stdout.close()
            if ends:
                assert process.wait(60) == 1
            else:
                with pytest.raises(subprocess.TimeoutExpired):
                    process.wait(3)
        finally:
            if not ends:
                process.terminate()
                assert process.wait(60) == 0
            process.kill()


def test_a_label_breaks_no_sentence_no_table_and_no_picture_wherever_a_person_reads_it(capfd):
    label = "wave\n\x1b]0;title\x07\u202e"
    health = Health(SourceState.failed, label)
    entry = Entry(id="1", camera=label, model=label, label=label, started=0.5, confidence=0.9)
    console = LineConsole()
    console.print_line(label)
    for text in (
        describe(ActionStarted(label, 1.0, 0.5)),
        describe(ActionEnded(label, 12.5, 10.0, 0.9)),
        describe_health(health),
        line_of(entry),
        plain(label),
        table(["label"], [[label]]).splitlines()[2],
        capfd.readouterr().out.removesuffix("\n"),
    ):
        assert text.isprintable(), text
        assert r"\x1b]0;title\x07\u202e" in text

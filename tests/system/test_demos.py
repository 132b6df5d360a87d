"""Every demo runs without a camera, by the very commands of its README."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import re
import runpy
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import cv2
import pytest
import torch

import streamrec
from streamrec import ActionModel, ModelConfig, Recognizer, StreamRecognizer, Transform
from streamrec.evaluation.metrics import edit_distance
from streamrec.runtime.checkpoint import save_model, shipped_models
from streamrec.sources.synthetic import World, WorldSettings
from tests.helpers.cameras import free_port, rtsp_camera
from tests.helpers.paths import ROOT
from tests.helpers.spoken import write_spoken

SCRIPTS = sorted((ROOT / "demos").glob("*/*.py"))
QT = ROOT / "demos/qt/qt.py"
NOTEBOOK = ROOT / "demos/notebook/streamrec.ipynb"
NO_CAMERA = "99"
LABELS = ("idle", "wave", "fall")
VERBS = {"saw": "看见", "like": "喜欢", "want": "想要", "bought": "买了"}

needs_shipped = pytest.mark.skipif(
    not {"fight", "synthetic"} <= set(shipped_models()), reason="the models that ship are not there"
)

needs_qt = pytest.mark.skipif(
    find_spec("PySide6") is None, reason="PySide6 is not installed; pip install 'streamrec[demos]'"
)
RUNNABLE = [pytest.param(path, marks=needs_qt if path == QT else (), id=path.stem) for path in SCRIPTS]


def commands(name: str) -> list[list[str]]:
    """The commands of a demo's README, as words."""
    text = (ROOT / "demos" / name / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    return [shlex.split(line) for block in blocks for line in block.splitlines() if line.strip()]


def surroundings() -> dict[str, str]:
    """The environment of a machine without a display."""
    kept = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    return kept | {"QT_QPA_PLATFORM": "offscreen", "MPLBACKEND": "agg"}


Way = Callable[..., subprocess.CompletedProcess[str]]


def demo(*words: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run a script with the rest of the words, in a folder."""
    script = ROOT / words[0]
    return subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:__main__", str(script), *map(str, words[1:])],
        capture_output=True,
        text=True,
        timeout=280,
        cwd=cwd,
        env=surroundings(),
    )


def here(*words: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """As ``demo`` in the tests' own process, which has imported all; a traceback fails the test."""
    script, out, err, code = ROOT / words[0], io.StringIO(), io.StringIO(), 0
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.chdir(cwd),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        patch.setattr(sys, "argv", [str(script), *map(str, words[1:])])
        for name in ("DISPLAY", "WAYLAND_DISPLAY"):
            patch.delenv(name, raising=False)
        try:
            runpy.run_path(str(script), run_name="__main__")
        except SystemExit as left:
            if isinstance(left.code, str):
                err.write(f"{left.code}\n")
            code = left.code if isinstance(left.code, int) else int(left.code is not None)
    return subprocess.CompletedProcess(list(words), code, out.getvalue(), err.getvalue())


def runs(*words: str | Path, cwd: Path = ROOT, way: Way = demo) -> subprocess.CompletedProcess[str]:
    done = way(*words, cwd=cwd)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "Warning" not in done.stderr
    return done


def by_readme(
    name: str, number: int, *more: str, cwd: Path, **instead: str
) -> subprocess.CompletedProcess[str]:
    """Run a command of a README, with other words for some of its own."""
    python, script, *words = commands(name)[number]
    assert python == "python"
    return runs(script, *(instead.get(word.partition(":")[0], word) for word in words), *more, cwd=cwd)


def model(folder: Path, biases: list[float], *, scale: float = 0.0) -> Path:
    """A small model with a taste of its own; with ``scale`` it also looks at the pictures."""
    torch.manual_seed(0)
    made = ActionModel(
        ModelConfig(
            labels=LABELS,
            transform=Transform(height=32, width=32),
            hidden_size=16,
            events=streamrec.EventSettings(background=("idle",)),
        )
    )
    with torch.no_grad():
        for name, weight in made.named_parameters():
            if name.startswith(("encoder.project", "head.lstm.weight")):
                weight *= scale
        made.head.classifier.weight *= scale
        made.head.classifier.bias.copy_(torch.tensor(biases))
    path = folder / "model.safetensors"
    save_model(path, made.eval())
    return path


@pytest.fixture(scope="module")
def sure(tmp_path_factory) -> Path:
    """Sure to see a wave, whatever it sees."""
    return model(tmp_path_factory.mktemp("sure"), [0.0, 6.0, 0.0])


@pytest.fixture(scope="module")
def nervous(tmp_path_factory) -> Path:
    """Changes its mind at any moment."""
    return model(tmp_path_factory.mktemp("nervous"), [0.0, 0.0, 0.0], scale=20.0)


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> Path:
    """Three seconds of the synthetic world."""
    path = tmp_path_factory.mktemp("video") / "world.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 20.0, (160, 120))
    for frame in World(
        WorldSettings(width=160, height=120, fps=20.0, seconds=3.0, action_seconds=(0.8, 1.0))
    ):
        writer.write(frame.image)
    writer.release()
    return path


# -- all of them


def test_the_demos_are_there():
    assert {path.parent.name for path in SCRIPTS} >= {
        "anomaly",
        "webcam",
        "rtsp",
        "embed",
        "many_cameras",
        "motion",
        "own_cnn",
        "qt",
        "sound",
        "speech",
        "teach",
        "translation",
    }
    assert NOTEBOOK.is_file()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_demo_is_one_short_script_with_a_readme(script):
    assert len(script.read_text(encoding="utf-8").splitlines()) < 60
    assert list(script.parent.glob("*.py")) == [script]
    first = commands(script.parent.name)[0]
    assert first[:2] == ["python", script.relative_to(ROOT).as_posix()]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_demo_enters_by_the_door_only(script):
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("streamrec"):
            assert node.module == "streamrec"
            assert {alias.name for alias in node.names} <= set(streamrec.__all__)
        if isinstance(node, ast.Import):
            assert not any(alias.name.startswith("streamrec") for alias in node.names)


@pytest.mark.parametrize("script", RUNNABLE)
def test_every_option_that_a_readme_names_is_there(script):
    told = here(script, "--help").stdout
    readme = (script.parent / "README.md").read_text(encoding="utf-8")
    named = {
        option
        for line in re.findall(rf"{script.name}[^\n`]*", readme)
        for option in re.findall(r"--[a-z-]+", line)
    }
    assert named <= set(re.findall(r"--[a-z-]+", told))


@pytest.mark.parametrize("script", [row for row in RUNNABLE if row.id not in ("own_cnn", "translation")])
def test_a_model_that_is_not_there_is_said_in_a_sentence(script, video):
    way = demo if script == QT else here  # its application is one a process
    done = way(script, video, "--model", "nonsense")
    said = done.stdout + done.stderr
    assert "there is no model 'nonsense'" in said
    assert "Traceback" not in said


# -- webcam


def test_without_camera_and_display_the_webcam_demo_tells_of_the_synthetic_world(sure):
    said = runs(
        "demos/webcam/webcam.py", NO_CAMERA, "--model", sure, "--seconds", "1", way=here
    ).stdout.splitlines()
    assert said[0].startswith("No window opens here")
    assert said[1].startswith("webcam 99 did not open")
    assert said[2] == "Here is the synthetic world instead."
    (line,) = said[3:]  # not always of the first frame: a camera does not wait for a busy machine
    assert re.fullmatch(r"   0\.\d s  wave 100%", line)


def test_the_webcam_demo_watches_a_file(nervous, video):
    said = runs(
        "demos/webcam/webcam.py", video, "--no-window", "--model", nervous, way=here
    ).stdout.splitlines()
    assert len(said) >= 2
    assert all(re.fullmatch(r" +\d\.\d s  (idle|wave|fall) \d+%", line) for line in said)


def test_a_file_that_is_not_there_ends_the_webcam_demo_with_a_sentence():
    done = here("demos/webcam/webcam.py", "missing.mp4", "--no-window")
    assert done.returncode == 1
    assert done.stderr == "webcam: there is no file missing.mp4\n"


@needs_shipped
@pytest.mark.slow
def test_the_webcam_demo_runs_as_its_readme_says(tmp_path):
    first = by_readme("webcam", 0, NO_CAMERA, "--seconds", "2", cwd=tmp_path)
    assert "Here is the synthetic world instead." in first.stdout
    second = by_readme("webcam", 1, cwd=tmp_path)
    assert "synthetic world" not in second.stdout  # it was asked for
    labels = {line.split()[2] for line in second.stdout.splitlines()}
    assert labels <= set(Recognizer.load("synthetic").labels)
    assert labels


# -- RTSP


@pytest.mark.slow
def test_the_rtsp_demo_tells_events_until_ctrl_c_and_keeps_the_password(sure):
    with rtsp_camera(fps=15, size=(160, 120), user="admin", password="s3cret") as camera:
        command = [sys.executable, str(ROOT / "demos/rtsp/rtsp.py"), str(camera), "--model", str(sure)]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=surroundings()
        ) as run:
            try:
                first = run.stdout.readline()
                run.send_signal(signal.SIGINT)
                rest, complaints = run.communicate(timeout=30)
            finally:
                run.kill()
    event = json.loads(first)
    assert (event["event"], event["label"]) == ("started", "wave")
    assert event["confidence"] >= 0.6
    assert event["source"].startswith("rtsp://***@127.0.0.1")
    assert rest == ""
    assert run.returncode == 0
    assert complaints.splitlines()[-1] == "seen: wave 1"
    assert "Traceback" not in complaints
    assert "s3cret" not in first + complaints


def test_the_rtsp_demo_tells_each_end_of_a_file(sure, video):
    done = runs("demos/rtsp/rtsp.py", video, "--model", sure, way=here)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [e["event"] for e in events] == ["started", "ended"]
    assert events[1]["started"] == events[0]["timestamp"] == 0.0
    assert done.stderr == "seen: wave 1\n"


def test_a_camera_that_does_not_answer_ends_the_rtsp_demo_with_a_sentence(sure):
    done = demo("demos/rtsp/rtsp.py", f"rtsp://me:s3cret@127.0.0.1:{free_port()}/live", "--model", sure)
    assert done.returncode == 1
    assert "nothing listens at that address and port" in done.stderr.splitlines()[-1]
    assert "s3cret" not in done.stderr


@needs_shipped
@pytest.mark.slow
def test_the_rtsp_demo_runs_as_its_readme_says(tmp_path):
    with rtsp_camera(fps=15, size=(320, 240)) as camera:
        done = by_readme("rtsp", 0, "--seconds", "3", cwd=tmp_path, rtsp=str(camera))
    assert done.stderr.splitlines()[-1].startswith("seen: ")
    assert all(json.loads(line)["label"] == "fight" for line in done.stdout.splitlines())


# -- many cameras


def test_the_demo_of_many_cameras_tells_each_and_accounts_for_every_frame(sure, video):
    address = f"rtsp://me:s3cret@127.0.0.1:{free_port()}/live"
    done = runs("demos/many_cameras/many_cameras.py", video, address, video, "--model", sure)
    said = done.stdout.splitlines()
    for name in ("camera 1", "camera 3"):
        assert f"{name}      0.0 s  wave started" in said
        assert re.search(rf"{name} +\d\.\d s  wave ended", done.stdout)
        assert f"{name}   60 read: 30 recognized, 30 rhythm" in said
        assert f"{name}   is ended" in said
    assert re.search(r"camera 2 +is (failed|reconnecting): rtsp://\*\*\*@127.0.0.1.*", done.stdout)
    assert "s3cret" not in done.stdout + done.stderr


@needs_shipped
@pytest.mark.slow
def test_the_demo_of_many_cameras_runs_as_its_readme_says(tmp_path, video):
    first = by_readme("many_cameras", 0, "--seconds", "4", cwd=tmp_path)
    for name in ("camera 1", "camera 4", "latecomer"):
        assert re.search(rf"^{name} +is live$", first.stdout, re.MULTILINE)
        read, recognized, rest = re.search(
            rf"^{name} +(\d+) read: (\d+) recognized(.*)$", first.stdout, re.MULTILINE
        ).groups()
        assert int(read) == int(recognized) + sum(map(int, re.findall(r"\d+", rest)))
    with rtsp_camera(fps=15, size=(320, 240)) as camera:
        places = {"rtsp": str(camera), "0": NO_CAMERA, "party.mp4": str(video)}
        for seconds in ("6", "60"):  # of the first, a busy machine takes more to see the file to its end
            second = by_readme("many_cameras", 1, "--seconds", seconds, cwd=tmp_path, **places)
            if re.search(r"^camera 3 +is ended$", second.stdout, re.MULTILINE):
                break
    assert re.search(r"^camera 1 +is live$", second.stdout, re.MULTILINE)
    assert re.search(r"^camera 2 +is failed: webcam 99 did not open", second.stdout, re.MULTILINE)
    assert re.search(r"^camera 3 +60 read: 30 recognized", second.stdout, re.MULTILINE)


# -- embedded


def test_the_embedded_loop_says_what_a_stream_recognizer_says(nervous, video, tmp_path):
    done = runs(
        "demos/embed/embed.py", video, "--model", nervous, "--save", "seen.avi", cwd=tmp_path, way=here
    )
    recognize, expected, said = StreamRecognizer(Recognizer.load(nervous)), [], ""
    reader = cv2.VideoCapture(str(video))
    for n in range(60):
        prediction = recognize(reader.read()[1], n / 20)
        if prediction.label != said:
            said = prediction.label
            expected.append((f"{n / 20:.2f}", said))
    reader.release()
    assert [(line.split()[0], line.split()[2]) for line in done.stdout.splitlines()] == expected
    assert len(expected) >= 2
    seen = cv2.VideoCapture(str(tmp_path / "seen.avi"))
    assert seen.get(cv2.CAP_PROP_FRAME_COUNT) == 60
    assert seen.read()[1].shape == (120, 160, 3)
    seen.release()


def test_a_stream_that_changes_its_worker_goes_on_as_if_nothing_were(nervous, video, tmp_path):
    words = ("demos/embed/embed.py", video, "--model", nervous)
    whole, moved = (runs(*words, *more, cwd=tmp_path, way=here) for more in ((), ("--move-at", "1.5")))
    assert re.fullmatch(r"moved the stream to another worker in \d+ bytes\n", moved.stderr)
    assert whole.stderr == ""
    assert moved.stdout == whole.stdout


def test_a_video_that_is_not_there_ends_the_embedded_loop_with_a_sentence(sure, tmp_path):
    done = here("demos/embed/embed.py", "missing.mp4", "--model", sure, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "embed: missing.mp4 is not a video that can be read"


@needs_shipped
@pytest.mark.slow
def test_the_embedded_loop_runs_as_its_readme_says(tmp_path):
    whole, moved = (by_readme("embed", number, cwd=tmp_path) for number in (0, 1))
    assert len(whole.stdout.splitlines()) >= 2  # several actions in ten seconds
    assert moved.stdout == whole.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"embed.avi", "moved.avi"}


# -- Qt


@needs_qt
def test_the_qt_demo_shows_a_file_to_its_end(sure, video):
    assert runs("demos/qt/qt.py", video, "--model", sure).stdout == "the last: wave 100%\n"


@needs_qt
def test_the_qt_demo_stops_cleanly_while_its_source_goes_on(sure):
    done = runs("demos/qt/qt.py", "synthetic", "--model", sure, "--seconds", "2")
    assert done.stdout in ("the last: wave 100%\n", "the last: \n")  # a busy machine has shown nothing yet
    assert done.stderr == ""  # Qt would complain of a thread that still runs


@needs_qt
def test_a_camera_that_does_not_answer_ends_the_qt_demo_with_a_sentence(sure):
    done = demo("demos/qt/qt.py", f"rtsp://me:s3cret@127.0.0.1:{free_port()}/live", "--model", sure)
    assert done.returncode == 1
    assert done.stderr.startswith("qt: ") and "nothing listens" in done.stderr
    assert "s3cret" not in done.stderr


@needs_qt
@needs_shipped
@pytest.mark.slow
def test_the_qt_demo_runs_as_its_readme_says(tmp_path):
    done = by_readme("qt", 0, "--seconds", "4", cwd=tmp_path)
    assert re.fullmatch(r"the last: \w+ \d+%\n", done.stdout)


# -- notebook


def cells() -> list[str]:
    """The code of the notebook."""
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    return ["".join(cell["source"]) for cell in code]


def run_cells(code: str, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:__main__", "-c", code],
        capture_output=True,
        text=True,
        timeout=280,
        cwd=cwd,
        env=surroundings(),
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_notebook_is_a_notebook_without_outputs_and_enters_by_the_door():
    code = "\n".join(cells())
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom):
            assert node.module == "streamrec"
            assert {alias.name for alias in node.names} <= set(streamrec.__all__)


@needs_shipped
def test_the_notebook_runs_cell_by_cell(tmp_path):
    drawn = "import matplotlib.pyplot as plt; print(len(plt.get_fignums()), len(heated))"
    said = run_cells("\n".join([*cells(), drawn]), tmp_path).splitlines()
    assert said == ["150 frames, 3 actions", "3 3"]


@needs_shipped
def test_the_notebook_takes_a_file_in_which_nothing_begins(tmp_path, video):
    code = "\n".join([*cells(), "print(len(heated))"])
    line = '# source = "party.mp4"'
    assert line in code
    code = code.replace(line, f"source = {str(video)!r}  #").replace("began.append", "[].append")
    assert run_cells(code, tmp_path).splitlines() == ["30 frames, 0 actions", "1"]


@needs_shipped
@pytest.mark.slow
@pytest.mark.skipif(
    not (find_spec("nbclient") and find_spec("ipykernel")),
    reason="nbclient and ipykernel are not installed; pip install 'streamrec[demos]'",
)
def test_the_notebook_runs_in_its_kernel_and_shows_its_pictures(tmp_path):
    code = (
        "import nbformat, nbclient\n"
        f"notebook = nbformat.read({str(NOTEBOOK)!r}, 4)\n"
        "nbformat.validate(notebook)\n"
        "nbclient.NotebookClient(notebook, timeout=120, kernel_name='python3').execute()\n"
        "shown = [o for c in notebook.cells for o in c.get('outputs', []) if 'image/png' in o.get('data', {})]\n"
        "print(len(shown))\n"
    )
    environment = {k: v for k, v in surroundings().items() if k != "MPLBACKEND"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=240,
        cwd=tmp_path,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "3\n"


# -- a CNN of your own


def test_an_own_cnn_becomes_a_file_that_runs(tmp_path):
    """By the commands of its README."""
    trained = by_readme("own_cnn", 0, "--steps", "40", cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    assert "ActionStarted wave" in trained.stdout
    assert (tmp_path / "own.mp4").stat().st_size > 0
    run = commands("own_cnn")[1]
    assert run[:2] == ["streamrec", "run"]
    done = subprocess.run(
        [sys.executable, "-m", *run, "--no-show"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=280,
        env=surroundings(),
    )
    assert done.returncode == 0, done.stderr


# -- translation


def test_the_translation_demo_learns_the_sentences_of_a_table_and_translates_others(tmp_path):
    table = tmp_path / "pairs.tsv"
    things = {"cat": "猫", "dog": "狗", "book": "书", "car": "车", "cup": "杯"}
    lines = [f"I {v} a {thing}.\t我{w}{t}。\tsource" for thing, t in things.items() for v, w in VERBS.items()]
    table.write_text(
        "\n".join([*lines, "a line without a tab", "A sentence that is too long for it.\t长。"]), "utf-8"
    )
    done = by_readme(
        "translation", 1, "--steps", "100", "--size", "16", cwd=tmp_path, **{"cmn.txt": str(table)}
    )
    steps, losses = zip(*re.findall(r"^step (\d+): loss (\d\.\d\d)$", done.stdout, re.MULTILINE), strict=True)
    assert steps == ("50", "100")
    assert float(losses[1]) < float(losses[0])
    written = re.findall(r"^(i \w+ a \w+\.)  ([^ ]*)  \((.*)\)$", done.stdout, re.MULTILINE)
    assert 1 <= len(written) <= 10
    assert len(written) == len(done.stdout.splitlines()) - 2
    for english, translation, true in written:
        assert f"{english[0].upper()}{english[1:]}\t{true}\tsource" in lines
        assert set(translation) <= set("".join(lines))


def test_a_table_that_cannot_be_read_ends_the_translation_demo_with_a_sentence(tmp_path):
    (tmp_path / "empty.tsv").write_text("no tab\n", "utf-8")
    for name, reason in {
        "missing.tsv": "No such file",
        "empty.tsv": "there is nothing to translate",
    }.items():
        done = here("demos/translation/translation.py", name, cwd=tmp_path)
        assert done.returncode == 1
        assert done.stderr.startswith("translation: ") and reason in done.stderr
        assert done.stdout == ""


# -- anomaly


def test_the_anomaly_demo_finds_the_pump_that_stops():
    lines = runs(*commands("anomaly")[0][1:]).stdout.splitlines()
    began = [line for line in lines if "ActionStarted anomaly" in line]
    assert len(began) <= 2  # a new maximum of the first days is one too
    assert re.fullmatch(r"day 3\.4\d  ActionStarted anomaly: 31\.0, forecast [67]\d\.\d", began[-1])


# -- motion


def test_the_motion_demo_tells_what_a_phone_does():
    said = runs(*commands("motion")[0][1:]).stdout.splitlines()
    assert len(said) >= 2
    assert all(re.fullmatch(r" *(\d+\.\d\d s|end) +Action(Started|Ended) \w+", line) for line in said)
    started = [line.split()[-1] for line in said if "ActionStarted" in line]
    assert started[0] == "seated"
    assert "walking" in started


# -- sound


@pytest.mark.slow
def test_the_sound_demo_learns_what_it_drew_and_finds_it_in_a_minute(tmp_path, main_here):
    runs(*commands("sound")[0][1:], cwd=tmp_path)
    learned = main_here(*commands("sound")[1][1:], "--threads", "1", cwd=tmp_path)
    assert learned.returncode == 0, learned.stderr
    lines = runs(*commands("sound")[2][1:], cwd=tmp_path).stdout.splitlines()
    started = [line.split() for line in lines if "ActionStarted" in line]
    assert [line[-1] for line in started] == ["bell", "siren", "bell"]
    for line, true in zip(started, (10.0, 25.0, 40.0), strict=True):
        assert true < float(line[0]) < true + 1.5


# -- speech


@pytest.mark.skipif("digits" not in shipped_models(), reason="the digits model is not there")
def test_the_speech_demo_writes_the_number_that_is_spoken(shared_data, tmp_path):
    archive = shared_data / "senses" / "digits" / "digits.zip"
    if not archive.exists():
        pytest.skip("the recordings of digits are not there")
    write_spoken(archive, tmp_path / "call.wav", (4, 2, 1, 7))
    lines = runs(*commands("speech")[0][1:], tmp_path / "call.wav").stdout.splitlines()
    assert all(re.fullmatch(r" *\d+\.\d\d s  \d+", line) for line in lines)
    assert edit_distance(lines[-1].split()[-1], "4217") <= 1

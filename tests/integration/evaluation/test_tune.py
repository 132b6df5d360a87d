"""What a machine does best with: predictions count when they are ready, and the choice is what run and watch read."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from typer.testing import CliRunner

from streamrec import Recognizer
from streamrec.commands.app import app
from streamrec.errors import DataError
from streamrec.evaluation import tune
from streamrec.evaluation.tune import (
    Processed,
    Trial,
    TuneSettings,
    best_of,
    processed_frames,
    run_tune,
    streaming_accuracy,
    text_of,
    ways,
)
from streamrec.outputs.video_file import VideoFile
from streamrec.runtime.checkpoint import find_model
from streamrec.settings.tuned_file import Tuned, read_tuned
from streamrec.sources.synthetic import clip
from streamrec.types import Frame, Prediction, Result

BLANK = np.zeros((1, 1, 3), np.uint8)
SMALL = TuneSettings(
    models=("synthetic",), engines=("onnx",), size=(160, 128), seconds=2.0, rates=(15.0, 5.0)
)


def stream(truth: str, fps: float = 10.0) -> list[Frame]:
    """A frame a letter, which is its truth."""
    return [Frame(BLANK, n, n / fps, truth=letter) for n, letter in enumerate(truth)]


def numbers(looks: list[Processed]) -> list[int]:
    return [look.number for look in looks]


def test_who_is_quick_sees_every_frame_that_is_due():
    assert numbers(processed_frames(stream("a" * 6), fps=10.0, costs=[0.01])) == [0, 1, 2, 3, 4, 5]
    assert numbers(processed_frames(stream("a" * 6), fps=5.0, costs=[0.01])) == [0, 2, 4]


def test_who_is_slow_sees_the_newest_frame_when_free():
    looks = processed_frames(stream("a" * 9), fps=10.0, costs=[0.35])
    assert numbers(looks) == [0, 3, 7, 8]
    assert [look.ready for look in looks] == pytest.approx([0.35, 0.7, 1.05, 1.4])


def test_costs_take_turns():
    looks = processed_frames(stream("a" * 4), fps=10.0, costs=[0.01, 0.05])
    assert [look.ready for look in looks] == pytest.approx([0.01, 0.15, 0.21, 0.35])


def test_a_prediction_counts_from_when_it_is_ready():
    seen = stream("aaabbb")
    at_once = processed_frames(seen, fps=10.0, costs=[0.0])
    assert streaming_accuracy(seen, at_once, [frame.truth for frame in seen]) == 1.0
    late = processed_frames(seen, fps=10.0, costs=[0.05])
    assert numbers(late) == [0, 1, 2, 3, 4, 5]
    # nothing is said yet at the first, and at the fourth what was said of the third
    assert streaming_accuracy(seen, late, [frame.truth for frame in seen]) == pytest.approx(4 / 6)


def trial(when_ready: float, cores: float) -> Trial:
    return Trial(
        model="fight", engine="onnx", threads=1, size=(80, 64), fps=10.0, ms=1.0, p50=0.0, p99=0.0,
        looked_at=10.0, at_once=1.0, when_ready=when_ready, cores=cores,
    )  # fmt: skip


def test_the_best_is_chosen_and_of_equals_the_one_that_works_least():
    good, cheap, poor = trial(0.9, 0.5), trial(0.897, 0.1), trial(0.85, 0.01)
    assert best_of([good, cheap, poor]) is cheap
    assert best_of([good, poor]) is good


def test_ways_are_those_that_are_there(monkeypatch):
    monkeypatch.setattr(tune.threads, "cores", lambda: 4)
    assert ways("fight") == [(engine, count) for engine in ("onnx", "torch") for count in (1, 2, 4)]
    assert ways("fight", ["onnx"]) == [("onnx", 1), ("onnx", 2), ("onnx", 4)]
    monkeypatch.setattr(tune.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(tune.threads, "cores", lambda: 1)
    assert ways("fight") == [("onnx", 1)]


@pytest.fixture(scope="module")
def report():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tune, "MEASURED", 0.1)
        yield run_tune(replace(SMALL, cameras=2))


def test_a_report_has_a_trial_for_each_way_and_rhythm(report):
    ways = {(t.engine, t.threads, t.fps) for t in report.trials}
    assert ways == {("onnx", c, f) for _, c in tune.ways("synthetic", ["onnx"]) for f in (15.0, 5.0)}
    assert report.best in report.trials
    for t in report.trials:
        assert 0.0 <= t.when_ready <= 1.0
        assert 0.0 < t.p50 <= t.p99
        assert t.ms > 0
        assert t.cores > 0
    assert {round(t.looked_at) for t in report.trials if t.fps == 5.0} == {6}  # every fifth of 30


def test_a_report_is_a_table_and_plain_json(report):
    text = text_of(report)
    assert "2 cameras of 160x128 at 30 frames a second; 2 s of the synthetic world 'figures'" in text
    assert sum(line.startswith("* synthetic") for line in text.splitlines()) == 1
    assert json.loads(json.dumps(report.to_dict()))["tuned"]["model"] == "synthetic"
    assert report.tuned == Tuned(
        model="synthetic", engine="onnx", threads=report.best.threads, fps=report.best.fps
    )


def test_clips_are_played_as_one_stream_with_their_labels(tmp_path):
    for number, label in enumerate(("wave", "squat")):
        (tmp_path / label).mkdir()
        with VideoFile(tmp_path / label / "one.mp4", overlay=False) as video:
            for frame in clip(label, seed=number, seconds=0.6):
                video.write(Result(frame, Prediction(label, 1.0, np.zeros(0, np.float32), frame.timestamp)))
    recognizer = Recognizer.load("synthetic")
    frames, name = tune.material(recognizer, replace(SMALL, data=str(tmp_path)))
    assert name == f"{tmp_path}, its clips as one stream"
    assert {frame.truth for frame in frames} == {"wave", "squat"}
    assert {frame.image.shape for frame in frames} == {(72, 96, 3)}
    times = [frame.timestamp for frame in frames]
    assert times == sorted(times)
    other = Recognizer.load("fight")
    with pytest.raises(DataError, match="does not know squat, wave; it knows fight, normal; --relabel"):
        tune.material(other, replace(SMALL, data=str(tmp_path)))
    renamed = replace(SMALL, data=str(tmp_path), relabel=(("wave", "fight"), ("squat", "normal")))
    assert {frame.truth for frame in tune.material(other, renamed)[0]} == {"fight", "normal"}


def test_clips_that_are_cut_off_or_cannot_be_read_are_named_and_the_others_played(tmp_path, report):
    for number, label in enumerate(("wave", "squat", "walk")):
        (tmp_path / label).mkdir()
        with VideoFile(tmp_path / label / f"{label}.mp4", overlay=False) as video:
            for frame in clip(label, seed=number, seconds=1.0):
                video.write(Result(frame, Prediction(label, 1.0, np.zeros(0, np.float32), frame.timestamp)))
    cut = tmp_path / "wave" / "wave.mkv"
    with av.open(str(tmp_path / "wave" / "wave.mp4")) as film, av.open(str(cut), "w") as out:
        stream = out.add_stream_from_template(film.streams.video[0])
        for packet in film.demux(film.streams.video[0]):
            if packet.size:
                packet.stream = stream
                out.mux(packet)
    (tmp_path / "wave" / "wave.mp4").unlink()
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size * 9 // 10])
    (tmp_path / "squat" / "squat.mp4").write_bytes(b"no film at all")
    unreadable: list[str] = []
    frames, _ = tune.material(Recognizer.load("synthetic"), replace(SMALL, data=str(tmp_path)), unreadable)
    assert {frame.truth for frame in frames} == {"wave", "walk"}
    assert sorted(Path(line.split(" ")[0]).name for line in unreadable) == ["squat.mp4", "wave.mkv"]
    [part] = [line for line in unreadable if "wave.mkv" in line]
    assert "wave.mkv in part: it is cut off" in part
    report = replace(report, unreadable=tuple(unreadable))
    assert f"Could not be read:\n- {unreadable[0]}" in text_of(report)
    assert report.to_dict()["unreadable"] == tuple(unreadable)
    (tmp_path / "walk" / "walk.mp4").write_bytes(b"")
    cut.write_bytes(b"")
    with pytest.raises(DataError, match=r"there are no frames to play: .* is empty"):
        tune.material(Recognizer.load("synthetic"), replace(SMALL, data=str(tmp_path)))


def test_a_model_that_no_world_shows_asks_for_clips(monkeypatch):
    monkeypatch.setattr(tune, "LABELS", {"finger": ("up", "down")})
    with pytest.raises(DataError, match=r"no synthetic world shows what fight knows .* give a folder"):
        tune.material(Recognizer.load("fight"), SMALL)


def test_the_command_writes_what_run_and_watch_read(tmp_path, monkeypatch):
    monkeypatch.setattr(tune, "MEASURED", 0.1)
    out = tmp_path / "tuned.toml"
    asked = [
        "tune",
        "-m",
        "synthetic",
        "--engine",
        "onnx",
        "--size",
        "160x128",
        "--seconds",
        "1",
        "--fps",
        "5",
    ]
    ran = CliRunner().invoke(app, [*asked, "--out", str(out)])
    assert ran.exit_code == 0, ran.output
    assert "when ready" in ran.stdout
    tuned = read_tuned(out)
    assert (tuned.model, tuned.engine, tuned.fps) == ("synthetic", "onnx", 5.0)
    assert out.read_text().startswith("# streamrec tune: 1 camera of 160x128")
    lines = tmp_path / "lines.jsonl"
    run = [
        "run",
        "synthetic:3",
        "--no-show",
        "--max-seconds",
        "2",
        "--jsonl",
        str(lines),
        "--config",
        str(out),
    ]
    ran = CliRunner().invoke(app, run)
    assert ran.exit_code == 0, ran.output
    assert "synthetic model, onnx engine" in ran.output
    assert len(predictions(lines)) == 12
    ran = CliRunner().invoke(app, [*run, "--fps", "10"])  # what is said on the command line counts
    assert ran.exit_code == 0, ran.output
    assert len(predictions(lines)) == 20


def test_a_models_path_in_the_file_stays_right_wherever_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(tune, "MEASURED", 0.1)
    (tmp_path / "own.safetensors").write_bytes(find_model("synthetic").read_bytes())
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    asked = ["tune", "-m", "own.safetensors", "--engine", "onnx", "--size", "160x128", "--seconds", "1"]
    ran = CliRunner().invoke(app, [*asked, "--fps", "5", "--out", "there/tuned.toml", "--json"])
    assert ran.exit_code == 0, ran.output
    assert json.loads(ran.stdout)["best"]["fps"] == 5.0
    assert read_tuned(tmp_path / "there" / "tuned.toml").model == str(tmp_path / "own.safetensors")


def predictions(lines: Path) -> list[dict]:
    read = [json.loads(line) for line in lines.read_text().splitlines()]
    return [line for line in read if line["type"] == "prediction"]

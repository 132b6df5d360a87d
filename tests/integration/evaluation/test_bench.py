"""Everything is measured and told; no test asserts how long anything took."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from streamrec import Recognizer, results
from streamrec.commands.app import app
from streamrec.errors import ModelError, SourceError
from streamrec.evaluation import bench
from streamrec.evaluation.bench import BenchSettings, First, SteadyCamera, in_turns, run_bench, text_of

SMALL = BenchSettings(model="synthetic", size=(160, 128), frames=16, rounds=1, seconds=0.5, starts=1)


@pytest.fixture(scope="module")
def report():
    return run_bench(SMALL)


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return bench.make_video(tmp_path_factory.mktemp("video") / "v.mp4", (160, 128), 16, 30.0)


def test_every_stage_and_rate_is_measured(report):
    assert set(report.stages) == {
        "decode", "decode, not shown", "ring buffer", "pace", "transform", "encoder and head", "events",
        "overlay", "JSON Lines", "video file, in a thread of its own",
    }  # fmt: skip
    assert set(report.rates) == {"engine", "engine, batch of 8", "decoder", "memory", "file", "8 files"}
    assert all(math.isfinite(value) for value in report.stages.values())
    assert all(rate > 0 for rate in report.rates.values())
    assert report.streams == pytest.approx(report.rates["8 files"] / 15.0)


def test_latency_start_and_memory_are_measured(report):
    assert 0 < report.latency["p50"] <= report.latency["p99"] <= report.latency["max"]
    assert report.latency["frames"] >= 5
    assert report.start["seconds"] > 0
    assert report.start["memory"] is None or 20 < report.start["memory"] < 2000


def test_the_model_and_the_machine_are_named(report):
    assert report.model["name"] == "synthetic"
    assert (report.model["engine"], report.model["threads"]) == ("onnx", 1)
    assert report.picture["size"] == [160, 128]
    assert report.machine["cores"] >= 1
    text = text_of(report)
    assert "synthetic model, onnx engine on cpu, 1 thread;" in text
    for name in (*report.stages, *report.rates):
        assert name in text


def test_several_models_are_measured_as_one_where_they_run_in_one_pass():
    both = replace(SMALL, model="fight", further=("fall",))
    report = run_bench(both)
    assert report.model["name"] == "fight + fall" and report.start["seconds"] > 0
    assert all(rate > 0 for rate in report.rates.values())
    with pytest.raises(ModelError, match=r"fight \+ synthetic run in 2 passes, one after the other"):
        run_bench(replace(both, further=("synthetic",)))


def test_a_report_is_plain_json(report):
    assert json.loads(json.dumps(report.to_dict()))["rates"] == report.rates


def test_stages_take_turns():
    said = []
    costs = in_turns({"a": lambda: said.append("a"), "b": lambda: said.append("b")}, 3)
    assert said == ["a", "b"] * 3
    assert set(costs) == {"a", "b"}


def test_a_steady_camera_gives_each_picture_the_moment_at_which_it_was_due(video):
    frames = bench.read_some(video, 4)
    given = list(SteadyCamera(frames, 100.0, 0.08))
    assert [frame.index for frame in given] == list(range(8))
    assert [b.captured - a.captured for a, b in itertools.pairwise(given)] == pytest.approx([0.01] * 7)
    assert given[0].image is not frames[0].image


def test_a_steady_camera_that_is_left_ends(video):
    camera = SteadyCamera(bench.read_some(video, 2), 1.0, 60.0)
    for _ in camera:
        camera.interrupt()


def test_the_first_frames_of_a_file_are_those(video):
    assert [frame.index for frame in First(video, 5)] == list(range(5))
    assert sum(1 for _ in results(First(video, 5), Recognizer.load("synthetic"), fps=1000.0)) == 5


def test_a_video_without_pictures_is_told(tmp_path):
    (tmp_path / "none.mp4").write_bytes(b"no video")
    with pytest.raises(SourceError):
        bench.read_some(tmp_path / "none.mp4", 5)


def test_the_command_prints_json_or_a_table(video, monkeypatch):
    small = [
        "--model",
        "synthetic",
        "--frames",
        "16",
        "--rounds",
        "1",
        "--seconds",
        "0.5",
        "--video",
        str(video),
    ]
    monkeypatch.setattr(bench, "time_starts", lambda settings, shape: {})
    ran = CliRunner().invoke(app, ["bench", *small, "--json"])
    assert ran.exit_code == 0, ran.output
    assert json.loads(ran.stdout)["picture"]["of"] == "v.mp4"
    ran = CliRunner().invoke(app, ["bench", *small])
    assert ran.exit_code == 0, ran.output
    assert "streams of 15 frames a second" in ran.stdout

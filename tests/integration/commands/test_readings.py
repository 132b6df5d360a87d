"""Tables of readings on the command line: run, refused in words, shown as a plot, learned from, evaluated."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from streamrec import ActionModel, ModelConfig, Recognizer, SignalTransform, open_source, save_model
from streamrec.events.detector import EventSettings

HEAD = "seconds,x_acc,y_acc,z_acc,label\n"


def table(path: Path, seed: int, seconds: float = 6.0) -> Path:
    """Sits still, then walks: a swing of the second channel."""
    rows = []
    for n in range(round(40 * seconds)):
        now = n / 40
        walks = now >= seconds / 2
        swing = 3.0 * math.sin(11.0 * now + seed) if walks else 0.0
        rows.append(f"{now},{0.1 * seed},{9.8 + swing},{0.3 * swing},{'walk' if walks else 'sit'}\n")
    path.write_text(HEAD + "".join(rows))
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    transform = SignalTransform(channels=("x_acc", "y_acc", "z_acc"), std=(1.0, 9.0, 3.0))
    config = ModelConfig(
        labels=("sit", "walk"), encoder="signal-cnn", transform=transform, hidden_size=8, fps=20.0,
        events=EventSettings(enter=0.4, leave=0.3, smoothing=0.0, shortest=0.0),
    )  # fmt: skip
    path = tmp_path_factory.mktemp("signal") / "leaning.safetensors"
    save_model(path, ActionModel(config).eval())
    return path


def test_a_table_is_run_and_its_lines_are_on_the_models_clock(model, tmp_path, main_here):
    table(tmp_path / "anna_1.csv", 1)
    done = main_here(
        "run",
        "anna_1.csv",
        "-m",
        model,
        "--no-show",
        "--jsonl",
        "out.jsonl",
        "--save",
        "seen.mp4",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    found = [line for line in lines if line["type"] == "prediction"]
    assert [round(line["timestamp"], 3) for line in found[:3]] == [0.0, 0.05, 0.1]
    assert {line["label"] for line in found} <= {"sit", "walk"}
    frames = list(open_source(tmp_path / "seen.mp4"))
    assert len(frames) == len(found)
    assert frames[0].image.shape[:2] == (360, 640)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["synthetic", "-m", "MODEL"], "leaning takes 3 channels (x_acc, y_acc, z_acc), and "),
        (["anna_1.csv", "-m", "fight"], "fight takes video, and anna_1.csv is readings of sensors"),
        (["anna_1.csv", "-m", "MODEL", "--count"], "anna_1.csv has no pictures"),
        (["anna_1.csv", "-m", "MODEL", "--record", "kept"], "--record keeps pictures, and leaning takes none"),
        (["anna_1.csv", "-m", "MODEL", "--explain"], "there is neither, nor JSON Lines, which would have its numbers"),
        (["other.csv", "-m", "MODEL"], "z_acc is missing; name the channels as the model does"),
        (["broken.csv", "-m", "MODEL"], "broken.csv, line 3: x_acc is 'up', which is no number"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_a_sentence(words, said, model, tmp_path, main_here):
    table(tmp_path / "anna_1.csv", 1)
    (tmp_path / "other.csv").write_text("seconds,x_acc,y_acc\n0,1,2\n")
    (tmp_path / "broken.csv").write_text("seconds,x_acc,y_acc,z_acc\n0,1,2,3\n1,up,2,3\n")
    ended = main_here("run", *(str(model) if w == "MODEL" else w for w in words), "--no-show", cwd=tmp_path)
    assert ended.returncode == 2, ended.stderr
    assert said in ended.stderr.replace("\n", " ")
    assert "Traceback" not in ended.stderr


def test_what_spoke_for_a_label_is_in_lines_and_video_and_changes_no_prediction(model, tmp_path, main_here):
    table(tmp_path / "anna_1.csv", 1, seconds=4.0)
    words = ["run", "anna_1.csv", "-m", model, "--no-show"]
    lines = {}
    for name, more in (("plain", []), ("why", ["--explain"])):
        out = ["--jsonl", f"{name}.jsonl", "--save", f"{name}.mp4"]
        done = main_here(*words, *out, *more, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        read = map(json.loads, (tmp_path / f"{name}.jsonl").read_text().splitlines())
        lines[name] = [line for line in read if line["type"] == "prediction"]
    for line, explained in zip(lines["plain"], lines["why"], strict=True):
        assert line["probabilities"] == explained["probabilities"]
    found = [line for line in lines["why"] if "relevance" in line]
    assert len(found) >= len(lines["why"]) // 4
    assert not any("relevance" in line for line in lines["plain"])
    for line in found:
        said = line["relevance"]
        assert said["label"] == line["label"]
        share = min(max(line["probabilities"][line["label"]], 1e-3), 1 - 1e-3)
        whole = sum(said["channels"].values()) + said["rest"]
        assert whole == pytest.approx(math.log(share / (1 - share)), abs=0.02)
        assert sum(value for _, value in said["moments"]) + said["rest"] == pytest.approx(whole, abs=0.03)
    assert set(found[-1]["relevance"]["channels"]) == {"x_acc", "y_acc", "z_acc"}
    plain, why = (list(open_source(tmp_path / f"{name}.mp4"))[-1].image.astype(int) for name in lines)
    assert (abs(plain - why).max(2) > 30).any()  # shaded


@pytest.mark.slow
def test_tables_are_learned_from_by_group_and_evaluated_as_videos_are(tmp_path, main_here):
    folder = tmp_path / "phones"
    folder.mkdir()
    for seed, person in enumerate(("anna", "ben", "carl")):
        table(folder / f"{person}_1.csv", seed)
    done = main_here(
        "train", "phones", "--out", "mine.safetensors", "--steps", "40", "--hold-out", "0.3", "--threads", "1",
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "recipe signal" in done.stderr
    config = Recognizer.load(tmp_path / "mine.safetensors").config
    assert config.labels == ("sit", "walk")
    assert config.transform.channels == ("x_acc", "y_acc", "z_acc")
    assert config.transform.mean[1] == pytest.approx(9.8, abs=0.3)
    done = main_here("eval", "mine.safetensors", "phones", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "videos" in done.stdout

"""Sound on the command line: learned from, evaluated and run, as video is."""

from __future__ import annotations

import json

import numpy as np
import pytest

from streamrec import Recognizer
from tests.helpers.sounds import tone, write_media


@pytest.mark.slow
def test_sounds_are_learned_from_by_group_evaluated_and_run_as_videos_are(tmp_path, main_here):
    rows = ["clip,label,group"]
    rng = np.random.default_rng(0)
    for label, hertz in (("beep", 1500.0), ("hum", 200.0)):
        for group in ("kitchen", "hall", "yard"):
            sound = tone(16_000, 2.0, hertz * rng.uniform(0.9, 1.1), 0.3)
            write_media(tmp_path / f"{label}_{group}.wav", sound, 16_000)
            rows.append(f"{label}_{group}.wav,{label},{group}")
    (tmp_path / "index.csv").write_text("\n".join(rows))
    done = main_here(
        "train", ".", "--out", "mine.safetensors", "--steps", "30", "--streams", "8", "--hold-out", "0.3",
        "--threads", "1", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "recipe sound" in done.stderr
    config = Recognizer.load(tmp_path / "mine.safetensors").config
    assert config.labels == ("beep", "hum", "background")
    assert config.transform.rate == 16_000
    assert len(config.transform.mean) == config.transform.mels
    done = main_here("eval", "mine.safetensors", ".", "--stream", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert '"clips": 6' in done.stdout
    done = main_here(
        "run", "beep_hall.wav", "-m", "mine.safetensors", "--no-show", "--jsonl", "out.jsonl", cwd=tmp_path
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    found = [line for line in lines if line["type"] == "prediction"]
    assert [round(line["timestamp"], 3) for line in found[:3]] == [0.0, 0.08, 0.16]


def test_a_rate_of_steps_that_does_not_fit_the_hop_is_a_sentence(tmp_path, main_here):
    for label in ("beep", "hum"):
        (tmp_path / label).mkdir()
        write_media(tmp_path / label / "1.wav", tone(16_000, 1.0, 90.0 * len(label)), 16_000)
    ended = main_here(
        "train",
        ".",
        "--recipe",
        "sound",
        "--fps",
        "10",
        "--hold-out",
        "0",
        "--out",
        "x.safetensors",
        cwd=tmp_path,
    )
    assert ended.returncode == 2
    assert "leave out --fps" in ended.stderr.replace("\n", " ")

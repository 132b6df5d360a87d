"""tuned.toml: what a machine does best with, in a file that run and watch read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from streamrec.errors import SettingsError
from streamrec.settings.tuned_file import Tuned, read_tuned, toml_of


def read(folder: Path, text: str) -> Tuned:
    path = folder / "tuned.toml"
    path.write_text(text, encoding="utf-8")
    return read_tuned(path)


@pytest.mark.parametrize(
    "tuned",
    [
        Tuned(),
        Tuned(model="fight", engine="onnx", device="cpu", threads=2, fps=7.5),
        Tuned(model='a "model" \\ of ours', fps=15.0),
    ],
)
def test_what_is_written_is_read_again(tmp_path, tuned):
    assert read(tmp_path, toml_of(tuned, "why:\nthat is why")) == tuned


def test_a_models_path_is_relative_to_the_files_folder(tmp_path):
    assert read(tmp_path, 'model = "own.onnx"').model == str(tmp_path / "own.onnx")
    assert read(tmp_path, 'model = "/there/own.safetensors"').model == "/there/own.safetensors"
    assert read(tmp_path, 'model = "fight"').model == "fight"


def test_a_whole_number_is_a_rhythm_too(tmp_path):
    assert read(tmp_path, "fps = 5") == Tuned(fps=5.0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("thread = 1", "thread: there is no such key; did you mean threads?"),
        ("colour = 1", "colour: there is no such key; there are model, engine, device, threads, fps"),
        ("threads = 0", "threads: give a whole number from 1 to 1,024, not 0"),
        ("threads = true", "threads: give a whole number from 1 to 1,024, not True"),
        ("fps = 0", "fps: give a number from 0.1 to 240, not 0"),
        ("fps = nan", "fps: give a number from 0.1 to 240, not nan"),
        ("model = 3", "model: give a text, not 3"),
        ('engine = ""', "engine: give auto, onnx, torch, not ''"),
        ("fps = ", "is not TOML: "),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path, text, said):
    with pytest.raises(SettingsError, match=re.escape(said)):
        read(tmp_path, text)


def test_a_file_that_is_not_there_is_said(tmp_path):
    with pytest.raises(SettingsError, match=r"none\.toml cannot be read: no such file"):
        read_tuned(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b'model = "\xe4"')
    with pytest.raises(SettingsError, match="UTF-8"):
        read_tuned(tmp_path / "latin.toml")

"""What a shell completes, asked as bash, zsh and fish ask."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from streamrec.commands.app import app

SHELLS = ("bash", "zsh", "fish")


def ask(shell: str, typed: str) -> str:
    """What is answered when a person has typed this and presses the tab key."""
    words = typed.split(" ")
    asked = {
        "bash": {"COMP_WORDS": typed, "COMP_CWORD": str(len(words) - 1)},
        "zsh": {"_TYPER_COMPLETE_ARGS": typed},
        "fish": {"_TYPER_COMPLETE_ARGS": typed, "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
    }[shell]
    done = CliRunner().invoke(
        app, prog_name="streamrec", env={"_STREAMREC_COMPLETE": f"complete_{shell}", **asked}
    )
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_is_told_the_commands(shell):
    assert "calibrate" in ask(shell, "streamrec cal")


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_is_told_the_models_that_ship(shell, folder):
    answer = ask(shell, "streamrec run 0 --model f")
    assert "fight" in answer and "fall" in answer and "workout" not in answer


def test_model_files_are_completed_beside_the_names(folder):
    (folder / "few.safetensors").touch()
    (folder / "own").mkdir()
    (folder / "own" / "mine.safetensors").touch()
    assert ask("bash", "streamrec eval fe").split() == ["few.safetensors"]
    assert ask("bash", "streamrec bench -m own/").split() == ["own/mine.safetensors"]


def test_a_folder_that_cannot_be_read_completes_nothing(folder):
    assert ask("bash", "streamrec bench -m ~nobody-of-this-name/x").split() == []
    assert ask("bash", "streamrec bench -m gone/x").split() == []


def test_a_model_may_start_from_imagenet(folder):
    assert ask("bash", "streamrec train my_clips --weights i").split() == ["imagenet"]


def test_labels_are_completed_after_a_comma_too():
    assert ask("bash", "streamrec events --label figh").split() == ["fight"]
    assert ask("bash", "streamrec record clips --labels wave,cl").split() == ["wave,clap"]


def test_cameras_are_those_of_the_file(folder):
    assert ask("bash", "streamrec events --camera ").split() == []
    (folder / "cameras.toml").write_text('[[camera]]\nname = "door"\n[[camera]]\nname = "yard"\n')
    assert ask("bash", "streamrec events --camera d").split() == ["door"]
    (folder / "cameras.toml").write_text('camera = "no table"\n')
    assert ask("bash", "streamrec events --camera d").split() == []


def test_worlds_are_known_by_name():
    assert ask("bash", "streamrec train clips --world sc").split() == ["scuffle"]


@pytest.mark.parametrize(
    ("shell", "where"),
    [
        ("bash", ".bash_completions/streamrec.sh"),
        ("zsh", ".zfunc/_streamrec"),
        ("fish", ".config/fish/completions/streamrec.fish"),
    ],
)
def test_completion_is_installed_for_each_shell(shell, where, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    shown = CliRunner().invoke(app, ["--show-completion", shell], prog_name="streamrec")
    assert shown.exit_code == 0 and "_STREAMREC_COMPLETE" in shown.output
    done = CliRunner().invoke(app, ["--install-completion", shell], prog_name="streamrec")
    assert done.exit_code == 0, done.output
    assert f"complete_{shell}" in (tmp_path / where).read_text()


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_itself_completes_a_model(tmp_path):
    program = tmp_path / "streamrec"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nfrom streamrec.commands.process import main\n"
        "sys.argv[0] = 'streamrec'\nmain()\n"
    )
    program.chmod(0o755)
    script = (
        'eval "$(_STREAMREC_COMPLETE=source_bash streamrec)"; complete -p streamrec; '
        'COMP_WORDS=(streamrec run 0 --model fi); COMP_CWORD=4; _streamrec_completion streamrec; echo "${COMPREPLY[@]}"'
    )
    told = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "--norc", "-c", script], cwd=tmp_path, env=told, capture_output=True, text=True, timeout=280
    )
    assert done.stdout.splitlines()[-1] == "fight", done.stdout + done.stderr

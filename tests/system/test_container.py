"""The container file of deploy/, as far as it can be tried without building it."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
import time
import tomllib
from fnmatch import fnmatch

import pytest
import typer.main

from streamrec.commands.app import app
from tests.helpers import forked
from tests.helpers.cameras import free_port
from tests.helpers.paths import ROOT


def read() -> list[tuple[str, str]]:
    """The instructions and what they say, continued lines joined."""
    text = (ROOT / "deploy" / "Containerfile").read_text(encoding="utf-8")
    lines = re.sub(r"\\\n\s*", " ", re.sub(r"(?m)^#.*\n", "", text)).splitlines()
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines) if word]


INSTRUCTIONS = read()


def said(word: str) -> list[str]:
    return [rest for instruction, rest in INSTRUCTIONS if instruction == word]


def test_all_that_it_copies_is_there_and_is_sent_to_be_built():
    ignored = (ROOT / "deploy" / "Containerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    kept = [line[1:] for line in ignored if line.startswith("!")]
    copied = {name.removeprefix("./") for line in said("COPY") for name in shlex.split(line)[:-1]}
    for name in copied:
        assert (ROOT / name).exists(), name
        assert any(fnmatch(name, pattern) for pattern in kept), name
    assert copied == set(kept)
    for name in re.findall(r"-c (\S+)", said("RUN")[0]):
        assert name in copied


def test_all_that_it_needs_of_the_project_is_installed_and_no_torch():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = shlex.split(re.sub(r"\s-c\s\S+|\s--\S+", "", said("RUN")[0].split("&&")[0]))[2:]
    assert names == [".[${EXTRAS}]"]
    assert said("ARG") == ["EXTRAS=web,mqtt"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["web"]]
    assert not [name for name in wanted if re.match("torch|timm|nvidia|onnxscript|onnx[><=]|streamrec", name)]
    (base,) = said("FROM")
    version = tuple(map(int, re.findall(r"python:(\d+)\.(\d+)", base)[0]))
    assert version >= tuple(map(int, re.findall(r"\d+", project["requires-python"])))


def test_it_runs_as_nobody_in_particular():
    (user,) = said("USER")
    assert user.isdecimal() and int(user) >= 1000
    after = [word for word, _ in INSTRUCTIONS][[word for word, _ in INSTRUCTIONS].index("USER") :]
    assert "RUN" not in after and "COPY" not in after
    assert f"--uid {user}" in said("RUN")[0]
    assert said("VOLUME")[0] in said("RUN")[0]  # it may write there


def test_its_entry_point_understands_its_command():
    entry, command = json.loads(said("ENTRYPOINT")[0]), json.loads(said("CMD")[0])
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    assert entry[0] in scripts
    watch = typer.main.get_command(app).commands[command[0]]  # type: ignore[attr-defined]
    given = watch.make_context("watch", command[1:]).params
    assert given["web"] == "127.0.0.1:8765"
    assert str(given["jsonl"]).startswith(said("VOLUME")[0])


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
@pytest.mark.slow
def test_its_health_check_asks_the_page_that_it_serves(host, tmp_path):
    check = json.loads(said("HEALTHCHECK")[0].partition("CMD")[2])
    port = free_port()
    check = [sys.executable, *(word.replace(":8765", f":{port}") for word in check[1:])]
    assert "/healthz" in check[-1]
    assert subprocess.run(check, capture_output=True, timeout=30).returncode != 0  # nobody is there
    (tmp_path / "cameras.toml").write_text(
        '[[camera]]\nname = "trial"\naddress = "synthetic:7"\nmodel = "synthetic"\n'
    )
    words = ["watch", "cameras.toml", "--web", f"{host}:{port}"]
    if host != "127.0.0.1":
        password = forked.run(
            [sys.executable, "-m", "streamrec", "access", "page.access"],
            input=b"correct horse battery\n",
            cwd=tmp_path,
            timeout=60,
        )
        assert password.returncode == 0
        words += ["--web-access", "page.access"]
    process = forked.Popen(
        [sys.executable, "-m", "streamrec", *words], cwd=tmp_path, stdout=subprocess.DEVNULL
    )
    try:
        end = time.monotonic() + 60
        while (code := subprocess.run(check, capture_output=True, timeout=30).returncode) != 0:
            assert time.monotonic() < end and process.poll() is None
            time.sleep(0.2)
        assert code == 0
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)

"""The units and the compose file of a fleet, as far as they can be tried without systemd and containers."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from typing import Any

import pytest
import typer.main

from streamrec.commands.app import app
from tests.helpers.paths import ROOT

DEPLOY = ROOT / "deploy"
UNITS = ("streamrec-fleet-head.service", "streamrec-fleet-node.service")


def unit(name: str) -> str:
    return re.sub(r"\\\n\s*", " ", (DEPLOY / name).read_text(encoding="utf-8"))


def parsed(words: list[str]) -> dict[str, Any]:
    """What `streamrec` takes these words for; an option that is not there is an error."""
    group = typer.main.get_command(app).commands["fleet"]  # type: ignore[attr-defined]
    assert words[0] == "fleet"
    words = words[1:] if words[1] in group.commands else ["start", *words[1:]]
    return group.commands[words[0]].make_context(words[0], words[1:], resilient_parsing=False).params


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_is_valid_and_its_command_is_understood(name, tmp_path):
    text = unit(name)
    (command,) = re.findall(r"(?m)^ExecStart=(.*)$", text)
    words = shlex.split(
        command.replace("${FLEET_ADDRESS}", "10.0.0.5").replace("${FLEET_HEAD}", "10.0.0.5:6379")
    )
    assert words[0].endswith("/streamrec")
    given = parsed(words[1:])
    assert given["host"] == "10.0.0.5"
    assert str(given["folder"]).startswith(
        "/var/lib/streamrec"
    )  # its StateDirectory: nothing else may be written
    # The command moves or ends its groups at the end, and needs Ray's processes for that.
    assert "KillMode=mixed" in text
    if not shutil.which("systemd-analyze"):
        pytest.skip("there is no systemd-analyze")
    copy = tmp_path / name  # the program of the unit is not there yet
    copy.write_text(re.sub(r"(?m)^ExecStart=\S+", f"ExecStart={sys.executable}", text), encoding="utf-8")
    run = subprocess.run(["systemd-analyze", "verify", "--man=no", str(copy)], capture_output=True, text=True)
    assert [line for line in run.stderr.splitlines() if name in line] == []


def test_the_compose_file_starts_a_head_and_two_machines():
    yaml = pytest.importorskip("yaml")
    file = yaml.safe_load((DEPLOY / "fleet.compose.yaml").read_text(encoding="utf-8"))
    services = file["services"]
    assert sorted(services) == ["head", "north", "south"]
    for name, service in services.items():
        given = parsed(service["command"])
        mounts = [volume.split(":") for volume in service["volumes"]]
        key = str(given["key"]).rpartition("/")[0]
        (mode,) = [mount[2:] for mount in mounts if mount[1] == key]
        assert mode == ([] if name == "head" else ["ro"])  # the head writes the key, the others read it
        assert any(str(given["folder"]).startswith(mount[1]) for mount in mounts)
        assert {mount[0] for mount in mounts if "/" not in mount[0]} <= set(file["volumes"])
        assert service["read_only"] and service["cap_drop"] == ["ALL"]
        assert (ROOT / service["build"]["dockerfile"]).is_file()
        if name != "head":
            assert given["head"] == "head:6379"
            assert service["depends_on"] == {"head": {"condition": "service_healthy"}}
    assert all(port.startswith("127.0.0.1:") for port in services["head"]["ports"])
    container = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
    assert "/var/lib/streamrec-key" in container  # so that its volume belongs to the user of the image

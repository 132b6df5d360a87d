"""What of a fleet can be reached and read: ports and their interfaces, the token, and traces of a planted password."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from tests.helpers.cameras import rtsp_camera
from tests.helpers.fleet_processes import is_on_all_interfaces, listening
from tests.system.fleet.bench import MeasuredFleet, measured_fleet
from tests.system.fleet.trials import Report, Size

PLANTED, FROM_ENVIRONMENT = "planted-8Kq2", "from-env-7Xv5"
_CAMERAS = """
[[camera]]
name = "live 0"
address = "{address}"
model = "synthetic"

[[camera]]
name = "live 1"
address = "{other}"
user = "viewer"
password = "${{CAMERA_PASSWORD}}"
model = "synthetic"
"""
_ASK = """
import os, ray
ray.init(address={address!r}, namespace="streamrec", log_to_driver=False, configure_logging=False)
print("NAMES", ray.util.list_named_actors(all_namespaces=True))
"""


def _name(pid: int) -> str:
    with contextlib.suppress(OSError):
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        for word in ("gcs_server", "raylet/raylet", "client.server", "dashboard/agent", "DashboardAgent",
                     "RuntimeEnvAgent", "runtime_env/agent", "dashboard.py", "monitor.py", "log_monitor",
                     "_HeadActor", "_GroupActor", "default_worker", "IDLE"):  # fmt: skip
            if word in command:
                return word
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return str(pid)


def traces(words: Iterable[str], folders: Iterable[Path], *, but: Iterable[str] = ()) -> list[str]:
    """Files that hold one of the words."""
    found = []
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file() and path.name not in but:
                with contextlib.suppress(OSError):
                    data = path.read_bytes()
                    found += [f"{path.name}: {word}" for word in words if word.encode() in data]
    return found


def session_of(fleet: MeasuredFleet) -> Path:
    """The folder of Ray's logs of this cluster."""
    for pid in fleet.pids("head", "gcs_server"):
        command = Path(f"/proc/{pid}/cmdline").read_bytes().decode()
        if found := re.search(r"--log_dir=(\S+?)/logs", command):
            return Path(found[1])
    raise AssertionError("there is no gcs_server")


def security(size: Size, report: Report) -> None:
    """Ports and their interfaces, access without the token, and a planted password in logs, files and `ps`."""
    with (
        rtsp_camera(fps=10, size=(160, 120), user="viewer", password=PLANTED) as one,
        rtsp_camera(fps=10, size=(160, 120), user="viewer", password=FROM_ENVIRONMENT) as other,
        measured_fleet(seed=size.seed) as fleet,
    ):
        bare = other.replace(f"viewer:{FROM_ENVIRONMENT}@", "")
        (fleet.folder / "cameras.toml").write_text(_CAMERAS.format(address=one, other=bare))
        fleet.addresses = {"live 0": str(one), "live 1": str(other)}
        fleet.machine_env["north"] = {"CAMERA_PASSWORD": FROM_ENVIRONMENT}
        fleet.begin(["north"])
        fleet.until(lambda: [fleet.state(name) for name in fleet.addresses] == ["live", "live"], "both live")
        address = (fleet.folder / "fleet" / "address").read_text().strip()
        _ports(fleet, report)
        _tokens(fleet, report, address)
        one.freeze()  # a fault, so that messages of the camera are in the logs too
        fleet.until(lambda: fleet.state("live 0") != "live", "a fault is noticed")
        one.thaw()
        _secrets(fleet, report)


def _ports(fleet: MeasuredFleet, report: Report) -> None:
    wide = []
    for machine in ("head", "north"):
        for pid, where in listening(fleet.pids(machine)):
            report.put(f"{machine}: {_name(pid)} {pid} listens on", where)
            if is_on_all_interfaces(where):
                wide.append(f"{machine}: {_name(pid)} {where}")
    report.check(f"no port is open on all interfaces {wide or ''}", not wide)
    answered = []
    for machine in ("head", "north"):
        for pid, where in listening(fleet.pids(machine)):
            host, _, port = where.rpartition(":")
            if host != "127.0.0.1":
                with contextlib.suppress(ConnectionRefusedError):
                    socket.create_connection(("127.0.0.1", int(port)), 5.0).close()
                    answered.append(f"{machine}: {_name(pid)} {where}")
    report.check(f"no port of an address answers on another one {answered or ''}", not answered)


def _tokens(fleet: MeasuredFleet, report: Report, address: str) -> None:
    for name, env, where in (
        ("without a token", {}, address),
        ("with a wrong token", {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}, address),
    ):
        clean = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
        try:
            run = subprocess.run([sys.executable, "-c", _ASK.format(address=where)], env={**clean, **env},
                                 capture_output=True, text=True, timeout=90)  # fmt: skip
            text, code = run.stdout + run.stderr, run.returncode
        except subprocess.TimeoutExpired as error:
            text, code = str(error), -1
        report.put(name, ([line for line in text.strip().splitlines() if line][-1:] or [""])[0][:160])
        report.check(f"{name}: refused", code != 0 and "NAMES" not in text)
    folder = fleet.folder / "south"
    folder.mkdir()
    key = folder / "fleet.key"
    key.write_text(f"streamrec fleet {'ab' * 32}\n")
    key.chmod(0o600)
    fleet.join("south", wait=False)
    code = fleet.fleet.machines["south"].wait(120)
    report.put("join with another key", (code, fleet.fleet.machines["south"].text.strip().splitlines()[-1:]))
    report.check("another key is refused in words", code == 2)


def _secrets(fleet: MeasuredFleet, report: Report) -> None:
    key = (fleet.folder / "fleet" / "fleet.key").read_text().split()[-1]
    token = next(
        part.partition(b"=")[2].decode()
        for pid in fleet.pids("north", "raylet/raylet")
        for part in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        if part.startswith(b"RAY_AUTH_TOKEN=")
    )
    words = {
        PLANTED: "password in the address",
        FROM_ENVIRONMENT: "password from a variable",
        key: "key",
        token: "token",
    }
    folders = [session_of(fleet), *(fleet.folder / name for name in ("fleet", "north"))]
    found = traces(words, folders, but=("fleet.key",))
    logs = [*fleet.folder.glob("*.log"), *fleet.folder.glob("events.db*")]
    found += [f"{path.name}: {word}" for path in logs for word in words if word.encode() in path.read_bytes()]
    for word, name in words.items():
        found = [one.replace(word, name) for one in found]
    report.put(
        "files that were searched", sum(1 for one in folders for path in one.rglob("*") if path.is_file())
    )
    report.put("secrets in files", found)
    report.check("no secret is in a file of Ray's or of the fleet", not found)
    shown = []
    for machine in ("head", "north"):
        for pid in fleet.pids(machine):
            with contextlib.suppress(OSError):
                command = Path(f"/proc/{pid}/cmdline").read_bytes()
                shown += [name for word, name in words.items() if word.encode() in command]
    report.put("secrets in command lines", shown)
    report.check("no secret is in a command line", not shown)
    with contextlib.suppress(OSError):
        import urllib.request

        for path in ("fleet", "cameras"):
            with urllib.request.urlopen(f"http://127.0.0.1:{fleet.web}/api/v1/{path}", timeout=10) as answer:
                body = answer.read()
            report.check(f"no secret is in /api/v1/{path}", not any(word.encode() in body for word in words))

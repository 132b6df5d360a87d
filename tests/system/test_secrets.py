"""No secret leaves streamrec: every byte that its commands print, write, serve and log is searched for all of them."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from urllib.parse import quote, quote_plus, unquote

import httpx
import pytest
from websockets.sync.client import connect

from streamrec import open_source
from streamrec.commands.option_groups import page_settings
from streamrec.errors import SourceError
from tests.helpers import forked
from tests.helpers.cameras import free_port, http_camera, rtsp_camera
from tests.helpers.pages import make_token
from tests.helpers.paths import ROOT
from tests.system.test_watch import environment, models, watching  # noqa: F401

PASSWORD = "hunt/er 2?#50%"
KEY = "kRzXpQwLmNbVcXya"  # of a path
VALUES = {
    "jwt": "eyJhbGciOiJI.eyJzdWIi.c2lnbmF0dXJl", "sid": "sidsidsid", "CODE": "c0dec0de", "k": "k8k8k8",
    "X-Amz-Signature": "5ba1e9d2c3", "ticket": "t%2Fck%3Dt", "credentials": "anna:geheim77",
}  # fmt: skip
QUERY = "&".join(f"{name}={value}" for name, value in VALUES.items()) + "&channel=1"


def forms(secret: str) -> set[str]:
    plain = {secret, unquote(secret)}
    return {
        form
        for one in plain
        for form in (one, quote(one, safe=""), quote(one), quote_plus(one), repr(one)[1:-1])
    }


FORMS = {form for secret in (PASSWORD, KEY, *VALUES.values()) for form in forms(secret)}
FORMS.add(base64.b64encode(f"anna:{PASSWORD}".encode()).decode())


def leaks(data: bytes) -> list[str]:
    """Which secrets are in it, in whatever form."""
    return [form for form in FORMS if form.encode() in data]


def search(folder: Path, *, but: Iterable[str] = ()) -> None:
    """Every file of a folder, and its name."""
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if any(name.startswith(one) for one in but):
            continue
        assert not leaks(name.encode()), name
        assert not path.is_file() or not leaks(path.read_bytes()), name


def check_private(folder: Path, *, but: Iterable[str] = ()) -> set[str]:
    """Nothing in a folder may be read or changed by others than its owner; the names of all that is there."""
    found = set()
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        with contextlib.suppress(FileNotFoundError):  # of a moment, while it runs
            mode = stat.S_IMODE(path.stat().st_mode)
            assert name in but or mode == (0o700 if path.is_dir() else 0o600), f"{name}: {mode:o}"
            found.add(name)
    return found


def streamrec(*words: object, cwd: Path) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "streamrec", *map(str, words)]
    return forked.run(
        command, capture_output=True, timeout=120, cwd=cwd, env=environment(PYTHONPATH=str(ROOT))
    )


@pytest.mark.parametrize(
    "address",
    [
        f"rtsp://anna:{PASSWORD}@127.0.0.1:{{port}}/{KEY}/live?{QUERY}",
        f"RTSP://anna:{quote(PASSWORD, safe='')}@localhost:{{port}}/live;{QUERY.replace('&', ';')}#{KEY}",
        f"http://127.0.0.1:{{port}}/{KEY}/film.mp4?{QUERY}",
        f"rtmp://127.0.0.1:{{port}}/live/{KEY} playpath={VALUES['sid']} token={VALUES['k']}",
        f"rtsp:/anna:{PASSWORD}@127.0.0.1:{{port}}/live?{QUERY}",
        f"127.0.0.1:{{port}}/{KEY}?{QUERY}",
    ],
)
def test_a_camera_that_does_not_answer_is_told_without_its_secrets(tmp_path, models, address):  # noqa: F811
    address = address.format(port=free_port())
    outputs = [
        "--jsonl",
        "lines.jsonl",
        "--history",
        "events.db",
        "--evidence",
        "evidence",
        "--record",
        "record",
    ]
    ran = streamrec(
        "run",
        address,
        "--model",
        models / "wave.safetensors",
        "--no-show",
        "--retries",
        "0",
        *outputs,
        cwd=tmp_path,
    )
    assert ran.returncode == 2 and ran.stderr.count(b"\n") <= 2 and b"Traceback" not in ran.stderr
    assert b"127.0.0.1" in ran.stderr or b"localhost" in ran.stderr
    assert not leaks(ran.stdout + ran.stderr), ran.stderr
    search(tmp_path)


@pytest.mark.parametrize(
    "words",
    [
        ["run", "ADDRESS", "more"],
        ["ADDRESS"],
        ["run", "--no-such=ADDRESS"],
        ["watch", "ADDRESS"],
        ["run", "x", "--model", "ADDRESS"],
        ["events", "ADDRESS"],
        ["run", "synthetic", "--web", "127.0.0.1:0", "--web-access", "ADDRESS"],
        ["run", "synthetic", "--no-show", "--save", "ADDRESS"],
        ["eval", "synthetic", "ADDRESS"],
        ["run", "synthetic", "--sink", "ADDRESS"],
    ],
)
def test_what_was_typed_in_the_wrong_place_is_echoed_without_its_secrets(tmp_path, words):
    address = f"rtsp://anna:{PASSWORD}@10.0.0.7/{KEY}?{QUERY}"
    ran = streamrec(*(word.replace("ADDRESS", address) for word in words), cwd=tmp_path)
    assert ran.returncode == 2 and not leaks(ran.stdout + ran.stderr), ran.stderr.decode()


def test_a_camera_is_recognized_and_its_secrets_are_in_no_output(tmp_path, models):  # noqa: F811
    with rtsp_camera(user="anna", password=PASSWORD, size=(320, 240), fps=15) as camera:
        place = f"127.0.0.1:{camera.port}/live"
        out = tmp_path / "out"
        out.mkdir()
        outputs = [
            "--save",
            "seen.mp4",
            "--jsonl",
            "lines.jsonl",
            "--history",
            "events.db",
            "--evidence",
            "evidence",
        ]
        command = [sys.executable, "-m", "streamrec", "run", f"rtsp://anna:{PASSWORD}@{place}?{QUERY}"]
        command += [
            "--model",
            f"{models}/wave.safetensors",
            "--no-show",
            "--retries",
            "0",
            "--max-seconds",
            "2",
        ]
        command += [*outputs, "--record", "record", "--record-pictures", "full"]
        with subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=out,
            env=environment(PYTHONPATH=str(ROOT)),
        ) as process:
            assert process.stdout is not None
            said = process.stdout.readline()  # it has begun
            if sys.platform == "linux":
                listed = Path(f"/proc/{process.pid}/cmdline").read_bytes()
                assert not leaks(listed) and b"127.0.0.1" in listed and b"lines.jsonl" in listed
            said += process.communicate(timeout=120)[0]
        assert process.returncode == 0, said.decode()
        assert b"wave started" in said and not leaks(said)
        search(out)
        assert {"seen.mp4", "lines.jsonl", "events.db"} <= {path.name for path in out.iterdir()}
        assert any((out / "evidence").rglob("*.mp4")) and any((out / "record").iterdir())
        refused = streamrec(
            "run",
            f"rtsp://anna:{VALUES['sid']}@{place}",
            "-m",
            "fight",
            "--no-show",
            "--retries",
            "0",
            cwd=tmp_path,
        )
        assert b"the camera refused the user or the password" in refused.stderr
        assert not leaks(refused.stdout + refused.stderr)


@pytest.mark.parametrize("password", ["p@ss/w:rd #1?", "50%", "12/34", ""])
@pytest.mark.parametrize("make", [rtsp_camera, http_camera])
def test_a_camera_takes_a_password_as_people_type_it(make, password):
    with make(user="anna", password=password, size=(320, 240), fps=15) as camera:
        scheme, _, rest = camera.partition("://")
        login = f"anna:{password}" if password else "anna"  # a user without a password logs in too
        source = open_source(f"{scheme}://{login}@{rest.rpartition('@')[2]}", retries=0)
        with closing(iter(source)) as frames:
            assert next(frames).image.shape == (240, 320, 3)


def test_a_percent_sign_that_was_read_as_quoting_is_explained():
    with (
        rtsp_camera(user="anna", password="x%20y", size=(320, 240)) as camera,
        pytest.raises(
            SourceError, match=r"refused the user or the password \(in an address, a % of the password is"
        ),
    ):
        next(iter(open_source(camera.replace("x%2520y", "x%20y"), retries=0)))


@pytest.mark.skipif(os.name != "posix", reason="other rights")
def test_what_lets_others_in_is_told_where_others_can_read_it(tmp_path, capsys):
    access, page = tmp_path / "page.access", tmp_path / "page.pem"
    access.write_text(make_token()[1])
    page.write_text("a key")
    for mode, told in ((0o600, ""), (0o666, "changed"), (0o640, "read")):
        access.chmod(mode)
        page.chmod(mode)
        page_settings("127.0.0.1:0", access, None, page)
        said = capsys.readouterr().err
        assert said.count(f"can be {told} by others than its owner; chmod 600 ") == (2 if told else 0)


@pytest.mark.skipif(os.name != "posix", reason="other rights")
@pytest.mark.parametrize("command", ["run", "watch"])
def test_what_is_written_is_for_its_owner_alone_while_it_is_written_too(tmp_path, models, command):  # noqa: F811
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "cameras.toml").write_text(
        f'[[camera]]\nname = "drawn"\naddress = "synthetic:1"\nmodel = "{models}/wave.safetensors"\n'
    )
    outputs = ["--history", "events.db", "--jsonl", "lines.jsonl", "--evidence", "new/evidence"]
    outputs += ["--record", "record", "--record-pictures", "full", "--max-seconds", "4"]
    words = ["watch", tmp_path / "cameras.toml", *outputs, "--predictions"]
    if command == "run":
        words = ["run", "synthetic:1", "--no-show", "--model", models / "wave.safetensors", *outputs]
        words += ["--save", "seen.mp4"]
    with forked.Popen(
        [sys.executable, "-m", "streamrec", *map(str, words)],
        cwd=out, env=environment(PYTHONPATH=str(ROOT)), stdout=subprocess.DEVNULL, umask=0,
    ) as process:  # fmt: skip
        while process.poll() is None:
            check_private(out)
            time.sleep(0.02)
        assert process.returncode == 0
    found = check_private(out)
    assert {"events.db", "lines.jsonl", "record"} <= found
    assert any(name.startswith("new/evidence/") and name.endswith(".mp4") for name in found)
    assert command == "watch" or "seen.mp4" in found


def test_watch_and_its_page_show_no_secret(tmp_path, models):  # noqa: F811
    closed, port = free_port(), free_port()
    secret = tmp_path / "given"
    secret.mkdir()
    (secret / "password").write_text(PASSWORD)
    (secret / "address").write_text(f"rtsps://127.0.0.1:{closed}/{KEY}?{QUERY}")
    (secret / "cameras.toml").write_text(
        f"""
        [defaults]
        model = "{models}/wave.safetensors"
        [[camera]]
        name = "whole"
        address = "rtsp://anna:{PASSWORD}@127.0.0.1:{closed}/live?{QUERY}"
        [[camera]]
        name = "filed"
        address = "http://127.0.0.1:{closed}/{KEY}/video"
        user = "anna"
        password_file = "password"
        [[camera]]
        name = "key"
        address_file = "address"
        [[camera]]
        name = "drawn"
        address = "synthetic:1"
        [[webhook]]
        url = "http://127.0.0.1:{closed}/hooks/{KEY}?{QUERY}"
        token = "{VALUES["sid"]}"
        secret = "{VALUES["jwt"]}"
        [evidence]
        folder = "../out/evidence"
        """
    )
    for path in secret.iterdir():
        path.chmod(0o644)
    out = tmp_path / "out"
    out.mkdir()
    outputs = ["--jsonl", out / "lines.jsonl", "--history", out / "events.db", "--record", out / "record"]
    with watching(secret / "cameras.toml", *outputs, "--web", f"127.0.0.1:{port}") as watch:
        watch.wait_for("drawn  wave started")
        seen = b""
        url = f"http://127.0.0.1:{port}"
        with httpx.Client(base_url=url, headers={"Origin": url}, timeout=20) as client:
            client.headers["X-CSRF-Token"] = client.get("/api/v1/session").json()["csrf"]
            revision = client.get("/api/v1/settings").json()["revision"]
            change = {"name": "new", "address": f"rtsp://127.0.0.1:{closed}/{KEY}?{QUERY}", "login": "new"}
            change |= {"user": "anna", "password": PASSWORD}
            body = {"revision": revision, "camera": None, "change": change}
            answers = [client.post("/api/v1/settings/try", json=body)]
            answers += [
                client.put("/api/v1/settings/camera", json={**body, "change": change | more})
                for more in (
                    {"fps": "x"},
                    {"model": KEY + "?" + PASSWORD},
                    {"login": PASSWORD},
                    {"address": PASSWORD},
                )
            ]
            assert {answer.status_code for answer in answers} == {422}
            added = client.put("/api/v1/settings/camera", json=body)
            assert added.status_code == 200, added.text
            watch.wait_for("cameras.toml: added new")
            watch.wait_for("new  connecting: nothing listens")
            answers += [
                added,
                *map(client.get, ("/", "/healthz", "/metrics", "/api/v1/cameras", "/api/v1/events")),
            ]
            answers += [
                client.get("/api/v1/settings"),
                client.get("/api/v1/openapi.json"),
                client.get(f"/{KEY}"),
            ]
            for answer in answers[:-1]:
                seen += answer.content + str(answer.headers).encode()
            with connect(f"ws://127.0.0.1:{port}/api/v1/live", origin=url) as socket:
                socket.send(json.dumps({"want": {"drawn": 160}}))
                ends = time.monotonic() + 2.0
                while (left := ends - time.monotonic()) > 0:
                    try:
                        got = socket.recv(timeout=left)
                    except TimeoutError:
                        break
                    seen += got.encode() if isinstance(got, str) else got
        assert not leaks(seen)
        code, _ = watch.stop()
    assert code == 0 and "Traceback" not in watch.text
    assert not leaks(watch.text.encode()), watch.text
    assert "what happens after an event is other now" not in watch.text  # only a camera was added
    for name in ("cameras.toml", "password", "address"):
        assert watch.text.count(f"{name} can be read by others than its owner; chmod 600 ") == 1
    search(out)
    search(secret, but=("cameras.toml", "password", "address", "cameras.secrets/"))
    added_text = (secret / "cameras.toml").read_text().partition('"new"')[2].partition("[[webhook]]")[0]
    assert "password_file" in added_text and "address_file" in added_text and not leaks(added_text.encode())
    kept = check_private(secret / "cameras.secrets")
    assert len(kept) == 2 and stat.S_IMODE((secret / "cameras.secrets").stat().st_mode) == 0o700

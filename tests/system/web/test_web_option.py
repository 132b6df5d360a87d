"""What `--web` brings, and what it leaves alone when nobody asks for it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib

import httpx
import pytest

from tests.helpers import forked
from tests.helpers.cameras import free_port
from tests.helpers.pages import wait_for
from tests.helpers.paths import ROOT
from tests.system.test_watch import models, watching, write  # noqa: F401

GUESTS = {"fastapi", "uvicorn", "starlette", "pydantic", "websockets", "tomlkit", "httptools"}


def fresh(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def streamrec(*words: object, **options) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "streamrec", *map(str, words)]
    return forked.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT, **options)


def test_without_web_none_of_its_packages_is_imported():
    loaded = fresh(
        "import sys, json, streamrec.commands.watch_job, streamrec.commands.app; print(json.dumps(list(sys.modules)))"
    )
    assert not GUESTS & {name.split(".")[0] for name in json.loads(loaded)}


def test_the_page_needs_no_torch():
    loaded = fresh(
        "import sys, json, streamrec.web.server, streamrec.web.settings_routes; print(json.dumps(list(sys.modules)))"
    )
    assert not {"torch", "torchvision", "timm"} & {name.split(".")[0] for name in json.loads(loaded)}


def test_where_the_packages_are_missing_it_says_what_to_install(tmp_path):
    code = (
        "import sys; sys.modules['fastapi'] = None; sys.argv = ['streamrec', 'watch', 'x.toml', '--web']\n"
        "from streamrec.commands.process import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert "pip install 'streamrec[web]'" in done.stderr


def test_all_files_of_the_page_are_in_the_wheel():
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"][
        "streamrec"
    ]
    assert "web/page/*" in wanted
    there = {path.name for path in (ROOT / "streamrec" / "web" / "page").iterdir()}
    assert {"index.html", "login.html", "api.html", "style.css", "app.js", "icon.svg"} <= there


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--web", "0.0.0.0:8765"], "needs a password or a token"),
        (["--web", ":99999"], "give HOST:PORT"),
        (["--web-access", "x"], "belong to --web"),
        (
            ["--web", "127.0.0.1:1", "--web-access", "nowhere.access"],
            "streamrec access nowhere.access` makes it",
        ),
        (["--web", "127.0.0.1:0", "--web-name", "https://a.example"], "needs --web-access"),
    ],
)
def test_a_mistake_is_one_sentence(words, says, tmp_path, models):  # noqa: F811
    path = write(tmp_path, models, door='address = "synthetic:1"')
    done = streamrec("watch", path, *words)
    assert done.returncode == 2
    assert says in done.stderr and done.stderr.count("\n") == 1


def test_access_writes_a_file_that_opens_the_page(tmp_path):
    path = tmp_path / "page.access"
    done = streamrec("access", path, input="correct horse battery\n")
    assert done.returncode == 0 and "battery" not in done.stderr + path.read_text()
    done = streamrec("access", path, "--token")
    token = done.stdout.strip()
    assert token not in done.stderr  # so that a program can take it
    from streamrec.web.auth import Access

    access = Access.read(path, {})
    assert access.log_in("", "correct horse battery") and access.token_of(token)
    assert streamrec("access", path, input="short\n").returncode == 2


def test_watch_shows_a_page_follows_its_changes_and_ends_in_time(tmp_path, models):  # noqa: F811
    path = write(tmp_path, models, door='address = "synthetic:1"')
    port = free_port()
    with watching(path, "--web", f"127.0.0.1:{port}") as watch:
        url = f"http://127.0.0.1:{port}"
        assert watch.wait_for("the page is at").rstrip().endswith(f"{url}/")
        watch.wait_for("door  wave started")
        with httpx.Client(base_url=url, headers={"Origin": url}, timeout=20) as client:
            (door,) = client.get("/api/v1/cameras").json()["cameras"]
            assert door["state"] == "live" and door["label"] == "wave" and door["frames"] > 0
            assert client.get("/api/v1/events").json()["events"][0]["label"] == "wave"
            client.headers["X-CSRF-Token"] = client.get("/api/v1/session").json()["csrf"]
            said = client.get("/api/v1/settings").json()
            change = {"name": "door", "address": "synthetic:1", "region": [0.0, 0.0, 0.5, 0.5], "model": ""}
            body = {"revision": said["revision"], "camera": "door", "change": change}
            assert client.put("/api/v1/settings/camera", json=body).status_code == 200
            watch.wait_for("cameras.toml: changed door", 5.0)
            wait_for(lambda: client.get("/api/v1/cameras").json()["cameras"][0]["width"] == 320)
            whole = client.get("/api/v1/settings/whole", params={"camera": "door"})
            assert whole.status_code == 200 and len(whole.content) > 5_000
        code, took = watch.stop()
    assert code == 0 and took < 5.0
    assert "Traceback" not in watch.text


def test_run_shows_a_page_too(tmp_path):
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "streamrec",
        "run",
        "synthetic:1",
        "--model",
        "synthetic",
        "--web",
        f"127.0.0.1:{port}",
    ]
    command += ["--max-seconds", "20", "--no-show"]
    with forked.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT
    ) as process:
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:

                def answers() -> bool:
                    try:
                        cameras = client.get("/api/v1/cameras").json()["cameras"]
                    except httpx.HTTPError:
                        return False
                    return bool(cameras and cameras[0]["frames"])

                wait_for(answers, 30)
                assert client.get("/healthz").status_code == 200
                assert client.get("/api/v1/settings").status_code == 404  # there is no file to change
        finally:
            process.terminate()
            out = process.communicate(timeout=30)[0]
    assert re.search(r"the page is at http://127\.0\.0\.1:\d+/", out)
    assert "Traceback" not in out


def test_web_may_stand_alone():

    done = streamrec("watch", "nowhere.toml", "--web")
    assert "nowhere.toml cannot be read" in done.stderr
    done = streamrec("watch", "--web", "nowhere.toml")
    assert "nowhere.toml cannot be read" in done.stderr

"""Ray's workers as forks, with a script that stands for Ray's own worker; without Ray."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streamrec.commands.fleet import workers
from tests.helpers.pages import wait_for
from tests.helpers.paths import ROOT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux alone")

# As `ray start`: it starts the fork server, and then one worker for each line that it reads.
_STARTS = f"""
import json, os, subprocess, sys
sys.path.insert(0, {str(ROOT)!r})
from streamrec.commands.fleet import workers
worker = workers.start(sys.argv[1])
for line in sys.stdin:
    words = [sys.executable, worker, "--number=1", "two words"]
    subprocess.run(words, env={{**os.environ, **json.loads(line)}}, cwd=sys.argv[2])
"""
_OWN = """
import json, os, sys
if __name__ == "__main__":
    print(json.dumps({
        "words": sys.argv, "folder": os.getcwd(), "given": os.environ.get("GIVEN"), "parent": os.getppid(),
        "imported": "onnxruntime" in sys.modules, "ray": "ray" in sys.modules,
        "threads": len(os.listdir("/proc/self/task")), "path": sys.path[0], "reaps": os.system("exit 3"),
        "address": os.environ["STREAMREC_FLEET_FORKS"], "oom": open("/proc/self/oom_score_adj").read().strip(),
    }), flush=True)
"""


class Starts:
    """A process that stands for `ray start`."""

    def __init__(self, folder: Path) -> None:
        self.own = folder / "own worker.py"
        self.own.write_text(_OWN, encoding="utf-8")
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-c", _STARTS, self.own, folder],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip

    def worker(self, **environment: str) -> dict[str, Any]:
        """What a worker says of itself."""
        assert self.process.stdin and self.process.stdout
        print(json.dumps(environment), file=self.process.stdin, flush=True)
        return dict(json.loads(self.process.stdout.readline()))

    def fork_server(self) -> int:
        """Its process: the first one that was started."""
        one, *_ = wait_for(
            lambda: Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        )
        return int(one)


@pytest.fixture
def starts(tmp_path) -> Iterator[Starts]:
    one = Starts(tmp_path)
    yield one
    one.process.kill()
    one.process.communicate()


def test_a_worker_is_forked_with_its_words_environment_folder_and_streams(starts):
    for given in ("first", "second"):  # the first one waits until the fork server has imported
        worker = starts.worker(GIVEN=given)
        assert worker["words"] == [str(starts.own), "--number=1", "two words"]
        assert worker["folder"] == str(starts.folder) == worker["path"]
        assert worker["given"] == given
        assert worker["parent"] == starts.fork_server()
        assert worker["imported"]
        assert not worker["ray"]  # Ray reads its environment when it is imported
        assert worker["threads"] == 1
        assert os.waitstatus_to_exitcode(worker["reaps"]) == 3
        assert worker["oom"] == "1000"  # where memory is short, workers end before what watches over them


def test_without_a_fork_server_a_worker_starts_by_itself(starts):
    server = starts.fork_server()
    os.kill(server, signal.SIGKILL)
    worker = starts.worker(GIVEN="here")
    assert worker["words"] == [str(starts.own), "--number=1", "two words"]
    assert worker["given"] == "here"
    assert not worker["imported"]


def test_more_than_a_message_holds_makes_a_worker_start_by_itself(starts):
    worker = starts.worker(GIVEN="here", **{f"LONG_{n}": "x" * 100_000 for n in range(5)})
    assert worker["given"] == "here"
    assert not worker["imported"]
    assert starts.worker()["imported"]  # the fork server goes on


def test_a_connection_that_says_nothing_holds_up_nobody(starts):
    address = Path(starts.worker()["address"])
    assert address.parent.stat().st_mode & 0o777 == 0o700
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as silent:
        silent.connect(str(address))
        assert starts.worker()["imported"]


def test_a_process_of_another_user_gets_nothing(monkeypatch):
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with one, other:
        assert workers._is_ours(one)
        monkeypatch.setattr(os, "getuid", lambda: 12_345)
        assert not workers._is_ours(one)


def test_of_a_fork_server_that_stands_still_no_second_worker_comes(monkeypatch, tmp_path):
    address = str(tmp_path / "forks")
    monkeypatch.setenv("STREAMREC_FLEET_FORKS", address)
    monkeypatch.setattr(workers, "_START_SECONDS", 0.1)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(address)
        listener.listen()
        assert not workers._forked()  # it becomes the worker itself
        connection, _ = listener.accept()
        with connection, pytest.raises(OSError, match="Broken pipe"):
            connection.send(b"y")


def test_the_fork_server_ends_with_what_started_it_and_leaves_no_file(starts):
    server = starts.fork_server()
    address = Path(starts.worker()["address"])
    starts.process.kill()
    wait_for(lambda: not _lives(server))
    assert not address.parent.exists()


def _lives(pid: int) -> bool:
    try:
        return "(zombie)" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False

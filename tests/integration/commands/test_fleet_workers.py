"""Ray's workers as forks, with a script that stands for Ray's own worker; without Ray."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.paths import ROOT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux alone")

# As `ray start`: it begins the fork server, and then one worker for each line that it reads.
_STARTS = f"""
import json, os, subprocess, sys
sys.path.insert(0, {str(ROOT)!r})
from streamrec.commands.fleet import workers
worker = workers.begin(sys.argv[1])
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
        """Its process: the first one that was begun."""
        one, *_ = _until(
            lambda: Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        )
        return int(one)


def _until(condition: Callable[[], Any]) -> Any:
    ends = time.monotonic() + 60.0
    while not (found := condition()):
        assert time.monotonic() < ends
        time.sleep(0.01)
    return found


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


def test_without_a_fork_server_a_worker_begins_by_itself(starts):
    server = starts.fork_server()
    os.kill(server, signal.SIGKILL)
    worker = starts.worker(GIVEN="here")
    assert worker["words"] == [str(starts.own), "--number=1", "two words"]
    assert worker["given"] == "here"
    assert not worker["imported"]


def test_the_fork_server_ends_with_what_began_it(starts):
    server = Path(f"/proc/{starts.fork_server()}")
    assert starts.worker()["imported"]
    starts.process.kill()
    _until(lambda: not server.exists() or "(zombie)" in (server / "status").read_text())

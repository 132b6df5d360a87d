"""What watches the cameras of the soak: a ``Watcher`` in a process of its own, that tells all that it sees.

``python -m tests.system.faults.watching`` obeys lines on its standard input (``add NAME ADDRESS``, ``remove NAME``,
``leave``) and writes lines of JSON. Cameras, proxies and faults live elsewhere, so that what this process holds is
streamrec's alone.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import queue
import sys
import threading
import time
from pathlib import Path
from typing import Any

from streamrec import Recognizer
from streamrec.pipeline.watcher import Camera, Watcher
from streamrec.sources.open import open_source
from streamrec.types import Health, Result
from tests.system.faults.truth import Seen

TICK = 0.25  # seconds between two looks at what is asked
REST_SECONDS = 15.0  # a camera's thread that waits for a dead line has so long until its last word is taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="fight")
    parser.add_argument("--every", type=float, default=2.0, help="seconds between samples")
    arguments = parser.parse_args()
    Watching(Recognizer.load(arguments.model), arguments.every).run()


class Watching:
    """The watcher, and what it has told."""

    def __init__(self, recognizer: Recognizer, every: float) -> None:
        self._watcher = Watcher(recognizer, on_health=self._tell_state)
        self._every = every
        self._asked: queue.SimpleQueue[list[str]] = queue.SimpleQueue()
        self._cameras: dict[str, Camera] = {}  # "north", and when it was taken out and added again "north#2"
        self._gone: dict[str, float] = {}  # when it was taken out
        self._last: dict[str, tuple[int, int]] = {}  # segment and index of the result before

    def run(self) -> None:
        threading.Thread(target=self._listen, daemon=True).start()
        tell("ready")
        due = time.monotonic()
        while self._obey():
            if not self._watcher.cameras:
                time.sleep(TICK)
            for result in self._watcher.step(TICK):
                self._see(result)
            if time.monotonic() >= due:
                due = time.monotonic() + self._every
                self._forget()
                tell("sample", **held(), cameras={name: counts(c) for name, c in self._cameras.items()})
        asked = time.monotonic()
        self._watcher.stop()
        for result in self._watcher.step(0.0):
            self._see(result)
        self._watcher.close()
        seconds, stuck = time.monotonic() - asked, reading("capture")
        until = time.monotonic() + REST_SECONDS
        while reading("capture") and time.monotonic() < until:
            time.sleep(TICK)
        final = {name: counts(camera) for name, camera in self._cameras.items()}
        tell("left", seconds=seconds, stuck=stuck, threads=reading("capture", "read "), cameras=final)

    def _listen(self) -> None:
        for line in sys.stdin:
            self._asked.put(line.split())
        self._asked.put(["leave"])

    def _obey(self) -> bool:
        """Do what was asked meanwhile; whether to go on."""
        while not self._asked.empty():
            what, *words = self._asked.get()
            if what == "leave":
                return False
            if what == "add":
                name, address = words
                self._cameras[name] = self._watcher.add(name, open_source(address, retries=None))
            elif what == "remove":
                self._watcher.remove(words[0])
                self._gone[words[0]] = time.monotonic()
        return True

    def _forget(self) -> None:
        """Take the last word of those that are gone, and hold them no longer."""
        for name, when in list(self._gone.items()):
            if time.monotonic() - when >= REST_SECONDS:
                tell("gone", camera=name, counts=counts(self._cameras.pop(name)))
                del self._gone[name]

    def _see(self, result: Result) -> None:
        frame = result.frame
        key = (frame.segment, frame.index)
        if self._last.get(frame.source) == key:
            return  # the same result once more, for what ended with it
        self._last[frame.source] = key
        seen = Seen.of(frame.image, frame.segment, frame.timestamp)
        tell("picture", camera=frame.source, index=frame.index, seen=seen.as_dict())

    def _tell_state(self, camera: Camera, health: Health) -> None:
        tell("state", camera=camera.name, state=str(health.state), reason=health.reason)


def reading(*kinds: str) -> list[str]:
    """Names of the threads that read cameras, those of other cameras and of those that are gone too."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(kinds)]


def counts(camera: Camera) -> dict[str, Any]:
    """What became of a camera's pictures; ``frames`` is what the source says that it gave."""
    said, health = camera.counts, camera.source.health
    return {
        "state": str(camera.health.state), "reason": camera.health.reason,
        "read": said.read, "recognized": said.recognized, "dropped": dict(said.dropped), "waiting": said.waiting,
        "frames": health.frames, "refused": dict(health.refused), "reconnects": dict(health.reconnects),
    }  # fmt: skip


def held() -> dict[str, float | None]:
    """What this process holds now: memory in MB, threads (those of libraries too), file descriptors."""
    own = Path("/proc/self")
    pages = int((own / "statm").read_text().split()[1])
    return {
        "memory": pages * os.sysconf("SC_PAGE_SIZE") / 1e6,
        "threads": len([*(own / "task").iterdir()]),
        "files": len([*(own / "fd").iterdir()]) - 1,  # without the one that lists them
        "heap": in_use(),
        "cpu": time.process_time(),
    }


class _MallInfo(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
    ))  # fmt: skip


_ASK = getattr(ctypes.CDLL(None), "mallinfo2", None)
if _ASK is not None:
    _ASK.restype = _MallInfo


def in_use() -> float | None:
    """MB that were asked of glibc's allocator and not given back to it; None: another one is used."""
    if _ASK is None:
        return None
    said = _ASK()
    return (said.uordblks + said.hblkhd) / 1e6


def tell(what: str, **values: Any) -> None:
    sys.stdout.write(json.dumps({"what": what, "at": time.monotonic(), **values}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

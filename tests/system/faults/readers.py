"""A reader in a process of its own, that tells what it sees: ``python -m tests.system.faults.readers NAME``.

The address comes as the first line of standard input, so that no list of processes shows its password; another
line, or the end of it, asks the reader to leave. Standard output has one JSON object a line: ``ready``, then
``picture``, ``state``, ``counts``, and at last ``end`` and ``left``.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.system.faults.truth import Seen

AGAIN_SECONDS = 1.0  # what users write between two tries


class Teller:
    """Writes what happens, from any thread."""

    def __init__(self, work: float) -> None:
        self.leaving = threading.Event()
        self._work = work
        self._lock = threading.Lock()
        self._state: tuple[str, str] | None = None

    def tell(self, what: str, **more: Any) -> None:
        line = json.dumps({"what": what, "at": time.monotonic(), **more})
        with self._lock:
            print(line, flush=True)

    def picture(self, image: np.ndarray, segment: int = 0, timestamp: float = 0.0) -> None:
        self.tell("picture", seen=Seen.of(image, segment, timestamp).as_dict())
        if self._work:
            time.sleep(self._work)

    def state(self, state: str, reason: str = "") -> None:
        if (state, reason) != self._state:
            self._state = (state, reason)
            self.tell("state", state=state, reason=reason)


def by_streamrec(address: str, teller: Teller) -> None:
    """streamrec's capture loop, of a camera that is to be read day and night."""
    from streamrec.pipeline.capture import capture
    from streamrec.sources.open import NetworkSource, open_source
    from streamrec.types import Health

    def tell(health: Health) -> None:
        teller.state(str(health.state), health.reason)

    def count() -> None:
        before: dict[str, Any] = {}
        while True:
            health = source.health
            now = {"refused": dict(health.refused), "reconnects": dict(health.reconnects)}
            if now != before:
                before = now
                teller.tell("counts", frames=health.frames, **now)
            if over.wait(0.1):
                break
        health = source.health  # the last word, with the number of pictures
        teller.tell(
            "counts", frames=health.frames, refused=dict(health.refused), reconnects=dict(health.reconnects)
        )
        teller.state(str(health.state), health.reason)

    def leave() -> None:
        teller.leaving.wait()
        asked.append(time.monotonic())
        frames.close()

    asked: list[float] = []
    over = threading.Event()
    source = open_source(address)
    if isinstance(source, NetworkSource):
        source = NetworkSource(address, retries=None)  # for ever, from the first opening on
    source.on_health = tell
    counter = threading.Thread(target=count)
    counter.start()
    try:
        with capture(source, capacity=1 if source.live else 4) as frames:
            threading.Thread(target=leave, daemon=True).start()
            for frame in frames:
                teller.picture(frame.image, frame.segment, frame.timestamp)
    finally:
        over.set()
        counter.join()
        if asked:
            names = [t.name for t in threading.enumerate() if t.name.startswith("capture")]
            teller.tell("left", seconds=time.monotonic() - asked[0], threads=names)


def by_opencv(address: str, teller: Teller) -> None:
    """The loop that everybody writes: read, and open again when that fails."""
    import cv2

    endless = "://" in address
    what: int | str = int(address) if address.isdecimal() else address
    video = cv2.VideoCapture(what)
    while not teller.leaving.is_set():
        ok, image = video.read()
        if ok:
            teller.state("live")
            teller.picture(image)
            continue
        teller.state("lost")
        if not endless:
            return
        video.release()
        teller.leaving.wait(AGAIN_SECONDS)
        video = cv2.VideoCapture(what)


def by_vidgear(address: str, teller: Teller) -> None:
    """vidgear's CamGear, a thread that reads for us; opened again when it has no more pictures."""
    from vidgear.gears import CamGear

    endless = "://" in address
    what: int | str = int(address) if address.isdecimal() else address
    while not teller.leaving.is_set():
        try:
            stream = CamGear(source=what).start()
        except RuntimeError as error:
            teller.state("lost", str(error))
            if not endless:
                raise
            teller.leaving.wait(AGAIN_SECONDS)
            continue
        while not teller.leaving.is_set():
            image = stream.read()
            if image is None:
                break
            teller.state("live")
            teller.picture(image)
        teller.state("lost")
        stream.stop()
        if not endless:
            return


READERS: dict[str, Callable[[str, Teller], None]] = {
    "streamrec": by_streamrec,
    "OpenCV loop": by_opencv,
    "vidgear": by_vidgear,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("reader", choices=READERS)
    parser.add_argument(
        "--work", type=float, default=0.0, help="seconds that each picture takes whoever reads"
    )
    arguments = parser.parse_args()
    teller = Teller(arguments.work)
    _import(arguments.reader)  # before the clock runs
    teller.tell("ready")
    address = sys.stdin.readline().strip()

    def listen() -> None:
        sys.stdin.readline()
        teller.leaving.set()

    threading.Thread(target=listen, daemon=True).start()
    try:
        READERS[arguments.reader](address, teller)
    except Exception as error:
        teller.tell("end", sentence=str(error), kind=type(error).__name__)
    else:
        teller.tell("end", sentence="", kind="")
    sys.stdout.flush()
    if arguments.reader != "streamrec":
        os._exit(0)  # their threads may be stuck for good, and that was seen


def _import(reader: str) -> None:
    needed = {
        "streamrec": ("av", "streamrec.pipeline.capture", "streamrec.sources.open"),
        "vidgear": ("vidgear.gears",),
    }
    for module in needed.get(reader, ("cv2",)):
        importlib.import_module(module)


if __name__ == "__main__":
    main()

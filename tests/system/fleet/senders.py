"""Groups of drawn cameras without pictures: each saves every second and at each event, and times its saves."""

from __future__ import annotations

import random
import statistics
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from streamrec import Recognizer
from streamrec.commands.fleet.cluster import RayLedger
from streamrec.commands.fleet.run import Files, member
from streamrec.errors import StreamrecError
from streamrec.outputs.fleet.records import SAVE_SECONDS, Batch, CameraStatus
from streamrec.outputs.fleet.wire import PACKER
from streamrec.outputs.history.entry_builder import EntryBuilder
from streamrec.outputs.history.records import RemoteResult
from streamrec.pipeline.snapshot import CameraSnapshot, bare, models_of
from streamrec.types import ActionEnded, ActionStarted, Event, Frame, Prediction

MODEL = "synthetic"
EVENT_SECONDS = 30.0  # from one event of a camera to the next one, on average
_LASTS = 3.0
_WARM = 5.0


class Sender:
    """One group."""

    def __init__(self, name: str, cameras: Sequence[str], recognizer: Recognizer, seed: int) -> None:
        self.name, self.cameras = name, tuple(cameras)
        self.saves: list[tuple[float, float]] = []  # when it ended, seconds it took
        self.failed: list[str] = []
        self.bytes = self.snapshots = self.events = self._number = 0
        self._recognizer, self._random = recognizer, random.Random(f"{seed} {name}")
        self._builder = EntryBuilder(time.time, repeatable=True)
        self._began = time.monotonic()
        self._state: Any = recognizer.initial_state()
        self._image = np.zeros((480, 640, 3), np.uint8)
        self._due = {name: self._next() for name in self.cameras}
        self._open: dict[str, float] = {}

    def _next(self) -> float:
        return time.monotonic() + self._random.expovariate(1.0 / EVENT_SECONDS)

    def run(self, over: threading.Event) -> None:
        ledger = RayLedger()
        epoch = ledger.claim(self.name, "drawn", self.cameras).epoch
        saved = time.monotonic() - self._random.random()
        while not over.is_set():
            now = time.monotonic()
            due = min(saved + SAVE_SECONDS, min(self._due.values()))
            if now < due:
                time.sleep(min(due - now, 0.2))
                continue
            saved = now
            batch = self._batch(epoch, now)
            began = time.perf_counter()
            try:
                ledger.save(batch)
            except StreamrecError as error:
                self.failed.append(str(error))
            self.saves.append((time.monotonic(), time.perf_counter() - began))
            self.bytes += sum(map(len, batch.snapshots.values()))
            self.snapshots += len(batch.snapshots)

    def _batch(self, epoch: int, now: float) -> Batch:
        results, snapshots, status = [], {}, []
        for camera in self.cameras:
            timestamp = now - self._began
            frame = Frame(self._image, round(10 * timestamp), timestamp, 0, camera, now)
            scores = np.full(len(self._recognizer.labels), 0.1, np.float32)
            prediction = Prediction.of(scores, timestamp, self._recognizer.labels)
            events: tuple[Event, ...] = ()
            if now >= self._due[camera]:
                label = self._recognizer.labels[-1]
                if camera in self._open:
                    events = (ActionEnded(label, timestamp, self._open.pop(camera), 0.9),)
                    self._due[camera] = self._next()
                else:
                    self._open[camera] = timestamp
                    events = (ActionStarted(label, timestamp, 0.8),)
                    self._due[camera] = now + _LASTS
                self.events += 1
            made = RemoteResult(frame, prediction, events)
            entries = tuple(self._builder.build(made, MODEL))
            seen = self._builder.last_seen[camera]
            results.append(RemoteResult(bare(frame), prediction, events, entries=entries, seen=seen))
            snapshots[camera] = self._snapshot(camera, frame, prediction)
            done = round(10 * timestamp)
            status.append(
                CameraStatus(name=camera, state="live", since=seen, fps=10.0, read=done, recognized=done)
            )
        self._number += 1
        return Batch(
            group=self.name,
            epoch=epoch,
            number=self._number,
            results=tuple(results),
            snapshots=snapshots,
            cameras=tuple(status),
        )

    def _snapshot(self, camera: str, frame: Frame, prediction: Prediction) -> bytes:
        return PACKER.pack(
            CameraSnapshot(
                models=models_of(self._recognizer), frame=bare(frame), captured=time.time(), live=True,
                state=self._state, prediction=prediction, events=(), open=self._builder.memory(camera),
            )
        )  # fmt: skip


def main(folder: str, seconds: float, seed: int) -> None:
    """Send for so long; what was measured is in ``sent.txt``, one line a number."""
    recognizer = Recognizer.load(MODEL)
    with member(Files(folder=Path(folder) / "fleet")) as client:
        groups = client.call("status").groups
        senders = [Sender(one.name, one.cameras, recognizer, seed) for one in groups]
        over = threading.Event()
        threads = [threading.Thread(target=one.run, args=(over,)) for one in senders]
        for thread in threads:
            thread.start()
        time.sleep(_WARM)
        print("BEGIN", flush=True)
        begin = (
            time.monotonic(),
            time.process_time(),
            sum(s.snapshots for s in senders),
            sum(s.events for s in senders),
        )
        bytes_before = sum(one.bytes for one in senders)
        time.sleep(seconds)
        wall = time.monotonic() - begin[0]
        used = time.process_time() - begin[1]
        rows = sum(one.snapshots for one in senders) - begin[2], sum(one.events for one in senders) - begin[3]
        sent = sum(one.bytes for one in senders) - bytes_before
        print("END", flush=True)
        over.set()
        for thread in threads:
            thread.join(30.0)
    took = sorted(took for one in senders for at, took in one.saves if begin[0] <= at <= begin[0] + wall)
    tens = statistics.quantiles(took, n=100)
    lines = {
        "saves a second": round(len(took) / wall, 1),
        "snapshots a second (one a camera and second is wanted)": round(rows[0] / wall),
        "starts and ends of events a second": round(rows[1] / wall, 1),
        "MB a second of snapshots": round(sent / wall / 1e6, 1),
        "ms of a save: median, 95 %, 99 %, longest":
            tuple(round(1000 * one) for one in (tens[49], tens[94], tens[98], took[-1])),
        "saves that failed": sum(len(one.failed) for one in senders),
        "cores of the senders": round(used / wall, 2),
    }  # fmt: skip
    Path(folder, "sent.txt").write_text("".join(f"{name}: {value}\n" for name, value in lines.items()))

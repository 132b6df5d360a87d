"""How quickly a stream is taught: `python benchmarks/teach.py [PART ...]`, of parts seconds, swap and kill; without a
part all of them. How well: `benchmarks/few_shot.py`.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime

sys.path.insert(0, str(Path(__file__).parents[1]))

from streamrec import Teacher
from streamrec.core import threads
from streamrec.errors import TeachError
from streamrec.evaluation.bench import commit, processor
from streamrec.teach.encoder import teachable_encoder
from streamrec.types import Frame
from tests.helpers.cameras import rtsp_camera
from tests.helpers.rtsp_server import read_stamp

PARTS = ("seconds", "swap", "kill")


class Shown:
    """Drawn features, given to a teacher as a stream would be."""

    def __init__(self, teacher: Teacher, labels: int) -> None:
        self._teacher, self._random = teacher, np.random.default_rng(0)
        self._means = self._random.normal(size=(labels + 1, teachable_encoder().size)).astype(np.float32)
        self._means[0] = 0.0
        self._frames = 0

    def show(self, label: int, seconds: float) -> None:
        """So many seconds of this label; 0 is nothing."""
        image = np.zeros((8, 8, 3), np.uint8)
        for _ in range(int(10 * seconds)):
            noise = self._random.normal(size=self._means.shape[1]).astype(np.float32)
            frame = Frame(image, self._frames, self._frames / 10, source="drawn")
            self._teacher.observe(frame, self._means[label] + noise)
            self._frames += 1


def seconds(options: argparse.Namespace) -> None:
    """From the last example to the new head in place: of drawn features, in a file on this disk."""
    for labels in (2, 5, 20):
        for total in (3, 10, 50):
            if total >= labels:
                took, worked = timed(labels, total, options.rounds)
                print(
                    f"seconds: {total:3} examples of {labels:2} labels, {len(took)} times: "
                    f"p50 {np.median(took):.2f} s, p99 {np.quantile(took, 0.99):.2f} s; "
                    f"CPU time p50 {np.median(worked):.2f} s, p99 {np.quantile(worked, 0.99):.2f} s",
                    flush=True,
                )


def timed(labels: int, total: int, rounds: int) -> tuple[list[float], list[float]]:
    """Seconds from the last of so many examples to its head in place, by the clock and of CPU time."""
    took, worked = [], []
    with tempfile.TemporaryDirectory() as folder, Teacher(None, file=Path(folder) / "drawn.teach") as teacher:
        shown = Shown(teacher, labels)
        shown.show(0, 60.0)
        teacher.nothing(60.0)
        for n in range(total - 1):
            shown.show(1 + n % labels, 2.0)
            teacher.example(f"label {n % labels}")
        for _ in range(rounds):
            shown.show(labels, 2.0)
            began, busy = time.perf_counter(), time.process_time()
            example = teacher.example(f"label {labels - 1}")
            teacher.fit()
            took.append(time.perf_counter() - began)
            worked.append(time.process_time() - busy)
            teacher.remove(example.id)
    return took, worked


def swap(options: argparse.Namespace) -> None:
    """Frames lost at the swaps of an RTSP camera whose frames are stamped with their numbers; each frame is judged."""
    with rtsp_camera(fps=options.fps, size=(320, 240)) as camera:
        for taught in (False, True):
            print(f"swap: {watched(str(camera), options.fps, options.seconds, taught)}", flush=True)


def watched(address: str, fps: float, seconds: float, taught: bool) -> str:
    """What a stream of so many seconds was like: left alone, or taught each two seconds."""
    stamps: list[int] = []
    late: list[float] = []
    swaps: list[
        tuple[int, int]
    ] = []  # stamps of the last frame by the old head, and of the first by the new one
    lost, began, head, pending, dropped = 0, 0.0, None, None, []
    with Teacher("webcam", remember=600) as teacher:
        for result in teacher.results(address, fps=fps):
            frame = result.frame
            if (stamp := read_stamp(frame.image)) is None or result.repeated:
                continue
            if not stamps:
                began, lost, head = frame.timestamp, result.dropped, teacher.head
            own = result.models[-1].prediction.labels
            if own != head.labels:
                swaps.append((stamps[-1], stamp[0]))
            head = replace(head, labels=own)
            stamps.append(stamp[0])
            late.append(result.latency)
            dropped.append(result.dropped - lost)
            passed = frame.timestamp - began
            if passed >= seconds:
                break
            if taught and passed > 4 and int(passed / 2) > len(teacher.examples):
                # Each example has a label of its own, so that each swap is seen in the labels.
                with suppress(TeachError):  # too few frames were judged on a machine that is busy
                    teacher.example(f"label {len(teacher.examples)}", seconds=2.0)
                    pending = teacher.fit_later()
        if pending is not None:
            pending.result()
    gaps = np.diff(stamps)
    late.sort()
    what = f"taught {len(swaps)} times while it runs" if taught else "left alone"
    if taught:
        whole = sum(after == before + 1 for before, after in swaps)
        what += f", at {whole} of {len(swaps)} swaps the next frame of the camera is the next one judged"
    return (
        f"{what}: {len(stamps)} frames judged, {dropped[-1]} dropped, {int((gaps - 1).clip(0).sum())} numbers of the "
        f"camera missing; latency p50 {1000 * late[len(late) // 2]:.0f} ms, "
        f"p99 {1000 * late[int(len(late) * 0.99)]:.0f} ms"
    )


KILLED = """
import sys, numpy as np
from streamrec import Teacher
from streamrec.types import Frame
teacher = Teacher(None, file=sys.argv[1])
size, frame, blank = teacher._encoder.size, 0, np.zeros((8, 8, 3), np.uint8)
while True:
    for _ in range(20):
        teacher.observe(Frame(blank, frame, frame / 10, source="drawn"), np.full(size, frame % 7, np.float32))
        frame += 1
    print(teacher.example("wave").id, flush=True)
"""


def kill(options: argparse.Namespace) -> None:
    """kill -9 at random moments while examples are given: those that were confirmed are there."""
    random = np.random.default_rng(1)
    confirmed = lost = torn = 0
    rounds = 20
    with tempfile.TemporaryDirectory() as folder:
        for n in range(rounds):
            path = Path(folder) / f"{n}.teach"
            process = subprocess.Popen(
                [sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True
            )
            assert process.stdout is not None
            confirmed_now = [int(process.stdout.readline())]
            threading.Timer(
                random.uniform(0.0, 0.4), lambda p=process: os.kill(p.pid, signal.SIGKILL)
            ).start()
            confirmed_now += [int(line) for line in process.stdout if line.endswith("\n")]
            process.wait()
            with Teacher(None, file=path) as teacher:
                there = {example.id for example in teacher.examples}
                torn += bool(teacher.notes)
            confirmed += len(confirmed_now)
            lost += len(set(confirmed_now) - there)
    print(
        f"kill: {rounds} times kill -9: {lost} of {confirmed} confirmed examples lost; "
        f"{torn} times a record that was never confirmed was cut off, and dropped"
    )


def main() -> None:
    """Measure what is named."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "parts", nargs="*", choices=[*PARTS, []], help="what to measure; all of it by default"
    )
    parser.add_argument("--rounds", type=int, default=100, help="fits of each size")
    parser.add_argument("--fps", type=float, default=15.0, help="of the camera of swap")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each stream of swap")
    options = parser.parse_args()
    threads.limit_opencv_threads()
    print(
        f"{processor()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"ONNX Runtime {onnxruntime.__version__}, commit {commit()}"
    )
    for part in options.parts or PARTS:
        globals()[part](options)


if __name__ == "__main__":
    main()

"""What each stage costs for a 640x480 frame, in one thread: `make bench`, or `python benchmarks/stages.py`.

Every stage is timed alone over the same frames, in rounds that take turns, and the median round is shown: a
machine that is slow for a moment is slow for all of them.
"""

from __future__ import annotations

import io
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import onnxruntime

from streamrec import Frame, JsonLines, Recognizer, Result, VideoFile, World, WorldSettings, draw, open_source
from streamrec.buffer import RingBuffer
from streamrec.events import EventDetector
from streamrec.overlay import Trail
from streamrec.pictures import as_bgr
from streamrec.pipeline import pace, results

FRAMES, ROUNDS = 150, 7
LIMIT = 3.0  # ms: what everything but encoder and head may cost together


def main() -> None:
    cv2.setNumThreads(1)
    world = World(WorldSettings(width=640, height=480, seconds=FRAMES / 30, fps=30.0, seed=3))
    frames = list(world)
    recognizer = Recognizer.load("synthetic", engine="onnx", threads=1)
    detector = EventDetector(recognizer.labels, recognizer.config.events)
    made = [Result(f, p, (), 0.01, 0) for f, p in zip(frames, predictions(recognizer, frames), strict=True)]
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "frames.mp4"
        with VideoFile(video, overlay=False) as sink:
            for result in made:
                sink.write(result)
        stages: dict[str, Callable[[], object]] = {
            "capture: decode H.264": lambda: [None for _ in open_source(video)],
            "capture: ring buffer": lambda: through_buffer(frames),
            "pace": lambda: list(pace(frames, 1000.0)),
            "transform": lambda: [recognizer.config.transform(as_bgr(f.image)) for f in frames],
            "events": lambda: detect(detector, made),
            "overlay": lambda: overlay(made),
            "JSON Lines": lambda: json_lines(made),
        }
        model = "encoder and head"
        stages[model] = lambda: predictions(recognizer, frames)
        stages["video file (thread of its own)"] = lambda: write_video(Path(folder) / "out.mp4", made)
        times = {name: [] for name in stages}
        for _ in range(ROUNDS):
            for name, stage in stages.items():
                begun = time.perf_counter()
                stage()
                times[name].append(1000 * (time.perf_counter() - begun) / FRAMES)
    cost = {name: statistics.median(values) for name, values in times.items()}
    cost[model] -= cost["transform"]  # a step transforms first
    print(f"640x480, ms a frame, median of {ROUNDS} rounds of {FRAMES} frames, one thread")
    print(f"{processor()}, Python {platform.python_version()}, OpenCV {cv2.__version__}, "
          f"ONNX Runtime {onnxruntime.__version__}, commit {commit()}\n")  # fmt: skip
    counted = [name for name in stages if name != model and not name.startswith("video file")]
    for name in counted:
        print(f"{name:32}{cost[name]:8.3f}")
    total = sum(cost[name] for name in counted)
    print(
        f"{'all but encoder and head':32}{total:8.3f}   {'under' if total < LIMIT else 'OVER'} {LIMIT:g} ms\n"
    )
    print(f"{model:32}{cost[model]:8.3f}   {recognizer.name} model, {recognizer.engine} engine")
    print(f"{'video file (thread of its own)':32}{cost['video file (thread of its own)']:8.3f}")
    begun = time.perf_counter()
    count = sum(1 for _ in results(frames, recognizer, fps=1000.0))
    print(f"{'results() from memory':32}{1000 * (time.perf_counter() - begun) / count:8.3f}")


def predictions(recognizer: Recognizer, frames: list[Frame]) -> list:
    state, said = recognizer.initial_state(), []
    for frame in frames:
        prediction, state = recognizer.step(frame, state)
        said.append(prediction)
    return said


def through_buffer(frames: list[Frame]) -> None:
    """Put and taken by one thread: the cost without waiting."""
    buffer: RingBuffer[Frame] = RingBuffer(4, drop_oldest=True)
    taken = iter(buffer)
    for frame in frames:
        buffer.put(frame)
        next(taken)


def detect(detector: EventDetector, made: list[Result]) -> None:
    state = detector.initial_state()
    for result in made:
        _, state = detector.step(result.prediction, result.frame.timestamp, state)


def overlay(made: list[Result]) -> None:
    trail = Trail()
    for result in made:
        trail.push(result)
        draw(result.frame.image, result, trail)


def json_lines(made: list[Result]) -> None:
    with JsonLines(io.StringIO()) as sink:
        for result in made:
            sink.write(result)


def write_video(path: Path, made: list[Result]) -> None:
    with VideoFile(path) as sink:
        for result in made:
            sink.write(result)


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def commit() -> str:
    try:
        said = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
        )
        return said.stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


if __name__ == "__main__":
    main()

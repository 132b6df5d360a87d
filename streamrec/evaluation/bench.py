"""Cost of a frame on this machine, and how many streams it can process: ``streamrec bench``."""

from __future__ import annotations

import io
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from streamrec.core import threads
from streamrec.core.image import as_bgr
from streamrec.core.version import commit, version_of
from streamrec.errors import ModelError, SourceError
from streamrec.evaluation.metrics import Latency
from streamrec.events.detector import EventDetector
from streamrec.nn.transforms import pixels_of
from streamrec.outputs.json_lines import JsonLines
from streamrec.outputs.overlay import Trail, draw
from streamrec.outputs.video_file import VideoFile
from streamrec.pipeline.loop import results
from streamrec.pipeline.ring_buffer import RingBuffer
from streamrec.pipeline.watcher import Watcher
from streamrec.runtime.engine import Engine
from streamrec.runtime.joint import open_models
from streamrec.runtime.recognizer import Recognizer, tracker_for
from streamrec.settings.tuned_file import DEFAULT_MODEL
from streamrec.sources.files import FileSource
from streamrec.sources.health import amiss
from streamrec.sources.open import open_source
from streamrec.sources.sampling import pace
from streamrec.sources.synthetic import World, WorldSettings
from streamrec.types import Frame, Prediction, Result, Source

EVERY = 1000.0  # sampling rate at which every frame is due
CAMERA = 30.0  # frames a second of the camera whose latency is measured
STREAM = 15.0  # frames a second of each stream, for the number of streams
BATCH = 8
MODEL = "encoder and head"
APART = "video file, in a thread of its own"


@dataclass(frozen=True, kw_only=True)
class BenchSettings:
    """The model that is measured, on which frames, and for how long."""

    model: str = DEFAULT_MODEL
    further: tuple[str, ...] = ()  # models that run with it, in one pass
    engine: str = "auto"
    device: str = "auto"
    threads: int | None = None  # of one step; None: what suits the model
    video: Path | None = None  # None: the synthetic world, as H.264
    size: tuple[int, int] = (1280, 720)  # of the synthetic world's frames
    frames: int = 90
    rounds: int = 5
    seconds: float = 6.0  # how long the camera is watched
    starts: int = 3  # fresh processes


@dataclass(frozen=True, kw_only=True)
class BenchReport:
    """The measurements. Rates are of the median round, and rounds take turns: ratios are more reliable than numbers."""

    machine: dict[str, Any]
    model: dict[str, Any]
    picture: dict[str, Any]
    stages: dict[str, float]  # ms a frame, each timed alone in one thread
    rates: dict[str, float]  # frames a second
    latency: dict[str, float | None]  # seconds from a frame's time at the camera to its prediction
    streams: float  # of STREAM frames a second each, of this frame size, that can be decoded and recognized
    start: dict[str, float | None] = field(default_factory=dict)  # of a fresh process

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def run_bench(settings: BenchSettings, *, log: Callable[[str], None] = lambda text: None) -> BenchReport:
    """Measure a model on this machine; ``log`` is called for each stage."""
    threads.limit_opencv_threads()
    recognizer = open_models(
        (settings.model, *settings.further),
        engine=settings.engine,
        device=settings.device,
        threads=settings.threads,
    )
    name, engine = " + ".join(recognizer.configs), recognizer._engine
    if recognizer.passes > 1:
        raise ModelError(f"{name} run in {recognizer.passes} passes, one after the other: measure each alone")
    with tempfile.TemporaryDirectory() as folder:
        log("making a video")
        video = settings.video or make_video(
            Path(folder) / "frames.mp4", settings.size, settings.frames, CAMERA
        )
        cut: list[str] = []
        frames = read_some(video, settings.frames, log=cut.append)
        log("stages")
        stages = time_stages(recognizer, video, frames, settings.rounds)
        log("sustained rates")
        rates = time_rates(engine, recognizer, video, frames, settings.rounds)
        log("latency")
        latency = watch_camera(recognizer, frames, settings.seconds)
        log("starts")
        start = time_starts(settings, frames[0].image.shape) if settings.starts else {}
    config = recognizer.config
    size = pixels_of(config.transform)
    return BenchReport(
        machine=machine(),
        model={
            "name": name,
            "engine": engine.name,
            "device": engine.device,
            "threads": settings.threads or (threads.for_engine(size) if engine.name == "onnx" else None),
            "encoder": config.encoder,
            "size": [config.pictures.width, config.pictures.height],
            "fps": config.fps,
        },
        picture={
            "size": [frames[0].image.shape[1], frames[0].image.shape[0]],
            "of": settings.video.name if settings.video else "the synthetic world, H.264",
            "frames": len(frames),
            "rounds": settings.rounds,
            "amiss": cut[0] if cut else None,
        },
        stages=stages,
        rates=rates,
        latency=latency,
        streams=rates[f"{BATCH} files"] / STREAM,
        start=start,
    )


# -- what is measured on


def make_video(path: Path, size: tuple[int, int], frames: int, fps: float, *, seed: int = 3) -> Path:
    """A video of the synthetic world in H.264."""
    world = World(WorldSettings(width=size[0], height=size[1], seconds=frames / fps, fps=fps, seed=seed))
    nothing = Prediction("", 0.0, np.zeros(0, np.float32), 0.0)
    with VideoFile(path, overlay=False) as sink:
        for frame in world:
            sink.write(Result(frame, nothing))
    return path


def read_some(video: Path, most: int, *, log: Callable[[str], object] = lambda why: None) -> list[Frame]:
    """The first frames of a video, in memory; ``log`` gets the reason where it is cut off or damaged before."""
    source = FileSource(video)
    frames = list(islice(source, most))
    if not frames:
        raise SourceError(f"{video} holds no pictures")
    if (why := amiss(source)) is not None:
        log(why)
    return frames


# -- stages


def time_stages(
    recognizer: Recognizer, video: Path, frames: Sequence[Frame], rounds: int
) -> dict[str, float]:
    """Milliseconds a frame of each stage alone, over the same frames: the median of rounds that take turns."""
    tracker = tracker_for(recognizer)
    made = [
        Result(frame, prediction, (), 0.01, 0, models=tracker.models(prediction))
        for frame, prediction in zip(frames, predictions(recognizer, frames), strict=True)
    ]
    transform = recognizer.config.pictures
    detector = EventDetector(recognizer.labels, recognizer.config.events)
    with tempfile.TemporaryDirectory() as folder:
        stages: dict[str, Callable[[], object]] = {
            "decode": lambda: _read(video, len(frames), None),
            "decode, not shown": lambda: _read(video, len(frames), transform.straight),
            "ring buffer": lambda: _through_buffer(frames),
            "pace": lambda: list(pace(frames, EVERY)),
            "transform": lambda: [transform(as_bgr(frame.image)) for frame in frames],
            MODEL: lambda: predictions(recognizer, frames),
            "events": lambda: _detect(detector, made),
            "overlay": lambda: _overlay(made),
            "JSON Lines": lambda: _json_lines(made),
            APART: lambda: _write_video(Path(folder) / "out.mp4", made),
        }
        cost = {name: seconds / len(frames) for name, seconds in in_turns(stages, rounds).items()}
    cost[MODEL] -= cost["transform"]  # a step transforms first
    return {name: 1000.0 * seconds for name, seconds in cost.items()}


def in_turns(
    stages: dict[str, Callable[[], object]], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """The median seconds of each; they take turns, so that a slow moment of the machine is slow for all of them.

    ``clock``: ``time.process_time`` for the work of all threads, which other programs disturb less.
    """
    times: dict[str, list[float]] = {name: [] for name in stages}
    for _ in range(rounds):
        for name, stage in stages.items():
            begun = clock()
            stage()
            times[name].append(clock() - begun)
    return {name: statistics.median(values) for name, values in times.items()}


def predictions(recognizer: Recognizer, frames: Sequence[Frame]) -> list[Prediction]:
    """The predictions for the frames of one stream."""
    state, found = recognizer.initial_state(), []
    for frame in frames:
        prediction, state = recognizer.step(frame, state)
        found.append(prediction)
    return found


def _read(video: Path, most: int, size: tuple[int, int] | None) -> int:
    count = 0
    for _ in FileSource(video, size=size):
        count += 1
        if count == most:
            break
    return count


def _through_buffer(frames: Sequence[Frame]) -> None:
    """Put and take in one thread: the cost without waiting."""
    buffer: RingBuffer[Frame] = RingBuffer(4, drop_oldest=True)
    taken = iter(buffer)
    for frame in frames:
        buffer.put(frame)
        next(taken)


def _detect(detector: EventDetector, made: Sequence[Result]) -> None:
    state = detector.initial_state()
    for result in made:
        _, state = detector.step(result.prediction, result.frame.timestamp, state)


def _overlay(made: Sequence[Result]) -> None:
    trail = Trail()
    for result in made:
        trail.push(result)
        draw(result.frame.image, result, trail)


def _json_lines(made: Sequence[Result]) -> None:
    with JsonLines(io.StringIO()) as sink:
        for result in made:
            sink.write(result)


def _write_video(path: Path, made: Sequence[Result]) -> None:
    with VideoFile(path) as sink:
        for result in made:
            sink.write(result)


# -- rates


def time_rates(
    engine: Engine, recognizer: Recognizer, video: Path, frames: Sequence[Frame], rounds: int
) -> dict[str, float]:
    """Frames a second: of the bare engine, of a decoder alone, and of all together, for one stream and for many."""
    transform, count = recognizer.config.pictures, len(frames)
    size = transform.straight
    pictures = [transform(frame.image) for frame in frames]
    stages: dict[str, Callable[[], object]] = {
        "engine": lambda: run_bare(engine, pictures),
        f"engine, batch of {BATCH}": lambda: run_bare(engine, pictures, BATCH),
        "decoder": lambda: _read(video, count, size),
        "memory": lambda: sum(1 for _ in results(list(frames), recognizer, fps=EVERY)),
        "file": lambda: sum(1 for _ in results(First(video, count, size), recognizer, fps=EVERY)),
        f"{BATCH} files": lambda: run_many(
            [First(video, count, size) for _ in range(BATCH)], recognizer, BATCH
        ),
    }
    seconds = in_turns(stages, rounds)
    frames_of = {f"engine, batch of {BATCH}": count // BATCH * BATCH, f"{BATCH} files": BATCH * count}
    return {name: frames_of.get(name, count) / took for name, took in seconds.items()}


def run_bare(engine: Engine, pictures: Sequence[np.ndarray], batch: int = 1) -> None:
    """The engine alone, over images of the model's size in memory: the upper limit."""
    head = tuple(np.zeros((batch, *shape), np.float32) for shape in engine.head_shapes)
    cache = tuple(np.zeros((batch, *shape), np.float32) for shape in engine.cache_shapes)
    elapsed = np.full(batch, 1.0 / engine.config.fps, np.float32)
    batches = [np.stack(pictures[n : n + batch]) for n in range(0, len(pictures) - batch + 1, batch)]
    for seen in batches:
        _, _, head, cache = engine.step(seen, elapsed, head, cache)


def run_many(sources: Sequence[Any], recognizer: Recognizer, batch: int) -> int:
    """Play all frames of all sources through one ``Watcher``; returns their number."""
    with Watcher(recognizer, fps=EVERY, batch=batch) as watcher:
        for number, source in enumerate(sources):
            watcher.add(str(number), source)
        frames = {(result.frame.source, result.frame.index) for result in watcher}
    return len(frames)


class First(Source):
    """The first frames of a file; ``size`` as for ``open_source``."""

    live = False

    def __init__(self, video: Path, most: int, size: tuple[int, int] | None = None) -> None:
        self.name = video.name
        self._source, self._most = open_source(video, size=size), most
        self.together = self._source.together

    def __iter__(self) -> Iterator[Frame]:
        for count, frame in enumerate(self._source, start=1):
            yield frame
            if count == self._most:
                return


# -- latency


class SteadyCamera(Source):
    """Frames from memory at the times of a camera; each carries the time at which it was due.

    Decoding is not included: add the stage ``decode``.
    """

    live = True

    def __init__(self, frames: Sequence[Frame], fps: float, seconds: float) -> None:
        self.name = "steady camera"
        self._frames, self._fps, self._count = frames, fps, max(2, round(fps * seconds))
        self._left = threading.Event()

    def interrupt(self) -> None:
        """End the wait for the next frame."""
        self._left.set()

    def __iter__(self) -> Iterator[Frame]:
        begun = time.monotonic()
        for number in range(self._count):
            due = begun + number / self._fps
            if self._left.wait(max(0.0, due - time.monotonic())):
                return
            frame = self._frames[number % len(self._frames)]
            image = frame.image.copy()  # as a decoder writes it
            yield replace(frame, image=image, index=number, timestamp=number / self._fps, captured=due)


def watch_camera(recognizer: Recognizer, frames: Sequence[Frame], seconds: float) -> dict[str, float | None]:
    """Latency in seconds, from a frame's due time to its prediction, at a camera of 30 frames a second."""
    latency, dropped = Latency(), 0
    for result in results(SteadyCamera(frames, CAMERA, seconds), recognizer):
        latency.update(result.latency)
        dropped = result.dropped
    return {**latency.get(), "frames": float(latency.count), "dropped": float(dropped)}


# -- start and memory

_START = """
import time
begun = time.perf_counter()
import sys, json
import numpy as np
from streamrec import Frame, open_models
models, engine, device, threads, height, width = json.loads(sys.argv[1])
recognizer = open_models(models, engine=engine, device=device, threads=threads)
image = np.zeros((height, width, 3), np.uint8)
state = recognizer.initial_state()
prediction, state = recognizer.step(Frame(image, 0, 0.0), state)
seconds = time.perf_counter() - begun
for number in range(1, 30):
    prediction, state = recognizer.step(Frame(image, number, number / recognizer.fps), state)
try:  # not getrusage: its peak begins with that of the process that started this one
    with open("/proc/self/status") as status:
        memory = next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024 / 1e6
except (OSError, StopIteration):
    memory = None
print(json.dumps([seconds, memory]))
"""


def time_starts(settings: BenchSettings, shape: tuple[int, ...]) -> dict[str, float | None]:
    """Fresh processes: seconds from ``import streamrec`` to the first prediction, and the most memory, in MB."""
    asked = json.dumps(
        [
            (settings.model, *settings.further),
            settings.engine,
            settings.device,
            settings.threads,
            *shape[:2],
        ]
    )
    found = []
    for _ in range(settings.starts):
        ran = subprocess.run(
            [sys.executable, "-c", _START, asked], capture_output=True, text=True, check=True
        )
        found.append(json.loads(ran.stdout.splitlines()[-1]))
    memory = [used for _, used in found if used is not None]
    return {
        "seconds": statistics.median(seconds for seconds, _ in found),
        "memory": max(memory) if memory else None,
    }


# -- the machine


def machine() -> dict[str, Any]:
    """The machine and the versions that the numbers depend on."""
    import onnxruntime

    return {
        "processor": processor(),
        "cores": threads.cores(),
        "python": platform.python_version(),
        "opencv": cv2.__version__,
        "onnxruntime": onnxruntime.__version__,
        "streamrec": version_of(),
        "commit": commit() or "unknown",
    }


def processor() -> str:
    """The name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


# -- for people


def text_of(report: BenchReport) -> str:
    """A table."""
    model, picture, there = report.model, report.picture, report.machine
    threads_of = (
        f", {model['threads']} thread{'' if model['threads'] == 1 else 's'}" if model["threads"] else ""
    )
    lines = [
        f"{model['name']} model, {model['engine']} engine on {model['device']}{threads_of}; "
        f"input {model['size'][0]}x{model['size'][1]}, {model['fps']:g} frames a second",
        f"frames of {picture['size'][0]}x{picture['size'][1]} ({picture['of']}), "
        f"median of {picture['rounds']} rounds of {picture['frames']}",
        *([f"{picture['of']} in part: {picture['amiss']}"] if picture.get("amiss") else []),
        f"{there['processor']}, {there['cores']} cores, Python {there['python']}, OpenCV {there['opencv']}, "
        f"ONNX Runtime {there['onnxruntime']}, streamrec {there['streamrec']}, commit {there['commit']}",
        "",
        "stage, each alone in one thread       ms a frame",
    ]
    lines += [f"{name:36}{cost:12.3f}" for name, cost in report.stages.items()]
    lines += [
        f"{'all but engine, decoder, video file':36}{_light(report.stages):12.3f}",
        "",
        f"{'rate':36}{'frames/s':>12}",
    ]
    lines += [f"{name:36}{rate:12.0f}" for name, rate in report.rates.items()]
    limit = min(report.rates["engine"], report.rates["decoder"])
    lines += [
        "",
        f"a file: {100 * report.rates['file'] / limit:.0f} % of the slower of engine and decoder; "
        f"{BATCH} files: {report.rates[f'{BATCH} files'] / report.rates['file']:.2f} times one file",
        f"streams of {STREAM:g} frames a second, decoded and recognized: {report.streams:.1f}",
        f"latency of a {CAMERA:g} fps camera, without its decoder: p50 {_ms(report.latency['p50'])}, "
        f"p99 {_ms(report.latency['p99'])} of {report.latency['frames']:.0f} frames",
    ]
    if report.start:
        memory = report.start["memory"]
        lines.append(
            f"a fresh process: first prediction after {report.start['seconds']:.2f} s"
            + ("" if memory is None else f", at most {memory:.0f} MB of memory")
        )
    return "\n".join(lines)


def _light(stages: dict[str, float]) -> float:
    return sum(cost for name, cost in stages.items() if name not in (MODEL, APART) and "decode" not in name)


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{1000 * seconds:.1f} ms"

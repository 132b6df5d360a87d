"""The best model, engine, threads and sampling rate for this machine: ``streamrec tune``.

A prediction counts from the time when it is ready (Li et al., "Towards Streaming Perception", ECCV 2020): at each
moment the last prediction is compared with the truth at that moment. A slow engine is wrong after every change, and
so is a fast one with a low sampling rate; one number weighs both. As in the paper, recorded streams are played on a
simulated clock with measured times: those of whole steps, on this machine, while it decodes the cameras.
"""

from __future__ import annotations

import importlib.util
import itertools
import math
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from streamrec.core import threads
from streamrec.data.clips import Clip, find_clips
from streamrec.errors import DataError, SourceError
from streamrec.evaluation.bench import machine, make_video
from streamrec.evaluation.evaluate import check_labels
from streamrec.evaluation.metrics import Latency
from streamrec.evaluation.perturbations import Concatenated
from streamrec.evaluation.reports import true_labels, truth_of
from streamrec.nn.config import ModelConfig
from streamrec.pipeline.watcher import BATCH
from streamrec.runtime.checkpoint import find_model
from streamrec.runtime.recognizer import Recognizer
from streamrec.settings.tuned_file import DEFAULT_MODEL, Tuned
from streamrec.sources.files import FileSource
from streamrec.sources.health import amiss
from streamrec.sources.sampling import is_next
from streamrec.sources.synthetic import LABELS, UNSEEN, World, WorldSettings
from streamrec.sources.wrappers import RealTime, Wrapper
from streamrec.types import Frame, Source

RATES = (1.0, 2.0 / 3.0, 0.5, 1.0 / 3.0)  # as parts of the model's sampling rate
EQUAL = 0.005  # accuracy: among trials within this of the best, the cheapest is chosen
MEASURED = 1.5  # seconds for which each configuration is measured
WARM = 5  # warm-up steps before that


@dataclass(frozen=True, kw_only=True)
class TuneSettings:
    """Which configurations are tried, on which data, for which cameras."""

    data: str = "synthetic"  # labelled clips as for ``train``, or the synthetic world of the model's labels
    models: tuple[str, ...] = (
        DEFAULT_MODEL,
    )  # of several input sizes, if there are: a model's size is fixed
    engines: tuple[str, ...] = ()  # empty: those that are installed
    cameras: int = 1
    size: tuple[int, int] = (1280, 720)  # of their frames
    camera_fps: float = 30.0
    rates: tuple[float, ...] = ()  # sampling rates in frames a second; empty: those of RATES
    seconds: float = 120.0  # length of the stream that is played
    relabel: tuple[tuple[str, str], ...] = ()
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Cost:
    """The measured cost of one configuration on this machine, while the cameras are decoded."""

    model: str
    engine: str
    threads: int
    seconds: tuple[float, ...]  # of each step, from the frames of all cameras to the last prediction
    share: float  # core-seconds of one step for all cameras

    @property
    def typical(self) -> float:
        """The median, in seconds."""
        return statistics.median(self.seconds)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """The result of one configuration at one sampling rate."""

    model: str
    engine: str
    threads: int
    size: tuple[int, int]  # input size of the model, width and height
    fps: float  # sampling rate
    ms: float  # median of a step for all cameras
    p50: float | None  # seconds from a frame's time to its prediction
    p99: float | None
    looked_at: float  # processed frames a second of each camera
    at_once: float  # part of the time with the right label, if predictions took no time
    when_ready: float  # part of the time with the right label, with the measured times
    cores: float  # used by the engine


@dataclass(frozen=True, kw_only=True)
class TuneReport:
    """All that was tried; ``best`` is one of them."""

    machine: dict[str, Any]
    data: str
    seconds: float
    cameras: int
    camera: dict[str, Any]
    trials: tuple[Trial, ...]
    best: Trial
    unreadable: tuple[str, ...] = ()  # messages about clips of which nothing, or only a part, was played

    @property
    def tuned(self) -> Tuned:
        """The choice, as a tuned file holds it."""
        best = self.best
        return Tuned(model=best.model, engine=best.engine, threads=best.threads, fps=round(best.fps, 3))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self) | {"tuned": self.tuned.given()}


def run_tune(settings: TuneSettings, *, log: Callable[[str], None] = lambda text: None) -> TuneReport:
    """Measure the cost of each configuration, then its accuracy on streams; ``log`` is called for each stage."""
    threads.limit_opencv_threads()
    costs: list[Cost] = []
    with tempfile.TemporaryDirectory() as folder:
        log("making a camera's video")
        video = make_video(Path(folder) / "camera.mp4", settings.size, 60, settings.camera_fps)
        with decoding(video, settings.cameras):
            for model in settings.models:
                for engine, count in ways(model, settings.engines):
                    log(f"{model}: {engine} engine, {count} thread{'' if count == 1 else 's'}")
                    costs.append(measure(model, engine, count, settings))
    trials: list[Trial] = []
    seconds, data = 0.0, ""
    unreadable: list[str] = []
    for model in settings.models:
        recognizer = Recognizer.load(model)
        log(f"{model}: the streams")
        stream, data = material(recognizer, settings, unreadable)
        seconds = stream[-1].timestamp - stream[0].timestamp
        predictions = _Predictions(stream, recognizer)
        for fps in settings.rates or tuple(recognizer.fps * part for part in RATES):
            log(f"{model}: {fps:g} frames a second")
            own = [cost for cost in costs if cost.model == model]
            trials += [_tried(stream, predictions, recognizer.config, fps, cost) for cost in own]
    return TuneReport(
        machine=machine(),
        data=data,
        seconds=seconds,
        cameras=settings.cameras,
        camera={"size": list(settings.size), "fps": settings.camera_fps},
        trials=tuple(trials),
        best=best_of(trials),
        unreadable=tuple(dict.fromkeys(unreadable)),
    )


def best_of(trials: Sequence[Trial]) -> Trial:
    """Among the trials within EQUAL of the most accurate one, the one that uses the fewest cores."""
    most = max(trial.when_ready for trial in trials)
    equal = [trial for trial in trials if trial.when_ready >= most - EQUAL]
    return min(equal, key=lambda trial: (trial.cores, -trial.when_ready))


# -- what a step takes


def ways(model: str, engines: Sequence[str] = ()) -> list[tuple[str, int]]:
    """Engines that can run the model here, each with the numbers of threads to try."""
    if not engines:
        engines = ["onnx"]
        if find_model(model).suffix == ".safetensors" and importlib.util.find_spec("torch") is not None:
            engines.append("torch")
    there = threads.cores()
    counts = [count for count in (1, 2, 4, 8) if count < there] + [min(there, 8)]
    return [(engine, count) for engine in engines for count in counts]


@contextmanager
def decoding(video: Path, cameras: int) -> Iterator[None]:
    """Decode so many cameras in other threads, in real time."""
    sources = [RealTime(FileSource(video, loop=True)) for _ in range(cameras)]
    readers = [threading.Thread(target=_read, args=(source,), daemon=True) for source in sources]
    for reader in readers:
        reader.start()
    try:
        yield
    finally:
        for source in sources:
            source.interrupt()
        for reader in readers:
            reader.join(5.0)


def _read(source: Source) -> None:
    for _ in source:
        pass


def measure(model: str, engine: str, count: int, settings: TuneSettings) -> Cost:
    """Time steps for all cameras at the model's sampling rate, in batches as ``watch`` makes them."""
    recognizer = Recognizer.load(model, engine=engine, threads=count)
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (settings.size[1], settings.size[0], 3), np.uint8)
    states = [recognizer.initial_state() for _ in range(settings.cameras)]

    def step(number: int) -> float:
        frame = Frame(image, number, number / recognizer.fps)
        begun = time.perf_counter()
        for first in range(0, len(states), BATCH):
            some = states[first : first + BATCH]
            found = recognizer.step_many([frame] * len(some), some)
            states[first : first + BATCH] = [state for _, state in found]
        return time.perf_counter() - begun

    for number in range(WARM):
        step(number)
    found: list[float] = []
    begun = time.monotonic()
    while len(found) < 5 or time.monotonic() - begun < MEASURED:
        found.append(step(WARM + len(found)))
        time.sleep(max(0.0, 1.0 / recognizer.fps - found[-1]))  # caches are cold then, as they will be
    return Cost(
        model=model,
        engine=engine,
        threads=count,
        seconds=tuple(found),
        share=count * statistics.median(found),
    )


# -- what is played


def material(
    recognizer: Recognizer, settings: TuneSettings, unreadable: list[str] | None = None
) -> tuple[list[Frame], str]:
    """One stream with the truth of each frame, at the model's input size, and a description of it.

    An unreadable clip is left out, and one that is cut off ends sooner; ``unreadable`` gets a message about each.
    """
    unreadable = [] if unreadable is None else unreadable
    if settings.data == "synthetic":
        source, name = _world(recognizer, settings)
    else:
        clips = find_clips(settings.data, relabel=dict(settings.relabel))
        check_labels(recognizer, true_labels(clips))
        order = np.random.default_rng(settings.seed).permutation(len(clips))
        parts = []
        for number in order:
            try:
                parts.append(_Labelled(clips[number], recognizer, unreadable.append))
            except SourceError as error:  # it is empty, or not there
                unreadable.append(str(error))
        source = Concatenated(parts)
        name = f"{settings.data}, its clips as one stream"
    stream: list[Frame] = []
    transform = recognizer.config.pictures
    for frame in source:
        if frame.timestamp > settings.seconds:
            break
        stream.append(replace(frame, image=transform.resize(frame.image)))
    if len(stream) < 2:
        why = f": {unreadable[0]}" if unreadable else ""
        raise DataError(f"{name}: there are no frames to play{why}")
    return stream, name


def _world(recognizer: Recognizer, settings: TuneSettings) -> tuple[Source, str]:
    kinds = [kind for kind, labels in LABELS.items() if set(labels) <= set(recognizer.labels)]
    if not kinds:
        raise DataError(
            f"no synthetic world shows what {recognizer.name} knows ({', '.join(recognizer.labels)}); "
            "give a folder of labelled clips or a CSV"
        )
    world = WorldSettings(
        kind=kinds[0],
        seed=UNSEEN + settings.seed,
        fps=settings.camera_fps,
        seconds=settings.seconds,
        scene_seconds=10.0 if kinds[0] == "figures" else None,
    )
    return World(world), f"the synthetic world {kinds[0]!r}"


class _Labelled(Wrapper):
    """A clip with the truth of each frame; an unreadable one has no frames, and is reported to ``log``."""

    def __init__(self, clip: Clip, recognizer: Recognizer, log: Callable[[str], None]) -> None:
        super().__init__(FileSource(clip.path, size=recognizer.config.pictures.straight))
        self._clip, self._recognizer, self._log = clip, recognizer, log

    def __iter__(self) -> Iterator[Frame]:
        labels, events = self._recognizer.labels, self._recognizer.config.events
        try:
            for frame in self.source:
                (truth,) = truth_of(self._clip, [frame.timestamp], labels, events)
                yield replace(frame, truth=truth)
        except SourceError as error:
            self._log(str(error))
        else:
            if (why := amiss(self)) is not None:
                self._log(f"{self._clip.path} in part: {why}")


@dataclass(frozen=True, slots=True)
class Processed:
    """A frame of a stream that is processed."""

    number: int  # index in the stream
    ready: float  # time of its prediction, in seconds of the stream


def processed_frames(stream: Sequence[Frame], *, fps: float, costs: Iterable[float]) -> list[Processed]:
    """The frames that are processed of a camera: the newest due one, whenever the last step is over.

    ``costs``: seconds of each step, repeated where they are too few.

    >>> blank = np.zeros((1, 1, 3), np.uint8)
    >>> stream = [Frame(blank, n, n / 10) for n in range(5)]
    >>> [(one.number, round(one.ready, 2)) for one in processed_frames(stream, fps=10.0, costs=[0.25])]
    [(0, 0.25), (2, 0.5), (4, 0.75)]
    """
    taken = itertools.cycle(costs)
    found: list[Processed] = []
    seen, free, number = None, -math.inf, 0
    while number < len(stream):
        while number + 1 < len(stream) and stream[number + 1].timestamp <= free:
            number += 1  # a camera keeps its newest
        frame = stream[number]
        if is_next(frame, seen, fps):
            seen, free = frame, max(free, frame.timestamp) + next(taken)
            found.append(Processed(number, free))
        number += 1
    return found


def streaming_accuracy(
    stream: Sequence[Frame], processed: Sequence[Processed], predicted: Sequence[str]
) -> float:
    """The part of the frames at whose time the last ready prediction is right, 0 to 1."""
    right, last = 0, -1
    for frame in stream:
        while last + 1 < len(processed) and processed[last + 1].ready <= frame.timestamp:
            last += 1
        right += last >= 0 and predicted[last] == frame.truth
    return right / len(stream)


class _Predictions:
    """A model's labels for some frames of a stream; those for the same frames are computed once."""

    def __init__(self, stream: Sequence[Frame], recognizer: Recognizer) -> None:
        self._stream, self._recognizer = stream, recognizer
        self._known: dict[tuple[int, ...], list[str]] = {}

    def of(self, processed: Sequence[Processed]) -> list[str]:
        numbers = tuple(one.number for one in processed)
        if numbers not in self._known:
            state, labels = self._recognizer.initial_state(), []
            for number in numbers:
                prediction, state = self._recognizer.step(self._stream[number], state)
                labels.append(prediction.label)
            self._known[numbers] = labels
        return self._known[numbers]


def _tried(
    stream: Sequence[Frame], predictions: _Predictions, config: ModelConfig, fps: float, cost: Cost
) -> Trial:
    at_once, late = (processed_frames(stream, fps=fps, costs=costs) for costs in ((0.0,), cost.seconds))
    latency = Latency()
    for one in late:
        latency.update(one.ready - stream[one.number].timestamp)
    quantiles = latency.get()
    processed = len(late) / (stream[-1].timestamp - stream[0].timestamp)
    return Trial(
        model=cost.model,
        engine=cost.engine,
        threads=cost.threads,
        size=(config.pictures.width, config.pictures.height),
        fps=fps,
        ms=1000.0 * cost.typical,
        p50=quantiles["p50"],
        p99=quantiles["p99"],
        looked_at=processed,
        at_once=streaming_accuracy(stream, at_once, predictions.of(at_once)),
        when_ready=streaming_accuracy(stream, late, predictions.of(late)),
        cores=processed * cost.share,
    )


# -- for people


def text_of(report: TuneReport) -> str:
    """A table; the chosen line is marked."""
    width, height = report.camera["size"]
    there = report.machine
    lines = [
        f"{report.cameras} camera{'' if report.cameras == 1 else 's'} of {width}x{height} at "
        f"{report.camera['fps']:g} frames a second; {report.seconds:.0f} s of {report.data}",
        f"{there['processor']}, {there['cores']} cores, streamrec {there['streamrec']}, commit {there['commit']}",
        "",
        f"  {'model':14}{'input':>9}  {'engine':7}{'threads':>8}{'fps':>7}{'ms':>9}{'late p50, p99 ms':>18}"
        f"{'right at once':>15}{'when ready':>12}{'cores':>7}",
    ]
    for trial in sorted(report.trials, key=lambda trial: (-trial.when_ready, trial.cores)):
        mark = "*" if trial == report.best else " "
        late = f"{1000 * (trial.p50 or 0):.1f}, {1000 * (trial.p99 or 0):.1f}"
        sees = f"{trial.size[0]}x{trial.size[1]}"
        lines.append(
            f"{mark} {Path(trial.model).stem:14}{sees:>9}  {trial.engine:7}{trial.threads:8}{trial.fps:7.4g}"
            f"{trial.ms:9.2f}{late:>18}{100 * trial.at_once:13.1f} %{100 * trial.when_ready:10.1f} %"
            f"{trial.cores:7.2f}"
        )
    lines += [
        "",
        f"* chosen: among those within {100 * EQUAL:g} points of the best, the one that uses the fewest cores",
    ]
    if report.unreadable:
        lines += ["", "Could not be read:", *(f"- {line}" for line in report.unreadable)]
    return "\n".join(lines)

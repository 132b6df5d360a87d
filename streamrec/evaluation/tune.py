"""What this machine does best with: ``streamrec tune``.

A prediction counts at the time when it was ready (Li et al., "Towards Streaming Perception", ECCV 2020): at each moment
what was said last is held against what is true then. So a slow engine is wrong after every change, a quick one that
looks rarely too, and one number weighs both. As there, recorded streams are played on a clock that is calculated,
with times that were measured: those of whole steps, on this machine, while it decodes as many cameras as it shall.
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
from streamrec.nn.transforms import Transform
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

RATES = (1.0, 2.0 / 3.0, 0.5, 1.0 / 3.0)  # of the rhythm that the model learned
EQUAL = 0.005  # less accuracy is given up for less work
MEASURED = 1.5  # seconds for which each way to run a model is measured
WARM = 5  # steps before that


@dataclass(frozen=True, kw_only=True)
class TuneSettings:
    """What is tried, and for what."""

    data: str = (
        "synthetic"  # labelled clips as ``train`` takes them, or the synthetic world of the model's labels
    )
    models: tuple[str, ...] = (
        DEFAULT_MODEL,
    )  # of several sizes, where there are: resolution is the model's own
    engines: tuple[str, ...] = ()  # empty: those that are there
    cameras: int = 1
    size: tuple[int, int] = (1280, 720)  # of their pictures
    camera_fps: float = 30.0
    rates: tuple[float, ...] = ()  # rhythms, in frames a second; empty: those of RATES
    seconds: float = 120.0  # of stream that each is played
    relabel: tuple[tuple[str, str], ...] = ()
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Cost:
    """A way to run a model, and what it takes here, with the cameras' decoders beside it."""

    model: str
    engine: str
    threads: int
    seconds: tuple[float, ...]  # from the pictures of all cameras to what is said of the last one
    share: float  # cores that one look at all cameras occupies, times seconds

    @property
    def typical(self) -> float:
        """The median, in seconds."""
        return statistics.median(self.seconds)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One way to run a model in one rhythm, and what came of it."""

    model: str
    engine: str
    threads: int
    size: tuple[int, int]  # what the model looks at
    fps: float
    ms: float  # the median of a look at all cameras
    p50: float | None  # seconds from a picture's time to what is said of it
    p99: float | None
    looked_at: float  # frames a second of each camera
    at_once: float  # part of the time that the label was right, had it been said at once
    when_ready: float  # and as it was said
    cores: float  # that the engine occupies


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
    unreadable: tuple[str, ...] = ()  # of which clips nothing, or only a part, was played, in words

    @property
    def tuned(self) -> Tuned:
        """The choice, as a file says it."""
        best = self.best
        return Tuned(model=best.model, engine=best.engine, threads=best.threads, fps=round(best.fps, 3))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self) | {"tuned": self.tuned.given()}


def run_tune(settings: TuneSettings, *, tell: Callable[[str], None] = lambda text: None) -> TuneReport:
    """Measure what each way to run the models costs here, and play streams to each."""
    threads.limit_opencv_threads()
    costs: list[Cost] = []
    with tempfile.TemporaryDirectory() as folder:
        tell("making a camera's video")
        video = make_video(Path(folder) / "camera.mp4", settings.size, 60, settings.camera_fps)
        with decoding(video, settings.cameras):
            for model in settings.models:
                for engine, count in ways(model, settings.engines):
                    tell(f"{model}: {engine} engine, {count} thread{'' if count == 1 else 's'}")
                    costs.append(measure(model, engine, count, settings))
    trials: list[Trial] = []
    seconds, data = 0.0, ""
    unreadable: list[str] = []
    for model in settings.models:
        recognizer = Recognizer.load(model)
        tell(f"{model}: the streams")
        stream, data = material(recognizer, settings, unreadable)
        seconds = stream[-1].timestamp - stream[0].timestamp
        listener = _Listener(stream, recognizer)
        for fps in settings.rates or tuple(recognizer.fps * part for part in RATES):
            tell(f"{model}: {fps:g} frames a second")
            own = [cost for cost in costs if cost.model == model]
            trials += [_tried(stream, listener, recognizer.config, fps, cost) for cost in own]
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
    """The most accurate one; of those that are all but as good, the one that leaves the most of the machine."""
    most = max(trial.when_ready for trial in trials)
    equal = [trial for trial in trials if trial.when_ready >= most - EQUAL]
    return min(equal, key=lambda trial: (trial.cores, -trial.when_ready))


# -- what a step takes


def ways(model: str, engines: Sequence[str] = ()) -> list[tuple[str, int]]:
    """Engines that can run the model here, each with the numbers of threads that are worth a try."""
    if not engines:
        engines = ["onnx"]
        if find_model(model).suffix == ".safetensors" and importlib.util.find_spec("torch") is not None:
            engines.append("torch")
    there = threads.cores()
    counts = [count for count in (1, 2, 4, 8) if count < there] + [min(there, 8)]
    return [(engine, count) for engine in engines for count in counts]


@contextmanager
def decoding(video: Path, cameras: int) -> Iterator[None]:
    """So many cameras' worth of decoding in threads beside, in real time."""
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
    """Looks at all cameras in the model's rhythm, in batches as ``watch`` makes them."""
    recognizer = Recognizer.load(model, engine=engine, threads=count)
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (settings.size[1], settings.size[0], 3), np.uint8)
    states = [recognizer.initial_state() for _ in range(settings.cameras)]

    def look(number: int) -> float:
        frame = Frame(image, number, number / recognizer.fps)
        begun = time.perf_counter()
        for first in range(0, len(states), BATCH):
            some = states[first : first + BATCH]
            said = recognizer.step_many([frame] * len(some), some)
            states[first : first + BATCH] = [state for _, state in said]
        return time.perf_counter() - begun

    for number in range(WARM):
        look(number)
    found: list[float] = []
    begun = time.monotonic()
    while len(found) < 5 or time.monotonic() - begun < MEASURED:
        found.append(look(WARM + len(found)))
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
    """One stream with the truth of each frame, in pictures of the model's size, and what it is in words.

    A clip that cannot be read is left out, and one that is cut off ends sooner: ``unreadable`` is given the words.
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
    transform: Transform = recognizer.config.transform
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
    """A clip with the truth of each frame; one that cannot be read has none, and that is told."""

    def __init__(self, clip: Clip, recognizer: Recognizer, tell: Callable[[str], None]) -> None:
        super().__init__(FileSource(clip.path, size=recognizer.config.transform.straight))
        self._clip, self._recognizer, self._tell = clip, recognizer, tell

    def __iter__(self) -> Iterator[Frame]:
        labels, events = self._recognizer.labels, self._recognizer.config.events
        try:
            for frame in self.source:
                (truth,) = truth_of(self._clip, [frame.timestamp], labels, events)
                yield replace(frame, truth=truth)
        except SourceError as error:
            self._tell(str(error))
        else:
            if (why := amiss(self)) is not None:
                self._tell(f"{self._clip.path} in part: {why}")


@dataclass(frozen=True, slots=True)
class Look:
    """A frame of a stream that was looked at."""

    number: int
    ready: float  # seconds on the stream's clock: what is said of it counts from here on


def looks_at(stream: Sequence[Frame], *, fps: float, costs: Iterable[float]) -> list[Look]:
    """Which frames are looked at as a camera is: the newest one that is due, whenever the last look is over.

    ``costs``: seconds of each look, again from the first where they are too few.

    >>> blank = np.zeros((1, 1, 3), np.uint8)
    >>> stream = [Frame(blank, n, n / 10) for n in range(5)]
    >>> [(look.number, round(look.ready, 2)) for look in looks_at(stream, fps=10.0, costs=[0.25])]
    [(0, 0.25), (2, 0.5), (4, 0.75)]
    """
    taken = itertools.cycle(costs)
    looks: list[Look] = []
    seen, free, number = None, -math.inf, 0
    while number < len(stream):
        while number + 1 < len(stream) and stream[number + 1].timestamp <= free:
            number += 1  # a camera keeps its newest
        frame = stream[number]
        if is_next(frame, seen, fps):
            seen, free = frame, max(free, frame.timestamp) + next(taken)
            looks.append(Look(number, free))
        number += 1
    return looks


def right_of(stream: Sequence[Frame], looks: Sequence[Look], said: Sequence[str]) -> float:
    """The part of the frames at whose time what was said last, and ready, was true."""
    right, last = 0, -1
    for frame in stream:
        while last + 1 < len(looks) and looks[last + 1].ready <= frame.timestamp:
            last += 1
        right += last >= 0 and said[last] == frame.truth
    return right / len(stream)


class _Listener:
    """What a model says of some of a stream's frames; of the same ones it is asked once."""

    def __init__(self, stream: Sequence[Frame], recognizer: Recognizer) -> None:
        self._stream, self._recognizer = stream, recognizer
        self._known: dict[tuple[int, ...], list[str]] = {}

    def said(self, looks: Sequence[Look]) -> list[str]:
        numbers = tuple(look.number for look in looks)
        if numbers not in self._known:
            state, labels = self._recognizer.initial_state(), []
            for number in numbers:
                prediction, state = self._recognizer.step(self._stream[number], state)
                labels.append(prediction.label)
            self._known[numbers] = labels
        return self._known[numbers]


def _tried(
    stream: Sequence[Frame], listener: _Listener, config: ModelConfig, fps: float, cost: Cost
) -> Trial:
    at_once, late = (looks_at(stream, fps=fps, costs=costs) for costs in ((0.0,), cost.seconds))
    latency = Latency()
    for look in late:
        latency.update(look.ready - stream[look.number].timestamp)
    quantiles = latency.get()
    looked_at = len(late) / (stream[-1].timestamp - stream[0].timestamp)
    return Trial(
        model=cost.model,
        engine=cost.engine,
        threads=cost.threads,
        size=(config.transform.width, config.transform.height),
        fps=fps,
        ms=1000.0 * cost.typical,
        p50=quantiles["p50"],
        p99=quantiles["p99"],
        looked_at=looked_at,
        at_once=right_of(stream, at_once, listener.said(at_once)),
        when_ready=right_of(stream, late, listener.said(late)),
        cores=looked_at * cost.share,
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
        f"  {'model':14}{'sees':>9}  {'engine':7}{'threads':>8}{'fps':>7}{'ms':>9}{'late p50, p99 ms':>18}"
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
    lines += ["", f"* the choice: of those within {100 * EQUAL:g} points of the best, the least work"]
    if report.unreadable:
        lines += ["", "Could not be read:", *(f"- {line}" for line in report.unreadable)]
    return "\n".join(lines)

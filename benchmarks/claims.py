"""Whether what is claimed of speed holds on this machine, each with its number: `python benchmarks/claims.py`.

What it is ahead of is in `peers.py`. Only an idle machine answers truly: other work shows in each line.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from streamrec import Frame, ModelConfig, Recognizer, Transform, results
from streamrec.core import threads
from streamrec.evaluation.bench import (
    CAMERA,
    EVERY,
    BenchSettings,
    First,
    machine,
    make_video,
    read_some,
    run_bare,
    time_rates,
    time_starts,
    watch_camera,
)
from streamrec.runtime.checkpoint import save_model
from streamrec.runtime.engine import Engine
from streamrec.runtime.load import make_engine

LARGE = "efficientnet_lite0"  # at 224x224: a model beside which decoding 720p is not the limit
LONG = 20_000  # frames of one stream


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="fight", help="a shipped model's name, or a file")
    parser.add_argument("--video", type=Path, help="by default the synthetic world at 1280x720 as H.264")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    threads.limit_opencv_threads()
    there = machine()
    print(f"{options.model} model; {there['processor']}, {there['cores']} cores, commit {there['commit']}\n")
    with tempfile.TemporaryDirectory() as folder:
        video = options.video or make_video(Path(folder) / "frames.mp4", (1280, 720), 90, CAMERA)
        frames = read_some(video, 90)
        name, engine = make_engine(options.model)
        recognizer = Recognizer(engine, name)
        large_model(Path(folder) / "large.safetensors", video, frames, options.rounds)
        rates = time_rates(engine, recognizer, video, frames, options.rounds)
        sustained(name, engine, recognizer, video, frames, options.rounds)
        check("8 files to one, in all", rates["8 files"] / rates["file"], 1.0)
        check("last fifth of a long stream to its first", flatness(recognizer), 1.01, most=True)
        late = watch_camera(recognizer, frames, 10.0)
        assert late["p99"] is not None
        check("p99 of a 30 fps camera, in its intervals", late["p99"] * CAMERA, 1.5, most=True)
        start = time_starts(BenchSettings(model=options.model), frames[0].image.shape)
        check("seconds to the first prediction", start["seconds"] or 0.0, 1.5, most=True)
        check("MB of memory", start["memory"] or 0.0, 350.0, most=True)


def check(what: str, found: float, bar: float, *, most: bool = False) -> None:
    met = found <= bar if most else found >= bar
    print(
        f"{what:64}{found:9.3f}   {'at most' if most else 'at least'} {bar:g}: {'met' if met else 'NOT MET'}"
    )


def large_model(path: Path, video: Path, frames: list[Frame], rounds: int) -> None:
    """Random weights cost what trained ones do."""
    from streamrec import ActionModel

    config = ModelConfig(labels=("one", "other"), encoder=LARGE, transform=Transform(width=224, height=224))
    save_model(path, ActionModel(config).eval())
    for count in sorted({1, threads.cores()}):
        name, engine = make_engine(str(path), engine="onnx", threads=count)
        what = f"{LARGE}, {count} thread{'' if count == 1 else 's'}"
        sustained(what, engine, Recognizer(engine, name), video, frames, rounds)


def sustained(
    what: str, engine: Engine, recognizer: Recognizer, video: Path, frames: list[Frame], rounds: int
) -> None:
    """A file against the bare engine: in time, and in the work of all threads, which other programs disturb less."""
    transform = recognizer.config.transform
    pictures = [transform(frame.image) for frame in frames]
    runs = {
        "engine": lambda: run_bare(engine, pictures),
        "decoder": lambda: sum(1 for _ in First(video, len(frames), transform.straight)),
        "file": lambda: sum(
            1 for _ in results(First(video, len(frames), transform.straight), recognizer, fps=EVERY)
        ),
    }
    wall: dict[str, list[float]] = {name: [] for name in runs}
    work: dict[str, list[float]] = {name: [] for name in runs}
    for _, (name, run) in itertools.product(range(rounds), runs.items()):
        begun, worked = time.perf_counter(), time.process_time()
        run()
        wall[name].append(time.perf_counter() - begun)
        work[name].append(time.process_time() - worked)
    took = {name: statistics.median(values) for name, values in wall.items()}
    cost = {name: statistics.median(values) for name, values in work.items()}
    limit = max(took["engine"], took["decoder"])
    check(f"{what}: rate, of the slower of engine and decoder", limit / took["file"], 0.9)
    beside = cost["file"] - cost["decoder"] - cost["engine"]
    check(f"{what}: work beside engine and decoder, of all", beside / cost["file"], 0.15, most=True)
    each = {name: 1000.0 * seconds / len(frames) for name, seconds in cost.items()}
    print(f"    ms of work a frame: {', '.join(f'{name} {ms:.2f}' for name, ms in each.items())}")


def flatness(recognizer: Recognizer) -> float:
    """The median cost of a step late in a stream to that of an early one; both take turns with a fresh stream."""
    transform = recognizer.config.transform
    pictures = np.random.default_rng(0).integers(
        0, 256, (8, transform.height, transform.width, 3), dtype=np.uint8
    )

    def play(state: object, begin: int, count: int) -> tuple[object, list[float]]:
        costs = []
        for number in range(begin, begin + count):
            frame = Frame(pictures[number % 8], number, number / recognizer.fps)
            asked = time.perf_counter()
            _, state = recognizer.step(frame, state)
            costs.append(time.perf_counter() - asked)
        return state, costs

    old, _ = play(recognizer.initial_state(), 0, LONG)
    early, late = [], []
    for turn in range(20):
        _, costs = play(recognizer.initial_state(), 0, 200)
        early += costs
        old, costs = play(old, LONG + 200 * turn, 200)
        late += costs
    return statistics.median(late) / statistics.median(early)


if __name__ == "__main__":
    main()

"""What it costs that something happens after an event: `python benchmarks/after.py`.

Times of the thread that recognizes, and of the evidence's own thread. The median of the rounds is shown.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from streamrec import ActionEnded, ActionStarted, Frame, Prediction, Recognizer, Result
from streamrec.core import threads
from streamrec.evaluation.bench import CAMERA, commit, make_video, processor, read_some
from streamrec.outputs.history.evidence import Evidence
from streamrec.outputs.history.store import History
from streamrec.pipeline.flight_recorder import FlightRecorder
from streamrec.settings.outputs import EvidenceSettings, Privacy

SIZES = ((640, 480), (1280, 720), (1920, 1080))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--frames", type=int, default=120)
    options = parser.parse_args()
    threads.limit_opencv_threads()
    print(f"{processor()}, {platform.python_version()}, commit {commit()}\n")
    print("| what | cost |\n| --- | --- |")
    with tempfile.TemporaryDirectory(dir=".") as place:  # on the disk: in /tmp it may be memory
        folder = Path(place)
        for what, cost in history_costs(folder, options.rounds):
            print(f"| {what} | {cost:.3f} ms |")
        for size in SIZES:
            frames = read_some(make_video(folder / "v.mp4", size, 30, CAMERA), 30)
            pictures = [frame.image for frame in frames]
            for privacy in (Privacy.full, Privacy.blur):
                cost, written, handed = evidence_costs(folder, pictures, privacy, options.rounds)
                print(
                    f"| evidence, {size[0]}x{size[1]}, {privacy}: a frame in its own thread | {cost:.2f} ms |"
                )
            print(f"| evidence, {size[0]}x{size[1]}: the same while a video is written | {written:.2f} ms |")
            print(
                f"| evidence, {size[0]}x{size[1]}: a frame in the thread that recognizes | {handed:.3f} ms |"
            )
        frames = read_some(make_video(folder / "v.mp4", SIZES[0], options.frames, CAMERA), options.frames)
        pictures = [frame.image for frame in frames]
        print(
            f"| the flight recorder, 640x480: a frame | {recorder_cost(folder, pictures, options.rounds):.2f} ms |"
        )


def median_ms(work: Callable[[], object], times: int, rounds: int) -> float:
    """Milliseconds of one of ``times`` that ``work`` does."""
    took = []
    for _ in range(rounds):
        begun = time.perf_counter()
        work()
        took.append(1000 * (time.perf_counter() - begun) / times)
    return statistics.median(took)


def result_of(n: int, image: np.ndarray, *events: ActionStarted | ActionEnded) -> Result:
    prediction = Prediction("fight", 0.9, np.array([0.1, 0.9], np.float32), n / 15, ("normal", "fight"))
    return Result(Frame(image, n, n / 15, 0, "door"), prediction, events)


def history_costs(folder: Path, rounds: int) -> list[tuple[str, float]]:
    image = np.zeros((2, 2, 3), np.uint8)
    quiet = [result_of(n, image) for n in range(2000)]
    events = [
        result_of(
            n,
            image,
            ActionStarted("fight", n / 15, 0.9) if n % 2 == 0 else ActionEnded("fight", n / 15, 0, 0.9),
        )
        for n in range(60)
    ]
    with History(folder / "cost.db", receivers=("webhook", "mqtt")) as history:
        a = median_ms(lambda: [history.record(result) for result in quiet], len(quiet), rounds)
        b = median_ms(lambda: [history.record(result) for result in events], len(events), rounds)
    with History(folder / "cost.db", receivers=("webhook", "mqtt")) as history:
        history.start(lambda announcement: None)
        c = median_ms(lambda: [history.note(result) for result in quiet], len(quiet), rounds)
        d = median_ms(lambda: [history.note(result) for result in events], len(events), rounds)
        history.drain(60.0)
    return [
        ("history: a result without an event, in the thread that recognizes", c),
        ("history: an event, in the thread that recognizes", d),
        ("history: a result without an event, written at once", a),
        ("history: an event, on the disk, queued for two", b),
    ]


def evidence_costs(
    folder: Path, pictures: list[np.ndarray], privacy: Privacy, rounds: int
) -> tuple[float, float, float]:
    """ms a frame in its thread, there while a video is written, and in the caller's thread."""
    with History(folder / "cost.db") as history:
        settings = EvidenceSettings(folder=str(folder / "evidence"), privacy=privacy, leave_free_gb=0.0)
        evidence = Evidence(settings, history)
        evidence.close()  # its thread: this one does its work
        kept = [result_of(n, image) for n, image in enumerate(pictures)]

        def keep() -> None:
            for result in kept:
                evidence._take(result, ())

        def write() -> None:
            evidence._cameras.clear()
            evidence._take(
                kept[0], history.record(result_of(0, pictures[0], ActionStarted("fight", 0.0, 0.9)))
            )
            for result in kept[1:]:
                evidence._take(result, ())
            evidence._finish(evidence._cameras["door"])

        own = median_ms(keep, len(kept), rounds)
        written = median_ms(write, len(kept), rounds)
        evidence = Evidence(settings, history)
        handed = median_ms(lambda: [evidence.write(result) for result in kept], len(kept), 1)
        evidence.close()
    return own, written, handed


def recorder_cost(folder: Path, pictures: list[np.ndarray], rounds: int) -> float:
    plain = Recognizer.load("fight", engine="onnx", threads=1)
    with FlightRecorder(folder / "flight") as recorder:
        costs = {}
        for name, recognizer in (("with", recorder.recorded(plain)), ("without", plain)):

            def work(recognizer: Recognizer = recognizer) -> None:
                state = recognizer.initial_state()
                for n, image in enumerate(pictures):
                    _, state = recognizer.step(Frame(image, n, n / 15, 0, "door"), state)

            costs[name] = median_ms(work, len(pictures), rounds)
    return costs["with"] - costs["without"]


if __name__ == "__main__":
    main()

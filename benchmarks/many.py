"""Frames a second of many streams in one batch: `python benchmarks/many.py`.

Each of N sources gives the same number of 640x480 frames, from memory and from H.264 files; every frame is
recognized, as fast as the machine can. Configurations take turns in rounds, and the best round is shown: the one that
other work on the machine disturbed least.
"""

from __future__ import annotations

import argparse
import itertools
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import onnxruntime

from streamrec import Recognizer, results
from streamrec.core import threads
from streamrec.evaluation.bench import CAMERA, EVERY, commit, make_video, processor, read_some, run_many

FRAMES, ROUNDS = 120, 7


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="fight", help="a shipped model's name, or a file")
    parser.add_argument("--threads", type=int, default=1, help="of the engine")
    options = parser.parse_args()
    threads.limit_opencv_threads()
    recognizer = Recognizer.load(options.model, engine="onnx", threads=options.threads)
    with tempfile.TemporaryDirectory() as folder:
        video = make_video(Path(folder) / "frames.mp4", (640, 480), FRAMES, CAMERA)
        frames = read_some(video, FRAMES)
        runs: dict[tuple[str, int, int], Callable[[], int]] = {}
        for what, source in (("memory", frames), ("H.264 files", video)):
            runs[what, 0, 1] = lambda source=source: sum(1 for _ in results(source, recognizer, fps=EVERY))
            for number in (1, 2, 4, 8):
                runs[what, number, 8] = lambda source=source, number=number: run_many(
                    [source] * number, recognizer, 8
                )
        for batch in (1, 2, 4, 16):
            number = max(8, batch)
            runs["memory", number, batch] = lambda number=number, batch=batch: run_many(
                [frames] * number, recognizer, batch
            )
        rates: dict[tuple[str, int, int], list[float]] = {key: [] for key in runs}
        for _, (key, run) in itertools.product(range(ROUNDS), runs.items()):
            begun = time.perf_counter()
            count = run()
            rates[key].append(count / (time.perf_counter() - begun))
    print(f"{recognizer.name} model, 640x480, every frame, engine with {options.threads} thread(s), "
          f"best of {ROUNDS} rounds of {FRAMES} frames a source")  # fmt: skip
    print(f"{processor()}, Python {platform.python_version()}, OpenCV {cv2.__version__}, "
          f"ONNX Runtime {onnxruntime.__version__}, commit {commit()}\n")  # fmt: skip
    print(f"{'from':14}{'sources':>8}{'batch to':>10}{'frames/s':>10}{'each':>8}{'to one':>8}")
    for (what, number, batch), found in rates.items():
        rate, one = max(found), max(rates[what, 1, 8])
        name = "results()" if number == 0 else str(number)
        print(f"{what:14}{name:>8}{batch:10}{rate:10.0f}{rate / max(number, 1):8.0f}{rate / one:8.2f}")


if __name__ == "__main__":
    main()

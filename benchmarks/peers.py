"""What a user would pick instead, in one run, over the same frames, on the same cores: `python benchmarks/peers.py`.

Each contestant reads the same H.264 file and predicts a label for every frame. (a) is the common loop: a window of 16
frames goes through CNN and LSTM anew for every frame, with our weights. (b) are torchvision's 3-D networks over a
window of 16 at 112x112, as packages for fights use them; their weights are random here, which does not change what
they cost. All take turns in rounds, and the median counts. "recognition" is the same over pictures of the file's size
that are in memory, without the decoder that all of them have in common. The last lines are the limits: the engine
alone over pictures of its own size in memory, and a step's arithmetic at the rate that matrices are multiplied here.
`taskset -c 1` before it compares on one core. Work is the time of all threads on their cores, which other programs
disturb less; frames a second are by the clock, and true on an idle machine only: there several cores decode and
recognize at once.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
import torchvision
from torch.utils.flop_counter import FlopCounterMode

from streamrec import Recognizer, results
from streamrec.core import threads
from streamrec.evaluation.bench import (
    CAMERA,
    EVERY,
    First,
    in_turns,
    machine,
    make_video,
    predictions,
    read_some,
    run_bare,
)
from streamrec.runtime.checkpoint import load_model, save_model
from streamrec.runtime.load import make_engine

WINDOW = 16  # frames, of those that process a sliding window
SLOW = 6  # frames a round of theirs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="fight", help="a shipped model's name, or a file")
    parser.add_argument("--video", type=Path, help="by default the synthetic world at 1280x720 as H.264")
    parser.add_argument("--frames", type=int, default=90)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--fresh", action="store_true", help="export the model's step anew before it is measured"
    )
    parser.add_argument(
        "--int8", type=Path, help="the same model, as streamrec export --int8 wrote it: it takes part too"
    )
    parser.add_argument("--json", type=Path, help="write the numbers to a file")
    options = parser.parse_args()
    threads.limit_opencv_threads()
    torch.set_num_threads(threads.cores())
    with tempfile.TemporaryDirectory() as folder:
        video = options.video or make_video(Path(folder) / "frames.mp4", (1280, 720), options.frames, CAMERA)
        model = options.model
        if options.fresh:
            model = str(Path(folder) / "fresh.safetensors")
            save_model(model, load_model(options.model))
        name, engine = make_engine(model, engine="onnx")
        seen = Recognizer(engine, name).config.transform
        frames = read_some(video, options.frames)
        pictures = [seen(frame.image) for frame in frames]
        ours = {kind: Recognizer.load(model, engine=kind, device="cpu") for kind in ("onnx", "torch")}
        window = load_model(options.model)
        torch.set_num_threads(threads.cores())
        runs: dict[str, tuple[int, Callable[[], object]]] = {
            "streamrec": (
                len(frames),
                lambda: stream(First(video, len(frames), seen.straight), ours["onnx"]),
            ),
            "streamrec, whole pictures": (
                len(frames),
                lambda: stream(First(video, len(frames)), ours["onnx"]),
            ),
            "streamrec, eager torch": (len(frames), lambda: stream(First(video, len(frames)), ours["torch"])),
            "(a) CNN-LSTM, window of 16": (SLOW, lambda: slide(video, lambda clip: over(window, clip), seen)),
        }
        for peer in ("mc3_18", "r3d_18"):
            network = getattr(torchvision.models.video, peer)(weights=None).eval()
            runs[f"(b) {peer}, window of 16"] = (
                SLOW,
                lambda network=network: slide(video, network3d(network)),
            )
        if options.int8 is not None:
            small = Recognizer.load(options.int8)
            runs["streamrec, 8 bits"] = (
                len(frames),
                lambda: stream(First(video, len(frames), seen.straight), small),
            )
            runs["recognition: streamrec, 8 bits"] = (len(frames), lambda: predictions(small, frames))
        runs["recognition: streamrec"] = (len(frames), lambda: predictions(ours["onnx"], frames))
        runs["recognition: eager torch"] = (len(frames), lambda: predictions(ours["torch"], frames))
        runs["limit: bare engine"] = (len(frames), lambda: run_bare(engine, pictures))
        passed: dict[str, list[float]] = {name: [] for name in runs}
        contestants = {name: clocked(run, passed[name]) for name, (_, run) in runs.items()}
        seconds = in_turns(contestants, options.rounds, time.process_time)
        cost = {name: 1000.0 * took / runs[name][0] for name, took in seconds.items()}
        rate = {name: runs[name][0] / statistics.median(times) for name, times in passed.items()}
    flops, peak = flops_of(window), matrix_peak()
    cost["limit: arithmetic at the matrix peak"] = 1000.0 * flops / peak
    there = machine()
    print(f"{name} model; every frame of {frames[0].image.shape[1]}x{frames[0].image.shape[0]} H.264, "
          f"median of {options.rounds} rounds")  # fmt: skip
    print(f"{there['processor']}, {there['cores']} cores, Python {there['python']}, ONNX Runtime "
          f"{there['onnxruntime']}, torch {torch.__version__}, commit {there['commit']}\n")  # fmt: skip
    print(
        f"{'':38}{'ms of work':>11}{'to streamrec':>14}{'to its recognition':>20}{'frames/s':>10}{'of them':>10}"
    )
    alone, best = cost["recognition: streamrec"], rate["streamrec"]
    for name, took in cost.items():
        by_clock = f"{rate[name]:10.1f}{best / rate[name]:9.2f}x" if name in rate else ""
        print(f"{name:38}{took:11.3f}{took / cost['streamrec']:14.2f}{took / alone:20.2f}{by_clock}")
    print("\nof them: how many times as many frames a second streamrec makes of the file")
    print(f"\na step is {flops / 1e6:.1f} MFLOP; matrices are multiplied at {peak / 1e9:.0f} GFLOP/s")
    if options.json:
        options.json.write_text(
            json.dumps({"machine": there, "ms": cost, "rate": rate, "flops": flops, "peak": peak}, indent=2)
        )


def clocked(run: Callable[[], object], times: list[float]) -> Callable[[], None]:
    """The same, and the seconds that pass are kept."""

    def timed() -> None:
        begun = time.perf_counter()
        run()
        times.append(time.perf_counter() - begun)

    return timed


def stream(source: object, recognizer: Recognizer) -> int:
    return sum(1 for _ in results(source, recognizer, fps=EVERY))


def slide(video: Path, judge: Callable[[list[np.ndarray]], object], seen: Callable | None = None) -> None:
    """The common loop: read a picture, shrink it, judge the last 16, for so many frames."""
    shrink = seen or (lambda image: cv2.resize(image, (112, 112), interpolation=cv2.INTER_LINEAR))
    window: deque[np.ndarray] = deque(maxlen=WINDOW)
    for count, image in enumerate(read(video), start=1):
        small = shrink(image)
        window.extend([small] * (WINDOW if not window else 1))
        judge(list(window))
        if count == SLOW:
            return


def read(video: Path) -> Iterator[np.ndarray]:
    capture = cv2.VideoCapture(str(video))
    while True:
        ok, image = capture.read()
        if not ok:
            return
        yield image


def over(model: torch.nn.Module, clip: list[np.ndarray]) -> np.ndarray:
    with torch.inference_mode():
        outputs, _ = model(torch.from_numpy(np.stack(clip)[None]))
        return torch.softmax(outputs[:, -1], dim=-1).numpy()


def network3d(network: torch.nn.Module) -> Callable[[list[np.ndarray]], np.ndarray]:
    def judge(clip: list[np.ndarray]) -> np.ndarray:
        with torch.inference_mode():
            pictures = torch.from_numpy(np.stack(clip)[None]).permute(0, 4, 1, 2, 3)
            return network((pictures.float() / 255.0 - 0.45) / 0.22).numpy()

    return judge


def flops_of(model: torch.nn.Module) -> int:
    """Convolutions and products of one step; what is done number by number is not counted."""
    shape = model.config.transform.height, model.config.transform.width
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model.step(torch.zeros(1, 3, *shape, dtype=torch.uint8), torch.full((1,), 0.1), model.initial_state())
    return counter.get_total_flops()


def matrix_peak(size: int = 1024) -> float:
    """Floating-point operations a second of a product of two matrices, the best of some."""
    one, other = torch.randn(size, size), torch.randn(size, size)
    best = 1e9
    for _ in range(10):
        begun = time.process_time()
        one @ other
        best = min(best, time.process_time() - begun)
    return 2.0 * size**3 / best


if __name__ == "__main__":
    main()

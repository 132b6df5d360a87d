"""What lost frames and slow cameras cost: `python benchmarks/robustness.py` draws docs/images/robustness.png.

The same minutes of the synthetic world, seen by cameras of 5 to 60 frames a second, and with 0 to 80 % of the frames
lost, one by one or in bursts. Every camera is played twice: once as it is, and once with timestamps as if the
frames arrived at the model's sampling rate, like a state without a clock. Only processed frames count.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from streamrec import Frame, Recognizer, World, WorldSettings
from streamrec.sources.sampling import pace
from streamrec.sources.synthetic import UNSEEN

ROOT = Path(__file__).parent.parent
RATES = (5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 60.0)
LOST = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
BURST = 0.6  # seconds that a burst lasts on average


def main() -> None:
    """Play, print a table, draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=6.0)
    parser.add_argument("--model", default="synthetic", help="a shipped model that knows the world's labels")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images" / "robustness.png")
    parser.add_argument("--json", type=Path, help="a file for the numbers")
    options = parser.parse_args()
    recognizer = Recognizer.load(options.model)
    rng = np.random.default_rng(0)
    plain = list(world(options.minutes, 30.0))
    found: dict[str, list[tuple[float, float, float]]] = {"rate": [], "random": [], "bursts": []}
    for rate in RATES:
        frames = plain if rate == 30.0 else list(world(options.minutes, rate))
        found["rate"].append((rate, *both(recognizer, frames)))
    for part in LOST:
        kept = [frame for frame in plain if rng.random() >= part]
        found["random"].append((part, *both(recognizer, kept)))
        found["bursts"].append((part, *both(recognizer, list(in_bursts(plain, part, rng)))))
    for name, rows in found.items():
        for x, aware, unaware in rows:
            print(f"{name:7} {x:5.1f}  with timestamps {100 * aware:.1f} %  without {100 * unaware:.1f} %")
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    draw(found, options.out, options.model)
    print(options.out)


def world(minutes: float, fps: float) -> World:
    """Unseen people and rooms; the scenario is the same for every rate."""
    return World(
        WorldSettings(
            seed=UNSEEN + 700, width=192, height=144, fps=fps, seconds=60 * minutes, scene_seconds=30.0
        )
    )


def in_bursts(frames: list[Frame], part: float, rng: np.random.Generator) -> Iterator[Frame]:
    """Stretches without frames, of exponential length, that take ``part`` of the time."""
    lost, until = False, 0.0
    for frame in frames:
        while frame.timestamp >= until:
            lost = not lost if until else False
            mean = BURST if lost else BURST * (1 - part) / max(part, 1e-9)
            until += max(1e-3, float(rng.exponential(mean)))
        if not (lost and part):
            yield frame


def both(recognizer: Recognizer, frames: list[Frame]) -> tuple[float, float]:
    """The part of the frames that is right, with the true clock and with a nominal one."""
    looked_at = list(pace(frames, recognizer.fps))
    blind = [replace(frame, timestamp=n / recognizer.fps) for n, frame in enumerate(looked_at)]
    return right(recognizer, looked_at), right(recognizer, blind)


def right(recognizer: Recognizer, frames: list[Frame]) -> float:
    """The part of the frames that is given its true label."""
    state, hits = recognizer.initial_state(), 0
    for frame in frames:
        prediction, state = recognizer.step(frame, state)
        hits += prediction.label == frame.truth
    return hits / len(frames)


def draw(found: dict[str, list[tuple[float, float, float]]], path: Path, model: str) -> None:
    """Against the rate on the left, against the lost part on the right."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, (left, middle) = pyplot.subplots(1, 2, sharey=True, figsize=(9, 3.8), layout="constrained")
    for axes, names in ((left, ("rate",)), (middle, ("random", "bursts"))):
        for name in names:
            x, aware, unaware = zip(*found[name], strict=True)
            where = "" if name == "rate" else f", lost {'one by one' if name == 'random' else 'in bursts'}"
            scale = 1 if name == "rate" else 100
            xs = [scale * value for value in x]
            (line,) = axes.plot(xs, [100 * value for value in aware], "o-", label=f"with timestamps{where}")
            axes.plot(
                xs,
                [100 * value for value in unaware],
                "x--",
                color=line.get_color(),
                label=f"without timestamps{where}",
            )
        axes.grid(alpha=0.3)
        axes.legend()
    left.set_xscale("log")
    left.set_xticks(RATES, [f"{rate:g}" for rate in RATES])
    left.minorticks_off()
    left.set_xlabel("frames a second of the camera")
    left.set_ylabel("frames right, %")
    middle.set_xlabel("frames lost, %")
    figure.suptitle(f"{model}: unseen people and rooms of the synthetic world")
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()

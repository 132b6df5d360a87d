"""Does the score depend on how long ago the stream began? `python benchmarks/drift.py` draws docs/images/drift.png.

One stream of the synthetic world goes on for hours of its own time, with hard cuts to other people, rooms and cameras
that the state does not know of: it is carried from the first frame to the last. Beside it, over the same frames, the
same model that begins anew every minute. Accuracy and the norms of the state are averaged over each ten minutes.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from streamrec import Frame, Recognizer, State, World, WorldSettings
from streamrec.sources.synthetic import UNSEEN

BIN = 600.0  # seconds of stream that one point stands for
ANEW = 60.0  # seconds after which the other one begins anew
ROOT = Path(__file__).parent.parent


def main() -> None:
    """Play, print a table, draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hours", type=float, default=4.0)
    parser.add_argument("--model", default="synthetic", help="a shipped model that knows the world's labels")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images" / "drift.png")
    parser.add_argument("--json", type=Path, help="a file for the numbers")
    options = parser.parse_args()
    recognizer = Recognizer.load(options.model)
    rows = measure(recognizer, options.hours, options.seed)
    for row in rows:
        print(
            f"{row['minutes']:6.0f} min  carried {100 * row['carried']:.1f} %  begun anew {100 * row['anew']:.1f} %  "
            + "  ".join(f"|{name}| {value:.2f}" for name, value in row["norms"].items())
        )
    halves = [rows[: len(rows) // 2], rows[len(rows) // 2 :]]
    first, second = (100 * float(np.mean([row["carried"] for row in half])) for half in halves)
    print(f"first half {first:.1f} %, second half {second:.1f} %: {second - first:+.1f} points")
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    draw(rows, options.out, options.model)
    print(options.out)


def stream(seconds: float, fps: float, seed: int) -> Iterator[Frame]:
    """The world with cuts that are not marked as new segments."""
    settings = WorldSettings(
        seed=UNSEEN + 500 + seed, width=192, height=144, fps=fps, seconds=seconds, scene_seconds=30.0
    )
    for frame in World(settings):
        yield replace(frame, segment=0)


def measure(recognizer: Recognizer, hours: float, seed: int) -> list[dict]:
    """One row for each ten minutes."""
    carried = anew = recognizer.initial_state()
    begun, rows, right, norms = 0.0, [], [], []
    last = hours * 3600
    for frame in stream(last, recognizer.fps, seed):
        if frame.timestamp - begun >= ANEW:
            anew, begun = recognizer.initial_state(), frame.timestamp
        (one, carried), (other, anew) = recognizer.step_many([frame, frame], [carried, anew])
        right.append((one.label == frame.truth, other.label == frame.truth))
        norms.append(norms_of(carried))
        if frame.timestamp >= (len(rows) + 1) * BIN - 1.5 / recognizer.fps:
            shares = np.mean(right, axis=0)
            means = {name: float(np.mean([n[name] for n in norms])) for name in norms[0]}
            rows.append(
                {
                    "minutes": (len(rows) + 1) * BIN / 60,
                    "carried": float(shares[0]),
                    "anew": float(shares[1]),
                    "norms": means,
                }
            )
            right, norms = [], []
    return rows


def norms_of(state: State) -> dict[str, float]:
    """Euclidean norms of what the head remembers."""
    names = ("h", "c", "recall sum", "recall weight")
    return {name: float(np.linalg.norm(array)) for name, array in zip(names, state.head, strict=False)}


def draw(rows: list[dict], path: Path, model: str) -> None:
    """Accuracy above, norms below."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, (above, below) = pyplot.subplots(2, 1, sharex=True, figsize=(8, 5.5), layout="constrained")
    minutes = [row["minutes"] for row in rows]
    above.plot(minutes, [100 * row["carried"] for row in rows], label="state carried since minute 0")
    above.plot(minutes, [100 * row["anew"] for row in rows], "--", label="begun anew every minute")
    above.set_ylabel("frames right, %")
    above.set_ylim(min(80.0, 100 * min(row["carried"] for row in rows) - 2), 100)
    above.legend(loc="lower right")
    above.grid(alpha=0.3)
    for name in rows[0]["norms"]:
        below.plot(minutes, [row["norms"][name] for row in rows], label=name)
    below.set_ylabel("norm of the state")
    below.set_ylim(bottom=0)
    below.set_xlabel("minutes since the stream began")
    below.legend(loc="lower right")
    below.grid(alpha=0.3)
    figure.suptitle(f"{model}: one stream of the synthetic world, unseen people and rooms")
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()

"""Whether a step got slower since a commit: `python benchmarks/against.py COMMIT [--model fight] [--rounds 300]`

The commit is checked out beside this tree, and removed at the end. A process of each version takes the same drawn
frames with the same model file, as an app does (`StreamRecognizer`) and by the step alone; they take turns of ten
frames, so that whatever else the machine does slows both. Printed is the CPU time of a frame in each, and the ratio of
this tree to the commit: of the medians of the turns, with a 95 % interval by bootstrap over turns. Below 1 is quicker.
A third process, of this tree again, shows what two processes of one version differ by.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
FRAMES = 10  # of a turn

WORKER = """
import json, sys, time
import numpy as np
import streamrec
from streamrec import Frame, Recognizer, StreamRecognizer, World, WorldSettings

recognizer = Recognizer.load(sys.argv[1], engine="onnx", threads=1)
world = World(WorldSettings(seed=1, width=640, height=480, fps=recognizer.fps, seconds=8.0))
images = [frame.image for frame in world]
stream, state, index = StreamRecognizer(recognizer), recognizer.initial_state(), 0
print(json.dumps(streamrec.__file__), flush=True)
for line in sys.stdin:
    numbers = range(index, index + int(line))
    frames = [Frame(images[n % len(images)], n, n / recognizer.fps) for n in numbers]
    index = numbers.stop
    begun = time.thread_time()
    for frame in frames:
        _, state = recognizer.step(frame, state)
    between = time.thread_time()
    for frame in frames:
        stream.recognize(frame.image, frame.timestamp)
    print(json.dumps([between - begun, time.thread_time() - between]), flush=True)
"""


class Version:
    """A process that runs a tree."""

    def __init__(self, tree: Path, model: str, stack: ExitStack) -> None:
        environment = {
            **os.environ,
            "PYTHONPATH": str(tree),
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }
        command = [sys.executable, "-c", WORKER, model]
        self._process = stack.enter_context(
            subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=tree
            )
        )
        stack.callback(self._process.kill)
        loaded = Path(self._read())
        if tree not in loaded.parents:
            raise SystemExit(f"{loaded} was imported, and not the package in {tree}")

    def _read(self) -> object:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("a process ended: see above")
        return json.loads(line)

    def turn(self) -> list[float]:
        """CPU seconds of a turn: of the step alone, and of all that an app's frame needs."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{FRAMES}\n")
        self._process.stdin.flush()
        return self._read()


def ratio(ours: np.ndarray, theirs: np.ndarray) -> str:
    """Of the medians of turns, with its interval."""
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(ours), (2000, len(ours)))
    many = np.median(ours[drawn], axis=1) / np.median(theirs[drawn], axis=1)
    low, high = np.quantile(many, [0.025, 0.975])
    return f"{np.median(ours) / np.median(theirs):.4f} ({low:.4f} to {high:.4f})"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("commit")
    parser.add_argument("--model", default="fight")
    parser.add_argument("--rounds", type=int, default=300)
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "before"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "-q", "--detach", str(folder), options.commit], check=True)
        stack.callback(subprocess.run, [*git, "remove", "--force", str(folder)], check=True)
        model = str(ROOT / "streamrec/runtime/models" / f"{options.model}.safetensors")
        trees = {"this tree": ROOT, options.commit: folder, "this tree again": ROOT}
        versions = {name: Version(tree, model, stack) for name, tree in trees.items()}
        for version in versions.values():
            version.turn()  # the first one warms up
        rng = np.random.default_rng(0)
        turns: dict[str, list[list[float]]] = {name: [] for name in versions}
        for _ in range(options.rounds):
            for n in rng.permutation(len(versions)):
                name = list(versions)[n]
                turns[name].append(versions[name].turn())
    found = {name: np.array(rows) / FRAMES * 1000 for name, rows in turns.items()}
    for column, what in enumerate(("step", "StreamRecognizer.recognize")):
        print(f"{options.model}, {what}, ms of CPU time a frame, median of {options.rounds} turns:")
        for name, rows in found.items():
            print(f"  {name:16} {np.median(rows[:, column]):.4f}")
        ours, theirs, again = (rows[:, column] for rows in found.values())
        print(f"  ratio to {options.commit}: {ratio(ours, theirs)}; to itself: {ratio(ours, again)}")


if __name__ == "__main__":
    main()

"""Live cameras on this machine: `python benchmarks/cameras.py --model workout` says how often each was recognized.

Each camera is a real RTSP server in a process of its own, which draws and encodes its frames on the same machine;
`streamrec watch` is another process. What it prints is counted from its JSON Lines after the first seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from streamrec.evaluation.bench import commit, processor
from tests.helpers.cameras import rtsp_camera, rtsp_missing

WARM_UP = 10.0  # seconds, while cameras connect


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--model", default="workout", help="a shipped model's name, or a file")
    parser.add_argument("--cameras", type=int, default=4)
    parser.add_argument("--fps", type=float, default=10.0, help="of the cameras and of the recognition")
    parser.add_argument("--size", default="640x480")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--video", type=Path, help="what the cameras show; default: a test pattern")
    options = parser.parse_args()
    if reason := rtsp_missing():
        raise SystemExit(reason)
    width, height = map(int, options.size.split("x"))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        cameras = [
            stack.enter_context(rtsp_camera(options.video, fps=options.fps, size=(width, height)))
            for _ in range(options.cameras)
        ]
        tables = [
            f'[[camera]]\nname = "camera {n}"\naddress = "{camera}"\n' for n, camera in enumerate(cameras)
        ]
        file = folder / "cameras.toml"
        file.write_text(
            f'[defaults]\nmodel = "{options.model}"\nfps = {options.fps}\n' + "\n".join(tables), "utf-8"
        )
        seconds = WARM_UP + options.seconds
        command = [sys.executable, "-m", "streamrec", "watch", str(file), "--jsonl", "-", "--predictions"]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        run = subprocess.run(
            [*command, "--max-seconds", str(seconds)], capture_output=True, text=True, check=True
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    seen = [line for line in lines if line.get("type") == "prediction"]
    if not seen:
        raise SystemExit(f"no camera was recognized: {run.stderr.strip()[-500:]}")
    print(f"{processor()}, {os.cpu_count()} cores, Python {platform.python_version()}, commit {commit()}")
    print(f"{options.model}, {options.cameras} cameras of {options.size} at {options.fps:g} frames a second")
    for name in sorted({line["source"] for line in seen}):
        own = [line for line in seen if line["source"] == name]
        own = [line for line in own if line["timestamp"] >= own[0]["timestamp"] + WARM_UP]
        times, late = np.array([(line["timestamp"], line["latency"]) for line in own]).T
        p50, p99 = 1000 * np.percentile(late, (50, 99))
        print(
            f"{name}: {(len(own) - 1) / (times[-1] - times[0]):.2f} a second, "
            f"longest gap {np.diff(times).max():.2f} s, "
            f"{own[-1]['dropped'] - own[0]['dropped']} of {len(own)} left out, latency p50 {p50:.0f}, p99 {p99:.0f} ms"
        )
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"CPU time of watch: {spent / seconds:.2f} of one core; at most {after.ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()

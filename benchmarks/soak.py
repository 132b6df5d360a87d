"""The soak: cameras watched for an hour in one process while faults are thrown at them, by chance from a seed.

``python benchmarks/soak.py --minutes 8`` prints what the process held in each part of that time, what every fault and
camera, and the requirements: those that are not met are reported. Each camera is a real RTSP server on this
machine behind a proxy (``tests/system/faults``); cameras and proxies are other processes than the one that is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from streamrec.evaluation.bench import commit, processor
from tests.helpers.cameras import rtsp_missing
from tests.system.faults.soak import (
    BACK_SECONDS,
    FPS,
    GRACE,
    STILL_GRACE,
    Check,
    Soak,
    by_kind,
    run_soak,
    summed,
)

PARTS = 8  # rows of what the process held


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--minutes", type=float, default=60.0, help="of faults; rest before and after is added"
    )
    parser.add_argument("--cameras", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="fight", help="a shipped model's name, or a file")
    parser.add_argument("--every", type=float, default=2.0, help="seconds between samples")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers here too")
    arguments = parser.parse_args()
    if reason := rtsp_missing():
        raise SystemExit(reason)

    soak = run_soak(
        seconds=60.0 * arguments.minutes,
        cameras=arguments.cameras,
        seed=arguments.seed,
        model=arguments.model,
        every=arguments.every,
        heard=lambda text: print(text, file=sys.stderr, flush=True),
    )
    checks = soak.checks()
    print(f"{arguments.model} model, {arguments.cameras} cameras of 320x240 at {FPS} fps, "
          f"{arguments.minutes:g} minutes of faults, seed {arguments.seed}")  # fmt: skip
    print(f"{processor()}, Python {platform.python_version()}, commit {commit()}\n")
    for table in (parts(soak), faults(soak), cameras(soak), verdict(checks)):
        print("\n".join(table) + "\n")
    print(
        f"Recovered: from the fault's end to the first of three good, new pictures in a row, within {BACK_SECONDS:g} "
        f's. Wrong "live": called live with no whole picture for {GRACE:g} s, or the same one for {STILL_GRACE:g} s.'
    )
    missed = [one.name for one in checks if not one.met]
    print(f"Not met: {', '.join(missed)}." if missed else "All of it is met.")
    arenas = os.environ.get("MALLOC_ARENA_MAX")
    print(f"MALLOC_ARENA_MAX: {arenas or 'not set'}.")
    if soak.output:
        print(f"The process complained: {soak.output[-2000:]}")
    if arguments.json is not None:
        text = json.dumps(as_dict(soak, checks), indent=1)
        arguments.json.write_text(text + "\n", encoding="utf-8")
    if missed:
        raise SystemExit(1)


def parts(soak: Soak) -> list[str]:
    """What the process held, in the median of each part of the time."""
    length = (soak.to - soak.from_) / PARTS
    spans = [("rest before", 0.0, soak.from_, soak.before)]
    for number in range(PARTS):
        since, until = soak.from_ + number * length, soak.from_ + (number + 1) * length
        name = f"{number * length / 60:.1f} to {(number + 1) * length / 60:.1f}"
        spans.append((name, since, until, [s for s in soak.samples if since <= s["at"] < until]))
    spans.append(("rest after", soak.to, float("inf"), soak.after))
    rows = []
    for name, since, until, samples in spans:
        held = []
        for what, form in (("memory", ".1f"), ("heap", ".1f"), ("threads", "g"), ("files", "g")):
            values = [sample[what] for sample in samples if sample[what] is not None]
            held.append(f"{statistics.median(values):{form}}" if values else "–")
        lags = [lag for at, lag in soak.lags if since <= at < until]
        thrown = sum(since <= one.started < until for one in soak.thrown)
        rows.append([name, *held, f"{statistics.median(lags):.2f}" if lags else "–", str(thrown)])
    return table(
        [
            "minutes",
            "memory, MB",
            "in use, MB",
            "threads",
            "descriptors",
            "lag while calm, pictures",
            "faults",
        ],
        rows,
    )


def faults(soak: Soak) -> list[str]:
    """What was thrown, and how long pictures took to be good again."""
    rows = []
    for name, thrown in by_kind(soak).items():
        times = [t.recovered for t in thrown if t.recovered is not None]
        shown = [f"{statistics.median(times):.1f}", f"{max(times):.1f}"] if times else ["–", "–"]
        rows.append([name, str(len(thrown)), str(len(times)), *shown])
    return table(["fault", "thrown", "recovered", "median, s", "slowest, s"], rows)


def cameras(soak: Soak) -> list[str]:
    """What became of every picture of each camera, by cause."""
    rows = []
    for place in dict.fromkeys(w.place for w in soak.watched.values()):
        these = [w for w in soak.watched.values() if w.place == place]
        numbers = [sum(w.final[what] for w in these if w.final) for what in ("read", "recognized")]
        causes = [counted(summed(soak, place, what)) for what in ("dropped", "refused", "reconnects")]
        wrong = "; ".join(why for w in these if (why := soak.account(w)))
        live = sum(w.wrong_live for w in these)
        rows.append([place, *map(str, numbers), *causes, f"{live:.1f}", wrong or "exact"])
    head = ["camera", "read", "recognized", "dropped", "refused before", "reconnects", 'wrong "live", s']
    return table([*head, "account"], rows)


def counted(causes: dict[str, int]) -> str:
    return ", ".join(f"{cause} {number}" for cause, number in causes.items()) or "0"


def verdict(checks: list[Check]) -> list[str]:
    return table(["asked", "", "found"], [[c.name, "met" if c.met else "NOT MET", c.text] for c in checks])


def table(head: list[str], rows: Iterable[list[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]


def as_dict(soak: Soak, checks: list[Check]) -> dict[str, Any]:
    """All numbers, times in seconds since the beginning."""
    return {
        "seconds": soak.seconds,
        "seed": soak.seed,
        "commit": commit(),
        "checks": [{"name": c.name, "met": c.met, "text": c.text} for c in checks],
        "samples": [{**s, "at": round(s["at"] - soak.begun, 1)} for s in soak.samples],
        "faults": [t.as_dict(soak.begun) for t in soak.thrown],
        "cameras": {
            name: {
                "counts": w.final,
                "wrong_live": w.wrong_live,
                "told": [(round(at - soak.begun, 1), state, reason) for at, state, reason in w.told],
            }
            for name, w in soak.watched.items()
        },
        "left": soak.left,
    }


if __name__ == "__main__":
    main()

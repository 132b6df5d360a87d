"""A fleet under faults, and its price: named trials, each with real machines on this host.

``python benchmarks/fleet.py node frozen`` runs two of them, ``all`` every one, one after the other;
``python benchmarks/fleet.py soak --minutes 10`` is a fault each minute. Each trial prints what it measured and whether
its requirements were met; docs/fleet.md has what was found. A trial needs Linux, Ray, and GStreamer's RTSP server.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from streamrec.evaluation.bench import commit, processor
from tests.helpers.cameras import rtsp_missing
from tests.system.fleet import price, security, session, soak, trials
from tests.system.fleet.trials import Report, Size

TRIALS: dict[str, Callable[[Size, Report], None]] = {
    "node": trials.node,
    "raylet": trials.raylet,
    "partition": trials.worker,
    "frozen": trials.frozen,
    "move": trials.move,
    "unplanned": price.unplanned,
    "ledger": trials.ledger,
    "head": trials.head,
    "disk": trials.disk,
    "overload": trials.overload,
    "clocks": trials.clocks,
    "session": session.session,
    "version": trials.version,
    "price": price.price,
    "scale": price.scale,
    "security": security.security,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("trials", nargs="+", choices=[*TRIALS, "all", "soak"], metavar="TRIAL",
                        help=f"{', '.join(TRIALS)}; all; soak")  # fmt: skip
    parser.add_argument("--files", type=int, default=6, help="cameras that are files")
    parser.add_argument("--live", type=int, default=6, help="cameras that are RTSP servers")
    parser.add_argument("--frames", type=int, default=400, help="of each file")
    parser.add_argument("--machines", type=int, default=3, choices=(2, 3), help="beside the head")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--away", type=float, default=30.0, help="seconds that the head, or its disk, is away"
    )
    parser.add_argument("--seconds", type=float, default=30.0, help="of a measurement without a fault")
    parser.add_argument("--cameras", type=int, default=500, help="of the trial `scale`")
    parser.add_argument("--minutes", type=float, default=60.0, help="of the soak")
    parser.add_argument("--json", type=Path, metavar="FILE", help="append the numbers here, one line a trial")
    options = parser.parse_args()
    if reason := rtsp_missing():
        raise SystemExit(reason)
    size = Size(
        files=options.files,
        live=options.live,
        frames=options.frames,
        machines=options.machines,
        seed=options.seed,
        away=options.away,
        seconds=options.seconds,
        cameras=options.cameras,
        minutes=options.minutes,
    )
    print(f"{processor()}, {os.cpu_count()} cores, Python {platform.python_version()}, commit {commit()}")
    missed = []
    known = {**TRIALS, "soak": soak.soak}
    for name in TRIALS if "all" in options.trials else options.trials:
        print(
            f"\n{name}: {(known[name].__doc__ or '').strip()}\n  load of this host: {os.getloadavg()[0]:.1f}",
            flush=True,
        )
        report, began = Report(), time.monotonic()
        try:
            known[name](size, report)
        except Exception as error:  # the other trials are to run
            report.check(f"the trial ran to its end ({type(error).__name__}: {error})", False)
        print(f"  {time.monotonic() - began:.0f} s", flush=True)
        missed += [f"{name}: {text}" for text, met in report.checks if not met]
        if options.json is not None:
            with options.json.open("a", encoding="utf-8") as file:
                line = {"trial": name, "commit": commit(), **report.numbers, "checks": report.checks}
                file.write(json.dumps(line) + "\n")
    print("\nNot met:\n  " + "\n  ".join(missed) if missed else "\nAll of it is met.")
    raise SystemExit(bool(missed))


if __name__ == "__main__":
    main()

"""The fault table: what goes wrong between a camera and its reader, and what three readers make of it.

``python benchmarks/faults.py`` prints Markdown: streamrec's capture loop, the ``cv2.VideoCapture`` loop that
everybody writes, and vidgear's CamGear (``pip install vidgear``; without it, the table has no rows of it). Each
reader is a process of its own with a camera of its own on this machine; the three readers of a fault run at
once, the faults one after the other.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import platform
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from streamrec.evaluation.bench import commit, processor
from tests.helpers.cameras import rtsp_missing
from tests.system.faults.elsewhere import ELSEWHERE
from tests.system.faults.faults import FAULTS, Fault
from tests.system.faults.readers import READERS
from tests.system.faults.trial import LATE_SECONDS, Trial, run_elsewhere, run_trial

LONG_SECONDS = 300.0  # the long freeze, where there is time for it
HEAD = [
    "fault", "reader", "notice, s", "recover, s", "lost + late", "lag, pictures",
    'wrong "live", s', "bad pictures", "outcome",
]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--faults", nargs="+", metavar="NAME", choices=[*FAULTS, *ELSEWHERE], help="default: all"
    )
    parser.add_argument("--readers", nargs="+", choices=READERS, help="default: all that are installed")
    parser.add_argument("--deadline", type=float, default=20.0, help="seconds to come back; after that: hang")
    parser.add_argument("--long", action="store_true", help="the long freeze lasts 5 minutes, not 30 s")
    parser.add_argument("--one-by-one", action="store_true", help="readers, too, run one after the other")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the numbers here too; - is standard output"
    )
    arguments = parser.parse_args()
    faults = arguments.faults or [*FAULTS, *ELSEWHERE]
    readers = arguments.readers or [name for name in READERS if installed(name)]
    if any(fault in FAULTS for fault in faults) and (reason := rtsp_missing()):
        raise SystemExit(reason)
    as_json = str(arguments.json) == "-"
    out = sys.stderr if as_json else sys.stdout

    print(f"{about()}\n", file=out)
    print(line(HEAD), line(["---"] * len(HEAD)), sep="\n", file=out)
    rows: list[dict[str, Any]] = []
    begun = time.monotonic()
    with ThreadPoolExecutor(1 if arguments.one_by_one else len(readers)) as pool:
        for fault in faults:
            asked = [(fault, reader, arguments.deadline, arguments.long) for reader in readers]
            these = [as_row(trial) for trial in pool.map(tried, asked)]
            for row in these:
                print(line(cells(row)), file=out, flush=True)
            rows += these
    print(f"\n{legend(arguments.deadline, time.monotonic() - begun)}", file=out)
    for sentence in behind(rows, "streamrec"):
        print(f"- {sentence}", file=out)
    if arguments.json is not None:
        text = json.dumps({"about": about(), "seconds": time.monotonic() - begun, "rows": rows}, indent=1)
        if as_json:
            print(text)
        else:
            arguments.json.write_text(text + "\n", encoding="utf-8")


def installed(reader: str) -> bool:
    return reader != "vidgear" or importlib.util.find_spec("vidgear") is not None


def tried(asked: tuple[str, str, float, bool]) -> Trial:
    """One trial; one that did not get so far as its fault is repeated once."""
    name, reader, deadline, long = asked
    if name in ELSEWHERE:
        with tempfile.TemporaryDirectory() as folder:
            return run_elsewhere(name, ELSEWHERE[name](Path(folder)), reader, deadline=deadline)
    seconds = LONG_SECONDS if long and name == "long freeze" else None
    for _ in range(2):
        trial = run_trial(FAULTS[name], reader, seconds=seconds, deadline=deadline)
        if trial.begun:
            break
    return trial


def as_row(trial: Trial) -> dict[str, Any]:
    """The numbers of a trial; None where there is none to give."""
    kind = FAULTS.get(trial.fault)
    harmless = kind is not None and not kind.silent and kind.breaks is False
    curable = kind is not None and kind.ends
    row: dict[str, Any] = {"fault": trial.fault, "reader": trial.reader, "outcome": trial.outcome}
    row["notice"] = None if harmless else rounded(trial.noticed, 1)
    row["recover"] = rounded(trial.recovered, 1) if curable and not harmless else None
    # Whoever is slower than the camera is meant to miss some.
    counts = curable and not (kind and kind.work)
    row["lost"], row["late"] = (trial.lost, trial.late) if counts else (None, None)
    row["lag"] = rounded(trial.lag, 1) if curable else None
    row["wrong_live"] = rounded(trial.wrong_live, 1)
    row["bad"] = trial.damaged + trial.repeated if kind is not None else 0
    row["pictures"] = len(trial.seen)
    row["left"] = rounded(trial.left, 2)
    row["says"] = trial.sentence
    row["refused"] = trial.counts[-1].refused if trial.counts else {}
    row["reconnects"] = trial.counts[-1].reconnects if trial.counts else {}
    row["curable"] = curable
    if harmless and trial.outcome == "recovered":
        row["outcome"] = "read"
    if not curable:
        row["outcome"] = "ends in words" if trial.sentence else "ends in silence" if trial.end else "hang"
        if trial.end is None and trial.noticed is not None:
            row["outcome"] = "tries on" + (", says why" if trial.sentence else "")
    if not trial.begun:
        row["outcome"] = "never began"
    return row


def rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def cells(row: dict[str, Any]) -> list[str]:
    def shown(name: str) -> str:
        return "–" if row[name] is None else f"{row[name]:g}"

    numbers = [shown(name) for name in ("notice", "recover", "lost", "lag", "wrong_live", "bad")]
    if row["lost"] is not None:
        numbers[2] = f"{row['lost']} + {row['late']}"
    if row["outcome"] == "hang":
        numbers[1] = "hang"
    return [row["fault"], row["reader"], *numbers, row["outcome"]]


def line(texts: Iterable[str]) -> str:
    return f"| {' | '.join(texts)} |"


def behind(rows: list[dict[str, Any]], mine: str) -> list[str]:
    """Where another reader is better than ``mine``, in sentences; the tolerances are those of one measurement."""
    tolerances = {"recover": 1.0, "lost": 15.0, "lag": 1.0, "wrong_live": 0.5, "bad": 2.0, "notice": 1.0}
    found = []
    rows = [{**row, "lost": None if row["lost"] is None else row["lost"] + row["late"]} for row in rows]
    for own in (row for row in rows if row["reader"] == mine):
        for other in (row for row in rows if row["fault"] == own["fault"] and row["reader"] != mine):
            where = f"{own['fault']}: {other['reader']}"
            if (
                own["curable"]
                and own["outcome"] != other["outcome"]
                and other["outcome"] in ("recovered", "read")
            ):
                found.append(f"{where} comes back, {mine} does not ({own['outcome']}: {own['says']})")
                continue
            for what, tolerance in tolerances.items():
                a, b = own[what], other[what]
                if b is not None and (a is None or a > b + tolerance):
                    what = "lost and late" if what == "lost" else what
                    price = (
                        f" (and passed on {other['bad']} bad pictures)"
                        if other["bad"] > own["bad"] + 2
                        else ""
                    )
                    found.append(
                        f"{where} has {what} {b:g}{price}, {mine} {'none' if a is None else f'{a:g}'}"
                    )
    return found


def legend(deadline: float, seconds: float) -> str:
    still = FAULTS["picture stands still"].grace
    return (
        "notice: from the fault's start until the reader reports that something is wrong. recover: from its end to the "
        f"first of three good, fresh pictures in a row; hang: not within {deadline:g} s. lost: pictures made while "
        f"they could come, and never seen; late: seen when they were older than {LATE_SECONDS:g} s. lag: age of the "
        'pictures in the end, in pictures of the camera. wrong "live": seconds of being called live with no new, '
        f"whole picture for {Fault.grace:g} s ({still:g} s where it stands still). bad pictures: torn ones and "
        f"repeated ones that were passed on. The table took {seconds:.0f} s."
    )


def about() -> str:
    versions = {name: _version(name) for name in ("opencv-python", "av", "vidgear")}
    listed = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    return f"{processor()}, Python {platform.python_version()}, {listed}, commit {commit()}"


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


if __name__ == "__main__":
    main()

"""Who crosses a line: `python benchmarks/crossings.py DATA`; the truth is in crossings.csv beside this.

DATA has the sets `urfall`, `falls` and `fights`. A row of the table is a line in a clip: its ends in parts of the
image, what crossing it is called (`forward` is from its left to its right, seen from the first end), the true
crossings (the second in which the middle between the feet passes the line, and the direction), and how many people
come near it and do not cross. They were read off the frames by eye, before anything was measured.

A crossing is found where an event of its line and direction is dated at most `--within` seconds from it; the opposite
direction is wrong; all other events are false.
"""

from __future__ import annotations

import argparse
import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from streamrec import Recognizer, open_source
from streamrec.core.threads import limit_opencv_threads
from streamrec.core.zones import Line
from streamrec.events.places import PlaceSettings
from streamrec.pipeline.result_builder import ResultBuilder
from streamrec.sources.sampling import pace
from streamrec.types import ActionStarted

TRUTH = Path(__file__).with_name("crossings.csv")
Crossing = tuple[float, str]  # seconds, and the label


def main() -> None:
    """Print how many crossings are found, and what is reported beside them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="webcam")
    parser.add_argument("--fps", type=float, nargs="+", default=[5.0, 10.0, 15.0])
    parser.add_argument("--within", type=float, default=0.6, help="seconds from the true time")
    parser.add_argument("--verbose", action="store_true", help="print what is not as it should be")
    options = parser.parse_args()
    limit_opencv_threads()
    with TRUTH.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    clips = {row["clip"]: [one for one in rows if one["clip"] == row["clip"]] for row in rows}
    recognizer = Recognizer.load(options.model, people=True, threads=1)
    print(f"{'fps':>4} crossings  found  wrong way  missed  false   passes  with a false event")
    for fps in options.fps:
        total: Counter[str] = Counter()
        for clip, lines in clips.items():
            own_lines = [line_of(n, row) for n, row in enumerate(lines)]
            found = crossings_in(recognizer, options.data / clip, own_lines, fps)
            for n, row in enumerate(lines):
                own = [one for one in found if one[1].split(" ")[0] == f"line{n}"]
                counts = compared(list(true_crossings(n, row)), own, options.within)
                counts["passes"] = int(row["passes"])
                counts["disturbed"] = min(counts["passes"], counts["false"]) if counts["passes"] else 0
                total += counts
                if options.verbose and (counts["missed"] or counts["wrong"] or counts["false"]):
                    print(f"     {clip} {row['crossings'] or 'no crossing'}: {own}")
        print(
            f"{fps:4.0f} {total['true']:9} {total['found']:6} {total['wrong']:10} {total['missed']:7} "
            f"{total['false']:6} {total['passes']:8} {total['disturbed']:10}",
            flush=True,
        )


def line_of(number: int, row: dict[str, str]) -> Line:
    """The line of a row."""
    x1, y1, x2, y2 = (float(row[key]) for key in ("x1", "y1", "x2", "y2"))
    return Line(f"line{number}", ((x1, y1), (x2, y2)), row["forward"], row["back"])


def true_crossings(number: int, row: dict[str, str]) -> Iterator[Crossing]:
    """What is known of the line of a row."""
    for one in filter(None, row["crossings"].split("; ")):
        at, word = one.split(" ")
        yield float(at), f"line{number} {word}"


def crossings_in(recognizer: Recognizer, path: Path, lines: list[Line], fps: float) -> list[Crossing]:
    """What is reported in a clip that is played as a stream."""
    builder, state = ResultBuilder(recognizer, ""), recognizer.initial_state()
    builder.placed(PlaceSettings(lines=tuple(lines)))
    labels = {label for line in lines for label in line.labels}
    found: list[Crossing] = []
    for frame in pace(iter(open_source(path)), fps=fps):
        prediction, state = recognizer.step(frame, state)
        events = builder.build(frame, prediction, asked=0.0).events
        found += [
            (event.timestamp, event.label)
            for event in events
            if isinstance(event, ActionStarted) and event.label in labels
        ]
    return found


def compared(true: list[Crossing], found: list[Crossing], within: float) -> Counter[str]:
    """Each true crossing is found, found in the wrong direction, or missed; what is left over is false."""
    counts: Counter[str] = Counter({"true": len(true)})
    left = list(found)
    for at, label in true:
        near = sorted((one for one in left if abs(one[0] - at) <= within), key=lambda one: abs(one[0] - at))
        right = [one for one in near if one[1] == label]
        chosen = (right or near or [None])[0]
        if chosen is not None:
            left.remove(chosen)
        counts["found" if right else "missed" if chosen is None else "wrong"] += 1
    counts["false"] = len(left)
    return counts


if __name__ == "__main__":
    main()

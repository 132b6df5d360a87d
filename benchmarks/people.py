"""What it costs to find and follow people: `python benchmarks/people.py`.

CPU time of a step on one thread, of each model alone and with people, of pictures of one, three and six drawn people.
They take turns; the median of all runs counts. Beside it, how many people were found, and the tracker's own part.
"""

from __future__ import annotations

import argparse
import itertools
import time

import cv2
import numpy as np

from streamrec import Frame, Recognizer, open_source
from streamrec.events.people.detections import read_detections
from streamrec.events.people.tracker import Tracks, step_tracks

# People -> columns and rows of the picture, and the part of a world's width that a cell shows: the person is there.
ACROSS = {1: (1, 1, (0.0, 1.0)), 3: (3, 1, (0.5, 0.833)), 6: (3, 2, (0.333, 1.0))}


def pictures(people: int, count: int) -> list[Frame]:
    """Frames of 640x480 with so many people, each drawn in a world of their own."""
    columns, rows, (left, right) = ACROSS[people]
    size = 640 // columns, 480 // rows
    worlds = [itertools.islice(open_source(f"synthetic:{seed}"), 0, 3 * count, 3) for seed in range(people)]
    frames = []
    for index, parts in enumerate(zip(*worlds, strict=True)):
        cells = []
        for part in parts:
            width = part.image.shape[1]
            shown = part.image[:, round(left * width) : round(right * width)]
            cells.append(cv2.resize(shown, size, interpolation=cv2.INTER_AREA))
        image = np.vstack([np.hstack(cells[row * columns : (row + 1) * columns]) for row in range(rows)])
        frames.append(Frame(image, index, index / 10))
    return frames


def main() -> None:
    """Run all in turns, print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=40)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    print(f"{'model':8} {'people':>6} {'found':>6} {'alone':>9} {'with':>9} {'ratio':>6} {'tracker':>9}")
    for name in ("webcam", "fight", "fall"):
        alone, with_people = (Recognizer.load(name, threads=1, people=people) for people in (False, True))
        for people in ACROSS:
            frames = pictures(people, options.frames)
            states = {one: one.initial_state() for one in (alone, with_people)}
            took: dict[Recognizer, list[float]] = {alone: [], with_people: []}
            tracking, found = [], []
            for frame in frames:
                before = states[with_people]
                for one in took:
                    began = time.process_time()
                    prediction, states[one] = one.step(frame, states[one])
                    took[one].append(time.process_time() - began)
                found.append(len(prediction.people or ()))
                began = time.process_time()
                given = read_detections(states[with_people].cache[-1][0])
                step_tracks(Tracks(*(array[0] for array in before.tracks)), given, 0.1, aspect=4 / 3)
                tracking.append(time.process_time() - began)
            plain, more = (1000 * float(np.median(took[one])) for one in (alone, with_people))
            print(
                f"{name:8} {people:6} {np.mean(found[5:]):6.1f} {plain:6.1f} ms {more:6.1f} ms {more / plain:6.3f} "
                f"{1000 * float(np.median(tracking)):6.2f} ms",
                flush=True,
            )


if __name__ == "__main__":
    main()

"""How well repetitions are counted in the stream: `python benchmarks/counting.py FOLDER [--workout FOLDER]`.

FOLDER has clips and an index.csv with the columns clip, group and cycle_ends (seconds, one for each repetition). A file
of another kind, --workout, has the column repetitions (seconds at which each begins). Every clip is played through the
loop that serves cameras; the count is what was counted when it ends. MAE is the mean of |counted - true| / true, OBO
the share of clips that are off by one at most. The delay of a repetition is from its true end to the frame with which
it counts. "chosen on" is the half of the groups on which the settings were chosen.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from index_csv import rows_of

from streamrec import Recognizer, RecurrenceSettings, open_source
from streamrec.core.image import brightness
from streamrec.core.threads import limit_opencv_threads
from streamrec.events.recurrence import RecurrenceCounter
from streamrec.pipeline.loop import results
from streamrec.sources.sampling import pace


@dataclass
class Counted:
    """One clip: its true repetitions and what was counted."""

    group: str
    ends: np.ndarray  # seconds
    totals: list[int]  # after each frame
    times: list[float]  # of the frames, seconds


def main() -> None:
    """Play all clips, print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--workout", type=Path, help="another folder, with a column repetitions")
    parser.add_argument("--fps", type=float, nargs="+", default=[10.0, 15.0, 30.0])
    parser.add_argument("--model", help="count with this model's own counter too")
    options = parser.parse_args()
    limit_opencv_threads()
    for folder, column in ((options.folder, "cycle_ends"), (options.workout, "repetitions")):
        if folder is None:
            continue
        print(f"{folder.name:24}   MAE   OBO  clips  median delay (s)")
        for fps in options.fps:
            began = time.process_time()
            clips = [recurrent(folder / row["clip"], row, column, fps) for row in rows(folder, column)]
            spent = 1000 * (time.process_time() - began) / sum(len(clip.times) for clip in clips)
            report(f"any motion, {fps:g} fps", clips)
            print(f"{'':24} {spent:.2f} ms CPU a frame, decoding included")
        if options.model:
            recognizer = Recognizer.load(options.model, threads=1)
            clips = [by_model(folder / row["clip"], row, column, recognizer) for row in rows(folder, column)]
            report(f"counter of {options.model}", clips)


def rows(folder: Path, column: str) -> list[dict[str, str]]:
    """The clips whose repetitions are known."""
    return [row for row in rows_of(folder) if row[column].strip()]


def recurrent(path: Path, row: dict[str, str], column: str, fps: float) -> Counted:
    """What the counter of any motion finds in a clip, a frame at a time."""
    counter = RecurrenceCounter(RecurrenceSettings())
    state, totals, times = counter.initial_state(), [], []
    for frame in pace(open_source(str(path)), fps=fps):
        found, state = counter.step(brightness(frame.image), frame.timestamp, state)
        totals.append(found.total)
        times.append(frame.timestamp)
    return of(row, column, totals, times)


def by_model(path: Path, row: dict[str, str], column: str, recognizer: Recognizer) -> Counted:
    """What the counter of a model finds: the largest count of each set, summed."""
    totals, times, before, last = [], [], 0, 0
    for result in results(str(path), recognizer):
        if result.repeated:
            continue
        count = result.repetitions or 0
        if count < last:
            before += last
        last = count
        totals.append(before + count)
        times.append(result.frame.timestamp)
    return of(row, column, totals, times)


def of(row: dict[str, str], column: str, totals: list[int], times: list[float]) -> Counted:
    """The clip with the repetitions that end while it plays."""
    ends = np.array([float(end) for end in row[column].split()])
    if (
        column == "repetitions"
    ):  # their starts: one ends where the next begins, and the last one with the clip
        ends = np.append(ends[1:], times[-1]) if ends[-1] < times[-1] else ends
    return Counted(row.get("group") or row["label"], ends[ends <= times[-1] + 0.5], totals, times)


def report(name: str, clips: list[Counted]) -> None:
    """Print the line of all clips, and of both halves of the groups where there are many."""
    clips = [clip for clip in clips if len(clip.ends)]
    groups = sorted({clip.group for clip in clips})
    chosen = set(groups[::2])
    parts = {"": clips}
    if len(groups) > 10:
        parts["  chosen on"] = [clip for clip in clips if clip.group in chosen]
        parts["  the others"] = [clip for clip in clips if clip.group not in chosen]
    else:
        parts["  from 3 on"] = [clip for clip in clips if len(clip.ends) >= 3]
    for part, some in parts.items():
        off = np.array([abs(clip.totals[-1] - len(clip.ends)) for clip in some])
        true = np.array([len(clip.ends) for clip in some])
        late = [delay for clip in some for delay in delays(clip)]
        delay = f"{np.median(late):.2f}" if late else "-"
        print(
            f"{part or name:24} {np.mean(off / true):5.2f} {100 * np.mean(off <= 1):4.0f}% {len(some):6}  {delay}"
        )


def delays(clip: Counted) -> list[float]:
    """Seconds from the end of each counted repetition to the frame with which it counts."""
    totals, found = np.array(clip.totals), []
    for number, end in enumerate(clip.ends, 1):
        reached = np.flatnonzero(totals >= number)
        if len(reached):
            found.append(clip.times[reached[0]] - float(end))
    return found


if __name__ == "__main__":
    main()

"""How well repetitions are counted in the stream: `python benchmarks/counting.py FOLDER [--workout FOLDER]`.

FOLDER has clips and an index.csv with the columns clip, group and cycle_ends (seconds, one for each repetition). A file
of another kind, --workout, has the column repetitions (seconds at which each begins). Every clip is played through the
loop that serves cameras; the count is what was counted when it ends. MAE is the mean of |counted - true| / true, OBO
the share of clips that are off by one at most. The delay of a repetition is from its true end to the frame with which
it counts. "chosen on" is the half of the groups on which the settings were chosen.

With --people each person who is followed is counted as well, in the clips that show one in half of their frames; of
several people the one with the most repetitions is taken. --nothing FOLDER ... are clips in which nothing is meant to
repeat: what is counted there.
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
    parser.add_argument("--people", action="store_true", help="count for each person too, at the last --fps")
    parser.add_argument(
        "--nothing", type=Path, nargs="*", default=[], help="folders in which nothing repeats"
    )
    parser.add_argument("--every", type=int, default=1, help="of --nothing every so many clips")
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
        if options.people:
            both = [
                each_person(folder / row["clip"], row, column, options.fps[-1])
                for row in rows(folder, column)
            ]
            both = [(whole, own) for whole, own, seen in both if seen > 0.5]
            report(f"with a person, {options.fps[-1]:g} fps", [whole for whole, _ in both])
            report("each person", [own for _, own in both])
        if options.model:
            recognizer = Recognizer.load(options.model, threads=1)
            clips = [by_model(folder / row["clip"], row, column, recognizer) for row in rows(folder, column)]
            report(f"counter of {options.model}", clips)
    for folder in options.nothing:
        nothing(folder, options.every, options.fps[-1])


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


def each_person(path: Path, row: dict[str, str], column: str, fps: float) -> tuple[Counted, Counted, float]:
    """What is counted of the whole picture and of the person with the most, and how often one is in the picture."""
    recognizer = Recognizer.load("webcam", people=True, threads=1)
    sets: dict[int | None, list[int]] = {None: [0]}  # the counts of each person's sets, of None the picture's
    times, totals, of_picture, seen = [], [], [], []
    for result in results(str(path), recognizer, fps=fps, count=RecurrenceSettings()):
        if result.repeated:
            continue
        counts = {None: result.count or 0} | {person.id: person.count or 0 for person in result.people or ()}
        for number, count in counts.items():
            own = sets.setdefault(number, [0])
            if own[-1] and not count:  # the set is over
                own.append(0)
            own[-1] = count
        times.append(result.frame.timestamp)
        seen.append(bool(result.people))
        of_picture.append(sum(sets[None]))
        totals.append(max((sum(own) for number, own in sets.items() if number is not None), default=0))
    return of(row, column, of_picture, times), of(row, column, totals, times), float(np.mean(seen))


def nothing(folder: Path, every: int, fps: float) -> None:
    """What is counted where nothing is meant to repeat, of the picture and of the people."""
    found = [
        each_person(folder / row["clip"], {"group": folder.name, "ends": ""}, "ends", fps)
        for row in rows_of(folder)[::every]
    ]
    seconds = sum(whole.times[-1] - whole.times[0] for whole, _, _ in found)
    for name, counts in (
        ("the picture", [whole.totals[-1] for whole, _, _ in found]),
        ("each person", [own.totals[-1] for _, own, _ in found]),
    ):
        print(
            f"{folder.name}: {name}: {sum(counts)} repetitions in {sum(count > 0 for count in counts)} of "
            f"{len(counts)} clips, {seconds:.0f} s"
        )


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

"""Sentences about examples: what would make them better."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from streamrec.teach.examples import Example
from streamrec.teach.fewshot import StatisticsCache, TeachReport

WANTED = 3  # examples of a label
NOTHING_SECONDS = 30.0  # less of nothing is too little
# Distance of two examples, in deviations between frames, under which they are alike: in `gestures` two namings of one
# showing are 0.1 to 0.2 apart, two showings 0.4 to 0.8.
_SAME = 0.35
_RANGE = 1.25  # of a person's size, the largest by the smallest, up to which they are equally far away
_FAR = 0.12  # heights of the picture: who is smaller is far away, and better comes closer


def advise(
    examples: Sequence[Example], report: TeachReport, cache: StatisticsCache, watcher: str = "camera"
) -> tuple[str, ...]:
    """What to do next, the most useful first. ``watcher``: what sees it."""
    found = []
    for label in report.labels:
        count = report.examples[label]
        if count < WANTED:
            more = WANTED - count
            found.append(f"show {label} {_times(more)} more")
    if report.nothing_seconds < NOTHING_SECONDS:
        found.append(
            f"let the {watcher} see a minute of nothing, as it mostly is, and say that it was nothing"
        )
    elif report.false_events:
        count = report.false_events
        found.append(
            f"{count} false alarm{'' if count == 1 else 's'} in {report.nothing_seconds:.0f} s of nothing: let the "
            f"{watcher} see more of what mostly happens there, and say that it was nothing"
        )
    found += [
        f"{a} and {b} are alike: show what is different about them, or make them one" for a, b in report.alike
    ]
    for label, (right, judged) in report.by_label.items():
        if right < judged:
            others = " and ".join(report.mistaken.get(label, ())) or "something else"
            found.append(
                f"{judged - right} of {judged} examples of {label}, left out, were taken for {others}: "
                f"show {label} more often, or remove a bad example"
            )
    for label in report.labels:
        own = [example for example in examples if example.label == label]
        if len(own) < WANTED:
            continue
        nearer = _nearer(own)
        if (alike := _alike(own, cache)) > 1:
            how = f", once from {nearer}" if nearer else ""
            found.append(
                f"{len(own)} examples of {label}, {alike} of them alike: show it a little differently{how}"
            )
        elif nearer:
            found.append(
                f"all {len(own)} examples of {label} are from about the same distance: show it once from {nearer}"
            )
    return tuple(found)


def _nearer(examples: Sequence[Example]) -> str:
    """From where it should be shown too; empty: it was shown from several distances, or that is not known."""
    sizes = [example.size for example in examples]
    seen = [size for size in sizes if size is not None]
    if len(seen) < len(sizes) or max(seen) > _RANGE * min(seen):
        return ""
    return "closer" if max(seen) < _FAR else "further away"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _alike(examples: Sequence[Example], cache: StatisticsCache) -> int:
    """How many have another one that is nearly the same."""
    parts = [cache.of(example)[example.within] for example in examples]
    deviation = np.concatenate(parts).std(0) + 1e-3
    means = np.stack([part.mean(0) / deviation for part in parts])
    apart = np.sqrt(((means[:, None] - means[None]) ** 2).mean(-1))
    np.fill_diagonal(apart, np.inf)
    return int((apart.min(1) < _SAME).sum())

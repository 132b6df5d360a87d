"""Sentences about examples: what would make them better."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from streamrec.teach.encoder import TeachableEncoder
from streamrec.teach.examples import Example
from streamrec.teach.fewshot import StatisticsCache, TeachReport

WANTED = 3  # examples of a label
NOTHING_SECONDS = 30.0  # less of nothing is too little
_SAME = 0.35  # distance of two examples, in deviations between frames, under which they are alike


def advise(
    examples: Sequence[Example], report: TeachReport, cache: StatisticsCache, encoder: TeachableEncoder
) -> tuple[str, ...]:
    """What to do next, the most useful first."""
    found = []
    for label in report.labels:
        count = report.examples[label]
        if count < WANTED:
            more = WANTED - count
            found.append(f"show {label} {_times(more)} more")
    if report.nothing_seconds < NOTHING_SECONDS:
        found.append("let the camera see a minute of nothing, as it mostly is, and say that it was nothing")
    found += [
        f"{a} and {b} look alike: show what is different about them, or make them one"
        for a, b in report.alike
    ]
    for label, (right, judged) in report.by_label.items():
        if right < judged:
            found.append(
                f"{judged - right} of {judged} examples of {label}, left out, were taken for something else: "
                f"show {label} more often, or remove a bad example"
            )
    for label in report.labels:
        own = [example for example in examples if example.label == label]
        if len(own) < WANTED:
            continue
        if (alike := _alike(own, cache)) > 1:
            found.append(
                f"{len(own)} examples of {label}, {alike} of them alike: show it a little differently"
            )
    return tuple(found)


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

"""Splits by group, k folds or leave-one-group-out: no group is in training and held-out clips at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain

import numpy as np

from streamrec.core.text import printable
from streamrec.data.clips import Clip, labels_of
from streamrec.errors import DataError


def groups_of(clips: Iterable[Clip]) -> list[str]:
    """The names of the groups, sorted: the order of the folds of leave-one-group-out."""
    return sorted({clip.group for clip in clips})


def split_by_group(
    clips: list[Clip], *, fold: int, folds: int | None, seed: int = 0
) -> tuple[list[Clip], list[Clip]]:
    """Split into training and held-out clips; the same group is never on both sides.

    The largest group is assigned first. Each goes to the fold with the fewest clips of its labels, among equals to
    the one with the fewest clips, so that folds are similar in size and labels. ``folds`` None leaves one group out:
    ``groups_of(clips)[fold]``.
    """
    groups: dict[str, list[Clip]] = {}
    for clip in clips:
        groups.setdefault(clip.group, []).append(clip)
    if folds is None:
        fold_of = {group: number for number, group in enumerate(sorted(groups))}
    else:
        fold_of = _folds_of(groups, folds, seed)
    return [c for c in clips if fold_of[c.group] != fold], [c for c in clips if fold_of[c.group] == fold]


def _folds_of(groups: dict[str, list[Clip]], folds: int, seed: int) -> dict[str, int]:
    order = [str(group) for group in np.random.default_rng(seed).permutation(sorted(groups))]
    counts: list[dict[str, int]] = [{} for _ in range(folds)]
    fold_of = {}
    for group in sorted(order, key=lambda g: -len(groups[g])):
        here = list(chain.from_iterable(clip.labels for clip in groups[group]))
        fold_of[group] = min(
            range(folds),
            key=lambda f: (sum(counts[f].get(n, 0) for n in here), sum(counts[f].values()), f),
        )
        for label in here:
            counts[fold_of[group]][label] = counts[fold_of[group]].get(label, 0) + 1
    return fold_of


def summary_of_groups(clips: Sequence[Clip], most: int = 8) -> str:
    """The groups of these clips as a list for people, with the number of clips of each.

    >>> from pathlib import Path
    >>> summary_of_groups([Clip(Path("a.mp4"), "wave", "anna"), Clip(Path("b.mp4"), "clap", "anna")])
    'anna (2 clips)'
    """
    counts = Counter(clip.group for clip in clips)
    each = [
        f"{printable(group)} ({count} clips)" if count > 1 else printable(group)
        for group, count in sorted(counts.items())
    ]
    more = [f"and {len(each) - most} more"] if len(each) > most else []
    return ", ".join([*each[:most], *more])


def held_out(clips: list[Clip], *, part: float, seed: int = 0) -> tuple[list[Clip], list[Clip]]:
    """Hold out about ``part`` of the clips, in whole groups: (clips to learn from, clips to measure on)."""
    if part <= 0.0:
        return clips, []
    kept, back = split_by_group(clips, fold=0, folds=max(2, round(1.0 / part)), seed=seed)
    if not kept or not back:
        raise DataError("all clips are of one group, so none can be held out; give --hold-out 0")
    lost = sorted(set(labels_of(clips)) - set(labels_of(kept)))
    if lost:
        raise DataError(
            f"all clips of {', '.join(lost)} would be held out, so that nothing is left to learn it from; "
            "give clips of more groups, or --hold-out 0"
        )
    return kept, back

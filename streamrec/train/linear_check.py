"""Whether a frozen backbone separates labels: a small cross-validation of its linear classifier, in seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from streamrec.data.clips import NO_LABEL
from streamrec.data.decode_cache import Recording
from streamrec.errors import need
from streamrec.nn.model import ActionModel
from streamrec.train.frozen_features import FeatureCache
from streamrec.train.linear_fit import LinearSettings, Samples, classifier_of, learned_of

need("torch", extra="train")

FOLDS = 3
MOST = 120  # recordings that are judged: more would change little
EVERY = 3  # frames from one that is learned to the next
LEAST = 1.0 / 3.0  # of the way from chance to always right (docs/training.md)


@dataclass(frozen=True, slots=True)
class Judged:
    """How many actions the classifier named at their end, when their group was left out."""

    right: float  # the mean over the labels, 0 to 1
    chance: float

    @property
    def suits(self) -> bool:
        """Whether the backbone separates the labels.

        >>> Judged(right=0.6, chance=0.5).suits, Judged(right=0.6, chance=0.1).suits
        (False, True)
        """
        return self.right - self.chance >= LEAST * (1.0 - self.chance)


def judged(
    model: ActionModel, recordings: Sequence[Recording], features: FeatureCache, settings: LinearSettings
) -> Judged | None:
    """Fit to some groups and judge on the others (recordings, where there is one group); None: too few to judge.

    A label that one group alone shows is not judged.
    """
    chosen = _chosen(recordings)
    folds = _folds(chosen)
    if len(set(folds)) < 2:
        return None
    whole = replace(settings, onset=0.0, longest=float("inf"))
    found = [next(iter(learned_of(model, each, features, whole, views=1))) for each in chosen]
    truths: list[int] = []
    predicted: list[int] = []
    for fold in sorted(set(folds)):
        taught = [each.every(EVERY) for each, own in zip(found, folds, strict=True) if own != fold]
        weight, bias = classifier_of(model, taught, (), settings)
        known = np.unique(np.concatenate([each.targets for each in taught]))
        for each in (each for each, own in zip(found, folds, strict=True) if own == fold):
            ends = _ends(each)
            ends = ends[np.isin(each.targets[ends], known)]
            truths += each.targets[ends].tolist()
            predicted += (each.statistics[ends] @ weight.numpy().T + bias.numpy()).argmax(1).tolist()
    labels, which = np.unique(truths, return_inverse=True)
    if len(labels) < 2:
        return None
    right = np.bincount(which, weights=np.equal(truths, predicted)) / np.bincount(which)
    return Judged(float(right.mean()), 1.0 / len(labels))


def _chosen(recordings: Sequence[Recording]) -> list[Recording]:
    """Whole groups, at random, until there are MOST recordings."""
    groups = sorted({each.group for each in recordings})
    chosen: list[Recording] = []
    for number in np.random.default_rng(0).permutation(len(groups)):
        more = [each for each in recordings if each.group == groups[number] and each.target != NO_LABEL]
        if chosen and len(chosen) + len(more) > MOST:
            break
        chosen += more
    return chosen


def _folds(recordings: Sequence[Recording]) -> list[int]:
    """The fold of each recording: groups share one; of one group its recordings are dealt out label by label."""
    groups = sorted({each.group for each in recordings})
    if len(groups) > 1:
        order = np.random.default_rng(0).permutation(len(groups))
        fold_of = {groups[place]: number % FOLDS for number, place in enumerate(order)}
        return [fold_of[each.group] for each in recordings]
    counts: dict[int, int] = {}
    folds = []
    for each in recordings:
        counts[each.target] = counts.get(each.target, -1) + 1
        folds.append(counts[each.target] % FOLDS)
    return folds


def _ends(samples: Samples) -> np.ndarray:
    """The last frame of each action."""
    return np.flatnonzero(np.diff(samples.targets, append=NO_LABEL - 1))

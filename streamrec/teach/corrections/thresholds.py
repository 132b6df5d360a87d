"""From corrections to thresholds: a pure function, bounded and monotone.

The *height* of a moment is the highest ``enter`` at which the detector still reports the label in it. A threshold above
the heights of all that was wrong reports none of it again; one at or below the heights of all that was right keeps it.

- **Up.** With wrong events the threshold goes toward ``MARGIN`` above the highest of them: the best of n is beaten by
  the next one with a probability of 1 in n + 1, as in alarm calibration. It goes ``n / (n + 1)`` of the way, so that
  a single click moves it half.
- **Down.** Events that were missed pull it down the same way, by ``DOWN`` at most, and never below what was wrong.
- **Kept.** It is never above the heights of the events that are known to be true: those that a person marked right, and
  those that the model brings along. A part of ``LOST`` of either may be given up: of forty or more there is one that
  nothing distinguishes from what is wrong here, and it would hold everything.

More wrong events never lower it, more right or missed ones never raise it, and with none it is the model's own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from streamrec.events.detector import EventSettings
from streamrec.events.thresholds import Starts
from streamrec.teach.corrections.records import Verdict

MARGIN = math.log(2.0)  # in logits, above the highest wrong event
DOWN = 1.0  # logits below the own threshold, at most
UP = 6.0  # logits above it, at most
STRICTEST = 0.9999  # as in alarm calibration
LOST = 0.025  # of the true events may fall below the threshold, rounded down: of fewer than 40 none
STEPS = 12  # of the search for a height: to 0.005 logits
BELOW = 1e-3  # logits by which a threshold is under a height that it keeps


@dataclass(frozen=True, slots=True)
class Heights:
    """The heights of the corrections of one label, as probabilities; 0: it is reported at no threshold."""

    wrong: tuple[float, ...] = ()
    right: tuple[float, ...] = ()  # marked right
    missed: tuple[float, ...] = ()
    known: tuple[float, ...] = ()  # true ones that the model brings along, and reports without corrections

    @classmethod
    def of(cls, corrections: Iterable[tuple[Verdict, float]], known: tuple[float, ...]) -> Heights:
        """Of corrections with their verdicts.

        >>> Heights.of([(Verdict.other, 0.8), (Verdict.right, 0.7), (Verdict.wrong, 0.9)], known=(0.6,))
        Heights(wrong=(0.9, 0.8), right=(0.7,), missed=(), known=(0.6,))
        """
        by: dict[Verdict, list[float]] = {verdict: [] for verdict in Verdict}
        for verdict, height in corrections:
            by[verdict].append(height)
        return cls(
            wrong=(*by[Verdict.wrong], *by[Verdict.other]),
            right=tuple(by[Verdict.right]),
            missed=tuple(by[Verdict.missed]),
            known=known,
        )


def moved(enter: float, heights: Heights) -> float:
    """The threshold of a label after its corrections; ``enter`` is its own.

    >>> moved(0.6, Heights())
    0.6
    >>> moved(0.6, Heights(wrong=(0.8,))), moved(0.6, Heights(wrong=(0.8, 0.7, 0.75)))
    (0.7759, 0.8403)
    >>> moved(0.6, Heights(wrong=(0.8,), right=(0.7,))), moved(0.6, Heights(missed=(0.5,)))
    (0.6997, 0.5503)
    """
    own = logit(enter)
    wrong = sorted(logit(height) for height in heights.wrong if height >= enter)
    right = (*heights.right, *(height for height in heights.missed if height >= enter))
    below = sorted(map(logit, (height for height in heights.missed if height < enter)))
    missed = [height for height in below if height >= own - DOWN]  # the others cannot be reached
    at = own
    if wrong:
        at += (wrong[-1] + MARGIN - own) * len(wrong) / (len(wrong) + 1)
    at = min(at, own + UP, logit(STRICTEST))
    for true in (sorted(map(logit, right)), sorted(map(logit, heights.known))):
        if true:
            at = min(at, max(true[int(LOST * len(true))] - BELOW, own))
    if missed:
        down = own + (missed[0] - BELOW - own) * len(missed) / (len(missed) + 1)
        at = min(at, max(down, wrong[-1] + BELOW) if wrong else down)
    return enter if at == own else math.floor(1e4 / (1 + math.exp(-at))) / 1e4


def height_of(
    times: Sequence[float] | np.ndarray,
    scores: np.ndarray,
    labels: tuple[str, ...],
    settings: EventSettings,
    label: str,
) -> float:
    """The highest threshold at which the detector reports ``label`` in (T, labels) scores; 0 where none does.

    >>> times = np.arange(40) / 10
    >>> wave = np.where((times >= 1) & (times < 3), 0.9, 0.1)
    >>> scores = np.stack([1 - wave, wave], axis=1)
    >>> height_of(times, scores, ("idle", "wave"), EventSettings(background=("idle",)), "wave")
    0.899
    """
    if not len(scores) or label in settings.background:
        return 0.0
    of_label = scores[:, labels.index(label)]
    starts = Starts(times, of_label, settings.of(label))
    low, high = logit(0.01), logit(min(float(of_label.max()), STRICTEST))
    if high <= low or not starts.at(probability(low)):
        return 0.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        if starts.at(probability(middle)):
            low = middle
        else:
            high = middle
    return round(probability(low), 4)


def probability(at: float) -> float:
    """The probability of a logit."""
    return 1 / (1 + math.exp(-at))


def logit(share: float) -> float:
    """The logit of a probability, within what thresholds may be."""
    share = min(max(share, 1e-4), STRICTEST)
    return math.log(share / (1 - share))

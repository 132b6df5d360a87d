"""From what was said to thresholds: a pure function, bounded and monotone.

The *height* of a moment is the highest ``enter`` at which the detector still reports the label in it. A threshold above
the heights of all that was wrong reports none of it again; one at or below the heights of all that was right keeps it.

- **Up.** With wrong events the threshold goes toward ``MARGIN`` above the highest of them: the best of n is beaten by
  the next one with a probability of 1 in n + 1, as in alarm calibration. It goes ``n / (n + 1)`` of the way, so that
  a single click moves it half.
- **Down.** Events that were missed pull it down the same way, by ``DOWN`` at most, and never below what was wrong.
- **Kept.** It is never above the heights of the events that are known to be true: those that a person called right, and
  those that the model brings along. A part of ``LOST`` of them may be given up.

More wrong events never lower it, more right or missed ones never raise it, and with none it is the model's own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from streamrec.events.detector import EventDetector, EventSettings
from streamrec.events.thresholds import with_enters
from streamrec.types import ActionStarted

MARGIN = math.log(2.0)  # in logits, above the highest wrong event
DOWN = 1.0  # logits below the own threshold, at most
UP = 6.0  # logits above it, at most
STRICTEST = 0.9999  # as in alarm calibration
LOST = (
    0.025  # of the true events may fall below the threshold: few are known, and others may lose twice as many
)
STEPS = 12  # of the search for a height: to 0.005 logits
BELOW = 1e-3  # logits by which a threshold is under a height that it keeps


@dataclass(frozen=True, slots=True)
class Heights:
    """The heights of what was said about one label, as probabilities; 0: it is reported at no threshold."""

    wrong: tuple[float, ...] = ()
    right: tuple[float, ...] = ()  # called right, or brought along by the model
    missed: tuple[float, ...] = ()


def moved(enter: float, heights: Heights, *, lost: float = LOST) -> float:
    """The threshold of a label after what was said; ``enter`` is its own, ``lost`` the part that may be given up.

    >>> moved(0.6, Heights())
    0.6
    >>> moved(0.6, Heights(wrong=(0.8,))), moved(0.6, Heights(wrong=(0.8, 0.7, 0.75)))
    (0.7759, 0.8403)
    >>> moved(0.6, Heights(wrong=(0.8,), right=(0.7,))), moved(0.6, Heights(missed=(0.5,)))
    (0.6997, 0.5503)
    """
    own = _logit(enter)
    wrong = sorted(_logit(height) for height in heights.wrong if height >= enter)
    true = sorted(map(_logit, (*heights.right, *(height for height in heights.missed if height >= enter))))
    below = sorted(map(_logit, (height for height in heights.missed if height < enter)))
    missed = [height for height in below if height >= own - DOWN]  # the others cannot be reached
    at = own
    if wrong:
        at += (wrong[-1] + MARGIN - own) * len(wrong) / (len(wrong) + 1)
    at = min(at, own + UP, _logit(STRICTEST))
    if true:
        at = min(at, max(true[int(lost * len(true))] - BELOW, own))
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
    peak = float(scores[:, labels.index(label)].max()) if len(scores) else 0.0
    only = replace(settings, background=tuple(one for one in labels if one != label))
    low, high = _logit(0.01), _logit(min(peak, STRICTEST))
    if high <= low or not _reports(times, scores, labels, only, label, low):
        return 0.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        if _reports(times, scores, labels, only, label, middle):
            low = middle
        else:
            high = middle
    return round(1 / (1 + math.exp(-low)), 4)


def _reports(
    times: Sequence[float] | np.ndarray,
    scores: np.ndarray,
    labels: tuple[str, ...],
    settings: EventSettings,
    label: str,
    logit: float,
) -> bool:
    detector = EventDetector(labels, with_enters(settings, {label: 1 / (1 + math.exp(-logit))}))
    found = detector.replay(np.asarray(times).tolist(), scores)
    return any(isinstance(event, ActionStarted) for _, event in found)


def _logit(share: float) -> float:
    share = min(max(share, 1e-4), STRICTEST)
    return math.log(share / (1 - share))

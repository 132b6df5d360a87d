"""Learning to spell a stream: connectionist temporal classification (CTC), with the background label as its blank.

Where a label is one moment and not a state, as of a spoken word, only the order of the labels is known, and not when
each is to be reported. CTC (Graves et al., ICML 2006) sums over all moments: the probability of a label is a peak, and
the blank is everything between. So the decoder is what makes events of any scores: a label over ``enter`` begins, and
the same label again needs the blank between.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np

from streamrec.data.clips import NO_LABEL
from streamrec.errors import ModelError, need
from streamrec.evaluation.metrics import edit_distance
from streamrec.events.detector import BACKGROUND
from streamrec.train.quick_eval import Played

need("torch", extra="train")

import torch  # noqa: E402
from torch import Tensor  # noqa: E402
from torch.nn import functional as F  # noqa: E402


def blank_of(labels: Sequence[str]) -> int:
    """The index of the blank: the first label that means that nothing happens; raises ``ModelError``.

    >>> blank_of(("background", "one"))
    0
    """
    found = next((n for n, label in enumerate(labels) if label in BACKGROUND), None)
    if found is None:
        raise ModelError(
            f"the loss ctc needs a label for what is between the others, like background; the labels are "
            f"{', '.join(labels)}"
        )
    return found


def spelled(targets: np.ndarray, blank: int, *, ended: bool = False) -> list[int]:
    """(T,) labels -> the order of those that are not blank; a run of one label is one.

    ``ended``: without a run that touches the last frame: it counts where it ends.

    >>> spelled(np.array([0, 3, 3, 0, 3, 2]), 0), spelled(np.array([0, 3, 3, 0, 3, 2]), 0, ended=True)
    ([3, 3, 2], [3, 3])
    """
    runs = [int(label) for label, _ in groupby(np.where(targets == NO_LABEL, blank, targets).tolist())]
    return [label for label in (runs[:-1] if ended else runs) if label != blank]


def ctc_loss(logits: Tensor, targets: Tensor, blank: int) -> Tensor:
    """Logits (N, T, C) and the label of each frame (N, T) -> the CTC loss a label, of all windows together.

    Only the order of the labels in a window is used, and not when they are.
    """
    orders = [spelled(row, blank, ended=True) for row in targets.cpu().numpy()]
    lengths = torch.tensor([len(order) for order in orders])
    flat = torch.tensor([label for order in orders for label in order], dtype=torch.long)
    steps = torch.full((len(orders),), logits.shape[1])
    scores = torch.log_softmax(logits, dim=-1).transpose(0, 1)
    total = F.ctc_loss(scores, flat, steps, lengths, blank=blank, reduction="sum", zero_infinity=True)
    return total / max(1, len(flat))


def decoded(probabilities: np.ndarray, blank: int, enter: float = 0.5) -> list[int]:
    """(T, labels) -> the order of the labels whose probability rises over ``enter``, which is at least one half."""
    best = probabilities.argmax(-1)
    return spelled(np.where(probabilities.max(-1) >= enter, best, blank), blank)


def accuracy_of(logits: Tensor, targets: Tensor, blank: int) -> float:
    """1 - the label error rate of logits (N, T, C), decoded, against the labels of frames (N, T)."""
    probabilities = torch.softmax(logits.detach(), dim=-1).cpu().numpy()
    true = [spelled(row, blank, ended=True) for row in targets.cpu().numpy()]
    wrong = sum(errors(decoded(row, blank), order) for row, order in zip(probabilities, true, strict=True))
    return 1.0 - wrong / max(1, sum(map(len, true)))


def right_of(played: Played, blank: int | None) -> tuple[int, int]:
    """Right frames of a recording that was played, and all; with a blank all labels minus the errors, and all."""
    if blank is None:
        return int(played.right.sum()), len(played.right)
    true = spelled(played.truth, blank)
    return len(true) - errors(decoded(played.probabilities, blank), true), len(true)


def errors(found: Sequence[int], true: Sequence[int]) -> int:
    """Labels that are wrong, missing or too many: the edit distance of the two orders."""
    return edit_distance(found, true)

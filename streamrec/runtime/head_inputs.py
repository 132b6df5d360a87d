"""What a model's last layer reads: the features of the last seconds, taken from the memory that a step returns.

All that a head knows of a stream is in its memory, so that nothing is computed twice: no further output of the graph,
and no further pass. A correction that is linear in these features is a change of the last layer.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from streamrec.nn.config import ModelConfig
from streamrec.runtime.engine import Arrays

ENSEMBLE = ("statistics", "lstm")  # the heads that an ensemble head is made of
FADED = 1e-3  # as in ``nn.heads``: total weight under which a mean fades to zero


def memory_size(config: ModelConfig) -> int:
    """How many arrays the memory of a model's head has.

    >>> memory_size(ModelConfig(labels=("a", "b"), head="lstm", recall=True))
    4
    """
    if config.head == "statistics":
        return 5 if config.statistics_changes else 3
    if config.head == "attention":
        return 3
    if config.head == "ensemble":
        return sum(memory_size(replace(config, head=part)) for part in ENSEMBLE)
    return (1 if config.head == "gru" else 2) + 2 * bool(config.recall)


def head_inputs(config: ModelConfig, memory: Arrays) -> np.ndarray | None:
    """The memory of one model's head for N streams -> what its classifier reads (N, D); None where it is not in it.

    An attention head's is not: it depends on the present frame in ways that are not kept.
    """
    if len(memory) != memory_size(config) or config.head == "attention":
        return None
    if config.head == "ensemble":
        one, other = (replace(config, head=part) for part in ENSEMBLE)
        border = memory_size(one)
        found = [head_inputs(one, memory[:border]), head_inputs(other, memory[border:])]
        return np.concatenate([part for part in found if part is not None], axis=1)
    if config.head == "statistics":
        mean, peak, *averages, _ = memory
        if not averages:
            return np.concatenate([mean, peak], axis=1)
        short, long = averages
        return np.concatenate([mean, peak, short, short - long], axis=1)
    hidden = memory[0][:, -1]
    if not config.recall:
        return hidden
    total, weight = memory[-2:]
    pooled = total / (weight + FADED)
    return pooled if config.recall_only else np.concatenate([hidden, pooled], axis=1)

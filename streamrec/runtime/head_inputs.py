"""What a model's last layer reads: the features of the last seconds, taken from the memory that a step returns.

All that a head knows of a stream is in its memory, so that nothing is computed twice: no further output of the graph,
and no further pass. A correction that is linear in these features is a change of the last layer.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from streamrec.nn.config import ModelConfig
from streamrec.runtime.engine import Arrays

STATISTICS = 5  # arrays in the memory of a statistics head
FADED = 1e-3  # as in ``nn.heads``: total weight under which a mean fades to zero


def memory_size(config: ModelConfig) -> int:
    """How many arrays the memory of a model's head has.

    >>> memory_size(ModelConfig(labels=("a", "b"), head="lstm", recall=True))
    4
    """
    if config.head == "statistics":
        return STATISTICS
    if config.head == "attention":
        return 3
    if config.head == "ensemble":
        return STATISTICS + memory_size(replace(config, head="lstm"))
    return (1 if config.head == "gru" else 2) + 2 * bool(config.recall)


def head_inputs(config: ModelConfig, memory: Arrays) -> np.ndarray | None:
    """The memory of one model's head for N streams -> what its classifier reads (N, D); None where it is not in it.

    An attention head's is not: it depends on the present frame in ways that are not kept.
    """
    if len(memory) != memory_size(config) or config.head == "attention":
        return None
    if config.head == "ensemble":
        parts = (("statistics", memory[:STATISTICS]), ("lstm", memory[STATISTICS:]))
        found = [head_inputs(replace(config, head=name), part) for name, part in parts]
        return np.concatenate([part for part in found if part is not None], axis=1)
    if config.head == "statistics":
        mean, peak, short, long = memory[:4]
        return np.concatenate([mean, peak, short, short - long], axis=1)
    hidden = memory[0][:, -1]
    if not config.recall:
        return hidden
    total, weight = memory[-2:]
    pooled = total / (weight + FADED)
    return pooled if config.recall_only else np.concatenate([hidden, pooled], axis=1)

"""What a taught head is shown of other places: frames of daily life, exercises and streets, as statistics.

So "none of these" is known before a minute of nothing was shown, and beside it. The file is made by
``benchmarks/few_shot.py --background`` from data whose licence allows it; NOTICE names it.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from streamrec.core.files import replacing

PATH = Path(__file__).parent / "background.safetensors"


@cache
def shipped_background(backbone: str) -> np.ndarray | None:
    """Statistics (M, 4 F); None where the file is of another model than this one's digest names, or is missing."""
    try:
        with safe_open(PATH, framework="numpy") as file:
            if file.metadata().get("backbone") != backbone:
                return None
            found: np.ndarray = file.get_tensor("statistics").astype(np.float32)
            return found
    except (OSError, SafetensorError):
        return None


def write_background(path: Path, statistics: np.ndarray, backbone: str, sources: str) -> None:
    """Write statistics (M, 4 F) as the file that is shipped."""
    metadata = {"backbone": backbone, "sources": sources}
    with replacing(path) as file:
        file.write(save({"statistics": statistics.astype(np.float16)}, metadata))

"""True events that a model brings along, so that what is learned on a place does not make it forget what it is for.

Of a shipped model there is a file with some of the recorded events that it learned from, and some drawn ones: their
scores, and what its last layer read, in the main directions of those events. No picture can be made of them. A model
without such a file is held by the events that were called right, and by the pull to zero, alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from safetensors.numpy import load, save

from streamrec.teach.corrections.moments import Moment

FOLDER = Path(__file__).parent / "known"
DIRECTIONS = 48  # of the features that are kept


@dataclass(frozen=True, slots=True, eq=False)
class KnownEvents:
    """True events of one model."""

    labels: tuple[str, ...]  # of each
    moments: tuple[Moment, ...]

    def __len__(self) -> int:
        return len(self.labels)


NONE = KnownEvents((), ())


@lru_cache(maxsize=8)
def known_events(model: str) -> KnownEvents:
    """Those of a shipped model; none of another one."""
    path = FOLDER / f"{model}.safetensors"
    return read(path.read_bytes()) if path.is_file() else NONE


def written(events: KnownEvents, names: Sequence[str]) -> bytes:
    """As safetensors; ``names``: of the labels, in order."""
    features = np.concatenate([one.features for one in events.moments]).astype(np.float32)
    mean = features.mean(0)
    _, _, directions = np.linalg.svd(features - mean, full_matrices=False)
    basis = directions[:DIRECTIONS]
    return save(
        {
            "mean": mean.astype(np.float16),
            "basis": np.ascontiguousarray(basis, np.float16),
            "places": ((features - mean) @ basis.T).astype(np.float16),
            "feature_times": np.concatenate([one.feature_times for one in events.moments]),
            "features_each": np.array([len(one.feature_times) for one in events.moments], np.int64),
            "times": np.concatenate([one.times for one in events.moments]),
            "scores": np.concatenate([one.scores for one in events.moments]).astype(np.float16),
            "frames_each": np.array([len(one.times) for one in events.moments], np.int64),
            "labels": np.array([names.index(label) for label in events.labels], np.int64),
            "names": np.frombuffer("\n".join(names).encode(), np.uint8),
            "print": events.moments[0].print.astype(np.float32),
        }
    )


def read(data: bytes) -> KnownEvents:
    """What ``written`` wrote."""
    arrays = load(data)
    names = arrays["names"].tobytes().decode().split("\n")
    features = arrays["places"].astype(np.float32) @ arrays["basis"].astype(np.float32) + arrays[
        "mean"
    ].astype(np.float32)
    kept = np.cumsum(arrays["features_each"])[:-1]
    frames = np.cumsum(arrays["frames_each"])[:-1]
    moments = [
        Moment(
            times,
            np.clip(scores.astype(np.float32), 0.0, 1.0),
            when,
            what.astype(np.float16),
            print=arrays["print"],
        )
        for times, scores, when, what in zip(
            np.split(arrays["times"], frames),
            np.split(arrays["scores"], frames),
            np.split(arrays["feature_times"], kept),
            np.split(features, kept),
            strict=True,
        )
    ]
    return KnownEvents(tuple(names[n] for n in arrays["labels"]), tuple(moments))

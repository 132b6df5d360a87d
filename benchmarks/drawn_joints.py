"""Predictions of a model on keypoints for drawn people: no picture is painted, and nothing passes the backbone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch

from streamrec.runtime.checkpoint import load_model
from streamrec.runtime.head_inputs import head_inputs
from streamrec.train.joints import sequences


@dataclass(frozen=True, slots=True, eq=False)
class DrawnScene:
    """One scene, as the model saw it."""

    times: np.ndarray  # (T,) seconds
    scores: np.ndarray  # (T, labels) float32
    features: np.ndarray  # (T, D) float32: what the last layer reads
    spans: tuple[tuple[str, float, float], ...]  # label, start and end of each action


def drawn_scenes(name: str, kind: str, seed: int, count: int) -> Iterator[DrawnScene]:
    """``kind``: of ``train.joints``. The model's encoder is person-joints."""
    model = load_model(name).eval()
    config = model.config
    fit = "stretch" if config.transform.fit == "stretch" else "pad"
    rate = config.fps, config.fps
    for scene in islice(sequences(kind, seed, fps=rate, fit=fit), count):
        people = torch.from_numpy(scene.people.reshape(len(scene.timestamps), -1))
        elapsed = np.diff(scene.timestamps, prepend=-np.inf).astype(np.float32)
        state, scores, features = model.initial_state(), [], []
        with torch.inference_mode():
            for row, since in zip(people, elapsed, strict=True):
                outputs, state = model(
                    torch.zeros(1, 1, 3, 1, 1), torch.tensor([[since]]), state, backbone=row[None, None]
                )
                scores.append(model.split(outputs)[0][0, 0].softmax(-1).numpy())
                found = head_inputs(config, tuple(part.numpy() for part in state.head))
                assert found is not None
                features.append(found[0])
        labels = scene.label_names()
        yield DrawnScene(
            scene.timestamps, np.array(scores), np.array(features), tuple(spans_of(scene.timestamps, labels))
        )


def spans_of(times: np.ndarray, labels: list[str]) -> Iterator[tuple[str, float, float]]:
    """Where one label stays: label, start and end."""
    begins = 0
    for n in range(1, len(labels) + 1):
        if n == len(labels) or labels[n] != labels[begins]:
            yield labels[begins], float(times[begins]), float(times[n - 1])
            begins = n

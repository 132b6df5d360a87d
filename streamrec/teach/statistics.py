"""Running statistics of features in numpy, equal to those of ``StatisticsHead`` (nn/heads.py) to rounding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streamrec.nn.config import ModelConfig

SHORT, LONG = 0.2, 1.5  # time constants beside the config's own, as in nn/heads.py
LEAST_FRAMES, MOST_FRAMES = 0.1, 10.0  # limits of the elapsed time, as in ``ActionModel.timing``
STATISTICS = 4

Memory = tuple[np.ndarray, ...]  # mean, peak, short, long: (N, F) each; weights (N, 3)


@dataclass(frozen=True, slots=True, eq=False)
class Rates:
    """How quickly the statistics fade."""

    frames: np.ndarray  # (3,) time constants in frames at ``fps``: of mean and peak, short, long
    fps: float
    max_gap: float  # seconds after which they begin anew

    @classmethod
    def of(cls, config: ModelConfig) -> Rates:
        """Those of a model with a statistics head."""
        frames = np.array([1.0, SHORT, LONG], np.float32) * np.float32(config.statistics_seconds * config.fps)
        return cls(frames, config.fps, config.max_gap)


def initial_memory(size: int, streams: int = 1) -> Memory:
    """Zeros, for features of this size."""
    zeros = np.zeros((streams, size), np.float32)
    return zeros, zeros, zeros, zeros, np.zeros((streams, 3), np.float32)


def after(x: np.ndarray, elapsed: np.ndarray, memory: Memory, rates: Rates) -> tuple[np.ndarray, Memory]:
    """Features (N, F), seconds since the last frame (N,) -> the statistics (N, 4 F) and the memory then.

    Elapsed time that is negative, more than ``max_gap`` or no number begins anew.
    """
    mean, peak, short, long, weights = memory
    with np.errstate(invalid="ignore"):
        goes_on = (elapsed >= 0.0) & (elapsed <= rates.max_gap)
        since = np.clip(np.asarray(elapsed, np.float32) * np.float32(rates.fps), LEAST_FRAMES, MOST_FRAMES)
        decays = np.where(goes_on[:, None], np.exp(-since[:, None] / rates.frames), 0.0).astype(np.float32)
    weights = decays * weights + 1.0
    shares = 1.0 / weights
    mean = mean + shares[:, :1] * (x - mean)
    short = short + shares[:, 1:2] * (x - short)
    long = long + shares[:, 2:] * (x - long)
    peak = np.maximum(x, x + decays[:, :1] * (peak - x))
    memory = mean, peak, short, long, weights
    return of_memory(memory), memory


def of_memory(memory: Memory) -> np.ndarray:
    """The statistics (N, 4 F) that a memory holds."""
    mean, peak, short, long, _ = memory
    return np.concatenate([mean, peak, short, short - long], axis=-1)


def of_sequence(times: np.ndarray, features: np.ndarray, rates: Rates) -> np.ndarray:
    """Seconds (T,), features (T, F) of one stretch of a stream -> the statistics after each frame, (T, 4 F)."""
    elapsed = np.diff(times, prepend=-np.inf)
    memory, found = initial_memory(features.shape[1]), np.empty((len(times), STATISTICS * features.shape[1]))
    for t, x in enumerate(np.asarray(features, np.float32)):
        found[t], memory = after(x[None], elapsed[t : t + 1], memory, rates)
    return found.astype(np.float32)

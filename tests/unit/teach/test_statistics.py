"""The running statistics in numpy are those of the torch head."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from streamrec.nn import heads
from streamrec.nn.config import ModelConfig
from streamrec.teach import statistics
from streamrec.teach.statistics import Rates

CONFIG = ModelConfig(labels=("a", "b"), head="statistics", statistics_seconds=0.7, fps=10.0, max_gap=1.0)


def test_they_equal_the_torch_heads_whatever_time_passes():
    random = np.random.default_rng(0)
    features = random.normal(size=(12, 5)).astype(np.float32)
    times = np.cumsum([0, 0.1, 0.1, 0.3, 0.001, 0.9, 5.0, 0.1, 0.1, 0.2, 0.1, 0.1])  # 5 s begin anew
    found = statistics.of_sequence(times, features, Rates.of(CONFIG))
    head = heads.StatisticsHead(5, 2, frames=7.0)
    elapsed = torch.tensor(np.diff(times, prepend=-np.inf), dtype=torch.float32)[None]
    fresh = ~((elapsed >= 0) & (elapsed <= CONFIG.max_gap))
    log_elapsed = torch.log(torch.clamp(elapsed * CONFIG.fps, 0.1, 10.0)).masked_fill(fresh, 0.0)
    wanted, _ = head.statistics(torch.from_numpy(features)[None], log_elapsed, fresh, head.initial_memory())
    np.testing.assert_allclose(found, wanted[0].numpy(), atol=1e-6)


def test_steps_equal_the_sequence():
    random = np.random.default_rng(1)
    features, times, rates = (
        random.normal(size=(9, 3)).astype(np.float32),
        np.arange(9) / 10,
        Rates.of(CONFIG),
    )
    memory, last = statistics.initial_memory(3), -np.inf
    for time, x, wanted in zip(times, features, statistics.of_sequence(times, features, rates), strict=True):
        found, memory = statistics.after(x[None], np.array([time - last]), memory, rates)
        np.testing.assert_array_equal(found[0], wanted)
        np.testing.assert_array_equal(statistics.of_memory(memory), found)
        last = time


def test_the_constants_are_those_of_the_torch_head():
    assert (statistics.SHORT, statistics.LONG) == (heads.SHORT, heads.LONG)
    assert heads.StatisticsHead(1, 2, frames=1.0).kinds == statistics.STATISTICS
    assert Rates.of(replace(CONFIG, statistics_seconds=2.0)).frames[0] == 20.0

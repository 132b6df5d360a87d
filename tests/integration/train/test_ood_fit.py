"""What a model knows by sight comes from what it learned from, as it is played."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from streamrec import ModelConfig, Transform
from streamrec.data.decode_cache import Recording
from streamrec.errors import DataError
from streamrec.train.ood_fit import known_of, recordings_of, unknown_part

CONFIG = ModelConfig(labels=("a", "b"), transform=Transform(height=32, width=32))


def lit(light: int, seed: int = 0) -> Recording:
    noise = np.random.default_rng(seed).integers(0, 40, (30, 32, 32, 3), np.uint8)
    return Recording(noise + np.uint8(light), np.arange(30) / 15, np.zeros(30, np.int64), f"g{seed}")


def test_recordings_like_those_are_known_and_others_are_not() -> None:
    known = known_of([lit(light, seed) for seed, light in enumerate((20, 40, 60, 50, 30, 45))], 15.0)
    assert unknown_part(known, [lit(42, 77)], 15.0) == 0.0
    assert unknown_part(known, [lit(210, 78)], 15.0) == 1.0
    assert unknown_part(known, [lit(42, 77), lit(210, 78)], 15.0) == 0.5


def test_frames_that_do_not_come_in_the_rhythm_are_not_looked_at() -> None:
    """Every second picture is white; a rhythm of half the rate never sees one."""
    recording = lit(20)
    flickering = recording.pictures.copy()
    flickering[1::2] = 255
    flickers = Recording(flickering, recording.timestamps, recording.targets, "g")
    assert (
        known_of([flickers], 7.5).mean
        == known_of([Recording(recording.pictures, recording.timestamps, recording.targets, "g")], 7.5).mean
    )


def test_a_place_without_videos_is_said_in_words(tmp_path) -> None:
    with pytest.raises(DataError):
        recordings_of([str(tmp_path / "nowhere")], CONFIG)


def test_a_model_of_few_groups_or_of_clips_that_nobody_grouped_calls_nothing_unknown():
    from streamrec.train.job import TrainData

    def learned(groups: list[str], **more) -> TrainData:
        recordings = [replace(lit(20 + n, n), group=group) for n, group in enumerate(groups)]
        return TrainData(ModelConfig(labels=("a", "b"), fps=15.0), recordings, [], [], **more)

    assert "2 groups, and 5 are needed" in learned(["anna", "bert"] * 4).unjudged
    assert learned(["anna", "bert"] * 4).known is None
    assert "no clips share a group" in learned([str(n) for n in range(9)], grouped=False).unjudged
    many = learned([str(n % 5) for n in range(10)])
    assert many.unjudged is None and many.known is not None
